//! Redacts the entries that Atlas returns.

use serde_json::{Map, Number, Value};

use crate::domain::{FieldKind, IntegrationType, Redacted, RedactedValue};

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
}
