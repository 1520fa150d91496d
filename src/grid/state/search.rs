//! Finding the other server and agreeing with it on the link (spec: Life of the peer link, 1 to 3,
//! 5 and 6).

use super::link::{Guest, Pair, Phase, complaint};
use super::{Effect, Event, Exit, Side, State, Why};
use crate::grid::decode::Heard;
use crate::grid::limits::{
    ACCEPTOR_ID, DIALER_ID, GRANT_MS_MAX, GREETING_MS_MAX, GUEST_MESSAGES_MAX, SEARCH_PAUSE_MS_MAX,
    SEARCH_PAUSE_MS_MIN,
};
use crate::grid::protocol::{Message, Refusal, Terminator};
use crate::net::clock::Millis;
use crate::net::pushed::LinkId;

/// How we look for the other server; anew when there was a link or we listened.
#[derive(Debug)]
pub(super) struct Search {
    /// We have dialed.
    has_dialed: bool,
    /// How often we could neither reach anybody nor listen.
    failures: u32,
    /// There were two servers already; said once.
    was_refused: bool,
    /// Somebody answered at the peer port as no server does.
    has_met_stranger: bool,
    /// How long the next pause is.
    pause_ms: u64,
}

impl Search {
    pub(super) fn new() -> Search {
        Search {
            has_dialed: false,
            failures: 0,
            was_refused: false,
            has_met_stranger: false,
            pause_ms: SEARCH_PAUSE_MS_MIN,
        }
    }
}

