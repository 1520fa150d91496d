//! Every number of the charging system, and why it is that number.

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

/// Stations that have refused a vehicle and that it names when it asks again.
pub const EXCEPT_MAX: usize = 16;
/// Requests that are over and that a station still answers as it did before, should they come
/// again. A broker repeats what was under way when a connection was lost, and no more.
pub const SETTLED_MAX: usize = 256;
/// Stations that a server knows.
pub const STATIONS_MAX: usize = 10_000;
/// The minutes that a car takes at a station that does not say so.
pub const UNKNOWN_MINUTES: f64 = MINUTES_PER_CAR;

// The simulation.

/// How long a message takes in a simulation without a network.
pub const SIMULATED_MS: u64 = 5;
/// The share of its time that a station is busy, unless `--minutes-per-car` says otherwise: less
/// and nobody waits, more and everybody does, whatever the rule.
pub const BUSY: f64 = 0.8;
/// How long a vehicle drives to a station and stands there until it is its turn, about.
pub const DRIVE_MINUTES_MEAN: f64 = 15.0;
/// The shortest that `--minutes-per-car` takes.
pub const MINUTES_PER_CAR_MIN: f64 = 0.1;
/// Stations, unless `--stations` says otherwise: a town.
pub const SIMULATED_STATIONS: usize = 50;
/// Vehicles, unless `--vehicles` says otherwise.
pub const SIMULATED_VEHICLES: usize = 1_000;
/// Seconds, unless `--seconds` says otherwise: 40 h of theirs, so each is charged ten times.
pub const SIMULATED_SECONDS: u64 = 600;
/// The most stations.
pub const SIMULATED_STATIONS_MAX: u64 = STATIONS_MAX as u64;
/// The most vehicles: about 1 kB of memory each, for each rule.
pub const SIMULATED_VEHICLES_MAX: u64 = 1_000_000;
/// The longest simulation: a week.
pub const SIMULATED_SECONDS_MAX: u64 = 604_800;

const _: () = assert!(MINUTE_MS * STEP_MINUTES as u64 == STEP_MS);
const _: () = assert!(ANSWER_MS_MAX * (ATTEMPT_FOR_ALL as u64 - 1) + SETTLE_MS < 10_000);
const _: () = assert!(BEAT_MS < SILENT_MS_MAX && PLACES < QUEUE_MAX);
