//! HTTP digest authentication (RFC 7616) for one API key, in diqwest's terms.
//!
//! We do not use diqwest's own exchange: it looks at one challenge only, its session forgets the challenge's algorithm,
//! and it discards a fresh challenge together with the stale one, which would cost three requests per call. This handle
//! chooses among all challenges of an answer, keeps the chosen one, and answers it again. Usually a call is one
//! request. Without a challenge that the server still accepts it is two, and never more.
//!
//! The call that receives a challenge answers it alone, with the first count, and shares it only after the server has
//! accepted that answer. Otherwise a parallel call could arrive first with the second count, which a strict server
//! refuses, or use up a nonce that is valid for one request only.

use std::sync::{Mutex, MutexGuard, PoisonError};

use digest_auth::{AuthContext, AuthorizationHeader, HttpMethod, WwwAuthenticateHeader};
use diqwest::error::{Error, Result};
use reqwest::header::AUTHORIZATION;
use reqwest::{Request, RequestBuilder, Response, StatusCode};
use url::Position;

use super::challenges::answerable;
use super::errors::SendError;
use super::http::Http;
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
    pub async fn send(
        &self,
        http: &Http,
        request: RequestBuilder,
    ) -> std::result::Result<Response, SendError> {
        self.exchange(http, request).await.map_err(|error| match error {
            Error::Reqwest(error) => SendError::Http(error),
            _ => SendError::Challenge,
        })
    }

    async fn exchange(&self, http: &Http, request: RequestBuilder) -> Result<Response> {
        let again = request.try_clone().ok_or(Error::RequestBuilderNotCloneable)?;
        let shared =
            self.challenge().as_mut().map(|challenge| self.answer(&request, challenge)).transpose()?;
        let request = match shared {
            Some(answer) => request.header(AUTHORIZATION, answer.to_header_string()),
            // A request without credentials has no body: the body holds keys, and the server has not asked yet who we
            // are.
            None if built(&request)?.body().is_some() => request.body(""),
            None => request,
        };
        let response = http.send(request).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let Some(mut own) = answerable(response.headers()) else { return Ok(response) };
        let answer = self.answer(&again, &mut own)?;
        let response = http.send(again.header(AUTHORIZATION, answer.to_header_string())).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            *self.challenge() = Some(own);
        }
        Ok(response)
    }

    fn challenge(&self) -> MutexGuard<'_, Option<WwwAuthenticateHeader>> {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a challenge, with its next count, for this request.
    fn answer(
        &self,
        request: &RequestBuilder,
        challenge: &mut WwwAuthenticateHeader,
    ) -> Result<AuthorizationHeader> {
        let request = built(request)?;
        let context = AuthContext::new_with_method(
            self.public_key.as_str(),
            self.private_key.expose(),
            &request.url()[Position::AfterPort..],
            request.body().and_then(|body| body.as_bytes()),
            HttpMethod::from(request.method().as_str()),
        );
        Ok(challenge.respond(&context)?)
    }
}

/// Builds a copy of the request.
fn built(request: &RequestBuilder) -> Result<Request> {
    Ok(request.try_clone().ok_or(Error::RequestBuilderNotCloneable)?.build()?)
}
