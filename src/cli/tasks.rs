//! The command line of the tasks.

mod peer;

use super::{
    Common, DONE, Endpoint, FAILED, Running, Seconds, announce, count, finish, listen, number,
    seconds, usage,
};
use crate::net::counters;
use crate::net::failure::Failure;
use crate::net::limits::{LINES_MAX, SCREEN_END_MS_MAX};
use crate::net::lines::{self, Typed};
use crate::net::progress;
use crate::net::stop::stop_pair;
use crate::net::threads;
use crate::tasks::console::{self, Board};
use crate::tasks::discovery::Announcer;
use crate::tasks::example;
use crate::tasks::limits::{
    ATTEMPTS_MAX, DISCOVERY_PORT, MESSAGE_MIB_MAX, PEERS_MAX, TASK_MS_LIMIT, TASK_MS_MAX,
};
use crate::tasks::pages;
use crate::tasks::server::{Config, Server, Watch};
use crate::tasks::state::{Setup, State};
use crate::tasks::token::Token;
use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use crossbeam_channel::bounded;
use peer::PeerArgs;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(super) enum Tasks {
    /// The master
    Master(MasterArgs),
    /// A peer
    Peer(PeerArgs),
    /// Writes two small tasks into a folder
    #[command(after_help = "Example:\n  \
        malha tasks example tasks && malha tasks master --until-done\n\n\
        Each is a ZIP with main.py and input.csv. What is there already stays, and is a failure.\n\
        Exit status: 0 done, 1 failed, 2 usage, 130 second Ctrl-C.")]
    Example {
        /// The folder
        dir: PathBuf,
    },
    /// What a peer starts to run a script; of no use to people
    #[command(hide = true)]
    Confined(ConfinedArgs),
}

impl Tasks {
    pub(super) fn run(self) -> ExitCode {
        finish(match self {
            Tasks::Master(args) => args.run(),
            Tasks::Peer(args) => args.run(),
            Tasks::Example { dir } => write_example(&dir),
            Tasks::Confined(args) => return crate::tasks::sandbox::confined(&args.args),
        })
    }
}

fn write_example(dir: &std::path::Path) -> Result<u8, Failure> {
    let running = Running::start(crate::net::trace::Level::Off)?;
    for path in example::write(dir)? {
        running.screen.line(path.display());
    }
    running.shown(DONE)
}

/// What both sides must know of each other.
#[derive(Debug, Args)]
struct Trust {
    /// A file with a secret that master and peers share
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Works with other machines although there is no token
    #[arg(long)]
    trust_network: bool,
    /// Longest message, in MiB
    #[arg(long, value_name = "MIB", default_value_t = MESSAGE_MIB_MAX)]
    #[arg(value_parser = number::<u64, 1, 1_000_000>)]
    max_message: u64,
}

impl Trust {
    fn token(&self) -> Result<Option<Token>, Failure> {
        self.token_file.as_deref().map(Token::read).transpose()
    }

    fn allows(&self, addr: IpAddr) -> bool {
        self.trust_network || self.token_file.is_some() || addr.is_loopback()
    }

    fn message_bytes_max(&self) -> u64 {
        self.max_message * 1024 * 1024
    }
}

/// A usage error.
fn refuse<T: CommandFactory>(text: String) -> ! {
    usage(T::command().error(ErrorKind::ValueValidation, text))
}

const NEEDS_TRUST: &str = "is not on this machine: give --token-file FILE, or --trust-network";

/// Hands out the tasks in a folder, and keeps one result for each
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    malha tasks example tasks\n  \
    malha tasks master --until-done --web 127.0.0.1:8080\n  \
    malha tasks master --listen 0.0.0.0:50020 --token-file secret.txt\n\n\
    `status` on standard input shows how far it is; Ctrl-C ends it.\n\
    Exit status: 0 done, 1 failed or a task failed, 2 usage, 130 second Ctrl-C.")]
pub(super) struct MasterArgs {
    /// Address to which peers connect; port 0: the system chooses
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:50020")]
    listen: Endpoint,
    /// Address at which peers ask where the master is, or `off` [default: 127.0.0.1:50005, or all
    /// addresses if --listen is not on loopback]
    #[arg(long, value_name = "ADDR:PORT")]
    discovery: Option<String>,
    /// Folder of tasks: ZIP files, also ones added while it runs; made if it is not there
    #[arg(long, value_name = "DIR", default_value = "tasks")]
    tasks: PathBuf,
    /// Folder of results
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// Seconds after which a task is taken from its peer
    #[arg(long, value_name = "SECONDS", value_parser = seconds::<1, TASK_MS_LIMIT>)]
    #[arg(default_value_t = Seconds(TASK_MS_MAX))]
    task_timeout: Seconds,
    /// How often a task may be lost or fail before it is set aside
    #[arg(long, value_name = "N", value_parser = number::<u32, 1, { u32::MAX as u64 }>)]
    #[arg(default_value_t = ATTEMPTS_MAX)]
    attempts: u32,
    /// Ends when every task is done or set aside
    #[arg(long)]
    until_done: bool,
    /// Peers at a time
    #[arg(long, value_name = "N", value_parser = count, default_value_t = PEERS_MAX)]
    max_peers: usize,
    /// Serves a page there that shows tasks and peers
    #[arg(long, value_name = "ADDR:PORT")]
    web: Option<Endpoint>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    common: Common,
}

