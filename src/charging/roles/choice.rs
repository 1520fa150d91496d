//! Which station a vehicle is sent to (spec: Choice).

use crate::charging::limits::{DISTANCE_PER_CHARGE, PLACES};
use crate::charging::payload::{Ask, Offer, Reason};
use crate::charging::world::{At, Id};
use std::cmp::Ordering;

/// A way to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// The least expected minutes: the drive, and then the queue at the station's own rate.
    #[default]
    Least,
    /// The nearest, to compare with.
    Nearest,
    /// The shortest queue anywhere within reach, to compare with.
    Shortest,
}

/// A station that is there, as the rule sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Which.
    pub station: &'a Id,
    /// Where.
    pub at: At,
    /// Vehicles that are there or on their way.
    pub queue: u32,
    /// How long it takes for one of them.
    pub minutes_per_car: f64,
}

impl Candidate<'_> {
    fn minutes(&self, ask: &Ask) -> f64 {
        let queue = f64::from(self.queue) * self.minutes_per_car;
        ask.trend.minutes(ask.at.distance(self.at)) + queue
    }
}

/// The best of the stations that are not full, can be reached with what is left in the battery,
/// and are not excepted. All rules break ties by distance, then by id.
pub fn choose<'a>(
    rule: Rule,
    ask: &Ask,
    candidates: impl Iterator<Item = Candidate<'a>>,
) -> Result<Offer, Reason> {
    let reach = ask.battery * DISTANCE_PER_CHARGE;
    let mut none = Reason::NoStation;
    let mut best: Option<((f64, f64), Candidate<'a>)> = None;
    for candidate in candidates {
        let distance = ask.at.distance(candidate.at);
        if distance > reach {
            none = if none == Reason::NoStation { Reason::OutOfReach } else { none };
            continue;
        }
        if candidate.queue >= PLACES || ask.except.contains(candidate.station) {
            none = Reason::Full;
            continue;
        }
        let first = match rule {
            Rule::Least => candidate.minutes(ask),
            Rule::Nearest => distance,
            Rule::Shortest => f64::from(candidate.queue),
        };
        let key = (first, distance);
        if best.as_ref().is_none_or(|best| is_before((key, candidate.station), best)) {
            best = Some((key, candidate));
        }
    }
    let ((_, distance), chosen) = best.ok_or(none)?;
    Ok(Offer {
        station: chosen.station.clone(),
        at: chosen.at,
        queue: chosen.queue,
        distance,
        minutes: chosen.minutes(ask),
    })
}

fn is_before((key, id): ((f64, f64), &Id), best: &((f64, f64), Candidate<'_>)) -> bool {
    let (other, other_id) = (best.0, best.1.station);
    let order = key.0.total_cmp(&other.0).then(key.1.total_cmp(&other.1));
    order.then_with(|| id.cmp(other_id)) == Ordering::Less
}
