//! What a peer and its master say to each other: which question is open, and what its answer does.

use super::link::Link;
use super::{Archive, Finished, Peer, discard, search};
use crate::net::clock::Millis;
use crate::net::screen::visible;
use crate::tasks::limits::{ANSWER_MS_MAX, ASK_AGAIN_MS, HEARTBEAT_MS, OFFER_AGAIN_MS, REST_MS};
use crate::tasks::protocol::{Asking, Heard, Name, SpoolId, ask};
use crossbeam_channel::Receiver;
use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;

/// A question whose answer has not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Heartbeat,
    Task,
    /// The first of the results.
    Result,
    /// The first of those that are given back.
    Return,
}

/// A master that has taken us in.
pub(super) struct Talk {
    link: Option<Link>,
    addr: SocketAddr,
    /// Answers come in this order.
    open: VecDeque<Open>,
    heard_at: Millis,
    beat_at: Millis,
    ask_at: Millis,
    offer_at: Millis,
    /// Answers on this connection, that to who we are included.
    answers: u64,
    /// Answers but that to who we are.
    useful: u64,
    /// It hangs up after each answer: then each question has a connection of its own.
    is_terse: bool,
}

impl Talk {
    pub(super) fn new(link: Link, now: Millis) -> Talk {
        Talk {
            addr: link.addr,
            link: Some(link),
            open: VecDeque::new(),
            heard_at: now,
            beat_at: now.plus(HEARTBEAT_MS),
            ask_at: now,
            offer_at: now,
            answers: 1,
            useful: 0,
            is_terse: false,
        }
    }

    pub(super) fn heard(&self) -> Option<&Receiver<Heard>> {
        self.link.as_ref().map(Link::heard)
    }

    /// A task may be on its way.
    pub(super) fn has_asked(&self) -> bool {
        self.open.contains(&Open::Task)
    }

    pub(super) fn was_useful(&self) -> bool {
        self.useful > 0
    }

    /// When there is something to say, or to hear at last.
    pub(super) fn deadline(&self, peer: &Peer<'_, '_>) -> Option<Millis> {
        let is_quiet = self.open.is_empty();
        let answer_at = (!is_quiet).then(|| self.heard_at.plus(ANSWER_MS_MAX));
        let beat_at = (is_quiet || self.may_beat()).then_some(self.beat_at);
        let asks = is_quiet && peer.has_room();
        let ask_at = asks.then(|| self.ask_at.max(peer.rest_until));
        let offers = is_quiet && !peer.results.is_empty();
        let offer_at = offers.then_some(self.offer_at);
        [answer_at, beat_at, ask_at, offer_at].into_iter().flatten().min()
    }

    /// A heartbeat may follow the open question. Where each question has its own connection, they
    /// come one by one.
    fn may_beat(&self) -> bool {
        !self.is_terse && !self.open.contains(&Open::Heartbeat)
    }

    /// The master cannot take a result now, and nothing else is between us.
    pub(super) fn is_put_off(&self, now: Millis) -> bool {
        self.offer_at > now && self.open.iter().all(|open| *open == Open::Heartbeat)
    }

    /// What to say now: never more than one question, and one heartbeat behind it.
    fn next(&self, peer: &Peer<'_, '_>, now: Millis) -> Option<Open> {
        if !self.open.is_empty() {
            return (self.may_beat() && self.beat_at <= now).then_some(Open::Heartbeat);
        }
        if self.beat_at <= now {
            Some(Open::Heartbeat)
        } else if !peer.returns.is_empty() {
            Some(Open::Return)
        } else if !peer.results.is_empty() && self.offer_at <= now {
            Some(Open::Result)
        } else if peer.has_room() && self.ask_at.max(peer.rest_until) <= now {
            Some(Open::Task)
        } else {
            None
        }
    }
}

impl Peer<'_, '_> {
    /// There is a slot free, and tasks are wanted.
    fn has_room(&self) -> bool {
        !self.is_leaving && self.running.len() < self.config.slots
    }

    /// Says all that is to be said now.
    pub(super) fn speak(&mut self) {
        let now = self.config.clock.now();
        while let Some(talk) = &mut self.talk {
            if talk.is_terse && talk.open.is_empty() && talk.answers > 0 {
                talk.link = None;
            }
            let Some(talk) = &self.talk else { return };
            if !talk.open.is_empty() && talk.heard_at.plus(ANSWER_MS_MAX) <= now {
                return self.lose("it does not answer");
            }
            let Some(open) = talk.next(self, now) else { return };
            if talk.link.is_none() && !self.call_again() {
                return;
            }
            if !self.is_ready(open) {
                continue;
            }
            if let Err(why) = self.ask(open) {
                return self.lose(&why);
            }
        }
    }

    /// One more connection to a master that takes one for each question.
    fn call_again(&mut self) -> bool {
        let Some(talk) = &mut self.talk else { return false };
        match search::dial(self.scope, self.config, &self.spools, &[talk.addr]) {
            Ok(link) => {
                talk.link = Some(link);
                talk.answers = 0;
                true
            }
            Err(why) => {
                self.lose(&why);
                false
            }
        }
    }

    /// What is asked for has a place, and what is offered is there. If not, it is seen to.
    fn is_ready(&mut self, open: Open) -> bool {
        let found = match (open, self.results.front()) {
            (Open::Task, _) => self.folders.make(),
            (Open::Result, Some(Finished { archive: Archive::File(path), .. })) => {
                fs::metadata(path).map(drop)
            }
            _ => Ok(()),
        };
        let Err(error) = found else { return true };
        if open == Open::Task {
            self.rest(&format!("cannot make folders in {}: {error}", self.config.folder.display()));
        } else if let Some(Finished { name, .. }) = self.results.pop_front() {
            let line = format!("the result of {name} is gone, and the task given back: {error}");
            self.config.trace.warn(format_args!("{}", visible(&line)));
            self.returns.push_back(name);
        }
        false
    }

