//! Requests, held against the document, the create page, and the documentation of service accounts.

use serde_json::{Map, Value};

use super::document::{DOCUMENT, Way, check, resolve};
use super::{FORM, JSON, V2_TYPE, create_page};
use crate::exchange::{Api, Exchange, Scheme};

/// What is wrong with a request: nothing, if a client keeps to the contract.
///
/// A request without credentials is the first leg of HTTP digest: it must not carry its body, since nobody knows yet
/// who is going to read it, and Atlas would not.
pub fn problems_of_request(exchange: &Exchange) -> Vec<String> {
    let mut problems = Vec::new();
    match exchange.api {
        Api::V1 => v1(exchange, &mut problems),
        Api::V2 => v2(exchange, &mut problems),
        Api::OAuth => token(exchange, &mut problems),
        Api::Other => problems.push("not a path of Atlas's".to_owned()),
    }
    problems.into_iter().map(|problem| format!("{} {}: {problem}", exchange.method, exchange.path)).collect()
}

fn v2(exchange: &Exchange, problems: &mut Vec<String>) {
    let Some((template, given)) = template(&exchange.path) else {
        problems.push("the path is not in the document".to_owned());
        return;
    };
    let operation = &DOCUMENT["paths"][template][exchange.method.to_lowercase()];
    if operation.is_null() {
        problems.push("the method is not declared".to_owned());
        return;
    }
    let parameters: Vec<&Value> =
        operation["parameters"].as_array().into_iter().flatten().map(resolve).collect();
    let declared = |place: &str, name: &str| {
        parameters
            .iter()
            .find(|known| known["in"] == place && known["name"] == name)
            .map(|known| &known["schema"])
    };
    for (name, value) in given {
        match declared("path", name) {
            Some(schema) => check(Way::Request, name, &value.into(), schema, problems),
            None => problems.push(format!("{name} is not declared")),
        }
    }
    for (name, value) in query(exchange, problems) {
        match declared("query", &name) {
            Some(schema) => check(Way::Request, &name, &typed(&value, schema), schema, problems),
            None => problems.push(format!("query parameter {name} is not declared")),
        }
    }
    expect_header(exchange, "accept", V2_TYPE, problems);
    let content = &operation["requestBody"]["content"];
    if let Some(body) = body(exchange, !content.is_null(), V2_TYPE, problems) {
        check(Way::Request, "body", &Value::Object(body.clone()), &content[V2_TYPE]["schema"], problems);
    }
}

fn v1(exchange: &Exchange, problems: &mut Vec<String>) {
    let parts: Vec<&str> = exchange.path.split('/').collect();
    let (project, kind) = match parts.as_slice() {
        ["", "api", "atlas", "v1.0", "groups", project, "integrations"] => (project, None),
        ["", "api", "atlas", "v1.0", "groups", project, "integrations", kind] => (project, Some(*kind)),
        _ => {
            problems.push("not a path of integrations".to_owned());
            return;
        }
    };
    if project.len() != 24 || !project.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        problems.push("the project is not 24 hexadecimal digits".to_owned());
    }
    if let Some(kind) = kind.filter(|kind| !create_page::knows(kind)) {
        problems.push(format!("the page has no type {kind}"));
    }
    let with_body = match (&*exchange.method, kind) {
        ("GET", _) | ("DELETE", Some(_)) => false,
        ("POST" | "PUT", Some(_)) => true,
        _ => {
            problems.push("no such method here".to_owned());
            return;
        }
    };
    for (name, value) in query(exchange, problems) {
        create_page::check_query(&name, &value, problems);
    }
    expect_header(exchange, "accept", JSON, problems);
    if let (Some(body), Some(kind)) = (body(exchange, with_body, JSON, problems), kind) {
        create_page::check_body(kind, body, problems);
    }
}

/// The client credentials grant, as MongoDB documents it for service accounts.
fn token(exchange: &Exchange, problems: &mut Vec<String>) {
    if (&*exchange.method, &*exchange.path, &*exchange.query) != ("POST", "/api/oauth/token", "") {
        problems.push("not the request for a token".to_owned());
    }
    if exchange.scheme != Some(Scheme::Basic) {
        problems.push("id and secret go into HTTP basic".to_owned());
    }
    expect_header(exchange, "accept", JSON, problems);
    expect_header(exchange, "content-type", FORM, problems);
    if exchange.form.as_deref() != Some("grant_type=client_credentials") {
        problems.push("the form is not grant_type=client_credentials and nothing else".to_owned());
    }
}

/// The path of the document that fits, and what stands in the place of its parameters.
fn template(path: &str) -> Option<(&'static String, Vec<(&'static str, &str)>)> {
    let fits = |template: &'static str| {
        let (wanted, given): (Vec<&str>, Vec<&str>) =
            (template.split('/').collect(), path.split('/').collect());
        let mut parameters = Vec::new();
        for (wanted, given) in wanted.iter().zip(&given) {
            match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => parameters.push((name, *given)),
                None if wanted == given => {}
                None => return None,
            }
        }
        (wanted.len() == given.len()).then_some(parameters)
    };
    let mut templates = DOCUMENT["paths"].as_object()?.keys();
    templates.find_map(|template| fits(template).map(|parameters| (template, parameters)))
}

fn query(exchange: &Exchange, problems: &mut Vec<String>) -> Vec<(String, String)> {
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(exchange.query.as_bytes()).into_owned().collect();
    for (n, (name, _)) in pairs.iter().enumerate() {
        if pairs[..n].iter().any(|(before, _)| before == name) {
            problems.push(format!("query parameter {name} is there twice"));
        }
    }
    pairs
}

/// The text of a query parameter as the JSON that its schema speaks of; text stays what can't be read.
fn typed(text: &str, schema: &Value) -> Value {
    let read = match schema["type"].as_str() {
        Some("integer") => text.parse::<i64>().ok().map(Value::from),
        Some("boolean") => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    read.unwrap_or_else(|| text.into())
}

fn expect_header(exchange: &Exchange, name: &str, wanted: &str, problems: &mut Vec<String>) {
    let given: Vec<&str> =
        exchange.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
    if given != [wanted] {
        problems.push(format!("{name} is {given:?} instead of {wanted}"));
    }
}

/// The body, if there has to be one and it is an object with the type that the path names.
fn body<'a>(
    exchange: &'a Exchange,
    wanted: bool,
    media_type: &str,
    problems: &mut Vec<String>,
) -> Option<&'a Map<String, Value>> {
    let length = exchange.header("content-length").unwrap_or("0");
    let empty = exchange.body.is_none() && length == "0" && exchange.header("transfer-encoding").is_none();
    if exchange.scheme.is_none() || !wanted {
        if !empty {
            let why = if wanted { "without credentials" } else { "where none is declared" };
            problems.push(format!("a body {why}"));
        }
        return None;
    }
    expect_header(exchange, "content-type", media_type, problems);
    let Some(Value::Object(body)) = &exchange.body else {
        problems.push("the body is no JSON object".to_owned());
        return None;
    };
    if body.get("type").and_then(Value::as_str) != exchange.integration_type.as_deref() {
        problems.push(format!("type {:?} is not the one in the path", body.get("type")));
    }
    Some(body)
}
