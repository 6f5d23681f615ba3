//! Histories: what happens to one place, move by move, and what the model's operator makes of it.

use atlas_integration_model::operator::{Engine, Fate, land, pending};
use atlas_integration_model::real::Core;
use atlas_integration_model::requests::{self, Request};
use atlas_integration_model::state::{Answer, Budget, Call, Kind, Spec, State};
use atlas_integration_model::world::{Action, Outside, Start, User, World, tick};
use stateright::Model;

use crate::seen::Seen;

/// Names of the two objects.
pub const NAMES: [&str; 2] = ["a", "b"];

/// What somebody else than the operator does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// A user edits, creates or deletes.
    User { slot: usize, what: User },
    /// Somebody writes to Atlas; a twin has this visible setting.
    Outside { what: Outside, twin: u8 },
    /// The operator is killed and starts again.
    Kill,
}

/// How a call that changes Atlas goes. Where nothing is scripted, it is answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// One of the model's fates; a call that arrives late does so before the next LIST, or after it.
    Fate { fate: Fate, after_list: bool },
    /// The API server fails the operator right after the fence: the fence stands, the call is not sent.
    Unsent,
    /// The answer arrives, and the API server refuses to store anything of it.
    Unstored,
    /// The operator is killed while the call is on its way; whether it lands.
    KilledUnderWay { landed: bool },
    /// The operator is killed when Atlas has confirmed and before it can store that.
    KilledConfirmed,
    /// Somebody acts while the call is on its way, before Atlas carries it out or after it.
    Meanwhile { act: Act, landed: bool },
}

/// Somebody acts, and the operator then works until it rests: its calls go these courses.
#[derive(Clone, Debug)]
pub struct Move {
    /// Nobody, at the beginning.
    pub act: Option<Act>,
    /// One for each call.
    pub courses: Vec<Course>,
}

/// A history.
#[derive(Debug)]
pub struct History {
    /// What it is made from.
    pub seed: u64,
    /// The objects that are there, or may be created.
    pub specs: [Option<Spec>; 2],
    /// Which are there.
    pub present: [bool; 2],
    /// Whether others have an integration in Atlas.
    pub foreign: bool,
    /// What happens.
    pub moves: Vec<Move>,
}

/// Repairs that the operator makes at once; more of them wait, which takes longer than a history.
const OUTSIDE_ACTS: usize = 3;
/// The model has names for so many objects.
const OBJECTS: u8 = 8;
/// More passes than any way to rest takes.
const PASSES: usize = 40;
/// More steps than an object takes in one pass.
const STEPS: usize = 8;

const USERS: &[User] = &[
    User::Create,
    User::Delete,
    User::Visible,
    User::Refused,
    User::Reference,
    User::Rotate,
    User::Touch,
    User::Observe,
    User::Adopt,
    User::Retain,
    User::Suspend,
    User::Strip,
    User::Forge,
    User::Copy,
];
const OTHERS: &[Outside] =
    &[Outside::CreateTwin, Outside::Create, Outside::PutHidden, Outside::PutVisible, Outside::Delete];
const FATES: [Fate; 4] = [Fate::Lost, Fate::AnswerLost, Fate::Late, Fate::Limited];

/// Makes a history and lets the model's operator live it.
pub struct Mirror {
    random: fastrand::Rng,
    world: World,
    engine: Engine,
    state: State,
    late_after_list: bool,
    courses: Vec<Course>,
    lines: Vec<String>,
    outside: usize,
}

impl Mirror {
    /// The history of this seed and the requests that the model's operator makes in it.
    pub fn live(seed: u64) -> Result<(History, Vec<String>), String> {
        let mut random = fastrand::Rng::with_seed(seed);
        let specs = [Some(spec(&mut random, 0)), random.bool().then(|| spec(&mut random, 1))];
        let present = [true, random.bool()];
        let foreign = random.u8(..10) < 3;
        let count = random.usize(5..12);
        let world = World {
            name: "history",
            operators: 1,
            lag: false,
            specs,
            present,
            start: if foreign { Start::Foreign } else { Start::Fresh },
            user: USERS,
            outside: OTHERS,
            fates: &FATES,
            budget: Budget { user: 200, outside: 200, fault: 0, crash: 0 },
            rival: false,
            core: Core::default(),
        };
        let state = world.init_states().into_iter().next().ok_or("a world without a beginning")?;
        let engine = world.engine();
        let mut mirror = Mirror {
            random,
            world,
            engine,
            state,
            late_after_list: false,
            courses: Vec::new(),
            lines: Vec::new(),
            outside: 0,
        };
        let mut moves = Vec::new();
        for number in 0..count {
            let act = if number == 0 { None } else { mirror.choose(true) };
            mirror.lines.push(format!("-- {act:?}"));
            if let Some(act) = act {
                mirror.act(act);
            }
            mirror.settle().map_err(|()| format!("history {seed}: the model finds no rest"))?;
            moves.push(Move { act, courses: std::mem::take(&mut mirror.courses) });
        }
        Ok((History { seed, specs, present, foreign, moves }, mirror.lines))
    }

