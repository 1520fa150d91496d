//! The words with which messages begin, port by port, and what becomes of their numbers.

use crate::grid::limits::NUMBERS_MAX;
use crate::grid::protocol::{Message, Power, Query, Reading, Refusal, Scope};

/// Whose words are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// What clients say to a server.
    Clients,
    /// What servers say to each other.
    Peers,
    /// What a server says to its clients.
    Answers,
}

/// A word, and the message that it begins.
#[derive(Debug)]
pub(super) struct Keyword {
    /// As it is written.
    pub(super) word: &'static str,
    /// How many numbers its payload has.
    pub(super) numbers: usize,
    /// The message with these numbers, which are as many; `None` if they are bad.
    pub(super) make: fn(&[u32]) -> Option<Message>,
}

const fn keyword(
    word: &'static str,
    numbers: usize,
    make: fn(&[u32]) -> Option<Message>,
) -> Keyword {
    assert!(numbers <= NUMBERS_MAX);
    Keyword { word, numbers, make }
}

const REQ_ES: Keyword =
    keyword("REQ_ES", 0, |_| Some(Message::Req(Query::Sensor(Scope::External))));
const REQ_EP: Keyword = keyword("REQ_EP", 0, |_| Some(Message::Req(Query::Power(Scope::External))));
const REQ_MS: Keyword = keyword("REQ_MS", 0, |_| Some(Message::Req(Query::Sensor(Scope::Global))));
const REQ_MN: Keyword = keyword("REQ_MN", 0, |_| Some(Message::Req(Query::Power(Scope::Global))));
const RES_ES: Keyword = keyword("RES_ES", 5, |n| sensor(Scope::External, n));
const RES_EP: Keyword = keyword("RES_EP", 2, |n| power(Scope::External, n));
const OK: Keyword = keyword("OK", 1, |n| (n[0] == 1).then_some(Message::Done));
const ERROR: Keyword = keyword("ERROR", 1, |n| {
    Refusal::ALL.into_iter().find(|refusal| refusal.code() == n[0]).map(Message::Error)
});

/// The commonest first.
const CLIENTS: [Keyword; 8] = [
    keyword("REQ_LS", 0, |_| Some(Message::Req(Query::Sensor(Scope::Local)))),
    keyword("REQ_LP", 0, |_| Some(Message::Req(Query::Power(Scope::Local)))),
    REQ_ES,
    REQ_EP,
    REQ_MS,
    REQ_MN,
    keyword("REQ_ADD", 0, |_| Some(Message::ReqAdd)),
    keyword("REQ_DC", 1, |n| Some(Message::ReqDc(n[0]))),
];

const PEERS: [Keyword; 12] = [
    REQ_ES,
    RES_ES,
    REQ_EP,
    RES_EP,
    REQ_MS,
    REQ_MN,
    OK,
    ERROR,
    keyword("REQ_ADDPEER", 0, |_| Some(Message::ReqAddPeer)),
    keyword("RES_ADDPEER", 1, |n| Some(Message::ResAddPeer(n[0]))),
    keyword("RES_ADD", 1, |n| Some(Message::ResAddPeer(n[0]))),
    keyword("REQ_DCPEER", 1, |n| Some(Message::ReqDcPeer(n[0]))),
];

const ANSWERS: [Keyword; 9] = [
    keyword("RES_LS", 5, |n| sensor(Scope::Local, n)),
    keyword("RES_LP", 2, |n| power(Scope::Local, n)),
    RES_ES,
    RES_EP,
    keyword("RES_MS", 5, |n| sensor(Scope::Global, n)),
    keyword("RES_MN", 2, |n| power(Scope::Global, n)),
    keyword("RES_ADD", 1, |n| Some(Message::ResAdd(n[0]))),
    OK,
    ERROR,
];

fn sensor(scope: Scope, n: &[u32]) -> Option<Message> {
    let reading =
        Reading { network: n[0], sensor: n[1], useful: n[2], power: n[3], efficiency: n[4] };
    Some(Message::ResSensor(scope, reading))
}

fn power(scope: Scope, n: &[u32]) -> Option<Message> {
    Some(Message::ResPower(scope, Power { network: n[0], useful: n[1] }))
}

impl Port {
    fn keywords(self) -> &'static [Keyword] {
        match self {
            Port::Clients => &CLIENTS,
            Port::Peers => &PEERS,
            Port::Answers => &ANSWERS,
        }
    }

    /// What `bytes` begin with. Where one word is the beginning of another, the longer one stands
    /// first in its list.
    pub(super) fn find(self, bytes: &[u8]) -> Found {
        for keyword in self.keywords() {
            let word = keyword.word.as_bytes();
            if bytes.starts_with(word) {
                return Found::Keyword(keyword);
            }
            if word.starts_with(bytes) {
                return Found::Beginning;
            }
        }
        Found::Nothing
    }
}

/// What some bytes begin with.
#[derive(Debug)]
pub(super) enum Found {
    /// A keyword.
    Keyword(&'static Keyword),
    /// More bytes may make it one.
    Beginning,
    /// Nothing known.
    Nothing,
}
