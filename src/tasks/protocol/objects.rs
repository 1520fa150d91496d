//! A stream of JSON objects, however they are cut or joined, each with one long string that is
//! decoded as it comes and never held in memory.
//!
//! This finds where an object begins and ends. Whether what is between is JSON, `serde_json` says.

use super::text::{Decoded, Text};
use crate::tasks::limits::{HEAD_BYTES_MAX, NESTED_MAX, NEWS_BYTES};
use serde_json::{Map, Value};
use std::ops::Range;

/// A message, without its long string.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its fields.
    pub fields: Map<String, Value>,
    /// Whether it had the long string, and whether that was base64.
    pub text: Option<bool>,
}

/// What comes out of a stream.
#[derive(Debug, PartialEq)]
pub enum Step<'a> {
    /// Some decoded bytes of the long string of the message that is on its way.
    Bytes(&'a [u8]),
    /// A message.
    Whole(Object),
    /// A message that is none of ours, and why. The next may be.
    Flawed(&'static str),
    /// The stream is no longer JSON. Nothing follows.
    Broken,
}

const NO_OBJECT: &str = "not a JSON object";
const TOO_DEEP: &str = "nested too deeply";
const TOO_LONG: &str = "the message is too long";
const HEAD_TOO_LONG: &str = "a field is too long";
const TWICE: &str = "the archive is there twice";
const NOT_READ: &str = "a text or a number that is none";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between two messages.
    Between,
    /// In a message, and not in a string.
    Open,
    /// In a string; whether behind a backslash.
    Quoted(bool),
    /// In the long string.
    Long,
    /// In a number or a word that stands alone, which is JSON and no message.
    Bare,
}

/// Cuts a stream into messages.
#[derive(Debug)]
pub struct Objects {
    long_field: &'static str,
    bytes_max: u64,
    place: Place,
    depth: usize,
    /// The message but for the letters of the long string; at most [`HEAD_BYTES_MAX`].
    head: Vec<u8>,
    /// The last string of the outermost object, as part of the head.
    last: Range<usize>,
    /// The value that comes is the long string's.
    is_long: bool,
    size: u64,
    news_at: u64,
    text: Text,
    had_text: Option<bool>,
    flaw: Option<&'static str>,
    /// What had come of a message before it was too long.
    beginning: Option<Map<String, Value>>,
    is_broken: bool,
}

impl Objects {
    /// A new stream; the field of this name is the long one, and a message has at most so many
    /// bytes.
    pub fn new(long_field: &'static str, bytes_max: u64) -> Objects {
        Objects {
            long_field,
            bytes_max,
            place: Place::Between,
            depth: 0,
            head: Vec::new(),
            last: 0..0,
            is_long: false,
            size: 0,
            news_at: NEWS_BYTES,
            text: Text::default(),
            had_text: None,
            flaw: None,
            beginning: None,
            is_broken: false,
        }
    }

    /// Whether part of a message is there.
    pub fn is_open(&self) -> bool {
        self.place != Place::Between && !self.is_broken
    }

    /// Whether so much of a long message has come since this was last asked that it is worth
    /// telling.
    pub fn has_news(&mut self) -> bool {
        let has = self.size >= self.news_at;
        if has {
            self.news_at = self.size + NEWS_BYTES;
        }
        has
    }

    /// The fields of a message that was too long, if what came before its long string tells them.
    pub fn beginning(&mut self) -> Option<Map<String, Value>> {
        self.beginning.take()
    }

