//! End to end: the real binary, under its own ServiceAccount with the rules that the chart renders, on a real
//! kube-apiserver, against the Atlas simulator. One control plane and one simulator serve all tests; each test has
//! a namespace, a project and an operator of its own, so they run side by side.

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod costs;
mod hostile;
mod life;
mod messages;
mod others;
mod platform;
mod safety;
mod security;
mod world;
