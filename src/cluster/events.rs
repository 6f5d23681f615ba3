//! Kubernetes Events: one for each transition, sent in the background. If an Event fails or is dropped, nothing else
//! fails.

use std::collections::HashMap;
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
/// How many of them may be of one namespace, so that there is room for those of others.
const WAITING_OF_ONE: usize = WAITING / 2;
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The API server refuses an Event whose note has more bytes.
const MAX_NOTE: usize = 1_024;
/// The API server refuses an Event whose name has more than 253 bytes. So much of the object's name leaves room for the
/// time.
const MAX_BEGIN: usize = 200;

/// How many Normal Events of a namespace may be sent at once, and how many more in each second. Thousands of objects that
/// are created together would cost the API server as many Events, each as much as a write of an object. Warnings are not
/// limited.
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
    tenants: Arc<Mutex<Tenants>>,
}

/// What each namespace has used up, so that none uses up what others may send. Only those are in here of which an Event
/// waits, or was sent a moment ago.
#[derive(Default)]
struct Tenants(HashMap<Arc<str>, Tenant>);

struct Tenant {
    /// How many of its Events wait to be sent.
    waiting: usize,
    /// How many Normal Events it may send at `at`.
    left: f64,
    at: Instant,
}

impl Tenants {
    /// Whether an Event of this namespace may wait to be sent now. If so, it is counted.
    fn admit(&mut self, namespace: &Arc<str>, kind: EventKind, now: Instant) -> bool {
        if !self.0.contains_key(namespace) {
            self.0.retain(|_, tenant| tenant.waiting > 0 || tenant.left_at(now) < BURST);
        }
        let fresh = Tenant { waiting: 0, left: BURST, at: now };
        let tenant = self.0.entry(Arc::clone(namespace)).or_insert(fresh);
        (tenant.left, tenant.at) = (tenant.left_at(now), now);
        let admitted = tenant.waiting < WAITING_OF_ONE && (kind == EventKind::Warning || tenant.left >= 1.0);
        if admitted {
            tenant.waiting += 1;
            tenant.left -= f64::from(kind == EventKind::Normal);
        }
        admitted
    }

    /// An Event of this namespace does not wait any more.
    fn sent(&mut self, namespace: &str) {
        if let Some(tenant) = self.0.get_mut(namespace) {
            tenant.waiting = tenant.waiting.saturating_sub(1);
        }
    }
}

impl Tenant {
    fn left_at(&self, now: Instant) -> f64 {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * A_SECOND;
        (self.left + grown).min(BURST)
    }
}

impl Events {
    /// Starts the sender. It ends when the last handle is dropped.
    pub fn start(client: Client, instance: String) -> (Events, tokio::task::JoinHandle<()>) {
        let (sender, mut receiver) = mpsc::channel::<Event>(WAITING);
        let tenants = Arc::<Mutex<Tenants>>::default();
        let counted = Arc::clone(&tenants);
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
                counted.lock().sent(&namespace);
            }
        });
        (Events { sender, instance, tenants }, task)
    }

    /// Queues an Event about `object`, or drops it: if too many wait, in all or of its namespace, or if it is a Normal one
    /// and there were many of them in its namespace.
    /// `note` is for people and must contain no secrets.
    pub fn publish(&self, object: &Object, kind: EventKind, reason: &str, action: &str, note: &str) {
        let now = jiff::Timestamp::now();
        let key = &object.key;
        let dropped = || {
            tracing::debug!(object = %key, project = object.project().map(display), "type" = object.kind().map(display), reason, "there are too many Events; this one is dropped");
        };
        if !self.tenants.lock().admit(&key.namespace, kind, Instant::now()) {
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
            self.tenants.lock().sent(&key.namespace);
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

    /// Admits Events of a namespace until none is admitted any more; all are sent meanwhile.
    fn all(tenants: &mut Tenants, namespace: &str, kind: EventKind, now: Instant) -> usize {
        let namespace = namespace.into();
        let admitted = std::iter::repeat_with(|| {
            let admitted = tenants.admit(&namespace, kind, now);
            tenants.sent(&namespace);
            admitted
        });
        admitted.take(10_000).take_while(|admitted| *admitted).count()
    }

    /// A burst, then as many as grow back; a pause brings back no more than the burst.
    #[tokio::test(start_paused = true)]
    async fn normal_events_are_limited() {
        let (mut tenants, mut now) = (Tenants::default(), Instant::now());
        assert_eq!(all(&mut tenants, "ns", EventKind::Normal, now), 500);
        assert_eq!(all(&mut tenants, "ns", EventKind::Warning, now), 10_000);
        now += Duration::from_millis(1_050);
        assert_eq!(all(&mut tenants, "ns", EventKind::Normal, now), 10);
        now += Duration::from_secs(3_600);
        assert_eq!(all(&mut tenants, "ns", EventKind::Normal, now), 500);
    }

    /// Whatever one namespace sends, and however long that waits, another has its own burst and room to wait.
    #[tokio::test(start_paused = true)]
    async fn the_flood_of_a_namespace_leaves_others_their_events() {
        let (mut tenants, now) = (Tenants::default(), Instant::now());
        let flood = (0..10_000).filter(|_| tenants.admit(&"flood".into(), EventKind::Warning, now)).count();
        assert_eq!(flood, WAITING_OF_ONE);
        assert_eq!(all(&mut tenants, "flood", EventKind::Normal, now), 0);
        let victim = (0..10_000).filter(|_| tenants.admit(&"victim".into(), EventKind::Normal, now)).count();
        assert_eq!(victim, 500);
    }

    /// What is remembered does not grow with the namespaces that there ever were.
    #[tokio::test(start_paused = true)]
    async fn namespaces_are_forgotten() {
        let (mut tenants, mut now) = (Tenants::default(), Instant::now());
        for number in 0..1_000 {
            all(&mut tenants, &number.to_string(), EventKind::Normal, now);
            now += Duration::from_secs(60);
        }
        assert_eq!(tenants.0.len(), 1);
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
