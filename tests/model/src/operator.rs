//! An operator's pass, step by step, after `src/engine`: what is decided comes from [`Core`], what happens between two
//! decisions from here. A pass plans from what its operator's index shows, perhaps since before the LIST. Where the object
//! has changed since, each write that the plan asks for fails at the API server and changes nothing. A pass that reads the
//! object is one whose watch shows it just before the step. The test `engine` holds this copy against the engine, request
//! by request.

use atlas_integration_operator::core::outcome::Moved;
use atlas_integration_operator::core::pacing;
use atlas_integration_operator::domain::{Prospect, Reason};

use crate::mutant::Mutant;
use crate::real::{self, Core, FRESH, Sight, Step, applies, claims};
use crate::requests::{self, Request};
use crate::state::{
    Answer, Attempt, Begun, Call, Confirmed, Entry, Form, Kind, Memory, OUTSIDE, Object, Operator, Pass,
    Pending, Secret, Spec, State, Uid, Wrong,
};

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It arrives, and so does the answer.
    Answered,
    /// It never arrives, and nobody knows.
    Lost,
    /// It arrives, and nobody knows.
    AnswerLost,
    /// It arrives some time within the landing limit, and nobody knows.
    Late,
    /// Atlas limits the rate.
    Limited,
}

/// Drives operators.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    /// The decisions.
    pub core: Core,
    /// Whether indexes lag; else they always show what is.
    pub lag: bool,
    /// Whether there is one operator only.
    pub alone: bool,
}

impl Engine {
    /// The object as the operator's index has it.
    fn known(self, state: &State, op: usize, slot: usize) -> Option<Object> {
        if self.lag { state.operators[op].view[slot] } else { state.objects[slot] }
    }

    /// The watch, or a read, shows an operator what is.
    pub fn see(self, state: &mut State, op: usize, slot: usize) {
        if self.lag {
            state.operators[op].view[slot] = state.objects[slot];
        }
    }

    /// What an own write returned.
    fn wrote(self, state: &mut State, op: usize, slot: usize) {
        if !self.core.lacks(Mutant::OwnWritesUnseen) {
            self.see(state, op, slot);
        }
    }

    /// What an operator remembers of an object; of another in the same slot it remembers nothing.
    fn memory(state: &mut State, op: usize, slot: usize, uid: Uid) -> &mut Memory {
        let memory = &mut state.operators[op].memory[slot];
        if memory.uid != uid {
            *memory = real::blank(uid);
        }
        memory
    }

    /// A pass begins: LIST, and who owns the place.
    pub fn list(self, state: &mut State, op: usize, busy: [bool; 2]) {
        let listing = state.entry.map(|entry| Form { visible: entry.visible, id: entry.id });
        let known = [self.known(state, op, 0), self.known(state, op, 1)];
        let alone = |object: &Object| {
            self.core.without_atlas(object).is_some() || (object.spec.suspend && !object.deleting)
        };
        let owner = self.core.owner([0, 1].map(|slot| {
            let object = known[slot]?;
            let entry = (!alone(&object)).then_some(listing.is_some());
            let memory = state.operators[op].memory[slot];
            let what = Self::wanted(state, &object);
            Some((object, entry, memory.uid == object.uid && memory.refused == Some(what)))
        }));
        let mut todo = known.map(|known| known.map(|object| (object.uid, alone(&object))));
        for (todo, busy) in todo.iter_mut().zip(busy) {
            *todo = todo.filter(|_| busy);
        }
        let waited = state.operators[op].memory.map(|memory| memory.seen.is_some_and(|(_, passed)| passed));
        state.operators[op].pass = Some(Pass { listing, waited, owner, todo, raced: false, pending: None });
    }

    /// Whether the pass would pass the object over, since it is quiet and its index shows nothing else.
    pub fn is_quiet(self, state: &State, op: usize, slot: usize, owner: Option<Uid>) -> bool {
        let listing = state.entry.map(|entry| Form { visible: entry.visible, id: entry.id });
        self.known(state, op, slot).is_some_and(|object| {
            let secret = state.secrets[usize::from(object.spec.secret)];
            owner.is_none_or(|owner| owner == object.uid)
                && self.core.is_quiet(&object, listing, secret.version)
        })
    }

