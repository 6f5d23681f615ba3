//! Attacks by Secrets, by a tenant who may write any Secret of one namespace.

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::Exchange;
use serde_json::json;

use crate::hostile::tenant::Tenant;
use crate::world::{PRIVATE_KEY, PUBLIC_KEY, World, message};

const LONG: &[&str] = &["--resync-interval", "1h"];
const KEY: &str = "fedcba9876543210fedcba9876540001";

/// Values that are no key, which would break a header, a line or a text: none is sent, and none is quoted.
#[tokio::test(flavor = "multi_thread")]
async fn o15_values_that_are_no_key() {
    let world = World::new("own-values").await;
    let eve = Tenant::of(&world).await;
    eve.secret("keys", &[("api", "x y")]).await.unwrap();
    let operator = world.operator(&[]).await;
    eve.create(&world.manifest("x", &datadog(json!({})))).await.unwrap();
    let x = world.object("x");
    let huge = format!("canary{}", "x".repeat(900_000));
    for (number, value) in [
        "canary\r\nX-Injected: 1",
        "canary\0",
        "canary\u{1b}[31m",
        "canary\u{202e}",
        "canary\u{feff}",
        "\"canary\"",
        "canary ********",
        huge.as_str(),
    ]
    .into_iter()
    .enumerate()
    {
        eve.secret("keys", &[("api", value)]).await.unwrap();
        let region = ["EU", "US3"][number % 2];
        x.change(&json!({"datadog": {"region": region}})).await;
        let said = message(&x.reaches("False", "SecretKeyInvalid").await);
        assert!(!said.contains("canary") && said.chars().count() < 1_024, "{said}");
    }
    assert_eq!(world.project.count(Exchange::is_write), 0);
    assert!(!operator.logs().contains("canary"));
    // A value that is one is taken up.
    eve.secret("keys", &[("api", KEY)]).await.unwrap();
    x.synced().await;
}

/// Secrets with ten thousand keys: a message names a few.
#[tokio::test(flavor = "multi_thread")]
async fn o16_ten_thousand_keys() {
    let world = World::new("own-keys").await;
    let eve = Tenant::of(&world).await;
    let keys: Vec<String> = (0..10_000).map(|number| format!("key-{number:05}")).collect();
    let values: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "x")).collect();
    eve.secret("keys", &values).await.unwrap();
    let _operator = world.operator(LONG).await;
    eve.create(&world.manifest("x", &datadog(json!({})))).await.unwrap();
    let said = message(&world.object("x").reaches("False", "SecretKeyMissing").await);
    assert!(said.contains("key-00009 and 9990 more") && said.len() < 600, "{said}");
}

/// A Secret of the name that somebody else waits for serves nobody but its own namespace.
#[tokio::test(flavor = "multi_thread")]
async fn o17_the_secret_that_another_waits_for() {
    let victim = World::new("own-waiting").await;
    let attacker = World::with_project("own-waiting-eve", victim.project.id()).await;
    let eve = Tenant::of(&attacker).await;
    let _operator = victim.operator(&["--watch-namespace", &attacker.namespace]).await;
    victim.datadog("x").await;
    let x = victim.object("x");
    x.reaches("False", "SecretNotFound").await;
    let object = x.get().await;
    eve.secret("keys", &[("api", KEY)]).await.unwrap();
    let spec =
        json!({"type": "PAGER_DUTY", "pagerDuty": {"serviceKeySecretRef": {"name": "keys", "key": "api"}}});
    eve.create(&attacker.manifest("y", &spec)).await.unwrap();
    attacker.object("y").synced().await;
    victim.until_looked(2).await;
    assert_eq!(x.get().await["metadata"]["resourceVersion"], object["metadata"]["resourceVersion"]);
    assert!(victim.project.stored_type("DATADOG").is_none());
    assert_eq!(eve.reaching_for(&victim.namespace).secret("keys", &[("api", KEY)]).await.err(), Some(403));
}

/// Equal values of two tenants leave nothing equal where either of them reads.
#[tokio::test(flavor = "multi_thread")]
async fn o18_whether_two_tenants_have_the_same_key_is_not_told() {
    let victim = World::with_datadog_key("own-equal").await;
    let attacker = World::with_datadog_key("own-equal-eve").await;
    let _operator = victim.operator(&["--watch-namespace", &attacker.namespace]).await;
    let mut prints = Vec::new();
    for world in [&victim, &attacker] {
        world.datadog("x").await;
        let object = world.object("x").synced().await;
        prints.push(object["status"]["applied"]["fingerprint"].as_str().unwrap().to_owned());
    }
    assert_ne!(prints[0], prints[1], "the same Secret, the same Atlas key, the same settings");
}

