//! What is done in a run, and when: a function of the seed and the length alone.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use atlas_sim::{Effect, Operation};
use fastrand::Rng;

use super::catalog::{self, Content};

/// The namespaces whose objects share places with each other.
pub const COMMON: usize = 3;
/// The namespace that the operator has no rights in now and then.
pub const REFUSED: usize = 3;
/// The namespace whose Atlas API key is revoked, but for short times.
pub const TENANT: usize = 4;
pub const NAMESPACES: usize = 5;
/// The projects of the common namespaces.
pub const COMMON_PROJECTS: usize = 4;
/// All projects: then that of [`REFUSED`], and two of [`TENANT`].
pub const PROJECTS: usize = 7;
/// Secrets for settings in each namespace.
pub const SECRETS: usize = 4;
/// The objects of the common namespaces, each with a namespace and a name of its own.
const COMMON_SLOTS: usize = 18;
/// The object that keeps asking for what others made, without consent.
pub const REFUSING: usize = 15;
/// The object that only ever observes.
pub const OBSERVING: usize = 16;
/// The object whose credentials are wrong.
pub const WRONG: usize = 17;
/// All objects: then three of [`REFUSED`], and six of [`TENANT`].
pub const SLOTS: usize = 27;

/// The namespace of a slot's object.
pub fn namespace(slot: usize) -> usize {
    match slot {
        0..COMMON_SLOTS => slot % COMMON,
        COMMON_SLOTS..21 => REFUSED,
        _ => TENANT,
    }
}

/// Whether nothing is wrong with a namespace in the long run: its objects must come to rest, whatever the others do.
pub fn is_good(slot: usize) -> bool {
    namespace(slot) < COMMON
}

/// A type of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub project: usize,
    pub kind: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of project {}", self.kind, self.project)
    }
}

/// Where an object of a slot may be: its own place first, then those of two others, one of them in its namespace. Outside
/// the common namespaces, where it is not always known who else wants a place, each has one of its own.
pub fn places(slot: usize) -> Vec<Place> {
    let kinds: Vec<&'static str> = catalog::names().collect();
    let of = |slot: usize| Place { project: slot % COMMON_PROJECTS, kind: kinds[slot % kinds.len()] };
    let alone = |project| vec![Place { project, kind: kinds[slot % kinds.len()] }];
    match slot {
        _ if namespace(slot) == REFUSED => alone(COMMON_PROJECTS),
        _ if namespace(slot) == TENANT => alone(COMMON_PROJECTS + 1 + slot % 2),
        REFUSING => vec![Place { project: 0, kind: "PROMETHEUS" }],
        OBSERVING => vec![Place { project: 1, kind: "PAGER_DUTY" }],
        WRONG => vec![of(0), of(1)],
        _ => vec![of(slot), of((slot + 5) % REFUSING), of((slot + 3) % REFUSING)],
    }
}

/// The places of others from the beginning, which no object is allowed to take.
pub fn of_others() -> [Place; 2] {
    [places(REFUSING)[0], places(OBSERVING)[0]]
}

/// An object's spec, place apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub variant: u64,
    pub secret: usize,
    pub management: &'static str,
    pub adoption: Option<&'static str>,
    pub deletion: Option<&'static str>,
    pub suspend: bool,
}

/// An edit.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    Settings(u64, usize),
    Secret(usize),
    Management(&'static str),
    Adoption(Option<&'static str>),
    Deletion(Option<&'static str>),
    Suspend(bool),
    LookNow,
    RewriteNow,
}

/// How a namespace's credentials for Atlas are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Credentials {
    Good,
    /// The Secret has another private key.
    Wrong,
    /// There is no Secret.
    Missing,
    /// Atlas no longer knows the key.
    Revoked,
}

/// What somebody else does to a place in Atlas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outside {
    /// Edits a visible field in place.
    Edit,
    /// The same as a PUT: the id changes.
    Put,
    /// A PUT that changes secrets only.
    Hidden,
    Delete,
    /// Creates it, where nothing is and nobody keeps the place.
    Create,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Create {
        slot: usize,
        place: Place,
        shape: Shape,
    },
    Edit {
        slot: usize,
        edit: Edit,
    },
    Delete {
        slot: usize,
    },
    /// Deleted, and created again under the same name as soon as that is possible.
    Recreate {
        slot: usize,
        place: Place,
        shape: Shape,
    },
    Secret {
        namespace: usize,
        secret: usize,
        content: Content,
        anew: bool,
    },
    Credentials {
        namespace: usize,
        state: Credentials,
    },
    Outside {
        place: Place,
        what: Outside,
        number: u32,
    },
    Fault {
        project: usize,
        operation: Option<Operation>,
        effect: Effect,
        times: u32,
    },
    /// The operator's RoleBinding in [`REFUSED`] is taken away, or given back.
    Rights {
        given: bool,
    },
    /// SIGKILL of the operator, whose clock was wrong by so many hours when it noted its last writes, and a new one.
    Clock {
        hours: i64,
    },
    /// SIGKILL of the operator, and a new one after a while.
    Kill {
        away: Duration,
    },
    /// SIGSTOP, and SIGCONT after a while.
    Stop {
        away: Duration,
    },
    /// The API server is killed and started again.
    ApiServer,
}

