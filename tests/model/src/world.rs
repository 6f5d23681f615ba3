//! Bounded worlds: who acts, what may go wrong, and how often.

use crate::mutant::Mutant;
use crate::operator::{Engine, Fate, disown, land, moved, pending};
use crate::real::{Core, FRESH, applies, claims};
use crate::rest::{self, Rest};
use crate::state::{
    Begun, Budget, Claim, Entry, FOREIGN, Memory, OUTSIDE, Object, Operator, REFUSED, Secret, Spec, State,
    Truth, Wrong,
};
use stateright::{Model, Property};

/// What users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Each is one edit, there or back.
pub enum User {
    Create,
    Delete,
    /// Another visible setting.
    Visible,
    /// A setting that Atlas refuses, and back.
    Refused,
    /// The other Secret is referred to.
    Reference,
    /// The Secret has another value; twice is back.
    Rotate,
    /// The Secret has another version and the same value.
    Touch,
    Observe,
    Adopt,
    Retain,
    Suspend,
    /// Claim and finalizer are taken off an object in sync.
    Strip,
    /// Claim and finalizer are written by hand, and the mark of a release is taken off.
    Forge,
    /// The first object is copied or restored, with claim and status, under another uid.
    Copy,
}

/// What others do in Atlas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outside {
    /// Creates what looks like what the first object asks for.
    CreateTwin,
    /// Creates something else.
    Create,
    /// Writes another secret.
    PutHidden,
    /// Writes another visible setting.
    PutVisible,
    /// Deletes.
    Delete,
}

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Action {
    /// An operator begins a pass with a LIST.
    List { op: usize },
    /// It reads an object, plans, and carries out what comes before a call.
    Step { op: usize, slot: usize },
    /// Its call leaves.
    Send { op: usize, fate: Fate },
    /// It takes the answer up.
    Finish { op: usize },
    /// The API server fails it: what it was about to do, or to store, is not done.
    GiveUp { op: usize },
    /// It is killed; a call that was about to leave may be on its way.
    Crash { op: usize, sent: bool },
    /// The watch shows it an object.
    See { op: usize, slot: usize },
    /// A late call arrives.
    Land { late: usize },
    /// The landing limit passes.
    Tick,
    /// A user acts.
    User { slot: usize, what: User },
    /// Somebody else acts in Atlas.
    Outside { what: Outside },
}

/// How a world begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// New objects.
    Fresh,
    /// The first object in sync.
    Synced,
    /// New objects, and an integration of others that looks otherwise.
    Foreign,
}

/// A bounded world.
#[derive(Clone, Debug)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// How many operators.
    pub operators: usize,
    /// Whether their indexes lag.
    pub lag: bool,
    /// The objects that are there, or may be created.
    pub specs: [Option<Spec>; 2],
    /// Which are there.
    pub present: [bool; 2],
    /// How it begins.
    pub start: Start,
    /// What users do.
    pub user: &'static [User],
    /// What others do.
    pub outside: &'static [Outside],
    /// How calls go wrong.
    pub fates: &'static [Fate],
    /// How often.
    pub budget: Budget,
    /// Whether somebody else writes the integration again after each write of ours.
    pub rival: bool,
    /// The decisions.
    pub core: Core,
}

impl World {
    /// The same world with a rule taken back.
    pub fn without(&self, mutant: Mutant) -> World {
        World { core: Core { mutant: Some(mutant), ..self.core }, ..self.clone() }
    }

    /// What drives its operators.
    pub fn engine(&self) -> Engine {
        Engine { core: self.core, lag: self.lag, alone: self.operators == 1 }
    }

    fn act(&self, state: &mut State, action: Action) {
        let engine = self.engine();
        match action {
            Action::List { op } => engine.list(state, op, [true; 2]),
            Action::Step { op, slot } => engine.step(state, op, slot),
            Action::Send { op, fate } => {
                if fate != Fate::Answered {
                    state.budget.fault -= 1;
                }
                engine.send(state, op, fate);
            }
            Action::Finish { op } => engine.finish(state, op),
            Action::GiveUp { op } => {
                state.budget.fault -= 1;
                engine.give_up(state, op);
            }
            Action::Crash { op, sent } => {
                state.budget.crash -= 1;
                if let Some(call) = pending(state, op).map(|pending| pending.call).filter(|_| sent) {
                    Engine::on_its_way(state, call);
                }
                engine.crash(state, op);
            }
            Action::See { op, slot } => engine.see(state, op, slot),
            Action::Land { late } => {
                if let Some(call) = state.late[late].take() {
                    let _ = land(state, call);
                }
            }
            Action::Tick => tick(state),
            Action::User { slot, what } => {
                state.budget.user -= 1;
                self.user(state, slot, what);
            }
            Action::Outside { what } => {
                state.budget.outside -= 1;
                let twin = state.objects[0].map_or(0, |object| object.spec.visible);
                outside(state, what, twin);
            }
        }
    }

