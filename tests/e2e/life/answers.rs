//! What Atlas adds, leaves out or refuses as such, as an object shows it.

use std::time::Duration;

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Exchange, Fault, Flowdock, Operation, SlackFirstCreate};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, condition, message};

const LONG: &[&str] = &["--resync-interval", "1h"];

/// Whatever LIST shows beside ours or leaves out: in sync stays so, and nothing is written.
#[rstest]
#[case::nulls("nulls", Effect::NullInResults)]
#[case::unknown_type("type", Effect::UnknownType)]
#[case::unknown_fields("fields", Effect::UnknownFields)]
#[tokio::test(flavor = "multi_thread")]
async fn what_atlas_adds_changes_nothing(#[case] name: &str, #[case] effect: Effect) {
    let world = World::new(&format!("adds-{name}")).await;
    world.project.fault(Fault::new(effect).always());
    let _operator = world.operator(&[]).await;
    let objects = world.synced_samples(["DATADOG", "WEBHOOK", "PROMETHEUS"]).await;
    world.until_looked(3).await;
    assert_eq!(world.project.count(Exchange::is_write), objects.len(), "each written once");
    for object in &objects {
        let object = object.synced().await;
        assert_eq!(condition(&object, "InSync")["status"], "True");
        assert!(!object["status"].to_string().contains("aFuture"), "only known fields are shown");
    }
}

/// Ids that come and go: without one nothing hidden can be seen, and nothing is written because of that alone more
/// often than repairs are.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_missing() {
    let world = World::new("no-ids").await;
    world.project.fault(Fault::new(Effect::MissingIds).always());
    let _operator = world.operator(&[]).await;
    let datadog = world.sample("DATADOG").await;
    let object = datadog.synced().await;
    assert!(object["status"]["integration"]["id"].is_null());
    world.until_looked(3).await;
    assert_eq!(world.project.count(Exchange::is_write), 1);
    // A visible change is found all the same.
    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    world.until_stored("region", "US5").await;
}

/// The answer to a write is cut into pages, or wrapped: our own entry is found where it is.
#[rstest]
#[case::cut("cut", json!({"results": [], "links": [{"rel": "next", "href": "x"}], "totalCount": 1}))]
#[case::wrapped("wrapped", json!({"status": 200, "content": {"results": [{"type": "OPS_GENIE", "apiKey": "********************0001",
    "region": "EU", "id": "5d791c84ff7a2522cc4f9aa9"}]}}))]
#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_write_is_cut_or_wrapped(#[case] name: &str, #[case] value: Value) {
    let world = World::new(&format!("answer-{name}")).await;
    let _operator = world.operator(LONG).await;
    world.project.fault(Fault::new(Effect::ReplaceAnswer { value }).at(Operation::Create));
    let ops_genie = world.sample("OPS_GENIE").await;
    let object = ops_genie.synced().await;
    assert_eq!(object["status"]["integration"]["apiKey"], "****0001");
    assert_eq!(world.project.count(|e| e.method == "POST"), 1, "taken for what it is");
    assert_eq!(world.project.stored().len(), 1);
}

/// Accepted, and not shown at first: the object says so, waits, and ends with one integration.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_not_visible_right_after_its_creation() {
    let world = World::new("invisible").await;
    let _operator = world.operator(&["--atlas-timeout", "2s"]).await;
    let value = json!({"results": [], "links": [], "totalCount": 0});
    world.project.fault(
        Fault::new(Effect::DelayedVisibility { time: Duration::from_secs(3), reads: 2 })
            .at(Operation::Create),
    );
    world.project.fault(Fault::new(Effect::ReplaceAnswer { value }).at(Operation::List).after(1));
    let datadog = world.sample("DATADOG").await.in_sync().await;
    assert_eq!(world.project.stored().len(), 1);
    datadog.delete().await;
    assert!(world.project.stored().is_empty(), "it was ours all along");
}

/// The create page's `409` while LIST shows nothing: somebody's entry that is not visible yet is never ours.
#[tokio::test(flavor = "multi_thread")]
async fn configured_and_not_shown() {
    let world = World::with_datadog_key("not-shown").await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    // Ours was removed and another's is hidden: the POST of the repair meets it.
    let conflict = Effect::error(409, "INTEGRATION_ALREADY_CONFIGURED", "configured");
    world.project.fault(Fault::new(conflict).at(Operation::Create));
    world.project.remove_by_other("DATADOG");
    let object = x.reaches("False", "NotVisibleYet").await;
    assert_eq!(condition(&object, "Reconciling")["status"], "True", "it goes on by itself");
    x.synced().await;
}

/// Types that Atlas refuses as such.
#[rstest]
#[case::flowdock("FLOWDOCK", None)]
#[case::new_relic(
    "NEW_RELIC",
    Some(Effect::error(400, "INVALID_ENUM_VALUE", "An invalid enumeration value NEW_RELIC was specified."))
)]
#[case::retired(
    "VICTOR_OPS",
    Some(Effect::error(404, "RESOURCE_NOT_FOUND", "Cannot find resource VICTOR_OPS."))
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_atlas_refuses(#[case] kind: &str, #[case] effect: Option<Effect>) {
    let sample = samples::of(kind);
    let world = World::new(&format!("refused-{}", sample.name())).await;
    world.project.settings(|settings| settings.flowdock = Flowdock::Nowhere);
    if let Some(effect) = effect {
        world.project.fault(Fault::new(effect).of_type(kind).at(Operation::Create).always());
    }
    let _operator = world.operator(&[]).await;
    let x = world.sample(sample.kind).await;
    let ops_genie = world.sample("OPS_GENIE").await;
    let object = x.reaches("False", "NotSupportedByAtlas").await;
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    assert!(
        message(&object).contains("delete this object (nothing was created in Atlas)"),
        "{}",
        message(&object)
    );
    assert!(object["metadata"]["finalizers"].is_null(), "nothing is claimed");
    ops_genie.synced().await;
    let tries = || world.project.count(|e| e.is_write() && e.integration_type.as_deref() == Some(kind));
    let before = tries();
    world.until_looked(3).await;
    assert_eq!(tries(), before, "not sent again");
    x.delete().await;
}

/// Slack is connected by people: each of the three refusals says what they have to do, and a request goes on after it.
#[rstest]
#[case::never("SLACK_OAUTH2_NOT_CONFIGURED", "was never connected")]
#[case::changed("MUST_RECONFIGURE_SLACK_OAUTH2", "connect Slack again")]
#[case::legacy("LEGACY_SLACK_CONFIGURATION_UNSUPPORTED", "legacy Slack token")]
#[tokio::test(flavor = "multi_thread")]
async fn slack_refusals_are_explained(#[case] code: &str, #[case] words: &str) {
    let world = World::new(&code.to_lowercase().replace('_', "-")[..20]).await;
    let _operator = world.operator(LONG).await;
    if code == "SLACK_OAUTH2_NOT_CONFIGURED" {
        world.project.settings(|settings| settings.slack_first_create = SlackFirstCreate::RequireOAuth2);
    } else {
        world.project.fault(Fault::new(Effect::error(400, code, "refused")).at(Operation::Create).always());
    }
    let slack = world.sample("SLACK").await;
    let object = slack.reaches("False", "Rejected").await;
    let said = message(&object);
    assert!(said.contains(words) && said.contains(code) && said.contains("Integrations, "), "{said}");
    // Connected meanwhile.
    world.project.settings(|settings| settings.slack_first_create = SlackFirstCreate::Accept);
    world.project.clear_faults();
    slack.annotate("reconcile-requested-at", "connected").await.synced().await;
}
