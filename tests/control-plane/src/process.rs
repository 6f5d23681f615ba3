//! Child processes that end when this process ends, however it ends.
//!
//! `PR_SET_PDEATHSIG` is sent when the *thread* that forked ends, not the process, and tests start control
//! planes from short-lived threads. So every child is forked by one thread that lives as long as the process.
//! On systems without that call children are stopped by `Drop` only.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Error;

/// How often a condition is looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(25);

struct Job {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

/// Starts `command` so that the kernel sends it `on_parent_death` when this process ends.
pub(crate) fn spawn(mut command: Command, on_parent_death: Signal) -> io::Result<Child> {
    static FORKER: OnceLock<Option<mpsc::Sender<Job>>> = OnceLock::new();
    let gone = || io::Error::other("the thread that starts processes is not there");

    tie_to_this_process(&mut command, on_parent_death);
    let forker = FORKER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let work = move || {
            for mut job in inbox {
                // Who asked may have gone; then there is nobody to tell and the child must not stay.
                if let Err(mpsc::SendError(Ok(mut child))) = job.reply.send(job.command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        };
        thread::Builder::new().name("control-plane-forker".into()).spawn(work).ok().map(|_| jobs)
    });
    let (reply, answer) = mpsc::channel();
    forker.as_ref().ok_or_else(gone)?.send(Job { command, reply }).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn tie_to_this_process(command: &mut Command, signal: Signal) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let hook = move || {
        set_parent_process_death_signal(Some(signal))?;
        // The parent may have ended between the fork and the line above: then no signal will come.
        if getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: between fork and exec the hook makes two system calls; it takes no lock and allocates nothing.
    unsafe { command.pre_exec(hook) };
}

#[cfg(not(target_os = "linux"))]
fn tie_to_this_process(_: &mut Command, _: Signal) {}

/// One server of the control plane: how to start it, and its process while it runs.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    program: PathBuf,
    args: Vec<String>,
    folder: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// A server that is not started yet. It will run in `folder` and log to `<name>.log` there.
    pub(crate) fn new(name: &'static str, program: PathBuf, args: Vec<String>, folder: &Path) -> Server {
        Server { name, program, args, folder: folder.to_path_buf(), child: None }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Starts it; its log is appended to.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        if self.child.is_some() {
            return Err(self.state_error("running", "started"));
        }
        let path = self.log_path();
        let open = || -> io::Result<(File, File)> {
            let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            Ok((log.try_clone()?, log))
        };
        let (out, err) = open().map_err(Error::io("opening", &path))?;
        let mut command = Command::new(&self.program);
        // The environment can configure these servers (ETCD_*, proxies, Go settings): they get none of it.
        command.args(&self.args).env_clear().env("HOME", &self.folder).current_dir(&self.folder);
        if let Some(search) = std::env::var_os("PATH") {
            command.env("PATH", search);
        }
        // A group of its own: Ctrl-C goes to the parent alone, which stops the servers in order.
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        self.child = Some(spawn(command, Signal::KILL).map_err(Error::io("starting", &self.program))?);
        Ok(())
    }

    /// Whether it was started and not stopped since (it may have ended by itself).
    pub(crate) fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// An error when it has ended by itself, or, with `late`, because it is not ready after that time.
    pub(crate) fn check(&mut self, late: Option<Duration>) -> Result<(), Error> {
        let Some(child) = self.child.as_mut() else { return Err(self.state_error("stopped", "waited for")) };
        let status = child.try_wait().map_err(Error::io("waiting for", &self.program))?;
        let (server, path) = (self.name, self.log_path());
        if let Some(status) = status {
            self.child = None;
            return Err(Error::Ended { server, status: status.to_string(), path, log: self.log_tail() });
        }
        match late {
            Some(limit) => {
                Err(Error::NotReady { server, seconds: limit.as_secs(), path, log: self.log_tail() })
            }
            None => Ok(()),
        }
    }

    /// Sends a signal to the running process.
    pub(crate) fn signal(&self, signal: Signal, action: &'static str) -> Result<(), Error> {
        let child = self.child.as_ref().ok_or_else(|| self.state_error("stopped", action))?;
        send(child, signal).map_err(Error::io("signalling", &self.program))
    }

    /// Ends it: asks with SIGTERM, and after `grace` kills. Does nothing when it does not run.
    pub(crate) fn stop(&mut self, grace: Duration) {
        let Some(mut child) = self.child.take() else { return };
        if !grace.is_zero() && send(&child, Signal::TERM).is_ok() {
            // A paused process does not see SIGTERM until it goes on.
            let _ = send(&child, Signal::CONT);
            let until = Instant::now() + grace;
            while Instant::now() < until {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
                thread::sleep(POLL);
            }
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// The error for a server that is not in the state for what is asked.
    pub(crate) fn state_error(&self, state: &'static str, action: &'static str) -> Error {
        Error::State { server: self.name, state, action }
    }

    /// The last lines of its log.
    fn log_tail(&self) -> String {
        let text = std::fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn send(child: &Child, signal: Signal) -> io::Result<()> {
    // The child is not reaped yet (that takes `&mut`), so the id cannot belong to another process.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.ok_or(io::ErrorKind::InvalidInput)?, signal).map_err(io::Error::from)
}
