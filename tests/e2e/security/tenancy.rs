//! Tenants of one operator: nothing that one credential got or was refused serves or harms another.

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::{Api, Authentication, Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::json;

use crate::world::{Operator, PUBLIC_KEY, World, rules, until_true};

const WRONG: &str = "8f0d7c52-1a2b-4c3d-9e8f-canaryWRONG";
const LONG: &[&str] = &["--resync-interval", "1h"];

/// Two tenants who name the same project, each with the same Secrets for the samples DATADOG and OPS_GENIE.
async fn tenants(name: &str) -> (World, World) {
    let first = World::with_datadog_key(&format!("{name}-first")).await;
    let second = World::with_project(&format!("{name}-second"), first.project.id()).await;
    second.secret("keys", &samples::of("DATADOG").secrets).await;
    (first, second)
}

/// One operator for both.
async fn operator(first: &World, second: &World, flags: &[&str]) -> Operator {
    first.operator(&[&["--watch-namespace", &second.namespace], flags].concat()).await
}

/// The nonce of the challenge that a request answers, which is the same throughout a session.
fn nonce(exchange: &Exchange) -> String {
    let answer = exchange.header("authorization").unwrap();
    answer.split_once(" nonce=\"").unwrap().1.split('"').next().unwrap().to_owned()
}

/// The same public key, and in one namespace a private key that is wrong: whoever is looked at first, the one reads and
/// writes, and the other gets nothing by it.
#[rstest]
#[case::good_first("good-first", ["good", "bad"])]
#[case::bad_first("bad-first", ["bad", "good"])]
#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_no_credential(#[case] name: &str, #[case] order: [&str; 2]) {
    let (good, bad) = tenants(name).await;
    bad.secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", WRONG)]).await;
    let operator = operator(&good, &bad, LONG).await;
    let x = good.object("x");
    let spying = bad.object("spying");
    let creating = bad.object("creating");
    for tenant in order {
        if tenant == "good" {
            good.datadog("x").await;
            x.synced().await;
        } else {
            bad.integration("spying", &datadog(json!({"managementPolicy": "Observe"}))).await;
            bad.integration("creating", &samples::of("OPS_GENIE").spec).await;
            spying.reaches("False", "Unauthorized").await;
        }
    }
    // Both once more, in one pass.
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    spying.annotate("reconcile-requested-at", "1").await;
    let object = x.synced().await;
    assert_eq!(object["status"]["integration"]["region"], "EU");
    for name in ["spying", "creating"] {
        let object = bad.object(name).reaches("False", "Unauthorized").await;
        assert!(object["status"]["integration"].is_null(), "no echo: {object:#}");
        assert!(object["metadata"]["finalizers"].is_null(), "no claim: {object:#}");
    }
    let stored = good.project.stored();
    assert_eq!(stored.len(), 1, "{stored:#?}");
    assert_eq!(good.project.count(Exchange::is_write), 2, "POST and PUT of the one that may");
    // What refuses the one is no trouble of the other: the session that was there before is still good.
    spying.delete().await;
    creating.delete().await;
    let calls = good.project.exchanges().len();
    x.annotate("reconcile-requested-at", "1").await;
    x.until("looked at", |object| object["status"]["lastHandledReconcileAt"] == "1").await;
    let exchanges = good.project.exchanges();
    let (before, since) = exchanges.split_at(calls);
    let accepted = |exchanges: &[Exchange]| -> Vec<String> {
        exchanges.iter().filter(|exchange| exchange.authenticated).map(nonce).collect()
    };
    assert_eq!(accepted(since), accepted(before)[accepted(before).len() - 1..]);
    assert!(!operator.logs().contains("canaryWRONG"));
}

