//! Shows what is planned for every pair of policies in every state, as one table that a person can check.

use std::fmt::Write as _;

use super::tests::{claimed, consenting, entry, forged, fresh, input, plan, sent, spec, synced};
use super::*;
use crate::domain::{Attempt, Status};

/// The columns of the two tables, for living objects and for objects that are being deleted. A policy that a column
/// does not name makes no difference; the test checks that as well.
const LIVING: [(&str, ManagementPolicy, AdoptionPolicy); 4] = [
    ("Manage Refuse", ManagementPolicy::Manage, AdoptionPolicy::Refuse),
    ("Manage Adopt", ManagementPolicy::Manage, AdoptionPolicy::Adopt),
    ("Observe Refuse", ManagementPolicy::Observe, AdoptionPolicy::Refuse),
    ("Observe Adopt", ManagementPolicy::Observe, AdoptionPolicy::Adopt),
];
const DELETING: [(&str, ManagementPolicy, DeletionPolicy, bool); 5] = [
    ("Manage Delete", ManagementPolicy::Manage, DeletionPolicy::Delete, false),
    ("Manage Retain", ManagementPolicy::Manage, DeletionPolicy::Retain, false),
    ("Observe Delete", ManagementPolicy::Observe, DeletionPolicy::Delete, false),
    ("Observe Retain", ManagementPolicy::Observe, DeletionPolicy::Retain, false),
    ("suspended", ManagementPolicy::Manage, DeletionPolicy::Delete, true),
];

const EXPECTED: &str = "\
living                                | Manage Refuse | Manage Adopt | Observe Refuse | Observe Adopt
new, nothing there                    | claim POST | claim POST | IntegrationNotFound | IntegrationNotFound
new, something there                  | AlreadyExists | claim PUT | Observed | Observed
new, bearing another's claim          | AlreadyExists | claim PUT | Observed | Observed
restored with status, nothing there   | claim POST | claim POST | release | release
restored with status, something there | release | claim PUT | release | release
claimed, nothing there                | POST | POST | release | release
claimed, what we sent is there        | PUT | PUT | release | release
claimed, something else is there      | release | claim PUT | release | release
claimed by consent, something there   | PUT | PUT | release | release
claim forged, nothing there           | claim POST | claim POST | release | release
claim forged, something there         | release | claim PUT | release | release
in sync                               | Synced | Synced | release | release
drifted                               | PUT | PUT | release | release
deleted by others                     | POST | POST | release | release
in sync, claim lost                   | restore claim | restore claim | release | release
released, something there             | AlreadyExists | claim PUT | Observed | Observed
write in doubt                        | wait | wait | wait | wait
another object owns the place         | Conflict | Conflict | release | release
deleting                              | Manage Delete | Manage Retain | Observe Delete | Observe Retain | suspended
new, nothing there                    | gone | gone | gone | gone | gone
new, something there                  | gone | gone | gone | gone | gone
new, bearing another's claim          | gone | gone | gone | gone | gone
restored with status, nothing there   | release | release | release | release | release
restored with status, something there | release | release | release | release | release
claimed, nothing there                | release | release | release | release | release
claimed, what we sent is there        | DELETE | release | release | release | release
claimed, something else is there      | release | release | release | release | release
claimed by consent, something there   | DELETE | release | release | release | release
claim forged, nothing there           | release | release | release | release | release
claim forged, something there         | release | release | release | release | release
in sync                               | DELETE | release | release | release | release
drifted                               | DELETE | release | release | release | release
deleted by others                     | DELETE | release | release | release | release
in sync, claim lost                   | gone | gone | gone | gone | gone
released, something there             | gone | gone | gone | gone | gone
write in doubt                        | wait | release | release | release | release
another object owns the place         | release | release | release | release | release
";

struct State {
    name: &'static str,
    object: Object,
    entry: Option<Redacted>,
    owner: Option<&'static Owner>,
    seen_for: Duration,
}

/// An object that was restored from a backup and has a new uid.
fn restored() -> Object {
    Object { uid: "new".into(), ..synced() }
}

