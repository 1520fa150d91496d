//! A server that is asked one question at a time, and owes an answer; on the value alone.

use crate::value::check;

/// Two clients, and a peer without terminators.
const LINKED: &str = r"
        a opens
        a> REQ_ADD
        a< RES_ADD(1)
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
        p opens peer
        p>> REQ_ADDPEER
        p<< RES_ADDPEER(2)
        p>> RES_ADDPEER(1)
";

#[track_caller]
pub fn check_linked(text: &str) {
    check(&format!("{LINKED}{text}"));
}

/// It takes what one `recv` brings for one message.
#[test]
fn a_peer_without_terminators_is_asked_one_question_at_a_time() {
    check_linked(
        r"
        a> REQ_ES
        b> REQ_EP
        p<< REQ_ES
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        p<< REQ_EP
        p>> RES_EP(external 2 potency: 5)
        b< RES_EP(external 2 potency: 5)
    ",
    );
}

/// Sent before the late answer has come, the next question could be read together with the first.
#[test]
fn a_peer_without_terminators_that_is_late_is_asked_again_once_it_has_answered() {
    check_linked(
        r"
        a> REQ_EP
        p<< REQ_EP
        at 2000
        a< ERROR(03)
        a> REQ_EP
        p>> RES_EP(external 2 potency: 1)
        p<< REQ_EP
        p>> RES_EP(external 2 potency: 2)
        a< RES_EP(external 2 potency: 2)
    ",
    );
}

/// Both clients ask together, and the peer's answer is lost or late.
const OWES: &str = r"
        a> REQ_EP
        p<< REQ_EP
        at 100
        b>> REQ_ES\nREQ_ES\nREQ_ES\n
        at 2000
        a< ERROR(03)
        at 2100
        b<< ERROR(03)\nERROR(03)\nERROR(03)\n
";

/// What waited with it was never asked, so it says nothing about the peer.
#[test]
fn one_answer_that_is_late_ends_no_link_however_many_wait_behind_it() {
    check_linked(&format!(
        r"{OWES}
        at 2500
        p>> RES_EP(external 2 potency: 1)
        b> REQ_ES
        p<< REQ_ES
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        b< RES_ES(external 2 sensor 0: 1 (1 100))
    "
    ));
}

/// Nor is it asked while it owes an answer, so silence is counted by what waits all of its time.
#[test]
fn a_peer_that_is_asked_one_at_a_time_and_stays_silent_is_given_up() {
    check_linked(&format!(
        r"{OWES}
        b>> REQ_ES\nREQ_ES\n
        at 4100
        b<< ERROR(03)\nERROR(03)\n
        a> REQ_EP
        at 6099
        at 6100
        a< ERROR(03)
        p ends
        prints Peer 2 disconnected
    "
    ));
}

/// What is over one moment after it went was perhaps not read yet.
#[test]
fn a_peer_is_not_asked_again_before_it_had_time_for_a_question() {
    check_linked(
        r"
        a> REQ_ES
        p<< REQ_ES
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        a> REQ_EP
        p<< REQ_EP
        at 1
        b> REQ_ES
        at 1900
        p>> RES_EP(external 2 potency: 5)
        a< RES_EP(external 2 potency: 5)
        p<< REQ_ES
        a> REQ_EP
        at 2001
        b< ERROR(03)
        at 2899
        at 2900
        p<< REQ_EP
    ",
    );
}

/// A question was read as one with what stood before it, and is over.
const LOST: &str = r"
        a> REQ_ES
        p<< REQ_ES
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        a> REQ_ES
        p<< REQ_ES
        at 2000
        a< ERROR(03)
        a> REQ_ES
        p<< REQ_EP
";

#[test]
fn a_peer_that_has_lost_a_question_is_asked_again() {
    check_linked(&format!(
        r"{LOST}
        p>> RES_EP(external 2 potency: 5)
        p<< REQ_ES
        p>> RES_ES(external 2 sensor 0: 2 (2 100))
        a< RES_ES(external 2 sensor 0: 2 (2 100))
    "
    ));
}

/// What looks lost may be late; then it is nobody's answer.
#[test]
fn a_peer_that_has_lost_nothing_is_seen_to_be_late() {
    check_linked(&format!(
        r"{LOST}
        p>> RES_ES(external 2 sensor 0: 1 (1 100))
        p>> RES_EP(external 2 potency: 5)
        p<< REQ_ES
        p>> RES_ES(external 2 sensor 0: 2 (2 100))
        a< RES_ES(external 2 sensor 0: 2 (2 100))
    "
    ));
}
