//! What a text says to somebody who takes it apart: the text itself, and what is left once its escapes, base64 and
//! hexadecimal digits are decoded, again and again. Each character of a reading knows the range of the original text that
//! spells it, so that whatever is found in a reading can be masked in the original.
//!
//! White space, control characters and whatever else a reader can't see are in no reading: a secret is found although
//! it is broken up by them.

use crate::domain::is_visible;

/// So many times a text is decoded.
pub(super) const DEPTH: usize = 6;
/// The readings of a text have at most this many characters together; the text itself is not counted. Real texts stay
/// far below: what base64 makes of words is no text. So the work for a text is bounded, whatever it is made of.
const MOST: usize = 1 << 16;
/// Stands between parts of a reading that do not belong together. It is in no text and in no secret, as a control
/// character.
pub(super) const BREAK: char = '\0';

/// One character of a reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub c: char,
    /// The bytes of the original text that spell it.
    pub from: usize,
    pub to: usize,
    /// Whether white space comes before it.
    pub after_space: bool,
}

pub(super) type Reading = Vec<Unit>;

/// The text as it is.
pub(super) fn plainly(text: &str) -> Reading {
    let mut spelled = Spelled::default();
    for (from, c) in text.char_indices() {
        spelled.char(c, (from, from + c.len_utf8()));
    }
    spelled.read()
}

/// All readings of a text in which a secret of `least` or more characters could be found. `None` if they are too many,
/// or if it is escaped too often: such a text is made to hide something.
pub(super) fn readings(text: &str, least: usize) -> Option<Vec<Reading>> {
    let mut all = vec![plainly(text)];
    let mut left = MOST;
    for _ in 0..DEPTH {
        let last = all.last().map(Vec::as_slice).unwrap_or_default();
        let mut next = each_unescaped(last);
        for decoded in [without_plus(last), base64(last, least), hexadecimal(last, least)] {
            next.extend(decoded);
        }
        if next.is_empty() {
            break;
        }
        left = left.checked_sub(next.len())?;
        all.push(next);
    }
    // What is still escaped after that is made to hide something, too. What is still in base64 looks random.
    let is_read = all.last().is_none_or(|last| each_unescaped(last).is_empty());
    is_read.then_some(all)
}

/// Bytes with the ranges that spell them.
#[derive(Default)]
struct Spelled {
    bytes: Vec<u8>,
    ranges: Vec<(usize, usize)>,
    /// The places of bytes before which there is white space.
    spaces: Vec<usize>,
}

impl Spelled {
    fn byte(&mut self, byte: u8, range: (usize, usize)) {
        self.bytes.push(byte);
        self.ranges.push(range);
    }

    fn char(&mut self, c: char, range: (usize, usize)) {
        let mut buffer = [0; 4];
        for byte in c.encode_utf8(&mut buffer).bytes() {
            self.byte(byte, range);
        }
    }

    fn unit(&mut self, unit: &Unit) {
        if unit.after_space {
            self.spaces.push(self.bytes.len());
        }
        self.char(unit.c, (unit.from, unit.to));
    }

    /// The bytes as text, without what can't be seen. Where they are no UTF-8, there is a break.
    fn read(self) -> Reading {
        let mut reading = Vec::with_capacity(self.bytes.len());
        let mut spaces = self.spaces.iter().peekable();
        let (mut at, mut after_space) = (0, false);
        for chunk in self.bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                let ((from, _), (_, to)) = (self.ranges[at], self.ranges[at + c.len_utf8() - 1]);
                after_space |= spaces.next_if(|space| **space <= at).is_some();
                at += c.len_utf8();
                // A break of the reading that was decoded is kept.
                if (c == BREAK && from == to) || is_visible(c) {
                    reading.push(Unit { c, from, to, after_space });
                    after_space = false;
                } else {
                    after_space |= c.is_whitespace();
                }
            }
            if !chunk.invalid().is_empty() {
                reading.push(broken(self.ranges[at].0));
                at += chunk.invalid().len();
            }
        }
        reading
    }
}

fn broken(at: usize) -> Unit {
    Unit { c: BREAK, from: at, to: at, after_space: false }
}

/// What an escape stands for.
enum Meant {
    Byte(u8),
    Char(char),
}

/// What an escape begins with, by its form: of URLs, of JSON and of HTML.
const STARTS: [char; 3] = ['%', '\\', '&'];

