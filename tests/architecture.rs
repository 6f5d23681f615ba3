//! Whether `docs/architecture.md` is true: every path, name and count in it is looked up in the tree. Paths and names in
//! the other pages for maintainers as well.
//!
//! A count is a number in digits or in words from three up. Each stands in [`COUNTS`], which says where it comes from,
//! or in [`NOT_COUNTED`], which says why nothing here can count it. A number in neither fails the test.

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

const PAGE: &str = "docs/architecture.md";
/// Pages of which only paths and names are looked up.
const OTHERS: &[&str] = &["CONTRIBUTING.md", "tests/README.md"];

/// Where a number comes from.
enum Source {
    /// The rows of the table under this heading of the page.
    Rows(&'static str),
    /// How often this text stands in a file, spaces left out of both, between two others.
    Times { file: &'static str, text: &'static str, from: &'static str, to: &'static str },
    /// The number that follows this text in a file.
    After { file: &'static str, text: &'static str },
    /// This many cells of a row of a table in a file, from the second cell on, name this many requests.
    Requests { file: &'static str, row: &'static str, column: usize },
}

/// What the page counts, `{}` for the number, and where it comes from.
const COUNTS: &[(&str, Source)] = &[
    ("# {} words", Source::Rows("## Ten words")),
    ("which more than {} KiB arrive for a request", after("src/atlas/connect.rs", "MAX_RECEIVED: usize = ")),
    ("A head has at most {} KiB", after("src/atlas/http.rs", "MAX_HEAD: usize = ")),
    ("and a body {} KiB.", after("src/atlas/client.rs", "MAX_BODY: usize = ")),
    ("at least {} milliseconds between", after("src/core/turns.rs", "BREATH: u64 = ")),
    ("at most {} in a second", after("src/core/pacing.rs", "PROJECTS_A_SECOND: u32 = ")),
    ("up to a {} more may run", after("src/core/turns.rs", "spare: (turns / ")),
    ("at most a {} of the project's token bucket", after("src/core/pacing.rs", "remaining <= limit / ")),
    ("Creating costs {} writes to the API server", requests("Creation", 2)),
    ("writes to the API server and {} calls to Atlas", requests("Creation", 1)),
    ("A quiet resync costs {} LIST", requests("A quiet resync, ten objects", 1)),
    (
        "after waits from a second to {} s",
        after("src/cluster/retry.rs", "LONGEST_WAIT: Duration = Duration::from_secs("),
    ),
    (
        "more than {} s after it last served it",
        after("src/cluster/retry.rs", "UNSEEN: Duration = Duration::from_secs("),
    ),
    (
        "at most {} seconds, since a list",
        after("src/cluster/retry.rs", "LONGEST_DISTANCE: Duration = Duration::from_secs("),
    ),
    (
        "refused a watch for more than {} seconds",
        after("src/cluster/retry.rs", "UNSEEN: Duration = Duration::from_secs("),
    ),
    ("The first {} repairs", after("src/core/pacing.rs", "FREE_REPAIRS: u32 = ")),
    ("waits, up to {} hours", after("src/core/pacing.rs", "DAY: Duration = Duration::from_secs(")),
    ("a duration of {} second,", after("src/core/election.rs", "RELEASED_SECONDS: i64 = ")),
    ("a key of {} characters or more", after("src/domain/redacted.rs", "chars.len() >= ")),
    ("shows its last {},", after("src/domain/redacted.rs", "last_chunk::<")),
    (
        "in {} bounded worlds",
        Source::Times {
            file: "tests/model/tests/model.rs",
            text: "world(\"",
            from: "fn worlds()",
            to: "fn misses(",
        },
    ),
    ("fewer than {} different states", after("tests/model/tests/model.rs", "assert!(total >= ")),
    ("lives the same {} random histories", after("tests/model/tests/engine/main.rs", "HISTORIES: u64 = ")),
    (
        "each of {} rules back",
        Source::Times { file: "tests/model/src/mutant.rs", text: ": \"", from: "\nmutants! {", to: "\n}" },
    ),
];

/// Numbers that nothing here can count, each with the words around it.
const NOT_COUNTED: &[&str] = &[
    // HTTP statuses.
    "A 429, or any other answer",
    "the claim gets a 409",
    "(410, as an answer",
    "(403, 429, 5xx)",
    "a 409 because of a twin",
    "409, 429, 500 or 503",
    // The beginning of a sequence.
    "after 1, 4, 16, … seconds",
    // Times of the Kubernetes client.
    "brought nothing for 295 s",
    "after 5 minutes at the latest",
    "waits up to 30 s",
    // What another crate did when it was tried.
    "continued for 20 s",
];

const fn after(file: &'static str, text: &'static str) -> Source {
    Source::After { file, text }
}

const fn requests(row: &'static str, column: usize) -> Source {
    Source::Requests { file: "docs/costs.md", row, column }
}

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The files below a folder whose names end so.
fn files(folder: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, into);
        } else if path.to_string_lossy().ends_with(ending) {
            into.push(path);
        }
    }
}

