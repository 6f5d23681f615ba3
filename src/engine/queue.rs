//! The queue of projects. It hands out turns: at most one turn of a project at a time, at least a second between two
//! turns of one project, the longest waiting first.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::index::ProjectKey;
use super::turn::{ProjectMemory, Turn};

/// The least time between the end of one turn of a project and the begin of the next.
const BREATH: Duration = Duration::from_secs(1);

/// The queue.
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// Something became due, or the queue was closed.
    wake: Notify,
    /// A turn has ended.
    ended: Notify,
}

struct Inner {
    waiting: HashMap<ProjectKey, Waiting>,
    order: BTreeSet<(Instant, ProjectKey)>,
    /// Projects that a pass runs for, and when they are due again because of what happened meanwhile.
    running: HashMap<ProjectKey, Option<Instant>>,
    /// No turn of a project begins before this.
    not_before: HashMap<ProjectKey, Instant>,
    closed: bool,
}

/// A project at rest.
struct Waiting {
    due: Instant,
    /// What is remembered of it; `None` where that is nothing.
    memory: Option<Box<ProjectMemory>>,
}

impl Queue {
    pub fn new() -> Queue {
        let inner = Inner {
            waiting: HashMap::new(),
            order: BTreeSet::new(),
            running: HashMap::new(),
            not_before: HashMap::new(),
            closed: false,
        };
        Queue { inner: Mutex::new(inner), wake: Notify::new(), ended: Notify::new() }
    }

    /// Makes projects due now.
    pub fn add(&self, keys: impl IntoIterator<Item = ProjectKey>) {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        for key in keys {
            match inner.running.get_mut(&key) {
                Some(again) => *again = Some(again.map_or(now, |before| before.min(now))),
                None => {
                    inner.schedule(key, now, None);
                    self.wake.notify_one();
                }
            }
        }
    }

    /// The next turn, once it is due; `None` when the queue is closed.
    pub async fn next(&self) -> Option<Turn> {
        loop {
            // Registered before the look, so that an `add` in between is not missed.
            let woken = self.wake.notified();
            let wait = {
                let mut inner = self.inner.lock();
                if inner.closed {
                    return None;
                }
                let now = Instant::now();
                match inner.order.first().map(|(at, _)| *at) {
                    Some(at) if at <= now => {
                        let turn = inner.begin();
                        if !inner.order.is_empty() {
                            self.wake.notify_one();
                        }
                        return turn;
                    }
                    wait => wait,
                }
            };
            match wait {
                Some(at) => tokio::select! { () = woken => {}, () = tokio::time::sleep_until(at) => {} },
                None => woken.await,
            }
        }
    }

    /// Takes a turn back. Its project is due at the time that the turn asks for, or sooner if something happened meanwhile; a project
    /// that is not due again is forgotten.
    pub fn done(&self, turn: Turn) {
        let (key, memory, next) = turn.end();
        let mut inner = self.inner.lock();
        let again = inner.running.remove(&key).flatten();
        let now = Instant::now();
        inner.not_before.retain(|_, until| *until > now);
        inner.not_before.insert(key.clone(), now + BREATH);
        if let Some(at) = [again, next].into_iter().flatten().min() {
            inner.schedule(key, at, Some(memory));
        }
        drop(inner);
        self.wake.notify_one();
        self.ended.notify_waiters();
    }

    /// How many projects wait.
    pub fn waiting(&self) -> usize {
        self.inner.lock().waiting.len()
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
            if self.inner.lock().running.is_empty() {
                return;
            }
            ended.await;
        }
    }
}

impl Inner {
    /// Makes a project due. `memory` is what a turn that ended remembers; `None` leaves what is at rest as it is.
    fn schedule(&mut self, key: ProjectKey, at: Instant, memory: Option<ProjectMemory>) {
        let at = self.not_before.get(&key).map_or(at, |until| at.max(*until));
        let memory = memory.filter(|memory| !memory.is_blank()).map(Box::new);
        match self.waiting.get_mut(&key) {
            Some(waiting) if waiting.due <= at => return,
            Some(waiting) => {
                self.order.remove(&(waiting.due, key.clone()));
                waiting.due = at;
            }
            None => {
                self.waiting.insert(key.clone(), Waiting { due: at, memory });
            }
        }
        self.order.insert((at, key));
    }

