//! Secrets that are missing, wrong, or late: the condition says which Secret and key, and all ends well without
//! another touch of the object.

use std::io::Write;
use std::process::{Command, Stdio};

use atlas_sim::{Effect, Fault as Outage, Operation};
use rstest::rstest;
use serde_json::json;

use crate::security::canary::assert_clean;
use crate::world::proxy::{Fault, Proxy, Request, Side};
use crate::world::rules::SECRETS_WATCHED;
use crate::world::{PRIVATE_KEY, PUBLIC_KEY, World, condition, message, rules, until_true};

const KEY: &str = "fedcba9876543210fedcba9876540001";

fn datadog(name: &str, key: &str) -> serde_json::Value {
    json!({"type": "DATADOG", "datadog": {"apiKeySecretRef": {"name": name, "key": key}}})
}

#[rstest]
#[case::missing("missing", None, "SecretNotFound", ABSENT)]
#[case::key_missing("key-missing", Some(vec![]), "SecretKeyMissing", "Secret keys has no key api; it has: no keys at all")]
#[case::wrong_key("wrong-key", Some(vec![("apikey", KEY)]), "SecretKeyMissing", "Secret keys has no key api; it has: apikey")]
#[case::empty("empty", Some(vec![("api", "")]), "SecretKeyInvalid", "key api of Secret keys is empty; store the value in it")]
#[case::two_lines("two-lines", Some(vec![("api", "one\ntwo")]), "SecretKeyInvalid", "key api of Secret keys has a line break in it; copy the key again")]
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

/// A Secret is created, or corrected, while the operator reads it for the first time. The answer to that read shows the
/// state before, and nothing but the watch tells of the change: neither a resync nor a look for stalling comes in time.
#[rstest]
#[case::settings_created("settings-created", "keys", &[], &[("api", KEY)], "SecretNotFound")]
#[case::settings_corrected("settings-corrected", "keys", &[("apikey", KEY)], &[("api", KEY)], "SecretKeyMissing")]
#[case::settings_rotated("settings-rotated", "keys", &[("api", OLD_KEY)], &[("api", KEY)], "Synced")]
#[case::credentials_created("credentials-created", "late", &[], API_KEY, "SecretNotFound")]
#[case::credentials_corrected("credentials-corrected", "late", &[("publicApiKey", PUBLIC_KEY)], API_KEY, "SecretKeyMissing")]
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_changes_while_it_is_read(
    #[case] name: &str,
    #[case] secret: &'static str,
    #[case] before: &[(&str, &str)],
    #[case] after: &[(&str, &str)],
    #[case] said: &str,
) {
    let world = World::new(&format!("read-{name}")).await;
    let proxy = Proxy::start(&world).await;
    let _operator =
        proxy.operator(&world, &["--resync-interval", "1h", "--stall-after", "1h", SECRETS_WATCHED]).await;
    // An object of another project, to see that the watch of Secrets has brought what came before.
    let mut other = datadog("marker", "api");
    other["projectId"] = "5d791c84ff7a252200000000".into();
    other["credentialsSecretRef"]["name"] = "marker".into();
    let marker = world.integration("marker", &other).await;
    marker.reaches("False", "SecretNotFound").await;
    if secret == "late" {
        world.secret("keys", &[("api", KEY)]).await;
    }
    if !before.is_empty() {
        world.secret(secret, before).await;
    }
    let read = format!("/secrets/{secret}");
    proxy.fault(move |r| r.side == Side::Cluster && r.path.ends_with(&read), 0, 1, Fault::Held);
    let mut spec = datadog("keys", "api");
    spec["credentialsSecretRef"]["name"] = if secret == "late" { "late" } else { "atlas" }.into();
    let x = world.integration("x", &spec).await;
    proxy.until_hit(1).await;

    world.secret(secret, after).await;
    world.secret("marker", &[("another", "key")]).await;
    marker.reaches("False", "SecretKeyMissing").await;
    proxy.let_go();
    x.synced().await;
    world.until_stored("apiKey", KEY).await;
    let said = format!("\"{said}\"");
    let first =
        |request: &Request| request.path.ends_with("/x/status") && request.body.to_string().contains(&said);
    assert!(proxy.count(first) > 0, "the first read showed the state before");
}

