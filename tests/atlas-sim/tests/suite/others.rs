//! Other actors, the log, global switches and counters, the life of a simulator.

use atlas_sim::{Api, AtlasSim, Effect, Fault, Serve};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, PRIVATE, PUBLIC, fresh, sample, sim};

#[tokio::test]
async fn another_actor_edits_replaces_and_removes() {
    let (project, _, v2) = fresh();
    v2.post(&sample("DATADOG")).await;
    let before = project.stored_type("DATADOG").unwrap();
    project.edit("DATADOG", |entry| {
        entry["region"] = json!("EU");
        entry["id"] = json!("ignored");
        entry["type"] = json!("ignored");
    });
    let edited = v2.get("DATADOG").await.json();
    assert_eq!((&edited["region"], &edited["id"]), (&json!("EU"), &before["id"]));
    project.replace_by_other(json!({"type": "DATADOG", "apiKey": "ff00", "region": "US3"}));
    let replaced = v2.get("DATADOG").await.json();
    assert_eq!((&replaced["region"], &replaced["apiKey"]), (&json!("US3"), &json!("ff00")));
    assert_ne!(replaced["id"], before["id"]);
    project.replace_by_other(json!({"type": "SLACK", "apiToken": "token-0000", "channelName": "c"}));
    assert_eq!(v2.list().await.types(), ["DATADOG", "SLACK"]);
    assert!(project.remove_by_other("SLACK"));
    assert!(!project.remove_by_other("SLACK"));
    assert_eq!(v2.get("SLACK").await.status, 404);
    project.edit("SLACK", |_| panic!("there is nothing to edit"));
}

/// Who did what to which type, with what was there before: reads and refused writes are no changes.
#[tokio::test]
async fn changes_tell_who_did_what() {
    let (project, _, v2) = fresh();
    v2.post(&sample("DATADOG")).await;
    let stored = project.stored_type("DATADOG");
    v2.post(&sample("DATADOG")).await;
    v2.list().await;
    project.edit("DATADOG", |entry| entry["region"] = json!("AP1"));
    project.edit("DATADOG", |_| {});
    project.fault(Fault::new(Effect::AppliedThenCut));
    assert!(v2.try_send(Method::DELETE, "/DATADOG", None).await.is_err());
    project.replace_by_other(sample("SLACK"));
    let changes = project.changes();
    let told: Vec<(&str, bool)> =
        changes.iter().map(|change| (change.integration_type.as_str(), change.by.is_some())).collect();
    assert_eq!(told, [("DATADOG", true), ("DATADOG", false), ("DATADOG", true), ("SLACK", false)]);
    assert_eq!((&changes[0].before, &changes[0].after), (&None, &stored));
    assert_eq!(changes[1].before, stored);
    assert_eq!((&changes[2].before, &changes[2].after), (&changes[1].after, &None));
    let cut = project.exchanges().into_iter().find(|exchange| exchange.faulted).unwrap();
    assert_eq!((changes[2].by, cut.method.as_str()), (Some(cut.sequence), "DELETE"));
}

#[tokio::test]
async fn another_actor_may_bring_what_nobody_knows() {
    let (project, _, v2) = fresh();
    project.replace_by_other(json!({"type": "CARRIER_PIGEON", "loft": "north"}));
    project.replace_by_other(json!({"type": "OPS_GENIE", "apiKey": "key-1234", "colour": "red"}));
    project.replace_by_other(json!({"loft": "a body without a type is nothing"}));
    let answer = v2.unchecked().list().await;
    assert_eq!(answer.types(), ["OPS_GENIE", "CARRIER_PIGEON"]);
    assert_eq!(answer.entry("CARRIER_PIGEON")["loft"], "north");
    assert_eq!(answer.entry("OPS_GENIE")["colour"], "red");
}

#[tokio::test]
async fn stored_values_are_in_clear_and_in_order() {
    let (project, v1, _) = fresh();
    for kind in ["PROMETHEUS", "FLOWDOCK", "PAGER_DUTY"] {
        v1.post(&sample(kind)).await;
    }
    let stored = project.stored();
    let types: Vec<&Value> = stored.iter().map(|entry| &entry["type"]).collect();
    assert_eq!(types, ["PAGER_DUTY", "FLOWDOCK", "PROMETHEUS"]);
    assert_eq!(stored[2]["password"], "s3cret-pass");
    assert_eq!(stored[0]["serviceKey"], sample("PAGER_DUTY")["serviceKey"]);
}

