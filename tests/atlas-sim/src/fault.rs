//! Scripted faults: what may go wrong, on which requests, and how often. How each is carried out is in `effects`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exchange::{Api, Operation};
use crate::hostile::Raw;
use crate::settings::millis;

/// One scripted fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// The requests it is for.
    #[serde(default)]
    pub when: Matcher,
    /// How many of them it hits; `None`: all, until the faults are cleared.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// How many of them it lets pass first.
    #[serde(default)]
    pub after: u32,
    /// What happens.
    pub effect: Effect,
}

fn once() -> Option<u32> {
    Some(1)
}

impl Fault {
    /// A fault that hits the next authenticated request, once.
    pub fn new(effect: Effect) -> Self {
        Self { when: Matcher::default(), times: Some(1), after: 0, effect }
    }

    /// Only requests with this method.
    pub fn on(mut self, method: &str) -> Self {
        self.when.method = Some(method.to_owned());
        self
    }

    /// Only requests for this integration type.
    pub fn of_type(mut self, integration_type: &str) -> Self {
        self.when.integration_type = Some(integration_type.to_owned());
        self
    }

    /// Only this operation.
    pub fn at(mut self, operation: Operation) -> Self {
        self.when.operation = Some(operation);
        self
    }

    /// Only requests with this public key or client id.
    pub fn by(mut self, credential: &str) -> Self {
        self.when.credential = Some(credential.to_owned());
        self
    }

    /// Only this interface.
    pub fn over(mut self, api: Api) -> Self {
        self.when.api = Some(api);
        self
    }

    /// That many times.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Until the faults are cleared.
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Not before that many matching requests have passed.
    pub fn after(mut self, passed: u32) -> Self {
        self.after = passed;
        self
    }
}

/// Which requests a fault is for. The default: all that are authenticated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Matcher {
    /// HTTP method, in capitals.
    pub method: Option<String>,
    /// Integration type in the path.
    pub integration_type: Option<String>,
    /// One of the five operations.
    pub operation: Option<Operation>,
    /// Interface. The OAuth endpoints are only hit by faults that name them.
    pub api: Option<Api>,
    /// Public key or client id.
    pub credential: Option<String>,
    /// With or without good credentials.
    pub authentication: Authentication,
}

/// Which requests a fault is for, by their credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Authentication {
    /// Good ones.
    #[default]
    Good,
    /// None, or bad ones: the first of the two requests of a digest client.
    Missing,
    /// Either.
    Any,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Effect {
    /// 429 `RATE_LIMITED_TOKEN_BUCKET`, the form of v2.
    RateLimitedTokenBucket {
        /// Seconds for `Retry-After`.
        retry_after: Option<u64>,
    },
    /// 429 `RATE_LIMITED`, the legacy form.
    RateLimited {
        /// Seconds for `Retry-After`.
        retry_after: Option<u64>,
    },
    /// 500 `UNEXPECTED_ERROR`.
    ServerError,
    /// 503 `SERVICE_UNAVAILABLE`.
    Unavailable {
        /// Seconds for `Retry-After`.
        retry_after: Option<u64>,
    },
    /// 405 `WRITES_NOT_ALLOWED_DURING_APP_UPGRADES`.
    Maintenance,
    /// 402 `ACCOUNT_SUSPENDED`.
    Suspended,
    /// Any error of Atlas.
    Error {
        /// HTTP status.
        status: u16,
        /// Error code.
        error_code: String,
        /// Text.
        detail: String,
        /// Seconds for `Retry-After`.
        #[serde(default)]
        retry_after: Option<u64>,
        /// Requests for `RateLimit-Remaining`.
        #[serde(default)]
        remaining: Option<u32>,
    },
    /// 400 `INVALID_ATTRIBUTE` whose text repeats every text of the request body, secrets included.
    EchoBody,
    /// The 401 of the authentication layer in spite of good credentials.
    Unauthorized,
    /// A 401 with `stale=true`: the nonce went stale between challenge and answer.
    StaleNonce,
    /// The connection is reset (RST) before any answer; nothing is applied.
    Reset,
    /// The connection is closed in order before any answer; nothing is applied.
    Close,
    /// No answer, ever; nothing is applied.
    Hold,
    /// Nothing for a while, then the request is worked on as usual, if the client is still there.
    Slow {
        /// The while.
        #[serde(with = "millis")]
        delay: Duration,
    },
    /// Applied; then the connection is reset instead of an answer.
    AppliedThenCut,
    /// Applied; then no answer, ever.
    AppliedThenHeld,
    /// No answer, ever; applied after the delay, though the client has gone.
    AppliedLate {
        /// The delay.
        #[serde(with = "millis")]
        delay: Duration,
    },
    /// Applied; of the answer only so many bytes arrive, then the connection breaks.
    TruncatedBody {
        /// Bytes that arrive.
        keep: usize,
    },
    /// Applied; the answer names another content type.
    ContentType {
        /// The type.
        value: String,
    },
    /// Not applied; this is the answer.
    Answer {
        /// HTTP status.
        status: u16,
        /// Content type, if one is to be named.
        content_type: Option<String>,
        /// The body.
        body: String,
    },
    /// Not applied; a 200 whose JSON body goes on for so many bytes, without `Content-Length`.
    Oversized {
        /// Bytes, roughly.
        bytes: u64,
    },
    /// Not applied; bytes that no server sends.
    Raw {
        /// Which.
        answer: Raw,
    },
    /// Not applied; a redirect.
    Redirect {
        /// 301, 302, 307 or 308.
        status: u16,
        /// Where to.
        location: String,
    },
    /// Applied (POST and PUT); reads miss the entry until the time is over and the reads are used up.
    DelayedVisibility {
        /// The time.
        #[serde(default, with = "millis")]
        time: Duration,
        /// The reads, LIST and GET together.
        #[serde(default)]
        reads: u32,
    },
    /// Applied; `results` has a null in front of and behind the entries.
    NullInResults,
    /// Applied; `results` has an entry of a type that nobody knows.
    UnknownType,
    /// Applied; all entries have fields that nobody knows.
    UnknownFields,
    /// Applied; entries have no `id`.
    MissingIds,
    /// Applied; this is the body of the answer.
    ReplaceAnswer {
        /// The body.
        value: Value,
    },
    /// Before the request is worked on, another actor overwrites all entries with themselves: new ids.
    RollIds,
}

