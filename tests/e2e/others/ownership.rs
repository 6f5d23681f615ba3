//! Whose integration it is: adoption by consent, drift, observing, suspending. Nothing that others made
//! is written or deleted without consent.

use std::time::Duration;

use atlas_integration_stage::samples::{self, datadog, foreign};
use atlas_sim::{Effect, Exchange, Fault, Operation};
use serde_json::{Value, json};

use crate::world::rules::SECRETS_WATCHED;
use crate::world::{World, condition, until_true};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_not_deleted() {
    let world = World::with_datadog_key("refused").await;
    world.project.replace_by_other(foreign());
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    x.reaches("False", "AlreadyExists").await;
    x.delete().await;
    assert_eq!(world.project.count(Exchange::is_write), 0);
    let y = world.object("y");
    // Gone from Atlas by somebody else's hand: a new object may create it.
    world.datadog("y").await;
    y.reaches("False", "AlreadyExists").await;
    world.project.remove_by_other("DATADOG");
    y.synced().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_default_policies_hold_where_an_object_has_none() {
    let world = World::with_datadog_key("defaults").await;
    world.project.replace_by_other(foreign());
    let _operator =
        world.operator(&["--default-adoption-policy", "Adopt", "--default-deletion-policy", "Retain"]).await;
    let x = world.datadog("x").await.in_sync().await;
    x.delete().await;
    assert!(world.project.stored_type("DATADOG").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_reads_and_never_writes() {
    let world = World::with_datadog_key("observe").await;
    let _operator = world.operator(&[]).await;
    let x = world.integration("x", &datadog(json!({"managementPolicy": "Observe"}))).await;
    x.reaches("False", "IntegrationNotFound").await;
    world.project.replace_by_other(
        json!({"type": "DATADOG", "apiKey": "00000000000000000000000000009999", "region": "US5",
        "sendCollectionLatencyMetrics": true, "sendQueryStatsMetrics": true}),
    );
    let object = x.reaches("True", "Observed").await;
    assert_eq!(condition(&object, "InSync")["status"], "True");
    assert_eq!(object["status"]["integration"]["apiKey"], "****9999");
    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    let object = x.says("InSync", "False").await;
    assert!(condition(&object, "InSync")["message"].as_str().unwrap().contains("region"));
    assert_eq!(condition(&object, "Ready")["status"], "True", "drift is no failure of an observer");
    assert!(object["metadata"]["finalizers"].is_null() && object["status"]["applied"].is_null());
    x.delete().await;
    assert_eq!(world.project.count(Exchange::is_write), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_means_no_call() {
    let world = World::with_datadog_key("suspend").await;
    // Without that watch nobody looks at a Secret while the object is suspended.
    let _operator = world.operator(&["--resync-interval", "1h", SECRETS_WATCHED]).await;
    let x = world.integration("x", &datadog(json!({"suspend": true}))).await;
    let object = x.reaches("False", "Suspended").await;
    assert_eq!(condition(&object, "Suspended")["status"], "True");
    assert_eq!(world.project.exchanges().len(), 0, "not even a LIST");
    let object = x.change(&json!({"suspend": false})).await.synced().await;
    assert!(condition(&object, "Suspended").is_null());
    x.change(&json!({"suspend": true})).await;
    let suspended = |object: &Value| {
        condition(object, "Suspended")["status"] == "True"
            && condition(object, "InSync")["status"] == "Unknown"
    };
    let object = x.until("suspended in sync", suspended).await;
    assert_eq!(condition(&object, "Ready")["status"], "True", "what is wanted is what was applied");
    world.secret("keys", &[("api", "fedcba9876543210fedcba9876540009")]).await;
    x.reaches("False", "Suspended").await;
    x.delete().await;
    assert!(world.project.stored_type("DATADOG").is_some(), "deleting a suspended object leaves Atlas alone");
}

/// An object that is suspended and in sync stays so when it is switched to Observe, and a Secret that changes then is
/// still noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_object_begins_to_observe() {
    let world = World::with_datadog_key("suspend-observe").await;
    let _operator = world.operator(&["--resync-interval", "1h", SECRETS_WATCHED]).await;
    let x = world.datadog("x").await.in_sync().await;
    x.change(&json!({"suspend": true})).await.says("Suspended", "True").await;
    x.change(&json!({"managementPolicy": "Observe"})).await;
    let object =
        x.until("observed", |o| o["status"]["observedGeneration"] == o["metadata"]["generation"]).await;
    let ready = condition(&object, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("Synced")), "{object:#}");
    world.secret("keys", &[("api", "fedcba9876543210fedcba9876540009")]).await;
    x.reaches("False", "Suspended").await;
}

/// From managing to observing the claim goes, and Atlas is left alone; the way back needs consent.
#[tokio::test(flavor = "multi_thread")]
async fn manage_observe_manage() {
    let world = World::with_datadog_key("policies").await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let x = world.datadog("x").await.in_sync().await;
    let id = world.stored_datadog("id");
    let policy = |policy: &str| json!({"managementPolicy": policy, "datadog": {"region": "EU"}});
    let object = x.change(&policy("Observe")).await.reaches("True", "Observed").await;
    assert_eq!(condition(&object, "InSync")["status"], "False", "the region differs from the new spec");
    assert!(
        object["metadata"]["finalizers"].is_null() && object["status"]["applied"].is_null(),
        "{object:#}"
    );
    assert_eq!(world.stored_datadog("id"), id, "only looked at");
    x.change(&policy("Manage")).await.reaches("False", "AlreadyExists").await;
    assert_eq!(world.stored_datadog("id"), id);
    x.change(&json!({"adoptionPolicy": "Adopt"})).await.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
}

/// Look now, and look and write: asked for by annotation, echoed when done.
#[tokio::test(flavor = "multi_thread")]
async fn requests_by_annotation() {
    let world = World::with_datadog_key("requests").await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    x.annotate("reconcile-requested-at", "1").await;
    world.until_stored("region", "US5").await;
    x.until("said to be handled", |object| object["status"]["lastHandledReconcileAt"] == "1").await;
    let writes = world.project.count(Exchange::is_write);
    x.annotate("reconcile-requested-at", "2").await;
    x.until("said to be handled", |object| object["status"]["lastHandledReconcileAt"] == "2").await;
    assert_eq!(world.project.count(Exchange::is_write), writes, "a look writes nothing");
    let id = world.stored_datadog("id");
    x.annotate("rewrite-requested-at", &"x".repeat(300)).await;
    x.until("said to be handled", |object| !object["status"]["lastHandledRewriteAt"].is_null()).await;
    assert_ne!(world.project.stored_type("DATADOG").unwrap()["id"], id, "written although nothing changed");
    x.synced().await;
}

/// Requests under policies that write nothing: a look is a look for an observer too, a rewrite waits until the object
/// manages again; a suspended object does neither before it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn requests_under_policies_that_write_nothing() {
    let world = World::with_datadog_key("requests-policies").await;
    world.project.replace_by_other(samples::of("DATADOG").stored);
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let spec = datadog(json!({"managementPolicy": "Observe", "adoptionPolicy": "Adopt"}));
    let x = world.integration("x", &spec).await;
    x.reaches("True", "Observed").await;
    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    x.annotate("rewrite-requested-at", "1").await;
    x.annotate("reconcile-requested-at", "1").await;
    let object =
        x.until("said to be looked at", |object| object["status"]["lastHandledReconcileAt"] == "1").await;
    assert_eq!(condition(&object, "InSync")["status"], "False", "the look found the edit");
    assert!(object["status"]["lastHandledRewriteAt"].is_null(), "an observer can't do it");

    x.change(&json!({"suspend": true})).await;
    x.says("Suspended", "True").await;
    let calls = world.project.exchanges().len();
    x.annotate("reconcile-requested-at", "2").await;
    let object = x.change(&json!({"datadog": {"region": "US3"}})).await.reaches("False", "Suspended").await;
    assert_eq!(object["status"]["lastHandledReconcileAt"], "1");
    assert_eq!(world.project.exchanges().len(), calls, "no call while suspended");
    assert_eq!(world.project.count(Exchange::is_write), 0);

    x.change(&json!({"suspend": false, "managementPolicy": "Manage"})).await.synced().await;
    let object = x.get().await;
    assert_eq!(object["status"]["lastHandledReconcileAt"], "2");
    assert_eq!(object["status"]["lastHandledRewriteAt"], "1");
    assert_eq!(world.project.count(Exchange::is_write), 1, "one write answers for all of it");
}

/// What is edited while a pass is under way is neither lost nor written with the old words.
#[tokio::test(flavor = "multi_thread")]
async fn edits_while_a_pass_is_under_way() {
    let world = World::with_datadog_key("edits").await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let slow = || Effect::Slow { delay: Duration::from_secs(4) };
    let x = world.integration("x", &datadog(json!({"credentialsSecretRef": {"name": "typo"}}))).await;
    x.reaches("False", "SecretNotFound").await;
    // While LIST is under way: another region, and then suspended.
    world.project.fault(Fault::new(slow()).at(Operation::List));
    x.change(&json!({"credentialsSecretRef": {"name": "atlas"}})).await;
    world.until_faulted(1).await;
    x.change(&json!({"suspend": true})).await.reaches("False", "Suspended").await;
    assert_eq!(world.project.count(Exchange::is_write), 0, "suspended before the write");
    // While POST is under way: another region.
    world.project.fault(Fault::new(slow()).at(Operation::Create));
    x.change(&json!({"suspend": false})).await;
    world.until_faulted(2).await;
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
    // Deleted while a PUT is under way.
    world.project.fault(Fault::new(slow()).at(Operation::Update));
    x.change(&json!({"datadog": {"region": "US3"}})).await;
    world.until_faulted(3).await;
    x.delete().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// A refusal stays what it is over an outage, and ends with an edit.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_outlives_an_outage() {
    let world = World::with_datadog_key("refusal").await;
    let _operator = world.operator(&[]).await;
    let refusal = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "no");
    world.project.fault(Fault::new(refusal).at(Operation::Create));
    let x = world.datadog("x").await;
    x.reaches("False", "Rejected").await;
    let fault = Fault::new(Effect::ServerError).at(Operation::List).always();
    world.project.fault(fault);
    let lists = || world.project.count(|e| e.operation == Some(Operation::List) && e.status == 500);
    until_true("three looks that fail", || lists() >= 3).await;
    let object = x.reaches("False", "Rejected").await;
    let again = x.get().await;
    assert_eq!(again["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"], "nothing flaps");
    world.project.clear_faults();
    let good = || world.project.count(|e| e.operation == Some(Operation::List) && e.status == 200);
    let before = good();
    until_true("a look", || good() >= before + 2).await;
    let object = x.reaches("False", "Rejected").await;
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    assert_eq!(world.project.count(Exchange::is_write), 1, "not sent again as it is");
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
}

/// A refused update never gives up what is ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_update_is_still_ours() {
    let world = World::with_datadog_key("refused-update").await;
    let _operator = world.operator(&[]).await;
    world.project.fault(Fault::new(Effect::AppliedThenCut).at(Operation::Create));
    let refusal = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "no");
    world.project.fault(Fault::new(refusal).at(Operation::Update));
    let x = world.datadog("x").await;
    x.reaches("False", "AtlasUnavailable").await;
    let object = x.reaches("False", "Rejected").await;
    assert!(!object["metadata"]["finalizers"].is_null(), "still claimed: the lost POST had arrived");
    x.delete().await;
    assert!(world.project.stored().is_empty(), "no orphan");
}
