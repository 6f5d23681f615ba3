//! Many objects in a namespace, each with a Secret of its own, in sync; and what Atlas is asked about them.

use std::time::{Duration, Instant};

use atlas_integration_stage::samples::Sample;
use atlas_sim::{Operation, Project};
use control_plane::AuditPosition;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::Failed;
use crate::examples::Examples;
use crate::operator::{LIMIT, Operator, USER};
use crate::stage::{self, Stage};

/// Objects that are created at a time. What is set up is not measured.
const AT_A_TIME: usize = 32;
const POLL: Duration = Duration::from_millis(50);

/// The objects of a namespace.
pub struct Fleet<'a> {
    namespace: String,
    number: usize,
    per_project: usize,
    examples: &'a Examples,
    projects: Vec<Project>,
}

impl<'a> Fleet<'a> {
    /// Creates objects like the examples, their types in turn, in a namespace that exists. So many to a project must be
    /// of different types.
    pub async fn create(
        stage: &Stage,
        examples: &'a Examples,
        namespace: &str,
        number: usize,
        per_project: usize,
    ) -> Result<Fleet<'a>, Failed> {
        if per_project > examples.types() {
            return Err(
                format!("a project can't have {per_project} objects of {} types", examples.types()).into()
            );
        }
        let begun = Instant::now();
        let key = examples.key();
        let projects = stage.projects(key, number.div_ceil(per_project));
        stage.create_credential(namespace, key).await?;
        let places =
            (0..number).zip(projects.iter().flat_map(|project| std::iter::repeat_n(project, per_project)));
        let creations =
            stream::iter(places).map(|(number, project)| examples.create(stage, namespace, project, number));
        creations.buffer_unordered(AT_A_TIME).try_collect::<Vec<()>>().await?;
        if number > 1 {
            eprintln!("  ({number} objects were created in {:.0} s)", begun.elapsed().as_secs_f64());
        }
        Ok(Fleet { namespace: namespace.to_owned(), number, per_project, examples, projects })
    }

    /// Its objects.
    fn members(&self) -> impl Iterator<Item = (&Sample, &Project)> {
        (0..self.number).filter_map(|number| {
            Some((self.examples.sample(number)?, self.projects.get(number / self.per_project)?))
        })
    }

    /// Up to `most` of its DATADOG objects, spread evenly over it: names and projects.
    pub fn datadog(&self, most: usize) -> Vec<(String, &Project)> {
        let all: Vec<_> = self.members().filter(|(sample, _)| sample.kind == "DATADOG").collect();
        let number = all.len().min(most);
        let spread = (0..number).filter_map(|n| all.get(n * all.len() / number));
        spread.map(|(sample, project)| (stage::name_of(sample, project), *project)).collect()
    }

    /// How many objects it has.
    pub fn number(&self) -> usize {
        self.number
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

/// Forgets what Atlas was asked, so that [`until_verified`] sees what is asked from now on.
pub fn forget_requests(fleets: &[&Fleet<'_>]) {
    fleets.iter().flat_map(|fleet| &fleet.projects).for_each(Project::clear_exchanges);
}

/// Waits until each project was listed since [`forget_requests`].
pub async fn until_verified(operator: &Operator, fleets: &[&Fleet<'_>]) -> Result<(), Failed> {
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

/// How often the operator wrote: to Atlas since [`forget_requests`], and to objects since then. For objects in sync it
/// has nothing to write, so each write is printed.
pub fn writes(stage: &Stage, since: AuditPosition, fleets: &[&Fleet<'_>]) -> Result<usize, Failed> {
    let exchanges = fleets.iter().flat_map(|fleet| &fleet.projects).flat_map(|project| project.exchanges());
    let to_atlas = exchanges
        .filter(|exchange| exchange.is_write())
        .map(|exchange| format!("{} {}: {}", exchange.method, exchange.path, exchange.status));
    let (events, _) = stage.plane.audit_since(since)?;
    let to_objects = events
        .into_iter()
        .filter(|event| event.user == USER && event.resource == "atlasintegrations" && event.is_write())
        .map(|event| format!("{} {} {}: {}", event.received, event.verb, event.uri, event.code));
    let writes: Vec<String> = to_atlas.chain(to_objects).collect();
    writes.iter().for_each(|write| eprintln!("  a write: {write}"));
    Ok(writes.len())
}
