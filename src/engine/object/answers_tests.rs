//! Every answer that shows more or less than the one before: from the JSON of Atlas to the conditions, for every type,
//! every subset of its optional fields, and both versions of the API.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::atlas::redact_entry;
use crate::core::conditions::{InSync, Patience, Verdict, derive};
use crate::core::plan::{Input, Plan, Write, plan};
use crate::core::sync::{choices, kept};
use crate::domain::testing::{at, object, spec};
use crate::domain::{
    Applied, Attempt, Claim, ConditionStatus, ConditionType, Field, FieldKind, FieldValue, Integration,
    IntegrationType, Need, Object, Reason, Redacted, SecretKey, SecretValue, SecretsSince, TYPES,
};

const PATIENCE: Patience = Patience { outside: Duration::ZERO, failing: Duration::ZERO };

/// How an answer shows an optional field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shown {
    /// As Atlas does today.
    Plainly,
    /// Not at all.
    Hidden,
    /// As asterisks.
    Masked,
}

/// What is compared: one type in one version of the API, with some of its optional fields in the spec.
struct Case {
    kind: IntegrationType,
    ids: bool,
    integration: Integration<SecretKey>,
    sent: Redacted,
    /// What Atlas stores.
    stored: Map<String, Value>,
    optional: Vec<&'static Field>,
}

fn value(field: &Field) -> Value {
    match (field.kind, field.atlas) {
        (FieldKind::Bool, _) => true.into(),
        (FieldKind::Url, _) => "https://hooks.example.com/canary-path-0001".into(),
        (FieldKind::Template, _) => "{\"text\": \"${alert}\"}".into(),
        (_, "region") => "EU".into(),
        (_, "accountId") => "1234567".into(),
        (_, "serviceDiscovery") => "http".into(),
        (_, name) => format!("canary-{name}-0123456789-0001").into(),
    }
}

/// Another value of the same kind, which differs in what Atlas shows of it; `None` if Atlas shows nothing of the field.
fn other(field: &Field, stored: Option<&Value>) -> Option<Value> {
    match field.kind {
        FieldKind::Bool => Some((!stored.and_then(Value::as_bool).unwrap_or_default()).into()),
        FieldKind::Url => Some("https://elsewhere.example.com/path-9999".into()),
        FieldKind::Hidden | FieldKind::Headers => None,
        _ => Some(format!("another-{}-0123456789-9999", field.atlas).into()),
    }
}

fn case(kind: IntegrationType, ids: bool, named: impl Fn(usize) -> bool) -> Case {
    let optional: Vec<&Field> = kind.settable_fields().filter(|f| f.need != Need::Required).collect();
    let named = |field: &&Field| {
        let place = optional.iter().position(|optional| optional.atlas == field.atlas);
        place.is_none_or(|place| named(place) || matches!(field.need, Need::Preset(_)))
    };
    let values = |field: &'static Field| {
        let value = match value(field) {
            Value::Bool(flag) => FieldValue::Bool(flag),
            Value::String(_) if field.kind.is_secret() => {
                FieldValue::Secret(SecretKey { name: "keys".into(), key: field.atlas.into() })
            }
            value => FieldValue::Text(value.as_str().unwrap_or_default().to_owned()),
        };
        (field.atlas, value)
    };
    let integration = Integration::new(kind, kind.settable_fields().filter(named).map(values)).expect("fits");
    let read = |field: &Field, _: &SecretKey| {
        SecretValue::from_bytes(value(field).as_str().unwrap_or_default().as_bytes())
    };
    let read = integration.try_map(read).unwrap_or_else(|why| panic!("{why}"));
    let Value::Object(mut stored) = read.body() else { panic!("no object") };
    for field in &optional {
        if field.kind == FieldKind::Bool {
            stored.entry(field.atlas).or_insert(false.into());
        }
        if field.atlas == "region" {
            stored.entry(field.atlas).or_insert("US".into());
        }
    }
    Case { kind, ids, integration, sent: read.redacted(), stored, optional }
}

