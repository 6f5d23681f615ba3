//! The connection to the API server.

use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::Scheme;
use hyper::rt::{Read, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::Kubeconfig;
use kube::{Client, Config, Error};
use tower::{BoxError, Service, ServiceBuilder};

use super::pages::LimitAnswers;

/// How long a call other than a watch may wait for a byte of the answer.
const READ_LIMIT: Duration = Duration::from_secs(300);
const WRITE_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How much of an answer is read at a time, which is as much as TLS has in one piece, and the longest head of an answer.
/// Without this limit the buffer of a connection grows to 400 KiB with the lists that come over it, and stays like that
/// under the watch that follows there. A process may have hundreds of watches.
const READ_AT_A_TIME: usize = 16 << 10;

/// Connects with `KUBECONFIG`, the default kubeconfig or the pod's ServiceAccount, in this order. Only the queue
/// retries. The API server is reached directly, unless the kubeconfig's cluster has a `proxy-url`: the variables
/// `HTTPS_PROXY` and `NO_PROXY` are for the way to Atlas.
///
/// # Errors
/// Returns a text for a person: what was looked for and what to do.
pub async fn connect() -> Result<Client, String> {
    let mut config = Config::infer().await.map_err(|error| {
        format!(
            "no cluster to connect to: neither a kubeconfig (KUBECONFIG or ~/.kube/config) nor a pod's ServiceAccount \
             was found: {error}"
        )
    })?;
    // Where the kubeconfig names none, kube takes that of `HTTPS_PROXY`, whatever `NO_PROXY` says of the API server.
    let proxy = config.proxy_url.take().filter(|_| kubeconfig_names_a_proxy());
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let client = match proxy.map(|url| Proxy::at(&url)).transpose()? {
        None => client(&config, tcp),
        Some(proxy) if proxy.address.scheme() == Some(&Scheme::HTTPS) => config
            .rustls_https_connector_with_connector(tcp)
            .and_then(|tls| client(&config, proxy.through(tls))),
        Some(proxy) => client(&config, proxy.through(tcp)),
    };
    client.map_err(|error| format!("the connection to the API server can't be set up: {error}"))
}

/// A client of kube over connections that `connector` opens. It consists of the same parts as the one that kube makes,
/// but for the limit of [`READ_AT_A_TIME`], and the lines that kube logs of each request.
fn client<C>(config: &Config, connector: C) -> Result<Client, Error>
where
    C: Service<Uri, Error: Into<BoxError>, Future: Send> + Clone + Send + Sync + 'static,
    C::Response: Connection + Read + Write + Send + Unpin + 'static,
{
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(Some(CONNECT_LIMIT));
    // This is longer than a watch, which the server ends after about five minutes.
    connector.set_read_timeout(Some(READ_LIMIT));
    connector.set_write_timeout(Some(WRITE_LIMIT));
    let connections = legacy::Client::builder(TokioExecutor::new())
        .http1_max_buf_size(READ_AT_A_TIME)
        .build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(connections);
    Ok(ClientBuilder::new(service, &config.default_namespace).with_layer(&LimitAnswers).build())
}

/// A proxy in front of the API server, which opens a tunnel to it.
struct Proxy {
    address: Uri,
    /// `Basic` with user and password.
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// The proxy at this URL, which may contain user and password.
    fn at(url: &Uri) -> Result<Proxy, String> {
        let matcher = Matcher::builder().all(url.to_string()).build();
        // It is the proxy for every address.
        let found = matcher.intercept(&Uri::from_static("https://api-server"));
        // The matcher takes a URL without a scheme for one of http, and kubectl refuses it.
        let is_spoken = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&url.scheme());
        found
            .filter(|_| is_spoken)
            .map(|found| Proxy { address: found.uri().clone(), authorization: found.basic_auth().cloned() })
            .ok_or_else(|| {
                "the proxy-url of the kubeconfig can't be used: only http and https proxies are supported"
                    .to_owned()
            })
    }

    /// Connections through the tunnel. `connector` opens those to the proxy.
    fn through<C>(self, connector: C) -> Tunnel<C> {
        let tunnel = Tunnel::new(self.address, connector);
        match self.authorization {
            Some(authorization) => tunnel.with_auth(authorization),
            None => tunnel,
        }
    }
}

