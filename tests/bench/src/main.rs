//! `make bench`: what the operator takes, in one run against a real kube-apiserver and the Atlas simulator, beside the
//! floor that the same calls have without it. Figures are ratios within one run; nothing fails because of one.

mod floor;
mod operator;
mod stage;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use atlas_sim::Project;
use clap::Parser;

use crate::operator::Operator;
use crate::stage::{Stage, TYPES};

type Failed = Box<dyn Error + Send + Sync>;

/// Secrets that no object refers to.
const FOREIGN_SECRETS: usize = 10_000;
/// Keys that are rotated, one after another.
const ROTATIONS: usize = 200;

/// Measures the operator on a real control plane and an Atlas simulator.
#[derive(Parser)]
struct Args {
    /// Numbers of objects, each a multiple of ten: a project holds one of each type.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    objects: Vec<usize>,
    /// How long Atlas takes for an answer, in milliseconds.
    #[arg(long, default_value_t = 50)]
    latency: u64,
    /// Write the table into this file too.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

/// A row of the table: what, and a cell for each number of objects.
type Rows = Vec<(String, Vec<String>)>;

fn main() -> Result<(), Failed> {
    let args = Args::parse();
    // Set once, here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let mut rows: Rows = Vec::new();
    for number in &args.objects {
        eprintln!("{number} objects ...");
        let measured = runtime.block_on(measure(*number, Duration::from_millis(args.latency)))?;
        for (row, cell) in measured {
            match rows.iter_mut().find(|(known, _)| *known == row) {
                Some((_, cells)) => cells.push(cell),
                None => rows.push((row, vec![cell])),
            }
        }
    }
    let table = table(&args, &rows);
    println!("{table}");
    if let Some(file) = &args.write {
        std::fs::write(file, document(&args, &table))?;
    }
    Ok(())
}

fn table(args: &Args, rows: &Rows) -> String {
    let numbers: Vec<String> = args.objects.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!("| Objects | {} |", numbers.join(" | ")),
        format!("|---|{}", "---|".repeat(numbers.len())),
    ];
    lines.extend(rows.iter().map(|(row, cells)| format!("| {row} | {} |", cells.join(" | "))));
    lines.join("\n")
}

fn document(args: &Args, table: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let objects: Vec<String> = args.objects.iter().map(ToString::to_string).collect();
    format!(
        "# Figures\n\nMeasured by `make bench OBJECTS={}` in one run: operator, kube-apiserver, etcd, simulator and the \
         measuring program\nshare {cores} cores, and Atlas takes {} ms for an answer. The operator's binary is linked as \
         the image's is. Read\ntimes as ratios. The floor is what the same API-server writes and Atlas calls take in a bare \
         loop at the same\nconcurrency (`tests/bench/src/floor.rs`).\n\n{table}\n",
        objects.join(","),
        args.latency
    )
}

