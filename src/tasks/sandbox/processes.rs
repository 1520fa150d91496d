//! The processes of a script, as `/proc` shows them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use std::collections::HashSet;
use std::fs;

/// What some processes have.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sum {
    /// Processes and their threads.
    pub threads: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Bytes of files that have no name any more but are still open.
    pub nameless_bytes: u64,
}

/// All that descend from a process, without itself.
pub fn descendants(of: Pid) -> Vec<Pid> {
    let mut found = children(of);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let more = children(*pid);
        found.extend(more);
        next += 1;
    }
    found
}

fn children(of: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{of}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().flat_map(|thread| fs::read_to_string(thread.path().join("children")));
    lists.flat_map(|list| list.split_whitespace().map(pid).collect::<Vec<_>>()).flatten().collect()
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().map(Pid::from_raw)
}

/// Kills all that descend from a process.
///
/// First they are stopped, and what they started meanwhile is stopped, until there is nothing new:
/// who is stopped starts nobody, and still counts towards the limit of those who are not. Killed
/// one after the other, those that are left could start new ones faster than we find them.
pub fn kill_descendants(of: Pid) {
    let mut stopped = HashSet::new();
    loop {
        let found = descendants(of);
        let fresh: Vec<Pid> = found.into_iter().filter(|pid| stopped.insert(*pid)).collect();
        if fresh.is_empty() {
            break;
        }
        signal_all(fresh, Signal::SIGSTOP);
    }
    signal_all(stopped, Signal::SIGKILL);
}

/// Those that are gone already are no error.
fn signal_all(pids: impl IntoIterator<Item = Pid>, signal: Signal) {
    for pid in pids {
        let _ = kill(pid, signal);
    }
}

/// Processes and threads that run as a user.
pub fn threads_of(user: Uid) -> u64 {
    let Ok(all) = fs::read_dir("/proc") else { return 0 };
    let statuses =
        all.flatten().flat_map(|process| fs::read_to_string(process.path().join("status")));
    let ours = statuses.filter(|status| field(status, "Uid:") == u64::from(user.as_raw()));
    ours.map(|status| field(&status, "Threads:")).sum()
}

/// What they have together, each page of memory counted for each process that has it.
pub fn sum(pids: &[Pid]) -> Sum {
    let mut sum = Sum::default();
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        sum.threads += field(&status, "Threads:");
        sum.memory_bytes += field(&status, "VmRSS:") * 1024;
        sum.nameless_bytes += nameless_bytes(*pid);
    }
    sum
}

/// Their memory, each page counted once however many of them share it. Takes longer.
pub fn shared_memory_bytes(pids: &[Pid]) -> u64 {
    let rollup = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    pids.iter().flat_map(rollup).map(|text| field(&text, "Pss:") * 1024).sum()
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn nameless_bytes(pid: Pid) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let files = open.flatten().flat_map(|file| fs::metadata(file.path()));
    files.filter(|file| file.is_file() && file.nlink() == 0).map(|file| file.blocks() * 512).sum()
}
