//! Turns of priority: the operator's own order of turns (`core::turns`) against every order of requests, ends of turns
//! and moments of time in a small world. What has to hold is counted here apart from it.

use std::cmp::Ordering;

use atlas_integration_operator::core::turns::{BREATH, Class, Due, Limits, Turns};
use stateright::{Model, Property};

/// Half a breath passes.
const TICK: u64 = BREATH / 2;
/// More turns than any world still owes.
const DRAINED: usize = 64;

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // [`Mutant::ALL`] says what each does.
pub enum Mutant {
    OneClass,
    OneTenant,
    NoAgeing,
    NoSpare,
    NoBreath,
    Forgetful,
}

impl Mutant {
    /// All of them, with what is done instead, and the world that misses the rule.
    pub const ALL: &[(Mutant, &str, &str)] = &[
        (Mutant::OneClass, "what somebody asked for is no more urgent than routine", "tenants"),
        (Mutant::OneTenant, "all turns are counted for one tenant", "tenants"),
        (Mutant::NoAgeing, "routine waits for as long as anything is asked for", "one worker"),
        (Mutant::NoSpare, "no turn is spare for a tenant that runs none", "tenants"),
        (Mutant::NoBreath, "a project takes no breath", "again and again"),
        (Mutant::Forgetful, "what happens during a turn of its project is forgotten", "again and again"),
    ];
}

/// A bounded world.
#[derive(Clone, Debug)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// The tenant of each project.
    pub tenants: &'static [u8],
    /// How many turns may run.
    pub limits: Limits,
    /// How often a project is asked for or becomes a matter of routine.
    pub causes: u8,
    /// How often half a breath passes.
    pub ticks: u8,
    /// Whether turns may make the next turn of their project due.
    pub again: bool,
    /// The rule that is taken back.
    pub mutant: Option<Mutant>,
}

/// What is wrong with the last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wrong {
    /// A turn of a project that has one, that nobody made due, or whose breath is not over.
    NotDue,
    /// More turns than may run.
    TooMany,
    /// No turn began although one could.
    Idle,
    /// No turn began for a tenant that runs none, although a spare one was left.
    HeldUp,
    /// Routine went first.
    RoutineFirst,
    /// Routine waited too long.
    RoutineWaits,
    /// A tenant with more running turns went first.
    Unfair,
    /// A tenant went first twice while another one waited.
    OutOfTurn,
}

/// What is known of a project, besides what the operator's own order knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Project {
    asked: bool,
    /// Since when it is due as a matter of routine.
    routine: Option<u64>,
    /// The class of the turn that runs, and whether it is a spare one.
    running: Option<(Class, bool)>,
    /// When its last turn ended, and the class of that turn.
    ended: Option<(u64, Class)>,
}

/// A state of a world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    turns: Turns<u8, u8>,
    now: u64,
    projects: Vec<Project>,
    causes: u8,
    ticks: u8,
    /// How many turns that were asked for began in a row while one of routine was due.
    asked_in_a_row: u32,
    /// By class and tenant, whether the other one went first while it waited and ran no more turns.
    passed: [[bool; 2]; 2],
    wrong: Option<Wrong>,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Action {
    /// Somebody asks for a project.
    Ask { project: u8 },
    /// A project is due as a matter of routine.
    Routine { project: u8 },
    /// A worker asks for a turn.
    Begin,
    /// A turn ends. It may make the next one due now.
    End { project: u8, next: Option<Class> },
    /// Time passes.
    Tick,
}

impl State {
    /// Why a turn of a project may begin now, if it may.
    fn due(&self, project: u8) -> Option<Class> {
        let Project { asked, routine, running, ended } = self.projects[usize::from(project)];
        let rested = ended.is_none_or(|(at, _)| self.now >= at + BREATH);
        let asked = asked && (rested || ended.is_some_and(|(_, class)| class == Class::Routine));
        let routine = rested && routine.is_some_and(|at| at <= self.now);
        match (running, asked, routine) {
            (None, true, _) => Some(Class::Asked),
            (None, false, true) => Some(Class::Routine),
            _ => None,
        }
    }

    fn all(&self) -> impl Iterator<Item = u8> + use<> {
        (0..self.projects.len()).filter_map(|project| u8::try_from(project).ok())
    }

    fn spare(&self) -> usize {
        self.projects.iter().filter(|project| project.running.is_some_and(|(_, spare)| spare)).count()
    }
}