async fn measure(number: usize, latency: Duration) -> Result<Vec<(String, String)>, Failed> {
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| {
        eprintln!("  {name}: {value}");
        rows.push((name.to_owned(), value));
    };
    let stage = Stage::set(latency).await?;
    let projects = number / TYPES;

    let floor_projects = stage.populate("floor", projects, 1 << 20).await?;
    let floor = floor::run(&stage, "floor", &floor_projects).await?;
    stage.delete_objects("floor").await?;
    row("floor: from the first apply to the last status", seconds(floor));

    let own = stage.populate("bench", projects, 1).await?;
    let operator = Operator::start(&stage).await?;
    row("memory without objects", mebibytes(operator.memory()?.now));
    let audit = stage.plane.audit_position()?;
    let (begun, cpu) = (Instant::now(), operator.cpu_seconds()?);
    stage.create_objects("bench", &own).await?;
    operator.until("Ready", |operator| synced(operator) >= number as f64).await?;
    let converged = begun.elapsed();
    row("from the first apply to all Ready", seconds(converged));
    row("ratio to the floor", format!("{:.2}", converged.as_secs_f64() / floor.as_secs_f64()));
    let used = operator.cpu_seconds()? - cpu;
    row("CPU seconds for 1,000 objects", format!("{:.2}", used * 1_000.0 / number as f64));
    operator.until_idle().await?;
    for (row_name, count) in atlas_requests(&own) {
        row(&format!("Atlas: {row_name}"), count.to_string());
    }
    let user = "system:serviceaccount:atlas-integration-operator:atlas-integration-operator";
    let (events, _) = stage.plane.audit_since(audit)?;
    for (name, resource, verbs) in [
        ("writes of objects", "atlasintegrations", &["patch"][..]),
        ("reads of objects", "atlasintegrations", &["get", "list"][..]),
        ("reads of Secrets", "secrets", &["get", "list"][..]),
        ("Events", "events", &["create"][..]),
    ] {
        let count = events
            .iter()
            .filter(|e| {
                e.user == user
                    && e.resource == resource
                    && verbs.contains(&e.verb.as_str())
                    && e.stage == "ResponseComplete"
            })
            .count();
        row(&format!("API server: {name}"), count.to_string());
    }
    let memory = operator.memory()?;
    row("memory once all are Ready", mebibytes(memory.now));
    row("memory at its peak", mebibytes(memory.peak));

    let (p50, p99) = rotations(&stage, &own).await?;
    row("from a Secret's change to Atlas having the key, p50", milliseconds(p50));
    row("from a Secret's change to Atlas having the key, p99", milliseconds(p99));
    operator.until_idle().await?;
    row("memory after the rotations", mebibytes(operator.memory()?.now));

    drop(operator);
    let operator = Operator::start(&stage).await?;
    row("cold start to the first lists complete", seconds(operator.age()));
    row("memory after listing", mebibytes(operator.memory()?.now));
    operator
        .until("verified", |operator| {
            total(operator, "atlas_integration_pass_duration_seconds_count", "") >= projects as f64
        })
        .await?;
    row("cold start to all verified", seconds(operator.age()));
    operator.until_idle().await?;
    let memory = operator.memory()?;
    row("memory, all verified and idle", mebibytes(memory.now));
    row("memory at its peak since the start", mebibytes(memory.peak));

    // All watches end with it, and are begun anew by lists.
    stage.plane.stop_apiserver()?;
    stage.plane.start_apiserver()?;
    operator.until_idle().await?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    operator.until_idle().await?;
    let memory = operator.memory()?;
    row("memory after the API server was restarted", mebibytes(memory.now));

    stage.create_foreign_secrets("bench", FOREIGN_SECRETS).await?;
    operator.until_idle().await?;
    row(&format!("memory with {FOREIGN_SECRETS} foreign Secrets more"), mebibytes(operator.memory()?.now));
    drop(operator);
    let operator = Operator::start(&stage).await?;
    operator.until_idle().await?;
    let memory = operator.memory()?;
    row("the same after a start", mebibytes(memory.now));
    row("the same at its peak", mebibytes(memory.peak));
    Ok(rows)
}

fn synced(operator: &Operator) -> f64 {
    total(operator, "atlas_integration_transitions_total", "reason=\"Synced\"")
}

/// A metric's sum; 0 while the operator does not answer.
fn total(operator: &Operator, metric: &str, labels: &str) -> f64 {
    operator.metric(metric, labels).unwrap_or_default()
}

/// Requests by method and status.
fn atlas_requests(projects: &[Project]) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for project in projects {
        for exchange in project.exchanges() {
            *counts.entry(format!("{} {}", exchange.method, exchange.status)).or_insert(0) += 1;
        }
    }
    counts.into_iter().collect()
}

/// One key after another, with all else idle: how long until Atlas has it.
async fn rotations(stage: &Stage, projects: &[Project]) -> Result<(Duration, Duration), Failed> {
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
    times.sort();
    Ok((times[times.len() / 2], times[times.len() * 99 / 100]))
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn mebibytes(kibibytes: u64) -> String {
    format!("{:.1} MiB", kibibytes as f64 / 1_024.0)
}
