//! Decodes what the API server stores into an [`Object`]. Decoding is permissive: a part that can't be read counts as
//! absent, or makes the spec of this one object invalid. It is never an error that would hold up other objects.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::mapping::{self, Defaults};
use super::sieve::MOST_FINALIZERS;
use super::wire::Wire;
use crate::api;
use crate::domain::{
    Applied, AppliedSecret, Attempt, Condition, ConditionStatus, ConditionType, Object, ObjectKey, Status,
    plain,
};

/// The longest echo of a request in the status (the schema's `maxLength`).
const MAX_REQUEST: usize = 253;

/// What is wrong with an object whose finalizers are not all read.
pub(super) const TOO_MANY_FINALIZERS: &str = "metadata.finalizers has more than 64 entries, and the operator reads no \
     more; remove those that nobody needs";

/// An object, with those parts of its stored form that a patch needs.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The object.
    pub object: Object,
    /// Finalizers that are not ours; `None` if there are too many to be read.
    pub(super) other_finalizers: Option<Vec<String>>,
    /// The status as stored, from which a patch is made.
    pub(super) status: Value,
    bytes: usize,
}

impl Stored {
    /// How much memory it takes, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The object in this form of the API server, with default policies.
    #[cfg(test)]
    pub fn testing(object: Value) -> Option<Stored> {
        use crate::domain::{AdoptionPolicy, DeletionPolicy};
        let wire = serde_json::from_value(object).ok()?;
        decode(wire, Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete })
    }
}

/// Decodes an object. Returns `None` only for something that no API server returns (without uid or namespace).
pub(super) fn decode(wire: Wire, defaults: Defaults) -> Option<Stored> {
    let Wire { metadata, spec, status } = wire;
    let annotations = metadata.annotations.iter().flatten().map(|(_, text)| text.len()).sum::<usize>();
    // The status is kept twice, decoded and as it is. A claim that is decoded takes several times its length.
    let finalizers = metadata.finalizers.clone().unwrap_or_default();
    let listed = finalizers.iter().map(|name| NODE + name.len()).sum::<usize>();
    let bytes = size_of::<Stored>() + 2 * (bytes(&spec) + bytes(&status)) + 8 * annotations + listed;
    let annotation = |name: &str| metadata.annotations.as_ref().and_then(|all| all.get(name)).cloned();
    let has_too_many = finalizers.len() > MOST_FINALIZERS;
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
        spec: if has_too_many { Err(TOO_MANY_FINALIZERS.to_owned()) } else { mapping::spec(spec, defaults) },
        status: decode_status(&status),
    };
    let others = || finalizers.into_iter().filter(|finalizer| finalizer != api::FINALIZER).collect();
    let other_finalizers = (!has_too_many).then(others);
    Some(Stored { object, other_finalizers, status, bytes })
}

/// How much memory a value takes, roughly.
fn bytes(value: &Value) -> usize {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(bytes).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| NODE + name.len() + bytes(value)).sum(),
    };
    NODE + inner
}

/// What a value takes besides its texts: itself, and its share of the collection that has it.
const NODE: usize = 32;

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

/// Decodes one of our conditions, and skips those of others.
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
        fingerprint: wire.fingerprint,
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
        let wire: Wire = serde_json::from_value(wire).expect("an object");
        decode(wire, DEFAULTS).expect("decodes").object
    }

    /// T22: an object stored under older rules has an invalid spec, and is no error for other objects.
    #[test]
    fn the_message_about_a_bad_spec_does_not_quote_it() {
        let spec = serde_json::json!({"projectId": "5d791c84ff7a2522cc4f9aa1", "type": "DATADOG",
            "credentialsSecretRef": {"name": "atlas"}, "datadog": {"apiKeySecretRef": "canary-key-in-place"}});
        let why = object(&spec).spec.expect_err("no reference");
        assert!(why.contains("spec can't be read") && !why.contains("canary"), "{why}");
        assert!(object(&Value::Null).spec.is_err());
    }

    /// Whoever writes finalizers has to write all of them, so an object with more than are read is not written.
    #[test]
    fn an_object_with_too_many_finalizers_is_invalid() {
        let stored = |others: usize| {
            let spec = serde_json::json!({"projectId": "5d791c84ff7a2522cc4f9aa1", "type": "MICROSOFT_TEAMS",
                "microsoftTeams": {"webhookUrlSecretRef": {"name": "teams", "key": "url"}}});
            let mut finalizers = vec![api::FINALIZER.to_owned()];
            finalizers.extend((0..others).map(|number| format!("others/{number}")));
            let metadata = serde_json::json!({"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "1",
                "finalizers": finalizers});
            Stored::testing(serde_json::json!({"metadata": metadata, "spec": spec})).expect("decodes")
        };
        let most = stored(MOST_FINALIZERS - 1);
        assert_eq!(most.other_finalizers.map(|others| others.len()), Some(MOST_FINALIZERS - 1));
        assert!(most.object.spec.is_ok() && most.object.finalizer);
        let more = stored(MOST_FINALIZERS);
        assert_eq!(more.other_finalizers, None);
        let why = more.object.spec.expect_err("too many");
        assert!(why.contains(&format!("more than {MOST_FINALIZERS} entries")), "{why}");
    }

    /// Whoever may create objects may give each of them 64 finalizers of 317 characters.
    #[test]
    fn finalizers_count_in_the_size_of_an_object() {
        let size = |finalizers: &[String]| {
            let metadata = serde_json::json!({"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "1",
                "finalizers": finalizers});
            Stored::testing(serde_json::json!({"metadata": metadata})).expect("decodes").bytes()
        };
        let long = vec![format!("{}/{}", "d".repeat(253), "f".repeat(63)); MOST_FINALIZERS];
        assert!(size(&long) - size(&[]) >= MOST_FINALIZERS * 317);
    }

    /// A reference with an empty name is a mistake. It must not lead to the operator's own credentials.
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
