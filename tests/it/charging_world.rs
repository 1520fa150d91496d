//! A few roles and a broker of thirty lines between them, on a clock of its own; it loses, repeats
//! and delays, roles come and go, and so does the broker.

use malha::charging::payload::{Ask, Heading, Said, Stage};
use malha::charging::roles::central::Central;
use malha::charging::roles::choice::Rule;
use malha::charging::roles::fleet::Fleet;
use malha::charging::roles::sector::Sector;
use malha::charging::roles::station::{self, Station};
use malha::charging::roles::vehicle::{self, Vehicle};
use malha::charging::roles::{Effect, Event, Line, Post, Role};
use malha::charging::world::{At, Id, Quadrant, Trend};
use malha::net::clock::Millis;
use malha::net::dice::Dice;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub fn at(latitude: f64, longitude: f64) -> At {
    At::new(latitude, longitude).unwrap()
}

pub fn station(name: &str, at: At, minutes_per_car: f64) -> Station {
    Station::new(station::Setup { id: id(name), at, minutes_per_car })
}

pub fn vehicle(name: &str, at: At, battery: f64, now: Millis) -> Vehicle {
    Vehicle::new(
        vehicle::Setup {
            id: id(name),
            at,
            battery,
            trend: Trend::Slow,
            last_request: now.0,
            dice: Dice::seeded(now.0 + name.len() as u64),
        },
        now,
    )
}

pub fn heading(vehicle: &str, station: &str, request: u64, stage: Stage) -> Said {
    let (vehicle, station) = (id(vehicle), id(station));
    Said::Heading(Heading { vehicle, station, request, stage, minutes: 8.0 })
}

pub enum Actor {
    Station(Station),
    Vehicle(Box<Vehicle>),
    Sector(Sector),
    Central(Central),
    Fleet(Fleet),
}

impl Actor {
    fn role(&mut self) -> &mut dyn Role {
        match self {
            Actor::Station(role) => role,
            Actor::Vehicle(role) => &mut **role,
            Actor::Sector(role) => role,
            Actor::Central(role) => role,
            Actor::Fleet(role) => role,
        }
    }
}

pub struct Player {
    pub actor: Actor,
    pub is_connected: bool,
    pub filters: BTreeSet<String>,
}

/// How bad the network is, each in a hundred messages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub lost: u32,
    pub twice: u32,
    pub delay_ms_max: u32,
}

/// For whom, on which topic, what, whether it was retained.
type Message = (String, String, Vec<u8>, bool);

