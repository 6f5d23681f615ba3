//! Which API version is spoken.

use atlas_integration_stage::samples;
use atlas_sim::{Api, AtlasSim, Effect, Exchange, Fault, Operation, Serve};
use rstest::rstest;
use serde_json::json;

use crate::world::{World, condition, message};

fn writes_over(world: &World, api: Api) -> usize {
    world.project.count(|exchange| exchange.is_write() && exchange.api == api)
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_speaks_version_2_and_flowdock_goes_to_1_0() {
    let world = World::new("auto").await;
    let _operator = world.operator(&[]).await;
    world.synced_samples(["DATADOG", "FLOWDOCK", "OPS_GENIE"]).await;
    let v1 = |exchange: &Exchange| exchange.is_write() && exchange.api == Api::V1;
    assert_eq!(writes_over(&world, Api::V2), 2);
    assert_eq!(world.project.count(v1), 1);
    assert_eq!(world.project.count(|e| v1(e) && e.integration_type.as_deref() == Some("FLOWDOCK")), 1);
    let typed = |e: &Exchange| e.header("content-type") == Some("application/vnd.atlas.2023-01-01+json");
    assert_eq!(world.project.count(|e| e.is_write() && e.api == Api::V2 && typed(e)), 2);
}

#[rstest]
#[case::not_there(Serve::ForeignNotFound)]
#[case::no_such_resource(Serve::ResourceNotFound)]
#[case::sunset(Serve::VersionGone)]
#[case::no_such_version(Serve::InvalidVersionDate)]
#[tokio::test(flavor = "multi_thread")]
async fn auto_works_on_an_atlas_that_serves_1_0_only(#[case] serve: Serve) {
    let world = World::new("auto-v1").await;
    world.project.settings(|settings| settings.serve_v2 = serve);
    let _operator = world.operator(&[]).await;
    world.synced_samples(["DATADOG", "FLOWDOCK", "WEBHOOK"]).await;
    assert_eq!(writes_over(&world, Api::V1), 3);
    assert_eq!(writes_over(&world, Api::V2), 0);
    let datadog = world.object("datadog");
    // FLOWDOCK and the others share one LIST there.
    datadog.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
}

/// A proxy that answers 404 for a while must not make the operator take version 1.0 for the rest of its life.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_passing_404_of_a_proxy_settles_nothing(#[values(1, 2, 4)] times: u32) {
    let world = World::new(&format!("auto-proxy-{times}")).await;
    world.project.fault(Fault::new(Effect::foreign_not_found()).at(Operation::List).times(times));
    let _operator = world.operator(&[]).await;
    world.synced_samples(["DATADOG"]).await;
    assert_eq!(writes_over(&world, Api::V2), 1);
}

/// What one version requires and the other does not is said before any call.
#[rstest]
#[case("v1.0", json!({"channelName": "alerts"}), "teamName")]
#[case("v2", json!({"teamName": "My Team"}), "channelName")]
#[tokio::test(flavor = "multi_thread")]
async fn slack_lacks_what_the_version_requires(
    #[case] api: &str,
    #[case] mut block: serde_json::Value,
    #[case] missing: &str,
) {
    let world = World::new(&format!("slack-{}", api.replace('.', "-"))).await;
    let _operator = world.operator(&["--atlas-api", api]).await;
    world.secret("keys", &samples::of("SLACK").secrets).await;
    block["apiTokenSecretRef"] = json!({"name": "keys", "key": "token"});
    let slack = world.integration("slack", &json!({"type": "SLACK", "slack": block})).await;
    let object = slack.reaches("False", "InvalidSpec").await;
    let message = message(&object);
    assert!(message.contains(missing), "{message}");
    assert_eq!(condition(&object, "Stalled")["status"], "True");
    assert_eq!(world.project.count(Exchange::is_write), 0);
    slack.change(&json!({"slack": {missing: "now there"}})).await.synced().await;
}

/// Where nobody listens, that is said, and the operator lives on.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_atlas_is_said_and_survived() {
    let world = World::new("unreachable").await;
    let gone = AtlasSim::start().await.unwrap();
    let url = gone.url();
    drop(gone);
    let operator = world.operator(&["--atlas-url", &url]).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let x = world.datadog("x").await;
    let object = x.reaches("False", "AtlasUnavailable").await;
    let message = message(&object);
    assert!(
        message.contains("can't be reached") && message.contains("looks again automatically"),
        "{message}"
    );
    assert!(operator.get("/livez").await.unwrap().starts_with("HTTP/1.1 200"));
}
