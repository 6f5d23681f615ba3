//! Logs, metrics, probes.

mod http;
mod logs;
mod metrics;

pub use http::serve;
pub use logs::{LogFormat, install};
pub use metrics::Metrics;
