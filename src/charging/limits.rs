//! Every number of this system, and why it is that number.

// The broker.

/// Connections at a time, unless `--max-connections` says otherwise. Two threads each, and one
/// descriptor: many systems give a program 1,024.
pub const CONNECTIONS_MAX: usize = 900;
/// The longest packet, unless `--max-packet` says otherwise; MQTT's own limit is 256 MiB, which
/// one client could make us hold a thousand times.
pub const PACKET_BYTES_MAX: usize = 256 * 1024;
/// The least that `--max-packet` can say: what can carry a CONNECT.
pub const PACKET_BYTES_LEAST: u64 = 128;
/// The most that `--max-packet` can say: four bytes of seven bits, and the five before the body.
pub const PACKET_BYTES_LIMIT: usize = (1 << 28) - 1 + 5;
/// Messages of QoS 1 and 2 that a client may have unacknowledged, unless `--max-inflight` says
/// otherwise. Enough to keep a fast client busy over one round trip.
pub const IN_FLIGHT_MAX: usize = 100;
/// Messages that wait for one client, unless `--max-queued` says otherwise.
pub const QUEUED_MAX: usize = 1_000;
/// Topics and payloads of all that waits for one client, in bytes.
pub const QUEUED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The same for all clients together, with what they have not acknowledged: what a stranger with a
/// thousand client ids can make us hold. A message for several clients is held once, and counts for
/// each.
pub const HELD_BYTES_MAX: usize = 1024 * 1024 * 1024;
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
/// Retained topics that are looked at for new subscriptions before other events have their turn.
pub const SEARCH_TOPICS_MAX: usize = 1_000;
/// Retained messages that one subscription gets at a time.
pub const SEARCH_FOUND_MAX: usize = 32;
/// The longest client id. The standard asks for 23 and allows more \[MQTT-3.1.3-5\].
pub const CLIENT_BYTES_MAX: usize = 256;
/// How long a connection is silent before the system asks whether its other side is still there; a
/// client that promises no keep alive may vanish without a word, and keep its place.
pub const PROBE_MS: u64 = 60_000;
/// The pause between two such questions. The system says how many go unanswered: Linux 9.
pub const PROBE_AGAIN_MS: u64 = 10_000;
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
const _: () = assert!(QUEUED_BYTES_MAX < HELD_BYTES_MAX);
const _: () = assert!(MARK_BYTES * (MARKS_MAX as usize) < PENDING_BYTES_MAX);

// The roles, which know nothing of the broker.

/// A name of a vehicle or station, in bytes: a topic stays short, and a line of a console too.
pub const ID_BYTES_MAX: usize = 64;
/// Positions are from -100 to 100, both ways (spec: Parts).
pub const COORDINATE_MAX: f64 = 100.0;
/// Places of a station, those of vehicles on their way included (spec: Parts).
pub const PLACES: u32 = 15;
/// The longest queue that a station of somebody else's may claim to have.
pub const QUEUE_MAX: u32 = 10_000;
/// A battery that is full (spec: Parts).
pub const BATTERY_FULL: f64 = 100.0;
/// With so much left, a vehicle asks for a station (spec: Parts).
pub const BATTERY_LOW: f64 = 20.0;
/// How far a vehicle gets in one step, for each that it discharges (spec: Parts).
pub const DISTANCE_PER_CHARGE: f64 = 2.0;

/// How far from where it is a vehicle chooses its next goal, when it only drives about.
pub const WANDER_MAX: u32 = 40;

/// One step of a vehicle, live.
pub const STEP_MS: u64 = 1_000;
/// The minutes that a step stands for: 2, 4 and 6 km in it are 30, 60 and 90 km/h.
pub const STEP_MINUTES: f64 = 4.0;
/// One of those minutes, live.
pub const MINUTE_MS: u64 = 250;
/// The minutes that a car charges, unless `--minutes-per-car` says otherwise.
pub const MINUTES_PER_CAR: f64 = 10.0;
/// The longest that `--minutes-per-car` takes, and a payload may say: a day.
pub const MINUTES_PER_CAR_MAX: f64 = 1_440.0;
/// The longest drive that a payload may announce: across the square, slowly, is 566.
pub const DRIVE_MINUTES_MAX: f64 = 600.0;

/// How often stations and vehicles say how they are (spec: Topics and payloads).
pub const BEAT_MS: u64 = 4_000;
/// A station silent for so long does not count: three messages (spec: Parts).
pub const SILENT_MS_MAX: u64 = 3 * BEAT_MS;
/// How long a vehicle waits for an answer before it asks again (spec: Parts).
pub const ANSWER_MS_MAX: u64 = 5_000;
/// The question that central answers, too, whoever else should: the second, so that the vehicles of
/// a server that has gone without a word are answered within 10 s.
pub const ATTEMPT_FOR_ALL: u32 = 2;
/// How long a server that has just come listens, before it answers: what is retained comes first.
pub const SETTLE_MS: u64 = 1_000;
/// How much longer than twice the minutes that it announced a vehicle may take to arrive.
pub const LATE_MS: u64 = 12_000;

