//! What is repaired, what Atlas keeps, and what is neither, answer by answer.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::domain::testing::{self, at, condition};
use crate::domain::{Applied, Attempt, Claim, Condition, Status};

/// A form as a status holds it.
fn form(value: &Value) -> Redacted {
    serde_json::from_value(value.clone()).expect("a form")
}

/// An object whose last confirmed write sent `sent`, and that was last in sync with `echo`.
fn object(sent: &Value, echo: &Value) -> Object {
    let mut object = testing::object(Err("not looked at".into()));
    object.status.applied = Some(Applied {
        uid: "x".into(),
        attempt: Some("x.1".into()),
        config: None,
        secrets: Vec::new(),
        fingerprint: None,
        time: None,
    });
    object.status.attempt = Some(Attempt { id: "x.1".into(), time: at(1), sent: Some(form(sent)) });
    object.status.integration = Some(form(echo));
    object
}

/// The operator writes nothing: nobody changed anything, as far as the answers tell.
#[rstest]
#[case::a_default_that_atlas_begins_to_show(
    "DATADOG", json!({}), json!({"id": "1"}), json!({"id": "1", "region": "US", "sendDatabaseMetrics": false}))]
#[case::a_value_that_was_sent_and_atlas_begins_to_show(
    "DATADOG", json!({"region": "EU"}), json!({"id": "1"}), json!({"id": "1", "region": "EU"}))]
#[case::a_field_that_retired(
    "DATADOG", json!({"region": "EU"}), json!({"id": "1", "region": "EU"}), json!({"id": "1"}))]
#[case::a_flag_that_retired(
    "DATADOG", json!({"sendDatabaseMetrics": true}), json!({"id": "1", "sendDatabaseMetrics": true}), json!({"id": "1"}))]
#[case::a_flag_of_others_that_atlas_begins_to_show(
    "DATADOG", json!({}), json!({"id": "1"}), json!({"id": "1", "sendDatabaseMetrics": true}))]
#[case::ids_that_come("OPS_GENIE", json!({"region": "EU"}), json!({"region": "EU"}), json!({"region": "EU", "id": "1"}))]
#[case::ids_that_go("OPS_GENIE", json!({"region": "EU"}), json!({"region": "EU", "id": "1"}), json!({"region": "EU"}))]
#[case::a_template_that_atlas_begins_to_mask(
    "WEBHOOK", json!({"bodyTemplate": "1 characters, sha256 aa"}), json!({"bodyTemplate": "1 characters, sha256 aa"}),
    json!({"bodyTemplate": "****"}))]
#[case::a_template_that_atlas_masks_no_more(
    "WEBHOOK", json!({"bodyTemplate": "1 characters, sha256 aa"}), json!({"bodyTemplate": "****"}),
    json!({"bodyTemplate": "1 characters, sha256 aa"}))]
#[case::a_template_that_atlas_keeps_otherwise(
    "WEBHOOK", json!({"bodyTemplate": "1 characters, sha256 aa"}), json!({"id": "1", "bodyTemplate": "another text"}),
    json!({"id": "1", "bodyTemplate": "1 characters, sha256 bb"}))]
#[case::a_template_of_others_that_was_not_sent(
    "WEBHOOK", json!({}), json!({"bodyTemplate": "another text"}), json!({"bodyTemplate": "1 characters, sha256 bb"}))]
#[case::a_name_that_atlas_begins_to_mask(
    "PROMETHEUS", json!({"username": "prom"}), json!({"username": "prom"}), json!({"username": "****"}))]
#[case::an_account_that_atlas_begins_to_mask(
    "NEW_RELIC", json!({"accountId": "1234567"}), json!({"accountId": "1234567"}), json!({"accountId": "***4567"}))]
#[case::a_sign_before_a_channel(
    "SLACK", json!({"channelName": "alerts"}), json!({"channelName": "alerts"}), json!({"channelName": "#alerts"}))]
#[case::another_case_of_a_region(
    "PAGER_DUTY", json!({"region": "EU"}), json!({"region": "EU"}), json!({"region": "eu"}))]
#[case::white_space("VICTOR_OPS", json!({"routingKey": "night "}), json!({"routingKey": "night "}), json!({"routingKey": "night"}))]
#[case::atlas_keeps_its_own(
    "DATADOG", json!({"region": "EU"}), json!({"region": "US3", "id": "1"}), json!({"region": "US3", "id": "1"}))]
#[case::atlas_takes_what_was_asked_after_all(
    "DATADOG", json!({"region": "EU"}), json!({"region": "US3", "id": "1"}), json!({"region": "EU", "id": "1"}))]
