//! The commands of README.md and `docs/`, run as they stand there, and the examples of `deploy/examples`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use atlas_integration_stage::samples;
use atlas_sim::Exchange;
use control_plane::Options;
use serde_json::{Value, json};

use crate::platform::release::with_controllers;
use crate::world::helm::{NAME, ROOT, documents};
use crate::world::page::{NOT_RUN, PAGES, RUN, Reader, is_not_run, page, runs_alone, words};
use crate::world::{Shared, World, message, new_project_id, own, start_empty, until_true};

/// The project of the pages, and keys as they have them.
const PROJECT: &str = "5d791c84ff7a2522cc4f9aa1";
const PUBLIC: &str = "abcdefgh";
const PRIVATE: &str = "11111111-2222-3333-4444-555555555555";
const API_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Whoever adds a command to a page adds a test that runs it, or says why none does.
#[test]
fn every_command_is_run_or_explained() {
    let (mut unknown, mut used) = (Vec::new(), BTreeSet::new());
    for path in PAGES {
        for block in page(path) {
            for command in block.commands() {
                let begins = |begin: &str| words(&command).starts_with(begin);
                let section = RUN.iter().find(|(of, what, _)| of == path && *what == block.heading);
                let alone = runs_alone(path, &command);
                let skipped = NOT_RUN.iter().find(|(of, begin, _)| of == path && begins(begin));
                assert_eq!(skipped.is_some(), is_not_run(path, &command));
                match (skipped, alone, section) {
                    (Some((_, begin, _)), _, _) => drop(used.insert((*path, *begin))),
                    (_, Some(what), _) => drop(used.insert((*path, what))),
                    (_, _, Some((_, heading, _))) => drop(used.insert((*path, *heading))),
                    _ => unknown.push(format!("{path}, {}: {command}", block.heading)),
                }
            }
        }
    }
    assert!(unknown.is_empty(), "no test runs these: {unknown:#?}");
    let rows = RUN.iter().chain(NOT_RUN).map(|(path, what, _)| (*path, *what));
    let stale: Vec<_> = rows.filter(|row| !used.contains(row)).collect();
    assert!(stale.is_empty(), "no page has these: {stale:#?}");

    for (path, what, test) in RUN {
        let (module, function) = test.rsplit_once("::").unwrap();
        let file = format!("{ROOT}/tests/e2e/{}.rs", module.replace("::", "/"));
        let source = std::fs::read_to_string(&file).unwrap();
        let (_, body) = source.split_once(&format!("fn {function}()")).unwrap_or_else(|| panic!("no {test}"));
        let body = body.split("\n}\n").next().unwrap();
        // Two ways to name a page's command: with kubectl before it, or without.
        let name = path.trim_start_matches("docs/");
        let named = body.contains(what) || body.contains(what.trim_start_matches("kubectl "));
        assert!(named && body.contains(name), "{test} does not run {what} of {path}");
    }
}

