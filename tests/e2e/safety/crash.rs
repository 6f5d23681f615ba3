//! Every write of every scenario meets every fault, on its way to the API server or to Atlas, and all ends as if
//! nothing had been.
//!
//! A scenario is run clean, and its writes are counted. Then it is run once for each of them and each fault, in a
//! world of its own. `CRASH=text` runs the positions whose names have this text in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_integration_stage::samples::{datadog, foreign};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::world::proxy::{At, Fault, Proxy, Request, Side};
use crate::world::{LIMIT, Object, Operator, World, condition, leaves, until, until_found};

/// How many runs are under way at a time. They mostly wait.
const CONCURRENCY: usize = 16;
/// How often a run looks at the cluster.
const POLL: Duration = Duration::from_millis(200);
/// What is in doubt stays so for four seconds.
const FLAGS: &[&str] = &["--atlas-timeout", "2s", "--log-level", "debug"];
/// LISTs that begin without a write before and between them; the last shows that the pass of the one before is over.
const QUIET_LISTS: usize = 3;
/// What the rotated key becomes.
const ROTATED: &str = "fedcba9876543210fedcba9876540002";

/// What the matrix does at a write.
struct Blow {
    name: &'static str,
    sides: &'static [Side],
    fault: fn(Side) -> Fault,
    /// Whether the operator is killed when the write has met its fault, and started anew.
    kills: bool,
}

const fn blow(name: &'static str, fault: fn(Side) -> Fault) -> Blow {
    Blow { name, sides: &[Side::Cluster, Side::Atlas], fault, kills: false }
}

fn answer(status: u16) -> Fault {
    Fault::Answer { status, retry_after: None }
}

const BLOWS: &[Blow] = &[
    // Those that take long come first, so that the end is not spent with waiting for a few.
    // To the operator a write to the API server that is lost after fifteen seconds is one that is cut at once.
    Blow { sides: &[Side::Atlas], ..blow("held and lost", |_| Fault::Silence(At::Before)) },
    blow("held and late", |side| match side {
        // A second later the operator has tried again, and the object is another.
        Side::Cluster => Fault::Late(Duration::ZERO),
        // Not much before nothing may land any more.
        Side::Atlas => Fault::Late(Duration::from_secs(1)),
    }),
    blow("429", |_| answer(429)),
    Blow { kills: true, ..blow("killed before", |_| Fault::Silence(At::Before)) },
    Blow { kills: true, ..blow("killed after", |_| Fault::Silence(At::Applied)) },
    Blow { kills: true, ..blow("killed and late", |_| Fault::Late(Duration::from_secs(1))) },
    blow("cut before", |_| Fault::Cut(At::Before)),
    blow("cut after", |_| Fault::Cut(At::Applied)),
    blow("500", |_| answer(500)),
    blow("503", |_| answer(503)),
    blow("409", |_| answer(409)),
    blow("429 with Retry-After", |_| Fault::Answer { status: 429, retry_after: Some(1) }),
];

/// Something that a test does to its world and the object `x` in it.
type Deed = for<'a> fn(&'a World, Object<'a>) -> BoxFuture<'a, ()>;

