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

/// The owner of each type's place.
pub(super) fn owners<'a>(
    shared: &Shared,
    turn: &Turn,
    records: &'a [Record],
    views: &Views,
) -> HashMap<IntegrationType, &'a Record> {
    let mut owners = HashMap::new();
    for kind in IntegrationType::ALL {
        let rivals: Vec<&Record> = records.iter().filter(|record| record.kind() == Some(kind)).collect();
        let candidates: Vec<Candidate<'_>> =
            rivals.iter().map(|record| candidate(shared, turn, record, views)).collect();
        let uid = winner(&candidates);
        if let Some(owner) = rivals.into_iter().find(|record| Some(record.uid.as_str()) == uid) {
            owners.insert(kind, owner);
        }
    }
    owners
}

fn candidate<'a>(shared: &Shared, turn: &Turn, record: &'a Record, views: &Views) -> Candidate<'a> {
    let competes = record.spec.as_ref().is_some_and(|spec| {
        let entry = match views.get(&record.key) {
            Some(View::Seen(seen)) => Some(seen.listing.contains_key(&spec.kind)),
            _ => None,
        };
        competes(&Stance {
            management: spec.management,
            adoption: spec.adoption,
            idle: spec.suspend || record.deleting,
            leaves_alone: record.leaves_alone,
            applied: record.applied,
            claimed: record.claimed,
            refused: is_refused(shared, turn, record),
            entry,
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
