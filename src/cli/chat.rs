//! The command line of the chat.

use super::{
    Common, DONE, Endpoint, Running, Seconds, announce, count, finish, listen, number, seconds,
    usage,
};
use crate::chat::client::{self, Told};
use crate::chat::console::{self, Typed as Meant};
use crate::chat::limits::{
    BEHIND_MS_MAX, CLIENTS_MAX, NAME_BYTES_MAX, RATE_MAX, STATUS_MS, STATUS_MS_LIMIT,
};
use crate::chat::pages;
use crate::chat::protocol::Id;
use crate::chat::server::{Config, Server};
use crate::chat::session::{Ending, Identity};
use crate::chat::state::Setup;
use crate::net::failure::Failure;
use crate::net::limits::LINES_MAX;
use crate::net::lines::{self, Typed};
use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use crossbeam_channel::bounded;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(super) enum Chat {
    /// The server
    Server(ServerArgs),
    /// A client
    Client(ClientArgs),
}

impl Chat {
    pub(super) fn run(self) -> ExitCode {
        finish(match self {
            Chat::Server(args) => args.run(),
            Chat::Client(args) => args.run(),
        })
    }
}

/// A chat server: datagrams in, datagrams out
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    malha chat server\n  \
    malha chat server --web 127.0.0.1:8080\n  \
    malha chat server --listen 0.0.0.0:1235 --status-every 300\n\n\
    Ctrl-C ends it. Exit status: 0 done, 1 failed, 2 usage, 130 second Ctrl-C.")]
pub(super) struct ServerArgs {
    /// Address to which clients send; port 0: the system chooses
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:1235")]
    listen: Endpoint,
    /// Serves a page there, with which the server is started and stopped
    #[arg(long, value_name = "ADDR:PORT")]
    web: Option<Endpoint>,
    /// Seconds between two words to all on how the server is
    #[arg(long, value_name = "SECONDS", value_parser = seconds::<1, STATUS_MS_LIMIT>)]
    #[arg(default_value_t = Seconds(STATUS_MS))]
    status_every: Seconds,
    /// Clients at a time
    #[arg(long, value_name = "N", value_parser = count, default_value_t = CLIENTS_MAX)]
    max_clients: usize,
    /// Messages a second of one client
    #[arg(long, value_name = "N", value_parser = number::<u32, 1, { u32::MAX as u64 }>)]
    #[arg(default_value_t = RATE_MAX)]
    max_rate: u32,
    #[command(flatten)]
    common: Common,
}

impl ServerArgs {
    fn run(self) -> Result<u8, Failure> {
        let running = Running::start(self.common.trace)?;
        let config = Config {
            listen: self.listen.resolve()?,
            setup: Setup {
                clients_max: self.max_clients,
                rate_max: self.max_rate,
                status_ms: self.status_every.0,
            },
            trace: running.trace.clone(),
            clock: running.clock,
        };
        let server = Server::bind(config.clone())?;
        let page = self.web.as_ref().map(listen).transpose()?;
        running.screen.line(format_args!("listening on {}", server.addr()));
        let bytes = server.receive_bytes();
        running.trace.event(format_args!("ev=listen receive_bytes={bytes}"));
        if let Some(page) = page {
            announce(&running, &page)?;
            pages::server::serve(page, &config, server, &running.stop)?;
            return Ok(DONE);
        }
        let report = server.serve(&running.stop, None)?;
        if !report.is_empty() {
            running.trace.warn(format_args!("{report}"));
        }
        Ok(DONE)
    }
}

/// A chat client
///
/// What is typed is for everybody; /to ID text is for one, /list shows who is there, /quit leaves.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    malha chat client --id 1 --name Ana\n  \
    malha chat client --connect 10.0.0.7:1235 --id 2 --name Bia\n  \
    malha chat client --web 127.0.0.1:8081\n\n\
    Exit status: 0 done, 1 no answer or refused, 2 usage, 130 second Ctrl-C.")]
pub(super) struct ClientArgs {
    /// Address of the server
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:1235")]
    connect: Endpoint,
    /// Our id, which nobody else has
    #[arg(long, value_name = "N", value_parser = number::<u32, 1, { u32::MAX as u64 }>)]
    #[arg(required_unless_present = "web")]
    id: Option<Id>,
    /// Our name
    #[arg(long, value_name = "NAME", value_parser = name, required_unless_present = "web")]
    name: Option<String>,
    /// Serves a page there instead, which has a form for all this
    #[arg(long, value_name = "ADDR:PORT", conflicts_with_all = ["connect", "id", "name"])]
    web: Option<Endpoint>,
    #[command(flatten)]
    common: Common,
}

impl ClientArgs {
    fn run(self) -> Result<u8, Failure> {
        let running = Running::start(self.common.trace)?;
        if let Some(page) = &self.web {
            let page = listen(page)?;
            announce(&running, &page)?;
            pages::client::serve(page, &running.trace, running.clock, &running.stop)?;
            return Ok(DONE);
        }
        let server = first(&self.connect)?;
        if server.port() == 0 {
            let text = "the port to connect to is 0".to_owned();
            usage(ClientArgs::command().error(ErrorKind::ValueValidation, text));
        }
        let config = client::Config {
            server,
            identity: Identity {
                id: self.id.unwrap_or_default(),
                name: self.name.unwrap_or_default(),
            },
            trace: running.trace.clone(),
            clock: running.clock,
        };
        let (wanted_in, wanted) = bounded(LINES_MAX);
        let (screen, interrupt) = (running.screen.clone(), running.interrupt.clone());
        let take = move |typed: Typed| match typed {
            Typed::Line(line) => match console::parse(&line) {
                Meant::Empty => true,
                Meant::Wanted(event) => wanted_in.send(event).is_ok(),
                Meant::Help(lines) => {
                    screen.lines(lines);
                    true
                }
            },
            Typed::Interrupt => {
                interrupt();
                true
            }
            Typed::End => false,
        };
        lines::read(console::WORDS, &running.screen, take)
            .map_err(Failure::from_io("cannot read the console".to_owned()))?;
        let tell = |told: Told| {
            if let Told::Line(line) = told {
                console::show(&line).into_iter().for_each(|line| running.screen.line(line));
            }
        };
        let ending = client::run(&config, &wanted, &tell, &running.stop)?;
        let is_left = matches!(ending, Ending::Left) && !running.stop.is_asked();
        let behind = Duration::from_millis(BEHIND_MS_MAX);
        let has_more = is_left && !lines::is_interactive() && wanted.recv_timeout(behind).is_ok();
        running.screen.finish();
        let what = format!("cannot join {server}");
        console::ending(&ending).map_err(|why| Failure { what, why })?;
        if has_more {
            let (what, why) = ("cannot say everything", "there is more behind /quit");
            return Err(Failure { what: what.to_owned(), why: why.to_owned() });
        }
        running.shown(DONE)
    }
}

/// A datagram goes to one address.
fn first(endpoint: &Endpoint) -> Result<SocketAddr, Failure> {
    Ok(endpoint.resolve()?[0])
}

fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.len() > NAME_BYTES_MAX || text.contains('\0') {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    Ok(text.to_owned())
}
