//! All rules of a server. A value: events and the time go in, effects come out.

use crate::chat::limits::{RATE_MS, SIGN_MS_MIN, SILENT_MS_MAX, TEXT_BYTES_MAX};
use crate::chat::protocol::{EVERYBODY, Heard, Id, Kind, LIST_HEAD, Message, SERVER};
use crate::net::clock::Millis;
use crate::net::counters::{self, Counter};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A datagram arrived; none if it is not one of ours.
    Heard(SocketAddr, Option<Heard>),
    /// Time passed.
    Tick,
    /// The server is to end.
    Stopped,
}

/// Everything that may come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Sends a message to one.
    Send(SocketAddr, Message),
    /// Sends a message to all of these.
    SendAll(Arc<[SocketAddr]>, Message),
    /// Somebody came.
    Joined(Id),
    /// Somebody went.
    Left(Id, Reason),
}

/// Why somebody went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// TCHAU.
    Bye,
    /// No sign of life.
    Silent,
}

/// What a server is told at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// Clients at a time.
    pub clients_max: usize,
    /// Messages a second of one client.
    pub rate_max: u32,
    /// How often clients are told how the server is, in ms.
    pub status_ms: u64,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams that are none of ours.
    pub malformed: u64,
    /// Messages with a name or text that cannot be taken.
    pub flawed: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Messages of clients that said too many.
    pub too_fast: u64,
    /// Clients that gave no sign of life.
    pub silent: u64,
    /// Texts that were delivered, or would have been to anybody there.
    pub texts: u64,
}

impl Counters {
    /// What went wrong, if it is not zero.
    pub fn report(&self) -> Vec<Counter> {
        counters::nonzero([
            ("malformed", self.malformed),
            ("flawed", self.flawed),
            ("refused", self.refused),
            ("too-fast", self.too_fast),
            ("silent-clients", self.silent),
        ])
    }
}

/// Somebody who said OI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Where from.
    pub addr: SocketAddr,
    /// As it calls itself.
    pub name: String,
    /// Since when.
    pub since: Millis,
    heard_at: Millis,
    hello_at: Millis,
    /// It says OI again and again, so silence means something.
    gives_signs: bool,
    /// The second that is being counted, and what it said in it.
    second_at: Millis,
    said: u32,
}

/// The server.
#[derive(Debug)]
pub struct State {
    setup: Setup,
    started_at: Millis,
    status_at: Millis,
    /// Texts since the last status.
    texts_recent: u64,
    clients: BTreeMap<Id, Client>,
    /// Where all of them are; made anew when somebody comes or goes.
    addrs: Option<Arc<[SocketAddr]>>,
    counters: Counters,
    effects: Vec<Effect>,
}

impl State {
    /// A server that starts now.
    pub fn new(setup: Setup, now: Millis) -> State {
        State {
            setup,
            started_at: now,
            status_at: now.plus(setup.status_ms),
            texts_recent: 0,
            clients: BTreeMap::new(),
            addrs: None,
            counters: Counters::default(),
            effects: Vec::new(),
        }
    }

