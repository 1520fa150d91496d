//! Questions to the other server, in their order. The protocol has no request numbers: the order
//! is the only way to know which answer belongs to which question.
//!
//! A program may take what one `recv` gives it for one message. Asked twice at once it answers
//! once, and the order is lost. So until we know better, a question goes when the one before it is
//! answered, or a moment later. Where many wait, one is asked twice in one write: who answers both
//! reads a stream, and is asked as fast as our clients ask. Who is slow may still answer the second
//! when its time is over, so a question of the other kind goes then: the kind of the next answer
//! tells which of both it is.

use crate::grid::limits::{PEER_TIMEOUTS_MAX, SPACING_MS, TRIAL_WAITING_MIN};
use crate::grid::protocol::{Query, Scope};
use crate::net::asked::ConnId;
use crate::net::clock::Millis;
use std::collections::VecDeque;

/// Who asked what was asked only to learn how the other server reads.
const NOBODY: ConnId = ConnId(0);

/// One question of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    /// Who asked.
    pub(super) conn: ConnId,
    /// Where in the turn the answer belongs.
    pub(super) index: usize,
    pub(super) query: Query,
    /// When it was asked here.
    pub(super) since: Millis,
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
    /// When the last of them was over.
    timed_out_at: Millis,
    manner: Manner,
    /// When the last one went.
    sent_at: Millis,
    /// The other server has answered something: it is not just slow.
    has_answered: bool,
}

/// How the other server reads.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Nobody knows.
    #[default]
    Unknown,
    /// A question went twice.
    Trial(Trial),
    /// As a stream: questions may be joined.
    Stream,
    /// What one `recv` gives is one message.
    Messages,
}

/// A question that went twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trial {
    question: Question,
    /// Its client has its answer, or was told that there is none.
    is_told: bool,
    /// One of both was answered.
    is_half: bool,
    /// When the other answer is due, too: early enough to ask those who wait.
    due: Millis,
    /// The question of the other kind, once it has gone.
    probe: Option<Query>,
}

impl Trial {
    /// When the probe goes. Who has answered nothing at all gets more time: what it has not read
    /// yet could be joined with the probe.
    fn probe_at(&self) -> Option<Millis> {
        let at = if self.is_half { self.due } else { self.question.until };
        self.probe.is_none().then_some(at)
    }

    fn deadline(&self) -> Option<Millis> {
        let until = (!self.is_told).then_some(self.question.until);
        until.into_iter().chain(self.probe_at()).min()
    }
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
    /// a newline, so it may read streams. `is_wanted`: who asked has not gone.
    pub(super) fn send(
        &mut self,
        now: Millis,
        is_line: bool,
        is_wanted: impl Fn(ConnId) -> bool,
    ) -> Option<Sent> {
        while self.waiting.pop_front_if(|question| !is_wanted(question.conn)).is_some() {}
        if let Manner::Trial(trial) = &mut self.manner {
            trial.probe_at().filter(|at| *at <= now)?;
            let query = unlike(trial.question.query);
            trial.probe = Some(query);
            return Some(Sent { query, is_trial: false });
        }
        let may_go = match self.manner {
            Manner::Stream if is_line => true,
            Manner::Unknown if is_line => {
                self.asked.len() == self.given_up || self.sent_at.plus(SPACING_MS) <= now
            }
            // One that is late could read this together with the one that it owes.
            _ => self.asked.is_empty(),
        };
        if !may_go {
            return None;
        }
        let question = self.waiting.pop_front()?;
        let may_try = is_line && self.manner == Manner::Unknown && self.asked.is_empty();
        let is_worth_it = self.waiting.len() >= TRIAL_WAITING_MIN;
        let is_trial = may_try && is_worth_it && self.has_answered;
        if is_trial {
            let due = now.plus(now.until(question.until).as_millis() as u64 / 2);
            let trial = Trial { question, is_told: false, is_half: false, due, probe: None };
            self.manner = Manner::Trial(trial);
        } else {
            self.asked.push_back(question);
        }
        self.sent_at = now;
        Some(Sent { query: question.query, is_trial })
    }

    /// The oldest question, which has now been answered. `is_good`: it is the right answer to such
    /// a question, and no error.
    pub(super) fn answered(&mut self, is_good: impl Fn(Query) -> bool) -> Answered {
        if let Manner::Trial(trial) = self.manner {
            self.timeouts = 0;
            return match trial.probe {
                Some(probe) => self.probed(trial, probe, is_good),
                None => self.tried(trial, is_good(trial.question.query)),
            };
        }
        let Some(question) = self.asked.pop_front() else { return Answered::Nothing };
        if self.given_up > 0 {
            self.given_up -= 1;
            return Answered::Late(question);
        }
        self.timeouts = 0;
        self.has_answered = true;
        Answered::Question(question)
    }

