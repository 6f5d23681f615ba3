//! Nine promises to those who rely on an integration, a test each, named after what is promised.

use std::time::Duration;

use atlas_integration_stage::samples::{self, datadog, foreign};
use atlas_sim::{Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::history::History;
use crate::world::{
    PRIVATE_KEY, PUBLIC_KEY, World, condition, message, new_project_id, rules, until, until_true,
};

const OLD_KEY: &str = "fedcba9876543210fedcba9876540001";
const NEW_KEY: &str = "fedcba9876543210fedcba9876540002";
/// Whatever happens is not by the grace of a resync.
const LONG_RESYNC: &[&str] = &["--resync-interval", "1h"];

/// What somebody does to Atlas, and the write that mends it.
type ByHand = (&'static str, fn(&World));

async fn version_of_secret(world: &World, name: &str) -> Value {
    world.get("Secret", name).await.unwrap()["metadata"]["resourceVersion"].clone()
}

#[rstest]
#[case::server_error("500", Effect::ServerError)]
#[case::unavailable("503", Effect::Unavailable { retry_after: None })]
#[case::rate_limited("429", Effect::RateLimitedTokenBucket { retry_after: Some(1) })]
#[case::reset("reset", Effect::Reset)]
#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_fails_once_during_a_rotation_ends_with_the_new_key_and_is_not_ready_before(
    #[case] name: &str,
    #[case] effect: Effect,
) {
    let world = World::with_datadog_key(&format!("promise-put-{name}")).await;
    let _operator = world.operator(&["--resync-interval", rules::rare_resync()]).await;
    let x = world.datadog("x").await.in_sync().await;
    let history = History::of(&x).await;

    world.project.fault(Fault::new(effect).at(Operation::Update));
    world.secret("keys", &[("api", NEW_KEY)]).await;
    let rotated = version_of_secret(&world, "keys").await;
    let confirmed = |object: &Value| object["status"]["applied"]["secrets"][0]["resourceVersion"] == rotated;
    x.until("said to have the new key", confirmed).await;
    assert_eq!(world.stored_datadog("apiKey"), NEW_KEY);
    assert_eq!(world.project.count(|e| e.operation == Some(Operation::Update)), 2, "one failed, one did it");

    let versions = history.so_far().await;
    let ready = |version: &Value| condition(version, "Ready")["status"].clone();
    let failed = versions.iter().position(|version| ready(version) == "False").unwrap();
    let confirmed = versions.iter().position(confirmed).unwrap();
    assert!(failed <= 1, "the failure is told next after the fence: {versions:#?}");
    assert!(versions[failed..confirmed].iter().all(|version| ready(version) == "False"), "{versions:#?}");
    assert_eq!(ready(&versions[confirmed]), "True");
}

/// Five objects, two projects, one Secret.
#[tokio::test(flavor = "multi_thread")]
async fn objects_that_share_a_secret_all_get_the_rotated_key() {
    let world = World::with_datadog_key("promise-shared").await;
    let other = world.shared.sim.project(&new_project_id());
    other.allow_key(PUBLIC_KEY, PRIVATE_KEY);
    let _operator = world.operator(&["--resync-interval", rules::rare_resync()]).await;
    let key = json!({"name": "keys", "key": "api"});
    let blocks = [("DATADOG", "datadog"), ("OPS_GENIE", "opsGenie"), ("VICTOR_OPS", "victorOps")];
    let mut places = Vec::new();
    for project in [&world.project, &other] {
        for (kind, block) in blocks {
            let name = format!("{}-{}", block.to_lowercase(), &project.id()[20..]);
            let spec = json!({"projectId": project.id(), "type": kind, block: {"apiKeySecretRef": key}});
            world.integration(&name, &spec).await;
            places.push((name, project, kind));
        }
    }
    let hold = |key: &str| {
        let holds = |stored: Option<Value>| stored.is_some_and(|stored| stored["apiKey"] == key);
        places.iter().all(|(_, project, kind)| holds(project.stored_type(kind)))
    };
    for (name, ..) in &places {
        world.object(name).synced().await;
    }
    assert!(hold(OLD_KEY));
    world.secret("keys", &[("api", NEW_KEY)]).await;
    let rotated = version_of_secret(&world, "keys").await;
    until_true("the new key in all places", || hold(NEW_KEY)).await;
    for (name, ..) in &places {
        let confirmed = |object: &Value| {
            object["status"]["applied"]["secrets"][0]["resourceVersion"] == rotated
                && condition(object, "Ready")["status"] == "True"
        };
        world.object(name).until("ready with the new key", confirmed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_edited_or_deleted_in_atlas_comes_back_within_one_resync() {
    let world = World::with_datadog_key("promise-drift").await;
    let _operator = world.operator(&["--resync-interval", "2s"]).await;
    let x = world.datadog("x").await.in_sync().await;
    let spec = world.project.stored_type("DATADOG").unwrap();

    let by_hand: [ByHand; 3] = [
        ("PUT", |world| world.project.edit("DATADOG", |stored| stored["region"] = "EU".into())),
        ("POST", |world| assert!(world.project.remove_by_other("DATADOG"))),
        // Another key that looks the same: only Atlas's new id tells.
        ("PUT", |world| {
            let mut same = world.project.stored_type("DATADOG").unwrap();
            same["apiKey"] = "00000000000000000000000000000001".into();
            world.project.replace_by_other(same);
        }),
    ];
    for (repair, change) in by_hand {
        change(&world);
        let mark = world.project.exchanges().last().unwrap().sequence;
        let since = || world.project.exchanges().into_iter().filter(|e| e.sequence > mark && e.status == 200);
        until("a repair", || since().find(Exchange::is_write)).await;
        let calls: Vec<String> = since().map(|exchange| exchange.method).collect();
        // The LIST that sees it may have come before the mark.
        let calls = calls.strip_prefix(&["GET".to_owned()]).unwrap_or(&calls);
        assert_eq!(calls.first().map(String::as_str), Some(repair), "the first LIST after it: {calls:?}");
        let mut stored = world.project.stored_type("DATADOG").unwrap();
        stored["id"] = spec["id"].clone();
        assert_eq!(stored, spec, "all as it was, the id apart");
        let repaired = |object: &Value| {
            condition(object, "InSync")["status"] == "True"
                && object["status"]["integration"]["id"] == world.stored_datadog("id")
        };
        x.until("in sync with what is there", repaired).await;
    }
}

#[rstest]
#[case::down("down", Effect::Unavailable { retry_after: None }, None)]
#[case::down_at_delete("down-at-delete", Effect::Unavailable { retry_after: None }, Some(Operation::Delete))]
#[case::limited("limited", Effect::RateLimitedTokenBucket { retry_after: Some(1) }, None)]
#[case::limited_at_delete("limited-at-delete", Effect::RateLimited { retry_after: None }, Some(Operation::Delete))]
#[tokio::test(flavor = "multi_thread")]
async fn an_object_deleted_while_atlas_answers_503_or_429_leaves_no_orphan(
    #[case] name: &str,
    #[case] effect: Effect,
    #[case] at: Option<Operation>,
) {
    let world = World::with_datadog_key(&format!("promise-orphan-{name}")).await;
    let _operator = world.operator(LONG_RESYNC).await;
    let x = world.datadog("x").await.in_sync().await;
    let mut fault = Fault::new(effect).always();
    fault.when.operation = at;
    world.project.fault(fault);
    x.begin_deletion().await;
    x.deletion_waits().await;
    assert!(world.project.stored_type("DATADOG").is_some());
    world.project.clear_faults();
    x.gone().await;
    assert_eq!(world.project.stored_type("DATADOG"), None, "no orphan");
    assert_eq!(world.project.count(|e| e.method == "DELETE" && e.status == 204), 1);
}

/// Whatever becomes due meanwhile: a deadline of Atlas's is kept.
#[rstest]
#[case::list("list", Operation::List, Effect::RateLimitedTokenBucket { retry_after: Some(3) })]
#[case::create("create", Operation::Create, Effect::RateLimited { retry_after: Some(3) })]
#[case::update("update", Operation::Update, Effect::RateLimitedTokenBucket { retry_after: Some(3) })]
#[case::delete("delete", Operation::Delete, Effect::RateLimitedTokenBucket { retry_after: Some(3) })]
#[tokio::test(flavor = "multi_thread")]
async fn after_a_429_nothing_is_called_before_its_retry_after(
    #[case] name: &str,
    #[case] operation: Operation,
    #[case] effect: Effect,
) {
    let world = World::with_datadog_key(&format!("promise-429-{name}")).await;
    let _operator = world.operator(&[]).await;
    let x = world.object("x");
    if matches!(operation, Operation::Update | Operation::Delete) {
        world.datadog("x").await;
        x.synced().await;
    }
    world.project.fault(Fault::new(effect).at(operation).times(2));
    match operation {
        Operation::Update => {
            x.change(&json!({"datadog": {"region": "EU"}})).await;
        }
        Operation::Delete => x.begin_deletion().await,
        _ => {
            world.datadog("x").await;
        }
    }
    until_true("a 429", || world.project.count(|e| e.status == 429) >= 1).await;
    // A second object, a rotated key, another credential: each would be a reason to call.
    world.secret("keys", &[("api", NEW_KEY), ("service", "0123456789abcdef0123456789abc001")]).await;
    let y = world.integration("y", &samples::of("PAGER_DUTY").spec).await;
    world.secret("atlas", &[("orgId", "5d791c84ff7a2522cc4f9aa0")]).await;
    y.synced().await;
    if operation == Operation::Delete {
        x.gone().await;
    } else {
        x.synced().await;
    }
    let exchanges = world.project.exchanges();
    let limited = exchanges.iter().filter(|exchange| exchange.status == 429).count();
    assert_eq!(limited, 2);
    for pair in exchanges.windows(2).filter(|pair| pair[0].status == 429) {
        let passed = pair[1].at - pair[0].at;
        assert!(
            passed >= Duration::from_secs(3),
            "{} {} came after {passed:?}",
            pair[1].method,
            pair[1].path
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_integration_is_not_taken_without_consent() {
    let world = World::with_datadog_key("promise-consent").await;
    world.project.replace_by_other(foreign());
    let before = world.project.stored_type("DATADOG");
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    let object = x.reaches("False", "AlreadyExists").await;
    assert!(message(&object).contains("spec.adoptionPolicy to Adopt"), "{}", message(&object));
    assert!(object["metadata"]["finalizers"].is_null(), "not claimed");
    assert_eq!(world.project.count(Exchange::is_write), 0);
    assert_eq!(world.project.stored_type("DATADOG"), before);

    x.change(&json!({"adoptionPolicy": "Adopt"})).await.synced().await;
    let stored = world.project.stored_type("DATADOG").unwrap();
    assert_eq!((stored["apiKey"].as_str(), stored["region"].as_str()), (Some(OLD_KEY), Some("US5")));
    x.delete().await;
    assert_eq!(world.project.stored_type("DATADOG"), None, "adopted means ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_objects_for_one_place_are_reported() {
    let world = World::with_datadog_key("promise-conflict").await;
    let _operator = world.operator(LONG_RESYNC).await;
    let first = world.datadog("first").await.in_sync().await;
    let id = world.stored_datadog("id");
    let second = world.integration("second", &datadog(json!({"datadog": {"region": "EU"}}))).await;
    let object = second.reaches("False", "Conflict").await;
    assert!(message(&object).contains("AtlasIntegration first"), "{}", message(&object));
    assert_eq!(world.stored_datadog("id"), id, "nothing was written");
    // Deleting the loser touches nothing.
    second.delete().await;
    assert_eq!(world.stored_datadog("id"), id);
    let third = world.object("third");
    // When the winner goes, the loser takes over.
    world.integration("third", &datadog(json!({"datadog": {"region": "EU"}}))).await;
    third.reaches("False", "Conflict").await;
    first.delete().await;
    third.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
}

/// Over a life with a rotation. That the audit log has no such request of any test's operator is checked at the
/// end of each test (`world/mod.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_user_is_ever_written() {
    let world = World::with_datadog_key("promise-secrets").await;
    let _operator = world.operator(&["--resync-interval", rules::rare_resync()]).await;
    let before = world.list("Secret").await;
    let x = world.datadog("x").await.in_sync().await;
    assert_eq!(world.list("Secret").await, before, "to the last byte, resourceVersion and managedFields too");
    world.secret("keys", &[("api", NEW_KEY)]).await;
    let before = world.list("Secret").await;
    world.until_stored("apiKey", NEW_KEY).await;
    x.synced().await;
    x.delete().await;
    assert_eq!(world.list("Secret").await, before);
    let secrets: Vec<_> = world.requests().into_iter().filter(|event| event.resource == "secrets").collect();
    assert!(secrets.iter().any(|event| event.verb == "get"), "the log does tell of Secrets");
    assert!(secrets.iter().all(|event| !event.is_write()), "{secrets:#?}");
}

/// All ten types in sync, and an outage that a new object in the project makes the operator notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_outage_of_atlas_turns_no_synced_object_to_not_ready() {
    let world = World::new("promise-outage").await;
    let _operator = world.operator(&[LONG_RESYNC, &["--atlas-api", "v1.0"]].concat()).await;
    let others = samples::kinds().into_iter().filter(|kind| *kind != "DATADOG");
    let objects = world.synced_samples(others).await;
    let mut histories = Vec::new();
    for object in &objects {
        histories.push(History::of(object).await);
    }
    let mark = world.api_writes().len();

    let effects = [Effect::Unavailable { retry_after: None }, Effect::Reset, Effect::html()];
    let outages = effects.len();
    for effect in effects {
        world.project.fault(Fault::new(effect).at(Operation::List));
    }
    let datadog = world.sample("DATADOG").await;
    datadog.reaches("False", "AtlasUnavailable").await;
    datadog.synced().await;
    assert_eq!(world.project.count(|exchange| exchange.faulted), outages, "it did last");
    for (object, history) in objects.iter().zip(&histories) {
        assert_eq!(history.so_far().await, Vec::<Value>::new(), "{} has no other version", object.name());
    }
    let to_others =
        world.api_writes().split_off(mark).into_iter().filter(|write| write.name != datadog.name());
    assert_eq!(to_others.count(), 0, "not even tried");
}
