//! A canary in every secret field of every type is found nowhere but in Atlas: not in logs at trace level, not in
//! statuses, events, metrics, errors, nor in the output of a panic.

use std::process::Command;

use atlas_integration_operator::atlas::{Client, Credential, Key, Options, Session, VersionChoice};
use atlas_integration_operator::domain::{FieldValue, Integration, IntegrationType, MemoryKey, SecretValue};
use atlas_integration_operator::telemetry::{LogFormat, install};
use atlas_integration_stage::samples;
use atlas_sim::{Effect, Fault, Operation};

use crate::world::{PRIVATE_KEY, World, message};

/// The spellings in which a value could hide.
fn spellings(value: &str) -> Vec<String> {
    let json = serde_json::Value::from(value).to_string();
    let percent: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    // Within a longer text a value's groups may begin at its first byte, its second or its third.
    let base64 = (0..3).filter_map(|skipped| value.as_bytes().get(skipped..).map(base64));
    let plain = [value.to_owned(), json.trim_matches('"').to_owned(), percent];
    plain.into_iter().chain(base64).filter(|spelling| !spelling.is_empty()).collect()
}

/// A value within a longer text is found at each place.
#[test]
fn spellings_in_base64() {
    // `printf 'id:canary-client-secret' | base64` and so on.
    for text in [
        "Y2FuYXJ5LWNsaWVudC1zZWNyZXQ=",
        "OmNhbmFyeS1jbGllbnQtc2VjcmV0",
        "aWQ6Y2FuYXJ5LWNsaWVudC1zZWNyZXQ=",
        "aTpjYW5hcnktY2xpZW50LXNlY3JldDo=",
    ] {
        let found = spellings("canary-client-secret").iter().any(|spelling| text.contains(spelling));
        assert!(found, "{text}");
    }
}

/// Base64 without its last group, which depends on what follows.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let whole = bytes.chunks_exact(3);
    let group = |chunk: &[u8]| {
        let word = u32::from(chunk[0]) << 16 | u32::from(chunk[1]) << 8 | u32::from(chunk[2]);
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(word >> shift & 63) as usize]))
    };
    whole.flat_map(group).collect()
}

/// No spelling of any of these is in a text.
pub fn assert_clean(what: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        for spelling in spellings(secret) {
            assert!(!text.contains(&spelling), "{what} holds {spelling}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_by_any_way_but_to_atlas() {
    let world = World::new("canary").await;
    let operator = world.operator(&["--log-level", "trace"]).await;
    let mut secrets = vec![PRIVATE_KEY.to_owned()];
    let mut objects = Vec::new();
    for sample in samples::all() {
        secrets.extend(sample.secrets.iter().map(|(_, value)| (*value).to_owned()));
        // Atlas refuses the first write and repeats the whole request in its error.
        let echo = Fault::new(Effect::EchoBody).of_type(sample.kind).at(Operation::Create);
        world.project.fault(echo);
        objects.push((world.sample(sample.kind).await, sample));
    }
    for (object, sample) in &objects {
        let refused = object.reaches("False", "Rejected").await;
        let message = message(&refused);
        assert!(message.contains("****"), "{}: the error had something to scrub: {message}", sample.kind);
        assert_clean("an error's message", &refused.to_string(), &secrets);
    }
    for (object, sample) in &objects {
        object.change(&sample.edit.0).await;
        // The edit of Teams names the Secret `keys`; there it has to be too.
        world.secret("keys", &sample.secrets).await;
        object.synced().await;
    }
    assert_eq!(world.project.stored().len(), 10, "the keys did reach Atlas");

    let logs = operator.logs();
    assert!(logs.contains("\"level\":\"DEBUG\"") && logs.contains("planned"), "the logs are verbose");
    assert_clean("the log", &logs, &secrets);
    for kind in ["AtlasIntegration", "Event"] {
        let all = world.list(kind).await;
        assert!(all.len() >= 10);
        assert_clean(kind, &serde_json::to_string(&all).unwrap(), &secrets);
    }
    let metrics = operator.get("/metrics").await.unwrap();
    assert!(metrics.contains("atlas_integration_atlas_requests_total"));
    assert_clean("/metrics", &metrics, &secrets);
    let (_, logs) = operator.stop().await;
    assert_clean("the log", &logs, &secrets);
}

const PANICS: &str = "ATLAS_INTEGRATION_TEST_PANICS";

/// Not a test by itself: what [`a_panic_shows_no_secret`] runs in a process of its own.
#[test]
fn panicking_child() {
    if std::env::var_os(PANICS).is_none() {
        return;
    }
    install(LogFormat::Json, "trace".parse().unwrap()).unwrap();
    let secret = |text: &str| SecretValue::from_bytes(text.as_bytes()).unwrap();
    let values = [("apiKey", FieldValue::Secret(secret("canary-panic-key-0001")))];
    let integration = Integration::new(IntegrationType::VictorOps, values).unwrap();
    let key = MemoryKey::generate().unwrap();
    let fingerprint = key.fingerprint(["canary-panic-private-0001"]);
    let parts = Key::ApiKey { public_key: "public".into(), private_key: secret("canary-panic-private-0001") };
    let url = url::Url::parse("https://atlas.example").unwrap();
    let options = Options {
        url,
        version: VersionChoice::Auto,
        time_limit: std::time::Duration::from_secs(15),
        proxy: None,
    };
    let client = Client::new(options, std::sync::Arc::new(|_, _| {})).unwrap();
    let session = client.session(&Credential { key: parts, fingerprint });
    fn deep(integration: &Integration<SecretValue>, _session: &Session, body: &serde_json::Value) {
        assert!(body.is_object() && integration.secrets().len() == 1);
        panic!("provoked while secrets are held");
    }
    deep(&integration, &session, &integration.body());
}

#[test]
fn a_panic_shows_no_secret() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "security::canary::panicking_child", "--nocapture"])
        .env(PANICS, "1")
        .env("RUST_BACKTRACE", "full")
        .output()
        .unwrap();
    assert!(!output.status.success(), "it panicked");
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("provoked while secrets are held"), "{text}");
    assert_clean(
        "a panic",
        &text,
        &["canary-panic-key-0001".to_owned(), "canary-panic-private-0001".to_owned()],
    );
}
