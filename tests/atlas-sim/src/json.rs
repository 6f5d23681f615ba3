//! Writing JSON the way Atlas does: keys in alphabetical order with `type` last (recorded answers), compact or pretty.
//!
//! `serde_json` alone cannot promise an order: which map it uses depends on features that another crate may switch on.

use serde_json::{Map, Value};

/// The text of a value.
pub fn text(value: &Value, pretty: bool) -> String {
    let mut out = String::new();
    write(&mut out, value, if pretty { Some(0) } else { None });
    out
}

/// `indent` is the current depth; without it the text is compact.
fn write(out: &mut String, value: &Value, indent: Option<usize>) {
    match value {
        Value::Object(map) => write_object(out, map, indent),
        Value::Array(items) => write_array(out, items, indent),
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn write_object(out: &mut String, map: &Map<String, Value>, indent: Option<usize>) {
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by_key(|key| (key.as_str() == "type", key.as_str()));
    if keys.is_empty() {
        out.push_str(if indent.is_some() { "{ }" } else { "{}" });
        return;
    }
    let inner = indent.map(|depth| depth + 1);
    out.push('{');
    for (position, key) in keys.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        new_line(out, inner);
        out.push_str(&Value::from(key.as_str()).to_string());
        out.push_str(if indent.is_some() { " : " } else { ":" });
        write(out, map.get(key).unwrap_or(&Value::Null), inner);
    }
    new_line(out, indent);
    out.push('}');
}

/// Lists stay on the line that they begin on, as in the recorded pretty answers' style (Jackson's).
fn write_array(out: &mut String, items: &[Value], indent: Option<usize>) {
    let (open, between, close) = if indent.is_some() { ("[ ", ", ", " ]") } else { ("[", ",", "]") };
    if items.is_empty() {
        out.push_str(if indent.is_some() { "[ ]" } else { "[]" });
        return;
    }
    out.push_str(open);
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push_str(between);
        }
        write(out, item, indent);
    }
    out.push_str(close);
}

fn new_line(out: &mut String, indent: Option<usize>) {
    if let Some(depth) = indent {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn keys_are_alphabetical_and_type_is_last() {
        let value = json!({"url": "u", "type": "WEBHOOK", "bodyTemplate": null, "id": "1"});
        assert_eq!(text(&value, false), r#"{"bodyTemplate":null,"id":"1","url":"u","type":"WEBHOOK"}"#);
    }

    #[test]
    fn pretty_text_keeps_lists_on_their_line() {
        let value = json!({"links": [{"rel": "self"}], "results": [], "totalCount": 0});
        let wanted = "{\n  \"links\" : [ {\n    \"rel\" : \"self\"\n  } ],\n  \"results\" : [ ],\n  \"totalCount\" : 0\n}";
        assert_eq!(text(&value, true), wanted);
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(text(&json!({"a\"b": "c\nd"}), false), r#"{"a\"b":"c\nd"}"#);
    }
}