    /// Takes some of `bytes` in, and takes it off their front. None: all of it was taken.
    pub fn step(&mut self, bytes: &mut &[u8]) -> Option<Step<'_>> {
        while !self.is_broken && !bytes.is_empty() {
            let before = bytes.len();
            if self.place == Place::Long {
                let decoded = self.text.step(bytes);
                self.count(before - bytes.len());
                match decoded {
                    Decoded::Bytes(size) if self.flaw.is_none() => {
                        return Some(Step::Bytes(&self.text.bytes[..size]));
                    }
                    Decoded::Bytes(_) | Decoded::Nothing => {}
                    Decoded::End(is_good) => {
                        self.had_text = Some(is_good);
                        self.place = Place::Open;
                        self.keep(b'"');
                    }
                }
                continue;
            }
            let byte = bytes[0];
            if self.place == Place::Bare && !is_bare(byte) {
                return Some(self.finish());
            }
            *bytes = &bytes[1..];
            if self.take(byte) {
                return Some(self.finish());
            }
        }
        if self.is_broken {
            *bytes = &[];
        }
        None
    }

    /// One byte outside the long string. True at the end of a message.
    fn take(&mut self, byte: u8) -> bool {
        if self.place == Place::Between {
            if byte.is_ascii_whitespace() {
                return false;
            }
            self.begin();
        }
        self.count(1);
        self.keep(byte);
        match (self.place, byte) {
            (Place::Quoted(true), _) => self.place = Place::Quoted(false),
            (Place::Quoted(false), b'\\') => self.place = Place::Quoted(true),
            (Place::Quoted(false), b'"') => {
                self.place = Place::Open;
                self.last.end = self.head.len().saturating_sub(1);
                return self.depth == 0;
            }
            (Place::Quoted(false), _) | (Place::Bare, _) => {}
            (_, b'"') => self.quote(),
            (_, b'{' | b'[') => {
                self.depth += 1;
                if self.depth > NESTED_MAX {
                    self.spoil(TOO_DEEP);
                }
            }
            (_, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            (_, b':') if self.depth == 1 => {
                self.is_long = self.head.get(self.last.clone()) == Some(self.long_field.as_bytes());
            }
            (_, b',') if self.depth == 1 => self.is_long = false,
            _ if self.depth == 0 && is_bare(byte) => self.place = Place::Bare,
            // Where a message could begin, this begins none.
            _ if self.depth == 0 => return true,
            _ => {}
        }
        false
    }

    fn quote(&mut self) {
        self.place = Place::Quoted(false);
        if self.depth == 1 && !self.is_long {
            self.last = self.head.len()..self.head.len();
        }
        if self.depth == 1 && self.is_long {
            self.is_long = false;
            self.place = Place::Long;
            self.text.begin();
            if self.had_text.is_some() {
                self.spoil(TWICE);
            }
            if self.flaw.is_some() {
                self.text.give_up();
            }
        }
    }

    fn begin(&mut self) {
        self.place = Place::Open;
        (self.depth, self.size, self.news_at) = (0, 0, NEWS_BYTES);
        self.head.clear();
        (self.last, self.is_long) = (0..0, false);
        (self.had_text, self.flaw, self.beginning) = (None, None, None);
    }

    fn count(&mut self, bytes: usize) {
        self.size += bytes as u64;
        if self.size > self.bytes_max && self.flaw.is_none() {
            if self.place == Place::Long {
                self.head.extend_from_slice(b"\"}");
                self.beginning = serde_json::from_slice(&self.head).ok();
            }
            self.spoil(TOO_LONG);
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.flaw.is_some() {
            return;
        }
        self.head.push(byte);
        if self.head.len() > HEAD_BYTES_MAX {
            self.spoil(HEAD_TOO_LONG);
        }
    }

    /// The message is none of ours; what is still to come of it is only passed over.
    fn spoil(&mut self, why: &'static str) {
        self.flaw.get_or_insert(why);
        self.head = Vec::new();
        self.text.give_up();
    }

    fn finish(&mut self) -> Step<'_> {
        self.place = Place::Between;
        if let Some(flaw) = self.flaw {
            return Step::Flawed(flaw);
        }
        let parsed = serde_json::from_slice(&self.head);
        let is_json = parsed.is_err() && is_json(&self.head);
        if self.head.capacity() > HEAD_BYTES_MAX / 8 {
            self.head = Vec::new();
        }
        match parsed {
            Ok(Value::Object(mut fields)) => {
                if self.had_text.is_some() {
                    fields.remove(self.long_field);
                }
                Step::Whole(Object { fields, text: self.had_text })
            }
            Ok(_) => Step::Flawed(NO_OBJECT),
            Err(_) if is_json => Step::Flawed(NOT_READ),
            Err(_) => {
                self.is_broken = true;
                Step::Broken
            }
        }
    }
}

/// Whether that is JSON by its grammar, though nothing here can hold what it says: half of a pair
/// of surrogates, or a number without end. With others in their place it must be read.
fn is_json(head: &[u8]) -> bool {
    let (mut plain, mut rest) = (Vec::with_capacity(head.len()), head);
    let mut is_text = false;
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        match byte {
            b'"' => is_text = !is_text,
            b'\\' if is_text => {
                let code = rest.split_first_chunk::<5>().filter(|(code, _)| {
                    code[0] == b'u' && code[1..].iter().all(u8::is_ascii_hexdigit)
                });
                if let Some((_, more)) = code {
                    plain.push(b'?');
                    rest = more;
                    continue;
                }
                plain.push(byte);
                let Some((&escaped, more)) = rest.split_first() else { break };
                plain.push(escaped);
                rest = more;
                continue;
            }
            b'0'..=b'9' if !is_text && plain.last().is_some_and(u8::is_ascii_digit) => continue,
            _ => {}
        }
        plain.push(byte);
    }
    serde_json::from_slice::<Value>(&plain).is_ok()
}

fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}
