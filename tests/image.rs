//! The image: that the Dockerfile agrees with the sources, and what `make image` made of it. The latter needs tools that
//! `make test` does not ask for, and root, so those tests run by `make image-check`.

// A failed expectation is how a test fails.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "chart/helm.rs"]
#[allow(dead_code)] // Of the chart's tests, here only some is used.
mod helm;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use control_plane::{ControlPlane, Options, spawn_tied};
use serde_json::{Value, json};

use helm::{CHART, NAME, ROOT, fails, helm, succeeds};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Architecture, and its number in an ELF header.
const ARCHITECTURES: [(&str, u8); 2] = [("amd64", 62), ("arm64", 183)];
/// How large a compressed image may be.
const MAX_SIZE: u64 = 15_000_000;
const LIMIT: Duration = Duration::from_secs(60);

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap()
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&text(file)).unwrap()
}

/// Version, user and port are said in several files, which can't read each other.
#[test]
fn the_dockerfile_agrees_with_the_sources() {
    let dockerfile = text("Dockerfile");
    let channel = text("rust-toolchain.toml").split_once("channel = \"").unwrap().1.to_owned();
    let channel = channel.split('"').next().unwrap();
    for expected in [
        format!("FROM --platform=$BUILDPLATFORM docker.io/library/rust:{channel}-slim-bookworm@sha256:"),
        format!("--tag {NAME}:{VERSION} "),
        format!("org.opencontainers.image.title=\"{}\"", env!("CARGO_PKG_NAME")),
        format!("org.opencontainers.image.description=\"{}\"", env!("CARGO_PKG_DESCRIPTION")),
        format!("org.opencontainers.image.licenses=\"{}\"", env!("CARGO_PKG_LICENSE")),
        format!("org.opencontainers.image.version=\"{VERSION}\"\n"),
    ] {
        assert!(dockerfile.contains(&expected), "{expected}");
    }
    // What `make bench` measures is linked in the same way.
    let flags = "-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs";
    assert!(dockerfile.contains(flags) && text("Makefile").contains(flags), "{flags}");
    assert_eq!(yaml("charts/atlas-integration-operator/Chart.yaml")["appVersion"], VERSION);
    // The chart's is compared with this one.
    let pod = yaml("deploy/base/deployment.yaml")["spec"]["template"]["spec"].take();
    let container = &pod["containers"][0];
    assert_eq!(container["image"], format!("{NAME}:{VERSION}"));
    let (user, port) = (&pod["securityContext"], &container["ports"][0]["containerPort"]);
    let lines = format!("\nUSER {}:{}\nEXPOSE {port}\n", user["runAsUser"], user["runAsGroup"]);
    assert!(dockerfile.contains(&lines), "{lines}");
}

/// What `make image` left: an OCI image layout.
struct Layout {
    digest: String,
}

impl Layout {
    fn open() -> Layout {
        let index = json(&Layout::path("index.json"));
        let entries = index["manifests"].as_array().unwrap();
        assert_eq!(entries.len(), 1, "{index:#}");
        Layout { digest: entries[0]["digest"].as_str().unwrap().to_owned() }
    }

    fn path(file: &str) -> PathBuf {
        let path = Path::new(ROOT).join("target/image").join(file);
        assert!(path.exists(), "{} is not there: run `make image`", path.display());
        path
    }

    fn blob(digest: &Value) -> PathBuf {
        Layout::path(&format!("blobs/{}", digest.as_str().unwrap().replace(':', "/")))
    }

    /// The manifests by architecture.
    fn manifests(&self) -> BTreeMap<String, Value> {
        let list = json(&Layout::blob(&self.digest.as_str().into()));
        let entries = list["manifests"].as_array().unwrap().iter().map(|entry| {
            assert_eq!(entry["platform"]["os"], "linux");
            (
                entry["platform"]["architecture"].as_str().unwrap().to_owned(),
                json(&Layout::blob(&entry["digest"])),
            )
        });
        entries.collect()
    }