    /// What an object asks for.
    fn wanted(state: &State, object: &Object) -> Confirmed {
        let Spec { visible, secret, .. } = object.spec;
        Confirmed { visible, secret, version: state.secrets[usize::from(secret)].version }
    }

    /// The object is done with in this pass.
    fn done(state: &mut State, op: usize, slot: usize) {
        if let Some(pass) = &mut state.operators[op].pass {
            pass.todo[slot] = None;
            pass.pending = None;
            if pass.todo == [None, None] {
                state.operators[op].pass = None;
            }
        }
    }

    /// Whether an object has changed since an operator saw it like this, so that no write from this view succeeds.
    fn is_stale(self, state: &State, slot: usize, view: &Object) -> bool {
        let unfenced = self.core.lacks(Mutant::NoFence);
        !unfenced && state.objects[slot].is_none_or(|now| real::bare(&now) != real::bare(view))
    }

    /// One step for an object of the pass: plan, and what follows up to a call to Atlas.
    pub fn step(self, state: &mut State, op: usize, slot: usize) {
        let Some(pass) = state.operators[op].pass else { return };
        let Some((uid, alone)) = pass.todo[slot] else { return };
        let Some(object) = self.known(state, op, slot).filter(|object| object.uid == uid) else {
            return Self::done(state, op, slot);
        };
        let stale = self.is_stale(state, slot, &object);
        if alone && stale {
            return Self::done(state, op, slot);
        }
        // The same object, with what only properties look at as it is now.
        let object = match state.objects[slot] {
            Some(now) if real::bare(&now) == real::bare(&object) => now,
            _ => object,
        };
        if alone {
            return self.without_atlas(state, op, slot, object);
        }
        if object.spec.suspend && !object.deleting {
            return Self::done(state, op, slot);
        }
        let waited = self.waited(state, op, slot, &object);
        let memory = *Self::memory(state, op, slot, uid);
        let secret = state.secrets[usize::from(object.spec.secret)];
        let sight = Sight {
            listing: pass.listing,
            waited,
            owned: pass.owner.is_some_and(|owner| owner != uid),
            secret,
            outcome_known: memory.outcome_known,
            confirmed: memory.confirmed,
        };
        match self.core.plan(&object, sight) {
            Step::Claim { adopted, kind } => self.begin(state, op, slot, object, Some(adopted), kind, false),
            Step::Write { kind, repair, identities: false } => {
                self.begin(state, op, slot, object, None, kind, repair);
            }
            _ if stale => Self::done(state, op, slot),
            Step::Gone => Self::done(state, op, slot),
            Step::Settled(reason) => {
                let shown =
                    matches!(reason, Reason::Synced | Reason::Observed).then_some(pass.listing).flatten();
                self.say(state, op, slot, reason, Some(shown), |_| {});
                Self::done(state, op, slot);
            }
            Step::Wait => {
                let good = object.said.is_none_or(|reason| reason.prospect() == Prospect::Good);
                if good || object.edited {
                    self.say(state, op, slot, Reason::AtlasUnavailable, None, |_| {});
                }
                Self::done(state, op, slot);
            }
            Step::Restore(claim) => {
                self.write(state, op, slot, |object| {
                    (object.claim, object.finalizer, object.released) = (Some(claim), true, false);
                });
            }
            Step::Release => {
                self.release(state, op, slot);
                if object.deleting {
                    Self::done(state, op, slot);
                }
            }
            Step::Delete => self.delete(state, op, slot, object, memory),
            Step::Write { .. } => {
                let Secret { version, value } = secret;
                self.say(state, op, slot, Reason::Synced, Some(pass.listing), |object| {
                    let Some(applied) = object.applied.as_mut() else { return };
                    applied.fingerprint = applied.attempt.map(|_| value);
                    if let Some(what) = &mut applied.what {
                        (what.secret, what.version) = (object.spec.secret, version);
                    }
                });
                let attempt = object.applied.and_then(|applied| applied.attempt);
                Self::memory(state, op, slot, uid).confirmed = attempt.map(|id| (id, value));
                Self::done(state, op, slot);
            }
        }
    }