impl Effect {
    /// A 404 that is no Atlas error, as a proxy gives.
    pub fn foreign_not_found() -> Self {
        Self::Answer { status: 404, content_type: None, body: String::new() }
    }

    /// A 200 with a page for people.
    pub fn html() -> Self {
        let body = "<!DOCTYPE html><html><body><h1>Please sign in</h1></body></html>".to_owned();
        Self::Answer { status: 200, content_type: Some("text/html;charset=utf-8".to_owned()), body }
    }

    /// A 200 that says it is JSON and is not.
    pub fn not_json() -> Self {
        let content_type = Some("application/json".to_owned());
        Self::Answer { status: 200, content_type, body: "{\"results\": [ oops".to_owned() }
    }

    /// A redirect to this address.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Redirect { status, location: location.to_owned() }
    }

    /// A page that consists of one entry, again and again, until it has about so many bytes.
    pub fn page_full_of(entry: &str, bytes: usize) -> Self {
        let entries = vec![entry; bytes / (entry.len() + 1)].join(",");
        Self::Answer { status: 200, content_type: None, body: format!("{{\"results\":[{entries}]}}") }
    }

    /// Bytes that no server sends.
    pub fn raw(answer: Raw) -> Self {
        Self::Raw { answer }
    }

    /// Any error of Atlas.
    pub fn error(status: u16, error_code: &str, detail: &str) -> Self {
        let (error_code, detail) = (error_code.to_owned(), detail.to_owned());
        Self::Error { status, error_code, detail, retry_after: None, remaining: None }
    }
}

/// What a matcher looks at.
pub(crate) struct Sight<'a> {
    pub method: &'a str,
    pub integration_type: Option<&'a str>,
    pub operation: Option<Operation>,
    pub api: Api,
    pub credential: Option<&'a str>,
    pub authenticated: bool,
}

impl Matcher {
    fn matches(&self, sight: &Sight<'_>) -> bool {
        let authentication = match self.authentication {
            Authentication::Good => sight.authenticated,
            Authentication::Missing => !sight.authenticated,
            Authentication::Any => true,
        };
        authentication
            && self.method.as_deref().is_none_or(|method| method == sight.method)
            && self.integration_type.as_deref().is_none_or(|kind| Some(kind) == sight.integration_type)
            && self.operation.is_none_or(|operation| Some(operation) == sight.operation)
            && self.credential.as_deref().is_none_or(|name| Some(name) == sight.credential)
            && self.api.map_or(sight.api != Api::OAuth, |api| api == sight.api)
    }
}

/// The faults that wait for their request, in the order in which they were given.
#[derive(Default)]
pub(crate) struct Queue(Vec<Fault>);

impl Queue {
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn waiting(&self) -> &[Fault] {
        &self.0
    }

    /// The effect for this request: that of the first fault which matches and has let enough requests pass.
    pub fn take(&mut self, sight: &Sight<'_>) -> Option<Effect> {
        for (position, fault) in self.0.iter_mut().enumerate() {
            if !fault.when.matches(sight) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            let effect = fault.effect.clone();
            if let Some(times) = &mut fault.times {
                *times = times.saturating_sub(1);
                if *times == 0 {
                    self.0.remove(position);
                }
            }
            return Some(effect);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(method: &str, authenticated: bool) -> Sight<'_> {
        let (integration_type, operation, credential) =
            (Some("DATADOG"), Some(Operation::Create), Some("key"));
        Sight { method, integration_type, operation, api: Api::V2, credential, authenticated }
    }

    #[test]
    fn a_fault_waits_hits_and_goes() {
        let mut queue = Queue::default();
        queue.push(Fault::new(Effect::ServerError).on("POST").after(1).times(2));
        assert_eq!(queue.take(&sight("GET", true)), None);
        assert_eq!(queue.take(&sight("POST", false)), None, "challenges do not count");
        assert_eq!(queue.take(&sight("POST", true)), None, "the first one passes");
        assert_eq!(queue.take(&sight("POST", true)), Some(Effect::ServerError));
        assert_eq!(queue.take(&sight("POST", true)), Some(Effect::ServerError));
        assert_eq!(queue.take(&sight("POST", true)), None);
        assert!(queue.waiting().is_empty());
    }

    #[test]
    fn faults_are_read_from_json() {
        let text = r#"{"when": {"method": "PUT", "api": "V2"}, "effect": {"kind": "slow", "delay": 1500}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(fault.times, Some(1));
        assert_eq!(fault.effect, Effect::Slow { delay: Duration::from_millis(1500) });
        let text = r#"{"times": null, "effect": {"kind": "unavailable", "retryAfter": 3}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(fault.times, None);
        assert!(serde_json::from_str::<Fault>(r#"{"effect": {"kind": "explode"}}"#).is_err());
    }
}
