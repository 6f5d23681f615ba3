//! Whom the operator trusts to be Atlas, by the CA certificates that it is given, and what it says where it trusts nobody.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rstest::rstest;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::world::{Operator, World, message, rules, until, until_true};

/// How the certificate of an Atlas behind TLS is.
#[derive(Clone, Copy, PartialEq)]
enum Certificate {
    Good,
    OtherHost,
    Expired,
    NotYet,
    UnknownAuthority,
    SelfSigned,
}

/// TLS in front of the simulator, and the file of the authority that the operator is told to trust.
async fn tls_in_front_of(world: &World, certificate: Certificate) -> (String, String) {
    let (trusted, pem) = authority();
    let front = Front::start(world, acceptor(certificate, &trusted)).await;
    let file = world.shared.plane.dir().join(format!("{}-authority.pem", world.namespace));
    std::fs::write(&file, pem).unwrap();
    (front.url, file.to_str().unwrap().to_owned())
}

/// An authority, and its certificate.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "an authority for one test");
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

/// A server with such a certificate.
fn acceptor(certificate: Certificate, trusted: &Issuer<'static, KeyPair>) -> TlsAcceptor {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (stranger, _) = authority();
    let host = if certificate == Certificate::OtherHost { "atlas.example" } else { "127.0.0.1" };
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    match certificate {
        Certificate::Expired => {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        Certificate::NotYet => {
            params.not_before = date_time_ymd(2400, 1, 1);
            params.not_after = date_time_ymd(2401, 1, 1);
        }
        _ => {}
    }
    let key = KeyPair::generate().unwrap();
    let signed = match certificate {
        Certificate::SelfSigned => params.self_signed(&key),
        Certificate::UnknownAuthority => params.signed_by(&key, &stranger),
        _ => params.signed_by(&key, trusted),
    };
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![signed.unwrap().der().clone()], private)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// TLS in front of the simulator.
struct Front {
    url: String,
    acceptor: Arc<Mutex<TlsAcceptor>>,
    /// Ends the connections that are open.
    cut: tokio::sync::watch::Sender<()>,
}

impl Front {
    async fn start(world: &World, acceptor: TlsAcceptor) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let atlas = world.shared.sim.url().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let (cut, cuts) = tokio::sync::watch::channel(());
        let acceptor = Arc::new(Mutex::new(acceptor));
        let shared = Arc::clone(&acceptor);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, atlas, mut cut) =
                    (shared.lock().unwrap().clone(), atlas.clone(), cuts.clone());
                cut.mark_unchanged();
                tokio::spawn(async move {
                    // Whoever does not trust it leaves.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut atlas = TcpStream::connect(atlas).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut stream, &mut atlas) => {}
                        Ok(()) = cut.changed() => {}
                    }
                });
            }
        });
        Front { url, acceptor, cut }
    }

    /// Another certificate, for new connections; there are no others any more.
    fn change(&self, acceptor: TlsAcceptor) {
        *self.acceptor.lock().unwrap() = acceptor;
        self.cut.send_replace(());
    }
}

