//! The broker's sockets and threads around its state. No rules.

use crate::charging::broker::state::{Counters, Effect, Event, Room, Setup, State, Why};
use crate::charging::limits::{
    BATCH_EVENTS_MAX, INBOX_EVENTS_MAX, OUTBOX_FRAMES_MAX, PENDING_BYTES_MAX, PROBE_AGAIN_MS,
    PROBE_MS,
};
use crate::charging::protocol::{Code, Decoder, Malformed, Packet, encode};
use crate::net::accept::{self, Gate, Refuser, Seats};
use crate::net::capacity;
use crate::net::clock::Clock;
use crate::net::counters;
use crate::net::failure::Failure;
use crate::net::limits::YIELDERS_MAX;
use crate::net::pushed::{self, Desk, Frame, Hear, LinkId, Outbox, Pushed};
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::threads;
use crate::net::trace::Trace;
use crate::net::users::{self, Job, Users, Verdict};
use crate::net::wait::{Inbox, Woken};
use crossbeam_channel::{Sender, bounded};
use socket2::{SockRef, TcpKeepalive};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, Scope};
use std::time::Duration;

/// What a broker is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients connect; the first that is ours.
    pub listen: Vec<SocketAddr>,
    /// Connections at a time.
    pub connections_max: usize,
    /// The longest packet, in bytes.
    pub packet_bytes_max: usize,
    /// Levels of a topic or filter.
    pub levels_max: usize,
    /// What each session may hold.
    pub room: Room,
    /// Who may come in; none: everybody.
    pub users: Option<Users>,
    /// Filters that nobody may subscribe to.
    pub denied: Vec<String>,
    /// What happens.
    pub trace: Trace,
    /// The time of all.
    pub clock: Clock,
}

/// A broker that has its port.
#[derive(Debug)]
pub struct Broker {
    config: Config,
    listener: TcpListener,
    addr: SocketAddr,
}

