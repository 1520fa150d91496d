//! A stream has no messages: this cuts it into requests, or answers (spec: Protocol).
//!
//! A piece ends with `\n` or `\r\n`, or, for programs that send no terminator, after
//! [`SILENCE_MS`] in which nothing came.

use crate::command::limits::SILENCE_MS;

/// What was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole one, without its terminator.
    Whole(&'a [u8]),
    /// One that is longer than may be. It is the last: where it ends, nobody knows.
    TooLong,
}

/// Bytes in, pieces out, however they were cut or joined on the way.
#[derive(Debug)]
pub struct Framer {
    bytes: Vec<u8>,
    /// What lies before this was given.
    start: usize,
    /// From `start` to here there is no `\n`, and it need not be looked for again.
    searched: usize,
    bytes_max: usize,
    /// Nothing has come for so long that what waits is a whole piece.
    is_silent: bool,
    /// The last piece was ended by silence. Its terminator may still come.
    awaits_terminator: bool,
    has_lines: bool,
    is_over: bool,
}

impl Framer {
    /// Pieces of at most `bytes_max`.
    pub fn new(bytes_max: usize) -> Framer {
        Framer {
            bytes: Vec::new(),
            start: 0,
            searched: 0,
            bytes_max,
            is_silent: false,
            awaits_terminator: false,
            has_lines: false,
            is_over: false,
        }
    }

    /// Whether the other side ends its pieces with `\n`: it has done so once.
    pub fn has_lines(&self) -> bool {
        self.has_lines
    }

    /// Takes bytes as they arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.is_over || bytes.is_empty() {
            return;
        }
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.is_silent = false;
        self.bytes.extend_from_slice(bytes);
    }

    /// How long to wait for more, in ms. None for those who have ended their lines, whom the rule
    /// of silence must cost nothing.
    pub fn patience_ms(&self) -> Option<u64> {
        self.has_part().then_some(SILENCE_MS)
    }

    /// So long nothing came, or nothing will come any more.
    pub fn silence(&mut self) {
        self.is_silent = self.has_part();
    }

    /// The next piece, if there is one.
    pub fn next_piece(&mut self) -> Option<Piece<'_>> {
        self.skip_late_terminator();
        let start = self.start;
        let newline = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n');
        if let Some(at) = newline.map(|at| self.searched + at) {
            self.has_lines = true;
            self.start = at + 1;
            self.searched = self.start;
            let has_cr = at > start && self.bytes[at - 1] == b'\r';
            return Some(self.piece(start, at - usize::from(has_cr)));
        }
        let end = self.bytes.len();
        self.searched = end;
        // A `\r` may be the beginning of the terminator.
        let has_cr = end > start && self.bytes[end - 1] == b'\r';
        let is_too_long = end - start - usize::from(has_cr) > self.bytes_max;
        if !(is_too_long || self.is_silent && self.has_part()) {
            return None;
        }
        self.start = end;
        self.awaits_terminator = true;
        Some(self.piece(start, end - usize::from(has_cr)))
    }

    /// What waits for its end.
    pub fn part(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn has_part(&self) -> bool {
        self.start < self.bytes.len()
    }

    fn piece(&mut self, start: usize, end: usize) -> Piece<'_> {
        if end - start <= self.bytes_max {
            return Piece::Whole(&self.bytes[start..end]);
        }
        self.is_over = true;
        self.bytes = Vec::new();
        (self.start, self.searched) = (0, 0);
        Piece::TooLong
    }

    /// A terminator that comes behind its silence ends nothing any more.
    fn skip_late_terminator(&mut self) {
        while self.awaits_terminator && self.has_part() {
            match self.bytes[self.start] {
                b'\r' => {}
                b'\n' => {
                    self.has_lines = true;
                    self.awaits_terminator = false;
                }
                _ => {
                    self.awaits_terminator = false;
                    return;
                }
            }
            self.start += 1;
        }
        self.searched = self.searched.max(self.start);
    }
}
