//! From what the API server stores to [`Object`]. Permissive: whatever can't be read is absent or an invalid
//! spec of this one object, never an error that would hold up the others.

use kube::core::DynamicObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::mapping::{self, Defaults};
use crate::api;
use crate::domain::{
    Applied, AppliedSecret, Attempt, Condition, ConditionStatus, ConditionType, Object, ObjectKey, Status,
    plain,
};

/// The echo of a request in the status is no longer than this (the schema's `maxLength`).
const MAX_REQUEST: usize = 253;

/// An object together with what a patch of it must know of its stored form.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The object.
    pub object: Object,
    /// Finalizers that are not ours.
    pub(super) other_finalizers: Vec<String>,
    /// The status as stored, from which a patch is made.
    pub(super) status: Value,
}

/// Decodes an object; `None` only for something that no API server hands out (no uid, no namespace).
pub(super) fn decode(wire: DynamicObject, defaults: Defaults) -> Option<Stored> {
    let DynamicObject { metadata, mut data, .. } = wire;
    let status = data.get_mut("status").map(Value::take).unwrap_or_default();
    let spec = data.get_mut("spec").map(Value::take).unwrap_or_default();
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|all| all.get(name)).cloned();
    let finalizers = metadata.finalizers.clone().unwrap_or_default();
    let object = Object {
        key: ObjectKey {
            namespace: metadata.namespace.as_deref()?.into(),
            name: metadata.name.as_deref()?.into(),
        },
        uid: metadata.uid.clone()?,
        resource_version: metadata.resource_version.clone()?,
        generation: metadata.generation.unwrap_or_default(),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
        deleting: metadata.deletion_timestamp.is_some(),
        finalizer: finalizers.iter().any(|finalizer| finalizer == api::FINALIZER),
        claim: annotation(api::CLAIM_ANNOTATION).and_then(|text| serde_json::from_str(&text).ok()),
        released: annotation(api::RELEASED_ANNOTATION).is_some(),
        reconcile_requested: annotation(api::RECONCILE_ANNOTATION).map(|text| plain(&text, MAX_REQUEST)),
        rewrite_requested: annotation(api::REWRITE_ANNOTATION).map(|text| plain(&text, MAX_REQUEST)),
        spec: mapping::spec(spec, defaults),
        status: decode_status(&status),
    };
    let other_finalizers = finalizers.into_iter().filter(|finalizer| finalizer != api::FINALIZER).collect();
    Some(Stored { object, other_finalizers, status })
}

fn decode_status(status: &Value) -> Status {
    fn part<T: DeserializeOwned>(status: &Value, name: &str) -> Option<T> {
        T::deserialize(status.get(name)?).ok()
    }
    let conditions: Vec<Value> = part(status, "conditions").unwrap_or_default();
    Status {
        observed_generation: part(status, "observedGeneration"),
        conditions: conditions.iter().filter_map(condition).collect(),
        integration: part(status, "integration"),
        applied: part::<api::Applied>(status, "applied").map(applied),
        attempt: part::<api::Attempt>(status, "attempt").and_then(attempt),
        last_handled_reconcile: part(status, "lastHandledReconcileAt"),
        last_handled_rewrite: part(status, "lastHandledRewriteAt"),
        prometheus_discovery_url: part(status, "prometheusDiscoveryUrl"),
    }
}

/// One of our conditions; others' are left alone.
fn condition(value: &Value) -> Option<Condition> {
    let wire: api::Condition = serde::Deserialize::deserialize(value).ok()?;
    Some(Condition {
        kind: ConditionType::ALL.into_iter().find(|kind| kind.as_str() == wire.r#type)?,
        status: match wire.status.as_str() {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        },
        observed_generation: wire.observed_generation,
        last_transition: wire.last_transition_time.parse().ok()?,
        reason: wire.reason,
        message: wire.message,
    })
}

fn applied(wire: api::Applied) -> Applied {
    let secret = |s: api::AppliedSecret| AppliedSecret {
        name: s.name,
        uid: s.uid,
        resource_version: s.resource_version,
    };
    Applied {
        uid: wire.uid,
        attempt: wire.attempt,
        config: wire.config,
        secrets: wire.secrets.into_iter().map(secret).collect(),
        time: wire.time.and_then(|time| time.parse().ok()),
    }
}

fn attempt(wire: api::Attempt) -> Option<Attempt> {
    Some(Attempt { id: wire.id, time: wire.time.parse().ok()?, sent: wire.sent.map(|echo| echo.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AdoptionPolicy, CredentialsRef, DeletionPolicy};

    const DEFAULTS: Defaults =
        Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };

    fn object(spec: &Value) -> Object {
        let wire = serde_json::json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration",
            "metadata": {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "1"}, "spec": spec});
        let wire: DynamicObject = serde_json::from_value(wire).expect("an object");
        decode(wire, DEFAULTS).expect("decodes").object
    }

    /// T22: an object that was stored under older rules is an invalid spec, not an error for the others.
    #[test]
    fn a_bad_spec_is_said_without_quoting_it() {
        let spec = serde_json::json!({"projectId": "5d791c84ff7a2522cc4f9aa1", "type": "DATADOG",
            "credentialsSecretRef": {"name": "atlas"}, "datadog": {"apiKeySecretRef": "canary-key-in-place"}});
        let why = object(&spec).spec.expect_err("no reference");
        assert!(why.contains("spec can't be read") && !why.contains("canary"), "{why}");
        assert!(object(&Value::Null).spec.is_err());
    }

    /// A reference that is there and names nothing is a mistake: it must not fall through to the operator's own
    /// credentials.
    #[test]
    fn only_an_absent_reference_means_the_operators_credentials() {
        let spec = |reference: Value| {
            let mut spec = serde_json::json!({"projectId": "5d791c84ff7a2522cc4f9aa1", "type": "MICROSOFT_TEAMS",
                "microsoftTeams": {"webhookUrlSecretRef": {"name": "teams", "key": "url"}}});
            if !reference.is_null() {
                spec["credentialsSecretRef"] = reference;
            }
            object(&spec).spec.map(|spec| spec.credentials)
        };
        assert_eq!(spec(Value::Null), Ok(CredentialsRef::Operator));
        let named = serde_json::json!({"name": "atlas"});
        assert_eq!(spec(named), Ok(CredentialsRef::Secret("atlas".into())));
        for bad in [serde_json::json!({"name": ""}), serde_json::json!({}), "atlas".into(), "".into()] {
            assert!(spec(bad.clone()).is_err(), "{bad}");
        }
    }
}