/// Puts a file where it is seen by way of two links, as the kubelet does with a ConfigMap, which it renews by one
/// change of a link.
fn put_as_config_map(dir: &Path, version: &str, content: &str) {
    let folder = dir.join(format!("..{version}"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("ca.crt"), content).unwrap();
    let next = dir.join("..data_tmp");
    std::os::unix::fs::symlink(format!("..{version}"), &next).unwrap();
    std::fs::rename(next, dir.join("..data")).unwrap();
    let _ = std::os::unix::fs::symlink("..data/ca.crt", dir.join("ca.crt"));
}

/// An operator for this Atlas with these variables, and an object that it is to bring there.
async fn with_an_object(world: &World, atlas: &str, environment: &[(&str, &str)]) -> Operator {
    let flags = ["--watch-namespace", &world.namespace];
    let plane = &world.shared.plane;
    rules::install(plane, world.account(), &flags).await;
    let operator = Operator::start_within(plane, world.account(), atlas, &flags, environment).await;
    operator.until_ready().await;
    world.datadog("x").await;
    operator
}

/// What the object says of an Atlas that is not to be trusted.
async fn refusal(world: &World) -> String {
    let object = world.object("x").reaches("False", "AtlasUnavailable").await;
    let said = message(&object);
    assert!(said.contains("TLS failed") && said.contains("SSL_CERT_FILE"), "{said}");
    said
}

/// Only an Atlas that proves to be the named host, today, by an authority that is trusted, gets a request.
#[rstest]
#[case::good("good", Certificate::Good, None)]
#[case::other_host("other-host", Certificate::OtherHost, Some("certificate not valid for name"))]
#[case::expired("expired", Certificate::Expired, Some("certificate expired"))]
#[case::not_yet("not-yet", Certificate::NotYet, Some("certificate not valid yet"))]
#[case::unknown_authority("unknown", Certificate::UnknownAuthority, Some("BadSignature"))]
#[case::self_signed("self-signed", Certificate::SelfSigned, Some("UnknownIssuer"))]
#[tokio::test(flavor = "multi_thread")]
async fn t20_only_a_trusted_atlas_is_spoken_to(
    #[case] name: &str,
    #[case] certificate: Certificate,
    #[case] refused: Option<&str>,
) {
    let world = World::with_datadog_key(&format!("tls-{name}")).await;
    let (url, authority) = tls_in_front_of(&world, certificate).await;
    let _operator = with_an_object(&world, &url, &[("SSL_CERT_FILE", &authority)]).await;
    if let Some(why) = refused {
        let said = refusal(&world).await;
        assert!(said.contains(why), "{said}");
        assert_eq!(world.project.exchanges().len(), 0);
    } else {
        world.object("x").synced().await;
        assert_eq!(world.project.stored().len(), 1);
    }
}

/// A proxy behind TLS that opens tunnels. Its address, and the requests for a tunnel.
async fn proxy_behind_tls(acceptor: TlsAcceptor) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, heard) = (acceptor.clone(), Arc::clone(&heard));
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    head.push(char::from(stream.read_u8().await.unwrap()));
                }
                let target = head.split(' ').nth(1).unwrap().to_owned();
                heard.lock().unwrap().push(head);
                let mut target = TcpStream::connect(target).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                // Until either side leaves.
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
            });
        }
    });
    (address, all)
}

/// TLS to the proxy, and within it TLS to Atlas: the proxy hears who asks for a tunnel where to, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn t20_a_tunnel_through_a_proxy_behind_tls() {
    let world = World::with_datadog_key("tls-proxy").await;
    let (trusted, pem) = authority();
    let front = Front::start(&world, acceptor(Certificate::Good, &trusted)).await;
    let (proxy, heard) = proxy_behind_tls(acceptor(Certificate::Good, &trusted)).await;
    let file = world.shared.plane.dir().join("tls-proxy-authority.pem");
    std::fs::write(&file, pem).unwrap();
    let proxy = format!("https://us%40er:pass@{proxy}");
    let environment = [("SSL_CERT_FILE", file.to_str().unwrap()), ("HTTPS_PROXY", &proxy)];
    let _operator = with_an_object(&world, &front.url, &environment).await;
    world.object("x").synced().await;
    let atlas = front.url.trim_start_matches("https://");
    let heads = heard.lock().unwrap().clone();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with(&format!("CONNECT {atlas} HTTP/1.1\r\n")), "{head}");
        let mut headers: Vec<String> = head.trim_end().lines().skip(1).map(str::to_lowercase).collect();
        headers.retain(|header| !header.starts_with("user-agent: atlas-integration-operator/"));
        headers.sort();
        let expected = [format!("host: {atlas}"), "proxy-authorization: basic dxnazxi6cgfzcw==".to_owned()];
        assert_eq!(headers, expected, "{head}");
    }
}

/// Without a bundle of its own the operator trusts those of the system, as in the image, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn t20_without_a_bundle_the_systems_authorities_count() {
    let world = World::with_datadog_key("tls-system").await;
    let (url, _) = tls_in_front_of(&world, Certificate::Good).await;
    let _operator = with_an_object(&world, &url, &[]).await;
    let said = refusal(&world).await;
    assert!(said.contains("UnknownIssuer"), "{said}");
    assert_eq!(world.project.exchanges().len(), 0);
}

/// A server that speaks TLS 1.1 and nothing newer: to every ClientHello it answers a ServerHello of that version. Its
/// URL, and for each connection all bytes that came.
async fn tls_1_1() -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut hello = vec![0x03, 0x02];
    hello.extend([7; 32]);
    // No session, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello.extend([0x00, 0xc0, 0x13, 0x00]);
    let length = u8::try_from(hello.len()).unwrap();
    let record = [&[0x16, 0x03, 0x02, 0x00, length + 4, 0x02, 0x00, 0x00, length], &hello[..]].concat();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (record, heard) = (record.clone(), Arc::clone(&heard));
            tokio::spawn(async move {
                let mut head = [0; 5];
                stream.read_exact(&mut head).await.unwrap();
                let mut bytes = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(&record).await.unwrap();
                // Until the other side leaves.
                let _ = stream.read_to_end(&mut bytes).await;
                heard.lock().unwrap().push([&head, &bytes[..]].concat());
            });
        }
    });
    (url, all)
}

