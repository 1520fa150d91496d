//! Who only watches: where everybody is and what they do, also those whom we did not write.

use super::{Effect, Event, Line, Post, Role};
use crate::charging::limits::{PAGE_MS, SEEN_MAX, SILENT_MS_MAX, STATIONS_MAX, UNKNOWN_MINUTES};
use crate::charging::payload::{Ask, Heading, Outcome, Place, Position, Queue, Said, Station};
use crate::charging::world::{At, Id, Quadrant};
use crate::net::clock::Millis;
use std::collections::BTreeMap;

/// What a vehicle is seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It drives about; all that those in the wild do.
    Drives,
    /// It asks for a station.
    Asks,
    /// It goes to a station, or waits there.
    Goes,
    /// It is being charged.
    Charges,
}

/// A vehicle that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Where it was last.
    pub at: At,
    /// What it did last.
    pub doing: Doing,
    /// To which station it goes.
    pub station: Option<Id>,
    heard_at: Millis,
}

/// A station that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    /// As it said last.
    pub state: Station,
    /// It says only what programs in the wild say.
    pub is_wild: bool,
    heard_at: Millis,
}

impl Spot {
    /// Whether it counts.
    pub fn is_there(&self, now: Millis) -> bool {
        self.state.is_online && now < self.heard_at.plus(SILENT_MS_MAX)
    }
}

/// All that is seen.
#[derive(Debug, Default)]
pub struct Map {
    /// By name, at most [`SEEN_MAX`].
    vehicles: BTreeMap<Id, Seen>,
    /// By name, at most [`STATIONS_MAX`].
    stations: BTreeMap<Id, Spot>,
    sectors: [bool; 4],
    shortest: Option<Id>,
    draws_at: Millis,
    effects: Vec<Effect>,
}

impl Map {
    /// The vehicles, by name.
    pub fn vehicles(&self) -> &BTreeMap<Id, Seen> {
        &self.vehicles
    }

    /// The stations, by name; also those that are gone.
    pub fn stations(&self) -> &BTreeMap<Id, Spot> {
        &self.stations
    }

    /// Whether the server of a quadrant is there.
    pub fn has_sector(&self, quadrant: Quadrant) -> bool {
        self.sectors[quadrant.index()]
    }

    /// What `menor/fila` says.
    pub fn shortest(&self) -> Option<&Id> {
        self.shortest.as_ref()
    }

    fn heard(&mut self, now: Millis, said: &Said) {
        match said {
            Said::Position(Position { vehicle, at, .. }) => self.see(now, vehicle, *at, None),
            Said::Ask(Ask { vehicle, at, .. }) => {
                self.see(now, vehicle, *at, Some((Doing::Asks, None)));
            }
            Said::Heading(Heading { vehicle, station, .. }) => {
                self.does(vehicle, Doing::Goes, Some(station.clone()));
            }
            Said::Place(place) => self.placed(place),
            Said::Queue(queue) => self.hear_queue(now, queue),
            Said::Station(state) => {
                let spot = Spot { state: state.clone(), is_wild: false, heard_at: now };
                self.spot(state.station.clone(), spot);
            }
            Said::Sector(sector) => self.sectors[sector.quadrant.index()] = sector.is_online,
            Said::Shortest(station) => self.shortest.clone_from(station),
            Said::Answer(_) | Said::Present(_) | Said::Passed(_) => {}
        }
    }

    /// A vehicle is somewhere, and perhaps does something else than before.
    fn see(&mut self, now: Millis, vehicle: &Id, at: At, does: Option<(Doing, Option<Id>)>) {
        if !self.vehicles.contains_key(vehicle) && self.vehicles.len() >= SEEN_MAX {
            return;
        }
        let new = Seen { at, doing: Doing::Drives, station: None, heard_at: now };
        let seen = self.vehicles.entry(vehicle.clone()).or_insert(new);
        (seen.at, seen.heard_at) = (at, now);
        if let Some((doing, station)) = does {
            (seen.doing, seen.station) = (doing, station);
        }
    }

    fn does(&mut self, vehicle: &Id, doing: Doing, station: Option<Id>) {
        // One that has not said where it is is not on the map.
        if let Some(seen) = self.vehicles.get_mut(vehicle) {
            (seen.doing, seen.station) = (doing, station);
        }
    }

    fn placed(&mut self, place: &Place) {
        let Some(seen) = self.vehicles.get(&place.vehicle) else { return };
        if seen.station.as_ref().is_some_and(|station| *station != place.station) {
            return;
        }
        let station = Some(place.station.clone());
        match place.outcome {
            Outcome::Granted => self.does(&place.vehicle, Doing::Goes, station),
            Outcome::Charging => self.does(&place.vehicle, Doing::Charges, station),
            Outcome::Charged => self.does(&place.vehicle, Doing::Drives, None),
            Outcome::Full | Outcome::Lapsed => self.does(&place.vehicle, Doing::Asks, None),
        }
    }

    fn hear_queue(&mut self, now: Millis, queue: &Queue) {
        if self.stations.get(&queue.station).is_some_and(|spot| !spot.is_wild) {
            return;
        }
        let state = Station {
            station: queue.station.clone(),
            at: queue.at,
            queue: queue.queue,
            is_charging: queue.queue > 0,
            minutes_per_car: UNKNOWN_MINUTES,
            is_online: true,
        };
        self.spot(queue.station.clone(), Spot { state, is_wild: true, heard_at: now });
    }

    fn spot(&mut self, station: Id, spot: Spot) {
        if self.stations.contains_key(&station) || self.stations.len() < STATIONS_MAX {
            self.stations.insert(station, spot);
        }
    }
}

impl Role for Map {
    fn filters(&self) -> Vec<(String, u8)> {
        let filters = [
            ("veiculo", 0),
            ("fila/posto", 0),
            ("menor/fila", 0),
            ("setor/+", 1),
            ("posto/+", 1),
            ("posto/+/vaga", 0),
            ("veiculo/se_dirigindo", 0),
            ("veiculo/+/pedido", 0),
        ];
        filters.map(|(filter, qos)| (filter.to_owned(), qos)).to_vec()
    }

    fn will(&self) -> Option<Post> {
        None
    }

    fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            // What is retained says it again; of what is not, nothing is known.
            Event::Connected | Event::Lost => (self.sectors, self.shortest) = ([false; 4], None),
            Event::Heard(said, _) => self.heard(now, &said),
            Event::Bad(topic, why) => self.effects.push(Effect::Told(Line::Dropped(topic, why))),
            Event::Due => {}
            Event::Stopped => self.effects.push(Effect::Done),
        }
        if now >= self.draws_at {
            self.draws_at = now.plus(PAGE_MS);
            let is_here = |seen: &Seen| now < seen.heard_at.plus(SILENT_MS_MAX);
            self.vehicles.retain(|_, seen| is_here(seen));
            self.effects.push(Effect::Told(Line::Drawn(now)));
        }
        std::mem::take(&mut self.effects)
    }

    fn deadline(&self) -> Option<Millis> {
        Some(self.draws_at)
    }
}
