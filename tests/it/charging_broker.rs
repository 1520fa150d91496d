//! The broker's rules on the value: who comes in, how one goes, what is kept (MQTT 3.1.1).

use crate::charging_clients::{World, again, clean, kept, publish, retained, subscribe, with_will};
use malha::charging::broker::state::{Event, Why};
use malha::charging::limits::{
    CLIENT_BYTES_MAX, CONNECT_MS_MAX, EARLY_PACKETS_MAX, FILTERS_MAX, SESSIONS_MAX,
};
use malha::charging::protocol::{Code, Connect, Malformed, Packet, Qos};
use malha::net::pushed::LinkId;

const IN: Packet = Packet::ConnAck(false, Code::Accepted);

#[track_caller]
fn refused(world: &mut World, link: u64, code: Code) {
    world.hears(link, Packet::ConnAck(false, code));
    world.is_cut(link, Why::Refused(code));
}

/// [MQTT-3.1.0-1, MQTT-3.1.0-2]
#[test]
fn the_first_packet_is_connect_and_no_other() {
    let mut world = World::new();
    world.opens(1);
    world.says(1, Packet::PingReq);
    world.is_cut(1, Why::Unexpected("the first is no CONNECT"));
    world.joins(2, clean("ana"));
    world.says(2, Packet::Connect(Box::new(clean("ana"))));
    world.is_cut(2, Why::Unexpected("a second CONNECT"));
    assert_eq!(world.state.counters().malformed, 2);
}

#[test]
fn what_only_a_broker_says_ends_the_connection() {
    let brokers = [IN, Packet::SubAck(1, vec![None]), Packet::UnsubAck(1), Packet::PingResp];
    for (link, packet) in (1..).zip(brokers) {
        let mut world = World::new();
        world.joins(link, clean("ana"));
        world.says(link, packet);
        world.is_cut(link, Why::Unexpected("a packet that only brokers send"));
    }
}

/// [MQTT-3.1.2-2, MQTT-3.1.3-8, MQTT-3.1.3-9]
#[test]
fn refusals_have_their_codes() {
    let mut world = World::new();
    for level in [3, 5, 0x84] {
        world.connects(level, Connect { level: level as u8, ..clean("ana") });
        refused(&mut world, level, Code::UnacceptableVersion);
    }
    world.connects(6, kept(""));
    refused(&mut world, 6, Code::IdentifierRejected);
    world.connects(7, clean(&"x".repeat(CLIENT_BYTES_MAX + 1)));
    refused(&mut world, 7, Code::IdentifierRejected);
    world.joins(8, clean(&"x".repeat(CLIENT_BYTES_MAX)));
    assert_eq!(world.state.counters().refused, 5);
}

/// [MQTT-3.1.3-6]
#[test]
fn clients_without_a_name_are_strangers_to_each_other() {
    let mut world = World::new();
    world.joins(1, clean(""));
    world.joins(2, clean(""));
    world.says(1, Packet::PingReq);
    world.hears(1, Packet::PingResp);
}

#[test]
fn who_does_not_say_connect_in_time_is_cut() {
    let mut world = World::new();
    world.opens(1);
    world.at(CONNECT_MS_MAX - 1);
    world.hears_nothing(1);
    world.at(CONNECT_MS_MAX);
    world.is_cut(1, Why::Silent);
    assert_eq!(world.state.deadline(), None);
}

/// [MQTT-3.1.2-24]
#[test]
fn silence_of_one_and_a_half_times_the_keep_alive_ends_a_connection() {
    let mut world = World::new();
    world.joins(1, Connect { keep_alive_s: 10, ..clean("ana") });
    world.joins(2, Connect { keep_alive_s: 0, ..clean("rui") });
    world.at(14_999);
    world.says(1, Packet::PingReq);
    world.hears(1, Packet::PingResp);
    world.at(14_999 + 14_999);
    world.hears_nothing(1);
    world.at(14_999 + 15_000);
    world.is_cut(1, Why::Silent);
    world.at(1_000_000_000);
    world.hears_nothing(2);
}

