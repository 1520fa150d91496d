//! What happens, one `key=value` line an event, on standard error.
//!
//! A value that is passed in, never a global: two servers in one process have two of them.

use crate::net::clock::Clock;
use parking_lot::Mutex;
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::thread;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, clap::ValueEnum)]
pub enum Level {
    /// Nothing.
    #[default]
    Off,
    /// Connections, refusals, cuts, time-outs, start and stop.
    Events,
    /// These, and every message.
    Wire,
}

/// Where the lines go. Cheap to clone. A closed standard error is no reason to stop serving, so
/// what cannot be written is lost.
#[derive(Clone)]
pub struct Trace(Arc<Sink>);

struct Sink {
    level: Level,
    clock: Clock,
    out: Mutex<Box<dyn Write + Send>>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trace").field(&self.0.level).finish()
    }
}

impl Trace {
    /// A trace that tells nothing.
    pub fn off() -> Trace {
        Trace::to(Level::Off, Clock::start(), Box::new(std::io::sink()))
    }

    /// A trace on standard error.
    pub fn stderr(level: Level, clock: Clock) -> Trace {
        Trace::to(level, clock, Box::new(std::io::stderr()))
    }

    /// A trace to anywhere.
    pub fn to(level: Level, clock: Clock, out: Box<dyn Write + Send>) -> Trace {
        Trace(Arc::new(Sink { level, clock, out: Mutex::new(out) }))
    }

    /// One event: `t=1.234 thr=grid-accept what…`.
    pub fn event(&self, what: fmt::Arguments<'_>) {
        if self.0.level >= Level::Events {
            self.write(what);
        }
    }

    /// Whether messages are told; asked first where telling them costs something.
    pub fn has_wire(&self) -> bool {
        self.0.level >= Level::Wire
    }

    /// One message: `ev=wire c1> REQ_ADD`, `>` towards us and `<` from us, as in a chapter.
    pub fn wire(&self, who: &dyn fmt::Display, arrow: char, message: &dyn fmt::Display) {
        if self.has_wire() {
            self.write(format_args!("ev=wire {who}{arrow} {message}"));
        }
    }

    /// A line for the person, whatever the level.
    pub fn warn(&self, what: fmt::Arguments<'_>) {
        let _ = self.0.out.lock().write_all(format!("{what}\n").as_bytes());
    }

    fn write(&self, what: fmt::Arguments<'_>) {
        let current = thread::current();
        let name = current.name().unwrap_or("?");
        let text = format!("t={} thr={name} {what}\n", self.0.clock.now());
        let _ = self.0.out.lock().write_all(text.as_bytes());
    }
}
