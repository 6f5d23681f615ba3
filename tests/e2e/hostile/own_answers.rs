//! Attacks by an Atlas, or a proxy before it, whose answers are well-formed HTTP and odd JSON. Whatever it says, nothing
//! is written because of it, nothing deceives a reader, and the object goes on with the next good answer.

use atlas_integration_stage::samples;
use atlas_sim::{Api, Authentication, Effect, Exchange, Fault, Operation};
use serde_json::{Value, json};

use crate::hostile::{GOOD_KEY, deceives};
use crate::world::{Operator, World, condition, message, new_project_id, until_found};

/// A world with an object in sync, and an operator that looks every second.
async fn in_sync(name: &str) -> (World, Operator) {
    let world = World::with_datadog_key(name).await;
    let operator = world.operator(&[]).await;
    world.datadog("x").await.in_sync().await;
    (world, operator)
}

/// The object's own entry, with a change.
fn entry(world: &World, change: &Value) -> Value {
    let mut entry = world.project.stored_type("DATADOG").unwrap();
    samples::merge(&mut entry, change);
    entry
}

/// Has each of these bodies be the answer to a LIST. Then the object takes an edit as if nothing had been said.
async fn listed(world: &World, bodies: impl IntoIterator<Item = String>) {
    for body in bodies {
        let answer = Effect::Answer { status: 200, content_type: Some("application/json".to_owned()), body };
        let faulted = world.project.count(|e| e.faulted);
        world.project.fault(Fault::new(answer).at(Operation::List));
        world.until_faulted(faulted + 1).await;
        world.object("x").annotate("reconcile-requested-at", &faulted.to_string()).await;
    }
    world.project.clear_faults();
    world.until_looked(1).await;
}

/// Nothing but the creation was written, and the next edit is.
async fn goes_on(world: &World) {
    world.object("x").synced().await;
    assert_eq!(world.atlas_writes(), ["POST"], "nothing is written because of what was said");
    world.object("x").change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
}

