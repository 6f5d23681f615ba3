//! What a world comes to when nothing more happens to it: every state in which nothing is under way is left to one
//! operator, whose calls succeed, until nothing changes any more; and then it has to be right.

use std::cell::RefCell;

use atlas_integration_operator::domain::{Prospect, Reason};

use crate::operator::{Fate, pending};
use crate::real::{applies, claims};
use crate::state::{OUTSIDE, Object, REFUSED, State};
use crate::world::{Outside, World, outside, tick};

/// How a state ends when it is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Something is under way.
    Busy,
    /// As it should.
    Right,
    /// It does not.
    Never,
    /// Atlas does not hold what an object asks for, and its status does not say why; or an object is not let go.
    Wrong,
    /// Atlas holds an integration that an object wrote and that no object answers for.
    Orphan,
}

/// More passes than any way to rest takes.
const PASSES: usize = 12;
/// More steps than an object takes in one pass.
const STEPS: usize = 8;

thread_local! {
    static LAST: RefCell<Option<(State, Rest)>> = const { RefCell::new(None) };
}

/// How `state` ends when it is left to any one of the operators.
pub fn at_rest(world: &World, state: &State) -> Rest {
    let busy = state.operators.iter().any(|operator| operator.pass.is_some());
    if busy || state.late != [None; 2] || state.wrong.is_some() {
        return Rest::Busy;
    }
    let last = LAST.with_borrow(|last| *last);
    if let Some((_, rest)) = last.filter(|(known, _)| known == state) {
        return rest;
    }
    let ends = (0..world.operators).map(|op| {
        let mut end = *state;
        if settle(world, &mut end, op) { judge(&end) } else { Rest::Never }
    });
    let rest = ends.into_iter().find(|rest| *rest != Rest::Right).unwrap_or(Rest::Right);
    LAST.with_borrow_mut(|last| *last = Some((*state, rest)));
    rest
}

/// Runs one operator until nothing changes; whether that came to an end.
pub fn settle(world: &World, state: &mut State, op: usize) -> bool {
    let engine = world.engine();
    for _ in 0..PASSES {
        let before = *state;
        let mut wrote = false;
        tick(state);
        engine.see(state, op, 0);
        engine.see(state, op, 1);
        engine.list(state, op, [true; 2]);
        let owner = state.operators[op].pass.and_then(|pass| pass.owner);
        let busy = [0, 1].map(|slot| !engine.is_quiet(state, op, slot, owner));
        engine.list(state, op, busy);
        if state.operators[op].pass.is_some_and(|pass| pass.todo == [None; 2]) {
            state.operators[op].pass = None;
        }
        for slot in 0..2 {
            for _ in 0..STEPS {
                if state.operators[op].pass.is_none_or(|pass| pass.todo[slot].is_none()) {
                    break;
                }
                let objects = state.objects;
                engine.step(state, op, slot);
                wrote |= state.objects != objects;
                state.renumber();
                if pending(state, op).is_some() {
                    engine.send(state, op, Fate::Answered);
                    state.renumber();
                    engine.finish(state, op);
                    state.renumber();
                }
            }
        }
        if state.operators[op].pass.take().is_some() {
            return false;
        }
        if world.rival && state.entry.is_some_and(|entry| entry.author != OUTSIDE) {
            outside(state, Outside::PutHidden, 0);
            state.renumber();
        }
        // Numbers are given anew, so a write that is repeated for ever may lead back to the same state.
        if *state == before && !wrote {
            return true;
        }
    }
    false
}

fn judge(state: &State) -> Rest {
    if !state.objects.iter().flatten().all(|object| is_right(state, object)) {
        return Rest::Wrong;
    }
    let answers = |object: &&Object| Some(object.uid) == state.entry.map(|entry| entry.author);
    match state.entry {
        Some(entry) if entry.author != OUTSIDE && !state.objects.iter().flatten().any(|o| answers(&o)) => {
            Rest::Orphan
        }
        _ => Rest::Right,
    }
}

fn is_right(state: &State, object: &Object) -> bool {
    let Some(said) = object.said else { return false };
    if object.deleting || object.edited {
        return false;
    }
    let wanted = (object.spec.visible, state.secrets[usize::from(object.spec.secret)].value);
    let held = state.entry.map(|entry| (entry.visible, entry.value));
    let own = state.entry.is_some_and(|entry| entry.author == object.uid);
    if object.spec.suspend {
        // Atlas is not looked at: only what this object wrote last can be known.
        let ready = said.prospect() == Prospect::Good && said != Reason::Suspended;
        return object.said_suspended && !(ready && own && held != Some(wanted));
    }
    if object.spec.observe {
        let left = !object.finalizer && object.claim.is_none();
        return left && said == if held.is_some() { Reason::Observed } else { Reason::IntegrationNotFound };
    }
    match said {
        Reason::Synced => held == Some(wanted) || is_overwritten(object, state),
        Reason::AlreadyExists => held.is_some() && !own && !object.truth.consented,
        Reason::Conflict => {
            let other = state.objects.iter().flatten().find(|other| other.uid != object.uid);
            other.is_some_and(|other| applies(other) || claims(other))
        }
        Reason::Rejected => object.spec.visible == REFUSED,
        _ => false,
    }
}

/// Whether repairs were put off, since somebody else writes again and again; the InSync condition says so.
fn is_overwritten(object: &Object, state: &State) -> bool {
    let index = state.objects.iter().position(|other| other.as_ref() == Some(object));
    let repairs = |slot: usize| state.operators.iter().any(|operator| operator.memory[slot].repairs >= 3);
    index.is_some_and(repairs)
}
