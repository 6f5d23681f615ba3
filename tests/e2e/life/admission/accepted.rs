//! What is accepted, and that it is stored exactly as it was sent: nothing added, nothing lost.

use atlas_integration_stage::samples;
use serde_json::{Value, json};

use super::{changed, lay, minimal, parsed, replace, rows};
use crate::world::World;

/// What can be added to that, so that every field of the block is set.
const OPTIONAL: &str = r#"
PAGER_DUTY | {"pagerDuty": {"region": "EU"}}
SLACK | {"slack": {"teamName": "Team", "channelName": "alerts"}}
DATADOG | {"datadog": {"region": "US1_FED", "sendCollectionLatencyMetrics": true, "sendDatabaseMetrics": false, "sendQueryStatsMetrics": true, "sendUserProvidedResourceTags": false}}
NEW_RELIC | {}
OPS_GENIE | {"opsGenie": {"region": "US"}}
VICTOR_OPS | {"victorOps": {"routingKey": "database"}}
FLOWDOCK | {}
WEBHOOK | {"webhook": {"signingSecretRef": {"name": "keys", "key": "signing"}, "bodyTemplate": "{}", "headersTemplateSecretRef": {"name": "keys", "key": "headers"}}}
MICROSOFT_TEAMS | {}
PROMETHEUS | {"prometheus": {"enabled": false, "sendUserProvidedResourceTagsEnabled": true}}
"#;

/// Type, what is special, the change.
const ACCEPTED: &str = r##"
DATADOG | project of digits only | {"projectId": "507791840722522004409001"}
DATADOG | region that Atlas may add | {"datadog": {"region": "AP2"}}
DATADOG | region of 16 | {"datadog": {"region": "ABCDEFGHIJ_12345"}}
DATADOG | false is not unset | {"datadog": {"sendDatabaseMetrics": false, "sendQueryStatsMetrics": false}}
DATADOG | name with dots | {"datadog": {"apiKeySecretRef": {"name": "keys.team-a.v2"}}}
DATADOG | name of one letter | {"datadog": {"apiKeySecretRef": {"name": "k"}}}
DATADOG | name of 253 | {"datadog": {"apiKeySecretRef": {"name": "<253 k>"}}}
DATADOG | key of 253 | {"datadog": {"apiKeySecretRef": {"key": "<253 K>"}}}
DATADOG | key with all that is allowed | {"datadog": {"apiKeySecretRef": {"key": ".docker-config_JSON.0"}}}
DATADOG | no credentials | {"credentialsSecretRef": "<gone>"}
DATADOG | credentials of one letter | {"credentialsSecretRef": {"name": "0"}}
DATADOG | the credentials' Secret for all | {"datadog": {"apiKeySecretRef": {"name": "atlas", "key": "datadog"}}}
DATADOG | policies, one way | {"managementPolicy": "Manage", "adoptionPolicy": "Refuse", "deletionPolicy": "Delete", "suspend": false}
DATADOG | policies, the other way | {"managementPolicy": "Observe", "adoptionPolicy": "Adopt", "deletionPolicy": "Retain", "suspend": true}
SLACK | channel of 80 | {"slack": {"channelName": "<80 x>"}}
SLACK | channel of 80, of four bytes each | {"slack": {"channelName": "<80 🔔>"}}
SLACK | channel in Japanese | {"slack": {"channelName": "アラート #1", "teamName": "チーム"}}
SLACK | team of 200 | {"slack": {"teamName": "<200 x>"}}
NEW_RELIC | account of 64 | {"newRelic": {"accountId": "<64 9>"}}
DATADOG | site that Atlas may add | {"datadog": {"region": "US7"}}
NEW_RELIC | account with a zero in front | {"newRelic": {"accountId": "0285740"}}
VICTOR_OPS | routing key of digits | {"victorOps": {"routingKey": "2857404"}}
VICTOR_OPS | routing key that is almost a number | {"victorOps": {"routingKey": "1e6-team+1"}}
SLACK | channel that begins with # | {"slack": {"channelName": "#alerts"}}
VICTOR_OPS | routing key of 200 | {"victorOps": {"routingKey": "<200 é>"}}
FLOWDOCK | names of 200 | {"flowdock": {"flowName": "<200 x>", "orgName": "<200 x>"}}
WEBHOOK | body of 16384 | {"webhook": {"bodyTemplate": "<16384 x>"}}
WEBHOOK | body with lines and controls | {"webhook": {"bodyTemplate": "{\r\n\t\"text\": \"\u0001\"\n}"}}
PROMETHEUS | user of 200 | {"prometheus": {"username": "<200 ü>"}}
PROMETHEUS | found by file, with spaces | {"prometheus": {"serviceDiscovery": "file", "username": " a b "}}
"##;

