//! `make demo`: the operator at work, on a real kube-apiserver and a simulator of Atlas, as a story to read.
//!
//! All that is shown is real: the commands, what kubectl answers, what the simulator stores. The demo checks
//! each step and ends with exit code 1 at the first that does not go as told. It is not the test suite: one
//! good way through, no corner cases.

mod atlas;
mod error;
mod kubectl;
mod operator;
mod patience;
mod screen;
mod stage;
mod story;

use std::process::ExitCode;
use std::time::Instant;

use control_plane::Assets;

use crate::error::Error;
use crate::patience::Patience;
use crate::screen::Screen;
use crate::stage::Stage;
use crate::story::Story;

/// The exit code of a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let screen = Screen::new();
    match run(screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Interrupted) => {
            screen.note("stopped by a signal; everything is removed");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            screen.failure(&format!("demo: FAILED: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(screen: Screen) -> Result<(), Error> {
    let begun = Instant::now();
    screen.title("Atlas Integration Operator: ten integrations, from kubectl apply to Atlas and back");
    // Before signals are caught, so that Ctrl-C ends a build at once.
    let assets = Assets::locate()?;
    let patience = Patience::catch_signals(screen)?;
    let played = play(&assets, screen, &patience, begun);
    // A signal makes all sorts of things fail; none of that is of interest.
    if played.is_err() && patience.is_stopped() { Err(Error::Interrupted) } else { played }
}

fn play(assets: &Assets, screen: Screen, patience: &Patience, begun: Instant) -> Result<(), Error> {
    let stage = Stage::set(assets, screen, patience)?;
    let told = Story::new(&stage, screen, patience).tell();
    told.map_err(|error| stage.operator.explain(error))?;
    screen.success(&format!("demo: success in {:.1} s", begun.elapsed().as_secs_f32()));
    if std::env::var_os("KEEP").is_some_and(|value| !value.is_empty() && value != "0") {
        stage.explain(screen);
        patience.until_stopped().map_err(|error| stage.operator.explain(error))?;
        screen.note("stopping");
    }
    Ok(())
}
