//! What Atlas shows more, less or otherwise than before or than it was sent: what InSync says of it, and that nothing is
//! written for it.

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::{HowNormalised, HowTwisted, Normalise, Project, Twist};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{Object, World, condition, message, until};

fn twist(kind: &str, field: &str, how: HowTwisted) -> Twist {
    Twist { integration_type: kind.to_owned(), field: field.to_owned(), how }
}

fn normalise(kind: &str, field: &str, how: HowNormalised) -> Normalise {
    Normalise { integration_type: kind.to_owned(), field: field.to_owned(), how }
}

fn set_twists(project: &Project, twists: Vec<Twist>) {
    project.settings(|settings| settings.twists = twists);
}

/// Status and message of InSync; empty texts if the object says nothing of it.
fn in_sync(object: &Value) -> (String, String) {
    let said = condition(object, "InSync");
    let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
    (text("status"), text("message"))
}

fn says(status: &str, message: &str) -> (String, String) {
    (status.to_owned(), message.to_owned())
}

/// Waits until InSync has this status, and returns its message.
async fn in_sync_is(x: &Object<'_>, status: &str) -> String {
    let object = x.until(&format!("InSync={status}"), |object| in_sync(object).0 == status).await;
    in_sync(&object).1
}

/// Atlas begins to show a field, and stops showing it: the id stays, so nobody wrote.
#[rstest]
#[case::text("VICTOR_OPS", "routingKey", HowTwisted::Hide)]
#[case::region("DATADOG", "region", HowTwisted::Hide)]
#[case::flag("DATADOG", "sendCollectionLatencyMetrics", HowTwisted::Hide)]
#[case::null("DATADOG", "region", HowTwisted::Null)]
#[case::not_in_the_spec("DATADOG", "sendUserProvidedResourceTags", HowTwisted::Hide)]
#[case::secret("WEBHOOK", "secret", HowTwisted::Hide)]
#[case::required("PROMETHEUS", "username", HowTwisted::Hide)]
#[case::id("OPS_GENIE", "id", HowTwisted::Hide)]
#[case::masked("WEBHOOK", "bodyTemplate", HowTwisted::Mask(0))]
#[case::masked_text("PROMETHEUS", "username", HowTwisted::Mask(1))]
#[case::masked_key("NEW_RELIC", "licenseKey", HowTwisted::Mask(0))]
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_comes_or_goes(#[case] kind: &str, #[case] field: &str, #[case] how: HowTwisted) {
    let world = World::new(&format!("shown-{}", field.to_lowercase())).await;
    let _operator = world.operator(&[]).await;
    set_twists(&world.project, vec![twist(kind, field, how.clone())]);
    let x = world.sample(kind).await.in_sync().await;
    let twisted = x.get().await["status"]["integration"][field].clone();
    set_twists(&world.project, Vec::new());
    let shown = |object: &Value| object["status"]["integration"][field] != twisted;
    let object = x.until("shown as it is", shown).await;
    assert_eq!(in_sync(&object), says("True", "Atlas holds what was last confirmed"));
    set_twists(&world.project, vec![twist(kind, field, how)]);
    let again = |object: &Value| object["status"]["integration"][field] == twisted;
    let object = x.until("twisted again", again).await;
    assert_eq!(in_sync(&object).0, "True");
    assert_eq!(world.atlas_writes(), ["POST"]);
    assert_eq!(world.notes("Drifted").await, Vec::<String>::new());
}

