//! Service accounts: OAuth2 client credentials (documentation: "Generate a service account token").
//!
//! A token lives an hour, an account may hold a hundred, and the token endpoint has a tight limit of its own: so
//! one token is shared by all calls of one account, renewed at four fifths of its life, fetched by one caller
//! while the others wait, and dropped once when Atlas refuses it.

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::errors;
use super::session::SendError;
use crate::domain::{Failure, FailureKind, SecretValue, plain};

/// A token answer is well below this.
const MAX_BODY: usize = 64 << 10;

/// One service account and the token that it holds.
pub(super) struct OAuth {
    client_id: String,
    client_secret: SecretValue,
    endpoint: Url,
    http: reqwest::Client,
    token: Mutex<Option<Token>>,
}

#[derive(Clone)]
struct Token {
    value: SecretValue,
    /// Renewed from here on.
    stale: Instant,
}

#[derive(Deserialize)]
struct Grant {
    access_token: String,
    expires_in: u64,
}

/// OAuth's own shape of errors (RFC 6749, 5.2).
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
}

impl OAuth {
    /// An account that holds no token yet; its tokens come from `{base}/api/oauth/token`.
    pub fn new(http: reqwest::Client, base: &Url, client_id: String, client_secret: SecretValue) -> OAuth {
        let mut endpoint = base.clone();
        if let Ok(mut segments) = endpoint.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "oauth", "token"]);
        }
        OAuth { client_id, client_secret, endpoint, http, token: Mutex::new(None) }
    }

    /// What is to be scrubbed from texts.
    pub fn secrets(&self) -> [&str; 2] {
        [self.client_secret.expose(), &self.client_id]
    }

    /// Sends one call. A token that Atlas refuses, since it was revoked perhaps, is replaced once.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let again = request.try_clone().ok_or(SendError::Challenge)?;
        let token = self.token(None).await?;
        let response = request.bearer_auth(token.expose()).send().await.map_err(SendError::Http)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let fresh = self.token(Some(&token)).await?;
        again.bearer_auth(fresh.expose()).send().await.map_err(SendError::Http)
    }

    /// The token, fetched if there is none, it is stale, or it is the one that was `refused`. Callers wait for each
    /// other here: whoever comes second finds what the first one fetched.
    async fn token(&self, refused: Option<&SecretValue>) -> Result<SecretValue, SendError> {
        let mut held = self.token.lock().await;
        let good = held.as_ref().filter(|token| {
            Instant::now() < token.stale
                && refused.is_none_or(|refused| refused.expose() != token.value.expose())
        });
        if let Some(token) = good {
            return Ok(token.value.clone());
        }
        *held = None;
        let token = self.fetch().await?;
        let value = token.value.clone();
        *held = Some(token);
        Ok(value)
    }

    async fn fetch(&self) -> Result<Token, SendError> {
        const WHAT: &str = "the request for a service account's token";
        let begun = Instant::now();
        let response = self
            .http
            .post(self.endpoint.clone())
            .basic_auth(&self.client_id, Some(self.client_secret.expose()))
            .header(ACCEPT, "application/json")
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials")
            .send()
            .await
            .map_err(|error| SendError::Token(unsent(errors::no_answer(WHAT, &error))))?;
        let status = response.status().as_u16();
        let retry_after = super::client::retry_after(&response);
        let body = super::client::read(response, MAX_BODY).await;
        let body =
            body.map_err(|_| SendError::Token(unsent(errors::not_understood(WHAT, status, "it broke off"))))?;
        if status != 200 {
            return Err(SendError::Token(self.refused(WHAT, status, &body, retry_after)));
        }
        let grant: Option<Grant> = serde_json::from_slice(&body).ok();
        let token = grant.and_then(|grant| {
            let value = SecretValue::from_bytes(grant.access_token.as_bytes()).ok()?;
            let life = Duration::from_secs(grant.expires_in.min(24 * 3_600));
            Some(Token { value, stale: begun + life * 4 / 5 })
        });
        token.ok_or_else(|| {
            SendError::Token(unsent(errors::not_understood(WHAT, status, "it holds no token")))
        })
    }

    /// The failure for a refusal, in OAuth's own shape or in Atlas's.
    fn refused(&self, what: &str, status: u16, body: &[u8], retry_after: Option<Duration>) -> Failure {
        let failure = match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => {
                let detail =
                    super::redaction::scrub(&refusal.error_description.unwrap_or_default(), self.secrets());
                let mut failure =
                    errors::answered(what, status, &plain(&refusal.error, 60), &detail, retry_after);
                // `invalid_client` comes as 400 or 401; too many live tokens as 403.
                match refusal.error.as_str() {
                    "invalid_client" | "invalid_grant" => failure.kind = FailureKind::Unauthorized,
                    "access_denied" | "rate_limited" => failure.kind = FailureKind::RateLimited,
                    _ => {}
                }
                failure
            }
            Err(_) => match super::wire::ApiError::parse(body) {
                Some(error) => {
                    let detail = error.detail.or(error.reason).unwrap_or_default();
                    let detail = super::redaction::scrub(&detail, self.secrets());
                    errors::answered(what, status, &plain(&error.error_code, 60), &detail, retry_after)
                }
                None => {
                    Failure { retry_after, ..errors::not_understood(what, status, "it is no OAuth error") }
                }
            },
        };
        unsent(failure)
    }
}

/// Without a token the call itself was never sent.
fn unsent(failure: Failure) -> Failure {
    let kind = if failure.kind == FailureKind::NotServed { FailureKind::Unavailable } else { failure.kind };
    Failure { kind, outcome_unknown: false, ..failure }
}
