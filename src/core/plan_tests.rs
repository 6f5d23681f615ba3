//! Rules of the plan, one by one, and the traces that made them.

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::domain::testing::at;
use crate::domain::{
    Applied, AppliedSecret, Attempt, Claim, FieldValue, Integration, IntegrationType, RedactedValue,
    SecretKey, testing,
};

/// The plan alone; [`the_rule_that_decides_is_named`] is about the rule's name.
pub(in crate::core) fn plan(input: &Input<'_>) -> Plan {
    super::plan(input).plan
}

const LIMIT: Duration = Duration::from_secs(20);

fn form(fields: &[(&str, &str)]) -> Redacted {
    Redacted(fields.iter().map(|(k, v)| ((*k).to_owned(), RedactedValue::Text((*v).to_owned()))).collect())
}

pub(in crate::core) fn entry(key: &str, id: &str) -> Redacted {
    form(&[("apiKey", key), ("id", id), ("region", "US"), ("type", "DATADOG")])
}

pub(in crate::core) fn sent(key: &str) -> Redacted {
    form(&[("apiKey", key), ("type", "DATADOG")])
}

fn datadog<const N: usize>(more: [(&str, FieldValue<SecretKey>); N]) -> Integration<SecretKey> {
    let key = SecretKey { name: "datadog".into(), key: "apiKey".into() };
    let values = [("apiKey", FieldValue::Secret(key))].into_iter().chain(more);
    Integration::new(IntegrationType::Datadog, values).expect("a Datadog")
}

pub(in crate::core) fn spec() -> Spec {
    testing::spec(datadog([]))
}

/// A new object.
pub(in crate::core) fn fresh() -> Object {
    testing::object(Ok(spec()))
}

/// Claimed at second 0, when its first write was begun; nothing is confirmed.
pub(in crate::core) fn claimed(key: &str) -> Object {
    let mut object = forged();
    object.status.attempt = Some(Attempt { id: "x.0".into(), time: at(0), sent: Some(sent(key)) });
    object
}

/// A claim and a finalizer such as its users can write, and no status.
pub(in crate::core) fn forged() -> Object {
    let claim = Claim { uid: "x".into(), time: at(0) };
    Object { finalizer: true, claim: Some(claim), ..fresh() }
}

/// Claimed with consent, before the first write was sent.
pub(in crate::core) fn consenting() -> Object {
    let mut object = claimed("****aaaa");
    object.status.applied = Some(Applied {
        uid: "x".into(),
        attempt: None,
        config: None,
        secrets: Vec::new(),
        fingerprint: None,
        time: None,
    });
    object
}

/// In sync with `entry("****aaaa", "1")`.
pub(in crate::core) fn synced() -> Object {
    let mut object = claimed("****aaaa");
    object.status.applied = Some(Applied {
        uid: "x".into(),
        attempt: Some("x.1".into()),
        config: Some(spec().integration.config_hash()),
        secrets: vec![AppliedSecret {
            name: "datadog".into(),
            uid: "s".into(),
            resource_version: "5".into(),
        }],
        fingerprint: None,
        time: Some(at(1)),
    });
    object.status.attempt = Some(Attempt { id: "x.1".into(), time: at(1), sent: Some(sent("****aaaa")) });
    object.status.integration = Some(entry("****aaaa", "1"));
    object
}

pub(in crate::core) fn input<'a>(object: &'a Object, entry: Option<&'a Redacted>) -> Input<'a> {
    Input {
        object,
        spec: object.spec.as_ref().expect("valid"),
        entry,
        secrets: SecretsSince::Same,
        owner: None,
        outcome_known: false,
        landing_limit: LIMIT,
        crd_terminating: false,
        seen_for: 50 * LIMIT,
    }
}

