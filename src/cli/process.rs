//! What other processes may learn of this one's memory, which holds keys of Atlas and of the services.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Keeps the memory of this process from other processes of the same user, from debuggers, and from core files. Only
/// who may trace any process (CAP_SYS_PTRACE, as root on the node has it) still reads it.
///
/// # Errors
/// Returns a text for a person: what the system refused and what to do.
pub(super) fn close_memory() -> Result<(), String> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|error| refused("a limit of 0 for core files", error))?;
    // The limit does not hold where the kernel hands core files to a program instead of writing them.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| refused("a process that is not dumpable", error))?;
    Ok(())
}

fn refused(what: &str, error: Errno) -> String {
    format!(
        "the keys in the memory of this process can't be kept from other processes: the system refuses {what} \
         ({error}); allow the system calls prctl and prlimit64, such as with the seccomp profile RuntimeDefault"
    )
}
