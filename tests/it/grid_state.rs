//! Clients and the own network, on the value alone (spec: Clients, Queries, Messages).

use crate::value::{check, check_with};
use malha::grid::sensors::{self, Sensor};
use malha::net::dice::Dice;
use std::collections::BTreeSet;

#[test]
fn a_client_joins_asks_and_leaves() {
    check(
        r"
        a opens
        a> REQ_ADD
        a< RES_ADD(1)
        a> REQ_LS
        a< RES_LS(local 0 sensor 1: 720 (900 80))
        a> REQ_LP
        a< RES_LP(local 0 potency: 1940)
        a> REQ_DC(1)
        a< OK(01)
        a ends
        prints No peer found, starting to listen..
        prints Client 1 added
        prints Client 1 removed
    ",
    );
}

#[test]
fn ids_are_the_lowest_free_from_1() {
    check(
        r"
        a opens
        b opens
        c opens
        b> REQ_ADD
        b< RES_ADD(1)
        a> REQ_ADD
        a< RES_ADD(2)
        c> REQ_ADD
        c< RES_ADD(3)
        a closes
        b> REQ_DC(1)
        b< OK(01)
        b ends
        d opens
        d> REQ_ADD
        d< RES_ADD(1)
        e opens
        e> REQ_ADD
        e< RES_ADD(2)
        f opens
        f> REQ_ADD
        f< RES_ADD(4)
    ",
    );
}

#[test]
fn joining_twice_gives_the_same_id() {
    check(
        r"
        a opens
        a> REQ_ADD
        a< RES_ADD(1)
        a> REQ_ADD()
        a< RES_ADD(1)
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
    ",
    );
}

#[test]
fn another_ones_id_does_not_leave() {
    check(
        r"
        a opens
        b opens
        a> REQ_ADD
        a< RES_ADD(1)
        b> REQ_ADD
        b< RES_ADD(2)
        a> REQ_DC(2)
        a< ERROR(04)
        a> REQ_DC(0)
        a< ERROR(04)
        b> REQ_LP
        b< RES_LP(local 0 potency: 1940)
        a> REQ_DC 01
        a< OK(01)
        a ends
    ",
    );
}

#[test]
fn who_has_not_joined_is_not_answered() {
    check(
        r"
        a opens
        a> REQ_LS
        a< ERROR(04)
        a> REQ_LP
        a< ERROR(04)
        a> REQ_ES
        a< ERROR(04)
        a> REQ_EP
        a< ERROR(04)
        a> REQ_MS
        a< ERROR(04)
        a> REQ_MN
        a< ERROR(04)
        a> REQ_DC(1)
        a< ERROR(04)
        a> REQ_ADD
        a< RES_ADD(1)
    ",
    );
}

#[test]
fn what_stands_behind_a_goodbye_is_answered_before_the_end() {
    check(
        r"
        a opens
        a>> REQ_ADD\nREQ_DC(1)\nREQ_LS\n
        a<< RES_ADD(1)\nOK(01)\nERROR(04)\n
        a ends
    ",
    );
}

#[test]
fn nonsense_is_told_and_does_not_end_the_connection() {
    check(
        r"
        a opens
        a> HELLO
        a< ERROR(05)
        a> REQ_ADD
        a< RES_ADD(1)
        a> REQ_DC(x)
        a< ERROR(05)
        a> REQ_DC(99999999999)
        a< ERROR(05)
        a> RES_LS(local 1 sensor 2: 3 (4 5))
        a< ERROR(05)
        a> req_ls
        a< ERROR(05)
        a> REQ_LP
        a< RES_LP(local 0 potency: 1940)
    ",
    );
}

#[test]
fn a_message_past_500_bytes_is_told_once_and_the_next_is_read() {
    for extra in [0, 1, 300, 5_000] {
        let long = "x".repeat(500 + extra);
        check(&format!(
            "a opens\na> REQ_ADD\na< RES_ADD(1)\na> {long}\na< ERROR(05)\n\
             a> REQ_LP\na< RES_LP(local 0 potency: 1940)"
        ));
    }
}

#[test]
fn without_a_peer_the_outside_is_not_found() {
    check(
        r"
        a opens
        a> REQ_ADD
        a< RES_ADD(1)
        a> REQ_ES
        a< ERROR(03)
        a> REQ_EP
        a< ERROR(03)
        a> REQ_MS
        a< ERROR(03)
        a> REQ_MN
        a< ERROR(03)
    ",
    );
}

#[test]
fn of_equal_sensors_the_lowest_id_wins() {
    let csv = "7,1000,10\n4,100,100\n9,200,50\n5,99,100\n";
    let text = "a opens\na> REQ_ADD\na< RES_ADD(1)\na> REQ_LS\n";
    check_with(csv, &format!("{text}a< RES_LS(local 0 sensor 4: 100 (100 100))"));
}

