//! What this process remembers of an object, in addition to what the cluster stores. A restart loses all of it, and so
//! does a spec that can't be read for a while. The operator then only reads once more and, if it must, writes once
//! more.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::SecretIdentity;
use crate::core::conditions::Verdict;
use crate::core::plan::Owner;
use crate::domain::{Applied, Attempt, Carried, Failure, Prospect, Reason, Redacted, SecretsSince};

/// If no repair was made for this long, the next repairs are made without a wait again.
const REPAIRS_FORGOTTEN: Duration = Duration::from_secs(24 * 3600);
/// The API server keeps an Event for an hour, unless its flag `--event-ttl` says otherwise.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);

/// All that the result of a write depends on. As long as it stays the same, the operator repeats a failed write only
/// after a wait, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Signature {
    pub config: String,
    /// Digest of the states of the Secrets that were read.
    pub secrets: [u8; 16],
    pub requests: (Option<String>, Option<String>),
    /// Whether LIST showed an integration in the place. An integration that could not be created may still be adopted.
    pub entry: bool,
    /// The Secret with the credentials. Atlas may allow another key to do what this key may not.
    pub credentials: Option<SecretIdentity>,
}

/// A write that failed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Refused {
    /// The generation of the object that the write was for.
    pub generation: i64,
    pub signature: Signature,
    /// When the operator may send the same write again; `None` if it never may.
    pub retry_at: Option<Instant>,
    pub verdict: Verdict,
}

/// What a verdict depends on besides the object itself. If both are the same again, the verdict is too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Grounds {
    /// A plan that needs no call to Atlas: the object that owns the place, if that is another one, and a digest of the
    /// integration in the place, if there is one.
    Place { owner: Option<Owner>, entry: Option<[u8; 16]> },
    /// A suspended object whose settings Atlas has confirmed: how its Secrets stand to those that were applied, of which
    /// this is a digest.
    Suspended { applied: [u8; 16], since: SecretsSince },
    /// Nothing else: the spec can't be read, or the object is suspended and its settings were not confirmed.
    Object,
}

/// A write that Atlas confirmed, with what the status is to say of it.
#[derive(Clone, PartialEq)]
pub(in crate::engine) struct Confirmed {
    pub attempt: Attempt,
    pub applied: Applied,
    pub verdict: Verdict,
    /// The integration as the answer shows it.
    pub entry: Redacted,
    /// The generation of the object, and its requests by annotation, that the write was for.
    pub generation: i64,
    pub requests: (Option<String>, Option<String>),
    /// Whether the fence was the claim.
    pub claiming: bool,
    pub carried: Carried,
    /// Whether the write was a repair.
    pub repair: bool,
}

/// A verdict that was stored.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Said {
    /// The resourceVersion that the object then had.
    pub version: u64,
    pub verdict: Verdict,
    /// `None` if the verdict depends on more, such as the answer to a call.
    pub grounds: Option<Grounds>,
}

/// What is remembered of one object. If there is nothing to remember, the object has no memory.
#[derive(Default, PartialEq)]
pub(in crate::engine) struct Memory {
    /// The time of the fence of the last write whose outcome this process knows.
    pub outcome_known: Option<Timestamp>,
    /// The time in the fence of the last begun write that Atlas has not confirmed, and when this process first saw that
    /// fence.
    pub unconfirmed: Option<(Timestamp, Instant)>,
    /// The id of the attempt whose DELETE Atlas confirmed. If an integration is in the place now, it belongs to
    /// somebody else.
    pub deleted: Option<String>,
    /// The last write that Atlas confirmed, if the API server refused the status that says so.
    pub unstored: Option<Box<Confirmed>>,
    /// The last write that failed.
    pub refused: Option<Box<Refused>>,
    /// How many failures there were in a row.
    pub failures: u32,
    /// The present reason for Ready, and the time since which it has not changed.
    pub since: Option<(Reason, Instant)>,
    /// The verdict that was stored last; `None` if it was good and the object is not suspended.
    pub said: Option<Box<Said>>,
    /// The refusal of the API server that the last Event was about, and when the Event was published.
    pub told: Option<Box<(String, Instant)>>,
    /// How many repairs of drift were made, with less than a day between each two, and the time of the last one.
    pub repairs: u32,
    pub last_repair: Option<Instant>,
    /// Since when the object has waited for the end of a pause of the project, while it needs a call to Atlas.
    pub waiting_since: Option<Instant>,
    /// Since when the operator could not read Atlas for the object.
    pub unread_since: Option<Instant>,
}

