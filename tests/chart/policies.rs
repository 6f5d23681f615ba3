//! `deploy/policies` and `deploy/examples` on a real kube-apiserver.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use control_plane::{ControlPlane, Options};
use serde_json::{Value, json};

use crate::crds;
use crate::helm::{ROOT, documents};
use crate::objects::id;

const GRANTED: &str = "5d791c84ff7a2522cc4f9aa1";
const OTHER: &str = "5d791c84ff7a2522cc4f9aa2";
/// How long anything is waited for.
const LIMIT: Duration = Duration::from_secs(60);

struct Cluster(ControlPlane);

impl Cluster {
    /// A control plane with the kind.
    fn with_the_kind() -> Cluster {
        let plane = ControlPlane::start(Options::default()).unwrap();
        plane.kubectl(&["apply", "-f", &format!("{ROOT}/crds/atlasintegrations.yaml")]).unwrap();
        plane.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).unwrap();
        Cluster(plane)
    }

    fn apply(&self, object: &Value) -> Result<(), String> {
        let told = self.0.kubectl_stdin(&["apply", "--validate=strict", "-f", "-"], &object.to_string());
        told.map(|_| ()).map_err(|error| error.to_string())
    }

    fn annotate(&self, namespace: &str, annotation: &str) {
        self.0.kubectl(&["annotate", "--overwrite", "namespace", namespace, annotation]).unwrap();
    }

    fn change(&self, namespace: &str, name: &str, change: &Value) -> Result<(), String> {
        let args =
            ["patch", "atlasintegration", name, "-n", namespace, "--type=merge", "-p", &change.to_string()];
        self.0.kubectl(&args).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Waits until a dry run is answered as expected: policies, and what the server knows of Namespaces, take a moment.
    fn until(&self, what: &str, object: &Value, expected: impl Fn(&Result<String, String>) -> bool) {
        let begun = Instant::now();
        loop {
            let told = self.0.kubectl_stdin(&["apply", "--dry-run=server", "-f", "-"], &object.to_string());
            let told = told.map_err(|error| error.to_string());
            if expected(&told) {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "{what}: {told:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn object(namespace: &str, name: &str, project: &str) -> Value {
    json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"projectId": project, "type": "DATADOG",
            "datadog": {"apiKeySecretRef": {"name": "keys", "key": "api"}, "region": "US5"}}})
}

fn refused(told: &Result<String, String>) -> bool {
    told.as_ref().is_err_and(|message| message.contains("ValidatingAdmissionPolicy"))
}

/// A namespace names its projects and no others; what was granted once can be let go.
#[test]
fn projects_that_a_namespace_may_name() {
    let cluster = Cluster::with_the_kind();
    for namespace in ["payments", "search"] {
        cluster.0.kubectl(&["create", "namespace", namespace]).unwrap();
    }
    cluster.0.kubectl(&["apply", "-f", &format!("{ROOT}/deploy/policies/projects.yaml")]).unwrap();
    cluster.until("the policy", &object("payments", "x", GRANTED), refused);

    for list in [GRANTED.to_owned(), format!("{OTHER},\n{GRANTED}"), format!("{OTHER} {GRANTED}")] {
        cluster.annotate("payments", &format!("atlas-integrations.dev/project-ids={list}"));
        cluster.until("granted", &object("payments", "x", GRANTED), Result::is_ok);
        cluster.annotate("payments", &format!("atlas-integrations.dev/project-ids={OTHER}"));
        cluster.until("withdrawn", &object("payments", "x", GRANTED), refused);
    }
    // An id within something longer is none.
    cluster.annotate("payments", &format!("atlas-integrations.dev/project-ids={OTHER} a{GRANTED}"));
    cluster.until("granted", &object("payments", "x", OTHER), Result::is_ok);
    let message = cluster.apply(&object("payments", "x", GRANTED)).unwrap_err();
    let expected = format!(
        "the namespace payments may not name the project {GRANTED}: it is not in the annotation \
         atlas-integrations.dev/project-ids of the Namespace"
    );
    assert!(message.contains(&expected), "{message}");
    // Another namespace's grant is nobody else's.
    assert!(cluster.apply(&object("search", "x", OTHER)).is_err());

    cluster.apply(&object("payments", "x", OTHER)).unwrap();
    cluster.change("payments", "x", &json!({"metadata": {"finalizers": ["a.b/c"]}})).unwrap();
    cluster.annotate("payments", "atlas-integrations.dev/project-ids=");
    cluster.until("withdrawn", &object("payments", "y", OTHER), refused);
    let region = json!({"spec": {"datadog": {"region": "EU"}}});
    let message = cluster.change("payments", "x", &region).unwrap_err();
    assert!(message.contains("may not name the project"), "{message}");
    cluster.change("payments", "x", &json!({"metadata": {"labels": {"a": "b"}}})).unwrap();
    cluster.0.kubectl(&["delete", "atlasintegration", "x", "-n", "payments", "--wait=false"]).unwrap();
    cluster.change("payments", "x", &json!({"spec": {"deletionPolicy": "Retain"}})).unwrap();
    cluster.change("payments", "x", &json!({"metadata": {"finalizers": null}})).unwrap();
}

