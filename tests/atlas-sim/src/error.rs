//! Atlas's error body, and the errors that the simulator gives by itself.
//!
//! Texts are those of the documentation's list of API errors, or of recorded answers.

use serde_json::{Map, Value, json};

/// An application error.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    pub status: u16,
    pub code: String,
    pub detail: String,
    pub parameters: Vec<Value>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
}

impl ApiError {
    pub fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            detail: detail.into(),
            parameters: Vec::new(),
            retry_after: None,
        }
    }

    /// An error whose detail names one value, which is its parameter too.
    fn about(status: u16, code: &str, before: &str, value: &str, after: &str) -> Self {
        Self { parameters: vec![value.into()], ..Self::new(status, code, format!("{before}{value}{after}")) }
    }

    /// The body, before it is written in Atlas's key order.
    pub fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("detail".to_owned(), self.detail.clone().into());
        body.insert("error".to_owned(), self.status.into());
        body.insert("errorCode".to_owned(), self.code.clone().into());
        body.insert("parameters".to_owned(), self.parameters.clone().into());
        body.insert("reason".to_owned(), reason(self.status).into());
        Value::Object(body)
    }

    pub fn group_not_found(id: &str) -> Self {
        Self::about(404, "GROUP_NOT_FOUND", "No group with ID ", id, " exists.")
    }

    pub fn invalid_group_id(id: &str) -> Self {
        Self::about(404, "INVALID_GROUP_ID", "An invalid group ID ", id, " was specified.")
    }

    pub fn not_configured(kind: &str) -> Self {
        let (before, after) = ("The integration of type '", "' is not configured for this group.");
        Self::about(404, "INTEGRATION_NOT_CONFIGURED", before, kind, after)
    }

    pub fn already_configured(kind: &str) -> Self {
        let (before, after) = ("The integration of type '", "' is already configured for this group.");
        Self::about(409, "INTEGRATION_ALREADY_CONFIGURED", before, kind, after)
    }

    pub fn resource_not_found(path: &str) -> Self {
        Self::about(404, "RESOURCE_NOT_FOUND", "Cannot find resource ", path, ".")
    }

    pub fn method_not_allowed() -> Self {
        Self::new(405, "METHOD_NOT_ALLOWED", "This method is not allowed for this resource.")
    }

    pub fn unsupported_media_type() -> Self {
        Self::new(415, "UNSUPPORTED_MEDIA_TYPE", "POST and PUT requests must name a JSON content type.")
    }

    pub fn invalid_version_date(status: u16) -> Self {
        let detail = "There is no version number in the request. To learn more, see the versioning overview.";
        Self::new(status, "INVALID_VERSION_DATE", detail)
    }

    pub fn version_gone(version: &str, path: &str) -> Self {
        let detail = format!("Version {version} of {path} is no longer available.");
        Self { parameters: vec![version.into(), path.into()], ..Self::new(410, "VERSION_GONE", detail) }
    }

    pub fn invalid_path_parameter(name: &str) -> Self {
        Self::about(400, "INVALID_PATH_PARAMETER", "Invalid path parameter ", name, " specified.")
    }

    pub fn invalid_query_parameter(name: &str) -> Self {
        Self::about(400, "INVALID_QUERY_PARAMETER", "Invalid query parameter ", name, " specified.")
    }

    pub fn hipchat_not_supported() -> Self {
        let detail = "HipChat integration is only supported for Ops Manager projects.";
        Self::new(400, "HIPCHAT_NOT_SUPPORTED", detail)
    }

    pub fn malformed_json() -> Self {
        Self::new(400, "MALFORMED_JSON", "Received JSON is malformed.")
    }

    pub fn invalid_json() -> Self {
        Self::new(400, "INVALID_JSON", "Received JSON does not match expected format.")
    }

    pub fn invalid_json_attribute(name: &str) -> Self {
        let (before, after) = ("Received JSON for the ", " attribute does not match expected format.");
        Self::about(400, "INVALID_JSON_ATTRIBUTE", before, name, after)
    }

    pub fn invalid_attribute(name: &str) -> Self {
        Self::about(400, "INVALID_ATTRIBUTE", "Invalid attribute ", name, " specified.")
    }

    pub fn read_only(name: &str) -> Self {
        let after = " is read-only and cannot be changed by the user.";
        Self::about(400, "ATTRIBUTE_READ_ONLY", "The attribute ", name, after)
    }

    pub fn missing_attribute(name: &str) -> Self {
        Self::about(400, "MISSING_ATTRIBUTE", "The required attribute ", name, " was not specified.")
    }

    pub fn invalid_enum_value(value: &str) -> Self {
        Self::about(400, "INVALID_ENUM_VALUE", "An invalid enumeration value ", value, " was specified.")
    }

    pub fn validation(what: &str) -> Self {
        let before = "The request content produced the validation error: ";
        Self::about(400, "VALIDATION_ERROR", before, what, ".")
    }

    pub fn invalid_url(url: &str) -> Self {
        Self::about(400, "INVALID_URL", "Invalid URL ", url, ".")
    }

    pub fn fields_invalid() -> Self {
        Self::new(400, "INTEGRATION_FIELDS_INVALID", "At least one integration field is invalid.")
    }

    pub fn invalid_settings(kind: &str, what: &str) -> Self {
        let detail = format!("The provided settings for the {kind} integration were invalid: {what}.");
        let error = Self::new(400, "INVALID_INTEGRATION_SETTINGS", detail);
        Self { parameters: vec![kind.into(), what.into()], ..error }
    }

    pub fn invalid_pager_duty_key() -> Self {
        let detail = "PagerDuty service key must consist of 32 hexadecimal digits.";
        Self::new(400, "INVALID_PAGER_DUTY_SERVICE_KEY", detail)
    }

    pub fn slack_not_configured() -> Self {
        let detail = "Slack OAuth2 is not yet configured, and must be configured via the UI.";
        Self::new(400, "SLACK_OAUTH2_NOT_CONFIGURED", detail)
    }

    pub fn webhook_notifications_present() -> Self {
        let detail =
            "Webhook settings cannot be deleted when notifications for this integration are present.";
        Self::new(400, "WEBHOOK_NOTIFICATIONS_PRESENT", detail)
    }

    pub fn user_unauthorized() -> Self {
        Self::new(401, "USER_UNAUTHORIZED", "Current user is not authorized to perform this action.")
    }

    pub fn user_cannot_access_group() -> Self {
        Self::new(401, "USER_CANNOT_ACCESS_GROUP", "User cannot access this group.")
    }

    pub fn suspended() -> Self {
        let detail = "Organization has an unpaid invoice that is more than 30 days old.";
        Self::new(402, "ACCOUNT_SUSPENDED", detail)
    }

    pub fn ip_not_allowed(ip: &str) -> Self {
        let after = " is not allowed to access this resource.";
        Self::about(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", "IP address ", ip, after)
    }

    pub fn maintenance() -> Self {
        let detail =
            "Create, update, and delete API endpoints are disabled while the system is being upgraded.";
        Self::new(405, "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES", detail)
    }

    /// The older form of 429, which v1.0 and the token endpoint use.
    pub fn rate_limited(path: &str, requests: u32, retry_after: Option<u64>) -> Self {
        let detail = format!("Resource {path} is limited to {requests} requests every 1 minutes.");
        let parameters = vec![path.into(), requests.into(), 1.into()];
        Self { parameters, retry_after, ..Self::new(429, "RATE_LIMITED", detail) }
    }

    /// The form of 429 that the token bucket of v2 uses.
    pub fn token_bucket(
        path: &str,
        wait: u64,
        capacity: u32,
        refill: u32,
        interval: u64,
        header: bool,
    ) -> Self {
        let detail = format!(
            "Rate limit exceeded for {path}. Please retry after {wait} seconds. Request capacity: {capacity}. \
             Refill rate: {refill} per {interval} seconds."
        );
        let parameters = vec![path.into(), wait.into(), capacity.into(), refill.into(), interval.into()];
        let retry_after = header.then_some(wait);
        Self { parameters, retry_after, ..Self::new(429, "RATE_LIMITED_TOKEN_BUCKET", detail) }
    }

    pub fn unexpected() -> Self {
        Self::new(500, "UNEXPECTED_ERROR", "Unexpected error.")
    }

    pub fn unavailable(retry_after: Option<u64>) -> Self {
        let error = Self::new(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable.");
        Self { retry_after, ..error }
    }
}

/// The reason phrase of a status.
pub fn reason(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status).ok().and_then(|known| known.canonical_reason()).unwrap_or("Unknown")
}

/// The error of an OAuth endpoint: its own shape, not Atlas's.
pub fn oauth_body(error: &str, description: &str) -> Value {
    json!({"error": error, "error_description": description})
}
