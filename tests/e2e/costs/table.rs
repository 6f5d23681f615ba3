//! The table of `docs/costs.md`, each row of it counted. `UPDATE=1` writes the table anew.

use std::path::Path;
use std::time::Duration;

use atlas_integration_stage::samples;
use atlas_sim::{Effect, Fault, Operation};
use serde_json::{Value, json};

use crate::world::meter::{Cost, Meter};
use crate::world::rules::SECRETS_WATCHED;
use crate::world::{Object, Operator, PRIVATE_KEY, World, condition, until_true};

/// Long enough that an event has been counted before the next resync.
const RESYNC: &[&str] = &["--resync-interval", "6s"];
const LONG_RESYNC: &[&str] = &["--resync-interval", "1h"];
const FOREIGN_KEY: &str = "00000000000000000000000000009999";

#[tokio::test(flavor = "multi_thread")]
async fn the_table_is_what_is_counted() {
    let scenarios = [
        tokio::spawn(service_account()),
        tokio::spawn(a_life()),
        tokio::spawn(deletions()),
        tokio::spawn(resyncs()),
        tokio::spawn(drift()),
        tokio::spawn(adoption()),
        tokio::spawn(observing()),
        tokio::spawn(troubles()),
    ];
    let mut costs = Vec::new();
    for scenario in scenarios {
        costs.append(&mut scenario.await.unwrap());
    }
    let mut fresh =
        "| Event | Atlas | API server, writes | API server, reads |\n|---|---|---|---|\n".to_owned();
    for Cost { event, atlas, writes, reads } in costs {
        fresh.push_str(&format!("| {event} | {atlas} | {writes} | {reads} |\n"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/costs.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let begin = page.find("| Event |").unwrap();
    let end = begin + page[begin..].find("\n\n").unwrap() + 1;
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{}{fresh}{}", &page[..begin], &page[end..])).unwrap();
        return;
    }
    assert!(
        page[begin..end] == fresh,
        "docs/costs.md has other numbers than were counted; if they are meant, write them anew with UPDATE=1. \
         Counted:\n{fresh}"
    );
}

/// With challenges that last: when one grows stale is a matter of time, and `costs` has what it costs.
async fn world(name: &str) -> World {
    let world = World::new(name).await;
    world.project.settings(|settings| settings.nonce_lifetime = Duration::from_secs(3_600));
    world
}

/// What is counted is what the operator does as it comes, with the watch of Secrets.
async fn start(world: &World, flags: &[&str]) -> Operator {
    world.operator(&[flags, &[SECRETS_WATCHED]].concat()).await
}

async fn create<'a>(world: &'a World, kind: &str, extra: Value) -> Object<'a> {
    world.sample_with(kind, &extra).await.in_sync().await
}

async fn edit(object: &Object<'_>, change: Value) {
    object.change(&change).await.synced().await;
}

/// Waits for the next LIST, so that what is counted from here has a whole interval before the one after.
async fn resync(world: &World) {
    world.until_looked(1).await;
}

