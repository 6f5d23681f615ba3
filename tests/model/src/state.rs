//! The world in as few bytes as it takes: small numbers for uids, names, values and times.

use atlas_integration_operator::domain::Reason;

/// uid of an object, from 1. As an author, 0 is somebody outside.
pub type Uid = u8;

/// The author of what no object answers for.
pub const OUTSIDE: Uid = 0;
/// A visible setting that Atlas refuses.
pub const REFUSED: u8 = 7;
/// A visible setting that no object asks for.
pub const FOREIGN: u8 = 9;

/// `spec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// The visible setting.
    pub visible: u8,
    /// Which Secret is referred to.
    pub secret: u8,
    /// `managementPolicy: Observe`.
    pub observe: bool,
    /// `adoptionPolicy: Adopt`.
    pub adopt: bool,
    /// `deletionPolicy: Retain`.
    pub retain: bool,
    /// `suspend`.
    pub suspend: bool,
}

/// The clock of whoever writes a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Clock {
    /// It is right.
    #[default]
    Right,
    /// It is ahead of all others by far more than the landing limit.
    Ahead,
    /// It is behind all others by far more than the landing limit.
    Behind,
}

/// A fence: which one, and by which clock its time was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Begun {
    /// Which one; the numbers are given anew in every state, so that they stay small.
    pub id: u8,
    /// The clock.
    pub clock: Clock,
}

/// A redacted form: the visible setting, and Atlas's id where it is known (else 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    /// The visible setting.
    pub visible: u8,
    /// Atlas's id.
    pub id: u8,
}

/// The claim annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Of which object.
    pub uid: Uid,
    /// When.
    pub begun: Begun,
}

/// What was confirmed: setting, Secret and the Secret's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Confirmed {
    /// The visible setting.
    pub visible: u8,
    /// The Secret.
    pub secret: u8,
    /// Its resourceVersion.
    pub version: u8,
}

/// `status.applied`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Applied {
    /// Of which object.
    pub uid: Uid,
    /// Which attempt.
    pub attempt: Option<u8>,
    /// What; none when only the place is proved.
    pub what: Option<Confirmed>,
    /// The secret value of which the fingerprint is.
    pub fingerprint: Option<u8>,
}

/// `status.attempt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Of which object.
    pub uid: Uid,
    /// Which, and when.
    pub begun: Begun,
    /// What was about to be sent.
    pub sent: Option<Form>,
}

/// What is true of an object and stands nowhere in the cluster; only properties look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    /// A write of the present claim has taken effect.
    pub landed: bool,
    /// The place was claimed with consent, and not given up by policy or refusal since.
    pub consented: bool,
}

/// An object on the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Named as in the API.
pub struct Object {
    pub uid: Uid,
    pub deleting: bool,
    pub finalizer: bool,
    pub released: bool,
    pub spec: Spec,
    pub claim: Option<Claim>,
    pub applied: Option<Applied>,
    pub attempt: Option<Attempt>,
    /// `status.integration`.
    pub echo: Option<Form>,
    /// The reason of Ready.
    pub said: Option<Reason>,
    /// Whether the Suspended condition stands.
    pub said_suspended: bool,
    /// Whether the generation is another than the one the status speaks of.
    pub edited: bool,
    pub truth: Truth,
}

impl Object {
    /// A new object.
    pub fn new(uid: Uid, spec: Spec) -> Object {
        Object {
            uid,
            deleting: false,
            finalizer: false,
            released: false,
            spec,
            claim: None,
            applied: None,
            attempt: None,
            echo: None,
            said: None,
            said_suspended: false,
            edited: true,
            truth: Truth::default(),
        }
    }
}

/// A Secret: its resourceVersion and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Secret {
    /// resourceVersion.
    pub version: u8,
    /// Value.
    pub value: u8,
}

