//! What the broker keeps of one client: what waits for it, and what it has not acknowledged.

use crate::charging::limits::{HELD_BYTES_MAX, MARK_BYTES, MARKS_MAX, QUEUED_BYTES_MAX};
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

/// What became of a message, and of others because of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fate {
    /// Older messages of QoS 0 that were dropped to make room.
    pub dropped: u64,
    /// There was no room for it.
    pub is_lost: bool,
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
    /// Those of them for which retained messages are still to be looked for, and from which topic
    /// on. It is looked for when nothing else waits, so that nobody gets more than he can take.
    pub searches: BTreeMap<String, Option<String>>,
    /// It stands in the line of those for whom it is looked.
    pub is_searching: bool,
    /// Messages of QoS 2 that it sent and has not released.
    received: BTreeSet<PacketId>,
    queue: VecDeque<Waiting>,
    queued_bytes: usize,
    /// How many in the queue may be dropped.
    queued_qos_0: usize,
    under_way: VecDeque<UnderWay>,
    under_way_bytes: usize,
    /// How many of them were sent on this connection; the others are to be sent again.
    resent: usize,
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
            searches: BTreeMap::new(),
            is_searching: false,
            received: BTreeSet::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            queued_qos_0: 0,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            resent: 0,
            last_id: 0,
            unmarked_bytes: 0,
            marks: 0,
        }
    }

    /// The client has a connection: sends again what it has not acknowledged \[MQTT-4.4.0-1\],
    /// then what waits.
    pub fn resume(&mut self, link: LinkId, room: Room, out: &mut Vec<Out>) {
        (self.link, self.marks, self.unmarked_bytes, self.resent) = (Some(link), 0, 0, 0);
        self.proceed(room, out);
    }

    /// The client is away.
    pub fn pause(&mut self, now: Millis) {
        (self.link, self.gone_at) = (None, now);
        // MQTT keeps these only where it is easy, and they are stale.
        while self.drop_oldest() {}
    }

    /// A message for this client; so many bytes are held for the others.
    pub fn deliver(
        &mut self,
        message: &Message,
        (qos, retain): (Qos, bool),
        (room, others_bytes): (Room, usize),
        out: &mut Vec<Out>,
    ) -> Fate {
        let is_qos_0 = qos == Qos::AtMostOnce;
        if is_qos_0 && self.link.is_none() {
            return Fate::default();
        }
        // Nothing overtakes what came before it at its own QoS [MQTT-4.6.0-6].
        let is_next = if is_qos_0 {
            self.queued_qos_0 == 0
        } else {
            self.queue.is_empty() && self.resent == self.under_way.len() && self.has_window(room)
        };
        let has_room = is_qos_0 || self.has_room(others_bytes + message.size());
        if is_next && has_room && self.link.is_some() && !self.is_slow() {
            self.send_new(message.clone(), qos, retain, out);
            return Fate::default();
        }
        let mut fate = Fate::default();
        while self.is_full(message.size(), room, others_bytes) {
            if !self.drop_oldest() {
                return Fate { is_lost: true, ..fate };
            }
            fate.dropped += 1;
        }
        self.queued_qos_0 += usize::from(is_qos_0);
        self.queued_bytes += message.size();
        self.queue.push_back(Waiting { message: message.clone(), qos, retain });
        fate
    }

    fn has_window(&self, room: Room) -> bool {
        self.under_way.len() < room.in_flight_max
    }

    /// Whether there is no room for so many bytes more. One message may wait for each client,
    /// however long, while there is room for all together.
    fn is_full(&self, bytes: usize, room: Room, others_bytes: usize) -> bool {
        let is_too_much = self.queued_bytes + bytes > QUEUED_BYTES_MAX && !self.queue.is_empty();
        let has_room = self.has_room(others_bytes + bytes);
        self.queue.len() >= room.queued_max || is_too_much || !has_room
    }

    /// Whether so many bytes may be held beside what is held for this client.
    fn has_room(&self, bytes: usize) -> bool {
        self.held_bytes() + bytes <= HELD_BYTES_MAX
    }

    /// Drops the oldest message of QoS 0, if there is one.
    fn drop_oldest(&mut self) -> bool {
        self.oldest_qos_0().and_then(|index| self.take(index)).is_some()
    }

    fn oldest_qos_0(&self) -> Option<usize> {
        let is_it = |waiting: &Waiting| waiting.qos == Qos::AtMostOnce;
        // Mostly there is none, and then nobody need look.
        if self.queued_qos_0 == 0 { None } else { self.queue.iter().position(is_it) }
    }

    fn take(&mut self, index: usize) -> Option<Waiting> {
        let waiting = self.queue.remove(index)?;
        self.queued_qos_0 -= usize::from(waiting.qos == Qos::AtMostOnce);
        self.queued_bytes -= waiting.message.size();
        Some(waiting)
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
        let found = self.under_way.iter_mut().find(is_it);
        if let Some(publish) = found.and_then(|under_way| under_way.publish.take()) {
            self.under_way_bytes -= publish.message.size();
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

    /// Whether nothing waits, and more would be sent at once.
    pub fn is_idle(&self) -> bool {
        let is_up_to_date = self.resent == self.under_way.len() && self.queue.is_empty();
        self.link.is_some() && !self.is_slow() && is_up_to_date
    }

    /// Messages that wait.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Messages that were sent and not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    /// The bytes of both.
    pub fn held_bytes(&self) -> usize {
        self.queued_bytes + self.under_way_bytes
    }

    fn finish(&mut self, is_it: impl Fn(&UnderWay) -> bool) {
        // Clients acknowledge in order, so it is the first one.
        if let Some(index) = self.under_way.iter().position(is_it) {
            let ended = self.under_way.remove(index).and_then(|under_way| under_way.publish);
            self.under_way_bytes -= ended.map_or(0, |publish| publish.message.size());
            self.resent -= usize::from(index < self.resent);
        }
    }

    fn is_slow(&self) -> bool {
        self.marks >= MARKS_MAX
    }

    /// Sends what is to be sent again, then what waits, as far as there is room.
    fn proceed(&mut self, room: Room, out: &mut Vec<Out>) {
        while self.link.is_some() && !self.is_slow() {
            if let Some(UnderWay { id, publish }) = self.under_way.get(self.resent) {
                let packet = match publish {
                    Some(publish) => Packet::Publish(Publish { dup: true, ..publish.clone() }),
                    None => Packet::PubRel(*id),
                };
                self.resent += 1;
                self.send(packet, out);
                continue;
            }
            // A full window is no reason for QoS 0 to wait.
            let next = if self.has_window(room) { Some(0) } else { self.oldest_qos_0() };
            let Some(waiting) = next.and_then(|index| self.take(index)) else { return };
            self.send_new(waiting.message, waiting.qos, waiting.retain, out);
        }
    }

    fn send_new(&mut self, message: Message, qos: Qos, retain: bool, out: &mut Vec<Out>) {
        let mut publish = Publish { message, qos, retain, dup: false, id: 0 };
        if qos > Qos::AtMostOnce {
            publish.id = self.free_id();
            let kept = UnderWay { id: publish.id, publish: Some(publish.clone()) };
            self.under_way_bytes += publish.message.size();
            self.under_way.push_back(kept);
            self.resent += 1;
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
