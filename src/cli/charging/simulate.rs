//! The command line of the simulation.

use super::roles::login;
use crate::charging::broker::server::Broker;
use crate::charging::limits::{
    MINUTES_PER_CAR_MAX, MINUTES_PER_CAR_MIN, SIMULATED_SECONDS, SIMULATED_SECONDS_MAX,
    SIMULATED_STATIONS, SIMULATED_STATIONS_MAX, SIMULATED_VEHICLES, SIMULATED_VEHICLES_MAX,
};
use crate::charging::pages;
use crate::charging::simulate::figures::{Columns, Figures, table};
use crate::charging::simulate::live::{self, Around};
use crate::charging::simulate::{Plan, fast};
use crate::cli::{Common, DONE, Endpoint, Running, announce, listen, number, seed};
use crate::net::dial;
use crate::net::failure::Failure;
use crate::net::progress;
use crate::net::stop::stop_pair;
use crate::net::threads;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

/// Servers, stations and vehicles in one process, and how long the vehicles waited
///
/// A minute of theirs takes a quarter of a second. All that is left to chance is decided by the
/// seed; with --fast the same seed gives the same table, to the last digit.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    malha charging simulate\n  \
    malha charging simulate --web 127.0.0.1:8080 --seconds 3600\n  \
    malha charging simulate --fast\n  \
    malha charging simulate --fast --stations 1000 --vehicles 100000 --seconds 300\n\n\
    The last one takes half a minute, and as much more for each 300 s.\n\
    Exit status: 0 done, 1 failed, 2 usage, 130 second Ctrl-C.")]
pub(crate) struct SimulateArgs {
    /// Charging stations
    #[arg(long, value_name = "N", default_value_t = SIMULATED_STATIONS as u64)]
    #[arg(value_parser = number::<u64, 1, SIMULATED_STATIONS_MAX>)]
    stations: u64,
    /// Vehicles
    #[arg(long, value_name = "M", default_value_t = SIMULATED_VEHICLES as u64)]
    #[arg(value_parser = number::<u64, 1, SIMULATED_VEHICLES_MAX>)]
    vehicles: u64,
    /// How long, in seconds
    #[arg(long, value_name = "S", default_value_t = SIMULATED_SECONDS)]
    #[arg(value_parser = number::<u64, 1, SIMULATED_SECONDS_MAX>)]
    seconds: u64,
    /// Decides all that is left to chance
    #[arg(long, value_name = "X", value_parser = seed, default_value_t = 1)]
    seed: u64,
    /// Minutes that a car charges, on an average; if not given, as many as keep stations busy
    #[arg(long, value_name = "M", value_parser = minutes)]
    minutes_per_car: Option<f64>,
    /// On a simulated clock, without a network, by three rules side by side
    #[arg(long)]
    fast: bool,
    /// Address of a broker; without this, ours runs inside, on a port of its own
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "fast")]
    broker: Option<Endpoint>,
    /// User name at the broker
    #[arg(long, value_name = "NAME", requires = "password_file", requires = "broker")]
    user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Serves a live map there
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "fast")]
    web: Option<Endpoint>,
    #[command(flatten)]
    common: Common,
}

impl SimulateArgs {
    pub(in crate::cli) fn run(self) -> Result<u8, Failure> {
        let running = Running::start(self.common.trace)?;
        let plan = Plan {
            stations: self.stations as usize,
            vehicles: self.vehicles as usize,
            seconds: self.seconds,
            seed: self.seed,
            minutes_per_car: self.minutes_per_car,
        };
        running.screen.line(format_args!("{plan}"));
        let live = if self.fast { None } else { Some(self.live(&plan, &running)?) };
        // Who has interrupted it wants to know what was, and to wait for nothing more.
        let compared = if running.stop.is_asked() { None } else { compare(&plan, &running)? };
        if live.is_none() && compared.is_none() {
            let what = "cannot show a table".to_owned();
            return Err(Failure { what, why: "the simulation was stopped".to_owned() });
        }
        let live = live.map(|figures| ("live", figures)).into_iter();
        let columns: Vec<_> = live.chain(compared.into_iter().flatten()).collect();
        running.screen.lines(table(&columns));
        running.shown(DONE)
    }

    /// Over a broker, as fast as the clock goes.
    fn live(&self, plan: &Plan, running: &Running) -> Result<Figures, Failure> {
        let own = match &self.broker {
            Some(_) => None,
            None => Some(live::own_broker(plan, &running.trace, running.clock)?),
        };
        let broker = match (&self.broker, &own) {
            (Some(endpoint), _) => reachable(endpoint)?,
            (None, own) => own.iter().map(Broker::addr).collect(),
        };
        let around = Around {
            broker,
            login: login(self.user.as_ref(), self.password_file.as_ref())?,
            trace: running.trace.clone(),
            clock: running.clock,
        };
        let page = self.web.as_ref().map(listen).transpose()?;
        if let Some(page) = &page {
            announce(running, page)?;
        }
        let (over, is_over) = stop_pair();
        thread::scope(|scope| {
            if let Some(own) = &own {
                running.screen.line(format_args!("broker on {}", own.addr()));
                let (trace, is_over) = (running.trace.clone(), is_over.clone());
                let serve = move || match own.serve(&is_over) {
                    Ok(_) => {}
                    Err(failure) => trace.warn(format_args!("{failure}")),
                };
                threads::spawn(scope, "broker".to_owned(), serve)
                    .map_err(Failure::from_io("cannot start the broker".to_owned()))?;
            }
            let (config, stop) = (live::watcher(&around), is_over.clone());
            let open = |page| pages::open(scope, page, config, stop);
            let page = page.map(open).transpose()?;
            let bar = progress::bar_below(&running.screen, plan.seconds);
            let lost = |why: &str| running.screen.line(format_args!("no broker: {why}"));
            let figures = live::run(plan, &around, &running.stop, &|| bar.inc(1), &lost);
            bar.finish_and_clear();
            drop(over);
            drop(page);
            figures
        })
    }
}

/// A broker that is not there at the start is a mistake; one that goes later comes back.
fn reachable(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Failure> {
    let addrs = endpoint.resolve()?;
    let what = format!("cannot reach the broker at {endpoint}");
    dial::dial(&addrs).map_err(Failure::from_io(what))?;
    Ok(addrs)
}

/// The same plan by all three rules on a simulated clock. None if it was interrupted.
fn compare(plan: &Plan, running: &Running) -> Result<Option<Columns>, Failure> {
    let bar = progress::bar_below(&running.screen, fast::RULES.len() as u64 * plan.seconds);
    let columns = fast::compare(plan, &running.stop, &|| bar.inc(1));
    bar.finish_and_clear();
    columns.map_err(Failure::from_io("cannot simulate".to_owned()))
}

fn minutes(text: &str) -> Result<f64, String> {
    let fits = |minutes: &f64| (MINUTES_PER_CAR_MIN..=MINUTES_PER_CAR_MAX).contains(minutes);
    let why = || format!("not a number from {MINUTES_PER_CAR_MIN} to {MINUTES_PER_CAR_MAX}");
    text.parse().ok().filter(fits).ok_or_else(why)
}
