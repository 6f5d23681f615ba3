//! Turns every answer that is not a success, and every fault of the connection, into a [`Failure`]. Its class and its
//! words come from [`super::error_table`].

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;

use super::error_table::{ANSWERS, Answer, FOREIGN, NO_ANSWERS, NoAnswer, OTHERS, On, Silence};
use crate::domain::{Failure, FailureKind, IntegrationType, plain};

/// The cause of a transport fault is cut at this many characters.
const MAX_CAUSE: usize = 200;

/// Why a call got no answer.
pub(super) enum SendError {
    /// The request could not be sent, or no answer came.
    Http(Unanswered),
    /// The challenge could not be answered.
    Challenge,
    /// There is no token to send the call with.
    Token(Failure),
}

/// Why a request got no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    silence: Silence,
    /// The innermost error, which tells a person more than the chain above it. Of the request it can only contain the
    /// address.
    cause: Option<String>,
}

impl Unanswered {
    /// There was no connection, so nothing was sent.
    pub fn unconnected(error: &(dyn Error + 'static)) -> Unanswered {
        let silence = if is_tls(error) { Silence::Untrusted } else { Silence::Unconnected };
        Unanswered { silence, cause: Some(root_cause(error)) }
    }

    /// The connection ended before the answer did.
    pub fn broken(error: &(dyn Error + 'static)) -> Unanswered {
        Unanswered { silence: Silence::Broken, cause: Some(root_cause(error)) }
    }

    /// The answer was not complete within the time limit.
    pub fn late() -> Unanswered {
        Unanswered { silence: Silence::Late, cause: None }
    }
}

/// Those parts of a call on which the meaning of an answer depends.
pub(super) struct Asked<'a> {
    /// The name of the call in messages.
    pub(super) name: &'a str,
    /// The kind of call.
    pub(super) on: On,
    /// The type in its path.
    pub(super) kind: Option<IntegrationType>,
}

impl Answer {
    fn fits(&self, asked: &Asked<'_>, status: u16, code: &str, detail: &str) -> bool {
        let on = match self.on {
            On::Any => true,
            On::Flowdock => asked.on == On::Flowdock || asked.kind == Some(IntegrationType::Flowdock),
            On::NamedType => asked.on == On::Write && asked.kind.is_some_and(|kind| refuses(detail, kind)),
            On::CodedType => asked.on == On::Write && asked.kind.is_some_and(|kind| is_coded(code, kind)),
            on => on == asked.on,
        };
        let code = match self.code.strip_prefix('*') {
            Some(end) => code.ends_with(end),
            None => self.code.is_empty() || self.code == code,
        };
        on && code && (self.status == 0 || self.status == status)
    }
}

/// Whether a text refuses a type as a value. A text about the region may name the type too, also in the value:
/// `DATADOG/US9`.
fn refuses(text: &str, kind: IntegrationType) -> bool {
    let outer = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_matches(outer)).collect();
    let is_value = |pair: &[&str]| pair[0].eq_ignore_ascii_case("value") && pair[1] == kind.as_str();
    let is_region = |word: &str| ["region", "site"].iter().any(|name| word.eq_ignore_ascii_case(name));
    words.windows(2).any(is_value) && !text.split(outer).any(is_region)
}

/// Whether a code says that a type is not supported, as `NEW_RELIC_NOT_SUPPORTED` does. The code of a region,
/// `DATADOG_REGION_NOT_SUPPORTED` for instance, says nothing about the type. Atlas writes HIPCHAT for HIP_CHAT.
fn is_coded(code: &str, kind: IntegrationType) -> bool {
    let plain = |text: &str| text.replace('_', "");
    let named = code.strip_suffix("_NOT_SUPPORTED").unwrap_or_default();
    plain(named.strip_suffix("_INTEGRATION").unwrap_or(named)) == plain(kind.as_str())
}

