//! Building the pinned binaries with Go, and telling the person who waits what happens.
//!
//! It does not decide where the result is kept or who builds: that is `cache`.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{Error, process};

/// How often a line shows that the build goes on.
const TICK: Duration = Duration::from_secs(15);
/// What a build needs in the cache folder for certain: the binaries and the linker's work. With a cold Go
/// cache it takes 4 GiB more, wherever that is; when that is short, the build says so.
const DISK: u64 = 1 << 30;

/// A Go module of which binaries are built. Its files are part of this crate, so that a build needs no source tree.
#[derive(Debug)]
pub(crate) struct Module {
    /// What its sets are called in the cache, before the version; empty for the control plane.
    pub(crate) prefix: &'static str,
    /// `go.mod`: exact versions.
    pub(crate) go_mod: &'static str,
    /// `go.sum`: what they must be.
    pub(crate) go_sum: &'static str,
    /// `ldflags`: the version stamp, which Kubernetes' clients and charts read.
    pub(crate) ldflags: &'static str,
    /// Its own programs, by their paths in it.
    pub(crate) sources: &'static [(&'static str, &'static str)],
    /// All that is built of it.
    pub(crate) binaries: &'static [Binary],
    /// How long that takes with a cold Go cache.
    cold: &'static str,
    /// What to do where there is no Go, after "install Go".
    instead: &'static str,
}

/// One binary.
#[derive(Debug)]
pub(crate) struct Binary {
    /// The name it is used by.
    pub(crate) name: &'static str,
    /// Its package: a tool of `go.mod`, or one of the module's own.
    package: &'static str,
    /// The name Go gives it.
    built_as: &'static str,
}

impl Binary {
    /// One that is used by the name Go gives it.
    const fn tool(name: &'static str, package: &'static str) -> Binary {
        Binary { name, package, built_as: name }
    }
}