impl Case {
    /// The entry of an answer. `shown` has an item for each optional field.
    fn answer(&self, stored: &Map<String, Value>, id: &str, shown: &[Shown]) -> Redacted {
        let mut entry = Map::new();
        for field in self.kind.settable_fields() {
            let place = self.optional.iter().position(|optional| optional.atlas == field.atlas);
            let how = place.map_or(Shown::Plainly, |place| shown[place]);
            let value = stored.get(field.atlas).cloned().unwrap_or_default();
            let text = value.as_str().unwrap_or_default().to_owned();
            let stars = |visible: usize| {
                let hidden = text.len().saturating_sub(visible);
                Value::from(format!("{}{}", "*".repeat(hidden), &text[hidden..]))
            };
            let seen = match (how, field.kind, &value) {
                (Shown::Hidden, ..) => continue,
                // Atlas never shows a password.
                _ if field.atlas == "password" => continue,
                // Version 1.0 leaves out what has no value, and `false`.
                (_, _, Value::Null | Value::Bool(false)) if !self.ids => continue,
                (Shown::Masked, _, Value::String(_)) => stars(0),
                (Shown::Plainly, FieldKind::Key | FieldKind::Hidden, Value::String(_)) => stars(4),
                (Shown::Plainly, FieldKind::Url, Value::String(_)) => {
                    let host = text.split('/').take(3).collect::<Vec<_>>().join("/");
                    format!("{host}/****0001").into()
                }
                (_, _, value) => value.clone(),
            };
            entry.insert(field.atlas.to_owned(), seen);
        }
        entry.insert("type".into(), self.kind.as_str().into());
        if self.ids {
            entry.insert("id".into(), id.into());
        }
        redact_entry(self.kind, &entry)
    }

    /// The object right after the write that Atlas answered with `answer`.
    fn confirmed(&self, before: Option<(&Object, &Redacted)>, answer: &Redacted) -> Object {
        let mut object = object(Ok(spec(self.integration.clone())));
        object.finalizer = true;
        object.claim = Some(Claim { uid: "x".into(), time: at(0) });
        object.status.applied = Some(Applied {
            uid: "x".into(),
            attempt: Some("x.1".into()),
            config: Some(self.integration.config_hash()),
            secrets: Vec::new(),
            fingerprint: None,
            time: Some(at(1)),
        });
        object.status.attempt =
            Some(Attempt { id: "x.1".into(), time: at(1), sent: Some(self.sent.clone()) });
        object.status.integration = Some(answer.clone());
        let write = (&*self.integration.config_hash(), &self.sent);
        let choices = before.map(|(object, entry)| choices(object, write, Some(entry))).unwrap_or_default();
        let before = (before.map(|(_, entry)| entry), &choices);
        let in_sync = InSync::of(kept(self.kind, &self.sent, before, answer));
        object.status.conditions = conditions(&object, in_sync);
        object
    }
}

fn conditions(object: &Object, in_sync: InSync) -> Vec<crate::domain::Condition> {
    let verdict = Verdict::new(Reason::Synced, "m").with_sync(in_sync);
    derive(&object.status, 1, &verdict, PATIENCE, Timestamp::UNIX_EPOCH)
}

fn in_sync(object: &Object) -> ConditionStatus {
    object.status.condition(ConditionType::InSync).expect("says how Atlas compares").status
}

fn planned(object: &Object, entry: &Redacted) -> Plan {
    let spec = object.spec.as_ref().expect("valid");
    plan(&Input {
        object,
        spec,
        entry: Some(entry),
        secrets: SecretsSince::Same,
        owner: None,
        outcome_known: false,
        landing_limit: Duration::from_secs(20),
        crd_terminating: false,
        seen_for: Duration::from_secs(3_600),
    })
    .plan
}

