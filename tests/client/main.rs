//! The Atlas client against the simulator: credentials, answers, faults, pages, limits.

// A failed expectation is how a test fails. The client is tried here without the fence that the engine puts before it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use atlas_integration_operator::atlas::{
    ApiVersion, Budget, Client, Credential, Key, Options, Session, VersionChoice,
};
use atlas_integration_operator::domain::{
    Case, Failure, FailureKind, FieldValue, Holder, Integration, IntegrationType, KeyForm, MemoryKey,
    ProjectId, SecretValue, Stake,
};
use atlas_sim::contract::problems_of_request;
use atlas_sim::{AtlasSim, Effect, Fault, Project};
use url::Url;

mod bounds;
mod digest;
mod errors;
mod faults;
mod oauth;
mod pages;

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
    client_with(url, time_limit, None, |_, _| {})
}

/// A client that tells of each request.
fn counting(url: &str, requests: impl Fn(&'static str, u16) + Send + Sync + 'static) -> Client {
    client_with(url, Duration::from_secs(15), None, requests)
}

/// A client that goes through a proxy.
fn client_through(proxy: &str, url: &str) -> Client {
    client_with(url, Duration::from_secs(15), Some(Url::parse(proxy).unwrap()), |_, _| {})
}

fn client_with(
    url: &str,
    time_limit: Duration,
    proxy: Option<Url>,
    requests: impl Fn(&'static str, u16) + Send + Sync + 'static,
) -> Client {
    let url = Url::parse(url).unwrap();
    let options = Options { url, version: VersionChoice::Fixed(ApiVersion::V2), time_limit, proxy };
    Client::new(options, Arc::new(requests)).unwrap()
}

async fn world() -> World {
    let sim = Checked(AtlasSim::start().await.unwrap());
    let project = sim.project(PROJECT);
    project.allow_key("public", PRIVATE);
    let client = client(&sim.url());
    let session = client.session(&credential(PRIVATE));
    World { sim, project, client, session, id: ProjectId::parse(PROJECT).unwrap() }
}

/// docs/errors.md, which tells users what is tested here.
fn errors_page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md")).unwrap()
}

/// The message about a failure, as an object is told it whose API key is in the Secret `atlas`.
fn told(failure: &Failure) -> String {
    let case = Case {
        atlas: "cloud.mongodb.com",
        holder: Holder::Secret("atlas"),
        form: KeyForm::ApiKey,
        stake: Stake::Nothing,
        landing_limit: Some(Duration::from_secs(30)),
        sources: "",
    };
    case.message(failure).text()
}

fn opsgenie() -> Integration<SecretValue> {
    Integration::new(IntegrationType::OpsGenie, [("apiKey", FieldValue::Secret(secret(KEY)))]).unwrap()
}

impl World {
    async fn list(&self) -> Result<usize, Failure> {
        self.client.list(&self.session, &self.id, false).await.map(|listing| listing.len())
    }

    async fn create(&self) -> Result<(), Failure> {
        self.client.create(&self.session, &self.id, &opsgenie()).await.map(|_| ())
    }
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

/// What Atlas says of a project's rate limit to one credential is kept for that one, until an answer says nothing of it.
#[tokio::test]
async fn budgets_are_those_of_the_latest_answer_to_a_credential() {
    let world = world().await;
    let taken = |session: &Session| world.client.take_budget(&world.id, session.credential());
    world.project.settings(|settings| settings.rate_capacity = 90);
    assert_eq!(taken(&world.session), None, "nothing was asked yet");
    world.list().await.unwrap();
    world.create().await.unwrap();
    let after_two = Some(Budget { limit: 90, remaining: 88 });

    let stranger = world.client.session(&credential("canary-private-key-0002"));
    world.client.list(&stranger, &world.id, false).await.unwrap_err();
    assert_eq!(taken(&stranger), None, "nothing was told to it");
    assert_eq!(taken(&world.session), after_two, "who is refused does not change it");
    assert_eq!(taken(&world.session), None, "taken");

    world.project.fault(Fault::new(Effect::RateLimitedTokenBucket { retry_after: Some(7) }));
    world.list().await.unwrap_err();
    assert_eq!(taken(&stranger), None, "it was told to another credential");
    assert_eq!(taken(&world.session), Some(Budget { limit: 90, remaining: 0 }));

    world.list().await.unwrap();
    world.project.settings(|settings| settings.rate_headers = false);
    world.list().await.unwrap();
    assert_eq!(taken(&world.session), None, "the latest answer says nothing");
}
