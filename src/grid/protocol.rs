//! What may be said, and how it is written (spec: Messages). How it is read: [`super::decode`].

use std::fmt;

/// A message of any port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `REQ_ADDPEER`: asks for the peer link.
    ReqAddPeer,
    /// `RES_ADDPEER(P)`: grants it; P is the identifier given to the receiver.
    ResAddPeer(u32),
    /// `REQ_DCPEER(P)`: the sender, whose own identifier is P, leaves.
    ReqDcPeer(u32),
    /// `REQ_ADD`: asks to join.
    ReqAdd,
    /// `RES_ADD(C)`: joined, as client C.
    ResAdd(u32),
    /// `REQ_DC(C)`: client C leaves.
    ReqDc(u32),
    /// `REQ_LS` and its five siblings.
    Req(Query),
    /// `RES_LS(…)`, `RES_ES(…)`, `RES_MS(…)`: a sensor.
    ResSensor(Scope, Reading),
    /// `RES_LP(…)`, `RES_EP(…)`, `RES_MN(…)`: a network's power.
    ResPower(Scope, Power),
    /// `RES_MS(P S U W E)`: the answer to `REQ_MS` on the peer port.
    ResPeerSensor(Reading),
    /// `RES_MN(P U)`: the answer to `REQ_MN` on the peer port.
    ResPeerPower(Power),
    /// `OK(01)`: done.
    Done,
    /// `ERROR(0n)`: not done, and why.
    Error(Refusal),
    /// Bytes that are none of these, as they came.
    Malformed(Box<[u8]>),
}

/// What a client may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// The sensor with the most useful power.
    Sensor(Scope),
    /// The useful power.
    Power(Scope),
}

/// Of which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The server's own.
    Local,
    /// The other server's.
    External,
    /// The better of both.
    Global,
}

/// What a sensor gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Identifier of the network.
    pub network: u32,
    /// Identifier of the sensor.
    pub sensor: u32,
    /// Useful power in watts: the integer part of power × efficiency / 100.
    pub useful: u32,
    /// Power in watts.
    pub power: u32,
    /// Efficiency in percent.
    pub efficiency: u32,
}

/// What a network gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Power {
    /// Identifier of the network.
    pub network: u32,
    /// Useful power in watts, of all its sensors.
    pub useful: u32,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `ERROR(01)`
    ClientLimit,
    /// `ERROR(02)`
    PeerLimit,
    /// `ERROR(03)`: no peer, no answer from it in time, or a wrong peer identifier.
    PeerNotFound,
    /// `ERROR(04)`: not joined, or a wrong client identifier.
    ClientNotFound,
    /// `ERROR(05)`, an addition of ours: unknown, with a bad payload, or too long.
    Malformed,
}

/// How a program ends its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminator {
    /// It has not said anything yet.
    Unknown,
    /// Not at all.
    Nothing,
    /// `\n`
    Lf,
    /// `\r\n`
    CrLf,
    /// `\0`
    Nul,
    /// `\n\0`
    LfNul,
}

impl Terminator {
    /// What we put behind our own messages.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Terminator::Unknown | Terminator::Nothing => b"",
            Terminator::Lf => b"\n",
            Terminator::CrLf => b"\r\n",
            Terminator::Nul => b"\0",
            Terminator::LfNul => b"\n\0",
        }
    }

    /// What we put behind what answers nothing: the canonical form, for one who has not shown
    /// another.
    pub fn bytes_or_lf(self) -> &'static [u8] {
        if self == Terminator::Unknown { b"\n" } else { self.bytes() }
    }

    /// Whether its user may read lines. Others, as C programs do, take what one `recv` gives them
    /// for one message, so nothing may be joined for them. Of a client it is taken for granted; of
    /// the other server it is found out (`state/trial.rs`).
    pub fn is_line(self) -> bool {
        matches!(self, Terminator::Lf | Terminator::CrLf)
    }
}

/// What a person reads for `OK(01)`.
pub const DONE_TEXT: &str = "Successful disconnect";

impl Refusal {
    /// All of them, in the order of their numbers, which count from 1.
    pub const ALL: [Refusal; 5] = [
        Refusal::ClientLimit,
        Refusal::PeerLimit,
        Refusal::PeerNotFound,
        Refusal::ClientNotFound,
        Refusal::Malformed,
    ];

    /// The number on the wire.
    pub fn code(self) -> u32 {
        self as u32 + 1
    }

    /// What a person reads.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::ClientLimit => "Client limit exceeded",
            Refusal::PeerLimit => "Peer limit exceeded",
            Refusal::PeerNotFound => "Peer not found",
            Refusal::ClientNotFound => "Client not found",
            Refusal::Malformed => "Malformed message",
        }
    }
}

impl Query {
    /// The word on the wire, without its `REQ_` or `RES_`.
    pub fn word(self) -> &'static str {
        match self {
            Query::Sensor(Scope::Local) => "LS",
            Query::Sensor(Scope::External) => "ES",
            Query::Sensor(Scope::Global) => "MS",
            Query::Power(Scope::Local) => "LP",
            Query::Power(Scope::External) => "EP",
            Query::Power(Scope::Global) => "MN",
        }
    }

    /// Whether `answer` is of the kind that such a question gets; an error is of none.
    pub fn is_answered_by(self, answer: &Message) -> bool {
        match self {
            Query::Sensor(_) => matches!(answer, Message::ResSensor(..)),
            Query::Power(_) => matches!(answer, Message::ResPower(..)),
        }
    }

    /// As the other server is asked it: about its own network.
    pub fn forwarded(self) -> Query {
        match self {
            Query::Sensor(_) => Query::Sensor(Scope::External),
            Query::Power(_) => Query::Power(Scope::External),
        }
    }

    /// Whether the other server has to be asked.
    pub fn is_forwarded(self) -> bool {
        !matches!(self, Query::Sensor(Scope::Local) | Query::Power(Scope::Local))
    }
}

