//! Waiting for objects with the tools that people wait with: Helm 4 on a chart of objects, Flux's engine on a folder of
//! them, both by kstatus, and `kubectl wait`.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::{Effect, Fault};
use control_plane::Tool;
use rstest::rstest;
use serde_json::{Value, json};

use crate::platform::kstatus::verdicts;
use crate::world::helm::{fails, helm, succeeds};
use crate::world::states::{NAME, State};
use crate::world::{PRIVATE_KEY, PUBLIC_KEY, World, condition};

/// Makes a chart `objects` of this object.
pub fn chart_of(object: &Value, folder: &Path) {
    let templates = folder.join("templates");
    std::fs::create_dir_all(&templates).unwrap();
    std::fs::write(templates.join("x.yaml"), object.to_string()).unwrap();
    let chart = json!({"apiVersion": "v2", "name": "objects", "version": "1.0.0"});
    std::fs::write(folder.join("Chart.yaml"), chart.to_string()).unwrap();
}

/// `helm upgrade --install --wait` of a chart of this object, which may be there already.
fn install_and_wait(world: &World, object: &Value, limit: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    chart_of(object, folder.path());
    let chart = folder.path().to_str().unwrap();
    let args = [
        "upgrade",
        "--install",
        "objects",
        chart,
        "--namespace",
        &world.namespace,
        "--take-ownership",
        "--wait",
        "--timeout",
        limit,
    ];
    tokio::task::block_in_place(|| helm(Some(world.shared.plane.kubeconfig()), &args))
}

/// One reconciliation by Flux's engine of a Kustomization with this folder.
pub fn flux_sync(world: &World, flags: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(Tool::FluxSync.locate().unwrap());
    command.env_clear().env("KUBECONFIG", world.shared.plane.kubeconfig());
    command.args(["-name", &world.namespace]).args(flags).arg(folder);
    tokio::task::block_in_place(|| command.output().unwrap())
}

/// Helm is done when the object is ready, and not before: with a new object that nobody has looked at, and with an
/// edited one that still says Ready.
#[tokio::test(flavor = "multi_thread")]
async fn helm_waits_until_ready() {
    let world = World::with_datadog_key("helm-ready").await;
    let object = world.manifest("x", &samples::of("DATADOG").spec);
    // Nobody looks at it.
    let told = fails(install_and_wait(&world, &object, "3s"));
    assert!(told.contains("AtlasIntegration") && told.contains("InProgress"), "{told}");

    let operator = world.operator(&[]).await;
    succeeds(install_and_wait(&world, &object, "60s"));
    let x = world.object("x");
    let ready = x.get().await;
    assert_eq!(condition(&ready, "Ready")["status"], "True");
    assert_eq!(world.stored_datadog("region"), "US5");

    let object = world.manifest("x", &datadog(json!({"datadog": {"region": "EU"}})));
    succeeds(install_and_wait(&world, &object, "60s"));
    assert_eq!(world.stored_datadog("region"), "EU");

    operator.stop().await;
    let object = world.manifest("x", &datadog(json!({"datadog": {"region": "US3"}})));
    let told = fails(install_and_wait(&world, &object, "3s"));
    assert!(told.contains("InProgress"), "{told}");
    let ready = x.get().await;
    assert_eq!(condition(&ready, "Ready")["status"], "True", "what it said of the spec before");
}

/// The verdict of both kstatus libraries on an object in each state, and what Helm and Flux make of it: Current ends the
/// wait well, Failed long before its time, and the others not at all. Helm then says the words.
#[rstest]
#[case::new(State::New, "InProgress", "")]
#[case::edited(State::Edited, "InProgress", "")]
#[case::working(State::Working, "InProgress", "Atlas answered 503")]
#[case::writing(State::Writing, "InProgress", "")]
#[case::ready(State::Ready, "Current", "")]
#[case::waiting(State::Waiting, "InProgress", "Secret keys does not exist")]
#[case::stalled(State::Stalled, "Failed", "Secret keys does not exist")]
#[case::refused(State::Refused, "Failed", "Atlas answered 400")]
#[case::suspended(State::Suspended, "Current", "")]
#[case::suspended_owing(State::SuspendedOwing, "InProgress", "the object is suspended, and Atlas has not")]
#[case::observed(State::Observed, "Current", "")]
#[case::drifted(State::Drifted, "Current", "")]
#[case::deleting(State::Deleting, "Terminating", "Resource scheduled for deletion")]
#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_each_state(#[case] state: State, #[case] verdict: &str, #[case] words: &str) {
    let world = World::new("waits").await;
    let reached = state.reach(&world).await;
    assert_eq!(verdicts(&[reached.live]), [verdict]);

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.yaml"), reached.manifest.to_string()).unwrap();
    let in_time = |wait: &dyn Fn() -> Output| {
        let begun = Instant::now();
        let output = wait();
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        output
    };
    // Half a second more than the rounds of Flux's engine: where its last one meets the end, its client says that there
    // is no time left, and nothing of the object.
    let limit = if matches!(verdict, "Current" | "Failed") { "10m" } else { "4500ms" };
    let helm = |limit: &str| install_and_wait(&world, &reached.manifest, limit);
    let flux = |limit: &str| flux_sync(&world, &["-wait", "-timeout", limit], folder.path());
    let told = [in_time(&|| helm(limit)), in_time(&|| flux(limit))];
    if verdict == "Current" {
        for output in told {
            succeeds(output);
        }
    } else {
        let [helm, flux] = told.map(fails);
        let object = format!("AtlasIntegration/{}/{NAME}", world.namespace);
        assert!(helm.contains(&format!("{object} not ready. status: {verdict}, message: {words}")), "{helm}");
        assert!(flux.contains(&format!("{object} status: '{verdict}'")), "{flux}");
    }
    // What may still come right does.
    if matches!(state, State::Waiting | State::Stalled) {
        world.secret("keys", &samples::of("DATADOG").secrets).await;
        // Until the operator has seen that, what has stalled is what it was.
        if state == State::Stalled {
            world.object(NAME).synced().await;
        }
        succeeds(helm("60s"));
        succeeds(flux("60s"));
    }
}

