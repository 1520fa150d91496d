//! How messages are found in a stream of bytes, whatever the other program's habits
//! (spec: Tolerant input). Opens no socket and reads no clock: it says how much silence it needs.
//!
//! What stands between messages (terminators, blanks, stray parentheses, the bare number with
//! which some clients acknowledge) is skipped. A message begins with a keyword of its port. One
//! without payload is the beginning of no other, so it is complete with its keyword; one with a
//! payload at the `)` behind its last number; else a terminator, the next keyword or silence ends
//! it. What begins with no keyword is unknown up to its terminator or silence.

use crate::grid::keywords::{Found, Keyword, Port};
use crate::grid::limits::{MESSAGE_BYTES_MAX, NUMBERS_MAX, SILENCE_MS, UNCLOSED_MS};
use crate::grid::protocol::{Message, Terminator, Writer};
use crate::net::asked::Encode;
use crate::net::pushed::Hear;
use crate::net::stream::Decode;

/// What a message that is not complete waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// There is none, or only the beginning of a keyword.
    Bytes,
    /// A terminator behind the first message.
    Terminator,
    /// The end of something unknown.
    Unknown,
    /// A closing parenthesis.
    Parenthesis,
    /// The end of something too long, which was reported already.
    Lost,
}

enum Scan {
    /// So many bytes are this message.
    Whole(usize, Message),
    /// There may be more to come; if not, so many bytes are this message.
    Open(Waiting, usize, Message),
}

/// Finds messages. Implements [`Decode`], and [`Encode`] in the terminator it has found.
#[derive(Debug)]
pub struct Decoder {
    port: Port,
    /// What has arrived and is not yet decoded, from `at`. Bounded by [`MESSAGE_BYTES_MAX`] and
    /// what is fed at once.
    bytes: Vec<u8>,
    at: usize,
    /// The last byte that was skipped, because a terminator may arrive in two pieces.
    skipped: u8,
    terminator: Terminator,
    waiting: Waiting,
    /// The first message, while its terminator is awaited.
    held: Option<Message>,
    /// Silence was reported, and nothing has arrived since.
    quiet: bool,
    writer: Writer,
    /// The terminator as of the last [`Decode::has_news`].
    told: Terminator,
    /// The last message that ended with its own parenthesis. It often comes again, and what it
    /// means is known then.
    closed: Option<(Box<[u8]>, Message)>,
}

impl Decoder {
    /// Nothing heard yet.
    pub fn new(port: Port) -> Decoder {
        Decoder {
            port,
            bytes: Vec::new(),
            at: 0,
            skipped: 0,
            terminator: Terminator::Unknown,
            waiting: Waiting::Bytes,
            held: None,
            quiet: false,
            writer: Writer::default(),
            told: Terminator::Unknown,
            closed: None,
        }
    }

    /// How the other side ends its messages: the last terminator seen.
    pub fn terminator(&self) -> Terminator {
        self.terminator
    }

    /// Goes over what stands between messages, and notes the terminators.
    fn skip(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\n' if self.skipped == b'\r' => self.terminator = Terminator::CrLf,
                // The other half may be on its way.
                b'\n' if self.terminator == Terminator::LfNul && self.is_last() => {}
                b'\n' => self.terminator = Terminator::Lf,
                0 if self.skipped == b'\n' => self.terminator = Terminator::LfNul,
                0 => self.terminator = Terminator::Nul,
                b'\r' | b' ' | b'\t' | b'(' | b')' | b'0'..=b'9' => {}
                _ => {
                    if self.skipped == b'\n' && self.terminator == Terminator::LfNul {
                        // There was no other half.
                        self.terminator = Terminator::Lf;
                    }
                    return;
                }
            }
            self.skipped = byte;
            self.at += 1;
        }
        self.bytes.clear();
        self.at = 0;
    }

    fn is_last(&self) -> bool {
        self.at + 1 == self.bytes.len()
    }

    /// Goes over the rest of something too long. True once its end is found.
    fn skip_lost(&mut self) -> bool {
        let end = self.bytes[self.at..].iter().position(|byte| is_end(*byte));
        let size = end.unwrap_or(self.bytes.len() - self.at);
        self.at += size;
        if size > 0 {
            self.skipped = 0;
        }
        end.is_some() || self.quiet
    }

    /// Bytes of the terminator behind a message of `size` bytes, as far as its first byte tells. A
    /// message without terminator leaves room for one, as it may come.
    fn end_size(&self, size: usize) -> usize {
        if self.bytes.get(self.at + size) == Some(&b'\r') { 2 } else { 1 }
    }

    /// The message of `size` bytes is complete.
    fn complete(&mut self, size: usize, message: Message) -> Option<Message> {
        self.at += size;
        self.skipped = 0;
        self.settle(message)
    }

    /// Gives `message`, unless it is the first and its terminator may still be on its way: the
    /// answer is to carry it.
    fn settle(&mut self, message: Message) -> Option<Message> {
        self.skip();
        if self.terminator == Terminator::Unknown {
            if self.bytes.is_empty() && !self.quiet {
                self.waiting = Waiting::Terminator;
                self.held = Some(message);
                return None;
            }
            self.terminator = Terminator::Nothing;
        }
        Some(message)
    }
}

