//! The command line. Flags are parsed and checked once, here, into the settings of the layers below.

mod args;
mod errors_page;
mod process;
mod proxy;
mod reference;
mod run;

pub use errors_page::errors_page;
pub use reference::reference;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Runs the program. Errors that occur before logging works go to stderr as text, later ones into the log.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let args = match args::parse(&arguments, |name| std::env::var_os(name)) {
        Ok(args) => args,
        Err((error, variable)) => {
            // As the library does: there is nobody to tell if this fails.
            let _ = error.print();
            if let Some(variable) = variable {
                eprintln!("\nThe value is that of the variable {variable}.");
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match args.command {
        args::Command::Crd => crd(),
        args::Command::Run(run) => run::run(*run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // What ends the process is said even before logging works, or if it is off.
            if tracing::enabled!(tracing::Level::ERROR) {
                tracing::error!("{message}");
            } else {
                eprintln!("atlas-integration-operator: {message}");
            }
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
