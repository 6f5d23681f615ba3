//! What can be measured. Each scenario is a file of its own, and says below how its rows are measured.

mod attacks;
mod creation;
mod edits;
mod lists;
mod memory;
mod namespaces;
mod tenants;

use std::time::Duration;

use atlas_integration_stage::samples;
use clap::ValueEnum;

use crate::document::{Section, wrapped};
use crate::examples::Examples;
use crate::fleet::Fleet;
use crate::operator::Operator;
use crate::rows::{Rows, Table};
use crate::stage::{self, Stage};
use crate::{Args, Failed};

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// From the first apply to Ready, beside the floor; rotations.
    Creation,
    /// The first lists, beside those of a bare client.
    Lists,
    /// Edits right after a start, beside those of an idle operator.
    Edits,
    /// Memory of many objects, of restarts, and of Secrets that are not ours.
    Memory,
    /// A tenant whose key is revoked, beside another whose key is good.
    Tenants,
    /// Many namespaces, each with a Role of its own.
    Namespaces,
    /// A victim's rotations while other tenants attack.
    Attacks,
}

impl Scenario {
    /// The title of its section.
    pub fn title(self) -> &'static str {
        match self {
            Scenario::Creation => "Creation",
            Scenario::Lists => "The first lists",
            Scenario::Edits => "Edits right after a start",
            Scenario::Memory => "Memory",
            Scenario::Tenants => "A tenant with a revoked key",
            Scenario::Namespaces => "Many namespaces",
            Scenario::Attacks => "Rotations under attack",
        }
    }

    /// How its rows are measured.
    fn method(self) -> &'static str {
        match self {
            Scenario::Creation => creation::METHOD,
            Scenario::Lists => lists::METHOD,
            Scenario::Edits => edits::METHOD,
            Scenario::Memory => memory::METHOD,
            Scenario::Tenants => tenants::METHOD,
            Scenario::Namespaces => namespaces::METHOD,
            Scenario::Attacks => attacks::METHOD,
        }
    }

    /// Its section of the page.
    pub fn section(self, args: &Args, table: &Table) -> Section {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let made = format!(
            "Measured on {cores} cores, with an Atlas that takes {} ms for an answer, by\n\n    {}",
            args.latency,
            self.command(args)
        );
        Section { title: self.title(), text: format!("{made}\n\n{}\n\n{table}", wrapped(self.method())) }
    }

    /// The command that measures it again.
    fn command(self, args: &Args) -> String {
        let list = |values: &[usize]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let (name, objects, shapes) = (self.name(), list(&args.objects), list(&args.per_project));
        let flags = match self {
            Scenario::Creation => return format!("make bench OBJECTS={objects}"),
            Scenario::Attacks => return format!("make bench SCENARIO={name}"),
            Scenario::Lists | Scenario::Edits => {
                return format!(
                    "make bench SCENARIO={name} OBJECTS={objects} BENCH=\"--per-project {shapes}\""
                );
            }
            Scenario::Memory => {
                let foreign = args.foreign;
                return format!(
                    "make bench SCENARIO={name} OBJECTS={objects} BENCH=\"--per-project {shapes} --foreign {foreign}\""
                );
            }
            Scenario::Tenants => format!("--projects {} --window {}", args.projects, args.window),
            Scenario::Namespaces => format!("--namespaces {} --secrets {}", args.namespaces, args.secrets),
        };
        format!("make bench SCENARIO={name} BENCH=\"{flags}\"")
    }

    /// Its name on the command line.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// An empty table of it.
    fn table(self) -> Table {
        Table::new(match self {
            Scenario::Creation => "Objects",
            Scenario::Lists | Scenario::Edits | Scenario::Memory => "Objects, and how many to a project",
            Scenario::Tenants => "Projects under the revoked key",
            Scenario::Namespaces => "Namespaces, and Secrets in each",
            Scenario::Attacks => "Attackers",
        })
    }
}

/// An empty table for each scenario that the arguments name.
pub fn tables(args: &Args) -> Vec<(Scenario, Table)> {
    args.scenario.iter().map(|scenario| (*scenario, scenario.table())).collect()
}

/// Measures what the arguments name, and adds a column to these tables for each run. `write` gets them after each.
pub async fn run(
    args: &Args,
    tables: &mut [(Scenario, Table)],
    write: impl Fn(&[(Scenario, Table)]) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let latency = Duration::from_millis(args.latency);
    let mut add = |scenario: Scenario, column: String, rows: Rows| {
        let measured = tables.iter_mut().filter(|(known, _)| *known == scenario);
        measured.for_each(|(_, table)| table.add(column.clone(), rows.clone()));
        write(tables)
    };
    let wanted = |scenario: Scenario| args.scenario.contains(&scenario);
    if wanted(Scenario::Creation) {
        for number in &args.objects {
            eprintln!("{number} objects ...");
            add(Scenario::Creation, number.to_string(), creation::measure(*number, latency).await?)?;
        }
    }
    let of_fleets = [Scenario::Lists, Scenario::Edits, Scenario::Memory];
    for number in args.objects.iter().filter(|_| of_fleets.into_iter().any(wanted)) {
        for per_project in &args.per_project {
            eprintln!("{number} objects, {per_project} to a project ...");
            let stage = Stage::set(latency, &[stage::ADMIN]).await?;
            let examples = Examples::of(&stage, &stage::BENCH, samples::all()).await?;
            let empty = Operator::start(&stage, &[]).await?;
            empty.until_idle().await?;
            let without = empty.memory()?.now;
            drop(empty);
            stage.plane.kubectl(&["create", "namespace", "bench"])?;
            let fleet = Fleet::create(&stage, &examples, "bench", *number, *per_project).await?;
            for scenario in of_fleets.into_iter().filter(|scenario| wanted(*scenario)) {
                eprintln!(" {}:", scenario.name());
                let rows = match scenario {
                    Scenario::Lists => lists::measure(&stage, *number).await?,
                    Scenario::Edits => edits::measure(&stage, &fleet).await?,
                    _ => {
                        // They say the same for each, and take long.
                        let first = args.per_project.first() == Some(per_project);
                        let foreign = if first { args.foreign } else { 0 };
                        memory::measure(&stage, &fleet, without, foreign).await?
                    }
                };
                add(scenario, format!("{number}, {per_project}"), rows)?;
            }
        }
    }
    if wanted(Scenario::Tenants) {
        eprintln!("{} projects under a revoked key ...", args.projects);
        let window = Duration::from_secs(args.window);
        let rows = tenants::measure(args.projects, window, latency).await?;
        add(Scenario::Tenants, args.projects.to_string(), rows)?;
    }
    if wanted(Scenario::Namespaces) {
        let (namespaces, secrets) = (args.namespaces, args.secrets as usize);
        eprintln!("{namespaces} namespaces with {secrets} Secrets each ...");
        let rows = namespaces::measure(namespaces, secrets, latency).await?;
        add(Scenario::Namespaces, format!("{namespaces}, {secrets}"), rows)?;
    }
    if wanted(Scenario::Attacks) {
        attacks::measure(latency, |column, rows| add(Scenario::Attacks, column.to_owned(), rows)).await?;
    }
    Ok(())
}
