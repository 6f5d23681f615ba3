//! The message of a deletion that can't continue: what to do, or how to let the object go without deleting in Atlas.

use crate::domain::{Message, ObjectKey, Reason};

/// The message of a deletion that waits for the cause `why`, which says what happened and what to do. A message that is
/// too long is cut at its end, and what to do must not be cut off. So the details, which may be long, come last. `key`
/// is the object.
pub fn deletion_waits(key: &ObjectKey, reason: Reason, why: &str, details: &str) -> Message {
    // In a namespace that is being deleted nobody can create a Secret, and those that it has go.
    let only = if needs_secret(reason) {
        ", which is the only way if the namespace itself is being deleted"
    } else {
        ""
    };
    let waits = format!(
        "deletion waits: {why}. To let the object go and leave the integration in Atlas{only}, run: {}",
        let_go(key)
    );
    let colon = if details.is_empty() { "" } else { "; details: " };
    Message::quoting(format!("{waits}{colon}"), details)
}

/// The same for a Secret, a grant or a setting that keeps the operator from Atlas; `problem` is its message.
pub fn deletion_lacks(key: &ObjectKey, reason: Reason, problem: &str) -> Message {
    let why = match reason {
        Reason::ProjectNotAllowed => {
            "the Namespace is no longer granted the project; have the project's id added to its annotation \
             atlas-integrations.dev/project-ids, and the operator continues"
        }
        _ => {
            "the operator has no valid credentials to delete the integration with; correct the credentials Secret, \
             and the operator continues"
        }
    };
    // The details are our own words, which change only with the cause.
    Message::from(deletion_waits(key, reason, why, problem).text())
}

/// Whether what to do may need a change of a Secret.
fn needs_secret(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SecretNotFound | Reason::SecretKeyMissing | Reason::SecretKeyInvalid | Reason::Unauthorized
    )
}

/// The command that lets the object go without deleting the integration. Kubernetes names contain no characters that a
/// shell would interpret.
fn let_go(key: &ObjectKey) -> String {
    format!(
        "kubectl patch atlasintegration {} -n {} --type=merge -p '{{\"spec\":{{\"deletionPolicy\":\"Retain\"}}}}'",
        key.name, key.namespace
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::MAX_MESSAGE;
    use rstest::rstest;

    /// The names are as long as Kubernetes allows, and the text from Atlas is longer than what fits.
    #[test]
    fn what_to_do_is_never_cut_off() {
        let key = ObjectKey { namespace: "n".repeat(63).into(), name: "o".repeat(253).into() };
        for reason in Reason::ALL {
            for message in [
                deletion_waits(&key, reason, &"what to do ".repeat(80), &"Atlas ".repeat(1_000)),
                deletion_lacks(&key, reason, &"Secret ".repeat(1_000)),
            ] {
                let message: String = message.text().chars().take(MAX_MESSAGE).collect();
                assert!(message.starts_with("deletion waits: "), "{message}");
                assert!(message.contains(&let_go(&key)), "{message}");
            }
        }
    }

    #[test]
    fn the_details_come_last_if_there_are_any() {
        let key = ObjectKey { namespace: "payments".into(), name: "datadog".into() };
        let with = |details| deletion_waits(&key, Reason::Rejected, "Atlas refuses; do this", details).text();
        let begin = "deletion waits: Atlas refuses; do this. To let the object go and leave the integration in \
                     Atlas, run: ";
        assert_eq!(with("no"), format!("{begin}{}; details: no", let_go(&key)));
        assert_eq!(with(""), format!("{begin}{}", let_go(&key)));
    }

    /// A Secret can't be created in a namespace that is being deleted.
    #[rstest]
    #[case(Reason::SecretNotFound, "correct the credentials Secret", true)]
    #[case(Reason::SecretKeyMissing, "correct the credentials Secret", true)]
    #[case(Reason::SecretKeyInvalid, "correct the credentials Secret", true)]
    #[case(Reason::ProjectNotAllowed, "added to its annotation atlas-integrations.dev/project-ids", false)]
    fn each_lack_names_its_own_remedy(#[case] reason: Reason, #[case] remedy: &str, #[case] only: bool) {
        let key = ObjectKey { namespace: "payments".into(), name: "datadog".into() };
        let message = deletion_lacks(&key, reason, "Secret atlas is gone").text();
        assert!(message.contains(remedy), "{message}");
        assert_eq!(
            message.contains("the only way if the namespace itself is being deleted"),
            only,
            "{message}"
        );
        assert!(message.ends_with("; details: Secret atlas is gone"), "{message}");
    }

    #[test]
    fn the_command_is_one_that_a_shell_takes() {
        let key = ObjectKey { namespace: "payments".into(), name: "datadog".into() };
        let expected = "kubectl patch atlasintegration datadog -n payments --type=merge -p '{\"spec\":{\"deletionPolicy\":\"Retain\"}}'";
        assert_eq!(let_go(&key), expected);
    }
}
