//! The connection to the API server.

use std::time::Duration;

use hyper::Uri;
use kube::client::ClientBuilder;
use kube::{Client, Config, Error};

use super::pages::LimitPages;

/// How long a call other than a watch may wait for a byte of the answer.
const READ_LIMIT: Duration = Duration::from_secs(300);
const WRITE_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Connects with `KUBECONFIG`, the default kubeconfig or the pod's ServiceAccount, in this order. Only the queue
/// retries, so the retries of kube are off. A pod reaches its API server directly. For a kubeconfig kube takes a proxy,
/// which `proxy` may replace; it gets that proxy and the address of the API server.
///
/// # Errors
/// Returns a text for a person: what was looked for and what to do.
pub async fn connect(proxy: impl FnOnce(Uri, &Uri) -> Option<Uri>) -> Result<Client, String> {
    let mut config = Config::infer().await.map_err(|error| {
        format!(
            "no cluster to connect to: neither a kubeconfig (KUBECONFIG or ~/.kube/config) nor a pod's ServiceAccount \
             was found: {error}"
        )
    })?;
    config.proxy_url = config.proxy_url.take().and_then(|taken| proxy(taken, &config.cluster_url));
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_LIMIT);
    // This is longer than a watch, which the server ends after about five minutes.
    config.read_timeout = Some(READ_LIMIT);
    config.write_timeout = Some(WRITE_LIMIT);
    let client = ClientBuilder::try_from(config).map_err(|error| match error {
        // kube quotes the address, which may contain a password.
        Error::ProxyProtocolUnsupported { .. } | Error::ProxyProtocolDisabled { .. } => {
            "the proxy-url of the kubeconfig can't be used: only http and https proxies are supported"
                .to_owned()
        }
        error => format!("the connection to the API server can't be set up: {error}"),
    })?;
    Ok(client.with_layer(&LimitPages).build())
}
