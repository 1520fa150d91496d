//! The roles over a broker, each with a connection of its own but for vehicles, which share some.

use super::Plan;
use super::figures::Figures;
use crate::charging::broker::server::{self as broker, Broker};
use crate::charging::broker::state::Room;
use crate::charging::client::session::Identity;
use crate::charging::client::{self, Config, Told};
use crate::charging::limits::{
    FLEET_VEHICLES_MAX, IN_FLIGHT_MAX, LEVELS_MAX, PACKET_BYTES_MAX, QUEUED_MAX, REPORTS_MAX,
};
use crate::charging::roles::central::Central;
use crate::charging::roles::choice::Rule;
use crate::charging::roles::fleet::{Fleet, Need};
use crate::charging::roles::sector::Sector;
use crate::charging::roles::station::Station;
use crate::charging::roles::vehicle::Vehicle;
use crate::charging::roles::{Line, Role};
use crate::charging::world::Quadrant;
use crate::net::capacity;
use crate::net::clock::{Clock, Millis};
use crate::net::failure::Failure;
use crate::net::stop::{Stop, stop_pair};
use crate::net::threads;
use crate::net::trace::Trace;
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use std::net::SocketAddr;
use std::thread::{self, Scope};

/// What is around it.
#[derive(Debug, Clone)]
pub struct Around {
    /// Where the broker is.
    pub broker: Vec<SocketAddr>,
    /// User name and password at the broker.
    pub login: Option<(String, Vec<u8>)>,
    /// What happens.
    pub trace: Trace,
    /// The time of all.
    pub clock: Clock,
}

/// What those who take part tell.
enum Report {
    /// A vehicle says something, and how its fleet is.
    Fleet(usize, Line, Need),
    /// There is no broker, and why.
    Lost(String),
    /// Somebody cannot go on.
    Failed(Failure),
}

/// Our own broker, with room for all who take part, and for some guests.
pub fn own_broker(plan: &Plan, trace: &Trace, clock: Clock) -> Result<Broker, Failure> {
    let connections = connections(plan);
    // Both ends of each connection are here.
    capacity::check(2 * connections, 2).map_err(|why| Failure {
        what: format!("cannot make {connections} connections; --fast needs none"),
        why,
    })?;
    Broker::bind(broker::Config {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        connections_max: 2 * connections,
        packet_bytes_max: PACKET_BYTES_MAX,
        levels_max: LEVELS_MAX,
        room: Room { in_flight_max: IN_FLIGHT_MAX, queued_max: QUEUED_MAX },
        users: None,
        denied: Vec::new(),
        trace: trace.clone(),
        clock,
    })
}

/// For who watches: the name of its connection is its own.
pub fn watcher(around: &Around) -> Config {
    let Around { broker, login, trace, clock } = around.clone();
    Config { broker, identity: Identity { client: "malha-map".to_owned(), login }, trace, clock }
}

/// How many connections a plan makes, a page's included.
fn connections(plan: &Plan) -> usize {
    let servers = Quadrant::ALL.len() + 2;
    servers + plan.stations + plan.vehicles.div_ceil(FLEET_VEHICLES_MAX)
}

/// Plays a plan until its end or until stop is asked for. `second` is called after each second,
/// `lost` when there is no broker.
pub fn run(
    plan: &Plan,
    around: &Around,
    stop: &Stop,
    second: &dyn Fn(),
    lost: &dyn Fn(&str),
) -> Result<Figures, Failure> {
    let (over, is_over) = stop_pair();
    let (reports_in, reports) = bounded(REPORTS_MAX);
    let start = around.clock.now();
    thread::scope(|scope| {
        let mut figures = Figures::default();
        let cast = Cast { scope, around, stop: &is_over, reports: reports_in };
        cast.start(plan, start)?;
        let mut audience = Audience { figures: &mut figures, needs: Vec::new(), lost };
        let ended = audience.watch(plan, around, stop, &reports, second);
        // They say goodbye, and we go on listening until the last of them is gone.
        drop(over);
        reports.iter().for_each(|report| drop(audience.take(report)));
        let need = audience.needs.into_iter().fold(Need::default(), Need::plus);
        (figures.waiting, figures.stranded) = (need.waiting, need.stranded);
        ended.map(|()| figures)
    })
}