    fn user(&self, state: &mut State, slot: usize, what: User) {
        let Some(object) = state.objects[slot] else {
            if let (User::Create, Some(spec)) = (what, self.specs[slot]) {
                state.objects[slot] = Some(Object::new(state.next_uid, spec));
                state.next_uid += 1;
            }
            return;
        };
        let secret = usize::from(object.spec.secret);
        let mut after = object;
        let Spec { visible, secret: reference, observe, adopt, retain, suspend } = &mut after.spec;
        let flip = |flag: &mut bool| *flag = !*flag;
        match what {
            User::Create => {}
            User::Delete if !object.finalizer => {
                // Nothing holds it; what it wrote was given up, or its finalizer was taken off by hand.
                disown(state, object.uid);
                state.objects[slot] = None;
                return moved(state, slot);
            }
            User::Delete => after.deleting = true,
            User::Visible => *visible = if *visible == 0 { 1 } else { 0 },
            User::Refused => *visible = if *visible == REFUSED { 0 } else { REFUSED },
            User::Reference => *reference = 1 - *reference,
            User::Rotate => {
                state.secrets[secret].version += 1;
                state.secrets[secret].value ^= 1;
            }
            User::Touch => state.secrets[secret].version += 1,
            User::Observe => flip(observe),
            User::Adopt => flip(adopt),
            User::Retain => flip(retain),
            User::Suspend => flip(suspend),
            User::Strip => (after.claim, after.finalizer) = (None, false),
            User::Forge => {
                let begun = Begun { id: FRESH, ..Begun::default() };
                after.claim = Some(Claim { uid: object.uid, begun });
                (after.finalizer, after.released) = (true, false);
                // A release that is taken back before the status voids what it proved.
                after.truth.landed |= object.released && applies(&after);
            }
            User::Copy => {
                let truth = Truth::default();
                let spec = self.specs[1].unwrap_or(object.spec);
                state.objects[1] = Some(Object { uid: state.next_uid, truth, spec, edited: true, ..object });
                state.next_uid += 1;
            }
        }
        if after == object {
            return;
        }
        if after.spec != object.spec {
            after.edited = true;
            for operator in &mut state.operators {
                if let Some(pending) = operator.pass.as_mut().and_then(|pass| pass.pending.as_mut())
                    && pending.attempt.uid == object.uid
                {
                    pending.unedited = false;
                }
            }
        }
        state.objects[slot] = Some(after);
        moved(state, slot);
    }

    fn may(&self, state: &State, slot: usize, what: User) -> bool {
        let Some(object) = state.objects[slot] else {
            return what == User::Create && self.specs[slot].is_some();
        };
        let confirmed = object.applied.is_some_and(|applied| {
            applied.attempt.is_some() && applied.attempt == object.attempt.map(|attempt| attempt.begun.id)
        });
        match what {
            User::Create => false,
            User::Delete => !object.deleting,
            User::Strip => !object.deleting && claims(&object) && applies(&object) && confirmed,
            User::Forge => !object.deleting,
            User::Copy => {
                slot == 0 && state.objects[1].is_none() && object.claim.is_some() && !object.deleting
            }
            _ => true,
        }
    }
}

/// The landing limit passes: a fence without a call is too old for one, which its operator knows.
pub fn tick(state: &mut State) {
    state.age();
    for operator in &mut state.operators {
        let Some(pass) = &operator.pass else { continue };
        let Some(pending) = pass.pending.filter(|pending| pending.answer.is_none()) else { continue };
        let memory = &mut operator.memory[usize::from(pending.slot)];
        *memory = Memory {
            uid: pending.attempt.uid,
            outcome_known: Some(pending.attempt.begun.id),
            refuted: memory.refuted || pending.claim == Some(false),
            ..*memory
        };
        operator.pass = None;
    }
}

