//! A server under load: a process of its own, so that its memory and time can be told apart.

use crate::net::failure::Failure;
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::threads;
use crossbeam_channel::select;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command, Stdio};
use std::thread::{Builder, JoinHandle};

/// A program that runs, killed when this is dropped or the measurement is interrupted: what waits
/// for its answers then fails, and so comes to its end.
#[derive(Debug)]
pub(super) struct Minded {
    pid: u32,
    over: Option<Stopper>,
    minder: Option<JoinHandle<()>>,
}

impl Minded {
    /// Starts it; with what it prints, if that is piped.
    pub(super) fn start(
        command: &mut Command,
        stop: &Stop,
    ) -> io::Result<(Minded, Option<ChildStdout>)> {
        let mut child = command.stdin(Stdio::null()).spawn()?;
        let (pid, pipe) = (child.id(), child.stdout.take());
        let ((over, is_over), stop) = (stop_pair(), stop.clone());
        let mind = move || {
            select! {
                recv(is_over.channel()) -> _ => {}
                recv(stop.channel()) -> _ => {}
            }
            // Each fails if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        };
        let minder = Builder::new().name("minder".to_owned()).spawn(mind)?;
        Ok((Minded { pid, over: Some(over), minder: Some(minder) }, pipe))
    }
}

impl Drop for Minded {
    fn drop(&mut self) {
        self.over = None;
        // A minder that panicked has nothing more to do.
        let _ = self.minder.take().map(JoinHandle::join);
    }
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Minded,
    pub(super) addr: SocketAddr,
    /// What it said after `listening on …`, as far as it was awaited.
    pub(super) said: Vec<String>,
}

/// Clock ticks a second in `/proc`; the same on every Linux that matters.
const TICKS_PER_S: f64 = 100.0;

impl Server {
    /// Starts this program with other arguments, and waits until a line contains `until`.
    /// Ended when it is time to `stop`.
    pub(super) fn start(stop: &Stop, args: &[&str], until: &str) -> Result<Server, Failure> {
        let what = || format!("cannot start `malha {}`", args.join(" "));
        let failure = |error: std::io::Error| Failure::from_io(what())(error);
        let program = std::env::current_exe().map_err(failure)?;
        let mut command = Command::new(program);
        command.args(args).stdout(Stdio::piped());
        let (child, pipe) = Minded::start(&mut command, stop).map_err(failure)?;
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
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.pid));
        let stat = stat.unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        // Fields 14 and 15 of proc(5), counted behind the name.
        (ticks(11) + ticks(12)) / TICKS_PER_S
    }

    /// Memory in use, in KiB.
    pub(super) fn resident_kib(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// Threads, the first one included; 0 once it has ended.
    pub(super) fn threads(&self) -> usize {
        self.status("Threads:") as usize
    }

    /// A number of proc(5), status.
    fn status(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.pid));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or("");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0.0)
    }
}
