//! Questions to the other server, in their order. The protocol has no request numbers: the order
//! is the only way to know which answer belongs to which question.
//!
//! A program may take what one `recv` gives it for one message. Asked twice at once it answers
//! once, and the order is lost. So until we know better, a question goes when the one before it
//! is answered, or a moment later to a server that ends its messages with a newline, and not right
//! behind an answer of ours (`pace.rs`). Where many wait, a trial (`trial.rs`) shows whether the
//! other server reads a stream; then it is asked as fast as our clients ask.

use super::Why;
use super::pace::Pace;
use super::question::{NOBODY, Question};
use super::trial::{Shown, Trial, unlike};
use crate::grid::limits::{
    HOLD_MS, PEER_TIMEOUTS_MAX, SPACING_MS, TRIAL_WAITING_MIN, TRIAL_WAITS_MIN,
};
use crate::grid::protocol::{Query, Scope};
use crate::net::asked::ConnId;
use crate::net::clock::Millis;
use std::collections::VecDeque;

/// All that are under way: a turn of each client, and those of clients that have gone until their
/// time is over. All have the same time, so they become due in their order.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// On the link, oldest first. Of the first `given_up` of them the clients have been told
    /// that there is no answer; they stay to be matched with their late answers.
    asked: VecDeque<Question>,
    given_up: usize,
    /// Not yet on the link.
    waiting: VecDeque<Question>,
    /// Some of these may be of clients that have gone.
    has_orphans: bool,
    /// How many in a row got no answer in time.
    timeouts: u32,
    /// When the last of them was over.
    timed_out_at: Millis,
    /// When the last answer came.
    heard_at: Millis,
    /// How long it takes: the longest of late, halved with each that is shorter.
    answer_ms: u64,
    manner: Manner,
    pub(super) pace: Pace,
    /// The other server has answered a question about sensors well.
    knows_sensors: bool,
    /// And one about power.
    knows_power: bool,
    /// It was asked the kind that nobody had asked yet.
    is_checked: bool,
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
    /// To a question that went twice, or to the probe while it was not known which; the client has
    /// its answer, or waits for another.
    Trial,
}

impl Questions {
    pub(super) fn put(&mut self, question: Question) {
        self.waiting.push_back(question);
    }

    /// A client has gone. Its questions are passed over when their turn comes: looking for them now
    /// would take long where thousands go at once.
    pub(super) fn orphan(&mut self) {
        self.has_orphans = true;
    }

    /// The other server said something that is to be answered.
    pub(super) fn spoke(&mut self, now: Millis) {
        let since = match self.manner {
            Manner::Trial(trial) => trial.probe_due(),
            _ => self.waiting.front().map(|first| first.since),
        };
        self.pace.spoke(now, since);
    }

    /// The next question to be put on the link. `is_line`: the other server ends its messages with
    /// a newline, so it may read streams. `is_wanted`: who asked has not gone.
    pub(super) fn send(
        &mut self,
        now: Millis,
        is_line: bool,
        is_wanted: impl Fn(ConnId) -> bool,
    ) -> Option<Sent> {
        if self.has_orphans {
            while self.waiting.pop_front_if(|question| !is_wanted(question.conn)).is_some() {}
            self.has_orphans = !self.waiting.is_empty();
        }
        if let Manner::Trial(trial) = &mut self.manner {
            let query = trial.probe(now, self.pace.may_ask_at())?;
            self.pace.asked(now, now);
            return Some(Sent { query, is_trial: false });
        }
        if self.next_at(is_line).is_none_or(|at| now < at) {
            return None;
        }
        if let Some(lost) = self.lost(is_line) {
            let until = now.plus(lost.patience_ms());
            let query = unlike(lost.query);
            let probe = Question { since: now, sent: now, until, ..lost };
            self.asked.push_back(probe.for_nobody(query));
            self.pace.asked(now, now);
            return Some(Sent { query, is_trial: false });
        }
        let question = Question { sent: now, ..self.waiting.pop_front()? };
        self.pace.asked(now, question.since);
        let may_try = is_line && self.manner == Manner::Unknown && self.asked.is_empty();
        let is_worth_it = may_try && self.is_trial_due() && question.was_sent_in_time();
        // A trial needs both kinds, and nothing is tried with what may not be known over there.
        if is_worth_it && let Some(query) = self.unchecked() {
            self.waiting.push_front(question);
            self.asked.push_back(question.for_nobody(query));
            return Some(Sent { query, is_trial: false });
        }
        let is_trial = is_worth_it && self.knows_sensors && self.knows_power;
        if is_trial {
            self.manner = Manner::Trial(Trial::begin(question, now));
        } else {
            self.asked.push_back(question);
        }
        Some(Sent { query: question.query, is_trial })
    }

