//! The log of HTTP exchanges, and the counters. It records what was said; it decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many exchanges are kept per project.
const KEPT: usize = 10_000;

/// Which interface a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Api {
    /// `/api/atlas/v1.0`.
    V1,
    /// `/api/atlas/v2`.
    V2,
    /// `/api/oauth`.
    OAuth,
    /// Any other path.
    Other,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// GET of all integrations.
    List,
    /// GET of one type.
    Get,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// DELETE.
    Delete,
}

impl Operation {
    /// Whether it changes the store.
    pub fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete)
    }
}

/// How a request says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scheme {
    /// HTTP digest.
    Digest,
    /// An OAuth token.
    Bearer,
    /// HTTP basic, for OAuth clients.
    Basic,
    /// Something else.
    Other,
}

/// One request and what became of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange {
    /// Grows by one with each request of the whole simulator.
    pub sequence: u64,
    /// When the request had arrived, for measuring distances.
    #[serde(skip)]
    pub at: Instant,
    /// When the request had arrived, for reading.
    #[serde(serialize_with = "as_millis")]
    pub time: SystemTime,
    /// Number of the TCP connection.
    pub connection: u64,
    /// HTTP method.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Query as sent, without the question mark; empty if there is none.
    pub query: String,
    /// Interface.
    pub api: Api,
    /// Operation, if the request is one of the five.
    pub operation: Option<Operation>,
    /// Integration type in the path.
    pub integration_type: Option<String>,
    /// Status of the answer; 0 while there is none: still at work, held, or cut.
    pub status: u16,
    /// Atlas's error code in the answer.
    pub error_code: Option<String>,
    /// Whether the credentials were good.
    pub authenticated: bool,
    /// How the request said who it is.
    pub scheme: Option<Scheme>,
    /// Public key or client id that was named, good or not.
    pub credential: Option<String>,
    /// `nc` of digest credentials.
    pub nonce_count: Option<u32>,
    /// Request headers, names in lower case, as sent.
    pub headers: Vec<(String, String)>,
    /// Request body, if it is JSON.
    pub body: Option<Value>,
    /// Request body, if it is a form.
    pub form: Option<String>,
    /// Whether a scripted fault was used on this request.
    pub faulted: bool,
}

/// Milliseconds since 1970.
fn as_millis<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_u64(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Exchange {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether it is a write that was let through authentication.
    pub fn is_write(&self) -> bool {
        self.authenticated && self.operation.is_some_and(Operation::writes)
    }
}

/// The last exchanges, oldest first.
#[derive(Default)]
pub(crate) struct Log(VecDeque<Arc<Exchange>>);

impl Log {
    pub fn push(&mut self, exchange: Exchange) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Arc::new(exchange));
    }

    pub fn update(&mut self, sequence: u64, change: impl FnOnce(&mut Exchange)) {
        if let Some(found) = self.0.iter_mut().rev().find(|exchange| exchange.sequence == sequence) {
            change(Arc::make_mut(found));
        }
    }

    /// What is there now, cheap to take along.
    pub fn all(&self) -> Vec<Arc<Exchange>> {
        self.0.iter().cloned().collect()
    }

    pub fn copies(&self) -> Vec<Exchange> {
        self.0.iter().map(|exchange| Exchange::clone(exchange)).collect()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// One change of what Atlas stores: of one type in one project.
#[derive(Clone, Debug)]
pub struct Change {
    /// When it took effect, which may be long after its request came.
    pub at: Instant,
    /// The request that did it ([`Exchange::sequence`]); `None` where a test played another actor.
    pub by: Option<u64>,
    /// The integration type.
    pub integration_type: String,
    /// What was there, secrets in clear.
    pub before: Option<Value>,
    /// What is there now, secrets in clear.
    pub after: Option<Value>,
}

/// The last changes, oldest first.
#[derive(Default)]
pub(crate) struct Changes(VecDeque<Change>);

impl Changes {
    /// Notes what became of one type, if anything did.
    pub fn note(&mut self, by: Option<u64>, kind: &str, before: Option<Value>, after: Option<Value>) {
        if before == after {
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        let integration_type = kind.to_owned();
        self.0.push_back(Change { at: Instant::now(), by, integration_type, before, after });
    }

    pub fn copies(&self) -> Vec<Change> {
        self.0.iter().cloned().collect()
    }
}

/// Counters of the whole simulator.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// TCP connections accepted.
    pub connections: u64,
    /// HTTP requests, those to the admin interface not included.
    pub requests: u64,
    /// Answers by method and status, as `"GET 200"`; status 0 stands for a cut connection.
    pub answers: BTreeMap<String, u64>,
    /// Requests for an OAuth token.
    pub token_requests: u64,
    /// OAuth tokens given out.
    pub tokens_issued: u64,
    /// Requests for a revocation.
    pub revoke_requests: u64,
}

impl Counters {
    /// Answers with this method and status.
    pub fn answered(&self, method: &str, status: u16) -> u64 {
        self.answers.get(&format!("{method} {status}")).copied().unwrap_or(0)
    }
}
