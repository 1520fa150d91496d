//! What the broker keeps of one client: what waits for it, and what it has not acknowledged.

use crate::charging::limits::{MARK_BYTES, MARKS_MAX};
use crate::charging::protocol::{Message, Packet, PacketId, Publish, Qos};
use crate::net::clock::Millis;
use crate::net::pushed::LinkId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The limits of a session.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Messages of QoS 1 and 2 that may be unacknowledged.
    pub in_flight_max: usize,
    /// Messages that may wait.
    pub queued_max: usize,
}

/// What is to be done for a session's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// Sends a packet.
    Send(Packet),
    /// Asks to be told when all up to here is written.
    Mark,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Sent, or kept until it can be.
    Kept,
    /// One was dropped to make room, this one or an older one.
    Dropped(Qos),
}

/// A client, there or away.
#[derive(Debug)]
pub struct Session {
    /// What it calls itself.
    pub client: Arc<str>,
    /// Ends with its connection.
    pub clean: bool,
    /// Its connection, if it is there.
    pub link: Option<LinkId>,
    /// Since when it is away.
    pub gone_at: Millis,
    /// What is said for it when it is gone without a word.
    pub will: Option<(Message, Qos, bool)>,
    /// What it wants to hear.
    pub filters: BTreeMap<String, Qos>,
    /// Messages of QoS 2 that it sent and has not released.
    received: BTreeSet<PacketId>,
    queue: VecDeque<Waiting>,
    /// How many in the queue may be dropped.
    queued_qos_0: usize,
    under_way: VecDeque<UnderWay>,
    last_id: PacketId,
    /// Bytes sent since the last mark, and marks that are not reached.
    unmarked_bytes: usize,
    marks: u32,
}

#[derive(Debug)]
struct Waiting {
    message: Message,
    qos: Qos,
    retain: bool,
}

/// A message that was sent and not acknowledged; without it, it waits for PUBCOMP only.
#[derive(Debug)]
struct UnderWay {
    id: PacketId,
    publish: Option<Publish>,
}

impl Session {
    /// A session for a client that is not there yet.
    pub fn new(client: Arc<str>, clean: bool, now: Millis) -> Session {
        Session {
            client,
            clean,
            link: None,
            gone_at: now,
            will: None,
            filters: BTreeMap::new(),
            received: BTreeSet::new(),
            queue: VecDeque::new(),
            queued_qos_0: 0,
            under_way: VecDeque::new(),
            last_id: 0,
            unmarked_bytes: 0,
            marks: 0,
        }
    }

    /// The client has a connection: sends again what it has not acknowledged \[MQTT-4.4.0-1\],
    /// then what waits.
    pub fn resume(&mut self, link: LinkId, room: Room, out: &mut Vec<Out>) {
        (self.link, self.marks, self.unmarked_bytes) = (Some(link), 0, 0);
        for index in 0..self.under_way.len() {
            let UnderWay { id, publish } = &self.under_way[index];
            let packet = match publish {
                Some(publish) => Packet::Publish(Publish { dup: true, ..publish.clone() }),
                None => Packet::PubRel(*id),
            };
            self.send(packet, out);
        }
        self.proceed(room, out);
    }

    /// The client is away.
    pub fn pause(&mut self, now: Millis) {
        (self.link, self.gone_at) = (None, now);
        // MQTT keeps these only where it is easy, and they are stale.
        self.queue.retain(|waiting| waiting.qos > Qos::AtMostOnce);
        self.queued_qos_0 = 0;
    }

    /// A message for this client.
    pub fn deliver(
        &mut self,
        message: &Message,
        qos: Qos,
        retain: bool,
        room: Room,
        out: &mut Vec<Out>,
    ) -> Fate {
        let can_send = self.link.is_some() && !self.is_slow();
        if qos == Qos::AtMostOnce {
            if can_send {
                self.send_new(message.clone(), qos, retain, out);
                return Fate::Kept;
            }
            if self.link.is_none() {
                return Fate::Kept;
            }
        } else if can_send && self.queue.is_empty() && self.under_way.len() < room.in_flight_max {
            self.send_new(message.clone(), qos, retain, out);
            return Fate::Kept;
        }
        let mut fate = Fate::Kept;
        if self.queue.len() >= room.queued_max {
            if !self.drop_oldest() {
                return Fate::Dropped(qos);
            }
            fate = Fate::Dropped(Qos::AtMostOnce);
        }
        self.queued_qos_0 += usize::from(qos == Qos::AtMostOnce);
        self.queue.push_back(Waiting { message: message.clone(), qos, retain });
        fate
    }