impl World {
    /// The same world with a rule taken back.
    pub fn without(&self, mutant: Mutant) -> World {
        World { mutant: Some(mutant), ..self.clone() }
    }

    fn lacks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// The limits that the operator's own order is given.
    fn given(&self) -> Limits {
        let Limits { turns, spare, asked_in_a_row } = self.limits;
        Limits {
            turns,
            spare: if self.lacks(Mutant::NoSpare) { 0 } else { spare },
            asked_in_a_row: if self.lacks(Mutant::NoAgeing) { u32::MAX } else { asked_in_a_row },
        }
    }

    fn tenant(&self, project: u8) -> u8 {
        self.tenants[usize::from(project)]
    }

    fn counted_for(&self, project: u8) -> u8 {
        if self.lacks(Mutant::OneTenant) { 0 } else { self.tenant(project) }
    }

    fn class(&self, class: Class) -> Class {
        if self.lacks(Mutant::OneClass) { Class::Routine } else { class }
    }

    fn running(&self, state: &State, tenant: u8) -> usize {
        let of_tenant = state.all().filter(|project| self.tenant(*project) == tenant);
        of_tenant.filter(|project| state.projects[usize::from(*project)].running.is_some()).count()
    }

    /// Whether a tenant has a project that is due and of this class.
    fn waits(&self, state: &State, tenant: u8, class: Class) -> bool {
        state.all().any(|project| self.tenant(project) == tenant && state.due(project) == Some(class))
    }

    fn cause(&self, state: &mut State, project: u8, class: Class) {
        state.causes -= 1;
        self.note(state, project, class);
        let running = state.projects[usize::from(project)].running.is_some();
        if !(running && self.lacks(Mutant::Forgetful)) {
            let due = Due { at: state.now, class: self.class(class), tenant: self.counted_for(project) };
            state.turns.add(state.now, project, due);
        }
    }

    fn note(&self, state: &mut State, project: u8, class: Class) {
        let now = state.now;
        let known = &mut state.projects[usize::from(project)];
        match class {
            Class::Asked => known.asked = true,
            Class::Routine => _ = known.routine.get_or_insert(now),
        }
    }

    /// Asks for a turn, and looks at what came of it.
    fn begin(&self, state: &mut State) {
        let spare = state.spare();
        let ordinary = state.projects.iter().filter(|project| project.running.is_some()).count() - spare;
        let is_spare = ordinary == self.limits.turns;
        let waits = |class| (0..2).any(|tenant| self.waits(state, tenant, class));
        let (asked, routine) = (waits(Class::Asked), waits(Class::Routine));
        let idle =
            |tenant: &u8| self.running(state, *tenant) == 0 && self.waits(state, *tenant, Class::Asked);
        let held_up = (0..2).any(|tenant| idle(&tenant));
        let ahead = if self.lacks(Mutant::NoBreath) { BREATH } else { 0 };
        let Some(project) = state.turns.begin(state.now + ahead) else {
            if !is_spare && (asked || routine) {
                state.wrong = Some(Wrong::Idle);
            } else if is_spare && spare < self.limits.spare && held_up {
                state.wrong = Some(Wrong::HeldUp);
            }
            return;
        };
        let Some(class) = state.due(project) else {
            state.wrong = Some(Wrong::NotDue);
            return;
        };
        let tenant = self.tenant(project);
        state.wrong = self.judge(state, tenant, class, (asked, is_spare && spare >= self.limits.spare));
        let many = self.limits.asked_in_a_row;
        match class {
            Class::Asked if routine && !is_spare && state.asked_in_a_row >= many => {
                state.wrong = Some(Wrong::RoutineWaits);
            }
            Class::Asked if routine => state.asked_in_a_row = (state.asked_in_a_row + 1).min(many),
            _ => state.asked_in_a_row = 0,
        }
        let known = &mut state.projects[usize::from(project)];
        *known = Project { running: Some((class, is_spare)), ended: known.ended, ..Project::default() };
        for (at, class) in [Class::Asked, Class::Routine].into_iter().enumerate() {
            for other in 0..2_u8 {
                if other == tenant || !self.waits(state, other, class) {
                    state.passed[at][usize::from(other)] = false;
                }
            }
        }
    }

