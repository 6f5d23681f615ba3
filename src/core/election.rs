//! Leader election: decides from a Lease, and from when it was seen to change, whether this process leads.
//!
//! The clocks of two machines are never compared. All times here come from the monotonic clock of this process, counted
//! from any fixed moment. A holder counts as gone if its record has not changed for as long as the record itself says.
//! In return, a leader counts its term from the moment when it *asked* for its last renewal, so the term ends before
//! any other process can see it end.

use std::time::Duration;

use crate::domain::LeaseRecord;

/// `leaseDurationSeconds` of a Lease that its holder has released.
pub const RELEASED_SECONDS: i64 = 1;
/// The longest lease duration. It bounds `--leader-election-lease-duration`, and a record with a longer one is not
/// believed.
pub const LONGEST_LEASE: Duration = Duration::from_secs(3600);

/// The times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long other candidates wait for a holder that does not renew the Lease.
    pub lease: Duration,
    /// How long a leader may begin writes, counted from when it asked for its last renewal.
    pub renew_deadline: Duration,
    /// The time between two reads or two renewals of the Lease.
    pub retry_period: Duration,
    /// How long a new leader waits if the former one did not hand over. By then the calls of the former leader have
    /// ended.
    pub takeover_wait: Duration,
}

/// What to do next about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write our own record over the one that was read, or create it. If that succeeds, we lead, but begin nothing
    /// before `takeover_wait` is over.
    Acquire {
        /// The number of transitions to write into the record.
        transitions: i64,
        /// How long to wait, counted from when we asked.
        takeover_wait: Duration,
    },
    /// The Lease is still ours: write the record again, over the one that was read.
    Renew,
    /// The Lease belongs to another holder.
    Wait {
        /// How long it still does, unless its record changes.
        left: Duration,
    },
    /// We led, and must not any more.
    Lost {
        /// The cause, for a person.
        why: String,
    },
}

/// The view of one candidate.
pub struct Election {
    identity: String,
    timing: Timing,
    /// The record that was read last, and when it was first seen like that.
    seen: Option<(LeaseRecord, Duration)>,
    /// How long the last attempt to take the Lease has to wait. The wait stays due even if the answer to the attempt
    /// was lost.
    owed: Duration,
    /// When we asked for the last acquisition or renewal that succeeded.
    led_since: Option<Duration>,
}

impl Election {
    /// A candidate. The identity must be unique: no other process may have it, and neither may this one after a
    /// restart.
    pub fn new(identity: String, timing: Timing) -> Election {
        Election { identity, timing, seen: None, owed: Duration::ZERO, led_since: None }
    }

    /// What to do now that this record was read (`None`: there is no Lease).
    pub fn decide(&mut self, now: Duration, read: Option<&LeaseRecord>) -> Decision {
        if let Some(deadline) = self.deadline() {
            return self.keep(now >= deadline, read);
        }
        if let Some(read) = read
            && self.seen.as_ref().is_none_or(|(seen, _)| seen != read)
        {
            self.seen = Some((read.clone(), now));
        }
        // A deleted Lease tells nothing about its holder, so the record that was seen last still counts.
        let Some((record, since)) = &self.seen else {
            return self.acquire(0, Duration::ZERO);
        };
        let (transitions, left) = (record.transitions, (*since + self.duration(record)).saturating_sub(now));
        if record.holder == self.identity {
            // We acquired it, and the answer was lost.
            return Decision::Acquire { transitions, takeover_wait: self.owed };
        }
        let next = transitions.max(0).saturating_add(1);
        if record.holder.is_empty() {
            // A holder that releases the Lease marks that in the duration. A holder that somebody else removed may not
            // know it yet.
            let handed_over = record.duration_seconds == Some(RELEASED_SECONDS);
            let wait = if handed_over { Duration::ZERO } else { self.timing.takeover_wait };
            return self.acquire(next, wait);
        }
        if left > Duration::ZERO {
            Decision::Wait { left }
        } else {
            self.acquire(next, self.timing.takeover_wait)
        }
    }

    fn acquire(&mut self, transitions: i64, takeover_wait: Duration) -> Decision {
        self.owed = takeover_wait;
        Decision::Acquire { transitions, takeover_wait }
    }

