//! The simulation without a network (charging spec: Parts, simulate).

use crate::chat_live::MALHA;
use crate::harness::{Program, WAIT, run, until_at_most};
use malha::charging::roles::choice::Rule;
use malha::charging::simulate::agenda::Agenda;
use malha::charging::simulate::figures::table;
use malha::charging::simulate::{Plan, fast};
use malha::net::clock::Millis;
use malha::net::stop::{Stop, stop_pair};
use proptest::prelude::*;

const PLAN: Plan =
    Plan { stations: 40, vehicles: 800, seconds: 150, seed: 7, minutes_per_car: None };

fn simulate(plan: &Plan) -> Vec<String> {
    let figures = fast::run(plan, Rule::Least, &Stop::never(), &|| {}).unwrap();
    table(&[("least", figures)])
}

#[test]
fn the_same_seed_gives_the_same_table() {
    let first = simulate(&PLAN);
    assert_eq!(first, simulate(&PLAN));
    assert_ne!(first, simulate(&Plan { seed: 8, ..PLAN }));
}

#[test]
fn the_rule_beats_the_others_and_all_are_charged_again_and_again() {
    let columns = fast::compare(&PLAN, &Stop::never(), &|| {}).unwrap().unwrap();
    let [least, nearest, shortest] = [0, 1, 2].map(|number: usize| &columns[number].1);
    // A cycle takes about 60 s.
    assert!(least.charges > 1_200, "{} charges", least.charges);
    assert!(nearest.wait_mean() > 1.3 * least.wait_mean(), "{:#?}", table(&columns));
    assert!(shortest.wait_mean() > 1.02 * least.wait_mean(), "{:#?}", table(&columns));
    assert!(least.charges >= nearest.charges);
    let all = least.waiting + least.stranded;
    assert!(all < 300, "{all} of 800 are not driving");
}

#[test]
fn a_simulation_can_be_stopped() {
    let (stopper, stop) = stop_pair();
    drop(stopper);
    assert_eq!(fast::run(&PLAN, Rule::Least, &stop, &|| {}), None);
}

/// However many take part, none has a name twice, and stations are as quick as the plan says.
#[test]
fn a_plan_is_what_it_says() {
    let plan = Plan { stations: 500, vehicles: 500, minutes_per_car: Some(10.0), ..PLAN };
    let stations: Vec<_> = plan.stations().collect();
    let mean = stations.iter().map(|setup| setup.minutes_per_car).sum::<f64>() / 500.0;
    assert!((9.5..10.5).contains(&mean), "{mean} minutes");
    assert!(stations.iter().all(|setup| (5.0..=15.0).contains(&setup.minutes_per_car)));
    let mut ids: Vec<_> = plan.vehicles().map(|setup| setup.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 500);
    let one = Plan { stations: 1, vehicles: 1, minutes_per_car: None, ..PLAN };
    assert!(one.minutes_per_car() <= 1_440.0);
}

#[test]
fn the_program_prints_a_table_with_three_columns() {
    let args = ["charging", "simulate", "--fast", "--stations", "20", "--vehicles", "200"];
    let args = [&args[..], &["--seconds", "60", "--seed", "3"]].concat();
    let (code, out, err) = run(MALHA, &args, "");
    assert_eq!((code, &err[..]), (Some(0), &[][..]));
    assert!(out[0].starts_with("20 stations, 200 vehicles, 60 s"), "{out:#?}");
    let heads = out[1].split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(heads, "least minutes nearest shortest queue");
    assert!(out.iter().any(|line| line.starts_with("wait, p95")), "{out:#?}");
    assert!(out.last().unwrap().starts_with("wait, times that of our rule"));
    assert_eq!(run(MALHA, &args, "").1, out, "the same table twice");
}

#[test]
fn the_program_can_be_interrupted() {
    let args = ["charging", "simulate", "--fast", "--seconds", "604800"];
    let mut program = Program::start(MALHA, &args);
    program.prints_one("the plan", |line| line.contains("stations"));
    program.signal("-INT");
    assert_eq!(program.complains(), "error: cannot show a table: the simulation was stopped");
    program.exits(1);
}

/// Over our own broker; then the same plan on a simulated clock, to compare with.
#[test]
fn live_it_prints_what_was_beside_what_was_simulated() {
    let args = ["charging", "simulate", "--stations", "12", "--vehicles", "120"];
    let args = [&args[..], &["--seconds", "14", "--minutes-per-car", "2"]].concat();
    let mut program = Program::start(MALHA, &args);
    let (code, out, err) = until_at_most(3 * WAIT, "its end", || program.has_ended());
    assert_eq!((code, &err[..]), (Some(0), &[][..]));
    assert!(out[1].starts_with("broker on 127.0.0.1:"), "{out:#?}");
    let heads = out[2].split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(heads, "live least minutes nearest shortest queue");
    let charges = out.iter().find(|line| line.starts_with("charges")).unwrap();
    let live: u64 = charges.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(live > 0, "nobody was charged: {out:#?}");
}

#[test]
fn live_it_can_be_interrupted_and_says_what_was() {
    let mut program = Program::start(MALHA, &["charging", "simulate", "--stations", "5"]);
    program.prints_one("the broker", |line| line.starts_with("broker on "));
    program.signal("-INT");
    program.prints_one("the table", |line| line.split_whitespace().eq(["live"]));
    program.exits(0);
}

proptest! {
    /// As a list that is sorted by time would have it, and is not changed otherwise.
    #[test]
    fn an_agenda_keeps_the_order(
        steps in prop::collection::vec((0_u64..40_000, 0_u64..9_000), 1..80),
    ) {
        let (mut agenda, mut list) = (Agenda::new(), Vec::new());
        let mut now = 0;
        for (number, (ahead, pass)) in steps.into_iter().enumerate() {
            agenda.add(Millis(now + ahead), number);
            list.push((now + ahead, number));
            list.sort_by_key(|(at, _)| *at);
            now += pass;
            while let Some((at, number)) = agenda.next(Millis(now)) {
                prop_assert_eq!((at.0, number), list.remove(0));
            }
            prop_assert!(list.iter().all(|(at, _)| *at > now));
        }
    }
}
