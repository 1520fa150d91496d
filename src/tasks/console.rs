//! What a person types to a master, and sees of it.

use crate::net::clock::Millis;
use crate::net::progress;
use crate::net::screen::{Screen, visible};
use crate::net::stop::Stop;
use crate::tasks::protocol::Name;
use crate::tasks::server::Watch;
use crate::tasks::state::{State, Status, Summary};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased};
use indicatif::{ProgressBar, ProgressStyle};

/// What one may type.
pub const HELP: &str = "status shows how far it is; Ctrl-C ends the master";

/// How far a master is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Its tasks.
    pub tasks: Summary,
    /// Its peers.
    pub peers: usize,
    /// When that was.
    pub at: Millis,
}

/// Shows the board how far a master is.
#[derive(Debug)]
pub struct Window(Sender<Now>);

impl Watch for Window {
    fn show(&self, now: Millis, state: &State) {
        let shown = Now { tasks: state.summary(), peers: state.peers().len(), at: now };
        // A board that has no time is shown the next.
        let _ = self.0.try_send(shown);
    }
}

/// A bar on a terminal, and `status` for whoever asks.
#[derive(Debug)]
pub struct Board {
    news: Receiver<Now>,
    bar: ProgressBar,
    screen: Screen,
    last: Now,
    first: Option<Now>,
}

impl Board {
    /// A board, and its window.
    pub fn new(bar: ProgressBar, screen: Screen) -> (Board, Window) {
        let (news_in, news) = bounded(1);
        if !bar.is_hidden() {
            let template = "{wide_bar} {pos}/{len} {msg}";
            bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
            progress::keep_below(&screen, &bar);
        }
        (Board { news, bar, screen, last: Now::default(), first: None }, Window(news_in))
    }

    /// Shows until it is over. `typed` are lines of a person.
    pub fn run(mut self, typed: &Receiver<String>, over: &Stop) {
        let nothing = crossbeam_channel::never();
        let mut typed = typed;
        loop {
            select_biased! {
                recv(over.channel()) -> _ => break,
                recv(self.news) -> now => match now {
                    Ok(now) => self.draw(now),
                    Err(_) => break,
                },
                recv(typed) -> line => match line.as_deref().map(str::trim) {
                    Ok("") => {}
                    Ok("status") => self.screen.line(self.status()),
                    Ok(_) => self.screen.line(HELP),
                    Err(_) => typed = &nothing,
                },
            }
        }
        self.bar.finish_and_clear();
    }

    fn draw(&mut self, now: Now) {
        self.last = now;
        self.first.get_or_insert(now);
        let Summary { done, running, waiting, failed } = now.tasks;
        self.bar.set_length(now.tasks.total() as u64);
        self.bar.set_position((done + failed) as u64);
        let rate = self.per_second();
        let message = format!("{running} running, {waiting} waiting, {failed} failed, {rate:.1}/s");
        self.bar.set_message(message);
    }

    fn status(&self) -> String {
        let Now { tasks: Summary { done, running, waiting, failed }, peers, .. } = self.last;
        let rate = self.per_second();
        format!(
            "{done} done, {running} running, {waiting} waiting, {failed} failed; \
             {rate:.1} tasks a second; {peers} peers"
        )
    }

    /// Since it began to look.
    fn per_second(&self) -> f64 {
        let Some(first) = self.first else { return 0.0 };
        let ended = |now: &Now| now.tasks.done + now.tasks.failed;
        let ms = self.last.at.0.saturating_sub(first.at.0).max(1);
        ended(&self.last).saturating_sub(ended(&first)) as f64 * 1000.0 / ms as f64
    }
}

/// What is said at the end: what this run did, and what it found done.
pub fn summary(state: &State, seconds: f64) -> Vec<String> {
    let (all, before) = (state.summary(), state.earlier());
    let (done, failed) = (all.done - before.done, all.failed - before.failed);
    let rate = (done + failed) as f64 / seconds.max(0.001);
    let mut first = format!("{done} done, {failed} failed in {seconds:.1} s, {rate:.1} a second");
    if before.total() > 0 {
        first += &format!("; {} done, {} failed in earlier runs", before.done, before.failed);
    }
    let lines = self::failed(state).map(|(name, why)| {
        let why = if why.is_empty() { "in an earlier run" } else { why };
        visible(&format!("failed {name}: {why}"))
    });
    std::iter::once(first).chain(lines).collect()
}

/// The tasks that are set aside, and why.
fn failed(state: &State) -> impl Iterator<Item = (&Name, &str)> {
    let tasks = state.tasks().iter().filter(|(_, task)| task.status == Status::Failed);
    tasks.map(|(name, task)| (name, task.reason.as_str()))
}
