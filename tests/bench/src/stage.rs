//! What is measured on: a control plane, a simulator, and the objects, projects and Secrets in them.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atlas_integration_stage::samples::{self, Sample};
use atlas_integration_stage::{self as shared, ACCOUNT};
use atlas_sim::Project;
use control_plane::Options;
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::Failed;

/// Writes at a time, as the operator's default `--concurrency`.
pub const CONCURRENCY: usize = 16;
/// Objects of a project: one of each type.
pub const TYPES: usize = 10;

/// An API key, and the organisation that it is of.
#[derive(Debug)]
pub struct Key {
    pub org: &'static str,
    pub public: &'static str,
    pub private: &'static str,
}

/// Who sets everything up, to the API server.
pub const ADMIN: &str = "admin";

/// The key of all projects, where there is one tenant.
pub const BENCH: Key =
    Key { org: "bench", public: "benchkey", private: "8f0d7c52-1a2b-4c3d-9e8f-1234567890ab" };

/// The parts.
pub struct Stage {
    parts: shared::Stage,
    /// How many projects there are.
    projects: AtomicUsize,
    pub client: Client,
    pub kubeconfig: PathBuf,
}

impl Deref for Stage {
    type Target = shared::Stage;

    fn deref(&self) -> &shared::Stage {
        &self.parts
    }
}

impl Stage {
    /// Starts everything but the operator. The audit log leaves out the requests of these users.
    pub async fn set(latency: Duration, unaudited: &[&str]) -> Result<Stage, Failed> {
        let unaudited_users = unaudited.iter().map(|user| (*user).to_owned()).collect();
        let parts = shared::Stage::set(Options { unaudited_users, ..Options::default() })?;
        parts.sim.settings(|settings| settings.latency = latency);
        let kubeconfig = parts.plane.kubeconfig_for_service_account(ACCOUNT, ACCOUNT)?;
        let client = client_of(parts.plane.kubeconfig()).await?;
        Ok(Stage { parts, projects: AtomicUsize::new(0), client, kubeconfig })
    }

    /// A client that is to the API server what the operator is.
    pub async fn operators_client(&self) -> Result<Client, Failed> {
        client_of(&self.kubeconfig).await
    }

    /// Objects of a kind in a namespace.
    pub fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }

    /// Creates an object.
    pub async fn create(&self, object: &Value) -> Result<DynamicObject, Failed> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let api = self.api(text_of(&object), text("/metadata/namespace"));
        Ok(api.create(&PostParams::default(), &object).await?)
    }

    /// Creates objects, several at a time, and returns their names.
    pub async fn create_all(&self, objects: impl IntoIterator<Item = Value>) -> Result<Vec<String>, Failed> {
        let creations = stream::iter(objects)
            .map(|object| async move { Ok(self.create(&object).await?.metadata.name.unwrap_or_default()) });
        creations.buffer_unordered(CONCURRENCY).try_collect().await
    }

    /// New projects in which this key is good.
    pub fn projects(&self, key: &Key, number: usize) -> Vec<Project> {
        let first = self.projects.fetch_add(number, Ordering::Relaxed) + 1;
        let project = |number| {
            let project = self.sim.project(&format!("5d791c84ff7a2522{number:08x}"));
            project.set_org(key.org);
            project.allow_key(key.public, key.private);
            project
        };
        (first..first + number).map(project).collect()
    }

    /// The Secret `atlas` with a key.
    pub async fn create_credential(&self, namespace: &str, key: &Key) -> Result<(), Failed> {
        let values = json!({"publicApiKey": key.public, "privateApiKey": key.private});
        self.create(&secret(namespace, "atlas", &values)).await.map(drop)
    }

    /// A namespace with a credential, and for each project its Secret of keys. Returns the projects.
    pub async fn populate(&self, namespace: &str, projects: usize) -> Result<Vec<Project>, Failed> {
        self.plane.kubectl(&["create", "namespace", namespace])?;
        self.create_credential(namespace, &BENCH).await?;
        let projects = self.projects(&BENCH, projects);
        let keys = keys(1);
        self.create_all(projects.iter().map(|project| secret(namespace, &keys_of(project), &keys))).await?;
        Ok(projects)
    }

    /// Creates the ten objects of each project.
    pub async fn create_objects(&self, namespace: &str, projects: &[Project]) -> Result<(), Failed> {
        self.create_all(projects.iter().flat_map(|project| objects(namespace, project))).await.map(drop)
    }

    /// Secrets that no object refers to.
    pub async fn create_foreign_secrets(&self, namespace: &str, number: usize) -> Result<(), Failed> {
        let value = json!({"value": "x".repeat(1_000)});
        self.create_all((0..number).map(|n| secret(namespace, &foreign(n), &value))).await.map(drop)
    }

    /// Deletes them. One request for all would run into the API server's time limit.
    pub async fn delete_foreign_secrets(&self, namespace: &str, number: usize) -> Result<(), Failed> {
        let api = &self.api("Secret", namespace);
        let deletions = stream::iter(0..number)
            .map(|n| async move { api.delete(&foreign(n), &DeleteParams::default()).await.map(drop) });
        Ok(deletions.buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await.map(drop)?)
    }

    /// Gives a project's Secret the nth set of keys.
    pub async fn rotate(&self, namespace: &str, project: &Project, number: usize) -> Result<(), Failed> {
        let change = json!({"stringData": keys(number)});
        let api = self.api("Secret", namespace);
        api.patch(&keys_of(project), &PatchParams::default(), &Patch::Merge(&change)).await?;
        Ok(())
    }

    /// Takes all objects of a namespace away.
    pub async fn delete_objects(&self, namespace: &str) -> Result<(), Failed> {
        let api = self.api("AtlasIntegration", namespace);
        api.delete_collection(&DeleteParams::default(), &kube::api::ListParams::default()).await?;
        Ok(())
    }
}