/// The reading with each of its escapes decoded once, whatever their form; `None` if there is none.
pub(super) fn unescaped(reading: &[Unit]) -> Option<Reading> {
    unescaped_from(reading, &STARTS)
}

/// The same of those parts that have escapes. What has escapes of several forms is also decoded as if it had those of one
/// form alone: the others may be a part of a secret, or an escape in one form may break up one in another.
fn each_unescaped(reading: &[Unit]) -> Reading {
    let mut all = Reading::new();
    for part in reading.split(|unit| unit.c == BREAK) {
        let mut decoded: Vec<_> = STARTS.iter().filter_map(|start| unescaped_from(part, &[*start])).collect();
        if decoded.len() > 1 {
            decoded.extend(unescaped(part));
        }
        for decoded in decoded {
            all.push(broken(0));
            all.extend(decoded);
        }
    }
    all
}

fn unescaped_from(reading: &[Unit], starts: &[char]) -> Option<Reading> {
    let mut spelled = Spelled::default();
    let (mut at, mut found) = (0, false);
    while let Some(first) = reading.get(at) {
        let rest = &reading[at..];
        let escape = match first.c {
            c if !starts.contains(&c) => None,
            '%' => percent(rest),
            '\\' => backslash(rest),
            '&' => entity(rest),
            _ => None,
        };
        match escape {
            Some((meant, length)) => {
                found = true;
                let range = (first.from, rest[length - 1].to);
                match meant {
                    Meant::Byte(byte) => spelled.byte(byte, range),
                    Meant::Char(c) => spelled.char(c, range),
                }
                at += length;
            }
            None => {
                spelled.unit(first);
                at += 1;
            }
        }
    }
    found.then(|| spelled.read())
}

/// The number of `count` hexadecimal digits from `at`.
fn digits(units: &[Unit], at: usize, count: usize) -> Option<u32> {
    let digits = units.get(at..at + count)?;
    digits.iter().try_fold(0_u32, |number, unit| Some(number << 4 | unit.c.to_digit(16)?))
}

/// `%2F`, `%u002F`.
fn percent(units: &[Unit]) -> Option<(Meant, usize)> {
    if units.get(1)?.c == 'u' {
        return Some((Meant::Char(char::from_u32(digits(units, 2, 4)?)?), 6));
    }
    let byte = digits(units, 1, 2)?;
    Some((Meant::Byte(u8::try_from(byte).ok()?), 3))
}

/// `\/`, `\n`, `\u002F`, `\ud83d\ude00`, `\u{2f}`, `\x2f`.
fn backslash(units: &[Unit]) -> Option<(Meant, usize)> {
    let letter = units.get(1)?.c;
    let (code, length) = match letter {
        'u' if units.get(2).is_some_and(|unit| unit.c == '{') => braced(units)?,
        'u' => paired(units, (digits(units, 2, 4)?, 6))?,
        'x' => return Some((Meant::Byte(u8::try_from(digits(units, 2, 2)?).ok()?), 4)),
        'n' | 'r' | 't' | 'f' | 'b' => return Some((Meant::Char(' '), 2)),
        _ => (letter.into(), 2),
    };
    Some((Meant::Char(char::from_u32(code)?), length))
}

fn braced(units: &[Unit]) -> Option<(u32, usize)> {
    let end = units.iter().take(10).position(|unit| unit.c == '}')?;
    Some((digits(units, 3, end.checked_sub(3)?)?, end + 1))
}

/// A code unit of UTF-16, with the one behind it if it is the first half of a pair.
fn paired(units: &[Unit], (first, length): (u32, usize)) -> Option<(u32, usize)> {
    if !(0xd800..0xdc00).contains(&first) {
        return Some((first, length));
    }
    let follows = units.get(6)?.c == '\\' && units.get(7)?.c == 'u';
    let second = digits(units, 8, 4).filter(|second| follows && (0xdc00..0xe000).contains(second))?;
    Some((0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), 12))
}

