//! Whose turn it is: what somebody asked for goes before what is only looked at, and no tenant waits for another. What
//! came first is read from the requests that reach Atlas.

use std::time::Duration;

use atlas_integration_stage::samples::{self, merge};
use atlas_sim::{Effect, Exchange, Fault, Operation, Project};
use futures::stream::{self, StreamExt};
use serde_json::json;

use crate::world::{Object, PRIVATE_KEY, PUBLIC_KEY, World, condition, new_project_id, until, until_found};

const PROJECTS: usize = 120;
/// No project is looked at a second time during a test, and the passes of a test's many projects take a while.
const FLAGS: &[&str] = &["--resync-interval", "1h", "--concurrency", "4"];
const SLOW: Duration = Duration::from_millis(500);

/// Objects of one namespace, each in a project of its own, which share their Secrets, and are in sync.
async fn many(world: &World, count: usize) -> Vec<(Object<'_>, Project)> {
    let sample = samples::of("PAGER_DUTY");
    world.secret("keys", &sample.secrets).await;
    let objects: Vec<(Object<'_>, Project)> = (0..count)
        .map(|number| {
            let project = world.shared.sim.project(&new_project_id());
            project.allow_key(PUBLIC_KEY, PRIVATE_KEY);
            (world.object(&format!("x-{number:03}")), project)
        })
        .collect();
    let operator = world.operator(FLAGS).await;
    stream::iter(&objects)
        .for_each_concurrent(8, |(object, project)| {
            let mut spec = sample.spec.clone();
            merge(&mut spec, &json!({"projectId": project.id()}));
            let object = world.manifest(object.name(), &spec);
            async move { world.create(&object).await }
        })
        .await;
    let stored = || objects.iter().all(|(_, project)| project.stored().len() == 1).then_some(());
    until("all integrations in Atlas", stored).await;
    let ready = || async {
        let objects = world.list("AtlasIntegration").await;
        objects.iter().all(|object| condition(object, "Ready")["status"] == "True").then_some(())
    };
    until_found("all objects Ready", ready).await;
    operator.stop().await;
    objects
}

/// Makes all calls for these projects slow.
fn slow_down(objects: &[(Object<'_>, Project)]) {
    for (_, project) in objects {
        project.settings(|settings| settings.latency = SLOW);
    }
}

/// The number of the last request so far.
fn last(objects: &[(Object<'_>, Project)]) -> u64 {
    let exchanges = objects.iter().filter_map(|(_, project)| project.exchanges().last().map(|e| e.sequence));
    exchanges.max().unwrap_or_default()
}

/// Edits the last object, waits for its PUT, and says how many of the others were looked at before it, since `mark`.
async fn looked_at_before_an_edit(objects: &[(Object<'_>, Project)], mark: u64) -> usize {
    let ((edited, project), others) = objects.split_last().unwrap();
    edited.change(&json!({"pagerDuty": {"region": "US"}})).await;
    let put = || {
        let put = |exchange: &Exchange| exchange.method == "PUT" && exchange.is_write();
        project.exchanges().into_iter().find(put).map(|put| put.sequence)
    };
    let put = until("the PUT", put).await;
    let between =
        |e: &Exchange| e.operation == Some(Operation::List) && e.sequence > mark && e.sequence < put;
    others.iter().filter(|(_, project)| project.exchanges().iter().any(between)).count()
}

/// After a start every project is looked at. An edit does not wait for that.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_right_after_a_start_goes_before_the_resyncs() {
    let world = World::new("turns-start").await;
    let objects = many(&world, PROJECTS).await;
    slow_down(&objects);
    let mark = last(&objects);
    let _operator = world.operator(FLAGS).await;
    let before = looked_at_before_an_edit(&objects, mark).await;
    assert!(before < PROJECTS / 2, "{before} projects were looked at before the edit");
}

/// A label on a Secret makes every project due that shares it. Nobody waits for that: an edit goes first.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_goes_before_what_a_shared_secret_made_due() {
    let world = World::new("turns-shared").await;
    let objects = many(&world, PROJECTS).await;
    let _operator = world.operator(FLAGS).await;
    let looked = |mark: u64| {
        let looked = |(_, project): &(_, Project)| {
            let after = |e: &Exchange| e.sequence > mark && e.operation == Some(Operation::List);
            project.count(|e| after(e) && e.status == 200) > 0
        };
        objects.iter().filter(|object| looked(object)).count()
    };
    until("all looked at after the start", || (looked(0) == PROJECTS).then_some(())).await;
    slow_down(&objects);
    let mark = last(&objects);
    world.patch("Secret", "keys", &json!({"metadata": {"labels": {"a": "b"}}})).await;
    let before = looked_at_before_an_edit(&objects, mark).await;
    assert!(before < PROJECTS / 2, "{before} projects were looked at before the edit");
    until("all that share the Secret looked at", || (looked(mark) == PROJECTS).then_some(())).await;
}

/// All calls for one tenant's projects hang. They take every turn that there is for one tenant, and another tenant's
/// edit reaches Atlas while all of them still hang.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_calls_hang_keeps_nobody_waiting() {
    let (hung, calm) = (World::new("turns-hung").await, World::with_datadog_key("turns-calm").await);
    let objects = many(&hung, 12).await;
    let flags = ["--watch-namespace", calm.namespace.as_str(), "--atlas-timeout", "60s"];
    let _operator = hung.operator(&[&flags, FLAGS].concat()).await;
    let x = calm.datadog("x").await.in_sync().await;
    for (_, project) in &objects {
        project.fault(Fault::new(Effect::Hold).always());
    }
    for (object, _) in &objects {
        object.annotate("reconcile-requested-at", "now").await;
    }
    let hanging = || objects.iter().map(|(_, project)| project.count(|e| e.faulted)).sum::<usize>();
    until("calls that hang in all turns", || (hanging() >= 4).then_some(())).await;
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    calm.until_stored("region", "EU").await;
    x.synced().await;
    assert_eq!(hanging(), 4, "the calls of the first four turns, of which none has ended");
}
