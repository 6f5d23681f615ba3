//! Running kubectl against one control plane, without the user's own settings.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::Signal;

use crate::{Error, process};

/// Runs kubectl and returns its stdout. `home` takes its caches.
pub(crate) fn run(
    program: &Path,
    kubeconfig: &Path,
    home: &Path,
    args: &[&str],
    stdin: Option<&str>,
) -> Result<String, Error> {
    let mut command = Command::new(program);
    // The user's KUBECONFIG, kuberc, plugins' settings and proxies stay out. A `--kubeconfig` among `args`
    // wins.
    command.args(args).env_clear().env("KUBECONFIG", kubeconfig).env("HOME", home);
    for kept in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(OsStr::new(kept), value);
        }
    }
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = |action| Error::io(action, program);
    let mut child = process::spawn(command, Signal::KILL).map_err(failed("running"))?;
    // In a thread, because kubectl may answer before it has read everything.
    let input = child.stdin.take().zip(stdin.map(str::to_owned));
    let writer = input.map(|(mut pipe, text)| thread::spawn(move || pipe.write_all(text.as_bytes())));
    let output = child.wait_with_output().map_err(failed("running"))?;
    // kubectl that stops reading early says why on stderr.
    let _ = writer.map(thread::JoinHandle::join);
    if !output.status.success() {
        return Err(Error::Kubectl {
            command: args.join(" "),
            status: output.status.to_string(),
            stderr: String::from_utf8_lossy(&output.stderr).trim_end().to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
