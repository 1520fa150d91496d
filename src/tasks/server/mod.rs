//! A master's sockets and threads around its state. No rules.

mod codec;
mod folder;

pub use codec::{Way, fill};

use crate::net::accept::{self, Gate};
use crate::net::asked::{self, Asked, Asker, ConnId, Door};
use crate::net::capacity;
use crate::net::clock::{Clock, Millis};
use crate::net::datagrams::Waker;
use crate::net::failure::Failure;
use crate::net::screen::visible;
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::threads;
use crate::net::trace::Trace;
use crate::net::wait::{Inbox, Woken};
use crate::tasks::discovery::Announcer;
use crate::tasks::limits::{
    BACKLOG_MS, CONNECTIONS_PER_PEER, IDLE_MORE_MS, INBOX_EVENTS_MAX, JOBS_MAX, SHOW_MS,
    TASK_STACK_BYTES,
};
use crate::tasks::protocol::{Answer, LeaseId, Question};
use crate::tasks::state::{Effect, Event, Setup, State, Turn};
use crate::tasks::store::{Job, Store};
use crate::tasks::token;
use codec::{Codec, Desk};
use crossbeam_channel::{Sender, bounded};
use folder::Folder;
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, Scope};

/// What a master is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Where peers connect; the first that is ours.
    pub listen: Vec<SocketAddr>,
    /// The folder of tasks.
    pub tasks: PathBuf,
    /// The folder of results.
    pub results: PathBuf,
    /// A message, in bytes.
    pub message_bytes_max: u64,
    /// The rules' numbers.
    pub setup: Setup,
    /// What happens.
    pub trace: Trace,
    /// The time of all.
    pub clock: Clock,
}

/// A master that has its ports and folders.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listener: TcpListener,
    store: Store,
    addr: SocketAddr,
}

/// Somebody who is shown how the master is, now and then.
pub trait Watch: Sync {
    /// Shows it. Never waits for anybody.
    fn show(&self, now: Millis, state: &State);
}

impl Server {
    /// Takes the ports and the folders.
    pub fn bind(mut config: Config) -> Result<Server, Failure> {
        let seats = config.setup.peers_max.saturating_mul(CONNECTIONS_PER_PEER);
        capacity::check(seats, 1).map_err(|why| {
            let what = format!("cannot serve {} peers", config.setup.peers_max);
            Failure { what, why }
        })?;
        let store = Store::open(&config.tasks, &config.results)?;
        (config.setup.done, config.setup.failed) = (store.done.clone(), store.set_aside.clone());
        let addrs: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        let what = || format!("cannot listen on {}", addrs.join(" or "));
        let listener = accept::listen(&config.listen).map_err(Failure::from_io(what()))?;
        let addr = listener.local_addr().map_err(Failure::from_io(what()))?;
        Ok(Server { config, listener, store, addr })
    }

    /// Where peers connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Takes a port where peers ask for it.
    pub fn announce(&self, at: SocketAddr) -> Result<Announcer, Failure> {
        Announcer::bind(at, self.addr)
    }

    /// Serves until `stop`, or until all is done if it was told so. Returns the state as it was at
    /// the end, when every thread that it started has ended.
    pub fn serve(
        &self,
        stop: &Stop,
        announcer: Option<&Announcer>,
        watches: &[&dyn Watch],
    ) -> Result<State, Failure> {
        let served = thread::scope(|scope| {
            Ok(Coordinator::start(scope, self, announcer, watches)?.run(stop))
        });
        served.map_err(Failure::from_io("cannot serve".to_owned()))
    }
}

/// All that reaches the coordinator from other threads.
enum Input {
    Peer(Asked<Question, Answer>),
    Event(Event),
}

impl From<Asked<Question, Answer>> for Input {
    fn from(asked: Asked<Question, Answer>) -> Input {
        Input::Peer(asked)
    }
}

