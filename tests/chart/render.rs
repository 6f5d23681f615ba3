//! What the chart renders, without a cluster.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use crate::helm::{CHART, NAME, ROOT, documents, fails, helm, rendered, succeeds, template};
use crate::objects::{find, id};

/// Every value that changes what is rendered, alone and in the combinations that meet.
pub const MATRIX: &[&[&str]] = &[
    &[],
    &["replicas=1"],
    &["crds.enabled=false"],
    &["crds.keep=false"],
    &["secrets.watch=false"],
    &["credentials.secretName=atlas"],
    &["watchNamespaces={payments,search}"],
    &["watchNamespaces={payments,search}", "credentials.secretName=atlas", "rbac.clusterFinalizers=true"],
    &["watchNamespaces={payments}", "credentials.secretName=atlas", "secrets.watch=false"],
    &[
        "rbac.aggregate=true",
        "podDisruptionBudget.enabled=false",
        "topologySpreadConstraints[0].maxSkew=1",
        "topologySpreadConstraints[0].topologyKey=zone",
        "topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule",
    ],
    &["serviceAccount.create=false", "serviceAccount.name=other"],
    &["serviceAccount.annotations.a=b", "commonLabels.team=db", "podLabels.a=b", "podAnnotations.a=b"],
    &["customCA.configMapName=ca", "proxy.url=http://proxy.example.com:3128", "proxy.noProxy={.example.com}"],
    &["networkPolicy.enabled=true"],
    &[
        "networkPolicy.enabled=true",
        "networkPolicy.ingress.from[0].podSelector.matchLabels.app=prometheus",
        "networkPolicy.egress.dns=null",
        "networkPolicy.egress.to[0].ipBlock.cidr=203.0.113.7/32",
    ],
    &[
        "serviceMonitor.enabled=true",
        "serviceMonitor.labels.release=prometheus",
        "serviceMonitor.interval=15s",
    ],
    &["networkPolicy.enabled=true", "proxy.url=http://proxy.example.com:3128"],
    &["image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000"],
    &["imagePullSecrets[0].name=registry", "priorityClassName=system-cluster-critical"],
    &[
        "nodeSelector.disk=ssd",
        "tolerations[0].operator=Exists",
        "resources=null",
        "deploymentAnnotations.a=b",
    ],
    &["selector=team=db", "logs.format=text", "logs.level=debug", "resyncInterval=5m"],
    &[
        "defaults.adoptionPolicy=Adopt",
        "defaults.deletionPolicy=Retain",
        "atlas.url=https://cloud.mongodbgov.com",
    ],
    &[
        "fullnameOverride=db-operator",
        "extraArgs={--concurrency=4}",
        "extraEnv[0].name=TZ",
        "extraEnv[0].value=UTC",
    ],
    &[
        "extraVolumes[0].name=tmp",
        "extraVolumes[0].emptyDir.medium=Memory",
        "extraVolumeMounts[0].name=tmp",
        "extraVolumeMounts[0].mountPath=/tmp",
    ],
];

#[test]
fn lint_finds_nothing() {
    for sets in MATRIX {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let told = succeeds(helm(None, &[&["lint", "--strict", CHART], &sets[..]].concat()));
        assert!(told.contains("0 chart(s) failed") && !told.contains("[WARN"), "{told}");
    }
}

#[test]
fn versions_are_the_programs() {
    let chart: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(format!("{CHART}/Chart.yaml")).unwrap()).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
}

