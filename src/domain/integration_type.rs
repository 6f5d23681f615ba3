//! The ten types and the fields of each that may be shown.

use std::fmt;

use super::redacted::FieldKind::{self, Bool, Hidden, Key, Template, Text, Url};
use IntegrationType as T;

/// A third-party service, by Atlas's `INTEGRATION_TYPE` (v1.0 create page).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IntegrationType {
    /// PagerDuty.
    PagerDuty,
    /// Slack.
    Slack,
    /// Datadog.
    Datadog,
    /// New Relic.
    NewRelic,
    /// Opsgenie.
    OpsGenie,
    /// VictorOps, now Splunk On-Call.
    VictorOps,
    /// Flowdock; version 1.0 of the API only.
    Flowdock,
    /// Webhook.
    Webhook,
    /// Microsoft Teams.
    MicrosoftTeams,
    /// Prometheus.
    Prometheus,
}

impl IntegrationType {
    /// All ten, in the order of the create page.
    pub const ALL: [IntegrationType; 10] = [
        T::PagerDuty,
        T::Slack,
        T::Datadog,
        T::NewRelic,
        T::OpsGenie,
        T::VictorOps,
        T::Flowdock,
        T::Webhook,
        T::MicrosoftTeams,
        T::Prometheus,
    ];

    /// Atlas's spelling, also that of `spec.type`.
    pub fn as_str(self) -> &'static str {
        match self {
            T::PagerDuty => "PAGER_DUTY",
            T::Slack => "SLACK",
            T::Datadog => "DATADOG",
            T::NewRelic => "NEW_RELIC",
            T::OpsGenie => "OPS_GENIE",
            T::VictorOps => "VICTOR_OPS",
            T::Flowdock => "FLOWDOCK",
            T::Webhook => "WEBHOOK",
            T::MicrosoftTeams => "MICROSOFT_TEAMS",
            T::Prometheus => "PROMETHEUS",
        }
    }

    /// The type of this spelling, if it is one of the ten.
    pub fn parse(text: &str) -> Option<IntegrationType> {
        Self::ALL.into_iter().find(|t| t.as_str() == text)
    }

    /// The fields that an answer of Atlas may be shown with, besides `id` and `type`: an allow-list. What is
    /// not here never reaches a status.
    pub fn shown_fields(self) -> &'static [(&'static str, FieldKind)] {
        match self {
            T::PagerDuty => &[("serviceKey", Key), ("region", Text)],
            T::Slack => &[("apiToken", Key), ("teamName", Text), ("channelName", Text)],
            T::Datadog => &[
                ("apiKey", Key),
                ("region", Text),
                ("sendCollectionLatencyMetrics", Bool),
                ("sendDatabaseMetrics", Bool),
                ("sendQueryStatsMetrics", Bool),
                ("sendUserProvidedResourceTags", Bool),
            ],
            T::NewRelic => {
                &[("accountId", Text), ("licenseKey", Key), ("writeToken", Key), ("readToken", Key)]
            }
            T::OpsGenie => &[("apiKey", Key), ("region", Text)],
            T::VictorOps => &[("apiKey", Key), ("routingKey", Text)],
            T::Flowdock => &[("flowName", Text), ("orgName", Text), ("apiToken", Key)],
            T::Webhook => {
                &[("url", Url), ("secret", Hidden), ("bodyTemplate", Template), ("headersTemplate", Hidden)]
            }
            T::MicrosoftTeams => &[("microsoftTeamsWebhookUrl", Url)],
            T::Prometheus => &[
                ("username", Text),
                ("password", Hidden),
                ("serviceDiscovery", Text),
                ("scheme", Text),
                ("enabled", Bool),
                ("sendUserProvidedResourceTagsEnabled", Bool),
            ],
        }
    }
}

impl fmt::Display for IntegrationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
