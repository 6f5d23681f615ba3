//! The ten types as one table: what a spec may set, what Atlas calls it, and how it is checked and shown.
//!
//! These rows say what differs between the types; one block for each in [`crate::api`] adds the limits and the text for
//! users. Everything else follows from the rows: the words and rules of the schema, the mapping, requests, the redacted
//! form, the hash, the checks of secret values. `src/api/crd_tests.rs` fails where rows and blocks disagree.

use std::fmt;

use super::redacted::FieldKind::{self, Bool, Headers, Hidden, Key, Template, Text, Url};

use IntegrationType as T;
use Need::{Optional, Preset, Required, V1, V2};

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

/// What the operator knows of one type.
#[derive(Debug)]
pub struct TypeRow {
    /// The type.
    pub kind: IntegrationType,
    /// Atlas's spelling, also that of `spec.type`.
    pub name: &'static str,
    /// The service as its users write it.
    pub title: &'static str,
    /// Name of the block in the spec that holds the settings.
    pub block: &'static str,
    /// The fields. The hash of a configuration reads them in this order, and statuses hold that hash: keep the order.
    pub fields: &'static [Field],
}

/// One field of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Atlas's name, in requests and answers and so in `status.integration`.
    pub atlas: &'static str,
    /// Name in the block; `None` for what only answers of Atlas hold.
    pub spec: Option<&'static str>,
    /// How the value is checked and shown.
    pub kind: FieldKind,
    /// Whether it must be set.
    pub need: Need,
    /// What the schema of `status.integration` says of it; `{}` stands for the services that have the field.
    pub about: &'static str,
    /// When two texts of it mean the same.
    pub meaning: Meaning,
    /// The text that Atlas documents for the field where nothing was sent. A flag is then `false`, and any other field
    /// without a default is empty or not shown.
    pub default: Option<&'static str>,
}

/// When two texts of a field mean the same to Atlas, which may keep a text in a form of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// If they are equal.
    Exact,
    /// One of a few words: their case does not matter.
    Word,
    /// A Slack channel: with or without `#` before it.
    Channel,
    /// Digits, which Atlas has been seen to return as a number.
    Number,
}

/// Whether a field must be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// In every spec: the schema requires it.
    Required,
    /// Where it is unset, it is not sent.
    Optional,
    /// Where it is unset, this is sent.
    Preset(bool),
    /// Version 1.0 of the Atlas API demands it.
    V1,
    /// Version 2 of the Atlas API demands it.
    V2,
}

/// A field that a spec takes from a Secret.
const fn secret(
    atlas: &'static str,
    spec: &'static str,
    kind: FieldKind,
    need: Need,
    about: &'static str,
) -> Field {
    Field { atlas, spec: Some(spec), kind, need, about, meaning: Meaning::Exact, default: None }
}

/// A text that a spec holds itself, under Atlas's name.
const fn text(name: &'static str, need: Need, about: &'static str) -> Field {
    Field { kind: Text, ..secret(name, name, Text, need, about) }
}

/// A flag that a spec holds itself, under Atlas's name.
const fn flag(name: &'static str, about: &'static str) -> Field {
    Field { kind: Bool, ..text(name, Optional, about) }
}

/// A field that Atlas adds.
const fn shown(name: &'static str, about: &'static str) -> Field {
    Field { spec: None, ..text(name, Optional, about) }
}

/// What Atlas shows of every integration, whatever its type.
pub const ENTRY: &[Field] = &[
    shown("id", "Atlas's id of the integration. Atlas gives a new one at every update."),
    shown("type", "The integration's type."),
];

const API_KEY: Field = secret("apiKey", "apiKeySecretRef", Key, Required, "{} API key, redacted.");
const API_TOKEN: Field = secret("apiToken", "apiTokenSecretRef", Key, Required, "{} API token, redacted.");
const REGION: Field =
    Field { meaning: Meaning::Word, default: Some("US"), ..text("region", Optional, "{} region.") };

