//! How messages reach those who want them, on the value: QoS, order, retained (MQTT 3.1.1, 3.3,
//! 4.3, 4.6).

use crate::charging_clients::{
    World, again, clean, kept, pair, pair_with, payloads, publish, publishing, retained, subscribe,
};
use malha::charging::broker::state::{Effect, Event, Room};
use malha::charging::limits::SEARCH_TOPICS_MAX;
use malha::charging::protocol::{Packet, Qos};
use malha::net::clock::Millis;
use malha::net::pushed::LinkId;

/// 4.3: the lower of both; 3.3.1.3: not retained for who is there already [MQTT-3.3.1-9]; 3.3.1.1:
/// a repetition's mark is not passed on [MQTT-3.3.1-3].
#[test]
fn a_message_comes_at_the_lower_qos_of_both() {
    for granted in 0..3 {
        for said in 0..3 {
            let mut world = pair("t", granted);
            let (id, dup) = (if said > 0 { 7 } else { 0 }, said > 0);
            world.says(2, publishing("t", b"x", said, id, true, dup));
            let qos = granted.min(said);
            world.hears(1, publish("t", "x", qos, if qos > 0 { 1 } else { 0 }));
            match said {
                0 => world.hears_nothing(2),
                1 => world.hears(2, Packet::PubAck(7)),
                _ => world.hears(2, Packet::PubRec(7)),
            }
        }
    }
}

/// [MQTT-3.3.5-1]
#[test]
fn of_several_filters_that_match_the_highest_qos_counts_once() {
    let mut world = pair("a/#", 0);
    world.says(1, subscribe(3, &[("a/+", 2), ("a/b", 1), ("#", 0)]));
    let _ = world.next(1);
    world.says(2, publish("a/b", "x", 2, 7));
    world.hears(1, publish("a/b", "x", 2, 1));
    world.hears_nothing(1);
}

/// [MQTT-3.8.4-3]
#[test]
fn a_filter_again_has_its_new_qos_and_retained_messages_come_again() {
    let mut world = pair("t", 2);
    world.says(2, retained("t", "last", 1, 7));
    world.hears(1, publish("t", "last", 1, 1));
    world.subscribes(1, "t", 0);
    world.hears(1, retained("t", "last", 0, 0));
    world.says(2, publish("t", "x", 2, 8));
    world.hears(1, publish("t", "x", 0, 0));
    world.hears_nothing(1);
}

/// [MQTT-3.10.4-2, MQTT-3.10.4-5]
#[test]
fn what_is_unsubscribed_comes_no_more_and_what_was_not_there_is_acknowledged() {
    let mut world = pair("a", 1);
    world.subscribes(1, "a/#", 0);
    world.says(1, Packet::Unsubscribe(5, vec!["a/+".to_owned(), "a/#".to_owned()]));
    world.hears(1, Packet::UnsubAck(5));
    world.says(2, publish("a/b", "x", 0, 0));
    world.hears_nothing(1);
    world.says(2, publish("a", "x", 0, 0));
    world.hears(1, publish("a", "x", 0, 0));
}

/// 3.3.1.3
#[test]
fn the_last_retained_message_comes_after_the_suback() {
    let mut world = World::new();
    world.joins(2, clean("pub"));
    for (topic, payload) in [("a/1", "old"), ("a/1", "new"), ("a/2", "x"), ("$a/3", "y")] {
        world.says(2, retained(topic, payload, 0, 0));
    }
    world.says(2, retained("a/2", "", 0, 0));
    world.says(2, publish("a/1", "not retained", 0, 0));
    world.joins(1, clean("sub"));
    world.subscribes(1, "#", 2);
    world.hears(1, retained("a/1", "new", 0, 0));
    world.hears_nothing(1);
    world.says(1, subscribe(4, &[("a/1", 0), ("a/+", 0)]));
    let granted = vec![Some(Qos::AtMostOnce); 2];
    world.hears(1, Packet::SubAck(4, granted));
    world.hears(1, retained("a/1", "new", 0, 0));
    world.hears(1, retained("a/1", "new", 0, 0));
}

