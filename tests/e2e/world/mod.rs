//! What a test stands on: a namespace, an Atlas project, the objects in them, and waiting with a limit.

#[path = "../../chart/helm.rs"]
pub mod helm;
pub mod history;
pub mod log;
pub mod meter;
pub mod nodes;
mod object;
mod operator;
pub mod page;
pub mod proxy;
pub mod rules;
pub mod states;
#[path = "../../chart/tools.rs"]
pub mod tools;

use std::ops::Deref;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use atlas_integration_stage::Stage;
use atlas_integration_stage::samples::{self, merge};
use atlas_sim::contract::problems_of_request;
use atlas_sim::{Exchange, Operation, Project};
use control_plane::{AuditEvent, AuditPosition, ControlPlane, Options};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

pub use self::object::Object;
pub use self::operator::Operator;

/// How long anything is waited for. Generous: nothing is asserted about time.
pub const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(25);

pub const PUBLIC_KEY: &str = "qwertyui";
pub const PRIVATE_KEY: &str = "8f0d7c52-1a2b-4c3d-9e8f-canaryPRIVATE";

/// The parts that all tests share.
pub struct Shared(Stage);

static SHARED: LazyLock<Shared> = LazyLock::new(|| start(Options::default()));

/// Starts the parts, with the kind installed, and what `deploy/base` has of namespace, account and rules.
pub fn start(options: Options) -> Shared {
    Shared(Stage::set(options).unwrap())
}

/// Starts the parts, with nothing installed.
pub fn start_empty(options: Options) -> Shared {
    Shared(Stage::empty(options).unwrap())
}

/// The shared parts, started by whichever test comes first.
pub async fn shared() -> &'static Shared {
    own(&SHARED).await
}

/// A control plane that a test has to itself, or shares with a few, started when it is first asked for.
pub async fn own(plane: &'static LazyLock<Shared>) -> &'static Shared {
    tokio::task::spawn_blocking(|| &**plane).await.unwrap()
}

impl Deref for Shared {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
}

impl Shared {
    /// Runs kubectl as somebody who may do everything; its stdout.
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.try_kubectl(args).unwrap()
    }

    /// The same where it may fail.
    pub fn try_kubectl(&self, args: &[&str]) -> Result<String, control_plane::Error> {
        tokio::task::block_in_place(|| self.plane.kubectl(args))
    }
}

/// A client that may do everything.
pub async fn admin(plane: &ControlPlane) -> Client {
    client(plane, None).await
}

