//! How calls under one credential authenticate. Shared by all calls under that very credential, and by no other.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use url::Url;

use super::digest::Digest;
use super::errors::SendError;
use super::oauth::OAuth;
use crate::domain::{Fingerprint, SecretValue};

/// The two forms of a credential.
#[derive(Clone)]
pub enum Key {
    /// An API key: user and password of HTTP digest.
    ApiKey {
        /// User.
        public_key: String,
        /// Password.
        private_key: SecretValue,
    },
    /// A service account: OAuth2 client credentials.
    ServiceAccount {
        /// Client id.
        client_id: String,
        /// Client secret.
        client_secret: SecretValue,
    },
}

/// A credential. Its fingerprint covers all of it, so that nothing is shared between two of one public half.
#[derive(Clone)]
pub struct Credential {
    /// It.
    pub key: Key,
    /// Of all of it.
    pub fingerprint: Fingerprint,
}

/// What calls under one credential share: a digest challenge, or a token.
pub struct Session(Kind);

enum Kind {
    Digest(Digest),
    OAuth(OAuth),
}

impl Session {
    /// A session that has not met the server yet, for calls that may take `time_limit`.
    pub(super) fn new(http: &reqwest::Client, base: &Url, time_limit: Duration, key: &Key) -> Session {
        Session(match key.clone() {
            Key::ApiKey { public_key, private_key } => Kind::Digest(Digest::new(public_key, private_key)),
            Key::ServiceAccount { client_id, client_secret } => {
                Kind::OAuth(OAuth::new(http.clone(), base, time_limit, client_id, client_secret))
            }
        })
    }

    /// The credential's parts, for scrubbing them from texts.
    pub(super) fn secrets(&self) -> [&str; 2] {
        match &self.0 {
            Kind::Digest(digest) => digest.secrets(),
            Kind::OAuth(oauth) => oauth.secrets(),
        }
    }

    /// Sends one call, and once more where the server asks for a fresh challenge or token.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, SendError> {
        match &self.0 {
            Kind::Digest(digest) => digest.send(request).await,
            Kind::OAuth(oauth) => oauth.send(request).await,
        }
    }
}
