//! What the pages are told, and who listens. One thread owns the list of listeners.

use crate::net::threads;
use crate::web::limits::{EVENTS_MAX, NEWS_MAX, RETRY_MS};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::Scope;

/// One event as it goes over the wire.
pub type Event = Arc<str>;

/// Tells the pages. Cheap to clone; the thread ends when all clones are gone.
#[derive(Debug, Clone)]
pub struct Hub(Sender<News>);

#[derive(Debug)]
enum News {
    Listen(Sender<Event>),
    Tell { name: &'static str, event: Event, kept_max: usize },
}

/// What a page that is opened later is told at once.
#[derive(Debug, Default)]
struct Kept(VecDeque<(&'static str, Event)>);

impl Hub {
    /// Starts the thread.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> io::Result<Hub> {
        let (news_in, news) = bounded(NEWS_MAX);
        threads::spawn(scope, "web-hub".to_owned(), move || run(&news))?;
        Ok(Hub(news_in))
    }

    /// Tells all pages `data`, one line of text, as an event of this name. Pages that come later
    /// are told the last `kept_max` of the name.
    ///
    /// Waits where the pages are told more than the hub takes in, which never waits itself.
    pub fn tell(&self, name: &'static str, data: &str, kept_max: usize) {
        let event = format!("event: {name}\ndata: {}\n\n", data.replace(['\r', '\n'], " "));
        // The hub outlives all clones but for a panic.
        let _ = self.0.send(News::Tell { name, event: event.into(), kept_max });
    }

    /// All that is kept, and then what comes. Closed when the page is too slow.
    pub fn listen(&self) -> Receiver<Event> {
        let (events_in, events) = bounded(EVENTS_MAX);
        let _ = self.0.send(News::Listen(events_in));
        events
    }
}

fn run(news: &Receiver<News>) {
    let mut listeners: Vec<Sender<Event>> = Vec::new();
    let mut kept = Kept::default();
    let nothing: Event = ":\n\n".into();
    for news in news {
        match news {
            News::Listen(listener) => {
                // Who comes finds out who has gone, also where nothing is told for long.
                listeners.retain(|listener| listener.try_send(Arc::clone(&nothing)).is_ok());
                // The queue is new and has room.
                let _ = listener.try_send(kept.whole());
                listeners.push(listener);
            }
            News::Tell { name, event, kept_max } => {
                // One that is gone, or takes nothing, is told no more.
                listeners.retain(|listener| listener.try_send(Arc::clone(&event)).is_ok());
                kept.keep(name, event, kept_max);
            }
        }
    }
}

impl Kept {
    fn keep(&mut self, name: &'static str, event: Event, kept_max: usize) {
        self.0.push_back((name, event));
        let of_it = |(kept, _): &(&'static str, Event)| *kept == name;
        if self.0.iter().filter(|kept| of_it(kept)).count() > kept_max
            && let Some(at) = self.0.iter().position(of_it)
        {
            self.0.remove(at);
        }
    }

    /// In one piece: it may be more than a queue holds.
    fn whole(&self) -> Event {
        let head = format!("retry: {RETRY_MS}\nevent: fresh\ndata:\n\n");
        let all = std::iter::once(head.as_str()).chain(self.0.iter().map(|(_, event)| &**event));
        all.collect::<String>().into()
    }
}
