//! All rules of a server. A value: events and the time go in, effects come out.

mod clients;
mod counters;
mod forward;
mod link;
mod pace;
mod question;
mod questions;
mod search;
mod trial;

use crate::grid::decode::Heard;
use crate::grid::protocol::{Message, Power, Query, Reading, Refusal, Scope, Terminator};
use crate::grid::sensors::Sensor;
use crate::net::asked::{self, ConnId};
use crate::net::clock::Millis;
use crate::net::pushed::LinkId;
use clients::{Clients, Presence};
use link::Link;
use question::Question;
use questions::Questions;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;

pub use counters::Counters;

/// What a client asked in one read, and what it is answered.
pub type Turn = asked::Turn<Message, Message>;

/// Everything that can happen. A closed list: to see what drives the system, read it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server begins.
    Started,
    /// A client connected, and got a seat.
    ClientOpened(ConnId, SocketAddr),
    /// A client asked.
    ClientAsked(ConnId, Turn),
    /// A client will ask no more, but may still read its last answers.
    ClientLeft(ConnId),
    /// A client is gone.
    ClientClosed(ConnId),
    /// A client found no seat free.
    ClientRefused,
    /// Nobody answers at the peer port, or only ourselves.
    DialFailed,
    /// We listen at the peer port.
    Listening,
    /// We cannot listen at the peer port, for this reason.
    ListenFailed(String),
    /// Somebody is at the other end of a new link.
    PeerOpened(LinkId, Side),
    /// The other end of a link said something.
    PeerHeard(LinkId, Heard),
    /// A link is gone.
    PeerClosed(LinkId),
    /// Somebody found no room at the peer port.
    GuestRefused,
    /// A person typed something.
    Typed(Command),
    /// Time passed.
    Tick,
}

/// Who began a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// We did.
    Dialed,
    /// The other server did.
    Accepted,
}

/// What a person may ask of a server. Ctrl-C and SIGTERM are [`Command::Kill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `kill`
    Kill,
    /// `show sensors`
    ShowSensors,
    /// `show clients`
    ShowClients,
    /// `show peer`
    ShowPeer,
}

/// Everything that can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Give a client its turn back.
    Answer(ConnId, Turn),
    /// Hang up on a client.
    HangUp(ConnId),
    /// Try to connect to the peer port.
    Dial,
    /// Try to listen at the peer port.
    Listen,
    /// Listen there no more.
    StopListening,
    /// Say this to that server, which ends its own messages so.
    Tell(LinkId, Message, Terminator),
    /// Keep what it was told so far and what it is told next in different writes, so that a program
    /// that takes one `recv` for one message can read them apart. `pace.rs` keeps the time between.
    Apart(LinkId),
    /// Hang up on that server, after what was said has been written.
    Part(LinkId, Why),
    /// Hang up on that server at once, whatever is still to be written.
    Cut(LinkId, Why),
    /// Let that server hang up before we do, when we end.
    LetGoFirst(LinkId),
    /// Tell this in the trace.
    Trace(String),
    /// Show this line to the person.
    Say(String),
    /// Show this line to the person, as something that is not right.
    Warn(String),
    /// The server ends.
    End(Exit),
}

/// Why a server is hung up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It said goodbye, or refused us.
    Goodbye,
    /// It is the third.
    PeerLimit,
    /// Somebody else is being linked, or we are leaving.
    Busy,
    /// It said much, and never `REQ_ADDPEER`.
    NeverAsked,
    /// It answers as no server does.
    Stranger,
    /// It was too slow with what must come at the beginning or the end of a link.
    Late,
    /// It has hung up.
    Closed,
    /// It left questions in a row unanswered.
    Silent,
    /// It answered another question than it was asked, or nobody can know which comes next.
    Disorder,
}

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As it was told to.
    Done,
    /// There are two servers already.
    PeerLimit,
}

/// What a server is told at its start.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its sensors, at least one.
    pub sensors: Vec<Sensor>,
    /// How long a question to the other server may take, in ms.
    pub peer_ms_max: u64,
    /// Whether there is a peer port to connect to; not if the system is to choose one.
    pub may_dial: bool,
}

