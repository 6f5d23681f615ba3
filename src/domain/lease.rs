//! The record in a Lease that says which replica leads.

use super::characters::plain;

/// The record in a Lease. Its times are texts: they come from the clock of another machine, so the only thing to
/// compare is whether they changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The replica that leads; empty if there is none.
    pub holder: String,
    /// For how many seconds after its last change other replicas leave the Lease to the holder.
    pub duration_seconds: Option<i64>,
    /// When the holder took it.
    pub acquired: Option<String>,
    /// When the holder last renewed it.
    pub renewed: Option<String>,
    /// How often the holder changed.
    pub transitions: i64,
}

impl LeaseRecord {
    /// The holder as people are shown it. Somebody else may have written it, at any length.
    pub fn shown_holder(&self) -> String {
        plain(&self.holder, MAX_HOLDER)
    }
}

/// The longest name of an object, which the names of replicas consist of for the most part.
const MAX_HOLDER: usize = 253;

#[cfg(test)]
mod tests {
    use super::LeaseRecord;

    #[test]
    fn a_holder_is_shown_cleanly_and_not_at_length() {
        let shown = |holder: String| LeaseRecord { holder, ..LeaseRecord::default() }.shown_holder();
        assert_eq!(shown("pod-1_0a\u{1b}[31m\n\u{202e}".to_owned()), "pod-1_0a[31m");
        assert_eq!(shown("x".repeat(1_000_000)).len(), 253);
    }
}
