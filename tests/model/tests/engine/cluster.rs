//! An API server as small as the engine needs it, in memory: lists and watches of the objects and of Secrets' metadata,
//! reads, merge patches that fail when uid or resourceVersion are others, the status apart from the rest, generations,
//! finalizers. Faults and kills come from the script of the history.
//!
//! Left out: schemas and admission, pages and bookmarks, watches that end, access control, field managers, Leases,
//! Namespaces, and the Events themselves, which are taken and forgotten. The end-to-end tests have a real one.

use std::collections::BTreeMap;
use std::convert::Infallible;

use atlas_integration_model::state::Spec;
use atlas_integration_operator::api::{CLAIM_ANNOTATION, FINALIZER, RELEASED_ANNOTATION};
use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::history::NAMES;
use crate::seen::Seen;
use crate::stage::Stage;

/// The one namespace.
const NAMESPACE: &str = "ns";
/// The one project.
pub const PROJECT: &str = "5d791c84ff7a2522cc4f9aa1";
/// The Secret with the credentials for Atlas.
const CREDENTIALS: &str = "atlas";
/// "value-" and a digit, "public" and a UUID in base64.
const VALUES: [&str; 4] = ["dmFsdWUtMA==", "dmFsdWUtMQ==", "dmFsdWUtMg==", "dmFsdWUtMw=="];
const KEY: [&str; 2] = ["cHVibGlj", "MDEyMzQ1NjctODlhYi1jZGVmLTAxMjMtNDU2Nzg5YWJjZGVm"];

type Answer = UnsyncBoxBody<Bytes, Infallible>;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `AtlasIntegration` objects.
    Object,
    /// Secrets.
    Secret,
}

/// What is stored.
pub struct Cluster {
    version: u64,
    objects: BTreeMap<String, Value>,
    secrets: BTreeMap<String, Value>,
    events: Vec<(u64, Kind, Value)>,
    moved: watch::Sender<u64>,
    created: i64,
    forged: u32,
    values: [usize; 2],
}

impl Cluster {
    /// A cluster with the Secrets and nothing else.
    pub fn new() -> Cluster {
        let mut cluster = Cluster {
            version: 1,
            objects: BTreeMap::new(),
            secrets: BTreeMap::new(),
            events: Vec::new(),
            moved: watch::Sender::new(0),
            created: 0,
            forged: 0,
            values: [0, 2],
        };
        cluster.store_secret(CREDENTIALS, json!({"publicApiKey": KEY[0], "privateApiKey": KEY[1]}));
        for secret in 0..2 {
            cluster.store_value(secret);
        }
        cluster
    }

    fn store_value(&mut self, secret: usize) {
        let data = json!({"password": VALUES[self.values[secret]]});
        self.store_secret(&format!("s{secret}"), data);
    }

