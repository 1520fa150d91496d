//! What a server tells beside its answers: counters, trace, pieces and silences, on the program.

use crate::grid_live::ports_of_the_spec;
use crate::harness::{CLIENT, Person, Program, SERVER, Server, WAIT, run, until};
use crossbeam_channel::bounded;
use malha::grid::client::{Client, Lost};
use malha::grid::console::{self, ClientCommand, Ended};
use malha::grid::state::Counters;
use malha::net::clock::Clock;
use malha::net::screen::Screen;
use malha::net::stop::stop_pair;
use malha::net::trace::{Level, Trace};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const MALHA: &str = env!("CARGO_BIN_EXE_malha");

#[test]
fn what_went_wrong_is_counted_and_told_at_the_end() {
    let mut server = Server::start(&["--max-clients", "1"]);
    let (mut client, _) = Person::join(server.clients);
    client.says("FOO");
    client.hears("ERROR(05)");
    let mut refused = Person::connect(server.clients);
    refused.hears_bytes(b"ERROR(01)");
    refused.ends();
    server.program.types("kill");
    let (code, _, err) = server.program.ends();
    assert_eq!(code, Some(0));
    assert_eq!(err, ["clients-refused=1 malformed=1"]);
}

#[test]
fn what_went_wrong_with_the_other_server_is_counted() {
    let mut server = Server::start(&["--peer-timeout", "0.05"]);
    let (mut client, _) = Person::join(server.clients);
    let mut peer = Person::link(server.peers);
    let mut third = Person::connect(server.peers);
    third.says("REQ_ADDPEER");
    third.hears("ERROR(02)");
    client.asks("REQ_EP", "ERROR(03)");
    peer.hears("REQ_EP");
    peer.says("RES_EP(external 2 potency: 5)");
    peer.asks("FOO", "ERROR(05)");
    drop(peer);
    server.program.prints("Peer 2 disconnected");
    server.program.types("kill");
    let (_, _, err) = server.program.ends();
    let counted =
        ["peers-refused=1 malformed=1 questions-timed-out=1 answers-dropped=1 links-lost=1"];
    assert_eq!(err, counted);
}

#[test]
fn every_counter_is_told_by_its_name() {
    let all = Counters {
        clients_refused: 1,
        joins_timed_out: 2,
        clients_slow: 3,
        peers_refused: 4,
        guests_refused: 5,
        guests_timed_out: 6,
        malformed: 7,
        questions_timed_out: 8,
        answers_dropped: 9,
        links_lost: 10,
        links_slow: 11,
    };
    let told = "clients-refused=1 joins-timed-out=2 clients-slow=3 peers-refused=4 \
                guests-refused=5 guests-timed-out=6 malformed=7 questions-timed-out=8 \
                answers-dropped=9 links-lost=10 links-slow=11";
    assert_eq!(all.report(), told);
}

#[test]
fn nothing_is_told_where_nothing_went_wrong() {
    let mut server = Server::start(&[]);
    server.program.types("kill");
    let (code, _, err) = server.program.ends();
    assert_eq!((code, err), (Some(0), vec![]));
}

#[test]
fn the_trace_tells_each_message_with_its_connection() {
    let mut server = Server::start(&["--trace", "wire"]);
    let (mut client, _) = Person::join(server.clients);
    client.asks("REQ_LP", "RES_LP(local 0 ");
    server.program.types("kill");
    let (_, _, err) = server.program.ends();
    let told = |what: &str| err.iter().any(|line| line.starts_with("t=") && line.contains(what));
    for what in ["ev=open conn=c1", "open=1/10", "ev=wire c1> REQ_LP", "ev=wire c1< RES_LP(local"] {
        assert!(told(what), "no {what:?} in {err:#?}");
    }
}

/// Spec, Tolerant input: 20 ms of silence, and not the end of the connection.
#[test]
fn an_unknown_message_without_terminator_is_answered_after_a_silence() {
    let server = Server::start(&[]);
    let mut client = Person::connect(server.clients);
    client.says_bytes(b"REQ_ADD");
    client.hears_bytes(b"RES_ADD(1)");
    let start = Instant::now();
    client.says_bytes(b"REQ_XX");
    client.hears_bytes(b"ERROR(05)");
    assert!(start.elapsed() >= Duration::from_millis(20), "answered before the silence");
    client.says_bytes(b"REQ_DC(1");
    client.hears_bytes(b"OK(01)");
}

