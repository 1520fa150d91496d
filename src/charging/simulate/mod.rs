//! All of it in one process: who takes part a seed decides; what they lived through is a table.
//!
//! | file | holds |
//! |---|---|
//! | this one | who takes part |
//! | [`fast`] | the roles on a simulated clock, without a network |
//! | [`agenda`] | what is to happen when |
//! | [`live`] | the roles over a broker |
//! | [`figures`] | how long vehicles waited, and the table of it |

pub mod agenda;
pub mod fast;
pub mod figures;
pub mod live;

use crate::charging::limits::{
    BATTERY_FULL, BATTERY_LOW, BUSY, DRIVE_MINUTES_MEAN, MINUTE_MS, MINUTES_PER_CAR_MAX,
    MINUTES_PER_CAR_MIN, STEP_MINUTES,
};
use crate::charging::roles::{station, vehicle};
use crate::charging::world::{At, Id, Trend};
use crate::net::dice::Dice;
use std::fmt;

/// Who takes part, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Charging stations.
    pub stations: usize,
    /// Vehicles.
    pub vehicles: usize,
    /// How long, in seconds; a minute of theirs is a quarter of one.
    pub seconds: u64,
    /// Decides all the rest.
    pub seed: u64,
    /// How long a car takes on an average; if not given, as long as keeps the stations busy.
    pub minutes_per_car: Option<f64>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { stations, vehicles, seconds, seed, .. } = self;
        let (hours, minutes) =
            ((seconds * 1_000 / MINUTE_MS) as f64 / 60.0, self.minutes_per_car());
        write!(
            f,
            "{stations} stations, {vehicles} vehicles, {seconds} s ({hours:.1} h of theirs), \
             seed {seed}, {minutes:.1} minutes a car"
        )
    }
}

impl Plan {
    /// How long a car takes on an average.
    pub fn minutes_per_car(&self) -> f64 {
        self.minutes_per_car.unwrap_or_else(|| {
            let steps = |trend: Trend| (BATTERY_FULL - BATTERY_LOW) / trend.discharge();
            let steps = Trend::ALL.map(steps).iter().sum::<f64>() / Trend::ALL.len() as f64;
            let away = steps * STEP_MINUTES + DRIVE_MINUTES_MEAN;
            let share = BUSY * self.stations as f64 / self.vehicles as f64;
            // While a vehicle is being charged it does not come back.
            let minutes = if share < 1.0 { share * away / (1.0 - share) } else { f64::INFINITY };
            minutes.clamp(MINUTES_PER_CAR_MIN, MINUTES_PER_CAR_MAX)
        })
    }

    /// All stations: anywhere, some twice and some half as quick as others.
    pub fn stations(&self) -> impl Iterator<Item = station::Setup> {
        let (mut dice, mean) = (Dice::seeded(self.seed), self.minutes_per_car());
        (0..self.stations).map(move |number| station::Setup {
            id: name("posto", number),
            at: At::anywhere(&mut dice),
            minutes_per_car: mean * (0.5 + f64::from(dice.roll(101)) / 100.0),
        })
    }

    /// All vehicles: anywhere, at any speed, and as if they had been driving for a while.
    pub fn vehicles(&self) -> impl Iterator<Item = vehicle::Setup> {
        let (mut dice, seed) = (Dice::seeded(!self.seed), self.seed);
        let range = (BATTERY_FULL - BATTERY_LOW) as u32;
        (0..self.vehicles).map(move |number| vehicle::Setup {
            id: name("vehicle", number),
            at: At::anywhere(&mut dice),
            battery: BATTERY_FULL - f64::from(dice.roll(range)),
            trend: Trend::ALL[dice.roll(3) as usize],
            last_request: 0,
            dice: Dice::seeded(seed ^ (u64::from(dice.roll(u32::MAX)) << 32 | number as u64)),
        })
    }
}

fn name(kind: &str, number: usize) -> Id {
    Id::new(&format!("{kind}-{number}")).expect("letters and a number are an id")
}
