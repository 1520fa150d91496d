//! Random histories of clients that lose their connections, come again, read late and say things
//! twice. After every event the broker's promises must hold; at the end everybody reads everything.

use crate::charging_clients::{World, clean, kept, publishing, subscribe};
use malha::charging::broker::state::{Effect, Event, Room};
use malha::charging::protocol::{Code, Packet, Publish, Qos};
use malha::net::pushed::LinkId;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const ROOM: Room = Room { in_flight_max: 3, queued_max: 6 };

/// Clients: two that subscribe and one that only speaks, whose sessions are kept; and one whose
/// session is not.
const NAMES: [&str; 4] = ["all", "some", "speaker", "stranger"];
const STRANGER: usize = 3;
const FILTERS: [&[(&str, u8)]; 4] = [&[("#", 2)], &[("t/#", 1), ("t/a", 2)], &[], &[("+/a", 1)]];
const TOPICS: [&str; 3] = ["t/a", "t/b", "u/a"];

#[derive(Debug, Clone)]
enum Move {
    Connect(usize),
    Close(usize),
    Goodbye(usize),
    /// Topic, QoS; it may be lost with the connection on its way.
    Publish(usize, usize, u8, bool),
    /// So many packets.
    Read(usize, usize),
    /// All marks so far are written.
    Written(usize),
    /// A message again, or PUBREL.
    Repeat(usize),
}

fn any_move() -> impl Strategy<Value = Move> {
    let who = || 0..NAMES.len();
    prop_oneof![
        3 => who().prop_map(Move::Connect),
        1 => who().prop_map(Move::Close),
        1 => who().prop_map(Move::Goodbye),
        8 => (who(), 0..TOPICS.len(), 0..3_u8, prop::bool::weighted(0.1))
            .prop_map(|(who, topic, qos, is_lost)| Move::Publish(who, topic, qos, is_lost)),
        8 => (who(), 1..6_usize).prop_map(|(who, count)| Move::Read(who, count)),
        2 => who().prop_map(Move::Written),
        1 => who().prop_map(Move::Repeat),
    ]
}

/// A client as the standard wants it.
#[derive(Default)]
struct Client {
    link: Option<u64>,
    last_id: u16,
    /// What it said and the broker has not acknowledged; none: PUBREL is out.
    said: BTreeMap<u16, Option<Publish>>,
    /// Ids of QoS 2 that it received, and not yet PUBREL.
    received: BTreeSet<u16>,
    /// Ids of what it was sent and has not finished.
    open: BTreeSet<u16>,
    /// Payload, and how often.
    heard: BTreeMap<String, u32>,
    /// By speaker and QoS, the last number heard for the first time.
    last: BTreeMap<(String, u8), u32>,
    marks: u32,
}

struct Play {
    world: World,
    clients: [Client; 4],
    links: u64,
    number: u32,
    /// Payloads of QoS 1 and 2 that somebody said, and their topics.
    said: BTreeMap<String, &'static str>,
}

type Checked = Result<(), TestCaseError>;

impl Play {
    fn new() -> Play {
        let world = World::with(ROOM, false, &[]);
        let (clients, said) = (Default::default(), BTreeMap::new());
        let mut play = Play { world, clients, links: 0, number: 0, said };
        (0..NAMES.len()).for_each(|who| play.connect(who));
        play
    }

    fn connect(&mut self, who: usize) {
        self.links += 1;
        let link = self.links;
        let is_stranger = who == STRANGER;
        let connect = if is_stranger { clean(NAMES[who]) } else { kept(NAMES[who]) };
        self.world.connects(link, connect);
        let client = &mut self.clients[who];
        if let Some(old) = client.link.replace(link) {
            self.world.heard.remove(&old);
        }
        client.marks = 0;
        let first = self.world.next(link);
        let Some(Effect::Send(_, Packet::ConnAck(present, Code::Accepted))) = first else {
            panic!("{first:?}")
        };
        if !present {
            assert!(is_stranger || link <= NAMES.len() as u64, "a kept session is gone");
            // What it had heard belongs to another session.
            *client = Client { link: Some(link), last_id: client.last_id, ..Client::default() };
            self.world.says(link, subscribe(9, FILTERS[who]));
        }
        let said = client.said.clone();
        said.into_iter().for_each(|(id, publish)| self.repeat(who, id, publish));
    }

