//! The example of the v1.0 create page: its request must give its answer.

use atlas_sim::{Api, AtlasSim};
use diqwest::WithDigestAuth;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::client::Answer;

const GROUP: &str = "5d791c84ff7a2522cc4f9aa1";

#[tokio::test]
async fn the_example_request_gives_the_example_answer() {
    let sim = AtlasSim::start().await.unwrap();
    let project = sim.project(GROUP);
    project.allow_key("PUBLIC-KEY", "PRIVATE-KEY");
    project.replace_by_other(json!({"type": "DATADOG", "apiKey": "1234567890", "region": "US"}));
    project.replace_by_other(
        json!({"type": "SLACK", "apiToken": "1234567890", "channelName": "My Channel", "teamName": "My Team"}),
    );
    let url = format!("{}/api/atlas/v1.0/groups/{GROUP}/integrations/FLOWDOCK", sim.url());
    let body =
        r#"{ "type": "FLOWDOCK", "flowName": "myFlowName", "apiToken": "1234567890", "orgName": "myOrg" }"#;
    let request = reqwest::Client::new().post(&url).header(CONTENT_TYPE, "application/json").body(body);
    let answer = request.send_digest_auth(("PUBLIC-KEY", "PRIVATE-KEY")).await.unwrap();
    let answer = Answer::of(answer).await.unwrap();
    assert_eq!(answer.status, 200);
    let wanted = format!(
        concat!(
            r#"{{"links":[{{"href":"{}?pageNum=1&itemsPerPage=100","rel":"self"}}],"#,
            r#""results":[{{"apiKey":"******7890","region":"US","type":"DATADOG"}},"#,
            r#"{{"apiToken":"******7890","channelName":"My Channel","teamName":"My Team","type":"SLACK"}},"#,
            r#"{{"apiToken":"1234567890","flowName":"myFlowName","orgName":"myOrg","type":"FLOWDOCK"}}],"#,
            r#""totalCount":3}}"#,
        ),
        url
    );
    assert_eq!(answer.text, wanted, "text, and so the order of keys as well");
    assert_eq!(project.count(|exchange| exchange.api == Api::V1 && exchange.status == 200), 1);
}

/// The same through the API alone: DATADOG and SLACK created over v1.0 show the same entries.
#[tokio::test]
async fn the_entries_of_the_example_can_be_created() {
    let (_, v1, _) = crate::client::fresh();
    v1.post(&json!({"type": "DATADOG", "apiKey": "1234567890"})).await;
    let slack = json!({
        "type": "SLACK", "apiToken": "1234567890", "channelName": "My Channel", "teamName": "My Team",
    });
    let answer = v1.post(&slack).await;
    let wanted: Value = json!([
        {"apiKey": "******7890", "region": "US", "type": "DATADOG"},
        {"apiToken": "******7890", "channelName": "My Channel", "teamName": "My Team", "type": "SLACK"},
    ]);
    assert_eq!(answer.json()["results"], wanted);
}
