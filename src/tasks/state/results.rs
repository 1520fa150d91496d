//! What becomes of results: kept once, whoever brings them and however often.

use super::peers::Pending;
use super::table::{Status, Task};
use super::{Effect, Place, State};
use crate::net::asked::ConnId;
use crate::net::clock::Millis;
use crate::tasks::limits::STORE_AGAIN_MS;
use crate::tasks::protocol::{Answer, Name, PeerId, SpoolId, Submission};

impl State {
    /// None: the answer follows when the result is stored.
    pub(super) fn submit(
        &mut self,
        now: Millis,
        conn: ConnId,
        submission: Submission,
    ) -> Option<Answer> {
        let Submission { peer, name, archive, failed } = submission;
        let spool = match archive {
            Ok(spool) => spool,
            Err(why) => {
                self.counters.unstored += 1;
                if let Some(task) = name.ok().and_then(|name| self.meant(&peer, &name)) {
                    self.complain(&task, &why);
                }
                return Some(Answer::Later(why));
            }
        };
        let task = match name {
            Ok(name) => self.meant(&peer, &name),
            Err(why) => {
                self.counters.wrong += 1;
                self.discard(Some(spool));
                return Some(Answer::Error(why.to_owned()));
            }
        };
        let Some(task) = task else {
            self.counters.wrong += 1;
            self.discard(Some(spool));
            return Some(Answer::Error("there is no such task".to_owned()));
        };
        let pending = Pending { task, spool, peer, failed };
        if pending.failed.is_some() {
            self.take_failure(now, conn, pending)
        } else {
            self.take_result(conn, pending)
        }
    }

    /// The task that a result of this name belongs to. Where several have such a name, it is the
    /// one that its peer has.
    fn meant(&self, peer: &PeerId, name: &Name) -> Option<Name> {
        let tasks = || name.tasks().filter(|name| self.table.tasks().contains_key(name));
        let mut held = tasks().filter(|name| self.table.is_held(name, peer));
        match (held.next(), held.next()) {
            (Some(task), None) => Some(task),
            _ => tasks().next(),
        }
    }

    /// The result of a task cannot come; whoever has it has failed.
    pub(super) fn result_too_long(&mut self, now: Millis, peer: &PeerId, name: &Name) -> Answer {
        const WHY: &str = "its result is too long";
        self.counters.wrong += 1;
        let task = self.meant(peer, name).filter(|task| self.table.is_held(task, peer));
        if let Some(task) = task.filter(|task| !self.table.is_late(task, peer, now)) {
            self.has_failed(&task, peer, WHY);
            self.table.end_lease(&task);
            self.failed_once(now, &task, WHY);
        }
        Answer::Error("the message is too long".to_owned())
    }

    fn has_failed(&mut self, name: &Name, peer: &PeerId, why: &str) {
        self.counters.failed += 1;
        self.trace(format!("ev=failed task={} peer={peer:?} why={why:?}", name.word()));
        self.count(peer, |peer| peer.failed += 1);
    }

    /// Says once that a task's result cannot be kept, and why.
    fn complain(&mut self, name: &Name, why: &str) {
        let Some(task) = self.table.get_mut(name).filter(|task| task.complaint != why) else {
            return;
        };
        task.complaint = why.to_owned();
        self.effects.push(Effect::Warn(format!("{name}: {why}")));
    }

    /// The task is done, but for the storing.
    fn take_result(&mut self, conn: ConnId, pending: Pending) -> Option<Answer> {
        let task = self.table.get_mut(&pending.task)?;
        if task.status == Status::Done {
            return Some(self.drop_duplicate(pending.spool));
        }
        if task.storing.is_none() {
            self.store(&pending.task, Some(pending.spool), Place::Done);
        }
        self.wait_for_disk(conn, pending);
        None
    }

    /// The task has failed; whether for good, the number of attempts says.
    fn take_failure(&mut self, now: Millis, conn: ConnId, pending: Pending) -> Option<Answer> {
        let Pending { task: name, spool, peer, failed } = &pending;
        let (spool, reason) = (*spool, failed.clone().unwrap_or_default());
        let task = self.table.get_mut(name)?;
        if task.storing.is_some() || matches!(task.status, Status::Done | Status::Failed) {
            return Some(self.drop_duplicate(spool));
        }
        let old = task.output.replace(spool);
        self.discard(old);
        self.has_failed(name, peer, &reason);
        if self.table.is_late(name, peer, now) || !self.table.is_held(name, peer) {
            // Its lease has ended before, and was counted then.
            return Some(Answer::Done);
        }
        self.table.end_lease(name);
        self.failed_once(now, name, &reason);
        if self.table.is_storing(name, spool) {
            self.wait_for_disk(conn, pending);
            return None;
        }
        Some(Answer::Done)
    }

    fn drop_duplicate(&mut self, spool: SpoolId) -> Answer {
        self.counters.duplicates += 1;
        self.discard(Some(spool));
        Answer::Done
    }

