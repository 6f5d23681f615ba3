//! Runs a property on hostile input: first on every file of `tests/fuzz/corpus/NAME`, then on a fixed number of
//! generated inputs from a fixed seed, half of them mutations of the corpus. With `FUZZ_SECONDS` it continues with
//! other seeds for that time (`make fuzz`). The seed of a failure is kept in `tests/fuzz/regressions` and tried first
//! from then on. Add the shrunk input to the corpus, too.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};

const CASES: u32 = 2_000;
const SEED: u64 = 20_261_124;

/// Texts that break parsers, quotes, terminals and paths.
const TOKENS: &[&str] = &[
    "\"",
    "\\",
    "\\\"",
    ",",
    "=",
    ", Digest ",
    "\0",
    "\u{1b}[31m",
    "\r\n",
    "é",
    "\u{202e}",
    "\u{2028}",
    "****",
    "../",
    "%2F",
    "?x=",
    "#",
    "@",
    "{",
    "}",
    "[",
    "]",
    "null",
    "true",
    "1e999",
    "\"\\ud800\"",
    "canary",
    "algorithm=MD5-sess",
    "qop=auth-int",
];

fn token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::sample::select(TOKENS).prop_map(|token| token.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..8),
        1 => (any::<char>(), 1..6_000_usize).prop_map(|(c, n)| c.to_string().repeat(n).into_bytes()),
    ]
}

/// An input of the corpus with some bytes replaced.
fn mutated(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0..12_usize, token());
    (prop::sample::select(seeds), prop::collection::vec(change, 1..6)).prop_map(|(mut bytes, changes)| {
        for (at, length, token) in changes {
            let from = at.index(bytes.len() + 1);
            let to = (from + length).min(bytes.len());
            bytes.splice(from..to, token);
        }
        bytes
    })
}

/// Runs one target.
pub(crate) fn run(name: &str, target: fn(&[u8]), made: impl Strategy<Value = Vec<u8>> + 'static) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let files = std::fs::read_dir(root.join("corpus").join(name)).expect("a corpus");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    let mut seeds = Vec::new();
    for file in &files {
        let bytes = std::fs::read(file).expect("readable");
        println!("{name}: {}", file.display());
        target(&bytes);
        seeds.push(bytes);
    }
    let made = prop_oneof![mutated(seeds), made];
    let kept = root.join("regressions").join(format!("{name}.txt")).to_string_lossy().into_owned();
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let limit = Duration::from_secs(seconds.unwrap_or(0));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = if limit.is_zero() { SEED } else { now };
    let (begun, mut rounds) = (Instant::now(), 0);
    while rounds == 0 || begun.elapsed() < limit {
        let config = Config {
            cases: CASES,
            rng_seed: RngSeed::Fixed(seed + rounds),
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct(String::leak(kept.clone())))),
            ..Config::default()
        };
        let result = TestRunner::new(config).run(&made, |bytes| {
            target(&bytes);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{name}, seed {}: {error}", seed + rounds);
        }
        rounds += 1;
    }
    println!(
        "fuzz {name}: {} cases, seed {seed}, corpus of {} files",
        rounds * u64::from(CASES),
        files.len()
    );
}