/// The values stand in an annotation as well, as `kubectl apply` leaves them there: they are not read, kept or shown.
#[tokio::test(flavor = "multi_thread")]
async fn o19_values_in_annotations() {
    let world = World::new("own-annotated").await;
    let eve = Tenant::of(&world).await;
    eve.secret("keys", &[("api", "no key")]).await.unwrap();
    let applied = json!({"stringData": {"api": "canary-in-an-annotation"}}).to_string();
    let noted = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied,
        "atlas-integrations.dev/claim": "canary-in-an-annotation"}}});
    eve.patch("Secret", "keys", &noted).await.unwrap();
    let operator = world.operator(LONG).await;
    eve.create(&world.manifest("x", &datadog(json!({})))).await.unwrap();
    let object = world.object("x").reaches("False", "SecretKeyInvalid").await;
    let events = json!(world.list("Event").await).to_string();
    let metrics = operator.get("/metrics").await.unwrap();
    for text in [object.to_string(), events, metrics, operator.logs()] {
        assert!(!text.contains("canary-in-an-annotation"), "{text}");
    }
}

/// The Secret is deleted and made again with the same name and other values, again and again: each value that is
/// reported as applied is the one that Atlas has.
#[tokio::test(flavor = "multi_thread")]
async fn o20_a_secret_that_comes_and_goes() {
    let world = World::with_datadog_key("own-coming").await;
    let eve = Tenant::of(&world).await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    for number in 0..20 {
        eve.delete("Secret", "keys").await.unwrap();
        eve.secret("keys", &[("api", &format!("fedcba9876543210fedcba98765{number:05}"))]).await.unwrap();
    }
    let last = "fedcba9876543210fedcba9876500019";
    world.until_stored("apiKey", last).await;
    x.recorded("keys").await;
    assert_eq!(world.stored_datadog("apiKey"), last);
    assert!(world.project.count(Exchange::is_write) <= 22);
}

/// Credentials of odd forms, each of an object of its own: nothing panics, nothing is sent that is no header, nothing
/// is quoted.
#[tokio::test(flavor = "multi_thread")]
async fn o21_credentials_that_would_break_a_header() {
    let world = World::with_datadog_key("own-credentials").await;
    let eve = Tenant::of(&world).await;
    let operator = world.operator(LONG).await;
    let long = format!("canary{}", "x".repeat(4_000));
    let account = "mdb_sa_id_canary\r\nX-Injected: 1";
    let secrets: [&[(&str, &str)]; 12] = [
        &[("publicApiKey", "canary\", realm=\"x"), ("privateApiKey", PRIVATE_KEY)],
        &[("publicApiKey", "canary\\"), ("privateApiKey", PRIVATE_KEY)],
        &[("publicApiKey", "canary\r\nX-Injected: 1"), ("privateApiKey", PRIVATE_KEY)],
        &[("publicApiKey", "canary:key"), ("privateApiKey", PRIVATE_KEY)],
        &[("publicApiKey", "canary-😀"), ("privateApiKey", PRIVATE_KEY)],
        &[("publicApiKey", "canary\u{202e}"), ("privateApiKey", PRIVATE_KEY)],
        &[("publicApiKey", &long), ("privateApiKey", PRIVATE_KEY)],
        &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", &long)],
        &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", "canary\0")],
        &[("publicApiKey", ""), ("privateApiKey", "")],
        &[("clientId", account), ("clientSecret", "mdb_sa_sk_canary")],
        &[("clientId", "mdb_sa_id_canary"), ("clientSecret", "mdb_sa_sk_\u{fffd}")],
    ];
    for (number, values) in secrets.iter().enumerate() {
        let name = format!("odd-{number}");
        eve.secret(&name, values).await.unwrap();
        let spec = datadog(json!({"credentialsSecretRef": {"name": name}, "managementPolicy": "Observe"}));
        eve.create(&world.manifest(&name, &spec)).await.unwrap();
    }
    for number in 0..secrets.len() {
        let object = world.object(&format!("odd-{number}")).says("Ready", "False").await;
        assert!(!object["status"].to_string().contains("canary"), "{number}: {object:#}");
    }
    let injected = |e: &Exchange| e.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-injected"));
    assert_eq!(world.project.count(injected), 0);
    assert!(!operator.logs().contains("canary"));
    world.datadog("x").await.in_sync().await;
}

/// Names that a path or a message could misread are none for the API server.
#[tokio::test(flavor = "multi_thread")]
async fn o22_names_that_are_none() {
    let world = World::new("own-names").await;
    let eve = Tenant::of(&world).await;
    for key in ["a/b", "..", "a\nb", "a b", "\u{202e}a", "😀", ""] {
        assert_eq!(eve.secret("keys", &[(key, "x")]).await.err(), Some(422), "{key:?}");
    }
    for name in ["../keys", "keys?x", "%2e%2e", "a\nb", "Keys", "", "keys/x"] {
        for pointer in ["/spec/datadog/apiKeySecretRef/name", "/spec/credentialsSecretRef/name"] {
            let mut object = world.manifest("x", &samples::of("DATADOG").spec);
            *object.pointer_mut(pointer).unwrap() = name.into();
            assert_eq!(eve.create(&object).await.err(), Some(422), "{pointer} {name:?}");
        }
    }
}