/// A client that is this user to the API server, or one that may do everything.
pub async fn client(plane: &ControlPlane, user: Option<&str>) -> Client {
    let mut kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    for entry in &mut kubeconfig.auth_infos {
        let info = entry.auth_info.get_or_insert_default();
        info.impersonate = user.map(str::to_owned);
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// The API of a kind, for whoever the client is.
pub fn api(client: &Client, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    let (group, version, plural) = match kind {
        "AtlasIntegration" => ("atlas-integrations.dev", "v1", "atlasintegrations"),
        "Secret" => ("", "v1", "secrets"),
        "Namespace" => ("", "v1", "namespaces"),
        "ServiceAccount" => ("", "v1", "serviceaccounts"),
        "Event" => ("events.k8s.io", "v1", "events"),
        "Role" => ("rbac.authorization.k8s.io", "v1", "roles"),
        "RoleBinding" => ("rbac.authorization.k8s.io", "v1", "rolebindings"),
        "ValidatingAdmissionPolicy" => ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies"),
        "ValidatingAdmissionPolicyBinding" => {
            ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings")
        }
        "Lease" => ("coordination.k8s.io", "v1", "leases"),
        other => panic!("{other} is not in the table"),
    };
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: if group.is_empty() { version.into() } else { format!("{group}/{version}") },
        kind: kind.into(),
        plural: plural.into(),
    };
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// One test's world.
pub struct World {
    pub shared: &'static Shared,
    pub namespace: String,
    pub project: Project,
    pub client: Client,
    /// How often [`Object::until`] looks.
    pub poll: Duration,
    begun: AuditPosition,
}

/// A project id that no other test has.
pub fn new_project_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("5d791c84ff7a2522{:08x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl World {
    /// A fresh namespace with a ServiceAccount for the operator, a fresh project, and a credentials Secret `atlas` that
    /// fits it.
    pub async fn new(name: &str) -> World {
        World::with_project(name, &new_project_id()).await
    }

    /// The same for a project of this id.
    pub async fn with_project(name: &str, project: &str) -> World {
        World::on(shared().await, name, project).await
    }

    /// The same on a control plane of the test's own, for what would disturb others.
    pub async fn on(shared: &'static Shared, name: &str, project: &str) -> World {
        let project = shared.sim.project(project);
        project.allow_key(PUBLIC_KEY, PRIVATE_KEY);
        let suffix = &project.id()[20..];
        let namespace = format!("{name}-{suffix}");
        let client = admin(&shared.plane).await;
        let begun = shared.plane.audit_position().unwrap();
        let world = World { shared, namespace, project, client, poll: POLL, begun };
        world
            .create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}}))
            .await;
        world
            .create(&json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "operator", "namespace": world.namespace}}))
            .await;
        world.secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY)]).await;
        world
    }

    /// The same with the Secret `keys` that the DATADOG sample refers to.
    pub async fn with_datadog_key(name: &str) -> World {
        let world = World::new(name).await;
        world.secret("keys", &samples::of("DATADOG").secrets).await;
        world
    }

    /// Starts an operator for this namespace and waits until it is ready.
    pub async fn operator(&self, flags: &[&str]) -> Operator {
        Operator::start(self, flags).await
    }

    /// Starts one for this namespace that has what rules the test gave it, without waiting for it to be ready.
    pub async fn operator_with_rules_as_they_are(&self, flags: &[&str]) -> Operator {
        let flags = [&["--watch-namespace", &self.namespace], flags].concat();
        Operator::start_as(&self.shared.plane, self.account(), &self.shared.sim.url(), &flags).await
    }

    /// The operator's ServiceAccount: namespace and name.
    pub fn account(&self) -> (&str, &str) {
        (&self.namespace, "operator")
    }

    /// The user that the operator is to the API server.
    pub fn operator_user(&self) -> String {
        format!("system:serviceaccount:{}:operator", self.namespace)
    }

    /// What the operator asked of the API server, answered or refused, as the server's audit log has it.
    pub fn requests(&self) -> Vec<AuditEvent> {
        let user = self.operator_user();
        let (events, _) = self.shared.plane.audit_since(self.begun).unwrap();
        events.into_iter().filter(|event| event.user == user).collect()
    }

    /// What the operator wrote to the API server, Events apart.
    pub fn api_writes(&self) -> Vec<AuditEvent> {
        let written = |event: &AuditEvent| event.is_write() && event.resource != "events";
        self.requests().into_iter().filter(written).collect()
    }

    /// What reached Atlas of the operator's writes, by method.
    pub fn atlas_writes(&self) -> Vec<String> {
        let exchanges = self.project.exchanges();
        exchanges.into_iter().filter(Exchange::is_write).map(|exchange| exchange.method).collect()
    }

    /// A field of the DATADOG integration in Atlas; null when there is none.
    pub fn stored_datadog(&self, field: &str) -> Value {
        self.project.stored_type("DATADOG").map(|stored| stored[field].clone()).unwrap_or_default()
    }

    /// Waits until that field has this value.
    pub async fn until_stored(&self, field: &str, value: &str) {
        until_true(&format!("{field}={value} in Atlas"), || self.stored_datadog(field) == value).await;
    }

    /// LISTs that Atlas answered with success so far.
    pub fn looks(&self) -> usize {
        self.project.count(|e| e.operation == Some(Operation::List) && e.status == 200)
    }

    /// Waits until Atlas was looked at that often from now on.
    pub async fn until_looked(&self, times: usize) {
        let before = self.looks();
        until_true("looks at Atlas", || self.looks() >= before + times).await;
    }

    /// Waits until that many requests have met a fault.
    pub async fn until_faulted(&self, count: usize) {
        until_true("a request that meets its fault", || self.project.count(|e| e.faulted) >= count).await;
    }

    /// The notes of the Events with this reason.
    pub async fn notes(&self, reason: &str) -> Vec<String> {
        let events = self.list("Event").await;
        let told = events.iter().filter(|event| event["reason"] == reason);
        told.filter_map(|event| event["note"].as_str().map(str::to_owned)).collect()
    }

    /// The API of a kind.
    pub fn api(&self, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        api(&self.client, kind, namespace)
    }

    /// Creates an object.
    pub async fn create(&self, object: &Value) {
        self.try_create(object).await.unwrap_or_else(|error| panic!("{object}: {error}"));
    }

    /// Creates an object, or says what the API server answered.
    pub async fn try_create(&self, object: &Value) -> Result<Value, kube::Error> {
        let kind = object["kind"].as_str().unwrap();
        let namespace = object["metadata"]["namespace"].as_str();
        let object = serde_json::from_value(object.clone()).unwrap();
        let created = self.api(kind, namespace).create(&PostParams::default(), &object).await?;
        Ok(serde_json::to_value(created).unwrap())
    }

    /// Creates a Secret or gives it other values.
    pub async fn secret(&self, name: &str, values: &[(&str, &str)]) {
        let data: serde_json::Map<String, Value> =
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": self.namespace},
            "stringData": data});
        let params = PatchParams::apply("test").force();
        self.api("Secret", Some(&self.namespace)).patch(name, &params, &Patch::Apply(&object)).await.unwrap();
    }

    /// Sets the Namespace's annotation that grants projects to its objects, or removes it.
    pub async fn grant(&self, project_ids: Option<&str>) {
        let change =
            json!({"metadata": {"annotations": {"atlas-integrations.dev/project-ids": project_ids}}});
        let api = self.api("Namespace", None);
        api.patch(&self.namespace, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
    }

    /// Deletes an object.
    pub async fn delete(&self, kind: &str, name: &str) {
        self.api(kind, Some(&self.namespace)).delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// A handle for the `AtlasIntegration` of this name, whether it is there or not.
    pub fn object(&self, name: &str) -> Object<'_> {
        Object::new(self, name)
    }

    /// Creates the DATADOG sample.
    pub async fn datadog(&self, name: &str) -> Object<'_> {
        self.integration(name, &samples::of("DATADOG").spec).await
    }

    /// Creates the object of a type's sample and its Secret, under names of their own, so that samples can stand side by
    /// side in one namespace.
    pub async fn sample(&self, kind: &str) -> Object<'_> {
        self.sample_with(kind, &json!({})).await
    }

    /// The same with something merged into the spec.
    pub async fn sample_with(&self, kind: &str, extra: &Value) -> Object<'_> {
        let sample = samples::of(kind);
        let secret = format!("keys-{}", sample.name());
        let mut spec = sample.with_secret(&secret);
        merge(&mut spec, extra);
        self.secret(&secret, &sample.secrets).await;
        self.integration(&sample.name(), &spec).await
    }

    /// Creates the samples of these types and waits until all are in sync.
    pub async fn synced_samples(&self, kinds: impl IntoIterator<Item = &str>) -> Vec<Object<'_>> {
        let mut objects = Vec::new();
        for kind in kinds {
            objects.push(self.sample(kind).await);
        }
        for object in &objects {
            object.synced().await;
        }
        objects
    }

    /// Creates an `AtlasIntegration` of this project; `spec` has type and block, and what else it needs.
    pub async fn integration(&self, name: &str, spec: &Value) -> Object<'_> {
        self.create(&self.manifest(name, spec)).await;
        self.object(name)
    }

    /// The manifest of such an object.
    pub fn manifest(&self, name: &str, spec: &Value) -> Value {
        let mut object = json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"projectId": self.project.id(), "credentialsSecretRef": {"name": "atlas"}}});
        merge(&mut object["spec"], spec);
        object
    }

    /// Merges a change into an object.
    pub async fn patch(&self, kind: &str, name: &str, change: &Value) -> Value {
        let api = self.api(kind, Some(&self.namespace));
        let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await;
        serde_json::to_value(patched.unwrap_or_else(|error| panic!("{change}: {error}"))).unwrap()
    }

    /// An object, if it is there.
    pub async fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let found = self.api(kind, Some(&self.namespace)).get_opt(name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    /// All objects of a kind in the namespace.
    pub async fn list(&self, kind: &str) -> Vec<Value> {
        let found =
            self.api(kind, Some(&self.namespace)).list(&kube::api::ListParams::default()).await.unwrap();
        found.items.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect()
    }
}

