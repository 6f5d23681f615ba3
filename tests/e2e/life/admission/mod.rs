//! What the API server lets in, by the CRD alone (no operator runs here): which objects are refused and what a person
//! is told, which are stored and exactly as what, and what `kubectl explain` and `kubectl get` show.
//!
//! The cases are tables of text, so that they can be read as such. A row's columns are parted by ` | `, and the last
//! may stand on an indented line of its own. A change is JSON, laid over the minimal spec of its type: `"<gone>"`
//! removes a field, `"<81 x>"` is 81 times x, and null is null.

mod accepted;
mod rejected;
mod shown;

use atlas_integration_operator::api::AtlasIntegration;
use atlas_integration_stage::samples;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::world::World;

/// Splits a table into rows of `N` columns; an indented line is the last column of the row above.
fn rows<const N: usize>(table: &'static str) -> Vec<[&'static str; N]> {
    let mut rows: Vec<Vec<&str>> = vec![];
    for line in table.lines().filter(|line| !line.is_empty()) {
        match (line.strip_prefix("    "), rows.last_mut()) {
            (Some(message), Some(row)) => row.push(message),
            _ => rows.push(line.split(" | ").collect()),
        }
    }
    assert!(!rows.is_empty());
    rows.into_iter()
        .map(|row| row.try_into().unwrap_or_else(|row| panic!("not {N} columns: {row:?}")))
        .collect()
}

/// Lays a change over a value; unlike a merge patch it can set null.
fn lay(over: &mut Value, change: &Value) {
    match change {
        Value::Object(fields) if over.is_object() => {
            for (name, change) in fields {
                if change == "<gone>" {
                    over.as_object_mut()
                        .unwrap()
                        .remove(name)
                        .unwrap_or_else(|| panic!("{name} is not there"));
                } else {
                    lay(&mut over[name], change);
                }
            }
        }
        Value::Object(_) => {
            *over = json!({});
            lay(over, change);
        }
        Value::String(text) if text.starts_with('<') => {
            let (count, what) = text[1..].strip_suffix('>').unwrap().split_once(' ').unwrap();
            *over = what.repeat(count.parse().unwrap()).into();
        }
        _ => *over = change.clone(),
    }
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// The least that a type needs.
fn minimal(kind: &str) -> Value {
    samples::of(kind).least()
}

/// The name of the type's block.
fn block(kind: &str) -> String {
    samples::of(kind).block().to_owned()
}

/// The minimal object of a type with a change.
fn changed(world: &World, name: &str, kind: &str, change: &Value) -> Value {
    let mut object = world.manifest(name, &minimal(kind));
    lay(&mut object["spec"], change);
    object
}

/// Puts a changed object in the place of the stored one.
async fn replace(world: &World, object: &Value) -> Result<DynamicObject, kube::Error> {
    let name = object["metadata"]["name"].as_str().unwrap();
    api(world).replace(name, &PostParams::default(), &serde_json::from_value(object.clone()).unwrap()).await
}

fn api(world: &World) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<AtlasIntegration>(&());
    Api::namespaced_with(world.client.clone(), &world.namespace, &resource)
}

/// Runs kubectl in the world's namespace, and answers its stdout, or its stderr when it fails.
async fn kubectl(world: &World, args: &[&str], stdin: &str) -> Result<String, String> {
    let (shared, stdin) = (world.shared, stdin.to_owned());
    let args: Vec<String> =
        ["--namespace", &world.namespace].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    let run = move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        shared.plane.kubectl_stdin(&args, &stdin)
    };
    tokio::task::spawn_blocking(run).await.unwrap().map_err(|error| match error {
        control_plane::Error::Kubectl { stderr, .. } => stderr,
        other => panic!("{other}"),
    })
}

/// What a refusal says of the fields, without the name of the object before it, and without the remark after it that
/// later rules were not looked at.
fn complaint<T>(answer: Result<T, kube::Error>) -> String {
    let status = match answer {
        Ok(_) => return "it was accepted".into(),
        Err(kube::Error::Api(status)) => status,
        Err(other) => return other.to_string(),
    };
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"), "{}", status.message);
    let (_, said) = status.message.split_once(" is invalid: ").unwrap();
    let said = said.strip_prefix('[').and_then(|said| said.strip_suffix(']')).unwrap_or(said);
    let remark = ", <nil>: Invalid value: null: some validation rules were not checked because the object was \
                  invalid; correct the existing errors to complete validation";
    said.strip_suffix(remark).unwrap_or(said).to_owned()
}

/// Gathers what is not as expected, so that one run shows all of it.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    /// An expectation that ends in `…` is only the beginning of what must be found.
    fn expect(&mut self, what: &str, found: &str, expected: &str) {
        let fits = expected.strip_suffix('…').map_or(found == expected, |begin| found.starts_with(begin));
        if !fits {
            self.0.push(format!("{what}\n  expected: {expected}\n  found:    {found}"));
        }
    }

    fn none(self) {
        assert!(self.0.is_empty(), "{} not as expected:\n{}", self.0.len(), self.0.join("\n"));
    }
}
