//! The other side as a library: a peer that finds its master, works, and loses no result.
//!
//! One thread talks to the master; each task that runs has a thread of its own.

mod folders;
mod link;
mod search;
mod talk;

pub use link::{Answers, Link};
pub use search::{Search, is_trusted};

use crate::net::clock::{Clock, Millis};
use crate::net::failure::Failure;
use crate::net::screen::{Screen, visible};
use crate::net::stop::Stop;
use crate::net::threads;
use crate::net::trace::Trace;
use crate::tasks::limits::{
    LEAVE_MS_MAX, PAUSE_MS_MAX, PAUSE_MS_MIN, REST_MS, TASK_STACK_BYTES, TROUBLES_MAX,
};
use crate::tasks::protocol::{Name, reason};
use crate::tasks::store::{Spools, lock};
use crate::tasks::token::Token;
use crate::tasks::work::{Outcome, Workshop, excuse};
use crossbeam_channel::{Receiver, Sender, after, bounded, never, select_biased};
use folders::Folders;
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, Scope};
use std::time::Duration;
use talk::Talk;

/// What a peer is told at its start.
#[derive(Debug)]
pub struct Config {
    /// Its id.
    pub id: String,
    /// Where its master is.
    pub search: Search,
    /// How tasks are run.
    pub workshop: Workshop,
    /// Its folder.
    pub folder: PathBuf,
    /// Tasks at a time.
    pub slots: usize,
    /// A message, in bytes.
    pub message_bytes_max: u64,
    /// What its master must know, and it.
    pub token: Option<Token>,
    /// Whether it talks to other machines without a token.
    pub trusts_network: bool,
    /// What the program says.
    pub screen: Screen,
    /// What happens.
    pub trace: Trace,
    /// The time of all.
    pub clock: Clock,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Results that the master has.
    pub delivered: u64,
    /// Results that it did not want.
    pub refused: u64,
    /// Tasks whose results it could not be given. They are gone; it gives these out again.
    pub undelivered: Vec<Name>,
}

/// A task that has run.
struct Ended {
    name: Name,
    outcome: Outcome,
}

/// A result that waits for the master.
pub(super) struct Finished {
    name: Name,
    archive: Archive,
    failed: Option<String>,
}

/// Where a result is.
pub(super) enum Archive {
    File(PathBuf),
    /// A short one, for which there may be no room elsewhere.
    Bytes(Vec<u8>),
}

/// What happened in the peer's own thread.
enum Woken {
    Heard(Option<crate::tasks::protocol::Heard>),
    Ended(Ended),
    Stop,
    StopNow,
    Due,
}

/// Works until `stop`, then finishes what runs; `stop_now` gives it back.
pub fn run(config: &Config, stop: &Stop, stop_now: &Stop) -> Result<Report, Failure> {
    let work = config.folder.display();
    let what = |verb: &str| format!("cannot {verb} the folder {work}");
    fs::create_dir_all(&config.folder).map_err(Failure::from_io(what("make")))?;
    let lock = lock(&config.folder).map_err(Failure::from_io(what("lock")))?;
    let Some(_lock) = lock else {
        let what = format!("another peer works in `{work}`");
        return Err(Failure { what, why: "give this one --work".to_owned() });
    };
    config.workshop.tidy();
    let folders = Folders::begin(&config.folder)?;
    let (ended_in, ended) = bounded(config.slots);
    let spools = Spools::new(&folders.incoming, false);
    let report = thread::scope(|scope| {
        let peer = Peer {
            scope,
            config,
            stop_now,
            folders: &folders,
            spools,
            results: VecDeque::new(),
            returns: VecDeque::new(),
            running: BTreeSet::new(),
            troubles: VecDeque::new(),
            ended_in,
            talk: None,
            pause_ms: PAUSE_MS_MIN,
            try_at: Millis(0),
            rest_until: Millis(0),
            rest_ms: PAUSE_MS_MIN,
            last_word: String::new(),
            is_leaving: false,
            is_ending: false,
            leaves_by: Millis(0),
            report: Report::default(),
        };
        peer.run(stop, &ended)
    });
    folders.remove();
    Ok(report)
}

