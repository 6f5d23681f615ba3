//! A tenant forges the operator's records: the claim in the annotation, and the finalizer. Only the status, which a tenant
//! can't write, proves that an object wrote an integration or was given consent. No admission policy is in force here.

use atlas_integration_operator::api::{CLAIM_ANNOTATION, FINALIZER, RELEASED_ANNOTATION};
use atlas_integration_stage::samples::{datadog, foreign};
use atlas_sim::Exchange;
use rstest::rstest;
use serde_json::{Value, json};

use super::tenant::Tenant;
use crate::world::{Object, World, until_true};

/// Writes a claim of the object itself, and the finalizer, as soon as the roles allow it.
async fn forge(eve: &Tenant, x: &Object<'_>, sent: &Value) {
    let object = x.get().await;
    let time = "2024-01-01T00:00:00Z";
    let claim = json!({"uid": object["metadata"]["uid"], "time": time, "sent": sent, "adopted": true});
    write(eve, x, &claim.to_string()).await;
}

async fn write(eve: &Tenant, x: &Object<'_>, claim: &str) {
    let annotations = json!({CLAIM_ANNOTATION: claim, RELEASED_ANNOTATION: null});
    let change = json!({"metadata": {"finalizers": [FINALIZER], "annotations": annotations}});
    patch(eve, x, &change).await;
}

async fn patch(eve: &Tenant, x: &Object<'_>, change: &Value) {
    eve.patch("AtlasIntegration", x.name(), change).await.unwrap();
}

async fn delete(eve: &Tenant, x: &Object<'_>) {
    eve.delete("AtlasIntegration", x.name()).await.unwrap();
}

/// What Atlas shows of [`foreign`]: a tenant learns it from an object that observes.
fn shown() -> Value {
    json!({"type": "DATADOG", "apiKey": "****9999", "region": "EU"})
}

/// A world in which others have made an integration, and an object of the tenant that may not have it.
async fn others(name: &str) -> (World, Tenant) {
    let world = World::with_datadog_key(name).await;
    world.project.replace_by_other(foreign());
    let tenant = Tenant::of(&world).await;
    (world, tenant)
}

fn assert_untouched(world: &World, before: Option<&Value>) {
    assert_eq!(world.atlas_writes(), Vec::<String>::new());
    assert_eq!(world.project.stored_type("DATADOG").as_ref(), before);
}

/// Steps 1 to 3: what is not allowed by `adoptionPolicy` is not had by a claim, whatever it says, and however often.
#[rstest]
#[case::of_nothing("nothing", json!({}))]
#[case::of_what_is_shown("shown", shown())]
#[tokio::test(flavor = "multi_thread")]
async fn a05_a_forged_claim_overwrites_nothing(#[case] name: &str, #[case] sent: Value) {
    let (world, tenant) = others(&format!("a05-{name}")).await;
    let before = world.project.stored_type("DATADOG");
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    x.reaches("False", "AlreadyExists").await;
    for _ in 0..3 {
        forge(&tenant, &x, &sent).await;
        x.until("let go", |object| object["metadata"]["finalizers"].is_null()).await;
    }
    // An edit makes a pass due at once: the claim is there when it is planned.
    forge(&tenant, &x, &sent).await;
    patch(&tenant, &x, &json!({"spec": {"datadog": {"region": "US3"}}})).await;
    x.reaches("False", "AlreadyExists").await;
    assert_untouched(&world, before.as_ref());
}

/// Over a restart: the new process remembers nothing of the object.
#[tokio::test(flavor = "multi_thread")]
async fn a05_a_claim_that_was_forged_while_the_operator_was_down() {
    let (world, tenant) = others("a05-down").await;
    let before = world.project.stored_type("DATADOG");
    let x = world.datadog("x").await;
    forge(&tenant, &x, &shown()).await;
    let _operator = world.operator(&[]).await;
    x.reaches("False", "AlreadyExists").await;
    assert_untouched(&world, before.as_ref());
}

