//! The command line. Flags are parsed and checked once, here, into the settings of the layers below.

mod args;
mod errors_page;
mod reference;
mod run;

pub use errors_page::errors_page;
pub use reference::reference;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Runs the program. Errors that occur before logging works go to stderr.
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
        // A closed pipe (`| head`) is not an error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("the CRD can't be printed: {error}"))
        }
        _ => Ok(()),
    }
}
