//! The processes of a script, as `/proc` shows them.

use crate::tasks::limits::{SOCKET_BYTES, UNASKED_BYTES};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What some processes have together.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sum {
    /// Processes and their threads.
    pub threads: u64,
    /// Memory of their own, in bytes, each page counted for each process that has it.
    pub own_bytes: u64,
    /// Memory that is nobody's own: what they share as such, and what waits in sockets.
    pub common_bytes: u64,
    /// Bytes of files that have no name any more but are still open or mapped.
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

/// What they have together. `folder` is where they have their files. `unasked` is what the last
/// look found there of unknown size, and what this one finds: each counts once it was found twice,
/// since between its two parts a look may miss that something is open.
pub fn sum(pids: &[Pid], folder: &Path, unasked: &mut HashSet<u64>) -> Sum {
    let mut sum = Sum::default();
    let mut held = Held::default();
    for thread in pids.iter().flat_map(|pid| threads(*pid)) {
        sum.threads += 1;
        // Threads may have files of their own, and outlive the first.
        held.look_at_open(thread);
    }
    // Only now, since what is open as well is counted already.
    for (thread, status) in pids.iter().flat_map(|pid| with_memory(*pid)) {
        let shared = field(&status, "RssShmem:");
        sum.own_bytes += field(&status, "VmRSS:").saturating_sub(shared) * 1024;
        held.look_at_mapped(thread, folder);
    }
    let again = held.unasked.intersection(unasked).count() as u64;
    *unasked = held.unasked;
    let memory: u64 = held.memory.values().sum();
    sum.common_bytes = memory + held.sockets.len() as u64 * SOCKET_BYTES;
    sum.nameless_bytes = held.files.values().sum::<u64>() + again * UNASKED_BYTES;
    sum
}

fn threads(pid: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads.flatten().filter_map(|thread| self::pid(thread.file_name().to_str()?)).collect()
}

/// A thread that shows the memory of its process, and its status. The first has none once it has
/// ended, and the others may go on.
fn with_memory(pid: Pid) -> Option<(Pid, String)> {
    threads(pid).into_iter().find_map(|thread| {
        let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
        status.contains("VmRSS:").then_some((thread, status))
    })
}

/// Their own memory, each page counted once however many of them have it. Takes longer.
pub fn own_memory_bytes(pids: &[Pid]) -> u64 {
    let threads = pids.iter().flat_map(|pid| with_memory(*pid));
    let rollup = |(thread, _)| fs::read_to_string(format!("/proc/{thread}/smaps_rollup"));
    let own = |text: String| field(&text, "Pss:").saturating_sub(field(&text, "Pss_Shmem:"));
    threads.flat_map(rollup).map(own).sum::<u64>() * 1024
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What nobody finds by a name: each by its number, once, and its bytes.
#[derive(Debug, Default)]
struct Held {
    files: HashMap<u64, u64>,
    /// Files whose sizes cannot be asked.
    unasked: HashSet<u64>,
    memory: HashMap<u64, u64>,
    sockets: HashSet<u64>,
}

impl Held {
    fn look_at_open(&mut self, thread: Pid) {
        let Ok(open) = fs::read_dir(format!("/proc/{thread}/fd")) else { return };
        for file in open.flatten().flat_map(|file| fs::metadata(file.path())) {
            if file.is_file() && file.nlink() == 0 {
                self.files.insert(file.ino(), file.blocks() * 512);
            } else if file.file_type().is_socket() {
                self.sockets.insert(file.ino());
            }
        }
    }

    fn look_at_mapped(&mut self, thread: Pid, folder: &Path) {
        let maps = fs::read_to_string(format!("/proc/{thread}/maps")).unwrap_or_default();
        for Mapped { inode, path, addresses, end } in maps.lines().filter_map(Mapped::of) {
            let is_memory = MEMORY.iter().any(|name| path.starts_with(name));
            let is_file = !self.files.contains_key(&inode) && Path::new(path).starts_with(folder);
            // Only root may ask how large it really is.
            let file = fs::metadata(format!("/proc/{thread}/map_files/{addresses}"));
            let bytes = file.map(|file| if file.nlink() == 0 { file.blocks() * 512 } else { 0 });
            if is_memory {
                let bytes = bytes.unwrap_or(end);
                let known = self.memory.entry(inode).or_default();
                *known = bytes.max(*known);
            } else if is_file {
                match bytes {
                    Ok(bytes) => drop(self.files.insert(inode, bytes)),
                    Err(_) => drop(self.unasked.insert(inode)),
                }
            }
        }
    }
}

/// How the kernel calls memory that several processes may share.
const MEMORY: [&str; 3] = ["/dev/zero", "/memfd:", "/SYSV"];

/// A line of `/proc/PID/maps` about something that has no name any more.
struct Mapped<'a> {
    addresses: String,
    /// How far into it this mapping goes.
    end: u64,
    inode: u64,
    path: &'a str,
}

impl Mapped<'_> {
    fn of(line: &str) -> Option<Mapped<'_>> {
        let path = line.strip_suffix(" (deleted)")?;
        let mut parts = path.splitn(6, ' ');
        let (first, last) = parts.next()?.split_once('-')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let (first, last) = (hex(first)?, hex(last)?);
        let end = hex(parts.nth(1)?)? + (last - first);
        let inode = parts.nth(1)?.parse().ok()?;
        let path = parts.next()?.trim_start();
        Some(Mapped { addresses: format!("{first:x}-{last:x}"), end, inode, path })
    }
}
