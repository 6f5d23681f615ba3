//! The chart and `deploy/`: what Helm and kustomize render of them, and what a real kube-apiserver says to that.

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod argo;
mod crds;
mod flux;
mod helm;
mod linters;
mod objects;
mod policies;
mod render;
mod server;
mod tools;
