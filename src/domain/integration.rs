//! One integration's settings: a type and the values of its fields.

use super::comparison::{Comparison, compare_values, unnamed};
use super::integration_type::{Field, IntegrationType, Need};
use super::redacted::{FieldKind, Redacted, RedactedValue};
use super::secret::SecretValue;

/// One key of one Secret in the object's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// Key in its data.
    pub key: String,
}

/// One integration's settings. `S` stands for its secrets: [`SecretKey`] as the spec refers to them,
/// [`SecretValue`] once they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integration<S> {
    kind: IntegrationType,
    /// The fields that are set, in the order of the type's row: exactly what is sent besides `type`.
    values: Vec<(&'static Field, FieldValue<S>)>,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue<S> {
    /// A text.
    Text(String),
    /// A flag.
    Bool(bool),
    /// A secret.
    Secret(S),
}

impl<S> From<&str> for FieldValue<S> {
    fn from(text: &str) -> FieldValue<S> {
        FieldValue::Text(text.to_owned())
    }
}

impl<S> From<bool> for FieldValue<S> {
    fn from(flag: bool) -> FieldValue<S> {
        FieldValue::Bool(flag)
    }
}

impl<S> Integration<S> {
    /// Settings of this type with these values, under Atlas's names.
    ///
    /// # Errors
    /// Says which value is of no field of the type or of another kind than the field, or which field lacks one.
    pub fn new<'a>(
        kind: IntegrationType,
        values: impl IntoIterator<Item = (&'a str, FieldValue<S>)>,
    ) -> Result<Integration<S>, String> {
        let mut given: Vec<_> = values.into_iter().collect();
        let mut values = Vec::with_capacity(kind.row().fields.len());
        for field in kind.row().fields.iter().filter(|field| field.spec.is_some()) {
            let found = given.iter().position(|(name, _)| *name == field.atlas);
            let value = match (found, field.need) {
                (Some(at), _) => given.swap_remove(at).1,
                (None, Need::Preset(preset)) => FieldValue::Bool(preset),
                (None, Need::Required) => return Err(format!("{} is missing", field.atlas)),
                (None, Need::Optional | Need::V1 | Need::V2) => continue,
            };
            if !value.fits(field) {
                return Err(format!("{} is of another kind", field.atlas));
            }
            values.push((field, value));
        }
        match given.first() {
            Some((name, _)) => Err(format!("{kind} has no field {name}")),
            None => Ok(Integration { kind, values }),
        }
    }

    /// The type.
    pub fn integration_type(&self) -> IntegrationType {
        self.kind
    }

    /// The first field of the type with this need that is not set.
    pub fn lacks(&self, need: Need) -> Option<&'static Field> {
        let is_set = |field: &Field| self.values.iter().any(|(set, _)| set.atlas == field.atlas);
        self.kind.row().fields.iter().find(|field| field.need == need && !is_set(field))
    }

    /// The same settings with every secret replaced by what `f` makes of it.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<R, E>(
        &self,
        mut f: impl FnMut(&'static Field, &S) -> Result<R, E>,
    ) -> Result<Integration<R>, E> {
        let map = |(field, value): &(&'static Field, FieldValue<S>)| {
            let value = match value {
                FieldValue::Text(text) => FieldValue::Text(text.clone()),
                FieldValue::Bool(flag) => FieldValue::Bool(*flag),
                FieldValue::Secret(secret) => FieldValue::Secret(f(field, secret)?),
            };
            Ok((*field, value))
        };
        let values = self.values.iter().map(map).collect::<Result<_, E>>()?;
        Ok(Integration { kind: self.kind, values })
    }

    fn all_secrets(&self) -> Vec<&S> {
        let values = self.values.iter();
        values
            .filter_map(|(_, value)| match value {
                FieldValue::Secret(secret) => Some(secret),
                FieldValue::Text(_) | FieldValue::Bool(_) => None,
            })
            .collect()
    }
}

impl<S> FieldValue<S> {
    fn fits(&self, field: &Field) -> bool {
        match self {
            FieldValue::Secret(_) => field.kind.is_secret(),
            FieldValue::Bool(_) => field.kind == FieldKind::Bool,
            FieldValue::Text(_) => !field.kind.is_secret() && field.kind != FieldKind::Bool,
        }
    }
}

impl Integration<SecretKey> {
    /// Every Secret key that the settings refer to.
    pub fn secret_keys(&self) -> Vec<&SecretKey> {
        self.all_secrets()
    }

