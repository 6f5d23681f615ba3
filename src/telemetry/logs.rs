//! Logging. Our own messages contain no secret at any level, since the type of secrets can't be printed. We can't vouch
//! for what dependencies log (HTTP crates trace headers and bodies), so they may log nothing below warnings, and the
//! Kubernetes client nothing below errors, since its warnings quote answers that it can't parse.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, FilterFn, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

/// Installs the logger, and a panic hook that logs like everything else.
///
/// # Errors
/// Returns a text for a person if the filter can't be parsed.
pub fn install(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = Targets::from_str(filter)
        .map_err(|error| format!("--log-level {filter:?} is no filter: {error}; try info, or debug"))?
        .and(cap());
    let writer = std::io::stderr;
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(writer)
            .with_filter(filter)
            .boxed(),
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            tracing_subscriber::fmt::layer()
                .with_ansi(colours)
                .with_writer(writer)
                .with_filter(filter)
                .boxed()
        }
    };
    tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .map_err(|error| format!("logging can't be set up: {error}"))?;
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str));
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {}", text.unwrap_or("without a message"));
    }));
    Ok(())
}

fn cap() -> FilterFn<impl Fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| *metadata.level() <= limit(metadata.target()))
        // Without this hint the filter would run for every trace point of every dependency, each time.
        .with_max_level_hint(LevelFilter::TRACE)
}

/// The most verbose level that a target may log at.
fn limit(target: &str) -> Level {
    match target.split("::").next().unwrap_or_default() {
        "atlas_integration_operator" => Level::TRACE,
        // Every failure of a watch reaches our own log.
        "kube_client" | "kube_runtime" | "kube" => Level::ERROR,
        _ => Level::WARN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_cut_off() {
        assert_eq!(limit("atlas_integration_operator::engine::step"), Level::TRACE);
        assert_eq!(limit("kube_client::client"), Level::ERROR);
        assert_eq!(limit("kube_runtime::watcher"), Level::ERROR);
        assert_eq!(limit("hyper_util::client::legacy"), Level::WARN);
        assert_eq!(limit("reqwest"), Level::WARN);
    }
}
