//! Crashes and stops at any point: what was begun ends right, once.

use std::time::Duration;

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::json;

use crate::world::{World, condition, until, until_true};

/// Killed while a create or an update is under way: once it had reached Atlas, once it never did.
#[rstest]
#[case::create_arrived("create-arrived", Operation::Create, Effect::AppliedThenHeld)]
#[case::create_lost("create-lost", Operation::Create, Effect::Hold)]
#[case::update_arrived("update-arrived", Operation::Update, Effect::AppliedThenHeld)]
#[case::update_lost("update-lost", Operation::Update, Effect::Hold)]
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_write(#[case] name: &str, #[case] operation: Operation, #[case] effect: Effect) {
    let world = World::with_datadog_key(&format!("kill-{name}")).await;
    let operator = world.operator(&[]).await;
    let mut spec = samples::of("DATADOG").spec;
    let x = world.object("x");
    if operation == Operation::Update {
        world.integration("x", &spec).await;
        x.synced().await;
    }
    world.project.fault(Fault::new(effect).at(operation));
    spec["datadog"]["region"] = "EU".into();
    if operation == Operation::Update {
        x.change(&json!({"datadog": {"region": "EU"}})).await;
    } else {
        world.integration("x", &spec).await;
    }
    world.until_faulted(1).await;
    operator.kill();
    world.project.clear_faults();

    let _operator = world.operator(&[]).await;
    x.synced().await;
    assert_eq!(world.project.stored().len(), 1, "no second entry");
    assert_eq!(world.stored_datadog("region"), "EU");
}

/// The clock of the node on which an operator was killed in a write was hours ahead, or behind. The next operator trusts
/// no such time. It waits for as long as a write may take to land, counted from when it first saw that write.
#[rstest]
#[case::claim_ahead_edited("claim-ahead-edited", 2, Operation::Create, false)]
#[case::claim_ahead_deleted("claim-ahead-deleted", 2, Operation::Create, true)]
#[case::attempt_ahead_edited("attempt-ahead-edited", 2, Operation::Update, false)]
#[case::attempt_ahead_deleted("attempt-ahead-deleted", 2, Operation::Update, true)]
#[case::claim_behind_deleted("claim-behind-deleted", -2, Operation::Create, true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_wrong_neither_lengthens_nor_shortens_the_wait(
    #[case] name: &str,
    #[case] hours: i64,
    #[case] operation: Operation,
    #[case] deleted: bool,
) {
    let world = World::with_datadog_key(&format!("clock-{name}")).await;
    let flags = ["--atlas-timeout", "4s"];
    let operator = world.operator(&flags).await;
    // The write lands while the next operator already looks at the object.
    let late = Effect::AppliedLate { delay: Duration::from_secs(6) };
    let x = world.object("x");
    if operation == Operation::Update {
        world.datadog("x").await.in_sync().await;
        world.project.fault(Fault::new(late).at(operation));
        x.change(&json!({"datadog": {"region": "EU"}})).await;
    } else {
        world.project.fault(Fault::new(late).at(operation));
        world.datadog("x").await;
    }
    world.until_faulted(1).await;
    operator.kill();
    let wrong = |time: &serde_json::Value| {
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        (time + jiff::SignedDuration::from_hours(hours)).to_string()
    };
    let object = x.get().await;
    if operation == Operation::Update {
        x.set_status(&json!({"attempt": {"time": wrong(&object["status"]["attempt"]["time"])}})).await;
    } else {
        let claim = object["metadata"]["annotations"]["atlas-integrations.dev/claim"].as_str().unwrap();
        let mut claim: serde_json::Value = serde_json::from_str(claim).unwrap();
        claim["time"] = wrong(&claim["time"]).into();
        x.annotate("claim", &claim.to_string()).await;
    }

    if deleted {
        x.begin_deletion().await;
    } else {
        x.change(&json!({"datadog": {"region": "US3"}})).await;
    }
    let _operator = world.operator(&flags).await;
    if deleted {
        x.gone().await;
        assert!(world.project.stored().is_empty(), "no orphan");
        assert_eq!(world.atlas_writes().last().map(String::as_str), Some("DELETE"));
    } else {
        x.synced().await;
        assert_eq!(world.stored_datadog("region"), "US3");
    }
}

/// A restart with nothing to do reads, and writes nothing anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_quiet() {
    let world = World::with_datadog_key("restart").await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    let before = x.synced().await;
    let (code, _) = operator.stop().await;
    assert_eq!(code, Some(0));
    let mark = world.project.exchanges().len();
    let _operator = world.operator(&[]).await;
    until("two LISTs of the new life", || {
        (world.project.count(|e| e.operation == Some(Operation::List) && e.status == 200) >= 4).then_some(())
    })
    .await;
    assert!(world.project.exchanges()[mark..].iter().all(|e| !e.is_write()));
    let after = x.get().await;
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
}

/// What changed while nobody looked is found at the start.
#[tokio::test(flavor = "multi_thread")]
async fn changes_meanwhile_are_taken_up() {
    let world = World::with_datadog_key("meanwhile").await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    let y = world.integration("y", &samples::of("MICROSOFT_TEAMS").spec).await;
    x.synced().await;
    operator.stop().await;
    world
        .secret(
            "keys",
            &[("api", "fedcba9876543210fedcba9876540007"), ("url", "https://teams.example.com/canary")],
        )
        .await;
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    let _operator = world.operator(&[]).await;
    x.synced().await;
    y.synced().await;
    let stored = world.project.stored_type("DATADOG").unwrap();
    assert_eq!(
        (&stored["region"], &stored["apiKey"]),
        (&json!("EU"), &json!("fedcba9876543210fedcba9876540007"))
    );
}

/// SIGTERM in the middle of a write: the write and its status end, then the process does.
#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_ends_what_it_began() {
    let world = World::with_datadog_key("graceful").await;
    let operator = world.operator(&[]).await;
    let slow = Effect::Slow { delay: Duration::from_secs(1) };
    world.project.fault(Fault::new(slow).at(Operation::Create));
    let x = world.datadog("x").await;
    until_true("the POST at Atlas", || world.project.count(|e| e.method == "POST") == 1).await;
    let (code, logs) = operator.stop().await;
    assert_eq!(code, Some(0), "{logs}");
    let object = x.get().await;
    assert_eq!(condition(&object, "Ready")["status"], "True", "{object:#}");
    assert!(logs.contains("stopped"));
}

/// The answer is lost and the operator lives on: it waits until nothing can land any more, then takes up what is
/// its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_taken_up() {
    let world = World::with_datadog_key("lost").await;
    let _operator = world.operator(&[]).await;
    world.project.fault(Fault::new(Effect::AppliedThenCut).at(Operation::Create));
    let x = world.datadog("x").await;
    x.reaches("False", "AtlasUnavailable").await;
    x.synced().await;
    let writes: Vec<String> = world
        .project
        .exchanges()
        .iter()
        .filter(|e| Exchange::is_write(e))
        .map(|e| e.method.clone())
        .collect();
    assert_eq!(writes, ["POST", "PUT"], "the entry agrees with what was sent, so it is ours");
}
