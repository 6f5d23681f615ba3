//! The table of types, the blocks and the schema agree in every direction. These tests say what one of them leaves out.

use std::collections::BTreeSet;

use serde_json::Value;

use super::crd;
use crate::domain::{ENTRY, Field, FieldKind, Need, Redacted, RedactedValue, TYPES};

type Names = BTreeSet<String>;

fn schema() -> Value {
    let crd = serde_json::to_value(crd()).expect("serialises");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].clone()
}

fn properties(schema: &Value) -> Names {
    schema["properties"].as_object().expect("an object's schema").keys().cloned().collect()
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Names {
    names.into_iter().map(str::to_owned).collect()
}

/// What one side lacks of the other.
fn compare(what: &str, (left, in_left): (&str, &Names), (right, in_right): (&str, &Names)) -> Vec<String> {
    let lacks = |where_: &str, name: &String| format!("{what} {name:?} is missing in {where_}");
    let of_right = in_left.difference(in_right).map(|name| lacks(right, name));
    of_right.chain(in_right.difference(in_left).map(|name| lacks(left, name))).collect()
}

#[track_caller]
fn holds(found: &[String]) {
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_type_has_its_block_its_word_and_its_rule() {
    let spec = &schema()["spec"];
    let rows = names(TYPES.iter().map(|row| row.block));
    let is_block =
        |name: &String| spec["properties"][name]["type"] == "object" && name != "credentialsSecretRef";
    let blocks = properties(spec).into_iter().filter(is_block).collect();
    let mut found = compare("block", ("TYPES", &rows), ("AtlasIntegrationSpec", &blocks));

    let words = spec["properties"]["type"]["enum"].as_array().expect("an enum");
    let words = names(words.iter().filter_map(Value::as_str));
    found.extend(compare("type", ("TYPES", &names(TYPES.iter().map(|row| row.name))), ("spec.type", &words)));

    let rules = spec["x-kubernetes-validations"].as_array().expect("rules");
    let rules = names(rules.iter().filter_map(|rule| rule["rule"].as_str()));
    let wanted = TYPES.iter().map(|row| format!("has(self.{}) == (self.type == '{}')", row.block, row.name));
    found.extend(compare("rule", ("TYPES", &wanted.collect()), ("the rules of spec", &rules)));
    holds(&found);
}

#[test]
fn every_field_has_its_property_and_every_property_its_field() {
    let spec = &schema()["spec"];
    let mut found = Vec::new();
    for row in TYPES {
        let block = &spec["properties"][row.block];
        if block.is_null() {
            continue; // the test of the blocks says so
        }
        let (in_row, in_block) = (format!("the row of {}", row.name), format!("the block {}", row.block));
        let set = || row.fields.iter().filter_map(|field| field.spec.map(|name| (name, field)));
        let fields = names(set().map(|(name, _)| name));
        found.extend(compare("field", (&in_row, &fields), (&in_block, &properties(block))));

        let required = block["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let needed = set().filter(|(_, field)| field.need == Need::Required).map(|(name, _)| name);
        let what = "required field";
        found.extend(compare(what, (&in_row, &names(needed)), (&in_block, &names(required))));

        for (name, field) in set() {
            let property = &block["properties"][name];
            let fits = match field.kind {
                _ if property.is_null() => continue, // the comparison of the names says so
                FieldKind::Bool => property["type"] == "boolean",
                kind if kind.is_secret() => is_reference(property),
                // A number gets through to the rule that says to quote it.
                _ => property["type"] == "string" || property["x-kubernetes-int-or-string"] == true,
            };
            if !fits || property["nullable"] == true {
                found.push(format!("{in_row}: {name} is {:?}, {in_block} has {property}", field.kind));
            }
        }
    }
    holds(&found);
}

fn is_reference(property: &Value) -> bool {
    property["type"] == "object" && properties(property) == names(["name", "key"])
}

#[test]
fn every_field_is_in_the_echo() {
    let status = &schema()["status"]["properties"];
    let sent = &status["attempt"]["properties"]["sent"];
    let fields = || TYPES.iter().flat_map(|row| row.fields).chain(ENTRY);
    let rows = names(fields().map(|field| field.atlas));
    let mut found = Vec::new();
    for (place, echo) in [("status.integration", &status["integration"]), ("status.attempt.sent", sent)] {
        found.extend(compare("field", ("TYPES", &rows), (place, &properties(echo))));
        for field in fields() {
            let kind = if field.kind == FieldKind::Bool { "boolean" } else { "string" };
            if echo["properties"][field.atlas]["type"] != kind {
                found.push(format!("{place}: {} is no {kind}", field.atlas));
            }
        }
    }
    holds(&found);
}

/// `kubectl explain` breaks lines at its own width, and shows four words of an enum.
#[test]
fn descriptions_are_made_for_a_terminal() {
    fn ragged(path: &str, schema: &Value, found: &mut Vec<String>) {
        let text = schema["description"].as_str().unwrap_or_default();
        if text.replace("\n\n", "").contains('\n') {
            found.push(format!("{path}: {text:?}"));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            ragged(&format!("{path}.{name}"), property, found);
        }
        if !schema["items"].is_null() {
            ragged(&format!("{path}[]"), &schema["items"], found);
        }
    }
    let mut found = Vec::new();
    for (name, schema) in schema().as_object().expect("an object") {
        ragged(name, schema, &mut found);
    }
    holds(&found);
    let about = &schema()["spec"]["properties"]["type"]["description"];
    let about = about.as_str().expect("a description");
    assert!(TYPES.iter().all(|row| about.contains(row.name)), "{about}");
}

/// `status.integration` has one property for all fields of a name.
#[test]
fn fields_of_one_name_are_shown_alike() {
    let fields = || TYPES.iter().flat_map(|row| row.fields);
    let shown = |field: &Field| (field.about, field.kind == FieldKind::Bool);
    for field in fields() {
        for other in fields().filter(|other| other.atlas == field.atlas) {
            assert_eq!(shown(field), shown(other), "{}", field.atlas);
        }
        assert!(field.about.contains("{}") && field.about.ends_with('.'), "{}: {}", field.atlas, field.about);
    }
}

/// A status may hold what another version of the operator wrote.
#[test]
fn the_echo_holds_what_this_version_knows() {
    use super::IntegrationEcho;
    let text = |text: &str| RedactedValue::Text(text.to_owned());
    let form = |fields: &[(&str, RedactedValue)]| {
        Redacted(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    };
    let known = [("enabled", RedactedValue::Bool(true)), ("id", text("1")), ("region", text("US"))];
    let later = [&known[..], &[("ofALaterVersion", text("x"))]].concat();
    assert_eq!(IntegrationEcho::try_from(form(&later)), Ok(IntegrationEcho(form(&known))));
    assert!(IntegrationEcho::try_from(form(&[("enabled", text("true"))])).is_err());
    assert!(IntegrationEcho::try_from(form(&[("id", RedactedValue::Bool(true))])).is_err());
}
