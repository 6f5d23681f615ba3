//! One block per integration type. Field names are Atlas's JSON spelling; a secret field is replaced by a
//! reference with the suffix `SecretRef`. Which fields exist and which are required: the deprecated v1.0
//! create page and the v2 specification (2023-01-01).

use kube::KubeSchema;
use kube::core::Rule;
use serde::{Deserialize, Serialize};

// Patterns are for tools that know only the schema; the API server shows these rules' words beside them.

/// Text that reaches one line of a message.
fn no_control_characters() -> Rule {
    Rule::new("!self.matches('[\\x00-\\x1F\\x7F]')")
        .message("must not contain control characters such as line breaks and tabs")
}

/// A name that reaches a URL path of the API server.
pub(super) fn name_of_secret() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message(
        "the name of a Secret of this namespace: lower-case letters, digits, '-' and '.', beginning and ending with a \
         letter or digit",
    )
}

/// One key of one Secret in the object's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[x_kube(validation = name_of_secret())]
    pub name: String,

    /// Key in the Secret's data. It holds the value alone: one trailing line break is ignored; a space, an invisible
    /// character or quotes around a key or URL are refused.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    #[x_kube(validation = ("self.matches('^[-._a-zA-Z0-9]+$')", "a key of the Secret's data: letters, digits, '-', '_' and '.'; the secret value itself belongs into the Secret"))]
    pub key: String,
}

/// Settings of a PAGER_DUTY integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PagerDuty {
    /// The PagerDuty service (integration) key: 32 hexadecimal digits.
    pub service_key_secret_ref: SecretKeyRef,

    /// PagerDuty region. Unset: not sent; Atlas then uses US.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["US", "EU"]))]
    pub region: Option<String>,
}

/// Settings of a SLACK integration. Atlas expects the first set-up of Slack in its UI (OAuth2).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Slack {
    /// The Slack API token.
    pub api_token_secret_ref: SecretKeyRef,

    /// Name of the Slack team (workspace). Required by version 1.0 of the Atlas API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 200), regex(pattern = r"^[^\x00-\x1F\x7F]+$"))]
    #[x_kube(validation = no_control_characters())]
    pub team_name: Option<String>,

    /// Name of the channel. Required by version 2 of the Atlas API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 80), regex(pattern = r"^[^\x00-\x1F\x7F]+$"))]
    #[x_kube(validation = no_control_characters())]
    pub channel_name: Option<String>,
}

/// Settings of a DATADOG integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Datadog {
    /// The Datadog API key: hexadecimal.
    pub api_key_secret_ref: SecretKeyRef,

    /// Datadog site in Atlas's spelling: US (Datadog's US1), EU, US3, US5, AP1, US1_FED, or one that Atlas adds
    /// later. Unset: not sent; Atlas then uses US.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64), regex(pattern = r"^[A-Z0-9_]{2,16}$"))]
    #[x_kube(validation = ("self.matches('^[A-Z0-9_]{2,16}$')", "a Datadog site in Atlas's spelling, in upper case: US, EU, US3, US5, AP1, US1_FED, ..."))]
    pub region: Option<String>,

    /// Whether Atlas sends collection latency metrics. Unset: not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_collection_latency_metrics: Option<bool>,

    /// Whether Atlas sends database metrics. Unset: not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_database_metrics: Option<bool>,

    /// Whether Atlas sends query statistics. Unset: not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_query_stats_metrics: Option<bool>,

    /// Whether Atlas sends the project's resource tags along. Unset: not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_user_provided_resource_tags: Option<bool>,
}

/// Settings of a NEW_RELIC integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NewRelic {
    /// Id of the New Relic account.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[0-9A-Za-z_-]+$"))]
    #[x_kube(validation = ("self.matches('^[0-9A-Za-z_-]+$')", "the id of a New Relic account: letters, digits, '-' and '_'"))]
    pub account_id: String,

    /// The New Relic license key.
    pub license_key_secret_ref: SecretKeyRef,

    /// The Insights insert key.
    pub write_token_secret_ref: SecretKeyRef,

    /// The Insights query key.
    pub read_token_secret_ref: SecretKeyRef,
}

/// Settings of an OPS_GENIE integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OpsGenie {
    /// The Opsgenie API key.
    pub api_key_secret_ref: SecretKeyRef,

    /// Opsgenie region. Unset: not sent; Atlas then uses US.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["US", "EU"]))]
    pub region: Option<String>,
}

/// Settings of a VICTOR_OPS integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VictorOps {
    /// The VictorOps (Splunk On-Call) API key.
    pub api_key_secret_ref: SecretKeyRef,

    /// Routing key. Unset: not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 200), regex(pattern = r"^[^\x00-\x1F\x7F]+$"))]
    #[x_kube(validation = no_control_characters())]
    pub routing_key: Option<String>,
}

/// Settings of a FLOWDOCK integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Flowdock {
    /// Name of the flow.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[^\x00-\x1F\x7F]+$"))]
    #[x_kube(validation = no_control_characters())]
    pub flow_name: String,

    /// Name of the Flowdock organisation.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[^\x00-\x1F\x7F]+$"))]
    #[x_kube(validation = no_control_characters())]
    pub org_name: String,

    /// The Flowdock API token.
    pub api_token_secret_ref: SecretKeyRef,
}

/// Settings of a WEBHOOK integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The URL that Atlas calls: absolute, http or https, as RFC 3986 has it. In a Secret, since webhook URLs commonly
    /// carry a token.
    pub url_secret_ref: SecretKeyRef,

    /// The secret that Atlas signs its calls with (Atlas's field `secret`). Unset: not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKeyRef")]
    pub signing_secret_ref: Option<SecretKeyRef>,

    /// Template of the body, at most 16384 characters. Passed on as it is. Unset: not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 16384))]
    pub body_template: Option<String>,

    /// Template of further headers, at most 4096 bytes, in a Secret, since headers commonly carry tokens (Atlas's
    /// field `headersTemplate`). Atlas renders it with FreeMarker and reads the result as a JSON object. Passed on as
    /// it is, unless it has control characters other than tabs and line breaks. Unset: not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKeyRef")]
    pub headers_template_secret_ref: Option<SecretKeyRef>,
}

/// Settings of a MICROSOFT_TEAMS integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MicrosoftTeams {
    /// The incoming webhook's URL (Atlas's field `microsoftTeamsWebhookUrl`).
    pub webhook_url_secret_ref: SecretKeyRef,
}

/// Settings of a PROMETHEUS integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Prometheus {
    /// User name that Prometheus scrapes with.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[^\x00-\x1F\x7F]+$"))]
    #[x_kube(validation = no_control_characters())]
    pub username: String,

    /// Password that Prometheus scrapes with.
    pub password_secret_ref: SecretKeyRef,

    /// Service discovery: http or file (lower case).
    #[schemars(extend("enum" = ["http", "file"]))]
    pub service_discovery: String,

    /// Whether Prometheus is enabled for the project's clusters. Unset: true is sent, since Atlas demands a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub enabled: Option<bool>,

    /// Whether Atlas adds the project's resource tags to the metrics. Unset: not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub send_user_provided_resource_tags_enabled: Option<bool>,
}
