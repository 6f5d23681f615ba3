//! What others change in Atlas: found at the next resync, repaired or shown, told by the names of fields, and never
//! fought over for ever.

use atlas_integration_stage::samples::{self, datadog};
use atlas_sim::{Effect, Fault, HowNormalised, Normalise, Operation, PutOmitted};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, condition, until, until_found};

const KEY: &str = "fedcba9876543210fedcba9876540001";

async fn until_told(world: &World, reason: &str, words: &str) -> String {
    let what = format!("an Event {reason} about {words}");
    let told = || async { world.notes(reason).await.into_iter().find(|note| note.contains(words)) };
    until_found(&what, told).await
}

/// Every visible field of every type, one after another: put back, and named in an Event without its value.
#[tokio::test(flavor = "multi_thread")]
async fn every_visible_field() {
    let world = World::new("drift-fields").await;
    let operator = world.operator(&["--atlas-api", "v1.0"]).await;
    let mut repaired = 0;
    for sample in samples::all() {
        let x = world.sample(sample.kind).await.in_sync().await;
        let wanted = world.project.stored_type(sample.kind).unwrap();
        let shown = sample.echo.as_object().unwrap().iter();
        let visible =
            shown.filter(|(name, value)| *name != "type" && **value != "****").map(|(name, _)| name);
        // Three repairs are free, later ones are spread out.
        for field in visible.take(3) {
            world.project.edit(sample.kind, |stored| stored[field] = other(&stored[field]));
            until(&format!("{field} of {} put back", sample.kind), || {
                world.project.stored_type(sample.kind).filter(|stored| stored[field] == wanted[field])
            })
            .await;
            let note = until_told(&world, "Drifted", field).await;
            assert!(!note.contains("changed-by-others"), "{note}");
            repaired += 1;
        }
        x.says("InSync", "True").await;
    }
    assert!(repaired >= 20, "{repaired}");
    let metrics = operator.get("/metrics").await.unwrap();
    let counted: usize = metrics
        .lines()
        .filter(|line| line.starts_with("atlas_integration_drift_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(counted, repaired, "{metrics}");
}

/// Another value of the same kind, which differs in what the mask shows.
fn other(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => json!(!flag),
        Value::String(text) if text.starts_with("https://") => {
            json!("https://elsewhere.example.com/changed-by-others")
        }
        Value::String(text) if text.len() >= 16 => json!(format!("{}9999", &text[..text.len() - 4])),
        _ => json!("changed-by-others"),
    }
}

/// Deleted, and created anew by others.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_created_by_others() {
    let world = World::with_datadog_key("drift-gone").await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.remove_by_other("DATADOG");
    until("the integration created again", || world.project.stored_type("DATADOG")).await;
    until_told(&world, "Drifted", "deleted").await;
    world.project.replace_by_other(json!({"type": "DATADOG", "apiKey": "00000000000000000000000000009999"}));
    let ours = || world.project.stored_type("DATADOG").filter(|s| s["apiKey"] == KEY && s["region"] == "US5");
    until("the integration put back", ours).await;
    x.says("InSync", "True").await;
}

/// What no answer shows: a password, a signing secret, a key that ends alike. Atlas's new id gives it away.
#[rstest]
#[case::password("PROMETHEUS", "password", "overwritten-password")]
#[case::signing("WEBHOOK", "secret", "overwritten-signing-secret")]
#[case::same_ending("DATADOG", "apiKey", "00000000000000000000000000000001")]
#[case::url_path("MICROSOFT_TEAMS", "microsoftTeamsWebhookUrl", "https://teams.example.com/overwritten")]
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_overwrite(#[case] kind: &str, #[case] field: &str, #[case] value: &str) {
    let sample = samples::of(kind);
    let world = World::new(&format!("hidden-{}", sample.name())).await;
    let _operator = world.operator(&[]).await;
    world.sample(sample.kind).await.in_sync().await;
    let wanted = world.project.stored_type(kind).unwrap()[field].clone();
    let mut stored = world.project.stored_type(kind).unwrap();
    stored[field] = value.into();
    world.project.replace_by_other(stored);
    until("the secret put back", || world.project.stored_type(kind).filter(|s| s[field] == wanted)).await;
    let note = until_told(&world, "Drifted", "id").await;
    assert!(!note.contains(value), "{note}");
}

/// Observing shows each difference once, counts it, and writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn observed_drift_is_told() {
    let world = World::with_datadog_key("drift-observed").await;
    let operator = world.operator(&[]).await;
    let mut foreign = samples::of("DATADOG").stored;
    world.project.replace_by_other(foreign.clone());
    let x = world.integration("x", &datadog(json!({"managementPolicy": "Observe"}))).await;
    x.reaches("True", "Observed").await;
    foreign["region"] = "EU".into();
    world.project.replace_by_other(foreign);
    let object = x.says("InSync", "Drifted").await;
    assert_eq!(condition(&object, "Ready")["status"], "True");
    until_told(&world, "Drifted", "region").await;
    world.until_looked(3).await;
    assert_eq!(world.notes("Drifted").await.len(), 1, "told once");
    let metrics = operator.get("/metrics").await.unwrap();
    assert!(metrics.contains("atlas_integration_drift_total{type=\"DATADOG\"} 1"), "{metrics}");
    assert_eq!(world.atlas_writes().len(), 0);
}

