//! Questions to the other server, in their order. The protocol has no request numbers: the order
//! is the only way to know which answer belongs to which question.

use crate::grid::limits::PEER_TIMEOUTS_MAX;
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
}

impl Questions {
    pub(super) fn put(&mut self, question: Question) {
        self.waiting.push_back(question);
    }

    /// The next question to be put on the link, of which at most `window` may be under way.
    pub(super) fn send(&mut self, window: usize) -> Option<Query> {
        if self.asked.len() >= window {
            return None;
        }
        let question = self.waiting.pop_front()?;
        self.asked.push_back(question);
        Some(question.query)
    }

    /// The oldest question, which has now been answered.
    pub(super) fn answered(&mut self) -> Answered {
        let Some(question) = self.asked.pop_front() else { return Answered::Nothing };
        if self.given_up > 0 {
            self.given_up -= 1;
            return Answered::Late(question);
        }
        self.timeouts = 0;
        Answered::Question(question)
    }

    /// A question whose time is over.
    pub(super) fn expire(&mut self, now: Millis) -> Option<Question> {
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

    pub(super) fn deadline(&self) -> Option<Millis> {
        let asked = self.asked.get(self.given_up).map(|question| question.until);
        asked.into_iter().chain(self.waiting.front().map(|question| question.until)).min()
    }

    /// Whether an answer that comes now is the answer to a question.
    pub(super) fn are_under_way(&self) -> bool {
        !self.asked.is_empty()
    }
}
