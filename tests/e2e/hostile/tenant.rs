//! A tenant's toolbox: somebody who may do in the world's namespace what a tenant may do there, and nothing else. Each
//! request is made as that user, under a Role with the kind and Secrets, so a test of an attack has only to say what the
//! tenant sends and how it is answered.

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::world::{World, api, client, until_found};

/// What the API server answers to a tenant: the object, or the status of a refusal such as 403 or 422.
pub type Answer = Result<Value, u16>;

/// A tenant of a world's namespace.
pub struct Tenant {
    client: Client,
    namespace: String,
}

impl Tenant {
    /// Gives a user the rights of a tenant in the namespace of `world`, and waits until they hold.
    pub async fn of(world: &World) -> Tenant {
        let namespace = world.namespace.as_str();
        let user = format!("eve-of-{namespace}");
        let metadata = json!({"name": "tenant", "namespace": namespace});
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
        let group = "rbac.authorization.k8s.io";
        world
            .create(
                &json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata, "rules": [
                {"apiGroups": ["atlas-integrations.dev"], "resources": ["atlasintegrations"], "verbs": verbs},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": verbs}]}),
            )
            .await;
        world
            .create(&json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "tenant"},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}]}))
            .await;
        let tenant = Tenant {
            client: client(&world.shared.plane, Some(&user)).await,
            namespace: namespace.to_owned(),
        };
        // The authorizer sees new rules a moment later.
        until_found("a tenant's rights", || async {
            (tenant.get("Secret", "none").await != Err(403)).then_some(())
        })
        .await;
        tenant
    }

    /// The same user, who reaches for another namespace.
    pub fn reaching_for(&self, namespace: &str) -> Tenant {
        Tenant { client: self.client.clone(), namespace: namespace.to_owned() }
    }

    /// Reads an object.
    pub async fn get(&self, kind: &str, name: &str) -> Answer {
        answer(self.api(kind).get(name).await)
    }

    /// Creates an object, whatever namespace its metadata names.
    pub async fn create(&self, object: &Value) -> Answer {
        let kind = object["kind"].as_str().unwrap();
        let object = serde_json::from_value(object.clone()).unwrap();
        answer(self.api(kind).create(&PostParams::default(), &object).await)
    }

    /// Creates a Secret, or gives it these values.
    pub async fn secret(&self, name: &str, values: &[(&str, &str)]) -> Answer {
        let data: serde_json::Map<String, Value> =
            values.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let object =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        answer(
            self.api("Secret").patch(name, &PatchParams::apply("eve").force(), &Patch::Apply(&object)).await,
        )
    }

    /// Merges a change into an object.
    pub async fn patch(&self, kind: &str, name: &str, change: &Value) -> Answer {
        answer(self.api(kind).patch(name, &PatchParams::default(), &Patch::Merge(change)).await)
    }

    /// Merges a change into the status of an object.
    pub async fn patch_status(&self, name: &str, status: &Value) -> Answer {
        let change = Patch::Merge(json!({"status": status}));
        answer(self.api("AtlasIntegration").patch_status(name, &PatchParams::default(), &change).await)
    }

    /// Deletes an object.
    pub async fn delete(&self, kind: &str, name: &str) -> Answer {
        let deleted = self.api(kind).delete(name, &DeleteParams::default()).await;
        deleted.map(|_| Value::Null).map_err(code)
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        api(&self.client, kind, Some(&self.namespace))
    }
}

fn answer(found: Result<DynamicObject, kube::Error>) -> Answer {
    found.map(|object| serde_json::to_value(object).unwrap()).map_err(code)
}

fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("no answer: {other}"),
    }
}