    fn wait_for_disk(&mut self, conn: ConnId, pending: Pending) {
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.pending = Some(pending);
        }
    }

    fn store(&mut self, name: &Name, spool: Option<SpoolId>, place: Place) {
        let Some(task) = self.table.get_mut(name) else { return };
        task.storing = Some((place, spool));
        let reason = task.reason.clone();
        self.effects.push(Effect::Store(name.clone(), spool, place, reason));
    }

    /// One attempt more has come to nothing. The last one sets the task aside.
    pub(super) fn failed_once(&mut self, now: Millis, name: &Name, why: &str) {
        let attempts_max = self.setup.attempts_max;
        let Some(task) = self.table.get_mut(name) else { return };
        task.attempts += 1;
        task.reason = why.to_owned();
        if task.attempts < attempts_max {
            return;
        }
        self.give_up(now, name, why);
    }

    /// A task is set aside.
    pub(super) fn give_up(&mut self, now: Millis, name: &Name, why: &str) {
        let is_storing = |task: &&mut Task| task.storing.is_some() || task.status == Status::Done;
        let Some(task) = self.table.get_mut(name).filter(|task| !is_storing(task)) else { return };
        task.reason = why.to_owned();
        self.table.finish(name, Status::Failed);
        self.trace(format!("ev=set-aside task={}", name.word()));
        self.set_aside(now, name);
    }

    fn set_aside(&mut self, now: Millis, name: &Name) {
        let Some(task) = self.table.get_mut(name) else { return };
        // Until it is stored; tried again if that fails.
        let again_at = now.plus(STORE_AGAIN_MS);
        task.unsaved = Some(again_at);
        let output = task.output;
        self.store(name, output, Place::Failed);
        self.due(again_at);
    }

    /// Stores again what could not be stored.
    pub(super) fn save_failed(&mut self, now: Millis) {
        for name in self.table.unsaved(now, now.plus(STORE_AGAIN_MS)) {
            self.set_aside(now, &name);
        }
    }

    /// The disk has answered.
    pub(super) fn stored(&mut self, now: Millis, name: &Name, outcome: Result<(), String>) {
        let Some(task) = self.table.get_mut(name) else { return };
        let Some((place, spool)) = task.storing.take() else { return };
        self.may_end = true;
        match (&outcome, place) {
            (Ok(()), Place::Done) => self.is_done(name),
            (Ok(()), Place::Failed) => {
                (task.output, task.unsaved) = (None, None);
            }
            (Err(why), _) => {
                self.counters.unstored += 1;
                self.trace(format!("ev=not-stored task={} why={why:?}", name.word()));
                self.complain(name, why);
                if place == Place::Done {
                    self.discard(spool);
                }
            }
        }
        let (first, others) = self.waiting_for(name, spool);
        for (conn, pending) in first {
            let answer = match &outcome {
                Ok(()) => {
                    let is_result = pending.failed.is_none();
                    self.count(&pending.peer, |peer| peer.done += u64::from(is_result));
                    Answer::Done
                }
                // The output of a failed task is kept, and stored later.
                Err(_) if place == Place::Failed => Answer::Done,
                Err(why) => Answer::Later(why.clone()),
            };
            self.go_on(now, conn, answer);
        }
        for (conn, pending) in others {
            if let Some(answer) = self.take_result(conn, pending) {
                self.go_on(now, conn, answer);
            }
        }
        if matches!(self.table.tasks().get(name), Some(task) if task.status == Status::Waiting) {
            self.table.wait(name);
        }
    }

    fn is_done(&mut self, name: &Name) {
        let Some(task) = self.table.get_mut(name) else { return };
        let output = task.output.take();
        task.unsaved = None;
        let was_failed = task.status == Status::Failed;
        self.table.finish(name, Status::Done);
        self.discard(output);
        if was_failed {
            self.effects.push(Effect::Forget(name.clone()));
        }
        self.trace(format!("ev=done task={}", name.word()));
    }

    /// Who waits for this task: with the archive that was stored, and with another one.
    #[allow(clippy::type_complexity, reason = "two lists of the same")]
    fn waiting_for(
        &self,
        name: &Name,
        spool: Option<SpoolId>,
    ) -> (Vec<(ConnId, Pending)>, Vec<(ConnId, Pending)>) {
        let pending = self.conns.iter().filter_map(|(conn, c)| Some((*conn, c.pending.clone()?)));
        let of_task = pending.filter(|(_, pending)| pending.task == *name);
        of_task.partition(|(_, pending)| Some(pending.spool) == spool)
    }

    /// Answers what waited, and then what is behind it.
    fn go_on(&mut self, now: Millis, conn: ConnId, answer: Answer) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.pending = None;
        let Some(mut turn) = connection.turn.take() else { return };
        let peer = connection.peer.clone();
        peer.iter().for_each(|peer| self.lives(now, peer));
        turn.answers.push(answer);
        self.serve(now, conn, turn);
    }
}
