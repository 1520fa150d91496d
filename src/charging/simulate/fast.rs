//! The roles on a simulated clock. What they say goes from one to the other in memory, to those who
//! would be subscribed to it, in an order that is always the same.

use super::Plan;
use super::agenda::Agenda;
use super::figures::{Columns, Figures, LEAST};
use crate::charging::limits::{BEAT_MS, SIMULATED_MS};
use crate::charging::payload::Said;
use crate::charging::roles::central::Central;
use crate::charging::roles::choice::Rule;
use crate::charging::roles::fleet::Need;
use crate::charging::roles::sector::Sector;
use crate::charging::roles::station::Station;
use crate::charging::roles::vehicle::Vehicle;
use crate::charging::roles::{Effect, Event, Role};
use crate::charging::world::{Id, Quadrant};
use crate::net::clock::Millis;
use crate::net::stop::Stop;
use crate::net::threads;
use crossbeam_channel::bounded;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;

/// Somebody: a sector server, central, a station or a vehicle, in this order.
type Who = usize;

const CENTRAL: Who = 4;
const STATIONS: Who = 5;

/// What is compared, and what it is called.
pub const RULES: [(&str, Rule); 3] =
    [(LEAST, Rule::Least), ("nearest", Rule::Nearest), ("shortest queue", Rule::Shortest)];

/// Runs a plan by all three rules at the same time. None if stop was asked for. `second` is called
/// after each second of each of them.
pub fn compare(
    plan: &Plan,
    stop: &Stop,
    second: &(dyn Fn() + Sync),
) -> io::Result<Option<Columns>> {
    let (figures_in, figures) = bounded(RULES.len());
    thread::scope(|scope| -> io::Result<()> {
        for (number, (_, rule)) in RULES.into_iter().enumerate() {
            let figures_in = figures_in.clone();
            threads::spawn(scope, format!("rule-{number}"), move || {
                // There is room for all of them.
                let _ = figures_in.send((number, run(plan, rule, stop, second)));
            })?;
        }
        Ok(())
    })?;
    let mut columns: Vec<_> = figures.try_iter().collect();
    columns.sort_by_key(|(number, _)| *number);
    let named = |(number, figures): (usize, Option<Figures>)| Some((RULES[number].0, figures?));
    let columns: Option<Vec<_>> = columns.into_iter().map(named).collect();
    Ok(columns.filter(|columns| columns.len() == RULES.len()))
}

/// Runs a plan by a rule. None if stop was asked for. `second` is called after each.
pub fn run(plan: &Plan, rule: Rule, stop: &Stop, second: &dyn Fn()) -> Option<Figures> {
    let mut engine = Engine::new(plan, rule);
    for number in 1..=plan.seconds {
        engine.run_until(Millis(number * 1_000));
        if stop.is_asked() {
            return None;
        }
        second();
    }
    Some(engine.finish())
}

struct Engine {
    now: Millis,
    agenda: Agenda<Task>,
    sectors: [Sector; 4],
    central: Central,
    stations: Vec<Station>,
    vehicles: Vec<Vehicle>,
    /// When each of them is to be told that it is due.
    due: Vec<Option<Millis>>,
    names: HashMap<Id, Who>,
    /// Which station each vehicle has named last.
    named: HashMap<Who, Who>,
    figures: Figures,
}

enum Task {
    Connect(Who),
    Due(Who),
    Deliver(Arc<Said>),
}

impl Engine {
    fn new(plan: &Plan, rule: Rule) -> Engine {
        let (mut stations, mut vehicles) = (Vec::new(), Vec::new());
        let mut names = HashMap::new();
        for setup in plan.stations() {
            names.insert(setup.id.clone(), STATIONS + stations.len());
            stations.push(Station::new(setup));
        }
        for (number, setup) in plan.vehicles().enumerate() {
            names.insert(setup.id.clone(), STATIONS + stations.len() + number);
            vehicles.push(Vehicle::new(setup, spread(number)));
        }
        let all = STATIONS + stations.len() + vehicles.len();
        let mut engine = Engine {
            now: Millis(0),
            agenda: Agenda::new(),
            sectors: Quadrant::ALL.map(|quadrant| Sector::new(quadrant, rule)),
            central: Central::new(rule),
            stations,
            vehicles,
            due: vec![None; all],
            names,
            named: HashMap::new(),
            figures: Figures::default(),
        };
        (0..STATIONS).for_each(|who| engine.agenda.add(Millis(0), Task::Connect(who)));
        // They do not all say how they are in the same millisecond.
        let first_vehicle = STATIONS + engine.stations.len();
        (STATIONS..first_vehicle)
            .for_each(|who| engine.agenda.add(spread(who - STATIONS), Task::Connect(who)));
        (first_vehicle..all)
            .for_each(|who| engine.agenda.add(spread(who - first_vehicle), Task::Connect(who)));
        engine
    }

