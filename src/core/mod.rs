//! The decisions, as pure functions: no I/O, no clock, no randomness, no async.
//!
//! [`plan`] decides what one object needs next, [`outcome`] what follows from a write and its answer, [`quiet`] whether
//! an object needs nothing, [`sync`] how Atlas compares with what was sent, [`conflict`] which object owns a place,
//! [`conditions`] which conditions a status has, [`deletion`] the message of a deletion that waits, [`pacing`] how long
//! to wait, [`turns`] whose turn it is, and [`election`] which replica leads. [`crate::engine`] carries the decisions out, one step at a time, and
//! plans again after any step that fails.

pub mod conditions;
pub mod conflict;
pub mod deletion;
pub mod election;
pub mod outcome;
pub mod pacing;
pub mod plan;
pub mod quiet;
pub mod sync;
pub mod turns;
