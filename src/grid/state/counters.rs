//! What a server counts, and how it tells it at its end.

use crate::net::counters;

/// What went wrong, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Clients that found no seat.
    pub clients_refused: u64,
    /// Clients that did not join in time.
    pub joins_timed_out: u64,
    /// Clients that were cut because they did not read their answers.
    pub clients_slow: u64,
    /// Servers that found the link taken.
    pub peers_refused: u64,
    /// Connections to the peer port that found no room, or said much and never `REQ_ADDPEER`.
    pub guests_refused: u64,
    /// Connections to the peer port that did not send `REQ_ADDPEER` in time.
    pub guests_timed_out: u64,
    /// Messages that nobody could read.
    pub malformed: u64,
    /// Questions for the other server whose time was over, put to it or still waiting.
    pub questions_timed_out: u64,
    /// Answers of the other server that came too late, or to no question; but not those to a
    /// question that went twice.
    pub answers_dropped: u64,
    /// Links that ended without a goodbye, and such as we granted that never came up.
    pub links_lost: u64,
    /// Those of them that were cut because the other server did not read what it was told.
    pub links_slow: u64,
}

impl Counters {
    /// `name=count` of those that are not zero.
    pub fn report(&self) -> String {
        counters::line(&counters::nonzero([
            ("clients-refused", self.clients_refused),
            ("joins-timed-out", self.joins_timed_out),
            ("clients-slow", self.clients_slow),
            ("peers-refused", self.peers_refused),
            ("guests-refused", self.guests_refused),
            ("guests-timed-out", self.guests_timed_out),
            ("malformed", self.malformed),
            ("questions-timed-out", self.questions_timed_out),
            ("answers-dropped", self.answers_dropped),
            ("links-lost", self.links_lost),
            ("links-slow", self.links_slow),
        ]))
    }
}
