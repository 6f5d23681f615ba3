//! What a write and its answer make of an object, rule by rule.

use super::*;
use crate::core::plan::tests::{claimed, fresh, sent, spec, synced};
use crate::domain::MemoryKey;
use crate::domain::testing::at;

fn attempt(id: &str, second: i64) -> Attempt {
    Attempt { id: id.into(), time: at(second), sent: Some(sent("****aaaa")) }
}

fn failure(kind: FailureKind, outcome_unknown: bool) -> Failure {
    Failure { outcome_unknown, ..Failure::known(kind, "m") }
}

#[test]
fn only_the_last_begun_write_is_known() {
    let first = claimed("****aaaa");
    let begun = first.own_claim().map(|claim| claim.time);
    assert!(is_outcome_known(&first, begun) && !is_outcome_known(&first, Some(at(1))));
    assert!(!is_outcome_known(&synced(), begun), "it was confirmed");
    assert!(!is_outcome_known(&first, None) && !is_outcome_known(&fresh(), None));
    let mut later = first;
    later.status.attempt = Some(attempt("x.2", 900));
    assert!(is_outcome_known(&later, Some(at(900))) && !is_outcome_known(&later, begun));
}

/// Trace 3b: the value of a write of this process counts only while that write is the last one.
#[test]
fn equal_values_need_no_write_while_nobody_wrote_since() {
    let key = MemoryKey::generate().expect("randomness");
    let (one, two) = (key.fingerprint(["1"]), key.fingerprint(["2"]));
    let object = synced();
    let id = object.applied().and_then(|applied| applied.attempt.clone()).expect("applied");
    let carried = Some(one.carried_by(&id));
    let secrets = Why { secrets: true, ..Why::default() };
    let due = |why: &Why, (secrets, fingerprint), confirmed| {
        due_once_read(&object, why, &Read { secrets, fingerprint, as_applied: None }, confirmed)
    };
    assert!(due(&secrets, (&[], one), carried).is_empty());
    assert_eq!(due(&secrets, (&[], two), carried), secrets);
    assert_eq!(due(&secrets, (&[], one), Some(one.carried_by("x.0"))), secrets);
    assert_eq!(due(&secrets, (&[], one), None), secrets);
    let read = object.applied().map(|applied| applied.secrets.clone()).unwrap_or_default();
    assert!(due(&secrets, (&read, two), None).is_empty(), "the very Secrets that were applied");
    let owed = Why { owed: true, ..secrets.clone() };
    assert_eq!(due(&owed, (&read, one), carried), Why { owed: true, ..Why::default() });
}

/// A process that remembers nothing believes the fingerprint in the status, for the confirmed attempt and for no other.
#[test]
fn values_equal_by_the_fingerprint_of_the_confirmed_write_need_no_write() {
    let key = MemoryKey::generate().expect("randomness");
    let mut object = synced();
    let due = |object: &Object, why: &Why, as_applied: Option<&str>| {
        let as_applied = as_applied.map(str::to_owned);
        let read = Read { secrets: &[], fingerprint: key.fingerprint(["1"]), as_applied };
        due_once_read(object, why, &read, None)
    };
    let secrets = Why { secrets: true, ..Why::default() };
    assert_eq!(due(&object, &secrets, None), secrets, "neither has one");
    assert_eq!(due(&object, &secrets, Some("a")), secrets, "an older release wrote the status");
    object.status.applied.as_mut().expect("applied").fingerprint = Some("a".into());
    assert!(due(&object, &secrets, Some("a")).is_empty());
    assert_eq!(due(&object, &secrets, Some("b")), secrets, "another value, or another credential");
    assert_eq!(due(&object, &secrets, None), secrets, "the operator's own credentials");
    let owed = Why { owed: true, drift: vec!["url".into()], ..secrets.clone() };
    assert_eq!(
        due(&object, &owed, Some("a")),
        Why { secrets: false, ..owed.clone() },
        "all else is still due"
    );
    let copied = Object { uid: "y".into(), ..object.clone() };
    assert_eq!(due(&copied, &secrets, Some("a")), secrets, "another object wrote that");
    let released = Object { released: true, ..object };
    assert_eq!(due(&released, &secrets, Some("a")), secrets, "the place was given up since");
}

