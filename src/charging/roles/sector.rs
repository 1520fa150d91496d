//! A sector server: answers the vehicles of its quadrant, and those of a neighbour that is gone.

use super::atlas::Atlas;
use super::choice::Rule;
use super::{Effect, Event, Line, Post, Role};
use crate::charging::limits::SETTLE_MS;
use crate::charging::payload::{Answer, Ask, Said, Sector as Presence};
use crate::charging::world::Quadrant;
use crate::net::clock::Millis;

/// Which sector servers are there.
#[derive(Debug, Default)]
pub struct Sectors([bool; 4]);

impl Sectors {
    /// One comes or goes.
    pub fn hear(&mut self, presence: Presence) {
        self.0[presence.quadrant.index()] = presence.is_online;
    }

    /// Who answers the vehicles of a quadrant: its own server, or the first one clockwise that is
    /// there. None while no server is.
    pub fn answers_for(&self, quadrant: Quadrant) -> Option<Quadrant> {
        quadrant.clockwise().find(|quadrant| self.0[quadrant.index()])
    }

    /// Whether one is there.
    pub fn has(&self, quadrant: Quadrant) -> bool {
        self.0[quadrant.index()]
    }

    /// Nothing is known of any.
    pub fn forget(&mut self) {
        self.0 = [false; 4];
    }
}

/// A sector server.
#[derive(Debug)]
pub struct Sector {
    quadrant: Quadrant,
    rule: Rule,
    atlas: Atlas,
    sectors: Sectors,
    is_connected: bool,
    /// When it has listened long enough; none once it has said that it is there.
    ready_at: Option<Millis>,
    effects: Vec<Effect>,
}

impl Sector {
    /// A server that knows nothing yet.
    pub fn new(quadrant: Quadrant, rule: Rule) -> Sector {
        Sector {
            quadrant,
            rule,
            atlas: Atlas::default(),
            sectors: Sectors::default(),
            is_connected: false,
            ready_at: None,
            effects: Vec::new(),
        }
    }

    fn heard(&mut self, now: Millis, said: &Said) {
        match said {
            Said::Station(state) => self.atlas.hear_state(now, state),
            Said::Queue(queue) => self.atlas.hear_queue(now, queue),
            Said::Sector(presence) if presence.quadrant == self.quadrant => self.deny(*presence),
            Said::Sector(presence) => self.sectors.hear(*presence),
            Said::Ask(ask) => self.asked(now, ask),
            _ => {}
        }
    }

    /// The will of a connection that we had before may come after we are back.
    fn deny(&mut self, presence: Presence) {
        if !presence.is_online && self.sectors.has(self.quadrant) {
            self.say(true);
        }
    }

    fn asked(&mut self, now: Millis, ask: &Ask) {
        let quadrant = ask.at.quadrant();
        if !self.is_connected || self.sectors.answers_for(quadrant) != Some(self.quadrant) {
            return;
        }
        // Central knows why there is none; we know only a part.
        match self.atlas.choose(self.rule, now, ask, Some(quadrant)) {
            Ok(offer) => {
                let (vehicle, request) = (ask.vehicle.clone(), ask.request);
                let line = Line::Sends(vehicle.clone(), offer.station.clone(), offer.minutes);
                let answer = Answer { vehicle, request, offer: Ok(offer) };
                self.effects.push(Effect::Told(line));
                self.effects.push(Post::once(Said::Answer(answer)));
            }
            Err(_) => {
                self.effects.push(Effect::Told(Line::Passes(ask.vehicle.clone())));
                self.effects.push(Post::once(Said::Passed(ask.clone())));
            }
        }
    }

    fn say(&mut self, is_online: bool) {
        let presence = Presence { quadrant: self.quadrant, is_online };
        self.effects.push(Post::kept(Said::Sector(presence)));
    }
}

impl Role for Sector {
    fn filters(&self) -> Vec<(String, u8)> {
        let filters = [("posto/+", 1), ("fila/posto", 0), ("setor/+", 1), ("veiculo/+/pedido", 1)];
        filters.map(|(filter, qos)| (filter.to_owned(), qos)).to_vec()
    }

    fn will(&self) -> Option<Post> {
        let gone = Presence { quadrant: self.quadrant, is_online: false };
        Some(Post { said: Said::Sector(gone), retain: true, qos: 1 })
    }

    fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Connected => {
                self.is_connected = true;
                self.ready_at = Some(now.plus(SETTLE_MS));
                self.sectors.forget();
            }
            Event::Lost => (self.is_connected, self.ready_at) = (false, None),
            Event::Heard(said, _) => self.heard(now, &said),
            Event::Bad(topic, why) => self.effects.push(Effect::Told(Line::Dropped(topic, why))),
            Event::Due => {}
            Event::Stopped => {
                if self.is_connected {
                    self.say(false);
                }
                self.effects.push(Effect::Done);
                return std::mem::take(&mut self.effects);
            }
        }
        if self.ready_at.is_some_and(|at| now >= at) {
            self.ready_at = None;
            self.sectors.hear(Presence { quadrant: self.quadrant, is_online: true });
            self.effects.push(Effect::Told(Line::Ready));
            self.say(true);
        }
        std::mem::take(&mut self.effects)
    }

    fn deadline(&self) -> Option<Millis> {
        self.ready_at
    }
}
