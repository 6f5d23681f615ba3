//! What the operator writes back.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

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
    #[schemars(length(max = 1024))]
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
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationEcho {
    /// Atlas's id of the integration. Atlas gives a new one at every update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub id: Option<String>,
    /// The integration's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub r#type: Option<String>,
    /// New Relic account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub account_id: Option<String>,
    /// Datadog, Opsgenie or VictorOps API key, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub api_key: Option<String>,
    /// Slack or Flowdock API token, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub api_token: Option<String>,
    /// Webhook body template: its length and a hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub body_template: Option<String>,
    /// Slack channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub channel_name: Option<String>,
    /// Whether Prometheus is enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub enabled: Option<bool>,
    /// Flowdock flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub flow_name: Option<String>,
    /// Webhook headers template, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub headers_template: Option<String>,
    /// New Relic license key, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub license_key: Option<String>,
    /// Microsoft Teams webhook, redacted to scheme and host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub microsoft_teams_webhook_url: Option<String>,
    /// Flowdock organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub org_name: Option<String>,
    /// Prometheus password, redacted; Atlas never returns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub password: Option<String>,
    /// New Relic Insights query key, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub read_token: Option<String>,
    /// PagerDuty, Datadog or Opsgenie region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub region: Option<String>,
    /// VictorOps routing key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub routing_key: Option<String>,
    /// Prometheus scheme, as older answers show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub scheme: Option<String>,
    /// Webhook signing secret, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub secret: Option<String>,
    /// Whether Datadog gets collection latency metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_collection_latency_metrics: Option<bool>,
    /// Whether Datadog gets database metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_database_metrics: Option<bool>,
    /// Whether Datadog gets query statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_query_stats_metrics: Option<bool>,
    /// Whether Datadog gets resource tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_user_provided_resource_tags: Option<bool>,
    /// Whether Prometheus metrics carry resource tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_user_provided_resource_tags_enabled: Option<bool>,
    /// Prometheus service discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub service_discovery: Option<String>,
    /// PagerDuty service key, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub service_key: Option<String>,
    /// Slack team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub team_name: Option<String>,
    /// Webhook URL, redacted to scheme and host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub url: Option<String>,
    /// Prometheus user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub username: Option<String>,
    /// New Relic Insights insert key, redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub write_token: Option<String>,
}