    /// Takes the first project out, for a turn.
    fn begin(&mut self) -> Option<Turn> {
        let (_, key) = self.order.pop_first()?;
        let memory = self.waiting.remove(&key).and_then(|waiting| waiting.memory);
        self.running.insert(key.clone(), None);
        Some(Turn::new(key, memory.map(|memory| *memory).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProjectId;

    fn project(digit: char) -> ProjectKey {
        ProjectId::parse(&digit.to_string().repeat(24))
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
        queue.done(turn);
        Some(key)
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_waits_once_and_takes_a_breath() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add([project('a'), project('a')]);
        let mut turn = next(&queue).await.expect("a turn");
        assert_eq!(*turn.key(), project('a'));
        queue.add([project('a')]);
        assert_eq!(queue.waiting(), 0, "it runs; the new request waits for its end");
        turn.look_again(start + Duration::from_secs(60));
        queue.done(turn);
        assert_eq!(pass(&queue, None).await, Some(project('a')));
        assert_eq!(start.elapsed(), BREATH);
        assert_eq!(queue.waiting(), 0, "it is not due again");
        queue.idle().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_goes_first_and_close_ends_it() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add([project('a'), project('b')]);
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
        let queue = Queue::new();
        let start = Instant::now();
        queue.add([project('a')]);
        let mut turn = next(&queue).await.expect("a turn");
        turn.object("uid").failures = 7;
        turn.look_again(start + Duration::from_secs(60));
        queue.done(turn);
        queue.add([project('a')]);
        let turn = next(&queue).await.expect("a turn");
        assert_eq!(start.elapsed(), BREATH);
        assert_eq!(turn.memory.known("uid").map(|memory| memory.failures), Some(7));
        queue.done(turn);
        queue.add([project('a')]);
        let turn = next(&queue).await.expect("a turn");
        assert!(turn.memory.is_blank(), "the project was forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_waits_for_the_turns_that_are_held() {
        let queue = Queue::new();
        queue.add([project('a'), project('b')]);
        let (a, b) = (next(&queue).await.expect("a turn"), next(&queue).await.expect("a turn"));
        let limit = Duration::from_secs(9);
        assert!(tokio::time::timeout(limit, queue.idle()).await.is_err());
        queue.done(a);
        assert!(tokio::time::timeout(limit, queue.idle()).await.is_err());
        let end = async { tokio::join!(queue.idle(), async { queue.done(b) }) };
        tokio::time::timeout(limit, end).await.expect("no turn is held");
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_counts_the_projects_that_wait() {
        let queue = Queue::new();
        assert_eq!(queue.waiting(), 0);
        queue.add([project('a'), project('b'), project('a'), None]);
        assert_eq!(queue.waiting(), 3);
        pass(&queue, Some(Duration::from_secs(60))).await;
        assert_eq!(queue.waiting(), 3, "it waits again");
        pass(&queue, None).await;
        assert_eq!(queue.waiting(), 2);
    }

    /// A busy project must not keep the others from their turns, nor lose its own.
    #[tokio::test(start_paused = true)]
    async fn a_project_that_is_asked_for_again_keeps_its_place() {
        let queue = Queue::new();
        queue.add([project('a')]);
        tokio::time::advance(Duration::from_millis(1)).await;
        queue.add([project('b')]);
        tokio::time::advance(Duration::from_millis(1)).await;
        queue.add([project('a')]);
        assert_eq!(pass(&queue, None).await, Some(project('a')));
        assert_eq!(pass(&queue, None).await, Some(project('b')));
    }

    #[tokio::test(start_paused = true)]
    async fn every_project_takes_its_own_breath() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add([project('a'), project('b')]);
        pass(&queue, None).await;
        tokio::time::advance(BREATH / 2).await;
        pass(&queue, None).await;
        queue.add([project('a'), project('b')]);
        assert_eq!(pass(&queue, None).await, Some(project('a')));
        assert_eq!(start.elapsed(), BREATH);
        assert_eq!(pass(&queue, None).await, Some(project('b')));
        assert_eq!(start.elapsed(), BREATH / 2 + BREATH);
    }

    /// A cluster may have had many more projects than it has now.
    #[tokio::test(start_paused = true)]
    async fn a_breath_that_is_over_is_forgotten() {
        let queue = Queue::new();
        queue.add([project('a'), project('b')]);
        pass(&queue, None).await;
        tokio::time::advance(BREATH).await;
        pass(&queue, None).await;
        let inner = queue.inner.lock();
        assert!(inner.not_before.keys().eq([&project('b')]));
    }

    /// Two workers have found the queue empty and are about to wait. Two additions in between store only one wake, so
    /// the worker that it wakes must wake the other.
    #[tokio::test(start_paused = true)]
    async fn a_worker_that_takes_a_turn_wakes_another_for_what_is_left() {
        let queue = Queue::new();
        let (one, other) = (queue.wake.notified(), queue.wake.notified());
        queue.add([project('a'), project('b')]);
        let limit = Duration::from_secs(9);
        tokio::time::timeout(limit, one).await.expect("one worker wakes");
        next(&queue).await.expect("a turn");
        tokio::time::timeout(limit, other).await.expect("the other worker wakes");
    }

    #[tokio::test(start_paused = true)]
    async fn closing_the_queue_wakes_every_worker() {
        let queue = Queue::new();
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
        let queue = Queue::new();
        queue.add([project('a')]);
        assert!(!queue.is_closed());
        queue.close();
        assert!(queue.is_closed());
        assert!(next(&queue).await.is_none());
        assert_eq!(queue.waiting(), 1);
    }
}