    fn run_until(&mut self, end: Millis) {
        while let Some((now, task)) = self.agenda.next(end) {
            self.now = now;
            match task {
                Task::Connect(who) => self.handle(who, Event::Connected),
                // One that has been put off has another entry.
                Task::Due(who) if self.due[who] == Some(now) => self.handle(who, Event::Due),
                Task::Due(_) => {}
                Task::Deliver(said) => self.deliver(said),
            }
        }
    }

    fn handle(&mut self, who: Who, event: Event) {
        let first_vehicle = STATIONS + self.stations.len();
        let role: &mut dyn Role = match who {
            0..CENTRAL => &mut self.sectors[who],
            CENTRAL => &mut self.central,
            _ if who < first_vehicle => &mut self.stations[who - STATIONS],
            _ => &mut self.vehicles[who - first_vehicle],
        };
        let effects = role.handle(self.now, event);
        let due = role.deadline();
        if due != self.due[who] {
            self.due[who] = due;
            if let Some(at) = due {
                self.agenda.add(at, Task::Due(who));
            }
        }
        for effect in effects {
            match effect {
                Effect::Publish(post) => self.publish(post.said),
                Effect::Told(line) if who >= first_vehicle => self.figures.hear(&line),
                Effect::Told(_) | Effect::Subscribe(_) | Effect::Unsubscribe(_) | Effect::Done => {}
            }
        }
    }

    fn publish(&mut self, said: Said) {
        // Nobody here listens to these.
        if !matches!(said, Said::Position(_) | Said::Shortest(_)) {
            self.agenda.add(self.now.plus(SIMULATED_MS), Task::Deliver(Arc::new(said)));
        }
    }

    /// To those who would be subscribed to its topic and would not pass over it.
    fn deliver(&mut self, said: Arc<Said>) {
        match &*said {
            Said::Queue(_) | Said::Station(_) | Said::Sector(_) | Said::Ask(_) => {
                (0..=CENTRAL).for_each(|who| self.hear(who, &said));
            }
            Said::Passed(_) => self.hear(CENTRAL, &said),
            Said::Present(heading) => self.hear_named(&heading.station, &said),
            Said::Answer(answer) => self.hear_named(&answer.vehicle, &said),
            Said::Place(place) => self.hear_named(&place.vehicle, &said),
            Said::Heading(heading) => {
                let find = |id: &Id| self.names.get(id).copied();
                let (Some(vehicle), Some(station)) =
                    (find(&heading.vehicle), find(&heading.station))
                else {
                    return;
                };
                let before = self.named.insert(vehicle, station);
                self.hear(station, &said);
                if let Some(before) = before.filter(|before| *before != station) {
                    self.hear(before, &said);
                }
            }
            Said::Position(_) | Said::Shortest(_) => {}
        }
    }

    fn hear_named(&mut self, id: &Id, said: &Arc<Said>) {
        if let Some(who) = self.names.get(id).copied() {
            self.hear(who, said);
        }
    }

    fn hear(&mut self, who: Who, said: &Arc<Said>) {
        self.handle(who, Event::Heard(Arc::clone(said), false));
    }

    fn finish(mut self) -> Figures {
        let Need { waiting, stranded } = Need::of(&self.vehicles);
        (self.figures.waiting, self.figures.stranded) = (waiting, stranded);
        self.figures
    }
}

/// When the one with this number begins.
fn spread(number: usize) -> Millis {
    Millis(number as u64 % BEAT_MS)
}