    fn store_secret(&mut self, name: &str, data: Value) {
        let metadata = json!({"name": name, "namespace": NAMESPACE, "uid": format!("secret-{name}")});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data});
        self.store(Kind::Secret, name, Some(secret));
    }

    /// Stores or removes (`None`), under a new version, and tells the watches.
    fn store(&mut self, kind: Kind, name: &str, item: Option<Value>) -> Value {
        self.version += 1;
        let items = if kind == Kind::Object { &mut self.objects } else { &mut self.secrets };
        let before = items.remove(name);
        let what = match (&before, &item) {
            (None, _) => "ADDED",
            (_, Some(_)) => "MODIFIED",
            (_, None) => "DELETED",
        };
        let mut last = item.clone().or(before).unwrap_or_default();
        last["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if item.is_some() {
            items.insert(name.to_owned(), last.clone());
        }
        self.events.push((self.version, kind, json!({"type": what, "object": shown(kind, &last)})));
        self.moved.send_replace(self.version);
        last
    }

    fn secret_version(&self, name: &str) -> Option<String> {
        self.secrets.get(name)?["metadata"]["resourceVersion"].as_str().map(str::to_owned)
    }

    /// Lets the watch of Secrets make a pass due, without changing anything that counts.
    pub fn poke(&mut self) {
        let secret = self.secrets.get(CREDENTIALS).cloned();
        self.store(Kind::Secret, CREDENTIALS, secret);
    }

    /// A user creates an object.
    pub fn create(&mut self, slot: usize, spec: Spec) {
        let metadata = self.metadata(slot);
        let mut object = json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
            "metadata": metadata});
        object["spec"] = wire(spec);
        self.store(Kind::Object, NAMES[slot], Some(object));
    }

    fn metadata(&mut self, slot: usize) -> Value {
        self.created += 1;
        let created = format!("2026-01-01T00:00:{:02}Z", self.created);
        json!({"name": NAMES[slot], "namespace": NAMESPACE, "uid": format!("uid-{}", self.created), "generation": 1,
            "creationTimestamp": created})
    }

    /// A user edits a spec.
    pub fn edit(&mut self, slot: usize, change: impl FnOnce(&mut Spec)) {
        let Some(mut object) = self.objects.get(NAMES[slot]).cloned() else { return };
        let mut spec = parsed(&object["spec"]);
        change(&mut spec);
        let after = wire(spec);
        if after != object["spec"] {
            object["spec"] = after;
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
            self.store(Kind::Object, NAMES[slot], Some(object));
        }
    }

    /// A user deletes an object.
    pub fn delete(&mut self, slot: usize) {
        let Some(mut object) = self.objects.get(NAMES[slot]).cloned() else { return };
        let held = object["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
        if held {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
        }
        self.store(Kind::Object, NAMES[slot], held.then_some(object));
    }

    /// A user takes claim and finalizer off.
    pub fn strip(&mut self, slot: usize) {
        let Some(mut object) = self.objects.get(NAMES[slot]).cloned() else { return };
        object["metadata"]["finalizers"] = json!([]);
        merge(&mut object["metadata"]["annotations"], &json!({CLAIM_ANNOTATION: null}));
        self.store(Kind::Object, NAMES[slot], Some(object));
    }

    /// A user writes claim and finalizer, and takes the mark of a release off.
    pub fn forge(&mut self, slot: usize) {
        let Some(mut object) = self.objects.get(NAMES[slot]).cloned() else { return };
        self.forged += 1;
        let time = format!("2020-01-01T00:{:02}:{:02}Z", self.forged / 60, self.forged % 60);
        let claim = json!({"uid": object["metadata"]["uid"], "time": time, "sent": {}, "adopted": true});
        object["metadata"]["finalizers"] = json!([FINALIZER]);
        let annotations = json!({CLAIM_ANNOTATION: claim.to_string(), RELEASED_ANNOTATION: null});
        merge(&mut object["metadata"]["annotations"], &annotations);
        self.store(Kind::Object, NAMES[slot], Some(object));
    }

    /// The first object is restored under another uid and name.
    pub fn copy(&mut self, spec: Option<Spec>) {
        let Some(mut object) = self.objects.get(NAMES[0]).cloned() else { return };
        let mut metadata = self.metadata(1);
        for name in ["finalizers", "annotations"] {
            metadata[name] = object["metadata"][name].clone();
        }
        // The status speaks of another generation.
        metadata["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        object["metadata"] = metadata;
        if let Some(spec) = spec {
            object["spec"] = wire(spec);
        }
        self.store(Kind::Object, NAMES[1], Some(object));
    }

    /// The Secret that an object refers to is written again, with another value or with the same.
    pub fn rotate(&mut self, slot: usize, other: bool) {
        let Some(object) = self.objects.get(NAMES[slot]) else { return };
        let secret = usize::from(parsed(&object["spec"]).secret);
        self.values[secret] ^= usize::from(other);
        self.store_value(secret);
    }

    fn seen(&self, name: &str, entry: Option<&str>) -> Option<Seen> {
        let object = self.objects.get(name)?;
        Some(Seen::stored(object, |secret| self.secret_version(secret), entry))
    }

    /// A merge patch; the object as it is then, or the code of the refusal.
    fn patch(&mut self, name: &str, status: bool, change: &Value) -> Result<Value, u16> {
        let object = self.objects.get(name).ok_or(404_u16)?;
        let same = |field: &str| change["metadata"][field] == object["metadata"][field];
        if !same("uid") || !same("resourceVersion") {
            return Err(409);
        }
        let mut after = object.clone();
        if status {
            merge(&mut after["status"], &change["status"]);
        } else {
            merge(&mut after["metadata"], &change["metadata"]);
        }
        if after == *object {
            return Ok(after);
        }
        let gone = after["metadata"]["deletionTimestamp"].is_string()
            && after["metadata"]["finalizers"] == json!([]);
        if gone {
            self.objects.insert(name.to_owned(), after);
            return Ok(self.store(Kind::Object, name, None));
        }
        Ok(self.store(Kind::Object, name, Some(after)))
    }
}

/// RFC 7396.
fn merge(target: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, change) in change {
        if let (true, Value::Object(fields)) = (change.is_null(), &mut *target) {
            fields.remove(name);
        } else {
            merge(&mut target[name], change);
        }
    }
}