    /// As leader: only an unbroken chain of our own writes proves that nobody led in between.
    fn keep(&self, late: bool, read: Option<&LeaseRecord>) -> Decision {
        let why = match read {
            _ if late => "the Lease was not renewed in time".to_owned(),
            Some(record) if record.holder == self.identity => return Decision::Renew,
            Some(record) if record.holder.is_empty() => {
                "somebody took the Lease away: it has no holder".to_owned()
            }
            Some(record) => format!("the Lease is held by {}", record.shown_holder()),
            None => "the Lease was deleted".to_owned(),
        };
        Decision::Lost { why }
    }

    /// Notes that our record was written, which was asked for at `asked`. Returns whether we lead; we don't if the
    /// write took too long.
    pub fn wrote(&mut self, asked: Duration, now: Duration) -> bool {
        let late = now >= asked + self.timing.renew_deadline || self.deadline().is_some_and(|end| now >= end);
        if !late {
            self.led_since = Some(asked);
        }
        !late
    }

    /// The moment after which a leader begins nothing any more; `None` if we do not lead.
    pub fn deadline(&self) -> Option<Duration> {
        self.led_since.map(|asked| asked + self.timing.renew_deadline)
    }

    /// How long a record is valid. The record itself says it, and its holder relies on that; an impossible duration is
    /// replaced by our own.
    fn duration(&self, record: &LeaseRecord) -> Duration {
        let said =
            record.duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        said.filter(|said| !said.is_zero() && *said <= LONGEST_LEASE).unwrap_or(self.timing.lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const TIMING: Timing = Timing {
        lease: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
        takeover_wait: Duration::from_secs(20),
    };

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn candidate() -> Election {
        Election::new("me".to_owned(), TIMING)
    }

    fn record(holder: &str, renewed: &str) -> LeaseRecord {
        LeaseRecord {
            holder: holder.to_owned(),
            duration_seconds: Some(15),
            acquired: Some("then".to_owned()),
            renewed: Some(renewed.to_owned()),
            transitions: 4,
        }
    }

    fn acquire(transitions: i64, wait: u64) -> Decision {
        Decision::Acquire { transitions, takeover_wait: s(wait) }
    }

    #[test]
    fn a_missing_lease_is_created_without_a_wait() {
        assert_eq!(candidate().decide(s(0), None), acquire(0, 0));
    }

    #[test]
    fn a_holder_is_gone_when_its_record_stands_still() {
        let mut me = candidate();
        assert_eq!(me.decide(s(100), Some(&record("other", "a"))), Decision::Wait { left: s(15) });
        assert_eq!(me.decide(s(114), Some(&record("other", "a"))), Decision::Wait { left: s(1) });
        // Any change is a sign of life. The time in the record does not matter, since it comes from another clock.
        assert_eq!(me.decide(s(114), Some(&record("other", "0001"))), Decision::Wait { left: s(15) });
        assert_eq!(me.decide(s(129), Some(&record("other", "0001"))), acquire(5, 20));
    }

    #[test]
    fn a_lease_that_was_handed_over_is_taken_at_once() {
        let given_up = LeaseRecord { duration_seconds: Some(RELEASED_SECONDS), ..record("", "a") };
        assert_eq!(candidate().decide(s(0), Some(&given_up)), acquire(5, 0));
    }

    #[test]
    fn a_holder_that_somebody_removed_may_still_write() {
        assert_eq!(candidate().decide(s(0), Some(&record("", "a"))), acquire(5, 20));
        assert_eq!(candidate().decide(s(0), Some(&LeaseRecord::default())), acquire(1, 20));
    }

    #[test]
    fn a_deleted_lease_does_not_end_its_holder() {
        let mut me = candidate();
        me.decide(s(0), Some(&record("other", "a")));
        assert_eq!(me.decide(s(5), None), Decision::Wait { left: s(10) });
        assert_eq!(me.decide(s(15), None), acquire(5, 20));
    }

    #[rstest]
    #[case::missing(None, 15)]
    #[case::nothing(Some(0), 15)]
    #[case::negative(Some(-7), 15)]
    #[case::for_ever(Some(i64::MAX), 15)]
    #[case::longer_than_ours(Some(60), 60)]
    #[case::shorter_than_ours(Some(3), 3)]
    fn a_possible_duration_in_a_record_is_believed(#[case] said: Option<i64>, #[case] seconds: u64) {
        let record = LeaseRecord { duration_seconds: said, ..record("other", "a") };
        let mut me = candidate();
        assert_eq!(me.decide(s(0), Some(&record)), Decision::Wait { left: s(seconds) });
        assert_eq!(me.decide(s(seconds), Some(&record)), acquire(5, 20));
    }

    #[rstest]
    #[case(i64::MAX, i64::MAX)]
    #[case(-3, 1)]
    fn transitions_stay_within_their_bounds(#[case] before: i64, #[case] after: i64) {
        let record = LeaseRecord { transitions: before, ..record("", "a") };
        assert_eq!(candidate().decide(s(0), Some(&record)), acquire(after, 20));
    }

    /// The record was written and the answer lost: the Lease is ours, and the wait is still due.
    #[test]
    fn an_acquisition_without_an_answer_is_made_again() {
        let mut me = candidate();
        me.decide(s(0), Some(&record("other", "a")));
        assert_eq!(me.decide(s(15), Some(&record("other", "a"))), acquire(5, 20));
        let mine = LeaseRecord { transitions: 5, ..record("me", "b") };
        assert_eq!(me.decide(s(20), Some(&mine)), acquire(5, 20));
        assert!(me.wrote(s(20), s(21)));
        assert_eq!(me.deadline(), Some(s(30)), "from when it was asked for, not from when it was answered");
    }

    #[test]
    fn an_acquisition_that_took_too_long_is_void() {
        let mut me = candidate();
        assert!(!me.wrote(s(0), s(10)));
        assert_eq!(me.deadline(), None);
    }

    #[test]
    fn a_leader_keeps_the_lease_while_its_chain_is_unbroken() {
        let mut me = candidate();
        assert!(me.wrote(s(0), s(1)));
        assert_eq!(me.decide(s(2), Some(&record("me", "b"))), Decision::Renew);
        assert!(me.wrote(s(2), s(3)));
        assert_eq!(me.deadline(), Some(s(12)));
        assert_eq!(me.decide(s(11), Some(&record("me", "b"))), Decision::Renew);
        // The answer came after the end of the term: too late, even if no other process noticed.
        assert!(!me.wrote(s(11), s(12)));
        assert_eq!(me.deadline(), Some(s(12)));
        let late = me.decide(s(12), Some(&record("me", "b")));
        assert_eq!(late, Decision::Lost { why: "the Lease was not renewed in time".to_owned() });
    }

    #[rstest]
    #[case::taken(Some(record("other", "b")), "the Lease is held by other")]
    #[case::wiped(Some(record("", "b")), "somebody took the Lease away: it has no holder")]
    #[case::deleted(None, "the Lease was deleted")]
    fn a_leader_whose_chain_is_broken_has_lost(#[case] read: Option<LeaseRecord>, #[case] why: &str) {
        let mut me = candidate();
        assert!(me.wrote(s(0), s(0)));
        assert_eq!(me.decide(s(1), read.as_ref()), Decision::Lost { why: why.to_owned() });
    }

    /// Two candidates have clocks that began at different moments. After the last renewal of the old leader, the first
    /// write of the new one must come after the last call of the old one has ended, no matter when the new one looked.
    #[test]
    fn terms_do_not_overlap() {
        for looked in 0..=4 {
            let mut old = candidate();
            assert!(old.wrote(s(0), s(0)));
            let end = old.deadline().expect("it leads");
            let mut new = Election::new("new".to_owned(), TIMING);
            // Its clock shows 1,000 when the old one's shows 0.
            let mut at = s(1_000 + looked);
            let look = |_| match new.decide(at, Some(&record("me", "b"))) {
                Decision::Wait { left } => {
                    at += left.min(TIMING.retry_period);
                    None
                }
                Decision::Acquire { takeover_wait, .. } => Some(takeover_wait),
                other => panic!("{other:?}"),
            };
            let wait = (0..100).find_map(look).expect("a Lease that stands still is taken in the end");
            assert!(at + wait - s(1_000) >= end + TIMING.takeover_wait, "{looked}: {at:?}");
        }
    }
}
