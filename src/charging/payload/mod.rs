//! What is said about vehicles and stations, and on which topics (spec: Topics and payloads).
//!
//! | file | holds |
//! |---|---|
//! | this one | messages and their topics |
//! | [`json`] | messages to bytes and back |

pub mod json;

use crate::charging::world::{At, Id, Quadrant, Trend};
use std::fmt;

/// A message of anybody. Each knows its topic.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// `fila/posto`: a station, as programs in the wild say it.
    Queue(Queue),
    /// `veiculo`: a vehicle, as programs in the wild say it.
    Position(Position),
    /// `menor/fila`: the station with the shortest queue, if there is any station. Retained.
    Shortest(Option<Id>),
    /// `posto/<station>`: all about a station. Retained.
    Station(Station),
    /// `veiculo/<vehicle>/pedido`: a vehicle asks for a station.
    Ask(Ask),
    /// `veiculo/<vehicle>/posto`: the answer.
    Answer(Answer),
    /// `veiculo/se_dirigindo`: a vehicle sets out for a station.
    Heading(Heading),
    /// `posto/<station>/presente`: it still holds its place, is there, or leaves. Ours: what is
    /// said on the topic before goes to all stations, which for this would be too much.
    Present(Heading),
    /// `posto/<station>/vaga`: what a station says to that.
    Place(Place),
    /// `setor/<quadrant>`: whether a sector server is there. Ours. Retained.
    Sector(Sector),
    /// `central/pedido`: a sector server passes a question on. Ours.
    Passed(Ask),
}

/// A station, as programs in the wild say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Which.
    pub station: Id,
    /// Where.
    pub at: At,
    /// Vehicles that are there or on their way.
    pub queue: u32,
}

/// A vehicle, as programs in the wild say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// Which.
    pub vehicle: Id,
    /// Where.
    pub at: At,
    /// How fast.
    pub trend: Trend,
}

/// All about a station.
#[derive(Debug, Clone, PartialEq)]
pub struct Station {
    /// Which.
    pub station: Id,
    /// Where.
    pub at: At,
    /// Vehicles that are there or on their way.
    pub queue: u32,
    /// Whether one of them is being charged.
    pub is_charging: bool,
    /// How long it takes for one of them.
    pub minutes_per_car: f64,
    /// Whether it is there at all.
    pub is_online: bool,
}

/// A vehicle asks for a station.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Which.
    pub vehicle: Id,
    /// Where.
    pub at: At,
    /// What is left, of 100.
    pub battery: f64,
    /// How fast.
    pub trend: Trend,
    /// The number of the question; grows with each.
    pub request: u64,
    /// 1 when it is asked first, one more whenever it is repeated.
    pub attempt: u32,
    /// Stations that it does not want: they refused it, or said nothing.
    pub except: Vec<Id>,
}

/// Where to go, or why nowhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Who asked.
    pub vehicle: Id,
    /// The number of the question.
    pub request: u64,
    /// The answer.
    pub offer: Result<Offer, Reason>,
}

/// A station that is recommended.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Which.
    pub station: Id,
    /// Where.
    pub at: At,
    /// Vehicles that are there or on their way.
    pub queue: u32,
    /// How far.
    pub distance: f64,
    /// How long until it is the vehicle's turn, the drive included.
    pub minutes: f64,
}

/// Why no station is recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    NoStation,
    /// None is near enough for what is left in the battery.
    OutOfReach,
    /// Those that are near enough are full.
    Full,
}

/// A vehicle and the station that it has chosen. Repeated as long as it holds a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Heading {
    /// Which vehicle.
    pub vehicle: Id,
    /// Which station.
    pub station: Id,
    /// The number of the question by which it came to it.
    pub request: u64,
    /// How far it is.
    pub stage: Stage,
    /// How long it still drives, in minutes.
    pub minutes: f64,
}

/// How far a vehicle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It wants a place, and with that it sets out.
    Going,
    /// It is there.
    Arrived,
    /// It gives its place back.
    Left,
}

/// What a station says to a vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Which station.
    pub station: Id,
    /// Which vehicle.
    pub vehicle: Id,
    /// The number of the question.
    pub request: u64,
    /// What it says.
    pub outcome: Outcome,
}

/// What became of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is kept for the vehicle.
    Granted,
    /// The vehicle is being charged.
    Charging,
    /// The vehicle is charged, and the place free.
    Charged,
    /// There is none.
    Full,
    /// The vehicle did not come in time, or gave the place back.
    Lapsed,
}

/// Whether a sector server is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sector {
    /// Whose vehicles it answers.
    pub quadrant: Quadrant,
    /// Whether it is there.
    pub is_online: bool,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// Nobody says anything on this topic.
    Topic,
    /// It is no JSON object, or no text where that is called for.
    NotJson,
    /// This field is missing, or what it says cannot be.
    Field(&'static str),
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bad::Topic => f.write_str("unknown topic"),
            Bad::NotJson => f.write_str("not JSON"),
            Bad::Field(name) => write!(f, "field {name}"),
        }
    }
}

impl Said {
    /// Where it is said.
    pub fn topic(&self) -> String {
        match self {
            Said::Queue(_) => "fila/posto".to_owned(),
            Said::Position(_) => "veiculo".to_owned(),
            Said::Shortest(_) => "menor/fila".to_owned(),
            Said::Station(Station { station, .. }) => format!("posto/{station}"),
            Said::Ask(Ask { vehicle, .. }) => format!("veiculo/{vehicle}/pedido"),
            Said::Answer(Answer { vehicle, .. }) => format!("veiculo/{vehicle}/posto"),
            Said::Heading(_) => "veiculo/se_dirigindo".to_owned(),
            Said::Present(Heading { station, .. }) => format!("posto/{station}/presente"),
            Said::Place(Place { station, .. }) => format!("posto/{station}/vaga"),
            Said::Sector(Sector { quadrant, .. }) => format!("setor/{quadrant}"),
            Said::Passed(_) => "central/pedido".to_owned(),
        }
    }

    /// As bytes, for its topic.
    pub fn encode(&self) -> Vec<u8> {
        json::encode(self)
    }

    /// What is said on a topic.
    pub fn decode(topic: &str, payload: &[u8]) -> Result<Said, Bad> {
        json::decode(topic, payload)
    }
}

impl Reason {
    const ALL: [Reason; 3] = [Reason::NoStation, Reason::OutOfReach, Reason::Full];

    /// As it goes over the wire.
    pub fn word(self) -> &'static str {
        match self {
            Reason::NoStation => "no-station",
            Reason::OutOfReach => "out-of-reach",
            Reason::Full => "full",
        }
    }
}

impl Stage {
    const ALL: [Stage; 3] = [Stage::Going, Stage::Arrived, Stage::Left];

    /// As it goes over the wire.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Going => "going",
            Stage::Arrived => "arrived",
            Stage::Left => "left",
        }
    }
}

impl Outcome {
    const ALL: [Outcome; 5] =
        [Outcome::Granted, Outcome::Charging, Outcome::Charged, Outcome::Full, Outcome::Lapsed];

    /// As it goes over the wire: what became of it, and why if it was refused.
    pub fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Outcome::Granted => ("granted", None),
            Outcome::Charging => ("charging", None),
            Outcome::Charged => ("charged", None),
            Outcome::Full => ("refused", Some("full")),
            Outcome::Lapsed => ("refused", Some("lapsed")),
        }
    }
}
