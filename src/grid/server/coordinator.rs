//! The thread that owns the state: events in, effects out. It never waits but for its inbox.

use crate::grid::decode::Heard;
use crate::grid::limits::{BATCH_EVENTS_MAX, INBOX_EVENTS_MAX, LINKS_MAX};
use crate::grid::protocol::{Message, Terminator, Writer};
use crate::grid::server::input::{self, Input};
use crate::grid::server::partner::Partner;
use crate::grid::server::{Config, Outcome, Typed};
use crate::grid::state::{Command, Counters, Effect, Event, Exit, Side, State, Turn};
use crate::net::accept::{self, Gate};
use crate::net::asked::{Asked, Asker, ConnId};
use crate::net::pushed::{self, LinkId, Pushed};
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::threads;
use crate::net::wait::{Inbox, Woken};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;

/// The state and all that belongs to it.
///
/// Dropped in the order of its fields: first what keeps other threads alive, last the inbox, which
/// waits for their end.
pub(super) struct Coordinator<'scope, 'env> {
    /// The accept loops end when these are dropped.
    _clients_gate: Gate,
    peers_gate: Option<Gate>,
    askers: HashMap<ConnId, Asker<Message, Message>>,
    partners: BTreeMap<LinkId, Partner>,
    /// The thread that brings what is typed ends when this is dropped.
    _over: Stopper,
    inbox_in: Sender<Input>,
    inbox: Inbox<Input>,
    state: State,
    scope: &'scope Scope<'scope, 'env>,
    config: &'env Config,
    /// The peer port, if it was bound early and nobody has listened there yet.
    early: Option<&'env TcpListener>,
    /// The last link's name. The accept loop counts on, too.
    links: Arc<AtomicU64>,
    dialing: Option<LinkId>,
    /// The last link that its other side has closed.
    closed: Option<LinkId>,
    /// The link that is to be closed over there before we end.
    left: Option<LinkId>,
    /// Writes what was heard.
    shown: Writer,
    /// Those that were cut because they did not read.
    clients_slow: u64,
    links_slow: u64,
    ended: Option<Exit>,
}

