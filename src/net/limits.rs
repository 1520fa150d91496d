//! Every number that all systems share, and why it is that number.

/// How long a thread that waits for another one yields the processor before it parks.
///
/// A parked thread on an idle virtual processor takes tens of microseconds to wake; a question
/// and its answer pass four such waits. Yielding gives way to whoever can run, so it costs
/// nothing where there is work; after this long the thread parks, so that idle costs nothing.
pub const YIELD_US_MAX: u64 = 50;

/// How many connections of a server may yield at a time. With more of them than this, each would
/// be in the way of the others.
pub const YIELDERS_MAX: usize = 16;

/// Bytes taken from an asking connection by one `read`. There are many of them.
pub const READ_BYTES_MAX: usize = 4096;
/// Bytes taken from a pushed link by one `read`: what has come together for many clients.
pub const LINK_READ_BYTES_MAX: usize = 64 * 1024;

/// Bytes after which a link's writer looks for no more frames to join before it writes.
pub const WRITE_BYTES_MAX: usize = 256 * 1024;

/// Messages of one connection that make one turn. What is left over makes the next turn, so one
/// who sends ahead holds the coordinator for no longer than this many messages at a time.
pub const TURN_MESSAGES_MAX: usize = 128;
/// The same for a pushed link.
pub const LINK_MESSAGES_MAX: usize = 2048;

/// Messages of one pushed link that take one place among those that wait for the coordinator. The
/// last place of a read may be taken by fewer.
pub const LINK_PLACE_MESSAGES: usize = 64;
/// Places of one pushed link: four times what one read may give. With room for more, one who floods
/// would put thousands of messages before each question of anybody else; with less, reads of few
/// messages would wait for each other, and that would keep them small.
pub const LINK_PLACES_MAX: usize = 4 * LINK_MESSAGES_MAX / LINK_PLACE_MESSAGES;

/// The stack of a connection's thread. Address space, not memory: only touched pages count, and
/// about three are. A panic with `RUST_BACKTRACE=1` needs most of it.
pub const STACK_BYTES: usize = 256 * 1024;

/// One `write` to a socket. Who reads nothing for so long is gone.
pub const WRITE_MS_MAX: u64 = 5_000;

/// How long what is queued for a link may still be written once its goodbye was said.
pub const PARTED_MS_MAX: u64 = 5_000;
/// How long answers may still be written once the server has hung up.
pub const ANSWERED_MS_MAX: u64 = 1_000;
/// How often who waits for a socket to take more looks whether such a time is over.
pub const WRITE_LOOK_MS: u64 = 500;

/// The first pause after `accept` fails; each further one is twice as long.
pub const ACCEPT_PAUSE_MS_MIN: u64 = 10;
/// The longest pause after `accept` fails.
pub const ACCEPT_PAUSE_MS_MAX: u64 = 1_000;

/// How long a server tries to reach itself in order to end `accept`.
pub const KNOCK_MS_MAX: u64 = 500;

/// How often a new connection looks for a seat before it is refused: one who has just left may not
/// have been noticed yet. The accept loop waits meanwhile, so a flood is refused at 100 a second.
pub const SEAT_LOOKS_MAX: u32 = 10;
/// The pause between two such looks.
pub const SEAT_LOOK_MS: u64 = 1;

/// Connections that have left but still hear their last answers, beside those that have a seat.
pub const LEAVERS_MAX: usize = 16;

/// How long a connection is read and thrown away after its last words were written. Closing a
/// socket with unread bytes resets it, and the reset may overtake the words.
pub const PART_MS_MAX: u64 = 250;
/// Refused connections that are told so at the same time; more than this are closed untold.
pub const REFUSALS_MAX: usize = 16;

/// One attempt to connect. One lost SYN is repeated after 1 s, so more than that.
pub const DIAL_MS_MAX: u64 = 2_000;
/// The first port that one need not be root to listen at (ip(7)).
pub const PORT_FREE_MIN: u16 = 1_024;

/// How soon a connection that waits for a slow answer looks whether its other side is still
/// there.
pub const LOOK_MS_MIN: u64 = 100;
/// How often it looks after that.
pub const LOOK_MS_MAX: u64 = 250;

/// Text that may wait for a terminal or a pipe that does not take it.
pub const SCREEN_BYTES_MAX: usize = 1024 * 1024;
/// How long text waits for more of it before it is written, so that a busy server makes 200
/// writes a second and not 200,000.
pub const SCREEN_MS: u64 = 5;
/// How long the end of a program waits for a terminal that does not take its last words.
pub const SCREEN_END_MS_MAX: u64 = 1_000;

/// How often a program in the background looks whether its shell has brought it to the front.
pub const FOREGROUND_LOOK_MS: u64 = 250;
/// Lines or commands typed ahead.
pub const LINES_MAX: usize = 64;
/// One line typed or piped. Longer ones are cut into several, each of which is refused.
pub const LINE_BYTES_MAX: usize = 4096;
/// Lines that the arrow keys bring back.
pub const HISTORY_LINES_MAX: usize = 200;

/// How long passwords rest after a wrong one, in times that its check took. One thread checks
/// them all, one after the other, so guessing costs a quarter of one processor, whoever guesses.
pub const REST_PER_CHECK: u32 = 3;
/// Memory that the check of a password may take, in KiB: ours take 19 MiB. A server must be able to
/// end while it checks one.
pub const HASH_KIB_MAX: u32 = 256 * 1024;
/// Passes over that memory; ours take 2.
pub const HASH_PASSES_MAX: u32 = 16;
/// A name on a line of the users file, in bytes.
pub const USER_BYTES_MAX: usize = 64;
/// A password, in bytes: with its name it must be a request of `command`.
pub const USER_PASSWORD_BYTES_MAX: usize = 954;

/// Memory maps that one thread costs: its stack, the guard below it, and the signal stack with
/// its guard.
pub const MAPS_PER_THREAD: usize = 4;
/// Memory maps of a program that has no connections yet, with room to spare.
pub const MAPS_RESERVE: usize = 1_000;
/// Descriptors of a program that has no connections yet: the standard three, listeners and their
/// gates, links, files, and the refusals of two listeners, leavers.
pub const DESCRIPTORS_RESERVE: usize = 32 + 2 * REFUSALS_MAX + LEAVERS_MAX;

/// What Linux keeps of a thread's name; it drops the rest without a word.
pub const THREAD_NAME_BYTES_MAX: usize = 15;

const _: () = assert!(ACCEPT_PAUSE_MS_MIN < ACCEPT_PAUSE_MS_MAX);
const _: () = assert!(LOOK_MS_MIN < LOOK_MS_MAX);
const _: () = assert!(WRITE_LOOK_MS < WRITE_MS_MAX && WRITE_LOOK_MS < ANSWERED_MS_MAX);
