//! The stress mode of the command client (spec: Client): its figures, and what makes it fail.

use crate::command_server::{ECHO, MALHA, Serving, logs};
use crate::folder::Folder;
use crate::harness::{Person, Program, WAIT, run, within};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

const TIME: &str = "TIME: 2026-11-20 14:05:09.123456";
const FIGURES: [&str; 5] = ["answered", "requests/s", "p50", "p99", "slowest"];

fn args<'a>(addr: &'a str, clients: &'a str, requests: &'a str) -> [&'a str; 8] {
    ["command", "client", "--connect", addr, "--clients", clients, "--requests", requests]
}

/// The figures by their names, all of them and nothing else.
#[track_caller]
fn figures(out: &[String]) -> Vec<f64> {
    let parts: Vec<Vec<&str>> = out.iter().map(|line| line.split_whitespace().collect()).collect();
    let names: Vec<&str> = parts.iter().map(|words| words[0]).collect();
    assert_eq!(names, FIGURES);
    parts.iter().map(|words| words[1].parse().unwrap()).collect()
}

#[test]
fn stress_on_a_right_server_succeeds_and_tells_its_figures() {
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let mut server = Serving::start(&log, &[]);
    let (code, out, err) = run(MALHA, &args(&server.addr.to_string(), "5", "200"), "");
    assert_eq!((code, err), (Some(0), vec![]), "{out:#?}");
    let [answered, a_second, p50, p99, slowest] = figures(&out)[..] else { unreachable!() };
    assert!(answered == 1_000.0 && a_second > 0.0, "{out:#?}");
    assert!(0.0 < p50 && p50 <= p99 && p99 <= slowest, "{out:#?}");
    server.stop();
    let asked = crate::command_server::entries(&log);
    let count = |what| asked.iter().filter(|text| text.ends_with(what)).count();
    assert_eq!(["pedido: ECHO", "pedido: TIME", "pedido: EXIT"].map(count), [500, 500, 5]);
}

/// What a server that the test plays says to a request, the so-manieth of its connection.
type Reply = fn(&str, usize) -> Say;

