//! Flags and their environment variables.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use url::Url;

use crate::cluster;
use crate::engine::LONGEST_LEASE;
use crate::telemetry::{Bind, Filter, LogFormat};

/// Keeps the third-party integrations of MongoDB Atlas projects equal to AtlasIntegration objects.
#[derive(Parser)]
#[command(version, about)]
pub(super) struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the operator against the cluster of KUBECONFIG, or the one that it runs in.
    Run(Box<Run>),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

/// `--atlas-api`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AtlasApi {
    /// Version 2, or 1.0 if Atlas does not serve 2.
    Auto,
    /// Version 2, except for FLOWDOCK, which only 1.0 knows.
    V2,
    /// Version 1.0.
    #[value(name = "v1.0")]
    V1,
}

/// `--default-adoption-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Adoption {
    /// Leave an integration alone that the operator did not create.
    #[value(name = "Refuse")]
    Refuse,
    /// Overwrite it and keep it in sync from then on.
    #[value(name = "Adopt")]
    Adopt,
}

/// `--default-deletion-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Deletion {
    /// Delete the integration with the object.
    #[value(name = "Delete")]
    Delete,
    /// Leave the integration in Atlas.
    #[value(name = "Retain")]
    Retain,
}

#[derive(ClapArgs)]
pub(super) struct Run {
    /// Address of Atlas; must be https. For Atlas for Government: https://cloud.mongodbgov.com
    #[arg(long, value_name = "URL", env = "ATLAS_INTEGRATION_ATLAS_URL", default_value = "https://cloud.mongodb.com", value_parser = parse_url)]
    pub atlas_url: Url,

    /// Allow http in --atlas-url, for tests against a simulator.
    #[arg(long, env = "ATLAS_INTEGRATION_INSECURE_ATLAS_URL")]
    pub insecure_atlas_url: bool,

    /// Version of the Atlas Admin API.
    #[arg(long, env = "ATLAS_INTEGRATION_ATLAS_API", default_value = "auto")]
    pub atlas_api: AtlasApi,

    /// Time limit of a call to Atlas, 1s to 2m. After a write without an answer the operator waits twice as long before
    /// it writes to the same integration again.
    #[arg(long, value_name = "DUR", env = "ATLAS_INTEGRATION_ATLAS_TIMEOUT", default_value = "15s", value_parser = parse_timeout)]
    pub atlas_timeout: Duration,

    /// Watch only this namespace. Repeat the flag for several (in the variable: separate them by commas). Unset: all
    /// namespaces.
    #[arg(long, value_name = "NS", env = "ATLAS_INTEGRATION_WATCH_NAMESPACE", value_delimiter = ',', value_parser = parse_namespace)]
    pub watch_namespace: Vec<String>,

    /// Watch the metadata of Secrets, so that the operator notices a rotated key at once. If false, it reads Secrets
    /// one by one, at the next resync or change of an object, and needs only the verb get on Secrets.
    #[arg(long, value_name = "BOOL", env = "ATLAS_INTEGRATION_WATCH_SECRETS", default_value_t = true, action = ArgAction::Set)]
    pub watch_secrets: bool,

    /// Secret with the operator's own Atlas credentials. They are used for objects without credentialsSecretRef whose
    /// Namespace is granted the project.
    #[arg(long, value_name = "NAME", env = "ATLAS_INTEGRATION_CREDENTIALS_SECRET", value_parser = parse_secret_name)]
    pub credentials_secret: Option<String>,

    /// Namespace of --credentials-secret and of the Lease. Unset: the namespace of the pod, or of the kubeconfig's
    /// context.
    #[arg(long, value_name = "NS", env = "ATLAS_INTEGRATION_OPERATOR_NAMESPACE", value_parser = parse_namespace)]
    pub operator_namespace: Option<String>,

    /// Elect a leader by a Lease: only its holder acts, the other replicas stand by.
    #[arg(long, env = "ATLAS_INTEGRATION_LEADER_ELECT")]
    pub leader_elect: bool,

    /// Name of the Lease.
    #[arg(long, value_name = "NAME", env = "ATLAS_INTEGRATION_LEADER_ELECTION_LEASE_NAME", default_value = "atlas-integration-operator", value_parser = parse_lease_name)]
    pub leader_election_lease_name: String,

