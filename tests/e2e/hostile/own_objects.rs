//! Attacks by objects and their fields, by a tenant who may create any object of the kind in one namespace.

use atlas_integration_operator::api::{CLAIM_ANNOTATION, FINALIZER};
use atlas_integration_stage::samples::{self, datadog, foreign, merge};
use serde_json::{Value, json};

use crate::hostile::tenant::Tenant;
use crate::world::{World, condition, message, until_found};

const LONG: &[&str] = &["--resync-interval", "1h"];

/// What the operator says about the object goes into its status, or nobody learns it: here three Secrets with ten key
/// names of the greatest length, none of which is the one that the object asks for.
#[tokio::test(flavor = "multi_thread")]
async fn o01_a_message_longer_than_the_status_takes() {
    let world = World::new("own-long").await;
    let eve = Tenant::of(&world).await;
    let keys: Vec<String> = (0..10).map(|number| format!("{number}{}", "k".repeat(252))).collect();
    let values: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "x")).collect();
    let key = |secret: &str| json!({"name": secret, "key": format!("absent{}", "k".repeat(240))});
    for secret in ["one", "two", "three"] {
        eve.secret(secret, &values).await.unwrap();
    }
    let spec = json!({"type": "NEW_RELIC", "newRelic": {"accountId": "1", "licenseKeySecretRef": key("one"),
        "writeTokenSecretRef": key("two"), "readTokenSecretRef": key("three")}});
    eve.create(&world.manifest("x", &spec)).await.unwrap();
    let _operator = world.operator(&[]).await;
    let said = message(&world.object("x").reaches("False", "SecretKeyMissing").await);
    let length = said.chars().count();
    assert!(length > 1_024 && length <= 2_048, "{length} characters: {said}");
}

/// The operator's finalizer on an object that never wrote anything, where others have an integration: the object can be
/// deleted, and takes nothing along.
#[tokio::test(flavor = "multi_thread")]
async fn o03_a_finalizer_without_a_claim_deletes_nothing() {
    let world = World::with_datadog_key("own-finalizer").await;
    world.project.replace_by_other(foreign());
    let eve = Tenant::of(&world).await;
    let operator = world.operator(LONG).await;
    operator.pause();
    let mut object = world.manifest("x", &datadog(json!({})));
    object["metadata"]["finalizers"] = json!([FINALIZER]);
    eve.create(&object).await.unwrap();
    eve.delete("AtlasIntegration", "x").await.unwrap();
    operator.resume();
    world.object("x").gone().await;
    assert!(world.atlas_writes().is_empty(), "{:?}", world.atlas_writes());
    assert_eq!(world.stored_datadog("region"), "EU", "theirs is still there");
}

/// Claims of every odd form, on ten objects at once: each is served as if it had none.
#[tokio::test(flavor = "multi_thread")]
async fn o04_claims_that_are_none() {
    let world = World::new("own-claims").await;
    let eve = Tenant::of(&world).await;
    let many: Value = (0..1_500).map(|number| (format!("field{number}"), Value::from("v"))).collect();
    let claims = [
        String::new(),
        "null".to_owned(),
        "{".to_owned(),
        "[".repeat(60_000),
        format!("{{\"uid\":\"x\",\"sent\":{}1{}}}", "{\"a\":".repeat(5_000), "}".repeat(5_000)),
        json!({"uid": 7, "time": [], "sent": null}).to_string(),
        json!({"uid": "another", "time": "2024-01-01T00:00:00Z", "sent": {}, "adopted": true}).to_string(),
        json!({"uid": "x", "time": "99999-99-99T99:99:99Z", "sent": {}}).to_string(),
        json!({"uid": "x", "time": "2024-01-01T00:00:00Z", "sent": many}).to_string(),
        "\u{202e}\u{0}\u{1b}[31m".to_owned(),
    ];
    let _operator = world.operator(&[]).await;
    for (claim, sample) in claims.iter().zip(samples::all()) {
        let secret = format!("keys-{}", sample.name());
        eve.secret(&secret, &sample.secrets).await.unwrap();
        let mut object = world.manifest(&sample.name(), &sample.with_secret(&secret));
        object["metadata"]["annotations"] = json!({CLAIM_ANNOTATION: claim});
        object["metadata"]["finalizers"] = json!([FINALIZER]);
        assert!(eve.create(&object).await.is_ok(), "{}", &claim[..claim.len().min(80)]);
    }
    for sample in samples::all() {
        world.object(&sample.name()).synced().await;
    }
    assert_eq!(world.project.stored().len(), 10);
}

