//! Whose integration it is: adoption by consent, drift, observing, suspending. Nothing that others made
//! is written or deleted without consent.

use std::time::Duration;

use atlas_sim::{Effect, Exchange, Fault, Operation};
use serde_json::{Value, json};

use crate::rules::SECRETS_WATCHED;
use crate::samples::{self, datadog, foreign};
use crate::world::{World, condition, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_not_deleted() {
    let world = World::with_datadog_key("refused").await;
    world.project.replace_by_other(foreign());
    let _operator = world.operator(&[]).await;
    world.create(&world.integration("x", &datadog(json!({})))).await;
    world.until_ready("x", "False", "AlreadyExists").await;
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert_eq!(world.project.count(Exchange::is_write), 0);
    // Gone from Atlas by somebody else's hand: a new object may create it.
    world.create(&world.integration("y", &datadog(json!({})))).await;
    world.until_ready("y", "False", "AlreadyExists").await;
    world.project.remove_by_other("DATADOG");
    world.until_ready("y", "True", "Synced").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_default_policies_hold_where_an_object_has_none() {
    let world = World::with_datadog_key("defaults").await;
    world.project.replace_by_other(foreign());
    let _operator =
        world.operator(&["--default-adoption-policy", "Adopt", "--default-deletion-policy", "Retain"]).await;
    world.create(&world.integration("x", &datadog(json!({})))).await;
    world.until_ready("x", "True", "Synced").await;
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert!(world.project.stored_type("DATADOG").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_reads_and_never_writes() {
    let world = World::with_datadog_key("observe").await;
    let _operator = world.operator(&[]).await;
    world.create(&world.integration("x", &datadog(json!({"managementPolicy": "Observe"})))).await;
    world.until_ready("x", "False", "IntegrationNotFound").await;
    world.project.replace_by_other(
        json!({"type": "DATADOG", "apiKey": "00000000000000000000000000009999", "region": "US5",
        "sendCollectionLatencyMetrics": true, "sendQueryStatsMetrics": true}),
    );
    let object = world.until_ready("x", "True", "Observed").await;
    assert_eq!(condition(&object, "InSync")["status"], "True");
    assert_eq!(object["status"]["integration"]["apiKey"], "****9999");
    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    let object =
        world.until("x", "seen to differ", |object| condition(object, "InSync")["status"] == "False").await;
    assert!(condition(&object, "InSync")["message"].as_str().unwrap().contains("region"));
    assert_eq!(condition(&object, "Ready")["status"], "True", "drift is no failure of an observer");
    assert!(object["metadata"]["finalizers"].is_null() && object["status"]["applied"].is_null());
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert_eq!(world.project.count(Exchange::is_write), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_means_no_call() {
    let world = World::with_datadog_key("suspend").await;
    // Without that watch nobody looks at a Secret while the object is suspended.
    let _operator = world.operator(&["--resync-interval", "1h", SECRETS_WATCHED]).await;
    world.create(&world.integration("x", &datadog(json!({"suspend": true})))).await;
    let object = world.until_ready("x", "False", "Suspended").await;
    assert_eq!(condition(&object, "Suspended")["status"], "True");
    assert_eq!(world.project.exchanges().len(), 0, "not even a LIST");
    world.patch("AtlasIntegration", "x", &json!({"spec": {"suspend": false}})).await;
    let object = world.until_ready("x", "True", "Synced").await;
    assert!(condition(&object, "Suspended").is_null());
    world.patch("AtlasIntegration", "x", &json!({"spec": {"suspend": true}})).await;
    let suspended = |object: &Value| {
        condition(object, "Suspended")["status"] == "True"
            && condition(object, "InSync")["status"] == "Unknown"
    };
    let object = world.until("x", "suspended in sync", suspended).await;
    assert_eq!(condition(&object, "Ready")["status"], "True", "what is wanted is what was applied");
    world.secret("keys", &[("api", "fedcba9876543210fedcba9876540009")]).await;
    world.until_ready("x", "False", "Suspended").await;
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert!(world.project.stored_type("DATADOG").is_some(), "deleting a suspended object leaves Atlas alone");
}

/// From managing to observing the claim goes, and Atlas is left alone; the way back needs consent.
#[tokio::test(flavor = "multi_thread")]
async fn manage_observe_manage() {
    let world = World::with_datadog_key("policies").await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    world.create(&world.integration("x", &datadog(json!({})))).await;
    world.until_ready("x", "True", "Synced").await;
    let id = world.project.stored_type("DATADOG").unwrap()["id"].clone();
    let policy = |policy: &str| json!({"spec": {"managementPolicy": policy, "datadog": {"region": "EU"}}});
    world.patch("AtlasIntegration", "x", &policy("Observe")).await;
    let object = world.until_ready("x", "True", "Observed").await;
    assert_eq!(condition(&object, "InSync")["status"], "False", "the region differs from the new spec");
    assert!(
        object["metadata"]["finalizers"].is_null() && object["status"]["applied"].is_null(),
        "{object:#}"
    );
    assert_eq!(world.project.stored_type("DATADOG").unwrap()["id"], id, "only looked at");
    world.patch("AtlasIntegration", "x", &policy("Manage")).await;
    world.until_ready("x", "False", "AlreadyExists").await;
    assert_eq!(world.project.stored_type("DATADOG").unwrap()["id"], id);
    world.patch("AtlasIntegration", "x", &json!({"spec": {"adoptionPolicy": "Adopt"}})).await;
    world.until_ready("x", "True", "Synced").await;
    assert_eq!(world.project.stored_type("DATADOG").unwrap()["region"], "EU");
}

/// Look now, and look and write: asked for by annotation, echoed when done.
#[tokio::test(flavor = "multi_thread")]
async fn requests() {
    let world = World::with_datadog_key("requests").await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    world.create(&world.integration("x", &datadog(json!({})))).await;
    world.until_ready("x", "True", "Synced").await;
    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    let request = |name: &str, value: &str| json!({"metadata": {"annotations": {format!("atlas-integrations.dev/{name}"): value}}});
    world.patch("AtlasIntegration", "x", &request("reconcile-requested-at", "1")).await;
    until("the region put back", || world.project.stored_type("DATADOG").filter(|s| s["region"] == "US5"))
        .await;
    world.until("x", "said to be handled", |object| object["status"]["lastHandledReconcileAt"] == "1").await;
    let writes = world.project.count(Exchange::is_write);
    world.patch("AtlasIntegration", "x", &request("reconcile-requested-at", "2")).await;
    world.until("x", "said to be handled", |object| object["status"]["lastHandledReconcileAt"] == "2").await;
    assert_eq!(world.project.count(Exchange::is_write), writes, "a look writes nothing");
    let id = world.project.stored_type("DATADOG").unwrap()["id"].clone();
    world.patch("AtlasIntegration", "x", &request("rewrite-requested-at", &"x".repeat(300))).await;
    world
        .until("x", "said to be handled", |object| !object["status"]["lastHandledRewriteAt"].is_null())
        .await;
    assert_ne!(world.project.stored_type("DATADOG").unwrap()["id"], id, "written although nothing changed");
    world.until_ready("x", "True", "Synced").await;
}

/// Requests under policies that write nothing: a look is a look for an observer too, a rewrite waits until the object
/// manages again; a suspended object does neither before it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn requests_under_policies_that_write_nothing() {
    let world = World::with_datadog_key("requests-policies").await;
    world.project.replace_by_other(samples::of("DATADOG").stored);
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let request = |name: &str, value: &str| json!({"metadata": {"annotations": {format!("atlas-integrations.dev/{name}"): value}}});
    let spec = datadog(json!({"managementPolicy": "Observe", "adoptionPolicy": "Adopt"}));
    world.create(&world.integration("x", &spec)).await;
    world.until_ready("x", "True", "Observed").await;
    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    world.patch("AtlasIntegration", "x", &request("rewrite-requested-at", "1")).await;
    world.patch("AtlasIntegration", "x", &request("reconcile-requested-at", "1")).await;
    let object = world
        .until("x", "said to be looked at", |object| object["status"]["lastHandledReconcileAt"] == "1")
        .await;
    assert_eq!(condition(&object, "InSync")["status"], "False", "the look found the edit");
    assert!(object["status"]["lastHandledRewriteAt"].is_null(), "an observer can't do it");

    world.patch("AtlasIntegration", "x", &json!({"spec": {"suspend": true}})).await;
    world.until("x", "suspended", |object| condition(object, "Suspended")["status"] == "True").await;
    let calls = world.project.exchanges().len();
    world.patch("AtlasIntegration", "x", &request("reconcile-requested-at", "2")).await;
    world.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "US3"}}})).await;
    let object = world.until_ready("x", "False", "Suspended").await;
    assert_eq!(object["status"]["lastHandledReconcileAt"], "1");
    assert_eq!(world.project.exchanges().len(), calls, "no call while suspended");
    assert_eq!(world.project.count(Exchange::is_write), 0);

    let manage = json!({"spec": {"suspend": false, "managementPolicy": "Manage"}});
    world.patch("AtlasIntegration", "x", &manage).await;
    world.until_ready("x", "True", "Synced").await;
    let object = world.get("AtlasIntegration", "x").await.unwrap();
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
    world.create(&world.integration("x", &datadog(json!({"credentialsSecretRef": {"name": "typo"}})))).await;
    world.until_ready("x", "False", "SecretNotFound").await;
    // While LIST is under way: another region, and then suspended.
    world.project.fault(Fault::new(slow()).at(Operation::List));
    world.patch("AtlasIntegration", "x", &json!({"spec": {"credentialsSecretRef": {"name": "atlas"}}})).await;
    until("a LIST", || (world.project.count(|e| e.faulted) == 1).then_some(())).await;
    world.patch("AtlasIntegration", "x", &json!({"spec": {"suspend": true}})).await;
    world.until_ready("x", "False", "Suspended").await;
    assert_eq!(world.project.count(Exchange::is_write), 0, "suspended before the write");
    // While POST is under way: another region.
    world.project.fault(Fault::new(slow()).at(Operation::Create));
    world.patch("AtlasIntegration", "x", &json!({"spec": {"suspend": false}})).await;
    until("a POST", || (world.project.count(|e| e.faulted) == 2).then_some(())).await;
    world.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    world.until_ready("x", "True", "Synced").await;
    assert_eq!(world.project.stored_type("DATADOG").unwrap()["region"], "EU");
    // Deleted while a PUT is under way.
    world.project.fault(Fault::new(slow()).at(Operation::Update));
    world.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "US3"}}})).await;
    until("a PUT", || (world.project.count(|e| e.faulted) == 3).then_some(())).await;
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert!(world.project.stored().is_empty(), "no orphan");
}

