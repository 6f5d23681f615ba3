//! The "create" page of the deprecated API v1.0 as tables: its query parameters, types and fields.

use serde_json::{Map, Value};

use Json::{Flag, OneOf, Text};

/// The JSON type of a field.
#[derive(Clone, Copy)]
enum Json {
    Text,
    Flag,
    OneOf(&'static [&'static str]),
}

/// One row of the page: the fields beside `type`.
struct Row {
    kind: &'static str,
    /// "You must provide", as far as the page names no default.
    required: &'static [(&'static str, Json)],
    /// "You may also include", and what it names a default for: the regions.
    optional: &'static [(&'static str, Json)],
}

const ROWS: [Row; 10] = [
    Row { kind: "PAGER_DUTY", required: &[("serviceKey", Text)], optional: &[] },
    Row {
        kind: "SLACK",
        required: &[("apiToken", Text), ("teamName", Text)],
        optional: &[("channelName", Text)],
    },
    Row {
        kind: "DATADOG",
        required: &[("apiKey", Text)],
        optional: &[("region", OneOf(&["US", "US3", "US5", "EU"]))],
    },
    Row {
        kind: "NEW_RELIC",
        required: &[("licenseKey", Text), ("accountId", Text), ("writeToken", Text), ("readToken", Text)],
        optional: &[],
    },
    Row { kind: "OPS_GENIE", required: &[("apiKey", Text)], optional: &[("region", OneOf(&["US", "EU"]))] },
    Row { kind: "VICTOR_OPS", required: &[("apiKey", Text)], optional: &[("routingKey", Text)] },
    Row {
        kind: "FLOWDOCK",
        required: &[("flowName", Text), ("apiToken", Text), ("orgName", Text)],
        optional: &[],
    },
    Row { kind: "WEBHOOK", required: &[("url", Text)], optional: &[("secret", Text)] },
    Row { kind: "MICROSOFT_TEAMS", required: &[("microsoftTeamsWebhookUrl", Text)], optional: &[] },
    Row {
        kind: "PROMETHEUS",
        required: &[
            ("username", Text),
            ("password", Text),
            ("serviceDiscovery", OneOf(&["file", "http"])),
            ("enabled", Flag),
        ],
        optional: &[],
    },
];

/// What is younger than the page, and which document for v1.0 of MongoDB's carries it: type, field, why.
const YOUNGER: [(&str, &str, Json, &str); 9] = [
    ("PAGER_DUTY", "region", OneOf(&["US", "EU"]), "in MongoDB's OpenAPI document of v1.0"),
    ("DATADOG", "region", OneOf(&["AP1", "US1_FED"]), "sites of 2024 and 2025; in that document"),
    ("DATADOG", "sendCollectionLatencyMetrics", Flag, "of December 2024; in that document"),
    ("DATADOG", "sendDatabaseMetrics", Flag, "of December 2024; in that document"),
    ("DATADOG", "sendQueryStatsMetrics", Flag, "of autumn 2025; in that document"),
    ("DATADOG", "sendUserProvidedResourceTags", Flag, "of summer 2025; in that document"),
    ("WEBHOOK", "bodyTemplate", Text, "of summer 2026; in that document"),
    ("WEBHOOK", "headersTemplate", Text, "of summer 2026; in that document"),
    ("PROMETHEUS", "sendUserProvidedResourceTagsEnabled", Flag, "of summer 2025; in that document"),
];

/// Whether the page names the type.
pub fn knows(kind: &str) -> bool {
    ROWS.iter().any(|row| row.kind == kind)
}

/// What is wrong with a body for this type.
pub fn check_body(kind: &str, body: &Map<String, Value>, problems: &mut Vec<String>) {
    let Some(row) = ROWS.iter().find(|row| row.kind == kind) else { return };
    for (field, _) in row.required.iter().filter(|(field, _)| !body.contains_key(*field)) {
        problems.push(format!("{kind}.{field} is missing"));
    }
    for (field, value) in body.iter().filter(|(field, _)| *field != "type") {
        let on_page = row.required.iter().chain(row.optional).map(|(name, json)| (*name, *json));
        let younger = YOUNGER.iter().filter(|(of, ..)| *of == kind).map(|(_, name, json, _)| (*name, *json));
        let known: Vec<Json> =
            on_page.chain(younger).filter(|(name, _)| name == field).map(|(_, json)| json).collect();
        if known.is_empty() {
            problems.push(format!("{kind}.{field} is not on the page"));
        } else if !known.iter().any(|json| fits(value, *json)) {
            problems.push(format!("{kind}.{field} can't be {value}"));
        }
    }
}

fn fits(value: &Value, json: Json) -> bool {
    match json {
        Text => value.is_string(),
        Flag => value.is_boolean(),
        OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
    }
}

/// What is wrong with a query parameter.
pub fn check_query(name: &str, value: &str, problems: &mut Vec<String>) {
    let number = |range: std::ops::RangeInclusive<u32>| value.parse().is_ok_and(|n| range.contains(&n));
    let fits = match name {
        "pageNum" => number(1..=u32::MAX),
        "itemsPerPage" => number(1..=500),
        "includeCount" | "pretty" | "envelope" => matches!(value, "true" | "false"),
        _ => {
            problems.push(format!("query parameter {name} is not on the page"));
            return;
        }
    };
    if !fits {
        problems.push(format!("query parameter {name} can't be {value}"));
    }
}
