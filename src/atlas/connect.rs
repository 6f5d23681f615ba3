//! Connections to Atlas: direct ones, and those through a proxy. A proxy forwards requests to an Atlas without TLS, and
//! opens a tunnel to one behind TLS.
//!
//! A connection is closed when more than [`MAX_RECEIVED`] bytes have arrived since a part of a request was sent. The
//! HTTP library and TLS read as fast as bytes arrive, and some of what may arrive has no limit there: interim answers,
//! what is around small pieces of a body, tickets of TLS. So whoever answers could keep the thread busy until the call
//! times out, or as long as the connection is kept.

use std::error::Error;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::http::uri::Scheme;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::{Service, ServiceExt};
use url::Url;

/// Twice the largest body that is read. The rest is for heads and for what is around the pieces of a body.
const MAX_RECEIVED: usize = 512 << 10;
/// After this time without data the system asks the other side whether the connection still exists, again and again at
/// this distance until so many questions had no answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;
/// The system closes a connection whose other side has not taken what was sent for this long, also when nobody waits
/// for the answer any more.
#[cfg(target_os = "linux")]
const UNSENT_LIMIT: Duration = Duration::from_secs(30);

type AnyError = Box<dyn Error + Send + Sync>;

/// Makes connections, each within a time limit, its proxy and TLS included.
#[derive(Clone)]
pub(super) struct Connector {
    time_limit: Duration,
    user_agent: HeaderValue,
    trusting: Arc<ClientConfig>,
    proxy: Option<Proxy>,
}

/// A proxy that connections go through.
#[derive(Clone)]
pub(super) struct Proxy {
    address: Uri,
    /// `Basic` with user and password.
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy at this URL, which may contain user and password; `None`: it is no URL of a proxy.
    pub fn at(url: &Url) -> Option<Proxy> {
        let matcher = Matcher::builder().all(url.as_str()).build();
        // It is the proxy for every address.
        let found = matcher.intercept(&Uri::from_static("http://atlas"))?;
        let spoken = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&found.uri().scheme());
        spoken.then(|| Proxy { address: found.uri().clone(), authorization: found.basic_auth().cloned() })
    }
}

impl Connector {
    /// Makes connections as `trusting` says, through `proxy` if there is one.
    pub fn new(time_limit: Duration, trusting: Arc<ClientConfig>, proxy: Option<Proxy>) -> Connector {
        Connector { time_limit, user_agent: user_agent(), trusting, proxy }
    }

    /// Adds `User-Agent` and, if a proxy forwards the request, `Proxy-Authorization`.
    pub fn add_headers<B>(&self, request: &mut hyper::Request<B>) {
        let proxy = self.proxy.as_ref().filter(|_| is_forwarded(request.uri()));
        let authorization = proxy.and_then(|proxy| proxy.authorization.clone());
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, self.user_agent.clone());
        if let Some(authorization) = authorization {
            headers.insert(PROXY_AUTHORIZATION, authorization);
        }
    }

    async fn connect(self, to: Uri) -> Result<TokioIo<Metered<Box<dyn Stream>>>, AnyError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Where a name has several addresses, each has its share of the time.
        tcp.set_connect_timeout(Some(self.time_limit));
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNSENT_LIMIT));
        let received = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&received);
        let tcp = ServiceExt::<Uri>::map_response(tcp, |tcp| {
            TokioIo::new(Metered { stream: tcp.into_inner(), received: counter, place: Place::Network })
        });
        let mut direct = HttpsConnector::from((tcp, Arc::clone(&self.trusting)));
        let forwarded = self.proxy.is_some() && is_forwarded(&to);
        let stream: Box<dyn Stream> = match self.proxy {
            None => Box::new(TokioIo::new(direct.call(to).await?)),
            Some(proxy) if forwarded => Box::new(TokioIo::new(direct.call(proxy.address).await?)),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.address, direct)
                    .with_headers(HeaderMap::from_iter([(USER_AGENT, self.user_agent)]));
                if let Some(authorization) = proxy.authorization {
                    tunnel = tunnel.with_auth(authorization);
                }
                let mut through = HttpsConnector::from((tunnel, self.trusting));
                Box::new(TokioIo::new(through.call(to).await?))
            }
        };
        Ok(TokioIo::new(Metered { stream, received, place: Place::Requests { forwarded } }))
    }
}

