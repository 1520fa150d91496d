//! One role's dealings with a broker. A value: packets and the time go in, packets come out.

use crate::charging::limits::{BROKER_MS_MAX, KEEP_ALIVE_S, UNACKNOWLEDGED_MAX};
use crate::charging::payload::Said;
use crate::charging::protocol::{
    Code, Connect, LEVEL, Malformed, Message, Packet, PacketId, Publish, Qos,
};
use crate::charging::roles::{self, Line, Post, Role};
use crate::net::clock::Millis;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// What a broker is told of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Nobody else's.
    pub client: String,
    /// User name and password.
    pub login: Option<(String, Vec<u8>)>,
}

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is a connection.
    Opened,
    /// The broker said something.
    Heard(Result<Packet, Malformed>),
    /// The connection is over.
    Closed,
    /// The deadline is reached.
    Due,
    /// We are to say goodbye.
    Stopped,
}

/// Everything that may come of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Sends a packet.
    Send(Packet),
    /// Ends the connection; [`Event::Closed`] follows.
    HangUp(Why),
    /// The broker has let us in.
    Joined,
    /// What the role has to say to a person.
    Told(Line),
    /// Goodbye was said.
    Done,
}

/// Why a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The broker refuses us.
    Refused(Code),
    /// It refuses what we subscribe to.
    Denied,
    /// It says nothing.
    Silent,
    /// What it says is no packet, or cannot come now.
    Malformed,
}

impl Why {
    /// Whether it would be the same again.
    pub fn is_final(self) -> bool {
        match self {
            Why::Refused(code) => code != Code::ServerUnavailable,
            Why::Denied => true,
            Why::Silent | Why::Malformed => false,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Refused(Code::BadUserOrPassword) => "wrong user name or password",
            Why::Refused(Code::NotAuthorized) => "it wants a user name and a password",
            Why::Refused(Code::IdentifierRejected) => "it does not take our client id",
            Why::Refused(Code::UnacceptableVersion) => "it does not speak MQTT 3.1.1",
            Why::Refused(_) => "it takes no more clients now",
            Why::Denied => "it lets nobody subscribe to what we must hear",
            Why::Silent => "it says nothing",
            Why::Malformed => "it does not speak MQTT 3.1.1",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Away,
    /// CONNECT is out, until then.
    Connecting(Millis),
    /// SUBSCRIBE is out, until then; what was heard meanwhile.
    Subscribing(PacketId, Millis, Vec<Publish>),
    In,
}

/// A role, and how it stands with the broker.
#[derive(Debug)]
pub struct Session<R> {
    role: R,
    identity: Identity,
    phase: Phase,
    last_id: PacketId,
    unacknowledged: VecDeque<(PacketId, Post)>,
    /// When we say something, if we have nothing else to say.
    ping_at: Millis,
    /// Until when a ping is to be answered.
    pong_by: Option<Millis>,
    bad: u64,
    effects: Vec<Effect>,
}

impl<R: Role> Session<R> {
    /// A role that has no connection yet.
    pub fn new(role: R, identity: Identity) -> Session<R> {
        Session {
            role,
            identity,
            phase: Phase::Away,
            last_id: 0,
            unacknowledged: VecDeque::new(),
            ping_at: Millis(0),
            pong_by: None,
            bad: 0,
            effects: Vec::new(),
        }
    }

    /// The role.
    pub fn role(&self) -> &R {
        &self.role
    }

    /// Messages that were none (spec: Topics and payloads).
    pub fn bad(&self) -> u64 {
        self.bad
    }

    /// When [`Event::Due`] is due.
    pub fn deadline(&self) -> Option<Millis> {
        let ours = match &self.phase {
            Phase::Away => None,
            Phase::Connecting(by) | Phase::Subscribing(_, by, _) => Some(*by),
            Phase::In => Some(self.pong_by.unwrap_or(self.ping_at)),
        };
        [ours, self.role.deadline()].into_iter().flatten().min()
    }

    /// Takes in what happened, and says what comes of it.
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Opened => self.connect(now),
            Event::Heard(Ok(packet)) => self.heard(now, packet),
            Event::Heard(Err(_)) => self.effects.push(Effect::HangUp(Why::Malformed)),
            Event::Closed => {
                let was_in = std::mem::replace(&mut self.phase, Phase::Away) == Phase::In;
                if was_in {
                    self.play(now, roles::Event::Lost);
                }
            }
            Event::Due => self.due(now),
            Event::Stopped => {
                self.play(now, roles::Event::Stopped);
                if self.phase == Phase::In {
                    self.effects.push(Effect::Send(Packet::Disconnect));
                }
                self.effects.push(Effect::Done);
            }
        }
        if self.effects.iter().any(|effect| matches!(effect, Effect::Send(_))) {
            self.ping_at = now.plus(u64::from(KEEP_ALIVE_S) * 1_000 / 2);
        }
        std::mem::take(&mut self.effects)
    }

    fn connect(&mut self, now: Millis) {
        self.phase = Phase::Connecting(now.plus(BROKER_MS_MAX));
        self.pong_by = None;
        let mut connect = Connect::new(LEVEL, self.identity.client.clone());
        connect.keep_alive_s = KEEP_ALIVE_S;
        connect.will =
            self.role.will().map(|post| (message(&post.said), qos(post.qos), post.retain));
        if let Some((user, password)) = self.identity.login.clone() {
            (connect.user, connect.password) = (Some(user), Some(password));
        }
        self.effects.push(Effect::Send(Packet::Connect(Box::new(connect))));
    }

