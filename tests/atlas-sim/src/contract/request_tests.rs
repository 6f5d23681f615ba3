//! Every kind of problem is found, and what is right has none.

use std::time::{Instant, SystemTime};

use rstest::rstest;
use serde_json::{Value, json};

use super::{FORM, JSON, V2_TYPE, problems_of_request};
use crate::exchange::{Api, Exchange, Scheme};
use crate::request::Target;

const PROJECT: &str = "5d791c84ff7a2522cc4f9aa1";

fn exchange(method: &str, path: &str, media_type: &str, body: Option<Value>) -> Exchange {
    let target = Target::of(path);
    let mut headers = vec![("accept".to_owned(), media_type.to_owned())];
    if let Some(body) = &body {
        headers.push(("content-type".to_owned(), media_type.to_owned()));
        headers.push(("content-length".to_owned(), body.to_string().len().to_string()));
    }
    Exchange {
        sequence: 1,
        at: Instant::now(),
        time: SystemTime::UNIX_EPOCH,
        connection: 1,
        method: method.to_owned(),
        path: path.to_owned(),
        query: String::new(),
        api: target.api,
        operation: target.operation(method),
        integration_type: target.integration_type,
        status: 200,
        error_code: None,
        authenticated: true,
        scheme: Some(Scheme::Digest),
        credential: None,
        nonce_count: None,
        headers,
        body,
        form: None,
        faulted: false,
    }
}

fn path(version: &str, kind: &str) -> String {
    format!("/api/atlas/{version}/groups/{PROJECT}/integrations/{kind}")
}

fn v2(body: Value) -> Exchange {
    let kind = body["type"].as_str().unwrap_or("DATADOG").to_owned();
    exchange("PUT", &path("v2", &kind), V2_TYPE, Some(body))
}

fn v1(body: Value) -> Exchange {
    let kind = body["type"].as_str().unwrap_or("DATADOG").to_owned();
    exchange("POST", &path("v1.0", &kind), JSON, Some(body))
}

fn datadog() -> Value {
    json!({"type": "DATADOG", "apiKey": "k", "region": "US5", "sendDatabaseMetrics": true})
}

fn token() -> Exchange {
    let mut token = exchange("POST", "/api/oauth/token", JSON, None);
    token.scheme = Some(Scheme::Basic);
    token.headers.push(("content-type".to_owned(), FORM.to_owned()));
    token.form = Some("grant_type=client_credentials".to_owned());
    token
}

fn list(version: &str, media_type: &str, query: &str) -> Exchange {
    let mut list = exchange("GET", path(version, "").trim_end_matches('/'), media_type, None);
    list.query = query.to_owned();
    list
}

#[rstest]
#[case::list(list("v2", V2_TYPE, "itemsPerPage=500&pageNum=2&includeCount=false"))]
#[case::list_v1(list("v1.0", JSON, "itemsPerPage=500&pageNum=2&includeCount=false"))]
#[case::put(v2(datadog()))]
#[case::post_v1(v1(datadog()))]
#[case::flowdock(v1(json!({"type": "FLOWDOCK", "flowName": "f", "apiToken": "t", "orgName": "o"})))]
#[case::younger_site(v1(json!({"type": "DATADOG", "apiKey": "k", "region": "AP1"})))]
#[case::write_only(v2(json!({"type": "PROMETHEUS", "username": "u", "password": "p", "serviceDiscovery": "http",
    "enabled": true})))]
#[case::no_pattern(v2(json!({"type": "NEW_RELIC", "accountId": "12", "licenseKey": "l", "readToken": "r",
    "writeToken": "w"})))]
#[case::delete(exchange("DELETE", &path("v2", "SLACK"), V2_TYPE, None))]
#[case::challenge({
    let mut first = exchange("PUT", &path("v2", "SLACK"), V2_TYPE, None);
    first.scheme = None;
    first
})]
#[case::token(token())]
fn right(#[case] exchange: Exchange) {
    assert_eq!(problems_of_request(&exchange), [""; 0]);
}