    /// What somebody may do now.
    fn choose(&mut self, at_rest: bool) -> Option<Act> {
        if at_rest && self.random.u8(..12) == 0 {
            return Some(Act::Kill);
        }
        let mut actions = Vec::new();
        self.world.actions(&self.state, &mut actions);
        let twin = self.state.objects[0].map_or(0, |object| object.spec.visible);
        let acts: Vec<Act> = actions
            .into_iter()
            .filter_map(|action| match action {
                Action::User { what: User::Create | User::Copy, .. } if self.state.next_uid > OBJECTS => None,
                Action::User { slot, what } => Some(Act::User { slot, what }),
                Action::Outside { what } if self.outside < OUTSIDE_ACTS => Some(Act::Outside { what, twin }),
                _ => None,
            })
            .collect();
        (!acts.is_empty()).then(|| acts[self.random.usize(..acts.len())])
    }

    fn act(&mut self, act: Act) {
        let action = match act {
            Act::User { slot, what } => Action::User { slot, what },
            Act::Outside { what, .. } => {
                self.outside += 1;
                Action::Outside { what }
            }
            Act::Kill => return self.engine.crash(&mut self.state, 0),
        };
        if let Some(next) = self.world.next_state(&self.state, action) {
            self.state = next;
        }
    }

    /// Passes until one changes nothing, even after the landing limit.
    fn settle(&mut self) -> Result<(), ()> {
        let mut over = false;
        for _ in 0..PASSES {
            let (known, late) = (self.lines.len(), self.state.late[0].is_some());
            self.pass();
            if self.lines.len() > known || (late && self.state.late[0].is_none()) {
                over = false;
            } else if let Some(call) = self.state.late[0].take() {
                land(&mut self.state, call);
                self.state.renumber();
                over = false;
            } else if over {
                return Ok(());
            } else {
                tick(&mut self.state);
                over = true;
            }
        }
        Err(())
    }

    fn land(&mut self, after_list: bool) {
        if self.late_after_list == after_list
            && let Some(call) = self.state.late[0].take()
        {
            land(&mut self.state, call);
            self.state.renumber();
        }
    }

    /// One pass: a LIST where an object needs Atlas, then one object after the other: those that the LIST is for before the
    /// others, and the oldest first.
    fn pass(&mut self) {
        let engine = self.engine;
        engine.list(&mut self.state, 0, [true; 2]);
        let looks = |state: &State| {
            state.operators[0].pass.is_some_and(|pass| pass.todo.iter().flatten().any(|(_, alone)| !alone))
        };
        // A suspended object and one that is let go as it is do not ask for a LIST.
        let lists = looks(&self.state);
        if lists {
            self.land(false);
            engine.list(&mut self.state, 0, [true; 2]);
        }
        let owner = self.state.operators[0].pass.and_then(|pass| pass.owner);
        let busy = [0, 1].map(|slot| !engine.is_quiet(&self.state, 0, slot, owner));
        engine.list(&mut self.state, 0, busy);
        if lists {
            self.land(true);
            self.lines.push("LIST".to_owned());
        }
        let known = self.lines.len();
        let mut slots = [0, 1];
        let alone = |slot: usize| {
            self.state.operators[0].pass.is_some_and(|pass| pass.todo[slot].is_some_and(|(_, alone)| alone))
        };
        slots.sort_by_key(|slot| (alone(*slot), self.state.objects[*slot].map(|object| object.uid)));
        for slot in slots {
            for _ in 0..STEPS {
                let todo =
                    |state: &State| state.operators[0].pass.is_some_and(|pass| pass.todo[slot].is_some());
                if !todo(&self.state) {
                    break;
                }
                self.hear(|engine, state| engine.step(state, 0, slot));
                if pending(&self.state, 0).is_some() {
                    self.call(slot);
                }
            }
        }
        self.state.operators[0].pass = None;
        if lists && self.lines.len() == known {
            // A pass that changes nothing is not told apart from none.
            self.lines.pop();
        }
    }

    fn hear(&mut self, act: impl FnOnce(Engine, &mut State)) {
        let (engine, state) = (self.engine, &mut self.state);
        let ((), heard) = requests::listen(|| act(engine, state));
        self.state.renumber();
        for (request, state) in heard {
            if let Request::Write { slot, before } = request {
                self.lines.extend(wrote(slot, &before, &state));
            }
        }
    }

