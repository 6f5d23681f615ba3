//! HTTP digest authentication (RFC 7616) for one API key.
//!
//! diqwest makes first contact: it asks, and answers the challenge. Its stock session forgets the challenge's
//! algorithm and throws a fresh challenge away with the stale one, which would cost three requests a call; so
//! this handle keeps the parsed challenge itself and answers it again. A steady call is one request, a call
//! that meets a stale nonce two, none more than two.

use std::sync::{Mutex, PoisonError};

use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};
use diqwest::WithDigestAuth;
use diqwest::session::{CachedContextGuard, DigestAuthCredentials};
use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Request, RequestBuilder, Response, StatusCode};
use url::Position;

use super::session::SendError;
use crate::domain::SecretValue;

/// One API key and the challenge that it last answered. Shared by all calls under that very key, and by no other.
pub(super) struct Digest {
    public_key: String,
    private_key: SecretValue,
    challenge: Mutex<Option<WwwAuthenticateHeader>>,
}

impl Digest {
    /// A session that has not met the server yet.
    pub fn new(public_key: String, private_key: SecretValue) -> Digest {
        Digest { public_key, private_key, challenge: Mutex::new(None) }
    }

    /// The key's two halves, for scrubbing them from texts.
    pub fn secrets(&self) -> [&str; 2] {
        [self.private_key.expose(), &self.public_key]
    }

    /// Sends one call, in one request or two.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let again = request.try_clone().ok_or(SendError::Challenge)?;
        let first = match self.answer(&request)? {
            Some(header) => request.header(AUTHORIZATION, header),
            // Without credentials no body is sent: it holds keys, and nobody has asked yet who we are.
            None if has_body(&request)? => request.body(""),
            None => {
                return request.send_digest_auth(self).await.map_err(|error| match error {
                    diqwest::error::Error::Reqwest(error) => SendError::Http(error),
                    _ => SendError::Challenge,
                });
            }
        };
        let response = first.send().await.map_err(SendError::Http)?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.learn(&response) {
            return Ok(response);
        }
        match self.answer(&again)? {
            Some(header) => again.header(AUTHORIZATION, header).send().await.map_err(SendError::Http),
            None => Ok(response),
        }
    }

    /// The answer to the known challenge for this request, if there is one.
    fn answer(&self, request: &RequestBuilder) -> Result<Option<HeaderValue>, SendError> {
        let mut challenge = self.challenge.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(challenge) = challenge.as_mut() else { return Ok(None) };
        let request = built(request)?;
        let context = AuthContext::new_with_method(
            self.public_key.as_str(),
            self.private_key.expose(),
            &request.url()[Position::AfterPort..],
            request.body().and_then(|body| body.as_bytes()),
            HttpMethod::from(request.method().as_str()),
        );
        let header = challenge.respond(&context).map_err(|_| SendError::Challenge)?;
        HeaderValue::from_str(&header.to_header_string()).map(Some).map_err(|_| SendError::Challenge)
    }

    /// Keeps the challenge of a 401; `false` when it has none that can be answered.
    fn learn(&self, response: &Response) -> bool {
        let header = response.headers().get(WWW_AUTHENTICATE).and_then(|header| header.to_str().ok());
        let parsed = header.and_then(|header| digest_auth::parse(header).ok());
        let known = parsed.is_some();
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = parsed;
        known
    }
}

/// A copy of the request as it would be sent.
fn built(request: &RequestBuilder) -> Result<Request, SendError> {
    request.try_clone().ok_or(SendError::Challenge)?.build().map_err(SendError::Http)
}

fn has_body(request: &RequestBuilder) -> Result<bool, SendError> {
    Ok(built(request)?.body().is_some())
}

impl DigestAuthCredentials for &Digest {
    fn username(&self) -> &str {
        &self.public_key
    }

    fn password(&self) -> &str {
        self.private_key.expose()
    }

    /// Never: a known challenge is answered by [`Digest::send`] itself.
    fn cached_context<'h>(
        &self,
        _host: &'h str,
    ) -> diqwest::error::Result<Option<CachedContextGuard<'_, 'h>>> {
        Ok(None)
    }

    fn store_context(&self, _host: &str, www_authenticate: &str) -> diqwest::error::Result<()> {
        if let Ok(mut challenge) = digest_auth::parse(www_authenticate) {
            // diqwest answers this challenge itself, with the first count.
            challenge.nc = 1;
            *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge);
        }
        Ok(())
    }

    fn clear_context(&self, _host: &str) -> diqwest::error::Result<()> {
        Ok(())
    }
}