    fn heard(&mut self, now: Millis, packet: Packet) {
        match (&mut self.phase, packet) {
            (Phase::Connecting(_), Packet::ConnAck(_, Code::Accepted)) => self.subscribe(now),
            (Phase::Connecting(_), Packet::ConnAck(_, code)) => {
                self.effects.push(Effect::HangUp(Why::Refused(code)));
            }
            (Phase::Subscribing(id, _, early), Packet::SubAck(acknowledged, granted))
                if *id == acknowledged =>
            {
                let early = std::mem::take(early);
                if granted.contains(&None) {
                    return self.effects.push(Effect::HangUp(Why::Denied));
                }
                self.join(now);
                early.into_iter().for_each(|publish| self.publish(now, &publish));
            }
            (Phase::Subscribing(_, _, early), Packet::Publish(publish)) => early.push(publish),
            (Phase::In, Packet::Publish(publish)) => self.publish(now, &publish),
            (Phase::In, Packet::PubAck(id)) => {
                self.unacknowledged.retain(|(waiting, _)| *waiting != id);
            }
            (Phase::In, Packet::PingResp) => self.pong_by = None,
            (Phase::In, Packet::SubAck(..) | Packet::UnsubAck(_)) => {}
            _ => self.effects.push(Effect::HangUp(Why::Malformed)),
        }
    }

    fn subscribe(&mut self, now: Millis) {
        let filters: Vec<(String, Qos)> =
            self.role.filters().into_iter().map(|(filter, bits)| (filter, qos(bits))).collect();
        if filters.is_empty() {
            return self.join(now);
        }
        let id = self.next_id();
        self.phase = Phase::Subscribing(id, now.plus(BROKER_MS_MAX), Vec::new());
        self.effects.push(Effect::Send(Packet::Subscribe(id, filters)));
    }

    /// We are in: first what the last connection left undone, so that what is newer comes after it.
    fn join(&mut self, now: Millis) {
        self.phase = Phase::In;
        self.effects.push(Effect::Joined);
        for (_, post) in std::mem::take(&mut self.unacknowledged) {
            self.post(post);
        }
        self.play(now, roles::Event::Connected);
    }

    fn publish(&mut self, now: Millis, publish: &Publish) {
        if publish.qos == Qos::AtLeastOnce {
            self.effects.push(Effect::Send(Packet::PubAck(publish.id)));
        }
        let topic = publish.message.topic();
        let event = match Said::decode(topic, publish.message.payload()) {
            Ok(said) => roles::Event::Heard(Arc::new(said), publish.retain),
            Err(bad) => {
                self.bad += 1;
                roles::Event::Bad(topic.to_owned(), bad)
            }
        };
        self.play(now, event);
    }

    fn due(&mut self, now: Millis) {
        let is_late = match &self.phase {
            Phase::Away => false,
            Phase::Connecting(by) | Phase::Subscribing(_, by, _) => now >= *by,
            Phase::In => self.pong_by.is_some_and(|by| now >= by),
        };
        if is_late {
            return self.effects.push(Effect::HangUp(Why::Silent));
        }
        if self.role.deadline().is_some_and(|at| now >= at) {
            self.play(now, roles::Event::Due);
        }
        if self.phase == Phase::In && now >= self.ping_at && self.pong_by.is_none() {
            self.pong_by = Some(now.plus(BROKER_MS_MAX));
            self.effects.push(Effect::Send(Packet::PingReq));
        }
    }

    /// Lets the role play.
    fn play(&mut self, now: Millis, event: roles::Event) {
        for effect in self.role.handle(now, event) {
            match effect {
                roles::Effect::Publish(post) => self.post(post),
                roles::Effect::Subscribe(filter) if self.phase == Phase::In => {
                    let id = self.next_id();
                    let filters = vec![(filter, Qos::AtLeastOnce)];
                    self.effects.push(Effect::Send(Packet::Subscribe(id, filters)));
                }
                roles::Effect::Unsubscribe(filter) if self.phase == Phase::In => {
                    let id = self.next_id();
                    self.effects.push(Effect::Send(Packet::Unsubscribe(id, vec![filter])));
                }
                // It is among those that the next connection begins with, or not.
                roles::Effect::Subscribe(_) | roles::Effect::Unsubscribe(_) => {}
                roles::Effect::Told(line) => self.effects.push(Effect::Told(line)),
                // We see to it ourselves.
                roles::Effect::Done => {}
            }
        }
    }

    fn post(&mut self, post: Post) {
        if self.phase != Phase::In {
            return;
        }
        let (message, qos, retain) = (message(&post.said), qos(post.qos), post.retain);
        let mut publish = Publish { message, qos, retain, dup: false, id: 0 };
        if qos > Qos::AtMostOnce {
            publish.id = self.next_id();
            if self.unacknowledged.len() >= UNACKNOWLEDGED_MAX {
                self.unacknowledged.pop_front();
            }
            self.unacknowledged.push_back((publish.id, post));
        }
        self.effects.push(Effect::Send(Packet::Publish(publish)));
    }

    fn next_id(&mut self) -> PacketId {
        // Far more ids than may be unacknowledged: the one before is long over.
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

fn message(said: &Said) -> Message {
    Message::new(&said.topic(), &said.encode())
}

/// Roles know 0 and 1.
fn qos(bits: u8) -> Qos {
    if bits == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce }
}
