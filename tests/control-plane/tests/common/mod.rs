//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "in a test that is the failure")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Waits for a condition, for at most `seconds`.
pub fn wait_until(what: &str, seconds: u64, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !condition() {
        assert!(Instant::now() < until, "not after {seconds} s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The `control-plane` binary, its stdin closed and its output kept.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The processes that run in `folder`.
pub fn processes_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let here = entries.filter(|entry| {
        fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| {
            // The kernel marks a folder that was removed.
            cwd == folder || cwd.to_str().is_some_and(|cwd| cwd == format!("{} (deleted)", folder.display()))
        })
    });
    here.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// A folder with a `go` that records each build in `builds` and makes empty programs; `script` runs before that.
pub fn stub_go(folder: &Path, version: &str, script: &str) -> PathBuf {
    let bin = folder.join("stub");
    fs::create_dir_all(&bin).unwrap();
    let text = format!(
        r#"#!/bin/sh
if [ "$1" = env ]; then echo {version}; exit 0; fi
echo build >> "{record}"
{script}
while [ "$1" != -o ]; do shift; done
out=$2; shift 2
for package in "$@"; do
  name=${{package##*/}}; [ "$name" = v3 ] && name=server
  echo "$package" >&2
  printf '#!/bin/sh\n' > "$out/$name"; chmod +x "$out/$name"
done
"#,
        record = folder.join("builds").display(),
    );
    write_program(&bin.join("go"), &text);
    bin
}

/// How often the stub was asked to build.
pub fn builds(folder: &Path) -> usize {
    fs::read_to_string(folder.join("builds")).map_or(0, |text| text.lines().count())
}

/// `PATH` with `first` in front.
pub fn path_with(first: &Path) -> String {
    format!("{}:{}", first.display(), std::env::var("PATH").unwrap())
}

/// Writes a script that may be run.
pub fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
