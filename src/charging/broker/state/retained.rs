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

    /// What was kept for who subscribes to `filter`.
    pub fn find<'a>(&'a self, filter: &'a str) -> impl Iterator<Item = &'a (Message, Qos)> {
        // All that match begin with what is before the first wildcard, so they stand together.
        // `a/#` matches `a` as well, which has no slash.
        let wild = filter.find(['+', '#']);
        let before = wild.map_or(filter, |at| filter[..at].trim_end_matches('/'));
        let from = self.messages.range(before.to_owned()..);
        // Without a wildcard it is this topic, and none that only begins like it.
        let is_near = move |topic: &str| match wild {
            Some(_) => topic.starts_with(before),
            None => topic == filter,
        };
        let near = from.take_while(move |(topic, _)| is_near(topic));
        near.filter(|(topic, _)| matches(filter, topic)).map(|(_, kept)| kept)
    }
}
