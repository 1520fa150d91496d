//! A server's socket and threads around its state: a receiver, a sender, a ticker, and the
//! coordinator, which owns the table of clients. No rules.

use crate::chat::limits::{
    DATAGRAM_BYTES, DATAGRAM_BYTES_MAX, INBOX_EVENTS_MAX, OUTBOX_POSTS_MAX, PAGE_MS,
    POST_DATAGRAMS_MAX, RECEIVE_BYTES, TICK_MS,
};
use crate::chat::protocol;
use crate::chat::state::{Effect, Event, Setup, State};
use crate::net::accept;
use crate::net::clock::{Clock, Millis};
use crate::net::counters::{self, Counter};
use crate::net::datagrams::{self, Waker};
use crate::net::failure::Failure;
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::threads;
use crate::net::trace::Trace;
use crate::net::wait::{self, Inbox, Woken};
use crossbeam_channel::{Receiver, Sender, bounded};
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::{self, Scope};
use std::time::Duration;

/// What a server is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients send to; the first that is ours.
    pub listen: Vec<SocketAddr>,
    /// The rules' numbers.
    pub setup: Setup,
    /// What happens.
    pub trace: Trace,
    /// The time of all.
    pub clock: Clock,
}

/// A server that has its port.
#[derive(Debug)]
pub struct Server {
    config: Config,
    socket: UdpSocket,
    addr: SocketAddr,
}

/// Somebody who is shown how the server is, now and then.
pub trait Watch: Sync {
    /// Shows it, and what went wrong so far.
    fn show(&self, now: Millis, addr: SocketAddr, state: &State, trouble: &[(&str, u64)]);
}

impl Server {
    /// Takes the port.
    pub fn bind(config: Config) -> Result<Server, Failure> {
        let addrs: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        let what = || format!("cannot listen on {}", addrs.join(" or "));
        let socket = accept::first(&config.listen, |addr| UdpSocket::bind(addr));
        let socket = socket.map_err(Failure::from_io(what()))?;
        // A smaller one only means that more is lost when much comes at once.
        let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BYTES);
        let addr = socket.local_addr().map_err(Failure::from_io(what()))?;
        Ok(Server { config, socket, addr })
    }

    /// Where clients send to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What the system keeps for us until we receive it, in bytes of its own counting.
    pub fn receive_bytes(&self) -> usize {
        SockRef::from(&self.socket).recv_buffer_size().unwrap_or(0)
    }

    /// Serves until `stop`. Returns when every thread that it started has ended, and what went
    /// wrong meanwhile.
    pub fn serve(&self, stop: &Stop, watch: Option<&dyn Watch>) -> Result<String, Failure> {
        let served = thread::scope(|scope| Ok(Coordinator::start(scope, self, watch)?.run(stop)));
        served.map_err(Failure::from_io("cannot serve".to_owned()))
    }
}

/// What reaches the coordinator from other threads.
type Input = Event;

/// The same datagram to one, or to some of all.
struct Post {
    bytes: Arc<[u8; DATAGRAM_BYTES]>,
    to: To,
}

enum To {
    One(SocketAddr),
    /// At most [`POST_DATAGRAMS_MAX`] of them, from there on.
    Some(Arc<[SocketAddr]>, usize),
}

impl Post {
    fn addrs(&self) -> &[SocketAddr] {
        match &self.to {
            To::One(addr) => std::slice::from_ref(addr),
            To::Some(all, from) => &all[*from..all.len().min(from + POST_DATAGRAMS_MAX)],
        }
    }
}

/// The state and all that belongs to it. Dropped in the order of its fields, last the inbox, which
/// waits for the end of all who send to it.
struct Coordinator<'env> {
    _waker: Waker,
    /// The ticker ends when this is dropped.
    _over: Stopper,
    /// The sender sends what it has, and ends, when this is dropped.
    outbox: Sender<Post>,
    inbox: Inbox<Input>,
    state: State,
    /// Datagrams that found the outbox full.
    unsent: u64,
    is_ending: bool,
    server: &'env Server,
    watch: Option<&'env dyn Watch>,
    /// When to show how it is, if something has changed.
    show_at: Option<Millis>,
    shown_at: Millis,
}

