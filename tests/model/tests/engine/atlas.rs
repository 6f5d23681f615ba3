//! An Atlas as small as the engine needs it: one integration of one project, over HTTP on 127.0.0.1, as the history's
//! script has its calls go. The simulator (`tests/atlas-sim`) is the faithful one; this one shares the clock of the
//! operator and lets others act while a call is on its way.

use atlas_integration_model::operator::Fate;
use atlas_integration_model::state::{FOREIGN, REFUSED};
use atlas_integration_model::world::Outside;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::history::{Course, call_line};
use crate::stage::Stage;

/// The integration.
#[derive(Clone, Copy, Debug)]
struct Entry {
    visible: u8,
    value: u8,
    id: u64,
}

/// What Atlas stores.
#[derive(Default)]
pub struct Atlas {
    entry: Option<Entry>,
    ids: u64,
    /// A call that lands later, before the next LIST is answered or after it.
    late: Option<(Change, bool)>,
}

/// A call that changes something.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Post(u8, u8),
    Put(u8, u8),
    Delete,
}

/// The secret value of what others write.
const OTHERS: u8 = 8;

impl Atlas {
    /// The visible setting of the integration, if there is one.
    pub fn visible(&self) -> Option<u8> {
        self.entry.map(|entry| entry.visible)
    }

    /// The id of the integration, as Atlas shows it.
    pub fn id(&self) -> Option<String> {
        self.entry.map(|entry| entry.id.to_string())
    }

    fn put(&mut self, visible: u8, value: u8) {
        self.ids += 1;
        self.entry = Some(Entry { visible, value, id: self.ids });
    }

    /// Somebody else acts.
    pub fn outside(&mut self, what: Outside, twin: u8) {
        match (what, self.entry) {
            (Outside::CreateTwin, None) => self.put(twin, OTHERS),
            (Outside::Create, None) => self.put(FOREIGN, OTHERS),
            (Outside::PutHidden, Some(entry)) => self.put(entry.visible, OTHERS),
            (Outside::PutVisible, Some(_)) => self.put(FOREIGN, OTHERS),
            (Outside::Delete, Some(_)) => self.entry = None,
            _ => {}
        }
    }

    /// Carries a call out; status and code.
    fn land(&mut self, change: Change) -> (u16, &'static str) {
        match (change, self.entry) {
            (Change::Post(..), Some(_)) => (409, "INTEGRATION_ALREADY_CONFIGURED"),
            (Change::Put(..) | Change::Delete, None) => (404, "INTEGRATION_NOT_CONFIGURED"),
            (Change::Post(visible, _) | Change::Put(visible, _), _) if visible == REFUSED => {
                (400, "INVALID_ATTRIBUTE")
            }
            (Change::Post(visible, value) | Change::Put(visible, value), _) => {
                self.put(visible, value);
                (200, "")
            }
            (Change::Delete, Some(_)) => {
                self.entry = None;
                (204, "")
            }
        }
    }

    /// Whether a call has not landed yet.
    pub fn is_late(&self) -> bool {
        self.late.is_some()
    }

    /// A late call lands, if one is left; whether one was.
    pub fn land_late(&mut self) -> bool {
        let late = self.late.take();
        late.map(|(change, _)| self.land(change)).is_some()
    }

    fn page(&self) -> Value {
        let entry = self.entry.map(|entry| {
            json!({"type": "PROMETHEUS", "id": entry.id.to_string(), "username": format!("v{}", entry.visible),
                "serviceDiscovery": "http", "enabled": true})
        });
        json!({"links": [], "results": entry.into_iter().collect::<Vec<_>>(), "totalCount": 1})
    }
}

