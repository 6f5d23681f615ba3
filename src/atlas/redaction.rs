//! Redacts the entries that Atlas returns, and scrubs secrets from its texts.

use serde_json::{Map, Number, Value};

use crate::domain::{FieldKind, IntegrationType, Redacted, RedactedValue, plain};

/// Texts of Atlas in a message are cut at this many characters.
const MAX_DETAIL: usize = 400;

/// The redacted form of an entry: known fields of its type only, nulls and empty secrets left out.
pub(crate) fn redact_entry(kind: IntegrationType, entry: &Map<String, Value>) -> Redacted {
    let mut fields = std::collections::BTreeMap::new();
    for field in kind.shown_fields() {
        let value = match (entry.get(field.atlas), field.kind) {
            (Some(Value::Bool(flag)), FieldKind::Bool) => RedactedValue::Bool(*flag),
            (Some(Value::String(text)), FieldKind::Bool) => match text.trim().to_ascii_lowercase().parse() {
                Ok(flag) => RedactedValue::Bool(flag),
                Err(_) => continue,
            },
            // A mask in its place would say that Atlas holds a secret.
            (Some(Value::String(text)), kind) if kind.is_secret() && text.is_empty() => continue,
            (Some(Value::String(text)), kind) => kind.redact(text),
            // An account id has been seen as a number.
            (Some(Value::Number(number)), FieldKind::Text) => FieldKind::Text.redact(&digits(number)),
            _ => continue,
        };
        fields.insert(field.atlas.to_owned(), value);
    }
    Redacted(fields)
}

/// A number as people write it: `1234567`, also where JSON has `1234567.0` or `1.234567e6`.
fn digits(number: &Number) -> String {
    match number.as_f64().filter(|float| !number.is_u64() && float.fract() == 0.0) {
        Some(float) => format!("{float:.0}"),
        None => number.to_string(),
    }
}

/// Prepares a text of Atlas for people: removes the secrets of the request in every spelling in which an error may
/// repeat them, removes control characters, and limits the length.
pub(super) fn scrub<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    // Longest first: a secret may be the beginning of another.
    let mut secrets: Vec<&str> = secrets.into_iter().filter(|secret| !secret.is_empty()).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mask = |text: String, secret: &str| {
        let json = Value::from(secret).to_string();
        let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let spellings = [secret, json.trim_matches('"'), &percent, &percent.replace('+', "%20")];
        spellings.into_iter().fold(text, |text, spelling| text.replace(spelling, "****"))
    };
    let text = secrets.iter().fold(text.to_owned(), |text, secret| mask(text, secret));
    // Removing unshown characters can join a secret that they had broken up, so it is scrubbed again.
    let plainly = |text: &str| plain(text, usize::MAX);
    let left = secrets.iter().map(|secret| plainly(secret)).filter(|secret| !secret.is_empty());
    plain(&left.fold(plainly(&text), |text, secret| mask(text, &secret)), MAX_DETAIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flowdock_and_new_relic_come_back_in_clear_and_leave_masked() {
        let entry = serde_json::json!({"apiToken": "1234567890", "flowName": "myFlowName", "orgName": "myOrg",
            "type": "FLOWDOCK", "unknown": "1234567890", "id": null});
        let shown = redact_entry(IntegrationType::Flowdock, entry.as_object().expect("an object"));
        let text = serde_json::to_string(&shown).expect("serialises");
        assert_eq!(
            text,
            r#"{"apiToken":"****","flowName":"myFlowName","orgName":"myOrg","type":"FLOWDOCK"}"#
        );
        let entry = serde_json::json!({"accountId": 12345, "licenseKey": "0123456789abcdef0123"});
        let shown = redact_entry(IntegrationType::NewRelic, entry.as_object().expect("an object"));
        assert_eq!(
            serde_json::to_string(&shown).expect("serialises"),
            r#"{"accountId":"12345","licenseKey":"****0123"}"#
        );
        for (number, text) in
            [("2857404", "2857404"), ("2857404.0", "2857404"), ("2.857404e+06", "2857404"), ("-1.5", "-1.5")]
        {
            let entry = format!(r#"{{"accountId": {number}, "readToken": "", "writeToken": null}}"#);
            let entry: Value = serde_json::from_str(&entry).expect("JSON");
            let shown = redact_entry(IntegrationType::NewRelic, entry.as_object().expect("an object"));
            let expected = serde_json::json!({"accountId": text});
            assert_eq!(serde_json::to_value(&shown).expect("serialises"), expected, "{number}");
        }
    }

    #[test]
    fn a_flag_as_a_text_is_a_flag() {
        let shown = |value: Value| {
            let entry = serde_json::json!({"sendDatabaseMetrics": value});
            redact_entry(IntegrationType::Datadog, entry.as_object().expect("an object"))
                .0
                .into_values()
                .next()
        };
        assert_eq!(shown("true".into()), Some(RedactedValue::Bool(true)));
        assert_eq!(shown("FALSE".into()), Some(RedactedValue::Bool(false)));
        for value in [Value::Null, "".into(), "on".into(), "****".into(), 1.into()] {
            assert_eq!(shown(value), None);
        }
    }

    #[test]
    fn texts_lose_secrets_in_every_spelling() {
        let secret = "a\"b/c d";
        let text = r#"raw a"b/c d, json a\"b/c d, query a%22b%2Fc+d, path a%22b%2Fc%20d"#;
        let clean = scrub(text, [secret, ""]);
        assert_eq!(clean, "raw ****, json ****, query ****, path ****");
        assert_eq!(scrub("key abcdef", ["abc", "abcdef"]), "key ****");
        assert_eq!(scrub("a\u{1b}[31m\r\nb", []), "a[31mb");
        assert_eq!(scrub("key abc\0def", ["abcdef"]), "key ****");
        assert_eq!(scrub(&"x".repeat(9_999), []).len(), MAX_DETAIL);
    }
}
