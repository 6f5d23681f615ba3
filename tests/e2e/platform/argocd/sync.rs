//! Argo CD's sync engine on a real API server, set up by `deploy/argocd`, with the real operator: waves that wait for
//! health, a second sync without a difference, self-healing, and pruning in the right order (`make test-argocd`).

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;

use atlas_integration_stage::samples::{self, datadog};
use control_plane::{Options, Tool, spawn_tied};
use rstest::rstest;
use serde_json::{Value, json};

use super::{REQUEST, SETTINGS};
use crate::world::states::{NAME, State};
use crate::world::{PRIVATE_KEY, PUBLIC_KEY, Shared, World, condition, message, new_project_id, own, start};

/// A world where what is deleted with its dependents, as Argo CD does, goes: that is a controller's work.
async fn world(name: &str) -> World {
    static PLANE: LazyLock<Shared> =
        LazyLock::new(|| start(Options { controller_manager: true, ..Options::default() }));
    World::on(own(&PLANE).await, name, &new_project_id()).await
}

/// A sync under way.
pub struct Sync {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Sync {
    /// Begins a sync of a folder of manifests, pruning what is no longer there.
    pub fn begin(world: &World, folder: &Path, flags: &[&str]) -> Sync {
        static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| Tool::ArgoSync.locate().unwrap());
        tokio::task::block_in_place(|| {
            let mut command = Command::new(&*PROGRAM);
            command.env_clear().env("KUBECONFIG", world.shared.plane.kubeconfig()).env("HOME", folder);
            command.args(["-prune", "-settings", SETTINGS, "-namespace", &world.namespace]).args(flags);
            let log = folder.join("argo-sync.log");
            command.arg(folder).stdin(Stdio::null()).stdout(Stdio::piped());
            command.stderr(File::create(&log).unwrap());
            let mut child = spawn_tied(command).unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            Sync { child, lines, log }
        })
    }

    /// What it says next; it ends by itself after a minute.
    fn next(&mut self) -> Option<Value> {
        let line = tokio::task::block_in_place(|| self.lines.next())?.unwrap();
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Waits until it waits for the health of this object.
    fn until_waiting(&mut self, object: &str) {
        let what = format!("waiting for healthy state of atlas-integrations.dev/AtlasIntegration/{object}");
        let found = std::iter::from_fn(|| self.next()).find(|line| line["waiting"] == what);
        assert!(found.is_some(), "it never waited: {what}");
    }

    /// Waits for the end: what was done with each resource, in order, and how it ended.
    pub fn end(mut self) -> (Vec<Value>, Value) {
        let mut lines: Vec<Value> = std::iter::from_fn(|| self.next()).collect();
        tokio::task::block_in_place(|| self.child.wait()).unwrap();
        let end = lines.pop().unwrap_or_else(|| panic!("{}", std::fs::read_to_string(&self.log).unwrap()));
        lines.retain(|line| line["resource"].is_string());
        (lines, end)
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        // Where a test has seen enough.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An application: a folder of manifests.
struct App<'a> {
    world: &'a World,
    folder: tempfile::TempDir,
    flags: &'static [&'static str],
}

impl<'a> App<'a> {
    /// Of an object in wave 0, and something that comes after it.
    fn of(world: &'a World, object: Value, flags: &'static [&'static str]) -> App<'a> {
        let app = App { world, folder: tempfile::tempdir().unwrap(), flags };
        app.put(0, object);
        app.put(1, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}}));
        app
    }

    /// The same with the object `x` and its two Secrets, these in wave -1.
    fn new(world: &'a World, spec: &Value, flags: &'static [&'static str]) -> App<'a> {
        let mut object = world.manifest("x", spec);
        object["spec"]["credentialsSecretRef"] = json!({"name": "atlas-api"});
        let app = App::of(world, object, flags);
        for (name, values) in [
            ("atlas-api", json!({"publicApiKey": PUBLIC_KEY, "privateApiKey": PRIVATE_KEY})),
            ("keys", samples::of("DATADOG").secrets.into_iter().collect()),
        ] {
            app.put(-1, json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}));
        }
        app
    }

