//! The queue of places. It hands out turns: at most one turn of a place at a time, at least a second between two turns
//! of one place, the longest waiting first.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::index::Place;
use super::turn::{Project, Turn};

/// The least time between the end of one turn of a place and the begin of the next.
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
    waiting: HashMap<Place, Waiting>,
    order: BTreeSet<(Instant, Place)>,
    /// Places that a pass runs for, and when they are due again because of what happened meanwhile.
    running: HashMap<Place, Option<Instant>>,
    /// No turn of a place begins before this.
    not_before: HashMap<Place, Instant>,
    closed: bool,
}

/// A place at rest.
struct Waiting {
    due: Instant,
    /// What is remembered of it; `None` where that is nothing.
    project: Option<Box<Project>>,
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

    /// Makes places due now.
    pub fn add(&self, places: impl IntoIterator<Item = Place>) {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        for place in places {
            match inner.running.get_mut(&place) {
                Some(again) => *again = Some(again.map_or(now, |before| before.min(now))),
                None => {
                    inner.schedule(place, now, None);
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

    /// Takes a turn back. Its place is due when the turn says, or sooner if something happened meanwhile; a place that
    /// is not due again is forgotten.
    pub fn done(&self, turn: Turn) {
        let (place, project, next) = turn.end();
        let mut inner = self.inner.lock();
        let again = inner.running.remove(&place).flatten();
        let breath = Instant::now() + BREATH;
        inner.not_before.retain(|_, until| *until > breath - BREATH);
        inner.not_before.insert(place.clone(), breath);
        if let Some(at) = [again, next].into_iter().flatten().min() {
            inner.schedule(place, at, Some(project));
        }
        drop(inner);
        self.wake.notify_one();
        self.ended.notify_waiters();
    }

    /// How many places wait.
    pub fn waiting(&self) -> usize {
        self.inner.lock().waiting.len()
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
    /// Makes a place due. `project` is what a turn that ended remembers; `None` leaves what is at rest as it is.
    fn schedule(&mut self, place: Place, at: Instant, project: Option<Project>) {
        let at = self.not_before.get(&place).map_or(at, |until| at.max(*until));
        let project = project.filter(|project| !project.is_blank()).map(Box::new);
        match self.waiting.get_mut(&place) {
            Some(waiting) if waiting.due <= at => return,
            Some(waiting) => {
                self.order.remove(&(waiting.due, place.clone()));
                waiting.due = at;
            }
            None => {
                self.waiting.insert(place.clone(), Waiting { due: at, project });
            }
        }
        self.order.insert((at, place));
    }

    /// Takes the first place out, for a turn.
    fn begin(&mut self) -> Option<Turn> {
        let (_, place) = self.order.pop_first()?;
        let project = self.waiting.remove(&place).and_then(|waiting| waiting.project);
        self.running.insert(place.clone(), None);
        Some(Turn::new(place, project.map(|project| *project).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProjectId;

    fn place(digit: char) -> Place {
        ProjectId::parse(&digit.to_string().repeat(24))
    }

    /// The next turn, ended so that it is due again after `again`.
    async fn pass(queue: &Queue, again: Option<Duration>) -> Option<Place> {
        let mut turn = queue.next().await?;
        let place = turn.place().clone();
        if let Some(again) = again {
            turn.look_again(Instant::now() + again);
        }
        queue.done(turn);
        Some(place)
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_waits_once_and_takes_a_breath() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add([place('a'), place('a')]);
        let mut turn = queue.next().await.expect("a turn");
        assert_eq!(*turn.place(), place('a'));
        queue.add([place('a')]);
        assert_eq!(queue.waiting(), 0, "it runs; the new request waits for its end");
        turn.look_again(start + Duration::from_secs(60));
        queue.done(turn);
        assert_eq!(pass(&queue, None).await, Some(place('a')));
        assert_eq!(start.elapsed(), BREATH);
        assert_eq!(queue.waiting(), 0, "it is not due again");
        queue.idle().await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_goes_first_and_close_ends_it() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add([place('a'), place('b')]);
        pass(&queue, Some(Duration::from_secs(5))).await;
        pass(&queue, Some(Duration::from_secs(3))).await;
        assert_eq!(pass(&queue, Some(Duration::from_secs(60))).await, Some(place('b')));
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert_eq!(pass(&queue, None).await, Some(place('a')));
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        queue.close();
        assert_eq!(pass(&queue, None).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_asked_for_is_due_earlier_and_keeps_its_memory() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add([place('a')]);
        let mut turn = queue.next().await.expect("a turn");
        turn.object("uid").failures = 7;
        turn.look_again(start + Duration::from_secs(60));
        queue.done(turn);
        queue.add([place('a')]);
        let turn = queue.next().await.expect("a turn");
        assert_eq!(start.elapsed(), BREATH);
        assert_eq!(turn.project.known("uid").map(|memory| memory.failures), Some(7));
        queue.done(turn);
        queue.add([place('a')]);
        let turn = queue.next().await.expect("a turn");
        assert!(turn.project.is_blank(), "the place was forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_waits_for_the_turns_that_are_held() {
        let queue = Queue::new();
        queue.add([place('a'), place('b')]);
        let (a, b) = (queue.next().await.expect("a turn"), queue.next().await.expect("a turn"));
        let limit = Duration::from_secs(9);
        assert!(tokio::time::timeout(limit, queue.idle()).await.is_err());
        queue.done(a);
        assert!(tokio::time::timeout(limit, queue.idle()).await.is_err());
        tokio::join!(queue.idle(), async { queue.done(b) });
    }
}