/// All Rust files of the operator and its tests.
fn sources() -> Vec<PathBuf> {
    let mut all = Vec::new();
    for folder in ["src", "tests"] {
        files(&root(folder), ".rs", &mut all);
    }
    all
}

/// What stands between backticks, blocks of code left out.
fn quoted(page: &str) -> Vec<&str> {
    let lines = page.lines().filter(|line| !line.starts_with("    "));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Whether a quoted text is the path of a file or folder of the tree.
fn is_path(quoted: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
    quoted.find('/') > Some(0) && quoted.chars().all(plain) && !quoted.starts_with("atlas-integrations.dev/")
}

/// A path that is not there, with those of the same name that are.
fn missing_path(path: &str) -> Option<String> {
    if root(path).exists() {
        return None;
    }
    let (name, root) = (Path::new(path).file_name()?, root(""));
    let same = sources().into_iter().filter(|file| name != "mod.rs" && file.file_name() == Some(name));
    let same: Vec<_> = same.map(|file| file.strip_prefix(&root).unwrap().display().to_string()).collect();
    Some(format!("there is no {path}; of this name there are: {}", same.join(", ")))
}

/// The anchor that a heading has.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// What the target of a link in this folder lacks: the file, or the heading in it.
fn missing_link(folder: &str, target: &str) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (file, wanted) = target.split_once('#').unwrap_or((target, ""));
    let path = root(folder).join(file);
    if path.is_dir() && wanted.is_empty() {
        return None;
    }
    let Ok(page) = std::fs::read_to_string(&path) else {
        return Some(format!("the link to {target} leads nowhere"));
    };
    let found = wanted.is_empty() || page.lines().any(|line| line.starts_with('#') && anchor(line) == wanted);
    (!found).then(|| format!("no heading of {file} is {wanted}"))
}

/// Paths and links that lead nowhere; functions, types, flags and targets that nothing defines; in a page of this folder.
fn missing(folder: &str, page: &str) -> Vec<String> {
    let texts: Vec<String> = sources().iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let defined = |word: &str| texts.iter().any(|text| text.contains(word));
    let mut found: Vec<String> =
        page.split("](").skip(1).filter_map(|rest| missing_link(folder, rest.split(')').next()?)).collect();
    for quoted in quoted(page) {
        let name = quoted.rsplit("::").next().unwrap();
        let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let lacks = if is_path(quoted) {
            missing_path(quoted)
        } else if let Some(target) = quoted.strip_prefix("make ") {
            let target = target.split(' ').next().unwrap();
            (!text("Makefile").contains(&format!("\n{target}:"))).then(|| format!("no target {target}"))
        } else if quoted.starts_with("--") {
            (!text("docs/reference.md").contains(&format!("`{quoted}"))).then(|| format!("no flag {quoted}"))
        } else if quoted.starts_with("trace_") {
            (!defined(&format!("fn {quoted}("))).then(|| format!("no function {quoted}"))
        } else if quoted.contains("::") && quoted.split("::").all(is_name) {
            let kinds = ["fn ", "struct ", "enum ", "mod ", " "].map(|kind| format!("{kind}{name}"));
            (!kinds.iter().any(|kind| defined(kind))).then(|| format!("no {quoted}"))
        } else {
            None
        };
        found.extend(lacks);
    }
    found
}

/// A number in digits or words, from one to a hundred in words.
fn number(word: &str) -> Option<usize> {
    const WORDS: &str = "no one two three four five six seven eight nine ten eleven twelve thirteen fourteen \
                         fifteen sixteen seventeen eighteen nineteen twenty";
    const TENS: &[(&str, usize)] = &[("thirty", 30), ("forty", 40), ("fifty", 50), ("hundred", 100)];
    const PARTS: &[(&str, usize)] = &[("third", 3), ("quarter", 4), ("fifth", 5), ("tenth", 10)];
    let word = word.to_lowercase().replace([',', '_'], "");
    let named = |names: &[(&str, usize)]| names.iter().find(|(name, _)| *name == word).map(|(_, n)| *n);
    let listed = WORDS.split(' ').position(|name| name == word);
    word.parse().ok().or(listed).or_else(|| named(TENS)).or_else(|| named(PARTS))
}

