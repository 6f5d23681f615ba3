//! An integration's life: admission, creation, edits, rotations, deletion, and what Atlas answers on the way.

mod admission;
mod answers;
mod create_page;
mod deletion;
mod lifecycle;
mod messages;
mod restart;
mod secrets;
mod versions;