impl Action {
    /// What is counted together.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Create { .. } => "create",
            Action::Edit { .. } => "edit",
            Action::Delete { .. } => "delete",
            Action::Recreate { .. } => "re-create",
            Action::Secret { .. } => "Secret",
            Action::Credentials { .. } => "credentials",
            Action::Outside { .. } => "outside",
            Action::Fault { .. } => "fault",
            Action::Rights { .. } => "rights",
            Action::Clock { .. } => "clock",
            Action::Kill { .. } => "kill",
            Action::Stop { .. } => "stop",
            Action::ApiServer => "API server",
        }
    }
}

/// An action, and when it is due after the beginning.
pub type Due = (Duration, Action);

/// The whole run.
pub fn plan(seed: u64, length: Duration) -> Vec<Due> {
    let mut planner = Planner { rng: Rng::with_seed(seed), number: 1, due: Vec::new() };
    for slot in 0..SLOTS {
        let (place, shape) = planner.object(slot);
        planner.due.push((Duration::ZERO, Action::Create { slot, place, shape }));
    }
    let mut at = Duration::from_secs(1);
    while at < length {
        planner.next(at, length);
        at += Duration::from_millis(planner.rng.u64(20..350));
    }
    // In the end most are there, and most can be written.
    let last = length.saturating_sub(Duration::from_secs(2));
    for slot in 0..SLOTS {
        let (place, shape) = planner.object(slot);
        planner.due.push((last, Action::Create { slot, place, shape }));
    }
    for namespace in 0..NAMESPACES {
        let (secret, content) = (planner.rng.usize(..SECRETS), Content::Good(planner.number()));
        planner.due.push((last, Action::Secret { namespace, secret, content, anew: false }));
    }
    planner.due.sort_by_key(|(at, _)| *at);
    planner.due
}

struct Planner {
    rng: Rng,
    number: u32,
    due: Vec<Due>,
}