enum Say {
    Text(String),
    /// This, and no more.
    Last(&'static str),
}

/// What is right.
fn right(request: &str) -> String {
    let answer = match request {
        "ECHO" => ECHO,
        "TIME" => TIME,
        "EXIT" => "OK",
        other => panic!("asked {other:?}"),
    };
    format!("{answer}\n")
}

/// Two clients with twenty requests each against such a server.
fn stress(reply: Reply) -> (Option<i32>, Vec<String>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::scope(|scope| {
        let stressed = scope.spawn(move || run(MALHA, &args(&addr, "2", "20"), ""));
        for _ in 0..2 {
            let server = Person::accept(&listener);
            scope.spawn(move || serve(server, reply));
        }
        stressed.join().unwrap()
    })
}

fn serve(mut server: Person, reply: Reply) {
    let requests = BufReader::new(server.socket.try_clone().unwrap());
    for (index, request) in requests.lines().map_while(Result::ok).enumerate() {
        let (text, is_last) = match reply(&request, index) {
            Say::Text(text) => (text, false),
            Say::Last(text) => (text.to_owned(), true),
        };
        // A client that has heard enough is gone.
        if server.socket.write_all(text.as_bytes()).is_err() || is_last {
            return;
        }
    }
}

#[test]
fn stress_on_a_played_server_that_is_right_succeeds() {
    let (code, out, err) = stress(|request, _| Say::Text(right(request)));
    assert_eq!((code, err), (Some(0), vec![]), "{out:#?}");
    assert_eq!(figures(&out)[0], 40.0);
}

/// One that fails in this way makes it exit 1 with one line that says so.
#[track_caller]
fn fails(reply: Reply) {
    fails_with(reply, "");
}

/// And that line has these words.
#[track_caller]
fn fails_with(reply: Reply, words: &str) {
    let (code, out, err) = stress(reply);
    assert_eq!((code, err.len()), (Some(1), 1), "{out:#?} {err:#?}");
    assert!(err[0].starts_with("error: ") && err[0].contains(words), "{err:?}");
    assert!(figures(&out)[0] < 41.0, "{out:#?}");
}

#[test]
fn stress_fails_where_an_answer_is_wrong() {
    const WRONG: [Reply; 7] = [
        |request, index| Say::Text(if index == 19 { "ECHO\n".into() } else { right(request) }),
        |request, index| Say::Text(if index == 0 { "\n".into() } else { right(request) }),
        |request, _| Say::Text(right(request).replace("sucesso.", "sucesso")),
        |request, _| Say::Text(right(request).replace(".123456", "")),
        |request, _| Say::Text(right(request).replace("TIME: ", "TIME: x")),
        |request, _| Say::Text(right(request).replace("OK", "ERROR: x")),
        |request, _| Say::Text(right(request).replace("ECHO", "\u{fffd}CHO")),
    ];
    WRONG.into_iter().for_each(fails);
}

#[test]
fn stress_fails_where_answers_are_swapped() {
    fails(|request, _| Say::Text(right(if request == "ECHO" { "TIME" } else { "ECHO" })));
    fails(|request, index| match (request, index) {
        ("ECHO", 10 | 11) => Say::Text(right("TIME")),
        ("TIME", 10 | 11) => Say::Text(right("ECHO")),
        _ => Say::Text(right(request)),
    });
}

#[test]
fn stress_fails_where_the_connection_ends_in_the_middle() {
    let ended = "o servidor encerrou a conexão";
    fails_with(
        |request, index| if index == 7 { Say::Last("") } else { Say::Text(right(request)) },
        ended,
    );
    fails(|request, index| match (request, index) {
        ("ECHO", 7 | 8) => Say::Last("ECHO: Comando rec"),
        ("TIME", 7 | 8) => Say::Last("TIME: 2026-11-20 14:0"),
        _ => Say::Text(right(request)),
    });
    fails_with(
        |request, _| if request == "EXIT" { Say::Last("") } else { Say::Text(right(request)) },
        ended,
    );
}

#[test]
fn stress_fails_where_one_answer_is_too_many() {
    fails(|request, index| Say::Text(right(request).repeat(if index == 7 { 2 } else { 1 })));
    // Behind the last one of which the client knows.
    fails(|request, index| Say::Text(right(request).repeat(if index == 19 { 2 } else { 1 })));
    fails(|request, _| Say::Text(right(request).replace("OK\n", "OK\nOK\n")));
}

#[test]
fn stress_fails_where_nobody_or_no_room_is() {
    let folder = Folder::new();
    let server = Serving::start(&folder.at("log.txt"), &["--max-clients", "2"]);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // Both seats are taken for as long as it lasts.
    let mut seated = [server.connect(), server.connect()];
    seated.iter_mut().for_each(|person| drop(person.asks("ECHO", "ECHO: ")));
    for addr in [nobody, server.addr] {
        let (code, out, err) = run(MALHA, &args(&addr.to_string(), "3", "2000"), "");
        assert_eq!((code, err.len()), (Some(1), 1), "{out:#?} {err:#?}");
        assert!(err[0].starts_with("error: "), "{err:?}");
        assert_eq!(out.is_empty(), addr == nobody, "figures of nothing: {out:#?}");
    }
}

fn endless(addr: SocketAddr) -> Program {
    Program::start(MALHA, &args(&addr.to_string(), "5", "1000000000"))
}

/// Ends, and tells what was done until then, and how long that took. A client waits for an answer
/// for 10 s.
#[track_caller]
fn is_interrupted(stressed: &mut Program) -> (f64, Duration) {
    let start = Instant::now();
    stressed.signal("-INT");
    let (code, out, err) = stressed.ends();
    let took = start.elapsed();
    assert_eq!((code, err.len()), (Some(1), 1), "{out:#?} {err:#?}");
    assert!(err[0].starts_with("error: "), "{err:?}");
    (figures(&out)[0], took)
}

const SOON: Duration = Duration::from_secs(2);

#[test]
fn ctrl_c_ends_a_long_stress() {
    within(SOON, || {
        let folder = Folder::new();
        let log = folder.at("log.txt");
        let server = Serving::start(&log, &[]);
        let mut stressed = endless(server.addr);
        logs(&log, "pedido: TIME");
        let (answered, took) = is_interrupted(&mut stressed);
        assert!(answered > 0.0);
        took
    });
}

/// An endless stress that has asked, but was not answered.
fn unanswered() -> (Program, Vec<Person>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stressed = endless(listener.local_addr().unwrap());
    let mut servers: Vec<Person> = (0..5).map(|_| Person::accept(&listener)).collect();
    // Whether ECHO or TIME.
    servers.iter_mut().for_each(|server| drop(server.line()));
    (stressed, servers)
}

#[test]
fn ctrl_c_ends_a_stress_on_a_server_that_says_nothing() {
    within(SOON, || {
        let (mut stressed, _servers) = unanswered();
        let (answered, took) = is_interrupted(&mut stressed);
        assert_eq!(answered, 0.0);
        took
    });
}

/// It is never silent for so long that what came would be an answer, and never ends one.
#[test]
fn ctrl_c_ends_a_stress_on_a_server_whose_answer_does_not_end() {
    within(SOON, || {
        let (mut stressed, servers) = unanswered();
        thread::scope(|scope| {
            for mut server in servers {
                scope.spawn(move || {
                    let start = Instant::now();
                    while server.socket.write_all(b"x").is_ok() && start.elapsed() < WAIT {
                        thread::park_timeout(Duration::from_millis(5));
                    }
                });
            }
            let (answered, took) = is_interrupted(&mut stressed);
            assert_eq!(answered, 0.0);
            took
        })
    });
}
