//! `deploy/argocd` on real objects: what Argo CD, set up by it, says of an object in each state, told by Argo CD's own
//! code. The objects are kept beside the scripts, for the tests of `tests/chart/argo.rs`; `UPDATE=1` writes them anew.

pub mod sync;

use atlas_integration_stage::samples;
use control_plane::Tool;
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::helm::succeeds;
use crate::world::states::{NAME, State};
use crate::world::tools;
use crate::world::{World, condition, leaves, shared};

/// The ConfigMap.
const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/argocd/argocd-cm.yaml");
/// The scripts, their tests and the objects.
const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/deploy/argocd/resource_customizations/atlas-integrations.dev/AtlasIntegration"
);
const REQUEST: &str = "atlas-integrations.dev/reconcile-requested-at";

/// Asks Argo CD's Lua machine about an object.
fn ask(object: &Value, args: &[&str]) -> Value {
    let args = [&["-settings", SETTINGS], args].concat();
    let told =
        tokio::task::block_in_place(|| succeeds(tools::ask(Tool::ArgoLua, &args, &object.to_string())));
    serde_json::from_str(&told).unwrap()
}

/// What Argo CD looks at to see whether an Application has to be refreshed, health apart.
fn watched(object: &Value) -> Value {
    ask(object, &[])["watched"].take()
}

/// The object after an action.
fn act(object: &Value, action: &str) -> Value {
    ask(object, &["-action", action])
}

/// What stands in a file for what is another in every run, by its place.
fn placeholder(path: &str) -> Option<&'static str> {
    Some(match path {
        _ if path.ends_with("/uid") => "6c1fd5ac-8a1e-4d5c-9a0e-6e0f5b1c2d3e",
        _ if path.ends_with("/resourceVersion") => "1234",
        _ if path.ends_with("/integration/id") => "5d791c84ff7a2522cc4f9ab1",
        "/status/attempt/id" | "/status/applied/attempt" => "0123456789abcdef0123456789abcdef",
        "/status/applied/fingerprint" => "fedcba9876543210fedcba9876543210",
        // As in Argo CD's own tests.
        "/status/lastHandledReconcileAt" => "0001-01-01T00:00:00Z",
        _ if path.ends_with("/reconcile-requested-at") => "0001-01-01T00:00:00Z",
        _ if ["Time", "/time", "Timestamp", "/released"].iter().any(|end| path.ends_with(end)) => {
            "2026-11-02T09:30:00Z"
        }
        _ => return None,
    })
}

/// The same for what stands in the middle of a text.
fn words(world: &World, object: &Value) -> Vec<(String, &'static str)> {
    let claim = object["metadata"]["annotations"]["atlas-integrations.dev/claim"].as_str();
    let claim: Value = claim.map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default();
    let in_claim = leaves("", &claim).into_iter();
    let in_claim =
        in_claim.filter_map(|(path, value)| Some((value.as_str()?.to_owned(), placeholder(&path)?)));
    let mut words = vec![
        (world.namespace.clone(), "payments"),
        (world.project.id().to_owned(), "5d791c84ff7a2522cc4f9aa1"),
        (world.shared.sim.url().trim_start_matches("http://").to_owned(), "cloud.mongodb.com"),
    ];
    words.extend(in_claim);
    words
}