    /// How long other replicas wait before they take the Lease from a leader that does not renew it. Whole seconds, at
    /// most 1h.
    #[arg(long, value_name = "DUR", env = "ATLAS_INTEGRATION_LEADER_ELECTION_LEASE_DURATION", default_value = "15s", value_parser = parse_lease_duration)]
    pub leader_election_lease_duration: Duration,

    /// How long a leader keeps trying to renew the Lease before it stops acting. Must be shorter than the lease
    /// duration.
    #[arg(long, value_name = "DUR", env = "ATLAS_INTEGRATION_LEADER_ELECTION_RENEW_DEADLINE", default_value = "10s", value_parser = parse_short)]
    pub leader_election_renew_deadline: Duration,

    /// Time between two attempts to renew or acquire the Lease, at least 100ms. 1.2 times this must be shorter than the
    /// renew deadline.
    #[arg(long, value_name = "DUR", env = "ATLAS_INTEGRATION_LEADER_ELECTION_RETRY_PERIOD", default_value = "2s", value_parser = parse_short)]
    pub leader_election_retry_period: Duration,

    /// Label selector. The operator ignores objects that it does not match.
    #[arg(long, value_name = "LABELS", env = "ATLAS_INTEGRATION_SELECTOR", value_parser = parse_selector)]
    pub selector: Option<String>,

    /// How often the operator compares Atlas with the objects although nothing changed, such as 30s or 10m; at least
    /// 1s.
    #[arg(long, value_name = "DUR", env = "ATLAS_INTEGRATION_RESYNC_INTERVAL", default_value = "10m", value_parser = parse_duration)]
    pub resync_interval: Duration,

    /// How long an external cause (a missing Secret, a refused key) may last before the object becomes Stalled.
    #[arg(long, value_name = "DUR", env = "ATLAS_INTEGRATION_STALL_AFTER", default_value = "2m", value_parser = parse_duration)]
    pub stall_after: Duration,

    /// How long a failure that the operator retries (Atlas is unavailable, or limits requests) may last before the object
    /// becomes Stalled. The operator keeps retrying.
    #[arg(long, value_name = "DUR", env = "ATLAS_INTEGRATION_STALL_FAILING_AFTER", default_value = "15m", value_parser = parse_duration)]
    pub stall_failing_after: Duration,

    /// spec.adoptionPolicy of objects that do not set it.
    #[arg(
        long,
        value_name = "P",
        env = "ATLAS_INTEGRATION_DEFAULT_ADOPTION_POLICY",
        default_value = "Refuse"
    )]
    pub default_adoption_policy: Adoption,

    /// spec.deletionPolicy of objects that do not set it.
    #[arg(
        long,
        value_name = "P",
        env = "ATLAS_INTEGRATION_DEFAULT_DELETION_POLICY",
        default_value = "Delete"
    )]
    pub default_deletion_policy: Deletion,

    /// How many projects the operator works on at the same time, 1 to 256. If all of them are slow, it works on up to a
    /// quarter more (at least one), each for a namespace that asks for something and of which none is worked on.
    #[arg(long, value_name = "N", env = "ATLAS_INTEGRATION_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// Address of /metrics, /livez and /readyz: an IP address and a port, or :PORT for all addresses, of IPv6 and of
    /// IPv4.
    #[arg(long, value_name = "ADDR", env = "ATLAS_INTEGRATION_BIND", default_value = ":8080", value_parser = parse_bind)]
    pub bind: Bind,

    /// Format of the logs on stderr.
    #[arg(long, env = "ATLAS_INTEGRATION_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,

    /// Level of the logs: error, warn, info, debug, trace or off; perhaps followed by those of single parts, such as
    /// info,atlas_integration_operator::atlas=debug. Dependencies never log below warnings.
    #[arg(long, value_name = "FILTER", env = "ATLAS_INTEGRATION_LOG_LEVEL", default_value = "info", value_parser = parse_filter)]
    pub log_level: Filter,
}

impl Run {
    /// Checks that involve several flags.
    pub fn check(&self) -> Result<(), String> {
        if self.atlas_url.scheme() == "http" && !self.insecure_atlas_url {
            return Err(format!(
                "--atlas-url {} would send keys unencrypted; use https, or add --insecure-atlas-url for a simulator",
                self.atlas_url
            ));
        }
        let (lease, deadline) = (self.leader_election_lease_duration, self.leader_election_renew_deadline);
        let retry = self.leader_election_retry_period;
        if lease <= deadline {
            return Err(format!(
                "--leader-election-lease-duration {lease:?} must be longer than --leader-election-renew-deadline \
                 {deadline:?}: a leader has to give up before another one takes over; by half as much again is usual"
            ));
        }
        if deadline <= retry.mul_f64(1.2) {
            return Err(format!(
                "--leader-election-renew-deadline {deadline:?} must be longer than 1.2 times \
                 --leader-election-retry-period {retry:?}, or no renewal comes in time; five times as long is usual"
            ));
        }
        Ok(())
    }
}

