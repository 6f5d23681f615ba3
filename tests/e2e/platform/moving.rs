//! The worked example of `docs/moving.md`, taken out of the page and walked through; and its table of fields.

use std::collections::BTreeSet;
use std::path::Path;

use atlas_sim::Exchange;
use serde_json::{Value, json};

use crate::world::{World, condition, until};

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/moving.md")).unwrap()
}

/// The YAML documents of the page's code blocks, in order.
fn examples() -> Vec<Value> {
    let page = page();
    let mut documents = Vec::new();
    for block in page.split("```yaml\n").skip(1) {
        // A block within a list is indented as a whole, which YAML does not mind.
        let block = block.split("```").next().unwrap();
        let parsed = block.split("---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
        documents.extend(parsed);
    }
    documents
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

#[tokio::test(flavor = "multi_thread")]
async fn the_worked_example_works() {
    let [credentials, key, theirs, ours] = <[Value; 4]>::try_from(examples()).unwrap();
    let world = World::new("moving").await;
    let _operator = world.operator(&[]).await;
    let given = &credentials["stringData"];
    world
        .project
        .allow_key(given["publicApiKey"].as_str().unwrap(), given["privateApiKey"].as_str().unwrap());
    world.project.replace_by_other(sent_by_theirs(&theirs, &key));
    let before = world.project.stored_type("DATADOG").unwrap();
    for mut object in [credentials, key, ours.clone()] {
        object["metadata"]["namespace"] = world.namespace.as_str().into();
        if object["kind"] == "AtlasIntegration" {
            assert_eq!(object["spec"]["projectId"], theirs["spec"]["externalProjectRef"]["id"]);
            object["spec"]["projectId"] = world.project.id().into();
        }
        world.create(&object).await;
    }

    let name = ours["metadata"]["name"].as_str().unwrap();
    let object = world.object(name).reaches("True", "Observed").await;
    assert_eq!(condition(&object, "InSync")["status"], "True", "{object:#}");
    assert_eq!(object["status"]["integration"]["region"], "US5");
    assert_eq!(world.project.count(Exchange::is_write), 0);

    let page = page();
    let command = page.split("kubectl patch atlasintegration").nth(1).unwrap();
    let patch = command.split('\'').nth(1).unwrap();
    world.object(name).patch(&serde_json::from_str(patch).unwrap()).await;
    world.object(name).synced().await;
    assert_eq!(world.project.count(Exchange::is_write), 1, "one PUT");
    let mut after = world.project.stored_type("DATADOG").unwrap();
    assert_ne!(after["id"], before["id"], "as the page says");
    after["id"] = before["id"].clone();
    assert_eq!(after, before, "nothing else is different");

    // The old object goes after all with the integration: it comes back.
    world.project.remove_by_other("DATADOG");
    until("the integration created again", || world.project.stored_type("DATADOG")).await;
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
