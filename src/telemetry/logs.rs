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

const LEVELS: &str = "the levels are error, warn, info, debug and trace, and off";

/// `--log-level`: the level of all that is logged, and those of single parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Targets);

impl FromStr for Filter {
    type Err = String;

    /// Parses a level, perhaps followed by others for single targets: `info` or
    /// `info,atlas_integration_operator::atlas=debug`. The parser of the library takes every unknown word for a target,
    /// and silences everything else.
    fn from_str(text: &str) -> Result<Filter, String> {
        let mut whole = None;
        let mut targets = Targets::new();
        for part in text.split(',').map(str::trim) {
            if let Some((target, word)) = part.split_once('=') {
                let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
                if target.is_empty() || !target.chars().all(good) {
                    return Err(format!("{target:?} can't be the target of a level; write TARGET=LEVEL"));
                }
                targets = targets.with_target(target, level(word)?);
            } else if whole.replace(level(part)?).is_some() {
                return Err("it names two levels for everything; name one".to_owned());
            }
        }
        let Some(whole) = whole else {
            return Err(format!("it names no level for everything else; write info,{text}"));
        };
        Ok(Filter(targets.with_default(whole)))
    }
}

fn level(word: &str) -> Result<LevelFilter, String> {
    Ok(match &*word.to_ascii_lowercase() {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        "warning" => return Err(format!("there is no level {word:?}; {LEVELS}; try warn")),
        "verbose" => return Err(format!("there is no level {word:?}; {LEVELS}; try debug")),
        "fatal" | "critical" => return Err(format!("there is no level {word:?}; {LEVELS}; try error")),
        _ => return Err(format!("there is no level {word:?}; {LEVELS}")),
    })
}

/// Installs the logger, and a panic hook that logs like everything else.
///
/// # Errors
/// Returns a text for a person if logging is set up already.
pub fn install(format: LogFormat, filter: Filter) -> Result<(), String> {
    let filter = filter.0.and(cap());
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
        "kube_client" | "kube" => Level::ERROR,
        _ => Level::WARN,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn dependencies_are_cut_off() {
        assert_eq!(limit("atlas_integration_operator::engine::step"), Level::TRACE);
        assert_eq!(limit("kube_client::client"), Level::ERROR);
        assert_eq!(limit("hyper_util::client::legacy"), Level::WARN);
        assert_eq!(limit("rustls::client"), Level::WARN);
    }

    #[rstest]
    #[case("info", "info")]
    #[case("INFO", "info")]
    #[case("off", "off")]
    #[case("debug,hyper=warn", "hyper=warn,debug")]
    #[case("hyper=off, info", "hyper=off,info")]
    #[case("info,atlas_integration_operator::atlas=trace", "atlas_integration_operator::atlas=trace,info")]
    fn filters(#[case] text: &str, #[case] same: &str) {
        assert_eq!(text.parse::<Filter>().map(|filter| filter.0), Ok(same.parse().unwrap()));
    }

    /// The library takes each of these for a filter that silences everything, or nearly.
    #[rstest]
    #[case(
        "verbose",
        "there is no level \"verbose\"; the levels are error, warn, info, debug and trace, and off; try debug"
    )]
    #[case("warning", "try warn")]
    #[case("Warning", "try warn")]
    #[case("critical", "try error")]
    #[case("3", "there is no level")]
    #[case("all", "there is no level")]
    #[case("info debug", "there is no level")]
    #[case("info;debug", "there is no level")]
    #[case("info,", "there is no level \"\"")]
    #[case("", "there is no level \"\"")]
    #[case("info,hyper", "there is no level \"hyper\"")]
    #[case("info,hyper=loud", "there is no level \"loud\"")]
    #[case("info,hyper=", "there is no level \"\"")]
    #[case("info,=debug", "can't be the target")]
    #[case("info,a b=debug", "can't be the target")]
    #[case("atlas_integration_operator=debug", "write info,atlas_integration_operator=debug")]
    #[case("info,debug", "two levels")]
    #[case("RUST_LOG=debug", "no level for everything else")]
    fn filters_that_are_none(#[case] text: &str, #[case] said: &str) {
        let error = text.parse::<Filter>().unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}
