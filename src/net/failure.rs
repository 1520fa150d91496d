//! What a person is told when the machine does not do what we asked of it.

use crate::net::limits::PORT_FREE_MIN;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

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
        move |error| Failure { what, why: because(&error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl std::error::Error for Failure {}

/// The system's reason, and what one may do about it.
pub fn because(error: &io::Error) -> String {
    let hint = match error.kind() {
        ErrorKind::ConnectionRefused => "; is the server running at that address?",
        ErrorKind::AddrInUse => "; another program has that port: end it, or choose another port",
        _ => "",
    };
    format!("{error}{hint}")
}

/// The reason why we could not bind there: files are refused in the same words.
pub fn not_bound(error: io::Error, addr: &SocketAddr) -> io::Error {
    let is_root_only = addr.port() != 0 && addr.port() < PORT_FREE_MIN;
    if error.kind() != ErrorKind::PermissionDenied || !is_root_only {
        return error;
    }
    let hint = format!("choose a port from {PORT_FREE_MIN} up");
    io::Error::new(error.kind(), format!("{error}; {hint}"))
}

/// The reason why a name has no address.
pub fn not_found(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{error}; is the name right?"))
}
