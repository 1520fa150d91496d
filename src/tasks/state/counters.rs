//! What a master counts of what goes wrong.

use crate::net::counters::{self, Counter};

/// What went wrong so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections and peers for which there was no room.
    pub refused: u64,
    /// Leases that ended without a result.
    pub lost: u64,
    /// Results that said that the task failed.
    pub failed: u64,
    /// Results that came when there was one.
    pub duplicates: u64,
    /// Results that no task belongs to, or that are none.
    pub wrong: u64,
    /// Questions that are none.
    pub unknown: u64,
    /// Streams that were no JSON.
    pub broken: u64,
    /// Connections that said nothing for too long.
    pub silent: u64,
    /// Connections that did not know the token.
    pub untrusted: u64,
    /// Results that could not be kept at once.
    pub unstored: u64,
}

impl Counters {
    /// What is not zero.
    pub fn report(&self) -> Vec<Counter> {
        counters::nonzero([
            ("refused", self.refused),
            ("leases-lost", self.lost),
            ("failed-results", self.failed),
            ("duplicate-results", self.duplicates),
            ("wrong-results", self.wrong),
            ("unknown-messages", self.unknown),
            ("broken-streams", self.broken),
            ("silent-connections", self.silent),
            ("untrusted", self.untrusted),
            ("not-stored", self.unstored),
        ])
    }
}
