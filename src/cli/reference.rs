//! `docs/reference.md`, generated from the flags and metrics themselves.

use std::fmt::Write;

use clap::CommandFactory;

use super::args::Args;
use crate::telemetry::Metrics;

/// The reference of flags, variables and metrics as Markdown.
///
/// # Errors
/// Only if formatting into a string fails.
pub fn reference() -> Result<String, std::fmt::Error> {
    let mut text = String::from(
        "# Flags, variables and metrics\n\nMade by `make generate`; a test keeps it current.\n\n\
         ## `atlas-integration-operator run`\n\n\
         The cluster is that of `KUBECONFIG`, or the one that the operator runs in. A flag wins over its variable. A \
         value that can't be used ends the start with a message, and so does a variable of this table that is set and empty.\n\n\
         Atlas is reached through the proxy that `HTTPS_PROXY` names (`HTTP_PROXY` for an http address, `ALL_PROXY` for \
         both; each also in lower case; empty means unset): `http://HOST:PORT` or `https://HOST:PORT`, perhaps with \
         `USER:PASSWORD@` before the host, in which other characters than letters, digits and `-._~` are written as `%XX`. \
         `NO_PROXY` lists hosts, domains, addresses and networks that are reached directly, or is `*`. SOCKS is not \
         supported. The API server is reached directly, or through the `proxy-url` of the kubeconfig's cluster.\n\n\
         `SSL_CERT_FILE` names a file with CA certificates to use for Atlas in place of the system's, `SSL_CERT_DIR` a \
         folder of such files. Changes of the files are taken up within seconds of the next call to Atlas.\n\n\
         | Flag | Variable | Default | Meaning |\n|---|---|---|---|\n",
    );
    let command = Args::command();
    let run = command.get_subcommands().find(|subcommand| subcommand.get_name() == "run");
    for flag in run.into_iter().flat_map(|run| run.get_arguments()) {
        let Some(name) = flag.get_long().filter(|name| *name != "help") else { continue };
        let takes_value = flag.get_action().takes_values();
        let value = flag.get_value_names().filter(|_| takes_value).and_then(<[_]>::first);
        let choices: Vec<String> = flag
            .get_possible_values()
            .iter()
            .filter(|_| takes_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        let value = match (choices.is_empty(), value) {
            (false, _) => format!(" {}", choices.join("\\|")),
            (true, Some(value)) => format!(" {value}"),
            (true, None) => String::new(),
        };
        let variable = flag.get_env().map(|name| name.to_string_lossy()).unwrap_or_default();
        let defaults: Vec<_> =
            flag.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = if takes_value && !defaults.is_empty() {
            format!("`{}`", defaults.join(","))
        } else {
            String::new()
        };
        let meaning = flag.get_help().map(ToString::to_string).unwrap_or_default();
        writeln!(text, "| `--{name}{value}` | `{variable}` | {default} | {meaning} |")?;
    }
    text.push_str(
        "\n`atlas-integration-operator crd` prints the CustomResourceDefinition.\n\n\
         ## `/metrics`\n\n\
         In the OpenMetrics text format, on `--bind`, beside `/livez` and `/readyz` (ready once the first lists are \
         complete, or while another replica leads; its text says what it waits for). No label names an object, a namespace or a project.\n\n| Metric | Type | Meaning |\n|---|---|---|\n",
    );
    let metrics = Metrics::new().text()?;
    for line in metrics.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            let declared = format!("# TYPE {name} ");
            let kind = metrics.lines().find_map(|line| line.strip_prefix(&declared)).unwrap_or_default();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            writeln!(text, "| `{name}{suffix}` | {kind} | {} |", help.trim_end_matches('.'))?;
        }
    }
    Ok(text)
}
