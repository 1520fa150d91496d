//! Stations and vehicles as values (charging spec: Parts).

use crate::charging_world::{Actor, World, asks, at, heading, id, station, vehicle};
use malha::charging::limits::SILENT_MS_MAX;
use malha::charging::payload::{Answer, Offer, Outcome, Place, Reason, Said, Stage, Station};
use malha::charging::roles::fleet::Fleet;
use malha::charging::roles::{Line, Role};
use malha::net::clock::Millis;

/// A world with one station, `p`, that takes 16 minutes, 4 s, for a car.
fn with_station() -> World {
    let mut world = World::new(1);
    world.add("p", Actor::Station(station("p", at(0.0, 0.0), 16.0)));
    world
}

/// What the station says to a vehicle.
fn outcomes(world: &World, vehicle: &str) -> Vec<(u64, Outcome)> {
    let to_it = |said: &Said| match said {
        Said::Place(place) if place.vehicle == id(vehicle) => Some((place.request, place.outcome)),
        _ => None,
    };
    world.said.iter().filter_map(|(_, _, said)| to_it(said)).collect()
}

/// What the station says of itself, last.
fn state(world: &World) -> Station {
    let of_it = |said: &Said| match said {
        Said::Station(state) => Some(state.clone()),
        _ => None,
    };
    world.said.iter().rev().find_map(|(_, _, said)| of_it(said)).unwrap()
}

#[test]
fn a_place_is_given_once_whatever_comes_twice() {
    let mut world = with_station();
    for _ in 0..3 {
        world.hears("p", heading("v", "p", 7, Stage::Going));
    }
    assert_eq!(outcomes(&world, "v"), [(7, Outcome::Granted); 3]);
    assert_eq!(state(&world).queue, 1);
    world.hears("p", heading("v", "p", 7, Stage::Arrived));
    // What was said before it arrived comes late.
    world.hears("p", heading("v", "p", 7, Stage::Going));
    world.pass(3_999);
    assert_eq!(state(&world).queue, 1);
    assert!(state(&world).is_charging);
    world.pass(1);
    assert_eq!((state(&world).queue, state(&world).is_charging), (0, false));
    world.hears("p", heading("v", "p", 7, Stage::Arrived));
    world.hears("p", heading("v", "p", 6, Stage::Going));
    let all = outcomes(&world, "v");
    let last = [Outcome::Charging, Outcome::Charging, Outcome::Charged, Outcome::Charged];
    assert_eq!(all[all.len() - 4..], last.map(|outcome| (7, outcome)), "{all:?}");
    assert_eq!(state(&world).queue, 0, "an older question takes no place");
}

#[test]
fn fifteen_places_and_the_next_one_is_refused_again_and_again() {
    let mut world = with_station();
    for number in 0..15 {
        world.hears("p", heading(&format!("v{number}"), "p", 1, Stage::Going));
    }
    world.hears("p", heading("late", "p", 1, Stage::Going));
    assert_eq!(outcomes(&world, "late"), [(1, Outcome::Full)]);
    assert_eq!(state(&world).queue, 15);
    world.hears("p", heading("v3", "p", 1, Stage::Left));
    assert_eq!(state(&world).queue, 14);
    // The answer to a question does not change; the next question has another.
    world.hears("p", heading("late", "p", 1, Stage::Going));
    world.hears("p", heading("late", "p", 2, Stage::Going));
    let all = [(1, Outcome::Full), (1, Outcome::Full), (2, Outcome::Granted)];
    assert_eq!(outcomes(&world, "late"), all);
    assert_eq!(state(&world).queue, 15);
}

#[test]
fn the_first_in_the_queue_that_is_there_is_charged() {
    let mut world = with_station();
    for name in ["a", "b", "c"] {
        world.hears("p", heading(name, "p", 1, Stage::Going));
    }
    world.hears("p", heading("c", "p", 1, Stage::Arrived));
    world.hears("p", heading("b", "p", 1, Stage::Arrived));
    world.hears("p", heading("a", "p", 1, Stage::Arrived));
    world.pass(4_000);
    for name in ["a", "b"] {
        world.hears("p", heading(name, "p", 1, Stage::Arrived));
    }
    world.pass(8_000);
    let charged = |(_, _, line): &(Millis, String, Line)| match line {
        Line::Place(vehicle, Outcome::Charged, _) => Some(vehicle.to_string()),
        _ => None,
    };
    let order: Vec<String> = world.told.iter().filter_map(charged).collect();
    assert_eq!(order, ["c", "a", "b"], "who is there is not held up by who is not");
}