/// What Atlas stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The visible setting.
    pub visible: u8,
    /// The secret value, which nobody is shown.
    pub value: u8,
    /// Atlas's id, another after each write.
    pub id: u8,
    /// Who wrote it last.
    pub author: Uid,
}

/// The three writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Post,
    Put,
    Delete,
}

/// A call to Atlas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// Of which object.
    pub uid: Uid,
    /// What it does.
    pub kind: Kind,
    /// The visible setting.
    pub visible: u8,
    /// The secret value.
    pub value: u8,
    /// Whether the object may change what others wrote: it holds the place, or was given consent, or what its LIST
    /// showed can't be told from its own.
    pub may: bool,
    /// Whether others created an entry since its LIST: a window that can't be closed.
    pub raced: bool,
}

/// Atlas's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Answer {
    Done { id: u8 },
    Lost,
    Limited,
    AlreadyConfigured,
    Gone,
    Rejected,
}

/// A write under way in an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pending {
    /// The object's place in [`State::objects`].
    pub slot: u8,
    /// The call.
    pub call: Call,
    /// The attempt, which is the claim's time where that was the fence.
    pub attempt: Attempt,
    /// The claim, with consent or without, if that was the fence.
    pub claim: Option<bool>,
    /// The attempt that the object had when the fence returned it.
    pub fenced: Option<Attempt>,
    /// Which Secret was read, and its version.
    pub read: (u8, u8),
    /// Whether the object has not moved since the fence.
    pub unmoved: bool,
    /// Whether it was not edited since.
    pub unedited: bool,
    /// The answer, once it is there.
    pub answer: Option<Answer>,
}

impl Pending {
    /// One that begins now, without a claim and without a Secret.
    pub fn new(slot: usize, call: Call, attempt: Attempt, fenced: Option<Attempt>) -> Pending {
        Pending {
            slot: u8::try_from(slot).unwrap_or(0),
            call,
            attempt,
            claim: None,
            fenced,
            read: (0, 0),
            unmoved: true,
            unedited: true,
            answer: None,
        }
    }
}

/// A pass under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pass {
    /// What LIST showed.
    pub listing: Option<Form>,
    /// Whether the landing limit had passed at the LIST since the operator first saw each object's unconfirmed fence.
    pub waited: [bool; 2],
    /// Who owns the place, as the view had it.
    pub owner: Option<Uid>,
    /// Objects still to be looked at: their uids, and whether without Atlas.
    pub todo: [Option<(Uid, bool)>; 2],
    /// Whether others created an entry since.
    pub raced: bool,
    /// The write under way.
    pub pending: Option<Pending>,
}

/// What an operator remembers of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// Of which object.
    pub uid: Uid,
    /// Attempt and value of the last confirmed write.
    pub confirmed: Option<(u8, u8)>,
    /// The fence after which nothing is in doubt.
    pub outcome_known: Option<u8>,
    /// The unconfirmed fence that was seen last, and whether the landing limit has passed since it was first seen.
    pub seen: Option<(u8, bool)>,
    /// The attempt of the confirmed DELETE.
    pub deleted: Option<u8>,
    /// The present claim's own write is known to have had no effect; only properties look at it.
    pub refuted: bool,
    /// What Atlas refused for good.
    pub refused: Option<Confirmed>,
    /// Repairs made.
    pub repairs: u8,
}

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operator {
    /// Its index: the objects as it last saw them.
    pub view: [Option<Object>; 2],
    /// What it remembers.
    pub memory: [Memory; 2],
    /// The pass under way.
    pub pass: Option<Pass>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Acts of users.
    pub user: u8,
    /// Acts of others on Atlas.
    pub outside: u8,
    /// Calls that go wrong.
    pub fault: u8,
    /// Crashes.
    pub crash: u8,
}

/// What must never happen, and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// A call without a claim.
    Unclaimed,
    /// What others wrote was changed or deleted.
    NotOurs,
    /// A call of an observing object.
    Observed,
    /// The place was claimed while another object held it.
    TwoOwners,
    /// A PUT that changes nothing, and costs the integration its id.
    Needless,
}