/// Adopt only where the Namespace says so.
#[test]
fn where_adopt_is_allowed() {
    let cluster = Cluster::with_the_kind();
    cluster.0.kubectl(&["create", "namespace", "payments"]).unwrap();
    cluster.0.kubectl(&["apply", "-f", &format!("{ROOT}/deploy/policies/adoption.yaml")]).unwrap();
    let mut adopting = object("payments", "x", GRANTED);
    adopting["spec"]["adoptionPolicy"] = "Adopt".into();
    cluster.until("the policy", &adopting, refused);
    let message = cluster.apply(&adopting).unwrap_err();
    let expected = "adoptionPolicy Adopt is not allowed in the namespace payments: its Namespace lacks the annotation \
                    atlas-integrations.dev/allow-adopt: \"true\"";
    assert!(message.contains(expected), "{message}");

    cluster.apply(&object("payments", "x", GRANTED)).unwrap();
    cluster.change("payments", "x", &json!({"spec": {"adoptionPolicy": "Refuse"}})).unwrap();
    let adopt = json!({"spec": {"adoptionPolicy": "Adopt"}});
    assert!(cluster.change("payments", "x", &adopt).is_err());
    cluster.annotate("payments", "atlas-integrations.dev/allow-adopt=false");
    assert!(cluster.change("payments", "x", &adopt).is_err());
    cluster.annotate("payments", "atlas-integrations.dev/allow-adopt=true");
    cluster.until("allowed", &adopting, Result::is_ok);
    cluster.change("payments", "x", &adopt).unwrap();
}

/// With `--default-adoption-policy=Adopt` an unset field adopts too; the policy has an expression that refuses it.
#[test]
fn where_adopt_is_allowed_by_default() {
    let cluster = Cluster::with_the_kind();
    cluster.0.kubectl(&["create", "namespace", "payments"]).unwrap();
    let policy = std::fs::read_to_string(format!("{ROOT}/deploy/policies/adoption.yaml")).unwrap();
    let lines: Vec<&str> = policy.lines().collect();
    let stricter = lines.iter().find_map(|line| line.strip_prefix("#   - expression: ")).unwrap();
    let expression = lines.iter().find_map(|line| line.strip_prefix("    - expression: ")).unwrap();
    cluster.0.kubectl_stdin(&["apply", "-f", "-"], &policy.replace(expression, stricter)).unwrap();
    let unset = object("payments", "x", GRANTED);
    cluster.until("the policy", &unset, refused);
    let mut refusing = unset.clone();
    refusing["spec"]["adoptionPolicy"] = "Refuse".into();
    cluster.apply(&refusing).unwrap();
    cluster.annotate("payments", "atlas-integrations.dev/allow-adopt=true");
    cluster.until("allowed", &unset, Result::is_ok);
}

