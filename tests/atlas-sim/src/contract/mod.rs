//! What Atlas's published contract says of one request, and of one answer, whoever sent it.
//!
//! Version 2 is held against the OpenAPI document beside this file; version 1.0 against the tables of its "create"
//! page, which has no document. Requests are checked more strictly than Atlas does: a client has no business with a
//! field, a parameter or a header that is not in the contract.

mod answer;
mod create_page;
mod document;
mod request;
#[cfg(test)]
mod request_tests;

pub use answer::{Given, problems_of_answer};
pub use request::problems_of_request;

/// The only media type of the integrations of v2.
const V2_TYPE: &str = "application/vnd.atlas.2023-01-01+json";
/// The media type of v1.0, of errors, and of OAuth answers.
const JSON: &str = "application/json";
/// The media type of OAuth requests.
const FORM: &str = "application/x-www-form-urlencoded";
