//! What a person is told when the machine does not do what we asked of it.

use std::fmt;
use std::io;

/// One line: what was tried, on what, why not.
#[derive(Debug)]
pub struct Failure {
    /// What was tried, and on what: `cannot listen on 1.2.3.4:80`.
    pub what: String,
    /// Why not, in the words of the system or our own.
    pub why: String,
}

impl Failure {
    /// For `map_err`: `cannot do that: the system's reason`.
    pub fn from_io(what: String) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure { what, why: error.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Failure {}
