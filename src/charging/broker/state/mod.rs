//! All rules of the broker. A value: events and the time go in, effects come out.

mod doors;
mod filters;
mod retained;
mod session;
mod talk;

pub use filters::Filters;
pub use retained::{Look, Retained};
pub use session::{Fate, Out, Room, Session};

use crate::charging::limits::{CONNECT_MS_MAX, EARLY_PACKETS_MAX};
use crate::charging::protocol::{Code, Connect, Malformed, Packet, Qos};
use crate::net::clock::Millis;
use crate::net::counters::{self, Counter};
use crate::net::pushed::LinkId;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// Names one session for as long as the broker lives; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u64);

/// Everything that can happen.
#[derive(Debug)]
pub enum Event {
    /// Somebody connected.
    Opened(LinkId),
    /// All packets of one read.
    Heard(LinkId, Vec<Result<Packet, Malformed>>),
    /// Whether a password was right.
    Checked(LinkId, bool),
    /// So many marks of this connection are written.
    Written(LinkId, u32),
    /// A connection is over.
    Closed(LinkId),
    /// Somebody found no place, and was told so.
    Refused,
    /// Time passed.
    Tick,
}

/// Everything that may come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Sends a packet.
    Send(LinkId, Packet),
    /// Asks for [`Event::Written`] when all up to here is written.
    Mark(LinkId),
    /// Ends a connection: what was sent before still goes out.
    Cut(LinkId, Why),
    /// Compares a password: user and password. The next one is asked for after
    /// [`Event::Checked`].
    Check(LinkId, String, Vec<u8>),
    /// A client is in: its id.
    Joined(LinkId, Arc<str>),
    /// A message of QoS 1 or 2 for this client was lost, because too many wait.
    Lost(Arc<str>, Qos),
}

/// Why a connection was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// What it sent is no packet.
    Malformed(Malformed),
    /// A packet that may not come now, or not from a client.
    Unexpected(&'static str),
    /// It said nothing for too long.
    Silent,
    /// It is refused.
    Refused(Code),
    /// The same client has come again \[MQTT-3.1.4-2\].
    TakenOver,
    /// It said goodbye.
    Goodbye,
}

/// What a broker is told at its start.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What each session may hold.
    pub room: Room,
    /// Whether one needs a password.
    pub has_users: bool,
    /// Filters that nobody may subscribe to, nor to anything within them.
    pub denied: Vec<String>,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections ended because of what they sent.
    pub malformed: u64,
    /// Clients that were refused, also for want of a place.
    pub refused: u64,
    /// Clients that said nothing for too long.
    pub silent: u64,
    /// Clients that asked and asked and read no answer; counted where the answers wait.
    pub unread: u64,
    /// Connections taken over by a new one of the same client.
    pub taken_over: u64,
    /// Messages of QoS 0 dropped for clients that are too slow.
    pub dropped: u64,
    /// Messages of QoS 1 and 2 lost for clients for which too many wait.
    pub lost: u64,
    /// Messages that were not retained, because there are too many.
    pub not_retained: u64,
    /// Subscriptions that were refused.
    pub denied: u64,
    /// Sessions that ended because too many clients are away.
    pub forgotten: u64,
}

impl Counters {
    /// Those that are not zero.
    pub fn report(&self) -> Vec<Counter> {
        counters::nonzero([
            ("malformed", self.malformed),
            ("refused", self.refused),
            ("silent", self.silent),
            ("unread", self.unread),
            ("taken-over", self.taken_over),
            ("dropped-qos0", self.dropped),
            ("lost-qos1-2", self.lost),
            ("not-retained", self.not_retained),
            ("denied-filters", self.denied),
            ("forgotten-sessions", self.forgotten),
        ])
    }
}

/// A connection.
#[derive(Debug)]
struct Link {
    stage: Stage,
    heard_at: Millis,
    /// Longest silence, in ms.
    patience_ms: Option<u64>,
    /// When it is looked at next.
    look_at: Option<Millis>,
}

#[derive(Debug)]
enum Stage {
    /// It has said nothing.
    New,
    /// Its password is being compared; what it has said meanwhile.
    Checking(Box<Connect>, Vec<Result<Packet, Malformed>>),
    /// A client.
    In(Key),
}

