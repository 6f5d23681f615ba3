//! End to end: the real binary, under its own ServiceAccount with the rules that the chart renders, on a real
//! kube-apiserver, against the Atlas simulator. One control plane and one simulator serve all tests; each test has
//! a namespace, a project and an operator of its own, so they run side by side.

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod admission;
mod answers;
mod argocd;
mod canary;
mod chaos;
mod conflict;
mod costs;
mod costs_table;
mod crash;
mod create_page;
mod deletion;
mod drift;
mod election;
#[path = "../chart/helm.rs"]
mod helm;
mod history;
mod identity;
mod kstatus;
mod lifecycle;
mod limits;
mod meter;
mod moving;
mod nodes;
mod object;
mod operator;
mod ownership;
mod platform;
mod promises;
mod proxy;
mod release;
mod restart;
mod rules;
mod secrets;
mod start;
mod states;
mod tenancy;
mod threats;
mod tls;
#[path = "../chart/tools.rs"]
mod tools;
mod traces;
mod versions;
mod waits;
mod watches;
mod world;
