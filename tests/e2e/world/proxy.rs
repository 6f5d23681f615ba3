//! A proxy between one operator and both of its servers, the API server and Atlas, which it takes from the operator
//! as faults ask for.
//!
//! A fault of a request is set by [`Proxy::fault`]: which requests, how many of them are let through first, how many
//! are hit. A kill at a request is [`Fault::Silence`] with [`Operator::kill`] when [`Proxy::until_hit`] says that the
//! request has come. Faults of watches and of whole servers are switches: [`Proxy::freeze_watches`],
//! [`Proxy::cut_watches`], [`Proxy::drop_events`], [`Proxy::refuse`].

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use atlas_integration_stage::samples::datadog;
use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use atlas_integration_operator::api::CLAIM_ANNOTATION;

use crate::world::{Operator, World, rules, until_true};

/// One of the operator's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// kube-apiserver.
    Cluster,
    /// The simulator.
    Atlas,
}

/// Before or after the server did what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The server never hears of it.
    Before,
    /// The server has answered, and the operator does not hear of it.
    Applied,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered in the words of its server, which never hears of it.
    Answer {
        /// HTTP status, such as 409.
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u32>,
    },
    /// It is a watch, and gets a stream of one event that is an error of this code: so kube-apiserver tells of a
    /// resourceVersion that is too old (410).
    ErrorEvent(u16),
    /// Its connection is cut.
    Cut(At),
    /// No answer ever comes.
    Silence(At),
    /// Its answer comes so much later.
    Slow(Duration),
    /// The server answers, and the operator gets this answer after [`Proxy::let_go`].
    Held,
    /// No answer ever comes, and this long after the operator has given it up, or was killed, the server hears of it.
    Late(Duration),
}

/// A request that came by.
#[derive(Clone, Debug)]
pub struct Request {
    pub side: Side,
    pub method: Method,
    pub path: String,
    /// Without the question mark; empty if there is none.
    pub query: String,
    /// Whether it has credentials: the first request of a digest session has none, and is refused for that.
    pub authorized: bool,
    /// Its body, null unless it is JSON.
    pub body: Value,
    /// The status of the answer that the operator got, if it got one.
    pub answer: Option<u16>,
    /// When it came.
    pub at: Instant,
}

impl Request {
    /// Whether it writes what counts: objects and their statuses, integrations. Events are told beside the work, at
    /// any time, and nothing depends on them.
    pub fn is_write(&self) -> bool {
        let event = self.side == Side::Cluster && self.path.ends_with("/events");
        self.authorized && self.method != Method::GET && !event
    }

    /// Whether it is a LIST of a project's integrations that was answered.
    pub fn is_atlas_list(&self) -> bool {
        self.side == Side::Atlas
            && self.method == Method::GET
            && self.path.ends_with("/integrations")
            && self.answer == Some(200)
    }

    /// Whether it is a watch.
    pub fn is_watch(&self) -> bool {
        self.side == Side::Cluster
            && self.query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
    }
}

/// Method and path, and what a patch is for.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if self.method != Method::PATCH {
            return Ok(());
        }
        let claim = &self.body["metadata"]["annotations"][CLAIM_ANNOTATION];
        let kind = match (&self.body["status"], claim) {
            (Value::Null, Value::Null) => "release",
            (Value::Null, _) => "claim",
            (status, _) if status.as_object().is_some_and(|s| s.keys().eq(["attempt"])) => "fence",
            _ => "status",
        };
        write!(f, " ({kind})")
    }
}

/// A running proxy. It ends with the runtime of its test.
pub struct Proxy {
    state: Arc<State>,
    atlas: String,
    kubeconfig: PathBuf,
}

struct State {
    cluster: String,
    atlas: String,
    http: reqwest::Client,
    mode: watch::Sender<Mode>,
    log: Mutex<Log>,
}

/// What holds for connections and watches.
#[derive(Clone, Default)]
struct Mode {
    frozen: bool,
    /// Watches that were opened before the last change of this number are over.
    cuts: u64,
    refused: BTreeSet<Side>,
    let_go: bool,
}

