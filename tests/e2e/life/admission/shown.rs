//! What `kubectl explain` and `kubectl get` show.

use std::collections::BTreeMap;

use atlas_integration_operator::api::crd;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{api, changed, kubectl};
use crate::world::World;

/// The paths below a schema with their descriptions.
fn descriptions(prefix: &str, schema: &Value, found: &mut BTreeMap<String, String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{name}");
        found.insert(path.clone(), property["description"].as_str().unwrap_or_default().to_owned());
        descriptions(&format!("{path}."), property, found);
        descriptions(&format!("{path}."), &property["items"], found);
    }
}

/// The paths of spec and status in a schema of the whole object, with their descriptions.
fn ours(schema: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    descriptions("", schema, &mut found);
    found.retain(|path, _| path.starts_with("spec") || path.starts_with("status"));
    found
}

fn schema() -> Value {
    let crd = serde_json::to_value(crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The paths of spec and status in what `kubectl explain --recursive` prints: two spaces a level, then the name, a tab
/// and the type.
fn listed(output: &str) -> Vec<String> {
    let (_, fields) = output.split_once("FIELDS:\n").unwrap();
    let mut path: Vec<&str> = vec![];
    let mut found = vec![];
    for (name, _) in fields.lines().filter_map(|line| line.split_once('\t')) {
        let level = (name.len() - name.trim_start().len()) / 2 - 1;
        path.truncate(level);
        path.push(name.trim_start());
        if path[0] == "spec" || path[0] == "status" {
            found.push(path.join("."));
        }
    }
    found
}

#[tokio::test]
async fn explained() {
    let world = World::new("explained").await;
    let expected = ours(&schema());
    assert!(expected.len() > 100, "{expected:#?}");

    let all = kubectl(&world, &["explain", "atlasintegrations", "--recursive"], "").await.unwrap();
    let mut listed = listed(&all);
    listed.sort();
    assert_eq!(listed, expected.keys().cloned().collect::<Vec<_>>());

    let served =
        kubectl(&world, &["get", "--raw", "/openapi/v3/apis/atlas-integrations.dev/v1"], "").await.unwrap();
    let served: Value = serde_json::from_str(&served).unwrap();
    let served = ours(&served["components"]["schemas"]["dev.atlas-integrations.v1.AtlasIntegration"]);
    assert_eq!(served, expected);
    let bare: Vec<_> = served.iter().filter(|(_, text)| text.trim().len() < 8).collect();
    assert!(bare.is_empty(), "no description: {bare:?}");

    for (path, text) in [
        ("spec", "Keys are never written here"),
        ("spec.projectId", "24 hexadecimal digits in lower case"),
        ("spec.datadog.region", "Datadog site in Atlas's spelling"),
        ("spec.webhook.headersTemplateSecretRef.key", "Key in the Secret's data."),
        ("status.conditions.lastTransitionTime", "When `status` last changed."),
        ("status.applied.secrets.resourceVersion", "Its resourceVersion."),
        ("status.attempt.sent.apiKey", "redacted"),
    ] {
        let said = kubectl(&world, &["explain", &format!("atlint.{path}")], "").await.unwrap();
        // kubectl wraps lines.
        let (_, description) = said.split_once("DESCRIPTION:").unwrap();
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(description.contains(text), "{path}: {said}");
    }
}

/// The lines of a table as kubectl prints it, cut where the columns of its header begin.
fn cells(output: &str) -> Vec<Vec<&str>> {
    let header = output.lines().next().unwrap();
    // "IN SYNC" is one column: columns are three spaces apart.
    let starts = |at: usize| at == 0 || header[..at].ends_with("  ");
    let begins: Vec<usize> = header
        .char_indices()
        .filter(|(at, letter)| *letter != ' ' && starts(*at))
        .map(|(at, _)| at)
        .collect();
    let row = |line| {
        let ends = begins.iter().skip(1).copied().chain([usize::MAX]);
        begins.iter().zip(ends).map(|(begin, end)| cell(line, *begin, end)).collect()
    };
    output.lines().map(row).collect()
}

fn cell(line: &str, begin: usize, end: usize) -> &str {
    let end = end.min(line.len());
    line[begin.min(end)..end].trim()
}

#[tokio::test]
async fn columns() {
    let world = World::new("columns").await;
    let id = world.project.id().to_owned();
    world.create(&changed(&world, "fresh", "SLACK", &json!({}))).await;
    world
        .create(&changed(&world, "other", "DATADOG", &json!({"projectId": "ffffffffffffffffffffffff"})))
        .await;
    world.create(&changed(&world, "seen", "DATADOG", &json!({}))).await;
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2020-01-01T00:00:00Z", "observedGeneration": 1})
    };
    let status = json!({"status": {"observedGeneration": 1,
    "applied": {"uid": "u", "time": "2020-01-01T00:00:00Z"},
    "conditions": [
        condition("InSync", "Unknown", "NotRead", "not of interest here"),
        condition("Ready", "False", "RateLimited", "Atlas asked to wait."),
    ]}});
    api(&world).patch_status("seen", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();

    let output = kubectl(&world, &["get", "atlint"], "").await.unwrap();
    let table = cells(&output);
    assert_eq!(table[0], ["NAME", "TYPE", "PROJECT", "READY", "REASON", "IN SYNC", "APPLIED", "AGE"]);
    assert_eq!(table[1][..7], ["fresh", "SLACK", &id, "", "", "", ""]);
    assert_eq!(table[2][..7], ["other", "DATADOG", "ffffffffffffffffffffffff", "", "", "", ""]);
    assert_eq!(table[3][..6], ["seen", "DATADOG", &id, "False", "RateLimited", "Unknown"]);
    assert!(table[3][6].contains('y') && !table[3][7].is_empty(), "years ago, and just now: {output}");

    let output = kubectl(&world, &["get", "atlint", "seen", "-o", "wide"], "").await.unwrap();
    let wide = cells(&output);
    assert_eq!(wide[0][..8], table[0]);
    assert_eq!(wide[0][8..], ["MESSAGE"]);
    assert_eq!(wide[1][8], "Atlas asked to wait.");

    let both = ["fresh", "seen"];
    for (arguments, expected) in [
        (&["atlint"] as &[&str], &["fresh", "other", "seen"] as &[&str]),
        (&["atlasintegration"], &["fresh", "other", "seen"]),
        (&["atlas"], &["fresh", "other", "seen"]),
        (&["all"], &[]),
        (&["atlint", "--field-selector", "spec.type=DATADOG"], &["other", "seen"]),
        (&["atlint", "--field-selector", "spec.type!=DATADOG"], &["fresh"]),
        (&["atlint", "--field-selector", "spec.type=WEBHOOK"], &[]),
        (&["atlint", "--field-selector", &format!("spec.projectId={id}")], &both),
        (&["atlint", "-A", "--field-selector", &format!("spec.projectId={id}")], &both),
        (&["atlint", "--field-selector", &format!("spec.projectId={id},spec.type=SLACK")], &["fresh"]),
    ] {
        let output = kubectl(&world, &[&["get", "-o", "name"], arguments].concat(), "").await.unwrap();
        let prefix = "atlasintegration.atlas-integrations.dev/";
        let names: Vec<&str> = output.lines().map(|line| line.strip_prefix(prefix).unwrap()).collect();
        assert_eq!(names, expected, "{arguments:?}");
    }
}