const OLD_KEY: &str = "fedcba9876543210fedcba9876540009";
const API_KEY: &[(&str, &str)] = &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY)];

/// A Secret with wrong credentials costs one read for each of its states, however many objects and passes need it. The
/// watch of Secrets is what tells that it is still the same.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_read_once() {
    let world = World::with_datadog_key("secret-read-once").await;
    world.secret("half", &[("publicApiKey", PUBLIC_KEY)]).await;
    let _operator = world.operator(&[SECRETS_WATCHED]).await;
    let mut spec = datadog("keys", "api");
    spec["credentialsSecretRef"] = json!({"name": "half"});
    let mut objects = Vec::new();
    for n in 0..8 {
        objects.push(world.integration(&format!("x-{n}"), &spec).await);
    }
    for object in &objects {
        object.reaches("False", "SecretKeyMissing").await;
    }
    let reads = || {
        let of_secret = |event: &&control_plane::AuditEvent| event.verb == "get" && event.name == "half";
        world.requests().iter().filter(of_secret).count()
    };
    // Each new object makes one more pass over all of them.
    for name in ["one", "two"] {
        world.integration(name, &spec).await.reaches("False", "SecretKeyMissing").await;
    }
    assert_eq!(reads(), 1, "one read of one state");
    world.secret("half", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", "")]).await;
    for object in &objects {
        object.reaches("False", "SecretKeyInvalid").await;
    }
    assert_eq!(reads(), 2, "another state");
    world.secret("half", &[("publicApiKey", PUBLIC_KEY), ("privateApiKey", PRIVATE_KEY)]).await;
    until_true("the one that owns the place in Atlas", || world.project.stored().len() == 1).await;
    assert_eq!(reads(), 3);
}

const ABSENT: &str = "; create it, and the operator continues automatically (an object uses the Secrets of its own \
                      namespace only)";

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
#[case::half("half", Some(vec![("publicApiKey", PUBLIC_KEY)]), "SecretKeyMissing",
    "Secret api-key has no key privateApiKey; it has: publicApiKey; add the key")]
#[case::other_names("other-names", Some(vec![("publicKey", PUBLIC_KEY), ("privateKey", PRIVATE_KEY)]), "SecretKeyMissing",
    "Secret api-key needs the keys publicApiKey and privateApiKey (an API key), or clientId and clientSecret (a service \
     account); it has: privateKey, publicKey; rename its keys, add the missing ones, or refer to another Secret")]
#[case::other_case("other-case", Some(vec![("PublicApiKey", PUBLIC_KEY), ("privateapikey", PRIVATE_KEY)]), "SecretKeyMissing",
    "Secret api-key needs the keys publicApiKey and privateApiKey (an API key), or clientId and clientSecret (a service \
     account); it has: PublicApiKey, privateapikey; rename its keys, add the missing ones, or refer to another Secret")]
#[case::no_keys("no-keys", Some(vec![]), "SecretKeyMissing",
    "Secret api-key needs the keys publicApiKey and privateApiKey (an API key), or clientId and clientSecret (a service \
     account); it has: no keys at all; rename its keys, add the missing ones, or refer to another Secret")]
#[case::echoed("echoed", Some(vec![("publicApiKey", "abcdefgh \n"), ("privateApiKey", "\u{feff}8f0d7c52-canaryPRIVATE")]), "SecretKeyInvalid",
    "(1) key publicApiKey of Secret api-key ends with a space; copy the key again and store it alone, without spaces and \
     without characters that are not ASCII. (2) key privateApiKey of Secret api-key begins with a byte order mark \
     (U+FEFF); copy the key again and store it alone, without spaces and without characters that are not ASCII")]
