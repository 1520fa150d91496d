//! Finding out whether the other server reads a stream, or takes what one `recv` gives it for one
//! message: a question goes twice in one write. Who answers both reads a stream; who answers once,
//! and has no other answer to give, takes messages. Who is slow may give the other when nobody
//! expects it any more, so a question of the other kind follows then, the probe: how many answers
//! come before its own tells. It is a question that the other server has answered before.

use super::question::Question;
use crate::grid::limits::{SPACING_MS, TRIAL_MS_MAX};
use crate::grid::protocol::{Query, Scope};
use crate::net::clock::Millis;

/// A question that went twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) question: Question,
    /// Its client has its answer, or was told that there is none.
    is_told: bool,
    /// Answers so far.
    heard: u32,
    /// When both answers are due: early enough to ask those who wait, and soon behind one.
    due: Millis,
    /// The question of the other kind, once it has gone.
    probe: Option<Query>,
    /// When something last went or came.
    last: Millis,
}

/// What is known after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing yet.
    Nothing,
    /// It reads a stream. The probe, if it went, is still to be answered.
    Stream(Option<Query>),
    /// One `recv` is one message. It answered once, or could not read what went twice.
    Messages,
}

impl Trial {
    /// A question that goes twice now.
    pub(super) fn begin(question: Question, now: Millis) -> Trial {
        let left_ms = now.until(question.until).as_millis() as u64;
        let due = now.plus(TRIAL_MS_MAX.min(left_ms / 2));
        Trial { question, is_told: false, heard: 0, due, probe: None, last: now }
    }

    /// The question, if its client still waits.
    pub(super) fn open(&self) -> Option<Question> {
        (!self.is_told).then_some(self.question)
    }

    /// The question of the other kind, if it is time for it. Until `quiet_at` the other server may
    /// be reading something else.
    pub(super) fn probe(&mut self, now: Millis, quiet_at: Millis) -> Option<Query> {
        self.probe_due().filter(|due| quiet_at.max(*due) <= now)?;
        self.last = now;
        self.probe = Some(unlike(self.question.query));
        self.probe
    }

    /// When the question of the other kind is due, if it has not gone.
    pub(super) fn probe_due(&self) -> Option<Millis> {
        self.probe.is_none().then_some(self.due)
    }

    /// When something is over.
    pub(super) fn deadline(&self) -> Option<Millis> {
        let until = self.open().map(|question| question.until);
        until.into_iter().chain(self.stuck_at()).min()
    }

    /// When it is known that what is missing does not come, and not what that is: two answers were
    /// lost, or the other server had not read the first when the probe went.
    fn stuck_at(&self) -> Option<Millis> {
        self.probe.filter(|_| self.heard > 0)?;
        Some(self.last.plus(self.question.patience_ms()))
    }

    pub(super) fn is_stuck(&self, now: Millis) -> bool {
        self.stuck_at().is_some_and(|at| at <= now)
    }

    /// The question, once its time is over.
    pub(super) fn expire(&mut self, now: Millis) -> Option<Question> {
        let question = self.open().filter(|question| question.until <= now)?;
        self.is_told = true;
        Some(question)
    }

    /// An answer. The question, if it is for its client, and what is known now. `is_good`: it is
    /// the right answer to such a question, and no error.
    pub(super) fn heard(
        &mut self,
        now: Millis,
        is_good: impl Fn(Query) -> bool,
    ) -> (Option<Question>, Shown) {
        let is_first_kind = is_good(self.question.query);
        let is_to_probe = self.probe.is_some_and(is_good);
        self.heard += 1;
        self.last = now;
        // It has read both, so what comes now is read alone.
        self.due = self.due.min(now.plus(SPACING_MS));
        // What came before the answer to the probe tells: two answers, both were read; one or none,
        // they were read as one.
        let shown = match (self.probe, self.heard) {
            (None, 2) => Shown::Stream(None),
            (Some(probe), 2) if is_first_kind => Shown::Stream(Some(probe)),
            (Some(_), ..3) if is_to_probe => Shown::Messages,
            (Some(_), 3..) => Shown::Stream(None),
            // An error may be the answer to any of them, so it decides nothing until all three
            // have come.
            _ => Shown::Nothing,
        };
        // Who could not read both at once may have answered with an error, which is not for the
        // client while something better may come.
        let tells = is_first_kind || (shown == Shown::Stream(None) && !is_to_probe);
        let told = self.open().filter(|_| tells);
        self.is_told |= tells;
        (told, shown)
    }
}

/// A question whose answer cannot be taken for one to `query`.
pub(super) fn unlike(query: Query) -> Query {
    match query {
        Query::Sensor(_) => Query::Power(Scope::External),
        Query::Power(_) => Query::Sensor(Scope::External),
    }
}
