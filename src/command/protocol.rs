//! What may be asked and answered (spec: Protocol). How a stream is cut: [`super::frame`].

use crate::command::calendar::Calendar;
use crate::command::frame::{Framer, Piece};
use crate::command::limits::{ANSWER_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::net::asked::Encode;
use crate::net::clock::Wall;
use crate::net::stream::Decode;
use std::fmt::{self, Write};

/// What somebody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `ECHO`
    Echo,
    /// `TIME`
    Time,
    /// `EXIT`
    Exit,
    /// `AUTH name password`
    Auth(String, Password),
    /// `AUTH` with less than that. Not kept: it may be half a password.
    HalfAuth,
    /// None of these, as it came, without the white space around it.
    Unknown(Box<[u8]>),
    /// More than [`REQUEST_BYTES_MAX`]. The last of its connection.
    TooLong,
}

/// A password on its way to its check. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Hides `text`.
    pub fn new(text: String) -> Password {
        Password(text)
    }

    /// For its check, and nothing else.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// To `ECHO`.
    Echo,
    /// To `TIME`.
    Time(Wall),
    /// To `EXIT`, and to `AUTH` with the right password.
    Done,
    /// To anything that is not a command.
    Unknown,
    /// To one client too many.
    Full,
    /// To a command before `AUTH`, where there are users.
    NeedsAuth,
    /// To `AUTH` with a wrong name or password; which of both is wrong is not told.
    WrongPassword,
}

impl Answer {
    /// What does not depend on the time.
    pub fn text(&self) -> &'static str {
        match self {
            Answer::Echo => "ECHO: Comando recebido com sucesso.",
            Answer::Time(_) => "TIME: ",
            Answer::Done => "OK",
            Answer::Unknown => "ERROR: Comando não reconhecido.",
            Answer::Full => "ERROR: Número máximo de clientes alcançado.",
            Answer::NeedsAuth => "ERROR: Autenticação necessária.",
            Answer::WrongPassword => "ERROR: Nome ou senha incorretos.",
        }
    }

    /// Appends it, without terminator.
    pub fn write(&self, calendar: &Calendar, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.text().as_bytes());
        if let Answer::Time(wall) = self {
            bytes.extend_from_slice(calendar.micro(*wall).to_string().as_bytes());
        }
    }
}

impl Request {
    /// What one piece of a stream asks.
    pub fn parse(piece: Piece<'_>) -> Request {
        let Piece::Whole(bytes) = piece else { return Request::TooLong };
        let Ok(text) = std::str::from_utf8(bytes) else { return Request::Unknown(bytes.into()) };
        // Programs in C send the NUL behind a text, or a whole buffer of them.
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        let is = |word: &str| text.eq_ignore_ascii_case(word);
        if is("ECHO") {
            Request::Echo
        } else if is("TIME") {
            Request::Time
        } else if is("EXIT") {
            Request::Exit
        } else {
            auth(text).unwrap_or_else(|| Request::Unknown(text.as_bytes().into()))
        }
    }

    /// Whether it is a word of the spec, of which we know what it is answered.
    pub fn is_known(&self) -> bool {
        !matches!(self, Request::Unknown(_) | Request::TooLong)
    }

    /// What a datagram asks. None for an answer that went astray: two servers that answer each
    /// other's errors would never end.
    pub fn parse_datagram(bytes: &[u8]) -> Option<Request> {
        if bytes.starts_with(b"ERROR:") {
            return None;
        }
        let is_too_long = bytes.len() > REQUEST_BYTES_MAX;
        Some(Request::parse(if is_too_long { Piece::TooLong } else { Piece::Whole(bytes) }))
    }
}

fn auth(text: &str) -> Option<Request> {
    let mut words = text.splitn(2, char::is_whitespace);
    words.next().filter(|word| word.eq_ignore_ascii_case("AUTH"))?;
    let rest = words.next().unwrap_or_default().trim_start();
    Some(match rest.split_once(char::is_whitespace) {
        Some((name, password)) => {
            Request::Auth(name.to_owned(), Password::new(password.trim_start().to_owned()))
        }
        None => Request::HalfAuth,
    })
}

/// For people: without the password, and so that nobody can forge a line of the log.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Echo => f.write_str("ECHO"),
            Request::Time => f.write_str("TIME"),
            Request::Exit => f.write_str("EXIT"),
            Request::Auth(..) | Request::HalfAuth => f.write_str("AUTH ***"),
            Request::Unknown(bytes) => shown(bytes, f),
            Request::TooLong => write!(f, "(> {REQUEST_BYTES_MAX} bytes)"),
        }
    }
}

