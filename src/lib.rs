//! Atlas Integration Operator: keeps the third-party integrations of MongoDB Atlas projects in sync with
//! `AtlasIntegration` objects.
//!
//! Data flows one way: watch → index → queue of projects → pass (LIST, plan, fence, Secrets, write) → status.
//! `tests/layers/main.rs` fails if a module uses a layer that it may not use; `docs/architecture.md` says why.

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
