//! Asks the operator's own decisions. Numbers become the domain's types and back; since the core is pure, an answer
//! is kept and given again to the same question.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use atlas_integration_operator::core::conflict::{self, Candidate, Stance};
use atlas_integration_operator::core::outcome::{self, Claiming, Fence, Moved, Read};
use atlas_integration_operator::core::plan::{self, Input, Owner, Plan, Why, Write};
use atlas_integration_operator::core::quiet;
use atlas_integration_operator::domain::{
    self, AdoptionPolicy, AppliedSecret, Condition, ConditionStatus, ConditionType, CredentialsRef,
    DeletionPolicy, Failure, FailureKind, FieldValue, Fingerprint, Integration, IntegrationType,
    ManagementPolicy, MemoryKey, ObjectKey, ProjectId, Prospect, Reason, Redacted, RedactedValue, SecretKey,
    SecretValue, SecretsSince, Status,
};
use jiff::Timestamp;

use crate::mutant::Mutant;
use crate::state::{
    Answer, Applied, Attempt, Begun, Claim, Clock, Confirmed, FOREIGN, Form, Kind, Memory, Object, REFUSED,
    Secret, Spec, Truth, Uid,
};

/// What a plan depends on besides the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    /// What LIST showed.
    pub listing: Option<Form>,
    /// Whether the landing limit had passed before the LIST since the operator first saw the unconfirmed write.
    pub waited: bool,
    /// Whether another object owns the place.
    pub owned: bool,
    /// The Secret that is referred to, as it is.
    pub secret: Secret,
    /// The operator's memory: the fence after which nothing is in doubt.
    pub outcome_known: Option<u8>,
    /// The operator's memory: attempt and value of the last confirmed write.
    pub confirmed: Option<(u8, u8)>,
}

/// A plan, as far as the model tells plans apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Those of `Plan`.
pub enum Step {
    Gone,
    Settled(Reason),
    Wait,
    Claim {
        adopted: bool,
        kind: Kind,
    },
    Restore(Claim),
    /// `identities`: only identities of Secrets are noted. `repair`: only drift speaks for it.
    Write {
        kind: Kind,
        identities: bool,
        repair: bool,
    },
    Delete,
    Release,
}

/// What follows from a failed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failed {
    /// The reason for Ready.
    pub reason: Reason,
    /// Not sent again as it is.
    pub for_good: bool,
    /// The claim is given up.
    pub release: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    Plan(Object, Sight),
    WithoutAtlas(Object),
    Unconfirmed(Object),
    Fence(Object, Option<bool>, Kind, Attempt),
    Applied(Object, Attempt, u8, u8),
    Moved(Object, Object, bool, Attempt),
    Doubt(Object, Attempt, u8),
    Failed(Object, Option<bool>, Answer),
    Deletion(Object, u8),
    Deleted(Object, Option<u8>),
    Competes(Object, Option<bool>, bool),
    Quiet(Object, Option<Form>, u8),
    IsApplied(Object, bool),
    Evidence(Object, Form),
}

#[derive(Clone, Copy)]
enum Reply {
    Step(Option<Step>),
    Fence(Option<u8>),
    Object(Object),
    Applied(Applied),
    Moved(Moved),
    Doubt(Applied, Attempt),
    Failed(Failed),
    Attempt(Attempt),
    Yes(bool),
}

thread_local! {
    static KNOWN: RefCell<HashMap<(Question, Core), Reply>> = RefCell::default();
}

/// The core, with one rule taken back or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Core {
    /// The rule that is taken back.
    pub mutant: Option<Mutant>,
    /// The clock by which operators write times. Whoever reads them has another one, which is right.
    pub clock: Clock,
}

macro_rules! ask {
    ($core:expr, $question:expr, $pattern:pat => $value:expr) => {
        match $core.ask($question) {
            $pattern => $value,
            _ => unreachable!("the reply of another question"),
        }
    };
}

impl Core {
    /// The time of the fence `id` that is made now.
    fn now(self, id: u8) -> Timestamp {
        at(Begun { id, clock: self.clock })
    }

