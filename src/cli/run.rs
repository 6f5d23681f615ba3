//! `run`: starts the layers with the settings from the flags, and stops them on SIGTERM or SIGINT.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Adoption, AtlasApi, Deletion, Run};
use super::process;
use super::proxy::{self, Proxies};
use crate::atlas::{self, ApiVersion, VersionChoice};
use crate::cluster::{self, Defaults, Events, Scope, Writer};
use crate::domain::{AdoptionPolicy, DeletionPolicy, MemoryKey, ObjectKey};
use crate::engine::{ElectionSettings, Engine, Patience, Settings, State, Timing};
use crate::telemetry::{self, Metrics};

/// How often the engine's thread shows the probes that it takes turns.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Runs until a signal tells it to stop.
pub(super) fn run(args: Run) -> Result<(), String> {
    telemetry::install(args.log_format, args.log_level.clone())?;
    process::close_memory()?;
    args.check()?;
    // The client of the API server uses this provider. The process sets it only once, so this can't fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The operator mostly waits, so one thread is enough for all of the work, and one thread needs less memory than
    // several. Probes and the Lease have another one: a busy engine must not look dead, and must not lose its term.
    runtime()?.block_on(serve(args, thread("probes")?))
}

fn runtime() -> Result<Runtime, String> {
    let built = Builder::new_current_thread().enable_all().build();
    built.map_err(|error| format!("the async runtime can't be started: {error}"))
}

/// A runtime on a thread of its own, which lasts as long as the process.
fn thread(name: &str) -> Result<Handle, String> {
    let runtime = runtime()?;
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let started = thread.spawn(move || runtime.block_on(std::future::pending::<()>()));
    started.map_err(|error| format!("a thread can't be started: {error}"))?;
    Ok(handle)
}

/// Runs a future on another runtime.
async fn on<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = Result<T, String>> + Send + 'static,
) -> Result<T, String> {
    runtime.spawn(work).await.map_err(|error| error.to_string())?
}

/// Shows again and again that this runtime's thread takes turns.
async fn beat(state: Arc<State>) {
    loop {
        state.beat();
        tokio::time::sleep(BEAT_EVERY).await;
    }
}

async fn serve(args: Run, probes: Handle) -> Result<(), String> {
    let stop = stop_signal()?;
    let metrics = Arc::new(Metrics::new());
    let key = MemoryKey::generate().ok_or("the system has no randomness to give")?;
    let proxies = Proxies::read(|name| std::env::var_os(name))?;
    // If this failed silently, Atlas would be called without a proxy.
    let atlas_url = args.atlas_url.as_str().parse::<hyper::Uri>();
    let atlas_url = atlas_url.map_err(|error| format!("--atlas-url can't be called: {error}"))?;
    let toward_atlas = proxies.toward(&atlas_url).cloned();
    let options = atlas::Options {
        url: args.atlas_url.clone(),
        version: version(args.atlas_api),
        time_limit: args.atlas_timeout,
        proxy: toward_atlas.clone(),
    };
    let counter = Arc::clone(&metrics);
    let requests = Arc::new(move |operation, status| counter.atlas_request(operation, status));
    let atlas = atlas::Client::new(options, requests).map_err(|error| error.to_string())?;
    let client = cluster::connect().await?;
    let instance = std::env::var("HOSTNAME").unwrap_or_else(|_| format!("pid-{}", std::process::id()));
    let mut settings = settings(&args, client.default_namespace());
    if args.leader_elect {
        let leases = on(&probes, cluster::connect()).await?;
        settings.election = Some(election(&args, leases, probes.clone(), &instance));
    }
    let counter = Arc::clone(&metrics);
    let writer =
        Writer::new(client.clone(), settings.defaults, Arc::new(move |kind| counter.api_write(kind)));
    let (events, sender) = Events::start(client.clone(), instance);
    let given = Given::of(&args, &settings, toward_atlas.as_ref().map(proxy::address));
    let engine = Engine::new(client, atlas, writer, events, Arc::clone(&metrics) as _, key, settings);
    let address = on(&probes, telemetry::serve(args.bind, metrics, engine.state())).await?;
    let beating = tokio::spawn(beat(engine.state()));
    tracing::info!(
        %address,
        version = env!("CARGO_PKG_VERSION"),
        atlas = %args.atlas_url,
        atlas_api = given.atlas_api,
        proxy = given.proxy,
        ca_certificates = given.ca_certificates,
        namespaces = given.namespaces,
        selector = args.selector,
        credentials_secret = given.credentials_secret,
        leader_elect = args.leader_elect,
        "started"
    );
    let result = engine.run(stop).await;
    // The last Events may still be waiting to be sent.
    let _ = tokio::time::timeout(Duration::from_secs(2), sender).await;
    beating.abort();
    tracing::info!("stopped");
    result
}

