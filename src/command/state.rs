//! All rules of a server. A value: events and the time go in, effects come out.

use crate::command::limits::WRONG_PASSWORDS_MAX;
use crate::command::protocol::{Answer, Guarded, Password, Request};
use crate::net::asked::{self, ConnId};
use crate::net::clock::{Millis, Moment};
use crate::net::counters;
use crate::net::users::Verdict;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::net::SocketAddr;

/// What a client asked in one read, and what it is answered.
pub type Turn = asked::Turn<Request, Answer>;

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server listens here.
    Started(SocketAddr),
    /// A client connected, and got a seat.
    Opened(ConnId, SocketAddr),
    /// A client asked.
    Asked(ConnId, Turn),
    /// A client's password was checked.
    Checked(ConnId, Verdict),
    /// A client will ask no more and has given its seat back, but may still read its answers.
    Left(ConnId),
    /// A client is gone; why, if not in order.
    Closed(ConnId, Option<String>),
    /// A client found no seat free.
    Refused(SocketAddr),
    /// Somebody asked in a datagram.
    Datagram(SocketAddr, Request),
    /// Something went wrong that ends nothing.
    Failed(String),
    /// It is to end.
    Stopped,
    /// Time passed.
    Tick,
}

/// Everything that may come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Gives a client its turn back.
    Answer(ConnId, Turn),
    /// Answers the datagram.
    Reply(Answer),
    /// Checks a password. The next one is asked for after [`Event::Checked`].
    Check(ConnId, String, Password),
    /// Closes a connection.
    HangUp(ConnId),
    /// One line of the log, without the time.
    Log(String),
    /// The server is over.
    End,
}

/// What a server is told at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Clients at a time, as the log says it.
    pub clients_max: usize,
    /// How long a client may ask nothing, in ms.
    pub idle_ms_max: u64,
    /// Whether names and passwords are asked for.
    pub has_users: bool,
}

/// What went wrong so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    refused: u64,
    idle: u64,
    unknown: u64,
    too_long: u64,
    wrong_passwords: u64,
}

impl Counters {
    /// What is not zero.
    pub fn report(&self) -> String {
        counters::line(&counters::nonzero([
            ("clients-refused", self.refused),
            ("idle-closed", self.idle),
            ("unknown-requests", self.unknown),
            ("too-long-requests", self.too_long),
            ("wrong-passwords", self.wrong_passwords),
        ]))
    }
}

#[derive(Debug)]
struct Client {
    addr: SocketAddr,
    /// It counts.
    has_seat: bool,
    /// When it last asked or was answered.
    last_at: Millis,
    /// It may ask everything.
    is_in: bool,
    wrong_passwords: u32,
    /// A turn that waits for a password's check. What has an answer was answered.
    waiting: Option<Turn>,
    /// It has had its last answer, and is on its way out.
    is_leaving: bool,
}

/// The server.
#[derive(Debug)]
pub struct State {
    setup: Setup,
    clients: BTreeMap<ConnId, Client>,
    /// Whose password is being compared, and whose are to be, first come first. A check takes its
    /// time, so those who do not wait for it must not take everybody's.
    compared: Option<ConnId>,
    to_compare: VecDeque<ConnId>,
    /// No client has been idle for too long before this.
    look_at: Option<Millis>,
    counters: Counters,
    effects: Vec<Effect>,
}

impl State {
    /// A server that has not started.
    pub fn new(setup: Setup) -> State {
        State {
            setup,
            clients: BTreeMap::new(),
            compared: None,
            to_compare: VecDeque::new(),
            look_at: None,
            counters: Counters::default(),
            effects: Vec::new(),
        }
    }

