//! What users are told about their mistakes, by kubectl or by the operator: each message whole, since a message that
//! is half right sends its reader the wrong way.
//!
//! A mistake is a row: what somebody does, where they look, and what they read there. Each row has a namespace and a
//! project of its own; one operator serves all rows of a table that need no other.
//!
//! In steps `{project}` and `{namespace}` stand for those of the row, `{PROJECT}` for the project's id in upper case and
//! `{17 KB}` for a text of that length. In messages `{atlas}` stands for host and port of `--atlas-url`, and `{time}` for
//! a time of day.

mod mistakes;
mod more;

use std::time::Duration;

use atlas_integration_stage::samples::merge;
use atlas_sim::{Effect, Fault, Operation, Project};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::security::canary::assert_clean;
use crate::world::helm::documents;
use crate::world::{Operator, PRIVATE_KEY, World, condition, message, rules, until_found};

/// Values that no message may contain: where a row has a secret, it is one of these.
const CANARIES: [&str; 8] = [
    PRIVATE_KEY,
    KEY,
    "fedcba98-canarySWAPPED",
    "mdb_sa_sk_canaryWRONG",
    "canary-in-place-of-a-reference",
    "canary-of-another-service-0001",
    "fedcba98canary7654321",
    ".Values.canary",
];
const KEY: &str = "fedcba9876543210fedcba9876540001";

/// A mistake, and what is said of it.
struct Mistake {
    /// The row in its table.
    number: u32,
    /// What somebody did, for the reader of this table.
    what: &'static str,
    /// The operator that meets it.
    operator: Serves,
    /// What leads to the mistake, and the mistake itself where the operator tells of it.
    steps: &'static [Step],
    /// Where the message is found; for kubectl, the mistake itself.
    told: Told,
    /// The message.
    message: &'static str,
}

/// Which operator serves a row.
#[derive(Clone, Copy, PartialEq)]
enum Serves {
    /// None: the API server or kubectl tells.
    Nobody,
    /// One without credentials of its own.
    Plain,
    /// One with `--credentials-secret`, whose Secret is missing.
    Platform,
    /// One that the steps start.
    Steps,
}

