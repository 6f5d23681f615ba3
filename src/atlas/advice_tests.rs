//! Reads every row of the error table as the person who is told it: obeying loses nothing, and can be done.

use super::*;
use crate::domain::{Case, Failure, Holder, KeyForm, LOOKS_AGAIN, Stake};

const STAKES: [Stake; 3] = [Stake::Nothing, Stake::Integration, Stake::Deletion];
const FORMS: [KeyForm; 2] = [KeyForm::ApiKey, KeyForm::ServiceAccount];
const HOLDERS: [Holder<'static>; 2] = [Holder::Secret("atlas-api"), Holder::Operator];
const SOURCES: &str = "apiKey comes from key api of Secret datadog";

/// A row of one of the three tables.
struct Row {
    name: String,
    on: On,
    kind: K,
    who: Who,
    in_doubt: bool,
    advice: &'static Advice,
}

fn rows() -> Vec<Row> {
    let answers = ANSWERS.iter().chain([&OTHERS]).map(|row| Row {
        name: format!("{} {} {:?}", row.status, row.code, row.on),
        on: row.on,
        kind: row.kind,
        who: row.who,
        in_doubt: row.status >= 500,
        advice: &row.advice,
    });
    let foreign = FOREIGN.iter().map(|row| Row {
        name: row.what.to_owned(),
        on: Any,
        kind: row.kind,
        who: row.who,
        in_doubt: row.in_doubt,
        advice: &row.advice,
    });
    let silent = NO_ANSWERS.iter().map(|row| Row {
        name: row.what.to_owned(),
        on: Any,
        kind: K::Unavailable,
        who: Who::Nobody,
        in_doubt: row.in_doubt,
        advice: &row.advice,
    });
    answers.chain(foreign).chain(silent).collect()
}

/// Whether an object with this at stake can meet the row at all.
fn is_met(row: &Row, stake: Stake) -> bool {
    match row.on {
        Write | NamedType | CodedType => stake != Stake::Deletion,
        Delete => stake == Stake::Deletion,
        Any | On::List | Flowdock | Token => true,
    }
}

/// Calls `check` with the name of each row and case, the case, and the message.
fn each(check: impl Fn(&str, &Row, &Case<'_>, &str)) {
    for row in rows() {
        for (stake, form, holder) in STAKES.iter().flat_map(|stake| {
            FORMS.iter().flat_map(move |form| HOLDERS.map(|holder| (*stake, *form, holder)))
        }) {
            let no_token = row.on == Token && form == KeyForm::ApiKey;
            if no_token || !is_met(&row, stake) {
                continue;
            }
            for landing_limit in [None, Some(std::time::Duration::from_secs(30))] {
                let case =
                    Case { atlas: "cloud.mongodb.com", holder, form, stake, landing_limit, sources: SOURCES };
                let failure = Failure {
                    detail: "Atlas's words".into(),
                    advice: row.advice,
                    outcome_unknown: row.in_doubt,
                    ..Failure::known(row.kind, "401 CODE to LIST of project P")
                };
                let name = format!("{} to {stake:?}, {form:?} of {holder:?}", row.name);
                check(&name, &row, &case, &case.message(&failure).text());
            }
        }
    }
}

fn says_delete(text: &str) -> bool {
    ["delete this", "delete the object", "delete it and", "delete one", "before you delete it"]
        .iter()
        .any(|words| text.contains(words))
}

#[test]
fn nobody_who_obeys_deletes_an_integration() {
    each(|name, _, case, text| match case.stake {
        Stake::Nothing if says_delete(text) => {
            assert!(text.contains("nothing was created in Atlas"), "{name}: {text}");
        }
        Stake::Integration if says_delete(text) => {
            assert!(
                text.contains("set spec.deletionPolicy to Retain before you delete it"),
                "{name}: {text}"
            );
        }
        Stake::Integration => assert!(!text.contains("nothing was created"), "{name}: {text}"),
        // It is being deleted already. Its command is told beside this.
        Stake::Deletion => {
            let useless = ["create a new object", "correct what Atlas names", "correct the field", "Retain"];
            assert!(
                !says_delete(text) && useless.iter().all(|words| !text.contains(words)),
                "{name}: {text}"
            );
        }
        Stake::Nothing => {}
    });
}

/// `spec.projectId` and `spec.type` can't be changed.
#[test]
fn what_is_immutable_is_not_to_be_corrected() {
    each(|name, _, _, text| {
        for impossible in ["correct spec.projectId", "correct spec.type", "change spec.projectId"] {
            assert!(!text.contains(impossible), "{name}: {text}");
        }
    });
}

#[test]
fn what_is_said_of_the_credentials_fits_them() {
    each(|name, row, case, text| {
        let key = text.contains("API key");
        let account = text.contains("service account");
        let own = text.contains("the operator's own");
        if row.kind == K::Unauthorized {
            assert!(text.contains("Atlas at cloud.mongodb.com refuses"), "{name}: {text}");
            match case.holder {
                Holder::Secret(secret) => {
                    assert!(text.contains(&format!("in Secret {secret}")) && !own, "{name}: {text}")
                }
                Holder::Operator => assert!(own && !text.contains("atlas-api"), "{name}: {text}"),
            }
        }
        let either = text.contains("an API key or service account of the organisation");
        match case.form {
            // An API key of Datadog is no API key of Atlas.
            KeyForm::ServiceAccount if !either && !text.contains("of Datadog") => {
                assert!(!key && !text.contains("publicApiKey"), "{name}: {text}");
            }
            KeyForm::ApiKey if !either => assert!(!account && !text.contains("clientId"), "{name}: {text}"),
            _ => {}
        }
        if case.holder == Holder::Operator && (key || account || text.contains("Secret")) {
            assert!(!text.contains("in that Secret"), "a tenant can't: {name}: {text}");
        }
    });
}

#[test]
fn every_message_names_who_acts_and_what_happens_next() {
    each(|name, row, case, text| {
        assert!(
            !text.contains(['{', '}']) && !text.contains("; ;") && !text.contains("  "),
            "{name}: {text}"
        );
        for riddle in ["by itself", "goes on", "anew", "put right", "the object says", "reached its end"] {
            assert!(!text.contains(riddle), "{riddle}: {name}: {text}");
        }
        if row.who == Who::Operator && row.on != Token && !case.advice(row.advice).is_empty() {
            let named = ["whoever runs the ", "if it lasts"].iter().any(|words| text.contains(words));
            assert!(named, "{name}: {text}");
        }
        let doubt = case.landing_limit.is_some() && row.in_doubt;
        let next = match (doubt, row.kind) {
            (true, _) => "at most 30s, then looks and continues",
            (_, K::RateLimited) => "the operator waits, at most five minutes, and then continues",
            (_, K::Rejected | K::NotSupported) if case.stake != Stake::Deletion => {
                "or when the annotation atlas-integrations.dev/reconcile-requested-at gets a new value"
            }
            _ => LOOKS_AGAIN,
        };
        assert!(text.ends_with(next), "{name}: {text}");
        assert!(text.chars().count() < 1_000, "{name}: {text}");
    });
}

/// Who is told to act has something to do.
#[test]
fn whoever_has_to_act_is_told_what_to_do() {
    for row in rows().into_iter().filter(|row| matches!(row.who, Who::Owner | Who::Atlas)) {
        for stake in STAKES.into_iter().filter(|stake| is_met(&row, *stake)) {
            let gone = row.kind == K::ProjectNotFound && stake == Stake::Deletion;
            let case = Case {
                atlas: "cloud.mongodb.com",
                holder: HOLDERS[0],
                form: KeyForm::ApiKey,
                stake,
                landing_limit: None,
                sources: SOURCES,
            };
            assert!(gone || !case.advice(row.advice).is_empty(), "{} to {stake:?}", row.name);
        }
    }
}