    fn file(&self, object: &str) -> PathBuf {
        self.folder.path().join(format!("{object}.yaml"))
    }

    fn put(&self, wave: i32, mut object: Value) {
        object["metadata"]["annotations"] = json!({"argocd.argoproj.io/sync-wave": wave.to_string()});
        let name = object["metadata"]["name"].as_str().unwrap();
        std::fs::write(self.file(name), object.to_string()).unwrap();
    }

    fn remove(&self, objects: &[&str]) {
        objects.iter().for_each(|object| std::fs::remove_file(self.file(object)).unwrap());
    }

    fn begin(&self) -> Sync {
        Sync::begin(self.world, self.folder.path(), self.flags)
    }

    /// Syncs, and nothing differs afterwards; what was done with each kind, in order.
    fn sync(&self) -> Vec<String> {
        let (lines, end) = self.begin().end();
        assert_eq!((&end["phase"], &end["differs"]), (&json!("Succeeded"), &json!([])), "{lines:#?} {end}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let kind = |line: &Value| text(&line["resource"]).split(' ').next().unwrap().to_owned();
        lines.iter().map(|line| format!("{} {}", kind(line), text(&line["status"]))).collect()
    }

    fn has_later(&self) -> bool {
        let found =
            ["get", "configmap", "later", "-n", &self.world.namespace, "--ignore-not-found", "-o", "name"];
        !self.world.shared.kubectl(&found).is_empty()
    }

    /// All resource versions.
    fn versions(&self) -> String {
        let columns = "-o=custom-columns=N:.metadata.name,V:.metadata.resourceVersion";
        let kinds = "atlasintegrations,secrets,configmaps";
        self.world.shared.kubectl(&["get", kinds, "-n", &self.world.namespace, columns])
    }

    /// Where the last such write stands in the server's log.
    fn last(&self, verbs: &[&str], resource: &str, name: &str) -> usize {
        let events = self.world.shared.plane.audit().unwrap();
        let found = events.iter().rposition(|event| {
            event.namespace == self.world.namespace
                && verbs.contains(&&*event.verb)
                && (&*event.resource, &*event.name) == (resource, name)
                && event.code < 300
        });
        found.unwrap_or_else(|| panic!("no {verbs:?} of {resource} {name}"))
    }
}

/// From the first sync to the last, applied by the client and by the server.
#[rstest]
#[case::client("client", &[])]
#[case::server("server", &["-server-side"])]
#[tokio::test(flavor = "multi_thread")]
async fn synced_healed_and_pruned(#[case] name: &str, #[case] flags: &'static [&'static str]) {
    let world = world(&format!("argo-sync-{name}")).await;
    let app = App::new(&world, &samples::of("DATADOG").spec, flags);
    let _operator = world.operator(&[]).await;

    let expected = ["Secret", "Secret", "AtlasIntegration", "ConfigMap"].map(|kind| format!("{kind} Synced"));
    assert_eq!(app.sync(), expected);
    let x = world.object("x");
    let object = x.synced().await;
    assert!(object["metadata"]["finalizers"].is_array(), "{object:#}");
    let versions = app.versions();
    assert_eq!(app.sync(), expected);
    assert_eq!(app.versions(), versions, "a second sync changes nothing");

    // What Git says comes back; what it does not say, as the actions set it, stays.
    let change = json!({"metadata": {"annotations": {(REQUEST): "now"}},
        "spec": {"suspend": false, "datadog": {"region": "EU"}}});
    x.patch(&change).await.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
    app.sync();
    let object = x.synced().await;
    assert_eq!(world.stored_datadog("region"), "US5");
    assert_eq!(object["metadata"]["annotations"][REQUEST], "now");
    assert_eq!(object["spec"]["suspend"], false);

    app.remove(&["later", "x", "keys", "atlas-api"]);
    let expected = ["ConfigMap", "AtlasIntegration", "Secret", "Secret"].map(|kind| format!("{kind} Pruned"));
    assert_eq!(app.sync(), expected);
    assert!(world.project.stored().is_empty(), "deleted in Atlas");
    let released = app.last(&["patch", "update"], "atlasintegrations", "x");
    for secret in ["keys", "atlas-api"] {
        assert!(app.last(&["delete"], "secrets", secret) > released, "{secret} is needed until then");
    }
}

/// A later wave waits as long as an object is not healthy, and as long as it is suspended.
#[rstest]
#[case::secret("secret", json!({}), "SecretNotFound")]
#[case::suspended("suspended", json!({"suspend": true}), "Suspended")]
#[tokio::test(flavor = "multi_thread")]
async fn a_later_wave_waits(#[case] name: &str, #[case] spec: Value, #[case] reason: &str) {
    let world = world(&format!("argo-wave-{name}")).await;
    let app = App::new(&world, &datadog(spec), &[]);
    app.remove(&["keys"]);
    let _operator = world.operator(&[]).await;
    let mut sync = app.begin();
    sync.until_waiting("x");
    let x = world.object("x");
    x.reaches("False", reason).await;
    assert!(!app.has_later());
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    x.change(&json!({"suspend": false})).await;
    let (lines, end) = sync.end();
    assert_eq!(end["phase"], "Succeeded", "{lines:#?} {end}");
    x.synced().await;
    let resumed = app.last(&["patch"], "secrets", "keys");
    assert!(app.last(&["create", "patch"], "configmaps", "later") > resumed);
}

/// What a sync makes of an object that it finds in each state: it goes on to the later wave, waits, or fails with the
/// operator's own words.
#[rstest]
#[case::new(State::New, "waits")]
#[case::edited(State::Edited, "waits")]
#[case::working(State::Working, "waits")]
#[case::writing(State::Writing, "waits")]
#[case::ready(State::Ready, "Succeeded")]
#[case::waiting(State::Waiting, "waits")]
#[case::stalled(State::Stalled, "Failed")]
#[case::refused(State::Refused, "Failed")]
#[case::suspended(State::Suspended, "waits")]
#[case::drifted(State::Drifted, "Succeeded")]
#[case::deleting(State::Deleting, "waits")]
#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_each_state(#[case] state: State, #[case] expected: &str) {
    let world = world("argo-state").await;
    let reached = state.reach(&world).await;
    let app = App::of(&world, reached.manifest, &[]);
    let mut sync = app.begin();
    if expected == "waits" {
        sync.until_waiting(NAME);
    } else {
        let (lines, end) = sync.end();
        assert_eq!(end["phase"], expected, "{lines:#?} {end}");
        if expected == "Failed" {
            let told = lines.iter().find(|line| line["resource"] == format!("AtlasIntegration {NAME}"));
            assert_eq!(told.unwrap()["message"], message(&reached.live));
        }
    }
    assert_eq!(app.has_later(), expected == "Succeeded");
}

/// Without waves all is deleted at once, and nothing is waited for. An operator that was not there and so remembers no
/// key can't delete in Atlas then, until the Secret is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_pruned_too_early() {
    let world = world("argo-early").await;
    let app = App::new(&world, &samples::of("DATADOG").spec, &[]);
    let operator = world.operator(&[]).await;
    app.sync();
    operator.stop().await;
    for file in ["x", "keys", "atlas-api"] {
        let mut object: Value = serde_json::from_slice(&std::fs::read(app.file(file)).unwrap()).unwrap();
        object["metadata"].as_object_mut().unwrap().remove("annotations");
        std::fs::write(app.file(file), object.to_string()).unwrap();
    }
    app.sync();
    app.remove(&["later", "x", "keys", "atlas-api"]);
    app.sync();
    let _operator = world.operator(&[]).await;
    let waits = |object: &Value| {
        condition(object, "Ready")["reason"] == "SecretNotFound"
            && message(object).starts_with("deletion waits")
    };
    let x = world.object("x");
    x.until("waiting for its Secret", waits).await;
    assert_eq!(world.project.stored().len(), 1);
    world.secret("atlas-api", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY)]).await;
    x.gone().await;
    assert!(world.project.stored().is_empty(), "deleted in Atlas");
}
