//! The control plane is a real one. Uses the real binaries.
#![allow(clippy::unwrap_used, reason = "in a test that is the failure")]

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::wait_until;
use control_plane::{AuditEvent, ControlPlane, Error, Options};

fn start(controller_manager: bool) -> ControlPlane {
    ControlPlane::start(Options { controller_manager, ..Options::default() }).unwrap()
}

/// kubectl as somebody else.
fn kubectl_as(plane: &ControlPlane, kubeconfig: &Path, args: &[&str]) -> Result<String, Error> {
    plane.kubectl(&[args, &["--kubeconfig", kubeconfig.to_str().unwrap()]].concat())
}

#[test]
fn rbac_decides_and_the_audit_log_counts() {
    let plane = start(false);
    assert!(plane.server().starts_with("https://127.0.0.1:"));
    assert!(plane.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(plane.ca_pem().matches("BEGIN CERTIFICATE").count(), 1);
    let version = plane.kubectl(&["version"]).unwrap();
    assert!(version.contains("Server Version: v1."), "{version}");

    plane.kubectl(&["create", "serviceaccount", "reader"]).unwrap();
    let reader = plane.kubeconfig_for_service_account("default", "reader").unwrap();
    let user = "system:serviceaccount:default:reader";
    for file in [plane.kubeconfig(), &reader, &plane.dir().join("tokens.csv")] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let secrets = || kubectl_as(&plane, &reader, &["get", "secrets"]);
    let refused = secrets().unwrap_err().to_string();
    assert!(refused.contains("Forbidden") && refused.contains("kubectl get secrets"), "{refused}");
    plane.kubectl(&["create", "role", "reader", "--verb=list,create", "--resource=secrets"]).unwrap();
    let grant = ["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader"];
    plane.kubectl(&grant).unwrap();
    wait_until("the binding is seen", 20, || secrets().is_ok());

    let of_reader = |event: &AuditEvent| event.user == user && event.resource == "secrets";
    let listed: Vec<_> = plane.audit().unwrap().into_iter().filter(of_reader).collect();
    assert_eq!((listed[0].code, &*listed[0].verb, &*listed[0].namespace), (403, "list", "default"));
    assert_eq!(listed.last().unwrap().code, 200);
    assert!(!listed.iter().any(AuditEvent::is_write));

    // Each is there as soon as it is answered.
    let mut position = plane.audit_position().unwrap();
    for number in 0..10 {
        let name = format!("s{number}");
        kubectl_as(&plane, &reader, &["create", "secret", "generic", &name]).unwrap();
        let (events, next) = plane.audit_since(position).unwrap();
        let writes: Vec<_> =
            events.into_iter().filter(|event| of_reader(event) && event.is_write()).collect();
        assert_eq!(writes.len(), 1, "{writes:?}");
        assert_eq!((&*writes[0].name, &*writes[0].verb, writes[0].code), (&*name, "create", 201));
        assert!(next > position);
        position = next;
    }
}

#[test]
fn two_run_side_by_side_and_trust_differs() {
    let (one, two) = (start(false), start(false));
    assert_ne!(one.server(), two.server());
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: here}\n";
    one.kubectl_stdin(&["apply", "-f", "-"], map).unwrap();
    one.kubectl(&["get", "configmap", "here"]).unwrap();
    assert!(two.kubectl(&["get", "configmap", "here"]).unwrap_err().to_string().contains("NotFound"));
    let error = one.kubectl(&["get", "namespaces", "--server", two.server()]).unwrap_err().to_string();
    assert!(error.contains("certificate"), "the other's certificate is refused: {error}");
}

#[test]
fn namespaces_go_and_what_is_owned_is_collected() {
    let plane = start(true);
    plane.kubectl(&["create", "namespace", "temporary"]).unwrap();
    plane.kubectl(&["create", "configmap", "inside", "--namespace", "temporary"]).unwrap();
    let position = plane.audit_position().unwrap();
    plane.kubectl(&["delete", "namespace", "temporary", "--timeout", "60s"]).unwrap();
    let (events, _) = plane.audit_since(position).unwrap();
    let own = events.iter().find(|event| event.verb == "deletecollection" && event.resource == "configmaps");
    assert_eq!(own.unwrap().user, "system:kube-controller-manager", "not counted as the admin's");

    plane.kubectl(&["create", "configmap", "owner"]).unwrap();
    let uid = plane.kubectl(&["get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}"]).unwrap();
    let owned = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: owned, ownerReferences: \
         [{{apiVersion: v1, kind: ConfigMap, name: owner, uid: {uid}}}]}}}}"
    );
    plane.kubectl_stdin(&["create", "-f", "-"], &owned).unwrap();
    plane.kubectl(&["delete", "configmap", "owner"]).unwrap();
    plane.kubectl(&["wait", "--for=delete", "configmap/owned", "--timeout", "60s"]).unwrap();
}

#[test]
fn servers_can_be_taken_away_and_come_back_with_their_data() {
    let plane = start(true);
    let read = || plane.kubectl(&["get", "configmap", "kept", "--request-timeout", "1s"]);
    plane.kubectl(&["create", "configmap", "kept"]).unwrap();

    plane.stop_apiserver().unwrap();
    assert!(read().is_err());
    assert!(plane.stop_apiserver().unwrap_err().to_string().contains("stopped"));
    plane.start_apiserver().unwrap();
    read().unwrap();
    plane.kill_apiserver().unwrap();
    plane.start_apiserver().unwrap();
    read().unwrap();

    plane.pause_apiserver().unwrap();
    assert!(read().is_err());
    plane.resume_apiserver().unwrap();
    plane.wait_ready().unwrap();

    plane.kill_etcd().unwrap();
    assert!(plane.kubectl(&["create", "configmap", "lost", "--request-timeout", "1s"]).is_err());
    plane.start_etcd().unwrap();
    plane.wait_ready().unwrap();
    read().unwrap();
    plane.pause_etcd().unwrap();
    assert!(plane.kubectl(&["create", "configmap", "late", "--request-timeout", "1s"]).is_err());
    plane.resume_etcd().unwrap();
    plane.stop_etcd().unwrap();
    plane.start_etcd().unwrap();
    plane.wait_ready().unwrap();

    // kube-controller-manager has lived through all that.
    plane.kubectl(&["create", "namespace", "temporary"]).unwrap();
    plane.kubectl(&["delete", "namespace", "temporary", "--timeout", "90s"]).unwrap();
}

#[test]
fn a_port_that_somebody_else_takes_is_given_up_for_another() {
    // The argument wins over every port that is tried, so that all of them are "taken".
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--secure-port={}", other.local_addr().unwrap().port());
    let options = Options { extra_apiserver_args: vec![taken], ..Options::default() };
    assert!(matches!(ControlPlane::start(options), Err(Error::NoFreePort(tried)) if tried > 1));
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let options = Options { extra_apiserver_args: vec!["--no-such-flag".into()], ..Options::default() };
    let message = ControlPlane::start(options).unwrap_err().to_string();
    assert!(message.contains("kube-apiserver ended") && message.contains("no-such-flag"), "{message}");
}
