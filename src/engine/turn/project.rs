//! What this process remembers of a project and of its objects, in addition to what the cluster stores.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use super::limits::Limits;
use super::memory::Memory;
use super::round::Round;
use crate::domain::{Failure, Fingerprint, Prospect};

/// What is remembered of a project. The queue stores it only if there is something to remember.
#[derive(Default)]
pub(in crate::engine) struct ProjectMemory {
    /// The LISTs that failed when they were made last.
    lists: HashMap<ListKey, FailedList>,
    /// Until when a pass has only these LISTs to repeat, as long as the state with this stamp stays as it is.
    retries_only: Option<(Instant, u64)>,
    /// What Atlas told each credential of the project's rate limits.
    limits: HashMap<Fingerprint, Limits>,
    /// The round that the project is in, if one pass is too short for it.
    pub round: Round,
    /// What is remembered of each object, by uid. Between passes there is no entry without something to remember.
    objects: HashMap<String, Memory>,
}

/// A LIST of a project: the credential that it is made with, and whether it is the one for FLOWDOCK, where only version
/// 1.0 shows that type.
pub(in crate::engine) type ListKey = (Fingerprint, bool);

/// A LIST that failed when it was made last.
#[derive(Clone)]
pub(in crate::engine) struct FailedList {
    /// What its objects report.
    pub failure: Failure,
    /// A stamp of what asks for it, as it then was: its objects, their requests and Secrets.
    pub state: u64,
    /// How often it failed in a row with a failure that passes, or with one for which somebody has to act. A try with a
    /// credential that is refused everywhere tells nothing about the project, and does not count.
    failures: u32,
    /// Whether the last failure passes.
    passes: bool,
    /// It is not repeated before this, unless somebody asks for it.
    pub retry_at: Instant,
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
        self.lists.is_empty()
            && self.retries_only.is_none()
            && self.limits.is_empty()
            && self.round.is_blank()
            && self.objects.is_empty()
    }

    /// What Atlas told the credential of the project's rate limits.
    pub fn limits(&mut self, credential: Fingerprint) -> &mut Limits {
        self.limits.entry(credential).or_default()
    }

    /// A turn begins.
    pub fn turn_begins(&mut self) {
        self.limits.values_mut().for_each(Limits::turn_begins);
    }

    /// A turn ends: what is over need not be remembered.
    pub fn turn_ends(&mut self, now: Instant) {
        self.limits.retain(|_, limits| limits.current_pause(now).is_some() || !limits.is_blank());
        self.limits.shrink_to(2 * self.limits.len());
    }

    /// The end of the longest pause.
    pub fn paused_until(&mut self, now: Instant) -> Option<Instant> {
        self.limits.values_mut().filter_map(|limits| Some(limits.current_pause(now)?.until)).max()
    }

    /// The LIST, if it failed when it was made last.
    pub fn failed_list(&self, key: &ListKey) -> Option<&FailedList> {
        self.lists.get(key)
    }

    /// Forgets all failed LISTs but these, and what Atlas told other credentials of its limits, once their pauses are over.
    pub fn keep_lists(&mut self, is_made: impl Fn(&ListKey) -> bool) {
        let now = Instant::now();
        self.lists.retain(|key, _| is_made(key));
        self.limits.retain(|credential, limits| {
            limits.current_pause(now).is_some()
                || [false, true].iter().any(|flowdock| is_made(&(*credential, *flowdock)))
        });
    }

    /// Notes that a LIST succeeded. Returns whether it had failed before.
    pub fn list_succeeded(&mut self, key: &ListKey) -> bool {
        self.lists.remove(key).is_some()
    }

    /// How often a LIST has failed in a row, now that it has failed again. A `tried` credential is refused everywhere, so
    /// this failure does not count.
    pub fn list_failures(&self, key: &ListKey, failure: &Failure, tried: bool) -> u32 {
        let alike = self.lists.get(key).filter(|list| list.passes == passes(failure));
        let before = alike.map_or(0, |list| list.failures);
        if tried { before } else { before.saturating_add(1) }
    }

    /// Notes that a LIST failed. Returns what its objects report.
    pub fn list_failed(
        &mut self,
        key: ListKey,
        failure: Failure,
        state: u64,
        (failures, retry_at): (u32, Instant),
    ) -> Failure {
        let passes = passes(&failure);
        let failure = self.told(&key, failure);
        self.lists.insert(key, FailedList { failure: failure.clone(), state, failures, passes, retry_at });
        failure
    }

    /// Notes that a LIST was not made, since its credential is refused everywhere. Returns what its objects report.
    pub fn list_waits(&mut self, key: ListKey, failure: Failure, state: u64) -> Failure {
        let failure = self.told(&key, failure);
        let passes = passes(&failure);
        let new =
            || FailedList { failure: failure.clone(), state, failures: 0, passes, retry_at: Instant::now() };
        let list = self.lists.entry(key).or_insert_with(new);
        (list.failure, list.state) = (failure.clone(), state);
        failure
    }

    /// What the objects of a LIST report after this failure of it. If somebody has to act so that it can succeed, a
    /// failure that passes is no news, and does not take that back.
    pub fn told(&self, key: &ListKey, failure: Failure) -> Failure {
        match self.lists.get(key) {
            Some(known) if passes(&failure) && !passes(&known.failure) => known.failure.clone(),
            _ => failure,
        }
    }

    /// Notes that the next pass has only failed LISTs to repeat, if it begins before `until`, and while the state with
    /// this stamp stays as it is.
    pub fn repeats_only(&mut self, until: Instant, state: u64) {
        self.retries_only = Some((until, state));
    }

    /// Takes out until when this pass has only failed LISTs to repeat; `None` if it has more to do.
    pub fn take_repeats_only(&mut self, state: u64, now: Instant) -> Option<Instant> {
        let (until, noted) = self.retries_only.take()?;
        (noted == state && now < until).then_some(until)
    }
}

