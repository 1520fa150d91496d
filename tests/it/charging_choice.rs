//! Which station a vehicle is sent to (charging spec: Choice).

use malha::charging::limits::SILENT_MS_MAX;
use malha::charging::payload::{Ask, Queue, Reason, Station};
use malha::charging::roles::atlas::Atlas;
use malha::charging::roles::choice::{Candidate, Rule, choose};
use malha::charging::world::{At, Id, Quadrant, Trend};
use malha::net::clock::Millis;
use proptest::prelude::*;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// At the middle, slow: 30 km/h, and 40 km with a battery of 20.
fn ask(battery: f64) -> Ask {
    Ask {
        vehicle: id("v"),
        at: At { latitude: 0.0, longitude: 0.0 },
        battery,
        trend: Trend::Slow,
        request: 1,
        attempt: 1,
        except: Vec::new(),
    }
}

/// Name, distance to the right, queue, minutes a car.
type Row = (&'static str, f64, u32, f64);
/// What, by which rule, with how much in the battery, among whom; and who it is, in how long.
type Case = (&'static str, Rule, f64, &'static [Row], Result<(&'static str, f64), Reason>);

fn chosen(rule: Rule, ask: &Ask, rows: &[Row]) -> Result<(String, f64), Reason> {
    let ids: Vec<Id> = rows.iter().map(|row| id(row.0)).collect();
    let candidates = rows.iter().zip(&ids).map(|(row, station)| Candidate {
        station,
        at: At { latitude: 0.0, longitude: row.1 },
        queue: row.2,
        minutes_per_car: row.3,
    });
    choose(rule, ask, candidates).map(|offer| (offer.station.to_string(), offer.minutes))
}

#[test]
fn the_table() {
    const NEAR_AND_LONG: &[Row] = &[("near", 3.0, 3, 10.0), ("far", 30.0, 0, 10.0)];
    const SLOW_AND_QUICK: &[Row] = &[("slow", 3.0, 1, 60.0), ("quick", 3.0, 5, 5.0)];
    let cases: &[Case] = &[
        ("6 + 30 before 60 + 0", Rule::Least, 20.0, NEAR_AND_LONG, Ok(("near", 36.0))),
        ("nearest", Rule::Nearest, 20.0, NEAR_AND_LONG, Ok(("near", 36.0))),
        ("shortest", Rule::Shortest, 20.0, NEAR_AND_LONG, Ok(("far", 60.0))),
        ("its own rate", Rule::Least, 20.0, SLOW_AND_QUICK, Ok(("quick", 31.0))),
        ("shortest is slow", Rule::Shortest, 20.0, SLOW_AND_QUICK, Ok(("slow", 66.0))),
        ("nobody there", Rule::Least, 20.0, &[], Err(Reason::NoStation)),
        ("just in reach", Rule::Least, 20.0, &[("a", 40.0, 0, 1.0)], Ok(("a", 80.0))),
        ("out of reach", Rule::Least, 19.9, &[("a", 40.0, 0, 1.0)], Err(Reason::OutOfReach)),
        ("one place left", Rule::Least, 20.0, &[("a", 3.0, 14, 1.0)], Ok(("a", 20.0))),
        ("full", Rule::Least, 20.0, &[("a", 3.0, 15, 1.0)], Err(Reason::Full)),
        (
            "full, and another out of reach",
            Rule::Least,
            20.0,
            &[("a", 3.0, 15, 1.0), ("b", 50.0, 0, 1.0)],
            Err(Reason::Full),
        ),
        (
            "the same minutes: the nearer one",
            Rule::Least,
            20.0,
            &[("a", 6.0, 0, 1.0), ("b", 3.0, 2, 3.0)],
            Ok(("b", 12.0)),
        ),
        (
            "the same distance, too: the first by name",
            Rule::Least,
            20.0,
            &[("b", 3.0, 0, 1.0), ("a", -3.0, 0, 1.0)],
            Ok(("a", 6.0)),
        ),
    ];
    for (what, rule, battery, rows, expected) in cases {
        let expected = expected.map(|(station, minutes)| (station.to_owned(), minutes));
        assert_eq!(chosen(*rule, &ask(*battery), rows), expected, "{what}");
    }
}

#[test]
fn who_refused_it_is_not_asked_again() {
    let rows: &[Row] = &[("a", 3.0, 0, 1.0), ("b", 6.0, 0, 1.0)];
    let mut asked = ask(20.0);
    asked.except = vec![id("a")];
    assert_eq!(chosen(Rule::Least, &asked, rows), Ok(("b".to_owned(), 12.0)));
    asked.except.push(id("b"));
    assert_eq!(chosen(Rule::Least, &asked, rows), Err(Reason::Full));
}

fn station(name: &str, longitude: f64, queue: u32) -> Station {
    Station {
        station: id(name),
        at: At { latitude: 0.0, longitude },
        queue,
        is_charging: false,
        minutes_per_car: 1.0,
        is_online: true,
    }
}

fn best(atlas: &mut Atlas, now: u64) -> Result<String, Reason> {
    let offer = atlas.choose(Rule::Least, Millis(now), &ask(20.0), None);
    offer.map(|offer| offer.station.to_string())
}

#[test]
fn a_silent_station_does_not_count() {
    let mut atlas = Atlas::default();
    atlas.hear_state(Millis(0), &station("a", 1.0, 0));
    assert_eq!(best(&mut atlas, SILENT_MS_MAX - 1), Ok("a".to_owned()));
    assert_eq!(best(&mut atlas, SILENT_MS_MAX), Err(Reason::NoStation));
    atlas.hear_state(Millis(SILENT_MS_MAX), &station("a", 1.0, 0));
    assert_eq!(best(&mut atlas, SILENT_MS_MAX), Ok("a".to_owned()));
}

/// A late message of the other kind does not bring it back.
#[test]
fn a_station_whose_will_was_heard_does_not_count() {
    let mut atlas = Atlas::default();
    let queue = Queue { station: id("a"), at: At { latitude: 0.0, longitude: 1.0 }, queue: 0 };
    atlas.hear_queue(Millis(0), &queue);
    assert_eq!(best(&mut atlas, 0), Ok("a".to_owned()), "one in the wild has no state");
    atlas.hear_state(Millis(1), &Station { is_online: false, ..station("a", 1.0, 0) });
    assert_eq!(best(&mut atlas, 1), Err(Reason::NoStation));
    atlas.hear_queue(Millis(2), &queue);
    assert_eq!(best(&mut atlas, 2), Err(Reason::NoStation));
}

#[test]
fn a_server_knows_so_many_stations_and_makes_room() {
    let mut atlas = Atlas::default();
    for number in 0..10_001 {
        atlas.hear_state(Millis(0), &station(&format!("p{number}"), 9.0, 0));
    }
    assert_eq!(atlas.stations().len(), 10_000);
    atlas.hear_state(Millis(SILENT_MS_MAX), &station("new", 9.0, 0));
    assert_eq!(best(&mut atlas, SILENT_MS_MAX), Ok("new".to_owned()));
    assert_eq!(atlas.stations().len(), 1, "those that are silent were forgotten");
}

#[test]
fn a_quadrant_has_its_own_stations() {
    let mut atlas = Atlas::default();
    atlas.hear_state(Millis(0), &station("right", 5.0, 0));
    atlas.hear_state(Millis(0), &station("left", -1.0, 0));
    let mut within = |number| {
        let quadrant = Quadrant::new(number);
        let offer = atlas.choose(Rule::Least, Millis(0), &ask(20.0), quadrant);
        offer.map(|offer| offer.station.to_string())
    };
    assert_eq!(within(1), Ok("right".to_owned()));
    assert_eq!(within(2), Ok("left".to_owned()));
    assert_eq!(within(3), Err(Reason::NoStation));
    let clockwise: Vec<u8> = Quadrant::ALL[1].clockwise().map(Quadrant::number).collect();
    assert_eq!(clockwise, [2, 1, 4, 3]);
}

proptest! {
    /// The rule once more, as one would say it: of those that will do, none is before the one.
    #[test]
    fn nobody_would_have_been_better(
        rows in prop::collection::vec((-8_i32..8, -8_i32..8, 0_u32..18, 1_u32..4), 0..24),
        battery in 0_u32..7, excepted in 0_usize..24,
    ) {
        let ids: Vec<Id> = (0..rows.len()).map(|number| id(&format!("p{number:02}"))).collect();
        let mut asked = ask(f64::from(battery));
        asked.except = ids.get(excepted).cloned().into_iter().collect();
        let candidates: Vec<Candidate<'_>> = rows.iter().zip(&ids).map(|(row, station)| Candidate {
            station,
            at: At { latitude: f64::from(row.0), longitude: f64::from(row.1) },
            queue: row.2,
            minutes_per_car: f64::from(row.3),
        }).collect();
        let fits = |c: &&Candidate<'_>| {
            let is_near = asked.at.distance(c.at) <= 2.0 * asked.battery;
            c.queue < 15 && is_near && !asked.except.contains(c.station)
        };
        let minutes = |c: &Candidate<'_>| {
            asked.at.distance(c.at) * 2.0 + f64::from(c.queue) * c.minutes_per_car
        };
        for rule in [Rule::Least, Rule::Nearest, Rule::Shortest] {
            let offer = choose(rule, &asked, candidates.iter().copied());
            let will_do: Vec<&Candidate<'_>> = candidates.iter().filter(fits).collect();
            let Ok(offer) = offer else {
                prop_assert!(will_do.is_empty());
                continue;
            };
            let key = |c: &Candidate<'_>| {
                let first = match rule {
                    Rule::Least => minutes(c),
                    Rule::Nearest => asked.at.distance(c.at),
                    Rule::Shortest => f64::from(c.queue),
                };
                (first, asked.at.distance(c.at), c.station.clone())
            };
            let chosen = will_do.iter().find(|c| *c.station == offer.station);
            let chosen = key(chosen.expect("it is one of those that will do"));
            prop_assert!(will_do.iter().all(|c| chosen <= key(c)));
        }
    }
}

/// Two ask in the same moment, before the station can say that its queue has grown.
#[test]
fn not_all_are_sent_to_the_same_station_at_once() {
    let mut atlas = Atlas::default();
    atlas.hear_state(Millis(0), &station("a", 1.0, 0));
    atlas.hear_state(Millis(0), &station("b", 1.2, 0));
    let sent: Vec<_> = (0..3).map(|_| best(&mut atlas, 0).unwrap()).collect();
    assert_eq!(sent, ["a", "b", "a"]);
    // What it says of itself counts.
    atlas.hear_state(Millis(1), &station("a", 1.0, 0));
    assert_eq!(best(&mut atlas, 1), Ok("a".to_owned()));
}
