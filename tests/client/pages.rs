//! What Atlas adds, leaves out and cuts: tolerated, as long as nothing that is there can be taken for absent.

use atlas_integration_operator::atlas::Listing;
use atlas_integration_operator::domain::{Failure, FailureKind, IntegrationType, Redacted, RedactedValue};
use atlas_sim::{Effect, Fault, Operation};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{KEY, World, opsgenie, told, world};

impl World {
    async fn listing(&self) -> Result<Listing, Failure> {
        self.client.list(&self.session, &self.id, false).await
    }

    /// LIST, of which the answer is this.
    async fn listing_of(&self, value: Value) -> Result<Listing, Failure> {
        self.project.fault(Fault::new(Effect::ReplaceAnswer { value }).at(Operation::List));
        self.listing().await
    }

    fn created_by_others(&self, kinds: &[&str]) {
        for kind in kinds {
            self.project
                .replace_by_other(json!({"type": kind, "apiKey": "0123456789abcdef0123456789abcdef"}));
        }
    }
}

fn id(entry: &Redacted) -> Option<&RedactedValue> {
    entry.0.get("id")
}

/// Whatever comes along, our entry is found in the answer to a write and in LIST, without its secret.
#[rstest]
#[case::nulls(Effect::NullInResults)]
#[case::unknown_type(Effect::UnknownType)]
#[case::unknown_fields(Effect::UnknownFields)]
#[case::missing_ids(Effect::MissingIds)]
#[case::rolled_ids(Effect::RollIds)]
#[case::content_type(Effect::ContentType { value: "text/html".into() })]
#[tokio::test]
async fn additions_are_tolerated(#[case] effect: Effect) {
    let world = world().await;
    world.project.fault(Fault::new(effect.clone()).always());
    let echo = world.client.create(&world.session, &world.id, &opsgenie()).await.unwrap();
    let listing = world.listing().await.unwrap();
    assert_eq!(listing.keys().collect::<Vec<_>>(), [&IntegrationType::OpsGenie]);
    let entry = &listing[&IntegrationType::OpsGenie];
    for shown in [&echo, entry] {
        let text = serde_json::to_string(shown).unwrap();
        assert!(text.contains("****0001") && !text.contains(KEY) && !text.contains("uture"), "{text}");
    }
    assert_eq!(id(entry).is_none(), effect == Effect::MissingIds);
    assert_eq!(id(entry) != id(&echo), effect == Effect::RollIds, "a rolled id is shown");
}

/// A LIST in several pages is read to its end.
#[rstest]
#[tokio::test]
async fn pages_are_followed(#[values(1, 2, 3, 4)] most: usize) {
    let world = world().await;
    world.project.settings(|settings| settings.most_per_page = Some(most));
    world.created_by_others(&["DATADOG", "OPS_GENIE", "VICTOR_OPS", "WEBHOOK"]);
    assert_eq!(world.listing().await.unwrap().len(), 4);
    assert_eq!(world.project.exchanges().len(), 4_usize.div_ceil(most) + 1, "one request a page");
}

/// The answer to a write is a page too, and may be cut before our entry: then LIST shows it.
#[tokio::test]
async fn a_cut_answer_to_a_write() {
    let world = world().await;
    world.project.settings(|settings| settings.most_per_page = Some(1));
    world.created_by_others(&["DATADOG"]);
    let (client, session) = (&world.client, &world.session);
    let created = client.create(session, &world.id, &opsgenie()).await.unwrap();
    let updated = client.update(session, &world.id, &opsgenie()).await.unwrap();
    assert_eq!(created.0["type"], updated.0["type"]);
    assert_ne!(id(&created), id(&updated));
}

/// A write that was accepted, and that neither its own answer nor LIST shows, is in doubt and looked for again.
#[tokio::test]
async fn an_entry_that_is_not_visible_yet() {
    let world = world().await;
    let nothing = Effect::ReplaceAnswer { value: json!({"results": []}) };
    world.project.fault(Fault::new(nothing.clone()).at(Operation::Create));
    world.project.fault(Fault::new(nothing).at(Operation::List));
    let failure = world.client.create(&world.session, &world.id, &opsgenie()).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.outcome_unknown),
        (FailureKind::AlreadyConfigured, true),
        "{failure:?}"
    );
    assert_eq!(world.list().await, Ok(1));
}

/// The same while LIST fails: whatever comes of that, the write was accepted, so nothing final is said.
#[tokio::test]
async fn an_entry_that_cannot_be_looked_for() {
    let world = world().await;
    let nothing = Effect::ReplaceAnswer { value: json!({"results": []}) };
    world.project.fault(Fault::new(nothing).at(Operation::Create));
    world.project.fault(Fault::new(Effect::error(403, "ACCESS_FORBIDDEN", "no")).at(Operation::List));
    let failure = world.client.create(&world.session, &world.id, &opsgenie()).await.unwrap_err();
    assert_eq!((failure.kind, failure.outcome_unknown), (FailureKind::Unavailable, true), "{failure:?}");
}

