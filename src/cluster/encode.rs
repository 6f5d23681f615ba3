//! Encodes a [`Status`], and makes the patch between two stored forms.

use serde_json::{Map, Value, json};

use crate::api;
use crate::domain::{Applied, Attempt, Condition, ConditionType, Redacted, Status};

/// The status to be stored. Conditions of others in `before` stay.
pub(super) fn status(status: &Status, before: &Value) -> Result<Value, serde_json::Error> {
    let ours = |condition: &&Value| {
        let kind = condition.get("type").and_then(Value::as_str);
        ConditionType::ALL.iter().any(|own| Some(own.as_str()) == kind)
    };
    let others = before
        .get("conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|c| !ours(c))
        .cloned();
    let wire = api::AtlasIntegrationStatus {
        observed_generation: status.observed_generation,
        conditions: status.conditions.iter().map(condition).collect(),
        integration: status.integration.as_ref().map(echo).transpose()?,
        applied: status.applied.as_ref().map(applied),
        attempt: status.attempt.as_ref().map(attempt).transpose()?,
        last_handled_reconcile_at: status.last_handled_reconcile.clone(),
        last_handled_rewrite_at: status.last_handled_rewrite.clone(),
        prometheus_discovery_url: status.prometheus_discovery_url.clone(),
    };
    let conditions = wire.conditions.iter().map(serde_json::to_value).chain(others.map(Ok));
    let conditions = conditions.collect::<Result<Vec<Value>, _>>()?;
    let mut value = serde_json::to_value(wire)?;
    if !conditions.is_empty() {
        value["conditions"] = Value::Array(conditions);
    }
    Ok(value)
}

/// `status.attempt` alone, for the fence.
pub(super) fn attempt(attempt: &Attempt) -> Result<api::Attempt, serde_json::Error> {
    Ok(api::Attempt {
        id: attempt.id.clone(),
        time: attempt.time.to_string(),
        sent: attempt.sent.as_ref().map(echo).transpose()?,
    })
}

fn echo(redacted: &Redacted) -> Result<api::IntegrationEcho, serde_json::Error> {
    api::IntegrationEcho::try_from(redacted.clone()).map_err(serde::de::Error::custom)
}

fn applied(applied: &Applied) -> api::Applied {
    api::Applied {
        uid: applied.uid.clone(),
        attempt: applied.attempt.clone(),
        config: applied.config.clone(),
        secrets: applied
            .secrets
            .iter()
            .map(|secret| api::AppliedSecret {
                name: secret.name.clone(),
                uid: secret.uid.clone(),
                resource_version: secret.resource_version.clone(),
            })
            .collect(),
        fingerprint: applied.fingerprint.clone(),
        time: applied.time.map(|time| time.to_string()),
    }
}

fn condition(condition: &Condition) -> api::Condition {
    api::Condition {
        r#type: condition.kind.as_str().to_owned(),
        status: condition.status.as_str().to_owned(),
        observed_generation: condition.observed_generation,
        // Whole seconds, as in every Kubernetes object.
        last_transition_time: condition.last_transition.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    }
}

/// The JSON merge patch (RFC 7396) that turns `before` into `after`; `None` if they are equal.
pub(super) fn merge_patch(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut patch = Map::new();
            for name in before.keys().filter(|name| !after.contains_key(*name)) {
                patch.insert(name.clone(), Value::Null);
            }
            for (name, after) in after {
                let change = match before.get(name) {
                    Some(before) => merge_patch(before, after),
                    None => Some(after.clone()),
                };
                patch.extend(change.map(|change| (name.clone(), change)));
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (before != after).then(|| after.clone()),
    }
}

/// The part of every patch that makes it fail if the object has changed, or is another object of the same name.
pub(super) fn precondition(uid: &str, resource_version: &str) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("uid".to_owned(), json!(uid));
    metadata.insert("resourceVersion".to_owned(), json!(resource_version));
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_patches_say_only_what_changed() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1]});
        assert_eq!(merge_patch(&before, &before), None);
        let after = json!({"b": {"c": 3}, "e": [1, 2], "f": {"g": 1}});
        let patch = merge_patch(&before, &after);
        assert_eq!(patch, Some(json!({"a": null, "b": {"c": 3, "d": null}, "e": [1, 2], "f": {"g": 1}})));
    }

    /// A field that the echo could not hold would always look like drift.
    #[test]
    fn the_status_holds_every_field_that_may_be_shown() {
        use crate::domain::{FieldKind, IntegrationType, RedactedValue};
        for kind in IntegrationType::ALL {
            let value = |field: FieldKind| match field {
                FieldKind::Bool => RedactedValue::Bool(true),
                field => field.redact("some text"),
            };
            let shown = kind.shown_fields().map(|field| (field.atlas.to_owned(), value(field.kind)));
            let redacted = Redacted(shown.collect());
            let wire = serde_json::to_value(echo(&redacted).expect("encodes")).expect("serialises");
            assert_eq!(serde_json::from_value::<Redacted>(wire).expect("decodes"), redacted, "{kind}");
        }
    }

    #[test]
    fn conditions_of_others_stay() {
        let before = json!({"conditions": [{"type": "Policy", "status": "True"}, {"type": "Ready", "status": "True"}]});
        let value = status(&Status::default(), &before).expect("serialises");
        assert_eq!(value, json!({"conditions": [{"type": "Policy", "status": "True"}]}));
    }
}
