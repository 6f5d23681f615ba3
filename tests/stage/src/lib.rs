//! What the end-to-end tests, the demo and the bench share: the operator as a process ([`Operator`]), the cluster and the
//! simulator that it works on ([`Stage`]), and a sample of each of the ten types ([`samples`]).
//!
//! Nothing here names the operator's own crate: this crate is also built without it. All calls block.

mod error;
mod operator;
pub mod samples;
mod stage;

pub use error::Error;
pub use operator::{Launch, Memory, Operator, get};
pub use stage::{ACCOUNT, ESTABLISHED, MANIFESTS, Stage, repository};
