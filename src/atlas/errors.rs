//! One table for every answer that is no success, and the words for faults of transport.
//!
//! Sources: the documentation's list of API errors, the v2 specification, and answers seen by users. Atlas sends
//! 401, not 403, for a role that does not suffice, and code 401/UNEXPECTED_ERROR for any wrong key.

use std::time::Duration;

use crate::domain::{Failure, FailureKind, plain};

/// The cause of a transport fault is cut at this many characters.
const MAX_CAUSE: usize = 200;

/// What a class means for a person.
struct Row {
    /// HTTP status; 0 for any.
    status: u16,
    /// `errorCode`; empty for any.
    code: &'static str,
    kind: FailureKind,
    /// What to do next.
    hint: &'static str,
}

const fn row(status: u16, code: &'static str, kind: FailureKind, hint: &'static str) -> Row {
    Row { status, code, kind, hint }
}

use FailureKind as K;

const FIX_KEY: &str = "check the API key or service account in the credentials Secret, and that it has the role Project Owner on the project";
const FIX_ACCESS: &str = "add the operator's address to the API key's access list in Atlas";
const FIX_PROJECT: &str = "check spec.projectId and that the API key belongs to that project's organisation";
const FIX_SPEC: &str = "correct the object or the Secret that it refers to";
const FIX_SLACK: &str =
    "Atlas wants Slack to be connected once in its UI (project, Integrations, Slack); then apply again";
const LATER: &str = "the operator tries again by itself";