    /// Drops the oldest message of QoS 0, if there is one.
    fn drop_oldest(&mut self) -> bool {
        if self.queued_qos_0 == 0 {
            return false;
        }
        let oldest = self.queue.iter().position(|waiting| waiting.qos == Qos::AtMostOnce);
        oldest.map(|index| self.queue.remove(index));
        self.queued_qos_0 -= 1;
        true
    }

    /// A mark was reached.
    pub fn marked(&mut self, marks: u32, room: Room, out: &mut Vec<Out>) {
        self.marks = self.marks.saturating_sub(marks);
        self.proceed(room, out);
    }

    /// The client has a message of QoS 1.
    pub fn acknowledged(&mut self, id: PacketId, room: Room, out: &mut Vec<Out>) {
        let is_it = |under_way: &UnderWay| {
            let sent = under_way.publish.as_ref();
            under_way.id == id && sent.is_some_and(|publish| publish.qos == Qos::AtLeastOnce)
        };
        self.finish(is_it);
        self.proceed(room, out);
    }

    /// The client has a message of QoS 2: it is not sent again.
    pub fn recorded(&mut self, id: PacketId, out: &mut Vec<Out>) {
        let is_it = |under_way: &&mut UnderWay| {
            let sent = under_way.publish.as_ref();
            under_way.id == id && sent.is_none_or(|publish| publish.qos == Qos::ExactlyOnce)
        };
        if let Some(under_way) = self.under_way.iter_mut().find(is_it) {
            under_way.publish = None;
        }
        // Also if we know nothing of it: only this ends the matter for the client.
        self.send(Packet::PubRel(id), out);
    }

    /// A message of QoS 2 is over.
    pub fn completed(&mut self, id: PacketId, room: Room, out: &mut Vec<Out>) {
        self.finish(|under_way| under_way.id == id && under_way.publish.is_none());
        self.proceed(room, out);
    }

    /// The client sent a message of QoS 2. True if for the first time.
    pub fn receive(&mut self, id: PacketId) -> bool {
        self.received.insert(id)
    }

    /// The client will not send it again.
    pub fn release(&mut self, id: PacketId) {
        self.received.remove(&id);
    }

    /// Messages that wait.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Messages that were sent and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    fn finish(&mut self, is_it: impl Fn(&UnderWay) -> bool) {
        // Clients acknowledge in order, so it is the first one.
        if let Some(index) = self.under_way.iter().position(is_it) {
            self.under_way.remove(index);
        }
    }

    fn is_slow(&self) -> bool {
        self.marks >= MARKS_MAX
    }

    /// Sends what waits, as far as there is room.
    fn proceed(&mut self, room: Room, out: &mut Vec<Out>) {
        while self.link.is_some() && !self.is_slow() {
            let is_full = self.under_way.len() >= room.in_flight_max;
            let can_go = |waiting: &mut Waiting| waiting.qos == Qos::AtMostOnce || !is_full;
            let Some(waiting) = self.queue.pop_front_if(can_go) else { return };
            self.queued_qos_0 -= usize::from(waiting.qos == Qos::AtMostOnce);
            self.send_new(waiting.message, waiting.qos, waiting.retain, out);
        }
    }

    fn send_new(&mut self, message: Message, qos: Qos, retain: bool, out: &mut Vec<Out>) {
        let mut publish = Publish { message, qos, retain, dup: false, id: 0 };
        if qos > Qos::AtMostOnce {
            publish.id = self.free_id();
            let kept = UnderWay { id: publish.id, publish: Some(publish.clone()) };
            self.under_way.push_back(kept);
        }
        self.send(Packet::Publish(publish), out);
    }

    fn send(&mut self, packet: Packet, out: &mut Vec<Out>) {
        self.unmarked_bytes += match &packet {
            Packet::Publish(publish) => publish.message.size(),
            _ => 0,
        };
        out.push(Out::Send(packet));
        if self.unmarked_bytes >= MARK_BYTES {
            self.unmarked_bytes = 0;
            self.marks += 1;
            out.push(Out::Mark);
        }
    }

    /// The next one that is not under way; fewer are than there are ids.
    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.under_way.iter().all(|under_way| under_way.id != self.last_id) {
                return self.last_id;
            }
        }
    }
}
