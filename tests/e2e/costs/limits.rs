//! Atlas's limits of rate: nothing is sent before its time, a part is left to people, everybody's turn comes, and who
//! has to wait holds nobody else up.

use std::time::{Duration, Instant};

use atlas_integration_operator::api::{CLAIM_ANNOTATION, FINALIZER};
use atlas_integration_stage::samples;
use atlas_sim::{Effect, Exchange, Fault, Operation, Project};
use futures::stream::{self, StreamExt};
use serde_json::{Value, json};

use crate::world::history::History;
use crate::world::{
    PRIVATE_KEY, PUBLIC_KEY, World, condition, message, new_project_id, until, until_found, until_true,
};

fn pager_duty() -> Value {
    samples::of("PAGER_DUTY").spec
}

async fn world(name: &str) -> World {
    let world = World::new(name).await;
    world.secret("keys", &samples::of("PAGER_DUTY").secrets).await;
    world
}

/// Somebody else keeps the bucket of the world's project nearly empty from now on.
fn busy(world: &World) {
    world.project.settings(|settings| {
        settings.rate_capacity = 100;
        settings.rate_refill = 100;
        settings.rate_interval = Duration::from_secs(1);
        settings.rate_others = 84;
    });
}

/// A further project that the world's key may use.
fn another_project(world: &World) -> Project {
    let project = world.shared.sim.project(&new_project_id());
    project.allow_key(PUBLIC_KEY, PRIVATE_KEY);
    project
}

/// A 503 that says when to come back is kept to like a 429, also by what an edit asks for.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_says_its_end() {
    let world = world("limit-unavailable").await;
    let _operator = world.operator(&[]).await;
    world.project.fault(Fault::new(Effect::Unavailable { retry_after: Some(3) }).at(Operation::List));
    let x = world.integration("x", &pager_duty()).await;
    let object = x.reaches("False", "AtlasUnavailable").await;
    assert_eq!(condition(&object, "Reconciling")["status"], "True", "it goes on by itself");
    x.change(&json!({"pagerDuty": {"region": "US"}})).await.synced().await;
    assert_eq!(world.project.stored_type("PAGER_DUTY").unwrap()["region"], "US");
    let exchanges = world.project.exchanges();
    let at = exchanges.iter().position(|exchange| exchange.status == 503).unwrap();
    let waited = exchanges[at + 1].at - exchanges[at].at;
    assert!(waited >= Duration::from_secs(3), "after {waited:?}");
}

/// Without `Retry-After` some seconds pass, and more each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_429_without_retry_after_backs_off() {
    let world = world("limit-wordless").await;
    let _operator = world.operator(&[]).await;
    world.project.fault(Fault::new(Effect::RateLimited { retry_after: None }).at(Operation::List).times(2));
    world.integration("x", &pager_duty()).await.in_sync().await;
    let exchanges = world.project.exchanges();
    let lists: Vec<&Exchange> =
        exchanges.iter().filter(|e| e.operation == Some(Operation::List) && e.status != 401).collect();
    let statuses: Vec<u16> = lists.iter().take(3).map(|e| e.status).collect();
    assert_eq!(statuses, [429, 429, 200]);
    let (first, second) = (lists[1].at - lists[0].at, lists[2].at - lists[1].at);
    assert!(first >= Duration::from_secs(4) && second >= Duration::from_secs(8), "{first:?}, {second:?}");
}