/// Parses the command line and the variables.
///
/// # Errors
/// Returns the library's message, and the variable from which a wrong value comes.
pub(super) fn parse(
    arguments: &[OsString],
    variable: impl Fn(&OsStr) -> Option<OsString>,
) -> Result<Args, (clap::Error, Option<String>)> {
    // A template that renders nothing must not mean all namespaces, or all objects.
    let command = Args::command();
    let run = command.find_subcommand("run").filter(|_| arguments.iter().any(|argument| argument == "run"));
    let variables = run.into_iter().flat_map(|run| run.get_arguments()).filter_map(clap::Arg::get_env);
    if let Some(empty) =
        variables.into_iter().find(|name| variable(name).is_some_and(|value| value.is_empty()))
    {
        let message = format!("{} is set and empty; give it a value, or remove it\n", empty.display());
        return Err((clap::Error::raw(clap::error::ErrorKind::InvalidValue, message), None));
    }
    Args::try_parse_from(arguments).map_err(|error| {
        let from = origin(&error, arguments);
        (error, from)
    })
}

/// The variable that a wrong value comes from, if it is not from the command line.
fn origin(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(usage)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = usage.split([' ', '=']).next()?;
    let given =
        |argument: &OsString| argument.to_str().is_some_and(|text| text.split('=').next() == Some(flag));
    if arguments.iter().any(given) {
        return None;
    }
    let command = Args::command();
    let mut flags = command.find_subcommand("run")?.get_arguments();
    let flag = flags.find(|known| known.get_long() == flag.strip_prefix("--"))?;
    Some(flag.get_env()?.to_str()?.to_owned())
}

fn parse_filter(text: &str) -> Result<Filter, String> {
    text.parse()
}

fn parse_selector(text: &str) -> Result<String, String> {
    cluster::check_selector(text).map(|()| text.to_owned())
}

fn parse_bind(text: &str) -> Result<Bind, String> {
    let bind = match text.strip_prefix(':') {
        Some(port) => port.parse().ok().map(Bind::Everywhere),
        None => text.parse().ok().map(Bind::At),
    };
    bind.ok_or_else(|| {
        "give an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080, or :8080 for all addresses"
            .to_owned()
    })
}

fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not a URL: {error}; give https://host"))?;
    // The parser mends what people write, as a browser does: spaces around it, one slash for two.
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if !matches!(scheme.as_deref(), Some("http" | "https")) || !url.has_host() || text.trim() != text {
        return Err("give https://host".to_owned());
    }
    // A path is for something that serves Atlas below one; the operator adds /api/atlas to it.
    let path = url.path().to_ascii_lowercase();
    let atlas = url
        .host_str()
        .is_some_and(|host| host.ends_with(".mongodb.com") || host.ends_with(".mongodbgov.com"));
    if path.split('/').any(|segment| segment == "api") || (atlas && path != "/") {
        return Err("give https://host without a path; the operator adds it".to_owned());
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err("give https://host, without user, query or fragment; keys belong in Secrets".to_owned());
    }
    Ok(url)
}

fn parse_namespace(text: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let ends = !text.starts_with('-') && !text.ends_with('-');
    if !text.is_empty() && text.len() <= 63 && text.bytes().all(good) && ends {
        Ok(text.to_owned())
    } else {
        Err("not the name of a namespace: at most 63 lower-case letters, digits and -".to_owned())
    }
}

fn parse_secret_name(text: &str) -> Result<String, String> {
    parse_name(text, "Secret")
}

fn parse_lease_name(text: &str) -> Result<String, String> {
    parse_name(text, "Lease")
}

/// Checks the name of a Secret or Lease. Both follow the same rule.
fn parse_name(text: &str, kind: &str) -> Result<String, String> {
    if cluster::is_secret_name(text) { Ok(text.to_owned()) } else { Err(format!("not the name of a {kind}")) }
}

fn parse_any_duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "not a duration; write it like 30s, 10m or 1h30m".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "a duration can't be negative".to_owned())
}

