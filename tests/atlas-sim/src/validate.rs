//! Checks of a request body: is this an integration that Atlas takes?
//!
//! Which code Atlas uses for a missing field, a bad region or a wrong `type` is not known; the generic ones of the
//! documented list are used here. What is known: masked values are refused (`INVALID_INTEGRATION_SETTINGS` for
//! DATADOG, `INTEGRATION_FIELDS_INVALID` elsewhere), unknown fields are refused, and `id` is let pass.

use serde_json::{Map, Value};

use crate::catalog::{Field, Kind, Type};
use crate::error::ApiError;
use crate::exchange::Api;
use crate::mask;
use crate::page;
use crate::settings::{HowNormalised, HowTwisted, PutOmitted, Settings};

/// The fields to store for a body, given what is stored already (for PUT).
pub fn fields(
    kind: &Type,
    api: Api,
    body: &[u8],
    stored: Option<&Map<String, Value>>,
    settings: &Settings,
) -> Result<Map<String, Value>, ApiError> {
    let body: Value = serde_json::from_slice(body).map_err(|_| ApiError::malformed_json())?;
    let Value::Object(mut given) = body else { return Err(ApiError::invalid_json()) };
    let named = given.remove("type").unwrap_or(Value::Null);
    given.remove("id");
    if settings.check_body_type {
        check_type(kind, &named)?;
    }
    // A null is the same as no value.
    given.retain(|_, value| !value.is_null());
    for (name, value) in &given {
        let field = kind.fields.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| ApiError::invalid_attribute(name))?;
        check_value(kind, field, value, api, settings)?;
    }
    // v1.0 shows an unset channel name as an empty text; sent back it means unset again.
    given.retain(|name, value| !(name == "channelName" && value == ""));
    let mut wanted = match stored {
        Some(stored) if settings.put_omitted == PutOmitted::Merge => stored.clone(),
        _ => Map::new(),
    };
    wanted.extend(given);
    for (name, how) in settings.twists_of(kind.name) {
        let value = match how {
            HowTwisted::Merge => stored.and_then(|stored| stored.get(name)),
            HowTwisted::Default(value) => Some(value),
            _ => None,
        };
        if let (false, Some(value)) = (wanted.contains_key(name), value) {
            wanted.insert(name.to_owned(), value.clone());
        }
    }
    for field in kind.fields {
        let present = wanted.contains_key(field.name);
        if !present && field.is_required(api) {
            return Err(ApiError::missing_attribute(field.name));
        }
        if let (false, Some(preset)) = (present, page::preset(field)) {
            wanted.insert(field.name.to_owned(), preset);
        }
    }
    normalise(kind.name, &mut wanted, settings);
    Ok(wanted)
}

fn check_type(kind: &Type, named: &Value) -> Result<(), ApiError> {
    match named {
        Value::Null => Err(ApiError::missing_attribute("type")),
        Value::String(name) if name == kind.name => Ok(()),
        Value::String(_) => Err(ApiError::invalid_attribute("type")),
        _ => Err(ApiError::invalid_json_attribute("type")),
    }
}

fn check_value(
    kind: &Type,
    field: &Field,
    value: &Value,
    api: Api,
    settings: &Settings,
) -> Result<(), ApiError> {
    if field.kind == Kind::ReadOnly {
        return Err(ApiError::read_only(field.name));
    }
    let text = match (field.kind, value) {
        (Kind::Flag, Value::Bool(_)) => return Ok(()),
        (Kind::Flag, _) => return Err(ApiError::invalid_json_attribute(field.name)),
        (_, Value::String(text)) => text,
        _ => return Err(ApiError::invalid_json_attribute(field.name)),
    };
    check_length(field, text, api)?;
    match field.kind {
        Kind::Choice(words) if !words.contains(&text.as_str()) => Err(ApiError::invalid_enum_value(text)),
        Kind::Secret => check_secret(kind, field, text, settings),
        Kind::Url => check_url(text),
        Kind::Text if field.name == "headersTemplate" => check_headers(text),
        _ => Ok(()),
    }
}

fn check_length(field: &Field, text: &str, api: Api) -> Result<(), ApiError> {
    let Some((least, most)) = field.length else { return Ok(()) };
    // The lower bound is in the v2 spec only; v1.0 itself returns an empty channel name.
    let least = if api == Api::V1 { 0 } else { least };
    if (least..=most).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(ApiError::validation(&format!("{} must have {least} to {most} characters", field.name)))
}

fn check_secret(kind: &Type, field: &Field, text: &str, settings: &Settings) -> Result<(), ApiError> {
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let masked = mask::is_masked_secret(text);
    match kind.name {
        "DATADOG" if masked || (settings.check_vendor_keys && !is_hex) => {
            let what = format!("{} must be a hexadecimal string", field.name);
            Err(ApiError::invalid_settings(kind.name, &what))
        }
        _ if masked || (text.is_empty() && field.is_required(Api::V2)) => Err(ApiError::fields_invalid()),
        "PAGER_DUTY" if settings.check_vendor_keys && !(is_hex && text.len() == 32) => {
            Err(ApiError::invalid_pager_duty_key())
        }
        _ => Ok(()),
    }
}

fn check_url(text: &str) -> Result<(), ApiError> {
    if mask::is_masked_url(text) {
        return Err(ApiError::fields_invalid());
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let clean = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    if host.is_empty() || !clean { Err(ApiError::invalid_url(text)) } else { Ok(()) }
}

/// The v2 spec: a JSON object once it is rendered. What FreeMarker makes of an expression, only an alert shows; a text
/// without any is rendered to itself.
fn check_headers(text: &str) -> Result<(), ApiError> {
    let is_template =
        ["${", "#{", "<#", "</#", "<@", "[#", "[="].iter().any(|opening| text.contains(opening));
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\r' | '\n')) {
        return Err(ApiError::validation("headersTemplate must not contain control characters"));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(_)) => Ok(()),
        _ if is_template => Ok(()),
        _ => Err(ApiError::validation("headersTemplate must be a JSON object")),
    }
}

fn normalise(kind: &str, fields: &mut Map<String, Value>, settings: &Settings) {
    for rule in settings.normalise.iter().filter(|rule| rule.integration_type == kind) {
        let Some(value) = fields.remove(&rule.field) else { continue };
        let text = value.as_str().map(str::to_owned);
        let changed = match (&rule.how, text) {
            (HowNormalised::Drop, _) => continue,
            (HowNormalised::Set(fixed), _) => fixed.clone(),
            (HowNormalised::Lowercase, Some(text)) => text.to_lowercase().into(),
            (HowNormalised::Uppercase, Some(text)) => text.to_uppercase().into(),
            (HowNormalised::Trim, Some(text)) => text.trim().into(),
            (HowNormalised::Prefix(prefix), Some(text)) if text.starts_with(prefix) => text.into(),
            (HowNormalised::Prefix(prefix), Some(text)) => format!("{prefix}{text}").into(),
            (HowNormalised::Number, Some(text)) => text.parse::<u64>().map_or(text.into(), Value::from),
            (_, None) => value,
        };
        fields.insert(rule.field.clone(), changed);
    }
}
