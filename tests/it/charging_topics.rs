//! Topics and filters (MQTT 3.1.1, 4.7): the standard's examples, and the two trees against the
//! plain rule.

use malha::charging::broker::state::{Filters, Key, Retained};
use malha::charging::limits::{RETAINED_BYTES_MAX, RETAINED_MAX};
use malha::charging::protocol::{Message, Qos, covers, is_filter, is_name, matches};
use mqtt5_protocol::topic_matching;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;

const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

/// Filter, what it matches, what not.
const EXAMPLES: [(&str, &[&str], &[&str]); 17] = [
    // 4.7.1.2
    (
        "sport/tennis/player1/#",
        &[
            "sport/tennis/player1",
            "sport/tennis/player1/ranking",
            "sport/tennis/player1/score/wimbledon",
        ],
        &["sport/tennis/player10", "sport/tennis", "sport/tennis/player", "Sport/tennis/player1"],
    ),
    ("sport/#", &["sport", "sport/", "sport/a"], &["sports", "/sport", "spor"]),
    ("#", &["a", "/", "/a", "a/b/c", "a$"], &["$SYS", "$SYS/a", "$"]),
    // 4.7.1.3
    (
        "sport/tennis/+",
        &["sport/tennis/player1", "sport/tennis/player2", "sport/tennis/"],
        &["sport/tennis/player1/ranking", "sport/tennis"],
    ),
    ("sport/+", &["sport/"], &["sport", "sport/a/b"]),
    ("+", &["finance", "a"], &["/finance", "$SYS", "a/"]),
    (
        "+/tennis/#",
        &["a/tennis", "/tennis", "a/tennis/b/c"],
        &["tennis", "$a/tennis", "a/b/tennis"],
    ),
    ("sport/+/player1", &["sport/a/player1", "sport//player1"], &["sport/player1", "sport/a/b"]),
    ("+/+", &["/finance", "a/b", "/"], &["a", "a/b/c", "$a/b"]),
    ("/+", &["/finance", "/"], &["finance", "a/finance", "/a/b"]),
    // 4.7.2
    ("+/monitor/Clients", &["x/monitor/Clients"], &["$SYS/monitor/Clients"]),
    ("$SYS/#", &["$SYS/", "$SYS/a", "$SYS"], &["SYS/a", "$SY", "$SYSTEM"]),
    ("$SYS/monitor/+", &["$SYS/monitor/Clients"], &["$SYS/monitor", "$SYS/monitor/a/b"]),
    // 4.7.3
    ("ACCOUNTS", &["ACCOUNTS"], &["Accounts", "ACCOUNTS/", "/ACCOUNTS"]),
    ("Accounts payable", &["Accounts payable"], &["Accounts", "Accounts payable "]),
    ("/", &["/"], &["//", "a/", "/a"]),
    ("a//b", &["a//b"], &["a/b", "a/x/b", "a///b"]),
];

#[test]
fn the_examples_of_the_standard_hold() {
    for (filter, yes, no) in EXAMPLES {
        assert!(is_filter(filter), "{filter}");
        for topic in yes {
            assert!(is_name(topic) && matches(filter, topic), "{filter} does not match {topic}");
        }
        for topic in no {
            assert!(is_name(topic) && !matches(filter, topic), "{filter} matches {topic}");
        }
    }
}

#[test]
fn a_wildcard_is_a_level_of_its_own_and_the_many_the_last_one() {
    for filter in
        ["#", "+", "+/#", "/+", "+/", "a/+/b", "a/+/#", "+/tennis/#", "$SYS/#", "a b", "é"]
    {
        assert!(is_filter(filter), "{filter}");
    }
    for filter in ["", "a#", "a/#/b", "#/", "##", "a+", "+a", "a/b+/c", "++", "+#", "a\0", "#/#"] {
        assert!(!is_filter(filter), "{filter}");
    }
}

#[test]
fn a_name_has_no_wildcard_and_no_nul_and_is_not_empty() {
    for name in ["a", "/", "$SYS", " ", "a b", "é/😀", "a//"] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "+", "#", "a/+", "a#b", "a\0b", "\0"] {
        assert!(!is_name(name), "{name}");
    }
}

#[test]
fn what_is_within_a_denied_filter() {
    let table: [(&str, &[&str], &[&str]); 6] = [
        ("secret/#", &["secret", "secret/a", "secret/+", "secret/#", "secret/+/b"], &["#", "+/a"]),
        ("secret/+", &["secret/a", "secret/+", "secret/"], &["secret", "secret/#", "secret/a/b"]),
        ("#", &["#", "+", "a/b", "+/a/#", "/"], &["$SYS/a", "$SYS/#"]),
        ("+/x", &["a/x", "+/x", "/x"], &["$a/x", "#", "a/y"]),
        ("a", &["a"], &["+", "#", "a/#", "a/", "A"]),
        ("$SYS/#", &["$SYS", "$SYS/a/#"], &["#", "+/a", "SYS"]),
    ];
    for (wide, within, outside) in table {
        for filter in within {
            assert!(covers(wide, filter), "{wide} does not cover {filter}");
        }
        for filter in outside {
            assert!(!covers(wide, filter), "{wide} covers {filter}");
        }
    }
}

