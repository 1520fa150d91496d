//! A connection that asks and is answered, as the coordinator sees it: one thread, one turn.
//!
//! The thread reads what has arrived, gives the complete messages of that read (at most
//! [`TURN_MESSAGES_MAX`], the rest comes next) to the coordinator as one [`Turn`], waits for the
//! turn to come back, writes the answers, and reads again. At most one turn of a connection is out,
//! so its slot is always free and the coordinator never waits.

use crate::net::accept::{self, Refuser, Seat, Seats};
use crate::net::limits::{
    ANSWERED_MS_MAX, LEAVERS_MAX, LOOK_MS_MAX, LOOK_MS_MIN, TURN_MESSAGES_MAX, WRITE_LOOK_MS,
    YIELDERS_MAX,
};
use crate::net::stop::Stop;
use crate::net::stream::{Decode, Reader, part};
use crate::net::threads::{self, Finally};
use crate::net::trace::Trace;
use crate::net::wait;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::cell::{Cell, OnceCell};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, Scope, Thread};
use std::time::{Duration, Instant};

/// Names one connection for as long as the process lives; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// Questions on their way to the coordinator, and their answers on the way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn<Q, A> {
    /// The complete messages of one read, in order.
    pub questions: Vec<Q>,
    /// What is to be written, in order.
    pub answers: Vec<A>,
    /// Whether the connection ends once the answers are written.
    pub last: bool,
}

impl<Q, A> Default for Turn<Q, A> {
    fn default() -> Turn<Q, A> {
        Turn { questions: Vec::new(), answers: Vec::new(), last: false }
    }
}

/// What the connections and the accept loop tell the coordinator.
#[derive(Debug)]
pub enum Asked<Q, A> {
    /// A connection was accepted. Always its first event.
    Opened(ConnId, SocketAddr, Asker<Q, A>),
    /// It asked; the turn goes back with [`Asker::answer`].
    Turn(ConnId, Turn<Q, A>),
    /// It will ask no more, but may still read the answers of its turn.
    Left(ConnId),
    /// Always its last event, sent exactly once, however it ended: with the error, if with one.
    Closed(ConnId, Option<io::Error>),
    /// Somebody found no seat free, and is told so.
    Refused(SocketAddr),
    /// A connection could not be accepted.
    NotAccepted(io::Error),
}

/// The coordinator's end of a connection. Dropping it hangs up; what has been answered is still
/// written, as far as the other side takes it within [`ANSWERED_MS_MAX`].
#[derive(Debug)]
pub struct Asker<Q, A> {
    /// None only while it is being dropped.
    slot: Option<Sender<Turn<Q, A>>>,
    thread: Thread,
    socket: Arc<TcpStream>,
    /// It has its last turn, and hangs up itself once that is written.
    is_ending: Cell<bool>,
}

impl<Q, A> Asker<Q, A> {
    /// Gives the turn back. Never blocks: the slot is free, because the turn was out.
    pub fn answer(&self, turn: Turn<Q, A>) {
        self.is_ending.set(turn.last);
        // The connection may be gone; its `Closed` is on the way.
        let _ = self.slot.as_ref().map(|slot| slot.try_send(turn));
        self.thread.unpark();
    }
}

impl<Q, A> Drop for Asker<Q, A> {
    fn drop(&mut self) {
        if !self.is_ending.get() {
            // Wakes the thread if it reads. Fails if the other side has hung up, which is as good.
            let _ = self.socket.shutdown(Shutdown::Read);
        }
        // Wakes it if it waits for its turn.
        self.slot = None;
        self.thread.unpark();
    }
}

/// A protocol's writing half.
pub trait Encode<A> {
    /// Appends one answer.
    fn encode(&mut self, answer: &A, bytes: &mut Vec<u8>);

    /// Appends the next piece of an answer that is too long to be held whole. True: what there is
    /// can be written, and there is more. An error ends the connection.
    fn more(&mut self, _bytes: &mut Vec<u8>) -> io::Result<bool> {
        Ok(false)
    }

    /// Whether several answers may share one write. Not so for programs that take what one
    /// `recv` gives them for one message.
    fn joins(&self) -> bool;
}

