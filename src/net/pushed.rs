//! A connection on which both sides may speak at any time, as the coordinator sees it.
//!
//! Two threads serve it. The reader blocks on the socket, on places for what it has read, and then
//! on the inbox; the writer on the outbox, then on the socket, and on the inbox if a frame is to be
//! reported. The coordinator blocks on neither.

use crate::net::accept::Seats;
use crate::net::limits::{
    LINK_MESSAGES_MAX, LINK_PLACE_MESSAGES, LINK_PLACES_MAX, LINK_READ_BYTES_MAX, PART_MS_MAX,
    PARTED_MS_MAX, WRITE_BYTES_MAX, WRITE_LOOK_MS,
};
use crate::net::stream::{Decode, Reader, write_all_while};
use crate::net::threads::{self, Finally};
use crate::net::wait;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Scope;
use std::time::{Duration, Instant};

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
    /// The complete messages of one read, and the places that they take until they are handled.
    Heard(LinkId, H, Places),
    /// A frame that was to be reported is written, and all before it: its number.
    Written(LinkId, u32),
    /// Sent exactly once, however it ended, after the last that was heard: with the error, if with
    /// one. [`ErrorKind::TimedOut`]: the other side did not read, or its machine is gone.
    Closed(LinkId, Option<ErrorKind>),
}

/// What a trace tells of a link's end behind its name.
pub fn why(failed: Option<ErrorKind>) -> String {
    failed.map_or(String::new(), |kind| format!(" error={kind:?}"))
}

/// Some of the [`LINK_PLACES_MAX`] places of a link; given back when dropped.
#[derive(Debug)]
pub struct Places(usize, Receiver<()>);

impl Places {
    /// Places for so many messages, once they are free.
    fn take(messages: usize, (take, give_back): &(Sender<()>, Receiver<()>)) -> Places {
        let count = messages.div_ceil(LINK_PLACE_MESSAGES);
        for _ in 0..count {
            // We have the other end, too.
            let _ = take.send(());
        }
        Places(count, give_back.clone())
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for _ in 0..self.0 {
            let _ = self.1.try_recv();
        }
    }
}

/// What a decoder's messages become on their way to the coordinator.
pub trait Hear: Decode {
    /// The messages of one read, and what must be known with them.
    type Heard: Send;
    /// Packs the messages of one read.
    fn heard(&self, messages: Vec<Self::Message>) -> Self::Heard;
}

/// The coordinator's end of a link. Dropping it says goodbye: what is queued is still written, as
/// far as the other side takes it within [`PARTED_MS_MAX`].
#[derive(Debug)]
pub struct Outbox {
    frames: Sender<Frame>,
    bytes_max: usize,
    backlog: Arc<Backlog>,
    socket: Arc<TcpStream>,
}

/// What an outbox and its writer both know.
#[derive(Debug, Default)]
struct Backlog {
    /// Bytes that are not written yet. The outbox adds, the writer takes away.
    bytes: AtomicUsize,
    /// When the outbox was dropped.
    parted: OnceLock<Instant>,
    /// When the link was cut or the writer had ended.
    ended: OnceLock<Instant>,
    /// What the writer ended with, if that was an error.
    failed: OnceLock<ErrorKind>,
}

/// Bytes that are written together.
#[derive(Debug)]
pub struct Frame {
    /// What to write.
    pub bytes: Vec<u8>,
    /// Whether it may share a write with its neighbours.
    pub joins: bool,
    /// Whether the coordinator is told when it is written, and what it is told with it.
    pub report: Option<u32>,
}

/// The outbox was full: the other side reads slower than we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slow;

impl Outbox {
    /// Queues one frame. Never blocks; that is the whole point.
    pub fn send(&self, frame: Frame) -> Result<(), Slow> {
        let size = frame.bytes.len();
        // Before it is queued, so that the writer never takes away what was not added.
        let before = self.backlog.bytes.fetch_add(size, Ordering::SeqCst);
        if size > self.bytes_max.saturating_sub(before) {
            self.backlog.bytes.fetch_sub(size, Ordering::SeqCst);
            return Err(Slow);
        }
        match self.frames.try_send(frame) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.backlog.bytes.fetch_sub(size, Ordering::SeqCst);
                // The writer may be gone: then the link is closing, and its `Closed` on the way.
                if error.is_full() { Err(Slow) } else { Ok(()) }
            }
        }
    }

    /// How many more frames there is room for. Only the coordinator makes it less.
    pub fn room(&self) -> usize {
        self.frames.capacity().unwrap_or(usize::MAX).saturating_sub(self.frames.len())
    }

    /// Ends the link now, queued frames and all.
    pub fn cut(&self) {
        self.backlog.end(&self.socket);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let _ = self.backlog.parted.set(Instant::now());
    }
}

impl Backlog {
    /// Nothing will be written any more: wakes both threads of the link for the last time.
    fn end(&self, socket: &TcpStream) {
        let _ = self.ended.set(Instant::now());
        // Fails if the other side was faster, which is as good.
        let _ = socket.shutdown(Shutdown::Both);
    }

    /// Whether what is queued is still to be written.
    fn may_write(&self) -> bool {
        is_younger(self.parted.get(), PARTED_MS_MAX)
    }

    /// Whether what comes is still heard. The shutdown ends no reader whose other side goes on
    /// sending; but what had come before it may have been its last words.
    fn may_read(&self) -> bool {
        is_younger(self.ended.get(), PART_MS_MAX)
    }
}

