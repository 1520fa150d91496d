//! How a server finds out how the other one reads, on the value alone (`grid/state/questions.rs`).

use crate::grid_link::check_linked;

/// What a peer that ends its messages with a newline is asked where many wait: one question twice,
/// in one write. Then it has shown how it reads.
const TRIAL: &str = r"
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

/// Whatever it makes of two questions in one `recv`: the first is answered, or asked again alone.
#[test]
fn who_takes_one_recv_for_one_message_is_asked_one_at_a_time() {
    let once = "p> RES_ES(external 2 sensor 0: 1 (1 100))\nat 999\nat 1000";
    let again = "at 999\nat 1000\np< REQ_ES\np> RES_ES(external 2 sensor 0: 1 (1 100))";
    let error = format!("p> ERROR(05)\n{again}");
    let other = format!("p> RES_EP(external 2 potency: 9)\n{again}");
    for tried in [once, &error, &other] {
        check_linked(&format!(
            "{TRIAL}{tried}
            p< REQ_EP
            at 1500
            p> RES_EP(external 2 potency: 2)
            p< REQ_ES
            p> RES_ES(external 2 sensor 0: 3 (3 100))
            p< REQ_EP
            p> RES_EP(external 2 potency: 4)
            {TRIED}"
        ));
    }
}

/// One that reads a stream and is late with both, or with one, is not taken for another.
#[test]
fn who_is_late_with_both_answers_is_not_asked_a_third_time() {
    check_linked(&format!(
        r"{TRIAL}
        at 900
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        p> RES_ES(external 2 sensor 0: 1 (1 100))
        p<< REQ_EP\nREQ_ES\nREQ_EP\n
        p> RES_EP(external 2 potency: 2)
        p> RES_ES(external 2 sensor 0: 3 (3 100))
        p> RES_EP(external 2 potency: 4)
        {TRIED}"
    ));
    check_linked(&format!(
        r"{TRIAL}
        at 1500
        p> RES_ES(external 2 sensor 0: 1 (1 100))
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
