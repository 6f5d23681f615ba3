//! The shells around the decisions: watches feed an index of compact records, changes and timers feed a queue of
//! projects, and a pass over one project observes, decides and acts, one object after another.

mod credentials;
mod election;
mod follow;
mod fresh;
mod index;
mod jitter;
mod object;
mod pass;
mod queue;
mod run;
mod shared;
mod standing;
mod store;
mod turn;

pub use crate::core::conditions::Patience;
pub use crate::core::election::{LONGEST_LEASE, Timing};
pub use election::ElectionSettings;
pub use object::{CallResult, Fenced};
pub use run::Engine;
pub use shared::{Readiness, Settings, State, Telemetry};

#[cfg(test)]
mod size_tests;
