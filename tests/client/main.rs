//! The Atlas client against the simulator: every fault of server and transport becomes one class, bodies are
//! bounded, redirects are not followed, and digest costs what it should.

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use atlas_integration_operator::atlas::{
    ApiVersion, Budget, Client, Credential, Key, Options, Session, VersionChoice,
};
use atlas_integration_operator::domain::{
    Failure, FailureKind, Integration, IntegrationType, MemoryKey, ProjectId, SecretValue,
};
use atlas_sim::contract::problems_of_request;
use atlas_sim::{AtlasSim, Effect, Fault, Operation, Project};
use rstest::rstest;
use url::Url;

mod digest;
mod oauth;

const PROJECT: &str = "5d791c84ff7a2522cc4f9aa1";
const PRIVATE: &str = "canary-private-key-0001";
const KEY: &str = "canary-opsgenie-key-0001";

/// A simulator that looks back at its end: whatever a test provokes, no request may leave Atlas's contract.
struct Checked(AtlasSim);

impl Deref for Checked {
    type Target = AtlasSim;

    fn deref(&self) -> &AtlasSim {
        &self.0
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let exchanges = [self.project(PROJECT).exchanges(), self.stray_exchanges()].concat();
        let problems: Vec<String> = exchanges.iter().flat_map(problems_of_request).collect();
        assert!(problems.is_empty(), "requests that Atlas's contract does not know: {problems:#?}");
    }
}

struct World {
    sim: Checked,
    project: Project,
    client: Client,
    session: Arc<Session>,
    id: ProjectId,
}

fn secret(text: &str) -> SecretValue {
    SecretValue::from_bytes(text.as_bytes()).unwrap()
}

fn credential(private: &str) -> Credential {
    let fingerprint = MemoryKey::generate().unwrap().fingerprint([private]);
    Credential { key: Key::ApiKey { public_key: "public".into(), private_key: secret(private) }, fingerprint }
}

fn account(client_secret: &str) -> Credential {
    let fingerprint = MemoryKey::generate().unwrap().fingerprint([client_secret]);
    let key = Key::ServiceAccount { client_id: "mdb_sa_id_1".into(), client_secret: secret(client_secret) };
    Credential { key, fingerprint }
}

fn client(url: &str) -> Client {
    client_within(url, Duration::from_secs(15))
}

fn client_within(url: &str, time_limit: Duration) -> Client {
    // Set once for the process; the second time is the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options =
        Options { url: Url::parse(url).unwrap(), version: VersionChoice::Fixed(ApiVersion::V2), time_limit };
    Client::new(options, Arc::new(|_, _| {})).unwrap()
}

async fn world() -> World {
    let sim = Checked(AtlasSim::start().await.unwrap());
    let project = sim.project(PROJECT);
    project.allow_key("public", PRIVATE);
    let client = client(&sim.url());
    let session = client.session(&credential(PRIVATE));
    World { sim, project, client, session, id: ProjectId::parse(PROJECT).unwrap() }
}

fn opsgenie() -> Integration<SecretValue> {
    Integration::OpsGenie { api_key: secret(KEY), region: None }
}

impl World {
    async fn list(&self) -> Result<usize, Failure> {
        self.client.list(&self.session, &self.id, false).await.map(|listing| listing.len())
    }

    async fn create(&self) -> Result<(), Failure> {
        self.client.create(&self.session, &self.id, &opsgenie()).await.map(|_| ())
    }
}

#[rstest]
#[case::rate_limited(Effect::RateLimitedTokenBucket { retry_after: Some(7) }, FailureKind::RateLimited, false)]
#[case::rate_limited_v1(Effect::RateLimited { retry_after: None }, FailureKind::RateLimited, false)]
#[case::server_error(Effect::ServerError, FailureKind::Unavailable, true)]
#[case::unavailable(Effect::Unavailable { retry_after: Some(3) }, FailureKind::Unavailable, true)]
#[case::maintenance(Effect::Maintenance, FailureKind::Unavailable, false)]
#[case::suspended(Effect::Suspended, FailureKind::Forbidden, false)]
#[case::echo(Effect::EchoBody, FailureKind::Rejected, false)]
#[case::unauthorized(Effect::Unauthorized, FailureKind::Unauthorized, false)]
#[case::reset(Effect::Reset, FailureKind::Unavailable, true)]
#[case::closed(Effect::Close, FailureKind::Unavailable, true)]
#[case::applied_then_cut(Effect::AppliedThenCut, FailureKind::Unavailable, true)]
#[case::truncated(Effect::TruncatedBody { keep: 20 }, FailureKind::Unavailable, true)]
#[case::html(Effect::html(), FailureKind::Unavailable, true)]
#[case::not_json(Effect::not_json(), FailureKind::Unavailable, true)]
#[case::foreign_404(Effect::foreign_not_found(), FailureKind::NotServed, false)]
#[case::redirect(Effect::redirect(307, "http://127.0.0.1:9/"), FailureKind::Unavailable, false)]
#[case::oversized(Effect::Oversized { bytes: 100 << 20 }, FailureKind::Unavailable, true)]
#[case::slack(Effect::error(400, "SLACK_OAUTH2_NOT_CONFIGURED", "no"), FailureKind::Rejected, false)]
#[tokio::test]
async fn faults_of_a_write(#[case] effect: Effect, #[case] kind: FailureKind, #[case] unknown: bool) {
    let world = world().await;
    assert_eq!(world.list().await, Ok(0));
    world.project.fault(Fault::new(effect.clone()).at(Operation::Create).always());
    let failure = world.create().await.unwrap_err();
    assert_eq!((failure.kind, failure.outcome_unknown), (kind, unknown), "{failure:?}");
    for hidden in [KEY, PRIVATE] {
        assert!(!failure.message.contains(hidden), "{}", failure.message);
    }
    assert!(failure.message.chars().count() < 900 && !failure.message.contains(char::is_control));
    if let Effect::RateLimitedTokenBucket { retry_after } | Effect::Unavailable { retry_after } = effect {
        assert_eq!(failure.retry_after, retry_after.map(Duration::from_secs));
    }
}

