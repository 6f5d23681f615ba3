//! Answers, held against the document.

use serde_json::Value;

use super::document::{DOCUMENT, Way, check, resolve};
use super::{JSON, V2_TYPE};
use crate::exchange::Api;

/// An answer, and what was asked.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Interface.
    pub api: Api,
    /// HTTP method of the request.
    pub method: &'a str,
    /// Whether the request named one type.
    pub one: bool,
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`; empty if there is none.
    pub content_type: &'a str,
    /// Body.
    pub text: &'a str,
}

/// What is wrong with an answer. v1.0 has the same schemas, and FLOWDOCK, which has none.
pub fn problems_of_answer(given: &Given<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let root = "/api/atlas/v2/groups/{groupId}/integrations";
    let path = if given.one { format!("{root}/{{integrationType}}") } else { root.to_owned() };
    let operation = &DOCUMENT["paths"][&path][given.method.to_lowercase()];
    let declared = resolve(&operation["responses"][given.status.to_string()]);
    if given.status == 204 {
        if !given.text.is_empty() {
            problems.push("204 has a body".to_owned());
        }
        return problems;
    }
    let content_type = given.content_type.split(';').next().unwrap_or_default();
    let wanted = if given.api == Api::V2 && given.status < 300 { V2_TYPE } else { JSON };
    if content_type != wanted {
        problems.push(format!("content type {content_type} instead of {wanted}"));
    }
    let schema = match declared["content"].as_object() {
        Some(content) => content.values().next().map(|media| &media["schema"]),
        // 402, 405, 406, 410 and 415 are not declared, but they are Atlas's errors as well.
        None if given.status >= 400 => {
            Some(&DOCUMENT["components"]["responses"]["badRequest"]["content"][JSON]["schema"])
        }
        None => None,
    };
    let Some(schema) = schema else {
        problems.push(format!("status {} is not declared", given.status));
        return problems;
    };
    match serde_json::from_str::<Value>(given.text) {
        Ok(body) => {
            let body = body.get("content").unwrap_or(&body);
            check(Way::Answer, "body", body, schema, &mut problems);
        }
        Err(error) => problems.push(format!("no JSON: {error}")),
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        let (api, method, content_type) = (Api::V2, "GET", V2_TYPE);
        problems_of_answer(&Given { api, method, one: true, status: 200, content_type, text })
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
            r#"{"accountId":7,"licenseKey":"l","readToken":"r","writeToken":"w","type":"NEW_RELIC"}"#,
            "oops",
        ] {
            assert_eq!(problems_of(text).len(), 1, "{text}: {:?}", problems_of(text));
        }
    }
}
