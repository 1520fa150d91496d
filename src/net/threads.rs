//! Threads that have a name and a small stack, and cannot be forgotten.

use crate::net::limits::{STACK_BYTES, THREAD_NAME_BYTES_MAX};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, Scope};

/// Starts a named thread that the scope joins.
///
/// Fails, rather than panics, when the system has no thread left to give. A panic ends the thread
/// and nothing else: not caught, it would end the scope, and with it the server.
pub fn spawn<'scope, F>(scope: &'scope Scope<'scope, '_>, name: String, body: F) -> io::Result<()>
where
    F: FnOnce() + Send + 'scope,
{
    spawn_with(scope, name, STACK_BYTES, body)
}

/// The same, with a stack of another size: for work that needs more than a connection does.
pub fn spawn_with<'scope, F>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    stack_bytes: usize,
    body: F,
) -> io::Result<()>
where
    F: FnOnce() + Send + 'scope,
{
    // What the thread owned is dropped with it, so nobody sees what a panic left half done.
    let body = AssertUnwindSafe(body);
    let builder = builder(name).stack_size(stack_bytes);
    builder.spawn_scoped(scope, || drop(catch_unwind(body))).map(drop)
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