/// A peer at work.
struct Peer<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    config: &'env Config,
    stop_now: &'env Stop,
    folders: &'env Folders,
    spools: Spools,
    /// Oldest first; each stays until the master says that it has it.
    results: VecDeque<Finished>,
    /// What will not be finished here.
    returns: VecDeque<Name>,
    running: BTreeSet<Name>,
    /// Tasks that could not be run here and were given back, oldest first.
    troubles: VecDeque<Name>,
    ended_in: Sender<Ended>,
    talk: Option<Talk>,
    pause_ms: u64,
    try_at: Millis,
    /// This machine cannot work for now.
    rest_until: Millis,
    rest_ms: u64,
    /// What was said last of the connection, so that it is said once.
    last_word: String,
    is_leaving: bool,
    /// The second word has come.
    is_ending: bool,
    /// Nothing that was asked for is waited for any longer.
    leaves_by: Millis,
    report: Report,
}

impl<'scope, 'env> Peer<'scope, 'env> {
    fn run(mut self, stop: &'env Stop, ended: &Receiver<Ended>) -> Report {
        loop {
            let now = self.config.clock.now();
            if stop.is_asked() && !self.is_leaving {
                self.is_leaving = true;
                self.leaves_by = now.plus(LEAVE_MS_MAX);
            }
            if self.stop_now.is_asked() && !self.is_ending {
                self.is_ending = true;
                self.leaves_by = now.plus(LEAVE_MS_MAX);
            }
            if self.is_leaving && self.has_left(now) {
                break;
            }
            if self.talk.is_none() && self.try_at <= now && self.needs_master() {
                self.connect(now, stop);
                if self.is_leaving && self.talk.is_none() && self.running.is_empty() {
                    break;
                }
            }
            self.speak();
            match self.wait(stop, ended) {
                Woken::Heard(heard) => self.hear(heard),
                Woken::Ended(ended) => self.take(ended),
                Woken::Stop => self.say("stopping: what runs is finished first"),
                Woken::StopNow | Woken::Due => {}
            }
        }
        self.report.undelivered = self.results.into_iter().map(|finished| finished.name).collect();
        self.report
    }

    /// Nothing runs, and nothing is left to tell the master.
    fn has_left(&self, now: Millis) -> bool {
        // A task that is on its way is to be given back, and not lost.
        let may_come = self.leaves_by > now && self.talk.as_ref().is_some_and(Talk::has_asked);
        let is_told = self.results.is_empty() && self.returns.is_empty() && !may_come;
        // At the second word, who does not answer or cannot take a result is not waited for.
        let is_put_off = |talk: &Talk| self.returns.is_empty() && talk.is_put_off(now);
        let is_late = self.leaves_by <= now || self.talk.as_ref().is_none_or(is_put_off);
        let is_lost = self.is_ending && is_late;
        self.running.is_empty() && (is_told || is_lost)
    }

    fn wait(&self, stop: &Stop, ended: &Receiver<Ended>) -> Woken {
        let now = self.config.clock.now();
        let due = match &self.talk {
            Some(talk) => talk.deadline(self),
            None => self.needs_master().then_some(self.try_at),
        };
        let mut due = due.unwrap_or(Millis(u64::MAX)).min(now.plus(PAUSE_MS_MAX));
        if self.is_leaving && self.leaves_by > now {
            due = due.min(self.leaves_by);
        }
        let heard = self.talk.as_ref().and_then(Talk::heard).cloned().unwrap_or_else(never);
        // Once it was asked for, it would be ready for ever.
        let (nothing, patient) = (never(), never());
        let stop = if self.is_leaving { &nothing } else { stop.channel() };
        let waits_for_now = self.is_leaving && !self.stop_now.is_asked();
        let stop_now = if waits_for_now { self.stop_now.channel() } else { &patient };
        select_biased! {
            recv(stop_now) -> _ => Woken::StopNow,
            recv(stop) -> _ => Woken::Stop,
            recv(ended) -> ended => ended.map_or(Woken::Due, Woken::Ended),
            recv(heard) -> heard => Woken::Heard(heard.ok()),
            recv(after(now.until(due).max(Duration::from_millis(1)))) -> _ => Woken::Due,
        }
    }

    fn needs_master(&self) -> bool {
        !self.is_leaving || !self.results.is_empty() || !self.returns.is_empty()
    }

    fn connect(&mut self, now: Millis, stop: &Stop) {
        // Once we are to leave, only the second word interrupts us.
        let stop = if self.is_leaving { self.stop_now } else { stop };
        let found = search::find(self.config, stop);
        let dialed = found
            .and_then(|addrs| search::dial(self.scope, self.config, &self.spools, &addrs))
            .and_then(|link| search::register(self.config, &link, stop).map(|()| link));
        match dialed {
            Ok(link) => {
                self.say(&format!("working for the master at {}", link.addr));
                self.talk = Some(Talk::new(link, self.config.clock.now()));
            }
            Err(why) => {
                self.say(&why);
                self.pause(now);
            }
        }
    }

