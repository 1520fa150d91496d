//! How a server finds out how the other one reads, on the value alone (`grid/state/trial.rs`).

use crate::grid_link::check_linked;

/// What a peer that ends its messages with a newline is asked where many wait, once it has answered
/// both kinds: one question twice, in one write. Then it has shown how it reads.
pub const TRIAL: &str = r"
        a> REQ_ES
        p< REQ_ES
        p> RES_ES(external 2 sensor 0: 0 (0 100))
        a< RES_ES(external 2 sensor 0: 0 (0 100))
        a> REQ_EP
        p< REQ_EP
        p> RES_EP(external 2 potency: 1)
        a< RES_EP(external 2 potency: 1)
        a>> REQ_ES\nREQ_EP\nREQ_ES\nREQ_EP\n
        p<< REQ_ES\nREQ_ES\n
";
const TRIED: &str = r"
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_EP(external 2 potency: 2)
        a< RES_ES(external 2 sensor 0: 3 (3 100))
        a< RES_EP(external 2 potency: 4)
";

#[test]
fn who_reads_a_stream_is_asked_all_that_wait_at_once() {
    check_linked(&format!(
        r"{TRIAL}
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        p<< REQ_EP\nREQ_ES\nREQ_EP\n
        p> RES_EP(external 2 potency: 2)
        p> RES_ES(external 2 sensor 0: 3 (3 100))
        p> RES_EP(external 2 potency: 4)
        {TRIED}
        a>> REQ_ES\nREQ_EP\n
        p<< REQ_ES\nREQ_EP\n"
    ));
}

/// Whatever it makes of two questions in one `recv`, and however late: the first is answered, or
/// asked again alone. The answer to a question of the other kind shows that no more will come.
#[test]
fn who_takes_one_recv_for_one_message_is_asked_one_at_a_time() {
    let answer = "p> RES_ES(external 2 sensor 0: 1 (1 100))";
    let probed = "at 99\nat 100\np< REQ_EP\np> RES_EP(external 2 potency: 8)";
    let again = format!("{probed}\np< REQ_ES\n{answer}");
    for tried in [
        format!("{answer}\n{probed}"),
        format!("at 1500\n{answer}\np< REQ_EP\np> RES_EP(external 2 potency: 8)"),
        format!("p> ERROR(05)\n{again}"),
        format!("p> RES_EP(external 2 potency: 9)\n{again}"),
    ] {
        check_linked(&format!(
            "{TRIAL}{tried}
            p< REQ_EP
            at 1900
            p> RES_EP(external 2 potency: 2)
            p< REQ_ES
            p> RES_ES(external 2 sensor 0: 3 (3 100))
            p< REQ_EP
            p> RES_EP(external 2 potency: 4)
            {TRIED}"
        ));
    }
}

/// Nor where it asks us all the time, and is answered each time: then the question of the other
/// kind goes first.
#[test]
fn who_asks_all_the_time_is_asked_the_other_kind_too() {
    let inquiry = "p> REQ_MN\np< RES_MN(1 1940)";
    let ask = |at: u64| format!("at {at}\n{inquiry}\n");
    let busy: String = (970..1010).step_by(8).map(ask).collect();
    check_linked(&format!(
        r"{TRIAL}{busy}
        at 1010
        p> REQ_MN
        p< REQ_EP
        at 1011
        p> RES_EP(external 2 potency: 8)
        p< RES_MN(1 1940)
        at 1021
        p< REQ_ES"
    ));
}

/// One that reads a stream and is late with both, or with one, is not taken for another.
#[test]
fn who_is_late_with_an_answer_reads_a_stream_all_the_same() {
    let answer = "p> RES_ES(external 2 sensor 0: 1 (1 100))";
    let probe = "p> RES_EP(external 2 potency: 8)";
    let rest = r"p<< REQ_EP\nREQ_ES\nREQ_EP\n";
    for tried in [
        format!("at 900\n{answer}\n{answer}\n{rest}"),
        format!("at 1500\n{answer}\np< REQ_EP\n{answer}\n{rest}\n{probe}"),
        format!("at 600\n{answer}\nat 1000\np< REQ_EP\nat 1200\n{answer}\n{rest}\n{probe}"),
    ] {
        check_linked(&format!(
            r"{TRIAL}{tried}
            p> RES_EP(external 2 potency: 2)
            p> RES_ES(external 2 sensor 0: 3 (3 100))
            p> RES_EP(external 2 potency: 4)
            {TRIED}
            a>> REQ_ES\nREQ_EP\n
            p<< REQ_ES\nREQ_EP\n"
        ));
    }
}

