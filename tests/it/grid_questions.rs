//! Questions that go to the other server, on the value alone (spec: Queries; Life, 5).

use crate::grid_link::check_linked;

#[test]
fn the_six_questions_with_a_peer() {
    check_linked(
        r"
        a> REQ_LS
        a< RES_LS(local 1 sensor 1: 720 (900 80))
        a> REQ_LP
        a< RES_LP(local 1 potency: 1940)
        a> REQ_ES
        p< REQ_ES
        p> RES_ES(external 2 sensor 4: 900 (1000 90))
        a< RES_ES(external 2 sensor 4: 900 (1000 90))
        a> REQ_EP
        p< REQ_EP
        p> RES_EP(external 2 potency: 2000)
        a< RES_EP(external 2 potency: 2000)
        a> REQ_MS
        p< REQ_ES
        p> RES_ES(external 2 sensor 4: 900 (1000 90))
        a< RES_MS(global 2 sensor 4: 900 (1000 90))
        a> REQ_MN
        p< REQ_EP
        p> RES_EP(external 2 potency: 2000)
        a< RES_MN(global 2 potency: 2000)
    ",
    );
}

#[test]
fn the_better_network_wins_also_if_it_is_the_own() {
    check_linked(
        r"
        a> REQ_MS
        p< REQ_ES
        p> RES_ES(external 2 sensor 4: 719 (719 100))
        a< RES_MS(global 1 sensor 1: 720 (900 80))
        a> REQ_MN
        p< REQ_EP
        p> RES_EP(external 2 potency: 1939)
        a< RES_MN(global 1 potency: 1940)
        a> REQ_MN
        p< REQ_EP
        p> RES_EP(external 2 potency: 1941)
        a< RES_MN(global 2 potency: 1941)
    ",
    );
}

#[test]
fn many_questions_are_under_way_and_each_gets_its_own_answer() {
    check_linked(
        r"
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
        a>> REQ_ES\nREQ_LP\nREQ_EP\n
        b> REQ_EP
        p< REQ_ES
        at 100
        p< REQ_EP
        at 200
        p< REQ_EP
        b> REQ_LP
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        p> RES_EP(external 2 potency: 10)
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_LP(local 1 potency: 1940)
        a< RES_EP(external 2 potency: 10)
        p> RES_EP(external 2 potency: 20)
        b< RES_EP(external 2 potency: 20)
        b< RES_LP(local 1 potency: 1940)
    ",
    );
}

#[test]
fn both_ask_each_other_at_the_same_moment() {
    check_linked(
        r"
        a> REQ_ES
        p> REQ_ES
        p< REQ_ES
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        p< RES_ES(external 1 sensor 1: 720 (900 80))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
    ",
    );
}

#[test]
fn no_answer_in_2_s_is_told_at_2_s_and_not_before() {
    check_linked("a> REQ_ES\np< REQ_ES\nat 1999\nat 2000\na< ERROR(03)\nat 3000");
}

/// Also where the one before went late, and is over before the other server had time to read it.
/// Here an answer takes 99 ms.
#[test]
fn a_question_comes_so_long_after_the_one_before_as_two_answers_take() {
    let asked: String =
        (1..=20).map(|n| format!("at {}\np> ERROR(05)\np< REQ_ES\n", 99 * n)).collect();
    check_linked(&format!(
        r"
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
        a>> {}
        p< REQ_ES
        {asked}
        b> REQ_EP
        at 2000
        a<< {}{}
        at 2177
        at 2178
        p< REQ_EP",
        r"REQ_ES\n".repeat(21),
        r"ERROR(05)\n".repeat(20),
        r"ERROR(03)\n",
    ));
}

#[test]
fn a_late_answer_is_thrown_away_and_the_next_is_right() {
    check_linked(
        r"
        a> REQ_EP
        p< REQ_EP
        at 2000
        a< ERROR(03)
        a> REQ_EP
        p< REQ_EP
        p> RES_EP(external 2 potency: 11)
        p> RES_EP(external 2 potency: 22)
        a< RES_EP(external 2 potency: 22)
        a> REQ_ES
        p< REQ_ES
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
    ",
    );
}

