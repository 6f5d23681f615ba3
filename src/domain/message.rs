//! What the operator tells people about a failed call: the words that fit the object that they are told to.

use std::net::IpAddr;
use std::time::Duration;

use super::advice::{Advice, Stake};
use super::failure::{Failure, FailureKind};
use super::reason::Prospect;

/// What the operator does after a failure, and how to make it look now. When it looks depends on the failure, on the
/// resync interval, and on whether other projects use the same credential.
pub const LOOKS_AGAIN: &str = "the operator looks again automatically; to make it look now, set the annotation \
                               atlas-integrations.dev/reconcile-requested-at to a new value";
/// The same for a write that Atlas refused as it is.
const ON_CHANGE: &str = "the operator tries again when the object or its Secrets change, or when the annotation \
                         atlas-integrations.dev/reconcile-requested-at gets a new value";

/// A message for people. A part of it is not ours: the text of Atlas, of a proxy or of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    before: String,
    /// The foreign part.
    detail: String,
    after: String,
}

impl Message {
    /// The whole text.
    pub fn text(&self) -> String {
        [self.before.as_str(), &self.detail, &self.after].concat()
    }

    /// A message that ends with a text that is not ours.
    pub fn quoting(before: String, detail: &str) -> Message {
        Message { before, detail: detail.to_owned(), after: String::new() }
    }

    /// The same message with `words` before it.
    pub fn after(&self, words: &str) -> Message {
        Message { before: format!("{words}{}", self.before), ..self.clone() }
    }

    /// Whether `told` is this message, except for such parts of the foreign text as change with each answer: numbers,
    /// times, ids of requests. Another address is told, since people enter them into access lists.
    pub fn is_as_told(&self, told: &str) -> bool {
        let foreign = told.strip_prefix(&self.before).and_then(|rest| rest.strip_suffix(&self.after));
        foreign.is_some_and(|foreign| foreign == self.detail || steady(foreign) == steady(&self.detail))
    }
}

impl<T: Into<String>> From<T> for Message {
    fn from(text: T) -> Message {
        Message { before: text.into(), ..Message::default() }
    }
}

/// A text with a sign in place of each part that changes with each answer.
fn steady(text: &str) -> Vec<&str> {
    let of_token = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ':' | '.' | '+');
    let mut words = Vec::new();
    let mut after_number = false;
    for word in text.split(|c| !of_token(c)).map(|word| word.trim_matches(['.', ':', '-'])) {
        let hexadecimal = word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let changes = word.contains(|c: char| c.is_ascii_digit()) || hexadecimal;
        words.push(match word.parse::<IpAddr>() {
            Ok(_) => word,
            Err(_) if changes => "#",
            // "1 second" becomes "2 seconds".
            Err(_) if after_number => word.trim_end_matches('s'),
            Err(_) => word,
        });
        after_number = changes;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The two forms of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// An API key.
    ApiKey,
    /// A service account.
    ServiceAccount,
}

/// Who holds the credential of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A Secret of the object's namespace, by its name.
    Secret(&'a str),
    /// The operator. The object reveals nothing about that Secret.
    Operator,
}

/// The words in braces, each with its text for an API key in a Secret, for a service account in a Secret, and for the
/// operator's own credentials. A text may contain words of later rows.
const WORDS: [(&str, [&str; 3]); 9] = [
    (
        "{check}",
        [
            "check publicApiKey and privateApiKey in that Secret (not swapped, not revoked, without quotes around \
             them, {made} and in the organisation of the project), and that the key has the role Project Owner on the \
             project",
            "check that the service account still exists, that it was {made} and in the organisation of the project, \
             and that it has the role Project Owner on the project",
            "ask whoever runs the operator to check its own credentials (--credentials-secret), and that they have \
             the role Project Owner on the project",
        ],
    ),
    (
        "{token}",
        [
            "check publicApiKey and privateApiKey in that Secret",
            "correct clientId and clientSecret in that Secret; the client secret may have expired, or the account may \
             belong to another Atlas",
            "ask whoever runs the operator to correct its own credentials (--credentials-secret)",
        ],
    ),
    (
        "{another}",
        [
            "it does not exist any more: create another one, and put it into that Secret",
            "it does not exist any more: create another one, and put it into that Secret",
            "it does not exist any more: ask whoever runs the operator to renew its own credentials \
             (--credentials-secret)",
        ],
    ),
    (
        "{organisation}",
        [
            "use an API key or service account of the organisation that the project belongs to, with the role Project \
             Owner on the project",
            "use an API key or service account of the organisation that the project belongs to, with the role Project \
             Owner on the project",
            "name a Secret in spec.credentialsSecretRef that has an API key or service account of the organisation \
             that the project belongs to, or ask whoever runs the operator",
        ],
    ),
    (
        "{recreate}",
        ["If spec.projectId is wrong, create a new object with the right id, since it can't be changed, and delete \
             this one (nothing was created in Atlas)"; 3],
    ),
    (
        "{retain}",
        ["if you no longer want this object, set spec.deletionPolicy to Retain before you delete it, which leaves \
             Atlas as it is"; 3],
    ),
    (
        "{key}",
        [
            "the API key in Secret {secret}",
            "the service account in Secret {secret}",
            "the operator's own {form}",
        ],
    ),
    ("{form}", ["API key", "service account", "credentials"]),
    ("{made}", ["made in {atlas}"; 3]),
];

