//! Many vehicles that share one connection. To each of them it is as if it had its own.

use super::vehicle::Vehicle;
use super::{Effect, Event, Line, Post, Role};
use crate::charging::payload::Said;
use crate::charging::world::Id;
use crate::net::clock::Millis;
use std::collections::{BTreeMap, HashMap};

/// Some vehicles.
#[derive(Debug)]
pub struct Fleet {
    vehicles: Vec<Vehicle>,
    places: HashMap<Id, usize>,
    /// How many of them subscribe to it.
    filters: BTreeMap<String, usize>,
    effects: Vec<Effect>,
}

/// How some vehicles are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// They want to be charged, or wait for it.
    pub waiting: u64,
    /// They have no station in reach.
    pub stranded: u64,
}

impl Fleet {
    /// These, each with a name of its own.
    pub fn new(vehicles: Vec<Vehicle>) -> Fleet {
        let ids = vehicles.iter().map(|vehicle| vehicle.id().clone());
        let mut filters = BTreeMap::new();
        for (filter, _) in vehicles.iter().flat_map(Role::filters) {
            *filters.entry(filter).or_default() += 1;
        }
        Fleet { places: ids.zip(0..).collect(), filters, vehicles, effects: Vec::new() }
    }

    /// How they are at the moment.
    pub fn need(&self) -> Need {
        Need::of(&self.vehicles)
    }

    fn one(&mut self, now: Millis, number: usize, event: Event) {
        for effect in self.vehicles[number].handle(now, event) {
            match effect {
                Effect::Subscribe(filter) => {
                    let users = self.filters.entry(filter.clone()).or_default();
                    *users += 1;
                    if *users == 1 {
                        self.effects.push(Effect::Subscribe(filter));
                    }
                }
                Effect::Unsubscribe(filter) => {
                    let Some(users) = self.filters.get_mut(&filter) else { continue };
                    *users -= 1;
                    if *users == 0 {
                        self.filters.remove(&filter);
                        self.effects.push(Effect::Unsubscribe(filter));
                    }
                }
                // Theirs is not yet all of ours.
                Effect::Done => {}
                Effect::Publish(_) | Effect::Told(_) => self.effects.push(effect),
            }
        }
    }
}

impl Need {
    /// How these are at the moment.
    pub fn of(vehicles: &[Vehicle]) -> Need {
        let mut need = Need::default();
        for vehicle in vehicles {
            if vehicle.is_stranded() {
                need.stranded += 1;
            } else if vehicle.needs_since().is_some() {
                need.waiting += 1;
            }
        }
        need
    }

    /// Both together.
    pub fn plus(self, other: Need) -> Need {
        Need { waiting: self.waiting + other.waiting, stranded: self.stranded + other.stranded }
    }
}

impl Role for Fleet {
    fn filters(&self) -> Vec<(String, u8)> {
        self.filters.keys().map(|filter| (filter.clone(), 1)).collect()
    }

    fn will(&self) -> Option<Post> {
        None
    }

    fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Heard(said, is_retained) => {
                let vehicle = match &*said {
                    Said::Answer(answer) => &answer.vehicle,
                    Said::Place(place) => &place.vehicle,
                    _ => return Vec::new(),
                };
                // One that a station speaks to need not be ours.
                if let Some(number) = self.places.get(vehicle).copied() {
                    self.one(now, number, Event::Heard(said, is_retained));
                }
            }
            Event::Bad(topic, why) => self.effects.push(Effect::Told(Line::Dropped(topic, why))),
            Event::Due => {
                for number in 0..self.vehicles.len() {
                    if self.vehicles[number].deadline().is_some_and(|due| now >= due) {
                        self.one(now, number, Event::Due);
                    }
                }
            }
            Event::Connected | Event::Lost | Event::Stopped => {
                (0..self.vehicles.len()).for_each(|number| self.one(now, number, event.clone()));
                if event == Event::Stopped {
                    self.effects.push(Effect::Done);
                }
            }
        }
        std::mem::take(&mut self.effects)
    }

    fn deadline(&self) -> Option<Millis> {
        self.vehicles.iter().filter_map(Role::deadline).min()
    }
}
