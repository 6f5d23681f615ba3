//! One sample of each type: what a user writes, what Atlas must then hold, and what may be shown of it.

use serde_json::{Value, json};

/// A sample.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Atlas's spelling.
    pub kind: &'static str,
    /// `type` and block; all secrets are keys of the Secret `keys`.
    pub spec: Value,
    /// The fields of the block that may be left out.
    pub optional: &'static [&'static str],
    /// The Secret's values.
    pub secrets: Vec<(&'static str, &'static str)>,
    /// What Atlas stores, `id` apart.
    pub stored: Value,
    /// What the status echoes, `id` and what Atlas adds apart.
    pub echo: Value,
    /// An edit of the spec, and what then changes in Atlas.
    pub edit: (Value, Value),
    /// A Secret's key, its new value, and Atlas's field of it.
    pub rotation: (&'static str, &'static str, &'static str),
}

fn key(name: &str) -> Value {
    json!({"name": "keys", "key": name})
}

/// All ten.
pub fn all() -> Vec<Sample> {
    vec![
        Sample {
            kind: "PAGER_DUTY",
            spec: json!({"type": "PAGER_DUTY", "pagerDuty": {"serviceKeySecretRef": key("service"), "region": "EU"}}),
            optional: &["region"],
            secrets: vec![("service", "0123456789abcdef0123456789abc001")],
            stored: json!({"type": "PAGER_DUTY", "serviceKey": "0123456789abcdef0123456789abc001", "region": "EU"}),
            echo: json!({"type": "PAGER_DUTY", "serviceKey": "****c001", "region": "EU"}),
            edit: (json!({"pagerDuty": {"region": "US"}}), json!({"region": "US"})),
            rotation: ("service", "0123456789abcdef0123456789abc002", "serviceKey"),
        },
        Sample {
            kind: "SLACK",
            spec: json!({"type": "SLACK", "slack": {"apiTokenSecretRef": key("token"), "teamName": "My Team", "channelName": "alerts"}}),
            optional: &["teamName", "channelName"],
            secrets: vec![("token", "xoxb-canary-slack-token-0001")],
            stored: json!({"type": "SLACK", "apiToken": "xoxb-canary-slack-token-0001", "teamName": "My Team", "channelName": "alerts"}),
            echo: json!({"type": "SLACK", "apiToken": "****0001", "teamName": "My Team", "channelName": "alerts"}),
            edit: (json!({"slack": {"channelName": "pages"}}), json!({"channelName": "pages"})),
            rotation: ("token", "xoxb-canary-slack-token-0002", "apiToken"),
        },
        Sample {
            kind: "DATADOG",
            spec: json!({"type": "DATADOG", "datadog": {"apiKeySecretRef": key("api"), "region": "US5",
                "sendCollectionLatencyMetrics": true, "sendDatabaseMetrics": false, "sendQueryStatsMetrics": true}}),
            optional: &[
                "region",
                "sendCollectionLatencyMetrics",
                "sendDatabaseMetrics",
                "sendQueryStatsMetrics",
            ],
            secrets: vec![("api", "fedcba9876543210fedcba9876540001")],
            stored: json!({"type": "DATADOG", "apiKey": "fedcba9876543210fedcba9876540001", "region": "US5",
                "sendCollectionLatencyMetrics": true, "sendDatabaseMetrics": false, "sendQueryStatsMetrics": true}),
            echo: json!({"type": "DATADOG", "apiKey": "****0001", "region": "US5",
                "sendCollectionLatencyMetrics": true, "sendDatabaseMetrics": false, "sendQueryStatsMetrics": true}),
            edit: (json!({"datadog": {"sendDatabaseMetrics": true}}), json!({"sendDatabaseMetrics": true})),
            rotation: ("api", "fedcba9876543210fedcba9876540002", "apiKey"),
        },
        Sample {
            kind: "NEW_RELIC",
            spec: json!({"type": "NEW_RELIC", "newRelic": {"accountId": "1234567", "licenseKeySecretRef": key("license"),
                "writeTokenSecretRef": key("write"), "readTokenSecretRef": key("read")}}),
            optional: &[],
            secrets: vec![
                ("license", "canary-newrelic-license-0001"),
                ("write", "canary-newrelic-write-0001"),
                ("read", "canary-newrelic-read-0001"),
            ],
            stored: json!({"type": "NEW_RELIC", "accountId": "1234567", "licenseKey": "canary-newrelic-license-0001",
                "writeToken": "canary-newrelic-write-0001", "readToken": "canary-newrelic-read-0001"}),
            echo: json!({"type": "NEW_RELIC", "accountId": "1234567", "licenseKey": "****0001", "writeToken": "****0001",
                "readToken": "****0001"}),
            edit: (json!({"newRelic": {"accountId": "7654321"}}), json!({"accountId": "7654321"})),
            rotation: ("write", "canary-newrelic-write-0002", "writeToken"),
        },
        Sample {
            kind: "OPS_GENIE",
            spec: json!({"type": "OPS_GENIE", "opsGenie": {"apiKeySecretRef": key("api"), "region": "EU"}}),
            optional: &["region"],
            secrets: vec![("api", "canary-opsgenie-key-0001")],
            stored: json!({"type": "OPS_GENIE", "apiKey": "canary-opsgenie-key-0001", "region": "EU"}),
            echo: json!({"type": "OPS_GENIE", "apiKey": "****0001", "region": "EU"}),
            edit: (json!({"opsGenie": {"region": "US"}}), json!({"region": "US"})),
            rotation: ("api", "canary-opsgenie-key-0002", "apiKey"),
        },
        Sample {
            kind: "VICTOR_OPS",
            spec: json!({"type": "VICTOR_OPS", "victorOps": {"apiKeySecretRef": key("api"), "routingKey": "database"}}),
            optional: &["routingKey"],
            secrets: vec![("api", "canary-victorops-key-0001")],
            stored: json!({"type": "VICTOR_OPS", "apiKey": "canary-victorops-key-0001", "routingKey": "database"}),
            echo: json!({"type": "VICTOR_OPS", "apiKey": "****0001", "routingKey": "database"}),
            edit: (json!({"victorOps": {"routingKey": "night"}}), json!({"routingKey": "night"})),
            rotation: ("api", "canary-victorops-key-0002", "apiKey"),
        },
        Sample {
            kind: "FLOWDOCK",
            spec: json!({"type": "FLOWDOCK", "flowdock": {"flowName": "myFlowName", "orgName": "myOrg", "apiTokenSecretRef": key("token")}}),
            optional: &[],
            secrets: vec![("token", "canary-flowdock-token-0001")],
            stored: json!({"type": "FLOWDOCK", "flowName": "myFlowName", "orgName": "myOrg", "apiToken": "canary-flowdock-token-0001"}),
            echo: json!({"type": "FLOWDOCK", "flowName": "myFlowName", "orgName": "myOrg", "apiToken": "****0001"}),
            edit: (json!({"flowdock": {"flowName": "other"}}), json!({"flowName": "other"})),
            rotation: ("token", "canary-flowdock-token-0002", "apiToken"),
        },
        Sample {
            kind: "WEBHOOK",
            spec: json!({"type": "WEBHOOK", "webhook": {"urlSecretRef": key("url"), "signingSecretRef": key("signing"),
                "bodyTemplate": "{\"text\": \"{{alert}}\"}", "headersTemplateSecretRef": key("headers")}}),
            optional: &["signingSecretRef", "bodyTemplate", "headersTemplateSecretRef"],
            secrets: vec![
                ("url", "https://hooks.example.com/canary-webhook-path-0001"),
                ("signing", "canary-webhook-signing-0001"),
                ("headers", "{\"X-Token\": \"canary-webhook-header-0001\"}"),
            ],
            stored: json!({"type": "WEBHOOK", "url": "https://hooks.example.com/canary-webhook-path-0001",
                "secret": "canary-webhook-signing-0001", "bodyTemplate": "{\"text\": \"{{alert}}\"}",
                "headersTemplate": "{\"X-Token\": \"canary-webhook-header-0001\"}"}),
            echo: json!({"type": "WEBHOOK", "url": "https://hooks.example.com/****", "secret": "****"}),
            edit: (json!({"webhook": {"bodyTemplate": "{}"}}), json!({"bodyTemplate": "{}"})),
            rotation: ("url", "https://hooks.example.com/canary-webhook-path-0002", "url"),
        },
        Sample {
            kind: "MICROSOFT_TEAMS",
            spec: json!({"type": "MICROSOFT_TEAMS", "microsoftTeams": {"webhookUrlSecretRef": key("url")}}),
            optional: &[],
            secrets: vec![
                ("url", "https://teams.example.com/canary-teams-path-0001"),
                ("other", "https://teams.example.com/canary-teams-other-0001"),
            ],
            stored: json!({"type": "MICROSOFT_TEAMS", "microsoftTeamsWebhookUrl": "https://teams.example.com/canary-teams-path-0001"}),
            echo: json!({"type": "MICROSOFT_TEAMS", "microsoftTeamsWebhookUrl": "https://teams.example.com/****"}),
            edit: (
                json!({"microsoftTeams": {"webhookUrlSecretRef": key("other")}}),
                json!({"microsoftTeamsWebhookUrl": "https://teams.example.com/canary-teams-other-0001"}),
            ),
            rotation: (
                "other",
                "https://teams.example.com/canary-teams-other-0002",
                "microsoftTeamsWebhookUrl",
            ),
        },
        Sample {
            kind: "PROMETHEUS",
            spec: json!({"type": "PROMETHEUS", "prometheus": {"username": "prom", "passwordSecretRef": key("password"),
                "serviceDiscovery": "http"}}),
            optional: &[],
            secrets: vec![("password", "canary-prometheus-password-0001")],
            stored: json!({"type": "PROMETHEUS", "username": "prom", "password": "canary-prometheus-password-0001",
                "serviceDiscovery": "http", "enabled": true}),
            echo: json!({"type": "PROMETHEUS", "username": "prom", "serviceDiscovery": "http", "enabled": true}),
            edit: (json!({"prometheus": {"serviceDiscovery": "file"}}), json!({"serviceDiscovery": "file"})),
            rotation: ("password", "canary-prometheus-password-0002", "password"),
        },
    ]
}

