//! All that reaches the coordinator, and the threads that bring it.

use crate::grid::decode::{Decoder, Heard};
use crate::grid::keywords::Port;
use crate::grid::limits::{
    CLOSE_MS_MAX, LINKS_MAX, OUTBOX_BYTES_MAX, OUTBOX_CLIENT_BYTES, OUTBOX_FRAMES_MAX,
};
use crate::grid::protocol::{Message, Refusal};
use crate::grid::server::{Config, Typed};
use crate::net::accept::{self, Seats};
use crate::net::asked::{self, Asked, Door};
use crate::net::dial;
use crate::net::pushed::{self, Desk, LinkId, Pushed};
use crate::net::stop::Stop;
use crate::net::wait::{Inbox, Woken};
use crossbeam_channel::{Receiver, Sender, select};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// All that reaches the coordinator from other threads.
pub(super) enum Input {
    Client(Asked<Message, Message>),
    Peer(Pushed<Heard>),
    /// Nobody more has room at the peer port.
    GuestRefused(SocketAddr),
    NotDialed(io::Error),
    Typed(Typed),
}

impl From<Asked<Message, Message>> for Input {
    fn from(asked: Asked<Message, Message>) -> Input {
        Input::Client(asked)
    }
}

impl From<Pushed<Heard>> for Input {
    fn from(pushed: Pushed<Heard>) -> Input {
        Input::Peer(pushed)
    }
}

/// Connects to the other server.
pub(super) fn dial<'scope>(
    scope: &'scope Scope<'scope, '_>,
    config: &Config,
    inbox: Sender<Input>,
    link: LinkId,
) {
    let dialed = dial::dial(&config.peer).and_then(|socket| {
        let addr = socket.peer_addr()?;
        pushed::open(scope, link, (socket, addr), desk(config, ()), inbox.clone())
    });
    if let Err(error) = dialed {
        // Nobody listens any more when this fails: the server is stopping.
        let _ = inbox.send(Input::NotDialed(error));
    }
}

fn desk<S>(config: &Config, seat: S) -> Desk<Decoder, S> {
    // One frame for each client's turn, and some for what the other server asks.
    let frames_max = OUTBOX_FRAMES_MAX + config.clients_max;
    let bytes_max = OUTBOX_BYTES_MAX + OUTBOX_CLIENT_BYTES * config.clients_max;
    let decoder = Decoder::new(Port::Peers);
    Desk { decoder, frames_max, bytes_max, yielders: Seats::new(1), seat }
}

pub(super) fn accept_clients<'scope>(
    scope: &'scope Scope<'scope, '_>,
    config: &Config,
    listener: &TcpListener,
    shut: &Stop,
    inbox: &Sender<Input>,
) {
    let door = Door {
        listener,
        shut,
        trace: &config.trace,
        seats_max: config.clients_max,
        refusal: Message::Error(Refusal::ClientLimit).to_string().into_bytes(),
    };
    asked::accept(scope, door, || Decoder::new(Port::Clients), inbox);
}

pub(super) fn accept_peers<'scope>(
    scope: &'scope Scope<'scope, '_>,
    config: &Config,
    listener: &TcpListener,
    shut: &Stop,
    inbox: &Sender<Input>,
    links: &AtomicU64,
) {
    let seats = Seats::new(LINKS_MAX);
    let admit = |socket, addr| match seats.take() {
        Some(seat) => {
            let link = LinkId(links.fetch_add(1, Ordering::SeqCst) + 1);
            pushed::open(scope, link, (socket, addr), desk(config, seat), inbox.clone())
        }
        // No third server: strangers who say nothing. Untold, a server tries again later.
        None => {
            // Nobody listens any more when this fails: the server is stopping.
            let _ = inbox.send(Input::GuestRefused(addr));
            Ok(())
        }
    };
    accept::run(listener, shut, &config.trace, admit, drop);
}

/// Waits until the other side of a link has closed it, at most [`CLOSE_MS_MAX`].
pub(super) fn await_close(inbox: &Inbox<Input>, link: LinkId) {
    let end = Instant::now() + Duration::from_millis(CLOSE_MS_MAX);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match inbox.next(&Stop::never(), Some(left)) {
            Woken::Item(Input::Peer(Pushed::Closed(closed, _))) if closed == link => return,
            Woken::Item(_) if !left.is_zero() => {}
            _ => return,
        }
    }
}

/// Brings what is typed to the coordinator, until it is over.
pub(super) fn bring_typed(typed: &Receiver<Typed>, over: &Stop, inbox: &Sender<Input>) {
    loop {
        select! {
            recv(over.channel()) -> _ => return,
            recv(typed) -> typed => match typed {
                Ok(typed) => if inbox.send(Input::Typed(typed)).is_err() { return },
                // The console has ended, the server has not.
                Err(_) => return,
            },
        }
    }
}