impl Decode for Decoder {
    type Message = Message;

    fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
        self.quiet = false;
    }

    fn next(&mut self) -> Option<Message> {
        if self.waiting == Waiting::Lost && !self.skip_lost() {
            return None;
        }
        self.waiting = Waiting::Bytes;
        if let Some(first) = self.held.take() {
            return self.settle(first);
        }
        self.skip();
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        if let Some((text, message)) = &self.closed
            && rest.starts_with(text)
        {
            let (size, message) = (text.len(), message.clone());
            return self.complete(size, message);
        }
        match scan(self.port, &rest[..rest.len().min(MESSAGE_BYTES_MAX)]) {
            Scan::Whole(size, message) if size + self.end_size(size) <= MESSAGE_BYTES_MAX => {
                let is_known = !matches!(message, Message::Malformed(_));
                let leaves_room = size + 2 <= MESSAGE_BYTES_MAX;
                if is_known && leaves_room && rest[..size].ends_with(b")") {
                    self.closed = Some((Box::from(&rest[..size]), message.clone()));
                }
                self.complete(size, message)
            }
            Scan::Open(waiting, size, message) if rest.len() < MESSAGE_BYTES_MAX => {
                let is_all = size == rest.len();
                self.waiting = waiting;
                if !self.quiet {
                    return None;
                }
                // The silence ends this one, not the beginning behind it.
                self.quiet = is_all;
                self.complete(size, message)
            }
            _ => {
                let lost = &rest[..MESSAGE_BYTES_MAX];
                let message = Message::Malformed(Box::from(lost));
                // The first half of its terminator, perhaps.
                self.skipped = lost[MESSAGE_BYTES_MAX - 1];
                self.at += MESSAGE_BYTES_MAX;
                self.waiting = Waiting::Lost;
                Some(message)
            }
        }
    }

    fn patience_ms(&self) -> Option<u64> {
        match self.waiting {
            Waiting::Bytes => None,
            Waiting::Terminator | Waiting::Unknown | Waiting::Lost => Some(SILENCE_MS),
            Waiting::Parenthesis => Some(UNCLOSED_MS),
        }
    }

    fn silence(&mut self) {
        self.quiet = true;
    }

    /// A terminator may come long after its message, and what we say on a link carries it.
    fn has_news(&mut self) -> bool {
        let is_new = self.port == Port::Peers && self.told != self.terminator;
        self.told = self.terminator;
        is_new
    }
}

impl Encode<Message> for Decoder {
    fn encode(&mut self, answer: &Message, bytes: &mut Vec<u8>) {
        self.writer.write(answer, bytes);
        bytes.extend_from_slice(self.terminator.bytes());
    }

    fn joins(&self) -> bool {
        self.terminator.is_line()
    }
}

/// What one read of the peer link brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The messages, in order.
    pub messages: Vec<Message>,
    /// How the other server ends its messages.
    pub terminator: Terminator,
}

impl Hear for Decoder {
    type Heard = Heard;

    fn heard(&self, messages: Vec<Message>) -> Heard {
        Heard { messages, terminator: self.terminator }
    }
}

fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