fn wire(spec: Spec) -> Value {
    let policy = |on: bool, yes: &'static str, no: &'static str| if on { yes } else { no };
    json!({
        "projectId": PROJECT, "credentialsSecretRef": {"name": CREDENTIALS}, "type": "PROMETHEUS",
        "prometheus": {"username": format!("v{}", spec.visible), "serviceDiscovery": "http",
            "passwordSecretRef": {"name": format!("s{}", spec.secret), "key": "password"}},
        "managementPolicy": policy(spec.observe, "Observe", "Manage"),
        "adoptionPolicy": policy(spec.adopt, "Adopt", "Refuse"),
        "deletionPolicy": policy(spec.retain, "Retain", "Delete"),
        "suspend": spec.suspend,
    })
}

fn parsed(wire: &Value) -> Spec {
    let digit = |text: &Value, before: char| {
        text.as_str().and_then(|text| text.strip_prefix(before)?.parse().ok()).unwrap_or_default()
    };
    Spec {
        visible: digit(&wire["prometheus"]["username"], 'v'),
        secret: digit(&wire["prometheus"]["passwordSecretRef"]["name"], 's'),
        observe: wire["managementPolicy"] == "Observe",
        adopt: wire["adoptionPolicy"] == "Adopt",
        retain: wire["deletionPolicy"] == "Retain",
        suspend: wire["suspend"] == true,
    }
}

/// Of a Secret its metadata only.
fn shown(kind: Kind, item: &Value) -> Value {
    match kind {
        Kind::Object => item.clone(),
        Kind::Secret => json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": item["metadata"]}),
    }
}

