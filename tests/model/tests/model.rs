//! Every world keeps every property; every rule taken back breaks one.

// What is printed is the result; a failed expectation is how a test fails.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use atlas_integration_model::mutant::Mutant;
use atlas_integration_model::operator::Fate;
use atlas_integration_model::real::Core;
use atlas_integration_model::state::{Budget, Clock, Spec};
use atlas_integration_model::world::{Action, Outside, Start, User, World};
use stateright::{Checker, HasDiscoveries, Model};

const SPEC: Spec =
    Spec { visible: 0, secret: 0, observe: false, adopt: false, retain: false, suspend: false };
const ADOPT: Spec = Spec { adopt: true, ..SPEC };
const OBSERVE: Spec = Spec { observe: true, ..SPEC };
const OBSERVE_ADOPT: Spec = Spec { adopt: true, ..OBSERVE };
const OTHER: Spec = Spec { visible: 1, secret: 1, ..SPEC };
const OTHER_ADOPT: Spec = Spec { adopt: true, ..OTHER };

const LOST: &[Fate] = &[Fate::Lost, Fate::AnswerLost, Fate::Late];
const ALL: &[Fate] = &[Fate::Lost, Fate::AnswerLost, Fate::Late, Fate::Limited];
const OUTSIDE: &[Outside] =
    &[Outside::CreateTwin, Outside::Create, Outside::PutHidden, Outside::PutVisible, Outside::Delete];

/// One object and one operator; worlds say what else. The acts of users, of others, the calls that go wrong and the
/// crashes: as many as `make test` has time for, and as many as `make model` has.
fn world(name: &'static str, user: &'static [User], small: [u8; 4], large: [u8; 4]) -> World {
    let [user_acts, outside, fault, crash] = if is_large() { large } else { small };
    World {
        name,
        operators: 1,
        lag: false,
        specs: [Some(SPEC), None],
        present: [true, false],
        start: Start::Fresh,
        user,
        outside: OUTSIDE,
        fates: LOST,
        budget: Budget { user: user_acts, outside, fault, crash },
        rival: false,
        core: Core::default(),
    }
}

fn is_large() -> bool {
    std::env::var("MODEL_BUDGET").is_ok_and(|budget| budget == "large")
}

fn worlds() -> Vec<World> {
    use User as U;
    vec![
        world("first write", &[U::Visible, U::Reference, U::Rotate, U::Delete], [2, 1, 1, 1], [2, 2, 2, 1]),
        World {
            start: Start::Synced,
            fates: ALL,
            ..world(
                "later writes",
                &[U::Visible, U::Reference, U::Rotate, U::Touch, U::Delete],
                [2, 1, 1, 1],
                [2, 2, 2, 1],
            )
        },
        World {
            start: Start::Foreign,
            ..world("consent", &[U::Adopt, U::Visible, U::Delete, U::Retain], [3, 1, 1, 1], [3, 1, 2, 1])
        },
        World {
            specs: [Some(ADOPT), None],
            start: Start::Foreign,
            ..world("adoption", &[U::Adopt, U::Visible, U::Observe, U::Delete], [2, 1, 1, 1], [2, 1, 2, 1])
        },
        World {
            start: Start::Synced,
            ..world(
                "policies",
                &[U::Observe, U::Adopt, U::Suspend, U::Retain, U::Rotate, U::Delete],
                [3, 1, 1, 0],
                [3, 1, 1, 1],
            )
        },
        World {
            specs: [Some(OBSERVE), None],
            start: Start::Foreign,
            ..world("observing", &[U::Observe, U::Adopt, U::Visible, U::Delete], [3, 2, 1, 0], [3, 2, 1, 1])
        },
        World {
            fates: ALL,
            ..world("refused", &[U::Refused, U::Visible, U::Delete], [2, 1, 1, 1], [3, 1, 1, 1])
        },
        World {
            lag: true,
            ..world("born again", &[U::Delete, U::Create, U::Visible], [3, 1, 1, 0], [3, 1, 1, 1])
        },
        World {
            start: Start::Synced,
            ..world("stripped", &[U::Strip, U::Visible, U::Delete], [3, 1, 1, 1], [3, 2, 1, 1])
        },
        World {
            start: Start::Foreign,
            ..world(
                "forged",
                &[U::Forge, U::Adopt, U::Observe, U::Visible, U::Delete],
                [3, 1, 1, 1],
                [4, 1, 1, 1],
            )
        },
        world(
            "forged, first write",
            &[U::Forge, U::Visible, U::Observe, U::Delete],
            [2, 1, 1, 1],
            [3, 2, 1, 1],
        ),
        World {
            operators: 2,
            ..world("two operators, first write", &[U::Visible, U::Delete], [1, 0, 0, 0], [1, 1, 1, 0])
        },
        World {
            operators: 2,
            start: Start::Synced,
            ..world(
                "two operators, later writes",
                &[U::Visible, U::Rotate, U::Delete],
                [2, 0, 0, 0],
                [2, 0, 1, 0],
            )
        },
        World {
            operators: 2,
            ..world("two operators, there and back", &[U::Rotate], [2, 0, 0, 0], [3, 0, 0, 0])
        },
        World {
            operators: 2,
            outside: &[Outside::Delete],
            fates: &[Fate::Late],
            ..world("two operators, a late answer", &[U::Delete], [1, 1, 1, 0], [1, 1, 1, 1])
        },
        World {
            specs: [Some(SPEC), Some(OTHER)],
            present: [true, true],
            lag: true,
            ..world(
                "two objects",
                &[U::Visible, U::Delete, U::Create, U::Refused],
                [1, 1, 1, 0],
                [1, 1, 1, 1],
            )
        },
        World {
            specs: [Some(SPEC), Some(OTHER_ADOPT)],
            present: [true, true],
            lag: true,
            ..world("two objects, one adopts", &[U::Adopt, U::Delete, U::Suspend], [1, 1, 1, 0], [1, 1, 1, 1])
        },
        World {
            specs: [Some(SPEC), Some(OTHER_ADOPT)],
            present: [true, true],
            start: Start::Foreign,
            ..world("two objects and others", &[U::Adopt, U::Delete], [1, 1, 1, 1], [2, 1, 2, 1])
        },
        World {
            specs: [Some(OBSERVE_ADOPT), Some(OTHER)],
            present: [true, true],
            ..world("an observer takes over", &[U::Observe, U::Strip, U::Delete], [2, 0, 1, 1], [3, 1, 1, 1])
        },
        World {
            specs: [Some(SPEC), Some(OTHER_ADOPT)],
            start: Start::Synced,
            ..world("copied", &[U::Copy, U::Delete, U::Retain, U::Adopt], [3, 0, 1, 1], [3, 1, 1, 1])
        },
        World {
            specs: [Some(SPEC), Some(OTHER)],
            start: Start::Synced,
            ..world(
                "copied, without consent",
                &[U::Copy, U::Delete, U::Retain, U::Visible],
                [3, 1, 0, 1],
                [3, 1, 1, 1],
            )
        },
        World {
            core: Core { clock: Clock::Ahead, ..Core::default() },
            ..world("a clock that was ahead", &[U::Visible, U::Delete], [2, 1, 1, 1], [2, 1, 2, 2])
        },
        World {
            core: Core { clock: Clock::Behind, ..Core::default() },
            ..world("a clock that was behind", &[U::Visible, U::Delete], [2, 1, 1, 1], [2, 1, 2, 2])
        },
        World {
            rival: true,
            start: Start::Synced,
            ..world("a rival", &[U::Visible, U::Rotate], [1, 1, 1, 1], [2, 1, 1, 1])
        },
    ]
}

