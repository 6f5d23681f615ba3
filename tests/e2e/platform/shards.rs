//! Two operators side by side, each with a share of the objects: by label, or by namespace. `docs/scale.md` says when and
//! how.

use std::sync::LazyLock;
use std::time::Duration;

use atlas_integration_stage::samples::datadog;
use atlas_sim::{Effect, Fault, Operation};
use serde_json::{Value, json};

use crate::platform::release::with_controllers;
use crate::world::helm::NAME;
use crate::world::page::Reader;
use crate::world::{Object, Operator, Shared, World, condition, own, until, until_found};

/// The two operators of a world, by the label `shard`.
async fn shards(world: &World) -> [Operator; 2] {
    [world.operator(&["--selector", "shard=a"]).await, world.operator(&["--selector", "shard=b"]).await]
}

/// Creates an object of a shard.
async fn of_shard<'a>(world: &'a World, name: &str, shard: &str, spec: &Value) -> Object<'a> {
    let mut object = world.manifest(name, spec);
    object["metadata"]["labels"] = json!({"shard": shard});
    world.create(&object).await;
    world.object(name)
}

/// Gives an object to a shard.
async fn give(x: &Object<'_>, shard: &str) {
    x.patch(&json!({"metadata": {"labels": {"shard": shard}}})).await;
}

/// Waits until these operators have that many objects.
async fn until_serving<const N: usize>(operators: [&Operator; N], expected: [u64; N]) {
    until_found(&format!("{expected:?} objects"), || async {
        let mut counts = Vec::new();
        for operator in operators {
            counts.push(operator.metric("atlas_integration_objects").await);
        }
        (counts == expected).then_some(())
    })
    .await;
}

/// Another label moves an object to the other operator, which takes it as it is. What follows is its work alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_its_label_moves_without_a_write() {
    let world = World::with_datadog_key("shards").await;
    let [a, b] = shards(&world).await;
    let x = of_shard(&world, "x", "a", &datadog(json!({}))).await;
    let before = x.synced().await;
    until_serving([&a, &b], [1, 0]).await;
    let api_writes = world.api_writes().len();

    give(&x, "b").await;
    let moved = x.get().await;
    until_serving([&a, &b], [0, 1]).await;
    world.until_looked(2).await;
    assert_eq!(x.get().await, moved, "nothing was written to it");
    assert_eq!(moved["status"], before["status"]);
    assert_eq!((world.api_writes().len(), world.atlas_writes()), (api_writes, vec!["POST".to_owned()]));

    // The value was sent by the other process. This one recognises it in the Secret that was only touched.
    world.patch("Secret", "keys", &json!({"metadata": {"labels": {"team": "payments"}}})).await;
    let version = world.get("Secret", "keys").await.unwrap()["metadata"]["resourceVersion"].clone();
    let recorded = |object: &Value| object["status"]["applied"]["secrets"][0]["resourceVersion"] == version;
    x.until("recorded with the Secret as it is", recorded).await;
    assert_eq!(world.atlas_writes(), ["POST"]);

    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
    assert_eq!(world.atlas_writes(), ["POST", "PUT"], "one operator wrote it, once");
    x.delete().await;
    assert!(world.project.stored().is_empty());
}

/// The label changes while a PUT is under way. The former operator stores what Atlas answered, or else the new one waits
/// until the outcome is known. Neither writes what the other has written.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_moves_while_a_write_is_under_way() {
    let world = World::with_datadog_key("shards-busy").await;
    let [a, b] = shards(&world).await;
    let x = of_shard(&world, "x", "a", &datadog(json!({}))).await;
    x.synced().await;
    let slow = Effect::Slow { delay: Duration::from_secs(2) };
    world.project.fault(Fault::new(slow).at(Operation::Update));
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    world.until_faulted(1).await;
    give(&x, "b").await;
    until_serving([&a, &b], [0, 1]).await;
    x.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
}

/// Two objects of one place, each served by an operator that does not see the other object: the second takes nothing
/// from the first, and says so. One operator that sees both tells which of them keeps the place.
#[tokio::test(flavor = "multi_thread")]
async fn one_place_in_two_shards() {
    let world = World::with_datadog_key("shards-place").await;
    let [a, b] = shards(&world).await;
    let x = of_shard(&world, "x", "a", &datadog(json!({}))).await;
    x.synced().await;
    let y = of_shard(&world, "y", "b", &datadog(json!({"datadog": {"region": "EU"}}))).await;
    let object = y.reaches("False", "AlreadyExists").await;
    assert!(object["metadata"]["finalizers"].is_null(), "{object:#}");
    world.until_looked(2).await;
    assert_eq!(world.atlas_writes(), ["POST"]);
    assert_eq!(world.stored_datadog("region"), "US5");

    give(&y, "a").await;
    until_serving([&a, &b], [2, 0]).await;
    y.reaches("False", "Conflict").await;
    assert_eq!(condition(&x.get().await, "Ready")["status"], "True");
    y.delete().await;
    assert_eq!(world.atlas_writes(), ["POST"]);

    // Deleting an object that took nothing deletes nothing, whichever operator serves it.
    let z = of_shard(&world, "z", "b", &datadog(json!({}))).await;
    z.reaches("False", "AlreadyExists").await;
    z.delete().await;
    assert_eq!(world.atlas_writes(), ["POST"]);
    x.synced().await;
}

