//! A node that a test makes up: every pod runs on it at once and is ready, and nothing really runs.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use control_plane::{ControlPlane, Tool, spawn_tied};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::world::admin;

const NODE: &str = "made-up";
const STAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/world/nodes.yaml");

/// The node, as long as this lives.
pub struct Node {
    kwok: Child,
    binding: JoinHandle<()>,
}

impl Node {
    /// Makes the node, and binds every pod to it from now on, as a scheduler does.
    pub async fn start(plane: &ControlPlane) -> Node {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}).to_string();
        let kwok = tokio::task::block_in_place(|| {
            plane.kubectl_stdin(&["create", "-f", "-"], &node).unwrap();
            start_kwok(plane.kubeconfig(), plane.dir())
        });
        let binding = tokio::spawn(bind(admin(plane).await));
        Node { kwok, binding }
    }
}

fn start_kwok(kubeconfig: &Path, dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("kwok.log")).unwrap();
    let mut command = Command::new(Tool::Kwok.locate().unwrap());
    // A home of its own: there it looks for settings.
    command.env_clear().env("HOME", dir).arg("--kubeconfig").arg(kubeconfig);
    command.args(["--config", STAGES, "--manage-single-node", NODE]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    spawn_tied(command).unwrap()
}

async fn bind(client: Client) {
    let everywhere: Api<Pod> = Api::all(client.clone());
    loop {
        let unbound = ListParams::default().fields("spec.nodeName=");
        for pod in everywhere.list(&unbound).await.map(|pods| pods.items).unwrap_or_default() {
            let (name, namespace) = (pod.metadata.name.unwrap(), pod.metadata.namespace.unwrap());
            let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}});
            // It may be gone by now; a pod that stays unbound is seen again.
            let _ = pods
                .create_subresource::<Value, Value>("binding", &name, &PostParams::default(), &binding)
                .await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.binding.abort();
        // Already ended is fine.
        let _ = self.kwok.kill();
        let _ = self.kwok.wait();
    }
}
