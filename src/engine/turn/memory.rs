//! What this process remembers of an object, apart from what the cluster stores. All of it can be lost, by a restart or
//! when the spec can't be read for a while: then the operator reads once more, and where it must, writes once more.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::SecretIdentity;
use crate::core::conditions::Verdict;
use crate::domain::{Failure, Prospect, Reason};

/// After this long without a repair, repairs are free again.
const REPAIRS_FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// What a write depends on. While it is the same, a write that was refused is not sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Signature {
    pub config: String,
    /// Digest of the Secrets as read.
    pub secrets: [u8; 16],
    pub requests: (Option<String>, Option<String>),
    /// Whether Atlas showed an entry: what could not be created may be adopted.
    pub entry: bool,
    /// Another key may be allowed what this one is not.
    pub credentials: Option<SecretIdentity>,
}

/// A write that failed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::engine) struct Refused {
    /// The generation of the object that was refused.
    pub generation: i64,
    pub signature: Signature,
    /// When the same write may be sent again; `None`: never.
    pub retry_at: Option<Instant>,
    pub verdict: Verdict,
}

/// One object's memory. An object with which all is well has none.
#[derive(Default, PartialEq)]
pub(in crate::engine) struct Memory {
    /// The time of the fence after which the outcome is known.
    pub outcome_known: Option<Timestamp>,
    /// The attempt whose DELETE Atlas confirmed: whatever is there now belongs to somebody else.
    pub deleted: Option<String>,
    /// The last write that failed.
    pub refused: Option<Box<Refused>>,
    /// Failures in a row.
    pub failures: u32,
    /// The present reason, and since when it has held.
    pub since: Option<(Reason, Instant)>,
    /// The verdict that was stored last and the resourceVersion that it has, unless all was well.
    pub said: Option<Box<(u64, Verdict)>>,
    /// Repairs of drift in the last day, and the time of the last one.
    pub repairs: u32,
    pub last_repair: Option<Instant>,
    /// Since when the object has waited for its turn in a project that was paused before its turn came.
    pub waiting_since: Option<Instant>,
    /// Since when Atlas could not be read.
    pub unread_since: Option<Instant>,
}

impl Memory {
    /// Nothing is to be done for the object.
    pub fn rests(&mut self) {
        self.unread_since = None;
        self.failures = 0;
        self.waiting_since = None;
    }

    /// Atlas confirmed a write. After a repair the count of repairs is kept; an edit, a rotation or a request makes
    /// repairs free again.
    pub fn confirmed(&mut self, repair: bool) {
        let before = std::mem::take(self);
        if repair {
            (self.repairs, self.last_repair) = (before.repairs, before.last_repair);
        }
    }

    /// The claim was given up. Everything that belonged to it is forgotten; a write that Atlas refused stays refused.
    pub fn released(&mut self) {
        *self = Memory { refused: self.refused.take(), failures: self.failures, ..Memory::default() };
    }

    /// How long this reason has held; notes that it holds now. A good reason is not timed.
    pub fn lasting(&mut self, reason: Reason, now: Instant) -> Duration {
        if reason.prospect() == Prospect::Good {
            self.since = None;
            return Duration::ZERO;
        }
        match self.since {
            Some((before, since)) if before == reason => now.duration_since(since),
            _ => {
                self.since = Some((reason, now));
                Duration::ZERO
            }
        }
    }

    /// Counts one more failure. Returns how many there were in a row.
    pub fn fails(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// The failure of this very write, if it may not be sent again yet, or not again at all. The failure of another
    /// write is forgotten.
    pub fn held_back(&mut self, signature: &Signature, now: Instant) -> Option<&Refused> {
        let refused = self.refused.as_deref()?;
        let mut same = refused.signature.clone();
        if refused.retry_at.is_none() {
            // A write that Atlas refuses as such, it refuses to any key, and whether something is there or not.
            same.credentials.clone_from(&signature.credentials);
            same.entry = signature.entry;
        }
        if same != *signature {
            self.refused = None;
            self.failures = 0;
            return None;
        }
        self.refused.as_deref().filter(|refused| refused.retry_at.is_none_or(|at| at > now))
    }

    /// Remembers a write that failed, so that the same write is not sent again before `wait` is over, or (`None`) not
    /// again at all. Returns when it may be sent again.
    pub fn hold_back(
        &mut self,
        generation: i64,
        signature: Signature,
        wait: Option<Duration>,
        verdict: Verdict,
    ) -> Option<Instant> {
        let retry_at = wait.map(|wait| Instant::now() + wait);
        self.refused = Some(Box::new(Refused { generation, signature, retry_at, verdict }));
        retry_at
    }

    /// Begins a repair of drift, if none has to wait: repairs of one place grow apart by `wait`, a function of how many
    /// there were. Otherwise returns when the next one may begin.
    pub fn repair(&mut self, now: Instant, wait: impl Fn(u32) -> Duration) -> Result<(), Instant> {
        let quiet_for = self.last_repair.map_or(REPAIRS_FORGOTTEN, |last| now.duration_since(last));
        if quiet_for >= REPAIRS_FORGOTTEN {
            self.repairs = 0;
        }
        let wait = wait(self.repairs);
        if quiet_for < wait {
            return Err(now + (wait - quiet_for));
        }
        self.repairs = self.repairs.saturating_add(1);
        self.last_repair = Some(now);
        Ok(())
    }

    /// Notes whether the outcome of a failed call is known; `begun` is the time of its fence.
    pub fn call_failed(&mut self, begun: Timestamp, failure: &Failure) {
        if !failure.outcome_unknown {
            self.outcome_known = Some(begun);
        }
    }
}