fn states() -> Vec<State> {
    let seen_for = Duration::from_secs(3_600);
    let state = |name, object, entry| State { name, object, entry, owner: None, seen_for };
    let ours = || Some(entry("****aaaa", "1"));
    let foreign = || Some(entry("****bbbb", "9"));
    let mut doubtful = synced();
    doubtful.status.attempt =
        Some(Attempt { id: "x.2".into(), time: Timestamp::UNIX_EPOCH, sent: Some(sent("****aaaa")) });
    vec![
        state("new, nothing there", fresh(), None),
        state("new, something there", fresh(), foreign()),
        state(
            "new, bearing another's claim",
            Object { finalizer: false, status: Status::default(), ..restored() },
            ours(),
        ),
        state("restored with status, nothing there", restored(), None),
        state("restored with status, something there", restored(), ours()),
        state("claimed, nothing there", claimed("****aaaa"), None),
        state("claimed, what we sent is there", claimed("****aaaa"), ours()),
        state("claimed, something else is there", claimed("****aaaa"), foreign()),
        state("claimed by consent, something there", consenting(), foreign()),
        state("claim forged, nothing there", forged(), None),
        state("claim forged, something there", forged(), foreign()),
        state("in sync", synced(), ours()),
        state("drifted", synced(), foreign()),
        state("deleted by others", synced(), None),
        state("in sync, claim lost", Object { finalizer: false, claim: None, ..synced() }, ours()),
        state(
            "released, something there",
            Object { finalizer: false, claim: None, released: true, ..synced() },
            ours(),
        ),
        State { seen_for: Duration::ZERO, ..state("write in doubt", doubtful, ours()) },
        State {
            owner: Some(&Owner::Elsewhere),
            ..state("another object owns the place", claimed("****aaaa"), ours())
        },
    ]
}

fn word(plan: &Plan) -> String {
    let write = |write: &Write| match write {
        Write::Post => "POST",
        Write::Put => "PUT",
    };
    match plan {
        Plan::Settled { reason, .. } => reason.to_string(),
        Plan::Wait => "wait".into(),
        Plan::Claim { write: what, .. } => format!("claim {}", write(what)),
        Plan::RestoreClaim => "restore claim".into(),
        Plan::Write { write: what, .. } => write(what).into(),
        Plan::Delete => "DELETE".into(),
        Plan::Release { .. } => "release".into(),
        Plan::Gone => "gone".into(),
    }
}

/// The word in the table for the plan of a state under these policies.
fn planned(state: &State, policies: Spec, deleting: bool) -> String {
    let object = Object { spec: Ok(policies), deleting, ..state.object.clone() };
    let State { owner, seen_for, .. } = *state;
    word(&plan(&Input { owner, seen_for, ..input(&object, state.entry.as_ref()) }))
}

/// The word that these plans have in common; they must not differ.
fn same(words: impl IntoIterator<Item = String>, what: &str) -> String {
    let mut words: Vec<String> = words.into_iter().collect();
    words.dedup();
    assert_eq!(words.len(), 1, "{what}: {words:?}");
    words.remove(0)
}

#[test]
fn every_pair_of_policies_in_every_state() {
    let mut found = String::new();
    let header = |found: &mut String, name: &str, columns: Vec<&str>| {
        let _ = writeln!(found, "{name:<37} | {}", columns.join(" | "));
    };
    header(&mut found, "living", LIVING.iter().map(|column| column.0).collect());
    for state in states() {
        let words = LIVING.map(|(column, management, adoption)| {
            let deletions = [DeletionPolicy::Delete, DeletionPolicy::Retain];
            let words = deletions
                .map(|deletion| planned(&state, Spec { management, adoption, deletion, ..spec() }, false));
            same(words, &format!("{}, {column}", state.name))
        });
        let _ = writeln!(found, "{:<37} | {}", state.name, words.join(" | "));
    }
    header(&mut found, "deleting", DELETING.iter().map(|column| column.0).collect());
    for state in states() {
        let words = DELETING.map(|(column, management, deletion, suspend)| {
            let adoptions = [AdoptionPolicy::Refuse, AdoptionPolicy::Adopt];
            let words = adoptions.map(|adoption| {
                planned(&state, Spec { management, adoption, deletion, suspend, ..spec() }, true)
            });
            same(words, &format!("{}, {column}", state.name))
        });
        let _ = writeln!(found, "{:<37} | {}", state.name, words.join(" | "));
    }
    assert_eq!(found, EXPECTED, "found:\n{found}");
}
