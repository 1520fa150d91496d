//! A server's sockets and threads around its state. No rules.

mod datagrams;

use crate::command::calendar::Calendar;
use crate::command::limits::{INBOX_EVENTS_MAX, PORT_TRIES_MAX};
use crate::command::log::Log;
use crate::command::protocol::{Answer, Codec, Guarded, Request};
use crate::command::state::{Counters, Effect, Event, Setup, State, Turn};
use crate::net::accept::{self, Gate};
use crate::net::asked::{self, Asked, Asker, ConnId, Door};
use crate::net::capacity;
use crate::net::clock::Clock;
use crate::net::datagrams::Waker;
use crate::net::failure::Failure;
use crate::net::screen::Screen;
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::threads;
use crate::net::trace::Trace;
use crate::net::users::{self, Job, Users, Verdict};
use crate::net::wait::{Inbox, Woken};
use crossbeam_channel::{Sender, bounded};
use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::thread::{self, Scope};

/// What a server is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Where clients connect; the first that is ours.
    pub listen: Vec<SocketAddr>,
    /// The log file.
    pub log: PathBuf,
    /// Clients at a time.
    pub clients_max: usize,
    /// How long a client may ask nothing, in ms.
    pub idle_ms_max: u64,
    /// Whether datagrams are answered, too.
    pub has_udp: bool,
    /// Who may come in; none: everybody.
    pub users: Option<Users>,
    /// What the program says.
    pub screen: Screen,
    /// What happens.
    pub trace: Trace,
    /// The time of all.
    pub clock: Clock,
    /// The time that people read.
    pub calendar: Calendar,
}

/// A server that has its port.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listener: TcpListener,
    datagrams: Option<UdpSocket>,
    addr: SocketAddr,
}

