//! What goes over the link between two servers, and how it ends (spec: Life of the peer link, 4 and
//! 5; Queries).

use super::questions::Answered;
use super::search::Search;
use super::{Effect, Exit, OpenTurn, State, Why};
use crate::grid::limits::LEAVE_MS_MAX;
use crate::grid::protocol::{DONE_TEXT, Message, Query, Refusal, Scope, Terminator};
use crate::net::clock::Millis;
use crate::net::pushed::LinkId;
use std::collections::BTreeMap;

/// Where we stand with the other server.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) phase: Phase,
    /// Whether the peer port is ours; it stays so while there is a link, to refuse a third server.
    pub(super) is_listening: bool,
    /// Connections that have not asked for the link yet.
    pub(super) guests: BTreeMap<LinkId, Guest>,
    /// How the server at the other end of the current link ends its messages.
    pub(super) terminator: Terminator,
    pub(super) may_dial: bool,
    /// There was never a link, and we never listened: if there are two servers already, we are
    /// the third.
    pub(super) is_new: bool,
    pub(super) search: Search,
    /// We leave, at the latest then.
    pub(super) leaving: Option<Millis>,
    /// We leave, the peer port was ours, and the other server stays. Whoever hangs up first keeps
    /// that port in TIME-WAIT for a minute; the other one is to listen there next, and may not
    /// reuse addresses.
    lets_go_first: bool,
    /// What the other server is to be told, as soon as it may be (`pace.rs`).
    pub(super) to_tell: Vec<Message>,
    /// One by one: it has waited, or our goodbye is among it.
    pub(super) goes_singly: bool,
    /// The other server leaves, and the link ends when it has been told all that.
    pub(super) is_parting: bool,
}

/// Somebody at the peer port who has not sent `REQ_ADDPEER`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest {
    /// How long it may take.
    pub(super) until: Millis,
    /// Messages that were something else.
    pub(super) messages: u32,
    /// How it ends them.
    pub(super) terminator: Terminator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connecting, or trying to listen: an event will tell.
    Searching,
    /// Neither worked: both again at this time.
    Pausing(Millis),
    /// Somebody may come.
    Waiting,
    /// We dialed, and asked for the link.
    Asking(LinkId, Millis),
    /// We granted the link and gave our identifier; until then the other one is to come.
    Granting(Pair, Millis),
    /// There is a link.
    Up(Pair),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) link: LinkId,
    /// The identifier that the other server gave us; 0 before that.
    pub(super) ours: u32,
    /// The identifier that we gave the other server.
    pub(super) theirs: u32,
}

impl Link {
    pub(super) fn new(may_dial: bool) -> Link {
        Link {
            phase: Phase::Searching,
            is_listening: false,
            guests: BTreeMap::new(),
            terminator: Terminator::Unknown,
            may_dial,
            is_new: true,
            search: Search::new(),
            leaving: None,
            lets_go_first: false,
            to_tell: Vec::new(),
            goes_singly: false,
            is_parting: false,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up(_))
    }

    /// Whether there is somebody to ask, and nobody leaves.
    pub(super) fn may_ask(&self) -> bool {
        self.is_up() && self.leaving.is_none() && !self.is_parting
    }

    /// Whether we leave, and it is not waiting to be told.
    fn has_said_goodbye(&self) -> bool {
        let waits = self.to_tell.iter().any(|message| matches!(message, Message::ReqDcPeer(_)));
        self.leaving.is_some() && !waits
    }

    /// The identifier of our own network; 0 without a link.
    pub(super) fn own_id(&self) -> u32 {
        if let Phase::Up(pair) = self.phase { pair.ours } else { 0 }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        let own = match self.phase {
            Phase::Pausing(until) | Phase::Asking(_, until) | Phase::Granting(_, until) => {
                Some(until)
            }
            Phase::Searching | Phase::Waiting | Phase::Up(_) => None,
        };
        let guests = self.guests.values().map(|guest| guest.until);
        own.into_iter().chain(self.leaving).chain(guests).min()
    }

    /// The link that we have or are about to have.
    pub(super) fn current(&self) -> Option<LinkId> {
        match self.phase {
            Phase::Asking(link, _) => Some(link),
            Phase::Granting(pair, _) | Phase::Up(pair) => Some(pair.link),
            Phase::Searching | Phase::Pausing(_) | Phase::Waiting => None,
        }
    }

    /// How the other side of `link` ends its messages, as it last showed.
    pub(super) fn set_terminator(&mut self, link: LinkId, terminator: Terminator) {
        if let Some(guest) = self.guests.get_mut(&link) {
            guest.terminator = terminator;
        } else if self.current() == Some(link) {
            self.terminator = terminator;
        }
    }
}

