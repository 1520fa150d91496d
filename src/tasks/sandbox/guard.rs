//! The process that starts a script, looks after it, and ends it with all that it has started.
//!
//! It stays outside of the script's walls and limits. It has one thread, since who has more cannot
//! make namespaces. Whatever ends it ends the script too.

use super::order::Order;
use super::processes::{descendants, kill_descendants, own_memory_bytes, sum};
use super::report::{Cut, Report};
use crate::tasks::limits::{
    DEPTH_MAX, ENTRIES_MAX, KILL_MS, KILL_MS_MAX, LOOK_MS, LOOK_MS_MAX, LOOK_SHARE,
    MEMORY_BYTES_MAX, PROCESSES_MAX, WRITTEN_BYTES_MAX,
};
use crate::tasks::tree::{self, Kind};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_child_subreaper, set_pdeathsig};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{FileStat, SFlag, fstat};
use nix::sys::wait::{WaitPidFlag, WaitStatus, wait, waitpid};
use nix::unistd::{Pid, Uid, getegid, geteuid};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs the order to its end, and says all about it. An error: it was not run.
pub fn guard(order: &Order, socket: &File) -> Result<(), String> {
    let said = |what: &'static str| move |error: Errno| format!("{what}: {error}");
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block().map_err(said("cannot wait for signals"))?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(&signals, flags).map_err(said("cannot wait for signals"))?;
    set_child_subreaper(true).map_err(said("cannot look after a script's children"))?;
    let is_inside = !order.as_if_old && make_namespace().is_ok();
    let role = if is_inside { "first" } else { "script" };
    let start = Instant::now();
    let child = spawn(role, order).map_err(|error| format!("cannot start a script: {error}"))?;
    let mut guard = Guard {
        order,
        socket,
        signals,
        child,
        is_inside,
        start,
        is_over: false,
        is_ending: false,
        unasked: HashSet::new(),
    };
    if let Some(cut) = guard.watch().map_err(said("cannot look after a script"))? {
        Report::Cut(cut).say(socket);
    }
    guard.end()?;
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(said("cannot ask what was used"))?;
    let (user, system) = (used.user_time(), used.system_time());
    let cpu_ms =
        (user.tv_sec() + system.tv_sec()) * 1000 + (user.tv_usec() + system.tv_usec()) / 1000;
    let ms = start.elapsed().as_millis() as u64;
    Report::Used(ms, cpu_ms as u64, used.max_rss() as u64).say(socket);
    Ok(())
}

/// The first process of a namespace. It is there because the kernel spares such a process the
/// signals that a script may send itself, and because it ends the namespace when it ends.
pub fn first(order: &Order, socket: &File) -> Result<(), String> {
    // If the guard dies, so do we, and with us the namespace.
    set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("cannot follow the guard: {error}"))?;
    let child =
        spawn("script", order).map_err(|error| format!("cannot start a script: {error}"))?;
    loop {
        match wait() {
            Ok(status) if status.pid() == Some(child) => {
                say_end(status, socket);
                return Ok(());
            }
            // An orphan that was handed to us.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(format!("cannot wait for a script: {error}")),
        }
    }
}

fn say_end(status: WaitStatus, socket: &File) {
    match status {
        WaitStatus::Exited(_, code) => Report::Code(code).say(socket),
        WaitStatus::Signaled(_, signal, _) => Report::Signal(signal as i32).say(socket),
        _ => {}
    }
}

/// Our own program in another role. It inherits standard output and error, which are the script's.
fn spawn(role: &str, order: &Order) -> io::Result<Pid> {
    let mut command = Command::new(&order.program);
    command.args(super::COMMAND).arg(role).args(order.to_args()).stdin(Stdio::inherit());
    Ok(Pid::from_raw(command.spawn()?.id() as i32))
}

/// From now on, our children live in a namespace of processes of their own: they see nobody else,
/// and when the first of them ends, the kernel ends all others before it lets us know.
fn make_namespace() -> io::Result<()> {
    if geteuid().is_root() {
        return Ok(unshare(CloneFlags::CLONE_NEWPID)?);
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)?;
    name_ourselves(user, group.as_raw())
}

/// In a new user namespace, the one user that it has is still called as before.
pub fn name_ourselves(user: Uid, group: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

struct Guard<'a> {
    order: &'a Order,
    socket: &'a File,
    signals: SignalFd,
    child: Pid,
    is_inside: bool,
    start: Instant,
    is_over: bool,
    is_ending: bool,
    /// Files that the last look found and whose sizes it could not ask.
    unasked: HashSet<u64>,
}

