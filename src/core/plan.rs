//! Decides what one object needs next, given what Atlas holds.
//!
//! The rules have names and a fixed order, and the first rule that applies makes the plan. `docs/architecture.md` has
//! the reasons for the rules, and the traces of failures that led to them. In short: the operator never writes or
//! deletes an integration that this very object has not claimed. It claims a place only if the place is empty, or with
//! consent to overwrite what is there.

use std::time::Duration;

use jiff::Timestamp;

use super::conditions::InSync;
use super::sync::{Kept, drift, standing};
use crate::domain::{
    AdoptionPolicy, DeletionPolicy, ManagementPolicy, Object, Reason, Redacted, SecretsSince, Spec, agrees,
};

/// All that a plan depends on.
pub struct Input<'a> {
    /// The object.
    pub object: &'a Object,
    /// Its spec.
    pub spec: &'a Spec,
    /// The entry of its type in a complete LIST, if there is one.
    pub entry: Option<&'a Redacted>,
    /// Whether the Secrets that the spec refers to have changed since `applied`. If that is unknown, the operator reads
    /// them before it writes.
    pub secrets: SecretsSince,
    /// The other object that owns the place, if there is one.
    pub owner: Option<&'a Owner>,
    /// Whether this process knows that the last begun write can't take effect any more.
    pub outcome_known: bool,
    /// How long after its fence a write may still take effect.
    pub landing_limit: Duration,
    /// Whether our CRD is being deleted. Then the operator releases the objects, and deletes nothing in Atlas.
    pub crd_terminating: bool,
    /// How long before the LIST this process first saw the last begun write that Atlas has not confirmed; zero if it
    /// saw the write later than the LIST. This is measured with a clock that nobody sets.
    pub seen_for: Duration,
}

/// The object that owns a place, as far as another object may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An object of the same namespace, with this name.
    Here(String),
    /// An object of another namespace.
    Elsewhere,
}

/// The two writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Create.
    Post,
    /// Replace.
    Put,
}

/// All reasons why a write is due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// The spec asks for other settings than those that were applied.
    pub config: bool,
    /// A Secret has changed, or may have changed, since it was applied. Its value decides whether a write is due.
    pub secrets: bool,
    /// Atlas has not confirmed the last begun write, or no confirmed write is recorded.
    pub owed: bool,
    /// The fields in which somebody else changed the integration: see [`super::sync::drift`].
    pub drift: Vec<String>,
    /// A person asked for a write by annotation.
    pub rewrite: bool,
}

impl Why {
    /// Whether there is no reason to write.
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
    /// Nothing has to be written to Atlas. The status reports the fields below.
    Settled {
        /// The reason for Ready.
        reason: Reason,
        /// The message for the user.
        message: String,
        /// How the integration in Atlas compares.
        in_sync: InSync,
    },
    /// A begun write may still take effect, so nothing is planned for the place before the landing limit has passed
    /// since this process first saw that write.
    Wait,
    /// Claim the place, then write.
    Claim {
        /// Whether the claim is made with consent to overwrite what is there.
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
        /// Why the write is due.
        why: Why,
    },
    /// Fence, DELETE, then let the object go.
    Delete,
    /// Give up the claim without a call to Atlas. If the object is not being deleted, it is then planned again.
    Release {
        /// The reason, for the user.
        note: String,
    },
    /// The object is being deleted, and our finalizer is not on it, so nothing has to be done.
    Gone,
}

