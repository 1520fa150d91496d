//! The grid as programs: the chapter's conversations again, the command lines, the exit codes.

use crate::harness::{CLIENT, Person, Program, SERVER, Server, TempFile, run, until};
use crate::live::check_both;
use crate::transcript;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

const CHAPTER: &str = include_str!("../../src/grid/README.md");

/// 1290 W is the best, 2690 W in all.
const FIRST: &str = "0,1317,98\n1,1200,50\n2,800,100\n";
/// 1400 W is the best, 1500 W in all.
const SECOND: &str = "0,100,50\n1,100,50\n7,1400,100\n";

const ALL_SIX: [&str; 12] = [
    "show",
    "localmaxsensor",
    "show",
    "externalmaxsensor",
    "show",
    "localpotency",
    "show",
    "externalpotency",
    "show",
    "globalmaxsensor",
    "show",
    "globalmaxnetwork",
];

/// What a client of the first server reads, and one of the second.
const ANSWERS: [[&str; 6]; 2] = [
    [
        "local 1 sensor 0: 1290 (1317 98)",
        "external 2 sensor 7: 1400 (1400 100)",
        "local 1 potency: 2690",
        "external 2 potency: 1500",
        "global 2 sensor 7: 1400 (1400 100)",
        "global 1 potency: 2690",
    ],
    [
        "local 2 sensor 7: 1400 (1400 100)",
        "external 1 sensor 0: 1290 (1317 98)",
        "local 2 potency: 1500",
        "external 1 potency: 2690",
        "global 2 sensor 7: 1400 (1400 100)",
        "global 1 potency: 2690",
    ],
];

#[test]
fn chapter_conversations_hold() {
    let csv = transcript::in_chapter(CHAPTER, "csv");
    let told = transcript::in_chapter(CHAPTER, "transcript");
    assert!(!csv.is_empty() && !told.is_empty(), "the chapter tells nothing");
    for text in told {
        check_both(&csv[0], &text);
    }
}

/// One after the other, if several test runs are on this machine.
pub fn ports_of_the_spec() -> File {
    let file = File::create(std::env::temp_dir().join("malha-test-ports.lock")).unwrap();
    until("the other test run", || match file.try_lock() {
        Ok(()) => Some(()),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => panic!("{error}"),
    });
    file
}

#[track_caller]
fn all_six(addr: &str, port: &str, expected: [&str; 6]) {
    let (code, out, err) = run(CLIENT, &[&[addr, port], &ALL_SIX[..]].concat(), "");
    let heard: Vec<&str> = out.iter().map(String::as_str).collect();
    let whole = [&["New ID: 1"], &expected[..], &["Successful disconnect"]].concat();
    assert_eq!(heard, whole, "and said {err:?}");
    assert_eq!(code, Some(0));
}

#[test]
fn the_four_command_lines_of_the_spec_work() {
    let _held = ports_of_the_spec();
    let (one, two) = (TempFile::new(FIRST), TempFile::new(SECOND));
    let args = ["127.0.0.1", "90900", "90100", "--sensors", one.path()];
    let mut first = Program::start(SERVER, &args);
    first.prints("listening on 127.0.0.1:24564");
    first.prints("No peer found, starting to listen..");
    let args = ["127.0.0.1", "90900", "90200", "--sensors", two.path()];
    let mut second = Program::start(SERVER, &args);
    second.prints("listening on 127.0.0.1:24664");
    second.prints("New Peer ID: 2");
    second.prints("Peer 1 connected");
    first.prints("Peer 2 connected");
    first.prints("New Peer ID: 1");
    all_six("127.0.0.1", "90100", ANSWERS[0]);
    all_six("127.0.0.1", "90200", ANSWERS[1]);
    second.types("kill");
    second.prints("Successful disconnect");
    second.prints("Peer 1 disconnected");
    let (code, _, err) = second.ends();
    assert_eq!(code, Some(0), "{err:?}");
    for (given, stands_for) in [("90900", "25364"), ("90200", "24664")] {
        let is_told = |line: &String| line.contains(given) && line.contains(stands_for);
        assert!(err.iter().any(is_told), "no notice of {given} in {err:?}");
    }
    first.prints("Peer 2 disconnected");
    first.prints("No peer found, starting to listen..");
    first.types("kill");
    first.exits(0);
}

