//! Metrics in the OpenMetrics text format. No label contains the name of an object, namespace or project, so the number
//! of series does not grow with the cluster.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::{IntegrationType, Reason};

type Labels<const N: usize> = [(&'static str, String); N];

/// The operator's metrics, all under the prefix `atlas_integration_`.
pub struct Metrics {
    registry: Registry,
    atlas_requests: Family<Labels<2>, Counter>,
    api_writes: Family<Labels<1>, Counter>,
    passes: Histogram,
    drift: Family<Labels<1>, Counter>,
    transitions: Family<Labels<1>, Counter>,
    objects: Gauge<u64, AtomicU64>,
    projects: Gauge<u64, AtomicU64>,
    waiting: Gauge<u64, AtomicU64>,
    leader: Gauge<u64, AtomicU64>,
    namespaces_unlisted: Gauge<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// Metrics, all at zero.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("atlas_integration");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The operator's version", build);
        let atlas_requests = Family::default();
        registry.register(
            "atlas_requests",
            "Calls to Atlas by operation (TOKEN: a service account's token) and HTTP status; status 0: no answer; other: a status \
             that HTTP does not define",
            atlas_requests.clone(),
        );
        let api_writes = Family::default();
        registry.register("api_writes", "Writes to the API server by kind, Events apart", api_writes.clone());
        let buckets = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0, 60.0];
        let passes = Histogram::new(buckets);
        registry.register_with_unit("pass_duration", "Passes over a project", Unit::Seconds, passes.clone());
        let drift = Family::default();
        registry.register(
            "drift",
            "Drift that was found, to be written over or only observed, by type",
            drift.clone(),
        );
        let transitions = Family::default();
        registry.register("transitions", "Changes of Ready by the reason they led to", transitions.clone());
        let objects = Gauge::default();
        registry.register("objects", "AtlasIntegration objects", objects.clone());
        let projects = Gauge::default();
        registry.register("projects", "Atlas projects with at least one object", projects.clone());
        let waiting = Gauge::default();
        registry.register("projects_waiting", "Projects that wait for their next pass", waiting.clone());
        let leader = Gauge::default();
        registry.register(
            "leader",
            "1 where this replica is the one that acts, 0 where it stands by",
            leader.clone(),
        );
        let namespaces_unlisted = Gauge::default();
        registry.register(
            "namespaces_unlisted",
            "Namespaces of --watch-namespace whose objects are not served since the operator may not list them",
            namespaces_unlisted.clone(),
        );
        let metrics = Metrics {
            registry,
            atlas_requests,
            api_writes,
            passes,
            drift,
            transitions,
            objects,
            projects,
            waiting,
            leader,
            namespaces_unlisted,
        };
        metrics.start_at_zero();
        metrics
    }

    /// Creates series at zero, so that an alert notices their first increase.
    fn start_at_zero(&self) {
        for (operation, status) in
            [("LIST", 200), ("POST", 200), ("PUT", 200), ("DELETE", 204), ("TOKEN", 200)]
        {
            let labels = [("operation", operation.to_owned()), ("status", status.to_string())];
            drop(self.atlas_requests.get_or_create(&labels));
        }
        for kind in ["claim", "fence", "status", "release"] {
            drop(self.api_writes.get_or_create(&[("kind", kind.to_owned())]));
        }
        for kind in IntegrationType::ALL {
            drop(self.drift.get_or_create(&[("type", kind.as_str().to_owned())]));
        }
        for reason in Reason::ALL {
            drop(self.transitions.get_or_create(&[("reason", reason.as_str().to_owned())]));
        }
    }

    /// One call to Atlas.
    pub fn atlas_request(&self, operation: &'static str, status: u16) {
        let labels = [("operation", operation.to_owned()), ("status", shown(status))];
        self.atlas_requests.get_or_create(&labels).inc();
    }

    /// One write to the API server.
    pub fn api_write(&self, kind: &'static str) {
        self.api_writes.get_or_create(&[("kind", kind.to_owned())]).inc();
    }

    /// The text that a scrape returns.
    ///
    /// # Errors
    /// Only if formatting into a string fails.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl crate::engine::Telemetry for Metrics {
    fn pass(&self, seconds: f64) {
        self.passes.observe(seconds);
    }

    fn drift(&self, kind: IntegrationType) {
        self.drift.get_or_create(&[("type", kind.as_str().to_owned())]).inc();
    }

    fn transition(&self, reason: Reason) {
        self.transitions.get_or_create(&[("reason", reason.as_str().to_owned())]).inc();
    }

    fn size(&self, objects: usize, projects: usize, waiting: usize) {
        self.objects.set(objects as u64);
        self.projects.set(projects as u64);
        self.waiting.set(waiting as u64);
    }

    fn leader(&self, leads: bool) {
        self.leader.set(u64::from(leads));
    }

    fn unlisted(&self, namespaces: usize) {
        self.namespaces_unlisted.set(namespaces as u64);
    }
}

/// A status in the label of a metric. Whoever answers may make up others than HTTP defines, and each would be a series.
fn shown(status: u16) -> String {
    // The last are those of proxies.
    let known = matches!(status, 0 | 100..=103 | 200..=208 | 226 | 300..=308 | 400..=431 | 451 | 499 | 500..=511 | 520..=530);
    if known { status.to_string() } else { "other".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_our_names() {
        let metrics = Metrics::new();
        metrics.atlas_request("LIST", 200);
        metrics.api_write("claim");
        let text = metrics.text().expect("encodes");
        for line in [
            r#"atlas_integration_atlas_requests_total{operation="LIST",status="200"} 1"#,
            r#"atlas_integration_api_writes_total{kind="claim"} 1"#,
            "atlas_integration_objects 0",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