#[test]
fn the_last_question_before_the_limit_is_answered() {
    check_linked(
        "a> REQ_EP\np< REQ_EP\nat 1999\np> RES_EP(external 2 potency: 9)\n\
                  a< RES_EP(external 2 potency: 9)",
    );
}

#[test]
fn an_answer_to_no_question_is_thrown_away() {
    check_linked(
        "p> RES_EP(external 2 potency: 1)\na> REQ_EP\np< REQ_EP\n\
                  p> RES_EP(external 2 potency: 2)\na< RES_EP(external 2 potency: 2)",
    );
}

#[test]
fn an_error_of_the_peer_is_passed_on() {
    check_linked(
        "a> REQ_EP\np< REQ_EP\np> ERROR(03)\na< ERROR(03)\na> REQ_LP\n\
                  a< RES_LP(local 1 potency: 1940)",
    );
}

const TIMED_OUT: &str = "a> REQ_EP\np< REQ_EP\nat 2000\na< ERROR(03)\na> REQ_EP\np< REQ_EP\n\
                         at 4000\na< ERROR(03)\na> REQ_EP\np< REQ_EP\n";

#[test]
fn three_timeouts_in_a_row_end_the_link() {
    check_linked(&format!(
        "{TIMED_OUT}at 6000\na< ERROR(03)\np ends\nprints Peer 2 disconnected\n\
         prints No peer found, starting to listen..\n\
         a> REQ_EP\na< ERROR(03)\nq opens peer\nq> REQ_ADDPEER\nq< RES_ADDPEER(2)\n\
         q> RES_ADDPEER(1)\na> REQ_EP\nq< REQ_EP\nq> RES_EP(external 2 potency: 5)\n\
         a< RES_EP(external 2 potency: 5)"
    ));
}

#[test]
fn an_answer_in_time_begins_the_count_anew() {
    let answers = "p> RES_EP(external 2 potency: 1)\np> RES_EP(external 2 potency: 2)\n\
                   p> RES_EP(external 2 potency: 3)\na< RES_EP(external 2 potency: 3)\n";
    check_linked(&format!(
        "{TIMED_OUT}{answers}a> REQ_EP\np< REQ_EP\nat 6000\na< ERROR(03)\n\
         p> REQ_MN\np< RES_MN(1 1940)"
    ));
}

#[test]
fn when_the_peer_dies_all_who_wait_are_told() {
    check_linked(
        r"
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
        a>> REQ_ES\nREQ_LP\nREQ_MN\n
        b> REQ_EP
        p< REQ_ES
        at 100
        p< REQ_EP
        at 200
        p< REQ_EP
        prints Client 2 added
        p closes
        a< ERROR(03)
        a< RES_LP(local 1 potency: 1940)
        a< ERROR(03)
        b< ERROR(03)
        prints Peer 2 disconnected
        prints No peer found, starting to listen..
        q opens peer
        q> REQ_ADDPEER
        q< RES_ADDPEER(2)
        q> RES_ADDPEER(1)
        b> REQ_EP
        q< REQ_EP
        q> RES_EP(external 2 potency: 5)
        b< RES_EP(external 2 potency: 5)
    ",
    );
}

#[test]
fn who_is_left_with_questions_open_tells_their_askers() {
    check_linked("a> REQ_ES\np< REQ_ES\np> REQ_DCPEER(2)\nat 10\np< OK(01)\na< ERROR(03)\np ends");
}

#[test]
fn an_answer_still_comes_through_while_leaving() {
    check_linked(
        "a> REQ_EP\np< REQ_EP\ntypes kill\nat 10\np< REQ_DCPEER(1)\n\
                  p> RES_EP(external 2 potency: 5)\na< RES_EP(external 2 potency: 5)\np> OK(01)\n\
                  prints Successful disconnect\nprints Peer 2 disconnected\nexits 0",
    );
}

