//! Two servers in one process, for those who want to see them at work: `make run-servers` and
//! `make demo`.

use crate::grid::client::{Client, Lost};
use crate::grid::console;
use crate::grid::limits::{DEMO_LOOK_MS, DEMO_LOOKS_MAX};
use crate::grid::protocol::{DONE_TEXT, Message, Query, Scope};
use crate::grid::sensors::Sensor;
use crate::grid::server::{Config, Outcome, Server};
use crate::net::failure::Failure;
use crate::net::screen::Screen;
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::threads;
use crate::net::trace::Trace;
use crossbeam_channel::{Receiver, RecvError, bounded, never, select};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

/// Serves with both until `stop`. Their lines are marked `[1]` and `[2]`.
pub fn run(first: Config, second: Config, stop: &Stop) -> Result<(), Failure> {
    let servers = [bind(first, "[1] ")?, bind(second, "[2] ")?];
    thread::scope(|scope| {
        let [first, second] = servers;
        let (first, second) = (Serving::start(scope, first)?, Serving::start(scope, second)?);
        select! {
            recv(stop.channel()) -> _ => {}
            recv(first.ended) -> outcome => return early(outcome),
            recv(second.ended) -> outcome => return early(outcome),
        }
        second.stop()?;
        first.stop()
    })
}

fn bind(mut config: Config, mark: &str) -> Result<Server, Failure> {
    config.screen = config.screen.marked(mark);
    Server::bind(config)
}

fn failed(why: &str) -> Failure {
    Failure { what: "cannot show two servers".to_owned(), why: why.to_owned() }
}

/// One of both has ended though nobody stopped it.
fn early(outcome: Result<Result<Outcome, Failure>, RecvError>) -> Result<(), Failure> {
    outcome.map_err(|_| failed("a server panicked"))??;
    Err(failed("there are two servers at this peer port already"))
}

/// Shows everything once: two servers find each other, a client of each asks all six questions,
/// and all of them leave.
///
/// `config` is the first server's and has port 0 everywhere, so that it works beside other
/// servers; the second one differs in its `sensors`.
pub fn demo(config: Config, sensors: Vec<Sensor>, stop: &Stop) -> Result<(), Failure> {
    let (screen, trace) = (config.screen.clone(), config.trace.clone());
    let first = bind(config.clone(), "[server 1] ")?;
    let peer = first.peer_addr().ok_or_else(|| failed("no peer port"))?;
    let second = bind(Config { peer: vec![peer], sensors, ..config }, "[server 2] ")?;
    let clients = [first.client_addr(), second.client_addr()];
    thread::scope(|scope| {
        // Dropped when a client fails, too: then both servers end.
        let (first, second) = (Serving::start(scope, first)?, Serving::start(scope, second)?);
        for (number, addr) in clients.iter().enumerate() {
            let screen = screen.marked(&format!("[client {}] ", number + 1));
            ask_all(*addr, &screen, stop, &trace).map_err(|lost| failed(&lost.to_string()))?;
        }
        second.stop()?;
        first.stop()
    })
}

/// A server that runs until this is dropped.
struct Serving {
    stopper: Stopper,
    ended: Receiver<Result<Outcome, Failure>>,
}

impl Serving {
    fn start<'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        server: Server,
    ) -> Result<Serving, Failure> {
        let (stopper, stop) = stop_pair();
        let (ended_in, ended) = bounded(1);
        threads::spawn(scope, "grid-server".to_owned(), move || {
            // Nobody listens any more when this fails: the demo is over.
            let _ = ended_in.send(server.serve(&stop, &never()));
        })
        .map_err(Failure::from_io("cannot start a server".to_owned()))?;
        Ok(Serving { stopper, ended })
    }

    /// Stops it and waits for its end.
    fn stop(self) -> Result<(), Failure> {
        drop(self.stopper);
        self.ended.recv().map_err(|_| failed("a server panicked"))?.map(drop)
    }
}

fn ask_all(addr: SocketAddr, screen: &Screen, stop: &Stop, trace: &Trace) -> Result<(), Lost> {
    thread::scope(|scope| {
        let mut client = Client::join(scope, &[addr], stop, trace)?;
        screen.line(format_args!("New ID: {}", client.id()));
        wait_for_link(&mut client, stop)?;
        for (word, query) in console::questions() {
            let answer = client.ask(query, stop)?;
            screen.line(format_args!("> {word}"));
            screen.line(answer.payload());
            if let Message::Error(refusal) = answer {
                return Err(Lost::Refused(refusal));
            }
        }
        client.leave()?;
        screen.line(DONE_TEXT);
        Ok(())
    })
}

/// The servers need a moment to find each other.
fn wait_for_link(client: &mut Client, stop: &Stop) -> Result<(), Lost> {
    for _ in 0..DEMO_LOOKS_MAX {
        match client.ask(Query::Power(Scope::External), stop)? {
            Message::Error(_) if stop.wait(Duration::from_millis(DEMO_LOOK_MS)) => break,
            Message::Error(_) => {}
            _ => break,
        }
    }
    Ok(())
}