#[test]
fn both_clients_get_all_six_answers_whoever_leaves_first() {
    let (one, two) = (TempFile::new(FIRST), TempFile::new(SECOND));
    let args = [["--sensors", one.path()], ["--sensors", two.path()]];
    for first_leaves in [true, false] {
        let (mut first, mut second) = Server::pair(&args[0], &args[1]);
        all_six("localhost", &first.clients.port().to_string(), ANSWERS[0]);
        all_six("127.0.0.1", &second.clients.port().to_string(), ANSWERS[1]);
        let (leaver, left) =
            if first_leaves { (&mut first, &mut second) } else { (&mut second, &mut first) };
        let (mut inside, _) = Person::join(left.clients);
        leaver.program.types("kill");
        leaver.program.exits(0);
        left.program.prints("No peer found, starting to listen..");
        inside.asks("REQ_ES", "ERROR(03)");
        inside.asks("REQ_LP", "RES_LP(local 0 ");
        // Somebody new comes, and the client need not come again.
        let mut third = Server::start_at(left.peers.port(), &args[1]);
        third.program.prints("Peer 1 connected");
        left.program.prints("New Peer ID: 1");
        inside.asks("REQ_EP", "RES_EP(external 2 potency: 1500)");
        left.program.types("kill");
        left.program.exits(0);
        inside.ends();
    }
}

#[test]
fn a_third_server_fails_and_disturbs_nobody() {
    let (first, mut second) = Server::pair(&[], &[]);
    let mut third = Server::start_at(first.peers.port(), &[]);
    third.program.prints("Peer limit exceeded");
    third.program.exits(1);
    let (mut client, _) = Person::join(second.clients);
    client.asks("REQ_ES", "RES_ES(external 1 ");
    second.program.types("show peer");
    second.program.prints("peer 1, own ID 2");
}

#[test]
fn a_client_prints_what_it_is_told() {
    let server = Server::start(&[]);
    let port = server.clients.port().to_string();
    let (code, out, _) = run(CLIENT, &["127.0.0.1", &port], "show externalpotency\n\nsho\nhelp\n");
    assert_eq!(code, Some(0), "{out:#?}");
    assert_eq!(out[..2], ["New ID: 1", "Peer not found"], "{out:#?}");
    let names_all = |line: &String| ALL_SIX.iter().all(|word| line.contains(word));
    assert!(names_all(&out[2]) && out[2].contains("kill"), "{out:#?}");
    assert_eq!(out.last().unwrap(), "Successful disconnect");
}

#[test]
fn kill_ends_a_client_before_the_end_of_its_input() {
    let mut server = Server::start(&[]);
    let port = server.clients.port().to_string();
    let mut client = Program::start(CLIENT, &["127.0.0.1", &port]);
    client.prints("New ID: 1");
    client.types("kill");
    client.prints("Successful disconnect");
    client.exits(0);
    server.program.prints("Client 1 added");
    server.program.prints("REQ_DC(1)");
    server.program.prints("Client 1 removed");
}

#[test]
fn a_client_that_is_refused_or_left_fails() {
    let mut server = Server::start(&["--max-clients", "1"]);
    let port = server.clients.port().to_string();
    let mut inside = Program::start(CLIENT, &["127.0.0.1", &port]);
    inside.prints("New ID: 1");
    let (code, out, err) = run(CLIENT, &["127.0.0.1", &port, "show", "localpotency"], "");
    assert_eq!((code, out.as_slice()), (Some(1), &["Client limit exceeded".to_owned()][..]));
    assert!(err.len() <= 1, "{err:?}");
    server.program.types("kill");
    server.program.exits(0);
    let (code, _, err) = inside.ends();
    assert_eq!((code, err.len()), (Some(1), 1), "{err:?}");
    // Nobody is there any more.
    let (code, _, err) = run(CLIENT, &["127.0.0.1", &port, "show", "localpotency"], "");
    assert_eq!((code, err.len()), (Some(1), 1), "{err:?}");
}