#[test]
fn an_answer_of_the_wrong_kind_ends_the_link() {
    check_linked(
        "a> REQ_ES\np< REQ_ES\np> RES_EP(external 2 potency: 5)\na< ERROR(03)\np ends\n\
                  prints Peer 2 disconnected",
    );
}

#[test]
fn a_late_answer_of_the_wrong_kind_ends_the_link_too() {
    check_linked(
        "a> REQ_ES\np< REQ_ES\nat 2000\na< ERROR(03)\np> RES_EP(external 2 potency: 5)\np ends\n\
         prints Peer 2 disconnected",
    );
}

#[test]
fn an_asker_that_vanishes_takes_its_answer_with_it() {
    check_linked(
        r"
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
        b> REQ_EP
        a> REQ_EP
        p< REQ_EP
        at 100
        p< REQ_EP
        b closes
        p> RES_EP(external 2 potency: 1)
        p> RES_EP(external 2 potency: 2)
        a< RES_EP(external 2 potency: 2)
    ",
    );
}

/// The client that comes after gets the id, but not the answer.
#[test]
fn an_id_that_is_reused_does_not_get_the_old_answer() {
    check_linked(
        r"
        a> REQ_EP
        p< REQ_EP
        a closes
        c opens
        c> REQ_ADD
        c< RES_ADD(1)
        p> RES_EP(external 2 potency: 1)
        c> REQ_LP
        c< RES_LP(local 1 potency: 1940)
    ",
    );
}

/// What is missing in a turn says that nobody was there; what could be answered is answered.
#[test]
fn who_leaves_gives_all_turns_back_that_wait() {
    check_linked(
        r"
        a>> REQ_LP\nREQ_ES\nREQ_LP\n
        p< REQ_ES
        types kill
        at 10
        p< REQ_DCPEER(1)
        p> OK(01)
        a< RES_LP(local 1 potency: 1940)
        a< ERROR(03)
        a< RES_LP(local 1 potency: 1940)
        a ends
        exits 0
    ",
    );
}

/// What came behind the goodbye would be read by nobody, and a refusal of the goodbye be taken for
/// its answer.
#[test]
fn who_leaves_asks_nothing_more() {
    check_linked(
        r"
        a> REQ_ES
        p< REQ_ES
        c opens
        c> REQ_ADD
        c< RES_ADD(2)
        c> REQ_ES
        types kill
        c< ERROR(03)
        at 10
        p< REQ_DCPEER(1)
        b opens
        b> REQ_ADD
        b< RES_ADD(3)
        b> REQ_EP
        b< ERROR(03)
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        p> ERROR(03)
        prints Peer not found
        prints Peer 2 disconnected
        exits 0
    ",
    );
}

/// The goodbye and the questions before it are over at the same moment.
#[test]
fn a_link_that_is_hopeless_while_leaving_ends_once() {
    check_linked(
        r"
        a>> REQ_ES\nREQ_ES\nREQ_ES\n
        p< REQ_ES
        at 100
        p< REQ_ES
        at 200
        p< REQ_ES
        types kill
        at 210
        p< REQ_DCPEER(1)
        at 2000
        a<< ERROR(03)\nERROR(03)\nERROR(03)\n
        prints Peer 2 disconnected
        exits 0
    ",
    );
}

/// What was answered at the same moment is not lost.
#[test]
fn what_is_answered_with_the_goodbye_is_written_before_it() {
    check_linked(
        r"
        a>> REQ_LP\nREQ_ES\n
        p< REQ_ES
        types kill
        at 10
        p< REQ_DCPEER(1)
        p>> RES_ES(external 2 sensor 0: 1 (1 100))\nOK(01)\n
        a< RES_LP(local 1 potency: 1940)
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        a ends
        exits 0
    ",
    );
}
