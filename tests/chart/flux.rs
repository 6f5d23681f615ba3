//! `deploy/flux` against Flux's own CRDs. Flux itself does not run here.

use serde_json::{Value, json};

use crate::helm::{ROOT, documents};
use crate::objects::{find, id};
use crate::render::kustomized;
use crate::server::PLANE;

/// The objects of a file of `deploy/flux`.
fn of(file: &str) -> Vec<Value> {
    documents(&std::fs::read_to_string(format!("{ROOT}/deploy/flux/{file}")).unwrap())
}

/// The way from one absolute path to another: kustomize takes no absolute ones.
fn across(from: &str, to: &str) -> String {
    format!("{}{}", "../".repeat(from.matches('/').count()), &to[1..])
}

/// The API server takes all of them under strict validation, by Flux's schemas and rules.
#[test]
fn fluxs_kinds_accept_them() {
    let plane = &*PLANE;
    plane.kubectl(&["create", "namespace", "flux-system"]).unwrap();
    let apply = |object: &Value| {
        let args = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        plane.kubectl_stdin(&args, &object.to_string())
    };
    let mut accepted = 0;
    for file in std::fs::read_dir(format!("{ROOT}/deploy/flux")).unwrap() {
        for mut object in of(file.unwrap().file_name().to_str().unwrap()) {
            // It comes with the file, and the dry run does not make it.
            if object["kind"] != "Namespace" {
                object["metadata"]["namespace"] = "flux-system".into();
            }
            apply(&object).unwrap_or_else(|error| panic!("{}: {error}", id(&object)));
            accepted += 1;
        }
    }
    assert_eq!(accepted, 6);

    let mut wrong = find(&of("objects.yaml"), "Kustomization payments-atlas-integrations").clone();
    wrong["spec"]["deletionPolicy"] = "Keep".into();
    let error = apply(&wrong).unwrap_err().to_string();
    assert!(error.contains("supported values: \"MirrorPrune\""), "{error}");
}

/// What the files say of the chart, of `deploy/` and of each other is so; and Flux never prunes the CRD, and of the rest
/// nothing is kept.
#[test]
fn what_they_name_is_there() {
    let by_kustomize = of("operator-kustomize.yaml");
    let operator = find(&by_kustomize, "Kustomization atlas-integration-operator");
    let of_team = of("objects.yaml");
    let depends = &find(&of_team, "Kustomization payments-atlas-integrations")["spec"]["dependsOn"];
    assert_eq!(*depends, json!([{"name": operator["metadata"]["name"]}]));

    // As Flux does it: images and patches on top of the path.
    let spec = &operator["spec"];
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().canonicalize().unwrap();
    let temporary = temporary.to_str().unwrap();
    let above = format!("{}/{}", across(temporary, ROOT), spec["path"].as_str().unwrap());
    let overlay = json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [above], "images": spec["images"], "patches": spec["patches"]});
    std::fs::write(folder.path().join("kustomization.yaml"), overlay.to_string()).unwrap();
    let objects = kustomized(&across(ROOT, temporary));
    let kept = objects.iter().filter(|object| {
        object["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
    });
    let kept: Vec<String> = kept.map(id).collect();
    assert_eq!(kept, ["CustomResourceDefinition atlasintegrations.atlas-integrations.dev"]);
    let deployment = find(&objects, "Deployment atlas-integration-operator");
    let version = env!("CARGO_PKG_VERSION");
    let image = format!("registry.example.com/atlas-integration-operator:{version}");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], image);

    let by_helm = of("operator-helm.yaml");
    let semver = find(&by_helm, "OCIRepository atlas-integration-operator")["spec"]["ref"]["semver"].clone();
    let line = version.rsplit_once('.').unwrap().0;
    assert_eq!(semver, format!("{line}.x"));
}
