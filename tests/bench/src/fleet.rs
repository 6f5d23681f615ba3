//! Many objects, each with a Secret of its own, in a namespace with one credential; and how they get to be in sync.

use std::time::{Duration, Instant};

use atlas_integration_stage::samples::{self, Sample};
use atlas_sim::{Operation, Project};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::Failed;
use crate::operator::{LIMIT, Operator, became};
use crate::stage::{self, Key, Stage};

/// Creations at a time. What is set up is not measured.
const AT_A_TIME: usize = 32;
const POLL: Duration = Duration::from_millis(50);

/// The objects of a namespace.
pub struct Fleet {
    namespace: String,
    number: usize,
    per_project: usize,
    samples: Vec<Sample>,
    projects: Vec<Project>,
}

impl Fleet {
    /// Objects of all types: ten to a project, one of each type, or one to a project, the types in turn.
    pub async fn of_all_types(
        stage: &Stage,
        namespace: &str,
        number: usize,
        per_project: usize,
    ) -> Result<Fleet, Failed> {
        stage.plane.kubectl(&["create", "namespace", namespace])?;
        Fleet::fill(stage, namespace, &stage::BENCH, number, per_project, samples::all()).await
    }

    /// Objects of the type DATADOG in a namespace that exists, one to a project.
    pub async fn of_datadog(
        stage: &Stage,
        namespace: &str,
        key: &Key,
        number: usize,
    ) -> Result<Fleet, Failed> {
        Fleet::fill(stage, namespace, key, number, 1, vec![samples::of("DATADOG")]).await
    }

    async fn fill(
        stage: &Stage,
        namespace: &str,
        key: &Key,
        number: usize,
        per_project: usize,
        samples: Vec<Sample>,
    ) -> Result<Fleet, Failed> {
        let projects = stage.projects(key, number.div_ceil(per_project));
        let fleet = Fleet { namespace: namespace.to_owned(), number, per_project, samples, projects };
        stage.create_credential(namespace, key).await?;
        let members = stream::iter(fleet.members()).map(|(sample, project)| async move {
            let name = secret_of(sample, project);
            stage.create(&stage::secret(namespace, &name, &stage::keys(1))).await?;
            stage.create(&stage::object(namespace, project, sample, &name)).await.map(drop)
        });
        members.buffer_unordered(AT_A_TIME).try_collect::<Vec<()>>().await?;
        Ok(fleet)
    }

    /// Its objects.
    fn members(&self) -> impl Iterator<Item = (&Sample, &Project)> {
        (0..self.number).filter_map(|number| {
            let sample = self.samples.get(number % self.samples.len())?;
            Some((sample, self.projects.get(number / self.per_project)?))
        })
    }

    /// Up to `most` of its DATADOG objects, spread evenly over it: names and projects.
    pub fn datadog(&self, most: usize) -> Vec<(String, &Project)> {
        let all: Vec<_> = self.members().filter(|(sample, _)| sample.kind == "DATADOG").collect();
        let number = all.len().min(most);
        let spread = (0..number).filter_map(|n| all.get(n * all.len() / number));
        spread.map(|(sample, project)| (stage::name_of(sample, project), *project)).collect()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its projects.
    pub fn projects(&self) -> &[Project] {
        &self.projects
    }
}

fn secret_of(sample: &Sample, project: &Project) -> String {
    format!("keys-{}", stage::name_of(sample, project))
}

/// Brings new fleets in sync: an operator of its own runs, with an Atlas that answers at once, until all of their
/// objects are Ready. Their statuses are then what every later start meets.
pub async fn synced(stage: &Stage, fleets: &[&Fleet], flags: &[&str]) -> Result<(), Failed> {
    let begun = Instant::now();
    let number: usize = fleets.iter().map(|fleet| fleet.number).sum();
    let latency = stage.set_latency(Duration::ZERO);
    let operator = Operator::start(stage, &[&["--concurrency", "64"], flags].concat()).await?;
    operator.until("in sync", |operator| became(operator, "Synced") >= number as f64).await?;
    operator.until_idle().await?;
    drop(operator);
    stage.set_latency(latency);
    eprintln!("  ({number} objects were brought in sync in {:.0} s)", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Forgets what Atlas was asked, so that [`until_verified`] sees what is asked from now on.
pub fn forget_requests(fleets: &[&Fleet]) {
    fleets.iter().flat_map(|fleet| &fleet.projects).for_each(Project::clear_exchanges);
}

/// Waits until each project was listed since [`forget_requests`].
pub async fn until_verified(operator: &Operator, fleets: &[&Fleet]) -> Result<(), Failed> {
    let listed = |project: &&Project| {
        project.count(|exchange| exchange.operation == Some(Operation::List) && exchange.status == 200) > 0
    };
    let mut rest = fleets.iter().flat_map(|fleet| &fleet.projects).peekable();
    let begun = Instant::now();
    loop {
        while rest.next_if(listed).is_some() {}
        if rest.peek().is_none() {
            return Ok(());
        }
        if let Some(status) = operator.status()? {
            return Err(format!("the operator ended ({status}):\n{}", operator.last_logs(20)).into());
        }
        if begun.elapsed() > LIMIT {
            return Err(format!("not all projects were listed within {LIMIT:?}").into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Fails if anything was written to Atlas since [`forget_requests`]: then the objects were not in sync.
pub fn nothing_written(fleets: &[&Fleet]) -> Result<(), Failed> {
    let projects = fleets.iter().flat_map(|fleet| &fleet.projects);
    match projects.map(|project| project.count(|exchange| exchange.is_write())).sum::<usize>() {
        0 => Ok(()),
        writes => Err(format!("{writes} writes to Atlas while it was only to be compared").into()),
    }
}
