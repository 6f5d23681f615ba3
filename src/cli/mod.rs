//! The command line: flags are parsed and checked here, once, into what the layers below take.

mod args;
mod errors_page;
mod reference;
mod run;

pub use errors_page::errors_page;
pub use reference::reference;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Runs the program; everything that goes wrong before logging works is said on stderr.
pub fn main() -> ExitCode {
    let args = args::Args::parse();
    let result = match args.command {
        args::Command::Crd => crd(),
        args::Command::Run(run) => run::run(*run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("atlas-integration-operator: {message}");
            ExitCode::FAILURE
        }
    }
}

fn crd() -> Result<(), String> {
    let yaml = crate::api::crd_yaml().map_err(|error| format!("the CRD can't be printed: {error}"))?;
    match std::io::stdout().write_all(yaml.as_bytes()) {
        // Who reads only the beginning (`| head`) is served.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("the CRD can't be printed: {error}"))
        }
        _ => Ok(()),
    }
}
