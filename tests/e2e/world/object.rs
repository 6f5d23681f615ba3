//! One `AtlasIntegration` of a world, as a test speaks of it.

use std::time::Instant;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use crate::world::{LIMIT, World, condition, message};

const KIND: &str = "AtlasIntegration";

/// A handle for the object of a name, whether it is there or not.
#[derive(Clone)]
pub struct Object<'a> {
    world: &'a World,
    name: String,
}

impl<'a> Object<'a> {
    pub fn new(world: &'a World, name: &str) -> Object<'a> {
        Object { world, name: name.to_owned() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The API of its kind in its namespace.
    pub fn api(&self) -> Api<DynamicObject> {
        self.world.api(KIND, Some(&self.world.namespace))
    }

    /// As it is now; it must be there.
    pub async fn get(&self) -> Value {
        self.find().await.unwrap_or_else(|| panic!("{} is not there", self.name))
    }

    /// Waits until the status names the Secret of its settings as it is now, and Ready says that Atlas has it.
    pub async fn recorded(&self, secret: &str) -> Value {
        let secret = self.world.get("Secret", secret).await.unwrap();
        let version = secret["metadata"]["resourceVersion"].clone();
        let recorded = move |object: &Value| {
            object["status"]["applied"]["secrets"][0]["resourceVersion"] == version
                && condition(object, "Ready")["status"] == "True"
        };
        self.until("recorded with the Secret as it is", recorded).await
    }

    /// As it is now, if it is there.
    pub async fn find(&self) -> Option<Value> {
        self.world.get(KIND, &self.name).await
    }

    /// Merges a change into its spec.
    pub async fn change(&self, spec: &Value) -> &Object<'a> {
        self.patch(&json!({"spec": spec})).await
    }

    /// Gives it an annotation of the operator's.
    pub async fn annotate(&self, name: &str, value: &str) -> &Object<'a> {
        let name = format!("atlas-integrations.dev/{name}");
        self.patch(&json!({"metadata": {"annotations": {name: value}}})).await
    }

    /// Merges a change into it.
    pub async fn patch(&self, change: &Value) -> &Object<'a> {
        self.world.patch(KIND, &self.name, change).await;
        self
    }

    /// Gives it a status, as a backup tool does.
    pub async fn set_status(&self, status: &Value) {
        let change = json!({"status": status});
        self.api().patch_status(&self.name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
    }

    /// Deletes it and waits until it is gone, as `kubectl delete` does.
    pub async fn delete(&self) {
        self.begin_deletion().await;
        self.gone().await;
    }

    /// Deletes it without waiting for anything.
    pub async fn begin_deletion(&self) {
        self.world.delete(KIND, &self.name).await;
    }

    /// Waits until it is gone.
    pub async fn gone(&self) {
        self.until("gone", Value::is_null).await;
    }

    /// The same object once it is in sync.
    pub async fn in_sync(self) -> Object<'a> {
        self.synced().await;
        self
    }

    /// Waits until Ready says that Atlas has what the present generation wants.
    pub async fn synced(&self) -> Value {
        self.reaches("True", "Synced").await
    }

    /// Waits until Ready says this status and reason for the present generation.
    pub async fn reaches(&self, status: &str, reason: &str) -> Value {
        let what = format!("Ready={status} {reason}");
        self.until(&what, |object| {
            let ready = condition(object, "Ready");
            ready["status"] == status
                && ready["reason"] == reason
                && object["status"]["observedGeneration"] == object["metadata"]["generation"]
        })
        .await
    }

    /// Waits until its deletion waits for something, and returns it.
    pub async fn deletion_waits(&self) -> Value {
        self.until("waiting to be deleted", |object| message(object).starts_with("deletion waits: ")).await
    }

    /// Waits until a condition, whatever its generation, has this status or reason.
    pub async fn says(&self, kind: &str, word: &str) -> Value {
        let says = |object: &Value| {
            let condition = condition(object, kind);
            condition["status"] == word || condition["reason"] == word
        };
        self.until(&format!("{kind}={word}"), says).await
    }

    /// Waits until it is as `condition` wants it, and returns it.
    pub async fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            last = self.find().await.unwrap_or_default();
            if condition(&last) {
                return last;
            }
            tokio::time::sleep(self.world.poll).await;
        }
        panic!("{} is not {what} after {LIMIT:?}; it is {last:#}", self.name);
    }
}
