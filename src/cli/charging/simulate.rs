//! The command line of the simulation.

use crate::charging::limits::{
    MINUTES_PER_CAR_MAX, MINUTES_PER_CAR_MIN, SIMULATED_SECONDS, SIMULATED_SECONDS_MAX,
    SIMULATED_STATIONS, SIMULATED_STATIONS_MAX, SIMULATED_VEHICLES, SIMULATED_VEHICLES_MAX,
};
use crate::charging::simulate::figures::table;
use crate::charging::simulate::{Plan, fast};
use crate::cli::{Common, DONE, FAILED, Running};
use crate::net::failure::Failure;
use crate::net::progress;
use clap::Args;

/// Servers, stations and vehicles in one process, and how long the vehicles waited
///
/// A minute of theirs takes a quarter of a second. All that is left to chance is decided by the
/// seed; with --fast the same seed gives the same table, to the last digit.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    malha charging simulate --fast\n  \
    malha charging simulate --fast --stations 1000 --vehicles 100000 --seconds 3600\n\n\
    Exit status: 0 done, 1 failed, 2 usage, 130 second Ctrl-C.")]
pub(crate) struct SimulateArgs {
    /// Charging stations
    #[arg(long, value_name = "N", default_value_t = SIMULATED_STATIONS as u64)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=SIMULATED_STATIONS_MAX))]
    stations: u64,
    /// Vehicles
    #[arg(long, value_name = "M", default_value_t = SIMULATED_VEHICLES as u64)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=SIMULATED_VEHICLES_MAX))]
    vehicles: u64,
    /// How long, in seconds
    #[arg(long, value_name = "S", default_value_t = SIMULATED_SECONDS)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=SIMULATED_SECONDS_MAX))]
    seconds: u64,
    /// Decides all that is left to chance
    #[arg(long, value_name = "X", default_value_t = 1)]
    seed: u64,
    /// Minutes that a car charges, on an average; if not given, as many as keep stations busy
    #[arg(long, value_name = "M", value_parser = minutes)]
    minutes_per_car: Option<f64>,
    /// On a simulated clock, without a network, by three rules side by side
    #[arg(long)]
    fast: bool,
    #[command(flatten)]
    common: Common,
}

impl SimulateArgs {
    pub(super) fn run(self) -> Result<u8, Failure> {
        let running = Running::start(self.common.trace)?;
        let plan = Plan {
            stations: self.stations as usize,
            vehicles: self.vehicles as usize,
            seconds: self.seconds,
            seed: self.seed,
            minutes_per_car: self.minutes_per_car,
        };
        running.screen.line(format_args!("{plan}"));
        let bar = progress::bar(fast::RULES.len() as u64 * plan.seconds);
        let columns = fast::compare(&plan, &running.stop, &|| bar.inc(1));
        bar.finish_and_clear();
        let columns = columns.map_err(Failure::from_io("cannot simulate".to_owned()))?;
        match columns {
            Some(columns) => {
                running.screen.lines(table(&columns));
                running.shown(DONE)
            }
            None => running.shown(FAILED),
        }
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let fits = |minutes: &f64| (MINUTES_PER_CAR_MIN..=MINUTES_PER_CAR_MAX).contains(minutes);
    let why = || format!("not a number from {MINUTES_PER_CAR_MIN} to {MINUTES_PER_CAR_MAX}");
    text.parse().ok().filter(fits).ok_or_else(why)
}
