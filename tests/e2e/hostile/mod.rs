//! Attacks: by tenants, by neighbours, by readers, and by an Atlas, or a proxy before it, that is not what it should be.
//! Each attack is made on the real thing, and its test fails if it comes through. `docs/attacks.md` lists them.

mod a01_metadata;
mod a02_pauses;
mod a03_turns;
mod a04_grants;
mod a05_claims;
mod a08_scrub;
mod a09_answers;
mod a12_process;
mod a12_templates;
mod held;
mod own_answers;
mod own_neighbours;
mod own_objects;
mod own_readers;
mod own_secrets;
mod tenant;

/// A text that looks like a key.
const GOOD_KEY: &str = "fedcba9876543210fedcba9876540001";

/// Whether a text has something in it that colours a terminal, turns or hides text, or begins another line.
fn deceives(text: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    text.contains(|c: char| c.is_control() || turns(c) || matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}'))
}
