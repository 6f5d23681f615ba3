//! A simulator of the part of MongoDB Atlas that manages third-party integrations.
//!
//! It speaks HTTP on a loopback port: both API versions over one store, digest and OAuth, masking, paging, limits,
//! and every fault that a client has to survive, by script. What Atlas really stores, secrets included, can be read
//! back, so that a test can compare the truth with what a client believes.
//!
//! It is not a mock: no expectations are set and nothing is verified here. It knows nothing of Kubernetes either.
//! Where Atlas's own behaviour is not known from the published contract or a recorded answer, there is a switch in
//! [`Settings`] and the documentation of the switch says so.

mod admin;
mod auth;
mod body;
mod catalog;
pub mod contract;
mod effects;
mod error;
mod exchange;
mod fault;
mod form;
mod handle;
mod hostile;
mod integrations;
mod json;
mod limits;
mod mask;
mod page;
mod project;
mod random;
mod reply;
mod request;
mod server;
mod settings;
mod sim;
mod state;
mod store;
mod validate;
mod version;

pub use exchange::{Api, Change, Counters, Exchange, Operation, Scheme};
pub use fault::{Authentication, Effect, Fault, Matcher};
pub use form::{is_unseen, usable};
pub use hostile::Raw;
pub use project::{Project, Role};
pub use settings::{
    Algorithm, Challenges, Flowdock, HowNormalised, HowTwisted, NonceCounts, Normalise, PutOmitted,
    PutOnAbsent, Serve, Settings, SlackFirstCreate, Twist, UrlMask, V1Shape,
};
pub use sim::AtlasSim;