/// Atlas keeps a value in a form of its own: no loop, and in sync unless it means something else.
#[rstest]
#[case::lower_case("lower", HowNormalised::Lowercase, "True")]
#[case::its_own_value("own", HowNormalised::Set(json!("US3")), "False")]
#[case::not_kept("dropped", HowNormalised::Drop, "True")]
#[tokio::test(flavor = "multi_thread")]
async fn a_normalised_value(#[case] name: &str, #[case] how: HowNormalised, #[case] in_sync: &str) {
    let world = World::with_datadog_key(&format!("normal-{name}")).await;
    world.project.settings(|settings| {
        settings.normalise =
            vec![Normalise { integration_type: "DATADOG".into(), field: "region".into(), how }];
    });
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.until_looked(5).await;
    assert_eq!(world.atlas_writes().len(), 1, "the POST");
    let object = x.synced().await;
    assert_eq!(condition(&object, "InSync")["status"], in_sync);
}

/// Atlas shows more or less of a secret than before: that is no drift.
#[tokio::test(flavor = "multi_thread")]
async fn another_mask_is_no_drift() {
    let world = World::new("masks").await;
    let _operator = world.operator(&[]).await;
    let objects = world.synced_samples(["DATADOG", "WEBHOOK", "MICROSOFT_TEAMS", "VICTOR_OPS"]).await;
    let before = world.atlas_writes().len();
    for visible in [0, 2, 6, 4] {
        world.project.settings(|settings| settings.mask_visible = visible);
        world.until_looked(2).await;
    }
    world.project.settings(|settings| settings.url_mask = atlas_sim::UrlMask::Plain);
    world.until_looked(2).await;
    assert_eq!(world.atlas_writes().len(), before);
    for object in &objects {
        let object = object.synced().await;
        assert_eq!(condition(&object, "InSync")["status"], "True", "{object:#}");
    }
    assert_eq!(world.notes("Drifted").await, Vec::<String>::new());
}

/// A secret that others added and that the spec lacks: where Atlas keeps it although it is written over, that is said,
/// once.
#[tokio::test(flavor = "multi_thread")]
async fn what_atlas_does_not_take_is_not_tried_for_ever() {
    let world = World::new("not-accepted").await;
    world.project.settings(|settings| settings.put_omitted = PutOmitted::Merge);
    let _operator = world.operator(&[]).await;
    let unsigned = json!({"webhook": {"signingSecretRef": null, "headersTemplateSecretRef": null}});
    let webhook = world.sample_with("WEBHOOK", &unsigned).await.in_sync().await;
    let mut stored = world.project.stored_type("WEBHOOK").unwrap();
    stored["secret"] = "added-by-others".into();
    world.project.replace_by_other(stored);
    let object = webhook.says("InSync", "NotAcceptedByAtlas").await;
    assert!(condition(&object, "InSync")["message"].as_str().unwrap().contains("secret"));
    let after = world.atlas_writes().len();
    world.until_looked(4).await;
    assert_eq!(world.atlas_writes().len(), after, "no more repairs");
    until_told(&world, "NotAcceptedByAtlas", "secret").await;
}

/// Ids that roll by themselves, for whatever reason: repairs come apart, and the object says why.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_roll_for_ever() {
    let world = World::with_datadog_key("rolling").await;
    let _operator = world.operator(&[]).await;
    let x = world.datadog("x").await.in_sync().await;
    world.project.fault(Fault::new(Effect::RollIds).at(Operation::List).always());
    let object = x.says("InSync", "Overwritten").await;
    assert_eq!(condition(&object, "Ready")["status"], "True", "the settings are as they should be");
    world.until_looked(4).await;
    assert_eq!(world.atlas_writes().len(), 4, "one POST and three repairs");
    // An edit makes repairs free again.
    world.project.clear_faults();
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    x.says("InSync", "True").await;
    assert_eq!(world.stored_datadog("region"), "EU");
}

/// Two owners in two clusters, both with consent: they do not fight for ever, and each says that there is another.
#[tokio::test(flavor = "multi_thread")]
async fn two_owners_who_both_adopt() {
    let one = World::with_datadog_key("owner-one").await;
    let other = World::with_project("owner-other", one.project.id()).await;
    other.secret("keys", &samples::of("DATADOG").secrets).await;
    let _operators = (one.operator(&[]).await, other.operator(&[]).await);
    let adopt = json!({"adoptionPolicy": "Adopt"});
    let x_of_one = one.integration("x", &datadog(adopt.clone())).await.in_sync().await;
    let mut second = adopt;
    second["datadog"] = json!({"region": "EU"});
    let x_of_other = other.integration("x", &datadog(second)).await;
    let overwritten = |object: &Value| condition(object, "InSync")["reason"] == "Overwritten";
    // The one who spent its repairs last sees its own; the other says so.
    let say = || async {
        let objects = [x_of_one.find().await, x_of_other.find().await];
        objects.into_iter().flatten().find(overwritten)
    };
    until_found("one of the two that says so", say).await;
    one.until_looked(6).await;
    assert!(one.atlas_writes().len() <= 1 + 1 + 3 + 3, "{} writes", one.atlas_writes().len());
}