    /// Every Secret key that the settings refer to, with the name that Atlas has for the field.
    pub fn named_secrets(&self) -> Vec<(&'static str, &SecretKey)> {
        let values = self.values.iter();
        values
            .filter_map(|(field, value)| match value {
                FieldValue::Secret(key) => Some((field.atlas, key)),
                FieldValue::Text(_) | FieldValue::Bool(_) => None,
            })
            .collect()
    }

    /// Names of the Secrets that the settings refer to, sorted, each once.
    pub fn secret_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.secret_keys().into_iter().map(|key| key.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Hash of the settings with references in place of values: says whether the spec asks for something else
    /// than what was last applied, and nothing about any secret.
    pub fn config_hash(&self) -> String {
        let mut text = self.kind.as_str().to_owned();
        for (field, value) in &self.values {
            let value = match value {
                FieldValue::Text(text) => serde_json::json!(text),
                FieldValue::Bool(flag) => serde_json::json!(flag),
                FieldValue::Secret(key) => serde_json::json!({"name": key.name, "key": key.key}),
            };
            text.push_str(&format!("\n{}={value}", field.atlas));
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The redacted form of the fields that the spec holds in clear text.
    pub fn redacted_texts(&self) -> Redacted {
        let texts = self.values.iter().filter_map(|(field, value)| match value {
            FieldValue::Text(text) => Some((field.atlas.to_owned(), field.kind.redact(text))),
            FieldValue::Bool(_) | FieldValue::Secret(_) => None,
        });
        Redacted(texts.collect())
    }

    /// What taking over an entry of Atlas would change in it, as far as that can be said without reading a Secret.
    pub fn takeover(&self, entry: &Redacted) -> Takeover {
        let mut takeover = Takeover::default();
        for (field, value) in &self.values {
            let wanted = match value {
                FieldValue::Text(text) => Some(field.kind.redact(text)),
                FieldValue::Bool(flag) => Some(RedactedValue::Bool(*flag)),
                FieldValue::Secret(_) => None,
            };
            let shown = entry.0.get(field.atlas);
            match compare_values(field.atlas, wanted.as_ref(), shown) {
                Comparison::Equal => {}
                Comparison::Different => takeover.changes.push(field.atlas.to_owned()),
                // Atlas may leave out what is the default.
                Comparison::Untold
                    if shown.is_none() && wanted.is_some_and(|wanted| field.is_default(&wanted)) => {}
                Comparison::Untold => takeover.untold.push(field.atlas.to_owned()),
            }
        }
        takeover.resets = unnamed(self.kind, |name| self.sets(name), entry);
        takeover
    }

    fn sets(&self, name: &str) -> bool {
        self.values.iter().any(|(field, _)| field.atlas == name)
    }
}

/// What taking over an integration would change in it, by the names of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takeover {
    /// Atlas holds another value than the spec.
    pub changes: Vec<String>,
    /// Atlas holds a value, not its default, and the spec does not name the field.
    pub resets: Vec<String>,
    /// The spec names the field, but nothing tells whether Atlas holds the same: the value is in a Secret, or Atlas masks
    /// or hides it.
    pub untold: Vec<String>,
}

impl Takeover {
    /// Whether nothing would change, as far as Atlas shows.
    pub fn changes_nothing(&self) -> bool {
        self.changes.is_empty() && self.resets.is_empty()
    }
}

impl Integration<SecretValue> {
    /// The request body: the set fields and `type`, nothing else (v1.0 create page: "always include a `type`").
    pub fn body(&self) -> serde_json::Value {
        let mut body = serde_json::Map::new();
        for (field, value) in &self.values {
            let value = match value {
                FieldValue::Text(text) => text.as_str().into(),
                FieldValue::Bool(flag) => (*flag).into(),
                FieldValue::Secret(secret) => secret.expose().into(),
            };
            body.insert(field.atlas.to_owned(), value);
        }
        body.insert("type".to_owned(), self.kind.as_str().into());
        serde_json::Value::Object(body)
    }

    /// The redacted form of what is about to be sent.
    pub fn redacted(&self) -> Redacted {
        let redact = |(field, value): &(&'static Field, FieldValue<SecretValue>)| {
            let value = match value {
                FieldValue::Text(text) => field.kind.redact(text),
                FieldValue::Bool(flag) => RedactedValue::Bool(*flag),
                FieldValue::Secret(secret) => field.kind.redact(secret.expose()),
            };
            (field.atlas.to_owned(), value)
        };
        let own = ("type".to_owned(), RedactedValue::Text(self.kind.as_str().to_owned()));
        Redacted(self.values.iter().map(redact).chain([own]).collect())
    }

    /// The secret values, for comparing reads.
    pub fn secrets(&self) -> Vec<&SecretValue> {
        self.all_secrets()
    }

    /// The secret values and the kinds of their fields, for scrubbing them from texts.
    pub fn secret_fields(&self) -> impl Iterator<Item = (FieldKind, &SecretValue)> {
        self.values.iter().filter_map(|(field, value)| match value {
            FieldValue::Secret(secret) => Some((field.kind, secret)),
            FieldValue::Text(_) | FieldValue::Bool(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::integration_type::TYPES;
    use super::*;

    fn webhook(key: &str) -> Integration<SecretKey> {
        let key = SecretKey { name: "hook".into(), key: key.into() };
        let values = [("bodyTemplate", "x".into()), ("url", FieldValue::Secret(key))];
        Integration::new(IntegrationType::Webhook, values).expect("a webhook")
    }

    #[test]
    fn hash_follows_references_and_fields() {
        assert_eq!(webhook("url").config_hash(), webhook("url").config_hash());
        assert_ne!(webhook("url").config_hash(), webhook("other").config_hash());
    }

    #[test]
    fn body_holds_the_set_fields_and_type_only() {
        let sent = webhook("url")
            .try_map(|_, _| SecretValue::from_bytes(b"https://example.com/T0K3N"))
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            sent.body(),
            serde_json::json!({"type": "WEBHOOK", "url": "https://example.com/T0K3N", "bodyTemplate": "x"})
        );
        assert!(!serde_json::to_string(&sent.redacted()).unwrap_or_default().contains("T0K3N"));
    }

    #[test]
    fn secrets_are_checked_by_the_kind_of_their_field() {
        let check = |kind: IntegrationType, name: &str, value: &str| {
            let field = kind.row().fields.iter().find(|field| field.atlas == name).expect("a field");
            field.kind.check(value.as_bytes()).is_ok_and(|checked| checked.expose() == value)
        };
        let (url, headers, password) = ("https://example.com/x", "{\n\"X-Token\": \"x\"}", "pass word ");
        for (kind, name, [as_url, as_headers, as_password]) in [
            (IntegrationType::Webhook, "url", [true, false, false]),
            (IntegrationType::MicrosoftTeams, "microsoftTeamsWebhookUrl", [true, false, false]),
            (IntegrationType::Webhook, "headersTemplate", [true, true, true]),
            (IntegrationType::Webhook, "secret", [true, false, true]),
            (IntegrationType::Prometheus, "password", [true, false, true]),
            (IntegrationType::OpsGenie, "apiKey", [false, false, false]),
        ] {
            assert_eq!(check(kind, name, url), as_url, "{name}");
            assert_eq!(check(kind, name, headers), as_headers, "{name}");
            assert_eq!(check(kind, name, password), as_password, "{name}");
        }
    }

    #[test]
    fn values_fit_the_row() {
        let new = |kind, values: &[(&str, FieldValue<()>)]| Integration::new(kind, values.iter().cloned());
        let secret = || FieldValue::Secret(());
        let opsgenie = |values: &[_]| new(IntegrationType::OpsGenie, values);
        assert!(opsgenie(&[("region", "EU".into()), ("apiKey", secret())]).is_ok());
        for (values, why) in [
            (&[("region", "EU".into())][..], "apiKey is missing"),
            (&[("apiKey", secret()), ("routingKey", "x".into())], "OPS_GENIE has no field routingKey"),
            (&[("apiKey", secret()), ("apiKey", secret())], "OPS_GENIE has no field apiKey"),
            (&[("apiKey", "in clear".into())], "apiKey is of another kind"),
            (&[("apiKey", secret()), ("region", secret())], "region is of another kind"),
            (&[("apiKey", secret()), ("region", true.into())], "region is of another kind"),
        ] {
            assert_eq!(opsgenie(values), Err(why.to_owned()));
        }
        let mut prometheus = vec![("password", secret()), ("serviceDiscovery", "http".into())];
        prometheus.push(("username", "u".into()));
        let preset = new(IntegrationType::Prometheus, &prometheus).expect("enabled has a preset");
        prometheus.push(("enabled", true.into()));
        assert_eq!(new(IntegrationType::Prometheus, &prometheus), Ok(preset), "in any order");
        prometheus.push(("scheme", "http".into()));
        assert!(new(IntegrationType::Prometheus, &prometheus).is_err(), "only Atlas says a scheme");
    }

    #[test]
    fn every_type_is_found_by_its_name() {
        for row in TYPES {
            assert_eq!(IntegrationType::parse(row.name), Some(row.kind));
            assert_eq!((row.kind.row().name, row.kind.as_str()), (row.name, row.name));
        }
        assert_eq!(IntegrationType::parse("OTHER"), None);
    }
}

#[cfg(test)]
#[path = "integration_tests.rs"]
mod integration_tests;
