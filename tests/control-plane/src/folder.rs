//! The folder that holds all state of one control plane, and the removal of folders whose owner was killed.
//!
//! A folder has an owner as long as a process holds the lock on its `lock` file; the process id in its name
//! is a second witness, for the moment before the lock is taken. Both must be gone before another process
//! removes it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};

use crate::Error;

const PREFIX: &str = "atlas-control-plane-";
const LOCK: &str = "lock";

/// A private folder, removed when this is dropped.
#[derive(Debug)]
pub(crate) struct StateFolder {
    path: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// A new folder in the system's temporary folder. Removes what killed processes left there.
    pub(crate) fn create() -> Result<StateFolder, Error> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        let path = parent.join(format!("{PREFIX}{}-{}", std::process::id(), &random_hex()?[..8]));
        DirBuilder::new().mode(0o700).create(&path).map_err(Error::io("creating", &path))?;
        let lock = path.join(LOCK);
        let take = || -> io::Result<File> {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lock)?;
            file.lock()?;
            Ok(file)
        };
        let _lock = take().map_err(Error::io("locking", &lock))?;
        Ok(StateFolder { path, _lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next start.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// 128 random bits in hexadecimal.
pub(crate) fn random_hex() -> Result<String, Error> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 16];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::io("reading", source))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Removes the folders whose process was killed. A folder that cannot be judged or removed (another user's)
/// stays.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        let Some(pid) = pid.and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw) else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_abandoned(&entry.path(), pid) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(folder: &Path, pid: Pid) -> bool {
    if test_kill_process(pid) != Err(rustix::io::Errno::SRCH) {
        return false;
    }
    match OpenOptions::new().write(true).open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        // No lock yet: the owner may live in another process namespace and be about to take it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::metadata(folder)
            .and_then(|meta| meta.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age > Duration::from_secs(60))),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folders_of_gone_processes_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let make = |name: String| {
            let path = parent.path().join(name);
            fs::create_dir(&path).unwrap();
            File::create(path.join(LOCK)).unwrap();
            path
        };
        let abandoned = make(format!("{PREFIX}{}-aa", gone.id()));
        let held = make(format!("{PREFIX}{}-bb", gone.id()));
        let lock = File::options().write(true).open(held.join(LOCK)).unwrap();
        lock.lock().unwrap();
        let alive = make(format!("{PREFIX}{}-cc", std::process::id()));
        let other = make("something-else".into());
        sweep(parent.path());
        assert!(!abandoned.exists());
        assert!(held.exists() && alive.exists() && other.exists());
    }

    #[test]
    fn a_folder_is_private_and_goes_with_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = StateFolder::create().unwrap();
        let path = folder.path().to_path_buf();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!path.exists());
    }
}