/// Stations that have refused a vehicle and that it names when it asks again. After as many
/// refusals it waits as if there were no station at all.
pub const EXCEPT_MAX: usize = 8;
/// Requests that are over and that a station still answers as it did before, should they come
/// again. A broker repeats what was under way when a connection was lost, and no more.
pub const SETTLED_MAX: usize = 256;
/// Stations that a server knows.
pub const STATIONS_MAX: usize = 10_000;
/// The minutes that a car takes at a station that does not say so.
pub const UNKNOWN_MINUTES: f64 = MINUTES_PER_CAR;

// The map.

/// How often a page is told what has changed.
pub const PAGE_MS: u64 = 500;
/// Stations that a page lists and draws; of more it says how many.
pub const PAGE_STATIONS_MAX: usize = 500;
/// Vehicles that a page draws; of more it says how many.
pub const PAGE_VEHICLES_MAX: usize = 4_000;
/// Vehicles that a map keeps.
pub const SEEN_MAX: usize = 20_000;

// The simulation.

/// How long a message takes in a simulation without a network.
pub const SIMULATED_MS: u64 = 5;
/// How far ahead an agenda has a list for each millisecond: beyond what roles repeat, and a power
/// of two.
pub const AGENDA_MS: u64 = 16_384;
/// The share of its time that a station is busy, unless `--minutes-per-car` says otherwise: less
/// and nobody waits, more and everybody does, whatever the rule.
pub const BUSY: f64 = 0.7;
/// How long a vehicle drives to a station and stands there until it is its turn, about.
pub const DRIVE_MINUTES_MEAN: f64 = 15.0;
/// The shortest that `--minutes-per-car` takes.
pub const MINUTES_PER_CAR_MIN: f64 = 0.1;
/// Vehicles that share a connection: two filters each, of the broker's [`FILTERS_MAX`].
pub const FLEET_VEHICLES_MAX: usize = 250;
/// What vehicles say and nobody has heard yet. Who finds no room waits.
pub const REPORTS_MAX: usize = 1_024;
/// Stations, unless `--stations` says otherwise: a town.
pub const SIMULATED_STATIONS: usize = 200;
/// Vehicles, unless `--vehicles` says otherwise.
pub const SIMULATED_VEHICLES: usize = 4_000;
/// Seconds, unless `--seconds` says otherwise: 40 h of theirs, so each is charged ten times.
pub const SIMULATED_SECONDS: u64 = 600;
/// The most stations.
pub const SIMULATED_STATIONS_MAX: u64 = STATIONS_MAX as u64;
/// The most vehicles: about 1 kB of memory each, for each rule.
pub const SIMULATED_VEHICLES_MAX: u64 = 1_000_000;
/// The longest simulation: a week.
pub const SIMULATED_SECONDS_MAX: u64 = 604_800;

const _: () = assert!(SILENT_MS_MAX < AGENDA_MS && AGENDA_MS.is_power_of_two());
const _: () = assert!(2 * FLEET_VEHICLES_MAX <= FILTERS_MAX);
const _: () = assert!(MINUTE_MS * STEP_MINUTES as u64 == STEP_MS);
const _: () = assert!(ANSWER_MS_MAX * (ATTEMPT_FOR_ALL as u64 - 1) + SETTLE_MS < 10_000);
const _: () = assert!(BEAT_MS < SILENT_MS_MAX && PLACES < QUEUE_MAX);

// The client of a broker.

/// What a client promises to say at least: a broker that hears nothing for one and a half times as
/// long says its will. Short, because a sector whose server is gone waits for that.
pub const KEEP_ALIVE_S: u16 = 4;
/// How long a client waits for what a broker must answer, before it takes it for gone.
pub const BROKER_MS_MAX: u64 = 5_000;
/// Messages of QoS 1 that are kept until they are acknowledged. One more, and the oldest is given
/// up: every role says what matters again.
pub const UNACKNOWLEDGED_MAX: usize = 256;
/// The first pause before a client connects again; each further one is twice as long.
pub const RECONNECT_MS_MIN: u64 = 250;
/// The longest such pause.
pub const RECONNECT_MS_MAX: u64 = 8_000;
/// A connection that ended so soon after the broker let us in does not end the growing pauses.
pub const SHORT_MS: u64 = 5_000;
/// Packets of a broker that wait for a role.
pub const AHEAD_PACKETS_MAX: usize = 1_024;

const _: () = assert!(RECONNECT_MS_MIN < RECONNECT_MS_MAX);