#[rstest]
#[tokio::test]
async fn redirects_are_not_followed(#[values(301, 302, 303, 307, 308)] status: u16) {
    let world = world().await;
    let elsewhere = AtlasSim::start().await.unwrap();
    let target = elsewhere.project(PROJECT);
    target.allow_key("public", PRIVATE);
    let location = format!("{}/api/atlas/v2/groups/{PROJECT}/integrations", elsewhere.url());
    world.project.fault(Fault::new(Effect::redirect(status, &location)).always());
    assert_eq!(world.list().await.unwrap_err().kind, FailureKind::Unavailable);
    assert_eq!(target.exchanges().len(), 0, "no request arrives there");
}

#[tokio::test]
async fn nobody_listens() {
    let sim = AtlasSim::start().await.unwrap();
    let url = sim.url();
    drop(sim);
    let client = client(&url);
    let session = client.session(&credential(PRIVATE));
    let id = ProjectId::parse(PROJECT).unwrap();
    let failure = client.create(&session, &id, &opsgenie()).await.unwrap_err();
    assert!(!failure.outcome_unknown, "nothing was sent");
    assert!(failure.message.contains("can't connect"), "{}", failure.message);
}

#[tokio::test]
async fn tolerant_of_what_atlas_adds() {
    let world = world().await;
    world.list().await.unwrap();
    for effect in [Effect::NullInResults, Effect::UnknownType, Effect::UnknownFields, Effect::MissingIds] {
        world.project.fault(Fault::new(effect).at(Operation::List));
    }
    world.create().await.unwrap();
    assert_eq!(world.list().await, Ok(1));
    let listing = world.client.list(&world.session, &world.id, false).await.unwrap();
    let entry = serde_json::to_string(&listing[&IntegrationType::OpsGenie]).unwrap();
    assert!(entry.contains("****0001") && !entry.contains(KEY), "{entry}");
}

#[tokio::test]
async fn gone_is_an_answer_of_atlas_and_nothing_else() {
    let world = world().await;
    let delete = || world.client.delete(&world.session, &world.id, IntegrationType::OpsGenie);
    assert_eq!(delete().await.unwrap_err().kind, FailureKind::Gone);
    world.project.fault(Fault::new(Effect::foreign_not_found()).at(Operation::Delete));
    assert_eq!(delete().await.unwrap_err().kind, FailureKind::NotServed);
    world.create().await.unwrap();
    assert_eq!(delete().await, Ok(()));
    let nowhere = ProjectId::parse("111111111111111111111111").unwrap();
    let failure = world.client.list(&world.session, &nowhere, false).await.unwrap_err();
    assert!(matches!(failure.kind, FailureKind::ProjectNotFound | FailureKind::Unauthorized), "{failure:?}");
}

/// T23: the same public key with another private key neither sees nor spends the other's session.
#[tokio::test]
async fn sessions_are_per_whole_key() {
    let world = world().await;
    world.create().await.unwrap();
    let other = world.client.session(&credential("canary-private-key-0002"));
    assert!(!Arc::ptr_eq(&other, &world.session));
    let failure = world.client.list(&other, &world.id, false).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorized);
    assert_eq!(world.list().await, Ok(1));
}

/// What Atlas says of a project's rate limit is kept by project, until an answer says nothing of it.
#[tokio::test]
async fn budgets_are_those_of_the_latest_answer() {
    let world = world().await;
    world.project.settings(|settings| settings.rate_capacity = 90);
    assert_eq!(world.client.take_budget(&world.id), None, "nothing was asked yet");
    world.list().await.unwrap();
    world.create().await.unwrap();
    let after_two = Some(Budget { limit: 90, remaining: 88 });

    let stranger = world.client.session(&credential("canary-private-key-0002"));
    world.client.list(&stranger, &world.id, false).await.unwrap_err();
    assert_eq!(world.client.take_budget(&world.id), after_two, "who is refused does not change it");
    assert_eq!(world.client.take_budget(&world.id), None, "taken");

    world.project.fault(Fault::new(Effect::RateLimitedTokenBucket { retry_after: Some(7) }));
    world.list().await.unwrap_err();
    assert_eq!(world.client.take_budget(&world.id), Some(Budget { limit: 90, remaining: 0 }));

    world.list().await.unwrap();
    world.project.settings(|settings| settings.rate_headers = false);
    world.list().await.unwrap();
    assert_eq!(world.client.take_budget(&world.id), None, "the latest answer says nothing");
}
