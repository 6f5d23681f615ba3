//! The queue of places (projects): each at most once, never two passes of one place at a time, at least a second
//! between two of them, the longest waiting first.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The least time between the ends and begins of two passes of one place.
const BREATH: Duration = Duration::from_secs(1);

/// A queue of keys with times.
pub(super) struct Queue<K> {
    inner: Mutex<Inner<K>>,
    wake: Notify,
}

struct Inner<K> {
    due: HashMap<K, Instant>,
    order: BTreeSet<(Instant, K)>,
    /// Keys that a pass runs for, and when they are due again because of what happened meanwhile.
    running: HashMap<K, Option<Instant>>,
    /// No pass of a key begins before this.
    not_before: HashMap<K, Instant>,
    closed: bool,
}

impl<K: Clone + Ord + std::hash::Hash> Queue<K> {
    pub fn new() -> Queue<K> {
        let inner = Inner {
            due: HashMap::new(),
            order: BTreeSet::new(),
            running: HashMap::new(),
            not_before: HashMap::new(),
            closed: false,
        };
        Queue { inner: Mutex::new(inner), wake: Notify::new() }
    }

    /// Makes a key due at `at`, or earlier if it is already.
    pub fn add(&self, key: K, at: Instant) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(again) = inner.running.get_mut(&key) {
            *again = Some(again.map_or(at, |before| before.min(at)));
            return;
        }
        inner.schedule(key, at);
        drop(inner);
        self.wake.notify_one();
    }

    /// The next due key, once it is due; `None` when the queue is closed.
    pub async fn next(&self) -> Option<K> {
        loop {
            // Registered before the look, so that an `add` in between is not missed.
            let woken = self.wake.notified();
            let wait = {
                let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
                if inner.closed {
                    return None;
                }
                let now = Instant::now();
                match inner.order.first().cloned() {
                    Some((at, key)) if at <= now => {
                        inner.order.pop_first();
                        inner.due.remove(&key);
                        inner.running.insert(key.clone(), None);
                        let more = !inner.order.is_empty();
                        drop(inner);
                        if more {
                            self.wake.notify_one();
                        }
                        return Some(key);
                    }
                    Some((at, _)) => Some(at),
                    None => None,
                }
            };
            match wait {
                Some(at) => tokio::select! { () = woken => {}, () = tokio::time::sleep_until(at) => {} },
                None => woken.await,
            }
        }
    }

    /// A pass has ended; the key is due again at `next`, or sooner if something happened meanwhile.
    pub fn done(&self, key: K, next: Option<Instant>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let again = inner.running.remove(&key).flatten();
        let breath = Instant::now() + BREATH;
        inner.not_before.retain(|_, until| *until > breath - BREATH);
        inner.not_before.insert(key.clone(), breath);
        let next = [again, next].into_iter().flatten().min();
        if let Some(at) = next {
            inner.schedule(key, at);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// How many keys wait, and how many passes run.
    pub fn depth(&self) -> (usize, usize) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.due.len(), inner.running.len())
    }

    /// Ends the queue: nothing begins any more.
    pub fn close(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.wake.notify_waiters();
        self.wake.notify_one();
    }
}

impl<K: Clone + Ord + std::hash::Hash> Inner<K> {
    fn schedule(&mut self, key: K, at: Instant) {
        let at = self.not_before.get(&key).map_or(at, |until| at.max(*until));
        match self.due.get(&key) {
            Some(before) if *before <= at => return,
            Some(before) => {
                self.order.remove(&(*before, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.order.insert((at, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_waits_once_and_takes_a_breath() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add("a", start + Duration::from_secs(5));
        queue.add("a", start);
        queue.add("a", start + Duration::from_secs(9));
        assert_eq!(queue.next().await, Some("a"));
        queue.add("a", Instant::now());
        assert_eq!(queue.depth(), (0, 1), "it runs; the new request waits for its end");
        queue.done("a", Some(start + Duration::from_secs(60)));
        assert_eq!(queue.next().await, Some("a"));
        assert_eq!(start.elapsed(), BREATH);
        queue.done("a", None);
        assert_eq!(queue.depth(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_goes_first_and_close_ends_it() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add("late", start + Duration::from_millis(2));
        queue.add("early", start + Duration::from_millis(1));
        assert_eq!(queue.next().await, Some("early"));
        assert_eq!(queue.next().await, Some("late"));
        queue.add("never", start + Duration::from_secs(1));
        queue.close();
        assert_eq!(queue.next().await, None);
    }
}
