//! One request from arrival to answer: log it, look at credentials and faults, do it, carry out the fault.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::time::sleep;

use crate::admin;
use crate::auth::{self, Claim, Principal, Verdict};
use crate::body::{Cut, Wire};
use crate::effects;
use crate::exchange::{Api, Exchange, Operation};
use crate::fault::{Effect, Sight};
use crate::integrations::{self, Call};
use crate::reply::Reply;
use crate::request::{Request, Target};
use crate::settings::{Serve, Settings};
use crate::state::{Shared, State};
use crate::version;

/// What is known about a request once it is logged.
struct Plan {
    target: Target,
    sequence: u64,
    settings: Settings,
    effect: Option<Effect>,
    step: Step,
}

/// What is to be done with it.
enum Step {
    /// One of the five operations, or a path that is none, for a known sender.
    Work(Principal),
    /// The OAuth endpoints.
    OAuth,
    /// The answer is settled.
    Settled(Reply),
}

/// Handles one request. An error means that the connection is to be cut.
pub async fn handle(shared: Arc<Shared>, request: Request) -> Result<Response<Wire>, Cut> {
    if request.path.starts_with("/_admin") {
        return Ok(response(admin::answer(&shared, &request)));
    }
    let plan = begin(&mut shared.lock(), &request);
    sleep_for(plan.settings.latency).await;
    let effect = plan.effect.clone();
    match effect {
        Some(Effect::Reset) => Err(cut(&shared, &request, Cut::Reset)),
        Some(Effect::Close) => Err(cut(&shared, &request, Cut::Close)),
        Some(Effect::Raw { answer }) => Err(cut(&shared, &request, Cut::Raw(answer))),
        Some(Effect::Hold) => pending().await,
        Some(Effect::Slow { delay }) => {
            sleep_for(delay).await;
            Ok(response(finish(&shared, &request, &plan)))
        }
        Some(Effect::AppliedThenCut) => {
            work(&mut shared.lock(), &request, &plan);
            Err(cut(&shared, &request, Cut::Reset))
        }
        Some(Effect::AppliedThenHeld) => {
            work(&mut shared.lock(), &request, &plan);
            pending().await
        }
        Some(Effect::AppliedLate { delay }) => {
            // A task of its own: the client gives up long before, and this future is dropped then.
            tokio::spawn(async move {
                sleep(delay).await;
                work(&mut shared.lock(), &request, &plan);
            });
            pending().await
        }
        Some(Effect::TruncatedBody { keep }) => Ok(truncated(finish(&shared, &request, &plan), keep)),
        Some(Effect::Oversized { bytes }) => {
            let reply = Reply::with_body(200, "application/json", Vec::new());
            note(&mut shared.lock(), &request, &plan, &reply);
            let mut response = response(reply);
            *response.body_mut() = Wire::flood(bytes);
            Ok(response)
        }
        _ => Ok(response(finish(&shared, &request, &plan))),
    }
}

async fn sleep_for(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}

/// Logs the request and decides what is to be done.
fn begin(state: &mut State, request: &Request) -> Plan {
    let now = Instant::now();
    let target = Target::of(&request.path);
    let claim = auth::claim(state, request);
    let operation = target.operation(&request.method);
    let project = target.project.as_deref();
    let sequence =
        state.begin(project, |sequence| exchange(request, &target, operation, &claim, sequence, now));
    let projects = projects_of(state, &target, &claim);
    let settings =
        projects.iter().find(|id| state.projects.get(*id).is_some_and(|found| found.settings.is_some()));
    let settings = state.settings_of(settings.map(String::as_str)).clone();
    let mut plan = Plan { target, sequence, settings, effect: None, step: Step::OAuth };

    let foreign = version::serve(plan.target.api, &plan.settings) == Serve::ForeignNotFound;
    if plan.target.api == Api::Other || foreign {
        plan.step = Step::Settled(Reply::with_body(404, "text/plain", "not found"));
        return plan;
    }
    let verdict = match plan.target.api {
        Api::OAuth => None,
        _ => Some(auth::verify(state, request, &plan.settings, now)),
    };
    let authenticated = !matches!(verdict, Some(Verdict::Bad { .. }));
    plan.effect = take_fault(state, request, &plan.target, operation, &claim, authenticated, &projects);
    let stale = match (&plan.effect, &verdict) {
        (Some(Effect::Unauthorized), _) => Some(false),
        (Some(Effect::StaleNonce), _) => Some(true),
        (_, Some(Verdict::Bad { stale })) => Some(*stale),
        _ => None,
    };
    let instead = plan
        .effect
        .as_ref()
        .and_then(|effect| effects::instead(effect, request, &plan.target, &plan.settings));
    plan.step = match (instead, stale, verdict) {
        (Some(reply), _, _) => Step::Settled(reply),
        (None, Some(stale), _) => {
            let challenges = auth::challenges(&mut state.nonces, &plan.settings, stale, now);
            Step::Settled(Reply::unauthenticated(challenges))
        }
        (None, None, Some(Verdict::Good(principal))) => Step::Work(principal),
        (None, None, _) => Step::OAuth,
    };
    let faulted = plan.effect.is_some();
    state.log_of(plan.target.project.as_deref()).update(sequence, |exchange| {
        exchange.authenticated = authenticated && plan.target.api != Api::OAuth;
        exchange.faulted = faulted;
    });
    plan
}

