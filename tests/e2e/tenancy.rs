//! Tenants of one operator: nothing that one credential got or was refused serves or harms another.

use atlas_sim::{Api, Authentication, Effect, Exchange, Fault, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::operator::Operator;
use crate::rules;
use crate::samples::{self, datadog};
use crate::world::{PUBLIC_KEY, World, until};

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

fn request(value: &str) -> Value {
    json!({"metadata": {"annotations": {"atlas-integrations.dev/reconcile-requested-at": value}}})
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
    for tenant in order {
        if tenant == "good" {
            good.create(&good.integration("x", &datadog(json!({})))).await;
            good.until_ready("x", "True", "Synced").await;
        } else {
            bad.create(&bad.integration("spying", &datadog(json!({"managementPolicy": "Observe"})))).await;
            bad.create(&bad.integration("creating", &samples::of("OPS_GENIE").spec)).await;
            bad.until_ready("spying", "False", "Unauthorized").await;
        }
    }
    // Both once more, in one pass.
    good.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    bad.patch("AtlasIntegration", "spying", &request("1")).await;
    let object = good.until_ready("x", "True", "Synced").await;
    assert_eq!(object["status"]["integration"]["region"], "EU");
    for name in ["spying", "creating"] {
        let object = bad.until_ready(name, "False", "Unauthorized").await;
        assert!(object["status"]["integration"].is_null(), "no echo: {object:#}");
        assert!(object["metadata"]["finalizers"].is_null(), "no claim: {object:#}");
    }
    let stored = good.project.stored();
    assert_eq!(stored.len(), 1, "{stored:#?}");
    assert_eq!(good.project.count(Exchange::is_write), 2, "POST and PUT of the one that may");
    // What refuses the one is no trouble of the other: its calls are answered, but for the first challenge.
    bad.delete("AtlasIntegration", "spying").await;
    bad.until_gone("spying").await;
    bad.delete("AtlasIntegration", "creating").await;
    bad.until_gone("creating").await;
    let calls = good.project.exchanges().len();
    good.patch("AtlasIntegration", "x", &request("1")).await;
    good.until("x", "looked at", |object| object["status"]["lastHandledReconcileAt"] == "1").await;
    let statuses: Vec<u16> = good.project.exchanges()[calls..].iter().map(|e| e.status).collect();
    assert_eq!(statuses, [200], "the session that was there before is still good");
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
    first.create(&first.integration("x", &datadog(json!({})))).await;
    first.until_ready("x", "True", "Synced").await;
    second.create(&second.integration("x", &datadog(json!({"managementPolicy": "Observe"})))).await;
    second.until_ready("x", "True", "Observed").await;
    let calls = first.project.exchanges().len();
    first.patch("AtlasIntegration", "x", &request("1")).await;
    first.until("x", "looked at", |object| object["status"]["lastHandledReconcileAt"] == "1").await;
    let mut lists: Vec<_> = first.project.exchanges()[calls..]
        .iter()
        .map(|e| (e.operation, e.status, e.credential.clone().unwrap_or_default()))
        .collect();
    lists.sort_by(|a, b| a.2.cmp(&b.2));
    let list = |key: &str| (Some(Operation::List), 200, key.to_owned());
    assert_eq!(lists, [list(PUBLIC_KEY), list("second")]);

    // The one is revoked: the other goes on.
    second.project.revoke_key("second");
    second.patch("AtlasIntegration", "x", &request("1")).await;
    second.until_ready("x", "False", "Unauthorized").await;
    first.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    first.until_ready("x", "True", "Synced").await;
    assert_eq!(first.project.stored_type("DATADOG").unwrap()["region"], "EU");
}

/// The last good key of a Secret that is gone serves the deletions of its own namespace and no other's.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_key_is_the_namespaces_own() {
    let (first, second) = tenants("last-good").await;
    let _operator = operator(&first, &second, &["--resync-interval", rules::rare_resync()]).await;
    first.create(&first.integration("x", &datadog(json!({})))).await;
    first.until_ready("x", "True", "Synced").await;
    second.secret("ops", &samples::of("OPS_GENIE").secrets).await;
    let spec = json!({"type": "OPS_GENIE", "opsGenie": {"apiKeySecretRef": {"name": "ops", "key": "api"}}});
    second.create(&second.integration("x", &spec)).await;
    second.until_ready("x", "True", "Synced").await;
    // The one's Secret holds a wrong key now, the other's is good and of the same name.
    second.secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", WRONG)]).await;
    second.until_ready("x", "False", "Unauthorized").await;
    second.delete("AtlasIntegration", "x").await;
    let waits = |object: &Value| crate::world::message(object).starts_with("deletion waits");
    second.until("x", "waiting", waits).await;
    assert_eq!(first.project.stored().len(), 2);
    second
        .secret("atlas", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", crate::world::PRIVATE_KEY)])
        .await;
    second.until_gone("x").await;
    until("the deletion in Atlas", || (first.project.stored().len() == 1).then_some(())).await;
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
    limited.create(&limited.integration("x", &datadog(account))).await;
    limited.until_ready("x", "False", "RateLimited").await;
    good.create(&good.integration("x", &datadog(json!({})))).await;
    good.until_ready("x", "True", "Synced").await;
    good.patch("AtlasIntegration", "x", &json!({"spec": {"datadog": {"region": "EU"}}})).await;
    good.until_ready("x", "True", "Synced").await;
    let strays = good.shared.sim.stray_exchanges();
    let asked = strays.iter().filter(|exchange| exchange.credential.as_deref() == Some(&*id)).count();
    assert_eq!(asked, 1, "the account itself is left alone");
}
