//! Who wants to hear what: a tree with a level of a filter on each branch.

use crate::charging::broker::state::Key;
use crate::charging::protocol::{Level, Qos, levels};
use std::collections::{BTreeMap, HashMap};

/// All filters of all clients.
#[derive(Debug, Default)]
pub struct Filters {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    /// Whose filter ends here.
    here: BTreeMap<Key, Qos>,
    /// Whose filter ends with `#` here.
    rest: BTreeMap<Key, Qos>,
    named: HashMap<Box<str>, Node>,
    one: Option<Box<Node>>,
}

impl Node {
    fn is_bare(&self) -> bool {
        self.here.is_empty() && self.rest.is_empty() && self.named.is_empty() && self.one.is_none()
    }
}

impl Filters {
    /// Adds a filter, or gives it another QoS.
    pub fn add(&mut self, filter: &str, key: Key, qos: Qos) {
        let mut node = &mut self.root;
        for level in levels(filter) {
            node = match level {
                Level::Rest => {
                    node.rest.insert(key, qos);
                    return;
                }
                Level::One => node.one.get_or_insert_default(),
                Level::Name(name) => {
                    if !node.named.contains_key(name) {
                        node.named.insert(name.into(), Node::default());
                    }
                    let Some(next) = node.named.get_mut(name) else { return };
                    next
                }
            };
        }
        node.here.insert(key, qos);
    }

    /// Takes a filter away, and every branch that leads nowhere then.
    pub fn remove(&mut self, filter: &str, key: Key) {
        let levels: Vec<Level<'_>> = levels(filter).collect();
        remove(&mut self.root, &levels, key);
    }

    /// Who hears what is said on `topic`: each once, with the highest QoS of its filters that
    /// match \[MQTT-3.3.5-1\].
    pub fn find(&self, topic: &str, found: &mut Vec<(Key, Qos)>) {
        let names: Vec<&str> = topic.split('/').collect();
        // [MQTT-4.7.2-1]
        collect(&self.root, &names, !topic.starts_with('$'), found);
        if found.len() > 1 {
            found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            found.dedup_by_key(|(key, _)| *key);
        }
    }

    /// Whether there are no filters.
    pub fn is_empty(&self) -> bool {
        self.root.is_bare()
    }
}

fn collect(node: &Node, names: &[&str], may_be_any: bool, found: &mut Vec<(Key, Qos)>) {
    if may_be_any {
        found.extend(node.rest.iter().map(|(key, qos)| (*key, *qos)));
    }
    let Some((name, names)) = names.split_first() else {
        found.extend(node.here.iter().map(|(key, qos)| (*key, *qos)));
        return;
    };
    if let Some(next) = node.named.get(*name) {
        collect(next, names, true, found);
    }
    if let Some(next) = node.one.as_ref().filter(|_| may_be_any) {
        collect(next, names, true, found);
    }
}

fn remove(node: &mut Node, levels: &[Level<'_>], key: Key) {
    match levels.split_first() {
        None => drop(node.here.remove(&key)),
        Some((Level::Rest, _)) => drop(node.rest.remove(&key)),
        Some((Level::One, levels)) => {
            if let Some(next) = &mut node.one {
                remove(next, levels, key);
            }
            node.one.take_if(|next| next.is_bare());
        }
        Some((Level::Name(name), levels)) => {
            let Some(next) = node.named.get_mut(*name) else { return };
            remove(next, levels, key);
            if next.is_bare() {
                node.named.remove(*name);
            }
        }
    }
}
