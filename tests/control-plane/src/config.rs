//! The files that the servers and their clients read, and the servers' arguments.
//!
//! Nothing secret is in an argument: tokens are in files that only the owner can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::Error;
use crate::folder::random_hex;

/// The audit log, relative to the state folder.
pub(crate) const AUDIT_LOG: &str = "audit.log";
/// etcd's socket. Relative, because a socket's path may have about 100 bytes and the servers run in the
/// folder.
pub(crate) const ETCD_SOCKET: &str = "etcd.sock";
/// The certificate of kube-apiserver and the authority that signed it, which kube-apiserver makes at its
/// first start.
pub(crate) const SERVING_CERTIFICATE: &str = "pki/apiserver.crt";
/// The key of that certificate; it signs the tokens of ServiceAccounts too, which saves making another one.
const SERVING_KEY: &str = "pki/apiserver.key";
/// The authority alone.
pub(crate) const AUTHORITY: &str = "pki/ca.crt";
/// kube-controller-manager's kubeconfig.
pub(crate) const CONTROLLER_MANAGER_KUBECONFIG: &str = "kube-controller-manager.kubeconfig";

const TOKENS: &str = "tokens.csv";
const AUDIT_POLICY: &str = "audit-policy.json";

/// The tokens of the two users that kube-apiserver knows from the start.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// User `admin`.
    pub(crate) admin: String,
    /// User `system:kube-controller-manager`.
    pub(crate) controller_manager: String,
}

/// Writes what kube-apiserver reads at its start. Its audit log leaves out `unaudited` users.
pub(crate) fn write_server_files(folder: &Path, unaudited: &[String]) -> Result<Tokens, Error> {
    let tokens = Tokens { admin: random_hex()?, controller_manager: random_hex()? };
    // A user of its own for the controllers, so that the audit log does not count their writes as the
    // admin's. With the bound role alone it would need a credential per controller; it may do everything
    // instead.
    let users = format!(
        "{},admin,admin,\"system:masters\"\n{},system:kube-controller-manager,kube-controller-manager,\"system:masters\"\n",
        tokens.admin, tokens.controller_manager
    );
    write_private(&folder.join(TOKENS), &users)?;
    write_private(&folder.join(AUDIT_POLICY), &audit_policy(unaudited).to_string())?;
    // kube-apiserver does not create it when rotation is off.
    write_private(&folder.join(AUDIT_LOG), "")?;
    Ok(tokens)
}

/// The policy of the audit log: everything, but for the requests of these users.
fn audit_policy(unaudited: &[String]) -> Value {
    let all = json!({"level": "Metadata"});
    // The first rule that fits decides. One without users would fit everybody.
    let none = (!unaudited.is_empty()).then(|| json!({"level": "None", "users": unaudited}));
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": true,
        "rules": none.into_iter().chain([all]).collect::<Vec<_>>(),
    })
}

/// etcd's arguments.
pub(crate) fn etcd_args() -> Vec<String> {
    let client = format!("unix://{ETCD_SOCKET}");
    // No member ever joins: the peer port is any free one. The advertised address is never used, but has to
    // be a URL with a port.
    to_strings(&[
        "--name",
        "control-plane",
        "--data-dir",
        "etcd",
        "--unsafe-no-fsync",
        // The most that etcd recommends. Its default of 2 GiB is soon full of a hundred thousand objects.
        "--quota-backend-bytes",
        "8589934592",
        "--log-level",
        "warn",
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        "http://127.0.0.1:1",
        "--listen-peer-urls",
        "http://127.0.0.1:0",
        "--initial-advertise-peer-urls",
        "http://127.0.0.1:1",
        "--initial-cluster",
        "control-plane=http://127.0.0.1:1",
    ])
}

