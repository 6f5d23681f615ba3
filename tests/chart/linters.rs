//! What two linters say of all that is rendered: kubeconform, whether it fits the schemas, and kube-score, whether it is
//! thought to be good practice.

use std::collections::BTreeSet;
use std::path::Path;

use control_plane::Tool;
use serde_json::{Map, Value, json};

use crate::crds::CRDS;
use crate::helm::{ROOT, documents, rendered};
use crate::render::{COMPONENTS, MATRIX, kustomized, with_component};
use crate::server::PLANE;
use crate::tools::ask;

/// Folders of manifests that are applied as they are.
const FOLDERS: &[&str] = &["deploy/examples", "deploy/flux", "deploy/policies"];

/// Runs a linter on these objects.
fn lint(tool: Tool, args: &[&str], objects: &[Value]) -> Value {
    let list: String = objects.iter().map(|object| format!("{object}\n---\n")).collect();
    // Its exit status says whether it found something.
    let output = ask(tool, args, &list);
    let told = serde_json::from_slice(&output.stdout);
    told.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Refuses fields that a schema does not name, wherever it names any, as the server's strict validation does.
fn strict(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(strict);
            let named =
                fields.get("properties").is_some_and(|named| named.get("type").is_none_or(Value::is_object));
            let open = fields.contains_key("x-kubernetes-preserve-unknown-fields");
            if named && !open && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".into(), false.into());
            }
            // OpenAPI 2 has no word for it.
            if fields.get("format").is_some_and(|format| format == "int-or-string") {
                fields.insert("type".into(), json!(["integer", "string"]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strict),
        _ => {}
    }
}

/// Copies a definition, and what it refers to.
fn take(name: &str, all: &Map<String, Value>, taken: &mut Map<String, Value>) {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    found.extend(to.strip_prefix("#/definitions/").map(str::to_owned));
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    if taken.contains_key(name) {
        return;
    }
    taken.insert(name.to_owned(), all[name].clone());
    let mut found = BTreeSet::new();
    references(&all[name], &mut found);
    found.iter().for_each(|name| take(name, all, taken));
}

/// Writes a schema for every kind that the API server has, and for ours and those of others from their CRDs.
fn write_schemas(folder: &Path) {
    let openapi: Value =
        serde_json::from_str(&PLANE.kubectl(&["get", "--raw", "/openapi/v2"]).unwrap()).unwrap();
    let all = openapi["definitions"].as_object().unwrap();
    let write = |kind: &str, group: &str, version: &str, mut schema: Value| {
        strict(&mut schema);
        let group = group.split('.').next().unwrap();
        let file =
            [kind, group, version].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        std::fs::write(folder.join(format!("{}.json", file.to_lowercase())), schema.to_string()).unwrap();
    };
    for (name, definition) in all {
        for known in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let text = |field: &str| known[field].as_str().unwrap();
            let mut definitions = Map::new();
            take(name, all, &mut definitions);
            let schema = json!({"$ref": format!("#/definitions/{name}"), "definitions": definitions});
            write(text("kind"), text("group"), text("version"), schema);
        }
    }
    let ours = std::fs::read_to_string(format!("{ROOT}/crds/atlasintegrations.yaml")).unwrap();
    for crd in documents(&ours).iter().chain(&*CRDS) {
        for version in crd["spec"]["versions"].as_array().unwrap() {
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            // What every object has, and not every CRD says.
            schema["properties"]["apiVersion"] = json!({"type": "string"});
            schema["properties"]["kind"] = json!({"type": "string"});
            schema["properties"]["metadata"] = json!({"type": "object"});
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let names = [&crd["spec"]["names"]["kind"], &crd["spec"]["group"], &version["name"]].map(text);
            write(&names[0], &names[1], &names[2], schema);
        }
    }
}

/// What is applied as it is.
fn manifests() -> Vec<Value> {
    let files = FOLDERS.iter().flat_map(|folder| std::fs::read_dir(format!("{ROOT}/{folder}")).unwrap());
    files.flat_map(|file| documents(&std::fs::read_to_string(file.unwrap().path()).unwrap())).collect()
}

fn conform(schemas: &Path, objects: &[Value]) -> Value {
    let location = format!("{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", schemas.display());
    let args = ["-strict", "-summary", "-output", "json", "-schema-location", &location];
    lint(Tool::Kubeconform, &args, objects)
}

