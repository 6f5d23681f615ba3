//! Attack 9: whoever answers in Atlas's place, at least to one tenant's key, sends bytes as fast as they are read before an
//! answer, or answers that take far more memory than they have bytes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Fault, Operation, Project, Raw};
use serde_json::{Value, json};

use crate::world::{Operator, World, message, new_project_id, until_true};

/// The key that gets the hostile answers.
const KEY: &str = "mallory";
/// How many KiB more than without attacker the operator may take: less than one answer that is parsed whole.
const MORE: u64 = 16 << 10;

/// A tenant beside the victim, with a project for each of these many calls that are made at the same time.
struct Attacker {
    world: World,
    projects: Vec<Project>,
}

impl Attacker {
    async fn new(name: &str, calls: usize) -> Attacker {
        let world = World::new(name).await;
        let private = samples::of("OPS_GENIE").secrets;
        world.secret("keys", &private).await;
        world.secret("atlas", &[("publicApiKey", KEY), ("privateApiKey", crate::world::PRIVATE_KEY)]).await;
        let projects = (0..calls).map(|_| world.shared.sim.project(&new_project_id())).collect();
        Attacker { world, projects }
    }

    /// Lets Atlas give these answers, in turn, to each LIST with the attacker's key, and creates the objects that cause
    /// it.
    async fn attack(&self, answers: &[Effect]) {
        for (number, project) in self.projects.iter().enumerate() {
            project.allow_key(KEY, crate::world::PRIVATE_KEY);
            let answer = answers[number % answers.len()].clone();
            project.fault(Fault::new(answer).by(KEY).at(Operation::List).always());
            let reference = json!({"name": "keys", "key": "api"});
            let spec = json!({"type": "OPS_GENIE", "projectId": project.id(), "opsGenie": {"apiKeySecretRef": reference}});
            self.world.integration(&format!("x-{number}"), &spec).await;
        }
    }

    /// Waits until each project has got so many of its answers.
    async fn until_answered(&self, times: usize) {
        until_true("hostile answers", || {
            self.projects.iter().all(|project| project.count(|exchange| exchange.faulted) >= times)
        })
        .await;
    }

    async fn end(&self) {
        for (number, project) in self.projects.iter().enumerate() {
            project.clear_faults();
            self.world.object(&format!("x-{number}")).begin_deletion().await;
        }
    }
}

async fn lease(world: &World) -> Value {
    world.get("Lease", "atlas-integration-operator").await.unwrap()["spec"].clone()
}

/// Asks for a probe again and again while `running`; returns how often, and the answers that were not 200.
async fn probe(operator: &Operator, running: &AtomicBool) -> (usize, Vec<Option<String>>) {
    let (mut asked, mut failed) = (0, Vec::new());
    while running.load(Ordering::Relaxed) {
        for path in ["/livez", "/readyz", "/metrics"] {
            let answer = operator.get(path).await;
            asked += 1;
            if !answer.as_ref().is_some_and(|answer| answer.starts_with("HTTP/1.1 200 ")) {
                failed.push(answer);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (asked, failed)
}

/// Bytes without an end before an answer: the probes answer all the time, the Lease is renewed and kept, the victim's
/// edit reaches Atlas, and no memory is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn a09_bytes_before_an_answer_stop_nobody() {
    const CALLS: usize = 14;
    let world = World::with_datadog_key("a09-interim").await;
    let attacker = Attacker::new("a09-interim-mallory", CALLS).await;
    let flags = [
        "--watch-namespace",
        &attacker.world.namespace,
        "--leader-elect",
        "--leader-election-lease-duration=6s",
        "--leader-election-renew-deadline=4s",
        "--leader-election-retry-period=300ms",
        "--log-level",
        "info",
    ];
    let operator = world.operator(&flags).await;
    let x = world.datadog("x").await.in_sync().await;
    let (held, before) = (lease(&world).await, operator.memory().unwrap());
    let (running, renewals) = (AtomicBool::new(true), AtomicUsize::new(0));
    let watching = async {
        let mut last = held.clone();
        while running.load(Ordering::Relaxed) {
            let now = lease(&world).await;
            assert_eq!(now["holderIdentity"], held["holderIdentity"], "the Lease is kept");
            if now["renewTime"] != last["renewTime"] {
                renewals.fetch_add(1, Ordering::Relaxed);
            }
            last = now;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        last
    };
    let attacking = async {
        attacker.attack(&[Effect::raw(Raw::EndlessInterim)]).await;
        attacker.until_answered(1).await;
        let cut = attacker.world.object("x-0").reaches("False", "AtlasUnavailable").await;
        assert!(message(&cut).contains("more than 512 KiB arrived"), "{}", message(&cut));
        x.change(&json!({"datadog": {"region": "EU"}})).await;
        world.until_stored("region", "EU").await;
        let from = renewals.load(Ordering::Relaxed);
        until_true("renewals", || renewals.load(Ordering::Relaxed) >= from + 3).await;
        running.store(false, Ordering::Relaxed);
    };
    let (last, (asked, failed), ()) = tokio::join!(watching, probe(&operator, &running), attacking);
    assert!(failed.is_empty(), "{} of {asked} probes: {failed:#?}", failed.len());
    assert_eq!(last["leaseTransitions"], held["leaseTransitions"]);
    attacker.end().await;
    x.change(&json!({"datadog": {"region": "US"}})).await.synced().await;
    let most = before.now + MORE;
    until_true("memory given back", || operator.memory().unwrap().now < most).await;
    println!(
        "{asked} probes, {} renewals; {} KiB before, {} at the peak",
        renewals.load(Ordering::Relaxed),
        before.now,
        operator.memory().unwrap().peak
    );
}

/// Answers that would take a hundred times their bytes if they were built: pages of small maps, and errors.
#[tokio::test(flavor = "multi_thread")]
async fn a09_answers_of_small_maps_take_no_memory() {
    const CALLS: usize = 14;
    let world = World::with_datadog_key("a09-maps").await;
    let attacker = Attacker::new("a09-maps-mallory", CALLS).await;
    let operator =
        world.operator(&["--watch-namespace", &attacker.world.namespace, "--log-level", "info"]).await;
    let x = world.datadog("x").await.in_sync().await;
    let most = operator.memory().unwrap().peak + MORE;
    let maps = |bytes: usize| vec![r#"{"":0}"#; bytes / 7].join(",");
    let answer = |status, body| Effect::Answer { status, content_type: None, body };
    attacker
        .attack(&[
            Effect::page_full_of(r#"{"type":"2ab"}"#, 1 << 20),
            Effect::page_full_of(r#"{"type":"2ab"}"#, 250 << 10),
            answer(200, format!(r#"{{"results":[{{"type":"SLACK","apiToken":[{}]}}]}}"#, maps(250 << 10))),
            answer(500, format!(r#"{{"error":500,"errorCode":"X","detail":[{}]}}"#, maps(250 << 10))),
        ])
        .await;
    attacker.until_answered(2).await;
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    attacker.end().await;
    let memory = operator.memory().unwrap();
    println!("{} KiB at the peak, {} now, {most} allowed", memory.peak, memory.now);
    assert!(memory.peak < most, "{} KiB, of {most} allowed", memory.peak);
}
