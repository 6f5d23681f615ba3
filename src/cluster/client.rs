//! The connection to the API server.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::Kubeconfig;
use kube::{Client, Config, Error};

use super::pages::LimitAnswers;

/// How long a call other than a watch may wait for a byte of the answer.
const READ_LIMIT: Duration = Duration::from_secs(300);
const WRITE_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Connects with `KUBECONFIG`, the default kubeconfig or the pod's ServiceAccount, in this order. Only the queue
/// retries, so the retries of kube are off. The API server is reached directly, unless the kubeconfig's cluster has a
/// `proxy-url`: the variables `HTTPS_PROXY` and `NO_PROXY` are for the way to Atlas.
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
    config.proxy_url = config.proxy_url.filter(|_| kubeconfig_names_a_proxy());
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
    Ok(client.with_layer(&LimitAnswers).build())
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