/// The entities of HTML for characters that a secret or its spelling may contain.
const ENTITIES: [(&str, char); 36] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("Tab", ' '),
    ("NewLine", ' '),
    ("sol", '/'),
    ("bsol", '\\'),
    ("plus", '+'),
    ("equals", '='),
    ("hyphen", '-'),
    ("lowbar", '_'),
    ("num", '#'),
    ("colon", ':'),
    ("semi", ';'),
    ("comma", ','),
    ("period", '.'),
    ("percnt", '%'),
    ("commat", '@'),
    ("excl", '!'),
    ("quest", '?'),
    ("ast", '*'),
    ("dollar", '$'),
    ("lpar", '('),
    ("rpar", ')'),
    ("lsqb", '['),
    ("rsqb", ']'),
    ("lcub", '{'),
    ("rcub", '}'),
    ("verbar", '|'),
    ("grave", '`'),
    ("Hat", '^'),
    ("tilde", '~'),
    ("AMP", '&'),
];

/// `&amp;`, `&#38;`, `&#x26;`, the numbers also without the semicolon.
fn entity(units: &[Unit]) -> Option<(Meant, usize)> {
    let name: String = units.iter().skip(1).take(9).map(|unit| unit.c).collect();
    let (code, length) = if let Some(number) = name.strip_prefix('#') {
        let (radix, number) = match number.strip_prefix(['x', 'X']) {
            Some(number) => (16, number),
            None => (10, number),
        };
        let number: String = number.chars().take_while(|c| c.is_digit(radix)).collect();
        let sign = if radix == 16 { 3 } else { 2 };
        (char::from_u32(u32::from_str_radix(&number, radix).ok()?)?, sign + number.len())
    } else {
        let name = name.split_once(';')?.0;
        (ENTITIES.iter().find(|(known, _)| *known == name)?.1, 1 + name.len())
    };
    let end = match units.get(length).map(|unit| unit.c) {
        Some(';') => length + 1,
        // An escaped line break, perhaps, within the number.
        Some('\\' | '%') => return None,
        _ => length,
    };
    Some((Meant::Char(code), end))
}

/// The reading without plus signs, which may be digits of base64, or the spaces of a form within such digits. Nothing if
/// it has none.
fn without_plus(reading: &[Unit]) -> Reading {
    if !reading.iter().any(|unit| unit.c == '+') {
        return Reading::new();
    }
    let kept = reading.iter().filter(|unit| unit.c != '+').copied();
    [broken(0)].into_iter().chain(kept).collect()
}

/// What any part of the reading says as base64, in either alphabet. A part of a secret may begin at each of four places
/// of a group.
fn base64(reading: &[Unit], least: usize) -> Reading {
    let value = |c: char| match c {
        'A'..='Z' => Some(c as u32 - 'A' as u32),
        'a'..='z' => Some(c as u32 - 'a' as u32 + 26),
        '0'..='9' => Some(c as u32 - '0' as u32 + 52),
        '+' | '-' => Some(62),
        '/' | '_' => Some(63),
        _ => None,
    };
    decoded(reading, least, (6, 4), value)
}

/// What any part of the reading says as hexadecimal digits.
fn hexadecimal(reading: &[Unit], least: usize) -> Reading {
    decoded(reading, least, (4, 2), |c| c.to_digit(16))
}

/// The text of all runs of digits of so many `bits`, which spell whole bytes in groups of `group`.
fn decoded(
    reading: &[Unit],
    least: usize,
    (bits, group): (usize, usize),
    value: impl Fn(char) -> Option<u32>,
) -> Reading {
    let mut found = Reading::new();
    for run in reading.chunk_by(|a, b| value(a.c).is_some() && value(b.c).is_some()) {
        if run.len() * bits < least * 8 {
            continue;
        }
        for skipped in 0..group {
            let mut spelled = Spelled::default();
            for group in run[skipped.min(run.len())..].chunks(group) {
                let number = group.iter().fold(0, |number, unit| number << bits | value(unit.c).unwrap_or(0));
                let whole = group.len() * bits / 8;
                let surplus = group.len() * bits - whole * 8;
                for byte in 0..whole {
                    let shifted = number >> surplus >> (8 * (whole - 1 - byte));
                    let (first, last) = (byte * 8 / bits, (byte * 8 + 7) / bits);
                    // The lowest eight bits.
                    spelled.byte((shifted & 0xff) as u8, (group[first].from, group[last].to));
                }
            }
            keep_text(spelled.read(), least, &mut found);
        }
    }
    found
}

/// Keeps those parts of what was decoded that could be text with a secret in it. Bytes at random are seldom so for long.
fn keep_text(decoded: Reading, least: usize, into: &mut Reading) {
    for part in decoded.split(|unit| unit.c == BREAK).filter(|part| part.len() >= least) {
        into.push(broken(part[0].from));
        into.extend_from_slice(part);
    }
}