/// Pages for users as well: no link leads nowhere.
#[test]
fn no_link_is_broken() {
    let mut pages: Vec<String> = std::fs::read_dir(root("docs"))
        .unwrap()
        .map(|file| format!("docs/{}", file.unwrap().file_name().to_str().unwrap()))
        .collect();
    assert!(pages.len() > 20, "{pages:?}");
    let others = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/README.md"];
    pages.extend(others.map(str::to_owned));
    pages.push("charts/atlas-integration-operator/README.md".to_owned());
    let mut broken = Vec::new();
    for page in &pages {
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = text(page);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let within = targets.map(|target| match target.strip_prefix('#') {
            Some(anchor) => format!("{}#{anchor}", page.rsplit('/').next().unwrap()),
            None => target.to_owned(),
        });
        let missing = within.filter_map(|target| missing_link(folder, &target));
        broken.extend(missing.map(|missing| format!("{page}: {missing}")));
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The page as one line, without what is quoted, numbers of rows and items, and links' targets.
fn prose(page: &str) -> String {
    let mut text = String::new();
    for line in page.lines().filter(|line| !line.starts_with("    ")) {
        // The number of an item in a list counts nothing.
        let item = line.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(". ");
        let line = item.unwrap_or(line);
        let cells = line.strip_prefix("| ").and_then(|row| row.split_once(" | "));
        let line = cells.filter(|(first, _)| first.len() < 4).map_or(line, |(_, rest)| rest);
        let plain: Vec<&str> = line.split('`').step_by(2).collect();
        text.push_str(&plain.join("``"));
        text.push(' ');
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The rows of the first table below a heading.
fn rows(page: &str, heading: &str) -> usize {
    let below = page.split_once(&format!("{heading}\n")).map_or("", |(_, below)| below);
    let rows =
        below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.count().saturating_sub(2)
}

/// The requests that a cell of a table names: `LIST, POST` are two, `2 × status` as well.
fn named_requests(table: &str, row: &str, column: usize) -> Option<usize> {
    let line = table.lines().find(|line| line.starts_with(&format!("| {row} |")))?;
    let cell = line.trim_matches('|').split(" | ").nth(column)?.trim();
    let each = |part: &str| part.split_once(" × ").map_or(Some(1), |(times, _)| times.parse().ok());
    cell.split(", ").map(each).sum()
}

/// The number that a source gives, if it can be found.
fn counted(source: &Source, page: &str) -> Option<usize> {
    match source {
        Source::Rows(heading) => Some(rows(page, heading)),
        Source::Times { file, text: wanted, from, to } => {
            let text = text(file);
            let part = text.split_once(from)?.1.split_once(to)?.0;
            let part: String = part.split_whitespace().collect();
            Some(part.matches(&wanted.replace(' ', "")).count())
        }
        Source::After { file, text: before } => {
            let text = text(file);
            let digits = |c: &char| c.is_ascii_digit() || *c == '_';
            number(&text.split_once(before)?.1.chars().take_while(digits).collect::<String>())
        }
        Source::Requests { file, row, column } => named_requests(&text(file), row, *column),
    }
}

/// Counts of the page that are wrong, that can't be found, or that nothing counts.
fn wrong_counts(page: &str) -> Vec<String> {
    let mut rest = prose(page);
    let mut found = Vec::new();
    for (phrase, source) in COUNTS {
        let (before, after) = phrase.split_once("{}").unwrap();
        // The words between the two halves of the phrase, where there is one.
        let word = rest.match_indices(before).find_map(|(at, _)| {
            let word = rest[at + before.len()..].split(' ').next()?;
            rest[at + before.len() + word.len()..].starts_with(after).then(|| word.to_owned())
        });
        let Some(word) = word.or_else(|| {
            // A comma may belong to what follows the number.
            let (_, tail) = rest.split_once(before)?;
            tail.split_once(after).map(|(word, _)| word.to_owned())
        }) else {
            found.push(format!("the page does not say \"{phrase}\" any more"));
            continue;
        };
        let (said, is) = (number(&word), counted(source, page));
        if said.is_none() || said != is {
            found.push(format!("\"{phrase}\": the page says {word}, the tree {is:?}"));
        }
        rest = rest.replacen(&format!("{before}{word}{after}"), &format!("{before}…{after}"), 1);
    }
    for phrase in NOT_COUNTED {
        if !rest.contains(phrase) {
            found.push(format!("the page does not say \"{phrase}\" any more"));
        }
        rest = rest.replace(phrase, "…");
    }
    let words = rest.split(|c: char| !(c.is_alphanumeric() || ",.-".contains(c)));
    let words = words.map(|word| word.trim_matches([',', '.', '-']));
    let numbers = words.filter(|word| number(word).is_some_and(|n| n > 2 || word.parse::<usize>().is_ok()));
    found.extend(numbers.map(|word| format!("nothing counts the number {word}")));
    found
}

#[test]
fn every_path_and_name_is_there() {
    for page in OTHERS.iter().chain([&PAGE]) {
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        let missing = missing(folder, &text(page));
        assert!(missing.is_empty(), "{page}:\n{}", missing.join("\n"));
    }
}

#[test]
fn every_count_is_right() {
    let wrong = wrong_counts(&text(PAGE));
    assert!(wrong.is_empty(), "{PAGE}:\n{}", wrong.join("\n"));
}

/// The page leaves nothing out: each layer, each file of the engine, and each trace.
#[test]
fn nothing_is_left_out() {
    let page = text(PAGE);
    let quoted = quoted(&page);
    let mut files_of_engine = Vec::new();
    files(&root("src/engine"), ".rs", &mut files_of_engine);
    let (top, own) = (root(""), root("src/engine/mod.rs"));
    let mut expected: Vec<String> = files_of_engine
        .iter()
        .filter(|file| **file != own && !file.to_string_lossy().ends_with("tests.rs"))
        .map(|file| file.strip_prefix(&top).unwrap().to_string_lossy().into_owned())
        .collect();
    for layer in std::fs::read_dir(root("src")).unwrap() {
        let layer = layer.unwrap();
        if layer.path().is_dir() {
            expected.push(format!("src/{}/", layer.file_name().to_string_lossy()));
        }
    }
    for file in sources() {
        let text = std::fs::read_to_string(file).unwrap();
        let tests = text.split("fn trace_").skip(1);
        // Not the names that this file itself is about.
        let tests = tests.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        expected.extend(tests.map(|rest| format!("trace_{}", rest.split('(').next().unwrap())));
    }
    let left_out: Vec<&String> = expected.iter().filter(|name| !quoted.contains(&name.as_str())).collect();
    assert!(left_out.is_empty(), "{PAGE} does not name {left_out:#?}");
}

/// The compiler asks for a word for each reason, but not for its place in `Reason::ALL`, nor for its row for users.
#[test]
fn every_reason_is_listed_and_documented() {
    let (code, page) = (text("src/domain/reason.rs"), text("docs/conditions.md"));
    let between =
        |from: &str, to: &str| code.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    let variants = between("pub enum Reason {", "}");
    let all = between("pub const ALL: ", "];");
    let variants: Vec<&str> = variants.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    assert!(variants.contains(&"Synced"), "{variants:?}");
    for name in variants {
        assert!(all.contains(&format!("Reason::{name},")), "{name} is not in Reason::ALL");
        assert!(page.contains(&format!("\n| `{name}` | ")), "docs/conditions.md has no row for {name}");
    }
}

/// What is wrong is found.
#[test]
fn a_wrong_path_name_or_count_is_found() {
    for (page, lacks) in [
        ("see `src/core/plam.rs`", "there is no src/core/plam.rs"),
        ("see `src/plan.rs`", "of this name there are: src/core/plan.rs"),
        ("run `make tset`", "no target tset"),
        ("with `--atlas-tiemout`", "no flag --atlas-tiemout"),
        ("as `trace_1_nobody_wrote_this`", "no function trace_1_nobody_wrote_this"),
        ("by `Lead::must_write`", "no Lead::must_write"),
        ("see [costs](cost.md)", "leads nowhere"),
        ("see [costs](costs.md#none)", "no heading of costs.md is none"),
    ] {
        let found = missing("docs", page);
        assert!(found.len() == 1 && found[0].contains(lacks), "{page}: {found:?}");
    }
    let page = text(PAGE);
    assert!(missing("docs", "`src/core/plan.rs` and [costs](costs.md#what-things-cost)").is_empty());
    for (right, wrong) in [
        ("in 24 bounded worlds", "in 23 bounded worlds"),
        ("The first three repairs", "The first four repairs"),
        ("Atlas keeps at most one", "Atlas keeps at most seven"),
        ("for 295 s", "for 296 s"),
    ] {
        let found = wrong_counts(&page.replacen(right, wrong, 1));
        let before = wrong_counts(&page);
        assert!(page.contains(right) && found.len() > before.len(), "{wrong}: {found:?}");
    }
}
