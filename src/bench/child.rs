//! A server under load: a process of its own, so that its memory and time can be told apart.

use crate::net::failure::Failure;
use crate::net::threads;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A running server, killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) addr: SocketAddr,
    /// What it said after `listening on …`, as far as it was awaited.
    pub(super) said: Vec<String>,
}

/// Clock ticks a second in `/proc`; the same on every Linux that matters.
const TICKS_PER_S: f64 = 100.0;

impl Server {
    /// Starts this program with other arguments, and waits until a line contains `until`.
    pub(super) fn start(args: &[&str], until: &str) -> Result<Server, Failure> {
        let what = || format!("cannot start `malha {}`", args.join(" "));
        let failure = |error: std::io::Error| Failure::from_io(what())(error);
        let program = std::env::current_exe().map_err(failure)?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failure)?;
        let pipe = child.stdout.take();
        let mut server = Server { child, addr: SocketAddr::from(([0; 4], 0)), said: Vec::new() };
        let ended = || Failure { what: what(), why: "it ended at once".to_owned() };
        let mut lines = BufReader::new(pipe.ok_or_else(ended)?);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).map_err(failure)? == 0 {
                return Err(ended());
            }
            let line = line.trim_end().to_owned();
            if let Some(addr) = line.strip_prefix("listening on ").and_then(|a| a.parse().ok()) {
                server.addr = addr;
            }
            let is_last = line.contains(until);
            server.said.push(line);
            if is_last {
                break;
            }
        }
        // What it prints under load is taken from it, as a terminal would.
        threads::detach("drain", move || drop(std::io::copy(&mut lines, &mut std::io::sink())))
            .map_err(failure)?;
        Ok(server)
    }

    /// Processor time so far, in seconds.
    pub(super) fn cpu_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        // Fields 14 and 15 of proc(5), counted behind the name.
        (ticks(11) + ticks(12)) / TICKS_PER_S
    }

    /// Memory in use, in KiB.
    pub(super) fn resident_kib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
