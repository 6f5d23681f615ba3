//! The only writer to the API server. Every patch contains uid and resourceVersion, so if our view is stale, or the
//! object was created again under its name, the patch fails before anything reaches Atlas.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use serde_json::{Map, Value, json};

use super::decode::{Stored, TOO_MANY_FINALIZERS, decode};
use super::encode;
use super::mapping::Defaults;
use super::wire::Wire;
use crate::api::{AtlasIntegration, CLAIM_ANNOTATION, FINALIZER, RELEASED_ANNOTATION};
use crate::domain::{Attempt, Claim, ObjectKey, Status, plain, without_quotes};

const FIELD_MANAGER: &str = "atlas-integration-operator";
/// The API server's message about a write is cut at this many characters.
const MAX_MESSAGE: usize = 1_000;
/// The time limit of a call to the API server.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// Why a read or write of an object failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object has changed since it was read, so the caller has to plan again.
    #[error("the object changed meanwhile")]
    Moved,
    /// The object is gone, or another object has its name.
    #[error("the object is gone")]
    Gone,
    /// The API server refuses this write, and will refuse it again until somebody changes what forbids it: the rules of
    /// RBAC, an admission policy, a webhook, or the schema of the CRD.
    #[error("the {write} was not stored: {why}{}", advice(why))]
    Refused {
        /// Which write, by its word in the metric of writes.
        write: &'static str,
        /// The API server's message, which names who refused.
        why: String,
    },
    /// Anything else, with the API server's message. The objects written contain no secrets, so neither does the
    /// message.
    #[error("the API server refused or did not answer: {0}")]
    Server(String),
}

/// What to do about a refusal, by its text: the status alone does not tell RBAC and admission apart.
fn advice(why: &str) -> &'static str {
    if why.contains("cannot patch") || why.contains("cannot get") {
        "; grant the operator's ServiceAccount the verbs of deploy/base/rbac.yaml in this namespace; if the namespace is \
         being deleted and its RoleBinding is gone already, apply deploy/cluster-finalizers.yaml"
    } else if why.contains("denied") {
        "; let the admission policy or webhook that it names accept the operator's ServiceAccount"
    } else {
        ""
    }
}

/// Reads and writes `AtlasIntegration` objects.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    defaults: Defaults,
    writes: Arc<dyn Fn(&'static str) + Send + Sync>,
}