struct Scenario {
    name: &'static str,
    /// What is there before; waits until it is.
    given: Deed,
    /// What happens. Whatever it waits for comes under any fault.
    when: Deed,
    /// Waits for the end, in the clean run.
    done: Deed,
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "create",
        given: |_, _| async {}.boxed(),
        when: |world, _| async { _ = world.datadog("x").await }.boxed(),
        done: is_synced,
    },
    Scenario {
        name: "update",
        given: synced,
        when: |_, x| async move { _ = x.change(&json!({"datadog": {"region": "EU"}})).await }.boxed(),
        done: is_synced,
    },
    Scenario {
        name: "rotate",
        given: synced,
        when: |world, _| async { world.secret("keys", &[("api", ROTATED)]).await }.boxed(),
        done: |world, _| {
            async {
                let rotated = || (world.stored_datadog("apiKey") == ROTATED).then_some(());
                until("the new key in Atlas", rotated).await;
            }
            .boxed()
        },
    },
    Scenario {
        name: "adopt",
        given: |world, _| async { world.project.replace_by_other(foreign()) }.boxed(),
        when: |world, _| {
            let spec = datadog(json!({"adoptionPolicy": "Adopt"}));
            async move { _ = world.integration("x", &spec).await }.boxed()
        },
        done: is_synced,
    },
    Scenario {
        name: "delete",
        given: synced,
        when: |_, x| async move { x.begin_deletion().await }.boxed(),
        done: is_gone,
    },
    // Deleted as soon as it is claimed: where its first write meets a fault, that is still on its way.
    Scenario {
        name: "create and delete",
        given: |_, _| async {}.boxed(),
        when: |world, x| {
            async move {
                world.datadog("x").await;
                x.until("claimed", |x| x["metadata"]["finalizers"].is_array()).await;
                x.begin_deletion().await;
            }
            .boxed()
        },
        done: is_gone,
    },
    Scenario {
        name: "create anew",
        given: synced,
        when: |world, x| {
            async move {
                x.delete().await;
                world.integration("x", &datadog(json!({"datadog": {"region": "EU"}}))).await;
            }
            .boxed()
        },
        done: is_synced,
    },
    Scenario {
        name: "conflict",
        given: |world, x| {
            async move {
                synced(world, x).await;
                let y = world.integration("y", &datadog(json!({"datadog": {"region": "EU"}}))).await;
                y.reaches("False", "Conflict").await;
            }
            .boxed()
        },
        when: |_, x| async move { x.begin_deletion().await }.boxed(),
        done: |world, _| async { _ = world.object("y").synced().await }.boxed(),
    },
    Scenario {
        name: "observe and manage",
        given: synced,
        when: |_, x| {
            async move {
                x.change(&json!({"managementPolicy": "Observe"})).await.reaches("True", "Observed").await;
                x.change(&json!({"managementPolicy": "Manage", "adoptionPolicy": "Adopt"})).await;
            }
            .boxed()
        },
        done: is_synced,
    },
    Scenario {
        name: "retain",
        given: synced,
        when: |_, x| {
            async move {
                x.change(&json!({"deletionPolicy": "Retain"})).await.synced().await;
                x.begin_deletion().await;
            }
            .boxed()
        },
        done: is_gone,
    },
    Scenario {
        name: "suspend",
        given: synced,
        when: |_, x| {
            async move {
                x.change(&json!({"suspend": true, "datadog": {"region": "EU"}})).await;
                x.reaches("False", "Suspended").await;
                x.change(&json!({"suspend": false})).await;
            }
            .boxed()
        },
        done: is_synced,
    },
];

fn synced<'a>(world: &'a World, _: Object<'a>) -> BoxFuture<'a, ()> {
    async { _ = world.datadog("x").await.in_sync().await }.boxed()
}

fn is_synced<'a>(_: &'a World, x: Object<'a>) -> BoxFuture<'a, ()> {
    async move { _ = x.synced().await }.boxed()
}

fn is_gone<'a>(_: &'a World, x: Object<'a>) -> BoxFuture<'a, ()> {
    async move { x.gone().await }.boxed()
}

impl World {
    /// An object that owns nothing and writes nothing: it keeps the LISTs going when no other object is left.
    async fn witness(&self) {
        let key = json!({"name": "keys", "key": "service"});
        let spec = json!({"type": "PAGER_DUTY", "pagerDuty": {"serviceKeySecretRef": key, "region": "EU"},
            "managementPolicy": "Observe"});
        self.project.replace_by_other(json!({"type": "PAGER_DUTY", "region": "EU",
            "serviceKey": "0123456789abcdef0123456789abc001"}));
        let witness = self.integration("witness", &spec).await;
        witness.reaches("True", "Observed").await;
    }
}

/// All that has to be as in the clean run: ids, versions and times apart, in the cluster and in Atlas.
async fn state(world: &World) -> Value {
    let (objects, secrets) = tokio::join!(world.list("AtlasIntegration"), world.list("Secret"));
    let objects: BTreeMap<String, Value> = objects
        .iter()
        .map(|object| (object["metadata"]["name"].as_str().unwrap().to_owned(), outline(object, &secrets)))
        .collect();
    let mut stored = world.project.stored();
    stored.iter_mut().for_each(|entry| _ = entry.as_object_mut().unwrap().remove("id"));
    stored.sort_by_key(|entry| entry["type"].to_string());
    json!({"objects": objects, "Atlas": stored})
}

