//! The client of Atlas: the third-party integration endpoints of versions 1.0 and 2 of its Admin API.
//!
//! Only [`Client`] does I/O here. It builds requests from [`crate::domain`] types, redacts what it returns, and turns
//! every fault into one [`crate::domain::Failure`].

mod budget;
mod call;
mod challenges;
mod client;
mod connect;
mod digest;
mod error_table;
mod errors;
#[cfg(test)]
mod fuzz;
mod http;
mod json;
mod oauth;
mod page;
mod readings;
mod redaction;
mod scrub;
mod session;
mod version;
mod wire;

pub use budget::Budget;
pub use client::{Client, Listing, Options};
pub use error_table::{ANSWERS, Answer, FOREIGN, Foreign, NO_ANSWERS, NoAnswer, OTHERS, On, Silence, Who};
pub use http::{ClientError, Requests};
#[cfg(test)]
pub(crate) use redaction::redact_entry;
pub use session::{Credential, Key, Session};
pub use version::{ApiVersion, VersionChoice};
pub use wire::PageOptions;