/// One row for each type, in the order of the create page and of [`IntegrationType`].
pub const TYPES: &[TypeRow] = &[
    TypeRow {
        kind: T::PagerDuty,
        name: "PAGER_DUTY",
        title: "PagerDuty",
        block: "pagerDuty",
        fields: &[
            secret("serviceKey", "serviceKeySecretRef", Key, Required, "{} service key, redacted."),
            REGION,
        ],
    },
    TypeRow {
        kind: T::Slack,
        name: "SLACK",
        title: "Slack",
        block: "slack",
        fields: &[
            API_TOKEN,
            text("teamName", V1, "{} team."),
            Field { meaning: Meaning::Channel, ..text("channelName", V2, "{} channel.") },
        ],
    },
    TypeRow {
        kind: T::Datadog,
        name: "DATADOG",
        title: "Datadog",
        block: "datadog",
        fields: &[
            API_KEY,
            REGION,
            flag("sendCollectionLatencyMetrics", "Whether {} gets collection latency metrics."),
            flag("sendDatabaseMetrics", "Whether {} gets database metrics."),
            flag("sendQueryStatsMetrics", "Whether {} gets query statistics."),
            flag("sendUserProvidedResourceTags", "Whether {} gets resource tags."),
        ],
    },
    TypeRow {
        kind: T::NewRelic,
        name: "NEW_RELIC",
        title: "New Relic",
        block: "newRelic",
        fields: &[
            Field { meaning: Meaning::Number, ..text("accountId", Required, "{} account.") },
            secret("licenseKey", "licenseKeySecretRef", Key, Required, "{} license key, redacted."),
            secret("writeToken", "writeTokenSecretRef", Key, Required, "{} Insights insert key, redacted."),
            secret("readToken", "readTokenSecretRef", Key, Required, "{} Insights query key, redacted."),
        ],
    },
    TypeRow {
        kind: T::OpsGenie,
        name: "OPS_GENIE",
        title: "Opsgenie",
        block: "opsGenie",
        fields: &[API_KEY, REGION],
    },
    TypeRow {
        kind: T::VictorOps,
        name: "VICTOR_OPS",
        title: "VictorOps",
        block: "victorOps",
        fields: &[API_KEY, text("routingKey", Optional, "{} routing key.")],
    },
    TypeRow {
        kind: T::Flowdock,
        name: "FLOWDOCK",
        title: "Flowdock",
        block: "flowdock",
        fields: &[
            text("flowName", Required, "{} flow."),
            text("orgName", Required, "{} organisation."),
            API_TOKEN,
        ],
    },
    TypeRow {
        kind: T::Webhook,
        name: "WEBHOOK",
        title: "Webhook",
        block: "webhook",
        fields: &[
            secret("url", "urlSecretRef", Url, Required, "{} URL, redacted to scheme and host."),
            secret("secret", "signingSecretRef", Hidden, Optional, "{} signing secret, redacted."),
            Field {
                kind: Template,
                ..text(
                    "bodyTemplate",
                    Optional,
                    "{} body template: length and hash of the object's own, of any other `another text`.",
                )
            },
            secret(
                "headersTemplate",
                "headersTemplateSecretRef",
                Headers,
                Optional,
                "{} headers template, redacted.",
            ),
        ],
    },
    TypeRow {
        kind: T::MicrosoftTeams,
        name: "MICROSOFT_TEAMS",
        title: "Microsoft Teams",
        block: "microsoftTeams",
        fields: &[secret(
            "microsoftTeamsWebhookUrl",
            "webhookUrlSecretRef",
            Url,
            Required,
            "{} webhook, redacted to scheme and host.",
        )],
    },
    TypeRow {
        kind: T::Prometheus,
        name: "PROMETHEUS",
        title: "Prometheus",
        block: "prometheus",
        fields: &[
            text("username", Required, "{} user name."),
            secret(
                "password",
                "passwordSecretRef",
                Hidden,
                Required,
                "{} password, redacted; Atlas never returns it.",
            ),
            Field { meaning: Meaning::Word, ..text("serviceDiscovery", Required, "{} service discovery.") },
            shown("scheme", "{} scheme, as older answers show it."),
            // Atlas demands a value (v2 specification), and a person who applies a Prometheus integration wants it on.
            Field { need: Preset(true), ..flag("enabled", "Whether {} is enabled.") },
            flag("sendUserProvidedResourceTagsEnabled", "Whether {} metrics carry resource tags."),
        ],
    },
];

impl IntegrationType {
    /// All types, in the order of [`TYPES`].
    pub const ALL: [IntegrationType; TYPES.len()] = {
        let mut all = [T::PagerDuty; TYPES.len()];
        // The loop counts down: `at *= 1` in place of `at += 1` would keep the compiler of `make mutants` busy for ever.
        let mut at = all.len();
        while at > 0 {
            at -= 1;
            all[at] = TYPES[at].kind;
            // `row` finds a row by its place.
            assert!(all[at] as usize == at, "the rows of TYPES stand in the order of the variants");
        }
        all
    };

    /// The row of this type.
    pub fn row(self) -> &'static TypeRow {
        &TYPES[self as usize]
    }

    /// Atlas's spelling, also that of `spec.type`.
    pub fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The type of this spelling, if the table has it.
    pub fn parse(text: &str) -> Option<IntegrationType> {
        TYPES.iter().find(|row| row.name == text).map(|row| row.kind)
    }

    /// The fields that an answer of Atlas may be shown with: an allow-list. What is not here never reaches a status.
    pub fn shown_fields(self) -> impl Iterator<Item = &'static Field> {
        ENTRY.iter().chain(self.row().fields)
    }

    /// The fields that a spec may set.
    pub fn settable_fields(self) -> impl Iterator<Item = &'static Field> {
        self.row().fields.iter().filter(|field| field.spec.is_some())
    }
}

impl fmt::Display for IntegrationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_types_are_those_of_the_table_in_its_order() {
        assert!(T::ALL.into_iter().eq(TYPES.iter().map(|row| row.kind)));
    }

    #[test]
    fn a_type_reads_as_atlas_spells_it() {
        assert_eq!(T::MicrosoftTeams.to_string(), "MICROSOFT_TEAMS");
    }

    #[test]
    fn an_answer_is_shown_with_its_id_its_type_and_the_fields_of_that_type() {
        let names: Vec<&str> = T::OpsGenie.shown_fields().map(|field| field.atlas).collect();
        assert_eq!(names, ["id", "type", "apiKey", "region"]);
    }

    /// Values are compared by the name of their field alone.
    #[test]
    fn fields_of_one_name_have_one_kind_meaning_and_default() {
        let mut known = std::collections::BTreeMap::new();
        for field in TYPES.iter().flat_map(|row| row.fields) {
            let what = (field.kind, field.meaning, field.default);
            assert_eq!(*known.entry(field.atlas).or_insert(what), what, "{}", field.atlas);
        }
    }
}
