//! One answer before it goes out: status, headers, bytes. The headers are those of the recorded answers.

use serde_json::Value;

use crate::error::{ApiError, reason};
use crate::json;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub error_code: Option<String>,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), error_code: None }
    }

    pub fn with_body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body: body.into(), error_code: None }
    }

    pub fn json(status: u16, content_type: &str, body: &Value, pretty: bool) -> Self {
        Self::with_body(status, content_type, json::text(body, pretty))
    }

    /// An application error: `application/json`, keys in alphabetical order, the code in a header too.
    pub fn error(error: &ApiError) -> Self {
        let mut reply = Self::json(error.status, "application/json", &error.body(), false);
        reply.headers.push(("Vary", "Accept-Encoding".to_owned()));
        reply.headers.push(("X-Error-Code", error.code.clone()));
        if let Some(seconds) = error.retry_after {
            reply.headers.push(("Retry-After", seconds.to_string()));
        }
        reply.error_code = Some(error.code.clone());
        reply.application()
    }

    /// The 401 of the authentication layer. Recorded byte for byte: pretty, in this order of keys, without
    /// `X-Error-Code`, and the same for missing and for wrong credentials.
    pub fn unauthenticated(challenges: Vec<String>) -> Self {
        let body = format!(
            "{{\n  \"error\" : 401,\n  \"reason\" : \"{}\",\n  \"detail\" : \"You are not authorized for this \
             resource.\",\n  \"errorCode\" : \"UNEXPECTED_ERROR\"\n}}",
            reason(401)
        );
        let mut reply = Self::with_body(401, "application/json", body);
        reply.headers.extend(challenges.into_iter().map(|challenge| ("WWW-Authenticate", challenge)));
        reply.headers.push(("Vary", "Accept-Encoding".to_owned()));
        reply.error_code = Some("UNEXPECTED_ERROR".to_owned());
        reply.served()
    }

    /// Adds the headers of every answer.
    pub fn served(mut self) -> Self {
        self.headers.push(("Server", "mdbws".to_owned()));
        self.headers.push(("X-Envoy-Upstream-Service-Time", "1".to_owned()));
        self
    }

    /// Adds the headers of answers that come from the application.
    pub fn application(mut self) -> Self {
        let fixed = [
            ("Referrer-Policy", "strict-origin-when-cross-origin"),
            ("Strict-Transport-Security", "max-age=31536000; includeSubdomains;"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("X-Permitted-Cross-Domain-Policies", "none"),
        ];
        self.headers.extend(fixed.map(|(name, value)| (name, value.to_owned())));
        self.served()
    }

    /// Puts another content type in place.
    pub fn set_content_type(&mut self, value: &str) {
        self.headers.retain(|(name, _)| *name != "Content-Type");
        self.headers.push(("Content-Type", value.to_owned()));
    }
}
