//! What waits for clients that are slow or away, on the value: windows, queues, and their limits.

use crate::charging_clients::{
    ROOM, World, again, clean, kept, pair, pair_with, payloads, publish,
};
use malha::charging::broker::state::{Effect, Event, Room};
use malha::charging::limits::{HELD_BYTES_MAX, MARK_BYTES, MARKS_MAX, QUEUED_BYTES_MAX};
use malha::charging::protocol::{Packet, Qos};
use malha::net::pushed::LinkId;

fn marks(world: &World, link: u64) -> usize {
    world.heard[&link].iter().filter(|effect| matches!(effect, Effect::Mark(_))).count()
}

#[test]
fn a_full_window_waits_for_an_acknowledgement_and_its_queue_has_a_limit() {
    let mut world = pair("t", 1);
    let all = (ROOM.in_flight_max + ROOM.queued_max) as u16;
    for id in 1..=all {
        world.says(2, publish("t", &id.to_string(), 1, id));
    }
    assert!(world.lost.is_empty(), "under the limit nothing of QoS 1 is lost");
    let session = world.state.session("sub").unwrap();
    assert_eq!((session.in_flight(), session.queued()), (ROOM.in_flight_max, ROOM.queued_max));
    world.says(2, publish("t", "one more", 1, 100));
    assert_eq!(world.lost, [("sub".to_owned(), Qos::AtLeastOnce)]);
    assert_eq!(world.state.counters().lost, 1);
    // It is acknowledged all the same: its sender can do nothing for it.
    for id in (1..=all).chain([100]) {
        world.hears(2, Packet::PubAck(id));
    }
    for id in 1..=all {
        world.says(1, Packet::PubAck(id));
    }
    let expected: Vec<String> = (1..=all).map(|id| id.to_string()).collect();
    assert_eq!(payloads(&mut world, 1), expected);
}

/// A mark stands behind so many bytes; who leaves too many unread is slow.
fn slow(world: &mut World, qos: u8) {
    let payload = "x".repeat(MARK_BYTES);
    for id in 0..MARKS_MAX as u16 {
        world.says(2, publish("t", &payload, qos, if qos > 0 { 500 + id } else { 0 }));
    }
    assert_eq!(marks(world, 1), MARKS_MAX as usize);
    payloads(world, 1);
}

#[test]
fn for_a_slow_client_the_oldest_of_qos_0_are_dropped_and_counted() {
    let mut world = pair("t", 1);
    slow(&mut world, 0);
    for number in 0..ROOM.queued_max as u16 + 3 {
        world.says(2, publish("t", &number.to_string(), 0, 0));
    }
    world.says(2, publish("t", "important", 1, 7));
    assert_eq!(payloads(&mut world, 1), [""; 0]);
    assert_eq!(world.state.counters().dropped, 4);
    world.event(Event::Written(LinkId(1), 1));
    assert_eq!(payloads(&mut world, 1), ["4", "5", "6", "7", "important"]);
    assert_eq!(world.state.counters().lost, 0);
    // It is not slow any more.
    world.says(2, publish("t", "at once", 0, 0));
    assert_eq!(payloads(&mut world, 1), ["at once"]);
}

#[test]
fn where_only_qos_1_waits_a_message_of_qos_0_is_dropped() {
    let mut world = pair("t", 1);
    slow(&mut world, 0);
    for id in 1..=ROOM.queued_max as u16 {
        world.says(2, publish("t", &id.to_string(), 1, id));
    }
    world.says(2, publish("t", "dropped", 0, 0));
    assert_eq!((world.state.counters().dropped, world.state.counters().lost), (1, 0));
    world.says(2, publish("t", "lost", 1, 100));
    assert_eq!((world.state.counters().dropped, world.state.counters().lost), (1, 1));
}

#[test]
fn the_queue_has_a_limit_in_bytes_too() {
    let mut world = pair_with(Room { in_flight_max: 1, queued_max: 1_000_000 }, "t", 1);
    let payload = "x".repeat(QUEUED_BYTES_MAX / 4);
    world.says(2, publish("t", "window", 1, 1));
    for id in 2..=4 {
        world.says(2, publish("t", &payload, 1, id));
    }
    assert_eq!((world.state.session("sub").unwrap().queued(), world.lost.len()), (3, 0));
    world.says(2, publish("t", &payload, 1, 5));
    assert_eq!((world.state.session("sub").unwrap().queued(), world.lost.len()), (3, 1));
    world.says(2, publish("t", "small", 1, 6));
    assert_eq!(world.state.session("sub").unwrap().queued(), 4);
}

