//! What the operator writes back.

use std::borrow::Cow;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::{ENTRY, Field, FieldKind, MAX_MESSAGE, Redacted, RedactedValue, TYPES, TypeRow};

/// What the operator found and did. Written by the operator only.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AtlasIntegrationStatus {
    /// The `metadata.generation` that the conditions speak of; -1 until the operator has looked at a new object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,

    /// Ready, InSync, and where they apply Reconciling, Stalled and Suspended (kstatus conventions).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// The integration as Atlas answered last, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IntegrationEcho")]
    pub integration: Option<IntegrationEcho>,

    /// What was last written to Atlas and confirmed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Applied")]
    pub applied: Option<Applied>,

    /// The last write that was begun. A write whose id is not in `applied.attempt` is not confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Attempt")]
    pub attempt: Option<Attempt>,

    /// The value of the annotation atlas-integrations.dev/reconcile-requested-at that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 253))]
    pub last_handled_reconcile_at: Option<String>,

    /// The value of the annotation atlas-integrations.dev/rewrite-requested-at that was last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 253))]
    pub last_handled_rewrite_at: Option<String>,

    /// Where Prometheus finds the project's targets; for PROMETHEUS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub prometheus_discovery_url: Option<String>,
}

/// One aspect of the object's state, as every Kubernetes condition.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Ready, InSync, Reconciling, Stalled or Suspended.
    #[schemars(length(min = 1, max = 316))]
    pub r#type: String,

    /// True, False or Unknown.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,

    /// The generation that this condition speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,

    /// When `status` last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,

    /// Why, as one CamelCase word.
    #[schemars(length(min = 1, max = 128))]
    pub reason: String,

    /// What happened, to what, and what to do, for a person.
    #[schemars(length(max = MAX_MESSAGE))]
    pub message: String,
}

/// A write that Atlas confirmed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// uid of the object that wrote; an `applied` of another uid (a restored or copied object) proves nothing.
    pub uid: String,

    /// Id of the attempt that was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub attempt: Option<String>,

    /// Hash of the block that was sent, with references in place of secret values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub config: Option<String>,

    /// The Secrets as they were read for that write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub secrets: Vec<AppliedSecret>,

    /// Fingerprint of the secret values in them, keyed by the object's own Atlas credentials. With it, the operator sees
    /// after a restart that a changed Secret still has the same values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub fingerprint: Option<String>,

    /// When Atlas confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub time: Option<String>,
}

/// Which state of a Secret was sent.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppliedSecret {
    /// Name of the Secret.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// A write that was begun.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Random id of the attempt.
    pub id: String,

    /// When it was begun.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,

    /// The redacted form of what was about to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IntegrationEcho")]
    pub sent: Option<IntegrationEcho>,
}

/// A redacted integration: Atlas's field names, flat, all types together. A key of 16 or more characters shows
/// its last four, anything else secret nothing at all.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(try_from = "Redacted")]
pub struct IntegrationEcho(pub Redacted);

/// The fields of an echo: what Atlas may show of any type. Types share some of them.
fn shown() -> impl Iterator<Item = &'static Field> {
    TYPES.iter().flat_map(|row| row.fields).chain(ENTRY)
}

impl TryFrom<Redacted> for IntegrationEcho {
    type Error = String;

    fn try_from(redacted: Redacted) -> Result<IntegrationEcho, String> {
        let mut kept = Redacted::default();
        for (name, value) in redacted.0 {
            // Another version of the operator may know more fields than this one.
            let Some(field) = shown().find(|field| field.atlas == name) else { continue };
            if (field.kind == FieldKind::Bool) != matches!(value, RedactedValue::Bool(_)) {
                return Err(format!("{name} is of another kind"));
            }
            kept.0.insert(name, value);
        }
        Ok(IntegrationEcho(kept))
    }
}

impl JsonSchema for IntegrationEcho {
    fn schema_name() -> Cow<'static, str> {
        "IntegrationEcho".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let property = |field: &Field| {
            let kind = if field.kind == FieldKind::Bool { "boolean" } else { "string" };
            let about = field.about.replace("{}", &services(field.atlas));
            (field.atlas.to_owned(), json!({"type": kind, "description": about}))
        };
        let properties: Map<String, Value> = shown().map(property).collect();
        json_schema!({"type": "object", "properties": properties})
    }
}

/// The services whose integrations have this field of Atlas, for a sentence.
fn services(field: &str) -> String {
    let has = |row: &&TypeRow| row.fields.iter().any(|known| known.atlas == field);
    let titles: Vec<&str> = TYPES.iter().filter(has).map(|row| row.title).collect();
    match titles.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => titles.concat(),
    }
}
