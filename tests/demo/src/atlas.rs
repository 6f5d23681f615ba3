//! The simulator's two projects: what they hold, how often they were called, and how that is shown.

use std::collections::BTreeMap;

use atlas_sim::{Exchange, Operation, Project};
use serde_json::Value;

/// The project of the ten objects.
pub const PROJECT: &str = "5d791c84ff7a2522cc4f9aa1";
/// The project of `manifests/steps/staging.yaml`.
pub const STAGING: &str = "5d791c84ff7a2522cc4f9bb2";
/// The API key of `manifests/1-atlas-api.yaml`.
pub const PUBLIC_KEY: &str = "madeupkey";
/// Its private part.
pub const PRIVATE_KEY: &str = "00000000-made-4up0-demo-000000000000";

/// Fields that may be shown. Whatever else there is counts as secret.
const VISIBLE: [&str; 13] = [
    "accountId",
    "bodyTemplate",
    "channelName",
    "enabled",
    "flowName",
    "id",
    "orgName",
    "region",
    "routingKey",
    "serviceDiscovery",
    "teamName",
    "type",
    "username",
];

/// The fields of an entry, without flags that are off and what is not set.
fn fields(entry: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let set = |(_, value): &(&str, &Value)| !matches!(value, Value::Null | Value::Bool(false));
    entry.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).filter(set)
}

/// The value of a secret field.
fn secret<'a>(name: &str, value: &'a Value) -> Option<&'a str> {
    value.as_str().filter(|_| !VISIBLE.contains(&name))
}

/// The secret values of an entry: of each its longest word, which of a URL or a template is the secret part.
pub fn secrets(entry: &Value) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let longest = |value: &str| value.split(|c| !is_word(c)).max_by_key(|word| word.len()).map(str::to_owned);
    fields(entry).filter_map(|(name, value)| secret(name, value).and_then(longest)).collect()
}

/// As YAML, in the order of names.
pub fn yaml(entry: &Value) -> Vec<String> {
    let object: BTreeMap<_, _> = entry.as_object().into_iter().flatten().collect();
    object.into_iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect()
}

/// A table of all entries, secrets masked.
pub fn table(projects: &[&Project]) -> Vec<Vec<String>> {
    let mut rows = vec![["PROJECT", "TYPE", "HOLDS"].map(str::to_owned).to_vec()];
    for project in projects {
        for entry in project.stored() {
            let shown = fields(&entry).filter(|(name, _)| !matches!(*name, "id" | "type"));
            let shown = shown.map(|(name, value)| match secret(name, value) {
                Some(secret) => format!("{name}={}", mask(name, secret)),
                None => format!("{name}={}", plain(value)),
            });
            let holds = shown.collect::<Vec<_>>().join(" ");
            rows.push(vec![short(project.id()), plain(&entry["type"]), holds]);
        }
    }
    rows
}

/// The end of a project's id.
fn short(id: &str) -> String {
    format!("...{}", id.get(id.len().saturating_sub(4)..).unwrap_or(id))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The last four characters, and of a URL scheme and host, as Atlas itself masks; of passwords and templates,
/// which it does not mask, nothing.
fn mask(name: &str, value: &str) -> String {
    if matches!(name, "password" | "headersTemplate") {
        return "****".to_owned();
    }
    let skip = value.chars().count().saturating_sub(4);
    let last: String = value.chars().skip(skip).collect();
    match value.split_once("://") {
        Some((scheme, rest)) => {
            format!("{scheme}://{}/****{last}", rest.split('/').next().unwrap_or_default())
        }
        None => format!("****{last}"),
    }
}

/// How often Atlas was called.
#[derive(Debug, PartialEq, Eq)]
pub struct Calls {
    /// GET of all integrations of a project.
    pub list: usize,
    /// POST.
    pub create: usize,
    /// PUT.
    pub update: usize,
    /// DELETE.
    pub delete: usize,
    /// Requests that only fetched a digest challenge.
    pub challenges: usize,
    /// Anything else: refused, or not one of these.
    pub other: usize,
}

impl Calls {
    /// The calls that all projects have seen.
    pub fn of(projects: &[&Project]) -> Calls {
        let all: Vec<Exchange> = projects.iter().flat_map(|project| project.exchanges()).collect();
        let done = |operation| {
            let fits = |exchange: &&Exchange| {
                exchange.operation == Some(operation) && (200..300).contains(&exchange.status)
            };
            all.iter().filter(fits).count()
        };
        let [list, create, update, delete] =
            [Operation::List, Operation::Create, Operation::Update, Operation::Delete].map(done);
        let challenged = |exchange: &&Exchange| exchange.status == 401 && exchange.credential.is_none();
        let challenges = all.iter().filter(challenged).count();
        let other = all.len() - list - create - update - delete - challenges;
        Calls { list, create, update, delete, challenges, other }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_manifests_name_this_key_and_these_projects() {
        let credentials = include_str!("../manifests/1-atlas-api.yaml");
        assert!(credentials.contains(PUBLIC_KEY) && credentials.contains(PRIVATE_KEY));
        assert!(include_str!("../manifests/datadog.yaml").contains(PROJECT));
        assert!(include_str!("../manifests/steps/staging.yaml").contains(STAGING));
    }

    #[test]
    fn what_is_not_known_to_be_visible_is_secret() {
        let entry = json!({"id": "1", "type": "X", "region": "EU", "on": true, "off": false, "unset": null,
            "aNewKey": "abcdefgh", "url": "https://example.com/long-token-1234"});
        assert_eq!(secrets(&entry), ["abcdefgh", "long-token-1234"]);
        assert_eq!(mask("aNewKey", "abcdefgh"), "****efgh");
        assert_eq!(mask("url", "https://example.com/abcd1234"), "https://example.com/****1234");
        assert_eq!(yaml(&entry)[4], "region: EU");
    }
}
