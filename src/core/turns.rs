//! The order of turns: which project a pass may begin for now.
//!
//! A project is due because somebody asked for it, or as a matter of routine. What was asked for goes first; but after
//! [`Limits::asked_in_a_row`] such turns one turn of routine goes, so neither waits for ever. Each turn is counted for a
//! tenant, and within a class the tenant of which the fewest turns run is next; among equals the one whose last turn
//! began the longest time ago, and of its projects the one that has been due the longest. A few turns more than the
//! limit may run, each for a tenant of which no turn runs: so calls of one tenant that hang keep no other's edit
//! waiting.
//!
//! A project has one turn at a time, and there is a [`BREATH`] between two of them. Only a turn that somebody asked for
//! begins right after one of routine, since a resync must not delay an edit.
//!
//! Times are milliseconds from any fixed moment. `K` identifies a project, `N` a tenant.

use std::collections::{BTreeMap, BTreeSet};

/// The least time between the end of one turn of a project and the begin of the next, in milliseconds.
pub const BREATH: u64 = 1_000;

/// Why a project is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody asked for it: by an edit, a rotation, a deletion, a request or a grant.
    Asked,
    /// It is time: for a resync, for another try, or for a look after a start.
    Routine,
}

const CLASSES: [Class; 2] = [Class::Asked, Class::Routine];

/// How many turns may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// At a time.
    pub turns: usize,
    /// Besides these, each for a tenant that asked for something and of which no turn runs.
    pub spare: usize,
    /// How many turns that somebody asked for begin in a row while one of routine is due.
    pub asked_in_a_row: u32,
}

impl Limits {
    /// The limits for so many turns at a time.
    pub fn new(turns: usize) -> Limits {
        Limits { turns, spare: (turns / 4).max(1), asked_in_a_row: 3 }
    }
}

/// When a project is due, why, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Due<N> {
    /// When, in milliseconds.
    pub at: u64,
    /// Why.
    pub class: Class,
    /// The tenant for whom the turn is counted.
    pub tenant: N,
}

