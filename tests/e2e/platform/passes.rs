//! Passes when a project has too much for one of them, when a server is slow, and when the process stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::{Effect, Fault, Operation};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world::proxy::{self, Proxy, Side};
use crate::world::{Object, PRIVATE_KEY, World, condition, message, until_true};

/// All types whose LIST is that of version 2.
fn kinds() -> impl Iterator<Item = &'static str> {
    samples::kinds().into_iter().filter(|kind| *kind != "FLOWDOCK")
}

impl World {
    /// Makes an API key of the project, in a Secret of this name.
    async fn key(&self, name: &str) {
        let public_key = format!("key-{name}");
        self.project.allow_key(&public_key, PRIVATE_KEY);
        self.secret(name, &[("publicApiKey", &public_key), ("privateApiKey", PRIVATE_KEY)]).await;
    }

    /// Lets each LIST of the project take a second, or more.
    fn slow_lists(&self, delay: Duration) {
        self.project.fault(Fault::new(Effect::Slow { delay }).at(Operation::List).always());
    }

    /// An object of each type, each with an API key of its own. No operator has seen them yet.
    async fn objects_with_keys(&self) -> Vec<Object<'_>> {
        let mut objects = Vec::new();
        for kind in kinds() {
            let name = samples::of(kind).name();
            self.key(&name).await;
            objects.push(self.sample_with(kind, &json!({"credentialsSecretRef": {"name": name}})).await);
        }
        objects
    }
}

/// Each object has an API key of its own, and Atlas is slow: the first objects are written before all LISTs are made,
/// and each of the others has its turn once.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_ends_before_all_lists_are_made() {
    let world = World::new("pass-lists").await;
    world.slow_lists(Duration::from_secs(1));
    let objects = world.objects_with_keys().await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    for object in &objects {
        object.synced().await;
    }
    let exchanges = world.project.exchanges();
    let first = exchanges.iter().position(|exchange| exchange.method == "POST").unwrap();
    let lists = |range: &[atlas_sim::Exchange]| {
        range.iter().filter(|e| e.operation == Some(Operation::List) && e.status == 200).count()
    };
    assert!(lists(&exchanges[..first]) <= 6, "a LIST takes a second, and all of them five");
    assert!(lists(&exchanges) <= 2 * objects.len(), "a round ends: {}", lists(&exchanges));
    assert_eq!(world.atlas_writes(), vec!["POST"; objects.len()], "each is written once");
}

/// A younger object has claimed the place, and a pass is too short to reach it. What the pass has reached must not
/// decide without it.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_look_decides_no_place() {
    let world = World::with_datadog_key("pass-half").await;
    let operator = world.operator(&[]).await;
    let mut older = Vec::new();
    for number in 0..7 {
        let name = format!("older-{number}");
        world.key(&name).await;
        let spec = datadog(json!({"suspend": true, "credentialsSecretRef": {"name": name}}));
        older.push(world.integration(&name, &spec).await);
    }
    for object in &older {
        object.reaches("False", "Suspended").await;
    }
    let last = older[6].get().await;
    let born = last["metadata"]["creationTimestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
    until_true("the next second", || Timestamp::now().as_second() > born.as_second()).await;
    let fails = Effect::error(500, "UNEXPECTED_ERROR", "no");
    world.project.fault(Fault::new(fails).at(Operation::Create).always());
    let younger = world.datadog("younger").await;
    younger.reaches("False", "AtlasUnavailable").await;
    assert!(operator.stop().await.0 == Some(0), "it has claimed the place");
    for object in &older {
        object.change(&json!({"suspend": false})).await;
    }
    world.project.clear_faults();
    let tried = world.atlas_writes().len();
    world.slow_lists(Duration::from_millis(1_500));
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    younger.synced().await;
    for object in &older {
        object.reaches("False", "Conflict").await;
    }
    assert_eq!(world.atlas_writes()[tried..], ["POST"], "nobody else wrote");
    let claimed = |object: &Value| !object["metadata"]["finalizers"].is_null();
    for object in &older {
        assert!(!claimed(&object.get().await), "{}", object.name());
    }
}

