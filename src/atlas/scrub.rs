//! Removes secrets from the texts of Atlas, of a proxy before it, or of its token endpoint, before anybody is told them.
//!
//! A text may repeat any part of a request, in any spelling. So it is searched in all its [`readings`] for every part of
//! [`PART`] characters of every secret that is known: the values of the request, what authenticates it, and what a
//! template or a URL among them contains. What an earlier request sent is not known any more. Therefore long runs of
//! characters that look random are removed as well.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::readings::{DEPTH, Reading, Unit, plainly, readings, unescaped};
use crate::domain::{FieldKind, plain};

/// This many characters of a secret in a row are removed, wherever they stand in it.
const PART: usize = 8;
/// A shorter value within a URL or a template of headers is also found in other words. It is hardly secret.
const SHORTEST: usize = 4;
/// So many characters of a text are looked at. The rest is left out.
const MAX_TEXT: usize = 4_096;
/// What is left is cut at this many characters.
const MAX_DETAIL: usize = 400;
const MASK: &str = "****";

/// Path segments that services document: they are no secret, and are also found in texts about these services.
const PUBLIC_SEGMENTS: [&str; 10] = [
    "alerts",
    "hooks",
    "incomingwebhook",
    "integration",
    "integrations",
    "services",
    "triggers",
    "webhook",
    "webhooks",
    "workflows",
];
/// Headers whose values are no secret.
const PUBLIC_HEADERS: [&str; 3] = ["accept", "content-type", "user-agent"];
/// What is removed from a text.
pub(super) struct Scrubber {
    /// Each part of a secret that has [`PART`] characters.
    parts: HashSet<[char; PART]>,
    /// The secrets that are shorter.
    short: Vec<Vec<char>>,
    /// Ids that may stay although they look random.
    ids: Vec<String>,
}

impl Scrubber {
    /// A scrubber that knows no secret. Of what looks random the `ids` stay, unless they are a part of a secret.
    pub fn new(ids: impl IntoIterator<Item = String>) -> Scrubber {
        Scrubber { parts: HashSet::new(), short: Vec::new(), ids: ids.into_iter().collect() }
    }

    /// Learns a secret.
    pub fn learn(&mut self, secret: &str) {
        self.add(secret, 1);
    }

    /// Learns the secret value of a field of this kind.
    pub fn learn_field(&mut self, kind: FieldKind, secret: &str) {
        match kind {
            FieldKind::Url => self.add_url(secret),
            FieldKind::Headers => self.add_headers(secret),
            _ => self.learn(secret),
        }
    }

    /// Adds a secret, as it is written and without its escapes, if it has at least so many characters.
    fn add(&mut self, secret: &str, mut shortest: usize) {
        let mut reading = plainly(secret);
        for _ in 0..DEPTH {
            let chars: Vec<char> = folded(&reading).into_iter().map(|unit| unit.c).collect();
            if chars.len() >= PART {
                self.parts.extend(chars.windows(PART).filter_map(|part| <[char; PART]>::try_from(part).ok()));
            } else if chars.len() >= shortest && !chars.is_empty() {
                self.short.push(chars);
            }
            let Some(less) = unescaped(&reading) else { return };
            reading = less;
            // What looks like an escape may be none.
            shortest = shortest.max(SHORTEST);
        }
    }