/// While one project waits for an hour, others go on, and what needs no Atlas is done in it as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_project_holds_nobody_up() {
    let world = world("limit-paused").await;
    let _operator = world.operator(&["--concurrency", "1"]).await;
    let x = world.integration("x", &pager_duty()).await.in_sync().await;
    let y = world.integration("y", &pager_duty()).await;
    y.reaches("False", "Conflict").await;
    let limit = Effect::RateLimitedTokenBucket { retry_after: Some(3_600) };
    world.project.fault(Fault::new(limit).at(Operation::List));
    until_true("the limited LIST", || world.project.count(|e| e.status == 429) >= 1).await;
    let mark = world.project.exchanges().len();

    let other = another_project(&world);
    let mut object = world.manifest("z", &pager_duty());
    object["spec"]["projectId"] = other.id().into();
    world.create(&object).await;
    world.object("z").synced().await;
    // In the paused project: in sync stays so, suspending and releasing need no call, an edit waits and says so.
    y.change(&json!({"suspend": true})).await.reaches("False", "Suspended").await;
    let object = x.get().await;
    assert_eq!(condition(&object, "Ready")["status"], "True");
    let limited =
        x.change(&json!({"pagerDuty": {"region": "US"}})).await.reaches("False", "RateLimited").await;
    let said = message(&limited);
    let until = said.strip_prefix(
        "Atlas limits the rate of requests (RATE_LIMITED_TOKEN_BUCKET); the operator waits until ",
    );
    let (time, rest) = until.and_then(|until| until.split_once(' ')).unwrap_or_else(|| panic!("{said}"));
    assert!(time.len() == 5 && rest == "UTC, as the answer asks, and then continues", "{said}");
    x.change(&json!({"deletionPolicy": "Retain"})).await;
    x.delete().await;
    assert_eq!(world.project.exchanges().len(), mark, "not one call");
}

/// Who waited longest is first once the pause ends, whatever its name, and newcomers come after.
#[tokio::test(flavor = "multi_thread")]
async fn turns_are_kept() {
    let world = World::new("limit-order").await;
    let _operator = world.operator(&[]).await;
    // In an order that is not that of their names, all but the first while the project is paused.
    let kinds = ["WEBHOOK", "VICTOR_OPS", "PAGER_DUTY", "DATADOG"];
    let limit = Effect::RateLimitedTokenBucket { retry_after: Some(15) };
    world.project.fault(Fault::new(limit).at(Operation::Create));
    let mut objects = Vec::new();
    for kind in kinds {
        let object = world.sample(kind).await;
        object.reaches("False", "RateLimited").await;
        objects.push(object);
    }
    for object in &objects {
        object.synced().await;
    }
    let exchanges = world.project.exchanges();
    let posts = exchanges.iter().filter(|e| e.method == "POST" && e.status == 200);
    let order: Vec<&str> = posts.filter_map(|e| e.integration_type.as_deref()).collect();
    assert_eq!(order, kinds);
}

/// At most four fifths of a project's bucket are used; the rest is people's.
#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_is_left_to_people() {
    let world = World::new("limit-fifth").await;
    world.project.settings(|settings| {
        settings.rate_capacity = 10;
        settings.rate_refill = 10;
        settings.rate_interval = Duration::from_secs(5);
    });
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    world.synced_samples(samples::kinds().into_iter().filter(|kind| *kind != "FLOWDOCK")).await;
    assert_eq!(world.project.count(|e| e.status == 429), 0);
    // Those of each step of the bucket that were let through.
    let calls: Vec<Instant> =
        world.project.exchanges().iter().filter(|e| e.status == 200).map(|e| e.at).collect();
    assert!(calls.len() > 10, "more than a bucket: {}", calls.len());
    let most = calls
        .iter()
        .map(|at| calls.iter().filter(|b| **b >= *at && **b < *at + Duration::from_secs(4)).count());
    assert!(most.max() <= Some(8), "a fifth of ten is two");
}

