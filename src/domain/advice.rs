//! What to do about a failed call, for each thing that may be at stake for an object.

/// What depends on the object that a message is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stake {
    /// It never wrote anything to Atlas.
    Nothing,
    /// It keeps an integration in Atlas, or may keep one. Deleting the object deletes that too.
    Integration,
    /// It is being deleted.
    Deletion,
}

/// What to do about a failure, as the end of a sentence, for each [`Stake`]. The texts contain the words in braces of
/// [`crate::domain::Case`], which stand for parts that depend on the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Nothing is at stake.
    pub nothing: &'static str,
    /// An integration is at stake.
    pub integration: &'static str,
    /// The object is being deleted.
    pub deletion: &'static str,
}

impl Advice {
    /// No advice: what happened tells everything.
    pub const NONE: Advice = Advice::always("");

    /// The same advice in each case.
    pub const fn always(text: &'static str) -> Advice {
        Advice { nothing: text, integration: text, deletion: text }
    }

    /// The advice for this at stake.
    pub(super) fn of(&self, stake: Stake) -> &'static str {
        match stake {
            Stake::Nothing => self.nothing,
            Stake::Integration => self.integration,
            Stake::Deletion => self.deletion,
        }
    }
}