/// The broker.
#[derive(Debug)]
pub struct State {
    setup: Setup,
    links: HashMap<LinkId, Link>,
    /// When to look whether a link has been silent for too long. One entry for each that can be.
    looks: BTreeSet<(Millis, LinkId)>,
    sessions: HashMap<Key, Session>,
    keys: HashMap<Arc<str>, Key>,
    /// Sessions of clients that are away, by the time since when.
    away: BTreeSet<(Millis, Key)>,
    /// What is held for all clients together.
    held_bytes: usize,
    filters: Filters,
    retained: Retained,
    last_key: u64,
    /// Whose password is being compared, and whose are to be, first come first. A wrong one takes
    /// its time, so those who do not wait for it must not take everybody's.
    compared: Option<LinkId>,
    to_compare: BTreeSet<LinkId>,
    /// For whom retained messages are looked for.
    searching: VecDeque<Key>,
    /// Who hears a message; kept, so that it need not be made anew for each.
    found: Vec<(Key, Qos)>,
    out: Vec<Out>,
    counters: Counters,
    effects: Vec<Effect>,
}

impl State {
    /// A broker that knows nobody.
    pub fn new(setup: Setup) -> State {
        State {
            setup,
            links: HashMap::new(),
            looks: BTreeSet::new(),
            sessions: HashMap::new(),
            keys: HashMap::new(),
            away: BTreeSet::new(),
            held_bytes: 0,
            filters: Filters::default(),
            retained: Retained::default(),
            last_key: 0,
            compared: None,
            to_compare: BTreeSet::new(),
            searching: VecDeque::new(),
            found: Vec::new(),
            out: Vec::new(),
            counters: Counters::default(),
            effects: Vec::new(),
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is kept of a client.
    pub fn session(&self, client: &str) -> Option<&Session> {
        self.sessions.get(self.keys.get(client)?)
    }

    /// When to come with a tick, if nothing else happens.
    pub fn deadline(&self) -> Option<Millis> {
        if !self.searching.is_empty() {
            // There is more to look for, as soon as everybody else was heard.
            return Some(Millis(0));
        }
        self.looks.first().map(|(at, _)| *at)
    }

    /// Takes in what happened, and says what comes of it.
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Opened(link) => {
                self.set_stage(now, link, Stage::New, Some(CONNECT_MS_MAX));
            }
            Event::Heard(link, packets) => self.heard(now, link, packets),
            Event::Checked(link, is_right) => self.checked(now, link, is_right),
            Event::Written(link, marks) => {
                let room = self.setup.room;
                self.with_session(link, |session, out| session.marked(marks, room, out));
            }
            Event::Closed(link) => self.part(now, link, true),
            Event::Refused => self.counters.refused += 1,
            Event::Tick => self.tick(now),
        }
        self.search();
        std::mem::take(&mut self.effects)
    }

    fn heard(&mut self, now: Millis, id: LinkId, packets: Vec<Result<Packet, Malformed>>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.heard_at = now;
        }
        for packet in packets {
            // Gone, perhaps because of a packet before this one.
            let Some(link) = self.links.get_mut(&id) else { return };
            match &mut link.stage {
                Stage::In(key) => {
                    let key = *key;
                    self.client_said(now, id, key, packet);
                }
                Stage::Checking(_, early) if early.len() < EARLY_PACKETS_MAX => early.push(packet),
                Stage::Checking(..) => self.expel(now, id, Why::Unexpected("too much too early")),
                Stage::New => match packet {
                    Ok(Packet::Connect(connect)) => self.connect(now, id, connect),
                    Ok(_) => self.expel(now, id, Why::Unexpected("the first is no CONNECT")),
                    Err(malformed) => self.expel(now, id, Why::Malformed(malformed)),
                },
            }
        }
    }

    fn set_stage(&mut self, now: Millis, id: LinkId, stage: Stage, patience_ms: Option<u64>) {
        let look_at = patience_ms.map(|ms| now.plus(ms));
        let link = Link { stage, heard_at: now, patience_ms, look_at };
        if let Some(Link { look_at: Some(at), .. }) = self.links.insert(id, link) {
            self.looks.remove(&(at, id));
        }
        self.looks.extend(look_at.map(|at| (at, id)));
    }

    fn tick(&mut self, now: Millis) {
        while let Some((at, id)) = self.looks.first().copied().filter(|(at, _)| *at <= now) {
            self.looks.remove(&(at, id));
            let Some(link) = self.links.get_mut(&id) else { continue };
            let Some(patience_ms) = link.patience_ms else { continue };
            let due = link.heard_at.plus(patience_ms);
            if due > now {
                link.look_at = Some(due);
                self.looks.insert((due, id));
            } else if matches!(link.stage, Stage::Checking(..)) {
                // It was not silent: we are too slow.
                self.refuse(now, id, Code::ServerUnavailable);
            } else {
                self.counters.silent += 1;
                self.part(now, id, true);
                self.effects.push(Effect::Cut(id, Why::Silent));
            }
        }
    }
}
