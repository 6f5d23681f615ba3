//! Churn from a seed: objects, Secrets, credentials, Atlas, its faults, the operator, its rights in one namespace, its
//! clock, and the API server change at random for a while. Another namespace has a revoked key most of the time.
//!
//! Then the good namespaces come to rest, while the operator has no rights in one namespace and another has its revoked
//! key. Then all comes to rest, and what Kubernetes wants is compared with what Atlas stores.
//!
//! `make chaos SEED=7 MINUTES=5` runs it for longer; `make test` runs a short one.

mod catalog;
mod model;
mod plan;
mod stage;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use atlas_sim::contract::problems_of_request;
use atlas_sim::{Exchange, Operation};
use control_plane::Options;
use serde_json::Value;

use crate::security::canary::assert_clean;
use crate::world::{Shared, condition, own, start};
use plan::Place;
use stage::Stage;

/// How long all may take to come to rest: waits after failures in a row grow up to five minutes.
const REST: Duration = Duration::from_secs(400);
/// How often those who wait are told what for.
const TELL_EVERY: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);

/// A number from the environment, or what it is without.
fn given<T: std::str::FromStr>(variable: &str, default: T) -> T {
    match std::env::var(variable).ok().filter(|text| !text.is_empty()) {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        None => default,
    }
}

/// For people, past the test harness, which keeps what tests print to itself.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "chaos: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn churn() {
    let seed = given("CHAOS_SEED", 1_u64);
    let length = Duration::from_secs_f64(given("CHAOS_MINUTES", 0.4) * 60.0);
    static OWN: LazyLock<Shared> = LazyLock::new(|| start(Options::default()));
    let shared = own(&OWN).await;
    let mut stage = Stage::new(shared).await;
    tell(&format!("seed {seed}, {} seconds of churn", length.as_secs()));
    for (at, action) in plan::plan(seed, length) {
        tokio::time::sleep_until((stage.begun + at).into()).await;
        stage.act(&action).await;
    }
    stage.end_churn().await;
    let (alone, first) = rest(&mut stage, plan::is_good).await;
    let mut good = model::compare(&stage).await.problems;
    good.retain(|(place, _)| place.project < plan::COMMON_PROJECTS);
    report(&stage, &good);
    stage.end_refusals().await;
    let (rested, second) = rest(&mut stage, |_| true).await;
    let rewrites = first + second;

    let mut verdict = model::compare(&stage).await;
    verdict.problems.extend(stage.broken_on_the_way());
    report(&stage, &verdict.problems);
    let events = secrets_stay_hidden(&stage).await;
    let objects = verdict.objects;
    let deleted = delete_all(&mut stage, &verdict.remains).await;
    let counts: Vec<String> = stage.counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let reasons: Vec<String> =
        verdict.reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let met: usize = stage.projects.iter().map(|project| project.count(|e| e.faulted)).sum();
    let writes: usize = stage
        .projects
        .iter()
        .flat_map(|project| project.changes())
        .filter(|change| change.by.is_some())
        .count();
    tell(&format!(
        "seed {seed}: actions: {}; {met} faults met, {writes} writes took effect",
        counts.join(", ")
    ));
    tell(&format!(
        "seed {seed}: {} places equal, {objects} objects settled ({}) after {:.1} s and {:.1} s, {} places left as they \
         were, {rewrites} rewrites asked for, {events} events without a secret, {deleted} objects deleted",
        verdict.kept,
        reasons.join(", "),
        alone.as_secs_f64(),
        rested.as_secs_f64(),
        verdict.left,
    ));
    for project in &stage.projects {
        let problems: Vec<String> = project.exchanges().iter().flat_map(problems_of_request).collect();
        assert!(problems.is_empty(), "requests that Atlas's contract does not know: {problems:#?}");
    }
}

/// Fails with the problems and the history of their places, if there are any.
fn report(stage: &Stage, problems: &[(Place, String)]) {
    if problems.is_empty() {
        return;
    }
    let mut places: Vec<Place> = problems.iter().map(|(place, _)| *place).collect();
    places.sort();
    places.dedup();
    for place in places {
        tell(&format!("history of {place}:\n{}", stage.history(place)));
    }
    let lines: Vec<String> = problems.iter().map(|(place, text)| format!("{place}: {text}")).collect();
    let log = std::env::temp_dir().join(format!("chaos-{}.log", std::process::id()));
    let _ = std::fs::write(&log, stage.logs());
    panic!("{} (the operator's log: {})", lines.join("\n"), log.display());
}

/// Why an object is not at rest, if it is not.
fn restless(object: &Value) -> Option<String> {
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Some(format!("is being deleted: {}", condition(object, "Ready")["message"]));
    }
    if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
        return Some("was not looked at since its last edit".to_owned());
    }
    let reconciling = condition(object, "Reconciling");
    (!reconciling.is_null())
        .then(|| format!("is not done: {} {}", reconciling["reason"], reconciling["message"]))
}

