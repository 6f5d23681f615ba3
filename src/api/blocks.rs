//! One block per integration type. Field names are Atlas's JSON spelling; a secret field is replaced by a
//! reference with the suffix `SecretRef`. Which fields exist and which are required: the deprecated v1.0
//! create page and the v2 specification (2023-01-01).

use kube::KubeSchema;
use kube::core::{Message, Reason, Rule};
use schemars::Schema;
use serde::{Deserialize, Serialize};

// A rule says in whole sentences what a pattern would only show, so what a rule checks has no pattern.

/// A number as Helm writes it into a manifest when the values file or `--set` has it without quotes.
const HELMS_NUMBER: &str = r"^-?[0-9](\\.[0-9]+)?[eE][+-][0-9]+$";
const NOT_HELMS_NUMBER: &str = "must not be a number with an exponent, which Helm makes of a number without quotes: put \
                                the number in quotes in the values file, or use --set-string";

/// A rule with one message for [`HELMS_NUMBER`] and another for everything else that it refuses.
fn text_rule(holds: &str, otherwise: &str) -> Rule {
    let helms = format!("self.matches('{HELMS_NUMBER}')");
    let message = format!(r#"{helms} ? "{NOT_HELMS_NUMBER}" : "{otherwise}""#);
    Rule::new(format!("{holds} && !{helms}")).message(Message::Expression(message))
}

/// Text that reaches one line of a message.
fn one_line() -> Rule {
    text_rule(
        r"self.matches('^[^\\x00-\\x1F\\x7F]+$')",
        "must be one line of text: at least one character, and no control characters such as line breaks and tabs",
    )
}

/// A name that reaches a URL path of the API server.
pub(super) fn name_of_secret() -> Rule {
    Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')").message(
        "must be the name of a Secret in the namespace of this object, since no other Secret can be used: lower-case \
         letters, digits, '-' and '.', beginning and ending with a letter or digit",
    )
}

/// Forbidden, not invalid: the API server shows an invalid value, and somebody may have put the secret in its place.
fn key_of_secret() -> Rule {
    Rule::new("self.matches('^[-._a-zA-Z0-9]+$')").reason(Reason::FieldValueForbidden).message(
        "must be the name of a key in the Secret: letters, digits, '-', '_' and '.'; the secret value itself \
         belongs in the Secret, never here",
    )
}

/// Datadog's own names of its sites, and their addresses, with what Atlas calls them.
const SITES: &str = "{'us': 'US', 'us1': 'US', 'datadoghq.com': 'US', 'eu': 'EU', 'eu1': 'EU', 'datadoghq.eu': 'EU', \
                     'us3': 'US3', 'us3.datadoghq.com': 'US3', 'us5': 'US5', 'us5.datadoghq.com': 'US5', 'ap1': 'AP1', \
                     'ap1.datadoghq.com': 'AP1', 'us1_fed': 'US1_FED', 'us1-fed': 'US1_FED', 'ddog-gov.com': 'US1_FED'}";

/// A site in Atlas's spelling, also one that Atlas adds later.
fn site() -> Rule {
    let message = format!(
        "self.lowerAscii() in {SITES} ? self + ' is ' + {SITES}[self.lowerAscii()] + ' in Atlas: write the name \
         that Atlas uses' : \"must be a Datadog site as Atlas spells it, in upper case: US, EU, US3, US5, AP1, US1_FED, \
         or one that Atlas adds later\""
    );
    Rule::new("self.matches('^[A-Z0-9_]{2,16}$') && !(self in ['US1', 'EU1'])")
        .message(Message::Expression(message))
}

/// Lets a number through to the rules, whose message says to write it in quotes.
fn or_number(schema: &mut Schema) {
    schema.remove("type");
    schema.insert("x-kubernetes-int-or-string".to_owned(), true.into());
}

fn quoted() -> Rule {
    Rule::new("type(self) == string").message(
        "must be text: write the number in quotes, such as \"1234567\"; with Helm put it in quotes in the template and \
         in the values file",
    )
}

fn account() -> Rule {
    let rule = text_rule(
        "self.matches('^[0-9A-Za-z_-]+$')",
        "must be the id of a New Relic account: letters, digits, '-' and '_'",
    );
    Rule { rule: format!("type(self) != string || {}", rule.rule), ..rule }
}

/// One key of one Secret in the object's own namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretKeyRef {
    /// Name of the Secret, in the namespace of this object.
    #[schemars(length(max = 253))]
    #[x_kube(validation = name_of_secret())]
    pub name: String,

    /// Key in the Secret's data. It holds the value alone: one trailing line break is ignored; a space, an invisible
    /// character or quotes around a key or URL are refused.
    #[schemars(length(max = 253))]
    #[x_kube(validation = key_of_secret())]
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
    #[schemars(with = "String", length(max = 200))]
    #[x_kube(validation = one_line())]
    pub team_name: Option<String>,

    /// Name of the channel. Required by version 2 of the Atlas API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 80))]
    #[x_kube(validation = one_line())]
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
    #[schemars(with = "String", length(max = 64))]
    #[x_kube(validation = site())]
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
    /// Id of the New Relic account, as text: write it in quotes.
    #[schemars(length(max = 64), transform = or_number)]
    #[x_kube(validation = quoted())]
    #[x_kube(validation = account())]
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
    #[schemars(with = "String", length(max = 200))]
    #[x_kube(validation = one_line())]
    pub routing_key: Option<String>,
}

/// Settings of a FLOWDOCK integration.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Flowdock {
    /// Name of the flow.
    #[schemars(length(max = 200))]
    #[x_kube(validation = one_line())]
    pub flow_name: String,

    /// Name of the Flowdock organisation.
    #[schemars(length(max = 200))]
    #[x_kube(validation = one_line())]
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
    #[schemars(length(max = 200))]
    #[x_kube(validation = one_line())]
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
