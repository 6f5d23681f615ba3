//! What Atlas told one credential of the rate limits of one project. Tenants may name each other's projects, so what
//! Atlas answers to one credential never slows down the calls under another one; if the limit concerns both, Atlas tells
//! both.

use std::time::Duration;

use tokio::time::Instant;

use crate::atlas::Budget;
use crate::core::pacing;
use crate::domain::{Failure, FailureKind};
use crate::engine::jitter::random;

/// The pauses of a credential in a project.
#[derive(Default)]
pub(in crate::engine) struct Limits {
    /// While the pause lasts, the operator makes no call to Atlas for the project with this credential.
    pause: Option<Box<Pause>>,
    /// How often Atlas asked us to back off since the last pass that ended without a pause.
    limited: u32,
    /// How many pauses in a row began because the project's bucket was nearly used up, while owed work waited.
    reserve_pauses: u32,
    /// Whether the next write of this turn may use the part of the project's bucket that is left to people.
    may_use_reserve: bool,
    /// Whether a pause has begun in this turn because the bucket was nearly used up.
    left_reserve: bool,
}

/// A time in which the operator makes no calls for a project with a credential.
#[derive(Clone)]
pub(in crate::engine) struct Pause {
    pub until: Instant,
    /// The failure that waiting objects report. Objects of several namespaces may share a credential, so it has none of
    /// what Atlas said to the call of one of them.
    pub failure: Failure,
}

impl Limits {
    /// A turn begins.
    pub fn turn_begins(&mut self) {
        self.may_use_reserve = pacing::may_use_reserve(self.reserve_pauses);
        self.left_reserve = false;
    }

    /// Returns the pause, if it is not over at `now`.
    pub fn current_pause(&mut self, now: Instant) -> Option<&Pause> {
        self.pause = self.pause.take().filter(|pause| pause.until > now);
        self.pause.as_deref()
    }

    fn begin_pause(&mut self, wait: Duration, failure: Failure) {
        self.pause = Some(Box::new(Pause { until: Instant::now() + wait, failure }));
    }

    /// Begins a pause if Atlas asked us to back off: by a 429, or by any answer with `Retry-After`. Returns the length
    /// of the pause. A failure to get a token (`without_call`) begins no pause: it tells nothing about the project.
    pub fn pause_if_asked(&mut self, failure: &Failure) -> Option<Duration> {
        if failure.without_call {
            return None;
        }
        let wait = match (failure.retry_after, failure.kind) {
            (Some(wait), _) => wait,
            // Atlas did not say how long to wait. The pause takes some seconds at first, and more each time it happens
            // again.
            (None, FailureKind::RateLimited) => pacing::backoff(self.limited.saturating_add(4), random()),
            (None, _) => return None,
        };
        self.limited = self.limited.saturating_add(1);
        self.begin_pause(wait, as_others_report(failure));
        Some(wait)
    }

    /// Begins a pause if little is left of the project's token bucket, which `budget` tells. Begins none before the turn's
    /// first write to Atlas if owed work has waited for too many such pauses already. Returns the length of the pause.
    pub fn pause_if_low(&mut self, budget: Budget, now: Instant) -> Option<Duration> {
        if self.may_use_reserve || self.current_pause(now).is_some() {
            return None;
        }
        let wait = pacing::reserve_wait(budget.limit, budget.remaining)?;
        self.begin_pause(wait, Failure::known(FailureKind::RateLimited, NEARLY_USED_UP));
        self.left_reserve = true;
        Some(wait)
    }

    /// Notes that a write was sent to Atlas. If little is left of the project's bucket, the other writes wait again.
    pub fn wrote(&mut self) {
        self.may_use_reserve = false;
    }

    /// Notes that a pass has ended without a pause.
    pub fn passed(&mut self) {
        self.limited = 0;
        self.reserve_pauses = 0;
    }

    /// Notes that a pass has ended in a pause, and whether owed work waits for its end.
    pub fn passed_in_pause(&mut self, owed_waits: bool) {
        if self.left_reserve {
            self.reserve_pauses = if owed_waits { self.reserve_pauses.saturating_add(1) } else { 0 };
        }
    }

    /// Whether there is nothing to remember after the turn.
    pub fn is_blank(&self) -> bool {
        self.pause.is_none() && self.limited == 0 && self.reserve_pauses == 0
    }
}

/// What the objects report that wait for the end of a pause when the bucket is nearly used up.
pub(super) const NEARLY_USED_UP: &str =
    "the project's rate of requests is nearly used up, and the rest is left to people";