/// However many are away, what waits for them has an end.
#[test]
fn what_waits_for_all_together_has_a_limit() {
    let mut world = pair("none", 1);
    for link in 0..(HELD_BYTES_MAX / QUEUED_BYTES_MAX) as u64 {
        world.joins(10 + link, kept(&format!("away{link}")));
        world.subscribes(10 + link, "t", 1);
        world.closes(10 + link);
    }
    world.joins(3, kept("last"));
    world.subscribes(3, "u", 1);
    world.closes(3);
    let quarter = "x".repeat(QUEUED_BYTES_MAX / 4 - 1);
    for id in 1..=4 {
        world.says(2, publish("t", &quarter, 1, id));
    }
    assert_eq!(world.lost, [], "all together wait for as much as each may have waiting");
    let waiting = |world: &World| world.state.session("last").unwrap().queued();
    world.says(2, publish("u", "", 1, 5));
    assert_eq!((waiting(&world), world.lost.len()), (0, 1));
    // Nor is there room for what would only be on its way; what is not held comes.
    world.returns(3, "last");
    world.says(2, publish("u", "", 1, 6));
    world.says(2, publish("u", "at once", 0, 0));
    assert_eq!((payloads(&mut world, 3), world.lost.len()), (vec!["at once".to_owned()], 2));
    world.closes(3);
    // One has what is his when he says so, and one comes and wants nothing of it.
    world.returns(10, "away0");
    assert_eq!(payloads(&mut world, 10).len(), ROOM.in_flight_max);
    for id in 1..=2 {
        world.says(2, publish("u", &quarter, 1, 7));
        assert_eq!(waiting(&world), usize::from(id) - 1);
        world.says(10, Packet::PubAck(id));
        world.says(2, publish("u", &quarter, 1, 8));
        assert_eq!(waiting(&world), usize::from(id));
    }
    world.joins(11, clean("away1"));
    for id in 9..=10 {
        world.says(2, publish("u", &quarter, 1, id));
    }
    assert_eq!(waiting(&world), 4);
}

/// [MQTT-4.6.0-6]: in order on one topic at one QoS.
#[test]
fn a_message_of_qos_0_overtakes_none_of_its_kind() {
    let mut world = pair("t", 1);
    // The window is full, one waits before "old", and nothing has been written yet.
    for id in 1..=4 {
        world.says(2, publish("t", &format!("q{id}"), 1, id));
    }
    payloads(&mut world, 1);
    slow(&mut world, 0);
    world.says(2, publish("t", "old", 0, 0));
    world.event(Event::Written(LinkId(1), MARKS_MAX));
    world.says(2, publish("t", "new", 0, 0));
    assert_eq!(payloads(&mut world, 1), ["old", "new"], "both, though a window is full");
    world.says(1, Packet::PubAck(1));
    assert_eq!(payloads(&mut world, 1), ["q4"]);
}

/// What a client left unread is not poured over it at once when it comes back.
#[test]
fn what_comes_again_waits_for_a_slow_client_too() {
    let room = Room { in_flight_max: 20, queued_max: 5 };
    let mut world = pair_with(room, "t", 1);
    let payload = "x".repeat(MARK_BYTES);
    for id in 1..=20 {
        world.says(2, publish("t", &payload, 1, id));
        world.event(Event::Written(LinkId(1), 1));
    }
    world.closes(1);
    world.returns(3, "sub");
    assert_eq!(payloads(&mut world, 3).len(), MARKS_MAX as usize);
    world.says(2, publish("t", "new", 1, 21));
    let mut rest = Vec::new();
    while rest.len() < 17 {
        world.event(Event::Written(LinkId(3), 1));
        let more = payloads(&mut world, 3);
        assert!(!more.is_empty(), "stuck after {}", rest.len());
        rest.extend(more);
        if rest.len() == 16 {
            // The window is full: "new" waits for an acknowledgement.
            world.says(3, Packet::PubAck(1));
            rest.extend(payloads(&mut world, 3));
        }
    }
    assert_eq!((rest.len(), &rest[16][..]), (17, "new"));
}

/// An acknowledgement may overtake what it acknowledges when that is to come again.
#[test]
fn what_is_acknowledged_before_it_comes_again_does_not_come() {
    let room = Room { in_flight_max: 8, queued_max: 5 };
    let mut world = pair_with(room, "t", 2);
    let payload = "x".repeat(MARK_BYTES);
    for id in 1..=8 {
        world.says(2, publish("t", &payload, 2, id));
        world.event(Event::Written(LinkId(1), 1));
    }
    world.closes(1);
    world.returns(3, "sub");
    assert_eq!(payloads(&mut world, 3).len(), MARKS_MAX as usize);
    for id in [1, 6] {
        world.says(3, Packet::PubRec(id));
        world.hears(3, Packet::PubRel(id));
        world.says(3, Packet::PubComp(id));
    }
    world.event(Event::Written(LinkId(3), MARKS_MAX));
    world.hears(3, again("t", &payload, 2, 5));
    assert_eq!(world.next(3), Some(Effect::Mark(LinkId(3))));
    world.hears(3, again("t", &payload, 2, 7));
    assert_eq!(payloads(&mut world, 3).len(), 1);
    assert_eq!(world.state.session("sub").unwrap().in_flight(), 6);
}
