//! What must never happen, by the table of `docs/security.md`.

pub mod canary;
mod own_credentials;
mod tenancy;
mod threats;
mod tls;