/// The state and all that belongs to it. Dropped in the order of its fields, last the inbox, which
/// waits for the end of all who send to it.
struct Coordinator<'env> {
    _gate: Gate,
    _waker: Option<Waker>,
    _over: Stopper,
    askers: HashMap<ConnId, Asker<Question, Answer>>,
    /// The storing thread does what it has, and ends, when this is dropped.
    jobs: Sender<Job>,
    inbox: Inbox<Input>,
    /// What finds no room there yet.
    backlog: VecDeque<Job>,
    state: State,
    server: &'env Server,
    watches: &'env [&'env dyn Watch],
    show_at: Option<Millis>,
    shown_at: Millis,
    has_ended: bool,
}

impl<'env> Coordinator<'env> {
    fn start<'scope>(
        scope: &'scope Scope<'scope, 'env>,
        server: &'env Server,
        announcer: Option<&'env Announcer>,
        watches: &'env [&'env dyn Watch],
    ) -> io::Result<Coordinator<'env>> {
        let Server { config, listener, store, .. } = server;
        let seats_max = config.setup.peers_max * CONNECTIONS_PER_PEER;
        let (inbox_in, inbox) = bounded(INBOX_EVENTS_MAX + seats_max);
        let (jobs, todo) = bounded(JOBS_MAX);
        let (over, is_over) = stop_pair();
        let (gate, shut) = Gate::new(listener)?;
        let waker = announcer.map(Announcer::waker).transpose()?;
        let (waker, deaf) = waker.map_or((None, None), |(waker, deaf)| (Some(waker), Some(deaf)));
        let now = config.clock.now();
        let coordinator = Coordinator {
            _gate: gate,
            _waker: waker,
            _over: over,
            askers: HashMap::new(),
            jobs,
            inbox: Inbox::new(inbox),
            backlog: VecDeque::new(),
            state: State::new(config.setup.clone()),
            server,
            watches,
            show_at: Some(now),
            shown_at: now,
            has_ended: false,
        };
        // From here on all senders are dropped before the inbox, also when a thread cannot start.
        let trace = &config.trace;
        let stored_in = inbox_in.clone();
        threads::spawn_with(scope, "tasks-store".to_owned(), TASK_STACK_BYTES, move || {
            store.work(&todo, trace, |name, outcome| {
                // Nobody listens any more when this fails: the master is stopping.
                let _ = stored_in.send(Input::Event(Event::Stored(name, outcome)));
            });
        })?;
        let looked_in = inbox_in.clone();
        threads::spawn(scope, "tasks-folder".to_owned(), move || {
            let tell =
                |names, is_all| looked_in.send(Input::Event(Event::Looked(names, is_all))).is_ok();
            Folder::watch(&store.tasks, &is_over, trace, tell);
        })?;
        if let (Some(announcer), Some(deaf)) = (announcer, deaf) {
            let answer = move || announcer.answer(&deaf, trace);
            threads::spawn(scope, "tasks-discovery".to_owned(), answer)?;
        }
        threads::spawn(scope, "tasks-accept".to_owned(), move || {
            let mut refusal = Vec::new();
            Answer::Later(format!("the master has {seats_max} connections, and takes no more"))
                .write(&mut refusal);
            let desk = desk(server, inbox_in.clone());
            let door = Door { listener, shut: &shut, trace, seats_max, refusal };
            asked::accept(scope, door, || Codec::new(desk.clone()), &inbox_in);
        })?;
        Ok(coordinator)
    }

    /// Serves until stop, or until the state says that it is over.
    fn run(mut self, stop: &Stop) -> State {
        while !self.has_ended {
            let now = self.server.config.clock.now();
            // The storing thread has made room by then.
            let again_at = (!self.backlog.is_empty()).then(|| now.plus(BACKLOG_MS));
            let due = [self.state.deadline(), self.show_at, again_at].into_iter().flatten().min();
            match self.inbox.next(stop, due.map(|due| now.until(due))) {
                Woken::Item(input) => self.take(input),
                Woken::Due | Woken::Closed => {}
                Woken::Stop => break,
            }
            let now = self.server.config.clock.now();
            if self.state.deadline().is_some_and(|due| due <= now) {
                self.handle(Event::Tick);
            }
            if self.show_at.is_some_and(|due| due <= now) {
                self.show(now);
            }
            self.pass_on();
        }
        self.show(self.server.config.clock.now());
        let Coordinator { state, .. } = self;
        state
    }

    fn take(&mut self, input: Input) {
        let trace = &self.server.config.trace;
        let event = match input {
            Input::Event(event) => event,
            Input::Peer(Asked::Turn(conn, turn)) => {
                for question in turn.questions.iter().filter(|_| trace.has_wire()) {
                    trace.wire(&format_args!("c{}", conn.0), '>', &format_args!("{question:?}"));
                }
                Event::Asked(conn, turn)
            }
            Input::Peer(Asked::Opened(conn, addr, asker)) => {
                // Without a number of our own nobody can prove anything: it is hung up.
                let has_token = self.server.config.setup.token.is_some();
                let nonce = if has_token { token::nonce() } else { Ok(String::new()) };
                let Ok(nonce) = nonce else { return };
                self.askers.insert(conn, asker);
                trace.event(format_args!("ev=open conn=c{} addr={addr}", conn.0));
                Event::Opened(conn, addr, nonce)
            }
            Input::Peer(Asked::Left(_)) => return,
            Input::Peer(Asked::Closed(conn, failure)) => {
                self.askers.remove(&conn);
                trace.event(format_args!("ev=close conn=c{} error={failure:?}", conn.0));
                let unwritten = [ErrorKind::TimedOut, ErrorKind::BrokenPipe, ErrorKind::WriteZero];
                let is_one = |error: io::Error| unwritten.contains(&error.kind());
                Event::Closed(conn, failure.is_some_and(is_one))
            }
            Input::Peer(Asked::Refused(addr)) => {
                trace.event(format_args!("ev=refuse addr={addr}"));
                Event::Refused
            }
            Input::Peer(Asked::NotAccepted(_)) => return,
        };
        self.handle(event);
    }

    fn handle(&mut self, event: Event) {
        let now = self.server.config.clock.now();
        for effect in self.state.handle(now, event) {
            match effect {
                Effect::Answer(conn, turn) => self.answer(conn, turn),
                Effect::Store(name, spool, place, reason) => {
                    self.backlog.push_back(Job::Name { name, spool, place, reason });
                }
                Effect::Forget(name) => self.backlog.push_back(Job::Forget(name)),
                Effect::Discard(spool) => self.backlog.push_back(Job::Discard(spool)),
                Effect::Trace(line) => self.server.config.trace.event(format_args!("{line}")),
                Effect::Warn(line) => {
                    self.server.config.trace.warn(format_args!("{}", visible(&line)));
                }
                Effect::End => self.has_ended = true,
            }
        }
        if self.show_at.is_none() && !self.watches.is_empty() {
            self.show_at = Some(self.shown_at.plus(SHOW_MS));
        }
    }

    /// Gives the storing thread what it has room for.
    fn pass_on(&mut self) {
        while let Some(job) = self.backlog.pop_front() {
            if let Err(full) = self.jobs.try_send(job) {
                self.backlog.push_front(full.into_inner());
                return;
            }
        }
    }

    fn answer(&self, conn: ConnId, turn: Turn) {
        let trace = &self.server.config.trace;
        for answer in turn.answers.iter().filter(|_| trace.has_wire()) {
            trace.wire(&format_args!("c{}", conn.0), '<', answer);
        }
        if let Some(asker) = self.askers.get(&conn) {
            asker.answer(turn);
        }
    }

    fn show(&mut self, now: Millis) {
        (self.shown_at, self.show_at) = (now, None);
        self.watches.iter().for_each(|watch| watch.show(now, &self.state));
    }
}

fn desk(server: &Server, inbox: Sender<Input>) -> Desk {
    let config = &server.config;
    let tell = move |lease: LeaseId, way: Way| {
        let event = match way {
            Way::Moved => Event::Moved(lease),
            Way::Unread(kind) => Event::Unread(lease, kind.to_string()),
            Way::TooLarge => Event::TooLarge(lease),
        };
        // Nobody listens any more when this fails: the master is stopping.
        let _ = inbox.send(Input::Event(event));
    };
    Desk {
        tasks: server.store.tasks.as_path().into(),
        spools: server.store.spools.clone(),
        message_bytes_max: config.message_bytes_max,
        idle_ms_max: config.setup.task_ms_max.saturating_add(IDLE_MORE_MS),
        has_token: config.setup.token.is_some(),
        tell: Arc::new(tell),
    }
}