type Fits<T> = Box<dyn Fn(&T) -> bool + Send>;

#[derive(Default)]
struct Log {
    requests: Vec<Request>,
    rules: Vec<Rule>,
    /// Places in `requests`.
    hits: Vec<usize>,
    dropped: Option<Fits<Value>>,
}

struct Rule {
    when: Fits<Request>,
    after: usize,
    times: usize,
    fault: Fault,
}

impl Proxy {
    /// Starts one for the operators of a world: plain HTTP towards them, with their own credentials passed on.
    pub async fn start(world: &World) -> Proxy {
        // Whoever comes first; all install the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plane = &world.shared.plane;
        let authority = reqwest::Certificate::from_pem(plane.ca_pem().as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([authority]).http1_only().no_proxy();
        let state = Arc::new(State {
            cluster: plane.server().to_owned(),
            atlas: world.shared.sim.url(),
            http: http.redirect(reqwest::redirect::Policy::none()).build().unwrap(),
            mode: watch::Sender::default(),
            log: Mutex::default(),
        });
        let cluster = listen(&state, Side::Cluster).await;
        let atlas = listen(&state, Side::Atlas).await;
        let namespace = &world.namespace;
        let accounts: Api<ServiceAccount> = Api::namespaced(world.client.clone(), namespace);
        let asked = TokenRequest::default();
        let token = accounts.create_token_request("operator", &PostParams::default(), &asked).await.unwrap();
        let kubeconfig = json!({
            "clusters": [{"name": "proxy", "cluster": {"server": cluster}}],
            "users": [{"name": "operator", "user": {"token": token.status.unwrap().token}}],
            "contexts": [{"name": "proxy",
                "context": {"cluster": "proxy", "user": "operator", "namespace": namespace}}],
            "current-context": "proxy",
        });
        let path = plane.dir().join(format!("{namespace}.proxied.kubeconfig"));
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        Proxy { state, atlas, kubeconfig: path }
    }

    /// Starts an operator for the world's namespace behind this proxy, and waits until it is ready.
    pub async fn operator(&self, world: &World, flags: &[&str]) -> Operator {
        self.operator_unready(world, flags).await.ready().await
    }

    /// The same without waiting for it to be ready.
    pub async fn operator_unready(&self, world: &World, flags: &[&str]) -> Operator {
        let flags = [&["--watch-namespace", world.namespace.as_str()], flags].concat();
        rules::install(&world.shared.plane, world.account(), &flags).await;
        Operator::start_by(&world.shared.plane, &self.kubeconfig, &self.atlas, &flags, &[]).await
    }

    /// From now on, lets `after` requests that fit pass, and then hits so many of them.
    pub fn fault(
        &self,
        when: impl Fn(&Request) -> bool + Send + 'static,
        after: usize,
        times: usize,
        fault: Fault,
    ) {
        self.state.log().rules.push(Rule { when: Box::new(when), after, times, fault });
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.state.log().requests.clone()
    }

    /// How many requests fit.
    pub fn count(&self, fits: impl Fn(&Request) -> bool) -> usize {
        self.state.log().requests.iter().filter(|request| fits(request)).count()
    }

    /// The requests that a fault hit.
    pub fn hits(&self) -> Vec<Request> {
        let log = self.state.log();
        log.hits.iter().map(|place| log.requests[*place].clone()).collect()
    }

    /// Waits until so many requests were hit; the last of them, if it is hit before its answer, is held by then.
    pub async fn until_hit(&self, times: usize) {
        until_true("a request that meets its fault", || self.hits().len() >= times).await;
    }

    /// Lets nothing more through on any watch, while all connections stay open; or lets all go on, with what came
    /// meanwhile.
    pub fn freeze_watches(&self, frozen: bool) {
        self.state.mode.send_modify(|mode| mode.frozen = frozen);
    }

    /// Cuts all watches; new ones are none of its business.
    pub fn cut_watches(&self) {
        self.state.mode.send_modify(|mode| mode.cuts += 1);
    }

    /// Keeps back the watch events (`{"type": …, "object": …}`) that fit, from now on.
    pub fn drop_events(&self, fits: impl Fn(&Value) -> bool + Send + 'static) {
        self.state.log().dropped = Some(Box::new(fits));
    }

    /// Lets the answers go that [`Fault::Held`] has held, and those that it would hold.
    pub fn let_go(&self) {
        self.state.mode.send_modify(|mode| mode.let_go = true);
    }

    /// Makes a server unreachable for this operator: connections end at once, old and new; or reachable again.
    pub fn refuse(&self, side: Side, refused: bool) {
        self.state.mode.send_modify(|mode| {
            if refused {
                mode.refused.insert(side);
            } else {
                mode.refused.remove(&side);
            }
        });
    }
}

async fn listen(state: &Arc<State>, side: Side) -> String {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::clone(state);
    tokio::spawn(async move {
        loop {
            // An error is that of one connection, which has gone already.
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(Arc::clone(&state), side, stream));
            }
        }
    });
    format!("http://{address}")
}