/// A failure that asked for a pause, as all objects report it that wait for the end of the pause. The words of an answer
/// about one object's settings are for nobody else.
fn as_others_report(failure: &Failure) -> Failure {
    let what = match failure.kind {
        FailureKind::RateLimited => failure.what.clone(),
        _ => "Atlas asked for a pause in the calls for this project".to_owned(),
    };
    Failure { what, detail: String::new(), outcome_unknown: false, ..failure.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn unavailable() -> Failure {
        Failure::known(FailureKind::Unavailable, "Atlas is down")
    }

    fn limited() -> Failure {
        Failure::known(FailureKind::RateLimited, "429")
    }

    /// An answer that leaves little of the project's token bucket.
    const NEARLY_EMPTY: Budget = Budget { limit: 1_200, remaining: 1 };

    #[tokio::test(start_paused = true)]
    async fn a_pause_lasts_until_its_time_has_come() {
        let start = Instant::now();
        let mut limits = Limits::default();
        assert!(limits.current_pause(start).is_none() && limits.is_blank());
        limits.begin_pause(10 * SECOND, unavailable());
        for at in [start, start + 9 * SECOND] {
            let pause = limits.current_pause(at).expect("a pause");
            assert_eq!((pause.until, &pause.failure), (start + 10 * SECOND, &unavailable()));
            assert!(!limits.is_blank());
        }
        assert!(limits.current_pause(start + 10 * SECOND).is_none());
        assert!(limits.current_pause(start).is_none(), "a pause that was over once does not come back");
        assert!(limits.is_blank());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_as_long_as_atlas_asks_for() {
        for failure in [limited(), unavailable()] {
            let failure = Failure { retry_after: Some(7 * SECOND), ..failure };
            let mut limits = Limits::default();
            assert_eq!(limits.pause_if_asked(&failure), Some(7 * SECOND));
            let pause = limits.current_pause(Instant::now()).expect("a pause");
            assert_eq!((pause.until, pause.failure.kind), (Instant::now() + 7 * SECOND, failure.kind));
        }
    }

    /// Objects of other namespaces may wait for the end of the same pause.
    #[tokio::test(start_paused = true)]
    async fn a_pause_tells_nothing_of_the_answer_that_asked_for_it() {
        let failure = Failure {
            detail: "channel #payments-secret-incident is locked".to_owned(),
            retry_after: Some(SECOND),
            outcome_unknown: true,
            ..Failure::known(FailureKind::Unavailable, "Atlas answered 503 to PUT DATADOG")
        };
        let mut limits = Limits::default();
        limits.pause_if_asked(&failure);
        let told = limits.current_pause(Instant::now()).expect("a pause").failure.clone();
        assert_eq!(told.summary(), "Atlas asked for a pause in the calls for this project");
        assert_eq!(told.retry_after, Some(SECOND));
        assert!(!told.outcome_unknown, "nobody else's write is in doubt");
    }

    /// Chance takes up to half of each wait away.
    #[tokio::test(start_paused = true)]
    async fn pauses_whose_length_atlas_does_not_say_double() {
        let mut limits = Limits::default();
        for longest in [8, 16, 32] {
            let wait = limits.pause_if_asked(&limited()).expect("a pause");
            assert!((longest * SECOND / 2..=longest * SECOND).contains(&wait), "{longest}: {wait:?}");
            assert!(limits.current_pause(Instant::now() + wait).is_none());
            assert!(!limits.is_blank(), "the count is remembered for the length of the next pause");
        }
        limits.passed();
        assert!(limits.is_blank());
        let wait = limits.pause_if_asked(&limited()).expect("a pause");
        assert!(wait <= 8 * SECOND, "after a pass without a pause the waits are short again: {wait:?}");
    }

    #[test]
    fn a_failure_begins_a_pause_only_if_atlas_asks_for_it() {
        let mut limits = Limits::default();
        assert_eq!(limits.pause_if_asked(&unavailable()), None);
        // The service that hands out tokens limits one account, and tells nothing of the project.
        let no_token = Failure { without_call: true, retry_after: Some(SECOND), ..limited() };
        assert_eq!(limits.pause_if_asked(&no_token), None);
        assert!(limits.is_blank());
    }

    #[tokio::test(start_paused = true)]
    async fn a_credential_rests_once_the_bucket_is_nearly_used_up() {
        let mut limits = Limits::default();
        let half = Budget { limit: 1_200, remaining: 600 };
        assert_eq!(limits.pause_if_low(half, Instant::now()), None, "enough is left");
        assert_eq!(limits.pause_if_low(NEARLY_EMPTY, Instant::now()), Some(15 * SECOND));
        tokio::time::advance(14 * SECOND).await;
        let pause = limits.current_pause(Instant::now()).expect("a pause");
        assert_eq!(pause.failure.kind, FailureKind::RateLimited);
        assert_eq!(limits.pause_if_low(NEARLY_EMPTY, Instant::now()), None, "the pause lasts");
        tokio::time::advance(SECOND).await;
        assert!(limits.current_pause(Instant::now()).is_none());
    }

    /// Somebody else keeps the bucket nearly empty.
    #[tokio::test(start_paused = true)]
    async fn one_write_may_use_the_part_for_people_once_it_has_waited_for_pause_after_pause() {
        let mut limits = Limits::default();
        let pause = |limits: &mut Limits, owed_waits| {
            limits.turn_begins();
            let pause = limits.pause_if_low(NEARLY_EMPTY, Instant::now());
            limits.passed_in_pause(owed_waits);
            pause.is_some()
        };
        for _ in 0..3 {
            assert!(pause(&mut limits, true));
            tokio::time::advance(15 * SECOND).await;
        }
        limits.turn_begins();
        assert_eq!(limits.pause_if_low(NEARLY_EMPTY, Instant::now()), None, "the owed write goes out");
        limits.wrote();
        assert!(limits.pause_if_low(NEARLY_EMPTY, Instant::now()).is_some(), "one write in a pause");
        tokio::time::advance(15 * SECOND).await;
        limits.passed();
        assert!(pause(&mut limits, true), "a pass ended without a pause: the count begins again");
        tokio::time::advance(15 * SECOND).await;
        assert!(pause(&mut limits, false) && limits.reserve_pauses == 0, "nothing waits any more");
    }
}