#[rstest]
#[case("replica=1", "additional properties 'replica' not allowed")]
#[case("secrets.wach=false", "at '/secrets': additional properties 'wach' not allowed")]
#[case("replicas=two", "at '/replicas': got string, want integer")]
#[case("atlas.url=http://cloud.mongodb.com", "at '/atlas/url'")]
#[case("defaults.deletionPolicy=Keep", "value must be one of 'Delete', 'Retain'")]
#[case("watchNamespaces={Payments}", "at '/watchNamespaces/0'")]
#[case("watchNamespaces={a,a}", "items at 0 and 1 are equal")]
#[case("proxy.url=http://user:pw@proxy:3128", "at '/proxy/url'")]
#[case("proxy.url=http://proxy", "at '/proxy/url'")]
#[case("proxy.url=socks5://proxy:1080", "at '/proxy/url'")]
#[case("proxy.url=http://pro xy:3128", "at '/proxy/url'")]
#[case("proxy.noProxy={https://example.com}", "at '/proxy/noProxy/0'")]
#[case("proxy.noProxy={a;b}", "at '/proxy/noProxy/0'")]
#[case("networkPolicy.egress.to[0].cidr=10.0.0.0/8", "additional properties 'cidr' not allowed")]
#[case("networkPolicy.egress.to[0].ipBlock.except={10.0.0.0/8}", "missing property 'cidr'")]
#[case("networkPolicy.ingress.from=monitoring", "at '/networkPolicy/ingress/from'")]
#[case("logs.level=verbose", "at '/logs/level'")]
#[case("logs.level=warning", "at '/logs/level'")]
#[case("logs.level=", "at '/logs/level'")]
#[case("image.digest=sha256:1", "at '/image/digest'")]
#[case("resyncInterval=soon", "at '/resyncInterval'")]
#[case("extraArgs={run}", "at '/extraArgs/0'")]
fn the_schema_refuses(#[case] set: &str, #[case] expected: &str) {
    let message = fails(template(&[set]));
    assert!(message.contains(expected), "{message}");
}

#[test]
fn an_old_cluster_is_refused() {
    let message = fails(helm(None, &["template", NAME, CHART, "--kube-version", "1.32.0"]));
    assert!(message.contains("kubeVersion: >=1.33.0-0"), "{message}");
}

/// What tells who installed something, and nothing else, is taken out.
fn plain(mut object: Value) -> Value {
    fn without(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|key, _| {
                    ![
                        "helm.sh/",
                        "app.kubernetes.io/instance",
                        "app.kubernetes.io/managed-by",
                        "app.kubernetes.io/version",
                    ]
                    .iter()
                    .any(|prefix| key.starts_with(prefix))
                });
                map.values_mut().for_each(without);
            }
            Value::Array(items) => items.iter_mut().for_each(without),
            _ => {}
        }
    }
    without(&mut object);
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|_, value| *value != json!({}));
    // The file's objects have it where it selects, the chart's all over.
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.remove("app.kubernetes.io/name");
        if labels.is_empty() {
            metadata.remove("labels");
        }
    }
    object
}

fn sorted(objects: Vec<Value>) -> Vec<Value> {
    let mut objects: Vec<Value> = objects.into_iter().map(plain).collect();
    objects.sort_by_key(|object| format!("{} {}", id(object), object["metadata"]["namespace"]));
    // The order of rules says nothing.
    for object in &mut objects {
        if let Some(rules) = object.get_mut("rules").and_then(Value::as_array_mut) {
            rules.sort_by_key(Value::to_string);
        }
    }
    objects
}

/// What kustomize, which is in kubectl, makes of a folder.
pub fn kustomized(folder: &str) -> Vec<Value> {
    kustomize(&format!("{ROOT}/{folder}"))
}

fn kustomize(folder: &str) -> Vec<Value> {
    let assets = control_plane::Assets::locate().unwrap();
    let output = std::process::Command::new(assets.kubectl()).args(["kustomize", folder]).output();
    documents(&succeeds(output.unwrap()))
}

/// What an overlay makes of `deploy/` and one of its components.
pub fn with_component(name: &str) -> Vec<Value> {
    let overlay = tempfile::tempdir().unwrap();
    // kustomize takes no absolute path.
    let root = format!("{}{}", "../".repeat(overlay.path().components().count() - 1), &ROOT[1..]);
    let text = json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        "resources": [format!("{root}/deploy")], "components": [format!("{root}/deploy/components/{name}")]});
    std::fs::write(overlay.path().join("kustomization.yaml"), text.to_string()).unwrap();
    kustomize(overlay.path().to_str().unwrap())
}

fn same(deployed: Vec<Value>, charted: Vec<Value>) {
    // The chart leaves the namespace to `--create-namespace`, and the default to the API server.
    let deployed: Vec<Value> = deployed.into_iter().filter(|object| object["kind"] != "Namespace").collect();
    let (deployed, mut charted) = (sorted(deployed), sorted(charted));
    for object in &mut charted {
        if object["kind"] == "Deployment" {
            object["spec"]["template"]["spec"]["containers"][0]
                .as_object_mut()
                .unwrap()
                .remove("imagePullPolicy");
        }
    }
    let ids = |objects: &[Value]| objects.iter().map(id).collect::<Vec<_>>();
    assert_eq!(ids(&deployed), ids(&charted));
    for (deployed, charted) in deployed.iter().zip(&charted) {
        assert_eq!(deployed, charted, "{}", id(deployed));
    }
}