/// `helm uninstall --wait` is done when Atlas has confirmed the deletion. Where that takes too long, the release is gone
/// all the same, and the object goes when it can, as docs/uninstall.md says.
#[tokio::test(flavor = "multi_thread")]
async fn helm_waits_until_gone() {
    let world = World::with_datadog_key("helm-gone").await;
    let _operator = world.operator(&[]).await;
    let uninstall = |limit: &str| {
        let args = ["uninstall", "objects", "--namespace", &world.namespace, "--wait", "--timeout", limit];
        tokio::task::block_in_place(|| helm(Some(world.shared.plane.kubeconfig()), &args))
    };
    let object = world.manifest("x", &samples::of("DATADOG").spec);
    succeeds(install_and_wait(&world, &object, "60s"));
    succeeds(uninstall("60s"));
    assert!(world.object("x").find().await.is_none());
    assert_eq!(world.project.stored_type("DATADOG"), None);

    succeeds(install_and_wait(&world, &object, "60s"));
    world.project.fault(Fault::new(Effect::Unauthorized).always());
    let told = fails(uninstall("3s"));
    assert!(told.contains("x still exists. status: Terminating"), "{told}");
    assert!(fails(uninstall("3s")).contains("release: not found"));
    world.project.clear_faults();
    world.shared.documented("uninstall.md", "wait --for=delete", &[("NAMESPACE", &world.namespace)]);
    assert_eq!(world.project.stored_type("DATADOG"), None);
}

/// The commands of docs/conditions.md.
#[tokio::test(flavor = "multi_thread")]
async fn kubectl_waits() {
    let world = World::new("kubectl-wait").await;
    let wait = |name: &str, kind: &str, limit: &str| {
        let (condition, object) = (format!("--for=condition={kind}"), format!("atlasintegration/{name}"));
        let limit = format!("--timeout={limit}");
        world.shared.try_kubectl(&["wait", &condition, &object, &limit, "-n", &world.namespace])
    };
    let operator = world.operator(&["--stall-after", "1s"]).await;
    let x = world.datadog("x").await;
    wait("x", "Stalled", "60s").unwrap();
    assert!(wait("x", "Ready", "1s").unwrap_err().to_string().contains("timed out"));
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    wait("x", "Ready", "60s").unwrap();

    // The condition is that of the spec before.
    operator.stop().await;
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    assert!(wait("x", "Ready", "1s").unwrap_err().to_string().contains("timed out"));
    let _operator = world.operator(&[]).await;
    wait("x", "Ready", "60s").unwrap();
    assert_eq!(world.stored_datadog("region"), "EU");
}

/// Flux writes what Git says, and nothing else, and is done when the object is ready.
#[tokio::test(flavor = "multi_thread")]
async fn flux_reconciles() {
    let world = World::with_datadog_key("flux").await;
    let folder = tempfile::tempdir().unwrap();
    let object = world.manifest("x", &samples::of("DATADOG").spec);
    std::fs::write(folder.path().join("x.yaml"), object.to_string()).unwrap();
    let sync = |flags: &[&str]| succeeds(flux_sync(&world, flags, folder.path()));
    let operator = world.operator(&[]).await;
    sync(&["-wait"]);
    let x = world.object("x");
    let ready = x.get().await;
    assert_eq!(condition(&ready, "Ready")["status"], "True");
    // What the operator wrote to the object is not Flux's to take off.
    let told = sync(&["-wait"]);
    assert!(told.contains("unchanged"), "{told}");
    assert_eq!(x.get().await, ready);

    // What somebody edits by hand is put back.
    operator.stop().await;
    let edit = r#"{"spec":{"suspend":true,"datadog":{"region":"EU"}}}"#;
    world.shared.kubectl(&[
        "patch",
        "atlasintegration",
        "x",
        "-n",
        &world.namespace,
        "--type=merge",
        "-p",
        edit,
    ]);
    sync(&[]);
    let object = x.get().await;
    assert_eq!(object["spec"], ready["spec"]);
}

/// Taken out of Git with the Secrets: Flux deletes the object first and does not wait for it, so the operator deletes the
/// integration with the key that it remembers.
#[tokio::test(flavor = "multi_thread")]
async fn flux_prunes_an_object_with_its_secrets() {
    let world = World::new("flux-prune").await;
    let _operator = world.operator(&[]).await;
    let secret = |name: &str, values: &[(&str, &str)]| {
        let data: serde_json::Map<String, Value> =
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": world.namespace},
            "stringData": data})
    };
    let object = world.manifest("x", &datadog(json!({"credentialsSecretRef": {"name": "own"}})));
    let own = secret("own", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY)]);
    let (folder, emptied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (file, object) in
        [("a.yaml", &object), ("b.yaml", &own), ("c.yaml", &secret("keys", &samples::of("DATADOG").secrets))]
    {
        std::fs::write(folder.path().join(file), object.to_string()).unwrap();
    }
    succeeds(flux_sync(&world, &["-wait"], folder.path()));
    let was = folder.path().to_str().unwrap();
    let told = succeeds(flux_sync(&world, &["-was", was, "-terminated"], emptied.path()));
    assert!(told.starts_with("AtlasIntegration/"), "the object goes first: {told}");
    assert!(world.get("Secret", "own").await.is_none());
    assert!(world.object("x").find().await.is_none());
    assert_eq!(world.project.stored_type("DATADOG"), None);
}
