//! From the wire's spec to the closed types: the one place where a block meets its type's row.

use serde::Deserialize;
use serde_json::Value;

use crate::api::{AtlasIntegrationSpec, SecretKeyRef};
use crate::domain::{
    AdoptionPolicy, CredentialsRef, DeletionPolicy, FieldValue, Integration, IntegrationType,
    ManagementPolicy, ProjectId, SecretKey, Spec, plain, without_quotes,
};

/// What a parser says of a spec is cut at this many characters.
const MAX_FAULT: usize = 400;

/// The operator's defaults for policies that a spec leaves unset.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// `--default-adoption-policy`.
    pub adoption: AdoptionPolicy,
    /// `--default-deletion-policy`.
    pub deletion: DeletionPolicy,
}

/// The spec in closed types, or what is wrong with it, for a person. Admission refuses most of this already; an
/// object that was stored before a rule existed is caught here.
pub(super) fn spec(stored: Value, defaults: Defaults) -> Result<Spec, String> {
    let wire = AtlasIntegrationSpec::deserialize(&stored).map_err(unreadable)?;
    let project = ProjectId::parse(&wire.project_id)
        .ok_or("spec.projectId must be the id of an Atlas project: 24 hexadecimal digits in lower case")?;
    let management = match wire.management_policy.as_deref() {
        None | Some("Manage") => ManagementPolicy::Manage,
        Some("Observe") => ManagementPolicy::Observe,
        Some(other) => {
            return Err(format!("spec.managementPolicy is {}; it must be Manage or Observe", shown(other)));
        }
    };
    let adoption = match wire.adoption_policy.as_deref() {
        None => defaults.adoption,
        Some("Refuse") => AdoptionPolicy::Refuse,
        Some("Adopt") => AdoptionPolicy::Adopt,
        Some(other) => {
            return Err(format!("spec.adoptionPolicy is {}; it must be Refuse or Adopt", shown(other)));
        }
    };
    let deletion = match wire.deletion_policy.as_deref() {
        None => defaults.deletion,
        Some("Delete") => DeletionPolicy::Delete,
        Some("Retain") => DeletionPolicy::Retain,
        Some(other) => {
            return Err(format!("spec.deletionPolicy is {}; it must be Delete or Retain", shown(other)));
        }
    };
    let suspend = wire.suspend.unwrap_or(false);
    let credentials = match &wire.credentials_secret_ref {
        // An empty name is a mistake, never the operator's own credentials.
        Some(secret) => {
            CredentialsRef::Secret(secret_name("spec.credentialsSecretRef.name", &secret.name)?.into())
        }
        None => CredentialsRef::Operator,
    };
    Ok(Spec {
        project,
        credentials,
        integration: integration(&wire.r#type, stored)?,
        management,
        adoption,
        deletion,
        suspend,
    })
}

/// The settings of a spec whose form has been checked, by the names in the type's row.
fn integration(kind: &str, mut spec: Value) -> Result<Integration<SecretKey>, String> {
    let kind = IntegrationType::parse(kind).ok_or_else(|| {
        format!("spec.type is {}, which this version of the operator does not know", shown(kind))
    })?;
    let row = kind.row();
    let Some(Value::Object(mut block)) = spec.get_mut(row.block).map(Value::take) else {
        return Err(format!("spec.{} must be set, since spec.type is {kind}", row.block));
    };
    let mut values = Vec::with_capacity(row.fields.len());
    for field in row.fields {
        let Some(name) = field.spec else { continue };
        let value = match block.remove(name) {
            None | Some(Value::Null) => continue,
            Some(Value::String(text)) => FieldValue::Text(text),
            Some(Value::Bool(flag)) => FieldValue::Bool(flag),
            Some(reference) => {
                let wire = serde_json::from_value(reference).map_err(unreadable)?;
                FieldValue::Secret(key(&format!("spec.{}.{name}.name", row.block), wire)?)
            }
        };
        values.push((field.atlas, value));
    }
    Integration::new(kind, values).map_err(|why| format!("spec.{}: {why}", row.block))
}

/// What a parser says of a spec, without what it quotes: a person may have put a key in place of a reference.
fn unreadable(error: serde_json::Error) -> String {
    format!("spec can't be read: {}", plain(&without_quotes(&error.to_string()), MAX_FAULT))
}

fn key(field: &str, wire: SecretKeyRef) -> Result<SecretKey, String> {
    Ok(SecretKey { name: secret_name(field, &wire.name)?, key: wire.key })
}

/// Whether a Secret can have this name, a DNS subdomain. Nothing else reaches a URL path of the API server, whatever
/// was stored: `../x` would be read from somewhere else.
pub fn is_secret_name(name: &str) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.len() <= 253 && bytes.iter().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

fn secret_name(field: &str, name: &str) -> Result<String, String> {
    if is_secret_name(name) {
        return Ok(name.to_owned());
    }
    Err(format!("{field} is {}; it must be the name of a Secret of this namespace", shown(name)))
}

/// What somebody wrote, quoted in a message: what was stored before a rule may be of any length.
fn shown(text: &str) -> String {
    format!("{:?}", plain(text, 100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    /// What was stored before a rule existed is told as admission would tell it, by the field's name.
    #[rstest]
    #[case::project(json!({"projectId": "Production"}), "spec.projectId must be the id of an Atlas project: 24 hexadecimal digits in lower case")]
    #[case::policy(json!({"deletionPolicy": "retain"}), "spec.deletionPolicy is \"retain\"; it must be Delete or Retain")]
    #[case::kind(json!({"type": "HIP_CHAT"}), "spec.type is \"HIP_CHAT\", which this version of the operator does not know")]
    #[case::block(json!({"datadog": null}), "spec.datadog must be set, since spec.type is DATADOG")]
    #[case::credentials(json!({"credentialsSecretRef": {"name": "b/x"}}), "spec.credentialsSecretRef.name is \"b/x\"; it must be the name of a Secret of this namespace")]
    #[case::reference(json!({"datadog": {"apiKeySecretRef": {"name": "../x", "key": "api"}}}), "spec.datadog.apiKeySecretRef.name is \"../x\"; it must be the name of a Secret of this namespace")]
    fn a_message_names_the_field_that_is_wrong(#[case] change: Value, #[case] message: &str) {
        let mut stored = json!({"projectId": "5d791c84ff7a2522cc4f9aa1", "type": "DATADOG",
            "datadog": {"apiKeySecretRef": {"name": "datadog", "key": "api"}}});
        let defaults = Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };
        assert!(spec(stored.clone(), defaults).is_ok());
        for (name, value) in change.as_object().expect("an object") {
            stored[name] = value.clone();
        }
        assert_eq!(spec(stored, defaults).expect_err("not valid"), message);
    }

    #[rstest]
    #[case("datadog", true)]
    #[case("a.b-c9", true)]
    #[case("", false)]
    #[case("../other/secrets/x", false)]
    #[case("b/name", false)]
    #[case("%2e%2e", false)]
    #[case("-x", false)]
    #[case("x.", false)]
    #[case("X", false)]
    fn only_names_of_secrets_reach_a_path(#[case] name: &str, #[case] good: bool) {
        assert_eq!(is_secret_name(name), good);
        assert_eq!(secret_name("f", name).is_ok(), good);
    }
}
