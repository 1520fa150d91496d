//! When the next thing goes to a server that may take what one `recv` gives it for one message:
//! when it has read the one before, or had time to. So a question waits for what was told before
//! it, and what is to be told waits for the question before it. An answer that waits for nothing
//! else does not wait for another: who asks twice at once expects two.
//!
//! An example. At 0 ms the other server is told an answer; at 3 ms a client asks, and the question
//! waits until 10. At 8 ms it asks us again: the question has waited 5 ms, so the answer goes first
//! and the question waits until 18. Had it waited 10, it would go now and the answer wait.

use crate::grid::limits::HOLD_MS;
use crate::net::clock::Millis;

/// What the other server was last asked and told.
#[derive(Debug, Default)]
pub(super) struct Pace {
    asked_at: Millis,
    /// Nothing heard since shows that it has read the last question.
    is_unread: bool,
    /// When it was told something that is no question.
    told_at: Option<Millis>,
    /// Since then it has said something that is to be answered.
    has_spoken: bool,
    /// A question that has waited goes before the answer to what it said.
    is_pressing: bool,
    /// How often a question or an answer has waited.
    waits: u32,
}

impl Pace {
    /// A question goes. `since`: when its client asked.
    pub(super) fn asked(&mut self, now: Millis, since: Millis) {
        let has_waited = self.told_at.is_some_and(|told| since < told.plus(HOLD_MS));
        self.waits = self.waits.saturating_add(u32::from(has_waited));
        self.asked_at = now;
        self.is_unread = true;
        self.is_pressing = false;
    }

    /// Something else goes.
    pub(super) fn told(&mut self, now: Millis, has_waited: bool) {
        self.waits = self.waits.saturating_add(u32::from(has_waited));
        self.told_at = Some(now);
        self.has_spoken = false;
        self.is_pressing = false;
    }

    /// The other server said something that is to be answered. `since`: when the first of the
    /// questions that wait was asked. Where no quiet moment comes, this is the best one: most have
    /// read what they were told before they say something new.
    pub(super) fn spoke(&mut self, now: Millis, since: Option<Millis>) {
        self.has_spoken = true;
        // Another one has just gone, and what was said before that is to be answered first.
        let since = since.map(|since| since.max(self.asked_at));
        self.is_pressing = since.is_some_and(|since| since.plus(HOLD_MS) <= now);
    }

    /// The other server answered a question. `is_last`: the last one.
    pub(super) fn answered(&mut self, now: Millis, is_last: bool) {
        self.is_unread &= !is_last;
        if self.told_at.is_some_and(|told| self.asked_at < told) {
            // It was at work at this answer then, and reads only now what it was told.
            self.told(now, false);
        }
    }

    pub(super) fn asked_at(&self) -> Millis {
        self.asked_at
    }

    /// From when on it may be asked.
    pub(super) fn may_ask_at(&self) -> Millis {
        self.read_at(self.is_pressing)
    }

    /// From when on it may be told something. `goes_singly`: it is to have read what it was told
    /// before, too.
    pub(super) fn may_tell_at(&self, goes_singly: bool) -> Millis {
        let asked = if self.is_unread { self.asked_at.plus(HOLD_MS) } else { Millis(0) };
        if goes_singly { asked.max(self.read_at(self.has_spoken)) } else { asked }
    }

    /// From when on it counts as having read what it was told last; `is_excused`: already.
    fn read_at(&self, is_excused: bool) -> Millis {
        let told = self.told_at.filter(|_| !is_excused);
        told.map_or(Millis(0), |told| told.plus(HOLD_MS))
    }

    /// Whether a question goes before what is to be told.
    pub(super) fn is_pressing(&self) -> bool {
        self.is_pressing
    }

    /// How often a question or an answer has waited for the other server to read.
    pub(super) fn waits(&self) -> u32 {
        self.waits
    }
}
