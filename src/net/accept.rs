//! The accept loop: a seat for each connection, an answer for those who get none.

use crate::net::limits::{
    ACCEPT_PAUSE_MS_MAX, ACCEPT_PAUSE_MS_MIN, KNOCK_MS_MAX, READ_BYTES_MAX, REFUSALS_MAX,
    REFUSE_MS_MAX, WRITE_MS_MAX,
};
use crate::net::threads;
use crate::net::trace::Trace;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use crate::net::stop::Never;

/// Ends an accept loop when it is dropped, whether we return, fail or panic.
#[derive(Debug)]
pub struct Gate {
    addr: SocketAddr,
    open: Option<Sender<Never>>,
}

/// The accept loop's view of its [`Gate`].
#[derive(Debug, Clone)]
pub struct Opening(Receiver<Never>);

impl Gate {
    /// A gate for `listener`, open.
    pub fn new(listener: &TcpListener) -> io::Result<(Gate, Opening)> {
        let (open, opening) = bounded(1);
        let gate = Gate { addr: reachable(listener.local_addr()?), open: Some(open) };
        Ok((gate, Opening(opening)))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open = None;
        // `accept` has no timeout, so we knock on our own door. If nobody opens, it is closed.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_millis(KNOCK_MS_MAX));
    }
}

impl Opening {
    /// Waits at most `timeout`; true once the gate is shut.
    fn is_shut(&self, timeout: Duration) -> bool {
        matches!(self.0.recv_timeout(timeout), Err(RecvTimeoutError::Disconnected))
    }
}

/// One cannot connect to "any address" on every system; loopback always answers.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    addr
}

/// How many connections there are; a [`Seat`] gives its place back when it is dropped.
#[derive(Debug, Clone)]
pub struct Seats {
    taken: Arc<AtomicUsize>,
    max: usize,
}

/// A place taken.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Seats {
    /// Room for `max` connections.
    pub fn new(max: usize) -> Seats {
        Seats { taken: Arc::new(AtomicUsize::new(0)), max }
    }

    /// A seat, if one is free.
    pub fn take(&self) -> Option<Seat> {
        let one_more = |taken| (taken < self.max).then_some(taken + 1);
        let order = Ordering::SeqCst;
        let taken = self.taken.fetch_update(order, order, one_more).is_ok();
        taken.then(|| Seat(Arc::clone(&self.taken)))
    }

    /// `n/limit`, for the trace.
    pub fn status(&self) -> String {
        format!("{}/{}", self.taken.load(Ordering::SeqCst), self.max)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Accepts until the gate is shut, and gives each socket to `admit`.
///
/// No error ends it: out of descriptors, out of threads, or a connection that was gone before it
/// was accepted are no reason to stop accepting, but all are a reason not to spin.
pub fn run(
    listener: &TcpListener,
    opening: &Opening,
    trace: &Trace,
    mut admit: impl FnMut(TcpStream, SocketAddr) -> io::Result<()>,
) {
    let mut pause_ms = ACCEPT_PAUSE_MS_MIN;
    loop {
        let accepted = listener.accept();
        if opening.is_shut(Duration::ZERO) {
            return;
        }
        match accepted.and_then(|(socket, addr)| admit(socket, addr)) {
            Ok(()) => pause_ms = ACCEPT_PAUSE_MS_MIN,
            Err(error) => {
                trace.event(format_args!("ev=accept-failed pause_ms={pause_ms} error={error:?}"));
                if opening.is_shut(Duration::from_millis(pause_ms)) {
                    return;
                }
                pause_ms = (pause_ms * 2).min(ACCEPT_PAUSE_MS_MAX);
            }
        }
    }
}

/// Tells those who get no seat why, without making the accept loop wait for any of them.
#[derive(Debug)]
pub struct Refuser {
    reason: Vec<u8>,
    seats: Seats,
}

impl Refuser {
    /// Says `reason` to whoever is refused.
    pub fn new(reason: Vec<u8>) -> Refuser {
        Refuser { reason, seats: Seats::new(REFUSALS_MAX) }
    }

    /// Says why and hangs up, in a thread of its own.
    pub fn refuse<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        socket: TcpStream,
    ) -> io::Result<()> {
        // In a flood of them, the rest is closed untold.
        let Some(seat) = self.seats.take() else { return Ok(()) };
        let reason = self.reason.clone();
        threads::spawn(scope, "refuse".to_owned(), move || {
            let _seat = seat;
            // The connection is over either way.
            let _ = say_and_drain(&socket, &reason);
        })
    }
}

fn say_and_drain(mut socket: &TcpStream, reason: &[u8]) -> io::Result<()> {
    socket.set_write_timeout(Some(Duration::from_millis(WRITE_MS_MAX)))?;
    socket.write_all(reason)?;
    socket.shutdown(Shutdown::Write)?;
    let end = Instant::now() + Duration::from_millis(REFUSE_MS_MAX);
    let mut chunk = [0; READ_BYTES_MAX];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        socket.set_read_timeout(Some(left))?;
        if socket.read(&mut chunk)? == 0 {
            return Ok(());
        }
    }
}
