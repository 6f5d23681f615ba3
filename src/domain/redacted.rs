//! The redacted form of an integration: the only form that is stored, compared or shown.
//!
//! Atlas masks most secrets itself, but not all: it returns Flowdock's token and New Relic's keys in clear text. So the
//! operator masks everything that Atlas returns, and everything that it is about to send. Both then have the same form
//! and can be compared field by field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::characters::plain;

/// How a field of an integration may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Shown as it is.
    Text,
    /// A boolean, shown as it is.
    Bool,
    /// A key or token, shown as `****`. If it has at least 16 characters, its last four follow the mask.
    Key,
    /// A password or signing secret, shown as `****` only.
    Hidden,
    /// A headers template, shown as `****` only.
    Headers,
    /// A URL, which may contain a token. Only scheme, host and `/****` are shown.
    Url,
    /// A body template, which may be long. Only its length and a hash are kept, and a status shows these of the object's
    /// own templates only: see [`Redacted::for_status`].
    Template,
}

/// One redacted field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RedactedValue {
    /// A flag.
    Bool(bool),
    /// A text, masked if its kind requires it.
    Text(String),
}

/// A redacted integration: a map from Atlas's field names, `id` and `type` included, to redacted values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted(pub BTreeMap<String, RedactedValue>);

const MASK: &str = "****";
/// A text from Atlas is cut off at this length before it is stored in a status.
const MAX_TEXT: usize = 512;

impl FieldKind {
    /// Whether the value comes from a Secret that the spec names.
    pub fn is_secret(self) -> bool {
        match self {
            FieldKind::Key | FieldKind::Hidden | FieldKind::Headers | FieldKind::Url => true,
            FieldKind::Text | FieldKind::Bool | FieldKind::Template => false,
        }
    }

    /// Masks a text of this kind. The text may be clear, or Atlas may have masked it already. The mask always has the
    /// same length, so it does not show how long a secret is.
    pub fn redact(self, text: &str) -> RedactedValue {
        RedactedValue::Text(match self {
            FieldKind::Text | FieldKind::Bool => plain(text, MAX_TEXT),
            FieldKind::Key => {
                let chars: Vec<char> = text.chars().collect();
                match chars.last_chunk::<4>() {
                    Some(last) if chars.len() >= 16 && !stands_for_a_key(text) => {
                        let last = plain(&last.iter().collect::<String>(), MAX_TEXT);
                        // If Atlas has masked the key already, fewer than four of these characters may be clear.
                        let masking = chars.first().filter(|first| masks_a_key(text, **first));
                        let masks = |c| MASKING.contains(&c) || Some(&c) == masking;
                        format!("{MASK}{}", last.rsplit(masks).next().unwrap_or_default())
                    }
                    _ => MASK.to_owned(),
                }
            }
            FieldKind::Hidden | FieldKind::Headers => MASK.to_owned(),
            FieldKind::Url => match url::Url::parse(text) {
                // Only scheme and host stay. User, password and port may be as secret as the path.
                Ok(url) if url.has_host() && !masks_host(text) => {
                    format!(
                        "{}://{}/{MASK}",
                        url.scheme(),
                        plain(url.host_str().unwrap_or_default(), MAX_TEXT)
                    )
                }
                _ => MASK.to_owned(),
            },
            FieldKind::Template => describe_template(text),
        })
    }
}

/// The characters of which a mask may consist. Atlas uses asterisks.
const MASKING: [char; 4] = ['*', '\u{2022}', '\u{25cf}', '\u{ff0a}'];
/// Words that stand in place of a value, in brackets or capitals.
const MASKING_WORDS: [&str; 3] = ["redacted", "masked", "hidden"];

/// Whether a text stands in place of a key, such as `(sensitive value)`: no key has a space in it or ends with a bracket.
fn stands_for_a_key(text: &str) -> bool {
    text.contains(char::is_whitespace) || text.ends_with([']', ')', '>', '}'])
}

/// Whether the mask of a key consists of its `first` character, which some people write in place of asterisks.
fn masks_a_key(text: &str, first: char) -> bool {
    matches!(first, 'x' | 'X' | '#' | '-' | '.' | '_')
        && text.chars().take_while(|c| *c == first).count() >= 8
}

/// Whether somebody has stored a mask in place of a key, whichever part of it is masked.
pub(super) fn is_mask(key: &str) -> bool {
    key.starts_with(MASKING) || has_a_row(key) || unmasked(key) == Some(("", ""))
}

fn has_a_row(text: &str) -> bool {
    MASKING.iter().any(|c| text.contains(&String::from_iter([c; 3])))
}

/// What a masked text shows: what stands before its mask and after it, nothing if all of it is masked. `None` if the
/// text is no mask. A text that begins or ends with a masking character, or has three of them in a row, is a mask.
pub(super) fn unmasked(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let word = text.trim_matches(['[', ']', '<', '>', '(', ')']);
    let stands_for_a_value = word != text || word.chars().all(|c| c.is_ascii_uppercase());
    if stands_for_a_value && MASKING_WORDS.contains(&word.to_ascii_lowercase().as_str()) {
        return Some(("", ""));
    }
    if !has_a_row(text) && !text.starts_with(MASKING) && !text.ends_with(MASKING) {
        return None;
    }
    let before = text.split(MASKING).next().unwrap_or_default();
    let after = text.rsplit(MASKING).next().unwrap_or_default();
    Some((before, after))
}