#[test]
fn deploy_is_what_the_chart_renders() {
    same(kustomized("deploy"), rendered(&[]));
}

/// The components of `deploy/`, each with the value of the chart that does the same.
pub const COMPONENTS: [(&str, &str); 2] = [
    ("credentials-secret", "credentials.secretName=atlas"),
    ("network-policy", "networkPolicy.enabled=true"),
];

#[test]
fn components_are_what_the_chart_renders() {
    let folder = std::fs::read_dir(format!("{ROOT}/deploy/components")).unwrap();
    let found: BTreeSet<String> = folder.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, COMPONENTS.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (component, set) in COMPONENTS {
        same(with_component(component), rendered(&[set]));
    }
}

#[test]
fn overlays_are_what_the_chart_renders() {
    let mut names = kustomized("deploy/overlays/cluster-wide");
    names.retain(|object| object["kind"] != "Namespace");
    let mut base = kustomized("deploy");
    base.retain(|object| object["kind"] != "Namespace");
    assert_eq!(sorted(names), sorted(base));
    same(kustomized("deploy/overlays/namespaced"), rendered(&["watchNamespaces={payments}"]));
}

/// One rule as a line.
fn lines(role: &Value) -> BTreeSet<String> {
    let words = |value: &Value| -> String {
        let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        items.collect::<Vec<_>>().join(",")
    };
    let rules = role["rules"].as_array().unwrap().iter();
    rules
        .map(|rule| {
            let only = words(&rule["resourceNames"]);
            let only = if only.is_empty() { only } else { format!(" only {only}") };
            format!("{} of {}{only}", words(&rule["verbs"]), words(&rule["resources"]))
        })
        .collect()
}

/// All roles that are rendered, with their namespace where they have one.
fn roles(sets: &[&str]) -> Vec<(String, BTreeSet<String>)> {
    let objects = rendered(sets);
    let roles =
        objects.iter().filter(|object| matches!(object["kind"].as_str(), Some("Role" | "ClusterRole")));
    let mut roles: Vec<_> = roles
        .map(|role| {
            let namespace =
                role["metadata"]["namespace"].as_str().map(|n| format!(" in {n}")).unwrap_or_default();
            (format!("{}{namespace}", id(role)).replace(NAME, "X"), lines(role))
        })
        .collect();
    roles.sort();
    roles
}

const OBJECTS: &str = "get,list,watch,patch of atlasintegrations";
const STATUS: &str = "patch of atlasintegrations/status";
const SECRETS: &str = "get,list,watch of secrets";
const EVENTS: &str = "create of events";
const CRD: &str = "get of customresourcedefinitions only atlasintegrations.atlas-integrations.dev";
const LEASES: &str = "create of leases";
const LEASE: &str = "get,update of leases only atlas-integration-operator";
const WRITE: &str = "create,update,patch,delete,deletecollection of atlasintegrations";

#[rstest]
#[case::as_it_comes(&[], &[
    ("ClusterRole X", vec![OBJECTS, STATUS, SECRETS, EVENTS, CRD]),
    ("Role X in X", vec![LEASES, LEASE]),
])]
#[case::with_roles_for_users(&["rbac.aggregate=true"], &[
    ("ClusterRole X", vec![OBJECTS, STATUS, SECRETS, EVENTS, CRD]),
    ("ClusterRole X-admin", vec![WRITE]), ("ClusterRole X-edit", vec![WRITE]),
    ("ClusterRole X-view", vec!["get,list,watch of atlasintegrations"]),
    ("Role X in X", vec![LEASES, LEASE]),
])]
#[case::without_watching_secrets(&["secrets.watch=false"], &[
    ("ClusterRole X", vec![OBJECTS, STATUS, "get of secrets", EVENTS, CRD]),
    ("Role X in X", vec![LEASES, LEASE]),
])]
#[case::platform_key(&["credentials.secretName=atlas"], &[
    ("ClusterRole X", vec![OBJECTS, STATUS, SECRETS, "get,list,watch of namespaces", EVENTS, CRD]),
    ("Role X in X", vec![LEASES, LEASE]),
])]
#[case::namespaces(&["watchNamespaces={payments,search}"], &[
    ("Role X in X", vec![LEASES, LEASE]),
    ("Role X-objects in payments", vec![OBJECTS, STATUS, SECRETS, EVENTS]),
    ("Role X-objects in search", vec![OBJECTS, STATUS, SECRETS, EVENTS]),
])]
#[case::namespaces_and_a_platform_key(
    &["watchNamespaces={payments}", "credentials.secretName=atlas", "secrets.watch=false", "rbac.clusterFinalizers=true"],
    &[
        ("ClusterRole X-finalizers", vec![OBJECTS, STATUS]),
        ("Role X in X", vec![LEASES, LEASE, "get of secrets only atlas"]),
        ("Role X-objects in payments", vec![OBJECTS, STATUS, "get of secrets", EVENTS, "get of namespaces only payments"]),
    ])]
