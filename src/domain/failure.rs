//! What a call to Atlas can fail with, as far as the decision cares.

use std::time::Duration;

use super::reason::Reason;

/// One class for every answer and transport fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Atlas does not know the integration: nothing is there to change or to delete.
    Gone,
    /// POST found an integration of this type.
    AlreadyConfigured,
    /// The credential was refused, or lacks the role: Atlas answers 401 to both.
    Unauthorized,
    /// The access list, or a feature that the organisation lacks.
    Forbidden,
    /// There is no such project: nothing is there to delete.
    ProjectNotFound,
    /// The project's id is none, or that of a project which is not Atlas's. Nothing follows for a deletion.
    WrongProject,
    /// 429.
    RateLimited,
    /// Atlas refuses the settings as they are.
    Rejected,
    /// Atlas refuses the type of integration as such, or the organisation lacks what it takes.
    NotSupported,
    /// Not Atlas's API, or not this version of it: what is asked for next while the version is being settled.
    NotServed,
    /// Unreachable, slow, failing or not understood; goes on by itself.
    Unavailable,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class.
    pub kind: FailureKind,
    /// For a person: what happened, to what, what to do next. Scrubbed of secrets.
    pub message: String,
    /// Whether a write that failed so may still have been, or may yet be, carried out.
    pub outcome_unknown: bool,
    /// Whether the call was not even sent, since there was no token for it: that says nothing of the project.
    pub without_call: bool,
    /// When Atlas said to come back.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure after which nothing is in doubt.
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
