//! Starting where something is not there yet, and what the operator's own port says meanwhile.

use control_plane::{ControlPlane, Options};

use crate::world::{Operator, World, until};

/// Without its kind the operator waits and says so; it is alive, not ready, and goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_kind() {
    let plane =
        tokio::task::spawn_blocking(|| ControlPlane::start(Options::default())).await.unwrap().unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    let kubectl = |args: &[&str]| tokio::task::block_in_place(|| plane.kubectl(args)).unwrap();
    kubectl(&["create", "namespace", "early"]);
    kubectl(&["create", "serviceaccount", "operator", "--namespace", "early"]);
    let operator = Operator::start_on(&plane, "early", "http://127.0.0.1:9", &[]).await;
    until("the missing kind in the log", || {
        operator.logs().contains("the kind is not installed").then_some(())
    })
    .await;
    assert!(operator.get("/readyz").await.unwrap().starts_with("HTTP/1.1 503"));
    assert!(operator.get("/livez").await.unwrap().starts_with("HTTP/1.1 200"));
    kubectl(&["apply", "-f", &format!("{root}/crds/atlasintegrations.yaml")]);
    operator.until_ready().await;
    let (code, _) = operator.stop().await;
    assert_eq!(code, Some(0));
}

/// The port answers what it should and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_probes() {
    let world = World::new("probes").await;
    let operator = world.operator(&[]).await;
    let metrics = operator.get("/metrics").await.unwrap();
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    assert!(metrics.contains("atlas_integration_build_info{version="), "{metrics}");
    assert!(operator.get("/elsewhere").await.unwrap().starts_with("HTTP/1.1 404"));
}