/// [MQTT-3.1.4-2]
#[test]
fn the_same_client_again_takes_over() {
    let mut world = World::new();
    world.joins(1, clean("ana"));
    world.subscribes(1, "t", 0);
    world.joins(2, clean("ana"));
    world.is_cut(1, Why::TakenOver);
    // Its session was clean: the filter is gone.
    world.says(2, publish("t", "x", 0, 0));
    world.hears_nothing(2);
    // What the old connection still says is heard no more.
    world.says(1, publish("t", "y", 1, 1));
    world.hears_nothing(1);
    assert_eq!(world.state.counters().taken_over, 1);
}

/// [MQTT-3.1.2-4, MQTT-3.1.2-6, MQTT-3.2.2-1, MQTT-3.2.2-2, MQTT-3.2.2-3]
#[test]
fn a_session_is_kept_until_its_client_wants_none() {
    let mut world = World::new();
    world.joins(1, kept("ana"));
    world.subscribes(1, "t", 1);
    world.says(1, Packet::Disconnect);
    world.is_cut(1, Why::Goodbye);
    world.joins(2, clean("rui"));
    world.says(2, publish("t", "kept", 1, 1));
    world.says(2, publish("t", "not kept", 0, 0));
    world.returns(3, "ana");
    world.hears(3, publish("t", "kept", 1, 1));
    world.hears_nothing(3);
    world.closes(3);
    world.joins(4, clean("ana"));
    world.closes(4);
    assert!(world.state.session("ana").is_none());
    world.joins(5, kept("ana"));
    world.hears_nothing(5);
}

#[test]
fn of_too_many_sessions_the_one_longest_away_ends() {
    let mut world = World::new();
    for number in 0..=SESSIONS_MAX as u64 {
        world.at(number);
        world.joins(number, kept(&number.to_string()));
        world.closes(number);
    }
    assert!(world.state.session("0").is_none());
    assert!(world.state.session("1").is_some());
    assert_eq!(world.state.counters().forgotten, 1);
}

/// A QoS 2 message from a client that is taken over between PUBLISH and PUBREL comes once.
#[test]
fn a_takeover_in_the_middle_of_qos_2_from_a_client() {
    let mut world = World::new();
    world.joins(1, clean("rui"));
    world.subscribes(1, "t", 2);
    world.joins(2, kept("ana"));
    world.says(2, publish("t", "once", 2, 7));
    world.hears(2, Packet::PubRec(7));
    world.hears(1, publish("t", "once", 2, 1));
    world.returns(3, "ana");
    world.is_cut(2, Why::TakenOver);
    world.says(3, again("t", "once", 2, 7));
    world.hears(3, Packet::PubRec(7));
    world.says(3, Packet::PubRel(7));
    world.hears(3, Packet::PubComp(7));
    world.hears_nothing(1);
    // Released, the id is free for another message.
    world.says(3, publish("t", "another", 2, 7));
    world.hears(3, Packet::PubRec(7));
    world.hears(1, publish("t", "another", 2, 2));
}

/// [MQTT-4.4.0-1]: before PUBREC the PUBLISH comes again, after it the PUBREL.
#[test]
fn a_takeover_in_the_middle_of_qos_2_to_a_client() {
    let mut world = World::new();
    world.joins(1, kept("ana"));
    world.subscribes(1, "t", 2);
    world.joins(2, clean("rui"));
    for (payload, id) in [("a", 1), ("b", 2), ("c", 3)] {
        world.says(2, publish("t", payload, 2, id));
        world.hears(1, publish("t", payload, 2, id));
    }
    world.says(1, Packet::PubRec(1));
    world.hears(1, Packet::PubRel(1));
    world.says(1, Packet::PubComp(1));
    world.says(1, Packet::PubRec(2));
    world.hears(1, Packet::PubRel(2));
    world.returns(3, "ana");
    world.is_cut(1, Why::TakenOver);
    world.hears(3, Packet::PubRel(2));
    world.hears(3, again("t", "c", 2, 3));
    world.says(3, Packet::PubComp(2));
    world.says(3, Packet::PubRec(3));
    world.hears(3, Packet::PubRel(3));
    world.says(3, Packet::PubComp(3));
    world.hears_nothing(3);
    assert_eq!(world.state.session("ana").unwrap().in_flight(), 0);
}

