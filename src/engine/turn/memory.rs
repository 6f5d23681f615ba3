//! What this process remembers of an object besides what the cluster stores. All of it can be lost: a restart
//! then reads, and where it must writes, once more.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cluster::SecretIdentity;
use crate::core::conditions::Verdict;
use crate::domain::{Prospect, Reason};

/// What a write depended on; while it is the same, a refused write is not sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub config: String,
    /// Digest of the Secrets as read.
    pub secrets: [u8; 16],
    pub requests: (Option<String>, Option<String>),
    /// Whether Atlas showed an entry: what could not be created may be adopted.
    pub entry: bool,
    /// Another key may do what this one may not.
    pub credentials: Option<SecretIdentity>,
}

/// A write that failed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    /// The generation of the object that was refused.
    pub generation: i64,
    pub signature: Signature,
    /// When it may be sent again as it is; `None`: never.
    pub retry_at: Option<Instant>,
    pub verdict: Verdict,
}

/// One object's memory. An object with which all is well has none.
#[derive(Default, PartialEq)]
pub(super) struct Memory {
    /// The fence (its time) after which the outcome is known.
    pub outcome_known: Option<Timestamp>,
    /// The attempt whose DELETE Atlas confirmed: what is there now is somebody else's.
    pub deleted: Option<String>,
    /// The last write that failed.
    pub refused: Option<Box<Refused>>,
    /// Failures in a row.
    pub failures: u32,
    /// Since when the present reason holds.
    pub since: Option<(Reason, Instant)>,
    /// The verdict that was stored last, the object's resourceVersion with it, unless all was well.
    pub said: Option<Box<(u64, Verdict)>>,
    /// Repairs of drift in the last day, and the last of them.
    pub repairs: u32,
    pub last_repair: Option<Instant>,
    /// Since when it waits for its turn in a project that was paused before it came.
    pub waiting_since: Option<Instant>,
    /// Since when Atlas could not be read.
    pub unread_since: Option<Instant>,
}

impl Memory {
    /// Forgets what went with a claim that was given up; what Atlas refused stays refused.
    pub fn released(&mut self) {
        *self = Memory { refused: self.refused.take(), failures: self.failures, ..Memory::default() };
    }

    /// How long this reason has held, noting that it holds now. Nobody asks that of a good one.
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
}
