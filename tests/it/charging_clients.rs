//! The broker as a value, and clients whose every packet is written out in a test.

use malha::charging::broker::state::{Effect, Event, Room, Setup, State, Why};
use malha::charging::protocol::{Code, Connect, LEVEL, Message, Packet, Publish, Qos};
use malha::net::clock::Millis;
use malha::net::pushed::LinkId;
use std::collections::{BTreeMap, VecDeque};

pub const ROOM: Room = Room { in_flight_max: 3, queued_max: 5 };

/// A broker, and what its clients have been sent and have not looked at.
pub struct World {
    pub state: State,
    pub now: Millis,
    pub heard: BTreeMap<u64, VecDeque<Effect>>,
    /// Passwords that are to be compared.
    pub checks: VecDeque<(u64, String, Vec<u8>)>,
    pub lost: Vec<(String, Qos)>,
}

impl World {
    pub fn new() -> World {
        World::with(ROOM, false, &[])
    }

    pub fn with(room: Room, has_users: bool, denied: &[&str]) -> World {
        let denied = denied.iter().map(|filter| (*filter).to_owned()).collect();
        World {
            state: State::new(Setup { room, has_users, denied }),
            now: Millis(0),
            heard: BTreeMap::new(),
            checks: VecDeque::new(),
            lost: Vec::new(),
        }
    }

    pub fn event(&mut self, event: Event) {
        self.one_event(event);
        // It looks for retained messages, some at a time.
        while self.state.deadline().is_some_and(|due| due.0 == 0) {
            self.one_event(Event::Tick);
        }
        let due = self.state.deadline();
        assert!(due.is_none_or(|due| due > self.now), "{due:?} is over at {}", self.now);
    }

    fn one_event(&mut self, event: Event) {
        for effect in self.state.handle(self.now, event) {
            let cut = match &effect {
                Effect::Cut(link, _) => Some(*link),
                _ => None,
            };
            match effect {
                Effect::Send(link, _) | Effect::Mark(link) | Effect::Cut(link, _) => {
                    let heard = self.heard.entry(link.0).or_default();
                    let is_over = heard.iter().any(|effect| matches!(effect, Effect::Cut(..)));
                    assert!(!is_over, "{effect:?} after the connection was cut");
                    heard.push_back(effect);
                }
                Effect::Check(link, user, word) => self.checks.push_back((link.0, user, word)),
                Effect::Lost(client, qos) => self.lost.push((client.to_string(), qos)),
                Effect::Joined(..) => {}
            }
            // So it is with sockets: whatever is cut is closed.
            if let Some(link) = cut {
                assert_eq!(self.state.handle(self.now, Event::Closed(link)), []);
            }
        }
    }

    /// Every deadline on the way is kept.
    pub fn at(&mut self, ms: u64) {
        while let Some(due) = self.state.deadline().filter(|due| due.0 <= ms) {
            self.now = due;
            self.event(Event::Tick);
        }
        self.now = Millis(ms);
    }

    pub fn opens(&mut self, link: u64) {
        self.event(Event::Opened(LinkId(link)));
    }

    pub fn says(&mut self, link: u64, packet: Packet) {
        self.event(Event::Heard(LinkId(link), vec![Ok(packet)]));
    }

    /// The connection is lost.
    pub fn closes(&mut self, link: u64) {
        self.event(Event::Closed(LinkId(link)));
    }

    pub fn next(&mut self, link: u64) -> Option<Effect> {
        self.heard.get_mut(&link)?.pop_front()
    }

    #[track_caller]
    pub fn hears(&mut self, link: u64, packet: Packet) {
        assert_eq!(self.next(link), Some(Effect::Send(LinkId(link), packet)));
    }

    #[track_caller]
    pub fn hears_nothing(&mut self, link: u64) {
        assert_eq!(self.next(link), None);
    }

    #[track_caller]
    pub fn is_cut(&mut self, link: u64, why: Why) {
        assert_eq!(self.next(link), Some(Effect::Cut(LinkId(link), why)));
    }

    /// Opens a connection and says CONNECT.
    pub fn connects(&mut self, link: u64, connect: Connect) {
        self.opens(link);
        self.says(link, Packet::Connect(Box::new(connect)));
    }

    /// A client comes in; nothing was kept of it.
    #[track_caller]
    pub fn joins(&mut self, link: u64, connect: Connect) {
        self.connects(link, connect);
        self.hears(link, Packet::ConnAck(false, Code::Accepted));
    }

    /// A client comes back to its session.
    #[track_caller]
    pub fn returns(&mut self, link: u64, client: &str) {
        self.connects(link, kept(client));
        self.hears(link, Packet::ConnAck(true, Code::Accepted));
    }

    #[track_caller]
    pub fn subscribes(&mut self, link: u64, filter: &str, qos: u8) {
        self.says(link, subscribe(9, &[(filter, qos)]));
        self.hears(link, Packet::SubAck(9, vec![Qos::from_bits(qos)]));
    }
}

/// A client that wants nothing kept.
pub fn clean(client: &str) -> Connect {
    Connect::new(LEVEL, client.to_owned())
}

/// A client whose session outlives its connection.
pub fn kept(client: &str) -> Connect {
    Connect { clean: false, ..clean(client) }
}

pub fn with_will(connect: Connect, topic: &str, payload: &str, qos: u8, retain: bool) -> Connect {
    let message = Message::new(topic, payload.as_bytes());
    Connect { will: Some((message, Qos::from_bits(qos).unwrap(), retain)), ..connect }
}

pub fn publish(topic: &str, payload: &str, qos: u8, id: u16) -> Packet {
    publishing(topic, payload.as_bytes(), qos, id, false, false)
}

/// It may have come before.
pub fn again(topic: &str, payload: &str, qos: u8, id: u16) -> Packet {
    publishing(topic, payload.as_bytes(), qos, id, false, true)
}

pub fn retained(topic: &str, payload: &str, qos: u8, id: u16) -> Packet {
    publishing(topic, payload.as_bytes(), qos, id, true, false)
}

pub fn publishing(
    topic: &str,
    payload: &[u8],
    qos: u8,
    id: u16,
    retain: bool,
    dup: bool,
) -> Packet {
    let message = Message::new(topic, payload);
    Packet::Publish(Publish { message, qos: Qos::from_bits(qos).unwrap(), retain, dup, id })
}

pub fn subscribe(id: u16, filters: &[(&str, u8)]) -> Packet {
    let filters = filters.iter();
    let filters =
        filters.map(|(filter, qos)| ((*filter).to_owned(), Qos::from_bits(*qos).unwrap()));
    Packet::Subscribe(id, filters.collect())
}

/// A subscriber 1 and a publisher 2.
pub fn pair(filter: &str, qos: u8) -> World {
    pair_with(ROOM, filter, qos)
}

pub fn pair_with(room: Room, filter: &str, qos: u8) -> World {
    let mut world = World::with(room, false, &[]);
    world.joins(1, kept("sub"));
    world.subscribes(1, filter, qos);
    world.joins(2, clean("pub"));
    world
}

/// The payloads of what a client was sent since it was last asked, its marks left out.
pub fn payloads(world: &mut World, link: u64) -> Vec<String> {
    let heard = std::mem::take(world.heard.entry(link).or_default());
    let payload = |effect| match effect {
        Effect::Send(_, Packet::Publish(publish)) => {
            Some(String::from_utf8_lossy(publish.message.payload()).into_owned())
        }
        _ => None,
    };
    heard.into_iter().filter_map(payload).collect()
}
