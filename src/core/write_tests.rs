//! The reasons for a write, the entries that count as ours, and the messages of settled objects.

use super::tests::{claimed, entry, fresh, input, plan, sent, synced};
use super::*;
use crate::domain::testing::at;
use crate::domain::{Applied, Attempt, RedactedValue};

fn settled(plan: &Plan) -> Option<Reason> {
    match plan {
        Plan::Settled { reason, .. } => Some(*reason),
        _ => None,
    }
}

/// The operator paces repairs, so that two owners don't fight for ever; a write that somebody asked for is not paced.
#[test]
fn a_write_is_a_repair_only_where_nothing_but_drift_speaks_for_it() {
    let drift = Why { drift: vec!["url".into()], ..Why::default() };
    assert!(drift.only_drift() && !drift.is_empty());
    assert!(!Why::default().only_drift() && Why::default().is_empty(), "nothing is due at all");
    for asked in [
        Why { config: true, ..Why::default() },
        Why { secrets: true, ..Why::default() },
        Why { owed: true, ..Why::default() },
        Why { rewrite: true, ..Why::default() },
    ] {
        assert!(!asked.only_drift() && !asked.is_empty(), "{asked:?}");
        let both = Why { drift: drift.drift.clone(), ..asked };
        assert!(!both.only_drift() && !both.is_empty(), "{both:?}");
    }
}

/// Each of these reasons makes a write due, alone and under its own name.
#[test]
fn a_write_says_everything_that_speaks_for_it() {
    let now = entry("****aaaa", "1");
    let why = |input: &Input<'_>| match plan(input) {
        Plan::Write { why, .. } => why,
        other => panic!("no write: {other:?}"),
    };
    let object = synced();
    // Secrets of which nothing is known are read before the write; that tells whether it is due.
    for secrets in [SecretsSince::Changed, SecretsSince::Unknown] {
        let rotated = Input { secrets, ..input(&object, Some(&now)) };
        assert_eq!(why(&rotated), Why { secrets: true, ..Why::default() });
    }
    let asked = Object { rewrite_requested: Some("now".into()), ..synced() };
    assert_eq!(why(&input(&asked, Some(&now))), Why { rewrite: true, ..Why::default() });
    let mut proven = synced();
    proven.status.applied = proven.status.applied.map(|applied| Applied { config: None, ..applied });
    let owed = why(&input(&proven, Some(&now)));
    assert!(owed.owed, "the place is proven, and nobody knows what Atlas holds");
    // The first write is owed whether or not anything landed.
    let first = claimed("****aaaa");
    assert_eq!(why(&input(&first, None)), Why { owed: true, ..Why::default() });
    assert_eq!(why(&input(&first, Some(&now))), Why { owed: true, ..Why::default() });
    let gone = why(&input(&object, None));
    assert_eq!(gone, Why { drift: vec!["deleted".into()], ..Why::default() }, "somebody deleted it");
}

/// The write that the claim began is in doubt only until any write was confirmed.
#[test]
fn a_confirmed_write_ends_the_doubt_about_the_claims_own() {
    let now = entry("****aaaa", "1");
    let planned = |object: &Object, entry| plan(&Input { seen_for: Duration::ZERO, ..input(object, entry) });
    assert_eq!(planned(&claimed("****aaaa"), None), Plan::Wait);
    let mut object = synced();
    assert_eq!(settled(&planned(&object, Some(&now))), Some(Reason::Synced));
    object.status.attempt = None;
    assert_eq!(settled(&planned(&object, Some(&now))), Some(Reason::Synced));
}

/// A later write may carry other settings than the first one. It is begun only after a LIST of when the first one could
/// not land any more has shown the place empty, so it is the later one that counts.
#[test]
fn the_settings_of_the_last_begun_write_are_ours() {
    let mut object = claimed("****aaaa");
    object.status.attempt = Some(Attempt { id: "x.2".into(), time: at(900), sent: Some(sent("****bbbb")) });
    let now = entry("****bbbb", "1");
    assert!(matches!(plan(&input(&object, Some(&now))), Plan::Write { write: Write::Put, .. }));
    for key in ["****aaaa", "****cccc"] {
        let now = entry(key, "1");
        assert!(matches!(plan(&input(&object, Some(&now))), Plan::Release { .. }), "{key}");
    }
}

#[test]
fn messages_name_the_project_the_type_and_what_to_do() {
    let message = |object: &Object, entry: &Redacted| match plan(&input(object, Some(entry))) {
        Plan::Settled { message, .. } => message,
        other => panic!("not settled: {other:?}"),
    };
    let refused = message(&fresh(), &entry("****bbbb", "9"));
    assert!(
        refused.starts_with("project 5d791c84ff7a2522cc4f9aa1 already has a DATADOG integration"),
        "{refused}"
    );
    let look = refused.find("set spec.managementPolicy to Observe").expect("a look first");
    let adopt = refused.find("set spec.adoptionPolicy to Adopt").expect("then consent");
    assert!(look < adopt && refused.contains("delete it in Atlas"), "{refused}");
    let equal = message(&synced(), &entry("****aaaa", "1"));
    assert_eq!(
        equal,
        "Atlas holds the DATADOG integration of project 5d791c84ff7a2522cc4f9aa1 as the spec says"
    );

    // Atlas keeps its own region: the message doesn't say that all is as it should be.
    let mut object = synced();
    let own = object.status.attempt.as_mut().and_then(|attempt| attempt.sent.as_mut()).expect("sent");
    own.0.insert("region".into(), RedactedValue::Text("EU".into()));
    assert_eq!(
        message(&object, &entry("****aaaa", "1")),
        "Atlas accepted the DATADOG integration of project 5d791c84ff7a2522cc4f9aa1, but keeps its own value in: region"
    );
    assert_eq!(
        overwritten_message(object.spec.as_ref().expect("valid"), &["region".to_owned(), "id".to_owned()]),
        "Atlas accepted the DATADOG integration of project 5d791c84ff7a2522cc4f9aa1, but somebody else has changed it \
         since in: region, id"
    );
}