    /// Notes an unconfirmed fence. Says whether the landing limit had passed at the LIST of the pass since the operator
    /// first saw that fence.
    fn waited(self, state: &mut State, op: usize, slot: usize, object: &Object) -> bool {
        let fence = self.core.unconfirmed(object);
        let memory = Self::memory(state, op, slot, object.uid);
        let known = memory.seen.filter(|(id, _)| fence == Some(*id));
        memory.seen = known.or(fence.map(|id| (id, false)));
        let passed = memory.seen.is_some_and(|(_, passed)| passed);
        if self.core.lacks(Mutant::OldList) {
            return passed;
        }
        let Some(pass) = &mut state.operators[op].pass else { return false };
        pass.waited[slot] &= known.is_some();
        pass.waited[slot]
    }

    fn without_atlas(self, state: &mut State, op: usize, slot: usize, object: Object) {
        match self.core.without_atlas(&object) {
            Some(Step::Release) => self.release(state, op, slot),
            Some(_) => {}
            None if object.spec.suspend => {
                let secret = state.secrets[usize::from(object.spec.secret)];
                let what = object.applied.and_then(|applied| applied.what);
                let changed = what
                    .is_none_or(|what| (what.secret, what.version) != (object.spec.secret, secret.version));
                let current = self.core.is_applied(&object, changed);
                let reason = if current { Reason::Synced } else { Reason::Suspended };
                self.say(state, op, slot, reason, None, |object| object.said_suspended = true);
            }
            None => {}
        }
        Self::done(state, op, slot);
    }

    /// A POST or PUT: the refusals that are remembered, the pace of repairs, the fence.
    #[allow(clippy::too_many_arguments)]
    fn begin(
        self,
        state: &mut State,
        op: usize,
        slot: usize,
        object: Object,
        claim: Option<bool>,
        kind: Kind,
        repair: bool,
    ) {
        let Some(pass) = state.operators[op].pass else { return };
        let secret = state.secrets[usize::from(object.spec.secret)];
        let Spec { visible, .. } = object.spec;
        let what = Self::wanted(state, &object);
        let Memory { refuted, .. } = *Self::memory(state, op, slot, object.uid);
        let stale = self.is_stale(state, slot, &object);
        let memory = Self::memory(state, op, slot, object.uid);
        if memory.refused == Some(what) {
            if !stale {
                self.say(state, op, slot, Reason::Rejected, None, |_| {});
            }
            return Self::done(state, op, slot);
        }
        memory.refused = None;
        if repair {
            let wait = pacing::repair_wait(u32::from(memory.repairs));
            if !wait.is_zero() && !self.core.lacks(Mutant::RepairsAtOnce) {
                if !stale {
                    self.say(state, op, slot, Reason::Synced, None, |_| {});
                }
                return Self::done(state, op, slot);
            }
            memory.repairs = (memory.repairs + 1).min(8);
        }
        if stale {
            return Self::done(state, op, slot);
        }
        let may = self.may(&object, pass.listing, refuted);
        let sent = Some(Form { visible, id: 0 });
        let attempt = Attempt { uid: object.uid, begun: Begun { id: FRESH, clock: self.core.clock }, sent };
        let claim = claim.filter(|_| !self.core.lacks(Mutant::NoClaim));
        self.fence(state, op, slot, |object| self.core.fence(object, claim, kind, attempt));
        if claim == Some(true) {
            self.truth(state, slot, |object| object.truth.consented = true);
        }
        if claim.is_some() {
            self.truth(state, slot, |object| object.truth.landed = false);
        }
        let fenced = state.objects[slot].filter(|now| now.uid == object.uid).unwrap_or(object);
        if may && claim.is_none() && kind == Kind::Put {
            // What could not be told from its own is taken for its own from here on.
            self.truth(state, slot, |now| now.truth.landed |= now.uid == object.uid);
        }
        let call = Call {
            uid: object.uid,
            kind,
            visible,
            value: secret.value,
            may: may || claim == Some(true),
            raced: pass.raced,
        };
        Self::wrong(state, Wrong::Unclaimed, !claims(&fenced));
        Self::wrong(state, Wrong::Observed, object.spec.observe);
        Self::wrong(state, Wrong::Needless, self.is_needless(state, &object, pass.listing, call));
        let other = state.objects[1 - slot];
        let held = other.is_some_and(|other| other.truth.landed && applies(&other));
        let active =
            other.is_some_and(|other| !other.spec.observe && self.core.without_atlas(&other).is_none());
        Self::wrong(state, Wrong::TwoOwners, self.alone && claim.is_some() && held && active);
        let memory = Self::memory(state, op, slot, object.uid);
        memory.refuted = false;
        memory.seen = Some((FRESH, false));
        memory.confirmed = self.core.lacks(Mutant::SentIsWritten).then_some((FRESH, secret.value));
        if self.core.lacks(Mutant::AppliedFirst) {
            let applied = self.core.applied(&object, attempt, secret.version, secret.value);
            self.write(state, op, slot, |object| {
                object.applied = Some(applied);
                object.attempt = Some(attempt);
            });
        }
        let fenced = state.objects[slot].and_then(|object| own_attempt(&object));
        let read = (object.spec.secret, secret.version);
        self.pending(state, op, slot, Pending { claim, read, ..Pending::new(slot, call, attempt, fenced) });
    }

