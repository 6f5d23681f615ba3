//! Turns of priority: every world keeps every property; every rule taken back breaks one.

// What is printed is the result; a failed expectation is how a test fails.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use atlas_integration_model::turns::{Action, Mutant, World};
use atlas_integration_operator::core::turns::Limits;
use stateright::{Checker, HasDiscoveries, Model};

/// With one cause more where `make model` asks for it.
fn worlds() -> [World; 3] {
    let more = u8::from(std::env::var("MODEL_BUDGET").is_ok_and(|budget| budget == "large"));
    let limits = Limits { turns: 1, spare: 1, asked_in_a_row: 3 };
    let one = World {
        name: "one worker",
        tenants: &[0, 0, 0, 0, 1],
        limits,
        causes: 5 + more,
        ticks: 0,
        again: false,
        mutant: None,
    };
    let tenants =
        World { name: "tenants", tenants: &[0, 0, 0, 1, 1], limits: Limits { turns: 2, ..limits }, ..one };
    let again =
        World { name: "again and again", tenants: &[0, 1], causes: 4 + more, ticks: 5, again: true, ..one };
    [one, tenants, again]
}

/// How many different states there are, and the broken property with the shortest way to break it, if there is one.
fn check(world: World) -> (usize, Option<(&'static str, Vec<Action>)>) {
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries().into_iter().map(|(property, path)| (property, path.into_actions()));
    (checker.unique_state_count(), found.min_by_key(|(_, actions)| actions.len()))
}

#[test]
fn every_world_keeps_every_property() {
    for world in worlds() {
        let (name, begun) = (world.name, Instant::now());
        let (states, broken) = check(world);
        println!("{name}: {states} different states, {:.1} s", begun.elapsed().as_secs_f64());
        assert!(broken.is_none(), "{name}: {broken:#?}");
        assert!(states > 10_000, "{name}: only {states} states");
    }
}

#[test]
fn every_rule_taken_back_breaks_a_property() {
    let worlds = worlds();
    for (mutant, words, name) in Mutant::ALL {
        let world = worlds.iter().find(|world| world.name == *name).expect(name);
        let (_, broken) = check(world.without(*mutant));
        let (property, actions) = broken.unwrap_or_else(|| panic!("no property misses the rule: {words}"));
        println!("{words}: not \"{property}\", after {} steps of {name}", actions.len());
    }
}
