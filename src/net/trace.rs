//! What happens, one `key=value` line an event, on standard error.
//!
//! A value that is passed in, never a global: two servers in one process have two of them.

use crate::net::clock::Clock;
use crate::net::screen::{Screen, Sink};
use std::fmt;
use std::io::{self, Write};
use std::thread;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, clap::ValueEnum)]
pub enum Level {
    /// Nothing.
    #[default]
    Off,
    /// Connections, refusals, cuts and time-outs.
    Events,
    /// These, and every message.
    Wire,
}

/// Where the lines go. Cheap to clone. A standard error that is closed or that nobody reads is no
/// reason to stop serving: what cannot be written is lost.
#[derive(Debug, Clone)]
pub struct Trace {
    level: Level,
    clock: Clock,
    screen: Screen,
}

struct Stderr;

impl Sink for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        io::stderr().lock().write_all(text)
    }
}

impl Trace {
    /// A trace on standard error.
    pub fn stderr(level: Level, clock: Clock) -> io::Result<Trace> {
        Ok(Trace::to(level, clock, Screen::to(Box::new(Stderr))?))
    }

    /// A trace to anywhere.
    pub fn to(level: Level, clock: Clock, screen: Screen) -> Trace {
        Trace { level, clock, screen }
    }

    /// Waits until all has been written, or so long that nobody seems to read it.
    pub fn finish(&self) {
        self.screen.finish();
    }

    /// One event: `t=1.234 thr=grid-accept what…`.
    pub fn event(&self, what: fmt::Arguments<'_>) {
        if self.level >= Level::Events {
            self.write(what);
        }
    }

    /// Whether messages are told; asked first where telling them costs something.
    pub fn has_wire(&self) -> bool {
        self.level >= Level::Wire
    }

    /// One message: `ev=wire c1> REQ_ADD`, `>` towards us and `<` from us, as in a chapter.
    pub fn wire(&self, who: &dyn fmt::Display, arrow: char, message: &dyn fmt::Display) {
        if self.has_wire() {
            self.write(format_args!("ev=wire {who}{arrow} {message}"));
        }
    }

    /// A line for the person, whatever the level.
    pub fn warn(&self, what: fmt::Arguments<'_>) {
        self.screen.line(what);
    }

    fn write(&self, what: fmt::Arguments<'_>) {
        let current = thread::current();
        let name = current.name().unwrap_or("?");
        self.screen.line(format_args!("t={} thr={name} {what}", self.clock.now()));
    }
}
