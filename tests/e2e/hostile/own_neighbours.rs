//! Attacks by a tenant who keeps the operator busy. The operator has one worker, and the victim is in another namespace
//! and project: each of its edits reaches Atlas while the attack goes on, after few calls for the attacker.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use atlas_integration_stage::samples::{self, datadog};
use serde_json::json;

use crate::hostile::tenant::Tenant;
use crate::world::{World, until_true};

/// Repeats `step` until the victim's edits are through. A pass for the attacker costs a LIST and a write.
async fn beside(name: &str, step: impl AsyncFn(&Tenant, &World, usize)) {
    let victim = World::with_datadog_key(name).await;
    let attacker = World::with_datadog_key(&format!("{name}-eve")).await;
    let eve = Tenant::of(&attacker).await;
    let flags = ["--watch-namespace", attacker.namespace.as_str(), "--concurrency", "1"];
    let long = ["--resync-interval", "1h", "--log-level", "info"];
    let _operator = victim.operator(&[&flags[..], &long].concat()).await;
    victim.datadog("x").await.in_sync().await;
    attacker.datadog("own").await.in_sync().await;
    let (running, steps) = (AtomicBool::new(true), AtomicUsize::new(0));
    let attack = async {
        while running.load(Ordering::Relaxed) {
            step(&eve, &attacker, steps.load(Ordering::Relaxed)).await;
            steps.fetch_add(1, Ordering::Relaxed);
        }
    };
    let edits = async {
        for region in ["EU", "US3", "EU"] {
            let from = steps.load(Ordering::Relaxed);
            until_true("more of the attack", || steps.load(Ordering::Relaxed) >= from + 20).await;
            let before = attacker.project.exchanges().len();
            victim.object("x").change(&json!({"datadog": {"region": region}})).await;
            victim.until_stored("region", region).await;
            let calls = attacker.project.exchanges().len() - before;
            assert!(calls <= 8, "{calls} calls for the attacker while the victim's edit waited");
        }
        running.store(false, Ordering::Relaxed);
    };
    tokio::join!(attack, edits);
    victim.object("x").synced().await;
}

/// Objects without credentials that come and go.
#[tokio::test(flavor = "multi_thread")]
async fn o40_objects_that_come_and_go() {
    beside("own-churn", async |eve, world, step| {
        let name = format!("x-{step}");
        let spec = datadog(json!({"credentialsSecretRef": {"name": "none"}}));
        eve.create(&world.manifest(&name, &spec)).await.unwrap();
        eve.delete("AtlasIntegration", &name).await.unwrap();
    })
    .await;
}

/// Requests by annotation, to look and to write.
#[tokio::test(flavor = "multi_thread")]
async fn o41_requests_without_an_end() {
    beside("own-asking", async |eve, _, step| {
        let annotations = json!({"atlas-integrations.dev/reconcile-requested-at": step.to_string(),
            "atlas-integrations.dev/rewrite-requested-at": step.to_string()});
        eve.patch("AtlasIntegration", "own", &json!({"metadata": {"annotations": annotations}}))
            .await
            .unwrap();
    })
    .await;
}

/// An object that is suspended, observed and managed in turns.
#[tokio::test(flavor = "multi_thread")]
async fn o42_policies_that_flap() {
    beside("own-flapping", async |eve, _, step| {
        let policies = [
            json!({"suspend": true}),
            json!({"suspend": false, "managementPolicy": "Observe"}),
            json!({"managementPolicy": "Manage"}),
        ];
        eve.patch("AtlasIntegration", "own", &json!({"spec": policies[step % 3]})).await.unwrap();
    })
    .await;
}

/// A Secret that is there and is not, with another value each time.
#[tokio::test(flavor = "multi_thread")]
async fn o43_a_secret_that_flaps() {
    beside("own-flapping-secret", async |eve, _, step| {
        let value = format!("fedcba9876543210fedcba98765{:05}", step % 100_000);
        eve.secret("keys", &[("api", &value)]).await.unwrap();
        if step % 3 == 0 {
            eve.delete("Secret", "keys").await.unwrap();
        }
    })
    .await;
}

/// Credentials that are good and bad in turns, in the Secret that the object names.
#[tokio::test(flavor = "multi_thread")]
async fn o44_credentials_that_flap() {
    beside("own-flapping-key", async |eve, _, step| {
        let good = [crate::world::PRIVATE_KEY, "8f0d7c52-canaryPRIVATE-wrong"][step % 2];
        let values = [("publicApiKey", crate::world::PUBLIC_KEY), ("privateApiKey", good)];
        eve.secret("atlas", &values).await.unwrap();
    })
    .await;
}

/// Labels, annotations and finalizers that change and mean nothing.
#[tokio::test(flavor = "multi_thread")]
async fn o45_changes_that_mean_nothing() {
    beside("own-noise", async |eve, _, step| {
        let noise = "n".repeat(10_000);
        let change = json!({"metadata": {"labels": {"step": step.to_string()},
            "annotations": {"noise": format!("{step}{noise}"), "more": noise}}});
        eve.patch("AtlasIntegration", "own", &change).await.unwrap();
        eve.patch("Secret", "keys", &change).await.unwrap();
    })
    .await;
}

/// Deletions that can't succeed, since their credentials are gone.
#[tokio::test(flavor = "multi_thread")]
async fn o46_deletions_that_wait_for_ever() {
    beside("own-waiting-deletions", async |eve, world, step| {
        if step == 0 {
            world.sample("OPS_GENIE").await.in_sync().await;
            eve.delete("Secret", "atlas").await.unwrap();
            eve.secret("atlas", &[("publicApiKey", "none"), ("privateApiKey", "8f0d7c52-canaryPRIVATE-x")])
                .await
                .unwrap();
            eve.delete("AtlasIntegration", &samples::of("OPS_GENIE").name()).await.unwrap();
        }
        let asked = json!({"metadata": {"annotations":
            {"atlas-integrations.dev/reconcile-requested-at": step.to_string()}}});
        let _ = eve.patch("AtlasIntegration", &samples::of("OPS_GENIE").name(), &asked).await;
    })
    .await;
}
