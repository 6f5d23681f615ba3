//! The HTTP client, and the CA certificates that it trusts.
//!
//! They come from files: `SSL_CERT_FILE`, `SSL_CERT_DIR` or the system's store. A renewed file is taken up without a
//! restart: a client loads its certificates when it is made, so a new one takes its place. Connections that are open
//! under the former certificates end with the calls on them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{RequestBuilder, Response};
use ring::digest;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use super::errors;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How often the files are read again, when there are calls. It takes about a millisecond for the system's store.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Takes the operation and status of every call.
pub type Requests = Arc<dyn Fn(&'static str, u16) + Send + Sync>;

/// Why a client could not be made: there is no certificate to trust Atlas by. Nothing else in its setup depends on the
/// machine.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for Atlas can't be set up: {cause}; {}", advice(.problem))]
pub struct ClientError {
    cause: String,
    problem: Option<String>,
}

/// A client that is replaced when the CA certificates have changed.
pub(super) struct Http {
    time_limit: Duration,
    proxy: Option<Url>,
    runtime: Handle,
    current: Mutex<Current>,
}

struct Current {
    client: reqwest::Client,
    trusted: Trusted,
    looked: Instant,
    /// What is wrong with the files now, so that it is logged once.
    problem: Option<String>,
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
    /// Makes the first client. Calls may take `time_limit`, go through `proxy`, if there is one, and are sent by
    /// `runtime`.
    ///
    /// # Errors
    /// When there is no CA certificate to trust.
    pub fn new(time_limit: Duration, proxy: Option<Url>, runtime: Handle) -> Result<Http, ClientError> {
        let trusted = found();
        let client = client(time_limit, proxy.as_ref()).map_err(|error| ClientError {
            cause: errors::root_cause(&error),
            problem: trusted.flaw.clone(),
        })?;
        let current = Current { client, trusted, looked: Instant::now(), problem: None };
        Ok(Http { time_limit, proxy, runtime, current: Mutex::new(current) })
    }

    /// The client to use for the next request.
    pub fn client(&self) -> reqwest::Client {
        let mut current = self.current.lock();
        let mut news = None;
        if current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            news = self.take_up(&mut current, found());
        }
        let client = current.client.clone();
        // Writing a log line may block.
        drop(current);
        if let Some(news) = news {
            news.log();
        }
        client
    }

    /// Sends a request from the runtime for that, which also serves its connection: the HTTP library reads as fast as
    /// bytes arrive, and whoever answers may send without an end what comes before an answer. If the caller no longer
    /// waits, the request ends.
    pub async fn send(&self, request: RequestBuilder) -> reqwest::Result<Response> {
        let mut sent = JoinSet::new();
        sent.spawn_on(async move { request.send().await }, &self.runtime);
        match sent.join_next().await {
            Some(Ok(response)) => response,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The process ends.
            _ => std::future::pending().await,
        }
    }

    /// Makes a new client if the certificates have changed. If the new ones can't be used, the former ones stay. Returns
    /// what the log does not contain yet.
    fn take_up(&self, current: &mut Current, found: Trusted) -> Option<News> {
        if found == current.trusted {
            current.problem = None;
            return None;
        }
        let flaw = found.flaw.as_ref().filter(|_| current.trusted.flaw.is_none());
        let problem = match flaw {
            _ if found.usable == 0 => Some(found.flaw.clone().unwrap_or_else(no_certificate)),
            Some(flaw) => Some(flaw.clone()),
            None => match client(self.time_limit, self.proxy.as_ref()) {
                Ok(client) => {
                    (current.client, current.trusted) = (client, found);
                    None
                }
                Err(error) => Some(errors::root_cause(&error)),
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

fn client(time_limit: Duration, proxy: Option<&Url>) -> reqwest::Result<reqwest::Client> {
    let version = env!("CARGO_PKG_VERSION");
    let mut builder = reqwest::Client::builder()
        .user_agent(format!(
            "atlas-integration-operator/{version} ({};{})",
            std::env::consts::OS,
            std::env::consts::ARCH
        ))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_LIMIT.min(time_limit))
        .timeout(time_limit)
        // The proxy was chosen at the start: the client would ignore a variable that it can't use.
        .no_proxy();
    if let Some(proxy) = proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.as_str())?);
    }
    builder.build()
}

/// Reads the certificates from where the client reads them.
fn found() -> Trusted {
    let read = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let mut context = digest::Context::new(&digest::SHA256);
    for certificate in read.certs {
        context.update(&certificate);
        // A system's store may well contain one that rustls does not understand.
        let _ = roots.add(certificate);
    }
    let flaw = read.errors.first().map(ToString::to_string);
    Trusted { digest: context.finish().as_ref().to_vec(), usable: roots.len(), flaw }
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
