//! From the first apply to Ready, beside the floor; rotations; restarts; ten thousand foreign Secrets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use atlas_sim::Project;
use control_plane::AuditPosition;

use crate::operator::{Operator, USER, became, restart_api_server, total};
use crate::rows::{Rows, Times, mebibytes, milliseconds, ratio, seconds};
use crate::stage::{self, Stage, TYPES};
use crate::{Failed, floor};

pub const METHOD: &str = "\
    A project has ten objects, one of each type, which share a Secret. The floor is what the same \
    API-server writes and Atlas calls take in a bare loop at the same concurrency \
    (`tests/bench/src/floor.rs`). Requests are counted from the first apply until all objects are Ready \
    and the operator rests.";

/// Secrets that no object refers to.
const FOREIGN_SECRETS: usize = 10_000;
/// Keys that are rotated, one after another.
const ROTATIONS: usize = 200;

pub async fn measure(number: usize, latency: Duration) -> Result<Rows, Failed> {
    let mut rows = Rows::default();
    let stage = Stage::set(latency).await?;
    let projects = number / TYPES;

    let floor_projects = stage.populate("floor", projects).await?;
    let floor = floor::run(&stage, "floor", &floor_projects).await?;
    stage.delete_objects("floor").await?;
    rows.add("floor: from the first apply to the last status", seconds(floor));

    let own = stage.populate("bench", projects).await?;
    let operator = Operator::start(&stage, &[]).await?;
    rows.add("memory without objects", mebibytes(operator.memory()?.now));
    let audit = stage.plane.audit_position()?;
    let (begun, cpu) = (Instant::now(), operator.cpu_seconds()?);
    stage.create_objects("bench", &own).await?;
    operator.until("Ready", |operator| became(operator, "Synced") >= number as f64).await?;
    let converged = begun.elapsed();
    rows.add("from the first apply to all Ready", seconds(converged));
    rows.add("ratio to the floor", ratio(converged, floor));
    let used = operator.cpu_seconds()? - cpu;
    rows.add("CPU seconds for 1,000 objects", format!("{:.2}", used * 1_000.0 / number as f64));
    operator.until_idle().await?;
    requests(&stage, audit, &own, &mut rows)?;
    let memory = operator.memory()?;
    rows.add("memory once all are Ready", mebibytes(memory.now));
    rows.add("memory at its peak", mebibytes(memory.peak));

    let times = rotations(&stage, &own).await?;
    for percentage in [50, 99] {
        let name = format!("from a Secret's change to Atlas having the key, p{percentage}");
        rows.add(name, milliseconds(times.percentile(percentage)));
    }
    operator.until_idle().await?;
    rows.add("memory after the rotations", mebibytes(operator.memory()?.now));

    drop(operator);
    restarts(&stage, projects, &mut rows).await?;
    Ok(rows)
}

/// Counts what Atlas was asked, by method and status, and what the operator asked of the API server.
fn requests(
    stage: &Stage,
    since: AuditPosition,
    projects: &[Project],
    rows: &mut Rows,
) -> Result<(), Failed> {
    let mut counts = BTreeMap::new();
    for exchange in projects.iter().flat_map(Project::exchanges) {
        *counts.entry(format!("{} {}", exchange.method, exchange.status)).or_insert(0) += 1;
    }
    for (request, count) in counts {
        rows.add(format!("Atlas: {request}"), count);
    }
    let (events, _) = stage.plane.audit_since(since)?;
    for (name, resource, verbs) in [
        ("writes of objects", "atlasintegrations", &["patch"][..]),
        ("reads of objects", "atlasintegrations", &["get", "list"][..]),
        ("reads of Secrets", "secrets", &["get", "list"][..]),
        ("Events", "events", &["create"][..]),
    ] {
        let count = events
            .iter()
            .filter(|e| {
                e.user == USER
                    && e.resource == resource
                    && verbs.contains(&e.verb.as_str())
                    && e.stage == "ResponseComplete"
            })
            .count();
        rows.add(format!("API server: {name}"), count);
    }
    Ok(())
}

/// Starts the operator again with all objects in sync, restarts the API server, and adds foreign Secrets.
async fn restarts(stage: &Stage, projects: usize, rows: &mut Rows) -> Result<(), Failed> {
    let operator = Operator::start(stage, &[]).await?;
    rows.add("cold start to the first lists complete", seconds(operator.age()));
    rows.add("memory after listing", mebibytes(operator.memory()?.now));
    operator
        .until("verified", |operator| {
            total(operator, "atlas_integration_pass_duration_seconds_count", "") >= projects as f64
        })
        .await?;
    rows.add("cold start to all verified", seconds(operator.age()));
    operator.until_idle().await?;
    let memory = operator.memory()?;
    rows.add("memory, all verified and idle", mebibytes(memory.now));
    rows.add("memory at its peak since the start", mebibytes(memory.peak));

    restart_api_server(stage, &operator, 1).await?;
    let memory = operator.memory()?;
    rows.add("memory after the API server was restarted", mebibytes(memory.now));

    stage.create_foreign_secrets("bench", FOREIGN_SECRETS).await?;
    operator.until_idle().await?;
    rows.add(
        format!("memory with {FOREIGN_SECRETS} foreign Secrets more"),
        mebibytes(operator.memory()?.now),
    );
    drop(operator);
    let operator = Operator::start(stage, &[]).await?;
    operator.until_idle().await?;
    let memory = operator.memory()?;
    rows.add("the same after a start", mebibytes(memory.now));
    rows.add("the same at its peak", mebibytes(memory.peak));
    Ok(())
}

/// One key after another, with all else idle: how long until Atlas has it.
async fn rotations(stage: &Stage, projects: &[Project]) -> Result<Times, Failed> {
    let mut times = Vec::new();
    for number in 0..ROTATIONS {
        let project = &projects[number % projects.len()];
        let key = stage::datadog_key(number + 2);
        let begun = Instant::now();
        stage.rotate("bench", project, number + 2).await?;
        while project.stored_type("DATADOG").is_none_or(|stored| stored["apiKey"] != key) {
            if begun.elapsed() > Duration::from_secs(60) {
                return Err("a rotated key never reached Atlas".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(begun.elapsed());
        // The other objects of the Secret follow; the next one begins when they are done.
        let done = |project: &Project| {
            project
                .stored_type("PROMETHEUS")
                .is_some_and(|stored| stored["password"] == format!("a-key-for-benchmarks-{}", number + 2))
        };
        while !done(project) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(Times::new(times))
}
