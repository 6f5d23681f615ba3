//! Attacks: by tenants, by neighbours, by readers, and by an Atlas, or a proxy before it, that is not what it should be.
//! Each attack is made on the real thing, and its test fails if it comes through.

mod a01_metadata;
mod a02_pauses;
mod a03_turns;
mod a09_answers;
mod a12_process;
