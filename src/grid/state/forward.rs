//! What goes to the other server now, and what a moment later (`pace.rs` says when).

use super::link::{Pair, Phase};
use super::questions::Sent;
use super::{Effect, State};
use crate::grid::protocol::{Message, Query, Refusal, Scope};
use crate::net::clock::Millis;
use crate::net::pushed::LinkId;

impl State {
    /// Tells the other server what it is owed, and asks it as much as may be asked. Until it is
    /// known that it reads a stream, it is to read each thing before the next comes.
    pub(super) fn forward(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let (Phase::Up(Pair { link, .. }) | Phase::Granting(link, ..)) = self.link.phase else {
            return;
        };
        if self.link.leaving.is_some() {
            for question in self.questions.give_up_waiting() {
                self.fill(question, Message::Error(Refusal::PeerNotFound), effects);
            }
        }
        if self.link.is_held || !self.questions.pace.is_pressing() {
            self.tell_owed(now, link, effects);
        }
        self.ask(now, link, effects);
        self.tell_owed(now, link, effects);
        self.link.is_held = !self.link.owed.is_empty();
    }

    /// It is known that what goes to the other server may share a write.
    fn reads_stream(&self) -> bool {
        self.link.terminator.is_line() && self.questions.may_join()
    }

    fn tell_owed(&mut self, now: Millis, link: LinkId, effects: &mut Vec<Effect>) {
        let reads_stream = self.reads_stream();
        if self.link.owed.is_empty() || (!reads_stream && now < self.questions.pace.tells_at()) {
            return;
        }
        let mut owed = std::mem::take(&mut self.link.owed);
        owed.drain(..).for_each(|message| self.tell(link, message, effects));
        self.link.owed = owed;
        if !reads_stream {
            self.questions.pace.told(now);
            effects.push(Effect::Apart(link));
        }
    }

    fn ask(&mut self, now: Millis, link: LinkId, effects: &mut Vec<Effect>) {
        let is_line = self.link.terminator.is_line();
        let told = effects.len();
        let is_wanted = |conn| self.open.contains_key(&conn);
        while let Some(Sent { query, is_trial }) = self.questions.send(now, is_line, is_wanted) {
            let asked = match query {
                Query::Sensor(_) => Query::Sensor(Scope::External),
                Query::Power(_) => Query::Power(Scope::External),
            };
            for _ in 0..if is_trial { 2 } else { 1 } {
                self.tell(link, Message::Req(asked), effects);
            }
        }
        if !self.reads_stream() && effects.len() > told {
            effects.push(Effect::Apart(link));
        }
    }
}
