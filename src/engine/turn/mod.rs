//! A turn: the permission to run a pass over one project, together with all that this process remembers of the project.
//! The queue hands the turn to a pass by value, so only that pass can change it.

mod limits;
mod memory;
mod project;
mod round;

pub(super) use limits::Pause;
pub(super) use memory::{Confirmed, Grounds, Memory, Said, Signature};
pub(super) use project::{ListKey, ProjectMemory};
pub(super) use round::Outcome;

use jiff::Timestamp;
use tokio::time::Instant;

use super::index::ProjectKey;
use crate::atlas::{self, Budget, Session};
use crate::core::turns::Class;
use crate::domain::{Failure, Fingerprint, ProjectId};

/// The permission to run one pass over a project.
pub(super) struct Turn {
    key: ProjectKey,
    /// When it began.
    begun: Instant,
    /// What is remembered of the project and its objects.
    pub memory: ProjectMemory,
    /// When the next pass is due if nothing else makes one due earlier, and why.
    next: Option<(Instant, Class)>,
    /// When a failed LIST may be repeated.
    retry_at: Option<Instant>,
    /// A stamp of the state that the pass began with; `None` if the next pass has to look at everything in any case.
    state: Option<u64>,
}

impl Turn {
    /// Creates the turn of a project. `memory` is what the last turn remembered.
    pub fn new(key: ProjectKey, mut memory: ProjectMemory) -> Turn {
        memory.turn_begins();
        Turn { key, begun: Instant::now(), memory, next: None, retry_at: None, state: None }
    }

    /// The project.
    pub fn key(&self) -> &ProjectKey {
        &self.key
    }

    /// When the turn began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Makes a pass due at `at`, as a matter of routine. If one is due earlier already, that does not change.
    pub fn look_again(&mut self, at: Instant) {
        self.is_due(at, Class::Routine);
    }

    /// Makes a pass due at `at` for the sake of something that somebody asked for and that this pass could not do.
    pub fn owes_at(&mut self, at: Instant) {
        self.is_due(at, Class::Asked);
    }

    fn is_due(&mut self, at: Instant, class: Class) {
        let (before, other) = self.next.unwrap_or((at, class));
        self.next = Some((before.min(at), other.min(class)));
    }

    /// Makes a pass due at `at` that only repeats failed LISTs, if nothing else is due by then.
    pub fn retry_lists_at(&mut self, at: Instant) {
        self.retry_at = Some(self.retry_at.map_or(at, |before| before.min(at)));
    }

    /// Whether this pass has only failed LISTs to repeat, since nothing else is due yet and the state with this stamp has
    /// not changed since the last pass.
    pub fn retries_only(&mut self, state: u64) -> bool {
        self.state = Some(state);
        let until = self.memory.take_repeats_only(state, Instant::now());
        if let Some(until) = until {
            self.look_again(until);
        }
        until.is_some()
    }

    /// Notes that the pass leaves objects as they are until more is known, so that the next pass looks at them.
    pub fn holds(&mut self) {
        self.state = None;
    }

    /// Makes the next pass due at `at`, even if an earlier one was due before. This is for a pass that has panicked.
    pub fn look_again_only(&mut self, at: Instant) {
        self.retry_at = None;
        self.next = Some((at, Class::Routine));
    }

    /// Makes a pass due at the end of the longest pause, if there is one. Without this the queue would forget a project that
    /// has no objects, and with it the pauses, which also hold for objects that are created meanwhile.
    pub fn outlast_pauses(&mut self) {
        if let Some(until) = self.memory.paused_until(Instant::now()) {
            self.look_again(until);
        }
    }

    /// Makes a pass due as soon as the queue allows the next one, for the sake of something that somebody asked for.
    pub fn look_again_now(&mut self) {
        self.owes_at(Instant::now());
    }

    /// Ends the turn's part of a round. If objects are left, the next turn continues the round, at once but as a matter of
    /// routine. What else makes a pass due is kept for the end of the round.
    pub fn end_round(&mut self, is_over: bool) {
        if let Some((at, class)) = self.memory.round.due.take() {
            self.is_due(at, class);
        }
        if is_over {
            self.memory.round.end();
        } else {
            if let Some(at) = self.retry_at.take() {
                self.is_due(at, Class::Routine);
            }
            self.memory.round.due = self.next.replace((Instant::now(), Class::Routine));
        }
    }

    /// Pauses the calls under a credential if Atlas asked us to back off; see [`Limits::pause_if_asked`].
    ///
    /// [`Limits::pause_if_asked`]: limits::Limits::pause_if_asked
    pub fn pause_if_asked(&mut self, credential: Fingerprint, failure: &Failure) {
        let Some(project) = &self.key else { return };
        if let Some(wait) = self.memory.limits(credential).pause_if_asked(failure) {
            let seconds = wait.as_secs();
            tracing::info!(%project, seconds, "no call under a credential for a while: {}", failure.summary());
        }
    }