/// The projects that wait or have a turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Turns<K, N> {
    limits: Limits,
    /// Each project that waits. It is either in `later` or ready with its tenant.
    waiting: BTreeMap<K, Due<N>>,
    /// The projects whose time has not come.
    later: BTreeSet<(u64, K)>,
    running: BTreeMap<K, Running<N>>,
    /// How many of the running turns are beyond the limit.
    spare: usize,
    /// For the projects whose last turn ended less than a breath ago: when it is over, and the class of that turn.
    rests: BTreeMap<K, (u64, Class)>,
    /// The tenants that have a ready project or a running turn.
    tenants: BTreeMap<N, Tenant<K>>,
    /// By class, the tenants that have a ready project: by the number of their running turns, and by their last turn.
    ranks: [BTreeSet<(usize, u64, N)>; 2],
    /// How many turns have begun.
    begun: u64,
    /// How many turns that were asked for have begun since one of routine began or none was due.
    asked_in_a_row: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Running<N> {
    tenant: N,
    class: Class,
    spare: bool,
    /// What happened meanwhile.
    again: Option<Due<N>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tenant<K> {
    running: usize,
    /// The number of its last turn; before its first one, the number of the last turn when it came.
    last: u64,
    /// Its projects whose time has come, by class, the longest due first.
    ready: [BTreeSet<(u64, K)>; 2],
}

impl<K: Ord + Clone, N: Ord + Clone> Turns<K, N> {
    /// Nothing is due.
    pub fn new(limits: Limits) -> Turns<K, N> {
        Turns {
            limits,
            waiting: BTreeMap::new(),
            later: BTreeSet::new(),
            running: BTreeMap::new(),
            spare: 0,
            rests: BTreeMap::new(),
            tenants: BTreeMap::new(),
            ranks: [BTreeSet::new(), BTreeSet::new()],
            begun: 0,
            asked_in_a_row: 0,
        }
    }

    /// Makes a project due. If it is due already, the earlier time and the more urgent class count. While it has a turn,
    /// this waits for the end of that turn.
    pub fn add(&mut self, now: u64, key: K, due: Due<N>) {
        let Some(mut running) = self.running.remove(&key) else { return self.schedule(now, key, due) };
        running.again = Some(match running.again.take() {
            Some(before) => self.both(before, due),
            None => due,
        });
        self.running.insert(key, running);
    }

    /// Whether something has made a project due since its running turn began.
    pub fn is_due_again(&self, key: &K) -> bool {
        self.running.get(key).is_some_and(|running| running.again.is_some())
    }

    /// Begins the next turn, if one may begin now.
    pub fn begin(&mut self, now: u64) -> Option<K> {
        self.ripen(now);
        let ordinary = self.running.len() - self.spare < self.limits.turns;
        if !ordinary && self.spare >= self.limits.spare {
            return None;
        }
        let [asked, routine] = CLASSES.map(|class| self.ranks[class as usize].first().cloned());
        let routine_waits = routine.is_some();
        let (class, (_, _, tenant)) = if ordinary {
            let its_turn = self.asked_in_a_row >= self.limits.asked_in_a_row;
            let asked = asked.filter(|_| !(its_turn && routine_waits));
            let routine = || routine.map(|first| (Class::Routine, first));
            asked.map(|first| (Class::Asked, first)).or_else(routine)?
        } else {
            (Class::Asked, asked.filter(|(running, ..)| *running == 0)?)
        };
        self.asked_in_a_row = match class {
            Class::Asked if routine_waits => self.asked_in_a_row.saturating_add(1),
            _ => 0,
        };
        let (_, key) = self.tenants.get(&tenant)?.ready[class as usize].first()?.clone();
        self.take(&key);
        self.begun += 1;
        let number = self.begun;
        self.change(&tenant, |tenant| {
            tenant.running += 1;
            tenant.last = number;
        });
        self.spare += usize::from(!ordinary);
        self.running.insert(key.clone(), Running { tenant, class, spare: !ordinary, again: None });
        Some(key)
    }

    /// Ends a turn. The project is due again at the time `next`, in milliseconds, or sooner if something happened
    /// meanwhile. What the turn itself asked for counts for the tenant of the turn, and routine for the tenant `home`.
    /// Returns whether the project waits again; otherwise it is forgotten.
    pub fn end(&mut self, now: u64, key: &K, next: Option<(u64, Class)>, home: N) -> bool {
        let Some(ended) = self.running.remove(key) else { return false };
        self.spare -= usize::from(ended.spare);
        self.change(&ended.tenant, |tenant| tenant.running -= 1);
        self.rests.retain(|_, (until, _)| *until > now);
        self.rests.insert(key.clone(), (now + BREATH, ended.class));
        let next = next.map(|(at, class)| {
            let tenant = if class == Class::Asked { ended.tenant } else { home };
            Due { at, class, tenant }
        });
        for due in [ended.again, next].into_iter().flatten() {
            self.schedule(now, key.clone(), due);
        }
        self.waiting.contains_key(key)
    }

    /// When the next project becomes due of those that were not due when a turn was last asked for.
    pub fn next_at(&self) -> Option<u64> {
        self.later.first().map(|(at, _)| *at)
    }

    /// How many projects wait, whether their time has come or not.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many turns run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    fn schedule(&mut self, now: u64, key: K, mut due: Due<N>) {
        if let Some((until, class)) = self.rests.get(&key)
            && (due.class, *class) != (Class::Asked, Class::Routine)
        {
            due.at = due.at.max(*until);
        }
        if let Some(before) = self.waiting.get(&key) {
            due = self.both(before.clone(), due);
            if due == *before {
                return;
            }
            self.take(&key);
        }
        if due.at > now {
            self.later.insert((due.at, key.clone()));
        } else {
            self.make_ready(&key, &due);
        }
        self.waiting.insert(key, due);
    }

    /// What two causes come to.
    fn both(&self, before: Due<N>, new: Due<N>) -> Due<N> {
        let running = |due: &Due<N>| self.tenants.get(&due.tenant).map_or(0, |tenant| tenant.running);
        let (at, class) = (before.at.min(new.at), before.class.min(new.class));
        // Nobody who asks waits longer because somebody else asked for the same project first.
        let keep = match before.class.cmp(&new.class) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => running(&before) <= running(&new),
        };
        Due { at, class, tenant: if keep { before.tenant } else { new.tenant } }
    }

    /// Takes a project out of those that wait.
    fn take(&mut self, key: &K) {
        let Some(due) = self.waiting.remove(key) else { return };
        let place = (due.at, key.clone());
        if !self.later.remove(&place) {
            self.change(&due.tenant, |tenant| _ = tenant.ready[due.class as usize].remove(&place));
        }
    }

    /// Moves the projects whose time has come to their tenants.
    fn ripen(&mut self, now: u64) {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.later.pop_first() else { return };
            if let Some(due) = self.waiting.get(&key).cloned() {
                self.make_ready(&key, &due);
            }
        }
    }

    fn make_ready(&mut self, key: &K, due: &Due<N>) {
        self.change(&due.tenant, |tenant| _ = tenant.ready[due.class as usize].insert((due.at, key.clone())));
    }

    /// Changes a tenant, and its ranks with it. A tenant with nothing ready and nothing running is forgotten.
    fn change(&mut self, name: &N, change: impl FnOnce(&mut Tenant<K>)) {
        // Whoever comes is behind those who wait: otherwise tenants that come and go would starve one that stays.
        let last = self.begun;
        let blank = || Tenant { running: 0, last, ready: [BTreeSet::new(), BTreeSet::new()] };
        let mut tenant = self.tenants.remove(name).unwrap_or_else(blank);
        for (_, ranks) in tenant.ready.iter().zip(&mut self.ranks).filter(|(ready, _)| !ready.is_empty()) {
            ranks.remove(&(tenant.running, tenant.last, name.clone()));
        }
        change(&mut tenant);
        let mut needed = tenant.running > 0;
        for (_, ranks) in tenant.ready.iter().zip(&mut self.ranks).filter(|(ready, _)| !ready.is_empty()) {
            ranks.insert((tenant.running, tenant.last, name.clone()));
            needed = true;
        }
        if needed {
            self.tenants.insert(name.clone(), tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::{Asked, Routine};

    type Two = Turns<&'static str, char>;

    /// Tenants are the first letters of their projects' names.
    fn due(at: u64, class: Class, key: &str) -> Due<char> {
        Due { at, class, tenant: key.chars().next().expect("a name") }
    }

    fn turns(limit: usize, due_now: &[(&'static str, Class)]) -> Two {
        let mut turns = Turns::new(Limits::new(limit));
        for &(key, class) in due_now {
            turns.add(0, key, due(0, class, key));
        }
        turns
    }

    fn begin_all(turns: &mut Two, now: u64) -> Vec<&'static str> {
        std::iter::from_fn(|| turns.begin(now)).collect()
    }

    /// The order in which one worker takes what is due.
    fn order(turns: &mut Two, now: u64) -> Vec<&'static str> {
        std::iter::from_fn(|| {
            let key = turns.begin(now)?;
            turns.end(now, &key, None, 'h');
            Some(key)
        })
        .collect()
    }

    #[test]
    fn what_somebody_asked_for_goes_first() {
        let mut turns = turns(1, &[("a1", Routine), ("a2", Routine), ("a3", Asked)]);
        assert_eq!(order(&mut turns, 0), ["a3", "a1", "a2"]);
    }

    #[test]
    fn routine_goes_after_three_turns_that_were_asked_for() {
        let asked = ["a1", "a2", "a3", "a4", "a5", "a6", "a7"].map(|key| (key, Asked));
        let mut turns = turns(1, &[asked.as_slice(), &[("r1", Routine), ("r2", Routine)]].concat());
        assert_eq!(order(&mut turns, 0), ["a1", "a2", "a3", "r1", "a4", "a5", "a6", "r2", "a7"]);
    }

    /// Only turns for which a turn of routine waited count.
    #[test]
    fn routine_that_was_not_due_has_not_waited() {
        let mut turns = turns(1, &["a1", "a2", "a3", "a4", "a5"].map(|key| (key, Asked)));
        turns.add(0, "r1", due(5, Routine, "r"));
        for expected in ["a1", "a2", "a3"] {
            assert_eq!(turns.begin(0), Some(expected));
            turns.end(0, &expected, None, 'h');
        }
        assert_eq!(order(&mut turns, 5), ["a4", "a5", "r1"]);
    }

    #[test]
    fn the_longest_due_goes_first() {
        let mut turns = turns(1, &[]);
        for (key, at) in [("a1", 3), ("a2", 1), ("a3", 2)] {
            turns.add(0, key, due(at, Routine, key));
        }
        assert_eq!((turns.next_at(), turns.begin(0)), (Some(1), None));
        assert_eq!(order(&mut turns, 3), ["a2", "a3", "a1"]);
    }

    #[test]
    fn tenants_take_turns_however_much_each_has_waiting() {
        for class in [Asked, Routine] {
            let mut turns = turns(1, &["a1", "a2", "a3", "b1", "b2", "c1"].map(|key| (key, class)));
            assert_eq!(order(&mut turns, 0), ["a1", "b1", "c1", "a2", "b2", "a3"], "{class:?}");
        }
    }

    /// Tenants that come again and again with one project each must not starve one that waits all the time.
    #[test]
    fn a_tenant_that_comes_again_and_again_takes_its_turn() {
        let mut turns = turns(1, &["a1", "a2", "a3", "b1"].map(|key| (key, Asked)));
        for expected in ["a1", "b1", "a2", "b1", "a3"] {
            assert_eq!(turns.begin(0), Some(expected));
            turns.end(0, &expected, None, 'h');
            turns.rests.clear();
            turns.add(0, "b1", due(0, Asked, "b"));
        }
    }

    #[test]
    fn the_tenant_with_the_fewest_running_turns_goes_first() {
        let mut turns = turns(4, &["a1", "a2", "a3", "a4"].map(|key| (key, Asked)));
        assert_eq!([turns.begin(0), turns.begin(0)], [Some("a1"), Some("a2")]);
        for key in ["b1", "b2"] {
            turns.add(0, key, due(0, Asked, key));
        }
        assert_eq!(begin_all(&mut turns, 0), ["b1", "b2"], "a has two running turns, and waits");
    }

    #[test]
    fn one_tenant_alone_may_have_all_turns_and_no_more() {
        let mut turns = turns(8, &[]);
        for key in ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"] {
            turns.add(0, key, due(0, Asked, key));
        }
        assert_eq!(begin_all(&mut turns, 0).len(), 8);
    }

    #[test]
    fn a_tenant_whose_turns_hang_keeps_nobody_elses_edit_waiting() {
        for limit in [1, 4, 16] {
            let mut turns = Turns::new(Limits::new(limit));
            for key in 0..40 {
                turns.add(0, ('a', key), Due { at: 0, class: Asked, tenant: 'a' });
            }
            while turns.begin(0).is_some() {}
            assert_eq!(turns.running(), limit);
            turns.add(0, ('b', 0), Due { at: 0, class: Routine, tenant: 'b' });
            assert_eq!(turns.begin(0), None, "a resync may wait");
            for key in 1..3 {
                turns.add(0, ('b', key), Due { at: 0, class: Asked, tenant: 'b' });
            }
            assert_eq!(turns.begin(0), Some(('b', 1)), "{limit}");
            assert_eq!(turns.begin(0), None, "one turn of b runs: its next waits for one to end");
            turns.end(0, &('a', 0), None, 'a');
            let next = if limit == 1 { ('a', 1) } else { ('b', 2) };
            assert_eq!(turns.begin(0), Some(next), "{limit}: whoever has fewer running turns");
        }
    }

    /// Edits of tenants that run nothing take what is spare, and nothing of what all others share.
    #[test]
    fn spare_turns_take_nothing_from_the_others() {
        let mut turns = turns(4, &["a1", "a2", "a3", "a4", "a5"].map(|key| (key, Asked)));
        turns.add(0, "r1", due(0, Routine, "r"));
        assert_eq!(begin_all(&mut turns, 0), ["a1", "a2", "a3", "r1"]);
        turns.add(0, "b1", due(0, Asked, "b"));
        turns.add(0, "c1", due(0, Asked, "c"));
        assert_eq!(begin_all(&mut turns, 0), ["b1"]);
        turns.end(0, &"b1", None, 'b');
        assert_eq!(begin_all(&mut turns, 0), ["c1"]);
        turns.end(0, &"a1", None, 'a');
        assert_eq!(begin_all(&mut turns, 0), ["a4"], "although c's spare turn runs");
    }

    #[test]
    fn a_project_has_one_turn_at_a_time_and_takes_a_breath() {
        for (first, second) in [(Asked, Asked), (Asked, Routine), (Routine, Routine)] {
            let mut turns = turns(4, &[("a1", first)]);
            assert_eq!(turns.begin(0), Some("a1"));
            turns.add(1, "a1", due(1, second, "a"));
            assert_eq!((turns.begin(1), turns.waiting()), (None, 0));
            assert!(turns.end(2, &"a1", None, 'a'));
            assert_eq!((turns.begin(2), turns.next_at()), (None, Some(2 + BREATH)), "{first:?}, {second:?}");
            assert_eq!(turns.begin(2 + BREATH), Some("a1"));
        }
    }

    #[test]
    fn what_is_asked_for_begins_right_after_a_turn_of_routine() {
        let mut turns = turns(4, &[("a1", Routine)]);
        assert_eq!(turns.begin(0), Some("a1"));
        turns.end(1, &"a1", Some((600, Routine)), 'a');
        turns.add(2, "a1", due(2, Asked, "a"));
        assert_eq!(turns.begin(2), Some("a1"));
        turns.end(3, &"a1", Some((3, Asked)), 'a');
        assert_eq!(turns.begin(3), None, "the turn before was asked for");
        assert_eq!(turns.begin(3 + BREATH), Some("a1"));
    }

    #[test]
    fn every_project_takes_its_own_breath_and_one_that_is_over_is_forgotten() {
        let mut turns = turns(1, &[("a1", Asked), ("b1", Asked)]);
        assert_eq!(turns.begin(0), Some("a1"));
        turns.end(0, &"a1", Some((0, Asked)), 'a');
        assert_eq!(turns.begin(500), Some("b1"));
        turns.end(500, &"b1", Some((0, Asked)), 'b');
        assert_eq!(turns.rests.len(), 2);
        assert_eq!((turns.begin(BREATH - 1), turns.begin(BREATH)), (None, Some("a1")));
        turns.end(BREATH, &"a1", None, 'a');
        assert_eq!(turns.rests.keys().copied().collect::<Vec<_>>(), ["a1", "b1"]);
        assert_eq!((turns.begin(500 + BREATH - 1), turns.begin(500 + BREATH)), (None, Some("b1")));
        turns.end(5 * BREATH, &"b1", None, 'b');
        assert_eq!(turns.rests.keys().copied().collect::<Vec<_>>(), ["b1"]);
    }

    /// Of several causes the earliest time and the more urgent class count, and it waits once.
    #[test]
    fn a_project_waits_once() {
        let mut turns = turns(1, &[]);
        turns.add(0, "a1", due(9, Routine, "a"));
        turns.add(0, "a1", due(5, Routine, "a"));
        turns.add(0, "a1", due(7, Asked, "b"));
        assert_eq!(turns.waiting(), 1);
        turns.add(0, "c1", due(5, Routine, "c"));
        assert_eq!(order(&mut turns, 5), ["a1", "c1"], "it is asked for");
        assert_eq!(turns.begin(9), None);
    }

    #[test]
    fn a_project_that_is_asked_for_again_keeps_its_place() {
        let mut turns = turns(1, &[("a1", Asked)]);
        turns.add(1, "a2", due(1, Asked, "a"));
        turns.add(2, "a1", due(2, Asked, "a"));
        turns.add(2, "a1", due(2, Routine, "b"));
        assert_eq!(order(&mut turns, 2), ["a1", "a2"]);
    }

    /// A tenant whose calls hang may have objects in a project of others. What they ask for counts for them.
    #[test]
    fn a_project_that_two_tenants_ask_for_is_counted_for_the_idle_one() {
        for order in [["a", "b"], ["b", "a"]] {
            let mut turns = turns(2, &["a1", "a2"].map(|key| (key, Asked)));
            assert_eq!(begin_all(&mut turns, 0), ["a1", "a2"]);
            for tenant in order {
                turns.add(0, "both", due(0, Asked, tenant));
            }
            assert_eq!(turns.begin(0), Some("both"), "{order:?}");
        }
    }

    /// What a turn asks for itself is paid by who asked for the turn, and a resync by the project's own tenant.
    #[test]
    fn each_next_turn_is_counted_for_its_tenant() {
        for (class, tenant) in [(Asked, 'a'), (Routine, 'h')] {
            let mut turns = turns(1, &[("a1", Asked)]);
            assert_eq!(turns.begin(0), Some("a1"));
            turns.end(0, &"a1", Some((5, class)), 'h');
            assert_eq!(turns.begin(5 + BREATH), Some("a1"));
            assert!(turns.tenants.keys().eq([&tenant]), "{class:?}");
        }
    }

    #[test]
    fn who_has_nothing_ready_and_nothing_running_is_forgotten() {
        let mut turns = turns(2, &[("a1", Asked), ("b1", Routine)]);
        turns.add(0, "c1", due(9, Routine, "c"));
        assert_eq!(turns.tenants.len(), 2);
        assert_eq!(order(&mut turns, 0), ["a1", "b1"]);
        assert!(turns.tenants.is_empty() && turns.ranks.iter().all(BTreeSet::is_empty));
        assert_eq!(turns.waiting(), 1);
    }
}