async fn a_life() -> Vec<Cost> {
    let world = world("table-life").await;
    let operator = start(&world, LONG_RESYNC).await;
    let mut meter = Meter::new(&world).await;
    let datadog = world.object("datadog");
    meter
        .count("The first object of an API key", async { drop(create(&world, "DATADOG", json!({})).await) })
        .await;
    meter
        .count("Creation", async {
            drop(create(&world, "OPS_GENIE", json!({"deletionPolicy": "Retain"})).await)
        })
        .await;
    meter.count("Settings edited", edit(&datadog, json!({"datadog": {"region": "EU"}}))).await;
    meter.count("A policy edited", edit(&datadog, json!({"adoptionPolicy": "Adopt"}))).await;
    meter
        .count("A service's key rotated", async {
            world.secret("keys-datadog", &[("api", "fedcba9876543210fedcba9876540002")]).await;
            until_applied(&world, &datadog).await;
        })
        .await;
    meter
        .count("The Secret touched, the key as it was", async {
            world.patch("Secret", "keys-datadog", &json!({"metadata": {"labels": {"a": "b"}}})).await;
            until_applied(&world, &datadog).await;
        })
        .await;
    world.project.allow_key("rotated", PRIVATE_KEY);
    meter
        .count("The Atlas API key rotated", async {
            world.secret("atlas", &[("publicApiKey", "rotated")]).await;
            let used =
                || world.project.count(|e| e.credential.as_deref() == Some("rotated") && e.status == 200);
            until_true("a LIST with the new key", || used() > 0).await;
        })
        .await;
    meter
        .count("`reconcile-requested-at`", async {
            datadog.annotate("reconcile-requested-at", "now").await;
            let echoed = |object: &Value| object["status"]["lastHandledReconcileAt"] == "now";
            datadog.until("looked at", echoed).await;
        })
        .await;
    meter
        .count("`rewrite-requested-at`", async {
            datadog.annotate("rewrite-requested-at", "now").await;
            let echoed = |object: &Value| object["status"]["lastHandledRewriteAt"] == "now";
            datadog.until("rewritten", echoed).await;
        })
        .await;
    meter
        .count("Suspended", async {
            datadog.change(&json!({"suspend": true})).await;
            datadog.says("Suspended", "True").await;
        })
        .await;
    meter
        .count("Resumed", async {
            datadog.change(&json!({"suspend": false})).await;
            datadog.says("InSync", "True").await;
        })
        .await;
    let loser = world.object("loser");
    meter
        .count("A second object for the place (`Conflict`)", async {
            let sample = samples::of("DATADOG");
            world.secret("keys", &sample.secrets).await;
            world.integration("loser", &sample.spec).await;
            loser.reaches("False", "Conflict").await;
        })
        .await;
    loser.delete().await;
    operator.stop().await;
    let begun = world.project.exchanges().len();
    let mut started = None;
    meter
        .count("The operator restarted, nothing to do", async {
            started = Some(start(&world, LONG_RESYNC).await);
            let listed = || world.project.exchanges()[begun..].iter().any(|e| e.status == 200);
            until_true("a LIST of the new life", listed).await;
        })
        .await;
    meter
        .count("The Secret touched after a restart, the key as it was", async {
            world.patch("Secret", "keys-datadog", &json!({"metadata": {"labels": {"a": "c"}}})).await;
            until_applied(&world, &datadog).await;
        })
        .await;
    meter.costs
}

async fn until_applied(world: &World, object: &Object<'_>) {
    let secret = world.get("Secret", &format!("keys-{}", object.name())).await.unwrap();
    let version = &secret["metadata"]["resourceVersion"];
    let applied = |object: &Value| object["status"]["applied"]["secrets"][0]["resourceVersion"] == *version;
    object.until("up to date with its Secret", applied).await;
}

/// Each the only object of its project: where there are others, a LIST for them may follow.
async fn deletions() -> Vec<Cost> {
    let world = world("table-deletions").await;
    let _operator = start(&world, LONG_RESYNC).await;
    let mut costs = Vec::new();
    for (event, policy) in [("Deleted", "Delete"), ("Deleted with `Retain`", "Retain")] {
        let datadog = create(&world, "DATADOG", json!({"deletionPolicy": policy})).await;
        let mut meter = Meter::new(&world).await;
        meter.count(event, datadog.delete()).await;
        costs.append(&mut meter.costs);
    }
    costs
}

/// With all ten types of one project and key, over the version that shows them in one LIST.
async fn resyncs() -> Vec<Cost> {
    let world = world("table-resyncs").await;
    let _operator = start(&world, &["--atlas-api", "v1.0", "--resync-interval", "2s"]).await;
    let objects = world.synced_samples(samples::kinds()).await;
    let lists =
        |status: u16| world.project.count(|e| e.operation == Some(Operation::List) && e.status == status);
    let settled = lists(200);
    until_true("a resync after the last write", || lists(200) > settled + 1).await;
    let mut meter = Meter::running(&world);
    let begun = lists(200);
    meter
        .count_among_resyncs("A quiet resync, ten objects", async {
            until_true("resyncs", || lists(200) >= begun + 4).await;
        })
        .await;
    world.project.fault(Fault::new(Effect::Unavailable { retry_after: None }).at(Operation::List).always());
    meter
        .count_among_resyncs("Atlas unavailable for up to three resyncs", async {
            until_true("a failed LIST", || lists(503) >= 1).await;
        })
        .await;
    meter
        .count_among_resyncs("Atlas unavailable for longer, ten objects", async {
            for object in &objects {
                let unknown = |object: &Value| condition(object, "InSync")["status"] == "Unknown";
                object.until("said to be unknown", unknown).await;
            }
        })
        .await;
    world.project.clear_faults();
    meter
        .count_among_resyncs("Atlas available again, ten objects", async {
            for object in &objects {
                object.says("InSync", "True").await;
            }
        })
        .await;
    meter.costs
}

