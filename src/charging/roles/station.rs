//! A station: gives places, serves the first in its queue that is there, says how it is.
//!
//! A vehicle holds a place as long as it says so: it repeats its [`Heading`] until it is charged.
//! Each is answered with what became of the place, so that whatever is lost is said again, and
//! whatever comes twice changes nothing.

use super::{Effect, Event, Line, Post, Role};
use crate::charging::limits::{
    BEAT_MS, DRIVE_MINUTES_MAX, LATE_MS, MINUTE_MS, PLACES, SETTLED_MAX, SILENT_MS_MAX,
};
use crate::charging::payload::{Heading, Outcome, Place, Queue, Said, Stage, Station as State};
use crate::charging::world::{At, Id};
use crate::net::clock::Millis;
use std::collections::{HashMap, VecDeque};

/// What a station is.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// What it is called.
    pub id: Id,
    /// Where it stands.
    pub at: At,
    /// How long it takes for a car.
    pub minutes_per_car: f64,
}

/// A station.
#[derive(Debug)]
pub struct Station {
    setup: Setup,
    is_connected: bool,
    /// In the order of their places, at most [`PLACES`].
    cars: Vec<Car>,
    /// When the car that is being charged is charged.
    charged_at: Option<Millis>,
    settled: Settled,
    beat_at: Millis,
    /// The queue has changed since it was said how it is.
    has_changed: bool,
    effects: Vec<Effect>,
}

/// A vehicle that has a place.
#[derive(Debug)]
struct Car {
    vehicle: Id,
    request: u64,
    stage: Now,
    /// It has to be there by then.
    arrive_by: Millis,
    heard_at: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    OnItsWay,
    Waiting,
    Charging,
}

impl Car {
    /// When its place lapses. Never while it is being charged: the cable holds it.
    fn lapses_at(&self) -> Option<Millis> {
        let silent_at = self.heard_at.plus(SILENT_MS_MAX);
        match self.stage {
            Now::OnItsWay => Some(silent_at.min(self.arrive_by)),
            Now::Waiting => Some(silent_at),
            Now::Charging => None,
        }
    }

    fn outcome(&self) -> Outcome {
        if self.stage == Now::Charging { Outcome::Charging } else { Outcome::Granted }
    }
}

impl Station {
    /// A station without cars.
    pub fn new(setup: Setup) -> Station {
        Station {
            setup,
            is_connected: false,
            cars: Vec::new(),
            charged_at: None,
            settled: Settled::default(),
            beat_at: Millis(0),
            has_changed: false,
            effects: Vec::new(),
        }
    }

    /// Who has a place, in order, and the number of its question.
    pub fn places(&self) -> impl Iterator<Item = (&Id, u64)> {
        self.cars.iter().map(|car| (&car.vehicle, car.request))
    }

    fn heard(&mut self, now: Millis, heading: &Heading) {
        if heading.station != self.setup.id {
            return self.elsewhere(heading);
        }
        if let Some(at) = self.cars.iter().position(|car| car.vehicle == heading.vehicle) {
            let car = &mut self.cars[at];
            if heading.request < car.request {
                return;
            }
            if heading.request == car.request {
                return self.again(now, at, heading.stage);
            }
            // It has asked anew in between, so it does not count on the old one.
            self.settle(at, Outcome::Lapsed);
        }
        match self.settled.find(&heading.vehicle) {
            Some((request, _)) if heading.request < request => {}
            Some((request, outcome)) if heading.request == request => {
                self.say(heading.vehicle.clone(), request, outcome);
            }
            _ => self.first(now, heading),
        }
    }

    /// The first heading of a question.
    fn first(&mut self, now: Millis, heading: &Heading) {
        let (vehicle, request) = (heading.vehicle.clone(), heading.request);
        if heading.stage == Stage::Left {
            return;
        }
        if self.cars.len() >= PLACES as usize {
            self.settled.keep(vehicle.clone(), request, Outcome::Full);
            self.tell(&vehicle, Outcome::Full);
            return self.say(vehicle, request, Outcome::Full);
        }
        let minutes = heading.minutes.clamp(0.0, DRIVE_MINUTES_MAX);
        let drive_ms = (2.0 * minutes * MINUTE_MS as f64) as u64;
        // One that is here already has been given its place before we were started again.
        let is_here = heading.stage == Stage::Arrived;
        self.cars.push(Car {
            vehicle: vehicle.clone(),
            request,
            stage: if is_here { Now::Waiting } else { Now::OnItsWay },
            arrive_by: now.plus(drive_ms + LATE_MS),
            heard_at: now,
        });
        self.has_changed = true;
        self.tell(&vehicle, Outcome::Granted);
        self.say(vehicle, request, Outcome::Granted);
    }

    /// A heading that was said before, or its car's arrival.
    fn again(&mut self, now: Millis, at: usize, stage: Stage) {
        let car = &mut self.cars[at];
        car.heard_at = now;
        match (stage, car.stage) {
            (Stage::Arrived, Now::OnItsWay) => car.stage = Now::Waiting,
            (Stage::Left, Now::OnItsWay | Now::Waiting) => return self.settle(at, Outcome::Lapsed),
            _ => {}
        }
        let (vehicle, request, outcome) = (car.vehicle.clone(), car.request, car.outcome());
        self.say(vehicle, request, outcome);
    }