#[test]
fn a_place_whose_vehicle_does_not_come_is_freed() {
    let mut world = with_station();
    // It says that it comes, again and again: 16 minutes are twice what it announced, 4 s.
    world.hears("p", heading("v", "p", 1, Stage::Going));
    for _ in 0..3 {
        world.pass(4_000);
        world.hears("p", heading("v", "p", 1, Stage::Going));
    }
    world.pass(3_999);
    assert_eq!(state(&world).queue, 1);
    world.pass(1);
    assert_eq!(state(&world).queue, 0);
    assert_eq!(outcomes(&world, "v").last(), Some(&(1, Outcome::Lapsed)));
    // It says nothing at all.
    world.hears("p", heading("w", "p", 1, Stage::Going));
    world.pass(SILENT_MS_MAX);
    assert_eq!(outcomes(&world, "w").last(), Some(&(1, Outcome::Lapsed)));
}

#[test]
fn who_goes_elsewhere_has_no_place_here() {
    let mut world = with_station();
    world.hears("p", heading("v", "p", 5, Stage::Going));
    world.hears("p", heading("v", "q", 4, Stage::Going));
    assert_eq!(state(&world).queue, 1, "that was before");
    world.hears("p", heading("v", "q", 6, Stage::Going));
    assert_eq!(state(&world).queue, 0);
}

#[test]
fn silence_means_nothing_while_the_broker_is_away() {
    let mut world = with_station();
    world.hears("p", heading("v", "p", 1, Stage::Going));
    world.broker_dies();
    world.pass(60_000);
    world.broker_returns();
    world.pass(SILENT_MS_MAX - 1);
    assert_eq!(state(&world).queue, 1, "nobody could say anything");
    world.pass(1);
    assert_eq!(state(&world).queue, 0);
}

#[test]
fn a_station_says_when_it_is_gone() {
    let mut world = with_station();
    let Said::Station(will) = station("p", at(0.0, 0.0), 1.0).will().unwrap().said else {
        panic!("it is about a station");
    };
    assert!(!will.is_online);
    world.stop("p");
    assert!(!state(&world).is_online);
}

/// A vehicle alone, low, that has just asked: the world and the number of its question.
fn asking() -> (World, u64) {
    let mut world = World::new(1);
    world.add("v", Actor::Vehicle(Box::new(vehicle("v", at(50.0, 50.0), 21.0, Millis(0)))));
    world.pass(1_000);
    let asked = asks(&world);
    assert_eq!(asked.len(), 1);
    (world, asked[0].1.request)
}

fn headings(world: &World) -> Vec<(String, u64, Stage)> {
    let heading = |said: &Said| match said {
        Said::Heading(heading) | Said::Present(heading) => {
            Some((heading.station.to_string(), heading.request, heading.stage))
        }
        _ => None,
    };
    world.said.iter().filter_map(|(_, _, said)| heading(said)).collect()
}

fn answer(request: u64, station: &str) -> Said {
    let (at, distance, minutes) = (at(50.0, 46.0), 4.0, 8.0);
    let offer = Ok(Offer { station: id(station), at, queue: 0, distance, minutes });
    Said::Answer(Answer { vehicle: id("v"), request, offer })
}

fn place(request: u64, station: &str, outcome: Outcome) -> Said {
    let (station, vehicle) = (id(station), id("v"));
    Said::Place(Place { station, vehicle, request, outcome })
}

#[test]
fn a_vehicle_asks_at_20_and_again_every_5_s_with_the_same_number() {
    let (mut world, request) = asking();
    assert_eq!((asks(&world)[0].1.battery, asks(&world)[0].1.attempt), (20.0, 1));
    world.pass(10_000);
    let all: Vec<(u64, u64, u32)> =
        asks(&world).iter().map(|(at, ask)| (*at, ask.request, ask.attempt)).collect();
    assert_eq!(all, [(1_000, request, 1), (6_000, request, 2), (11_000, request, 3)]);
    assert_eq!(world.vehicle_of("v").unwrap().battery(), 20.0, "it stands while it asks");
}

#[test]
fn the_first_answer_counts_and_only_one_to_the_question() {
    let (mut world, request) = asking();
    world.hears("v", answer(request - 1, "old"));
    assert_eq!(headings(&world), []);
    world.hears("v", answer(request, "p"));
    world.hears("v", answer(request, "q"));
    world.hears("v", answer(request, "p"));
    assert_eq!(headings(&world), [("p".to_owned(), request, Stage::Going)]);
}

#[test]
fn a_vehicle_goes_waits_and_is_charged() {
    let (mut world, request) = asking();
    world.hears("v", answer(request, "p"));
    world.pass(1_000);
    world.hears("v", place(request, "p", Outcome::Granted));
    world.hears("v", place(request, "p", Outcome::Granted));
    // Two steps, the last a short one.
    world.pass(1_999);
    assert_eq!(headings(&world).len(), 1);
    world.pass(1);
    let arrived = ("p".to_owned(), request, Stage::Arrived);
    assert_eq!(headings(&world).last(), Some(&arrived));
    let distance = asks(&world)[0].1.at.distance(at(50.0, 46.0));
    let left = world.vehicle_of("v").unwrap().battery();
    assert!((20.0 - distance / 2.0 - left).abs() < 1e-9, "{left} after {distance} km");
    world.pass(4_000);
    assert_eq!(headings(&world).len(), 3, "it says every 4 s that it is there");
    world.hears("v", place(request, "p", Outcome::Charging));
    world.pass(2_000);
    world.hears("v", place(request, "p", Outcome::Charged));
    assert_eq!(world.vehicle_of("v").unwrap().battery(), 100.0);
    let plugs = world.told.iter().find_map(|(_, _, line)| match line {
        Line::Plugs(waited) => Some((waited.asked_ms, waited.queued_ms)),
        _ => None,
    });
    assert_eq!(plugs, Some((7_000, 4_000)));
    world.pass(5_000);
    assert!(world.vehicle_of("v").unwrap().battery() < 100.0, "it drives on");
}

