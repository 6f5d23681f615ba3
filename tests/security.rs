//! What docs/security.md and deny.toml promise, held against the tree: the table of threats, the rules of RBAC, and the
//! crates that come into the build.

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn text(file: &str) -> String {
    read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The rows of the table under a heading of docs/security.md, cell by cell.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = text("docs/security.md");
    let (_, section) = page.split_once(&format!("## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// The names of the tests in a file. A test is a function right behind its attributes.
fn tests_in(source: &str) -> Vec<&str> {
    let functions = source.split("fn ").zip(source.split("fn ").skip(1));
    let name = |(before, after): (&str, &'_ str)| {
        let attributes = before.rsplit("}\n").next().unwrap();
        let is_test = attributes.contains("test]") || attributes.contains("test(");
        is_test.then(|| after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().len())
    };
    functions.filter_map(|pair| name(pair).map(|length| &pair.1[..length])).collect()
}

/// Which tests a cell names and the tree does not have.
fn missing(cell: &str, of: impl Fn(&str) -> String) -> (usize, Vec<String>) {
    let (mut found, mut missing) = (0, Vec::new());
    for part in cell.split("; ") {
        let (file, names) = part.trim_start_matches('`').split_once("` ").unwrap();
        let source = of(file);
        for name in names.split(", ") {
            found += 1;
            let is_test = tests_in(&source).contains(&name);
            if !is_test {
                missing.push(format!("{file} has no test {name}"));
            }
        }
    }
    (found, missing)
}

/// Every threat has its row, and every test that a row names is there.
#[test]
fn every_threat_has_its_tests() {
    let rows = table("Threats, and the tests that show what is done about each");
    let numbers: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let expected: Vec<String> = (1..=39).map(|number| format!("T{number}")).collect();
    assert_eq!(numbers, expected);
    let mut tests = 0;
    for row in &rows {
        assert!(row.len() == 4 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let (found, missing) = missing(&row[3], text);
        assert!(found > 0 && missing.is_empty(), "{}: {missing:?}", row[0]);
        tests += found;
    }
    println!("{} threats, {tests} tests", rows.len());
}

#[test]
fn a_test_that_is_not_there_is_found() {
    let source = |_: &str| "#[test]\nfn there() {\n}\n\nfn helper() {\n}\n".to_owned();
    assert_eq!(missing("`a.rs` there", source), (1, vec![]));
    assert_eq!(missing("`a.rs` there, helper; `b.rs` gone", source).1.len(), 2);
}

/// The rows of docs/attacks.md, cell by cell.
fn attacks() -> Vec<Vec<String>> {
    let page = text("docs/attacks.md");
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #"));
    rows.map(cells).collect()
}

/// Every attack has a test, and every test of an attack a row.
#[test]
fn every_attack_has_its_row() {
    let rows = attacks();
    let mut named = BTreeSet::new();
    for row in &rows {
        assert!(row.len() == 4 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let (found, missing) = missing(&row[3], text);
        assert!(found > 0 && missing.is_empty(), "{}: {missing:?}", row[0]);
        named.extend(row[3].split([';', ',', ' ']).map(str::to_owned));
    }
    for (letter, least) in [("H", 20), ("O", 40)] {
        let of = |row: &Vec<String>| row[0].strip_prefix(letter)?.parse().ok();
        let mut numbers: Vec<usize> = rows.iter().filter_map(of).collect();
        numbers.sort_unstable();
        let all: Vec<usize> = (1..=numbers.len()).collect();
        assert!(numbers == all && numbers.len() >= least, "{letter}: {numbers:?}");
    }
    let mut tests = 0;
    for file in std::fs::read_dir(Path::new(ROOT).join("tests/e2e/hostile")).unwrap() {
        let source = read_to_string(file.unwrap().path()).unwrap();
        for name in tests_in(&source) {
            assert!(named.contains(name), "{name} has no row in docs/attacks.md");
            tests += 1;
        }
    }
    println!("{} attacks, {tests} tests for them alone", rows.len());
}

/// The objects of every manifest in `deploy/` (overlays apart, which `tests/chart` compares) and of the Roles in the documentation.
fn manifests() -> Vec<(String, Value)> {
    let mut documents = Vec::new();
    for folder in ["deploy", "deploy/base"] {
        for entry in std::fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_dir() {
                continue;
            }
            let file = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            documents.extend(text(&file).split("---\n").map(|part| (file.clone(), part.to_owned())));
        }
    }
    let page = text("docs/tenancy.md");
    for block in page.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        documents.extend(block.split("---\n").map(|part| ("docs/tenancy.md".to_owned(), part.to_owned())));
    }
    let parsed = documents.into_iter().map(|(file, text)| {
        let value = serde_saphyr::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        (file, value)
    });
    parsed.filter(|(_, value)| value.is_object()).collect()
}

/// One rule as `verbs of group/resource`, and the names that it is for.
fn lines(role: &Value) -> Vec<String> {
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap().to_owned()).collect()
    };
    let rule = |rule: &Value| {
        let known = ["apiGroups", "resources", "resourceNames", "verbs"];
        assert!(rule.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{rule}");
        let (groups, resources) = (texts(&rule["apiGroups"]), texts(&rule["resources"]));
        assert_eq!((groups.len(), resources.len()), (1, 1), "one a rule: {rule}");
        let only = texts(&rule["resourceNames"]).join(",");
        let only = if only.is_empty() { only } else { format!(" only {only}") };
        format!("{} of {}/{}{only}", texts(&rule["verbs"]).join(","), groups[0], resources[0])
    };
    role["rules"].as_array().unwrap().iter().map(rule).collect()
}

/// What each role of `deploy/` and of the documentation allows: this, and not a verb more.
#[test]
fn rbac_is_exactly_this() {
    const OBJECTS: &str = "get,list,watch,patch of atlas-integrations.dev/atlasintegrations";
    const STATUS: &str = "patch of atlas-integrations.dev/atlasintegrations/status";
    const SECRETS: &str = "get,list,watch of /secrets";
    const EVENTS: &str = "create of events.k8s.io/events";
    let expected: &[(&str, &str, &[&str])] = &[
        (
            "deploy/base/rbac.yaml",
            "ClusterRole atlas-integration-operator",
            &[
                OBJECTS,
                STATUS,
                SECRETS,
                EVENTS,
                "get of apiextensions.k8s.io/customresourcedefinitions only atlasintegrations.atlas-integrations.dev",
            ],
        ),
        (
            "deploy/base/rbac.yaml",
            "Role atlas-integration-operator",
            &[
                "create of coordination.k8s.io/leases",
                "get,update of coordination.k8s.io/leases only atlas-integration-operator",
            ],
        ),
        (
            "deploy/cluster-finalizers.yaml",
            "ClusterRole atlas-integration-operator-finalizers",
            &[OBJECTS, STATUS],
        ),
        ("docs/tenancy.md", "Role atlas-credentials", &["get,list,watch of /secrets only atlas"]),
        (
            "docs/tenancy.md",
            "Role atlas-integrations",
            &[OBJECTS, STATUS, SECRETS, EVENTS, "get of /namespaces only payments"],
        ),
    ];
    let is_role = |value: &Value| matches!(value["kind"].as_str(), Some("ClusterRole" | "Role"));
    let mut found: Vec<(String, String, Vec<String>)> = manifests()
        .into_iter()
        .filter(|(_, value)| is_role(value))
        .map(|(file, role)| {
            let name =
                format!("{} {}", role["kind"].as_str().unwrap(), role["metadata"]["name"].as_str().unwrap());
            let rules = lines(&role);
            (file, name, rules)
        })
        .collect();
    found.sort();
    let expected: Vec<(String, String, Vec<String>)> = expected
        .iter()
        .map(|(file, name, rules)| {
            ((*file).to_owned(), (*name).to_owned(), rules.iter().map(|rule| (*rule).to_owned()).collect())
        })
        .collect();
    assert_eq!(found, expected);
}

/// Roles are bound to the operator's ServiceAccount alone, and none is added to what users have by `view`, `edit` or
/// `admin`: nobody gets `/status` or `/finalizers` by installing this.
#[test]
fn users_are_given_nothing() {
    let mut bindings = 0;
    for (file, object) in manifests() {
        let labels = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        assert!(labels.keys().all(|label| !label.contains("aggregate-to")), "{file}: {labels:?}");
        assert!(object["aggregationRule"].is_null(), "{file}");
        if matches!(object["kind"].as_str(), Some("ClusterRoleBinding" | "RoleBinding")) {
            let name = "atlas-integration-operator";
            let operator = json!([{"kind": "ServiceAccount", "name": name, "namespace": name}]);
            assert_eq!(object["subjects"], operator, "{file}");
            bindings += 1;
        }
    }
    assert!(bindings >= 4);
}

/// What cargo knows of the crates of this platform.
fn metadata() -> Value {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let args = ["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", &platform];
    let output = Command::new(env!("CARGO")).args(args).current_dir(ROOT).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The ids of the crates that the operator is built from: its dependencies, and theirs, those of tests left out.
fn of_the_operator(metadata: &Value) -> BTreeSet<String> {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let mut open = vec![metadata["resolve"]["root"].as_str().unwrap().to_owned()];
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        let node = nodes.iter().find(|node| node["id"] == id.as_str()).unwrap();
        if found.insert(id) {
            let built = |dependency: &&Value| {
                dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev")
            };
            let dependencies = node["deps"].as_array().unwrap().iter().filter(built);
            open.extend(dependencies.map(|dependency| dependency["pkg"].as_str().unwrap().to_owned()));
        }
    }
    found
}

/// The quoted texts of a list in deny.toml; of a table its `crate`.
fn list(name: &str) -> BTreeSet<String> {
    let file = text("deny.toml");
    let (_, rest) = file.split_once(&format!("\n{name} = [")).unwrap();
    let lines = rest.split("]\n").next().unwrap().lines();
    lines.filter_map(|line| Some(line.split('"').nth(1)?.to_owned())).collect()
}

/// Whether a licence expression can be met by what is allowed.
fn met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // None of the tree nests deeper than this.
    let alternatives = |text: &str| {
        text.trim_matches(['(', ')'])
            .replace(" / ", " OR ")
            .replace('/', " OR ")
            .split(" OR ")
            .any(|one| allowed.contains(one))
    };
    expression.split(" AND ").all(alternatives)
}

/// Licences, sources and versions are those that deny.toml allows; what is named directly is explained in the
/// documentation.
#[test]
fn crates_are_those_of_the_lists() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let field = |package: &Value, name: &str| package[name].as_str().unwrap_or_default().to_owned();
    let allowed = list("allow");
    let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
    let built = of_the_operator(&metadata);
    for package in packages {
        let name = field(package, "name");
        assert!(met(&field(package, "license"), &allowed), "{name}: {}", package["license"]);
        if built.contains(package["id"].as_str().unwrap()) {
            versions.entry(name.clone()).or_default().insert(field(package, "version"));
        }
        if !package["source"].is_null() {
            let source = field(package, "source");
            assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
        }
    }
    for banned in list("deny") {
        assert!(packages.iter().all(|package| package["name"] != banned.as_str()), "{banned}");
    }
    let skipped = list("skip");
    let mut used = BTreeSet::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let mut kept: Vec<&String> = versions.iter().collect();
        kept.retain(|version| {
            let skip = skipped.iter().find(|skip| {
                let (skipped, prefix) = skip.split_once('@').unwrap();
                skipped == name && format!("{version}.").starts_with(&format!("{prefix}."))
            });
            skip.map(|skip| used.insert(skip.clone())).is_none()
        });
        assert_eq!(kept.len(), 1, "{name} has {versions:?}: explain the older one in deny.toml");
    }
    assert_eq!(used, skipped, "what is no duplicate any more is no exception");

    let own = packages.iter().find(|package| package["name"] == "atlas-integration-operator").unwrap();
    let direct: BTreeSet<String> = own["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| field(dependency, "name"))
        .collect();
    let explained: BTreeSet<String> =
        table("Dependencies").iter().flat_map(|row| row[0].split(", ")).map(str::to_owned).collect();
    assert_eq!(direct, explained, "docs/security.md explains each crate that is named");
    println!(
        "{} crates with tests, {} without, {} named directly, {} in two versions",
        packages.len(),
        built.len(),
        direct.len(),
        used.len()
    );
}

