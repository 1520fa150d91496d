//! Conversations as text, and what it takes to replay them.
//!
//! ```text
//! # a comment
//! p listens        only first: the server finds p at the peer port, and connects to it
//! a opens          a client connects
//! p opens peer     somebody connects to the peer port
//! u opens udp      somebody speaks in datagrams
//! a> REQ_ADD       a says this line
//! a>> REQ_ADD\0    a says exactly these bytes; escapes are \n \r \0 \\
//! a< RES_ADD(1)    a hears this line, next and nothing before it
//! a<< RES_ADD(1)   a hears exactly these bytes, next and nothing before them
//! a closes         a hangs up
//! a ends           the server has hung up on a
//! types kill       somebody types this on the server's console
//! a< TIME: …       the rest of the line may be anything (command)
//! prints TEXT      the server prints this line, now or some lines later
//! logs @a TEXT     the server logs this line, now or some lines later; @a is a's address
//! exits 0          the server ends with this status
//! at 2000          it is now this many milliseconds after the start
//! ```
//!
//! The program cannot be told the time: there, what follows an `at` past 10 ms is not replayed.

use std::fmt;

/// One line of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Listens(String),
    Opens(String),
    OpensPeer(String),
    OpensUdp(String),
    Says(String, Vec<u8>),
    Hears(String, Vec<u8>),
    Closes(String),
    Ends(String),
    Types(String),
    Prints(String),
    Logs(String),
    Exits(u8),
    At(u64),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Listens(who) => write!(f, "{who} listens"),
            Step::Opens(who) => write!(f, "{who} opens"),
            Step::OpensPeer(who) => write!(f, "{who} opens peer"),
            Step::OpensUdp(who) => write!(f, "{who} opens udp"),
            Step::Says(who, bytes) => write!(f, "{who}>> {}", bytes.escape_ascii()),
            Step::Hears(who, bytes) => write!(f, "{who}<< {}", bytes.escape_ascii()),
            Step::Closes(who) => write!(f, "{who} closes"),
            Step::Ends(who) => write!(f, "{who} ends"),
            Step::Types(line) => write!(f, "types {line}"),
            Step::Prints(line) => write!(f, "prints {line}"),
            Step::Logs(line) => write!(f, "logs {line}"),
            Step::Exits(code) => write!(f, "exits {code}"),
            Step::At(ms) => write!(f, "at {ms}"),
        }
    }
}

pub fn parse(text: &str) -> Vec<Step> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse_line(line).unwrap_or_else(|| panic!("no step: {line:?}"))).collect()
}

fn parse_line(line: &str) -> Option<Step> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let owned = || rest.to_owned();
    match word {
        "types" => return Some(Step::Types(owned())),
        "prints" => return Some(Step::Prints(owned())),
        "logs" => return Some(Step::Logs(owned())),
        "exits" => return Some(Step::Exits(rest.parse().ok()?)),
        "at" => return Some(Step::At(rest.parse().ok()?)),
        _ => {}
    }
    let whole_line = || format!("{rest}\n").into_bytes();
    if let Some(who) = word.strip_suffix(">>") {
        return Some(Step::Says(name(who)?, unescape(rest)?));
    }
    if let Some(who) = word.strip_suffix("<<") {
        return Some(Step::Hears(name(who)?, unescape(rest)?));
    }
    if let Some(who) = word.strip_suffix('>') {
        return Some(Step::Says(name(who)?, whole_line()));
    }
    if let Some(who) = word.strip_suffix('<') {
        return Some(Step::Hears(name(who)?, whole_line()));
    }
    let who = name(word)?;
    match rest {
        "listens" => Some(Step::Listens(who)),
        "opens" => Some(Step::Opens(who)),
        "opens peer" => Some(Step::OpensPeer(who)),
        "opens udp" => Some(Step::OpensUdp(who)),
        "closes" => Some(Step::Closes(who)),
        "ends" => Some(Step::Ends(who)),
        _ => None,
    }
}

fn name(word: &str) -> Option<String> {
    let is_name = !word.is_empty() && word.chars().all(char::is_alphanumeric);
    is_name.then(|| word.to_owned())
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b'0' => 0,
                b'\\' => b'\\',
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(bytes)
}

/// What a chapter has in its fences of one kind, such as `transcript` or `csv`.
pub fn in_chapter(markdown: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    markdown
        .split(fence.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

/// What is wrong with `received`, in words.
pub fn hint(expected: &[u8], received: &[u8]) -> &'static str {
    let ends_line = |bytes: &[u8]| bytes.ends_with(b"\n");
    match received {
        [] => "nothing came: did the server hang up, or wait for more?",
        _ if received.ends_with(b"\r\n") && !expected.ends_with(b"\r\n") => {
            "it ends in \\r\\n: whose terminator is that?"
        }
        _ if ends_line(expected) && expected.starts_with(received) => {
            "it is cut short, or its \\n is missing"
        }
        _ if ends_line(received) && received.starts_with(expected) => {
            "a \\n too many: this one never sent a terminator"
        }
        _ => "it is another message",
    }
}

#[test]
fn every_step_is_read_and_shown() {
    let text = "p listens\na opens\nq opens peer\nu opens udp\n\
                a> REQ_ADD\na>> R\\n\\r\\0\\\\\na< OK(01)\n\
                a<< OK\na closes\na ends\ntypes show peer\nprints no peer\n\
                logs @a x\nexits 1\nat 20\n# gone";
    let shown: Vec<String> = parse(text).iter().map(Step::to_string).collect();
    assert_eq!(
        shown.join("|"),
        "p listens|a opens|q opens peer|u opens udp|a>> REQ_ADD\\n|\
         a>> R\\n\\r\\x00\\\\|a<< OK(01)\\n|a<< OK|a closes|a ends|\
         types show peer|prints no peer|logs @a x|exits 1|at 20"
    );
}

#[test]
fn what_is_no_step_is_refused() {
    for line in ["a sleeps", "a>>> x", "at noon", "exits", "> REQ_ADD", "a>> \\x", "a b opens"] {
        assert_eq!(parse_line(line), None, "{line:?} was read");
    }
}