#[case::atlas_drops_what_it_kept(
    "DATADOG", json!({}), json!({"region": "US3"}), json!({"region": "US"}))]
#[case::a_flag_that_atlas_kept_goes(
    "DATADOG", json!({}), json!({"sendDatabaseMetrics": true}), json!({}))]
#[case::a_key_of_its_own_shown_with_another_mask(
    "OPS_GENIE", json!({"apiKey": "****beef"}), json!({"apiKey": "****3c"}), json!({"apiKey": "****a23c"}))]
#[case::a_short_key_that_atlas_begins_to_mask_otherwise(
    "OPS_GENIE", json!({"apiKey": "****"}), json!({"apiKey": "****aaaa"}), json!({"apiKey": "****"}))]
#[case::what_a_spec_can_not_set(
    "PROMETHEUS", json!({}), json!({"scheme": "http"}), json!({"scheme": "https"}))]
fn no_drift(#[case] kind: &str, #[case] sent: Value, #[case] echo: Value, #[case] entry: Value) {
    let kind = IntegrationType::parse(kind).expect("a type");
    assert_eq!(drift(&object(&sent, &echo), kind, &form(&entry)), Vec::<String>::new());
}

/// Somebody changed the integration, and the operator repairs it.
#[rstest]
#[case::a_hidden_overwrite("OPS_GENIE", json!({}), json!({"id": "1"}), json!({"id": "2"}), &["id"])]
#[case::a_value_that_was_sent(
    "DATADOG", json!({"region": "EU"}), json!({"id": "1", "region": "EU"}), json!({"id": "2", "region": "US"}), &["id", "region"])]
#[case::a_value_that_was_not_sent(
    "DATADOG", json!({}), json!({"region": "US"}), json!({"region": "EU"}), &["region"])]
#[case::a_key("OPS_GENIE", json!({"apiKey": "****aaaa"}), json!({"apiKey": "****aaaa"}), json!({"apiKey": "****bbbb"}), &["apiKey"])]
#[case::a_key_whose_end_was_hidden(
    "OPS_GENIE", json!({"apiKey": "****aaaa"}), json!({"apiKey": "****"}), json!({"apiKey": "****bbbb"}), &["apiKey"])]
// What was sent is too short for its end to be shown, so only the answers tell.
#[case::a_short_key(
    "OPS_GENIE", json!({"apiKey": "****"}), json!({"apiKey": "****aaaa"}), json!({"apiKey": "****bbbb"}), &["apiKey"])]
#[case::what_atlas_kept_otherwise_is_changed_again(
    "DATADOG", json!({"region": "EU"}), json!({"region": "US3"}), json!({"region": "US5"}), &["region"])]
#[case::the_form_of_another_channel(
    "SLACK", json!({"channelName": "alerts"}), json!({"channelName": "#alerts"}), json!({"channelName": "#pages"}), &["channelName"])]
#[case::a_value_other_than_sent_that_atlas_begins_to_show(
    "DATADOG", json!({"region": "EU"}), json!({"id": "1"}), json!({"id": "1", "region": "AP1"}), &["region"])]
#[case::a_template_that_atlas_masks_no_more(
    "WEBHOOK", json!({"bodyTemplate": "1 characters, sha256 aa"}), json!({"bodyTemplate": "****"}),
    json!({"bodyTemplate": "1 characters, sha256 bb"}), &["bodyTemplate"])]
#[case::a_template("WEBHOOK", json!({"bodyTemplate": "1 characters, sha256 aa"}),
    json!({"bodyTemplate": "1 characters, sha256 aa"}), json!({"bodyTemplate": "1 characters, sha256 bb"}), &["bodyTemplate"])]
// Version 1.0, without ids, leaves out what is false.
#[case::a_flag_sent_as_false(
    "DATADOG", json!({"sendDatabaseMetrics": false}), json!({}), json!({"sendDatabaseMetrics": true}), &["sendDatabaseMetrics"])]
#[case::a_flag_sent_as_true(
    "DATADOG", json!({"sendDatabaseMetrics": true}), json!({"sendDatabaseMetrics": true}), json!({}), &["sendDatabaseMetrics"])]
#[case::a_flag_not_sent(
    "DATADOG", json!({}), json!({}), json!({"sendDatabaseMetrics": true}), &["sendDatabaseMetrics"])]
fn drift_names_its_fields(
    #[case] kind: &str,
    #[case] sent: Value,
    #[case] echo: Value,
    #[case] entry: Value,
    #[case] fields: &[&str],
) {
    let kind = IntegrationType::parse(kind).expect("a type");
    assert_eq!(drift(&object(&sent, &echo), kind, &form(&entry)), fields);
}