/// It answers each with an error, and that is its answer.
#[test]
fn an_error_twice_is_the_answer() {
    check_linked(&format!(
        r"{TRIAL}
        p> ERROR(03)
        p> ERROR(03)
        p<< REQ_EP\nREQ_ES\nREQ_EP\n
        p closes
        a<< ERROR(03)\nERROR(03)\nERROR(03)\nERROR(03)\n"
    ));
}

/// Asked twice and silent, then asked a question of the other kind, and silent.
const SILENT: &str = r"
        at 999
        at 1000
        p< REQ_EP
        at 2000
        a<< ERROR(03)\nERROR(03)\nERROR(03)\nERROR(03)\n
        a> REQ_ES
        at 2500
";
const GOES_ON: &str = r"
        p> RES_ES(external 2 sensor 0: 5 (5 100))
        a< RES_ES(external 2 sensor 0: 5 (5 100))
        a> REQ_EP
        p< REQ_EP
";

/// It has missed one question, not two. Then it answers all, or one and the probe, or the probe
/// alone, and the next answer is right.
#[test]
fn who_answers_neither_in_time_has_missed_one_question() {
    let (answer, probe) =
        ("p> RES_ES(external 2 sensor 0: 1 (1 100))", "p> RES_EP(external 2 potency: 8)");
    for late in [
        format!("{answer}\n{answer}\np< REQ_ES\n{probe}"),
        format!("{answer}\n{probe}\np< REQ_ES"),
        format!("p> ERROR(05)\n{probe}\np< REQ_ES"),
        format!("{probe}\np< REQ_ES"),
    ] {
        check_linked(&format!("{TRIAL}{SILENT}{late}{GOES_ON}"));
    }
}

/// What it cannot read it does not answer; nobody waits for that longer than a question may take.
#[test]
fn who_ignores_two_questions_in_one_recv_is_asked_all_of_them_alone() {
    check_linked(&format!(
        r"{TRIAL}
        at 1000
        p< REQ_EP
        p> RES_EP(external 2 potency: 8)
        p< REQ_ES
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        p< REQ_EP
        p> RES_EP(external 2 potency: 2)
        p< REQ_ES
        p> RES_ES(external 2 sensor 0: 3 (3 100))
        p< REQ_EP
        p> RES_EP(external 2 potency: 4)
        {TRIED}"
    ));
}

/// It reads all three at once and answers once: nobody can know what its next answer is to.
#[test]
fn who_pauses_before_it_reads_a_trial_loses_the_link_and_mixes_nothing_up() {
    check_linked(&format!(
        r"{TRIAL}{SILENT}
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        at 4000
        a< ERROR(03)
        a> REQ_ES
        at 4499
        at 4500
        a< ERROR(03)
        p ends
        prints Peer 2 disconnected"
    ));
}

/// An error may be the second answer or that to the probe; what follows tells.
#[test]
fn an_error_decides_nothing() {
    let errors = "at 500\np> ERROR(05)\nat 1000\np< REQ_EP\nat 1200\np> ERROR(05)\n";
    let probe = "p> RES_EP(external 2 potency: 8)\n";
    let stream = r"p<< REQ_ES\nREQ_EP\nREQ_ES\nREQ_EP\n";
    check_linked(&format!("{TRIAL}{errors}{probe}{stream}"));
}

/// Only one kind is asked: the other is asked once, alone, before anything is asked twice.
const CHECKED: &str = r"
        a> REQ_ES
        p< REQ_ES
        p> RES_ES(external 2 sensor 0: 0 (0 100))
        a< RES_ES(external 2 sensor 0: 0 (0 100))
        a>> REQ_ES\nREQ_ES\nREQ_ES\nREQ_ES\n
        p< REQ_EP
";