/// Also if it has not been yet.
fn is_younger(moment: Option<&Instant>, ms_max: u64) -> bool {
    moment.is_none_or(|moment| moment.elapsed() < Duration::from_millis(ms_max))
}

/// What a link is served with.
#[derive(Debug)]
pub struct Desk<D, S> {
    /// Reads what is said.
    pub decoder: D,
    /// Frames that wait for the writer.
    pub frames_max: usize,
    /// Bytes that wait for the writer.
    pub bytes_max: usize,
    /// Links that may look for bytes without blocking.
    pub yielders: Seats,
    /// Dropped when nothing more is heard and nothing more will be written.
    pub seat: S,
}

/// Starts the two threads of a link.
pub fn open<'scope, D, E, S>(
    scope: &'scope Scope<'scope, '_>,
    link: LinkId,
    (socket, addr): (TcpStream, SocketAddr),
    desk: Desk<D, S>,
    inbox: Sender<E>,
) -> io::Result<()>
where
    D: Hear + 'scope,
    E: From<Pushed<D::Heard>> + Send + 'scope,
    S: Send + Sync + 'scope,
{
    let Desk { decoder, frames_max, bytes_max, yielders, seat } = desk;
    // A write wakes now and then, so that it sees its end when that has come.
    socket.set_write_timeout(Some(Duration::from_millis(WRITE_LOOK_MS)))?;
    // One descriptor shared by both threads: `try_clone` would cost a second one, and can fail.
    let socket = Arc::new(socket);
    let (frames, queue) = bounded(frames_max);
    let backlog = Arc::<Backlog>::default();
    let (read_from, known) = (Arc::clone(&socket), Arc::clone(&backlog));
    let left = Arc::clone(&backlog);
    let outbox = Outbox { frames, bytes_max, backlog, socket: Arc::clone(&socket) };

    // What is still to be written takes a place, too.
    let seat = Arc::new(seat);
    let (write_to, told, writers_seat) = (socket, inbox.clone(), Arc::clone(&seat));
    threads::spawn(scope, format!("p{}-write", link.0), move || {
        let _seat = writers_seat;
        // Wakes the reader, which sends `Closed`.
        let _hang_up = Finally(|| left.end(&write_to));
        let written = write_queued(&write_to, &queue, &left, |report| {
            // Nobody listens any more when this fails: the server is stopping.
            let _ = told.send(Pushed::Written(link, report).into());
        });
        if let Err(error) = written {
            let _ = left.failed.set(error.kind());
        }
    })?;
    // From here on the writer ends by itself when `outbox` is dropped, on any path.
    threads::spawn(scope, format!("p{}-read", link.0), move || {
        let _seat = seat;
        if inbox.send(Pushed::Opened(link, addr, outbox).into()).is_err() {
            return;
        }
        let failed = Cell::new(None);
        // Nobody listens any more when a send fails: the server is stopping.
        let _closed = Finally(|| {
            // What the writer failed with ended the reader, too.
            let failed = known.failed.get().copied().or(failed.get());
            drop(inbox.send(Pushed::Closed(link, failed).into()));
        });
        let reader = Reader::new(read_from, decoder, AT_ONCE, yielders);
        failed.set(hear(reader, link, &known, &inbox).err().map(|error| error.kind()));
    })
}

/// Passes on what is heard, until the end.
fn hear<D, E>(
    mut reader: Reader<D>,
    link: LinkId,
    backlog: &Backlog,
    inbox: &Sender<E>,
) -> io::Result<()>
where
    D: Hear,
    E: From<Pushed<D::Heard>>,
{
    let mut messages = Vec::new();
    let places = bounded(LINK_PLACES_MAX);
    while reader.read_while(&mut messages, || backlog.may_read())? {
        // Waits for the coordinator, or for the inbox that is dropped with all that is in it.
        let taken = Places::take(messages.len(), &places);
        let heard = reader.decoder.heard(std::mem::take(&mut messages));
        if inbox.send(Pushed::Heard(link, heard, taken).into()).is_err() {
            break;
        }
    }
    Ok(())
}

/// Writes all that is queued in as few writes as the frames allow, until the outbox is dropped.
fn write_queued(
    socket: &TcpStream,
    queue: &Receiver<Frame>,
    backlog: &Backlog,
    written: impl Fn(u32),
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut reports = Vec::new();
    let write = |bytes: &mut Vec<u8>| {
        write_all_while(socket, bytes, || backlog.may_write())?;
        backlog.bytes.fetch_sub(bytes.len(), Ordering::SeqCst);
        bytes.clear();
        io::Result::Ok(())
    };
    while let Some(first) = wait::recv(queue) {
        let mut next = Some(first);
        while let Some(frame) = next {
            if !frame.joins {
                write(&mut bytes)?;
            }
            bytes.extend_from_slice(&frame.bytes);
            reports.extend(frame.report);
            if !frame.joins || bytes.len() >= WRITE_BYTES_MAX {
                write(&mut bytes)?;
                reports.drain(..).for_each(&written);
            }
            next = queue.try_recv().ok();
        }
        write(&mut bytes)?;
        bytes.shrink_to(WRITE_BYTES_MAX);
        reports.drain(..).for_each(&written);
    }
    Ok(())
}