    fn ask(&mut self, open: Open) -> Result<(), String> {
        let now = self.config.clock.now();
        let Some(talk) = &mut self.talk else { return Ok(()) };
        let Some(link) = &talk.link else { return Ok(()) };
        if open == Open::Heartbeat {
            talk.beat_at = now.plus(HEARTBEAT_MS);
        }
        let result = self.results.front();
        let asking = match open {
            Open::Heartbeat => Asking::Heartbeat,
            Open::Task => Asking::Task,
            Open::Return => match self.returns.front() {
                Some(name) => Asking::Return(name),
                None => return Ok(()),
            },
            Open::Result => match result {
                Some(finished) => Asking::Submit(&finished.name, finished.failed.as_deref()),
                None => return Ok(()),
            },
        };
        let bytes = ask(&asking, &self.config.id, "", 0);
        self.config.trace.wire(&"master", '<', &String::from_utf8_lossy(&bytes).trim_end());
        let said = match (open, result) {
            (Open::Result, Some(finished)) => match &finished.archive {
                Archive::File(path) => link.say_file(bytes, path),
                Archive::Bytes(archive) => link.say_archive(bytes, &mut archive.as_slice()),
            },
            _ => link.say(&bytes),
        };
        talk.open.push_back(open);
        // A long one has taken its time.
        talk.heard_at = self.config.clock.now();
        said.map_err(|error| error.to_string())
    }

    /// The master has said something; none: it has hung up.
    pub(super) fn hear(&mut self, heard: Option<Heard>) {
        let now = self.config.clock.now();
        let Some(talk) = &mut self.talk else { return };
        talk.heard_at = now;
        let Some(heard) = heard else {
            // It has answered and then hung up; what was asked meanwhile is asked again. Where
            // there is a token, each connection would have to prove it again.
            let is_terse = talk.is_terse || talk.useful == 0;
            if talk.answers > 0 && is_terse && self.config.token.is_none() {
                (talk.link, talk.is_terse) = (None, true);
                talk.open.clear();
                return;
            }
            return self.lose("it hung up");
        };
        self.config.trace.wire(&"master", '>', &format_args!("{heard:?}"));
        if heard == Heard::More {
            return;
        }
        talk.answers += 1;
        let Some(open) = talk.open.pop_front() else { return self.hear_unasked(heard) };
        talk.useful += 1;
        self.pause_ms = crate::tasks::limits::PAUSE_MS_MIN;
        match (open, heard) {
            (_, Heard::Broken) => self.lose("what it says is no JSON"),
            (Open::Task, heard) => self.hear_task(now, heard),
            (Open::Result, Heard::Yes(_)) => self.delivered(true),
            (Open::Result, Heard::No(why, true)) => {
                self.say(&format!("the master cannot take a result now: {why}"));
                if let Some(talk) = &mut self.talk {
                    talk.offer_at = now.plus(OFFER_AGAIN_MS);
                }
            }
            (Open::Result, Heard::No(why, false)) => {
                self.say(&format!("the master refuses a result: {why}"));
                self.delivered(false);
            }
            (Open::Return, Heard::Yes(_) | Heard::No(..)) => drop(self.returns.pop_front()),
            (Open::Heartbeat, Heard::Yes(_)) => {}
            // It has forgotten us.
            (Open::Heartbeat, Heard::No(why, _)) => self.lose(&why),
            (_, heard) => {
                self.hear_unasked(heard);
                self.lose("its answers are mixed up");
            }
        }
    }

    fn hear_unasked(&mut self, heard: Heard) {
        match heard {
            Heard::No(why, _) => self.say(&format!("the master refuses: {why}")),
            Heard::Package(_, Ok(spool)) => self.spools.discard(spool),
            _ => {}
        }
    }

    fn delivered(&mut self, is_taken: bool) {
        let Some(Finished { archive, .. }) = self.results.pop_front() else { return };
        if let Archive::File(path) = archive {
            discard(&path);
        }
        self.report.delivered += u64::from(is_taken);
        self.report.refused += u64::from(!is_taken);
    }

    fn hear_task(&mut self, now: Millis, heard: Heard) {
        let mut rest_ms = ASK_AGAIN_MS;
        match heard {
            Heard::Package(Ok(name), Ok(spool)) => {
                if self.receive(name, spool) {
                    return;
                }
            }
            Heard::Package(Ok(name), Err(why)) => self.cannot_work(name, &why),
            Heard::Package(Err(why), archive) => {
                self.say(&format!("the master sends a task whose name is refused: {why}"));
                archive.into_iter().for_each(|spool| self.spools.discard(spool));
            }
            Heard::No(why, _) => {
                self.say(&format!("the master gives no task: {why}"));
                rest_ms = OFFER_AGAIN_MS;
            }
            Heard::Challenge(_) | Heard::Broken => return self.lose("its answers are mixed up"),
            Heard::NoTask | Heard::Yes(_) | Heard::More => {}
        }
        if let Some(talk) = &mut self.talk {
            talk.ask_at = now.plus(rest_ms.min(REST_MS));
        }
    }

    /// False: the master has no other task for us than one that is here already.
    fn receive(&mut self, name: Name, spool: SpoolId) -> bool {
        let archive = self.spools.path(spool);
        if self.is_leaving {
            // It came when we had stopped to want it.
            discard(&archive);
            self.returns.push_back(name);
            return true;
        }
        self.begin(name, archive)
    }
}
