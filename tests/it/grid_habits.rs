//! The habits of servers that we did not write.

use malha::grid::protocol::Terminator;

/// How a partner is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habit {
    pub(crate) terminator: Terminator,
    /// What it makes of two questions in one `recv`.
    pub(crate) joined: Joined,
    /// What it makes of `REQ_EP`. Where it is silent, only `REQ_ES` is asked.
    pub(crate) power: Potency,
    /// It takes up to so long for an answer.
    pub(crate) answer_ms: u32,
    /// One time in so many it takes up to 5 s.
    pub(crate) pauses: Option<u32>,
    /// It has clients, too.
    pub(crate) asks: Asks,
}

impl Habit {
    /// It is deaf to what goes twice, and to all that it reads together with that.
    pub(crate) fn ignores_trials(self) -> bool {
        self.terminator.is_line() && self.joined == Joined::Nothing
    }

    pub(crate) fn has_errors(self) -> bool {
        self.joined == Joined::Error || self.power == Potency::Error
    }
}

/// How often a partner asks us, in ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    Never,
    /// When it has its last answer, also at work, and while something else has arrived.
    InTurn(u32),
    /// When it is not at work, and has read all that has arrived.
    Always(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Potency {
    Known,
    Error,
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Two: it reads a stream.
    Both,
    /// The first: it looks at the beginning.
    First,
    /// Nothing that it knows, and it says so.
    Error,
    /// Nothing that it knows, and it is silent.
    Nothing,
}

pub(crate) const STREAM: Habit = Habit {
    terminator: Terminator::Lf,
    joined: Joined::Both,
    power: Potency::Known,
    answer_ms: 10,
    pauses: None,
    asks: Asks::Never,
};
pub(crate) const FIRST: Habit = Habit { joined: Joined::First, ..STREAM };
pub(crate) const ERROR: Habit = Habit { joined: Joined::Error, ..STREAM };
pub(crate) const IGNORES: Habit = Habit { joined: Joined::Nothing, ..STREAM };
pub(crate) const SILENT_ENDS: Habit = Habit { terminator: Terminator::Nothing, ..IGNORES };
pub(crate) const ALL: [Habit; 5] = [STREAM, FIRST, ERROR, IGNORES, SILENT_ENDS];