/// Without a watch of Secrets they may always have changed: what was read says whether drift speaks alone.
#[test]
fn a_repair_is_one_when_the_secrets_read_are_those_applied() {
    let key = MemoryKey::generate().expect("randomness");
    let object = synced();
    let read = object.applied().map(|applied| applied.secrets.clone()).unwrap_or_default();
    let why = Why { secrets: true, drift: vec!["url".into()], ..Why::default() };
    assert!(!why.only_drift());
    let due = |secrets| {
        let read = Read { secrets, fingerprint: key.fingerprint(["1"]), as_applied: None };
        due_once_read(&object, &why, &read, None)
    };
    assert!(due(&read).only_drift());
    assert!(!due(&[]).only_drift(), "a rotation");
}

/// What users can't write proves the claim, and the consent, before anything is sent.
#[test]
fn the_status_proves_a_claim_before_it_is_made() {
    let begun = attempt("x.1", 900);
    let made = |claiming, write| match fence(&fresh(), claiming, write, &begun) {
        Fence::Claim { status, claim } => (*status, claim),
        other => panic!("no claim: {other:?}"),
    };
    let (status, claim) = made(Claiming::Fresh, Write::Post);
    assert_eq!((claim.uid.as_str(), claim.time), ("x", at(900)));
    assert_eq!((status.applied, status.attempt.as_ref()), (None, Some(&begun)));
    let (status, claim) = made(Claiming::ByConsent, Write::Put);
    assert_eq!((claim.uid.as_str(), claim.time), ("x", at(900)));
    assert_eq!((status.applied, status.attempt), (Some(proof(&fresh())), Some(begun.clone())));
}

#[test]
fn a_fence_keeps_the_proof_that_list_gave() {
    let begun = attempt("x.1", 900);
    let Fence::Proof(status) = fence(&claimed("****aaaa"), Claiming::Already, Write::Put, &begun) else {
        panic!("no proof")
    };
    assert_eq!(status.applied.map(|applied| (applied.uid, applied.config)), Some(("x".into(), None)));
    assert_eq!(status.attempt, Some(begun.clone()));
    assert_eq!(fence(&claimed("****aaaa"), Claiming::Already, Write::Post, &begun), Fence::Attempt);
    assert_eq!(fence(&synced(), Claiming::Already, Write::Put, &begun), Fence::Attempt);
}

/// Traces 1 and 1b: the answer comes after another process began a write.
#[test]
fn an_answer_that_was_overtaken_proves_the_place_and_no_more() {
    let begun = attempt("x.2", 900);
    let mut fenced = synced();
    fenced.status.attempt = Some(begun.clone());
    let edited = Object { generation: 2, ..fenced.clone() };
    assert_eq!(moved(Some(&edited), &fenced, false, &begun), Moved::Again);
    let mut overtaken = edited.clone();
    overtaken.status.attempt = Some(attempt("x.3", 901));
    assert_eq!(moved(Some(&overtaken), &fenced, false, &begun), Moved::Doubt);
    assert_eq!(moved(None, &fenced, false, &begun), Moved::Gone);
    assert_eq!(moved(Some(&Object { uid: "y".into(), ..edited }), &fenced, false, &begun), Moved::Gone);

    let (applied, owed) = doubt(&overtaken, &begun, "x.4".into(), at(902));
    assert_eq!((applied.config, applied.attempt, applied.secrets.len()), (None, None, 0));
    (overtaken.status.applied, overtaken.status.attempt) = (Some(proof(&fenced)), Some(owed));
    assert!(overtaken.unconfirmed().is_some(), "a write is owed");

    let first = claimed("****aaaa");
    let begun = Attempt { time: first.own_claim().expect("claimed").time, ..begun };
    assert_eq!(moved(Some(&first), &first, true, &begun), Moved::Again);
    let released = Object { finalizer: false, claim: None, released: true, ..first.clone() };
    assert_eq!(moved(Some(&released), &first, true, &begun), Moved::Doubt);
}

