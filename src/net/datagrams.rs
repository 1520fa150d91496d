//! Receiving datagrams until the server stops.

use crate::net::accept;
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::trace::Trace;
use std::io;
use std::net::{SocketAddr, UdpSocket};

/// Ends a loop that receives datagrams when it is dropped.
///
/// `recv_from` has no end of its own: a datagram to ourselves is one.
#[derive(Debug)]
pub struct Waker {
    socket: UdpSocket,
    addr: SocketAddr,
    open: Option<Stopper>,
}

impl Waker {
    /// For the loop that receives at `socket`, and what that loop sees of it.
    pub fn new(socket: &UdpSocket) -> io::Result<(Waker, Stop)> {
        let (open, shut) = stop_pair();
        let addr = accept::reachable(socket.local_addr()?);
        let waker = Waker { socket: socket.try_clone()?, addr, open: Some(open) };
        Ok((waker, shut))
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.open = None;
        // Fails or is lost where so many wait to be received that nobody sleeps.
        let _ = self.socket.send_to(&[], self.addr);
    }
}

/// Gives each datagram to `take`, cut to what `bytes` holds. No error ends it but stop.
pub fn receive(
    socket: &UdpSocket,
    shut: &Stop,
    trace: &Trace,
    bytes: &mut [u8],
    mut take: impl FnMut(&[u8], SocketAddr) -> io::Result<()>,
) {
    let receive = || {
        let (size, addr) = socket.recv_from(bytes)?;
        if shut.is_asked() { Ok(()) } else { take(&bytes[..size], addr) }
    };
    accept::persist(shut, receive, |pause_ms, error| {
        trace.event(format_args!("ev=datagram-failed pause_ms={pause_ms} error={error:?}"));
    });
}