fn outline(object: &Value, secrets: &[Value]) -> Value {
    let (metadata, status) = (&object["metadata"], &object["status"]);
    let mut spec = object["spec"].clone();
    spec.as_object_mut().unwrap().remove("projectId");
    let mut annotations = metadata["annotations"].as_object().cloned().unwrap_or_default();
    for (_, value) in &mut annotations {
        let mut claim: Value = serde_json::from_str(value.as_str().unwrap()).unwrap_or_default();
        if let Some(claim) = claim.as_object_mut() {
            claim.remove("time");
            claim.insert("uid".to_owned(), (claim["uid"] == metadata["uid"]).into());
        }
        *value = claim;
    }
    let conditions = ["Ready", "InSync", "Reconciling", "Stalled"].map(|kind| {
        let condition = condition(object, kind);
        json!({"type": kind, "status": condition["status"], "reason": condition["reason"],
            "current": condition.is_null() || condition["observedGeneration"] == metadata["generation"]})
    });
    let mut integration = status["integration"].clone();
    if let Some(integration) = integration.as_object_mut() {
        integration.remove("id");
    }
    let applied = &status["applied"];
    // Of each Secret whether what was applied is what is there.
    let applied_secrets: Vec<Value> = applied["secrets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|applied| {
            let is_there = secrets.iter().any(|secret| {
                let there = &secret["metadata"];
                applied["name"] == there["name"]
                    && applied["uid"] == there["uid"]
                    && applied["resourceVersion"] == there["resourceVersion"]
            });
            json!({"name": applied["name"], "current": is_there})
        })
        .collect();
    json!({
        "spec": spec,
        "finalizers": metadata["finalizers"],
        "annotations": annotations,
        "deleting": metadata["deletionTimestamp"].is_string(),
        "observed": status["observedGeneration"] == metadata["generation"],
        "conditions": conditions,
        "integration": integration,
        "applied": {
            "own": applied["uid"] == metadata["uid"],
            "config": applied["config"],
            "secrets": applied_secrets,
            "confirmed": !applied.is_null() && applied["attempt"] == status["attempt"]["id"],
        },
    })
}

/// What the clean run did, and how it ended.
struct Clean {
    /// The request lines, and to whom.
    writes: Vec<(Side, String)>,
    end: Value,
}

/// A write of the clean run, and what happens at it. The write is found by its line, so that a fence that a busy
/// machine made too slow, and which is therefore followed by another, moves nothing.
struct Target<'a> {
    side: Side,
    line: &'a str,
    /// How many equal lines come before it.
    after: usize,
    blow: &'a Blow,
}

/// What no two worlds share.
struct Names {
    namespace: String,
    project: String,
}

impl Names {
    /// A request's line without them.
    fn line(&self, request: &Request) -> String {
        request.to_string().replace(&self.namespace, "NAMESPACE").replace(&self.project, "PROJECT")
    }
}

/// One run of a scenario.
struct Run {
    world: World,
    proxy: Proxy,
    /// The writes before the scenario began.
    earlier: usize,
}

impl Run {
    /// Runs a scenario, with at most one blow; answers when what happens has happened, with the operator that is
    /// then at work, and whether the blow hit.
    async fn new(scenario: &Scenario, target: Option<Target<'_>>) -> (Run, Operator, bool) {
        let mut world = World::with_datadog_key(&format!("crash-{}", scenario.name.replace(' ', "-"))).await;
        world.poll = POLL;
        let proxy = Proxy::start(&world).await;
        let operator = proxy.operator(&world, FLAGS).await;
        tokio::join!(world.witness(), (scenario.given)(&world, world.object("x")));
        let run = Run { earlier: proxy.count(Request::is_write), world, proxy };
        let kills = target.as_ref().is_some_and(|target| target.blow.kills);
        let hits = target.is_some();
        if let Some(Target { side, line, after, blow }) = target {
            let (line, names) = (line.to_owned(), run.names());
            let fits = move |request: &Request| request.is_write() && names.line(request) == line;
            run.proxy.fault(fits, after, 1, (blow.fault)(side));
        }
        let life = async {
            let hit = !hits || tokio::time::timeout(LIMIT / 4, run.proxy.until_hit(1)).await.is_ok();
            if !kills || !hit {
                return (operator, hit);
            }
            operator.kill();
            (run.proxy.operator(&run.world, FLAGS).await, hit)
        };
        let ((operator, hit), ()) = tokio::join!(life, (scenario.when)(&run.world, run.world.object("x")));
        (run, operator, hit)
    }

    fn names(&self) -> Names {
        Names { namespace: self.world.namespace.clone(), project: self.world.project.id().to_owned() }
    }

    /// The request lines of the scenario's writes, without what no two worlds share.
    fn scenario_writes(&self) -> Vec<(Side, String)> {
        let writes = self.proxy.requests().into_iter().filter(Request::is_write).skip(self.earlier);
        let names = self.names();
        writes.map(|write| (write.side, names.line(&write))).collect()
    }

    /// Waits for complete passes; answers whether nobody wrote anything meanwhile.
    async fn is_quiet(&self) -> bool {
        let (writes, lists) = (self.proxy.count(Request::is_write), self.proxy.count(Request::is_atlas_list));
        until("more LISTs", || {
            let more = self.proxy.count(Request::is_atlas_list) >= lists + QUIET_LISTS;
            let written = self.proxy.count(Request::is_write) != writes;
            (more || written).then_some(!written)
        })
        .await
    }