/// What is taken for commands, in the forms that pages have.
#[test]
fn commands_are_found() {
    let text = "# A\n\n    one \\\n      --more\n    two\n\nText\n    goes on.\n\n1. Item:\n\n       three |\n         four\n\n   Text.\n\n   \
                ```yaml\n   # a.yaml\n   b: c\n   ```\n\n- Item\n\n      five 'x\n      y'\n\n## B\n\n    cat <<'EOF'\n    six\n    EOF\n    # no\n";
    let blocks = crate::world::page::blocks(text);
    let found: Vec<(String, Vec<String>)> =
        blocks.iter().map(|block| (block.heading.clone(), block.commands())).collect();
    let found: Vec<(&str, Vec<&str>)> = found
        .iter()
        .map(|(heading, commands)| (heading.as_str(), commands.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(
        found,
        [
            ("A", vec!["one \\\n  --more", "two"]),
            ("A", vec!["three |\n  four"]),
            ("A", vec![]),
            ("A", vec!["five 'x\ny'"]),
            ("B", vec!["cat <<'EOF'\nsix\nEOF"]),
        ]
    );
    assert_eq!(blocks[2].text, "# a.yaml\nb: c\n");
}

/// README's first integration, from an empty cluster on.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_integration() {
    static PLANE: LazyLock<Shared> = LazyLock::new(|| start_empty(Options::default()));
    let shared = own(&PLANE).await;
    let world = World::on(shared, "first", PROJECT).await;
    world.project.allow_key(PUBLIC, PRIVATE);
    let reader = Reader::of(&world);
    reader.write("private-key", &format!("{PRIVATE}\n")).write("datadog-key", &format!("{API_KEY}\n"));
    let mut way = reader.follow("README.md", "Your first integration", &[]);
    way.step();
    way.step();
    let operator = shared.beside().await;
    way.step();
    let told = way.step();
    assert!(told.contains("Synced"), "{told}");
    way.ends();
    assert_eq!(world.stored_datadog("apiKey"), API_KEY);

    let leader = reader.one_of("docs/rotation.md", "leader=$(kubectl", &[], "\necho \"$leader\"");
    assert_eq!(leader.trim(), operator.instance());
    let explained = reader.run("kubectl explain atlasintegration.spec && kubectl get atlint").unwrap();
    assert!(explained.contains("adoptionPolicy"), "{explained}");

    // What the other pages have to look at an object and at the operator, on this one.
    let sample = samples::of("PAGER_DUTY");
    world.secret("keys", &sample.secrets).await;
    reader.write("objects/Chart.yaml", "apiVersion: v2\nname: objects\nversion: 1.0.0\n");
    reader.write("objects/templates/x.yaml", &world.manifest("x", &sample.spec).to_string());
    let filled = [("OBJECTS", "objects"), ("CHART", "./objects")];
    let told = reader.follow("docs/conditions.md", "Conditions and reasons", &filled).finish();
    assert!(told[0].contains("condition met") && told[0].contains("STATUS: deployed"), "{told:?}");
    assert!(world.project.stored_type("PAGER_DUTY").is_some());
    let told = reader.follow("docs/conditions.md", "Reasons of Ready", &[("NAME", "datadog")]).finish();
    assert!(told[0].contains("annotated"), "{told:?}");
    let filled = [("NAME", "datadog"), ("KEY", "apiKey")];
    let told = reader.follow("docs/conditions.md", "What a value may be", &filled).finish();
    assert_eq!(told[0].trim(), "0a", "the line break that the editor left");
    let told = reader.follow("docs/deletion.md", "When it does not end", &[]).finish();
    assert!(told[0].contains("MESSAGE"), "{told:?}");
    let begin = "kubectl -n atlas-integration-operator get lease";
    let told = reader.one_of("docs/high-availability.md", begin, &[], "");
    assert!(told.contains(&operator.instance()), "{told}");
    let filled = [("NAME", "datadog"), ("SECRET", "datadog"), ("PROJECT_ID", PROJECT)];
    for heading in [
        "Troubleshooting",
        "The kind is not installed",
        "The operator has not seen it",
        "Ready is False",
        "Atlas has something else",
    ] {
        let told = reader.follow("docs/troubleshooting.md", heading, &filled).finish();
        if heading == "The operator has not seen it" {
            assert_eq!(told[1], "yes\nyes\nyes\n");
        }
    }
}

/// Each example by the command in its comment: it is in Atlas as it stands in the file.
#[tokio::test(flavor = "multi_thread")]
async fn examples_work_as_they_stand() {
    let world = World::new("examples").await;
    world.project.allow_key(PUBLIC, PRIVATE);
    world.secret("atlas-api", &[("publicApiKey", PUBLIC), ("privateApiKey", PRIVATE)]).await;
    let _operator = world.operator(&[]).await;
    let reader = Reader::of(&world);
    let headers = r#"{"X-Alert-Status": "${status}"}"#;
    let mut applied = Vec::new();
    for sample in samples::all() {
        let stem = sample.name().replace('-', "");
        let stem = stem.trim_start_matches("microsoft");
        let path = format!("deploy/examples/{stem}.yaml");
        let text = std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap();
        let comment: Vec<&str> = text
            .lines()
            .take_while(|line| line.starts_with('#'))
            .map(|line| line.trim_start_matches('#'))
            .collect();
        let comment = comment.join("\n");
        let (said, command) = comment.split_once("   kubectl").unwrap();
        let command = format!("kubectl{command}");
        for (file, _) in
            command.split("=./").skip(1).map(|rest| rest.split_once([' ', '\n']).unwrap_or((rest, "")))
        {
            let value = match file {
                "url" | "webhookUrl" => "https://example.com/T0K3N",
                "headersTemplate" => headers,
                _ => API_KEY,
            };
            reader.write(file, &format!("{value}\n"));
        }
        reader.run(&command).unwrap();
        reader.write("example.yaml", &text.replace(PROJECT, world.project.id()));
        reader.run("kubectl apply -f example.yaml").unwrap();
        if stem == "webhook" {
            assert!(said.contains(headers), "{said}");
        }
        applied.push((stem.to_owned(), serde_saphyr::from_str::<Value>(&text).unwrap()));
    }
    assert_eq!(applied.len(), 10);
    for (name, _) in &applied {
        world.object(name).synced().await;
    }
    let (_, webhook) = applied.iter().find(|(name, _)| name == "webhook").unwrap();
    let body = webhook["spec"]["webhook"]["bodyTemplate"].as_str().unwrap();
    assert_eq!(world.project.stored_type("WEBHOOK").unwrap()["bodyTemplate"], body);
    for template in [body, headers] {
        is_json_once_rendered(template);
        assert!(template.contains("${") && !template.contains("{{"), "that is no FreeMarker: {template}");
    }
    // A comment after a space is none of the value.
    let (_, slack) = applied.iter().find(|(name, _)| name == "slack").unwrap();
    assert_eq!(slack["spec"]["slack"]["channelName"], "database-alerts");
}

/// The two tenants, by the commands in the comment: both are in Atlas, by two keys. Nothing of it is in the way of the
/// Roles of docs/tenancy.md.
#[tokio::test(flavor = "multi_thread")]
async fn two_tenants() {
    static PLANE: LazyLock<Shared> = LazyLock::new(|| start_empty(Options::default()));
    let shared = own(&PLANE).await;
    let world = World::on(shared, "two", PROJECT).await;
    let other = shared.sim.project("5d791c84ff7a2522cc4f9aa2");
    let (own_key, searchs) = ("22222222-2222-3333-4444-555555555555", PRIVATE);
    world.project.allow_key("platform", own_key);
    other.allow_key(PUBLIC, searchs);
    let reader = Reader::new(shared, "default");
    reader.write("private-key", own_key).write("search-private-key", searchs);
    for file in ["payments-service-key", "search-service-key"] {
        reader.write(file, API_KEY);
    }
    reader.run("kubectl apply -k deploy/").unwrap();
    reader
        .run(&format!(
            "kubectl -n {NAME} create secret generic atlas --from-literal=publicApiKey=platform \
             --from-file=privateApiKey=./private-key"
        ))
        .unwrap();
    reader.take_files("docs/tenancy.md", &[]);
    reader.one_of("docs/tenancy.md", "kubectl apply -k overlay", &[], "");
    let _operator = shared.beside().await;
    let text = std::fs::read_to_string(format!("{ROOT}/deploy/examples/two-tenants.yaml")).unwrap();
    let comment: Vec<&str> = text.lines().map_while(|line| line.strip_prefix('#')).collect();
    let commands: Vec<&str> = comment.iter().filter_map(|line| line.strip_prefix("   ")).collect();
    assert_eq!(commands.len(), 5, "{commands:?}");
    reader.run(&commands.join("\n")).unwrap();
    for namespace in ["payments", "search"] {
        reader
            .run(&format!(
                "kubectl -n {namespace} wait --for=condition=Ready atlasintegrations --all --timeout=60s"
            ))
            .unwrap();
    }
    let stored = [world.project.stored_type("PAGER_DUTY"), other.stored_type("PAGER_DUTY")];
    assert!(stored.iter().all(Option::is_some), "{stored:?}");

    let names = |text: &str| -> BTreeSet<String> {
        let roles =
            documents(text).into_iter().filter(|object| object["kind"].as_str().unwrap().starts_with("Role"));
        roles.map(|role| format!("{} {}", role["kind"], role["metadata"])).collect()
    };
    let tenancy = page("docs/tenancy.md");
    let yaml = &tenancy.iter().find(|block| block.text.contains("kind: Role\n")).unwrap().text;
    assert!(names(yaml).is_disjoint(&names(&text)), "one Role would replace the other");
}

/// docs/adoption.md: looked at, corrected, and taken over without a change; and both ways back.
#[tokio::test(flavor = "multi_thread")]
async fn adopting() {
    let world = World::new("adopting").await;
    world.project.allow_key(PUBLIC, PRIVATE);
    world.secret("atlas-api", &[("publicApiKey", PUBLIC), ("privateApiKey", PRIVATE)]).await;
    world.project.replace_by_other(json!({"type": "DATADOG", "apiKey": API_KEY, "region": "EU",
        "sendCollectionLatencyMetrics": false, "sendDatabaseMetrics": true, "sendQueryStatsMetrics": false,
        "sendUserProvidedResourceTags": false}));
    let before = world.project.stored_type("DATADOG").unwrap();
    let _operator = world.operator(&[]).await;
    let reader = Reader::of(&world);
    reader.write("datadog-key", API_KEY);
    let filled = [(PROJECT, world.project.id())];

    let mut back = reader.follow("docs/adoption.md", "Back out", &filled);
    reader.follow("docs/adoption.md", "Look first", &filled).step();
    back.step();
    assert!(world.object("datadog").find().await.is_none());

    let mut look = reader.follow("docs/adoption.md", "Look first", &filled);
    look.step();
    let told = look.step();
    let (echo, message) = told.trim_end().split_once('\n').unwrap();
    assert_eq!(serde_json::from_str::<Value>(echo).unwrap()["region"], "EU");
    for field in ["region", "sendDatabaseMetrics"] {
        assert!(message.contains(field), "{told}");
    }
    look.step();
    look.step();
    look.ends();
    assert_eq!(world.project.count(Exchange::is_write), 0);

    let mut take = reader.follow("docs/adoption.md", "Take over", &filled);
    take.step();
    take.ends();
    assert_eq!(world.project.count(Exchange::is_write), 1, "one PUT");
    let mut after = world.project.stored_type("DATADOG").unwrap();
    assert_ne!(after["id"], before["id"], "as the page says");
    after["id"] = before["id"].clone();
    assert_eq!(after, before, "nothing else is different");

    back.step();
    back.ends();
    let object = world.object("datadog").reaches("True", "Observed").await;
    assert!(object["metadata"]["finalizers"].is_null(), "{object:#}");
    assert_eq!(world.project.count(Exchange::is_write), 1);
}

/// docs/backup.md: consent for all of a namespace.
#[tokio::test(flavor = "multi_thread")]
async fn adopting_a_namespace() {
    let world = World::with_datadog_key("backup").await;
    world.project.replace_by_other(samples::of("DATADOG").stored);
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await;
    x.reaches("False", "AlreadyExists").await;
    let reader = Reader::of(&world);
    let mut way = reader.follow("docs/backup.md", "What to do", &[("NAME", &world.namespace)]);
    way.step();
    way.ends();
    x.synced().await;
}

/// docs/rotation.md, with Secrets that were made as README has it.
#[tokio::test(flavor = "multi_thread")]
async fn rotating() {
    const NEW: &str = "fedcba9876543210fedcba9876543210";
    const ACCOUNT: &str = "mdb_sa_id_0123456789abcdef01234567";
    let world = World::new("rotating").await;
    world.project.allow_key(PUBLIC, PRIVATE);
    let operator = world.operator(&[]).await;
    let reader = Reader::of(&world);
    reader.write("private-key", PRIVATE).write("datadog-key", API_KEY).write("new-key", NEW);
    reader.write("new-private-key", "66666666-2222-3333-4444-555555555555");
    reader.write("client-secret", "mdb_sa_sk_0123456789abcdef0123456789abcdef01234567");
    reader.take_files("README.md", &[(PROJECT, world.project.id())]);
    reader
        .run(
            "kubectl create secret generic atlas-api \
               --from-literal=publicApiKey=abcdefgh --from-file=privateApiKey=./private-key\n\
             kubectl create secret generic datadog --from-file=apiKey=./datadog-key\n\
             kubectl apply -f datadog.yaml",
        )
        .unwrap();
    let datadog = world.object("datadog");
    datadog.synced().await;

    let mut way = reader.follow("docs/rotation.md", "The key of a service", &[]);
    way.step();
    world.until_stored("apiKey", NEW).await;
    datadog
        .until("the new Secret applied", |object| {
            object["status"]["applied"]["attempt"] == object["status"]["attempt"]["id"]
        })
        .await;
    let told = way.step();
    way.ends();
    let (version, applied) = told.split_once('\n').unwrap();
    assert!(applied.contains(version), "{told}");

    let mut way = reader.follow("docs/rotation.md", "The Atlas API key, or the service account", &[]);
    world.project.allow_key("abcdefgi", "66666666-2222-3333-4444-555555555555");
    way.step();
    world.project.revoke_key(PUBLIC);
    world.until_looked(2).await;
    // Made as README has it, so that nothing tells kubectl which keys a former command wrote.
    reader
        .run(
            "kubectl delete secret atlas-api\n\
             kubectl create secret generic atlas-api \
               --from-literal=publicApiKey=abcdefgi --from-file=privateApiKey=./new-private-key",
        )
        .unwrap();
    world.project.allow_service_account(ACCOUNT, "mdb_sa_sk_0123456789abcdef0123456789abcdef01234567");
    way.step();
    way.ends();
    world.project.revoke_key("abcdefgi");
    world.until_looked(2).await;
    let object = datadog.synced().await;
    let keys = world.get("Secret", "atlas-api").await.unwrap()["data"].as_object().unwrap().len();
    assert_eq!(keys, 2, "none is left of the API key: {}", message(&object));

    let before = world.project.stored_type("DATADOG").unwrap()["id"].clone();
    let mut way = reader.follow("docs/rotation.md", "Write anyway", &[]);
    way.step();
    way.ends();
    until_true("the write", || world.stored_datadog("id") != before).await;
    drop(operator);
}

/// Panics unless a template gives JSON with each field of an alert there and not there, as far as its few forms go:
/// `${…}` within quotes is a text, outside a number, and of `<#if>` there is one of a kind.
fn is_json_once_rendered(template: &str) {
    for there in [true, false] {
        let mut text = String::new();
        let mut parts = template.split("<#if ");
        text += parts.next().unwrap();
        for part in parts {
            let (_, rest) = part.split_once("??>").unwrap();
            let (inside, after) = rest.split_once("</#if>").unwrap();
            let (with, without) = inside.split_once("<#else>").unwrap_or((inside, ""));
            text += if there { with } else { without };
            text += after;
        }
        while let Some((before, rest)) = text.clone().split_once("${") {
            let (_, after) = rest.split_once('}').unwrap();
            text = format!("{before}1{after}");
        }
        assert!(serde_json::from_str::<Value>(&text).is_ok_and(|value| value.is_object()), "{text}");
    }
}

/// docs/templates.md: by each way on the page Atlas gets the template to the letter.
#[tokio::test(flavor = "multi_thread")]
async fn templates_arrive_as_written() {
    let world = World::new("templates").await;
    world.project.allow_key(PUBLIC, PRIVATE);
    world.secret("atlas-api", &[("publicApiKey", PUBLIC), ("privateApiKey", PRIVATE)]).await;
    let _operator = world.operator(&[]).await;
    let (reader, filled) = (Reader::of(&world), [(PROJECT, world.project.id())]);
    let blocks = page("docs/templates.md");
    let headers = blocks.iter().find(|block| block.language == "ftl").unwrap().text.trim_end();
    reader.take_files("docs/templates.md", &filled);
    reader.write("headers.ftl", headers).write("url", "https://example.com/T0K3N\n");
    let read = |file: &str| -> Value {
        serde_saphyr::from_str(&std::fs::read_to_string(reader.folder().join(file)).unwrap()).unwrap()
    };
    let stored = async |field: &str, value: &str| {
        let holds = || world.project.stored_type("WEBHOOK").is_some_and(|stored| stored[field] == value);
        until_true(&format!("{field} {value} in Atlas"), holds).await;
    };
    let webhook = read("webhook.yaml");
    let body = webhook["spec"]["webhook"]["bodyTemplate"].as_str().unwrap();

    let mut way = reader.follow("docs/templates.md", "Headers", &filled);
    way.step();
    stored("bodyTemplate", body).await;
    stored("headersTemplate", headers).await;
    way.step();
    way.ends();
    stored("headersTemplate", r#"{"X-Alert-Status": "${status}"}"#).await;

    let mut way = reader.follow("docs/templates.md", "Shell", &filled);
    way.step();
    way.ends();
    let short = r#"{"text": "${humanReadable?json_string}"}"#;
    stored("bodyTemplate", short).await;

    reader.write("kustomization.yaml", "resources: [webhook.yaml]\n");
    let built: Value = serde_saphyr::from_str(&reader.run("kubectl kustomize .").unwrap()).unwrap();
    assert_eq!(built["spec"]["webhook"]["bodyTemplate"], body);

    reader.write("Chart.yaml", "apiVersion: v2\nname: webhook\nversion: 1.0.0\n").write("body.ftl", body);
    reader.write(".helmignore", "home\ncharts\ncrds\ndeploy\n");
    let mut way = reader.follow("docs/templates.md", "Helm", &filled);
    let rendered = documents(&way.step());
    way.ends();
    let find = |kind: &str| rendered.iter().find(|object| object["kind"] == kind).unwrap().clone();
    assert_eq!(find("AtlasIntegration")["spec"]["webhook"]["bodyTemplate"], body);
    assert_eq!(find("AtlasIntegration")["spec"]["projectId"], world.project.id());
    assert_eq!(find("Secret")["stringData"]["headersTemplate"], r#"{"X-Alert-Status": "${status}"}"#);

    // Flux makes one dollar of two, and replaces what is its own.
    let off = read("flux-off.yaml");
    assert_eq!(off["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/substitute"], "disabled");
    assert_eq!(off["spec"]["webhook"]["bodyTemplate"], short);
    let escaped = read("flux-escaped.yaml");
    let escaped = escaped["spec"]["webhook"]["bodyTemplate"].as_str().unwrap();
    assert_eq!(escaped.matches("${").count(), escaped.matches("$${").count(), "{escaped}");
    for template in [body, headers, short, &escaped.replace("$$", "$")] {
        is_json_once_rendered(template);
        assert!(!template.contains("{{"), "that is no FreeMarker: {template}");
    }
}

/// docs/install.md: from `deploy/`, then in one namespace only, and the policies.
#[tokio::test(flavor = "multi_thread")]
async fn by_kustomize() {
    static PLANE: LazyLock<Shared> = LazyLock::new(|| start_empty(Options::default()));
    let shared = own(&PLANE).await;
    let reader = Reader::new(shared, "default");
    let mut way = reader.follow("docs/install.md", "kustomize", &[]);
    way.step();
    let error = reader.run("kubectl apply -k deploy/overlays/namespaced").unwrap_err();
    assert!(error.contains("namespaces \"payments\" not found"), "{error}");
    way.step();
    way.step();
    way.ends();
    let operator = shared.beside().await;
    assert!(operator.logs().contains("first lists complete"), "{}", operator.logs());
    let watched = shared.get(&["deployment", NAME, "-n", NAME])["spec"]["template"]["spec"]["containers"][0]
        ["args"]
        .take();
    assert!(watched.as_array().unwrap().contains(&"--watch-namespace=payments".into()), "{watched}");

    reader.take_files("docs/tenancy.md", &[]);
    reader.one_of("docs/tenancy.md", "kubectl apply -k overlay", &[], "");
    let args =
        shared.get(&["deployment", NAME, "-n", NAME])["spec"]["template"]["spec"]["containers"][0]["args"]
            .take();
    assert_eq!(args.as_array().unwrap().last().unwrap(), "--credentials-secret=atlas");
    let role = shared.get(&["clusterrole", NAME]);
    let rules = role["rules"].as_array().unwrap();
    assert!(rules.iter().any(|rule| rule["resources"] == json!(["namespaces"])), "{role}");

    let mut way = reader.follow("docs/install.md", "What a namespace may do", &[]);
    way.step();
    way.step();
    way.ends();
    let left = shared.kubectl(&[
        "get",
        "validatingadmissionpolicies,validatingadmissionpolicybindings",
        "-o",
        "name",
    ]);
    assert!(!left.contains("atlas-integration"), "{left}");
}

/// An installation by the chart: docs/install.md, a platform key by docs/tenancy.md, docs/upgrade.md with a copy that is
/// restored, and docs/uninstall.md.
#[tokio::test(flavor = "multi_thread")]
async fn from_installing_to_uninstalling() {
    static PLANE: LazyLock<Shared> = LazyLock::new(with_controllers);
    let shared = own(&PLANE).await;
    let reader = Reader::new(shared, "default");
    reader.write("private-key", PRIVATE);
    let mut way = reader.follow("docs/install.md", "Helm", &[("REGISTRY", "registry.example.com")]);
    way.step();
    way.ends();
    let text = std::fs::read_to_string(format!("{ROOT}/docs/install.md")).unwrap();
    let flags: Vec<&str> =
        text.lines().filter_map(|line| line.split("| `--set ").nth(1)?.split('`').next()).collect();
    assert_eq!(flags.len(), 7, "{flags:?}");
    for flag in flags {
        reader.run(&format!("helm template x charts/{NAME} --set {flag}")).unwrap();
    }
    shared.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]);

    let world = World::on(shared, "payments", PROJECT).await;
    world.project.allow_key(PUBLIC, PRIVATE);
    world.secret("keys", &samples::of("DATADOG").secrets).await;
    let filled = [("namespace payments", &*format!("namespace {}", world.namespace))];
    let mut way = reader.follow("docs/tenancy.md", "One platform key", &filled);
    way.step();
    way.step();
    let operator = shared.beside().await;
    let mut object = world.manifest("x", &samples::of("DATADOG").spec);
    object["spec"].as_object_mut().unwrap().remove("credentialsSecretRef");
    world.create(&object).await;
    let x = world.object("x");
    x.reaches("False", "ProjectNotAllowed").await;
    // The page's list takes the place of one that is there.
    world.grant(Some("5d791c84ff7a2522cc4f9aa9")).await;
    way.step();
    x.synced().await;
    way.step();
    way.ends();
    x.reaches("False", "ProjectNotAllowed").await;
    world.grant(Some(PROJECT)).await;
    let first = x.synced().await;

    let mut way = reader.follow("docs/upgrade.md", "Upgrading", &[]);
    way.step();
    way.step();
    way.ends();
    let mut way = reader.follow("docs/upgrade.md", "A copy beforehand", &[]);
    way.step();
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    way.step();
    way.ends();
    x.synced().await;
    assert_eq!(world.stored_datadog("region"), "US5", "as it was copied");
    x.delete().await;
    assert!(world.project.stored().is_empty());
    reader.run("kubectl apply -f atlasintegrations.yaml").unwrap();
    let second = x.synced().await;
    assert_ne!(second["metadata"]["uid"], first["metadata"]["uid"]);
    reader.run("kubectl apply -f atlasintegrations.yaml").unwrap();

    // docs/deletion.md: a namespace goes with its objects, and the integration stays.
    let team = World::on(shared, "team", &new_project_id()).await;
    team.secret("keys", &samples::of("DATADOG").secrets).await;
    team.datadog("x").await.synced().await;
    let filled = [("NAME", team.namespace.as_str())];
    for begin in [
        "kubectl get atlasintegrations -n NAME",
        "kubectl delete namespace",
        "kubectl apply -f deploy/cluster-finalizers.yaml",
    ] {
        reader.one_of("docs/deletion.md", begin, &filled, "");
    }
    assert_eq!((team.list("AtlasIntegration").await.len(), team.project.stored().len()), (0, 1));

    let told = reader.one_of("docs/uninstall.md", "kubectl get atlasintegrations --all-namespaces", &[], "");
    assert!(told.contains(&world.namespace), "{told}");
    let mut way = reader.follow("docs/uninstall.md", "In order", &[]);
    way.step();
    way.step();
    assert!(x.find().await.is_none());
    assert_eq!(world.project.stored().len(), 1, "kept");
    way.step();
    operator.stop().await;
    way.step();
    way.step();
    way.ends();
    let left = shared.kubectl(&["get", "crd,namespace,clusterrole,clusterrolebinding", "-o", "name"]);
    assert!(!left.contains("atlas-integration"), "{left}");
}