/// A server.
#[derive(Debug)]
pub struct State {
    sensors: Vec<Sensor>,
    /// The sensor with the most useful power; of equal ones that with the lowest id. Sensors do
    /// not change, so it is looked for once.
    best: Sensor,
    /// Useful power of all sensors, in watts.
    useful: u32,
    peer_ms_max: u64,
    clients: Clients,
    link: Link,
    questions: Questions,
    /// Turns that wait for answers of the other server. At most one for each connection.
    open: BTreeMap<ConnId, OpenTurn>,
    counters: Counters,
}

#[derive(Debug)]
struct OpenTurn {
    turn: Turn,
    /// How many of its answers are still to come.
    missing: usize,
}

impl State {
    /// A server that has not begun.
    pub fn new(setup: Setup) -> State {
        let by_power = |sensor: &&Sensor| (sensor.useful(), Reverse(sensor.id));
        let none = Sensor { id: 0, power: 0, efficiency: 0 };
        State {
            best: setup.sensors.iter().max_by_key(by_power).copied().unwrap_or(none),
            useful: setup.sensors.iter().map(Sensor::useful).sum(),
            sensors: setup.sensors,
            peer_ms_max: setup.peer_ms_max,
            clients: Clients::default(),
            link: Link::new(setup.may_dial),
            questions: Questions::default(),
            open: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// One event at one moment. The only way in.
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::ClientAsked(conn, turn) => self.client_asked(now, conn, turn, &mut effects),
            Event::ClientOpened(conn, addr) => self.clients.open(now, conn, addr),
            Event::ClientLeft(conn) => self.client_left(conn, &mut effects),
            Event::ClientClosed(conn) => {
                self.client_left(conn, &mut effects);
                if self.open.remove(&conn).is_some() {
                    self.questions.orphan();
                }
            }
            Event::ClientRefused => self.counters.clients_refused += 1,
            Event::GuestRefused => self.counters.guests_refused += 1,
            Event::Typed(Command::Kill) => self.kill(now, &mut effects),
            Event::Typed(Command::ShowSensors) => self.show_sensors(&mut effects),
            Event::Typed(Command::ShowClients) => self.show_clients(&mut effects),
            Event::Typed(Command::ShowPeer) => self.show_peer(&mut effects),
            Event::Tick => {}
            _ => self.peer_event(now, event, &mut effects),
        }
        self.expire(now, &mut effects);
        effects
    }

    /// When `handle` next has something to do by itself.
    pub fn deadline(&self) -> Option<Millis> {
        let own = [self.clients.deadline(), self.link.deadline(), self.forward_deadline()];
        own.into_iter().flatten().min()
    }

