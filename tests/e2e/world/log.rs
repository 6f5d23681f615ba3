//! What every line of the operator's log has to be, whatever a test is about.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// One JSON object of which no key stands twice: most readers keep the last and lose the other.
struct Line(Map<String, Value>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Line, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Line;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Line, A::Error> {
                let mut line = Map::new();
                while let Some((key, value)) = entries.next_entry::<String, Value>()? {
                    if line.insert(key.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("the key {key} stands twice")));
                    }
                }
                Ok(Line(line))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// Whether this is the id of a project, the first that stands in the text.
fn project_in(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_hexdigit())
        .find(|word| word.len() == 24 && word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// What is wrong with the lines of a log in JSON. Of an operator that was killed the last line may be cut.
pub fn problems(log: &str) -> Vec<String> {
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let mut problems = Vec::new();
    let mut lines = Vec::new();
    for text in whole.lines() {
        match serde_json::from_str::<Line>(text) {
            Ok(Line(line)) => lines.push((text, line)),
            Err(error) => problems.push(format!("{error}: {text}")),
        }
    }
    // The project of an object whose spec can't be read is not known. Of some such objects the API server does not even
    // store a status, since the spec breaks the schema's rules.
    let message = |line: &Map<String, Value>| line.get("message").and_then(Value::as_str).map(str::to_owned);
    let breaks_rules =
        |line| message(line).is_some_and(|text| text.contains("is invalid: [spec: Invalid value"));
    let unreadable: HashSet<&str> = lines
        .iter()
        .filter(|(_, line)| {
            line.get("reason").is_some_and(|reason| reason == "InvalidSpec") || breaks_rules(line)
        })
        .filter_map(|(_, line)| line.get("object")?.as_str())
        .collect();
    for (text, line) in &lines {
        let ours = line
            .get("target")
            .and_then(Value::as_str)
            .is_some_and(|target| target.starts_with("atlas_integration_operator"));
        if let Some(object) = line.get("object").and_then(Value::as_str)
            && !unreadable.contains(object)
        {
            for key in ["project", "type"] {
                if line.get(key).and_then(Value::as_str).is_none() {
                    problems.push(format!("it is about an object and has no {key}: {text}"));
                }
            }
        }
        let message = line.get("message").and_then(Value::as_str).unwrap_or_default();
        if ours
            && project_in(message).is_some()
            && !line.contains_key("project")
            && !line.contains_key("secret")
        {
            problems.push(format!("it speaks of a project and has no key for it: {text}"));
        }
    }
    problems
}

#[test]
fn a_bad_line_is_found() {
    let good = r#"{"target":"atlas_integration_operator::x","object":"a/b","project":"5d791c84ff7a2522cc4f9aa1","type":"SLACK","message":"m"}"#;
    assert_eq!(problems(&format!("{good}\n{{\"cut")), Vec::<String>::new());
    for (bad, said) in [
        (r#"{"message":"a","message":"b"}"#, "stands twice"),
        ("plain text", "expected value"),
        (r#"{"object":"a/b","project":"5d791c84ff7a2522cc4f9aa1","message":"m"}"#, "has no type"),
        (
            r#"{"target":"atlas_integration_operator","message":"LIST of project 5d791c84ff7a2522cc4f9aa1"}"#,
            "speaks of a project",
        ),
    ] {
        let found = problems(&format!("{bad}\n"));
        assert!(found.len() == 1 && found[0].contains(said), "{found:?}");
    }
}