/// Atlas hides a fresh entry for a while: LIST does not show it, its creation's answer does.
#[tokio::test]
async fn delayed_visibility() {
    let world = world().await;
    let delayed = Effect::DelayedVisibility { time: std::time::Duration::ZERO, reads: 1 };
    world.project.fault(Fault::new(delayed).at(Operation::Create));
    world.create().await.unwrap();
    assert_eq!(world.list().await, Ok(0));
    assert_eq!(world.list().await, Ok(1));
}

/// Pages as other settings of Atlas, or something in between, may shape them.
#[rstest]
#[case::bare(json!({"results": [{"type": "OPS_GENIE"}]}), 1)]
#[case::flat_envelope(json!({"status": 200, "results": [{"type": "OPS_GENIE"}], "totalCount": 1}), 1)]
#[case::envelope(json!({"status": 200, "content": {"results": [{"type": "OPS_GENIE"}]}}), 1)]
#[case::nulls(json!({"links": null, "results": [null, {"type": "OPS_GENIE", "id": null}], "totalCount": null}), 1)]
#[case::counted_with_nulls(json!({"results": [null, {"type": "OPS_GENIE"}], "totalCount": 2}), 1)]
#[case::counted_too_low(json!({"results": [{"type": "OPS_GENIE"}], "totalCount": 0}), 1)]
#[case::counted_too_high(json!({"results": [{"type": "OPS_GENIE"}], "totalCount": 2}), 1)]
#[case::empty(json!({"results": []}), 0)]
#[case::unknown(json!({"results": [{"type": "NEVER_SEEN"}, {"type": "NEVER_SEEN"}]}), 0)]
#[tokio::test]
async fn whole_pages(#[case] page: Value, #[case] known: usize) {
    let world = world().await;
    assert_eq!(world.listing_of(page).await.map(|listing| listing.len()), Ok(known));
}

/// A page that may lack something is none: what it does not show must not be taken for absent.
#[rstest]
#[case::no_results(json!({"links": [], "totalCount": 0}))]
#[case::results_null(json!({"results": null}))]
#[case::results_object(json!({"results": {}}))]
#[case::text(json!({"results": ["OPS_GENIE"]}))]
#[case::number(json!({"results": [1, {"type": "OPS_GENIE"}]}))]
#[case::list(json!({"results": [[]]}))]
#[case::no_type(json!({"results": [{"apiKey": "****"}]}))]
#[case::type_is_a_number(json!({"results": [{"type": 1}]}))]
#[case::envelope_of_a_failure(json!({"status": 503, "content": {"results": []}}))]
#[case::flat_envelope_of_a_failure(json!({"status": 503, "results": []}))]
#[case::error_with_results(json!({"errorCode": "X", "results": []}))]
#[case::empty_object(json!({}))]
#[tokio::test]
async fn pages_that_may_lack_something(#[case] page: Value) {
    let world = world().await;
    world.create().await.unwrap();
    let failure = world.listing_of(page).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    assert!(told(&failure).contains("is not one of Atlas"), "{}", told(&failure));
    assert_eq!(world.list().await, Ok(1), "and the next one is read again");
}

/// A list that says it goes on for ever is not read for ever, and is not whole.
#[tokio::test]
async fn a_list_without_an_end() {
    let world = world().await;
    let endless = json!({"results": [], "links": [{"rel": "next", "href": "http://127.0.0.1:9/"}]});
    world.project.fault(Fault::new(Effect::ReplaceAnswer { value: endless }).always());
    assert_eq!(world.listing().await.unwrap_err().kind, FailureKind::Unavailable);
    assert_eq!(world.project.count(|exchange| exchange.status == 200), 20);
}

/// The list moved between two pages: what slipped from one to the other may have been missed.
#[tokio::test]
async fn a_list_that_moves() {
    let world = world().await;
    let next = json!([{"rel": "next"}]);
    let first = json!({"results": [{"type": "DATADOG"}], "totalCount": 2, "links": next});
    let second = json!({"results": [{"type": "DATADOG"}], "totalCount": 2});
    for value in [first, second] {
        world.project.fault(Fault::new(Effect::ReplaceAnswer { value }).at(Operation::List));
    }
    assert_eq!(world.listing().await.unwrap_err().kind, FailureKind::Unavailable);
}

/// Atlas keeps one of a type. Were there two, LIST and the answer to a write take the same one.
#[tokio::test]
async fn duplicates() {
    let world = world().await;
    let two = json!({"results": [
        {"type": "OPS_GENIE", "id": "111111111111111111111111"},
        {"type": "OPS_GENIE", "id": "222222222222222222222222"},
    ], "totalCount": 2});
    let listing = world.listing_of(two.clone()).await.unwrap();
    world.project.fault(Fault::new(Effect::ReplaceAnswer { value: two }).at(Operation::Create));
    let echo = world.client.create(&world.session, &world.id, &opsgenie()).await.unwrap();
    assert_eq!(id(&listing[&IntegrationType::OpsGenie]), id(&echo));
    assert!(serde_json::to_string(&echo).unwrap().contains("111111111111111111111111"));
}
