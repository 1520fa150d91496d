//! The command line of the grid.

use super::{Common, DONE, FAILED, Running, Seconds, count, finish, seconds, seed, usage};
use crate::grid::client::{Client, Lost};
use crate::grid::console::{self, ClientCommand, Ended, ServerCommand};
use crate::grid::limits::{
    CLIENTS_MAX, PEER_MS_LIMIT, PEER_MS_MAX, PEER_MS_MIN, SENSORS_BYTES_MAX,
};
use crate::grid::pair;
use crate::grid::protocol::Refusal;
use crate::grid::sensors::{self, Sensor};
use crate::grid::server::{Config, Server};
use crate::grid::state::Exit;
use crate::net::dial;
use crate::net::dice::{Dice, any_seed};
use crate::net::failure::Failure;
use crate::net::limits::LINES_MAX;
use crate::net::lines::{self, Typed};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use crossbeam_channel::bounded;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

/// The ports of the spec's own command lines.
const PEER_PORT: u64 = 90900;
const FIRST_PORT: u64 = 90100;
const SECOND_PORT: u64 = 90200;

#[derive(Debug, Subcommand)]
pub(super) enum Grid {
    /// One server; a second one finds it at the same peer port
    Server(ServerArgs),
    /// A client of one server
    Client(ClientArgs),
    /// Both servers in one terminal, until Ctrl-C
    #[command(after_help = "Examples:\n  \
        malha grid servers\n  \
        malha grid servers --seed 7 --trace events\n\n\
        Their clients: ./client 127.0.0.1 90100 and ./client 127.0.0.1 90200.\n\
        Exit status: 0 done, 1 failed, 2 usage, 130 second Ctrl-C.")]
    Servers(PairArgs),
    /// Two servers, their clients and all six questions, and the end of it
    #[command(after_help = "Examples:\n  \
        malha grid demo\n  \
        malha grid demo --seed 7           the same sensors each time\n\n\
        Exit status: 0 done, 1 failed, 2 usage, 130 second Ctrl-C.")]
    Demo(PairArgs),
}

impl Grid {
    pub(super) fn run(self) -> ExitCode {
        match self {
            Grid::Server(args) => finish(args.run()),
            Grid::Client(args) => finish(args.run()),
            Grid::Servers(args) => finish(args.run()),
            Grid::Demo(args) => finish(args.demo()),
        }
    }
}

/// The program `server`.
pub fn server() -> ExitCode {
    finish(super::parse::<ServerArgs>().run())
}

/// The program `client`.
pub fn client() -> ExitCode {
    finish(super::parse::<ClientArgs>().run())
}

