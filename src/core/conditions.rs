//! The conditions in a status. They follow the conventions of kstatus, so that `kubectl wait`, Flux, Argo CD and Helm
//! all read them in the same way. Reconciling, Stalled and Suspended are present only while they are true.

use std::time::Duration;

use jiff::Timestamp;

use super::sync::{Kept, NOT_ACCEPTED};
use crate::domain::{
    Condition, ConditionStatus, ConditionType, MAX_MESSAGE, Message, Prospect, Reason, Status, Takeover,
    plain,
};

/// The reason of InSync while the repair of a difference waits.
pub const OVERWRITTEN: &str = "Overwritten";

/// How the integration in Atlas compares with what the spec asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InSync {
    /// Atlas holds what was last confirmed, and that is what was sent, as far as Atlas shows it.
    True,
    /// The integration is only observed. It is in sync if taking over would change nothing that Atlas shows.
    Observed(Takeover),
    /// Atlas confirmed the last write, but holds something else than was sent.
    NotAccepted(Kept),
    /// Somebody else overwrites these fields again and again.
    Overwritten(Vec<String>),
    /// Not known: suspended, or Atlas could not be read for a while.
    Unknown(String),
    /// The condition stays as it was.
    Unchanged,
}

impl InSync {
    /// How an integration compares of which Atlas keeps this otherwise.
    pub fn of(kept: Kept) -> InSync {
        if kept.is_empty() { InSync::True } else { InSync::NotAccepted(kept) }
    }
}

/// The state of an object, in one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The reason for Ready.
    pub reason: Reason,
    /// For a person.
    pub message: Message,
    /// How the integration in Atlas compares.
    pub in_sync: InSync,
    /// Whether the object is suspended. Then Ready says whether the config that the spec asks for is the applied one.
    pub suspended: bool,
    /// How long the cause has lasted.
    pub lasting: Duration,
}

impl Verdict {
    /// A verdict that leaves InSync unchanged.
    pub fn new(reason: Reason, message: impl Into<Message>) -> Verdict {
        Verdict {
            reason,
            message: message.into(),
            in_sync: InSync::Unchanged,
            suspended: false,
            lasting: Duration::ZERO,
        }
    }

    /// The same verdict, with this comparison.
    pub fn with_sync(self, in_sync: InSync) -> Verdict {
        Verdict { in_sync, ..self }
    }
}

/// How long a cause may last before the object is Stalled.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// An external cause.
    pub outside: Duration,
    /// A failure that the operator retries.
    pub failing: Duration,
}

impl Patience {
    /// The time that a cause may last; `None` if the object never stalls by the time that it lasts.
    pub fn with(&self, reason: Reason) -> Option<Duration> {
        match reason.prospect() {
            Prospect::Outside => Some(self.outside),
            Prospect::Passing => Some(self.failing),
            Prospect::Good | Prospect::Final => None,
        }
    }

    /// Whether a cause has lasted for too long.
    pub fn is_over(&self, reason: Reason, lasting: Duration) -> bool {
        self.with(reason).is_some_and(|patience| lasting >= patience)
    }
}

