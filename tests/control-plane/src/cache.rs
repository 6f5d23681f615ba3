//! The folder of built binaries: found by the content of the pins, filled once, by one process at a time.
//!
//! A set of binaries is one folder that appears complete (built next to it, then renamed), so that whoever
//! sees it can use it without a lock. The key is the pins and the platform and not the version of Go: a newer
//! Go makes the same Kubernetes, and a restored cache needs no Go at all. Old sets stay until the cache is
//! removed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::go::{self, Binary, Module};

/// The cache folder.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$ATLAS_INTEGRATION_CACHE`, or `atlas-integration-operator` in the user's cache folder.
    pub(crate) fn open() -> Result<Cache, Error> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let own = "atlas-integration-operator";
        let base = set("ATLAS_INTEGRATION_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join(own)))
            .or_else(|| set("HOME").map(|folder| folder.join(".cache").join(own)))
            .ok_or(Error::NoCacheFolder)?;
        // Absolute: the path is handed to processes that run in other folders.
        let base = std::path::absolute(&base).map_err(Error::io("finding", &base))?;
        let root = base.join("control-plane");
        fs::create_dir_all(&root).map_err(Error::io("creating", &root))?;
        Ok(Cache { root })
    }

    /// The folder with `wanted` of `module`, built if it is not there.
    pub(crate) fn built(&self, module: &Module, wanted: &[&Binary]) -> Result<PathBuf, Error> {
        // All of them serve any subset.
        let all = self.root.join(set_name(module, &module.binaries.iter().collect::<Vec<_>>()));
        if holds(&all, wanted) {
            return Ok(all);
        }
        let name = set_name(module, wanted);
        let folder = self.root.join(&name);
        if holds(&folder, wanted) {
            return Ok(folder);
        }
        let _lock = self.lock(&name)?;
        if holds(&folder, wanted) {
            return Ok(folder);
        }
        // With the lock in hand, whatever is there is incomplete or the rest of a killed build.
        let work = self.root.join(format!("{name}.building"));
        for rest in [&folder, &work] {
            remove(rest)?;
        }
        fs::create_dir(&work).map_err(Error::io("creating", &work))?;
        let result = go::build(module, wanted, &work).and_then(|()| {
            fs::rename(work.join("bin"), &folder).map_err(Error::io("moving the built binaries to", &folder))
        });
        // On failure too: Go's own cache keeps what was compiled.
        let _ = fs::remove_dir_all(&work);
        result.map(|()| folder)
    }

    /// A folder of symlinks to these files, by these names.
    pub(crate) fn linked(&self, files: &[(&'static str, PathBuf)]) -> Result<PathBuf, Error> {
        let targets: Vec<_> = files.iter().map(|(_, path)| path.as_os_str().as_encoded_bytes()).collect();
        let name = format!("linked-{:016x}", fingerprint(&targets));
        let folder = self.root.join(&name);
        let complete =
            || files.iter().all(|(link, to)| fs::read_link(folder.join(link)).is_ok_and(|at| at == *to));
        if complete() {
            return Ok(folder);
        }
        let _lock = self.lock(&name)?;
        if complete() {
            return Ok(folder);
        }
        let work = self.root.join(format!("{name}.building"));
        for rest in [&folder, &work] {
            remove(rest)?;
        }
        fs::create_dir(&work).map_err(Error::io("creating", &work))?;
        for (link, to) in files {
            let link = work.join(link);
            std::os::unix::fs::symlink(to, &link).map_err(Error::io("linking", &link))?;
        }
        fs::rename(&work, &folder).map_err(Error::io("creating", &folder))?;
        Ok(folder)
    }

    /// Waits until no other process works on `name`; the lock goes with the returned file.
    fn lock(&self, name: &str) -> Result<File, Error> {
        let path = self.root.join(format!("{name}.lock"));
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io("opening", &path))?;
        let locked = match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                go::say("another process is building the same; waiting for it");
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
        };
        locked.map_err(Error::io("locking", &path))?;
        Ok(file)
    }
}

/// Whether `path` is a file that may be run.
pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn holds(folder: &Path, wanted: &[&Binary]) -> bool {
    wanted.iter().all(|binary| is_program(&folder.join(binary.name)))
}

fn set_name(module: &Module, wanted: &[&Binary]) -> String {
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    let pins = [module.go_mod, module.go_sum, module.ldflags, &platform];
    let pins: Vec<_> =
        pins.into_iter().chain(module.sources.iter().map(|source| source.1)).map(str::as_bytes).collect();
    let part = if wanted.len() == module.binaries.len() {
        String::new()
    } else {
        wanted.iter().map(|binary| format!("-{}", binary.name)).collect()
    };
    format!("{}{}-{:016x}{part}", module.prefix, module.version(), fingerprint(&pins))
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("removing", path)(error)),
        _ => Ok(()),
    }
}

/// FNV-1a, which is the same on every machine and in every release of Rust. It tells pins apart; it protects
/// nothing.
fn fingerprint(parts: &[&[u8]]) -> u64 {
    let separated = parts.iter().flat_map(|part| part.iter().chain(&[0]));
    separated
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::CONTROL_PLANE;

    #[test]
    fn the_key_tells_pins_apart() {
        assert_eq!(fingerprint(&[]), 0xcbf2_9ce4_8422_2325);
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        let part = set_name(&CONTROL_PLANE, &[&CONTROL_PLANE.binaries[3]]);
        assert!(part.ends_with("-kube-controller-manager"), "{part}");
    }

    #[test]
    fn links_are_made_once_and_made_good() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache { root: root.path().to_path_buf() };
        let files = [("a", PathBuf::from("/x/a")), ("b", PathBuf::from("/y/c"))];
        let folder = cache.linked(&files).unwrap();
        assert_eq!(fs::read_link(folder.join("b")).unwrap(), Path::new("/y/c"));
        fs::remove_file(folder.join("a")).unwrap();
        assert_eq!(cache.linked(&files).unwrap(), folder);
        assert_eq!(fs::read_link(folder.join("a")).unwrap(), Path::new("/x/a"));
    }
}
