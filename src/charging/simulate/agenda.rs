//! What is to happen when, on a simulated clock. Of two things at the same time the one that was
//! put down first comes first.

use crate::charging::limits::AGENDA_MS;
use crate::net::clock::Millis;
use std::collections::{BTreeMap, VecDeque};

/// A list for each of the milliseconds that come next. Nearly all that is put down is near, and so
/// is found without a search; a heap of 100,000 entries took half of the time of a simulation.
#[derive(Debug)]
pub struct Agenda<T> {
    now: Millis,
    near: Vec<VecDeque<T>>,
    far: BTreeMap<Millis, Vec<T>>,
}

impl<T> Agenda<T> {
    /// An empty one that begins at zero.
    pub fn new() -> Agenda<T> {
        let near = (0..AGENDA_MS).map(|_| VecDeque::new()).collect();
        Agenda { now: Millis(0), near, far: BTreeMap::new() }
    }

    /// Puts something down; what is for the past is for now.
    pub fn add(&mut self, at: Millis, what: T) {
        let at = at.max(self.now);
        if at.0 - self.now.0 < AGENDA_MS {
            self.near[slot(at)].push_back(what);
        } else {
            self.far.entry(at).or_default().push(what);
        }
    }

    /// The next thing that happens until `end`, and when. None when there is nothing more; then
    /// `end` it is.
    pub fn next(&mut self, end: Millis) -> Option<(Millis, T)> {
        loop {
            if let Some(what) = self.near[slot(self.now)].pop_front() {
                return Some((self.now, what));
            }
            if self.now >= end {
                return None;
            }
            self.now = self.now.plus(1);
            // What was far is put where it belongs as soon as it is near: before anything else
            // could be put there.
            let edge = self.now.plus(AGENDA_MS - 1);
            if let Some(entry) = self.far.first_entry()
                && *entry.key() <= edge
            {
                let (at, all) = entry.remove_entry();
                self.near[slot(at)].extend(all);
            }
        }
    }
}

impl<T> Default for Agenda<T> {
    fn default() -> Agenda<T> {
        Agenda::new()
    }
}

fn slot(at: Millis) -> usize {
    (at.0 % AGENDA_MS) as usize
}