/// The names of the ten types, in Atlas's spelling.
pub fn kinds() -> Vec<&'static str> {
    all().iter().map(|sample| sample.kind).collect()
}

impl Sample {
    /// A name for an object of this sample.
    pub fn name(&self) -> String {
        self.kind.to_lowercase().replace('_', "-")
    }

    /// The name of the type's block.
    pub fn block(&self) -> &str {
        let names = self.spec.as_object().into_iter().flat_map(|spec| spec.keys());
        names.map(String::as_str).find(|name| *name != "type").unwrap_or_default()
    }

    /// The least that the type needs.
    pub fn least(&self) -> Value {
        let mut spec = self.spec.clone();
        if let Some(block) = spec[self.block()].as_object_mut() {
            block.retain(|name, _| !self.optional.contains(&name.as_str()));
        }
        spec
    }

    /// The spec with another Secret's name in the place of `keys`.
    pub fn with_secret(&self, name: &str) -> Value {
        with_secret(&self.spec, name)
    }
}

fn with_secret(value: &Value, name: &str) -> Value {
    match value {
        Value::Object(fields) if fields.contains_key("key") => json!({"name": name, "key": fields["key"]}),
        Value::Object(fields) => {
            fields.iter().map(|(field, value)| (field.clone(), with_secret(value, name))).collect()
        }
        other => other.clone(),
    }
}

/// The spec of the DATADOG sample with a change.
pub fn datadog(change: Value) -> Value {
    let mut spec = of("DATADOG").spec;
    merge(&mut spec, &change);
    spec
}

/// A DATADOG integration that somebody else made.
pub fn foreign() -> Value {
    json!({"type": "DATADOG", "apiKey": "00000000000000000000000000009999", "region": "EU"})
}

/// The sample of a type.
///
/// # Panics
/// When there is no such type.
#[allow(clippy::expect_used)] // The name stands in a test.
pub fn of(kind: &str) -> Sample {
    all().into_iter().find(|sample| sample.kind == kind).expect("one of the ten types")
}

/// Merges as a JSON merge patch does.
pub fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (name, change) in change {
                if change.is_null() {
                    into.remove(name);
                } else {
                    merge(into.entry(name.clone()).or_insert(Value::Null), change);
                }
            }
        }
        (into, change) => *into = change.clone(),
    }
}
