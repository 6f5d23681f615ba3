//! The worked example of Atlas's v1.0 create page, to the letter: its request, and what becomes of its answer.

use atlas_sim::{Effect, Fault, Operation, Scheme};
use serde_json::json;

use crate::world::World;

const PROJECT: &str = "5d791c84ff7a2522cc4f9aa1";

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_create_page() {
    let world = World::with_project("create-page", PROJECT).await;
    world.project.replace_by_other(json!({"type": "DATADOG", "apiKey": "1234567890", "region": "US"}));
    world.project.replace_by_other(
        json!({"type": "SLACK", "apiToken": "1234567890", "channelName": "My Channel", "teamName": "My Team"}),
    );
    let answer = json!({
        "links": [{
            "href": format!("https://cloud.mongodb.com/api/atlas/v1.0/groups/{PROJECT}/integrations/FLOWDOCK?pageNum=1&itemsPerPage=100"),
            "rel": "self"
        }],
        "results": [
            {"apiKey": "******7890", "region": "US", "type": "DATADOG"},
            {"apiToken": "******7890", "channelName": "My Channel", "teamName": "My Team", "type": "SLACK"},
            {"apiToken": "1234567890", "flowName": "myFlowName", "orgName": "myOrg", "type": "FLOWDOCK"}
        ],
        "totalCount": 3
    });
    world.project.fault(Fault::new(Effect::ReplaceAnswer { value: answer }).at(Operation::Create));
    let operator = world.operator(&[]).await;
    world.secret("flowdock", &[("token", "1234567890")]).await;
    let spec = json!({"type": "FLOWDOCK", "flowdock": {"flowName": "myFlowName", "orgName": "myOrg",
        "apiTokenSecretRef": {"name": "flowdock", "key": "token"}}});
    let flowdock = world.integration("flowdock", &spec).await;
    let object = flowdock.synced().await;

    let request = world.project.exchanges().into_iter().find(|exchange| exchange.method == "POST").unwrap();
    assert_eq!(request.path, format!("/api/atlas/v1.0/groups/{PROJECT}/integrations/FLOWDOCK"));
    assert_eq!(request.query, "");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!((request.scheme, request.authenticated), (Some(Scheme::Digest), true));
    let body =
        json!({"type": "FLOWDOCK", "flowName": "myFlowName", "apiToken": "1234567890", "orgName": "myOrg"});
    assert_eq!(request.body, Some(body));
    assert!(
        request.header("user-agent").is_some_and(|agent| agent.starts_with("atlas-integration-operator/0."))
    );

    let echo = json!({"type": "FLOWDOCK", "flowName": "myFlowName", "apiToken": "****", "orgName": "myOrg"});
    assert_eq!(object["status"]["integration"], echo);
    let text = object.to_string();
    for other in ["1234567890", "7890", "DATADOG", "SLACK", "My Channel", "My Team"] {
        assert!(!text.contains(other), "{other} is in the object");
    }
    assert!(!operator.logs().contains("1234567890"));
}
