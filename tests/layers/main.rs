//! Layers point one way. A module may use the layers that the table gives it, and no others, and within `engine` a
//! second table says the same of its parts. No two files of `src` import each other in a circle. The decisions in `core`
//! may use nothing that reads a clock, draws a number or does I/O.

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod imports;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use imports::{Arrows, arrows, circles};

/// Layer, what of the crate it may use, and foreign crates that it must not name.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("api", &["domain"], &["tokio", "hyper", "tracing"]),
    ("domain", &[], &["tokio", "kube", "k8s_openapi", "hyper", "tracing"]),
    ("core", &["domain"], &["tokio", "kube", "k8s_openapi", "hyper", "tracing", "ring", "futures"]),
    ("atlas", &["domain"], &["kube", "k8s_openapi"]),
    ("cluster", &["api", "domain"], &["hyper_rustls", "digest_auth"]),
    ("engine", &["api", "domain", "core", "atlas", "cluster"], &["hyper", "k8s_openapi"]),
    ("telemetry", &["domain", "engine"], &["kube", "k8s_openapi", "hyper_rustls"]),
    ("cli", &["api", "domain", "atlas", "cluster", "engine", "telemetry"], &["hyper_rustls"]),
];

/// The parts of `engine` (a file or a folder each) from the lowest up, and the other parts that each may use.
const ENGINE: &[(&str, &[&str])] = &[
    ("jitter", &[]),
    ("index", &[]),
    ("election", &["jitter"]),
    ("turn", &["index", "jitter"]),
    ("queue", &["index", "turn"]),
    ("fresh", &[]),
    ("store", &["fresh", "index", "queue"]),
    ("credentials", &["index", "queue"]),
    ("standing", &["jitter"]),
    ("shared", &["credentials", "election", "index", "queue", "standing", "store"]),
    ("object", &["credentials", "index", "jitter", "shared", "turn"]),
    ("pass", &["credentials", "index", "jitter", "object", "shared", "standing", "turn"]),
    ("follow", &["index", "shared"]),
    (
        "run",
        &[
            "credentials",
            "election",
            "follow",
            "index",
            "pass",
            "queue",
            "shared",
            "standing",
            "store",
            "turn",
        ],
    ),
];

/// Names that only these files may write, and why.
const ONE_PLACE: &[(&[&str], &[&str], &str)] = &[
    (
        &["atlas.create(", "atlas.update(", "atlas.delete("],
        &["engine/object/fence.rs"],
        "a call that changes Atlas needs a fence",
    ),
    (
        &["writer."],
        &["engine/store.rs", "cluster/writer.rs"],
        "the index has to learn of every write of an object",
    ),
    (&["Writer::new("], &["cli/run.rs", "cluster/writer.rs"], "there is one writer"),
];

/// What makes the result of a function depend on more than its arguments.
const IMPURE: &[&str] =
    &["::now(", "Instant", "SystemTime", "std::env", "std::fs", "std::thread", "async fn", ".await"];

/// The ways in which `text`, a file of `layer`, breaks the table.
fn offences(layer: &str, text: &str) -> Vec<String> {
    let Some((_, may_use, banned)) = TABLE.iter().find(|(name, ..)| *name == layer) else {
        return vec![format!("{layer} is not in the table")];
    };
    let mut found = Vec::new();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    for (number, line) in code.enumerate() {
        for used in line.split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            if used != layer
                && !may_use.contains(&used.as_str())
                && TABLE.iter().any(|(name, ..)| *name == used)
            {
                found.push(format!("code line {}: uses crate::{used}", number + 1));
            }
        }
        if line.contains("use crate::{") {
            found.push(format!(
                "code line {}: grouped `use crate::{{` hides layers; write one line each",
                number + 1
            ));
        }
        let names = |word: &str| {
            line.match_indices(word)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        found.extend(
            banned
                .iter()
                .filter(|name| names(&format!("{name}::")))
                .map(|name| format!("code line {}: uses {name}", number + 1)),
        );
        if layer == "core" {
            found.extend(
                IMPURE
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("code line {}: {word}", number + 1)),
            );
        }
    }
    found
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn layers_point_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&src, &mut all);
    let mut seen = BTreeMap::<String, usize>::new();
    let mut found = Vec::new();
    for path in all {
        let inner = path.strip_prefix(&src).unwrap();
        let layer = inner.components().next().unwrap().as_os_str().to_str().unwrap().to_owned();
        if inner.components().count() == 1 {
            continue; // lib.rs and main.rs only name the layers
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // Tests of the core may use what they like.
        let text = text.split("#[cfg(test)]").next().unwrap();
        if path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_tests.rs")) {
            continue;
        }
        found.extend(
            offences(&layer, text).into_iter().map(|offence| format!("{}: {offence}", inner.display())),
        );
        *seen.entry(layer).or_default() += 1;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(
        seen.len(),
        TABLE.len(),
        "a layer of the table has no files, or the other way round: {seen:?}"
    );
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    let arrows = arrows(&src());
    assert!(arrows.len() > 50, "only {} files were read", arrows.len());
    assert!(arrows.values().map(|to| to.len()).sum::<usize>() > 100, "too few arrows were found: {arrows:?}");
    assert_eq!(circles(&arrows), [], "files that import each other");
}

/// The part of `engine` that a file belongs to.
fn part(file: &Path) -> Option<String> {
    let inner = file.strip_prefix("engine").ok()?;
    let first = inner.components().next()?.as_os_str().to_str()?;
    (first != "mod.rs").then(|| first.trim_end_matches(".rs").to_owned())
}