    fn delete(self, state: &mut State, op: usize, slot: usize, object: Object, memory: Memory) {
        let Some(pass) = state.operators[op].pass else { return };
        if self.core.is_deleted(&object, memory.deleted) {
            self.release(state, op, slot);
            return Self::done(state, op, slot);
        }
        let attempt = self.core.deletion(&object, FRESH);
        let repeated = memory.deleted.is_some()
            && memory.deleted == object.attempt.filter(|_| !object.released).map(|attempt| attempt.begun.id);
        self.fence(state, op, slot, |object| Object { attempt: Some(attempt), ..*object });
        let fenced = state.objects[slot].filter(|now| now.uid == object.uid).unwrap_or(object);
        let call = Call {
            uid: object.uid,
            kind: Kind::Delete,
            visible: 0,
            value: 0,
            may: self.may(&object, pass.listing, memory.refuted) && !repeated,
            raced: pass.raced && !repeated,
        };
        Self::wrong(state, Wrong::Unclaimed, !fenced.finalizer);
        Self::wrong(state, Wrong::Observed, object.spec.observe);
        let memory = Self::memory(state, op, slot, object.uid);
        (memory.confirmed, memory.seen) = (None, Some((FRESH, false)));
        if self.core.lacks(Mutant::FinalizerFirst) {
            self.let_go(state, slot, false);
        }
        self.pending(state, op, slot, Pending::new(slot, call, attempt, own_attempt(&fenced)));
    }

    /// Whether a write changes nothing, which the operator can know: the last begun write was confirmed, asked for the
    /// same, and LIST shows the integration as it was then.
    fn is_needless(self, state: &State, object: &Object, listing: Option<Form>, call: Call) -> bool {
        let Some((applied, entry)) = object.applied.zip(state.entry) else { return false };
        let confirmed = applies(object)
            && claims(object)
            && applied.attempt.is_some()
            && applied.attempt == own_attempt(object).map(|attempt| attempt.begun.id)
            && applied
                .what
                .is_some_and(|what| (what.visible, what.secret) == (object.spec.visible, object.spec.secret));
        let shown = Some(Form { visible: entry.visible, id: entry.id });
        let undisturbed = object.echo == shown && listing == shown;
        confirmed && undisturbed && (entry.visible, entry.value) == (call.visible, call.value)
    }

    /// Whether an object may change what others wrote.
    fn may(self, object: &Object, listing: Option<Form>, refuted: bool) -> bool {
        let first = own_attempt(object)
            .zip(object.claim)
            .is_some_and(|(attempt, claim)| attempt.begun.id == claim.begun.id);
        let twin = !(refuted && first) && listing.is_some_and(|listing| self.core.evidence(object, listing));
        object.truth.landed || object.truth.consented || twin
    }

    fn pending(self, state: &mut State, op: usize, slot: usize, pending: Pending) {
        self.wrote(state, op, slot);
        if let Some(pass) = &mut state.operators[op].pass {
            pass.pending = Some(pending);
        }
    }

