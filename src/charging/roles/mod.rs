//! The four roles as values: events and the time go in, effects come out. None has a socket, a
//! clock or dice of its own, so that the same machines run over a broker and in a simulation.
//!
//! | file | holds |
//! |---|---|
//! | this one | what all roles are told, and what comes of it |
//! | [`choice`] | which station a vehicle is sent to |
//! | [`atlas`] | the stations that a server knows |
//! | [`station`] | queue and places |
//! | [`vehicle`] | drives, asks, waits, charges |
//! | [`fleet`] | vehicles that share a connection |
//! | [`map`] | only watches |
//! | [`sector`] | answers the vehicles of a quadrant |
//! | [`central`] | answers the rest, and keeps `menor/fila` |

pub mod atlas;
pub mod choice;

pub mod central;
pub mod sector;
pub mod station;
pub mod vehicle;

pub mod fleet;
pub mod map;

use crate::charging::limits::MINUTE_MS;
use crate::charging::payload::{Bad, Outcome, Reason, Said};
use crate::charging::world::Id;
use crate::net::clock::Millis;
use std::fmt;
use std::sync::Arc;

/// What a role is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// There is a session with the broker, with the subscriptions of [`Role::filters`].
    Connected,
    /// The broker is gone. Nothing is published until [`Event::Connected`].
    Lost,
    /// A message. True if it was retained: it may be old.
    Heard(Arc<Said>, bool),
    /// A message on this topic that is none.
    Bad(String, Bad),
    /// The deadline is reached, or something else made the runner look.
    Due,
    /// It is to say goodbye.
    Stopped,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Publishes it.
    Publish(Post),
    /// Subscribes to one filter more, with QoS 1, before what is published next.
    Subscribe(String),
    /// Subscribes to it no longer.
    Unsubscribe(String),
    /// One line for the console.
    Told(Line),
    /// It has said goodbye.
    Done,
}

/// A message to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// What, and with that where.
    pub said: Said,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// 0 or 1.
    pub qos: u8,
}

impl Post {
    /// Lost now and then: it is said again soon.
    pub fn often(said: Said) -> Effect {
        Effect::Publish(Post { said, retain: false, qos: 0 })
    }

    /// Delivered, perhaps twice.
    pub fn once(said: Said) -> Effect {
        Effect::Publish(Post { said, retain: false, qos: 1 })
    }

    /// Also to those who come later.
    pub fn kept(said: Said) -> Effect {
        Effect::Publish(Post { said, retain: true, qos: 1 })
    }
}

/// A vehicle, station or server, whoever runs it.
pub trait Role {
    /// What it is subscribed to at the moment, and with which QoS.
    fn filters(&self) -> Vec<(String, u8)>;
    /// What the broker publishes should the connection be lost.
    fn will(&self) -> Option<Post>;
    /// Takes in what happened, and says what comes of it.
    fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect>;
    /// When [`Event::Due`] is due. Does not change but by [`Role::handle`].
    fn deadline(&self) -> Option<Millis>;
}

/// What a person is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// A message that is none was dropped.
    Dropped(String, Bad),
    /// A server has listened long enough to answer.
    Ready,
    /// A server answers a vehicle with a station, and the minutes.
    Sends(Id, Id, f64),
    /// A server has no station for a vehicle.
    SendsNowhere(Id, Reason),
    /// A sector server passes a vehicle's question on.
    Passes(Id),
    /// Central says which station has the shortest queue.
    Shortest(Option<Id>),
    /// A station says to a vehicle, and how many are in the queue.
    Place(Id, Outcome, u32),
    /// A vehicle asks, with so much left.
    Asks(f64),
    /// A vehicle is told that there is no station for it.
    Nowhere(Reason),
    /// A vehicle sets out for a station: so far, and it is its turn in so many minutes.
    Goes(Id, f64, f64),
    /// A vehicle is refused by a station, or hears nothing from it.
    Refused(Id, Option<Outcome>),
    /// A vehicle is where it wanted to be.
    Arrives(Id),
    /// A vehicle is being charged.
    Plugs(Waited),
    /// A vehicle is charged.
    Charged(Id),
    /// A map has changed, perhaps; at this time.
    Drawn(Millis),
}

/// How long a vehicle waited until it was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// Since it asked, in ms.
    pub asked_ms: u64,
    /// Since it arrived, in ms.
    pub queued_ms: u64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Dropped(topic, why) => {
                write!(f, "dropped a message on {}: {why}", topic.escape_debug())
            }
            Line::Ready => f.write_str("ready"),
            Line::Sends(vehicle, station, minutes) => {
                write!(f, "{vehicle} is sent to {station}, {minutes:.0} min")
            }
            Line::SendsNowhere(vehicle, reason) => {
                write!(f, "{vehicle} has no station: {}", reason.word())
            }
            Line::Passes(vehicle) => write!(f, "{vehicle} is passed on to central"),
            Line::Shortest(Some(station)) => write!(f, "the shortest queue is at {station}"),
            Line::Shortest(None) => f.write_str("there is no station"),
            Line::Place(vehicle, outcome, queue) => match outcome.words() {
                (word, Some(why)) => write!(f, "{vehicle} {word}: {why}, queue {queue}"),
                (word, None) => write!(f, "{vehicle} {word}, queue {queue}"),
            },
            Line::Asks(battery) => write!(f, "asks for a station, battery {battery:.0}"),
            Line::Nowhere(reason) => write!(f, "there is no station: {}", reason.word()),
            Line::Goes(station, distance, minutes) => {
                write!(f, "goes to {station}, {distance:.1} km, its turn in {minutes:.0} min")
            }
            Line::Refused(station, Some(outcome)) => {
                write!(f, "has no place at {station}: {}", outcome.words().1.unwrap_or_default())
            }
            Line::Refused(station, None) => write!(f, "hears nothing from {station}"),
            Line::Arrives(station) => write!(f, "is at {station}"),
            Line::Plugs(waited) => {
                let minutes = waited.queued_ms as f64 / MINUTE_MS as f64;
                write!(f, "is being charged, after {minutes:.0} min in the queue")
            }
            Line::Drawn(now) => write!(f, "the map of {now}"),
            Line::Charged(station) => write!(f, "is charged at {station}"),
        }
    }
}