#[test]
fn usage_errors_are_one_line_and_status_2() {
    let wrong: [(&str, &[&str]); 15] = [
        (SERVER, &[]),
        (SERVER, &["127.0.0.1"]),
        (SERVER, &["127.0.0.1", "0"]),
        (SERVER, &["127.0.0.1", "x", "0"]),
        (SERVER, &["127.0.0.1", "-1", "0"]),
        (SERVER, &["127.0.0.1", "90900", "25364"]),
        (SERVER, &["127.0.0.1", "0", "0", "0"]),
        (SERVER, &["127.0.0.1", "0", "0", "--max-clients", "0"]),
        (SERVER, &["127.0.0.1", "0", "0", "--peer-timeout", "soon"]),
        (SERVER, &["127.0.0.1", "0", "0", "--peer-timeout", "0.049"]),
        (SERVER, &["127.0.0.1", "0", "0", "--seed", "1", "--sensors", "x"]),
        (SERVER, &["127.0.0.1", "0", "0", "--nonsense"]),
        (CLIENT, &["127.0.0.1"]),
        (CLIENT, &["127.0.0.1", "90100", "show", "everything"]),
        (CLIENT, &["127.0.0.1", "port"]),
    ];
    for (path, args) in wrong {
        let (code, out, err) = run(path, args, "");
        assert_eq!(code, Some(2), "{args:?}: {out:?} {err:?}");
        assert!(out.is_empty(), "{args:?}: {out:?}");
        assert!(err.len() == 1 && err[0].starts_with("error: "), "{args:?}: {err:#?}");
    }
}

#[test]
fn a_bad_row_is_named_by_file_line_and_reason() {
    let rows = [
        ("0,1,1\n1,1\n2,1,1\n", "line 2", "id,power,efficiency"),
        ("id,power,efficiency\n0,1501,1\n", "line 2", "1500"),
        ("0,1500,100\n1,0,101\n2,1,1\n", "line 2", "100"),
        ("# sensors\n\n0,1,x\n", "line 3", "efficiency"),
        ("0,1,1\n1,1,1\n1,2,2\n", "line 3", "given before"),
        ("0,-1,1\n", "line 1", "power"),
        ("0,1,1\n1,1,1\n", "", "at least 3"),
        (&"\0".repeat(60_000), "line 1", "found `\\0\\0"),
        (&"#".repeat(70_000), "", "more than 65536 bytes"),
        (&"1,1,1\n".repeat(0), "", "at least 3"),
    ];
    for (text, line, why) in rows {
        let file = TempFile::new(text);
        let (code, out, err) = run(SERVER, &["127.0.0.1", "0", "0", "--sensors", file.path()], "");
        assert_eq!((code, out.len(), err.len()), (Some(1), 0, 1), "{text:?}: {out:?} {err:?}");
        for part in [file.path(), line, why] {
            assert!(err[0].contains(part), "{part:?} is not in {:?}", err[0]);
        }
        assert!(err[0].len() < 500, "{}", err[0].len());
    }
    let eleven: String = (0..11).map(|id| format!("{id},1,1\n")).collect();
    let file = TempFile::new(&eleven);
    let (code, _, err) = run(SERVER, &["127.0.0.1", "0", "0", "--sensors", file.path()], "");
    assert!(code == Some(1) && err[0].contains("line 11"), "{err:?}");
    let (code, _, err) = run(SERVER, &["127.0.0.1", "0", "0", "--sensors", "/nowhere"], "");
    assert!(code == Some(1) && err.len() == 1 && err[0].contains("/nowhere"), "{err:?}");
}

#[test]
fn the_first_line_says_where_it_listens_whatever_was_typed_before() {
    let (_, out, _) = run(SERVER, &["127.0.0.1", "0", "0"], "help\nwhat\nkill\n");
    assert!(out[0].starts_with("listening on 127.0.0.1:"), "{out:?}");
}

fn drawn(seed: &str) -> Vec<String> {
    let mut server = Server::start(&["--seed", seed]);
    server.program.types("show sensors");
    server.program.types("kill");
    let (code, out, _) = server.program.ends();
    assert_eq!(code, Some(0));
    out.into_iter().filter(|line| line.starts_with("sensor ")).collect()
}