impl Memory {
    /// Notes that nothing has to be done for the object.
    pub fn rests(&mut self) {
        self.unread_since = None;
        self.failures = 0;
        self.waiting_since = None;
    }

    /// Notes that a step of the object ended without a failure of the API server. Failures count as ended too, unless a
    /// write that failed is still to be repeated.
    pub fn stepped(&mut self) {
        self.told = None;
        if self.refused.as_ref().is_none_or(|refused| refused.retry_at.is_none()) {
            self.failures = 0;
        }
    }

    /// Notes that Atlas confirmed a write, and forgets what was remembered. The count of repairs is kept only if the
    /// write was a repair. After an edit, a rotation or a request, the next repairs are made without a wait again.
    pub fn confirmed(&mut self, repair: bool) {
        let before = std::mem::take(self);
        if repair {
            (self.repairs, self.last_repair) = (before.repairs, before.last_repair);
        }
    }

    /// Notes that the claim was given up, and forgets everything that belonged to it. A write that Atlas refused stays
    /// refused.
    pub fn released(&mut self) {
        *self = Memory { refused: self.refused.take(), failures: self.failures, ..Memory::default() };
    }

    /// Notes that the object has this `fence` of a write that Atlas has not confirmed (`None` if it has none). Returns
    /// when this process first saw the fence. The time in the fence only identifies it, since the clock that wrote it
    /// may have been wrong.
    pub fn sees(&mut self, fence: Option<Timestamp>, now: Instant) -> Option<Instant> {
        let known = self.unconfirmed.filter(|(time, _)| fence == Some(*time));
        self.unconfirmed = known.or_else(|| Some((fence?, now)));
        self.unconfirmed.map(|(_, seen_at)| seen_at)
    }

    /// Notes that `reason` is the present one. Returns how long it has been the present one; for a good reason always
    /// zero. Failures that the operator retries count as one reason, since they alternate.
    pub fn lasting(&mut self, reason: Reason, now: Instant) -> Duration {
        if reason.prospect() == Prospect::Good {
            self.since = None;
            return Duration::ZERO;
        }
        let fails = |reason: Reason| reason.prospect() == Prospect::Passing;
        match self.since {
            Some((before, since)) if before == reason || fails(before) && fails(reason) => {
                now.duration_since(since)
            }
            _ => {
                self.since = Some((reason, now));
                Duration::ZERO
            }
        }
    }

    /// Whether an Event has to tell that the API server refuses a write for this `cause`: it was not told yet, or so
    /// long ago that the Event is gone.
    pub fn must_tell(&mut self, cause: &str, now: Instant) -> bool {
        let told = self
            .told
            .as_deref()
            .is_some_and(|(known, at)| known == cause && now.duration_since(*at) < TOLD_AGAIN);
        if !told {
            self.told = Some(Box::new((cause.to_owned(), now)));
        }
        !told
    }