pub struct World {
    pub now: Millis,
    pub players: BTreeMap<String, Player>,
    pub weather: Weather,
    pub is_up: bool,
    pub told: Vec<(Millis, String, Line)>,
    pub said: Vec<(Millis, String, Said)>,
    retained: BTreeMap<String, Vec<u8>>,
    under_way: BTreeMap<(Millis, u64), Message>,
    sent: u64,
    dice: Dice,
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            now: Millis(0),
            players: BTreeMap::new(),
            weather: Weather::default(),
            is_up: true,
            told: Vec::new(),
            said: Vec::new(),
            retained: BTreeMap::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            dice: Dice::seeded(seed),
        }
    }

    /// All four sector servers and central.
    pub fn with_servers(seed: u64) -> World {
        let mut world = World::new(seed);
        for quadrant in Quadrant::ALL {
            world.sector(quadrant);
        }
        world.add("central", Actor::Central(Central::new(Rule::Least)));
        world
    }

    pub fn sector(&mut self, quadrant: Quadrant) {
        let sector = Sector::new(quadrant, Rule::Least);
        self.add(&format!("setor-{quadrant}"), Actor::Sector(sector));
    }

    pub fn add(&mut self, name: &str, actor: Actor) {
        let player = Player { actor, is_connected: false, filters: BTreeSet::new() };
        self.players.insert(name.to_owned(), player);
        self.connect(name);
    }

    pub fn vehicle_of(&self, name: &str) -> Option<&Vehicle> {
        match &self.players.get(name)?.actor {
            Actor::Vehicle(vehicle) => Some(vehicle),
            _ => None,
        }
    }

    fn connect(&mut self, name: &str) {
        let Some(player) = self.players.get_mut(name).filter(|_| self.is_up) else { return };
        player.is_connected = true;
        player.filters = player.actor.role().filters().into_iter().map(|pair| pair.0).collect();
        for filter in player.filters.clone() {
            self.give_retained(name, &filter);
        }
        self.handle(name, Event::Connected);
    }

    fn give_retained(&mut self, name: &str, filter: &str) {
        let fits = |topic: &&String| matches(filter, topic);
        let topics: Vec<String> = self.retained.keys().filter(fits).cloned().collect();
        for topic in topics {
            let payload = self.retained[&topic].clone();
            self.send(name.to_owned(), topic, payload, true, self.now);
        }
    }

    /// The connection breaks, and comes back at once if it can. The will is published.
    pub fn cut(&mut self, name: &str) {
        let Some(player) = self.players.get_mut(name).filter(|player| player.is_connected) else {
            return;
        };
        player.is_connected = false;
        let will = player.actor.role().will();
        self.handle(name, Event::Lost);
        self.under_way.retain(|_, message| message.0 != name);
        will.into_iter().for_each(|post| self.publish(&post));
    }

    pub fn reconnect(&mut self, name: &str) {
        if self.players.get(name).is_some_and(|player| !player.is_connected) {
            self.connect(name);
        }
    }

    /// As `kill -9` does.
    pub fn kill(&mut self, name: &str) {
        self.cut(name);
        self.players.remove(name);
    }

    /// As if somebody pulled the cable: no will yet.
    pub fn vanish(&mut self, name: &str) {
        self.players.remove(name);
    }

    /// The broker dies, and all that it kept.
    pub fn broker_dies(&mut self) {
        self.is_up = false;
        self.retained.clear();
        self.under_way.clear();
        let names: Vec<String> = self.players.keys().cloned().collect();
        for name in names {
            if std::mem::take(&mut self.players.get_mut(&name).unwrap().is_connected) {
                self.handle(&name, Event::Lost);
            }
        }
    }

    pub fn broker_returns(&mut self) {
        self.is_up = true;
        let names: Vec<String> = self.players.keys().cloned().collect();
        names.iter().for_each(|name| self.reconnect(name));
    }

    pub fn stop(&mut self, name: &str) {
        self.handle(name, Event::Stopped);
        self.players.remove(name);
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        loop {
            let mut due: Option<(Millis, String)> = None;
            for (name, player) in &mut self.players {
                if let Some(at) = player.actor.role().deadline()
                    && due.as_ref().is_none_or(|due| at < due.0)
                {
                    due = Some((at, name.clone()));
                }
            }
            let message = self.under_way.first_key_value().map(|(key, _)| *key);
            match (due, message) {
                (_, Some(key)) if key.0 <= end && self.is_first(key.0) => {
                    self.now = self.now.max(key.0);
                    let (name, topic, payload, is_retained) = self.under_way.remove(&key).unwrap();
                    let event = match Said::decode(&topic, &payload) {
                        Ok(said) => Event::Heard(Arc::new(said), is_retained),
                        Err(why) => Event::Bad(topic, why),
                    };
                    self.handle(&name, event);
                }
                (Some((at, name)), _) if at <= end => {
                    self.now = self.now.max(at);
                    self.handle(&name, Event::Due);
                    let next = self.players.get_mut(&name).unwrap().actor.role().deadline();
                    assert!(next.is_none_or(|next| next > self.now), "{name}: {next:?} is over");
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn is_first(&mut self, at: Millis) -> bool {
        let due = |player: &mut Player| player.actor.role().deadline();
        self.players.values_mut().all(|player| due(player).is_none_or(|due| at <= due))
    }

    pub fn hears(&mut self, name: &str, said: Said) {
        self.handle(name, Event::Heard(Arc::new(said), false));
    }

    fn handle(&mut self, name: &str, event: Event) {
        let Some(player) = self.players.get_mut(name) else { return };
        let effects = player.actor.role().handle(self.now, event);
        for effect in effects {
            let player = self.players.get_mut(name).unwrap();
            match effect {
                Effect::Subscribe(filter) => {
                    let is_new = player.filters.insert(filter.clone());
                    assert!(is_new, "{name} subscribes twice");
                    if player.is_connected {
                        self.give_retained(name, &filter);
                    }
                }
                Effect::Unsubscribe(filter) => {
                    assert!(player.filters.remove(&filter), "{name} was not subscribed");
                }
                Effect::Told(line) => self.told.push((self.now, name.to_owned(), line)),
                Effect::Done => {}
                Effect::Publish(post) => {
                    assert!(player.is_connected, "{name} publishes without a broker");
                    self.said.push((self.now, name.to_owned(), post.said.clone()));
                    self.publish(&post);
                }
            }
        }
        let player = self.players.get_mut(name).unwrap();
        let filters = player.actor.role().filters().into_iter().map(|pair| pair.0);
        let filters: BTreeSet<String> = filters.collect();
        if player.is_connected {
            assert_eq!(filters, player.filters, "subscriptions of {name}");
        }
        player.filters = filters;
    }

    pub fn publish(&mut self, post: &Post) {
        let (topic, payload) = (post.said.topic(), post.said.encode());
        if post.retain && payload.is_empty() {
            self.retained.remove(&topic);
        } else if post.retain {
            self.retained.insert(topic.clone(), payload.clone());
        }
        let takes = |player: &Player| {
            player.is_connected && player.filters.iter().any(|filter| matches(filter, &topic))
        };
        let takers = self.players.iter().filter(|(_, player)| takes(player));
        let takers: Vec<String> = takers.map(|(name, _)| name.clone()).collect();
        for name in takers {
            if self.dice.roll(100) < self.weather.lost {
                continue;
            }
            let copies = if self.dice.roll(100) < self.weather.twice { 2 } else { 1 };
            for _ in 0..copies {
                let delay = u64::from(self.dice.roll(self.weather.delay_ms_max + 1));
                let at = self.now.plus(1 + delay);
                self.send(name.clone(), topic.clone(), payload.clone(), false, at);
            }
        }
    }

    fn send(&mut self, to: String, topic: String, payload: Vec<u8>, old: bool, at: Millis) {
        self.sent += 1;
        self.under_way.insert((at, self.sent), (to, topic, payload, old));
    }
}

/// `+` is one level (MQTT 3.1.1, 4.7.1.3).
fn matches(filter: &str, topic: &str) -> bool {
    let (mut filters, mut topics) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), topics.next()) {
            (None, None) => return true,
            (Some(filter), Some(topic)) if filter == "+" || filter == topic => {}
            _ => return false,
        }
    }
}

/// The questions of all vehicles, and when they were asked.
pub fn asks(world: &World) -> Vec<(u64, Ask)> {
    let ask = |said: &Said| match said {
        Said::Ask(ask) => Some(ask.clone()),
        _ => None,
    };
    world.said.iter().filter_map(|(at, _, said)| Some((at.0, ask(said)?))).collect()
}
