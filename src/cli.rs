//! The command line: parse, dispatch, exit code.

#[cfg(feature = "charging")]
mod charging;
#[cfg(feature = "chat")]
mod chat;
#[cfg(feature = "command")]
mod command;
#[cfg(feature = "grid")]
pub mod grid;
#[cfg(feature = "tasks")]
mod tasks;

use crate::net::clock::Clock;
use crate::net::failure::Failure;
use crate::net::lines::Settings;
use crate::net::screen::Screen;
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::trace::{Level, Trace};
use clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
use clap::{Parser, Subcommand};
use parking_lot::Mutex;
use std::fmt;
#[cfg(any(feature = "command", feature = "chat", feature = "charging", feature = "tasks"))]
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

/// Done.
pub const DONE: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// A command line that cannot be understood.
const USAGE: u8 = 2;
/// A second Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Classic network systems on blocking sockets, threads and channels.
#[derive(Debug, Parser)]
#[command(name = "malha", version, arg_required_else_help = true)]
struct Malha {
    #[command(subcommand)]
    system: System,
}

#[derive(Debug, Subcommand)]
enum System {
    /// Smart-grid servers, linked in pairs, and their clients
    #[cfg(feature = "grid")]
    #[command(subcommand)]
    Grid(grid::Grid),
    /// A TCP command server and its client
    #[cfg(feature = "command")]
    #[command(subcommand)]
    Command(command::Command),
    /// Messages over UDP, with pages in the browser
    #[cfg(feature = "chat")]
    #[command(subcommand)]
    Chat(chat::Chat),
    /// Electric vehicles and charging stations over MQTT, and the broker
    #[cfg(feature = "charging")]
    #[command(subcommand)]
    Charging(charging::Charging),
    /// A master that hands out tasks, and peers that run them
    #[cfg(feature = "tasks")]
    #[command(subcommand)]
    Tasks(tasks::Tasks),
    /// Load, and comparison with a bare server in the same run
    #[cfg(feature = "bench")]
    #[command(subcommand)]
    Bench(crate::bench::Bench),
}

/// What every program here has.
#[derive(Debug, clap::Args)]
struct Common {
    /// What to tell on standard error of what happens
    #[arg(long, value_enum, default_value_t)]
    trace: Level,
}

/// The program `malha`.
pub fn malha() -> ExitCode {
    match parse::<Malha>().system {
        #[cfg(feature = "grid")]
        System::Grid(grid) => grid.run(),
        #[cfg(feature = "command")]
        System::Command(command) => command.run(),
        #[cfg(feature = "chat")]
        System::Chat(chat) => chat.run(),
        #[cfg(feature = "charging")]
        System::Charging(charging) => charging.run(),
        #[cfg(feature = "tasks")]
        System::Tasks(tasks) => tasks.run(),
        #[cfg(feature = "bench")]
        System::Bench(bench) => finish(bench.run()),
    }
}

/// What a running program has: a screen, a trace, and a way to be stopped.
pub(crate) struct Running {
    clock: Clock,
    screen: Screen,
    trace: Trace,
    pub(crate) stop: Stop,
    #[cfg_attr(
        not(any(feature = "grid", feature = "command", feature = "chat", feature = "tasks")),
        expect(dead_code, reason = "only those have a console, where Ctrl-C is a key")
    )]
    interrupt: Arc<dyn Fn() + Send + Sync>,
    is_on_terminal: bool,
    _settings: Settings,
}

impl Running {
    pub(crate) fn start(level: Level) -> Result<Running, Failure> {
        let (stopper, stop) = stop_pair();
        Running::start_with(level, vec![stopper], stop)
    }

    /// One that the first Ctrl-C asks to stop and the second to stop at once; the third ends it.
    #[cfg(feature = "tasks")]
    fn start_patient(level: Level) -> Result<(Running, Stop), Failure> {
        let ((first, stop), (second, stop_now)) = (stop_pair(), stop_pair());
        Ok((Running::start_with(level, vec![second, first], stop)?, stop_now))
    }

    /// Each Ctrl-C drops the last of `stoppers`; one more ends the program.
    fn start_with(level: Level, stoppers: Vec<Stopper>, stop: Stop) -> Result<Running, Failure> {
        let clock = Clock::start();
        let screen = Screen::stdout().map_err(Failure::from_io("cannot start".to_owned()))?;
        let is_on_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        let settings = Settings::save();
        // A mutex, because a signal comes whenever it likes: it cannot wait for a message.
        let stoppers = Mutex::new(stoppers);
        let (last_words, terminal) = (screen.clone(), settings.clone());
        let interrupt: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
            if stoppers.lock().pop().is_none() {
                last_words.finish();
                terminal.restore();
                std::process::exit(INTERRUPTED);
            }
        });
        let on_signal = Arc::clone(&interrupt);
        ctrlc::set_handler(move || on_signal()).map_err(|error| Failure {
            what: "cannot handle Ctrl-C".to_owned(),
            why: error.to_string(),
        })?;
        let trace =
            Trace::stderr(level, clock).map_err(Failure::from_io("cannot start".to_owned()))?;
        Ok(Running { clock, screen, trace, stop, interrupt, is_on_terminal, _settings: settings })
    }
}

impl Running {
    /// `code`, if all that was said could be shown.
    fn shown(&self, code: u8) -> Result<u8, Failure> {
        let is_shown = self.screen.finish() && self.screen.failure().is_none();
        Ok(if is_shown { code } else { FAILED })
    }
}