/// A bound of a duration, and its text in messages.
type Bound = (Duration, &'static str);

const SECOND: Bound = (Duration::from_secs(1), "1s");
const LONGEST: Bound = (LONGEST_LEASE, "1h");

fn within(
    duration: Duration,
    (least, said_least): Bound,
    (most, said_most): Bound,
) -> Result<Duration, String> {
    if duration < least {
        return Err(format!("must be at least {said_least}"));
    }
    if duration > most {
        return Err(format!("must be at most {said_most}"));
    }
    Ok(duration)
}

/// A Lease counts in whole seconds.
fn parse_lease_duration(text: &str) -> Result<Duration, String> {
    let duration = parse_any_duration(text)?;
    if duration.subsec_nanos() != 0 || duration.is_zero() {
        return Err("a Lease counts in whole seconds".to_owned());
    }
    within(duration, SECOND, LONGEST)
}

/// A time of at least a tenth of a second.
fn parse_short(text: &str) -> Result<Duration, String> {
    within(parse_any_duration(text)?, (Duration::from_millis(100), "100ms"), LONGEST)
}

/// A time such as `1s`, `10m` or `1h30m`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    within(parse_any_duration(text)?, SECOND, (Duration::from_secs(7 * 24 * 3600), "a week (168h)"))
}

