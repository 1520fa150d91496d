//! What goes to a server that may take one `recv` for one message goes when it has read the rest
//! (`grid/state/pace.rs`); on the value alone.

use crate::grid_link::{PEER, linked, peer_says};
use crate::grid_owed::check_linked;
use malha::grid::limits::{HOLD_MS, TO_TELL_MAX};
use malha::grid::protocol::{Message, Query, Reading, Scope, Terminator};
use malha::grid::state::{Effect, Event};
use malha::net::clock::Millis;

/// It might read the answer and the question as one, and would take the answer only.
#[test]
fn a_peer_without_terminators_is_asked_a_moment_after_it_was_answered() {
    check_linked(
        r"
        p>> REQ_EP
        p<< RES_EP(external 1 potency: 1940)
        a> REQ_ES
        at 9
        at 10
        p<< REQ_ES
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
    ",
    );
}

/// Nor does it wait for ever where that one asks all the time. Then the answer waits.
#[test]
fn a_peer_that_asks_all_the_time_is_asked_too() {
    check_linked(
        r"
        p>> REQ_EP
        p<< RES_EP(external 1 potency: 1940)
        a> REQ_ES
        at 5
        p>> REQ_EP
        p<< RES_EP(external 1 potency: 1940)
        at 10
        p>> REQ_EP
        p<< REQ_ES
        at 11
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        p<< RES_EP(external 1 potency: 1940)
    ",
    );
}

/// Also if it asks what nobody can answer.
#[test]
fn a_peer_that_talks_nonsense_all_the_time_is_asked_too() {
    check_linked(
        r"
        p>> REQ_DCPEER(7)
        p<< ERROR(03)
        a> REQ_ES
        at 5
        p>> REQ_DCPEER(7)
        p<< ERROR(03)
        at 10
        p>> REQ_DCPEER(7)
        p<< REQ_ES
        at 11
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        p<< ERROR(03)
    ",
    );
}

/// Also if it asks while it is at work at our questions, and our clients always ask.
#[test]
fn a_peer_that_asks_at_work_is_answered_in_between() {
    check_linked(
        r"
        a> REQ_ES
        p<< REQ_ES
        at 1
        b>> REQ_ES\nREQ_ES\nREQ_ES\n
        at 2
        p>> REQ_EP
        at 8
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        p<< RES_EP(external 1 potency: 1940)
        at 12
        p>> REQ_EP
        p<< REQ_ES
        at 14
        p>> REQ_EP
        at 20
        p>> RES_ES(external 2 sensor 0: 2 (2 100))
        p<< RES_EP(external 1 potency: 1940)
        at 21
        p>> REQ_EP
        p<< RES_EP(external 1 potency: 1940)
        at 23
        p>> REQ_EP
        p<< REQ_ES
        at 24
        p>> RES_ES(external 2 sensor 0: 3 (3 100))
        p<< RES_EP(external 1 potency: 1940)
        at 34
        p<< RES_EP(external 1 potency: 1940)
    ",
    );
}

/// It might read the question and the answer as one, and would take the question only.
#[test]
fn a_peer_without_terminators_is_answered_when_it_has_answered() {
    check_linked(
        r"
        a> REQ_ES
        p<< REQ_ES
        p>> REQ_EP
        at 1
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        p<< RES_EP(external 1 potency: 1940)
    ",
    );
}

/// What has waited together goes one by one: when it speaks again, or a moment later.
#[test]
fn a_peer_that_has_asked_twice_meanwhile_is_answered_twice() {
    check_linked(
        r"
        a> REQ_ES
        p<< REQ_ES
        at 1
        p>> REQ_EP
        at 2
        p>> REQ_ES
        at 3
        p>> REQ_EP
        at 4
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        p<< RES_EP(external 1 potency: 1940)
        at 5
        p>> REQ_LP
        p<< RES_ES(external 1 sensor 1: 720 (900 80))
        at 14
        at 15
        p<< RES_EP(external 1 potency: 1940)
        at 25
        p<< ERROR(05)
    ",
    );
}

/// Who asks and asks without waiting for answers can tell them apart.
#[test]
fn a_peer_that_asks_many_times_meanwhile_is_answered_at_once() {
    let asks = "p>> REQ_EP\n".repeat(TO_TELL_MAX + 1);
    let answers = "p<< RES_EP(external 1 potency: 1940)\n".repeat(TO_TELL_MAX + 1);
    check_linked(&format!("a> REQ_ES\np<< REQ_ES\nat 1\n{asks}{answers}at 2"));
}

/// Its own clients are not to wait because it is slow.
#[test]
fn a_peer_that_does_not_answer_is_answered_a_moment_later() {
    check_linked(
        r"
        a> REQ_ES
        p<< REQ_ES
        at 3
        p>> REQ_EP
        at 9
        at 10
        p<< RES_EP(external 1 potency: 1940)
        at 50
        p>> REQ_EP
        p<< RES_EP(external 1 potency: 1940)
    ",
    );
}

/// What it was told while it was at work it reads when it has answered.
#[test]
fn a_peer_that_was_told_something_at_work_is_asked_a_moment_after_it_has_answered() {
    check_linked(
        r"
        a> REQ_ES
        p<< REQ_ES
        at 50
        p>> REQ_EP
        p<< RES_EP(external 1 potency: 1940)
        b> REQ_ES
        at 90
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        at 99
        at 100
        p<< REQ_ES
    ",
    );
}

/// The goodbye, too, is to be read alone.
#[test]
fn a_peer_is_told_goodbye_when_it_has_answered() {
    check_linked(
        r"
        a> REQ_ES
        p<< REQ_ES
        types kill
        at 1
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        p<< REQ_DCPEER(1)
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        p>> OK(01)
    ",
    );
}

/// Also where there was no question, but an answer.
#[test]
fn a_peer_is_told_goodbye_a_moment_after_it_was_answered() {
    check_linked(
        r"
        p>> REQ_EP
        p<< RES_EP(external 1 potency: 1940)
        types kill
        at 9
        at 10
        p<< REQ_DCPEER(1)
        p>> OK(01)
        prints Peer 2 disconnected
        exits 0
    ",
    );
}

/// It may take what one `recv` brings for one message also if it ends its own with a newline.
#[test]
fn an_answer_and_a_question_share_no_write_with_who_was_not_seen_to_read_both() {
    let (sensor, power) = (Query::Sensor(Scope::External), Query::Power(Scope::External));
    let mut state = linked(&[sensor, power]);
    let reading = Reading { network: 2, sensor: 0, useful: 1, power: 1, efficiency: 100 };
    let answer = Message::ResSensor(Scope::External, reading);
    let effects = state.handle(Millis(0), peer_says(&[answer, Message::Req(sensor)]));
    let is_answer = |effect: &Effect| matches!(effect, Effect::Tell(_, Message::ResSensor(..), _));
    assert!(is_answer(&effects[0]) && effects[1..] == [Effect::Apart(PEER)], "{effects:?}");
    assert!(state.handle(Millis(HOLD_MS - 1), Event::Tick).is_empty());
    let effects = state.handle(Millis(HOLD_MS), Event::Tick);
    let asks = Effect::Tell(PEER, Message::Req(power), Terminator::Lf);
    assert_eq!(effects, [asks, Effect::Apart(PEER)]);
}
