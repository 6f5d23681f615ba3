//! Holds answers against the OpenAPI document of the Atlas Admin API v2. It is a validator for the parts of JSON Schema
//! that the document uses, stricter in one point: a field that is not in the document must be null.

use std::sync::LazyLock;

use atlas_sim::Api;
use reqwest::Method;
use serde_json::Value;

use crate::client::Answer;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("atlas-integrations.openapi.json")).unwrap());

/// Where real answers are known to differ from the document: the place, and why it is let pass.
const KNOWN_TO_DIFFER: [(&str, &str); 6] = [
    ("Webhook.bodyTemplate", "recorded answers have null when it is unset"),
    ("Webhook.headersTemplate", "recorded answers have null when it is unset"),
    ("NewRelic.accountId", "live values are short numbers; the pattern of 40 digits is not enforced"),
    ("NewRelic.licenseKey", "live values are plain words; the pattern of 40 digits is not enforced"),
    ("ApiError.parameters", "recorded answers have texts and numbers, not objects"),
    ("Slack.channelName", "the v1.0 create page has an empty text when it is unset"),
];

/// Panics if an answer is not what the document says. v1.0 has the same schemas, and FLOWDOCK, which has none.
pub fn check(api: Api, method: &Method, one: bool, answer: &Answer) {
    let problems = problems(api, method, one, answer);
    assert!(problems.is_empty(), "{method}: {problems:#?}\nin {}", answer.text);
}

fn problems(api: Api, method: &Method, one: bool, answer: &Answer) -> Vec<String> {
    let mut problems = Vec::new();
    let root = "/api/atlas/v2/groups/{groupId}/integrations";
    let path = if one { format!("{root}/{{integrationType}}") } else { root.to_owned() };
    let operation = &DOCUMENT["paths"][&path][method.as_str().to_lowercase()];
    let declared = resolve(&operation["responses"][answer.status.to_string()]);
    if answer.status == 204 {
        if !answer.text.is_empty() {
            problems.push("204 has a body".to_owned());
        }
        return problems;
    }
    let content_type = answer.header("content-type").split(';').next().unwrap_or_default();
    let wanted = match api {
        Api::V2 if answer.status < 300 => "application/vnd.atlas.2023-01-01+json",
        _ => "application/json",
    };
    if content_type != wanted {
        problems.push(format!("content type {content_type} instead of {wanted}"));
    }
    let schema = match declared["content"].as_object() {
        Some(content) => content.values().next().map(|media| &media["schema"]),
        // 402, 405, 406, 410 and 415 are not declared, but they are Atlas's errors as well.
        None if answer.status >= 400 => {
            Some(&DOCUMENT["components"]["responses"]["badRequest"]["content"]["application/json"]["schema"])
        }
        None => None,
    };
    let Some(schema) = schema else {
        problems.push(format!("status {} is not declared", answer.status));
        return problems;
    };
    let body = answer.json();
    let body = if body.get("content").is_some() { &body["content"] } else { &body };
    value("body", body, schema, &mut problems);
    problems
}

fn resolve(schema: &Value) -> &Value {
    match schema["$ref"].as_str() {
        Some(reference) => resolve(DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap()),
        None => schema,
    }
}

/// Name of a schema for the list of differences.
fn name(schema: &Value, place: &str) -> String {
    let reference = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    reference.map_or_else(|| place.to_owned(), str::to_owned)
}

