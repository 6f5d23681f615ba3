//! A TCP link between one operator and the API server, which can be slow or dead while all others have their own.

use std::path::PathBuf;
use std::time::Duration;

use control_plane::ControlPlane;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the link does to what passes.
#[derive(Clone, Copy, Default)]
struct Condition {
    /// Nothing passes any more, and nobody is told.
    cut: bool,
    /// By how much each piece of an answer is late.
    delay: Duration,
}

/// A link; dropping it ends it.
pub struct Link {
    address: String,
    condition: watch::Sender<Condition>,
    _tasks: tokio::task::JoinSet<()>,
}

impl Link {
    /// A link to the API server of a control plane.
    pub async fn to(plane: &ControlPlane) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = plane.server().trim_start_matches("https://").to_owned();
        let (condition, observed) = watch::channel(Condition::default());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let mut pumps = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                pumps.spawn(pump(from_client, to_server, observed.clone(), false));
                pumps.spawn(pump(from_server, to_client, observed.clone(), true));
            }
        });
        Link { address, condition, _tasks: tasks }
    }

    /// The kubeconfig of a ServiceAccount (namespace and name) that goes over this link.
    pub fn kubeconfig(&self, plane: &ControlPlane, (namespace, name): (&str, &str)) -> PathBuf {
        let own =
            tokio::task::block_in_place(|| plane.kubeconfig_for_service_account(namespace, name)).unwrap();
        let text = std::fs::read_to_string(own).unwrap();
        // Without a colon, which would make it two files.
        let path =
            plane.dir().join(format!("{namespace}.{name}.{}.kubeconfig", self.address.replace(':', "-")));
        std::fs::write(&path, text.replace(plane.server(), &format!("https://{}", self.address))).unwrap();
        path
    }

    /// Lets nothing pass any more.
    pub fn cut(&self) {
        self.condition.send_modify(|condition| condition.cut = true);
    }

    /// Makes every piece of an answer late.
    pub fn delay(&self, delay: Duration) {
        self.condition.send_modify(|condition| condition.delay = delay);
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut condition: watch::Receiver<Condition>,
    answers: bool,
) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return };
        let Ok(now) = condition.wait_for(|condition| !condition.cut).await.map(|now| *now) else { return };
        if answers {
            tokio::time::sleep(now.delay).await;
        }
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
