//! The command line of charging.

mod roles;
mod simulate;

use super::{Common, DONE, Endpoint, Running, count, finish, number};
use crate::charging::broker::server::{Broker, Config};
use crate::charging::broker::state::Room;
use crate::charging::limits::{
    CONNECTIONS_MAX, IN_FLIGHT_MAX, LEVELS_MAX, PACKET_BYTES_LEAST, PACKET_BYTES_LIMIT,
    PACKET_BYTES_MAX, QUEUED_MAX,
};
use crate::charging::protocol::is_filter;
use crate::net::failure::Failure;
use crate::net::users::Users;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Charging {
    /// The broker, for any program that speaks MQTT 3.1.1
    Broker(BrokerArgs),
    /// The server that knows all stations
    Central(roles::CentralArgs),
    /// The server of one quadrant
    Sector(roles::SectorArgs),
    /// A charging station
    Station(roles::StationArgs),
    /// An electric vehicle
    Vehicle(roles::VehicleArgs),
    /// Servers, stations and vehicles in one process
    Simulate(simulate::SimulateArgs),
}

impl Charging {
    pub(super) fn run(self) -> ExitCode {
        finish(match self {
            Charging::Broker(args) => args.run(),
            Charging::Central(args) => args.run(),
            Charging::Sector(args) => args.run(),
            Charging::Station(args) => args.run(),
            Charging::Vehicle(args) => args.run(),
            Charging::Simulate(args) => args.run(),
        })
    }
}

/// A broker for MQTT 3.1.1
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    malha charging broker\n  \
    malha charging broker --listen 0.0.0.0:1883 --users users.txt\n  \
    malha charging broker --deny-subscribe 'secret/#' --trace events\n\n\
    Names and passwords are added with `malha command adduser`.\n\
    Ctrl-C ends it. Exit status: 0 done, 1 failed, 2 usage, 130 second Ctrl-C.")]
pub(super) struct BrokerArgs {
    /// Address to which clients connect; port 0: the system chooses
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:1883")]
    listen: Endpoint,
    /// Asks for a name and password out of this file; see `malha command adduser`
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Refuses subscriptions to this filter and to all within it; may be given more than once. A
    /// wider filter, as `#`, is not refused, and still hears what is said there
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    deny_subscribe: Vec<String>,
    /// Connections at a time
    #[arg(long, value_name = "N", value_parser = count, default_value_t = CONNECTIONS_MAX)]
    max_connections: usize,
    /// Bytes of the longest packet
    #[arg(long, value_name = "BYTES", default_value_t = PACKET_BYTES_MAX)]
    #[arg(value_parser = number::<usize, PACKET_BYTES_LEAST, { PACKET_BYTES_LIMIT as u64 }>)]
    max_packet: usize,
    /// Messages of QoS 1 and 2 that a client may have unacknowledged
    #[arg(long, value_name = "N", default_value_t = IN_FLIGHT_MAX)]
    #[arg(value_parser = number::<usize, 1, { u16::MAX as u64 - 1 }>)]
    max_inflight: usize,
    /// Messages that wait for one client
    #[arg(long, value_name = "N", value_parser = count, default_value_t = QUEUED_MAX)]
    max_queued: usize,
    /// Levels of a topic or filter
    #[arg(long, value_name = "N", value_parser = count, default_value_t = LEVELS_MAX)]
    max_levels: usize,
    #[command(flatten)]
    common: Common,
}

impl BrokerArgs {
    fn run(self) -> Result<u8, Failure> {
        let users = self.users.map(|file| Users::read(&file)).transpose()?;
        let running = Running::start(self.common.trace)?;
        let broker = Broker::bind(Config {
            listen: self.listen.resolve()?,
            connections_max: self.max_connections,
            packet_bytes_max: self.max_packet,
            levels_max: self.max_levels,
            room: Room { in_flight_max: self.max_inflight, queued_max: self.max_queued },
            users,
            denied: self.deny_subscribe,
            trace: running.trace.clone(),
            clock: running.clock,
        })?;
        running.screen.line(format_args!("listening on {}", broker.addr()));
        broker.serve(&running.stop)?;
        running.shown(DONE)
    }
}

fn filter(text: &str) -> Result<String, String> {
    let why = "not a topic filter: `+` stands alone in a level, `#` alone in the last";
    if is_filter(text) { Ok(text.to_owned()) } else { Err(why.to_owned()) }
}
