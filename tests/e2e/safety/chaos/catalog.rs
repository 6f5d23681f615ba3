//! The ten types as the documentation has them: what a spec may say, what a Secret may hold, and what Atlas must then
//! store. It shares no code with the operator, nor with the simulator.

use std::collections::BTreeMap;

use fastrand::Rng;
use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

/// Where a field of Atlas comes from.
enum From {
    /// A key of a Secret; in a spec always, or not.
    Secret { key: &'static str, always: bool },
    /// One of these words; in a spec always, or Atlas's own where the spec has none, if there is one.
    Word { words: &'static [&'static str], always: bool, preset: Option<&'static str> },
    /// Yes or no, and what it is where the spec does not say.
    Flag { preset: bool },
}

/// One field: Atlas's name, the spec's, and where its value comes from.
struct Field(&'static str, &'static str, From);

/// One type, with the spec's name of its block.
struct Type {
    name: &'static str,
    block: &'static str,
    fields: &'static [Field],
}

const fn secret(atlas: &'static str, spec: &'static str, key: &'static str) -> Field {
    Field(atlas, spec, From::Secret { key, always: true })
}

const fn maybe_secret(atlas: &'static str, spec: &'static str, key: &'static str) -> Field {
    Field(atlas, spec, From::Secret { key, always: false })
}

const fn text(name: &'static str, words: &'static [&'static str]) -> Field {
    Field(name, name, From::Word { words, always: true, preset: None })
}

const fn maybe_text(name: &'static str, words: &'static [&'static str]) -> Field {
    Field(name, name, From::Word { words, always: false, preset: None })
}

const fn region(words: &'static [&'static str]) -> Field {
    Field("region", "region", From::Word { words, always: false, preset: Some("US") })
}

const fn flag(name: &'static str, preset: bool) -> Field {
    Field(name, name, From::Flag { preset })
}

const NAMES: &[&str] = &["alpha", "beta", "gamma", "delta"];

const TYPES: &[Type] = &[
    Type {
        name: "PAGER_DUTY",
        block: "pagerDuty",
        fields: &[secret("serviceKey", "serviceKeySecretRef", "service"), region(&["US", "EU"])],
    },
    Type {
        name: "DATADOG",
        block: "datadog",
        fields: &[
            secret("apiKey", "apiKeySecretRef", "api"),
            region(&["US", "EU", "US3", "US5", "AP1"]),
            flag("sendCollectionLatencyMetrics", false),
            flag("sendDatabaseMetrics", false),
            flag("sendQueryStatsMetrics", false),
            flag("sendUserProvidedResourceTags", false),
        ],
    },
    Type {
        name: "SLACK",
        block: "slack",
        fields: &[
            secret("apiToken", "apiTokenSecretRef", "token"),
            maybe_text("teamName", NAMES),
            text("channelName", NAMES),
        ],
    },
    Type {
        name: "NEW_RELIC",
        block: "newRelic",
        fields: &[
            text("accountId", &["1234567", "7654321", "1111111"]),
            secret("licenseKey", "licenseKeySecretRef", "license"),
            secret("writeToken", "writeTokenSecretRef", "write"),
            secret("readToken", "readTokenSecretRef", "read"),
        ],
    },
    Type {
        name: "OPS_GENIE",
        block: "opsGenie",
        fields: &[secret("apiKey", "apiKeySecretRef", "api"), region(&["US", "EU"])],
    },
    Type {
        name: "VICTOR_OPS",
        block: "victorOps",
        fields: &[secret("apiKey", "apiKeySecretRef", "api"), maybe_text("routingKey", NAMES)],
    },
    Type {
        name: "FLOWDOCK",
        block: "flowdock",
        fields: &[
            text("flowName", NAMES),
            text("orgName", NAMES),
            secret("apiToken", "apiTokenSecretRef", "token"),
        ],
    },
    Type {
        name: "WEBHOOK",
        block: "webhook",
        fields: &[
            secret("url", "urlSecretRef", "url"),
            maybe_secret("secret", "signingSecretRef", "signing"),
            maybe_text("bodyTemplate", &["{}", "{\"text\": \"{{alert}}\"}"]),
            maybe_secret("headersTemplate", "headersTemplateSecretRef", "headers"),
        ],
    },
    Type {
        name: "MICROSOFT_TEAMS",
        block: "microsoftTeams",
        fields: &[secret("microsoftTeamsWebhookUrl", "webhookUrlSecretRef", "url")],
    },
    Type {
        name: "PROMETHEUS",
        block: "prometheus",
        fields: &[
            text("username", NAMES),
            secret("password", "passwordSecretRef", "password"),
            text("serviceDiscovery", &["http", "file"]),
            flag("enabled", true),
            flag("sendUserProvidedResourceTagsEnabled", false),
        ],
    },
];

/// The names of all types.
pub fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|known| known.name)
}

