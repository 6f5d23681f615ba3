//! Characters that a reader of a value can't see or did not mean, and the words that say where they stand. What a
//! character is, Unicode's own properties decide, not a list of those that somebody happened to meet.

use icu_properties::props::{
    DefaultIgnorableCodePoint, GeneralCategory, JoinControl, NoncharacterCodePoint,
    PrependedConcatenationMark, VariationSelector, WhiteSpace,
};
use icu_properties::{CodePointMapData, CodePointSetData};

use super::text::and;

/// What a reader sees of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A glyph.
    Visible,
    /// Control characters (Cc), and the line and paragraph separators (Zl, Zp).
    Control,
    /// White_Space that is no control character: U+0020 and its many relatives.
    Space,
    /// Nothing: Default_Ignorable_Code_Point, format characters (Cf), and two symbols that fonts leave blank.
    Unseen,
    /// What decoders leave where a text was damaged: U+FFFD and noncharacters such as U+FFFE.
    Damage,
}

/// The class of a character.
pub(super) fn class(c: char) -> Class {
    if c.is_ascii() {
        return match c {
            ' ' => Class::Space,
            _ if c.is_ascii_control() => Class::Control,
            _ => Class::Visible,
        };
    }
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        GeneralCategory::Control | GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator => {
            Class::Control
        }
        _ if c == '\u{fffd}' || CodePointSetData::new::<NoncharacterCodePoint>().contains(c) => Class::Damage,
        _ if CodePointSetData::new::<WhiteSpace>().contains(c) => Class::Space,
        // Marks such as the Arabic number sign are format characters with a glyph.
        GeneralCategory::Format if !CodePointSetData::new::<PrependedConcatenationMark>().contains(c) => {
            Class::Unseen
        }
        _ if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) => Class::Unseen,
        // The blank Braille pattern, and what stands for a picture that was copied along.
        _ if matches!(c, '\u{2800}' | '\u{fffc}') => Class::Unseen,
        _ => Class::Visible,
    }
}

/// Whether a reader sees the character: no control character, no white space, nothing of zero width.
pub fn is_visible(c: char) -> bool {
    matches!(class(c), Class::Visible | Class::Damage)
}

/// Whether a character chooses the look of the one before it: variation selectors, and the tags of a flag. An emoji may
/// end with one.
pub(super) fn selects(c: char) -> bool {
    CodePointSetData::new::<VariationSelector>().contains(c) || matches!(c, '\u{e0020}'..='\u{e007f}')
}

/// Whether a character joins its neighbours or keeps them apart, as several scripts and emoji need it.
pub(super) fn joins(c: char) -> bool {
    CodePointSetData::new::<JoinControl>().contains(c)
}

/// Removes from `text` what could deceive a reader or a terminal: control characters (ANSI sequences, line breaks), line
/// and paragraph separators, and what can't be seen, such as marks that change the direction of writing. What joins the
/// letters of a script or chooses the look of an emoji stays. Cuts the text at `max` characters.
pub fn plain(text: &str, max: usize) -> String {
    let deceives = |c: char| match class(c) {
        Class::Control => true,
        Class::Unseen => !joins(c) && !CodePointSetData::new::<VariationSelector>().contains(c),
        Class::Visible | Class::Space | Class::Damage => false,
    };
    text.chars().filter(|c| !deceives(*c)).take(max).collect()
}

/// A character in words. A visible one is not quoted, since it may belong to a secret.
pub(super) fn in_words(c: char) -> String {
    let named = match c {
        '\n' | '\r' => return "a line break".to_owned(),
        '\t' => return "a tab".to_owned(),
        ' ' => return "a space".to_owned(),
        '\0' => "a NUL character",
        '\u{1b}' => "an escape character",
        '\u{a0}' => "a no-break space",
        '\u{ad}' => "a soft hyphen",
        '\u{200b}' => "a zero-width space",
        '\u{200c}' => "a zero-width non-joiner",
        '\u{200d}' => "a zero-width joiner",
        '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "an invisible character for the direction of writing"
        }
        '\u{2028}' => "a line separator",
        '\u{2029}' => "a paragraph separator",
        '\u{202f}' => "a narrow no-break space",
        '\u{2060}' => "a word joiner",
        '\u{3000}' => "an ideographic space",
        '\u{feff}' => "a byte order mark",
        '\u{fffc}' => "a placeholder for a copied object",
        '\u{2018}'..='\u{201f}' | '\u{2032}'..='\u{2036}' | '\u{ab}' | '\u{bb}' | '\u{2039}' | '\u{203a}' => {
            "a typographic quotation mark"
        }
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "a typographic dash",
        '\u{2026}' => "an ellipsis",
        '\u{2022}' | '\u{25cf}' => "a bullet",
        _ => match class(c) {
            Class::Control => "a control character",
            Class::Space => "an unusual space",
            Class::Unseen => "an invisible character",
            Class::Damage => "a character that stands for damaged text",
            Class::Visible if c.is_ascii() => return "a character that is not allowed".to_owned(),
            Class::Visible => return "a character that is not ASCII".to_owned(),
        },
    };
    format!("{named} (U+{:04X})", u32::from(c))
}

/// Where the characters stand that are wrong, in words, as "begins with a byte order mark (U+FEFF) and ends with a
/// space"; `None` if no character is wrong. `is_wrong` sees each character between its neighbours.
pub(super) fn found(
    text: &str,
    is_wrong: impl Fn(Option<char>, char, Option<char>) -> bool,
    words: impl Fn(char) -> String,
) -> Option<String> {
    let mut wrong = Vec::new();
    let (mut before, mut count) = (None, 0);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if is_wrong(before, c, rest.peek().copied()) {
            wrong.push((count, c));
        }
        before = Some(c);
        count += 1;
    }
    let first = wrong.iter().enumerate().take_while(|(at, (place, _))| at == place).count();
    let last = wrong.iter().rev().enumerate().take_while(|(at, (place, _))| count - 1 - at == *place).count();
    let last = last.min(wrong.len() - first);
    let (first, others) = wrong.split_at(first);
    let (within, last) = others.split_at(others.len() - last);
    let parts = [("begins with ", first, ""), ("has ", within, " in it"), ("ends with ", last, "")];
    let parts = parts.into_iter().filter(|(_, some, _)| !some.is_empty()).map(|(verb, some, after)| {
        let mut names: Vec<String> = Vec::new();
        for (_, c) in some {
            let name = words(*c);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        // Three tell enough of a value that is another file altogether.
        names.truncate(3);
        format!("{verb}{}{after}", and(&names))
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| and(&parts))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_deceives_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\r\n\u{85}\u{202e}c\u{2028}ü", 99), "a[31mbcü");
        assert_eq!(plain("abc", 2), "ab");
    }

    /// Every character of Bidi_Control, and characters that nobody sees.
    #[test]
    fn marks_that_turn_or_hide_text_are_removed() {
        let turning =
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        let hidden = "\u{200b}\u{2060}\u{feff}\u{ad}\u{e0041}\u{e007f}\u{2800}";
        for mark in turning.chars().chain(hidden.chars()) {
            assert_eq!(plain(&format!("a{mark}b"), 99), "ab", "U+{:04X}", u32::from(mark));
        }
        for text in ["שלום", "می\u{200c}خواهم", "👩\u{200d}💻 ❤\u{fe0f}", "a b\u{a0}c\u{3000}d"]
        {
            assert_eq!(plain(text, 99), text);
        }
    }
}
