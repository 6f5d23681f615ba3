//! Decides what a watch does after each answer of the API server: what it asks for next, and after which wait.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait after a failure. Each further failure doubles the wait.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest time between two lists if no watch works after them. A watch that is refused all the time is replaced by
/// a list as often.
const LONGEST_DISTANCE: Duration = Duration::from_secs(600);
/// Nobody stops, restores and starts an API server in less. A watch that was interrupted for longer begins with a list.
const UNSEEN: Duration = Duration::from_secs(5);
/// A watch that has run for this long works, even if it has brought nothing.
const CALM: Duration = Duration::from_secs(120);

/// What was asked for when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A page of a list.
    List,
    /// A watch, which was refused or broke off.
    Watch,
}

/// How it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The API server answered with an error status.
    Refused,
    /// The same, because the operator is not allowed to list or to watch.
    Forbidden,
    /// The resourceVersion of the watch, or the token of the page, is too old (410).
    TooOld,
    /// No answer, or none that can be understood. While an API server can't be reached, somebody may restore it from a
    /// backup.
    Unreachable,
}

/// What to ask for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same again: the page of this token, or the watch from this resourceVersion.
    Again,
    /// A list, from its first page.
    List,
}

/// What is remembered for these decisions.
#[derive(Debug)]
pub(super) struct Retry {
    /// Failures since a watch last worked.
    failures: u32,
    /// Lists since a watch last worked.
    lists: u32,
    /// When the last list was complete, or had to be given up because it took too long.
    listed: Option<Instant>,
    /// Until when the API server certainly had not gone back in time.
    served: Instant,
    /// When the API server accepted the watch that runs now.
    accepted: Option<Instant>,
    /// Whether that watch has brought nothing yet.
    silent: bool,
    /// Whether a watch was forbidden since the last list. Others have been told that nothing is watched, and only a list
    /// takes that back.
    forbidden: bool,
}

impl Retry {
    /// For a watch that begins now, with a list.
    pub fn new(now: Instant) -> Retry {
        Retry {
            failures: 0,
            lists: 0,
            listed: None,
            served: now,
            accepted: None,
            silent: true,
            forbidden: false,
        }
    }

    /// A list is complete. That alone does not show that the watch works: an API server that refuses a watch must not be
    /// asked for lists all the time.
    pub fn listed(&mut self, now: Instant) {
        self.lists = self.lists.saturating_add(1);
        self.listed = Some(now);
        self.served = now;
        self.forbidden = false;
    }

    /// The API server has accepted a watch. Returns `None` if it is to be followed, and otherwise the wait before a list
    /// that must come first: the interruption was long enough for a restore of which nothing else would tell.
    pub fn accepted(&mut self, now: Instant) -> Option<Duration> {
        let unseen = self.failures > 0 && now.saturating_duration_since(self.served) > UNSEEN;
        if unseen || self.forbidden {
            return Some(self.until_list(now));
        }
        (self.accepted, self.silent) = (Some(now), true);
        None
    }

    /// The watch has brought an event or a bookmark: it works.
    pub fn brought(&mut self, now: Instant) {
        (self.failures, self.lists, self.served, self.silent) = (0, 0, now, false);
    }

    /// The API server has ended the watch in good order, which is usual after some minutes. Returns the wait before the
    /// next one, which begins where this one ended. `random` is from 0 to 1.
    pub fn ended(&mut self, now: Instant, random: f64) -> Duration {
        self.calm(now);
        self.served = now;
        self.accepted = None;
        if self.silent { self.fails(random) } else { Duration::ZERO }
    }

    /// It failed. Returns what to ask for next, and the wait before. `random` is from 0 to 1.
    pub fn failed(&mut self, now: Instant, asked: Asked, fault: Fault, random: f64) -> (Next, Duration) {
        self.calm(now);
        self.accepted = None;
        let wait = self.fails(random);
        match (fault, asked) {
            (Fault::Refused | Fault::Forbidden, Asked::List) => (Next::Again, wait),
            (Fault::Refused | Fault::Forbidden, Asked::Watch) => {
                self.forbidden |= fault == Fault::Forbidden;
                let long_ago = now + wait >= self.served + LONGEST_DISTANCE;
                (if long_ago { Next::List } else { Next::Again }, wait)
            }
            (Fault::TooOld, Asked::List) => {
                // It takes so long that its token does not last, and has cost as much as a complete one.
                self.lists = self.lists.saturating_add(1);
                self.listed = Some(now);
                (Next::List, wait.max(self.until_list(now)))
            }
            (Fault::TooOld, Asked::Watch) | (Fault::Unreachable, _) => {
                (Next::List, wait.max(self.until_list(now)))
            }
        }
    }

    /// If the watch that runs has run for long enough, earlier failures do not count any more.
    fn calm(&mut self, now: Instant) {
        if self.accepted.is_some_and(|accepted| now.saturating_duration_since(accepted) >= CALM) {
            (self.failures, self.lists) = (0, 0);
        }
    }

    /// Counts a failure. Returns the wait after it.
    fn fails(&mut self, random: f64) -> Duration {
        let doubled = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(1.0 + random / 2.0).min(LONGEST_WAIT)
    }

