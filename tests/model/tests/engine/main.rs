//! The model's operator (`src/operator.rs`) is a copy of the engine's sequence. Here both live the same histories, and
//! every request of theirs that changes something, or may, has to be the same, in the same order: each write to the API
//! server with the object that it leaves, each call to Atlas with what it sends, and the LIST before them.
//!
//! The engine is the real one. Its API server is in memory (`cluster.rs`), its Atlas on 127.0.0.1 (`atlas.rs`), and its
//! clock is tokio's, which runs ahead of the real one. Histories (`history.rs`) are made from seeds, the model's
//! operator lives them as they are made, and the engine lives them after it.
//!
//! Not compared: reads, Events, messages and the conditions besides Ready's reason and Suspended, how often a pass that
//! changes nothing is made, how long waits are, repairs that wait, what an API server failure does besides those after a
//! fence and after an answer, and two operators at a time. A limited call is only met where there is one object: the
//! others of the project wait, of which the model knows nothing.
//!
//! `HISTORIES=n` lives as many, `HISTORY_SEED=n` begins with another seed: with `HISTORIES=1` one history is lived again.

// What is printed is the result; a failed expectation is how a test fails.
#![allow(clippy::print_stdout, clippy::expect_used, clippy::panic)]

mod atlas;
mod cluster;
mod history;
mod seen;
mod stage;

use std::fmt::Write;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};

use history::{History, Mirror};

/// How many histories `make test` has time for.
const HISTORIES: u64 = 200;
/// At a time.
const SIDE_BY_SIDE: usize = 24;
/// At a time, of those that are lived again.
const PATIENTLY: usize = 6;
/// The time limit of the engine's calls. Fences must not take longer than a third of it, so a history that differs is
/// lived again with [`PATIENT`] before it is believed.
const LIMIT: Duration = Duration::from_secs(10);
const PATIENT: Duration = Duration::from_secs(60);
/// How much faster than the real clock tokio's may be.
const LAPSE: u32 = 30;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn the_engine_makes_the_requests_of_the_model() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(compare());
}

/// What looks after the memory every minute has to outlive a panic, as the workers do.
#[test]
fn sizes_are_reported_after_a_panic() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let reported = runtime.expect("a runtime").block_on(stage::reports_sizes_after_a_panic());
    assert_eq!(reported, Ok(()));
}

async fn compare() {
    tokio::spawn(clock());
    let begun = Instant::now();
    let (first, count) = (number("HISTORY_SEED", 1), number("HISTORIES", HISTORIES));
    let seeds = stream::iter(first..first + count);
    let lived = seeds.map(|seed| live(seed, LIMIT)).buffer_unordered(SIDE_BY_SIDE).collect::<Vec<_>>().await;
    let requests: usize = lived.iter().map(|lived| lived.requests).sum();
    let doubtful: Vec<u64> =
        lived.iter().filter(|lived| lived.differs.is_some()).map(|lived| lived.seed).collect();
    let again = doubtful.len();
    // Where many differ, they do so for one cause.
    let again_lived = stream::iter(doubtful.into_iter().take(SIDE_BY_SIDE)).map(|seed| live(seed, PATIENT));
    let again_lived = again_lived.buffer_unordered(PATIENTLY).collect::<Vec<_>>().await;
    let wrong: Vec<String> = again_lived.into_iter().filter_map(|lived| lived.differs).collect();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{count} histories from seed {first}, {requests} requests, {again} of them lived twice; {seconds:.0} s"
    );
    let shown: Vec<&str> = wrong.iter().take(3).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} histories differ: {}", wrong.len(), shown.join("\n"));
    assert!(again < SIDE_BY_SIDE, "too many had to be lived twice for all of them to be known");
    assert!(count < HISTORIES || requests > 4_000, "too few requests");
}

/// A history that both lived.
struct Lived {
    seed: u64,
    requests: usize,
    /// Where they differ.
    differs: Option<String>,
}

async fn live(seed: u64, limit: Duration) -> Lived {
    let (history, expected) = Mirror::live(seed).expect("a history");
    let found = stage::play(&history, limit).await.expect("a stage");
    let requests = expected.iter().filter(|line| !line.starts_with("--")).count();
    let differs = (found != expected).then(|| differs(&history, &expected, &found));
    Lived { seed, requests, differs }
}

/// Keeps tokio's clock going in small steps, so that what comes through a socket comes before the next limit, and not
/// too fast for the time of day.
async fn clock() {
    let (mut real, mut lapsed) = (Instant::now(), tokio::time::Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let ahead = (lapsed.elapsed() / LAPSE).saturating_sub(real.elapsed());
        if ahead > Duration::from_millis(1) {
            std::thread::sleep(ahead);
        }
        if ahead.is_zero() {
            // What was lost while there was much to do is not caught up with.
            (real, lapsed) = (Instant::now(), tokio::time::Instant::now());
        }
    }
}

fn differs(history: &History, expected: &[String], found: &[String]) -> String {
    let History { seed, specs, present, foreign, moves } = history;
    let mut text = format!("history {seed}, of others: {foreign}, there: {present:?}, {specs:?}\n");
    for step in moves {
        let _ = writeln!(text, "  {step:?}");
    }
    let common = expected.iter().zip(found).take_while(|(expected, found)| expected == found).count();
    text.push_str("both:\n");
    for line in &expected[..common] {
        let _ = writeln!(text, "  {line}");
    }
    for (who, lines) in [("the model", expected), ("the engine", found)] {
        let _ = writeln!(text, "then {who}:");
        for line in lines.iter().skip(common).take(12) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}