impl Guard<'_> {
    /// Waits until the script ends, or nobody waits for it any more, or it must be ended.
    fn watch(&mut self) -> nix::Result<Option<Cut>> {
        let deadline = self.start + Duration::from_millis(self.order.timeout_ms);
        let mut next_look = self.start + Duration::from_millis(LOOK_MS);
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Ok(Some(Cut::Time));
            }
            if now >= next_look {
                if let Some(cut) = self.look() {
                    return Ok(Some(cut));
                }
                let pause = (now.elapsed() * LOOK_SHARE)
                    .clamp(Duration::from_millis(LOOK_MS), Duration::from_millis(LOOK_MS_MAX));
                next_look = Instant::now() + pause;
            }
            let is_left_alone = self.sleep(deadline.min(next_look) - now)?;
            self.reap()?;
            if self.is_over || is_left_alone {
                return Ok(None);
            }
        }
    }

    /// Waits for a child's end or for `timeout`. True: nobody waits for the script any more.
    fn sleep(&self, timeout: Duration) -> nix::Result<bool> {
        let stdin = io::stdin();
        let mut waiting = [
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
        ];
        // Once we are at the end, nobody needs to tell us again.
        let waiting = if self.is_ending { &mut waiting[..1] } else { &mut waiting[..] };
        let timeout = timeout + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(waiting, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let is_left_alone = waiting.get(1).is_some_and(|stdin| stdin.any() == Some(true));
        while self.signals.read_signal()?.is_some() {}
        Ok(is_left_alone)
    }

    /// Takes note of children that have ended. False: there are none any more.
    fn reap(&mut self) -> nix::Result<bool> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return Ok(true),
                Ok(status) if status.pid() == Some(self.child) => {
                    self.is_over = true;
                    if !self.is_inside {
                        say_end(status, self.socket);
                    }
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// What the script has too much of.
    fn look(&mut self) -> Option<Cut> {
        let pids = descendants(Pid::this());
        let sum = sum(&pids, &self.order.folder, &mut self.unasked);
        if sum.threads > PROCESSES_MAX + u64::from(self.is_inside) {
            return Some(Cut::Processes);
        }
        let is_much = sum.own_bytes + sum.common_bytes > MEMORY_BYTES_MAX;
        if is_much && own_memory_bytes(&pids) + sum.common_bytes > MEMORY_BYTES_MAX {
            return Some(Cut::Memory);
        }
        look_at_files(self.order, sum.nameless_bytes + output_bytes())
    }

    /// Ends all that is left, by force, until nothing is left.
    fn end(&mut self) -> Result<(), String> {
        self.is_ending = true;
        let deadline = Instant::now() + Duration::from_millis(KILL_MS_MAX);
        let trouble = |error: Errno| format!("cannot end a script: {error}");
        loop {
            match self.is_inside {
                // The kernel ends the others. Once it is gone, its number may be another's.
                true if self.is_over => {}
                true => drop(kill(self.child, Signal::SIGKILL)),
                false => kill_descendants(Pid::this()),
            }
            if !self.reap().map_err(trouble)? {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("cannot end a script: some of its processes stay".to_owned());
            }
            self.sleep(Duration::from_millis(KILL_MS)).map_err(trouble)?;
        }
    }
}

/// What it has said: our standard output and error are also its own.
fn output_bytes() -> u64 {
    let (out, err) = (io::stdout(), io::stderr());
    let both = [fstat(out.as_fd()), fstat(err.as_fd())].into_iter().flatten();
    let is_file = |stat: &FileStat| stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
    both.filter(is_file).map(|stat| stat.st_size as u64).sum()
}

fn look_at_files(order: &Order, other_bytes: u64) -> Option<Cut> {
    // A script may have removed all that has a name.
    let mut cut = (other_bytes > WRITTEN_BYTES_MAX).then_some(Cut::Bytes);
    let (mut files, mut bytes) = (0, other_bytes);
    let walked = tree::walk(&order.folder, &mut |seen| {
        files += 1;
        if seen.kind() == Kind::File {
            bytes += seen.stat.st_size as u64;
        }
        if files > ENTRIES_MAX {
            cut = Some(Cut::Files);
        } else if bytes > WRITTEN_BYTES_MAX {
            cut = Some(Cut::Bytes);
        } else if seen.is_closed {
            cut = Some(Cut::Closed);
        } else if seen.path.components().count() >= DEPTH_MAX && seen.kind() == Kind::Folder {
            cut = Some(Cut::Depth);
        }
        Ok(if cut.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    match walked {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(Cut::Closed),
        // What cannot be looked at for another reason is not there any more.
        _ => cut,
    }
}