    /// Waits for an end in which nobody writes any more; says what differs if it does not come. On a busy machine a
    /// call may be late after the end, which is said and taken back: that has an end too.
    async fn ends_as(&self, end: &Value) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let now = state(&self.world).await;
            let same = now == *end;
            if same && self.is_quiet().await && state(&self.world).await == *end {
                return Ok(());
            }
            if begun.elapsed() > LIMIT {
                let how = if same { "it is written to after its end" } else { "it does not end so" };
                return Err(format!("{how}:\n{}", differences(end, &now)));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The lines of `now` that are not in `end`, and the other way round.
fn differences(end: &Value, now: &Value) -> String {
    let lines = |value: &Value| -> Vec<String> {
        leaves("", value).into_iter().map(|(path, leaf)| format!("{path} = {leaf}")).collect()
    };
    let (end, now) = (lines(end), lines(now));
    let missing = end.iter().filter(|line| !now.contains(line)).map(|line| format!("  clean {line}"));
    let more = now.iter().filter(|line| !end.contains(line)).map(|line| format!("  here  {line}"));
    missing.chain(more).collect::<Vec<_>>().join("\n")
}

async fn clean(scenario: &Scenario) -> Clean {
    let (run, _operator, _) = Run::new(scenario, None).await;
    (scenario.done)(&run.world, run.world.object("x")).await;
    until_found("a quiet end", || async { run.is_quiet().await.then_some(()) }).await;
    let mut writes = run.scenario_writes();
    // A fence that took too long was made again.
    writes.dedup();
    Clean { writes, end: state(&run.world).await }
}

/// One position: the nth write (from 0) of a scenario, and what happens at it.
async fn position(scenario: &Scenario, clean: &Clean, place: usize, blow: &Blow) -> Result<(), String> {
    let (side, line) = &clean.writes[place];
    let after = clean.writes[..place].iter().filter(|(_, earlier)| earlier == line).count();
    let (run, operator, hit) = Run::new(scenario, Some(Target { side: *side, line, after, blow })).await;
    let result = match hit {
        true => run.ends_as(&clean.end).await,
        false => Err("the write never came".to_owned()),
    };
    result.map_err(|why| {
        let list = |writes: &[(Side, String)]| -> String {
            writes.iter().map(|(side, line)| format!("  {side:?}: {line}\n")).collect()
        };
        let (all, planned) = (list(&run.scenario_writes()), list(&clean.writes));
        let logs = operator.logs();
        let logs: Vec<&str> = logs.lines().collect();
        let logs = logs[logs.len().saturating_sub(15)..].join("\n");
        format!("{why}\nwrites:\n{all}those of the clean run:\n{planned}the operator's last words:\n{logs}")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_meets_every_fault() {
    let only = std::env::var("CRASH").unwrap_or_default();
    let begun = Instant::now();
    let mut cleans = JoinSet::new();
    for (number, scenario) in SCENARIOS.iter().enumerate() {
        cleans.spawn(async move { (number, clean(scenario).await) });
    }
    let cleans: BTreeMap<usize, Arc<Clean>> =
        cleans.join_all().await.into_iter().map(|(number, clean)| (number, Arc::new(clean))).collect();
    let turns = Arc::new(Semaphore::new(CONCURRENCY));
    let mut positions = JoinSet::new();
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for blow in BLOWS {
        for (number, clean) in &cleans {
            let scenario = &SCENARIOS[*number];
            for (place, (side, line)) in clean.writes.iter().enumerate() {
                let name = format!(
                    "{}, write {} of {}, to {side:?}: {line}: {}",
                    scenario.name,
                    place + 1,
                    clean.writes.len(),
                    blow.name
                );
                if !name.contains(&only) || !blow.sides.contains(side) {
                    continue;
                }
                *counts.entry(*number).or_default() += 1;
                let (clean, turns) = (Arc::clone(clean), Arc::clone(&turns));
                positions.spawn(async move {
                    let _turn = turns.acquire_owned().await.unwrap();
                    // A task of its own, whose panic is one of the results.
                    let run = tokio::spawn(async move { position(scenario, &clean, place, blow).await });
                    let result = run.await.unwrap_or_else(|error| Err(error.to_string()));
                    result.map_err(|why| format!("{name}: {why}"))
                });
            }
        }
    }
    let results = positions.join_all().await;
    let failed: BTreeSet<String> = results.iter().filter_map(|result| result.clone().err()).collect();
    for (number, clean) in &cleans {
        let count = counts.get(number).copied().unwrap_or_default();
        println!("{}: {} writes, {count} fault positions", SCENARIOS[*number].name, clean.writes.len());
    }
    for (place, why) in failed.iter().enumerate() {
        println!("FAILED {}: {why}\n", place + 1);
    }
    assert!(failed.is_empty(), "{} of {} fault positions end elsewhere", failed.len(), results.len());
    println!(
        "{} fault positions in {} scenarios: all ended as the clean run ({} s)",
        results.len(),
        counts.len(),
        begun.elapsed().as_secs()
    );
}