    fn repeat(&mut self, who: usize, id: u16, publish: Option<Publish>) {
        let Some(link) = self.clients[who].link else { return };
        let again = |publish| Packet::Publish(Publish { dup: true, ..publish });
        self.world.says(link, publish.map_or(Packet::PubRel(id), again));
    }

    fn gone(&mut self, who: usize, says_goodbye: bool) {
        let Some(link) = self.clients[who].link.take() else { return };
        if says_goodbye {
            self.world.says(link, Packet::Disconnect);
        } else {
            self.world.closes(link);
        }
        self.world.heard.remove(&link);
    }

    fn publish(&mut self, who: usize, topic: &'static str, qos: u8, is_lost: bool) {
        let Some(link) = self.clients[who].link else { return };
        self.number += 1;
        let payload = format!("{who} {qos} {}", self.number);
        let client = &mut self.clients[who];
        // A client has as many ids as it likes; ours uses each once.
        client.last_id += u16::from(qos > 0);
        let id = if qos > 0 { client.last_id } else { 0 };
        let packet = publishing(topic, payload.as_bytes(), qos, id, false, false);
        let Packet::Publish(publish) = &packet else { return };
        if qos > 0 {
            client.said.insert(id, Some(publish.clone()));
            if who != STRANGER {
                self.said.insert(payload, topic);
            }
        }
        if is_lost {
            return self.gone(who, false);
        }
        self.world.says(link, packet);
    }