/// An object, as far as messages about its failed calls depend on it.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// Host, and port if it is not the usual one, of the Atlas that was asked.
    pub atlas: &'a str,
    /// Who holds the credential.
    pub holder: Holder<'a>,
    /// The form of the credential.
    pub form: KeyForm,
    /// What is at stake.
    pub stake: Stake,
    /// For a call that changes Atlas: how long after it was begun it may take effect.
    pub landing_limit: Option<Duration>,
    /// Where the secret values come from that the call sent, such as `apiKey comes from key api of Secret datadog`.
    pub sources: &'a str,
}

impl Case<'_> {
    /// The whole message about a failure.
    pub fn message(&self, failure: &Failure) -> Message {
        let (before, after) = self.around(failure);
        let advice = match self.advice(failure.advice) {
            advice if advice.is_empty() => String::new(),
            advice if failure.kind == FailureKind::Unauthorized => format!(": {advice}"),
            advice => format!("; {advice}"),
        };
        let colon = if failure.detail.is_empty() { "" } else { ": " };
        Message {
            before: format!("{before}{}{colon}", failure.what),
            detail: failure.detail.clone(),
            after: format!("{after}{advice}; {}", self.next(failure)),
        }
    }

    /// The message about a failure without its foreign part, which may be long: what happened, what to do, and when the
    /// operator looks again.
    pub fn advice_on(&self, failure: &Failure) -> String {
        self.message(&Failure { detail: String::new(), ..failure.clone() }).text()
    }

    /// What encloses the words of the failure.
    fn around(&self, failure: &Failure) -> (String, &'static str) {
        match failure.kind {
            FailureKind::Unauthorized => (self.fill("Atlas at {atlas} refuses {key} ("), ")"),
            _ => (String::new(), ""),
        }
    }

    /// What to do, in the words for this object.
    pub fn advice(&self, advice: &Advice) -> String {
        self.fill(advice.of(self.stake))
    }

    fn fill(&self, text: &str) -> String {
        let column = match (self.holder, self.form) {
            (Holder::Operator, _) => 2,
            (Holder::Secret(_), KeyForm::ApiKey) => 0,
            (Holder::Secret(_), KeyForm::ServiceAccount) => 1,
        };
        let mut text = text.to_owned();
        for (word, texts) in WORDS {
            let own = (word, column) == ("{form}", 2);
            let form = if own { usize::from(self.form == KeyForm::ServiceAccount) } else { column };
            text = text.replace(word, texts[form]);
        }
        let secret = match self.holder {
            Holder::Secret(name) => name,
            Holder::Operator => "",
        };
        let sources = if self.sources.is_empty() { String::new() } else { format!(" ({})", self.sources) };
        text.replace("{secret}", secret)
            .replace("{sources}", &sources)
            .replace("made in {atlas}", made_in(self.atlas))
            .replace("{atlas}", self.atlas)
    }

    /// What the operator does next.
    fn next(&self, failure: &Failure) -> String {
        let wait =
            failure.until.as_ref().map(|until| format!("the operator waits{until}, as the answer asks,"));
        if let Some(limit) = self.landing_limit.filter(|_| failure.outcome_unknown) {
            let call = if self.stake == Stake::Deletion { "deletion" } else { "write" };
            let wait = wait.unwrap_or_else(|| {
                format!("the operator waits until it can't take effect any more, at most {limit:?},")
            });
            return format!("the {call} may have taken effect; {wait} then looks and continues");
        }
        match (wait, failure.kind, failure.reason().prospect()) {
            (Some(wait), ..) => format!("{wait} and then continues"),
            (_, FailureKind::RateLimited, _) => {
                "the operator waits, at most five minutes, and then continues".to_owned()
            }
            // The operator repeats a refused DELETE.
            (_, _, Prospect::Final) if self.stake != Stake::Deletion => ON_CHANGE.to_owned(),
            _ => LOOKS_AGAIN.to_owned(),
        }
    }
}

