//! Logs, metrics, probes.

mod http;
mod logs;
mod metrics;

pub use http::{Bind, serve};
pub use logs::{Filter, LogFormat, install};
pub use metrics::Metrics;
