//! `control-plane`: builds the binaries, or runs a control plane for as long as this runs.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;

use clap::{Parser, Subcommand, ValueEnum};
use control_plane::{Assets, ControlPlane, Error, Options, Tool};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A real Kubernetes control plane (kube-apiserver, etcd, kubectl, kube-controller-manager) for tests and the
/// demo.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Find or build the binaries and print the folder they are in (the only line on stdout).
    ///
    /// KUBEBUILDER_ASSETS is used when set; what is missing there, or all, is built with Go once and kept in
    /// ATLAS_INTEGRATION_CACHE, or else in the user's cache folder.
    Build,
    /// Find programs of the tests, or build them with Go once, and print their paths (the only lines on stdout).
    Tools {
        /// Which; all, when none is named.
        names: Vec<Tool>,
    },
    /// Start a control plane and keep it until Ctrl-C.
    Start {
        /// Run kube-controller-manager too: namespace deletion, garbage collection, ServiceAccounts.
        #[arg(long)]
        controller_manager: bool,
        /// Stop when stdin is closed, too: for scripts that start this in the background.
        #[arg(long)]
        exit_with_stdin: bool,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Action::Build => build(),
        Action::Tools { names } => tools(&names),
        Action::Start { controller_manager, exit_with_stdin } => start(controller_manager, exit_with_stdin),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "control-plane: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Error> {
    let assets = Assets::locate()?;
    print(&assets.dir().display().to_string());
    Ok(())
}

fn tools(names: &[Tool]) -> Result<(), Error> {
    for tool in if names.is_empty() { Tool::value_variants() } else { names } {
        print(&tool.locate()?.display().to_string());
    }
    Ok(())
}

fn start(controller_manager: bool, exit_with_stdin: bool) -> Result<(), Error> {
    // Built before the signals are caught: Ctrl-C ends a build at once.
    let assets = Assets::locate()?;
    let caught = Signals::new([SIGHUP, SIGINT, SIGTERM]);
    let mut signals = caught.map_err(|source| Error::Io {
        action: "catching signals in",
        path: "control-plane".into(),
        source,
    })?;
    if exit_with_stdin {
        let ours = signals.handle();
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
            ours.close();
        });
    }
    let plane = ControlPlane::start_with(&assets, Options { controller_manager, ..Options::default() })?;
    print(&format!(
        "export KUBECONFIG={}\nexport PATH={}:$PATH\n# {} is ready; logs and state are in {}. Ctrl-C stops it.",
        plane.kubeconfig().display(),
        assets.dir().display(),
        plane.server(),
        plane.dir().display(),
    ));
    // Returns at a signal that came during the start, too; ends without one when stdin closed.
    let _ = signals.forever().next();
    drop(plane);
    Ok(())
}

/// A line on stdout. Whoever started this may not read it; that is no reason to end.
fn print(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
