//! A claim or a status proves something only for the object that made it, and only until it is given up.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::domain::testing::{at, condition, object};

/// Claimed by its own uid, and nothing else.
fn claimed() -> Object {
    Object {
        key: ObjectKey { namespace: "payments".into(), name: "datadog".into() },
        finalizer: true,
        claim: Some(Claim { uid: "x".into(), time: at(0) }),
        ..object(Err("plays no part here".into()))
    }
}

/// Attempt `x.1` was begun and confirmed.
fn applied() -> Object {
    let secret = AppliedSecret { name: "datadog".into(), uid: "s".into(), resource_version: "5".into() };
    let applied = Applied {
        uid: "x".into(),
        attempt: Some("x.1".into()),
        config: None,
        secrets: vec![secret],
        fingerprint: None,
        time: Some(at(1)),
    };
    let attempt = Attempt { id: "x.1".into(), time: at(1), sent: None };
    let status = Status { applied: Some(applied), attempt: Some(attempt), ..Status::default() };
    Object { status, ..claimed() }
}

#[test]
fn a_key_reads_as_namespace_and_name() {
    assert_eq!(claimed().key.to_string(), "payments/datadog");
}

#[test]
fn credentials_are_of_the_objects_own_namespace_or_the_operators() {
    let namespace: Arc<str> = "payments".into();
    let operator = ObjectKey { namespace: "operator".into(), name: "atlas".into() };
    let own = CredentialsRef::Secret("key".into());
    let expected = ObjectKey { namespace: "payments".into(), name: "key".into() };
    assert_eq!(own.secret(&namespace, None), Some(expected.clone()));
    assert_eq!(own.secret(&namespace, Some(&operator)), Some(expected));
    assert_eq!(CredentialsRef::Operator.secret(&namespace, Some(&operator)), Some(operator));
    assert_eq!(CredentialsRef::Operator.secret(&namespace, None), None);
}

type Name = (String, String, String);

fn digest(states: &[Name]) -> [u8; 16] {
    AppliedSecret::digest_of(
        states.iter().map(|(name, uid, version)| [&**name, &**uid, &**version]).collect(),
    )
}

/// States of Secrets whose texts run into each other easily.
fn states() -> impl Strategy<Value = Vec<Name>> {
    let text = || prop::sample::select(vec!["", "a", "b", "ab", "ba"]).prop_map(str::to_owned);
    prop::collection::vec((text(), text(), text()), 0..4)
}

proptest! {
    #[test]
    fn the_digest_of_secrets_is_equal_for_the_same_states_in_whatever_order(a in states(), b in states()) {
        let sorted = |states: &[Name]| { let mut states = states.to_vec(); states.sort(); states };
        prop_assert_eq!(digest(&a) == digest(&b), sorted(&a) == sorted(&b));
        let reversed: Vec<Name> = a.iter().rev().cloned().collect();
        prop_assert_eq!(digest(&a), digest(&reversed));
    }
}

#[test]
fn the_secrets_of_an_object_are_those_of_the_write_that_proves_something() {
    let object = applied();
    let secrets = object.applied().map(|applied| applied.secrets.clone()).unwrap_or_default();
    assert_eq!(AppliedSecret::digest(&secrets), digest(&[("datadog".into(), "s".into(), "5".into())]));
    assert_eq!(object.applied_secrets(), AppliedSecret::digest(&secrets));
    assert_eq!(Object { released: true, ..object }.applied_secrets(), AppliedSecret::digest(&[]));
    assert_eq!(claimed().applied_secrets(), AppliedSecret::digest(&[]));
}

/// A backup, or a manifest that somebody copied, brings the claim and the status of another object along.
#[test]
fn the_claim_and_the_status_of_another_object_prove_nothing() {
    let own = applied();
    assert!(own.applied().is_some() && own.attempt().is_some() && own.own_claim().is_some());
    let copy = Object { uid: "y".into(), ..own };
    assert!(copy.applied().is_none() && copy.attempt().is_none() && copy.own_claim().is_none());
}

#[test]
fn a_released_status_proves_nothing() {
    let released = Object { released: true, ..applied() };
    assert!(released.applied().is_none() && released.attempt().is_none());
    assert!(released.unconfirmed().is_none());
}

