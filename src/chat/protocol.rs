//! One datagram, one message (spec: Datagram).

use crate::chat::limits::{
    DATAGRAM_BYTES, DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN, HEAD_BYTES, NAME_BYTES_MAX,
    TEXT_BYTES_MAX,
};
use std::fmt;

/// Names a client; chosen by itself. 0 is the server, or, as a destination, everybody.
pub type Id = u32;

/// The server, as an origin.
pub const SERVER: Id = 0;
/// Everybody, as a destination.
pub const EVERYBODY: Id = 0;
/// How every message begins that names who is there.
pub const LIST_HEAD: &str = "Clientes conectados: ";
/// How the server calls itself.
pub const SERVER_NAME: &str = "Servidor";

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// OI: I am here.
    Hello,
    /// TCHAU: I leave.
    Bye,
    /// MSG: a text.
    Text,
    /// ERRO: no, and why.
    Error,
    /// LISTA: who is here?
    List,
    /// Anything else.
    Unknown(u32),
}

impl Kind {
    fn from_number(number: u32) -> Kind {
        match number {
            0 => Kind::Hello,
            1 => Kind::Bye,
            2 => Kind::Text,
            3 => Kind::Error,
            4 => Kind::List,
            other => Kind::Unknown(other),
        }
    }

    fn number(self) -> u32 {
        match self {
            Kind::Hello => 0,
            Kind::Bye => 1,
            Kind::Text => 2,
            Kind::Error => 3,
            Kind::List => 4,
            Kind::Unknown(other) => other,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Hello => f.write_str("OI"),
            Kind::Bye => f.write_str("TCHAU"),
            Kind::Text => f.write_str("MSG"),
            Kind::Error => f.write_str("ERRO"),
            Kind::List => f.write_str("LISTA"),
            Kind::Unknown(number) => write!(f, "({number})"),
        }
    }
}

/// A message, whoever sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is for.
    pub kind: Kind,
    /// Who says it.
    pub origin: Id,
    /// To whom.
    pub destination: Id,
    /// The name of who says it, at most [`NAME_BYTES_MAX`].
    pub name: String,
    /// At most [`TEXT_BYTES_MAX`].
    pub text: String,
}

/// What is wrong with a datagram whose sender can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The text has more than [`TEXT_BYTES_MAX`].
    TooLong,
    /// The name or the text is not UTF-8.
    NotText,
}

impl Flaw {
    /// For its sender.
    pub fn text(self) -> &'static str {
        match self {
            Flaw::TooLong => "Texto com mais de 140 bytes.",
            Flaw::NotText => "Nome ou texto não é UTF-8.",
        }
    }
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Message),
    /// Nearly one, and the id that its sender gave.
    Flawed(Id, Kind, Flaw),
}

impl Message {
    /// One of the server's.
    pub fn from_server(kind: Kind, destination: Id, text: String) -> Message {
        Message { kind, origin: SERVER, destination, name: SERVER_NAME.to_owned(), text }
    }

    /// Always [`DATAGRAM_BYTES`]. A name or text that is too long is cut between two characters:
    /// who makes a message sees to it that nothing is.
    pub fn encode(&self) -> [u8; DATAGRAM_BYTES] {
        let mut bytes = [0; DATAGRAM_BYTES];
        let name = head(&self.name, NAME_BYTES_MAX).as_bytes();
        let text = head(&self.text, TEXT_BYTES_MAX).as_bytes();
        let numbers = [self.kind.number(), self.origin, self.destination, text.len() as u32];
        for (field, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            field.copy_from_slice(&number.to_be_bytes());
        }
        bytes[HEAD_BYTES..][..name.len()].copy_from_slice(name);
        bytes[HEAD_BYTES + NAME_BYTES_MAX..][..text.len()].copy_from_slice(text);
        bytes
    }
}

/// What a datagram says. None if it is not one of ours at all.
///
/// The size is a hint that we do not need: programs in the wild count characters, not bytes, and
/// some do not pad, so the text is all that is behind the name but its trailing NULs.
pub fn decode(bytes: &[u8]) -> Option<Heard> {
    if !(DATAGRAM_BYTES_MIN..=DATAGRAM_BYTES_MAX).contains(&bytes.len()) {
        return None;
    }
    let number =
        |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (kind, origin, destination) = (Kind::from_number(number(0)), number(4), number(8));
    let (name, text) = bytes[HEAD_BYTES..].split_at(NAME_BYTES_MAX);
    let (name, text) = (unpadded(name), unpadded(text));
    let flawed = |flaw| Some(Heard::Flawed(origin, kind, flaw));
    let (Ok(name), Ok(text)) = (str::from_utf8(name), str::from_utf8(text)) else {
        return flawed(Flaw::NotText);
    };
    if text.len() > TEXT_BYTES_MAX {
        return flawed(Flaw::TooLong);
    }
    let (name, text) = (name.to_owned(), text.to_owned());
    Some(Heard::Message(Message { kind, origin, destination, name, text }))
}

fn unpadded(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    &bytes[..end]
}

/// As much of `text` as fits into `bytes_max`, in whole characters.
pub fn head(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A text in parts that each fit into a message, cut between characters, at a space if there is
/// one not too far from the end.
pub fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut part = head(rest, TEXT_BYTES_MAX);
        if part.len() < rest.len()
            && let Some(at) = part.rfind(' ').filter(|at| *at > TEXT_BYTES_MAX / 2)
        {
            part = &part[..=at];
        }
        rest = &rest[part.len()..];
        Some(part)
    })
}