#[test]
fn useful_power_drops_its_fraction_sensor_by_sensor() {
    let csv = "0,199,50\n1,199,50\n2,1317,98\n";
    check_with(
        csv,
        "a opens\na> REQ_ADD\na< RES_ADD(1)\na> REQ_LP\na< RES_LP(local 0 potency: 1488)\n\
         a> REQ_LS\na< RES_LS(local 0 sensor 2: 1290 (1317 98))",
    );
}

#[test]
fn who_has_not_joined_in_10_s_is_sent_away_and_not_before() {
    check(
        r"
        a opens
        b opens
        b> REQ_ADD
        b< RES_ADD(1)
        at 5000
        c opens
        at 9999
        a> REQ_LS
        a< ERROR(04)
        at 10000
        a ends
        b> REQ_LP
        b< RES_LP(local 0 potency: 1940)
        at 14999
        c> REQ_ADD
        c< RES_ADD(2)
        at 60000
        c> REQ_LP
        c< RES_LP(local 0 potency: 1940)
    ",
    );
}

#[test]
fn ten_clients_have_a_place_and_one_more_is_refused() {
    let mut text = String::new();
    for id in 1..=10 {
        text += &format!("a{id} opens\na{id}> REQ_ADD\na{id}< RES_ADD({id})\n");
    }
    text += "x opens\nx<< ERROR(01)\nx ends\na4 closes\ny opens\ny> REQ_ADD\ny< RES_ADD(4)\n";
    check(&text);
}

#[test]
fn answers_end_as_the_questions_do() {
    for end in [r"\n", r"\r\n", r"\0", r"\n\0"] {
        check(&format!(
            "a opens\na>> REQ_ADD{end}\na<< RES_ADD(1){end}\na>> REQ_DC(01){end}\na<< OK(01){end}"
        ));
    }
    check("a opens\na>> REQ_ADD\na<< RES_ADD(1)\na>> REQ_LP\na<< RES_LP(local 0 potency: 1940)");
}

#[test]
fn the_last_terminator_seen_counts() {
    check(
        r"
        a opens
        a>> REQ_ADD
        a<< RES_ADD(1)
        a>> REQ_DC(9)\0
        a<< ERROR(04)\0
        a>> REQ_DC(9)\r\n
        a<< ERROR(04)\r\n
        a>> REQ_DC(9)
        a<< ERROR(04)\r\n
        a>> REQ_DC(9)\nREQ_DC(8)\n\0
        a<< ERROR(04)\n\0ERROR(04)\n\0
    ",
    );
}

#[test]
fn a_bare_acknowledgement_is_not_answered() {
    check(
        r"
        a opens
        a> REQ_ADD
        a< RES_ADD(1)
        a> 01
        a> REQ_DC(1)
        a< OK(01)
    ",
    );
    check("a opens\na>> REQ_ADD()\na<< RES_ADD(1)\na>> 01\na>> REQ_DC 1\na<< OK(01)\na ends");
}

#[test]
fn the_console_shows_sensors_clients_and_peer() {
    check(
        r"
        prints No peer found, starting to listen..
        types show sensors
        prints sensor 0: 500 (1000 50)
        prints sensor 1: 720 (900 80)
        prints sensor 2: 720 (720 100)
        types show clients
        prints no clients
        types show peer
        prints no peer
        a opens
        a> REQ_ADD
        a< RES_ADD(1)
        prints Client 1 added
        types   show   clients
        prints client 1 from 127.0.0.1:40000
    ",
    );
}

#[test]
fn a_server_without_a_link_ends_at_once() {
    check("a opens\na> REQ_ADD\na< RES_ADD(1)\ntypes kill\nexits 0\na ends");
}

/// All of them are drawn sooner or later, and nothing beyond.
#[test]
fn what_is_drawn_is_within_the_limits_and_reaches_them() {
    let draw = |seed| sensors::draw(&mut Dice::seeded(seed));
    let drawn: Vec<Vec<Sensor>> = (0..5_000).map(draw).collect();
    let ends = |of: &dyn Fn(&Sensor) -> u32| {
        let all = drawn.iter().flatten().map(of);
        (all.clone().min().unwrap(), all.max().unwrap())
    };
    let counts: BTreeSet<usize> = drawn.iter().map(Vec::len).collect();
    assert_eq!(counts, (3..=10).collect());
    assert_eq!(ends(&|sensor| sensor.power), (0, 1500));
    assert_eq!(ends(&|sensor| sensor.efficiency), (0, 100));
    assert!(drawn.iter().all(|sensors| (0..).zip(sensors).all(|(id, sensor)| sensor.id == id)));
}
