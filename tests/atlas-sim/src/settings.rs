//! The switches of the simulator: what Atlas may be configured to do, and what is not known about it.
//!
//! Defaults are what is recorded or documented; a switch marked "not known" has the likelier behaviour as its default.
//! In JSON (admin interface) names are camel case and durations are milliseconds.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Behaviour of the simulator, globally or for one project.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// How long a digest nonce is good for. Not known for Atlas; Ops Manager uses 60 s.
    #[serde(with = "millis")]
    pub nonce_lifetime: Duration,
    /// How many requests one nonce may carry; `Some(1)` makes nonces one-use.
    pub nonce_max_uses: Option<u32>,
    /// What is asked of the nonce count. Not known for Atlas.
    pub nonce_counts: NonceCounts,
    /// Digest algorithms offered, in this order. Recorded: MD5 alone.
    pub algorithms: Vec<Algorithm>,
    /// How several challenges are put into one answer.
    pub challenges: Challenges,
    /// Challenges of other schemes, or of algorithms that nobody knows, which come before these.
    pub other_challenges: Vec<String>,

    /// Whether `/api/atlas/v1.0` is served, and how it is refused.
    pub serve_v1: Serve,
    /// Whether `/api/atlas/v2` is served, and how it is refused.
    pub serve_v2: Serve,
    /// Status for a v2 request without a valid `Accept`: 406 was observed, the documentation says 400.
    pub missing_accept_status: u16,

    /// PUT of a type that is not there. v1.0 documentation: adds it; not known for v2.
    pub put_on_absent: PutOnAbsent,
    /// Optional fields that a PUT leaves out. Not known.
    pub put_omitted: PutOmitted,
    /// Whether a PUT gives the entry a new id, as users report.
    pub put_rolls_id: bool,
    /// Status for an unknown integration type in the path. Not known: 404 or 400.
    pub unknown_type_status: u16,
    /// Whether the body's `type` must be there and equal the path's. Not known.
    pub check_body_type: bool,
    /// Where FLOWDOCK exists. It is on the v1.0 create page and not in the v2 spec.
    pub flowdock: Flowdock,
    /// Whether Slack can be set up by API. The create page says only in the UI; MongoDB's own tests do it by API.
    pub slack_first_create: SlackFirstCreate,
    /// Alert notifications use the webhook, so that DELETE WEBHOOK is refused (documentation: API errors).
    pub webhook_notifications_present: bool,
    /// Whether the shape of Datadog and PagerDuty keys is checked.
    pub check_vendor_keys: bool,
    /// Whether query parameters that the operation does not declare are refused. Not known.
    pub reject_unknown_query: bool,
    /// Entries of a page at most, whatever `itemsPerPage` says.
    pub most_per_page: Option<usize>,
    /// `false`: the caller's address is not on the access list.
    pub ip_allowed: bool,
    /// The organisation has not paid: every call answers 402.
    pub suspended: bool,
    /// Maintenance: writes answer 405.
    pub maintenance: bool,
    /// Rewrites of stored values, as if Atlas kept them in a normal form.
    pub normalise: Vec<Normalise>,
    /// What becomes of single fields, in answers or in what is stored.
    pub twists: Vec<Twist>,

    /// How many characters of a masked secret stay visible. Recorded: 4.
    pub mask_visible: usize,
    /// How webhook URLs are masked.
    pub url_mask: UrlMask,
    /// What v1.0 answers look like today. Not known.
    pub v1_shape: V1Shape,
    /// The retired `scheme` of Prometheus in v1.0 answers, which the create page still lists.
    pub v1_prometheus_scheme: Option<String>,

    /// Waiting time before each request is worked on.
    #[serde(with = "millis")]
    pub latency: Duration,
    /// Size of a project's token bucket (documentation: rate limits).
    pub rate_capacity: u32,
    /// Tokens added each interval.
    pub rate_refill: u32,
    /// Interval of the refill.
    #[serde(with = "millis")]
    pub rate_interval: Duration,
    /// How many tokens of the bucket somebody else has always taken.
    pub rate_others: u32,
    /// Whether v2 answers carry `RateLimit-…` headers.
    pub rate_headers: bool,
    /// Whether v1.0 shares the bucket and its headers. Not known.
    pub rate_on_v1: bool,
    /// Whether a 429 of the bucket carries `Retry-After`.
    pub rate_retry_after: bool,
    /// Requests per minute and project on v1.0, the legacy limit (100 for some resources).
    pub legacy_limit: Option<u32>,

    /// Lifetime of an OAuth token.
    #[serde(with = "millis")]
    pub token_lifetime: Duration,
    /// What token answers say of the lifetime, in place of the truth; null: nothing.
    pub token_expires_in: Option<Value>,
    /// Token requests per minute and service account.
    pub token_limit_per_minute: Option<u32>,
    /// Live tokens per service account.
    pub live_tokens: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nonce_lifetime: Duration::from_secs(60),
            nonce_max_uses: None,
            nonce_counts: NonceCounts::NoReuse,
            algorithms: vec![Algorithm::Md5],
            challenges: Challenges::SeparateHeaders,
            other_challenges: Vec::new(),
            serve_v1: Serve::Yes,
            serve_v2: Serve::Yes,
            missing_accept_status: 406,
            put_on_absent: PutOnAbsent::Upsert,
            put_omitted: PutOmitted::Replace,
            put_rolls_id: true,
            unknown_type_status: 404,
            check_body_type: true,
            flowdock: Flowdock::V1Only,
            slack_first_create: SlackFirstCreate::Accept,
            webhook_notifications_present: false,
            check_vendor_keys: true,
            reject_unknown_query: false,
            most_per_page: None,
            ip_allowed: true,
            suspended: false,
            maintenance: false,
            normalise: Vec::new(),
            twists: Vec::new(),
            mask_visible: 4,
            url_mask: UrlMask::WithLast4,
            v1_shape: V1Shape::CreatePage,
            v1_prometheus_scheme: None,
            latency: Duration::ZERO,
            rate_capacity: 1200,
            rate_refill: 500,
            rate_interval: Duration::from_secs(60),
            rate_others: 0,
            rate_headers: true,
            rate_on_v1: false,
            rate_retry_after: true,
            legacy_limit: None,
            token_lifetime: Duration::from_secs(3600),
            token_expires_in: None,
            token_limit_per_minute: Some(50),
            live_tokens: 100,
        }
    }
}