fn page(results: &Value) -> String {
    json!({"results": results, "totalCount": 1}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn o23_entries_of_odd_types() {
    let (world, _operator) = in_sync("own-types").await;
    let ours = entry(&world, &json!({}));
    let kinds = ["", "datadog", "DATADOG ", "DATADOG\0", "ＤＡＴＡＤＯＧ", "../DATADOG", "__proto__"];
    let odd = kinds.map(|kind| page(&json!([{"type": kind, "apiKey": "x", "id": "1"}, ours])));
    let long = page(&json!([ours, {"type": "x".repeat(100_000)}]));
    listed(&world, odd.into_iter().chain([long])).await;
    goes_on(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o24_fields_of_the_wrong_type() {
    let (world, _operator) = in_sync("own-fields").await;
    let changes = [
        json!({"apiKey": {"a": [1]}}),
        json!({"apiKey": true, "region": []}),
        json!({"region": {}, "sendDatabaseMetrics": "maybe"}),
        json!({"id": ["x"], "sendDatabaseMetrics": 2}),
    ];
    let bodies: Vec<String> = changes.iter().map(|change| page(&json!([entry(&world, change)]))).collect();
    listed(&world, bodies).await;
    goes_on(&world).await;
}

/// An id as large as an answer may be: what the status keeps of it is short.
#[tokio::test(flavor = "multi_thread")]
async fn o25_ids_as_large_as_an_answer() {
    let (world, operator) = in_sync("own-large-ids").await;
    let id = format!("\u{1b}[31m\u{202e}{}", "x".repeat(200_000));
    let large = Effect::ReplaceAnswer { value: json!({"results": [entry(&world, &json!({"id": id}))]}) };
    world.project.fault(Fault::new(large.clone()).at(Operation::List).always());
    world.project.fault(Fault::new(large).at(Operation::Update).always());
    let x = world.object("x");
    let object = x
        .until("with that id", |object| {
            object["status"]["integration"]["id"].as_str().is_some_and(|id| id.contains("xxx"))
        })
        .await;
    let text = object["status"].to_string();
    assert!(text.len() < 4_000 && !deceives(&text), "{} bytes", text.len());
    world.project.clear_faults();
    x.change(&json!({"datadog": {"region": "EU"}})).await.synced().await;
    assert!(operator.logs().lines().all(|line| line.len() < 20_000));
}

/// Ids that would lead elsewhere if a path were made of them.
#[tokio::test(flavor = "multi_thread")]
async fn o26_ids_that_are_paths() {
    let world = World::with_datadog_key("own-paths").await;
    let other = world.shared.sim.project(&new_project_id());
    other.allow_key(crate::world::PUBLIC_KEY, crate::world::PRIVATE_KEY);
    other.replace_by_other(samples::foreign());
    let path = format!("../../{}/integrations/DATADOG", other.id());
    let mut stored = samples::of("DATADOG").stored;
    stored["id"] = path.as_str().into();
    let answer = Effect::ReplaceAnswer { value: json!({"results": [stored]}) };
    world.project.fault(Fault::new(answer.clone()).at(Operation::Create).always());
    world.project.fault(Fault::new(answer).at(Operation::List).after(1).always());
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    assert_eq!(x.get().await["status"]["integration"]["id"], path.as_str());
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    world.until_stored("region", "EU").await;
    x.delete().await;
    assert!(other.exchanges().is_empty() && other.stored_type("DATADOG").is_some());
    let known = format!("/groups/{}/integrations", world.project.id());
    let strange: Vec<String> = world.project.exchanges().into_iter().map(|e| e.path).collect();
    assert!(strange.iter().all(|path| path.ends_with(&known) || path.ends_with("/DATADOG")), "{strange:?}");
}

/// Several entries of one type, which Atlas never has.
#[tokio::test(flavor = "multi_thread")]
async fn o27_twins() {
    let (world, _operator) = in_sync("own-twins").await;
    let ours = entry(&world, &json!({}));
    let twins: Vec<Value> = (0..50)
        .map(|number| entry(&world, &json!({"id": format!("{number:024}"), "region": "AP1"})))
        .collect();
    listed(
        &world,
        [page(&json!([&[ours.clone()][..], &twins].concat())), page(&json!([ours.clone(), ours]))],
    )
    .await;
    world.object("x").synced().await;
    assert!(world.atlas_writes().len() <= 3, "{:?}", world.atlas_writes());
    assert_eq!(world.project.stored().len(), 1);
    assert_eq!(world.stored_datadog("region"), "US5");
}

#[tokio::test(flavor = "multi_thread")]
async fn o28_numbers_out_of_their_range() {
    let (world, _operator) = in_sync("own-numbers").await;
    let ours = entry(&world, &json!({})).to_string();
    let bodies = ["70000", "-1", "1e999", "200.5", "\"200\"", "99999999999999999999999999"];
    let bodies = bodies.into_iter().flat_map(|number| {
        [
            format!("{{\"results\": [{ours}], \"status\": {number}}}"),
            format!("{{\"results\": [{ours}], \"totalCount\": {number}}}"),
            format!("{{\"error\": {number}, \"errorCode\": \"X\", \"results\": []}}"),
        ]
    });
    listed(&world, bodies).await;
    goes_on(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn o29_json_of_a_hundred_thousand_levels() {
    let (world, _operator) = in_sync("own-deep").await;
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(30_000), close.repeat(30_000));
    // Members that nobody knows are skipped, so these two pages tell how it is.
    let ours = entry(&world, &json!({})).to_string();
    let bodies = [
        format!("{{\"results\": [{{\"x\": {}, {}]}}", deep("[", "]"), &ours[1..]),
        format!("{{\"results\": [{ours}], \"links\": {}}}", deep("{\"a\":", "}")),
        format!("{{\"error\": 400, \"errorCode\": \"X\", \"detail\": {}}}", deep("[", "]")),
        deep("[", "]"),
        "[".repeat(200_000),
    ];
    listed(&world, bodies).await;
    goes_on(&world).await;
}

/// Members that stand twice, of which one reader takes the first and another the last.
#[tokio::test(flavor = "multi_thread")]
async fn o30_members_that_stand_twice() {
    let (world, _operator) = in_sync("own-twice").await;
    let ours = entry(&world, &json!({})).to_string();
    let bodies = [
        format!("{{\"results\": [{ours}], \"results\": []}}"),
        format!("{{\"results\": [], \"results\": [{ours}]}}"),
        format!("{{\"results\": [{{\"type\": \"SLACK\", {}]}}", &ours[1..]),
        format!("{{\"results\": [{ours}], \"errorCode\": null, \"errorCode\": \"X\"}}"),
    ];
    listed(&world, bodies).await;
    goes_on(&world).await;
}

/// What is nearly JSON, or JSON in another encoding.
#[tokio::test(flavor = "multi_thread")]
async fn o31_what_is_nearly_json() {
    let (world, _operator) = in_sync("own-nearly").await;
    let good = page(&json!([entry(&world, &json!({}))]));
    let bodies = [
        format!("\u{feff}{good}"),
        format!("{good}{{\"results\": []}}"),
        format!("{good} trailing"),
        good.replace('"', "'"),
        good.replace("US5", "\\ud800"),
        good.replace("results", "Results"),
        good.replace("results", "results\\u0000"),
        format!(")]}}',\n{good}"),
        good.chars().flat_map(|c| [c, '\0']).collect(),
        "null".to_owned(),
        String::new(),
    ];
    listed(&world, bodies).await;
    goes_on(&world).await;
}

/// Errors whose texts would colour, turn, hide or forge something.
#[tokio::test(flavor = "multi_thread")]
async fn o32_errors_that_deceive() {
    let world = World::with_datadog_key("own-errors").await;
    let fake =
        "\n{\"timestamp\":\"x\",\"level\":\"ERROR\",\"message\":\"forged\"}\r\n2026-01-01 ERROR forged";
    for (number, odd) in [
        "\u{1b}[2J\u{1b}[31m",
        "\u{202e}\u{2066}\u{200f}\u{61c}",
        "\u{200b}\u{feff}\u{e0041}",
        "\0\u{8}\u{7f}\u{85}",
        fake,
    ]
    .into_iter()
    .enumerate()
    {
        let format = if number == 4 { "text" } else { "json" };
        let operator = world.operator(&["--log-format", format]).await;
        let error = Effect::error(400, &format!("ODD{odd}_{number}"), &format!("begin{odd}end"));
        world.project.fault(Fault::new(error).at(Operation::Create).always());
        let name = format!("x-{number}");
        let object = world.datadog(&name).await.reaches("False", "Rejected").await;
        let note = until_found("its Event", || async {
            let events = world.list("Event").await;
            let ours =
                |event: &&Value| event["regarding"]["name"] == name.as_str() && event["reason"] == "Rejected";
            events.iter().find(ours).map(|event| event["note"].as_str().unwrap().to_owned())
        })
        .await;
        for text in [&message(&object), &note] {
            assert!(text.contains("begin") && text.contains("end") && !deceives(text), "{text:?}");
        }
        let logs = operator.logs();
        let lines = logs.lines().filter(|line| line.contains("begin"));
        assert!(lines.clone().count() > 0 && lines.clone().all(|line| !deceives(line)));
        assert!(
            logs.lines().all(
                |line| !line.starts_with("2026-01-01 ERROR") && !line.starts_with("{\"timestamp\":\"x\"")
            )
        );
        world.object(&name).delete().await;
        world.project.clear_faults();
    }
}

/// An error code and a text of 100 KB each.
#[tokio::test(flavor = "multi_thread")]
async fn o33_errors_of_a_hundred_kilobytes() {
    let world = World::with_datadog_key("own-long-errors").await;
    let operator = world.operator(&[]).await;
    let error = Effect::error(400, &"CODE_".repeat(20_000), &"text ".repeat(20_000));
    world.project.fault(Fault::new(error).at(Operation::Create).always());
    let object = world.datadog("x").await.reaches("False", "Rejected").await;
    let said = message(&object);
    assert!(said.contains("to POST DATADOG") && said.chars().count() <= 2_048, "{} bytes", said.len());
    assert!(operator.logs().lines().all(|line| line.len() < 20_000));
    world.project.clear_faults();
    world.object("x").annotate("reconcile-requested-at", "1").await.synced().await;
}

/// A wait of 500 billion years is an hour at most, and concerns one project.
#[tokio::test(flavor = "multi_thread")]
async fn o34_a_wait_without_an_end() {
    let (world, _operator) = in_sync("own-wait").await;
    let limit = Effect::RateLimited { retry_after: Some(u64::MAX) };
    world.project.fault(Fault::new(limit).at(Operation::Update).always());
    let x = world.object("x");
    x.change(&json!({"datadog": {"region": "EU"}})).await.reaches("False", "RateLimited").await;
    let other = world.shared.sim.project(&new_project_id());
    other.allow_key(crate::world::PUBLIC_KEY, crate::world::PRIVATE_KEY);
    let mut object = world.manifest("y", &samples::of("DATADOG").spec);
    object["spec"]["projectId"] = other.id().into();
    world.create(&object).await;
    world.object("y").synced().await;
}

/// A success that confirms nothing: the object does not say that it is in sync, unless the write was made again.
#[tokio::test(flavor = "multi_thread")]
async fn o35_a_write_that_is_answered_with_something_else() {
    let (world, _operator) = in_sync("own-confirms").await;
    let x = world.object("x");
    for (number, value) in [
        json!({"results": [{"type": "SLACK", "id": "1"}]}),
        json!({"results": []}),
        json!([]),
        Value::Null,
        "ok".into(),
        json!({"results": [null]}),
    ]
    .into_iter()
    .enumerate()
    {
        // Answered so, and not applied.
        let body = value.to_string();
        let answer = Effect::Answer { status: 200, content_type: Some("application/json".to_owned()), body };
        world.project.fault(Fault::new(answer).at(Operation::Update));
        let region = ["EU", "US3"][number % 2];
        x.change(&json!({"datadog": {"region": region}})).await;
        world.until_faulted(number + 1).await;
        x.until("out of sync, or written again", |object| {
            let in_sync = condition(object, "InSync");
            let told = in_sync["status"] == "False"
                && in_sync["observedGeneration"] == object["metadata"]["generation"];
            told || world.stored_datadog("region") == region
        })
        .await;
        x.annotate("rewrite-requested-at", region).await;
        world.until_stored("region", region).await;
        x.synced().await;
    }
}

/// Tokens that are none, or would break a header.
#[tokio::test(flavor = "multi_thread")]
async fn o36_tokens_that_are_none() {
    let world = World::with_datadog_key("own-tokens").await;
    let account = format!("mdb_sa_id_{}", world.project.id());
    world.project.allow_service_account(&account, "mdb_sa_sk_canary-tokens");
    world.secret("account", &[("clientId", &account), ("clientSecret", "mdb_sa_sk_canary-tokens")]).await;
    for body in [
        json!({"access_token": "canary\r\nX-Injected: 1", "token_type": "Bearer", "expires_in": 3_600}),
        json!({"access_token": "", "token_type": "Bearer", "expires_in": 3_600}),
        json!({"access_token": "canary-😀", "token_type": "Bearer", "expires_in": u64::MAX}),
        json!({"access_token": ["canary"], "token_type": "Bearer", "expires_in": -1}),
        json!({"error": "canary\u{1b}[31m", "error_description": "\u{202e}".repeat(1_000)}),
    ] {
        let answer = Effect::Answer {
            status: 200,
            content_type: Some("application/json".to_owned()),
            body: body.to_string(),
        };
        let mut fault = Fault::new(answer).over(Api::OAuth);
        fault.when.authentication = Authentication::Any;
        world.project.fault(fault);
    }
    let operator = world.operator(&[]).await;
    let spec = samples::datadog(json!({"credentialsSecretRef": {"name": "account"}}));
    let x = world.integration("x", &spec).await;
    let object = x.says("Ready", "False").await;
    assert!(!object["status"].to_string().contains("canary"), "{object:#}");
    x.synced().await;
    assert!(world.project.faults().is_empty(), "each was answered");
    assert!(!operator.logs().contains("canary"));
    let injected = |e: &Exchange| e.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-injected"));
    assert_eq!(world.project.count(injected), 0);
}

/// Fields that only other types have, and fields that nobody knows, with what may be a secret in them.
#[tokio::test(flavor = "multi_thread")]
async fn o37_fields_of_other_types() {
    let (world, operator) = in_sync("own-foreign-fields").await;
    let hidden = json!({"password": "canary-1", "bodyTemplate": "canary-2", "newSecret": "canary-3",
        "teamName": "canary-4", "url": "https://canary-5:canary-6@h/canary-7", "licenseKey": "canary-8"});
    listed(&world, [page(&json!([entry(&world, &hidden)]))]).await;
    let object = world.object("x").synced().await;
    assert!(!object["status"].to_string().contains("canary"), "{object:#}");
    assert!(!operator.logs().contains("canary-"));
    goes_on(&world).await;
}

/// A URL of which user, password, port, path and query may each be a secret.
#[tokio::test(flavor = "multi_thread")]
async fn o38_urls_that_carry_secrets() {
    let world = World::new("own-urls").await;
    let operator = world.operator(&[]).await;
    let hook = world.sample("WEBHOOK").await.in_sync().await;
    for url in [
        "https://canary-1:canary-2@hooks.example.com:8443/canary-3?canary-4=canary-5#canary-6",
        "HTTPS://CANARY@hooks.example.com\\canary",
        "//canary@hooks.example.com/canary",
        "data:text/plain,canary",
        "canary",
    ] {
        world.project.edit("WEBHOOK", |stored| stored["url"] = url.into());
        hook.annotate("reconcile-requested-at", url).await;
        hook.until("looked at", |object| !object["status"]["lastHandledReconcileAt"].is_null()).await;
        world.until_looked(1).await;
        let status = hook.get().await["status"]["integration"].to_string();
        assert!(!status.to_lowercase().contains("canary"), "{url}: {status}");
    }
    assert!(!operator.logs().contains("canary-"));
}

/// Statuses that nobody knows: each call ends, and the metrics do not grow with them.
#[tokio::test(flavor = "multi_thread")]
async fn o39_statuses_that_nobody_knows() {
    let (world, operator) = in_sync("own-statuses").await;
    let statuses = [299, 399, 440, 498, 512, 560, 599, 601, 777, 999];
    for status in statuses {
        let faulted = world.project.count(|e| e.faulted);
        let answer = Effect::Answer { status, content_type: None, body: GOOD_KEY.to_owned() };
        world.project.fault(Fault::new(answer).at(Operation::List));
        world.object("x").annotate("reconcile-requested-at", &status.to_string()).await;
        world.until_faulted(faulted + 1).await;
    }
    goes_on(&world).await;
    let metrics = operator.get("/metrics").await.unwrap();
    let odd: Vec<&str> = metrics
        .lines()
        .filter(|line| statuses.iter().any(|status| line.contains(&format!("status=\"{status}\""))))
        .collect();
    assert!(odd.is_empty(), "a series for each status that somebody makes up: {odd:?}");
    assert!(metrics.contains("operation=\"LIST\",status=\"other\""), "{metrics}");
}