/// Waits until every object of these slots is at rest, and in their projects nothing is written for two looks of every
/// credential. Answers how long that took, and how many objects needed a rewrite, since others had overwritten them so often that
/// repairs are made less and less often.
async fn rest(stage: &mut Stage, of: impl Fn(usize) -> bool) -> (Duration, usize) {
    let mut projects: Vec<usize> =
        (0..plan::SLOTS).filter(|slot| of(*slot)).flat_map(plan::places).map(|place| place.project).collect();
    projects.sort_unstable();
    projects.dedup();
    let begun = Instant::now();
    let mut rewrites = 0;
    let mut quiet: Option<(Vec<Value>, usize, u64)> = None;
    let mut last = Vec::new();
    let mut told = begun;
    while begun.elapsed() < REST {
        tokio::time::sleep(POLL).await;
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            let lines: Vec<String> = last.iter().map(|(place, text)| format!("{place}: {text}")).collect();
            tell(&format!("not at rest after {} s: {}", begun.elapsed().as_secs(), lines.join("; ")));
        }
        let mut objects = stage.objects().await;
        objects.retain(|slot, _| of(*slot));
        let fought: Vec<usize> = objects
            .iter()
            // What was said of Atlas stays said while a broken Secret lets nothing be written.
            .filter(|(_, object)| {
                condition(object, "InSync")["reason"] == "Overwritten"
                    && condition(object, "Ready")["reason"] == "Synced"
            })
            .map(|(slot, _)| *slot)
            .collect();
        last = objects
            .iter()
            .filter_map(|(slot, object)| {
                Some((stage.place(object), format!("x{slot} {}", restless(object)?)))
            })
            .collect();
        if !fought.is_empty() || !last.is_empty() {
            quiet = None;
            let place = |slot: &usize| stage.place(&objects[slot]);
            last.extend(fought.iter().map(|slot| (place(slot), format!("x{slot} is overwritten by others"))));
            for slot in fought {
                let asked =
                    &objects[&slot]["metadata"]["annotations"]["atlas-integrations.dev/rewrite-requested-at"];
                if asked.is_null() || *asked == objects[&slot]["status"]["lastHandledRewriteAt"] {
                    stage.rewrite(slot).await;
                    rewrites += 1;
                }
            }
            continue;
        }
        let state: Vec<Value> = objects.values().map(|o| o["metadata"]["resourceVersion"].clone()).collect();
        let of_projects = || projects.iter().map(|number| &stage.projects[*number]);
        let writes = of_projects().map(|project| project.count(is_attempt)).sum();
        match &quiet {
            Some((versions, before, since)) if *versions == state && *before == writes => {
                if projects.iter().all(|number| looked_twice(stage, *number, &objects, *since)) {
                    return (begun.elapsed(), rewrites);
                }
            }
            _ => {
                let all = of_projects().flat_map(|project| project.exchanges());
                let since = all.map(|exchange| exchange.sequence).max().unwrap_or_default();
                quiet = Some((state, writes, since));
            }
        }
    }
    if last.is_empty() {
        last = plan::of_others().map(|place| (place, "something is still written".to_owned())).to_vec();
    }
    report(stage, &last);
    panic!("not at rest after {REST:?}");
}

/// A write, let through or not.
fn is_attempt(exchange: &Exchange) -> bool {
    exchange.operation.is_some_and(Operation::writes)
}

/// Whether a project was listed twice since this request, by every credential that one of the objects has for it.
fn looked_twice(stage: &Stage, number: usize, objects: &BTreeMap<usize, Value>, since: u64) -> bool {
    let mut looks: BTreeMap<String, usize> = BTreeMap::new();
    let listed = |exchange: &Exchange| {
        exchange.sequence > since && exchange.operation == Some(Operation::List) && exchange.status == 200
    };
    for exchange in stage.projects[number].exchanges().into_iter().filter(listed) {
        *looks.entry(exchange.credential.unwrap_or_default()).or_default() += 1;
    }
    let readers = objects.iter().filter(|(slot, object)| {
        stage.place(object).project == number && object["spec"]["suspend"] != true && **slot != plan::WRONG
    });
    let mut namespaces: Vec<usize> = readers.map(|(slot, _)| plan::namespace(*slot)).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    // Those with FLOWDOCK list twice in one look.
    looks.values().filter(|looks| **looks >= 4).count() >= namespaces.len()
}

/// No secret value is in what the operator says; answers how many Events there are.
async fn secrets_stay_hidden(stage: &Stage) -> usize {
    let marks: Vec<String> = catalog::MARKS.iter().map(|mark| (*mark).to_owned()).collect();
    assert_clean("the log", &stage.logs(), &marks);
    assert_clean("/metrics", &stage.metrics().await, &marks);
    let mut events = 0;
    for world in &stage.worlds {
        assert_clean("the objects", &Value::from(world.list("AtlasIntegration").await).to_string(), &marks);
        let all = world.list("Event").await;
        events += all.len();
        assert_clean("the Events", &Value::from(all).to_string(), &marks);
    }
    assert!(events > 0);
    events
}

/// Deletes every object: all go, and take along what they keep and nothing else. Answers how many there were.
async fn delete_all(stage: &mut Stage, remains: &BTreeMap<Place, Option<Value>>) -> usize {
    let objects = stage.objects().await;
    // Who waits would take the place of who goes.
    let (keepers, others): (Vec<usize>, Vec<usize>) =
        objects.keys().partition(|slot| objects[*slot]["metadata"]["finalizers"].is_array());
    for slots in [others, keepers] {
        for slot in &slots {
            stage.delete(*slot).await;
        }
        let begun = Instant::now();
        loop {
            let left: Vec<(Place, String)> = stage
                .objects()
                .await
                .iter()
                .filter(|(slot, _)| slots.contains(slot))
                .map(|(slot, object)| (stage.place(object), format!("x{slot} is not deleted")))
                .collect();
            if left.is_empty() {
                break;
            }
            if begun.elapsed() > REST {
                report(stage, &left);
            }
            tokio::time::sleep(POLL).await;
        }
    }
    let problems: Vec<(Place, String)> = remains
        .iter()
        .filter(|(place, remains)| stage.projects[place.project].stored_type(place.kind) != **remains)
        .map(|(place, remains)| {
            let what = if remains.is_some() { "was taken along" } else { "was left behind" };
            (*place, format!("by the last deletion the integration {what}"))
        })
        .collect();
    report(stage, &problems);
    objects.len()
}
