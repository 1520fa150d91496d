//! What a person types and sees. Opens no socket.

use crate::chat::protocol::{EVERYBODY, Id};
use crate::chat::session::{Ending, Event, Line, Voice};
use crate::net::screen::visible;

/// What Tab completes to.
pub const WORDS: &[&str] = &["/to ", "/list", "/quit", "/help"];

/// What a line means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// Nothing.
    Empty,
    /// Something for the session.
    Wanted(Event),
    /// `/help`, or what cannot be understood and why.
    Help(Vec<String>),
}

const HELP: [&str; 5] = [
    "/to ID texto   mensagem privada",
    "/list          quem está conectado",
    "/quit          sair",
    "/help          esta lista",
    "qualquer outra linha é para todos",
];

/// What a line means.
pub fn parse(line: &str) -> Typed {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    match word {
        "" => Typed::Empty,
        "/quit" => Typed::Wanted(Event::Done),
        "/list" => Typed::Wanted(Event::List),
        "/help" => Typed::Help(HELP.map(str::to_owned).to_vec()),
        "/to" => private(rest.trim_start()),
        _ if word.starts_with('/') => {
            Typed::Help(vec![format!("[ERRO] comando desconhecido: {}; veja /help", visible(word))])
        }
        _ => Typed::Wanted(Event::Say(EVERYBODY, line.to_owned())),
    }
}

fn private(rest: &str) -> Typed {
    let (id, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match id.parse::<Id>() {
        Ok(id) if id != EVERYBODY && !text.trim().is_empty() => {
            Typed::Wanted(Event::Say(id, text.trim().to_owned()))
        }
        _ => Typed::Help(vec!["[ERRO] uso: /to ID texto".to_owned()]),
    }
}

/// A line of the conversation. None for our own, which stands there as it was typed.
pub fn show(line: &Line) -> Option<String> {
    let (name, text) = (visible(&line.name), visible(&line.text));
    match line.voice {
        Voice::Server => Some(format!("[Servidor] {text}")),
        Voice::Public => Some(format!("[Broadcast] {name}: {text}")),
        Voice::Private => Some(format!("[Privado] {name}: {text}")),
        Voice::Error => Some(format!("[ERRO] {text}")),
        Voice::Sent(_) => None,
    }
}

/// What a session's end means.
pub fn ending(ending: &Ending) -> Result<(), String> {
    match ending {
        Ending::Left | Ending::ServerGone => Ok(()),
        Ending::NoAnswer => Err("nenhuma resposta".to_owned()),
        Ending::Refused(why) => Err(visible(why)),
    }
}