    /// An answer to a question that went twice. Who could not read both at once may have answered
    /// with an error, which is not for the client while something better may come.
    fn tried(&mut self, mut trial: Trial, is_good: bool) -> Answered {
        let is_last = trial.is_half;
        let tells = !trial.is_told && (is_good || is_last);
        trial.is_told |= tells;
        trial.is_half = true;
        self.manner = if is_last { Manner::Stream } else { Manner::Trial(trial) };
        if tells { Answered::Question(trial.question) } else { Answered::Trial }
    }

    /// An answer since the probe went. Of the first kind, it is to the question that went twice;
    /// if both are answered, that to the probe is still to come. Otherwise there is no other, if
    /// it is no error that comes instead of all.
    fn probed(
        &mut self,
        mut trial: Trial,
        probe: Query,
        is_good: impl Fn(Query) -> bool,
    ) -> Answered {
        let is_first_kind = is_good(trial.question.query);
        let tells = is_first_kind && !trial.is_told;
        trial.is_told |= tells;
        if is_first_kind && trial.is_half {
            self.manner = Manner::Stream;
            self.asked.push_back(Question { conn: NOBODY, query: probe, ..trial.question });
        } else if is_good(probe) || (trial.is_half && !is_first_kind) {
            self.manner = Manner::Messages;
            if !trial.is_told {
                self.waiting.push_front(trial.question);
            }
        } else {
            trial.is_half = true;
            self.manner = Manner::Trial(trial);
        }
        if tells { Answered::Question(trial.question) } else { Answered::Trial }
    }

    /// A question whose time is over.
    pub(super) fn expire(&mut self, now: Millis) -> Option<Question> {
        let owes = self.given_up > 0 || matches!(self.manner, Manner::Trial(..));
        if let Manner::Trial(trial) = &mut self.manner
            && !trial.is_told
            && trial.question.until <= now
        {
            trial.is_told = true;
            let question = trial.question;
            self.count(now);
            return Some(question);
        }
        while let Some(question) = self.asked.get(self.given_up).filter(|q| q.until <= now) {
            let question = *question;
            self.given_up += 1;
            if question.conn != NOBODY {
                self.count(now);
                return Some(question);
            }
        }
        let question = self.waiting.pop_front_if(|question| question.until <= now)?;
        // Not asked, because the other server owes an answer. If it did all the time since the
        // last that counted, it had as long again.
        if owes && question.since >= self.timed_out_at {
            self.count(now);
        }
        Some(question)
    }

    fn count(&mut self, now: Millis) {
        self.timeouts += 1;
        self.timed_out_at = now;
    }

    /// So many in a row got no answer that the other server counts as gone.
    pub(super) fn are_hopeless(&self) -> bool {
        self.timeouts >= PEER_TIMEOUTS_MAX
    }

    /// Takes out all whose clients still wait; what comes on a later link is not for them.
    pub(super) fn give_up(&mut self) -> Vec<Question> {
        let all = std::mem::take(self);
        let tried = match all.manner {
            Manner::Trial(trial) if !trial.is_told => Some(trial.question),
            _ => None,
        };
        tried
            .into_iter()
            .chain(all.asked.into_iter().skip(all.given_up))
            .chain(all.waiting)
            .collect()
    }

    pub(super) fn deadline(&self, is_line: bool) -> Option<Millis> {
        let asked = self.asked.get(self.given_up).map(|question| question.until);
        let waiting = self.waiting.front().map(|question| question.until);
        let next = match self.manner {
            Manner::Trial(trial) => trial.deadline(),
            Manner::Unknown if is_line => waiting.map(|_| self.sent_at.plus(SPACING_MS)),
            _ => None,
        };
        [asked, waiting, next].into_iter().flatten().min()
    }

    /// Whether an answer that comes now is the answer to a question.
    pub(super) fn are_under_way(&self) -> bool {
        !self.asked.is_empty() || matches!(self.manner, Manner::Trial(..))
    }
}

/// A question whose answer cannot be taken for one to `query`.
fn unlike(query: Query) -> Query {
    match query {
        Query::Sensor(_) => Query::Power(Scope::External),
        Query::Power(_) => Query::Sensor(Scope::External),
    }
}
