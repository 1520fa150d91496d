//! Who is there: connections, peers, and whether they know the token.

use super::{State, Turn};
use crate::net::asked::ConnId;
use crate::net::clock::Millis;
use crate::tasks::limits::SILENT_MS_MAX;
use crate::tasks::protocol::{Answer, LeaseId, Name, PeerId, Proof, Question, SpoolId};
use crate::tasks::token::Side;
use std::net::SocketAddr;

/// A peer, as long as it gives signs of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it connected from last.
    pub addr: SocketAddr,
    /// Its last sign of life.
    pub seen_at: Millis,
    /// Results of it that are kept.
    pub done: u64,
    /// Results of it that said that the task failed.
    pub failed: u64,
    /// Leases of it that ended without a result.
    pub lost: u64,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) addr: SocketAddr,
    nonce: String,
    /// It has shown that it knows the token, or there is none.
    is_in: bool,
    /// It gave a wrong proof, and is closed.
    is_out: bool,
    /// Who spoke on it last.
    pub(super) peer: Option<PeerId>,
    /// What has come on it so far.
    pub(super) messages: u64,
    /// A turn that waits for its result to be stored, and that result.
    pub(super) turn: Option<Turn>,
    pub(super) pending: Option<Pending>,
}

/// A result that waits for the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) task: Name,
    pub(super) spool: SpoolId,
    pub(super) peer: PeerId,
    /// It says that the task failed.
    pub(super) failed: Option<String>,
}

impl Conn {
    pub(super) fn new(addr: SocketAddr, nonce: String, is_in: bool) -> Conn {
        Conn {
            addr,
            nonce,
            is_in,
            is_out: false,
            peer: None,
            messages: 0,
            turn: None,
            pending: None,
        }
    }
}

impl State {
    /// Whether a question is to be answered at all; otherwise, what it is answered instead.
    pub(super) fn gate(
        &mut self,
        now: Millis,
        conn: ConnId,
        question: &Question,
    ) -> Result<(), Answer> {
        let peer = match question {
            Question::Register(peer, _)
            | Question::Heartbeat(peer)
            | Question::RequestTask(peer)
            | Question::ReturnTask(peer, _)
            | Question::TooLong(peer, _) => peer,
            Question::SubmitResult(submission) => &submission.peer,
            Question::Unknown(_) | Question::Broken | Question::Silent => return Ok(()),
        };
        self.let_in(conn, question)?;
        if !self.peers.contains_key(peer) && self.peers.len() >= self.setup.peers_max {
            // A result is welcome, whoever brings it.
            if matches!(question, Question::SubmitResult(_)) {
                return Ok(());
            }
            self.counters.refused += 1;
            let max = self.setup.peers_max;
            return Err(Answer::Later(format!("the master has {max} peers, and takes no more")));
        }
        let Some(connection) = self.conns.get_mut(&conn) else { return Ok(()) };
        connection.peer = Some(peer.clone());
        let addr = connection.addr;
        let fresh = Peer { addr, seen_at: now, done: 0, failed: 0, lost: 0 };
        let known = self.peers.entry(peer.clone()).or_insert(fresh);
        (known.seen_at, known.addr) = (now, addr);
        self.due(now.plus(SILENT_MS_MAX));
        Ok(())
    }

    /// Without the right proof nothing is answered (spec: Peer).
    fn let_in(&mut self, conn: ConnId, question: &Question) -> Result<(), Answer> {
        let (Some(token), Some(connection)) = (&self.setup.token, self.conns.get_mut(&conn)) else {
            return Ok(());
        };
        if connection.is_in {
            return Ok(());
        }
        let Question::Register(peer, Proof { nonce: Some(nonce), proof }) = question else {
            self.counters.untrusted += 1;
            return Err(Answer::Error("this master asks for a token".to_owned()));
        };
        match proof {
            None => {
                let proof = token.proof(Side::Master, &connection.nonce, nonce, peer);
                Err(Answer::Challenge(connection.nonce.clone(), proof))
            }
            Some(proof) if token.is_proof(Side::Peer, &connection.nonce, nonce, peer, proof) => {
                connection.is_in = true;
                Ok(())
            }
            Some(_) => {
                connection.is_out = true;
                self.counters.untrusted += 1;
                Err(Answer::Error("that is not the token".to_owned()))
            }
        }
    }

    pub(super) fn is_thrown_out(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.is_out)
    }

    /// A sign of life.
    pub(super) fn lives(&mut self, now: Millis, peer: &PeerId) {
        self.count(peer, |peer| peer.seen_at = now);
    }

    /// A peer that takes its time to read its task does live.
    pub(super) fn moved(&mut self, now: Millis, lease: LeaseId) {
        if let Some(peer) = self.table.peer_of(lease) {
            self.lives(now, &peer);
        }
    }

    /// Counts something for a peer, if it is there.
    pub(super) fn count(&mut self, peer: &PeerId, count: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.peers.get_mut(peer) {
            count(peer);
        }
    }
}
