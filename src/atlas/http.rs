//! The HTTP client, and the CA certificates that it trusts.
//!
//! They come from files: `SSL_CERT_FILE`, `SSL_CERT_DIR` or the system's store. A renewed file is taken up without a
//! restart: a client is made with its certificates, so a new one takes its place. Connections that are open under the
//! former certificates end with the calls on them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, InvalidHeaderValue};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use ring::digest;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;
use url::Url;

use super::connect::{Connector, Proxy};
use super::errors::Unanswered;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A connection without calls is closed after this time.
const IDLE_LIMIT: Duration = Duration::from_secs(90);
/// The largest head of an answer, and as much is read at a time: 400 KiB without this, on each connection.
const MAX_HEAD: usize = 64 << 10;
/// How often the files are read again, when there are calls. It takes about a millisecond for the system's store.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Takes the operation and status of every call.
pub type Requests = Arc<dyn Fn(&'static str, u16) + Send + Sync>;

/// A request whose body is in memory, so that it can be sent again.
pub(super) type Request = hyper::Request<Bytes>;

/// An answer whose body has not been read.
pub(super) type Response = hyper::Response<Incoming>;

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no certificate to trust Atlas by, and perhaps it is known why.
    #[error("the HTTP client for Atlas can't be set up: {}", advice(.0))]
    Untrusting(Option<String>),
    /// The URL, which may contain a password, is none of a proxy.
    #[error("the HTTP client for Atlas can't be set up: the proxy's URL can't be used")]
    Proxy,
    /// TLS does not accept its settings.
    #[error("the HTTP client for Atlas can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A request to this address, without headers and body.
pub(super) fn request(method: Method, to: &Url) -> Result<Request, Unanswered> {
    let built = hyper::Request::builder().method(method).uri(to.as_str()).body(Bytes::new());
    built.map_err(|error| Unanswered::unconnected(&error))
}

/// Says who sends a request. No library that shows the request shows this header.
pub(super) fn authorize(request: &mut Request, credentials: &str) -> Result<(), InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(credentials)?;
    value.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(())
}

/// A client that is replaced when the CA certificates have changed.
pub(super) struct Http {
    connect_limit: Duration,
    proxy: Option<Proxy>,
    current: Mutex<Current>,
}

struct Current {
    client: Arc<Client>,
    trusted: Trusted,
    looked: Instant,
    /// What is wrong with the files now, so that it is logged once.
    problem: Option<String>,
}

/// A client that trusts the certificates of one look.
struct Client {
    connector: Connector,
    connections: legacy::Client<Connector, Full<Bytes>>,
}

/// The certificates that were found.
#[derive(Clone, PartialEq, Eq)]
struct Trusted {
    digest: Vec<u8>,
    usable: usize,
    /// Why not all could be read.
    flaw: Option<String>,
}

impl Http {
    /// Makes the first client. Calls may take `time_limit`, and go through `proxy`, if there is one.
    ///
    /// # Errors
    /// A [`ClientError`], mostly because there is no CA certificate to trust.
    pub fn new(time_limit: Duration, proxy: Option<&Url>) -> Result<Http, ClientError> {
        let connect_limit = CONNECT_LIMIT.min(time_limit);
        let proxy = proxy.map(|url| Proxy::at(url).ok_or(ClientError::Proxy)).transpose()?;
        let (trusted, roots) = found();
        if trusted.usable == 0 {
            return Err(ClientError::Untrusting(trusted.flaw));
        }
        let client = Client::new(connect_limit, proxy.clone(), roots)?;
        let current = Current { client: Arc::new(client), trusted, looked: Instant::now(), problem: None };
        Ok(Http { connect_limit, proxy, current: Mutex::new(current) })
    }

    /// Sends a request. If the caller no longer waits, it ends.
    pub async fn send(&self, request: Request) -> Result<Response, Unanswered> {
        let client = self.client();
        let mut request = request.map(Full::new);
        client.connector.add_headers(&mut request);
        client.connections.request(request).await.map_err(|error| {
            if error.is_connect() { Unanswered::unconnected(&error) } else { Unanswered::broken(&error) }
        })
    }