/// A time that a person would still wait for.
fn parse_timeout(text: &str) -> Result<Duration, String> {
    within(parse_duration(text)?, SECOND, (Duration::from_secs(120), "2m"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_variable() {
        let command = Args::command();
        let run = command.find_subcommand("run").expect("run");
        for flag in run.get_arguments().filter(|flag| !matches!(flag.get_id().as_str(), "help" | "version")) {
            let expected = format!("ATLAS_INTEGRATION_{}", flag.get_id().as_str().to_uppercase());
            assert_eq!(flag.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
        }
    }

    #[rstest]
    #[case("1s", Some(1))]
    #[case("10m", Some(600))]
    #[case("1h30m", Some(5_400))]
    #[case("0s", None)]
    #[case("500ms", None)]
    #[case("-5s", None)]
    #[case("10", None)]
    #[case("", None)]
    #[case("400d", None)]
    #[case("9999h", None)]
    fn durations(#[case] text: &str, #[case] seconds: Option<u64>) {
        assert_eq!(parse_duration(text).ok().map(|duration| duration.as_secs()), seconds);
    }

    #[rstest]
    #[case("atlas", true)]
    #[case("", false)]
    #[case("other/atlas", false)]
    fn the_operators_own_secret_is_named(#[case] name: &str, #[case] good: bool) {
        assert_eq!(Args::try_parse_from(["x", "run", "--credentials-secret", name]).is_ok(), good);
    }

    #[test]
    fn timeouts_are_bounded() {
        assert_eq!(parse_timeout("2m"), Ok(Duration::from_secs(120)));
        assert!(parse_timeout("3m").is_err() && parse_timeout("0s").is_err());
    }

    #[rstest]
    #[case("https://cloud.mongodb.com", true)]
    #[case("http://127.0.0.1:1/base", true)]
    #[case("ftp://cloud.mongodb.com", false)]
    #[case("cloud.mongodb.com", false)]
    #[case("https://user:pw@cloud.mongodb.com", false)]
    #[case("https://cloud.mongodb.com/?x=1", false)]
    #[case("https://cloud.mongodb.com/", true)]
    #[case("https://cloud.mongodbgov.com", true)]
    #[case("https://atlas.example.com:8443", true)]
    #[case("HTTPS://CLOUD.MONGODB.COM", true)]
    #[case("https://cloud.mongodb.com/api/atlas/v2", false)]
    #[case("https://cloud.mongodb.com/api", false)]
    #[case("https://atlas.example.com/api/atlas", false)]
    #[case("https://cloud.mongodb.com/v2/5d791c84ff7a2522cc4f9aa1", false)]
    #[case("https:cloud.mongodb.com", false)]
    #[case("https:/cloud.mongodb.com", false)]
    #[case(" https://cloud.mongodb.com", false)]
    #[case("https://cloud.mongodb.com\n", false)]
    #[case("https://", false)]
    #[case("", false)]
    fn urls(#[case] text: &str, #[case] good: bool) {
        assert_eq!(parse_url(text).is_ok(), good);
    }

    fn checked(args: &[&str]) -> Result<(), String> {
        match Args::try_parse_from([&["x", "run"], args].concat()).map(|args| args.command) {
            Ok(Command::Run(run)) => run.check(),
            Ok(_) => Err("no run".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn http_needs_consent() {
        let plain = ["--atlas-url", "http://127.0.0.1:1"];
        assert!(checked(&plain).is_err_and(|error| error.contains("--insecure-atlas-url")));
        assert!(checked(&[&plain[..], &["--insecure-atlas-url"]].concat()).is_ok());
    }

    #[rstest]
    #[case("15s", "10s", "2s", "")]
    #[case("3s", "2s", "500ms", "")]
    #[case("10s", "10s", "2s", "must be longer than --leader-election-renew-deadline")]
    #[case("15s", "2400ms", "2s", "--leader-election-retry-period")]
    #[case("1500ms", "1s", "100ms", "whole seconds")]
    #[case("0s", "1s", "100ms", "whole seconds")]
    #[case("2h", "1s", "100ms", "1h")]
    #[case("15s", "10s", "99ms", "100ms")]
    #[case("15s", "-10s", "2s", "negative")]
    fn times_of_the_election_fit(
        #[case] lease: &str,
        #[case] deadline: &str,
        #[case] retry: &str,
        #[case] problem: &str,
    ) {
        let result = checked(&[
            &format!("--leader-election-lease-duration={lease}"),
            &format!("--leader-election-renew-deadline={deadline}"),
            &format!("--leader-election-retry-period={retry}"),
        ]);
        match result {
            Ok(()) => assert_eq!(problem, ""),
            Err(error) => assert!(!problem.is_empty() && error.contains(problem), "{error}"),
        }
    }

    #[rstest]
    #[case("payments", true)]
    #[case("a,b-2", true)]
    #[case("0", true)]
    #[case("Payments", false)]
    #[case("payments,", false)]
    #[case("payments, search", false)]
    #[case("{payments,search}", false)]
    #[case("[payments]", false)]
    #[case("-payments", false)]
    #[case("payments-", false)]
    #[case("pay_ments", false)]
    #[case("payments.search", false)]
    #[case("*", false)]
    #[case("", false)]
    fn namespaces_are_names(#[case] text: &str, #[case] good: bool) {
        assert_eq!(Args::try_parse_from(["x", "run", "--watch-namespace", text]).is_ok(), good);
    }

    #[rstest]
    #[case(":8080", Some(Bind::Everywhere(8080)))]
    #[case("127.0.0.1:0", Some(Bind::At(([127, 0, 0, 1], 0).into())))]
    #[case("[::]:8080", Some(Bind::At(([0u16; 8], 8080).into())))]
    #[case("8080", None)]
    #[case(":", None)]
    #[case(":65536", None)]
    #[case("localhost:8080", None)]
    #[case("::1:8080", None)]
    #[case("127.0.0.1", None)]
    #[case("http://127.0.0.1:8080", None)]
    fn addresses_to_listen_on(#[case] text: &str, #[case] expected: Option<Bind>) {
        assert_eq!(parse_bind(text).ok(), expected);
    }

    /// A wrong value is said of the place where it stands.
    #[rstest]
    #[case(&[], &[], "")]
    #[case(&["--log-level=verbose"], &[], "try debug")]
    #[case(&["--selector=a==b==c"], &[], "--selector")]
    #[case(&[], &[("ATLAS_INTEGRATION_SELECTOR", "")], "ATLAS_INTEGRATION_SELECTOR is set and empty")]
    #[case(&[], &[("ATLAS_INTEGRATION_WATCH_NAMESPACE", "")], "ATLAS_INTEGRATION_WATCH_NAMESPACE is set and empty")]
    #[case(&[], &[("ATLAS_INTEGRATION_LEADER_ELECT", "")], "ATLAS_INTEGRATION_LEADER_ELECT is set and empty")]
    fn what_is_wrong_is_named(
        #[case] flags: &[&str],
        #[case] variables: &[(&str, &str)],
        #[case] said: &str,
    ) {
        let arguments: Vec<OsString> = ["x", "run"].iter().chain(flags).map(OsString::from).collect();
        let variable = |name: &OsStr| {
            variables.iter().find(|(given, _)| *given == name).map(|(_, value)| OsString::from(value))
        };
        match parse(&arguments, variable) {
            Ok(_) => assert_eq!(said, ""),
            Err((error, _)) => assert!(!said.is_empty() && error.to_string().contains(said), "{error}"),
        }
    }
}
