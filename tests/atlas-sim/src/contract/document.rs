//! The OpenAPI document of the Atlas Admin API v2, and a validator for the parts of JSON Schema that it uses.

use std::sync::LazyLock;

use serde_json::{Map, Value};

#[allow(clippy::expect_used, reason = "the document is part of the program")]
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("atlas-integrations.openapi.json")).expect("the document is JSON")
});

/// Which way a body goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To Atlas: a field that is not in the document is a problem.
    Request,
    /// From Atlas: a field that is not in the document must be null.
    Answer,
}

/// A rule of the document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    Null,
    Type,
    Length,
    Pattern,
    Other,
}

/// Where Atlas is known not to enforce its document: the place, the rule, and why it is let pass.
const NOT_ENFORCED: [(&str, Rule, &str); 2] = [
    ("NewRelic.accountId", Rule::Pattern, "live values are short numbers"),
    ("NewRelic.licenseKey", Rule::Pattern, "live values are plain words"),
];

/// The same of what Atlas itself answers.
const NOT_KEPT_IN_ANSWERS: [(&str, Rule, &str); 5] = [
    ("Webhook.bodyTemplate", Rule::Null, "recorded answers have null when it is unset"),
    ("Webhook.headersTemplate", Rule::Null, "recorded answers have null when it is unset"),
    ("ApiError.parameters", Rule::Null, "recorded answers have null where there are none"),
    ("ApiError.parameters[]", Rule::Type, "recorded answers have texts and numbers, not objects"),
    ("Slack.channelName", Rule::Length, "the v1.0 create page has an empty text when it is unset"),
];

fn is_known_to_differ(way: Way, place: &str, rule: Rule) -> bool {
    let in_answers: &[_] = if way == Way::Answer { &NOT_KEPT_IN_ANSWERS } else { &[] };
    NOT_ENFORCED.iter().chain(in_answers).any(|(known, differs, _)| *known == place && *differs == rule)
}

/// Follows a reference.
pub fn resolve(schema: &Value) -> &Value {
    let pointer = schema["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
    match pointer.and_then(|pointer| DOCUMENT.pointer(pointer)) {
        Some(target) => resolve(target),
        None => schema,
    }
}

/// Name of a schema for the list of differences.
fn name(schema: &Value, place: &str) -> String {
    let reference = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    reference.map_or_else(|| place.to_owned(), str::to_owned)
}

/// Holds a value against a schema; `place` names it in problems.
pub fn check(way: Way, place: &str, value: &Value, schema: &Value, problems: &mut Vec<String>) {
    let place = name(schema, place);
    let schema = resolve(schema);
    let mut problem = |rule: Rule, text: String| {
        if !is_known_to_differ(way, &place, rule) {
            problems.push(format!("{place}: {text}"));
        }
    };
    if value.is_null() {
        if schema["nullable"] != true {
            problem(Rule::Null, "null".to_owned());
        }
        return;
    }
    let (only_there, the_other) = match way {
        Way::Request => ("readOnly", "read-only, but in a request"),
        Way::Answer => ("writeOnly", "write-only, but in an answer"),
    };
    if schema[only_there] == true {
        problem(Rule::Other, the_other.to_owned());
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        problem(Rule::Other, format!("{value} is none of {words:?}"));
    }
    let fits = match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    };
    if !fits {
        problem(Rule::Type, format!("{value} is not of type {}", schema["type"]));
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|least| length < least)
            || schema["maxLength"].as_u64().is_some_and(|most| length > most)
        {
            problem(Rule::Length, format!("{length} characters"));
        }
        if let Some(pattern) = schema["pattern"].as_str().filter(|pattern| !fits_pattern(text, pattern)) {
            problem(Rule::Pattern, format!("{text} does not fit {pattern}"));
        }
    }
    if let Some(number) = value.as_i64()
        && (schema["minimum"].as_i64().is_some_and(|least| number < least)
            || schema["maximum"].as_i64().is_some_and(|most| number > most))
    {
        problem(Rule::Other, format!("{number} is out of range"));
    }
    for item in value.as_array().into_iter().flatten() {
        check(way, &format!("{place}[]"), item, &schema["items"], problems);
    }
    if let Some(object) = value.as_object() {
        match schema["discriminator"]["mapping"].as_object() {
            Some(mapping) => discriminated(way, object, mapping, problems),
            None => members(way, &place, object, schema, problems),
        }
    }
}

/// The two patterns of the document.
fn fits_pattern(text: &str, pattern: &str) -> bool {
    let hexadecimal = |digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match pattern {
        "^([0-9a-f]){40}$" => hexadecimal(40),
        "^([a-f0-9]{24})$" => hexadecimal(24),
        _ => false,
    }
}

fn discriminated(
    way: Way,
    object: &Map<String, Value>,
    mapping: &Map<String, Value>,
    problems: &mut Vec<String>,
) {
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
    match mapping.get(kind) {
        Some(reference) => {
            let schema = serde_json::json!({"$ref": reference});
            check(way, "entry", &Value::Object(object.clone()), &schema, problems);
        }
        // Of the v1.0 create page; no schema anywhere.
        None if kind == "FLOWDOCK" && way == Way::Answer => {}
        None => problems.push(format!("unknown type {kind:?}")),
    }
}

fn members(way: Way, place: &str, object: &Map<String, Value>, schema: &Value, problems: &mut Vec<String>) {
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(required) {
            problems.push(format!("{place}.{required} is missing"));
        }
    }
    for (member, content) in object {
        match schema["properties"].get(member) {
            Some(schema) => check(way, &format!("{place}.{member}"), content, schema, problems),
            // `status` is what an envelope adds.
            None if way == Way::Answer && (content.is_null() || member == "status") => {}
            None => problems.push(format!("{place}.{member} is not in the document")),
        }
    }
}