    /// The write to the API server before a call.
    fn fence(self, state: &mut State, op: usize, slot: usize, fence: impl Fn(&Object) -> Object) {
        if self.core.lacks(Mutant::NoFence) && state.objects[slot].is_none_or(|object| claims(&object)) {
            return;
        }
        if self.core.lacks(Mutant::FenceMovesNothing) {
            // The claim, which has to be there, moves the object all the same.
            if let Some(object) = &mut state.objects[slot] {
                let after = fence(object);
                if after.claim != object.claim {
                    *object = Object { attempt: object.attempt, ..after };
                }
            }
            return;
        }
        // The status that proves a claim goes first, with a write of its own.
        self.write(state, op, slot, |object| {
            let after = fence(object);
            if after.claim != object.claim {
                (object.applied, object.attempt) = (after.applied, after.attempt);
            }
        });
        self.write(state, op, slot, |object| *object = fence(object));
    }

    /// The call leaves.
    pub fn send(self, state: &mut State, op: usize, fate: Fate) {
        let Some(Pending { mut call, .. }) = pending(state, op) else { return };
        call.raced |= state.operators[op].pass.is_some_and(|pass| pass.raced);
        requests::note(state, Request::Call(call));
        let answer = match fate {
            Fate::Answered => land(state, call),
            Fate::Lost => Answer::Lost,
            Fate::AnswerLost => {
                let _ = land(state, call);
                Answer::Lost
            }
            Fate::Late => {
                Self::on_its_way(state, call);
                Answer::Lost
            }
            Fate::Limited => Answer::Limited,
        };
        if let Some(pass) = &mut state.operators[op].pass
            && let Some(pending) = &mut pass.pending
        {
            pending.answer = Some(answer);
        }
    }

    /// A call that nobody waits for any more.
    pub fn on_its_way(state: &mut State, call: Call) {
        if let Some(place) = state.late.iter_mut().find(|place| place.is_none()) {
            *place = Some(call);
        }
    }

    /// The operator takes an answer up.
    pub fn finish(self, state: &mut State, op: usize) {
        let Some(pending) = pending(state, op) else { return };
        let Some(answer) = pending.answer else { return };
        let slot = usize::from(pending.slot);
        self.learn(state, op, pending, answer);
        if pending.call.kind == Kind::Delete {
            self.deleted(state, op, slot, pending, answer);
        } else if let Answer::Done { id } = answer {
            self.confirm(state, op, slot, pending, id);
        } else {
            self.fail(state, op, slot, pending, answer);
        }
        // A pass may have ended with a release already.
        Self::done(state, op, slot);
    }

    /// What is remembered of an answer before anything is stored.
    fn learn(self, state: &mut State, op: usize, pending: Pending, answer: Answer) {
        let begun = Some(pending.attempt.begun.id);
        let done = matches!(answer, Answer::Done { .. });
        let delete = pending.call.kind == Kind::Delete;
        let memory = Self::memory(state, op, usize::from(pending.slot), pending.attempt.uid);
        if delete && (done || self.core.nothing_to_delete(answer)) {
            memory.deleted = begun;
        }
        if answer != Answer::Lost && (delete || !done) {
            memory.outcome_known = begun;
            memory.refuted |= pending.claim == Some(false);
        }
        if answer == Answer::Rejected && !delete {
            let (secret, version) = pending.read;
            memory.refused = Some(Confirmed { visible: pending.call.visible, secret, version });
        }
    }

    /// The API server fails: what was to be sent, or stored, is not.
    pub fn give_up(self, state: &mut State, op: usize) {
        let Some(pending) = pending(state, op) else { return };
        match pending.answer {
            Some(answer) => self.learn(state, op, pending, answer),
            // Nothing is sent after a claim that failed.
            None if pending.claim.is_some() => {
                let memory = Self::memory(state, op, usize::from(pending.slot), pending.attempt.uid);
                memory.outcome_known = Some(pending.attempt.begun.id);
                memory.refuted |= pending.claim == Some(false);
            }
            None => {}
        }
        Self::done(state, op, usize::from(pending.slot));
    }

