//! The command lines of those who talk through a broker.

use super::super::{Common, DONE, Endpoint, Running};
use crate::charging::client::session::Identity;
use crate::charging::client::{self, Config, Told};
use crate::charging::limits::{BATTERY_FULL, MINUTES_PER_CAR, MINUTES_PER_CAR_MAX};
use crate::charging::roles::Role;
use crate::charging::roles::central::Central;
use crate::charging::roles::choice::Rule;
use crate::charging::roles::sector::Sector;
use crate::charging::roles::station::{self, Station};
use crate::charging::roles::vehicle::{self, Vehicle};
use crate::charging::world::{At, Id, Quadrant, Trend};
use crate::net::clock::Millis;
use crate::net::dice::{self, Dice};
use crate::net::failure::Failure;
use clap::Args;
use std::fs;
use std::path::PathBuf;

/// How each of them finds the broker.
#[derive(Debug, Args)]
struct Link {
    /// Address of the broker, ours or any other for MQTT 3.1.1
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    broker: Endpoint,
    /// User name at the broker
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl Link {
    /// Plays a role until Ctrl-C, under a client id that begins with `name`.
    fn play<R: Role>(self, name: &str, role: impl FnOnce(Millis) -> R) -> Result<u8, Failure> {
        let login = login(self.user.as_ref(), self.password_file.as_ref())?;
        let running = Running::start(self.common.trace)?;
        let config = Config {
            broker: self.broker.resolve()?,
            identity: Identity { client: format!("malha-{name}"), login },
            trace: running.trace.clone(),
            clock: running.clock,
        };
        let tell = |told: Told, _: &R| match told {
            Told::Joined => running.screen.line(format_args!("connected to {}", self.broker)),
            Told::Lost(why, ms) => {
                let pause_s = ms as f64 / 1000.0;
                let text = format_args!(
                    "no broker at {} ({why}); next attempt in {pause_s} s",
                    self.broker
                );
                running.screen.line(text);
            }
            Told::Said(line) => running.screen.line(line),
        };
        client::run(&config, role(running.clock.now()), &tell, &running.stop)?;
        running.shown(DONE)
    }
}

/// User name and password, if they are given.
pub(super) fn login(
    user: Option<&String>,
    password_file: Option<&PathBuf>,
) -> Result<Option<(String, Vec<u8>)>, Failure> {
    let (Some(user), Some(path)) = (user, password_file) else { return Ok(None) };
    let what = format!("cannot read the password from {}", path.display());
    let text = fs::read_to_string(path).map_err(Failure::from_io(what.clone()))?;
    let Some(password) = text.lines().next().filter(|line| !line.is_empty()) else {
        return Err(Failure { what, why: "its first line is empty".to_owned() });
    };
    Ok(Some((user.clone(), password.as_bytes().to_vec())))
}

/// The server that knows all stations, and answers what no sector server can
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  malha charging central --broker 127.0.0.1:1883")]
pub(in crate::cli) struct CentralArgs {
    #[command(flatten)]
    link: Link,
}

impl CentralArgs {
    pub(in crate::cli) fn run(self) -> Result<u8, Failure> {
        self.link.play("central", |_| Central::new(Rule::Least))
    }
}

/// The server of one quadrant: it knows the stations there, and answers the vehicles there
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  malha charging sector --quadrant 1")]
pub(in crate::cli) struct SectorArgs {
    /// 1: latitude and longitude from 0 up; then against the clock
    #[arg(long, value_name = "1|2|3|4", value_parser = quadrant)]
    quadrant: Quadrant,
    #[command(flatten)]
    link: Link,
}

impl SectorArgs {
    pub(in crate::cli) fn run(self) -> Result<u8, Failure> {
        let name = format!("setor-{}", self.quadrant);
        self.link.play(&name, |_| Sector::new(self.quadrant, Rule::Least))
    }
}

/// A charging station
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    malha charging station\n  \
    malha charging station --id posto-centro --at 10,-20 --minutes-per-car 5")]
pub(in crate::cli) struct StationArgs {
    /// What it is called; without this, a name that nobody has
    #[arg(long, value_name = "NAME", value_parser = id)]
    id: Option<Id>,
    /// Where it is, each from -100 to 100; without this, anywhere
    #[arg(long, value_name = "LAT,LON", value_parser = at, allow_hyphen_values = true)]
    at: Option<At>,
    /// How long it takes for a car
    #[arg(long, value_name = "M", value_parser = minutes, default_value_t = MINUTES_PER_CAR)]
    minutes_per_car: f64,
    #[command(flatten)]
    link: Link,
}

impl StationArgs {
    pub(in crate::cli) fn run(self) -> Result<u8, Failure> {
        let mut dice = Dice::seeded(dice::any_seed());
        let id = self.id.or_else(|| any_id("posto", &mut dice));
        let id = id.ok_or_else(unnamed)?;
        let at = self.at.unwrap_or_else(|| At::anywhere(&mut dice));
        let name = id.to_string();
        let setup = station::Setup { id, at, minutes_per_car: self.minutes_per_car };
        self.link.play(&name, |_| Station::new(setup))
    }
}

/// An electric vehicle
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    malha charging vehicle\n  \
    malha charging vehicle --at 0,0 --tendency fast --battery 25")]
pub(in crate::cli) struct VehicleArgs {
    /// What it is called; without this, a name that nobody has
    #[arg(long, value_name = "NAME", value_parser = id)]
    id: Option<Id>,
    /// Where it is, each from -100 to 100; without this, anywhere
    #[arg(long, value_name = "LAT,LON", value_parser = at, allow_hyphen_values = true)]
    at: Option<At>,
    /// How fast it moves, and discharges
    #[arg(long, value_enum, default_value_t = Trend::Medium)]
    tendency: Trend,
    /// What is in its battery
    #[arg(long, value_name = "0-100", value_parser = battery, default_value_t = BATTERY_FULL)]
    battery: f64,
    #[command(flatten)]
    link: Link,
}

impl VehicleArgs {
    pub(in crate::cli) fn run(self) -> Result<u8, Failure> {
        let mut dice = Dice::seeded(dice::any_seed());
        let id = self.id.or_else(|| any_id("vehicle", &mut dice));
        let id = id.ok_or_else(unnamed)?;
        let at = self.at.unwrap_or_else(|| At::anywhere(&mut dice));
        let name = id.to_string();
        let (battery, trend) = (self.battery, self.tendency);
        // A station must not take a question of today for one of yesterday, so they grow on.
        let last_request = crate::net::clock::Clock::start().wall().0.unsigned_abs() / 1_000;
        let setup = vehicle::Setup { id, at, battery, trend, last_request, dice };
        self.link.play(&name, |now| Vehicle::new(setup, now))
    }
}

fn any_id(head: &str, dice: &mut Dice) -> Option<Id> {
    let mut half = || dice.roll(u32::MAX);
    Id::new(&format!("{head}-{:08x}{:08x}", half(), half()))
}

fn unnamed() -> Failure {
    Failure { what: "cannot choose a name".to_owned(), why: "it would be none".to_owned() }
}

fn id(text: &str) -> Result<Id, String> {
    Id::new(text).ok_or_else(|| "a name is short, and has no `/`, `+` or `#`".to_owned())
}

fn at(text: &str) -> Result<At, String> {
    let parse = |part: &str| part.trim().parse::<f64>().ok();
    let parts = text.split_once(',').and_then(|(lat, lon)| Some((parse(lat)?, parse(lon)?)));
    let at = parts.and_then(|(latitude, longitude)| At::new(latitude, longitude));
    at.ok_or_else(|| "not LAT,LON, each from -100 to 100".to_owned())
}

fn quadrant(text: &str) -> Result<Quadrant, String> {
    text.parse().ok().and_then(Quadrant::new).ok_or_else(|| "not 1, 2, 3 or 4".to_owned())
}

fn minutes(text: &str) -> Result<f64, String> {
    let fits = |minutes: &f64| *minutes > 0.0 && *minutes <= MINUTES_PER_CAR_MAX;
    let why = || format!("not a number of minutes, above 0 and at most {MINUTES_PER_CAR_MAX}");
    text.parse().ok().filter(fits).ok_or_else(why)
}

fn battery(text: &str) -> Result<f64, String> {
    let fits = |charge: &f64| (0.0..=BATTERY_FULL).contains(charge);
    text.parse().ok().filter(fits).ok_or_else(|| "not a number from 0 to 100".to_owned())
}
