//! Decide: which object owns each type's place in a project.

use std::collections::HashMap;

use super::look::Views;
use crate::core::conflict::{Candidate, Stance, competes, winner};
use crate::core::plan::Owner;
use crate::domain::{IntegrationType, SecretsSince};
use crate::engine::index::Record;
use crate::engine::object::View;
use crate::engine::shared::Shared;
use crate::engine::turn::Turn;

/// Who has a place.
pub(super) enum Holder<'a> {
    /// This object.
    Owner(&'a Record),
    /// Nobody.
    Nobody,
    /// It depends on objects whose own LIST was not made yet.
    Undecided,
}

/// Who has the places of a project, as far as a pass has decided it.
#[derive(Default)]
pub(super) struct Owners<'a>(HashMap<IntegrationType, Holder<'a>>);

impl<'a> Owners<'a> {
    /// Who has the place of a type.
    pub fn of(&self, kind: IntegrationType) -> Option<&Holder<'a>> {
        self.0.get(&kind)
    }

    /// Decides who has the place of a type, unless this pass has decided that already: what a step then did is not in the
    /// records, which are as old as the pass. An object that the pass has not reached counts as an earlier pass of the
    /// round saw it. If none did, the place is undecided unless that object would change nothing. Returns whether it is
    /// decided; `kind` is `None` for an object that is in no place.
    pub fn decide(
        &mut self,
        shared: &Shared,
        turn: &Turn,
        (records, views): (&'a [Record], &Views),
        kind: Option<IntegrationType>,
    ) -> bool {
        let Some(kind) = kind else { return true };
        let holder = self.0.entry(kind).or_insert(Holder::Undecided);
        if matches!(holder, Holder::Undecided) {
            *holder = self::holder(shared, turn, (records, views), kind);
        }
        !matches!(holder, Holder::Undecided)
    }
}

/// Who has the place of a type, as far as the views tell.
fn holder<'a>(
    shared: &Shared,
    turn: &Turn,
    (records, views): (&'a [Record], &Views),
    kind: IntegrationType,
) -> Holder<'a> {
    let rivals: Vec<&Record> = records.iter().filter(|record| record.kind() == Some(kind)).collect();
    let winner_if = |unknown: Option<bool>| {
        let candidates: Vec<Candidate<'_>> =
            rivals.iter().map(|record| candidate(shared, turn, record, (views, unknown))).collect();
        let uid = winner(&candidates);
        rivals.iter().copied().find(|record| Some(record.uid.as_str()) == uid)
    };
    // An object without a LIST competes the least, and one that sees the place empty the most.
    let all_known = rivals.iter().all(|record| entry(turn, record, views).is_some());
    let least = winner_if(None);
    let most = if all_known { least } else { winner_if(Some(false)) };
    match (least, most) {
        (Some(least), Some(most)) if least.uid == most.uid => Holder::Owner(least),
        (None, None) => Holder::Nobody,
        _ => Holder::Undecided,
    }
}

/// Whether the object's own LIST showed an integration in its place: in this pass, or else in an earlier one of the
/// round. The inner value is `None` without a LIST. The outer value is `None` if no pass of the round reached the object.
pub(super) fn entry(turn: &Turn, record: &Record, views: &Views) -> Option<Option<bool>> {
    match views.get(&record.key) {
        Some(Some(View::Seen(seen))) => Some(record.kind().map(|kind| seen.listing.contains_key(&kind))),
        Some(_) => Some(None),
        None => turn.memory.round.entry(&record.uid),
    }
}

/// `unknown` is the entry of an object that no pass of the round has reached.
fn candidate<'a>(
    shared: &Shared,
    turn: &Turn,
    record: &'a Record,
    (views, unknown): (&Views, Option<bool>),
) -> Candidate<'a> {
    let competes = record.spec.as_ref().is_some_and(|spec| {
        competes(&Stance {
            management: spec.management,
            adoption: spec.adoption,
            idle: spec.suspend || record.deleting,
            leaves_alone: record.leaves_alone,
            applied: record.applied,
            claimed: record.claimed,
            refused: is_refused(shared, turn, record),
            entry: entry(turn, record, views).unwrap_or(unknown),
        })
    });
    Candidate {
        applied: record.applied,
        claimed: record.claimed,
        created: record.created,
        uid: &record.uid,
        competes,
    }
}

/// Whether Atlas refused the object's write for good, and neither the object nor, as far as they are watched, its
/// Secrets have changed since. Where Secrets are not watched, the object's own pass reads them and writes what is new.
fn is_refused(shared: &Shared, turn: &Turn, record: &Record) -> bool {
    let refused = turn.memory.known(&record.uid).and_then(|memory| memory.refused.as_ref());
    refused.filter(|refused| refused.retry_at.is_none()).is_some_and(|refused| {
        let secrets = refused.signature.secrets;
        refused.generation == record.generation
            && shared.index.lock().secrets_since(record, secrets) != SecretsSince::Changed
    })
}

/// The owner, as the message of another object may describe it: never by its name across namespaces.
pub(super) fn described(owner: &Record, to: &Record) -> Owner {
    if owner.key.namespace == to.key.namespace {
        Owner::Here(owner.key.name.to_string())
    } else {
        Owner::Elsewhere
    }
}