    /// The client to use for the next request.
    fn client(&self) -> Arc<Client> {
        let mut current = self.current.lock();
        let mut news = None;
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            news = self.take_up(&mut current, found());
        }
        let client = Arc::clone(&current.client);
        // Writing a log line may block.
        drop(current);
        if let Some(news) = news {
            news.log();
        }
        client
    }

    /// Makes a new client if the certificates have changed. If the new ones can't be used, the former ones stay. Returns
    /// what the log does not contain yet.
    fn take_up(&self, current: &mut Current, (found, roots): (Trusted, RootCertStore)) -> Option<News> {
        if found == current.trusted {
            current.problem = None;
            return None;
        }
        let flaw = found.flaw.as_ref().filter(|_| current.trusted.flaw.is_none());
        let problem = match flaw {
            _ if found.usable == 0 => Some(found.flaw.clone().unwrap_or_else(no_certificate)),
            Some(flaw) => Some(flaw.clone()),
            None => match Client::new(self.connect_limit, self.proxy.clone(), roots) {
                Ok(client) => {
                    (current.client, current.trusted) = (Arc::new(client), found);
                    None
                }
                Err(error) => Some(error.to_string()),
            },
        };
        let known = std::mem::replace(&mut current.problem, problem.clone());
        match problem {
            None => Some(News::Changed { certificates: current.trusted.usable }),
            problem if problem == known => None,
            problem => Some(News::Unusable { problem }),
        }
    }
}

/// A look at the files that the log has to tell of.
enum News {
    /// There are other certificates, so many of which can be used.
    Changed { certificates: usize },
    /// The files have changed, and can't be used.
    Unusable { problem: Option<String> },
}

impl News {
    fn log(&self) {
        match self {
            News::Changed { certificates } => tracing::info!(
                certificates,
                "the CA certificates have changed; new connections trust the new ones"
            ),
            News::Unusable { problem } => tracing::warn!(
                "the new CA certificates can't be used, and the former ones stay in use; {}",
                advice(problem)
            ),
        }
    }
}

impl Client {
    fn new(
        connect_limit: Duration,
        proxy: Option<Proxy>,
        roots: RootCertStore,
    ) -> Result<Client, rustls::Error> {
        let mut trusting = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        trusting.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = Connector::new(connect_limit, Arc::new(trusting), proxy);
        let connections = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .http1_max_buf_size(MAX_HEAD)
            .build(connector.clone());
        Ok(Client { connector, connections })
    }
}

/// Reads the certificates.
fn found() -> (Trusted, RootCertStore) {
    let read = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let mut context = digest::Context::new(&digest::SHA256);
    for certificate in read.certs {
        context.update(&certificate);
        // A system's store may well contain one that rustls does not understand.
        let _ = roots.add(certificate);
    }
    let flaw = read.errors.first().map(ToString::to_string);
    (Trusted { digest: context.finish().as_ref().to_vec(), usable: roots.len(), flaw }, roots)
}

fn no_certificate() -> String {
    "there is no certificate that can be used".to_owned()
}

/// What is wrong with the file that SSL_CERT_FILE names, or with what takes its place, and what to do.
fn advice(problem: &Option<String>) -> String {
    let file = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let problem = match file {
        Some(file) if file.as_os_str().is_empty() => "SSL_CERT_FILE is set and empty".to_owned(),
        Some(file) => match std::fs::read(&file) {
            Err(error) => format!("{} can't be read: {error}", file.display()),
            Ok(_) => match problem {
                Some(problem) if problem.contains(&*file.to_string_lossy()) => problem.clone(),
                _ => format!("{} has no certificate that can be used", file.display()),
            },
        },
        None if std::env::var_os("SSL_CERT_DIR").is_some() => {
            format!("SSL_CERT_DIR: {}", problem.clone().unwrap_or_else(no_certificate))
        }
        None => "SSL_CERT_FILE is not set, and the system has no CA certificates".to_owned(),
    };
    format!("{problem}; name a readable file with CA certificates in PEM form in SSL_CERT_FILE")
}
