//! `make bench`: what the operator takes, in runs against a real kube-apiserver and the Atlas simulator, beside what a
//! bare client or an undisturbed operator takes in the same run. Nothing fails because of a figure.

mod document;
mod edits;
mod examples;
mod fleet;
mod floor;
mod operator;
mod rows;
mod scenario;
mod stage;

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;

use crate::rows::Table;
use crate::scenario::Scenario;

type Failed = Box<dyn Error + Send + Sync>;

/// Measures the operator on a real control plane and an Atlas simulator.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure. `lists`, `edits` and `memory` share the objects of a run.
    #[arg(long, value_delimiter = ',', default_value = "creation")]
    scenario: Vec<Scenario>,
    /// Numbers of objects for `creation`, `lists`, `edits` and `memory`, each a multiple of ten.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    objects: Vec<usize>,
    /// How many objects a project has, for `lists`, `edits` and `memory`: 10, one of each type, or 1.
    #[arg(long, value_delimiter = ',', default_value = "10,1", value_parser = parse_shape)]
    per_project: Vec<usize>,
    /// Secrets that no object refers to, for `memory`; beside the objects of the first of `--per-project`.
    #[arg(long, default_value_t = 100_000)]
    foreign: usize,
    /// Projects of the tenant whose key is revoked, for `tenants`.
    #[arg(long, default_value_t = 2_000)]
    projects: usize,
    /// Seconds until the tenant with the revoked key counts as settled, and for which its calls are counted then, for
    /// `tenants`.
    #[arg(long, default_value_t = 300)]
    window: u64,
    /// Namespaces that are watched, for `namespaces`.
    #[arg(long, default_value_t = 300)]
    namespaces: usize,
    /// Secrets in each of them, at least 2, for `namespaces`.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(2..))]
    secrets: u32,
    /// How long Atlas takes for an answer, in milliseconds.
    #[arg(long, default_value_t = 50)]
    latency: u64,
    /// Write the tables into this file too, each run as it ends. The file keeps the tables of other scenarios.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

fn parse_shape(text: &str) -> Result<usize, String> {
    match text {
        "10" => Ok(10),
        "1" => Ok(1),
        _ => Err("10 or 1".to_owned()),
    }
}

fn main() -> Result<(), Failed> {
    let args = Args::parse();
    // Set once, here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    let mut tables = scenario::tables(&args);
    // Each run is written as it ends: what was measured before something fails has taken its time too.
    let write = |tables: &[(Scenario, Table)]| -> Result<(), Failed> {
        let Some(file) = &args.write else { return Ok(()) };
        let before = std::fs::read_to_string(file).unwrap_or_default();
        let measured = tables.iter().filter(|(_, table)| !table.is_empty());
        let sections = measured.map(|(scenario, table)| scenario.section(&args, table)).collect();
        Ok(std::fs::write(file, document::with(&before, sections))?)
    };
    let measured = runtime.block_on(scenario::run(&args, &mut tables, write));
    for (scenario, table) in tables.iter().filter(|(_, table)| !table.is_empty()) {
        println!("{}\n\n{table}\n", scenario.title());
    }
    measured
}
