//! What a guard says of the script, one `word=value` a line, on the socket that is its standard
//! input. The same socket tells it that nobody waits any more: then it ends.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The script ended by itself, with this code.
    Code(i32),
    /// The script was ended by this signal.
    Signal(i32),
    /// The guard ended it, for this reason.
    Cut(Cut),
    /// How long it took, in ms; processor time in ms; memory of its largest process, in KiB.
    Used(u64, u64, u64),
    /// It could not be run, or not be ended, and that is not its fault.
    Trouble(String),
}

/// Why a guard ends a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Its time is over.
    Time,
    /// Too many processes.
    Processes,
    /// Too much memory in all.
    Memory,
    /// Too many bytes in its files.
    Bytes,
    /// Too many files.
    Files,
    /// Folders within folders without end.
    Depth,
    /// A folder into which nobody can look.
    Closed,
}

const CUTS: [(Cut, &str); 7] = [
    (Cut::Time, "time"),
    (Cut::Processes, "processes"),
    (Cut::Memory, "memory"),
    (Cut::Bytes, "bytes"),
    (Cut::Files, "files"),
    (Cut::Depth, "depth"),
    (Cut::Closed, "closed"),
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Code(code) => write!(f, "code={code}"),
            Report::Signal(signal) => write!(f, "signal={signal}"),
            Report::Cut(cut) => {
                let word = CUTS.iter().find(|(known, _)| known == cut).map_or("", |(_, word)| word);
                write!(f, "cut={word}")
            }
            Report::Used(ms, cpu_ms, kib) => write!(f, "used={ms},{cpu_ms},{kib}"),
            Report::Trouble(why) => write!(f, "trouble={}", why.replace('\n', " ")),
        }
    }
}

impl Report {
    /// What a line says; none if it says nothing that we know.
    pub fn parse(line: &str) -> Option<Report> {
        let (word, value) = line.trim_end().split_once('=')?;
        Some(match word {
            "code" => Report::Code(value.parse().ok()?),
            "signal" => Report::Signal(value.parse().ok()?),
            "cut" => Report::Cut(CUTS.iter().find(|(_, word)| *word == value)?.0),
            "used" => {
                let mut parts = value.split(',').map(|part| part.parse().ok());
                Report::Used(parts.next()??, parts.next()??, parts.next()??)
            }
            "trouble" => Report::Trouble(value.to_owned()),
            _ => return None,
        })
    }

    /// Says it to whoever started us. If nobody listens any more, there is nobody to tell.
    pub fn say(&self, mut socket: &File) {
        let _ = socket.write_all(format!("{self}\n").as_bytes());
    }
}

/// The way to whoever started us, which stays when our standard input becomes another.
pub fn socket() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}
