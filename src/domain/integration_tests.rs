//! The references, the stored forms and the visible differences of an integration's settings.

use super::*;

fn key(name: &str, key: &str) -> FieldValue<SecretKey> {
    FieldValue::Secret(SecretKey { name: name.into(), key: key.into() })
}

fn new<S>(
    kind: IntegrationType,
    values: impl IntoIterator<Item = (&'static str, FieldValue<S>)>,
) -> Integration<S> {
    Integration::new(kind, values).expect("values that fit")
}

fn webhook() -> Integration<SecretKey> {
    let values = [
        ("url", key("hook", "url")),
        ("secret", key("hook", "signing")),
        ("bodyTemplate", "x".into()),
        ("headersTemplate", key("additional", "headers")),
    ];
    new(IntegrationType::Webhook, values)
}

fn datadog() -> Integration<SecretKey> {
    let values = [
        ("apiKey", key("datadog", "apiKey")),
        ("region", "EU".into()),
        ("sendCollectionLatencyMetrics", true.into()),
        ("sendDatabaseMetrics", false.into()),
    ];
    new(IntegrationType::Datadog, values)
}

/// Statuses hold these hashes: with another one, the next release would write every integration again.
#[test]
fn the_hash_of_a_configuration_stays_over_releases() {
    assert_eq!(webhook().config_hash(), "dd67b5c054eb02af7dbdf57152e367e8");
    assert_eq!(datadog().config_hash(), "5453a7dfa788fe31b1251c2da8d468f9");
}

#[test]
fn every_key_is_read_and_each_secret_is_watched_once() {
    let keys: Vec<String> =
        webhook().secret_keys().iter().map(|key| format!("{}/{}", key.name, key.key)).collect();
    assert_eq!(keys, ["hook/url", "hook/signing", "additional/headers"]);
    assert_eq!(webhook().secret_names(), ["additional", "hook"]);
}

fn read() -> Integration<SecretValue> {
    webhook()
        .try_map(|field, key| match field.atlas {
            "url" => SecretValue::from_bytes(b"https://example.com/T0K3N"),
            _ => SecretValue::from_bytes(key.key.as_bytes()),
        })
        .unwrap_or_else(|e| panic!("{e}"))
}

/// The operator scrubs all of them from texts. Texts that stand in the spec in clear are not among them.
#[test]
fn the_secrets_are_the_values_that_were_read() {
    let read = read();
    let values: Vec<&str> = read.secrets().into_iter().map(SecretValue::expose).collect();
    assert_eq!(values, ["https://example.com/T0K3N", "signing", "headers"]);
}

#[test]
fn one_value_that_can_not_be_used_is_enough() {
    let bad = webhook().try_map(|field, _| match field.atlas {
        "secret" => Err("is empty"),
        _ => Ok(()),
    });
    assert_eq!(bad, Err("is empty"));
}

#[test]
fn the_redacted_form_names_every_value_and_shows_none_that_is_secret() {
    let form = serde_json::to_value(read().redacted()).expect("a form");
    let expected = serde_json::json!({
        "type": "WEBHOOK",
        "url": "https://example.com/****",
        "secret": "****",
        "bodyTemplate": "1 characters, sha256 2d711642b726b044",
        "headersTemplate": "****",
    });
    assert_eq!(form, expected);
}

fn shown(fields: &[(&'static str, RedactedValue)]) -> Redacted {
    Redacted(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn text(text: &str) -> RedactedValue {
    RedactedValue::Text(text.to_owned())
}

#[test]
fn a_template_differs_visibly_by_its_hash_and_can_not_be_compared_with_a_mask() {
    let takeover = |template: &str| {
        webhook().takeover(&shown(&[("bodyTemplate", FieldKind::Template.redact(template))]))
    };
    assert!(takeover("x").changes.is_empty());
    assert!(!takeover("x").untold.contains(&"bodyTemplate".to_owned()));
    assert_eq!(takeover("y").changes, ["bodyTemplate"]);
    assert!(takeover("******").changes.is_empty(), "masked");
    assert!(takeover("******").untold.contains(&"bodyTemplate".to_owned()));
}

/// Each group of names: what differs, what the spec does not name, what nothing tells.
#[test]
fn a_takeover_changes_resets_and_leaves_open() {
    let flag = |flag| RedactedValue::Bool(flag);
    let same = [
        ("region", text("EU")),
        ("sendCollectionLatencyMetrics", flag(true)),
        ("sendDatabaseMetrics", flag(false)),
        ("sendQueryStatsMetrics", flag(false)),
        ("apiKey", text("****cdef")),
    ];
    let groups = |entry: &[(&'static str, RedactedValue)]| {
        let Takeover { changes, resets, untold } = datadog().takeover(&shown(entry));
        [changes, resets, untold].map(|names| names.join(" "))
    };
    assert_eq!(groups(&same), ["", "", "apiKey"]);
    let mut other = same.clone();
    other[0].1 = text("US");
    other[2].1 = flag(true);
    other[3].1 = flag(true);
    assert_eq!(groups(&other), ["region sendDatabaseMetrics", "sendQueryStatsMetrics", "apiKey"]);
    // What Atlas does not show is left open, unless the spec asks for what Atlas leaves out by default.
    assert_eq!(groups(&[]), ["", "", "apiKey region sendCollectionLatencyMetrics"]);
}

/// The schema cannot demand a field that only one version of the API demands, so the version checks for it.
#[test]
fn a_slack_without_what_a_version_demands_lacks_it() {
    let slack = |values: &[(&'static str, &str)]| {
        let texts = values.iter().map(|(name, text)| (*name, FieldValue::from(*text)));
        new(IntegrationType::Slack, texts.chain([("apiToken", key("slack", "token"))]))
    };
    let lacks = |slack: &Integration<SecretKey>, need| slack.lacks(need).map(|field| field.atlas);
    let bare = slack(&[]);
    assert_eq!((lacks(&bare, Need::V1), lacks(&bare, Need::V2)), (Some("teamName"), Some("channelName")));
    let team = slack(&[("teamName", "t")]);
    assert_eq!((lacks(&team, Need::V1), lacks(&team, Need::V2)), (None, Some("channelName")));
    let both = slack(&[("teamName", "t"), ("channelName", "c")]);
    assert_eq!((lacks(&both, Need::V1), lacks(&both, Need::V2)), (None, None));
    assert_eq!(lacks(&both, Need::Required), None);
}
