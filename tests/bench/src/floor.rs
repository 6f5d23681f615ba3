//! The floor: what the same API-server writes and Atlas calls take when a bare loop makes them, at the same
//! concurrency. No decisions, no watches, no reads of objects or Secrets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_integration_operator::atlas::{
    ApiVersion, Client, Credential, Key, Options, Session, VersionChoice,
};
use atlas_integration_operator::domain::{
    FieldValue, Integration, IntegrationType as T, MemoryKey, ProjectId, SecretValue,
};
use atlas_sim::Project;
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use url::Url;

use crate::Failed;
use crate::stage::{self, CONCURRENCY, Stage};

/// Creates the objects of all projects and does for each what the operator does; answers how long that took.
pub async fn run(stage: &Stage, namespace: &str, projects: &[Project]) -> Result<Duration, Failed> {
    let options = Options {
        url: Url::parse(&stage.sim.url())?,
        version: VersionChoice::Fixed(ApiVersion::V2),
        time_limit: Duration::from_secs(15),
    };
    let atlas = Client::new(options, Arc::new(|_, _| {}))?;
    let (public_key, private_key) = stage::credential();
    let secret = |text: &str| SecretValue::from_bytes(text.as_bytes()).map_err(|error| error.to_string());
    let key = Key::ApiKey { public_key: public_key.to_owned(), private_key: secret(private_key)? };
    let fingerprint = MemoryKey::generate().ok_or("no randomness")?.fingerprint([private_key]);
    let session = atlas.session(&Credential { key, fingerprint });
    let integrations = integrations()?;
    let begun = Instant::now();
    let passes = stream::iter(projects)
        .map(|project| one_project(stage, namespace, project, &atlas, &session, &integrations));
    passes.buffer_unordered(CONCURRENCY).try_collect::<Vec<()>>().await?;
    Ok(begun.elapsed())
}

async fn one_project(
    stage: &Stage,
    namespace: &str,
    project: &Project,
    atlas: &Client,
    session: &Session,
    integrations: &[Integration<SecretValue>],
) -> Result<(), Failed> {
    let id = ProjectId::parse(project.id()).ok_or("no project id")?;
    let api = stage.api("AtlasIntegration", namespace);
    let mut objects = Vec::new();
    for object in stage::objects(namespace, project) {
        objects.push(stage.create(&object).await?);
    }
    for flowdock in [false, true] {
        atlas.list(session, &id, flowdock).await.map_err(|failure| failure.message)?;
    }
    for (object, integration) in objects.iter().zip(integrations) {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let claim = json!({"metadata": {"annotations": {"bench/claim": "x".repeat(300)}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(&claim)).await?;
        atlas.create(session, &id, integration).await.map_err(|failure| failure.message)?;
        let condition = |kind: &str| {
            json!({"type": kind, "status": "True", "reason": "Synced", "message": "x".repeat(80),
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1})
        };
        let status = json!({"status": {"observedGeneration": 1, "conditions": [condition("Ready"), condition("InSync")],
            "integration": {"id": "5d791c84ff7a2522cc4f9aa1", "type": "x", "region": "x", "apiKey": "****1234"},
            "applied": {"uid": "x", "config": "x".repeat(32), "secrets": []}}});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    }
    Ok(())
}

/// The ten, in the order of [`stage::objects`].
fn integrations() -> Result<Vec<Integration<SecretValue>>, Failed> {
    let value = |text: &str| SecretValue::from_bytes(text.as_bytes()).map(FieldValue::Secret);
    let text = || value("a-key-for-benchmarks-1");
    let hex = || value(&stage::datadog_key(1));
    let url = || value("https://hooks.example.com/1");
    Ok(vec![
        Integration::new(T::PagerDuty, [("serviceKey", hex()?), ("region", "EU".into())])?,
        Integration::new(
            T::Slack,
            [("apiToken", text()?), ("teamName", "team".into()), ("channelName", "alerts".into())],
        )?,
        Integration::new(T::Datadog, [("apiKey", hex()?), ("region", "US5".into())])?,
        Integration::new(
            T::NewRelic,
            [
                ("accountId", "1234567".into()),
                ("licenseKey", text()?),
                ("writeToken", text()?),
                ("readToken", text()?),
            ],
        )?,
        Integration::new(T::OpsGenie, [("apiKey", text()?), ("region", "EU".into())])?,
        Integration::new(T::VictorOps, [("apiKey", text()?), ("routingKey", "database".into())])?,
        Integration::new(
            T::Flowdock,
            [("flowName", "flow".into()), ("orgName", "org".into()), ("apiToken", text()?)],
        )?,
        Integration::new(T::Webhook, [("url", url()?), ("secret", text()?)])?,
        Integration::new(T::MicrosoftTeams, [("microsoftTeamsWebhookUrl", url()?)])?,
        Integration::new(
            T::Prometheus,
            [("username", "prom".into()), ("password", text()?), ("serviceDiscovery", "http".into())],
        )?,
    ])
}