/// The control plane.
pub(crate) const CONTROL_PLANE: Module = Module {
    prefix: "",
    go_mod: include_str!("../binaries/go.mod"),
    go_sum: include_str!("../binaries/go.sum"),
    ldflags: include_str!("../binaries/ldflags"),
    sources: &[],
    binaries: &[
        Binary::tool("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        Binary { name: "etcd", package: "go.etcd.io/etcd/server/v3", built_as: "server" },
        Binary::tool("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        Binary::tool("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ],
    cold: "6 to 10 minutes",
    instead: ", or set KUBEBUILDER_ASSETS to a folder that holds kube-apiserver, etcd, kubectl and \
              kube-controller-manager",
};

/// Helm.
pub(crate) const HELM: Module = Module {
    prefix: "helm-",
    go_mod: include_str!("../helm/go.mod"),
    go_sum: include_str!("../helm/go.sum"),
    ldflags: include_str!("../helm/ldflags"),
    sources: &[],
    binaries: &[Binary::tool("helm", "helm.sh/helm/v4/cmd/helm")],
    cold: "3 to 5 minutes",
    instead: "",
};

/// What Flux and Helm 4, and others, make of an object's status.
pub(crate) const KSTATUS: Module = Module {
    prefix: "kstatus-",
    go_mod: include_str!("../kstatus/go.mod"),
    go_sum: include_str!("../kstatus/go.sum"),
    ldflags: STRIPPED,
    sources: &[
        ("flux/main.go", include_str!("../kstatus/flux/main.go")),
        ("sigs/main.go", include_str!("../kstatus/sigs/main.go")),
        ("verdicts/verdicts.go", include_str!("../kstatus/verdicts/verdicts.go")),
    ],
    binaries: &[
        Binary { name: "kstatus-flux", package: "./flux", built_as: "flux" },
        Binary { name: "kstatus-sigs", package: "./sigs", built_as: "sigs" },
    ],
    cold: "a minute",
    instead: "",
};

/// Flux's apply engine. It pins another version of kstatus than Helm does.
pub(crate) const FLUX: Module = Module {
    prefix: "flux-",
    go_mod: include_str!("../flux/go.mod"),
    go_sum: include_str!("../flux/go.sum"),
    ldflags: STRIPPED,
    sources: &[("sync/main.go", include_str!("../flux/sync/main.go"))],
    binaries: &[Binary { name: "flux-sync", package: "./sync", built_as: "sync" }],
    cold: "2 to 4 minutes",
    instead: "",
};

/// The linters of manifests.
pub(crate) const LINTERS: Module = Module {
    prefix: "linters-",
    go_mod: include_str!("../linters/go.mod"),
    go_sum: include_str!("../linters/go.sum"),
    ldflags: STRIPPED,
    sources: &[],
    binaries: &[
        Binary::tool("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"),
        Binary::tool("kube-score", "github.com/zegl/kube-score/cmd/kube-score"),
    ],
    cold: "a minute",
    instead: "",
};

/// Argo CD: its Lua machine and its sync engine. It pins older Kubernetes libraries than all others.
pub(crate) const ARGO: Module = Module {
    prefix: "argo-",
    go_mod: include_str!("../argo/go.mod"),
    go_sum: include_str!("../argo/go.sum"),
    ldflags: STRIPPED,
    sources: &[
        ("lua/main.go", include_str!("../argo/lua/main.go")),
        ("settings/settings.go", include_str!("../argo/settings/settings.go")),
        ("sync/main.go", include_str!("../argo/sync/main.go")),
    ],
    binaries: &[
        Binary { name: "argo-lua", package: "./lua", built_as: "lua" },
        Binary { name: "argo-sync", package: "./sync", built_as: "sync" },
    ],
    cold: "4 to 6 minutes",
    instead: "",
};

/// Fake nodes.
pub(crate) const KWOK: Module = Module {
    prefix: "kwok-",
    go_mod: include_str!("../kwok/go.mod"),
    go_sum: include_str!("../kwok/go.sum"),
    ldflags: STRIPPED,
    sources: &[],
    binaries: &[Binary::tool("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
    cold: "3 to 5 minutes",
    instead: "",
};

/// What needs no stamp of its version.
const STRIPPED: &str = "-s -w";

impl Module {
    /// The version of what is built, where it has a stamp.
    pub(crate) fn version(&self) -> &'static str {
        let stamp = self.ldflags.split_whitespace().find_map(|word| word.split_once("ersion="));
        stamp.map_or("pinned", |pair| pair.1)
    }

    /// The oldest Go that `go.mod` allows.
    fn needed(&self) -> &'static str {
        self.go_mod.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or("1.26").trim()
    }
}

/// The names of `wanted`, for a message.
pub(crate) fn names(wanted: &[&Binary]) -> String {
    wanted.iter().map(|binary| binary.name).collect::<Vec<_>>().join(", ")
}

/// A line for the person who waits. Not `eprintln!`: the test harness would keep it back until the test is
/// over.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "control-plane: {line}");
}

/// Builds `wanted` of `module` in the existing, empty folder `work`; the binaries are in `work/bin` afterwards.
pub(crate) fn build(module: &Module, wanted: &[&Binary], work: &Path) -> Result<(), Error> {
    check_go(module, wanted, work)?;
    check_disk(work)?;
    let (bin, tmp) = (work.join("bin"), work.join("tmp"));
    for folder in [&bin, &tmp] {
        std::fs::create_dir(folder).map_err(Error::io("creating", folder))?;
    }
    for (name, text) in [&[("go.mod", module.go_mod), ("go.sum", module.go_sum)], module.sources].concat() {
        let path = work.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("creating", folder))?;
        }
        std::fs::write(&path, text).map_err(Error::io("writing", &path))?;
    }
    say(format_args!(
        "building {} ({}) from source, because the cache does not have them. \
         With a cold Go cache this takes {}, and it is done only once.",
        names(wanted),
        module.version(),
        module.cold,
    ));
    let mut command = go(work);
    // Readonly: go.sum pins every module. Without cgo the result needs no C compiler and no libc, and runs
    // anywhere.
    command
        .args([
            "build",
            "-v",
            "-mod=readonly",
            "-buildvcs=false",
            "-trimpath",
            "-ldflags",
            module.ldflags.trim(),
            "-o",
        ])
        .arg(&bin)
        .args(wanted.iter().map(|binary| binary.package))
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GOTMPDIR", &tmp);
    run(command, work)?;
    for binary in wanted.iter().filter(|binary| binary.built_as != binary.name) {
        let (from, to) = (bin.join(binary.built_as), bin.join(binary.name));
        std::fs::rename(&from, &to).map_err(Error::io("renaming", &from))?;
    }
    Ok(())
}

fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    // Local: a Go that is too old is said so, instead of a silent download of another one.
    command.env("GOTOOLCHAIN", "local").current_dir(folder).stdin(Stdio::null());
    command
}

fn check_go(module: &Module, wanted: &[&Binary], folder: &Path) -> Result<(), Error> {
    let output = match go(folder).args(["env", "GOVERSION"]).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::GoMissing {
                missing: names(wanted),
                needed: module.needed().into(),
                instead: module.instead,
            });
        }
        Err(error) => return Err(Error::io("running", Path::new("go"))(error)),
    };
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // What cannot be read (a development version) is left to `go build` to judge.
    match (numbers(found.trim_start_matches("go")), numbers(module.needed())) {
        (Some(have), Some(need)) if have < need => {
            Err(Error::GoTooOld { found, needed: module.needed().into() })
        }
        _ => Ok(()),
    }
}

/// Major and minor version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn check_disk(folder: &Path) -> Result<(), Error> {
    // Where the system does not say how much there is, the build finds out.
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= DISK {
        return Ok(());
    }
    let detail =
        format!("{} MiB are free and {} MiB are needed (5 GiB with a cold Go cache)", free >> 20, DISK >> 20);
    Err(Error::Disk { path: folder.to_path_buf(), detail })
}