impl State {
    /// Says this to the other side of a link, in its own way.
    pub(super) fn tell(&self, link: LinkId, message: Message, effects: &mut Vec<Effect>) {
        let guest = self.link.guests.get(&link);
        let terminator = guest.map_or(self.link.terminator, |guest| guest.terminator);
        effects.push(Effect::Tell(link, message, terminator));
    }

    /// The other server said this.
    pub(super) fn peer_said(
        &mut self,
        now: Millis,
        pair: Pair,
        message: Message,
        effects: &mut Vec<Effect>,
    ) {
        match message {
            Message::Req(query) => {
                self.reply(now, self.answer_to_peer(query));
            }
            Message::ReqDcPeer(id) if id == pair.theirs => {
                self.reply(now, Message::Done);
                self.link.lets_go_first = false;
                // Both may leave at once; then each waits for the other's answer.
                self.link.is_parting = self.link.leaving.is_none();
            }
            Message::ReqDcPeer(_) => {
                self.reply(now, Message::Error(Refusal::PeerNotFound));
            }
            Message::Done if self.link.has_said_goodbye() => {
                self.goodbye_answered(pair, DONE_TEXT, effects);
            }
            Message::Error(why)
                if self.link.has_said_goodbye() && !self.questions.are_under_way() =>
            {
                self.goodbye_answered(pair, why.text(), effects);
            }
            Message::ReqAddPeer => {
                self.reply(now, Message::Error(Refusal::PeerLimit));
            }
            Message::ResSensor(..) | Message::ResPower(..) | Message::Error(_) => {
                self.peer_answered(now, pair, message, effects);
            }
            Message::Malformed(ref text) if is_answer(text) => {
                let answer = Message::Error(Refusal::PeerNotFound);
                self.peer_answered(now, pair, answer, effects);
            }
            other => {
                if let Some(complaint) = complaint(&other) {
                    self.reply(now, complaint);
                }
            }
        }
    }

    fn reply(&mut self, now: Millis, answer: Message) {
        self.questions.spoke(now);
        self.link.to_tell.push(answer);
    }

    /// What the own network answers, as it is asked by the other server.
    fn answer_to_peer(&self, query: Query) -> Message {
        match query {
            Query::Sensor(Scope::Global) => Message::ResPeerSensor(self.own_reading()),
            Query::Power(Scope::Global) => Message::ResPeerPower(self.own_power()),
            query => self.answer_locally(query),
        }
    }

    /// An answer is the answer to the oldest question; nothing else tells them apart.
    fn peer_answered(
        &mut self,
        now: Millis,
        pair: Pair,
        answer: Message,
        effects: &mut Vec<Effect>,
    ) {
        let is_good = |query: Query| query.is_answered_by(&answer);
        match self.questions.answered(now, is_good) {
            Answered::Trial => {}
            Answered::Nothing => self.counters.answers_dropped += 1,
            Answered::Question(question) if fits(question.query, &answer) => {
                let answer = self.compare(question.query, answer);
                self.fill(question, answer, effects);
            }
            Answered::Late(question) if fits(question.query, &answer) => {
                self.counters.answers_dropped += 1;
            }
            Answered::Question(question) => {
                // A question or an answer was lost, so the order is too: every further answer
                // could be somebody else's. The link is made anew.
                self.fill(question, Message::Error(Refusal::PeerNotFound), effects);
                self.cut(pair, Why::Disorder, effects);
            }
            Answered::Late(_) => self.cut(pair, Why::Disorder, effects),
        }
    }

    pub(super) fn peer_closed(&mut self, link: LinkId, effects: &mut Vec<Effect>) {
        self.link.guests.remove(&link);
        match self.link.phase {
            Phase::Asking(asked, _) if asked == link => self.nobody_there(effects),
            Phase::Granting(pair, _) | Phase::Up(pair) if pair.link == link => {
                self.closed(pair, effects);
            }
            _ => {}
        }
    }

    /// It will say no more, and may still read what it is to be told.
    fn closed(&mut self, pair: Pair, effects: &mut Vec<Effect>) {
        self.tell_all(pair.link, effects);
        self.cut(pair, Why::Closed, effects);
    }

    /// Ends a link whose other side did not say goodbye.
    pub(super) fn cut(&mut self, pair: Pair, why: Why, effects: &mut Vec<Effect>) {
        // It did after all, and what it was to be told is all that is left to do.
        if self.link.is_parting {
            return self.part(pair.link, pair.theirs, effects);
        }
        // Who was told goodbye may go.
        self.counters.links_lost += u64::from(self.link.leaving.is_none());
        effects.push(match why {
            // It may still read what it was told.
            Why::Closed => Effect::Part(pair.link, why),
            _ => Effect::Cut(pair.link, why),
        });
        self.link_gone(pair.theirs, effects);
    }

