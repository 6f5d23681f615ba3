//! Where Atlas is spoken to: the third-party integration endpoints of versions 1.0 and 2 of its Admin API.
//!
//! [`Client`] is the only thing here that does I/O. What it sends is built from [`crate::domain`] types, what it
//! answers is redacted before it leaves this module, and every fault becomes one [`crate::domain::Failure`].

mod budget;
mod call;
mod challenges;
mod client;
mod digest;
mod error_table;
mod errors;
#[cfg(test)]
mod fuzz;
mod oauth;
mod redaction;
mod session;
mod version;
mod wire;

pub use budget::Budget;
pub use client::{Client, ClientError, Listing, Options};
pub use error_table::{ANSWERS, Answer, FOREIGN, Foreign, NO_ANSWERS, NoAnswer, OTHERS, On, Silence, Who};
pub use session::{Credential, Key, Session};
pub use version::{ApiVersion, VersionChoice};
pub use wire::PageOptions;
