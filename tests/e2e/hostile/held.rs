//! Attacks that held from the beginning, as far as no other test shows them; `docs/attacks.md` names the others.

use std::time::Duration;

use atlas_integration_stage::samples::{self, datadog, foreign};
use atlas_sim::{Effect, Fault, Operation};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::hostile::tenant::Tenant;
use crate::world::{World, until_found};

/// A tenant writes a status that would prove an integration its own.
#[tokio::test(flavor = "multi_thread")]
async fn h04_a_forged_status_is_ignored_or_refused() {
    let world = World::with_datadog_key("held-status").await;
    world.project.replace_by_other(foreign());
    let eve = Tenant::of(&world).await;
    let _operator = world.operator(&[]).await;
    eve.create(&world.manifest("x", &datadog(json!({})))).await.unwrap();
    let x = world.object("x");
    let object = x.reaches("False", "AlreadyExists").await;
    let applied = json!({"uid": object["metadata"]["uid"], "config": "x", "time": "2024-01-01T00:00:00Z"});
    let forged = json!({"applied": applied, "conditions": []});
    let kept = eve.patch("AtlasIntegration", "x", &json!({"status": forged})).await.unwrap();
    assert!(kept["status"]["applied"].is_null(), "the main resource takes no status: {kept:#}");
    assert_eq!(eve.patch_status("x", &forged).await.err(), Some(403));
    let mut born = world.manifest("y", &datadog(json!({})));
    born["status"] = forged;
    let born = eve.create(&born).await.unwrap();
    assert!(born["status"]["applied"].is_null(), "nor at the creation: {born:#}");
    eve.delete("AtlasIntegration", "x").await.unwrap();
    x.gone().await;
    assert!(world.atlas_writes().is_empty() && world.stored_datadog("region") == "EU");
}

/// The project and the type can't be changed, also not while the object goes.
#[tokio::test(flavor = "multi_thread")]
async fn h02_project_and_type_stay() {
    let world = World::with_datadog_key("held-project").await;
    let eve = Tenant::of(&world).await;
    let mut object = world.manifest("x", &datadog(json!({})));
    object["metadata"]["finalizers"] = json!(["eve.example/stays"]);
    eve.create(&object).await.unwrap();
    for going in [false, true] {
        if going {
            eve.delete("AtlasIntegration", "x").await.unwrap();
        }
        let project = json!({"spec": {"projectId": "5d791c84ff7a2522cc4f9aa9"}});
        assert_eq!(eve.patch("AtlasIntegration", "x", &project).await.err(), Some(422));
        let other = samples::of("PAGER_DUTY").spec;
        let kind = json!({"spec": {"type": other["type"], "datadog": null, "pagerDuty": other["pagerDuty"]}});
        assert_eq!(eve.patch("AtlasIntegration", "x", &kind).await.err(), Some(422));
    }
    eve.patch("AtlasIntegration", "x", &json!({"metadata": {"finalizers": null}})).await.unwrap();
}

/// Consent that comes when the object already goes.
#[tokio::test(flavor = "multi_thread")]
async fn h03_adopt_while_it_goes() {
    let world = World::with_datadog_key("held-adopt").await;
    world.project.replace_by_other(foreign());
    let eve = Tenant::of(&world).await;
    let operator = world.operator(&[]).await;
    eve.create(&world.manifest("x", &datadog(json!({})))).await.unwrap();
    let x = world.object("x");
    x.reaches("False", "AlreadyExists").await;
    operator.pause();
    eve.patch("AtlasIntegration", "x", &json!({"metadata": {"finalizers": ["eve.example/stays"]}}))
        .await
        .unwrap();
    eve.delete("AtlasIntegration", "x").await.unwrap();
    eve.patch("AtlasIntegration", "x", &json!({"spec": {"adoptionPolicy": "Adopt"}})).await.unwrap();
    operator.resume();
    world.sample("PAGER_DUTY").await.in_sync().await;
    eve.patch("AtlasIntegration", "x", &json!({"metadata": {"finalizers": null}})).await.unwrap();
    x.gone().await;
    assert_eq!(world.atlas_writes(), ["POST"], "that of the other object");
    assert_eq!(world.stored_datadog("region"), "EU");
}

/// A hundred objects without credentials in the victim's project: its rotation arrives, no call is made for them, and
/// its Event is among theirs.
#[tokio::test(flavor = "multi_thread")]
async fn h07_objects_without_credentials_in_anothers_project() {
    const MANY: usize = 100;
    let victim = World::with_datadog_key("held-keyless").await;
    let attacker = World::with_project("held-keyless-eve", victim.project.id()).await;
    let eve = Tenant::of(&attacker).await;
    let _operator = victim.operator(&["--watch-namespace", &attacker.namespace]).await;
    let x = victim.datadog("x").await.in_sync().await;
    for number in 0..MANY {
        let spec = datadog(json!({"credentialsSecretRef": {"name": format!("none-{number}")}}));
        eve.create(&attacker.manifest(&format!("x-{number}"), &spec)).await.unwrap();
    }
    attacker.object(&format!("x-{}", MANY - 1)).reaches("False", "SecretNotFound").await;
    let calls = victim.project.exchanges().len();
    let looks = victim.looks();
    victim.secret("keys", &[("api", "fedcba9876543210fedcba9876540002")]).await;
    victim.until_stored("apiKey", "fedcba9876543210fedcba9876540002").await;
    x.synced().await;
    let (calls, looks) = (victim.project.exchanges().len() - calls, victim.looks() - looks);
    assert!(calls <= 2 * looks + 2, "{calls} calls in {looks} passes: none is made without credentials");
    let refused = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "no");
    victim.project.fault(Fault::new(refused).at(Operation::Update));
    x.change(&json!({"datadog": {"region": "EU"}})).await.reaches("False", "Rejected").await;
    until_found("the victim's Event", || async { victim.notes("Rejected").await.pop() }).await;
}

/// The port under connections with large headers, under many requests at once, and under bursts of connections.
#[tokio::test(flavor = "multi_thread")]
async fn h10_a_port_under_load() {
    let world = World::with_datadog_key("held-port").await;
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let before = operator.memory().unwrap().peak;
    let header = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX-Large: {}", "x".repeat(390_000));
    let pipelined = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50);
    let address = operator.address();
    let say = |said: &str| {
        let said = said.to_owned();
        async move {
            let mut client = TcpStream::connect(address).await.unwrap();
            let _ = client.write_all(said.as_bytes()).await;
            client
        }
    };
    let mut held = futures::future::join_all((0..60).map(|_| say(&header))).await;
    assert!(operator.get("/livez").await.unwrap_or_default().starts_with("HTTP/1.1 200"));
    held.extend(futures::future::join_all((0..50).map(|_| say(&pipelined))).await);
    for _ in 0..10 {
        let burst = futures::future::join_all((0..100).map(|_| say("G"))).await;
        let livez = operator.get("/livez").await.unwrap_or_default();
        assert!(livez.starts_with("HTTP/1.1 200"), "{livez:?}");
        drop(burst);
    }
    tokio::time::timeout(
        Duration::from_secs(60),
        x.change(&json!({"datadog": {"region": "EU"}})).await.synced(),
    )
    .await
    .unwrap();
    let more = operator.memory().unwrap().peak - before;
    assert!(more < 48 << 10, "{more} KiB more");
    drop(held);
}