    /// When the next one may go if nothing is heard before; `None`: not then.
    fn next_at(&self, is_line: bool) -> Option<Millis> {
        let first = self.waiting.front()?;
        let reads_stream = self.reads_stream(is_line);
        let at = match self.manner {
            _ if reads_stream || self.asked.is_empty() => Millis(0),
            Manner::Unknown if is_line && self.is_doubtful() => return None,
            Manner::Unknown if is_line => {
                let spacing_ms = SPACING_MS.max(2 * self.answer_ms);
                let spacing_ms = spacing_ms.min(first.patience_ms() / 2).max(HOLD_MS);
                self.pace.asked_at().plus(spacing_ms)
            }
            // One that is late could read this together with the one that it owes.
            _ => self.lost(is_line)?.had_time_at(),
        };
        Some(if reads_stream { at } else { self.pace.may_ask_at().max(at) })
    }

    /// Whether it is worth a trial: many wait, or many have waited for the other server to read.
    fn is_trial_due(&self) -> bool {
        self.waiting.len() >= TRIAL_WAITING_MIN || self.pace.waits() >= TRIAL_WAITS_MIN
    }

    /// The question that stands in the way of all that wait, though its time is over, and was
    /// perhaps read as one with what stood before it. The other server has answered such a one, so
    /// one of the other kind will tell: its answer comes behind that to this one, or there is none.
    fn lost(&self, is_line: bool) -> Option<Question> {
        let first = *self.asked.front()?;
        let is_alone = self.asked.len() == 1 && self.given_up == 1 && first.conn != NOBODY;
        let is_one_at_a_time = !is_line || self.manner == Manner::Messages;
        let is_known = self.knows(first.query);
        let is_lost = is_alone && is_one_at_a_time && is_known && !self.waiting.is_empty();
        is_lost.then_some(first)
    }

    /// Whether the other server has answered such a question well.
    fn knows(&self, query: Query) -> bool {
        match query {
            Query::Sensor(_) => self.knows_sensors,
            Query::Power(_) => self.knows_power,
        }
    }

    /// One went behind a question that may not be known over there. With another behind that, an
    /// answer would not tell which of the two it is for.
    fn is_doubtful(&self) -> bool {
        let open = self.asked.len() > 1 && self.asked.len() > self.given_up;
        open && self.asked.front().is_some_and(|first| first.conn == NOBODY)
    }

    /// The kind that nobody has asked yet, once, if the other one was answered well.
    fn unchecked(&mut self) -> Option<Query> {
        let query = match (self.knows_sensors, self.knows_power) {
            (true, false) if !self.is_checked => Query::Power(Scope::External),
            (false, true) if !self.is_checked => Query::Sensor(Scope::External),
            _ => return None,
        };
        self.is_checked = true;
        Some(query)
    }

    /// The oldest question, which has now been answered. `is_good`: it is the right answer to such
    /// a question, and no error.
    pub(super) fn answered(&mut self, now: Millis, is_good: impl Fn(Query) -> bool) -> Answered {
        let heard_at = std::mem::replace(&mut self.heard_at, now);
        if let Manner::Trial(trial) = self.manner {
            return self.tried(now, trial, is_good);
        }
        self.pass_over(&is_good);
        let Some(question) = self.asked.pop_front() else { return Answered::Nothing };
        self.pace.answered(now, self.asked.is_empty());
        let answer_ms = question.sent.max(heard_at).until(now).as_millis() as u64;
        self.answer_ms = answer_ms.max(self.answer_ms / 2);
        if is_good(question.query) {
            match question.query {
                Query::Sensor(_) => self.knows_sensors = true,
                Query::Power(_) => self.knows_power = true,
            }
        }
        if self.given_up > 0 {
            self.given_up -= 1;
            return Answered::Late(question);
        }
        self.timeouts = 0;
        Answered::Question(question)
    }

    /// Where the other server was not seen to read a stream, an answer that does not fit the oldest
    /// question but a later one shows that those before it were joined to others, or not known.
    /// Those whose clients still wait are asked again, one at a time.
    fn pass_over(&mut self, is_good: &impl Fn(Query) -> bool) {
        let fitting = self.asked.iter().position(|question| is_good(question.query));
        let Some(count @ 1..) = fitting.filter(|_| self.manner != Manner::Stream) else { return };
        // Of those behind it nobody can know whether they were joined, too.
        if count + 1 < self.asked.len() {
            return;
        }
        let passed: Vec<Question> = self.asked.drain(..count).collect();
        let told = self.given_up.min(count);
        self.given_up -= told;
        for question in passed.into_iter().skip(told).rev().filter(|q| q.conn != NOBODY) {
            self.waiting.push_front(question);
        }
        self.has_orphans = true;
        self.manner = Manner::Messages;
    }

