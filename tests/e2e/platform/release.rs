//! The chart as a release on a real API server, with the real operator beside it: what its Deployment would run, under
//! the ServiceAccount, rules, flags and environment that are installed. Installing, upgrading, going back, and
//! uninstalling in every order, as docs/upgrade.md and docs/uninstall.md tell it.

use std::path::Path;
use std::sync::LazyLock;

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::Exchange;
use control_plane::Options;
use serde_json::{Value, json};

use crate::platform::argocd::sync::Sync;
use crate::platform::waits::{chart_of, flux_sync};
use crate::world::helm::{CHART, NAME, ROOT, fails, helm, succeeds};
use crate::world::nodes::Node;
use crate::world::{
    Operator, Shared, World, condition, message, new_project_id, own, start_empty, until_true,
};

const CRD: &str = "atlasintegrations.atlas-integrations.dev";

/// A control plane with the controllers of namespaces and Deployments, and nothing installed.
pub fn with_controllers() -> Shared {
    start_empty(Options { controller_manager: true, ..Options::default() })
}

impl Shared {
    fn helm(&self, args: &[&str]) -> String {
        let args = [args, &["--namespace", NAME]].concat();
        succeeds(tokio::task::block_in_place(|| helm(Some(self.plane.kubeconfig()), &args)))
    }

    fn install(&self, chart: &str, flags: &[&str]) {
        self.helm(&[&["install", NAME, chart, "--create-namespace"], flags].concat());
        self.kubectl(&["wait", "--for=condition=Established", "crd", CRD, "--timeout=60s"]);
    }

    /// Runs a command that a page of the documentation gives: the line of code that begins like this, with what the page
    /// has in capital letters filled in.
    pub fn documented(&self, page: &str, begin: &str, filled: &[(&str, &str)]) -> String {
        let text = std::fs::read_to_string(format!("{ROOT}/docs/{page}")).unwrap().replace("\\\n", " ");
        let begin = format!("kubectl {begin}");
        let mut found =
            text.lines().filter(|line| line.starts_with("    ") && line.trim().starts_with(&begin));
        let line = found.next().unwrap_or_else(|| panic!("no {begin} in {page}")).trim();
        let words = line["kubectl ".len()..].split_whitespace().map(|word| {
            let word = word.trim_matches('\'').to_owned();
            filled.iter().fold(word, |word, (name, value)| word.replace(name, value))
        });
        let words: Vec<String> = words.collect();
        self.kubectl(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub fn get(&self, what: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(&[&["get", "-o", "json"], what].concat())).unwrap()
    }

    /// What the installed Deployment would run, as a process beside it.
    pub async fn beside(&self) -> Operator {
        self.beside_release(NAME).await
    }

    /// The same for the Deployment of a release of this name, in the namespace of that name.
    pub async fn beside_release(&self, release: &str) -> Operator {
        let pod = self.get(&["deployment", release, "-n", release])["spec"]["template"]["spec"].take();
        let container = &pod["containers"][0];
        let args: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
        assert_eq!(args[0], "run");
        let flags: Vec<&str> = args[1..].iter().map(String::as_str).collect();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let variables = container["env"].as_array().into_iter().flatten();
        // What the kubelet fills in.
        let address = |value: &str| value.replace("$(KUBERNETES_SERVICE_HOST)", "127.0.0.1");
        let environment: Vec<(String, String)> =
            variables.map(|one| (text(&one["name"]), address(&text(&one["value"])))).collect();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let account = text(&pod["serviceAccountName"]);
        let (plane, atlas) = (&self.plane, self.sim.url());
        Operator::start_within(plane, (release, &account), &atlas, &flags, &environment).await.ready().await
    }

    /// Nothing of the release is left but the CRD.
    fn assert_uninstalled(&self) {
        let kinds = "deploy,sa,role,rolebinding,pdb,clusterrole,clusterrolebinding";
        let left = self.kubectl(&["get", kinds, "-A", "-o", "name"]);
        assert!(!left.contains(NAME), "{left}");
        self.kubectl(&["get", "crd", CRD]);
    }
}

impl World {
    /// The object with all that was ever written to it.
    async fn whole(&self) -> Value {
        self.object("x").get().await
    }

