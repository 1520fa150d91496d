//! The process that becomes the script: it takes everything away from itself, then starts Python.

use super::guard::name_ourselves;
use super::order::Order;
use super::processes::threads_of;
use super::{calls, walls};
use crate::tasks::limits::{
    ADDRESS_BYTES_MAX, DESCRIPTORS_MAX, PROCESSES_WALL, USER_PROCESSES_WALL, WRITTEN_BYTES_MAX,
};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_dumpable, set_no_new_privs, set_pdeathsig};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Gid, Uid, setgid, setgroups, setsid, setuid};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Where programs are looked for by a script.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Becomes the script. Returns only if that fails, with the reason.
pub fn script(order: &Order) -> String {
    match prepare(order) {
        Ok(()) => {
            // We are in it; the order may name it from where the peer is.
            let folder = std::env::current_dir().unwrap_or_else(|_| order.folder.clone());
            let error = Command::new(&order.python)
                .args(&order.args)
                .env_clear()
                .env("PATH", PATH)
                .env("LANG", "C.UTF-8")
                // SQLite, sort and compilers put what is too large for memory into /tmp, which
                // they may not, unless they are told another place.
                .env("TMPDIR", folder)
                .stdin(Stdio::null())
                .exec();
            format!("cannot run {}: {error}", order.python.display())
        }
        Err(why) => why,
    }
}

fn prepare(order: &Order) -> Result<(), String> {
    // The guard waits for some signals by blocking them, and who follows it would block them too.
    let signals = SigSet::empty().thread_set_mask();
    signals.map_err(|error| format!("cannot let signals through: {error}"))?;
    // Its own session, and so its own process group: no Ctrl-C and no terminal reach it.
    setsid().map_err(|error| format!("cannot begin a session: {error}"))?;
    // While we may still enter every folder above it.
    std::env::set_current_dir(&order.folder)
        .map_err(|error| format!("cannot enter {}: {error}", order.folder.display()))?;
    // The program that follows holds no secret of ours, and who limits it may look at it.
    if let Some((user, group)) = order.user {
        become_user(user, group).map_err(|error| format!("cannot become user {user}: {error}"))?;
    }
    limit(order).map_err(|error| format!("cannot set limits: {error}"))?;
    set_no_new_privs().map_err(|error| format!("cannot give up privileges: {error}"))?;
    // After the change of user, which takes this back.
    set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("cannot follow the guard: {error}"))?;
    if order.is_confined {
        let strength = walls::raise(order)?;
        calls::refuse(strength)?;
    }
    Ok(())
}

fn become_user(user: Uid, group: Gid) -> nix::Result<()> {
    setgroups(&[group])?;
    setgid(group)?;
    setuid(user)?;
    // A change of user makes our own files in `/proc` root's.
    set_dumpable(true)
}

fn limit(order: &Order) -> io::Result<()> {
    // As root, the guard's namespace counts this user's processes of all slots together; in a user
    // namespace of its own, the kernel counts those of this script alone.
    let user = order.user.map_or_else(Uid::effective, |(user, _)| user);
    let group = order.user.map_or_else(Gid::effective, |(_, group)| group);
    let counts_alone = !order.as_if_old && unshare(CloneFlags::CLONE_NEWUSER).is_ok();
    if counts_alone {
        name_ourselves(user, group.as_raw())?;
    }
    let processes = match counts_alone {
        true => PROCESSES_WALL,
        false => threads_of(user) + USER_PROCESSES_WALL,
    };
    let cpu_s = order.timeout_ms.div_ceil(1000) + 1;
    for (what, most) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, cpu_s),
        (Resource::RLIMIT_AS, ADDRESS_BYTES_MAX),
        (Resource::RLIMIT_FSIZE, WRITTEN_BYTES_MAX),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS_MAX),
        (Resource::RLIMIT_NPROC, processes),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
    ] {
        // A limit that we have ourselves may be lower, and cannot be raised.
        let (_, ours) = nix::sys::resource::getrlimit(what)?;
        setrlimit(what, most.min(ours), most.min(ours))?;
    }
    Ok(())
}