/// One request of the engine.
pub async fn serve(stage: &Stage, request: Request<Body>) -> Response<Answer> {
    let (head, body) = request.into_parts();
    let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    let query = head.uri.query().unwrap_or_default();
    match (&head.method, path.as_slice()) {
        (&Method::GET, ["api", "v1", "secrets"]) => many(stage, Kind::Secret, query),
        (&Method::GET, ["apis", _, "v1", "atlasintegrations"]) => many(stage, Kind::Object, query),
        (&Method::GET, ["api", "v1", "namespaces", _, "secrets", name]) => {
            answer(stage.touch().cluster.secrets.get(*name).cloned().ok_or(404))
        }
        (&Method::GET, ["apis", _, "v1", "namespaces", _, "atlasintegrations", name]) => {
            answer(stage.touch().cluster.objects.get(*name).cloned().ok_or(404))
        }
        (&Method::PATCH, ["apis", _, "v1", "namespaces", _, "atlasintegrations", name, part @ ..]) => {
            let Ok(body) = body.collect().await else { return answer(Err(400)) };
            let change = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
            patch(stage, name, part == ["status"], &change).await
        }
        (&Method::GET, ["apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions", name]) => {
            answer(Ok(json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": {"name": name}})))
        }
        (&Method::POST, ["apis", "events.k8s.io", ..]) => {
            let Ok(body) = body.collect().await else { return answer(Err(400)) };
            answer(serde_json::from_slice(&body.to_bytes()).map_err(|_| 400))
        }
        (method, path) => {
            stage.touch().lines.push(format!("unknown request {method} {path:?}"));
            answer(Err(404))
        }
    }
}

async fn patch(stage: &Stage, name: &str, status: bool, change: &Value) -> Response<Answer> {
    if stage.dies_before_store(name) {
        // Whoever asked is dead before it learns anything.
        return std::future::pending().await;
    }
    let mut scene = stage.touch();
    if scene.refuses_to_store(name) {
        return answer(Err(500));
    }
    let entry = scene.atlas.id();
    let before = scene.cluster.seen(name, entry.as_deref());
    // A status that proves a new claim is followed by the claim, which is then the last write before the call. That is so
    // where the object has no proven claim, and where consent overwrites what it did not send.
    let fence = if status {
        let consents = change["status"]["applied"].is_object()
            && before.as_ref().and_then(Seen::sent) != scene.atlas.visible();
        change["status"]["attempt"].is_object()
            && change["status"]["conditions"].is_null()
            && before.as_ref().is_some_and(Seen::holds)
            && !consents
    } else {
        let claim = change["metadata"]["annotations"][CLAIM_ANNOTATION].as_str();
        let claim = claim.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let begun = scene.cluster.objects.get(name).map(|object| object["status"]["attempt"]["time"].clone());
        claim.is_some_and(|claim| Some(&claim["time"]) == begun.as_ref())
    };
    let stored = match scene.cluster.patch(name, status, change) {
        Ok(stored) => stored,
        Err(code) => return answer(Err(code)),
    };
    if let Some(before) = before {
        let after = scene.cluster.seen(name, entry.as_deref());
        let change = Seen::change(&before, after.as_ref());
        if !change.is_empty() {
            let part = if status { "status" } else { "metadata" };
            scene.write(format!("{name} {part}: {change}"));
        }
    }
    if fence && scene.fails_after_fence(name) { answer(Err(500)) } else { answer(Ok(stored)) }
}

fn many(stage: &Stage, kind: Kind, query: &str) -> Response<Answer> {
    let parameter =
        |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    let scene = stage.touch();
    let cluster = &scene.cluster;
    if parameter("watch").is_none() {
        let items = if kind == Kind::Object { &cluster.objects } else { &cluster.secrets };
        let items: Vec<Value> = items.values().map(|item| shown(kind, item)).collect();
        let metadata = json!({"resourceVersion": cluster.version.to_string()});
        return answer(Ok(match kind {
            Kind::Object => json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegrationList",
                "metadata": metadata, "items": items}),
            Kind::Secret => json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                "metadata": metadata, "items": items}),
        }));
    }
    let since: u64 = parameter("resourceVersion").and_then(|(_, version)| version.parse().ok()).unwrap_or(0);
    let (stage, moved) = (stage.clone(), cluster.moved.subscribe());
    let events = stream::unfold((stage, moved, since), move |(stage, mut moved, since)| async move {
        loop {
            moved.borrow_and_update();
            let next = {
                let scene = stage.scene();
                let mut events = scene.cluster.events.iter();
                events.find(|(version, of, _)| *of == kind && *version > since).cloned()
            };
            if let Some((version, _, event)) = next {
                let line = Bytes::from(format!("{event}\n"));
                return Some((Ok::<_, Infallible>(Frame::data(line)), (stage, moved, version)));
            }
            moved.changed().await.ok()?;
        }
    });
    Response::new(StreamBody::new(events).boxed_unsync())
}

fn answer(result: Result<Value, u16>) -> Response<Answer> {
    let (code, value) = match result {
        Ok(value) => (200, value),
        Err(code) => {
            let reason = match code {
                404 => "NotFound",
                409 => "Conflict",
                _ => "InternalError",
            };
            let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
                "reason": reason, "message": "as the history has it"});
            (code, status)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    response
}
