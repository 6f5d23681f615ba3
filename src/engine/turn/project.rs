//! What this process remembers of a project and of its objects, in addition to what the cluster stores.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::memory::Memory;
use super::round::Round;
use crate::core::pacing;
use crate::domain::{Failure, FailureKind};
use crate::engine::jitter::random;

/// What is remembered of a project. The queue stores it only if there is something to remember.
#[derive(Default)]
pub(in crate::engine) struct ProjectMemory {
    /// How many passes failed to LIST since the last pass whose LISTs all succeeded.
    failures: u32,
    /// How often Atlas asked us to back off since the last pass that ended without a pause.
    limited: u32,
    /// How many pauses in a row began because the project's bucket was nearly used up, while owed work waited.
    reserve_pauses: u32,
    /// While the pause lasts, the operator makes no call to Atlas for the project.
    pause: Option<Box<Pause>>,
    /// The round that the project is in, if one pass is too short for it.
    pub round: Round,
    /// What is remembered of each object, by uid. Between passes there is no entry without something to remember.
    objects: HashMap<String, Memory>,
}

/// A time in which the operator makes no calls for a project.
#[derive(Clone)]
pub(in crate::engine) struct Pause {
    pub until: Instant,
    /// The failure that waiting objects report.
    pub failure: Failure,
}

impl ProjectMemory {
    /// Returns the memory of an object, and creates an empty one if there is none. [`ProjectMemory::keep_only`] drops
    /// it if it is still empty.
    pub fn object(&mut self, uid: &str) -> &mut Memory {
        self.objects.entry(uid.to_owned()).or_default()
    }

    /// Returns the memory of an object, if there is one.
    pub fn known(&self, uid: &str) -> Option<&Memory> {
        self.objects.get(uid)
    }

    /// Like [`ProjectMemory::known`], but the caller may change the memory.
    pub fn known_mut(&mut self, uid: &str) -> Option<&mut Memory> {
        self.objects.get_mut(uid)
    }