/// Whether a failure passes without anybody's help.
fn passes(failure: &Failure) -> bool {
    failure.reason().prospect() == Prospect::Passing
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{FailureKind, MemoryKey};

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
        let key = list_key("a");
        fails(&mut memory, key, unavailable());
        assert!(!memory.is_blank(), "a failed LIST");
        assert!(memory.list_succeeded(&key) && !memory.list_succeeded(&key));
        assert!(memory.is_blank(), "Atlas can be read again");
        memory.repeats_only(Instant::now(), 1);
        assert!(!memory.is_blank(), "what the next pass is for");

        let mut memory = ProjectMemory::default();
        memory.limits(key.0).pause_if_asked(&limited());
        assert!(!memory.is_blank(), "what Atlas told of its limits");
        memory.limits(key.0).passed();
        memory.turn_ends(Instant::now() + 60 * SECOND);
        assert!(memory.is_blank(), "a pass without a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn what_atlas_told_one_credential_counts_for_no_other() {
        let [(a, _), (b, _)] = [list_key("a"), list_key("b")];
        let mut memory = ProjectMemory::default();
        let limited = Failure { retry_after: Some(9 * SECOND), ..limited() };
        memory.limits(a).pause_if_asked(&limited);
        let now = Instant::now();
        assert!(memory.limits(a).current_pause(now).is_some());
        assert!(memory.limits(b).current_pause(now).is_none());
        assert_eq!(memory.paused_until(now), Some(now + 9 * SECOND));
        memory.turn_ends(now);
        assert_eq!(memory.limits.len(), 1, "there is nothing to remember of the other credential");
        memory.keep_lists(|_| false);
        assert!(!memory.is_blank(), "the pause also holds for an object that is created again");
        tokio::time::advance(9 * SECOND).await;
        assert_eq!(memory.paused_until(Instant::now()), None);
        memory.keep_lists(|(credential, flowdock)| *credential == a && *flowdock);
        assert!(!memory.is_blank(), "the count of limited calls, for the length of the next pause");
        memory.keep_lists(|_| false);
        assert!(memory.is_blank());
    }

    fn list_key(credential: &str) -> ListKey {
        (MemoryKey::generate().expect("randomness").fingerprint([credential]), false)
    }

    fn refused() -> Failure {
        Failure::known(FailureKind::Unauthorized, "401")
    }

    /// The LIST was made and failed. Returns what its objects report.
    fn fails(memory: &mut ProjectMemory, key: ListKey, failure: Failure) -> Failure {
        let failures = memory.list_failures(&key, &failure, false);
        memory.list_failed(key, failure, 0, (failures, Instant::now()))
    }

    #[test]
    fn each_list_fails_for_itself() {
        let (a, b) = (list_key("a"), list_key("b"));
        let mut memory = ProjectMemory::default();
        let failures = |memory: &ProjectMemory, key| memory.list_failures(key, &unavailable(), false);
        for count in 1..4 {
            assert_eq!(failures(&memory, &a), count);
            fails(&mut memory, a, unavailable());
        }
        assert_eq!(memory.list_failures(&a, &limited(), true), 3, "a try does not count");
        assert_eq!(failures(&memory, &b), 1);
        fails(&mut memory, b, limited());
        memory.list_succeeded(&a);
        assert_eq!([failures(&memory, &a), failures(&memory, &b)], [1, 2]);
        memory.keep_lists(|key| *key == a);
        assert!(memory.failed_list(&b).is_none(), "no object needs it any more");
    }

    /// A refusal may last for weeks. An outage after that is waited for as any other.
    #[test]
    fn refusals_and_outages_are_counted_apart() {
        let key = list_key("a");
        let mut memory = ProjectMemory::default();
        for _ in 0..9 {
            fails(&mut memory, key, refused());
        }
        assert_eq!(memory.list_failures(&key, &limited(), false), 1);
        fails(&mut memory, key, limited());
        assert_eq!(memory.list_failures(&key, &unavailable(), false), 2);
        assert_eq!(memory.list_failures(&key, &refused(), false), 1);
    }

    #[test]
    fn an_outage_does_not_take_a_refusal_of_a_list_back() {
        let (key, other) = (list_key("a"), list_key("b"));
        let mut memory = ProjectMemory::default();
        assert_eq!(fails(&mut memory, key, unavailable()), unavailable());
        assert_eq!(fails(&mut memory, key, limited()), limited(), "one outage and another");
        assert_eq!(fails(&mut memory, key, refused()), refused());
        for passing in [unavailable(), limited()] {
            assert_eq!(memory.told(&key, passing.clone()), refused());
            assert_eq!(memory.told(&other, passing.clone()), passing, "another credential");
            assert_eq!(memory.list_waits(key, passing.clone(), 7), refused());
            assert_eq!(fails(&mut memory, key, passing), refused());
        }
        let gone = Failure::known(FailureKind::ProjectNotFound, "404");
        assert_eq!(fails(&mut memory, key, gone.clone()), gone, "another refusal");
        memory.list_succeeded(&key);
        assert_eq!(fails(&mut memory, key, limited()), limited());
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_waits_keeps_its_count_and_notes_what_asked_for_it() {
        let key = list_key("a");
        let mut memory = ProjectMemory::default();
        let retry_at = Instant::now() + SECOND;
        memory.list_failed(key, refused(), 1, (5, retry_at));
        memory.list_waits(key, refused(), 2);
        let known = memory.failed_list(&key).expect("it failed");
        assert_eq!((known.failures, known.retry_at, known.state), (5, retry_at, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_has_more_to_do_once_its_time_has_come_or_anything_has_changed() {
        let now = Instant::now();
        for (state, at, expected) in [(1, now, Some(now + SECOND)), (2, now, None), (1, now + SECOND, None)] {
            let mut memory = ProjectMemory::default();
            assert_eq!(memory.take_repeats_only(1, now), None);
            memory.repeats_only(now + SECOND, 1);
            assert_eq!(memory.take_repeats_only(state, at), expected);
            assert!(memory.is_blank(), "it is for one pass");
        }
    }
}