/// A terminator in two pieces, and a message cut in its middle. The first message waits no longer
/// than 20 ms for its terminator: where this machine is too busy for that, it tries again.
#[test]
fn pieces_that_arrive_late_are_one_message() {
    let (server, mut client) = until("two writes less than 20 ms apart", || {
        let server = Server::start(&[]);
        let mut client = Person::connect(server.clients);
        let start = Instant::now();
        for piece in [&b"REQ_A"[..], b"DD\r", b"\n"] {
            client.says_bytes(piece);
        }
        let is_late = start.elapsed() > Duration::from_millis(15);
        client.hears_bytes(b"RES_ADD(1)");
        if is_late {
            return None;
        }
        client.hears_bytes(b"\r\n");
        Some((server, client))
    });
    client.says_bytes(b"REQ_");
    // An answer to another proves that the first piece was read long before the second is sent.
    let (mut other, _) = Person::join(server.clients);
    other.asks("REQ_LP", "RES_LP(local 0 ");
    client.says_bytes(b"DC(1)\r\n");
    client.hears_bytes(b"OK(01)\r\n");
}

#[test]
fn the_demo_shows_all_twelve_answers_and_succeeds() {
    let (code, out, err) = run(MALHA, &["grid", "demo", "--seed", "7"], "");
    assert_eq!((code, err.len()), (Some(0), 0), "{err:?}");
    for client in ["[client 1] ", "[client 2] "] {
        let said: Vec<&String> = out.iter().filter(|line| line.starts_with(client)).collect();
        let asked = said.iter().filter(|line| line.contains("] > show ")).count();
        assert_eq!((asked, said.len()), (6, 14), "{out:#?}");
    }
}

#[test]
fn help_is_long_on_examples_and_short_on_a_bare_call() {
    for (program, args, example) in [
        (MALHA, &["grid", "server"][..], "  ./server 127.0.0.1 90900 90100"),
        (SERVER, &[], "  ./server 127.0.0.1 90900 90100"),
        (CLIENT, &[], "  ./client 127.0.0.1 90100"),
    ] {
        let (code, out, _) = run(program, &[args, &["--help"]].concat(), "");
        assert_eq!(code, Some(0));
        assert!(out.iter().any(|line| line.starts_with(example)), "{example}: {out:#?}");
        let (code, out, err) = run(program, args, "");
        assert_eq!((code, out.len(), err.len()), (Some(2), 0, 1), "{err:?}");
        assert!(err[0].ends_with("see --help"), "{err:?}");
    }
}

