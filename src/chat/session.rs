//! All rules of a client: it joins, stays, and leaves. A value, like the server's state.

use crate::chat::limits::{ALIVE_MS, DONE_MS_MAX, JOIN_MS, JOIN_TRIES_MAX, SAY_MS, UNANSWERED_MAX};
use crate::chat::protocol::{EVERYBODY, Heard, Id, Kind, Message, SERVER, parts};
use crate::net::clock::Millis;

/// What a person wants, or the network brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Begins.
    Started,
    /// A datagram from the server.
    Heard(Option<Heard>),
    /// Says a text to one, or to everybody.
    Say(Id, String),
    /// Asks who is there.
    List,
    /// Nothing more is wanted: leaves as soon as all that was asked for has been answered.
    Done,
    /// Leaves at once.
    Leave,
    /// Time passed.
    Tick,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Sends it to the server.
    Send(Message),
    /// Shows it.
    Show(Line),
    /// It has joined.
    Joined,
    /// It is over.
    End(Ending),
}

/// One line of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What kind of line.
    pub voice: Voice,
    /// Who says it; empty for the server and for errors.
    pub name: String,
    /// What is said.
    pub text: String,
}

/// Who speaks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The server.
    Server,
    /// Somebody, to everybody.
    Public,
    /// Somebody, to us alone.
    Private,
    /// We, to this one alone.
    Sent(Id),
    /// Something went wrong.
    Error,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// We left.
    Left,
    /// The server ended, and said so.
    ServerGone,
    /// The server does not answer.
    NoAnswer,
    /// The server refuses us, with these words.
    Refused(String),
}

/// Who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Our id.
    pub id: Id,
    /// Our name.
    pub name: String,
}

/// A client's session with a server.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    has_joined: bool,
    /// OIs that have no answer yet.
    unanswered: u32,
    /// When the next one is due.
    hello_at: Millis,
    /// Until then nothing more is said, or the server would drop it.
    silent_until: Option<Millis>,
    /// When we leave, answered or not.
    leave_at: Option<Millis>,
}

impl Session {
    /// A session that has not started.
    pub fn new(identity: Identity) -> Session {
        let (silent_until, leave_at) = (None, None);
        let (has_joined, unanswered, hello_at) = (false, 0, Millis(0));
        Session { identity, has_joined, unanswered, hello_at, silent_until, leave_at }
    }

    /// When a [`Event::Tick`] is due.
    pub fn deadline(&self) -> Millis {
        let sooner = [self.silent_until, self.leave_at].into_iter().flatten().min();
        sooner.map_or(self.hello_at, |at| at.min(self.hello_at))
    }

    /// Whether it takes what a person wants; if not, that waits.
    pub fn is_ready(&self) -> bool {
        self.has_joined && self.silent_until.is_none() && self.leave_at.is_none()
    }

    /// Takes in what happened, and says what comes of it.
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Started => vec![self.hello(now)],
            Event::Tick => self.tick(now),
            // Datagrams that are none are not worth a word: anybody can send them.
            Event::Heard(None | Some(Heard::Flawed(..))) => Vec::new(),
            Event::Heard(Some(Heard::Message(message))) => self.heard(now, message),
            Event::Say(to, text) => self.say(now, to, &text),
            Event::List => {
                self.silent_until = Some(now.plus(SAY_MS));
                vec![Effect::Send(self.message(Kind::List, SERVER, ""))]
            }
            // The answer to an OI comes behind all other answers.
            Event::Done => {
                self.leave_at = Some(now.plus(DONE_MS_MAX));
                vec![Effect::Send(self.message(Kind::Hello, SERVER, ""))]
            }
            Event::Leave => self.leave(Ending::Left),
        }
    }

    fn say(&mut self, now: Millis, to: Id, text: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut said = 0;
        for part in parts(text) {
            said += 1;
            effects.push(Effect::Send(self.message(Kind::Text, to, part)));
            if to != EVERYBODY {
                effects.push(show(Voice::Sent(to), "", part));
            }
        }
        self.silent_until = Some(now.plus(said * SAY_MS));
        effects
    }

    fn leave(&self, ending: Ending) -> Vec<Effect> {
        vec![Effect::Send(self.message(Kind::Bye, SERVER, "")), Effect::End(ending)]
    }

    fn tick(&mut self, now: Millis) -> Vec<Effect> {
        if self.silent_until.is_some_and(|until| now >= until) {
            self.silent_until = None;
        }
        match self.leave_at {
            Some(at) if now >= at => self.leave(Ending::Left),
            _ if now >= self.hello_at => self.repeat(now),
            _ => Vec::new(),
        }
    }

    fn message(&self, kind: Kind, destination: Id, text: &str) -> Message {
        let (Identity { id, name }, text) = (self.identity.clone(), text.to_owned());
        Message { kind, origin: id, destination, name, text }
    }

    fn hello(&mut self, now: Millis) -> Effect {
        self.hello_at = now.plus(if self.has_joined { ALIVE_MS } else { JOIN_MS });
        self.unanswered += 1;
        Effect::Send(self.message(Kind::Hello, SERVER, ""))
    }

    fn repeat(&mut self, now: Millis) -> Vec<Effect> {
        if !self.has_joined && self.unanswered >= JOIN_TRIES_MAX {
            // It may have heard us all the same.
            return self.leave(Ending::NoAnswer);
        }
        let mut effects = Vec::new();
        if self.has_joined && self.unanswered == UNANSWERED_MAX {
            effects.push(show(Voice::Error, "", "O servidor não responde."));
        }
        effects.push(self.hello(now));
        effects
    }

    fn heard(&mut self, now: Millis, message: Message) -> Vec<Effect> {
        let Message { kind, origin, destination, name, text } = message;
        match kind {
            Kind::Hello if origin == SERVER => {
                self.unanswered = 0;
                if self.leave_at.is_some() {
                    return self.leave(Ending::Left);
                }
                if std::mem::replace(&mut self.has_joined, true) {
                    return Vec::new();
                }
                self.hello_at = now.plus(ALIVE_MS);
                vec![Effect::Joined, show(Voice::Server, "", &text)]
            }
            Kind::Error if !self.has_joined => vec![Effect::End(Ending::Refused(text))],
            Kind::Error => vec![show(Voice::Error, "", &text)],
            Kind::Text if origin == SERVER => {
                let is_end = text == "Servidor desligado. Conexão encerrada.";
                let mut effects = vec![show(Voice::Server, "", &text)];
                effects.extend(is_end.then_some(Effect::End(Ending::ServerGone)));
                effects
            }
            Kind::Text if destination == EVERYBODY => vec![show(Voice::Public, &name, &text)],
            Kind::Text => vec![show(Voice::Private, &name, &text)],
            Kind::Hello | Kind::Bye | Kind::List | Kind::Unknown(_) => Vec::new(),
        }
    }
}

fn show(voice: Voice, name: &str, text: &str) -> Effect {
    Effect::Show(Line { voice, name: name.to_owned(), text: text.to_owned() })
}
