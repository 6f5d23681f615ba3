//! What answers look like: masks, order, defaults, nulls, pages, links, headers.

use atlas_sim::{Api, UrlMask, V1Shape};
use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{COMMON, Client, fresh, sample};

/// The text of an entry in an answer, to see the order of keys; the id is put in.
fn text(entry: &str, id: &Value) -> String {
    entry.replace("ID", id.as_str().unwrap())
}

#[rstest]
#[case("DATADOG", r#"{"apiKey":"****************************0000","customEndpoint":null,"id":"ID","region":"US","sendCollectionLatencyMetrics":false,"sendDatabaseMetrics":false,"sendQueryStatsMetrics":false,"sendUserProvidedResourceTags":false,"type":"DATADOG"}"#)]
#[case(
    "OPS_GENIE",
    r#"{"apiKey":"********************************3311","id":"ID","region":"US","type":"OPS_GENIE"}"#
)]
#[case(
    "PAGER_DUTY",
    r#"{"id":"ID","region":"US","serviceKey":"****************************0022","type":"PAGER_DUTY"}"#
)]
#[case(
    "VICTOR_OPS",
    r#"{"apiKey":"********************************1c11","id":"ID","routingKey":"test","type":"VICTOR_OPS"}"#
)]
#[case("WEBHOOK", r#"{"bodyTemplate":null,"headersTemplate":null,"id":"ID","secret":"************************2101","url":"https://example.com/****2101","type":"WEBHOOK"}"#)]
#[case("SLACK", r#"{"apiToken":"****************abcd","channelName":"alerts","id":"ID","teamName":"Team","type":"SLACK"}"#)]
#[case("NEW_RELIC", r#"{"accountId":"1234","id":"ID","licenseKey":"license","readToken":"read","writeToken":"write","type":"NEW_RELIC"}"#)]
#[case(
    "MICROSOFT_TEAMS",
    r#"{"id":"ID","microsoftTeamsWebhookUrl":"https://teams.example.com/****/y/z","type":"MICROSOFT_TEAMS"}"#
)]
#[case("PROMETHEUS", r#"{"enabled":true,"id":"ID","sendUserProvidedResourceTagsEnabled":false,"serviceDiscovery":"http","username":"prom","type":"PROMETHEUS"}"#)]
#[tokio::test]
async fn entries_on_v2(#[case] kind: &str, #[case] wanted: &str) {
    let (project, _, v2) = fresh();
    let answer = v2.post(&sample(kind)).await;
    let id = project.stored_type(kind).unwrap()["id"].clone();
    assert_eq!(id.as_str().unwrap().len(), 24);
    let path = format!("{}{}", v2.root, v2.path(&format!("/{kind}")));
    let page = format!(
        r#"{{"links":[{{"href":"{path}?includeCount=true&pageNum=1&itemsPerPage=100","rel":"self"}}],"results":[{}],"totalCount":1}}"#,
        text(wanted, &id)
    );
    assert_eq!(answer.text, page);
    assert_eq!(v2.get(kind).await.text, text(wanted, &id));
}

#[rstest]
#[case("DATADOG", r#"{"apiKey":"****************************0000","region":"US","type":"DATADOG"}"#)]
#[case(
    "PAGER_DUTY",
    r#"{"region":"US","serviceKey":"****************************0022","type":"PAGER_DUTY"}"#
)]
#[case(
    "WEBHOOK",
    r#"{"secret":"************************2101","url":"https://example.com/****2101","type":"WEBHOOK"}"#
)]
#[case("FLOWDOCK", r#"{"apiToken":"token","flowName":"flow","orgName":"org","type":"FLOWDOCK"}"#)]
#[case("PROMETHEUS", r#"{"enabled":true,"serviceDiscovery":"http","username":"prom","type":"PROMETHEUS"}"#)]
#[tokio::test]
async fn entries_on_v1(#[case] kind: &str, #[case] wanted: &str) {
    let (_, v1, _) = fresh();
    v1.post(&sample(kind)).await;
    assert_eq!(v1.get(kind).await.text, wanted);
}

