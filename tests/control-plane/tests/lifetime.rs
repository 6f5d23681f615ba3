//! Everything ends with the process that started it, however that ends. Uses the real binaries.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test that is the failure")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;

use common::{binary, processes_in, wait_until};
use control_plane::{Assets, ControlPlane, Options};
use rustix::process::{Pid, Signal, kill_process};

/// `control-plane start --controller-manager --exit-with-stdin`, and its state folder once it is ready.
fn start(temp: &Path) -> (Child, PathBuf) {
    let mut command = binary();
    command
        .args(["start", "--controller-manager", "--exit-with-stdin"])
        .stdin(Stdio::piped())
        .env("TMPDIR", temp);
    // A build, if one is needed, is shown.
    let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let kubeconfig = line.trim_end().strip_prefix("export KUBECONFIG=").expect("what to do with it");
    let folder = Path::new(kubeconfig).parent().unwrap().to_path_buf();
    assert_eq!(processes_in(&folder).len(), 3, "etcd, kube-apiserver, kube-controller-manager");
    (child, folder)
}

#[test]
fn killed_it_leaves_no_process_and_the_next_start_removes_its_folder() {
    let temp = tempfile::tempdir().unwrap();
    let (mut child, folder) = start(temp.path());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the servers are gone", 20, || processes_in(&folder).is_empty());
    assert!(folder.exists());

    let (mut child, next) = start(temp.path());
    assert!(!folder.exists(), "the next start sweeps");
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(processes_in(&next).is_empty() && !next.exists());
}

#[test]
fn it_ends_in_order_with_its_stdin() {
    let temp = tempfile::tempdir().unwrap();
    let (mut child, folder) = start(temp.path());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(processes_in(&folder).is_empty() && !folder.exists());
}

#[test]
fn it_outlives_the_thread_that_started_it() {
    let assets = Assets::locate().unwrap();
    let started =
        thread::spawn(move || ControlPlane::start_with(&assets, Options::default()).unwrap()).join();
    let plane = started.unwrap();
    assert_eq!(plane.kubectl(&["get", "--raw", "/readyz"]).unwrap(), "ok");
    assert_eq!(processes_in(plane.dir()).len(), 2);
    let folder = plane.dir().to_path_buf();
    drop(plane);
    assert!(processes_in(&folder).is_empty() && !folder.exists());
}