async fn connection(state: Arc<State>, side: Side, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut mode = state.mode.subscribe();
    let service = service_fn(|request| handle(Arc::clone(&state), side, request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // Errors are operators that went away, and cuts.
        _ = served => {}
        _ = mode.wait_for(|mode| mode.refused.contains(&side)) => {}
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A request as it is sent to its server.
struct Outgoing {
    head: hyper::http::request::Parts,
    body: Bytes,
    side: Side,
}

/// Answers a request; an error cuts its connection.
async fn handle(
    state: Arc<State>,
    side: Side,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let seen = Request {
        side,
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        authorized: head.headers.contains_key("authorization"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        answer: None,
        at: Instant::now(),
    };
    let watch = seen.is_watch();
    let (place, fault) = state.note(seen);
    let outgoing = Outgoing { head, body, side };
    let response = match fault {
        None if watch => Arc::clone(&state).watch(&outgoing).await?,
        None => state.pass_on(&outgoing).await?,
        Some(Fault::Answer { status, retry_after }) => in_words_of(side, status, retry_after),
        Some(Fault::ErrorEvent(code)) => {
            let event = json!({"type": "ERROR", "object": status_object(code)});
            Response::new(whole(format!("{event}\n")))
        }
        Some(Fault::Cut(at) | Fault::Silence(at)) => {
            if at == At::Applied {
                state.pass_on(&outgoing).await?;
            }
            if let Some(Fault::Silence(_)) = fault {
                state.hit(place);
                std::future::pending::<()>().await;
            }
            state.hit(place);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Some(Fault::Slow(delay)) => {
            let answer = state.pass_on(&outgoing).await?;
            tokio::time::sleep(delay).await;
            answer
        }
        Some(Fault::Held) => {
            let answer = state.pass_on(&outgoing).await?;
            state.hit(place);
            let _ = state.mode.subscribe().wait_for(|mode| mode.let_go).await;
            answer
        }
        Some(Fault::Late(delay)) => {
            // Dropped with this future, when the operator closes the connection.
            let (_held, given_up) = oneshot::channel::<()>();
            let later = Arc::clone(&state);
            tokio::spawn(async move {
                let _ = given_up.await;
                tokio::time::sleep(delay).await;
                // Nobody waits for its answer.
                let _ = later.pass_on(&outgoing).await;
            });
            state.hit(place);
            std::future::pending::<Response<Body>>().await
        }
    };
    if fault.is_some_and(|fault| fault != Fault::Held) {
        state.hit(place);
    }
    state.log().requests[place].answer = Some(response.status().as_u16());
    Ok(response)
}

impl State {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a request, and finds what becomes of it.
    fn note(&self, request: Request) -> (usize, Option<Fault>) {
        let mut log = self.log();
        let mut fault = None;
        for rule in &mut log.rules {
            if rule.times == 0 || !(rule.when)(&request) {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
            } else if fault.is_none() {
                rule.times -= 1;
                fault = Some(rule.fault);
            }
        }
        log.requests.push(request);
        (log.requests.len() - 1, fault)
    }

    fn hit(&self, place: usize) {
        self.log().hits.push(place);
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<reqwest::Response, io::Error> {
        let base = match outgoing.side {
            Side::Cluster => &self.cluster,
            Side::Atlas => &self.atlas,
        };
        let mut headers = outgoing.head.headers.clone();
        for own in [HOST, CONNECTION, TRANSFER_ENCODING] {
            headers.remove(own);
        }
        let request = self.http.request(outgoing.head.method.clone(), format!("{base}{}", outgoing.head.uri));
        request.headers(headers).body(outgoing.body.clone()).send().await.map_err(io::Error::other)
    }

    /// Passes a request on and reads the whole answer.
    async fn pass_on(&self, outgoing: &Outgoing) -> Result<Response<Body>, io::Error> {
        let upstream = self.send(outgoing).await?;
        let mut response = head_of(&upstream);
        let body = upstream.bytes().await.map_err(io::Error::other)?;
        *response.body_mut() = whole(body);
        Ok(response)
    }

    /// Passes a watch on, and its events as they come.
    async fn watch(self: Arc<State>, outgoing: &Outgoing) -> Result<Response<Body>, io::Error> {
        let mode = self.mode.subscribe();
        let cuts = mode.borrow().cuts;
        let upstream = self.send(outgoing).await?;
        let mut response = head_of(&upstream);
        let events = Events { state: self, upstream, mode, cuts, read: Vec::new() };
        let frames = stream::unfold(Some(events), |events| async move {
            let mut events = events?;
            match events.next().await {
                Ok(Some(line)) => Some((Ok(Frame::data(line)), Some(events))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        *response.body_mut() = StreamBody::new(frames).boxed_unsync();
        Ok(response)
    }
}

/// The events of one watch.
struct Events {
    state: Arc<State>,
    upstream: reqwest::Response,
    mode: watch::Receiver<Mode>,
    /// How many cuts there were when it began.
    cuts: u64,
    /// What came of the next lines.
    read: Vec<u8>,
}

impl Events {
    /// The next line to be passed on.
    async fn next(&mut self) -> Result<Option<Bytes>, io::Error> {
        let cuts = self.cuts;
        let mut mode = self.mode.clone();
        tokio::select! {
            _ = mode.wait_for(|mode| mode.cuts != cuts) => Err(io::ErrorKind::ConnectionAborted.into()),
            line = self.line() => line,
        }
    }

    async fn line(&mut self) -> Result<Option<Bytes>, io::Error> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                let line = std::mem::replace(&mut self.read, rest);
                let event = serde_json::from_slice(&line).unwrap_or_default();
                if self.state.log().dropped.as_ref().is_some_and(|dropped| dropped(&event)) {
                    continue;
                }
                let _ = self.mode.wait_for(|mode| !mode.frozen).await;
                return Ok(Some(line.into()));
            }
            match self.upstream.chunk().await.map_err(io::Error::other)? {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// Status and headers of an answer.
fn head_of(upstream: &reqwest::Response) -> Response<Body> {
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() = upstream.status();
    let kept = |name: &&HeaderName| **name != CONNECTION && **name != TRANSFER_ENCODING;
    for name in upstream.headers().keys().filter(kept) {
        for value in upstream.headers().get_all(name) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An error answer as the server itself gives it.
fn in_words_of(side: Side, status: u16, retry_after: Option<u32>) -> Response<Body> {
    let body = match side {
        Side::Cluster => status_object(status),
        Side::Atlas => {
            let code = match status {
                409 => "INTEGRATION_ALREADY_CONFIGURED",
                429 => "RATE_LIMITED",
                503 => "SERVICE_UNAVAILABLE",
                _ => "UNEXPECTED_ERROR",
            };
            json!({"detail": "by the proxy", "error": status, "errorCode": code, "parameters": [], "reason": ""})
        }
    };
    let mut response = Response::new(whole(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().unwrap());
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn status_object(code: u16) -> Value {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "by the proxy", "reason": reason, "code": code})
}

fn is_of(event: &Value, name: &str) -> bool {
    event["object"]["metadata"]["name"] == name
}

/// What waits in a frozen watch comes with the thaw.
#[tokio::test(flavor = "multi_thread")]
async fn watches_freeze_and_thaw() {
    let world = World::with_datadog_key("proxy-freeze").await;
    let proxy = Proxy::start(&world).await;
    let _operator = proxy.operator(&world, &["--resync-interval", "1h"]).await;
    proxy.freeze_watches(true);
    let come = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&come);
    proxy.drop_events(move |event| {
        seen.fetch_or(is_of(event, "x"), Ordering::Relaxed);
        false
    });
    let x = world.datadog("x").await;
    until_true("the event at the proxy", || come.load(Ordering::Relaxed)).await;
    assert_eq!(proxy.count(Request::is_write), 0, "the operator knows nothing of it");
    proxy.freeze_watches(false);
    x.synced().await;
    assert!(proxy.count(Request::is_write) > 0);
}

/// What a watch kept back is seen when the next one is refused as too old, and a list takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_lost_and_a_list_finds_them() {
    let world = World::with_datadog_key("proxy-lost").await;
    let proxy = Proxy::start(&world).await;
    let _operator = proxy.operator(&world, &["--resync-interval", "1h"]).await;
    proxy.drop_events(|event| is_of(event, "x"));
    let x = world.datadog("x").await;
    let other = json!({"projectId": "5d791c84ff7a252200000000"});
    let y = world.integration("y", &datadog(other)).await;
    y.reaches("False", "ProjectNotFound").await;
    let object = x.get().await;
    assert!(object["status"]["conditions"].is_null(), "{object:#}");
    let integrations = |request: &Request| request.is_watch() && request.path.ends_with("integrations");
    proxy.fault(integrations, 0, 1, Fault::ErrorEvent(410));
    proxy.cut_watches();
    x.synced().await;
    assert_eq!(proxy.hits().len(), 1);
}

/// Unreachable for this operator, and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_refused_and_given_back() {
    let world = World::with_datadog_key("proxy-refuse").await;
    let proxy = Proxy::start(&world).await;
    let operator = proxy.operator(&world, &["--resync-interval", "1h"]).await;
    proxy.refuse(Side::Cluster, true);
    let x = world.datadog("x").await;
    until_true("a failed watch", || operator.logs().contains("watch of AtlasIntegration objects")).await;
    assert_eq!(proxy.count(Request::is_write), 0);
    proxy.refuse(Side::Atlas, true);
    proxy.refuse(Side::Cluster, false);
    x.reaches("False", "AtlasUnavailable").await;
    proxy.refuse(Side::Atlas, false);
    x.synced().await;
}

/// What Atlas hears of a POST under each fault, and that the operator gets there all the same.
#[rstest]
#[case::answered("answer", Fault::Answer { status: 429, retry_after: Some(1) }, &["POST"])]
#[case::cut("cut", Fault::Cut(At::Before), &["POST"])]
#[case::cut_after("cut-after", Fault::Cut(At::Applied), &["POST", "PUT"])]
#[case::silent("silent", Fault::Silence(At::Before), &["POST"])]
#[case::slow("slow", Fault::Slow(Duration::from_millis(300)), &["POST"])]
#[case::silent_after("silent-after", Fault::Silence(At::Applied), &["POST", "PUT"])]
#[case::late("late", Fault::Late(Duration::ZERO), &["POST", "PUT"])]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_meets_its_fault(#[case] name: &str, #[case] fault: Fault, #[case] heard: &[&str]) {
    let world = World::with_datadog_key(&format!("proxy-{name}")).await;
    let proxy = Proxy::start(&world).await;
    let _operator = proxy.operator(&world, &["--atlas-timeout", "2s"]).await;
    let write = |request: &Request| request.side == Side::Atlas && request.is_write();
    proxy.fault(write, 0, 1, fault);
    let x = world.datadog("x").await;
    proxy.until_hit(1).await;
    assert_eq!(proxy.hits()[0].method, Method::POST);
    x.synced().await;
    assert_eq!(world.atlas_writes(), heard);
    assert_eq!(world.project.stored().len(), 1);
}