/// Changes of a stored object, one after the other: type, what, the change.
const ACCEPTED_UPDATES: &str = r#"
DATADOG | policies | {"managementPolicy": "Observe", "adoptionPolicy": "Adopt", "deletionPolicy": "Retain", "suspend": true}
DATADOG | policies removed | {"managementPolicy": "<gone>", "adoptionPolicy": "<gone>", "deletionPolicy": "<gone>", "suspend": "<gone>"}
DATADOG | region | {"datadog": {"region": "EU"}}
DATADOG | region removed | {"datadog": {"region": "<gone>"}}
DATADOG | references | {"credentialsSecretRef": {"name": "other"}, "datadog": {"apiKeySecretRef": {"name": "other", "key": "datadog"}}}
"#;

/// `type` and block with every field set.
pub fn full(kind: &str) -> Value {
    let [_, optional] = rows::<2>(OPTIONAL).into_iter().find(|row| row[0] == kind).unwrap();
    let mut spec = minimal(kind);
    lay(&mut spec, &parsed(optional));
    spec
}

/// Creates an object and checks what is stored, as a new object is.
async fn stored_as_sent(world: &World, what: &str, object: &Value) {
    world.try_create(object).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let stored = world.object(object["metadata"]["name"].as_str().unwrap()).get().await;
    assert_eq!(stored["spec"], object["spec"], "{what}");
    assert_eq!(stored["status"], json!({"observedGeneration": -1}), "{what}");
    assert_eq!(stored["metadata"]["generation"], 1, "{what}");
}

#[tokio::test]
async fn accepted() {
    let world = World::new("accepted").await;
    for (index, [kind, what, change]) in rows::<3>(ACCEPTED).into_iter().enumerate() {
        let object = changed(&world, &format!("a{index}"), kind, &parsed(change));
        stored_as_sent(&world, &format!("{kind}, {what}"), &object).await;
    }
}

#[tokio::test]
async fn accepted_types() {
    let world = World::new("accepted-types").await;
    for kind in samples::kinds() {
        let name = kind.to_lowercase().replace('_', "-");
        for (what, spec) in
            [("minimal", minimal(kind)), ("full", full(kind)), ("sample", samples::of(kind).spec)]
        {
            stored_as_sent(
                &world,
                &format!("{kind}, {what}"),
                &world.manifest(&format!("{name}-{what}"), &spec),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn accepted_updates() {
    let world = World::new("accepted-updates").await;
    world.create(&changed(&world, "x", "DATADOG", &json!({}))).await;
    for (index, [_, what, change]) in rows::<3>(ACCEPTED_UPDATES).into_iter().enumerate() {
        let x = world.object("x");
        let mut object = x.get().await;
        lay(&mut object["spec"], &parsed(change));
        replace(&world, &object).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let stored = x.get().await;
        assert_eq!(stored["spec"], object["spec"], "{what}");
        assert_eq!(stored["metadata"]["generation"], index + 2, "{what}");
    }
}

/// A null is as good as nothing; a status is not the user's to write.
#[tokio::test]
async fn dropped() {
    let world = World::new("dropped").await;
    let change = json!({"slack": null, "suspend": null, "deletionPolicy": null, "datadog": {"region": null}});
    let mut object = changed(&world, "x", "DATADOG", &change);
    assert!(object["spec"]["datadog"]["region"].is_null() && object["spec"].get("slack").is_some());
    object["status"] = json!({"observedGeneration": 1, "conditions": [], "lastHandledReconcileAt": "x"});
    world.create(&object).await;
    let stored = world.object("x").get().await;
    assert_eq!(stored["spec"], changed(&world, "x", "DATADOG", &json!({}))["spec"]);
    assert_eq!(stored["status"], json!({"observedGeneration": -1}));
}
