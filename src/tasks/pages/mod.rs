//! The page of a master: its peers and tasks, as they are now. It shows, and asks for nothing.

use crate::net::clock::Millis;
use crate::net::trace::Trace;
use crate::tasks::limits::PAGE_ROWS_MAX;
use crate::tasks::protocol::Name;
use crate::tasks::server::Watch;
use crate::tasks::state::{State, Status, Task};
use crate::web::hub::Hub;
use crate::web::site::{self, File, Open, Site};
use crossbeam_channel::bounded;
use serde_json::{Value, json};
use std::io;
use std::net::TcpListener;
use std::thread::Scope;

const fn file(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File { path, content_type, text }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

const FILES: &[File] = &[
    file("/", "text/html; charset=utf-8", include_str!("tasks.html")),
    file("/tasks.js", SCRIPT, include_str!("tasks.js")),
    file("/tasks.css", CSS, include_str!("tasks.css")),
    file("/live.js", SCRIPT, include_str!("../../web/live.js")),
    file("/page.css", CSS, include_str!("../../web/page.css")),
];

/// Serves the page at `listener` until what it returns is dropped, and what the page sees through.
pub fn open<'scope>(
    scope: &'scope Scope<'scope, '_>,
    listener: TcpListener,
    trace: &Trace,
) -> io::Result<(Open, View)> {
    let hub = Hub::start(scope)?;
    // Nobody takes what is asked for, so the page is told that it cannot be done.
    let (acts, _) = bounded(1);
    let site = Site { files: FILES, acts, hub: hub.clone(), trace: trace.clone() };
    Ok((site::open(scope, listener, site)?, View(hub)))
}

/// What the page sees of a master.
#[derive(Debug)]
pub struct View(Hub);

impl Watch for View {
    fn show(&self, now: Millis, state: &State) {
        self.0.tell("state", &picture(now, state).to_string(), 1);
    }
}

/// All that the page shows.
pub fn picture(now: Millis, state: &State) -> Value {
    let summary = state.summary();
    let running = |peer: &str| {
        let leases = state.tasks().values().filter_map(|task| match &task.status {
            Status::Leased(lease) => Some(&lease.peer),
            _ => None,
        });
        leases.filter(|of| &***of == peer).count()
    };
    let peers = state.peers().iter().take(PAGE_ROWS_MAX).map(|(id, peer)| {
        json!({
            "id": &**id,
            "addr": peer.addr.to_string(),
            "seconds": peer.seen_at.until(now).as_secs(),
            "running": running(id),
            "done": peer.done,
            "failed": peer.failed + peer.lost,
        })
    });
    let mut tasks: Vec<(&Name, &Task)> = state.tasks().iter().collect();
    // What one wants to know first.
    tasks.sort_by_key(|(_, task)| rank(task));
    let tasks = tasks.into_iter().take(PAGE_ROWS_MAX).map(|(name, task)| row(now, name, task));
    let trouble = state.counters().report().into_iter();
    json!({
        "ms": now.0,
        "done": summary.done,
        "running": summary.running,
        "waiting": summary.waiting,
        "failed": summary.failed,
        "peers_total": state.peers().len(),
        "peers": peers.collect::<Vec<_>>(),
        "tasks": tasks.collect::<Vec<_>>(),
        "trouble": trouble.map(|(name, count)| json!([name, count])).collect::<Vec<_>>(),
    })
}

fn rank(task: &Task) -> u8 {
    match task.status {
        Status::Leased(_) => 0,
        Status::Failed => 1,
        Status::Waiting => 2,
        Status::Done => 3,
    }
}

fn row(now: Millis, name: &Name, task: &Task) -> Value {
    let (status, peer, since) = match &task.status {
        Status::Leased(lease) => ("running", &*lease.peer, Some(lease.since)),
        Status::Failed => ("failed", "", None),
        Status::Waiting => ("waiting", "", None),
        Status::Done => ("done", "", None),
    };
    json!({
        "name": name.text(),
        "status": status,
        "peer": peer,
        "seconds": since.map(|since| since.until(now).as_secs()),
        "attempts": task.attempts,
        "reason": task.reason,
    })
}