/// Where connections come in.
#[derive(Debug)]
pub struct Door<'a> {
    /// Where they connect to.
    pub listener: &'a TcpListener,
    /// Open until the server stops.
    pub shut: &'a Stop,
    /// Tells what could not be accepted.
    pub trace: &'a Trace,
    /// Connections at a time.
    pub seats_max: usize,
    /// What one too many is told.
    pub refusal: Vec<u8>,
}

/// Where a connection sits.
#[derive(Debug)]
struct Place {
    /// Its name.
    conn: ConnId,
    /// Where its other side is.
    addr: SocketAddr,
    /// Its place, given back when it ends or leaves.
    seat: Seat,
    /// Places for those who have left but whose answers are still on the way.
    leavers: Seats,
    /// Places for those who yield before they block.
    yielders: Seats,
}

/// Accepts connections until the door is shut, and starts a thread for each that gets a seat.
/// `codec` makes their reading and writing half.
pub fn accept<'scope, D, A, E>(
    scope: &'scope Scope<'scope, '_>,
    door: Door<'_>,
    codec: impl Fn() -> D,
    inbox: &Sender<E>,
) where
    D: Decode + Encode<A> + 'scope,
    D::Message: 'scope,
    A: Send + 'scope,
    E: From<Asked<D::Message, A>> + Send + 'scope,
{
    let Door { listener, shut, trace, seats_max, refusal } = door;
    let seats = Seats::new(seats_max);
    let yielders = Seats::new(YIELDERS_MAX);
    let leavers = Seats::new(LEAVERS_MAX);
    let refuser = Refuser::new(refusal);
    let mut last = 0;
    // Nobody listens any more when this fails: the server is stopping.
    let tell = |asked| drop(inbox.send(E::from(asked)));
    let admit = |socket, addr| {
        let Some(seat) = accept::seat_soon(&seats, shut) else {
            tell(Asked::Refused(addr));
            return refuser.refuse(scope, socket);
        };
        last += 1;
        let (leavers, yielders) = (leavers.clone(), yielders.clone());
        let place = Place { conn: ConnId(last), addr, seat, leavers, yielders };
        open(scope, place, socket, codec(), inbox.clone())
    };
    accept::run(listener, shut, trace, admit, |error| tell(Asked::NotAccepted(error)));
}

/// Starts the thread of a connection.
fn open<'scope, D, A, E>(
    scope: &'scope Scope<'scope, '_>,
    place: Place,
    socket: TcpStream,
    codec: D,
    inbox: Sender<E>,
) -> io::Result<()>
where
    D: Decode + Encode<A> + 'scope,
    D::Message: 'scope,
    A: Send + 'scope,
    E: From<Asked<D::Message, A>> + Send + 'scope,
{
    socket.set_write_timeout(Some(Duration::from_millis(WRITE_LOOK_MS)))?;
    let socket = Arc::new(socket);
    let (conn, addr) = (place.conn, place.addr);
    threads::spawn(scope, format!("c{}", conn.0), move || {
        let (slot, answered) = bounded(1);
        let asker = Asker {
            slot: Some(slot),
            thread: thread::current(),
            socket: Arc::clone(&socket),
            is_ending: Cell::new(false),
        };
        if inbox.send(Asked::Opened(conn, addr, asker).into()).is_err() {
            return;
        }
        let Place { seat, leavers, yielders, .. } = place;
        // Free only when the end is told, so that whoever takes it next comes after that.
        let mut seat = Some(seat);
        let failure = Cell::new(None);
        // Nobody listens any more when the send fails: the server is stopping.
        let closed = || drop(inbox.send(Asked::Closed(conn, failure.take()).into()));
        let _closed = Finally(closed);
        let at_once = (codec.read_bytes_max(), TURN_MESSAGES_MAX);
        let reader = Reader::new(Arc::clone(&socket), codec, at_once, yielders.clone());
        let connection = Connection {
            conn,
            socket,
            reader,
            inbox: &inbox,
            answered,
            seat: &mut seat,
            leavers,
            yielders,
            has_left: false,
            hung_up: OnceCell::new(),
        };
        // An I/O error is not an error of the server: the connection is closed, that is all.
        failure.set(connection.serve().err());
    })
}

