//! The whole life of each type over each API version that has it.

use atlas_integration_stage::samples::{self, Sample};
use atlas_sim::{Api, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, condition, rules, until};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_life_of_a_type(
    #[values("v1.0", "v2")] api: &str,
    #[values(
        "PAGER_DUTY",
        "SLACK",
        "DATADOG",
        "NEW_RELIC",
        "OPS_GENIE",
        "VICTOR_OPS",
        "FLOWDOCK",
        "WEBHOOK",
        "MICROSOFT_TEAMS",
        "PROMETHEUS"
    )]
    kind: &str,
) {
    let sample = samples::of(kind);
    let name = format!("life-{}-{}", api.replace('.', "-"), kind.to_lowercase().replace('_', "-"));
    let world = World::new(&name).await;
    let _operator = world.operator(&["--atlas-api", api, "--resync-interval", rules::rare_resync()]).await;

    created(&world, &sample).await;
    edited(&world, &sample).await;
    rotated(&world, &sample).await;
    deleted(&world, &sample).await;
    retained(&world, &sample).await;

    // FLOWDOCK goes to version 1.0 whatever was asked for.
    let expected = if api == "v1.0" || kind == "FLOWDOCK" { Api::V1 } else { Api::V2 };
    let other = world
        .project
        .count(|exchange| exchange.operation.is_some_and(Operation::writes) && exchange.api != expected);
    assert_eq!(other, 0, "writes over the other version");
}

async fn created(world: &World, sample: &Sample) {
    world.secret("keys", &sample.secrets).await;
    let x = world.integration("x", &sample.spec).await;
    let object = x.synced().await;

    let stored = world.project.stored_type(sample.kind).unwrap();
    assert_eq!(
        without_id(&stored),
        without_id(&contained(&stored, &sample.stored)),
        "nothing that was not asked for"
    );
    for (field, value) in sample.stored.as_object().unwrap() {
        assert_eq!(&stored[field], value, "{field} in Atlas");
    }

    let status = &object["status"];
    assert_eq!(condition(&object, "InSync")["status"], "True");
    assert!(condition(&object, "Reconciling").is_null() && condition(&object, "Stalled").is_null());
    assert_eq!(status["observedGeneration"], 1);
    for (field, value) in sample.echo.as_object().unwrap() {
        // Version 1.0 leaves out what is false.
        let shown = &status["integration"][field];
        assert!(
            shown == value || (*value == false && shown.is_null()),
            "{field} in the echo: {shown}, not {value}"
        );
    }
    assert_eq!(status["applied"]["uid"], object["metadata"]["uid"]);
    assert_eq!(status["applied"]["attempt"], status["attempt"]["id"]);
    let secret = world.get("Secret", "keys").await.unwrap();
    let read = json!([{"name": "keys", "uid": secret["metadata"]["uid"], "resourceVersion": secret["metadata"]["resourceVersion"]}]);
    assert_eq!(status["applied"]["secrets"], read);
    let discovery = &status["prometheusDiscoveryUrl"];
    if sample.kind == "PROMETHEUS" {
        let expected =
            format!("{}/prometheus/v1.0/groups/{}/discovery", world.shared.sim.url(), world.project.id());
        assert_eq!(discovery, &expected);
    } else {
        assert!(discovery.is_null());
    }
}

async fn edited(world: &World, sample: &Sample) {
    let x = world.object("x");
    let before = x.get().await;
    let object = x.change(&sample.edit.0).await.synced().await;
    assert_eq!(object["status"]["observedGeneration"], 2);
    assert_ne!(object["status"]["applied"]["config"], before["status"]["applied"]["config"]);
    let stored = world.project.stored_type(sample.kind).unwrap();
    for (field, value) in sample.edit.1.as_object().unwrap() {
        assert_eq!(&stored[field], value, "{field} in Atlas after the edit");
    }
}

async fn rotated(world: &World, sample: &Sample) {
    let (key, value, field) = sample.rotation;
    let mut secrets = sample.secrets.clone();
    secrets.iter_mut().filter(|(name, _)| *name == key).for_each(|(_, old)| *old = value);
    world.secret("keys", &secrets).await;
    let stored = || world.project.stored_type(sample.kind).filter(|stored| stored[field] == value);
    until("the rotated key in Atlas", stored).await;
    let secret = world.get("Secret", "keys").await.unwrap();
    let version = &secret["metadata"]["resourceVersion"];
    world
        .object("x")
        .until("in sync with the rotated Secret", |object| {
            object["status"]["applied"]["secrets"][0]["resourceVersion"] == *version
                && condition(object, "Ready")["status"] == "True"
        })
        .await;
}

async fn deleted(world: &World, sample: &Sample) {
    let x = world.object("x");
    x.delete().await;
    assert_eq!(world.project.stored_type(sample.kind), None, "deleted with the object");
}

async fn retained(world: &World, sample: &Sample) {
    let mut spec = sample.spec.clone();
    spec["deletionPolicy"] = "Retain".into();
    let kept = world.integration("kept", &spec).await.in_sync().await;
    let before = world.project.stored_type(sample.kind);
    assert!(before.is_some());
    kept.delete().await;
    assert_eq!(world.project.stored_type(sample.kind), before, "left as it is");
}

fn without_id(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("id");
    }
    value
}

/// `expected` with the defaults that Atlas adds to what it stores: false, null, and a region.
fn contained(stored: &Value, expected: &Value) -> Value {
    let mut all = expected.clone();
    for (field, value) in stored.as_object().unwrap() {
        let added = value.is_null() || value == false || field == "region";
        if added && all.get(field).is_none() {
            all[field] = value.clone();
        }
    }
    all
}
