//! What a person types, and what it means. Opens no socket.

use crate::grid::client::{Client, Lost};
use crate::grid::protocol::{DONE_TEXT, Query, Scope};
use crate::grid::state;
use crate::net::screen::Screen;
use crate::net::stop::Stop;
use crossbeam_channel::{Receiver, select_biased};

/// Commands as they are typed; an error is a line that names the commands.
pub type Commands = Receiver<Result<ClientCommand, String>>;

/// What a person may ask of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCommand {
    /// `show …`
    Ask(Query),
    /// `kill`
    Kill,
    /// `help`
    Help,
}

/// What a person may ask of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerCommand {
    /// What the state answers.
    State(state::Command),
    /// `help`
    Help,
}

/// What a client understands, as it is typed, what it does, and what it is.
const CLIENT: [(&str, &str, ClientCommand); 8] = [
    (
        "show localmaxsensor",
        "the own sensor with the most useful power",
        ClientCommand::Ask(Query::Sensor(Scope::Local)),
    ),
    (
        "show externalmaxsensor",
        "the other network's sensor with the most useful power",
        ClientCommand::Ask(Query::Sensor(Scope::External)),
    ),
    (
        "show localpotency",
        "the useful power of the own network",
        ClientCommand::Ask(Query::Power(Scope::Local)),
    ),
    (
        "show externalpotency",
        "the useful power of the other network",
        ClientCommand::Ask(Query::Power(Scope::External)),
    ),
    (
        "show globalmaxsensor",
        "the best sensor of both networks",
        ClientCommand::Ask(Query::Sensor(Scope::Global)),
    ),
    (
        "show globalmaxnetwork",
        "the network with the most useful power",
        ClientCommand::Ask(Query::Power(Scope::Global)),
    ),
    ("kill", "leave", ClientCommand::Kill),
    ("help", "this list", ClientCommand::Help),
];

/// The same for a server.
const SERVER: [(&str, &str, ServerCommand); 5] = [
    ("show sensors", "the own network", ServerCommand::State(state::Command::ShowSensors)),
    ("show clients", "who has joined", ServerCommand::State(state::Command::ShowClients)),
    ("show peer", "the other server", ServerCommand::State(state::Command::ShowPeer)),
    ("kill", "leave the other server and end", ServerCommand::State(state::Command::Kill)),
    ("help", "this list", ServerCommand::Help),
];

/// The six questions, as they are typed.
pub fn questions() -> impl Iterator<Item = (&'static str, Query)> {
    CLIENT.iter().filter_map(|(word, _, command)| match command {
        ClientCommand::Ask(query) => Some((*word, *query)),
        ClientCommand::Kill | ClientCommand::Help => None,
    })
}

/// What Tab completes to on a client's console.
pub const CLIENT_WORDS: &[&str] = &words(&CLIENT);

/// What Tab completes to on a server's console.
pub const SERVER_WORDS: &[&str] = &words(&SERVER);

const fn words<const N: usize, T: Copy>(list: &[(&'static str, &str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = list[at].0;
        at += 1;
    }
    words
}

/// A line for a client. `Err` names the commands.
pub fn client(line: &str) -> Result<ClientCommand, String> {
    find(&CLIENT, line)
}

/// A line for a server. `Err` names the commands.
pub fn server(line: &str) -> Result<ServerCommand, String> {
    find(&SERVER, line)
}

/// The words of a command line, one command behind the other, for a client.
pub fn client_all(words: &[String]) -> Result<Vec<ClientCommand>, String> {
    let text = words.join(" ");
    let mut words = text.split_whitespace();
    let mut commands = Vec::new();
    while let Some(word) = words.next() {
        let line = match word {
            "show" => format!("show {}", words.next().unwrap_or_default()),
            other => other.to_owned(),
        };
        commands.push(client(&line)?);
    }
    Ok(commands)
}

/// What `help` shows on a client's console.
pub fn client_help() -> Vec<String> {
    help(&CLIENT)
}

/// What `help` shows on a server's console.
pub fn server_help() -> Vec<String> {
    help(&SERVER)
}

fn find<T: Copy>(list: &[(&str, &str, T)], line: &str) -> Result<T, String> {
    let typed = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let found = list.iter().find(|(word, ..)| *word == typed);
    found.map(|(_, _, command)| *command).ok_or_else(|| {
        let words: Vec<&str> = list.iter().map(|(word, ..)| *word).collect();
        format!("unknown command `{}`; there are: {}", typed.escape_debug(), words.join(", "))
    })
}

fn help<T>(list: &[(&str, &str, T)]) -> Vec<String> {
    list.iter().map(|(word, what, _)| format!("{word:<23} {what}")).collect()
}

/// How a client's session ended.
#[derive(Debug)]
pub enum Ended {
    /// It asked what it wanted and said goodbye.
    Done,
    /// The server refused, or went away.
    Lost(Lost),
}

/// A session from `New ID` to `Successful disconnect`. Takes commands until there are no more,
/// which is a goodbye, as are `kill`, a screen that nobody reads, and stop while no answer is open:
/// but then a command that still waits is one that was not answered.
pub fn session(mut client: Client, typed: &Commands, screen: &Screen, stop: &Stop) -> Ended {
    screen.line(format_args!("New ID: {}", client.id()));
    let mut is_cut_short = false;
    loop {
        let command = select_biased! {
            recv(stop.channel()) -> _ => {
                is_cut_short = !typed.is_empty();
                break;
            }
            recv(typed) -> command => command,
            recv(client.unasked()) -> said => match said {
                Ok(message) => {
                    screen.line(format_args!("the server said `{message}`"));
                    continue;
                }
                Err(_) => return Ended::Lost(Lost::Gone),
            },
        };
        match command {
            Ok(Ok(ClientCommand::Ask(query))) => match client.ask(query, stop) {
                Ok(answer) => screen.line(answer.payload()),
                Err(lost) => return Ended::Lost(lost),
            },
            Ok(Ok(ClientCommand::Help)) => screen.lines(client_help()),
            Ok(Err(unknown)) => screen.line(unknown),
            Ok(Ok(ClientCommand::Kill)) | Err(_) => break,
        }
        if screen.is_gone() {
            break;
        }
    }
    match client.leave() {
        Ok(()) => screen.line(DONE_TEXT),
        Err(lost) => return Ended::Lost(lost),
    }
    if is_cut_short { Ended::Lost(Lost::Stopped) } else { Ended::Done }
}