    /// Ends a link whose other side has said goodbye.
    pub(super) fn part(&mut self, link: LinkId, theirs: u32, effects: &mut Vec<Effect>) {
        self.tell_all(link, effects);
        effects.push(Effect::Part(link, Why::Goodbye));
        self.link_gone(theirs, effects);
    }

    fn goodbye_answered(&mut self, pair: Pair, text: &str, effects: &mut Vec<Effect>) {
        self.tell_all(pair.link, effects);
        if self.link.lets_go_first {
            effects.push(Effect::LetGoFirst(pair.link));
        }
        effects.push(Effect::Say(text.to_owned()));
        self.server_left(pair.theirs, effects);
    }

    /// There is no link any more: whoever waits is told so, and somebody new may come.
    fn link_gone(&mut self, theirs: u32, effects: &mut Vec<Effect>) {
        if self.link.leaving.is_some() {
            return self.server_left(theirs, effects);
        }
        effects.push(Effect::Say(format!("Peer {theirs} disconnected")));
        self.link.to_tell.clear();
        self.link.goes_singly = false;
        self.link.is_parting = false;
        for question in self.questions.give_up() {
            self.fill(question, Message::Error(Refusal::PeerNotFound), effects);
        }
        if self.link.is_listening {
            self.wait_for_peer(effects);
        } else {
            self.nobody_there(effects);
        }
    }

    /// We have left, and the other side knows it or will not answer any more.
    pub(super) fn server_left(&mut self, theirs: u32, effects: &mut Vec<Effect>) {
        for (conn, OpenTurn { mut turn, .. }) in std::mem::take(&mut self.open) {
            // What is still missing says that nobody was there.
            turn.last = true;
            effects.push(Effect::Answer(conn, turn));
        }
        // Once only, though the time for leaving and that of a third question may end together.
        self.link.phase = Phase::Waiting;
        self.link.leaving = None;
        effects.push(Effect::Say(format!("Peer {theirs} disconnected")));
        effects.push(Effect::End(Exit::Done));
    }

    pub(super) fn kill(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        match self.link.phase {
            Phase::Up(pair) if self.link.leaving.is_none() => {
                self.link.leaving = Some(now.plus(LEAVE_MS_MAX));
                // First, so that the other server can listen there at once.
                self.link.lets_go_first = std::mem::take(&mut self.link.is_listening);
                effects.push(Effect::StopListening);
                if !self.link.is_parting {
                    self.link.to_tell.push(Message::ReqDcPeer(pair.ours));
                    self.link.goes_singly = true;
                }
            }
            // We leave already; the other server's answer or the time will end it.
            Phase::Up(_) => {}
            Phase::Granting(pair, _) => {
                self.tell_all(pair.link, effects);
                effects.push(Effect::End(Exit::Done));
            }
            _ => effects.push(Effect::End(Exit::Done)),
        }
    }

    pub(super) fn expire_questions(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        while let Some(question) = self.questions.expire(now) {
            self.counters.questions_timed_out += 1;
            let (conn, word) = (question.conn.0, question.query.word());
            effects.push(Effect::Trace(format!("ev=time-out conn=c{conn} question=REQ_{word}")));
            self.fill(question, Message::Error(Refusal::PeerNotFound), effects);
        }
        if let Phase::Up(pair) = self.link.phase
            && let Some(why) = self.questions.hopeless(now)
        {
            self.cut(pair, why, effects);
        }
    }

    pub(super) fn show_peer(&self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Say(match self.link.phase {
            Phase::Up(Pair { ours, theirs, .. }) => format!("peer {theirs}, own ID {ours}"),
            Phase::Granting(Pair { theirs, .. }, _) => {
                format!("peer {theirs}, own ID not known yet")
            }
            _ => "no peer".to_owned(),
        }));
    }
}

/// What is answered to what is no question that we know. What looks like an answer is not answered:
/// two servers that complain about each other's complaints would never end.
pub(super) fn complaint(message: &Message) -> Option<Message> {
    matches!(message, Message::Malformed(text) if !is_answer(text))
        .then_some(Message::Error(Refusal::Malformed))
}

fn is_answer(text: &[u8]) -> bool {
    [&b"RES_"[..], b"OK", b"ERROR"].iter().any(|word| text.starts_with(word))
}

/// Whether `answer` may be the answer to `query`. An error always may.
fn fits(query: Query, answer: &Message) -> bool {
    matches!(answer, Message::Error(_)) || query.is_answered_by(answer)
}
