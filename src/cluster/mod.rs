//! Everything that speaks to the Kubernetes API server: watches, reads of Secrets, and the only writer.

mod client;
mod decode;
mod encode;
mod events;
#[cfg(test)]
mod fuzz;
mod lease;
mod mapping;
mod namespaces;
mod pages;
#[cfg(test)]
mod recorded_tests;
mod retry;
mod secrets;
mod selector;
mod sieve;
mod watch;
mod wire;
mod writer;

pub use client::connect;
pub use decode::Stored;
pub use events::{EventKind, Events};
pub use lease::{LeaseError, Leases, StoredLease};
pub use mapping::{Defaults, is_secret_name};
pub use namespaces::{Grant, Namespaces, watch_namespaces};
pub use pages::Pages;
pub use secrets::{ReadError, SecretData, SecretIdentity, Secrets};
pub use selector::check_selector;
pub use watch::{Part, Scope, WatchEvent, watch_objects, watch_secrets};
pub use writer::{WriteError, Writer};
