//! What the operator works on: a control plane with the kind and the rules installed, and the Atlas simulator.

use std::path::{Path, PathBuf};

use atlas_sim::AtlasSim;
use control_plane::{ControlPlane, Options};

use crate::Error;

/// The name of the operator's ServiceAccount and of its namespace in `deploy/`.
pub const ACCOUNT: &str = "atlas-integration-operator";
/// The manifests that install the kind, the namespace and the rules, by their paths in the repository.
pub const MANIFESTS: [&str; 3] =
    ["crds/atlasintegrations.yaml", "deploy/base/namespace.yaml", "deploy/base/rbac.yaml"];
/// The arguments of kubectl that wait until the API server serves the kind.
pub const ESTABLISHED: [&str; 5] = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];

/// The running parts. They stop when this is dropped.
pub struct Stage {
    /// The control plane.
    pub plane: ControlPlane,
    /// The simulator.
    pub sim: AtlasSim,
}

impl Stage {
    /// Starts both, with nothing installed.
    pub fn empty(options: Options) -> Result<Stage, Error> {
        let sim = AtlasSim::start_blocking(([127, 0, 0, 1], 0).into())
            .map_err(Error::system("starting the Atlas simulator"))?;
        Ok(Stage { plane: ControlPlane::start(options)?, sim })
    }

    /// Starts both, and installs [`MANIFESTS`].
    pub fn set(options: Options) -> Result<Stage, Error> {
        let stage = Stage::empty(options)?;
        let root = repository()?;
        for file in MANIFESTS {
            stage.plane.kubectl(&["apply", "-f", &root.join(file).to_string_lossy()])?;
        }
        stage.plane.kubectl(&ESTABLISHED)?;
        Ok(stage)
    }
}

/// The repository that this program was built from.
pub fn repository() -> Result<PathBuf, Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let found = root.canonicalize().ok().filter(|root| root.join(MANIFESTS[0]).is_file());
    let moved =
        "the repository that this program was built from is not there any more: run `make demo` in a clone";
    found.ok_or_else(|| Error::Missing(moved.to_owned()))
}