/// The world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// At most two objects.
    pub objects: [Option<Object>; 2],
    /// Two Secrets.
    pub secrets: [Secret; 2],
    /// Atlas's entry of the one type.
    pub entry: Option<Entry>,
    /// Calls that Atlas may still carry out although nobody waits for them.
    pub late: [Option<Call>; 2],
    /// At most two operators.
    pub operators: [Operator; 2],
    /// What may still happen.
    pub budget: Budget,
    /// The uid of the next object.
    pub next_uid: Uid,
    /// The first thing that must never happen.
    pub wrong: Option<Wrong>,
}

impl State {
    /// Numbers fences and Atlas's ids anew, in the order in which they are met: states that differ in nothing but
    /// these numbers are one.
    pub fn renumber(&mut self) {
        let mut fences = Numbers::new();
        let mut ids = Numbers::new();
        let State { objects, entry, operators, .. } = self;
        for object in objects.iter_mut().flatten() {
            renumber_object(object, &mut fences, &mut ids);
        }
        if let Some(entry) = entry {
            ids.give(&mut entry.id);
        }
        for operator in operators {
            for object in operator.view.iter_mut().flatten() {
                renumber_object(object, &mut fences, &mut ids);
            }
            for memory in &mut operator.memory {
                if let Some((id, _)) = &mut memory.confirmed {
                    fences.give(id);
                }
                if let Some((id, _)) = &mut memory.seen {
                    fences.give(id);
                }
                for id in [&mut memory.outcome_known, &mut memory.deleted].into_iter().flatten() {
                    fences.give(id);
                }
            }
            let Some(pass) = &mut operator.pass else { continue };
            if let Some(listing) = &mut pass.listing {
                ids.give(&mut listing.id);
            }
            let Some(pending) = &mut pass.pending else { continue };
            renumber_attempt(&mut pending.attempt, &mut fences, &mut ids);
            if let Some(fenced) = &mut pending.fenced {
                renumber_attempt(fenced, &mut fences, &mut ids);
            }
            if let Some(Answer::Done { id }) = &mut pending.answer {
                ids.give(id);
            }
        }
    }

    /// The landing limit passes.
    pub fn age(&mut self) {
        for memory in self.operators.iter_mut().flat_map(|operator| &mut operator.memory) {
            if let Some((_, passed)) = &mut memory.seen {
                *passed = true;
            }
        }
    }
}

fn renumber_object(object: &mut Object, fences: &mut Numbers, ids: &mut Numbers) {
    if let Some(claim) = &mut object.claim {
        fences.give(&mut claim.begun.id);
    }
    if let Some(id) = object.applied.as_mut().and_then(|applied| applied.attempt.as_mut()) {
        fences.give(id);
    }
    if let Some(attempt) = &mut object.attempt {
        renumber_attempt(attempt, fences, ids);
    }
    if let Some(echo) = &mut object.echo {
        ids.give(&mut echo.id);
    }
}

fn renumber_attempt(attempt: &mut Attempt, fences: &mut Numbers, ids: &mut Numbers) {
    fences.give(&mut attempt.begun.id);
    if let Some(sent) = &mut attempt.sent {
        ids.give(&mut sent.id);
    }
}

/// Old numbers in the order in which they were met; 0 stays 0.
struct Numbers {
    met: [u8; 48],
    count: u8,
}

impl Numbers {
    fn new() -> Numbers {
        Numbers { met: [0; 48], count: 0 }
    }

    fn give(&mut self, number: &mut u8) {
        if *number == 0 {
            return;
        }
        let known = self.met.iter().take(usize::from(self.count)).position(|met| met == number);
        let at = known.unwrap_or_else(|| {
            self.met[usize::from(self.count)] = *number;
            self.count += 1;
            usize::from(self.count) - 1
        });
        *number = u8::try_from(at + 1).unwrap_or(u8::MAX);
    }
}