#[tokio::test]
async fn the_shape_of_v1_is_a_switch() {
    let (project, v1, v2) = fresh();
    for kind in COMMON {
        v1.post(&sample(kind)).await;
    }
    assert_ne!(v1.list().await.json()["results"], v2.list().await.json()["results"]);
    project.settings(|settings| settings.v1_shape = V1Shape::LikeV2);
    assert_eq!(v1.list().await.json()["results"], v2.list().await.json()["results"]);
    project.settings(|settings| {
        settings.v1_shape = V1Shape::CreatePage;
        settings.v1_prometheus_scheme = Some("https".to_owned());
    });
    assert_eq!(v1.unchecked().get("PROMETHEUS").await.json()["scheme"], "https");
    assert_eq!(v2.get("PROMETHEUS").await.json()["scheme"], Value::Null);
}

/// Fields that are younger than the create page are shown on v1.0 where somebody has set them.
#[tokio::test]
async fn young_fields_show_on_v1_when_they_are_set() {
    let (_, v1, _) = fresh();
    let body = json!({"type": "DATADOG", "apiKey": "abcdef", "sendDatabaseMetrics": true});
    let entry = v1.post(&body).await.entry("DATADOG");
    assert_eq!(
        entry,
        json!({"apiKey": "**cdef", "region": "US", "sendDatabaseMetrics": true, "type": "DATADOG"})
    );
}

#[tokio::test]
async fn an_unset_channel_is_empty_on_v1_and_null_on_v2() {
    let (project, v1, v2) = fresh();
    let answer = v1.post(&json!({"type": "SLACK", "apiToken": "token-1234", "teamName": "Team"})).await;
    assert_eq!(answer.entry("SLACK")["channelName"], "");
    assert_eq!(v2.get("SLACK").await.json()["channelName"], Value::Null);
    assert_eq!(project.stored_type("SLACK").unwrap().get("channelName"), None);
}

/// The order of the recorded answers: fixed by type, not by time.
#[tokio::test]
async fn results_are_ordered_by_type() {
    let (_, _, v2) = fresh();
    for kind in ["DATADOG", "OPS_GENIE", "PAGER_DUTY", "VICTOR_OPS", "WEBHOOK"] {
        v2.post(&sample(kind)).await;
    }
    assert_eq!(v2.list().await.types(), ["PAGER_DUTY", "DATADOG", "OPS_GENIE", "VICTOR_OPS", "WEBHOOK"]);
}

#[tokio::test]
async fn masks_can_change() {
    let (project, _, v2) = fresh();
    v2.post(&sample("WEBHOOK")).await;
    project.settings(|settings| {
        settings.mask_visible = 6;
        settings.url_mask = UrlMask::Plain;
    });
    let entry = v2.get("WEBHOOK").await.json();
    assert_eq!(entry["secret"], "**********************0-2101");
    assert_eq!(entry["url"], "https://example.com/****");
}

#[tokio::test]
async fn templates_are_shown_once_they_are_set() {
    let (project, _, v2) = fresh();
    let mut body = sample("WEBHOOK");
    body["bodyTemplate"] = json!("{\"text\": \"{{message}}\"}");
    body["headersTemplate"] = json!("{\"X-Team\": \"a\"}");
    let entry = v2.post(&body).await.entry("WEBHOOK");
    assert_eq!(
        (&entry["bodyTemplate"], &entry["headersTemplate"]),
        (&body["bodyTemplate"], &body["headersTemplate"])
    );
    assert_eq!(project.stored_type("WEBHOOK").unwrap()["secret"], body["secret"], "stored in clear");
}

#[tokio::test]
async fn pages_are_cut_and_linked() {
    for api in [Api::V1, Api::V2] {
        let (project, _, _) = fresh();
        let client = Client::new(&project, api);
        for kind in ["PAGER_DUTY", "DATADOG", "OPS_GENIE"] {
            client.post(&sample(kind)).await;
        }
        let page = |number: u32| {
            let count = if api == Api::V1 { "" } else { "includeCount=true&" };
            format!("{}{}?{count}pageNum={number}&itemsPerPage=1", client.root, client.path(""))
        };
        let answer = client.send(Method::GET, "?itemsPerPage=1", None).await;
        assert_eq!(answer.types(), ["PAGER_DUTY"]);
        let links = json!([{"href": page(1), "rel": "self"}, {"href": page(2), "rel": "next"}]);
        assert_eq!((&answer.json()["links"], &answer.json()["totalCount"]), (&links, &json!(3)));
        let answer = client.send(Method::GET, "?pageNum=2&itemsPerPage=1", None).await;
        assert_eq!(answer.types(), ["DATADOG"]);
        let links = json!([
            {"href": page(2), "rel": "self"},
            {"href": page(1), "rel": "previous"},
            {"href": page(3), "rel": "next"},
        ]);
        assert_eq!(answer.json()["links"], links);
        let answer = client.send(Method::GET, "?pageNum=3&itemsPerPage=1", None).await;
        assert_eq!(answer.json()["links"].as_array().unwrap().len(), 2);
        let answer = client.send(Method::GET, "?pageNum=9", None).await;
        assert!(answer.types().is_empty());
        // A write's own page may hide what was written.
        let answer = client.send(Method::PUT, "/DATADOG?itemsPerPage=1", Some(&sample("DATADOG"))).await;
        assert_eq!(answer.types(), ["PAGER_DUTY"]);
    }
}

