//! Decides what a write to Atlas, and the answer to it, change in an object: what is stored before the call and after
//! it, when the claim is given up, and what is stored when nobody knows which write landed last.

use jiff::Timestamp;

use super::plan::{Why, Write};
use crate::domain::{
    Applied, AppliedSecret, Attempt, Carried, Claim, Failure, FailureKind, Fingerprint, Object, Prospect,
    Reason, Spec, Status,
};

/// Whether this process knows that the last begun write can't take effect any more. `known` is the time of the fence of
/// the write of which it knows this.
pub fn is_outcome_known(object: &Object, known: Option<Timestamp>) -> bool {
    object.unconfirmed().is_some_and(|attempt| Some(attempt.time) == known)
}

/// The Secrets of an object as they were read for a write.
pub struct Read<'a> {
    /// Their states.
    pub secrets: &'a [AppliedSecret],
    /// Of their values, for this process.
    pub fingerprint: Fingerprint,
    /// What `applied.fingerprint` would be if the attempt that Atlas confirmed had sent these values. `None` if the
    /// credential of the object keys no fingerprint.
    pub as_applied: Option<String>,
}

/// Returns the reasons to write that remain after the Secrets were `read`. The Secrets stop being a reason in three
/// cases: if they are in the state that was applied; if their values equal those of the last write that this process
/// saw `confirmed`; or if they equal those of the last confirmed write by the fingerprint in the status, which outlives
/// the process. Memory and fingerprint hold for one attempt, the confirmed one. If another was begun since, a write is
/// owed, whatever the Secrets are. Without a watch of Secrets every planned write has them as a reason, so only this
/// function tells a repair from a rotation.
pub fn due_once_read(object: &Object, why: &Why, read: &Read<'_>, confirmed: Option<Carried>) -> Why {
    let same = object.applied().is_some_and(|applied| {
        let carried = applied.attempt.as_deref().map(|attempt| read.fingerprint.carried_by(attempt));
        applied.secrets == read.secrets
            || (carried.is_some() && confirmed == carried)
            || (applied.fingerprint.is_some() && applied.fingerprint == read.as_applied)
    });
    Why { secrets: why.secrets && !same, ..why.clone() }
}

/// Whether a write claims its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claiming {
    /// No: the place is claimed already.
    Already,
    /// Yes: a LIST showed that nothing is there.
    Fresh,
    /// Yes: something is there, and the object's policy consents to overwriting it.
    ByConsent,
}

/// The write to the API server that comes before every write to Atlas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The attempt, and then the claim. The claim proves nothing alone, since users can write it too, so the status comes
    /// first. If the object's policy consents to overwriting what is there, this status also has the proof that the
    /// place is ours: consent counts from then on, whatever the policy says later. The status has nothing of an earlier
    /// claim. The annotation `released` voids what that claim left, and the new claim removes the annotation.
    Claim {
        /// The status to store first.
        status: Box<Status>,
        /// The claim.
        claim: Claim,
    },
    /// The attempt alone.
    Attempt,
    /// The attempt, together with the proof that the place is ours. The LIST has just given this proof. It is stored,
    /// so that a later fence or a refused write does not lose it.
    Proof(Box<Status>),
}

/// Returns the fence of a write that begins with `attempt`.
pub fn fence(object: &Object, claiming: Claiming, write: Write, attempt: &Attempt) -> Fence {
    match claiming {
        Claiming::Fresh | Claiming::ByConsent => {
            let status = Status {
                applied: (claiming == Claiming::ByConsent).then(|| proof(object)),
                attempt: Some(attempt.clone()),
                ..object.status.clone()
            };
            let claim = Claim { uid: object.uid.clone(), time: attempt.time };
            Fence::Claim { status: Box::new(status), claim }
        }
        Claiming::Already if object.applied().is_none() && write == Write::Put => {
            Fence::Proof(Box::new(Status {
                applied: Some(proof(object)),
                attempt: Some(attempt.clone()),
                ..object.status.clone()
            }))
        }
        Claiming::Already => Fence::Attempt,
    }
}

/// Returns the claim to put back after it was lost, if `applied` proves that the place is ours.
pub fn restored_claim(object: &Object, now: Timestamp) -> Claim {
    Claim { uid: object.uid.clone(), time: now }
}

