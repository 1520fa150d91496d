//! A server's sockets and threads around its state. No rules.

mod coordinator;
mod input;
mod partner;

use crate::grid::sensors::Sensor;
use crate::grid::state::{Command, Counters, Exit, Setup, State};
use crate::net::accept;
use crate::net::capacity;
use crate::net::clock::Clock;
use crate::net::failure::Failure;
use crate::net::screen::Screen;
use crate::net::stop::Stop;
use crate::net::trace::Trace;
use coordinator::{Coordinator, show};
use crossbeam_channel::Receiver;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::thread;

/// What a server is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the other server is found, or waited for.
    pub peer: Vec<SocketAddr>,
    /// Where clients are waited for.
    pub clients: Vec<SocketAddr>,
    /// Clients at a time.
    pub clients_max: usize,
    /// The own network.
    pub sensors: Vec<Sensor>,
    /// How long a question to the other server may take, in ms.
    pub peer_ms_max: u64,
    /// What the program says.
    pub screen: Screen,
    /// What happens.
    pub trace: Trace,
    /// The time of the trace.
    pub clock: Clock,
}

/// A server that has its client port.
#[derive(Debug)]
pub struct Server {
    config: Config,
    clients: TcpListener,
    addr: SocketAddr,
    /// Bound early if the system was to choose the peer port.
    peers: Option<TcpListener>,
}

/// What is typed on a server's console: a command, or else what is shown in its turn.
pub type Typed = Result<Command, Vec<String>>;

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Why.
    pub exit: Exit,
    /// What went wrong meanwhile.
    pub counters: Counters,
}

impl Server {
    /// Takes the client port, and says so.
    pub fn bind(mut config: Config) -> Result<Server, Failure> {
        capacity::check(config.clients_max, 1).map_err(|why| {
            let what = format!("cannot serve {} clients", config.clients_max);
            Failure { what, why }
        })?;
        let clients = bind_clients(&config.clients)?;
        let what = || "cannot tell the own address".to_owned();
        let addr = clients.local_addr().map_err(Failure::from_io(what()))?;
        let mut peers = None;
        if config.peer.iter().all(|addr| addr.port() == 0) {
            let listener = accept::listen(&config.peer)
                .map_err(Failure::from_io(format!("cannot listen on {}", show(&config.peer))))?;
            config.peer = vec![listener.local_addr().map_err(Failure::from_io(what()))?];
            peers = Some(listener);
        }
        // Whoever connects from now on is served as soon as we serve.
        config.screen.line(format_args!("listening on {addr}"));
        if let (Some(_), Some(addr)) = (&peers, config.peer.first()) {
            config.screen.line(format_args!("listening for a peer on {addr}"));
        }
        Ok(Server { config, clients, addr, peers })
    }

    /// Where clients connect.
    pub fn client_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the other server connects.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.config.peer.first().copied()
    }

    /// Serves until `stop`, `kill` or a refusal by the other server. Returns when every thread
    /// that it started has ended.
    pub fn serve(self, stop: &Stop, typed: &Receiver<Typed>) -> Result<Outcome, Failure> {
        let Server { config, clients, peers, .. } = &self;
        let state = State::new(Setup {
            sensors: config.sensors.clone(),
            peer_ms_max: config.peer_ms_max,
            may_dial: peers.is_none(),
        });
        let listeners = (clients, peers.as_ref());
        let served = thread::scope(|scope| {
            Ok(Coordinator::new(scope, config, listeners, typed, state)?.run(stop))
        });
        let outcome: Outcome = served.map_err(Failure::from_io("cannot serve".to_owned()))?;
        let counters = outcome.counters.report();
        if !counters.is_empty() {
            config.trace.warn(format_args!("{counters}"));
        }
        Ok(outcome)
    }
}

/// Listens at the first of `addrs` that is ours. If none is (they belong to the machine of the
/// other server), at any address of this one: clients must be able to come in all the same.
fn bind_clients(addrs: &[SocketAddr]) -> Result<TcpListener, Failure> {
    let bound = accept::listen(addrs).or_else(|error| match addrs.first() {
        Some(addr) if error.kind() == ErrorKind::AddrNotAvailable => {
            let any = match addr {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            TcpListener::bind((any, addr.port()))
        }
        _ => Err(error),
    });
    bound.map_err(Failure::from_io(format!("cannot listen on {}", show(addrs))))
}
