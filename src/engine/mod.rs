//! The shells around the decisions: watches feed an index of compact records, changes and timers feed a queue of
//! projects, and a pass over one project lists, plans, fences, writes and records, one object after another.

mod credentials;
mod election;
mod index;
mod memory;
mod pass;
mod queue;
mod run;
mod say;
mod step;
mod write;

pub use crate::core::election::{LONGEST_LEASE, Timing};
pub use election::ElectionSettings;
pub use run::{Engine, Settings, Telemetry};
