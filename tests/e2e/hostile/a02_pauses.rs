//! Attacks 2 and 6: one tenant names the project of another under a key of its own. Whatever Atlas answers to that key is
//! for that tenant alone: it pauses nobody else, and nobody else is told of it.

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Fault, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::history::History;
use crate::world::{Operator, PRIVATE_KEY, PUBLIC_KEY, World, condition, message, until_true};

const EVES_KEY: &str = "evespub1";
/// What Atlas says to one tenant about the things of that tenant.
const WORDS: &str = "channel #payments-secret-incident is locked";

/// A tenant with an integration, and another one, whose key may see the same project, under one operator.
async fn neighbours(name: &str) -> (World, World, Operator) {
    let victim = World::with_datadog_key(&format!("{name}-victim")).await;
    let eve = World::with_project(&format!("{name}-eve"), victim.project.id()).await;
    eve.secret("keys", &samples::of("PAGER_DUTY").secrets).await;
    eve.secret("atlas", &[("publicApiKey", EVES_KEY), ("privateApiKey", PRIVATE_KEY)]).await;
    eve.project.allow_key(EVES_KEY, PRIVATE_KEY);
    let flags = ["--watch-namespace", &victim.namespace, "--resync-interval", "1h"];
    let operator = eve.operator(&flags).await;
    (victim, eve, operator)
}

fn limited(retry_after: u64) -> Effect {
    Effect::RateLimitedTokenBucket { retry_after: Some(retry_after) }
}

fn refused(status: u16, retry_after: Option<u64>, remaining: Option<u32>) -> Effect {
    let (error_code, detail) = ("NOT_FOR_YOU".to_owned(), WORDS.to_owned());
    Effect::Error { status, error_code, detail, retry_after, remaining }
}

/// The answers to one key alone, each time that it is used.
#[rstest]
#[case::a_pause_of_an_hour("a02-hour", limited(3_600))]
#[case::pauses_without_end("a02-endless", limited(1))]
#[case::a_refusal_that_asks_to_wait("a02-refusal", refused(401, Some(3_600), None))]
#[case::a_bucket_that_is_nearly_empty("a02-bucket", refused(403, None, Some(5)))]
#[tokio::test(flavor = "multi_thread")]
async fn a02_an_answer_to_one_key_holds_up_no_other(#[case] name: &str, #[case] answer: Effect) {
    let (victim, eve, _operator) = neighbours(name).await;
    let x = victim.datadog("x").await.in_sync().await;
    let history = History::of(&x).await;
    victim.project.fault(Fault::new(answer).by(EVES_KEY).always());
    let y = eve.integration("y", &samples::of("PAGER_DUTY").spec).await;
    y.until("a failure", |object| condition(object, "Ready")["status"] == "False").await;
    for number in 0..3 {
        let key = format!("{number:032x}");
        // Both are due at the same time.
        y.annotate("reconcile-requested-at", &key).await;
        victim.secret("keys", &[("api", &key)]).await;
        victim.until_stored("apiKey", &key).await;
    }
    x.synced().await;
    let seen = history.so_far().await;
    let told =
        |object: &Value| message(object).contains(WORDS) || message(object).contains("rate of requests");
    assert!(!seen.iter().any(told), "{seen:#?}");
}

/// Atlas asks for a pause in words about one tenant's settings. Others wait as well if they have the same key, but nobody
/// else is told these words: neither they, nor somebody with an invented key.
#[tokio::test(flavor = "multi_thread")]
async fn a06_what_atlas_says_to_one_tenant_is_told_to_no_other() {
    let (victim, eve, operator) = neighbours("a06").await;
    eve.secret("shared", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY)]).await;
    eve.secret("invented", &[("publicApiKey", "inventd1"), ("privateApiKey", PRIVATE_KEY)]).await;
    let x = victim.datadog("x").await.in_sync().await;
    victim.project.fault(Fault::new(refused(503, Some(3_600), None)).at(Operation::Update));
    victim.secret("keys", &[("api", &"a".repeat(32))]).await;
    let object = x.reaches("False", "AtlasUnavailable").await;
    assert!(message(&object).contains(WORDS), "it is told to whom it is about: {object:#}");
    let spec = |secret: &str| {
        let mut spec = samples::of("PAGER_DUTY").spec;
        spec["credentialsSecretRef"] = json!({"name": secret});
        spec
    };
    let waits = eve.integration("waits", &spec("shared")).await.reaches("False", "AtlasUnavailable").await;
    assert!(message(&waits).contains("Atlas asked for a pause"), "{waits:#}");
    let refused = eve.integration("refused", &spec("invented")).await.reaches("False", "Unauthorized").await;
    for object in [&waits, &refused] {
        assert!(!object.to_string().contains("payments"), "{object:#}");
    }
    until_true("the log", || operator.logs().contains("no call under a credential")).await;
    for event in eve.list("Event").await {
        assert!(!event.to_string().contains("payments"), "{event:#}");
    }
}
