//! The thread that checks passwords, one after the other.

use super::Input;
use crate::command::limits::REST_PER_CHECK;
use crate::command::protocol::Password;
use crate::command::state::Verdict;
use crate::command::users::Users;
use crate::net::asked::ConnId;
use crate::net::stop::Stop;
use crossbeam_channel::{Receiver, Sender};
use std::time::Instant;

/// A password that somebody gave for a name.
pub(super) struct Job {
    pub(super) conn: ConnId,
    pub(super) name: String,
    pub(super) password: Password,
}

/// Checks until there is no more to check, or the server is over. A check takes a processor for
/// some hundredths of a second on purpose; after a wrong password all of them rest, so that
/// guessing takes a bounded share of the server's time.
pub(super) fn check(users: &Users, jobs: &Receiver<Job>, inbox: &Sender<Input>, over: &Stop) {
    for Job { conn, name, password } in jobs {
        let start = Instant::now();
        let verdict = users.check(&name, password.bytes());
        let took = start.elapsed();
        if inbox.send(Input::Checked(conn, verdict)).is_err() {
            return;
        }
        if verdict != Verdict::Right && over.wait(took * REST_PER_CHECK) {
            return;
        }
    }
}
