//! The ways in which a call to Atlas can fail, as far as decisions depend on them.

use std::time::Duration;

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

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class.
    pub kind: FailureKind,
    /// What happened, to what, and what to do next, for a person. It contains no secrets.
    pub message: String,
    /// Whether the failed write may still have taken effect, or may yet take effect.
    pub outcome_unknown: bool,
    /// Whether the call was not even sent because there was no token for it. Then the failure tells nothing about the
    /// project.
    pub without_call: bool,
    /// How long Atlas asked us to wait.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure after which the outcome is known.
    pub fn known(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure {
            kind,
            message: message.into(),
            outcome_unknown: false,
            without_call: false,
            retry_after: None,
        }
    }

    /// The reason that a condition gives for it.
    pub fn reason(&self) -> Reason {
        self.kind.reason()
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