/// Returns an `applied` that proves that the place is ours, and says nothing about what Atlas holds.
fn proof(object: &Object) -> Applied {
    Applied {
        uid: object.uid.clone(),
        attempt: None,
        config: None,
        secrets: Vec::new(),
        fingerprint: None,
        time: None,
    }
}

/// Returns `applied` for a write that Atlas confirmed. It describes exactly what was read and sent; `fingerprint` is that
/// of the values that this attempt sent.
pub fn applied(
    object: &Object,
    attempt: &Attempt,
    spec: &Spec,
    secrets: &[AppliedSecret],
    fingerprint: Option<String>,
    now: Timestamp,
) -> Applied {
    Applied {
        uid: object.uid.clone(),
        attempt: Some(attempt.id.clone()),
        config: Some(spec.integration.config_hash()),
        secrets: secrets.to_vec(),
        fingerprint,
        time: Some(now),
    }
}

/// What happens to the status of a confirmed write if somebody changed the object meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Our write is still the last begun one, so its status is stored in the object as it is now.
    Again,
    /// Another process has begun a write since, and nobody knows which of the two landed last. So [`doubt`] is stored.
    Doubt,
    /// The object that the write was for does not exist any more.
    Gone,
}

/// Compares the object as it is `now` with the object that the fence of `attempt` left (`fenced`). `claiming` says that
/// this fence was the claim.
pub fn moved(now: Option<&Object>, fenced: &Object, claiming: bool, attempt: &Attempt) -> Moved {
    let Some(now) = now.filter(|now| now.uid == fenced.uid) else { return Moved::Gone };
    // Our write is the last one if nobody has begun another attempt since, confirmed or not. If the claim was the
    // fence, it also has to be the present claim.
    let claimed = now.own_claim().is_some_and(|claim| claim.time == attempt.time);
    let last = |object: &Object| object.attempt().map(|begun| begun.id.clone());
    if (claimed || !claiming) && last(now) == last(fenced) { Moved::Again } else { Moved::Doubt }
}

/// Returns what is stored of a confirmed write in the case [`Moved::Doubt`]. It proves that the place is ours, and
/// nothing more. Atlas has not confirmed the fresh attempt, so a write is owed.
pub fn doubt(object: &Object, attempt: &Attempt, id: String, now: Timestamp) -> (Applied, Attempt) {
    (proof(object), Attempt { id, time: now, sent: attempt.sent.clone() })
}

/// What follows from a write that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The reason for Ready. If it is [`Reason::AlreadyExists`], somebody else created the integration after our LIST;
    /// otherwise it is the reason of the failure.
    pub reason: Reason,
    /// Whether the operator must not send the same write again.
    pub for_good: bool,
    /// Why the claim is given up; `None` if it is kept.
    pub release: Option<&'static str>,
}

/// Decides what follows from a failed POST or PUT. `object` is the object as the fence left it.
pub fn failed(object: &Object, claiming: Claiming, failure: &Failure) -> Failed {
    let faster = failure.kind == FailureKind::AlreadyConfigured
        && claiming == Claiming::Fresh
        && !failure.outcome_unknown;
    // What somebody else created after our LIST is never ours.
    let reason = if faster { Reason::AlreadyExists } else { failure.reason() };
    let for_good = reason.prospect() == Prospect::Final;
    let release = if faster {
        Some("somebody else created the integration first")
    } else if for_good && (claiming == Claiming::ByConsent || object.applied().is_none()) {
        // The claim was made only for this write, and Atlas will not accept it. So the claim is given up.
        Some("Atlas refused the first write; nothing was created")
    } else {
        None
    };
    Failed { reason, for_good, release }
}

/// Returns the attempt that is the fence of a DELETE. It keeps what an earlier write sent, since that still tells
/// whether the integration in the place is ours.
pub fn deletion(object: &Object, id: String, now: Timestamp) -> Attempt {
    let sent = object.attempt().and_then(|begun| begun.sent.clone());
    Attempt { id, time: now, sent }
}

/// Whether Atlas has already confirmed the last begun DELETE of this object. Then only the finalizer has to be removed.
/// `deleted` is the id of the attempt whose DELETE Atlas confirmed.
pub fn is_deleted(object: &Object, deleted: Option<&str>) -> bool {
    deleted.is_some() && object.attempt().map(|begun| begun.id.as_str()) == deleted
}

/// Whether a failed DELETE says that there is nothing to delete.
pub fn nothing_to_delete(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Gone | FailureKind::ProjectNotFound)
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
