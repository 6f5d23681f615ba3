//! Service accounts: the token and the revoke endpoint, and tokens on requests.
//!
//! Documentation: service accounts (generate and revoke an OAuth2 token). A 429 comes in Atlas's error shape, not in
//! OAuth's, as users have seen it; the documented limit differs from that, so the number is a switch.

use std::collections::HashMap;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{Accounts, Principal, Verdict};
use crate::error::{ApiError, oauth_body};
use crate::exchange::Scheme;
use crate::limits::PerMinute;
use crate::random;
use crate::reply::Reply;
use crate::request::Request;
use crate::settings::Settings;
use crate::state::State;

/// The tokens that have been given out.
#[derive(Debug, Default)]
pub struct Tokens {
    issued: HashMap<String, Issued>,
    requests: HashMap<String, PerMinute>,
}

#[derive(Debug)]
struct Issued {
    client_id: String,
    /// The organisations in which id and secret fitted.
    orgs: Vec<String>,
    expires: Instant,
}

impl Tokens {
    /// Whose token it is, good or not.
    pub fn owner(&self, token: &str) -> Option<String> {
        self.issued.get(token.trim()).map(|issued| issued.client_id.clone())
    }

    pub fn verify(&self, accounts: &Accounts, token: &str, now: Instant) -> Verdict {
        let good = self.issued.get(token).filter(|issued| now < issued.expires);
        let Some(issued) = good else { return Verdict::Bad { stale: false } };
        let orgs: Vec<String> = issued
            .orgs
            .iter()
            .filter(|org| accounts.get(org, &issued.client_id).is_some())
            .cloned()
            .collect();
        if orgs.is_empty() {
            return Verdict::Bad { stale: false };
        }
        Verdict::Good(Principal { name: issued.client_id.clone(), scheme: Scheme::Bearer, orgs })
    }

    /// Live tokens of an account.
    fn live(&self, client_id: &str, orgs: &[String], now: Instant) -> usize {
        let of_it =
            |issued: &&Issued| issued.client_id == client_id && issued.orgs == orgs && now < issued.expires;
        self.issued.values().filter(of_it).count()
    }

    /// Forgets every token of an account, as if time had passed.
    pub fn expire_all(&mut self, client_id: &str, org: &str) {
        self.issued.retain(|_, issued| {
            issued.client_id != client_id || !issued.orgs.iter().any(|known| known == org)
        });
    }
}

/// Client id and secret of basic credentials; both may be percent-encoded, as RFC 6749 wants it.
pub fn basic(encoded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, secret) = text.split_once(':')?;
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    Some((decode(name), decode(secret)))
}

/// Answers a request to `/api/oauth/…`.
pub fn answer(state: &mut State, request: &Request, settings: &Settings, now: Instant) -> Reply {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/api/oauth/token") => {
            state.counters.token_requests += 1;
            token(state, request, settings, now).unwrap_or_else(|refusal| refusal)
        }
        ("POST", "/api/oauth/revoke") => {
            state.counters.revoke_requests += 1;
            revoke(state, request).unwrap_or_else(|refusal| refusal)
        }
        (_, "/api/oauth/token" | "/api/oauth/revoke") => Reply::error(&ApiError::method_not_allowed()),
        (_, path) => Reply::error(&ApiError::resource_not_found(path)),
    }
}

fn refusal(status: u16, error: &str, description: &str) -> Reply {
    let mut reply = Reply::json(status, "application/json", &oauth_body(error, description), false);
    if status == 401 {
        reply.headers.push(("WWW-Authenticate", "Basic realm=\"oauth\"".to_owned()));
    }
    reply.error_code = Some(error.to_owned());
    reply.application()
}

/// The refusal of a client whose id and secret do not fit.
pub fn invalid_client() -> Reply {
    refusal(401, "invalid_client", "Invalid credentials provided.")
}

/// The account that asks, with the organisations in which it is known.
fn client(state: &State, request: &Request) -> Result<(String, Vec<String>), Reply> {
    let value = request.header("authorization").unwrap_or_default();
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(invalid_client());
    }
    let (name, secret) = basic(rest).ok_or_else(invalid_client)?;
    let orgs: Vec<String> = state
        .accounts
        .named(&name)
        .filter(|(_, account)| account.secret == secret)
        .map(|(org, _)| org.to_owned())
        .collect();
    if orgs.is_empty() { Err(invalid_client()) } else { Ok((name, orgs)) }
}

/// The form in the body.
fn form(request: &Request) -> Result<HashMap<String, String>, Reply> {
    let content_type = request.header("content-type").unwrap_or_default();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return Err(refusal(400, "invalid_request", "The body must be a form."));
    }
    Ok(form_urlencoded::parse(&request.body).into_owned().collect())
}

fn token(state: &mut State, request: &Request, settings: &Settings, now: Instant) -> Result<Reply, Reply> {
    let (client_id, orgs) = client(state, request)?;
    let form = form(request)?;
    match form.get("grant_type").map(String::as_str) {
        Some("client_credentials") => {}
        Some(_) => return Err(refusal(400, "unsupported_grant_type", "The grant type is not supported.")),
        None => return Err(refusal(400, "invalid_request", "The grant type is missing.")),
    }
    if let Some(limit) = settings.token_limit_per_minute {
        let count = state.tokens.requests.entry(format!("{client_id} {orgs:?}")).or_default();
        if !count.allow(limit, now) {
            return Err(Reply::error(&ApiError::rate_limited(&request.path, limit, None)));
        }
    }
    if state.tokens.live(&client_id, &orgs, now) >= settings.live_tokens {
        return Err(refusal(
            403,
            "access_denied",
            "There are too many live tokens for this service account.",
        ));
    }
    let token = random::token(&client_id);
    let expires = now + settings.token_lifetime;
    state.tokens.issued.insert(token.clone(), Issued { client_id, orgs, expires });
    state.counters.tokens_issued += 1;
    let mut body = json!({"access_token": token, "token_type": "Bearer"});
    let expires_in = settings.token_expires_in.clone();
    match expires_in.unwrap_or_else(|| settings.token_lifetime.as_secs().into()) {
        Value::Null => {}
        said => body["expires_in"] = said,
    }
    let mut reply = Reply::json(200, "application/json", &body, false);
    reply.headers.push(("Cache-Control", "no-store".to_owned()));
    Ok(reply.application())
}

fn revoke(state: &mut State, request: &Request) -> Result<Reply, Reply> {
    let (client_id, _) = client(state, request)?;
    let form = form(request)?;
    let Some(token) = form.get("token") else {
        return Err(refusal(400, "invalid_request", "The token is missing."));
    };
    // RFC 7009: a token that is unknown, or somebody else's, is no error and changes nothing.
    if state.tokens.owner(token).as_deref() == Some(client_id.as_str()) {
        state.tokens.issued.remove(token);
    }
    Ok(Reply::new(200).application())
}