    /// What is wrong with a turn of this class that begins for a tenant.
    fn judge(
        &self,
        state: &mut State,
        tenant: u8,
        class: Class,
        (asked, too_many): (bool, bool),
    ) -> Option<Wrong> {
        if too_many {
            return Some(Wrong::TooMany);
        }
        if class == Class::Routine && asked && state.asked_in_a_row < self.limits.asked_in_a_row {
            return Some(Wrong::RoutineFirst);
        }
        let other = 1 - tenant;
        if !self.waits(state, other, class) {
            return None;
        }
        match self.running(state, other).cmp(&self.running(state, tenant)) {
            Ordering::Less => Some(Wrong::Unfair),
            Ordering::Equal => {
                let passed = &mut state.passed[class as usize][usize::from(other)];
                std::mem::replace(passed, true).then_some(Wrong::OutOfTurn)
            }
            Ordering::Greater => None,
        }
    }

    /// Whether all that is owed gets its turn once every turn ends.
    fn forgets_nothing(&self, state: &State) -> bool {
        let mut state = state.clone();
        for _ in 0..DRAINED {
            for project in state.all() {
                if state.projects[usize::from(project)].running.take().is_some() {
                    state.turns.end(state.now, &project, None, self.counted_for(project));
                }
            }
            state.now += BREATH;
            while let Some(project) = state.turns.begin(state.now) {
                state.projects[usize::from(project)] =
                    Project { running: Some((Class::Asked, false)), ..Project::default() };
            }
        }
        state.turns.waiting() == 0
            && state.projects.iter().all(|project| !project.asked && project.routine.is_none())
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            turns: Turns::new(self.given()),
            now: 0,
            projects: vec![Project::default(); self.tenants.len()],
            causes: self.causes,
            ticks: self.ticks,
            asked_in_a_row: 0,
            passed: Default::default(),
            wrong: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.wrong.is_some() {
            return;
        }
        actions.push(Action::Begin);
        if state.ticks > 0 {
            actions.push(Action::Tick);
        }
        for project in state.all() {
            let known = state.projects[usize::from(project)];
            if state.causes > 0 {
                actions.push(Action::Ask { project });
                actions.push(Action::Routine { project });
            }
            if known.running.is_some() {
                actions.push(Action::End { project, next: None });
                if self.again && state.causes > 0 {
                    let next = [Class::Asked, Class::Routine].map(Some);
                    actions.extend(next.map(|next| Action::End { project, next }));
                }
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Ask { project } => self.cause(&mut state, project, Class::Asked),
            Action::Routine { project } => self.cause(&mut state, project, Class::Routine),
            Action::Begin => self.begin(&mut state),
            Action::End { project, next } => {
                let known = &mut state.projects[usize::from(project)];
                let (class, _) = known.running.take()?;
                known.ended = Some((state.now, class));
                if let Some(class) = next {
                    state.causes -= 1;
                    self.note(&mut state, project, class);
                }
                let next = next.map(|class| (state.now, self.class(class)));
                state.turns.end(state.now, &project, next, self.counted_for(project));
            }
            Action::Tick => {
                state.ticks -= 1;
                state.now += TICK;
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<World>> {
        fn never(wrong: Wrong) -> impl Fn(&State) -> bool {
            move |state| state.wrong != Some(wrong)
        }
        vec![
            Property::always(
                "a turn begins for a project that is due and has none",
                |_: &World, s: &State| never(Wrong::NotDue)(s),
            ),
            Property::always("no more turns run than may", |_: &World, s: &State| never(Wrong::TooMany)(s)),
            Property::always("no worker is idle while a project is due", |_: &World, s: &State| {
                never(Wrong::Idle)(s)
            }),
            Property::always(
                "an edit does not wait for turns of others that hang",
                |_: &World, s: &State| never(Wrong::HeldUp)(s),
            ),
            Property::always("what was asked for goes before routine", |_: &World, s: &State| {
                never(Wrong::RoutineFirst)(s)
            }),
            Property::always("routine is not starved", |_: &World, s: &State| never(Wrong::RoutineWaits)(s)),
            Property::always("who runs the least goes first", |_: &World, s: &State| never(Wrong::Unfair)(s)),
            Property::always("nobody goes first twice while another waits", |_: &World, s: &State| {
                never(Wrong::OutOfTurn)(s)
            }),
            Property::always("nothing due is lost", |w: &World, s: &State| w.forgets_nothing(s)),
        ]
    }
}
