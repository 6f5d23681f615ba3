//! What objects tell of failed calls: in the words that fit each of them, once, and with advice that loses nothing.

use std::time::Duration;

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{PRIVATE_KEY, PUBLIC_KEY, World, condition, message, until_found, until_true};

/// Status writes for the objects of a world.
fn status_writes(world: &World) -> usize {
    world.api_writes().iter().filter(|event| event.subresource == "status").count()
}

/// Two objects share a LIST, since their Secrets hold the same key. Each is told of its own Secret.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_told_with_the_secret_that_holds_it() {
    let world = World::with_datadog_key("told-secret").await;
    let swapped = [("publicApiKey", PRIVATE_KEY), ("privateApiKey", PUBLIC_KEY)];
    for name in ["first", "second"] {
        world.secret(name, &swapped).await;
    }
    let account = format!("mdb_sa_id_{}", world.project.id());
    world
        .secret("account", &[("clientId", &account), ("clientSecret", "mdb_sa_sk_canaryPRIVATE-wrong")])
        .await;
    let _operator = world.operator(&[]).await;
    let url = world.shared.sim.url();
    let atlas = url.trim_start_matches("http://");
    for (name, says) in [
        ("first", format!("Atlas at {atlas} refuses the API key in Secret first (401 ")),
        ("second", format!("Atlas at {atlas} refuses the API key in Secret second (401 ")),
        (
            "account",
            format!("Atlas at {atlas} refuses the service account in Secret account (401 invalid_client "),
        ),
    ] {
        let secret = json!({"credentialsSecretRef": {"name": name}});
        let x = world.integration(&format!("x-{name}"), &samples::datadog(secret)).await;
        let said = message(&x.reaches("False", "Unauthorized").await);
        assert!(said.starts_with(&says), "{said}");
        let advice = match name {
            "account" => "correct clientId and clientSecret in that Secret",
            _ => "check publicApiKey and privateApiKey in that Secret (not swapped,",
        };
        assert!(said.contains(advice) && said.contains("the operator looks again automatically"), "{said}");
        assert!(!said.contains("canaryPRIVATE"), "{said}");
    }
}

/// Rejected values are told with the keys that they come from.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_settings_are_told_with_their_secret() {
    let world = World::with_datadog_key("told-rejected").await;
    let refusal = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "apiKey must be a hexadecimal string.");
    world.project.fault(Fault::new(refusal).at(Operation::Create).always());
    let _operator = world.operator(&[]).await;
    let said = message(&world.datadog("x").await.reaches("False", "Rejected").await);
    let key = samples::of("DATADOG").secrets[0].0;
    let expected = format!(
        "Atlas answered 400 INVALID_INTEGRATION_SETTINGS to POST DATADOG of project {}: apiKey must be a hexadecimal \
         string; correct what Atlas names, in the object or in its Secret (apiKey comes from key {key} of Secret keys); \
         the operator tries again when the object or its Secrets change, or when the annotation \
         atlas-integrations.dev/reconcile-requested-at gets a new value",
        world.project.id()
    );
    assert_eq!(said, expected);
}

/// A region that Atlas refuses for an integration that works is to be corrected, and nothing is to be deleted.
#[rstest]
#[case::code("code", "REGION_NOT_SUPPORTED", "Region US1_FED is not supported.")]
#[case::text(
    "text",
    "INVALID_ENUM_VALUE",
    "An invalid enumeration value US1_FED was specified for the region of DATADOG."
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_region_of_a_working_integration(
    #[case] name: &str,
    #[case] code: &str,
    #[case] detail: &str,
) {
    let world = World::with_datadog_key(&format!("told-region-{name}")).await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.fault(Fault::new(Effect::error(400, code, detail)).at(Operation::Update));
    x.change(&json!({"datadog": {"region": "US1_FED"}})).await;
    let said = message(&x.reaches("False", "Rejected").await);
    assert!(said.contains("US1 is US in Atlas") && !said.contains("delete"), "{said}");
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT", "PUT"], "the integration was there all along");
}

/// A counter, a time or an id in an error makes no new status, and no new Event.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_whose_text_counts_is_told_once() {
    let world = World::with_datadog_key("told-once").await;
    for n in 1..=6 {
        let detail =
            format!("Try again in {} seconds (request 550e8400-e29b-41d4-a716-44665544000{n}).", 60 - n);
        let mut fault = Fault::new(Effect::error(503, "SERVICE_UNAVAILABLE", &detail)).at(Operation::List);
        if n == 6 {
            fault = fault.always();
        }
        world.project.fault(fault);
    }
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    let first = x.reaches("False", "AtlasUnavailable").await;
    // A restart remembers nothing of it, and a request makes it look at once.
    for request in 1..=5 {
        let faulted = world.project.count(|e| e.faulted);
        x.annotate("reconcile-requested-at", &request.to_string()).await;
        until_true("the next answer", || world.project.count(|e| e.faulted) > faulted).await;
    }
    assert_eq!(x.get().await["status"]["conditions"], first["status"]["conditions"]);
    assert_eq!(status_writes(&world), 1);
    until_found("its Event", || async { world.notes("AtlasUnavailable").await.pop() }).await;
    assert_eq!(world.notes("AtlasUnavailable").await.len(), 1);
}