fn with(mut exchange: Exchange, change: impl FnOnce(&mut Exchange)) -> Exchange {
    change(&mut exchange);
    exchange
}

fn with_header(exchange: Exchange, name: &str, value: &str) -> Exchange {
    with(exchange, |exchange| {
        exchange.headers.retain(|(known, _)| known != name);
        exchange.headers.push((name.to_owned(), value.to_owned()));
    })
}

/// Each has the one problem that it is made to have.
#[rstest]
#[case::other_path(exchange("GET", "/api/atlas/v3/groups", JSON, None), "not a path of Atlas's")]
#[case::other_resource(exchange("GET", &format!("/api/atlas/v2/groups/{PROJECT}/clusters"), V2_TYPE, None),
    "the path is not in the document")]
#[case::deeper_path(exchange("GET", &path("v2", "SLACK/x"), V2_TYPE, None), "the path is not in the document")]
#[case::other_resource_v1(exchange("GET", &format!("/api/atlas/v1.0/groups/{PROJECT}"), JSON, None),
    "not a path of integrations")]
#[case::method(exchange("PATCH", &path("v2", "SLACK"), V2_TYPE, None), "the method is not declared")]
#[case::method_of_list(with(list("v2", V2_TYPE, ""), |e| e.method = "POST".into()), "the method is not declared")]
#[case::method_v1(exchange("PATCH", &path("v1.0", "SLACK"), JSON, None), "no such method here")]
#[case::method_of_list_v1(with(list("v1.0", JSON, ""), |e| e.method = "PUT".into()), "no such method here")]
#[case::project(with(list("v2", V2_TYPE, ""), |e| e.path = e.path.replace(PROJECT, "xyz")), "groupId: xyz does not fit")]
#[case::project_in_capitals(with(list("v2", V2_TYPE, ""), |e| e.path = e.path.replace("ff", "FF")), "does not fit")]
#[case::project_v1(with(list("v1.0", JSON, ""), |e| e.path = e.path.replace(PROJECT, "xyz")), "24 hexadecimal")]
#[case::kind(exchange("GET", &path("v2", "FLOWDOCK"), V2_TYPE, None), "integrationType: \"FLOWDOCK\" is none of")]
#[case::kind_v1(exchange("GET", &path("v1.0", "HIP_CHAT"), JSON, None), "the page has no type HIP_CHAT")]
#[case::query(list("v2", V2_TYPE, "limit=1"), "query parameter limit is not declared")]
#[case::query_of_one(with(exchange("DELETE", &path("v2", "SLACK"), V2_TYPE, None), |e| e.query = "pageNum=1".into()),
    "query parameter pageNum is not declared")]
#[case::query_type(list("v2", V2_TYPE, "pageNum=one"), "is not of type \"integer\"")]
#[case::query_flag(list("v2", V2_TYPE, "pretty=yes"), "is not of type \"boolean\"")]
#[case::query_range(list("v2", V2_TYPE, "itemsPerPage=501"), "501 is out of range")]
#[case::query_twice(list("v2", V2_TYPE, "pageNum=1&pageNum=2"), "there twice")]
#[case::query_v1(list("v1.0", JSON, "limit=1"), "query parameter limit is not on the page")]
#[case::query_range_v1(list("v1.0", JSON, "pageNum=0"), "query parameter pageNum can't be 0")]
#[case::accept(with_header(list("v2", V2_TYPE, ""), "accept", JSON), "accept is")]
#[case::accept_v1(with_header(list("v1.0", JSON, ""), "accept", "*/*"), "accept is")]
#[case::accept_missing(with(list("v2", V2_TYPE, ""), |e| e.headers.clear()), "accept is []")]
#[case::content_type(with_header(v2(datadog()), "content-type", JSON), "content-type is")]
#[case::content_type_v1(with_header(v1(datadog()), "content-type", V2_TYPE), "content-type is")]
#[case::no_body(with(v2(datadog()), |e| e.body = None), "the body is no JSON object")]
#[case::list_as_body(with(v1(datadog()), |e| e.body = Some(json!([]))), "the body is no JSON object")]
#[case::body_of_get(with(list("v2", V2_TYPE, ""), |e| e.body = Some(json!({}))), "a body where none is declared")]
#[case::body_of_delete(with_header(exchange("DELETE", &path("v1.0", "SLACK"), JSON, None), "content-length", "7"),
    "a body where none is declared")]