    /// Waits for another look of the operator at Atlas, after which nothing was written anywhere.
    async fn until_left_alone(&self, before: &Value, writes: usize) {
        let calls = self.project.exchanges().len();
        until_true("another look at Atlas", || self.project.exchanges().len() > calls + 1).await;
        assert_eq!(self.whole().await, *before);
        assert_eq!(self.project.count(Exchange::is_write), writes);
    }
}

fn deletions(world: &World) -> usize {
    world.project.count(|e| e.method == "DELETE")
}

/// An earlier version of the chart. None was released, so it is made of the present one: by an earlier number, and a CRD
/// that lacks a field, as additions to the kind will be seen.
fn earlier(dir: &Path) -> String {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if path.is_dir() {
                copy(&path, &to);
            } else {
                std::fs::copy(&path, &to).unwrap();
            }
        }
    }
    copy(Path::new(CHART), dir);
    let change = |file: &str, change: &dyn Fn(&mut Value)| {
        let file = dir.join(file);
        let mut value = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(&file, value.to_string()).unwrap();
    };
    change("Chart.yaml", &|chart| {
        chart["version"] = "0.0.1".into();
        chart["appVersion"] = "0.0.1".into();
    });
    change("files/crd.yaml", &|crd| {
        let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        assert!(schema["spec"]["properties"].as_object_mut().unwrap().remove("suspend").is_some());
    });
    dir.to_str().unwrap().to_owned()
}

/// Installed, upgraded from an earlier version, set back, uninstalled, with `--wait`, in a namespace that enforces Pod
/// Security `restricted`, with two replicas of the operator beside it that are replaced as a Deployment replaces them.
/// The CRD and the object are left alone, and so is Atlas; what is edited meanwhile is done.
#[tokio::test(flavor = "multi_thread")]
async fn installed_upgraded_set_back_and_uninstalled() {
    static PLANE: LazyLock<Shared> = LazyLock::new(with_controllers);
    let shared = own(&PLANE).await;
    let folder = tempfile::tempdir().unwrap();
    let earlier = earlier(folder.path());
    shared.kubectl(&["create", "namespace", NAME]);
    shared.kubectl(&["label", "namespace", NAME, "pod-security.kubernetes.io/enforce=restricted"]);
    let install = ["upgrade", "--install", NAME, &earlier, "--namespace", NAME, "--wait", "--timeout"];
    // A proxy that is none: the API server is reached without it, and so is what the variable names.
    let values =
        ["--set", "proxy.url=http://127.0.0.1:9", "--set", "extraEnv[0].name=TZ,extraEnv[0].value=UTC"];
    let run = |limit: &str| {
        let args = [&install[..], &[limit], &values].concat();
        tokio::task::block_in_place(|| helm(Some(shared.plane.kubeconfig()), &args))
    };
    // No node, no pod that runs: the wait says so.
    let told = fails(run("3s"));
    assert!(told.contains(&format!("Deployment/{NAME}/{NAME}")), "{told}");
    let _node = Node::start(&shared.plane).await;
    succeeds(run("60s"));
    let ready = || {
        let status = shared.get(&["deployment", NAME, "-n", NAME])["status"].take();
        (status["readyReplicas"].clone(), status["updatedReplicas"].clone())
    };
    assert_eq!(ready(), (json!(2), json!(2)));
    let history = || serde_json::from_str::<Value>(&shared.helm(&["history", NAME, "-o", "json"])).unwrap();
    let first = history().as_array().unwrap().last().unwrap()["revision"].to_string();

    let mut replicas = vec![shared.beside().await, shared.beside().await];
    let world = World::on(shared, "released", &new_project_id()).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let x = world.datadog("x").await.in_sync().await;
    let crd = || shared.get(&["crd", CRD]);
    let suspend = || {
        let crd = crd();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["suspend"]
            .clone()
    };
    let identity = crd()["metadata"]["uid"].clone();
    assert!(suspend().is_null());

    for (number, region) in [(1, "EU"), (2, "US3")] {
        let (before, writes) = (world.whole().await, world.project.count(Exchange::is_write));
        if number == 1 {
            shared.helm(&["upgrade", NAME, CHART, "--reset-then-reuse-values", "--wait", "--timeout", "60s"]);
        } else {
            shared.helm(&["rollback", NAME, &first, "--wait", "--timeout", "60s"]);
        }
        assert_eq!(suspend().is_null(), number == 2, "the CRD is that of the version");
        assert_eq!(ready(), (json!(2), json!(2)));
        for _ in 0..2 {
            let fresh = shared.beside().await;
            let (code, logs) = replicas.remove(0).stop().await;
            assert_eq!(code, Some(0), "{logs}");
            replicas.push(fresh);
        }
        world.until_left_alone(&before, writes).await;
        x.change(&json!({"datadog": {"region": region}})).await.synced().await;
        assert_eq!(world.stored_datadog("region"), region);
    }

    // The operator runs on while its rules and its account go.
    let (before, stored) = (world.whole().await, world.project.stored());
    shared.helm(&["uninstall", NAME, "--wait", "--timeout", "60s"]);
    shared.assert_uninstalled();
    for operator in replicas {
        operator.stop().await;
    }
    assert_eq!(crd()["metadata"]["uid"], identity);
    assert_eq!((world.whole().await, world.project.stored()), (before, stored));
    assert_eq!(deletions(&world), 0);
}

