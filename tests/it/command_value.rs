//! Replays conversations with the command server on its state alone: no socket, no thread, no wait.

use crate::transcript::{self, Step, hint};
use malha::command::calendar::Calendar;
use malha::command::limits::{CLIENTS_MAX, IDLE_MS_MAX};
use malha::command::protocol::{Answer, Codec, Request};
use malha::command::state::{Effect, Event, Setup, State, Turn};
use malha::net::asked::{ConnId, Encode};
use malha::net::clock::{Millis, Moment, Wall};
use malha::net::stream::Decode;
use malha::net::users::Verdict;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// The one user, and the password.
pub const USER: (&str, &[u8]) = ("ana", b"segredo");

/// Replays a conversation.
#[track_caller]
pub fn check(text: &str) {
    replay(text, false);
}

/// Replays one with a server that asks for names and passwords.
#[track_caller]
pub fn check_with_users(text: &str) {
    replay(text, true);
}

#[track_caller]
fn replay(text: &str, has_users: bool) {
    let mut world = World::new(has_users);
    for step in &transcript::parse(text) {
        if let Err(why) = world.play(step) {
            panic!("\n  step     {step}\n  {why}\nin:\n{text}");
        }
    }
    if let Err(why) = world.all_was_heard() {
        panic!("\n  at the end\n  {why}\nin:\n{text}");
    }
}

/// How much of `heard` is `expected`, in which `…` stands for the rest of the line.
pub fn matched(expected: &[u8], heard: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(expected).ok()?;
    let Some((head, tail)) = text.split_once('…') else {
        return heard.starts_with(expected).then_some(expected.len());
    };
    let rest = heard.strip_prefix(head.as_bytes())?;
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    rest[end..].starts_with(tail.as_bytes()).then_some(head.len() + end + tail.len())
}

enum Way {
    Stream(ConnId, Codec),
    Datagrams,
}

struct Person {
    way: Way,
    addr: SocketAddr,
    /// Its turn is out; what it says meanwhile is not read.
    asks: bool,
    heard: Vec<u8>,
    ended: bool,
}

struct World {
    state: State,
    now: Millis,
    people: BTreeMap<String, Person>,
    names: u64,
    replies: Vec<Answer>,
    logged: VecDeque<String>,
}

type Played = Result<(), String>;

impl World {
    fn new(has_users: bool) -> World {
        let setup = Setup { clients_max: CLIENTS_MAX, idle_ms_max: IDLE_MS_MAX, has_users };
        World {
            state: State::new(setup),
            now: Millis(0),
            people: BTreeMap::new(),
            names: 0,
            replies: Vec::new(),
            logged: VecDeque::new(),
        }
    }

    fn play(&mut self, step: &Step) -> Played {
        if !matches!(step, Step::Says(..)) {
            self.be_silent();
        }
        match step {
            Step::Opens(who) => {
                let conn = ConnId(self.names + 1);
                let addr = self.enters(who, Way::Stream(conn, Codec::new(Calendar::utc())));
                self.event(Event::Opened(conn, addr));
            }
            Step::OpensUdp(who) => drop(self.enters(who, Way::Datagrams)),
            Step::Says(who, bytes) => self.says(who, bytes)?,
            Step::Hears(who, bytes) => {
                let heard = &mut self.person(who)?.heard;
                let Some(size) = matched(bytes, heard) else {
                    let hint = hint(bytes, heard);
                    return Err(format!("received {}\n  hint     {hint}", heard.escape_ascii()));
                };
                heard.drain(..size);
            }
            Step::Closes(who) => self.closes(who)?,
            Step::Ends(who) => {
                let person = self.person(who)?;
                let is_over = person.ended && person.heard.is_empty();
                return is_over.then_some(()).ok_or(format!("{who} is still there"));
            }
            Step::Logs(line) => return self.logs(line),
            Step::At(ms) => {
                self.all_was_heard()?;
                while let Some(due) = self.state.deadline().filter(|due| *due <= Millis(*ms)) {
                    assert!(due > self.now, "overdue at {}: {due}", self.now);
                    self.now = due;
                    self.event(Event::Tick);
                }
                self.now = Millis(*ms);
            }
            _ => return Err("not a step of the command server".to_owned()),
        }
        Ok(())
    }

    fn person(&mut self, who: &str) -> Result<&mut Person, String> {
        self.people.get_mut(who).ok_or_else(|| format!("nobody is called {who}"))
    }

