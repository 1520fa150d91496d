//! Topic names and the filters that match them (4.7).

/// One level of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level<'a> {
    /// Itself.
    Name(&'a str),
    /// `+`: any one level.
    One,
    /// `#`: all levels from here on, and the one above them.
    Rest,
}

/// The levels of a filter.
pub fn levels(filter: &str) -> impl Iterator<Item = Level<'_>> {
    filter.split('/').map(|level| match level {
        "+" => Level::One,
        "#" => Level::Rest,
        name => Level::Name(name),
    })
}

/// Whether messages can be said there: at least one character, and no wildcard
/// \[MQTT-4.7.3-1, MQTT-3.3.2-2\].
pub fn is_name(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

/// Whether one can subscribe to it: a wildcard is a level of its own, and `#` the last one
/// \[MQTT-4.7.1-2, MQTT-4.7.1-3\].
pub fn is_filter(filter: &str) -> bool {
    let is_level = |level: &str| level.len() == 1 || !level.contains(['+', '#']);
    let is_last = filter.find('#').is_none_or(|at| at + 1 == filter.len());
    !filter.is_empty() && !filter.contains('\0') && is_last && filter.split('/').all(is_level)
}

/// Whether a message on `topic` is for who subscribed to `filter`. A wildcard in front does not
/// match a topic that begins with `$` \[MQTT-4.7.2-1\].
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = topic.split('/');
    for level in levels(filter) {
        match (level, names.next()) {
            (Level::Rest, _) => return true,
            (Level::One, Some(_)) => {}
            (Level::Name(wanted), Some(name)) if wanted == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// Whether all that `filter` can match is matched by `wide` as well.
pub fn covers(wide: &str, filter: &str) -> bool {
    if filter.starts_with('$') && wide.starts_with(['+', '#']) {
        return false;
    }
    let mut narrow = levels(filter);
    for level in levels(wide) {
        match (level, narrow.next()) {
            (Level::Rest, _) => return true,
            (Level::One, Some(Level::Name(_) | Level::One)) => {}
            (Level::Name(wanted), Some(Level::Name(name))) if wanted == name => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}