/// Atlas keeps its own value of what the very first write sent: the object says so, and nothing is tried again. Once
/// Atlas shows what was asked for, all is in sync without a write.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_atlas_does_not_take() {
    let world = World::with_datadog_key("own-value").await;
    world.project.settings(|settings| {
        settings.normalise = vec![normalise("DATADOG", "region", HowNormalised::Set(json!("US3")))];
    });
    let _operator = world.operator(&[]).await;
    let x = world.integration("x", &datadog(json!({"datadog": {"region": "EU"}}))).await.in_sync().await;
    let object = x.says("InSync", "NotAcceptedByAtlas").await;
    let told = "Atlas confirmed the last write, but keeps its own value in: region; compare the spec with \
                status.integration, and name in the spec what Atlas is to keep";
    assert_eq!(in_sync(&object), says("False", told));
    let ready = format!(
        "Atlas accepted the DATADOG integration of project {}, but keeps its own value in: region",
        world.project.id()
    );
    assert_eq!(message(&object), ready);
    assert_eq!(condition(&object, "Ready")["status"], "True");
    world.until_looked(3).await;
    assert_eq!(world.atlas_writes(), ["POST"]);
    assert_eq!(world.notes("NotAcceptedByAtlas").await, [told]);

    // Observing says the same of the same pair.
    x.change(&json!({"managementPolicy": "Observe"})).await.reaches("True", "Observed").await;
    assert!(in_sync_is(&x, "False").await.starts_with("Atlas differs from the spec in: region;"));
    x.change(&json!({"managementPolicy": "Manage", "adoptionPolicy": "Adopt"})).await.synced().await;
    x.says("InSync", "NotAcceptedByAtlas").await;

    // A policy changes nothing about it.
    x.change(&json!({"deletionPolicy": "Retain"})).await.synced().await;
    x.says("InSync", "NotAcceptedByAtlas").await;

    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    assert_eq!(in_sync_is(&x, "True").await, "Atlas holds what was last confirmed");
    assert!(message(&x.get().await).ends_with("as the spec says"));
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
}

/// An optional field is taken out of the spec, and Atlas keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_atlas_does_not_give_up() {
    let world = World::new("merged").await;
    let merged = ["region", "sendCollectionLatencyMetrics"];
    set_twists(&world.project, merged.map(|field| twist("DATADOG", field, HowTwisted::Merge)).to_vec());
    let _operator = world.operator(&[]).await;
    let x = world.sample("DATADOG").await.in_sync().await;
    x.change(&json!({"datadog": {"region": null, "sendCollectionLatencyMetrics": null}}))
        .await
        .synced()
        .await;
    let told = in_sync_is(&x, "False").await;
    let words = "keeps what the spec does not name: region, sendCollectionLatencyMetrics";
    assert!(told.contains(words), "{told}");
    let said = message(&x.get().await);
    assert!(said.contains(words) && !said.contains("as the spec says"), "{said}");
    world.until_looked(2).await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT"]);
    // Somebody resets one of them in Atlas, and the other one is named again: both are as they should be.
    world.project.edit("DATADOG", |stored| stored["region"] = "US".into());
    x.change(&json!({"datadog": {"sendCollectionLatencyMetrics": true}})).await.synced().await;
    in_sync_is(&x, "True").await;
    assert_eq!(world.atlas_writes(), ["POST", "PUT", "PUT"]);
}

/// What Atlas masks as a whole can't be compared, and what it writes in a form of its own is equal.
#[rstest]
#[case::template("WEBHOOK", vec![twist("WEBHOOK", "bodyTemplate", HowTwisted::Mask(0))], Vec::new(),
    "url, secret, bodyTemplate, headersTemplate")]
#[case::channel("SLACK", Vec::new(), vec![normalise("SLACK", "channelName", HowNormalised::Prefix("#".into()))], "apiToken")]
#[case::account("NEW_RELIC", Vec::new(), vec![normalise("NEW_RELIC", "accountId", HowNormalised::Number)],
    "licenseKey, writeToken, readToken")]
#[case::region("OPS_GENIE", Vec::new(), vec![normalise("OPS_GENIE", "region", HowNormalised::Lowercase)], "apiKey")]
#[case::hidden("VICTOR_OPS", vec![twist("VICTOR_OPS", "routingKey", HowTwisted::Hide)], Vec::new(), "apiKey, routingKey")]
#[tokio::test(flavor = "multi_thread")]
async fn observed_alike(
    #[case] kind: &str,
    #[case] twists: Vec<Twist>,
    #[case] rules: Vec<Normalise>,
    #[case] untold: &str,
) {
    let sample = samples::of(kind);
    let world = World::new(&format!("alike-{}", sample.name())).await;
    let _operator = world.operator(&[]).await;
    // Written by an object, so that Atlas keeps it in its own form.
    world.project.settings(|settings| settings.normalise = rules);
    let x = world.sample_with(kind, &json!({"adoptionPolicy": "Adopt"})).await.in_sync().await;
    assert_eq!(in_sync_is(&x, "True").await, "Atlas holds what was last confirmed");
    set_twists(&world.project, twists);
    x.change(&json!({"managementPolicy": "Observe"})).await.reaches("True", "Observed").await;
    let compared = format!("what Atlas shows can't be compared with the spec in: {untold}");
    let told = x.until("compared", |object| in_sync(object).1.contains("taking over")).await;
    let expected = format!("taking over would change nothing that Atlas shows; {compared}");
    assert_eq!(in_sync(&told), says("True", &expected));
    world.until_looked(2).await;
    assert_eq!(world.atlas_writes(), ["POST"]);
    x.change(&json!({"managementPolicy": "Manage"})).await.synced().await;
    in_sync_is(&x, "True").await;
}