/// Trace 5b: a 409 in the pass that claimed.
#[test]
fn a_refused_first_write_gives_the_claim_up() {
    let object = claimed("****aaaa");
    let faster = failed(&object, Claiming::Fresh, &failure(FailureKind::AlreadyConfigured, false));
    assert_eq!((faster.reason, faster.for_good), (Reason::AlreadyExists, false));
    assert!(faster.release.is_some());
    let later = failed(&object, Claiming::Already, &failure(FailureKind::AlreadyConfigured, false));
    assert_eq!((later.reason, later.release), (Reason::NotVisibleYet, None));

    let refused = failure(FailureKind::Rejected, false);
    let first = failed(&object, Claiming::Fresh, &refused);
    assert!(first.for_good && first.release.is_some());
    let later = failed(&synced(), Claiming::Already, &refused);
    assert!(later.for_good && later.release.is_none(), "what is there stays ours");
    let mut consenting = object.clone();
    consenting.status.applied = Some(proof(&object));
    assert!(failed(&consenting, Claiming::ByConsent, &refused).release.is_some(), "it is not ours yet");
    let lost = failed(&object, Claiming::Fresh, &failure(FailureKind::Unavailable, true));
    assert!(!lost.for_good && lost.release.is_none());
}

#[test]
fn a_deletion_remembers_what_was_sent_and_what_was_confirmed() {
    let mut object = synced();
    object.status.attempt = Some(attempt("x.2", 900));
    let fence = deletion(&object, "x.3".into(), at(901));
    assert_eq!(fence.sent, attempt("x.2", 900).sent);
    assert!(!is_deleted(&object, Some("x.3")) && !is_deleted(&fresh(), None));
    object.status.attempt = Some(fence);
    assert!(is_deleted(&object, Some("x.3")) && !is_deleted(&object, None));
    assert!(nothing_to_delete(&failure(FailureKind::Gone, false)));
    assert!(!nothing_to_delete(&failure(FailureKind::NotServed, false)));
}

/// After a release `applied` and `attempt` still bear the object's own uid, so a new claim would make proofs of them.
#[test]
fn a_new_claim_voids_whatever_an_earlier_one_left() {
    let begun = attempt("x.3", 900);
    let first = |object: &Object| match fence(object, Claiming::Fresh, Write::Post, &begun) {
        Fence::Claim { status, .. } => (status.applied, status.attempt),
        other => panic!("no claim: {other:?}"),
    };
    let Status { applied, attempt, .. } = synced().status;
    let released = |status| Object { released: true, status, ..fresh() };
    let own = (None, Some(begun.clone()));
    assert_eq!(first(&released(Status { applied, ..Status::default() })), own);
    assert_eq!(first(&released(Status { attempt, ..Status::default() })), own);
    assert_eq!(first(&Object { uid: "y".into(), finalizer: false, claim: None, ..synced() }), own, "a copy");
}

#[test]
fn a_claim_that_is_put_back_is_the_objects_own() {
    let claim = restored_claim(&Object { claim: None, ..synced() }, at(7));
    assert_eq!((claim.uid.as_str(), claim.time), ("x", at(7)));
}

#[test]
fn a_confirmed_write_is_stored_as_it_was_sent() {
    let secrets = synced().applied().map(|applied| applied.secrets.clone()).unwrap_or_default();
    let stored = applied(&fresh(), &attempt("x.1", 1), &spec(), &secrets, Some("a".into()), at(1));
    let expected =
        synced().applied().map(|applied| Applied { fingerprint: Some("a".into()), ..applied.clone() });
    assert_eq!(Some(stored), expected);
}

/// Trace 5b: a POST right after the claim finds an integration that LIST did not show, so somebody else made it.
#[test]
fn only_a_claim_of_an_absent_place_can_find_somebody_faster() {
    let object = claimed("****aaaa");
    let taken = |claim, outcome_unknown| {
        failed(&object, claim, &failure(FailureKind::AlreadyConfigured, outcome_unknown))
    };
    assert_eq!(taken(Claiming::Fresh, false).reason, Reason::AlreadyExists);
    for not_faster in
        [taken(Claiming::ByConsent, false), taken(Claiming::Already, false), taken(Claiming::Fresh, true)]
    {
        assert_eq!((not_faster.reason, not_faster.release), (Reason::NotVisibleYet, None));
    }
}

#[test]
fn a_project_that_is_gone_leaves_nothing_to_delete() {
    assert!(nothing_to_delete(&failure(FailureKind::ProjectNotFound, false)));
    assert!(!nothing_to_delete(&failure(FailureKind::WrongProject, false)), "the id may be mistyped");
}
