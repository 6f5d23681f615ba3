//! A model of the operator's surroundings for the `stateright` checker. The decisions are the operator's own
//! (`atlas_integration_operator::core`); users, others who write to Atlas, crashes, lost and late answers, stale views
//! and a second operator are modelled here. `tests/model.rs` checks it, and `tests/engine` compares the model's operator
//! with the real engine.

pub mod mutant;
pub mod operator;
pub mod real;
pub mod requests;
pub mod rest;
pub mod state;
pub mod turns;
pub mod world;