#[case::body_to_anybody(with(v2(datadog()), |e| e.scheme = None), "a body without credentials")]
#[case::body_to_anybody_v1(with(v1(datadog()), |e| e.scheme = None), "a body without credentials")]
#[case::required(v2(json!({"type": "DATADOG", "region": "EU"})), "Datadog.apiKey is missing")]
#[case::required_v1(v1(json!({"type": "SLACK", "apiToken": "t"})), "SLACK.teamName is missing")]
#[case::required_v2(v2(json!({"type": "SLACK", "apiToken": "t", "teamName": "t"})), "Slack.channelName is missing")]
#[case::unknown_field(v2(json!({"type": "DATADOG", "apiKey": "k", "site": "EU"})), "Datadog.site is not in the document")]
#[case::unknown_null(v2(json!({"type": "DATADOG", "apiKey": "k", "customEndpoint": null})), "is not in the document")]
#[case::unknown_field_v1(v1(json!({"type": "WEBHOOK", "url": "u", "id": "x"})), "WEBHOOK.id is not on the page")]
#[case::word(v2(json!({"type": "DATADOG", "apiKey": "k", "region": "MARS"})), "\"MARS\" is none of")]
#[case::word_v1(v1(json!({"type": "OPS_GENIE", "apiKey": "k", "region": "US3"})), "OPS_GENIE.region can't be")]
#[case::json_type(v2(json!({"type": "DATADOG", "apiKey": "k", "sendDatabaseMetrics": "true"})), "is not of type \"boolean\"")]
#[case::json_type_v1(v1(json!({"type": "VICTOR_OPS", "apiKey": 7})), "VICTOR_OPS.apiKey can't be 7")]
#[case::null(v2(json!({"type": "DATADOG", "apiKey": "k", "region": null})), "Datadog.region: null")]
#[case::null_v1(v1(json!({"type": "VICTOR_OPS", "apiKey": "k", "routingKey": null})), "can't be null")]
#[case::length(v2(json!({"type": "SLACK", "apiToken": "t", "channelName": "c".repeat(81)})), "81 characters")]
#[case::token_elsewhere(with(token(), |e| e.path = "/api/oauth/revoke".into()), "not the request for a token")]
#[case::token_bearer(with(token(), |e| e.scheme = Some(Scheme::Bearer)), "HTTP basic")]
#[case::token_accept(with_header(token(), "accept", "*/*"), "accept is")]
#[case::token_content_type(with_header(token(), "content-type", JSON), "content-type is")]
#[case::token_form(with(token(), |e| e.form = Some("grant_type=password".into())), "the form is not")]
fn wrong(#[case] exchange: Exchange, #[case] expected: &str) {
    let problems = problems_of_request(&exchange);
    assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
}

#[test]
fn the_type_in_the_body_is_the_one_in_the_path() {
    for (api, body) in [(Api::V1, v1(datadog())), (Api::V2, v2(datadog()))] {
        for named in [json!("OPS_GENIE"), json!(7), Value::Null] {
            let mut body = body.clone();
            if let Some(fields) = &mut body.body {
                fields["type"] = named;
            }
            let problems = problems_of_request(&body);
            assert!(problems[0].contains("is not the one in the path"), "{api:?} {problems:?}");
        }
    }
}
