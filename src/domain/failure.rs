//! The ways in which a call to Atlas can fail, as far as decisions depend on them.

use std::time::Duration;

use super::advice::Advice;
use super::reason::Reason;

/// The class of an error or of a fault of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Atlas does not know the integration: nothing is there to change or to delete.
    Gone,
    /// POST found an integration of this type.
    AlreadyConfigured,
    /// Atlas refused the credential, or it lacks the role. Atlas returns 401 for both.
    Unauthorized,
    /// The access list does not contain the operator, or the organisation lacks a feature.
    Forbidden,
    /// There is no such project: nothing is there to delete.
    ProjectNotFound,
    /// The project id is malformed, or belongs to a project outside Atlas. This does not prove that the integration is
    /// gone, so a deletion keeps waiting.
    WrongProject,
    /// 429.
    RateLimited,
    /// Atlas refuses the settings as they are.
    Rejected,
    /// Atlas refuses the type of integration as such, or the organisation lacks a requirement of it.
    NotSupported,
    /// The API, or this version of it, is not served. While the version is being settled, the client then tries the
    /// other one.
    NotServed,
    /// Atlas is unreachable, slow or failing, or its answer was not understood. The operator retries automatically.
    Unavailable,
}

/// A failed call. Objects with the same credential share the call, so a failure names neither the Secret nor the object.
/// [`crate::domain::Case::message`] words it for one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class.
    pub kind: FailureKind,
    /// What happened to which call, as the beginning of a sentence. For [`FailureKind::Unauthorized`] it is only the
    /// status, the code and the call, since the sentence then begins with the credential.
    pub what: String,
    /// The text of Atlas, of a server in between, or of the network about it; perhaps empty. It contains no secrets.
    pub detail: String,
    /// What to do.
    pub advice: &'static Advice,
    /// Whether the failed write may still have taken effect, or may yet take effect.
    pub outcome_unknown: bool,
    /// Whether the credential itself is refused, whatever the project: it is wrong, revoked or expired, its access list
    /// does not contain the operator, or there is no token for it.
    pub of_credential: bool,
    /// Whether the call was not even sent because there was no token for it. Then the failure tells nothing about the
    /// project.
    pub without_call: bool,
    /// How long Atlas asked us to wait.
    pub retry_after: Option<Duration>,
    /// The end of that wait in words that do not change meanwhile, such as ` until 14:05 UTC`.
    pub until: Option<String>,
}

impl Failure {
    /// A failure after which the outcome is known.
    pub fn known(kind: FailureKind, what: impl Into<String>) -> Failure {
        Failure {
            kind,
            what: what.into(),
            detail: String::new(),
            advice: &Advice::NONE,
            outcome_unknown: false,
            of_credential: false,
            without_call: false,
            retry_after: None,
            until: None,
        }
    }

    /// The reason that a condition gives for it.
    pub fn reason(&self) -> Reason {
        self.kind.reason()
    }

    /// What happened, without advice, for a log.
    pub fn summary(&self) -> String {
        let Failure { what, detail, .. } = self;
        if detail.is_empty() { what.clone() } else { format!("{what}: {detail}") }
    }
}

impl FailureKind {
    /// The reason that a condition gives for it.
    pub fn reason(self) -> Reason {
        match self {
            FailureKind::Unauthorized => Reason::Unauthorized,
            FailureKind::Forbidden => Reason::Forbidden,
            FailureKind::ProjectNotFound | FailureKind::WrongProject => Reason::ProjectNotFound,
            FailureKind::RateLimited => Reason::RateLimited,
            FailureKind::Rejected => Reason::Rejected,
            FailureKind::NotSupported => Reason::NotSupportedByAtlas,
            FailureKind::Gone | FailureKind::AlreadyConfigured => Reason::NotVisibleYet,
            FailureKind::NotServed | FailureKind::Unavailable => Reason::AtlasUnavailable,
        }
    }
}
