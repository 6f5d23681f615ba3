//! What can go wrong, in words for the person in front of the terminal.
//!
//! Every message says what happened, to what, and what to do next. Nothing here decides anything: it is text.

use std::io;
use std::path::{Path, PathBuf};

/// A failure to build, start or use a control plane.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried, e.g. `creating`.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },

    /// There is no place for the cache.
    #[error(
        "no folder for built binaries: set ATLAS_INTEGRATION_CACHE (or XDG_CACHE_HOME, or HOME) \
         to a folder that may be written"
    )]
    NoCacheFolder,

    /// `KUBEBUILDER_ASSETS` names something that is not a folder.
    #[error(
        "KUBEBUILDER_ASSETS is {}, which is not a folder: correct it, or unset it to have the binaries built",
        .0.display()
    )]
    AssetsNotAFolder(PathBuf),

    /// The binaries have to be built and there is no Go.
    #[error("no `go` on PATH, and {missing} must be built: install Go {needed} or newer{instead}")]
    GoMissing {
        /// The binaries that are not there.
        missing: String,
        /// The oldest Go that builds them.
        needed: String,
        /// What else would do.
        instead: &'static str,
    },

    /// The Go on PATH cannot build the pinned versions.
    #[error(
        "`go` on PATH is {found}, and what is pinned needs Go {needed} or newer: \
         install it and put it first on PATH"
    )]
    GoTooOld {
        /// What `go` said of itself.
        found: String,
        /// The oldest Go that builds them.
        needed: String,
    },

    /// There is not enough disk for a build, or it ran out.
    #[error(
        "not enough disk to build the control plane in {}: {detail}; \
         free some space or set ATLAS_INTEGRATION_CACHE (and GOCACHE) to a bigger disk",
        path.display()
    )]
    Disk {
        /// The cache folder.
        path: PathBuf,
        /// How much is there, or what Go said.
        detail: String,
    },

    /// Go could not fetch the modules.
    #[error(
        "Go could not fetch the pinned modules:\n{log}\n\
         The first build needs the network: check it and GOPROXY, then run `control-plane build` again; \
         what was fetched is kept"
    )]
    Modules {
        /// The last lines of Go's output.
        log: String,
    },

    /// Any other failure of `go build`.
    #[error(
        "`go build` failed:\n{log}\n\
         Correct the cause and run `control-plane build` again; what was compiled is kept"
    )]
    Build {
        /// The last lines of Go's output.
        log: String,
    },

    /// A server ended while it was waited for.
    #[error("{server} ended ({status}) while it was starting; its last lines ({}):\n{log}", path.display())]
    Ended {
        /// Which one.
        server: &'static str,
        /// Its exit status.
        status: String,
        /// Its log file (removed together with the control plane).
        path: PathBuf,
        /// The last lines of its log.
        log: String,
    },

    /// A server did not become ready in time.
    #[error("{server} was not ready after {seconds} s; its last lines ({}):\n{log}", path.display())]
    NotReady {
        /// Which one.
        server: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// Its log file (removed together with the control plane).
        path: PathBuf,
        /// The last lines of its log.
        log: String,
    },

    /// Every port tried was taken by somebody else meanwhile.
    #[error(
        "kube-apiserver found {0} ports in a row taken by other processes: \
         try again, or see what listens on 127.0.0.1"
    )]
    NoFreePort(u32),

    /// A server that is not running was to be stopped, paused or resumed, or a running one started.
    #[error("{server} is {state}: it cannot be {action}")]
    State {
        /// Which one.
        server: &'static str,
        /// `running` or `stopped`.
        state: &'static str,
        /// What was asked.
        action: &'static str,
    },

    /// kubectl failed.
    #[error("`kubectl {command}` failed ({status}): {stderr}")]
    Kubectl {
        /// Its arguments.
        command: String,
        /// Its exit status.
        status: String,
        /// What it wrote to stderr.
        stderr: String,
    },

    /// A file that a server wrote does not have the expected content.
    #[error("{} is not as expected: {detail}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl Error {
    /// For `map_err`: an I/O failure with what was tried, on what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }
}