    fn tried(
        &mut self,
        now: Millis,
        mut trial: Trial,
        is_good: impl Fn(Query) -> bool,
    ) -> Answered {
        let (told, shown) = trial.heard(now, is_good);
        // Before the probe went, any answer shows that both were read.
        self.pace.answered(now, trial.probe_due().is_some() || shown == Shown::Messages);
        self.timeouts = 0;
        self.manner = match shown {
            Shown::Nothing => Manner::Trial(trial),
            Shown::Stream(probe) => {
                self.asked.extend(probe.map(|query| trial.question.for_nobody(query)));
                Manner::Stream
            }
            Shown::Messages => Manner::Messages,
        };
        if shown != Shown::Nothing {
            trial.open().into_iter().for_each(|question| self.waiting.push_front(question));
            self.has_orphans = true;
        }
        told.map_or(Answered::Trial, Answered::Question)
    }

    /// A question whose time is over.
    pub(super) fn expire(&mut self, now: Millis) -> Option<Question> {
        let owes = self.given_up > 0 || matches!(self.manner, Manner::Trial(..));
        if let Manner::Trial(trial) = &mut self.manner
            && let Some(question) = trial.expire(now)
        {
            self.count(now);
            return Some(question);
        }
        while let Some(question) = self.asked.get(self.given_up).filter(|q| q.until <= now) {
            let question = *question;
            self.given_up += 1;
            if question.conn == NOBODY {
                continue;
            }
            if question.was_sent_in_time() {
                self.count(now);
            }
            return Some(question);
        }
        let question = self.waiting.pop_front_if(|question| question.until <= now)?;
        // Not asked, because the other server owes an answer. Where its client asked after the last
        // answer and after the last that counted, it has waited all its time in one more silence as
        // long; who asked before that waited in one that was counted already.
        if owes && question.since >= self.timed_out_at.max(self.heard_at) {
            self.count(now);
        }
        Some(question)
    }

    fn count(&mut self, now: Millis) {
        self.timeouts += 1;
        self.timed_out_at = now;
    }

    /// Why the link must end, if it must: so many in a row got no answer that the other server
    /// counts as gone, or nobody can know which answer comes next.
    pub(super) fn hopeless(&self, now: Millis) -> Option<Why> {
        if matches!(self.manner, Manner::Trial(trial) if trial.is_stuck(now)) {
            return Some(Why::Disorder);
        }
        (self.timeouts >= PEER_TIMEOUTS_MAX).then_some(Why::Silent)
    }

    /// Takes out all whose clients still wait; what comes on a later link is not for them.
    pub(super) fn give_up(&mut self) -> Vec<Question> {
        let all = std::mem::take(self);
        let tried = match all.manner {
            Manner::Trial(trial) => trial.open(),
            _ => None,
        };
        tried
            .into_iter()
            .chain(all.asked.into_iter().skip(all.given_up))
            .chain(all.waiting)
            .collect()
    }

    /// Takes out all that did not go on the link.
    pub(super) fn give_up_waiting(&mut self) -> VecDeque<Question> {
        std::mem::take(&mut self.waiting)
    }

    /// When something is to be done. `may_ask`: there is somebody to ask.
    pub(super) fn deadline(&self, is_line: bool, may_ask: bool) -> Option<Millis> {
        let asked = self.asked.get(self.given_up).map(|question| question.until);
        let waiting = self.waiting.front().map(|question| question.until);
        let (tried, next) = match self.manner {
            Manner::Trial(trial) => {
                let due = trial.probe_due().map(|due| due.max(self.pace.may_ask_at()));
                (trial.deadline(), due)
            }
            _ => (None, self.next_at(is_line)),
        };
        [asked, waiting, tried, next.filter(|_| may_ask)].into_iter().flatten().min()
    }

    /// Whether what goes to the other server may share a write. `is_line`: it ends its messages
    /// with a newline.
    pub(super) fn reads_stream(&self, is_line: bool) -> bool {
        is_line && self.manner == Manner::Stream
    }

    /// Whether an answer that comes now is the answer to a question.
    pub(super) fn are_under_way(&self) -> bool {
        !self.asked.is_empty() || matches!(self.manner, Manner::Trial(..))
    }
}