/// Those who take part.
struct Cast<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    around: &'env Around,
    stop: &'env Stop,
    reports: Sender<Report>,
}

impl Cast<'_, '_> {
    /// Consumed, so that there are as many senders as there are players.
    fn start(self, plan: &Plan, now: Millis) -> Result<(), Failure> {
        for quadrant in Quadrant::ALL {
            let sector = Sector::new(quadrant, Rule::Least);
            self.play(&format!("setor-{quadrant}"), sector, |_, _| None)?;
        }
        self.play("central", Central::new(Rule::Least), |_, _| None)?;
        for (number, setup) in plan.stations().enumerate() {
            self.play(&format!("posto-{number}"), Station::new(setup), |_, _| None)?;
        }
        let vehicles: Vec<_> = plan.vehicles().collect();
        for (number, setups) in vehicles.chunks(FLEET_VEHICLES_MAX).enumerate() {
            let vehicles = setups.iter().map(|setup| Vehicle::new(setup.clone(), now)).collect();
            let hear = move |line, fleet: &Fleet| Some(Report::Fleet(number, line, fleet.need()));
            self.play(&format!("frota-{number}"), Fleet::new(vehicles), hear)?;
        }
        Ok(())
    }

    /// Plays one role on a thread of its own, and reports what is worth it of what it says.
    fn play<R: Role + Send + 'static>(
        &self,
        name: &str,
        role: R,
        hear: impl Fn(Line, &R) -> Option<Report> + Send + 'static,
    ) -> Result<(), Failure> {
        let Around { broker, login, trace, clock } = self.around.clone();
        let client = format!("malha-sim-{name}");
        let config = Config { broker, identity: Identity { client, login }, trace, clock };
        let (reports, stop) = (self.reports.clone(), self.stop.clone());
        let is_first = name == "central";
        let play = move || {
            // Whoever listens does so until we are gone.
            let report = |report| drop(reports.send(report));
            let tell = |told: Told, role: &R| match told {
                Told::Said(line) => hear(line, role).into_iter().for_each(report),
                // All say the same, so one of them is enough.
                Told::Lost(why, _) if is_first => report(Report::Lost(why)),
                Told::Joined | Told::Lost(..) => {}
            };
            if let Err(failure) = client::run(&config, role, &tell, &stop) {
                report(Report::Failed(failure));
            }
        };
        let failed = Failure::from_io(format!("cannot play {name}"));
        threads::spawn(self.scope, format!("p-{name}").chars().take(15).collect(), play)
            .map_err(failed)
    }
}

/// Who listens to the vehicles.
struct Audience<'a> {
    figures: &'a mut Figures,
    needs: Vec<Need>,
    lost: &'a dyn Fn(&str),
}

impl Audience<'_> {
    /// Until the end.
    fn watch(
        &mut self,
        plan: &Plan,
        around: &Around,
        stop: &Stop,
        reports: &Receiver<Report>,
        second: &dyn Fn(),
    ) -> Result<(), Failure> {
        let start = around.clock.now();
        for number in 1..=plan.seconds {
            let end = start.plus(number * 1_000);
            loop {
                let left = around.clock.now().until(end);
                if left.is_zero() {
                    break;
                }
                select_biased! {
                    recv(stop.channel()) -> _ => return Ok(()),
                    recv(reports) -> report => match report {
                        Ok(report) => self.take(report)?,
                        Err(_) => return Ok(()),
                    },
                    default(left) => {}
                }
            }
            second();
        }
        Ok(())
    }

    fn take(&mut self, report: Report) -> Result<(), Failure> {
        match report {
            Report::Fleet(number, line, need) => {
                self.figures.hear(&line);
                if self.needs.len() <= number {
                    self.needs.resize(number + 1, Need::default());
                }
                self.needs[number] = need;
            }
            Report::Lost(why) => (self.lost)(&why),
            Report::Failed(failure) => return Err(failure),
        }
        Ok(())
    }
}
