//! All rules of a master. A value: events and the time go in, effects come out.

mod counters;
mod peers;
mod results;
mod table;

pub use counters::Counters;
pub use peers::Peer;
pub use table::{Status, Summary, Task};

use crate::net::asked::{self, ConnId};
use crate::net::clock::Millis;
use crate::tasks::limits::{ENDING_MS, LEASE_MORE_MS, LEASE_MORE_SHARE, SILENT_MS_MAX};
use crate::tasks::protocol::{Answer, LeaseId, Name, PeerId, Question, SpoolId};
use crate::tasks::token::Token;
use peers::Conn;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use table::Table;

/// What a peer asked in one read, and what it is answered.
pub type Turn = asked::Turn<Question, Answer>;

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody connected; the number is drawn for this connection, if there is a token.
    Opened(ConnId, SocketAddr, String),
    /// It asked; or, with no question, more of a long message has come.
    Asked(ConnId, Turn),
    /// More of a task has gone to its peer.
    Moved(LeaseId),
    /// A task could not be read when it was to go to its peer.
    Unread(LeaseId, String),
    /// Nor is any message long enough for it.
    TooLarge(LeaseId),
    /// A connection is gone; whether an answer could not be written to it.
    Closed(ConnId, bool),
    /// Somebody found no seat free.
    Refused,
    /// These tasks are in the folder now; whether nothing is being copied there.
    Looked(Vec<Name>, bool),
    /// An archive is on disk for good, or why not.
    Stored(Name, Result<(), String>),
    /// Time passed.
    Tick,
}

/// Where a result belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `results/`
    Done,
    /// `results/failed/`
    Failed,
}

/// Everything that may come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Gives a connection its turn back.
    Answer(ConnId, Turn),
    /// Puts an archive where it belongs; without one, a note of the reason. `Stored` follows.
    Store(Name, Option<SpoolId>, Place, String),
    /// Throws an archive away.
    Discard(SpoolId),
    /// Takes the last output of a failed task away: it is done after all.
    Forget(Name),
    /// One line of the trace.
    Trace(String),
    /// One line for the person.
    Warn(String),
    /// The master is over.
    End,
}

/// What a master is told at its start.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How long a task may be with a peer, in ms.
    pub task_ms_max: u64,
    /// How often a task may be lost or fail.
    pub attempts_max: u32,
    /// Peers at a time.
    pub peers_max: usize,
    /// Whether it ends when no task is left.
    pub until_done: bool,
    /// What peers must know.
    pub token: Option<Token>,
    /// What has a result already.
    pub done: BTreeSet<Name>,
    /// What has failed for good already.
    pub failed: BTreeSet<Name>,
}

/// The master.
#[derive(Debug)]
pub struct State {
    setup: Setup,
    table: Table,
    peers: BTreeMap<PeerId, Peer>,
    conns: BTreeMap<ConnId, Conn>,
    /// Nothing is due before this.
    look_at: Option<Millis>,
    /// Nothing is left to do; over at this time.
    ends_at: Option<Millis>,
    /// Something was looked for or stored since it was last asked whether all is done.
    may_end: bool,
    /// All that is in the folder is a task already.
    knows_all: bool,
    counters: Counters,
    effects: Vec<Effect>,
}

impl State {
    /// A master that has not looked for tasks yet.
    pub fn new(setup: Setup) -> State {
        State {
            setup,
            table: Table::default(),
            peers: BTreeMap::new(),
            conns: BTreeMap::new(),
            look_at: None,
            ends_at: None,
            may_end: false,
            knows_all: false,
            counters: Counters::default(),
            effects: Vec::new(),
        }
    }

    /// What went wrong so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// All tasks by name.
    pub fn tasks(&self) -> &BTreeMap<Name, Task> {
        self.table.tasks()
    }

    /// How many tasks there are of each kind.
    pub fn summary(&self) -> Summary {
        self.table.summary(|_, _| true)
    }

    /// How many of them were what they are before it started.
    pub fn earlier(&self) -> Summary {
        self.table.summary(|name, status| match status {
            Status::Done => self.setup.done.contains(name),
            Status::Failed => self.setup.failed.contains(name),
            Status::Waiting | Status::Leased(_) => false,
        })
    }

    /// All peers by id.
    pub fn peers(&self) -> &BTreeMap<PeerId, Peer> {
        &self.peers
    }

