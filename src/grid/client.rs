//! The other side as a library: a client that has joined a server, asks and leaves.

use crate::grid::decode::Decoder;
use crate::grid::keywords::Port;
use crate::grid::limits::{ANSWER_MS_MAX, ANSWERS_MAX, LEAVE_MS_MAX};
use crate::grid::protocol::{Message, Query, Refusal};
use crate::net::caller::Caller;
use crate::net::stop::Stop;
use crate::net::trace::Trace;
use crate::net::wait::Woken;
use crossbeam_channel::Receiver;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::thread::Scope;

/// A client that has joined. Dropped, it hangs up.
#[derive(Debug)]
pub struct Client {
    caller: Caller<Message>,
    trace: Trace,
    id: u32,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Lost {
    /// The server does not let us in.
    Refused(Refusal),
    /// It hung up.
    Gone,
    /// It is there and says nothing for so many ms.
    Silent(u64),
    /// It said something else.
    Strange(Message),
    /// Stop was asked for meanwhile.
    Stopped,
    /// The machine failed us.
    Io(io::Error),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Refused(refusal) => f.write_str(refusal.text()),
            Lost::Gone => f.write_str("the server closed the connection"),
            Lost::Silent(ms) => write!(f, "the server did not answer within {} s", ms / 1000),
            Lost::Strange(message) => write!(f, "the server answered `{message}`"),
            Lost::Stopped => f.write_str("interrupted"),
            Lost::Io(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Lost {
        Lost::Io(error)
    }
}

impl Client {
    /// Connects and joins. A thread of `scope` reads what the server says.
    pub fn join<'scope>(
        scope: &'scope Scope<'scope, '_>,
        addrs: &[SocketAddr],
        stop: &Stop,
        trace: &Trace,
    ) -> Result<Client, Lost> {
        let decoder = Decoder::new(Port::Answers);
        let caller = Caller::dial(scope, addrs, decoder, ANSWERS_MAX)?;
        let mut client = Client { caller, trace: trace.clone(), id: 0 };
        match client.exchange(&Message::ReqAdd, stop, ANSWER_MS_MAX)? {
            Message::ResAdd(id) => client.id = id,
            Message::Error(refusal) => return Err(Lost::Refused(refusal)),
            other => return Err(Lost::Strange(other)),
        }
        Ok(client)
    }

    /// The id that the server gave us.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Asks, and waits for the answer, which may be an [`Message::Error`].
    pub fn ask(&mut self, query: Query, stop: &Stop) -> Result<Message, Lost> {
        let answer = self.exchange(&Message::Req(query), stop, ANSWER_MS_MAX)?;
        // Behind an answer to something else, nobody knows which is the answer to what.
        match answer {
            Message::ResSensor(scope, _) if query == Query::Sensor(scope) => Ok(answer),
            Message::ResPower(scope, _) if query == Query::Power(scope) => Ok(answer),
            Message::Error(_) => Ok(answer),
            _ => Err(Lost::Strange(answer)),
        }
    }

    /// Says goodbye, and waits for the answer to that.
    pub fn leave(mut self) -> Result<(), Lost> {
        match self.exchange(&Message::ReqDc(self.id), &Stop::never(), LEAVE_MS_MAX)? {
            Message::Done => Ok(()),
            Message::Error(refusal) => Err(Lost::Refused(refusal)),
            other => Err(Lost::Strange(other)),
        }
    }

    /// Becomes ready when the server says something unasked, or is gone.
    pub fn unasked(&self) -> &Receiver<Message> {
        self.caller.unasked()
    }

    fn exchange(&mut self, message: &Message, stop: &Stop, ms: u64) -> Result<Message, Lost> {
        self.trace.wire(&"server", '<', message);
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes.push(b'\n');
        match self.caller.exchange(&bytes, stop, ms) {
            Woken::Item(answer) => {
                self.trace.wire(&"server", '>', &answer);
                Ok(answer)
            }
            Woken::Closed => Err(Lost::Gone),
            Woken::Stop => Err(Lost::Stopped),
            Woken::Due => Err(Lost::Silent(ms)),
        }
    }
}