/// Adoption as its page says: observe, name what the message names, take over. Nothing changes but the id.
#[tokio::test(flavor = "multi_thread")]
async fn taking_over_changes_what_was_told_and_nothing_else() {
    let world = World::with_datadog_key("takeover").await;
    let _operator = world.operator(&[]).await;
    let theirs = json!({"type": "DATADOG", "apiKey": "fedcba9876543210fedcba9876540001", "region": "EU",
        "sendCollectionLatencyMetrics": false, "sendDatabaseMetrics": true, "sendQueryStatsMetrics": false,
        "sendUserProvidedResourceTags": true});
    world.project.replace_by_other(theirs);
    let before = world.project.stored_type("DATADOG").unwrap();
    let ours = json!({"type": "DATADOG", "managementPolicy": "Observe",
        "datadog": {"apiKeySecretRef": {"name": "keys", "key": "api"}, "region": "US5", "sendDatabaseMetrics": true}});
    let x = world.integration("x", &ours).await;
    let object = x.reaches("True", "Observed").await;
    assert_eq!(
        in_sync(&object),
        says(
            "False",
            "Atlas differs from the spec in: region; taking over would also reset what the spec does not name: \
             sendUserProvidedResourceTags; what Atlas shows can't be compared with the spec in: apiKey"
        )
    );
    assert_eq!(
        message(&object),
        "Atlas holds a DATADOG integration that taking over would change in: region, sendUserProvidedResourceTags; it is \
         only observed"
    );
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    let named = |object: &Value| in_sync(object).1.starts_with("taking over would reset");
    let object = x.until("left with what it does not name", named).await;
    assert_eq!(in_sync(&object).0, "False");
    x.change(&json!({"datadog": {"sendUserProvidedResourceTags": true}})).await;
    assert!(in_sync_is(&x, "True").await.starts_with("taking over would change nothing that Atlas shows"));
    assert!(world.atlas_writes().is_empty());
    x.change(&json!({"managementPolicy": "Manage", "adoptionPolicy": "Adopt"})).await.synced().await;
    in_sync_is(&x, "True").await;
    let mut after = world.project.stored_type("DATADOG").unwrap();
    assert_ne!(after["id"], before["id"]);
    after["id"] = before["id"].clone();
    assert_eq!(after, before);
}

/// A secret that Atlas holds and the spec does not name: naming it is what cures it.
#[tokio::test(flavor = "multi_thread")]
async fn an_observer_tells_of_a_secret_that_it_does_not_name() {
    let world = World::new("unnamed-secret").await;
    let _operator = world.operator(&[]).await;
    world.project.replace_by_other(samples::of("WEBHOOK").stored);
    let unsigned = json!({"managementPolicy": "Observe", "webhook": {"signingSecretRef": null}});
    let x = world.sample_with("WEBHOOK", &unsigned).await;
    let told = in_sync_is(&x, "False").await;
    assert!(told.starts_with("taking over would reset what the spec does not name: secret;"), "{told}");
    let signed = json!({"webhook": {"signingSecretRef": {"name": "keys-webhook", "key": "signing"}}});
    x.change(&signed).await;
    in_sync_is(&x, "True").await;
}

/// Others change a value again and again, and then take it back while the repair waits: without ids nothing is left to
/// repair, and the object says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_that_goes_while_its_repair_waits() {
    let world = World::with_datadog_key("taken-back").await;
    let _operator = world.operator(&["--atlas-api", "v1.0"]).await;
    let x = world.datadog("x").await.in_sync().await;
    for _ in 0..3 {
        world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
        world.until_stored("region", "US5").await;
    }
    in_sync_is(&x, "True").await;
    world.project.edit("DATADOG", |stored| stored["region"] = "EU".into());
    let object = x.says("InSync", "Overwritten").await;
    let said = message(&object);
    assert!(said.ends_with("but somebody else has changed it since in: region"), "{said}");
    world.project.edit("DATADOG", |stored| stored["region"] = "US5".into());
    assert_eq!(in_sync_is(&x, "True").await, "Atlas holds what was last confirmed");
    assert!(message(&x.get().await).ends_with("as the spec says"));
    assert_eq!(world.atlas_writes(), ["POST", "PUT", "PUT", "PUT"]);
}

