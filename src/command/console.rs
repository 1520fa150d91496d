//! What a person types, and what it means. Opens no socket.

use crate::command::client::{Client, Lost, Pause};
use crate::command::limits::{BEHIND_MS_MAX, TRY_MS_MAX};
use crate::command::protocol::Answer;
use crate::net::screen::visible;
use crate::net::stop::Stop;
use crossbeam_channel::{Receiver, after, never, select_biased};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The commands of the menu; a number stands for the word at its place.
pub const COMMANDS: [(&str, &str); 3] = [
    ("ECHO", "testa a comunicação"),
    ("TIME", "data e hora do servidor"),
    ("EXIT", "encerra a conexão"),
];

/// What Tab completes to.
pub const WORDS: &[&str] = &["ECHO", "TIME", "EXIT", "AUTH ", "menu"];

/// What a line means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// Nothing.
    Empty,
    /// `menu`
    Menu,
    /// A request to the server.
    Request(String),
}

/// What a line means. What is no command is the server's to refuse.
pub fn parse(line: &str) -> Typed {
    let line = line.trim();
    let at = line.parse().ok().and_then(|number: usize| number.checked_sub(1));
    match at.and_then(|at| COMMANDS.get(at)) {
        Some((word, _)) => Typed::Request((*word).to_owned()),
        None if line.is_empty() => Typed::Empty,
        None if ["menu", "help"].contains(&line.to_lowercase().as_str()) => Typed::Menu,
        None => Typed::Request(line.to_owned()),
    }
}

/// The menu, line by line.
pub fn menu() -> Vec<String> {
    let line = |(at, (word, what)): (usize, &(&str, &str))| format!("{}. {word}  {what}", at + 1);
    COMMANDS.iter().enumerate().map(line).collect()
}

/// How a session goes.
pub struct Session<'a, 'scope, 'env> {
    /// The client; it need not be connected.
    pub client: Client<'scope, 'env>,
    /// What to call the server.
    pub server: &'a str,
    /// Lines as they are typed. Their end is a goodbye.
    pub lines: &'a Receiver<String>,
    /// Shows an answer, or what else was asked for.
    pub show: &'a dyn Fn(&str),
    /// Says how the connection is doing.
    pub say: &'a dyn Fn(&str),
    /// Ends it.
    pub stop: &'a Stop,
    /// Whether somebody sits there, who can see that we go on trying, and end it.
    pub has_person: bool,
}

/// How a session ended.
#[derive(Debug)]
pub enum Ended {
    /// All was answered that was asked.
    Done,
    /// A request was not, because of this.
    Lost(Lost),
    /// Something was not even asked, because it stood behind `EXIT`.
    Unasked,
}

/// What is under way.
#[derive(Default)]
struct Course {
    /// Lines typed while there was no connection.
    typed_ahead: VecDeque<String>,
    /// No more will be typed.
    has_ended: bool,
    /// The request that has no answer yet.
    open: Option<String>,
    /// How often it was lost.
    losses: u32,
    /// Since when there is no connection.
    lost_since: Option<Instant>,
    /// Since when the server is full, though it lets us connect.
    full_since: Option<Instant>,
    pause: Pause,
}