impl<'env> Coordinator<'env> {
    fn start<'scope>(
        scope: &'scope Scope<'scope, 'env>,
        server: &'env Server,
        watch: Option<&'env dyn Watch>,
    ) -> io::Result<Coordinator<'env>> {
        let Server { config, socket, .. } = server;
        let (inbox_in, inbox) = bounded(INBOX_EVENTS_MAX);
        let (outbox, posts) = bounded(OUTBOX_POSTS_MAX);
        let (over, is_over) = stop_pair();
        let (waker, shut) = Waker::new(socket)?;
        let now = config.clock.now();
        let coordinator = Coordinator {
            _waker: waker,
            _over: over,
            outbox,
            inbox: Inbox::new(inbox),
            state: State::new(config.setup, now),
            unsent: 0,
            is_ending: false,
            server,
            watch,
            show_at: watch.map(|_| now),
            shown_at: now,
        };
        // From here on all senders are dropped before the inbox, also when a thread cannot start.
        let trace = &config.trace;
        threads::spawn(scope, "chat-send".to_owned(), move || send(socket, &posts, trace))?;
        let tick = Duration::from_millis(TICK_MS.min(config.setup.status_ms));
        let ticks_in = inbox_in.clone();
        threads::spawn(scope, "chat-tick".to_owned(), move || {
            while !is_over.wait(tick) && ticks_in.send(Event::Tick).is_ok() {}
        })?;
        threads::spawn(scope, "chat-receive".to_owned(), move || {
            // A longer one is cut, and so recognised.
            let mut bytes = [0; DATAGRAM_BYTES_MAX + 1];
            datagrams::receive(socket, &shut, trace, &mut bytes, |bytes, addr| {
                let heard = protocol::decode(bytes);
                // When nobody listens any more the server is stopping, and so is the loop.
                let _ = inbox_in.send(Event::Heard(addr, heard));
                Ok(())
            });
        })?;
        Ok(coordinator)
    }

    /// Serves until stop; then tells everybody.
    fn run(mut self, stop: &Stop) -> String {
        loop {
            let now = self.server.config.clock.now();
            match self.inbox.next(stop, self.show_at.map(|due| now.until(due))) {
                Woken::Item(event) => self.take(event),
                Woken::Due | Woken::Closed => {}
                Woken::Stop => {
                    self.is_ending = true;
                    self.take(Event::Stopped);
                    return counters::line(&self.report());
                }
            }
            // Also where there is always one more event.
            let now = self.server.config.clock.now();
            if self.show_at.is_some_and(|due| due <= now) {
                self.show(now);
            }
        }
    }

    fn take(&mut self, event: Event) {
        let config = &self.server.config;
        if config.trace.has_wire()
            && let Event::Heard(addr, heard) = &event
        {
            config.trace.wire(addr, '>', &format_args!("{heard:?}"));
        }
        let now = config.clock.now();
        for effect in self.state.handle(now, event) {
            match effect {
                Effect::Send(addr, message) => {
                    config.trace.wire(&addr, '<', &format_args!("{message:?}"));
                    self.post(Post { bytes: Arc::new(message.encode()), to: To::One(addr) });
                }
                Effect::SendAll(addrs, message) => {
                    let all = format_args!("all {}", addrs.len());
                    config.trace.wire(&all, '<', &format_args!("{message:?}"));
                    let bytes = Arc::new(message.encode());
                    for from in (0..addrs.len()).step_by(POST_DATAGRAMS_MAX) {
                        let to = To::Some(Arc::clone(&addrs), from);
                        self.post(Post { bytes: Arc::clone(&bytes), to });
                    }
                }
                Effect::Joined(id) => {
                    let clients = self.state.clients().len();
                    let max = config.setup.clients_max;
                    config.trace.event(format_args!("ev=join id={id} clients={clients}/{max}"));
                }
                Effect::Left(id, why) => {
                    config.trace.event(format_args!("ev=leave id={id} why={why:?}"));
                }
            }
        }
        if self.watch.is_some() && self.show_at.is_none() {
            self.show_at = Some(self.shown_at.plus(PAGE_MS));
        }
    }

    fn post(&mut self, post: Post) {
        let datagrams = post.addrs().len() as u64;
        // The last words wait for room: nobody is kept waiting any more.
        let is_queued = match self.is_ending {
            true => self.outbox.send(post).is_ok(),
            false => self.outbox.try_send(post).is_ok(),
        };
        self.unsent += if is_queued { 0 } else { datagrams };
    }

    fn show(&mut self, now: Millis) {
        (self.shown_at, self.show_at) = (now, None);
        if let Some(watch) = self.watch {
            watch.show(now, self.server.addr, &self.state, &self.report());
        }
    }

    /// What went wrong, if anything did.
    fn report(&self) -> Vec<Counter> {
        let mut report = self.state.counters().report();
        report.extend((self.unsent > 0).then_some(("unsent", self.unsent)));
        report
    }
}

/// Sends until there is no more to send and nobody who would give it more.
fn send(socket: &UdpSocket, posts: &Receiver<Post>, trace: &Trace) {
    let send = |bytes: &[u8], addr: SocketAddr| loop {
        match socket.send_to(bytes, addr) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return trace.event(format_args!("ev=not-sent addr={addr} error={error:?}"));
            }
            Ok(_) => return,
        }
    };
    while let Some(post) = wait::recv(posts) {
        post.addrs().iter().for_each(|addr| send(&*post.bytes, *addr));
    }
}