    /// A vehicle that goes to another station has no place here.
    fn elsewhere(&mut self, heading: &Heading) {
        let is_it = |car: &Car| {
            let is_newer = car.vehicle == heading.vehicle && car.request < heading.request;
            is_newer && car.stage != Now::Charging
        };
        if let Some(at) = self.cars.iter().position(is_it) {
            self.settle(at, Outcome::Lapsed);
        }
    }

    /// A place is free again.
    fn settle(&mut self, at: usize, outcome: Outcome) {
        let Car { vehicle, request, stage, .. } = self.cars.remove(at);
        if stage == Now::Charging {
            self.charged_at = None;
        }
        self.has_changed = true;
        self.settled.keep(vehicle.clone(), request, outcome);
        self.tell(&vehicle, outcome);
        self.say(vehicle, request, outcome);
    }

    fn due(&mut self, now: Millis) {
        if self.charged_at.is_some_and(|at| now >= at)
            && let Some(at) = self.cars.iter().position(|car| car.stage == Now::Charging)
        {
            self.settle(at, Outcome::Charged);
        }
        // Without the broker nobody can say anything, so silence means nothing.
        let has_lapsed = |car: &Car| car.lapses_at().is_some_and(|at| now >= at);
        while self.is_connected
            && let Some(at) = self.cars.iter().position(has_lapsed)
        {
            self.settle(at, Outcome::Lapsed);
        }
        self.plug(now);
        if self.is_connected && now >= self.beat_at {
            self.beat_at = now.plus(BEAT_MS);
            self.has_changed = true;
            let (station, at) = (self.setup.id.clone(), self.setup.at.rounded());
            let queue = Queue { station, at, queue: self.cars.len() as u32 };
            self.effects.push(Post::often(Said::Queue(queue)));
        }
        if std::mem::take(&mut self.has_changed) {
            self.publish(Post::kept(Said::Station(self.state(true))));
        }
    }

    /// The first in the queue that is here is the next.
    fn plug(&mut self, now: Millis) {
        if self.charged_at.is_some() {
            return;
        }
        let Some(car) = self.cars.iter_mut().find(|car| car.stage == Now::Waiting) else { return };
        car.stage = Now::Charging;
        let (vehicle, request) = (car.vehicle.clone(), car.request);
        let charge_ms = (self.setup.minutes_per_car * MINUTE_MS as f64) as u64;
        self.charged_at = Some(now.plus(charge_ms.max(1)));
        self.has_changed = true;
        self.tell(&vehicle, Outcome::Charging);
        self.say(vehicle, request, Outcome::Charging);
    }

    fn state(&self, is_online: bool) -> State {
        State {
            station: self.setup.id.clone(),
            at: self.setup.at,
            queue: self.cars.len() as u32,
            is_charging: self.charged_at.is_some(),
            minutes_per_car: self.setup.minutes_per_car,
            is_online,
        }
    }

    fn tell(&mut self, vehicle: &Id, outcome: Outcome) {
        let queue = self.cars.len() as u32;
        self.effects.push(Effect::Told(Line::Place(vehicle.clone(), outcome, queue)));
    }

    fn say(&mut self, vehicle: Id, request: u64, outcome: Outcome) {
        let place = Place { station: self.setup.id.clone(), vehicle, request, outcome };
        self.publish(Post::once(Said::Place(place)));
    }

    fn publish(&mut self, post: Effect) {
        if self.is_connected {
            self.effects.push(post);
        }
    }
}

impl Role for Station {
    fn filters(&self) -> Vec<(String, u8)> {
        let present = format!("posto/{}/presente", self.setup.id);
        vec![("veiculo/se_dirigindo".to_owned(), 1), (present, 1)]
    }

    fn will(&self) -> Option<Post> {
        Some(Post { said: Said::Station(self.state(false)), retain: true, qos: 1 })
    }

    fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Connected => {
                self.is_connected = true;
                self.beat_at = now;
                for car in &mut self.cars {
                    car.heard_at = now;
                    car.arrive_by = car.arrive_by.max(now.plus(LATE_MS));
                }
            }
            Event::Lost => self.is_connected = false,
            Event::Heard(said, _) => {
                if let Said::Heading(heading) | Said::Present(heading) = &*said {
                    self.heard(now, heading);
                }
            }
            Event::Bad(topic, why) => self.effects.push(Effect::Told(Line::Dropped(topic, why))),
            Event::Due => {}
            Event::Stopped => {
                self.publish(Post::kept(Said::Station(self.state(false))));
                self.effects.push(Effect::Done);
                return std::mem::take(&mut self.effects);
            }
        }
        self.due(now);
        std::mem::take(&mut self.effects)
    }

    fn deadline(&self) -> Option<Millis> {
        let lapses = self.cars.iter().filter_map(Car::lapses_at);
        let connected = lapses.chain([self.beat_at]).filter(|_| self.is_connected);
        connected.chain(self.charged_at).min()
    }
}

/// Questions that are over, for those that are said again.
#[derive(Debug, Default)]
struct Settled {
    last: HashMap<Id, (u64, Outcome)>,
    /// From the oldest.
    order: VecDeque<Id>,
}

impl Settled {
    fn find(&self, vehicle: &Id) -> Option<(u64, Outcome)> {
        self.last.get(vehicle).copied()
    }

    fn keep(&mut self, vehicle: Id, request: u64, outcome: Outcome) {
        if self.last.insert(vehicle.clone(), (request, outcome)).is_some() {
            return;
        }
        self.order.push_back(vehicle);
        if self.order.len() > SETTLED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
    }
}
