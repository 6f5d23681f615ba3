//! The floor: what the same API-server writes and Atlas calls take when a bare loop makes them, at the same
//! concurrency and as the operator's ServiceAccount. No decisions, no watches, no reads of objects or Secrets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_integration_operator::api::CLAIM_ANNOTATION;
use atlas_integration_operator::atlas::{
    ApiVersion, Client, Credential, Key, Options, Session, VersionChoice,
};
use atlas_integration_operator::cluster::{Defaults, Writer};
use atlas_integration_operator::domain::{
    AdoptionPolicy, DeletionPolicy, Integration, MemoryKey, ObjectKey, ProjectId, SecretKey, SecretValue,
};
use atlas_integration_stage::samples::{self, Sample};
use atlas_sim::Project;
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::Client as ApiServer;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use url::Url;

use crate::Failed;
use crate::stage::{self, CONCURRENCY, Stage};

/// The client of Atlas, and what it sends.
pub struct Floor<'a> {
    stage: &'a Stage,
    atlas: Client,
    session: Arc<Session>,
    /// As the operator's ServiceAccount.
    api_server: ApiServer,
    /// Of each type, in the order of [`stage::objects`].
    integrations: Vec<Integration<SecretValue>>,
    /// In the same order.
    samples: Vec<Sample>,
}

impl<'a> Floor<'a> {
    /// Prepares it.
    pub async fn new(stage: &'a Stage) -> Result<Floor<'a>, Failed> {
        let options = Options {
            url: Url::parse(&stage.sim.url())?,
            version: VersionChoice::Fixed(ApiVersion::V2),
            time_limit: Duration::from_secs(15),
            proxy: None,
        };
        let atlas = Client::new(options, Arc::new(|_, _| {}))?;
        let stage::Key { public, private, .. } = stage::BENCH;
        let secret = |text: &str| SecretValue::from_bytes(text.as_bytes()).map_err(|error| error.to_string());
        let key = Key::ApiKey { public_key: public.to_owned(), private_key: secret(private)? };
        let fingerprint = MemoryKey::generate().ok_or("no randomness")?.fingerprint([private]);
        let session = atlas.session(&Credential { key, fingerprint });
        let api_server = stage.operators_client().await?;
        let (integrations, samples) = (integrations(stage).await?, samples::all());
        Ok(Floor { stage, atlas, session, api_server, integrations, samples })
    }

    /// Creates the objects of so many new projects and does for each what the operator does; returns how long that
    /// took. The objects are deleted then.
    pub async fn run(&self, namespace: &str, projects: usize) -> Result<Duration, Failed> {
        let projects = self.stage.populate(namespace, projects).await?;
        let begun = Instant::now();
        let passes = stream::iter(&projects).map(|project| self.one_project(namespace, project));
        passes.buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
        let took = begun.elapsed();
        self.stage.delete_objects(namespace).await?;
        Ok(took)
    }

    // The floor needs no fence: nothing else writes.
    #[allow(clippy::disallowed_methods)]
    async fn one_project(&self, namespace: &str, project: &Project) -> Result<(), Failed> {
        let Floor { stage, atlas, session, api_server, integrations, samples } = self;
        let id = ProjectId::parse(project.id()).ok_or("no project id")?;
        let api = Api::namespaced_with(api_server.clone(), namespace, &stage::resource("AtlasIntegration"));
        let mut objects = Vec::new();
        for object in stage::objects(namespace, project) {
            objects.push(stage.create(&object).await?);
        }
        for flowdock in [false, true] {
            atlas.list(session, &id, flowdock).await.map_err(|failure| failure.summary())?;
        }
        for ((object, integration), sample) in objects.iter().zip(integrations).zip(samples) {
            let uid = object.metadata.uid.clone().unwrap_or_default();
            let (attempt, status) = statuses(project, &uid, &sample.echo);
            let object = write(&api, object, json!({"status": {"attempt": attempt}})).await?;
            let object = write(&api, &object, claim()).await?;
            atlas.create(session, &id, integration).await.map_err(|failure| failure.summary())?;
            write(&api, &object, json!({"status": status})).await?;
        }
        Ok(())
    }
}

/// Makes one of the operator's writes: a merge patch that names uid and resourceVersion.
async fn write(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    mut change: Value,
) -> Result<DynamicObject, kube::Error> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    change["metadata"]["uid"] = json!(object.metadata.uid);
    change["metadata"]["resourceVersion"] = json!(object.metadata.resource_version);
    let params = PatchParams {
        field_manager: Some("atlas-integration-operator".to_owned()),
        ..PatchParams::default()
    };
    match change.get("status") {
        Some(_) => api.patch_status(name, &params, &Patch::Merge(change)).await,
        None => api.patch(name, &params, &Patch::Merge(change)).await,
    }
}

/// A claim, as long as the operator's, without its finalizer: nobody would take that away.
fn claim() -> Value {
    json!({"metadata": {"annotations": {
        CLAIM_ANNOTATION: "x".repeat(90),
        "atlas-integrations.dev/instead-of-the-finalizer": "x".repeat(32),
    }}})
}

/// The attempt, and the status after the write, as the operator would store them for this sample.
fn statuses(project: &Project, uid: &str, echo: &Value) -> (Value, Value) {
    const TIME: &str = "2026-01-01T00:00:00.123456789Z";
    let attempt = json!({"id": format!("{uid}.0123456789abcdef"), "time": TIME, "sent": echo});
    let condition = |kind: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": "Synced", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
    };
    let ready = format!("Atlas holds the integration of project {} as the spec says", project.id());
    let mut integration = echo.clone();
    integration["id"] = json!("5d791c84ff7a2522cc4f9aa1");
    let secret = json!({"name": stage::keys_of(project), "uid": uid, "resourceVersion": "12345"});
    let applied = json!({"uid": uid, "attempt": attempt["id"], "config": "x".repeat(32),
        "fingerprint": "x".repeat(32), "secrets": [secret], "time": TIME});
    let status = json!({"observedGeneration": 1, "integration": integration, "applied": applied,
        "conditions": [condition("Ready", &ready), condition("InSync", "Atlas holds what was last confirmed")]});
    (attempt, status)
}

/// The ten, in the order of [`stage::objects`]: as the operator reads them from an example of each.
async fn integrations(stage: &Stage) -> Result<Vec<Integration<SecretValue>>, Failed> {
    const EXAMPLES: &str = "examples";
    let projects = stage.populate(EXAMPLES, 1).await?;
    let defaults = Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };
    let reader = Writer::new(stage.client.clone(), defaults, Arc::new(|_| {}));
    let keys = stage::keys(1);
    let mut found = Vec::new();
    for object in stage::objects(EXAMPLES, &projects[0]) {
        let name = stage.create(&object).await?.metadata.name.unwrap_or_default();
        let key = ObjectKey { namespace: EXAMPLES.into(), name: name.as_str().into() };
        let read = reader.get(&key).await.map_err(|error| error.to_string())?.ok_or("an example is gone")?;
        let value =
            |key: &SecretKey| SecretValue::from_bytes(keys[&key.key].as_str().unwrap_or_default().as_bytes());
        let integration = read.object.spec?.integration.try_map(|_, key| value(key));
        found.push(integration.map_err(|error| error.to_string())?);
    }
    stage.delete_objects(EXAMPLES).await?;
    Ok(found)
}
