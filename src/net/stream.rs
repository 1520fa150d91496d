//! Bytes from a socket to messages, however they were cut or joined on the way.

use crate::net::accept::Seats;
use crate::net::limits::{PART_MS_MAX, READ_BYTES_MAX, WRITE_MS_MAX};
use crate::net::wait;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A protocol's reading half: bytes in, messages out. No socket, no clock.
pub trait Decode: Send {
    /// One message, well formed or not.
    type Message: Send;

    /// Takes bytes as they arrived, cut anywhere.
    fn feed(&mut self, bytes: &[u8]);

    /// The next complete message, if there is one.
    fn next(&mut self) -> Option<Self::Message>;

    /// How many bytes one read takes at most. Room that no read fills costs no memory.
    fn read_bytes_max(&self) -> usize {
        READ_BYTES_MAX
    }

    /// How long, in ms, the other side may be silent before [`Decode::silence`] is called.
    /// `None`: for as long as it likes.
    fn patience_ms(&self) -> Option<u64> {
        None
    }

    /// The silence has lasted that long, or the stream has ended: what waits for more is all.
    fn silence(&mut self) {}

    /// A message that was given will be heard by nobody.
    fn lose(&mut self, _message: Self::Message) {}

    /// Whether something changed that must be told, though no message came with it. Asked after
    /// each read that brought none, and true once for each change.
    fn has_news(&mut self) -> bool {
        false
    }
}

/// The reading end of a connection.
#[derive(Debug)]
pub struct Reader<D: Decode> {
    socket: Arc<TcpStream>,
    /// The protocol's own view of the connection.
    pub decoder: D,
    /// What the socket's read timeout is set to, so that it is set only when it changes.
    timeout_ms: Option<u64>,
    ended: bool,
    /// Bytes that [`Reader::look`] has taken in since the last read; at most one read's worth.
    looked_bytes: usize,
    /// A message that [`Reader::has_more`] has found.
    ahead: Option<D::Message>,
    /// What one read fills.
    chunk: Box<[u8]>,
    messages_max: usize,
    /// Places for those who may look for bytes without blocking.
    yielders: Seats,
    /// The socket does not block at the moment.
    polls: bool,
}

impl<D: Decode> Drop for Reader<D> {
    fn drop(&mut self) {
        if let Some(message) = self.ahead.take() {
            self.decoder.lose(message);
        }
    }
}

impl<D: Decode> Reader<D> {
    /// Reads from `socket`, which has no read timeout yet, so many bytes at once, and gives so many
    /// messages at once.
    pub fn new(
        socket: Arc<TcpStream>,
        decoder: D,
        (bytes_max, messages_max): (usize, usize),
        yielders: Seats,
    ) -> Reader<D> {
        let chunk = vec![0; bytes_max].into_boxed_slice();
        let (timeout_ms, ended, polls, ahead) = (None, false, false, None);
        Reader {
            socket,
            decoder,
            timeout_ms,
            ended,
            looked_bytes: 0,
            ahead,
            chunk,
            messages_max,
            yielders,
            polls,
        }
    }

    /// Appends what has arrived to `messages`, at most as many as were agreed. Waits until there is
    /// one, or news. False at the end of the stream, when all has been given.
    pub fn read(&mut self, messages: &mut Vec<D::Message>) -> io::Result<bool> {
        self.read_while(messages, || true)
    }