    /// Adds all of a URL but scheme and host, which the redacted form shows.
    fn add_url(&mut self, url: &str) {
        let Some((_, rest)) = url.split_once("://") else { return self.add(url, 1) };
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        if let Some((user, _)) = authority.rsplit_once('@') {
            self.add(user, SHORTEST);
            user.split(':').for_each(|part| self.add(part, SHORTEST));
        }
        let is_public = |segment: &&str| PUBLIC_SEGMENTS.contains(&segment.to_ascii_lowercase().as_str());
        let (path, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let segments: Vec<&str> = path.split('/').collect();
        let secret: Vec<String> = segments.split(is_public).map(|part| part.join("/")).collect();
        if let [before @ .., last] = &secret[..] {
            before.iter().for_each(|part| self.add(part, SHORTEST));
            self.add(&format!("{last}{query}"), SHORTEST);
        }
        for pair in query.split(['?', '#', '&']) {
            self.add(pair.split_once('=').map_or(pair, |(_, value)| value), SHORTEST);
        }
    }

    /// Adds all of a template of headers but their names: a JSON object, or whatever gives one once Atlas has filled it
    /// in.
    fn add_headers(&mut self, template: &str) {
        let pieces = quoted(template);
        if let [(_, template)] = pieces[..] {
            return self.learn(template);
        }
        let mut header = String::new();
        for (at, (is_quoted, piece)) in pieces.iter().enumerate() {
            if !is_quoted {
                self.add(piece, PART);
            } else if pieces.get(at + 1).is_some_and(|(_, next)| next.trim_start().starts_with(':')) {
                header = piece.to_ascii_lowercase();
            } else if !PUBLIC_HEADERS.contains(&&*header) {
                self.add(piece, SHORTEST);
                // The scheme of an authorization is no secret, and what follows it may be quoted alone.
                let Some((_, rest)) = piece.split_once(' ').filter(|_| header.ends_with("authorization"))
                else {
                    continue;
                };
                self.add(rest, SHORTEST);
                // Of Basic, a server quotes user or password.
                let credentials = STANDARD.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                for part in credentials.iter().flat_map(|text| text.split(':')) {
                    self.add(part, SHORTEST);
                }
            }
        }
    }

    /// Prepares a text for people: without secrets and without what looks like one, without control characters, and not
    /// longer than a message can bear.
    pub fn clean(&self, text: &str) -> String {
        let text = &text[..text.char_indices().nth(MAX_TEXT).map_or(text.len(), |(at, _)| at)];
        let shortest = self.short.iter().map(Vec::len).min().unwrap_or(PART);
        let Some(readings) = readings(text, shortest.clamp(SHORTEST, PART)) else { return MASK.to_owned() };
        let mut ranges: Vec<(usize, usize)> =
            readings.iter().flat_map(|reading| self.found(reading)).collect();
        ranges.sort_unstable();
        plain(&masked(text, &ranges), MAX_DETAIL)
    }

    /// The ranges of the original text in which a reading has something secret.
    fn found(&self, reading: &[Unit]) -> Vec<(usize, usize)> {
        let folded = folded(reading);
        let mut ranges = Vec::new();
        let mut add = |units: &[Unit]| {
            if let [first, .., last] | [first @ last] = units {
                ranges.push((first.from, last.to));
            }
        };
        for units in folded.windows(PART) {
            let part: [char; PART] = std::array::from_fn(|at| units[at].c);
            if self.parts.contains(&part) {
                add(units);
            }
        }
        for secret in &self.short {
            let alike = |units: &&[Unit]| units.iter().map(|unit| unit.c).eq(secret.iter().copied());
            folded.windows(secret.len()).filter(alike).for_each(&mut add);
        }
        for word in reading.chunk_by(|a, b| is_of_word(a.c) && is_of_word(b.c) && !b.after_space) {
            for part in random(word, &self.ids) {
                add(part);
            }
        }
        ranges
    }
}

/// A reading as it is compared: without case, and without what spells a space or another character in forms and in
/// texts that were escaped more than once.
fn folded(reading: &[Unit]) -> Reading {
    let kept = reading.iter().filter(|unit| !matches!(unit.c, '+' | '\\'));
    kept.flat_map(|unit| unit.c.to_uppercase().flat_map(char::to_lowercase).map(|c| Unit { c, ..*unit }))
        .collect()
}

/// The pieces of a text between its quotes, and whether each is quoted.
fn quoted(text: &str) -> Vec<(bool, &str)> {
    let mut pieces = Vec::new();
    let (mut from, mut is_quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        if c == '"' && !escaped {
            pieces.push((is_quoted, &text[from..at]));
            (from, is_quoted) = (at + 1, !is_quoted);
        }
        escaped = is_quoted && c == '\\' && !escaped;
    }
    pieces.push((is_quoted, &text[from..]));
    pieces
}

/// A text with a mask in place of these ranges, which are sorted.
fn masked(text: &str, ranges: &[(usize, usize)]) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut end = 0;
    for &(from, to) in ranges {
        if from > end || (end == 0 && to > 0) {
            clean.push_str(&text[end..from]);
            clean.push_str(MASK);
        }
        end = end.max(to);
    }
    clean.push_str(&text[end..]);
    clean
}