/// A smart-grid server
///
/// It looks for another server at the peer port of ADDR, and waits for one there if there is
/// none. Clients come to the client port, and ask about this network and the other one.
#[derive(Debug, Parser)]
#[command(
    name = "server",
    version,
    after_help = "Examples:\n  \
        ./server 127.0.0.1 90900 90100\n  \
        ./server 127.0.0.1 90900 90200      the second: same peer port, another client port\n  \
        ./server ::1 0 0 --seed 7           the system chooses the ports and says which\n\n\
        Ports above 65535 are reduced modulo 65536. On the console: show sensors, show clients,\n\
        show peer, kill, help. Exit status: 0 done, 1 failed or refused by the other server, 2\n\
        usage, 130 second Ctrl-C."
)]
pub(super) struct ServerArgs {
    /// Address or name at which the other server is found, or waited for
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    addr: String,
    /// Port at which the servers meet
    #[arg(value_parser = port)]
    peer_port: Port,
    /// Port to which clients come
    #[arg(value_parser = port)]
    client_port: Port,
    #[command(flatten)]
    network: Network,
    /// Seconds that a question to the other server may take
    #[arg(long, value_name = "SECONDS", value_parser = seconds::<PEER_MS_MIN, PEER_MS_LIMIT>)]
    #[arg(default_value_t = Seconds(PEER_MS_MAX))]
    peer_timeout: Seconds,
    /// Clients at a time
    #[arg(long, value_name = "N", value_parser = count, default_value_t = CLIENTS_MAX)]
    max_clients: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Network {
    /// Repeats a draw of sensors
    #[arg(long, value_name = "NUMBER", value_parser = seed)]
    seed: Option<u64>,
    /// Reads the sensors from a CSV file: id,power,efficiency
    #[arg(long, value_name = "FILE", conflicts_with = "seed")]
    sensors: Option<PathBuf>,
}

impl Network {
    fn sensors(&self) -> Result<Vec<Sensor>, Failure> {
        let Some(file) = &self.sensors else {
            return Ok(sensors::draw(&mut Dice::seeded(self.seed.unwrap_or_else(any_seed))));
        };
        let what = || format!("cannot read sensors from {}", file.display());
        let mut bytes = Vec::new();
        let mut read = || File::open(file)?.take(SENSORS_BYTES_MAX + 1).read_to_end(&mut bytes);
        read().map_err(Failure::from_io(what()))?;
        if bytes.len() as u64 > SENSORS_BYTES_MAX {
            let why = format!("it has more than {SENSORS_BYTES_MAX} bytes");
            return Err(Failure { what: what(), why });
        }
        let text = String::from_utf8_lossy(&bytes);
        sensors::parse(&text).map_err(|why| Failure { what: what(), why })
    }
}

impl ServerArgs {
    fn run(self) -> Result<u8, Failure> {
        if self.peer_port.number == self.client_port.number && self.peer_port.number != 0 {
            let text =
                format!("the peer port and the client port are both {}", self.peer_port.number);
            usage(ServerArgs::command().error(ErrorKind::ValueValidation, text));
        }
        let sensors = self.network.sensors()?;
        let running = Running::start(self.common.trace)?;
        let server = Server::bind(Config {
            peer: resolve(&self.addr, self.peer_port.notice())?,
            clients: resolve(&self.addr, self.client_port.notice())?,
            clients_max: self.max_clients,
            sensors,
            peer_ms_max: self.peer_timeout.0,
            screen: running.screen.clone(),
            trace: running.trace.clone(),
            clock: running.clock,
        })?;
        let (typed_in, typed) = bounded(LINES_MAX);
        let interrupt = running.interrupt.clone();
        let take = move |typed: Typed| {
            let line = match typed {
                Typed::Line(line) if line.trim().is_empty() => return true,
                Typed::Line(line) => line,
                Typed::Interrupt => {
                    interrupt();
                    return true;
                }
                // Ctrl-D is a goodbye. A pipe's end is not: it may just be a server without one.
                Typed::End if lines::is_interactive() => "kill".to_owned(),
                Typed::End => return false,
            };
            let typed = match console::server(&line) {
                Ok(ServerCommand::State(command)) => Ok(command),
                Ok(ServerCommand::Help) => Err(console::server_help()),
                Err(unknown) => Err(vec![unknown]),
            };
            typed_in.send(typed).is_ok()
        };
        lines::read(console::SERVER_WORDS, &running.screen, take).map_err(no_console())?;
        let outcome = server.serve(&running.stop, &typed)?;
        // It has served, whoever could see it (spec: Life, 4).
        Ok(if outcome.exit == Exit::Done { DONE } else { FAILED })
    }
}

/// A client of a smart-grid server
///
/// Takes commands from the command line, or line by line from standard input, prints the answers
/// and says goodbye at the end of them.
#[derive(Debug, Parser)]
#[command(
    name = "client",
    version,
    after_help = "Examples:\n  \
        ./client 127.0.0.1 90100\n  \
        ./client 127.0.0.1 90100 show localpotency show externalpotency\n  \
        echo show globalmaxsensor | ./client 127.0.0.1 90100\n\n\
        Commands: show localmaxsensor, show externalmaxsensor, show localpotency,\n\
        show externalpotency, show globalmaxsensor, show globalmaxnetwork, kill, help.\n\
        Exit status: 0 all were answered (an error such as `Peer not found` is an answer), 1 the\n\
        server refused or went away, 2 usage, 130 second Ctrl-C."
)]
pub(super) struct ClientArgs {
    /// Address or name of the server
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    addr: String,
    /// Its client port
    #[arg(value_parser = port)]
    port: Port,
    /// What to ask, instead of standard input
    command: Vec<String>,
    #[command(flatten)]
    common: Common,
}

