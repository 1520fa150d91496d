//! The other side as a library: a client that connects again when it must.

use crate::command::frame::Piece;
use crate::command::limits::{
    ANSWER_MS_MAX, ANSWERS_MAX, LEAVE_MS_MAX, PAUSE_MS_MAX, PAUSE_MS_MIN, SHOWN_CHARS_MAX,
};
use crate::command::protocol::{Answer, Answers, Guarded, Request, is_answer};
use crate::net::caller::Caller;
use crate::net::screen::visible;
use crate::net::stop::Stop;
use crate::net::trace::Trace;
use crate::net::wait::Woken;
use crossbeam_channel::Receiver;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::thread::Scope;
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug)]
pub enum Lost {
    /// Nobody there.
    Unreachable(io::Error),
    /// It has as many clients as it takes.
    Full,
    /// It hung up.
    Gone,
    /// It is there and says nothing.
    Silent,
    /// What it said is no answer of such a server.
    Stranger(String),
    /// Stop was asked for meanwhile.
    Stopped,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Unreachable(error) => error.fmt(f),
            Lost::Full => f.write_str("o servidor está cheio"),
            Lost::Gone => f.write_str("o servidor encerrou a conexão"),
            Lost::Silent => write!(f, "nenhuma resposta em {} s", ANSWER_MS_MAX / 1000),
            Lost::Stranger(said) => {
                let text: String = said.chars().take(SHOWN_CHARS_MAX).collect();
                write!(f, "it said `{}`", visible(&text))
            }
            Lost::Stopped => f.write_str("interrompido"),
        }
    }
}

/// A client, connected or not.
#[derive(Debug)]
pub struct Client<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    addrs: Vec<SocketAddr>,
    trace: Trace,
    caller: Option<Caller<String>>,
    /// The `AUTH` that was accepted, for the next connection.
    auth: Option<String>,
}

impl<'scope, 'env> Client<'scope, 'env> {
    /// A client of the first of `addrs` that answers. Not connected.
    pub fn new(
        scope: &'scope Scope<'scope, 'env>,
        addrs: Vec<SocketAddr>,
        trace: Trace,
    ) -> Client<'scope, 'env> {
        Client { scope, addrs, trace, caller: None, auth: None }
    }

    /// Whether there is a connection, as far as we know.
    pub fn is_connected(&self) -> bool {
        self.caller.is_some()
    }

    /// Connects, and says again who we are.
    pub fn connect(&mut self, stop: &Stop) -> Result<(), Lost> {
        let dialed = Caller::dial(self.scope, &self.addrs, Answers::default(), ANSWERS_MAX);
        self.caller = Some(dialed.map_err(Lost::Unreachable)?);
        if let Some(auth) = self.auth.clone() {
            let answer = self.ask(&auth, stop)?;
            // The password has changed meanwhile: whoever sits there is told by what comes next.
            if answer != Answer::Done.text() {
                self.auth = None;
            }
        }
        Ok(())
    }

    /// Asks, and waits for the answer. Without one there is no connection any more.
    pub fn ask(&mut self, request: &str, stop: &Stop) -> Result<String, Lost> {
        let parsed = Request::parse(Piece::Whole(request.as_bytes()));
        self.trace.wire(&"server", '<', &Guarded(&parsed));
        match self.exchange(request, stop, ANSWER_MS_MAX) {
            // What a server says to other words is its own affair.
            Ok(said) if parsed.is_known() && !is_answer(&said) => {
                self.hang_up();
                Err(Lost::Stranger(said))
            }
            Ok(answer) => {
                self.trace.wire(&"server", '>', &answer);
                if matches!(parsed, Request::Auth(..)) && answer == Answer::Done.text() {
                    self.auth = Some(request.to_owned());
                }
                Ok(answer)
            }
            Err(lost) => {
                self.hang_up();
                Err(lost)
            }
        }
    }

    /// Says goodbye if it can be heard.
    pub fn leave(&mut self) {
        // Gone is gone.
        let _ = self.exchange("EXIT", &Stop::never(), LEAVE_MS_MAX);
        self.hang_up();
    }

    /// Ends the connection.
    pub fn hang_up(&mut self) {
        self.caller = None;
    }

    /// Becomes ready when the server says something unasked, or is gone; never without connection.
    pub fn unasked(&self) -> Receiver<String> {
        self.caller.as_ref().map_or_else(crossbeam_channel::never, |c| c.unasked().clone())
    }

    fn exchange(&mut self, request: &str, stop: &Stop, ms: u64) -> Result<String, Lost> {
        let caller = self.caller.as_ref().ok_or(Lost::Gone)?;
        match caller.exchange(format!("{request}\n").as_bytes(), stop, ms) {
            Woken::Item(answer) if answer == Answer::Full.text() => Err(Lost::Full),
            Woken::Item(answer) => Ok(answer),
            Woken::Closed => Err(Lost::Gone),
            Woken::Stop => Err(Lost::Stopped),
            Woken::Due => Err(Lost::Silent),
        }
    }
}

/// Pauses that grow (spec: Client).
#[derive(Debug, Clone, Copy)]
pub struct Pause(u64);

impl Default for Pause {
    fn default() -> Pause {
        Pause(PAUSE_MS_MIN)
    }
}

impl Pause {
    /// One, and the next will be longer.
    pub fn longer(&mut self) -> Duration {
        let pause = Duration::from_millis(self.0);
        self.0 = (self.0 * 2).min(PAUSE_MS_MAX);
        pause
    }
}