/// kube-apiserver's arguments.
pub(crate) fn apiserver_args(port: u16, service_accounts: bool, extra: &[String]) -> Vec<String> {
    let (port, etcd) = (port.to_string(), format!("unix://{ETCD_SOCKET}"));
    let mut args = to_strings(&[
        "--etcd-servers",
        &etcd,
        "--bind-address",
        "127.0.0.1",
        "--secure-port",
        &port,
        // Given, so that a machine without a network interface will do; a Service cannot point to it.
        "--advertise-address",
        "127.0.0.1",
        "--endpoint-reconciler-type",
        "none",
        "--service-cluster-ip-range",
        "10.0.0.0/24",
        "--cert-dir",
        "pki",
        "--service-account-key-file",
        SERVING_CERTIFICATE,
        "--service-account-signing-key-file",
        SERVING_KEY,
        "--service-account-issuer",
        "https://kubernetes.default.svc",
        "--authorization-mode",
        "RBAC",
        "--token-auth-file",
        TOKENS,
        "--audit-policy-file",
        AUDIT_POLICY,
        "--audit-log-path",
        AUDIT_LOG,
        // Blocking: the line of a request is there when the request is answered. One file, never rotated.
        "--audit-log-mode",
        "blocking",
        "--audit-log-maxsize",
        "0",
        "--profiling=false",
        // Without it open watches hold up a stop for a minute.
        "--shutdown-watch-termination-grace-period",
        "100ms",
    ]);
    if !service_accounts {
        // Nobody would make the `default` ServiceAccount that this plugin waits for.
        args.extend(to_strings(&["--disable-admission-plugins", "ServiceAccount"]));
    }
    args.extend_from_slice(extra);
    args
}

/// kube-controller-manager's arguments: only the controllers that matter without nodes, and those of Deployments, for
/// nodes that a test makes up.
pub(crate) fn controller_manager_args() -> Vec<String> {
    to_strings(&[
        "--kubeconfig",
        CONTROLLER_MANAGER_KUBECONFIG,
        "--leader-elect=false",
        "--secure-port",
        "0",
        "--service-account-private-key-file",
        SERVING_KEY,
        "--root-ca-file",
        AUTHORITY,
        "--controllers",
        "garbage-collector-controller,namespace-controller,serviceaccount-controller,\
         root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,\
         deployment-controller,replicaset-controller,disruption-controller",
    ])
}

/// Who a kubeconfig is for.
#[derive(Debug)]
pub(crate) struct User<'a> {
    pub(crate) name: &'a str,
    pub(crate) token: &'a str,
    pub(crate) namespace: &'a str,
}

/// A kubeconfig (in JSON, which is YAML) that verifies the server by `authority`.
pub(crate) fn kubeconfig(server: &str, authority: &str, user: &User<'_>) -> String {
    let User { name, token, namespace } = user;
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "control-plane",
            "cluster": {"server": server, "certificate-authority-data": base64(authority.as_bytes())},
        }],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{
            "name": "control-plane",
            "context": {"cluster": "control-plane", "user": name, "namespace": namespace},
        }],
        "current-context": "control-plane",
    });
    format!("{config:#}\n")
}

/// The last certificate of a PEM file: kube-apiserver writes its own first and then the authority's.
pub(crate) fn last_certificate(pem: &str) -> Option<String> {
    let start = pem.rfind("-----BEGIN CERTIFICATE-----")?;
    let end = "-----END CERTIFICATE-----";
    let length = pem[start..].find(end)? + end.len();
    Some(format!("{}\n", &pem[start..start + length]))
}

/// Writes a file that only the owner can read. It is there complete or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let new = path.with_added_extension(format!("new-{:?}", std::thread::current().id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, path)
    };
    write().map_err(Error::io("writing", path))
}

fn to_strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|&arg| arg.to_owned()).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            // A chunk of n bytes has n + 1 digits.
            text.push(if digit <= chunk.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_one() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("\u{ff}?>", "w78/Pg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn everybody_is_audited_who_is_not_left_out() {
        let rules = |users: &[&str]| {
            audit_policy(&users.iter().map(|user| (*user).to_owned()).collect::<Vec<_>>())["rules"].clone()
        };
        let all = json!({"level": "Metadata"});
        assert_eq!(rules(&[]), json!([all]));
        assert_eq!(rules(&["admin"]), json!([{"level": "None", "users": ["admin"]}, all]));
    }

    #[test]
    fn the_authority_is_the_last_certificate() {
        let one = "-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n";
        let two = "-----BEGIN CERTIFICATE-----\nBBB\n-----END CERTIFICATE-----\n";
        assert_eq!(last_certificate(&format!("{one}{two}")).as_deref(), Some(two));
        assert_eq!(last_certificate("nothing"), None);
    }

    #[test]
    fn private_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.kubeconfig");
        write_private(&path, "1").unwrap();
        write_private(&path, "2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
