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
    let once = "p> RES_ES(external 2 sensor 0: 1 (1 100))\nat 249\nat 250";
    let again = "p< REQ_ES\np> RES_ES(external 2 sensor 0: 1 (1 100))";
    let nothing = format!("at 249\nat 250\n{again}");
    let error = format!("p> ERROR(05)\n{again}");
    let other = format!("p> RES_EP(external 2 potency: 9)\n{again}");
    for tried in [once, &nothing, &error, &other] {
        check_linked(&format!(
            "{TRIAL}{tried}
            p< REQ_EP
            at 500
            p> RES_EP(external 2 potency: 2)
            p< REQ_ES
            p> RES_ES(external 2 sensor 0: 3 (3 100))
            p< REQ_EP
            p> RES_EP(external 2 potency: 4)
            {TRIED}"
        ));
    }
}