/// What holds in every test, whatever it is about.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let to_secrets: Vec<AuditEvent> =
            self.api_writes().into_iter().filter(|write| write.resource == "secrets").collect();
        assert!(to_secrets.is_empty(), "a Secret of a user was written: {to_secrets:#?}");
        // Strays name no project, so they are everybody's.
        let to_atlas = [self.project.exchanges(), self.shared.sim.stray_exchanges()].concat();
        let problems: Vec<String> = to_atlas.iter().flat_map(problems_of_request).collect();
        assert!(problems.is_empty(), "requests that Atlas's contract does not know: {problems:#?}");
    }
}

/// Waits until `look` returns something.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until_found(what, || std::future::ready(look())).await
}

/// Waits until `holds` does.
pub async fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, || holds().then_some(())).await;
}

/// The same for what has to be asked for.
pub async fn until_found<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("not within {LIMIT:?}: {what}");
}

/// A condition of an object; null when there is none.
pub fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().find(|c| c["type"] == kind).cloned().unwrap_or_default()
}

/// The message of Ready.
pub fn message(object: &Value) -> String {
    condition(object, "Ready")["message"].as_str().unwrap_or_default().to_owned()
}

/// What is neither object nor array, or an empty one, by its path below `path`.
pub fn leaves<'a>(path: &str, value: &'a Value) -> Vec<(String, &'a Value)> {
    let below = |(name, value): (String, &'a Value)| leaves(&format!("{path}/{name}"), value);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().map(|(name, value)| (name.clone(), value)).flat_map(below).collect()
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).flat_map(below).collect()
        }
        leaf => vec![(path.to_owned(), leaf)],
    }
}
