//! The five operations on integrations, for a sender whose credentials are good.

use std::time::Instant;

use serde_json::Value;

use crate::auth::{self, Access, Principal};
use crate::catalog::{self, Type};
use crate::effects;
use crate::error::ApiError;
use crate::exchange::{Api, Operation};
use crate::fault::Effect;
use crate::page::{self, Options};
use crate::project::Role;
use crate::reply::Reply;
use crate::request::{Request, Target};
use crate::settings::{PutOnAbsent, Settings, SlackFirstCreate};
use crate::state::{ProjectState, State};
use crate::store::Store;
use crate::validate;
use crate::version;

/// One call, with all that decides its answer.
pub struct Call<'a> {
    pub request: &'a Request,
    pub target: &'a Target,
    pub principal: &'a Principal,
    pub settings: &'a Settings,
    /// The scripted fault of this call, if there is one.
    pub effect: Option<&'a Effect>,
    pub now: Instant,
}

/// What a successful operation answers.
struct Outcome {
    status: u16,
    body: Option<Value>,
    options: Options,
}

/// Does what is asked for and gives the answer.
pub fn answer(state: &mut State, call: &Call<'_>) -> Reply {
    let mut rate = None;
    match attempt(state, call, &mut rate) {
        Ok((outcome, content_type)) => finish(call, outcome, &content_type, rate),
        Err(error) => with_rate(Reply::error(&error), call.settings, rate),
    }
}

/// The checks in Atlas's order as far as it shows: version, project, access, limits, then the operation itself.
fn attempt(
    state: &mut State,
    call: &Call<'_>,
    rate: &mut Option<u32>,
) -> Result<(Outcome, String), ApiError> {
    let settings = call.settings;
    if !settings.ip_allowed {
        return Err(ApiError::ip_not_allowed(&call.request.ip.to_string()));
    }
    let content_type = version::negotiate(call.request, call.target.api, settings)?;
    let Some(id) = call.target.project.as_deref() else {
        return Err(ApiError::resource_not_found(&call.request.path));
    };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if id.len() != 24 || !id.bytes().all(is_hex) {
        return Err(ApiError::invalid_group_id(id));
    }
    let org = state.projects.get(id).map(|project| project.org.clone());
    let org = org.ok_or_else(|| ApiError::group_not_found(id))?;
    let role = match auth::access(state, call.principal, &org, id) {
        Access::As(role) => role,
        Access::NoRole => return Err(ApiError::user_unauthorized()),
        Access::Foreign => return Err(ApiError::user_cannot_access_group()),
    };
    let project = state.project(id);
    *rate = take_token(project, call)?;
    let operation = operation(call, role)?;
    let outcome = perform(&mut project.store, call, operation)?;
    Ok((outcome, content_type))
}

/// Takes a token from the project's bucket and says how many are left, if this version has a bucket.
fn take_token(project: &mut ProjectState, call: &Call<'_>) -> Result<Option<u32>, ApiError> {
    let (settings, path) = (call.settings, &call.request.path);
    if call.target.api == Api::V1 {
        if let Some(limit) = settings.legacy_limit {
            let allowed = project.legacy.allow(limit, call.now);
            return if allowed { Ok(None) } else { Err(ApiError::rate_limited(path, limit, None)) };
        }
        if !settings.rate_on_v1 {
            return Ok(None);
        }
    }
    project.bucket.take(settings, call.now).map(Some).map_err(|wait| {
        let (capacity, refill) = (settings.rate_capacity, settings.rate_refill);
        let interval = settings.rate_interval.as_secs();
        ApiError::token_bucket(path, wait, capacity, refill, interval, settings.rate_retry_after)
    })
}

/// The operation, if it is one, and the role and the state of the organisation allow it.
fn operation(call: &Call<'_>, role: Role) -> Result<Operation, ApiError> {
    let Some(operation) = call.target.operation(&call.request.method) else {
        return Err(match call.target.integrations {
            true => ApiError::method_not_allowed(),
            false => ApiError::resource_not_found(&call.request.path),
        });
    };
    if call.settings.suspended {
        return Err(ApiError::suspended());
    }
    if operation.writes() && role != Role::Owner {
        return Err(ApiError::user_unauthorized());
    }
    if operation.writes() && call.settings.maintenance {
        return Err(ApiError::maintenance());
    }
    Ok(operation)
}