fn rbac_is_exactly_this(#[case] sets: &[&str], #[case] expected: &[(&str, Vec<&str>)]) {
    let expected: Vec<(String, BTreeSet<String>)> = expected
        .iter()
        .map(|(role, lines)| ((*role).to_owned(), lines.iter().map(|line| (*line).to_owned()).collect()))
        .collect();
    assert_eq!(roles(sets), expected);
}

/// Each binding binds a role that is rendered with it to the operator's account.
#[test]
fn bindings_fit() {
    for sets in MATRIX {
        let objects = rendered(sets);
        let account =
            find(&objects, &deployment(&objects))["spec"]["template"]["spec"]["serviceAccountName"].clone();
        for binding in objects.iter().filter(|object| id(object).contains("Binding ")) {
            let role = format!(
                "{} {}",
                binding["roleRef"]["kind"].as_str().unwrap(),
                binding["roleRef"]["name"].as_str().unwrap()
            );
            let bound = objects.iter().any(|object| {
                id(object) == role && object["metadata"]["namespace"] == binding["metadata"]["namespace"]
            });
            assert!(bound, "{role} of {binding} with {sets:?}");
            let subjects = json!([{"kind": "ServiceAccount", "name": account, "namespace": NAME}]);
            assert_eq!(binding["subjects"], subjects);
        }
    }
}

fn deployment(objects: &[Value]) -> String {
    objects.iter().map(id).find(|id| id.starts_with("Deployment ")).unwrap()
}

fn container(sets: &[&str]) -> Value {
    let objects = rendered(sets);
    find(&objects, &deployment(&objects))["spec"]["template"]["spec"]["containers"][0].clone()
}

#[rstest]
#[case(&[], &[])]
#[case(&["watchNamespaces={a,b}"], &["--watch-namespace=a", "--watch-namespace=b"])]
#[case(&["selector=team in (db\\,x)"], &["--selector=team in (db,x)"])]
#[case(&["secrets.watch=false", "credentials.secretName=atlas"], &["--watch-secrets=false", "--credentials-secret=atlas"])]
#[case(&["defaults.adoptionPolicy=Adopt", "defaults.deletionPolicy=Retain"],
    &["--default-adoption-policy=Adopt", "--default-deletion-policy=Retain"])]
#[case(&["atlas.url=https://cloud.mongodbgov.com", "resyncInterval=5m"],
    &["--atlas-url=https://cloud.mongodbgov.com", "--resync-interval=5m"])]
#[case(&["logs.format=text", "logs.level=debug", "extraArgs={--concurrency=4}"],
    &["--log-format=text", "--log-level=debug", "--concurrency=4"])]
#[case(&["fullnameOverride=other"], &["--leader-election-lease-name=other"])]
fn flags(#[case] sets: &[&str], #[case] expected: &[&str]) {
    assert_eq!(container(sets)["args"], json!([&["run", "--leader-elect"], expected].concat()));
}

/// The program itself accepts every flag that is rendered; it then ends since there is no cluster.
#[test]
fn the_program_knows_the_flags() {
    for sets in MATRIX {
        let args: Vec<String> = serde_json::from_value(container(sets)["args"].clone()).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_atlas-integration-operator"));
        command.args(&args).env_clear().env("KUBECONFIG", "/nonexistent");
        let message = fails(command.output().unwrap());
        assert!(!message.contains("Usage") && message.contains("/nonexistent"), "{args:?}: {message}");
    }
}

