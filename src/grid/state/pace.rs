//! When the next thing goes to a server that may take what one `recv` gives it for one message:
//! when it has read the one before, or had time to. So a question waits for an answer, and an
//! answer for a question. An answer does not wait for another: who asks twice at once expects two.

use crate::grid::limits::HOLD_MS;
use crate::net::clock::Millis;

/// What the other server was last asked and told.
#[derive(Debug, Default)]
pub(super) struct Pace {
    asked_at: Millis,
    /// Nothing that was heard since shows that it has read that.
    is_unread: bool,
    /// When it was told something that is no question.
    told_at: Option<Millis>,
    /// It has asked us since, and a question has waited long.
    is_pressing: bool,
}

impl Pace {
    /// A question goes.
    pub(super) fn asked(&mut self, now: Millis) {
        self.asked_at = now;
        self.is_unread = true;
    }

    /// Something else goes.
    pub(super) fn told(&mut self, now: Millis) {
        self.told_at = Some(now);
        self.is_pressing = false;
    }

    /// The other server asked something, and a question waits since then. Where no quiet moment
    /// comes, this is the best one: most have read what they were told before they ask again.
    pub(super) fn inquired(&mut self, now: Millis, since: Option<Millis>) {
        self.is_pressing = since.is_some_and(|since| since.plus(HOLD_MS) <= now);
    }

    /// The other server answered. `is_last`: to the last question.
    pub(super) fn answered(&mut self, now: Millis, is_last: bool) {
        self.is_unread &= !is_last;
        if self.told_at.is_some_and(|told| self.asked_at < told) {
            // It was at work at this answer then, and reads only now what it was told.
            self.told(now);
        }
    }

    pub(super) fn asked_at(&self) -> Millis {
        self.asked_at
    }

    /// When it may be asked.
    pub(super) fn asks_at(&self) -> Millis {
        let told = self.told_at.filter(|_| !self.is_pressing);
        told.map_or(Millis(0), |told| told.plus(HOLD_MS))
    }

    /// When it may be told something.
    pub(super) fn tells_at(&self) -> Millis {
        if self.is_unread { self.asked_at.plus(HOLD_MS) } else { Millis(0) }
    }

    /// Whether a question goes before what is to be told.
    pub(super) fn is_pressing(&self) -> bool {
        self.is_pressing
    }

    /// Whether a question that goes now has waited, since then, because something was told.
    pub(super) fn has_held(&self, since: Millis) -> bool {
        self.told_at.is_some_and(|told| since < told.plus(HOLD_MS))
    }
}
