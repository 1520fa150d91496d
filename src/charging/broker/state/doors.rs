//! How clients come in and go.

use super::{Effect, Key, Link, Session, Stage, State, Why};
use crate::charging::limits::{CLIENT_BYTES_MAX, SESSIONS_MAX};
use crate::charging::protocol::{Code, Connect, LEVEL, Packet};
use crate::net::clock::Millis;
use crate::net::pushed::LinkId;
use std::sync::Arc;

impl State {
    /// 3.1.4.
    pub(super) fn connect(&mut self, now: Millis, link: LinkId, mut connect: Box<Connect>) {
        if connect.level != LEVEL {
            return self.refuse(now, link, Code::UnacceptableVersion);
        }
        // [MQTT-3.1.3-8]
        let is_nameless = connect.client.is_empty() && !connect.clean;
        if is_nameless || connect.client.len() > CLIENT_BYTES_MAX {
            return self.refuse(now, link, Code::IdentifierRejected);
        }
        if !self.setup.has_users {
            return self.admit(now, link, &mut connect);
        }
        if connect.user.is_none() || connect.password.is_none() {
            return self.refuse(now, link, Code::NotAuthorized);
        }
        if let Some(link) = self.links.get_mut(&link) {
            link.stage = Stage::Checking(connect, Vec::new());
        }
        self.to_compare.insert(link);
        self.compare_next();
    }

    /// One password at a time.
    fn compare_next(&mut self) {
        if self.compared.is_some() {
            return;
        }
        let Some(id) = self.to_compare.pop_first() else { return };
        let Some(Link { stage: Stage::Checking(connect, _), .. }) = self.links.get_mut(&id) else {
            return;
        };
        let (user, password) = (connect.user.clone(), connect.password.take());
        self.compared = Some(id);
        let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
        self.effects.push(Effect::Check(id, user, password));
    }

    pub(super) fn checked(&mut self, now: Millis, id: LinkId, is_right: bool) {
        self.compared = None;
        self.compare_next();
        // It may be gone.
        let Some(link) = self.links.get_mut(&id) else { return };
        let Stage::Checking(mut connect, early) = std::mem::replace(&mut link.stage, Stage::New)
        else {
            return;
        };
        if !is_right {
            return self.refuse(now, id, Code::BadUserOrPassword);
        }
        self.admit(now, id, &mut connect);
        self.heard(now, id, early);
    }

    fn admit(&mut self, now: Millis, id: LinkId, connect: &mut Connect) {
        self.last_key += 1;
        let new = Key(self.last_key);
        if connect.client.is_empty() {
            // A name that nobody can have chosen [MQTT-3.1.3-6]: a client's has no NUL.
            connect.client = format!("\0{}", new.0);
        }
        let client: Arc<str> = connect.client.as_str().into();
        self.take_over(now, &client, connect.clean);
        let present = self.keys.contains_key(&client);
        let key = *self.keys.entry(Arc::clone(&client)).or_insert(new);
        let session = self
            .sessions
            .entry(key)
            .or_insert_with(|| Session::new(Arc::clone(&client), connect.clean, now));
        self.away.remove(&(session.gone_at, key));
        session.clean = connect.clean;
        session.will = connect.will.take();
        // One and a half times as long as it promised [MQTT-3.1.2-24].
        let keep_alive_ms = u64::from(connect.keep_alive_s) * 1_500;
        let patience_ms = Some(keep_alive_ms).filter(|ms| *ms > 0);
        self.set_stage(now, id, Stage::In(key), patience_ms);
        self.effects.push(Effect::Joined(id, client));
        self.effects.push(Effect::Send(id, Packet::ConnAck(present, Code::Accepted)));
        let room = self.setup.room;
        self.with_session(id, |session, out| session.resume(id, room, out));
    }

    /// Ends the connection that this client has already, and what is kept if it wants nothing kept
    /// \[MQTT-3.1.2-6\].
    fn take_over(&mut self, now: Millis, client: &str, clean: bool) {
        let Some(key) = self.keys.get(client).copied() else { return };
        if let Some(link) = self.sessions.get(&key).and_then(|session| session.link) {
            self.counters.taken_over += 1;
            self.part(now, link, true);
            self.effects.push(Effect::Cut(link, Why::TakenOver));
        }
        if clean {
            self.forget(key);
        }
    }

    pub(super) fn refuse(&mut self, now: Millis, link: LinkId, code: Code) {
        self.counters.refused += 1;
        self.effects.push(Effect::Send(link, Packet::ConnAck(false, code)));
        self.part(now, link, true);
        self.effects.push(Effect::Cut(link, Why::Refused(code)));
    }

    /// Ends a connection because of what it sent.
    pub(super) fn expel(&mut self, now: Millis, link: LinkId, why: Why) {
        self.counters.malformed += 1;
        self.part(now, link, true);
        self.effects.push(Effect::Cut(link, why));
    }

    /// A connection is over. Its will is said, unless it said goodbye \[MQTT-3.1.2-8\].
    pub(super) fn part(&mut self, now: Millis, id: LinkId, has_will: bool) {
        let Some(link) = self.links.remove(&id) else { return };
        self.to_compare.remove(&id);
        if let Some(at) = link.look_at {
            self.looks.remove(&(at, id));
        }
        let Stage::In(key) = link.stage else { return };
        let Some(session) = self.sessions.get_mut(&key) else { return };
        let others_bytes = self.held_bytes - session.held_bytes();
        session.pause(now);
        self.held_bytes = others_bytes + session.held_bytes();
        let will = session.will.take();
        if session.clean {
            self.forget(key);
        } else {
            self.away.insert((now, key));
        }
        if let Some((message, qos, retain)) = will.filter(|_| has_will) {
            self.say(&message, qos, retain);
        }
        if self.away.len() > SESSIONS_MAX
            && let Some((_, oldest)) = self.away.pop_first()
        {
            self.counters.forgotten += 1;
            self.forget(oldest);
        }
    }

    /// Nothing is kept of this client.
    fn forget(&mut self, key: Key) {
        let Some(session) = self.sessions.remove(&key) else { return };
        self.held_bytes -= session.held_bytes();
        self.away.remove(&(session.gone_at, key));
        self.keys.remove(&session.client);
        for filter in session.filters.keys() {
            self.filters.remove(filter, key);
        }
    }
}
