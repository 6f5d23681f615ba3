//! The reasons that conditions, events and metrics share.

use std::fmt;

/// Why an object is in its present state; the `reason` of its Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // One row each in docs/conditions.md.
pub enum Reason {
    Synced,
    Observed,
    RateLimited,
    AtlasUnavailable,
    ApiServerSlow,
    NotVisibleYet,
    SecretNotFound,
    SecretKeyMissing,
    SecretKeyInvalid,
    Unauthorized,
    Forbidden,
    ProjectNotFound,
    ProjectNotAllowed,
    Conflict,
    AlreadyExists,
    WriteRefused,
    IntegrationNotFound,
    InvalidSpec,
    Rejected,
    NotSupportedByAtlas,
    Suspended,
}

/// What has to happen for an object to become ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// All is well.
    Good,
    /// The operator retries automatically; the object is stalled if that lasts for long.
    Passing,
    /// The cause is outside of the object. Somebody has to act, then the operator continues automatically; the object
    /// is stalled after a while.
    Outside,
    /// Nothing happens until the object or its Secrets change.
    Final,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 21] = [
        Reason::Synced,
        Reason::Observed,
        Reason::RateLimited,
        Reason::AtlasUnavailable,
        Reason::ApiServerSlow,
        Reason::NotVisibleYet,
        Reason::SecretNotFound,
        Reason::SecretKeyMissing,
        Reason::SecretKeyInvalid,
        Reason::Unauthorized,
        Reason::Forbidden,
        Reason::ProjectNotFound,
        Reason::ProjectNotAllowed,
        Reason::Conflict,
        Reason::AlreadyExists,
        Reason::WriteRefused,
        Reason::IntegrationNotFound,
        Reason::InvalidSpec,
        Reason::Rejected,
        Reason::NotSupportedByAtlas,
        Reason::Suspended,
    ];

    /// The reason that this word names.
    pub fn parse(text: &str) -> Option<Reason> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// The CamelCase word.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Synced => "Synced",
            Reason::Observed => "Observed",
            Reason::RateLimited => "RateLimited",
            Reason::AtlasUnavailable => "AtlasUnavailable",
            Reason::ApiServerSlow => "ApiServerSlow",
            Reason::NotVisibleYet => "NotVisibleYet",
            Reason::SecretNotFound => "SecretNotFound",
            Reason::SecretKeyMissing => "SecretKeyMissing",
            Reason::SecretKeyInvalid => "SecretKeyInvalid",
            Reason::Unauthorized => "Unauthorized",
            Reason::Forbidden => "Forbidden",
            Reason::ProjectNotFound => "ProjectNotFound",
            Reason::ProjectNotAllowed => "ProjectNotAllowed",
            Reason::Conflict => "Conflict",
            Reason::AlreadyExists => "AlreadyExists",
            Reason::WriteRefused => "WriteRefused",
            Reason::IntegrationNotFound => "IntegrationNotFound",
            Reason::InvalidSpec => "InvalidSpec",
            Reason::Rejected => "Rejected",
            Reason::NotSupportedByAtlas => "NotSupportedByAtlas",
            Reason::Suspended => "Suspended",
        }
    }

    /// What has to happen next.
    pub fn prospect(self) -> Prospect {
        match self {
            Reason::Synced | Reason::Observed | Reason::Suspended => Prospect::Good,
            Reason::RateLimited
            | Reason::AtlasUnavailable
            | Reason::ApiServerSlow
            | Reason::NotVisibleYet => Prospect::Passing,
            Reason::SecretNotFound
            | Reason::SecretKeyMissing
            | Reason::SecretKeyInvalid
            | Reason::Unauthorized
            | Reason::Forbidden
            | Reason::ProjectNotFound
            | Reason::ProjectNotAllowed
            | Reason::Conflict
            | Reason::AlreadyExists
            | Reason::WriteRefused
            | Reason::IntegrationNotFound => Prospect::Outside,
            Reason::InvalidSpec | Reason::Rejected | Reason::NotSupportedByAtlas => Prospect::Final,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conditions, Events and metrics carry the same word, and the operator understands the word in a status again.
    #[test]
    fn the_word_of_a_reason_is_its_name() {
        for reason in Reason::ALL {
            let name = format!("{reason:?}");
            assert_eq!((reason.as_str(), reason.to_string()), (name.as_str(), name.clone()));
            assert_eq!(Reason::parse(&name), Some(reason));
        }
        assert_eq!(Reason::parse("synced"), None);
        assert_eq!(Reason::parse(""), None);
    }

    /// A good reason makes Ready true, a final one stalls the object at once, and a passing one only if it lasts for
    /// long. Every other reason requires somebody to act, and stalls the object after a while.
    #[test]
    fn every_reason_has_its_prospect() {
        let of = |prospect| Reason::ALL.into_iter().filter(move |reason| reason.prospect() == prospect);
        assert!(of(Prospect::Good).eq([Reason::Synced, Reason::Observed, Reason::Suspended]));
        assert!(of(Prospect::Passing).eq([
            Reason::RateLimited,
            Reason::AtlasUnavailable,
            Reason::ApiServerSlow,
            Reason::NotVisibleYet
        ]));
        assert!(of(Prospect::Final).eq([Reason::InvalidSpec, Reason::Rejected, Reason::NotSupportedByAtlas]));
        assert_eq!(of(Prospect::Outside).count(), 11);
    }
}
