//! What each type makes of a spec, as recorded once. Statuses hold the hash and the redacted form: if the code made
//! another one of the same spec, the operator would write every object again after an upgrade, or report drift.

use serde_json::{Value, json};

use super::decode::decode;
use super::mapping::Defaults;
use super::wire::Wire;
use crate::domain::{AdoptionPolicy, BadSecret, DeletionPolicy, Integration, SecretKey, SecretValue};

const DEFAULTS: Defaults = Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };

fn integration(spec: &Value) -> Result<Integration<SecretKey>, String> {
    let wire = json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration", "spec": spec,
        "metadata": {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "1"}});
    let wire: Wire = serde_json::from_value(wire).expect("an object");
    decode(wire, DEFAULTS).expect("decodes").object.spec.map(|spec| spec.integration)
}

/// The value that a Secret holds under this key.
fn value(key: &str) -> Result<SecretValue, BadSecret> {
    let text = match key {
        "short" => "0123456789".to_owned(),
        "url" => "https://user:pw@Hooks.example.com:8443/T0K3N?x=1".to_owned(),
        "headers" => r#"{"X-Token": "0123456789abcdef0123"}"#.to_owned(),
        key => format!("{key}-0123456789abcdef"),
    };
    SecretValue::from_bytes(text.as_bytes())
}

#[test]
fn what_specs_become_is_as_recorded() {
    let recorded = include_str!("recorded.json");
    let recorded: Vec<Value> = serde_json::from_str(recorded).expect("JSON");
    let mut found = Vec::new();
    for record in &recorded {
        let spec = &record["spec"];
        let mut full = spec.clone();
        full["projectId"] = "5d791c84ff7a2522cc4f9aa1".into();
        let integration = integration(&full).unwrap_or_else(|why| panic!("{spec}: {why}"));
        let sent =
            integration.try_map(|_, key| value(&key.key)).unwrap_or_else(|bad| panic!("{spec}: {bad}"));
        found.push(
            json!({"spec": spec, "hash": integration.config_hash(), "secrets": integration.secret_names(),
            "body": sent.body(), "redacted": sent.redacted()}),
        );
    }
    assert_eq!(found, recorded);
}
