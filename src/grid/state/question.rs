//! One question to the other server.

use crate::grid::protocol::Query;
use crate::net::asked::ConnId;
use crate::net::clock::Millis;

/// Who asked what was asked only to learn how the other server reads: the kind that nobody asked
/// yet, the one that tells a lost question from a late one, and a trial's probe once the trial is
/// decided.
pub(super) const NOBODY: ConnId = ConnId(0);

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
    /// When it went on the link, if it has.
    pub(super) sent: Millis,
    /// When the client is told that there is no answer.
    pub(super) until: Millis,
}

impl Question {
    /// Another one in its place, for nobody.
    pub(super) fn for_nobody(self, query: Query) -> Question {
        Question { conn: NOBODY, query, ..self }
    }

    /// How long its client waits, in ms.
    pub(super) fn patience_ms(&self) -> u64 {
        self.since.until(self.until).as_millis() as u64
    }

    /// When the other server has had half of that time for it.
    pub(super) fn had_time_at(&self) -> Millis {
        self.sent.plus(self.patience_ms() / 2)
    }

    /// It went so early that the other server has at least half of the client's time for it.
    pub(super) fn was_sent_in_time(&self) -> bool {
        self.had_time_at() <= self.until
    }
}
