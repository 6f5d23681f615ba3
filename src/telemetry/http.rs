//! `/metrics`, `/livez` and `/readyz` over plain HTTP.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::metrics::Metrics;

/// How many connections may be open at the same time. A scraper and two probes need only three. A connection beyond the
/// limit closes the oldest one, so that slow clients can't keep the probes out.
const CONNECTIONS: usize = 64;
/// The server closes every connection after this time, so that a slow client can't occupy one for ever.
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);
const HEADER_LIMIT: Duration = Duration::from_secs(5);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Binds to `bind`, serves in the background, and returns the address in use.
///
/// # Errors
/// Returns a message for the user if the address can't be bound.
pub async fn serve(
    bind: SocketAddr,
    metrics: Arc<Metrics>,
    ready: Arc<AtomicBool>,
) -> Result<SocketAddr, String> {
    let listener = TcpListener::bind(bind).await.map_err(|error| {
        format!("--bind {bind} can't be listened on: {error}; choose another address or port")
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        let mut connections = VecDeque::with_capacity(CONNECTIONS);
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Most likely there are no file descriptors left. Trying again at once would only use up CPU time.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (metrics, ready) = (Arc::clone(&metrics), Arc::clone(&ready));
            let connection = tokio::spawn(async move {
                let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let response = answer(&request, &metrics, ready.load(Ordering::Relaxed));
                    std::future::ready(Ok::<_, Infallible>(response))
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_LIMIT)
                    .serve_connection(TokioIo::new(stream), answer);
                // A failure here is the client's, so the operator ignores it.
                let _ = tokio::time::timeout(CONNECTION_LIMIT, connection).await;
            });
            connections.retain(|connection: &JoinHandle<()>| !connection.is_finished());
            connections.push_back(connection);
            if connections.len() > CONNECTIONS
                && let Some(oldest) = connections.pop_front()
            {
                oldest.abort();
            }
        }
    });
    Ok(address)
}

fn answer(request: &Request<Incoming>, metrics: &Metrics, ready: bool) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        (&Method::GET, "/readyz") if ready => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        (&Method::GET, "/readyz") => (
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain",
            "neither standing by nor are the first lists complete\n".to_owned(),
        ),
        (&Method::GET, "/metrics") => match metrics.text() {
            Ok(text) => (StatusCode::OK, OPEN_METRICS, text),
            Err(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "metrics can't be encoded\n".to_owned())
            }
        },
        _ => (StatusCode::NOT_FOUND, "text/plain", "there are /metrics, /livez and /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
