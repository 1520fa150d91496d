//! What clients say, and who hears it.

use super::{Effect, Key, Link, Out, Session, Stage, State, Why};
use crate::charging::limits::{FILTERS_MAX, SEARCH_FOUND_MAX, SEARCH_TOPICS_MAX};
use crate::charging::protocol::{Malformed, Message, Packet, PacketId, Publish, Qos, covers};
use crate::net::clock::Millis;
use crate::net::pushed::LinkId;
use std::sync::Arc;

impl State {
    /// What a client that is in has said.
    pub(super) fn client_said(
        &mut self,
        now: Millis,
        link: LinkId,
        key: Key,
        packet: Result<Packet, Malformed>,
    ) {
        let room = self.setup.room;
        match packet {
            Ok(Packet::Publish(publish)) => self.publish(link, key, publish),
            Ok(Packet::PubAck(id)) => {
                self.with_session(link, |session, out| session.acknowledged(id, room, out));
            }
            Ok(Packet::PubRec(id)) => {
                self.with_session(link, |session, out| session.recorded(id, out));
            }
            Ok(Packet::PubComp(id)) => {
                self.with_session(link, |session, out| session.completed(id, room, out));
            }
            Ok(Packet::PubRel(id)) => {
                self.with_session(link, |session, out| {
                    session.release(id);
                    out.push(Out::Send(Packet::PubComp(id)));
                });
            }
            Ok(Packet::Subscribe(id, filters)) => self.subscribe(link, key, id, filters),
            Ok(Packet::Unsubscribe(id, filters)) => {
                for filter in filters {
                    self.filters.remove(&filter, key);
                    if let Some(session) = self.sessions.get_mut(&key) {
                        session.filters.remove(&filter);
                        session.searches.remove(&filter);
                    }
                }
                self.effects.push(Effect::Send(link, Packet::UnsubAck(id)));
            }
            Ok(Packet::PingReq) => self.effects.push(Effect::Send(link, Packet::PingResp)),
            Ok(Packet::Disconnect) => {
                self.part(now, link, false);
                self.effects.push(Effect::Cut(link, Why::Goodbye));
            }
            // [MQTT-3.1.0-2]
            Ok(Packet::Connect(_)) => self.expel(now, link, Why::Unexpected("a second CONNECT")),
            Ok(_) => self.expel(now, link, Why::Unexpected("a packet that only brokers send")),
            Err(malformed) => self.expel(now, link, Why::Malformed(malformed)),
        }
    }

    fn publish(&mut self, link: LinkId, key: Key, publish: Publish) {
        let Publish { message, qos, retain, id, .. } = publish;
        let is_new = match qos {
            Qos::AtMostOnce => true,
            Qos::AtLeastOnce => {
                self.effects.push(Effect::Send(link, Packet::PubAck(id)));
                true
            }
            Qos::ExactlyOnce => {
                self.effects.push(Effect::Send(link, Packet::PubRec(id)));
                self.sessions.get_mut(&key).is_some_and(|session| session.receive(id))
            }
        };
        if is_new {
            self.say(&message, qos, retain);
        }
    }

    /// Says something to all who want to hear it, and keeps it if it is to be retained.
    pub(super) fn say(&mut self, message: &Message, qos: Qos, retain: bool) {
        if retain && !self.retained.keep(message, qos) {
            self.counters.not_retained += 1;
        }
        let mut found = std::mem::take(&mut self.found);
        self.filters.find(message.topic(), &mut found);
        for (key, granted) in found.drain(..) {
            self.deliver(key, message, qos.min(granted), false);
        }
        self.found = found;
    }

