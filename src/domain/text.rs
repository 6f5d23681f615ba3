//! Text from elsewhere (Atlas, users, the API server) on its way to a person.

/// `text` without what could deceive a reader or a terminal, cut at `max` characters: control characters (ANSI
/// sequences, line breaks), line and paragraph separators, and what turns the direction of writing.
pub fn plain(text: &str, max: usize) -> String {
    let deceives =
        |c: &char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !deceives(c)).take(max).collect()
}

/// `text` without what it quotes: a key that somebody put in place of a reference would be shown.
pub fn without_quotes(text: &str) -> String {
    text.split('"').step_by(2).collect::<Vec<_>>().join("\"...\"")
}

#[cfg(test)]
mod tests {
    use super::{plain, without_quotes};

    #[test]
    fn quotes_are_left_out() {
        assert_eq!(without_quotes(r#"name: Invalid value: "key": no"#), r#"name: Invalid value: "...": no"#);
        assert_eq!(without_quotes(r#"cut "key"#), "cut ");
    }

    #[test]
    fn nothing_deceives_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\r\n\u{85}\u{202e}c\u{2028}ü", 99), "a[31mbcü");
        assert_eq!(plain("abc", 2), "ab");
    }
}