/// The content types of the TLS records in these bytes.
fn content_types(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [content_type, _, _, high, low, rest @ ..] = bytes {
        types.push(*content_type);
        bytes = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    assert!(bytes.is_empty(), "{bytes:?}");
    types
}

/// An Atlas, or somebody before it, who offers TLS 1.1 at most hears a greeting and an alert, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn t20_nothing_older_than_tls_1_2_is_spoken() {
    let world = World::with_datadog_key("tls-1-1").await;
    let (url, heard) = tls_1_1().await;
    let _operator = with_an_object(&world, &url, &[]).await;
    let said = refusal(&world).await;
    assert!(said.contains("peer is incompatible"), "{said}");
    let heard = until("a connection", || {
        let heard = heard.lock().unwrap().clone();
        (!heard.is_empty()).then_some(heard)
    })
    .await;
    for connection in heard {
        let (handshake, alert) = (22, 21);
        assert_eq!(content_types(&connection), [handshake, alert]);
    }
}

/// A bundle that serves for nothing is said at the start, by its name, with what to do; not once for every object.
#[rstest]
#[case::missing(None, "No such file")]
#[case::empty(Some(""), "has no certificate that can be used")]
#[case::no_pem(Some("a canary in place of a certificate"), "has no certificate that can be used")]
#[case::broken(
    Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    "has no certificate that can be used"
)]
fn t20_a_bundle_that_serves_for_nothing(#[case] content: Option<&str>, #[case] why: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    if let Some(content) = content {
        std::fs::write(&file, content).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_atlas-integration-operator"));
    command.arg("run").env_clear().env("KUBECONFIG", "/nonexistent").env("SSL_CERT_FILE", &file);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    for expected in [file.to_str().unwrap(), why, "PEM form in SSL_CERT_FILE"] {
        assert!(last.contains(expected), "{said}");
    }
    assert!(!said.contains("canary") && !said.contains("/nonexistent"), "{said}");
}

/// A bundle that is renewed is taken up without a restart, one that serves for nothing is not, and an authority that is
/// not in it any more is not trusted any more.
#[rstest]
#[case::file("renewed", "SSL_CERT_FILE")]
#[case::folder("renewed-dir", "SSL_CERT_DIR")]
#[tokio::test(flavor = "multi_thread")]
async fn t20_a_renewed_bundle_is_taken_up(#[case] name: &str, #[case] variable: &str) {
    let world = World::with_datadog_key(&format!("tls-{name}")).await;
    let ((old, old_pem), (new, new_pem)) = (authority(), authority());
    let dir = tempfile::tempdir().unwrap();
    put_as_config_map(dir.path(), "1", &old_pem);
    let front = Front::start(&world, acceptor(Certificate::Good, &old)).await;
    let file = dir.path().join("ca.crt");
    let value = if variable == "SSL_CERT_FILE" { file } else { dir.path().join("..data") };
    let operator = with_an_object(&world, &front.url, &[(variable, value.to_str().unwrap())]).await;
    let x = world.object("x");
    x.synced().await;

    // Broken: said once, and new connections are judged by what was there.
    put_as_config_map(dir.path(), "2", "a canary in place of a certificate");
    let lines = |text: &str| operator.logs().lines().filter(|line| line.contains(text)).count();
    let broken = "the new CA certificates can't be used, and the former ones stay in use";
    until_true("the broken bundle in the log", || lines(broken) > 0).await;
    front.change(acceptor(Certificate::Good, &old));
    world.until_looked(3).await;

    // Renewed, and after it Atlas's own certificate.
    put_as_config_map(dir.path(), "3", &format!("{old_pem}{new_pem}"));
    let renewed = "the CA certificates have changed; new connections trust the new ones";
    until_true("the renewed bundle in the log", || lines(renewed) == 1).await;
    front.change(acceptor(Certificate::Good, &new));
    world.until_looked(3).await;

    // The old one is withdrawn.
    put_as_config_map(dir.path(), "4", &new_pem);
    until_true("the withdrawal in the log", || lines(renewed) == 2).await;
    front.change(acceptor(Certificate::Good, &old));
    x.change(&json!({"datadog": {"region": "EU"}})).await;
    refusal(&world).await;
    assert_eq!(world.stored_datadog("region"), "US5");
    front.change(acceptor(Certificate::Good, &new));
    x.synced().await;
    assert_eq!(world.stored_datadog("region"), "EU");
    assert_eq!(lines(broken), 1);
    assert!(!operator.logs().contains("canary"));
}
