//! Generated files are current. `make generate` writes them (by `UPDATE=1`).

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::Path;

fn current(file: &str, fresh: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, fresh).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == fresh, "{file} is not what the sources say: run `make generate`");
}

#[test]
fn crds_are_current() {
    current("crds/atlasintegrations.yaml", &atlas_integration_operator::api::crd_yaml().unwrap());
}

/// The chart sets labels and an annotation on it, so it has a copy that is no template.
#[test]
fn crd_of_the_chart_is_current() {
    current(&format!("{CHART}/files/crd.yaml"), &atlas_integration_operator::api::crd_yaml().unwrap());
}

const CHART: &str = "charts/atlas-integration-operator";

/// Name, default and meaning of each value: a comment that begins with `-- ` and the line after it.
fn values(text: &str) -> Vec<(String, String, String)> {
    let (mut rows, mut path, mut meaning) = (Vec::new(), Vec::<&str>::new(), None::<String>);
    for line in text.lines() {
        let content = line.trim_start();
        if let Some(comment) = content.strip_prefix("# ") {
            match (&mut meaning, comment.strip_prefix("-- ")) {
                (_, Some(first)) => meaning = Some(first.to_owned()),
                (Some(meaning), None) => *meaning = format!("{meaning} {comment}"),
                (None, None) => panic!("a comment that belongs to no value: {line}"),
            }
            continue;
        }
        let depth = (line.len() - content.len()) / 2;
        let Some((name, default)) = content.split_once(':') else { continue };
        path.truncate(depth);
        path.push(name);
        match meaning.take() {
            Some(meaning) => rows.push((path.join("."), default.trim().to_owned(), meaning)),
            None => assert!(
                default.is_empty() || rows.last().is_some_and(|row| path.join(".").starts_with(&row.0)),
                "{} has no comment",
                path.join(".")
            ),
        }
    }
    rows
}

#[test]
fn readme_of_the_chart_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(CHART);
    let rows = values(&std::fs::read_to_string(root.join("values.yaml")).unwrap());
    let mut page = include_str!("chart/README.head.md").to_owned();
    for (name, default, meaning) in rows {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        page.push_str(&format!("| `{name}` | {default} | {} |\n", meaning.replace('|', "\\|")));
    }
    current(&format!("{CHART}/README.md"), &page);
}

#[test]
fn reference_is_current() {
    current("docs/reference.md", &atlas_integration_operator::cli::reference().unwrap());
}

#[test]
fn errors_are_current() {
    current("docs/errors.md", &atlas_integration_operator::cli::errors_page().unwrap());
}

/// A literal block of YAML, after the text that begins its line.
fn block(begin: &str, text: &str) -> String {
    let indent = " ".repeat(begin.len() - begin.trim_start_matches([' ', '-']).len() + 2);
    let lines =
        text.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("{indent}{line}\n") });
    format!("{begin}: |\n{}", lines.collect::<String>())
}

/// Argo CD gets the very scripts that are tested.
#[test]
fn settings_for_argo_cd_are_current() {
    let folder = "deploy/argocd/resource_customizations/atlas-integrations.dev/AtlasIntegration";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let script = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let mut actions = block("discovery.lua", &script("actions/discovery.lua"));
    actions.push_str("definitions:\n");
    for name in ["reconcile", "suspend", "resume"] {
        let action = block("    action.lua", &script(&format!("actions/{name}/action.lua")));
        actions.push_str(&format!("  - name: {name}\n{action}"));
    }
    let mut page = include_str!("chart/argocd.head.yaml").to_owned();
    for (what, text) in [("health", script("health.lua")), ("actions", actions)] {
        let key = format!("  resource.customizations.{what}.atlas-integrations.dev_AtlasIntegration");
        page.push_str(&block(&key, &text));
    }
    current("deploy/argocd/argocd-cm.yaml", &page);
}
