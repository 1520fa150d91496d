//! What goes to the other server now, and what a moment later (`pace.rs` says when).

use super::link::{Pair, Phase};
use super::questions::Sent;
use super::{Effect, State};
use crate::grid::limits::TO_TELL_MAX;
use crate::grid::protocol::{Message, Refusal};
use crate::net::clock::Millis;
use crate::net::pushed::LinkId;

impl State {
    /// Tells the other server what it is to be told, and asks it as much as may be asked. Until it
    /// is known that it reads a stream, it is to read each thing before the next comes.
    pub(super) fn forward(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let (Phase::Up(pair) | Phase::Granting(pair, _)) = self.link.phase else { return };
        let Pair { link, theirs, .. } = pair;
        if self.link.leaving.is_some() {
            for question in self.questions.give_up_waiting() {
                self.fill(question, Message::Error(Refusal::PeerNotFound), effects);
            }
        }
        // A question puts off what is to be told, and the reverse. What is to be told goes first,
        // unless a question has waited for such things already; so neither waits for ever.
        if !self.questions.pace.is_pressing() {
            self.tell_rest(now, link, effects);
        }
        if self.link.may_ask() {
            self.ask(now, link, effects);
        }
        self.tell_rest(now, link, effects);
        self.link.goes_singly = !self.link.to_tell.is_empty();
        if self.link.is_parting && !self.link.goes_singly {
            self.part(link, theirs, effects);
        }
    }

    /// When the other server may be told what has waited, or be asked, or a question is over.
    pub(super) fn forward_deadline(&self) -> Option<Millis> {
        let tells_at = self.link.goes_singly.then(|| self.questions.pace.may_tell_at(true));
        let is_line = self.link.terminator.is_line();
        let questions = self.questions.deadline(is_line, self.link.may_ask());
        tells_at.into_iter().chain(questions).min()
    }

    fn reads_stream(&self) -> bool {
        self.questions.reads_stream(self.link.terminator.is_line())
    }

    /// Tells what may be told now: all of what came with this event, or one thing that has waited.
    fn tell_rest(&mut self, now: Millis, link: LinkId, effects: &mut Vec<Effect>) {
        let (count, goes_singly) = (self.link.to_tell.len(), self.link.goes_singly);
        let reads_stream = self.reads_stream();
        let is_free = reads_stream || count > TO_TELL_MAX;
        if count == 0 || !is_free && now < self.questions.pace.may_tell_at(goes_singly) {
            return;
        }
        let goes = if goes_singly && !is_free { 1 } else { count };
        let rest = self.link.to_tell.split_off(goes);
        self.tell_all(link, effects);
        self.link.to_tell = rest;
        if !reads_stream {
            self.questions.pace.told(now, goes_singly);
            if self.link.leaving.is_some() {
                // What comes behind a goodbye waits as if that were a question.
                self.questions.pace.asked(now, now);
            }
            effects.push(Effect::Apart(link));
        }
    }

    pub(super) fn tell_all(&mut self, link: LinkId, effects: &mut Vec<Effect>) {
        for message in std::mem::take(&mut self.link.to_tell) {
            self.tell(link, message, effects);
        }
    }

    fn ask(&mut self, now: Millis, link: LinkId, effects: &mut Vec<Effect>) {
        let is_line = self.link.terminator.is_line();
        let told = effects.len();
        let is_wanted = |conn| self.open.contains_key(&conn);
        while let Some(Sent { query, is_trial }) = self.questions.send(now, is_line, is_wanted) {
            for _ in 0..if is_trial { 2 } else { 1 } {
                self.tell(link, Message::Req(query.forwarded()), effects);
            }
        }
        if !self.reads_stream() && effects.len() > told {
            effects.push(Effect::Apart(link));
        }
    }
}