    fn confirm(self, state: &mut State, op: usize, slot: usize, pending: Pending, id: u8) {
        let uid = pending.attempt.uid;
        let Some(now) = state.objects[slot].filter(|now| now.uid == uid) else { return };
        let spec = Spec { visible: pending.call.visible, secret: pending.read.0, ..now.spec };
        let (version, value) = (pending.read.1, pending.call.value);
        let applied = self.core.applied(&Object { spec, ..now }, pending.attempt, version, value);
        let fenced = Object { attempt: pending.fenced, released: false, ..Object::new(uid, now.spec) };
        let moved = if pending.unmoved {
            Moved::Again
        } else {
            self.core.moved(&now, &fenced, pending.claim.is_some(), pending.attempt)
        };
        let again = moved == Moved::Again;
        let (applied, attempt) = match moved {
            Moved::Gone => return,
            Moved::Again => (applied, pending.attempt),
            Moved::Doubt if self.core.lacks(Mutant::ProofTakenBack) => {
                return self.write(state, op, slot, |object| object.applied = None);
            }
            Moved::Doubt => self.core.doubt(&now, pending.attempt, FRESH),
        };
        let reason = if again { Reason::Synced } else { Reason::AtlasUnavailable };
        let echo = again.then_some(Some(Form { visible: pending.call.visible, id }));
        self.say(state, op, slot, reason, echo, |object| {
            (object.applied, object.attempt) = (Some(applied), Some(attempt));
            object.edited = again && !pending.unedited;
        });
        if again {
            let memory = Self::memory(state, op, slot, uid);
            let confirmed = Some((pending.attempt.begun.id, pending.call.value));
            *memory = Memory { confirmed, repairs: memory.repairs, ..real::blank(uid) };
        }
    }

    fn fail(self, state: &mut State, op: usize, slot: usize, pending: Pending, answer: Answer) {
        let uid = pending.attempt.uid;
        let fenced = state.objects[slot].filter(|object| object.uid == uid && pending.unmoved);
        // Where the object moved, neither release nor status is taken.
        let Some(fenced) = fenced else { return };
        let failed = self.core.failed(&fenced, pending.claim, answer);
        if failed.release {
            self.truth(state, slot, |object| object.truth.consented = false);
            self.release(state, op, slot);
        }
        self.say(state, op, slot, failed.reason, None, |_| {});
    }

    fn deleted(self, state: &mut State, op: usize, slot: usize, pending: Pending, answer: Answer) {
        let uid = pending.attempt.uid;
        let confirmed = matches!(answer, Answer::Done { .. }) || self.core.nothing_to_delete(answer);
        if state.objects[slot].is_none_or(|object| object.uid != uid) {
            return;
        }
        if confirmed {
            self.release(state, op, slot);
        } else if pending.unmoved {
            let reason =
                if answer == Answer::Limited { Reason::RateLimited } else { Reason::AtlasUnavailable };
            self.say(state, op, slot, reason, None, |_| {});
        }
    }

    /// A verdict is stored, and with it whatever else `more` changes; what is not the object's own is not carried on.
    fn say(
        self,
        state: &mut State,
        op: usize,
        slot: usize,
        reason: Reason,
        echo: Option<Option<Form>>,
        more: impl FnOnce(&mut Object),
    ) {
        let core = self.core;
        self.write(state, op, slot, |object| {
            let seen = core.seen(object);
            object.applied = seen.applied.filter(|_| applies(&seen));
            object.attempt = own_attempt(&seen);
            object.said = Some(reason);
            object.said_suspended = false;
            object.edited = false;
            if let Some(echo) = echo {
                object.echo = echo;
            }
            more(object);
        });
    }

    fn release(self, state: &mut State, op: usize, slot: usize) {
        let Some(object) = state.objects[slot] else { return };
        let Spec { observe, retain, suspend, .. } = object.spec;
        self.let_go(state, slot, observe || (object.deleting && (retain || suspend)));
        let memory = Self::memory(state, op, slot, object.uid);
        *memory = Memory { refused: memory.refused, ..real::blank(object.uid) };
        self.wrote(state, op, slot);
    }

