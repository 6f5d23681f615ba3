//! Turns every answer that is not a success, and every fault of the connection, into a [`Failure`]. Its class and its
//! words come from [`super::error_table`].

use std::error::Error;
use std::time::Duration;

use super::error_table::{ANSWERS, Answer, FOREIGN, NO_ANSWERS, NoAnswer, OTHERS, On, Silence};
use crate::domain::{Failure, FailureKind, IntegrationType, plain};

/// The cause of a transport fault is cut at this many characters.
const MAX_CAUSE: usize = 200;

/// Why a call got no answer.
pub(super) enum SendError {
    /// The request could not be sent, or no answer came.
    Http(reqwest::Error),
    /// The challenge could not be answered.
    Challenge,
    /// There is no token to send the call with.
    Token(Failure),
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
            On::NamedType => asked.on == On::Write && asked.kind.is_some_and(|kind| names(detail, kind)),
            on => on == asked.on,
        };
        let code = match self.code.strip_prefix('*') {
            Some(end) => code.ends_with(end),
            None => self.code.is_empty() || self.code == code,
        };
        on && code && (self.status == 0 || self.status == status)
    }
}

/// Whether a text names a type, as a word.
fn names(text: &str, kind: IntegrationType) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == kind.as_str())
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
    let message = match row.kind {
        // We leave out Atlas's own text, which counts seconds down, and the name of the call: either would make every
        // retry a new status.
        FailureKind::RateLimited => {
            format!("Atlas limits the rate of requests ({code}); {}", row.hint)
        }
        _ => {
            let code = if code.is_empty() { "without a code" } else { code };
            let detail = detail.trim_end_matches('.');
            format!("Atlas answered {status} {code} to {name}: {detail}; {}", row.hint)
        }
    };
    // After a 5xx the write may or may not have taken effect.
    Failure { kind: row.kind, message, outcome_unknown: status >= 500, without_call: false, retry_after }
}

/// The failure for an answer that does not come from Atlas but from a proxy or a load balancer, or that we can't parse.
pub(super) fn not_understood(name: &str, status: u16, why: &str) -> Failure {
    let row = FOREIGN.iter().find(|row| (row.from..=row.to).contains(&status));
    let (kind, in_doubt, hint) = match row {
        Some(row) => (row.kind, row.in_doubt, row.hint),
        None => (OTHERS.kind, true, OTHERS.hint),
    };
    Failure {
        kind,
        message: format!("the answer to {name} (HTTP {status}) is not one of Atlas: {why}; {hint}"),
        outcome_unknown: in_doubt,
        without_call: false,
        retry_after: None,
    }
}

/// The failure for a call that ended with this error of reqwest, without an answer.
pub(super) fn no_answer(name: &str, error: &reqwest::Error) -> Failure {
    let silence = if error.is_connect() && is_tls(error) {
        Silence::Untrusted
    } else if error.is_connect() || error.is_builder() {
        Silence::Unconnected
    } else if error.is_timeout() {
        Silence::Late
    } else {
        Silence::Broken
    };
    let cause = (silence != Silence::Late).then(|| root_cause(error));
    silent(name, silence, cause)
}

/// The failure for a call that timed out.
pub(super) fn late(name: &str) -> Failure {
    silent(name, Silence::Late, None)
}

fn silent(name: &str, silence: Silence, cause: Option<String>) -> Failure {
    let row = NO_ANSWERS.iter().find(|row| row.silence == silence);
    let (what, in_doubt, hint) = match row {
        Some(NoAnswer { what, in_doubt, hint, .. }) => (*what, *in_doubt, *hint),
        None => ("no answer", true, OTHERS.hint),
    };
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure {
        outcome_unknown: in_doubt,
        ..Failure::known(
            FailureKind::Unavailable,
            format!("Atlas can't be reached for {name}: {what}{cause}; {hint}"),
        )
    }
}

/// Whether a connection failed within TLS. The error that an I/O error wraps is not among its sources, so it is
/// unwrapped here.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
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

/// The innermost error, which tells a person more than the chain above it. Of the request it can only contain the
/// address.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
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
        assert_eq!(failure.kind, kind, "{}", failure.message);
    }

    /// No row is hidden by an earlier one.
    #[test]
    fn every_row_decides_something() {
        for (place, row) in ANSWERS.iter().enumerate() {
            let status = if row.status == 0 { 499 } else { row.status };
            let code = row.code.trim_start_matches('*');
            let (code, kind) = (if code.is_empty() { "NEVER_SEEN" } else { code }, IntegrationType::Slack);
            let detail = if row.on == On::NamedType { "SLACK" } else { "" };
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
}