impl MasterArgs {
    fn run(self) -> Result<u8, Failure> {
        let listen = self.listen.resolve()?;
        if let Some(addr) = listen.iter().find(|addr| !self.trust.allows(addr.ip())) {
            refuse::<MasterArgs>(format!("{addr} {NEEDS_TRUST}"));
        }
        let discovery = self.discovery(&listen)?;
        let running = Running::start(self.common.trace)?;
        let has_folder = self.tasks.exists();
        let server = Server::bind(self.config(&running, listen)?)?;
        if !has_folder {
            // Made, as the spec has it; but whoever has misspelt it would wait for nothing.
            let folder = self.tasks.display();
            let said = "was not there: it is made, and there are no tasks in it yet";
            running.trace.warn(format_args!("the folder {folder} {said}"));
        }
        let announced = discovery.map(|at| server.announce(at)).transpose();
        let announced = match announced {
            // Another master has the usual port; this one can still be told to its peers.
            Err(failure) if self.discovery.is_none() => {
                running.trace.warn(format_args!("{failure}"));
                None
            }
            announced => announced?,
        };
        let page = self.web.as_ref().map(|endpoint| self.page(endpoint)).transpose()?;
        running.screen.line(format_args!("listening on {}", server.addr()));
        if let Some(announcer) = &announced {
            running.screen.line(format_args!("discovery at {}", announcer.addr()));
        }
        let state = serve(&running, &server, announced.as_ref(), page)?;
        let report = state.counters().report();
        if !report.is_empty() {
            running.trace.warn(format_args!("{}", counters::line(&report)));
        }
        if !self.until_done || running.stop.is_asked() {
            return running.shown(DONE);
        }
        let seconds = running.clock.now().0 as f64 / 1000.0;
        running.screen.lines(console::summary(&state, seconds));
        running.shown(if state.summary().failed > 0 { FAILED } else { DONE })
    }

    fn page(&self, endpoint: &Endpoint) -> Result<TcpListener, Failure> {
        let addrs = endpoint.resolve()?;
        // A page asks for no token.
        let is_open = |addr: &&SocketAddr| !self.trust.trust_network && !addr.ip().is_loopback();
        if let Some(addr) = addrs.iter().find(is_open) {
            refuse::<MasterArgs>(format!("the page at {addr} is for everybody: --trust-network"));
        }
        listen(endpoint)
    }

    fn config(&self, running: &Running, listen: Vec<SocketAddr>) -> Result<Config, Failure> {
        Ok(Config {
            listen,
            tasks: self.tasks.clone(),
            results: self.results.clone(),
            message_bytes_max: self.trust.message_bytes_max(),
            setup: Setup {
                task_ms_max: self.task_timeout.0,
                attempts_max: self.attempts,
                peers_max: self.max_peers,
                until_done: self.until_done,
                token: self.trust.token()?,
                done: BTreeSet::new(),
                failed: BTreeSet::new(),
            },
            trace: running.trace.clone(),
            clock: running.clock,
        })
    }

    /// Where to answer who looks for us. A broadcast only arrives where one listens at all
    /// addresses.
    fn discovery(&self, listen: &[SocketAddr]) -> Result<Option<SocketAddr>, Failure> {
        let everywhere = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let Some(given) = &self.discovery else {
            let is_local = listen.iter().all(|addr| addr.ip().is_loopback());
            let local = SocketAddr::from((Ipv4Addr::LOCALHOST, DISCOVERY_PORT));
            return Ok(Some(if is_local { local } else { everywhere(DISCOVERY_PORT) }));
        };
        if given == "off" {
            return Ok(None);
        }
        let endpoint: Endpoint = match given.parse() {
            Ok(endpoint) => endpoint,
            Err(why) => refuse::<MasterArgs>(format!("--discovery {given}: {why}")),
        };
        let addr = endpoint.resolve()?[0];
        if !self.trust.allows(addr.ip()) {
            refuse::<MasterArgs>(format!("{addr} {NEEDS_TRUST}"));
        }
        let is_as_given = addr.ip().is_loopback() || addr.is_ipv6();
        Ok(Some(if is_as_given { addr } else { everywhere(addr.port()) }))
    }
}

/// Serves, with a page if there is one, a bar if there is a terminal, and `status`.
fn serve(
    running: &Running,
    server: &Server,
    announcer: Option<&Announcer>,
    page: Option<TcpListener>,
) -> Result<State, Failure> {
    let (typed_in, typed) = bounded(LINES_MAX);
    let interrupt = running.interrupt.clone();
    let take = move |typed: Typed| match typed {
        Typed::Line(line) => typed_in.send(line).is_ok(),
        Typed::Interrupt => {
            interrupt();
            true
        }
        Typed::End => false,
    };
    lines::read_plainly(take).map_err(Failure::from_io("cannot read the console".to_owned()))?;
    let (board, window) = Board::new(progress::bar(0), running.screen.clone());
    let (over, is_over) = stop_pair();
    let what = || "cannot start".to_owned();
    let (shown_in, shown) = bounded::<()>(0);
    // Not joined: a terminal that takes nothing may hold it for as long as the process lives.
    threads::detach("board", move || {
        let _shown = shown_in;
        board.run(&typed, &is_over);
    })
    .map_err(Failure::from_io(what()))?;
    let outcome = thread::scope(|scope| {
        let mut watches: Vec<&dyn Watch> = vec![&window];
        let site = match page {
            Some(page) => {
                announce(running, &page)?;
                let site = pages::open(scope, page, &running.trace);
                let site = site.map_err(Failure::from_io(what()))?;
                Some(site)
            }
            None => None,
        };
        watches.extend(site.as_ref().map(|(_, view)| view as &dyn Watch));
        server.serve(&running.stop, announcer, &watches)
    });
    drop(over);
    // Until it drops its end. Its last word is that the bar is gone.
    let _ = shown.recv_timeout(Duration::from_millis(SCREEN_END_MS_MAX));
    outcome
}

#[derive(Debug, Args)]
pub(super) struct ConfinedArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}
