//! What becomes of results: kept once, whoever brings them and however often.

use super::peers::Pending;
use super::table::Status;
use super::{Effect, Place, State};
use crate::net::asked::ConnId;
use crate::net::clock::Millis;
use crate::tasks::limits::STORE_AGAIN_MS;
use crate::tasks::protocol::{Answer, Name, SpoolId, Submission};

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
                return Some(Answer::Later(why));
            }
        };
        let task = match name {
            Ok(name) => name.tasks().find(|name| self.table.tasks().contains_key(name)),
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
        let is_holder = matches!(&task.status, Status::Leased(lease) if lease.peer == *peer);
        self.discard(old);
        self.counters.failed += 1;
        self.trace(format!("ev=failed task={name} peer={peer:?} why={reason:?}"));
        self.count(peer, |peer| peer.failed += 1);
        if !is_holder {
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
        if task.attempts < attempts_max || task.storing.is_some() || task.status == Status::Done {
            return;
        }
        self.table.finish(name, Status::Failed);
        self.trace(format!("ev=set-aside task={name}"));
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
                self.trace(format!("ev=not-stored task={name} why={why:?}"));
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
        self.trace(format!("ev=done task={name}"));
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
