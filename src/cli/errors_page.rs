//! `docs/errors.md`, generated from the table that the client itself uses.

use std::fmt::{self, Write};

use crate::atlas::{ANSWERS, Answer, FOREIGN, NO_ANSWERS, OTHERS, On, Silence, Who};
use crate::domain::{Advice, Case, Holder, KeyForm, Prospect, Stake};

const HEAD: &str = "\
# What Atlas may answer, and what the operator does

Made by `make generate` from the table in `src/atlas/error_table.rs`; a test keeps it current.

*Reason* is the one of `Ready` ([conditions](conditions.md)) while something is owed; objects in sync stay `Ready` where
the operator retries automatically. The waits between retries grow from a second to five minutes, or to
`--resync-interval` where somebody has to act, and respect `Retry-After`. A write that may have taken effect without an answer is looked for in Atlas, after twice
`--atlas-timeout`, before anything else is done. *On request* means: the annotation
`atlas-integrations.dev/reconcile-requested-at` gets a new value. An object that still fails after
`--stall-failing-after` becomes `Stalled`; the retries continue.

*What to do* is what the message tells, here for an API key in a Secret called SECRET. Messages name the Secret, say
*service account* where it holds one, and begin a refusal of the credentials with the address of the Atlas that was
asked. *It keeps an integration* means that the object wrote something to Atlas, so that deleting the object deletes
that too.

## Errors of Atlas

An answer is one of Atlas if its body has an `errorCode`, or if it is a 401 in the form of Atlas's authentication; in an
envelope the status within counts. The first row that fits decides.

| HTTP | `errorCode` | in answer to | Reason | continues | what to do |
|---|---|---|---|---|---|
";

const FOREIGN_HEAD: &str = "
## Answers that are not Atlas's

| HTTP | what | Reason | may a write have taken effect? | what to do |
|---|---|---|---|---|
";

const SILENCE_HEAD: &str = "
## No answer

The reason is `AtlasUnavailable`, and the operator retries automatically. The message begins with *Atlas can't be reached*
if no connection was made, and with *Atlas gave no answer* if the call may have arrived.

| what the message says | causes | may a write have taken effect? | what to do |
|---|---|---|---|
";

const TAIL: &str = "
## Pages of integrations

An integration counts as absent only if whole and well-formed pages lack it. Unknown types and fields, nulls and missing
ids are tolerated, and of two entries of one type the first counts. `totalCount` is an
estimate and decides nothing. Entries without a type, pages that repeat entries, and more than 20 pages are answers that
are not understood.

## The token endpoint

A service account's token is fetched once for all calls of the account, used to four fifths of its life, and then
renewed; where that fails, it serves to its end. A limited endpoint is not asked again before the time that it names, or
a minute; calls that need a token meanwhile fail as `RateLimited` at once, those of all projects of the account. An
account that was refused is not asked about again for half a minute either.

## HTTP digest

HTTP requests for 100 calls under one API key, one after another. No call costs more than two; calls at the same time
cost two each while there is no challenge to answer yet.

| what the server does | requests |
|---|---|
| MD5 or SHA-256; counts unchecked, never twice, or strictly in order | 101 |
| several challenges, in one header or in several, also behind some that can't be answered | 101 |
| a nonce that goes stale three times | 104 |
| a nonce for ten requests | 110 |
| a nonce for two requests | 150 |
| a nonce for one request | 200 |
";