/// Somebody else keeps a project's bucket nearly empty. People keep their part, and what is owed goes out all the same:
/// after three pauses, one write in each pause, creations and deletions alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_project_does_not_starve_what_is_owed() {
    let world = world("limit-busy").await;
    let _operator = world.operator(&["--resync-interval", "1h"]).await;
    let y = world.sample("WEBHOOK").await.in_sync().await;
    busy(&world);
    let began = Instant::now();
    let x = world.integration("x", &pager_duty()).await;
    x.reaches("False", "RateLimited").await;
    y.begin_deletion().await;
    y.deletion_waits().await;
    assert_eq!(world.atlas_writes(), ["POST"], "people come first");
    x.synced().await;
    y.gone().await;
    assert_eq!(world.atlas_writes(), ["POST", "POST", "DELETE"]);
    let exchanges = world.project.exchanges();
    let writes: Vec<Instant> = exchanges.iter().filter(|e| e.is_write()).map(|e| e.at).collect();
    let pauses = (writes[1] - began).as_secs_f64() / 15.0;
    assert!((3.0..4.0).contains(&pauses), "{pauses}");
    let next = writes[2] - writes[1];
    assert!(next >= Duration::from_secs(14) && next < Duration::from_secs(30), "one write a pause: {next:?}");
    assert_eq!(world.project.count(|e| e.status == 429), 0);
}

/// The same for a rotated key, of which no watch of Secrets tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_project_does_not_starve_a_rotation_that_is_not_watched() {
    let world = World::with_datadog_key("limit-unwatched").await;
    let _operator = world.operator(&["--watch-secrets=false"]).await;
    let x = world.datadog("x").await.in_sync().await;
    busy(&world);
    let key = "fedcba9876543210fedcba9876540009";
    world.secret("keys", &[("api", key)]).await;
    x.reaches("False", "RateLimited").await;
    assert_eq!(world.atlas_writes(), ["POST"], "people come first");
    world.until_stored("apiKey", key).await;
    x.synced().await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
}

/// Others keep the bucket of a project low, so that it pauses again and again. An object that lost a conflict and one
/// that may not adopt what is there need no call to Atlas: no pause changes them, and they are not even read.
#[tokio::test(flavor = "multi_thread")]
async fn pauses_leave_alone_who_needs_no_call() {
    let world = world("limit-alone").await;
    world.project.replace_by_other(samples::foreign());
    let operator = world.operator(&["--stall-after", "1s"]).await;
    world.integration("x", &pager_duty()).await.in_sync().await;
    let y = world.integration("y", &pager_duty()).await;
    let z = world.datadog("z").await;
    for (object, reason) in [(&y, "Conflict"), (&z, "AlreadyExists")] {
        object.reaches("False", reason).await;
        object.says("Stalled", "True").await;
    }
    let histories = [History::of(&y).await, History::of(&z).await];
    let events = world.list("Event").await.len();
    let read = world.requests().len();
    busy(&world);
    let pauses = || {
        let logs = operator.logs();
        let of_project = logs.lines().filter(|line| line.contains(world.project.id()));
        of_project.filter(|line| line.contains("is nearly used up") && line.contains("seconds")).count()
    };
    until_true("three pauses", || pauses() >= 3).await;
    for history in histories {
        assert!(history.so_far().await.is_empty(), "{:#?}", history.so_far().await);
    }
    assert_eq!(world.list("Event").await.len(), events);
    let reads = world.requests().split_off(read);
    let of_object =
        reads.iter().filter(|read| read.verb == "get" && [y.name(), z.name()].contains(&&*read.name));
    assert_eq!(of_object.count(), 0);
}

/// An object that lost a conflict owns nothing in Atlas, so it can be deleted while its project is paused.
#[tokio::test(flavor = "multi_thread")]
async fn a_paused_project_lets_go_who_owns_nothing() {
    let world = world("limit-loser").await;
    let _operator = world.operator(&[]).await;
    world.integration("x", &pager_duty()).await.in_sync().await;
    let y = world.integration("y", &pager_duty()).await;
    let object = y.reaches("False", "Conflict").await;
    // As if it had claimed the place in another cluster.
    let (uid, time) = (object["metadata"]["uid"].as_str().unwrap(), jiff::Timestamp::now());
    y.set_status(&json!({"attempt": {"id": format!("{uid}.1"), "time": time, "sent": {}}})).await;
    let claim = json!({"uid": uid, "time": time});
    let annotations = json!({CLAIM_ANNOTATION: claim.to_string()});
    y.patch(&json!({"metadata": {"finalizers": [FINALIZER], "annotations": annotations}})).await;
    let limit = Effect::RateLimitedTokenBucket { retry_after: Some(3_600) };
    world.project.fault(Fault::new(limit).at(Operation::List));
    until_true("the limited LIST", || world.project.count(|e| e.status == 429) >= 1).await;
    let mark = world.project.exchanges().len();
    y.delete().await;
    assert_eq!(world.project.exchanges().len(), mark, "not one call");
}