    fn read(&mut self, who: usize, count: usize) -> Checked {
        for _ in 0..count {
            let Some(link) = self.clients[who].link else { break };
            match self.world.next(link) {
                Some(Effect::Send(_, packet)) => self.take(who, link, packet)?,
                Some(Effect::Mark(_)) => self.clients[who].marks += 1,
                Some(other) => return Err(TestCaseError::fail(format!("{other:?} for {who}"))),
                None => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, who: usize, link: u64, packet: Packet) -> Checked {
        // What was lost, or said before one was there, may come again after what came after it.
        let has_lost = self.world.lost.iter().any(|(client, _)| client == NAMES[who]);
        let is_whole = !has_lost && who != STRANGER;
        let client = &mut self.clients[who];
        let answer = match packet {
            Packet::Publish(publish) => {
                let (id, qos) = (publish.id, publish.qos);
                if qos > Qos::AtMostOnce {
                    let is_known = !client.open.insert(id);
                    prop_assert!(publish.dup || !is_known, "{} is in flight", id);
                }
                if qos < Qos::ExactlyOnce || client.received.insert(id) {
                    client.hears(&publish, is_whole)?;
                }
                match qos {
                    Qos::AtMostOnce => return Ok(()),
                    Qos::AtLeastOnce => {
                        client.open.remove(&id);
                        Packet::PubAck(id)
                    }
                    Qos::ExactlyOnce => Packet::PubRec(id),
                }
            }
            Packet::PubRel(id) => {
                client.received.remove(&id);
                client.open.remove(&id);
                Packet::PubComp(id)
            }
            Packet::PubAck(id) | Packet::PubComp(id) => {
                client.said.remove(&id);
                return Ok(());
            }
            Packet::PubRec(id) => {
                if let Some(said) = client.said.get_mut(&id) {
                    *said = None;
                }
                Packet::PubRel(id)
            }
            Packet::SubAck(..) => return Ok(()),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        self.world.says(link, answer);
        Ok(())
    }

    fn written(&mut self, who: usize) {
        let client = &mut self.clients[who];
        let marks = std::mem::take(&mut client.marks);
        if let Some(link) = client.link.filter(|_| marks > 0) {
            self.world.event(Event::Written(LinkId(link), marks));
        }
    }

    fn play(&mut self, step: &Move) -> Checked {
        match *step {
            Move::Connect(who) => self.connect(who),
            Move::Close(who) => self.gone(who, false),
            Move::Goodbye(who) => self.gone(who, true),
            Move::Publish(who, topic, qos, is_lost) => {
                self.publish(who, TOPICS[topic], qos, is_lost);
            }
            Move::Read(who, count) => self.read(who, count)?,
            Move::Written(who) => self.written(who),
            Move::Repeat(who) => {
                if let Some((id, publish)) = self.clients[who].said.first_key_value() {
                    let (id, publish) = (*id, publish.clone());
                    self.repeat(who, id, publish);
                }
            }
        }
        self.promises()
    }

    fn promises(&self) -> Checked {
        for (who, name) in NAMES.iter().enumerate() {
            let is_here = self.clients[who].link.is_some();
            let Some(session) = self.world.state.session(name) else {
                prop_assert!(who == STRANGER && !is_here, "{}'s session is gone", name);
                continue;
            };
            prop_assert!(who != STRANGER || is_here, "a clean session is still there");
            prop_assert!(session.in_flight() <= ROOM.in_flight_max);
            prop_assert!(session.queued() <= ROOM.queued_max);
        }
        Ok(())
    }

    /// Everybody comes and reads until there is no more.
    fn end(&mut self) -> Checked {
        for who in 0..NAMES.len() {
            self.connect(who);
        }
        loop {
            for who in 0..NAMES.len() {
                self.read(who, 1_000)?;
                self.written(who);
            }
            if self.world.heard.values().all(|heard| heard.is_empty()) {
                break;
            }
        }
        for (who, name) in NAMES.iter().enumerate() {
            let session = self.world.state.session(name).unwrap();
            prop_assert_eq!((session.in_flight(), session.queued()), (0, 0), "{}", name);
            prop_assert!(self.clients[who].said.is_empty(), "not all was acknowledged");
        }
        for (who, prefix) in [(0, ""), (1, "t/")] {
            let lost = self.world.lost.iter().filter(|(client, _)| client == NAMES[who]).count();
            let said = self.said.iter().filter(|(_, topic)| topic.starts_with(prefix));
            let heard = &self.clients[who].heard;
            let missing = said.filter(|(payload, _)| !heard.contains_key(*payload)).count();
            prop_assert!(
                missing <= lost,
                "{} of QoS 1 and 2 are missing, {} were lost",
                missing,
                lost
            );
        }
        Ok(())
    }
}

impl Client {
    fn hears(&mut self, publish: &Publish, is_whole: bool) -> Checked {
        let payload = String::from_utf8(publish.message.payload().to_vec()).unwrap();
        let times = self.heard.entry(payload.clone()).or_default();
        *times += 1;
        if publish.qos != Qos::AtLeastOnce {
            prop_assert_eq!(*times, 1, "{} came {} times at {:?}", payload, times, publish.qos);
        }
        if *times > 1 {
            return Ok(());
        }
        let (speaker, number) = payload.rsplit_once(' ').unwrap();
        // In order on each topic at each QoS [MQTT-4.6.0-6].
        let key = (format!("{speaker} {}", publish.message.topic()), publish.qos as u8);
        let number = number.parse().unwrap();
        let last = self.last.insert(key, number).unwrap_or(0);
        prop_assert!(last < number || !is_whole, "{} came after {}", payload, last);
        Ok(())
    }
}

proptest! {
    #[test]
    fn random_histories_keep_the_promises(moves in vec(any_move(), 0..150)) {
        let mut play = Play::new();
        for step in &moves {
            play.play(step)?;
        }
        play.end()?;
    }
}
