//! Two objects for one type of one project: one keeps it, the others say so, write nothing, and take over when it goes.

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::{Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{
    Object, Operator, PRIVATE_KEY, PUBLIC_KEY, World, condition, message, until_found, until_true,
};

const LONG: &[&str] = &["--resync-interval", "1h"];

fn in_region(region: &str) -> Value {
    datadog(json!({"datadog": {"region": region}}))
}

/// Creates an object that is younger than all that are there: times of creation are whole seconds.
async fn younger<'a>(world: &'a World, name: &str, spec: &Value) -> Object<'a> {
    let now = || jiff::Timestamp::now().as_second();
    let begun = now();
    until_true("the next second", || now() > begun).await;
    world.integration(name, spec).await
}

/// Two namespaces that name one project, and one operator for both.
async fn neighbours(name: &str) -> (World, World, Operator) {
    let here = World::with_datadog_key(&format!("{name}-here")).await;
    let there = World::with_project(&format!("{name}-there"), here.project.id()).await;
    there.secret("keys", &samples::of("DATADOG").secrets).await;
    let operator = here.operator(&[&["--watch-namespace", &there.namespace], LONG].concat()).await;
    (here, there, operator)
}

/// Across namespaces the loser learns that there is another, and nothing about it.
#[tokio::test(flavor = "multi_thread")]
async fn across_namespaces() {
    let (here, there, _operator) = neighbours("across").await;
    let winner = here.integration("winner-of-the-place", &in_region("US5")).await;
    let won = winner.synced().await;
    let x = there.integration("x", &in_region("EU")).await;
    let object = x.reaches("False", "Conflict").await;
    assert!(message(&object).contains("an AtlasIntegration of another namespace"), "{}", message(&object));
    assert!(object["status"]["integration"].is_null(), "nor what it holds: {object:#}");
    until_found("its Event", || async { there.notes("Conflict").await.pop() }).await;
    let events = there.list("Event").await;
    for said in [object["status"].to_string(), json!(events).to_string()] {
        for hidden in
            ["winner-of-the-place", here.namespace.as_str(), won["metadata"]["uid"].as_str().unwrap()]
        {
            assert!(!said.contains(hidden), "{hidden} in {said}");
        }
    }
    assert_eq!(here.stored_datadog("region"), "US5");
    winner.delete().await;
    x.synced().await;
    assert_eq!(here.stored_datadog("region"), "EU");
}

/// An object that can't even read the project takes the place from nobody, older though it is.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_squatter_with_bad_credentials(#[values("wrong", "missing")] credentials: &str) {
    let (here, there, _operator) = neighbours(&format!("squatter-{credentials}")).await;
    if credentials == "wrong" {
        there
            .secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", "not-the-canaryPRIVATE")])
            .await;
    } else {
        there.delete("Secret", "atlas").await;
    }
    let reason = if credentials == "wrong" { "Unauthorized" } else { "SecretNotFound" };
    let nearby = json!({"credentialsSecretRef": {"name": "typo"}});
    here.integration("squatter", &datadog(nearby)).await.reaches("False", "SecretNotFound").await;
    let squatter = there.integration("squatter", &in_region("EU")).await;
    squatter.reaches("False", reason).await;
    younger(&here, "x", &in_region("US5")).await;
    here.object("x").synced().await;
    // Once it can read the project, it still comes second.
    there.secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY)]).await;
    squatter.reaches("False", "Conflict").await;
    squatter.delete().await;
    assert_eq!(here.stored_datadog("region"), "US5");
    assert_eq!(here.project.count(Exchange::is_write), 1, "the good object's POST");
}

/// The winner is told to observe: the place is free, and the integration is there, so that taking it needs consent.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_winner_only_observes(#[values("Refuse", "Adopt")] policy: &str) {
    let world = World::with_datadog_key(&format!("observes-{}", policy.to_lowercase())).await;
    let _operator = world.operator(LONG).await;
    let first = world.integration("first", &in_region("US5")).await.in_sync().await;
    let second = world
        .integration("second", &datadog(json!({"datadog": {"region": "EU"}, "adoptionPolicy": policy})))
        .await;
    second.reaches("False", "Conflict").await;
    first.change(&json!({"managementPolicy": "Observe"})).await;
    if policy == "Adopt" {
        second.synced().await;
        assert_eq!(world.stored_datadog("region"), "EU");
    } else {
        second.reaches("False", "AlreadyExists").await;
        assert_eq!(world.stored_datadog("region"), "US5");
    }
    first.reaches("True", "Observed").await;
    assert_eq!(world.project.stored().len(), 1);
}

/// The older waits for its Secret and keeps the place meanwhile; suspended before it claimed, it gives way.
#[tokio::test(flavor = "multi_thread")]
async fn the_winner_is_suspended_before_it_claims() {
    let world = World::with_datadog_key("suspended").await;
    let _operator = world.operator(LONG).await;
    let without_key = json!({"datadog": {"apiKeySecretRef": {"name": "later"}}});
    let first = world.integration("first", &datadog(without_key)).await;
    first.reaches("False", "SecretNotFound").await;
    let second = younger(&world, "second", &in_region("EU")).await;
    second.reaches("False", "Conflict").await;
    first.change(&json!({"suspend": true})).await;
    second.synced().await;
    // Claimed and applied come before older.
    world.secret("later", &samples::of("DATADOG").secrets).await;
    first.change(&json!({"suspend": false})).await.reaches("False", "Conflict").await;
    second.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
    assert_eq!(world.project.count(Exchange::is_write), 1);
}