/// However many there are, each comes when the client can take it.
#[test]
fn more_retained_messages_than_may_wait_come_all_the_same() {
    let mut world = World::new();
    world.joins(2, clean("pub"));
    let all: Vec<String> = (0..3_000).map(|number| format!("{number:04}")).collect();
    for name in &all {
        world.says(2, retained(&format!("t/{name}"), name, u8::from(name.ends_with('7')), 1));
    }
    world.joins(1, kept("sub"));
    world.subscribes(1, "+/#", 1);
    let mut heard = Vec::new();
    let mut link = 1;
    while heard.len() < all.len() {
        let next = world.next(link);
        let Some(Effect::Send(_, Packet::Publish(publish))) = next else {
            panic!("{next:?} after {}", heard.len())
        };
        let is_leaving = heard.len() > 1_000 && link == 1;
        if is_leaving && world.heard[&1].is_empty() {
            // What was not looked for yet is not forgotten with the connection.
            world.closes(1);
            link = 3;
            world.returns(link, "sub");
        } else if publish.id > 0 && !is_leaving {
            world.says(link, Packet::PubAck(publish.id));
        }
        if !publish.dup {
            assert!(publish.retain);
            heard.push(String::from_utf8(publish.message.payload().to_vec()).unwrap());
        }
    }
    heard.sort_unstable();
    assert_eq!((heard, link), (all, 3));
    world.hears_nothing(link);
    assert_eq!((world.state.counters().dropped, world.lost.len()), (0, 0));
}

/// Others are heard between two parts of a long search.
#[test]
fn who_searches_long_lets_others_speak() {
    let mut world = World::new();
    world.joins(2, clean("pub"));
    for number in 0..3 * SEARCH_TOPICS_MAX {
        world.says(2, retained(&format!("t/{number}"), "x", 0, 0));
    }
    world.joins(1, clean("sub"));
    let wish = Event::Heard(LinkId(1), vec![Ok(subscribe(9, &[("+/none", 0), ("+/not", 0)]))]);
    assert_eq!(world.state.handle(world.now, wish).len(), 1);
    let mut parts = 0;
    while world.state.deadline() == Some(Millis(0)) {
        assert_eq!(world.state.handle(world.now, Event::Tick), []);
        parts += 1;
    }
    assert!((4..=8).contains(&parts), "{parts}");
}

/// [MQTT-4.3.3-2], and packets for ids of which nobody knows anything.
#[test]
fn qos_2_from_a_client_comes_once_and_unknown_ids_do_no_harm() {
    let mut world = pair("t", 2);
    world.says(2, publish("t", "x", 2, 7));
    world.says(2, again("t", "x", 2, 7));
    world.hears(2, Packet::PubRec(7));
    world.hears(2, Packet::PubRec(7));
    world.hears(1, publish("t", "x", 2, 1));
    world.hears_nothing(1);
    for _ in 0..2 {
        world.says(2, Packet::PubRel(7));
        world.hears(2, Packet::PubComp(7));
    }
    for packet in [Packet::PubAck(40), Packet::PubComp(40), Packet::PubAck(1), Packet::PubComp(1)] {
        world.says(1, packet);
        world.hears_nothing(1);
    }
    assert_eq!(world.state.session("sub").unwrap().in_flight(), 1);
    world.says(1, Packet::PubRec(40));
    world.hears(1, Packet::PubRel(40));
    world.says(1, Packet::PubRec(1));
    world.says(1, Packet::PubRec(1));
    world.hears(1, Packet::PubRel(1));
    world.hears(1, Packet::PubRel(1));
    world.says(1, Packet::PubComp(1));
    assert_eq!(world.state.session("sub").unwrap().in_flight(), 0);
}

/// [MQTT-4.4.0-1, MQTT-4.6.0-1, MQTT-4.6.0-6]
#[test]
fn what_was_not_acknowledged_comes_again_in_order_before_what_waits() {
    let mut world = pair("t", 1);
    for id in 1..=5 {
        world.says(2, publish("t", &id.to_string(), 1, id));
    }
    assert_eq!(payloads(&mut world, 1), ["1", "2", "3"]);
    world.says(1, Packet::PubAck(2));
    world.hears(1, publish("t", "4", 1, 4));
    world.closes(1);
    world.says(2, publish("t", "6", 1, 6));
    world.returns(3, "sub");
    world.hears(3, again("t", "1", 1, 1));
    world.hears(3, again("t", "3", 1, 3));
    world.hears(3, again("t", "4", 1, 4));
    world.hears_nothing(3);
    for (acked, payload, id) in [(1, "5", 5), (3, "6", 6)] {
        world.says(3, Packet::PubAck(acked));
        world.hears(3, publish("t", payload, 1, id));
    }
    assert!(world.lost.is_empty());
}

#[test]
fn no_id_is_given_twice_while_it_is_in_flight() {
    let mut world = pair_with(Room { in_flight_max: 2, queued_max: 5 }, "t", 1);
    world.says(2, publish("t", "stays", 1, 1));
    world.hears(1, publish("t", "stays", 1, 1));
    for round in 0..0x1_0002_u32 {
        world.says(2, publish("t", "x", 1, 1));
        let Some(Effect::Send(_, Packet::Publish(publish))) = world.next(1) else { panic!() };
        assert!(publish.id > 1, "in round {round}");
        world.says(1, Packet::PubAck(publish.id));
        if world.next(1).is_some() {
            world.event(Event::Written(LinkId(1), 1));
        }
        world.heard.remove(&2);
    }
}