    /// When a [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Millis> {
        [self.look_at, self.ends_at].into_iter().flatten().min()
    }

    /// Takes in what happened, and says what comes of it.
    pub fn handle(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        match event {
            Event::Opened(conn, addr, nonce) => {
                let is_in = self.setup.token.is_none();
                self.conns.insert(conn, Conn::new(addr, nonce, is_in));
            }
            Event::Asked(conn, turn) => self.asked(now, conn, turn),
            Event::Moved(lease) => self.moved(now, lease),
            Event::Unread(lease, why) => self.unread(now, lease, &why),
            Event::TooLarge(lease) => self.too_large(now, lease),
            Event::Closed(conn, undelivered) => self.closed(now, conn, undelivered),
            Event::Refused => self.counters.refused += 1,
            Event::Looked(names, is_all) => self.looked(names, is_all),
            Event::Stored(name, outcome) => self.stored(now, &name, outcome),
            Event::Tick => {}
        }
        if self.look_at.is_some_and(|at| at <= now) {
            self.look(now);
        }
        self.look_for_the_end(now);
        self.effects.extend(self.table.take_dropped().into_iter().map(Effect::Discard));
        std::mem::take(&mut self.effects)
    }

    fn looked(&mut self, names: Vec<Name>, is_all: bool) {
        (self.may_end, self.knows_all) = (true, is_all);
        let (done, failed) = (&self.setup.done, &self.setup.failed);
        self.table.replace(names, |name| {
            if done.contains(name) {
                Status::Done
            } else if failed.contains(name) {
                Status::Failed
            } else {
                Status::Waiting
            }
        });
    }

    /// Answers a turn to its end, or to a result that must be stored first.
    fn asked(&mut self, now: Millis, conn: ConnId, turn: Turn) {
        let Some(connection) = self.conns.get_mut(&conn) else {
            return self.discard_all(&turn.questions);
        };
        connection.messages += turn.questions.len() as u64;
        if turn.questions.is_empty()
            && let Some(peer) = connection.peer.clone()
        {
            self.lives(now, &peer);
        }
        self.serve(now, conn, turn);
    }

    fn serve(&mut self, now: Millis, conn: ConnId, mut turn: Turn) {
        while !turn.last
            && let Some(question) = turn.questions.get(turn.answers.len())
        {
            let question = question.clone();
            turn.last = matches!(question, Question::Broken | Question::Silent);
            let answer = match self.gate(now, conn, &question) {
                Err(answer) => {
                    self.discard(question.archive());
                    answer
                }
                Ok(()) => match self.answer(now, conn, question) {
                    Some(answer) => answer,
                    None => {
                        if let Some(connection) = self.conns.get_mut(&conn) {
                            connection.turn = Some(turn);
                        }
                        return;
                    }
                },
            };
            turn.last |= self.is_thrown_out(conn);
            turn.answers.push(answer);
        }
        self.effects.push(Effect::Answer(conn, turn));
    }

    /// None: the answer follows when the result is stored.
    fn answer(&mut self, now: Millis, conn: ConnId, question: Question) -> Option<Answer> {
        Some(match question {
            Question::Register(..) => Answer::Registered,
            Question::Heartbeat(_) => Answer::Alive,
            Question::RequestTask(peer) => self.hand_out(now, conn, peer),
            Question::SubmitResult(submission) => return self.submit(now, conn, submission),
            Question::ReturnTask(peer, name) => self.returned(&peer, &name),
            Question::TooLong(peer, name) => self.result_too_long(now, &peer, &name),
            Question::Unknown(why) => {
                self.counters.unknown += 1;
                Answer::Error(why)
            }
            Question::Broken => {
                self.counters.broken += 1;
                Answer::Error("the stream is no JSON".to_owned())
            }
            Question::Silent => {
                self.counters.silent += 1;
                Answer::Error("nothing came for too long".to_owned())
            }
        })
    }

    fn hand_out(&mut self, now: Millis, conn: ConnId, peer: PeerId) -> Answer {
        let task_ms_max = self.setup.task_ms_max;
        let more_ms = (task_ms_max / LEASE_MORE_SHARE).min(LEASE_MORE_MS);
        let ends_at = now.plus(task_ms_max + more_ms);
        let Some((name, lease)) = self.table.lease(&peer, conn, now, ends_at) else {
            return Answer::NoTask;
        };
        self.due(ends_at.min(now.plus(SILENT_MS_MAX)));
        let word = name.word();
        self.trace(format!("ev=lease task={word} peer={peer:?} lease={}", lease.0));
        Answer::Package(name, lease)
    }

    fn returned(&mut self, peer: &PeerId, name: &Name) -> Answer {
        if self.table.give_back(name, |lease| lease.peer == *peer) {
            self.trace(format!("ev=return task={} peer={peer:?}", name.word()));
        }
        Answer::Done
    }

    fn unread(&mut self, now: Millis, lease: LeaseId, why: &str) {
        let Some(name) = self.table.of_lease(lease).cloned() else { return };
        self.trace(format!("ev=unread task={} why={why:?}", name.word()));
        const WHY: &str = "the task could not be read";
        // The same again is no news.
        if self.table.get_mut(&name).is_some_and(|task| task.reason != WHY) {
            self.effects.push(Effect::Warn(format!("cannot read the task {name}: {why}")));
        }
        self.lose(now, &name, WHY);
    }

    /// It can reach nobody, so nobody else needs to try.
    fn too_large(&mut self, now: Millis, lease: LeaseId) {
        let Some(name) = self.table.of_lease(lease).cloned() else { return };
        self.table.end_lease(&name);
        const WHY: &str = "too large for a message: see --max-message";
        self.effects.push(Effect::Warn(format!("{name} is set aside: {WHY}")));
        self.give_up(now, &name, WHY);
    }

    /// A lease has ended without a result.
    fn lose(&mut self, now: Millis, name: &Name, why: &str) {
        self.counters.lost += 1;
        self.trace(format!("ev=lost task={} why={why:?}", name.word()));
        if let Some(peer) = self.table.end_lease(name) {
            self.count(&peer, |peer| peer.lost += 1);
        }
        self.failed_once(now, name, why);
    }

    fn closed(&mut self, now: Millis, conn: ConnId, undelivered: bool) {
        let Some(connection) = self.conns.remove(&conn) else { return };
        if let Some(pending) = &connection.pending
            && !self.table.is_storing(&pending.task, pending.spool)
        {
            self.discard(Some(pending.spool));
        }
        // The first of these is the pending one.
        if let Some(Turn { questions, answers, .. }) = &connection.turn {
            self.discard_all(&questions[answers.len() + 1..]);
        }
        // One that carried nothing but one question belongs to a peer that connects for each:
        // only silence says that it is gone.
        if connection.messages > 1 || undelivered {
            for name in self.table.leased(|lease| lease.conn == conn) {
                self.lose(now, &name, "the connection was closed");
            }
        }
    }

    /// Ends what has lasted too long, and says when to look again.
    fn look(&mut self, now: Millis) {
        let waiting: Vec<PeerId> = self
            .conns
            .values()
            .filter(|c| c.turn.is_some())
            .filter_map(|c| c.peer.clone())
            .collect();
        waiting.iter().for_each(|peer| self.lives(now, peer));
        let peers = &self.peers;
        let is_silent = |peer: &PeerId| {
            peers.get(peer).is_none_or(|peer| peer.seen_at.plus(SILENT_MS_MAX) <= now)
        };
        let late = self.table.leased(|lease| lease.ends_at <= now);
        let silent = self.table.leased(|lease| lease.ends_at > now && is_silent(&lease.peer));
        self.peers.retain(|_, peer| peer.seen_at.plus(SILENT_MS_MAX) > now);
        for name in &late {
            self.table.expect_late(name, now);
            self.lose(now, name, "it took too long");
        }
        silent.iter().for_each(|name| self.lose(now, name, "the peer was silent"));
        self.save_failed(now);
        let silent_at = self.peers.values().map(|peer| peer.seen_at.plus(SILENT_MS_MAX));
        let next = silent_at.chain(self.table.next_end()).min();
        self.look_at = next;
    }

    fn look_for_the_end(&mut self, now: Millis) {
        if self.setup.until_done && std::mem::take(&mut self.may_end) {
            // The last answers are to reach their peers.
            let is_over = self.knows_all && self.table.is_finished();
            self.ends_at = is_over.then(|| now.plus(ENDING_MS));
        }
        if self.ends_at.is_some_and(|at| at <= now) {
            self.effects.push(Effect::End);
        }
    }

    fn due(&mut self, at: Millis) {
        self.look_at = Some(self.look_at.map_or(at, |known| known.min(at)));
    }

    fn discard_all(&mut self, questions: &[Question]) {
        questions.iter().for_each(|question| self.discard(question.archive()));
    }

    fn discard(&mut self, spool: Option<SpoolId>) {
        self.effects.extend(spool.map(Effect::Discard));
    }

    fn trace(&mut self, line: String) {
        self.effects.push(Effect::Trace(line));
    }
}
