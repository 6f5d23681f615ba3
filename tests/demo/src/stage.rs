//! Everything that runs: the control plane, the simulator, the operator. Set up once, taken down by dropping it.

use std::thread;
use std::time::{Duration, Instant};

use atlas_integration_stage::{ACCOUNT, ESTABLISHED, MANIFESTS, Operator as Process, repository};
use atlas_sim::{AtlasSim, Project};
use control_plane::{Assets, ControlPlane, Options};

use crate::atlas::{PRIVATE_KEY, PROJECT, PUBLIC_KEY, STAGING};
use crate::error::Error;
use crate::kubectl::Kubectl;
use crate::operator::Operator;
use crate::patience::Patience;
use crate::screen::Screen;

/// Longer than the control plane gives itself.
const START: Duration = Duration::from_secs(240);

/// The running parts. They end in the order of the fields.
pub struct Stage {
    /// The operator.
    pub operator: Operator,
    /// kubectl, as the cluster's admin.
    pub kubectl: Kubectl,
    /// The Atlas project of the ten objects.
    pub project: Project,
    /// The other one.
    pub staging: Project,
    plane: ControlPlane,
    sim: AtlasSim,
}

impl Stage {
    /// Starts everything, installs the kind and the rules, and waits until the operator is ready.
    pub fn set(assets: &Assets, screen: Screen, patience: &Patience) -> Result<Stage, Error> {
        screen.heading("The parts");
        // Found before minutes pass.
        let binary = Process::binary()?;
        let root = repository()?;
        let sim = AtlasSim::start_blocking(([127, 0, 0, 1], 0).into())
            .map_err(Error::system("starting the Atlas simulator"))?;
        let projects = [PROJECT, STAGING].map(|id| sim.project(id));
        projects.iter().for_each(|project| project.allow_key(PUBLIC_KEY, PRIVATE_KEY));
        screen.note(&format!("the Atlas simulator listens on {}", sim.url()));

        screen.note("etcd and kube-apiserver are starting ...");
        let begun = Instant::now();
        let plane = start_plane(assets, screen, patience)?;
        let kubectl = Kubectl::new(&plane, &root, screen, patience);
        let version = kubectl.json(&["version"])?["serverVersion"]["gitVersion"].take();
        screen.note(&format!(
            "kube-apiserver {} is ready after {:.1} s",
            version.as_str().unwrap_or_default(),
            begun.elapsed().as_secs_f32()
        ));

        let files: Vec<&str> = MANIFESTS.iter().flat_map(|file| ["-f", file]).collect();
        kubectl.show(&[&["apply"], files.as_slice()].concat())?;
        kubectl.quiet(&ESTABLISHED)?;
        let kubeconfig = plane.kubeconfig_for_service_account(ACCOUNT, ACCOUNT)?;
        let log = plane.dir().join("operator.log");
        let operator = Operator::start(&binary, &kubeconfig, &sim.url(), &log, patience)?;
        screen.good(
            "the operator is ready; it may do what deploy/base/rbac.yaml allows its ServiceAccount, no more",
        );
        let [project, staging] = projects;
        Ok(Stage { operator, kubectl, project, staging, plane, sim })
    }

    /// How to use what runs.
    pub fn explain(&self, screen: Screen) {
        let url = self.sim.url();
        let admin = format!("{url}/_admin/projects/{PROJECT}");
        screen.heading("KEEP=1: everything keeps running. Ctrl-C stops and removes it");
        screen.note("In another terminal:");
        for line in [
            format!("export KUBECONFIG={}", self.plane.kubeconfig().display()),
            format!("export PATH={}:$PATH", self.plane.assets().dir().display()),
            "kubectl get atlasintegrations --output wide --watch".to_owned(),
            "kubectl explain atlasintegration.spec".to_owned(),
        ] {
            screen.output(&line);
        }
        screen.note("The operator's log, metrics and readiness:");
        screen.output(&format!("tail -f {}", self.operator.log().display()));
        screen.output(&format!("curl -s http://{}/metrics", self.operator.address()));
        screen.output(&format!("curl -s http://{}/readyz", self.operator.address()));
        screen.note(
            "What Atlas really stores, an edit by somebody else, and Atlas out of order for ten calls:",
        );
        screen.output(&format!("curl -s {admin}/stored"));
        screen.output(&format!(r#"curl -s -X PATCH {admin}/stored/SLACK -d '{{"channelName": "other"}}'"#));
        screen.output(&format!(
            r#"curl -s -X POST {admin}/faults -d '{{"times": 10, "effect": {{"kind": "serverError"}}}}'"#
        ));
    }
}

/// In a thread, so that there is a sign of life meanwhile. A signal waits for its end, which takes seconds, so
/// that nothing stays behind.
fn start_plane(assets: &Assets, screen: Screen, patience: &Patience) -> Result<ControlPlane, Error> {
    thread::scope(|scope| {
        let starting = scope.spawn(|| ControlPlane::start_with(assets, Options::default()));
        let ready = || Ok(starting.is_finished().then_some(()));
        patience
            .until("etcd and kube-apiserver", START, ready)
            .inspect_err(|_| screen.note("stopping, as soon as they have started ..."))?;
        let ended = starting.join();
        Ok(ended.map_err(|_| Error::Unexpected("the start of the control plane panicked".to_owned()))??)
    })
}