/// Without a record of what was sent, what Atlas showed stands for it.
#[test]
fn without_a_record_the_echo_counts_as_sent() {
    let kind = IntegrationType::Datadog;
    let mut object = object(&json!({}), &json!({"region": "EU", "sendDatabaseMetrics": true}));
    object.status.attempt = None;
    assert!(drift(&object, kind, &form(&json!({"region": "EU", "sendDatabaseMetrics": true}))).is_empty());
    assert_eq!(drift(&object, kind, &form(&json!({"region": "US"}))), ["region", "sendDatabaseMetrics"]);
    assert!(standing(&object, kind, &form(&json!({"region": "US"}))).is_empty());
    object.status.integration = None;
    assert!(drift(&object, kind, &form(&json!({"region": "US"}))).is_empty(), "nothing is known");
}

fn names(kept: &Kept) -> [String; 2] {
    [kept.otherwise.join(" "), kept.unnamed.join(" ")]
}

/// What Atlas keeps according to its answer to a write.
#[rstest]
#[case::as_sent(json!({"region": "EU"}), json!(null), json!({"region": "EU"}), "", "")]
#[case::its_own_value(json!({"region": "EU"}), json!(null), json!({"region": "US3"}), "region", "")]
#[case::another_form(json!({"region": "eu"}), json!(null), json!({"region": "EU"}), "", "")]
#[case::hidden(json!({"region": "EU"}), json!(null), json!({}), "", "")]
#[case::another_key(json!({"apiKey": "****aaaa"}), json!(null), json!({"apiKey": "****bbbb"}), "apiKey", "")]
#[case::merged(json!({}), json!({"region": "EU"}), json!({"region": "EU"}), "", "region")]
#[case::reset(json!({}), json!({"region": "EU"}), json!({"region": "US"}), "", "")]
#[case::the_default(json!({}), json!({"region": "US"}), json!({"region": "US"}), "", "")]
#[case::its_own_choice(json!({}), json!(null), json!({"region": "AP1"}), "", "")]
#[case::another_choice(json!({}), json!({"region": "EU"}), json!({"region": "AP1"}), "", "")]
#[case::shown_only_after(json!({}), json!({}), json!({"region": "EU"}), "", "")]
#[case::both(
    json!({"region": "EU"}), json!({"sendDatabaseMetrics": true}), json!({"region": "US", "sendDatabaseMetrics": true}),
    "region", "sendDatabaseMetrics")]
fn what_atlas_keeps_after_a_write(
    #[case] sent: Value,
    #[case] before: Value,
    #[case] after: Value,
    #[case] otherwise: &str,
    #[case] unnamed: &str,
) {
    let before = (!before.is_null()).then(|| form(&before));
    let before = (before.as_ref(), &Redacted::default());
    let kept = kept(IntegrationType::Datadog, &form(&sent), before, &form(&after));
    assert_eq!(names(&kept), [otherwise, unnamed]);
    assert_eq!(kept.is_empty(), otherwise.is_empty() && unnamed.is_empty());
}

#[test]
fn what_atlas_keeps_is_said_in_words() {
    let kept = |otherwise: &[&str], unnamed: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Kept { otherwise: names(otherwise), unnamed: names(unnamed) }.words()
    };
    assert_eq!(kept(&["region", "url"], &[]), "keeps its own value in: region, url");
    assert_eq!(kept(&[], &["secret"]), "keeps what the spec does not name: secret");
    assert_eq!(
        kept(&["region"], &["secret"]),
        "keeps its own value in: region; and keeps what the spec does not name: secret"
    );
}

/// What Atlas keeps is compared at each look, and ends without a write once Atlas shows what was asked.
#[test]
fn what_atlas_still_keeps_is_compared_at_each_look() {
    let kind = IntegrationType::Datadog;
    let shown = json!({"region": "US3", "sendDatabaseMetrics": true, "id": "1"});
    let mut object = object(&json!({"region": "EU"}), &shown);
    let standing = |object: &Object, entry: &Value| names(&standing(object, kind, &form(entry)));
    assert_eq!(standing(&object, &shown), ["region", ""], "the flag is Atlas's own choice");
    let said = |reason: &str| Condition { reason: reason.into(), ..condition(ConditionType::InSync) };
    for reason in ["Synced", "Unknown", "Overwritten"] {
        object.status.conditions = vec![said(reason)];
        assert_eq!(standing(&object, &shown), ["region", ""], "{reason} does not make it something else");
    }
    object.status.conditions = vec![said("NotAcceptedByAtlas")];
    assert_eq!(standing(&object, &shown), ["region", "sendDatabaseMetrics"]);
    assert_eq!(standing(&object, &json!({"region": "EU", "sendDatabaseMetrics": false})), ["", ""]);
    let begun = json!({"region": "EU", "sendQueryStatsMetrics": true});
    assert_eq!(standing(&object, &begun), ["", ""], "Atlas has begun to show it");
}

