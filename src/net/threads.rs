//! Threads that have a name and a small stack, and cannot be forgotten.

use crate::net::limits::{STACK_BYTES, THREAD_NAME_BYTES_MAX};
use std::io;
use std::thread::{Builder, Scope};

/// Starts a named thread that the scope joins.
///
/// Fails, rather than panics, when the system has no thread left to give.
pub fn spawn<'scope, F>(scope: &'scope Scope<'scope, '_>, name: String, body: F) -> io::Result<()>
where
    F: FnOnce() + Send + 'scope,
{
    builder(name).spawn_scoped(scope, body).map(drop)
}

/// Starts a thread that nobody waits for: it may be blocked on a terminal or a pipe for as long
/// as the process lives, and no signal of ours could wake it.
pub fn detach<F>(name: &str, body: F) -> io::Result<()>
where
    F: FnOnce() + Send + 'static,
{
    builder(name.to_owned()).spawn(body).map(drop)
}

fn builder(name: String) -> Builder {
    debug_assert!(name.len() <= THREAD_NAME_BYTES_MAX, "thread name {name:?} would be cut");
    Builder::new().name(name).stack_size(STACK_BYTES)
}

/// Calls its function when it is dropped: on return, on `?`, and when the thread panics.
pub struct Finally<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
