//! What one object needs next, given what Atlas holds.
//!
//! A plan comes from an ordered list of named rules: the first rule that applies decides. The reasons for the rules,
//! and the traces that made them, are in `docs/architecture.md`. In short: nothing that is not claimed by this very
//! object is ever written or deleted; a claim is made only where nothing is, or by consent.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{
    AdoptionPolicy, DeletionPolicy, ManagementPolicy, Object, Reason, Redacted, SecretsSince, Spec, agrees,
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
    /// How the Secrets that it refers to stand to what `applied` names. What is not known will be read.
    pub secrets: SecretsSince,
    /// If another object owns the place: what a person may be told about it.
    pub owner: Option<&'a str>,
    /// Whether this process knows that the last begun write did not reach Atlas.
    pub outcome_known: bool,
    /// How long after its fence a write may still take effect.
    pub landing_limit: Duration,
    /// Whether our CRD is being deleted: that releases, and deletes nothing.
    pub crd_terminating: bool,
    /// When the LIST was begun: it does not show what landed later.
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

    /// Whether drift is the only reason. Such a write is a repair, and repairs are rate-limited.
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

/// A plan, and the rule that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The name of the rule.
    pub rule: &'static str,
    /// The plan.
    pub plan: Plan,
}

/// The name of a rule, and what it decides if it applies.
type Rule = (&'static str, fn(&Input<'_>) -> Option<Plan>);

/// Rules in their order, and what is decided if none of them applies.
struct Rules {
    rules: &'static [Rule],
    otherwise: (&'static str, fn(&Input<'_>) -> Plan),
}

/// For every object, before the rules for its case.
const ALWAYS: &[Rule] = &[("no-call-to-delete", no_call_to_delete), ("in-doubt", in_doubt)];

const DELETING: Rules = Rules {
    rules: &[
        ("another-owns", |input| {
            input.owner?;
            Some(release("another object keeps this integration; Atlas is left as it is"))
        }),
        ("applied", |input| input.object.applied().map(|_| Plan::Delete)),
        ("never-arrived", |input| match input.entry {
            None => Some(release("the integration never reached Atlas")),
            Some(_) => None,
        }),
        ("ours", |input| input.entry.filter(|entry| is_ours(input, entry)).map(|_| Plan::Delete)),
    ],
    otherwise: ("not-ours", |_| {
        release("Atlas holds an integration that this object did not write; it stays")
    }),
};

const OBSERVED: Rules = Rules {
    rules: &[("give-claim-up", give_claim_up), ("nothing-to-observe", nothing_to_observe)],
    otherwise: ("observed", observed),
};

const MANAGED: Rules = Rules {
    rules: &[
        ("conflict", conflict),
        ("restore-claim", restore_claim),
        ("create-again", create_again),
        ("create", create),
        ("write-due", write_due),
        ("synced", synced),
        ("ours-after-a-crash", ours_after_a_crash),
        ("adopt", adopt),
        ("void-claim", void_claim),
    ],
    otherwise: ("already-exists", already_exists),
};

/// The next step for an object whose LIST is known.
pub fn plan(input: &Input<'_>) -> Planned {
    let Rules { rules, otherwise } = match (input.object.deleting, input.spec.management) {
        (true, _) => &DELETING,
        (false, ManagementPolicy::Observe) => &OBSERVED,
        (false, ManagementPolicy::Manage) => &MANAGED,
    };
    for &(rule, decide) in ALWAYS.iter().chain(*rules) {
        if let Some(plan) = decide(input) {
            return Planned { rule, plan };
        }
    }
    let (rule, decide) = *otherwise;
    Planned { rule, plan: decide(input) }
}

fn release(note: &str) -> Plan {
    Plan::Release { note: note.to_owned() }
}

fn no_call_to_delete(input: &Input<'_>) -> Option<Plan> {
    deletion_without_atlas(input.object, input.crd_terminating)
}

fn in_doubt(input: &Input<'_>) -> Option<Plan> {
    in_doubt_until(input).map(|until| Plan::Wait { until })
}

/// A write with an unknown outcome may land until the time limit of a call has passed, and only a LIST that was begun
/// after that shows whether it did. The time is in the object, so a restart waits as well.
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

