//! Kubernetes Events: one for each transition, sent in the background. If an Event fails or is dropped, nothing else
//! fails.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use tokio::sync::mpsc;

use crate::api::AtlasIntegration;
use crate::domain::{Object, plain};

/// How many Events may wait to be sent. Further ones are dropped, since the conditions say the same.
const WAITING: usize = 1_024;
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Notes are cut at this length (the limit of the API is 1 kB).
const MAX_NOTE: usize = 1_000;

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
        (Events { sender, instance }, task)
    }

    /// Queues an Event about `object`. `note` is for people and must contain no secrets.
    pub fn publish(&self, object: &Object, kind: EventKind, reason: &str, action: &str, note: &str) {
        let now = jiff::Timestamp::now();
        let key = &object.key;
        let note = plain(note, MAX_NOTE);
        let event = Event {
            metadata: ObjectMeta {
                namespace: Some(key.namespace.to_string()),
                // The name of the object may already have the greatest length of an Event's name.
                name: Some(format!("{:.200}.{:x}", key.name, now.as_nanosecond())),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(format!("{kind:?}")),
            reason: Some(reason.to_owned()),
            action: Some(action.to_owned()),
            note: Some(note),
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
            tracing::debug!(object = %key, project = object.project().map(display), "type" = object.kind().map(display), reason, "too many Events wait; this one is dropped");
        }
    }
}
