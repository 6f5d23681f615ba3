//! Carries actions out, and keeps the history of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use atlas_integration_stage::samples::merge;
use atlas_sim::{Change, Fault, Operation, Project};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::catalog::{self, Content};
use super::plan::{
    Action, COMMON, Credentials, Edit, NAMESPACES, Outside, PROJECTS, Place, REFUSED, SECRETS, Shape, TENANT,
    WRONG, namespace, of_others,
};
use crate::world::{Operator, PUBLIC_KEY, Shared, World, new_project_id, rules, until_found};

const KIND: &str = "AtlasIntegration";
const CLAIM: &str = "atlas-integrations.dev/claim";
/// The third namespace has a service account; the API key of each other one is `PUBLIC_KEY` with a digit.
const ACCOUNT: &str = "mdb_sa_id_chaos";
const PRIVATE: &str = "canaryPRIVATE-chaos";
/// How long a name is waited for, where an object is to be created again at once.
const NAME_FREE: Duration = Duration::from_secs(2);

/// An object as the API server had it for a while: from before the call that made it so, until after the one that
/// ended it.
#[derive(Clone, Debug)]
pub struct Life {
    pub slot: usize,
    pub place: Place,
    pub uid: String,
    pub manages: bool,
    pub adopts: bool,
    /// Whether it may leave its integration behind.
    pub lax: bool,
    pub from: Instant,
    pub until: Option<Instant>,
}

/// An entry that others made where nobody kept the place.
pub struct Foreign {
    pub place: Place,
    pub id: Value,
    pub at: Instant,
}

/// What a line of the history is about.
#[derive(Clone, Copy)]
enum About {
    All,
    Place(Place),
    Project(usize),
    Namespace(usize),
}

/// All that a run acts on.
pub struct Stage {
    shared: &'static Shared,
    pub worlds: Vec<World>,
    pub projects: Vec<Project>,
    operator: Option<Operator>,
    /// The operator's RoleBindings in the namespace that takes them away.
    bindings: Vec<Value>,
    /// What operators logged that are no more.
    logs: Vec<String>,
    pub begun: Instant,
    pub lives: Vec<Life>,
    pub foreign: Vec<Foreign>,
    pub counts: BTreeMap<&'static str, usize>,
    history: Vec<(Instant, About, String)>,
}

/// The name of a slot's object.
pub fn name(slot: usize) -> String {
    format!("x{slot}")
}

fn secret_name(secret: usize) -> String {
    format!("keys-{secret}")
}

impl Stage {
    /// Namespaces, projects, Secrets, what others have made; and an operator.
    pub async fn new(shared: &'static Shared) -> Stage {
        let mut worlds = Vec::new();
        let mut projects: Vec<Project> = Vec::new();
        for number in 0..PROJECTS {
            let project = shared.sim.project(&new_project_id());
            if number < NAMESPACES {
                worlds.push(World::on(shared, &format!("chaos-{number}"), project.id()).await);
            }
            // Resyncs of a second for three credentials are more than Atlas would let pass for long.
            project.settings(|settings| {
                settings.rate_capacity = 1_000_000;
                settings.token_limit_per_minute = None;
            });
            projects.push(project);
        }
        let mut stage = Stage {
            shared,
            worlds,
            projects,
            operator: None,
            bindings: Vec::new(),
            logs: Vec::new(),
            begun: Instant::now(),
            lives: Vec::new(),
            foreign: Vec::new(),
            counts: BTreeMap::new(),
            history: Vec::new(),
        };
        for namespace in 0..NAMESPACES {
            let state = if namespace == TENANT { Credentials::Revoked } else { Credentials::Good };
            stage.credentials(namespace, state).await;
            for secret in 0..SECRETS {
                let number = u32::try_from(1_000_000 + namespace * 100 + secret).unwrap();
                stage.secret(namespace, secret, Content::Good(number), false).await;
            }
        }
        let wrong = [("publicApiKey", "qwertyui0"), ("privateApiKey", "another-canaryPRIVATE")];
        stage.worlds[namespace(WRONG)].secret("atlas-wrong", &wrong).await;
        for (number, place) in (0..).zip(of_others()) {
            stage.projects[place.project].replace_by_other(catalog::foreign(place.kind, number));
        }
        // Roles in each namespace, whatever the mode: then they can be taken away in one.
        let home = &stage.worlds[0];
        let scope = [&["--watch-namespace", &home.namespace], &stage.scope()[..]].concat();
        let given = rules::with_roles(home.account(), &scope);
        rules::apply(&shared.plane, home.account(), &given).await;
        let refused = &stage.worlds[REFUSED].namespace;
        let binds = |object: &&Value| {
            object["kind"] == "RoleBinding" && object["metadata"]["namespace"] == refused.as_str()
        };
        stage.bindings = given.iter().filter(binds).cloned().collect();
        assert!(!stage.bindings.is_empty());
        stage.begun = Instant::now();
        stage.start_operator().await;
        stage.operator.as_ref().unwrap().until_ready().await;
        stage
    }