/// Looks once: if nothing is written, the object with its new status, which must be in sync.
fn look(object: &Object, entry: &Redacted, what: &str) -> Object {
    let Plan::Settled { reason: Reason::Synced, in_sync: compared, .. } = planned(object, entry) else {
        panic!("{what}: {:?}", planned(object, entry))
    };
    let mut object = object.clone();
    object.status.conditions = conditions(&object, compared);
    object.status.integration = Some(entry.clone());
    assert_eq!(in_sync(&object), ConditionStatus::True, "{what}: {:?}", object.status.conditions);
    object
}

/// Every way to show the optional fields.
fn every(case: &Case) -> Vec<Vec<Shown>> {
    let mut all = vec![Vec::new()];
    for field in &case.optional {
        let ways: &[Shown] = match field.kind {
            // Where ids are missing, a flag that is on and not shown is off.
            FieldKind::Bool if !case.ids => &[Shown::Plainly],
            FieldKind::Bool => &[Shown::Plainly, Shown::Hidden],
            _ => &[Shown::Plainly, Shown::Hidden, Shown::Masked],
        };
        all = all
            .into_iter()
            .flat_map(|shown: Vec<Shown>| ways.iter().map(move |way| [&shown[..], &[*way]].concat()))
            .collect();
    }
    all
}

fn cases() -> impl Iterator<Item = Case> {
    TYPES.iter().flat_map(|row| {
        [true, false].into_iter().flat_map(move |ids| {
            let named: [fn(usize) -> bool; 3] = [|_| true, |_| false, |at| at % 2 == 0];
            named.into_iter().map(move |named| case(row.kind, ids, named))
        })
    })
}

/// Nobody changed anything: nothing is written, and the object stays in sync, whatever Atlas shows before and after.
#[test]
fn what_atlas_shows_more_or_less_is_never_written_over() {
    let mut compared = 0;
    for case in cases() {
        let ways = every(&case);
        for before in &ways {
            let first = case.answer(&case.stored, "1", before);
            let object = case.confirmed(None, &first);
            let what = || format!("{} ids {} {before:?}", case.kind, case.ids);
            assert_eq!(in_sync(&object), ConditionStatus::True, "{}", what());
            for after in &ways {
                let what = format!("{} then {after:?}", what());
                let object = look(&object, &case.answer(&case.stored, "1", after), &what);
                look(&object, &first, &format!("{what} and back"));
                compared += 1;
            }
        }
    }
    assert!(compared > 10_000, "{compared}");
}

/// One field is changed in Atlas, or the whole integration in what is hidden: exactly one PUT, which mends it.
#[test]
fn one_real_difference_is_one_put() {
    let mut repaired = 0;
    for case in cases() {
        let ways = every(&case);
        for (before, after) in ways.iter().flat_map(|before| ways.iter().map(move |after| (before, after))) {
            let object = case.confirmed(None, &case.answer(&case.stored, "1", before));
            for field in case.kind.settable_fields() {
                let place = case.optional.iter().position(|optional| optional.atlas == field.atlas);
                let plain = |shown: &[Shown]| place.is_none_or(|place| shown[place] == Shown::Plainly);
                let Some(value) = other(field, case.stored.get(field.atlas)) else { continue };
                let none_before = case.stored.get(field.atlas).is_none();
                if !plain(before) || !plain(after) || none_before {
                    continue;
                }
                let mut changed = case.stored.clone();
                changed.insert(field.atlas.into(), value);
                let what =
                    format!("{} of {}, ids {}, {before:?} {after:?}", field.atlas, case.kind, case.ids);
                one_put(&case, &object, &case.answer(&changed, "1", after), field.atlas, after, &what);
                repaired += 1;
            }
            if case.ids {
                let overwritten = case.answer(&case.stored, "2", after);
                let what = format!("{}, {before:?} {after:?}", case.kind);
                one_put(&case, &object, &overwritten, "id", after, &what);
            }
        }
    }
    assert!(repaired > 10_000, "{repaired}");
}