/// The page as Markdown.
///
/// # Errors
/// Only if formatting into a string fails.
pub fn errors_page() -> Result<String, fmt::Error> {
    let mut text = String::from(HEAD);
    for row in ANSWERS.iter().chain([&OTHERS]) {
        let (status, code, asked, continues) = (status(row), code(row), asked(row.on), continues(row));
        let (reason, advice) = (row.kind.reason(), advice(&row.advice, row.on));
        writeln!(text, "| {status} | {code} | {asked} | `{reason}` | {continues} | {advice} |")?;
    }
    text.push_str(FOREIGN_HEAD);
    for row in FOREIGN {
        let status = match (row.from, row.to) {
            (0, _) => "any other".to_owned(),
            (from, to) if from == to => from.to_string(),
            (from, _) => format!("{}xx", from / 100),
        };
        let (doubt, advice) = (doubt(row.in_doubt), advice(&row.advice, On::Any));
        writeln!(text, "| {status} | {} | `{}` | {doubt} | {advice} |", row.what, row.kind.reason())?;
    }
    text.push_str(SILENCE_HEAD);
    for row in NO_ANSWERS {
        let after = if row.silence == Silence::Late { "" } else { ": …" };
        let (doubt, advice) = (doubt(row.in_doubt), advice(&row.advice, On::Any));
        writeln!(text, "| {}{after} | {} | {doubt} | {advice} |", row.what, row.causes)?;
    }
    text.push_str(TAIL);
    Ok(text)
}

fn status(row: &Answer) -> String {
    if row.status == 0 { "any".to_owned() } else { row.status.to_string() }
}

fn code(row: &Answer) -> String {
    match (row.code, row.status) {
        ("", 0) => "any other".to_owned(),
        ("", _) => "any".to_owned(),
        (code, _) => format!("`{code}`"),
    }
}

/// The advice as it is told to an object whose Secret is called SECRET, for each thing at stake that makes a difference.
fn advice(advice: &Advice, on: On) -> String {
    let form = if on == On::Token { KeyForm::ServiceAccount } else { KeyForm::ApiKey };
    let told = |stake| {
        let holder = Holder::Secret("SECRET");
        Case { atlas: "cloud.mongodb.com", holder, form, stake, landing_limit: None, sources: "" }
            .advice(advice)
    };
    let [nothing, integration, deletion] = [Stake::Nothing, Stake::Integration, Stake::Deletion].map(told);
    let mut text = match (on, nothing.is_empty()) {
        (On::Delete, _) => return deletion,
        (_, true) => "nothing".to_owned(),
        (_, false) => nothing.clone(),
    };
    if integration != nothing {
        text.push_str(". *It keeps an integration:* ");
        text.push_str(&integration);
    }
    let writes = matches!(on, On::Write | On::NamedType | On::CodedType);
    if deletion != integration && !deletion.is_empty() && !writes {
        text.push_str(". *It is being deleted:* ");
        text.push_str(&deletion);
    }
    text
}

fn asked(on: On) -> &'static str {
    match on {
        On::Any => "any call",
        On::List => "LIST",
        On::Flowdock => "any call for FLOWDOCK",
        On::Write => "POST, PUT",
        On::NamedType => "POST, PUT, if the type is the refused value",
        On::CodedType => "POST, PUT, if the code names the type",
        On::Delete => "DELETE",
        On::Token => "the token request",
    }
}

fn continues(row: &Answer) -> String {
    let person = match row.who {
        Who::Nobody => None,
        Who::Owner => Some("whoever owns the object"),
        Who::Atlas => Some("whoever administers Atlas"),
        Who::Operator => Some("whoever runs the operator"),
    };
    let prospect = row.kind.reason().prospect();
    match (prospect, person) {
        (Prospect::Good | Prospect::Passing, Some(person)) => {
            format!("automatically; if it lasts, {person} has to act")
        }
        (Prospect::Outside, Some(person)) => format!("automatically, once {person} has acted"),
        // The operator retries a deletion in any case.
        (Prospect::Final, Some(person)) if row.on == On::Delete => {
            format!("automatically, once {person} has acted")
        }
        (Prospect::Final, Some(person)) if row.who == Who::Atlas => {
            format!("on request, once {person} has acted")
        }
        (Prospect::Final, _) => "when the object or its Secrets change, or on request".to_owned(),
        (_, None) => "automatically".to_owned(),
    }
}

fn doubt(in_doubt: bool) -> &'static str {
    if in_doubt { "yes" } else { "no" }
}