/// [MQTT-3.1.2-8]: however a connection ends, but for DISCONNECT, which takes the will away
/// [MQTT-3.1.2-10, MQTT-3.14.4-3].
#[test]
fn a_will_is_said_however_the_connection_ends_but_for_a_goodbye() {
    type Ending = fn(&mut World);
    let endings: [(&str, bool, Ending); 7] = [
        ("lost", true, |world| world.closes(2)),
        ("silent", true, |world| world.at(15_000)),
        ("malformed", true, |world| {
            world.event(Event::Heard(LinkId(2), vec![Err(Malformed("no packet"))]));
        }),
        ("a second CONNECT", true, |world| {
            world.says(2, Packet::Connect(Box::new(clean("ana"))));
        }),
        ("taken over", true, |world| world.connects(3, clean("ana"))),
        ("goodbye", false, |world| world.says(2, Packet::Disconnect)),
        ("goodbye, then lost", false, |world| {
            world.says(2, Packet::Disconnect);
            world.closes(2);
        }),
    ];
    for (how, is_said, ending) in endings {
        for client in [clean("ana"), kept("ana")] {
            let mut world = World::new();
            world.joins(1, clean("rui"));
            world.subscribes(1, "will/#", 2);
            let client = Connect { keep_alive_s: 10, ..client };
            world.joins(2, with_will(client, "will/ana", "gone", 1, true));
            ending(&mut world);
            if is_said {
                world.hears(1, publish("will/ana", "gone", 1, 1));
            }
            world.hears_nothing(1);
            // It was retained [MQTT-3.1.2-17], and is said once: the connection is gone.
            world.closes(2);
            world.says(1, subscribe(4, &[("will/ana", 0)]));
            world.hears(1, Packet::SubAck(4, vec![Some(Qos::AtMostOnce)]));
            if is_said {
                world.hears(1, retained("will/ana", "gone", 0, 0));
            }
            assert!(world.next(1).is_none(), "{how}");
        }
    }
}

#[test]
fn a_session_that_returns_without_a_will_has_none() {
    let mut world = World::new();
    world.joins(1, clean("rui"));
    world.subscribes(1, "will", 0);
    world.joins(2, with_will(kept("ana"), "will", "gone", 0, false));
    world.says(2, Packet::Disconnect);
    world.returns(3, "ana");
    world.closes(3);
    world.hears_nothing(1);
}

#[test]
fn who_has_no_right_password_stays_out() {
    let mut world = World::with(crate::charging_clients::ROOM, true, &[]);
    world.connects(1, clean("ana"));
    refused(&mut world, 1, Code::NotAuthorized);
    let named = |word: &[u8]| {
        let (user, password) = (Some("ana".to_owned()), Some(word.to_vec()));
        Connect { user, password, ..clean("ana") }
    };
    world.connects(2, Connect { password: None, ..named(b"") });
    refused(&mut world, 2, Code::NotAuthorized);
    world.connects(3, named(b"wrong"));
    assert_eq!(world.checks.pop_front(), Some((3, "ana".to_owned(), b"wrong".to_vec())));
    world.event(Event::Checked(LinkId(3), false));
    refused(&mut world, 3, Code::BadUserOrPassword);
    // Who is in is not put out by somebody who only has the name.
    world.connects(4, named(b"right"));
    world.event(Event::Checked(LinkId(4), true));
    world.hears(4, IN);
    world.connects(5, named(b"wrong"));
    world.event(Event::Checked(LinkId(5), false));
    refused(&mut world, 5, Code::BadUserOrPassword);
    world.hears_nothing(4);
}

