//! The message of a deletion that can't continue: what to fix, or how to let the object go without deleting in Atlas.

use crate::domain::{ObjectKey, Reason};

/// The message of a waiting deletion. A message that is too long is cut at its end, and what to do must not be cut off.
/// So the details, which contain text from Atlas, come last.
pub fn deletion_waits(key: &ObjectKey, reason: Reason, details: &str) -> String {
    format!(
        "deletion waits: {}. To let the object go and leave the integration in Atlas, run: {}; details: {details}",
        remedy(reason),
        let_go(key)
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

/// The cause in short, and how to end it.
fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::SecretNotFound | Reason::SecretKeyMissing | Reason::SecretKeyInvalid => {
            "there is no key to delete with; put the credentials Secret right, and the operator goes on by itself"
        }
        Reason::ProjectNotAllowed => {
            "the Namespace is no longer granted the project; have its id added to the annotation \
             atlas-integrations.dev/project-ids again, and the operator goes on by itself"
        }
        Reason::Unauthorized => {
            "Atlas refuses the key; put one with the role Project Owner on the project into the credentials Secret, \
             and the operator goes on by itself"
        }
        Reason::Forbidden => {
            "Atlas does not let the operator in; put right what Atlas names, most often the key's access list, and \
             the operator goes on by itself"
        }
        Reason::RateLimited => "Atlas limits the project's rate of requests; the operator goes on by itself",
        Reason::AtlasUnavailable | Reason::NotVisibleYet => {
            "Atlas can't be reached or gave no answer; the operator goes on by itself"
        }
        Reason::Rejected | Reason::NotSupportedByAtlas => {
            "Atlas refuses to delete the integration; remove in Atlas what still uses it, such as alert \
             configurations, and the operator goes on by itself"
        }
        _ => "something has to be put right first; the operator then goes on by itself",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// The names are as long as Kubernetes allows, and the text from Atlas is longer than what fits.
    #[test]
    fn what_to_do_is_never_cut_off() {
        let key = ObjectKey { namespace: "n".repeat(63).into(), name: "o".repeat(253).into() };
        for reason in Reason::ALL {
            let message: String =
                deletion_waits(&key, reason, &"Atlas ".repeat(1_000)).chars().take(1_024).collect();
            assert!(message.starts_with("deletion waits: "), "{message}");
            assert!(message.contains("goes on by itself"), "{message}");
            assert!(message.contains(&let_go(&key)), "{message}");
        }
    }

    /// A remedy that fits every cause helps nobody: each says what to put right, or that nobody has to act.
    #[rstest]
    #[case(Reason::SecretNotFound, "put the credentials Secret right")]
    #[case(Reason::SecretKeyMissing, "put the credentials Secret right")]
    #[case(Reason::SecretKeyInvalid, "put the credentials Secret right")]
    #[case(Reason::ProjectNotAllowed, "its id added to the annotation atlas-integrations.dev/project-ids")]
    #[case(Reason::Unauthorized, "the role Project Owner on the project")]
    #[case(Reason::Forbidden, "the key's access list")]
    #[case(Reason::RateLimited, "Atlas limits the project's rate of requests")]
    #[case(Reason::AtlasUnavailable, "can't be reached or gave no answer")]
    #[case(Reason::NotVisibleYet, "can't be reached or gave no answer")]
    #[case(Reason::Rejected, "remove in Atlas what still uses it")]
    #[case(Reason::NotSupportedByAtlas, "remove in Atlas what still uses it")]
    fn each_cause_names_its_own_remedy(#[case] reason: Reason, #[case] remedy: &str) {
        let key = ObjectKey { namespace: "payments".into(), name: "datadog".into() };
        let message = deletion_waits(&key, reason, "HTTP 400: no");
        assert!(message.contains(remedy), "{message}");
        assert!(message.ends_with("; details: HTTP 400: no"), "{message}");
    }

    #[test]
    fn the_command_is_one_that_a_shell_takes() {
        let key = ObjectKey { namespace: "payments".into(), name: "datadog".into() };
        let expected = "kubectl patch atlasintegration datadog -n payments --type=merge -p '{\"spec\":{\"deletionPolicy\":\"Retain\"}}'";
        assert_eq!(let_go(&key), expected);
    }
}
