//! What one object needs next, given what Atlas holds.
//!
//! The rules and the traces that made them are in `docs/architecture.md`. In short: nothing that is not claimed
//! by this very object is ever written or deleted; a claim is made only where nothing is, or by consent.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{
    AdoptionPolicy, DeletionPolicy, ManagementPolicy, Object, Reason, Redacted, Spec, agrees,
    differing_fields,
};

/// All that a plan depends on.
pub struct Input<'a> {
    /// The object.
    pub object: &'a Object,
    /// Its spec.
    pub spec: &'a Spec,
    /// The entry of its type in a complete LIST, if there is one.
    pub entry: Option<&'a Redacted>,
    /// Whether a Secret that it refers to may differ from what `applied` names.
    pub secrets_changed: bool,
    /// Whether another object owns the place, and what a person may be told about it.
    pub owner: Option<&'a str>,
    /// Whether this process knows that the last begun write did not reach Atlas.
    pub outcome_known: bool,
    /// How long after its fence a write may still take effect.
    pub landing_limit: Duration,
    /// Whether our CRD is being deleted: that releases, and deletes nothing.
    pub crd_terminating: bool,
    /// When the LIST was begun: what landed later it does not show.
    pub listed_at: Timestamp,
}

/// The two writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Create.
    Post,
    /// Replace.
    Put,
}

/// Why a write is due; all reasons that apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// The spec asks for something else than what was applied.
    pub config: bool,
    /// A Secret is not the one that was applied; its value decides.
    pub secrets: bool,
    /// A write was begun and never confirmed, or nothing was ever confirmed.
    pub owed: bool,
    /// Atlas holds something else than it answered to our last write: these fields.
    pub drift: Vec<String>,
    /// Asked for by annotation.
    pub rewrite: bool,
}

impl Why {
    /// Whether nothing is due.
    pub fn is_empty(&self) -> bool {
        *self == Why::default()
    }

    /// Whether only drift speaks for it: a repair, which is paced.
    pub fn only_drift(&self) -> bool {
        !self.config && !self.secrets && !self.owed && !self.rewrite && !self.drift.is_empty()
    }
}

/// The next step for one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing is to be written to Atlas; this is how it stands.
    Settled {
        /// The reason for Ready.
        reason: Reason,
        /// For a person.
        message: String,
        /// Fields in which Atlas differs, where that is known and will not be repaired.
        drift: Vec<String>,
    },
    /// A begun write may still take effect: nothing is planned for this place before then.
    Wait {
        /// When to look again.
        until: Timestamp,
    },
    /// Claim the place, then write.
    Claim {
        /// Whether the claim rests on consent to overwrite.
        adopted: bool,
        /// The write.
        write: Write,
    },
    /// Put a lost finalizer or claim annotation back: `applied` proves that the place is ours.
    RestoreClaim,
    /// Fence, then write.
    Write {
        /// The write.
        write: Write,
        /// Why.
        why: Why,
    },
    /// Fence, DELETE, then let the object go.
    Delete,
    /// Give the claim up without an Atlas call. An object that lives on is then planned anew.
    Release {
        /// Why, for a person.
        note: String,
    },
    /// The object is on its way out and nothing holds it.
    Gone,
}

/// Whether a deletion needs Atlas at all; if not, the plan is made without LIST and credential.
pub fn deletion_without_atlas(object: &Object, crd_terminating: bool) -> Option<Plan> {
    if !object.deleting {
        return None;
    }
    if !object.finalizer {
        return Some(Plan::Gone);
    }
    let release = |note: &str| Some(Plan::Release { note: note.to_owned() });
    if crd_terminating {
        return release("the kind itself is being removed; the integration stays in Atlas");
    }
    if object.applied().is_none() && object.own_claim().is_none() {
        return release("this object never wrote the integration; Atlas is left as it is");
    }
    let Ok(spec) = &object.spec else {
        // What can't be read can't be deleted either; holding the object for ever would help nobody.
        return release("the spec can't be read; the integration stays in Atlas");
    };
    match spec {
        Spec { deletion: DeletionPolicy::Retain, .. } => {
            release("deletionPolicy is Retain; the integration stays in Atlas")
        }
        Spec { management: ManagementPolicy::Observe, .. } => {
            release("managementPolicy is Observe; the integration stays in Atlas")
        }
        Spec { suspend: true, .. } => release("the object is suspended; the integration stays in Atlas"),
        _ => None,
    }
}