fn value(place: &str, value: &Value, schema: &Value, problems: &mut Vec<String>) {
    let place = name(schema, place);
    let schema = resolve(schema);
    let mut problem = |text: String| {
        if !KNOWN_TO_DIFFER.iter().any(|(known, _)| *known == place) {
            problems.push(format!("{place}: {text}"));
        }
    };
    if value.is_null() {
        if schema["nullable"] != true {
            problem("null".to_owned());
        }
        return;
    }
    if schema["writeOnly"] == true {
        problem("write-only, but in an answer".to_owned());
    }
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        problem(format!("{value} is none of {words:?}"));
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
        problem(format!("{value} is not of type {}", schema["type"]));
    }
    if let Some(text) = value.as_str() {
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|least| length < least)
            || schema["maxLength"].as_u64().is_some_and(|most| length > most)
        {
            problem(format!("{length} characters"));
        }
        if schema["pattern"] == "^([0-9a-f]){40}$"
            && !(length == 40 && text.chars().all(|c| c.is_ascii_hexdigit()))
        {
            problem(format!("{text} does not fit the pattern"));
        }
    }
    if value.as_i64().zip(schema["minimum"].as_i64()).is_some_and(|(number, least)| number < least) {
        problem(format!("{value} is too small"));
    }
    if let Some(items) = value.as_array().filter(|_| place != "ApiError.parameters") {
        for item in items {
            self::value(&format!("{place}[]"), item, &schema["items"], problems);
        }
    }
    if let Some(object) = value.as_object() {
        match schema["discriminator"]["mapping"].as_object() {
            Some(mapping) => discriminated(object, mapping, problems),
            None => members(&place, object, schema, problems),
        }
    }
}

fn discriminated(
    object: &serde_json::Map<String, Value>,
    mapping: &serde_json::Map<String, Value>,
    problems: &mut Vec<String>,
) {
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
    match mapping.get(kind) {
        Some(reference) => {
            let schema = serde_json::json!({"$ref": reference});
            value("entry", &Value::Object(object.clone()), &schema, problems);
        }
        // Of the v1.0 create page; no schema anywhere.
        None if kind == "FLOWDOCK" => {}
        None => problems.push(format!("unknown type {kind:?}")),
    }
}

fn members(place: &str, object: &serde_json::Map<String, Value>, schema: &Value, problems: &mut Vec<String>) {
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(required) {
            problems.push(format!("{place}.{required} is missing"));
        }
    }
    for (member, content) in object {
        match schema["properties"].get(member) {
            Some(schema) => {
                let place = format!("{place}.{member}");
                let place = if place.contains('[') {
                    place.rsplit(']').next().unwrap_or(&place).to_owned()
                } else {
                    place
                };
                value(&place, content, schema, problems);
            }
            // `status` is what an envelope adds.
            None if content.is_null() || member == "status" => {}
            None => problems.push(format!("{place}.{member} is not in the document")),
        }
    }
}

mod tests {
    use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.atlas.2023-01-01+json"));
        problems(Api::V2, &Method::GET, true, &Answer { status: 200, headers, text: text.to_owned() })
    }

    #[test]
    fn a_right_answer_has_no_problems() {
        assert_eq!(problems_of(r#"{"id":null,"serviceKey":"k","region":"EU","type":"PAGER_DUTY"}"#), [""; 0]);
        assert_eq!(problems_of(r#"{"apiKey":"k","somethingNew":null,"type":"DATADOG"}"#), [""; 0]);
        assert_eq!(problems_of(r#"{"url":"u","bodyTemplate":null,"type":"WEBHOOK"}"#), [""; 0]);
    }

    #[test]
    fn wrong_answers_are_seen() {
        for text in [
            r#"{"region":"EU","type":"PAGER_DUTY"}"#,
            r#"{"serviceKey":"k","region":"MOON","type":"PAGER_DUTY"}"#,
            r#"{"serviceKey":null,"type":"PAGER_DUTY"}"#,
            r#"{"serviceKey":1,"type":"PAGER_DUTY"}"#,
            r#"{"serviceKey":"k","extra":"x","type":"PAGER_DUTY"}"#,
            r#"{"serviceKey":"k","type":"PAGERS"}"#,
            r#"{"enabled":true,"serviceDiscovery":"http","username":"u","password":"p","type":"PROMETHEUS"}"#,
            r#"{"enabled":"true","serviceDiscovery":"http","username":"u","type":"PROMETHEUS"}"#,
        ] {
            assert_eq!(problems_of(text).len(), 1, "{text}: {:?}", problems_of(text));
        }
    }
}