/// Keys of one Atlas are unknown to the other.
fn made_in(atlas: &str) -> &'static str {
    match atlas {
        "cloud.mongodb.com" => "made in this Atlas, not in Atlas for Government,",
        "cloud.mongodbgov.com" => "made in Atlas for Government",
        _ => "made in this Atlas",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn case(holder: Holder<'static>, form: KeyForm) -> Case<'static> {
        let atlas = "cloud.mongodb.com";
        Case { atlas, holder, form, stake: Stake::Nothing, landing_limit: None, sources: "" }
    }

    fn unauthorized(advice: &'static str) -> Failure {
        Failure {
            detail: "You are not authorized".into(),
            advice: Box::leak(Box::new(Advice::always(advice))),
            ..Failure::known(FailureKind::Unauthorized, "401 UNEXPECTED_ERROR to LIST of project P")
        }
    }

    /// One failure, told to three objects that share the credential or not.
    #[rstest]
    #[case(
        Holder::Secret("swapped"),
        KeyForm::ApiKey,
        "Atlas at cloud.mongodb.com refuses the API key in Secret swapped (401 UNEXPECTED_ERROR to LIST of project P: \
         You are not authorized): check publicApiKey and privateApiKey in that Secret (not swapped, not revoked, \
         without quotes around them, made in this Atlas, not in Atlas for Government, and in the organisation of the \
         project), and that the key has the role Project Owner on the project; "
    )]
    #[case(
        Holder::Secret("account"),
        KeyForm::ServiceAccount,
        "Atlas at cloud.mongodb.com refuses the service account in Secret account (401 UNEXPECTED_ERROR to LIST of \
         project P: You are not authorized): check that the service account still exists, that it was made in this Atlas, \
         not in Atlas for Government, and in the organisation of the project, and that it has the role Project Owner on \
         the project; "
    )]
    #[case(
        Holder::Operator,
        KeyForm::ApiKey,
        "Atlas at cloud.mongodb.com refuses the operator's own API key (401 UNEXPECTED_ERROR to LIST of project P: You \
         are not authorized): ask whoever runs the operator to check its own credentials (--credentials-secret), and \
         that they have the role Project Owner on the project; "
    )]
    fn a_refusal_names_the_credential_and_the_atlas(
        #[case] holder: Holder<'static>,
        #[case] form: KeyForm,
        #[case] begin: &str,
    ) {
        let message = case(holder, form).message(&unauthorized("{check}"));
        assert_eq!(message.text(), format!("{begin}{LOOKS_AGAIN}"));
    }

    #[rstest]
    #[case("cloud.mongodbgov.com", "made in Atlas for Government and in")]
    #[case("127.0.0.1:8080", "made in this Atlas and in")]
    fn keys_of_the_other_atlas_are_named(#[case] atlas: &'static str, #[case] says: &str) {
        let case = Case { atlas, ..case(Holder::Secret("atlas"), KeyForm::ApiKey) };
        let text = case.message(&unauthorized("{check}")).text();
        assert!(text.contains(says) && text.starts_with(&format!("Atlas at {atlas} refuses")), "{text}");
    }

    /// Braces and words in the text of Atlas stay as they are.
    #[test]
    fn the_text_of_atlas_is_not_filled_in() {
        let failure = Failure { detail: "{key} {secret} {atlas}".into(), ..unauthorized("use {key}") };
        let text = case(Holder::Secret("atlas"), KeyForm::ApiKey).message(&failure).text();
        assert!(text.contains(": {key} {secret} {atlas}): use the API key in Secret atlas; "), "{text}");
    }

    #[test]
    fn rejected_settings_name_where_the_values_come_from() {
        let failure = Failure {
            detail: "apiKey is wrong".into(),
            advice: const { &Advice::always("correct it{sources}") },
            ..Failure::known(FailureKind::Rejected, "Atlas answered 400 X to POST DATADOG of project P")
        };
        let none = case(Holder::Secret("atlas"), KeyForm::ApiKey);
        let case = Case { sources: "apiKey comes from key api of Secret datadog", ..none.clone() };
        let begin = "Atlas answered 400 X to POST DATADOG of project P: apiKey is wrong; correct it";
        let sources = " (apiKey comes from key api of Secret datadog)";
        assert_eq!(case.message(&failure).text(), format!("{begin}{sources}; {ON_CHANGE}"));
        assert_eq!(none.message(&failure).text(), format!("{begin}; {ON_CHANGE}"));
        let deleting = Case { stake: Stake::Deletion, ..none };
        assert_eq!(
            deleting.message(&failure).text(),
            format!("{begin}; {LOOKS_AGAIN}"),
            "DELETEs are repeated"
        );
    }

    /// Only a write can have taken effect, and only if its outcome is unknown.
    #[rstest]
    #[case::sent(
        Some(30),
        true,
        None,
        "the write may have taken effect; the operator waits until it can't take effect any more, at most 30s, then looks and continues"
    )]
    #[case::not_sent(Some(30), false, None, LOOKS_AGAIN)]
    #[case::a_look(None, true, None, LOOKS_AGAIN)]
    #[case::told_when(
        None,
        false,
        Some(" until 14:05 UTC"),
        "the operator waits until 14:05 UTC, as the answer asks, and then continues"
    )]
    #[case::both(
        Some(30),
        true,
        Some(" until 14:05 UTC"),
        "the write may have taken effect; the operator waits until 14:05 UTC, as the answer asks, then looks and continues"
    )]
    fn every_message_says_what_the_operator_does_next(
        #[case] limit: Option<u64>,
        #[case] outcome_unknown: bool,
        #[case] until: Option<&str>,
        #[case] next: &str,
    ) {
        let until = until.map(str::to_owned);
        let failure =
            Failure { outcome_unknown, until, ..Failure::known(FailureKind::Unavailable, "Atlas fails") };
        let landing_limit = limit.map(Duration::from_secs);
        let case = Case { landing_limit, ..case(Holder::Operator, KeyForm::ServiceAccount) };
        assert_eq!(case.message(&failure).text(), format!("Atlas fails; {next}"));
    }

    #[test]
    fn a_limit_without_a_time_ends_within_five_minutes() {
        let text = case(Holder::Operator, KeyForm::ApiKey)
            .message(&Failure::known(FailureKind::RateLimited, "Atlas limits"))
            .text();
        assert_eq!(text, "Atlas limits; the operator waits, at most five minutes, and then continues");
    }

    fn told(detail: &str) -> Message {
        let failure = Failure {
            detail: detail.into(),
            ..Failure::known(FailureKind::Unavailable, "Atlas answered 503 to LIST")
        };
        case(Holder::Operator, KeyForm::ApiKey).message(&failure)
    }

    /// What servers put into their errors and what changes with each of them.
    #[rstest]
    #[case("try again in 59 seconds", "try again in 1 second", true)]
    #[case(
        "request 550e8400-e29b-41d4-a716-446655440000 failed",
        "request 16fd2706-8baf-433b-82eb-8c7fada847da failed",
        true
    )]
    #[case("at 2026-11-29T06:35:22Z", "at 2026-11-29T06:36:02.120Z", true)]
    #[case("(Ref: A1B2C3)", "(Ref: D4E5F6)", true)]
    #[case("incident deadbeefcafe", "incident feedfacecafe", true)]
    #[case("37 of 100 requests used", "38 of 100 requests used", true)]
    #[case(
        "Error reference number: 522, Ray ID: 8c1d2e3f4a5b6c7d",
        "Error reference number: 522, Ray ID: 9d1d2e3f4a5b6c00",
        true
    )]
    #[case("host mms-web-7f9c5.internal is down", "host mms-web-8d1aa.internal is down", true)]
    #[case("took 1.5s", "took 12.25s", true)]
    #[case("the primary is down", "the secondary is down", false)]
    #[case("try again in 5 seconds", "give up", false)]
    #[case("", "no", false)]
    // People enter these into an access list.
    #[case("IP address 10.0.0.1 is not allowed.", "IP address 10.0.0.2 is not allowed.", false)]
    #[case("IP address 2001:db8::1 is not allowed", "IP address 2001:db8::2 is not allowed", false)]
    fn a_message_is_told_again_only_if_it_says_something_else(
        #[case] before: &str,
        #[case] now: &str,
        #[case] same: bool,
    ) {
        assert_eq!(told(now).is_as_told(&told(before).text()), same);
        assert!(told(now).is_as_told(&told(now).text()));
    }

    /// Numbers of ours are not the server's: the status, the name of a Secret, the end of a wait.
    #[test]
    fn our_own_numbers_are_told() {
        let text = |what: &str| Message::from(Failure::known(FailureKind::Unavailable, what).what);
        assert!(!text("Atlas answered 500 to LIST").is_as_told(&text("Atlas answered 503 to LIST").text()));
        assert!(!told("x").is_as_told(&told("x").text().replace("503", "500")));
    }
}
