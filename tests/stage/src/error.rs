//! What can go wrong, in words for the person in front of the terminal.

use std::io;

/// Why a part could not be started or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The control plane can't be built or started; its message says what to do.
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Error),

    /// The system refused something.
    #[error("{action}: {source}")]
    System {
        /// What was tried, such as `starting the operator`.
        action: String,
        /// What it answered.
        source: io::Error,
    },

    /// A file that this program was built beside is not there any more.
    #[error("{0}")]
    Missing(String),

    /// The operator ended before it was asked to.
    #[error("the operator ended ({status}):\n{log}")]
    Ended {
        /// Its exit status.
        status: String,
        /// All that it logged.
        log: String,
    },
}

impl Error {
    /// For `map_err`: what was tried when the system refused.
    pub fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let action = action.into();
        move |source| Error::System { action, source }
    }
}
