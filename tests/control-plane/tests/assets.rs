//! Finding and building the binaries, with a `go` that only pretends: a real build takes minutes.
#![allow(clippy::unwrap_used, reason = "in a test that is the failure")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output};

use common::{binary, builds, path_with, stub_go, wait_until, write_program};

const NAMES: [&str; 4] = ["kube-apiserver", "etcd", "kubectl", "kube-controller-manager"];

/// `control-plane build` with a cache of its own in `root` and the `go` of `path`.
fn build(root: &Path, path: &str) -> Command {
    let mut command = binary();
    command.arg("build").env("ATLAS_INTEGRATION_CACHE", root.join("cache")).env("PATH", path);
    command.env_remove("KUBEBUILDER_ASSETS");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn failure(output: &Output) -> String {
    assert!(!output.status.success());
    assert_eq!(text(&output.stdout), "");
    text(&output.stderr)
}

#[test]
fn without_go_the_message_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let message = failure(&build(root.path(), "").output().unwrap());
    assert!(message.contains("no `go` on PATH") && message.contains("KUBEBUILDER_ASSETS"), "{message}");
}

#[test]
fn a_go_that_is_too_old_is_named() {
    let root = tempfile::tempdir().unwrap();
    let stub = stub_go(root.path(), "go1.25.9", "");
    let message = failure(&build(root.path(), &path_with(&stub)).output().unwrap());
    assert!(message.contains("go1.25.9") && message.contains("1.26"), "{message}");
    assert_eq!(builds(root.path()), 0);
}

#[test]
fn a_failed_fetch_is_told_from_a_failed_build_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let stub =
        stub_go(root.path(), "go1.26.0", "echo 'go: a@v1: dial tcp: lookup x: no such host' >&2; exit 1");
    let message = failure(&build(root.path(), &path_with(&stub)).output().unwrap());
    assert!(message.contains("could not fetch") && message.contains("no such host"), "{message}");
    let left = fs::read_dir(root.path().join("cache/control-plane")).unwrap().flatten();
    assert!(left.map(|entry| entry.file_name()).all(|name| name.to_str().unwrap().ends_with(".lock")));
}

#[test]
fn the_folder_is_the_only_line_and_the_second_build_is_none() {
    let root = tempfile::tempdir().unwrap();
    let path = path_with(&stub_go(root.path(), "go1.26.0", ""));
    let first = build(root.path(), &path).output().unwrap();
    let stdout = text(&first.stdout);
    let folder = Path::new(stdout.trim_end());
    assert!(stdout.lines().count() == 1 && folder.is_absolute(), "{stdout}");
    assert!(NAMES.iter().all(|name| folder.join(name).is_file()));
    let told = text(&first.stderr);
    assert!(told.contains("done only once") && told.contains("4 packages compiled"), "{told}");
    let second = build(root.path(), &path).output().unwrap();
    assert_eq!((text(&second.stdout), text(&second.stderr)), (stdout, String::new()));
    assert_eq!(builds(root.path()), 1);
}

#[test]
fn of_two_processes_one_builds_and_the_other_waits() {
    let root = tempfile::tempdir().unwrap();
    let release = root.path().join("release");
    let hold = format!("until [ -e '{}' ]; do sleep 0.02; done", release.display());
    let path = path_with(&stub_go(root.path(), "go1.26.0", &hold));
    let first = build(root.path(), &path).spawn().unwrap();
    wait_until("the first builds", 30, || builds(root.path()) == 1);
    let mut second = build(root.path(), &path).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(second.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("waiting for it"), "{line}");
    fs::write(&release, "").unwrap();
    let (first, second) = (first.wait_with_output().unwrap(), second.wait_with_output().unwrap());
    assert!(first.status.success() && second.status.success());
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(builds(root.path()), 1);
}

#[test]
fn a_killed_build_takes_go_with_it_and_the_next_one_starts_clean() {
    let root = tempfile::tempdir().unwrap();
    let gone = root.path().join("gone");
    let waiting = root.path().join("waiting");
    let block = format!(
        "trap \"touch '{}'; exit 1\" TERM; touch '{}'; while :; do sleep 0.02; done",
        gone.display(),
        waiting.display()
    );
    let blocking = path_with(&stub_go(root.path(), "go1.26.0", &block));
    let mut first = build(root.path(), &blocking).spawn().unwrap();
    wait_until("the build runs", 30, || waiting.exists());
    first.kill().unwrap();
    first.wait().unwrap();
    wait_until("go has ended", 30, || gone.exists());
    let path = path_with(&stub_go(root.path(), "go1.26.0", ""));
    let second = build(root.path(), &path).output().unwrap();
    assert!(second.status.success(), "{}", text(&second.stderr));
    let left = fs::read_dir(root.path().join("cache/control-plane")).unwrap().flatten();
    assert!(left.map(|entry| entry.file_name()).all(|name| !name.to_str().unwrap().ends_with(".building")));
}

#[test]
fn only_what_kubebuilder_assets_lacks_is_built() {
    let root = tempfile::tempdir().unwrap();
    let path = path_with(&stub_go(root.path(), "go1.26.0", ""));
    let given = root.path().join("given");
    fs::create_dir(&given).unwrap();
    for name in &NAMES[..3] {
        write_program(&given.join(name), "#!/bin/sh\n");
    }
    let output = build(root.path(), &path).env("KUBEBUILDER_ASSETS", &given).output().unwrap();
    assert!(text(&output.stderr).contains("1 packages compiled"), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let folder = Path::new(stdout.trim_end());
    for name in &NAMES[..3] {
        assert_eq!(fs::read_link(folder.join(name)).unwrap(), given.join(name));
    }
    assert!(folder.join(NAMES[3]).is_file());

    // Complete, it is used as it is.
    write_program(&given.join(NAMES[3]), "#!/bin/sh\n");
    let output = build(root.path(), &path).env("KUBEBUILDER_ASSETS", &given).output().unwrap();
    assert_eq!(text(&output.stdout).trim_end(), given.to_str().unwrap());
    assert_eq!(builds(root.path()), 1);

    let output =
        build(root.path(), &path).env("KUBEBUILDER_ASSETS", root.path().join("none")).output().unwrap();
    assert!(failure(&output).contains("not a folder"));
}

/// Helm is a set of its own, beside the control plane.
#[test]
fn helm_is_built_once_and_apart() {
    let root = tempfile::tempdir().unwrap();
    let path = path_with(&stub_go(root.path(), "go1.26.0", ""));
    let helm = || {
        let mut command = binary();
        command
            .args(["tools", "helm"])
            .env("ATLAS_INTEGRATION_CACHE", root.path().join("cache"))
            .env("PATH", &path);
        command.output().unwrap()
    };
    let first = helm();
    let program = text(&first.stdout);
    assert!(Path::new(program.trim_end()).is_file(), "{program}{}", text(&first.stderr));
    assert!(text(&first.stderr).contains("1 packages compiled"));
    assert_eq!((text(&helm().stdout), builds(root.path())), (program, 1));
    assert!(build(root.path(), &path).output().unwrap().status.success());
    assert_eq!(builds(root.path()), 2);
}
