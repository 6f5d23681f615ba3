//! Faults that are answers: those given instead of the real one, and those that twist it.
//! Faults of the connection are in `handle` and `body`.

use serde_json::{Value, json};

use crate::auth;
use crate::error::ApiError;
use crate::exchange::Api;
use crate::fault::Effect;
use crate::random;
use crate::reply::Reply;
use crate::request::{Request, Target};
use crate::settings::Settings;

/// The answer given instead of the real one, for effects that are such an answer.
/// The two that need a challenge are not among them.
pub fn instead(effect: &Effect, request: &Request, target: &Target, settings: &Settings) -> Option<Reply> {
    let error = match effect {
        Effect::RateLimitedTokenBucket { retry_after } => {
            let wait = retry_after.unwrap_or(7);
            let (capacity, refill) = (settings.rate_capacity, settings.rate_refill);
            let interval = settings.rate_interval.as_secs();
            ApiError::token_bucket(&request.path, wait, capacity, refill, interval, retry_after.is_some())
        }
        Effect::RateLimited { retry_after } => {
            let limit = if target.api == Api::OAuth {
                settings.token_limit_per_minute
            } else {
                settings.legacy_limit
            };
            ApiError::rate_limited(&request.path, limit.unwrap_or(100), *retry_after)
        }
        Effect::Unauthorized if target.api == Api::OAuth => return Some(auth::oauth_refusal()),
        Effect::ServerError => ApiError::unexpected(),
        Effect::Unavailable { retry_after } => ApiError::unavailable(*retry_after),
        Effect::Maintenance => ApiError::maintenance(),
        Effect::Suspended => ApiError::suspended(),
        Effect::Error { status, error_code, detail, retry_after, .. } => {
            let error = ApiError::new(*status, error_code, detail.as_str());
            ApiError { retry_after: *retry_after, ..error }
        }
        Effect::EchoBody => echo(request),
        Effect::Answer { status, content_type, body } => {
            let mut reply = Reply::new(*status);
            reply.headers.extend(content_type.iter().map(|value| ("Content-Type", value.clone())));
            reply.body = body.clone().into_bytes();
            return Some(reply);
        }
        Effect::Redirect { status, location } => {
            let mut reply = Reply::new(*status);
            reply.headers.push(("Location", location.clone()));
            return Some(reply);
        }
        _ => return None,
    };
    let mut reply = Reply::error(&error);
    let remaining = match effect {
        Effect::RateLimitedTokenBucket { .. } if settings.rate_headers => Some(0),
        Effect::Error { remaining, .. } => *remaining,
        _ => None,
    };
    if let Some(remaining) = remaining {
        reply.headers.push(("RateLimit-Limit", settings.rate_capacity.to_string()));
        reply.headers.push(("RateLimit-Remaining", remaining.to_string()));
    }
    Some(reply)
}

/// An error that repeats what was sent.
fn echo(request: &Request) -> ApiError {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let texts: Vec<&str> =
        body.as_object().into_iter().flat_map(|map| map.values()).filter_map(Value::as_str).collect();
    let detail = format!("Invalid attribute values specified: {}.", texts.join(", "));
    ApiError {
        parameters: texts.iter().map(|text| (*text).into()).collect(),
        ..ApiError::new(400, "INVALID_ATTRIBUTE", detail)
    }
}

/// Twists the body of a real answer.
pub fn twist(effect: &Effect, body: &mut Value) {
    match effect {
        Effect::NullInResults => {
            if let Some(results) = results(body) {
                results.insert(0, Value::Null);
                results.push(Value::Null);
            }
        }
        Effect::UnknownType => {
            if let Some(results) = results(body) {
                let id = random::object_id();
                results.insert(0, json!({"bucketName": "logs", "id": id, "type": "S3_LOG_EXPORT"}));
            }
        }
        Effect::UnknownFields => each_entry(body, |entry| {
            entry["aFutureField"] = json!("text");
            entry["aFutureFlag"] = json!(true);
            entry["aFutureObject"] = json!({"nested": [1, null, {"deep": []}]});
        }),
        Effect::MissingIds => each_entry(body, |entry| {
            if let Some(entry) = entry.as_object_mut() {
                entry.remove("id");
            }
        }),
        Effect::ReplaceAnswer { value } => *body = value.clone(),
        _ => {}
    }
}

fn results(body: &mut Value) -> Option<&mut Vec<Value>> {
    body.get_mut("results").and_then(Value::as_array_mut)
}

/// Every entry of a page, or the one entry that the answer is.
fn each_entry(body: &mut Value, change: impl Fn(&mut Value)) {
    match results(body) {
        Some(results) => results.iter_mut().for_each(change),
        None => change(body),
    }
}
