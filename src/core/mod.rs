//! The decisions, as functions from values to values: no I/O, no clock, no randomness, no async.
//!
//! [`plan`] says what one object needs next, [`outcome`] what becomes of it by a write and its answer, [`quiet`] when
//! it needs nothing, [`conflict`] who owns a place, [`conditions`] what a status says, [`deletion`] what a deletion
//! that waits says, [`pacing`] how long to wait, [`election`] who leads. The shells in [`crate::engine`] carry it out,
//! one step at a time, and plan anew after any step that fails.

pub mod conditions;
pub mod conflict;
pub mod deletion;
pub mod election;
pub mod outcome;
pub mod pacing;
pub mod plan;
pub mod quiet;
