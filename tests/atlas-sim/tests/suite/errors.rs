//! Bodies that Atlas does not take.

use atlas_sim::Api;
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{Client, fresh, sample};

/// POST and PUT must both refuse, and change nothing.
async fn refused(client: &Client, kind: &str, body: &Value) -> (u16, String, Value) {
    let path = format!("/{kind}");
    let post = client.send(Method::POST, &path, Some(body)).await;
    let put = client.send(Method::PUT, &path, Some(body)).await;
    assert_eq!((post.status, post.code()), (put.status, put.code()), "{}", post.text);
    (post.status, post.code(), post.json()["parameters"].clone())
}

#[rstest]
#[case("DATADOG", json!({"type": "DATADOG"}), "MISSING_ATTRIBUTE", json!(["apiKey"]))]
#[case("DATADOG", json!({"apiKey": "ab"}), "MISSING_ATTRIBUTE", json!(["type"]))]
#[case("DATADOG", json!({"type": "SLACK", "apiKey": "ab"}), "INVALID_ATTRIBUTE", json!(["type"]))]
#[case("DATADOG", json!({"type": 1, "apiKey": "ab"}), "INVALID_JSON_ATTRIBUTE", json!(["type"]))]
#[case("DATADOG", json!({"type": "DATADOG", "apiKey": 12}), "INVALID_JSON_ATTRIBUTE", json!(["apiKey"]))]
#[case("DATADOG", json!({"type": "DATADOG", "apiKey": "ab", "sendDatabaseMetrics": "yes"}), "INVALID_JSON_ATTRIBUTE", json!(["sendDatabaseMetrics"]))]
#[case("DATADOG", json!({"type": "DATADOG", "apiKey": "ab", "region": "MOON"}), "INVALID_ENUM_VALUE", json!(["MOON"]))]
#[case("DATADOG", json!({"type": "DATADOG", "apiKey": "ab", "region": "us"}), "INVALID_ENUM_VALUE", json!(["us"]))]
#[case("DATADOG", json!({"type": "DATADOG", "apiKey": "ab", "colour": "red"}), "INVALID_ATTRIBUTE", json!(["colour"]))]
#[case("DATADOG", json!({"type": "DATADOG", "apiKey": "ab", "customEndpoint": "x"}), "ATTRIBUTE_READ_ONLY", json!(["customEndpoint"]))]
#[case("DATADOG", json!({"type": "DATADOG", "apiKey": "not hex"}), "INVALID_INTEGRATION_SETTINGS", json!(["DATADOG", "apiKey must be a hexadecimal string"]))]
#[case("PAGER_DUTY", json!({"type": "PAGER_DUTY", "serviceKey": "abc"}), "INVALID_PAGER_DUTY_SERVICE_KEY", json!([]))]
#[case("PAGER_DUTY", json!({"type": "PAGER_DUTY", "serviceKey": "00112233445566778899aabbccdd002x"}), "INVALID_PAGER_DUTY_SERVICE_KEY", json!([]))]
#[case("OPS_GENIE", json!({"type": "OPS_GENIE", "apiKey": ""}), "INTEGRATION_FIELDS_INVALID", json!([]))]
#[case("WEBHOOK", json!({"type": "WEBHOOK", "url": "example.com"}), "INVALID_URL", json!(["example.com"]))]
#[case("WEBHOOK", json!({"type": "WEBHOOK", "url": "https:///path"}), "INVALID_URL", json!(["https:///path"]))]
#[case("WEBHOOK", json!({"type": "WEBHOOK", "url": "https://a.example/x", "headersTemplate": "[]"}), "VALIDATION_ERROR", json!(["headersTemplate must be a JSON object"]))]
#[case("WEBHOOK", json!({"type": "WEBHOOK", "url": "https://a.example/x", "bodyTemplate": "x".repeat(16_385)}), "VALIDATION_ERROR", json!(["bodyTemplate must have 0 to 16384 characters"]))]
#[case("MICROSOFT_TEAMS", json!({"type": "MICROSOFT_TEAMS", "microsoftTeamsWebhookUrl": "ftp://a/b"}), "INVALID_URL", json!(["ftp://a/b"]))]
#[case("PROMETHEUS", json!({"type": "PROMETHEUS", "enabled": "true", "username": "u", "password": "p", "serviceDiscovery": "http"}), "INVALID_JSON_ATTRIBUTE", json!(["enabled"]))]
#[case("PROMETHEUS", json!({"type": "PROMETHEUS", "enabled": true, "username": "u", "password": "p", "serviceDiscovery": "HTTP"}), "INVALID_ENUM_VALUE", json!(["HTTP"]))]
#[case("PROMETHEUS", json!({"type": "PROMETHEUS", "enabled": true, "username": "u", "password": "p", "serviceDiscovery": "http", "scheme": "https"}), "INVALID_ATTRIBUTE", json!(["scheme"]))]
#[tokio::test]
async fn bodies_are_checked(
    #[case] kind: &str,
    #[case] body: Value,
    #[case] code: &str,
    #[case] parameters: Value,
) {
    let (project, v1, v2) = fresh();
    for client in [v1, v2] {
        assert_eq!(refused(&client, kind, &body).await, (400, code.to_owned(), parameters.clone()));
    }
    assert!(project.stored().is_empty());
}