/// The failure for an answer of Atlas that is no success. `code` and `detail` are already scrubbed.
pub(super) fn answered(
    asked: &Asked<'_>,
    status: u16,
    code: &str,
    detail: &str,
    retry_after: Option<Duration>,
) -> Failure {
    let row = ANSWERS.iter().find(|row| row.fits(asked, status, code, detail)).unwrap_or(&OTHERS);
    let name = asked.name;
    let shown = if code.is_empty() { "without a code" } else { code };
    let (what, detail) = match row.kind {
        // We leave out Atlas's own text, which counts seconds down, and the name of the call: either would make every
        // retry a new status.
        FailureKind::RateLimited => (format!("Atlas limits the rate of requests ({code})"), ""),
        FailureKind::Unauthorized => (format!("{status} {shown} to {name}"), detail),
        _ => (format!("Atlas answered {status} {shown} to {name}"), detail),
    };
    let failure = Failure {
        detail: detail.trim_end_matches('.').to_owned(),
        advice: &row.advice,
        of_credential: row.of_credential,
        // After a 5xx the write may or may not have taken effect.
        outcome_unknown: status >= 500,
        ..Failure::known(row.kind, what)
    };
    asks_to_wait(failure, retry_after)
}

/// The failure for an answer that does not come from Atlas but from a proxy or a load balancer, or that we can't parse.
pub(super) fn not_understood(name: &str, status: u16, why: &str) -> Failure {
    let row = FOREIGN.iter().find(|row| (row.from..=row.to).contains(&status));
    let (kind, in_doubt, advice) = match row {
        Some(row) => (row.kind, row.in_doubt, &row.advice),
        None => (OTHERS.kind, true, &OTHERS.advice),
    };
    Failure {
        advice,
        outcome_unknown: in_doubt,
        ..Failure::known(kind, format!("the answer to {name} (HTTP {status}) is not one of Atlas: {why}"))
    }
}

/// The failure with the wait that its answer asked for.
pub(super) fn asks_to_wait(failure: Failure, retry_after: Option<Duration>) -> Failure {
    let Some(wait) = retry_after else { return failure };
    Failure { retry_after, until: Some(until(Timestamp::now(), wait)), ..failure }
}

/// The end of a wait as a time of day, rounded up to the minute.
fn until(now: Timestamp, wait: Duration) -> String {
    let minute = jiff::SignedDuration::from_secs(59);
    let end = jiff::SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
    match end.and_then(|end| end.checked_add(minute).ok()) {
        Some(end) if wait > Duration::from_secs(60) => end.strftime(" until %H:%M UTC").to_string(),
        _ => ", at most a minute".to_owned(),
    }
}

/// The failure for a call without an answer.
pub(super) fn no_answer(name: &str, unanswered: Unanswered) -> Failure {
    let Unanswered { silence, cause } = unanswered;
    let row = NO_ANSWERS.iter().find(|row| row.silence == silence);
    let (what, in_doubt, advice) = match row {
        Some(NoAnswer { what, in_doubt, advice, .. }) => (*what, *in_doubt, advice),
        None => ("no answer", true, &OTHERS.advice),
    };
    let begin = match silence {
        Silence::Unconnected | Silence::Untrusted => "Atlas can't be reached for",
        // The call may have arrived.
        Silence::Broken | Silence::Late => "Atlas gave no answer to",
    };
    Failure {
        detail: cause.unwrap_or_default(),
        advice,
        outcome_unknown: in_doubt,
        ..Failure::known(FailureKind::Unavailable, format!("{begin} {name}: {what}"))
    }
}

