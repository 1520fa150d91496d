//! The one way to wait for another thread: yield the processor for a short while, then park.
//!
//! Measured: where a question passes from thread to thread, waking parked threads is most of the
//! time. Yielding (not spinning) lets whoever has work run first, and costs nothing when idle,
//! because it ends after [`YIELD_US_MAX`].

use crate::net::limits::YIELD_US_MAX;
use crate::net::stop::Stop;
use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, select_biased};
use std::thread;
use std::time::{Duration, Instant};

/// What ended a wait.
#[derive(Debug)]
pub enum Woken<T> {
    /// Something was sent.
    Item(T),
    /// Every sender is gone.
    Closed,
    /// Stop was asked for.
    Stop,
    /// The time is over.
    Due,
}

/// Takes an item if one comes while we yield. `None`: nothing came, or nothing ever will.
pub fn yielding<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let mut since: Option<Instant> = None;
    loop {
        if let Some(item) = attempt() {
            return Some(item);
        }
        let start = *since.get_or_insert_with(Instant::now);
        if start.elapsed() >= Duration::from_micros(YIELD_US_MAX) {
            return None;
        }
        thread::yield_now();
    }
}

/// Waits for an item without end; `None` once every sender is gone.
pub fn recv<T>(channel: &Receiver<T>) -> Option<T> {
    soon(channel).unwrap_or_else(|| channel.recv().map_err(|_| RecvTimeoutError::Disconnected)).ok()
}

/// Waits for an item, at most `timeout`; who sends it unparks this thread.
///
/// crossbeam's own way to wait spins and yields a dozen times before it parks. Measured with 5000
/// connections that wait at the same time, parking at once doubles what they are answered. So only
/// who has a place among the few yields first; it is given back before the thread parks.
pub fn recv_parked<T, P>(
    channel: &Receiver<T>,
    place: Option<P>,
    timeout: Duration,
) -> Result<T, RecvTimeoutError> {
    if let Some(_place) = place
        && let Some(item) = soon(channel)
    {
        return item;
    }
    let end = Instant::now() + timeout;
    loop {
        match channel.try_recv() {
            Ok(item) => return Ok(item),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(RecvTimeoutError::Timeout);
        }
        thread::park_timeout(left);
    }
}

/// Waits for stop, an item, or the end of `timeout` (none: for ever), stop first.
pub fn recv_or_stop<T>(channel: &Receiver<T>, stop: &Stop, timeout: Option<Duration>) -> Woken<T> {
    if stop.is_asked() {
        return Woken::Stop;
    }
    match soon(channel) {
        Some(Ok(item)) => return Woken::Item(item),
        Some(Err(_)) => return Woken::Closed,
        None => {}
    }
    let timer = timeout.map_or_else(crossbeam_channel::never, crossbeam_channel::after);
    select_biased! {
        recv(stop.channel()) -> _ => Woken::Stop,
        recv(channel) -> item => item.map_or(Woken::Closed, Woken::Item),
        recv(timer) -> _ => Woken::Due,
    }
}

fn soon<T>(channel: &Receiver<T>) -> Option<Result<T, RecvTimeoutError>> {
    yielding(|| match channel.try_recv() {
        Ok(item) => Some(Ok(item)),
        Err(TryRecvError::Disconnected) => Some(Err(RecvTimeoutError::Disconnected)),
        Err(TryRecvError::Empty) => None,
    })
}

/// An inbox that is dropped last, and drops all that is in it.
///
/// A bounded crossbeam channel keeps what is queued until its last *sender* is gone. What is
/// queued may be a connection's only way to learn that it is over, and the connection is one of
/// the senders: both would wait for ever. So whoever owns the inbox drops everything else first,
/// and the inbox then takes out what still arrives until every thread that could send has ended.
#[derive(Debug)]
pub struct Inbox<T>(Receiver<T>);

impl<T> Inbox<T> {
    /// Takes over the receiving end.
    pub fn new(receiver: Receiver<T>) -> Inbox<T> {
        Inbox(receiver)
    }

    /// An event that is already there.
    pub fn ready(&self) -> Option<T> {
        self.0.try_recv().ok()
    }

    /// Waits for stop, an event, or the end of `timeout`.
    pub fn next(&self, stop: &Stop, timeout: Option<Duration>) -> Woken<T> {
        recv_or_stop(&self.0, stop, timeout)
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.0.iter().for_each(drop);
    }
}