fn perform(store: &mut Store, call: &Call<'_>, operation: Operation) -> Result<Outcome, ApiError> {
    let (settings, api) = (call.settings, call.target.api);
    let mut options = Options::read(&call.request.query, operation, settings.reject_unknown_query)?;
    options.per_page = options.per_page.min(settings.most_per_page.unwrap_or(usize::MAX));
    if call.effect == Some(&Effect::RollIds) {
        store.roll_ids();
    }
    let kind = call.target.integration_type.as_deref().unwrap_or_default();
    if operation == Operation::List {
        let body = list(store, call, &options, None);
        store.note_read();
        return Ok(Outcome { status: 200, body: Some(body), options });
    }
    let known = known_type(kind, call, operation)?;
    let visible = store.get(kind).is_some() && !store.is_hidden(kind, call.now);
    match operation {
        Operation::List | Operation::Get => {
            store.note_read();
            let entry = store.get(kind).filter(|_| visible).ok_or_else(|| ApiError::not_configured(kind))?;
            Ok(Outcome { status: 200, body: Some(page::entry(kind, entry, api, settings)), options })
        }
        Operation::Delete => {
            if kind == "WEBHOOK" && settings.webhook_notifications_present && store.get(kind).is_some() {
                return Err(ApiError::webhook_notifications_present());
            }
            if !store.remove(kind) {
                return Err(ApiError::not_configured(kind));
            }
            Ok(Outcome { status: 204, body: None, options })
        }
        Operation::Create | Operation::Update => {
            write(store, call, known, operation)?;
            let body = list(store, call, &options, Some(kind));
            Ok(Outcome { status: 200, body: Some(body), options })
        }
    }
}

/// The type that the path names, if this version serves it.
fn known_type(kind: &str, call: &Call<'_>, operation: Operation) -> Result<&'static Type, ApiError> {
    if kind == catalog::HIP_CHAT {
        return Err(match operation {
            Operation::Create | Operation::Update => ApiError::hipchat_not_supported(),
            _ => ApiError::not_configured(kind),
        });
    }
    let served = catalog::is_served(kind, call.target.api, call.settings.flowdock);
    catalog::find(kind).filter(|_| served).ok_or_else(|| match call.settings.unknown_type_status {
        404 => ApiError::resource_not_found(&call.request.path),
        status => ApiError { status, ..ApiError::invalid_path_parameter("integrationType") },
    })
}

fn write(store: &mut Store, call: &Call<'_>, known: &Type, operation: Operation) -> Result<(), ApiError> {
    version::check_content_type(call.request)?;
    let (settings, kind) = (call.settings, known.name);
    let stored = store.get(kind).map(|entry| &entry.fields);
    let exists = stored.is_some();
    if !exists && operation == Operation::Update && settings.put_on_absent == PutOnAbsent::NotFound {
        return Err(ApiError::not_configured(kind));
    }
    if !exists && kind == "SLACK" && settings.slack_first_create == SlackFirstCreate::RequireOAuth2 {
        return Err(ApiError::slack_not_configured());
    }
    let fields = validate::fields(known, call.target.api, &call.request.body, stored, settings)?;
    if exists && operation == Operation::Create {
        return Err(ApiError::already_configured(kind));
    }
    store.put(kind, fields, settings.put_rolls_id);
    if let Some(Effect::DelayedVisibility { time, reads }) = call.effect {
        store.hide(kind, call.now + *time, *reads);
    }
    Ok(())
}

/// The page of all entries that can be seen. What a call has just written is in its own answer in any case.
fn list(store: &Store, call: &Call<'_>, options: &Options, written: Option<&str>) -> Value {
    let (settings, api) = (call.settings, call.target.api);
    let entries: Vec<Value> = store
        .entries()
        .filter(|(kind, _)| catalog::is_served(kind, api, settings.flowdock))
        .filter(|(kind, _)| written == Some(*kind) || !store.is_hidden(kind, call.now))
        .map(|(kind, entry)| page::entry(kind, entry, api, settings))
        .collect();
    page::page(call.request, api, options, &entries)
}

fn finish(call: &Call<'_>, outcome: Outcome, content_type: &str, rate: Option<u32>) -> Reply {
    let Outcome { status, body, options } = outcome;
    let mut reply = match body {
        None => Reply::with_body(status, content_type, Vec::new()),
        Some(mut body) => {
            if let Some(effect) = call.effect {
                effects::twist(effect, &mut body);
            }
            let body = if options.envelope { page::envelope(status, body) } else { body };
            Reply::json(status, content_type, &body, options.pretty)
        }
    };
    if let Some(Effect::ContentType { value }) = call.effect {
        reply.set_content_type(value);
    }
    with_rate(reply.application(), call.settings, rate)
}

fn with_rate(mut reply: Reply, settings: &Settings, rate: Option<u32>) -> Reply {
    if let (Some(remaining), true) = (rate, settings.rate_headers) {
        reply.headers.push(("RateLimit-Limit", settings.rate_capacity.to_string()));
        reply.headers.push(("RateLimit-Remaining", remaining.to_string()));
    }
    reply
}
