//! Secrets that are missing, wrong, or late: the condition says which Secret and key, and all ends well without
//! another touch of the object.

use rstest::rstest;
use serde_json::json;

use crate::security::canary::assert_clean;
use crate::world::{PRIVATE_KEY, PUBLIC_KEY, World, condition, message, rules, until_true};

const KEY: &str = "fedcba9876543210fedcba9876540001";

fn datadog(name: &str, key: &str) -> serde_json::Value {
    json!({"type": "DATADOG", "datadog": {"apiKeySecretRef": {"name": name, "key": key}}})
}

#[rstest]
#[case::missing("missing", None, "SecretNotFound", "Secret keys does not exist in namespace")]
#[case::key_missing("key-missing", Some(vec![]), "SecretKeyMissing", "Secret keys has no key api; it has: no keys at all")]
#[case::wrong_key("wrong-key", Some(vec![("apikey", KEY)]), "SecretKeyMissing", "Secret keys has no key api; it has: apikey")]
#[case::empty("empty", Some(vec![("api", "")]), "SecretKeyInvalid", "key api of Secret keys is empty")]
#[case::two_lines("two-lines", Some(vec![("api", "one\ntwo")]), "SecretKeyInvalid", "key api of Secret keys contains a line break")]
#[case::long("long", Some(vec![("api", LONG)]), "SecretKeyInvalid", "key api of Secret keys is longer than 4096 bytes")]
#[tokio::test(flavor = "multi_thread")]
async fn settings(
    #[case] name: &str,
    #[case] first: Option<Vec<(&str, &str)>>,
    #[case] reason: &str,
    #[case] expected: &str,
) {
    let world = World::new(&format!("secret-{name}")).await;
    let _operator = world.operator(&["--stall-after", "2s", "--resync-interval", rules::rare_resync()]).await;
    if let Some(values) = &first {
        world.secret("keys", values).await;
    }
    let x = world.integration("x", &datadog("keys", "api")).await;
    let object = x.reaches("False", reason).await;
    let message = message(&object);
    assert!(message.contains(expected), "{message}");
    assert!(object["metadata"]["finalizers"].is_null(), "nothing is claimed before it can be written");
    x.until("stalled", |object| condition(object, "Stalled")["reason"] == reason).await;
    assert_eq!(world.project.stored(), Vec::<serde_json::Value>::new());

    world.secret("keys", &[("api", KEY)]).await;
    let object = x.synced().await;
    assert!(condition(&object, "Stalled").is_null() && condition(&object, "Reconciling").is_null());
    assert_eq!(world.stored_datadog("apiKey"), KEY);
}

/// 4097 bytes.
const LONG: &str = {
    const BYTES: [u8; 4097] = [b'a'; 4097];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

#[rstest]
#[case("lf", "\n")]
#[case("crlf", "\r\n")]
#[tokio::test(flavor = "multi_thread")]
async fn one_trailing_line_break_is_ignored(#[case] name: &str, #[case] ending: &str) {
    let world = World::new(&format!("secret-{name}")).await;
    let _operator = world.operator(&["--resync-interval", rules::rare_resync()]).await;
    world
        .secret(
            "atlas",
            &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", &format!("{PRIVATE_KEY}{ending}"))],
        )
        .await;
    world.secret("keys", &[("api", &format!("{KEY}{ending}"))]).await;
    world.integration("x", &datadog("keys", "api")).await.in_sync().await;
    assert_eq!(world.stored_datadog("apiKey"), KEY);
}

#[rstest]
#[case::missing("missing", None, "SecretNotFound", "Secret api-key does not exist")]
#[case::half("half", Some(vec![("publicApiKey", PUBLIC_KEY)]), "SecretKeyMissing", "has no key privateApiKey; it has: publicApiKey")]
#[case::wrong("wrong", Some(vec![("publicApiKey", PUBLIC_KEY), ("privateApiKey", "not-the-canaryPRIVATE")]), "Unauthorized", "check the API key or service account")]
#[case::half_account("half-account", Some(vec![("clientId", "mdb_sa_id_1")]), "SecretKeyMissing", "has no key clientSecret")]
#[case::both("both", Some(vec![("clientId", "mdb_sa_id_1"), ("publicApiKey", PUBLIC_KEY)]), "SecretKeyInvalid", "holds both an API key")]
#[case::wrong_account("wrong-account", Some(vec![("clientId", "mdb_sa_id_1"), ("clientSecret", "mdb_sa_sk_wrong")]), "Unauthorized", "check the API key or service account")]
#[tokio::test(flavor = "multi_thread")]
async fn credentials(
    #[case] name: &str,
    #[case] first: Option<Vec<(&str, &str)>>,
    #[case] reason: &str,
    #[case] expected: &str,
) {
    let world = World::new(&format!("credentials-{name}")).await;
    let _operator = world.operator(&["--resync-interval", rules::rare_resync()]).await;
    if let Some(values) = &first {
        world.secret("api-key", values).await;
    }
    world.secret("keys", &[("api", KEY)]).await;
    let mut object = world.manifest("x", &datadog("keys", "api"));
    object["spec"]["credentialsSecretRef"]["name"] = "api-key".into();
    world.create(&object).await;
    let x = world.object("x");
    let object = x.reaches("False", reason).await;
    let message = message(&object);
    assert!(message.contains(expected), "{message}");
    if first.is_some() {
        // Applying would merge the two forms.
        world.delete("Secret", "api-key").await;
    }
    world
        .secret(
            "api-key",
            &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY), ("orgId", "unused")],
        )
        .await;
    x.synced().await;
}

