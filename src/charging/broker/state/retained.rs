//! The last word on each topic, kept for those who come later (3.3.1.3).

use crate::charging::limits::{RETAINED_BYTES_MAX, RETAINED_MAX};
use crate::charging::protocol::{Message, Qos, matches};
use std::collections::BTreeMap;

/// Retained messages by topic.
#[derive(Debug, Default)]
pub struct Retained {
    messages: BTreeMap<String, (Message, Qos)>,
    /// Of all of them.
    bytes: usize,
}

impl Retained {
    /// Keeps a message, or with an empty one forgets what was kept \[MQTT-3.3.1-10\]. False if
    /// there is no room for it; what was kept on its topic is gone all the same \[MQTT-3.3.1-5\].
    pub fn keep(&mut self, message: &Message, qos: Qos) -> bool {
        if let Some((old, _)) = self.messages.remove(message.topic()) {
            self.bytes -= old.size();
        }
        if message.payload().is_empty() {
            return true;
        }
        let bytes = self.bytes + message.size();
        let has_room = self.messages.len() < RETAINED_MAX && bytes <= RETAINED_BYTES_MAX;
        if has_room {
            self.bytes = bytes;
            self.messages.insert(message.topic().to_owned(), (message.clone(), qos));
        }
        has_room
    }

    /// A part of what was kept for who subscribes to `filter`: looks at so many topics and finds so
    /// many at most, from where it was left.
    pub fn look(&self, filter: &str, from: Option<&str>, (topics, found): (usize, usize)) -> Look {
        let mut look = Look { found: Vec::new(), topics: 0, next: None };
        for (topic, kept) in self.near(filter, from) {
            if look.topics == topics || look.found.len() == found {
                look.next = Some(topic.clone());
                return look;
            }
            look.topics += 1;
            if matches(filter, topic) {
                look.found.push(kept.clone());
            }
        }
        look
    }

    /// All that may match, and not much else.
    fn near<'a>(
        &'a self,
        filter: &'a str,
        from: Option<&str>,
    ) -> impl Iterator<Item = (&'a String, &'a (Message, Qos))> {
        // All that match begin with what is before the first wildcard, so they stand together.
        // `a/#` matches `a` as well, which has no slash.
        let wild = filter.find(['+', '#']);
        let before = wild.map_or(filter, |at| filter[..at].trim_end_matches('/'));
        // Without a wildcard it is this topic, and none that only begins like it.
        let is_near = move |topic: &str| match wild {
            Some(_) => topic.starts_with(before),
            None => topic == filter,
        };
        let from = self.messages.range(from.unwrap_or(before).to_owned()..);
        from.take_while(move |(topic, _)| is_near(topic))
    }
}

/// A part of what was kept for a filter.
#[derive(Debug)]
pub struct Look {
    /// What matches.
    pub found: Vec<(Message, Qos)>,
    /// How many topics were looked at.
    pub topics: usize,
    /// Where to go on, if there is more.
    pub next: Option<String>,
}
