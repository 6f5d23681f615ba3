//! Reads of Secrets: one at a time, by name, in the namespace of the object that refers to them.
//!
//! The answer is parsed here, since kube's warnings quote what it can't parse.

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::client::Body;

const TIME_LIMIT: Duration = Duration::from_secs(15);

/// Identifies a state of a Secret: equal identities mean equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretIdentity {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// A Secret as read. It has no `Debug`, since it holds values.
pub struct SecretData {
    /// The state that was read.
    pub identity: SecretIdentity,
    data: BTreeMap<String, k8s_openapi::ByteString>,
}

impl SecretData {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.data.get(key).map(|bytes| bytes.0.as_slice())
    }

    /// The names of its keys, for messages. They are not secret.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.data.keys().map(String::as_str)
    }
}

/// Why a Secret could not be read. The texts contain nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The operator is not allowed to.
    #[error("the operator is not allowed to read it: grant its ServiceAccount get on Secrets")]
    Forbidden,
    /// The API server failed.
    #[error("{0}")]
    Server(String),
}

/// Reads Secrets.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
}

impl Secrets {
    /// A reader.
    pub fn new(client: Client) -> Secrets {
        Secrets { client }
    }

    /// Reads the Secret of this name; `None` if there is none.
    ///
    /// # Errors
    /// A [`ReadError`].
    pub async fn read(&self, namespace: &str, name: &str) -> Result<Option<SecretData>, ReadError> {
        let call = self.read_unlimited(namespace, name);
        let answer = tokio::time::timeout(TIME_LIMIT, call).await;
        answer.unwrap_or_else(|_| {
            server(format!("the API server did not answer within {} seconds", TIME_LIMIT.as_secs()))
        })
    }

    async fn read_unlimited(&self, namespace: &str, name: &str) -> Result<Option<SecretData>, ReadError> {
        let url = <Secret as kube::Resource>::url_path(&(), Some(namespace));
        let request = kube::core::Request::new(url).get(name, &kube::api::GetParams::default());
        let Ok(request) = request else { return server("its name can't be asked for") };
        let Ok(response) = self.client.send(request.map(Body::from)).await else {
            return server("the API server can't be reached");
        };
        match response.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            403 => return Err(ReadError::Forbidden),
            status => return server(format!("the API server answered {status}")),
        }
        // The client ends an answer that is too large.
        let Ok(body) = response.into_body().collect().await else {
            return server("the API server's answer broke off or is too large");
        };
        let Ok(secret) = serde_json::from_slice::<Secret>(&body.to_bytes()) else {
            return server("the API server's answer is no Secret");
        };
        let (Some(uid), Some(resource_version)) = (secret.metadata.uid, secret.metadata.resource_version)
        else {
            return server("the API server's answer has no uid or resourceVersion");
        };
        let identity = SecretIdentity { uid, resource_version };
        Ok(Some(SecretData { identity, data: secret.data.unwrap_or_default() }))
    }
}

fn server<T>(why: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Server(why.into()))
}