/// One project, two keys that may both: a LIST for each, so that each object shows what its own key may see.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_for_each_credential() {
    let (first, second) = tenants("two-keys").await;
    second.project.allow_key("second", "8f0d7c52-canaryPRIVATE-second");
    second
        .secret("atlas", &[("publicApiKey", "second"), ("privateApiKey", "8f0d7c52-canaryPRIVATE-second")])
        .await;
    let _operator = operator(&first, &second, LONG).await;
    let x_of_first = first.datadog("x").await.in_sync().await;
    let x_of_second = second.integration("x", &datadog(json!({"managementPolicy": "Observe"}))).await;
    x_of_second.reaches("True", "Observed").await;
    let calls = first.project.exchanges().len();
    x_of_first.annotate("reconcile-requested-at", "1").await;
    x_of_first.until("looked at", |object| object["status"]["lastHandledReconcileAt"] == "1").await;
    // An object has its step right after the LIST of its own credential.
    until_true("a LIST for each", || first.project.exchanges().len() >= calls + 2).await;
    let mut lists: Vec<_> = first.project.exchanges()[calls..]
        .iter()
        .map(|e| (e.operation, e.status, e.credential.clone().unwrap_or_default()))
        .collect();
    lists.sort_by(|a, b| a.2.cmp(&b.2));
    let list = |key: &str| (Some(Operation::List), 200, key.to_owned());
    assert_eq!(lists, [list(PUBLIC_KEY), list("second")]);

    // The one is revoked: the other goes on.
    second.project.revoke_key("second");
    x_of_second.annotate("reconcile-requested-at", "1").await.reaches("False", "Unauthorized").await;
    x_of_first.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    assert_eq!(first.stored_datadog("region"), "EU");
}

/// The last good key of a Secret that is gone serves the deletions of its own namespace and no other's.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_key_is_the_namespaces_own() {
    let (first, second) = tenants("last-good").await;
    let _operator = operator(&first, &second, &["--resync-interval", rules::rare_resync()]).await;
    first.datadog("x").await.in_sync().await;
    second.secret("ops", &samples::of("OPS_GENIE").secrets).await;
    let spec = json!({"type": "OPS_GENIE", "opsGenie": {"apiKeySecretRef": {"name": "ops", "key": "api"}}});
    let x_of_second = second.integration("x", &spec).await.in_sync().await;
    // The one's Secret holds a wrong key now, the other's is good and of the same name.
    second.secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", WRONG)]).await;
    x_of_second.reaches("False", "Unauthorized").await;
    x_of_second.begin_deletion().await;
    x_of_second.deletion_waits().await;
    assert_eq!(first.project.stored().len(), 2);
    second
        .secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", crate::world::PRIVATE_KEY)])
        .await;
    x_of_second.gone().await;
    until_true("the deletion in Atlas", || first.project.stored().len() == 1).await;
}

/// A service account whose token requests Atlas limits holds up nobody else who names the project.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_a_token_holds_up_nobody_else() {
    let (good, limited) = tenants("no-token").await;
    let (id, secret) = (format!("mdb_sa_id_{}", good.project.id()), "mdb_sa_sk_canary-client-secret");
    good.project.allow_service_account(&id, secret);
    limited.secret("account", &[("clientId", &id), ("clientSecret", secret)]).await;
    let limit = Effect::RateLimited { retry_after: Some(3_600) };
    let mut fault = Fault::new(limit).over(Api::OAuth).always();
    fault.when.authentication = Authentication::Any;
    good.project.fault(fault);
    let _operator = operator(&good, &limited, LONG).await;
    let account = json!({"credentialsSecretRef": {"name": "account"}});
    let x_of_limited = limited.integration("x", &datadog(account)).await;
    x_of_limited.reaches("False", "RateLimited").await;
    let x_of_good = good.datadog("x").await.in_sync().await;
    x_of_good.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    let strays = good.shared.sim.stray_exchanges();
    let asked = strays.iter().filter(|exchange| exchange.credential.as_deref() == Some(&*id)).count();
    assert_eq!(asked, 1, "the account itself is left alone");
}