    /// Returns the pause of a session's credential, if it is paused now. Begins a pause if the last answer to the credential
    /// left little of the project's token bucket.
    pub fn check_pause(&mut self, atlas: &atlas::Client, session: &Session) -> Option<Pause> {
        let credential = session.credential();
        self.pause_of(credential, |project| atlas.take_budget(project, credential))
    }

    fn pause_of(
        &mut self,
        credential: Fingerprint,
        take_budget: impl FnOnce(&ProjectId) -> Option<Budget>,
    ) -> Option<Pause> {
        let project = self.key.as_ref()?;
        let limits = self.memory.limits(credential);
        let now = Instant::now();
        if let Some(wait) = take_budget(project).and_then(|budget| limits.pause_if_low(budget, now)) {
            let seconds = wait.as_secs();
            tracing::info!(%project, seconds, "{}", limits::NEARLY_USED_UP);
        }
        limits.current_pause(now).cloned()
    }

    /// The memory of an object; see [`ProjectMemory::object`].
    pub fn object(&mut self, uid: &str) -> &mut Memory {
        self.memory.object(uid)
    }

    /// Notes that an object waits for the end of its credential's pause, if there is one.
    pub fn waits(&mut self, uid: &str, credential: Fingerprint) {
        if self.memory.limits(credential).current_pause(Instant::now()).is_some() {
            let begun = self.begun;
            self.memory.object(uid).waiting_since.get_or_insert(begun);
        }
    }

    /// Returns when this process first saw the fence of an object's unconfirmed write; see [`Memory::sees`]. An object
    /// without such a write gets no memory for it.
    pub fn sees(&mut self, uid: &str, fence: Option<Timestamp>) -> Option<Instant> {
        if fence.is_none() && self.memory.known(uid).is_none() {
            return None;
        }
        self.memory.object(uid).sees(fence, Instant::now())
    }

