//! The client of the command server as a program (spec: Client), against servers of all kinds.

use crate::command_server::{ECHO, FULL, MALHA, Serving, UNKNOWN, logs};
use crate::folder::Folder;
use crate::harness::{Person, Program, run, until, within};
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

const TIME: &str = "TIME: 2026-11-20 14:05:09.123456";
const AUTH: &str = "AUTH ana segredo";

/// A server that the test plays.
fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn client(addr: SocketAddr, requests: &[&str]) -> Program {
    let addr = addr.to_string();
    Program::start(MALHA, &[&["command", "client", "--connect", &addr], requests].concat())
}

fn shown(answers: &[&str]) -> Vec<String> {
    answers.iter().map(|answer| format!("Servidor: {answer}")).collect()
}

#[track_caller]
fn answers(server: &mut Person, request: &str, answer: &str) {
    server.hears(request);
    server.says(answer);
}

/// All was answered, and this was shown; gives what was said on standard error.
#[track_caller]
fn succeeds(client: &mut Program, answers: &[&str]) -> Vec<String> {
    let (code, out, err) = client.ends();
    assert_eq!((code, &out), (Some(0), &shown(answers)), "{err:#?}");
    err
}

/// A real server, and a client at its end that was given `requests` and then `typed`.
fn asks_real(requests: &[&str], typed: &str) -> Vec<String> {
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let server = Serving::start(&log, &[]);
    let addr = server.addr.to_string();
    let args = [&["command", "client", "--connect", &addr], requests].concat();
    let (code, out, err) = run(MALHA, &args, typed);
    assert_eq!((code, err), (Some(0), vec![]), "{out:#?}");
    // It has said goodbye and not just gone.
    logs(&log, "pedido: EXIT");
    out
}

#[track_caller]
fn is_echo_time_exit(out: &[String]) {
    assert_eq!(out.len(), 3, "{out:#?}");
    let time = out[1].strip_prefix("Servidor: TIME: ").unwrap();
    assert!(time.len() == 26 && !time.contains(char::is_alphabetic), "{time:?}");
    assert_eq!([&out[0], &out[2]], [&shown(&[ECHO])[0], &shown(&["OK"])[0]]);
}

#[test]
fn requests_on_the_command_line_are_answered_line_by_line() {
    is_echo_time_exit(&asks_real(&["ECHO", "TIME", "EXIT"], ""));
}

#[test]
fn numbers_and_words_both_work() {
    is_echo_time_exit(&asks_real(&[], "1\n2\n3\n"));
    is_echo_time_exit(&asks_real(&[], "echo\r\n  Time \nexit\n\n"));
}

#[test]
fn what_stands_behind_exit_is_not_asked_and_a_failure() {
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let server = Serving::start(&log, &[]);
    let to = ["command", "client", "--connect", &server.addr.to_string()];
    for (requests, typed) in [(&["EXIT", "TIME"][..], ""), (&[], "3\n\nTIME\n"), (&[], "exit\n2")] {
        let (code, out, err) = run(MALHA, &[&to[..], requests].concat(), typed);
        assert_eq!((code, out), (Some(1), shown(&["OK"])), "{err:#?}");
        assert_eq!(err, ["error: cannot ask everything: there is more behind EXIT"]);
    }
    assert!(!fs::read_to_string(&log).unwrap().contains("TIME"));
}

/// Nor is a pipe that stays open waited for.
#[test]
fn exit_is_the_end_also_where_more_could_be_typed() {
    let folder = Folder::new();
    let server = Serving::start(&folder.at("log.txt"), &[]);
    let mut client = client(server.addr, &[]);
    client.types("EXIT");
    succeeds(&mut client, &["OK"]);
}

#[test]
fn the_menu_shows_the_commands_and_an_empty_line_is_told() {
    let out = asks_real(&[], "menu\n\n   \n4\nECHO");
    let menu: Vec<[&str; 2]> = out[..3]
        .iter()
        .map(|line| line.split("  ").next().unwrap().split_once(". ").unwrap().into())
        .collect();
    assert_eq!(menu, [["1", "ECHO"], ["2", "TIME"], ["3", "EXIT"]]);
    let empty = "Comando vazio. Tente novamente.".to_owned();
    let answers = shown(&[UNKNOWN, ECHO]);
    assert_eq!(out[3..], [&[empty.clone(), empty], &answers[..]].concat());
}

#[test]
fn the_end_of_input_is_a_goodbye() {
    assert_eq!(asks_real(&[], ""), [""; 0]);
}