/// Objects as a release left them that knew fewer fields, or fields that Atlas has given up since: the next release
/// writes nothing, stays in sync, and shows what Atlas shows.
#[rstest]
#[case::v2("v2")]
#[case::v1("v1.0")]
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_knows_other_fields_writes_nothing(#[case] api: &str) {
    let world = World::new(&format!("upgrade-{}", api.replace('.', "-"))).await;
    let flags = ["--atlas-api", api];
    let operator = world.operator(&flags).await;
    let kinds = ["DATADOG", "WEBHOOK", "VICTOR_OPS", "PROMETHEUS", "PAGER_DUTY"];
    let objects = world.synced_samples(kinds).await;
    drop(operator);
    // What the earlier release did not know.
    let unknown = [
        (
            "datadog",
            json!({"sendUserProvidedResourceTags": null, "sendQueryStatsMetrics": null, "region": null}),
        ),
        ("webhook", json!({"bodyTemplate": null, "headersTemplate": null, "secret": null})),
        ("victor-ops", json!({"routingKey": null})),
        ("prometheus", json!({"sendUserProvidedResourceTagsEnabled": null, "username": null})),
        ("pager-duty", json!({"region": null, "id": null})),
    ];
    let mut wanted = Vec::new();
    for (name, fields) in &unknown {
        wanted.push(world.object(name).get().await["status"]["integration"].clone());
        world.object(name).set_status(&json!({"integration": fields})).await;
    }
    // What Atlas has given up.
    let retired = [("DATADOG", "sendDatabaseMetrics"), ("PROMETHEUS", "serviceDiscovery")];
    let hidden = retired.map(|(kind, field)| twist(kind, field, HowTwisted::Hide));
    set_twists(&world.project, hidden.to_vec());
    let writes = world.atlas_writes().len();
    let _operator = world.operator(&flags).await;
    for ((name, _), wanted) in unknown.iter().zip(&mut wanted) {
        for (_, field) in retired {
            wanted.as_object_mut().unwrap().remove(field);
        }
        let shown = |object: &Value| object["status"]["integration"] == *wanted;
        let object = world.object(name).until(&format!("shown as {wanted}"), shown).await;
        assert_eq!(in_sync(&object), says("True", "Atlas holds what was last confirmed"), "{name}");
    }
    world.until_looked(2).await;
    assert_eq!(world.atlas_writes().len(), writes, "nothing was written");
    for object in &objects {
        assert_eq!(in_sync(&object.synced().await).0, "True");
    }
}

/// Two switches at once, all pairs: a rewrite, looks, and one real difference. The one real difference is one PUT, and
/// nothing else is written.
#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_switches() {
    let world = World::new("pairs").await;
    let _operator = world.operator(&[]).await;
    let bare = json!({"webhook": {"signingSecretRef": null, "headersTemplateSecretRef": null}});
    let x = world.sample_with("WEBHOOK", &bare).await.in_sync().await;
    let url = world.project.stored_type("WEBHOOK").unwrap()["url"].clone();
    let switches = ["add", "hide", "mask", "default", "normalise", "merge"];
    let mut requests = 0;
    let mut rewrite = async || {
        requests += 1;
        x.annotate("rewrite-requested-at", &requests.to_string()).await;
        let handled =
            |object: &Value| object["status"]["lastHandledRewriteAt"] == requests.to_string().as_str();
        x.until("written again", handled).await;
    };
    for (at, first) in switches.iter().enumerate() {
        for second in &switches[at + 1..] {
            let pair = [*first, *second];
            world.project.settings(|settings| {
                settings.twists = pair.iter().filter_map(|switch| switch_on(switch)).collect();
                settings.normalise.clear();
                if pair.contains(&"normalise") {
                    settings.normalise = vec![normalise("WEBHOOK", "bodyTemplate", HowNormalised::Uppercase)];
                }
            });
            world.until_looked(1).await;
            rewrite().await;
            // Only a value that Atlas changed and shows can be told from what was sent.
            let told = pair.contains(&"normalise") && !pair.contains(&"hide") && !pair.contains(&"mask");
            let expected = if told { "False" } else { "True" };
            in_sync_is(&x, expected).await;
            world.until_looked(1).await;
            let writes = world.atlas_writes().len();
            world
                .project
                .edit("WEBHOOK", |stored| stored["url"] = "https://elsewhere.example.com/changed".into());
            until(&format!("the URL put back under {pair:?}"), || {
                world.project.stored_type("WEBHOOK").filter(|stored| stored["url"] == url)
            })
            .await;
            world.until_looked(1).await;
            assert_eq!(world.atlas_writes().len(), writes + 1, "{pair:?}");
            let object = x.synced().await;
            assert_eq!(in_sync(&object).0, expected, "{pair:?}: {object:#}");
            // All as it was, before the next pair.
            world.project.settings(|settings| {
                settings.twists.clear();
                settings.normalise.clear();
            });
            rewrite().await;
            in_sync_is(&x, "True").await;
        }
    }
}