    fn enters(&mut self, who: &str, way: Way) -> SocketAddr {
        self.names += 1;
        let addr = SocketAddr::from(([127, 0, 0, 1], 40_000 + self.names as u16));
        let person = Person { way, addr, asks: false, heard: Vec::new(), ended: false };
        self.people.insert(who.to_owned(), person);
        addr
    }

    fn says(&mut self, who: &str, bytes: &[u8]) -> Played {
        let person = self.person(who)?;
        let addr = person.addr;
        match &mut person.way {
            Way::Stream(_, codec) => {
                codec.feed(bytes);
                self.take_in(who);
            }
            Way::Datagrams => {
                if let Some(request) = Request::parse_datagram(bytes) {
                    self.event(Event::Datagram(addr, request));
                    let answer = self.replies.pop().ok_or("a datagram was not answered")?;
                    answer.write(&Calendar::utc(), &mut self.person(who)?.heard);
                }
            }
        }
        Ok(())
    }

    /// What the connection's thread does: all complete requests are one turn.
    fn take_in(&mut self, who: &str) {
        let Some(Person {
            way: Way::Stream(conn, codec), asks: asks @ false, ended: false, ..
        }) = self.people.get_mut(who)
        else {
            return;
        };
        let questions: Vec<Request> = std::iter::from_fn(|| codec.next()).collect();
        if !questions.is_empty() {
            *asks = true;
            let event = Event::Asked(*conn, Turn { questions, ..Turn::default() });
            self.event(event);
            self.take_in(who);
        }
    }

    /// Nobody has said anything for a while.
    fn be_silent(&mut self) {
        let names: Vec<String> = self.people.keys().cloned().collect();
        for who in names {
            if let Some(Person { way: Way::Stream(_, codec), .. }) = self.people.get_mut(&who) {
                codec.silence();
            }
            self.take_in(&who);
        }
    }

    fn closes(&mut self, who: &str) -> Played {
        let person = self.people.remove(who).ok_or(format!("nobody is called {who}"))?;
        if let Way::Stream(conn, _) = person.way {
            self.event(Event::Closed(conn, None));
        }
        Ok(())
    }

    fn logs(&mut self, line: &str) -> Played {
        let mut line = line.to_owned();
        for (name, person) in &self.people {
            line = line.replace(&format!("@{name} "), &format!("{} ", person.addr));
        }
        let at = self.logged.iter().position(|logged| *logged == line);
        let at = at.ok_or_else(|| format!("wanted {line:?}, logged {:#?}", self.logged))?;
        self.logged.drain(..=at);
        Ok(())
    }

    fn all_was_heard(&mut self) -> Played {
        self.be_silent();
        let unheard = self.people.iter().find(|(_, person)| !person.heard.is_empty());
        unheard.map_or(Ok(()), |(who, person)| {
            Err(format!("{who} was told {}", person.heard.escape_ascii()))
        })
    }

    fn event(&mut self, event: Event) {
        let wall = Wall(self.now.0 as i64 * 1000);
        let mut checks = VecDeque::new();
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for effect in self.state.handle(Moment { at: self.now, wall }, event) {
                match effect {
                    Effect::Answer(conn, turn) => self.answer(conn, &turn),
                    Effect::Reply(answer) => self.replies.push(answer),
                    Effect::Check(conn, name, password) => {
                        let verdict = match (name == USER.0, password.bytes() == USER.1) {
                            (false, _) => Verdict::Nobody,
                            (true, false) => Verdict::Wrong,
                            (true, true) => Verdict::Right,
                        };
                        checks.push_back(Event::Checked(conn, verdict));
                    }
                    Effect::HangUp(conn) => self.of(conn).ended = true,
                    Effect::Log(line) => self.logged.push_back(line),
                    Effect::End => {}
                }
            }
            next = checks.pop_front();
        }
    }

    fn of(&mut self, conn: ConnId) -> &mut Person {
        let is_it = |person: &&mut Person| matches!(person.way, Way::Stream(id, _) if id == conn);
        self.people.values_mut().find(is_it).unwrap()
    }

    fn answer(&mut self, conn: ConnId, turn: &Turn) {
        assert!(turn.last || turn.answers.len() == turn.questions.len(), "{turn:?}");
        let person = self.of(conn);
        person.asks = false;
        person.ended |= turn.last;
        if let Way::Stream(_, codec) = &mut person.way {
            turn.answers.iter().for_each(|answer| codec.encode(answer, &mut person.heard));
        }
        if turn.last {
            self.event(Event::Closed(conn, None));
        }
    }
}