/// Whether the host of a URL is masked, so that nobody can tell it from another.
fn masks_host(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?', '#']).next();
    authority.and_then(|authority| authority.rsplit('@').next()).is_some_and(|host| {
        host.contains(MASKING) || MASKING_WORDS.iter().any(|word| host.eq_ignore_ascii_case(word))
    })
}

/// Describes a template by its length and a hash, since the template may be too long for a status. If Atlas has masked the template, as a whole or a part of
/// it, returns the mask.
fn describe_template(text: &str) -> String {
    if text.contains(MASK) || unmasked(text) == Some(("", "")) {
        return MASK.to_owned();
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hex: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{} characters, sha256 {hex}", text.chars().count())
}

/// Returns half of a SHA-256 digest, which is enough for comparisons within one process.
pub(super) fn shortened(context: ring::digest::Context) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&context.finish().as_ref()[..16]);
    short
}

impl Redacted {
    /// Returns a digest, for records that are too small to hold the form itself. Equal forms have equal digests.
    pub fn digest(&self) -> [u8; 16] {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for (name, value) in &self.0 {
            context.update(name.as_bytes());
            match value {
                RedactedValue::Bool(flag) => context.update(&[0, 0, u8::from(*flag)]),
                RedactedValue::Text(text) => {
                    context.update(&[0, 1]);
                    context.update(text.as_bytes());
                }
            }
            context.update(&[0, 2]);
        }
        shortened(context)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use rstest::rstest;

    fn form(fields: &[(&str, &str)]) -> Redacted {
        Redacted(
            fields.iter().map(|(k, v)| ((*k).to_owned(), RedactedValue::Text((*v).to_owned()))).collect(),
        )
    }

    #[rstest]
    #[case(FieldKind::Key, "0123456789abcdef", "****cdef")]
    #[case(FieldKind::Key, "****************************a23c", "****a23c")]
    #[case(FieldKind::Key, "******************************3c", "****3c")]
    #[case(FieldKind::Key, "********************************", "****")]
    #[case(FieldKind::Key, "1234567890", "****")]
    #[case(FieldKind::Key, "******7890", "****")]
    #[case(FieldKind::Key, "", "****")]
    #[case(FieldKind::Hidden, "anything", "****")]
    #[case(FieldKind::Headers, "{\"X-Token\": \"anything\"}", "****")]
    #[case(FieldKind::Url, "https://user:pw@example.com:8443/hook?token=x", "https://example.com/****")]
    #[case(FieldKind::Url, "https://example.com/****2101", "https://example.com/****")]
    #[case(FieldKind::Url, "not a url", "****")]
    #[case::no_host(FieldKind::Url, "mailto:T0K3N@example.com", "****")]
    #[case(FieldKind::Key, "0123456789abcde", "****")]
    #[case(FieldKind::Template, "abc", "3 characters, sha256 ba7816bf8f01cfea")]
    #[case::characters_are_counted(FieldKind::Template, "\u{fc}", "1 characters, sha256 607474ca475a9724")]
    #[case::masked_by_atlas(FieldKind::Template, "{\"key\": \"****\"}", "****")]
    #[case::masked_as_a_whole(FieldKind::Template, "******", "****")]
    #[case::masked_shortly(FieldKind::Template, "***", "****")]
    #[case::masked_by_bullets(FieldKind::Template, "\u{2022}\u{2022}\u{2022}", "****")]
    #[case::masked_by_a_word(FieldKind::Template, "[REDACTED]", "****")]
    #[case::a_key_behind_bullets(
        FieldKind::Key,
        "\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}\u{2022}ef",
        "****ef"
    )]
    #[case::letters_for_asterisks(FieldKind::Key, "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX", "****")]
    #[case::letters_before_the_end(FieldKind::Key, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxef", "****ef")]
    #[case::signs_for_asterisks(FieldKind::Key, "############################cdef", "****cdef")]
    #[case::words_for_a_key(FieldKind::Key, "[REDACTED BY ATLAS]", "****")]
    #[case::words_without_brackets(FieldKind::Key, "hidden by MongoDB Atlas", "****")]
    #[case::few_letters(FieldKind::Key, "xxxx456789abxxxx", "****xxxx")]
    #[case::a_host_of_a_word(FieldKind::Url, "https://REDACTED/services/x", "****")]
    #[case::a_masked_host(FieldKind::Url, "https://****/****2101", "****")]
    #[case::a_user_with_an_asterisk(FieldKind::Url, "https://a*b@Example.com/x", "https://example.com/****")]
    #[case(FieldKind::Text, "a\u{1b}[31mb\n", "a[31mb")]
    fn masks(#[case] kind: FieldKind, #[case] text: &str, #[case] expected: &str) {
        assert_eq!(kind.redact(text), RedactedValue::Text(expected.to_owned()));
    }

    #[test]
    fn digest_tells_forms_apart() {
        let a = form(&[("a", "b"), ("c", "d")]);
        assert_eq!(a.digest(), a.clone().digest());
        assert_ne!(a.digest(), form(&[("a", "bc"), ("d", "")]).digest());
        let flag = |flag| Redacted([("x".to_owned(), RedactedValue::Bool(flag))].into());
        let forms = [flag(true), flag(false), form(&[("x", "true")])];
        assert_eq!(forms.iter().map(Redacted::digest).collect::<HashSet<_>>().len(), 3);
    }
}