/// The conditions for a verdict. A condition whose status did not change keeps its transition time. If a message differs
/// from the stored one only in what changes with each answer, the stored one stays.
pub fn derive(
    before: &Status,
    generation: i64,
    verdict: &Verdict,
    patience: Patience,
    now: Timestamp,
) -> Vec<Condition> {
    let ready = match (verdict.suspended, verdict.reason.prospect()) {
        (true, _) => verdict.reason != Reason::Suspended,
        (false, Prospect::Good) => true,
        (false, _) => false,
    };
    let stalled = !ready && !verdict.suspended && is_stalled(before, generation, verdict, patience);
    let message = told(before, generation, verdict, stalled, patience);
    let mut conditions = Vec::with_capacity(4);
    let mut push = |kind, status, reason: &str, message: &str| {
        conditions.push(condition(before, generation, now, kind, status, reason, message));
    };
    push(ConditionType::Ready, truth(ready), verdict.reason.as_str(), &message);
    if !ready && !verdict.suspended {
        let kind = if stalled { ConditionType::Stalled } else { ConditionType::Reconciling };
        push(kind, ConditionStatus::True, verdict.reason.as_str(), &message);
    }
    if verdict.suspended {
        let message = "spec.suspend is true: no call is made to Atlas for this object";
        push(ConditionType::Suspended, ConditionStatus::True, "Suspended", message);
    }
    match &verdict.in_sync {
        InSync::True => push(
            ConditionType::InSync,
            ConditionStatus::True,
            "Synced",
            "Atlas holds what was last confirmed",
        ),
        InSync::Observed(takeover) => {
            let equal = takeover.changes_nothing();
            let reason = if equal { "Synced" } else { "Drifted" };
            push(ConditionType::InSync, truth(equal), reason, &takeover_words(takeover));
        }
        InSync::NotAccepted(kept) => {
            let advice =
                "compare the spec with status.integration, and name in the spec what Atlas is to keep";
            let message = format!("Atlas confirmed the last write, but {}; {advice}", kept.words());
            push(ConditionType::InSync, ConditionStatus::False, NOT_ACCEPTED, &message);
        }
        InSync::Overwritten(fields) => {
            let message = format!(
                "Atlas differs in: {}; somebody else writes this integration again and again, so repairs are made \
                 less and less often: find the other writer, or set managementPolicy to Observe",
                fields.join(", ")
            );
            push(ConditionType::InSync, ConditionStatus::False, OVERWRITTEN, &message);
        }
        InSync::Unknown(why) => push(ConditionType::InSync, ConditionStatus::Unknown, "Unknown", why),
        InSync::Unchanged => {
            let resumed = !verdict.suspended && before.condition(ConditionType::Suspended).is_some();
            if resumed {
                // What the suspended object said of InSync is no longer true, and Atlas was not read since.
                push(ConditionType::InSync, ConditionStatus::Unknown, "Unknown", &message);
            } else if let Some(kept) = before.condition(ConditionType::InSync) {
                conditions.push(Condition { observed_generation: Some(generation), ..kept.clone() });
            }
        }
    }
    conditions
}

/// What taking over would change, in words.
fn takeover_words(takeover: &Takeover) -> String {
    let Takeover { changes, resets, untold } = takeover;
    let mut parts = Vec::new();
    if !changes.is_empty() {
        parts.push(format!("Atlas differs from the spec in: {}", changes.join(", ")));
    }
    if !resets.is_empty() {
        let also = if changes.is_empty() { "" } else { "also " };
        let names = resets.join(", ");
        parts.push(format!("taking over would {also}reset what the spec does not name: {names}"));
    }
    if parts.is_empty() {
        parts.push("taking over would change nothing that Atlas shows".to_owned());
    }
    if !untold.is_empty() {
        parts.push(format!("what Atlas shows can't be compared with the spec in: {}", untold.join(", ")));
    }
    parts.join("; ")
}

/// An object with a final cause is stalled at once, with any other cause after the cause has lasted for some time. A
/// restart does not revoke what the status already says about the same cause. Failures that the operator retries are one
/// cause, since they alternate.
fn is_stalled(before: &Status, generation: i64, verdict: &Verdict, patience: Patience) -> bool {
    let prospect = verdict.reason.prospect();
    let already = before.condition(ConditionType::Stalled).is_some_and(|stalled| {
        let reason = Reason::parse(&stalled.reason);
        let same = reason == Some(verdict.reason)
            || (prospect == Prospect::Passing && reason.map(Reason::prospect) == Some(prospect));
        same && stalled.observed_generation == Some(generation)
    });
    match prospect {
        Prospect::Final => true,
        Prospect::Outside | Prospect::Passing => already || patience.is_over(verdict.reason, verdict.lasting),
        Prospect::Good => false,
    }
}

/// The text for Ready, which Reconciling and Stalled repeat.
fn told(before: &Status, generation: i64, verdict: &Verdict, stalled: bool, patience: Patience) -> String {
    let message = match verdict.reason.prospect() {
        Prospect::Passing if stalled => verdict.message.after(&format!(
            "failing for more than {}, and the operator keeps trying: ",
            minutes(patience.failing)
        )),
        _ => verdict.message.clone(),
    };
    let stored = before.condition(ConditionType::Ready).filter(|ready| {
        ready.reason == verdict.reason.as_str() && ready.observed_generation == Some(generation)
    });
    match stored {
        Some(ready) if message.is_as_told(&ready.message) => ready.message.clone(),
        _ => message.text(),
    }
}

