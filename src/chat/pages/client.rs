//! The client's page: a form to connect with, and the conversation.

use super::{CSS, Form, HTML, LIVE, Running, SCRIPT, STYLE, file};
use crate::chat::client::{self, Told};
use crate::chat::limits::{NAME_BYTES_MAX, PAGE_LINES_MAX};
use crate::chat::protocol::{EVERYBODY, Id, LIST_HEAD};
use crate::chat::session::{Ending, Event, Identity, Line, Voice};
use crate::net::clock::Clock;
use crate::net::failure::Failure;
use crate::net::limits::LINES_MAX;
use crate::net::stop::{Stop, stop_pair};
use crate::net::threads;
use crate::net::trace::Trace;
use crate::web::hub::Hub;
use crate::web::limits::ACTS_MAX;
use crate::web::site::{self, Act, File, Site};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use serde_json::json;
use std::io;
use std::net::TcpListener;
use std::thread::{self, Scope};

const FILES: &[File] = &[
    file("/", HTML, include_str!("client.html")),
    file("/client.js", SCRIPT, include_str!("client.js")),
    file("/chat.css", CSS, include_str!("chat.css")),
    STYLE,
    LIVE,
];

/// Serves the page at `listener` until stop.
pub fn serve(
    listener: TcpListener,
    trace: &Trace,
    clock: Clock,
    stop: &Stop,
) -> Result<(), Failure> {
    let served = thread::scope(|scope| -> io::Result<()> {
        let (acts_in, acts) = bounded(ACTS_MAX);
        let hub = Hub::start(scope)?;
        let (files, site_trace) = (FILES, trace.clone());
        let site = Site { files, acts: acts_in, hub: hub.clone(), trace: site_trace };
        let open = site::open(scope, listener, site)?;
        let (ended_in, ended) = bounded(1);
        let trace = trace.clone();
        let mut desk = Desk { scope, trace, clock, hub, ended_in, ended, talk: None };
        desk.idle(None);
        loop {
            select_biased! {
                recv(stop.channel()) -> _ => break,
                recv(desk.ended) -> why => desk.has_ended(why.ok().flatten()),
                recv(acts) -> act => match act {
                    Ok(act) => {
                        let outcome = desk.act(&act);
                        // The page may be gone by now.
                        let _ = act.reply.try_send(outcome);
                    }
                    Err(_) => break,
                },
            }
        }
        desk.disconnect();
        drop(open);
        Ok(())
    });
    served.map_err(Failure::from_io("cannot serve the page".to_owned()))
}

/// The session that runs, if one does.
struct Desk<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    trace: Trace,
    clock: Clock,
    hub: Hub,
    ended_in: Sender<Option<String>>,
    ended: Receiver<Option<String>>,
    talk: Option<Talk>,
}

struct Talk {
    _running: Running,
    wanted: Sender<Event>,
}

impl Desk<'_, '_> {
    fn act(&mut self, act: &Act) -> Result<(), String> {
        let form = Form::of(act);
        match act.path.as_str() {
            "/connect" => self.connect(&form),
            "/disconnect" => {
                self.disconnect();
                Ok(())
            }
            "/list" => self.want(Event::List),
            "/say" => {
                let to = form.number("to").ok_or("O destino não é um número.")?;
                let text = form.text("text");
                if text.is_empty() {
                    return Err("A mensagem está vazia.".to_owned());
                }
                self.want(Event::Say(to, text.to_owned()))
            }
            _ => Err("unknown action".to_owned()),
        }
    }

    fn want(&mut self, event: Event) -> Result<(), String> {
        let talk = self.talk.as_ref().ok_or("Não há conexão.")?;
        talk.wanted.try_send(event).map_err(|_| "Mensagens demais de uma vez.".to_owned())
    }

    fn connect(&mut self, form: &Form) -> Result<(), String> {
        if self.talk.is_some() {
            return Err("Já há uma conexão.".to_owned());
        }
        let id: Id = form
            .number("id")
            .filter(|id| *id != EVERYBODY)
            .ok_or("O ID é um número de 1 em diante.")?;
        let name = form.text("name").to_owned();
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!("O nome tem de 1 a {NAME_BYTES_MAX} bytes."));
        }
        let server = form.addrs()?[0];
        let identity = Identity { id, name };
        let (trace, clock) = (self.trace.clone(), self.clock);
        let config = client::Config { server, identity, trace, clock };
        let (wanted_in, wanted) = bounded(LINES_MAX);
        let (stopper, stop) = stop_pair();
        let view = View { hub: self.hub.clone(), config: config.clone() };
        view.state("connecting");
        let ended = self.ended_in.clone();
        threads::spawn(self.scope, "chat".to_owned(), move || {
            let outcome = client::run(&config, &wanted, &|told| view.tell(told), &stop);
            let why = match outcome {
                Ok(Ending::Left) => None,
                Ok(Ending::ServerGone) => Some("O servidor foi desligado.".to_owned()),
                Ok(Ending::NoAnswer) => Some(format!("Nenhuma resposta de {}.", config.server)),
                Ok(Ending::Refused(why)) => Some(why),
                Err(Failure { why, .. }) => {
                    Some(format!("Não foi possível falar com {}: {why}", config.server))
                }
            };
            // One session runs at a time, so there is room.
            let _ = ended.try_send(why);
        })
        .map_err(|error| error.to_string())?;
        self.talk = Some(Talk { _running: Running { _stopper: stopper }, wanted: wanted_in });
        Ok(())
    }

    fn disconnect(&mut self) {
        if self.talk.take().is_some()
            && let Ok(why) = self.ended.recv()
        {
            self.has_ended(why);
        }
    }

    fn has_ended(&mut self, why: Option<String>) {
        self.talk = None;
        self.idle(why);
    }

    fn idle(&self, why: Option<String>) {
        let state = json!({ "phase": "idle", "why": why });
        self.hub.tell("state", &state.to_string(), 1);
    }
}

/// What the pages see of a session.
struct View {
    hub: Hub,
    config: client::Config,
}

impl View {
    fn tell(&self, told: Told) {
        match told {
            Told::Joined => self.state("joined"),
            Told::Line(line) => self.line(&line),
        }
    }

    fn state(&self, phase: &str) {
        let client::Config { identity, server, .. } = &self.config;
        let state = json!({
            "phase": phase,
            "id": identity.id,
            "name": identity.name,
            "host": server.ip().to_string(),
            "port": server.port(),
            "server": server.to_string(),
        });
        self.hub.tell("state", &state.to_string(), 1);
    }

    fn line(&self, line: &Line) {
        // Who was there some time ago is not worth keeping, and no part of the conversation.
        if line.voice == Voice::Server && line.text.starts_with(LIST_HEAD) {
            return self.hub.tell("list", &json!(line.text).to_string(), 0);
        }
        let (voice, to) = match line.voice {
            Voice::Server => ("server", 0),
            Voice::Public => ("public", 0),
            Voice::Private => ("private", 0),
            Voice::Sent(to) => ("sent", to),
            Voice::Error => ("error", 0),
        };
        let line = json!({ "voice": voice, "to": to, "name": line.name, "text": line.text });
        self.hub.tell("line", &line.to_string(), PAGE_LINES_MAX);
    }
}