/// Claims of the object's own uid whose time is at an end of all times: nothing overflows, and the object goes on once
/// nothing can be under way.
#[tokio::test(flavor = "multi_thread")]
async fn o05_claims_from_the_ends_of_time() {
    let world = World::new("own-times").await;
    let eve = Tenant::of(&world).await;
    let operator = world.operator(&["--atlas-timeout", "1s"]).await;
    operator.pause();
    let times = ["9999-12-30T22:00:00.999999999Z", "-009999-01-02T01:59:59Z", "0000-01-01T00:00:00Z"];
    let kinds = ["DATADOG", "PAGER_DUTY", "OPS_GENIE"];
    for (time, kind) in times.iter().zip(kinds) {
        let sample = samples::of(kind);
        let secret = format!("keys-{}", sample.name());
        eve.secret(&secret, &sample.secrets).await.unwrap();
        let object = eve.create(&world.manifest(&sample.name(), &sample.with_secret(&secret))).await.unwrap();
        let claim = json!({"uid": object["metadata"]["uid"], "time": time, "sent": {}}).to_string();
        let forged =
            json!({"metadata": {"finalizers": [FINALIZER], "annotations": {CLAIM_ANNOTATION: claim}}});
        eve.patch("AtlasIntegration", &sample.name(), &forged).await.unwrap();
    }
    operator.resume();
    for kind in kinds {
        world.object(&samples::of(kind).name()).synced().await;
    }
}

/// Requests by annotation of 50 KB that would colour a terminal or turn its text.
#[tokio::test(flavor = "multi_thread")]
async fn o06_requests_that_fill_or_deceive() {
    let world = World::with_datadog_key("own-requests").await;
    let eve = Tenant::of(&world).await;
    let operator = world.operator(LONG).await;
    world.datadog("x").await.in_sync().await;
    let odd = "\u{1b}[31m\u{202e}\u{200b}\r\n{\"level\":\"ERROR\"}";
    let request = format!("{odd}{}", "x".repeat(50_000));
    let annotations: Value = ["reconcile-requested-at", "rewrite-requested-at"]
        .map(|name| (format!("atlas-integrations.dev/{name}"), Value::from(request.as_str())))
        .into_iter()
        .collect();
    eve.patch("AtlasIntegration", "x", &json!({"metadata": {"annotations": annotations}})).await.unwrap();
    let object =
        world.object("x").until("handled", |x| !x["status"]["lastHandledReconcileAt"].is_null()).await;
    let handled = object["status"]["lastHandledReconcileAt"].as_str().unwrap();
    assert_eq!(handled, format!("[31m{{\"level\":\"ERROR\"}}{}", "x".repeat(253 - 21)));
    assert!(operator.logs().lines().all(|line| line.len() < 10_000 && !line.contains('\u{202e}')));
}

/// Whoever could say when an object was created would win every place.
#[tokio::test(flavor = "multi_thread")]
async fn o07_an_object_that_claims_to_be_older() {
    let victim = World::with_datadog_key("own-older").await;
    let attacker = World::with_project("own-older-eve", victim.project.id()).await;
    let eve = Tenant::of(&attacker).await;
    eve.secret("keys", &samples::of("DATADOG").secrets).await.unwrap();
    let _operator = victim.operator(&["--watch-namespace", &attacker.namespace]).await;
    let x = victim.datadog("x").await.in_sync().await;
    let mut object = attacker.manifest("x", &datadog(json!({"datadog": {"region": "EU"}})));
    let forged = json!({"creationTimestamp": "1970-01-01T00:00:00Z", "uid": "00000000-0000-0000-0000-000000000000",
        "generation": 999, "selfLink": "/x"});
    merge(&mut object["metadata"], &forged);
    let created = eve.create(&object).await.unwrap();
    assert_ne!(created["metadata"]["creationTimestamp"], "1970-01-01T00:00:00Z");
    attacker.object("x").reaches("False", "Conflict").await;
    assert_eq!(victim.stored_datadog("region"), "US5");
    x.synced().await;
}

/// Ids of projects that are not exactly one, which a path or a grant might take for another.
#[tokio::test(flavor = "multi_thread")]
async fn o08_ids_of_projects_that_are_nearly_one() {
    let world = World::with_datadog_key("own-ids").await;
    let eve = Tenant::of(&world).await;
    let id = world.project.id();
    let full_width: String = id.chars().map(|c| if c == '5' { '５' } else { c }).collect();
    for odd in [
        id.to_uppercase(),
        format!("{id}\n"),
        format!(" {id}"),
        format!("{id}/../{id}"),
        format!("..%2f{id}"),
        format!("{}\u{200b}", &id[..23]),
        format!("{id}?itemsPerPage=1"),
        id[..23].to_owned(),
        format!("{id}0"),
        full_width,
        String::new(),
    ] {
        let mut object = world.manifest("x", &datadog(json!({})));
        object["spec"]["projectId"] = odd.as_str().into();
        assert_eq!(eve.create(&object).await.err(), Some(422), "{odd:?}");
    }
}

