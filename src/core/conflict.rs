//! Two objects for one (project, type): which of them keeps the integration.

use jiff::Timestamp;

/// What the decision needs of one object.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Whether it has a confirmed write of its own.
    pub applied: bool,
    /// Whether it has claimed the place.
    pub claimed: bool,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// `metadata.uid`.
    pub uid: &'a str,
    /// Whether it takes part at all: it manages, its own LIST succeeded or it has `applied`, and it is neither
    /// suspended nor refused by the adoption check before it claimed.
    pub competes: bool,
}

/// The uid of the one that keeps the place: applied first, then claimed, then older, then the smaller uid.
pub fn winner<'a>(candidates: &[Candidate<'a>]) -> Option<&'a str> {
    candidates
        .iter()
        .filter(|candidate| candidate.competes)
        .min_by_key(|candidate| (!candidate.applied, !candidate.claimed, candidate.created, candidate.uid))
        .map(|candidate| candidate.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(uid: &str, second: i64) -> Candidate<'_> {
        let created = Timestamp::from_second(second).unwrap_or_default();
        Candidate { applied: false, claimed: false, created, uid, competes: true }
    }

    #[test]
    fn order_is_applied_claimed_older_uid() {
        let older = candidate("b", 1);
        let newer = candidate("a", 2);
        assert_eq!(winner(&[newer.clone(), older.clone()]), Some("b"));
        let claimed = Candidate { claimed: true, ..newer.clone() };
        assert_eq!(winner(&[older.clone(), claimed.clone()]), Some("a"));
        let applied = Candidate { applied: true, ..candidate("c", 3) };
        assert_eq!(winner(&[older.clone(), claimed, applied]), Some("c"));
        assert_eq!(winner(&[candidate("z", 1), candidate("y", 1)]), Some("y"));
        assert_eq!(winner(&[Candidate { competes: false, ..older }]), None);
    }
}
