//! The queue of projects. It hands out turns in the order that [`crate::core::turns`] decides, and keeps what is
//! remembered of a project between two turns.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::index::ProjectKey;
use super::turn::{ProjectMemory, Turn};
use crate::core::turns::{Class, Due, Limits, Turns};

/// The queue.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    limits: Limits,
    /// Times of the turns are counted from here.
    origin: Instant,
    /// Something became due, or the queue was closed.
    wake: Notify,
    /// A turn has ended.
    ended: Notify,
}

struct Inner {
    /// Turns are counted for namespaces.
    turns: Turns<ProjectKey, Arc<str>>,
    /// What is remembered of the projects that wait, where that is something.
    memories: HashMap<ProjectKey, Box<ProjectMemory>>,
    closed: bool,
}

impl Queue {
    /// A queue that lets this many turns run at a time, and a few spare ones more; see [`Limits`].
    pub fn new(concurrency: usize) -> Queue {
        let limits = Limits::new(concurrency);
        let inner = Inner { turns: Turns::new(limits), memories: HashMap::new(), closed: false };
        Queue {
            inner: Mutex::new(inner),
            limits,
            origin: Instant::now(),
            wake: Notify::new(),
            ended: Notify::new(),
        }
    }

    /// How many turns may run at a time at most.
    pub fn most_turns(&self) -> usize {
        self.limits.turns + self.limits.spare
    }

    /// Makes projects due now, since somebody asked for it by a change in the namespace `by`.
    pub fn ask(&self, by: &Arc<str>, projects: impl IntoIterator<Item = ProjectKey>) {
        let mut inner = self.inner.lock();
        let now = self.now();
        for project in projects {
            inner.changed(&project);
            inner.turns.add(now, project, Due { at: now, class: Class::Asked, tenant: Arc::clone(by) });
            self.wake.notify_one();
        }
    }

    /// Makes a project due at a time, as a matter of routine. The turn is counted for the namespace `home`.
    pub fn plan(&self, home: Arc<str>, project: ProjectKey, at: Instant) {
        let due = Due { at: self.millis(at), class: Class::Routine, tenant: home };
        let mut inner = self.inner.lock();
        inner.changed(&project);
        inner.turns.add(self.now(), project, due);
        self.wake.notify_one();
    }

    /// The next turn, once it is due; `None` when the queue is closed.
    pub async fn next(&self) -> Option<Turn> {
        loop {
            // Registered before the look, so that an addition in between is not missed.
            let woken = self.wake.notified();
            let wait = {
                let mut inner = self.inner.lock();
                if inner.closed {
                    return None;
                }
                if let Some(project) = inner.turns.begin(self.now()) {
                    let memory = inner.memories.remove(&project);
                    // After an outage only few projects have something to remember.
                    if inner.memories.capacity() > 64 + 4 * inner.memories.len() {
                        inner.memories.shrink_to_fit();
                    }
                    if inner.turns.waiting() > 0 {
                        self.wake.notify_one();
                    }
                    return Some(Turn::new(project, memory.map(|memory| *memory).unwrap_or_default()));
                }
                inner.turns.next_at().map(|at| self.origin + Duration::from_millis(at))
            };
            match wait {
                Some(at) => tokio::select! { () = woken => {}, () = tokio::time::sleep_until(at) => {} },
                None => woken.await,
            }
        }
    }

    /// Takes a turn back. Its project is due at the time that the turn asks for, or sooner if something happened meanwhile; a project
    /// that is not due again is forgotten. Turns of routine are counted for the namespace `home`.
    pub fn done(&self, turn: Turn, home: Arc<str>) {
        let (project, mut memory, next) = turn.end();
        let next = next.map(|(at, class)| (self.millis(at), class));
        let mut inner = self.inner.lock();
        if inner.turns.is_due_again(&project) {
            memory.round.begin_again();
        }
        if inner.turns.end(self.now(), &project, next, home) && !memory.is_blank() {
            inner.memories.insert(project, Box::new(memory));
        }
        drop(inner);
        self.wake.notify_one();
        self.ended.notify_waiters();
    }

    /// How many projects wait.
    pub fn waiting(&self) -> usize {
        self.inner.lock().turns.waiting()
    }