/// The first row that fits decides.
static ROWS: &[Row] = &[
    row(404, "INTEGRATION_NOT_CONFIGURED", K::Gone, LATER),
    row(404, "GROUP_NOT_FOUND", K::ProjectNotFound, FIX_PROJECT),
    row(404, "INVALID_GROUP_ID", K::Rejected, FIX_PROJECT),
    row(404, "NOT_ATLAS_GROUP", K::NotSupported, FIX_PROJECT),
    row(409, "INTEGRATION_ALREADY_CONFIGURED", K::AlreadyConfigured, LATER),
    row(0, "RESOURCE_NOT_FOUND", K::NotServed, LATER),
    row(0, "INVALID_VERSION_DATE", K::NotServed, LATER),
    row(0, "VERSION_GONE", K::NotServed, LATER),
    row(
        0,
        "HIPCHAT_NOT_SUPPORTED",
        K::NotSupported,
        "Atlas no longer offers this integration; delete the object",
    ),
    row(
        0,
        "DATADOG_NOT_SUPPORTED_FOR_CLOUD_MANAGER",
        K::NotSupported,
        "the project is no Atlas project; delete the object",
    ),
    row(
        0,
        "FEATURE_UNSUPPORTED",
        K::NotSupported,
        "the organisation lacks the feature; ask MongoDB, or delete the object",
    ),
    row(0, "LEGACY_SLACK_CONFIGURATION_UNSUPPORTED", K::Rejected, FIX_SLACK),
    row(0, "MUST_RECONFIGURE_SLACK_OAUTH2", K::Rejected, FIX_SLACK),
    row(0, "SLACK_OAUTH2_NOT_CONFIGURED", K::Rejected, FIX_SLACK),
    row(
        0,
        "WEBHOOK_NOTIFICATIONS_PRESENT",
        K::Rejected,
        "remove the webhook from the project's alert configurations first, or set spec.deletionPolicy to Retain",
    ),
    row(401, "", K::Unauthorized, FIX_KEY),
    row(402, "", K::Forbidden, "the Atlas organisation is suspended; settle its bill"),
    row(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", K::Forbidden, FIX_ACCESS),
    row(403, "IP_ADDRESS_NOT_ON_WHITELIST", K::Forbidden, FIX_ACCESS),
    row(403, "", K::Forbidden, "check the API key's access list and the organisation's settings in Atlas"),
    row(429, "", K::RateLimited, LATER),
    row(405, "", K::Unavailable, LATER),
    row(408, "", K::Unavailable, LATER),
    row(400, "", K::Rejected, FIX_SPEC),
    row(409, "", K::Rejected, FIX_SPEC),
];

/// The failure for an answer of Atlas that is no success. `detail` is already scrubbed.
pub(super) fn answered(
    what: &str,
    status: u16,
    code: &str,
    detail: &str,
    retry_after: Option<Duration>,
) -> Failure {
    let found = ROWS
        .iter()
        .find(|row| (row.status == 0 || row.status == status) && (row.code.is_empty() || row.code == code));
    let (kind, hint) = found.map_or((K::Unavailable, LATER), |row| (row.kind, row.hint));
    let message = match kind {
        // Atlas's own text counts seconds down, which would make every retry a new status.
        K::RateLimited => {
            format!("Atlas limits the rate of requests ({code}); the operator waits as long as it says")
        }
        _ => {
            let detail = detail.trim_end_matches('.');
            format!("Atlas answered {status} {code} to {what}: {detail}; {hint}")
        }
    };
    Failure {
        kind,
        message,
        // Of a server's own failure nobody knows how far it came.
        outcome_unknown: status >= 500,
        retry_after,
    }
}

/// The failure for an answer that is not Atlas's: a proxy's, a load balancer's, or none that can be read.
pub(super) fn not_understood(what: &str, status: u16, why: &str) -> Failure {
    let kind = match status {
        404 => K::NotServed,
        429 => K::RateLimited,
        _ => K::Unavailable,
    };
    Failure {
        kind,
        message: format!(
            "the answer to {what} (HTTP {status}) is not one of Atlas: {why}; check --atlas-url and the proxies in \
             between; {LATER}"
        ),
        outcome_unknown: !(300..500).contains(&status),
        retry_after: None,
    }
}

/// The failure for a call without an answer.
pub(super) fn no_answer(what: &str, error: &reqwest::Error) -> Failure {
    let why = if error.is_timeout() {
        "no answer within the time limit".to_owned()
    } else if error.is_connect() {
        format!("can't connect: {}", root_cause(error))
    } else {
        format!("the connection failed: {}", root_cause(error))
    };
    Failure {
        kind: K::Unavailable,
        message: format!("Atlas can't be reached for {what}: {why}; {LATER}"),
        outcome_unknown: !error.is_connect() && !error.is_builder(),
        retry_after: None,
    }
}

/// The innermost error, which says more to a person than the chain above it. It can't hold anything of the
/// request besides its address.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    plain(&cause.to_string(), MAX_CAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(404, "INTEGRATION_NOT_CONFIGURED", K::Gone)]
    #[case(404, "GROUP_NOT_FOUND", K::ProjectNotFound)]
    #[case(409, "INTEGRATION_ALREADY_CONFIGURED", K::AlreadyConfigured)]
    #[case(401, "UNEXPECTED_ERROR", K::Unauthorized)]
    #[case(401, "USER_UNAUTHORIZED", K::Unauthorized)]
    #[case(402, "ACCOUNT_SUSPENDED", K::Forbidden)]
    #[case(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", K::Forbidden)]
    #[case(403, "FEATURE_UNSUPPORTED", K::NotSupported)]
    #[case(400, "INVALID_INTEGRATION_SETTINGS", K::Rejected)]
    #[case(400, "SLACK_OAUTH2_NOT_CONFIGURED", K::Rejected)]
    #[case(405, "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES", K::Unavailable)]
    #[case(406, "INVALID_VERSION_DATE", K::NotServed)]
    #[case(410, "VERSION_GONE", K::NotServed)]
    #[case(429, "RATE_LIMITED_TOKEN_BUCKET", K::RateLimited)]
    #[case(500, "UNEXPECTED_ERROR", K::Unavailable)]
    #[case(503, "SERVICE_UNAVAILABLE", K::Unavailable)]
    #[case(418, "NEVER_SEEN", K::Unavailable)]
    fn classes(#[case] status: u16, #[case] code: &str, #[case] kind: FailureKind) {
        let failure = answered("POST DATADOG", status, code, "detail", None);
        assert_eq!(failure.kind, kind);
        assert_eq!(failure.outcome_unknown, status >= 500);
        assert!(failure.message.contains(code), "{}", failure.message);
        let says_what = failure.message.contains("POST DATADOG: detail");
        assert_eq!(says_what, kind != K::RateLimited, "{}", failure.message);
    }

    #[test]
    fn a_proxys_404_is_not_atlas_saying_gone() {
        assert_eq!(not_understood("LIST", 404, "HTML").kind, K::NotServed);
        assert_eq!(not_understood("LIST", 302, "a redirect").kind, K::Unavailable);
    }
}
