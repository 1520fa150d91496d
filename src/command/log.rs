//! The log file (spec: Server). Who writes to it waits for nothing but a buffer.
//!
//! A log is a [`Screen`] whose lines end up in a file: one thread takes what has come together and
//! appends it. A slow disk delays that thread alone; a full one makes it keep what it could not
//! write, as much as [`LOG_BYTES_MAX`], and count what it could not keep.

use crate::command::calendar::Calendar;
use crate::command::limits::LOG_BYTES_MAX;
use crate::net::clock::Wall;
use crate::net::screen::{Screen, Sink};
use crate::net::trace::Trace;
use std::fmt::Display;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Lines with the time before them. The time is formatted once for each millisecond.
#[derive(Debug)]
pub struct Log {
    screen: Screen,
    calendar: Calendar,
    stamped_ms: Option<i64>,
    stamp: String,
}

impl Log {
    /// Appends to `path`. What goes wrong is said on `trace`.
    pub fn open(path: &Path, calendar: &Calendar, trace: &Trace) -> io::Result<Log> {
        let file = LogFile {
            path: path.to_owned(),
            trace: trace.clone(),
            file: None,
            kept: Vec::new(),
            part_bytes: 0,
            lines_lost: 0,
            is_failing: false,
        };
        let screen = Screen::to(Box::new(file))?;
        Ok(Log { screen, calendar: calendar.clone(), stamped_ms: None, stamp: String::new() })
    }

    /// Some lines of the same moment.
    pub fn lines(&mut self, wall: Wall, lines: impl IntoIterator<Item = impl Display>) {
        let ms = wall.0.div_euclid(1_000);
        if self.stamped_ms != Some(ms) {
            self.stamped_ms = Some(ms);
            self.stamp = format!("{} - ", self.calendar.milli(wall));
        }
        let stamp = self.stamp.as_bytes();
        self.screen.write_lines(lines, |line, text| {
            text.extend_from_slice(stamp);
            // Writing to a buffer cannot fail.
            let _ = write!(text, "{line}");
        });
    }

    /// Waits until all is written, or so long that it seems not to be: false.
    pub fn finish(&self) -> bool {
        self.screen.finish()
    }
}

/// The time before a line, as it stands there.
fn stamp(line: &[u8]) -> &[u8] {
    let at = line.windows(STAMP_END.len()).position(|end| end == STAMP_END);
    at.map_or(b"", |at| &line[..at + STAMP_END.len()])
}

/// What stands between the time and the text.
const STAMP_END: &[u8] = b" - ";

fn lost_line(stamp: &[u8], lines: u64) -> Vec<u8> {
    [stamp, format!("{lines} linhas perdidas\n").as_bytes()].concat()
}

/// The file, and what it did not take yet.
struct LogFile {
    path: PathBuf,
    trace: Trace,
    file: Option<File>,
    /// Whole lines.
    kept: Vec<u8>,
    /// So much of the first of them is in the file already.
    part_bytes: usize,
    /// Lines that found no room, behind those that are kept.
    lines_lost: u64,
    is_failing: bool,
}

impl Sink for LogFile {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.keep(text);
        self.flush();
        Ok(())
    }

    /// With the time of the line before, so that times never go back.
    fn lost(&mut self, lines: u64, text: &mut Vec<u8>) {
        let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = lost_line(stamp(last), lines);
        text.extend_from_slice(&line);
    }

    fn finish(&mut self) {
        self.flush();
        let lost = self.lines_lost + lines_in(&self.kept);
        if lost > 0 {
            self.trace.warn(format_args!("log-lines-lost={lost}"));
        }
    }
}

impl LogFile {
    fn keep(&mut self, text: &[u8]) {
        if !self.kept.is_empty() && self.kept.len() + text.len() > LOG_BYTES_MAX {
            self.lines_lost += lines_in(text);
            return;
        }
        if self.lines_lost > 0 {
            // With the time of the line behind.
            let lines = std::mem::take(&mut self.lines_lost);
            self.kept.extend_from_slice(&lost_line(stamp(text), lines));
        }
        self.kept.extend_from_slice(text);
    }

    /// Writes what is kept. Says once that it does not work, until it works again.
    fn flush(&mut self) {
        match self.try_flush() {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                let whole = self.kept[..self.part_bytes].iter().rposition(|byte| *byte == b'\n');
                let whole = whole.map_or(0, |at| at + 1);
                self.kept.drain(..whole);
                self.part_bytes -= whole;
                self.take_back();
                if !std::mem::replace(&mut self.is_failing, true) {
                    let path = self.path.display();
                    self.trace.warn(format_args!(
                        "cannot write the log {path}: {error}; the server goes on without it"
                    ));
                }
            }
        }
    }

    /// Takes part of a line out of the file again, so that a reader finds whole lines only.
    fn take_back(&mut self) {
        let part = &self.kept[..self.part_bytes];
        let is_ours = tail(&self.path, part.len()).is_ok_and(|tail| tail == part);
        if let Some(file) = self.file.as_ref().filter(|_| is_ours && !part.is_empty())
            && let Ok(metadata) = file.metadata()
            && file.set_len(metadata.len() - part.len() as u64).is_ok()
        {
            self.part_bytes = 0;
        }
    }

    fn try_flush(&mut self) -> io::Result<()> {
        while !self.kept.is_empty() {
            self.open()?;
            let Some(mut file) = self.file.as_ref() else { return Ok(()) };
            while self.part_bytes < self.kept.len() {
                match file.write(&self.kept[self.part_bytes..]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(size) => self.part_bytes += size,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.part_bytes = 0;
            // Removed while we wrote: once more, into a new one.
            let is_gone = file.metadata()?.nlink() == 0 && !self.has_our_name(file)?;
            if !is_gone {
                self.kept.clear();
            }
        }
        Ok(())
    }

    /// Opens the file that has our name now: another tool may have moved or removed the one before.
    fn open(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file
            && self.has_our_name(file)?
        {
            return Ok(());
        }
        self.file = None;
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        // A line that was cut when a process before us was killed stays one line.
        if tail(&self.path, 1).is_ok_and(|last| last != b"\n") {
            file.write_all(b"\n")?;
        }
        self.file = Some(file);
        // The rest of a line is nothing to begin a file with.
        self.part_bytes = 0;
        Ok(())
    }

    fn has_our_name(&self, file: &File) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(named) => Ok(is_same(&named, &file.metadata()?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn lines_in(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// The last bytes of a file. An error if there are not so many, or if it is none: a pipe, a device.
fn tail(path: &Path, size: usize) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-(size as i64)))?;
    let mut bytes = vec![0; size];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