/// The next step for an object whose LIST is known.
pub fn plan(input: &Input<'_>) -> Plan {
    if let Some(plan) = deletion_without_atlas(input.object, input.crd_terminating) {
        return plan;
    }
    if let Some(until) = in_doubt_until(input) {
        return Plan::Wait { until };
    }
    if input.object.deleting {
        return plan_deletion(input);
    }
    match input.spec.management {
        ManagementPolicy::Observe => plan_observe(input),
        ManagementPolicy::Manage => plan_manage(input),
    }
}

/// A write whose outcome nobody knows may land until the time limit of a call has passed, and only a LIST from after
/// that shows whether it did; a restart keeps to it.
fn in_doubt_until(input: &Input<'_>) -> Option<Timestamp> {
    if input.outcome_known {
        return None;
    }
    let object = input.object;
    let begun = match object.unconfirmed() {
        Some(attempt) => attempt.time,
        // The claim is the fence of the first write.
        None if object.applied().is_none() && object.attempt().is_none() => object.own_claim()?.time,
        None => return None,
    };
    let until = begun.checked_add(input.landing_limit).ok()?;
    (input.listed_at < until).then_some(until)
}

/// Claimed, nothing confirmed, and yet something is there: ours only if it agrees with what we were about to
/// send, or if overwriting was allowed. A twin agrees too; but where the claim's own write is known to have had no
/// effect, and no other was begun since, nothing that is there can be ours.
fn is_ours(input: &Input<'_>, entry: &Redacted) -> bool {
    let object = input.object;
    let sent = || object.attempt().and_then(|attempt| attempt.sent.as_ref());
    object.own_claim().is_some_and(|claim| {
        let nothing_landed = input.outcome_known && object.attempt().is_none();
        let agrees = agrees(&claim.sent, entry) || sent().is_some_and(|sent| agrees(sent, entry));
        claim.adopted || (agrees && !nothing_landed)
    })
}

fn plan_deletion(input: &Input<'_>) -> Plan {
    let object = input.object;
    let release = |note: &str| Plan::Release { note: note.to_owned() };
    if input.owner.is_some() {
        return release("another object keeps this integration; Atlas is left as it is");
    }
    match (object.applied(), input.entry) {
        (Some(_), _) => Plan::Delete,
        (None, None) => release("the integration never reached Atlas"),
        (None, Some(entry)) if is_ours(input, entry) => Plan::Delete,
        (None, Some(_)) => release("Atlas holds an integration that this object did not write; it stays"),
    }
}

fn plan_observe(input: &Input<'_>) -> Plan {
    let kind = input.spec.integration.integration_type();
    if input.object.finalizer || input.object.applied().is_some() {
        let note = "managementPolicy is Observe; the claim on the integration is given up";
        return Plan::Release { note: note.to_owned() };
    }
    let Some(entry) = input.entry else {
        let message = format!(
            "the project has no {kind} integration to observe; create it, or set managementPolicy to Manage"
        );
        return Plan::Settled { reason: Reason::IntegrationNotFound, message, drift: Vec::new() };
    };
    let drift = input.spec.integration.visibly_differs(entry);
    let message = match drift.as_slice() {
        [] => {
            format!("Atlas holds the {kind} integration of the project as the spec says; it is only observed")
        }
        fields => format!(
            "Atlas holds a {kind} integration that differs from the spec in: {}; it is only observed",
            fields.join(", ")
        ),
    };
    Plan::Settled { reason: Reason::Observed, message, drift }
}

