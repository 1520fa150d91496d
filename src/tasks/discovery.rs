//! How a peer finds the master: it asks everybody, in a datagram, and the master says where it is.

use crate::net::accept;
use crate::net::datagrams::{self, Waker};
use crate::net::failure::Failure;
use crate::net::stop::Stop;
use crate::net::trace::Trace;
use crate::tasks::limits::{ANNOUNCE_MS, DATAGRAM_BYTES_MAX};
use serde_json::{Value, json};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Whether a datagram asks for the master.
pub fn is_question(bytes: &[u8]) -> bool {
    action(bytes).is_some_and(|(action, _)| action == "DISCOVER_MASTER")
}

/// Where a datagram says that the master is.
pub fn announced(bytes: &[u8]) -> Option<SocketAddr> {
    let (action, fields) = action(bytes)?;
    let ip: IpAddr = fields["master_ip"].as_str()?.trim().parse().ok()?;
    let port = u16::try_from(fields["master_port"].as_u64()?).ok()?;
    let is_one = action == "MASTER_ANNOUNCE" && port != 0 && !ip.is_unspecified();
    is_one.then_some(SocketAddr::new(ip, port))
}

fn action(bytes: &[u8]) -> Option<(String, Value)> {
    if bytes.len() > DATAGRAM_BYTES_MAX {
        return None;
    }
    let fields: Value = serde_json::from_slice(bytes.trim_ascii()).ok()?;
    Some((fields["action"].as_str()?.to_owned(), fields))
}

/// What a peer asks. Its own port is there because the spec has it; ours listens nowhere.
pub fn question(peer: &str, port: u16) -> Vec<u8> {
    json!({ "action": "DISCOVER_MASTER", "peer_id": peer, "port_tcp": port })
        .to_string()
        .into_bytes()
}

/// What a master answers.
pub fn announcement(addr: SocketAddr) -> Vec<u8> {
    let (ip, port) = (addr.ip().to_string(), addr.port());
    json!({ "action": "MASTER_ANNOUNCE", "master_ip": ip, "master_port": port })
        .to_string()
        .into_bytes()
}

/// The master's end.
#[derive(Debug)]
pub struct Announcer {
    socket: UdpSocket,
    /// Where peers connect.
    master: SocketAddr,
    addr: SocketAddr,
}

impl Announcer {
    /// Listens at `at` for those who look for the master at `master`.
    pub fn bind(at: SocketAddr, master: SocketAddr) -> Result<Announcer, Failure> {
        let what = || format!("cannot answer those who look for the master at {at}");
        let bind = || -> io::Result<Announcer> {
            let socket = UdpSocket::bind(at)?;
            let addr = socket.local_addr()?;
            Ok(Announcer { socket, master, addr })
        };
        bind().map_err(Failure::from_io(what()))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends [`Announcer::answer`].
    pub fn waker(&self) -> io::Result<(Waker, Stop)> {
        Waker::new(&self.socket)
    }

    /// Answers until `shut`.
    pub fn answer(&self, shut: &Stop, trace: &Trace) {
        // One byte more shows that it was too long.
        let mut bytes = [0; DATAGRAM_BYTES_MAX + 1];
        datagrams::receive(&self.socket, shut, trace, &mut bytes, |bytes, from| {
            let Some(addr) = is_question(bytes).then(|| self.reachable(from)).flatten() else {
                trace.event(format_args!("ev=not-announced addr={from}"));
                return Ok(());
            };
            trace.event(format_args!("ev=announce addr={from} master={addr}"));
            if let Err(error) = self.socket.send_to(&announcement(addr), from) {
                trace.event(format_args!("ev=not-announced addr={from} error={error:?}"));
            }
            Ok(())
        });
    }

    /// The master's address as the asker reaches it: of several that we have, the one that the
    /// system would use to talk to it.
    fn reachable(&self, asker: SocketAddr) -> Option<SocketAddr> {
        let ip = self.master.ip();
        if !ip.is_unspecified() {
            // Nobody elsewhere reaches a master on loopback.
            return (!ip.is_loopback() || asker.ip().is_loopback()).then_some(self.master);
        }
        let probe = UdpSocket::bind((any(asker.ip()), 0)).ok()?;
        probe.connect(asker).ok()?;
        Some(SocketAddr::new(probe.local_addr().ok()?.ip(), self.master.port()))
    }
}

fn any(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Asks at all of `targets`, and waits a while. The first answer that `is_trusted` counts.
pub fn look(
    targets: &[SocketAddr],
    peer: &str,
    stop: &Stop,
    is_trusted: impl Fn(SocketAddr) -> bool,
) -> io::Result<Option<SocketAddr>> {
    let first = targets.first().copied();
    let addrs = [SocketAddr::new(any(first.map_or(Ipv4Addr::LOCALHOST.into(), |a| a.ip())), 0)];
    let socket = accept::first(&addrs, |addr| UdpSocket::bind(addr))?;
    socket.set_broadcast(true)?;
    let question = question(peer, socket.local_addr()?.port());
    // One network that cannot be reached does not matter if another one can.
    let asked: Vec<io::Result<usize>> =
        targets.iter().map(|target| socket.send_to(&question, target)).collect();
    if asked.iter().all(Result::is_err) {
        asked.into_iter().collect::<io::Result<Vec<usize>>>()?;
    }
    let end = Instant::now() + Duration::from_millis(ANNOUNCE_MS);
    let mut bytes = [0; DATAGRAM_BYTES_MAX + 1];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stop.is_asked() {
            return Ok(None);
        }
        // Now and then it looks whether to stop.
        socket.set_read_timeout(Some(left.min(Duration::from_millis(100))))?;
        // An error is no answer: a port where nobody listens says so.
        if let Ok((size, _)) = socket.recv_from(&mut bytes)
            && let Some(addr) = announced(&bytes[..size]).filter(|addr| is_trusted(*addr))
        {
            return Ok(Some(addr));
        }
    }
}