/// What somebody does.
enum Step {
    /// Creates or changes a Secret: name, values.
    Secret(&'static str, &'static [(&'static str, &'static str)]),
    /// Creates an object of this name with this spec in YAML, to which project and credentials are added.
    Create(&'static str, &'static str),
    /// The same in the neighbour's namespace.
    CreateThere(&'static str, &'static str),
    /// Applies this text by kubectl.
    Apply(&'static str),
    /// Runs kubectl in the row's namespace.
    Kubectl(&'static str),
    /// Does something in Atlas.
    Atlas(fn(&Project)),
    /// Removes the project in Atlas.
    RemoveProject,
    /// Waits until Atlas answered one request as the fault before says.
    Faulted,
    /// Waits until Ready has this reason: name, reason.
    Reaches(&'static str, &'static str),
    /// Starts an operator for the row's namespace, which has its rights by Roles alone.
    Start,
    /// Stops it.
    Stop,
}

/// Where the message is found.
enum Told {
    /// kubectl's answer to `apply` of an object of this name with this spec in YAML.
    Apply(&'static str, &'static str),
    /// kubectl's answer to `apply` of this text.
    Manifest(&'static str),
    /// kubectl's answer to these arguments.
    Kubectl(&'static str),
    /// Ready of the object of this name, once it has this reason.
    Ready(&'static str, &'static str),
    /// The same for the object in the neighbour's namespace.
    ReadyThere(&'static str, &'static str),
    /// The same for a deletion that waits.
    Deletion(&'static str, &'static str),
    /// The line of the log that has this text: its message and fields.
    Log(&'static str),
}

/// A row in its surroundings.
struct Row {
    mistake: &'static Mistake,
    world: World,
    neighbour: Option<World>,
    operator: Option<Operator>,
}

impl Row {
    async fn new(table: &str, mistake: &'static Mistake) -> Row {
        let world = World::new(&format!("{table}-{}", mistake.number)).await;
        let there = |step: &Step| matches!(step, Step::CreateThere(..));
        let neighbour = if mistake.steps.iter().any(there) {
            let name = format!("{table}-{}-there", mistake.number);
            Some(World::with_project(&name, world.project.id()).await)
        } else {
            None
        };
        Row { mistake, world, neighbour, operator: None }
    }

    fn namespaces(&self) -> impl Iterator<Item = &str> {
        [Some(&self.world), self.neighbour.as_ref()].into_iter().flatten().map(|world| &*world.namespace)
    }

    /// What was told, as the table has it.
    fn in_the_table(&self, told: &str) -> String {
        let url = self.world.shared.sim.url();
        let told = told.replace(self.world.project.id(), "{project}");
        let told = told.replace(&self.world.namespace, "{namespace}");
        without_times(&told.replace(url.trim_start_matches("http://"), "{atlas}"))
    }

    /// A text of the table as it is in this run.
    fn filled(&self, text: &str) -> String {
        text.replace("{project}", self.world.project.id())
            .replace("{PROJECT}", &self.world.project.id().to_uppercase())
            .replace("{17 KB}", &"x".repeat(17 * 1024))
            .replace("{namespace}", &self.world.namespace)
    }

    fn manifest(&self, world: &World, name: &str, spec: &str) -> Value {
        let spec = documents(&self.filled(spec)).pop().unwrap();
        let mut object = json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": {"projectId": self.world.project.id(), "credentialsSecretRef": {"name": "atlas"}}});
        merge(&mut object["spec"], &spec);
        object
    }

    async fn take(&mut self, step: &Step) {
        let world = &self.world;
        match step {
            Step::Secret(name, values) => world.secret(name, values).await,
            Step::Create(name, spec) => world.create(&self.manifest(world, name, spec)).await,
            Step::CreateThere(name, spec) => {
                let there = self.neighbour.as_ref().unwrap();
                there.create(&self.manifest(there, name, spec)).await;
            }
            Step::Apply(text) => {
                self.kubectl("apply -f -", &self.filled(text)).await.unwrap();
            }
            Step::Kubectl(args) => {
                self.kubectl(args, "").await.unwrap();
            }
            Step::Atlas(change) => change(&world.project),
            Step::RemoveProject => assert!(world.shared.sim.remove_project(world.project.id())),
            Step::Faulted => world.until_faulted(1).await,
            Step::Reaches(name, reason) => {
                let says = |object: &Value| condition(object, "Ready")["reason"] == *reason;
                world.object(name).until(reason, says).await;
            }
            Step::Start => {
                let flags = ["--watch-namespace", &*world.namespace];
                let (plane, atlas) = (&world.shared.plane, world.shared.sim.url());
                let (namespace, name) = world.account();
                // A namespace that is being deleted takes no new rules, and gives no new token.
                let kubeconfig = plane.dir().join(format!("{namespace}.{name}.kubeconfig"));
                if !kubeconfig.exists() {
                    rules::apply(plane, world.account(), &rules::with_roles(world.account(), &flags)).await;
                    let fresh = || plane.kubeconfig_for_service_account(namespace, name).unwrap();
                    assert_eq!(tokio::task::block_in_place(fresh), kubeconfig);
                }
                let operator = Operator::start_by(plane, &kubeconfig, &atlas, &flags, &[]).await;
                self.operator = Some(operator.ready().await);
            }
            Step::Stop => {
                self.operator.take().unwrap().stop().await;
            }
        }
    }

    /// Runs kubectl in the row's namespace; what it says of a failure is the error.
    async fn kubectl(&self, args: &str, stdin: &str) -> Result<String, String> {
        let (shared, stdin) = (self.world.shared, stdin.to_owned());
        let args = self.filled(&format!("--namespace {{namespace}} {args}"));
        let run = move || {
            let args: Vec<&str> = args.split_whitespace().collect();
            shared.plane.kubectl_stdin(&args, &stdin)
        };
        tokio::task::spawn_blocking(run).await.unwrap().map_err(|error| match error {
            control_plane::Error::Kubectl { stderr, .. } => stderr,
            other => panic!("{other}"),
        })
    }

    /// What the user reads; the log is that of the operator that serves the row.
    async fn told(&self, operator: Option<&Operator>) -> String {
        let refused = |answer: Result<String, String>| answer.unwrap_or_else(|said| said);
        let apply = "apply -f -";
        match self.mistake.told {
            Told::Apply(name, spec) => {
                let manifest = self.manifest(&self.world, name, spec).to_string();
                refused(self.kubectl(apply, &manifest).await)
            }
            Told::Manifest(text) => refused(self.kubectl(apply, &self.filled(text)).await),
            Told::Kubectl(args) => refused(self.kubectl(args, "").await),
            Told::Ready(name, reason) => ready(&self.world, name, reason, "").await,
            Told::ReadyThere(name, reason) => ready(self.neighbour.as_ref().unwrap(), name, reason, "").await,
            Told::Deletion(name, reason) => ready(&self.world, name, reason, "deletion waits: ").await,
            Told::Log(text) => {
                let operator = self.operator.as_ref().or(operator).unwrap();
                until_found("the line in the log", || async { line_of(&operator.logs(), text) }).await
            }
        }
    }
}

/// How long a message is waited for; then whatever is said instead is compared, so that one run shows all rows.
const PATIENCE: Duration = Duration::from_secs(30);

/// The message of Ready once it has a reason and begins like this.
async fn ready(world: &World, name: &str, reason: &str, beginning: &str) -> String {
    let says = |object: &Value| {
        condition(object, "Ready")["reason"] == reason && message(object).starts_with(beginning)
    };
    let object = world.object(name);
    match tokio::time::timeout(PATIENCE, object.until(reason, says)).await {
        Ok(object) => message(&object),
        Err(_) => {
            let object = object.find().await.unwrap_or_default();
            format!("not {reason}, but {}: {}", condition(&object, "Ready")["reason"], message(&object))
        }
    }
}

/// The first line of a log that has this text: what it says, to whom, why, and what to do.
fn line_of(log: &str, text: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains(text))?;
    let line: Value = serde_json::from_str(line).unwrap();
    let told = ["message", "object", "project"].into_iter();
    let told = told.filter_map(|name| Some(format!("{name}={}", line[name].as_str()?)));
    Some(told.collect::<Vec<_>>().join(" "))
}

/// Times of day stand as `{time}` in the tables.
fn without_times(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for word in &mut words {
        let digits: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        if digits == "00:00" || digits == "0000-00-00T00:00:00Z" {
            *word = "{time}";
        }
    }
    words.join(" ")
}

/// Makes all mistakes of a table and compares what is said of them.
async fn tell(table: &str, mistakes: &'static [Mistake]) {
    let mut rows = join_all(mistakes.iter().map(|mistake| Row::new(table, mistake))).await;
    let plain = operator(&rows, Serves::Plain, &[]).await;
    let platform = operator(&rows, Serves::Platform, &["--credentials-secret", "missing"]).await;
    let made = rows.iter_mut().map(|row| async {
        for step in row.mistake.steps {
            row.take(step).await;
        }
        let operator = if row.mistake.operator == Serves::Platform { &platform } else { &plain };
        row.told(operator.as_ref()).await
    });
    let told = join_all(made).await;
    let mut wrong = Vec::new();
    for (row, told) in rows.iter().zip(told) {
        let Mistake { number, what, message, .. } = row.mistake;
        assert_clean(&format!("{number}, {what}"), &told, &CANARIES.map(str::to_owned));
        let told = row.in_the_table(&told);
        println!("{number} | {what} | {}", told.replace('\n', "\\n"));
        if told != *message {
            wrong.push(format!("{number}, {what}\n  expected: {message}\n  found:    {told}"));
        }
        // Some rows ask for what Atlas's contract does not know, and are told so.
        row.world.project.clear_exchanges();
    }
    assert!(wrong.is_empty(), "{} not as expected:\n{}", wrong.len(), wrong.join("\n"));
}

/// Starts the operator that serves these rows, if there are any.
async fn operator(rows: &[Row], serves: Serves, flags: &[&str]) -> Option<Operator> {
    let served = || rows.iter().filter(|row| row.mistake.operator == serves);
    let scope: Vec<&str> =
        served().flat_map(Row::namespaces).flat_map(|name| ["--watch-namespace", name]).collect();
    let home = &served().next()?.world;
    Some(Operator::start_elsewhere(home, &scope, flags).await)
}

/// Atlas answers every LIST like this.
fn refuse_lists(project: &Project, status: u16, code: &str, detail: &str) {
    project.fault(Fault::new(Effect::error(status, code, detail)).at(Operation::List).always());
}
