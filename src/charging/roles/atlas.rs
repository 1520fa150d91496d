//! The stations that a server knows, and which of them count.

use super::choice::{Candidate, Rule, choose};
use crate::charging::limits::{SILENT_MS_MAX, STATIONS_MAX, UNKNOWN_MINUTES};
use crate::charging::payload::{Ask, Offer, Queue, Reason, Station};
use crate::charging::world::{At, Id, Quadrant};
use crate::net::clock::Millis;
use std::collections::HashMap;

/// A station that was heard of.
#[derive(Debug, Clone)]
pub struct Known {
    /// Which.
    pub station: Id,
    /// Where.
    pub at: At,
    /// Vehicles that are there or on their way.
    pub queue: u32,
    minutes_per_car: f64,
    is_online: bool,
    /// It is one of ours: it says all about itself, and its will says when it is gone.
    has_state: bool,
    heard_at: Millis,
}

impl Known {
    /// Whether it counts: it is online, and was heard lately (spec: Choice).
    pub fn is_there(&self, now: Millis) -> bool {
        self.is_online && now < self.silent_at()
    }

    /// When it no longer counts, if nothing is heard until then.
    pub fn silent_at(&self) -> Millis {
        self.heard_at.plus(SILENT_MS_MAX)
    }
}

/// All stations that a server has heard of.
#[derive(Debug, Default)]
pub struct Atlas {
    /// In the order in which they were first heard.
    stations: Vec<Known>,
    places: HashMap<Id, usize>,
}

impl Atlas {
    /// Hears all about a station. One for which there is no room is not known.
    pub fn hear_state(&mut self, now: Millis, state: &Station) {
        let Some(number) = self.number(now, &state.station, state.at) else { return };
        let known = &mut self.stations[number];
        known.at = state.at;
        known.queue = state.queue;
        known.minutes_per_car = state.minutes_per_car;
        known.is_online = state.is_online;
        known.has_state = true;
        known.heard_at = now;
    }

    /// Hears a station as those in the wild say it. What one of ours says in full counts more: a
    /// late message of this kind must not bring one back whose will was heard.
    pub fn hear_queue(&mut self, now: Millis, queue: &Queue) {
        let Some(number) = self.number(now, &queue.station, queue.at) else { return };
        let known = &mut self.stations[number];
        if !known.has_state {
            known.at = queue.at;
            known.queue = queue.queue;
            known.is_online = true;
            known.heard_at = now;
        }
    }

    fn number(&mut self, now: Millis, station: &Id, at: At) -> Option<usize> {
        if let Some(number) = self.places.get(station) {
            return Some(*number);
        }
        if self.stations.len() >= STATIONS_MAX {
            self.stations.retain(|known| known.is_there(now));
            let ids = self.stations.iter().map(|known| known.station.clone());
            self.places = ids.zip(0..).collect();
        }
        if self.stations.len() >= STATIONS_MAX {
            return None;
        }
        let known = Known {
            station: station.clone(),
            at,
            queue: 0,
            minutes_per_car: UNKNOWN_MINUTES,
            is_online: false,
            has_state: false,
            heard_at: now,
        };
        self.stations.push(known);
        self.places.insert(station.clone(), self.stations.len() - 1);
        Some(self.stations.len() - 1)
    }

    /// All of them, also those that do not count.
    pub fn stations(&self) -> &[Known] {
        &self.stations
    }

    /// Where to send a vehicle: of all stations, or of those in one quadrant. Until that station
    /// says how it is, it counts as having one more in its queue, or all who ask in that short time
    /// would be sent to the same.
    pub fn choose(
        &mut self,
        rule: Rule,
        now: Millis,
        ask: &Ask,
        within: Option<Quadrant>,
    ) -> Result<Offer, Reason> {
        let is_within = |known: &&Known| within.is_none_or(|q| known.at.quadrant() == q);
        let known = self.stations.iter().filter(is_within).filter(|known| known.is_there(now));
        let candidates = known.map(|known| Candidate {
            station: &known.station,
            at: known.at,
            queue: known.queue,
            minutes_per_car: known.minutes_per_car,
        });
        let offer = choose(rule, ask, candidates)?;
        if let Some(number) = self.places.get(&offer.station) {
            self.stations[*number].queue += 1;
        }
        Ok(offer)
    }

    /// The station with the shortest queue; of several the one it was, then the first by id.
    pub fn shortest(&self, now: Millis, before: Option<&Id>) -> Option<&Known> {
        let there = self.stations.iter().filter(|known| known.is_there(now));
        there.min_by_key(|known| (known.queue, Some(&known.station) != before, &known.station))
    }
}