/// One of the six switches, for an object that names `url` and `bodyTemplate` only. What is stored in a form of its own
/// is another setting.
fn switch_on(switch: &str) -> Option<Twist> {
    let (field, how) = match switch {
        "add" => ("secret", HowTwisted::Add(json!("a secret that nobody sent"))),
        "hide" => ("bodyTemplate", HowTwisted::Hide),
        "mask" => ("bodyTemplate", HowTwisted::Mask(0)),
        "default" => ("headersTemplate", HowTwisted::Default(json!("{\"X-Default\": \"1\"}"))),
        "merge" => ("headersTemplate", HowTwisted::Merge),
        _ => return None,
    };
    Some(twist("WEBHOOK", field, how))
}

/// Random answers from one seed: every optional field of every type is shown, hidden, masked or null, from one look to
/// the next. Nothing is written, and every object stays in sync; then each real difference is one PUT.
#[rstest]
#[case::v2("v2")]
#[case::v1("v1.0")]
#[tokio::test(flavor = "multi_thread")]
async fn random_answers(#[case] api: &str) {
    let world = World::new(&format!("random-{}", api.replace('.', "-"))).await;
    let _operator = world.operator(&["--atlas-api", api]).await;
    let objects = world.synced_samples(samples::kinds()).await;
    let written = world.atlas_writes().len();
    let mut seed = 20_261_129_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let fields: &[(&str, &str)] = &[
        ("PAGER_DUTY", "region"),
        ("SLACK", "teamName"),
        ("SLACK", "channelName"),
        ("DATADOG", "region"),
        ("DATADOG", "sendDatabaseMetrics"),
        ("DATADOG", "sendUserProvidedResourceTags"),
        ("OPS_GENIE", "region"),
        ("VICTOR_OPS", "routingKey"),
        ("WEBHOOK", "secret"),
        ("WEBHOOK", "bodyTemplate"),
        ("WEBHOOK", "headersTemplate"),
        ("PROMETHEUS", "sendUserProvidedResourceTagsEnabled"),
    ];
    for round in 0..8 {
        let mut twists = Vec::new();
        for (kind, field) in fields {
            match random(4) {
                0 => twists.push(twist(kind, field, HowTwisted::Hide)),
                1 => twists.push(twist(kind, field, HowTwisted::Mask(0))),
                2 => twists.push(twist(kind, field, HowTwisted::Null)),
                _ => {}
            }
        }
        set_twists(&world.project, twists.clone());
        world.until_looked(2).await;
        assert_eq!(world.atlas_writes().len(), written, "round {round}: {twists:?}");
        for object in &objects {
            let object = object.synced().await;
            assert_eq!(in_sync(&object).0, "True", "round {round}: {twists:?} {object:#}");
        }
    }
    let differences = [
        ("OPS_GENIE", "apiKey", "another-opsgenie-key-9999"),
        ("MICROSOFT_TEAMS", "microsoftTeamsWebhookUrl", "https://elsewhere.example.com/9999"),
        ("PROMETHEUS", "username", "another"),
        ("NEW_RELIC", "accountId", "7654321"),
        ("FLOWDOCK", "flowName", "another"),
        ("DATADOG", "apiKey", "00000000000000000000000000009999"),
    ];
    for (kind, field, value) in differences {
        let wanted = world.project.stored_type(kind).unwrap()[field].clone();
        world.project.edit(kind, |stored| stored[field] = value.into());
        let mended = || world.project.stored_type(kind).filter(|stored| stored[field] == wanted);
        until(&format!("{field} of {kind} put back"), mended).await;
    }
    world.until_looked(2).await;
    assert_eq!(world.atlas_writes().len(), written + differences.len());
}
