//! Who is here: connections, their client ids, and those that have not joined yet.

use crate::grid::limits::JOIN_MS_MAX;
use crate::net::asked::ConnId;
use crate::net::clock::Millis;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// The table of clients.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// Bounded by the seats that the accept loop gives.
    known: BTreeMap<ConnId, Client>,
    ids: Ids,
    /// When each connection must have joined, in the order of their coming; those that have
    /// joined or gone are left out when their turn comes.
    joining: VecDeque<(Millis, ConnId)>,
}

#[derive(Debug)]
struct Client {
    addr: SocketAddr,
    /// None until `REQ_ADD`.
    id: Option<u32>,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It was never here, or has left.
    Unknown,
    /// It has not sent `REQ_ADD` yet.
    Connected,
    /// It is a client.
    Joined,
}

impl Clients {
    pub(super) fn open(&mut self, now: Millis, conn: ConnId, addr: SocketAddr) {
        self.known.insert(conn, Client { addr, id: None });
        self.joining.push_back((now.plus(JOIN_MS_MAX), conn));
    }

    pub(super) fn presence(&self, conn: ConnId) -> Presence {
        match self.known.get(&conn) {
            None => Presence::Unknown,
            Some(Client { id: None, .. }) => Presence::Connected,
            Some(Client { id: Some(_), .. }) => Presence::Joined,
        }
    }

    pub(super) fn id(&self, conn: ConnId) -> Option<u32> {
        self.known.get(&conn)?.id
    }

    /// Gives the lowest free id to a connection; the same again to one that has one. The second
    /// part says whether it is new.
    pub(super) fn join(&mut self, conn: ConnId) -> (u32, bool) {
        let Some(client) = self.known.get_mut(&conn) else { return (0, false) };
        let is_new = client.id.is_none();
        (*client.id.get_or_insert_with(|| self.ids.take()), is_new)
    }

    /// Forgets a connection; the id that it had, if it had joined.
    pub(super) fn close(&mut self, conn: ConnId) -> Option<u32> {
        let id = self.known.remove(&conn)?.id?;
        self.ids.give_back(id);
        Some(id)
    }

    /// A connection that should have joined by now; it is forgotten.
    pub(super) fn expire(&mut self, now: Millis) -> Option<ConnId> {
        self.tidy();
        let (_, conn) = *self.joining.front().filter(|(due, _)| *due <= now)?;
        self.known.remove(&conn);
        Some(conn)
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.joining.front().map(|(due, _)| *due)
    }

    pub(super) fn show(&self) -> Vec<String> {
        let joined = self.known.values().filter_map(|client| Some((client.id?, client.addr)));
        let sorted: BTreeMap<u32, SocketAddr> = joined.collect();
        sorted.into_iter().map(|(id, addr)| format!("client {id} from {addr}")).collect()
    }

    fn tidy(&mut self) {
        while let Some((_, conn)) = self.joining.front() {
            if self.known.get(conn).is_some_and(|client| client.id.is_none()) {
                return;
            }
            self.joining.pop_front();
        }
    }
}

/// Gives out the lowest number that is free, from 1.
#[derive(Debug, Default)]
struct Ids {
    given: u32,
    returned: BTreeSet<u32>,
}

impl Ids {
    fn take(&mut self) -> u32 {
        self.returned.pop_first().unwrap_or_else(|| {
            self.given += 1;
            self.given
        })
    }

    fn give_back(&mut self, id: u32) {
        self.returned.insert(id);
    }
}
