//! Every number of this system, and why it is that number.

// The broker.

/// Connections at a time, unless `--max-connections` says otherwise. Two threads each, and one
/// descriptor: many systems give a program 1,024.
pub const CONNECTIONS_MAX: usize = 900;
/// The longest packet, unless `--max-packet` says otherwise; MQTT's own limit is 256 MiB, which
/// one client could make us hold a thousand times.
pub const PACKET_BYTES_MAX: usize = 256 * 1024;
/// The most that `--max-packet` can say: four bytes of seven bits, and the five before the body.
pub const PACKET_BYTES_LIMIT: usize = (1 << 28) - 1 + 5;
/// Messages of QoS 1 and 2 that a client may have unacknowledged, unless `--max-inflight` says
/// otherwise. Enough to keep a fast client busy over one round trip.
pub const IN_FLIGHT_MAX: usize = 100;
/// Messages that wait for one client, unless `--max-queued` says otherwise.
pub const QUEUED_MAX: usize = 1_000;
/// Topics and payloads of all that waits for one client, in bytes.
pub const QUEUED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Levels of a topic or filter, unless `--max-levels` says otherwise. Matching walks over each.
pub const LEVELS_MAX: usize = 32;
/// Filters of one client: more than any program needs, so that nobody fills our memory.
pub const FILTERS_MAX: usize = 1_000;
/// Sessions that are kept for clients that are away. With one more, that of the client that is
/// away for longest ends.
pub const SESSIONS_MAX: usize = 10_000;
/// Retained messages. One more topic is not retained.
pub const RETAINED_MAX: usize = 100_000;
/// Topics and payloads of all retained messages, in bytes. What goes past it is not retained.
pub const RETAINED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The longest client id. The standard asks for 23 and allows more \[MQTT-3.1.3-5\].
pub const CLIENT_BYTES_MAX: usize = 256;
/// How long a new connection may take to say CONNECT (3.1.4 says: a reasonable time).
pub const CONNECT_MS_MAX: u64 = 10_000;
/// Packets that a client sends ahead while its password is being checked.
pub const EARLY_PACKETS_MAX: usize = 100;

/// Events that wait for the coordinator. One event is all that one read brought.
pub const INBOX_EVENTS_MAX: usize = 256;
/// Events that are taken before what comes of them is sent, so that many messages for one client
/// become one write.
pub const BATCH_EVENTS_MAX: usize = 64;
/// Frames that wait for a connection's writer. Each holds what one batch of events brought.
pub const OUTBOX_FRAMES_MAX: usize = 32;
/// After so many bytes to one client, its writer is asked to say when they are written.
pub const MARK_BYTES: usize = 64 * 1024;
/// With so many such marks out, the client is slow and its messages wait in its session: memory
/// for each client is bounded by this, the queue, and what it asked for itself.
pub const MARKS_MAX: u32 = 4;
/// Bytes that wait beside a full outbox. Only who asks and asks and never reads gets there.
pub const PENDING_BYTES_MAX: usize = 2 * 1024 * 1024;

const _: () = assert!(IN_FLIGHT_MAX < u16::MAX as usize);
const _: () = assert!(MARK_BYTES * (MARKS_MAX as usize) < PENDING_BYTES_MAX);
