//! Crashes and stops at any point: what was begun ends right, once.

use std::time::Duration;

use atlas_sim::{Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::json;

use crate::samples;
use crate::world::{World, condition, until};

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
    if operation == Operation::Update {
        world.create(&world.integration("x", &spec)).await;
        world.until_ready("x", "True", "Synced").await;
    }
    world.project.fault(Fault::new(effect).at(operation));
    spec["datadog"]["region"] = "EU".into();
    if operation == Operation::Update {
        world.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    } else {
        world.create(&world.integration("x", &spec)).await;
    }
    until("the write at Atlas", || (world.project.count(|e| e.faulted) == 1).then_some(())).await;
    operator.kill();
    world.project.clear_faults();

    let _operator = world.operator(&[]).await;
    world.until_ready("x", "True", "Synced").await;
    assert_eq!(world.project.stored().len(), 1, "no second entry");
    assert_eq!(world.project.stored_type("DATADOG").unwrap()["region"], "EU");
}

/// A restart with nothing to do reads, and writes nothing anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_quiet() {
    let world = World::with_datadog_key("restart").await;
    let operator = world.operator(&[]).await;
    world.create(&world.integration("x", &samples::of("DATADOG").spec)).await;
    let before = world.until_ready("x", "True", "Synced").await;
    let (code, _) = operator.stop().await;
    assert_eq!(code, Some(0));
    let mark = world.project.exchanges().len();
    let _operator = world.operator(&[]).await;
    until("two LISTs of the new life", || {
        (world.project.count(|e| e.operation == Some(Operation::List) && e.status == 200) >= 4).then_some(())
    })
    .await;
    assert!(world.project.exchanges()[mark..].iter().all(|e| !e.is_write()));
    let after = world.get("AtlasIntegration", "x").await.unwrap();
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
}

/// What changed while nobody looked is found at the start.
#[tokio::test(flavor = "multi_thread")]
async fn changes_meanwhile_are_taken_up() {
    let world = World::with_datadog_key("meanwhile").await;
    let operator = world.operator(&[]).await;
    world.create(&world.integration("x", &samples::of("DATADOG").spec)).await;
    world.create(&world.integration("y", &samples::of("MICROSOFT_TEAMS").spec)).await;
    world.until_ready("x", "True", "Synced").await;
    operator.stop().await;
    world
        .secret(
            "keys",
            &[("api", "fedcba9876543210fedcba9876540007"), ("url", "https://teams.example.com/canary")],
        )
        .await;
    world.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    let _operator = world.operator(&[]).await;
    world.until_ready("x", "True", "Synced").await;
    world.until_ready("y", "True", "Synced").await;
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
    world.create(&world.integration("x", &samples::of("DATADOG").spec)).await;
    until("the POST at Atlas", || (world.project.count(|e| e.method == "POST") == 1).then_some(())).await;
    let (code, logs) = operator.stop().await;
    assert_eq!(code, Some(0), "{logs}");
    let object = world.get("AtlasIntegration", "x").await.unwrap();
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
    world.create(&world.integration("x", &samples::of("DATADOG").spec)).await;
    world.until_ready("x", "False", "AtlasUnavailable").await;
    world.until_ready("x", "True", "Synced").await;
    let writes: Vec<String> = world
        .project
        .exchanges()
        .iter()
        .filter(|e| Exchange::is_write(e))
        .map(|e| e.method.clone())
        .collect();
    assert_eq!(writes, ["POST", "PUT"], "the entry agrees with what was sent, so it is ours");
}
