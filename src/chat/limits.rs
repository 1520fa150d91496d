//! Every number of the chat, and why it is that number.

/// A name, in bytes (spec: Datagram).
pub const NAME_BYTES_MAX: usize = 20;
/// A text, in bytes (spec: Datagram).
pub const TEXT_BYTES_MAX: usize = 140;
/// Type, origin, destination and size, four bytes each (spec: Datagram).
pub const HEAD_BYTES: usize = 16;
/// A datagram of ours (spec: Datagram).
pub const DATAGRAM_BYTES: usize = HEAD_BYTES + NAME_BYTES_MAX + TEXT_BYTES_MAX;
/// The shortest datagram that is one: no text at all, and no padding (spec: Datagram).
pub const DATAGRAM_BYTES_MIN: usize = HEAD_BYTES + NAME_BYTES_MAX;
/// The longest datagram that is one (spec: Datagram).
pub const DATAGRAM_BYTES_MAX: usize = 1024;

/// Clients, unless `--max-clients` says otherwise (spec: Server).
pub const CLIENTS_MAX: usize = 1000;
/// Messages a second of one client, unless `--max-rate` says otherwise (spec: Server).
pub const RATE_MAX: u32 = 50;
/// What counts as a second, for that.
pub const RATE_MS: u64 = 1_000;

/// How often clients are told how the server is, unless `--status-every` says otherwise.
pub const STATUS_MS: u64 = 60_000;
/// The longest that `--status-every` takes: a day.
pub const STATUS_MS_LIMIT: u64 = 86_400_000;

/// How often a client of ours says OI as a sign of life (spec: Server).
pub const ALIVE_MS: u64 = 20_000;
/// A client that gives such signs and has been silent for so long is gone (spec: Server): three
/// signs lost in a row, and a little more.
pub const SILENT_MS_MAX: u64 = 70_000;
/// An OI so long after the one before is a sign of life. One that comes sooner is a client that
/// has missed our answer, and promises nothing.
pub const SIGN_MS_MIN: u64 = 10_000;
/// How often the ticker looks at the time.
pub const TICK_MS: u64 = 1_000;

/// How often a client says OI until it is answered (spec: Client).
pub const JOIN_TRIES_MAX: u32 = 5;
/// How long it waits for each answer.
pub const JOIN_MS: u64 = 1_000;
/// Signs of life without an answer after which the person is told.
pub const UNANSWERED_MAX: u32 = 2;

/// How long a client is silent after each message, so that what it is told to say at once, as from
/// a pipe, arrives: 20 a second and a line of 30 parts stay below [`RATE_MAX`].
pub const SAY_MS: u64 = 50;
/// How long a client that has nothing more to say waits for what was asked for last.
pub const DONE_MS_MAX: u64 = 500;

/// Datagrams that may wait for the coordinator; further ones wait in the socket.
pub const INBOX_EVENTS_MAX: usize = 256;
/// Posts that may wait for the sender. What finds no room is lost and counted, as the network
/// itself would lose it.
pub const OUTBOX_POSTS_MAX: usize = 16_384;
/// Datagrams of one post: a message to more clients is several posts. So at most 262,144 datagrams
/// wait (260 messages to 1000 clients), and an answer behind them about as long as it takes to send
/// them: 0.7 s.
pub const POST_DATAGRAMS_MAX: usize = 16;
/// What we ask the system to keep for us until we receive it, in bytes. It gives that or
/// `net.core.rmem_max`, whichever is less, and says the double, because it counts its own expense
/// as well: about 800 bytes a datagram.
pub const RECEIVE_BYTES: usize = 8 * 1024 * 1024;

/// How long a client with nobody at it looks whether there is more to say behind `/quit`. What is
/// in a pipe is there at once; one that stays open must not hold it up.
pub const BEHIND_MS_MAX: u64 = 500;

/// How often a page is told what has changed.
pub const PAGE_MS: u64 = 200;
/// Lines of a conversation that a page that is opened again still shows.
pub const PAGE_LINES_MAX: usize = 1_000;
/// Clients that a page lists; of more it shows the number.
pub const PAGE_CLIENTS_MAX: usize = 1_000;

const _: () = assert!(DATAGRAM_BYTES == 176);
const _: () = assert!(SIGN_MS_MIN < ALIVE_MS && ALIVE_MS * 3 < SILENT_MS_MAX);