impl<'scope, 'env> Coordinator<'scope, 'env> {
    /// Starts the threads that bring clients and what is typed.
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        config: &'env Config,
        (clients, early): (&'env TcpListener, Option<&'env TcpListener>),
        typed: &'env Receiver<Typed>,
        state: State,
    ) -> io::Result<Coordinator<'scope, 'env>> {
        let (inbox_in, inbox) = bounded(INBOX_EVENTS_MAX + config.clients_max);
        let (over, is_over) = stop_pair();
        let (gate, shut) = Gate::new(clients)?;
        let coordinator = Coordinator {
            _clients_gate: gate,
            peers_gate: None,
            askers: HashMap::new(),
            partners: BTreeMap::new(),
            _over: over,
            inbox_in,
            inbox: Inbox::new(inbox),
            state,
            scope,
            config,
            early,
            links: Arc::default(),
            dialing: None,
            closed: None,
            left: None,
            shown: Writer::default(),
            clients_slow: 0,
            links_slow: 0,
            ended: None,
        };
        // From here on all senders are dropped before the inbox, also when a thread cannot start.
        let typing_in = coordinator.inbox_in.clone();
        threads::spawn(scope, "grid-typed".to_owned(), move || {
            input::bring_typed(typed, &is_over, &typing_in);
        })?;
        let clients_in = coordinator.inbox_in.clone();
        threads::spawn(scope, "grid-accept".to_owned(), move || {
            input::accept_clients(scope, config, clients, &shut, &clients_in);
        })?;
        Ok(coordinator)
    }

    /// Serves until the state says that it is over.
    pub(super) fn run(mut self, stop: &Stop) -> Outcome {
        let mut stop = stop.clone();
        let mut batch = 0;
        self.handle(Event::Started);
        loop {
            if let Some(exit) = self.ended {
                self.flush();
                self.let_it_go_first();
                return Outcome { exit, counters: self.counters() };
            }
            let ready = if batch < BATCH_EVENTS_MAX { self.inbox.ready() } else { None };
            let input = match ready {
                Some(input) => input,
                None => {
                    self.flush();
                    batch = 0;
                    match self.wait(&stop) {
                        Woken::Item(input) => input,
                        Woken::Due | Woken::Closed => {
                            self.handle(Event::Tick);
                            continue;
                        }
                        Woken::Stop => {
                            stop = Stop::never();
                            Input::Typed(Ok(Command::Kill))
                        }
                    }
                }
            };
            batch += 1;
            self.take(input);
        }
    }

    fn counters(&self) -> Counters {
        let (clients_slow, links_slow) = (self.clients_slow, self.links_slow);
        Counters { clients_slow, links_slow, ..self.state.counters() }
    }

    fn wait(&self, stop: &Stop) -> Woken<Input> {
        let timeout = self.state.deadline().map(|due| self.config.clock.now().until(due));
        self.inbox.next(stop, timeout)
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Client(asked) => self.take_client(asked),
            Input::Peer(pushed) => self.take_peer(pushed),
            Input::GuestRefused(addr) => {
                let trace = &self.config.trace;
                trace.event(format_args!(
                    "ev=refuse addr={addr} why=link-limit open={LINKS_MAX}/{LINKS_MAX}"
                ));
                self.handle(Event::GuestRefused);
            }
            Input::NotDialed(error) => {
                self.config.trace.event(format_args!("ev=nobody error={error:?}"));
                self.dialing = None;
                self.handle(Event::DialFailed);
            }
            Input::Typed(Ok(command)) => self.handle(Event::Typed(command)),
            Input::Typed(Err(lines)) => self.config.screen.lines(lines),
        }
    }

    fn take_client(&mut self, asked: Asked<Message, Message>) {
        let (max, trace) = (self.config.clients_max, &self.config.trace);
        match asked {
            Asked::Turn(conn, turn) => {
                self.heard(&format_args!("c{}", conn.0), &turn.questions);
                self.handle(Event::ClientAsked(conn, turn));
            }
            Asked::Opened(conn, addr, asker) => {
                self.askers.insert(conn, asker);
                let open = self.askers.len();
                trace.event(format_args!("ev=open conn=c{} addr={addr} open={open}/{max}", conn.0));
                self.handle(Event::ClientOpened(conn, addr));
            }
            Asked::Left(conn) => self.handle(Event::ClientLeft(conn)),
            Asked::Closed(conn, failure) => {
                self.askers.remove(&conn);
                match failure {
                    Some(error) => {
                        // A write that took too long, or a machine that vanished.
                        self.clients_slow += u64::from(error.kind() == ErrorKind::TimedOut);
                        trace.event(format_args!("ev=close conn=c{} error={error:?}", conn.0));
                    }
                    None => trace.event(format_args!("ev=close conn=c{}", conn.0)),
                }
                self.handle(Event::ClientClosed(conn));
            }
            Asked::Refused(addr) => {
                trace
                    .event(format_args!("ev=refuse addr={addr} why=client-limit open={max}/{max}"));
                self.handle(Event::ClientRefused);
            }
            // The accept loop has traced it and goes on.
            Asked::NotAccepted(_) => {}
        }
    }

    fn take_peer(&mut self, pushed: Pushed<Heard>) {
        match pushed {
            Pushed::Opened(link, addr, outbox) => {
                self.partners.insert(link, Partner::new(outbox));
                let is_dialed = self.dialing.take_if(|dialing| *dialing == link).is_some();
                let side = if is_dialed { Side::Dialed } else { Side::Accepted };
                let trace = &self.config.trace;
                trace.event(format_args!("ev=open link=p{} addr={addr} side={side:?}", link.0));
                self.handle(Event::PeerOpened(link, side));
            }
            Pushed::Heard(link, heard, _place) => {
                self.heard(&format_args!("p{}", link.0), &heard.messages);
                self.handle(Event::PeerHeard(link, heard));
            }
            // We ask for no reports.
            Pushed::Written(..) => {}
            Pushed::Closed(link, failed) => {
                let why = pushed::why(failed);
                self.config.trace.event(format_args!("ev=close link=p{}{why}", link.0));
                // Who was let go may take its time.
                let is_slow = failed == Some(ErrorKind::TimedOut);
                self.links_slow += u64::from(is_slow && self.partners.contains_key(&link));
                self.closed = Some(link);
                self.handle(Event::PeerClosed(link));
                self.let_go(link);
            }
        }
    }

    /// Shows what was said to us.
    fn heard(&mut self, who: &fmt::Arguments<'_>, messages: &[Message]) {
        self.config.screen.write_lines(messages, |message, text| self.shown.write(message, text));
        if self.config.trace.has_wire() {
            for message in messages {
                self.config.trace.wire(who, '>', message);
            }
        }
    }

    /// One event, and what comes of it.
    fn handle(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for effect in self.state.handle(self.config.clock.now(), event) {
                next = self.apply(effect).or(next);
            }
        }
    }

    /// Some effects are events again.
    fn apply(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Answer(conn, turn) => self.answer(conn, turn),
            Effect::Tell(link, message, terminator) => self.tell(link, &message, terminator),
            Effect::Apart(link) => self.keep_apart(link),
            Effect::HangUp(conn) => {
                self.config.trace.event(format_args!("ev=cut conn=c{} why=not-joined", conn.0));
                self.askers.remove(&conn);
            }
            Effect::Part(link, _) if self.closed == Some(link) => self.let_go(link),
            Effect::Part(link, why) => {
                if let Some(mut partner) = self.partners.remove(&link) {
                    self.config.trace.event(format_args!("ev=part link=p{} why={why:?}", link.0));
                    partner.flush(true);
                }
            }
            Effect::Cut(link, why) => self.cut(link, &format_args!("{why:?}")),
            Effect::LetGoFirst(link) => self.left = Some(link),
            Effect::Trace(line) => self.config.trace.event(format_args!("{line}")),
            Effect::Warn(line) => self.config.trace.warn(format_args!("{line}")),
            Effect::Say(line) => self.config.screen.line(line),
            Effect::Dial => return self.dial().err().map(|_| Event::DialFailed),
            Effect::Listen => return Some(self.listen()),
            Effect::StopListening => self.peers_gate = None,
            Effect::End(exit) => self.ended = self.ended.or(Some(exit)),
        }
        None
    }

    fn answer(&self, conn: ConnId, turn: Turn) {
        if self.config.trace.has_wire() {
            for message in &turn.answers {
                self.config.trace.wire(&format_args!("c{}", conn.0), '<', message);
            }
        }
        if let Some(asker) = self.askers.get(&conn) {
            asker.answer(turn);
        }
    }

    fn tell(&mut self, link: LinkId, message: &Message, terminator: Terminator) {
        let Some(partner) = self.partners.get_mut(&link) else { return };
        self.config.trace.wire(&format_args!("p{}", link.0), '<', message);
        if !partner.say(message, terminator) {
            self.cut_slow(link);
        }
    }

    fn keep_apart(&mut self, link: LinkId) {
        let is_slow = self.partners.get_mut(&link).is_some_and(|partner| !partner.flush(false));
        if is_slow {
            self.cut_slow(link);
        }
    }

    /// Ends a link that the other side has closed: it may have closed its sending half only.
    ///
    /// If its process was killed, its system keeps the port in TIME-WAIT for a minute. Where that
    /// process had not asked for address reuse, as ours do, nobody can listen there meanwhile. A
    /// byte for nobody is answered with a reset, which frees the port; a program that still runs
    /// skips the byte.
    fn let_go(&mut self, link: LinkId) {
        if let Some(mut partner) = self.partners.remove(&link) {
            partner.say_nothing();
        }
    }

    /// Gives the other server a moment to hang up, if it is to be first. No client waits for that.
    fn let_it_go_first(&mut self) {
        self.askers.clear();
        if let Some(link) = self.left.filter(|link| self.partners.contains_key(link)) {
            input::await_close(&self.inbox, link);
        }
    }

    /// Ends a link whose outbox is full: the other side reads slower than we write.
    fn cut_slow(&mut self, link: LinkId) {
        self.links_slow += 1;
        self.cut(link, &format_args!("Slow"));
    }

    /// Ends a link at once, whatever is queued. Its `Closed` will follow.
    fn cut(&mut self, link: LinkId, why: &fmt::Arguments<'_>) {
        if let Some(partner) = self.partners.remove(&link) {
            self.config.trace.event(format_args!("ev=cut link=p{} why={why}", link.0));
            partner.cut();
        }
    }

    /// Sends what was said to other servers since the last time: when no event waits, or many were
    /// handled.
    fn flush(&mut self) {
        let slow =
            |(link, partner): (&LinkId, &mut Partner)| (!partner.flush(true)).then_some(*link);
        let slow: Vec<LinkId> = self.partners.iter_mut().filter_map(slow).collect();
        for link in slow {
            self.cut_slow(link);
        }
    }

    fn dial(&mut self) -> io::Result<()> {
        let link = LinkId(self.links.fetch_add(1, Ordering::SeqCst) + 1);
        let (scope, config, inbox) = (self.scope, self.config, self.inbox_in.clone());
        self.dialing = Some(link);
        threads::spawn(scope, "grid-dial".to_owned(), move || {
            input::dial(scope, config, inbox, link);
        })
    }

    fn listen(&mut self) -> Event {
        match self.try_listen() {
            Ok(gate) => {
                self.peers_gate = Some(gate);
                Event::Listening
            }
            Err(error) => {
                self.config.trace.event(format_args!("ev=listen-failed error={error:?}"));
                Event::ListenFailed(format!("{}: {error}", show(&self.config.peer)))
            }
        }
    }

    fn try_listen(&mut self) -> io::Result<Gate> {
        // Once: if the thread cannot start, its gate shuts this listener, too.
        let listener = match self.early.take() {
            Some(listener) => listener.try_clone()?,
            None => accept::listen(&self.config.peer)?,
        };
        let (gate, shut) = Gate::new(&listener)?;
        let (scope, config) = (self.scope, self.config);
        let (inbox, links) = (self.inbox_in.clone(), Arc::clone(&self.links));
        threads::spawn(scope, "peer-accept".to_owned(), move || {
            input::accept_peers(scope, config, &listener, &shut, &inbox, &links);
        })?;
        Ok(gate)
    }
}

/// `1.2.3.4:80 or [::1]:80`
pub(super) fn show(addrs: &[SocketAddr]) -> String {
    addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}
