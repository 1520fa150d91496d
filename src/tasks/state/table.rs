//! The tasks, and which of them is next.

use crate::net::asked::ConnId;
use crate::net::clock::Millis;
use crate::tasks::limits::LATE_MS;
use crate::tasks::protocol::{LeaseId, Name, PeerId, SpoolId};
use crate::tasks::state::Place;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A task that is with a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// Who has it.
    pub peer: PeerId,
    /// The connection on which it was asked for.
    pub conn: ConnId,
    /// Since when.
    pub since: Millis,
    /// When it ends at the latest.
    pub ends_at: Millis,
}

/// What a task is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// For a peer.
    Waiting,
    /// With a peer.
    Leased(Lease),
    /// It has its result.
    Done,
    /// It was lost or failed too often.
    Failed,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What it is at the moment.
    pub status: Status,
    /// How often it was lost or failed.
    pub attempts: u32,
    /// Why it was so the last time.
    pub reason: String,
    /// What it said the last time that it failed.
    pub(super) output: Option<SpoolId>,
    /// What is being stored.
    pub(super) storing: Option<(Place, Option<SpoolId>)>,
    /// It has failed, and its last output is not on disk: when to try again.
    pub(super) unsaved: Option<Millis>,
    /// What was said the last time that it could not be kept.
    pub(super) complaint: String,
    /// Whose lease has ended by its time: until when what they say belongs to that.
    late: Vec<(PeerId, Millis)>,
    /// It is no longer in the folder.
    is_gone: bool,
    /// It stands in the queue.
    is_queued: bool,
}

/// How many tasks there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// With a result.
    pub done: usize,
    /// With a peer.
    pub running: usize,
    /// For a peer.
    pub waiting: usize,
    /// Lost or failed too often.
    pub failed: usize,
}

impl Summary {
    /// All of them.
    pub fn total(&self) -> usize {
        self.done + self.running + self.waiting + self.failed
    }
}

/// All tasks.
#[derive(Debug, Default)]
pub(super) struct Table {
    tasks: BTreeMap<Name, Task>,
    /// Who waits, and has since been done or gone: looked at when its turn comes.
    queue: VecDeque<Name>,
    /// Whose lease that is.
    leases: BTreeMap<LeaseId, Name>,
    last: u64,
    /// Outputs of tasks that are forgotten.
    dropped: Vec<SpoolId>,
}

impl Table {
    pub(super) fn tasks(&self) -> &BTreeMap<Name, Task> {
        &self.tasks
    }

    pub(super) fn get_mut(&mut self, name: &Name) -> Option<&mut Task> {
        self.tasks.get_mut(name)
    }

    /// How many there are of those that count.
    pub(super) fn summary(&self, counts: impl Fn(&Name, &Status) -> bool) -> Summary {
        let mut summary = Summary::default();
        for (_, task) in self.tasks.iter().filter(|(name, task)| counts(name, &task.status)) {
            *match task.status {
                Status::Done => &mut summary.done,
                Status::Leased(_) => &mut summary.running,
                Status::Waiting => &mut summary.waiting,
                Status::Failed => &mut summary.failed,
            } += 1;
        }
        summary
    }

    /// Nothing waits, runs, or is still to be stored.
    pub(super) fn is_finished(&self) -> bool {
        self.tasks.values().all(|task| {
            let is_over = matches!(task.status, Status::Done | Status::Failed);
            is_over && task.storing.is_none() && task.unsaved.is_none()
        })
    }

    /// These are in the folder; what `status` says of a new one.
    pub(super) fn replace(&mut self, names: Vec<Name>, status: impl Fn(&Name) -> Status) {
        let names: BTreeSet<Name> = names.into_iter().collect();
        // One that a peer has is remembered until it comes back.
        let dropped = &mut self.dropped;
        self.tasks.retain(|name, task| {
            task.is_gone = !names.contains(name);
            let stays = !task.is_gone || task.status != Status::Waiting || task.storing.is_some();
            dropped.extend(task.output.filter(|_| !stays));
            stays
        });
        for name in names {
            if self.tasks.contains_key(&name) {
                continue;
            }
            let status = status(&name);
            let is_queued = status == Status::Waiting;
            if is_queued {
                self.queue.push_back(name.clone());
            }
            let task = Task {
                status,
                attempts: 0,
                reason: String::new(),
                output: None,
                storing: None,
                unsaved: None,
                complaint: String::new(),
                late: Vec::new(),
                is_gone: false,
                is_queued,
            };
            self.tasks.insert(name, task);
        }
    }

    /// What is left of tasks that are forgotten.
    pub(super) fn take_dropped(&mut self) -> Vec<SpoolId> {
        std::mem::take(&mut self.dropped)
    }

