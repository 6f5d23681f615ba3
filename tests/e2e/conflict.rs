//! Two objects for one type of one project: one keeps it, the others say so, write nothing, and take over when it goes.

use atlas_sim::{Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::samples::{self, datadog};
use crate::world::{PRIVATE_KEY, PUBLIC_KEY, World, condition, message, until};

const LONG: &[&str] = &["--resync-interval", "1h"];

fn in_region(region: &str) -> Value {
    datadog(json!({"datadog": {"region": region}}))
}

fn region(world: &World) -> Value {
    world.project.stored_type("DATADOG").map(|stored| stored["region"].clone()).unwrap_or_default()
}

async fn create(world: &World, name: &str, spec: &Value) {
    world.create(&world.integration(name, spec)).await;
}

/// Creates an object that is younger than all that are there: times of creation are whole seconds.
async fn create_younger(world: &World, name: &str, spec: &Value) {
    let now = || jiff::Timestamp::now().as_second();
    let begun = now();
    until("the next second", || (now() > begun).then_some(())).await;
    create(world, name, spec).await;
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
    create(&here, "winner-of-the-place", &in_region("US5")).await;
    let winner = here.until_ready("winner-of-the-place", "True", "Synced").await;
    create(&there, "x", &in_region("EU")).await;
    let object = there.until_ready("x", "False", "Conflict").await;
    assert!(message(&object).contains("an AtlasIntegration of another namespace"), "{}", message(&object));
    assert!(object["status"]["integration"].is_null(), "nor what it holds: {object:#}");
    let events = until_events(&there, "Conflict").await;
    for said in [object["status"].to_string(), json!(events).to_string()] {
        for hidden in
            ["winner-of-the-place", here.namespace.as_str(), winner["metadata"]["uid"].as_str().unwrap()]
        {
            assert!(!said.contains(hidden), "{hidden} in {said}");
        }
    }
    assert_eq!(region(&here), "US5");
    here.delete("AtlasIntegration", "winner-of-the-place").await;
    here.until_gone("winner-of-the-place").await;
    there.until_ready("x", "True", "Synced").await;
    assert_eq!(region(&here), "EU");
}

/// The Events of a reason, of which there is one at least.
async fn until_events(world: &World, reason: &str) -> Vec<Value> {
    let begun = std::time::Instant::now();
    while begun.elapsed() < crate::world::LIMIT {
        let all = world.list("Event").await;
        let found: Vec<Value> = all.into_iter().filter(|event| event["reason"] == reason).collect();
        if !found.is_empty() {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("no Event {reason}");
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
    create(&here, "squatter", &datadog(nearby)).await;
    here.until_ready("squatter", "False", "SecretNotFound").await;
    create(&there, "squatter", &in_region("EU")).await;
    there.until_ready("squatter", "False", reason).await;
    create_younger(&here, "x", &in_region("US5")).await;
    here.until_ready("x", "True", "Synced").await;
    // Once it can read the project, it still comes second.
    there.secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY)]).await;
    there.until_ready("squatter", "False", "Conflict").await;
    there.delete("AtlasIntegration", "squatter").await;
    there.until_gone("squatter").await;
    assert_eq!(region(&here), "US5");
    assert_eq!(here.project.count(Exchange::is_write), 1, "the good object's POST");
}

/// The winner is told to observe: the place is free, and the integration is there, so that taking it needs consent.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_winner_only_observes(#[values("Refuse", "Adopt")] policy: &str) {
    let world = World::with_datadog_key(&format!("observes-{}", policy.to_lowercase())).await;
    let _operator = world.operator(LONG).await;
    create(&world, "first", &in_region("US5")).await;
    world.until_ready("first", "True", "Synced").await;
    create(&world, "second", &datadog(json!({"datadog": {"region": "EU"}, "adoptionPolicy": policy}))).await;
    world.until_ready("second", "False", "Conflict").await;
    world.patch("AtlasIntegration", "first", &json!({"spec": {"managementPolicy": "Observe"}})).await;
    if policy == "Adopt" {
        world.until_ready("second", "True", "Synced").await;
        assert_eq!(region(&world), "EU");
    } else {
        world.until_ready("second", "False", "AlreadyExists").await;
        assert_eq!(region(&world), "US5");
    }
    world.until_ready("first", "True", "Observed").await;
    assert_eq!(world.project.stored().len(), 1);
}