    /// Lays the files of an architecture's image into a folder.
    fn unpack(&self, architecture: &str, into: &Path) {
        fs::create_dir(into).unwrap();
        for layer in self.manifests()[architecture]["layers"].as_array().unwrap() {
            let (layer, into) = (Layout::blob(&layer["digest"]), into.to_str().unwrap());
            run("tar", &["--extract", "--gzip", "--file", layer.to_str().unwrap(), "--directory", into]);
        }
        fs::set_permissions(into, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn run(program: &str, args: &[&str]) -> String {
    succeeds(Command::new(program).args(args).output().unwrap())
}

/// All that is no folder, with its mode.
fn files(folder: &Path, under: &str) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{under}{}", entry.file_name().to_str().unwrap());
        let metadata = entry.path().symlink_metadata().unwrap();
        if metadata.is_dir() {
            found.extend(files(&entry.path(), &format!("{name}/")));
        } else {
            found.insert(name, metadata.permissions().mode());
        }
    }
    found
}

/// The kinds of segments that an ELF file of 64 bits has.
fn segments(elf: &[u8]) -> Vec<u32> {
    let number = |at: usize, length: usize| {
        elf[at..at + length].iter().rev().fold(0_usize, |sum, byte| sum * 256 + usize::from(*byte))
    };
    let (start, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    (0..count).map(|segment| u32::try_from(number(start + segment * size, 4)).unwrap()).collect()
}

/// Two architectures; in each a static binary and the certificates, and nothing else; small, labelled, not root.
#[test]
#[ignore = "of `make image`: run `make image-check`"]
fn contents() {
    let layout = Layout::open();
    let manifests = layout.manifests();
    let names: Vec<&str> = manifests.keys().map(String::as_str).collect();
    assert_eq!(names, ARCHITECTURES.map(|(name, _)| name));
    println!("{NAME}:{VERSION} is {}", layout.digest);
    let dir = tempfile::tempdir().unwrap();
    for (architecture, machine) in ARCHITECTURES {
        let manifest = &manifests[architecture];
        let config = json(&Layout::blob(&manifest["config"]["digest"]));
        assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!(architecture)));
        let created = &config["created"];
        let config = &config["config"];
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Entrypoint"], json!([format!("/{NAME}")]));
        assert_eq!((&config["Cmd"], &config["ExposedPorts"]), (&Value::Null, &json!({"8080/tcp": {}})));
        let label = |name: &str| {
            config["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap_or_default()
        };
        assert_eq!(label("title"), NAME);
        assert_eq!(label("version"), VERSION);
        assert_eq!(label("licenses"), "Apache-2.0");
        assert!(!label("description").is_empty());
        assert!(created.as_str() == Some(label("created")), "{created}, {}", label("created"));
        assert!(label("revision").len() == 40, "{}", label("revision"));

        let root = dir.path().join(architecture);
        layout.unpack(architecture, &root);
        let files = files(&root, "");
        assert_eq!(files.keys().collect::<Vec<_>>(), [NAME, BUNDLE], "and nothing else");
        assert_eq!((files[NAME] & 0o7777, files[BUNDLE] & 0o7777), (0o755, 0o644));
        let certificates =
            fs::read_to_string(root.join(BUNDLE)).unwrap().matches("BEGIN CERTIFICATE").count();
        assert!(certificates > 50, "{certificates}");
        let elf = fs::read(root.join(NAME)).unwrap();
        let (load, interpreter) = (1, 3);
        assert!(elf.starts_with(b"\x7fELF") && elf[18] == machine, "{:?}", &elf[..20]);
        assert!(
            segments(&elf).contains(&load) && !segments(&elf).contains(&interpreter),
            "{:?}",
            segments(&elf)
        );

        let blobs = manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]);
        let size: u64 = blobs.map(|blob| blob["size"].as_u64().unwrap()).sum();
        println!(
            "{architecture}: {size} bytes compressed, {} of the binary, {certificates} certificates",
            elf.len()
        );
        assert!(size <= MAX_SIZE, "{size}");
    }
}

/// The files of an image and what a container's runtime adds to them, to run in by `chroot`.
struct Root {
    dir: PathBuf,
    emulator: Option<&'static str>,
}

impl Root {
    fn new(layout: &Layout, architecture: &str, dir: PathBuf) -> Root {
        layout.unpack(architecture, &dir);
        fs::write(dir.join("etc/hosts"), "127.0.0.1 kubernetes.default.svc\n").unwrap();
        let own = ("amd64", "x86_64") == (architecture, std::env::consts::ARCH)
            || ("arm64", "aarch64") == (architecture, std::env::consts::ARCH);
        let emulator = if architecture == "amd64" { "qemu-x86_64-static" } else { "qemu-aarch64-static" };
        if !own {
            let program = run("/bin/sh", &["-c", &format!("command -v {emulator}")]);
            fs::copy(program.trim(), dir.join(emulator)).unwrap();
        }
        Root { dir, emulator: (!own).then_some(emulator) }
    }