    /// The flags that name the namespaces, but for the operator's own.
    fn scope(&self) -> Vec<&str> {
        self.worlds[1..].iter().flat_map(|world| ["--watch-namespace", &*world.namespace]).collect()
    }

    /// Starts one. Whether it gets ready is not waited for: rights may be missing.
    async fn start_operator(&mut self) {
        // What is in doubt is so for six seconds; an outside cause is soon Stalled, so that all can come to rest.
        let flags = [&self.scope()[..], &["--atlas-timeout", "3s", "--stall-after", "3s"]].concat();
        self.operator = Some(self.worlds[0].operator_with_rules_as_they_are(&flags).await);
    }

    fn kill_operator(&mut self) {
        self.logs.extend(self.operator.take().map(Operator::kill));
    }

    /// Takes the operator's rights in a namespace away, or gives them back.
    async fn rights(&self, given: bool) {
        let (plane, account) = (&self.shared.plane, self.worlds[0].account());
        if given {
            rules::apply(plane, account, &self.bindings).await;
        } else {
            rules::take_away(plane, account, &self.bindings).await;
        }
    }

    /// Moves the times at which the operator noted its last writes, which are those of its clock.
    async fn shift(&self, hours: i64) {
        let moved = |time: &Value| -> Option<String> {
            let time: jiff::Timestamp = time.as_str()?.parse().unwrap();
            Some((time + jiff::SignedDuration::from_hours(hours)).to_string())
        };
        for (slot, object) in self.objects().await {
            let (name, world) = (name(slot), &self.worlds[namespace(slot)]);
            let api = world.api(KIND, Some(&world.namespace));
            let claim = object["metadata"]["annotations"][CLAIM].as_str();
            if let Some(mut claim) = claim.and_then(|text| serde_json::from_str::<Value>(text).ok())
                && let Some(time) = moved(&claim["time"])
            {
                claim["time"] = time.into();
                let change = json!({"metadata": {"annotations": {CLAIM: claim.to_string()}}});
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
            }
            if let Some(time) = moved(&object["status"]["attempt"]["time"]) {
                let change = json!({"status": {"attempt": {"time": time}}});
                api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
            }
        }
    }

    fn note(&mut self, about: About, text: String) {
        self.history.push((Instant::now(), about, text));
    }

