//! How a link ends with a goodbye, on the value alone.

use crate::grid_link::{PEER, check_linked, linked, peer_says};
use crate::grid_trial::TRIAL;
use crate::value::{SENSORS, check};
use malha::grid::limits::{HOLD_MS, PEER_MS_MAX};
use malha::grid::protocol::{Message, Query, Scope};
use malha::grid::state::{Command, Effect, Event, Exit, Setup, Side, State};
use malha::net::clock::Millis;

#[test]
fn who_leaves_says_its_own_id_and_waits_for_the_answer() {
    check_linked(
        r"
        types kill
        p< REQ_DCPEER(1)
        a> REQ_LP
        a< RES_LP(local 1 potency: 1940)
        p> OK(01)
        prints Successful disconnect
        prints Peer 2 disconnected
        exits 0
        a ends
    ",
    );
}

#[test]
fn who_is_left_answers_and_listens_again() {
    check_linked(
        r"
        p> REQ_DCPEER(2)
        p< OK(01)
        p ends
        prints Peer 2 disconnected
        prints No peer found, starting to listen..
        a> REQ_ES
        a< ERROR(03)
        a> REQ_LP
        a< RES_LP(local 0 potency: 1940)
        q opens peer
        q> REQ_ADDPEER
        q< RES_ADDPEER(2)
        q> RES_ADDPEER(1)
        prints Peer 2 connected
        prints New Peer ID: 1
        a> REQ_EP
        q< REQ_EP
        q> RES_EP(external 2 potency: 7)
        a< RES_EP(external 2 potency: 7)
    ",
    );
}

#[test]
fn a_dialer_that_is_left_listens() {
    check(
        "p listens\np< REQ_ADDPEER\np> RES_ADDPEER(2)\np< RES_ADDPEER(1)\np> REQ_DCPEER(1)\n\
           p< OK(01)\np ends\nprints New Peer ID: 2\nprints Peer 1 connected\n\
           prints Peer 1 disconnected\nprints No peer found, starting to listen..\n\
           q opens peer\nq> REQ_ADDPEER\nq< RES_ADDPEER(2)",
    );
}

#[test]
fn a_wrong_id_does_not_end_the_link() {
    check_linked(
        r"
        p> REQ_DCPEER(1)
        p< ERROR(03)
        p> REQ_DCPEER(9)
        p< ERROR(03)
        p> REQ_EP
        p< RES_EP(external 1 potency: 1940)
    ",
    );
}

#[test]
fn both_may_leave_at_once() {
    check_linked(
        r"
        types kill
        p< REQ_DCPEER(1)
        p> REQ_DCPEER(2)
        at 10
        p< OK(01)
        p> OK(01)
        prints Successful disconnect
        prints Peer 2 disconnected
        exits 0
        p ends
    ",
    );
}

/// One `recv` of its own for the answer to its goodbye, too; what it says behind that is not heard.
#[test]
fn who_leaves_is_told_so_when_it_has_read_our_question() {
    check_linked(
        r"
        a> REQ_ES
        p< REQ_ES
        at 3
        p> REQ_EP
        p> REQ_DCPEER(2)
        p> REQ_EP
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
        b> REQ_ES
        b< ERROR(03)
        q opens peer
        q> REQ_ADDPEER
        q ends
        at 10
        p< RES_EP(external 1 potency: 1940)
        at 20
        p< OK(01)
        p ends
        a< ERROR(03)
        prints Peer 2 disconnected
    ",
    );
}

#[test]
fn who_leaves_and_does_not_wait_for_the_answer_has_left() {
    check_linked(
        r"
        a> REQ_ES
        p< REQ_ES
        p> REQ_DCPEER(2)
        p closes
        a< ERROR(03)
        prints Peer 2 disconnected
        prints No peer found, starting to listen..
        q opens peer
        q> REQ_ADDPEER
        q< RES_ADDPEER(2)
        at 20
    ",
    );
}

/// What it says before it was told goodbye is no answer to that.
#[test]
fn who_leaves_waits_for_the_answer_to_its_goodbye() {
    for early in ["ERROR(05)", "OK(01)"] {
        check_linked(&format!(
            r"
            p> REQ_EP
            p< RES_EP(external 1 potency: 1940)
            types kill
            at 5
            p> {early}
            at 9
            at 10
            p< REQ_DCPEER(1)
            p> REQ_ES
            p> ERROR(03)
            p< RES_ES(external 1 sensor 1: 720 (900 80))
            prints Peer not found
            prints Peer 2 disconnected
            exits 0"
        ));
    }
}