    /// The master is gone, for all we know.
    fn lose(&mut self, why: &str) {
        let now = self.config.clock.now();
        if let Some(talk) = self.talk.take() {
            // One that did answer may be back at once.
            if talk.was_useful() {
                self.pause_ms = PAUSE_MS_MIN;
            }
        }
        self.say(&format!("lost the master: {why}"));
        self.pause(now);
    }

    fn pause(&mut self, now: Millis) {
        self.try_at = now.plus(self.pause_ms);
        self.pause_ms = (self.pause_ms * 2).min(PAUSE_MS_MAX);
    }

    /// Starts a task whose package has come. False: it is here already.
    fn begin(&mut self, name: Name, archive: PathBuf) -> bool {
        let is_here = self.results.iter().any(|finished| finished.name == name);
        if is_here || !self.running.insert(name.clone()) {
            // It was taken from us while the connection was gone, and is ours again.
            discard(&archive);
            return false;
        }
        self.config.screen.line(format_args!("{}: begun", visible(name.text())));
        let (workshop, stop_now, ended) =
            (&self.config.workshop, self.stop_now, self.ended_in.clone());
        let (task, result) = (name.clone(), self.folders.result(&name));
        let (thread_name, stack) = ("task".to_owned(), TASK_STACK_BYTES);
        let spawned = threads::spawn_with(self.scope, thread_name, stack, move || {
            let outcome = workshop.perform(task.text(), &archive, &result, stop_now);
            discard(&archive);
            // There is room for each that runs.
            let _ = ended.send(Ended { name: task, outcome });
        });
        if let Err(error) = spawned {
            self.running.remove(&name);
            self.cannot_work(name, &error.to_string());
        }
        true
    }

    /// A task has ended, one way or another.
    fn take(&mut self, Ended { name, outcome }: Ended) {
        self.running.remove(&name);
        if self.is_ending {
            // Time to say so.
            self.leaves_by = self.config.clock.now().plus(LEAVE_MS_MAX);
        }
        let failed = match outcome {
            Outcome::Done => None,
            Outcome::Failed(why) => Some(reason(&why)),
            Outcome::GivenBack => {
                self.config.screen.line(format_args!("{}: given back", visible(name.text())));
                self.returns.push_back(name);
                return;
            }
            Outcome::Broken(why) => return self.cannot_work(name, &why),
        };
        self.rest_ms = PAUSE_MS_MIN;
        let archive = Archive::File(self.folders.result(&name));
        self.finish(Finished { name, archive, failed });
    }

    fn finish(&mut self, finished: Finished) {
        let failed = finished.failed.as_ref();
        let word = failed.map_or("done".to_owned(), |why| format!("failed: {why}"));
        let line = format!("{}: {word}", finished.name);
        self.config.screen.line(visible(&line));
        self.results.push_back(finished);
    }

    /// It is the machine's fault, not the task's; or so it seems the first time. A task that fills
    /// the disk would be given out for ever if it counted as none of its attempts.
    fn cannot_work(&mut self, name: Name, why: &str) {
        if self.troubles.contains(&name)
            && let Ok(archive) = excuse(name.text(), why)
        {
            let archive = Archive::Bytes(archive);
            return self.finish(Finished { name, archive, failed: Some(reason(why)) });
        }
        self.rest(why);
        if self.troubles.len() == TROUBLES_MAX {
            self.troubles.pop_front();
        }
        self.troubles.push_back(name.clone());
        self.returns.push_back(name);
    }

    fn rest(&mut self, why: &str) {
        self.config.trace.warn(format_args!("cannot work: {}", visible(why)));
        self.rest_until = self.config.clock.now().plus(self.rest_ms);
        self.rest_ms = (self.rest_ms * 2).min(REST_MS);
    }

    /// Says something about the connection, once.
    fn say(&mut self, word: &str) {
        if self.last_word != word {
            self.last_word = word.to_owned();
            self.config.screen.line(visible(word));
        }
    }
}

fn discard(path: &Path) {
    // What cannot be removed now is removed at the next start.
    let _ = fs::remove_file(path);
}