struct Connection<'a, D: Decode, A, E> {
    conn: ConnId,
    socket: Arc<TcpStream>,
    reader: Reader<D>,
    inbox: &'a Sender<E>,
    answered: Receiver<Turn<D::Message, A>>,
    /// Given back before the end if it leaves.
    seat: &'a mut Option<Seat>,
    leavers: Seats,
    yielders: Seats,
    /// It sits among the leavers.
    has_left: bool,
    /// When a write found that the server has hung up.
    hung_up: OnceCell<Instant>,
}

impl<D, A, E> Connection<'_, D, A, E>
where
    D: Decode + Encode<A>,
    E: From<Asked<D::Message, A>>,
{
    fn serve(mut self) -> io::Result<()> {
        let mut turn = Turn::default();
        let mut bytes = Vec::new();
        while self.reader.read_while(&mut turn.questions, || is_kept(&self.answered))? {
            if self.inbox.send(Asked::Turn(self.conn, turn).into()).is_err() {
                return Ok(());
            }
            let Some(back) = self.answer()? else { return Ok(()) };
            turn = back;
            if turn.last {
                // Who reads that he has left may come again at once, and finds the seat free.
                let has_place = self.has_left || self.takes_leavers_place();
                self.write(&turn.answers, &mut bytes)?;
                return if has_place { part(&self.socket) } else { Ok(()) };
            }
            self.write(&turn.answers, &mut bytes)?;
            turn.questions.clear();
            turn.answers.clear();
        }
        Ok(())
    }

    /// Gives its seat back for one among the leavers, if there is one.
    fn takes_leavers_place(&mut self) -> bool {
        let place = self.leavers.take();
        let has_place = place.is_some();
        if has_place {
            *self.seat = place;
        }
        has_place
    }

    fn write(&mut self, answers: &[A], bytes: &mut Vec<u8>) -> io::Result<()> {
        let limit = Duration::from_millis(ANSWERED_MS_MAX);
        let (answered, hung_up) = (&self.answered, &self.hung_up);
        let may = || is_kept(answered) || hung_up.get_or_init(Instant::now).elapsed() < limit;
        bytes.clear();
        for answer in answers {
            self.reader.decoder.encode(answer, bytes);
            while self.reader.decoder.more(bytes)? {
                self.reader.write_while(bytes, may)?;
                bytes.clear();
            }
            if !self.reader.decoder.joins() {
                self.reader.write_while(bytes, may)?;
                bytes.clear();
            }
        }
        self.reader.write_while(bytes, may)
    }

    /// Waits for the turn to come back; `None` when the server has hung up.
    ///
    /// While it waits long, it looks after its other side now and then: one that has vanished
    /// must not keep a seat from others until an answer comes that it will never read.
    fn answer(&mut self) -> io::Result<Option<Turn<D::Message, A>>> {
        let mut look_ms = LOOK_MS_MIN;
        loop {
            let (place, timeout) = (self.yielders.take(), Duration::from_millis(look_ms));
            match wait::recv_parked(&self.answered, place, timeout) {
                Ok(turn) => return Ok(Some(turn)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => look_ms = LOOK_MS_MAX,
            }
            if self.reader.look()? && !self.has_left {
                // It may only have closed its sending half, and still read what we say. So it
                // goes on at a place of its own while there is one.
                let Some(leaver) = self.leavers.take() else { return Ok(None) };
                self.has_left = true;
                if !self.reader.has_more() {
                    // Nobody listens any more when this fails: the server is stopping.
                    let _ = self.inbox.send(Asked::Left(self.conn).into());
                }
                // Free only now, so that whoever takes it comes after that.
                *self.seat = Some(leaver);
            }
        }
    }
}

/// Whether the server has not hung up. No turn is out, so nothing is taken from the slot.
fn is_kept<T>(answered: &Receiver<T>) -> bool {
    !matches!(answered.try_recv(), Err(TryRecvError::Disconnected))
}