    /// How long the next list has to wait: the more lists came after which no watch worked, the longer.
    fn until_list(&self, now: Instant) -> Duration {
        let Some(before) = self.lists.checked_sub(1) else { return Duration::ZERO };
        let distance = FIRST_WAIT.saturating_mul(4_u32.saturating_pow(before)).min(LONGEST_DISTANCE);
        self.listed.map_or(Duration::ZERO, |listed| (listed + distance).saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// What happens to a watch, and what it must do then.
    enum Step {
        /// So many seconds pass.
        Pass(u64),
        Listed,
        /// Accepted, and followed or replaced by a list after so many seconds.
        Accepted(Option<u64>),
        Brought,
        /// Ended in good order; the next one comes after so many seconds.
        Ended(u64),
        Failed(Asked, Fault, (Next, u64)),
    }
    use Asked::{List, Watch};
    use Fault::{Forbidden, Refused, TooOld, Unreachable};
    use Step::{Accepted, Brought, Ended, Failed, Listed, Pass};

    fn refused(wait: u64) -> Step {
        Failed(Watch, Refused, (Next::Again, wait))
    }

    #[rstest]
    #[case::refused_watches_are_tried_again_later_and_later(&[Listed, refused(1), refused(2), refused(4), refused(8),
        refused(16), refused(30), refused(30)])]
    #[case::only_a_watch_that_works_begins_anew(&[Listed, refused(1), refused(2), Listed, Accepted(None), refused(4),
        Accepted(None), Brought, refused(1)])]
    #[case::a_watch_that_has_run_for_long_works(&[Listed, refused(1), refused(2), Accepted(None), Pass(120), refused(1)])]
    #[case::a_short_interruption_costs_no_list(&[Listed, Accepted(None), Brought, Pass(600), Brought, refused(1), Pass(1),
        refused(2), Pass(2), Accepted(None)])]
    #[case::after_a_long_one_nobody_knows_what_was_restored(&[Listed, Accepted(None), Brought, refused(1), Pass(1), refused(2),
        Pass(2), refused(4), Pass(4), Accepted(Some(0)), Listed, Accepted(None)])]
    #[case::a_forbidden_watch_begins_with_a_list(&[Listed, Failed(Watch, Forbidden, (Next::Again, 1)), Pass(1), Accepted(Some(0)),
        Listed, Accepted(None)])]
    #[case::a_watch_that_is_refused_for_ever_is_replaced_by_lists(&[Listed, refused(1), Pass(595), Failed(Watch, Refused,
        (Next::Again, 2)), Pass(2), Failed(Watch, Forbidden, (Next::List, 4)), Pass(4), Listed, refused(8)])]
    #[case::versions_that_are_too_old_cost_a_list_each(&[Listed, Failed(Watch, TooOld, (Next::List, 1)), Pass(1), Listed,
        Failed(Watch, TooOld, (Next::List, 4)), Pass(4), Listed, Failed(Watch, TooOld, (Next::List, 16)), Pass(16), Listed,
        Failed(Watch, TooOld, (Next::List, 64)), Pass(64), Listed, Failed(Watch, TooOld, (Next::List, 256)), Pass(256), Listed,
        Failed(Watch, TooOld, (Next::List, 600))])]
    #[case::a_version_that_grew_too_old_is_replaced_at_once(&[Listed, Accepted(None), Brought, Pass(900),
        Failed(Watch, TooOld, (Next::List, 1))])]
    #[case::an_api_server_that_was_away_may_have_been_restored(&[Listed, Accepted(None), Brought,
        Failed(Watch, Unreachable, (Next::List, 1)), Failed(List, Unreachable, (Next::List, 2)),
        Failed(List, Unreachable, (Next::List, 4))])]
    #[case::a_refused_page_is_asked_for_again(&[Failed(List, Refused, (Next::Again, 1)), Failed(List, Forbidden, (Next::Again, 2)),
        Failed(List, Refused, (Next::Again, 4)), Listed, Accepted(None)])]
    #[case::a_list_whose_token_does_not_last_begins_again(&[Failed(List, TooOld, (Next::List, 1)), Pass(1),
        Failed(List, TooOld, (Next::List, 4)), Pass(4), Failed(List, TooOld, (Next::List, 16))])]
    #[case::a_watch_ends_after_some_minutes(&[Listed, Accepted(None), Brought, Pass(290), Ended(0), Accepted(None), Ended(1)])]
    #[case::a_watch_that_ends_at_once_is_no_hot_loop(&[Listed, Accepted(None), Ended(1), Pass(1), Accepted(None), Ended(2), Pass(2),
        Accepted(None), Ended(4)])]
    #[case::lists_that_no_watch_follows_keep_their_distance(&[Listed, Failed(Watch, TooOld, (Next::List, 1)), Listed,
        Failed(Watch, TooOld, (Next::List, 4)), Pass(4), Listed, Failed(Watch, Forbidden, (Next::Again, 4)), Pass(4),
        Accepted(Some(12))])]
    fn what_comes_next(#[case] steps: &[Step]) {
        let mut now = Instant::now();
        let mut retry = Retry::new(now);
        let seconds = Duration::from_secs;
        for (at, step) in steps.iter().enumerate() {
            match step {
                Pass(time) => now += seconds(*time),
                Listed => retry.listed(now),
                Accepted(list) => assert_eq!(retry.accepted(now), list.map(seconds), "step {at}"),
                Brought => retry.brought(now),
                Ended(wait) => assert_eq!(retry.ended(now, 0.0), seconds(*wait), "step {at}"),
                Failed(asked, fault, (next, wait)) => {
                    let expected = (*next, seconds(*wait));
                    assert_eq!(retry.failed(now, *asked, *fault, 0.0), expected, "step {at}");
                }
            }
        }
    }

    #[test]
    fn chance_makes_waits_longer_and_never_too_long() {
        let now = Instant::now();
        let mut retry = Retry::new(now);
        let waits = [1_500, 3_000, 6_000, 12_000, 24_000, 30_000, 30_000];
        for wait in waits.map(Duration::from_millis) {
            assert_eq!(retry.failed(now, List, Refused, 1.0), (Next::Again, wait));
        }
    }
}