    /// A call leaves, and goes its course.
    fn call(&mut self, slot: usize) {
        let Some(call) = pending(&self.state, 0).map(|pending| pending.call) else { return };
        let course = self.course();
        self.courses.push(course);
        let line = |state: &State| called(slot, call, course, state);
        match course {
            Course::Unsent => self.hear(|engine, state| engine.give_up(state, 0)),
            Course::Fate { fate, after_list } => {
                self.late_after_list = after_list;
                self.lines.push(line(&self.state));
                self.hear(|engine, state| engine.send(state, 0, fate));
                self.hear(|engine, state| engine.finish(state, 0));
            }
            Course::Unstored => {
                self.lines.push(line(&self.state));
                self.hear(|engine, state| engine.send(state, 0, Fate::Answered));
                self.hear(|engine, state| engine.give_up(state, 0));
            }
            Course::KilledUnderWay { landed } => {
                self.lines.push(line(&self.state));
                self.hear(|engine, state| {
                    engine.crash(state, 0);
                    if landed {
                        land(state, call);
                    }
                });
            }
            Course::KilledConfirmed => {
                self.lines.push(line(&self.state));
                self.hear(|engine, state| engine.send(state, 0, Fate::Answered));
                if matches!(
                    pending(&self.state, 0).and_then(|pending| pending.answer),
                    Some(Answer::Done { .. })
                ) {
                    self.engine.crash(&mut self.state, 0);
                } else {
                    self.hear(|engine, state| engine.finish(state, 0));
                }
            }
            Course::Meanwhile { act, landed } => {
                self.lines.push(line(&self.state));
                if !landed {
                    self.act(act);
                }
                self.hear(|engine, state| engine.send(state, 0, Fate::Answered));
                if landed {
                    self.act(act);
                }
                self.hear(|engine, state| engine.finish(state, 0));
            }
        }
    }

    fn course(&mut self) -> Course {
        let answered = Course::Fate { fate: Fate::Answered, after_list: false };
        let alone = self.state.objects.iter().flatten().count() == 1;
        match self.random.u8(..20) {
            0..8 => answered,
            // A limit holds up the other objects of the project, too, of which the model knows nothing.
            n @ 8..12 => match FATES[usize::from(n - 8)] {
                Fate::Limited if !alone => answered,
                fate => Course::Fate { fate, after_list: self.random.bool() },
            },
            12 => Course::Unsent,
            13 => Course::Unstored,
            14 => Course::KilledUnderWay { landed: self.random.bool() },
            15 => Course::KilledConfirmed,
            _ => match self.choose(false) {
                Some(act) => Course::Meanwhile { act, landed: self.random.bool() },
                None => answered,
            },
        }
    }
}

fn spec(random: &mut fastrand::Rng, visible: u8) -> Spec {
    let mut seldom = || random.u8(..5) == 0;
    Spec { visible, secret: visible, observe: seldom(), adopt: seldom(), retain: seldom(), suspend: seldom() }
}

/// What is said of a write; nothing where nothing changed.
fn wrote(slot: usize, before: &atlas_integration_model::state::Object, state: &State) -> Option<String> {
    let was = Seen::modelled(before, state);
    let now = state.objects[slot];
    let change = Seen::change(&was, now.map(|now| Seen::modelled(&now, state)).as_ref());
    let part = |metadata: bool, status: bool| match (metadata, status) {
        (true, false) => "metadata",
        (false, true) => "status",
        _ => "metadata and status",
    };
    let part = now.map_or("metadata", |now| {
        part(
            (before.claim, before.finalizer, before.released) != (now.claim, now.finalizer, now.released),
            (before.applied, before.attempt, before.echo, before.said, before.said_suspended, before.edited)
                != (now.applied, now.attempt, now.echo, now.said, now.said_suspended, now.edited),
        )
    });
    (!change.is_empty()).then(|| format!("{} {part}: {change}", NAMES[slot]))
}

/// What is said of a call.
fn called(slot: usize, call: Call, course: Course, state: &State) -> String {
    let there = state.entry.map(|entry| (entry.visible, entry.value));
    let name = NAMES[slot];
    match call.kind {
        Kind::Delete => call_line(name, "DELETE", None, there, course),
        kind => {
            let method = if kind == Kind::Post { "POST" } else { "PUT" };
            call_line(name, method, Some((call.visible, call.value)), there, course)
        }
    }
}

/// A call in words: what it sends and what is there, each as the visible setting and the secret value.
pub fn call_line(
    name: &str,
    method: &str,
    sent: Option<(u8, u8)>,
    there: Option<(u8, u8)>,
    course: Course,
) -> String {
    format!("{name} {method} {sent:?} where {there:?} is: {course:?}")
}