async fn drift() -> Vec<Cost> {
    let world = world("table-drift").await;
    let _operator = start(&world, RESYNC).await;
    let datadog = create(&world, "DATADOG", json!({})).await;
    let mut meter = Meter::running(&world);
    let repaired = async || {
        let repaired = |object: &Value| {
            world.project.stored_type("DATADOG").is_some_and(|stored| {
                stored["region"] == "US5" && stored["id"] == object["status"]["integration"]["id"]
            })
        };
        datadog.until("repaired", repaired).await;
    };
    resync(&world).await;
    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    meter.count_among_resyncs("A resync that finds it edited in Atlas", repaired()).await;
    resync(&world).await;
    world.project.remove_by_other("DATADOG");
    meter.count_among_resyncs("A resync that finds it deleted in Atlas", repaired()).await;
    resync(&world).await;
    let limited = Effect::RateLimitedTokenBucket { retry_after: Some(1) };
    world.project.fault(Fault::new(limited).at(Operation::List));
    meter.count_among_resyncs("A resync that Atlas answers with 429", resync(&world)).await;
    meter.costs
}

async fn adoption() -> Vec<Cost> {
    let world = world("table-adoption").await;
    let _operator = start(&world, &["--resync-interval", "1h", "--stall-after", "8s"]).await;
    create(&world, "OPS_GENIE", json!({})).await;
    world.project.replace_by_other(json!({"type": "DATADOG", "apiKey": FOREIGN_KEY, "region": "EU"}));
    let mut meter = Meter::new(&world).await;
    let datadog = world.object("datadog");
    meter
        .count("Created where something is (`AlreadyExists`)", async {
            world.sample("DATADOG").await;
            datadog.reaches("False", "AlreadyExists").await;
        })
        .await;
    meter
        .count("An outside cause has lasted for `--stall-after`", async {
            datadog.says("Stalled", "True").await;
        })
        .await;
    meter.count("Adopted by consent", edit(&datadog, json!({"adoptionPolicy": "Adopt"}))).await;
    meter.costs
}

async fn observing() -> Vec<Cost> {
    let world = world("table-observing").await;
    let _operator = start(&world, RESYNC).await;
    create(&world, "OPS_GENIE", json!({})).await;
    world.project.replace_by_other(json!({"type": "DATADOG", "apiKey": FOREIGN_KEY, "region": "EU"}));
    let mut meter = Meter::running(&world);
    resync(&world).await;
    let datadog = world.object("datadog");
    meter
        .count_among_resyncs("`Observe`: the first look", async {
            world.sample_with("DATADOG", &json!({"managementPolicy": "Observe"})).await;
            datadog.reaches("True", "Observed").await;
        })
        .await;
    resync(&world).await;
    meter.count_among_resyncs("`Observe`: a quiet resync", resync(&world)).await;
    world.project.edit("DATADOG", |stored| stored["region"] = "US3".into());
    meter
        .count_among_resyncs("`Observe`: a resync that finds it edited", async {
            let seen = |object: &Value| object["status"]["integration"]["region"] == "US3";
            datadog.until("seen", seen).await;
        })
        .await;
    meter.costs
}

async fn troubles() -> Vec<Cost> {
    let world = world("table-troubles").await;
    let _operator = start(&world, LONG_RESYNC).await;
    create(&world, "OPS_GENIE", json!({})).await;
    let mut meter = Meter::new(&world).await;
    world.project.fault(Fault::new(Effect::AppliedThenCut).at(Operation::Create));
    meter
        .count("Creation, and the answer of POST is lost", async {
            drop(create(&world, "DATADOG", json!({})).await);
        })
        .await;
    let limited = Effect::RateLimitedTokenBucket { retry_after: Some(1) };
    world.project.fault(Fault::new(limited).at(Operation::Update));
    let datadog = world.object("datadog");
    meter.count("429 at PUT", edit(&datadog, json!({"datadog": {"region": "EU"}}))).await;
    world.project.fault(Fault::new(Effect::error(400, "INVALID_ATTRIBUTE", "no")).at(Operation::Update));
    meter
        .count("Settings that Atlas refuses (`Rejected`)", async {
            datadog.change(&json!({"datadog": {"region": "US3"}})).await.reaches("False", "Rejected").await;
        })
        .await;
    meter.costs
}

async fn service_account() -> Vec<Cost> {
    let world = world("table-account").await;
    let _operator = start(&world, LONG_RESYNC).await;
    let (id, secret) = (format!("mdb_sa_id_{}", world.project.id()), "mdb_sa_sk_canary-client-secret");
    world.project.allow_service_account(&id, secret);
    world.secret("account", &[("clientId", &id), ("clientSecret", secret)]).await;
    let mut meter = Meter::new(&world).await;
    let account = json!({"credentialsSecretRef": {"name": "account"}});
    meter
        .count("The first object of a service account", async {
            drop(create(&world, "DATADOG", account).await);
        })
        .await;
    meter.costs
}