#[case::account_as_key("account-as-key", Some(vec![("publicApiKey", "mdb_sa_id_1"), ("privateApiKey", "mdb_sa_sk_canaryPRIVATE")]), "SecretKeyInvalid",
    "Secret api-key holds a service account (a value begins with mdb_sa_) under the names of an API key; name its keys \
     clientId and clientSecret")]
#[case::swapped_account("swapped-account", Some(vec![("clientSecret", "mdb_sa_id_1"), ("clientId", "mdb_sa_sk_canaryPRIVATE")]), "SecretKeyInvalid",
    "Secret api-key has the values of clientId and clientSecret swapped; exchange them")]
#[case::half_and_quoted("half-and-quoted", Some(vec![("clientSecret", "\"mdb_sa_sk_canaryPRIVATE\"")]), "SecretKeyMissing",
    "(1) Secret api-key has no key clientId; it has: clientSecret; add the key. (2) key clientSecret of Secret api-key is \
     in quotes; store the value without them")]
#[case::wrong("wrong", Some(vec![("publicApiKey", PUBLIC_KEY), ("privateApiKey", "not-the-canaryPRIVATE")]), "Unauthorized", "check publicApiKey and privateApiKey in that Secret")]
#[case::half_account("half-account", Some(vec![("clientId", "mdb_sa_id_1")]), "SecretKeyMissing", "has no key clientSecret")]
#[case::both("both", Some(vec![("clientId", "mdb_sa_id_1"), ("publicApiKey", PUBLIC_KEY)]), "SecretKeyInvalid", "holds both an API key")]
#[case::wrong_account("wrong-account", Some(vec![("clientId", "mdb_sa_id_1"), ("clientSecret", "mdb_sa_sk_wrong")]), "Unauthorized", "correct clientId and clientSecret in that Secret")]
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
    assert!(!object.to_string().contains("canaryPRIVATE"), "{object:#}");
    if reason != "Unauthorized" {
        assert_eq!(world.project.exchanges().len(), 0, "no call");
    }
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