/// A standard output or error that nobody reads must not hold up who asks.
#[test]
fn a_reader_that_stops_reading_stops_nobody() {
    let args = ["127.0.0.1", "0", "0", "--trace", "wire"];
    let mut command = std::process::Command::new(crate::harness::SERVER);
    let pipes = || std::process::Stdio::piped();
    let mut child =
        command.args(args).stdin(pipes()).stdout(pipes()).stderr(pipes()).spawn().unwrap();
    let mut first = String::new();
    let out = child.stdout.as_mut().unwrap();
    // One byte at a time, so that nothing is read ahead.
    while !first.ends_with('\n') {
        let mut byte = [0];
        std::io::Read::read_exact(out, &mut byte).unwrap();
        first.push(char::from(byte[0]));
    }
    let addr = first.trim().strip_prefix("listening on ").unwrap().parse().unwrap();
    let (mut client, _) = Person::join(addr);
    let start = Instant::now();
    for _ in 0..40 {
        client.says_bytes("REQ_LP\n".repeat(1_000).as_bytes());
        for _ in 0..1_000 {
            assert!(client.line().starts_with("RES_LP(local 0 "));
        }
        assert!(start.elapsed() < 3 * WAIT, "the server waits for its reader");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A server has served, so that is no failure; but it is said.
#[test]
fn what_could_not_be_shown_is_said_at_the_end() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let lost = "nobody reads it, the last lines are lost";
    let server = Server::start(&[]);
    let to_server = ["127.0.0.1", &server.clients.port().to_string()];
    let new = ["127.0.0.1", "0", "0"];
    for (path, args, out, helps, code, why) in [
        (SERVER, &new[..], Stdio::from(full), 1, 0, "No space left on device (os error 28)"),
        // More than a pipe holds, and less than the screen keeps.
        (SERVER, &new[..], Stdio::piped(), 1_000, 0, lost),
        (CLIENT, &to_server[..], Stdio::piped(), 1_000, 1, lost),
    ] {
        let mut command = Command::new(path);
        let command = command.args(args).stdin(Stdio::piped()).stdout(out);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let typed = "help\n".repeat(helps) + "kill\n";
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{err}");
        assert_eq!(err, format!("error: cannot write to standard output: {why}\n"));
    }
}

#[test]
fn what_is_typed_is_answered_in_its_order() {
    let typed = "show sensors\nhelp\nshow peer\nfoo\nshow clients\nkill\n";
    let (code, out, err) = run(SERVER, &["127.0.0.1", "0", "0"], typed);
    assert_eq!(code, Some(0), "{err:?}");
    let heads =
        ["sensor 0: ", "show sensors ", "help ", "no peer", "unknown command `foo`", "no clients"];
    let place = |head: &&str| out.iter().position(|line| line.starts_with(*head));
    let places: Vec<_> = heads.iter().map(place).collect();
    assert!(places.is_sorted() && places[0].is_some(), "{heads:?}: {places:?} in {out:#?}");
}

#[test]
fn both_servers_of_one_terminal_end_with_it() {
    let _ports = ports_of_the_spec();
    let mut servers = Program::start(MALHA, &["grid", "servers"]);
    // Whichever of both was faster.
    servers.prints_one("a link", |line| line.ends_with("New Peer ID: 1"));
    servers.signal("-INT");
    servers.exits(0);
}

/// A shell's job, whose terminal belongs to the shell.
#[test]
fn a_server_in_the_background_serves_and_ends() {
    let job = format!("{SERVER} 127.0.0.1 0 0 & echo job $!; wait; echo over");
    let mut shell = Program::start("script", &["-qec", &format!("bash -ic '{job}'"), "/dev/null"]);
    let line = shell.prints_one("the job", |line| line.contains("job "));
    let pid = line.split("job ").nth(1).unwrap().trim().to_owned();
    let head = "listening on ";
    let line = shell.prints_one(head, |line| line.starts_with(head));
    Person::join(line.trim()[head.len()..].parse().unwrap());
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    shell.prints_one("the end", |line| line.contains("over"));
}

#[test]
fn a_server_that_is_brought_to_the_foreground_has_a_console() {
    let shell = "PS1= bash --norc --noediting -i";
    let mut shell = Program::start("script", &["-qec", shell, "/dev/null"]);
    shell.types(&format!("{SERVER} 127.0.0.1 0 0 &"));
    let head = "listening on ";
    shell.prints_one(head, |line| line.starts_with(head));
    shell.types("fg; echo it is $((1 + 1))");
    shell.prints_one("the job", |line| line.starts_with(SERVER) && !line.contains('&'));
    shell.types("show peer");
    shell.prints_one("the answer", |line| line.contains("no peer"));
    shell.types("kill");
    shell.prints_one("the end", |line| line.contains("it is 2"));
}

#[test]
fn refusals_cuts_and_time_outs_are_traced() {
    let mut server = Server::start(&["--trace", "events", "--peer-timeout", "0.05"]);
    let mut peer = Person::link(server.peers);
    let mut third = Person::connect(server.peers);
    third.asks("REQ_ADDPEER", "ERROR(02)");
    let (mut client, _) = Person::join(server.clients);
    for _ in 0..3 {
        client.asks("REQ_ES", "ERROR(03)");
    }
    while peer.socket.read(&mut [0; 64]).is_ok_and(|size| size > 0) {}
    server.program.types("kill");
    let (_, _, err) = server.program.ends();
    for (event, count) in [
        ("ev=part link=p2 why=PeerLimit", 1),
        ("ev=time-out conn=c1 question=REQ_ES", 3),
        ("ev=cut link=p1 why=Silent", 1),
    ] {
        let told = err.iter().filter(|line| line.ends_with(event)).count();
        assert_eq!(told, count, "{event}: {err:#?}");
    }
}

/// Spec, Clients: the exit status is 0 if all were answered.
#[test]
fn a_session_that_stop_cuts_short_tells_so() {
    let server = Server::start(&[]);
    let trace = Trace::stderr(Level::Off, Clock::start()).unwrap();
    let screen = Screen::stdout().unwrap();
    let ended_with = |waiting: Vec<ClientCommand>| {
        let (stopper, stop) = stop_pair();
        let (typed_in, typed) = bounded(1);
        waiting.into_iter().for_each(|command| typed_in.send(Ok(command)).unwrap());
        thread::scope(|scope| {
            let client = Client::join(scope, &[server.clients], &stop, &trace).unwrap();
            drop(stopper);
            console::session(client, &typed, &screen, &stop)
        })
    };
    assert!(matches!(ended_with(vec![]), Ended::Done));
    let cut_short = ended_with(vec![ClientCommand::Help]);
    assert!(matches!(cut_short, Ended::Lost(Lost::Stopped)), "{cut_short:?}");
}

/// One of three ports given for another is a common mistake.
#[test]
fn who_is_given_the_wrong_port_is_told_so() {
    let server = Server::start(&[]);
    let [peers, clients] = [server.peers, server.clients].map(|addr| addr.port().to_string());
    let (code, out, err) = run(CLIENT, &["127.0.0.1", &peers, "show", "localpotency"], "");
    assert_eq!((code, &out[..]), (Some(1), &["Malformed message".to_owned()][..]));
    assert_eq!(err, [format!("127.0.0.1:{peers} takes no clients: is it the peer port?")]);
    let mut strayed = Program::start(SERVER, &["127.0.0.1", &clients, "0"]);
    let line = strayed.complains();
    assert!(line.starts_with("what answers is no peer, and cannot listen on 127.0.0.1:"), "{line}");
}
