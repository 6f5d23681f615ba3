//! The CRDs of others whose kinds our manifests use: files of their projects' Go modules, which `crds/go.sum` pins.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use control_plane::ControlPlane;
use serde_json::{Value, json};

use crate::helm::{ROOT, documents, succeeds};

/// A module, the folder in it, and how the names of the files in it begin.
const FILES: &[(&str, &str, &str)] = &[
    (
        "github.com/external-secrets/external-secrets",
        "config/crds/bases",
        "external-secrets.io_externalsecrets",
    ),
    ("github.com/fluxcd/helm-controller", "config/crd/bases", ""),
    ("github.com/fluxcd/kustomize-controller", "config/crd/bases", ""),
    ("github.com/fluxcd/source-controller", "config/crd/bases", ""),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd",
        "monitoring.coreos.com_servicemonitors",
    ),
];

/// All of them.
pub static CRDS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let pins = fs::read_to_string(format!("{ROOT}/tests/chart/crds/go.sum")).unwrap();
    let files = FILES.iter().flat_map(|(module, folder, beginning)| {
        let version =
            pins.lines().find_map(|line| line.strip_prefix(module)?.strip_prefix(' ')?.split_once(" h1:"));
        let (version, _) = version.unwrap_or_else(|| panic!("{module} is not pinned"));
        let mut go = Command::new("go");
        go.args(["mod", "download", "-json", &format!("{module}@{version}")]);
        go.current_dir(format!("{ROOT}/tests/chart/crds")).env("GOWORK", "off");
        let fetched: Value = serde_json::from_str(&succeeds(go.output().unwrap())).unwrap();
        let files = fs::read_dir(format!("{}/{folder}", fetched["Dir"].as_str().unwrap())).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files.filter(move |file| file.file_name().unwrap().to_str().unwrap().starts_with(beginning))
    });
    files.flat_map(|file| documents(&fs::read_to_string(file).unwrap())).collect()
});

/// Lets an API server have these kinds.
pub fn install(plane: &ControlPlane) {
    let crds = json!({"apiVersion": "v1", "kind": "List", "items": *CRDS}).to_string();
    plane.kubectl_stdin(&["apply", "--server-side", "-f", "-"], &crds).unwrap();
    plane.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).unwrap();
}
