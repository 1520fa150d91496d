//! Local dates and times, as the spec writes them.

use crate::net::clock::Wall;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::fmt;

/// Where we are, as far as the time of day goes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Calendar(TimeZone);

/// `2026-11-20 14:05:09.123456`
#[derive(Debug, Clone, Copy)]
pub struct Micro(DateTime);

/// `2026-11-20 14:05:09,123`
#[derive(Debug, Clone, Copy)]
pub struct Milli(DateTime);

impl Calendar {
    /// The zone that this machine is set to (`TZ`, or `/etc/localtime`).
    pub fn system() -> Calendar {
        Calendar(TimeZone::system())
    }

    /// UTC, for tests.
    pub fn utc() -> Calendar {
        Calendar(TimeZone::UTC)
    }

    /// As an answer has it (spec: Protocol).
    pub fn micro(&self, wall: Wall) -> Micro {
        Micro(self.civil(wall))
    }

    /// As a line of the log has it (spec: Server).
    pub fn milli(&self, wall: Wall) -> Milli {
        Milli(self.civil(wall))
    }

    fn civil(&self, wall: Wall) -> DateTime {
        // Out of range is a clock set to the year 10000.
        let timestamp = Timestamp::from_microsecond(wall.0).unwrap_or(Timestamp::MAX);
        self.0.to_datetime(timestamp)
    }
}

impl fmt::Display for Micro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", Seconds(self.0), self.0.subsec_nanosecond() / 1_000)
    }
}

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{:03}", Seconds(self.0), self.0.subsec_nanosecond() / 1_000_000)
    }
}

struct Seconds(DateTime);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0;
        write!(f, "{:04}-{:02}-{:02} ", time.year(), time.month(), time.day())?;
        write!(f, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
    }
}
