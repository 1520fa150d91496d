//! Questions to the other server, in their order. The protocol has no request numbers: the order
//! is the only way to know which answer belongs to which question.
//!
//! A program may take what one `recv` gives it for one message. Asked twice at once it answers
//! once, and the order is lost. So until we know better, a question goes when the one before it is
//! answered, or a moment later. Where many wait, one is asked twice in one write: who answers both
//! reads a stream, and is asked as fast as our clients ask.

use crate::grid::limits::{PEER_TIMEOUTS_MAX, SPACING_MS, TRIAL_MS, TRIAL_WAITING_MIN};
use crate::grid::protocol::Query;
use crate::net::asked::ConnId;
use crate::net::clock::Millis;
use std::collections::VecDeque;

/// One question of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    /// Who asked.
    pub(super) conn: ConnId,
    /// Where in the turn the answer belongs.
    pub(super) index: usize,
    pub(super) query: Query,
    /// When the client is told that there is no answer.
    pub(super) until: Millis,
}

/// All that are under way. Bounded by clients × messages of a turn. All have the same time, so
/// they become due in their order.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// On the link, oldest first. Of the first `given_up` of them the clients have been told
    /// that there is no answer; they stay to be matched with their late answers.
    asked: VecDeque<Question>,
    given_up: usize,
    /// Not yet on the link.
    waiting: VecDeque<Question>,
    /// How many in a row got no answer in time.
    timeouts: u32,
    reading: Reading,
    /// When the last one went.
    sent_at: Millis,
    /// How long the last answer took, in ms.
    trip_ms: Option<u64>,
}

/// How the other server reads.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nobody knows.
    #[default]
    Unknown,
    /// This went twice; both answers are due by then.
    Trial(Query, Millis),
    /// As a stream: questions may be joined.
    Stream,
    /// What one `recv` gives is one message.
    Messages,
}

/// A question that goes on the link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) query: Query,
    /// It goes twice, in one write.
    pub(super) is_trial: bool,
}

/// What an answer was the answer to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// To this.
    Question(Question),
    /// To this, but its client has been told already that there was none.
    Late(Question),
    /// To nothing.
    Nothing,
    /// To a question that went twice; its client has its answer, or waits for another.
    Trial,
}

impl Questions {
    pub(super) fn put(&mut self, question: Question) {
        self.waiting.push_back(question);
    }

    /// The next question to be put on the link. `is_line`: the other server ends its messages with
    /// a newline, so it may read streams.
    pub(super) fn send(&mut self, now: Millis, is_line: bool) -> Option<Sent> {
        let may_go = match self.reading {
            Reading::Trial(..) => false,
            Reading::Stream if is_line => true,
            Reading::Unknown if is_line => {
                self.asked.len() == self.given_up || self.sent_at.plus(SPACING_MS) <= now
            }
            // One that is late could read this together with the one that it owes.
            _ => self.asked.is_empty(),
        };
        if !may_go {
            return None;
        }
        let question = self.waiting.pop_front()?;
        let may_try = is_line && self.reading == Reading::Unknown && self.asked.is_empty();
        let is_worth_it = self.waiting.len() >= TRIAL_WAITING_MIN;
        // Who has answered nothing yet may be slow.
        let trip_ms = self.trip_ms.filter(|_| may_try && is_worth_it);
        if let Some(trip_ms) = trip_ms {
            let due = now.plus(TRIAL_MS.saturating_add(trip_ms.saturating_mul(4)));
            self.reading = Reading::Trial(question.query, due);
        }
        self.asked.push_back(question);
        self.sent_at = now;
        Some(Sent { query: question.query, is_trial: trip_ms.is_some() })
    }

    /// The oldest question, which has now been answered. `is_good`: it is the right answer to such
    /// a question, and no error.
    pub(super) fn answered(&mut self, now: Millis, is_good: impl Fn(Query) -> bool) -> Answered {
        let Some(question) = self.asked.pop_front() else {
            let Reading::Trial(query, _) = self.reading else { return Answered::Nothing };
            self.reading = if is_good(query) { Reading::Stream } else { Reading::Messages };
            return Answered::Trial;
        };
        if self.given_up > 0 {
            self.given_up -= 1;
            return Answered::Late(question);
        }
        if matches!(self.reading, Reading::Trial(..)) && !is_good(question.query) {
            // It has taken both for one, and could not read it.
            self.reading = Reading::Messages;
            self.waiting.push_front(question);
            return Answered::Trial;
        }
        self.timeouts = 0;
        self.trip_ms = Some(self.sent_at.until(now).as_millis() as u64);
        Answered::Question(question)
    }

    /// A question whose time is over.
    pub(super) fn expire(&mut self, now: Millis) -> Option<Question> {
        if matches!(self.reading, Reading::Trial(_, due) if due <= now) {
            // One answer, or none; then it is asked again.
            self.reading = Reading::Messages;
            while self.asked.len() > self.given_up
                && let Some(question) = self.asked.pop_back()
            {
                self.waiting.push_front(question);
            }
        }
        if let Some(question) = self.asked.get(self.given_up).filter(|q| q.until <= now) {
            self.given_up += 1;
            self.timeouts += 1;
            return Some(*question);
        }
        let question = self.waiting.pop_front_if(|question| question.until <= now)?;
        // Not asked, because the other server still owes an answer that is overdue.
        self.timeouts += u32::from(self.given_up > 0);
        Some(question)
    }

    /// So many in a row got no answer that the other server counts as gone.
    pub(super) fn are_hopeless(&self) -> bool {
        self.timeouts >= PEER_TIMEOUTS_MAX
    }

    /// Takes out all whose clients still wait; what comes on a later link is not for them.
    pub(super) fn give_up(&mut self) -> Vec<Question> {
        let all = std::mem::take(self);
        all.asked.into_iter().skip(all.given_up).chain(all.waiting).collect()
    }

    pub(super) fn deadline(&self, is_line: bool) -> Option<Millis> {
        let asked = self.asked.get(self.given_up).map(|question| question.until);
        let waiting = self.waiting.front().map(|question| question.until);
        let next = match self.reading {
            Reading::Trial(_, due) => Some(due),
            Reading::Unknown if is_line => waiting.map(|_| self.sent_at.plus(SPACING_MS)),
            _ => None,
        };
        [asked, waiting, next].into_iter().flatten().min()
    }

    /// Whether an answer that comes now is the answer to a question.
    pub(super) fn are_under_way(&self) -> bool {
        !self.asked.is_empty() || matches!(self.reading, Reading::Trial(..))
    }
}
