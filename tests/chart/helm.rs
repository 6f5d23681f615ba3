//! Helm as the tests run it, of the chart and end to end: with settings of its own, and its answers as JSON.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use control_plane::Tool;
use serde_json::Value;

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/atlas-integration-operator");
/// Name of the release, of its namespace, and of the objects of `deploy/`.
pub const NAME: &str = "atlas-integration-operator";

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| Tool::Helm.locate().unwrap());

/// Runs helm, without the user's own settings.
pub fn helm(kubeconfig: Option<&Path>, args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(&*PROGRAM);
    command.args(args).env_clear().env("HOME", home.path());
    if let Some(kubeconfig) = kubeconfig {
        command.env("KUBECONFIG", kubeconfig);
    }
    command.output().unwrap()
}

/// Its stdout, where it succeeds.
pub fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Its stderr, where it fails.
pub fn fails(output: Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// `helm template` of the release with these `--set` values.
pub fn template(sets: &[&str]) -> Output {
    let mut args = vec!["template", NAME, CHART, "--namespace", NAME];
    for set in sets {
        args.extend(["--set", set]);
    }
    helm(None, &args)
}

/// What it renders.
pub fn rendered(sets: &[&str]) -> Vec<Value> {
    documents(&succeeds(template(sets)))
}

/// The objects of a YAML text.
pub fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("\n---\n").map(|part| part.trim_start_matches("---\n"));
    let values =
        parts.map(|part| serde_saphyr::from_str::<Value>(part).unwrap_or_else(|e| panic!("{e}: {part}")));
    values.filter(Value::is_object).collect()
}