/// Step 4: forged, then deleted, before the operator sees either.
#[tokio::test(flavor = "multi_thread")]
async fn a05_forged_and_deleted_within_a_moment() {
    let (world, tenant) = others("a05-moment").await;
    let before = world.project.stored_type("DATADOG");
    let operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    x.reaches("False", "AlreadyExists").await;
    operator.pause();
    forge(&tenant, &x, &shown()).await;
    delete(&tenant, &x).await;
    operator.resume();
    x.gone().await;
    assert_untouched(&world, before.as_ref());
}

/// Step 5: whoever deletes the Secret revokes the key. The last good one serves no object that wrote nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a05_a_forged_claim_does_not_bring_a_revoked_key_back() {
    let (world, tenant) = others("a05-revoked").await;
    let before = world.project.stored_type("DATADOG");
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    x.reaches("False", "AlreadyExists").await;
    world.delete("Secret", "atlas").await;
    x.reaches("False", "SecretNotFound").await;
    let calls = world.project.exchanges().len();
    forge(&tenant, &x, &shown()).await;
    delete(&tenant, &x).await;
    x.gone().await;
    assert_eq!(world.project.exchanges().len(), calls, "not one call");
    assert_untouched(&world, before.as_ref());
}

/// Step 6: the older object keeps the place, although it can't write yet.
#[tokio::test(flavor = "multi_thread")]
async fn a05_a_forged_claim_wins_no_place() {
    let world = World::with_datadog_key("a05-place").await;
    let tenant = Tenant::of(&world).await;
    let _operator = world.operator(&[]).await;
    let waiting = json!({"datadog": {"apiKeySecretRef": {"name": "later"}}});
    let older = world.integration("older", &datadog(waiting)).await;
    older.reaches("False", "SecretNotFound").await;
    // Times of creation are whole seconds.
    let now = || jiff::Timestamp::now().as_second();
    let begun = now();
    until_true("the next second", || now() > begun).await;
    let younger = world.integration("younger", &datadog(json!({"datadog": {"region": "EU"}}))).await;
    younger.reaches("False", "Conflict").await;
    forge(&tenant, &younger, &json!({})).await;
    world.until_looked(3).await;
    younger.reaches("False", "Conflict").await;
    assert_eq!(world.project.count(Exchange::is_write), 0);
    world.secret("later", &[("api", "fedcba9876543210fedcba9876540002")]).await;
    older.synced().await;
    younger.reaches("False", "Conflict").await;
    assert_eq!(world.stored_datadog("region"), "US5");
}

/// The claim is one that the operator made for this very object, and the object gave the place up since.
#[tokio::test(flavor = "multi_thread")]
async fn a05_an_old_claim_proves_nothing() {
    let world = World::with_datadog_key("a05-old").await;
    let tenant = Tenant::of(&world).await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    let object = x.synced().await;
    let claim = object["metadata"]["annotations"][CLAIM_ANNOTATION].as_str().unwrap().to_owned();
    patch(&tenant, &x, &json!({"spec": {"managementPolicy": "Observe"}})).await;
    x.reaches("True", "Observed").await;
    // Others replace it by what looks the same: only the secret part of the key differs.
    let mut stored = world.project.stored_type("DATADOG").unwrap();
    let key = stored["apiKey"].as_str().unwrap();
    stored["apiKey"] = format!("{}{}", "e".repeat(key.len() - 4), &key[key.len() - 4..]).into();
    world.project.replace_by_other(stored);
    let before = world.project.stored_type("DATADOG");
    write(&tenant, &x, &claim).await;
    patch(&tenant, &x, &json!({"spec": {"managementPolicy": "Manage"}})).await;
    x.reaches("False", "AlreadyExists").await;
    write(&tenant, &x, &claim).await;
    delete(&tenant, &x).await;
    x.gone().await;
    assert_eq!(world.atlas_writes(), ["POST"], "its own, before it gave the place up");
    assert_eq!(world.project.stored_type("DATADOG"), before);
}
