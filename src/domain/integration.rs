//! The ten integrations as one closed enum.
//!
//! An eleventh type is one variant here, its rows in [`IntegrationType::shown_fields`] and
//! [`Integration::fields`], one block in [`crate::api`], and the mapping between the two in
//! [`crate::cluster`]. Everything else (request, redaction, hash, drift) is derived from these rows.

use super::integration_type::IntegrationType;
use super::redacted::{FieldKind, Redacted, RedactedValue, may_be_hidden};
use super::secret::SecretValue;

use IntegrationType as T;

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
#[allow(missing_docs)] // The fields are Atlas's, under Atlas's names.
pub enum Integration<S> {
    PagerDuty {
        service_key: S,
        region: Option<String>,
    },
    Slack {
        api_token: S,
        team_name: Option<String>,
        channel_name: Option<String>,
    },
    Datadog {
        api_key: S,
        region: Option<String>,
        send_collection_latency_metrics: Option<bool>,
        send_database_metrics: Option<bool>,
        send_query_stats_metrics: Option<bool>,
        send_user_provided_resource_tags: Option<bool>,
    },
    NewRelic {
        account_id: String,
        license_key: S,
        write_token: S,
        read_token: S,
    },
    OpsGenie {
        api_key: S,
        region: Option<String>,
    },
    VictorOps {
        api_key: S,
        routing_key: Option<String>,
    },
    Flowdock {
        flow_name: String,
        org_name: String,
        api_token: S,
    },
    Webhook {
        url: S,
        secret: Option<S>,
        body_template: Option<String>,
        headers_template: Option<S>,
    },
    MicrosoftTeams {
        webhook_url: S,
    },
    Prometheus {
        username: String,
        password: S,
        service_discovery: String,
        enabled: bool,
        send_user_provided_resource_tags_enabled: Option<bool>,
    },
}