/// What is stored in place of a value, one after another: each is told in words that name Secret and key and nothing of
/// the value, and Atlas hears of none. The right value ends it.
#[rstest]
#[case::key("OPS_GENIE", "api", "canary-opsgenie-right-0001", &[
    ("\u{feff}canary-opsgenie-wrong-0001", "begins with a byte order mark (U+FEFF); copy the key again and store it alone, \
      without spaces and without characters that are not ASCII"),
    ("canary-opsgenie-wrong-0001\u{200b}", "ends with a zero-width space (U+200B); copy the key again and store it alone, \
      without spaces and without characters that are not ASCII"),
    ("canary-opsgenie-wrong-0001\u{a0}", "ends with a no-break space (U+00A0); copy the key again and store it alone, \
      without spaces and without characters that are not ASCII"),
    ("canary-opsgenie-wrong-0001 \n", "ends with a space; copy the key again and store it alone, without spaces and \
      without characters that are not ASCII"),
    ("\"canary-opsgenie-wrong-0001\"", "is in quotes; store the value without them"),
    ("{\"apiKey\":\"canary-opsgenie-wrong-0001\"}", "is a JSON object; put the value alone into the key"),
    ("Y2FuYXJ5LW9wc2dlbmllLXdyb25nLTAwMDE=", "is encoded as Base64 twice; encode the value once in the Secret's data, or \
      store it as it is in stringData"),
])]
#[case::url("WEBHOOK", "url", "https://hooks.example.com/canary-webhook-right-0001", &[
    ("https:hooks.example.com/canary-webhook-wrong-0001", "lacks // after https:; write both slashes"),
    ("https:/hooks.example.com/canary-webhook-wrong-0001", "lacks // after https:; write both slashes"),
    (" https://hooks.example.com/canary-webhook-wrong-0001", "begins with a space; store the URL alone, without that"),
    ("https://hooks.example.com/canary webhook-wrong-0001", "has a space in it; correct the URL: replace placeholders, percent-encode such characters if they belong to it (a space is %20), and write the host in ASCII (xn--)"),
    ("hooks.example.com/canary-webhook-wrong-0001", "does not begin with https:// or http://; store the whole URL, \
      including its https:// or http://"),
])]
#[case::password("PROMETHEUS", "password", " canary-prometheus-right-0001 ", &[
    ("canary-prometheus-wrong-0001\u{feff}", "ends with a byte order mark (U+FEFF); store the value alone, without that"),
])]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_value_of_its_field(
    #[case] kind: &str,
    #[case] key: &str,
    #[case] right: &str,
    #[case] wrong: &[(&str, &str)],
) {
    let world = World::new(&format!("no-value-{}", key)).await;
    let operator = world.operator(&["--resync-interval", rules::rare_resync(), "--log-level", "trace"]).await;
    let mut sample = atlas_integration_stage::samples::all();
    sample.retain(|sample| sample.kind == kind);
    world.secret("keys", &sample[0].secrets).await;
    for (at, (value, expected)) in wrong.iter().enumerate() {
        world.secret("keys", &[(key, value)]).await;
        if at == 0 {
            world.integration("x", &sample[0].spec).await;
        }
        let expected = format!("key {key} of Secret keys {expected}");
        let says_it = |object: &serde_json::Value| message(object) == expected;
        let object = world.object("x").until(&expected, says_it).await;
        assert_eq!(condition(&object, "Ready")["reason"], "SecretKeyInvalid");
    }
    assert_eq!(world.atlas_writes(), Vec::<String>::new());
    world.secret("keys", &[(key, right)]).await;
    let object = world.object("x").synced().await;
    let (field, value) = sample[0]
        .stored
        .as_object()
        .unwrap()
        .iter()
        .find(|(_, value)| sample[0].secrets.iter().any(|(name, old)| *name == key && *value == old))
        .unwrap();
    let stored = world.project.stored_type(kind).unwrap();
    assert_eq!(stored[field], right, "in place of {value}");
    let canaries: Vec<String> = [
        "canary-opsgenie-wrong-0001",
        "canary-webhook-wrong-0001",
        "canary-prometheus-wrong-0001",
        "Y2FuYXJ5LW9wc2dlbmllLXdyb25nLTAwMDE=",
    ]
    .map(str::to_owned)
    .to_vec();
    assert_clean("the object", &object.to_string(), &canaries);
    assert_clean("an Event", &serde_json::to_string(&world.list("Event").await).unwrap(), &canaries);
    let (_, logs) = operator.stop().await;
    assert_clean("the log", &logs, &canaries);
}

/// The command of docs/conditions.md, as it stands there.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_seen_in_a_value_is_shown_without_the_value() {
    let world = World::new("invisible-bytes").await;
    world.secret("keys", &[("api", "\u{feff}canary-opsgenie-wrong-0001 \u{a0}\n")]).await;
    let page = include_str!("../../../docs/conditions.md");
    let command =
        page.lines().map(str::trim).find(|line| line.starts_with("kubectl get secret NAME")).unwrap();
    let (get, pipe) = command.split_once(" | ").unwrap();
    let get = get.replace("NAME", "keys").replace("KEY", "api").replace('\'', "");
    let mut args: Vec<&str> = get.split(' ').skip(1).collect();
    args.extend(["-n", &world.namespace]);
    let encoded = world.shared.kubectl(&args);
    let mut shell =
        Command::new("sh").args(["-c", pipe]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(encoded.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown.trim(), "ef bb bf 20 c2 a0 0a");
}