/// A duration as flags have it, in minutes if it is a number of them.
fn minutes(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > 0 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

fn truth(flag: bool) -> ConditionStatus {
    if flag { ConditionStatus::True } else { ConditionStatus::False }
}

fn condition(
    before: &Status,
    generation: i64,
    now: Timestamp,
    kind: ConditionType,
    status: ConditionStatus,
    reason: &str,
    message: &str,
) -> Condition {
    let last_transition = match before.condition(kind) {
        Some(old) if old.status == status => old.last_transition,
        _ => now,
    };
    let message = plain(message, MAX_MESSAGE);
    Condition {
        kind,
        status,
        observed_generation: Some(generation),
        last_transition,
        reason: reason.to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const STALL: Duration = Duration::from_secs(120);
    const PATIENCE: Patience = Patience { outside: STALL, failing: Duration::from_secs(900) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    fn words(conditions: &[Condition]) -> Vec<String> {
        conditions.iter().map(|c| format!("{}={}", c.kind.as_str(), c.status.as_str())).collect()
    }

    #[rstest]
    #[case(Reason::Synced, 0, &["Ready=True"])]
    #[case(Reason::Observed, 0, &["Ready=True"])]
    #[case(Reason::NotVisibleYet, 899, &["Ready=False", "Reconciling=True"])]
    #[case(Reason::NotVisibleYet, 900, &["Ready=False", "Stalled=True"])]
    #[case(Reason::AtlasUnavailable, 899, &["Ready=False", "Reconciling=True"])]
    #[case(Reason::AtlasUnavailable, 900, &["Ready=False", "Stalled=True"])]
    #[case(Reason::RateLimited, 900, &["Ready=False", "Stalled=True"])]
    #[case(Reason::SecretNotFound, 0, &["Ready=False", "Reconciling=True"])]
    #[case(Reason::SecretNotFound, 120, &["Ready=False", "Stalled=True"])]
    #[case(Reason::Rejected, 0, &["Ready=False", "Stalled=True"])]
    fn rows(#[case] reason: Reason, #[case] lasting: u64, #[case] expected: &[&str]) {
        let verdict = Verdict { lasting: Duration::from_secs(lasting), ..Verdict::new(reason, "m") };
        assert_eq!(words(&derive(&Status::default(), 1, &verdict, PATIENCE, at(1))), expected);
    }

    #[test]
    fn transition_times_move_only_with_the_status() {
        let first = derive(&Status::default(), 1, &Verdict::new(Reason::RateLimited, "a"), PATIENCE, at(1));
        let before = Status { conditions: first, ..Status::default() };
        let second = derive(&before, 2, &Verdict::new(Reason::Conflict, "b"), PATIENCE, at(2));
        assert_eq!(second[0].last_transition, at(1), "still False");
        let third =
            derive(&before, 2, &Verdict::new(Reason::Synced, "c").with_sync(InSync::True), PATIENCE, at(3));
        assert_eq!(third[0].last_transition, at(3));
        assert_eq!(words(&third), ["Ready=True", "InSync=True"]);
    }

    #[test]
    fn a_restart_keeps_stalled_and_messages_are_cut_and_cleaned() {
        let verdict = Verdict { lasting: STALL, ..Verdict::new(Reason::Conflict, "x\n".repeat(2_000)) };
        let before = Status {
            conditions: derive(&Status::default(), 1, &verdict, PATIENCE, at(1)),
            ..Status::default()
        };
        assert_eq!(before.conditions[0].message, "x".repeat(2_000), "without line breaks");
        let fresh = Verdict { lasting: Duration::ZERO, ..verdict };
        assert_eq!(words(&derive(&before, 1, &fresh, PATIENCE, at(2))), ["Ready=False", "Stalled=True"]);
        assert_eq!(words(&derive(&before, 2, &fresh, PATIENCE, at(2))), ["Ready=False", "Reconciling=True"]);
    }

    /// 500, 503 and "not visible yet" alternate, and a restart lies between them.
    #[test]
    fn an_object_that_fails_for_too_long_stays_stalled_until_it_does_not_fail() {
        let long = Duration::from_secs(901);
        let failing = |reason, lasting| Verdict { lasting, ..Verdict::new(reason, "Atlas answered 500") };
        let first = failing(Reason::AtlasUnavailable, long);
        let before = Status {
            conditions: derive(&Status::default(), 1, &first, PATIENCE, at(1)),
            ..Status::default()
        };
        let says = "failing for more than 15m, and the operator keeps trying: Atlas answered 500";
        for condition in &before.conditions {
            assert_eq!((condition.message.as_str(), condition.reason.as_str()), (says, "AtlasUnavailable"));
        }
        for reason in [Reason::AtlasUnavailable, Reason::NotVisibleYet, Reason::RateLimited] {
            let restarted = failing(reason, Duration::ZERO);
            let after = derive(&before, 1, &restarted, PATIENCE, at(2));
            assert_eq!(words(&after), ["Ready=False", "Stalled=True"], "{reason}");
            assert_eq!(
                words(&derive(&before, 2, &restarted, PATIENCE, at(2))),
                ["Ready=False", "Reconciling=True"]
            );
        }
        let outside = failing(Reason::Unauthorized, Duration::ZERO);
        assert_eq!(
            words(&derive(&before, 1, &outside, PATIENCE, at(2))),
            ["Ready=False", "Reconciling=True"]
        );
        let synced = Verdict::new(Reason::Synced, "m").with_sync(InSync::True);
        assert_eq!(words(&derive(&before, 1, &synced, PATIENCE, at(2))), ["Ready=True", "InSync=True"]);
    }

    /// A number that counts down must not make a status of each retry. After an edit the text may be about other values.
    #[test]
    fn a_text_stays_while_only_a_changing_part_differs() {
        let says =
            |detail| Verdict::new(Reason::AtlasUnavailable, Message::quoting("Atlas: ".into(), detail));
        let conditions = derive(&Status::default(), 1, &says("try in 59 s"), PATIENCE, at(1));
        let before = Status { conditions, ..Status::default() };
        let message = |generation, detail| {
            derive(&before, generation, &says(detail), PATIENCE, at(2))[0].message.clone()
        };
        assert_eq!(message(1, "try in 58 s"), "Atlas: try in 59 s");
        assert_eq!(message(2, "try in 58 s"), "Atlas: try in 58 s");
        assert_eq!(message(1, "no"), "Atlas: no");
        let other = Verdict { reason: Reason::NotVisibleYet, ..says("try in 58 s") };
        let message = derive(&before, 1, &other, PATIENCE, at(2))[0].message.clone();
        assert_eq!(message, "Atlas: try in 58 s", "another reason");
    }

    /// The time until an object stalls is counted for each cause separately.
    #[test]
    fn another_cause_is_not_stalled_by_the_one_before() {
        let lasted = Verdict { lasting: STALL, ..Verdict::new(Reason::SecretNotFound, "m") };
        let before = Status {
            conditions: derive(&Status::default(), 1, &lasted, PATIENCE, at(1)),
            ..Status::default()
        };
        let other = derive(&before, 1, &Verdict::new(Reason::Unauthorized, "m"), PATIENCE, at(2));
        assert_eq!(words(&other), ["Ready=False", "Reconciling=True"]);
    }

    #[rstest]
    #[case(InSync::True, "True Synced: Atlas holds what was last confirmed")]
    #[case(
        observed(&[], &[], &[]),
        "True Synced: taking over would change nothing that Atlas shows"
    )]
    #[case(
        observed(&[], &[], &["apiKey", "bodyTemplate"]),
        "True Synced: taking over would change nothing that Atlas shows; what Atlas shows can't be compared with the \
         spec in: apiKey, bodyTemplate"
    )]
    #[case(
        observed(&["region"], &[], &["apiKey"]),
        "False Drifted: Atlas differs from the spec in: region; what Atlas shows can't be compared with the spec in: \
         apiKey"
    )]
    #[case(
        observed(&["region", "url"], &["secret"], &[]),
        "False Drifted: Atlas differs from the spec in: region, url; taking over would also reset what the spec does \
         not name: secret"
    )]
    #[case(
        observed(&[], &["secret"], &[]),
        "False Drifted: taking over would reset what the spec does not name: secret"
    )]
    #[case(
        InSync::of(Kept { otherwise: names(&["region"]), unnamed: names(&["routingKey"]) }),
        "False NotAcceptedByAtlas: Atlas confirmed the last write, but keeps its own value in: region; and keeps what \
         the spec does not name: routingKey; compare the spec with status.integration, and name in the spec what \
         Atlas is to keep"
    )]
    #[case(
        InSync::Overwritten(names(&["region", "url"])),
        "False Overwritten: Atlas differs in: region, url; somebody else writes this integration again and again, so \
         repairs are made less and less often: find the other writer, or set managementPolicy to Observe"
    )]
    #[case(InSync::Unknown("no answer".into()), "Unknown Unknown: no answer")]
    fn in_sync_says_why_and_names_the_fields(#[case] in_sync: InSync, #[case] says: &str) {
        let verdict = Verdict::new(Reason::Synced, "m").with_sync(in_sync);
        let conditions = derive(&Status::default(), 3, &verdict, PATIENCE, at(1));
        let found = conditions.iter().find(|c| c.kind == ConditionType::InSync).expect("a word on Atlas");
        assert_eq!(format!("{} {}: {}", found.status.as_str(), found.reason, found.message), says);
        assert_eq!((found.observed_generation, found.last_transition), (Some(3), at(1)));
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn observed(changes: &[&str], resets: &[&str], untold: &[&str]) -> InSync {
        let [changes, resets, untold] = [changes, resets, untold].map(names);
        InSync::Observed(Takeover { changes, resets, untold })
    }

    #[test]
    fn what_atlas_keeps_not_at_all_is_in_sync() {
        assert_eq!(InSync::of(Kept::default()), InSync::True);
    }

    /// A failed read says nothing new about Atlas, so the operator repeats the last InSync for the new generation.
    #[test]
    fn without_news_in_sync_stays_as_it_was() {
        let drifted = Verdict::new(Reason::Synced, "m").with_sync(observed(&["region"], &[], &[]));
        let before = Status {
            conditions: derive(&Status::default(), 1, &drifted, PATIENCE, at(1)),
            ..Status::default()
        };
        let silent = Verdict::new(Reason::AtlasUnavailable, "m");
        let after = derive(&before, 2, &silent, PATIENCE, at(2));
        let said = before.condition(ConditionType::InSync).expect("drifted");
        assert_eq!(after.last(), Some(&Condition { observed_generation: Some(2), ..said.clone() }));
        assert_eq!(
            words(&derive(&Status::default(), 2, &silent, PATIENCE, at(2))),
            ["Ready=False", "Reconciling=True"]
        );
    }

    /// It is resumed, and Atlas can't be read.
    #[test]
    fn a_resumed_object_does_not_say_that_it_is_suspended() {
        let suspended = Verdict { suspended: true, ..Verdict::new(Reason::Synced, "m") }
            .with_sync(InSync::Unknown("suspended".into()));
        let before = Status {
            conditions: derive(&Status::default(), 1, &suspended, PATIENCE, at(1)),
            ..Status::default()
        };
        let unread = Verdict::new(Reason::AtlasUnavailable, "Atlas answered 503");
        let after = derive(&before, 2, &unread, PATIENCE, at(2));
        assert_eq!(words(&after), ["Ready=False", "Reconciling=True", "InSync=Unknown"]);
        assert_eq!(after.last().map(|in_sync| in_sync.message.as_str()), Some("Atlas answered 503"));
    }

    #[test]
    fn suspended_is_ready_while_the_wanted_is_the_applied() {
        let verdict = Verdict { suspended: true, ..Verdict::new(Reason::Suspended, "m") }
            .with_sync(InSync::Unknown("suspended".into()));
        let found = words(&derive(&Status::default(), 1, &verdict, PATIENCE, at(1)));
        assert_eq!(found, ["Ready=False", "Suspended=True", "InSync=Unknown"]);
        let verdict = Verdict { reason: Reason::Synced, ..verdict };
        let found = words(&derive(&Status::default(), 1, &verdict, PATIENCE, at(1)));
        assert_eq!(found, ["Ready=True", "Suspended=True", "InSync=Unknown"]);
    }
}
