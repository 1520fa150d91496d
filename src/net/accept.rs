//! The accept loop: a seat for each connection, an answer for those who get none.

use crate::net::failure;
use crate::net::limits::{
    ACCEPT_PAUSE_MS_MAX, ACCEPT_PAUSE_MS_MIN, KNOCK_MS_MAX, REFUSALS_MAX, SEAT_LOOK_MS,
    SEAT_LOOKS_MAX, WRITE_MS_MAX,
};
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::stream;
use crate::net::threads;
use crate::net::trace::Trace;
use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Scope;
use std::time::Duration;

/// Ends an accept loop when it is dropped, whether we return, fail or panic.
///
/// `accept` has no timeout. On Linux it ends when the socket is shut down, for which `std` has a
/// way with streams only; the descriptor is the same. Connecting to ourselves, which works
/// everywhere, would need another descriptor just when there may be none left.
#[derive(Debug)]
pub struct Gate {
    addr: SocketAddr,
    listener: TcpStream,
    open: Option<Stopper>,
}

impl Gate {
    /// A gate for `listener`, open, and what the accept loop sees of it.
    pub fn new(listener: &TcpListener) -> io::Result<(Gate, Stop)> {
        let (open, shut) = stop_pair();
        let addr = reachable(listener.local_addr()?);
        let listener = TcpStream::from(OwnedFd::from(listener.try_clone()?));
        let gate = Gate { addr, listener, open: Some(open) };
        Ok((gate, shut))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open = None;
        if self.listener.shutdown(Shutdown::Both).is_err() {
            // If nobody opens, the door is closed.
            let _ = TcpStream::connect_timeout(&self.addr, Duration::from_millis(KNOCK_MS_MAX));
        }
    }
}

/// One cannot connect to "any address" on every system; loopback always answers.
pub(crate) fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    addr
}

/// Listens at the first of `addrs` that is ours.
pub fn listen(addrs: &[SocketAddr]) -> io::Result<TcpListener> {
    first(addrs, |addr| TcpListener::bind(addr))
}

/// Binds to the first of `addrs` that is ours.
///
/// Not `bind` with all of them, which goes on to the next address after any error: of two servers
/// with one name for two addresses each would get one, and wait there for the other.
pub fn first<T>(
    addrs: &[SocketAddr],
    bind: impl Fn(&SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failure = ErrorKind::AddrNotAvailable.into();
    for addr in addrs {
        match bind(addr) {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => failure = error,
            bound => return bound.map_err(|error| failure::not_bound(error, addr)),
        }
    }
    Err(failure)
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
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Accepts until the gate is shut, and gives each socket to `admit`, each error to `failed`.
///
/// No error ends it: out of descriptors, or out of threads, it goes on after a pause. A connection
/// that was gone before it was accepted costs nobody else anything.
pub fn run(
    listener: &TcpListener,
    shut: &Stop,
    trace: &Trace,
    mut admit: impl FnMut(TcpStream, SocketAddr) -> io::Result<()>,
    mut failed: impl FnMut(io::Error),
) {
    let accept = || {
        let (socket, addr) = match listener.accept() {
            Err(error) if is_gone(&error) => return Ok(()),
            accepted => accepted?,
        };
        // What ends `accept` may be a connection of our own; and one that was reset meanwhile is
        // gone, which is no reason to let the others wait.
        if shut.is_asked() || stream::prepare(&socket).is_err() {
            return Ok(());
        }
        admit(socket, addr)
    };
    persist(shut, accept, |pause_ms, error| {
        trace.event(format_args!("ev=accept-failed pause_ms={pause_ms} error={error:?}"));
        failed(error);
    });
}

/// The connection failed before it was accepted (accept(2)), not we.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

/// Does it again and again until it is over. An error is a reason not to spin.
pub(super) fn persist(
    over: &Stop,
    mut attempt: impl FnMut() -> io::Result<()>,
    mut failed: impl FnMut(u64, io::Error),
) {
    let mut pause_ms = ACCEPT_PAUSE_MS_MIN;
    loop {
        let outcome = attempt();
        if over.is_asked() {
            return;
        }
        match outcome {
            Ok(()) => pause_ms = ACCEPT_PAUSE_MS_MIN,
            Err(error) => {
                failed(pause_ms, error);
                if over.wait(Duration::from_millis(pause_ms)) {
                    return;
                }
                pause_ms = (pause_ms * 2).min(ACCEPT_PAUSE_MS_MAX);
            }
        }
    }
}

/// Waits a little for a seat: who has just left may not have been noticed yet.
pub fn seat_soon(seats: &Seats, shut: &Stop) -> Option<Seat> {
    for _ in 0..SEAT_LOOKS_MAX {
        let seat = seats.take();
        if seat.is_some() || shut.wait(Duration::from_millis(SEAT_LOOK_MS)) {
            return seat;
        }
    }
    seats.take()
}

/// Tells those who get no seat why, without making the accept loop wait for them to hear it.
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
    stream::part(socket)
}