/// The images that a Dockerfile takes from a registry by something else than a digest, and the files that it downloads
/// without a checksum.
fn unpinned(dockerfile: &str) -> Vec<String> {
    let mut known = vec!["scratch".to_owned()];
    let mut found = Vec::new();
    let joined = dockerfile.replace("\\\n", " ");
    for line in joined.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut images: Vec<&str> = Vec::new();
        match words.first() {
            Some(&"FROM") => {
                images.extend(words[1..].iter().find(|word| !word.starts_with("--")));
                if let Some(at) = words.iter().position(|word| *word == "AS") {
                    known.push(words[at + 1].to_owned());
                }
            }
            Some(&"ADD") if line.contains("://") && !line.contains("--checksum=sha256:") => images.push(line),
            _ => {
                let from = words.iter().filter_map(|word| word.split_once("from="));
                images.extend(from.filter_map(|(_, image)| image.split(',').next()));
            }
        }
        let digest = |image: &str| image.split_once("@sha256:").map(|(_, digest)| digest.len());
        let moving =
            images.into_iter().filter(|image| !known.iter().any(|k| k == image) && digest(image) != Some(64));
        found.extend(moving.map(str::to_owned));
    }
    found
}

#[test]
fn an_image_without_a_digest_is_found() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let good =
        format!("FROM --platform=x a/rust:1@{digest} AS build\nFROM scratch\nCOPY --from=build /x /\n");
    assert_eq!(unpinned(&good), Vec::<String>::new());
    let bad = "FROM a/rust:1.95.0 AS build\nADD https://example.com/x /\nCOPY --from=docker.io/b:1 /x /\n\
               FROM --platform=x \\\n  debian@sha256:12\n";
    let expected = ["a/rust:1.95.0", "ADD https://example.com/x /", "docker.io/b:1", "debian@sha256:12"];
    assert_eq!(unpinned(bad), expected);
}

