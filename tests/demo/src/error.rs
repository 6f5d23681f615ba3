//! What can go wrong, for the person in front of the terminal.

use std::io;

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The control plane can't be built or started; its message says what to do.
    #[error(transparent)]
    ControlPlane(#[from] control_plane::Error),

    /// The operator can't be started, or another part of the stage.
    #[error(transparent)]
    Stage(#[from] atlas_integration_stage::Error),

    /// The system refused something.
    #[error("{action}: {source}")]
    System {
        /// What was tried, such as `starting kubectl`.
        action: String,
        /// What it answered.
        source: io::Error,
    },

    /// Something that the demo needs is not there, or is not as it should be.
    #[error("{0}")]
    Unexpected(String),

    /// The story failed.
    #[error("{error}\nThe last lines of the operator's log:\n{log}")]
    Story {
        /// How.
        error: Box<Error>,
        /// What the operator logged last.
        log: String,
    },

    /// Ctrl-C, or another signal that ends processes.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err`: what was tried when the system refused.
    pub fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let action = action.into();
        move |source| Error::System { action, source }
    }
}
