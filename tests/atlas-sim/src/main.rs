//! The simulator as a program, for demos and scripts. All it does is start the library's server and wait.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use atlas_sim::AtlasSim;
use clap::Parser;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// Simulates the third-party-integrations API of MongoDB Atlas on a loopback port.
#[derive(Parser)]
#[command(name = "atlas-sim", version)]
struct Arguments {
    /// Address to listen on; loopback only, port 0 picks a free one.
    #[arg(long, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    listen: SocketAddr,
    /// A project with an API key that owns it; may be repeated.
    #[arg(long = "project", value_name = "ID:PUBLIC:PRIVATE", value_parser = parse_project)]
    projects: Vec<ProjectArgument>,
    /// Exit when standard input is closed, so that no simulator outlives its script.
    #[arg(long)]
    exit_with_stdin: bool,
}

#[derive(Clone, Debug)]
struct ProjectArgument {
    id: String,
    public_key: String,
    private_key: String,
}

/// Colons may stand in the private key only.
fn parse_project(text: &str) -> Result<ProjectArgument, String> {
    let mut parts = text.splitn(3, ':').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(id), Some(public_key), Some(private_key)) if !id.is_empty() && !public_key.is_empty() => {
            Ok(ProjectArgument { id, public_key, private_key })
        }
        _ => Err("expected ID:PUBLIC:PRIVATE".to_owned()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("atlas-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let sim = AtlasSim::start_on(arguments.listen).await?;
    for project in &arguments.projects {
        sim.project(&project.id).allow_key(&project.public_key, &project.private_key);
    }
    println!("listening on {}", sim.url());
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        () = stdin_closed(), if arguments.exit_with_stdin => {}
    }
    // A read of standard input may still block a thread of the runtime, which would wait for it.
    drop(sim);
    std::process::exit(0);
}

async fn stdin_closed() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 1024];
    while input.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}