/// The message that `bytes`, which are not empty and at most a whole one, begin with.
fn scan(port: Port, bytes: &[u8]) -> Scan {
    let unknown = |size: usize| Message::Malformed(Box::from(&bytes[..size]));
    match port.find(bytes) {
        Found::Keyword(keyword) if is_longer_word(port, &bytes[keyword.word.len()..]) => {
            scan_unknown(bytes)
        }
        Found::Keyword(keyword) if keyword.numbers == 0 => {
            let size = keyword.word.len();
            Scan::Whole(size, (keyword.make)(&[]).unwrap_or_else(|| unknown(size)))
        }
        Found::Keyword(keyword) => scan_payload(port, keyword, bytes),
        Found::Beginning => Scan::Open(Waiting::Bytes, bytes.len(), unknown(bytes.len())),
        Found::Nothing => scan_unknown(bytes),
    }
}

/// Whether a keyword goes on as another word, with `rest`: `REQ_ADDPEER` on the client port is not
/// `REQ_ADD`. A letter with which keywords begin is that of the next message, known or not.
fn is_longer_word(port: Port, rest: &[u8]) -> bool {
    rest.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        && matches!(port.find(&rest[..1]), Found::Nothing)
}

fn scan_unknown(bytes: &[u8]) -> Scan {
    let end = bytes.iter().position(|byte| is_end(*byte));
    let unknown = Message::Malformed(Box::from(&bytes[..end.unwrap_or(bytes.len())]));
    match end {
        Some(size) => Scan::Whole(size, unknown),
        None => Scan::Open(Waiting::Unknown, bytes.len(), unknown),
    }
}

fn scan_payload(port: Port, keyword: &Keyword, bytes: &[u8]) -> Scan {
    let mut numbers = Numbers { wanted: keyword.numbers, ..Numbers::default() };
    let mut depth = 0;
    let message = |numbers: &Numbers, size: usize| {
        let made = numbers.all().and_then(keyword.make);
        made.unwrap_or_else(|| Message::Malformed(Box::from(&bytes[..size])))
    };
    for (at, &byte) in bytes.iter().enumerate().skip(keyword.word.len()) {
        numbers.take(byte);
        if byte.is_ascii_digit() {
            continue;
        }
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        let closed = byte == b')' && (numbers.are_enough() || depth <= 0);
        if closed {
            return Scan::Whole(at + 1, message(&numbers, at + 1));
        }
        if is_end(byte) || (depth == 0 && numbers.are_enough()) {
            return Scan::Whole(at, message(&numbers, at));
        }
        if byte.is_ascii_uppercase() {
            match port.find(&bytes[at..]) {
                Found::Keyword(_) => return Scan::Whole(at, message(&numbers, at)),
                // The rest of that keyword may be on its way.
                Found::Beginning => {
                    return Scan::Open(Waiting::Parenthesis, at, message(&numbers, at));
                }
                Found::Nothing => numbers.bad = true,
            }
        }
    }
    Scan::Open(Waiting::Parenthesis, bytes.len(), message(&numbers, bytes.len()))
}

/// The numbers of a payload, picked out of whatever words stand around them.
#[derive(Default)]
struct Numbers {
    wanted: usize,
    values: [u32; NUMBERS_MAX],
    count: usize,
    /// The last byte was a digit.
    open: bool,
    bad: bool,
}

impl Numbers {
    fn take(&mut self, byte: u8) {
        if byte.is_ascii_digit() {
            self.digit(u32::from(byte - b'0'));
            return;
        }
        self.open = false;
        let separator = matches!(byte, b' ' | b'\t' | b'(' | b')') || is_end(byte);
        let word = matches!(byte, b'a'..=b'z' | b':') && self.wanted > 1;
        // An upper-case letter may begin the next message, which is found out elsewhere.
        self.bad |= !(separator || word || byte.is_ascii_uppercase());
    }

    fn digit(&mut self, digit: u32) {
        if !self.open {
            self.open = true;
            self.count += 1;
        }
        let Some(value) = self.values.get_mut(self.count - 1) else { return };
        match value.checked_mul(10).and_then(|tens| tens.checked_add(digit)) {
            Some(more) => *value = more,
            None => self.bad = true,
        }
    }

    /// No number more is needed; the last one is complete if a byte follows that is no digit.
    fn are_enough(&self) -> bool {
        self.count >= self.wanted
    }

    fn all(&self) -> Option<&[u32]> {
        let are_all = !self.bad && self.count == self.wanted;
        // Not `then_some`: there may be more of them than places.
        are_all.then(|| &self.values[..self.count])
    }
}
