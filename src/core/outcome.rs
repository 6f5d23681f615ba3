//! What becomes of an object by a write and its answer: what is stored before the call, what after it, what is
//! given up, and what stays in doubt.

use jiff::Timestamp;

use super::plan::{Why, Write, already_exists_message};
use crate::domain::{
    Applied, AppliedSecret, Attempt, Carried, Claim, Failure, FailureKind, Fingerprint, Object, Prospect,
    Reason, Redacted, Spec, Status, differing_fields,
};

/// Whether the last begun write is the one of which this process knows that it has no effect any more; `known` is the
/// time of that one's fence.
pub fn is_outcome_known(object: &Object, known: Option<Timestamp>) -> bool {
    let begun = match object.unconfirmed() {
        Some(attempt) => Some(attempt.time),
        None => object.own_claim().map(|claim| claim.time),
    };
    begun.is_some() && begun == known
}

/// The reasons to write that remain once the Secrets are `read`. A changed Secret is no longer a reason if it is in the
/// state that was applied, or if its values equal those of the last write that this process saw `confirmed` and no
/// attempt was begun since. Without a watch of Secrets every write is planned with them as a reason, so only this tells
/// a repair from a rotation.
pub fn due_once_read(
    object: &Object,
    why: &Why,
    read: (&[AppliedSecret], Fingerprint),
    confirmed: Option<Carried>,
) -> Why {
    let same = object.applied().is_some_and(|applied| {
        let carried = applied.attempt.as_deref().map(|attempt| read.1.carried_by(attempt));
        applied.secrets == read.0 || (carried.is_some() && confirmed == carried)
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
    /// The claim. `released` voids what an earlier claim left and goes with the new one; where there is something
    /// to void, the status without it is stored first.
    Claim {
        /// The status to store first.
        first: Option<Box<Status>>,
        /// The claim.
        claim: Claim,
    },
    /// The attempt alone.
    Attempt,
    /// The attempt, and the proof that the place is ours: LIST has just given it, and later fences, or a refusal, must
    /// not lose it.
    Proof(Box<Status>),
}

/// The fence of a write that begins with `attempt`.
pub fn fence(object: &Object, claiming: Claiming, write: Write, attempt: &Attempt) -> Fence {
    match claiming {
        Claiming::Fresh | Claiming::ByConsent => {
            let adopted = claiming == Claiming::ByConsent;
            let status = &object.status;
            let left = object.released && (status.applied.is_some() || status.attempt.is_some());
            let first = left.then(|| Box::new(Status { applied: None, attempt: None, ..status.clone() }));
            let sent = attempt.sent.clone().unwrap_or_default();
            Fence::Claim {
                first,
                claim: Claim { uid: object.uid.clone(), time: attempt.time, sent, adopted },
            }
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

/// The claim that is put back where it was lost and `applied` proves that the place is ours.
pub fn restored_claim(object: &Object, now: Timestamp) -> Claim {
    let sent = object.status.integration.clone().unwrap_or_default();
    Claim { uid: object.uid.clone(), time: now, sent, adopted: false }
}

/// `applied` that proves the place ours and says nothing of what Atlas holds.
fn proof(object: &Object) -> Applied {
    Applied { uid: object.uid.clone(), attempt: None, config: None, secrets: Vec::new(), time: None }
}

/// `applied` after Atlas confirmed a write: of what was read and sent, exactly.
pub fn applied(
    object: &Object,
    attempt: &Attempt,
    spec: &Spec,
    secrets: &[AppliedSecret],
    now: Timestamp,
) -> Applied {
    Applied {
        uid: object.uid.clone(),
        attempt: Some(attempt.id.clone()),
        config: Some(spec.integration.config_hash()),
        secrets: secrets.to_vec(),
        time: Some(now),
    }
}

/// What the status of a confirmed write becomes when the object moved meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Our write is still the last one begun: it is stored on the object as it is now.
    Again,
    /// Another process began a write since: which of the two landed last, nobody knows. [`doubt`] is stored.
    Doubt,
    /// The object that the write was for is gone.
    Gone,
}

/// How the object stands `now` to the write that was `fenced` with `attempt`; `claiming` when the claim was the fence.
pub fn moved(now: Option<&Object>, fenced: &Object, claiming: bool, attempt: &Attempt) -> Moved {
    let Some(now) = now.filter(|now| now.uid == fenced.uid) else { return Moved::Gone };
    // Our claim stands, where that was the fence, and nobody began another attempt since, be it confirmed or not.
    let claimed = now.own_claim().is_some_and(|claim| claim.time == attempt.time);
    let last = |object: &Object| object.attempt().map(|begun| begun.id.clone());
    if (claimed || !claiming) && last(now) == last(fenced) { Moved::Again } else { Moved::Doubt }
}

/// What is stored of a confirmed write in [`Moved::Doubt`]: the place is ours and no more, and, since no confirmed
/// write answers for the fresh attempt, a write is owed.
pub fn doubt(object: &Object, attempt: &Attempt, id: String, now: Timestamp) -> (Applied, Attempt) {
    (proof(object), Attempt { id, time: now, sent: attempt.sent.clone() })
}

/// Fields that a repair was for and that are the same after it. The id always differs.
pub fn not_accepted(repaired: &[String], before: &Redacted, after: &Redacted) -> Vec<String> {
    let changed = differing_fields(before, after);
    repaired.iter().filter(|field| *field != "id" && !changed.contains(field)).cloned().collect()
}

/// What follows from a write that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The reason for Ready.
    pub reason: Reason,
    /// For a person.
    pub message: String,
    /// Whether it is not sent again as it is.
    pub for_good: bool,
    /// Why the claim is given up, if it is.
    pub release: Option<&'static str>,
}

/// What follows from a POST or PUT that failed after the fence returned `object`.
pub fn failed(object: &Object, spec: &Spec, claiming: Claiming, failure: &Failure) -> Failed {
    let faster = failure.kind == FailureKind::AlreadyConfigured
        && claiming == Claiming::Fresh
        && !failure.outcome_unknown;
    let (reason, message) = if faster {
        // The integration that is there now is never ours.
        (Reason::AlreadyExists, already_exists_message(spec))
    } else {
        (failure.reason(), failure.message.clone())
    };
    let for_good = reason.prospect() == Prospect::Final;
    let release = if faster {
        Some("somebody else created the integration first")
    } else if for_good && object.applied().is_none() {
        // A claim that was only for a write which Atlas will not take is given up.
        Some("Atlas refused the first write; nothing was created")
    } else {
        None
    };
    Failed { reason, message, for_good, release }
}

/// The fence of a DELETE. What was sent before goes along: it still tells whether what is there is ours.
pub fn deletion(object: &Object, id: String, now: Timestamp) -> Attempt {
    let sent = object.attempt().and_then(|begun| begun.sent.clone());
    Attempt { id, time: now, sent }
}

/// Whether Atlas has confirmed a DELETE of this object already, the one with attempt `deleted`: then only the
/// finalizer is left over.
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