/// Everything fits the schemas: those of the API server, our CRD and those of others.
#[test]
fn kubeconform_accepts_all() {
    let schemas = tempfile::tempdir().unwrap();
    write_schemas(schemas.path());
    let mut objects: Vec<Value> = MATRIX.iter().flat_map(|sets| rendered(sets)).collect();
    for folder in ["deploy", "deploy/overlays/namespaced"] {
        objects.extend(kustomized(folder));
    }
    objects.extend(COMPONENTS.iter().flat_map(|(name, _)| with_component(name)));
    objects.extend(manifests());
    let told = conform(schemas.path(), &objects);
    let expected = json!({"valid": objects.len(), "invalid": 0, "errors": 0, "skipped": 0});
    assert_eq!(told["summary"], expected, "{}", told["resources"]);
    assert!(objects.len() > 200, "{}", objects.len());

    // The schemas that it is told by do refuse what a schema can say; admission's rules only the API server knows.
    let mut wrong = objects.iter().find(|object| object["kind"] == "AtlasIntegration").unwrap().clone();
    wrong["spec"]["type"] = "HIP_CHAT".into();
    let mut unknown = objects.iter().find(|object| object["kind"] == "Deployment").unwrap().clone();
    unknown["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always".into();
    let told = conform(schemas.path(), &[wrong, unknown]);
    assert_eq!(told["summary"]["invalid"], 2, "{told}");
}

/// A finding of kube-score that is accepted.
struct Accepted {
    /// The check, and what it finds.
    finding: &'static str,
    /// Whether it is found with these values.
    with: fn(&[&str]) -> bool,
    /// Why it is left so.
    reason: &'static str,
}

fn always(_: &[&str]) -> bool {
    true
}

fn without_resources(sets: &[&str]) -> bool {
    sets.contains(&"resources=null")
}

const ACCEPTED: &[Accepted] = &[
    Accepted {
        finding: "container-resources: CPU limit is not set",
        with: always,
        reason: "a limit throttles the passes after a start or an outage; the request says what it takes otherwise",
    },
    Accepted {
        finding: "container-resources: Memory limit is not set",
        with: without_resources,
        reason: "taken away by the value",
    },
    Accepted {
        finding: "container-resources: CPU request is not set",
        with: without_resources,
        reason: "taken away by the value",
    },
    Accepted {
        finding: "container-resources: Memory request is not set",
        with: without_resources,
        reason: "taken away by the value",
    },
    Accepted {
        finding: "container-ephemeral-storage-request-and-limit: Ephemeral Storage limit is not set",
        with: always,
        reason: "the root is read-only; the only thing on the node's disk is the log, which the kubelet rotates, and a \
                 limit below its rotation would evict the pod",
    },
    Accepted {
        finding: "container-ephemeral-storage-request-and-limit: Ephemeral Storage request is not set",
        with: always,
        reason: "as for the limit",
    },
    Accepted {
        finding: "container-image-pull-policy: ImagePullPolicy is not set to Always",
        with: always,
        reason: "a tag of a version does not move, and a restart should not need the registry",
    },
    Accepted {
        finding: "pod-networkpolicy: The pod does not have a matching NetworkPolicy",
        with: |sets| !sets.contains(&"networkPolicy.enabled=true"),
        reason: "networkPolicy.enabled is off by default: which ports the API server has is the cluster's matter",
    },
    Accepted {
        finding: "deployment-has-poddisruptionbudget: No matching PodDisruptionBudget was found",
        with: |sets| sets.contains(&"podDisruptionBudget.enabled=false"),
        reason: "taken away by the value",
    },
    Accepted {
        finding: "deployment-has-host-podantiaffinity: Deployment does not have a host podAntiAffinity set",
        with: |sets| !sets.contains(&"replicas=1"),
        reason: "topologySpreadConstraints spread the replicas over nodes",
    },
];

/// What kube-score finds in what is rendered with these values.
fn findings(sets: &[&str]) -> BTreeSet<String> {
    let args = ["score", "--output-format", "json", "--kubernetes-version", "v1.33", "-"];
    let told = lint(Tool::KubeScore, &args, &rendered(sets));
    let mut found = BTreeSet::new();
    let checks = told.as_array().unwrap().iter().flat_map(|object| object["checks"].as_array().unwrap());
    // 10 is its best grade.
    for check in checks.filter(|check| check["skipped"] == false && check["grade"] != 10) {
        for comment in check["comments"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            found.insert(format!("{}: {}", text(&check["check"]["id"]), text(&comment["summary"])));
        }
    }
    found
}

/// kube-score finds what is accepted, and nothing else; and nothing is accepted in vain.
#[test]
fn kube_score_finds_what_is_accepted() {
    let mut problems = Vec::new();
    for sets in MATRIX {
        let mut found = findings(sets);
        for accepted in ACCEPTED.iter().filter(|accepted| (accepted.with)(sets)) {
            if !found.remove(accepted.finding) {
                problems
                    .push(format!("{sets:?} accepts in vain ({}): {}", accepted.reason, accepted.finding));
            }
        }
        problems.extend(found.iter().map(|finding| format!("{sets:?} is not to have: {finding}")));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
