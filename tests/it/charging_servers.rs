//! Sector servers and central as values (charging spec: Parts).

use crate::charging_world::{Actor, World, asks, at, heading, id, station, vehicle};
use malha::charging::limits::SILENT_MS_MAX;
use malha::charging::payload::{Ask, Bad, Queue, Reason, Said, Stage};
use malha::charging::roles::choice::Rule;
use malha::charging::roles::sector::Sector;
use malha::charging::roles::{Effect, Event, Line, Post, Role};
use malha::charging::world::{Id, Quadrant, Trend};
use malha::net::clock::Millis;

/// Who answered the question with this number, and with what.
fn answered(world: &World, request: u64) -> Vec<(String, Result<String, Reason>)> {
    let answer = |said: &Said| match said {
        Said::Answer(answer) if answer.request == request => {
            Some(answer.offer.clone().map(|offer| offer.station.to_string()))
        }
        _ => None,
    };
    let of_it = |(_, name, said): &(_, String, Said)| Some((name.clone(), answer(said)?));
    world.said.iter().filter_map(of_it).collect()
}

/// Asks at a point, and lets it be answered.
fn question(world: &mut World, latitude: f64, longitude: f64, request: u64, attempt: u32) {
    let at = at(latitude, longitude);
    let (vehicle, battery, trend) = (id("x"), 20.0, Trend::Fast);
    let ask = Ask { vehicle, at, battery, trend, request, attempt, except: Vec::new() };
    world.publish(&Post { said: Said::Ask(ask), retain: false, qos: 1 });
    world.pass(10);
}

/// A station right above, one left below.
fn with_two_stations() -> World {
    let mut world = World::with_servers(1);
    world.add("ne", Actor::Station(station("ne", at(10.0, 10.0), 10.0)));
    world.add("sw", Actor::Station(station("sw", at(-10.0, -10.0), 10.0)));
    world.pass(1_100);
    world
}

fn by(name: &str, station: &str) -> (String, Result<String, Reason>) {
    (name.to_owned(), Ok(station.to_owned()))
}

#[test]
fn one_server_answers_and_central_where_a_quadrant_has_nothing() {
    let mut world = with_two_stations();
    question(&mut world, 9.0, 9.0, 1, 1);
    question(&mut world, -9.0, -9.0, 2, 1);
    question(&mut world, 9.0, -9.0, 3, 1);
    question(&mut world, 90.0, -90.0, 4, 1);
    assert_eq!(answered(&world, 1), [by("setor-1", "ne")]);
    assert_eq!(answered(&world, 2), [by("setor-3", "sw")]);
    // As near to the one as to the other, so by name.
    assert_eq!(answered(&world, 3), [by("central", "ne")]);
    assert_eq!(answered(&world, 4), [("central".to_owned(), Err(Reason::OutOfReach))]);
}

#[test]
fn a_neighbour_answers_for_a_server_that_is_gone_and_at_last_central() {
    let mut world = with_two_stations();
    world.kill("setor-1");
    world.pass(100);
    question(&mut world, 9.0, 9.0, 1, 1);
    assert_eq!(answered(&world, 1), [by("setor-4", "ne")], "the next one clockwise");
    world.kill("setor-4");
    world.stop("setor-3");
    world.pass(100);
    question(&mut world, 9.0, 9.0, 2, 1);
    assert_eq!(answered(&world, 2), [by("setor-2", "ne")]);
    world.kill("setor-2");
    world.pass(100);
    question(&mut world, 9.0, 9.0, 3, 1);
    assert_eq!(answered(&world, 3), [by("central", "ne")]);
    // Back: but it listens first, and the other goes on meanwhile.
    world.sector(Quadrant::ALL[0]);
    world.pass(500);
    question(&mut world, 9.0, 9.0, 4, 1);
    assert_eq!(answered(&world, 4), [by("central", "ne")]);
    world.pass(1_000);
    question(&mut world, 9.0, 9.0, 5, 1);
    assert_eq!(answered(&world, 5), [by("setor-1", "ne")]);
}

/// No will, because the cable was pulled: the broker finds out 7.5 s later.
#[test]
fn vehicles_of_a_server_that_has_vanished_are_answered_within_10_s() {
    let mut world = with_two_stations();
    world.vanish("setor-1");
    world.add("v", Actor::Vehicle(Box::new(vehicle("v", at(9.0, 9.0), 20.5, world.now))));
    world.pass(1_000);
    let asked = asks(&world).pop().unwrap().0;
    world.pass(9_000);
    let goes =
        world.told.iter().find(|(_, name, line)| name == "v" && matches!(line, Line::Goes(..)));
    let at = goes.expect("it was answered").0;
    assert!(at.0 - asked < 10_000, "after {} ms", at.0 - asked);
}

#[test]
fn a_will_that_comes_late_is_denied() {
    let mut world = with_two_stations();
    let will = Sector::new(Quadrant::ALL[0], Rule::Least);
    world.publish(&will.will().unwrap());
    world.pass(100);
    question(&mut world, 9.0, 9.0, 1, 1);
    assert_eq!(answered(&world, 1), [by("setor-1", "ne")]);
}

fn shortest(world: &World) -> Vec<Option<String>> {
    let shortest = |said: &Said| match said {
        Said::Shortest(station) => Some(station.as_ref().map(Id::to_string)),
        _ => None,
    };
    world.said.iter().filter_map(|(_, _, said)| shortest(said)).collect()
}

#[test]
fn central_says_which_queue_is_the_shortest_when_it_changes() {
    let some = |name: &str| Some(name.to_owned());
    let mut world = World::with_servers(1);
    world.pass(1_100);
    assert_eq!(shortest(&world), [None], "it takes away what another one has left");
    world.add("b", Actor::Station(station("b", at(0.0, 0.0), 16.0)));
    world.add("a", Actor::Station(station("a", at(0.0, 0.0), 16.0)));
    world.pass(20_000);
    assert_eq!(shortest(&world), [None, some("b")], "a is not shorter");
    world.hears("b", heading("v", "b", 1, Stage::Going));
    world.pass(100);
    assert_eq!(shortest(&world).last(), Some(&some("a")));
    // One in the wild, and then silent.
    let queue = Queue { station: id("wild"), at: at(1.0, 1.0), queue: 0 };
    world.hears("central", Said::Queue(queue));
    world.kill("a");
    world.pass(100);
    assert_eq!(shortest(&world).last(), Some(&some("wild")));
    world.pass(SILENT_MS_MAX);
    assert_eq!(shortest(&world).last(), Some(&some("b")));
    world.kill("b");
    world.pass(100);
    assert_eq!(shortest(&world).last(), Some(&None));
}

#[test]
fn a_station_is_never_recommended_after_its_will() {
    let mut world = with_two_stations();
    world.kill("ne");
    world.pass(100);
    question(&mut world, 9.0, 9.0, 1, 1);
    let seen: Vec<_> = answered(&world, 1).into_iter().map(|(_, offer)| offer).collect();
    assert_eq!(seen, [Ok("sw".to_owned())]);
}

#[test]
fn what_is_no_message_is_told_and_dropped() {
    let mut sector = Sector::new(Quadrant::ALL[0], Rule::Least);
    let bad = Bad::NotJson;
    let effects = sector.handle(Millis(1), Event::Bad("fila/posto".to_owned(), bad));
    let line = Line::Dropped("fila/posto".to_owned(), bad);
    assert_eq!(effects, [Effect::Told(line)]);
}