/// Somebody else acts in Atlas.
pub fn outside(state: &mut State, what: Outside, twin: u8) {
    let value = 8;
    let created = |visible| Some(Entry { visible, value, id: FRESH, author: OUTSIDE });
    match (what, &mut state.entry) {
        (Outside::CreateTwin | Outside::Create, entry @ None) => {
            *entry = created(if what == Outside::Create { FOREIGN } else { twin });
            for operator in &mut state.operators {
                let Some(pass) = &mut operator.pass else { continue };
                pass.raced = true;
            }
            for call in state.late.iter_mut().flatten() {
                call.raced = true;
            }
        }
        (Outside::PutHidden, entry @ Some(_)) => *entry = entry.and_then(|entry| created(entry.visible)),
        (Outside::PutVisible, entry @ Some(_)) => *entry = created(FOREIGN),
        (Outside::Delete, entry @ Some(_)) => *entry = None,
        _ => {}
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let operator = Operator { view: [None; 2], memory: [Memory::default(); 2], pass: None };
        let mut state = State {
            objects: [None; 2],
            secrets: [Secret { version: 1, value: 0 }, Secret { version: 1, value: 2 }],
            entry: None,
            late: [None; 2],
            operators: [operator; 2],
            budget: self.budget,
            next_uid: 1,
            wrong: None,
        };
        let create = |state: &mut State, slot: usize| {
            if let Some(spec) = self.specs[slot].filter(|_| self.present[slot]) {
                state.objects[slot] = Some(Object::new(state.next_uid, spec));
                state.next_uid += 1;
            }
        };
        create(&mut state, 0);
        match self.start {
            Start::Fresh => {}
            Start::Foreign => outside(&mut state, Outside::Create, 0),
            Start::Synced => {
                let sound = World { core: Core { mutant: None, ..self.core }, rival: false, ..self.clone() };
                rest::settle(&sound, &mut state, 0);
                state.operators[0] = operator;
            }
        }
        create(&mut state, 1);
        if self.lag {
            for operator in state.operators.iter_mut().take(self.operators) {
                operator.view = state.objects;
            }
        }
        state.renumber();
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        let Budget { user, outside, fault, crash } = state.budget;
        let room = state.late.iter().any(Option::is_none);
        for op in 0..self.operators {
            let operator = &state.operators[op];
            match &operator.pass {
                None => {
                    if state.objects.iter().chain(&operator.view).any(Option::is_some) {
                        actions.push(Action::List { op });
                    }
                }
                Some(pass) => match &pass.pending {
                    None => {
                        let todo = (0..2).filter(|slot| pass.todo[*slot].is_some());
                        actions.extend(todo.map(|slot| Action::Step { op, slot }));
                    }
                    Some(pending) if pending.answer.is_none() => {
                        actions.push(Action::Send { op, fate: Fate::Answered });
                        if fault > 0 {
                            let fates = self.fates.iter().filter(|fate| **fate != Fate::Late || room);
                            actions.extend(fates.map(|fate| Action::Send { op, fate: *fate }));
                            actions.push(Action::GiveUp { op });
                        }
                        if crash > 0 && room {
                            actions.push(Action::Crash { op, sent: true });
                        }
                    }
                    Some(_) => {
                        actions.push(Action::Finish { op });
                        if fault > 0 {
                            actions.push(Action::GiveUp { op });
                        }
                    }
                },
            }
            if crash > 0 && (operator.pass.is_some() || operator.memory != [Memory::default(); 2]) {
                actions.push(Action::Crash { op, sent: false });
            }
            if self.lag {
                let stale = (0..2).filter(|slot| operator.view[*slot] != state.objects[*slot]);
                actions.extend(stale.map(|slot| Action::See { op, slot }));
            }
        }
        let late = (0..2).filter(|late| state.late[*late].is_some());
        actions.extend(late.map(|late| Action::Land { late }));
        if state.late == [None; 2] {
            actions.push(Action::Tick);
        }
        if user > 0 {
            for slot in 0..2 {
                let may = self.user.iter().filter(|what| self.may(state, slot, **what));
                actions.extend(may.map(|what| Action::User { slot, what: *what }));
            }
        }
        if outside > 0 {
            let creates = |what: &Outside| matches!(what, Outside::CreateTwin | Outside::Create);
            let may = self.outside.iter().filter(|what| creates(what) == state.entry.is_none());
            actions.extend(may.map(|what| Action::Outside { what: *what }));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        self.act(&mut next, action);
        next.renumber();
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<World>> {
        vec![
            Property::always("no call without a claim", |_: &World, s: &State| {
                s.wrong != Some(Wrong::Unclaimed)
            }),
            Property::always("what others wrote is let alone", |_: &World, s: &State| {
                s.wrong != Some(Wrong::NotOurs)
            }),
            Property::always("observing objects write nothing", |_: &World, s: &State| {
                s.wrong != Some(Wrong::Observed)
            }),
            Property::always("one owner at a time", |_: &World, s: &State| s.wrong != Some(Wrong::TwoOwners)),
            Property::always("no write that changes nothing", |_: &World, s: &State| {
                s.wrong != Some(Wrong::Needless)
            }),
            Property::always("undisturbed, it comes to rest", |w: &World, s: &State| {
                rest::at_rest(w, s) != Rest::Never
            }),
            Property::always(
                "at rest, Atlas holds what is asked for, or the status says why not",
                |w: &World, s: &State| rest::at_rest(w, s) != Rest::Wrong,
            ),
            Property::always("at rest, nothing is left that nobody answers for", |w: &World, s: &State| {
                rest::at_rest(w, s) != Rest::Orphan
            }),
        ]
    }
}
