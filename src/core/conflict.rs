//! Several objects for one place (project and type): which of them keeps the integration.

use crate::domain::{AdoptionPolicy, ManagementPolicy};

/// The part of an object that the decision needs.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Whether it has a confirmed write of its own.
    pub applied: bool,
    /// Whether it has claimed the place, as its status proves. A claim that nothing proves may be forged, and wins nothing.
    pub claimed: bool,
    /// `metadata.creationTimestamp`, in seconds since 1970.
    pub created: i64,
    /// `metadata.uid`.
    pub uid: &'a str,
    /// Whether it competes at all: see [`competes`].
    pub competes: bool,
}

/// Everything that decides whether an object competes.
#[derive(Clone, Copy, Debug)]
pub struct Stance {
    /// `managementPolicy`.
    pub management: ManagementPolicy,
    /// `adoptionPolicy`.
    pub adoption: AdoptionPolicy,
    /// Whether it is suspended or being deleted.
    pub idle: bool,
    /// Whether it is being deleted and its deletion needs no call to Atlas.
    pub leaves_alone: bool,
    /// Whether it has a confirmed write of its own.
    pub applied: bool,
    /// Whether it has claimed the place, as its status proves. A claim that nothing proves may be forged, and wins nothing.
    pub claimed: bool,
    /// Whether Atlas refused its settings for good, and neither the object nor its Secrets have changed since the
    /// refusal.
    pub refused: bool,
    /// Whether its own LIST shows an entry; `None` without a LIST.
    pub entry: Option<bool>,
}

/// Whether an object competes for the place. It must manage, and either its own LIST succeeded or it has `applied`.
/// Unless it already holds the place, it must also not be suspended, being deleted, or refused by the adoption check or
/// by Atlas.
pub fn competes(stance: &Stance) -> bool {
    let held = stance.applied || stance.claimed;
    let sees = stance.applied || stance.entry.is_some();
    let may_not = stance.entry == Some(true) && stance.adoption == AdoptionPolicy::Refuse;
    stance.management == ManagementPolicy::Manage
        && !stance.leaves_alone
        && sees
        && (held || !(may_not || stance.refused || stance.idle))
}

/// The uid of the object that keeps the place: one with `applied` comes before one with a claim, then the older before
/// the younger, then the smaller uid before the larger.
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

    #[test]
    fn an_object_that_may_not_take_the_place_does_not_compete() {
        let fresh = Stance {
            management: ManagementPolicy::Manage,
            adoption: AdoptionPolicy::Refuse,
            idle: false,
            leaves_alone: false,
            applied: false,
            claimed: false,
            refused: false,
            entry: Some(false),
        };
        assert!(competes(&fresh));
        let present = Stance { entry: Some(true), ..fresh };
        assert!(!competes(&present) && competes(&Stance { claimed: true, ..present }));
        assert!(competes(&Stance { adoption: AdoptionPolicy::Adopt, ..present }));
        let suspended = Stance { idle: true, ..fresh };
        assert!(!competes(&suspended) && competes(&Stance { applied: true, ..suspended }));
        let refused = Stance { refused: true, ..fresh };
        assert!(!competes(&refused) && competes(&Stance { applied: true, ..refused }));
        let unseen = Stance { entry: None, claimed: true, ..fresh };
        assert!(!competes(&unseen) && competes(&Stance { applied: true, ..unseen }));
        let applied = Stance { applied: true, ..fresh };
        assert!(!competes(&Stance { management: ManagementPolicy::Observe, ..applied }));
        assert!(!competes(&Stance { leaves_alone: true, ..applied }));
    }

    fn candidate(uid: &str, created: i64) -> Candidate<'_> {
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