#[tokio::test]
async fn the_count_can_be_left_out() {
    let (_, _, v2) = fresh();
    let page = v2.send(Method::GET, "?includeCount=false", None).await.json();
    assert_eq!(page.get("totalCount"), None);
    assert!(
        page["links"][0]["href"]
            .as_str()
            .unwrap()
            .ends_with("?includeCount=false&pageNum=1&itemsPerPage=100")
    );
}

#[tokio::test]
async fn answers_can_be_enveloped() {
    let (_, _, v2) = fresh();
    let page = v2.send(Method::POST, "/PAGER_DUTY?envelope=true", Some(&sample("PAGER_DUTY"))).await.json();
    assert_eq!((&page["status"], &page["totalCount"]), (&json!(200), &json!(1)));
    let one = v2.send(Method::GET, "/PAGER_DUTY?envelope=true", None).await.json();
    assert_eq!((&one["status"], &one["content"]["region"]), (&json!(200), &json!("US")));
    assert_eq!(one.as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn answers_can_be_pretty() {
    let (_, _, v2) = fresh();
    v2.post(&sample("OPS_GENIE")).await;
    let plain = v2.get("OPS_GENIE").await;
    let pretty = v2.send(Method::GET, "/OPS_GENIE?pretty=true", None).await;
    assert!(pretty.text.starts_with("{\n  \"apiKey\" : \"***"), "{}", pretty.text);
    assert_eq!(pretty.json(), plain.json());
    assert!(!plain.text.contains('\n'));
}

#[rstest]
#[case("?itemsPerPage=500", true)]
#[case("?itemsPerPage=501", false)]
#[case("?itemsPerPage=0", false)]
#[case("?pageNum=0", false)]
#[case("?pageNum=x", false)]
#[case("?pretty=yes", false)]
#[case("?envelope=1", false)]
#[case("?includeCount=TRUE", false)]
#[case("?somethingElse=1", true)]
#[tokio::test]
async fn options_are_checked(#[case] query: &str, #[case] good: bool) {
    let (project, v1, v2) = fresh();
    for client in [v1, v2.clone()] {
        let answer = client.send(Method::GET, query, None).await;
        if good {
            assert_eq!(answer.status, 200);
        } else {
            assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_QUERY_PARAMETER"));
        }
    }
    project.settings(|settings| settings.reject_unknown_query = true);
    let answer = v2.send(Method::GET, "?somethingElse=1", None).await;
    assert_eq!(answer.json()["parameters"], json!(["somethingElse"]));
}

#[tokio::test]
async fn headers_are_the_recorded_ones() {
    let (_, v1, v2) = fresh();
    let answer = v2.post(&sample("WEBHOOK")).await;
    let deleted = v2.delete("WEBHOOK").await;
    let refused = v2.delete("WEBHOOK").await;
    for answer in [&answer, &deleted, &refused] {
        for (name, value) in [
            ("server", "mdbws"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("strict-transport-security", "max-age=31536000; includeSubdomains;"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-permitted-cross-domain-policies", "none"),
            ("ratelimit-limit", "1200"),
        ] {
            assert_eq!(answer.header(name), value, "{name}");
        }
    }
    let media_type = "application/vnd.atlas.2023-01-01+json;charset=utf-8";
    assert_eq!((answer.header("content-type"), deleted.header("content-type")), (media_type, media_type));
    assert_eq!(refused.header("content-type"), "application/json");
    let remaining =
        [&answer, &deleted, &refused].map(|answer| answer.header("ratelimit-remaining").to_owned());
    assert_eq!(remaining, ["1199", "1198", "1197"]);
    let answer = v1.list().await;
    assert_eq!((answer.header("content-type"), answer.header("ratelimit-limit")), ("application/json", ""));
}