#[test]
fn a_claim_is_one_only_together_with_the_finalizer() {
    assert_eq!(claimed().own_claim(), claimed().claim.as_ref());
    assert!(Object { finalizer: false, ..claimed() }.own_claim().is_none());
    assert!(Object { claim: None, ..claimed() }.own_claim().is_none());
}

/// Users can write annotations and finalizers. Only the operator writes the status.
#[test]
fn a_claim_is_proven_by_the_status_alone() {
    assert!(claimed().proven_claim().is_none(), "a claim by hand");
    let both = applied();
    assert_eq!(both.proven_claim(), both.claim.as_ref());
    let only = |attempt, applied| {
        let status = Status { applied, attempt, ..Status::default() };
        Object { status, ..claimed() }
    };
    assert!(only(both.status.attempt.clone(), None).proven_claim().is_some());
    assert!(only(None, both.status.applied.clone()).proven_claim().is_some());
    assert!(Object { released: true, ..both.clone() }.proven_claim().is_none());
    assert!(Object { finalizer: false, ..both.clone() }.proven_claim().is_none());
    let copy = Object { uid: "y".into(), claim: Some(Claim { uid: "y".into(), time: at(0) }), ..both };
    assert!(copy.proven_claim().is_none(), "the status is another object's");
}

/// An older release wrote what it was about to send, and whether it had consent, into the claim.
#[test]
fn a_claim_of_an_older_release_can_be_read() {
    let text = r#"{"uid":"x","time":"1970-01-01T00:00:00Z","sent":{"region":"US"},"adopted":true}"#;
    let claim: Claim = serde_json::from_str(text).expect("a claim");
    assert_eq!(claim, Claim { uid: "x".into(), time: at(0) });
}

#[test]
fn a_begun_write_is_unconfirmed_until_a_confirmed_one_bears_its_id() {
    assert!(claimed().unconfirmed().is_none() && applied().unconfirmed().is_none());
    let begun = Attempt { id: "x.2".into(), time: at(2), sent: None };
    let mut object = applied();
    object.status.attempt = Some(begun.clone());
    assert_eq!(object.unconfirmed(), Some(&begun));
    object.status.applied = None;
    assert_eq!(object.unconfirmed(), Some(&begun), "the first write");
}

/// An annotation asks once: a request that was handled is not repeated, and another text is another request.
#[rstest]
#[case::never_asked(None, None, false)]
#[case::withdrawn(None, Some("1"), false)]
#[case::asked(Some("1"), None, true)]
#[case::handled(Some("1"), Some("1"), false)]
#[case::asked_again(Some("2"), Some("1"), true)]
fn a_request_is_due_until_it_was_handled(
    #[case] asked: Option<&str>,
    #[case] handled: Option<&str>,
    #[case] due: bool,
) {
    let (asked, handled) = (asked.map(str::to_owned), handled.map(str::to_owned));
    let status = |status| Object { status, ..claimed() };
    let look = status(Status { last_handled_reconcile: handled.clone(), ..Status::default() });
    let look = Object { reconcile_requested: asked.clone(), ..look };
    assert_eq!((look.reconcile_due(), look.rewrite_due()), (due, false));
    let rewrite = status(Status { last_handled_rewrite: handled, ..Status::default() });
    let rewrite = Object { rewrite_requested: asked, ..rewrite };
    assert_eq!((rewrite.reconcile_due(), rewrite.rewrite_due()), (false, due));
}

#[test]
fn the_words_of_a_condition_are_the_names_in_the_code() {
    for kind in ConditionType::ALL {
        assert_eq!(kind.as_str(), format!("{kind:?}"));
    }
    for status in [ConditionStatus::True, ConditionStatus::False, ConditionStatus::Unknown] {
        assert_eq!(status.as_str(), format!("{status:?}"));
    }
}

#[test]
fn a_condition_is_found_by_its_type() {
    let (ready, in_sync) = (condition(ConditionType::Ready), condition(ConditionType::InSync));
    let status = Status { conditions: vec![ready.clone(), in_sync.clone()], ..Status::default() };
    assert_eq!(status.condition(ConditionType::Ready), Some(&ready));
    assert_eq!(status.condition(ConditionType::InSync), Some(&in_sync));
    assert_eq!(status.condition(ConditionType::Stalled), None);
}