/// Whether a proxy, if there is one, forwards the requests to this address. To others it opens a tunnel.
fn is_forwarded(to: &Uri) -> bool {
    to.scheme() != Some(&Scheme::HTTPS)
}

fn user_agent() -> HeaderValue {
    let (version, os) = (env!("CARGO_PKG_VERSION"), std::env::consts::OS);
    let text = format!("atlas-integration-operator/{version} ({os};{})", std::env::consts::ARCH);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("atlas-integration-operator"))
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Metered<Box<dyn Stream>>>;
    type Error = AnyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, AnyError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (limit, connecting) = (self.time_limit, self.clone().connect(to));
        Box::pin(async move {
            tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| {
                let why = format!("there was no connection within {limit:?}");
                Err(io::Error::new(io::ErrorKind::TimedOut, why).into())
            })
        })
    }
}

/// What requests are written to, and answers read from.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One of the two ends of a connection's counter. Neither alone would do: behind TLS nobody sees the messages of TLS
/// itself, and before it nobody can tell a request from an answer to such a message, which the other side can ask for.
pub(super) struct Metered<S> {
    stream: S,
    /// The bytes that arrived since a part of a request was sent.
    received: Arc<AtomicUsize>,
    place: Place,
}

enum Place {
    /// Before all TLS, that to a proxy too: counts what arrives.
    Network,
    /// Behind all TLS: begins to count anew with each part of a request.
    Requests {
        /// Whether a proxy forwards the requests, so that each needs the whole URL.
        forwarded: bool,
    },
}

impl<S> Metered<S> {
    fn counts(&self) -> bool {
        matches!(self.place, Place::Network)
    }

    fn sent(&self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if !self.counts() && matches!(sent, Poll::Ready(Ok(1..))) {
            self.received.store(0, Ordering::Relaxed);
        }
        sent
    }
}

impl<S> Connection for Metered<S> {
    fn connected(&self) -> Connected {
        Connected::new().proxy(matches!(self.place, Place::Requests { forwarded: true }))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.counts() && self.received.load(Ordering::Relaxed) > MAX_RECEIVED {
            let why = format!("more than {} KiB arrived, which no answer of Atlas has", MAX_RECEIVED >> 10);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.counts() {
            self.received.fetch_add(buffer.filled().len().saturating_sub(before), Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// Both ends of a connection, with nothing between them, and the other side.
    fn connection() -> (Metered<Metered<DuplexStream>>, DuplexStream) {
        let (near, far) = duplex(4 * MAX_RECEIVED);
        let received = Arc::new(AtomicUsize::new(0));
        let network = Metered { stream: near, received: Arc::clone(&received), place: Place::Network };
        (Metered { stream: network, received, place: Place::Requests { forwarded: false } }, far)
    }

    /// Lets so many bytes arrive, and reads them.
    async fn receive(
        (near, far): &mut (Metered<Metered<DuplexStream>>, DuplexStream),
        count: usize,
    ) -> io::Result<usize> {
        far.write_all(&vec![0; count]).await?;
        near.read_exact(&mut vec![0; count]).await
    }

    #[tokio::test]
    async fn a_part_of_a_request_allows_as_much_again() {
        let mut connection = connection();
        for _ in 0..3 {
            receive(&mut connection, MAX_RECEIVED).await.expect("as much as an answer may have");
            connection.0.write_all(b"GET").await.expect("a request");
        }
        receive(&mut connection, MAX_RECEIVED + 1).await.expect("the limit is passed");
        let error = receive(&mut connection, 1).await.expect_err("closed");
        assert_eq!(error.to_string(), "more than 512 KiB arrived, which no answer of Atlas has");
    }

    /// TLS answers some messages of the other side, which could otherwise go on for ever.
    #[tokio::test]
    async fn what_is_sent_before_tls_allows_nothing() {
        let mut connection = connection();
        receive(&mut connection, MAX_RECEIVED + 1).await.expect("the limit is passed");
        connection.0.stream.write_all(b"an answer to a key update").await.expect("a message of TLS");
        receive(&mut connection, 1).await.expect_err("closed");
    }
}