fn find(kind: &str) -> &'static Type {
    TYPES.iter().find(|known| known.name == kind).expect("a type of the table")
}

/// The settings that a number stands for, as a merge patch of a spec: what is not set is null.
pub fn settings(kind: &str, variant: u64, secret: &str) -> Value {
    let mut rng = Rng::with_seed(variant);
    let known = find(kind);
    let mut block = Map::new();
    for Field(_, name, from) in known.fields {
        let value = match from {
            From::Secret { key, always } if *always || rng.bool() => json!({"name": secret, "key": key}),
            From::Word { words, always, .. } if *always || rng.u8(..4) > 0 => {
                words[rng.usize(..words.len())].into()
            }
            From::Flag { .. } if rng.u8(..3) > 0 => rng.bool().into(),
            _ => Value::Null,
        };
        block.insert((*name).to_owned(), value);
    }
    json!({known.block: block})
}

/// A merge patch as what it makes of nothing.
pub fn without_nulls(patch: &Value) -> Value {
    match patch.as_object() {
        None => patch.clone(),
        Some(fields) => {
            let set = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(set.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
    }
}

/// A spec's settings with every Secret reference to another Secret, as a merge patch.
pub fn referring_to(kind: &str, spec: &Value, secret: &str) -> Value {
    let known = find(kind);
    let block = &spec[known.block];
    let changed = known
        .fields
        .iter()
        .filter(|Field(_, name, from)| matches!(from, From::Secret { .. }) && !block[*name].is_null());
    let changed: Map<String, Value> =
        changed.map(|Field(_, name, _)| ((*name).to_owned(), json!({"name": secret}))).collect();
    json!({known.block: changed})
}

/// What a Secret for settings may hold. The number tells its values from all others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Content {
    Good(u32),
    /// Values that Atlas refuses where it checks keys, which it does for two types.
    Refused(u32),
    /// Keys without values.
    Empty,
    /// Another key than those that are asked for.
    WithoutKeys,
    /// No Secret at all.
    Missing,
}

/// Every secret value begins with one of these, URLs and headers apart, which have one in them.
pub const MARKS: [&str; 3] = ["canary-", "c0ffeec0ffee", "canaryPRIVATE"];

/// The values of a Secret, by key: one for every reference of every type.
pub fn values(content: Content) -> BTreeMap<&'static str, String> {
    let keys =
        ["service", "api", "token", "license", "write", "read", "url", "signing", "headers", "password"];
    let of = |number: u32, refused: bool| {
        let value = |(at, key): (usize, &&'static str)| {
            let word = format!("canary-{key}-{number:08}");
            let value = match *key {
                "service" | "api" if !refused => format!("c0ffeec0ffee{at:04x}{number:016x}"),
                "url" => format!("https://hooks.example.com/{word}"),
                "headers" => format!("{{\"X-Token\": \"{word}\"}}"),
                _ => word,
            };
            (*key, value)
        };
        keys.iter().enumerate().map(value).collect()
    };
    match content {
        Content::Good(number) => of(number, false),
        Content::Refused(number) => of(number, true),
        Content::Empty => keys.iter().map(|key| (*key, String::new())).collect(),
        Content::WithoutKeys => BTreeMap::from([("unrelated", "x".to_owned())]),
        Content::Missing => BTreeMap::new(),
    }
}

/// An integration that somebody else made: nothing in it is what an object would send.
pub fn foreign(kind: &str, number: u32) -> Value {
    let mut entry = Map::from_iter([("type".to_owned(), kind.into())]);
    for Field(name, _, from) in find(kind).fields {
        let value = match from {
            From::Secret { key: "url", .. } => {
                format!("https://outside.example.com/canary-outside-{number:08}").into()
            }
            From::Secret { key: "headers", .. } => {
                format!("{{\"X-Outside\": \"canary-outside-{number:08}\"}}").into()
            }
            From::Secret { .. } => format!("canary-outside-{name}-{number:08}").into(),
            From::Word { preset: Some(_), .. } => "EU".into(),
            From::Word { .. } => format!("outside-{number}").into(),
            From::Flag { preset } => (!preset).into(),
        };
        entry.insert((*name).to_owned(), value);
    }
    Value::Object(entry)
}

