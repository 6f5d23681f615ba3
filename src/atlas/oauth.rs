//! Service accounts: OAuth2 client credentials (documentation: "Generate a service account token").
//!
//! A token lives for an hour, an account may hold a hundred tokens, and the token endpoint has a tight rate limit for
//! each account. So all calls of an account share one token. At four fifths of its life one caller renews it while the
//! others wait for the result. If Atlas refuses the token, it is replaced once. A failed request for a token is
//! remembered for a while, and meanwhile every caller gets that failure: for as long as the endpoint asked if it answered
//! "too many", and otherwise for the times below. So the number of calls and projects makes no difference.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use parking_lot::Mutex as Lock;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::call::{self, read};
use super::error_table::On;
use super::errors::{self, Asked, SendError, Unanswered};
use super::http::{self, Http, Request, Requests, Response};
use super::json::Json;
use super::scrub::Scrubber;
use super::wire::ApiError;
use crate::domain::{Failure, FailureKind, SecretValue};

/// An answer of the token endpoint is much smaller than this.
const MAX_BODY: usize = 64 << 10;
/// The documented life of a token, used when an answer does not tell it.
const LIFE: Duration = Duration::from_secs(3_600);
/// The longest life of a token that we believe.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// The pause after a rate limit without `Retry-After`. The limit counts the requests of a minute.
const LIMITED: Duration = Duration::from_secs(60);
/// The pause after the endpoint refused the account, and after a failed renewal while the old token is still valid.
/// Atlas allows ten requests a minute or more, for all accounts that call from one address.
const REFUSED: Duration = Duration::from_secs(30);
/// The pause after a request without an answer that was understood. It is short, since an outage may end at any moment.
const UNANSWERED: Duration = Duration::from_secs(1);
/// The pause after Atlas refused a fresh token like the one before it. Then the token is not the cause, and each
/// replacement would use up one more of the hundred tokens that an account may hold.
const IN_VAIN: Duration = Duration::from_secs(60);
/// How metrics call a request for a token.
const OPERATION: &str = "TOKEN";
const WHAT: &str = "the request for a service account's token";

/// One service account and the token that it holds.
pub(super) struct OAuth {
    client_id: String,
    client_secret: SecretValue,
    endpoint: Url,
    http: Arc<Http>,
    requests: Requests,
    /// How long the endpoint may take: half of the call's time limit, so that the call can still be sent within the
    /// other half.
    time_limit: Duration,
    state: Mutex<State>,
    /// The tokens that a call under way may have: the last one and the one before it.
    given: Lock<Vec<SecretValue>>,
}

/// The state that all calls of an account share.
#[derive(Default)]
struct State {
    token: Option<Token>,
    refusal: Option<Refused>,
    /// A refused token is not replaced before this.
    in_vain: Option<Instant>,
}

#[derive(Clone)]
struct Token {
    value: SecretValue,
    /// From this moment on the token is renewed.
    stale: Instant,
    /// From this moment on the token is no longer used.
    end: Instant,
}

/// The last request for a token, if it failed.
struct Refused {
    failure: Failure,
    at: Instant,
    /// No caller asks again before this.
    until: Instant,
}

impl Refused {
    /// The same failure for a later call, with the time that is left.
    fn again(&self, now: Instant) -> Failure {
        let left = self.until.saturating_duration_since(now);
        let retry_after = if left.is_zero() { self.failure.retry_after } else { Some(left) };
        Failure { retry_after, ..self.failure.clone() }
    }
}

/// A successful answer of the token endpoint. `expires_in` should be a number; anything else is ignored.
#[derive(Deserialize)]
struct Grant {
    access_token: String,
    #[serde(default)]
    expires_in: Option<Json>,
}

impl Grant {
    fn life(&self) -> Duration {
        let seconds = self.expires_in.as_ref().and_then(Json::scalar).and_then(|life| life.as_u64());
        let seconds = seconds.filter(|seconds| *seconds > 0);
        seconds.map_or(LIFE, Duration::from_secs).min(LONGEST_LIFE)
    }
}