#[test]
fn a_vehicle_that_is_refused_asks_for_the_next_best() {
    let (mut world, request) = asking();
    world.hears("v", answer(request, "p"));
    world.hears("v", place(request, "p", Outcome::Full));
    let (_, ask) = asks(&world).pop().unwrap();
    assert_eq!((ask.request, ask.except), (request + 1, vec![id("p")]));
    world.hears("v", answer(request + 1, "q"));
    // Whose station says nothing, too.
    world.pass(SILENT_MS_MAX);
    let (_, ask) = asks(&world).pop().unwrap();
    assert_eq!((ask.request, ask.except), (request + 2, vec![id("p"), id("q")]));
    // Whose place has lapsed may come back there.
    world.hears("v", answer(request + 2, "r"));
    world.hears("v", place(request + 2, "r", Outcome::Granted));
    world.hears("v", place(request + 2, "r", Outcome::Lapsed));
    let (_, ask) = asks(&world).pop().unwrap();
    assert_eq!((ask.request, ask.except), (request + 3, vec![]));
}

#[test]
fn a_vehicle_without_a_station_asks_anew_after_5_s() {
    let (mut world, request) = asking();
    let none =
        |request, reason| Said::Answer(Answer { vehicle: id("v"), request, offer: Err(reason) });
    world.hears("v", none(request, Reason::Full));
    assert!(!world.vehicle_of("v").unwrap().is_stranded());
    world.hears("v", answer(request, "too-late"));
    assert_eq!(headings(&world), [], "that question has its answer");
    world.pass(5_000);
    world.hears("v", none(request + 1, Reason::OutOfReach));
    assert!(world.vehicle_of("v").unwrap().is_stranded());
    world.pass(5_000);
    world.hears("v", answer(request + 2, "p"));
    world.hears("v", place(request + 2, "p", Outcome::Granted));
    assert!(!world.vehicle_of("v").unwrap().is_stranded(), "a new station has saved it");
}

#[test]
fn a_vehicle_gives_its_place_back_when_it_stops() {
    let (mut world, request) = asking();
    world.hears("v", answer(request, "p"));
    world.stop("v");
    assert_eq!(headings(&world).last(), Some(&("p".to_owned(), request, Stage::Left)));
}

#[test]
fn a_vehicle_keeps_its_place_while_the_broker_is_away() {
    let (mut world, request) = asking();
    world.hears("v", answer(request, "p"));
    world.hears("v", place(request, "p", Outcome::Granted));
    world.broker_dies();
    world.pass(60_000);
    let before = headings(&world).len();
    world.broker_returns();
    let arrived = ("p".to_owned(), request, Stage::Arrived);
    assert_eq!(headings(&world)[before..], [arrived], "it says at once that it is there");
    world.pass(SILENT_MS_MAX - 1);
    assert_eq!(asks(&world).len(), 1, "the station could say nothing");
    world.pass(1);
    assert_eq!(asks(&world).len(), 2, "now it could");
}

/// Two vehicles on one connection that go to the same station are one subscriber.
#[test]
fn a_fleet_subscribes_once_and_until_the_last_has_left() {
    let mut world = World::new(1);
    let vehicles = ["v", "w"].map(|name| vehicle(name, at(50.0, 50.0), 20.5, Millis(0)));
    world.add("fleet", Actor::Fleet(Fleet::new(vehicles.into())));
    world.pass(1_000);
    let requests: Vec<u64> = asks(&world).iter().map(|(_, ask)| ask.request).collect();
    for (name, request) in ["v", "w"].into_iter().zip(requests) {
        let Said::Answer(given) = answer(request, "p") else { panic!("it is an answer") };
        world.hears("fleet", Said::Answer(Answer { vehicle: id(name), ..given }));
    }
    let filters = |world: &World| world.players["fleet"].filters.clone();
    assert!(filters(&world).contains("posto/p/vaga"));
    for (name, is_left) in [("v", true), ("w", false)] {
        let (station, vehicle) = (id("p"), id(name));
        let request =
            asks(&world).iter().find(|(_, ask)| ask.vehicle == vehicle).unwrap().1.request;
        let outcome = Outcome::Charged;
        world.hears("fleet", Said::Place(Place { station, vehicle, request, outcome }));
        assert_eq!(filters(&world).contains("posto/p/vaga"), is_left, "after {name}");
    }
}