/// What the first line of the log shows in words of its own; it shows the other flags as they are.
struct Given {
    atlas_api: &'static str,
    proxy: String,
    ca_certificates: String,
    namespaces: String,
    credentials_secret: Option<String>,
}

impl Given {
    fn of(args: &Run, settings: &Settings, proxy: Option<String>) -> Given {
        let variable = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Given {
            atlas_api: match args.atlas_api {
                AtlasApi::Auto => "auto",
                AtlasApi::V2 => "v2",
                AtlasApi::V1 => "v1.0",
            },
            proxy: proxy.unwrap_or_else(|| "none".to_owned()),
            ca_certificates: ["SSL_CERT_FILE", "SSL_CERT_DIR"]
                .into_iter()
                .find_map(variable)
                .unwrap_or_else(|| "those of the system".to_owned()),
            namespaces: match &settings.scope {
                Scope::All => "all".to_owned(),
                Scope::Namespaces(names) => names.join(","),
            },
            credentials_secret: settings.credentials_secret.as_ref().map(ToString::to_string),
        }
    }
}

/// Translates the flags. `own_namespace` is that of the pod or of the kubeconfig's context.
fn settings(args: &Run, own_namespace: &str) -> Settings {
    let scope = if args.watch_namespace.is_empty() {
        Scope::All
    } else {
        let mut names = args.watch_namespace.clone();
        names.sort();
        names.dedup();
        Scope::Namespaces(names)
    };
    let adoption = match args.default_adoption_policy {
        Adoption::Refuse => AdoptionPolicy::Refuse,
        Adoption::Adopt => AdoptionPolicy::Adopt,
    };
    let deletion = match args.default_deletion_policy {
        Deletion::Delete => DeletionPolicy::Delete,
        Deletion::Retain => DeletionPolicy::Retain,
    };
    let namespace = args.operator_namespace.as_deref().unwrap_or(own_namespace);
    let credentials_secret = args
        .credentials_secret
        .as_ref()
        .map(|name| ObjectKey { namespace: namespace.into(), name: name.as_str().into() });
    Settings {
        scope,
        election: None,
        watch_secrets: args.watch_secrets,
        credentials_secret,
        selector: args.selector.clone(),
        defaults: Defaults { adoption, deletion },
        resync_interval: args.resync_interval,
        patience: Patience { outside: args.stall_after, failing: args.stall_failing_after },
        concurrency: usize::from(args.concurrency),
        atlas_url: args.atlas_url.clone(),
    }
}

/// Translates the flags of leader election. `instance` names the pod.
fn election(args: &Run, client: kube::Client, runtime: Handle, instance: &str) -> ElectionSettings {
    let namespace = args.operator_namespace.as_deref().unwrap_or(client.default_namespace());
    ElectionSettings {
        lease: ObjectKey {
            namespace: namespace.into(),
            name: args.leader_election_lease_name.as_str().into(),
        },
        instance: instance.to_owned(),
        timing: Timing {
            lease: args.leader_election_lease_duration,
            renew_deadline: args.leader_election_renew_deadline,
            retry_period: args.leader_election_retry_period,
            // A call that the former leader began may take as long.
            takeover_wait: args.atlas_timeout,
        },
        runtime,
        client,
    }
}

fn version(choice: AtlasApi) -> VersionChoice {
    match choice {
        AtlasApi::Auto => VersionChoice::Auto,
        AtlasApi::V2 => VersionChoice::Fixed(ApiVersion::V2),
        AtlasApi::V1 => VersionChoice::Fixed(ApiVersion::V1),
    }
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    let failed = |error: std::io::Error| format!("signals can't be received: {error}");
    let mut term = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
    })
}
