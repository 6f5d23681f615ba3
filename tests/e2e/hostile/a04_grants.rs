//! Credentials that were withdrawn while a pass was under way are not used for a write: the operator finds them again
//! right before each fence. A slow LIST gives the test the time to withdraw them between LIST and write.

use std::time::Duration;

use atlas_integration_stage::samples::datadog;
use atlas_sim::{Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::json;

use crate::world::{Object, Operator, World, message};

const LONG: &[&str] = &["--resync-interval", "1h"];
const SECOND: [(&str, &str); 2] =
    [("publicApiKey", "second"), ("privateApiKey", "8f0d7c52-canaryPRIVATE-second")];

/// Makes the next LIST take three seconds.
fn slow_list(world: &World) {
    world.project.fault(Fault::new(Effect::Slow { delay: Duration::from_secs(3) }).at(Operation::List));
}

/// The next step for the object: its first write, a later one, or its deletion.
async fn begin(x: &Object<'_>, step: &str) {
    match step {
        "delete" => x.begin_deletion().await,
        _ => drop(x.change(&json!({"datadog": {"region": "EU"}})).await),
    }
}

/// The grant is withdrawn between the LIST with the platform's key and the write with it.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a04_a_grant_that_was_withdrawn_during_a_list(#[values("create", "update", "delete")] step: &str) {
    let world = World::with_datadog_key(&format!("a04-grant-{step}")).await;
    let home = World::new(&format!("a04-grant-{step}-home")).await;
    world.project.allow_key("platform", "8f0d7c52-canaryPRIVATE-platform");
    let own = [("publicApiKey", "platform"), ("privateApiKey", "8f0d7c52-canaryPRIVATE-platform")];
    home.secret("own-key", &own).await;
    let selector = format!("tenant={}", world.namespace);
    let flags = [&["--credentials-secret", "own-key"], LONG].concat();
    let _operator = Operator::start_elsewhere(&home, &["--selector", &selector], &flags).await;
    world.grant(Some(world.project.id())).await;

    let mut object = world.manifest("x", &datadog(json!({})));
    object["spec"].as_object_mut().unwrap().remove("credentialsSecretRef");
    object["metadata"]["labels"] = json!({"tenant": world.namespace});
    let x = world.object("x");
    if step == "create" {
        slow_list(&world);
        world.create(&object).await;
    } else {
        world.create(&object).await;
        x.synced().await;
        slow_list(&world);
        begin(&x, step).await;
    }
    let before = world.atlas_writes();
    world.until_faulted(1).await;
    world.grant(None).await;
    if step == "delete" {
        x.deletion_waits().await;
    } else {
        x.reaches("False", "ProjectNotAllowed").await;
    }
    assert_eq!(world.atlas_writes(), before, "no write with the platform's key");

    // Nothing is lost: with the grant the object goes on.
    world.grant(Some(world.project.id())).await;
    if step == "delete" {
        x.gone().await;
        assert!(world.project.stored().is_empty());
    } else {
        x.synced().await;
    }
}

/// The tenant's own Secret is deleted between LIST and write.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a04_a_secret_that_was_deleted_during_a_list(#[values("create", "update")] step: &str) {
    let world = World::with_datadog_key(&format!("a04-secret-{step}")).await;
    let _operator = world.operator(LONG).await;
    let x = world.object("x");
    if step == "create" {
        slow_list(&world);
        world.datadog("x").await;
    } else {
        world.datadog("x").await.synced().await;
        slow_list(&world);
        begin(&x, step).await;
    }
    let before = world.atlas_writes();
    world.until_faulted(1).await;
    world.delete("Secret", "atlas").await;
    let object = x.reaches("False", "SecretNotFound").await;
    assert!(message(&object).contains("Secret atlas does not exist"), "{}", message(&object));
    assert_eq!(world.atlas_writes(), before, "no write with the deleted key");
}

/// The Secret holds another key by the time of the write: it is made with that one, after a LIST with it.
#[tokio::test(flavor = "multi_thread")]
async fn a04_a_secret_that_was_changed_during_a_list() {
    let world = World::with_datadog_key("a04-changed").await;
    world.project.allow_key(SECOND[0].1, SECOND[1].1);
    let _operator = world.operator(LONG).await;
    slow_list(&world);
    let x = world.datadog("x").await;
    world.until_faulted(1).await;
    world.secret("atlas", &SECOND).await;
    x.synced().await;
    let writes = world.project.exchanges().into_iter().filter(Exchange::is_write);
    let keys: Vec<_> = writes.map(|write| write.credential.unwrap_or_default()).collect();
    assert_eq!(keys, ["second"]);
}
