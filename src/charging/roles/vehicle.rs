//! A vehicle: drives about, asks for a station when its battery is low, goes there, waits, is
//! charged, drives on.

use super::{Effect, Event, Line, Post, Role, Waited};
use crate::charging::limits::{
    ANSWER_MS_MAX, BATTERY_FULL, BATTERY_LOW, BEAT_MS, EXCEPT_MAX, SILENT_MS_MAX, STEP_MS,
};
use crate::charging::payload::{
    Answer, Ask, Heading, Offer, Outcome, Place, Position, Reason, Said, Stage,
};
use crate::charging::world::{At, Id, Trend};
use crate::net::clock::Millis;
use crate::net::dice::Dice;

/// What a vehicle is.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What it is called.
    pub id: Id,
    /// Where it begins.
    pub at: At,
    /// With how much.
    pub battery: f64,
    /// How fast.
    pub trend: Trend,
    /// The number of its last question. One that is started again under its old name must not use
    /// a number twice, so programs take it from the clock.
    pub last_request: u64,
    /// Decides where it wanders.
    pub dice: Dice,
}

/// A vehicle.
#[derive(Debug)]
pub struct Vehicle {
    setup: Setup,
    is_connected: bool,
    beat_at: Millis,
    /// Its next step; none while it stands.
    steps_at: Option<Millis>,
    phase: Phase,
    request: u64,
    /// When it found its battery low.
    low_at: Millis,
    /// Who refused it since then.
    except: Vec<Id>,
    is_stranded: bool,
    effects: Vec<Effect>,
}

#[derive(Debug)]
enum Phase {
    /// Goes where nothing in particular is.
    Wanders(At),
    /// Stands, and asks.
    Asks {
        attempt: u32,
        /// There is no station for it now: it asks anew.
        is_answered: bool,
        again_at: Millis,
    },
    /// Has chosen a station.
    Goes(Bid),
}

/// What it has of a station.
#[derive(Debug)]
struct Bid {
    offer: Offer,
    stage: Stage,
    is_granted: bool,
    is_charging: bool,
    arrived_at: Millis,
    heard_at: Millis,
    again_at: Millis,
}

impl Vehicle {
    /// A vehicle that sets out now.
    pub fn new(mut setup: Setup, now: Millis) -> Vehicle {
        let goal = setup.at.nearby(&mut setup.dice);
        Vehicle {
            is_connected: false,
            beat_at: now,
            steps_at: Some(now.plus(STEP_MS)),
            phase: Phase::Wanders(goal),
            request: setup.last_request,
            low_at: now,
            except: Vec::new(),
            is_stranded: false,
            effects: Vec::new(),
            setup,
        }
    }

    /// What it is called.
    pub fn id(&self) -> &Id {
        &self.setup.id
    }

    /// What is left, of 100.
    pub fn battery(&self) -> f64 {
        self.setup.battery
    }

    /// Whether it was told that no station is near enough.
    pub fn is_stranded(&self) -> bool {
        self.is_stranded
    }

    /// Since when it has been in need of a station.
    pub fn needs_since(&self) -> Option<Millis> {
        match &self.phase {
            Phase::Wanders(_) => None,
            Phase::Goes(bid) if bid.is_charging => None,
            Phase::Asks { .. } | Phase::Goes(_) => Some(self.low_at),
        }
    }

    fn step(&mut self, now: Millis) {
        self.steps_at = None;
        let stride = self.setup.trend.stride();
        let goal = match &mut self.phase {
            Phase::Wanders(goal) => {
                if self.setup.at == *goal {
                    *goal = self.setup.at.nearby(&mut self.setup.dice);
                }
                *goal
            }
            Phase::Goes(bid) => bid.offer.at,
            Phase::Asks { .. } => return,
        };
        // The last step may be a short one.
        let share = (self.setup.at.distance(goal) / stride).min(1.0);
        self.setup.at = self.setup.at.towards(goal, stride);
        self.setup.battery = (self.setup.battery - self.setup.trend.discharge() * share).max(0.0);
        match &mut self.phase {
            Phase::Goes(bid) if self.setup.at == bid.offer.at => {
                (bid.stage, bid.arrived_at) = (Stage::Arrived, now);
                let station = bid.offer.station.clone();
                self.tell(Line::Arrives(station));
                self.head(now, Said::Present);
            }
            Phase::Wanders(_) if self.setup.battery <= BATTERY_LOW => {
                self.low_at = now;
                self.except.clear();
                self.ask(now);
            }
            // Sent further than it gets: the station will give its place to somebody else.
            Phase::Goes(_) if self.setup.battery <= 0.0 => self.strand(),
            _ => self.steps_at = Some(now.plus(STEP_MS)),
        }
    }

