//! How calls authenticate. Calls under exactly the same credential share a session, and no others.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::digest::Digest;
use super::errors::SendError;
use super::http::{Http, Request, Requests, Response};
use super::oauth::OAuth;
use super::scrub::Scrubber;
use crate::domain::{Fingerprint, Integration, KeyForm, SecretValue};

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

/// A credential. Its fingerprint covers both halves, so that two credentials with the same public half share nothing.
#[derive(Clone)]
pub struct Credential {
    /// The credential itself.
    pub key: Key,
    /// The fingerprint of both halves.
    pub fingerprint: Fingerprint,
}

/// The state that calls under one credential share: a digest challenge or a token.
pub struct Session {
    credential: Fingerprint,
    kind: Kind,
}

enum Kind {
    Digest(Digest),
    OAuth(Box<OAuth>),
}

impl Session {
    /// A new session, for calls that may take `time_limit`.
    pub(super) fn new(
        http: Arc<Http>,
        base: &Url,
        time_limit: Duration,
        credential: &Credential,
        requests: Requests,
    ) -> Session {
        let kind = match credential.key.clone() {
            Key::ApiKey { public_key, private_key } => Kind::Digest(Digest::new(public_key, private_key)),
            Key::ServiceAccount { client_id, client_secret } => {
                let account = (client_id, client_secret);
                Kind::OAuth(Box::new(OAuth::new(http, base, time_limit, account, requests)))
            }
        };
        Session { credential: credential.fingerprint, kind }
    }

    /// The fingerprint of the credential.
    pub fn credential(&self) -> Fingerprint {
        self.credential
    }

    /// The form of the credential.
    pub fn form(&self) -> KeyForm {
        match &self.kind {
            Kind::Digest(_) => KeyForm::ApiKey,
            Kind::OAuth(_) => KeyForm::ServiceAccount,
        }
    }

    /// The fingerprint of the secret values that `attempt` sends with this credential, for the status: see
    /// [`SecretValue::applied_fingerprint`].
    pub fn applied_fingerprint(
        &self,
        attempt: &str,
        integration: &Integration<SecretValue>,
    ) -> Option<String> {
        let credential = match &self.kind {
            Kind::Digest(digest) => digest.secret(),
            Kind::OAuth(oauth) => oauth.secret(),
        };
        let values = integration.secrets();
        credential.applied_fingerprint(attempt, values.into_iter().map(SecretValue::expose))
    }

    /// Teaches a scrubber all that authenticates calls.
    pub(super) fn teach(&self, scrubber: &mut Scrubber) {
        match &self.kind {
            Kind::Digest(digest) => digest.secrets().into_iter().for_each(|secret| scrubber.learn(secret)),
            Kind::OAuth(oauth) => oauth.teach(scrubber),
        }
    }

    /// Sends one call, and repeats it once if the server asks for another challenge or token.
    pub(super) async fn send(&self, http: &Http, request: Request) -> Result<Response, SendError> {
        match &self.kind {
            Kind::Digest(digest) => digest.send(http, request).await,
            Kind::OAuth(oauth) => oauth.send(request).await,
        }
    }
}