/// Texts that would end a JSON text, a header or a template, if anything were put together from pieces: they arrive in
/// Atlas as they are, or are refused.
#[tokio::test(flavor = "multi_thread")]
async fn o09_texts_that_would_break_out() {
    let world = World::new("own-texts").await;
    let eve = Tenant::of(&world).await;
    let sample = samples::of("VICTOR_OPS");
    eve.secret("keys", &sample.secrets).await.unwrap();
    let _operator = world.operator(LONG).await;
    eve.create(&world.manifest("x", &sample.spec)).await.unwrap();
    let mut taken = 0;
    for odd in [
        "a\",\"type\":\"PAGER_DUTY\",\"x\":\"",
        "a\\\",\\u0022",
        "a\r\nX-Injected: 1\r\n\r\nDELETE /",
        "${PRIVATE_KEY} $(id) {{ .Values.key }} <#include 'x'>",
        "../../../../orgs",
        "?x=1#y",
    ] {
        let change = json!({"spec": {"victorOps": {"routingKey": odd}}});
        match eve.patch("AtlasIntegration", "x", &change).await {
            Err(422) => continue,
            answer => answer.unwrap(),
        };
        world.object("x").synced().await;
        let stored = world.project.stored_type("VICTOR_OPS").unwrap();
        assert_eq!((&stored["routingKey"], &stored["type"]), (&odd.into(), &"VICTOR_OPS".into()));
        taken += 1;
    }
    assert!(taken >= 4, "{taken}");
    assert_eq!(world.project.stored().len(), 1);
    let injected =
        world.project.count(|e| e.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("x-injected")));
    assert_eq!(injected, 0);
}

/// A foreign finalizer keeps the object after its deletion in Atlas: nothing is called again and again for it, and
/// nobody puts the operator's finalizer back.
#[tokio::test(flavor = "multi_thread")]
async fn o10_an_object_that_does_not_go() {
    let world = World::with_datadog_key("own-lingering").await;
    let eve = Tenant::of(&world).await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let with_ours = x.get().await["metadata"]["finalizers"].clone();
    let both = json!(["evil.example/stays", with_ours[0]]);
    eve.patch("AtlasIntegration", "x", &json!({"metadata": {"finalizers": both}})).await.unwrap();
    eve.delete("AtlasIntegration", "x").await.unwrap();
    x.until("let go", |object| object["metadata"]["finalizers"] == json!(["evil.example/stays"])).await;
    let again = eve.patch("AtlasIntegration", "x", &json!({"metadata": {"finalizers": both}})).await;
    assert_eq!(again.err(), Some(422), "the API server adds no finalizer to an object that goes");
    let calls = world.project.exchanges().len();
    for number in 0..5 {
        let asked = json!({"metadata": {"annotations":
            {"atlas-integrations.dev/reconcile-requested-at": number.to_string()}}});
        eve.patch("AtlasIntegration", "x", &asked).await.unwrap();
    }
    let y = world.sample("PAGER_DUTY").await.in_sync().await;
    assert_eq!(y.get().await["status"]["conditions"][0]["status"], "True");
    let for_x = |e: &atlas_sim::Exchange| e.integration_type.as_deref() == Some("DATADOG");
    let later = world.project.exchanges().split_off(calls);
    assert!(!later.iter().any(for_x), "nothing more is called for it");
    assert_eq!(world.project.stored().len(), 1);
}

/// Thirty objects for one place with one credential: one gets it, each pass makes one LIST, and nobody else's status is
/// written again and again.
#[tokio::test(flavor = "multi_thread")]
async fn o11_many_objects_for_one_place() {
    const MANY: usize = 30;
    let world = World::with_datadog_key("own-many").await;
    let eve = Tenant::of(&world).await;
    let _operator = world.operator(&[]).await;
    world.datadog("first").await.in_sync().await;
    for number in 0..MANY {
        eve.create(&world.manifest(&format!("x-{number}"), &datadog(json!({})))).await.unwrap();
    }
    for number in 0..MANY {
        world.object(&format!("x-{number}")).reaches("False", "Conflict").await;
    }
    world.until_looked(1).await;
    let (writes, looks) = (world.api_writes().len(), world.looks());
    world.until_looked(3).await;
    assert_eq!(world.api_writes().len(), writes, "what was said is not said again");
    assert!(world.looks() - looks <= 5, "one LIST a pass");
    assert_eq!(world.atlas_writes(), ["POST"]);
}