impl ClientArgs {
    fn run(self) -> Result<u8, Failure> {
        let commands = console::client_all(&self.command).unwrap_or_else(|unknown| {
            usage(ClientArgs::command().error(ErrorKind::ValueValidation, unknown))
        });
        let running = Running::start(self.common.trace)?;
        let addrs = resolve(&self.addr, self.port.notice())?;
        let ended = thread::scope(|scope| {
            let client = match Client::join(scope, &addrs, &running.stop, &running.trace) {
                Ok(client) => client,
                Err(lost) => return Ok(Ended::Lost(lost)),
            };
            let (typed_in, typed) = bounded(commands.len().max(LINES_MAX));
            if commands.is_empty() {
                read_commands(&running, typed_in)?;
            } else {
                // There is room for all of them, and we hold the other end.
                commands.into_iter().for_each(|command| drop(typed_in.send(Ok(command))));
                drop(typed_in);
            }
            Ok(console::session(client, &typed, &running.screen, &running.stop))
        });
        let lost = match ended? {
            Ended::Done => return running.shown(DONE),
            Ended::Lost(lost) => lost,
        };
        let what = format!("{}:{}", self.addr, self.port.number);
        if let Lost::Refused(refusal) = lost {
            running.screen.line(refusal.text());
            if refusal == Refusal::Malformed {
                running.trace.warn(format_args!("{what} takes no clients: is it the peer port?"));
            }
            return running.shown(FAILED);
        }
        running.screen.finish();
        Err(match lost {
            Lost::Io(error) => Failure::from_io(format!("cannot connect to {what}"))(error),
            lost => Failure { what: format!("lost {what}"), why: lost.to_string() },
        })
    }
}

fn no_console() -> impl FnOnce(io::Error) -> Failure {
    Failure::from_io("cannot read the console".to_owned())
}

type CommandsIn = crossbeam_channel::Sender<Result<ClientCommand, String>>;

fn read_commands(running: &Running, typed_in: CommandsIn) -> Result<(), Failure> {
    let interrupt = running.interrupt.clone();
    let take = move |typed: Typed| match typed {
        Typed::Line(line) if line.trim().is_empty() => true,
        Typed::Line(line) => typed_in.send(console::client(&line)).is_ok(),
        Typed::Interrupt => {
            interrupt();
            true
        }
        Typed::End => false,
    };
    lines::read(console::CLIENT_WORDS, &running.screen, take).map_err(no_console())
}

/// What two servers in one process are told.
#[derive(Debug, Args)]
pub(super) struct PairArgs {
    /// Repeats a draw of sensors
    #[arg(long, value_name = "NUMBER", value_parser = seed)]
    seed: Option<u64>,
    #[command(flatten)]
    common: Common,
}

impl PairArgs {
    fn configs(&self, running: &Running, ports: [u64; 3]) -> Result<[Config; 2], Failure> {
        let seed = self.seed.unwrap_or_else(any_seed);
        let mut dice = Dice::seeded(seed);
        let [peer, first, second] = ports.map(|given| Port::from(given).notice());
        let localhost = "127.0.0.1";
        let mut config = |client: Port| -> Result<Config, Failure> {
            Ok(Config {
                peer: resolve(localhost, peer)?,
                clients: resolve(localhost, client)?,
                clients_max: CLIENTS_MAX,
                sensors: sensors::draw(&mut dice),
                peer_ms_max: PEER_MS_MAX,
                screen: running.screen.clone(),
                trace: running.trace.clone(),
                clock: running.clock,
            })
        };
        Ok([config(first)?, config(second)?])
    }

    fn run(self) -> Result<u8, Failure> {
        let running = Running::start(self.common.trace)?;
        let [first, second] = self.configs(&running, [PEER_PORT, FIRST_PORT, SECOND_PORT])?;
        pair::run(first, second, &running.stop)?;
        Ok(DONE)
    }

    fn demo(self) -> Result<u8, Failure> {
        let running = Running::start(self.common.trace)?;
        let [first, second] = self.configs(&running, [0, 0, 0])?;
        pair::demo(first, second.sensors, &running.stop)?;
        running.shown(DONE)
    }
}

/// A port number as it was given, and reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Port {
    given: u64,
    number: u16,
}

impl Port {
    /// Says so if it was reduced, and before anything else is said.
    fn notice(self) -> Port {
        let Port { given, number } = self;
        if given != u64::from(number) {
            let line = format!("port {given} is above 65535 and stands for {number}\n");
            // Nobody reads it; that is no reason not to serve.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        self
    }
}

impl From<u64> for Port {
    /// What a C program's cast to `uint16_t` makes of it (spec: Roles and command lines).
    fn from(given: u64) -> Port {
        Port { given, number: (given % (u64::from(u16::MAX) + 1)) as u16 }
    }
}

fn port(text: &str) -> Result<Port, String> {
    text.parse::<u64>().map(Port::from).map_err(|_| "not a port number".to_owned())
}

fn resolve(host: &str, port: Port) -> Result<Vec<SocketAddr>, Failure> {
    dial::resolve(host, port.number).map_err(Failure::from_io(format!("cannot find {host}")))
}
