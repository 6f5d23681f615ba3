//! Every version that an `AtlasIntegration` ever had while a test looked: what a GET now and then would miss.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use kube::api::{WatchEvent, WatchParams};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::world::{Object, until};

/// The versions of one object since the history was begun. Dropping it ends the watch.
pub struct History<'a> {
    object: Object<'a>,
    begun_at: Value,
    versions: Arc<Mutex<Vec<Value>>>,
    watch: JoinHandle<()>,
}

impl<'a> History<'a> {
    /// Begins with what comes after the version that is there now.
    pub async fn of(object: &Object<'a>) -> History<'a> {
        let now = object.get().await;
        let begun_at = now["metadata"]["resourceVersion"].clone();
        let params = WatchParams::default().fields(&format!("metadata.name={}", object.name()));
        let mut events = object.api().watch(&params, begun_at.as_str().unwrap()).await.unwrap().boxed();
        let versions = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&versions);
        let watch = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event.unwrap() {
                    seen.lock().unwrap().push(serde_json::to_value(object).unwrap());
                }
            }
        });
        History { object: object.clone(), begun_at, versions, watch }
    }

    /// The versions up to the one that is there now, oldest first.
    pub async fn so_far(&self) -> Vec<Value> {
        let now = self.object.get().await;
        let now = &now["metadata"]["resourceVersion"];
        until("the present version in the watch", || {
            let seen = self.versions.lock().unwrap().clone();
            let last = seen.last().map_or(&self.begun_at, |version| &version["metadata"]["resourceVersion"]);
            (last == now || seen.iter().any(|version| version["metadata"]["resourceVersion"] == *now))
                .then_some(seen)
        })
        .await
    }
}

impl Drop for History<'_> {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
