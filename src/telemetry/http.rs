//! `/metrics`, `/livez` and `/readyz` over plain HTTP.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::metrics::Metrics;
use crate::engine::{Readiness, State};

/// How many connections may be open at the same time. A scraper and two probes need only three. A connection beyond the
/// limit closes the oldest one, so that slow clients can't keep the probes out.
const CONNECTIONS: usize = 64;
/// The server closes every connection after this time, so that a slow client can't occupy one for ever.
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);
const HEADER_LIMIT: Duration = Duration::from_secs(5);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The engine takes a turn every second. One that has not for so long hangs, and a restart is all that helps.
const STANDSTILL: Duration = Duration::from_secs(30);

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 128;

/// `--bind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Every address of the machine, of IPv6 and of IPv4, at this port.
    Everywhere(u16),
    /// This address alone.
    At(SocketAddr),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Everywhere(port) => write!(f, ":{port}"),
            Bind::At(address) => write!(f, "{address}"),
        }
    }
}

/// Binds to `bind`, serves in the background, and returns the address in use.
///
/// # Errors
/// Returns a message for the user if the address can't be bound.
pub async fn serve(bind: Bind, metrics: Arc<Metrics>, state: Arc<State>) -> Result<SocketAddr, String> {
    let listener = match bind {
        Bind::At(address) => TcpListener::bind(address).await,
        Bind::Everywhere(port) => {
            let (both, ipv4) = ((Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into());
            listen(both).or_else(|error| match error.kind() {
                io::ErrorKind::AddrInUse => Err(error),
                // The system has no IPv6.
                _ => listen(ipv4),
            })
        }
    };
    let listener = listener.map_err(|error| {
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
            let (metrics, state) = (Arc::clone(&metrics), Arc::clone(&state));
            let connection = tokio::spawn(async move {
                let answer = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let response = answer(&request, &metrics, &state);
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

/// Listens on an address. On that of all of IPv6 it accepts IPv4 as well, whatever the system's default is.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // As tokio does: a restart need not wait until the connections of the former process are forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn answer(request: &Request<Incoming>, metrics: &Metrics, state: &State) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => {
            let (status, text) = liveness(state.silence());
            (status, "text/plain", format!("{text}\n"))
        }
        (&Method::GET, "/readyz") => {
            let (status, text) = readiness(state.get());
            (status, "text/plain", format!("{text}\n"))
        }
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

fn liveness(silence: Duration) -> (StatusCode, String) {
    if silence < STANDSTILL {
        return (StatusCode::OK, "ok".to_owned());
    }
    let text = format!("not live: the engine has stood still for {} s", silence.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

fn readiness(state: Readiness) -> (StatusCode, &'static str) {
    match state {
        Readiness::BeforeLease => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: waiting for the first look at the Lease; if this lasts, the log says why",
        ),
        Readiness::StandingBy => (StatusCode::OK, "ok: standing by, another replica is the leader"),
        Readiness::Listing => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: waiting for the first lists of the API server; if this lasts, the log says which one fails",
        ),
        Readiness::Acting => (StatusCode::OK, "ok"),
        Readiness::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "not ready: stopping"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(address: SocketAddr) -> String {
        let mut stream =
            TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn serve_at(bind: Bind) -> (u16, Arc<State>) {
        let state = Arc::new(State::default());
        let address = serve(bind, Arc::new(Metrics::new()), Arc::clone(&state)).await.unwrap();
        (address.port(), state)
    }

    /// A cluster may have IPv4, IPv6 or both, and the kubelet probes the pod's address.
    #[tokio::test]
    async fn everywhere_is_ipv6_and_ipv4() {
        let (port, _) = serve_at(Bind::Everywhere(0)).await;
        for address in ["127.0.0.1", "::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert!(ask((address, port).into()).await.starts_with("HTTP/1.1 503"), "{address}");
        }
    }

    /// An address that is named is the only one.
    #[tokio::test]
    async fn one_address_is_that_address() {
        let (port, _) = serve_at(Bind::At("127.0.0.1:0".parse().unwrap())).await;
        ask((Ipv4Addr::LOCALHOST, port).into()).await;
        assert!(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.is_err());
    }

    #[tokio::test]
    async fn a_port_in_use_is_said() {
        let taken = std::net::TcpListener::bind("[::]:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error =
            serve(Bind::Everywhere(port), Arc::new(Metrics::new()), Arc::default()).await.unwrap_err();
        assert!(
            error.starts_with(&format!("--bind :{port} can't be listened on: Address already in use")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_probe_says_what_is_waited_for() {
        let (port, state) = serve_at(Bind::At("127.0.0.1:0".parse().unwrap())).await;
        for (set, code, said) in [
            (Readiness::BeforeLease, 503, "not ready: waiting for the first look at the Lease"),
            (Readiness::StandingBy, 200, "ok: standing by"),
            (Readiness::Listing, 503, "not ready: waiting for the first lists"),
            (Readiness::Acting, 200, "ok\n"),
            (Readiness::Stopping, 503, "not ready: stopping"),
        ] {
            state.set(set);
            let answer = ask((Ipv4Addr::LOCALHOST, port).into()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{answer}");
            assert!(answer.split("\r\n\r\n").nth(1).is_some_and(|body| body.starts_with(said)), "{answer}");
        }
    }

    /// A busy engine is alive, and one that hangs is not.
    #[tokio::test(start_paused = true)]
    async fn the_probe_notices_an_engine_that_stands_still() {
        let state = State::default();
        let after = async |seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            liveness(state.silence())
        };
        assert_eq!(after(29).await.0, StatusCode::OK);
        state.beat();
        assert_eq!(after(29).await.0, StatusCode::OK);
        let (status, said) = after(31).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(said, "not live: the engine has stood still for 60 s");
    }
}
