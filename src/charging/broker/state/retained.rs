//! The last word on each topic, kept for those who come later (3.3.1.3).

use crate::charging::limits::RETAINED_MAX;
use crate::charging::protocol::{Message, Qos, matches};
use std::collections::BTreeMap;

/// Retained messages by topic.
#[derive(Debug, Default)]
pub struct Retained(BTreeMap<String, (Message, Qos)>);

impl Retained {
    /// Keeps a message, or with an empty one forgets what was kept \[MQTT-3.3.1-10\]. False if
    /// there is no room for another topic.
    pub fn keep(&mut self, message: &Message, qos: Qos) -> bool {
        if message.payload().is_empty() {
            self.0.remove(message.topic());
            return true;
        }
        if let Some(kept) = self.0.get_mut(message.topic()) {
            *kept = (message.clone(), qos);
            return true;
        }
        let has_room = self.0.len() < RETAINED_MAX;
        if has_room {
            self.0.insert(message.topic().to_owned(), (message.clone(), qos));
        }
        has_room
    }

    /// What was kept for who subscribes to `filter`.
    pub fn find<'a>(&'a self, filter: &'a str) -> impl Iterator<Item = &'a (Message, Qos)> {
        // All that match begin with what is before the first wildcard, so they stand together.
        // `a/#` matches `a` as well, which has no slash.
        let before = filter.split(['+', '#']).next().unwrap_or_default().trim_end_matches('/');
        let from = self.0.range(before.to_owned()..);
        let near = from.take_while(move |(topic, _)| topic.starts_with(before));
        near.filter(|(topic, _)| matches(filter, topic)).map(|(_, kept)| kept)
    }
}
