//! Every number of the command server, and why it is that number.

use crate::net::limits::{USER_BYTES_MAX, USER_PASSWORD_BYTES_MAX};

/// Clients at a time, unless `--max-clients` says otherwise (spec: Server).
pub const CLIENTS_MAX: usize = 10;

/// One request without its terminator, in bytes (spec: Protocol). A longer one is no request.
pub const REQUEST_BYTES_MAX: usize = 1024;
/// One answer without its terminator, in bytes. Ours are shorter; a server in the wild may say
/// more, but not without end.
pub const ANSWER_BYTES_MAX: usize = 4096;

/// How long a request without terminator waits for more of it (spec: Protocol).
pub const SILENCE_MS: u64 = 20;

/// A connection without a request, unless `--idle-timeout` says otherwise (spec: Server).
pub const IDLE_MS_MAX: u64 = 300_000;
/// The longest that `--idle-timeout` takes: a day. Who wants longer wants no limit.
pub const IDLE_MS_LIMIT: u64 = 86_400_000;

/// Wrong passwords of one connection, of which the last closes it (spec: Server).
pub const WRONG_PASSWORDS_MAX: u32 = 3;
const _: () =
    assert!(USER_BYTES_MAX + USER_PASSWORD_BYTES_MAX + "AUTH  ".len() <= REQUEST_BYTES_MAX);

/// Events that may wait for the coordinator beside one turn for each connection.
pub const INBOX_EVENTS_MAX: usize = 64;

/// Text of the log that waits for a disk that takes none, beside what the screen before it holds.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;

/// How often two ports of the same number are looked for where the system is to choose it.
pub const PORT_TRIES_MAX: u32 = 16;

/// A client's first pause before it connects again (spec: Client); each further one is twice as
/// long.
pub const PAUSE_MS_MIN: u64 = 500;
/// A client's longest pause (spec: Client).
pub const PAUSE_MS_MAX: u64 = 5_000;
/// How long a client with nobody at it goes on trying. A person has Ctrl-C; a script would hang.
pub const TRY_MS_MAX: u64 = 30_000;
/// How long a server may take for an answer before it counts as lost. Passwords may queue.
pub const ANSWER_MS_MAX: u64 = 10_000;
/// How long a client that leaves waits for `OK`.
pub const LEAVE_MS_MAX: u64 = 2_000;
/// How long a client with nobody at it looks whether there is more to ask behind `EXIT`. What is in
/// a pipe is there at once; one that stays open must not hold it up.
pub const BEHIND_MS_MAX: u64 = 500;
/// Answers that have arrived and nobody has asked for.
pub const ANSWERS_MAX: usize = 16;
/// Characters that are shown of what is no answer: a page would fill the terminal.
pub const SHOWN_CHARS_MAX: usize = 60;

/// Clients of the stress mode; each is a thread and a descriptor of ours.
pub const STRESS_CLIENTS_MAX: usize = 10_000;
/// Requests of each of them.
pub const STRESS_REQUESTS_MAX: u64 = 1_000_000_000;
/// How often a client of the stress mode that waits for an answer looks whether it is to stop.
pub const STRESS_LOOK_MS: u64 = 100;

const _: () = assert!(PAUSE_MS_MIN < PAUSE_MS_MAX);