impl Writer {
    /// A writer, which reports the kind of every write to `writes`.
    pub fn new(
        client: Client,
        defaults: Defaults,
        writes: Arc<dyn Fn(&'static str) + Send + Sync>,
    ) -> Writer {
        Writer { client, defaults, writes }
    }

    fn api(&self, key: &ObjectKey) -> Api<Wire> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    /// Reads the object as it is now; `None` if there is none.
    ///
    /// # Errors
    /// [`WriteError::Server`].
    pub async fn get(&self, key: &ObjectKey) -> Result<Option<Stored>, WriteError> {
        let api = self.api(key);
        let found = limited("", api.get_opt(&key.name)).await.map_err(|error| match error {
            WriteError::Refused { why, .. } | WriteError::Server(why) => {
                WriteError::Server(format!("the object was not read: {why}{}", advice(&why)))
            }
            error => error,
        })?;
        Ok(found.and_then(|wire| decode(wire, self.defaults)))
    }

    /// Claims a place: adds finalizer and annotation in one patch, which is the fence of the first write.
    ///
    /// # Errors
    /// A [`WriteError`].
    pub async fn claim(&self, stored: &Stored, claim: &Claim) -> Result<Stored, WriteError> {
        let text = serde_json::to_string(claim).map_err(|error| WriteError::Server(error.to_string()))?;
        let mut finalizers = other_finalizers(stored, "claim")?;
        finalizers.push(FINALIZER.to_owned());
        let annotations = json!({CLAIM_ANNOTATION: text, RELEASED_ANNOTATION: null});
        self.metadata(stored, "claim", json!({"finalizers": finalizers, "annotations": annotations})).await
    }

    /// Releases a place: one patch removes finalizer and claim, and sets the mark that voids `applied`. An object that
    /// is being deleted is gone afterwards, unless another finalizer holds it.
    ///
    /// # Errors
    /// A [`WriteError`].
    pub async fn release(&self, stored: &Stored, at: jiff::Timestamp) -> Result<Stored, WriteError> {
        let annotations = json!({CLAIM_ANNOTATION: null, RELEASED_ANNOTATION: at.to_string()});
        let finalizers = other_finalizers(stored, "release")?;
        let change = json!({"finalizers": finalizers, "annotations": annotations});
        self.metadata(stored, "release", change).await
    }

    /// Writes the fence before a write to Atlas: a fresh `status.attempt`, which always changes the object.
    ///
    /// # Errors
    /// A [`WriteError`].
    pub async fn fence(&self, stored: &Stored, attempt: &Attempt) -> Result<Stored, WriteError> {
        let attempt = encode::attempt(attempt).and_then(serde_json::to_value);
        let attempt = attempt.map_err(|error| WriteError::Server(error.to_string()))?;
        let before = stored.status.get("attempt").cloned().unwrap_or_default();
        let change = encode::merge_patch(&before, &attempt).unwrap_or_default();
        let body = json!({"metadata": precondition(stored), "status": {"attempt": change}});
        self.patch(stored, "fence", Some("status"), body).await
    }

    /// Stores a status. Returns the object unchanged, without a call, if nothing would change.
    ///
    /// # Errors
    /// A [`WriteError`].
    pub async fn status(&self, stored: &Stored, status: &Status) -> Result<Stored, WriteError> {
        let after =
            encode::status(status, &stored.status).map_err(|error| WriteError::Server(error.to_string()))?;
        let Some(change) = encode::merge_patch(&stored.status, &after) else {
            return Ok(stored.clone());
        };
        let body = json!({"metadata": precondition(stored), "status": change});
        self.patch(stored, "status", Some("status"), body).await
    }

    async fn metadata(
        &self,
        stored: &Stored,
        kind: &'static str,
        change: Value,
    ) -> Result<Stored, WriteError> {
        let mut metadata = precondition(stored);
        if let Value::Object(change) = change {
            metadata.extend(change);
        }
        self.patch(stored, kind, None, json!({"metadata": metadata})).await
    }

    async fn patch(
        &self,
        stored: &Stored,
        kind: &'static str,
        subresource: Option<&str>,
        body: Value,
    ) -> Result<Stored, WriteError> {
        (self.writes)(kind);
        let api = self.api(&stored.object.key);
        let name = &stored.object.key.name;
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(body);
        let answer = match subresource {
            Some(_) => limited(kind, api.patch_status(name, &params, &patch)).await,
            None => limited(kind, api.patch(name, &params, &patch)).await,
        };
        let answer = answer.map_err(|error| match error {
            WriteError::Server(why) => WriteError::Server(format!("the {kind} was not stored: {why}")),
            error => error,
        })?;
        let object = &stored.object;
        tracing::debug!(object = %object.key, project = object.project().map(display), "type" = object.kind().map(display), write = kind, "stored");
        decode(answer, self.defaults).ok_or(WriteError::Gone)
    }

    /// Whether the kind itself is being removed, because its CRD is being deleted. Returns `false` where the operator
    /// may not read the CRD: then only the objects' own policies can decide.
    ///
    /// # Errors
    /// Returns [`WriteError::Server`] if it could not find out: then nothing may be deleted.
    pub async fn crd_terminating(&self) -> Result<bool, WriteError> {
        use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let name = format!("{}.{}", AtlasIntegration::plural(&()), AtlasIntegration::group(&()));
        match tokio::time::timeout(TIME_LIMIT, api.get_metadata_opt(&name)).await {
            Ok(Ok(Some(crd))) => Ok(crd.metadata.deletion_timestamp.is_some()),
            Ok(Ok(None)) => Ok(true),
            Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => Ok(false),
            _ => Err(WriteError::Server("whether the kind is being removed can't be read".to_owned())),
        }
    }
}

/// The finalizers that a write of them must leave.
fn other_finalizers(stored: &Stored, write: &'static str) -> Result<Vec<String>, WriteError> {
    let refused = || WriteError::Refused { write, why: TOO_MANY_FINALIZERS.to_owned() };
    stored.other_finalizers.clone().ok_or_else(refused)
}

fn precondition(stored: &Stored) -> Map<String, Value> {
    encode::precondition(&stored.object.uid, &stored.object.resource_version)
}

/// Makes one call with a time limit, and sorts its faults. `write` says which write it is.
async fn limited<T>(
    write: &'static str,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, WriteError> {
    match tokio::time::timeout(TIME_LIMIT, call).await {
        Err(_) => Err(WriteError::Server(format!("no answer within {} seconds", TIME_LIMIT.as_secs()))),
        Ok(Ok(value)) => Ok(value),
        Ok(Err(kube::Error::Api(status))) => Err(fault(write, status.code, &status.message)),
        Ok(Err(error)) => Err(WriteError::Server(error.to_string())),
    }
}

/// What an error status of the API server means.
fn fault(write: &'static str, code: u16, message: &str) -> WriteError {
    let why = |message: &str| format!("{} ({code})", plain(message, MAX_MESSAGE));
    match code {
        404 => WriteError::Gone,
        409 => WriteError::Moved,
        // A 422 quotes the rejected values, which may be secret.
        422 => WriteError::Refused { write, why: why(&without_quotes(message)) },
        // An admission webhook may answer with any of these, RBAC answers with 403.
        400 | 401 | 403 | 405 | 413 => WriteError::Refused { write, why: why(message) },
        _ => WriteError::Server(why(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A webhook that is down (500), an overloaded API server (429) and a slow one (504) pass. Whoever forbids a write
    /// forbids it again.
    #[test]
    fn only_who_forbids_a_write_refuses_it() {
        for code in [400, 401, 403, 405, 413, 422] {
            let error = fault("claim", code, "no");
            assert!(matches!(error, WriteError::Refused { write: "claim", .. }), "{code}: {error}");
        }
        for code in [408, 429, 500, 503, 504] {
            assert!(matches!(fault("claim", code, "later"), WriteError::Server(_)), "{code}");
        }
        assert!(matches!(fault("claim", 404, ""), WriteError::Gone));
        assert!(matches!(fault("claim", 409, ""), WriteError::Moved));
    }

    #[test]
    fn a_refusal_is_quoted_cleanly_and_not_at_length() {
        let why = |code, message: &str| match fault("status", code, message) {
            WriteError::Refused { why, .. } => why,
            error => panic!("{error}"),
        };
        assert_eq!(why(403, "no\u{1b}[31m robots\r\n"), "no[31m robots (403)");
        assert_eq!(
            why(422, r#"spec: Invalid value: "a key": no"#),
            r#"spec: Invalid value: "...": no (422)"#
        );
        assert!(why(403, &"x".repeat(9_000)).len() < 1_100);
    }
}