/// Whatever is wrong with the Secrets of an object is told in one message, and its reason is what comes first.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_is_told_at_once() {
    let world = World::new("all-at-once").await;
    let _operator = world.operator(&["--resync-interval", rules::rare_resync()]).await;
    let reference = |name: &str, key: &str| json!({"name": name, "key": key});
    world.secret("keys", &[("read", "canary-newrelic-read-0001\u{a0}")]).await;
    let x = world
        .integration(
            "x",
            &json!({"type": "NEW_RELIC", "newRelic": {
        "accountId": "1234567", "licenseKeySecretRef": reference("elsewhere", "license"),
        "writeTokenSecretRef": reference("keys", "write"), "readTokenSecretRef": reference("keys", "read")}}),
        )
        .await;
    let object = x.reaches("False", "SecretNotFound").await;
    let absent = format!("Secret elsewhere does not exist in namespace {}{ABSENT}", world.namespace);
    let missing = "Secret keys has no key write; it has: read; add the key, or correct the reference";
    let invalid = "key read of Secret keys ends with a no-break space (U+00A0); copy the key again and store it alone, \
                   without spaces and without characters that are not ASCII";
    assert_eq!(message(&object), format!("(1) {absent}. (2) {missing}. (3) {invalid}"));

    world.secret("elsewhere", &[("license", "canary-newrelic-license-0001")]).await;
    let object = x.reaches("False", "SecretKeyMissing").await;
    assert_eq!(message(&object), format!("(1) {missing}. (2) {invalid}"));

    world.secret("keys", &[("write", "canary-newrelic-write-0001")]).await;
    let object = x.reaches("False", "SecretKeyInvalid").await;
    assert_eq!(message(&object), invalid);
    assert_eq!(world.atlas_writes(), Vec::<String>::new());

    world.secret("keys", &[("read", "canary-newrelic-read-0001")]).await;
    x.synced().await;
}

/// FreeMarker makes JSON of a template when an alert fires, and not before: the operator passes it on as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_headers_need_not_be_json() {
    let world = World::new("freemarker").await;
    let _operator = world.operator(&["--resync-interval", rules::rare_resync()]).await;
    let first = "<#if typeName == \"HOST\">{\"X-Kind\": \"host\"}<#else>{}</#if>";
    let second = "{\n\t\"X-Token\": \"canary-header-0001\",\n\t\"X-Count\": ${eventCount}\n}";
    world.secret("keys", &[("url", "https://hooks.example.com/x"), ("headers", first)]).await;
    let reference = |key: &str| json!({"name": "keys", "key": key});
    let x = world
        .integration(
            "x",
            &json!({"type": "WEBHOOK", "webhook": {
        "urlSecretRef": reference("url"), "headersTemplateSecretRef": reference("headers")}}),
        )
        .await;
    x.synced().await;
    let stored = || world.project.stored_type("WEBHOOK").unwrap_or_default()["headersTemplate"].clone();
    assert_eq!(stored(), first);
    world.secret("keys", &[("headers", &format!("{second}\n"))]).await;
    until_true("the second template in Atlas", || stored() == second).await;
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

/// With `--watch-secrets=false` Secrets are got, never listed or watched; a rotation is seen at the next resync, also
/// while the object is suspended.
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
    x.synced().await;
    x.change(&json!({"suspend": true})).await.says("Suspended", "True").await;
    x.reaches("True", "Synced").await;
    world.secret("keys", &[("api", KEY)]).await;
    x.reaches("False", "Suspended").await;
    x.change(&json!({"suspend": false})).await.synced().await;
    assert_eq!(world.stored_datadog("apiKey"), KEY);
    let requests = world.requests().into_iter().filter(|request| request.resource == "secrets");
    let verbs: std::collections::BTreeSet<String> = requests.map(|request| request.verb).collect();
    assert_eq!(verbs, ["get".to_owned()].into());
    assert!(!operator.logs().contains("watch of Secrets"), "nothing to warn of: {}", operator.logs());
}

/// A Secret that is not watched changes while Atlas is unavailable: the object does not say that all is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_in_an_outage_without_a_watch() {
    let world = World::with_datadog_key("unwatched-outage").await;
    let _operator = world.operator(&["--watch-secrets=false"]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.fault(Outage::new(Effect::Unavailable { retry_after: None }).at(Operation::List).always());
    let failed = || world.project.count(|e| e.status == 503);
    until_true("two LISTs that fail", || failed() >= 2).await;
    x.reaches("True", "Synced").await;
    let other = KEY.replace("0001", "0002");
    world.secret("keys", &[("api", &other)]).await;
    x.reaches("False", "AtlasUnavailable").await;
    world.project.clear_faults();
    world.until_stored("apiKey", &other).await;
    x.synced().await;
}