/// A claim comes before age, even while its first write is refused.
#[tokio::test(flavor = "multi_thread")]
async fn claimed_before_older() {
    let world = World::with_datadog_key("claimed").await;
    let _operator = world.operator(LONG).await;
    let older = world.integration("older", &datadog(json!({"suspend": true}))).await;
    older.reaches("False", "Suspended").await;
    let refusal = Effect::error(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", "IP address 10.0.0.1 is not allowed");
    world.project.fault(Fault::new(refusal).at(Operation::Create).always());
    let claimed = younger(&world, "claimed", &in_region("EU")).await;
    let object = claimed.reaches("False", "Forbidden").await;
    assert!(!object["metadata"]["finalizers"].is_null(), "it has claimed: {object:#}");
    older.change(&json!({"suspend": false})).await.reaches("False", "Conflict").await;
    world.project.clear_faults();
    claimed.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
    older.reaches("False", "Conflict").await;
}

/// What Atlas refuses for good keeps nobody out, older though it is, and takes part again once it is edited.
#[tokio::test(flavor = "multi_thread")]
async fn what_atlas_refuses_gives_way() {
    let world = World::with_datadog_key("gives-way").await;
    let refusal = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "no");
    world.project.fault(Fault::new(refusal).at(Operation::Create));
    let refused = world.integration("refused", &in_region("US5")).await;
    younger(&world, "good", &in_region("EU")).await;
    let _operator = world.operator(LONG).await;
    let good = world.object("good");
    good.synced().await;
    refused.reaches("False", "Conflict").await;
    assert_eq!(world.project.count(Exchange::is_write), 2, "the refused POST and the good one");
    good.delete().await;
    refused.reaches("False", "Rejected").await;
    assert_eq!(world.project.count(Exchange::is_write), 3, "the DELETE: what was refused is not sent again");
    refused.change(&json!({"datadog": {"region": "US3"}})).await.synced().await;
    assert_eq!(world.stored_datadog("region"), "US3");
}

/// Two that come together: one of them gets the place, the other says so, and that stays so.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_new_objects_one_gets_the_place() {
    let world = World::with_datadog_key("both-new").await;
    world.integration("a", &in_region("US5")).await;
    world.integration("b", &in_region("EU")).await;
    let _operator = world.operator(&[]).await;
    let (ready, conflict) = settled(&world).await;
    world.until_looked(4).await;
    assert_eq!(settled(&world).await, (ready, conflict));
    assert_eq!(world.project.count(Exchange::is_write), 1);
}

/// The names of the one that is in sync and of the one in conflict, of `a` and `b`.
async fn settled(world: &World) -> (&'static str, &'static str) {
    let a = world
        .object("a")
        .until("settled", |object| {
            let ready = condition(object, "Ready");
            ready["reason"] == "Synced" || ready["reason"] == "Conflict"
        })
        .await;
    let b = world.object("b");
    if condition(&a, "Ready")["reason"] == "Synced" {
        b.reaches("False", "Conflict").await;
        ("a", "b")
    } else {
        b.synced().await;
        ("b", "a")
    }
}

/// Renamed in Git: a sync deletes the one and creates the other, in either order, within a moment.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn renamed(
    #[values(["a", "b"], ["b", "a"])] names: [&str; 2],
    #[values("deleted-first", "created-first")] order: &str,
) {
    let [old, new] = names;
    let world = World::with_datadog_key(&format!("renamed-{old}-{order}")).await;
    let _operator = world.operator(LONG).await;
    world.integration(old, &in_region("US5")).await;
    world.object(old).synced().await;
    if order == "deleted-first" {
        world.object(old).begin_deletion().await;
        world.integration(new, &in_region("US5")).await;
    } else {
        world.integration(new, &in_region("US5")).await;
        world.object(old).begin_deletion().await;
    }
    // With a resync in an hour, nothing but the release of the old one can let the new one go on.
    let object = world.object(new).synced().await;
    world.object(old).gone().await;
    assert_eq!(object["status"]["applied"]["uid"], object["metadata"]["uid"]);
    assert_eq!(world.project.stored().len(), 1);
    let writes = world.atlas_writes();
    assert_eq!(writes, ["POST", "DELETE", "POST"]);
}

/// Two clusters, each with its operator, and no consent: the second says so, and nobody writes again.
#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_without_consent() {
    let one = World::with_datadog_key("cluster-one").await;
    let two = World::with_project("cluster-two", one.project.id()).await;
    two.secret("keys", &[("api", "fedcba9876543210fedcba9876540002")]).await;
    let _operators = (one.operator(&[]).await, two.operator(&[]).await);
    let x_of_one = one.integration("x", &in_region("US5")).await;
    let first = x_of_one.synced().await;
    let x_of_two = two.integration("x", &in_region("EU")).await;
    let second = x_of_two.reaches("False", "AlreadyExists").await;
    one.until_looked(8).await;
    assert_eq!(one.project.count(Exchange::is_write), 1, "the first one's POST");
    for (world, before) in [(&one, &first), (&two, &second)] {
        let now = world.object("x").get().await;
        assert_eq!(now["status"]["conditions"], before["status"]["conditions"], "no flip-flop");
    }
    // The second one's deletion takes nothing from the first.
    x_of_two.delete().await;
    assert_eq!(one.project.count(Exchange::is_write), 1);
    // The first one's makes room for it, if it is still wanted.
    let y = two.integration("y", &in_region("EU")).await;
    y.reaches("False", "AlreadyExists").await;
    x_of_one.delete().await;
    y.synced().await;
}
