//! Random histories of the state; after every event the promises must hold.
//! `SEED=7 cargo test --test it random` repeats one.

use malha::grid::decode::Heard;
use malha::grid::limits::PEER_MS_MAX;
use malha::grid::protocol::{Message, Power, Query, Reading, Refusal, Scope, Terminator};
use malha::grid::sensors::Sensor;
use malha::grid::state::{Command, Effect, Event, Setup, Side, State, Turn};
use malha::net::asked::ConnId;
use malha::net::clock::Millis;
use malha::net::dice::Dice;
use malha::net::pushed::LinkId;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

const SEEDS: u64 = 300;
const EVENTS: u32 = 400;
const CONNS: usize = 6;
const LINKS: usize = 4;

#[derive(Debug, Default)]
struct Client {
    /// What its open turn asked.
    asked: Option<Vec<Message>>,
    id: Option<u32>,
    hung_up: bool,
}

#[derive(Debug)]
struct Peer {
    terminator: Terminator,
    /// What the state has heard of it.
    shown: Terminator,
    is_granted: bool,
}

/// What is outside of the state.
struct World {
    dice: Dice,
    state: State,
    now: Millis,
    clients: BTreeMap<ConnId, Client>,
    /// Turns of clients that are gone.
    left_open: Vec<ConnId>,
    peers: BTreeMap<LinkId, Peer>,
    listens: bool,
    dials: bool,
    next: VecDeque<Event>,
    names: u64,
    ended: bool,
}