/// A request as one shows it where names and passwords are asked for: what is no command may be a
/// mistyped `AUTH`, with the password in it, so it is shown by its size only.
#[derive(Debug, Clone, Copy)]
pub struct Guarded<'a>(pub &'a Request);

impl fmt::Display for Guarded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Request::Unknown(bytes) => write!(f, "({} bytes)", bytes.len()),
            other => other.fmt(f),
        }
    }
}

/// Text as it is but for what is not text, or not seen.
fn shown(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // What it calls printable is neither a control character nor a line's end.
            if c == '\\' || (c != '\'' && c != '"' && !is_printable(c)) {
                write!(f, "{}", c.escape_debug())?;
            } else {
                f.write_char(c)?;
            }
        }
        write!(f, "{}", chunk.invalid().escape_ascii())?;
    }
    Ok(())
}

fn is_printable(c: char) -> bool {
    c.escape_debug().len() == 1
}

/// One connection's requests and answers. Answers end as its requests end.
#[derive(Debug)]
pub struct Codec {
    framer: Framer,
    calendar: Calendar,
}

impl Codec {
    /// For a new connection.
    pub fn new(calendar: Calendar) -> Codec {
        Codec { framer: Framer::new(REQUEST_BYTES_MAX), calendar }
    }
}

impl Decode for Codec {
    type Message = Request;

    fn feed(&mut self, bytes: &[u8]) {
        self.framer.feed(bytes);
    }

    fn next(&mut self) -> Option<Request> {
        self.framer.next_piece().map(Request::parse)
    }

    fn patience_ms(&self) -> Option<u64> {
        self.framer.patience_ms()
    }

    fn silence(&mut self) {
        self.framer.silence();
    }
}

impl Encode<Answer> for Codec {
    fn encode(&mut self, answer: &Answer, bytes: &mut Vec<u8>) {
        answer.write(&self.calendar, bytes);
        if self.framer.has_lines() {
            bytes.push(b'\n');
        }
    }

    fn joins(&self) -> bool {
        self.framer.has_lines()
    }
}

/// `2026-11-20 14:05:09.123456`
const TIME_BYTES: usize = 26;

/// Whether a server of commands says this, ours or another's: the words may be other words, what
/// stands before them is the spec's.
pub fn is_answer(text: &str) -> bool {
    let text = text.trim();
    let heads = ["ECHO:", "TIME:", "ERROR:"];
    text == Answer::Done.text() || heads.iter().any(|head| text.starts_with(head))
}

/// What a client hears.
#[derive(Debug)]
pub struct Answers(Framer);

impl Default for Answers {
    fn default() -> Answers {
        Answers(Framer::new(ANSWER_BYTES_MAX))
    }
}

impl Decode for Answers {
    type Message = String;

    fn feed(&mut self, bytes: &[u8]) {
        self.0.feed(bytes);
    }

    fn next(&mut self) -> Option<String> {
        self.0.next_piece().map(|piece| match piece {
            Piece::Whole(bytes) => String::from_utf8_lossy(bytes).trim_matches('\0').to_owned(),
            Piece::TooLong => format!("(> {ANSWER_BYTES_MAX} bytes)"),
        })
    }

    /// A server that ends its answers with `\n` will end this one, too, however long it takes; and
    /// what is plainly half an answer is waited for.
    fn patience_ms(&self) -> Option<u64> {
        let is_open = self.0.has_lines() || is_half(self.0.part());
        self.0.patience_ms().filter(|_| !is_open)
    }

    /// Also the end of the stream. Half an answer is then none: the request was lost.
    fn silence(&mut self) {
        if !is_half(self.0.part()) {
            self.0.silence();
        }
    }
}

/// Whether it is the beginning of an answer that we know, and not all of it.
fn is_half(bytes: &[u8]) -> bool {
    let known = [
        Answer::Echo,
        Answer::Done,
        Answer::Unknown,
        Answer::Full,
        Answer::NeedsAuth,
        Answer::WrongPassword,
    ];
    let is_begun = |whole: &[u8]| bytes.len() < whole.len() && whole.starts_with(bytes);
    let time = Answer::Time(Wall(0)).text().as_bytes();
    let has_time = bytes.starts_with(time) && bytes.len() >= time.len() + TIME_BYTES;
    known.iter().any(|answer| is_begun(answer.text().as_bytes()))
        || is_begun(time)
        || (bytes.starts_with(time) && !has_time)
}
