//! The integration types and their fields: one table, a row per type and a line per field.
//!
//! Sources: the schemas of the Atlas Admin API v2 spec, and the v1.0 create page for FLOWDOCK and for what v1.0
//! requires. What the table cannot say (a URL's shape, a key's shape) is in `validate`.

use crate::exchange::Api;
use crate::settings::Flowdock;

/// What a field holds, and how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, shown as it is.
    Text,
    /// A key: shown masked.
    Secret,
    /// A password: never shown.
    WriteOnly,
    /// A URL: shown masked.
    Url,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// In answers only, and null.
    ReadOnly,
}

/// Who must send a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    Never,
    V1,
    V2,
    Always,
}

/// What v2 shows for a field without a value, and v1.0 perhaps too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// Nothing.
    Omitted,
    /// `null` on v2, nothing on v1.0 (recorded answers).
    Null,
    /// `null` on v2, an empty text on v1.0 (v1.0 create page: Slack's channel name).
    NullOrEmpty,
}

/// A value that Atlas fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    None,
    Word(&'static str),
    No,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: Required,
    pub unset: Unset,
    pub preset: Preset,
    /// Younger than the v1.0 create page.
    pub young: bool,
    /// Shortest and longest value, in characters.
    pub length: Option<(usize, usize)>,
}

/// One integration type.
#[derive(Debug)]
pub struct Type {
    pub name: &'static str,
    pub fields: &'static [Field],
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: Required::Never,
        unset: Unset::Omitted,
        preset: Preset::None,
        young: false,
        length: None,
    }
}

const fn flag(name: &'static str) -> Field {
    let mut flag = field(name, Kind::Flag);
    flag.preset = Preset::No;
    flag.young = true;
    flag
}

impl Field {
    const fn required(mut self) -> Self {
        self.required = Required::Always;
        self
    }

    const fn required_by(mut self, required: Required) -> Self {
        self.required = required;
        self
    }

    const fn preset(mut self, word: &'static str) -> Self {
        self.preset = Preset::Word(word);
        self
    }

    const fn unset(mut self, unset: Unset) -> Self {
        self.unset = unset;
        self
    }

    const fn length(mut self, least: usize, most: usize) -> Self {
        self.length = Some((least, most));
        self
    }

    /// Whether this version asks for the field.
    pub fn is_required(&self, api: Api) -> bool {
        match self.required {
            Required::Never => false,
            Required::Always => true,
            Required::V1 => api == Api::V1,
            Required::V2 => api == Api::V2,
        }
    }
}

const TWO_REGIONS: Kind = Kind::Choice(&["US", "EU"]);
const DATADOG_REGIONS: Kind = Kind::Choice(&["US", "EU", "US3", "US5", "AP1", "US1_FED"]);

/// All types in the order of results.
///
/// The order is the one that both the recorded answers (PAGER_DUTY, DATADOG, OPS_GENIE, VICTOR_OPS, WEBHOOK) and the
/// create page's example (DATADOG, SLACK, FLOWDOCK) agree with; the spec's own enumeration has SLACK before DATADOG.
pub const TYPES: &[Type] = &[
    Type {
        name: "PAGER_DUTY",
        fields: &[field("serviceKey", Kind::Secret).required(), field("region", TWO_REGIONS).preset("US")],
    },
    Type {
        name: "DATADOG",
        fields: &[
            field("apiKey", Kind::Secret).required(),
            field("customEndpoint", Kind::ReadOnly).unset(Unset::Null),
            field("region", DATADOG_REGIONS).preset("US"),
            flag("sendCollectionLatencyMetrics"),
            flag("sendDatabaseMetrics"),
            flag("sendQueryStatsMetrics"),
            flag("sendUserProvidedResourceTags"),
        ],
    },
    Type {
        name: "SLACK",
        fields: &[
            field("apiToken", Kind::Secret).required(),
            field("channelName", Kind::Text)
                .required_by(Required::V2)
                .unset(Unset::NullOrEmpty)
                .length(1, 80),
            field("teamName", Kind::Text).required_by(Required::V1),
        ],
    },
    Type {
        name: "NEW_RELIC",
        // The spec's pattern of 40 hexadecimal digits is not enforced: live values are short numbers and words.
        fields: &[
            field("accountId", Kind::Text).required(),
            field("licenseKey", Kind::Text).required(),
            field("readToken", Kind::Text).required(),
            field("writeToken", Kind::Text).required(),
        ],
    },
    Type {
        name: "OPS_GENIE",
        fields: &[field("apiKey", Kind::Secret).required(), field("region", TWO_REGIONS).preset("US")],
    },
    Type {
        name: "VICTOR_OPS",
        fields: &[field("apiKey", Kind::Secret).required(), field("routingKey", Kind::Text)],
    },
    Type {
        name: "FLOWDOCK",
        // The create page's example shows the token in clear.
        fields: &[
            field("apiToken", Kind::Text).required(),
            field("flowName", Kind::Text).required(),
            field("orgName", Kind::Text).required(),
        ],
    },
    Type {
        name: "WEBHOOK",
        fields: &[
            field("bodyTemplate", Kind::Text).unset(Unset::Null).length(0, 16 * 1024),
            field("headersTemplate", Kind::Text).unset(Unset::Null).length(0, 4 * 1024),
            field("secret", Kind::Secret),
            field("url", Kind::Url).required(),
        ],
    },
    Type { name: "MICROSOFT_TEAMS", fields: &[field("microsoftTeamsWebhookUrl", Kind::Url).required()] },
    Type {
        name: "PROMETHEUS",
        fields: &[
            field("enabled", Kind::Flag).required(),
            field("password", Kind::WriteOnly).required_by(Required::V1),
            flag("sendUserProvidedResourceTagsEnabled"),
            field("serviceDiscovery", Kind::Choice(&["http", "file"])).required(),
            field("username", Kind::Text).required(),
        ],
    },
];

/// In the enumeration of types, but without a schema: refused with an error of its own.
pub const HIP_CHAT: &str = "HIP_CHAT";

/// The type of this name.
pub fn find(name: &str) -> Option<&'static Type> {
    TYPES.iter().find(|known| known.name == name)
}

/// Place of a type in results; types that are not in the table come last.
pub fn order(name: &str) -> usize {
    TYPES.iter().position(|known| known.name == name).unwrap_or(TYPES.len())
}

/// Whether a version knows a type.
pub fn is_served(name: &str, api: Api, flowdock: Flowdock) -> bool {
    match (name, flowdock) {
        ("FLOWDOCK", Flowdock::V1Only) => api == Api::V1,
        ("FLOWDOCK", Flowdock::Nowhere) => false,
        _ => true,
    }
}