impl Session<'_, '_, '_> {
    /// Runs to the end of what is typed, or to `EXIT`.
    pub fn run(mut self) -> Ended {
        let mut course = Course::default();
        loop {
            let went_on = if self.client.is_connected() {
                self.go_on(&mut course)
            } else {
                self.connect(&mut course)
            };
            match went_on {
                Ok(None) => {}
                Ok(Some(ended)) => return ended,
                Err(Lost::Stopped) => {
                    self.client.leave();
                    return course.ended(Lost::Stopped);
                }
                // Which it would be once more.
                Err(lost @ Lost::Stranger(_)) => return Ended::Lost(lost),
                Err(lost) => {
                    if let Some(ended) = self.wait_after(lost, &mut course) {
                        return ended;
                    }
                }
            }
        }
    }

    fn connect(&mut self, course: &mut Course) -> Result<Option<Ended>, Lost> {
        self.client.connect(self.stop)?;
        if course.lost_since.take().is_some() && course.full_since.is_none() {
            (self.say)(&format!("Conectado a {}.", self.server));
        }
        Ok(None)
    }

    /// One request, or one line.
    fn go_on(&mut self, course: &mut Course) -> Result<Option<Ended>, Lost> {
        if let Some(request) = &course.open {
            let is_exit = request.eq_ignore_ascii_case("EXIT");
            let answer = self.client.ask(request, self.stop);
            // A server that hangs up on `EXIT` once and again means it.
            if is_exit && course.losses > 0 && matches!(answer, Err(Lost::Gone)) {
                return Ok(Some(self.exited(course)));
            }
            (self.show)(&format!("Servidor: {}", visible(&answer?)));
            course.open = None;
            course.losses = 0;
            course.full_since = None;
            course.pause = Pause::default();
            return Ok(is_exit.then(|| self.exited(course)));
        }
        match self.next_line(course)?.as_deref().map(parse) {
            Some(Typed::Empty) => (self.show)("Comando vazio. Tente novamente."),
            Some(Typed::Menu) => menu().iter().for_each(|line| (self.show)(line)),
            Some(Typed::Request(request)) => course.open = Some(request),
            None => {
                self.client.leave();
                return Ok(Some(Ended::Done));
            }
        }
        Ok(None)
    }

    /// The end, at `EXIT`: nothing may stand behind it. Whoever sits there sees that it is over;
    /// others may have said it all at once, or keep the pipe open and say nothing more.
    fn exited(&self, course: &mut Course) -> Ended {
        if self.has_person {
            return Ended::Done;
        }
        let end = Instant::now() + Duration::from_millis(BEHIND_MS_MAX);
        while !self.stop.is_asked()
            && let Some(line) =
                course.typed_ahead.pop_front().or_else(|| self.lines.recv_deadline(end).ok())
        {
            if parse(&line) != Typed::Empty {
                return Ended::Unasked;
            }
        }
        Ended::Done
    }

    /// The next line; none at the end of them.
    fn next_line(&mut self, course: &mut Course) -> Result<Option<String>, Lost> {
        loop {
            if let Some(line) = course.typed_ahead.pop_front() {
                return Ok(Some(line));
            }
            if course.has_ended {
                return Ok(None);
            }
            select_biased! {
                recv(self.stop.channel()) -> _ => return Err(Lost::Stopped),
                recv(self.client.unasked()) -> said => match said {
                    Ok(said) if said == Answer::Full.text() => return Err(Lost::Full),
                    Ok(said) => (self.show)(&format!("Servidor: {}", visible(&said))),
                    Err(_) => return Err(Lost::Gone),
                },
                recv(self.lines) -> line => match line {
                    Ok(line) => return Ok(Some(line)),
                    Err(_) => return Ok(None),
                },
            }
        }
    }

    /// Says what was lost, and waits before the next attempt. It ends if it was for nothing.
    fn wait_after(&mut self, lost: Lost, course: &mut Course) -> Option<Ended> {
        self.client.hang_up();
        course.losses += 1;
        let mut since = *course.lost_since.get_or_insert_with(Instant::now);
        if matches!(lost, Lost::Full) {
            since = *course.full_since.get_or_insert(since);
        }
        if !self.has_person && since.elapsed() >= Duration::from_millis(TRY_MS_MAX) {
            return Some(Ended::Lost(lost));
        }
        let pause = course.pause.longer();
        let head = match lost {
            Lost::Unreachable(_) | Lost::Full => "Sem conexão com",
            Lost::Gone | Lost::Silent | Lost::Stranger(_) | Lost::Stopped => "Conexão perdida com",
        };
        let (server, seconds) = (self.server, pause.as_secs_f64());
        (self.say)(&format!("{head} {server}: {lost}. Nova tentativa em {seconds} s."));
        let timer = after(pause);
        loop {
            let lines = if course.has_ended { &never() } else { self.lines };
            select_biased! {
                recv(self.stop.channel()) -> _ => return Some(course.ended(Lost::Stopped)),
                recv(lines) -> line => {
                    let is_exit = |line: &String| parse(line) == Typed::Request("EXIT".to_owned());
                    // A person who wants to leave need not wait for a server to hear it.
                    if self.has_person && line.as_ref().ok().is_none_or(is_exit) {
                        return Some(course.ended(lost));
                    }
                    match line {
                        Ok(line) => course.typed_ahead.push_back(line),
                        Err(_) => course.has_ended = true,
                    }
                },
                recv(timer) -> _ => return None,
            }
        }
    }
}

impl Course {
    /// The end, with or without a request that has no answer.
    fn ended(&self, lost: Lost) -> Ended {
        let is_done = self.open.is_none() && self.typed_ahead.is_empty();
        if is_done { Ended::Done } else { Ended::Lost(lost) }
    }
}