/// Shorter runs are not judged: ids of requests are often shorter, and so are most words.
const LEAST_RANDOM: usize = 24;
/// The pairs of letters that make up four fifths of the words in Atlas's texts and in this project's documentation.
const PAIRS: &str = "ab ac ad ag ai al am an ap ar as at be ca ce ch cl co cr ct da de di do ds ea ec ed ee ef eg el em \
                     en ep er es et ev ex fi fo ge gr ha he hi ho ic id ie ig il im in io is it ke la ld le li ll lo ls \
                     lu ma me mi mo na nc nd ne ng no ns nt od ol om on oo op or os ot ou ov ow pa pe pi pl po pr ra re \
                     ri ro rs rt rv se si so sp ss st su ta te th ti tl to tr ts ue un ur us ut va ve wa we wh wi";

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '=')
}

/// Those parts of a word that look random, as keys and tokens do.
fn random<'a>(word: &'a [Unit], ids: &[String]) -> Vec<&'a [Unit]> {
    let is_id = |part: &[Unit]| ids.iter().any(|id| id.chars().eq(part.iter().map(|unit| unit.c)));
    let is_random = |part: &&[Unit], most| part.len() >= LEAST_RANDOM && commonness(part) < most;
    let mut found = Vec::new();
    for word in word.split(|unit| unit.c == '=') {
        let parts = word.split(|unit| unit.c == '/');
        // What is random in base64 may look like a path, but it has no words.
        if is_random(&word, 25) && !parts.clone().any(is_id) {
            found.push(word);
        } else {
            found.extend(parts.filter(|part| is_random(part, 45) && !is_id(part)));
        }
    }
    found
}

/// How many of a hundred pairs of neighbours are common in words. Of what is random it is some fifteen, of words eighty.
fn commonness(word: &[Unit]) -> usize {
    let (mut pairs, mut common) = (0, 0);
    for pair in word.windows(2) {
        let (a, b) = (pair[0].c, pair[1].c);
        let is_boundary = a.is_ascii_lowercase() && b.is_ascii_uppercase();
        if is_boundary || !a.is_ascii_alphanumeric() || !b.is_ascii_alphanumeric() {
            continue;
        }
        pairs += 1;
        common += usize::from(is_common(a, b));
    }
    (common * 100).checked_div(pairs).unwrap_or(0)
}

fn is_common(a: char, b: char) -> bool {
    let letter = |c: char| u8::try_from(c.to_ascii_lowercase()).unwrap_or_default().wrapping_sub(b'a');
    COMMON.get(usize::from(letter(a))).is_some_and(|seconds| seconds >> letter(b).min(31) & 1 == 1)
}

/// For each letter the set of those that follow it in [`PAIRS`], as bits.
const COMMON: [u32; 26] = {
    let mut seconds = [0; 26];
    let mut rest = PAIRS.as_bytes();
    while let [first, second, more @ ..] = rest {
        seconds[(*first - b'a') as usize] |= 1 << (*second - b'a');
        rest = if let [_, next @ ..] = more { next } else { more };
    }
    seconds
};

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