    fn deliver(&mut self, key: Key, message: &Message, qos: Qos, retain: bool) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let others_bytes = self.held_bytes - session.held_bytes();
        let room = (self.setup.room, others_bytes);
        let fate = session.deliver(message, (qos, retain), room, &mut self.out);
        self.held_bytes = others_bytes + session.held_bytes();
        self.counters.dropped += fate.dropped;
        match qos {
            _ if !fate.is_lost => {}
            Qos::AtMostOnce => self.counters.dropped += 1,
            _ => {
                self.counters.lost += 1;
                self.effects.push(Effect::Lost(Arc::clone(&session.client), qos));
            }
        }
        if let Some(link) = session.link {
            self.send_out(link);
        }
    }

    fn subscribe(&mut self, link: LinkId, key: Key, id: PacketId, filters: Vec<(String, Qos)>) {
        let wishes = filters.iter();
        let granted: Vec<Option<Qos>> =
            wishes.map(|(filter, qos)| self.grants(key, filter, *qos).then_some(*qos)).collect();
        self.effects.push(Effect::Send(link, Packet::SubAck(id, granted.clone())));
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let heard = filters.into_iter().zip(granted).filter(|(_, qos)| qos.is_some());
        session.searches.extend(heard.map(|((filter, _), _)| (filter, None)));
        self.go_on(key);
    }

    /// Puts a session in the line of those for whom retained messages are looked for.
    fn go_on(&mut self, key: Key) {
        let Some(session) = self.sessions.get_mut(&key) else { return };
        if session.is_idle() && !session.searches.is_empty() && !session.is_searching {
            session.is_searching = true;
            self.searching.push_back(key);
        }
    }

    /// Looks for retained messages for new subscriptions (3.3.1.3), some at a time: there may be
    /// more of them than others want to wait for, or than the subscriber can take.
    pub(super) fn search(&mut self) {
        let mut topics_left = SEARCH_TOPICS_MAX;
        while topics_left > 0 {
            let Some(key) = self.searching.pop_front() else { return };
            let Some(session) = self.sessions.get_mut(&key) else { continue };
            session.is_searching = false;
            // It is put in the line again when it has taken what waits.
            if !session.is_idle() {
                continue;
            }
            let Some((filter, from)) = session.searches.pop_first() else { continue };
            let Some(granted) = session.filters.get(&filter).copied() else { continue };
            let found_max = SEARCH_FOUND_MAX.min(self.setup.room.queued_max);
            let look = self.retained.look(&filter, from.as_deref(), (topics_left, found_max));
            topics_left = topics_left.saturating_sub(look.topics.max(1));
            if look.next.is_some() {
                session.searches.insert(filter, look.next);
            }
            for (message, qos) in look.found {
                self.deliver(key, &message, qos.min(granted), true);
            }
            self.go_on(key);
        }
    }

    /// Whether a client may hear what `filter` matches; if so, it does from now on.
    fn grants(&mut self, key: Key, filter: &str, qos: Qos) -> bool {
        let Some(session) = self.sessions.get_mut(&key) else { return false };
        let has_room = session.filters.len() < FILTERS_MAX || session.filters.contains_key(filter);
        if !has_room || self.setup.denied.iter().any(|denied| covers(denied, filter)) {
            self.counters.denied += 1;
            return false;
        }
        self.filters.add(filter, key, qos);
        session.filters.insert(filter.to_owned(), qos);
        true
    }

    /// What is done with a session, and sent because of it.
    pub(super) fn with_session(
        &mut self,
        link: LinkId,
        act: impl FnOnce(&mut Session, &mut Vec<Out>),
    ) {
        let Some(&Link { stage: Stage::In(key), .. }) = self.links.get(&link) else { return };
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let others_bytes = self.held_bytes - session.held_bytes();
        act(session, &mut self.out);
        self.held_bytes = others_bytes + session.held_bytes();
        self.send_out(link);
        self.go_on(key);
    }

    fn send_out(&mut self, link: LinkId) {
        self.effects.extend(self.out.drain(..).map(|out| match out {
            Out::Send(packet) => Effect::Send(link, packet),
            Out::Mark => Effect::Mark(link),
        }));
    }
}