/// The world in which a rule is missed.
fn misses(mutant: Mutant) -> &'static str {
    use Mutant as M;
    match mutant {
        M::UnconfirmedIsDone | M::DeletedTwice => "later writes",
        M::ConsentForgotten => "consent",
        M::ForgedClaimProves => "forged",
        M::ReleasedProves | M::SuspendedWithoutSecrets => "policies",
        M::ProofNotKept => "refused",
        M::ProofTakenBack => "two operators, later writes",
        M::ValueOutlivesAttempt => "two operators, there and back",
        M::ConflictIgnored => "two operators, a late answer",
        M::WrongKeepsOut => "two objects",
        M::OwnWritesUnseen => "two objects, one adopts",
        M::RefusedCompetes => "two objects and others",
        M::OrderWithoutApplied => "an observer takes over",
        M::ClaimOfAnyUid => "copied",
        M::ForeignApplied => "copied, without consent",
        M::FutureWaitedFor => "a clock that was ahead",
        M::PastBelieved => "a clock that was behind",
        M::RepairsAtOnce => "a rival",
        _ => "first write",
    }
}

/// What a check found.
struct Found {
    states: usize,
    unique: usize,
    depth: usize,
    /// The broken property with the shortest way to break it, if there is one.
    broken: Option<(&'static str, Vec<Action>)>,
}

fn check(world: World) -> Found {
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries().into_iter().map(|(property, path)| (property, path.into_actions()));
    Found {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        broken: found.min_by_key(|(_, actions)| actions.len()),
    }
}

#[test]
fn every_world_keeps_every_property() {
    let begun = Instant::now();
    let worlds = worlds();
    let (count, mut total) = (worlds.len(), 0);
    for world in worlds {
        let (name, begun) = (world.name, Instant::now());
        let Found { states, unique, depth, broken } = check(world);
        let seconds = begun.elapsed().as_secs_f64();
        println!("{name}: {states} states, {unique} of them different, depth {depth}, {seconds:.1} s");
        assert!(broken.is_none(), "{name}: {broken:#?}");
        total += unique;
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{total} different states in {count} worlds, all properties hold; {seconds:.0} s");
    assert!(total >= 1_000_000, "{total}");
}

#[test]
fn every_rule_taken_back_breaks_a_property() {
    let (worlds, mut missed) = (worlds(), Vec::new());
    for (mutant, words) in Mutant::ALL {
        let name = misses(*mutant);
        let world = worlds.iter().find(|world| world.name == name).expect(name);
        let broken = check(world.without(*mutant)).broken;
        let Some((property, actions)) = broken else {
            missed.push(words);
            continue;
        };
        println!("{words}: not \"{property}\", after {} steps of {name}", actions.len());
        if std::env::var("MODEL_TRACES").is_ok() {
            println!("{actions:#?}");
        }
    }
    assert!(missed.is_empty(), "no property misses these rules: {missed:#?}");
    println!("{} mutants, each with a counter-example", Mutant::ALL.len());
}
