//! Whatever happens, nothing is lost, written twice or taken from its owner: crashes, lost answers, restored clusters.

mod chaos;
mod crash;
mod identity;
mod promises;
mod traces;
