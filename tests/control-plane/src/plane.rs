//! One running control plane: its start, what can be asked of it, what can be done to it, its end.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::{self, User};
use crate::folder::{StateFolder, random_hex};
use crate::process::{POLL, Server};
use crate::{Assets, AuditEvent, AuditPosition, Error, audit, kubectl};

/// How long a server may take to become ready; normally it is three seconds.
const READY: Duration = Duration::from_secs(60);
/// How long a server may take to end at the end of all: nothing is kept, so nothing has to be put in order.
const DROP: Duration = Duration::from_millis(250);
/// How many ports are tried.
const PORTS: u32 = 5;

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Runs kube-controller-manager too: namespaces get deleted, owned objects collected, `default`
    /// ServiceAccounts made, the ClusterRoles `view`, `edit` and `admin` filled. Without it none of this
    /// happens.
    pub controller_manager: bool,
    /// Users whose requests the audit log leaves out. Who makes hundreds of thousands of them doesn't want to
    /// read past them.
    pub unaudited_users: Vec<String>,
    /// Further arguments of kube-apiserver; they come last and win.
    pub extra_apiserver_args: Vec<String>,
}

/// A running control plane. It stops, and its folder goes, when this is dropped or this process ends in any
/// way.
#[derive(Debug)]
pub struct ControlPlane {
    // Dropped in this order; the folder last.
    servers: Mutex<Servers>,
    access: Access,
    assets: Assets,
    folder: StateFolder,
}

/// The processes, in the order in which they stop.
#[derive(Debug)]
pub(crate) struct Servers {
    controller_manager: Option<Server>,
    pub(crate) apiserver: Server,
    pub(crate) etcd: Server,
}

/// How kube-apiserver is reached.
#[derive(Debug)]
struct Access {
    server: String,
    ca_pem: String,
    kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Starts a control plane and waits until it is ready. Builds the binaries first where they are missing:
    /// see [`Assets::locate`].
    pub fn start(options: Options) -> Result<ControlPlane, Error> {
        ControlPlane::start_with(&Assets::locate()?, options)
    }

    /// The same with binaries that were found before.
    pub fn start_with(assets: &Assets, options: Options) -> Result<ControlPlane, Error> {
        let folder = StateFolder::create()?;
        let dir = folder.path();
        let tokens = config::write_server_files(dir, &options.unaudited_users)?;
        let mut etcd = Server::new("etcd", assets.etcd(), config::etcd_args(), dir);
        start_etcd(&mut etcd, dir)?;
        let (apiserver, access) = start_apiserver(assets, dir, &tokens.admin, &options)?;
        let controller_manager = if options.controller_manager {
            Some(start_controller_manager(assets, dir, &tokens.controller_manager, &access)?)
        } else {
            None
        };
        let servers = Mutex::new(Servers { controller_manager, apiserver, etcd });
        Ok(ControlPlane { servers, access, assets: assets.clone(), folder })
    }

    /// The kubeconfig of user `admin`, who may do everything. Other processes may use it as long as this
    /// lives.
    pub fn kubeconfig(&self) -> &Path {
        &self.access.kubeconfig
    }

    /// The server's URL, `https://127.0.0.1:PORT`.
    pub fn server(&self) -> &str {
        &self.access.server
    }

    /// The certificate authority that signed the server's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.access.ca_pem
    }

    /// The folder with all logs and state, removed in the end.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The binaries in use.
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// Runs kubectl as `admin` and returns its stdout. It takes as long as kubectl takes: give commands that
    /// wait a `--timeout`, and all a `--request-timeout` while a server is stopped.
    pub fn kubectl(&self, args: &[&str]) -> Result<String, Error> {
        kubectl::run(&self.assets.kubectl(), self.kubeconfig(), self.dir(), args, None)
    }

    /// The same with `stdin`, e.g. for `apply -f -`.
    pub fn kubectl_stdin(&self, args: &[&str], stdin: &str) -> Result<String, Error> {
        kubectl::run(&self.assets.kubectl(), self.kubeconfig(), self.dir(), args, Some(stdin))
    }

    /// A kubeconfig with a token (of one day) of this ServiceAccount, which must exist. Its default
    /// namespace is the ServiceAccount's. Asked for again, the same file gets a new token.
    pub fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let token =
            self.kubectl(&["create", "token", name, "--namespace", namespace, "--duration", "24h"])?;
        let user = User { name, token: token.trim(), namespace };
        let path = self.dir().join(format!("{namespace}.{name}.kubeconfig"));
        config::write_private(&path, &config::kubeconfig(self.server(), self.ca_pem(), &user))?;
        Ok(path)
    }

    /// All requests that were answered so far, in the order of their answers.
    pub fn audit(&self) -> Result<Vec<AuditEvent>, Error> {
        Ok(self.audit_since(AuditPosition::default())?.0)
    }

    /// The requests answered after `position`, and the position to continue from.
    pub fn audit_since(&self, position: AuditPosition) -> Result<(Vec<AuditEvent>, AuditPosition), Error> {
        audit::read(&self.dir().join(config::AUDIT_LOG), position)
    }

    /// The end of the audit log now: what is answered from here on comes after it.
    pub fn audit_position(&self) -> Result<AuditPosition, Error> {
        audit::end(&self.dir().join(config::AUDIT_LOG))
    }

    /// Waits until kube-apiserver is ready, for at most a minute: after etcd was stopped or paused, for
    /// instance.
    pub fn wait_ready(&self) -> Result<(), Error> {
        let probe = || Ok(is_served(&self.assets, &self.access.kubeconfig, self.dir(), "/readyz"));
        // The processes are not locked meanwhile: another thread may have to resume one.
        wait(|late| self.servers().apiserver.check(late), probe)
    }

    /// The processes, also after a panic of another thread: they have to be stopped all the same.
    pub(crate) fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let servers = self.servers.get_mut().unwrap_or_else(PoisonError::into_inner);
        // In this order, because kube-apiserver hangs in its end when etcd has gone before.
        if let Some(controller_manager) = &mut servers.controller_manager {
            controller_manager.stop(DROP);
        }
        servers.apiserver.stop(DROP);
        servers.etcd.stop(DROP);
    }
}

