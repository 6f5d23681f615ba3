//! Crashes and stops at any point: what was begun ends right, once.

use std::time::Duration;

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{PRIVATE_KEY, World, condition, until, until_true};

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
    let wrong = |time: &Value| {
        let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
        (time + jiff::SignedDuration::from_hours(hours)).to_string()
    };
    let object = x.get().await;
    x.set_status(&json!({"attempt": {"time": wrong(&object["status"]["attempt"]["time"])}})).await;
    if operation == Operation::Create {
        let claim = object["metadata"]["annotations"]["atlas-integrations.dev/claim"].as_str().unwrap();
        let mut claim: Value = serde_json::from_str(claim).unwrap();
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

/// What happens to a Secret whose values stay the same.
#[derive(Clone, Copy, Debug)]
enum Touch {
    /// It gets another label.
    Labelled,
    /// It is deleted, and created with the same values.
    CreatedAgain,
}

impl Touch {
    async fn happens(self, world: &World) {
        match self {
            Touch::Labelled => {
                let before = world.get("Secret", "keys").await.unwrap();
                let label = json!({"touched-at": before["metadata"]["resourceVersion"]});
                world.patch("Secret", "keys", &json!({"metadata": {"labels": label}})).await;
            }
            Touch::CreatedAgain => {
                world.delete("Secret", "keys").await;
                world.secret("keys", &samples::of("DATADOG").secrets).await;
            }
        }
    }
}

/// A write gives the integration another id, to which alert configurations of others refer. So a Secret that has the same
/// values costs none, also if the process that wrote them is gone.
#[rstest]
#[case::label_meanwhile("label-meanwhile", Touch::Labelled, false)]
#[case::label_afterwards("label-afterwards", Touch::Labelled, true)]
#[case::again_meanwhile("again-meanwhile", Touch::CreatedAgain, false)]
#[case::again_afterwards("again-afterwards", Touch::CreatedAgain, true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_the_same_values_costs_no_write_after_a_restart(
    #[case] name: &str,
    #[case] touch: Touch,
    #[case] afterwards: bool,
) {
    let world = World::with_datadog_key(&format!("same-{name}")).await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let id = world.stored_datadog("id");
    operator.stop().await;
    if !afterwards {
        touch.happens(&world).await;
    }
    let operator = world.operator(&[]).await;
    if afterwards {
        world.until_looked(1).await;
        touch.happens(&world).await;
    }
    x.recorded("keys").await;
    // The process has recognised the values, so it knows them from now on; and so does the next one.
    touch.happens(&world).await;
    x.recorded("keys").await;
    operator.stop().await;
    touch.happens(&world).await;
    let _operator = world.operator(&[]).await;
    x.recorded("keys").await;
    assert_eq!(world.atlas_writes(), ["POST"]);
    assert_eq!(world.stored_datadog("id"), id);

    let other = "fedcba9876543210fedcba9876540007";
    world.secret("keys", &[("api", other)]).await;
    x.recorded("keys").await;
    assert_eq!(world.stored_datadog("apiKey"), other);
    assert_eq!(world.atlas_writes(), ["POST", "PUT"], "another value is written, once");
}

/// The same under a service account, and another value that arrived while nobody looked.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_changed_meanwhile_is_written_once() {
    const SECRET: &str = "mdb_sa_sk_canary-client-secret-1";
    let world = World::with_datadog_key("same-account").await;
    world.project.allow_service_account("mdb_sa_id_1", SECRET);
    world.secret("account", &[("clientId", "mdb_sa_id_1"), ("clientSecret", SECRET)]).await;
    let operator = world.operator(&[]).await;
    let spec = samples::datadog(json!({"credentialsSecretRef": {"name": "account"}}));
    let x = world.integration("x", &spec).await.in_sync().await;
    operator.stop().await;
    Touch::Labelled.happens(&world).await;
    let operator = world.operator(&[]).await;
    x.recorded("keys").await;
    assert_eq!(world.atlas_writes(), ["POST"]);
    operator.stop().await;
    let other = "fedcba9876543210fedcba9876540007";
    world.secret("keys", &[("api", other)]).await;
    let _operator = world.operator(&[]).await;
    x.recorded("keys").await;
    assert_eq!(world.stored_datadog("apiKey"), other);
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
}

/// A rotation of the Atlas key writes nothing. The fingerprint of the values is renewed under the new key as soon as the
/// Secret is read again; a process that has only one under the old key writes once.
#[rstest]
#[case::renewed("renewed", true)]
#[case::not_renewed("not-renewed", false)]
#[tokio::test(flavor = "multi_thread")]
async fn the_atlas_key_is_rotated_before_the_restart(#[case] name: &str, #[case] renewed: bool) {
    let world = World::with_datadog_key(&format!("rotated-{name}")).await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let (public, private) = ("asdfghjk", PRIVATE_KEY.replace("8f0d7c52", "90abcdef"));
    world.project.allow_key(public, &private);
    world.secret("atlas", &[("publicApiKey", public), ("privateApiKey", &private)]).await;
    let by_next = |e: &Exchange| e.credential.as_deref() == Some(public) && e.status == 200;
    until_true("a call with the next key", || world.project.count(by_next) > 0).await;
    if renewed {
        Touch::Labelled.happens(&world).await;
        x.recorded("keys").await;
    }
    operator.stop().await;
    let _operator = world.operator(&[]).await;
    world.until_looked(2).await;
    assert_eq!(world.atlas_writes(), ["POST"], "the rotation of the Atlas key, and the restart");
    Touch::Labelled.happens(&world).await;
    x.recorded("keys").await;
    let expected: &[&str] = if renewed { &["POST"] } else { &["POST", "PUT"] };
    assert_eq!(world.atlas_writes(), expected);
}

/// What somebody else made of the fingerprint proves nothing. At worst the operator writes once where it need not.
#[rstest]
#[case::removed("removed")]
#[case::invented("invented")]
#[case::of_another_attempt("of-another-attempt")]
#[case::of_another_object("of-another-object")]
#[tokio::test(flavor = "multi_thread")]
async fn a_fingerprint_counts_for_the_attempt_that_it_was_made_for(#[case] change: &str) {
    let world = World::with_datadog_key(&format!("print-{change}")).await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let values =
        json!({"type": "OPS_GENIE", "opsGenie": {"apiKeySecretRef": {"name": "keys", "key": "api"}}});
    let y = world.integration("y", &values).await.in_sync().await;
    operator.stop().await;
    let (before, other) = (x.get().await, y.get().await);
    let fingerprint = |object: &Value| object["status"]["applied"]["fingerprint"].clone();
    assert_ne!(fingerprint(&before), fingerprint(&other), "nobody sees that their values are the same");
    let status = match change {
        "removed" => json!({"applied": {"fingerprint": null}}),
        "invented" => json!({"applied": {"fingerprint": "0".repeat(32)}}),
        "of-another-attempt" => {
            let id = format!("{}.0123456789abcdef", before["metadata"]["uid"].as_str().unwrap());
            json!({"applied": {"attempt": id}, "attempt": {"id": id}})
        }
        _ => json!({"applied": {"fingerprint": fingerprint(&other)}}),
    };
    x.set_status(&status).await;
    Touch::Labelled.happens(&world).await;
    let _operator = world.operator(&[]).await;
    y.recorded("keys").await;
    let after = x.recorded("keys").await;
    assert_eq!(world.atlas_writes(), ["POST", "POST", "PUT"], "one PUT, for the object that was touched");
    assert!(fingerprint(&after).is_string() && fingerprint(&after) != fingerprint(&before), "a new one");
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
