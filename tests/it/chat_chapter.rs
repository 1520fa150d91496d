//! The conversations of the chat's chapter, on the state alone and on the program.
//!
//! ```text
//! ana is 1            somebody called ana, whose id is 1
//! ana> OI             ana sends a datagram; a number is an unknown type
//! ana> MSG 2: text    the same, with a destination and a text
//! ana< MSG 2: text    ana hears this next: type, origin and text
//! at 20000            it is now so many milliseconds after the start
//! ```
//!
//! The program cannot be told the time: there, what follows an `at` is not replayed.

use crate::chat_live::{Server, Wild};
use crate::transcript;
use malha::chat::limits::{CLIENTS_MAX, RATE_MAX, STATUS_MS, TICK_MS};
use malha::chat::protocol::{Id, Message, decode};
use malha::chat::state::{Effect, Event, Setup, State};
use malha::net::clock::Millis;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

const CHAPTER: &str = include_str!("../../src/chat/README.md");
const KINDS: [&str; 5] = ["OI", "TCHAU", "MSG", "ERRO", "LISTA"];

enum Step {
    Is(String, Id),
    Says(String, u32, Id, String),
    Hears(String, u32, Id, String),
    At(u64),
}

#[track_caller]
fn parse(line: &str) -> Step {
    let (word, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no step: {line:?}"));
    if word == "at" {
        return Step::At(rest.parse().unwrap());
    }
    if let Some(id) = rest.strip_prefix("is ") {
        return Step::Is(word.to_owned(), id.parse().unwrap());
    }
    let (kind, rest) = rest.split_once(' ').unwrap_or((rest, "0: "));
    let number = KINDS.iter().position(|known| *known == kind).map(|at| at as u32);
    let number = number.unwrap_or_else(|| kind.parse().unwrap_or_else(|_| panic!("{line:?}")));
    let (id, text) = rest.split_once(": ").unwrap_or_else(|| panic!("no step: {line:?}"));
    let (id, text) = (id.parse().unwrap(), text.to_owned());
    match (word.strip_suffix('>'), word.strip_suffix('<')) {
        (Some(who), _) => Step::Says(who.to_owned(), number, id, text),
        (_, Some(who)) => Step::Hears(who.to_owned(), number, id, text),
        _ => panic!("no step: {line:?}"),
    }
}

#[test]
fn the_conversations_of_the_chapter_hold() {
    let told = transcript::in_chapter(CHAPTER, "transcript");
    assert!(told.len() >= 3, "the chapter tells nothing");
    for text in told {
        let steps: Vec<Step> = text.lines().map(parse).collect();
        on_the_value(&steps, &text);
        on_the_program(&steps);
    }
}

struct Person {
    id: Id,
    addr: SocketAddr,
    heard: VecDeque<Message>,
}

#[track_caller]
fn on_the_value(steps: &[Step], text: &str) {
    let setup = Setup { clients_max: CLIENTS_MAX, rate_max: RATE_MAX, status_ms: STATUS_MS };
    let mut state = State::new(setup, Millis(0));
    let mut people: BTreeMap<String, Person> = BTreeMap::new();
    let mut now = Millis(0);
    for step in steps {
        match step {
            Step::Is(who, id) => {
                let addr = SocketAddr::from(([127, 0, 0, 1], 1000 + people.len() as u16));
                people.insert(who.clone(), Person { id: *id, addr, heard: VecDeque::new() });
            }
            Step::Says(who, kind, to, text) => {
                let heard = decode(&datagram(*kind, people[who].id, *to, who, text));
                let event = Event::Heard(people[who].addr, heard);
                deliver(state.handle(now, event), &mut people);
            }
            Step::Hears(who, kind, origin, text) => {
                let next = people.get_mut(who).unwrap().heard.pop_front();
                let next = next.unwrap_or_else(|| panic!("{who} hears nothing"));
                let bytes = next.encode();
                assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()), *kind, "{next:?}");
                assert_eq!((next.origin, &next.text), (*origin, text));
            }
            Step::At(ms) => {
                while now.0 < *ms {
                    now = Millis((now.0 + TICK_MS).min(*ms));
                    deliver(state.handle(now, Event::Tick), &mut people);
                }
            }
        }
    }
    for (who, person) in &people {
        assert!(person.heard.is_empty(), "{who} hears {:?} in:\n{text}", person.heard);
    }
}

fn deliver(effects: Vec<Effect>, people: &mut BTreeMap<String, Person>) {
    for effect in effects {
        let (addrs, message) = match effect {
            Effect::Send(addr, message) => (vec![addr], message),
            Effect::SendAll(addrs, message) => (addrs.to_vec(), message),
            Effect::Joined(_) | Effect::Left(..) => continue,
        };
        for person in people.values_mut().filter(|person| addrs.contains(&person.addr)) {
            person.heard.push_back(message.clone());
        }
    }
}

/// Unpadded, as programs in the wild send it.
fn datagram(kind: u32, origin: Id, to: Id, name: &str, text: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = [kind, origin, to, 0].into_iter().flat_map(u32::to_be_bytes).collect();
    bytes.extend(name.bytes());
    bytes.resize(36, 0);
    bytes.extend(text.bytes());
    bytes
}

#[track_caller]
fn on_the_program(steps: &[Step]) {
    let server = Server::start(&[]);
    let mut people: BTreeMap<String, (Id, Wild)> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Is(who, id) => drop(people.insert(who.clone(), (*id, Wild::new(server.addr)))),
            Step::Says(who, kind, to, text) => {
                let (id, wild) = &people[who];
                wild.says(*kind, *id, *to, who.as_bytes(), text.as_bytes());
                // Nothing is answered to it, and datagrams of two sockets may overtake each other.
                if *kind == 1 {
                    wild.says(*kind, *id, *to, who.as_bytes(), b"");
                    wild.heard();
                }
            }
            Step::Hears(who, kind, origin, text) => people[who].1.hears(*kind, *origin, text),
            Step::At(_) => return,
        }
    }
}