    /// The same, and the end of the stream as soon as `may` says no. A shutdown ends no stream
    /// whose other side goes on sending, and what it sends may never be a message.
    pub fn read_while(
        &mut self,
        messages: &mut Vec<D::Message>,
        may: impl Fn() -> bool,
    ) -> io::Result<bool> {
        messages.extend(self.ahead.take());
        loop {
            while messages.len() < self.messages_max {
                let Some(message) = self.next() else { break };
                messages.push(message);
            }
            if !messages.is_empty() || (!self.ended && self.decoder.has_news()) {
                return Ok(true);
            }
            if self.ended || !may() {
                return Ok(false);
            }
            self.set_timeout()?;
            match self.receive() {
                Ok(0) => self.ended = true,
                Ok(size) => self.decoder.feed(&self.chunk[..size]),
                Err(error) if is_late(&error) => self.decoder.silence(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next message. At the end of the stream nothing more can come behind a beginning.
    fn next(&mut self) -> Option<D::Message> {
        self.decoder.next().or_else(|| {
            if self.ended {
                self.decoder.silence();
            }
            self.decoder.next()
        })
    }

    /// Takes in what has arrived meanwhile, without waiting and no more than another read would.
    /// True if the other side has ended its stream, and all before the end fitted in; an error if
    /// the connection is broken.
    pub fn look(&mut self) -> io::Result<bool> {
        // Also where there is no room to read up to it.
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        let mut room = self.chunk.len() - self.looked_bytes;
        self.socket.set_nonblocking(true)?;
        let outcome = loop {
            if self.ended || room == 0 {
                break Ok(self.ended);
            }
            match (&*self.socket).read(&mut self.chunk[..room]) {
                Ok(0) => self.ended = true,
                Ok(size) => {
                    room -= size;
                    self.decoder.feed(&self.chunk[..size]);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        self.looked_bytes = self.chunk.len() - room;
        self.socket.set_nonblocking(false)?;
        self.polls = false;
        outcome
    }

    /// Writes all of `bytes` to the same socket.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_while(bytes, || true)
    }

    /// The same, and an error as soon as `may` says no.
    pub fn write_while(&mut self, bytes: &[u8], may: impl Fn() -> bool) -> io::Result<()> {
        let blocks = write_all_while(&self.socket, bytes, may)?;
        self.polls &= !blocks;
        Ok(())
    }

    /// Whether there is a message that was not given yet.
    pub fn has_more(&mut self) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.next();
        }
        self.ahead.is_some()
    }

    /// One read. Looks for a short while without blocking, if there is room among those who do.
    fn receive(&mut self) -> io::Result<usize> {
        self.looked_bytes = 0;
        let (mut socket, chunk) = (&*self.socket, &mut *self.chunk);
        if let Some(_seat) = self.yielders.take() {
            if !self.polls {
                socket.set_nonblocking(true)?;
                self.polls = true;
            }
            let outcome = wait::yielding(|| match socket.read(chunk) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => None,
                outcome => Some(outcome),
            });
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
        if self.polls {
            socket.set_nonblocking(false)?;
            self.polls = false;
        }
        socket.read(chunk)
    }

    fn set_timeout(&mut self) -> io::Result<()> {
        let patience_ms = self.decoder.patience_ms();
        if patience_ms != self.timeout_ms {
            self.socket.set_read_timeout(patience_ms.map(Duration::from_millis))?;
            self.timeout_ms = patience_ms;
        }
        Ok(())
    }
}

/// What every connection is set to: no waiting for more to send, no endless write.
pub fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_write_timeout(Some(Duration::from_millis(WRITE_MS_MAX)))
}

/// Writes all of `bytes`, also to a socket that does not block at the moment. True if it had to
/// wait, and the socket blocks now. An error if nothing could be written for [`WRITE_MS_MAX`].
pub fn write_all(socket: &TcpStream, bytes: &[u8]) -> io::Result<bool> {
    write_all_while(socket, bytes, || true)
}

/// The same, and an error as soon as `may` says no. It is asked before each write, of which none
/// takes longer than the write timeout of the socket.
pub fn write_all_while(
    mut socket: &TcpStream,
    mut bytes: &[u8],
    may: impl Fn() -> bool,
) -> io::Result<bool> {
    let mut start = Instant::now();
    let mut blocks = false;
    while !bytes.is_empty() {
        if !may() {
            return Err(ErrorKind::TimedOut.into());
        }
        match socket.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(size) => {
                bytes = &bytes[size..];
                start = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Either the reader is looking for bytes at the moment, or this was the time-out.
            Err(error)
                if error.kind() == ErrorKind::WouldBlock
                    && start.elapsed() < Duration::from_millis(WRITE_MS_MAX) =>
            {
                socket.set_nonblocking(false)?;
                blocks = true;
            }
            Err(error) if is_late(&error) => return Err(ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
    }
    Ok(blocks)
}

/// Whether a read or write ended because its time did.
pub fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Ends a connection so that what was written last arrives: says that no more will come, and takes
/// in for a short while what the other side still sends.
pub fn part(mut socket: &TcpStream) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    socket.set_nonblocking(false)?;
    let end = Instant::now() + Duration::from_millis(PART_MS_MAX);
    let mut chunk = [0; READ_BYTES_MAX];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // It still listens; we have waited long enough.
            Err(error) if is_late(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
