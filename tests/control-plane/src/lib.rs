//! A real Kubernetes control plane for tests and the demo: kube-apiserver, etcd, kubectl and, when asked,
//! kube-controller-manager, pinned in `binaries/go.mod`, built once into a cache and run as plain processes. Other
//! programs that the tests run ([`Tool`]), each with pins of its own, are built the same way.
//!
//! It is for checking that the operator holds against the real API: RBAC, CRD validation, conflicts, watches,
//! finalizers, garbage collection, an audit log that counts what each user wrote. It is not for running
//! workloads: there are no nodes, no scheduler, no kubelet, no network, and nothing survives the process that
//! started it.
//!
//! ```no_run
//! use control_plane::{ControlPlane, Options};
//!
//! # fn main() -> Result<(), control_plane::Error> {
//! let cluster = ControlPlane::start(Options { controller_manager: true, ..Options::default() })?;
//! cluster.kubectl(&["create", "namespace", "demo"])?;
//! println!("export KUBECONFIG={}", cluster.kubeconfig().display());
//! # Ok(())
//! # }
//! ```
//!
//! All calls block; from async code they belong into `spawn_blocking`.

mod assets;
mod audit;
mod cache;
mod config;
mod error;
mod faults;
mod folder;
mod go;
mod kubectl;
mod plane;
mod process;

pub use assets::{Assets, Tool};
pub use audit::{AuditEvent, AuditPosition};
pub use error::Error;
pub use plane::{ControlPlane, Options};

/// Starts `command`, so that it is killed when this process ends, however it ends. For whatever else a test or the
/// demo starts beside the control plane.
///
/// # Errors
/// When it can't be started.
pub fn spawn_tied(command: std::process::Command) -> std::io::Result<std::process::Child> {
    process::spawn(command, rustix::process::Signal::KILL)
}