    /// Finalizer and claim go. By policy the integration is left to nobody; a call on its way is, too.
    fn let_go(self, state: &mut State, slot: usize, policy: bool) {
        let Some(object) = state.objects[slot] else { return };
        if policy {
            disown(state, object.uid);
        }
        moved(state, slot);
        if object.deleting {
            state.objects[slot] = None;
            return requests::note(state, Request::Write { slot, before: object });
        }
        self.truth(state, slot, |object| {
            object.truth.landed = false;
            object.truth.consented &= !policy;
        });
        if let Some(object) = &mut state.objects[slot] {
            (object.claim, object.finalizer, object.released) = (None, false, true);
        }
        requests::note(state, Request::Write { slot, before: object });
    }

    /// A write of the operator to the API server.
    fn write(self, state: &mut State, op: usize, slot: usize, change: impl FnOnce(&mut Object)) {
        let Some(object) = &mut state.objects[slot] else { return };
        let before = *object;
        change(object);
        if *object != before {
            moved(state, slot);
            requests::note(state, Request::Write { slot, before });
        }
        self.wrote(state, op, slot);
    }

    fn truth(self, state: &mut State, slot: usize, change: impl FnOnce(&mut Object)) {
        if let Some(object) = &mut state.objects[slot] {
            change(object);
        }
    }

    fn wrong(state: &mut State, wrong: Wrong, is: bool) {
        if is {
            state.wrong.get_or_insert(wrong);
        }
    }

    /// A crash: all that was remembered is gone; the first list of the next life shows what is.
    pub fn crash(self, state: &mut State, op: usize) {
        let view = if self.lag { state.objects } else { [None; 2] };
        state.operators[op] = Operator { view, memory: [Memory::default(); 2], pass: None };
    }
}

/// The write under way.
pub fn pending(state: &State, op: usize) -> Option<Pending> {
    state.operators[op].pass.and_then(|pass| pass.pending)
}

fn own_attempt(object: &Object) -> Option<Attempt> {
    object.attempt.filter(|attempt| attempt.uid == object.uid && !object.released)
}

/// The object has another resourceVersion now.
pub fn moved(state: &mut State, slot: usize) {
    for operator in &mut state.operators {
        if let Some(pending) = operator.pass.as_mut().and_then(|pass| pass.pending.as_mut())
            && usize::from(pending.slot) == slot
        {
            pending.unmoved = false;
        }
    }
}

/// What an object wrote, or still writes, is nobody's from now on, as its policies or its users want it.
pub fn disown(state: &mut State, uid: Uid) {
    let calls = state.operators.iter_mut().filter_map(|operator| operator.pass.as_mut()?.pending.as_mut());
    for call in calls.map(|pending| &mut pending.call).chain(state.late.iter_mut().flatten()) {
        if call.uid == uid {
            call.uid = OUTSIDE;
        }
    }
    if let Some(entry) = &mut state.entry
        && entry.author == uid
    {
        entry.author = OUTSIDE;
    }
}

/// Atlas carries a call out.
pub fn land(state: &mut State, call: Call) -> Answer {
    let Call { uid, visible, value, .. } = call;
    if let Some(entry) = state.entry
        && call.kind != Kind::Post
        && entry.author != uid
        && !call.may
        && !call.raced
        && !real::is_refused(visible)
    {
        state.wrong.get_or_insert(Wrong::NotOurs);
    }
    let answer = match (call.kind, state.entry) {
        (Kind::Post, Some(_)) => Answer::AlreadyConfigured,
        (Kind::Put | Kind::Delete, None) => Answer::Gone,
        (Kind::Post | Kind::Put, _) if real::is_refused(visible) => Answer::Rejected,
        (Kind::Post | Kind::Put, _) => {
            state.entry = Some(Entry { visible, value, id: FRESH, author: uid });
            Answer::Done { id: FRESH }
        }
        (Kind::Delete, Some(_)) => {
            state.entry = None;
            Answer::Done { id: 0 }
        }
    };
    if matches!(answer, Answer::Done { .. })
        && let Some(object) = state.objects.iter_mut().flatten().find(|object| object.uid == uid)
        && (object.finalizer || object.claim.is_some())
    {
        object.truth.landed = true;
    }
    answer
}