/// A thousand objects in a hundred projects behind tight limits: all arrive, nothing is sent before its time, and the
/// projects take turns.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_objects_behind_tight_limits() {
    const PROJECTS: usize = 100;
    // The others leave it to the client.
    let says_how_long = |number: usize| !number.is_multiple_of(4);
    let world = World::new("limit-thousand").await;
    let projects: Vec<Project> = (0..PROJECTS)
        .map(|number| {
            let project = another_project(&world);
            project.settings(|settings| {
                settings.rate_capacity = 6;
                settings.rate_refill = 3;
                settings.rate_interval = Duration::from_secs(4);
                settings.rate_retry_after = says_how_long(number);
            });
            project
        })
        .collect();
    let samples = samples::all();
    for sample in &samples {
        world.secret(&format!("keys-{}", sample.name()), &sample.secrets).await;
    }
    let objects = projects.iter().enumerate().flat_map(|(number, project)| {
        let world = &world;
        samples.iter().map(move |sample| {
            let spec = sample.spec.to_string().replace("\"keys\"", &format!("\"keys-{}\"", sample.name()));
            let mut object =
                world.manifest(&format!("{}-{number}", sample.name()), &serde_json::from_str(&spec).unwrap());
            object["spec"]["projectId"] = project.id().into();
            object
        })
    });
    let objects: Vec<Value> = objects.collect();
    // Before the operator starts, so that it has much to write to each project at a time, however slow all is.
    stream::iter(&objects).for_each_concurrent(8, |object| world.create(object)).await;
    let _operator = world.operator(&["--resync-interval", "1h", "--log-level", "info"]).await;
    let all_stored = || projects.iter().all(|project| project.stored().len() == samples.len()).then_some(());
    until("all integrations in Atlas", all_stored).await;
    let ready = || async {
        let objects = world.list("AtlasIntegration").await;
        objects.iter().all(|object| condition(object, "Ready")["status"] == "True").then_some(())
    };
    until_found("all objects Ready", ready).await;
    let mut limited = 0;
    for (number, project) in projects.iter().enumerate() {
        let exchanges = project.exchanges();
        let least = Duration::from_secs(if says_how_long(number) { 1 } else { 4 });
        for pair in exchanges.windows(2).filter(|pair| pair[0].status == 429) {
            limited += 1;
            assert!(pair[1].at - pair[0].at >= least, "{:?}", pair[1].at - pair[0].at);
        }
        let posts = project.count(|e| e.method == "POST" && e.status == 200);
        assert_eq!(posts, samples.len(), "each once");
    }
    assert!(limited >= PROJECTS / 2, "{limited} answers were limited: the test is not tight");
    // The projects take turns: before anybody has its last integration, everybody has its first.
    let posts = |project: &Project| -> Vec<Instant> {
        let exchanges = project.exchanges();
        exchanges.iter().filter(|e| e.method == "POST" && e.status == 200).map(|e| e.at).collect()
    };
    let times: Vec<Vec<Instant>> = projects.iter().map(posts).collect();
    let last_first = times.iter().filter_map(|times| times.first()).max().unwrap();
    let first_last = times.iter().filter_map(|times| times.last()).max().unwrap();
    assert!(last_first < first_last);
}