    /// What happened to a place, or to all, and how Atlas's store changed there; names and times only.
    pub fn history(&self, place: Place) -> String {
        let concerns = |about: &About| match *about {
            About::All => true,
            About::Place(at) => at == place,
            About::Project(project) => project == place.project,
            About::Namespace(of) => {
                self.lives.iter().any(|life| life.place == place && namespace(life.slot) == of)
            }
        };
        let mut lines: Vec<(Instant, String)> = self
            .history
            .iter()
            .filter(|(_, about, _)| concerns(about))
            .map(|(at, _, text)| (*at, text.clone()))
            .collect();
        for change in self.changes(place) {
            let by = change.by.map_or("others".to_owned(), |sequence| format!("request {sequence}"));
            let fields = match (&change.before, &change.after) {
                (Some(before), Some(after)) => format!("changed in {}", differing(before, after).join(", ")),
                (None, _) => "created".to_owned(),
                (_, None) => "deleted".to_owned(),
            };
            lines.push((change.at, format!("    store: {fields} by {by}")));
        }
        for exchange in self.projects[place.project].exchanges() {
            if exchange.integration_type.as_deref() == Some(place.kind) && exchange.is_write() {
                let text = format!(
                    "    request {}: {} answered {} {}{}",
                    exchange.sequence,
                    exchange.method,
                    exchange.status,
                    exchange.error_code.unwrap_or_default(),
                    if exchange.faulted { " (fault)" } else { "" }
                );
                lines.push((exchange.at, text));
            }
        }
        lines.sort();
        let line = |(at, text): &(Instant, String)| {
            format!("{:8.3} {text}", at.saturating_duration_since(self.begun).as_secs_f64())
        };
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// How a place in Atlas came to be as it is.
    pub fn changes(&self, place: Place) -> Vec<Change> {
        let mut changes = self.projects[place.project].changes();
        changes.retain(|change| change.integration_type == place.kind);
        changes
    }

    /// The log of all operators so far.
    pub fn logs(&self) -> String {
        self.logs.concat() + &self.operator.as_ref().map(|operator| operator.logs()).unwrap_or_default()
    }

    /// The metrics of the present operator.
    pub async fn metrics(&self) -> String {
        self.operator.as_ref().unwrap().get("/metrics").await.unwrap()
    }

    /// The objects that are there, by slot.
    pub async fn objects(&self) -> BTreeMap<usize, Value> {
        let mut objects = BTreeMap::new();
        for world in &self.worlds {
            for object in world.list(KIND).await {
                let slot = object["metadata"]["name"].as_str().unwrap()[1..].parse().unwrap();
                objects.insert(slot, object);
            }
        }
        objects
    }

    /// The Secrets of a slot's namespace, by name.
    pub async fn secrets(&self, slot: usize) -> BTreeMap<String, Value> {
        let all = self.worlds[namespace(slot)].list("Secret").await;
        all.into_iter()
            .map(|secret| (secret["metadata"]["name"].as_str().unwrap().to_owned(), secret))
            .collect()
    }

    /// The place of an object.
    pub fn place(&self, object: &Value) -> Place {
        let project = self.projects.iter().position(|project| object["spec"]["projectId"] == project.id());
        let kind = catalog::names().find(|kind| object["spec"]["type"] == *kind).unwrap();
        Place { project: project.unwrap(), kind }
    }

    /// Does one thing; what no longer fits (an edit of what is not there) does nothing.
    pub async fn act(&mut self, action: &Action) {
        *self.counts.entry(action.kind()).or_default() += 1;
        match action {
            Action::Create { slot, place, shape } => {
                self.create(*slot, *place, shape).await;
            }
            Action::Edit { slot, edit } => self.edit(*slot, edit).await,
            Action::Delete { slot } => self.delete(*slot).await,
            Action::Recreate { slot, place, shape } => {
                self.delete(*slot).await;
                let begun = Instant::now();
                while !self.create(*slot, *place, shape).await && begun.elapsed() < NAME_FREE {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Action::Secret { namespace, secret, content, anew } => {
                self.note(
                    About::Namespace(*namespace),
                    format!("Secret {namespace}/{} is {content:?}", secret_name(*secret)),
                );
                self.secret(*namespace, *secret, *content, *anew).await;
            }
            Action::Credentials { namespace, state } => {
                self.note(
                    About::Namespace(*namespace),
                    format!("credentials of namespace {namespace} are {state:?}"),
                );
                self.credentials(*namespace, *state).await;
            }
            Action::Outside { place, what, number } => self.outside(*place, *what, *number).await,
            Action::Fault { project, operation, effect, times } => {
                self.note(
                    About::Project(*project),
                    format!("fault in project {project}, {operation:?}: {effect:?} x {times}"),
                );
                let mut fault = Fault::new(effect.clone()).times(*times);
                fault.when.operation = *operation;
                self.projects[*project].fault(fault);
            }
            Action::Kill { away } => {
                self.note(About::All, format!("the operator is killed and away for {away:?}"));
                self.kill_operator();
                tokio::time::sleep(*away).await;
                self.start_operator().await;
            }
            Action::Clock { hours } => {
                self.note(About::All, format!("the operator's clock was wrong by {hours} hours"));
                self.kill_operator();
                self.shift(*hours).await;
                self.start_operator().await;
            }
            Action::Rights { given } => {
                let are = if *given { "given back" } else { "taken away" };
                self.note(About::Namespace(REFUSED), format!("the operator's rights are {are}"));
                self.rights(*given).await;
            }
            Action::Stop { away } => {
                self.note(About::All, format!("the operator is stopped for {away:?}"));
                let operator = self.operator.as_ref().unwrap();
                operator.pause();
                tokio::time::sleep(*away).await;
                operator.resume();
            }
            Action::ApiServer => {
                self.note(About::All, "the API server is killed".to_owned());
                tokio::task::block_in_place(|| {
                    self.shared.plane.kill_apiserver().unwrap();
                    self.shared.plane.start_apiserver().unwrap();
                });
                self.note(About::All, "the API server is back".to_owned());
                for world in &self.worlds {
                    let api = world.api("Namespace", None);
                    until_found("an answer of the API server", async || api.get(&world.namespace).await.ok())
                        .await;
                }
            }
        }
    }

    /// All that keeps good namespaces from coming to rest ends: faults, and credentials that are bad. An operator starts
    /// that has no rights in one namespace, and another namespace's key stays revoked.
    pub async fn end_churn(&mut self) {
        for project in &self.projects {
            project.clear_faults();
        }
        for namespace in 0..COMMON {
            self.credentials(namespace, Credentials::Good).await;
        }
        self.credentials(TENANT, Credentials::Revoked).await;
        self.kill_operator();
        self.rights(false).await;
        self.start_operator().await;
        self.note(About::All, "the churn has ended for the good namespaces".to_owned());
    }

    /// The same for the other namespaces.
    pub async fn end_refusals(&mut self) {
        self.rights(true).await;
        self.credentials(TENANT, Credentials::Good).await;
        self.note(About::All, "the churn has ended".to_owned());
    }

    /// Whether the object was created; not if one of the name is there.
    async fn create(&mut self, slot: usize, place: Place, shape: &Shape) -> bool {
        let world = &self.worlds[namespace(slot)];
        let settings = catalog::settings(place.kind, shape.variant, &secret_name(shape.secret));
        let mut spec = json!({
            "projectId": self.projects[place.project].id(),
            "type": place.kind,
            "credentialsSecretRef": {"name": if slot == WRONG { "atlas-wrong" } else { "atlas" }},
            "managementPolicy": shape.management,
            "adoptionPolicy": shape.adoption,
            "deletionPolicy": shape.deletion,
            "suspend": shape.suspend,
        });
        merge(&mut spec, &settings);
        let spec = catalog::without_nulls(&spec);
        let from = Instant::now();
        match world.try_create(&world.manifest(&name(slot), &spec)).await {
            Ok(object) => {
                let suspended = if shape.suspend { ", suspended" } else { "" };
                let policies =
                    format!("{}, {:?}, {:?}{suspended}", shape.management, shape.adoption, shape.deletion);
                self.note(
                    About::Place(place),
                    format!("{} created: {policies}, keys-{}", name(slot), shape.secret),
                );
                self.lived(slot, &object, from);
                true
            }
            Err(kube::Error::Api(status)) if status.code == 409 => false,
            Err(error) => panic!("{} can't be created: {error}", name(slot)),
        }
    }

    /// Notes what an object is from now on.
    fn lived(&mut self, slot: usize, object: &Value, from: Instant) {
        let now = Instant::now();
        let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
        self.died(slot, now);
        let spec = &object["spec"];
        let manages = spec["managementPolicy"] != "Observe";
        self.lives.push(Life {
            slot,
            place: self.place(object),
            uid,
            manages,
            adopts: spec["adoptionPolicy"] == "Adopt",
            lax: !manages || spec["deletionPolicy"] == "Retain" || spec["suspend"] == true,
            from,
            until: None,
        });
    }

    fn died(&mut self, slot: usize, at: Instant) {
        for life in self.lives.iter_mut().filter(|life| life.slot == slot && life.until.is_none()) {
            life.until = Some(at);
        }
    }

    async fn edit(&mut self, slot: usize, edit: &Edit) {
        let world = &self.worlds[namespace(slot)];
        let Some(object) = world.get(KIND, &name(slot)).await else { return };
        let place = self.place(&object);
        let request = |what: &str| {
            let name = format!("atlas-integrations.dev/{what}-requested-at");
            json!({"metadata": {"annotations": {name: format!("{:?}", self.begun.elapsed())}}})
        };
        let spec = |change: Value| json!({"spec": change});
        let change = match edit {
            Edit::Settings(variant, secret) => {
                spec(catalog::settings(place.kind, *variant, &secret_name(*secret)))
            }
            Edit::Secret(secret) => {
                spec(catalog::referring_to(place.kind, &object["spec"], &secret_name(*secret)))
            }
            Edit::Management(policy) => spec(json!({"managementPolicy": policy})),
            Edit::Adoption(policy) => spec(json!({"adoptionPolicy": policy})),
            Edit::Deletion(policy) => spec(json!({"deletionPolicy": policy})),
            Edit::Suspend(suspend) => spec(json!({"suspend": suspend})),
            Edit::LookNow => request("reconcile"),
            Edit::RewriteNow => request("rewrite"),
        };
        let from = Instant::now();
        let api = world.api(KIND, Some(&world.namespace));
        match api.patch(&name(slot), &PatchParams::default(), &Patch::Merge(&change)).await {
            Ok(object) => {
                let object = serde_json::to_value(object).unwrap();
                self.note(About::Place(place), format!("{}: {edit:?}", name(slot)));
                self.lived(slot, &object, from);
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{edit:?} of {}: {error}", name(slot)),
        }
    }

    /// Deletes a slot's object, if it is there.
    pub async fn delete(&mut self, slot: usize) {
        let world = &self.worlds[namespace(slot)];
        let Some(object) = world.get(KIND, &name(slot)).await else { return };
        let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        // Gone meanwhile is fine.
        let _ = world.api(KIND, Some(&world.namespace)).delete(&name(slot), &params).await;
        let place = self.place(&object);
        self.note(About::Place(place), format!("{} deleted", name(slot)));
    }

    async fn secret(&self, namespace: usize, secret: usize, content: Content, anew: bool) {
        let (world, name) = (&self.worlds[namespace], secret_name(secret));
        let api = world.api("Secret", Some(&world.namespace));
        if anew || content == Content::Missing {
            // Not there already is fine.
            let _ = api.delete(&name, &DeleteParams::default()).await;
        }
        if content == Content::Missing {
            return;
        }
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": catalog::values(content)});
        let object = serde_json::from_value(object).unwrap();
        let replaced = match api.get_opt(&name).await.unwrap() {
            Some(_) => api.replace(&name, &PostParams::default(), &object).await,
            None => api.create(&PostParams::default(), &object).await,
        };
        replaced.unwrap();
    }

    async fn credentials(&self, namespace: usize, state: Credentials) {
        let world = &self.worlds[namespace];
        let account = namespace == 2;
        let public = if account { ACCOUNT.to_owned() } else { format!("{PUBLIC_KEY}{namespace}") };
        let private = format!("{PRIVATE}-{namespace}");
        for project in &self.projects {
            match (state, account) {
                (Credentials::Revoked, true) => project.revoke_service_account(&public),
                (Credentials::Revoked, false) => project.revoke_key(&public),
                (_, true) => project.allow_service_account(&public, &private),
                (_, false) => project.allow_key(&public, &private),
            }
        }
        let keys = if account { ["clientId", "clientSecret"] } else { ["publicApiKey", "privateApiKey"] };
        let given = if state == Credentials::Wrong { "wrong-canaryPRIVATE" } else { &private };
        let api = world.api("Secret", Some(&world.namespace));
        if state == Credentials::Missing {
            let _ = api.delete("atlas", &DeleteParams::default()).await;
            return;
        }
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "atlas"},
            "stringData": {keys[0]: public, keys[1]: given}});
        let object = serde_json::from_value(object).unwrap();
        let replaced = match api.get_opt("atlas").await.unwrap() {
            Some(_) => api.replace("atlas", &PostParams::default(), &object).await,
            None => api.create(&PostParams::default(), &object).await,
        };
        replaced.unwrap();
    }

    /// Whether any object of a place holds it, by finalizer or status.
    async fn is_kept(&self, place: Place) -> bool {
        self.objects().await.values().any(|object| {
            self.place(object) == place
                && (object["metadata"]["finalizers"].is_array() || !object["status"]["applied"].is_null())
        })
    }

    async fn outside(&mut self, place: Place, what: Outside, number: u32) {
        let project = self.projects[place.project].clone();
        let stored = project.stored_type(place.kind);
        match (what, stored) {
            (Outside::Create, None) => {
                let before = self.is_kept(place).await;
                let at = Instant::now();
                project.replace_by_other(catalog::foreign(place.kind, number));
                let id = project.stored_type(place.kind).map(|entry| entry["id"].clone());
                if let (false, false, Some(id)) = (before, self.is_kept(place).await, id) {
                    self.foreign.push(Foreign { place, id, at });
                }
            }
            (Outside::Edit, Some(_)) => {
                project.edit(place.kind, |entry| catalog::change_visibly(entry, number));
            }
            (Outside::Put, Some(mut entry)) => {
                catalog::change_visibly(&mut entry, number);
                project.replace_by_other(entry);
            }
            (Outside::Hidden, Some(mut entry)) => {
                catalog::change_secret(&mut entry, number);
                project.replace_by_other(entry);
            }
            (Outside::Delete, Some(_)) => {
                project.remove_by_other(place.kind);
            }
            _ => return,
        }
        self.note(About::Place(place), format!("others: {what:?}"));
    }

    /// Asks for a rewrite of one object, which makes its repairs free again.
    pub async fn rewrite(&mut self, slot: usize) {
        self.edit(slot, &Edit::RewriteNow).await;
    }

    /// What must hold of every write on the way, whatever the end.
    pub fn broken_on_the_way(&self) -> Vec<(Place, String)> {
        let mut broken = Vec::new();
        for place in of_others() {
            let tried = self.projects[place.project].count(|exchange| {
                exchange.integration_type.as_deref() == Some(place.kind)
                    && exchange.operation.is_some_and(Operation::writes)
            });
            if tried > 0 {
                broken.push((place, format!("{tried} writes to what is others', without consent")));
            }
        }
        let mut places: BTreeSet<Place> = self.lives.iter().map(|life| life.place).collect();
        places.extend(of_others());
        for place in places {
            let lives: Vec<&Life> = self.lives.iter().filter(|life| life.place == place).collect();
            let changes = self.changes(place);
            for change in changes.iter().filter(|change| change.by.is_some()) {
                // A write may land some seconds after the object that it was for changed or went.
                let late = Duration::from_secs(15);
                let managed = lives.iter().any(|life| {
                    life.manages
                        && life.from <= change.at
                        && life.until.is_none_or(|until| change.at <= until + late)
                });
                if !managed {
                    broken.push((place, "a write where no object manages".to_owned()));
                }
            }
            for foreign in self.foreign.iter().filter(|foreign| foreign.place == place) {
                if let Some(text) = self.foreign_overwritten(foreign, &changes, &lives) {
                    broken.push((place, text));
                }
            }
        }
        broken
    }

    /// Follows what others made where nobody was, until others remove it: without consent it is not ours to change.
    fn foreign_overwritten(&self, foreign: &Foreign, changes: &[Change], lives: &[&Life]) -> Option<String> {
        let mut id = foreign.id.clone();
        for change in changes {
            let Some(before) = change.before.as_ref().filter(|before| before["id"] == id) else { continue };
            let Some(by) = change.by else {
                match &change.after {
                    Some(after) => id = after["id"].clone(),
                    None => return None,
                }
                continue;
            };
            let consented = lives.iter().any(|life| {
                life.adopts
                    && life.manages
                    && life.from <= change.at
                    && life.until.is_none_or(|until| until >= foreign.at)
            });
            if consented {
                return None;
            }
            return Some(format!(
                "request {by} changed {}, which is others', without consent",
                before["type"]
            ));
        }
        None
    }
}

/// The fields in which two entries differ, or an entry and what is wanted.
pub fn differing(one: &Value, other: &Value) -> Vec<String> {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else {
        return vec!["everything".into()];
    };
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    names.into_iter().filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}
