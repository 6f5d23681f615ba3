//! Which binaries are used: those of `KUBEBUILDER_ASSETS`, and built ones for what is missing there.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::Error;
use crate::cache::{Cache, is_program};
use crate::go::{ARGO, Binary, CONTROL_PLANE, FLUX, HELM, KSTATUS, KWOK, LINTERS};

/// One folder with kube-apiserver, etcd, kubectl and kube-controller-manager by these names.
#[derive(Clone, Debug)]
pub struct Assets {
    dir: PathBuf,
}

impl Assets {
    /// Finds the binaries, building what is missing (minutes with a cold cache; progress is on stderr).
    ///
    /// With `KUBEBUILDER_ASSETS` set, what is there is used as it is, whatever its version. What is built is
    /// kept in `$ATLAS_INTEGRATION_CACHE`, or `atlas-integration-operator` in `$XDG_CACHE_HOME` or
    /// `$HOME/.cache`.
    pub fn locate() -> Result<Assets, Error> {
        let given =
            std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()).map(PathBuf::from);
        let Some(given) = given else {
            let dir =
                Cache::open()?.built(&CONTROL_PLANE, &CONTROL_PLANE.binaries.iter().collect::<Vec<_>>())?;
            return Ok(Assets { dir });
        };
        // Absolute: the servers run in a folder of their own.
        let given = std::path::absolute(&given).map_err(Error::io("finding", &given))?;
        if !given.is_dir() {
            return Err(Error::AssetsNotAFolder(given));
        }
        let missing: Vec<&Binary> =
            CONTROL_PLANE.binaries.iter().filter(|binary| !is_program(&given.join(binary.name))).collect();
        if missing.is_empty() {
            return Ok(Assets { dir: given });
        }
        let cache = Cache::open()?;
        let built = cache.built(&CONTROL_PLANE, &missing)?;
        let from = |name| if missing.iter().any(|binary| binary.name == name) { &built } else { &given };
        let files: Vec<_> = CONTROL_PLANE
            .binaries
            .iter()
            .map(|binary| (binary.name, from(binary.name).join(binary.name)))
            .collect();
        Ok(Assets { dir: cache.linked(&files)? })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// kubectl, of the same version as the server.
    pub fn kubectl(&self) -> PathBuf {
        self.dir.join("kubectl")
    }

    /// kube-apiserver.
    pub fn kube_apiserver(&self) -> PathBuf {
        self.dir.join("kube-apiserver")
    }

    /// etcd.
    pub fn etcd(&self) -> PathBuf {
        self.dir.join("etcd")
    }

    /// kube-controller-manager.
    pub fn kube_controller_manager(&self) -> PathBuf {
        self.dir.join("kube-controller-manager")
    }
}

/// A program that the tests run, built as the control plane is, each set of them from a module of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// Helm 4.
    Helm,
    /// Prints the verdicts of kstatus as Flux and Helm have it.
    KstatusFlux,
    /// The same, of the library that it was forked from.
    KstatusSigs,
    /// One reconciliation by Flux's apply engine.
    FluxSync,
    /// Argo CD's Lua machine, on tests of scripts in Argo CD's own format.
    ArgoLua,
    /// One sync by Argo CD's engine.
    ArgoSync,
    /// Fake nodes, on which no container runs and every pod is ready.
    Kwok,
    /// Checks manifests against schemas.
    Kubeconform,
    /// Judges manifests by what is thought to be good practice.
    KubeScore,
}

impl Tool {
    /// Finds it, building its module when it is not in the cache (see [`Assets::locate`]).
    pub fn locate(self) -> Result<PathBuf, Error> {
        let (module, name) = match self {
            Tool::Helm => (&HELM, "helm"),
            Tool::KstatusFlux => (&KSTATUS, "kstatus-flux"),
            Tool::KstatusSigs => (&KSTATUS, "kstatus-sigs"),
            Tool::FluxSync => (&FLUX, "flux-sync"),
            Tool::ArgoLua => (&ARGO, "argo-lua"),
            Tool::ArgoSync => (&ARGO, "argo-sync"),
            Tool::Kwok => (&KWOK, "kwok"),
            Tool::Kubeconform => (&LINTERS, "kubeconform"),
            Tool::KubeScore => (&LINTERS, "kube-score"),
        };
        let dir = Cache::open()?.built(module, &module.binaries.iter().collect::<Vec<_>>())?;
        Ok(dir.join(name))
    }
}
