//! Waiting: with a limit, with a sign of life for the reader, until a signal says stop, and for as long as the
//! operator runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use atlas_integration_stage::Operator;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::Error;
use crate::screen::Screen;

/// How often a condition is looked at.
pub const POLL: Duration = Duration::from_millis(20);
/// How long it may be silent.
pub const SILENCE: Duration = Duration::from_secs(4);

/// Waits for conditions.
#[derive(Clone, Debug)]
pub struct Patience {
    screen: Screen,
    stop: Arc<AtomicBool>,
    operator: Arc<OnceLock<Arc<Operator>>>,
}

impl Patience {
    /// From here on the first SIGINT, SIGTERM or SIGHUP ends every wait with [`Error::Interrupted`], and a second
    /// one the process. Children are tied to it and end, too.
    pub fn catch_signals(screen: Screen) -> Result<Patience, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            // In this order: the flag is still down when the first signal reaches the first of them.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
                .map_err(Error::system("catching signals"))?;
        }
        Ok(Patience { screen, stop, operator: Arc::default() })
    }

    /// From here on every wait also ends with an error when this process has ended by itself.
    pub fn watch_operator(&self, operator: &Arc<Operator>) {
        // There is one operator only.
        let _ = self.operator.set(Arc::clone(operator));
    }

    /// Fails once a signal came, or the operator has ended.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_stopped() {
            return Err(Error::Interrupted);
        }
        let Some(operator) = self.operator.get() else { return Ok(()) };
        match operator.status()? {
            Some(status) => Err(Error::Unexpected(format!("the operator ended by itself ({status})"))),
            None => Ok(()),
        }
    }

    /// Whether a signal came.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until `look` answers something, for at most `limit`.
    pub fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let mut spoke = begun;
        loop {
            self.check()?;
            if let Some(found) = look()? {
                return Ok(found);
            }
            if begun.elapsed() > limit {
                return Err(Error::Unexpected(format!(
                    "waited {} s in vain for {what}",
                    begun.elapsed().as_secs()
                )));
            }
            self.sign_of_life(what, begun, &mut spoke);
            thread::sleep(POLL);
        }
    }

    /// Waits for a signal; fails when the operator ends before.
    pub fn until_stopped(&self) -> Result<(), Error> {
        loop {
            match self.check() {
                Ok(()) => thread::sleep(POLL),
                Err(Error::Interrupted) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Says that it still waits, if nothing has been said for a while.
    pub fn sign_of_life(&self, what: &str, begun: Instant, spoke: &mut Instant) {
        if spoke.elapsed() > SILENCE {
            self.screen.note(&format!("still waiting for {what} ({} s)", begun.elapsed().as_secs()));
            *spoke = Instant::now();
        }
    }
}
