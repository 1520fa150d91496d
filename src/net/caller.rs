//! The asking side of a connection. One thread reads, so that whoever waits for an answer can wait
//! for stop as well.

use crate::net::accept::Seats;
use crate::net::limits::{READ_BYTES_MAX, TURN_MESSAGES_MAX};
use crate::net::stop::Stop;
use crate::net::stream::{Decode, Reader};
use crate::net::threads;
use crate::net::wait::{self, Woken};
use crate::net::{dial, stream};
use crossbeam_channel::{Receiver, bounded};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::Scope;
use std::time::Duration;

/// What one read of an answer takes, in bytes and messages.
pub const AT_ONCE: (usize, usize) = (READ_BYTES_MAX, TURN_MESSAGES_MAX);

/// A connection to a server. Dropped, it hangs up.
#[derive(Debug)]
pub struct Caller<M> {
    socket: Arc<TcpStream>,
    answers: Receiver<M>,
}

/// How what a server says is read.
#[derive(Debug)]
pub struct ReadAhead<M> {
    /// Messages that are read before they are heard.
    pub ahead_max: usize,
    /// What one read takes, in bytes and messages.
    pub at_once: (usize, usize),
    /// What is heard when only a part of a long message has come, if anything.
    pub news: Option<fn() -> M>,
}

impl<M: Send> Caller<M> {
    /// Connects to the first of `addrs` that answers. A thread of `scope` reads what it says, at
    /// most `ahead_max` messages before they are heard.
    pub fn dial<'scope, D>(
        scope: &'scope Scope<'scope, '_>,
        addrs: &[SocketAddr],
        decoder: D,
        ahead_max: usize,
    ) -> io::Result<Caller<M>>
    where
        D: Decode<Message = M> + 'scope,
        M: 'scope,
    {
        let reading = ReadAhead { ahead_max, at_once: AT_ONCE, news: None };
        Caller::dial_for(scope, addrs, decoder, reading)
    }

    /// The same, read in another way.
    pub fn dial_for<'scope, D>(
        scope: &'scope Scope<'scope, '_>,
        addrs: &[SocketAddr],
        decoder: D,
        ReadAhead { ahead_max, at_once, news }: ReadAhead<M>,
    ) -> io::Result<Caller<M>>
    where
        D: Decode<Message = M> + 'scope,
        M: 'scope,
    {
        let socket = Arc::new(dial::dial(addrs)?);
        let (answers_in, answers) = bounded(ahead_max);
        let caller = Caller { socket: Arc::clone(&socket), answers };
        threads::spawn(scope, "client-read".to_owned(), move || {
            let mut reader = Reader::new(socket, decoder, at_once, Seats::new(0));
            let mut messages = Vec::new();
            // When reading fails, the connection is gone.
            while let Ok(true) = reader.read(&mut messages) {
                if messages.is_empty() {
                    messages.extend(news.map(|news| news()));
                }
                for message in messages.drain(..) {
                    if answers_in.send(message).is_err() {
                        return;
                    }
                }
            }
        })?;
        Ok(caller)
    }

    /// Says all of `bytes`, and waits for the next message: at most `ms`.
    pub fn exchange(&self, bytes: &[u8], stop: &Stop, ms: u64) -> Woken<M> {
        // Fails where the server has hung up. What it said before that is still to be heard.
        let _ = stream::write_all(&self.socket, bytes);
        wait::recv_or_stop(&self.answers, stop, Some(Duration::from_millis(ms)))
    }

    /// Says all of `bytes`. Fails where the server has hung up, or takes nothing any more.
    pub fn say(&self, bytes: &[u8]) -> io::Result<()> {
        stream::write_all(&self.socket, bytes).map(drop)
    }

    /// The connection itself.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Becomes ready when the server says something unasked, or is gone.
    pub fn unasked(&self) -> &Receiver<M> {
        &self.answers
    }
}

impl<M> Drop for Caller<M> {
    fn drop(&mut self) {
        // Ends the reading thread. Fails if the server was faster, which is as good.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