fn settled(plan: &Plan) -> Option<Reason> {
    match plan {
        Plan::Settled { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[test]
fn a_new_object_claims_an_absent_place_and_refuses_a_taken_one() {
    let object = fresh();
    assert_eq!(plan(&input(&object, None)), Plan::Claim { adopted: false, write: Write::Post });
    let foreign = entry("****bbbb", "9");
    assert_eq!(settled(&plan(&input(&object, Some(&foreign)))), Some(Reason::AlreadyExists));
    let adopting = Object { spec: Ok(Spec { adoption: AdoptionPolicy::Adopt, ..spec() }), ..fresh() };
    assert_eq!(plan(&input(&adopting, Some(&foreign))), Plan::Claim { adopted: true, write: Write::Put });
}

#[test]
fn in_sync_is_quiet() {
    let object = synced();
    assert_eq!(settled(&plan(&input(&object, Some(&entry("****aaaa", "1"))))), Some(Reason::Synced));
}

#[rstest]
#[case::other_key("****bbbb", "1", &["apiKey"])]
#[case::hidden_overwrite_rolls_the_id("****aaaa", "2", &["id"])]
fn drift_is_written_over(#[case] key: &str, #[case] id: &str, #[case] fields: &[&str]) {
    let object = synced();
    let Plan::Write { write: Write::Put, why } = plan(&input(&object, Some(&entry(key, id)))) else {
        panic!("no PUT")
    };
    assert!(why.only_drift());
    assert_eq!(why.drift, fields);
}

#[test]
fn what_others_deleted_is_posted_again() {
    let object = synced();
    assert!(
        matches!(plan(&input(&object, None)), Plan::Write { write: Write::Post, why } if why.only_drift())
    );
}

#[test]
fn a_policy_edit_writes_nothing_and_a_spec_edit_does() {
    let mut object = synced();
    object.spec = Ok(Spec { deletion: DeletionPolicy::Retain, ..spec() });
    object.generation = 2;
    let now = entry("****aaaa", "1");
    assert_eq!(settled(&plan(&input(&object, Some(&now)))), Some(Reason::Synced));
    let integration = datadog([("region", "EU".into())]);
    object.spec = Ok(Spec { deletion: DeletionPolicy::Retain, integration, ..spec() });
    assert!(matches!(plan(&input(&object, Some(&now))), Plan::Write { why, .. } if why.config));
}

/// Trace 2: reference s1 to s2, the answer lost, reference back to s1: all visible matches, Atlas holds s2.
#[test]
fn an_unconfirmed_attempt_is_owed_whatever_else_matches() {
    let mut object = synced();
    object.status.attempt = Some(Attempt { id: "x.2".into(), time: at(900), sent: None });
    let now = entry("****aaaa", "1");
    assert!(matches!(plan(&input(&object, Some(&now))), Plan::Write { why, .. } if why.owed));
}

/// Trace 7: a write that timed out may land later, and a process that restarted does not know how late it is.
#[test]
fn nothing_is_planned_while_an_outcome_is_in_doubt() {
    fn seen_for(seen_for: Duration, object: &Object) -> Input<'_> {
        Input { seen_for, ..input(object, None) }
    }
    let almost = LIMIT - Duration::from_millis(1);
    let mut object = synced();
    object.status.attempt = Some(Attempt { id: "x.2".into(), time: at(990), sent: None });
    // Trace 6: it is the LIST's time that counts. One from before the end does not show what landed since.
    assert_eq!(plan(&seen_for(Duration::ZERO, &object)), Plan::Wait);
    assert_eq!(plan(&seen_for(almost, &object)), Plan::Wait);
    object.deleting = true;
    assert_eq!(plan(&seen_for(almost, &object)), Plan::Wait);
    assert_eq!(plan(&Input { outcome_known: true, ..seen_for(almost, &object) }), Plan::Delete);
    assert_eq!(plan(&seen_for(LIMIT, &object)), Plan::Delete);
    let first = claimed("****aaaa");
    assert_eq!(plan(&seen_for(almost, &first)), Plan::Wait);
    assert!(matches!(plan(&seen_for(LIMIT, &first)), Plan::Write { write: Write::Post, .. }));
}

/// The clock that wrote the time may have been hours ahead, or behind. Neither makes the wait longer or shorter.
#[rstest]
#[case::two_hours_ahead(Timestamp::now() + Duration::from_secs(7_200))]
#[case::at_the_end_of_time(Timestamp::MAX)]
#[case::years_behind(Timestamp::UNIX_EPOCH)]
fn no_time_in_an_object_decides_how_long_it_waits(#[case] time: Timestamp) {
    for first in [claimed("****aaaa"), synced()] {
        let mut object = first;
        object.status.attempt = Some(Attempt { id: "x.2".into(), time, sent: None });
        for deleting in [false, true] {
            let object = Object { deleting, ..object.clone() };
            let waits = |seen_for| plan(&Input { seen_for, ..input(&object, None) }) == Plan::Wait;
            assert!(waits(Duration::ZERO), "it may still land");
            assert!(!waits(LIMIT), "it can't land any more");
        }
    }
}

#[test]
fn the_fence_of_an_unconfirmed_write_is_known_by_its_time() {
    assert_eq!(unconfirmed_fence(&fresh()), None);
    assert_eq!(unconfirmed_fence(&claimed("****aaaa")), Some(at(0)), "the first write");
    assert_eq!(unconfirmed_fence(&forged()), None, "nothing was sent under a claim alone");
    assert_eq!(unconfirmed_fence(&synced()), None, "Atlas confirmed it");
    let mut later = synced();
    later.status.attempt = Some(Attempt { id: "x.2".into(), time: at(900), sent: None });
    assert_eq!(unconfirmed_fence(&later), Some(at(900)));
    let released = Object { finalizer: false, claim: None, released: true, ..later.clone() };
    assert_eq!(unconfirmed_fence(&released), None, "it was given up");
    assert_eq!(unconfirmed_fence(&Object { uid: "copy".into(), ..later }), None, "another object began it");
}

/// Traces 5a to 5c: what is there after a lost answer is ours only if it agrees with what was sent.
#[test]
fn after_a_lost_answer_the_recorded_form_decides() {
    let object = claimed("****aaaa");
    let ours = entry("****aaaa", "1");
    assert!(matches!(plan(&input(&object, Some(&ours))), Plan::Write { write: Write::Put, why } if why.owed));
    let foreign = entry("****bbbb", "1");
    assert!(matches!(plan(&input(&object, Some(&foreign))), Plan::Release { .. }));
    assert!(matches!(plan(&input(&object, None)), Plan::Write { write: Write::Post, .. }));
}

/// Trace 5b, and the release after the 409 was not stored: a twin agrees, and is not ours all the same.
#[test]
fn what_is_there_after_a_claim_without_effect_is_not_ours() {
    let object = claimed("****aaaa");
    let twin = entry("****aaaa", "1");
    let known = Input { outcome_known: true, ..input(&object, Some(&twin)) };
    assert!(matches!(plan(&known), Plan::Release { .. }));
    let deleting = Object { deleting: true, ..object.clone() };
    assert!(matches!(plan(&Input { object: &deleting, ..known }), Plan::Release { .. }));
    let mut later = object.clone();
    later.status.attempt = Some(Attempt { id: "x.2".into(), time: at(900), sent: Some(sent("****aaaa")) });
    let known = Input { outcome_known: true, ..input(&later, Some(&twin)) };
    assert!(matches!(plan(&known), Plan::Write { write: Write::Put, .. }), "another write may have landed");
    let consent = consenting();
    let known = Input { outcome_known: true, ..input(&consent, Some(&twin)) };
    assert!(matches!(plan(&known), Plan::Write { write: Write::Put, .. }));
}

/// Trace 5e: adopt, claim, back to Refuse before the PUT.
#[test]
fn consent_is_remembered_by_the_status() {
    assert!(matches!(
        plan(&input(&consenting(), Some(&entry("****bbbb", "1")))),
        Plan::Write { write: Write::Put, .. }
    ));
}

/// A tenant writes claim and finalizer, and the status, which only the operator writes, shows nothing of a write.
#[test]
fn a_claim_that_the_status_does_not_prove_is_no_claim() {
    let object = forged();
    for there in [entry("****aaaa", "1"), entry("****bbbb", "1"), Redacted::default()] {
        assert!(matches!(plan(&input(&object, Some(&there))), Plan::Release { .. }), "{there:?}");
        let deleting = Object { deleting: true, ..object.clone() };
        assert!(matches!(plan(&input(&deleting, Some(&there))), Plan::Release { .. }), "{there:?}");
        assert!(matches!(deletion_without_atlas(&deleting, false), Some(Plan::Release { .. })), "no call");
    }
    assert_eq!(plan(&input(&object, None)), Plan::Claim { adopted: false, write: Write::Post });
    let mut of_another = forged();
    of_another.status = Object { uid: "y".into(), ..synced() }.status;
    of_another.uid = "y".into();
    of_another.claim = Some(Claim { uid: "y".into(), time: at(0) });
    let there = entry("****aaaa", "1");
    assert!(matches!(plan(&input(&of_another, Some(&there))), Plan::Release { .. }), "a copied status");
}

/// T25 and trace 10: a restored or copied object carries claim and status of another life.
#[test]
fn a_claim_of_another_uid_is_void() {
    let copy = Object { uid: "y".into(), ..synced() };
    let now = entry("****aaaa", "1");
    assert!(matches!(plan(&input(&copy, Some(&now))), Plan::Release { .. }));
    let deleting = Object { deleting: true, ..copy };
    assert!(matches!(plan(&input(&deleting, Some(&now))), Plan::Release { .. }));
}

/// Trace 9: what was released proves nothing until it is claimed again.
#[test]
fn a_released_applied_proves_nothing() {
    let object = Object { released: true, finalizer: false, claim: None, ..synced() };
    assert_eq!(settled(&plan(&input(&object, Some(&entry("****aaaa", "1"))))), Some(Reason::AlreadyExists));
}

#[test]
fn a_lost_finalizer_is_put_back_without_consent() {
    let object = Object { finalizer: false, ..synced() };
    assert_eq!(plan(&input(&object, Some(&entry("****aaaa", "1")))), Plan::RestoreClaim);
}

#[test]
fn deletion_deletes_only_what_is_ours() {
    let gone = Object { deleting: true, ..fresh() };
    assert_eq!(plan(&input(&gone, None)), Plan::Gone);
    let applied = Object { deleting: true, ..synced() };
    assert_eq!(plan(&input(&applied, None)), Plan::Delete);
    assert!(matches!(
        plan(&Input { owner: Some(&Owner::Elsewhere), ..input(&applied, None) }),
        Plan::Release { .. }
    ));
    // Trace 4: claim, the answer lost, deleted, and an outsider creates something else.
    let lost = Object { deleting: true, ..claimed("****aaaa") };
    assert!(matches!(plan(&input(&lost, Some(&entry("****bbbb", "1")))), Plan::Release { .. }));
    assert_eq!(plan(&input(&lost, Some(&entry("****aaaa", "1")))), Plan::Delete);
    assert!(matches!(plan(&input(&lost, None)), Plan::Release { .. }));
}

#[rstest]
#[case::retain(Spec { deletion: DeletionPolicy::Retain, ..spec() })]
#[case::observe(Spec { management: ManagementPolicy::Observe, ..spec() })]
#[case::suspended(Spec { suspend: true, ..spec() })]
fn deletion_without_a_call(#[case] spec: Spec) {
    let object = Object { deleting: true, spec: Ok(spec), ..synced() };
    assert!(matches!(deletion_without_atlas(&object, false), Some(Plan::Release { .. })));
}

/// T26: deleting the CRD deletes every object; it must not delete every integration.
#[test]
fn a_terminating_crd_releases() {
    let object = Object { deleting: true, ..synced() };
    assert!(matches!(deletion_without_atlas(&object, true), Some(Plan::Release { .. })));
}

#[test]
fn observe_never_claims_and_says_what_differs() {
    let observe = || Spec { management: ManagementPolicy::Observe, ..spec() };
    let object = Object { spec: Ok(observe()), ..fresh() };
    assert_eq!(settled(&plan(&input(&object, None))), Some(Reason::IntegrationNotFound));
    assert_eq!(settled(&plan(&input(&object, Some(&entry("****bbbb", "9"))))), Some(Reason::Observed));
    let differing = entry("****bbbb", "9");
    let Plan::Settled { in_sync: InSync::Observed(takeover), message, .. } =
        plan(&input(&object, Some(&differing)))
    else {
        panic!("not observed")
    };
    assert!(takeover.changes.is_empty() && takeover.resets.is_empty(), "{takeover:?}");
    assert_eq!(takeover.untold, ["apiKey"], "the key is in a Secret");
    assert_eq!(
        message,
        "Atlas holds the DATADOG integration of project 5d791c84ff7a2522cc4f9aa1 as the spec says, as far as Atlas \
         shows it; it is only observed"
    );
    let wider =
        Object { spec: Ok(Spec { integration: datadog([("region", "EU".into())]), ..observe() }), ..fresh() };
    let mut more = differing.clone();
    more.0.insert("sendDatabaseMetrics".into(), RedactedValue::Bool(true));
    let Plan::Settled { message, .. } = plan(&input(&wider, Some(&more))) else { panic!("not observed") };
    assert_eq!(
        message,
        "Atlas holds a DATADOG integration that taking over would change in: region, sendDatabaseMetrics; it is only \
         observed"
    );
    let managed = Object { spec: Ok(observe()), ..synced() };
    assert!(matches!(plan(&input(&managed, Some(&entry("****aaaa", "1")))), Plan::Release { .. }));
}

#[test]
fn a_loser_says_conflict() {
    let object = fresh();
    let input = Input { owner: Some(&Owner::Here("y".into())), ..input(&object, None) };
    let Plan::Settled { reason: Reason::Conflict, message, .. } = plan(&input) else { panic!("no conflict") };
    assert!(message.starts_with("AtlasIntegration y already keeps the DATADOG integration"), "{message}");
    // Deleting the owner deletes the integration.
    assert!(message.ends_with("or set deletionPolicy: Retain on y before you delete it"), "{message}");
    let elsewhere = Input { owner: Some(&Owner::Elsewhere), ..input };
    let Plan::Settled { message, .. } = plan(&elsewhere) else { panic!("no conflict") };
    assert!(
        message.contains("of another namespace") && message.contains("who may list all namespaces"),
        "{message}"
    );
}

/// The name of the rule is logged, so it has to be the rule that decided.
#[test]
fn the_rule_that_decides_is_named() {
    let rule = |input: Input<'_>| super::plan(&input).rule;
    let ours = entry("****aaaa", "1");
    let foreign = entry("****bbbb", "9");
    let (new, claim, applied) = (fresh(), claimed("****aaaa"), synced());
    assert_eq!(rule(input(&new, None)), "create");
    assert_eq!(rule(input(&new, Some(&foreign))), "already-exists");
    assert_eq!(rule(Input { owner: Some(&Owner::Elsewhere), ..input(&new, None) }), "conflict");
    assert_eq!(rule(input(&claim, None)), "create-again");
    assert_eq!(rule(input(&claim, Some(&ours))), "ours-after-a-crash");
    assert_eq!(rule(input(&claim, Some(&foreign))), "void-claim");
    assert_eq!(rule(Input { seen_for: Duration::ZERO, ..input(&claim, None) }), "in-doubt");
    assert_eq!(rule(input(&applied, Some(&ours))), "synced");
    assert_eq!(rule(input(&applied, Some(&foreign))), "write-due");
    let lost = Object { claim: None, ..synced() };
    assert_eq!(rule(input(&lost, Some(&ours))), "restore-claim");
    let adopting = Spec { adoption: AdoptionPolicy::Adopt, ..spec() };
    let consenting = Object { spec: Ok(adopting.clone()), ..fresh() };
    assert_eq!(rule(Input { spec: &adopting, ..input(&consenting, Some(&foreign)) }), "adopt");

    let observing = Spec { management: ManagementPolicy::Observe, ..spec() };
    let observe = |object: Object| Object { spec: Ok(observing.clone()), ..object };
    let (watched, held) = (observe(fresh()), observe(synced()));
    let seen = |object, entry| Input { spec: &observing, ..input(object, entry) };
    assert_eq!(rule(seen(&watched, None)), "nothing-to-observe");
    assert_eq!(rule(seen(&watched, Some(&ours))), "observed");
    assert_eq!(rule(seen(&held, Some(&ours))), "give-claim-up");

    let deleting = |object: Object| Object { deleting: true, ..object };
    let (gone, claim, applied) = (deleting(fresh()), deleting(claim), deleting(applied));
    assert_eq!(rule(input(&gone, None)), "no-call-to-delete");
    assert_eq!(rule(Input { owner: Some(&Owner::Elsewhere), ..input(&applied, None) }), "another-owns");
    assert_eq!(rule(input(&applied, None)), "applied");
    assert_eq!(rule(input(&claim, None)), "never-arrived");
    assert_eq!(rule(input(&claim, Some(&ours))), "ours");
    assert_eq!(rule(input(&claim, Some(&foreign))), "not-ours");
}