/// Serves the stage's Atlas until the stage is dropped.
pub async fn listen(stage: Stage, listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let stage = stage.clone();
        let service = service_fn(move |request| serve(stage.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// One request; an error closes the connection without an answer.
async fn serve(stage: Stage, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if !head.headers.contains_key(hyper::header::AUTHORIZATION) {
        drop(stage.touch());
        return Ok(challenge());
    }
    let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
    let digit = |name: &str, before: &str| {
        sent[name].as_str().and_then(|text| text.strip_prefix(before)?.parse().ok()).unwrap_or_default()
    };
    let (visible, value) = (digit("username", "v"), digit("password", "value-"));
    let change = match head.method {
        Method::GET => return Ok(list(&stage)),
        Method::POST => Change::Post(visible, value),
        Method::PUT => Change::Put(visible, value),
        _ => Change::Delete,
    };
    call(&stage, change).await
}

fn list(stage: &Stage) -> Response<Full<Bytes>> {
    let mut scene = stage.touch();
    scene.listed();
    let after_list = scene.atlas.late.is_some_and(|(_, after_list)| after_list);
    if !after_list {
        scene.atlas.land_late();
    }
    let page = scene.atlas.page();
    if after_list {
        scene.atlas.land_late();
    }
    reply(200, &page)
}

async fn call(stage: &Stage, change: Change) -> Result<Response<Full<Bytes>>, Cut> {
    let course = {
        let mut scene = stage.touch();
        let course = scene.next_course();
        let (method, sent) = match change {
            Change::Post(visible, value) => ("POST", Some((visible, value))),
            Change::Put(visible, value) => ("PUT", Some((visible, value))),
            Change::Delete => ("DELETE", None),
        };
        let there = scene.atlas.entry.map(|entry| (entry.visible, entry.value));
        let line = call_line(scene.fenced(), method, sent, there, course);
        scene.write(line);
        course
    };
    match course {
        Course::Fate { fate: Fate::Lost, .. } | Course::Unsent => return Err(Cut),
        Course::Fate { fate: Fate::AnswerLost, .. } => {
            stage.scene().atlas.land(change);
            return Err(Cut);
        }
        Course::Fate { fate: Fate::Late, after_list } => {
            stage.scene().atlas.late = Some((change, after_list));
            return Err(Cut);
        }
        Course::Fate { fate: Fate::Limited, .. } => {
            let mut limited = refusal(429, "RATE_LIMITED");
            limited.headers_mut().insert("Retry-After", hyper::header::HeaderValue::from_static("1"));
            return Ok(limited);
        }
        Course::KilledUnderWay { landed } => {
            // With its operator this request ends, too.
            if landed {
                stage.scene().atlas.land(change);
            }
            stage.kill().await;
            return Err(Cut);
        }
        Course::Meanwhile { act, landed: false } => stage.act(act).await,
        Course::Fate { fate: Fate::Answered, .. }
        | Course::Unstored
        | Course::KilledConfirmed
        | Course::Meanwhile { landed: true, .. } => {}
    }
    let (status, code) = stage.scene().atlas.land(change);
    // The answer is made before anybody else acts.
    let answer = match status {
        200 => reply(200, &stage.scene().atlas.page()),
        204 => reply(204, &Value::Null),
        status => refusal(status, code),
    };
    match course {
        Course::Meanwhile { act, landed: true } => stage.act(act).await,
        Course::Unstored => stage.scene().refuse_next_store(),
        Course::KilledConfirmed if status < 300 => stage.scene().die_before_next_store(),
        _ => {}
    }
    Ok(answer)
}

fn challenge() -> Response<Full<Bytes>> {
    let mut response = refusal(401, "UNAUTHORIZED");
    let challenge = "Digest realm=\"MMS Public API\", domain=\"\", nonce=\"once\", algorithm=MD5, qop=\"auth\", stale=false";
    let challenge = hyper::header::HeaderValue::from_static(challenge);
    response.headers_mut().insert(hyper::header::WWW_AUTHENTICATE, challenge);
    response
}

fn refusal(status: u16, code: &str) -> Response<Full<Bytes>> {
    reply(
        status,
        &json!({"error": status, "errorCode": code, "detail": "As the history has it.", "reason": "so"}),
    )
}

fn reply(status: u16, value: &Value) -> Response<Full<Bytes>> {
    let body = if value.is_null() { Bytes::new() } else { Bytes::from(value.to_string()) };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response
}

/// Ends a connection before its answer.
#[derive(Debug)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("cut")
    }
}

impl std::error::Error for Cut {}