/// 3.1.4: a client need not wait for CONNACK.
#[test]
fn what_is_said_while_the_password_is_checked_is_heard_after_it() {
    let mut world = World::with(crate::charging_clients::ROOM, true, &[]);
    let (user, password) = (Some("ana".to_owned()), Some(b"word".to_vec()));
    let named = Connect { user, password, ..clean("ana") };
    world.connects(1, named.clone());
    world.says(1, subscribe(3, &[("t", 1)]));
    world.says(1, publish("t", "early", 1, 4));
    world.hears_nothing(1);
    world.event(Event::Checked(LinkId(1), true));
    world.hears(1, IN);
    world.hears(1, Packet::SubAck(3, vec![Some(Qos::AtLeastOnce)]));
    world.hears(1, Packet::PubAck(4));
    world.hears(1, publish("t", "early", 1, 1));
    // Not for ever.
    world.connects(2, Connect { client: "rui".to_owned(), ..named });
    for _ in 0..EARLY_PACKETS_MAX {
        world.says(2, Packet::PingReq);
    }
    world.hears_nothing(2);
    world.says(2, Packet::PingReq);
    world.is_cut(2, Why::Unexpected("too much too early"));
    world.event(Event::Checked(LinkId(2), true));
    world.hears_nothing(2);
}

/// Passwords are compared one after the other, and only those of clients that still wait.
#[test]
fn the_password_of_one_who_is_gone_is_not_compared() {
    let mut world = World::with(crate::charging_clients::ROOM, true, &[]);
    for link in 1..=4 {
        let (user, password) = (Some(format!("u{link}")), Some(b"word".to_vec()));
        world.connects(link, Connect { user, password, ..clean(&link.to_string()) });
    }
    assert_eq!(world.checks.iter().map(|(link, ..)| *link).collect::<Vec<_>>(), [1]);
    world.closes(1);
    world.closes(2);
    assert_eq!(world.checks.len(), 1, "the thread has one at a time");
    world.event(Event::Checked(LinkId(1), true));
    assert_eq!(world.checks.iter().map(|(link, ..)| *link).collect::<Vec<_>>(), [1, 3]);
    world.event(Event::Checked(LinkId(3), true));
    world.hears(3, IN);
    world.event(Event::Checked(LinkId(4), true));
    world.hears(4, IN);
    assert_eq!(world.checks.len(), 3);
}

#[test]
fn whose_password_cannot_be_compared_in_time_is_told_so() {
    let mut world = World::with(crate::charging_clients::ROOM, true, &[]);
    let (user, password) = (Some("ana".to_owned()), Some(b"word".to_vec()));
    world.connects(1, Connect { user, password, ..clean("ana") });
    world.at(CONNECT_MS_MAX);
    refused(&mut world, 1, Code::ServerUnavailable);
    assert_eq!(world.state.deadline(), None);
}

#[test]
fn a_denied_filter_is_refused_alone() {
    let mut world = World::with(crate::charging_clients::ROOM, false, &["secret/#", "x"]);
    world.joins(1, clean("ana"));
    world.says(1, subscribe(3, &[("a", 1), ("secret/+", 2), ("x", 0), ("b", 2)]));
    let granted = vec![Some(Qos::AtLeastOnce), None, None, Some(Qos::ExactlyOnce)];
    world.hears(1, Packet::SubAck(3, granted));
    world.says(1, publish("secret/a", "x", 0, 0));
    world.hears_nothing(1);
    assert_eq!(world.state.counters().denied, 2);
}

#[test]
fn a_client_has_so_many_filters_and_no_more() {
    let mut world = World::new();
    world.joins(1, clean("ana"));
    let names: Vec<String> = (0..=FILTERS_MAX).map(|number| format!("f/{number}")).collect();
    let filters: Vec<(&str, u8)> = names.iter().map(|name| (&name[..], 0)).collect();
    world.says(1, subscribe(3, &filters));
    let mut granted = vec![Some(Qos::AtMostOnce); FILTERS_MAX];
    granted.push(None);
    world.hears(1, Packet::SubAck(3, granted));
    // One that it has can have another QoS; one less leaves room for one more.
    world.subscribes(1, "f/0", 2);
    world.says(1, Packet::Unsubscribe(4, vec!["f/1".to_owned()]));
    world.hears(1, Packet::UnsubAck(4));
    world.subscribes(1, "one more", 0);
}