impl Scope {
    fn word(self) -> &'static str {
        match self {
            Scope::Local => "local",
            Scope::External => "external",
            Scope::Global => "global",
        }
    }
}

impl Message {
    /// Appends the canonical form, without terminator.
    ///
    /// Written by hand and not with `write!`, which takes four times as long; with one message a
    /// turn that would be a tenth of the server's own work.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Message::ReqAddPeer => bytes.extend_from_slice(b"REQ_ADDPEER"),
            Message::ResAddPeer(id) => one(bytes, "RES_ADDPEER(", *id),
            Message::ReqDcPeer(id) => one(bytes, "REQ_DCPEER(", *id),
            Message::ReqAdd => bytes.extend_from_slice(b"REQ_ADD"),
            Message::ResAdd(id) => one(bytes, "RES_ADD(", *id),
            Message::ReqDc(id) => one(bytes, "REQ_DC(", *id),
            Message::Req(query) => push(bytes, &["REQ_", query.word()]),
            Message::ResSensor(scope, reading) => {
                push(bytes, &["RES_", Query::Sensor(*scope).word(), "("]);
                reading.encode(*scope, bytes);
                bytes.push(b')');
            }
            Message::ResPower(scope, power) => {
                push(bytes, &["RES_", Query::Power(*scope).word(), "("]);
                power.encode(*scope, bytes);
                bytes.push(b')');
            }
            Message::ResPeerSensor(r) => {
                numbers(bytes, "RES_MS(", &[r.network, r.sensor, r.useful, r.power, r.efficiency]);
            }
            Message::ResPeerPower(p) => numbers(bytes, "RES_MN(", &[p.network, p.useful]),
            Message::Done => bytes.extend_from_slice(b"OK(01)"),
            Message::Error(refusal) => one(bytes, "ERROR(0", refusal.code()),
            Message::Malformed(text) => {
                for byte in text {
                    match byte {
                        b'\'' | b'"' => bytes.push(*byte),
                        byte => bytes.extend(byte.escape_ascii()),
                    }
                }
            }
        }
    }

    /// What a person sees of an answer: its payload, or the text of the code.
    pub fn payload(&self) -> String {
        let mut bytes = Vec::new();
        match self {
            Message::ResSensor(scope, reading) => reading.encode(*scope, &mut bytes),
            Message::ResPower(scope, power) => power.encode(*scope, &mut bytes),
            Message::Done => return DONE_TEXT.to_owned(),
            Message::Error(refusal) => return refusal.text().to_owned(),
            other => other.encode(&mut bytes),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        f.write_str(&String::from_utf8_lossy(&bytes))
    }
}

/// Writes messages, and keeps the last one as it was written: answers change only with the state,
/// so the same one comes again and again.
#[derive(Debug, Default)]
pub struct Writer(Option<(Message, Vec<u8>)>);

impl Writer {
    /// Appends the canonical form, without terminator.
    pub fn write(&mut self, message: &Message, bytes: &mut Vec<u8>) {
        match &self.0 {
            Some((last, text)) if last == message => bytes.extend_from_slice(text),
            _ => {
                let start = bytes.len();
                message.encode(bytes);
                self.0 = Some((message.clone(), bytes[start..].to_vec()));
            }
        }
    }
}

impl Reading {
    fn encode(&self, scope: Scope, bytes: &mut Vec<u8>) {
        push(bytes, &[scope.word(), " "]);
        decimal(bytes, self.network);
        bytes.extend_from_slice(b" sensor ");
        decimal(bytes, self.sensor);
        bytes.extend_from_slice(b": ");
        decimal(bytes, self.useful);
        bytes.extend_from_slice(b" (");
        decimal(bytes, self.power);
        bytes.push(b' ');
        decimal(bytes, self.efficiency);
        bytes.push(b')');
    }
}

impl Power {
    fn encode(&self, scope: Scope, bytes: &mut Vec<u8>) {
        push(bytes, &[scope.word(), " "]);
        decimal(bytes, self.network);
        bytes.extend_from_slice(b" potency: ");
        decimal(bytes, self.useful);
    }
}

fn one(bytes: &mut Vec<u8>, head: &str, number: u32) {
    numbers(bytes, head, &[number]);
}

fn numbers(bytes: &mut Vec<u8>, head: &str, numbers: &[u32]) {
    bytes.extend_from_slice(head.as_bytes());
    for (index, number) in numbers.iter().enumerate() {
        if index > 0 {
            bytes.push(b' ');
        }
        decimal(bytes, *number);
    }
    bytes.push(b')');
}

fn push(bytes: &mut Vec<u8>, words: &[&str]) {
    for word in words {
        bytes.extend_from_slice(word.as_bytes());
    }
}

fn decimal(bytes: &mut Vec<u8>, mut number: u32) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&digits[at..]);
}
