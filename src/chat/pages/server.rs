//! The server's page: it starts and stops the server, and survives it.

use super::{CSS, Form, HTML, LIVE, Running, SCRIPT, STYLE, file};
use crate::chat::limits::PAGE_CLIENTS_MAX;
use crate::chat::server::{Config, Server, Watch};
use crate::chat::state::State;
use crate::net::clock::Millis;
use crate::net::failure::Failure;
use crate::net::stop::{Stop, stop_pair};
use crate::net::threads;
use crate::web::hub::Hub;
use crate::web::limits::ACTS_MAX;
use crate::web::site::{self, Act, File, Site};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use serde_json::json;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, Scope};

const FILES: &[File] = &[
    file("/", HTML, include_str!("server.html")),
    file("/server.js", SCRIPT, include_str!("server.js")),
    file("/chat.css", CSS, include_str!("chat.css")),
    STYLE,
    LIVE,
];

/// Serves the page at `listener`, and first the chat at `server`, until stop.
pub fn serve(
    listener: TcpListener,
    config: &Config,
    server: Server,
    stop: &Stop,
) -> Result<(), Failure> {
    let served = thread::scope(|scope| -> io::Result<()> {
        let (acts_in, acts) = bounded(ACTS_MAX);
        let hub = Hub::start(scope)?;
        let (files, trace) = (FILES, config.trace.clone());
        let site = Site { files, acts: acts_in, hub: hub.clone(), trace };
        let open = site::open(scope, listener, site)?;
        let (ended_in, ended) = bounded(1);
        let addr = server.addr();
        let mut office = Office { scope, config, hub, ended_in, ended, running: None, addr };
        office.start(server)?;
        loop {
            select_biased! {
                recv(stop.channel()) -> _ => break,
                recv(office.ended) -> _ => office.has_ended(),
                recv(acts) -> act => match act {
                    Ok(act) => office.act(&act),
                    Err(_) => break,
                },
            }
        }
        office.stop();
        drop(open);
        Ok(())
    });
    served.map_err(Failure::from_io("cannot serve the page".to_owned()))
}

/// The chat server that runs, if one does.
struct Office<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    config: &'env Config,
    hub: Hub,
    ended_in: Sender<()>,
    ended: Receiver<()>,
    running: Option<Running>,
    /// Where it listens, or did last.
    addr: SocketAddr,
}

impl Office<'_, '_> {
    fn act(&mut self, act: &Act) {
        let outcome = match act.path.as_str() {
            "/start" => self.start_at(&Form::of(act)),
            "/stop" => {
                self.stop();
                Ok(())
            }
            _ => Err("unknown action".to_owned()),
        };
        // The page may be gone by now.
        let _ = act.reply.try_send(outcome);
    }

    fn start_at(&mut self, form: &Form) -> Result<(), String> {
        if self.running.is_some() {
            return Err("O servidor já está ativo.".to_owned());
        }
        let addrs = form.addrs()?;
        let what = format!("Não foi possível escutar em {}", addrs[0]);
        let config = Config { listen: addrs, ..self.config.clone() };
        let server = Server::bind(config).map_err(|failure| format!("{what}: {}", failure.why))?;
        self.start(server).map_err(|error| format!("{what}: {error}"))
    }

    fn start(&mut self, server: Server) -> io::Result<()> {
        self.addr = server.addr();
        let (stopper, stop) = stop_pair();
        let (ended, view) = (self.ended_in.clone(), View(self.hub.clone()));
        let trace = self.config.trace.clone();
        threads::spawn(self.scope, "chat".to_owned(), move || {
            match server.serve(&stop, Some(&view)) {
                Ok(report) if report.is_empty() => {}
                Ok(report) => trace.warn(format_args!("{report}")),
                Err(failure) => trace.warn(format_args!("{failure}")),
            }
            // One server runs at a time, so there is room.
            let _ = ended.try_send(());
        })?;
        self.running = Some(Running { _stopper: stopper });
        Ok(())
    }

    /// Waits until it has ended: it waits for nothing that could last.
    fn stop(&mut self) {
        if self.running.take().is_some() && self.ended.recv().is_ok() {
            self.has_ended();
        }
    }

    fn has_ended(&mut self) {
        self.running = None;
        let (host, port) = (self.addr.ip().to_string(), self.addr.port());
        let state = json!({ "running": false, "host": host, "port": port });
        self.hub.tell("state", &state.to_string(), 1);
    }
}

/// What the pages see of a server.
struct View(Hub);

impl Watch for View {
    fn show(&self, now: Millis, addr: SocketAddr, state: &State, trouble: &[(&str, u64)]) {
        let seconds = |since: Millis| since.until(now).as_secs();
        let clients = state.clients().iter().take(PAGE_CLIENTS_MAX);
        let clients = clients.map(|(id, client)| {
            json!({
                "id": id,
                "name": client.name,
                "addr": client.addr.to_string(),
                "seconds": seconds(client.since),
            })
        });
        let state = json!({
            "running": true,
            "host": addr.ip().to_string(),
            "port": addr.port(),
            "ms": now.0,
            "seconds": seconds(state.started_at()),
            "texts": state.counters().texts,
            "clients_total": state.clients().len(),
            "clients": clients.collect::<Vec<_>>(),
            "trouble": trouble,
        });
        self.0.tell("state", &state.to_string(), 1);
    }
}