    /// Forgets the objects that are not in `uids`, and those with nothing to remember.
    pub fn keep_only<'a>(&mut self, uids: impl Iterator<Item = &'a str>) {
        if self.objects.is_empty() && self.round.is_blank() {
            return;
        }
        let uids: HashSet<&str> = uids.collect();
        self.round.keep_only(&uids);
        self.objects.retain(|uid, memory| uids.contains(uid.as_str()) && *memory != Memory::default());
        // Without this, one object that fails would keep the room of all that failed once.
        if self.objects.capacity() > 4 * self.objects.len() {
            self.objects.shrink_to(self.objects.len());
        }
    }

    /// Whether there is nothing to remember.
    pub fn is_blank(&self) -> bool {
        self.failures == 0
            && self.limited == 0
            && self.reserve_pauses == 0
            && self.pause.is_none()
            && self.round.is_blank()
            && self.objects.is_empty()
    }

    /// Returns the pause, if it is not over at `now`.
    pub fn current_pause(&mut self, now: Instant) -> Option<&Pause> {
        self.pause = self.pause.take().filter(|pause| pause.until > now);
        self.pause.as_deref()
    }

    /// Pauses the project for the time `wait`. Waiting objects report `failure`.
    pub fn begin_pause(&mut self, wait: Duration, failure: Failure) {
        self.pause = Some(Box::new(Pause { until: Instant::now() + wait, failure }));
    }

    /// Begins a pause if Atlas asked us to back off: by a 429, or by any answer with `Retry-After`. Returns the length
    /// of the pause. A failure to get a token (`without_call`) begins no pause: it concerns only one account and must
    /// not delay objects with other credentials.
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
        self.begin_pause(wait, failure.clone());
        Some(wait)
    }

    /// Resets the counts of limited calls and of pauses: a pass ended without a pause.
    pub fn reset_limited(&mut self) {
        self.limited = 0;
        self.reserve_pauses = 0;
    }

    /// Notes that a pause began because the project's bucket was nearly used up, and whether owed work waits for its
    /// end.
    pub fn reserve_paused(&mut self, owed_waits: bool) {
        self.reserve_pauses = if owed_waits { self.reserve_pauses.saturating_add(1) } else { 0 };
    }

    /// Whether the next write may use the part of the bucket that is left to people.
    pub fn may_use_reserve(&self) -> bool {
        pacing::may_use_reserve(self.reserve_pauses)
    }

    /// Notes how the LISTs of a pass went: `failed` if at least one failed, `succeeded` if at least one succeeded.
    /// Returns how many passes in a row had failed before this pass, and how many have failed now.
    pub fn listed(&mut self, failed: bool, succeeded: bool) -> (u32, u32) {
        let before = self.failures;
        if failed {
            self.failures = self.failures.saturating_add(1);
        } else if succeeded {
            self.failures = 0;
        }
        (before, self.failures)
    }
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

    #[test]
    fn each_object_has_a_memory_of_its_own() {
        let mut memory = ProjectMemory::default();
        memory.object("a").failures = 1;
        memory.object("b").failures = 2;
        memory.known_mut("b").expect("a memory").failures += 1;
        let failures = |uid| memory.known(uid).map(|memory| memory.failures);
        assert_eq!([failures("a"), failures("b"), failures("c")], [Some(1), Some(3), None]);
        assert!(memory.known_mut("c").is_none());
    }

    #[test]
    fn an_object_that_is_gone_or_well_is_forgotten() {
        let mut memory = ProjectMemory::default();
        memory.keep_only(["well"].into_iter());
        memory.object("gone").failures = 1;
        memory.object("ill").failures = 1;
        memory.object("well");
        memory.object("gone and well");
        memory.keep_only(["ill", "well"].into_iter());
        let known = ["gone", "ill", "well", "gone and well"].map(|uid| memory.known(uid).is_some());
        assert_eq!(known, [false, true, false, false]);
    }

    /// Each of these alone must outlive the pass.
    #[tokio::test(start_paused = true)]
    async fn a_memory_that_holds_anything_is_not_blank() {
        assert!(ProjectMemory::default().is_blank());

        let mut memory = ProjectMemory::default();
        memory.object("a");
        assert!(!memory.is_blank(), "an object");

        let mut memory = ProjectMemory::default();
        memory.begin_pause(SECOND, unavailable());
        assert!(!memory.is_blank(), "a pause");
        assert!(memory.current_pause(Instant::now() + SECOND).is_none());
        assert!(memory.is_blank(), "a pause that is over");

        let mut memory = ProjectMemory::default();
        memory.listed(true, false);
        assert!(!memory.is_blank(), "a failed LIST");
        memory.listed(false, true);
        assert!(memory.is_blank(), "Atlas can be read again");

        let mut memory = ProjectMemory::default();
        let wait = memory.pause_if_asked(&limited()).expect("a pause");
        assert!(memory.current_pause(Instant::now() + wait).is_none());
        assert!(!memory.is_blank(), "a count of limited calls, for the length of the next pause");
        memory.reset_limited();
        assert!(memory.is_blank(), "a pass without a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_lasts_until_its_time_has_come() {
        let start = Instant::now();
        let mut memory = ProjectMemory::default();
        assert!(memory.current_pause(start).is_none());
        memory.begin_pause(10 * SECOND, unavailable());
        for at in [start, start + 9 * SECOND] {
            let pause = memory.current_pause(at).expect("a pause");
            assert_eq!((pause.until, &pause.failure), (start + 10 * SECOND, &unavailable()));
        }
        assert!(memory.current_pause(start + 10 * SECOND).is_none());
        assert!(memory.current_pause(start).is_none(), "a pause that was over once does not come back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_pauses_for_as_long_as_atlas_asks_for() {
        for failure in [limited(), unavailable()] {
            let failure = Failure { retry_after: Some(7 * SECOND), ..failure };
            let mut memory = ProjectMemory::default();
            assert_eq!(memory.pause_if_asked(&failure), Some(7 * SECOND));
            let pause = memory.current_pause(Instant::now()).expect("a pause");
            assert_eq!((pause.until, &pause.failure), (Instant::now() + 7 * SECOND, &failure));
        }
    }

    /// Chance takes up to half of each wait away.
    #[tokio::test(start_paused = true)]
    async fn pauses_whose_length_atlas_does_not_say_double() {
        let mut memory = ProjectMemory::default();
        for longest in [8, 16, 32] {
            let wait = memory.pause_if_asked(&limited()).expect("a pause");
            assert!((longest * SECOND / 2..=longest * SECOND).contains(&wait), "{longest}: {wait:?}");
        }
        memory.reset_limited();
        let wait = memory.pause_if_asked(&limited()).expect("a pause");
        assert!(wait <= 8 * SECOND, "after a pass without a pause the waits are short again: {wait:?}");
    }

    #[test]
    fn a_failure_pauses_the_project_only_if_atlas_asks_for_it() {
        let mut memory = ProjectMemory::default();
        assert_eq!(memory.pause_if_asked(&unavailable()), None);
        // The service that hands out tokens limits one account, and others may call Atlas meanwhile.
        let no_token = Failure { without_call: true, retry_after: Some(SECOND), ..limited() };
        assert_eq!(memory.pause_if_asked(&no_token), None);
        assert!(memory.is_blank());
    }

    #[test]
    fn only_owed_work_that_waits_pause_after_pause_may_use_the_part_for_people() {
        let mut memory = ProjectMemory::default();
        for _ in 0..3 {
            assert!(!memory.may_use_reserve());
            memory.reserve_paused(true);
        }
        assert!(memory.may_use_reserve() && !memory.is_blank());
        memory.reserve_paused(false);
        assert!(!memory.may_use_reserve() && memory.is_blank(), "nothing waits any more");
        for _ in 0..9 {
            memory.reserve_paused(true);
        }
        memory.reset_limited();
        assert!(!memory.may_use_reserve(), "a pass ended without a pause");
    }

    #[test]
    fn passes_count_as_failed_until_all_lists_of_one_succeed() {
        let mut memory = ProjectMemory::default();
        assert_eq!(memory.listed(false, true), (0, 0));
        assert_eq!(memory.listed(true, false), (0, 1));
        assert_eq!(memory.listed(true, true), (1, 2), "one of several credentials failed");
        assert_eq!(memory.listed(false, false), (2, 2), "a pass without a LIST tells nothing");
        assert_eq!(memory.listed(false, true), (2, 0));
        assert_eq!(memory.listed(true, false), (0, 1));
    }
}