impl Server {
    /// Takes the port.
    pub fn bind(config: Config) -> Result<Server, Failure> {
        capacity::check(config.clients_max, 1).map_err(|why| {
            let what = format!("cannot serve {} clients", config.clients_max);
            Failure { what, why }
        })?;
        let addrs: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        let what = format!("cannot listen on {}", addrs.join(" or "));
        let (listener, datagrams) = bind(&config).map_err(Failure::from_io(what))?;
        let what = "cannot tell the own address".to_owned();
        let addr = listener.local_addr().map_err(Failure::from_io(what))?;
        Ok(Server { config, listener, datagrams, addr })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`. Returns when every thread that it started has ended.
    pub fn serve(&self, stop: &Stop) -> Result<(), Failure> {
        let Config { screen, trace, calendar, log, .. } = &self.config;
        let cannot_serve = || Failure::from_io("cannot serve".to_owned());
        let mut log = Log::open(log, calendar, trace).map_err(cannot_serve())?;
        screen.line(format_args!("listening on {}", self.addr));
        let served =
            thread::scope(|scope| Ok(Coordinator::start(scope, self, &mut log)?.run(stop)));
        if !log.finish() {
            let path = self.config.log.display();
            trace.warn(format_args!("the log {path} takes nothing: its last lines are lost"));
        }
        let counters = served.map_err(cannot_serve())?.report();
        if !counters.is_empty() {
            trace.warn(format_args!("{counters}"));
        }
        Ok(())
    }
}

/// Both sockets, at the same port number.
fn bind(config: &Config) -> io::Result<(TcpListener, Option<UdpSocket>)> {
    let mut tries = 1;
    loop {
        let listener = accept::listen(&config.listen)?;
        if !config.has_udp {
            return Ok((listener, None));
        }
        match UdpSocket::bind(listener.local_addr()?) {
            Ok(datagrams) => return Ok((listener, Some(datagrams))),
            // The system has chosen a port that is free for TCP only.
            Err(_) if config.listen.iter().all(|a| a.port() == 0) && tries < PORT_TRIES_MAX => {
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// All that reaches the coordinator from other threads.
enum Input {
    Client(Asked<Request, Answer>),
    Datagram(SocketAddr, Request),
    Checked(ConnId, Verdict),
}

impl From<Asked<Request, Answer>> for Input {
    fn from(asked: Asked<Request, Answer>) -> Input {
        Input::Client(asked)
    }
}

/// The state and all that belongs to it.
///
/// Dropped in the order of its fields: first what keeps other threads alive, last the inbox, which
/// waits for their end.
struct Coordinator<'env> {
    _gate: Gate,
    _waker: Option<Waker>,
    askers: HashMap<ConnId, Asker<Request, Answer>>,
    /// Where the answer to the one datagram that is out belongs.
    replies: Option<Sender<Answer>>,
    checks: Option<Sender<Job<ConnId>>>,
    /// The thread that checks passwords rests no longer when this is dropped.
    _over: Stopper,
    inbox: Inbox<Input>,
    state: State,
    log: &'env mut Log,
    config: &'env Config,
    has_ended: bool,
}

impl<'env> Coordinator<'env> {
    fn start<'scope>(
        scope: &'scope Scope<'scope, 'env>,
        server: &'env Server,
        log: &'env mut Log,
    ) -> io::Result<Coordinator<'env>> {
        let Server { config, listener, datagrams, addr } = server;
        let (inbox_in, inbox) = bounded(INBOX_EVENTS_MAX + config.clients_max);
        let (over, is_over) = stop_pair();
        let (gate, shut) = Gate::new(listener)?;
        let setup = Setup {
            clients_max: config.clients_max,
            idle_ms_max: config.idle_ms_max,
            has_users: config.users.is_some(),
        };
        let mut coordinator = Coordinator {
            _gate: gate,
            _waker: None,
            askers: HashMap::new(),
            replies: None,
            checks: None,
            _over: over,
            inbox: Inbox::new(inbox),
            state: State::new(setup),
            log,
            config,
            has_ended: false,
        };
        // From here on all senders are dropped before the inbox, also when a thread cannot start.
        coordinator.handle(Event::Started(*addr));
        if let Some(users) = &config.users {
            // The state asks for one at a time.
            let (checks, jobs) = bounded(1);
            coordinator.checks = Some(checks);
            let inbox_in = inbox_in.clone();
            threads::spawn(scope, "passwords".to_owned(), move || {
                let tell = |conn, verdict| inbox_in.send(Input::Checked(conn, verdict)).is_ok();
                users::check_all(users, &jobs, &is_over, tell);
            })?;
        }
        if let Some(socket) = datagrams {
            let (waker, shut) = Waker::new(socket)?;
            let (replies, answers) = bounded(1);
            coordinator._waker = Some(waker);
            coordinator.replies = Some(replies);
            let inbox_in = inbox_in.clone();
            threads::spawn(scope, "datagrams".to_owned(), move || {
                datagrams::serve(socket, &shut, config, &inbox_in, &answers);
            })?;
        }
        threads::spawn(scope, "accept".to_owned(), move || {
            let refusal = Answer::Full.text().as_bytes().to_vec();
            let (seats_max, trace) = (config.clients_max, &config.trace);
            let door = Door { listener, shut: &shut, trace, seats_max, refusal };
            asked::accept(scope, door, || Codec::new(config.calendar.clone()), &inbox_in);
        })?;
        Ok(coordinator)
    }

    /// Serves until the state says that it is over.
    fn run(mut self, stop: &Stop) -> Counters {
        while !self.has_ended {
            let now = self.config.clock.now();
            let timeout = self.state.deadline().map(|due| now.until(due));
            match self.inbox.next(stop, timeout) {
                Woken::Item(input) => self.take(input),
                Woken::Due | Woken::Closed => {}
                Woken::Stop => self.handle(Event::Stopped),
            }
            // Also where there is always one more event.
            let now = self.config.clock.now();
            if !self.has_ended && self.state.deadline().is_some_and(|due| due <= now) {
                self.handle(Event::Tick);
            }
        }
        self.state.counters()
    }

    fn take(&mut self, input: Input) {
        let trace = &self.config.trace;
        let event = match input {
            Input::Client(Asked::Turn(conn, turn)) => {
                for request in &turn.questions {
                    self.trace_request(&format_args!("c{}", conn.0), request);
                }
                Event::Asked(conn, turn)
            }
            Input::Client(Asked::Opened(conn, addr, asker)) => {
                self.askers.insert(conn, asker);
                let status = format_args!("{}/{}", self.askers.len(), self.config.clients_max);
                trace.event(format_args!("ev=open conn=c{} addr={addr} open={status}", conn.0));
                Event::Opened(conn, addr)
            }
            Input::Client(Asked::Left(conn)) => Event::Left(conn),
            Input::Client(Asked::Closed(conn, failure)) => {
                self.askers.remove(&conn);
                trace.event(format_args!("ev=close conn=c{} error={failure:?}", conn.0));
                Event::Closed(conn, failure.map(|error| error.to_string()))
            }
            Input::Client(Asked::Refused(addr)) => {
                let max = self.config.clients_max;
                trace.event(format_args!("ev=refuse addr={addr} open={max}/{max}"));
                Event::Refused(addr)
            }
            Input::Client(Asked::NotAccepted(error)) => Event::Failed(format!("accept: {error}")),
            Input::Datagram(addr, request) => {
                self.trace_request(&format_args!("u{addr}"), &request);
                Event::Datagram(addr, request)
            }
            Input::Checked(conn, verdict) => Event::Checked(conn, verdict),
        };
        self.handle(event);
    }

    fn trace_request(&self, who: &dyn Display, request: &Request) {
        let trace = &self.config.trace;
        match self.config.users {
            Some(_) => trace.wire(who, '>', &Guarded(request)),
            None => trace.wire(who, '>', request),
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.config.clock.moment();
        let mut lines = Vec::new();
        for effect in self.state.handle(now, event) {
            match effect {
                Effect::Answer(conn, turn) => self.answer(conn, turn),
                Effect::Reply(answer) => {
                    // The slot is free: one datagram is out at a time.
                    let _ = self.replies.as_ref().map(|replies| replies.try_send(answer));
                }
                Effect::Check(conn, name, password) => {
                    // There is room: the one before it is checked.
                    let job = Job { who: conn, name, password: password.bytes().to_vec() };
                    let _ = self.checks.as_ref().map(|checks| checks.try_send(job));
                }
                Effect::HangUp(conn) => {
                    self.config.trace.event(format_args!("ev=cut conn=c{} why=idle", conn.0));
                    self.askers.remove(&conn);
                }
                Effect::Log(line) => lines.push(line),
                Effect::End => self.has_ended = true,
            }
        }
        if !lines.is_empty() {
            self.log.lines(now.wall, lines);
        }
    }

    fn answer(&self, conn: ConnId, turn: Turn) {
        for answer in &turn.answers {
            self.config.trace.wire(&format_args!("c{}", conn.0), '<', &answer.text());
        }
        if let Some(asker) = self.askers.get(&conn) {
            asker.answer(turn);
        }
    }
}