fn settle(words: &[(String, &'static str)], path: &str, value: &mut Value) {
    match value {
        Value::String(text) => match placeholder(path) {
            Some(placeholder) => *text = placeholder.to_owned(),
            None => {
                *text = words.iter().fold(text.clone(), |text, (word, stable)| text.replace(word, stable))
            }
        },
        Value::Array(values) => values.iter_mut().for_each(|value| settle(words, path, value)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(name, value)| settle(words, &format!("{path}/{name}"), value));
        }
        _ => {}
    }
}

/// The object is the one that is kept in the file, but for what is another in every run.
fn assert_kept(world: &World, object: &Value, file: &str) {
    let mut object = object.clone();
    object["metadata"].as_object_mut().unwrap().remove("managedFields");
    settle(&words(world, &object), "", &mut object);
    let path = format!("{FOLDER}/{file}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, serde_saphyr::to_string(&object).unwrap()).unwrap();
    }
    let kept: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(object, kept, "{file} is not what the operator makes: run this test with UPDATE=1");
}

/// The object is kept in the file, and its health is the one that the file's test tells.
fn assert_health(world: &World, object: &Value, state: &str) {
    let file = format!("testdata/{state}.yaml");
    assert_kept(world, object, &file);
    let tests = std::fs::read_to_string(format!("{FOLDER}/health_test.yaml")).unwrap();
    let tests: Value = serde_saphyr::from_str(&tests).unwrap();
    let test = tests["tests"].as_array().unwrap().iter().find(|test| test["inputPath"] == *file);
    let mut health = ask(object, &[])["health"].take();
    settle(&words(world, object), "", &mut health);
    assert_eq!(health, test.unwrap_or_else(|| panic!("{state} has no test"))["healthStatus"], "{state}");
}

/// The paths at which two objects differ.
fn differences(one: &Value, other: &Value) -> Vec<String> {
    let (one, other) = (leaves("", one), leaves("", other));
    let only = |these: &[(String, &Value)], those: &[(String, &Value)]| -> Vec<String> {
        these.iter().filter(|leaf| !those.contains(leaf)).map(|leaf| leaf.0.clone()).collect()
    };
    let mut found = [only(&one, &other), only(&other, &one)].concat();
    found.sort();
    found.dedup();
    found
}

impl World {
    /// Stores an object as it was changed by an action.
    fn replace(&self, object: &Value) {
        tokio::task::block_in_place(|| {
            self.shared.plane.kubectl_stdin(&["replace", "-f", "-"], &object.to_string()).unwrap()
        });
    }
}

/// The settings go beside those that are there.
#[tokio::test(flavor = "multi_thread")]
async fn the_settings_are_a_patch() {
    let shared = shared().await;
    shared.kubectl(&["create", "namespace", "argocd"]);
    let there =
        ["create", "configmap", "argocd-cm", "-n", "argocd", "--from-literal=url=https://argocd.example.com"];
    shared.kubectl(&there);
    shared.documented("argocd.md", "patch configmap", &[("deploy/argocd/argocd-cm.yaml", SETTINGS)]);
    let stored = shared.get(&["configmap", "argocd-cm", "-n", "argocd"]);
    let patch: Value = serde_saphyr::from_str(&std::fs::read_to_string(SETTINGS).unwrap()).unwrap();
    let mut expected = patch["data"].clone();
    assert_eq!(expected.as_object().unwrap().len(), 3);
    expected["url"] = "https://argocd.example.com".into();
    assert_eq!(stored["data"], expected);
}

/// From its creation on: seen by nobody, in sync, suspended, resumed, looked at on request, and edited.
#[tokio::test(flavor = "multi_thread")]
async fn new_ready_suspended_and_edited() {
    let world = World::with_datadog_key("argo-ready").await;
    let mut object = world.manifest("datadog", &samples::of("DATADOG").spec);
    // Argo CD's own mark, so that annotations are there before the operator's.
    object["metadata"]["annotations"] = json!({"argocd.argoproj.io/tracking-id": "a"});
    let new = world.try_create(&object).await.unwrap();
    assert_health(&world, &new, "new");

    let operator = world.operator(&[]).await;
    let datadog = world.object("datadog");
    let ready = datadog.says("InSync", "True").await;
    assert_health(&world, &ready, "ready");
    assert!(ready["metadata"]["annotations"]["atlas-integrations.dev/claim"].is_string());
    assert_eq!(watched(&new), watched(&ready), "what the operator writes refreshes no Application");
    for (action, changed) in
        [("suspend", "/spec/suspend".to_owned()), ("reconcile", format!("/metadata/annotations/{REQUEST}"))]
    {
        let after = act(&ready, action);
        assert_eq!(differences(&ready, &after), [changed]);
        assert_kept(&world, &after, &format!("actions/testdata/{action}.yaml"));
    }

    world.replace(&act(&ready, "suspend"));
    let suspended = datadog.says("Suspended", "True").await;
    assert_health(&world, &suspended, "suspended");
    let after = act(&suspended, "resume");
    assert_eq!(differences(&suspended, &after), ["/spec/suspend"]);
    assert_kept(&world, &after, "actions/testdata/resume.yaml");
    world.replace(&after);
    let resumed = datadog.says("InSync", "True").await;

    let asked = act(&resumed, "reconcile");
    world.replace(&asked);
    let request = &asked["metadata"]["annotations"][REQUEST];
    datadog.until("looked at", |object| object["status"]["lastHandledReconcileAt"] == *request).await;

    operator.pause();
    let edited = datadog.change(&samples::of("DATADOG").edit.0).await.get().await;
    assert_health(&world, &edited, "edited");
    assert_ne!(watched(&resumed), watched(&edited));
    operator.resume();
    datadog.synced().await;
}

/// What Argo CD is told of objects in the other states.
#[rstest]
#[case::working(State::Working, "working")]
#[case::waiting(State::Waiting, "waiting")]
#[case::stalled(State::Stalled, "stalled")]
#[case::refused(State::Refused, "refused")]
#[case::drifted(State::Drifted, "drifted")]
#[tokio::test(flavor = "multi_thread")]
async fn health(#[case] state: State, #[case] file: &str) {
    let world = World::new(&format!("argo-{file}")).await;
    let reached = state.reach(&world).await;
    assert_health(&world, &reached.live, file);
}

/// Overwritten in Atlas again and again: what is owed was written, so it is no failure, and the message tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn overwritten() {
    let world = World::with_datadog_key("argo-overwritten").await;
    let _operator = world.operator(&[]).await;
    let datadog = world.datadog("datadog").await.in_sync().await;
    let given_up = |object: &Value| condition(object, "InSync")["reason"] == "Overwritten";
    let overwritten = loop {
        world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
        let repaired = || world.stored_datadog("region") == "US5";
        let seen = |object: &Value| given_up(object) || repaired();
        let object = datadog.until("repaired or given up", seen).await;
        if given_up(&object) {
            break object;
        }
    };
    assert_health(&world, &overwritten, "overwritten");
}

/// Argo CD answers for what is being deleted before it asks a script.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_and_blocked() {
    let world = World::new("argo-deleting").await;
    let reached = State::Deleting.reach(&world).await;
    assert_kept(&world, &reached.live, "testdata/deleting.yaml");
    let health = json!({"status": "Progressing", "message": "Pending deletion"});
    assert_eq!(ask(&reached.live, &[])["health"], health);
    world.project.clear_faults();
    world.object(NAME).gone().await;
}
