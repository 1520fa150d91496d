//! Every number of this system, and why it is that number.

use crate::net::limits::{LINK_MESSAGES_MAX, TURN_MESSAGES_MAX};

/// Clients at a time, unless `--max-clients` says otherwise (spec: Clients).
pub const CLIENTS_MAX: usize = 10;
/// How long a connection may take to send `REQ_ADD` (spec: Clients).
pub const JOIN_MS_MAX: u64 = 10_000;

/// A message, terminator included (spec: Messages).
pub const MESSAGE_BYTES_MAX: usize = 500;
/// Silence that ends an unknown message without terminator (spec: Tolerant input). The same
/// silence after the very first message tells that its program uses no terminator.
pub const SILENCE_MS: u64 = 20;
/// Silence that ends a message whose parenthesis was not closed. Longer than [`SILENCE_MS`],
/// because here it is likely that more is on its way: `REQ_DC(1` may become `REQ_DC(12)`.
pub const UNCLOSED_MS: u64 = 200;
/// Numbers in the longest message, `RES_ES(external P sensor S: U (W E))`.
pub const NUMBERS_MAX: usize = 5;

/// How long a question to the other server may take, unless `--peer-timeout` says otherwise
/// (spec: Queries).
pub const PEER_MS_MAX: u64 = 2_000;
/// Questions in a row without an answer in time after which the other server counts as gone
/// (spec: Life of the peer link, 5).
pub const PEER_TIMEOUTS_MAX: u32 = 3;
/// How soon a question follows one that is not answered yet, while nobody knows how the other
/// server reads. One who takes what a `recv` gives for one message, and no longer than this for its
/// answer, never finds two; one who waits for ten questions has them within a second. More where an
/// answer takes more than half of this, less where a question may take less than twice this.
pub const SPACING_MS: u64 = 100;
/// Questions that wait behind one before it is worth trying whether the other server reads a
/// stream.
pub const TRIAL_WAITING_MIN: usize = 3;
/// How long both answers to a question that went twice may take before it is found out what is
/// missing: all other questions wait for that. Half of the usual time.
pub const TRIAL_MS_MAX: u64 = PEER_MS_MAX / 2;
/// How long somebody at the peer port may take to send `REQ_ADDPEER`. The same as for a client's
/// `REQ_ADD`.
pub const GREETING_MS_MAX: u64 = JOIN_MS_MAX;
/// How long either side waits for the other's `RES_ADDPEER`. Shorter: both have something better
/// to do.
pub const GRANT_MS_MAX: u64 = 2_000;
/// How long a server or a client that leaves waits for `OK(01)`.
pub const LEAVE_MS_MAX: u64 = 2_000;
/// How long who has answered our goodbye may take to hang up before we do, where it is to.
pub const CLOSE_MS_MAX: u64 = 250;
/// What somebody at the peer port may say before `REQ_ADDPEER`; with one message more it is sent
/// away. Enough for a person who tries what there is, and nothing that could flood.
pub const GUEST_MESSAGES_MAX: u32 = 16;
/// Connections to the peer port at a time: the link if we accepted it, those that have not asked
/// for it yet, and those that are about to be refused.
pub const LINKS_MAX: usize = 8;
/// The identifier that the accepting server gives to the one that dialed (spec: Life, 2).
pub const DIALER_ID: u32 = 2;
/// The identifier that the dialing server gives to the one that accepted (spec: Life, 2).
pub const ACCEPTOR_ID: u32 = 1;

/// The first pause of a server that can neither reach a peer nor listen (spec: Life, 6). Each
/// further one is twice as long.
pub const SEARCH_PAUSE_MS_MIN: u64 = 500;
/// The longest pause of such a server.
pub const SEARCH_PAUSE_MS_MAX: u64 = 5_000;