/// Closed behind a goodbye, a link is not lost; closed without one it is.
#[test]
fn only_links_without_a_goodbye_count_as_lost() {
    for (said, lost) in [(&[Message::ReqDcPeer(2)][..], 0), (&[], 1)] {
        let mut state = linked(&[Query::Sensor(Scope::External)]);
        for event in [peer_says(said), Event::PeerClosed(PEER)] {
            state.handle(Millis(0), event);
        }
        assert_eq!(state.counters().links_lost, lost);
    }
}

#[test]
fn who_is_left_may_leave_before_it_has_said_so() {
    check_linked(
        r"
        a> REQ_ES
        p< REQ_ES
        p> REQ_DCPEER(2)
        types kill
        at 9
        at 10
        p< OK(01)
        p ends
        a< ERROR(03)
        prints Peer 2 disconnected
        exits 0
    ",
    );
}

#[test]
fn a_goodbye_that_nobody_answers_ends_all_the_same() {
    check_linked(
        "types kill\np< REQ_DCPEER(1)\nat 1999\na> REQ_LP\na< RES_LP(local 1 potency: 1940)\n\
                  at 2000\nprints Peer 2 disconnected\nexits 0",
    );
    check_linked("types kill\np< REQ_DCPEER(1)\np closes\nprints Peer 2 disconnected\nexits 0");
    // Typed twice, it is still one goodbye.
    check_linked(
        "types kill\np< REQ_DCPEER(1)\ntypes kill\np> OK(01)\nprints Successful disconnect\n\
         prints Peer 2 disconnected\nexits 0",
    );
}

#[test]
fn who_comes_while_we_leave_is_sent_away() {
    check_linked(
        "q opens peer\ntypes kill\np< REQ_DCPEER(1)\nr opens peer\nr ends\nq> REQ_ADDPEER\n\
         q ends\np> OK(01)\nexits 0",
    );
}

/// Whatever it says to our goodbye, we go.
#[test]
fn a_goodbye_that_is_refused_is_one_all_the_same() {
    check_linked(
        "types kill\np< REQ_DCPEER(1)\np> ERROR(03)\nprints Peer not found\n\
         prints Peer 2 disconnected\nexits 0",
    );
}

/// The question that would end a trial, too.
#[test]
fn nothing_is_asked_behind_a_goodbye() {
    check_linked(&format!(
        r"{TRIAL}
        types kill
        at 10
        p< REQ_DCPEER(1)
        at 1500
        p> OK(01)
        a<< ERROR(03)\nERROR(03)\nERROR(03)\nERROR(03)\n
        prints Peer 2 disconnected
        exits 0"
    ));
}

/// Who hangs up first keeps the port. That matters where it is the peer port, and somebody stays to
/// listen there.
#[test]
fn the_other_server_hangs_up_first_if_we_had_the_peer_port_and_it_stays() {
    let sensors = malha::grid::sensors::parse(SENSORS).unwrap();
    let mut dialed = State::new(Setup { sensors, peer_ms_max: PEER_MS_MAX, may_dial: true });
    dialed.handle(Millis(0), Event::PeerOpened(PEER, Side::Dialed));
    dialed.handle(Millis(0), peer_says(&[Message::ResAddPeer(2)]));
    let leaves_too = [Message::ReqDcPeer(2), Message::Done];
    for (mut state, answer, is_first) in [
        (linked(&[]), &[Message::Done][..], true),
        (linked(&[]), &leaves_too[..], false),
        (dialed, &[Message::Done][..], false),
    ] {
        let mut told = state.handle(Millis(0), Event::Typed(Command::Kill));
        told.extend(state.handle(Millis(HOLD_MS), Event::Tick));
        let is_goodbye =
            |effect: &Effect| matches!(effect, Effect::Tell(_, Message::ReqDcPeer(_), _));
        assert!(told.iter().any(is_goodbye), "{told:?}");
        let effects = state.handle(Millis(HOLD_MS), peer_says(answer));
        assert!(effects.contains(&Effect::End(Exit::Done)), "{effects:?}");
        assert_eq!(effects.contains(&Effect::LetGoFirst(PEER)), is_first, "{effects:?}");
    }
}
