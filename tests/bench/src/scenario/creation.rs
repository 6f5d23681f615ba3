//! From the first apply to Ready, beside the floor; and rotations.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use atlas_sim::Project;
use control_plane::AuditPosition;

use crate::Failed;
use crate::floor::Floor;
use crate::operator::{Operator, USER, became};
use crate::rows::{Rows, Times, mebibytes, milliseconds, ratio, seconds};
use crate::stage::{self, Stage, TYPES};

pub const METHOD: &str = "\
    A project has ten objects, one of each type, which share a Secret. The floor is what the same \
    API-server writes and Atlas calls take in a bare loop at the same concurrency and as the same \
    ServiceAccount (`tests/bench/src/floor.rs`), once before and once after the operator, with new projects. \
    All of this is done twice, each time with a new API server, since the speed of a machine changes within \
    minutes; the ratio is that of the means, and the other rows are from the first time. Requests are \
    counted from the first apply until all objects are Ready and the operator rests. The goals for 10,000 \
    objects are a ratio of at most 1.1, at most 1.3 CPU seconds, and one read for each object.";

/// Keys that are rotated at most, one after another, each of another project.
const ROTATIONS: usize = 200;
/// How often everything is done.
const TIMES: usize = 2;

pub async fn measure(number: usize, latency: Duration) -> Result<Rows, Failed> {
    let mut rows = Rows::default();
    let projects = number / TYPES;
    let (mut floors, mut operators) = (Vec::new(), Vec::new());
    for time in 0..TIMES {
        // The requests of the floor are audited as those of the operator are: that costs the API server time.
        let stage = Stage::set(latency, &[]).await?;
        let floor = Floor::new(&stage).await?;
        floors.push(floor.run("floor-before", projects).await?);

        let own = stage.populate("bench", projects).await?;
        let operator = Operator::start(&stage, &[]).await?;
        let start = (stage.plane.audit_position()?, operator.cpu_seconds()?, operator.memory()?.now);
        operators.push(create(&stage, &operator, "bench", &own).await?);
        if time == 0 {
            details(&stage, &operator, &own, start, &mut rows).await?;
        }
        drop(operator);
        floors.push(floor.run("floor-after", projects).await?);
    }
    rows.add("from the first apply to all Ready, each time", each(&operators));
    rows.add("floor before and after, each time", each(&floors));
    rows.add("ratio to the floor, of the means", ratio(mean(&operators), mean(&floors)));
    Ok(rows)
}

/// Everything but the time from the first apply to Ready. `start` is what was so before it.
async fn details(
    stage: &Stage,
    operator: &Operator,
    own: &[Project],
    start: (AuditPosition, f64, u64),
    rows: &mut Rows,
) -> Result<(), Failed> {
    let (audit, cpu, memory) = start;
    let number = own.len() * TYPES;
    let used = operator.cpu_seconds()? - cpu;
    rows.add("CPU seconds for 1,000 objects", format!("{:.2}", used * 1_000.0 / number as f64));
    operator.until_idle().await?;
    requests(stage, audit, number, own, rows)?;
    rows.add("memory without objects", mebibytes(memory));
    let memory = operator.memory()?;
    rows.add("memory once all are Ready", mebibytes(memory.now));
    rows.add("memory at its peak", mebibytes(memory.peak));

    let times = rotations(stage, own).await?;
    for percentage in [50, 99] {
        let name = format!("from a Secret's change to Atlas having the key, p{percentage}");
        rows.add(name, milliseconds(times.percentile(percentage)));
    }
    operator.until_idle().await?;
    rows.add("memory after the rotations", mebibytes(operator.memory()?.now));
    Ok(())
}

/// Creates the objects of these projects. Returns how long it took from the first one until all are Ready.
async fn create(
    stage: &Stage,
    operator: &Operator,
    namespace: &str,
    projects: &[Project],
) -> Result<Duration, Failed> {
    let begun = Instant::now();
    stage.create_objects(namespace, projects).await?;
    let number = (projects.len() * TYPES) as f64;
    operator.until("Ready", |operator| became(operator, "Synced") >= number).await?;
    Ok(begun.elapsed())
}

fn each(times: &[Duration]) -> String {
    times.iter().map(|time| seconds(*time)).collect::<Vec<_>>().join(", ")
}

fn mean(times: &[Duration]) -> Duration {
    times.iter().sum::<Duration>() / times.len() as u32
}

/// Counts what Atlas was asked, by method and status, and what the operator asked of the API server.
fn requests(
    stage: &Stage,
    since: AuditPosition,
    number: usize,
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
    let mut reads = 0;
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
        if verbs.contains(&"get") {
            reads += count;
        }
    }
    rows.add("API server: reads for each object", format!("{:.2}", reads as f64 / number as f64));
    Ok(())
}

/// One key after another, with all else idle: how long until Atlas has it.
async fn rotations(stage: &Stage, projects: &[Project]) -> Result<Times, Failed> {
    let mut times = Vec::new();
    for (number, project) in projects.iter().take(ROTATIONS).enumerate() {
        let begun = Instant::now();
        stage.rotate("bench", project, number + 2).await?;
        stage::until_key(project, number + 2, Duration::from_secs(60)).await?;
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