/// The form of errors in OAuth (RFC 6749, 5.2).
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
}

impl OAuth {
    /// An account that holds no token yet; its tokens come from `{base}/api/oauth/token`.
    pub fn new(
        http: Arc<Http>,
        base: &Url,
        call_limit: Duration,
        (client_id, client_secret): (String, SecretValue),
        requests: Requests,
    ) -> OAuth {
        let mut endpoint = base.clone();
        if let Ok(mut segments) = endpoint.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "oauth", "token"]);
        }
        let (state, given) = (Mutex::default(), Lock::default());
        OAuth { client_id, client_secret, endpoint, http, requests, time_limit: call_limit / 2, state, given }
    }

    /// Teaches a scrubber the account, what the request for a token sends of it, and the tokens.
    pub fn teach(&self, scrubber: &mut Scrubber) {
        let (id, secret) = (&self.client_id, self.client_secret.expose());
        for secret in [id, secret, &format!("{id}:{secret}")] {
            scrubber.learn(secret);
        }
        self.given.lock().iter().for_each(|token| scrubber.learn(token.expose()));
    }

    /// The client secret.
    pub fn secret(&self) -> &SecretValue {
        &self.client_secret
    }

    /// Sends one call. If Atlas refuses the token, perhaps because it was revoked, the token is replaced once.
    pub async fn send(&self, request: Request) -> Result<Response, SendError> {
        let token = self.token(None).await?;
        let response = self.send_with(&token, request.clone()).await?;
        if !refuses_token(&response) || self.replaced_in_vain().await {
            return Ok(response);
        }
        let fresh = self.token(Some(&token)).await?;
        let response = self.send_with(&fresh, request).await?;
        if refuses_token(&response) {
            self.state.lock().await.in_vain = Some(Instant::now() + IN_VAIN);
        }
        Ok(response)
    }

    async fn send_with(&self, token: &SecretValue, mut request: Request) -> Result<Response, SendError> {
        let bearer = http::authorize(&mut request, &format!("Bearer {}", token.expose()));
        bearer.map_err(|_| SendError::Token(no_token(200)))?;
        self.http.send(request).await.map_err(SendError::Http)
    }

    async fn replaced_in_vain(&self) -> bool {
        self.state.lock().await.in_vain.is_some_and(|until| Instant::now() < until)
    }

    /// Returns the token. It is fetched if there is none, if it is stale, or if it is the `refused` one. Callers wait
    /// for each other here, and the second one shares the result of the first one's request, be it a token or a
    /// failure. A stale token is used further as long as no new one can be fetched.
    async fn token(&self, refused: Option<&SecretValue>) -> Result<SecretValue, SendError> {
        let begun = Instant::now();
        let mut state = self.state.lock().await;
        let now = Instant::now();
        let is_refused =
            |token: &mut Token| refused.is_some_and(|refused| refused.expose() == token.value.expose());
        state.token.take_if(|token| is_refused(token) || now >= token.end);
        if let Some(token) = state.token.as_ref().filter(|token| now < token.stale) {
            return Ok(token.value.clone());
        }
        let shared = state.refusal.as_ref().filter(|refusal| now < refusal.until || refusal.at >= begun);
        let failure = match shared {
            Some(refusal) => refusal.again(now),
            None => match self.fetch().await {
                Ok(token) => {
                    state.refusal = None;
                    let mut given = self.given.lock();
                    given.truncate(1);
                    given.insert(0, token.value.clone());
                    drop(given);
                    return Ok(state.token.insert(token).value.clone());
                }
                Err(failure) => {
                    let at = Instant::now();
                    let pause = match (failure.kind, &state.token) {
                        (FailureKind::RateLimited, _) => failure.retry_after.unwrap_or(LIMITED),
                        (FailureKind::Unauthorized, _) | (_, Some(_)) => REFUSED,
                        (_, None) => failure.retry_after.unwrap_or(UNANSWERED),
                    };
                    let refusal = Refused { failure, at, until: at + pause };
                    state.refusal.insert(refusal).again(at)
                }
            },
        };
        let serves_on = state.token.as_ref().map(|token| token.value.clone());
        serves_on.ok_or(SendError::Token(failure))
    }

    async fn fetch(&self) -> Result<Token, Failure> {
        let begun = Instant::now();
        let unanswered = |why| {
            (self.requests)(OPERATION, 0);
            unsent(errors::no_answer(WHAT, why))
        };
        let end = begun + self.time_limit;
        let response = timeout_at(end, self.http.send(self.request().map_err(unanswered)?)).await;
        let response = response.unwrap_or_else(|_| Err(Unanswered::late())).map_err(unanswered)?;
        let (status, retry_after) = (response.status().as_u16(), call::retry_after(&response));
        (self.requests)(OPERATION, status);
        // What the head says counts, also if the body never ends.
        let body = timeout_at(end, read(response.into_body(), MAX_BODY)).await;
        let Ok(Ok(body)) = body else {
            let failure = errors::not_understood(WHAT, status, "it broke off");
            return Err(unsent(errors::asks_to_wait(failure, retry_after)));
        };
        if status != 200 {
            return Err(self.refused(status, &body, retry_after));
        }
        let grant: Option<Grant> = serde_json::from_slice(&body).ok();
        let token = grant.and_then(|grant| {
            let value = SecretValue::from_bytes(grant.access_token.as_bytes()).ok()?;
            let life = grant.life();
            Some(Token { value, stale: begun + life * 4 / 5, end: begun + life })
        });
        token.ok_or_else(|| no_token(status))
    }

    /// The request for a token (RFC 6749, 4.4.2).
    fn request(&self) -> Result<Request, Unanswered> {
        let mut request = http::request(Method::POST, &self.endpoint)?;
        *request.body_mut() = "grant_type=client_credentials".into();
        let pair = BASE64_STANDARD.encode(format!("{}:{}", self.client_id, self.client_secret.expose()));
        let basic = http::authorize(&mut request, &format!("Basic {pair}"));
        basic.map_err(|error| Unanswered::unconnected(&error))?;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        Ok(request)
    }

    /// The failure for a refusal in the form of OAuth or of Atlas.
    fn refused(&self, status: u16, body: &[u8], retry_after: Option<Duration>) -> Failure {
        let (code, detail) = match (serde_json::from_slice::<Refusal>(body), ApiError::of(status, body)) {
            (Ok(refusal), _) => (refusal.error, refusal.error_description.unwrap_or_default()),
            (_, Some((_, error))) => (error.error_code, error.detail.or(error.reason).unwrap_or_default()),
            _ => {
                let failure = errors::not_understood(WHAT, status, "it is no OAuth error");
                return unsent(errors::asks_to_wait(failure, retry_after));
            }
        };
        let mut scrubber = Scrubber::new([]);
        self.teach(&mut scrubber);
        let (code, detail) = (scrubber.clean(&code), scrubber.clean(&detail));
        let asked = Asked { name: WHAT, on: On::Token, kind: None };
        unsent(errors::answered(&asked, status, &code, &detail, retry_after))
    }
}

/// Whether the token caused a 401. Atlas also returns 401 for errors behind the authentication, such as a missing role,
/// but names these in a header (recorded answers).
fn refuses_token(response: &Response) -> bool {
    response.status() == StatusCode::UNAUTHORIZED && !response.headers().contains_key("x-error-code")
}

fn no_token(status: u16) -> Failure {
    unsent(errors::not_understood(WHAT, status, "it holds no token"))
}

/// Marks a failure before the call: without a token the call itself was never sent.
fn unsent(failure: Failure) -> Failure {
    let kind = if failure.kind == FailureKind::NotServed { FailureKind::Unavailable } else { failure.kind };
    Failure { kind, outcome_unknown: false, of_credential: true, without_call: true, ..failure }
}
