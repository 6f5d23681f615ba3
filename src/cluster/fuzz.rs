//! Hostile objects: every stored object is decoded, and messages about it do not quote it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::decode::decode;
use super::mapping::{Defaults, is_secret_name};
use super::wire::Wire;
use crate::domain::{AdoptionPolicy, CredentialsRef, DeletionPolicy, plain};
use crate::fuzz::run;

const DEFAULTS: Defaults = Defaults { adoption: AdoptionPolicy::Refuse, deletion: DeletionPolicy::Delete };

/// Any spec and status decodes into an object. The message about an invalid spec is short and contains nothing from
/// within a reference. The names of Secrets in a valid spec can't lead out of the namespace.
fn object(bytes: &[u8]) {
    let Ok(data) = serde_json::from_slice::<Value>(bytes) else { return };
    let part = |name: &str| data.get(name).cloned().unwrap_or_default();
    let metadata = json!({"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "1"});
    let wire = json!({"apiVersion": "atlas-integrations.dev/v1", "kind": "AtlasIntegration", "metadata": metadata,
        "spec": part("spec"), "status": part("status")});
    let wire: Wire = serde_json::from_value(wire).expect("an object");
    let stored = decode(wire, DEFAULTS).expect("decodes");
    match stored.object.spec {
        Err(why) => {
            assert!(why.chars().count() < 500, "{} characters", why.chars().count());
            assert_eq!(plain(&why, usize::MAX), why, "nothing that deceives a terminal");
            assert!(!why.contains("canary-key"), "{why}");
        }
        Ok(spec) => {
            let mut names = spec.integration.secret_names();
            if let CredentialsRef::Secret(name) = spec.credentials {
                names.push(name.to_string());
            }
            for name in names {
                assert!(is_secret_name(&name), "{name:?}");
                let url = url::Url::parse("https://server/api/v1/namespaces/ns/secrets/").expect("a URL");
                let path = url.join(&name).expect("a path");
                assert_eq!(path.as_str(), format!("{url}{name}"));
            }
        }
    }
}

#[test]
fn spec() {
    let text = prop_oneof![
        Just("canary-key".to_owned()),
        Just("x\"canary-key\"".to_owned()),
        Just("{\"X-Token\": \"canary-key\"}".to_owned()),
        prop::sample::select(&["../../ns/secrets/x", "a%2Fb", "..", "", "a/b", "\u{1b}[31m"][..])
            .prop_map(str::to_owned),
        "[a-z.-]{1,9}",
    ];
    let reference = prop_oneof![
        text.clone().prop_map(Value::from),
        (text.clone(), text.clone()).prop_map(|(name, key)| json!({"name": name, "key": key})),
        any::<u8>().prop_map(Value::from),
        Just(json!([{"canary-key": "canary-key"}])),
    ];
    // A message may contain a name, so no name here is secret.
    let nameless = reference.prop_filter("no canary in a name", |reference| {
        !reference["name"].as_str().unwrap_or_default().contains("canary-key")
    });
    let made = (nameless.clone(), nameless.clone(), nameless).prop_map(|(credentials, url, signing)| {
        let spec = json!({"projectId": "5d791c84ff7a2522cc4f9aa1", "type": "WEBHOOK", "credentialsSecretRef": credentials,
            "webhook": {"urlSecretRef": url, "signingSecretRef": signing}});
        json!({"spec": spec}).to_string().into_bytes()
    });
    run("spec", object, made);
}
