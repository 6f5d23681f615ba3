//! The rules that an operator runs under: those that the chart renders for the values that its flags stand for, bound to
//! the ServiceAccount that the test gives it.
//!
//! Under which of them the whole suite runs is said by the variable `RULES` (see [`Mode`]; `make test-rules`).

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use control_plane::ControlPlane;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::world::helm::{NAME, rendered};
use crate::world::{admin, until_found};

/// For tests of what is seen at once by a watch of Secrets, or of that watch itself: they have it in every mode. Each
/// says beside it why it can't do without.
pub const SECRETS_WATCHED: &str = "--watch-secrets=true";

/// The values of the chart that the suite runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// As it comes: one ClusterRole, whatever the operator watches.
    Cluster,
    /// `watchNamespaces`: Roles in the namespaces that the operator watches, and no ClusterRole. An operator that
    /// watches all has the ClusterRole.
    Roles,
    /// `secrets.watch=false`: the ClusterRole without list and watch on Secrets, and the flag that goes with it.
    NoSecretWatch,
}

static MODE: LazyLock<Mode> = LazyLock::new(|| match std::env::var("RULES").as_deref() {
    Err(_) | Ok("cluster") => Mode::Cluster,
    Ok("roles") => Mode::Roles,
    Ok("no-secret-watch") => Mode::NoSecretWatch,
    Ok(other) => panic!("RULES is cluster, roles or no-secret-watch, and not {other}"),
});

/// A resync that no test waits for, so that the watch of Secrets is what sees a rotation; where there is none, one that
/// sees it soon.
pub fn rare_resync() -> &'static str {
    if *MODE == Mode::NoSecretWatch { "1s" } else { "1h" }
}

/// What the mode adds to an operator's flags.
pub fn flags_of_mode(flags: &[&str]) -> &'static [&'static str] {
    let said = !values_of(flags, "--watch-secrets").is_empty();
    if *MODE == Mode::NoSecretWatch && !said { &["--watch-secrets=false"] } else { &[] }
}

/// Installs the rules for an operator with these flags that runs as this ServiceAccount (namespace and name), and
/// waits until they hold.
pub async fn install(plane: &ControlPlane, account: (&str, &str), flags: &[&str]) {
    apply(plane, account, &of(account, flags)).await;
}

/// The roles and bindings for an operator with these flags. The names are the account's namespace's where they are the
/// release's in the chart, so that tests have rules of their own.
pub fn of(account: (&str, &str), flags: &[&str]) -> Vec<Value> {
    in_mode(*MODE, account, flags)
}

/// The same with Roles alone in the namespaces that are watched, whatever the mode.
pub fn with_roles(account: (&str, &str), flags: &[&str]) -> Vec<Value> {
    in_mode(Mode::Roles, account, flags)
}

fn in_mode(mode: Mode, (namespace, name): (&str, &str), flags: &[&str]) -> Vec<Value> {
    let watched = values_of(flags, "--watch-namespace");
    let flags = [flags, flags_of_mode(flags)].concat();
    let mut sets = vec!["crds.enabled=false".to_owned()];
    if mode == Mode::Roles && !watched.is_empty() {
        let places: Vec<String> = (0..watched.len()).map(place).collect();
        sets.push(format!("watchNamespaces={{{}}}", places.join(",")));
    }
    if values_of(&flags, "--watch-secrets") == ["false"] {
        sets.push("secrets.watch=false".to_owned());
    }
    for secret in values_of(&flags, "--credentials-secret") {
        sets.push(format!("credentials.secretName={secret}"));
    }
    let mut text = rendered_once(sets);
    for (number, namespace) in watched.iter().enumerate() {
        text = text.replace(&format!("\"{}\"", place(number)), &format!("\"{namespace}\""));
    }
    let mut objects: Vec<Value> = serde_json::from_str(&text).unwrap();
    let renamed = |value: &Value| Value::from(value.as_str().unwrap().replace(NAME, namespace));
    for object in &mut objects {
        object["metadata"]["name"] = renamed(&object["metadata"]["name"]);
        if object["metadata"]["namespace"] == NAME {
            object["metadata"]["namespace"] = namespace.into();
        }
        if object["roleRef"].is_object() {
            object["roleRef"]["name"] = renamed(&object["roleRef"]["name"]);
            object["subjects"] = json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}]);
        }
    }
    objects
}

