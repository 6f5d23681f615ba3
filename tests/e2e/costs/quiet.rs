//! What must stay cheap whatever happens, counted at the servers' side. What each event costs is in `costs_table`.

use atlas_integration_stage::samples;
use atlas_sim::{Exchange, Operation};
use serde_json::json;

use crate::world::{PRIVATE_KEY, PUBLIC_KEY, World, condition, until_true};

const LONG_RESYNC: &[&str] = &["--resync-interval", "1h"];

fn datadog() -> serde_json::Value {
    samples::of("DATADOG").spec
}

fn last(world: &World) -> u64 {
    world.project.exchanges().last().map(|exchange| exchange.sequence).unwrap_or_default()
}

/// Over five resyncs with nothing changing: no write to the API server, and one LIST for each credential and
/// resync, whatever number of objects there is.
#[tokio::test(flavor = "multi_thread")]
async fn quiet_means_quiet() {
    let world = World::new("quiet").await;
    world.project.allow_key("second", "8f0d7c52-canaryPRIVATE-second");
    world
        .secret("second", &[("publicApiKey", "second"), ("privateApiKey", "8f0d7c52-canaryPRIVATE-second")])
        .await;
    let _operator = world.operator(&["--atlas-api", "v1.0"]).await;
    let mut objects = Vec::new();
    for (n, sample) in samples::all().into_iter().enumerate() {
        let credentials = if n % 2 == 0 { "second" } else { "atlas" };
        let extra = json!({"credentialsSecretRef": {"name": credentials}});
        objects.push(world.sample_with(sample.kind, &extra).await);
    }
    for object in &objects {
        object.synced().await;
    }
    // What the last writes still cause must have settled: from here on only LISTs may come.
    let lists = |after: u64| {
        world.project.count(|e| e.sequence > after && e.operation == Some(Operation::List) && e.status == 200)
    };
    let settled = last(&world);
    until_true("a whole resync after the last write", || lists(settled) >= 4).await;

    let (mark, writes, begun) = (last(&world), world.api_writes().len(), std::time::Instant::now());
    until_true("five resyncs of two credentials", || lists(mark) >= 10).await;
    let exchanges: Vec<Exchange> =
        world.project.exchanges().into_iter().filter(|e| e.sequence > mark).collect();
    let passed = begun.elapsed().as_secs() as usize;
    assert!(
        exchanges.iter().all(|e| e.operation == Some(Operation::List) && e.status == 200),
        "{exchanges:#?}"
    );
    assert!(exchanges.len() <= 2 * (passed + 2), "{} LISTs in {passed} s", exchanges.len());
    for key in [PUBLIC_KEY, "second"] {
        let of_key = exchanges.iter().filter(|e| e.credential.as_deref() == Some(key)).count();
        assert!(of_key.abs_diff(exchanges.len() / 2) <= 1, "{key}: {of_key} of {}", exchanges.len());
    }
    assert_eq!(world.api_writes().len(), writes, "no write to the API server");
}

/// Objects that are never quiet cost a resync no reads either: one that lost a conflict, one that may not adopt what is
/// there, one that finds nothing to observe, one that is suspended. Nor are their Secrets.
#[tokio::test(flavor = "multi_thread")]
async fn what_needs_nothing_is_not_read_again() {
    let world = World::with_datadog_key("quiet-never").await;
    let _operator = world.operator(&["--stall-after", "1s"]).await;
    world.datadog("x").await.in_sync().await;
    let loser = world.datadog("loser").await;
    world
        .project
        .replace_by_other(json!({"type": "PAGER_DUTY", "serviceKey": "0123456789abcdef0123456789abcdef"}));
    let refused = world.sample("PAGER_DUTY").await;
    let observer = world.sample_with("WEBHOOK", &json!({"managementPolicy": "Observe"})).await;
    for (object, reason) in
        [(&loser, "Conflict"), (&refused, "AlreadyExists"), (&observer, "IntegrationNotFound")]
    {
        object.reaches("False", reason).await;
        object.says("Stalled", "True").await;
    }
    let suspended = world.sample_with("OPS_GENIE", &json!({"suspend": true})).await;
    suspended.reaches("False", "Suspended").await;
    let rests = world.sample("VICTOR_OPS").await.in_sync().await;
    rests.change(&json!({"suspend": true})).await.says("Suspended", "True").await;
    world.until_looked(2).await;
    let before = world.requests().len();
    world.until_looked(4).await;
    let requests = world.requests().split_off(before);
    let mut reads = requests.iter().filter(|r| r.verb != "watch");
    assert!(!reads.any(|r| ["atlasintegrations", "secrets"].contains(&&*r.resource)), "{requests:#?}");
    // What changes is seen all the same.
    world.project.remove_by_other("PAGER_DUTY");
    refused.synced().await;
    suspended.change(&json!({"suspend": false})).await.synced().await;
    world.object("x").delete().await;
    loser.synced().await;
}

/// A challenge costs one request more when its nonce goes stale, and bodies never travel without credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_nonce_costs_one_request() {
    let world = World::new("stale").await;
    world.project.settings(|settings| settings.nonce_max_uses = Some(2));
    let _operator = world.operator(LONG_RESYNC).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let x = world.integration("x", &datadog()).await.in_sync().await;
    for region in ["EU", "US", "US3"] {
        x.change(&json!({"datadog": {"region": region}})).await.synced().await;
    }
    let exchanges = world.project.exchanges();
    let challenged = exchanges.iter().filter(|e| e.status == 401).count();
    let answered = exchanges.iter().filter(|e| e.status == 200).count();
    assert_eq!(answered, 8);
    assert!(challenged <= answered / 2 + 1, "{challenged} challenges for {answered} calls");
    assert!(
        exchanges.iter().all(|e| e.scheme.is_some() || e.body.is_none()),
        "a key went out unauthenticated"
    );
}

/// Rotating the API key is picked up at once and writes nothing to Atlas.
#[tokio::test(flavor = "multi_thread")]
async fn rotated_credentials_write_nothing() {
    let world = World::new("credentials-rotated").await;
    let _operator = world.operator(&[]).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let x = world.integration("x", &datadog()).await;
    let before = x.synced().await;
    world.project.allow_key("rotated", PRIVATE_KEY);
    let mark = last(&world);
    world.secret("atlas", &[("publicApiKey", "rotated"), ("privateApiKey", PRIVATE_KEY)]).await;
    let used = || world.project.count(|e| e.credential.as_deref() == Some("rotated") && e.status == 200);
    until_true("a LIST with the new key", || used() >= 2).await;
    assert_eq!(world.project.count(|e| e.sequence > mark && e.is_write()), 0);
    let after = x.get().await;
    assert_eq!(condition(&after, "Ready")["status"], "True");
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
}
