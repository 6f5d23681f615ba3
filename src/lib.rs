//! Atlas Integration Operator: keeps the third-party integrations of MongoDB Atlas projects equal to
//! `AtlasIntegration` objects.
//!
//! Data flows one way: watch → index → queue of projects → pass (LIST, plan, fence, Secrets, write) → status.
//! `tests/layers.rs` holds each module to the layers that it may use; `docs/architecture.md` says why.

pub mod api;
pub mod atlas;
pub mod cli;
pub mod cluster;
pub mod core;
pub mod domain;
pub mod engine;
#[cfg(test)]
mod fuzz;
pub mod telemetry;