/// These rules with other verbs on a kind of resource that one of them lets be watched.
pub fn with_verbs(mut objects: Vec<Value>, resource: &str, verbs: &[&str]) -> Vec<Value> {
    let rules = objects.iter_mut().filter_map(|object| object.get_mut("rules")?.as_array_mut()).flatten();
    let is_watched = |verbs: &Value| verbs.as_array().is_some_and(|verbs| verbs.contains(&json!("watch")));
    let mut watched: Vec<&mut Value> =
        rules.filter(|rule| rule["resources"] == json!([resource]) && is_watched(&rule["verbs"])).collect();
    assert_eq!(watched.len(), 1, "{watched:?}");
    watched[0]["verbs"] = json!(verbs);
    objects
}

/// A name that stands for a namespace until it is known.
fn place(number: usize) -> String {
    format!("watched-{number}")
}

/// The roles and bindings that the chart renders with these values, as a list in JSON.
fn rendered_once(sets: Vec<String>) -> String {
    static RENDERED: Mutex<Option<HashMap<Vec<String>, String>>> = Mutex::new(None);
    tokio::task::block_in_place(|| {
        let mut known = RENDERED.lock().unwrap();
        let known = known.get_or_insert_default();
        if let Some(text) = known.get(&sets) {
            return text.clone();
        }
        let mut objects = rendered(&sets.iter().map(String::as_str).collect::<Vec<_>>());
        objects.retain(|object| object["apiVersion"] == "rbac.authorization.k8s.io/v1");
        assert!(!objects.is_empty());
        known.entry(sets).or_insert(Value::from(objects).to_string()).clone()
    })
}

/// Creates or changes rules, and waits until the account has what they allow.
pub async fn apply(plane: &ControlPlane, (namespace, name): (&str, &str), objects: &[Value]) {
    let client = admin(plane).await;
    for object in objects {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", &text(&object["kind"]));
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let params = PatchParams::apply("test").force();
        api.patch(&text(&object["metadata"]["name"]), &params, &Patch::Apply(object)).await.unwrap();
    }
    // The authorizer sees new rules a moment later; an operator that is refused a watch would do without it.
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    for role in objects {
        for rule in role["rules"].as_array().into_iter().flatten() {
            let (resource, subresource) = match rule["resources"][0].as_str().unwrap().split_once('/') {
                Some((resource, subresource)) => (resource, Some(subresource)),
                None => (rule["resources"][0].as_str().unwrap(), None),
            };
            let review = json!({"metadata": {}, "spec": {
                "user": format!("system:serviceaccount:{namespace}:{name}"),
                "resourceAttributes": {"group": rule["apiGroups"][0], "resource": resource,
                    "subresource": subresource, "name": rule["resourceNames"][0],
                    "verb": rule["verbs"].as_array().unwrap().last(),
                    "namespace": role["metadata"]["namespace"]}}});
            let review: SubjectAccessReview = serde_json::from_value(review).unwrap();
            until_found(&format!("leave to {rule}"), || async {
                let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
                answer.status.filter(|status| status.allowed)
            })
            .await;
        }
    }
}

/// Deletes bindings, where they are not gone already, and waits until the account may not list objects where they were.
pub async fn take_away(plane: &ControlPlane, (namespace, name): (&str, &str), bindings: &[Value]) {
    let client = admin(plane).await;
    let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", "RoleBinding");
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    for binding in bindings {
        let place = binding["metadata"]["namespace"].as_str().unwrap();
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), place, &ApiResource::from_gvk(&kind));
        let deleted =
            api.delete(binding["metadata"]["name"].as_str().unwrap(), &DeleteParams::default()).await;
        assert!(deleted.as_ref().err().is_none_or(is_not_found), "{deleted:?}");
        let review = json!({"metadata": {}, "spec": {
            "user": format!("system:serviceaccount:{namespace}:{name}"),
            "resourceAttributes": {"group": "atlas-integrations.dev", "resource": "atlasintegrations",
                "verb": "list", "namespace": place}}});
        let review: SubjectAccessReview = serde_json::from_value(review).unwrap();
        until_found(&format!("no leave to list objects in {place}"), || async {
            let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
            answer.status.filter(|status| !status.allowed)
        })
        .await;
    }
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// The values that are given for a flag.
fn values_of<'a>(flags: &[&'a str], name: &str) -> Vec<&'a str> {
    let apart = flags.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1]);
    let joined = flags.iter().filter_map(|flag| flag.strip_prefix(name)?.strip_prefix('='));
    apart.chain(joined).collect()
}