    /// The unconfirmed fence of an object; see [`plan::unconfirmed_fence`].
    pub fn unconfirmed(self, object: &Object) -> Option<u8> {
        ask!(self, Question::Unconfirmed(self.seen(object)), Reply::Fence(fence) => fence)
    }

    /// Whether this rule is taken back.
    pub fn lacks(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn ask(self, question: Question) -> Reply {
        let key = (question, self);
        let known = KNOWN.with_borrow(|known| known.get(&key).copied());
        known.unwrap_or_else(|| {
            let reply = answer(self, question);
            KNOWN.with_borrow_mut(|known| known.insert(key, reply));
            reply
        })
    }

    /// [`plan::plan`], and for a write [`outcome::due_once_read`].
    pub fn plan(self, object: &Object, sight: Sight) -> Step {
        ask!(self, Question::Plan(self.seen(object), sight), Reply::Step(Some(step)) => step)
    }

    /// [`plan::deletion_without_atlas`].
    pub fn without_atlas(self, object: &Object) -> Option<Step> {
        ask!(self, Question::WithoutAtlas(self.seen(object)), Reply::Step(step) => step)
    }

    /// The object as [`outcome::fence`] leaves it.
    pub fn fence(self, object: &Object, claim: Option<bool>, kind: Kind, attempt: Attempt) -> Object {
        let after =
            ask!(self, Question::Fence(self.seen(object), claim, kind, attempt), Reply::Object(o) => o);
        Object { truth: object.truth, ..after }
    }

    /// [`outcome::applied`] of a write of the object's spec, with the Secret in this version and with this value.
    pub fn applied(self, object: &Object, attempt: Attempt, version: u8, value: u8) -> Applied {
        let question = Question::Applied(bare(object), attempt, version, value);
        let mut applied = ask!(self, question, Reply::Applied(applied) => applied);
        if self.lacks(Mutant::FingerprintOfAnyAttempt) {
            let before = object.applied.and_then(|applied| applied.fingerprint);
            applied.fingerprint = before.or(applied.fingerprint);
        }
        applied
    }

    /// [`outcome::moved`].
    pub fn moved(self, now: &Object, fenced: &Object, claiming: bool, attempt: Attempt) -> Moved {
        if self.lacks(Mutant::ConflictIgnored) && now.uid == fenced.uid {
            return Moved::Again;
        }
        ask!(self, Question::Moved(self.seen(now), bare(fenced), claiming, attempt), Reply::Moved(moved) => moved)
    }

    /// [`outcome::doubt`].
    pub fn doubt(self, object: &Object, attempt: Attempt, id: u8) -> (Applied, Attempt) {
        ask!(self, Question::Doubt(bare(object), attempt, id), Reply::Doubt(applied, owed) => (applied, owed))
    }

    /// [`outcome::failed`].
    pub fn failed(self, object: &Object, claim: Option<bool>, answer: Answer) -> Failed {
        let claim = if self.lacks(Mutant::FasterIsOurs) { None } else { claim };
        ask!(self, Question::Failed(self.seen(object), claim, answer), Reply::Failed(failed) => failed)
    }

    /// [`outcome::deletion`].
    pub fn deletion(self, object: &Object, id: u8) -> Attempt {
        ask!(self, Question::Deletion(self.seen(object), id), Reply::Attempt(attempt) => attempt)
    }

    /// [`outcome::is_deleted`].
    pub fn is_deleted(self, object: &Object, deleted: Option<u8>) -> bool {
        !self.lacks(Mutant::DeletedTwice)
            && ask!(self, Question::Deleted(self.seen(object), deleted), Reply::Yes(yes) => yes)
    }

    /// [`outcome::nothing_to_delete`].
    pub fn nothing_to_delete(self, answer: Answer) -> bool {
        failure(answer).is_some_and(|failure| outcome::nothing_to_delete(&failure))
    }

    /// [`conflict::winner`] of those of which [`conflict::competes`] says that they take part; `entry` and
    /// `refused` as in [`Stance`], for each.
    pub fn owner(self, candidates: [Option<(Object, Option<bool>, bool)>; 2]) -> Option<Uid> {
        let candidates: Vec<(Candidate<'static>, Uid)> = candidates
            .into_iter()
            .flatten()
            .map(|(object, entry, refused)| {
                let object = self.seen(&object);
                let refused = refused && !self.lacks(Mutant::WrongKeepsOut);
                let entry = if self.lacks(Mutant::RefusedCompetes) { entry.map(|_| false) } else { entry };
                let candidate = Candidate {
                    applied: applies(&object) && !self.lacks(Mutant::OrderWithoutApplied),
                    claimed: is_proven(&object),
                    created: at(Begun { id: object.uid, clock: Clock::Right }).as_second(),
                    uid: UIDS[usize::from(object.uid)],
                    competes: ask!(self, Question::Competes(object, entry, refused), Reply::Yes(yes) => yes),
                };
                (candidate, object.uid)
            })
            .collect();
        let rivals: Vec<Candidate<'static>> =
            candidates.iter().map(|(candidate, _)| candidate.clone()).collect();
        let uid = conflict::winner(&rivals)?;
        candidates.iter().find(|(candidate, _)| candidate.uid == uid).map(|(_, uid)| *uid)
    }

    /// [`quiet::quiet`], held against LIST and the Secret's version.
    pub fn is_quiet(self, object: &Object, listing: Option<Form>, version: u8) -> bool {
        ask!(self, Question::Quiet(self.seen(object), listing, version), Reply::Yes(yes) => yes)
    }

    /// [`quiet::is_applied`] and [`quiet::are_secrets_applied`].
    pub fn is_applied(self, object: &Object, secrets_changed: bool) -> bool {
        let changed = secrets_changed && !self.lacks(Mutant::SuspendedWithoutSecrets);
        ask!(self, Question::IsApplied(self.seen(object), changed), Reply::Yes(yes) => yes)
    }

    /// Whether what LIST shows agrees with a form that was recorded as sent.
    pub fn evidence(self, object: &Object, entry: Form) -> bool {
        ask!(self, Question::Evidence(bare(object), entry), Reply::Yes(yes) => yes)
    }

    /// The object as the core is shown it: where a rule about what counts is taken back, with what makes it count.
    pub fn seen(self, object: &Object) -> Object {
        let mut seen = bare(object);
        match self.mutant {
            Some(Mutant::ClaimOfAnyUid) => {
                if let Some(claim) = &mut seen.claim {
                    claim.uid = seen.uid;
                }
                if let Some(attempt) = &mut seen.attempt {
                    attempt.uid = seen.uid;
                }
            }
            Some(Mutant::ForeignApplied) => {
                if let Some(applied) = &mut seen.applied {
                    applied.uid = seen.uid;
                }
                if let Some(attempt) = &mut seen.attempt {
                    attempt.uid = seen.uid;
                }
            }
            Some(Mutant::ReleasedProves) => seen.released = false,
            Some(Mutant::ForgedClaimProves) if claims(&seen) && !is_proven(&seen) => {
                let sent = Some(Form { visible: FOREIGN, id: 0 });
                let begun = seen.claim.map(|claim| claim.begun).unwrap_or_default();
                seen.attempt = Some(Attempt { uid: seen.uid, begun, sent });
            }
            _ => {}
        }
        seen
    }
}

/// The object without what only properties look at.
pub fn bare(object: &Object) -> Object {
    Object { truth: Truth::default(), ..*object }
}

/// Whether `applied` of the object counts.
pub fn applies(object: &Object) -> bool {
    object.applied.is_some_and(|applied| applied.uid == object.uid) && !object.released
}

/// Whether the claim of the object counts.
pub fn claims(object: &Object) -> bool {
    object.claim.is_some_and(|claim| claim.uid == object.uid) && object.finalizer
}

/// Whether the status proves the claim of the object.
pub fn is_proven(object: &Object) -> bool {
    let began = object.attempt.is_some_and(|attempt| attempt.uid == object.uid) && !object.released;
    claims(object) && (began || applies(object))
}

const UIDS: [&str; 10] = ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9"];
const LANDING_LIMIT: Duration = Duration::from_secs(500);

/// The zero of each clock, in seconds.
const ZERO: [(Clock, i64); 3] = [(Clock::Right, 10_000), (Clock::Ahead, 20_000), (Clock::Behind, 0)];

/// The time of a fence. Fences are told apart by their numbers.
fn at(begun: Begun) -> Timestamp {
    let zero = ZERO.iter().find(|(clock, _)| *clock == begun.clock).map_or(0, |(_, zero)| *zero);
    Timestamp::from_second(zero + i64::from(begun.id)).unwrap_or_default()
}

static KEY: LazyLock<Option<MemoryKey>> = LazyLock::new(MemoryKey::generate);

fn fingerprint(value: u8) -> Fingerprint {
    match &*KEY {
        Some(key) => key.fingerprint([UIDS[usize::from(value)]]),
        None => unreachable!("no randomness"),
    }
}

fn settings<S>(visible: u8, password: S) -> Integration<S> {
    let values = [
        ("username", FieldValue::Text(format!("v{visible}"))),
        ("password", FieldValue::Secret(password)),
        ("serviceDiscovery", "http".into()),
    ];
    match Integration::new(IntegrationType::Prometheus, values) {
        Ok(settings) => settings,
        Err(why) => unreachable!("{why}"),
    }
}

fn secret_key(secret: u8) -> SecretKey {
    SecretKey { name: format!("s{secret}"), key: "password".into() }
}

fn spec(spec: &Spec) -> domain::Spec {
    domain::Spec {
        project: match ProjectId::parse("5d791c84ff7a2522cc4f9aa1") {
            Some(project) => project,
            None => unreachable!("24 digits"),
        },
        credentials: CredentialsRef::Secret("atlas".into()),
        integration: settings(spec.visible, secret_key(spec.secret)),
        management: if spec.observe { ManagementPolicy::Observe } else { ManagementPolicy::Manage },
        adoption: if spec.adopt { AdoptionPolicy::Adopt } else { AdoptionPolicy::Refuse },
        deletion: if spec.retain { DeletionPolicy::Retain } else { DeletionPolicy::Delete },
        suspend: spec.suspend,
    }
}

static SENT: LazyLock<Vec<(u8, Redacted)>> = LazyLock::new(|| {
    let sent = |visible| {
        let value = SecretValue::from_bytes(b"value").ok()?;
        Some((visible, settings(visible, value).redacted()))
    };
    (0..=FOREIGN).filter_map(sent).collect()
});

/// What the operator records as about to be sent, or, with an id, what Atlas shows: it never shows a password.
fn redacted(form: Form) -> Redacted {
    let sent = SENT.iter().find(|(visible, _)| *visible == form.visible);
    let mut redacted = sent.map(|(_, sent)| sent.clone()).unwrap_or_default();
    if form.id != 0 {
        redacted.0.remove("password");
        redacted.0.insert("id".into(), RedactedValue::Text(form.id.to_string()));
    }
    redacted
}

fn form(redacted: &Redacted) -> Option<Form> {
    let text = |name| match redacted.0.get(name) {
        Some(RedactedValue::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let visible = text("username")?.strip_prefix('v')?.parse().ok()?;
    Some(Form { visible, id: text("id").and_then(|id| id.parse().ok()).unwrap_or(0) })
}

fn begun(time: Timestamp) -> Begun {
    let id = u8::try_from(time.as_second() % 1_000).unwrap_or(0);
    let clock = ZERO.iter().find(|(_, zero)| *zero == time.as_second() - i64::from(id));
    Begun { id, clock: clock.map(|(clock, _)| *clock).unwrap_or_default() }
}

fn number(uid: &str) -> Uid {
    uid.trim_start_matches('u').parse().unwrap_or(0)
}

fn attempt_to(attempt: &Attempt) -> domain::Attempt {
    domain::Attempt {
        id: format!("u{}.{}", attempt.uid, attempt.begun.id),
        time: at(attempt.begun),
        sent: attempt.sent.map(redacted),
    }
}

fn attempt_from(attempt: &domain::Attempt) -> Attempt {
    let uid = attempt.id.split('.').next().map(number).unwrap_or(0);
    Attempt { uid, begun: begun(attempt.time), sent: attempt.sent.as_ref().and_then(form) }
}

fn config(visible: u8, secret: u8) -> String {
    settings(visible, secret_key(secret)).config_hash()
}

static CONFIGS: LazyLock<Vec<(String, u8, u8)>> = LazyLock::new(|| {
    let all = (0..=FOREIGN).flat_map(|visible| [(visible, 0), (visible, 1)]);
    all.map(|(visible, secret)| (config(visible, secret), visible, secret)).collect()
});

/// The visible setting and the Secret that a hash in `status.applied` stands for.
pub fn configured(hash: &str) -> Option<(u8, u8)> {
    CONFIGS.iter().find(|(known, ..)| known == hash).map(|(_, visible, secret)| (*visible, *secret))
}

fn read(secret: u8, version: u8) -> AppliedSecret {
    AppliedSecret { name: format!("s{secret}"), uid: "s".into(), resource_version: version.to_string() }
}

fn applied_to(applied: &Applied) -> domain::Applied {
    domain::Applied {
        uid: UIDS[usize::from(applied.uid)].into(),
        attempt: applied.attempt.map(|id| format!("u{}.{id}", applied.uid)),
        config: applied.what.map(|what| config(what.visible, what.secret)),
        secrets: applied.what.iter().map(|what| read(what.secret, what.version)).collect(),
        fingerprint: applied
            .fingerprint
            .map(|value| applied_fingerprint(applied.uid, applied.attempt, value)),
        time: None,
    }
}

fn applied_from(applied: &domain::Applied) -> Applied {
    let what = || {
        let (visible, secret) = configured(applied.config.as_ref()?)?;
        let version = applied.secrets.first()?.resource_version.parse().ok()?;
        Some(Confirmed { visible, secret, version })
    };
    let attempt = applied.attempt.as_ref().and_then(|id| id.split('.').nth(1)?.parse().ok());
    let fingerprint = applied.fingerprint.as_ref().and_then(|text| text.rsplit(' ').next()?.parse().ok());
    Applied { uid: number(&applied.uid), attempt, what: what(), fingerprint }
}

/// A stand-in for what only somebody with the credentials can compute: a text of the same inputs.
fn applied_fingerprint(uid: Uid, attempt: Option<u8>, value: u8) -> String {
    format!("{uid} {attempt:?} {value}")
}

fn claim_from(claim: &domain::Claim) -> Claim {
    Claim { uid: number(&claim.uid), begun: begun(claim.time) }
}

fn conditions(object: &Object) -> Vec<Condition> {
    let condition = |kind, good, reason: &str| Condition {
        kind,
        status: if good { ConditionStatus::True } else { ConditionStatus::False },
        observed_generation: Some(if object.edited { 1 } else { 2 }),
        last_transition: Timestamp::default(),
        reason: reason.into(),
        message: String::new(),
    };
    let good = |reason: Reason| reason.prospect() == Prospect::Good && reason != Reason::Suspended;
    let ready = object.said.map(|reason| condition(ConditionType::Ready, good(reason), reason.as_str()));
    let suspended = object.said_suspended.then(|| condition(ConditionType::Suspended, true, "Suspended"));
    ready.into_iter().chain(suspended).collect()
}

fn object_to(object: &Object) -> domain::Object {
    domain::Object {
        key: ObjectKey { namespace: "ns".into(), name: "x".into() },
        uid: UIDS[usize::from(object.uid)].into(),
        resource_version: "1".into(),
        generation: 2,
        created: at(Begun { id: object.uid, clock: Clock::Right }),
        deleting: object.deleting,
        finalizer: object.finalizer,
        claim: object
            .claim
            .map(|claim| domain::Claim { uid: UIDS[usize::from(claim.uid)].into(), time: at(claim.begun) }),
        released: object.released,
        reconcile_requested: None,
        rewrite_requested: None,
        spec: Ok(spec(&object.spec)),
        status: Status {
            observed_generation: object.said.map(|_| if object.edited { 1 } else { 2 }),
            conditions: conditions(object),
            integration: object.echo.map(redacted),
            applied: object.applied.as_ref().map(applied_to),
            attempt: object.attempt.as_ref().map(attempt_to),
            ..Status::default()
        },
    }
}

fn write(kind: Kind) -> Write {
    if kind == Kind::Post { Write::Post } else { Write::Put }
}

fn kind(write: Write) -> Kind {
    match write {
        Write::Post => Kind::Post,
        Write::Put => Kind::Put,
    }
}

fn failure(answer: Answer) -> Option<Failure> {
    let known = |kind| Some(Failure::known(kind, ""));
    match answer {
        Answer::Done { .. } => None,
        Answer::Lost => {
            Some(Failure { outcome_unknown: true, ..Failure::known(FailureKind::Unavailable, "") })
        }
        Answer::Limited => known(FailureKind::RateLimited),
        Answer::AlreadyConfigured => known(FailureKind::AlreadyConfigured),
        Answer::Gone => known(FailureKind::Gone),
        Answer::Rejected => known(FailureKind::Rejected),
    }
}

fn answer(core: Core, question: Question) -> Reply {
    match question {
        Question::Plan(object, sight) => Reply::Step(Some(plan(core, object, sight))),
        Question::WithoutAtlas(object) => {
            let plan = plan::deletion_without_atlas(&object_to(&object), false);
            Reply::Step(plan.map(|plan| if plan == Plan::Gone { Step::Gone } else { Step::Release }))
        }
        Question::Unconfirmed(object) => {
            Reply::Fence(plan::unconfirmed_fence(&object_to(&object)).map(|time| begun(time).id))
        }
        Question::Fence(object, claim, kind, attempt) => {
            Reply::Object(fence(core, object, claim, kind, attempt))
        }
        Question::Applied(object, attempt, version, value) => {
            let secrets = [read(object.spec.secret, version)];
            let object_ = object_to(&object);
            let fingerprint = applied_fingerprint(object.uid, Some(attempt.begun.id), value);
            let applied = outcome::applied(
                &object_,
                &attempt_to(&attempt),
                &spec(&object.spec),
                &secrets,
                Some(fingerprint),
                core.now(0),
            );
            Reply::Applied(applied_from(&applied))
        }
        Question::Moved(now, fenced, claiming, attempt) => Reply::Moved(outcome::moved(
            Some(&object_to(&now)),
            &object_to(&fenced),
            claiming,
            &attempt_to(&attempt),
        )),
        Question::Doubt(object, attempt, id) => {
            let text = format!("u{}.{id}", object.uid);
            let (applied, owed) =
                outcome::doubt(&object_to(&object), &attempt_to(&attempt), text, core.now(id));
            Reply::Doubt(applied_from(&applied), attempt_from(&owed))
        }
        Question::Failed(object, claim, answer) => {
            let failure = failure(answer).unwrap_or_else(|| Failure::known(FailureKind::Unavailable, ""));
            let failed = outcome::failed(&object_to(&object), claiming(claim), &failure);
            Reply::Failed(Failed {
                reason: failed.reason,
                for_good: failed.for_good,
                release: failed.release.is_some(),
            })
        }
        Question::Deletion(object, id) => {
            let text = format!("u{}.{id}", object.uid);
            Reply::Attempt(attempt_from(&outcome::deletion(&object_to(&object), text, core.now(id))))
        }
        Question::Deleted(object, deleted) => {
            let deleted = deleted.map(|id| format!("u{}.{id}", object.uid));
            Reply::Yes(outcome::is_deleted(&object_to(&object), deleted.as_deref()))
        }
        Question::Competes(object, entry, refused) => {
            let spec = spec(&object.spec);
            Reply::Yes(conflict::competes(&Stance {
                management: spec.management,
                adoption: spec.adoption,
                idle: spec.suspend || object.deleting,
                leaves_alone: plan::deletion_without_atlas(&object_to(&object), false).is_some(),
                applied: applies(&object),
                claimed: is_proven(&object),
                refused,
                entry,
            }))
        }
        Question::Quiet(object, listing, version) => {
            let quiet = quiet::quiet(&object_to(&object));
            Reply::Yes(quiet.is_some_and(|quiet| {
                let same = [read(object.spec.secret, version)];
                let secrets = object.spec.observe || quiet.secrets == AppliedSecret::digest(&same);
                secrets && listing.is_some_and(|listing| redacted(listing).digest() == quiet.echo)
            }))
        }
        Question::IsApplied(object, changed) => {
            let (wanted, object) = (spec(&object.spec), object_to(&object));
            let secrets = quiet::are_secrets_applied(&object, since(changed));
            Reply::Yes(quiet::is_applied(&object, &wanted) && secrets)
        }
        Question::Evidence(object, entry) => {
            let attempt = object.attempt.filter(|attempt| claims(&object) && attempt.uid == object.uid);
            let sent = attempt.filter(|_| !object.released).and_then(|attempt| attempt.sent);
            let entry = redacted(entry);
            Reply::Yes(sent.is_some_and(|sent| domain::agrees(&redacted(sent), &entry)))
        }
    }
}

fn claiming(claim: Option<bool>) -> Claiming {
    match claim {
        None => Claiming::Already,
        Some(false) => Claiming::Fresh,
        Some(true) => Claiming::ByConsent,
    }
}

fn since(changed: bool) -> SecretsSince {
    if changed { SecretsSince::Changed } else { SecretsSince::Same }
}

fn fence(core: Core, object: Object, claim: Option<bool>, kind: Kind, attempt: Attempt) -> Object {
    let mut after = object;
    match outcome::fence(&object_to(&object), claiming(claim), write(kind), &attempt_to(&attempt)) {
        Fence::Claim { status, claim } => {
            after.applied = status.applied.as_ref().map(applied_from);
            after.attempt = status.attempt.as_ref().map(attempt_from);
            after.claim = Some(claim_from(&claim));
            (after.finalizer, after.released) = (true, false);
            if core.lacks(Mutant::ConsentForgotten) {
                after.applied = None;
            }
        }
        Fence::Attempt => after.attempt = Some(attempt),
        Fence::Proof(status) => {
            after.attempt = status.attempt.as_ref().map(attempt_from);
            if !core.lacks(Mutant::ProofNotKept) {
                after.applied = status.applied.as_ref().map(applied_from);
            }
        }
    }
    after
}

fn plan(core: Core, mut object: Object, sight: Sight) -> Step {
    let own_claim = claims(&object);
    match core.mutant {
        Some(Mutant::UnconfirmedIsDone) => {
            if let (Some(applied), Some(attempt)) = (&mut object.applied, object.attempt)
                && applied.what.is_some()
            {
                applied.attempt = Some(attempt.begun.id);
            }
        }
        Some(Mutant::WishInsteadOfSent) => {
            if let Some(attempt) = &mut object.attempt {
                attempt.sent = Some(Form { visible: object.spec.visible, id: 0 });
            }
        }
        Some(Mutant::LostAnswerProves) if is_proven(&object) && sight.listing.is_some() => {
            let (uid, nothing) = (object.uid, (None, None, None));
            let (attempt, what, fingerprint) = nothing;
            object.applied = object.applied.or(Some(Applied { uid, attempt, what, fingerprint }));
        }
        Some(Mutant::FasterIsOurs) => {
            // As if another write had been begun since the claim's own.
            if let Some(claim) = &mut object.claim {
                claim.begun.id = 0;
            }
        }
        Some(Mutant::SentIsWritten)
            if sight.confirmed.is_some_and(|(_, value)| value == sight.secret.value) =>
        {
            if let (Some(applied), Some(attempt)) = (&mut object.applied, object.attempt) {
                applied.attempt = Some(attempt.begun.id);
            }
        }
        Some(Mutant::FingerprintOutlivesAttempt) => {
            if let (Some(applied), Some(attempt)) = (&mut object.applied, object.attempt)
                && applied.fingerprint == Some(sight.secret.value)
            {
                applied.attempt = Some(attempt.begun.id);
            }
        }
        Some(Mutant::IdIsNoDrift) => {
            if let (Some(echo), Some(listing)) = (&mut object.echo, sight.listing) {
                echo.id = listing.id;
            }
        }
        _ => {}
    }
    let real = object_to(&object);
    let spec = spec(&object.spec);
    let same = |applied: Applied| {
        applied
            .what
            .is_some_and(|what| (what.secret, what.version) == (object.spec.secret, sight.secret.version))
    };
    let known = sight.outcome_known.map(|id| {
        let fences = [object.attempt.map(|attempt| attempt.begun), object.claim.map(|claim| claim.begun)];
        at(fences
            .into_iter()
            .flatten()
            .find(|begun| begun.id == id)
            .unwrap_or(Begun { id, clock: core.clock }))
    });
    let outcome_known = outcome::is_outcome_known(&real, known);
    let waited = match plan::unconfirmed_fence(&real).map(|time| begun(time).clock) {
        Some(Clock::Behind) if core.lacks(Mutant::PastBelieved) => true,
        Some(Clock::Ahead) if core.lacks(Mutant::FutureWaitedFor) => false,
        _ => sight.waited,
    };
    let entry = sight.listing.map(redacted);
    let input = Input {
        object: &real,
        spec: &spec,
        entry: entry.as_ref(),
        secrets: since(!object.applied.is_some_and(same)),
        owner: sight.owned.then_some(&Owner::Elsewhere),
        outcome_known,
        landing_limit: if core.lacks(Mutant::NoWait) { Duration::ZERO } else { LANDING_LIMIT },
        crd_terminating: false,
        seen_for: if waited { LANDING_LIMIT } else { Duration::ZERO },
    };
    let planned = plan::plan(&input).plan;
    match planned {
        Plan::Release { .. }
            if core.lacks(Mutant::DeleteUnproved)
                && object.deleting
                && own_claim
                && entry.is_some()
                && !sight.owned
                && plan::deletion_without_atlas(&real, false).is_none() =>
        {
            Step::Delete
        }
        Plan::Write { .. } if core.lacks(Mutant::Generation) && object.said.is_some() && !object.edited => {
            Step::Settled(Reason::Synced)
        }
        Plan::Gone => Step::Gone,
        Plan::Settled { reason, .. } => Step::Settled(reason),
        Plan::Wait => Step::Wait,
        Plan::Claim { adopted, write } => Step::Claim { adopted, kind: kind(write) },
        Plan::RestoreClaim => Step::Restore(claim_from(&outcome::restored_claim(&real, core.now(FRESH)))),
        Plan::Write { write, why } => {
            let why = due_once_read(core, &real, &why, &object, sight);
            Step::Write { kind: kind(write), identities: why.is_empty(), repair: why.only_drift() }
        }
        Plan::Delete => Step::Delete,
        Plan::Release { .. } => Step::Release,
    }
}

fn due_once_read(core: Core, real: &domain::Object, why: &Why, object: &Object, sight: Sight) -> Why {
    let secrets = [read(object.spec.secret, sight.secret.version)];
    let last = object.applied.and_then(|applied| applied.attempt).unwrap_or(0);
    let confirmed = sight.confirmed.map(|(id, value)| {
        let outlives = core.lacks(Mutant::ValueOutlivesAttempt) || core.lacks(Mutant::SentIsWritten);
        let id = if outlives { last } else { id };
        fingerprint(value).carried_by(&format!("u{}.{id}", object.uid))
    });
    let value = sight.secret.value;
    let attempt = object.applied.and_then(|applied| applied.attempt);
    let as_applied = Some(applied_fingerprint(object.uid, attempt, value));
    let as_applied = as_applied.filter(|_| attempt.is_some() && !core.lacks(Mutant::NoFingerprint));
    let read = Read { secrets: &secrets, fingerprint: fingerprint(value), as_applied };
    outcome::due_once_read(real, why, &read, confirmed)
}

/// A number that no fence and no entry of a state has; the state is numbered anew before another is given.
pub const FRESH: u8 = 100;

/// Whether Atlas refuses this setting.
pub fn is_refused(visible: u8) -> bool {
    visible == REFUSED
}

/// Nothing remembered of an object.
pub fn blank(uid: Uid) -> Memory {
    Memory { uid, ..Memory::default() }
}
