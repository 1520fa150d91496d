//! The command line of the command server.

use super::{
    Common, DONE, Endpoint, FAILED, Running, Seconds, count, finish, number, seconds, usage,
};
use crate::command::calendar::Calendar;
use crate::command::client::{Client, Lost};
use crate::command::console::{self, Ended, Session};
use crate::command::limits::{
    CLIENTS_MAX, IDLE_MS_LIMIT, IDLE_MS_MAX, STRESS_CLIENTS_MAX, STRESS_REQUESTS_MAX,
};
use crate::command::server::{Config, Server};
use crate::command::stress::{self, Load};
use crate::net::capacity;
use crate::net::failure::Failure;
use crate::net::limits::{LINE_BYTES_MAX, LINES_MAX};
use crate::net::lines::{self, Settings, Typed};
use crate::net::progress;
use crate::net::users::{self, Users};
use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use crossbeam_channel::{Receiver, bounded};
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The server
    Server(ServerArgs),
    /// A client: for a person, for a script, or many at once
    Client(ClientArgs),
    /// Adds a user to a file
    Adduser(AdduserArgs),
}

impl Command {
    pub(super) fn run(self) -> ExitCode {
        finish(match self {
            Command::Server(args) => args.run(),
            Command::Client(args) => args.run(),
            Command::Adduser(args) => args.run(),
        })
    }
}

/// A TCP command server: ECHO, TIME and EXIT
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    malha command server\n  \
    malha command server --listen 127.0.0.1:0 --udp --log /tmp/log.txt\n  \
    malha command server --users users.txt --idle-timeout 60\n\n\
    Ctrl-C ends it. Exit status: 0 done, 1 failed, 2 usage, 130 second Ctrl-C.")]
pub(super) struct ServerArgs {
    /// Address to which clients connect; port 0: the system chooses
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    listen: Endpoint,
    /// Log file, to which it appends
    #[arg(long, value_name = "FILE", default_value = "server_log.txt")]
    log: PathBuf,
    /// Clients at a time
    #[arg(long, value_name = "N", value_parser = count, default_value_t = CLIENTS_MAX)]
    max_clients: usize,
    /// Seconds after which a client that asks nothing is closed
    #[arg(long, value_name = "SECONDS", value_parser = seconds::<1, IDLE_MS_LIMIT>)]
    #[arg(default_value_t = Seconds(IDLE_MS_MAX))]
    idle_timeout: Seconds,
    /// Answers datagrams, too, at the same port number
    #[arg(long, conflicts_with = "users")]
    udp: bool,
    /// Asks for a name and password out of this file; see `malha command adduser`
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl ServerArgs {
    fn run(self) -> Result<u8, Failure> {
        let users = self.users.map(|file| Users::read(&file)).transpose()?;
        let running = Running::start(self.common.trace)?;
        let server = Server::bind(Config {
            listen: self.listen.resolve()?,
            log: self.log,
            clients_max: self.max_clients,
            idle_ms_max: self.idle_timeout.0,
            has_udp: self.udp,
            users,
            screen: running.screen.clone(),
            trace: running.trace.clone(),
            clock: running.clock,
            calendar: Calendar::system(),
        })?;
        server.serve(&running.stop)?;
        Ok(DONE)
    }
}

/// A client of a command server
///
/// Takes requests from the command line, or line by line from standard input. A connection that is
/// lost or refused is tried again, and the request that was lost is repeated.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    malha command client\n  \
    malha command client ECHO TIME EXIT\n  \
    malha command client 'AUTH ana segredo' TIME\n  \
    malha command client --clients 10 --requests 10000\n\n\
    EXIT is the last: what stands behind it is not asked, and a failure.\n\n\
    Exit status: 0 all were answered, 1 not, 2 usage, 130 second Ctrl-C.")]
pub(super) struct ClientArgs {
    /// Address of the server
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000")]
    connect: Endpoint,
    /// What to ask, instead of standard input
    command: Vec<String>,
    /// Many clients that check every answer; the default is 10
    #[arg(long, value_name = "N", conflicts_with = "command")]
    #[arg(value_parser = number::<u64, 1, { STRESS_CLIENTS_MAX as u64 }>)]
    clients: Option<u64>,
    /// Requests of each of them; the default is 1000
    #[arg(long, value_name = "M", conflicts_with = "command")]
    #[arg(value_parser = number::<u64, 1, STRESS_REQUESTS_MAX>)]
    requests: Option<u64>,
    #[command(flatten)]
    common: Common,
}

impl ClientArgs {
    fn run(self) -> Result<u8, Failure> {
        if self.clients.is_some() || self.requests.is_some() {
            return self.stress();
        }
        if self.command.iter().any(|line| line.trim().is_empty() || line.contains('\n')) {
            let text = "a command is one line, and not an empty one".to_owned();
            usage(ClientArgs::command().error(ErrorKind::ValueValidation, text));
        }
        let running = Running::start(self.common.trace)?;
        let addrs = self.connect.resolve()?;
        let is_one_shot = !self.command.is_empty();
        let lines = self.lines(&running)?;
        let show = |line: &str| running.screen.line(line);
        let warn = |line: &str| running.trace.warn(format_args!("{line}"));
        let ended = thread::scope(|scope| {
            let client = Client::new(scope, addrs, running.trace.clone());
            let server = self.connect.to_string();
            let session = Session {
                client,
                server: &server,
                lines: &lines,
                show: &show,
                say: if is_one_shot { &warn } else { &show },
                stop: &running.stop,
                has_person: !is_one_shot && lines::is_interactive(),
            };
            session.run()
        });
        match ended {
            Ended::Done => running.shown(DONE),
            Ended::Unasked => {
                running.screen.finish();
                let (what, why) = ("cannot ask everything", "there is more behind EXIT");
                Err(Failure { what: what.to_owned(), why: why.to_owned() })
            }
            Ended::Lost(lost) => {
                running.screen.finish();
                Err(self.lost(lost))
            }
        }
    }