#[test]
fn a_kind_that_nobody_has_asked_is_asked_before_a_trial() {
    let twice = r"p<< REQ_ES\nREQ_ES\n";
    check_linked(&format!("{CHECKED}p> RES_EP(external 2 potency: 8)\n{twice}"));
}

/// It may know no such question, and say so or be silent.
#[test]
fn who_knows_one_kind_only_is_asked_nothing_twice_and_keeps_its_link() {
    let answer = "p> RES_ES(external 2 sensor 0: 1 (1 100))\n";
    let told = r"a<< ".to_owned() + &r"RES_ES(external 2 sensor 0: 1 (1 100))\n".repeat(4);
    let four = format!("p< REQ_ES\n{answer}").repeat(4);
    for checked in ["p> ERROR(05)\n", "at 99\nat 100\n"] {
        check_linked(&format!("{CHECKED}{checked}{four}{told}"));
    }
}

/// With two behind what it does not know, its answer would not tell for which of them it is.
#[test]
fn who_knows_one_kind_only_and_is_slow_keeps_its_link() {
    let answer = "p> RES_ES(external 2 sensor 0: 1 (1 100))\n";
    let told = r"a<< ".to_owned() + &r"RES_ES(external 2 sensor 0: 1 (1 100))\n".repeat(4);
    let slow = format!("at 100\np< REQ_ES\nat 200\nat 250\n{answer}");
    let rest = format!("p< REQ_ES\n{answer}").repeat(3);
    check_linked(&format!("{CHECKED}{slow}{rest}{told}"));
}

/// Two were joined behind one answer: which of them comes next, nobody can know.
#[test]
fn an_answer_that_fits_one_in_the_middle_ends_the_link() {
    check_linked(
        r"
        a>> REQ_ES\nREQ_EP\nREQ_EP\nREQ_ES\n
        p< REQ_ES
        at 100
        p< REQ_EP
        at 200
        p< REQ_EP
        at 300
        p< REQ_ES
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        p> RES_EP(external 2 potency: 8)
        a closes
        b opens
        b> REQ_ADD
        b< RES_ADD(1)
        b> REQ_ES
        at 600
        p< REQ_ES
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        b< ERROR(03)
        p ends",
    );
}

/// It answers one of two that it has read as one; the other is asked again.
#[test]
fn an_answer_that_fits_only_a_later_question_shows_who_joins() {
    check_linked(
        r"
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
        a> REQ_ES
        b>> REQ_EP\nREQ_ES\n
        p< REQ_ES
        at 100
        p< REQ_EP
        at 150
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        at 400
        p< REQ_ES
        p> RES_ES(external 2 sensor 0: 2 (2 100))
        p< REQ_EP
        p> RES_EP(external 2 potency: 8)
        b< RES_EP(external 2 potency: 8)
        b< RES_ES(external 2 sensor 0: 2 (2 100))",
    );
}

/// It has shown that it answers, and there is enough to gain.
#[test]
fn nothing_is_asked_twice_without_need() {
    let first = "a> REQ_EP\np< REQ_EP\np> RES_EP(external 2 potency: 1)\n\
                 a< RES_EP(external 2 potency: 1)\n";
    let few = r"a>> REQ_ES\nREQ_ES\nREQ_ES\n";
    let many = r"a>> REQ_ES\nREQ_ES\nREQ_ES\nREQ_ES\n";
    for asked in [format!("{first}{few}"), many.to_owned()] {
        check_linked(&format!("{asked}\np< REQ_ES\nat 99\nat 100\np< REQ_ES"));
    }
}

/// Nor what would be asked again.
#[test]
fn nothing_is_asked_again_for_who_is_gone() {
    check_linked(
        r"
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
        b> REQ_EP
        p< REQ_EP
        a> REQ_ES
        at 100
        p< REQ_ES
        b closes
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        a> REQ_ES
        p< REQ_ES",
    );
}

#[test]
fn nothing_is_asked_for_who_is_gone() {
    check_linked(
        r"
        b opens
        b> REQ_ADD
        b< RES_ADD(2)
        a> REQ_ES
        p< REQ_ES
        b>> REQ_EP\nREQ_EP\n
        b closes
        at 100
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        a< RES_ES(external 2 sensor 0: 1 (1 100))
        a> REQ_ES
        p< REQ_ES",
    );
}
