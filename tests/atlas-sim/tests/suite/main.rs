//! The suite of the simulator: real HTTP clients against a real port, every answer held against the contract.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy's exception for tests does not reach their helpers"
)]

mod admin;
mod answers;
mod client;
mod create_page;
mod digest;
mod errors;
mod faults;
mod limits;
mod oauth;
mod others;
mod program;
mod resource;
mod versions;
