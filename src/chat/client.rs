//! The other side as a library: a session with a server over a socket.

use crate::chat::limits::{DATAGRAM_BYTES_MAX, INBOX_EVENTS_MAX, RECEIVE_BYTES};
use crate::chat::protocol::{self, Message};
use crate::chat::session::{Effect, Ending, Event, Identity, Line, Session};
use crate::net::accept;
use crate::net::clock::Clock;
use crate::net::datagrams::{self, Waker};
use crate::net::failure::Failure;
use crate::net::stop::Stop;
use crate::net::threads;
use crate::net::trace::Trace;
use crossbeam_channel::{Receiver, after, bounded, never, select_biased};
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread;

/// Who connects, and whereto.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server.
    pub server: SocketAddr,
    /// Who we are.
    pub identity: Identity,
    /// What happens.
    pub trace: Trace,
    /// The time of all.
    pub clock: Clock,
}

/// What is told of a session.
#[derive(Debug)]
pub enum Told {
    /// It has joined.
    Joined,
    /// A line of the conversation.
    Line(Line),
}

/// Runs a session: joins, does what is wanted, and leaves at once when stop is asked for, or behind
/// the last answer when nothing more will be wanted. What is wanted too early waits.
pub fn run(
    config: &Config,
    wanted: &Receiver<Event>,
    tell: &dyn Fn(Told),
    stop: &Stop,
) -> Result<Ending, Failure> {
    let what = format!("cannot talk to {}", config.server);
    talk(config, wanted, tell, stop).map_err(Failure::from_io(what))
}

fn talk(
    config: &Config,
    wanted: &Receiver<Event>,
    tell: &dyn Fn(Told),
    stop: &Stop,
) -> io::Result<Ending> {
    // Not connected to the server, because then we could not send to ourselves, which is how the
    // receiving loop ends. So we look ourselves whom a datagram is from.
    let socket = &UdpSocket::bind(any(&config.server))?;
    // Who sends to "any address" would be answered from another.
    let server = accept::reachable(config.server);
    // A smaller one only means that more is lost when much comes at once.
    let _ = SockRef::from(socket).set_recv_buffer_size(RECEIVE_BYTES);
    thread::scope(|scope| {
        let (heard_in, heard) = bounded(INBOX_EVENTS_MAX);
        let (_waker, shut) = Waker::new(socket)?;
        threads::spawn(scope, "chat-receive".to_owned(), move || {
            let mut bytes = [0; DATAGRAM_BYTES_MAX + 1];
            datagrams::receive(socket, &shut, &config.trace, &mut bytes, |bytes, addr| {
                if addr == server {
                    // When nobody listens any more it is over, and so is the loop.
                    let _ = heard_in.send(Event::Heard(protocol::decode(bytes)));
                }
                Ok(())
            });
        })?;
        let mut talk = Talk { config, socket, server, tell, ending: None };
        let mut session = Session::new(config.identity.clone());
        let mut event = Event::Started;
        loop {
            for effect in session.handle(config.clock.now(), event) {
                talk.apply(effect)?;
            }
            if let Some(ending) = talk.ending {
                return Ok(ending);
            }
            let wanted = if session.is_ready() { wanted } else { &never() };
            let timer = after(config.clock.now().until(session.deadline()));
            event = select_biased! {
                recv(stop.channel()) -> _ => Event::Leave,
                recv(heard) -> event => event.unwrap_or(Event::Tick),
                recv(wanted) -> event => event.unwrap_or(Event::Done),
                recv(timer) -> _ => Event::Tick,
            };
        }
    })
}

struct Talk<'a> {
    config: &'a Config,
    socket: &'a UdpSocket,
    server: SocketAddr,
    tell: &'a dyn Fn(Told),
    ending: Option<Ending>,
}

impl Talk<'_> {
    fn apply(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Send(message) => self.send(&message)?,
            Effect::Show(line) => (self.tell)(Told::Line(line)),
            Effect::Joined => (self.tell)(Told::Joined),
            Effect::End(ending) => self.ending = Some(ending),
        }
        Ok(())
    }

    fn send(&self, message: &Message) -> io::Result<()> {
        self.config.trace.wire(&"server", '<', &format_args!("{message:?}"));
        self.socket.send_to(&message.encode(), self.server).map(drop)
    }
}

/// An address of ours from which that one can be reached.
fn any(server: &SocketAddr) -> SocketAddr {
    let ip = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::from((ip, 0))
}
