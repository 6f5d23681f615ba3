//! Kubernetes Events: one for each transition, sent in the background. If an Event fails or is dropped, nothing else
//! fails.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::api::AtlasIntegration;
use crate::domain::{Object, plain};

/// How many Events may wait to be sent. Further ones are dropped, since the conditions say the same.
const WAITING: usize = 1_024;
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The API server refuses an Event whose note has more bytes.
const MAX_NOTE: usize = 1_024;
/// The API server refuses an Event whose name has more than 253 bytes. So much of the object's name leaves room for the
/// time.
const MAX_BEGIN: usize = 200;

/// How many Normal Events may be sent at once, and how many more in each second. Thousands of objects that are created
/// together would cost the API server as many Events, each as much as a write of an object. Warnings are not limited.
const BURST: f64 = 500.0;
const A_SECOND: f64 = 10.0;

/// Normal or Warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EventKind {
    Normal,
    Warning,
}

/// Accepts Events for sending.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Event>,
    instance: String,
    allowance: Arc<Mutex<Allowance>>,
}

/// How many Normal Events may be sent now.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Allowance {
        Allowance { left: BURST, at: now }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * A_SECOND;
        (self.left, self.at) = ((self.left + grown).min(BURST), now);
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

impl Events {
    /// Starts the sender. It ends when the last handle is dropped.
    pub fn start(client: Client, instance: String) -> (Events, tokio::task::JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel::<Event>(WAITING);
        let task = tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                let namespace = event.metadata.namespace.clone().unwrap_or_default();
                let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
                let params = PostParams::default();
                match tokio::time::timeout(TIME_LIMIT, api.create(&params, &event)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => tracing::debug!(%error, "an Event was not taken"),
                    Err(_) => tracing::debug!("an Event took too long"),
                }
            }
        });
        let allowance = Arc::new(Mutex::new(Allowance::new(Instant::now())));
        (Events { sender, instance, allowance }, task)
    }

    /// Queues an Event about `object`, or drops it: if too many wait, or if it is a Normal one and there were many of them.
    /// `note` is for people and must contain no secrets.
    pub fn publish(&self, object: &Object, kind: EventKind, reason: &str, action: &str, note: &str) {
        let now = jiff::Timestamp::now();
        let key = &object.key;
        let dropped = || {
            tracing::debug!(object = %key, project = object.project().map(display), "type" = object.kind().map(display), reason, "there are too many Events; this one is dropped");
        };
        if kind == EventKind::Normal && !self.allowance.lock().take(Instant::now()) {
            return dropped();
        }
        let event = Event {
            metadata: ObjectMeta {
                namespace: Some(key.namespace.to_string()),
                name: Some(name(&key.name, now)),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(format!("{kind:?}")),
            reason: Some(reason.to_owned()),
            action: Some(action.to_owned()),
            note: Some(cut(note)),
            regarding: Some(ObjectReference {
                api_version: Some(AtlasIntegration::api_version(&()).into_owned()),
                kind: Some(AtlasIntegration::kind(&()).into_owned()),
                namespace: Some(key.namespace.to_string()),
                name: Some(key.name.to_string()),
                uid: Some(object.uid.clone()),
                ..ObjectReference::default()
            }),
            reporting_controller: Some("atlas-integrations.dev/operator".to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        if self.sender.try_send(event).is_err() {
            dropped();
        }
    }
}

/// The name of an Event about the object `of`. The object's name may already have the greatest length of a name, and a
/// part of a name must not end in a hyphen or a dot.
fn name(of: &str, now: jiff::Timestamp) -> String {
    let begin = of.get(..MAX_BEGIN).unwrap_or(of).trim_end_matches(['-', '.']);
    format!("{begin}.{:x}", now.as_nanosecond())
}

/// A note, cut so that the API server takes it.
fn cut(note: &str) -> String {
    let mut note = plain(note, MAX_NOTE);
    while note.len() > MAX_NOTE {
        note.pop();
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// A burst, then as many as grow back; a pause brings back no more than the burst.
    #[tokio::test(start_paused = true)]
    async fn normal_events_are_limited() {
        let mut now = Instant::now();
        let mut allowance = Allowance::new(now);
        let mut all = |now| std::iter::repeat_with(|| allowance.take(now)).take_while(|taken| *taken).count();
        assert_eq!(all(now), 500);
        now += Duration::from_millis(1_050);
        assert_eq!(all(now), 10);
        now += Duration::from_secs(3_600);
        assert_eq!(all(now), 500);
    }

    #[rstest]
    #[case::short("datadog", 7)]
    #[case::hyphens_at_the_cut(&format!("{}--{}", "a".repeat(198), "b".repeat(53)), 198)]
    #[case::dot_at_the_cut(&format!("{}.{}", "a".repeat(199), "b".repeat(53)), 199)]
    #[case::as_long_as_can_be(&"a".repeat(253), 200)]
    fn the_name_of_an_event_is_a_valid_name(#[case] of: &str, #[case] kept: usize) {
        let name = name(of, jiff::Timestamp::now());
        let (begin, time) = name.rsplit_once('.').expect("a time");
        assert_eq!((begin, of.starts_with(begin)), (&of[..kept], true));
        assert!(name.len() <= 253 && !time.is_empty(), "{name}");
        let good = |part: &str| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-');
        assert!(name.split('.').all(good), "{name}");
    }

    #[rstest]
    #[case::fits("Atlas", 5)]
    #[case::as_long_as_fits(&"a".repeat(1_024), 1_024)]
    #[case::a_byte_too_long(&"a".repeat(1_025), 1_024)]
    #[case::two_bytes_each(&"ü".repeat(900), 1_024)]
    #[case::three_bytes_each(&"€".repeat(400), 1_023)]
    #[case::four_bytes_each(&format!("a{}", "😀".repeat(400)), 1_021)]
    #[case::empty("", 0)]
    fn a_note_never_has_more_bytes_than_the_api_server_takes(#[case] note: &str, #[case] bytes: usize) {
        let cut = cut(note);
        assert_eq!((cut.len(), note.starts_with(&cut)), (bytes, true));
    }
}
