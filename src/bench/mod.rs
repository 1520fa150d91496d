//! Load, and comparison with something bare in the same run. Prints ratios.

mod bare;
mod child;
mod compare;
mod load;
mod scratch;
mod table;

#[cfg(feature = "charging")]
mod charging;
#[cfg(feature = "chat")]
mod chat;
#[cfg(feature = "command")]
mod command;
#[cfg(feature = "grid")]
mod grid;
#[cfg(feature = "tasks")]
mod tasks;

use crate::cli::{Running, count, number};
use crate::net::failure::Failure;
use crate::net::stop::Stop;
use crate::net::trace::Level;
use clap::{Args, Subcommand};
use std::net::SocketAddr;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Questions to a grid server, and through it to the other one
    #[cfg(feature = "grid")]
    #[command(after_help = "Examples:\n  \
        malha bench grid\n  \
        malha bench grid --only REQ_LS --rounds 3\n  \
        malha bench grid --scale --max-clients 1000\n\n\
        Exit status: 0 done, 1 failed, 2 usage.")]
    Grid(grid::GridArgs),
    /// Requests to a command server that writes its log
    #[cfg(feature = "command")]
    #[command(after_help = "Examples:\n  \
        malha bench command\n  \
        malha bench command --log /mnt/disk/bench.log\n\n\
        Exit status: 0 done, 1 failed or stopped, 2 usage, 130 second Ctrl-C.")]
    Command(command::CommandArgs),
    /// Messages to one and to all, and where they begin to be lost
    #[cfg(feature = "chat")]
    #[command(after_help = "Examples:\n  \
        malha bench chat\n  \
        malha bench chat --rounds 3 --ms 200\n\n\
        Exit status: 0 done, 1 failed or stopped, 2 usage, 130 second Ctrl-C.")]
    Chat(chat::ChatArgs),
    /// The MQTT broker, against mosquitto
    #[cfg(feature = "charging")]
    #[command(after_help = "Examples:\n  \
        malha bench charging\n  \
        malha bench charging --mosquitto /usr/local/sbin/mosquitto\n\n\
        Exit status: 0 done, 1 failed or stopped, 2 usage, 130 second Ctrl-C.")]
    Charging(charging::ChargingArgs),
    /// Small and large tasks and results
    #[cfg(feature = "tasks")]
    #[command(after_help = "Examples:\n  \
        malha bench tasks\n  \
        malha bench tasks --folder /dev/shm      in memory\n\n\
        Exit status: 0 done, 1 failed or stopped, 2 usage, 130 second Ctrl-C.")]
    Tasks(tasks::TasksArgs),
    /// A bare thread-per-connection echo, which is what the others are compared with
    #[command(hide = true)]
    BareEcho,
    /// The same with a coordinator that gives back what it gets
    #[command(hide = true)]
    BareAsked,
    /// A bare thread-per-connection relay to an echo
    #[command(hide = true)]
    BareRelay {
        /// The echo
        to: SocketAddr,
    },
    /// A bare server that says so many bytes to whoever connects
    #[command(hide = true)]
    BareText {
        /// How many
        bytes: usize,
    },
    /// A bare echo of datagrams
    #[command(hide = true)]
    BareUdpEcho,
    /// A bare loop that sends each datagram to all
    #[command(hide = true)]
    BareUdpFan,
}

/// What every benchmark has.
#[derive(Debug, Clone, Copy, Args)]
struct Effort {
    /// Rounds, of which the median counts
    #[arg(long, value_name = "N", value_parser = count, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds that one measurement takes
    #[arg(long, value_name = "MS", default_value_t = 500)]
    #[arg(value_parser = number::<u64, 1, { u32::MAX as u64 }>)]
    ms: u64,
}

impl Bench {
    /// Measures.
    pub fn run(self) -> Result<u8, Failure> {
        match self {
            #[cfg(feature = "grid")]
            Bench::Grid(args) => measure(|stop| args.run(stop))?,
            #[cfg(feature = "command")]
            Bench::Command(args) => measure(|stop| args.run(stop))?,
            #[cfg(feature = "chat")]
            Bench::Chat(args) => measure(|stop| args.run(stop))?,
            #[cfg(feature = "charging")]
            Bench::Charging(args) => measure(|stop| args.run(stop))?,
            #[cfg(feature = "tasks")]
            Bench::Tasks(args) => measure(|stop| args.run(stop))?,
            Bench::BareText { bytes } => bare::text(bytes)?,
            Bench::BareEcho => bare::echo()?,
            Bench::BareAsked => bare::asked()?,
            Bench::BareRelay { to } => bare::relay(to)?,
            Bench::BareUdpEcho => bare::udp_echo()?,
            Bench::BareUdpFan => bare::udp_fan()?,
        }
        Ok(crate::cli::DONE)
    }
}

/// The first Ctrl-C ends what is under load, and so the measurement, which takes away what it has
/// written; the second ends all at once.
fn measure(run: impl FnOnce(&Stop) -> Result<(), Failure>) -> Result<(), Failure> {
    let running = Running::start(Level::Off)?;
    let measured = run(&running.stop);
    if !running.stop.is_asked() {
        return measured;
    }
    let what = "cannot measure to the end".to_owned();
    Err(Failure { what, why: "the measurement was stopped".to_owned() })
}