/// Runs the build, shows that it goes on, and makes an error of what it said.
fn run(mut command: Command, work: &Path) -> Result<(), Error> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let program = Path::new("go");
    // Not SIGINT, on which Go would remove its work: a script that was started in the background hands it on as
    // ignored. What is left lies in the folder that the next build sweeps.
    let mut child = process::spawn(command, Signal::TERM).map_err(Error::io("running", program))?;
    let (sender, lines) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || {
            let read = BufReader::new(stderr).lines().map_while(Result::ok);
            read.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
    }
    let mut progress = Progress::default();
    let (start, mut next) = (Instant::now(), Instant::now() + TICK);
    loop {
        match lines.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(line) => progress.note(line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                say(progress.line(start.elapsed()));
                next = Instant::now() + TICK;
            }
        }
    }
    let status = child.wait().map_err(Error::io("waiting for", program))?;
    if status.success() {
        say(format_args!("{} (done)", progress.line(start.elapsed())));
        return Ok(());
    }
    let log = progress.other.make_contiguous().join("\n");
    Err(judge(if log.is_empty() { format!("go ended with {status}") } else { log }, work))
}

/// What `go build -v` has told so far.
#[derive(Debug, Default)]
struct Progress {
    packages: usize,
    modules: usize,
    other: VecDeque<String>,
}

impl Progress {
    fn note(&mut self, line: String) {
        if line.starts_with("go: downloading ") {
            self.modules += 1;
        } else if !line.is_empty() && !line.contains([' ', '\t', ':']) {
            // `-v` names each package on a line of its own.
            self.packages += 1;
        } else if !self.other.contains(&line) {
            self.other.push_back(line);
            if self.other.len() > 20 {
                self.other.pop_front();
            }
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs();
        let fetched =
            if self.modules > 0 { format!(", {} modules fetched", self.modules) } else { String::new() };
        format!(
            "building: {}m{:02}s, {} packages compiled{fetched}",
            seconds / 60,
            seconds % 60,
            self.packages
        )
    }
}

/// Sorts a failure by what there is to do about it.
fn judge(log: String, work: &Path) -> Error {
    const NETWORK: [&str; 9] = [
        "dial tcp",
        "no such host",
        "i/o timeout",
        "connection refused",
        "connection reset",
        "proxyconnect",
        "TLS handshake timeout",
        "module lookup disabled",
        "unrecognized import path",
    ];
    if log.contains("no space left on device") {
        return Error::Disk { path: work.to_path_buf(), detail: log };
    }
    if NETWORK.iter().any(|sign| log.contains(sign)) {
        return Error::Modules { log };
    }
    Error::Build { log }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pins_are_read() {
        for module in [&CONTROL_PLANE, &HELM, &KSTATUS, &FLUX, &ARGO, &KWOK, &LINTERS] {
            assert!(numbers(module.needed()) <= Some((1, 26)), "{}", module.prefix);
            for binary in module.binaries.iter().filter(|binary| !binary.package.starts_with("./")) {
                let package = binary.package;
                let tools = [format!("\t{package}\n"), format!("\ntool {package}\n")]
                    .map(|t| module.go_mod.contains(&t));
                assert!(tools.contains(&true), "{} is no tool of go.mod", binary.name);
            }
        }
        // The stamp must be the version that go.mod pins.
        let pinned =
            |module: &Module, of: &str| module.go_mod.contains(&format!("{of} {}", module.version()));
        assert!(pinned(&CONTROL_PLANE, "k8s.io/kubernetes"), "{}", CONTROL_PLANE.version());
        assert!(pinned(&HELM, "helm.sh/helm/v4"), "{}", HELM.version());
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(numbers("1.9.1") < numbers("1.26.0"));
        assert_eq!(numbers("1.27rc1"), Some((1, 27)));
        assert_eq!(numbers("devel"), None);
    }

    #[test]
    fn output_is_counted_and_failures_are_sorted() {
        let mut progress = Progress::default();
        for line in
            ["go: downloading a.b/c v1.0.0", "a.b/c/d", "runtime", "# a.b/c", "x.go:1:2: undefined: y"]
        {
            progress.note(line.into());
        }
        assert_eq!(
            progress.line(Duration::from_secs(75)),
            "building: 1m15s, 2 packages compiled, 1 modules fetched"
        );
        assert_eq!(progress.other.len(), 2);
        let judged = |text: &str| judge(text.into(), Path::new("x"));
        assert!(matches!(judged("lookup x: no such host"), Error::Modules { .. }));
        assert!(matches!(judged("write y: no space left on device"), Error::Disk { .. }));
        assert!(matches!(judged("undefined: y"), Error::Build { .. }));
    }
}