    /// What went wrong so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// When a [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Millis> {
        self.look_at
    }

    /// Takes in what happened, and says what comes of it.
    pub fn handle(&mut self, now: Moment, event: Event) -> Vec<Effect> {
        match event {
            Event::Started(addr) => self.log(format_args!("Servidor iniciado em {addr}")),
            Event::Opened(conn, addr) => self.opened(now, conn, addr),
            Event::Asked(conn, turn) => self.serve(now, conn, turn),
            Event::Checked(conn, verdict) => self.checked(now, conn, verdict),
            Event::Left(conn) => {
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.has_seat = false;
                }
            }
            Event::Closed(conn, failure) => self.closed(conn, failure),
            Event::Refused(addr) => {
                self.counters.refused += 1;
                let max = self.setup.clients_max;
                self.log(format_args!("{addr} recusado: número máximo de clientes ({max})"));
            }
            Event::Datagram(addr, request) => self.datagram(now, addr, &request),
            Event::Failed(why) => self.log(format_args!("erro: {why}")),
            Event::Stopped => {
                self.log("Servidor encerrado");
                self.effects.push(Effect::End);
            }
            Event::Tick => self.look_for_idle(now.at),
        }
        std::mem::take(&mut self.effects)
    }

    fn opened(&mut self, now: Moment, conn: ConnId, addr: SocketAddr) {
        let is_in = !self.setup.has_users;
        let client = Client {
            addr,
            has_seat: true,
            last_at: now.at,
            is_in,
            wrong_passwords: 0,
            waiting: None,
            is_leaving: false,
        };
        self.clients.insert(conn, client);
        let open = self.clients.values().filter(|client| client.has_seat).count();
        let max = self.setup.clients_max;
        self.log(format_args!("{addr} conectado ({open}/{max})"));
        let due = now.at.plus(self.setup.idle_ms_max);
        self.look_at = Some(self.look_at.map_or(due, |at| at.min(due)));
    }

    fn closed(&mut self, conn: ConnId, failure: Option<String>) {
        // One that was idle for too long is gone already.
        let Some(Client { addr, waiting, .. }) = self.clients.remove(&conn) else { return };
        if waiting.is_some() {
            self.to_compare.retain(|other| *other != conn);
        }
        match failure {
            Some(why) => self.log(format_args!("{addr} desconectado, erro: {why}")),
            None => self.log(format_args!("{addr} desconectado")),
        }
    }

    /// Answers a turn to its end, or to a password that must be checked first.
    fn serve(&mut self, now: Moment, conn: ConnId, mut turn: Turn) {
        let Some(client) = self.clients.get_mut(&conn) else { return };
        client.last_at = now.at;
        let (addr, is_in) = (client.addr, client.is_in);
        while !turn.last
            && let Some(request) = turn.questions.get(turn.answers.len())
        {
            if self.setup.has_users && matches!(request, Request::Auth(..)) {
                if let Some(client) = self.clients.get_mut(&conn) {
                    client.waiting = Some(turn);
                }
                self.to_compare.push_back(conn);
                return self.compare_next();
            }
            turn.last = matches!(request, Request::Exit | Request::TooLong);
            let answer = self.answer(now, &addr, request, is_in);
            turn.answers.push(answer);
        }
        if let Some(client) = self.clients.get_mut(&conn) {
            client.is_leaving = turn.last;
        }
        self.effects.push(Effect::Answer(conn, turn));
    }

    fn answer(
        &mut self,
        now: Moment,
        addr: &dyn Display,
        request: &Request,
        is_in: bool,
    ) -> Answer {
        self.log_request(addr, request);
        match request {
            Request::Exit => Answer::Done,
            Request::TooLong => {
                self.counters.too_long += 1;
                Answer::Unknown
            }
            _ if !is_in => Answer::NeedsAuth,
            Request::Echo => Answer::Echo,
            Request::Time => Answer::Time(now.wall),
            Request::Auth(..) | Request::HalfAuth | Request::Unknown(_) => {
                self.counters.unknown += 1;
                Answer::Unknown
            }
        }
    }

    fn log_request(&mut self, addr: &dyn Display, request: &Request) {
        match request {
            Request::Unknown(_) if self.setup.has_users => {
                self.log(format_args!("{addr} pedido não reconhecido: {}", Guarded(request)));
            }
            Request::Unknown(_) | Request::TooLong | Request::HalfAuth => {
                self.log(format_args!("{addr} pedido não reconhecido: {request}"));
            }
            _ => self.log(format_args!("{addr} pedido: {request}")),
        }
    }

    /// One password at a time.
    fn compare_next(&mut self) {
        if self.compared.is_some() {
            return;
        }
        let Some(conn) = self.to_compare.pop_front() else { return };
        let waiting = self.clients.get(&conn).and_then(|client| client.waiting.as_ref());
        let Some(turn) = waiting else { return };
        let Some(Request::Auth(name, password)) = turn.questions.get(turn.answers.len()) else {
            return;
        };
        self.compared = Some(conn);
        self.effects.push(Effect::Check(conn, name.clone(), password.clone()));
    }

    /// Answers the `AUTH` that waits, and then what is behind it.
    fn checked(&mut self, now: Moment, conn: ConnId, verdict: Verdict) {
        self.compared = None;
        self.compare_next();
        // It may have gone meanwhile.
        let Some(client) = self.clients.get_mut(&conn) else { return };
        let Some(mut turn) = client.waiting.take() else { return };
        let addr = client.addr;
        if verdict == Verdict::Right {
            client.is_in = true;
            turn.answers.push(Answer::Done);
        } else {
            client.wrong_passwords += 1;
            turn.last = client.wrong_passwords >= WRONG_PASSWORDS_MAX;
            self.counters.wrong_passwords += 1;
            turn.answers.push(Answer::WrongPassword);
        }
        let tries = client.wrong_passwords;
        let name = match turn.questions.get(turn.answers.len() - 1) {
            Some(Request::Auth(name, _)) => name.as_str(),
            _ => "",
        };
        match verdict {
            Verdict::Right => self.log(format_args!("{addr} pedido: AUTH {name}, aceito")),
            Verdict::Wrong => self.log(format_args!(
                "{addr} pedido: AUTH {name}, senha errada ({tries}/{WRONG_PASSWORDS_MAX})"
            )),
            // Not the name: it may be a password in the wrong place.
            Verdict::Nobody => self.log(format_args!(
                "{addr} pedido: AUTH, nome desconhecido ({tries}/{WRONG_PASSWORDS_MAX})"
            )),
        }
        self.serve(now, conn, turn);
    }

    fn datagram(&mut self, now: Moment, addr: SocketAddr, request: &Request) {
        let answer = self.answer(now, &format_args!("udp {addr}"), request, true);
        self.effects.push(Effect::Reply(answer));
    }

    /// Closes who has asked nothing for too long, and says when to look again.
    fn look_for_idle(&mut self, now: Millis) {
        let idle_ms_max = self.setup.idle_ms_max;
        let waits = |client: &Client| client.waiting.is_some() || client.is_leaving;
        let due = |client: &Client| client.last_at.plus(idle_ms_max);
        let is_idle = |client: &Client| !waits(client) && due(client) <= now;
        for (conn, client) in self.clients.extract_if(.., |_, client| is_idle(client)) {
            self.counters.idle += 1;
            let seconds = idle_ms_max as f64 / 1000.0;
            let line = format!("{} inativo por {seconds} s, conexão encerrada", client.addr);
            self.effects.extend([Effect::Log(line), Effect::HangUp(conn)]);
        }
        // One who waits for us, or leaves, is looked at again after as long a time.
        let next =
            |client: &Client| if waits(client) { now.plus(idle_ms_max) } else { due(client) };
        self.look_at = self.clients.values().map(next).min();
    }

    fn log(&mut self, line: impl Display) {
        self.effects.push(Effect::Log(line.to_string()));
    }
}