impl Broker {
    /// Takes the port.
    pub fn bind(config: Config) -> Result<Broker, Failure> {
        // Each has two threads, and a descriptor.
        capacity::check(config.connections_max, 2).map_err(|why| {
            let what = format!("cannot serve {} connections", config.connections_max);
            Failure { what, why }
        })?;
        let addrs: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        let what = || format!("cannot listen on {}", addrs.join(" or "));
        let listener = accept::listen(&config.listen).map_err(Failure::from_io(what()))?;
        let addr = listener.local_addr().map_err(Failure::from_io(what()))?;
        Ok(Broker { config, listener, addr })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`. Returns when every thread that it started has ended.
    pub fn serve(&self, stop: &Stop) -> Result<Counters, Failure> {
        let served = thread::scope(|scope| Ok(Coordinator::start(scope, self)?.run(stop)));
        let counters: Counters = served.map_err(Failure::from_io("cannot serve".to_owned()))?;
        let report = counters.report();
        if !report.is_empty() {
            self.config.trace.warn(format_args!("{}", counters::line(&report)));
        }
        Ok(counters)
    }
}

/// What one read brought.
type Heard = Vec<Result<Packet, Malformed>>;

impl Hear for Decoder {
    type Heard = Heard;

    fn heard(&self, messages: Heard) -> Heard {
        messages
    }
}

/// All that reaches the coordinator from other threads.
enum Input {
    Link(Pushed<Heard>),
    Checked(LinkId, Verdict),
    Refused(SocketAddr),
}

impl From<Pushed<Heard>> for Input {
    fn from(pushed: Pushed<Heard>) -> Input {
        Input::Link(pushed)
    }
}

/// The coordinator's side of a connection.
struct Line {
    outbox: Outbox,
    /// What is sent when no more events wait.
    pending: Vec<u8>,
    /// Marks in it, if there are any.
    marks: u32,
    /// It stands in [`Coordinator::ready`].
    is_ready: bool,
    /// What is pending is its last.
    has_ended: bool,
}

/// The state and all that belongs to it.
///
/// Dropped in the order of its fields: first what keeps other threads alive, last the inbox, which
/// waits for their end.
struct Coordinator<'env> {
    _gate: Gate,
    lines: HashMap<LinkId, Line>,
    /// Those that have something pending.
    ready: Vec<LinkId>,
    /// Those that were cut because they read nothing.
    unread: u64,
    checks: Option<Sender<Job<LinkId>>>,
    /// The thread that checks passwords rests no longer when this is dropped.
    _over: Stopper,
    inbox: Inbox<Input>,
    state: State,
    config: &'env Config,
}

impl<'env> Coordinator<'env> {
    fn start<'scope>(
        scope: &'scope Scope<'scope, 'env>,
        broker: &'env Broker,
    ) -> io::Result<Coordinator<'env>> {
        let Broker { config, listener, .. } = broker;
        let (inbox_in, inbox) = bounded(INBOX_EVENTS_MAX);
        let (over, is_over) = stop_pair();
        let (gate, shut) = Gate::new(listener)?;
        let mut coordinator = Coordinator {
            _gate: gate,
            lines: HashMap::new(),
            ready: Vec::new(),
            unread: 0,
            checks: None,
            _over: over,
            inbox: Inbox::new(inbox),
            state: State::new(Setup {
                room: config.room,
                has_users: config.users.is_some(),
                denied: config.denied.clone(),
            }),
            config,
        };
        // From here on all senders are dropped before the inbox, also when a thread cannot start.
        if let Some(users) = &config.users {
            // The state asks for one at a time.
            let (checks, jobs) = bounded(1);
            coordinator.checks = Some(checks);
            let inbox_in = inbox_in.clone();
            threads::spawn(scope, "passwords".to_owned(), move || {
                let tell = |link, verdict| inbox_in.send(Input::Checked(link, verdict)).is_ok();
                users::check_all(users, &jobs, &is_over, tell);
            })?;
        }
        threads::spawn(scope, "mqtt-accept".to_owned(), move || {
            accept_clients(scope, config, listener, &shut, &inbox_in);
        })?;
        Ok(coordinator)
    }

    fn run(mut self, stop: &Stop) -> Counters {
        loop {
            let now = self.config.clock.now();
            let timeout = self.state.deadline().map(|due| now.until(due));
            match self.inbox.next(stop, timeout) {
                Woken::Item(input) => self.take(input),
                Woken::Due | Woken::Closed => {}
                Woken::Stop => return Counters { unread: self.unread, ..self.state.counters() },
            }
            for _ in 1..BATCH_EVENTS_MAX {
                let Some(input) = self.inbox.ready() else { break };
                self.take(input);
            }
            // Also where there is always one more event.
            let now = self.config.clock.now();
            if self.state.deadline().is_some_and(|due| due <= now) {
                self.handle(Event::Tick);
            }
            self.flush();
        }
    }

    fn take(&mut self, input: Input) {
        let config = self.config;
        let trace = &config.trace;
        match input {
            Input::Link(Pushed::Heard(link, packets, _place)) => {
                if trace.has_wire() {
                    for packet in &packets {
                        trace.wire(&format_args!("p{}", link.0), '>', &format_args!("{packet:?}"));
                    }
                }
                self.handle(Event::Heard(link, packets));
            }
            Input::Link(Pushed::Written(link, marks)) => {
                // There may be room again for what is pending.
                self.make_ready(link);
                if marks > 0 {
                    self.handle(Event::Written(link, marks));
                }
            }
            Input::Link(Pushed::Opened(link, addr, outbox)) => {
                let (pending, marks) = (Vec::new(), 0);
                let line = Line { outbox, pending, marks, is_ready: false, has_ended: false };
                self.lines.insert(link, line);
                let open = format_args!("{}/{}", self.lines.len(), self.config.connections_max);
                trace.event(format_args!("ev=open link=p{} addr={addr} open={open}", link.0));
                self.handle(Event::Opened(link));
            }
            Input::Link(Pushed::Closed(link, failed)) => {
                self.lines.remove(&link);
                trace.event(format_args!("ev=close link=p{}{}", link.0, pushed::why(failed)));
                self.handle(Event::Closed(link));
            }
            Input::Checked(link, verdict) => {
                self.handle(Event::Checked(link, verdict == Verdict::Right));
            }
            Input::Refused(addr) => {
                let max = self.config.connections_max;
                trace.event(format_args!("ev=refuse addr={addr} open={max}/{max}"));
                self.handle(Event::Refused);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let config = self.config;
        let trace = &config.trace;
        for effect in self.state.handle(config.clock.now(), event) {
            match effect {
                Effect::Send(link, packet) => {
                    trace.wire(&format_args!("p{}", link.0), '<', &format_args!("{packet:?}"));
                    if let Some(line) = self.lines.get_mut(&link) {
                        encode(&packet, &mut line.pending);
                        self.make_ready(link);
                    }
                }
                Effect::Mark(link) => {
                    if let Some(line) = self.lines.get_mut(&link) {
                        line.marks += 1;
                        self.flush_line(link);
                    }
                }
                Effect::Cut(link, why) => {
                    if why != Why::Goodbye {
                        trace.event(format_args!("ev=cut link=p{} why={why:?}", link.0));
                    }
                    if let Some(line) = self.lines.get_mut(&link) {
                        line.has_ended = true;
                        self.flush_line(link);
                    }
                }
                Effect::Check(link, name, password) => {
                    // There is room: the one before it is checked.
                    let job = Job { who: link, name, password };
                    let _ = self.checks.as_ref().map(|checks| checks.try_send(job));
                }
                Effect::Joined(link, client) => {
                    trace.event(format_args!("ev=join link=p{} client={client:?}", link.0));
                }
                Effect::Lost(client, qos) => {
                    trace.event(format_args!("ev=lost client={client:?} qos={}", qos as u8));
                }
            }
        }
    }

    fn make_ready(&mut self, link: LinkId) {
        if let Some(line) = self.lines.get_mut(&link)
            && !line.is_ready
        {
            line.is_ready = true;
            self.ready.push(link);
        }
    }

    fn flush(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        for link in ready.drain(..) {
            if let Some(line) = self.lines.get_mut(&link) {
                line.is_ready = false;
            }
            self.flush_line(link);
        }
        // Not made anew each time.
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    /// Gives what is pending to the writer, as far as its outbox has room.
    fn flush_line(&mut self, link: LinkId) {
        let Some(line) = self.lines.get_mut(&link) else { return };
        line.flush();
        if line.pending.len() > PENDING_BYTES_MAX + self.config.packet_bytes_max {
            self.config.trace.event(format_args!("ev=cut link=p{} why=unread", link.0));
            line.outbox.cut();
            // What is pending is of no use to anybody.
            self.unread += 1;
            self.lines.remove(&link);
            return;
        }
        if line.has_ended && line.pending.is_empty() {
            // The writer still writes what it has, then hangs up.
            self.lines.remove(&link);
        }
    }
}

impl Line {
    fn flush(&mut self) {
        let room = self.outbox.room();
        // Whatever took the last place will be reported.
        if room == 0 || self.pending.is_empty() && self.marks == 0 {
            return;
        }
        let report = (self.marks > 0 || room == 1).then_some(self.marks);
        self.marks = 0;
        let bytes = std::mem::take(&mut self.pending);
        // There is room.
        let _ = self.outbox.send(Frame { bytes, joins: true, report });
    }
}

fn accept_clients<'scope>(
    scope: &'scope Scope<'scope, '_>,
    config: &'scope Config,
    listener: &TcpListener,
    shut: &Stop,
    inbox: &Sender<Input>,
) {
    let seats = Seats::new(config.connections_max);
    let yielders = Seats::new(YIELDERS_MAX);
    let mut refusal = Vec::new();
    encode(&Packet::ConnAck(false, Code::ServerUnavailable), &mut refusal);
    let refuser = Refuser::new(refusal);
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_millis(PROBE_MS))
        .with_interval(Duration::from_millis(PROBE_AGAIN_MS));
    let mut last = 0;
    let admit = |socket: TcpStream, addr| {
        let Some(seat) = accept::seat_soon(&seats, shut) else {
            // Nobody listens any more when this fails: the broker is stopping.
            let _ = inbox.send(Input::Refused(addr));
            return refuser.refuse(scope, socket);
        };
        SockRef::from(&socket).set_tcp_keepalive(&probes)?;
        last += 1;
        let decoder = Decoder::new(config.packet_bytes_max, config.levels_max);
        let yielders = yielders.clone();
        // What waits is bounded by its frames and by what is pending.
        let (frames_max, bytes_max) = (OUTBOX_FRAMES_MAX, usize::MAX);
        let desk = Desk { decoder, frames_max, bytes_max, yielders, seat };
        pushed::open(scope, LinkId(last), (socket, addr), desk, inbox.clone())
    };
    accept::run(listener, shut, &config.trace, admit, drop);
}