/// What fails for long is Stalled, so that whatever waits for it ends; the operator keeps trying, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_for_long_is_stalled_and_repeated() {
    let world = World::with_datadog_key("told-stalled").await;
    world.project.fault(Fault::new(Effect::ServerError).at(Operation::Create).always());
    let flags = ["--atlas-timeout", "1s", "--stall-failing-after"];
    let operator = world.operator(&[&flags[..], &["2s"]].concat()).await;
    let x = world.datadog("x").await;
    let object = x.reaches("False", "AtlasUnavailable").await;
    assert_eq!(condition(&object, "Reconciling")["status"], "True", "not yet: {object:#}");
    let object = x.says("Stalled", "True").await;
    let begin = "failing for more than 2s, and the operator keeps trying: Atlas answered 500 UNEXPECTED_ERROR to POST \
                 DATADOG";
    for kind in ["Ready", "Stalled"] {
        let said = condition(&object, kind)["message"].as_str().unwrap().to_owned();
        assert!(said.starts_with(begin), "{kind}: {said}");
    }
    let tries = || world.project.count(Exchange::is_write);
    let before = tries();
    until_true("another try", || tries() > before).await;
    drop(operator);

    // Now it would take an hour to stall again.
    let _operator = world.operator(&[&flags[..], &["1h"]].concat()).await;
    let before = tries();
    until_true("a try after the restart", || tries() > before).await;
    assert_eq!(condition(&x.get().await, "Stalled")["status"], "True", "still");
    world.project.clear_faults();
    let object = x.synced().await;
    assert!(condition(&object, "Stalled").is_null(), "{object:#}");
}

/// The API server takes no Event whose note has more than 1,024 bytes, or whose name is none.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_never_lost_for_its_text_or_its_name() {
    let world = World::with_datadog_key("told-event").await;
    let long = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", &"€".repeat(400));
    world.project.fault(Fault::new(long).at(Operation::Create).always());
    let _operator = world.operator(&[]).await;
    for cut in ["-", "."] {
        let name = format!("{}{cut}{}", "a".repeat(199), "b".repeat(53));
        let x = world.datadog(&name).await;
        x.reaches("False", "Rejected").await;
        let about =
            |event: &Value| event["reason"] == "Rejected" && event["regarding"]["name"] == name.as_str();
        let event =
            until_found("its Event", || async { world.list("Event").await.into_iter().find(about) }).await;
        assert!(event["note"].as_str().unwrap().contains("€€€"), "{event:#}");
        x.delete().await;
    }
}

/// A call that may have arrived is not called unreachable, and the message says how long the operator waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_without_an_answer_may_have_taken_effect() {
    let world = World::with_datadog_key("told-silent").await;
    let _operator = world.operator(&["--atlas-timeout", "2s"]).await;
    world.project.fault(Fault::new(Effect::AppliedThenCut).at(Operation::Create));
    let x = world.datadog("x").await;
    let said = message(&x.reaches("False", "AtlasUnavailable").await);
    let begin = format!("Atlas gave no answer to POST DATADOG of project {}: ", world.project.id());
    let end = "the write may have taken effect; the operator waits until it can't take effect any more, at most 4s, \
               then looks and continues";
    assert!(said.starts_with(&begin) && said.ends_with(end), "{said}");
    tokio::time::timeout(Duration::from_secs(60), x.synced()).await.unwrap();
}

/// Whoever obeys the message of a conflict loses nothing in Atlas, whichever of the two objects goes.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn obeying_a_conflict_deletes_nothing(#[values("this", "other")] goes: &str) {
    let world = World::with_datadog_key(&format!("told-conflict-{goes}")).await;
    let _operator = world.operator(&[]).await;
    let c1 = world.datadog("c1").await.in_sync().await;
    let c2 = world.datadog("c2").await;
    let said = message(&c2.reaches("False", "Conflict").await);
    let advice = "delete this object (nothing happens in Atlas), or set deletionPolicy: Retain on c1 before you delete it";
    assert!(said.starts_with("AtlasIntegration c1 already keeps") && said.ends_with(advice), "{said}");
    if goes == "this" {
        c2.delete().await;
        c1.synced().await;
    } else {
        c1.change(&json!({"deletionPolicy": "Retain"})).await;
        c1.delete().await;
        c2.reaches("False", "AlreadyExists").await;
    }
    assert_eq!(world.atlas_writes(), ["POST"]);
    assert!(world.project.stored_type("DATADOG").is_some());
}