    /// Who is there, by id.
    pub fn clients(&self) -> &BTreeMap<Id, Client> {
        &self.clients
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Since when it runs.
    pub fn started_at(&self) -> Millis {
        self.started_at
    }

    /// Takes in what happened, and says what comes of it.
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Heard(addr, Some(Heard::Message(message))) => self.heard(now, addr, message),
            Event::Heard(_, Some(Heard::Flawed(_, Kind::Error, _)) | None) => {
                self.counters.malformed += 1;
            }
            Event::Heard(addr, Some(Heard::Flawed(origin, _, flaw))) => {
                self.counters.flawed += 1;
                self.error(addr, origin, flaw.text());
            }
            Event::Tick => self.tick(now),
            Event::Stopped => {
                let text = "Servidor desligado. Conexão encerrada.".to_owned();
                self.tell_all(Message::from_server(Kind::Text, EVERYBODY, text));
            }
        }
        std::mem::take(&mut self.effects)
    }

    fn heard(&mut self, now: Millis, addr: SocketAddr, message: Message) {
        if message.kind == Kind::Error {
            // Two servers that tell each other so would never end.
            self.counters.malformed += 1;
            return;
        }
        if message.kind == Kind::Hello {
            return self.hello(now, addr, message);
        }
        if let Kind::Unknown(_) = message.kind {
            return self.refuse(addr, message.origin, "Tipo de mensagem desconhecido.");
        }
        let Some(client) = self.clients.get_mut(&message.origin).filter(|c| c.addr == addr) else {
            return self.refuse(addr, message.origin, "Cliente não registrado.");
        };
        client.heard_at = now;
        if message.kind == Kind::Bye {
            self.clients.remove(&message.origin);
            self.addrs = None;
            self.effects.push(Effect::Left(message.origin, Reason::Bye));
            return;
        }
        match client.allowance(now, self.setup.rate_max) {
            Allowance::Granted if message.kind == Kind::List => self.list(addr, message.origin),
            Allowance::Granted => self.text(addr, message),
            Allowance::Exceeded { is_told } => {
                self.counters.too_fast += 1;
                if !is_told {
                    self.error(addr, message.origin, "Mensagens demais por segundo.");
                }
            }
        }
    }

    fn hello(&mut self, now: Millis, addr: SocketAddr, message: Message) {
        let id = message.origin;
        let clients = self.clients.len();
        match self.clients.get_mut(&id) {
            _ if id == SERVER => return self.refuse(addr, id, "O ID 0 é do servidor."),
            Some(client) if client.addr != addr => return self.refuse(addr, id, "ID já em uso."),
            Some(client) => {
                client.gives_signs |= now >= client.hello_at.plus(SIGN_MS_MIN);
                (client.hello_at, client.heard_at) = (now, now);
                client.name = message.name;
            }
            None if clients >= self.setup.clients_max => {
                return self.refuse(addr, id, "Número máximo de clientes alcançado.");
            }
            None => {
                self.clients.insert(id, Client::new(now, addr, message.name));
                self.addrs = None;
                self.effects.push(Effect::Joined(id));
            }
        }
        let welcome = Message::from_server(Kind::Hello, id, "Conexão aceita.".to_owned());
        self.effects.push(Effect::Send(addr, welcome));
    }

    fn text(&mut self, addr: SocketAddr, mut message: Message) {
        // The name by which everybody knows it, whatever it calls itself now.
        if let Some(client) = self.clients.get(&message.origin) {
            message.name.clone_from(&client.name);
        }
        if message.destination == EVERYBODY {
            self.tell_all(message);
        } else if let Some(client) = self.clients.get(&message.destination) {
            self.effects.push(Effect::Send(client.addr, message));
        } else {
            return self.refuse(addr, message.origin, "ID de destino não encontrado.");
        }
        self.counters.texts += 1;
        self.texts_recent += 1;
    }

    /// Who is there, in as many messages as it takes; each says what it is, because they may
    /// arrive in any order.
    fn list(&mut self, addr: SocketAddr, asker: Id) {
        let mut text = LIST_HEAD.to_owned();
        let mut texts = Vec::new();
        for (id, client) in &self.clients {
            let entry = format!("{id}: {}", client.name);
            let separator = if text.len() == LIST_HEAD.len() { "" } else { ", " };
            if text.len() + separator.len() + entry.len() > TEXT_BYTES_MAX {
                texts.push(std::mem::replace(&mut text, LIST_HEAD.to_owned() + &entry));
            } else {
                text += separator;
                text += &entry;
            }
        }
        texts.push(text);
        let send = |text| Effect::Send(addr, Message::from_server(Kind::Text, asker, text));
        self.effects.extend(texts.into_iter().map(send));
    }

    fn tick(&mut self, now: Millis) {
        let is_gone =
            |client: &Client| client.gives_signs && now >= client.heard_at.plus(SILENT_MS_MAX);
        for (id, _) in self.clients.extract_if(.., |_, client| is_gone(client)) {
            self.addrs = None;
            self.counters.silent += 1;
            self.effects.push(Effect::Left(id, Reason::Silent));
        }
        if now < self.status_at {
            return;
        }
        // However late this tick is, the next status is due at a whole multiple again.
        let late_ms = self.status_at.until(now).as_millis() as u64 % self.setup.status_ms;
        self.status_at = now.plus(self.setup.status_ms - late_ms);
        let seconds = self.started_at.until(now).as_secs();
        let (clients, recent) = (self.clients.len(), std::mem::take(&mut self.texts_recent));
        let text = format!(
            "Servidor ativo há {seconds} segundos. Clientes conectados: {clients}. \
             Mensagens recentes: {recent}."
        );
        self.tell_all(Message::from_server(Kind::Text, EVERYBODY, text));
    }

    fn tell_all(&mut self, message: Message) {
        if self.clients.is_empty() {
            return;
        }
        let collect = || self.clients.values().map(|client| client.addr).collect();
        let addrs = Arc::clone(self.addrs.get_or_insert_with(collect));
        self.effects.push(Effect::SendAll(addrs, message));
    }

    fn refuse(&mut self, addr: SocketAddr, id: Id, why: &str) {
        self.counters.refused += 1;
        self.error(addr, id, why);
    }

    fn error(&mut self, addr: SocketAddr, id: Id, why: &str) {
        self.effects
            .push(Effect::Send(addr, Message::from_server(Kind::Error, id, why.to_owned())));
    }
}

enum Allowance {
    Granted,
    /// Whether it was told in this second.
    Exceeded {
        is_told: bool,
    },
}

impl Client {
    fn new(now: Millis, addr: SocketAddr, name: String) -> Client {
        Client {
            addr,
            name,
            since: now,
            heard_at: now,
            hello_at: now,
            gives_signs: false,
            second_at: now,
            said: 0,
        }
    }

    fn allowance(&mut self, now: Millis, rate_max: u32) -> Allowance {
        if now >= self.second_at.plus(RATE_MS) {
            (self.second_at, self.said) = (now, 0);
        }
        self.said = self.said.saturating_add(1);
        if self.said <= rate_max {
            return Allowance::Granted;
        }
        Allowance::Exceeded { is_told: self.said > rate_max + 1 }
    }
}
