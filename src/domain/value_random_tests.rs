//! A million texts that a careless check might accept: valid values, and what editors, shells, chats and tools make of
//! them. Each is offered to the secret fields of every type; the simulator, which judges by the documented form of a
//! field and has a grammar and tables of its own, could use each one that is accepted.

use fastrand::Rng;

use super::super::super::characters::{Class, class};
use super::super::super::redacted::FieldKind::{self, Headers, Hidden, Key, Url};
use super::fields;

const COUNT: usize = 1_000_000;
/// Threads, each with a seed of its own.
const PARTS: u64 = 8;
const HEX: &[u8] = b"0123456789abcdef";
const ALNUM: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn some(rng: &mut Rng, of: &[u8], count: usize) -> String {
    (0..count).map(|_| char::from(of[rng.usize(..of.len())])).collect()
}

/// A value that is valid for fields of a kind.
fn valid(rng: &mut Rng, kind: FieldKind) -> String {
    let word = some(rng, ALNUM, 8);
    match (kind, rng.usize(..4)) {
        (Key, 0) => some(rng, HEX, 32),
        (Key, 1) => format!("{}-{}-4{}-{word}", some(rng, HEX, 8), some(rng, HEX, 4), some(rng, HEX, 3)),
        (Key, 2) => format!("xoxb-{}-{}", some(rng, b"0123456789", 12), some(rng, ALNUM, 24)),
        (Key, _) => format!("mdb_sa_sk_{}", some(rng, ALNUM, 32)),
        (Url, 0) => format!("https://hooks.example.com/services/{word}/{}", some(rng, ALNUM, 24)),
        (Url, 1) => format!("https://{word}.example:443/a@b/c?sig={}&sp=%2Fx%2F", some(rng, ALNUM, 20)),
        (Url, 2) => format!("http://user:{word}@[2001:db8::1]:8080/{word}#top"),
        (Url, _) => format!("HTTPS://192.0.2.7/{word}?"),
        (Headers, 0) => format!("{{\"X-Token\": \"{word}\"}}"),
        (Headers, 1) => format!("<#if id??>{{\n\t\"X-{word}\": ${{id}}\n}}</#if>\n"),
        (Headers, _) => format!("{{\"X-Kind\": \"${{typeName}}\", \"Authorization\": \"Bearer {word}\"}}"),
        (_, 0) => format!(" {word} {} ", some(rng, b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", 8)),
        (_, 1) => format!("{word} gr\u{fc}\u{df}t \u{4f60}\u{3000}\u{597d}"),
        (_, 2) => format!("{word} \u{1f468}\u{200d}\u{1f469} \u{2764}\u{fe0f}"),
        _ => some(rng, ALNUM, 32),
    }
}

/// A character that came along, or stands in another's place.
fn stray(rng: &mut Rng, unseen: &[char]) -> char {
    const OTHERS: &[char] = &[
        ' ', ' ', '\t', '\n', '\r', '\0', '\u{1b}', '\u{7f}', '\u{85}', '\u{a0}', '\u{feff}', '\u{200b}',
        '\u{2013}', '\u{2014}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2026}', '\u{430}',
        '\u{ff0f}', '\u{2215}', '\u{e9}', '\u{fffd}', '\u{fffe}', '"', '\'', '`', '\\', '/', ':', '@', '#',
        '?', '%', '&', '=', '+', '{', '}', '[', ']', '<', '>', '(', ')', '|', '^', '$', '*', ',', ';', '.',
        '-', '_', '~',
    ];
    match rng.usize(..4) {
        0 => unseen[rng.usize(..unseen.len())],
        1 => rng.char(..),
        _ => OTHERS[rng.usize(..OTHERS.len())],
    }
}

/// What becomes of a text on its way into a Secret.
fn changed(rng: &mut Rng, text: &str, unseen: &[char]) -> String {
    let at = |rng: &mut Rng| match rng.usize(..4) {
        0 => 0,
        1 => text.len(),
        _ => text.char_indices().map(|(at, _)| at).nth(rng.usize(..text.len().max(1))).unwrap_or(text.len()),
    };
    match rng.usize(..24) {
        0..=7 => {
            let (before, after) = text.split_at(at(rng));
            format!("{before}{}{after}", stray(rng, unseen))
        }
        8 | 9 => {
            let (before, after) = text.split_at(at(rng));
            format!("{before}{}", after.chars().skip(1).collect::<String>())
        }
        10 => {
            let (before, after) = text.split_at(at(rng));
            let replaced: String = after.chars().skip(1).collect();
            format!("{before}{}{replaced}", stray(rng, unseen))
        }
        11 => {
            let quotes =
                [("\"", "\""), ("'", "'"), ("`", "`"), ("\u{201c}", "\u{201d}"), ("<", ">"), ("(", ")")];
            let (open, close) = quotes[rng.usize(..quotes.len())];
            format!("{open}{text}{close}")
        }
        12 => serde_json::json!({"value": text}).to_string(),
        13 => serde_json::json!(text).to_string(),
        14 => format!("API_KEY={text}"),
        15 => format!("key: {text}"),
        16 => format!("Bearer {text}"),
        17 => base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text),
        18 => format!("{text}{}", ["\n", "\r\n", "\n\n", " \n", "\\n", "%", "%0A", ",", ";"][rng.usize(..9)]),
        19 => text.replacen(
            ["//", "/", ":", "-"][rng.usize(..4)],
            ["", "\u{2013}", "\\", "///"][rng.usize(..4)],
            1,
        ),
        20 => {
            format!("{}{text}", ["https:", "https://", "http://", "//", "\u{feff}", "\r\n"][rng.usize(..6)])
        }
        21 => text.chars().flat_map(|c| [c, '\0']).collect(),
        22 => format!("****{}", text.chars().rev().take(4).collect::<String>()),
        _ => text.replacen('e', "\u{435}", 1),
    }
}

const KINDS: [FieldKind; 4] = [Key, Url, Headers, Hidden];

/// Offers a part of the texts, and counts for each kind what was made for it and accepted.
fn offer(seed: u64, part: u64, unseen: &[char]) -> [usize; 4] {
    let mut rng = Rng::with_seed(seed.wrapping_mul(PARTS).wrapping_add(part));
    let fields = KINDS.map(|kind| {
        let of_kind = fields().into_iter().filter(|(_, field)| field.kind == kind);
        of_kind.collect::<Vec<_>>()
    });
    let mut accepted = [0; 4];
    for number in 0..COUNT / PARTS as usize {
        let made_for = number % KINDS.len();
        let whole = valid(&mut rng, KINDS[made_for]);
        let mut text = whole.clone();
        for _ in 0..[0, 1, 1, 1, 2, 3][rng.usize(..6)] {
            text = changed(&mut rng, &text, unseen);
        }
        // Once for its own kind and once for another; in turns for all fields of the kind.
        for kind in [made_for, (made_for + 1 + number / KINDS.len() % 3) % KINDS.len()] {
            let (name, field) = fields[kind][number / 12 % fields[kind].len()];
            let on = || format!("SEED={seed}, {text:?} for {name} {}", field.atlas);
            match field.kind.check(text.as_bytes()) {
                Ok(value) => {
                    accepted[kind] += usize::from(kind == made_for);
                    let judged = atlas_sim::usable(name, field.atlas, value.expose());
                    assert!(judged.is_ok(), "{}: {judged:?}", on());
                }
                Err(bad) => {
                    assert!(text != whole || kind != made_for, "refused: {}: {bad}", on());
                    if number % 16 == 0 {
                        assert_eq!(told(&bad.to_string(), &whole), None, "{bad}: {}", on());
                    }
                }
            }
        }
    }
    accepted
}

/// A part of a secret's random words that a message contains. Words of the message have no digits.
fn told<'a>(message: &str, secret: &'a str) -> Option<&'a str> {
    let is_random =
        |part: &&[u8]| part.iter().all(u8::is_ascii_alphanumeric) && part.iter().any(u8::is_ascii_digit);
    let parts = secret.as_bytes().windows(6).filter(is_random);
    parts.map(|part| std::str::from_utf8(part).expect("ASCII")).find(|part| message.contains(part))
}

#[test]
fn a_million_texts_and_none_is_accepted_that_atlas_could_not_use() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("SEED={seed}");
    let unseen: Vec<char> = ('\0'..=char::MAX).filter(|c| class(*c) != Class::Visible).collect();
    let accepted = std::thread::scope(|scope| {
        let parts = (0..PARTS).map(|part| {
            scope.spawn({
                let unseen = &unseen;
                move || offer(seed, part, unseen)
            })
        });
        let parts: Vec<_> = parts.collect();
        parts.into_iter().map(|part| part.join().expect("a part")).collect::<Vec<_>>()
    });
    for (at, kind) in KINDS.into_iter().enumerate() {
        let accepted: usize = accepted.iter().map(|part| part[at]).sum();
        // A quarter is made for each kind. A sixth of that is unchanged, and many changes are harmless.
        assert!((COUNT / 30..COUNT / 4).contains(&accepted), "{accepted} for {kind:?}");
    }
}