/// Nine objects of one project, and a slow Atlas. SIGTERM comes while the second object is written: the call that is on
/// its way ends, no other one begins, and the Lease is handed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_pass_between_two_objects() {
    let world = World::new("pass-stop").await;
    for kind in kinds() {
        world.sample(kind).await;
    }
    let slow = Effect::Slow { delay: Duration::from_millis(1_500) };
    world.project.fault(Fault::new(slow).at(Operation::Create).always());
    let operator = world.operator(&["--resync-interval", "1h", "--leader-elect"]).await;
    world.until_faulted(2).await;
    let begun = world.project.count(|exchange| exchange.method == "POST");
    let (code, logs) = operator.stop().await;
    assert_eq!(code, Some(0));
    assert!(logs.contains("gave leadership up"), "{logs}");
    // One may have begun since the count.
    let posts = world.project.count(|exchange| exchange.method == "POST" && exchange.status == 200);
    assert!(posts <= begun + 1, "{posts} after {begun}");
    let written = world.project.stored().len();
    assert_eq!(written, posts);
    let objects = world.list("AtlasIntegration").await;
    let ready = objects.iter().filter(|object| condition(object, "Ready")["status"] == "True");
    assert_eq!(ready.count(), posts, "the answer to the last call is stored");
    world.project.clear_faults();
    let _next = world.operator(&["--leader-elect"]).await;
    for object in &objects {
        world.object(object["metadata"]["name"].as_str().unwrap()).synced().await;
    }
    assert_eq!(world.atlas_writes(), vec!["POST"; objects.len()], "each is written once");
}

/// The same while a pass makes its LISTs, one for each API key.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_pass_between_two_lists() {
    let world = World::new("pass-stop-lists").await;
    world.slow_lists(Duration::from_millis(1_500));
    world.objects_with_keys().await;
    let operator = world.operator(&["--resync-interval", "1h"]).await;
    let lists = || world.project.count(|e| e.operation == Some(Operation::List));
    until_true("a second LIST", || lists() >= 2).await;
    let begun = lists();
    assert_eq!(operator.stop().await.0, Some(0));
    // A LIST is two requests with a new key: the challenge, and its answer.
    assert!(lists() <= begun + 2, "{} after {begun}", lists());
    assert!(world.atlas_writes().is_empty(), "no object's turn begins");
}

/// The API server takes half a second for each write, and the limit for a fence is a third of a second: nothing is sent
/// to Atlas. The tries become rare, the object says what to do, and once the API server is fast the write is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_fence_backs_off_and_says_so() {
    let world = World::with_datadog_key("pass-fence").await;
    let proxy = Proxy::start(&world).await;
    let slow = Arc::new(AtomicBool::new(true));
    let is_slow = Arc::clone(&slow);
    let patches = move |request: &proxy::Request| {
        request.side == Side::Cluster && request.method == "PATCH" && is_slow.load(Ordering::Relaxed)
    };
    proxy.fault(patches, 0, usize::MAX, proxy::Fault::Slow(Duration::from_millis(500)));
    let flags = ["--atlas-timeout", "1s", "--resync-interval", "1h"];
    let operator = proxy.operator(&world, &flags).await;
    let x = world.datadog("x").await;
    let object = x.reaches("False", "ApiServerSlow").await;
    let told = message(&object);
    for part in [
        "the API server took too long to store the record",
        "nothing was sent to Atlas",
        "check the API server and its admission webhooks, or raise --atlas-timeout",
        "retries automatically",
        "and the limit is 0.3 s",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(condition(&object, "Reconciling")["status"], "True");
    let fences = || -> Vec<Timestamp> {
        let of_x = world.api_writes().into_iter().filter(|write| write.resource == "atlasintegrations");
        // The attempt and the claim come first, then the status that says it, and then the fences of the retries.
        of_x.filter(|write| write.subresource == "status")
            .skip(2)
            .map(|write| write.received.parse().unwrap())
            .collect()
    };
    until_true("four more tries", || fences().len() >= 4).await;
    let tries = fences();
    // The claim was the first try. After the nth failure at least half of 2^(n-1) seconds pass.
    for (pair, least) in tries.windows(2).zip([1_000, 2_000, 4_000]) {
        assert!(pair[1].duration_since(pair[0]) >= SignedDuration::from_millis(least), "{tries:?}");
    }
    assert!(world.atlas_writes().is_empty());
    assert_eq!(world.notes("ApiServerSlow").await.len(), 1, "once for the change");
    let logs = operator.logs();
    let warned = logs.lines().filter(|line| line.contains("WARN") && line.contains("took too long to store"));
    assert_eq!(warned.count(), 1, "{logs}");
    slow.store(false, Ordering::Relaxed);
    x.synced().await;
    assert_eq!(world.atlas_writes(), ["POST"]);
    // A deletion says it too, and what to do if nobody can wait.
    slow.store(true, Ordering::Relaxed);
    x.begin_deletion().await;
    let told = message(&x.deletion_waits().await);
    assert!(
        told.contains("took too long to store") && told.contains("kubectl patch atlasintegration x"),
        "{told}"
    );
    slow.store(false, Ordering::Relaxed);
    x.gone().await;
    assert_eq!(world.atlas_writes(), ["POST", "DELETE"]);
}