    /// The operator in it, as the image's user.
    fn operator(&self, args: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg("--userspec=65532:65532").arg(&self.dir);
        command.args(self.emulator.map(|emulator| format!("/{emulator}")));
        command.arg(format!("/{NAME}")).args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn output(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        self.operator(args).envs(environment.iter().copied()).output().unwrap()
    }
}

/// Either architecture's binary runs where there is nothing else, and finds the certificates.
#[test]
#[ignore = "of `make image`: run `make image-check`"]
fn it_runs() {
    let layout = Layout::open();
    let dir = tempfile::tempdir().unwrap();
    for (architecture, _) in ARCHITECTURES {
        let root = Root::new(&layout, architecture, dir.path().join(architecture));
        assert_eq!(succeeds(root.output(&["--version"], &[])), format!("{NAME} {VERSION}\n"));
        assert!(succeeds(root.output(&["run", "--help"], &[])).contains("--atlas-url"));
        assert_eq!(succeeds(root.output(&["crd"], &[])), text("crds/atlasintegrations.yaml"));
        // Without certificates it would not come as far as to look for a cluster.
        let nowhere = ("KUBECONFIG", "/nowhere/kubeconfig");
        let said = fails(root.output(&["run"], &[nowhere]));
        assert!(said.contains("/nowhere/kubeconfig"), "{said}");
        let said = fails(root.output(&["run"], &[nowhere, ("SSL_CERT_FILE", "/nowhere/ca.crt")]));
        assert!(said.contains("/nowhere/ca.crt can't be read"), "{said}");
        fs::remove_file(root.dir.join(BUNDLE)).unwrap();
        let said = fails(root.output(&["run"], &[nowhere]));
        assert!(said.contains("the system has no CA certificates"), "{said}");
    }
}

/// A registry, as long as this lives.
struct Registry {
    child: Child,
    address: String,
}

impl Registry {
    fn start(dir: &Path) -> Registry {
        // It can't say which port it took.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = json!({"version": "0.1", "http": {"addr": address},
            "storage": {"filesystem": {"rootdirectory": dir.join("registry")}}});
        let file = dir.join("registry.yaml");
        fs::write(&file, config.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(file).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Registry { child: spawn_tied(command).unwrap(), address };
        until(|| "no registry".to_owned(), || std::net::TcpStream::connect(&registry.address).is_ok());
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: impl Fn() -> String, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < LIMIT, "after {LIMIT:?}: {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The image and the chart beside it in one registry: pushed, looked up by digest, installed from there; and what the
/// Deployment would run, run under its ServiceAccount in the image's files.
#[test]
#[ignore = "of `make image`: run `make image-check`"]
fn pushed_and_installed_from_a_registry() {
    let layout = Layout::open();
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(dir.path());
    let image = format!("{}/{NAME}", registry.address);
    let from = format!("oci:{ROOT}/target/image:{VERSION}");
    run(
        "skopeo",
        &["copy", "--all", "--dest-tls-verify=false", &from, &format!("docker://{image}:{VERSION}")],
    );
    let digest = |image: &str| {
        let image = format!("docker://{image}");
        run("skopeo", &["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &image]).trim().to_owned()
    };
    assert_eq!(digest(&format!("{image}:{VERSION}")), layout.digest);
    assert_eq!(digest(&format!("{image}@{}", layout.digest)), layout.digest);

    succeeds(helm(None, &["package", CHART, "--destination", dir.path().to_str().unwrap()]));
    let package = dir.path().join(format!("{NAME}-{VERSION}.tgz"));
    let charts = format!("oci://{}/charts", registry.address);
    let pushed = helm(None, &["push", package.to_str().unwrap(), &charts, "--plain-http"]);
    let told = [&pushed.stdout[..], &pushed.stderr[..]].concat();
    succeeds(pushed);
    let told = String::from_utf8(told).unwrap();
    let chart_digest = told.lines().find_map(|line| line.strip_prefix("Digest: ")).expect(&told);
    println!("chart: {charts}/{NAME}@{chart_digest}");

    let plane = ControlPlane::start(Options::default()).unwrap();
    let values = [format!("image.repository={image}"), format!("image.digest={}", layout.digest)];
    let chart = format!("{charts}/{NAME}@{chart_digest}");
    let install = ["install", NAME, &chart, "--plain-http", "--namespace", NAME, "--create-namespace"];
    let sets = ["--set", &values[0], "--set", &values[1]];
    succeeds(helm(Some(plane.kubeconfig()), &[&install[..], &sets].concat()));
    let deployment = plane.kubectl(&["get", "deployment", NAME, "-n", NAME, "-o", "json"]).unwrap();
    let deployment: Value = serde_json::from_str(&deployment).unwrap();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], format!("{image}@{}", layout.digest));

    let kubeconfig = plane.kubeconfig_for_service_account(NAME, NAME).unwrap();
    // By name, which a static binary has to look up without the libraries of a system.
    let kubeconfig = fs::read_to_string(kubeconfig).unwrap().replace("127.0.0.1", "kubernetes.default.svc");
    let mut args: Vec<&str> =
        container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    args.extend(["--bind", "127.0.0.1:0"]);
    for (architecture, _) in ARCHITECTURES {
        let root = Root::new(&layout, architecture, dir.path().join(architecture));
        fs::write(root.dir.join("kubeconfig"), &kubeconfig).unwrap();
        fs::set_permissions(root.dir.join("kubeconfig"), fs::Permissions::from_mode(0o644)).unwrap();
        let log = dir.path().join(format!("{architecture}.log"));
        let mut command = root.operator(&args);
        command.env("KUBECONFIG", "/kubeconfig").env("HOSTNAME", architecture);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        let mut operator = spawn_tied(command).unwrap();
        let logs = || fs::read_to_string(&log).unwrap();
        until(
            || format!("{architecture}: {}", logs()),
            || logs().contains("first lists complete") || operator.try_wait().unwrap().is_some(),
        );
        let alive = operator.try_wait().unwrap().is_none();
        let pid = rustix::process::Pid::from_child(&operator);
        assert!(alive, "{architecture}: {}", logs());
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(operator.wait().unwrap().success(), "{architecture}: {}", logs());
    }
}
