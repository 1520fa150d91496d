//! The conversations of the charging chapter, on the broker's state alone and on the program.
//!
//! ```text
//! ana> CONNECT             ana opens a connection and sends a packet
//! ana< CONNACK             ana hears this next
//! ana vanishes             her connection is gone
//! ana ends                 the broker has ended it
//! ana again> CONNECT       another connection of a client called ana
//! at 20000                 it is now so many milliseconds after the start
//! ```
//!
//! The program cannot be told the time: there, what follows an `at` is not replayed.

use crate::harness::{Person, Program};
use crate::transcript;
use malha::charging::broker::state::{Effect, Event, Room, Setup, State};
use malha::charging::limits::{IN_FLIGHT_MAX, QUEUED_MAX};
use malha::charging::protocol::{
    Code, Connect, Decoder, LEVEL, Message, Packet, Publish, Qos, encode,
};
use malha::net::clock::Millis;
use malha::net::pushed::LinkId;
use malha::net::stream::Decode;
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;

const CHAPTER: &str = include_str!("../../src/charging/README.md");
const MALHA: &str = env!("CARGO_BIN_EXE_malha");

enum Step {
    Says(String, Packet),
    Hears(String, String),
    Vanishes(String),
    Ends(String),
    At(u64),
}

#[track_caller]
fn parse(line: &str) -> Step {
    if let Some(ms) = line.strip_prefix("at ") {
        return Step::At(ms.parse().unwrap());
    }
    if let Some((who, packet)) = line.split_once("> ") {
        return Step::Says(who.to_owned(), read(who, packet));
    }
    if let Some((who, packet)) = line.split_once("< ") {
        return Step::Hears(who.to_owned(), packet.to_owned());
    }
    match line.rsplit_once(' ') {
        Some((who, "vanishes")) => Step::Vanishes(who.to_owned()),
        Some((who, "ends")) => Step::Ends(who.to_owned()),
        _ => panic!("no step: {line:?}"),
    }
}

/// What a client sends.
#[track_caller]
fn read(who: &str, text: &str) -> Packet {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let id = || rest.parse().unwrap_or_else(|_| panic!("no id: {text:?}"));
    match word {
        "CONNECT" => connect(who, rest),
        "PUBLISH" => publish(rest),
        "PUBACK" => Packet::PubAck(id()),
        "PUBREC" => Packet::PubRec(id()),
        "PUBREL" => Packet::PubRel(id()),
        "PUBCOMP" => Packet::PubComp(id()),
        "PINGREQ" => Packet::PingReq,
        "DISCONNECT" => Packet::Disconnect,
        "SUBSCRIBE" => {
            let words: Vec<&str> = rest.split(' ').collect();
            let qos = Qos::from_bits(words[2].parse().unwrap()).unwrap();
            Packet::Subscribe(words[0].parse().unwrap(), vec![(words[1].to_owned(), qos)])
        }
        _ => panic!("no packet: {text:?}"),
    }
}

fn connect(who: &str, rest: &str) -> Packet {
    let client = who.split(' ').next().unwrap().to_owned();
    let mut connect = Connect::new(LEVEL, client);
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        match word {
            "keep" => connect.clean = false,
            "alive" => connect.keep_alive_s = words.next().unwrap().parse().unwrap(),
            "will" => {
                assert_eq!(words.next(), Some("retain"));
                let (topic, text) = (words.next().unwrap(), words.next().unwrap());
                let message = Message::new(topic, text.as_bytes());
                connect.will = Some((message, Qos::AtLeastOnce, true));
            }
            _ => panic!("CONNECT {rest}"),
        }
    }
    Packet::Connect(Box::new(connect))
}

fn publish(rest: &str) -> Packet {
    let (qos, mut rest) = rest.split_once(' ').unwrap();
    let qos = Qos::from_bits(qos.strip_prefix("qos").unwrap().parse().unwrap()).unwrap();
    let mut word = || {
        let (word, more) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = more;
        word
    };
    let id = if qos > Qos::AtMostOnce { word().parse().unwrap() } else { 0 };
    let (mut dup, mut retain, mut topic) = (false, false, word());
    while topic == "dup" || topic == "retain" {
        (dup, retain) = (dup || topic == "dup", retain || topic == "retain");
        topic = word();
    }
    let message = Message::new(topic, rest.as_bytes());
    Packet::Publish(Publish { message, qos, retain, dup, id })
}

