//! The operator in its cluster: release, leader election, watches, and the tools that wait for its objects.

pub mod argocd;
mod election;
pub mod kstatus;
mod moving;
mod pages;
mod passes;
mod refused;
mod release;
mod shards;
pub mod start;
pub mod waits;
mod watches;