/// The arrows between parts of `engine` that its table does not have.
fn strays(arrows: &Arrows) -> Vec<String> {
    let mut found = Vec::new();
    for (from, to) in arrows {
        let Some(here) = part(from) else { continue };
        let Some(at) = ENGINE.iter().position(|(name, _)| *name == here) else {
            found.push(format!("{here} is not in the table"));
            continue;
        };
        for there in to.iter().filter_map(|to| part(to)).filter(|there| *there != here) {
            let below = ENGINE[..at].iter().any(|(name, _)| *name == there);
            if !below || !ENGINE[at].1.contains(&there.as_str()) {
                found.push(format!("{} uses {there}", from.display()));
            }
        }
    }
    found
}

#[test]
fn arrows_within_the_engine_point_down() {
    let arrows = arrows(&src());
    assert_eq!(strays(&arrows), Vec::<String>::new());
    let parts: Vec<String> = arrows.keys().filter_map(|file| part(file)).collect();
    for (name, may_use) in ENGINE {
        assert!(parts.iter().any(|part| part == name), "{name} has no file");
        for used in *may_use {
            let uses = |(from, to): (&PathBuf, &std::collections::BTreeSet<PathBuf>)| {
                part(from).as_deref() == Some(name) && to.iter().any(|to| part(to).as_deref() == Some(used))
            };
            assert!(arrows.iter().any(uses), "{name} does not use {used} any more: take it out of the table");
        }
    }
}

#[test]
fn a_circle_and_a_stray_arrow_are_found() {
    let made = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = made.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod engine;");
    write("engine/mod.rs", "mod index;\nmod queue;\nmod pass;\npub use queue::Queue;");
    write("engine/index.rs", "use std::fmt;\npub struct Index;");
    write("engine/queue.rs", "use super::index::Index;\npub struct Queue(Index);");
    write("engine/pass/mod.rs", "mod look;\npub fn pass() { look::look() }");
    write("engine/pass/look.rs", "#[cfg(test)]\nuse super::pass;\npub fn look() {}");
    let good = arrows(made.path());
    assert_eq!(good[Path::new("engine/queue.rs")].len(), 1, "{good:?}");
    assert!(circles(&good).is_empty() && strays(&good).is_empty(), "{good:?}");

    // Through a re-export, and by a path without a `use`.
    write("engine/index.rs", "pub struct Index(Option<crate::engine::Queue>);");
    let bad = arrows(made.path());
    assert_eq!(circles(&bad).len(), 1, "{bad:?}");
    assert_eq!(strays(&bad), ["engine/index.rs uses queue"]);

    write("engine/index.rs", "pub struct Index;");
    write("engine/pass/look.rs", "pub fn look() { super::pass() }");
    let bad = arrows(made.path());
    assert_eq!(circles(&bad).len(), 1, "within a folder: {bad:?}");
    write("engine/pass/look.rs", "pub fn look(_: &crate::engine::queue::Queue) {}");
    assert_eq!(strays(&arrows(made.path())), ["engine/pass/look.rs uses queue"]);
}

#[test]
fn what_has_one_place_stands_nowhere_else() {
    let src = src();
    let mut all = Vec::new();
    files(&src, &mut all);
    for (names, places, why) in ONE_PLACE {
        let mut found = vec![0; names.len()];
        for path in &all {
            let file = path.strip_prefix(&src).unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(path).unwrap();
            let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for (name, found) in names.iter().zip(&mut found).filter(|(name, _)| code.contains(**name)) {
                assert!(places.contains(&file), "{file} has {name}: {why}");
                *found += 1;
            }
        }
        assert!(found.iter().all(|count| *count > 0), "{names:?}: {found:?}");
    }
}

#[test]
fn a_forbidden_import_is_found() {
    assert_eq!(offences("core", "use crate::cluster::Writer;").len(), 1);
    assert_eq!(offences("domain", "fn f() { crate::core::plan::plan() }").len(), 1);
    assert_eq!(offences("atlas", "use kube::Client;").len(), 1);
    assert_eq!(offences("core", "let now = Timestamp::now();").len(), 1);
    assert_eq!(offences("engine", "use crate::{telemetry::Metrics};").len(), 1);
    assert_eq!(offences("elsewhere", "").len(), 1);
    assert!(offences("core", "use crate::domain::Object; // crate::cluster is said, not used").len() <= 1);
    assert!(offences("engine", "use crate::core::plan::plan;\n/// [`crate::telemetry`]").is_empty());
}

/// Files beside the root of a crate or a module that nothing names: no compiler ever sees them.
fn left_out(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    files(folder, &mut all);
    let is_root =
        |path: &Path| ["main", "lib", "mod"].iter().any(|root| path.file_stem() == Some(root.as_ref()));
    let is_named = |path: &PathBuf| {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let siblings = all.iter().filter(|other| other.parent() == path.parent() && *other != path);
        let texts = siblings.map(|sibling| std::fs::read_to_string(sibling).unwrap());
        let (module, file) = (format!("mod {stem};"), format!("\"{stem}.rs\""));
        texts.into_iter().any(|text| text.contains(&module) || text.contains(&file))
    };
    let has_root = |path: &PathBuf| all.iter().any(|other| other.parent() == path.parent() && is_root(other));
    all.iter().filter(|path| !is_root(path) && has_root(path) && !is_named(path)).cloned().collect()
}

#[test]
fn no_file_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "tests"] {
        let left_out = left_out(&root.join(folder));
        assert!(left_out.is_empty(), "{left_out:?}");
    }
    let made = tempfile::tempdir().unwrap();
    std::fs::write(made.path().join("main.rs"), "mod named;\n").unwrap();
    for file in ["named.rs", "forgotten.rs"] {
        std::fs::write(made.path().join(file), "").unwrap();
    }
    assert_eq!(left_out(made.path()), [made.path().join("forgotten.rs")]);
}
