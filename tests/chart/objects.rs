//! Objects that were rendered, found by what they are.

use serde_json::Value;

/// Kind and name.
pub fn id(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// The object of this kind and name.
pub fn find<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    let ids: Vec<String> = objects.iter().map(id).collect();
    objects.iter().find(|object| id(object) == wanted).unwrap_or_else(|| panic!("no {wanted} in {ids:?}"))
}
