//! A connection to a master: what it says, its packages kept on disk as they come; and what we
//! say, results from disk as they go.

use crate::net::caller::{Caller, ReadAhead};
use crate::net::limits::TURN_MESSAGES_MAX;
use crate::net::stream::Decode;
use crate::tasks::arrival::{Arrival, Arrived};
use crate::tasks::limits::{HEARD_MAX, PIECE_BYTES, READ_BYTES};
use crate::tasks::protocol::objects::Objects;
use crate::tasks::protocol::{Heard, LONG_END, PACKAGE, text};
use crate::tasks::server::fill;
use crate::tasks::store::Spools;
use crossbeam_channel::Receiver;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::thread::Scope;

/// What a master says.
pub struct Answers {
    arrival: Arrival,
    spools: Spools,
    heard: VecDeque<Heard>,
}

impl Answers {
    /// Packages arrive in `spools`; a message has at most so many bytes.
    pub fn new(spools: Spools, message_bytes_max: u64) -> Answers {
        let objects = Objects::new(PACKAGE, message_bytes_max);
        let arrival = Arrival::new(objects, spools.clone());
        Answers { arrival, spools, heard: VecDeque::new() }
    }
}

impl Decode for Answers {
    type Message = Heard;

    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(arrived) = self.arrival.step(&mut bytes) {
            self.heard.push_back(match arrived {
                Arrived::Whole(object, archive) => {
                    self.arrival.message(object, archive, Heard::of, Heard::archive)
                }
                Arrived::Flawed(why) => Heard::No(why.to_owned(), true),
                Arrived::Broken => Heard::Broken,
            });
        }
    }

    fn next(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    fn lose(&mut self, heard: Heard) {
        heard.archive().into_iter().for_each(|spool| self.spools.discard(spool));
    }

    fn has_news(&mut self) -> bool {
        self.arrival.has_news()
    }
}

/// A connection. Dropped, it hangs up.
pub struct Link {
    caller: Caller<Heard>,
    /// Where it is.
    pub addr: SocketAddr,
    /// Where we are.
    pub local: SocketAddr,
    spools: Spools,
}

impl Link {
    /// Connects to the first of `addrs` that answers; a thread of `scope` reads what it says.
    pub fn dial<'scope>(
        scope: &'scope Scope<'scope, '_>,
        addrs: &[SocketAddr],
        answers: Answers,
    ) -> io::Result<Link> {
        let spools = answers.spools.clone();
        let at_once = (READ_BYTES, TURN_MESSAGES_MAX);
        let reading = ReadAhead { ahead_max: HEARD_MAX, at_once, news: Some(|| Heard::More) };
        let caller = Caller::dial_for(scope, addrs, answers, reading)?;
        let (addr, local) = (caller.socket().peer_addr()?, caller.socket().local_addr()?);
        Ok(Link { caller, addr, local, spools })
    }

    /// What the master says; closed when it has hung up.
    pub fn heard(&self) -> &Receiver<Heard> {
        self.caller.unasked()
    }

    /// What was heard is not wanted, and nobody else would remove its archive.
    pub fn discard(&self, heard: Heard) {
        heard.archive().into_iter().for_each(|spool| self.spools.discard(spool));
    }

    /// Says all of `bytes`.
    pub fn say(&self, bytes: &[u8]) -> io::Result<()> {
        self.caller.say(bytes)
    }

    /// Says `head`, what is in a file, and the end of such a message: a small one in one write.
    pub fn say_file(&self, head: Vec<u8>, path: &Path) -> io::Result<()> {
        self.say_archive(head, &mut File::open(path)?)
    }

    /// The same with an archive that is anywhere.
    pub fn say_archive(&self, head: Vec<u8>, archive: &mut impl Read) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut bytes = head;
        loop {
            let size = fill(archive, &mut piece)?;
            text::encode(&piece[..size], &mut bytes);
            if size < piece.len() {
                bytes.extend_from_slice(LONG_END);
                return self.say(&bytes);
            }
            self.say(&bytes)?;
            bytes.clear();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Ends the reading thread. Fails if the master was faster, which is as good.
        let _ = self.caller.socket().shutdown(Shutdown::Both);
        // Which then closes this. What it still heard is wanted by nobody.
        self.heard().iter().for_each(|heard| self.discard(heard));
    }
}