/// A field's value as it stands in an [`Integration`].
pub enum FieldRef<'a, S> {
    /// A text.
    Text(&'a str),
    /// A flag.
    Bool(bool),
    /// A secret.
    Secret(&'a S),
}

impl<S> Integration<S> {
    /// The type.
    pub fn integration_type(&self) -> IntegrationType {
        match self {
            Self::PagerDuty { .. } => T::PagerDuty,
            Self::Slack { .. } => T::Slack,
            Self::Datadog { .. } => T::Datadog,
            Self::NewRelic { .. } => T::NewRelic,
            Self::OpsGenie { .. } => T::OpsGenie,
            Self::VictorOps { .. } => T::VictorOps,
            Self::Flowdock { .. } => T::Flowdock,
            Self::Webhook { .. } => T::Webhook,
            Self::MicrosoftTeams { .. } => T::MicrosoftTeams,
            Self::Prometheus { .. } => T::Prometheus,
        }
    }

    /// The fields that are set, under Atlas's JSON names: exactly what is sent besides `type`.
    pub fn fields(&self) -> Vec<(&'static str, FieldRef<'_, S>)> {
        let secret = |name, value| Some((name, FieldRef::Secret(value)));
        let text = |name, value| Some((name, FieldRef::Text(value)));
        let some = |name, value: &'_ Option<bool>| value.map(|flag| (name, FieldRef::Bool(flag)));
        let fields: Vec<Option<(&'static str, FieldRef<'_, S>)>> = match self {
            Self::PagerDuty { service_key, region } => {
                vec![secret("serviceKey", service_key), region.as_ref().and_then(|v| text("region", v))]
            }
            Self::Slack { api_token, team_name, channel_name } => vec![
                secret("apiToken", api_token),
                team_name.as_ref().and_then(|v| text("teamName", v)),
                channel_name.as_ref().and_then(|v| text("channelName", v)),
            ],
            Self::Datadog {
                api_key,
                region,
                send_collection_latency_metrics,
                send_database_metrics,
                send_query_stats_metrics,
                send_user_provided_resource_tags,
            } => vec![
                secret("apiKey", api_key),
                region.as_ref().and_then(|v| text("region", v)),
                some("sendCollectionLatencyMetrics", send_collection_latency_metrics),
                some("sendDatabaseMetrics", send_database_metrics),
                some("sendQueryStatsMetrics", send_query_stats_metrics),
                some("sendUserProvidedResourceTags", send_user_provided_resource_tags),
            ],
            Self::NewRelic { account_id, license_key, write_token, read_token } => vec![
                text("accountId", account_id),
                secret("licenseKey", license_key),
                secret("writeToken", write_token),
                secret("readToken", read_token),
            ],
            Self::OpsGenie { api_key, region } => {
                vec![secret("apiKey", api_key), region.as_ref().and_then(|v| text("region", v))]
            }
            Self::VictorOps { api_key, routing_key } => {
                vec![secret("apiKey", api_key), routing_key.as_ref().and_then(|v| text("routingKey", v))]
            }
            Self::Flowdock { flow_name, org_name, api_token } => {
                vec![text("flowName", flow_name), text("orgName", org_name), secret("apiToken", api_token)]
            }
            Self::Webhook { url, secret: signing, body_template, headers_template } => vec![
                secret("url", url),
                signing.as_ref().and_then(|v| secret("secret", v)),
                body_template.as_ref().and_then(|v| text("bodyTemplate", v)),
                headers_template.as_ref().and_then(|v| secret("headersTemplate", v)),
            ],
            Self::MicrosoftTeams { webhook_url } => vec![secret("microsoftTeamsWebhookUrl", webhook_url)],
            Self::Prometheus {
                username,
                password,
                service_discovery,
                enabled,
                send_user_provided_resource_tags_enabled,
            } => vec![
                text("username", username),
                secret("password", password),
                text("serviceDiscovery", service_discovery),
                Some(("enabled", FieldRef::Bool(*enabled))),
                some("sendUserProvidedResourceTagsEnabled", send_user_provided_resource_tags_enabled),
            ],
        };
        fields.into_iter().flatten().collect()
    }

    /// The same settings with every secret replaced by what `f` makes of it; the name is Atlas's.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<R, E>(
        &self,
        mut f: impl FnMut(&'static str, &S) -> Result<R, E>,
    ) -> Result<Integration<R>, E> {
        Ok(match self {
            Self::PagerDuty { service_key, region } => {
                Integration::PagerDuty { service_key: f("serviceKey", service_key)?, region: region.clone() }
            }
            Self::Slack { api_token, team_name, channel_name } => Integration::Slack {
                api_token: f("apiToken", api_token)?,
                team_name: team_name.clone(),
                channel_name: channel_name.clone(),
            },
            Self::Datadog {
                api_key,
                region,
                send_collection_latency_metrics,
                send_database_metrics,
                send_query_stats_metrics,
                send_user_provided_resource_tags,
            } => Integration::Datadog {
                api_key: f("apiKey", api_key)?,
                region: region.clone(),
                send_collection_latency_metrics: *send_collection_latency_metrics,
                send_database_metrics: *send_database_metrics,
                send_query_stats_metrics: *send_query_stats_metrics,
                send_user_provided_resource_tags: *send_user_provided_resource_tags,
            },
            Self::NewRelic { account_id, license_key, write_token, read_token } => Integration::NewRelic {
                account_id: account_id.clone(),
                license_key: f("licenseKey", license_key)?,
                write_token: f("writeToken", write_token)?,
                read_token: f("readToken", read_token)?,
            },
            Self::OpsGenie { api_key, region } => {
                Integration::OpsGenie { api_key: f("apiKey", api_key)?, region: region.clone() }
            }
            Self::VictorOps { api_key, routing_key } => {
                Integration::VictorOps { api_key: f("apiKey", api_key)?, routing_key: routing_key.clone() }
            }
            Self::Flowdock { flow_name, org_name, api_token } => Integration::Flowdock {
                flow_name: flow_name.clone(),
                org_name: org_name.clone(),
                api_token: f("apiToken", api_token)?,
            },
            Self::Webhook { url, secret, body_template, headers_template } => Integration::Webhook {
                url: f("url", url)?,
                secret: secret.as_ref().map(|s| f("secret", s)).transpose()?,
                body_template: body_template.clone(),
                headers_template: headers_template.as_ref().map(|s| f("headersTemplate", s)).transpose()?,
            },
            Self::MicrosoftTeams { webhook_url } => {
                Integration::MicrosoftTeams { webhook_url: f("microsoftTeamsWebhookUrl", webhook_url)? }
            }
            Self::Prometheus {
                username,
                password,
                service_discovery,
                enabled,
                send_user_provided_resource_tags_enabled,
            } => Integration::Prometheus {
                username: username.clone(),
                password: f("password", password)?,
                service_discovery: service_discovery.clone(),
                enabled: *enabled,
                send_user_provided_resource_tags_enabled: *send_user_provided_resource_tags_enabled,
            },
        })
    }

    fn kind_of(&self, name: &str) -> FieldKind {
        let shown = self.integration_type().shown_fields();
        shown.iter().find(|(field, _)| *field == name).map_or(FieldKind::Hidden, |(_, kind)| *kind)
    }
}

impl Integration<SecretKey> {
    /// Every Secret key that the settings refer to.
    pub fn secret_keys(&self) -> Vec<&SecretKey> {
        let secret = |(_, value)| match value {
            FieldRef::Secret(key) => Some(key),
            FieldRef::Text(_) | FieldRef::Bool(_) => None,
        };
        self.fields().into_iter().filter_map(secret).collect()
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
        let mut text = self.integration_type().as_str().to_owned();
        for (name, value) in self.fields() {
            let value = match value {
                FieldRef::Text(text) => serde_json::json!(text),
                FieldRef::Bool(flag) => serde_json::json!(flag),
                FieldRef::Secret(key) => serde_json::json!({"name": key.name, "key": key.key}),
            };
            text.push_str(&format!("\n{name}={value}"));
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The visible fields that an entry of Atlas holds otherwise: all that can be said without reading a Secret.
    pub fn visibly_differs(&self, entry: &Redacted) -> Vec<String> {
        let visible = |(name, value): (&'static str, FieldRef<'_, SecretKey>)| {
            let wanted = match value {
                FieldRef::Text(text) => self.kind_of(name).redact(text),
                FieldRef::Bool(flag) => RedactedValue::Bool(flag),
                FieldRef::Secret(_) => return None,
            };
            let same = entry.0.get(name).map_or_else(|| may_be_hidden(&wanted), |shown| *shown == wanted);
            (!same).then(|| name.to_owned())
        };
        self.fields().into_iter().filter_map(visible).collect()
    }
}

impl Integration<SecretValue> {
    /// The request body: the set fields and `type`, nothing else (v1.0 create page: "always include a `type`").
    pub fn body(&self) -> serde_json::Value {
        let mut body = serde_json::Map::new();
        for (name, value) in self.fields() {
            let value = match value {
                FieldRef::Text(text) => text.into(),
                FieldRef::Bool(flag) => flag.into(),
                FieldRef::Secret(secret) => secret.expose().into(),
            };
            body.insert(name.to_owned(), value);
        }
        body.insert("type".to_owned(), self.integration_type().as_str().into());
        serde_json::Value::Object(body)
    }

    /// The redacted form of what is about to be sent.
    pub fn redacted(&self) -> Redacted {
        let redact = |(name, value): (&'static str, FieldRef<'_, SecretValue>)| {
            let kind = self.kind_of(name);
            let value = match value {
                FieldRef::Text(text) => kind.redact(text),
                FieldRef::Bool(flag) => RedactedValue::Bool(flag),
                FieldRef::Secret(secret) => kind.redact(secret.expose()),
            };
            (name.to_owned(), value)
        };
        let own = ("type".to_owned(), RedactedValue::Text(self.integration_type().as_str().to_owned()));
        Redacted(self.fields().into_iter().map(redact).chain([own]).collect())
    }

    /// The secret values, for scrubbing them from texts and for comparing reads.
    pub fn secrets(&self) -> Vec<&SecretValue> {
        let secret = |(_, value)| match value {
            FieldRef::Secret(secret) => Some(secret),
            FieldRef::Text(_) | FieldRef::Bool(_) => None,
        };
        self.fields().into_iter().filter_map(secret).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(key: &str) -> Integration<SecretKey> {
        let key = SecretKey { name: "hook".into(), key: key.into() };
        Integration::Webhook {
            url: key,
            secret: None,
            body_template: Some("x".into()),
            headers_template: None,
        }
    }

    /// With every field set.
    fn sample(kind: IntegrationType) -> Integration<()> {
        let (text, some, flag) = (String::new, Some(String::new()), Some(true));
        match kind {
            T::PagerDuty => Integration::PagerDuty { service_key: (), region: some },
            T::Slack => Integration::Slack { api_token: (), team_name: some.clone(), channel_name: some },
            T::Datadog => Integration::Datadog {
                api_key: (),
                region: some,
                send_collection_latency_metrics: flag,
                send_database_metrics: flag,
                send_query_stats_metrics: flag,
                send_user_provided_resource_tags: flag,
            },
            T::NewRelic => {
                Integration::NewRelic { account_id: text(), license_key: (), write_token: (), read_token: () }
            }
            T::OpsGenie => Integration::OpsGenie { api_key: (), region: some },
            T::VictorOps => Integration::VictorOps { api_key: (), routing_key: some },
            T::Flowdock => Integration::Flowdock { flow_name: text(), org_name: text(), api_token: () },
            T::Webhook => Integration::Webhook {
                url: (),
                secret: Some(()),
                body_template: some,
                headers_template: Some(()),
            },
            T::MicrosoftTeams => Integration::MicrosoftTeams { webhook_url: () },
            T::Prometheus => Integration::Prometheus {
                username: text(),
                password: (),
                service_discovery: text(),
                enabled: true,
                send_user_provided_resource_tags_enabled: flag,
            },
        }
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
    fn every_field_that_can_be_sent_has_a_row() {
        for t in IntegrationType::ALL {
            assert_eq!(IntegrationType::parse(t.as_str()), Some(t));
            let shown = t.shown_fields();
            for (name, value) in sample(t).fields() {
                let kind = shown.iter().find(|(field, _)| *field == name).map(|(_, kind)| *kind);
                let secret = matches!(kind, Some(FieldKind::Key | FieldKind::Hidden | FieldKind::Url));
                assert_eq!(secret, matches!(value, FieldRef::Secret(_)), "{t}: {name} is {kind:?}");
            }
        }
    }
}