    /// What went wrong so far, but for what only who holds the sockets can know.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn client_asked(
        &mut self,
        now: Millis,
        conn: ConnId,
        mut turn: Turn,
        effects: &mut Vec<Effect>,
    ) {
        let questions = std::mem::take(&mut turn.questions);
        let mut missing = 0;
        // Looked up once a turn and after what changes it: most turns are nothing but queries.
        let mut here = self.clients.presence(conn);
        for (index, message) in questions.iter().enumerate() {
            let answer = match message {
                Message::Req(_) if here != Presence::Joined => {
                    Message::Error(Refusal::ClientNotFound)
                }
                Message::ReqAdd | Message::ReqDc(_) if here == Presence::Unknown => {
                    Message::Error(Refusal::ClientNotFound)
                }
                Message::ReqAdd => {
                    here = Presence::Joined;
                    self.join(conn, effects)
                }
                Message::ReqDc(id) => {
                    let answer = self.client_leaves(conn, *id, &mut turn.last, effects);
                    here = self.clients.presence(conn);
                    answer
                }
                Message::Req(query) if !query.is_forwarded() => self.answer_locally(*query),
                Message::Req(query) => {
                    if self.link.may_ask() {
                        let (query, since, sent) = (*query, now, now);
                        let until = now.plus(self.peer_ms_max);
                        self.questions.put(Question { conn, index, query, since, sent, until });
                        missing += 1;
                    }
                    // Stands until the other server's answer takes its place.
                    Message::Error(Refusal::PeerNotFound)
                }
                _ => {
                    self.counters.malformed += 1;
                    Message::Error(Refusal::Malformed)
                }
            };
            turn.answers.push(answer);
        }
        turn.questions = questions;
        if missing == 0 {
            effects.push(Effect::Answer(conn, turn));
        } else {
            self.open.insert(conn, OpenTurn { turn, missing });
        }
    }

    fn join(&mut self, conn: ConnId, effects: &mut Vec<Effect>) -> Message {
        let (id, is_new) = self.clients.join(conn);
        if is_new {
            effects.push(Effect::Say(format!("Client {id} added")));
        }
        Message::ResAdd(id)
    }

    fn client_leaves(
        &mut self,
        conn: ConnId,
        id: u32,
        last: &mut bool,
        effects: &mut Vec<Effect>,
    ) -> Message {
        if self.clients.id(conn) != Some(id) {
            return Message::Error(Refusal::ClientNotFound);
        }
        *last = true;
        self.client_left(conn, effects);
        Message::Done
    }

    fn client_left(&mut self, conn: ConnId, effects: &mut Vec<Effect>) {
        if let Some(id) = self.clients.close(conn) {
            effects.push(Effect::Say(format!("Client {id} removed")));
        }
    }

    /// What the own network answers, as it is asked by a client.
    fn answer_locally(&self, query: Query) -> Message {
        match query {
            Query::Sensor(scope) => Message::ResSensor(scope, self.own_reading()),
            Query::Power(scope) => Message::ResPower(scope, self.own_power()),
        }
    }

    fn own_reading(&self) -> Reading {
        let Sensor { id, power, efficiency } = self.best;
        let network = self.link.own_id();
        Reading { network, sensor: id, useful: self.best.useful(), power, efficiency }
    }

    fn own_power(&self) -> Power {
        Power { network: self.link.own_id(), useful: self.useful }
    }

    /// Puts an answer in its place, and gives the turn back if it was the last one missing.
    fn fill(&mut self, question: Question, answer: Message, effects: &mut Vec<Effect>) {
        let Some(open) = self.open.get_mut(&question.conn) else { return };
        open.turn.answers[question.index] = answer;
        open.missing -= 1;
        if open.missing == 0 {
            let open = self.open.remove(&question.conn);
            effects.extend(open.map(|open| Effect::Answer(question.conn, open.turn)));
        }
    }

    fn expire(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        while let Some(conn) = self.clients.expire(now) {
            self.counters.joins_timed_out += 1;
            effects.push(Effect::HangUp(conn));
        }
        self.expire_questions(now, effects);
        self.expire_link(now, effects);
        self.forward(now, effects);
    }

    fn show_sensors(&self, effects: &mut Vec<Effect>) {
        for sensor in &self.sensors {
            let Sensor { id, power, efficiency } = sensor;
            let useful = sensor.useful();
            effects.push(Effect::Say(format!("sensor {id}: {useful} ({power} {efficiency})")));
        }
    }

    fn show_clients(&self, effects: &mut Vec<Effect>) {
        let lines = self.clients.show();
        if lines.is_empty() {
            effects.push(Effect::Say("no clients".to_owned()));
        }
        effects.extend(lines.into_iter().map(Effect::Say));
    }

    /// The better of both networks; of equal ones the own.
    fn compare(&self, query: Query, theirs: Message) -> Message {
        match (query, theirs) {
            (Query::Sensor(Scope::Global), Message::ResSensor(_, theirs)) => {
                let own = self.own_reading();
                let best = if theirs.useful > own.useful { theirs } else { own };
                Message::ResSensor(Scope::Global, best)
            }
            (Query::Power(Scope::Global), Message::ResPower(_, theirs)) => {
                let own = self.own_power();
                let best = if theirs.useful > own.useful { theirs } else { own };
                Message::ResPower(Scope::Global, best)
            }
            (_, theirs) => theirs,
        }
    }
}