/// One operator for two namespaces becomes two, an operator for each.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_moves_to_another_operator_without_a_write() {
    let here = World::with_datadog_key("shards-here").await;
    let there = World::with_datadog_key("shards-there").await;
    let both = here.operator(&["--watch-namespace", &there.namespace]).await;
    let (x, y) = (here.datadog("x").await, there.datadog("y").await);
    x.synced().await;
    y.synced().await;
    until_serving([&both], [2]).await;
    both.stop().await;
    let before = [x.get().await, y.get().await];

    let (a, b) = (here.operator(&[]).await, there.operator(&[]).await);
    until_serving([&a, &b], [1, 1]).await;
    here.until_looked(2).await;
    there.until_looked(2).await;
    assert_eq!([x.get().await, y.get().await], before, "nothing was written to them");
    assert_eq!((here.atlas_writes(), there.atlas_writes()), (vec!["POST".into()], vec!["POST".into()]));
    y.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    assert_eq!(there.stored_datadog("region"), "EU");
    assert_eq!(here.stored_datadog("region"), "US5");
}

/// The way of the page, from one installation to two and back.
#[tokio::test(flavor = "multi_thread")]
async fn divided_by_the_page() {
    static PLANE: LazyLock<Shared> = LazyLock::new(with_controllers);
    const SECOND: &str = "atlas-integration-operator-b";
    let shared = own(&PLANE).await;
    let reader = Reader::new(shared, "default");
    let filled =
        [("REGISTRY", "registry.example.com"), ("5d791c84ff7a2522cc4f9aa1", "5d791c84ff7a252200000001")];
    reader.follow("docs/install.md", "Helm", &filled).finish();
    shared.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);
    let first = shared.beside().await;
    // By the last digit of its project's id, the one stays and the other goes.
    let stays = World::on(shared, "stays", "5d791c84ff7a252200000001").await;
    let goes = World::on(shared, "goes", "5d791c84ff7a25220000000c").await;
    let mut objects = Vec::new();
    for world in [&stays, &goes] {
        world.secret("keys", &atlas_integration_stage::samples::of("DATADOG").secrets).await;
        objects.push(world.datadog("x").await.in_sync().await);
    }
    until_serving([&first], [2]).await;

    let mut way = reader.follow("docs/scale.md", "By label", &filled);
    way.step();
    assert_eq!(objects[0].get().await["metadata"]["labels"], Value::Null);
    assert_eq!(objects[1].get().await["metadata"]["labels"], json!({"shard": "b"}));
    let before = [objects[0].get().await, objects[1].get().await];
    way.step();
    // The Deployment starts the first operator again with its new flags.
    first.stop().await;
    let first = shared.beside().await;
    until_serving([&first], [1]).await;
    way.step();
    let looks = goes.looks();
    let second = shared.beside_release(SECOND).await;
    until_serving([&first, &second], [1, 1]).await;
    let led = until("the Lease of the second operator", || {
        shared
            .try_kubectl(&["get", "lease", SECOND, "-n", SECOND, "-o", "jsonpath={.spec.holderIdentity}"])
            .ok()
    })
    .await;
    assert!(led.contains(&second.instance()), "{led}");
    let told = way.step();
    assert!(told.lines().any(|line| line.contains("goes-") && line.ends_with('b')), "{told}");
    until("its look at Atlas", || (goes.looks() > looks).then_some(())).await;
    assert_eq!([objects[0].get().await, objects[1].get().await], before, "nothing was written to them");

    // A project moves, and moves back with all others of the second operator.
    way.step();
    until_serving([&first, &second], [0, 2]).await;
    way.step();
    until_serving([&first, &second], [2, 0]).await;
    way.step();
    way.ends();
    second.stop().await;
    let left = shared.kubectl(&["get", "clusterrole,clusterrolebinding", "-o", "name"]);
    assert!(left.contains(NAME) && !left.contains(SECOND), "{left}");
    shared.kubectl(&["get", "crd", "atlasintegrations.atlas-integrations.dev"]);
    for (object, world) in objects.iter().zip([&stays, &goes]) {
        object.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
        assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
    }
}
