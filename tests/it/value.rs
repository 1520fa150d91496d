//! Replays conversations on the state alone: no socket, no thread, no wait.

use crate::transcript::{self, Step, hint};
use malha::grid::console::{self, ServerCommand};
use malha::grid::decode::Decoder;
use malha::grid::keywords::Port;
use malha::grid::limits::{CLIENTS_MAX, PEER_MS_MAX};
use malha::grid::protocol::{Message, Refusal};
use malha::grid::sensors;
use malha::grid::state::{Effect, Event, Exit, Setup, Side, State, Turn};
use malha::net::asked::{ConnId, Encode};
use malha::net::clock::Millis;
use malha::net::pushed::{Hear, LinkId};
use malha::net::stream::Decode;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// The network of the server in most conversations: its best sensor is 1, which has as much useful
/// power as 2, and 1940 W in all.
pub const SENSORS: &str = "id,power,efficiency\n0,1000,50\n1,900,80\n2,720,100\n";

/// Replays a conversation with the sensors of [`SENSORS`].
#[track_caller]
pub fn check(text: &str) {
    check_with(SENSORS, text);
}

/// Replays a conversation with the sensors of a CSV text.
#[track_caller]
pub fn check_with(csv: &str, text: &str) {
    let steps = transcript::parse(text);
    let mut world = World::new(csv, &steps);
    for step in &steps {
        if let Err(why) = world.play(step) {
            panic!("\n  step     {step}\n  {why}\nin:\n{text}");
        }
    }
    if let Err(why) = world.settle().and_then(|()| world.all_was_heard()) {
        panic!("\n  at the end\n  {why}\nin:\n{text}");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    Client(ConnId),
    Link(LinkId),
}

struct Person {
    id: Id,
    decoder: Decoder,
    /// Its turn is out; what it says meanwhile is not read.
    asks: bool,
    unread: Vec<u8>,
    heard: Vec<u8>,
    /// The server has hung up.
    ended: bool,
    /// It has hung up itself.
    closed: bool,
}

struct World {
    state: State,
    now: Millis,
    people: BTreeMap<String, Person>,
    /// Who listens at the peer port, until the server connects.
    listener: Option<String>,
    names: u64,
    events: VecDeque<Event>,
    said: VecDeque<String>,
    exit: Option<u8>,
}

type Played = Result<(), String>;

impl World {
    fn new(csv: &str, steps: &[Step]) -> World {
        let listener = match steps.first() {
            Some(Step::Listens(who)) => Some(who.clone()),
            _ => None,
        };
        let setup = Setup {
            sensors: sensors::parse(csv).unwrap(),
            peer_ms_max: PEER_MS_MAX,
            may_dial: listener.is_some(),
        };
        let mut world = World {
            state: State::new(setup),
            now: Millis(0),
            people: BTreeMap::new(),
            listener,
            names: 0,
            events: VecDeque::new(),
            said: VecDeque::new(),
            exit: None,
        };
        world.event(Event::Started);
        world
    }

    fn play(&mut self, step: &Step) -> Played {
        if !matches!(step, Step::Says(..)) {
            self.settle()?;
        }
        match step {
            Step::Listens(_) => {}
            Step::Opens(who) => self.opens(who),
            Step::OpensPeer(who) => self.opens_peer(who, Side::Accepted),
            Step::Says(who, bytes) => {
                self.person(who)?.unread.extend_from_slice(bytes);
                self.take_in(who, false);
            }
            Step::Hears(who, bytes) => return self.hears(who, bytes),
            Step::Closes(who) => {
                let person = self.person(who)?;
                person.closed = true;
                let id = person.id;
                self.event(gone(id));
            }
            Step::Ends(who) => {
                let person = self.person(who)?;
                if !person.heard.is_empty() {
                    return Err(format!("{who} heard {}", person.heard.escape_ascii()));
                }
                return person.ended.then_some(()).ok_or(format!("{who} is still there"));
            }
            Step::Types(line) => self.types(line),
            Step::Prints(line) => {
                let Some(at) = self.said.iter().position(|said| said == line) else {
                    return Err(format!("printed  {:?}", self.said));
                };
                self.said.drain(..=at);
            }
            Step::Exits(code) if self.exit == Some(*code) => {}
            Step::Exits(_) => return Err(format!("exit is  {:?}", self.exit)),
            Step::OpensUdp(_) | Step::Logs(_) => return Err("not a step of the grid".to_owned()),
            Step::At(ms) => {
                self.all_was_heard()?;
                self.wait_until(Millis(*ms));
            }
        }
        Ok(())
    }

    fn person(&mut self, who: &str) -> Result<&mut Person, String> {
        self.people.get_mut(who).ok_or_else(|| format!("nobody is called {who}"))
    }

    fn opens(&mut self, who: &str) {
        self.names += 1;
        let conn = ConnId(self.names);
        let seated = |person: &&Person| {
            matches!(person.id, Id::Client(_)) && !person.ended && !person.closed
        };
        let is_full = self.people.values().filter(seated).count() >= CLIENTS_MAX;
        let mut person = Person::new(Id::Client(conn), Port::Clients);
        if is_full {
            person.ended = true;
            person.heard = Message::Error(Refusal::ClientLimit).to_string().into_bytes();
        }
        self.people.insert(who.to_owned(), person);
        self.event(if is_full {
            Event::ClientRefused
        } else {
            Event::ClientOpened(conn, SocketAddr::from(([127, 0, 0, 1], 40_000)))
        });
    }

    fn opens_peer(&mut self, who: &str, side: Side) {
        self.names += 1;
        let link = LinkId(self.names);
        self.people.insert(who.to_owned(), Person::new(Id::Link(link), Port::Peers));
        self.event(Event::PeerOpened(link, side));
    }

    fn hears(&mut self, who: &str, bytes: &[u8]) -> Played {
        let heard = &mut self.person(who)?.heard;
        if !heard.starts_with(bytes) {
            let hint = hint(bytes, heard);
            return Err(format!("received {}\n  hint     {hint}", heard.escape_ascii()));
        }
        heard.drain(..bytes.len());
        Ok(())
    }

    fn types(&mut self, line: &str) {
        match console::server(line) {
            Ok(ServerCommand::State(command)) => self.event(Event::Typed(command)),
            Ok(ServerCommand::Help) => self.said.extend(console::server_help()),
            Err(unknown) => self.said.push_back(unknown),
        }
    }

    /// Every deadline on the way is kept.
    fn wait_until(&mut self, end: Millis) {
        while let Some(due) = self.state.deadline().filter(|due| *due <= end) {
            assert!(due > self.now || self.exit.is_some(), "overdue at {}: {due}", self.now);
            if self.exit.is_some() {
                break;
            }
            self.now = due;
            self.event(Event::Tick);
        }
        self.now = end;
        self.event(Event::Tick);
    }

    /// What is not complete is ended by silence.
    fn settle(&mut self) -> Played {
        let names: Vec<String> = self.people.keys().cloned().collect();
        for who in names {
            while self.take_in(&who, true) {}
        }
        Ok(())
    }

    fn all_was_heard(&self) -> Played {
        for (who, person) in &self.people {
            if !person.heard.is_empty() && !person.closed {
                return Err(format!("{who} also heard {}", person.heard.escape_ascii()));
            }
        }
        Ok(())
    }

    /// Reads what was said; true if there was a message.
    fn take_in(&mut self, who: &str, is_silent: bool) -> bool {
        let Some(person) = self.people.get_mut(who) else { return false };
        if person.asks || person.ended || person.closed {
            return false;
        }
        let unread = std::mem::take(&mut person.unread);
        if !unread.is_empty() {
            person.decoder.feed(&unread);
        }
        let mut messages = person.messages();
        if messages.is_empty() && is_silent && person.decoder.patience_ms().is_some() {
            person.decoder.silence();
            messages = person.messages();
        }
        // On a link, a terminator is news too.
        let has_news = matches!(person.id, Id::Link(_)) && person.decoder.has_news();
        if messages.is_empty() && !has_news {
            return false;
        }
        let event = match person.id {
            Id::Client(conn) => {
                person.asks = true;
                Event::ClientAsked(conn, Turn { questions: messages, ..Turn::default() })
            }
            Id::Link(link) => Event::PeerHeard(link, person.decoder.heard(messages)),
        };
        self.event(event);
        true
    }

    fn event(&mut self, event: Event) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            if self.exit.is_some() {
                return;
            }
            for effect in self.state.handle(self.now, event) {
                self.apply(effect);
            }
        }
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Answer(conn, turn) => self.answer(conn, &turn),
            Effect::HangUp(conn) => self.hang_up(Id::Client(conn)),
            Effect::Part(link, _) | Effect::Cut(link, _) => self.hang_up(Id::Link(link)),
            Effect::Dial => match self.listener.take() {
                Some(who) => self.opens_peer(&who, Side::Dialed),
                None => self.events.push_back(Event::DialFailed),
            },
            Effect::Listen => self.events.push_back(Event::Listening),
            Effect::StopListening
            | Effect::LetGoFirst(_)
            | Effect::Warn(_)
            | Effect::Trace(_)
            | Effect::Apart(_) => {}
            Effect::Tell(link, message, terminator) => {
                let Some(person) = self.find(Id::Link(link)) else { return };
                person.heard.extend_from_slice(message.to_string().as_bytes());
                person.heard.extend_from_slice(terminator.bytes_or_lf());
            }
            Effect::Say(line) => self.said.push_back(line),
            Effect::End(exit) => {
                assert!(self.exit.is_none(), "the server ends twice, and says so twice");
                self.exit = Some(if exit == Exit::Done { 0 } else { 1 });
                self.people.values_mut().for_each(|person| person.ended = true);
            }
        }
    }

    fn answer(&mut self, conn: ConnId, turn: &Turn) {
        let Some(person) = self.find(Id::Client(conn)) else { return };
        assert!(person.asks, "an answer to nobody's question: {turn:?}");
        person.asks = false;
        for answer in &turn.answers {
            person.decoder.encode(answer, &mut person.heard);
        }
        if turn.last {
            self.hang_up(Id::Client(conn));
        }
    }

    fn hang_up(&mut self, id: Id) {
        if let Some(person) = self.find(id).filter(|person| !person.ended) {
            person.ended = true;
            self.events.push_back(gone(id));
        }
    }

    fn find(&mut self, id: Id) -> Option<&mut Person> {
        self.people.values_mut().find(|person| person.id == id)
    }
}

impl Person {
    fn new(id: Id, port: Port) -> Person {
        let (unread, heard) = (Vec::new(), Vec::new());
        let decoder = Decoder::new(port);
        Person { id, decoder, asks: false, unread, heard, ended: false, closed: false }
    }

    fn messages(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.decoder.next()).collect()
    }
}

fn gone(id: Id) -> Event {
    match id {
        Id::Client(conn) => Event::ClientClosed(conn),
        Id::Link(link) => Event::PeerClosed(link),
    }
}
