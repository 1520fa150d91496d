//! Where things are, how fast they move, what they are called.

use crate::charging::limits::{
    COORDINATE_MAX, DISTANCE_PER_CHARGE, ID_BYTES_MAX, STEP_MINUTES, WANDER_MAX,
};
use crate::net::dice::Dice;
use std::fmt;
use std::sync::Arc;

/// What a vehicle or a station is called. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Arc<str>);

impl Id {
    /// None if it cannot be one level of a topic, or is no name: `/`, `+`, `#`, control characters,
    /// nothing at all, or more than [`ID_BYTES_MAX`].
    pub fn new(text: &str) -> Option<Id> {
        let is_fit = |c: char| !matches!(c, '/' | '+' | '#') && !c.is_control();
        let is_id = (1..=ID_BYTES_MAX).contains(&text.len()) && text.chars().all(is_fit);
        is_id.then(|| Id(text.into()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A point of the square.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct At {
    /// Upwards, from -100 to 100.
    pub latitude: f64,
    /// To the right, from -100 to 100.
    pub longitude: f64,
}

impl At {
    /// None outside of the square.
    pub fn new(latitude: f64, longitude: f64) -> Option<At> {
        let is_inside = |x: f64| (-COORDINATE_MAX..=COORDINATE_MAX).contains(&x);
        (is_inside(latitude) && is_inside(longitude)).then_some(At { latitude, longitude })
    }

    /// Some point with whole numbers.
    pub fn anywhere(dice: &mut Dice) -> At {
        let side = COORDINATE_MAX as u32;
        let mut coordinate = || f64::from(dice.roll(2 * side + 1)) - f64::from(side);
        At { latitude: coordinate(), longitude: coordinate() }
    }

    /// Some point of the neighbourhood: at most [`WANDER_MAX`] away, both ways. Who always crossed
    /// the whole square would be in its middle most of the time, and all with it.
    pub fn nearby(self, dice: &mut Dice) -> At {
        let mut shift = |coordinate: f64| {
            let moved =
                coordinate + f64::from(dice.roll(2 * WANDER_MAX + 1)) - f64::from(WANDER_MAX);
            // At the edge it turns back.
            if moved.abs() > COORDINATE_MAX {
                moved.signum() * 2.0 * COORDINATE_MAX - moved
            } else {
                moved
            }
        };
        At { latitude: shift(self.latitude), longitude: shift(self.longitude) }
    }

    /// In a straight line.
    pub fn distance(self, other: At) -> f64 {
        let (dy, dx) = (other.latitude - self.latitude, other.longitude - self.longitude);
        (dy * dy + dx * dx).sqrt()
    }

    /// The point so much nearer to `goal`, and no further than it.
    pub fn towards(self, goal: At, distance: f64) -> At {
        let whole = self.distance(goal);
        if whole <= distance {
            return goal;
        }
        let share = distance / whole;
        At {
            latitude: self.latitude + (goal.latitude - self.latitude) * share,
            longitude: self.longitude + (goal.longitude - self.longitude) * share,
        }
    }

    /// The nearest point with whole numbers, as programs in the wild have them.
    pub fn rounded(self) -> At {
        At { latitude: self.latitude.round(), longitude: self.longitude.round() }
    }

    /// Its quarter of the square. The axes belong to the positive side.
    pub fn quadrant(self) -> Quadrant {
        match (self.latitude >= 0.0, self.longitude >= 0.0) {
            (true, true) => Quadrant(1),
            (true, false) => Quadrant(2),
            (false, false) => Quadrant(3),
            (false, true) => Quadrant(4),
        }
    }
}

/// A quarter of the square: 1 is to the right above, then against the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quadrant(u8);

impl Quadrant {
    /// All four.
    pub const ALL: [Quadrant; 4] = [Quadrant(1), Quadrant(2), Quadrant(3), Quadrant(4)];

    /// None but for 1 to 4.
    pub fn new(number: u64) -> Option<Quadrant> {
        Quadrant::ALL.into_iter().find(|quadrant| u64::from(quadrant.0) == number)
    }

    /// From 1 to 4.
    pub fn number(self) -> u8 {
        self.0
    }

    /// From 0 to 3, for tables.
    pub fn index(self) -> usize {
        usize::from(self.0) - 1
    }

    /// Itself and then the others, clockwise: who answers for it, in this order.
    pub fn clockwise(self) -> impl Iterator<Item = Quadrant> {
        (0..4).map(move |turns| Quadrant((self.0 + 3 - turns) % 4 + 1))
    }
}

impl fmt::Display for Quadrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How fast a vehicle moves, and with that discharges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Trend {
    /// LENTA: 1 a step.
    Slow,
    /// MEDIA: 2 a step.
    Medium,
    /// RAPIDA: 3 a step.
    Fast,
}

impl Trend {
    /// All three.
    pub const ALL: [Trend; 3] = [Trend::Slow, Trend::Medium, Trend::Fast];

    /// As it goes over the wire.
    pub fn word(self) -> &'static str {
        match self {
            Trend::Slow => "LENTA",
            Trend::Medium => "MEDIA",
            Trend::Fast => "RAPIDA",
        }
    }

    /// What it discharges in a step.
    pub fn discharge(self) -> f64 {
        match self {
            Trend::Slow => 1.0,
            Trend::Medium => 2.0,
            Trend::Fast => 3.0,
        }
    }

    /// How far it gets in a step.
    pub fn stride(self) -> f64 {
        DISTANCE_PER_CHARGE * self.discharge()
    }

    /// The minutes that it takes so far.
    pub fn minutes(self, distance: f64) -> f64 {
        distance / self.stride() * STEP_MINUTES
    }
}