    fn strand(&mut self) {
        self.is_stranded = true;
        self.tell(Line::Nowhere(Reason::OutOfReach));
    }

    /// Asks a question that it has not asked before.
    fn ask(&mut self, now: Millis) {
        self.steps_at = None;
        self.request += 1;
        self.tell(Line::Asks(self.setup.battery));
        self.phase = Phase::Asks { attempt: 0, is_answered: false, again_at: now };
        self.repeat(now);
    }

    fn repeat(&mut self, now: Millis) {
        let Phase::Asks { attempt, again_at, .. } = &mut self.phase else { return };
        *attempt += 1;
        *again_at = now.plus(ANSWER_MS_MAX);
        let ask = Ask {
            vehicle: self.setup.id.clone(),
            at: self.setup.at,
            battery: self.setup.battery,
            trend: self.setup.trend,
            request: self.request,
            attempt: *attempt,
            except: self.except.clone(),
        };
        self.publish(Post::once(Said::Ask(ask)));
    }

    fn answered(&mut self, now: Millis, answer: &Answer) {
        let Phase::Asks { is_answered, again_at, .. } = &mut self.phase else { return };
        // The first answer counts; there may be two.
        if answer.request != self.request || *is_answered {
            return;
        }
        match &answer.offer {
            Ok(offer) => self.choose(now, offer.clone()),
            Err(reason) => {
                (*is_answered, *again_at) = (true, now.plus(ANSWER_MS_MAX));
                // Who refused it may have a place by then.
                self.except.clear();
                match reason {
                    Reason::OutOfReach if !self.is_stranded => self.strand(),
                    Reason::OutOfReach => {}
                    _ => self.tell(Line::Nowhere(*reason)),
                }
            }
        }
    }

    fn choose(&mut self, now: Millis, offer: Offer) {
        let filter = vaga(&offer.station);
        self.effects.push(Effect::Subscribe(filter));
        self.phase = Phase::Goes(Bid {
            offer,
            stage: Stage::Going,
            is_granted: false,
            is_charging: false,
            arrived_at: now,
            heard_at: now,
            again_at: now,
        });
        self.head(now, Said::Heading);
    }

    /// Says where it goes and how far it is: to all stations, or to that one.
    fn head(&mut self, now: Millis, say: fn(Heading) -> Said) {
        let Phase::Goes(bid) = &mut self.phase else { return };
        bid.again_at = now.plus(BEAT_MS);
        let heading = Heading {
            vehicle: self.setup.id.clone(),
            station: bid.offer.station.clone(),
            request: self.request,
            stage: bid.stage,
            minutes: self.setup.trend.minutes(self.setup.at.distance(bid.offer.at)),
        };
        self.publish(Post::once(say(heading)));
    }

    fn placed(&mut self, now: Millis, place: &Place) {
        let Phase::Goes(bid) = &mut self.phase else { return };
        if place.request != self.request || place.station != bid.offer.station {
            return;
        }
        bid.heard_at = now;
        match place.outcome {
            Outcome::Full | Outcome::Lapsed => self.refused(now, Some(place.outcome)),
            Outcome::Granted if bid.is_granted => {}
            Outcome::Granted => {
                bid.is_granted = true;
                let Offer { station, distance, minutes, .. } = bid.offer.clone();
                self.is_stranded = false;
                self.except.clear();
                self.steps_at = Some(now.plus(STEP_MS));
                self.tell(Line::Goes(station, distance, minutes));
            }
            Outcome::Charging => self.plug(now),
            Outcome::Charged => {
                self.plug(now);
                self.setup.battery = BATTERY_FULL;
                if let Some(station) = self.leave() {
                    self.tell(Line::Charged(station));
                }
                self.phase = Phase::Wanders(self.setup.at.nearby(&mut self.setup.dice));
                self.steps_at = Some(now.plus(STEP_MS));
            }
        }
    }

    fn plug(&mut self, now: Millis) {
        let Phase::Goes(bid) = &mut self.phase else { return };
        if !std::mem::replace(&mut bid.is_charging, true) {
            let ms = |since: Millis| since.until(now).as_millis() as u64;
            let waited = Waited { asked_ms: ms(self.low_at), queued_ms: ms(bid.arrived_at) };
            self.tell(Line::Plugs(waited));
        }
    }