    /// Counts one more failure. Returns how many there were in a row.
    pub fn fails(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Returns the failure of this very write, if the operator must not send it again yet, or must never send it again.
    /// Forgets the failure of any other write.
    pub fn held_back(&mut self, signature: &Signature, now: Instant) -> Option<&Refused> {
        let refused = self.refused.as_deref()?;
        let mut same = refused.signature.clone();
        if refused.retry_at.is_none() {
            // Atlas refused the content of the write. It would refuse that content from any key, and whether the place
            // is empty or not, so a change of these two does not make a difference.
            same.credentials.clone_from(&signature.credentials);
            same.entry = signature.entry;
        }
        if same != *signature {
            self.refused = None;
            self.failures = 0;
            return None;
        }
        self.refused.as_deref().filter(|refused| refused.retry_at.is_none_or(|at| at > now))
    }

    /// Remembers a failed write. The operator does not send the same write again before `wait` is over, and never if
    /// `wait` is `None`. Returns when it may send the write again.
    pub fn hold_back(
        &mut self,
        generation: i64,
        signature: Signature,
        wait: Option<Duration>,
        verdict: Verdict,
    ) -> Option<Instant> {
        let retry_at = wait.map(|wait| Instant::now() + wait);
        self.refused = Some(Box::new(Refused { generation, signature, retry_at, verdict }));
        retry_at
    }

    /// Begins a repair of drift, if it does not have to wait. Otherwise returns when it may begin. `wait` maps the
    /// number of earlier repairs to the least time between the last repair and this one.
    pub fn repair(&mut self, now: Instant, wait: impl Fn(u32) -> Duration) -> Result<(), Instant> {
        let quiet_for = self.last_repair.map_or(REPAIRS_FORGOTTEN, |last| now.duration_since(last));
        if quiet_for >= REPAIRS_FORGOTTEN {
            self.repairs = 0;
        }
        let wait = wait(self.repairs);
        if quiet_for < wait {
            return Err(now + (wait - quiet_for));
        }
        self.repairs = self.repairs.saturating_add(1);
        self.last_repair = Some(now);
        Ok(())
    }

    /// Notes that the outcome of a failed call is known, unless the failure leaves it open. `begun` is the time of the
    /// call's fence.
    pub fn call_failed(&mut self, begun: Timestamp, failure: &Failure) {
        if !failure.outcome_unknown {
            self.outcome_known = Some(begun);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FailureKind;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn signature() -> Signature {
        Signature {
            config: "config".into(),
            secrets: [1; 16],
            requests: (None, None),
            entry: false,
            credentials: Some(SecretIdentity { uid: "s".into(), resource_version: "1".into() }),
        }
    }

    /// What changes if the object, one of its Secrets or a request does.
    fn other_writes() -> [Signature; 3] {
        [
            Signature { config: "another".into(), ..signature() },
            Signature { secrets: [2; 16], ..signature() },
            Signature { requests: (None, Some("now".into())), ..signature() },
        ]
    }

    /// The same write, to another entry or with another key.
    fn other_circumstances() -> [Signature; 2] {
        [Signature { entry: true, ..signature() }, Signature { credentials: None, ..signature() }]
    }

    fn verdict() -> Verdict {
        Verdict::new(Reason::Forbidden, "no")
    }

    /// A memory in which nothing is blank.
    fn full() -> Memory {
        let now = Instant::now();
        let mut memory = Memory {
            outcome_known: Some(Timestamp::UNIX_EPOCH),
            unconfirmed: Some((Timestamp::UNIX_EPOCH, now)),
            deleted: Some("uid.1".into()),
            unstored: None,
            refused: None,
            failures: 2,
            since: Some((Reason::Forbidden, now)),
            said: Some(Box::new(Said { version: 1, verdict: verdict(), grounds: None })),
            told: Some(Box::new(("no".into(), now))),
            repairs: 3,
            last_repair: Some(now),
            waiting_since: Some(now),
            unread_since: Some(now),
        };
        memory.hold_back(1, signature(), None, verdict());
        memory
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_is_sent_again_once_its_time_has_come() {
        let start = Instant::now();
        let mut memory = Memory::default();
        assert!(memory.held_back(&signature(), start).is_none(), "nothing failed");
        memory.fails();
        assert_eq!(memory.hold_back(4, signature(), Some(MINUTE), verdict()), Some(start + MINUTE));
        let early = start + MINUTE - Duration::from_millis(1);
        for at in [start, early] {
            let refused = memory.held_back(&signature(), at).expect("the failure");
            assert_eq!((refused.generation, &refused.verdict), (4, &verdict()));
        }
        assert!(memory.held_back(&signature(), start + MINUTE).is_none());
        assert_eq!(memory.failures, 1, "if it fails again, the next wait is longer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_atlas_refuses_as_such_is_not_sent_again() {
        let mut memory = Memory::default();
        assert_eq!(memory.hold_back(1, signature(), None, verdict()), None);
        let later = Instant::now() + YEAR;
        assert!(memory.held_back(&signature(), later).is_some());
        for same in other_circumstances() {
            assert!(memory.held_back(&same, later).is_some(), "no key and no entry changes that: {same:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_failed_for_a_while_may_succeed_with_another_key_or_entry() {
        for other in other_circumstances() {
            let mut memory = Memory::default();
            memory.hold_back(1, signature(), Some(MINUTE), verdict());
            assert!(memory.held_back(&other, Instant::now()).is_none(), "{other:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_failures_of_another_write_are_forgotten() {
        for wait in [None, Some(MINUTE)] {
            for other in other_writes() {
                let mut memory = Memory::default();
                memory.fails();
                memory.hold_back(1, signature(), wait, verdict());
                assert!(memory.held_back(&other, Instant::now()).is_none(), "{other:?}");
                assert!(memory == Memory::default(), "{other:?}");
            }
        }
    }

    #[test]
    fn failures_are_counted() {
        let mut memory = Memory::default();
        assert_eq!([memory.fails(), memory.fails(), memory.fails()], [1, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_rests_neither_fails_nor_waits() {
        let mut memory = full();
        memory.rests();
        let expected = Memory { failures: 0, waiting_since: None, unread_since: None, ..full() };
        assert!(memory == expected, "what else is remembered stays");
    }

    /// An object that is never quiet, such as one that lost a conflict, must not keep the long waits of a failure of the
    /// API server that is over.
    #[tokio::test(start_paused = true)]
    async fn a_step_that_went_well_ends_a_row_of_failures() {
        let mut memory =
            Memory { failures: 7, told: Some(Box::new(("no".into(), Instant::now()))), ..Memory::default() };
        memory.stepped();
        assert!(memory == Memory::default());
        memory.failures = 7;
        memory.hold_back(1, signature(), None, verdict());
        memory.stepped();
        assert_eq!(memory.failures, 0, "Atlas refused a write for good");
        memory.failures = 7;
        memory.hold_back(1, signature(), Some(MINUTE), verdict());
        memory.stepped();
        assert_eq!(memory.failures, 7, "the write is repeated, and may fail again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirmed_write_ends_everything_but_the_count_of_repairs() {
        let mut memory = full();
        memory.confirmed(true);
        let Memory { repairs, last_repair, .. } = full();
        assert!(memory == Memory { repairs, last_repair, ..Memory::default() }, "a repair");
        memory.confirmed(false);
        assert!(memory == Memory::default(), "an edit makes repairs free again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_atlas_refused_stays_refused_after_a_release() {
        let mut memory = full();
        memory.released();
        let Memory { refused, failures, .. } = full();
        assert!(refused.is_some() && failures > 0);
        assert!(memory == Memory { refused, failures, ..Memory::default() });
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_lasts_until_another_one_takes_its_place() {
        let start = Instant::now();
        let mut memory = Memory::default();
        assert_eq!(memory.lasting(Reason::Forbidden, start), Duration::ZERO);
        assert_eq!(memory.lasting(Reason::Forbidden, start + MINUTE), MINUTE);
        assert_eq!(memory.lasting(Reason::Forbidden, start + HOUR), HOUR);
        assert_eq!(memory.lasting(Reason::RateLimited, start + HOUR), Duration::ZERO, "another reason");
        assert_eq!(memory.lasting(Reason::RateLimited, start + HOUR + MINUTE), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_alternate_last_together() {
        let start = Instant::now();
        let mut memory = Memory::default();
        memory.lasting(Reason::AtlasUnavailable, start);
        assert_eq!(memory.lasting(Reason::RateLimited, start + MINUTE), MINUTE);
        assert_eq!(memory.lasting(Reason::NotVisibleYet, start + HOUR), HOUR);
        assert_eq!(memory.lasting(Reason::Forbidden, start + HOUR), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_reason_is_not_timed() {
        let start = Instant::now();
        let mut memory = Memory::default();
        memory.lasting(Reason::Forbidden, start);
        assert_eq!(memory.lasting(Reason::Synced, start + MINUTE), Duration::ZERO);
        assert!(memory == Memory::default(), "an object with which all is well needs no memory");
        assert_eq!(memory.lasting(Reason::Forbidden, start + HOUR), Duration::ZERO, "it begins again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_once_an_hour() {
        let start = Instant::now();
        let mut memory = Memory::default();
        assert!(memory.must_tell("policy a", start));
        assert!(!memory.must_tell("policy a", start + MINUTE));
        assert!(memory.must_tell("policy b", start + MINUTE), "another cause");
        assert!(!memory.must_tell("policy b", start + HOUR));
        assert!(memory.must_tell("policy b", start + HOUR + MINUTE), "its Event is gone");
    }

    /// Two owners that overwrite each other must not do so for ever.
    #[tokio::test(start_paused = true)]
    async fn repairs_of_one_place_grow_apart() {
        let wait = |repairs| repairs * MINUTE;
        let first = Instant::now();
        let mut memory = Memory::default();
        assert_eq!(memory.repair(first, wait), Ok(()));
        let second = first + MINUTE;
        assert_eq!(memory.repair(first, wait), Err(second));
        assert_eq!(memory.repair(first + MINUTE / 3, wait), Err(second), "asking again does not delay it");
        assert_eq!(memory.repair(second, wait), Ok(()));
        assert_eq!(memory.repair(second, wait), Err(second + 2 * MINUTE));
        assert_eq!((memory.repairs, memory.last_repair), (2, Some(second)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_without_repairs_makes_them_free_again() {
        let wait = |repairs| if repairs == 0 { Duration::ZERO } else { 30 * HOUR };
        let first = Instant::now();
        let mut memory = Memory::default();
        assert_eq!(memory.repair(first, wait), Ok(()));
        assert_eq!(memory.repair(first + 23 * HOUR, wait), Err(first + 30 * HOUR));
        assert_eq!(memory.repair(first + 24 * HOUR, wait), Ok(()));
        assert_eq!(memory.repairs, 1, "the count begins again");
    }

    /// A fence is waited for from the moment when it was first seen, however often it is seen again.
    #[tokio::test(start_paused = true)]
    async fn a_fence_is_remembered_from_when_it_was_first_seen() {
        let start = Instant::now();
        let (ahead, behind) = (Timestamp::MAX, Timestamp::UNIX_EPOCH);
        let mut memory = Memory::default();
        assert_eq!(memory.sees(None, start), None);
        assert!(memory == Memory::default(), "an object without such a write needs no memory");
        assert_eq!(memory.sees(Some(ahead), start), Some(start));
        assert_eq!(memory.sees(Some(ahead), start + HOUR), Some(start));
        assert_eq!(memory.sees(Some(behind), start + HOUR), Some(start + HOUR), "another fence");
        assert_eq!(memory.sees(Some(behind), start + 2 * HOUR), Some(start + HOUR));
        assert_eq!(memory.sees(None, start + 2 * HOUR), None, "Atlas confirmed it");
        assert!(memory == Memory::default());
    }

    #[test]
    fn the_outcome_of_a_failed_call_is_known_unless_atlas_left_it_open() {
        let begun = Timestamp::UNIX_EPOCH;
        let refused = Failure::known(FailureKind::Rejected, "no");
        let mut memory = Memory::default();
        memory.call_failed(begun, &Failure { outcome_unknown: true, ..refused.clone() });
        assert_eq!(memory.outcome_known, None);
        memory.call_failed(begun, &refused);
        assert_eq!(memory.outcome_known, Some(begun));
    }
}
