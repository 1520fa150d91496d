//! Finding out whether the other server reads a stream, or takes what one `recv` gives it for one
//! message: a question goes twice in one write. Two answers are a stream; one, if no other is to
//! come. Who is slow may give the other when nobody expects it any more, so a question of the other
//! kind follows then, and the kind of the next answer tells.

use super::questions::Question;
use crate::grid::protocol::{Query, Scope};
use crate::net::clock::Millis;

/// A question that went twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) question: Question,
    /// Its client has its answer, or was told that there is none.
    is_told: bool,
    /// One of both was answered.
    is_half: bool,
    /// When both answers are due: early enough to ask those who wait.
    due: Millis,
    /// The question of the other kind, once it has gone.
    probe: Option<Query>,
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
        let due = now.plus(now.until(question.until).as_millis() as u64 / 2);
        Trial { question, is_told: false, is_half: false, due, probe: None }
    }

    /// The question, if its client still waits.
    pub(super) fn open(&self) -> Option<Question> {
        (!self.is_told).then_some(self.question)
    }

    /// The question of the other kind, if it is time for it.
    pub(super) fn probe(&mut self, now: Millis) -> Option<Query> {
        if self.probe.is_some() || now < self.due {
            return None;
        }
        self.probe = Some(match self.question.query {
            Query::Sensor(_) => Query::Power(Scope::External),
            Query::Power(_) => Query::Sensor(Scope::External),
        });
        self.probe
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        let until = self.open().map(|question| question.until);
        let due = self.probe.is_none().then_some(self.due);
        until.into_iter().chain(due).min()
    }

    /// The question, once its time is over.
    pub(super) fn expire(&mut self, now: Millis) -> Option<Question> {
        let question = self.open().filter(|question| question.until <= now)?;
        self.is_told = true;
        Some(question)
    }

    /// An answer. The question, if it is for its client, and what is known now. `is_good`: it is
    /// the right answer to such a question, and no error.
    pub(super) fn heard(&mut self, is_good: impl Fn(Query) -> bool) -> (Option<Question>, Shown) {
        let is_good_here = is_good(self.question.query);
        let shown = match self.probe {
            None if self.is_half => Shown::Stream(None),
            Some(probe) if self.is_half && is_good_here => Shown::Stream(Some(probe)),
            Some(_) if !is_good_here => Shown::Messages,
            _ => Shown::Nothing,
        };
        self.is_half = true;
        // Who could not read both at once may have answered with an error, which is not for the
        // client while something better may come.
        let tells = is_good_here || shown == Shown::Stream(None);
        let told = self.open().filter(|_| tells);
        self.is_told |= tells;
        (told, shown)
    }
}