/// What a client hears, as the chapter writes it.
fn show(packet: &Packet) -> String {
    match packet {
        Packet::ConnAck(false, Code::Accepted) => "CONNACK".to_owned(),
        Packet::ConnAck(true, Code::Accepted) => "CONNACK session".to_owned(),
        Packet::SubAck(id, granted) => {
            let show = |qos: &Option<Qos>| qos.map_or("no".to_owned(), |q| (q as u8).to_string());
            format!("SUBACK {id} {}", granted.iter().map(show).collect::<Vec<_>>().join(" "))
        }
        Packet::Publish(publish) => {
            let Publish { message, qos, retain, dup, id } = publish;
            let id = if *qos > Qos::AtMostOnce { format!(" {id}") } else { String::new() };
            let dup = if *dup { " dup" } else { "" };
            let retain = if *retain { " retain" } else { "" };
            let text = String::from_utf8_lossy(message.payload());
            format!("PUBLISH qos{}{id}{dup}{retain} {} {text}", *qos as u8, message.topic())
        }
        Packet::PubAck(id) => format!("PUBACK {id}"),
        Packet::PubRec(id) => format!("PUBREC {id}"),
        Packet::PubRel(id) => format!("PUBREL {id}"),
        Packet::PubComp(id) => format!("PUBCOMP {id}"),
        Packet::PingResp => "PINGRESP".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_conversations_of_the_chapter_hold() {
    let told = transcript::in_chapter(CHAPTER, "transcript");
    assert!(told.len() >= 4, "the chapter tells nothing");
    for text in told {
        let steps: Vec<Step> = text.lines().map(parse).collect();
        on_the_value(&steps, &text);
        on_the_program(&steps);
    }
}

#[derive(Default)]
struct Ear {
    heard: VecDeque<String>,
    has_ended: bool,
}

struct Value {
    state: State,
    links: Vec<String>,
    ears: BTreeMap<String, Ear>,
}

impl Value {
    fn handle(&mut self, now: Millis, event: Event) {
        for effect in self.state.handle(now, event) {
            match effect {
                Effect::Send(link, packet) => self.ear(link).heard.push_back(show(&packet)),
                Effect::Cut(link, _) => self.ear(link).has_ended = true,
                Effect::Mark(_) | Effect::Check(..) | Effect::Joined(..) | Effect::Lost(..) => {}
            }
        }
    }

    fn ear(&mut self, link: LinkId) -> &mut Ear {
        self.ears.get_mut(&self.links[link.0 as usize]).unwrap()
    }

    fn link(&mut self, now: Millis, who: &str) -> LinkId {
        if let Some(at) = self.links.iter().position(|name| name == who) {
            return LinkId(at as u64);
        }
        self.links.push(who.to_owned());
        self.ears.insert(who.to_owned(), Ear::default());
        let link = LinkId(self.links.len() as u64 - 1);
        self.handle(now, Event::Opened(link));
        link
    }
}

#[track_caller]
fn on_the_value(steps: &[Step], text: &str) {
    let room = Room { in_flight_max: IN_FLIGHT_MAX, queued_max: QUEUED_MAX };
    let state = State::new(Setup { room, has_users: false, denied: Vec::new() });
    let mut value = Value { state, links: Vec::new(), ears: BTreeMap::new() };
    let mut now = Millis(0);
    for step in steps {
        match step {
            Step::Says(who, packet) => {
                let link = value.link(now, who);
                value.handle(now, Event::Heard(link, vec![Ok(packet.clone())]));
            }
            Step::Hears(who, expected) => {
                let next = value.ears.get_mut(who).and_then(|ear| ear.heard.pop_front());
                assert_eq!(next.as_deref(), Some(expected.as_str()), "{who} in:\n{text}");
            }
            Step::Vanishes(who) => {
                let link = value.link(now, who);
                value.handle(now, Event::Closed(link));
            }
            Step::Ends(who) => assert!(value.ears[who].has_ended, "{who} goes on in:\n{text}"),
            Step::At(ms) => {
                while value.state.deadline().is_some_and(|due| due.0 <= *ms) {
                    now = value.state.deadline().unwrap();
                    value.handle(now, Event::Tick);
                }
                now = Millis(*ms);
            }
        }
    }
    for (who, ear) in &value.ears {
        assert!(ear.heard.is_empty(), "{who} hears {:?} in:\n{text}", ear.heard);
    }
}

#[track_caller]
fn on_the_program(steps: &[Step]) {
    let mut broker = Program::start(MALHA, &["charging", "broker", "--listen", "127.0.0.1:0"]);
    let line = broker.prints_one("its address", |line| line.starts_with("listening on "));
    let addr = line["listening on ".len()..].parse().unwrap();
    let mut people: BTreeMap<&str, (Person, Decoder)> = BTreeMap::new();
    for step in steps {
        match step {
            Step::Says(who, packet) => {
                let new = || (Person::connect(addr), Decoder::new(1 << 16, 32));
                let (person, _) = people.entry(who).or_insert_with(new);
                let mut bytes = Vec::new();
                encode(packet, &mut bytes);
                person.says_bytes(&bytes);
            }
            Step::Hears(who, expected) => {
                let (person, decoder) = people.get_mut(who.as_str()).unwrap();
                let packet = loop {
                    if let Some(packet) = decoder.next() {
                        break packet.unwrap();
                    }
                    let mut byte = [0];
                    let size = person.socket.read(&mut byte).unwrap();
                    assert_eq!(size, 1, "the broker hung up on {who} before {expected}");
                    decoder.feed(&byte);
                };
                assert_eq!(show(&packet), *expected, "to {who}");
            }
            Step::Vanishes(who) => drop(people.remove(who.as_str())),
            Step::Ends(who) => people.get_mut(who.as_str()).unwrap().0.ends(),
            Step::At(_) => return,
        }
    }
}
