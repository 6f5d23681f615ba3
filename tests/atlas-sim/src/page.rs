//! What answers show: masked entries, pages with links, the options of the query.

use serde_json::{Map, Value, json};

use crate::catalog::{self, Field, Kind, Preset, Type, Unset};
use crate::error::ApiError;
use crate::exchange::{Api, Operation};
use crate::mask;
use crate::request::Request;
use crate::settings::{HowTwisted, Settings, V1Shape};
use crate::store::Entry;

/// The options of a query (v1.0 create page; Atlas Admin API v2 spec).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub envelope: bool,
    pub pretty: bool,
    pub include_count: bool,
    pub page: usize,
    pub per_page: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { envelope: false, pretty: false, include_count: true, page: 1, per_page: 100 }
    }
}

impl Options {
    pub fn read(query: &str, operation: Operation, strict: bool) -> Result<Self, ApiError> {
        let mut options = Self::default();
        let paged = matches!(operation, Operation::List | Operation::Create | Operation::Update);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let refuse = || ApiError::invalid_query_parameter(&name);
            let flag = || value.parse::<bool>().map_err(|_| refuse());
            let number = |most: usize| {
                value.parse::<usize>().ok().filter(|number| (1..=most).contains(number)).ok_or_else(refuse)
            };
            match name.as_ref() {
                "envelope" => options.envelope = flag()?,
                "pretty" => options.pretty = flag()?,
                "includeCount" if paged => options.include_count = flag()?,
                "pageNum" if paged => options.page = number(usize::MAX)?,
                "itemsPerPage" if paged => options.per_page = number(500)?,
                _ if strict => return Err(refuse()),
                _ => {}
            }
        }
        Ok(options)
    }
}

/// A page of entries, with the links that lead from it to the others.
pub fn page(request: &Request, api: Api, options: &Options, entries: &[Value]) -> Value {
    let skipped = (options.page - 1).saturating_mul(options.per_page).min(entries.len());
    let shown: Vec<Value> = entries.iter().skip(skipped).take(options.per_page).cloned().collect();
    let link = |rel: &str, number: usize| json!({"href": href(request, api, options, number), "rel": rel});
    let mut links = vec![link("self", options.page)];
    if options.page > 1 {
        links.push(link("previous", options.page - 1));
    }
    if skipped + shown.len() < entries.len() {
        links.push(link("next", options.page + 1));
    }
    let mut page = json!({"links": links, "results": shown});
    if options.include_count {
        page["totalCount"] = entries.len().into();
    }
    page
}

/// v1.0 names two parameters (create page), v2 three, in this order (recorded answers).
fn href(request: &Request, api: Api, options: &Options, number: usize) -> String {
    let host = request.header("host").unwrap_or("localhost");
    let count = match api {
        Api::V1 => String::new(),
        _ => format!("includeCount={}&", options.include_count),
    };
    format!("http://{host}{}?{count}pageNum={number}&itemsPerPage={}", request.path, options.per_page)
}

/// Wraps an answer for clients that see neither status nor headers (documentation: envelope).
pub fn envelope(status: u16, mut body: Value) -> Value {
    match body.as_object_mut() {
        Some(page) if page.contains_key("results") => {
            page.insert("status".to_owned(), status.into());
            body
        }
        _ => json!({"content": body, "status": status}),
    }
}

/// An entry as an answer shows it.
pub fn entry(kind: &str, entry: &Entry, api: Api, settings: &Settings) -> Value {
    let as_page = api == Api::V1 && settings.v1_shape == V1Shape::CreatePage;
    let mut shown = Map::new();
    match catalog::find(kind) {
        None => shown = entry.fields.clone(),
        Some(known) => show(&mut shown, known, entry, api, as_page, settings),
    }
    if !as_page {
        shown.insert("id".to_owned(), entry.id.clone().into());
    }
    if let (Api::V1, "PROMETHEUS", Some(scheme)) = (api, kind, &settings.v1_prometheus_scheme) {
        shown.insert("scheme".to_owned(), scheme.clone().into());
    }
    shown.insert("type".to_owned(), kind.into());
    for (field, how) in settings.twists_of(kind) {
        twist(&mut shown, field, how);
    }
    Value::Object(shown)
}

/// Twists one field of an entry as an answer shows it. What concerns only what is stored is in `validate`.
fn twist(shown: &mut Map<String, Value>, field: &str, how: &HowTwisted) {
    match (how, shown.get(field)) {
        (HowTwisted::Add(value), None | Some(Value::Null)) => {
            shown.insert(field.to_owned(), value.clone());
        }
        (HowTwisted::Hide, Some(_)) => {
            shown.remove(field);
        }
        (HowTwisted::Null, Some(_)) => {
            shown.insert(field.to_owned(), Value::Null);
        }
        (HowTwisted::Mask(visible), Some(Value::String(text))) => {
            let masked = mask::secret(text, *visible);
            shown.insert(field.to_owned(), masked.into());
        }
        _ => {}
    }
}

fn show(
    shown: &mut Map<String, Value>,
    known: &Type,
    entry: &Entry,
    api: Api,
    as_page: bool,
    settings: &Settings,
) {
    for field in known.fields {
        let value = match entry.fields.get(field.name) {
            Some(value) if as_page && field.young && Some(value) == preset(field).as_ref() => None,
            Some(value) => seen(field, value, settings),
            None => unset(field, api, as_page),
        };
        if let Some(value) = value {
            shown.insert(field.name.to_owned(), value);
        }
    }
    // What another actor has put in beside the known fields is shown as well: Atlas adds fields without notice.
    let known = |name: &str| known.fields.iter().any(|field| field.name == name);
    shown.extend(entry.fields.iter().filter(|(name, _)| !known(name)).map(|(k, v)| (k.clone(), v.clone())));
}

fn seen(field: &Field, value: &Value, settings: &Settings) -> Option<Value> {
    match (field.kind, value) {
        (Kind::WriteOnly, _) => None,
        (Kind::Secret, Value::String(text)) => Some(mask::secret(text, settings.mask_visible).into()),
        (Kind::Url, Value::String(text)) => Some(mask::url(text, settings.url_mask).into()),
        _ => Some(value.clone()),
    }
}

fn unset(field: &Field, api: Api, as_page: bool) -> Option<Value> {
    match field.unset {
        Unset::Omitted => None,
        Unset::Null => (!as_page).then_some(Value::Null),
        Unset::NullOrEmpty if api == Api::V1 => Some("".into()),
        Unset::NullOrEmpty => Some(Value::Null),
    }
}

/// The value that Atlas fills in.
pub fn preset(field: &Field) -> Option<Value> {
    match field.preset {
        Preset::None => None,
        Preset::Word(word) => Some(word.into()),
        Preset::No => Some(false.into()),
    }
}