/// Whether a connection failed within TLS. The error that an I/O error wraps is not among its sources, so it is
/// unwrapped here.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        next = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    plain(&cause.to_string(), MAX_CAUSE)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn asked(on: On, kind: IntegrationType) -> Asked<'static> {
        Asked { name: "the call", on, kind: Some(kind) }
    }

    /// The meaning of a code depends on the call.
    #[rstest]
    #[case(On::List, 404, "RESOURCE_NOT_FOUND", "", FailureKind::NotServed)]
    #[case(On::Flowdock, 404, "RESOURCE_NOT_FOUND", "", FailureKind::NotSupported)]
    #[case(On::Write, 404, "RESOURCE_NOT_FOUND", "", FailureKind::NotSupported)]
    #[case(On::Write, 400, "INVALID_ENUM_VALUE", "Value NEW_RELIC.", FailureKind::NotSupported)]
    #[case(On::Write, 400, "INVALID_ENUM_VALUE", "Value NEW_RELIC_2.", FailureKind::Rejected)]
    #[case(On::Write, 400, "NEW_RELIC_NOT_SUPPORTED", "", FailureKind::NotSupported)]
    #[case(On::List, 400, "NEVER_SEEN", "", FailureKind::Unavailable)]
    #[case(On::Write, 400, "NEVER_SEEN", "", FailureKind::Rejected)]
    #[case(On::Delete, 400, "NEVER_SEEN", "", FailureKind::Rejected)]
    #[case(On::Write, 418, "NEVER_SEEN", "", FailureKind::Unavailable)]
    #[case(On::Token, 400, "invalid_request", "", FailureKind::Unavailable)]
    #[case(On::Token, 400, "invalid_client", "", FailureKind::Unauthorized)]
    fn classes(
        #[case] on: On,
        #[case] status: u16,
        #[case] code: &str,
        #[case] detail: &str,
        #[case] kind: FailureKind,
    ) {
        let failure = answered(&asked(on, IntegrationType::NewRelic), status, code, detail, None);
        assert_eq!(failure.kind, kind, "{}", failure.summary());
    }

    /// No row is hidden by an earlier one.
    #[test]
    fn every_row_decides_something() {
        for (place, row) in ANSWERS.iter().enumerate() {
            let status = if row.status == 0 { 499 } else { row.status };
            let kind = IntegrationType::Slack;
            let code = match (row.on, row.code.trim_start_matches('*')) {
                (On::CodedType, end) => &format!("SLACK{end}"),
                (_, "") => "NEVER_SEEN",
                (_, code) => code,
            };
            let detail = if row.on == On::NamedType { "value SLACK" } else { "" };
            let decides = [On::List, On::Flowdock, On::Write, On::Delete, On::Token].into_iter().any(|on| {
                let fits = |row: &Answer| row.fits(&asked(on, kind), status, code, detail);
                ANSWERS.iter().position(fits) == Some(place)
            });
            assert!(decides, "{row:?}");
        }
    }

    #[test]
    fn every_status_and_silence_has_its_words() {
        for status in 0..=u16::MAX {
            assert!(FOREIGN.iter().any(|row| (row.from..=row.to).contains(&status)), "{status}");
        }
        for silence in [Silence::Unconnected, Silence::Untrusted, Silence::Broken, Silence::Late] {
            assert_eq!(NO_ANSWERS.iter().filter(|row| row.silence == silence).count(), 1);
        }
    }

    /// Answers that people plausibly meet, and what each is about: the settings, the type, the credentials, the project.
    #[rstest]
    #[case(On::Write, 400, "REGION_NOT_SUPPORTED", "Region US9 is not supported.", FailureKind::Rejected)]
    #[case(On::Write, 400, "DATADOG_REGION_NOT_SUPPORTED", "no", FailureKind::Rejected)]
    #[case(On::Write, 400, "INTEGRATION_REGION_NOT_SUPPORTED", "no", FailureKind::Rejected)]
    #[case(On::Write, 422, "REGION_NOT_SUPPORTED", "no", FailureKind::Rejected)]
    #[case(On::Write, 400, "ATTRIBUTE_NOT_SUPPORTED", "sendDatabaseMetrics", FailureKind::Rejected)]
    #[case(On::Write, 400, "TEMPLATE_NOT_SUPPORTED", "no", FailureKind::Rejected)]
    #[case(On::Write, 400, "FIELD_NOT_SUPPORTED", "sendUserProvidedResourceTags", FailureKind::Rejected)]
    #[case(On::Write, 400, "SITE_NOT_SUPPORTED", "datadoghq.eu", FailureKind::Rejected)]
    #[case(On::Write, 400, "DATADOG_NOT_SUPPORTED", "no", FailureKind::NotSupported)]
    #[case(On::Write, 400, "DATADOG_INTEGRATION_NOT_SUPPORTED", "no", FailureKind::NotSupported)]
    #[case(
        On::Write,
        400,
        "INVALID_ENUM_VALUE",
        "An invalid enumeration value US9 was specified for DATADOG.",
        FailureKind::Rejected
    )]
    #[case(
        On::Write,
        400,
        "INVALID_ENUM_VALUE",
        "Region US9 is not valid for integration type DATADOG.",
        FailureKind::Rejected
    )]
    #[case(
        On::Write,
        400,
        "INVALID_ENUM_VALUE",
        "DATADOG: invalid enumeration value US9 for attribute region.",
        FailureKind::Rejected
    )]
    #[case(
        On::Write,
        400,
        "INVALID_ENUM_VALUE",
        "An invalid enumeration value us5 was specified (DATADOG/region).",
        FailureKind::Rejected
    )]
    #[case(
        On::Write,
        400,
        "INVALID_ENUM_VALUE",
        "An invalid enumeration value DATADOG was specified.",
        FailureKind::NotSupported
    )]
    #[case(
        On::Write,
        400,
        "INVALID_ENUM_VALUE",
        "An invalid enumeration value 'DATADOG' was specified.",
        FailureKind::NotSupported
    )]
    #[case(
        On::Write,
        400,
        "INVALID_ENUM_VALUE",
        "An invalid enumeration value DATADOG/US9 was specified.",
        FailureKind::Rejected
    )]
    #[case(
        On::Write,
        400,
        "INVALID_ENUM_VALUE",
        "Invalid value DATADOG: there is no site US9.",
        FailureKind::Rejected
    )]
    #[case(On::Write, 400, "INVALID_ENUM_VALUE", "Invalid value: \"DATADOG\".", FailureKind::NotSupported)]
    #[case(On::Write, 400, "INVALID_REGION", "No region US1.", FailureKind::Rejected)]
    #[case(On::Delete, 400, "REGION_NOT_SUPPORTED", "no", FailureKind::Rejected)]
    #[case(On::List, 400, "REGION_NOT_SUPPORTED", "no", FailureKind::Unavailable)]
    #[case(On::Write, 500, "UNEXPECTED_ERROR", "Region DATADOG US3", FailureKind::Unavailable)]
    fn answers_that_people_meet(
        #[case] on: On,
        #[case] status: u16,
        #[case] code: &str,
        #[case] detail: &str,
        #[case] kind: FailureKind,
    ) {
        let failure = answered(&asked(on, IntegrationType::Datadog), status, code, detail, None);
        assert_eq!(failure.kind, kind, "{}", failure.summary());
    }

    /// Who obeys finds the region by Atlas's name for it.
    #[rstest]
    #[case("REGION_NOT_SUPPORTED", "Region US1 is not supported.")]
    #[case("INVALID_REGION", "No region US1.")]
    #[case("INVALID_ENUM_VALUE", "An invalid enumeration value US1 was specified.")]
    fn a_refused_region_is_told_in_atlas_words(#[case] code: &str, #[case] detail: &str) {
        let failure = answered(&asked(On::Write, IntegrationType::Datadog), 400, code, detail, None);
        assert!(failure.advice.integration.contains("US1 is US in Atlas, EU1 is EU"), "{failure:?}");
    }

    /// The time does not change while the operator waits, and it is never too early.
    #[rstest]
    #[case("2026-11-29T14:00:00Z", 600, " until 14:10 UTC")]
    #[case("2026-11-29T14:00:01Z", 600, " until 14:11 UTC")]
    #[case("2026-11-29T14:00:59Z", 61, " until 14:02 UTC")]
    #[case("2026-11-29T23:59:30Z", 3_600, " until 01:00 UTC")]
    #[case("2026-11-29T14:00:00Z", 60, ", at most a minute")]
    #[case("2026-11-29T14:00:00Z", 0, ", at most a minute")]
    fn a_wait_ends_at_a_time_of_day(#[case] now: &str, #[case] seconds: u64, #[case] says: &str) {
        assert_eq!(until(now.parse().expect("a time"), Duration::from_secs(seconds)), says);
    }

    /// "Can't be reached" is said only of a call that did not arrive.
    #[rstest]
    #[case(Silence::Unconnected, "Atlas can't be reached for POST", false)]
    #[case(Silence::Untrusted, "Atlas can't be reached for POST", false)]
    #[case(Silence::Broken, "Atlas gave no answer to POST", true)]
    #[case(Silence::Late, "Atlas gave no answer to POST", true)]
    fn a_call_that_may_have_arrived_is_not_called_unreachable(
        #[case] silence: Silence,
        #[case] begin: &str,
        #[case] in_doubt: bool,
    ) {
        let failure = no_answer("POST", Unanswered { silence, cause: None });
        assert!(failure.what.starts_with(begin), "{}", failure.what);
        assert_eq!(failure.outcome_unknown, in_doubt);
    }
}
