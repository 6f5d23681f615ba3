//! The operator as a process: how it is started, what can be asked of it over its own port and of the kernel, and its end.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Error;

const NAME: &str = "atlas-integration-operator";
/// How long its port may be silent.
const SILENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// How to start it. What all users need alike is added: the kubeconfig, consent to the simulator's `http`, a free port.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The program.
    pub binary: &'a Path,
    /// Which cluster it works on, and as whom.
    pub kubeconfig: &'a Path,
    /// Where its log goes.
    pub log: &'a Path,
    /// The flags after `run`, `--atlas-url` among them.
    pub flags: &'a [&'a str],
    /// All else that is in its environment.
    pub environment: &'a [(&'a str, &'a str)],
}

/// A running operator. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    child: Mutex<Child>,
    pid: Pid,
    log: PathBuf,
    address: OnceLock<SocketAddr>,
    started: Instant,
}

/// Its resident memory in KiB, by the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub now: u64,
    /// The most that it ever had.
    pub peak: u64,
}

impl Operator {
    /// The binary that was built beside this program.
    pub fn binary() -> Result<PathBuf, Error> {
        let own = std::env::current_exe().map_err(Error::system("finding this program's own binary"))?;
        let binary = own.with_file_name(NAME);
        if binary.is_file() {
            return Ok(binary);
        }
        let path = binary.display();
        let advice = "run `make demo`, which builds it, or";
        Err(Error::Missing(format!("{path} is missing: {advice} `cargo build -p {NAME}`")))
    }

    /// Starts it, without waiting for anything.
    pub fn start(launch: &Launch<'_>) -> Result<Operator, Error> {
        let creating = Error::system(format!("creating {}", launch.log.display()));
        let mut command = Command::new(launch.binary);
        command
            .env_clear()
            .env("KUBECONFIG", launch.kubeconfig)
            .envs(launch.environment.iter().copied())
            .args(["run", "--insecure-atlas-url", "--bind", "127.0.0.1:0"])
            .args(launch.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(launch.log).map_err(creating)?)
            // A group of its own: Ctrl-C goes to this program alone, which ends it in order.
            .process_group(0);
        let child = control_plane::spawn_tied(command).map_err(Error::system("starting the operator"))?;
        Ok(Operator {
            pid: Pid::from_child(&child),
            child: Mutex::new(child),
            log: launch.log.to_owned(),
            address: OnceLock::new(),
            started: Instant::now(),
        })
    }

    /// Whether `/readyz` says that it is ready.
    pub fn is_ready(&self) -> Result<bool, Error> {
        let Some(address) = self.address()? else { return Ok(false) };
        Ok(get(address, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ")))
    }

    /// Where `/metrics`, `/livez` and `/readyz` are served, once its log says so.
    pub fn address(&self) -> Result<Option<SocketAddr>, Error> {
        if let Some(address) = self.address.get() {
            return Ok(Some(*address));
        }
        if let Some(status) = self.status()? {
            return Err(Error::Ended { status: status.to_string(), log: self.logs() });
        }
        Ok(address_in(&self.logs()).map(|address| *self.address.get_or_init(|| address)))
    }

    /// A GET of its own port, with head and body.
    pub fn get(&self, path: &str) -> io::Result<String> {
        let address = self.address.get().ok_or_else(|| io::Error::other("its address is not known yet"))?;
        get(*address, path)
    }

    /// The sum of all samples of a metric that begin like this and have this text in their labels.
    pub fn metric(&self, beginning: &str, labels: &str) -> io::Result<f64> {
        let metrics = self.get("/metrics")?;
        let samples = metrics.lines().filter(|line| line.starts_with(beginning) && line.contains(labels));
        Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// How long ago it was started.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// A file of its in `/proc`.
    pub fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.id()))
    }

    /// Its memory.
    pub fn memory(&self) -> Result<Memory, Error> {
        let file = self.proc("status");
        let reading = || Error::system(format!("reading {}", file.display()));
        let text = fs::read_to_string(&file).map_err(reading())?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        let found = field("VmRSS:").zip(field("VmHWM:")).map(|(now, peak)| Memory { now, peak });
        found.ok_or_else(|| reading()(io::Error::other("it says nothing of memory")))
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// All that it has logged.
    pub fn logs(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines that it has logged.
    pub fn last_logs(&self, number: usize) -> String {
        let logs = self.logs();
        let lines: Vec<&str> = logs.lines().collect();
        lines[lines.len().saturating_sub(number)..].join("\n")
    }

    /// Its exit status, once it has ended.
    pub fn status(&self) -> Result<Option<ExitStatus>, Error> {
        self.child().try_wait().map_err(Error::system("looking at the operator"))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        // Locked, and with that not reaped between: the id can't belong to another process.
        let mut child = self.child();
        let sent = match child.try_wait() {
            Ok(None) => kill_process(self.pid, signal).map_err(io::Error::from),
            Ok(Some(status)) => Err(io::Error::other(format!("it has ended ({status})"))),
            Err(error) => Err(error),
        };
        sent.map_err(Error::system("signalling the operator"))
    }

    /// Ends it with SIGTERM, so that a write under way is finished, and after `grace` with SIGKILL.
    pub fn end(&self, grace: Duration) {
        if self.signal(Signal::TERM).is_ok() {
            let begun = Instant::now();
            while matches!(self.status(), Ok(None)) && begun.elapsed() < grace {
                thread::sleep(POLL);
            }
        }
        self.kill();
    }

    /// SIGKILL.
    pub fn kill(&self) {
        let mut child = self.child();
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A GET of an operator's own port, with head and body.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, SILENCE)?;
    stream.set_read_timeout(Some(SILENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// `{"message": "started", "address": "127.0.0.1:40001", …}` or `… started address=127.0.0.1:40001 …`.
fn address_in(log: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| match serde_json::from_str::<Value>(line) {
        Ok(entry) => entry["address"].as_str()?.parse().ok(),
        Err(_) => line.split_whitespace().find_map(|word| word.strip_prefix("address="))?.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn the_address_is_read_from_the_log() {
        let text = "2026-01-01T00:00:00Z  INFO x: started address=127.0.0.1:4001 version=\"0\"\n";
        assert_eq!(address_in(text).map(|address| address.port()), Some(4001));
        let json = "{\"message\":\"x\"}\n{\"message\":\"started\",\"address\":\"127.0.0.1:4002\"}\n";
        assert_eq!(address_in(json).map(|address| address.port()), Some(4002));
        assert_eq!(address_in("nothing yet"), None);
    }
}