#[test]
fn random_histories_keep_the_promises() {
    let chosen = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let mut links = 0;
    for seed in chosen.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let mut world = World::new(seed);
        let mut history = Vec::new();
        world.next.push_back(Event::Started);
        for round in 0..EVENTS {
            let event = world.next.pop_front().unwrap_or_else(|| world.invent());
            history.push(format!("{} {event:?}", world.now));
            if let Err(why) = world.handle(event) {
                let last = &history[history.len().saturating_sub(20)..];
                panic!("SEED={seed} round {round}: {why}\nafter\n{}", last.join("\n"));
            }
            links += usize::from(world.peers.values().any(|peer| peer.is_granted));
            if world.ended {
                break;
            }
        }
        if let Err(why) = world.end() {
            panic!("SEED={seed} at the end: {why}\nafter\n{}", history.join("\n"));
        }
    }
    assert!(chosen.is_some() || links > 1_000, "only {links} rounds had a link: a dull test");
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice::seeded(seed);
        let sensors = vec![Sensor { id: 0, power: 100, efficiency: 50 }];
        let may_dial = dice.roll(2) == 0;
        World {
            dice,
            state: State::new(Setup { sensors, peer_ms_max: PEER_MS_MAX, may_dial }),
            now: Millis(0),
            clients: BTreeMap::new(),
            left_open: Vec::new(),
            peers: BTreeMap::new(),
            listens: false,
            dials: false,
            next: VecDeque::new(),
            names: 0,
            ended: false,
        }
    }

    fn invent(&mut self) -> Event {
        // Moments of all lengths, and exactly the one that is waited for.
        self.now = match (self.dice.roll(3), self.state.deadline()) {
            (0, Some(due)) => due.max(self.now),
            (1, _) => self.now.plus(u64::from(self.dice.roll(15))),
            _ => self.now.plus(u64::from(self.dice.roll(300))),
        };
        if self.dials && self.dice.roll(3) == 0 {
            self.dials = false;
            return if self.dice.roll(2) == 0 {
                Event::DialFailed
            } else {
                self.peer(Side::Dialed)
            };
        }
        let conns: Vec<ConnId> = self.clients.keys().copied().collect();
        let links: Vec<LinkId> = self.peers.keys().copied().collect();
        let conn = conns.get(self.dice.roll(CONNS as u32) as usize).copied();
        let link = links.get(self.dice.roll(LINKS as u32) as usize).copied();
        match (self.dice.roll(40), conn, link) {
            (0..=4, None, _) => {
                let conn = ConnId(self.name());
                self.clients.insert(conn, Client::default());
                Event::ClientOpened(conn, SocketAddr::from(([127, 0, 0, 1], 1)))
            }
            (0, Some(conn), _) => Event::ClientLeft(conn),
            (1, Some(conn), _) => Event::ClientClosed(conn),
            (5..=18, Some(conn), _) if self.clients[&conn].asked.is_none() => self.asks(conn),
            (19..=21, _, None) if self.listens => self.peer(Side::Accepted),
            (19, _, Some(link)) => Event::PeerClosed(link),
            (20..=36, _, Some(link)) => self.peer_says(link),
            (37, ..) => Event::ClientRefused,
            (38, ..) => {
                let shows = [Command::ShowSensors, Command::ShowClients, Command::ShowPeer];
                let last = if self.dice.roll(20) == 0 { Command::Kill } else { Command::ShowPeer };
                let all = [&shows[..], &[last]].concat();
                Event::Typed(self.one_of(&all))
            }
            _ => Event::Tick,
        }
    }

    fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.dice.roll(all.len() as u32) as usize].clone()
    }

    fn peer(&mut self, side: Side) -> Event {
        let link = LinkId(self.name());
        let terminator = self.one_of(&[Terminator::Lf, Terminator::Nothing, Terminator::Nul]);
        self.peers.insert(link, Peer { terminator, shown: Terminator::Unknown, is_granted: false });
        Event::PeerOpened(link, side)
    }

    fn asks(&mut self, conn: ConnId) -> Event {
        let scopes = [Scope::Local, Scope::External, Scope::Global];
        let mut questions = Vec::new();
        for _ in 0..=self.dice.roll(4) {
            let scope = self.one_of(&scopes);
            let id = self.dice.roll(4);
            questions.push(match self.dice.roll(9) {
                0..=2 => Message::ReqAdd,
                3..=4 => Message::Req(Query::Sensor(scope)),
                5..=6 => Message::Req(Query::Power(scope)),
                7 => Message::ReqDc(id),
                _ => Message::Malformed(Box::from(&b"?"[..])),
            });
        }
        let client = self.clients.get_mut(&conn).unwrap();
        client.asked = Some(questions.clone());
        // Its id is free as soon as it has left, though its turn may still be open.
        client.id = client.id.filter(|id| !questions.contains(&Message::ReqDc(*id)));
        Event::ClientAsked(conn, Turn { questions, ..Turn::default() })
    }

    fn peer_says(&mut self, link: LinkId) -> Event {
        let id = 1 + self.dice.roll(3);
        let reading = Reading { network: id, sensor: 1, useful: 60, power: 60, efficiency: 100 };
        let power = Power { network: id, useful: 70 };
        let all = [
            Message::ReqAddPeer,
            Message::ResAddPeer(id),
            Message::ResAddPeer(id),
            Message::Req(Query::Sensor(Scope::External)),
            Message::Req(Query::Power(Scope::Global)),
            Message::ResSensor(Scope::External, reading),
            Message::ResSensor(Scope::External, reading),
            Message::ResPower(Scope::External, power),
            Message::ResPower(Scope::External, power),
            Message::ReqDcPeer(id),
            Message::Done,
            Message::Error(Refusal::PeerNotFound),
            Message::Malformed(Box::from(&b"RES_"[..])),
        ];
        // Handshakes are more likely than chance would have them.
        let is_new = !self.peers[&link].is_granted;
        let count = if is_new { 2 } else { all.len() as u32 };
        // None at all is what a late terminator brings.
        let messages = (0..self.dice.roll(5)).map(|_| self.dice.roll(count) as usize);
        let messages: Vec<usize> = messages.collect();
        let messages = messages.into_iter().map(|at| all[at].clone()).collect();
        let terminator = match self.dice.roll(10) {
            0 => Terminator::Nul,
            1 => Terminator::Lf,
            _ => self.peers[&link].terminator,
        };
        self.peers.get_mut(&link).unwrap().shown = terminator;
        Event::PeerHeard(link, Heard { messages, terminator })
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        for effect in self.state.handle(self.now, event.clone()) {
            self.apply(effect)?;
        }
        match event {
            Event::ClientClosed(conn) => {
                self.clients.remove(&conn);
                self.left_open.retain(|left| *left != conn);
            }
            Event::ClientLeft(conn) => {
                let gone = self.clients.remove(&conn);
                self.left_open.extend(gone.and_then(|gone| gone.asked).map(|_| conn));
            }
            Event::PeerClosed(link) => drop(self.peers.remove(&link)),
            _ => {}
        }
        let due = self.state.deadline();
        if due.is_some_and(|due| due <= self.now) && !self.ended {
            return Err(format!("the deadline {due:?} is over at {}", self.now));
        }
        let granted = self.peers.values().filter(|peer| peer.is_granted).count();
        (granted <= 1).then_some(()).ok_or(format!("{granted} links are up"))
    }

    fn apply(&mut self, effect: Effect) -> Result<(), String> {
        let unknown = format!("{effect:?} is for somebody who is not here");
        match effect {
            Effect::Answer(conn, turn) => return self.answered(conn, &turn).ok_or(unknown)?,
            Effect::HangUp(conn) => {
                let client = self.clients.get_mut(&conn).filter(|client| !client.hung_up);
                client.ok_or(unknown)?.hung_up = true;
                self.next.push_back(Event::ClientClosed(conn));
            }
            Effect::Tell(link, message, terminator) => {
                let peer = self.peers.get_mut(&link).ok_or(unknown)?;
                if terminator != peer.shown {
                    return Err(format!("{message} ends with {terminator:?} and not as heard"));
                }
                peer.is_granted |= matches!(message, Message::ResAddPeer(_));
            }
            Effect::Apart(link) | Effect::LetGoFirst(link) => {
                return self.peers.get(&link).map(|_| ()).ok_or(unknown);
            }
            Effect::Part(link, _) | Effect::Cut(link, _) => {
                self.peers.remove(&link).ok_or(unknown)?;
                self.next.push_back(Event::PeerClosed(link));
            }
            Effect::Dial if self.dials => return Err("dials twice at a time".to_owned()),
            Effect::Dial => self.dials = true,
            Effect::Listen if self.dice.roll(4) == 0 => {
                self.next.push_back(Event::ListenFailed("not ours".to_owned()));
            }
            Effect::Listen => {
                self.listens = true;
                self.next.push_back(Event::Listening);
            }
            Effect::StopListening => self.listens = false,
            Effect::End(_) if self.ended => return Err("ends twice".to_owned()),
            Effect::End(_) => self.ended = true,
            Effect::Say(line) | Effect::Warn(line) | Effect::Trace(line) => {
                return (!line.contains('\n')).then_some(()).ok_or(line);
            }
        }
        Ok(())
    }

    /// None if nobody asked.
    fn answered(&mut self, conn: ConnId, turn: &Turn) -> Option<Result<(), String>> {
        if let Some(at) = self.left_open.iter().position(|left| *left == conn) {
            self.left_open.swap_remove(at);
            return Some(Ok(()));
        }
        let client = self.clients.get_mut(&conn)?;
        let asked = client.asked.take()?;
        if asked != turn.questions || asked.len() != turn.answers.len() {
            return Some(Err(format!("{asked:?} was answered with {turn:?}")));
        }
        for (question, answer) in asked.iter().zip(&turn.answers) {
            match (question, answer) {
                (Message::ReqAdd, Message::ResAdd(id)) => client.id = Some(*id),
                (Message::ReqDc(_), Message::Done) => client.id = None,
                (_, Message::Error(_)) => {}
                (Message::Req(Query::Sensor(asked)), Message::ResSensor(told, _))
                | (Message::Req(Query::Power(asked)), Message::ResPower(told, _))
                    if asked == told => {}
                _ => return Some(Err(format!("{question} was answered with {answer}"))),
            }
        }
        if turn.last {
            client.hung_up = true;
            self.next.push_back(Event::ClientClosed(conn));
        }
        let mut ids: Vec<u32> = self.clients.values().filter_map(|client| client.id).collect();
        ids.sort_unstable();
        let is_unique = ids.windows(2).all(|pair| pair[0] != pair[1]);
        Some(is_unique.then_some(()).ok_or(format!("ids are {ids:?}")))
    }

    /// At its end, or with all links gone and all time over, no question is open.
    fn end(&mut self) -> Result<(), String> {
        if !self.ended {
            self.now = self.now.plus(100_000);
            self.handle(Event::Tick)?;
        }
        let waits = self.clients.values().filter(|client| client.asked.is_some()).count();
        let open = waits + self.left_open.len();
        (open == 0).then_some(()).ok_or(format!("{open} turns were never answered"))
    }
}