impl Planner {
    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())].clone()
    }

    fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn object(&mut self, slot: usize) -> (Place, Shape) {
        let places = places(slot);
        let place = if self.rng.u8(..10) < 6 { places[0] } else { self.pick(&places) };
        let shape = Shape {
            variant: self.rng.u64(..),
            secret: self.rng.usize(..SECRETS),
            management: self.management(slot),
            adoption: self.adoption(slot),
            deletion: self.deletion(),
            suspend: self.rng.u8(..14) == 0,
        };
        (place, shape)
    }

    fn management(&mut self, slot: usize) -> &'static str {
        match slot {
            OBSERVING => "Observe",
            _ if self.rng.u8(..9) == 0 => "Observe",
            _ => "Manage",
        }
    }

    fn adoption(&mut self, slot: usize) -> Option<&'static str> {
        match slot {
            REFUSING => self.pick(&[None, Some("Refuse")]),
            _ => self.pick(&[None, Some("Refuse"), Some("Adopt"), Some("Adopt"), Some("Adopt")]),
        }
    }

    fn deletion(&mut self) -> Option<&'static str> {
        self.pick(&[None, None, Some("Delete"), Some("Delete"), Some("Retain")])
    }

    fn next(&mut self, at: Duration, length: Duration) {
        let slot = self.rng.usize(..SLOTS);
        let action = match self.rng.u32(..1000) {
            0..130 => {
                let (place, shape) = self.object(slot);
                Action::Create { slot, place, shape }
            }
            130..505 => Action::Edit { slot, edit: self.edit(slot) },
            505..540 => Action::Delete { slot },
            540..610 => {
                let (place, shape) = self.object(slot);
                Action::Recreate { slot, place, shape }
            }
            610..740 => self.secret(),
            740..752 => {
                let namespace = self.rng.usize(..COMMON);
                let state = self.pick(&[Credentials::Wrong, Credentials::Missing, Credentials::Revoked]);
                // Good again before long.
                let good = Action::Credentials { namespace, state: Credentials::Good };
                self.later(at, length, 500..4_000, good);
                Action::Credentials { namespace, state }
            }
            752..762 => {
                let revoked = Action::Credentials { namespace: TENANT, state: Credentials::Revoked };
                self.later(at, length, 500..4_000, revoked);
                Action::Credentials { namespace: TENANT, state: Credentials::Good }
            }
            762..770 => {
                self.later(at, length, 1_000..8_000, Action::Rights { given: true });
                Action::Rights { given: false }
            }
            770..880 => self.outside(),
            880..965 => self.fault(),
            965..981 => Action::Kill { away: Duration::from_millis(self.rng.u64(..1_500)) },
            981..987 => Action::Clock { hours: self.pick(&[-2, 2]) },
            987..996 => Action::Stop { away: Duration::from_millis(self.rng.u64(100..1_500)) },
            _ => Action::ApiServer,
        };
        self.due.push((at, action));
    }

    /// Undoes something after a while of so many milliseconds, within the run.
    fn later(&mut self, at: Duration, length: Duration, after: Range<u64>, action: Action) {
        let at = at + Duration::from_millis(self.rng.u64(after));
        if at < length {
            self.due.push((at, action));
        }
    }

    fn edit(&mut self, slot: usize) -> Edit {
        match self.rng.u8(..20) {
            0..7 => Edit::Settings(self.rng.u64(..), self.rng.usize(..SECRETS)),
            7..10 => Edit::Secret(self.rng.usize(..SECRETS)),
            10..12 => Edit::Management(self.management(slot)),
            12..14 => Edit::Adoption(self.adoption(slot)),
            14..15 => Edit::Deletion(self.deletion()),
            15..18 => Edit::Suspend(self.rng.u8(..4) == 0),
            18 => Edit::LookNow,
            _ => Edit::RewriteNow,
        }
    }

    fn secret(&mut self) -> Action {
        let number = self.number();
        let content = match self.rng.u8(..28) {
            0 => Content::Missing,
            1 => Content::Empty,
            2 => Content::WithoutKeys,
            3 => Content::Refused(number),
            _ => Content::Good(number),
        };
        Action::Secret {
            namespace: self.rng.usize(..NAMESPACES),
            secret: self.rng.usize(..SECRETS),
            content,
            anew: self.rng.u8(..3) == 0,
        }
    }

    fn outside(&mut self) -> Action {
        let place = if self.rng.u8(..6) == 0 {
            self.pick(&of_others())
        } else {
            let slot = self.rng.usize(..REFUSING);
            places(slot)[0]
        };
        let what = if of_others().contains(&place) {
            // Always there, so that there is no moment at which it is anybody's.
            self.pick(&[Outside::Edit, Outside::Put, Outside::Hidden])
        } else {
            use Outside::{Create, Delete, Edit, Hidden, Put};
            self.pick(&[Edit, Put, Hidden, Delete, Create])
        };
        Action::Outside { place, what, number: self.number() }
    }

    fn fault(&mut self) -> Action {
        let seconds = self.rng.u64(1..3);
        let late = Duration::from_millis(self.rng.u64(200..2_000));
        let keep = self.rng.usize(..200);
        let effects = [
            Effect::RateLimitedTokenBucket { retry_after: Some(seconds) },
            Effect::RateLimitedTokenBucket { retry_after: None },
            Effect::RateLimited { retry_after: Some(seconds) },
            Effect::RateLimited { retry_after: None },
            Effect::ServerError,
            Effect::Unavailable { retry_after: None },
            Effect::Unavailable { retry_after: Some(seconds) },
            Effect::Maintenance,
            Effect::Unauthorized,
            Effect::StaleNonce,
            Effect::Reset,
            Effect::Close,
            Effect::Hold,
            Effect::Slow { delay: late },
            Effect::AppliedThenCut,
            Effect::AppliedThenHeld,
            Effect::AppliedLate { delay: late },
            Effect::TruncatedBody { keep },
            Effect::NullInResults,
            Effect::not_json(),
            Effect::html(),
            Effect::foreign_not_found(),
        ];
        let operation = match self.rng.u8(..10) {
            0..2 => None,
            2 => Some(Operation::List),
            3..5 => Some(Operation::Create),
            5..8 => Some(Operation::Update),
            _ => Some(Operation::Delete),
        };
        let effect = self.pick(&effects);
        let times = self.rng.u32(1..3);
        Action::Fault { project: self.rng.usize(..PROJECTS), operation, effect, times }
    }
}

#[test]
fn a_seed_is_a_run() {
    let length = Duration::from_secs(300);
    let run = plan(7, length);
    assert_eq!(run, plan(7, length));
    assert_ne!(run, plan(8, length));
    let mut kinds: Vec<&str> = run.iter().map(|(_, action)| action.kind()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 13, "{kinds:?}");
    let kinds: std::collections::BTreeSet<&str> =
        (0..SLOTS).flat_map(places).map(|place| place.kind).collect();
    assert_eq!(kinds.len(), 10, "{kinds:?}");
    let own: std::collections::BTreeSet<Place> = (0..REFUSING).map(|slot| places(slot)[0]).collect();
    assert_eq!(own.len(), REFUSING, "a place for each, and conflicts besides");
    assert!(of_others().iter().all(|place| !own.contains(place)));
    let alone: std::collections::BTreeSet<Place> = (COMMON_SLOTS..SLOTS).flat_map(places).collect();
    assert_eq!(alone.len(), SLOTS - COMMON_SLOTS);
    assert!(alone.iter().all(|place| (COMMON_PROJECTS..PROJECTS).contains(&place.project)));
}
