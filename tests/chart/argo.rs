//! The scripts of `deploy/argocd` in Argo CD's own Lua machine, on the objects that `tests/e2e/platform/argocd` keeps there.

use std::collections::BTreeSet;

use control_plane::Tool;

use crate::helm::ROOT;
use crate::tools::ask;

fn argo_lua(args: &[&str]) -> String {
    let output = ask(Tool::ArgoLua, args, "");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// The example is an Application, without a field that Argo CD does not know.
#[test]
fn the_application_is_one() {
    argo_lua(&["-application", &format!("{ROOT}/deploy/argocd/application.yaml")]);
}

/// Health and actions are as the folder's own tests say, in the layout and the format of Argo CD's
/// `resource_customizations`; each object that is kept has one.
#[test]
fn scripts_pass_their_tests() {
    let folder =
        format!("{ROOT}/deploy/argocd/resource_customizations/atlas-integrations.dev/AtlasIntegration");
    let told = argo_lua(&[&folder]);
    let tested: BTreeSet<&str> =
        told.lines().filter_map(|line| line.strip_prefix("ok health testdata/")).collect();
    let files = std::fs::read_dir(format!("{folder}/testdata")).unwrap();
    let kept: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(tested, kept.iter().map(String::as_str).collect());
    let others =
        told.lines().filter(|line| line.starts_with("ok discovery ") || line.starts_with("ok action "));
    assert_eq!(others.count(), 5, "{told}");
}
