//! The command line of a peer.

use super::{NEEDS_TRUST, Trust, refuse};
use crate::cli::{Common, DONE, Endpoint, INTERRUPTED, Running, Seconds, number, seconds};
use crate::net::failure::Failure;
use crate::net::screen::visible;
use crate::tasks::client::{self, Search};
use crate::tasks::limits::{
    DISCOVERY_PORT, SLOTS_MAX, TASK_MS_LIMIT, TASK_MS_MAX, UNDELIVERED_NAMED_MAX,
};
use crate::tasks::protocol::Name;
use crate::tasks::token;
use crate::tasks::work::{Confinement, Workshop};
use clap::Parser;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;

/// Where a system keeps its Python.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

const SLOTS: u64 = SLOTS_MAX as u64;

/// Finds the master, runs its tasks, and sends it the results
///
/// The first Ctrl-C lets it finish what runs; the second gives that back.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    malha tasks peer\n  \
    malha tasks peer --master 127.0.0.1:50020 --slots 1\n  \
    malha tasks peer --broadcast 10.0.0.255 --token-file secret.txt\n\n\
    Exit status: 0 done, 1 failed, 2 usage, 130 second Ctrl-C.")]
pub(in crate::cli) struct PeerArgs {
    /// Address of the master; without it, the peer asks for it
    #[arg(long, value_name = "ADDR:PORT")]
    master: Option<Endpoint>,
    /// Address at which the peer asks for the master
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = broadcast, conflicts_with = "master")]
    broadcast: Option<Endpoint>,
    /// Folder in which tasks run
    #[arg(long, value_name = "DIR", default_value = "work")]
    work: PathBuf,
    /// Tasks at a time [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = number::<u64, 1, SLOTS>)]
    slots: Option<u64>,
    /// The Python program [default: python3, or the system's own if scripts cannot run that]
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// Seconds that a task may run
    #[arg(long, value_name = "SECONDS", value_parser = seconds::<1, TASK_MS_LIMIT>)]
    #[arg(default_value_t = Seconds(TASK_MS_MAX))]
    task_timeout: Seconds,
    /// Runs scripts without walls around them: they may do all that you may
    #[arg(long)]
    no_sandbox: bool,
    /// As whom scripts run if you are root
    #[arg(long, value_name = "NAME", default_value = "nobody")]
    user: String,
    /// Leaves the folder of each task behind
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    common: Common,
}

impl PeerArgs {
    pub(super) fn run(self) -> Result<u8, Failure> {
        let search = self.search()?;
        let token = self.trust.token()?;
        let (running, stop_now) = Running::start_patient(self.common.trace)?;
        let workshop = self.workshop(&running)?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let config = client::Config {
            id: token::uuid()?,
            search,
            workshop,
            folder: self.work,
            slots: self.slots.map_or(cores, |slots| slots as usize),
            message_bytes_max: self.trust.message_bytes_max(),
            token,
            trusts_network: self.trust.trust_network,
            screen: running.screen.clone(),
            trace: running.trace.clone(),
            clock: running.clock,
        };
        running.screen.line(format_args!("peer {}, {} slots", config.id, config.slots));
        let report = client::run(&config, &running.stop, &stop_now)?;
        if !report.undelivered.is_empty() {
            running.screen.finish();
            return Err(undelivered(&report.undelivered));
        }
        let code = if stop_now.is_asked() { INTERRUPTED as u8 } else { DONE };
        running.shown(code)
    }

    fn workshop(&self, running: &Running) -> Result<Workshop, Failure> {
        let mut workshop = Workshop::new(self.work.clone(), running.trace.clone());
        workshop.user.clone_from(&self.user);
        workshop.timeout_ms = self.task_timeout.0;
        workshop.keep = self.keep;
        if self.no_sandbox {
            workshop.confinement = Confinement::None;
        }
        if let Some(python) = &self.python {
            workshop.python.clone_from(python);
            return workshop.prepare();
        }
        // Root's own Python often lies where the user of the scripts may not go.
        let mut system = workshop.clone();
        system.python = SYSTEM_PYTHON.into();
        workshop.prepare().or_else(|failure| system.prepare().map_err(|_| failure))
    }

    fn search(&self) -> Result<Search, Failure> {
        let (endpoint, search): (_, fn(Vec<SocketAddr>) -> Search) = match &self.master {
            Some(master) => (Some(master), Search::At),
            None => (self.broadcast.as_ref(), Search::Ask),
        };
        let mut addrs = endpoint.map(Endpoint::resolve).transpose()?.unwrap_or_default();
        if let Some(addr) = addrs.iter().find(|addr| !self.trust.allows(addr.ip())) {
            refuse::<PeerArgs>(format!("{addr} {NEEDS_TRUST}"));
        }
        if addrs.iter().any(|addr| addr.port() == 0) {
            refuse::<PeerArgs>("the port to connect to is 0".to_owned());
        }
        if addrs.is_empty() {
            addrs.push(SocketAddr::from((Ipv4Addr::LOCALHOST, DISCOVERY_PORT)));
            let everybody = IpAddr::V4(Ipv4Addr::BROADCAST);
            if self.trust.allows(everybody) {
                addrs.push(SocketAddr::new(everybody, DISCOVERY_PORT));
            }
        }
        Ok(search(addrs))
    }
}

fn undelivered(tasks: &[Name]) -> Failure {
    let named: Vec<&str> = tasks.iter().take(UNDELIVERED_NAMED_MAX).map(Name::text).collect();
    let more = match tasks.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = format!("cannot deliver {}{more}", visible(&named.join(", ")));
    let why = match tasks {
        [_] => "no master takes it; its task is given out again",
        _ => "no master takes them; their tasks are given out again",
    };
    Failure { what, why: why.to_owned() }
}

fn broadcast(text: &str) -> Result<Endpoint, String> {
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let text = if has_port { text.to_owned() } else { format!("{text}:{DISCOVERY_PORT}") };
    text.parse()
}
