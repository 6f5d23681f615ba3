//! What a status shows of a template that somebody else has stored in Atlas: whoever knows length and hash of a short
//! token can guess it.

use atlas_integration_stage::samples;
use atlas_sim::{HowNormalised, Normalise};
use serde_json::{Value, json};

use crate::world::{World, condition, message, until_found, until_true};

const FOREIGN: &str = "pin 1234";

fn template(object: &Value) -> &str {
    object["status"]["integration"]["bodyTemplate"].as_str().unwrap_or_default()
}

/// Nothing in an object or an Event depends on the text of the foreign template: with another one they would be the same.
async fn assert_nothing_follows(world: &World) {
    let digest = ring::digest::digest(&ring::digest::SHA256, FOREIGN.as_bytes());
    let hash: String = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    for kind in ["AtlasIntegration", "Event"] {
        let text = serde_json::to_string(&world.list(kind).await).unwrap();
        for shown in [&hash, FOREIGN, &format!("{} characters", FOREIGN.len())] {
            assert!(!text.contains(shown), "{kind} has {shown}: {text}");
        }
    }
}

/// An object that only observes: the status says that the template is another one, and describes it once the spec names
/// the same.
#[tokio::test(flavor = "multi_thread")]
async fn a12_an_observer_learns_nothing_of_a_template() {
    let world = World::new("a12-observed").await;
    let mut stored = samples::of("WEBHOOK").stored;
    stored["bodyTemplate"] = FOREIGN.into();
    world.project.replace_by_other(stored);
    let _operator = world.operator(&[]).await;
    let x = world.sample_with("WEBHOOK", &json!({"managementPolicy": "Observe"})).await;
    let object = x.reaches("True", "Observed").await;
    assert_eq!(template(&object), "another text");
    let in_sync = condition(&object, "InSync");
    assert_eq!(in_sync["status"], "False");
    assert!(in_sync["message"].as_str().unwrap().contains("bodyTemplate"), "{in_sync}");
    assert_nothing_follows(&world).await;
    x.change(&json!({"webhook": {"bodyTemplate": FOREIGN}})).await;
    let described = |object: &Value| template(object).starts_with("8 characters, sha256 ");
    let object = x.until("the template described", described).await;
    assert_eq!(condition(&object, "InSync")["status"], "True", "{}", message(&object));
}

/// Somebody edits the template of an object: it is put back, and nothing shows what it was. One that Atlas keeps
/// otherwise is reported, and not written again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a12_a_template_is_repaired_and_not_shown() {
    let world = World::new("a12-edited").await;
    let _operator = world.operator(&[]).await;
    let x = world.sample("WEBHOOK").await.in_sync().await;
    let own = world.project.stored_type("WEBHOOK").unwrap()["bodyTemplate"].clone();
    world.project.edit("WEBHOOK", |stored| stored["bodyTemplate"] = FOREIGN.into());
    until_true("the template put back", || {
        world.project.stored_type("WEBHOOK").is_some_and(|stored| stored["bodyTemplate"] == own)
    })
    .await;
    x.says("InSync", "True").await;
    until_found("the repair told", || async { world.notes("Drifted").await.into_iter().next() }).await;
    assert_nothing_follows(&world).await;

    let how = HowNormalised::Set(FOREIGN.into());
    world.project.settings(|settings| {
        settings.normalise =
            vec![Normalise { integration_type: "WEBHOOK".into(), field: "bodyTemplate".into(), how }];
    });
    x.change(&json!({"webhook": {"bodyTemplate": "{}"}})).await;
    let object = x.says("InSync", "NotAcceptedByAtlas").await;
    assert_eq!(template(&object), "another text");
    let writes = world.atlas_writes().len();
    world.until_looked(3).await;
    assert_eq!(world.atlas_writes().len(), writes, "no write would change it");
    assert_eq!(template(&x.get().await), "another text");
    assert_nothing_follows(&world).await;
}