/// What Atlas itself has chosen for a field that nothing was sent for is not what it kept against a write.
#[test]
fn what_atlas_chose_itself_is_not_kept_by_a_later_write() {
    let kind = IntegrationType::VictorOps;
    let (sent, shown) = (json!({}), json!({"id": "1", "routingKey": "night"}));
    let after_a_write = |object: &Object, after: &Value| {
        let choices = choices(object, ("config", &form(&sent)), Some(&form(after)));
        let kept = kept(kind, &form(&sent), (Some(&form(after)), &choices), &form(after));
        names(&kept)
    };
    assert_eq!(after_a_write(&object(&sent, &shown), &shown), ["", ""], "its own choice");
    let silent = json!({"id": "1"});
    assert_eq!(
        after_a_write(&object(&sent, &silent), &shown),
        ["", ""],
        "begun to be shown just before the write"
    );
    let added = json!({"id": "2", "routingKey": "night"});
    assert_eq!(after_a_write(&object(&sent, &silent), &added), ["", "routingKey"], "added by somebody else");
    let other = json!({"id": "2", "routingKey": "day"});
    assert_eq!(after_a_write(&object(&sent, &shown), &other), ["", "routingKey"], "somebody else's");
    let named = json!({"routingKey": "night"});
    assert_eq!(after_a_write(&object(&named, &shown), &shown), ["", "routingKey"], "taken out of the spec");
    let mut lost = object(&sent, &shown);
    let said = Condition { reason: "NotAcceptedByAtlas".into(), ..condition(ConditionType::InSync) };
    lost.status.conditions = vec![said];
    assert_eq!(after_a_write(&lost, &shown), ["", "routingKey"], "kept before");
    lost.status.applied = None;
    assert_eq!(choices(&lost, ("config", &form(&sent)), None), Redacted::default(), "it was never ours");
}

/// The attempt that Atlas refused has taken the place of the one that it confirmed.
#[test]
fn what_atlas_chose_itself_stays_its_choice_when_a_write_is_tried_again() {
    let kind = IntegrationType::VictorOps;
    let (sent, shown) = (json!({}), json!({"id": "1", "routingKey": "night"}));
    let mut object = object(&sent, &shown);
    let refused = Attempt { id: "x.2".into(), time: at(2), sent: Some(form(&sent)) };
    object.status.attempt = Some(refused);
    let told = |object: &Object, config: &str| {
        let choices = choices(object, (config, &form(&sent)), Some(&form(&shown)));
        names(&kept(kind, &form(&sent), (Some(&form(&shown)), &choices), &form(&shown)))
    };
    object.status.applied.as_mut().expect("applied").config = Some("config".into());
    assert_eq!(told(&object, "config"), ["", ""], "the same config sends the same fields");
    assert_eq!(
        told(&object, "edited"),
        ["", "routingKey"],
        "nobody knows what the config before the edit sent"
    );
}

/// The answer to the first write was lost, and the integration is ours.
#[test]
fn what_atlas_chose_itself_at_a_creation_without_an_answer_is_its_choice() {
    let kind = IntegrationType::VictorOps;
    let (sent, shown) = (json!({}), json!({"id": "1", "routingKey": "night"}));
    let claimed = |sent: &Value| {
        let mut object = object(&json!({}), &json!({}));
        let claim = Claim { uid: object.uid.clone(), time: at(1) };
        let attempt = Attempt { id: format!("{}.1", object.uid), time: at(1), sent: Some(form(sent)) };
        let status = Status { attempt: Some(attempt), ..Status::default() };
        (object.finalizer, object.claim, object.status) = (true, Some(claim), status);
        object
    };
    let told = |object: &Object| {
        let choices = choices(object, ("config", &form(&sent)), Some(&form(&shown)));
        names(&kept(kind, &form(&sent), (Some(&form(&shown)), &choices), &form(&shown)))
    };
    let own = claimed(&json!({"apiKey": "****aaaa"}));
    assert_eq!(told(&own), ["", ""]);
    let applied = Applied {
        uid: own.uid.clone(),
        attempt: None,
        config: None,
        secrets: Vec::new(),
        fingerprint: None,
        time: None,
    };
    let mut adopted = own;
    adopted.status.applied = Some(applied);
    assert_eq!(told(&adopted), ["", "routingKey"], "somebody else's");
    let named = json!({"apiKey": "****aaaa", "routingKey": "night"});
    assert_eq!(told(&claimed(&named)), ["", "routingKey"], "taken out of the spec since");
}