/// The folders below `tests` that are Go modules.
fn go_modules() -> Vec<String> {
    fn below(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.ends_with("go.mod") {
                let folder = path.parent().unwrap().strip_prefix(ROOT).unwrap();
                found.push(folder.to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    below(&Path::new(ROOT).join("tests"), &mut found);
    found
}

/// What the build and the tests take from registries has a checksum in the tree: crates in Cargo.lock, modules of Go in
/// a go.sum, the image with the compiler by its digest. Debian's packages have none: docs/image.md says so.
#[test]
fn what_comes_from_registries_is_pinned() {
    assert_eq!(unpinned(&text("Dockerfile")), Vec::<String>::new());
    let lock = text("Cargo.lock");
    let mut packages = 0;
    for package in lock.split("[[package]]").skip(1).filter(|package| package.contains("\nsource = ")) {
        assert!(package.contains("\nchecksum = \""), "{package}");
        packages += 1;
    }
    let mut modules = 0;
    for folder in go_modules() {
        let (sums, module) = (text(&format!("{folder}/go.sum")), text(&format!("{folder}/go.mod")));
        // What is replaced is pinned by what replaces it.
        let required = module
            .lines()
            .filter(|line| line.starts_with('\t') && !line.contains("=>"))
            .filter(|line| {
                line.split_whitespace()
                    .nth(1)
                    .is_some_and(|version| version.starts_with('v') && version != "v0.0.0")
            })
            .filter_map(|line| line.split_whitespace().next());
        for module in required {
            assert!(sums.lines().any(|line| line.starts_with(&format!("{module} "))), "{folder}: {module}");
            modules += 1;
        }
    }
    assert!(packages > 100 && modules > 10);
    let toolchain = text("rust-toolchain.toml");
    assert!(toolchain.lines().any(|line| line.starts_with("channel = \"1.")), "{toolchain}");
    println!("{packages} crates and {modules} Go modules are pinned");
}
