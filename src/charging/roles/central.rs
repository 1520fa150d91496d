//! The central server: answers what sector servers pass on, and everything while there is none;
//! keeps `menor/fila`.

use super::atlas::Atlas;
use super::choice::Rule;
use super::sector::Sectors;
use super::{Effect, Event, Line, Post, Role};
use crate::charging::limits::{ATTEMPT_FOR_ALL, SETTLE_MS};
use crate::charging::payload::{Answer, Ask, Said};
use crate::charging::world::Id;
use crate::net::clock::Millis;

/// The central server.
#[derive(Debug)]
pub struct Central {
    rule: Rule,
    atlas: Atlas,
    sectors: Sectors,
    phase: Phase,
    /// What `menor/fila` says.
    shortest: Option<Shortest>,
    effects: Vec<Effect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Away,
    /// Hears what is retained before it says anything.
    Listens {
        until: Millis,
    },
    Answers,
}

#[derive(Debug, Clone, PartialEq)]
struct Shortest {
    station: Id,
    queue: u32,
    silent_at: Millis,
}

impl Central {
    /// A server that knows nothing yet.
    pub fn new(rule: Rule) -> Central {
        Central {
            rule,
            atlas: Atlas::default(),
            sectors: Sectors::default(),
            phase: Phase::Away,
            shortest: None,
            effects: Vec::new(),
        }
    }

    fn heard(&mut self, now: Millis, said: &Said) {
        match said {
            Said::Station(state) => {
                self.atlas.hear_state(now, state);
                self.compare(now, &state.station, state.queue);
            }
            Said::Queue(queue) => {
                self.atlas.hear_queue(now, queue);
                self.compare(now, &queue.station, queue.queue);
            }
            Said::Sector(presence) => self.sectors.hear(*presence),
            Said::Passed(ask) => self.answer(now, ask),
            Said::Ask(ask) => {
                let has_nobody = self.sectors.answers_for(ask.at.quadrant()).is_none();
                if has_nobody || ask.attempt >= ATTEMPT_FOR_ALL {
                    self.answer(now, ask);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, now: Millis, ask: &Ask) {
        if self.phase != Phase::Answers {
            return;
        }
        let offer = self.atlas.choose(self.rule, now, ask, None);
        let (vehicle, request) = (ask.vehicle.clone(), ask.request);
        self.effects.push(Effect::Told(match &offer {
            Ok(offer) => Line::Sends(vehicle.clone(), offer.station.clone(), offer.minutes),
            Err(reason) => Line::SendsNowhere(vehicle.clone(), *reason),
        }));
        self.effects.push(Post::once(Said::Answer(Answer { vehicle, request, offer })));
    }

    /// Looks at all stations only if this one may have changed which queue is the shortest.
    fn compare(&mut self, now: Millis, station: &Id, queue: u32) {
        let may_change = match &self.shortest {
            Some(shortest) => shortest.station == *station || queue < shortest.queue,
            None => true,
        };
        if may_change && self.phase == Phase::Answers {
            self.find_shortest(now);
        }
    }

    fn find_shortest(&mut self, now: Millis) {
        let before = self.shortest.take().map(|shortest| shortest.station);
        self.shortest = self.atlas.shortest(now, before.as_ref()).map(|known| Shortest {
            station: known.station.clone(),
            queue: known.queue,
            silent_at: known.silent_at(),
        });
        if self.shortest.as_ref().map(|shortest| &shortest.station) != before.as_ref() {
            self.say();
        }
    }

    fn say(&mut self) {
        let station = self.shortest.as_ref().map(|shortest| shortest.station.clone());
        self.effects.push(Effect::Told(Line::Shortest(station.clone())));
        self.effects.push(Post::kept(Said::Shortest(station)));
    }

    fn due(&mut self, now: Millis) {
        match self.phase {
            Phase::Listens { until } if now >= until => {
                self.phase = Phase::Answers;
                self.effects.push(Effect::Told(Line::Ready));
                self.find_shortest(now);
                if self.shortest.is_none() {
                    // What another one left behind is no longer so.
                    self.say();
                }
            }
            Phase::Answers if self.silent_at().is_some_and(|at| now >= at) => {
                self.find_shortest(now);
            }
            _ => {}
        }
    }

    fn silent_at(&self) -> Option<Millis> {
        self.shortest.as_ref().map(|shortest| shortest.silent_at)
    }
}

impl Role for Central {
    fn filters(&self) -> Vec<(String, u8)> {
        let filters = [
            ("posto/+", 1),
            ("fila/posto", 0),
            ("setor/+", 1),
            ("veiculo/+/pedido", 1),
            ("central/pedido", 1),
        ];
        filters.map(|(filter, qos)| (filter.to_owned(), qos)).to_vec()
    }

    fn will(&self) -> Option<Post> {
        None
    }

    fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Connected => {
                self.phase = Phase::Listens { until: now.plus(SETTLE_MS) };
                self.sectors.forget();
                // It is said again, once we are sure.
                self.shortest = None;
            }
            Event::Lost => self.phase = Phase::Away,
            Event::Heard(said, _) => self.heard(now, &said),
            Event::Bad(topic, why) => self.effects.push(Effect::Told(Line::Dropped(topic, why))),
            Event::Due => {}
            Event::Stopped => {
                self.effects.push(Effect::Done);
                return std::mem::take(&mut self.effects);
            }
        }
        self.due(now);
        std::mem::take(&mut self.effects)
    }

    fn deadline(&self) -> Option<Millis> {
        match self.phase {
            Phase::Away => None,
            Phase::Listens { until } => Some(until),
            Phase::Answers => self.silent_at(),
        }
    }
}
