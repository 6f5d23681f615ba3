//! What a real kube-apiserver says to the chart. There is no node, so no pod runs and nothing is waited for.

use std::sync::LazyLock;

use control_plane::{ControlPlane, Options};
use serde_json::{Value, json};

use crate::crds;
use crate::helm::{CHART, NAME, ROOT, helm, rendered, succeeds};
use crate::objects::find;
use crate::render::MATRIX;

/// With the kinds of others that our manifests use.
pub static PLANE: LazyLock<ControlPlane> = LazyLock::new(|| {
    let plane = ControlPlane::start(Options::default()).unwrap();
    crds::install(&plane);
    plane
});

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Each way of applying the folder of the CRD: its kustomization must be no file that `-f` reads.
#[test]
fn the_folder_of_the_crd_can_be_applied() {
    for way in ["-f", "-k"] {
        let told = PLANE.kubectl(&["apply", "--dry-run=server", way, &format!("{ROOT}/crds")]).unwrap();
        let crd = "customresourcedefinition.apiextensions.k8s.io/atlasintegrations.atlas-integrations.dev";
        assert!(told.starts_with(crd) && told.lines().count() == 1, "{way}: {told}");
    }
}

/// Everything that is rendered is accepted by the strict validation, and the pods by the Pod Security standard
/// `restricted`.
#[test]
fn accepted_strictly_and_restricted() {
    let plane = &*PLANE;
    let namespace = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
        .to_string()
    };
    for name in ["payments", "search", "dry"] {
        plane.kubectl_stdin(&["apply", "-f", "-"], &namespace(name)).unwrap();
    }
    plane.kubectl(&["create", "serviceaccount", NAME, "--namespace", "dry"]).unwrap();
    for sets in MATRIX {
        let mut objects = rendered(sets);
        for object in &mut objects {
            if object["metadata"]["namespace"] == NAME {
                object["metadata"]["namespace"] = "dry".into();
            }
        }
        let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap().clone();
        let mut pod = deployment["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = "p".into();
        pod["metadata"]["namespace"] = "dry".into();
        // Admission looks for it, and the dry run does not make it.
        pod["spec"]["serviceAccountName"] = NAME.into();
        objects.push(pod);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let told = plane.kubectl_stdin(&["apply", "--dry-run=server", "--validate=strict", "-f", "-"], &list);
        let told = told.unwrap_or_else(|error| panic!("{sets:?}: {error}"));
        assert!(told.contains("pod/p created"), "{told}");
    }
}

/// The standard is enforced where the test relies on it.
#[test]
fn a_pod_with_less_would_be_refused() {
    let plane = &*PLANE;
    let strict = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    plane.kubectl_stdin(&["apply", "-f", "-"], &strict.to_string()).unwrap();
    plane.kubectl(&["create", "serviceaccount", NAME, "--namespace", "strict"]).unwrap();
    let objects = rendered(&[]);
    let mut pod = find(&objects, &format!("Deployment {NAME}"))["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"] = json!({"name": "p", "namespace": "strict"});
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
    let error = plane.kubectl_stdin(&["apply", "--dry-run=server", "-f", "-"], &pod.to_string()).unwrap_err();
    assert!(error.to_string().contains("violates PodSecurity \"restricted"), "{error}");
}

/// Install, upgrade, roll back, uninstall: the CRD and the objects are there afterwards, untouched.
#[test]
fn a_release_comes_and_goes_and_the_objects_stay() {
    let plane = ControlPlane::start(Options::default()).unwrap();
    let run =
        |args: &[&str]| succeeds(helm(Some(plane.kubeconfig()), &[args, &["--namespace", NAME]].concat()));
    let told = run(&["install", NAME, CHART, "--create-namespace"]);
    assert!(
        told.contains("Before you uninstall the operator, delete the AtlasIntegration objects"),
        "{told}"
    );
    plane.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).unwrap();
    let object = json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
        "metadata": {"name": "x", "namespace": "default", "finalizers": ["atlas-integrations.dev/finalizer"]},
        "spec": {"projectId": "5d791c84ff7a2522cc4f9aa1", "type": "DATADOG",
            "datadog": {"apiKeySecretRef": {"name": "keys", "key": "api"}, "region": "US5"}}});
    plane.kubectl_stdin(&["apply", "-f", "-"], &object.to_string()).unwrap();
    let get = |what: &[&str]| json(&plane.kubectl(&[&["get", "-o", "json"], what].concat()).unwrap());
    let (crd, x) = (["crd", "atlasintegrations.atlas-integrations.dev"], ["atlasintegration", "x"]);
    let made = (get(&crd)["metadata"]["uid"].clone(), get(&x)["metadata"].clone());
    let deployment = || get(&["deployment", NAME, "--namespace", NAME])["spec"].clone();

    run(&["upgrade", NAME, CHART, "--set", "replicas=3,secrets.watch=false"]);
    assert_eq!(deployment()["replicas"], 3);
    assert_eq!(deployment()["template"]["spec"]["containers"][0]["args"][2], "--watch-secrets=false");
    run(&["rollback", NAME, "1"]);
    assert_eq!(deployment()["replicas"], 2);
    assert_eq!(json(&run(&["history", NAME, "-o", "json"])).as_array().unwrap().len(), 3);
    // As it is after an uninstall, a second install takes the CRD over.
    for _ in 0..2 {
        run(&["uninstall", NAME]);
        let left = plane
            .kubectl(&["get", "deploy,sa,role,rolebinding,pdb", "-o", "name", "--namespace", NAME])
            .unwrap();
        assert!(!left.contains(NAME), "{left}");
        let left = plane.kubectl(&["get", "clusterrole,clusterrolebinding", "-o", "name"]).unwrap();
        assert!(!left.contains(NAME), "{left}");
        assert_eq!((get(&crd)["metadata"]["uid"].clone(), get(&x)["metadata"].clone()), made);
        run(&["install", NAME, CHART]);
    }
    run(&["upgrade", NAME, CHART, "--set", "crds.keep=false"]);
    plane
        .kubectl(&[
            "patch",
            "atlasintegration",
            "x",
            "--type=merge",
            "-p",
            r#"{"metadata":{"finalizers":null}}"#,
        ])
        .unwrap();
    run(&["uninstall", NAME]);
    plane.kubectl(&["wait", "--for=delete", crd[0], crd[1], "--timeout=60s"]).unwrap();
}