/// Somebody changes the policies of an object on its way out, one after the other, as fast as the API server takes it.
#[tokio::test(flavor = "multi_thread")]
async fn o12_policies_that_change_while_it_goes() {
    let world = World::with_datadog_key("own-policies").await;
    world.sample("PAGER_DUTY").await;
    let eve = Tenant::of(&world).await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    let other = world.object("pager-duty");
    other.synced().await;
    eve.delete("AtlasIntegration", "x").await.unwrap();
    for policies in [
        json!({"deletionPolicy": "Retain"}),
        json!({"managementPolicy": "Observe"}),
        json!({"deletionPolicy": "Delete", "managementPolicy": "Manage"}),
        json!({"suspend": true}),
        json!({"adoptionPolicy": "Adopt", "suspend": false}),
    ] {
        let answer = eve.patch("AtlasIntegration", "x", &json!({"spec": policies})).await;
        assert!(matches!(answer, Ok(_) | Err(404 | 409)), "{answer:?}");
    }
    x.gone().await;
    other.synced().await;
    let deletes = world.atlas_writes().iter().filter(|method| *method == "DELETE").count();
    assert!(deletes <= 1 && world.project.stored_type("PAGER_DUTY").is_some());
}

/// The namespace's own object can't use the operator's Secret, by whatever reference.
#[tokio::test(flavor = "multi_thread")]
async fn o13_references_to_the_operators_own_secret() {
    let home = World::new("own-home").await;
    home.secret("own-key", &[("publicApiKey", "platform"), ("privateApiKey", "8f0d7c52-canaryPRIVATE-own")])
        .await;
    let world = World::with_datadog_key("own-reaching").await;
    let eve = Tenant::of(&world).await;
    let scope = ["--watch-namespace", world.namespace.as_str()];
    let flags = ["--credentials-secret", "own-key"];
    let operator = crate::world::Operator::start_elsewhere(&home, &scope, &flags).await;
    let key = |name: &str| json!({"datadog": {"apiKeySecretRef": {"name": name, "key": "privateApiKey"}}});
    eve.create(&world.manifest("by-name", &datadog(key("own-key")))).await.unwrap();
    let said = message(&world.object("by-name").reaches("False", "SecretNotFound").await);
    assert!(said.contains(&format!("does not exist in namespace {}", world.namespace)), "{said}");
    let across = format!("{}/own-key", home.namespace);
    assert_eq!(eve.create(&world.manifest("by-path", &datadog(key(&across)))).await.err(), Some(422));
    let mut elsewhere = datadog(key("own-key"));
    elsewhere["datadog"]["apiKeySecretRef"]["namespace"] = home.namespace.as_str().into();
    let created = eve.create(&world.manifest("by-field", &elsewhere)).await;
    let kept = created.map(|object| object["spec"]["datadog"]["apiKeySecretRef"]["namespace"].clone());
    assert!(matches!(kept, Ok(Value::Null) | Err(400 | 422)), "the field is dropped: {kept:?}");
    assert_eq!(eve.reaching_for(&home.namespace).get("Secret", "own-key").await.err(), Some(403));
    until_found("the Event", || async { world.notes("SecretNotFound").await.pop() }).await;
    assert_eq!(world.project.count(atlas_sim::Exchange::is_write), 0);
    assert!(!operator.logs().contains("canaryPRIVATE"));
}

/// What is granted and what is there can't be told from what is not: the answer for a project is the same.
#[tokio::test(flavor = "multi_thread")]
async fn o14_whether_a_project_exists_is_not_told() {
    let home = World::new("own-oracle-home").await;
    home.secret(
        "own-key",
        &[("publicApiKey", crate::world::PUBLIC_KEY), ("privateApiKey", crate::world::PRIVATE_KEY)],
    )
    .await;
    let world = World::with_datadog_key("own-oracle").await;
    let eve = Tenant::of(&world).await;
    let scope = ["--watch-namespace", world.namespace.as_str()];
    let _operator =
        crate::world::Operator::start_elsewhere(&home, &scope, &["--credentials-secret", "own-key"]).await;
    let mut said = Vec::new();
    for (name, project) in [("there", home.project.id()), ("nowhere", "ffffffffffffffffffffffff")] {
        let mut object = world.manifest(name, &datadog(json!({})));
        merge(&mut object["spec"], &json!({"projectId": project, "credentialsSecretRef": null}));
        eve.create(&object).await.unwrap();
        let object = world.object(name).reaches("False", "ProjectNotAllowed").await;
        let conditions: Vec<String> = ["Ready", "InSync", "Reconciling", "Stalled"]
            .map(|kind| condition(&object, kind)["message"].to_string().replace(project, "ID"))
            .into();
        said.push(conditions);
    }
    assert_eq!(said[0], said[1]);
    assert_eq!(home.project.exchanges().len(), 0, "nor is Atlas asked");
}