#[rstest]
#[case("SLACK", "channelName", Api::V2)]
#[case("SLACK", "teamName", Api::V1)]
#[case("PROMETHEUS", "password", Api::V1)]
#[tokio::test]
async fn the_versions_require_different_fields(#[case] kind: &str, #[case] field: &str, #[case] by: Api) {
    let (project, _, _) = fresh();
    let mut body = sample(kind);
    body.as_object_mut().unwrap().remove(field);
    let other = if by == Api::V1 { Api::V2 } else { Api::V1 };
    let answer = refused(&Client::new(&project, by), kind, &body).await;
    assert_eq!(answer, (400, "MISSING_ATTRIBUTE".to_owned(), json!([field])));
    assert_eq!(Client::new(&project, other).post(&body).await.status, 200);
}

#[rstest]
#[case("c".repeat(80), Ok(()))]
#[case("c".repeat(81), Err("VALIDATION_ERROR"))]
#[case(String::new(), Err("VALIDATION_ERROR"))]
#[tokio::test]
async fn channel_names_have_a_length(#[case] name: String, #[case] wanted: Result<(), &str>) {
    let (_, v1, v2) = fresh();
    let mut body = sample("SLACK");
    body["channelName"] = json!(name);
    let answer = v2.post(&body).await;
    match wanted {
        Ok(()) => assert_eq!(answer.entry("SLACK")["channelName"], name),
        Err(code) => assert_eq!(answer.code(), code),
    }
    // v1.0 shows an unset name as an empty text, and takes it back.
    let accepted = name.chars().count() <= 80;
    assert_eq!(v1.put(&body).await.status == 200, accepted);
}

/// What FreeMarker has to render may be no JSON yet. What holds no expression is rendered to itself.
#[rstest]
#[case::condition("<#if typeName == \"HOST\">{\"X-Kind\": \"host\"}<#else>{}</#if>", true)]
#[case::number("{\n\t\"X-Count\": ${eventCount}\n}\n", true)]
#[case::square("[#ftl]\n[#if id??]{\"X-Id\": \"${id}\"}[/#if]", true)]
#[case::json("{\"X-Team\": \"a\"}", true)]
#[case::lines("X-Team: a\nX-Id: b", false)]
#[case::control("{\"X-Id\": \"${id}\u{1b}\"}", false)]
#[tokio::test]
async fn a_template_of_headers_is_json_only_once_it_is_rendered(#[case] template: &str, #[case] good: bool) {
    let (_, v1, v2) = fresh();
    let mut body = sample("WEBHOOK");
    body["headersTemplate"] = json!(template);
    for client in [v1, v2] {
        let answer = client.put(&body).await;
        assert_eq!(answer.status == 200, good, "{template}");
        assert!(good || answer.code() == "VALIDATION_ERROR", "{template}");
    }
}