/// A service account does what an API key does: create, rotate, be rotated itself, delete; one token for it all.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_account() {
    const SECRET: &str = "mdb_sa_sk_canary-client-secret-1";
    const NEXT: &str = "mdb_sa_sk_canary-client-secret-2";
    let world = World::new("service-account").await;
    let flags = ["--resync-interval", rules::rare_resync(), "--log-level", "trace"];
    let operator = world.operator(&flags).await;
    world.project.allow_service_account("mdb_sa_id_1", SECRET);
    world
        .secret("account", &[("clientId", "mdb_sa_id_1"), ("clientSecret", SECRET), ("orgId", "unused")])
        .await;
    world.secret("keys", &[("api", KEY)]).await;
    let mut object = world.manifest("x", &datadog("keys", "api"));
    object["spec"]["credentialsSecretRef"]["name"] = "account".into();
    world.create(&object).await;
    let x = world.object("x");
    x.synced().await;
    let rotated = "fedcba9876543210fedcba9876540002";
    world.secret("keys", &[("api", rotated)]).await;
    world.until_stored("apiKey", rotated).await;
    assert!(world.project.exchanges().iter().all(|e| e.status == 200), "the token served every call");

    // The account's own secret is rotated: picked up by the next call, and nothing is written because of it.
    let writes = world.project.count(atlas_sim::Exchange::is_write);
    world.project.allow_service_account("mdb_sa_id_1", NEXT);
    world.project.expire_tokens("mdb_sa_id_1");
    world.secret("account", &[("clientId", "mdb_sa_id_1"), ("clientSecret", NEXT)]).await;
    let lists = world.project.exchanges().len();
    until_true("a LIST with the new secret", || world.project.exchanges().len() > lists).await;
    x.synced().await;
    assert_eq!(world.project.count(atlas_sim::Exchange::is_write), writes);
    x.delete().await;
    assert!(world.project.stored().is_empty());
    let (_, logs) = operator.stop().await;
    assert_clean("the log", &logs, &[SECRET, NEXT, KEY, rotated].map(str::to_owned));
}

/// With `--watch-secrets=false` Secrets are got, never listed or watched; a rotation is seen at the next resync.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_watch_of_secrets() {
    let world = World::new("unwatched-secrets").await;
    let operator = world.operator(&["--watch-secrets=false"]).await;
    let x = world.integration("x", &datadog("keys", "api")).await;
    x.reaches("False", "SecretNotFound").await;
    world.secret("keys", &[("api", KEY)]).await;
    x.synced().await;
    let other = KEY.replace("0001", "0002");
    world.secret("keys", &[("api", &other)]).await;
    world.until_stored("apiKey", &other).await;
    let requests = world.requests().into_iter().filter(|request| request.resource == "secrets");
    let verbs: std::collections::BTreeSet<String> = requests.map(|request| request.verb).collect();
    assert_eq!(verbs, ["get".to_owned()].into());
    assert!(!operator.logs().contains("watch of Secrets"), "nothing to warn of: {}", operator.logs());
}