#[test]
fn a_seed_repeats_the_draw() {
    let (seven, eight) = (drawn("7"), drawn("8"));
    assert_eq!(seven, drawn("7"));
    assert_ne!(seven, eight);
    assert!((3..=10).contains(&seven.len()) && (3..=10).contains(&eight.len()), "{seven:?}");
}

#[test]
fn a_second_server_on_the_same_client_port_fails_in_one_line() {
    let first = Server::start(&[]);
    let port = first.clients.port().to_string();
    let (code, out, err) = run(SERVER, &["127.0.0.1", "0", &port], "");
    assert_eq!((code, out.len(), err.len()), (Some(1), 0, 1), "{out:?} {err:?}");
    assert!(err[0].contains(&format!("127.0.0.1:{port}")), "{err:?}");
}

#[test]
fn signals_end_a_server_with_people_inside_and_in_a_link() {
    for signal in ["-INT", "-TERM"] {
        let (mut first, mut second) = Server::pair(&[], &[]);
        let mut inside: Vec<Person> = (0..10).map(|_| Person::join(first.clients).0).collect();
        first.program.signal(signal);
        first.program.prints("Successful disconnect");
        first.program.exits(0);
        inside.iter_mut().for_each(Person::ends);
        second.program.prints("Peer 1 disconnected");
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_peer_that_does_not_answer() {
    let mut server = Server::start(&[]);
    let mut peer = Person::link(server.peers);
    server.program.signal("-INT");
    peer.hears("REQ_DCPEER(1)");
    server.program.signal("-INT");
    server.program.exits(130);
}

/// As `| head -2` does.
#[test]
fn a_closed_stdout_is_no_panic() {
    let mut child = Command::new(SERVER)
        .args(["127.0.0.1", "0", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = lines.next().unwrap().unwrap().split_off("listening on ".len());
    drop(lines);
    let mut client = Person::connect(addr.parse().unwrap());
    for _ in 0..100 {
        client.asks("REQ_LS", "ERROR(04)");
    }
    let port = addr.rsplit(':').next().unwrap();
    let mut asking = Command::new(CLIENT)
        .args(["127.0.0.1", port, "show", "localpotency"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(asking.stdout.take());
    until("the client's end", || asking.try_wait().unwrap());
    client.asks("REQ_ADD", "RES_ADD(");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    until("the server's end", || child.try_wait().unwrap());
    for program in [child, asking] {
        let output = program.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code < 2), "{:?}: {said}", output.status);
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// The address of both servers may be the other machine's.
#[test]
fn a_server_whose_address_is_another_machines_serves_its_clients() {
    let mut server = Program::start(SERVER, &["192.0.2.1", "25999", "0"]);
    let head = "listening on 0.0.0.0:";
    let line = server.prints_one(head, |line| line.starts_with(head));
    let addr = format!("127.0.0.1:{}", &line[head.len()..]);
    let (mut client, _) = Person::join(addr.parse().unwrap());
    client.asks("REQ_LP", "RES_LP(local 0 ");
    client.asks("REQ_EP", "ERROR(03)");
    server.types("kill");
    server.exits(0);
    client.ends();
}

#[test]
fn names_and_ipv6_work() {
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    let hosts = if has_ipv6 { &["localhost", "::1", "[::1]"][..] } else { &["localhost"] };
    for host in hosts {
        let mut server = Program::start(SERVER, &[host, "0", "0"]);
        let head = "listening on ";
        let line = server.prints_one(head, |line| line.starts_with(head));
        let port = line.rsplit(':').next().unwrap();
        let head = "listening for a peer on ";
        let line = server.prints_one(head, |line| line.starts_with(head));
        let mut second = Program::start(SERVER, &[host, line.rsplit(':').next().unwrap(), "0"]);
        second.prints("Peer 1 connected");
        second.types("kill");
        second.exits(0);
        server.prints("REQ_DCPEER(2)");
        server.prints("Peer 2 disconnected");
        let (code, out, err) = run(CLIENT, &[host, port, "show", "localpotency"], "");
        assert_eq!((code, out.len()), (Some(0), 3), "{host}: {out:?} {err:?}");
        assert!(out[1].starts_with("local 0 potency: "), "{host}: {out:?}");
    }
}
