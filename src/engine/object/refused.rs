//! Tells the users of an object that the API server refuses what the operator has to write into it.

use tokio::time::Instant;

use super::say::{self, Echo};
use crate::cluster::EventKind;
use crate::core::conditions::Verdict;
use crate::domain::{Message, Reason};
use crate::engine::index::Record;
use crate::engine::shared::Shared;
use crate::engine::turn::Turn;

/// Stores in the object that a `write` of the operator to it is refused, and `why`. If the status may not be written
/// either, an Event says it: once for each cause, since the operator retries the write again and again.
pub(super) async fn report(shared: &Shared, turn: &mut Turn, record: &Record, write: &str, why: &str) {
    let waits = if record.deleting { "deletion waits: " } else { "" };
    let verdict = Verdict::new(Reason::WriteRefused, message(write, why).after(waits));
    if say::already_said(shared, turn, record, &verdict) {
        return;
    }
    let Ok(stored) = shared.read(record).await else { return };
    let told = verdict.message.text();
    if say::say(shared, turn, &stored, verdict, Echo::Keep).await.is_ok() {
        return;
    }
    if turn.object(&record.uid).must_tell(why, Instant::now()) {
        let reason = Reason::WriteRefused.as_str();
        shared.events.publish(&stored.object, EventKind::Warning, reason, "Reconcile", &told);
    }
}

/// A message that is too long is cut at its end, so the API server's words come last.
fn message(write: &str, why: &str) -> Message {
    let what = match write {
        "claim" => "its claim (a finalizer and an annotation) in this object",
        "release" => "this object without its claim (a finalizer and an annotation)",
        _ => "the status of this object",
    };
    let ours = format!(
        "the API server does not let the operator store {what}; allow it in the admission policy, webhook or RBAC \
         rule that refuses it, or apply the CRD of this release if a field is unknown; the operator retries \
         automatically. The API server says: "
    );
    Message::quoting(ours, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_is_refused_what_to_do_and_by_whom() {
        let policy = "ValidatingAdmissionPolicy 'deny' with binding 'deny' denied request: no robots (422)";
        for (write, what) in [
            ("claim", "does not let the operator store its claim"),
            ("release", "does not let the operator store this object without its claim"),
            ("fence", "does not let the operator store the status"),
            ("status", "does not let the operator store the status"),
        ] {
            let message = message(write, policy).text();
            assert!(message.contains(what), "{message}");
            assert!(message.contains("allow it in the admission policy, webhook or RBAC rule"), "{message}");
            assert!(message.ends_with(policy), "{message}");
        }
    }
}
