//! Whether this machine lets a server hold as many connections as it was asked to.
//!
//! Asked at the start, because the answer comes badly later: without descriptors `accept` fails,
//! and past the limit of memory maps a thread that starts can abort the whole process.

use crate::net::limits::{DESCRIPTORS_RESERVE, MAPS_PER_THREAD, MAPS_RESERVE};
use std::fs;

/// `Err` names the first limit that is too low and how to raise it.
///
/// One connection costs one descriptor and so many threads. Where the limits cannot be read (not
/// Linux), nothing is refused.
pub fn check(connections: usize, threads_each: usize) -> Result<(), String> {
    let descriptors = fs::read_to_string("/proc/self/limits").ok().and_then(soft_descriptors);
    let maps = fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(number);
    compare((connections, threads_each), descriptors, maps)
}

/// [`check`] with the limits given.
pub fn compare(
    (connections, threads_each): (usize, usize),
    descriptors_max: Option<usize>,
    maps_max: Option<usize>,
) -> Result<(), String> {
    let descriptors = connections.saturating_add(DESCRIPTORS_RESERVE);
    if let Some(max) = descriptors_max.filter(|max| *max < descriptors) {
        return Err(format!(
            "they need {descriptors} file descriptors and the limit is {max}: \
             raise it with `ulimit -n {descriptors}`"
        ));
    }
    let threads = connections.saturating_mul(threads_each);
    let maps = threads.saturating_mul(MAPS_PER_THREAD).saturating_add(MAPS_RESERVE);
    if let Some(max) = maps_max.filter(|max| *max < maps) {
        return Err(format!(
            "they need {maps} memory maps, {MAPS_PER_THREAD} a thread, and the \
             limit is {max}: raise it with `sysctl -w vm.max_map_count={maps}`"
        ));
    }
    Ok(())
}

fn soft_descriptors(limits: String) -> Option<usize> {
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    match line.split_whitespace().nth(3)? {
        "unlimited" => None,
        soft => soft.parse().ok(),
    }
}

fn number(text: String) -> Option<usize> {
    text.trim().parse().ok()
}