#[test]
fn retained_messages_have_a_limit_in_number_and_bytes() {
    let mut retained = Retained::default();
    for index in 0..RETAINED_MAX {
        assert!(retained.keep(&Message::new(&format!("t/{index}"), b"x"), QOS[0]));
    }
    assert!(!retained.keep(&Message::new("one more", b"x"), QOS[0]));
    // Another word on a topic that is there is no other topic.
    assert!(retained.keep(&Message::new("t/0", b"y"), QOS[0]));
    assert!(retained.keep(&Message::new("t/1", b""), QOS[0]));
    assert!(retained.keep(&Message::new("one more", b"x"), QOS[0]));

    let mut retained = Retained::default();
    let payload = vec![7; RETAINED_BYTES_MAX / 4];
    for topic in ["a", "b", "c"] {
        assert!(retained.keep(&Message::new(topic, &payload), QOS[0]));
    }
    assert!(!retained.keep(&Message::new("d", &payload), QOS[0]));
    // An old word would be wrong: there is none [MQTT-3.3.1-5].
    assert!(!retained.keep(&Message::new("a", &payload.repeat(2)), QOS[0]));
    assert_eq!(all(&retained, "#").len(), 2);
    assert!(retained.keep(&Message::new("d", &payload), QOS[0]));
}

/// All that is kept for a filter, looked for in small parts as the broker does.
fn all(retained: &Retained, filter: &str) -> Vec<(Message, Qos)> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let look = retained.look(filter, from.as_deref(), (3, 2));
        found.extend(look.found);
        from = look.next;
        if from.is_none() {
            return found;
        }
    }
}

fn any_level() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "ab", "", "$a", "a.", "a!"])
}

fn any_topic() -> impl Strategy<Value = String> {
    vec(any_level(), 1..5)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a name", |topic| is_name(topic))
}

fn any_filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => any_level(), 2 => Just("+")];
    (vec(level, 0..4), any::<bool>())
        .prop_map(|(mut levels, has_rest)| {
            levels.extend(has_rest.then_some("#"));
            levels.join("/")
        })
        .prop_filter("a filter", |filter| is_filter(filter))
}

proptest! {
    #[test]
    fn another_library_matches_the_same(filter in any_filter(), topic in any_topic()) {
        prop_assert_eq!(matches(&filter, &topic), topic_matching::matches(&topic, &filter));
    }

    #[test]
    fn what_covers_a_filter_matches_all_that_it_matches(
        wide in any_filter(), filter in any_filter(), topics in vec(any_topic(), 1..40),
    ) {
        if covers(&wide, &filter) {
            for topic in topics.iter().filter(|topic| matches(&filter, topic)) {
                prop_assert!(matches(&wide, topic), "{} is in {} only", topic, filter);
            }
        }
    }

    /// Each hears it once, with the highest QoS of its filters that match.
    #[test]
    fn the_tree_finds_whom_the_plain_rule_finds(
        changes in vec((any_filter(), 0..5_u64, 0..3_usize, any::<bool>()), 0..40),
        topics in vec(any_topic(), 1..10),
    ) {
        let mut tree = Filters::default();
        let mut plain: BTreeMap<(u64, String), Qos> = BTreeMap::new();
        for (filter, who, qos, comes) in changes {
            if comes {
                tree.add(&filter, Key(who), QOS[qos]);
                plain.insert((who, filter), QOS[qos]);
            } else {
                tree.remove(&filter, Key(who));
                plain.remove(&(who, filter));
            }
        }
        for topic in topics {
            let mut expected: BTreeMap<Key, Qos> = BTreeMap::new();
            for ((who, _), qos) in plain.iter().filter(|((_, filter), _)| matches(filter, &topic)) {
                let best = expected.entry(Key(*who)).or_insert(*qos);
                *best = (*best).max(*qos);
            }
            let mut found = Vec::new();
            tree.find(&topic, &mut found);
            let count = found.len();
            prop_assert_eq!(found.into_iter().collect::<BTreeMap<Key, Qos>>(), expected.clone());
            prop_assert_eq!(count, expected.len());
        }
        for (who, filter) in plain.keys() {
            tree.remove(filter, Key(*who));
        }
        prop_assert!(tree.is_empty(), "something is left of filters that are gone");
    }

    #[test]
    fn retained_messages_are_found_as_by_the_plain_rule(
        said in vec((any_topic(), "[a-z]{0,2}", 0..3_usize), 0..40),
        filters in vec(any_filter(), 1..10),
    ) {
        let mut retained = Retained::default();
        let mut plain: BTreeMap<String, (Message, Qos)> = BTreeMap::new();
        for (topic, payload, qos) in said {
            let message = Message::new(&topic, payload.as_bytes());
            prop_assert!(retained.keep(&message, QOS[qos]));
            // [MQTT-3.3.1-10]
            if payload.is_empty() {
                plain.remove(&topic);
            } else {
                plain.insert(topic, (message, QOS[qos]));
            }
        }
        for filter in filters {
            let found = all(&retained, &filter);
            let expected = plain.iter().filter(|(topic, _)| matches(&filter, topic));
            prop_assert_eq!(found, expected.map(|(_, kept)| kept.clone()).collect::<Vec<_>>());
        }
    }
}