/// Spec, Client: after 0.5 s, then longer.
#[test]
fn a_server_that_comes_later_is_waited_for() {
    // A port where nobody listens yet.
    let (_, addr) = listen();
    let start = Instant::now();
    let mut client = client(addr, &["ECHO"]);
    for (index, seconds) in [0.5, 1.0, 2.0].into_iter().enumerate() {
        let said = client.complains();
        let is_told = said.contains(&addr.to_string()) && said.contains(&format!(" {seconds} s"));
        assert!(is_told, "try {index}: {said}");
        // The pauses before this one.
        let (waited, least) = (start.elapsed().as_secs_f64(), [0.0, 0.5, 1.5][index]);
        assert!(waited >= least, "try {index} came after {waited} s");
    }
    let listener = until("the port", || TcpListener::bind(addr).ok());
    let mut server = Person::accept(&listener);
    answers(&mut server, "ECHO", ECHO);
    answers(&mut server, "EXIT", "OK");
    let err = succeeds(&mut client, &[ECHO]);
    assert!(err.len() == 1 && err[0].contains(&addr.to_string()), "{err:?}");
}

#[test]
fn a_request_whose_connection_is_lost_is_repeated_and_answered_once() {
    let (listener, addr) = listen();
    let mut client = client(addr, &["ECHO", "TIME", "EXIT"]);
    let mut server = Person::accept(&listener);
    answers(&mut server, "ECHO", ECHO);
    server.hears("TIME");
    drop(server);
    let mut server = Person::accept(&listener);
    server.hears("TIME");
    drop(server);
    let mut server = Person::accept(&listener);
    answers(&mut server, "TIME", TIME);
    answers(&mut server, "EXIT", "OK");
    server.ends();
    let err = succeeds(&mut client, &[ECHO, TIME, "OK"]);
    assert!(err.iter().filter(|line| line.contains("perdida")).count() == 2, "{err:#?}");
}

/// The same for who types: what was typed meanwhile is asked afterwards, in order.
#[test]
fn lines_typed_while_there_is_no_connection_are_asked_on_the_next() {
    let (listener, addr) = listen();
    let mut client = client(addr, &[]);
    client.types("ECHO");
    let mut server = Person::accept(&listener);
    server.hears("ECHO");
    drop(server);
    client.prints_one("that it is lost", |line| line.contains("perdida"));
    client.types("2\n3");
    let mut server = Person::accept(&listener);
    for (request, answer) in [("ECHO", ECHO), ("TIME", TIME), ("EXIT", "OK")] {
        answers(&mut server, request, answer);
        client.prints(&format!("Servidor: {answer}"));
    }
    client.exits(0);
}

#[test]
fn answers_without_terminator_are_answers() {
    let (listener, addr) = listen();
    let mut client = client(addr, &["ECHO", "TIME", "EXIT"]);
    let mut server = Person::accept(&listener);
    for (request, answer) in [("ECHO", ECHO), ("TIME", TIME), ("EXIT", "OK")] {
        server.hears(request);
        server.says_bytes(answer.as_bytes());
    }
    server.ends();
    assert_eq!(succeeds(&mut client, &[ECHO, TIME, "OK"]), [""; 0]);
}

#[test]
fn an_answer_in_pieces_is_one_answer() {
    for end in ["\n", "\r\n", ""] {
        until("pieces that were sent quickly", || {
            let (listener, addr) = listen();
            let mut client = client(addr, &["ECHO", "EXIT"]);
            let mut server = Person::accept(&listener);
            server.hears("ECHO");
            let start = Instant::now();
            let answer = format!("{ECHO}{end}");
            answer.as_bytes().chunks(4).for_each(|piece| server.says_bytes(piece));
            // After 20 ms of silence it would be right to take a piece for all.
            (start.elapsed() < Duration::from_millis(10)).then(|| {
                answers(&mut server, "EXIT", "OK");
                succeeds(&mut client, &[ECHO, "OK"]);
            })
        });
    }
}

/// It is told once, and not asked again for half a minute.
#[test]
fn who_is_no_command_server_is_named_and_left() {
    let page = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html>";
    for said in ["ERROR(05)", page, "{\"status\":\"ERROR\"}\n", "ECHO\n", "\n"] {
        let (listener, addr) = listen();
        let mut client = client(addr, &["ECHO", "EXIT"]);
        let mut server = Person::accept(&listener);
        server.hears("ECHO");
        server.says_bytes(said.as_bytes());
        let (code, out, err) = client.ends();
        assert_eq!((code, out.len()), (Some(1), 0), "{out:#?} {err:#?}");
        let said = said.lines().next().unwrap();
        assert_eq!(err, [format!("error: {addr} is no command server: it said `{said}`")]);
    }
}