    /// Gives the next task to a peer.
    pub(super) fn lease(
        &mut self,
        peer: &PeerId,
        conn: ConnId,
        since: Millis,
        ends_at: Millis,
    ) -> Option<(Name, LeaseId)> {
        while let Some(name) = self.queue.pop_front() {
            let Some(task) = self.tasks.get_mut(&name) else { continue };
            task.is_queued = false;
            // One that is being stored comes back to the queue if that fails.
            if task.status != Status::Waiting || task.storing.is_some() {
                continue;
            }
            self.last += 1;
            let id = LeaseId(self.last);
            let peer = peer.clone();
            task.status = Status::Leased(Lease { id, peer, conn, since, ends_at });
            self.leases.insert(id, name.clone());
            return Some((name, id));
        }
        None
    }

    /// Whose lease that is, if it has not ended.
    pub(super) fn of_lease(&self, lease: LeaseId) -> Option<&Name> {
        self.leases.get(&lease)
    }

    pub(super) fn peer_of(&self, lease: LeaseId) -> Option<PeerId> {
        match &self.tasks.get(self.leases.get(&lease)?)?.status {
            Status::Leased(lease) => Some(lease.peer.clone()),
            _ => None,
        }
    }

    /// Whether this peer has this task.
    pub(super) fn is_held(&self, name: &Name, peer: &PeerId) -> bool {
        let status = self.tasks.get(name).map(|task| &task.status);
        matches!(status, Some(Status::Leased(lease)) if lease.peer == *peer)
    }

    /// The time of a task's lease is over, and what its peer says of it may be on its way.
    pub(super) fn expect_late(&mut self, name: &Name, now: Millis) {
        let Some(task) = self.tasks.get_mut(name) else { return };
        task.late.retain(|(_, until)| *until > now);
        if let Status::Leased(lease) = &task.status {
            task.late.push((lease.peer.clone(), now.plus(LATE_MS)));
        }
    }

    /// Whether what this peer says now belongs to such a lease. It does so once.
    pub(super) fn is_late(&mut self, name: &Name, peer: &PeerId, now: Millis) -> bool {
        let Some(task) = self.tasks.get_mut(name) else { return false };
        task.late.retain(|(_, until)| *until > now);
        let place = task.late.iter().position(|(late, _)| late == peer);
        place.map(|place| task.late.remove(place)).is_some()
    }

    /// The tasks whose lease is such a one.
    pub(super) fn leased(&self, mut is_it: impl FnMut(&Lease) -> bool) -> Vec<Name> {
        let names = self.leases.values();
        let mut is_one = |name: &&Name| match self.tasks.get(*name).map(|task| &task.status) {
            Some(Status::Leased(lease)) => is_it(lease),
            _ => false,
        };
        names.filter(|name| is_one(name)).cloned().collect()
    }

    /// Ends a task's lease; it waits again, behind the others. Who had it.
    pub(super) fn end_lease(&mut self, name: &Name) -> Option<PeerId> {
        let task = self.tasks.get_mut(name)?;
        let Status::Leased(lease) = &task.status else { return None };
        self.leases.remove(&lease.id);
        let peer = lease.peer.clone();
        task.status = Status::Waiting;
        self.wait(name);
        Some(peer)
    }

    /// The same, if the lease is such a one.
    pub(super) fn give_back(&mut self, name: &Name, is_it: impl Fn(&Lease) -> bool) -> bool {
        let status = self.tasks.get(name).map(|task| &task.status);
        let is_one = matches!(status, Some(Status::Leased(lease)) if is_it(lease));
        is_one && self.end_lease(name).is_some()
    }

    /// A task waits for a peer, if it is still in the folder.
    pub(super) fn wait(&mut self, name: &Name) {
        let Some(task) = self.tasks.get_mut(name) else { return };
        if task.storing.is_some() {
            return;
        }
        if task.is_gone {
            self.dropped.extend(task.output);
            self.tasks.remove(name);
        } else if !std::mem::replace(&mut task.is_queued, true) {
            self.queue.push_back(name.clone());
        }
    }

    /// A task is over; no lease of it goes on.
    pub(super) fn finish(&mut self, name: &Name, status: Status) {
        let Some(task) = self.tasks.get_mut(name) else { return };
        if let Status::Leased(lease) = std::mem::replace(&mut task.status, status) {
            self.leases.remove(&lease.id);
        }
    }

    pub(super) fn is_storing(&self, name: &Name, spool: SpoolId) -> bool {
        let storing = self.tasks.get(name).and_then(|task| task.storing);
        storing.is_some_and(|(_, stored)| stored == Some(spool))
    }

    /// What has failed and is not on disk, though it was to be by now; `again_at` is the next time.
    pub(super) fn unsaved(&mut self, now: Millis, again_at: Millis) -> Vec<Name> {
        let mut names = Vec::new();
        for (name, task) in &mut self.tasks {
            if task.unsaved.is_some_and(|at| at <= now) {
                task.unsaved = Some(again_at);
                names.extend(task.storing.is_none().then(|| name.clone()));
            }
        }
        names
    }

    /// When something is due by itself.
    pub(super) fn next_end(&self) -> Option<Millis> {
        let ends = |name: &Name| match &self.tasks.get(name)?.status {
            Status::Leased(lease) => Some(lease.ends_at),
            _ => None,
        };
        let unsaved = self.tasks.values().filter_map(|task| task.unsaved);
        self.leases.values().filter_map(ends).chain(unsaved).min()
    }
}