/// Who brought the objects, and takes them away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    /// A release of its own.
    Helm,
    /// A folder of manifests; the operator came by `kubectl apply -k` as well.
    Kubectl,
    /// Argo CD's engine, with prune.
    ArgoCd,
    /// Flux's engine, with prune.
    Flux,
}

impl By {
    fn bring(self, world: &World, folder: &Path) {
        let shared = world.shared;
        chart_of(&world.manifest("x", &samples::of("DATADOG").spec), folder);
        let templates = folder.join("templates");
        match self {
            By::Helm => {
                let args = ["install", "objects", path(folder), "--namespace", &world.namespace];
                succeeds(tokio::task::block_in_place(|| helm(Some(shared.plane.kubeconfig()), &args)));
            }
            By::Kubectl => drop(shared.kubectl(&["apply", "-f", path(&templates)])),
            By::Flux => drop(succeeds(flux_sync(world, &["-wait"], &templates))),
            By::ArgoCd => argo_sync(world, &templates),
        }
    }

    async fn take_away(self, world: &World, folder: &Path) {
        let (shared, templates) = (world.shared, folder.join("templates"));
        match self {
            By::Helm => {
                let args = ["uninstall", "objects", "--namespace", &world.namespace, "--wait"];
                succeeds(tokio::task::block_in_place(|| helm(Some(shared.plane.kubeconfig()), &args)));
            }
            By::Kubectl => drop(shared.kubectl(&["delete", "-f", path(&templates), "--timeout=60s"])),
            By::ArgoCd => {
                std::fs::remove_file(templates.join("x.yaml")).unwrap();
                argo_sync(world, &templates);
            }
            By::Flux => {
                let emptied = tempfile::tempdir().unwrap();
                succeeds(flux_sync(world, &["-was", path(&templates), "-terminated"], emptied.path()));
            }
        }
        // Before this, the operator is still needed, whatever the tool says.
        world.object("x").gone().await;
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn argo_sync(world: &World, folder: &Path) {
    let (lines, end) = Sync::begin(world, folder, &[]).end();
    assert_eq!(end["phase"], "Succeeded", "{lines:#?} {end}");
}

/// The objects first, then the operator, the CRD last: nothing hangs, by whatever tool.
#[tokio::test(flavor = "multi_thread")]
async fn uninstalled_in_order() {
    static PLANE: LazyLock<Shared> = LazyLock::new(with_controllers);
    let shared = own(&PLANE).await;
    for by in [By::Helm, By::ArgoCd, By::Flux, By::Kubectl] {
        if by == By::Kubectl {
            shared.kubectl(&["delete", "namespace", NAME, "--timeout=60s"]);
            shared.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", &format!("{ROOT}/deploy")]);
        } else {
            shared.install(CHART, &[]);
        }
        let operator = shared.beside().await;
        let world = World::on(shared, &format!("{by:?}").to_lowercase(), &new_project_id()).await;
        world.secret("keys", &samples::of("DATADOG").secrets).await;
        let folder = tempfile::tempdir().unwrap();
        by.bring(&world, folder.path());
        world.object("x").synced().await;
        by.take_away(&world, folder.path()).await;
        assert_eq!((world.project.stored().len(), deletions(&world)), (0, 1), "{by:?}");
        if by == By::Kubectl {
            shared.documented("uninstall.md", "delete deployment,", &[]);
            shared.documented("uninstall.md", "delete clusterrole,", &[]);
        } else {
            shared.helm(&["uninstall", NAME]);
        }
        shared.assert_uninstalled();
        operator.stop().await;
        shared.kubectl(&["delete", "namespace", &world.namespace, "--timeout=60s"]);
    }
    shared.documented("uninstall.md", "delete crd", &[]);
    let left = shared.kubectl(&["get", "crd", "-o", "name"]);
    assert!(!left.contains(CRD), "{left}");
}

/// The operator first: what is deleted then hangs, and Atlas keeps all. Each way of mending that docs/uninstall.md gives.
#[tokio::test(flavor = "multi_thread")]
async fn uninstalled_in_the_wrong_order() {
    static PLANE: LazyLock<Shared> = LazyLock::new(with_controllers);
    let shared = own(&PLANE).await;
    shared.install(CHART, &[]);
    let operator = shared.beside().await;
    let mut worlds = Vec::new();
    for name in ["object", "namespace"] {
        let world = World::on(shared, name, &new_project_id()).await;
        world.secret("keys", &samples::of("DATADOG").secrets).await;
        world.datadog("x").await.in_sync().await;
        worlds.push(world);
    }
    let (object, namespace) = (&worlds[0], &worlds[1]);
    shared.helm(&["uninstall", NAME]);
    operator.stop().await;

    let hang = |world: &World| {
        let delete = ["delete", "atlasintegration", "x", "-n", &world.namespace, "--timeout=2s"];
        let error = shared.try_kubectl(&delete).unwrap_err().to_string();
        assert!(error.contains("timed out"), "{error}");
    };
    hang(object);
    let named = format!("namespace/{}", namespace.namespace);
    shared.kubectl(&["delete", &named, "--wait=false"]);
    shared.kubectl(&["wait", "--for=condition=NamespaceFinalizersRemaining", &named, "--timeout=60s"]);
    for world in &worlds {
        assert!(world.whole().await["metadata"]["deletionTimestamp"].is_string());
        assert_eq!((world.project.stored().len(), deletions(world)), (1, 0));
    }

    // Installed again, the deletions go on: with the key that is still there, or else by letting go.
    shared.install(CHART, &[]);
    let operator = shared.beside().await;
    let x = object.object("x");
    x.gone().await;
    assert_eq!((object.project.stored().len(), deletions(object)), (0, 1));
    namespace
        .object("x")
        .until("waiting for its Secret", |x| {
            condition(x, "Ready")["reason"] == "SecretNotFound" && message(x).starts_with("deletion waits")
        })
        .await;
    let filled = [("NAMESPACE", namespace.namespace.as_str()), ("NAME", "x")];
    shared.documented("deletion.md", "patch atlasintegration NAME", &filled);
    shared.kubectl(&["wait", "--for=delete", &named, "--timeout=60s"]);
    assert_eq!((namespace.project.stored().len(), deletions(namespace)), (1, 0));

    // No operator any more: the finalizer by hand. Atlas keeps the integration, and a new object does not take it.
    object.datadog("x").await.in_sync().await;
    shared.helm(&["uninstall", NAME]);
    operator.stop().await;
    hang(object);
    let filled = [("NAMESPACE", object.namespace.as_str()), ("NAME", "x")];
    shared.documented("uninstall.md", "patch atlasintegration NAME", &filled);
    x.gone().await;
    assert_eq!((object.project.stored().len(), deletions(object)), (1, 1));
    shared.install(CHART, &[]);
    let operator = shared.beside().await;
    object.datadog("x").await;
    x.reaches("False", "AlreadyExists").await;
    x.change(&datadog(json!({"adoptionPolicy": "Adopt"}))).await.synced().await;

    // The operator, then the CRD: all objects hang with it, until an operator releases them.
    shared.helm(&["uninstall", NAME]);
    operator.stop().await;
    shared.kubectl(&["delete", "crd", CRD, "--wait=false"]);
    shared.kubectl(&["wait", "--for=condition=Terminating", "crd", CRD, "--timeout=60s"]);
    assert!(object.whole().await["metadata"]["deletionTimestamp"].is_string());
    shared.helm(&["install", NAME, CHART, "--set", "crds.enabled=false"]);
    let _operator = shared.beside().await;
    shared.kubectl(&["wait", "--for=delete", "crd", CRD, "--timeout=60s"]);
    assert_eq!((object.project.stored().len(), deletions(object)), (1, 1));
}