/// Others say it in their own words, and have words of their own.
#[test]
fn command_servers_of_others_are_served() {
    let (listener, addr) = listen();
    let told = [
        ("ECHO", "ECHO: recebido"),
        ("TIME", "TIME: 14:05"),
        ("AJUDA", "ECHO, TIME, EXIT"),
        ("AUTH ana segredo", "ERROR: sem usuários"),
        ("EXIT", "OK"),
    ];
    let mut client = client(addr, &told.map(|(request, _)| request));
    let mut server = Person::accept(&listener);
    told.iter().for_each(|(request, answer)| answers(&mut server, request, answer));
    succeeds(&mut client, &told.map(|(_, answer)| answer));
}

/// Connects, and is told unasked that there is no room.
#[track_caller]
fn refuse(listener: &TcpListener) {
    let mut server = Person::accept(listener);
    server.says_bytes(FULL.as_bytes());
    server.half_closes();
    // It may have asked already.
    server.socket.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_full_server_is_tried_again_until_it_has_room() {
    let (listener, addr) = listen();
    let mut client = client(addr, &["ECHO", "EXIT"]);
    refuse(&listener);
    assert!(client.complains().contains("cheio"));
    refuse(&listener);
    // That there is a connection it has said before it was told that there is no room.
    until("why not", || client.complains().contains("cheio").then_some(()));
    let mut server = Person::accept(&listener);
    answers(&mut server, "ECHO", ECHO);
    answers(&mut server, "EXIT", "OK");
    succeeds(&mut client, &[ECHO, "OK"]);
}

/// A client that came in, whose connection was then lost.
fn lost_after_auth() -> (TcpListener, Program) {
    let (listener, addr) = listen();
    let client = client(addr, &[AUTH, "ECHO", "EXIT"]);
    let mut server = Person::accept(&listener);
    answers(&mut server, AUTH, "OK");
    server.hears("ECHO");
    (listener, client)
}

#[track_caller]
fn comes_in_again(listener: &TcpListener, client: &mut Program) {
    let mut server = Person::accept(listener);
    answers(&mut server, AUTH, "OK");
    answers(&mut server, "ECHO", ECHO);
    answers(&mut server, "EXIT", "OK");
    let err = succeeds(client, &["OK", ECHO, "OK"]);
    assert!(!err.iter().any(|line| line.contains("segredo")), "{err:#?}");
}

#[test]
fn auth_is_said_again_on_the_next_connection() {
    let (listener, mut client) = lost_after_auth();
    comes_in_again(&listener, &mut client);
}

#[test]
fn auth_is_said_again_where_the_next_connection_is_lost_as_well() {
    let (listener, mut client) = lost_after_auth();
    Person::accept(&listener).hears(AUTH);
    comes_in_again(&listener, &mut client);
}

#[test]
fn auth_is_said_again_where_the_server_was_full_meanwhile() {
    let (listener, mut client) = lost_after_auth();
    refuse(&listener);
    comes_in_again(&listener, &mut client);
}

/// How long the client took to end once it was asked to. What was asked and not answered is a
/// failure.
#[track_caller]
fn is_interrupted(client: &mut Program, failed: usize) -> Duration {
    let start = Instant::now();
    client.signal("-INT");
    let (code, out, err) = client.ends();
    let took = start.elapsed();
    assert_eq!((code, out.len()), (Some(failed as i32), 0), "{out:#?} {err:#?}");
    assert_eq!(err.iter().filter(|line| line.starts_with("error: ")).count(), failed);
    took
}

#[test]
fn ctrl_c_ends_a_client_that_waits_for_its_next_attempt() {
    for requests in [&["ECHO"][..], &[]] {
        within(Duration::from_secs(1), || {
            let (_, addr) = listen();
            let mut client = client(addr, requests);
            // The third pause is one of 2 s.
            for _ in 0..3 {
                if requests.is_empty() {
                    client.prints_one("that it tries again", |line| line.contains("tentativa"));
                } else {
                    client.complains();
                }
            }
            is_interrupted(&mut client, usize::from(!requests.is_empty()))
        });
    }
}

/// Which it would do for 10 s.
#[test]
fn ctrl_c_ends_a_client_that_waits_for_an_answer() {
    within(Duration::from_secs(3), || {
        let (listener, addr) = listen();
        let mut client = client(addr, &["ECHO"]);
        let mut server = Person::accept(&listener);
        server.hears("ECHO");
        is_interrupted(&mut client, 1)
    });
}