/// Returns the plan for a deletion that does not need Atlas, so neither a LIST nor credentials. Returns `None` if the
/// object is not being deleted, or if its deletion needs Atlas.
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
    if object.applied().is_none() && object.proven_claim().is_none() {
        return release("this object never wrote the integration; Atlas is left as it is");
    }
    let Ok(spec) = &object.spec else {
        // Without a spec the operator does not know what to delete, and holding the object for ever would help nobody.
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

/// A plan, and the rule that made it.
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

/// Rules that are tried first for every object, before the rules for its case.
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

/// Returns the next step for an object after a LIST of its project.
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

/// Nothing is written, and there is nothing to compare.
fn incomparable(reason: Reason, message: String) -> Plan {
    let in_sync = InSync::Unknown(format!("{reason}: there is nothing to compare"));
    Plan::Settled { reason, message, in_sync }
}

fn release(note: &str) -> Plan {
    Plan::Release { note: note.to_owned() }
}

fn no_call_to_delete(input: &Input<'_>) -> Option<Plan> {
    deletion_without_atlas(input.object, input.crd_terminating)
}

fn in_doubt(input: &Input<'_>) -> Option<Plan> {
    unconfirmed_fence(input.object)?;
    let may_land = !input.outcome_known && input.seen_for < input.landing_limit;
    may_land.then_some(Plan::Wait)
}

/// Returns the time of the fence of the last begun write, if Atlas has not confirmed that write. The time only tells
/// one fence from another. It says nothing about how long ago the fence was made: the clock that wrote it may have been
/// wrong, by any amount and in either direction. What a process can rely on is when it first saw the fence: whatever
/// was begun before that moment has landed, or never will, one landing limit later. Only a LIST that is begun then
/// shows which of the two happened.
pub fn unconfirmed_fence(object: &Object) -> Option<Timestamp> {
    object.unconfirmed().map(|attempt| attempt.time)
}

/// Whether the integration in the place is ours although Atlas confirmed no write. It is ours only if the object has
/// claimed the place and the integration agrees with what the status says we were about to send. A twin that somebody
/// else made agrees too. So agreement proves nothing if this process knows that the claim's own write had no effect, and
/// no other write was begun since.
fn is_ours(input: &Input<'_>, entry: &Redacted) -> bool {
    let object = input.object;
    let (Some(claim), Some(attempt)) = (object.own_claim(), object.attempt()) else { return false };
    let nothing_landed = input.outcome_known && attempt.time == claim.time;
    !nothing_landed && attempt.sent.as_ref().is_some_and(|sent| agrees(sent, entry))
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
        "the project has no {kind} integration to observe; set managementPolicy to Manage, or create it in Atlas and \
         set the annotation atlas-integrations.dev/reconcile-requested-at to a new value"
    );
    Some(incomparable(Reason::IntegrationNotFound, message))
}

fn observed(input: &Input<'_>) -> Plan {
    let kind = input.spec.integration.integration_type();
    let takeover = input.entry.map(|entry| input.spec.integration.takeover(entry)).unwrap_or_default();
    let project = &input.spec.project;
    let message = match (takeover.changes.as_slice(), takeover.resets.as_slice()) {
        ([], []) => format!(
            "Atlas holds the {kind} integration of project {project} as the spec says, as far as Atlas shows it; it \
             is only observed"
        ),
        (changes, resets) => format!(
            "Atlas holds a {kind} integration that taking over would change in: {}; it is only observed",
            [changes, resets].concat().join(", ")
        ),
    };
    Plan::Settled { reason: Reason::Observed, message, in_sync: InSync::Observed(takeover) }
}

/// Another object owns the place.
fn conflict(input: &Input<'_>) -> Option<Plan> {
    let message = conflict_message(input, input.owner?);
    Some(incomparable(Reason::Conflict, message))
}

/// The claim was lost, and `applied` proves that the place is ours.
fn restore_claim(input: &Input<'_>) -> Option<Plan> {
    let lost = input.object.applied().is_some() && input.object.own_claim().is_none();
    lost.then_some(Plan::RestoreClaim)
}

/// The place is ours, but it is empty: the first write did not arrive, or somebody deleted the integration.
fn create_again(input: &Input<'_>) -> Option<Plan> {
    if input.entry.is_some() || input.object.proven_claim().is_none() {
        return None;
    }
    let deleted = input.object.applied().map(|_| "deleted".to_owned());
    let why = Why { owed: deleted.is_none(), drift: deleted.into_iter().collect(), ..why(input, None) };
    Some(Plan::Write { write: Write::Post, why })
}

/// The place is empty, and the object has not claimed it yet, as far as the status proves it.
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
    let kind = input.spec.integration.integration_type();
    let kept = input.entry.map(|entry| standing(input.object, kind, entry)).unwrap_or_default();
    let message = confirmed_message(input.spec, &kept);
    Some(Plan::Settled { reason: Reason::Synced, message, in_sync: InSync::of(kept) })
}