/// What is asked of `nc` in digest credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NonceCounts {
    /// Any count will do.
    Unchecked,
    /// Each count at most once, in any order.
    NoReuse,
    /// Exactly 1, 2, 3, …
    Strict,
}

/// A digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// MD5, as recorded.
    #[serde(rename = "MD5")]
    Md5,
    /// SHA-256 (RFC 7616).
    #[serde(rename = "SHA-256")]
    Sha256,
}

/// Layout of several challenges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Challenges {
    /// One `WWW-Authenticate` header each.
    SeparateHeaders,
    /// All in one header, separated by commas.
    OneHeader,
}

/// Whether an API version is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Serve {
    /// Yes.
    Yes,
    /// A 404 without an Atlas error, as a proxy or another server gives; before authentication.
    ForeignNotFound,
    /// 404 `RESOURCE_NOT_FOUND`.
    ResourceNotFound,
    /// 410 `VERSION_GONE`.
    VersionGone,
    /// 406 (or 400) `INVALID_VERSION_DATE`, whatever `Accept` says.
    InvalidVersionDate,
}

/// PUT of a type that is not configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PutOnAbsent {
    /// Creates it.
    Upsert,
    /// 404 `INTEGRATION_NOT_CONFIGURED`.
    NotFound,
}

/// Optional fields that a PUT leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PutOmitted {
    /// Go back to their default.
    Replace,
    /// Keep their value.
    Merge,
}

/// Where FLOWDOCK is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Flowdock {
    /// On v1.0, and shown only there.
    V1Only,
    /// Nowhere.
    Nowhere,
    /// On both versions.
    Everywhere,
}

/// Setting up Slack by API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SlackFirstCreate {
    /// Accepted.
    Accept,
    /// 400 `SLACK_OAUTH2_NOT_CONFIGURED`.
    RequireOAuth2,
}

/// Masking of URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UrlMask {
    /// `https://example.com/****2101`, recorded since May 2026.
    WithLast4,
    /// `https://example.com/****`, recorded before.
    Plain,
}

/// Shape of v1.0 entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum V1Shape {
    /// As on the create page: no `id`, no nulls, and fields younger than the page only where they are set.
    CreatePage,
    /// As v2 shows them.
    LikeV2,
}

/// One rewrite of a stored value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Normalise {
    /// The type it applies to.
    pub integration_type: String,
    /// The field it applies to.
    pub field: String,
    /// What is done.
    pub how: HowNormalised,
}

/// How a value is rewritten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HowNormalised {
    /// Text in lower case.
    Lowercase,
    /// Text in upper case.
    Uppercase,
    /// Text without white space at its ends.
    Trim,
    /// Always this value, whatever was sent.
    Set(Value),
    /// Text with this before it, once.
    Prefix(String),
    /// Digits as a number.
    Number,
    /// Not stored at all.
    Drop,
}

/// What becomes of one field of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Twist {
    /// The type it applies to.
    pub integration_type: String,
    /// The field it applies to.
    pub field: String,
    /// What is done.
    pub how: HowTwisted,
}

/// What is done to a field. Where several twists name the same field, they are applied in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HowTwisted {
    /// Answers show this where they would show nothing.
    Add(Value),
    /// Answers leave the field out.
    Hide,
    /// Answers show a null.
    Null,
    /// Answers show a text as asterisks, but for so many characters at its end.
    Mask(usize),
    /// A body without the field is stored with this value.
    Default(Value),
    /// A PUT without the field leaves what is stored.
    Merge,
}

impl Settings {
    /// The twists of a type, in their order.
    pub(crate) fn twists_of(&self, kind: &str) -> impl Iterator<Item = (&str, &HowTwisted)> {
        let own = self.twists.iter().filter(move |twist| twist.integration_type == kind);
        own.map(|twist| (twist.field.as_str(), &twist.how))
    }
}

/// Durations as milliseconds in JSON.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(deserializer)?))
    }
}
