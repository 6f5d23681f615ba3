//! What things cost, counted at the servers' side: the API server's audit log and the simulator's exchanges.

use atlas_sim::{Exchange, Operation};
use serde_json::json;

use crate::samples;
use crate::world::{PRIVATE_KEY, PUBLIC_KEY, World, condition, until};

const LONG_RESYNC: &[&str] = &["--resync-interval", "1h"];

fn datadog() -> serde_json::Value {
    samples::of("DATADOG").spec
}

/// Exchanges from a sequence number on, as `METHOD status`.
fn since(world: &World, sequence: u64) -> Vec<String> {
    let exchanges = world.project.exchanges();
    exchanges.iter().filter(|e| e.sequence > sequence).map(|e| format!("{} {}", e.method, e.status)).collect()
}

fn last(world: &World) -> u64 {
    world.project.exchanges().last().map(|exchange| exchange.sequence).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_edits_and_labels() {
    let world = World::new("costs").await;
    let _operator = world.operator(LONG_RESYNC).await;

    // First contact: one challenge more, and none after it.
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    world.create(&world.integration("datadog", &datadog())).await;
    world.until_ready("datadog", "True", "Synced").await;
    assert_eq!(since(&world, 0), ["GET 401", "GET 200", "POST 200"]);
    let writes: Vec<(String, String)> = world.writes().into_iter().map(|w| (w.verb, w.subresource)).collect();
    let patch = |subresource: &str| ("patch".to_owned(), subresource.to_owned());
    assert_eq!(writes, [patch(""), patch("status")], "claim and status");

    // A creation in the steady state: 2 calls, 2 HTTP requests, 2 writes.
    let (before, mark) = (world.writes().len(), last(&world));
    world.secret("ops", &samples::of("OPS_GENIE").secrets).await;
    let spec = json!({"type": "OPS_GENIE", "opsGenie": {"apiKeySecretRef": {"name": "ops", "key": "api"}}});
    world.create(&world.integration("opsgenie", &spec)).await;
    world.until_ready("opsgenie", "True", "Synced").await;
    assert_eq!(since(&world, mark), ["GET 200", "POST 200"]);
    assert_eq!(world.writes().len() - before, 2);

    // An edit of the settings: fence and status, LIST and PUT.
    let (before, mark) = (world.writes().len(), last(&world));
    world.patch("AtlasIntegration", "datadog", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    world.until_ready("datadog", "True", "Synced").await;
    assert_eq!(since(&world, mark), ["GET 200", "PUT 200"]);
    assert_eq!(world.writes().len() - before, 2);

    // An edit of a policy: one status, no write to Atlas.
    let (before, mark) = (world.writes().len(), last(&world));
    world.patch("AtlasIntegration", "datadog", &json!({"spec": {"deletionPolicy": "Retain"}})).await;
    world.until_ready("datadog", "True", "Synced").await;
    assert_eq!(since(&world, mark), ["GET 200"]);
    assert_eq!(world.writes().len() - before, 1);

    // A label on the Secret: its identity is noted, nothing goes to Atlas.
    let mark = last(&world);
    let secret = world.patch("Secret", "keys", &json!({"metadata": {"labels": {"a": "b"}}})).await;
    let version = secret["metadata"]["resourceVersion"].clone();
    world
        .until("datadog", "up to date with the Secret", |object| {
            object["status"]["applied"]["secrets"][0]["resourceVersion"] == version
        })
        .await;
    assert_eq!(since(&world, mark), ["GET 200"]);

    // Deletion: fence and finalizer, LIST and DELETE.
    let (before, mark) = (world.writes().len(), last(&world));
    world.delete("AtlasIntegration", "opsgenie").await;
    world.until_gone("opsgenie").await;
    assert_eq!(since(&world, mark), ["GET 200", "DELETE 204"]);
    assert_eq!(world.writes().len() - before, 2);
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
    let mut names = Vec::new();
    for (n, sample) in samples::all().into_iter().enumerate() {
        let credentials = if n % 2 == 0 { "second" } else { "atlas" };
        let extra = json!({"credentialsSecretRef": {"name": credentials}});
        names.push(sample.create(&world, &extra).await);
    }
    for name in &names {
        world.until_ready(name, "True", "Synced").await;
    }
    // What the last writes still cause must have settled: from here on only LISTs may come.
    let lists = |after: u64| {
        world.project.count(|e| e.sequence > after && e.operation == Some(Operation::List) && e.status == 200)
    };
    let settled = last(&world);
    until("a whole resync after the last write", || (lists(settled) >= 4).then_some(())).await;

    let (mark, writes, begun) = (last(&world), world.writes().len(), std::time::Instant::now());
    until("five resyncs of two credentials", || (lists(mark) >= 10).then_some(())).await;
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
    assert_eq!(world.writes().len(), writes, "no write to the API server");
}

/// A challenge costs one request more when its nonce goes stale, and bodies never travel without credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_nonce_costs_one_request() {
    let world = World::new("stale").await;
    world.project.settings(|settings| settings.nonce_max_uses = Some(2));
    let _operator = world.operator(LONG_RESYNC).await;
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    world.create(&world.integration("x", &datadog())).await;
    world.until_ready("x", "True", "Synced").await;
    for region in ["EU", "US", "US3"] {
        world.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": region}}})).await;
        world.until_ready("x", "True", "Synced").await;
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
    world.create(&world.integration("x", &datadog())).await;
    let before = world.until_ready("x", "True", "Synced").await;
    world.project.allow_key("rotated", PRIVATE_KEY);
    let mark = last(&world);
    world.secret("atlas", &[("publicApiKey", "rotated"), ("privateApiKey", PRIVATE_KEY)]).await;
    let used = || world.project.count(|e| e.credential.as_deref() == Some("rotated") && e.status == 200);
    until("a LIST with the new key", || (used() >= 2).then_some(())).await;
    assert_eq!(world.project.count(|e| e.sequence > mark && e.is_write()), 0);
    let after = world.get("AtlasIntegration", "x").await.unwrap();
    assert_eq!(condition(&after, "Ready")["status"], "True");
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
}