impl Drop for Running {
    /// Says what could not be shown, also where that is no failure: a server has served, whoever
    /// could see it.
    fn drop(&mut self) {
        let is_shown = self.screen.finish();
        let unread = || (!is_shown).then(|| "nobody reads it, the last lines are lost".to_owned());
        // A terminal that takes nothing has gone, or is stopped: the person knows.
        let why = self.screen.failure().or_else(unread).filter(|_| !self.is_on_terminal);
        if let Some(why) = why {
            self.trace.warn(format_args!("error: cannot write to standard output: {why}"));
        }
        self.trace.finish();
    }
}

/// The command line, or one line that says what is wrong with it, and exit code 2.
fn parse<T: Parser>() -> T {
    T::try_parse().unwrap_or_else(|error| usage(error))
}

/// What is wrong with a command line, in one line.
fn usage(error: clap::Error) -> ! {
    if !error.use_stderr() || error.kind() == DisplayHelpOnMissingArgumentOrSubcommand {
        // `--help` and `--version`, and the help that a bare `malha` shows.
        error.exit();
    }
    let text = error.render().to_string();
    // The first paragraph says it; `--help` shows the rest.
    let said: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let said = said.join(" ");
    complain(&format_args!("{}; see --help", said.trim_start_matches("error: ")));
    std::process::exit(i32::from(USAGE));
}

/// One line for what failed, and the exit code.
fn finish(outcome: Result<u8, Failure>) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            complain(&failure);
            ExitCode::from(FAILED)
        }
    }
}

/// `eprintln!` would panic where nobody reads it, and writes in pieces, between which the editor of
/// a console could draw its line again. What is half typed there makes room.
fn complain(failure: &dyn std::fmt::Display) {
    use std::io::{IsTerminal, Write};
    let is_typed_at = crate::net::lines::is_interactive() && std::io::stderr().is_terminal();
    let clear = if is_typed_at { "\r\x1b[K" } else { "" };
    let line = format!("{clear}error: {failure}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A time, kept in ms.
#[cfg(any(feature = "grid", feature = "command", feature = "chat", feature = "tasks"))]
#[derive(Debug, Clone, Copy)]
struct Seconds(u64);

#[cfg(any(feature = "grid", feature = "command", feature = "chat", feature = "tasks"))]
impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 as f64 / 1000.0)
    }
}

#[cfg(any(feature = "grid", feature = "command", feature = "chat", feature = "tasks"))]
fn seconds<const MS_MIN: u64, const MS_MAX: u64>(text: &str) -> Result<Seconds, String> {
    let given = text.parse().ok().map(|given: f64| Seconds((given * 1000.0).round() as u64));
    let (least, most) = (Seconds(MS_MIN), Seconds(MS_MAX));
    given
        .filter(|given| (MS_MIN..=MS_MAX).contains(&given.0))
        .ok_or_else(|| format!("not a number of seconds from {least} to {most}"))
}

/// A whole number from `MIN` to `MAX`.
pub(crate) fn number<T: TryFrom<u64>, const MIN: u64, const MAX: u64>(
    text: &str,
) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| (MIN..=MAX).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("not a number from {MIN} to {MAX}"))
}

/// How many of something there may be at a time, where the machine is the limit.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    number::<usize, 1, { u32::MAX as u64 }>(text)
}

/// What decides all that is left to chance.
#[cfg(any(feature = "grid", feature = "charging"))]
fn seed(text: &str) -> Result<u64, String> {
    number::<u64, 0, { u64::MAX }>(text)
}

/// `ADDR:PORT`, `[::1]:PORT` or `NAME:PORT`.
#[cfg(any(feature = "command", feature = "chat", feature = "charging", feature = "tasks"))]
#[derive(Debug, Clone)]
struct Endpoint {
    host: String,
    port: u16,
}

#[cfg(any(feature = "command", feature = "chat", feature = "charging", feature = "tasks"))]
impl std::str::FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let (host, port) = parts.ok_or("not ADDR:PORT")?;
        let port = port.parse().map_err(|_| "the port is not a number from 0 to 65535")?;
        Ok(Endpoint { host: host.to_owned(), port })
    }
}

#[cfg(any(feature = "command", feature = "chat", feature = "charging", feature = "tasks"))]
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(any(feature = "command", feature = "chat", feature = "charging", feature = "tasks"))]
impl Endpoint {
    fn resolve(&self) -> Result<Vec<SocketAddr>, Failure> {
        let found = crate::net::dial::resolve(&self.host, self.port);
        found.map_err(Failure::from_io(format!("cannot find {}", self.host)))
    }
}

/// Where a page is served.
#[cfg(feature = "web")]
fn listen(endpoint: &Endpoint) -> Result<std::net::TcpListener, Failure> {
    let what = format!("cannot serve a page at {endpoint}");
    crate::net::accept::listen(&endpoint.resolve()?).map_err(Failure::from_io(what))
}

#[cfg(feature = "web")]
fn announce(running: &Running, page: &std::net::TcpListener) -> Result<(), Failure> {
    let addr = page.local_addr().map_err(Failure::from_io("cannot serve a page".to_owned()))?;
    running.screen.line(format_args!("page at http://{addr}/"));
    Ok(())
}