    /// Whether the queue was closed: the process ends, and whatever is not begun yet is left to the next one.
    pub fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Ends the queue: no turn begins any more.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.wake.notify_waiters();
        self.wake.notify_one();
    }

    /// Waits until all turns have ended.
    pub async fn idle(&self) {
        loop {
            // Registered before the look, so that an end in between is not missed.
            let ended = self.ended.notified();
            if self.inner.lock().turns.running() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Now, in whole milliseconds.
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A time, in milliseconds. It is rounded up, since a turn that begins too early has to be repeated.
    fn millis(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

impl Inner {
    /// Something has changed in a project. If it waits for its next turn, that one looks at all of its objects again.
    fn changed(&mut self, project: &ProjectKey) {
        if let Some(memory) = self.memories.get_mut(project) {
            memory.round.begin_again();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::turns;
    use crate::domain::ProjectId;

    const BREATH: Duration = Duration::from_millis(turns::BREATH);

    fn project(digit: char) -> ProjectKey {
        ProjectId::parse(&digit.to_string().repeat(24))
    }

    fn queue() -> Queue {
        Queue::new(4)
    }

    fn home() -> Arc<str> {
        "home".into()
    }

    /// The next turn. The tests' time passes at once, so a queue that hands out nothing fails a test immediately.
    async fn next(queue: &Queue) -> Option<Turn> {
        let day = Duration::from_secs(24 * 3600);
        tokio::time::timeout(day, queue.next()).await.expect("a turn, or the end of the queue")
    }

    /// The next turn, ended so that it is due again after `again`.
    async fn pass(queue: &Queue, again: Option<Duration>) -> Option<ProjectKey> {
        let mut turn = next(queue).await?;
        let key = turn.key().clone();
        if let Some(again) = again {
            turn.look_again(Instant::now() + again);
        }
        queue.done(turn, home());
        Some(key)
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_waits_once_and_takes_a_breath() {
        let queue = queue();
        let start = Instant::now();
        queue.ask(&home(), [project('a'), project('a')]);
        let mut turn = next(&queue).await.expect("a turn");
        assert_eq!(*turn.key(), project('a'));
        queue.ask(&home(), [project('a')]);
        assert_eq!(queue.waiting(), 0, "it runs; the new request waits for its end");
        turn.look_again(start + Duration::from_secs(60));
        queue.done(turn, home());
        assert_eq!(pass(&queue, None).await, Some(project('a')));
        assert_eq!(start.elapsed(), BREATH);
        assert_eq!(queue.waiting(), 0, "it is not due again");
        queue.idle().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_goes_first_and_close_ends_it() {
        let queue = queue();
        let start = Instant::now();
        queue.ask(&home(), [project('a'), project('b')]);
        pass(&queue, Some(Duration::from_secs(5))).await;
        pass(&queue, Some(Duration::from_secs(3))).await;
        assert_eq!(pass(&queue, Some(Duration::from_secs(60))).await, Some(project('b')));
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert_eq!(pass(&queue, None).await, Some(project('a')));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        queue.close();
        assert_eq!(pass(&queue, None).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_that_is_asked_for_is_due_earlier_and_keeps_its_memory() {
        let queue = queue();
        let start = Instant::now();
        queue.ask(&home(), [project('a')]);
        let mut turn = next(&queue).await.expect("a turn");
        turn.object("uid").failures = 7;
        turn.look_again(start + Duration::from_secs(60));
        queue.done(turn, home());
        queue.ask(&home(), [project('a')]);
        let turn = next(&queue).await.expect("a turn");
        assert_eq!(start.elapsed(), BREATH);
        assert_eq!(turn.memory.known("uid").map(|memory| memory.failures), Some(7));
        queue.done(turn, home());
        queue.ask(&home(), [project('a')]);
        let turn = next(&queue).await.expect("a turn");
        assert!(turn.memory.is_blank(), "the project was forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_waits_for_the_turns_that_are_held() {
        let queue = queue();
        queue.ask(&home(), [project('a'), project('b')]);
        let (a, b) = (next(&queue).await.expect("a turn"), next(&queue).await.expect("a turn"));
        let limit = Duration::from_secs(9);
        assert!(tokio::time::timeout(limit, queue.idle()).await.is_err());
        queue.done(a, home());
        assert!(tokio::time::timeout(limit, queue.idle()).await.is_err());
        let end = async { tokio::join!(queue.idle(), async { queue.done(b, home()) }) };
        tokio::time::timeout(limit, end).await.expect("no turn is held");
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_counts_the_projects_that_wait() {
        let queue = queue();
        assert_eq!(queue.waiting(), 0);
        queue.ask(&home(), [project('a'), project('b'), project('a'), None]);
        assert_eq!(queue.waiting(), 3);
        pass(&queue, Some(Duration::from_secs(60))).await;
        assert_eq!(queue.waiting(), 3, "it waits again");
        pass(&queue, None).await;
        assert_eq!(queue.waiting(), 2);
    }

    /// Two workers have found the queue empty and are about to wait. Two additions in between store only one wake, so
    /// the worker that it wakes must wake the other.
    #[tokio::test(start_paused = true)]
    async fn a_worker_that_takes_a_turn_wakes_another_for_what_is_left() {
        let queue = queue();
        let (one, other) = (queue.wake.notified(), queue.wake.notified());
        queue.ask(&home(), [project('a'), project('b')]);
        let limit = Duration::from_secs(9);
        tokio::time::timeout(limit, one).await.expect("one worker wakes");
        next(&queue).await.expect("a turn");
        tokio::time::timeout(limit, other).await.expect("the other worker wakes");
    }

    #[tokio::test(start_paused = true)]
    async fn closing_the_queue_wakes_every_worker() {
        let queue = queue();
        let workers = async { tokio::join!(queue.next(), queue.next(), queue.next()) };
        let close = async { queue.close() };
        let limit = Duration::from_secs(9);
        let ((one, two, three), ()) =
            tokio::time::timeout(limit, async { tokio::join!(workers, close) }).await.expect("all end");
        assert!(one.is_none() && two.is_none() && three.is_none());
    }

    /// A project whose turn is due later is not begun after the end either.
    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_hands_out_nothing_that_still_waits() {
        let queue = queue();
        queue.ask(&home(), [project('a')]);
        assert!(!queue.is_closed());
        queue.close();
        assert!(queue.is_closed());
        assert!(next(&queue).await.is_none());
        assert_eq!(queue.waiting(), 1);
    }
}