/// Starts etcd and waits until it listens.
pub(crate) fn start_etcd(etcd: &mut Server, dir: &Path) -> Result<(), Error> {
    let socket = dir.join(config::ETCD_SOCKET);
    // A killed etcd leaves its socket behind.
    let _ = fs::remove_file(&socket);
    etcd.start()?;
    wait(|late| etcd.check(late), || Ok(socket.exists()))
}

fn start_apiserver(
    assets: &Assets,
    dir: &Path,
    token: &str,
    options: &Options,
) -> Result<(Server, Access), Error> {
    let mut taken = 0;
    while taken < PORTS {
        let port = free_port()?;
        let args = config::apiserver_args(port, options.controller_manager, &options.extra_apiserver_args);
        let mut server = Server::new("kube-apiserver", assets.kube_apiserver(), args, dir);
        server.start()?;
        match wait_for_access(&mut server, port, assets, dir, token) {
            Ok(access) => return Ok((server, access)),
            Err(Error::Ended { log, .. }) if log.contains("address already in use") => taken += 1,
            Err(error) => return Err(error),
        }
    }
    Err(Error::NoFreePort(PORTS))
}

/// Waits for the first start of kube-apiserver, which makes the certificate that everyone else needs.
fn wait_for_access(
    server: &mut Server,
    port: u16,
    assets: &Assets,
    dir: &Path,
    token: &str,
) -> Result<Access, Error> {
    let (url, address) = (format!("https://127.0.0.1:{port}"), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let kubeconfig = dir.join("admin.kubeconfig");
    let mut ca_pem = None;
    wait(
        |late| server.check(late),
        || {
            if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
                return Ok(false);
            }
            if ca_pem.is_none() {
                // It is not there yet when somebody else listens on this port; then kube-apiserver will end.
                let Ok(chain) = fs::read_to_string(dir.join(config::SERVING_CERTIFICATE)) else {
                    return Ok(false);
                };
                let Some(authority) = config::last_certificate(&chain) else { return Ok(false) };
                let admin = User { name: "admin", token, namespace: "default" };
                config::write_private(&dir.join(config::AUTHORITY), &authority)?;
                config::write_private(&kubeconfig, &config::kubeconfig(&url, &authority, &admin))?;
                ca_pem = Some(authority);
            }
            // The namespaces are made a moment after the server calls itself ready.
            Ok(["/readyz", "/api/v1/namespaces/default"]
                .iter()
                .all(|path| is_served(assets, &kubeconfig, dir, path)))
        },
    )?;
    Ok(Access { server: url, ca_pem: ca_pem.unwrap_or_default(), kubeconfig })
}

fn start_controller_manager(
    assets: &Assets,
    dir: &Path,
    token: &str,
    access: &Access,
) -> Result<Server, Error> {
    let user = User { name: "system:kube-controller-manager", token, namespace: "default" };
    let config = config::kubeconfig(&access.server, &access.ca_pem, &user);
    config::write_private(&dir.join(config::CONTROLLER_MANAGER_KUBECONFIG), &config)?;
    let (program, args) = (assets.kube_controller_manager(), config::controller_manager_args());
    let mut server = Server::new("kube-controller-manager", program, args, dir);
    server.start()?;
    // What it makes first is the sign that it works; pods wait for this too.
    let made = "/api/v1/namespaces/default/serviceaccounts/default";
    wait(|late| server.check(late), || Ok(is_served(assets, &access.kubeconfig, dir, made)))?;
    Ok(server)
}

/// Whether the server answers `path` to the admin with success.
fn is_served(assets: &Assets, kubeconfig: &Path, dir: &Path, path: &str) -> bool {
    let args = ["get", "--raw", path, "--request-timeout", "2s"];
    kubectl::run(&assets.kubectl(), kubeconfig, dir, &args, None).is_ok()
}

/// Waits until `ready`, for at most [`READY`]. `check` ends it early, and makes the error of a wait that took
/// too long.
fn wait(
    mut check: impl FnMut(Option<Duration>) -> Result<(), Error>,
    mut ready: impl FnMut() -> Result<bool, Error>,
) -> Result<(), Error> {
    let until = Instant::now() + READY;
    loop {
        check(None)?;
        if ready()? {
            return Ok(());
        }
        if Instant::now() > until {
            check(Some(READY))?;
        }
        thread::sleep(POLL);
    }
}

/// A port that is free now, below those that the system gives to outgoing connections, so that it stays free
/// while kube-apiserver is stopped for a while.
fn free_port() -> Result<u16, Error> {
    for _ in 0..100 {
        let random = u16::from_str_radix(&random_hex()?[..4], 16).unwrap_or_default();
        let port = 20_000 + random % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::NoFreePort(100))
}
