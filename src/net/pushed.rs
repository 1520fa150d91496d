//! A connection on which both sides may speak at any time, as the coordinator sees it.
//!
//! Two threads serve it. The reader blocks on the socket and then on the inbox; the writer blocks
//! on the outbox and then on the socket. The coordinator blocks on neither.

use crate::net::accept::Seats;
use crate::net::limits::{LINK_MESSAGES_MAX, LINK_READ_BYTES_MAX};
use crate::net::stream::{Decode, Reader, write_all};
use crate::net::threads::{self, Finally};
use crate::net::wait;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::Scope;

/// What one read takes, in bytes and messages.
const AT_ONCE: (usize, usize) = (LINK_READ_BYTES_MAX, LINK_MESSAGES_MAX);

/// Names one link for as long as the process lives; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// What a link tells the coordinator.
#[derive(Debug)]
pub enum Pushed<H> {
    /// A link was opened. Always its first event.
    Opened(LinkId, SocketAddr, Outbox),
    /// All complete messages of one read.
    Heard(LinkId, H),
    /// Always its last event, sent exactly once, however it ended.
    Closed(LinkId),
}

/// What a decoder's messages become on their way to the coordinator.
pub trait Hear: Decode {
    /// The messages of one read, and what must be known with them.
    type Heard: Send;
    /// Packs the messages of one read.
    fn heard(&self, messages: Vec<Self::Message>) -> Self::Heard;
}

/// The coordinator's end of a link. Dropping it says goodbye: what is queued is still written.
#[derive(Debug)]
pub struct Outbox {
    frames: Sender<Frame>,
    socket: Arc<TcpStream>,
}

/// Bytes that are written together.
#[derive(Debug)]
pub struct Frame {
    /// What to write.
    pub bytes: Vec<u8>,
    /// Whether it may share a write with its neighbours.
    pub joins: bool,
}

/// The outbox was full: the other side reads slower than we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow;

impl Outbox {
    /// Queues one frame. Never blocks; that is the whole point.
    pub fn send(&self, frame: Frame) -> Result<(), Slow> {
        match self.frames.try_send(frame) {
            Ok(()) => Ok(()),
            // The writer is gone, so the link is closing; its `Closed` event is on the way.
            Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Slow),
        }
    }

    /// Ends the link now, queued frames and all.
    pub fn cut(&self) {
        // Fails if the other side was faster, which is as good.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Starts the two threads of a link, whose outbox holds `frames_max` frames.
pub fn open<'scope, D, E>(
    scope: &'scope Scope<'scope, '_>,
    link: LinkId,
    (socket, addr): (TcpStream, SocketAddr),
    decoder: D,
    inbox: Sender<E>,
    frames_max: usize,
    seat: impl Send + 'scope,
) -> io::Result<()>
where
    D: Hear + 'scope,
    E: From<Pushed<D::Heard>> + Send + 'scope,
{
    // One descriptor shared by both threads: `try_clone` would cost a second one, and can fail.
    let socket = Arc::new(socket);
    let (frames, queue) = bounded(frames_max);
    let outbox = Outbox { frames, socket: Arc::clone(&socket) };

    let write_to = Arc::clone(&socket);
    threads::spawn(scope, format!("p{}-write", link.0), move || {
        // Wakes the reader, which sends `Closed`.
        let _hang_up = Finally(|| drop(write_to.shutdown(Shutdown::Both)));
        // An I/O error closes the link, that is all.
        let _ = write_queued(&write_to, &queue);
    })?;
    // From here on the writer ends by itself when `outbox` is dropped, on any path.
    threads::spawn(scope, format!("p{}-read", link.0), move || {
        let _seat = seat;
        if inbox.send(Pushed::Opened(link, addr, outbox).into()).is_err() {
            return;
        }
        // Nobody listens any more when a send fails: the server is stopping.
        let _closed = Finally(|| drop(inbox.send(Pushed::Closed(link).into())));
        let mut reader = Reader::new(socket, decoder, AT_ONCE, Seats::new(1));
        let mut messages = Vec::new();
        while let Ok(true) = reader.read(&mut messages) {
            let heard = reader.decoder.heard(std::mem::take(&mut messages));
            if inbox.send(Pushed::Heard(link, heard).into()).is_err() {
                return;
            }
        }
    })
}

/// Writes all that is queued in as few writes as the frames allow, until the outbox is dropped.
fn write_queued(socket: &TcpStream, queue: &Receiver<Frame>) -> io::Result<()> {
    let mut bytes = Vec::new();
    while let Some(first) = wait::recv(queue) {
        let mut next = Some(first);
        while let Some(frame) = next {
            if !frame.joins && !bytes.is_empty() {
                write_all(socket, &bytes)?;
                bytes.clear();
            }
            bytes.extend_from_slice(&frame.bytes);
            if !frame.joins {
                write_all(socket, &bytes)?;
                bytes.clear();
            }
            next = queue.try_recv().ok();
        }
        write_all(socket, &bytes)?;
        bytes.clear();
    }
    Ok(())
}