fn exchange(
    request: &Request,
    target: &Target,
    operation: Option<Operation>,
    claim: &Claim,
    sequence: u64,
    now: Instant,
) -> Exchange {
    Exchange {
        sequence,
        at: now,
        time: SystemTime::now(),
        connection: request.connection,
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        api: target.api,
        operation,
        integration_type: target.integration_type.clone(),
        status: 0,
        error_code: None,
        authenticated: false,
        scheme: claim.scheme,
        credential: claim.name.clone(),
        nonce_count: claim.nonce_count,
        headers: request.headers.clone(),
        body: serde_json::from_slice(&request.body).ok(),
        form: form(request),
        faulted: false,
    }
}

fn form(request: &Request) -> Option<String> {
    let is_form = request.header("content-type")?.starts_with("application/x-www-form-urlencoded");
    is_form.then(|| String::from_utf8_lossy(&request.body).into_owned())
}

/// The projects whose switches and faults are for this request: the one in the path, or, for a token request, those
/// of the service account that asks.
fn projects_of(state: &State, target: &Target, claim: &Claim) -> Vec<String> {
    match (&target.project, &claim.name) {
        (Some(project), _) => vec![project.clone()],
        (None, Some(name)) if target.api == Api::OAuth => {
            let mut projects: Vec<String> =
                state.accounts.named(name).flat_map(|(_, account)| account.grants.keys().cloned()).collect();
            projects.sort();
            projects
        }
        _ => Vec::new(),
    }
}

fn take_fault(
    state: &mut State,
    request: &Request,
    target: &Target,
    operation: Option<Operation>,
    claim: &Claim,
    authenticated: bool,
    projects: &[String],
) -> Option<Effect> {
    let sight = Sight {
        method: &request.method,
        integration_type: target.integration_type.as_deref(),
        operation,
        api: target.api,
        credential: claim.name.as_deref(),
        authenticated,
    };
    let own =
        projects.iter().find_map(|id| state.projects.get_mut(id).and_then(|found| found.faults.take(&sight)));
    own.or_else(|| state.faults.take(&sight))
}

/// Does the work of a request and gives the answer.
fn work(state: &mut State, request: &Request, plan: &Plan) -> Reply {
    let now = Instant::now();
    match &plan.step {
        Step::Settled(reply) => reply.clone(),
        Step::OAuth => auth::oauth_answer(state, request, &plan.settings, now),
        Step::Work(principal) => {
            let (target, settings, effect) = (&plan.target, &plan.settings, plan.effect.as_ref());
            let call = Call { request, target, principal, settings, effect, now };
            match (&target.project, &target.integration_type) {
                (Some(project), Some(kind)) => state
                    .noting(project, kind, Some(plan.sequence), |state| integrations::answer(state, &call)),
                _ => integrations::answer(state, &call),
            }
        }
    }
}

/// Does the work and logs the answer.
fn finish(shared: &Shared, request: &Request, plan: &Plan) -> Reply {
    let mut state = shared.lock();
    let reply = work(&mut state, request, plan);
    note(&mut state, request, plan, &reply);
    reply
}

/// Logs an answer.
fn note(state: &mut State, request: &Request, plan: &Plan, reply: &Reply) {
    count(state, request, reply.status);
    state.log_of(plan.target.project.as_deref()).update(plan.sequence, |exchange| {
        exchange.status = reply.status;
        exchange.error_code = reply.error_code.clone();
        if plan.target.api == Api::OAuth {
            exchange.authenticated = reply.status == 200;
        }
    });
}

fn count(state: &mut State, request: &Request, status: u16) {
    *state.counters.answers.entry(format!("{} {status}", request.method)).or_default() += 1;
}

/// Counts a request whose connection is cut.
fn cut(shared: &Shared, request: &Request, how: Cut) -> Cut {
    count(&mut shared.lock(), request, 0);
    how
}

/// The HTTP form of an answer.
fn response(reply: Reply) -> Response<Wire> {
    let mut response = Response::new(Wire::whole(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// An answer that announces all of its body and delivers a part.
fn truncated(reply: Reply, keep: usize) -> Response<Wire> {
    let body = Bytes::from(reply.body.clone());
    let keep = keep.min(body.len());
    let announced = body.len().max(keep + 1);
    let mut response = response(Reply { body: Vec::new(), ..reply });
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(announced));
    *response.body_mut() = Wire::truncated(body.slice(..keep));
    response
}