/// Changes something that a LIST shows.
pub fn change_visibly(entry: &mut Value, number: u32) {
    let kind = entry["type"].as_str().expect("a type").to_owned();
    let shown = find(&kind).fields.iter().find(|Field(_, _, from)| !matches!(from, From::Secret { .. }));
    match shown {
        Some(Field(name, _, From::Word { words, preset: Some(_), .. })) => {
            let now = entry[*name].clone();
            entry[*name] = words.iter().find(|word| now != **word).map(|word| (*word).into()).unwrap_or(now);
        }
        Some(Field(name, ..)) => entry[*name] = format!("outside-{number}").into(),
        None => {
            let Field(name, ..) = &find(&kind).fields[0];
            entry[*name] = format!("https://outside-{number}.example.com/canary-outside").into();
        }
    }
}

/// Changes something that no LIST shows, or of which it shows the end only.
pub fn change_secret(entry: &mut Value, number: u32) {
    let kind = entry["type"].as_str().expect("a type").to_owned();
    let foreign = foreign(&kind, number);
    for Field(name, _, from) in find(&kind).fields {
        if matches!(from, From::Secret { .. }) && !entry[*name].is_null() {
            entry[*name] = foreign[*name].clone();
        }
    }
}

/// Why a spec's Secret can't be used, as the reason of Ready.
pub type Broken = &'static str;

/// What Atlas must store for a spec, `id` apart, given the Secrets as the API server has them now.
pub fn wanted(spec: &Value, secrets: &BTreeMap<String, Value>) -> Result<Value, Broken> {
    let kind = spec["type"].as_str().expect("a type");
    let known = find(kind);
    let block = &spec[known.block];
    let mut entry = Map::from_iter([("type".to_owned(), kind.into())]);
    let mut broken = Vec::new();
    for Field(atlas, name, from) in known.fields {
        let said = &block[*name];
        let value = match from {
            From::Secret { .. } if said.is_null() => continue,
            From::Secret { .. } => match looked_up(said, secrets) {
                Ok(value) => value.into(),
                Err(reason) => {
                    broken.push(reason);
                    continue;
                }
            },
            From::Word { preset, .. } if said.is_null() => match preset {
                Some(preset) => (*preset).into(),
                None => continue,
            },
            From::Flag { preset } if said.is_null() => (*preset).into(),
            _ => said.clone(),
        };
        entry.insert((*atlas).to_owned(), value);
    }
    // All references of a spec name one Secret here, so there is one cause.
    broken.first().map_or(Ok(Value::Object(entry)), |reason| Err(*reason))
}

fn looked_up(reference: &Value, secrets: &BTreeMap<String, Value>) -> Result<String, Broken> {
    let name = reference["name"].as_str().expect("a Secret's name");
    let key = reference["key"].as_str().expect("a Secret's key");
    let secret = secrets.get(name).ok_or("SecretNotFound")?;
    let value = secret["data"].get(key).ok_or("SecretKeyMissing")?;
    let ByteString(bytes) = serde_json::from_value(value.clone()).expect("base64");
    if bytes.is_empty() {
        return Err("SecretKeyInvalid");
    }
    Ok(String::from_utf8(bytes).expect("text"))
}

/// The Secrets that a spec refers to.
pub fn references(spec: &Value) -> Vec<String> {
    let known = find(spec["type"].as_str().expect("a type"));
    let block = &spec[known.block];
    let mut names: Vec<String> = known
        .fields
        .iter()
        .filter_map(|Field(_, name, _)| block[*name]["name"].as_str())
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Whether Atlas refuses these settings for their keys.
pub fn is_refused(entry: &Value) -> bool {
    let key = match entry["type"].as_str() {
        Some("DATADOG") => &entry["apiKey"],
        Some("PAGER_DUTY") => &entry["serviceKey"],
        _ => return false,
    };
    !key.as_str().is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The fields, secrets apart, that a spec sets and an entry holds otherwise.
pub fn visible_differences(spec: &Value, entry: &Value) -> Vec<&'static str> {
    let known = find(spec["type"].as_str().expect("a type"));
    let block = &spec[known.block];
    let visible = known.fields.iter().filter(|Field(_, _, from)| !matches!(from, From::Secret { .. }));
    let differs = |Field(atlas, name, _): &&Field| !block[*name].is_null() && block[*name] != entry[*atlas];
    visible.filter(differs).map(|Field(atlas, ..)| *atlas).collect()
}

/// docs/adoption.md: whether an entry has a value that the spec does not name, and that is not Atlas's default.
pub fn has_unnamed(spec: &Value, entry: &Value) -> bool {
    let known = find(spec["type"].as_str().expect("a type"));
    let block = &spec[known.block];
    let is_default = |name: &str, value: &Value| match name {
        // The operator sends true where the spec does not say.
        "enabled" => *value != false,
        _ => value.is_null() || *value == false || *value == "US",
    };
    let is_unnamed =
        |Field(atlas, name, _): &Field| block[*name].is_null() && !is_default(atlas, &entry[*atlas]);
    known.fields.iter().any(is_unnamed)
}