    /// Ends the turn. Returns the project, what is remembered of it, and when and why the next pass is due.
    pub fn end(mut self) -> (ProjectKey, ProjectMemory, Option<(Instant, Class)>) {
        self.memory.turn_ends(Instant::now());
        let retry_at = self.retry_at.filter(|at| self.next.is_none_or(|(next, _)| *at < next));
        if let (Some((next, _)), Some(_), Some(state)) = (self.next, retry_at, self.state) {
            self.memory.repeats_only(next, state);
        }
        let next = retry_at.map(|at| (at, Class::Routine)).or(self.next);
        (self.key, self.memory, next)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{FailureKind, MemoryKey};

    const SECOND: Duration = Duration::from_secs(1);

    fn project() -> ProjectKey {
        ProjectId::parse("5d791c84ff7a2522cc4f9aa1")
    }

    fn turn() -> Turn {
        Turn::new(project(), ProjectMemory::default())
    }

    fn credential(name: &str) -> Fingerprint {
        MemoryKey::generate().expect("randomness").fingerprint([name])
    }

    fn limited(seconds: u32) -> Failure {
        Failure { retry_after: Some(seconds * SECOND), ..Failure::known(FailureKind::RateLimited, "429") }
    }

    /// An answer that leaves little of the project's token bucket.
    fn nearly_used_up(_: &ProjectId) -> Option<Budget> {
        Some(Budget { limit: 1_200, remaining: 1 })
    }

    #[test]
    fn the_next_turn_begins_with_what_this_one_remembers() {
        let mut turn = turn();
        assert_eq!(*turn.key(), project());
        turn.object("uid").failures = 7;
        let (key, memory, next) = turn.end();
        assert_eq!((&key, next), (&project(), None), "no pass is due without a cause");
        let turn = Turn::new(key, memory);
        assert_eq!(turn.memory.known("uid").map(|memory| memory.failures), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_of_all_causes_makes_the_next_pass_due() {
        let now = Instant::now();
        let mut turn = turn();
        turn.look_again(now + 5 * SECOND);
        turn.look_again(now + 9 * SECOND);
        turn.look_again(now + 3 * SECOND);
        assert_eq!(turn.end().2, Some((now + 3 * SECOND, Class::Routine)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_may_ask_for_the_next_one_at_once() {
        let mut turn = turn();
        turn.look_again(Instant::now() + SECOND);
        turn.look_again_now();
        assert_eq!(turn.end().2, Some((Instant::now(), Class::Asked)));
    }

    /// A credential that keeps failing must not have the others listed more often.
    #[tokio::test(start_paused = true)]
    async fn a_pass_for_a_failed_list_does_nothing_else() {
        let now = Instant::now();
        let mut turn = turn();
        assert!(!turn.retries_only(1));
        turn.look_again(now + 600 * SECOND);
        turn.retry_lists_at(now + 2 * SECOND);
        turn.retry_lists_at(now + SECOND);
        let (key, memory, next) = turn.end();
        assert_eq!(next, Some((now + SECOND, Class::Routine)));

        let mut turn = Turn::new(key, memory);
        assert!(turn.retries_only(1));
        turn.retry_lists_at(now + 999 * SECOND);
        let (key, memory, next) = turn.end();
        assert_eq!(next, Some((now + 600 * SECOND, Class::Routine)), "what else was due stays due");
        assert!(!Turn::new(key, memory).retries_only(1), "and is no pass for a failed LIST");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_looks_at_everything_if_anything_changed_or_was_held() {
        for (holds, state) in [(false, 2), (true, 1)] {
            let mut turn = turn();
            turn.retries_only(1);
            if holds {
                turn.holds();
            }
            turn.look_again(Instant::now() + 600 * SECOND);
            turn.retry_lists_at(Instant::now() + SECOND);
            let (key, memory, _) = turn.end();
            assert!(!Turn::new(key, memory).retries_only(state));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_waits_for_is_no_routine_whichever_is_due_first() {
        let now = Instant::now();
        for [asked, routine] in [[1, 2], [2, 1]] {
            for asked_first in [true, false] {
                let mut turn = turn();
                if asked_first {
                    turn.owes_at(now + asked * SECOND);
                }
                turn.look_again(now + routine * SECOND);
                turn.owes_at(now + asked * SECOND);
                assert_eq!(turn.end().2, Some((now + SECOND, Class::Asked)));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_keeps_what_is_due_later() {
        let now = Instant::now();
        let mut turn = turn();
        turn.look_again(now + 12 * SECOND);
        turn.end_round(false);
        let (key, memory, next) = turn.end();
        assert_eq!(next, Some((now, Class::Routine)), "the round continues at once");
        assert!(!memory.is_blank());
        let mut turn = Turn::new(key, memory);
        turn.look_again(now + 600 * SECOND);
        turn.end_round(true);
        let (_, memory, next) = turn.end();
        assert_eq!(next, Some((now + 12 * SECOND, Class::Routine)));
        assert!(memory.is_blank());
    }

    /// What a pass asked for before it panicked would make it panic again at once.
    #[tokio::test(start_paused = true)]
    async fn a_pass_that_panicked_is_not_repeated_as_early_as_it_asked_for() {
        let mut turn = turn();
        turn.look_again_now();
        let later = Instant::now() + 600 * SECOND;
        turn.look_again_only(later);
        assert_eq!(turn.end().2, Some((later, Class::Routine)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_pause_makes_a_pass_due_at_its_end() {
        let mut turn = turn();
        let until = Instant::now() + 30 * SECOND;
        for (name, seconds) in [("a", 20), ("b", 30), ("c", 10)] {
            turn.pause_if_asked(credential(name), &limited(seconds));
        }
        turn.outlast_pauses();
        assert_eq!(turn.end().2, Some((until, Class::Routine)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_without_a_pause_has_none_to_outlast() {
        let mut turn = turn();
        turn.outlast_pauses();
        assert_eq!(turn.end().2, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_low_bucket_pauses_the_credential_that_was_told_so() {
        let [a, b] = ["a", "b"].map(credential);
        let mut turn = turn();
        assert!(turn.pause_of(a, |_| None).is_none(), "Atlas did not tell what is left");
        assert!(turn.pause_of(a, nearly_used_up).is_some());
        assert!(turn.pause_of(a, |_| None).is_some(), "the pause lasts, whatever is left meanwhile");
        assert!(turn.pause_of(b, |_| None).is_none(), "nobody told the other one");
        turn.waits("x", b);
        assert!(turn.memory.known("x").is_none(), "it waits for no pause");
        turn.waits("x", a);
        assert!(turn.memory.known("x").is_some_and(|memory| memory.waiting_since.is_some()));
    }

    /// The part for people is ours to leave. What Atlas asks for is not.
    #[tokio::test(start_paused = true)]
    async fn a_low_bucket_does_not_shorten_the_wait_that_atlas_asked_for() {
        let a = credential("a");
        let mut turn = turn();
        turn.pause_if_asked(a, &limited(60));
        let pause = turn.pause_of(a, nearly_used_up).expect("a pause");
        assert_eq!((pause.until, pause.failure), (Instant::now() + 60 * SECOND, limited(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn objects_of_no_project_are_not_paused() {
        let mut turn = Turn::new(None, ProjectMemory::default());
        assert!(turn.pause_of(credential("a"), nearly_used_up).is_none());
    }
}