fn one_put(case: &Case, object: &Object, entry: &Redacted, field: &str, after: &[Shown], what: &str) {
    let Plan::Write { write: Write::Put, why } = planned(object, entry) else {
        panic!("{what}: {:?}", planned(object, entry))
    };
    assert!(why.only_drift() && why.drift == [field], "{what}: {why:?}");
    let mended = case.answer(&case.stored, "3", after);
    let object = case.confirmed(Some((object, entry)), &mended);
    assert_eq!(in_sync(&object), ConditionStatus::True, "{what}: {:?}", object.status.conditions);
    look(&object, &mended, what);
}

/// The answer to the write shows something else than was sent: that is said, and not tried again. Once Atlas shows what
/// was asked for, the object is in sync without a write.
#[test]
fn what_atlas_keeps_otherwise_is_said_until_it_is_not() {
    let mut kept = 0;
    for case in cases() {
        let shown = vec![Shown::Plainly; case.optional.len()];
        for field in case.kind.settable_fields().filter(|field| case.sent.0.contains_key(field.atlas)) {
            let Some(value) = other(field, case.stored.get(field.atlas)) else { continue };
            let mut own = case.stored.clone();
            own.insert(field.atlas.into(), value);
            let answer = case.answer(&own, "1", &shown);
            if !answer.0.contains_key(field.atlas) {
                continue;
            }
            let object = case.confirmed(None, &answer);
            let what = format!("{} of {}", field.atlas, case.kind);
            assert_eq!(in_sync(&object), ConditionStatus::False, "{what}");
            let Plan::Settled { message, in_sync: InSync::NotAccepted(still), .. } =
                planned(&object, &answer)
            else {
                panic!("{what}: {:?}", planned(&object, &answer))
            };
            assert_eq!(still.otherwise, [field.atlas], "{what}");
            assert!(!message.contains("as the spec says") && message.contains(field.atlas), "{message}");
            look(&object, &case.answer(&case.stored, "1", &shown), &what);
            kept += 1;
        }
    }
    assert!(kept > 50, "{kept}");
}

/// Atlas answers in another form of the same value.
#[test]
fn another_form_of_the_same_value_is_in_sync() {
    let forms: &[(&str, &str, Value)] = &[
        ("SLACK", "channelName", json!("#canary-channelName-0123456789-0001")),
        ("NEW_RELIC", "accountId", json!(1_234_567)),
        ("NEW_RELIC", "accountId", json!(1_234_567.0)),
        ("DATADOG", "region", json!("eu")),
        ("PROMETHEUS", "serviceDiscovery", json!("HTTP")),
        ("VICTOR_OPS", "routingKey", json!(" canary-routingKey-0123456789-0001 ")),
        ("WEBHOOK", "url", json!("HTTPS://Hooks.Example.com:443/****")),
        ("WEBHOOK", "url", json!("https://****/****0001")),
        ("WEBHOOK", "url", json!("********")),
        ("WEBHOOK", "bodyTemplate", json!("******")),
        ("WEBHOOK", "bodyTemplate", json!("[REDACTED]")),
        ("WEBHOOK", "secret", json!("")),
        ("OPS_GENIE", "apiKey", json!("\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}")),
        ("PROMETHEUS", "password", json!("****")),
        ("PROMETHEUS", "enabled", json!(null)),
    ];
    for (kind, field, form) in forms {
        let case = case(IntegrationType::parse(kind).expect("a type"), true, |_| true);
        let shown = vec![Shown::Plainly; case.optional.len()];
        let usual = case.answer(&case.stored, "1", &shown);
        let entry = json!({*field: form, "type": kind, "id": "1"});
        let in_form = redact_entry(case.kind, entry.as_object().expect("an object"));
        let mut answer = usual.clone();
        match in_form.0.get(*field) {
            Some(value) => answer.0.insert((*field).to_owned(), value.clone()),
            None => answer.0.remove(*field),
        };
        let what = format!("{kind} {field} {form}");
        look(&case.confirmed(None, &usual), &answer, &what);
        look(&case.confirmed(None, &answer), &usual, &what);
    }
}