    /// It has no place; it asks for the next best.
    fn refused(&mut self, now: Millis, outcome: Option<Outcome>) {
        let Some(station) = self.leave() else { return };
        self.tell(Line::Refused(station.clone(), outcome));
        if outcome != Some(Outcome::Lapsed) {
            self.except.push(station);
        }
        if self.except.len() < EXCEPT_MAX {
            return self.ask(now);
        }
        // So many want the same few places that asking faster helps nobody.
        self.except.clear();
        self.steps_at = None;
        self.phase =
            Phase::Asks { attempt: 0, is_answered: true, again_at: now.plus(ANSWER_MS_MAX) };
    }

    /// Hears no more of the station.
    fn leave(&mut self) -> Option<Id> {
        let Phase::Goes(bid) = &self.phase else { return None };
        let station = bid.offer.station.clone();
        self.effects.push(Effect::Unsubscribe(vaga(&station)));
        Some(station)
    }

    fn due(&mut self, now: Millis) {
        while let Some(at) = self.steps_at.filter(|at| now >= *at) {
            self.step(at);
        }
        if self.is_connected && now >= self.beat_at {
            self.beat_at = now.plus(BEAT_MS);
            let (vehicle, at) = (self.setup.id.clone(), self.setup.at.rounded());
            let position = Position { vehicle, at, trend: self.setup.trend };
            self.effects.push(Post::often(Said::Position(position)));
        }
        match &self.phase {
            _ if !self.is_connected => {}
            Phase::Asks { is_answered: true, again_at, .. } if now >= *again_at => self.ask(now),
            Phase::Asks { again_at, .. } if now >= *again_at => self.repeat(now),
            Phase::Goes(bid) if now >= bid.heard_at.plus(SILENT_MS_MAX) => self.refused(now, None),
            Phase::Goes(bid) if now >= bid.again_at => self.head(now, Said::Present),
            _ => {}
        }
    }

    fn connected(&mut self, now: Millis) {
        self.is_connected = true;
        self.beat_at = now;
        match &mut self.phase {
            Phase::Wanders(_) => {}
            Phase::Asks { again_at, .. } => *again_at = now,
            // What the station said meanwhile is lost, and it could not hear us.
            Phase::Goes(bid) => (bid.heard_at, bid.again_at) = (now, now),
        }
    }

    fn stop(&mut self) {
        if let Phase::Goes(bid) = &mut self.phase {
            bid.stage = Stage::Left;
            self.head(Millis(0), Said::Present);
        }
        self.effects.push(Effect::Done);
    }

    fn tell(&mut self, line: Line) {
        self.effects.push(Effect::Told(line));
    }

    fn publish(&mut self, post: Effect) {
        if self.is_connected {
            self.effects.push(post);
        }
    }
}

impl Role for Vehicle {
    fn filters(&self) -> Vec<(String, u8)> {
        let mut filters = vec![(format!("veiculo/{}/posto", self.setup.id), 1)];
        if let Phase::Goes(bid) = &self.phase {
            filters.push((vaga(&bid.offer.station), 1));
        }
        filters
    }

    fn will(&self) -> Option<Post> {
        None
    }

    fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Connected => self.connected(now),
            Event::Lost => self.is_connected = false,
            Event::Heard(said, _) => match &*said {
                Said::Answer(answer) if answer.vehicle == self.setup.id => {
                    self.answered(now, answer);
                }
                Said::Place(place) if place.vehicle == self.setup.id => self.placed(now, place),
                _ => {}
            },
            Event::Bad(topic, why) => self.tell(Line::Dropped(topic, why)),
            Event::Due => {}
            Event::Stopped => {
                self.stop();
                return std::mem::take(&mut self.effects);
            }
        }
        self.due(now);
        std::mem::take(&mut self.effects)
    }

    fn deadline(&self) -> Option<Millis> {
        let spoken = match &self.phase {
            Phase::Wanders(_) => None,
            Phase::Asks { again_at, .. } => Some(*again_at),
            Phase::Goes(bid) => Some(bid.again_at.min(bid.heard_at.plus(SILENT_MS_MAX))),
        };
        let connected = spoken.into_iter().chain([self.beat_at]).filter(|_| self.is_connected);
        connected.chain(self.steps_at).min()
    }
}

fn vaga(station: &Id) -> String {
    format!("posto/{station}/vaga")
}