fn plan_manage(input: &Input<'_>) -> Plan {
    let object = input.object;
    if let Some(owner) = input.owner {
        return Plan::Settled {
            reason: Reason::Conflict,
            message: conflict_message(input, owner),
            drift: Vec::new(),
        };
    }
    if object.applied().is_some() && object.own_claim().is_none() {
        return Plan::RestoreClaim;
    }
    let Some(entry) = input.entry else {
        return if object.applied().is_some() || object.own_claim().is_some() {
            let drift = if object.applied().is_some() { vec!["deleted".to_owned()] } else { Vec::new() };
            Plan::Write { write: Write::Post, why: Why { owed: drift.is_empty(), drift, ..why(input, None) } }
        } else {
            Plan::Claim { adopted: false, write: Write::Post }
        };
    };
    if object.applied().is_some() {
        let why = why(input, Some(entry));
        if why.is_empty() {
            return Plan::Settled {
                reason: Reason::Synced,
                message: synced_message(input.spec),
                drift: Vec::new(),
            };
        }
        return Plan::Write { write: Write::Put, why };
    }
    if object.own_claim().is_some() && is_ours(input, entry) {
        return Plan::Write { write: Write::Put, why: Why { owed: true, ..why(input, Some(entry)) } };
    }
    match (input.spec.adoption, object.finalizer) {
        (AdoptionPolicy::Adopt, _) => Plan::Claim { adopted: true, write: Write::Put },
        (AdoptionPolicy::Refuse, true) => {
            Plan::Release { note: "Atlas holds an integration that this object did not write".to_owned() }
        }
        (AdoptionPolicy::Refuse, false) => Plan::Settled {
            reason: Reason::AlreadyExists,
            message: already_exists_message(input.spec),
            drift: Vec::new(),
        },
    }
}

fn why(input: &Input<'_>, entry: Option<&Redacted>) -> Why {
    let object = input.object;
    let applied = object.applied();
    let config = input.spec.integration.config_hash();
    Why {
        config: applied.is_some_and(|applied| applied.config.as_deref() != Some(&config)),
        secrets: applied.is_some() && input.secrets_changed,
        owed: object.unconfirmed().is_some() || applied.is_some_and(|applied| applied.config.is_none()),
        drift: match (entry, object.status.integration.as_ref(), applied) {
            (Some(entry), Some(echo), Some(_)) => differing_fields(echo, entry),
            _ => Vec::new(),
        },
        rewrite: object.rewrite_due(),
    }
}

/// What an object says while nobody knows whether its last write took effect.
pub const IN_DOUBT: &str = "a write to Atlas was begun and its outcome is not known; the operator looks again, and \
                            goes on by itself, once nothing can land any more";

/// What a refused adoption tells a person.
pub fn already_exists_message(spec: &Spec) -> String {
    format!(
        "project {} already has a {} integration that this object did not create; to take it over, overwriting \
         it, set spec.adoptionPolicy to Adopt, or delete it in Atlas",
        spec.project,
        spec.integration.integration_type()
    )
}

fn conflict_message(input: &Input<'_>, owner: &str) -> String {
    format!(
        "{owner} already keeps the {} integration of project {}; a project has one integration of a type: delete \
         one of the two objects",
        input.spec.integration.integration_type(),
        input.spec.project
    )
}

/// What an object in sync says.
pub fn synced_message(spec: &Spec) -> String {
    format!(
        "Atlas holds the {} integration of project {} as the spec says",
        spec.integration.integration_type(),
        spec.project
    )
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(super) mod tests;

#[cfg(test)]
#[path = "policy_tests.rs"]
mod policy_tests;

#[cfg(test)]
#[path = "write_tests.rs"]
mod write_tests;