/// A refusal stays what it is over an outage, and ends with an edit.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_outlives_an_outage() {
    let world = World::with_datadog_key("refusal").await;
    let _operator = world.operator(&[]).await;
    let refusal = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "no");
    world.project.fault(Fault::new(refusal).at(Operation::Create));
    world.create(&world.integration("x", &datadog(json!({})))).await;
    world.until_ready("x", "False", "Rejected").await;
    let fault = Fault::new(Effect::ServerError).at(Operation::List).always();
    world.project.fault(fault);
    let lists = || world.project.count(|e| e.operation == Some(Operation::List) && e.status == 500);
    until("three looks that fail", || (lists() >= 3).then_some(())).await;
    let object = world.until_ready("x", "False", "Rejected").await;
    let again = world.get("AtlasIntegration", "x").await.unwrap();
    assert_eq!(again["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"], "nothing flaps");
    world.project.clear_faults();
    let good = || world.project.count(|e| e.operation == Some(Operation::List) && e.status == 200);
    let before = good();
    until("a look", || (good() >= before + 2).then_some(())).await;
    let object = world.until_ready("x", "False", "Rejected").await;
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    assert_eq!(world.project.count(Exchange::is_write), 1, "not sent again as it is");
    world.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    world.until_ready("x", "True", "Synced").await;
}

/// A refused update never gives up what is ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_update_is_still_ours() {
    let world = World::with_datadog_key("refused-update").await;
    let _operator = world.operator(&[]).await;
    world.project.fault(Fault::new(Effect::AppliedThenCut).at(Operation::Create));
    let refusal = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "no");
    world.project.fault(Fault::new(refusal).at(Operation::Update));
    world.create(&world.integration("x", &datadog(json!({})))).await;
    world.until_ready("x", "False", "AtlasUnavailable").await;
    let object = world.until_ready("x", "False", "Rejected").await;
    assert!(!object["metadata"]["finalizers"].is_null(), "still claimed: the lost POST had arrived");
    world.delete("AtlasIntegration", "x").await;
    world.until_gone("x").await;
    assert!(world.project.stored().is_empty(), "no orphan");
}