    fn lost(&self, lost: Lost) -> Failure {
        let what = format!("no answer from {}", self.connect);
        match lost {
            Lost::Unreachable(error) => Failure::from_io(what)(error),
            Lost::Stranger(_) => {
                let what = format!("{} is no command server", self.connect);
                Failure { what, why: lost.to_string() }
            }
            lost => Failure { what, why: lost.to_string() },
        }
    }

    /// What is asked, line by line.
    fn lines(&self, running: &Running) -> Result<Receiver<String>, Failure> {
        let (lines_in, lines) = bounded(self.command.len().max(LINES_MAX));
        if !self.command.is_empty() {
            // There is room for all of them, and we hold the other end.
            self.command.iter().for_each(|request| drop(lines_in.send(request.clone())));
            return Ok(lines);
        }
        if lines::is_interactive() {
            running.screen.lines(console::menu());
        }
        let interrupt = running.interrupt.clone();
        let take = move |typed: Typed| match typed {
            Typed::Line(line) => lines_in.send(line).is_ok(),
            Typed::Interrupt => {
                interrupt();
                true
            }
            Typed::End => false,
        };
        let failed = Failure::from_io("cannot read the console".to_owned());
        lines::read(console::WORDS, &running.screen, take).map_err(failed)?;
        Ok(lines)
    }

    fn stress(self) -> Result<u8, Failure> {
        let running = Running::start(self.common.trace)?;
        let (clients, requests) = (self.clients.unwrap_or(10), self.requests.unwrap_or(1000));
        let load = Load { addrs: self.connect.resolve()?, clients: clients as usize, requests };
        let what = || format!("cannot run {clients} clients");
        capacity::check(load.clients, 1).map_err(|why| Failure { what: what(), why })?;
        let bar = progress::bar(clients * requests);
        let report = stress::run(&load, &running.stop, &bar).map_err(Failure::from_io(what()))?;
        bar.finish_and_clear();
        // Where nobody was reached there are no figures.
        if report.connected > 0 {
            running.screen.lines(report.lines());
        }
        let Some(first) = report.failures.first() else { return running.shown(DONE) };
        running.screen.finish();
        let what = format!("{} of {clients} clients failed", report.failures.len());
        Err(Failure { what, why: first.clone() })
    }
}

/// Adds a user to a file of names and passwords, which is made if it is not there
///
/// Asks for the password twice on a terminal; reads it from the first line of anything else.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    malha command adduser --users users.txt ana\n  \
    printf 'segredo\\n' | malha command adduser --users users.txt ana")]
pub(super) struct AdduserArgs {
    /// The file
    #[arg(long, value_name = "FILE")]
    users: PathBuf,
    /// The new user's name
    name: String,
}

impl AdduserArgs {
    fn run(self) -> Result<u8, Failure> {
        users::check_new(&self.users, &self.name)?;
        let password = password(&self.name)?;
        users::add(&self.users, &self.name, &password)?;
        Ok(DONE)
    }
}

fn password(name: &str) -> Result<String, Failure> {
    let cannot = || "cannot read the password".to_owned();
    let failed = || Failure::from_io(cannot());
    if !io::stdin().is_terminal() {
        return read_line().map_err(failed());
    }
    let settings = Settings::save();
    let shown = settings.clone();
    // Ctrl-C gives the terminal back, too, and whoever comes next a line of his own.
    let interrupted = move || {
        shown.restore();
        let _ = io::stderr().write_all(b"\n");
        std::process::exit(i32::from(FAILED));
    };
    ctrlc::set_handler(interrupted)
        .map_err(|error| Failure { what: cannot(), why: error.to_string() })?;
    settings.hide().map_err(failed())?;
    let ask = |prompt: &str| {
        let mut stderr = io::stderr();
        stderr.write_all(prompt.as_bytes()).and_then(|()| stderr.flush())?;
        read_line()
    };
    let first = ask(&format!("Password of {}: ", name.escape_debug())).map_err(failed())?;
    let second = ask("Again: ").map_err(failed())?;
    if first != second {
        return Err(Failure { what: cannot(), why: "they differ".to_owned() });
    }
    Ok(first)
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().take(LINE_BYTES_MAX as u64).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