impl State {
    pub(super) fn peer_event(&mut self, now: Millis, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Started => self.search(effects),
            Event::DialFailed => self.nobody_there(effects),
            Event::Listening => self.listening(effects),
            Event::ListenFailed(why) => self.listen_failed(now, &why, effects),
            Event::PeerOpened(link, side) => self.peer_opened(now, link, side, effects),
            Event::PeerHeard(link, heard) => self.peer_heard(now, link, heard, effects),
            Event::PeerClosed(link) => self.peer_closed(link, effects),
            _ => {}
        }
    }

    fn peer_heard(&mut self, now: Millis, link: LinkId, heard: Heard, effects: &mut Vec<Effect>) {
        // Also where a terminator came without a message.
        self.link.set_terminator(link, heard.terminator);
        for message in heard.messages {
            if matches!(message, Message::Malformed(_)) {
                self.counters.malformed += 1;
            }
            match self.link.phase {
                _ if self.link.guests.contains_key(&link) => {
                    self.guest_said(now, link, message, effects);
                }
                // What was said behind a goodbye.
                _ if self.link.is_parting && self.link.current() == Some(link) => return,
                Phase::Asking(asked, _) if asked == link => {
                    self.asked_said(now, link, message, effects);
                }
                Phase::Granting(pair, _) if pair.link == link => {
                    self.granted_said(now, pair, message, effects);
                }
                Phase::Up(pair) if pair.link == link => {
                    self.peer_said(now, pair, message, effects);
                }
                _ => return,
            }
        }
    }

    fn listening(&mut self, effects: &mut Vec<Effect>) {
        self.link.is_listening = true;
        self.settled();
        self.wait_for_peer(effects);
    }

    pub(super) fn wait_for_peer(&mut self, effects: &mut Vec<Effect>) {
        self.link.phase = Phase::Waiting;
        effects.push(Effect::Say("No peer found, starting to listen..".to_owned()));
    }

    /// Tries both again later, and later still the next time (spec: Life, 6).
    fn pause(&mut self, now: Millis) {
        self.link.phase = Phase::Pausing(now.plus(self.link.search.pause_ms));
        self.link.search.pause_ms = (self.link.search.pause_ms * 2).min(SEARCH_PAUSE_MS_MAX);
    }

    fn peer_opened(&mut self, now: Millis, link: LinkId, side: Side, effects: &mut Vec<Effect>) {
        match side {
            _ if self.link.leaving.is_some() => effects.push(Effect::Part(link, Why::Busy)),
            Side::Dialed => {
                self.link.phase = Phase::Asking(link, now.plus(GRANT_MS_MAX));
                self.link.terminator = Terminator::Unknown;
                self.tell(link, Message::ReqAddPeer, effects);
            }
            Side::Accepted => {
                let until = now.plus(GREETING_MS_MAX);
                let terminator = Terminator::Unknown;
                self.link.guests.insert(link, Guest { until, messages: 0, terminator });
            }
        }
    }

    /// Somebody new at the peer port said this.
    fn guest_said(
        &mut self,
        now: Millis,
        link: LinkId,
        message: Message,
        effects: &mut Vec<Effect>,
    ) {
        let is_free = matches!(self.link.phase, Phase::Waiting);
        match message {
            Message::ReqAddPeer if is_free => {
                let pair = Pair { link, ours: 0, theirs: DIALER_ID };
                self.link.phase = Phase::Granting(pair, now.plus(GRANT_MS_MAX));
                if let Some(guest) = self.link.guests.remove(&link) {
                    self.link.terminator = guest.terminator;
                }
                effects.push(Effect::Say(format!("Peer {DIALER_ID} connected")));
                self.tell(link, Message::ResAddPeer(DIALER_ID), effects);
            }
            Message::ReqAddPeer if !self.link.may_ask() => {
                // Somebody else has asked, and may yet turn out to be no server; or one of us two
                // is about to leave. Untold, this one tries again.
                self.link.guests.remove(&link);
                effects.push(Effect::Part(link, Why::Busy));
            }
            Message::ReqAddPeer => {
                self.counters.peers_refused += 1;
                self.tell(link, Message::Error(Refusal::PeerLimit), effects);
                self.link.guests.remove(&link);
                effects.push(Effect::Part(link, Why::PeerLimit));
            }
            Message::Req(_) | Message::ReqDcPeer(_) => {
                self.tell(link, Message::Error(Refusal::PeerNotFound), effects);
                self.guest_strayed(link, effects);
            }
            other => {
                if let Some(complaint) = complaint(&other) {
                    self.tell(link, complaint, effects);
                }
                self.guest_strayed(link, effects);
            }
        }
    }

    /// A guest said something else than `REQ_ADDPEER`; not for ever.
    fn guest_strayed(&mut self, link: LinkId, effects: &mut Vec<Effect>) {
        let Some(guest) = self.link.guests.get_mut(&link) else { return };
        guest.messages += 1;
        if guest.messages > GUEST_MESSAGES_MAX {
            self.counters.guests_refused += 1;
            self.link.guests.remove(&link);
            effects.push(Effect::Part(link, Why::NeverAsked));
        }
    }

    /// The server that we asked for the link said this.
    fn asked_said(
        &mut self,
        now: Millis,
        link: LinkId,
        message: Message,
        effects: &mut Vec<Effect>,
    ) {
        match message {
            Message::ResAddPeer(ours) => {
                let theirs = if ours == ACCEPTOR_ID { DIALER_ID } else { ACCEPTOR_ID };
                effects.push(Effect::Say(format!("New Peer ID: {ours}")));
                effects.push(Effect::Say(format!("Peer {theirs} connected")));
                self.link.to_tell.push(Message::ResAddPeer(theirs));
                self.link_up(Pair { link, ours, theirs });
            }
            Message::Error(Refusal::PeerLimit) => {
                effects.push(Effect::Part(link, Why::Goodbye));
                if !std::mem::replace(&mut self.link.search.was_refused, true) {
                    effects.push(Effect::Say(Refusal::PeerLimit.text().to_owned()));
                }
                if self.link.is_new {
                    effects.push(Effect::End(Exit::PeerLimit));
                } else {
                    // It has clients to serve, and the place may become free.
                    self.pause(now);
                }
            }
            // Whoever that is, it is no server of ours.
            _ => {
                self.link.search.has_met_stranger = true;
                effects.push(Effect::Part(link, Why::Stranger));
                self.nobody_there(effects);
            }
        }
    }

    /// The server to which we granted the link said this.
    fn granted_said(
        &mut self,
        now: Millis,
        pair: Pair,
        message: Message,
        effects: &mut Vec<Effect>,
    ) {
        match message {
            Message::ResAddPeer(ours) => {
                effects.push(Effect::Say(format!("New Peer ID: {ours}")));
                self.link_up(Pair { ours, ..pair });
            }
            other => self.peer_said(now, pair, other, effects),
        }
    }

    fn link_up(&mut self, pair: Pair) {
        self.link.phase = Phase::Up(pair);
        self.settled();
    }

    /// There is a link, or we listen: the next search begins anew.
    fn settled(&mut self) {
        self.link.is_new = false;
        self.link.search = Search::new();
    }

    /// Dials, unless that was tried already: the port may be taken by a server that we can reach,
    /// or by one that is just ending.
    fn listen_failed(&mut self, now: Millis, why: &str, effects: &mut Vec<Effect>) {
        if self.link.may_dial && !self.link.search.has_dialed {
            return self.dial(effects);
        }
        self.link.search.failures += 1;
        // Once is normal where two servers start at the same time.
        if self.link.search.failures == 2 {
            let met = if self.link.search.has_met_stranger {
                "what answers is no peer"
            } else {
                "no peer"
            };
            let again = "trying both again";
            effects.push(Effect::Warn(format!("{met}, and cannot listen on {why}; {again}")));
        }
        self.pause(now);
    }

    /// Looks for the other server at the peer port, and listens there if nobody answers.
    fn search(&mut self, effects: &mut Vec<Effect>) {
        if self.link.may_dial {
            self.dial(effects);
        } else {
            self.nobody_there(effects);
        }
    }

    fn dial(&mut self, effects: &mut Vec<Effect>) {
        self.link.phase = Phase::Searching;
        self.link.search.has_dialed = true;
        effects.push(Effect::Dial);
    }

    pub(super) fn nobody_there(&mut self, effects: &mut Vec<Effect>) {
        self.link.phase = Phase::Searching;
        effects.push(Effect::Listen);
    }

    pub(super) fn expire_link(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        self.link.guests.retain(|link, guest| {
            let is_due = guest.until <= now;
            if is_due {
                self.counters.guests_timed_out += 1;
                effects.push(Effect::Part(*link, Why::Late));
            }
            !is_due
        });
        match self.link.phase {
            Phase::Pausing(until) if until <= now => self.search(effects),
            Phase::Asking(link, until) if until <= now => {
                effects.push(Effect::Part(link, Why::Late));
                self.nobody_there(effects);
            }
            Phase::Granting(pair, until) if until <= now => self.cut(pair, Why::Late, effects),
            Phase::Up(pair) if self.link.leaving.is_some_and(|until| until <= now) => {
                effects.push(Effect::Cut(pair.link, Why::Late));
                self.server_left(pair.theirs, effects);
            }
            _ => {}
        }
    }
}
