//! Our client at servers that we did not write.

use crate::harness::{CLIENT, run};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

const JOINED: &str = "RES_ADD(1)\n";

/// What becomes of a client that is told `answers`, one for each line that it says.
fn told(answers: &[&str], commands: &[&str]) -> (Option<i32>, Vec<String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let answer_all = || {
        let (socket, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(&socket).lines();
        for answer in answers {
            lines.next().unwrap().unwrap();
            (&socket).write_all(answer.as_bytes()).unwrap();
        }
        // Until it has hung up.
        lines.map_while(Result::ok).count();
    };
    let (code, out, err) = thread::scope(|scope| {
        scope.spawn(answer_all);
        run(CLIENT, &[&["127.0.0.1", &port][..], commands].concat(), "")
    });
    (code, out, err.join("\n"))
}

#[test]
fn a_client_takes_what_answers_its_questions() {
    let commands =
        ["show", "globalmaxsensor", "show", "globalmaxnetwork", "show", "externalpotency"];
    let answers = &[
        JOINED,
        "RES_MS(global 2 sensor 7: 1400 (1400 100)\n",
        "RES_MN(2 2690)\n",
        "ERROR(03)\n",
        "OK(01)\n",
    ];
    let (code, out, err) = told(answers, &commands);
    let expected = [
        "New ID: 1",
        "global 2 sensor 7: 1400 (1400 100)",
        "global 2 potency: 2690",
        "Peer not found",
        "Successful disconnect",
    ];
    assert_eq!((code, out), (Some(0), expected.map(str::to_owned).to_vec()), "{err}");
}

/// Spec, Clients: the exit status is 0 if all were answered.
#[test]
fn a_client_takes_nothing_else_for_an_answer() {
    const STRANGE: [&[&str]; 6] = [
        &[JOINED, "RES_LS(local 0 sensor 1: 1 (1 100))\n"],
        &[JOINED, "RES_EP(external 2 potency: 1)\n"],
        &[JOINED, "OK(01)\n"],
        &[JOINED, "RES_ADD(9)\n"],
        &[JOINED, "hello world\n"],
        &[JOINED, "RES_LP(local x potency: y)\n"],
    ];
    for answers in STRANGE {
        let (code, out, err) = told(answers, &["show", "localpotency"]);
        assert_eq!((code, out), (Some(1), vec!["New ID: 1".to_owned()]), "{answers:?}: {err}");
        let strange = answers[1].trim_end();
        assert!(err.ends_with(&format!("the server answered `{strange}`")), "{err}");
    }
}

/// With one answer too many, the next question would get that.
#[test]
fn a_client_does_not_take_one_answer_too_many_for_the_next() {
    const TWICE: &str = "RES_LP(local 0 potency: 1)\nRES_LP(local 0 potency: 2)\n";
    let commands = ["show", "localpotency", "show", "localmaxsensor"];
    let (code, out, err) = told(&[JOINED, TWICE], &commands);
    assert_eq!(
        (code, &out[..2]),
        (Some(1), &["New ID: 1", "local 0 potency: 1"].map(str::to_owned)[..]),
        "{err}"
    );
    assert!(!out.contains(&"local 0 potency: 2".to_owned()), "{out:?}");
}
