//! The worked examples of `docs/moving.md`, by the commands of the page; and its table of fields.

use std::collections::BTreeSet;
use std::path::Path;

use atlas_sim::Exchange;
use serde_json::{Value, json};

use crate::world::helm::documents;
use crate::world::page::Reader;
use crate::world::{World, until};

/// The project of the page.
const PROJECT: &str = "5d791c84ff7a2522cc4f9aa1";

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/moving.md")).unwrap()
}

/// What MongoDB's operator sends for its object.
fn sent_by_theirs(theirs: &Value, secret: &Value) -> Value {
    let block = &theirs["spec"]["datadog"];
    json!({
        "type": "DATADOG",
        "apiKey": secret["stringData"]["apiKey"],
        "region": block["region"],
        "sendCollectionLatencyMetrics": block["sendCollectionLatencyMetrics"] == "enabled",
        "sendDatabaseMetrics": block["sendDatabaseMetrics"] == "enabled",
        "sendQueryStatsMetrics": false,
        "sendUserProvidedResourceTags": false,
    })
}

/// Stand-ins for the kinds of MongoDB's operator, which take any spec.
fn theirs() -> String {
    let kinds = [
        ("AtlasThirdPartyIntegration", "atlasthirdpartyintegrations", "atlasthirdpartyintegration"),
        ("AtlasProject", "atlasprojects", "atlasproject"),
    ];
    let crds = kinds.map(|(kind, plural, singular)| {
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.atlas.mongodb.com")},
            "spec": {"group": "atlas.mongodb.com", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": singular},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
    });
    json!({"apiVersion": "v1", "kind": "List", "items": crds}).to_string()
}

/// A reader with the Secrets of the page and the kinds of MongoDB's operator, and what replaces the page's project.
async fn reader(world: &World) -> (Reader, [(&'static str, &str); 1]) {
    let shared = world.shared;
    tokio::task::block_in_place(|| {
        shared.plane.kubectl_stdin(&["apply", "--server-side", "-f", "-"], &theirs()).unwrap();
    });
    for plural in ["atlasthirdpartyintegrations", "atlasprojects"] {
        let crd = format!("crd/{plural}.atlas.mongodb.com");
        shared.kubectl(&["wait", "--for=condition=Established", &crd, "--timeout=60s"]);
    }
    let reader = Reader::of(world);
    let filled = [(PROJECT, world.project.id())];
    reader.take_files("docs/moving.md", &filled);
    reader.run("kubectl apply -f secrets.yaml").unwrap();
    let text = std::fs::read_to_string(reader.folder().join("secrets.yaml")).unwrap();
    let given = documents(&text)[0]["stringData"].clone();
    world
        .project
        .allow_key(given["publicApiKey"].as_str().unwrap(), given["privateApiKey"].as_str().unwrap());
    (reader, filled)
}

/// An object of theirs in a file of the page.
fn their(reader: &Reader, file: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(reader.folder().join(file)).unwrap()).unwrap()
}

/// The Secret of this name in a file of the page.
fn secret(reader: &Reader, file: &str, name: &str) -> Value {
    let text = std::fs::read_to_string(reader.folder().join(file)).unwrap();
    documents(&text).into_iter().find(|object| object["metadata"]["name"] == name).unwrap()
}

/// The integration after it was taken over: with another id, as the page says, and nothing else.
fn assert_taken_over(world: &World, before: &Value) {
    assert_eq!(world.project.count(Exchange::is_write), 1, "one PUT");
    let mut after = world.project.stored_type("DATADOG").unwrap();
    assert_ne!(after["id"], before["id"], "as the page says");
    after["id"] = before["id"].clone();
    assert_eq!(after, *before, "nothing else is different");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worked_example_works() {
    let world = World::new("moving").await;
    let (reader, filled) = reader(&world).await;
    let _operator = world.operator(&[]).await;
    reader.run("kubectl apply -f theirs.yaml").unwrap();
    world.project.replace_by_other(sent_by_theirs(
        &their(&reader, "theirs.yaml"),
        &secret(&reader, "secrets.yaml", "datadog-secret"),
    ));
    let before = world.project.stored_type("DATADOG").unwrap();
    let mut way = reader.follow("docs/moving.md", "The way", &filled);
    way.step();
    let get = "kubectl get atlasthirdpartyintegration datadog -o jsonpath='{.metadata.annotations}'";
    let annotations = reader.run(get).unwrap();
    assert!(annotations.contains(r#""mongodb.com/atlas-resource-policy":"keep""#), "{annotations}");
    way.step();
    let echo = way.step();
    assert!(echo.contains("region: US5"), "{echo}");
    assert_eq!(world.project.count(Exchange::is_write), 0);
    way.step();
    assert_taken_over(&world, &before);
    way.step();
    way.step();
    way.ends();

    // The old object goes after all with the integration: it comes back.
    world.project.remove_by_other("DATADOG");
    until("the integration created again", || world.project.stored_type("DATADOG")).await;
}

const LAST_APPLIED: &str = "mongodb.com/last-applied-configuration";
const POLICY: &str = "mongodb.com/atlas-reconciliation-policy";

/// What MongoDB's operator does about the integrations of its object `my-project` when it looks at it, as the sources of
/// its version 2.15.1 have it: one that it skips loses what its annotation says of them; of another it deletes in Atlas
/// what the annotation names and the spec does not, writes what the spec names, and notes the spec.
async fn they_look(world: &World, key: &Value) {
    let get = ["get", "atlasproject", "my-project", "-n", &world.namespace, "-o", "json"];
    let object: Value = serde_json::from_str(&world.shared.kubectl(&get)).unwrap();
    let annotation = |name: &str| object["metadata"]["annotations"][name].as_str();
    let mut noted: Value =
        annotation(LAST_APPLIED).map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default();
    let types = |spec: &Value| -> Vec<String> {
        let listed = spec["integrations"].as_array().into_iter().flatten();
        listed.map(|integration| integration["type"].as_str().unwrap().to_owned()).collect()
    };
    if annotation(POLICY) == Some("skip") {
        if let Some(noted) = noted.as_object_mut() {
            noted.remove("integrations");
        }
    } else {
        let wanted = types(&object["spec"]);
        for left in types(&noted).iter().filter(|left| !wanted.contains(left)) {
            world.project.remove_by_other(left);
        }
        for integration in object["spec"]["integrations"].as_array().into_iter().flatten() {
            world.project.replace_by_other(
                json!({"type": integration["type"], "region": integration["region"],
                "apiKey": key["stringData"]["password"], "sendCollectionLatencyMetrics": false,
                "sendDatabaseMetrics": false, "sendQueryStatsMetrics": false,
                "sendUserProvidedResourceTags": false}),
            );
        }
        noted = object["spec"].clone();
    }
    if !noted.is_null() {
        let note = json!({"metadata": {"annotations": {LAST_APPLIED: noted.to_string()}}}).to_string();
        let patch =
            ["patch", "atlasproject", "my-project", "-n", &world.namespace, "--type=merge", "-p", &note];
        world.shared.kubectl(&patch);
    }
}

/// The order of the page keeps the integration, though MongoDB's operator looks at its object after each step.
#[tokio::test(flavor = "multi_thread")]
async fn out_of_the_list_of_a_project() {
    let world = World::new("moving-list").await;
    let (reader, filled) = reader(&world).await;
    let key = secret(&reader, "project.yaml", "datadog-key");
    let _operator = world.operator(&[]).await;
    reader.run("kubectl apply -f project.yaml").unwrap();
    they_look(&world, &key).await;
    let before = world.project.stored_type("DATADOG").unwrap();

    let mut way = reader.follow("docs/moving.md", "From the list of an `AtlasProject`", &filled);
    way.step();
    they_look(&world, &key).await;
    let noted = way.step();
    assert!(noted.contains("my-project") && !noted.contains("integrations"), "{noted}");
    way.step();
    let told = way.step();
    assert!(told.contains("Observed"), "{told}");
    they_look(&world, &key).await;
    assert_eq!(world.project.count(Exchange::is_write), 0);
    way.step();
    assert_taken_over(&world, &before);
    they_look(&world, &key).await;
    way.step();
    they_look(&world, &key).await;
    way.step();
    they_look(&world, &key).await;
    let id = way.step();
    way.ends();
    assert_taken_over(&world, &before);
    assert_eq!(world.stored_datadog("id"), id.trim());
}

/// What the page warns of: taken out of the list at once, the integration is deleted in Atlas.
#[tokio::test(flavor = "multi_thread")]
async fn out_of_the_list_at_once() {
    let world = World::new("moving-lost").await;
    let (reader, _) = reader(&world).await;
    let key = secret(&reader, "project.yaml", "datadog-key");
    reader.run("kubectl apply -f project.yaml").unwrap();
    they_look(&world, &key).await;
    assert!(world.project.stored_type("DATADOG").is_some());
    let remove = r#"kubectl patch atlasproject my-project --type=json -p '[{"op": "remove", "path": "/spec/integrations"}]'"#;
    reader.run(remove).unwrap();
    they_look(&world, &key).await;
    assert_eq!(world.project.stored_type("DATADOG"), None);
}

/// Every field of the kind has a row, and no row names a field that there is not.
#[test]
fn the_table_has_every_field() {
    let page = page();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Type"));
    let named: BTreeSet<String> = rows
        .flat_map(|row| row.split('|').nth(2).unwrap().split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    let crd: Value = serde_saphyr::from_str(&atlas_integration_operator::api::crd_yaml().unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let mut fields = BTreeSet::new();
    for (name, schema) in spec.as_object().unwrap() {
        match schema["properties"].as_object() {
            Some(block) if name != "credentialsSecretRef" => {
                fields.extend(block.keys().map(|field| format!("{name}.{field}")));
            }
            // The type is the first column.
            _ if name == "type" => {}
            _ => drop(fields.insert(name.clone())),
        }
    }
    assert_eq!(named, fields);
}
