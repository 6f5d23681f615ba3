//! A round: the turns in a row that a project with too much work for one pass needs until each of its objects had its
//! turn.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use crate::core::turns::Class;

/// What a round has brought so far, by the uid of each object. It is empty for a project that needs only one pass.
#[derive(Default)]
pub(in crate::engine) struct Round {
    visits: HashMap<String, Visit>,
    /// When the first pass after the round is due, as far as the passes of the round know it, and why. The passes of the
    /// round look only at objects that still need a turn, so what makes another object due must not be forgotten.
    pub due: Option<(Instant, Class)>,
}

/// What is remembered of an object that a pass of the round reached.
struct Visit {
    /// Whether the object's own LIST showed an integration in its place; `None` if there was no LIST for it.
    entry: Option<bool>,
    /// When the pass began in which the object last had its turn.
    had_turn: Option<Instant>,
    /// Whether it needs no further turn in this round.
    done: bool,
}

/// What became of an object that a pass reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Outcome {
    /// It had its turn, and needs no other one in this round.
    Done,
    /// It had its turn, but the pass did not know enough of the other objects to decide about it.
    Undecided,
    /// There was no time left for it.
    Late,
}

impl Round {
    /// Whether the object still needs a turn in this round.
    pub fn is_open(&self, uid: &str) -> bool {
        self.visits.get(uid).is_none_or(|visit| !visit.done)
    }

    /// When the object last had its turn. `None`, for an object that had none yet, sorts before all others.
    pub fn had_turn(&self, uid: &str) -> Option<Instant> {
        self.visits.get(uid)?.had_turn
    }

    /// What the object's own LIST showed last, if a pass of the round reached it: see [`Round::reached`].
    pub fn entry(&self, uid: &str) -> Option<Option<bool>> {
        self.visits.get(uid).map(|visit| visit.entry)
    }

    /// Notes that the pass that began at `begun` reached the object, what its LIST showed, and what became of it.
    pub fn reached(&mut self, uid: &str, entry: Option<bool>, begun: Instant, outcome: Outcome) {
        let had_turn = if outcome == Outcome::Late { self.had_turn(uid) } else { Some(begun) };
        self.visits.insert(uid.to_owned(), Visit { entry, had_turn, done: outcome == Outcome::Done });
    }

    /// Something has changed: every object needs a turn again, those first that waited longest for one.
    pub fn begin_again(&mut self) {
        for visit in self.visits.values_mut() {
            visit.done = false;
        }
    }

    /// The round is over: every object had its turn.
    pub fn end(&mut self) {
        self.visits = HashMap::new();
    }

    /// Forgets all objects but these.
    pub fn keep_only(&mut self, uids: &HashSet<&str>) {
        self.visits.retain(|uid, _| uids.contains(uid.as_str()));
    }

    /// Whether nothing is remembered, because no round has begun.
    pub fn is_blank(&self) -> bool {
        self.visits.is_empty() && self.due.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_object_needs_turns_until_one_ends_it() {
        let begun = Instant::now();
        let mut round = Round::default();
        assert!(round.is_blank() && round.is_open("x") && round.had_turn("x").is_none());
        assert_eq!(round.entry("x"), None, "nobody looked yet");
        round.reached("x", Some(true), begun, Outcome::Late);
        assert!(round.is_open("x") && round.had_turn("x").is_none(), "it keeps its place in the line");
        assert_eq!(round.entry("x"), Some(Some(true)));
        round.reached("x", None, begun, Outcome::Undecided);
        assert!(round.is_open("x") && round.had_turn("x") == Some(begun), "it goes to the end of the line");
        assert_eq!(round.entry("x"), Some(None));
        round.reached("x", Some(false), begun, Outcome::Done);
        assert!(!round.is_open("x") && round.is_open("y"));
        round.end();
        assert!(round.is_blank() && round.is_open("x"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_makes_a_round_begin_again_with_the_line_as_it_was() {
        let begun = Instant::now();
        let mut round = Round::default();
        round.reached("first", Some(false), begun, Outcome::Done);
        round.reached("second", Some(false), begun + Duration::from_secs(9), Outcome::Done);
        round.begin_again();
        assert!(round.is_open("first") && round.is_open("second"));
        assert!(round.had_turn("new") < round.had_turn("first"));
        assert!(round.had_turn("first") < round.had_turn("second"));
        assert_eq!(round.entry("first"), Some(Some(false)), "what was seen still helps to decide");
    }

    #[test]
    fn an_object_that_is_gone_is_forgotten() {
        let mut round = Round::default();
        round.reached("gone", None, Instant::now(), Outcome::Done);
        round.keep_only(&HashSet::from(["x"]));
        assert!(round.is_blank());
    }
}
