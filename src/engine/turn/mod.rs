//! A turn: the permission to run a pass over one project, together with all that this process remembers of the project.
//! The queue hands the turn to a pass by value, so only that pass can change it.

mod memory;
mod project;
mod round;

pub(super) use memory::{Confirmed, Grounds, Memory, Said, Signature};
pub(super) use project::{ListKey, Pause, ProjectMemory};
pub(super) use round::Outcome;

use jiff::Timestamp;
use tokio::time::Instant;

use super::index::ProjectKey;
use crate::atlas::Budget;
use crate::core::pacing;
use crate::core::turns::Class;
use crate::domain::{Failure, FailureKind, ProjectId};

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
    /// Whether the next write may use the part of the project's bucket that is left to people.
    may_use_reserve: bool,
    /// Whether a pause has begun in this turn because the bucket was nearly used up.
    left_reserve: bool,
}

impl Turn {
    /// Creates the turn of a project. `memory` is what the last turn remembered.
    pub fn new(key: ProjectKey, memory: ProjectMemory) -> Turn {
        let may_use_reserve = memory.may_use_reserve();
        Turn {
            key,
            begun: Instant::now(),
            memory,
            next: None,
            retry_at: None,
            state: None,
            may_use_reserve,
            left_reserve: false,
        }
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

    /// Makes a pass due at the end of the pause, if there is one. Without this the queue would forget a project that
    /// has no objects, and with it the pause, which also holds for objects that are created meanwhile.
    pub fn outlast_pause(&mut self) {
        if let Some(until) = self.memory.current_pause(Instant::now()).map(|pause| pause.until) {
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

    /// Pauses the project if Atlas asked us to back off; see [`ProjectMemory::pause_if_asked`].
    pub fn pause_if_asked(&mut self, failure: &Failure) {
        if let (Some(project), Some(wait)) = (&self.key, self.memory.pause_if_asked(failure)) {
            let seconds = wait.as_secs();
            tracing::info!(%project, seconds, "no call to the project for a while: {}", failure.summary());
        }
    }

    /// Returns the pause of the project, if it is paused now. Begins a pause if the last answer of Atlas left little of
    /// the project's token bucket; `take_budget` tells what it left. It begins none before the turn's first write to
    /// Atlas if owed work has waited for too many such pauses already.
    pub fn check_pause(&mut self, take_budget: impl FnOnce(&ProjectId) -> Option<Budget>) -> Option<Pause> {
        let project = self.key.as_ref()?;
        let budget = take_budget(project);
        let now = Instant::now();
        if self.memory.current_pause(now).is_none()
            && !self.may_use_reserve
            && let Some(wait) = budget.and_then(|budget| pacing::reserve_wait(budget.limit, budget.remaining))
        {
            let message = "the project's rate of requests is nearly used up, and the rest is left to people";
            tracing::info!(%project, seconds = wait.as_secs(), "{message}");
            self.memory.begin_pause(wait, Failure::known(FailureKind::RateLimited, message));
            self.left_reserve = true;
        }
        self.memory.current_pause(now).cloned()
    }

    /// Notes that a write was sent to Atlas. If little is left of the project's bucket, the other writes wait again.
    pub fn wrote(&mut self) {
        self.may_use_reserve = false;
    }

    /// Notes whether owed work waits at the end of a pass that paused the project.
    pub fn pass_paused(&mut self, owed_waits: bool) {
        if self.left_reserve {
            self.memory.reserve_paused(owed_waits);
        }
    }

    /// The memory of an object; see [`ProjectMemory::object`].
    pub fn object(&mut self, uid: &str) -> &mut Memory {
        self.memory.object(uid)
    }

    /// Notes that an object waits for the end of the project's pause, if there is one.
    pub fn waits(&mut self, uid: &str) {
        if self.memory.current_pause(Instant::now()).is_some() {
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

    const SECOND: Duration = Duration::from_secs(1);

    fn project() -> ProjectKey {
        ProjectId::parse("5d791c84ff7a2522cc4f9aa1")
    }

    fn turn() -> Turn {
        Turn::new(project(), ProjectMemory::default())
    }

    /// An answer that leaves little of the project's token bucket.
    fn nearly_used_up(_: &ProjectId) -> Option<Budget> {
        Some(Budget { limit: 1_200, remaining: 1 })
    }

    fn half_used(_: &ProjectId) -> Option<Budget> {
        Some(Budget { limit: 1_200, remaining: 600 })
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
    async fn a_pause_makes_a_pass_due_at_its_end() {
        let mut turn = turn();
        let until = Instant::now() + 30 * SECOND;
        let limited =
            Failure { retry_after: Some(30 * SECOND), ..Failure::known(FailureKind::RateLimited, "429") };
        turn.pause_if_asked(&limited);
        turn.outlast_pause();
        assert_eq!(turn.end().2, Some((until, Class::Routine)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_without_a_pause_has_none_to_outlast() {
        let mut turn = turn();
        turn.outlast_pause();
        assert_eq!(turn.end().2, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_rests_once_its_bucket_is_nearly_used_up() {
        let mut turn = turn();
        assert!(turn.check_pause(|_| None).is_none(), "Atlas did not tell what is left");
        assert!(turn.check_pause(half_used).is_none(), "enough is left");
        let pause = turn.check_pause(nearly_used_up).expect("a pause");
        assert_eq!(pause.until, Instant::now() + 15 * SECOND);
        assert_eq!(pause.failure.kind, FailureKind::RateLimited);
        tokio::time::advance(14 * SECOND).await;
        assert!(turn.check_pause(|_| None).is_some(), "the pause lasts, whatever is left meanwhile");
        tokio::time::advance(SECOND).await;
        assert!(turn.check_pause(|_| None).is_none(), "the pause is over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_low_bucket_does_not_shorten_the_wait_that_atlas_asked_for() {
        let mut turn = turn();
        let limited =
            Failure { retry_after: Some(60 * SECOND), ..Failure::known(FailureKind::RateLimited, "429") };
        turn.pause_if_asked(&limited);
        let pause = turn.check_pause(nearly_used_up).expect("a pause");
        assert_eq!(pause.until, Instant::now() + 60 * SECOND);
        assert_eq!(pause.failure, limited);
    }

    /// A turn after `pauses` pauses for the sake of people, in each of which owed work waited.
    fn turn_after(pauses: u32) -> Turn {
        let mut memory = ProjectMemory::default();
        for _ in 0..pauses {
            memory.reserve_paused(true);
        }
        Turn::new(project(), memory)
    }

    /// Somebody else keeps the bucket nearly empty. Owed work waits for three pauses, then one write goes out in each
    /// turn, and after it the project is paused again.
    #[tokio::test(start_paused = true)]
    async fn owed_work_does_not_wait_for_ever() {
        for pauses in 0..3 {
            let mut turn = turn_after(pauses);
            assert!(turn.check_pause(nearly_used_up).is_some(), "after {pauses} pauses");
            turn.pass_paused(true);
            assert_eq!(turn.memory.may_use_reserve(), pauses == 2);
        }
        let mut turn = turn_after(3);
        assert!(turn.check_pause(nearly_used_up).is_none(), "the LISTs and the first write are made");
        assert!(turn.check_pause(nearly_used_up).is_none());
        turn.wrote();
        assert!(turn.check_pause(nearly_used_up).is_some(), "one write, and no more");
        turn.pass_paused(false);
        assert!(!turn.memory.may_use_reserve(), "nothing is owed any more");
    }

    /// The part for people is ours to leave. What Atlas asks for is not.
    #[tokio::test(start_paused = true)]
    async fn a_429_is_kept_to_however_long_owed_work_has_waited() {
        let limited =
            Failure { retry_after: Some(60 * SECOND), ..Failure::known(FailureKind::RateLimited, "429") };
        let mut turn = turn_after(99);
        turn.pause_if_asked(&limited);
        let pause = turn.check_pause(nearly_used_up).expect("a pause");
        assert_eq!((pause.until, pause.failure), (Instant::now() + 60 * SECOND, limited));
        turn.pass_paused(false);
        assert!(turn.memory.may_use_reserve(), "such a pause counts for nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn objects_of_no_project_are_not_paused() {
        let mut turn = Turn::new(None, ProjectMemory::default());
        assert!(turn.check_pause(nearly_used_up).is_none());
    }
}