/// The object has claimed the place, Atlas confirmed no write, and the integration in the place is ours.
fn ours_after_a_crash(input: &Input<'_>) -> Option<Plan> {
    input.entry.filter(|entry| is_ours(input, entry))?;
    Some(Plan::Write { write: Write::Put, why: Why { owed: true, ..why(input, input.entry) } })
}

/// The integration in the place is not ours, and the policy consents to overwriting it.
fn adopt(input: &Input<'_>) -> Option<Plan> {
    let consents = input.spec.adoption == AdoptionPolicy::Adopt;
    consents.then_some(Plan::Claim { adopted: true, write: Write::Put })
}

/// The integration in the place is not ours, so our claim on the place is void.
fn void_claim(input: &Input<'_>) -> Option<Plan> {
    input.object.finalizer.then(|| release("Atlas holds an integration that this object did not write"))
}

fn already_exists(input: &Input<'_>) -> Plan {
    let message = already_exists_message(input.spec);
    incomparable(Reason::AlreadyExists, message)
}

fn why(input: &Input<'_>, entry: Option<&Redacted>) -> Why {
    let object = input.object;
    let applied = object.applied();
    let config = input.spec.integration.config_hash();
    Why {
        config: applied.is_some_and(|applied| applied.config.as_deref() != Some(&config)),
        secrets: applied.is_some() && input.secrets != SecretsSince::Same,
        owed: object.unconfirmed().is_some() || applied.is_some_and(|applied| applied.config.is_none()),
        drift: entry
            .filter(|_| applied.is_some())
            .map(|entry| drift(object, input.spec.integration.integration_type(), entry))
            .unwrap_or_default(),
        rewrite: object.rewrite_due(),
    }
}

/// The message of an object while nobody knows whether its last write took effect, which it may do within
/// `landing_limit`.
pub fn in_doubt_message(landing_limit: Duration) -> String {
    format!(
        "a write to Atlas was begun and its outcome is not known; the operator waits until it can't take effect any \
         more, at most {landing_limit:?}, then looks and continues"
    )
}

/// The message of an object that may not adopt the integration in its place.
pub fn already_exists_message(spec: &Spec) -> String {
    format!(
        "project {} already has a {} integration that this object did not create: to look at it first, set \
         spec.managementPolicy to Observe; to take it over, overwriting it, set spec.adoptionPolicy to Adopt; or \
         delete it in Atlas, and set the annotation atlas-integrations.dev/reconcile-requested-at to a new value",
        spec.project,
        spec.integration.integration_type()
    )
}

fn conflict_message(input: &Input<'_>, owner: &Owner) -> String {
    // The name of an object is never told across namespaces.
    let (owner, other) = match owner {
        Owner::Here(name) => (
            format!("AtlasIntegration {name}"),
            format!("set deletionPolicy: Retain on {name} before you delete it"),
        ),
        Owner::Elsewhere => (
            "an AtlasIntegration of another namespace".to_owned(),
            "ask somebody who may list all namespaces which object it is (docs/troubleshooting.md)"
                .to_owned(),
        ),
    };
    format!(
        "{owner} already keeps the {} integration of project {}, and a project has one integration of a type: delete \
         this object (nothing happens in Atlas), or {other}",
        input.spec.integration.integration_type(),
        input.spec.project
    )
}

/// The message of an object whose last write Atlas confirmed, and whose integration nobody has changed since.
pub fn confirmed_message(spec: &Spec, kept: &Kept) -> String {
    let kind = spec.integration.integration_type();
    let project = &spec.project;
    if kept.is_empty() {
        return format!("Atlas holds the {kind} integration of project {project} as the spec says");
    }
    format!("Atlas accepted the {kind} integration of project {project}, but {}", kept.words())
}

/// The message of an object whose repair has to wait, since somebody else changes the integration again and again.
pub fn overwritten_message(spec: &Spec, drift: &[String]) -> String {
    format!(
        "Atlas accepted the {} integration of project {}, but somebody else has changed it since in: {}",
        spec.integration.integration_type(),
        spec.project,
        drift.join(", ")
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