/// The operator's records in the metadata: nobody else makes or changes them, and everybody may take them off.
#[test]
fn only_the_operator_claims() {
    const OPERATOR: &str = "system:serviceaccount:atlas-integration-operator:atlas-integration-operator";
    let cluster = Cluster::with_the_kind();
    cluster.0.kubectl(&["apply", "-f", &format!("{ROOT}/deploy/policies/claims.yaml")]).unwrap();
    cluster
        .0
        .kubectl(&[
            "create",
            "clusterrolebinding",
            "all",
            "--clusterrole=cluster-admin",
            &format!("--user={OPERATOR}"),
        ])
        .unwrap();
    let annotations = |name: &str, value: Value| json!({"metadata": {"annotations": {format!("atlas-integrations.dev/{name}"): value}}});
    let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    let own = "atlas-integrations.dev/finalizer";
    let by_operator = |change: &Value| {
        let args =
            ["patch", "atlasintegration", "x", "--as", OPERATOR, "--type=merge", "-p", &change.to_string()];
        cluster.0.kubectl(&args).unwrap();
    };
    let by_user = |change: &Value| cluster.change("default", "x", change);
    let denied = |change: &Value, what: &str| {
        let message = by_user(change).unwrap_err();
        assert!(message.contains("only the operator sets") && message.contains(what), "{message}");
    };

    cluster.apply(&object("default", "x", GRANTED)).unwrap();
    let mut probe = object("default", "x", GRANTED);
    probe["metadata"]["finalizers"] = json!([own]);
    cluster.until("the policy", &probe, refused);
    denied(&annotations("claim", "forged".into()), "annotation atlas-integrations.dev/claim");
    denied(&annotations("released", "now".into()), "annotation atlas-integrations.dev/released");
    denied(&finalizers(&["a.b/c", own]), "finalizer atlas-integrations.dev/finalizer");

    by_operator(&annotations("claim", "made".into()));
    by_operator(&annotations("released", "now".into()));
    by_operator(&finalizers(&[own]));
    denied(&annotations("claim", "forged".into()), "annotation atlas-integrations.dev/claim");
    denied(&annotations("released", "then".into()), "annotation atlas-integrations.dev/released");
    denied(&annotations("released", Value::Null), "annotation atlas-integrations.dev/released");
    // All else is free: the spec, other annotations and finalizers, and what the kind's own requests are.
    by_user(&json!({"metadata": {"labels": {"a": "b"}}, "spec": {"deletionPolicy": "Retain"}})).unwrap();
    by_user(&annotations("reconcile-requested-at", "1".into())).unwrap();
    by_user(&finalizers(&[own, "a.b/c"])).unwrap();
    // Taken off by hand.
    by_user(&annotations("claim", Value::Null)).unwrap();
    by_user(&finalizers(&["a.b/c"])).unwrap();
    denied(&finalizers(&[own]), "finalizer atlas-integrations.dev/finalizer");
    // A backup brings them along, on an object that gets another uid.
    let mut restored = object("default", "y", GRANTED);
    restored["metadata"]["annotations"] = json!({"atlas-integrations.dev/claim": "of another"});
    restored["metadata"]["finalizers"] = json!([own]);
    cluster.apply(&restored).unwrap();
    cluster.change("default", "y", &finalizers(&[])).unwrap();
}

/// The examples are accepted, under the policies too; there is one of each type.
#[test]
fn examples_are_accepted() {
    let cluster = Cluster::with_the_kind();
    crds::install(&cluster.0);
    cluster.0.kubectl(&["apply", "-f", &format!("{ROOT}/deploy/policies/projects.yaml")]).unwrap();
    cluster.0.kubectl(&["create", "namespace", "search"]).unwrap();
    cluster.until("the policy", &object("search", "x", GRANTED), refused);
    cluster.annotate("default", &format!("atlas-integrations.dev/project-ids={GRANTED}"));
    cluster.until("granted", &object("default", "x", GRANTED), Result::is_ok);
    let mut types = BTreeSet::new();
    for file in std::fs::read_dir(format!("{ROOT}/deploy/examples")).unwrap() {
        let path = file.unwrap().path();
        for example in documents(&std::fs::read_to_string(&path).unwrap()) {
            if example["kind"] == "Namespace" {
                cluster.apply(&example).unwrap();
                continue;
            }
            if let Some(namespace) = example["metadata"]["namespace"].as_str() {
                let project = example["spec"]["projectId"].as_str().unwrap_or(GRANTED);
                if example["kind"] == "AtlasIntegration" {
                    cluster.until(
                        &format!("granted in {namespace}"),
                        &object(namespace, "x", project),
                        Result::is_ok,
                    );
                }
            }
            cluster
                .apply(&example)
                .unwrap_or_else(|error| panic!("{} {}: {error}", path.display(), id(&example)));
            types.extend(example["spec"]["type"].as_str().map(str::to_owned));
        }
    }
    assert_eq!(types.len(), 10, "{types:?}");
}
