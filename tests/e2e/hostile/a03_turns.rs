//! Attacks 3 and 7: a tenant makes much work, in the project of another tenant or in projects of its own. What it delays is
//! its own work. How far others wait is read from the requests that reach Atlas in between.

use std::time::Duration;

use atlas_integration_stage::samples::{self, merge};
use atlas_sim::{Exchange, Operation, Project};
use futures::stream::{self, StreamExt};
use serde_json::json;

use crate::world::{PRIVATE_KEY, PUBLIC_KEY, World, new_project_id, until, until_true};

const SLOW: Duration = Duration::from_millis(100);
/// How many objects the attacker makes.
const MANY: usize = 60;

/// Rotates the victim's key, waits until Atlas has it, and returns how many requests of others, as `counts` tells them,
/// reached Atlas meanwhile.
async fn others_before_a_rotation(
    victim: &World,
    key: &str,
    projects: &[&Project],
    counts: impl Fn(&Exchange) -> bool,
) -> usize {
    let last = |projects: &[&Project]| {
        projects
            .iter()
            .filter_map(|project| Some(project.exchanges().last()?.sequence))
            .max()
            .unwrap_or_default()
    };
    let mark = last(projects);
    victim.secret("keys", &[("api", key)]).await;
    victim.until_stored("apiKey", key).await;
    let exchanges = victim.project.exchanges();
    let put = exchanges.iter().rfind(|e| e.method == "PUT" && e.is_write()).map(|put| put.sequence).unwrap();
    let between = |e: &Exchange| e.sequence > mark && e.sequence < put && counts(e);
    projects.iter().map(|project| project.count(between)).sum()
}

/// Objects with a key each, which is made up, name the victim's project. A LIST under each of these keys takes a while.
/// The victim's own LIST and write come first, and what was refused is not asked again for the victim's sake.
#[tokio::test(flavor = "multi_thread")]
async fn a03_made_up_keys_in_a_project_hold_up_no_rotation() {
    let victim = World::with_datadog_key("a03-victim").await;
    let eve = World::with_project("a03-eve", victim.project.id()).await;
    let flags = ["--watch-namespace", &victim.namespace, "--resync-interval", "1h"];
    let _operator = eve.operator(&flags).await;
    victim.datadog("x").await.in_sync().await;
    victim.project.settings(|settings| settings.latency = SLOW);
    eve.secret("keys", &samples::of("PAGER_DUTY").secrets).await;
    let made_up = |name: String, round: usize| {
        let eve = &eve;
        async move {
            let key = format!("{name}-{round}");
            eve.secret(&name, &[("publicApiKey", &key), ("privateApiKey", PRIVATE_KEY)]).await;
        }
    };
    let names: Vec<String> = (0..MANY).map(|number| format!("bad-{number:02}")).collect();
    let of_eve = |e: &Exchange| e.credential.as_deref().is_some_and(|key| key.starts_with("bad-"));
    for round in 0..3 {
        let tried = victim.project.count(of_eve);
        stream::iter(names.clone()).for_each_concurrent(4, |name| made_up(name, round)).await;
        if round == 0 {
            for name in &names {
                let mut spec = samples::of("PAGER_DUTY").spec;
                spec["credentialsSecretRef"] = json!({"name": name});
                eve.integration(name, &spec).await;
            }
        }
        // The attack is under way.
        until_true("a made-up key", || victim.project.count(of_eve) > tried).await;
        let key = format!("{round:032x}");
        let between = others_before_a_rotation(&victim, &key, &[&victim.project], of_eve).await;
        assert!(between < MANY / 3, "round {round}: {between} requests with made-up keys came first");
    }
}

/// A Secret that many projects of the attacker share changes all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a07_a_secret_that_flaps_holds_up_no_rotation_of_others() {
    let victim = World::with_datadog_key("a07-victim").await;
    let eve = World::new("a07-eve").await;
    let sample = samples::of("PAGER_DUTY");
    eve.secret("keys", &sample.secrets).await;
    let flags = ["--watch-namespace", &victim.namespace, "--resync-interval", "1h", "--concurrency", "4"];
    let _operator = eve.operator(&flags).await;
    victim.datadog("x").await.in_sync().await;
    let projects: Vec<Project> = (0..MANY).map(|_| victim.shared.sim.project(&new_project_id())).collect();
    for (number, project) in projects.iter().enumerate() {
        project.allow_key(PUBLIC_KEY, PRIVATE_KEY);
        let mut spec = sample.spec.clone();
        merge(&mut spec, &json!({"projectId": project.id()}));
        eve.integration(&format!("x-{number}"), &spec).await;
    }
    let stored = || projects.iter().all(|project| project.stored().len() == 1).then_some(());
    until("all integrations in Atlas", stored).await;
    projects.iter().for_each(|project| project.settings(|settings| settings.latency = SLOW));
    let flap = async {
        for number in 0_u64.. {
            eve.secret("keys", &[("service", &format!("{number:032x}"))]).await;
        }
    };
    let projects: Vec<&Project> = projects.iter().collect();
    let rotate = async {
        let of_eve = |e: &Exchange| e.operation == Some(Operation::List) && e.status == 200;
        let looked = || projects.iter().map(|project| project.count(of_eve)).sum::<usize>();
        let before = looked();
        until_true("the attack is under way", || looked() >= before + MANY / 2).await;
        for round in 0..3 {
            let key = format!("{round:032x}");
            let between = others_before_a_rotation(&victim, &key, &projects, of_eve).await;
            assert!(between < MANY / 2, "round {round}: {between} of the attacker's projects came first");
        }
    };
    tokio::select! { () = flap => unreachable!(), () = rotate => {} }
}
