//! Stopping is dropping: when the [`Stopper`] goes, every [`Stop`] wakes.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::time::Duration;

/// Held by whoever may stop the server; dropping it is the signal.
#[derive(Debug)]
pub struct Stopper {
    _held: Sender<Never>,
}

/// Waited on by every loop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Stop(Receiver<Never>);

/// No value of this type exists, so the channel can only ever close.
#[derive(Debug)]
pub enum Never {}

/// Makes a pair.
pub fn stop_pair() -> (Stopper, Stop) {
    // Capacity 1, though nothing is ever sent: asking such a channel takes no lock.
    let (sender, receiver) = bounded(1);
    (Stopper { _held: sender }, Stop(receiver))
}

impl Stop {
    /// A stop that nobody will ask for.
    pub fn never() -> Stop {
        Stop(crossbeam_channel::never())
    }

    /// The receiving end, for `select!`: it becomes ready when stop is asked for.
    pub fn channel(&self) -> &Receiver<Never> {
        &self.0
    }

    /// True once stop was asked for.
    pub fn is_asked(&self) -> bool {
        matches!(self.0.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Waits at most `timeout`; true when stop was asked for.
    pub fn wait(&self, timeout: Duration) -> bool {
        matches!(self.0.recv_timeout(timeout), Err(RecvTimeoutError::Disconnected))
    }
}