#[test]
fn budget_only_from_two_replicas() {
    let has = |sets: &[&str]| rendered(sets).iter().any(|object| object["kind"] == "PodDisruptionBudget");
    assert!(has(&[]) && has(&["replicas=3"]));
    assert!(!has(&["replicas=1"]) && !has(&["replicas=0"]) && !has(&["podDisruptionBudget.enabled=false"]));
}

#[test]
fn the_crd_is_kept_unless_told_otherwise() {
    let crd = "CustomResourceDefinition atlasintegrations.atlas-integrations.dev";
    let policy = |sets: &[&str]| {
        find(&rendered(sets), crd)["metadata"]["annotations"]["helm.sh/resource-policy"].clone()
    };
    assert_eq!((policy(&[]), policy(&["crds.keep=false"])), (json!("keep"), Value::Null));
    assert!(!rendered(&["crds.enabled=false"]).iter().any(|object| id(object) == crd));
}

/// The policy's rules that are rendered with these values.
fn network(sets: &[&str]) -> Value {
    let objects = rendered(&[sets, &["networkPolicy.enabled=true"]].concat());
    find(&objects, &format!("NetworkPolicy {NAME}"))["spec"].clone()
}

#[test]
fn egress_is_to_dns_the_api_server_and_atlas_or_the_proxy() {
    let ports = |sets: &[&str]| -> Vec<Vec<u64>> {
        let policy = network(sets);
        let ports = |rule: &Value| {
            let ports = rule["ports"].as_array().unwrap().iter();
            ports.map(|port| port["port"].as_u64().unwrap()).collect()
        };
        policy["egress"].as_array().unwrap().iter().map(ports).collect()
    };
    assert_eq!(ports(&[]), [vec![53, 53], vec![443, 6443]]);
    assert_eq!(
        ports(&["proxy.url=http://proxy:3128", "networkPolicy.apiServerPorts={6443}"]),
        [vec![53, 53], vec![6443, 3128]]
    );
}

/// T38: metrics are for the namespace of Prometheus, DNS is in the cluster, and with a list of peers no rule is left
/// that reaches any address.
#[test]
fn a_taken_operator_reaches_what_the_values_allow() {
    let namespace =
        |name: &str| json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}});
    let policy = network(&[]);
    assert_eq!(policy["policyTypes"], json!(["Ingress", "Egress"]));
    let ingress =
        json!([{"ports": [{"protocol": "TCP", "port": "http"}], "from": [namespace("monitoring")]}]);
    assert_eq!(policy["ingress"], ingress);
    let dns = json!([namespace("kube-system"), {"ipBlock": {"cidr": "169.254.20.10/32"}}]);
    assert_eq!(policy["egress"][0]["to"], dns);

    let policy = network(&[
        "networkPolicy.ingress.from[0].podSelector.matchLabels.app=prometheus",
        "networkPolicy.egress.dns[0].ipBlock.cidr=203.0.113.53/32",
        "networkPolicy.egress.to[0].ipBlock.cidr=203.0.113.7/32",
        "networkPolicy.egress.to[1].podSelector.matchLabels.app=proxy",
    ]);
    let proxy = |app: &str| json!({"podSelector": {"matchLabels": {"app": app}}});
    assert_eq!(policy["ingress"][0]["from"], json!([proxy("prometheus")]));
    let rules = policy["egress"].as_array().unwrap();
    let to: Vec<&Value> = rules.iter().map(|rule| &rule["to"]).collect();
    let block = |cidr: &str| json!({"ipBlock": {"cidr": cidr}});
    assert_eq!(to, [&json!([block("203.0.113.53/32")]), &json!([block("203.0.113.7/32"), proxy("proxy")])]);
}

#[test]
fn proxy_and_certificates_reach_the_process() {
    let container =
        container(&["customCA.configMapName=ca", "proxy.url=http://p:3128", "proxy.noProxy={.example.com}"]);
    assert_eq!(
        container["env"],
        json!([
            {"name": "SSL_CERT_FILE", "value": "/etc/atlas-integration-operator/ca/ca.crt"},
            {"name": "HTTPS_PROXY", "value": "http://p:3128"},
            {"name": "NO_PROXY", "value": "kubernetes.default.svc,$(KUBERNETES_SERVICE_HOST),.example.com"},
        ])
    );
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/etc/atlas-integration-operator/ca");
}
