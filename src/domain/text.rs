//! Prepares text from outside (Atlas, users, the API server) for people.

/// Removes from `text` what could deceive a reader or a terminal: control characters (ANSI sequences, line breaks),
/// line and paragraph separators, and characters that change the direction of writing. Cuts it at `max` characters.
pub fn plain(text: &str, max: usize) -> String {
    let deceives =
        |c: &char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !deceives(c)).take(max).collect()
}

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
    use super::{and, plain, without_quotes};

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

    #[test]
    fn nothing_deceives_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\r\n\u{85}\u{202e}c\u{2028}ü", 99), "a[31mbcü");
        assert_eq!(plain("abc", 2), "ab");
    }
}