/// Whether the cluster of the kubeconfig's context has a `proxy-url`.
fn kubeconfig_names_a_proxy() -> bool {
    let named = || {
        let config = Kubeconfig::read().ok()?;
        let current = config.current_context?;
        let context = config.contexts.into_iter().find(|context| context.name == current)?.context?;
        let cluster = config.clusters.into_iter().find(|cluster| cluster.name == context.cluster)?;
        cluster.cluster?.proxy_url
    };
    named().is_some_and(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::thread;

    use bytes::Bytes;
    use futures::future::join_all;
    use futures::{StreamExt, stream};
    use http_body_util::combinators::BoxBody;
    use http_body_util::{BodyExt, Full, StreamBody};
    use hyper::body::{Frame, Incoming};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;
    use tokio::sync::oneshot;

    use super::*;

    /// An API server whose lists have megabytes, and whose watches bring one change and no end.
    async fn serve(address: oneshot::Sender<SocketAddr>) {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        address.send(server.local_addr().expect("an address")).expect("somebody waits for it");
        loop {
            let (stream, _) = server.accept().await.expect("a connection");
            let answer = service_fn(|request: Request<Incoming>| async move {
                let is_watch = request.uri().query().is_some_and(|query| query.contains("watch"));
                let body = if is_watch {
                    let change = Frame::data(Bytes::from_static(b"{\"type\": \"BOOKMARK\"}\n"));
                    let changes = stream::iter([Ok::<_, Infallible>(change)]);
                    BoxBody::new(StreamBody::new(changes.chain(stream::pending())))
                } else {
                    let list = format!(r#"{{"metadata": {{"labels": "{}"}}}}"#, "y".repeat(4 << 20));
                    BoxBody::new(Full::from(list))
                };
                Ok::<_, Infallible>(Response::new(body))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    }

    #[test]
    fn a_proxy_is_one_of_http_or_https() {
        let at = |url: &'static str| Proxy::at(&Uri::from_static(url));
        let proxy = at("https://us%40er:p%3Aw@proxy:3128").expect("a proxy");
        assert_eq!(proxy.address, "https://proxy:3128");
        assert_eq!(proxy.authorization.expect("user and password"), "Basic dXNAZXI6cDp3");
        assert!(at("http://proxy:3128").expect("a proxy").authorization.is_none());
        for url in ["socks5://us:canary@proxy:1080", "ftp://us:canary@proxy", "us:canary@proxy:3128"] {
            let error = at(url).err().expect("no proxy");
            assert!(error.contains("only http and https") && !error.contains("canary"), "{error}");
        }
    }

    /// The watches of many namespaces follow on the connections over which the lists came.
    #[test]
    fn a_watch_takes_little_memory_after_a_large_list() {
        const CONNECTIONS: usize = 8;
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (address, told) = oneshot::channel();
        thread::spawn(move || runtime().block_on(serve(address)));
        let address = told.blocking_recv().expect("the server's address");
        let config = Config::new(format!("http://{address}").parse().expect("a URL"));
        let runtime = runtime();
        let ask = |client: &Client, query: &str| {
            let request = Request::get(format!("/api/v1/secrets?{query}")).body(Body::empty());
            let (client, request) = (client.clone(), request.expect("a request"));
            async move { client.send(request).await.expect("an answer").into_body() }
        };
        let mut watches = Vec::new();
        let taken = allocation_counter::measure(|| {
            watches = runtime.block_on(async {
                let client = client(&config, HttpConnector::new()).expect("a client");
                let lists = join_all((0..CONNECTIONS).map(|_| ask(&client, "limit=500"))).await;
                for list in lists {
                    list.collect().await.expect("a list");
                }
                let mut watches = join_all((0..CONNECTIONS).map(|_| ask(&client, "watch=true"))).await;
                for watch in &mut watches {
                    watch.frame().await.expect("a change").expect("a change");
                }
                watches
            });
        });
        assert_eq!(watches.len(), CONNECTIONS);
        let each = taken.bytes_current / CONNECTIONS as i64;
        assert!(each < 64 << 10, "{each} bytes for a connection");
    }
}
