//! Prepares text from outside (Atlas, users, the API server) for people.

/// Removes quoted parts from `text`, also those with escaped quotes in them. Otherwise a key that somebody put in place
/// of a reference would be shown.
pub fn without_quotes(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let mut kept = String::new();
    for c in text.chars() {
        let ends = c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        if ends {
            kept.push_str(if quoted { "\"" } else { "\"..." });
            quoted = !quoted;
        } else if !quoted {
            kept.push(c);
        }
    }
    kept
}

/// Joins words as a sentence does: "a, b and c".
pub fn and<S: AsRef<str>>(words: &[S]) -> String {
    let mut text = String::new();
    for (at, word) in words.iter().enumerate() {
        text.push_str(match at {
            0 => "",
            _ if at + 1 == words.len() => " and ",
            _ => ", ",
        });
        text.push_str(word.as_ref());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{and, without_quotes};

    #[test]
    fn words_are_joined_as_a_sentence_does() {
        assert_eq!(
            [&[][..], &["a"], &["a", "b"], &["a", "b", "c"]].map(and),
            ["", "a", "a and b", "a, b and c"]
        );
    }

    #[test]
    fn quotes_are_left_out() {
        assert_eq!(without_quotes(r#"name: Invalid value: "key": no"#), r#"name: Invalid value: "...": no"#);
        assert_eq!(without_quotes(r#"invalid "a\"key\\" here"#), r#"invalid "..." here"#);
        assert_eq!(without_quotes(r#"cut "key"#), r#"cut "..."#);
    }
}
