//! MQTT 3.1.1: bytes to packets and back. No socket, no clock.
//!
//! Clauses in brackets are those of the standard (OASIS, MQTT Version 3.1.1).

mod decode;
mod encode;
mod topic;

pub use decode::{Decoder, Malformed};
pub use encode::{encode, encode_publish};
pub use topic::{Level, covers, is_filter, is_name, levels, matches};

use std::fmt;
use std::sync::Arc;

/// What a packet that wants an answer is known by; never 0 \[MQTT-2.3.1-1\].
pub type PacketId = u16;

/// The version that we speak (3.1.2.2).
pub const LEVEL: u8 = 4;

/// How hard a message is tried to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qos {
    /// Sent once, and not asked after.
    AtMostOnce = 0,
    /// Sent until it is acknowledged; it may come twice.
    AtLeastOnce = 1,
    /// Comes once.
    ExactlyOnce = 2,
}

impl Qos {
    /// The level that two bits stand for.
    pub fn from_bits(bits: u8) -> Option<Qos> {
        match bits {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            2 => Some(Qos::ExactlyOnce),
            _ => None,
        }
    }
}

/// A topic and what is said on it. Cheap to clone: a message for a thousand is kept once.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic, then the payload.
    bytes: Arc<[u8]>,
    topic_bytes: usize,
}

impl Message {
    /// A message. The topic is a name by [`is_name`].
    pub fn new(topic: &str, payload: &[u8]) -> Message {
        Message { bytes: [topic.as_bytes(), payload].concat().into(), topic_bytes: topic.len() }
    }

    /// Where it is said.
    pub fn topic(&self) -> &str {
        // It was a text when the message was made.
        std::str::from_utf8(&self.bytes[..self.topic_bytes]).unwrap_or_default()
    }

    /// What is said.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.topic_bytes..]
    }

    /// Topic and payload, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.topic(), self.payload().escape_ascii())
    }
}

/// A message on its way (3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// What is said, and where.
    pub message: Message,
    /// How hard it is tried; above 0 with an id.
    pub qos: Qos,
    /// From a client: to be kept for those who subscribe later. To a client: it was kept.
    pub retain: bool,
    /// It may have been sent before.
    pub dup: bool,
    /// 0 with QoS 0.
    pub id: PacketId,
}

/// A client's first packet (3.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// 4 is MQTT 3.1.1.
    pub level: u8,
    /// Nothing is kept from an earlier session, nor of this one.
    pub clean: bool,
    /// Longest silence of the client, in s; 0: any.
    pub keep_alive_s: u16,
    /// What the client calls itself; may be empty.
    pub client: String,
    /// What is said for it when it is gone without a word: message, QoS, retained.
    pub will: Option<(Message, Qos, bool)>,
    /// Who it is.
    pub user: Option<String>,
    /// Only with a user name \[MQTT-3.1.2-22\].
    pub password: Option<Vec<u8>>,
}

impl Connect {
    /// A client that wants nothing kept and says nothing of itself but this.
    pub fn new(level: u8, client: String) -> Connect {
        let (keep_alive_s, will, user, password) = (0, None, None, None);
        Connect { level, clean: true, keep_alive_s, client, will, user, password }
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A trace is no place for a password.
        let Connect { level, clean, keep_alive_s, client, will, user, password: _ } = self;
        write!(f, "level={level} clean={clean} keep_alive_s={keep_alive_s} client={client:?}")?;
        write!(f, " will={will:?} user={user:?}")
    }
}

/// What a client is told about its CONNECT (3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It is in.
    Accepted = 0,
    /// We speak another version.
    UnacceptableVersion = 1,
    /// We do not take such an id.
    IdentifierRejected = 2,
    /// We cannot take it now.
    ServerUnavailable = 3,
    /// The password is not the user's.
    BadUserOrPassword = 4,
    /// It may not come in.
    NotAuthorized = 5,
}

impl Code {
    /// The code that a byte stands for.
    pub fn from_byte(byte: u8) -> Option<Code> {
        use Code::*;
        let all = [
            Accepted,
            UnacceptableVersion,
            IdentifierRejected,
            ServerUnavailable,
            BadUserOrPassword,
            NotAuthorized,
        ];
        all.get(usize::from(byte)).copied()
    }
}

/// Every packet there is, in both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// A client's first.
    Connect(Box<Connect>),
    /// Whether a session was kept, and the code.
    ConnAck(bool, Code),
    /// A message.
    Publish(Publish),
    /// QoS 1: it is there.
    PubAck(PacketId),
    /// QoS 2: it is there.
    PubRec(PacketId),
    /// QoS 2: it will not be sent again.
    PubRel(PacketId),
    /// QoS 2: it is over.
    PubComp(PacketId),
    /// Filters, at least one, and the highest QoS wanted for each.
    Subscribe(PacketId, Vec<(String, Qos)>),
    /// What was granted for each; nothing: refused.
    SubAck(PacketId, Vec<Option<Qos>>),
    /// Filters, at least one.
    Unsubscribe(PacketId, Vec<String>),
    /// Done.
    UnsubAck(PacketId),
    /// Somebody there?
    PingReq,
    /// Yes.
    PingResp,
    /// Goodbye, without a will.
    Disconnect,
}