/// The older waits for its Secret and keeps the place meanwhile; suspended before it claimed, it gives way.
#[tokio::test(flavor = "multi_thread")]
async fn the_winner_is_suspended_before_it_claims() {
    let world = World::with_datadog_key("suspended").await;
    let _operator = world.operator(LONG).await;
    let without_key = json!({"datadog": {"apiKeySecretRef": {"name": "later"}}});
    create(&world, "first", &datadog(without_key)).await;
    world.until_ready("first", "False", "SecretNotFound").await;
    create_younger(&world, "second", &in_region("EU")).await;
    world.until_ready("second", "False", "Conflict").await;
    world.patch("AtlasIntegration", "first", &json!({"spec": {"suspend": true}})).await;
    world.until_ready("second", "True", "Synced").await;
    // Claimed and applied come before older.
    world.secret("later", &samples::of("DATADOG").secrets).await;
    world.patch("AtlasIntegration", "first", &json!({"spec": {"suspend": false}})).await;
    world.until_ready("first", "False", "Conflict").await;
    world.until_ready("second", "True", "Synced").await;
    assert_eq!(region(&world), "EU");
    assert_eq!(world.project.count(Exchange::is_write), 1);
}

/// A claim comes before age, even while its first write is refused.
#[tokio::test(flavor = "multi_thread")]
async fn claimed_before_older() {
    let world = World::with_datadog_key("claimed").await;
    let _operator = world.operator(LONG).await;
    create(&world, "older", &datadog(json!({"suspend": true}))).await;
    world.until_ready("older", "False", "Suspended").await;
    let refusal = Effect::error(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", "IP address 10.0.0.1 is not allowed");
    world.project.fault(Fault::new(refusal).at(Operation::Create).always());
    create_younger(&world, "claimed", &in_region("EU")).await;
    let object = world.until_ready("claimed", "False", "Forbidden").await;
    assert!(!object["metadata"]["finalizers"].is_null(), "it has claimed: {object:#}");
    world.patch("AtlasIntegration", "older", &json!({"spec": {"suspend": false}})).await;
    world.until_ready("older", "False", "Conflict").await;
    world.project.clear_faults();
    world.until_ready("claimed", "True", "Synced").await;
    assert_eq!(region(&world), "EU");
    world.until_ready("older", "False", "Conflict").await;
}

/// What Atlas refuses for good keeps nobody out, older though it is, and takes part again once it is edited.
#[tokio::test(flavor = "multi_thread")]
async fn what_atlas_refuses_gives_way() {
    let world = World::with_datadog_key("gives-way").await;
    let refusal = Effect::error(400, "INVALID_INTEGRATION_SETTINGS", "no");
    world.project.fault(Fault::new(refusal).at(Operation::Create));
    create(&world, "refused", &in_region("US5")).await;
    create_younger(&world, "good", &in_region("EU")).await;
    let _operator = world.operator(LONG).await;
    world.until_ready("good", "True", "Synced").await;
    world.until_ready("refused", "False", "Conflict").await;
    assert_eq!(world.project.count(Exchange::is_write), 2, "the refused POST and the good one");
    world.delete("AtlasIntegration", "good").await;
    world.until_gone("good").await;
    world.until_ready("refused", "False", "Rejected").await;
    assert_eq!(world.project.count(Exchange::is_write), 3, "the DELETE: what was refused is not sent again");
    world.patch("AtlasIntegration", "refused", &json!({"spec": {"datadog": {"region": "US3"}}})).await;
    world.until_ready("refused", "True", "Synced").await;
    assert_eq!(region(&world), "US3");
}

/// Two that come together: one of them gets the place, the other says so, and that stays so.
#[tokio::test(flavor = "multi_thread")]
async fn both_new() {
    let world = World::with_datadog_key("both-new").await;
    create(&world, "a", &in_region("US5")).await;
    create(&world, "b", &in_region("EU")).await;
    let _operator = world.operator(&[]).await;
    let (ready, conflict) = settled(&world).await;
    let before = lists(&world);
    until("some resyncs", || (lists(&world) >= before + 4).then_some(())).await;
    assert_eq!(settled(&world).await, (ready, conflict));
    assert_eq!(world.project.count(Exchange::is_write), 1);
}

/// The names of the one that is in sync and of the one in conflict, of `a` and `b`.
async fn settled(world: &World) -> (&'static str, &'static str) {
    let a = world
        .until("a", "settled", |object| {
            let ready = condition(object, "Ready");
            ready["reason"] == "Synced" || ready["reason"] == "Conflict"
        })
        .await;
    if condition(&a, "Ready")["reason"] == "Synced" {
        world.until_ready("b", "False", "Conflict").await;
        ("a", "b")
    } else {
        world.until_ready("b", "True", "Synced").await;
        ("b", "a")
    }
}

fn lists(world: &World) -> usize {
    world.project.count(|e| e.operation == Some(Operation::List) && e.status == 200)
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
    create(&world, old, &in_region("US5")).await;
    world.until_ready(old, "True", "Synced").await;
    if order == "deleted-first" {
        world.delete("AtlasIntegration", old).await;
        create(&world, new, &in_region("US5")).await;
    } else {
        create(&world, new, &in_region("US5")).await;
        world.delete("AtlasIntegration", old).await;
    }
    // With a resync in an hour, nothing but the release of the old one can let the new one go on.
    let object = world.until_ready(new, "True", "Synced").await;
    world.until_gone(old).await;
    assert_eq!(object["status"]["applied"]["uid"], object["metadata"]["uid"]);
    assert_eq!(world.project.stored().len(), 1);
    let writes: Vec<String> =
        world.project.exchanges().iter().filter(|e| e.is_write()).map(|e| e.method.clone()).collect();
    assert_eq!(writes, ["POST", "DELETE", "POST"]);
}

/// Two clusters, each with its operator, and no consent: the second says so, and nobody writes again.
#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_without_consent() {
    let one = World::with_datadog_key("cluster-one").await;
    let two = World::with_project("cluster-two", one.project.id()).await;
    two.secret("keys", &[("api", "fedcba9876543210fedcba9876540002")]).await;
    let _operators = (one.operator(&[]).await, two.operator(&[]).await);
    create(&one, "x", &in_region("US5")).await;
    let first = one.until_ready("x", "True", "Synced").await;
    create(&two, "x", &in_region("EU")).await;
    let second = two.until_ready("x", "False", "AlreadyExists").await;
    let seen = lists(&one);
    until("some resyncs of both", || (lists(&one) >= seen + 8).then_some(())).await;
    assert_eq!(one.project.count(Exchange::is_write), 1, "the first one's POST");
    for (world, before) in [(&one, &first), (&two, &second)] {
        let now = world.get("AtlasIntegration", "x").await.unwrap();
        assert_eq!(now["status"]["conditions"], before["status"]["conditions"], "no flip-flop");
    }
    // The second one's deletion takes nothing from the first.
    two.delete("AtlasIntegration", "x").await;
    two.until_gone("x").await;
    assert_eq!(one.project.count(Exchange::is_write), 1);
    // The first one's makes room for it, if it is still wanted.
    create(&two, "y", &in_region("EU")).await;
    two.until_ready("y", "False", "AlreadyExists").await;
    one.delete("AtlasIntegration", "x").await;
    one.until_gone("x").await;
    two.until_ready("y", "True", "Synced").await;
}