#[tokio::test]
async fn ids_and_nulls_in_bodies_are_let_pass() {
    let (project, v1, v2) = fresh();
    for (client, id) in [(v1, json!("")), (v2, json!("5d791c84ff7a2522cc4f9aa1"))] {
        let mut body = sample("DATADOG");
        body["id"] = id.clone();
        body["customEndpoint"] = Value::Null;
        body["region"] = Value::Null;
        assert_eq!(client.put(&body).await.status, 200);
        let stored = project.stored_type("DATADOG").unwrap();
        assert_ne!(stored["id"], id, "the id is Atlas's");
        assert_eq!(stored["region"], "US");
    }
}

/// What was read must not be written back.
#[rstest]
#[case("DATADOG", "INVALID_INTEGRATION_SETTINGS")]
#[case("PAGER_DUTY", "INTEGRATION_FIELDS_INVALID")]
#[case("SLACK", "INTEGRATION_FIELDS_INVALID")]
#[case("OPS_GENIE", "INTEGRATION_FIELDS_INVALID")]
#[case("VICTOR_OPS", "INTEGRATION_FIELDS_INVALID")]
#[case("WEBHOOK", "INTEGRATION_FIELDS_INVALID")]
#[case("MICROSOFT_TEAMS", "INTEGRATION_FIELDS_INVALID")]
#[tokio::test]
async fn masked_values_are_refused(#[case] kind: &str, #[case] code: &str) {
    for check in [true, false] {
        let (project, v1, v2) = fresh();
        project.settings(|settings| settings.check_vendor_keys = check);
        v2.post(&sample(kind)).await;
        let before = project.stored();
        for client in [v1, v2] {
            let shown = client.get(kind).await.json();
            let answer = client.put(&shown).await;
            assert_eq!((answer.status, answer.code().as_str()), (400, code), "{shown}");
        }
        assert_eq!(project.stored(), before);
    }
}

#[tokio::test]
async fn the_text_of_the_datadog_refusal_is_the_reported_one() {
    let (_, _, v2) = fresh();
    let answer = v2.post(&json!({"type": "DATADOG", "apiKey": "****************************0000"})).await;
    let detail = "The provided settings for the DATADOG integration were invalid: apiKey must be a hexadecimal string.";
    assert_eq!(answer.json()["detail"], detail);
}

#[tokio::test]
async fn checks_of_vendor_keys_and_types_can_be_off() {
    let (project, _, v2) = fresh();
    project.settings(|settings| (settings.check_vendor_keys, settings.check_body_type) = (false, false));
    assert_eq!(v2.post(&json!({"type": "DATADOG", "apiKey": "not hex"})).await.status, 200);
    let answer = v2.send(Method::POST, "/PAGER_DUTY", Some(&json!({"serviceKey": "short"}))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.entry("PAGER_DUTY")["type"], "PAGER_DUTY");
}

#[rstest]
#[case("{", "MALFORMED_JSON")]
#[case("", "MALFORMED_JSON")]
#[case("[]", "INVALID_JSON")]
#[case("null", "INVALID_JSON")]
#[tokio::test]
async fn bodies_must_be_json_objects(#[case] text: &'static str, #[case] code: &str) {
    use diqwest::WithDigestAuth;
    let (_, _, v2) = fresh();
    let request =
        v2.request(Method::POST, "/SLACK", None).header("content-type", "application/json").body(text);
    let response = request.send_digest_auth((crate::client::PUBLIC, crate::client::PRIVATE)).await.unwrap();
    assert_eq!(crate::client::Answer::of(response).await.unwrap().code(), code);
}

#[tokio::test]
async fn suspension_and_maintenance_are_switches() {
    let (project, _, v2) = fresh();
    project.settings(|settings| settings.maintenance = true);
    let answer = v2.post(&sample("DATADOG")).await;
    assert_eq!((answer.status, answer.code().as_str()), (405, "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES"));
    assert_eq!(v2.list().await.status, 200, "reads go on");
    project.settings(|settings| settings.suspended = true);
    let answer = v2.list().await;
    assert_eq!((answer.status, answer.code().as_str()), (402, "ACCOUNT_SUSPENDED"));
}