async fn client_of(kubeconfig: &Path) -> Result<Client, Failed> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// One of the two kinds.
pub fn resource(kind: &str) -> ApiResource {
    let (api_version, plural) = match kind {
        "AtlasIntegration" => ("atlas-integrations.dev/v1", "atlasintegrations"),
        _ => ("v1", "secrets"),
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

fn text_of(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("Secret", |types| types.kind.as_str())
}

pub fn keys_of(project: &Project) -> String {
    format!("keys-{}", project.id())
}

fn foreign(number: usize) -> String {
    format!("foreign-{number}")
}

/// A Secret.
pub fn secret(namespace: &str, name: &str, values: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "stringData": values})
}

/// The key that the nth set has for DATADOG.
pub fn datadog_key(number: usize) -> String {
    format!("{number:032x}")
}

/// The nth set of values, one for each way in which the samples' secrets are written.
pub fn keys(number: usize) -> Value {
    let text = format!("a-key-for-benchmarks-{number}");
    let headers = json!({"X-Token": text}).to_string();
    json!({"hex": datadog_key(number), "url": format!("https://hooks.example.com/{number}"), "headers": headers,
        "text": text})
}

/// Waits until Atlas has the DATADOG key of the nth set of values in a project.
pub async fn until_key(project: &Project, number: usize, limit: Duration) -> Result<(), Failed> {
    let (key, begun) = (datadog_key(number), Instant::now());
    while project.stored_type("DATADOG").is_none_or(|stored| stored["apiKey"] != key) {
        if begun.elapsed() > limit {
            return Err("a rotated key never reached Atlas".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Which of these a sample's value is written as.
fn way_of(value: &str) -> &'static str {
    match value {
        value if value.starts_with('{') => "headers",
        value if value.starts_with("https://") => "url",
        value if value.len() == 32 && value.chars().all(|c| c.is_ascii_hexdigit()) => "hex",
        _ => "text",
    }
}

/// The ten objects of a project, which share its Secret.
pub fn objects(namespace: &str, project: &Project) -> Vec<Value> {
    let samples = samples::all();
    samples.iter().map(|sample| object(namespace, project, sample, &keys_of(project))).collect()
}

/// The object of a type in a project, with its keys in this Secret.
pub fn object(namespace: &str, project: &Project, sample: &Sample, secret: &str) -> Value {
    let mut spec = json!({"projectId": project.id(), "credentialsSecretRef": {"name": "atlas"}});
    samples::merge(&mut spec, &sample.with_secret(secret));
    for field in spec[sample.block()].as_object_mut().into_iter().flat_map(|block| block.values_mut()) {
        let value = sample.secrets.iter().find(|(key, _)| field["key"] == *key).map(|(_, value)| *value);
        if let Some(value) = value {
            field["key"] = way_of(value).into();
        }
    }
    json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
        "metadata": {"name": name_of(sample, project), "namespace": namespace}, "spec": spec})
}

/// The name of the object of a type in a project.
pub fn name_of(sample: &Sample, project: &Project) -> String {
    format!("{}-{}", sample.name(), project.id())
}
