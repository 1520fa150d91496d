//! An archive as text: base64 within a JSON string, however the text is cut.

use crate::tasks::limits::TEXT_BYTES;
use base64_simd::{AsOut, STANDARD};

/// What came of some text.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// So many bytes are at the beginning of [`Text::bytes`].
    Bytes(usize),
    /// More must come.
    Nothing,
    /// The string has ended; whether it was base64.
    End(bool),
}

#[derive(Debug, Clone, Copy)]
enum Escape {
    None,
    Backslash,
    /// So many digits of a code are still missing.
    Code(u8, u32),
}

/// Decodes one string.
#[derive(Debug)]
pub struct Text {
    /// Less than four letters that make no byte yet.
    carry: Vec<u8>,
    escape: Escape,
    /// The padding was there; no more letters may come.
    ended: bool,
    is_bad: bool,
    /// What was decoded last.
    pub bytes: Box<[u8]>,
}

impl Default for Text {
    fn default() -> Text {
        Text {
            carry: Vec::with_capacity(4),
            escape: Escape::None,
            ended: false,
            is_bad: false,
            // Grows when it is needed first: most connections carry no archive at the moment.
            bytes: Box::default(),
        }
    }
}

impl Text {
    /// Begins a string, behind its quotation mark.
    pub fn begin(&mut self) {
        self.carry.clear();
        (self.escape, self.ended, self.is_bad) = (Escape::None, false, false);
        if self.bytes.is_empty() {
            self.bytes = vec![0; TEXT_BYTES].into_boxed_slice();
        }
    }

    /// Decodes no more of this string, and only looks for its end.
    pub fn give_up(&mut self) {
        self.is_bad = true;
    }

    /// Takes some of `text` in, and takes it off its front.
    pub fn step(&mut self, text: &mut &[u8]) -> Decoded {
        loop {
            if let Some(size) = self.decode_run(text) {
                return Decoded::Bytes(size);
            }
            let Some((&letter, rest)) = text.split_first() else { return Decoded::Nothing };
            *text = rest;
            match (self.escape, letter) {
                (Escape::None, b'"') => {
                    return Decoded::End(self.carry.is_empty() && !self.is_bad);
                }
                (Escape::None, b'\\') => self.escape = Escape::Backslash,
                (Escape::None, letter) => self.push(letter),
                (Escape::Backslash, letter) => self.unescape(letter),
                (Escape::Code(missing, code), digit) => self.code(missing, code, digit),
            }
            if self.carry.len() == 4 {
                let size = STANDARD.decode(&self.carry, self.bytes.as_out()).map(|d| d.len());
                self.ended = self.carry[3] == b'=';
                self.carry.clear();
                match size {
                    Ok(size) => return Decoded::Bytes(size),
                    Err(_) => self.is_bad = true,
                }
            }
        }
    }

    /// A long run of letters at once. Searching its end first would cost more than decoding it, so
    /// that is tried, and the end is searched where it fails.
    fn decode_run(&mut self, text: &mut &[u8]) -> Option<usize> {
        if self.is_bad {
            let is_end = |letter: &u8| matches!(letter, b'"' | b'\\');
            if matches!(self.escape, Escape::None) {
                let skipped = text.iter().position(is_end).unwrap_or(text.len());
                *text = &text[skipped..];
            }
            return None;
        }
        if self.ended || !self.carry.is_empty() || !matches!(self.escape, Escape::None) {
            return None;
        }
        let mut run = text.len().min(TEXT_BYTES) & !3;
        if run == 0 {
            return None;
        }
        let mut decode = |run| STANDARD.decode(run, self.bytes.as_out()).map(|bytes| bytes.len());
        let mut decoded = decode(&text[..run]);
        if decoded.is_err() {
            run = text.iter().position(|letter| !is_letter(*letter)).unwrap_or(run).min(run) & !3;
            if run == 0 {
                return None;
            }
            decoded = decode(&text[..run]);
        }
        let size = decoded.ok()?;
        self.ended = text[run - 1] == b'=';
        *text = &text[run..];
        Some(size)
    }

    fn push(&mut self, letter: u8) {
        match letter {
            // Python's `encodebytes` breaks lines.
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {}
            _ if self.ended || self.is_bad || !(is_letter(letter) || letter == b'=') => {
                self.is_bad = true;
            }
            _ => self.carry.push(letter),
        }
    }

    fn unescape(&mut self, letter: u8) {
        self.escape = Escape::None;
        match letter {
            b'n' | b'r' | b't' | b'f' => {}
            b'/' => self.push(b'/'),
            b'u' => self.escape = Escape::Code(4, 0),
            _ => self.is_bad = true,
        }
    }

    fn code(&mut self, missing: u8, code: u32, digit: u8) {
        self.escape = Escape::None;
        let Some(digit) = char::from(digit).to_digit(16) else {
            self.is_bad = true;
            return;
        };
        let code = code * 16 + digit;
        match (missing, u8::try_from(code)) {
            (1, Ok(letter)) => self.push(letter),
            (1, Err(_)) => self.is_bad = true,
            _ => self.escape = Escape::Code(missing - 1, code),
        }
    }
}

fn is_letter(letter: u8) -> bool {
    letter.is_ascii_alphanumeric() || letter == b'+' || letter == b'/'
}

/// Appends bytes as text. All pieces but the last have a multiple of three bytes.
pub fn encode(bytes: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    text.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let _ = STANDARD.encode(bytes, text[start..].as_out());
}