/// Whether what is there is ours although nothing was confirmed: only if the place is claimed, and either it agrees
/// with what we were about to send or overwriting was allowed. A twin that somebody else made agrees too; but if the
/// claim's own write is known to have had no effect, and no other write was begun since, nothing that is there can be
/// ours.
fn is_ours(input: &Input<'_>, entry: &Redacted) -> bool {
    let object = input.object;
    let sent = || object.attempt().and_then(|attempt| attempt.sent.as_ref());
    object.own_claim().is_some_and(|claim| {
        let nothing_landed = input.outcome_known && object.attempt().is_none();
        let agrees = agrees(&claim.sent, entry) || sent().is_some_and(|sent| agrees(sent, entry));
        claim.adopted || (agrees && !nothing_landed)
    })
}

fn give_claim_up(input: &Input<'_>) -> Option<Plan> {
    let claimed = input.object.finalizer || input.object.applied().is_some();
    claimed.then(|| release("managementPolicy is Observe; the claim on the integration is given up"))
}

fn nothing_to_observe(input: &Input<'_>) -> Option<Plan> {
    if input.entry.is_some() {
        return None;
    }
    let kind = input.spec.integration.integration_type();
    let message = format!(
        "the project has no {kind} integration to observe; create it, or set managementPolicy to Manage"
    );
    Some(Plan::Settled { reason: Reason::IntegrationNotFound, message, drift: Vec::new() })
}

fn observed(input: &Input<'_>) -> Plan {
    let kind = input.spec.integration.integration_type();
    let drift = input.entry.map(|entry| input.spec.integration.visibly_differs(entry)).unwrap_or_default();
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

/// Another object owns the place.
fn conflict(input: &Input<'_>) -> Option<Plan> {
    let message = conflict_message(input, input.owner?);
    Some(Plan::Settled { reason: Reason::Conflict, message, drift: Vec::new() })
}

/// The claim was lost, and `applied` proves that the place is ours.
fn restore_claim(input: &Input<'_>) -> Option<Plan> {
    let lost = input.object.applied().is_some() && input.object.own_claim().is_none();
    lost.then_some(Plan::RestoreClaim)
}

/// The place is ours, and nothing is there: the first write did not arrive, or somebody deleted the integration.
fn create_again(input: &Input<'_>) -> Option<Plan> {
    if input.entry.is_some() || input.object.own_claim().is_none() {
        return None;
    }
    let deleted = input.object.applied().map(|_| "deleted".to_owned());
    let why = Why { owed: deleted.is_none(), drift: deleted.into_iter().collect(), ..why(input, None) };
    Some(Plan::Write { write: Write::Post, why })
}

/// Nothing is there.
fn create(input: &Input<'_>) -> Option<Plan> {
    input.entry.is_none().then_some(Plan::Claim { adopted: false, write: Write::Post })
}

/// The integration is ours, and there is a reason to write it.
fn write_due(input: &Input<'_>) -> Option<Plan> {
    input.object.applied()?;
    let why = why(input, input.entry);
    (!why.is_empty()).then_some(Plan::Write { write: Write::Put, why })
}

/// The integration is ours, and there is no reason to write it.
fn synced(input: &Input<'_>) -> Option<Plan> {
    input.object.applied()?;
    Some(Plan::Settled { reason: Reason::Synced, message: synced_message(input.spec), drift: Vec::new() })
}

/// The place is claimed, nothing is confirmed, and what is there is ours.
fn ours_after_a_crash(input: &Input<'_>) -> Option<Plan> {
    input.entry.filter(|entry| is_ours(input, entry))?;
    Some(Plan::Write { write: Write::Put, why: Why { owed: true, ..why(input, input.entry) } })
}

/// What is there is not ours, and the policy consents to overwriting it.
fn adopt(input: &Input<'_>) -> Option<Plan> {
    let consents = input.spec.adoption == AdoptionPolicy::Adopt;
    consents.then_some(Plan::Claim { adopted: true, write: Write::Put })
}

/// What is there is not ours, so our claim on the place is void.
fn void_claim(input: &Input<'_>) -> Option<Plan> {
    input.object.finalizer.then(|| release("Atlas holds an integration that this object did not write"))
}

fn already_exists(input: &Input<'_>) -> Plan {
    let message = already_exists_message(input.spec);
    Plan::Settled { reason: Reason::AlreadyExists, message, drift: Vec::new() }
}

fn why(input: &Input<'_>, entry: Option<&Redacted>) -> Why {
    let object = input.object;
    let applied = object.applied();
    let config = input.spec.integration.config_hash();
    Why {
        config: applied.is_some_and(|applied| applied.config.as_deref() != Some(&config)),
        secrets: applied.is_some() && input.secrets != SecretsSince::Same,
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
