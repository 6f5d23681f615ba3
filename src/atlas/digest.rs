//! HTTP digest authentication (RFC 7616) for one API key.
//!
//! An answer may hold several challenges. We choose among all of them, keep the chosen one, and answer it again. Usually
//! a call is one request. Without a challenge that the server still accepts it is two, and never more.
//!
//! The call that receives a challenge answers it alone, with the first count, and shares it only after the server has
//! accepted that answer. Otherwise a parallel call could arrive first with the second count, which a strict server
//! refuses, or use up a nonce that is valid for one request only.

use std::sync::{Mutex, MutexGuard, PoisonError};

use digest_auth::{AuthContext, HttpMethod, WwwAuthenticateHeader};
use hyper::StatusCode;
use hyper::body::Bytes;

use super::challenges::answerable;
use super::errors::SendError;
use super::http::{Http, Request, Response, authorize};
use crate::domain::SecretValue;

/// One API key and the challenge that it last answered. Calls under exactly this key share it, and no others.
pub(super) struct Digest {
    public_key: String,
    private_key: SecretValue,
    challenge: Mutex<Option<WwwAuthenticateHeader>>,
}

impl Digest {
    /// A session that has not received a challenge yet.
    pub fn new(public_key: String, private_key: SecretValue) -> Digest {
        Digest { public_key, private_key, challenge: Mutex::new(None) }
    }

    /// The key's two halves, for scrubbing them from texts.
    pub fn secrets(&self) -> [&str; 2] {
        [self.private_key.expose(), &self.public_key]
    }

    /// The private key.
    pub fn secret(&self) -> &SecretValue {
        &self.private_key
    }

    /// Sends one call, in one request or two.
    pub async fn send(&self, http: &Http, request: Request) -> Result<Response, SendError> {
        let mut first = request.clone();
        let shared =
            self.challenge().as_mut().map(|challenge| self.answer(&request, challenge)).transpose()?;
        match shared {
            Some(answer) => authorize(&mut first, &answer).map_err(|_| SendError::Challenge)?,
            // A request without credentials has no body: the body holds keys, and the server has not asked yet who we
            // are.
            None => *first.body_mut() = Bytes::new(),
        }
        let response = http.send(first).await.map_err(SendError::Http)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let Some(mut own) = answerable(response.headers()) else { return Ok(response) };
        let answer = self.answer(&request, &mut own)?;
        let mut again = request;
        authorize(&mut again, &answer).map_err(|_| SendError::Challenge)?;
        let response = http.send(again).await.map_err(SendError::Http)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            *self.challenge() = Some(own);
        }
        Ok(response)
    }

    fn challenge(&self) -> MutexGuard<'_, Option<WwwAuthenticateHeader>> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a challenge, with its next count, for this request.
    fn answer(&self, request: &Request, challenge: &mut WwwAuthenticateHeader) -> Result<String, SendError> {
        let context = AuthContext::new_with_method(
            self.public_key.as_str(),
            self.private_key.expose(),
            request.uri().path_and_query().map_or("/", |path| path.as_str()),
            Some(&request.body()[..]).filter(|body| !body.is_empty()),
            HttpMethod::from(request.method().as_str()),
        );
        let answer = challenge.respond(&context).map_err(|_| SendError::Challenge)?;
        Ok(answer.to_header_string())
    }
}
