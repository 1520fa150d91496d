//! The other end of a link: what is said to it, and in how many writes.

use crate::grid::limits::PENDING_BYTES_MAX;
use crate::grid::protocol::{Message, Terminator, Writer};
use crate::net::pushed::{Frame, Outbox};

/// Somebody at the other end of a link.
pub(super) struct Partner {
    outbox: Outbox,
    /// What is sent when no more events wait.
    pending: Vec<u8>,
    writer: Writer,
}

impl Partner {
    pub(super) fn new(outbox: Outbox) -> Partner {
        Partner { outbox, pending: Vec::new(), writer: Writer::default() }
    }

    /// Says this soon to one who reads lines, and at once, in a write of its own, to one who does
    /// not. False if the outbox is full.
    pub(super) fn say(&mut self, message: &Message, terminator: Terminator) -> bool {
        let joins = terminator.is_line();
        let has_room = joins || self.flush(false);
        self.writer.write(message, &mut self.pending);
        self.pending.extend_from_slice(terminator.bytes_or_lf());
        let is_due = !joins || self.pending.len() >= PENDING_BYTES_MAX;
        has_room && (!is_due || self.send(joins))
    }

    /// Sends what is pending. `joins`: it may share a write. False if the outbox is full.
    pub(super) fn flush(&mut self, joins: bool) -> bool {
        self.pending.is_empty() || self.send(joins)
    }

    fn send(&mut self, joins: bool) -> bool {
        let bytes = std::mem::take(&mut self.pending);
        self.outbox.send(Frame { bytes, joins, report: None }).is_ok()
    }

    /// A byte that means nothing.
    pub(super) fn say_nothing(&mut self) {
        self.pending.push(b'\n');
        self.flush(true);
    }

    /// Ends the link at once, whatever is queued.
    pub(super) fn cut(&self) {
        self.outbox.cut();
    }
}