/// How long, in ms, a server that may take one `recv` for one message gets to read one thing before
/// the next comes: enough also where it waits for a processor. A question that has waited so long
/// goes before an answer.
pub const HOLD_MS: u64 = 10;
/// What waits to be told so at most. Who asks more than this without waiting for answers is told
/// all at once.
pub const TO_TELL_MAX: usize = 16;
/// How often something has waited so before it is found out whether it must.
pub const TRIAL_WAITS_MIN: u32 = 4;

/// Events that wait for the coordinator, beside one turn of each client. Those who bring more wait,
/// and through TCP so do those who talk to them. With less room than there are turns, thousands of
/// clients would queue for the queue: measured, 5000 of them then get a third of the answers.
pub const INBOX_EVENTS_MAX: usize = 1024;
/// Events after which the coordinator sends what it has for the other server, though more wait.
pub const BATCH_EVENTS_MAX: usize = 64;
/// Frames that wait for the other server, beside one for each client's turn. Full, the link is
/// cut: nothing on it may be lost without losing the order of what follows. A program that does
/// not read lines gets a frame for each answer, so there is room for what a few reads bring.
pub const OUTBOX_FRAMES_MAX: usize = 4 * LINK_MESSAGES_MAX;
/// Bytes that wait for the other server, beside those of our clients' turns: what 64 questions
/// open from each of 5000 clients of the other server are answered. Full, the link is cut, too.
pub const OUTBOX_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that wait for the other server for each client: a turn of questions, and the answers to
/// one client of the other server. So of two servers with as many clients, neither can be cut.
pub const OUTBOX_CLIENT_BYTES: usize = TURN_MESSAGES_MAX * 64;
/// Bytes for the other server with which the coordinator goes to the writer, though more events
/// wait: one event may bring thousands of questions.
pub const PENDING_BYTES_MAX: usize = 64 * 1024;

/// A file of sensors, in bytes: ten lines, and room for what a person writes between them.
pub const SENSORS_BYTES_MAX: u64 = 64 * 1024;
/// What is shown of a field or row of such a file that is wrong, in letters.
pub const SENSORS_SHOWN_MAX: usize = 60;
/// Sensors of a server (spec: Queries).
pub const SENSORS_MIN: usize = 3;
/// Sensors of a server (spec: Queries).
pub const SENSORS_MAX: usize = 10;
/// Power of a sensor in watts (spec: Queries).
pub const POWER_W_MAX: u32 = 1500;
/// Efficiency of a sensor in percent (spec: Queries).
pub const EFFICIENCY_PERCENT_MAX: u32 = 100;

/// The shortest `--peer-timeout`: several times [`HOLD_MS`], which a question may have to wait
/// before it goes.
pub const PEER_MS_MIN: u64 = 5 * HOLD_MS;
/// The longest `--peer-timeout`.
pub const PEER_MS_LIMIT: u64 = 20_000;
/// How long a client waits for an answer: longer than any server waits for the other one.
pub const ANSWER_MS_MAX: u64 = 30_000;

/// Answers that a client has not taken yet. More than one come only from a server that was not
/// asked.
pub const ANSWERS_MAX: usize = 64;

/// How often the demo asks whether the servers have found each other.
pub const DEMO_LOOK_MS: u64 = 20;
/// How often it asks at most: for 10 s.
pub const DEMO_LOOKS_MAX: u32 = 500;

const _: () = assert!(SENSORS_MIN <= SENSORS_MAX);
const _: () = assert!(SILENCE_MS < UNCLOSED_MS && UNCLOSED_MS < JOIN_MS_MAX);
const _: () = assert!(PEER_MS_MIN <= PEER_MS_MAX && PEER_MS_MAX <= PEER_MS_LIMIT);
const _: () = assert!(PEER_MS_LIMIT < ANSWER_MS_MAX);
const _: () = assert!(SEARCH_PAUSE_MS_MIN < SEARCH_PAUSE_MS_MAX);
const _: () = assert!(DIALER_ID != ACCEPTOR_ID);
const _: () = assert!(BATCH_EVENTS_MAX <= INBOX_EVENTS_MAX);