#[tokio::test]
async fn the_log_tells_what_was_said() {
    let (project, _, v2) = fresh();
    v2.post(&sample("DATADOG")).await;
    v2.send(Method::GET, "?pageNum=2", None).await;
    let exchanges = project.exchanges();
    let told: Vec<(&str, u16)> = exchanges.iter().map(|e| (e.method.as_str(), e.status)).collect();
    assert_eq!(told, [("POST", 401), ("POST", 200), ("GET", 401), ("GET", 200)]);
    let write = &exchanges[1];
    assert!(write.is_write() && !exchanges[0].is_write() && !exchanges[3].is_write());
    assert_eq!((write.api, write.integration_type.as_deref()), (Api::V2, Some("DATADOG")));
    assert_eq!(write.body.as_ref(), Some(&sample("DATADOG")));
    assert_eq!((&exchanges[3].query, &exchanges[3].path), (&"pageNum=2".to_owned(), &v2.path("")));
    assert!(exchanges.is_sorted_by_key(|exchange| (exchange.sequence, exchange.at)));
    assert_eq!(project.count(|exchange| exchange.status == 401), 2);
    project.clear_exchanges();
    assert!(project.exchanges().is_empty());
}

#[tokio::test]
async fn a_key_is_rotated_in_the_middle() {
    let (project, _, v2) = fresh();
    assert_eq!(v2.post(&sample("DATADOG")).await.status, 200);
    project.allow_key(PUBLIC, "new");
    assert_eq!(v2.delete("DATADOG").await.status, 401);
    assert_eq!(v2.with_key(PUBLIC, "new").delete("DATADOG").await.status, 204);
}

fn client_of(sim: &AtlasSim, id: &str) -> Client {
    let project = sim.project(id);
    project.allow_key(PUBLIC, PRIVATE);
    Client { root: sim.url(), ..Client::new(&project, Api::V2) }
}

#[tokio::test]
async fn global_switches_hold_until_a_project_has_its_own() {
    let sim = AtlasSim::start().await.unwrap();
    let first = client_of(&sim, "000000000000000000000001");
    let second = client_of(&sim, "000000000000000000000002");
    sim.project(&second.id).settings(|settings| settings.mask_visible = 2);
    sim.settings(|settings| settings.serve_v2 = Serve::VersionGone);
    assert_eq!((first.list().await.status, second.list().await.status), (410, 200));
    sim.settings(|settings| settings.serve_v2 = Serve::Yes);
    assert_eq!(first.list().await.status, 200);
    sim.fault(Fault::new(Effect::ServerError).times(2));
    assert_eq!((first.list().await.status, second.list().await.status), (500, 500));
    sim.fault(Fault::new(Effect::ServerError).always());
    sim.clear_faults();
    assert_eq!(first.list().await.status, 200);
    assert_eq!(sim.projects(), [first.id, second.id]);
}

#[tokio::test]
async fn everything_is_counted() {
    let sim = AtlasSim::start().await.unwrap();
    let client = client_of(&sim, "000000000000000000000001");
    client.post(&sample("DATADOG")).await;
    client.list().await;
    sim.fault(Fault::new(Effect::Reset));
    client.try_send(Method::GET, "", None).await.unwrap_err();
    let counters = sim.counters();
    assert_eq!(
        (counters.requests, counters.answered("POST", 200), counters.answered("POST", 401)),
        (6, 1, 1)
    );
    assert_eq!(
        (counters.answered("GET", 200), counters.answered("GET", 401), counters.answered("GET", 0)),
        (1, 2, 1)
    );
    assert!((1..=4).contains(&counters.connections), "{counters:?}");
}

#[tokio::test]
async fn a_dropped_simulator_is_gone_and_its_log_is_not() {
    let sim = AtlasSim::start().await.unwrap();
    let (client, project) =
        (client_of(&sim, "000000000000000000000001"), sim.project("000000000000000000000001"));
    let address: std::net::SocketAddr = sim.url().trim_start_matches("http://").parse().unwrap();
    client.list().await;
    project.fault(Fault::new(Effect::Hold));
    let held = tokio::spawn(async move { client.try_send(Method::GET, "", None).await });
    while project.count(|exchange| exchange.faulted) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(sim);
    assert!(held.await.unwrap().is_err(), "what was held is cut");
    assert_eq!(project.count(|exchange| exchange.status == 200), 1);
    let again = AtlasSim::start_on(address).await.unwrap();
    assert_eq!(again.url(), format!("http://{address}"), "the port is free again");
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let error = AtlasSim::start_on("0.0.0.0:0".parse().unwrap()).await.err().unwrap();
    assert!(error.to_string().contains("not a loopback address"), "{error}");
}

/// The handles work where there is no runtime at all.
#[test]
fn projects_can_be_prepared_without_a_runtime() {
    let (project, _, _) = fresh();
    project.replace_by_other(sample("OPS_GENIE"));
    assert_eq!(sim().project(project.id()).stored().len(), 1);
}

#[tokio::test]
async fn a_request_body_has_a_limit() {
    let (_, _, v2) = fresh();
    let request = v2.request(Method::POST, "/SLACK", None).body(vec![b'x'; 2 * 1024 * 1024]);
    // The refusal may come while the client still writes.
    match request.send().await {
        Ok(response) => assert_eq!(response.status(), 413),
        Err(error) => assert!(error.is_request() || error.is_body(), "{error}"),
    }
}
