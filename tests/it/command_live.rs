//! The command server as a program: the chapter's conversations again, connections, datagrams.

use crate::command_naive;
use crate::command_value::{self, USER, matched};
use crate::harness::{Person, Program, TempFile, WAIT, run, until};
use crate::transcript::{self, Step};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

const MALHA: &str = env!("CARGO_BIN_EXE_malha");
const CHAPTER: &str = include_str!("../../src/command/README.md");

/// A server with its log.
struct Server {
    program: Program,
    addr: SocketAddr,
    log: TempFile,
}

impl Server {
    fn start(more: &[&str]) -> Server {
        let log = TempFile::new("");
        let args = ["command", "server", "--listen", "127.0.0.1:0", "--log", log.path()];
        let mut program = Program::start(MALHA, &[&args[..], more].concat());
        let head = "listening on ";
        let line = program.prints_one(head, |line| line.starts_with(head));
        Server { program, addr: line[head.len()..].parse().unwrap(), log }
    }

    /// Waits until the log has a line that ends so.
    #[track_caller]
    fn logs(&self, line: &str) {
        until(&format!("{line:?} in the log"), || {
            let text = std::fs::read_to_string(self.log.path()).unwrap();
            text.lines().any(|logged| logged.ends_with(&format!(" - {line}"))).then_some(())
        });
    }
}

#[test]
fn the_conversations_of_the_chapter_hold() {
    let told = transcript::in_chapter(CHAPTER, "transcript");
    assert!(told.len() > 3, "the chapter tells nothing");
    for text in told {
        command_value::check(&text);
        replay(&text, &["--udp"]);
    }
}

#[test]
fn those_with_names_and_passwords_hold() {
    let users = TempFile::new("");
    let password = std::str::from_utf8(USER.1).unwrap();
    let added = run(MALHA, &["command", "adduser", "--users", users.path(), USER.0], password);
    assert_eq!(added.0, Some(0), "{added:?}");
    let told = transcript::in_chapter(CHAPTER, "transcript-users");
    assert!(!told.is_empty());
    for text in told {
        command_value::check_with_users(&text);
        replay(&text, &["--users", users.path()]);
    }
}

/// What the chapter says of a program that takes one read for one request.
#[test]
fn a_naive_server_goes_wrong_as_told() {
    let told = transcript::in_chapter(CHAPTER, "transcript-naive");
    assert!(!told.is_empty());
    for text in told {
        let naive = command_naive::start();
        play_all(&text, naive, None);
    }
}

fn replay(text: &str, more: &[&str]) {
    let server = Server::start(more);
    play_all(text, server.addr, Some(&server));
}

fn play_all(text: &str, addr: SocketAddr, server: Option<&Server>) {
    let mut stage = Stage { addr, server, people: BTreeMap::new() };
    for step in joined(transcript::parse(text)) {
        let played = catch_unwind(AssertUnwindSafe(|| stage.play(&step)));
        played.unwrap_or_else(|panic| {
            eprintln!("at step {step} on the program, in:\n{text}");
            resume_unwind(panic)
        });
    }
}

/// What one says without being answered is one write here: a pause between two, if this machine is
/// busy, could be longer than the 20 ms that end a request. The value is told piece by piece.
fn joined(steps: Vec<Step>) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::new();
    for step in steps {
        match (joined.last_mut(), step) {
            (Some(Step::Says(who, bytes)), Step::Says(again, more)) if *who == again => {
                bytes.extend(more);
            }
            (_, step) => joined.push(step),
        }
    }
    joined
}

enum Speaker {
    Stream(Person),
    Datagrams(UdpSocket),
}

struct Stage<'a> {
    addr: SocketAddr,
    server: Option<&'a Server>,
    people: BTreeMap<String, (Speaker, SocketAddr)>,
}

impl Stage<'_> {
    fn play(&mut self, step: &Step) {
        match step {
            Step::Opens(who) => {
                let person = Person::connect(self.addr);
                let addr = person.socket.local_addr().unwrap();
                self.people.insert(who.clone(), (Speaker::Stream(person), addr));
            }
            Step::OpensUdp(who) => {
                let socket = datagrams(self.addr);
                let addr = socket.local_addr().unwrap();
                self.people.insert(who.clone(), (Speaker::Datagrams(socket), addr));
            }
            Step::Says(who, bytes) => match self.speaker(who) {
                Speaker::Stream(person) => person.says_bytes(bytes),
                Speaker::Datagrams(socket) => drop(socket.send(bytes).unwrap()),
            },
            Step::Hears(who, expected) => self.hears(who, expected),
            Step::Closes(who) => drop(self.people.remove(who)),
            Step::Ends(who) => match self.speaker(who) {
                Speaker::Stream(person) => person.ends(),
                Speaker::Datagrams(_) => panic!("datagrams do not end"),
            },
            Step::Logs(line) => {
                let mut line = line.clone();
                for (name, (_, addr)) in &self.people {
                    line = line.replace(&format!("@{name} "), &format!("{addr} "));
                }
                self.server.unwrap().logs(&line);
            }
            other => panic!("{other} is no step here"),
        }
    }

    fn hears(&mut self, who: &str, expected: &[u8]) {
        match self.speaker(who) {
            Speaker::Stream(person) if expected.contains(&b'\n') => {
                let line = person.line();
                let all = matched(expected, line.as_bytes()) == Some(line.len());
                assert!(all, "expected {}, heard {line:?}", expected.escape_ascii());
            }
            Speaker::Stream(person) => person.hears_bytes(expected),
            Speaker::Datagrams(socket) => {
                let mut bytes = [0; 2048];
                let size = socket.recv(&mut bytes).unwrap();
                let heard = bytes[..size].escape_ascii();
                assert_eq!(matched(expected, &bytes[..size]), Some(size), "heard {heard}");
            }
        }
    }

    fn speaker(&mut self, who: &str) -> &mut Speaker {
        &mut self.people.get_mut(who).unwrap().0
    }
}

fn datagrams(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.connect(to).unwrap();
    socket
}

#[test]
fn one_client_too_many_is_told_and_logged() {
    let mut server = Server::start(&["--max-clients", "1"]);
    let mut first = Person::connect(server.addr);
    first.asks("ECHO", "ECHO: ");
    let mut second = Person::connect(server.addr);
    let addr = second.socket.local_addr().unwrap();
    second.hears_bytes("ERROR: Número máximo de clientes alcançado.".as_bytes());
    second.ends();
    server.logs(&format!("{addr} recusado: número máximo de clientes (1)"));
    first.asks("EXIT", "OK");
    first.ends();
    Person::connect(server.addr).asks("ECHO", "ECHO: ");
    server.program.signal("-INT");
    let (code, _, err) = server.program.ends();
    assert_eq!((code, err), (Some(0), vec!["clients-refused=1".to_owned()]));
    server.logs("Servidor encerrado");
}

#[test]
fn a_request_without_terminator_waits_20_ms_and_one_with_it_does_not() {
    let server = Server::start(&[]);
    let mut plain = Person::connect(server.addr);
    let start = Instant::now();
    plain.says_bytes(b"ECHO");
    plain.hears_bytes("ECHO: Comando recebido com sucesso.".as_bytes());
    assert!(start.elapsed() >= Duration::from_millis(20));
    let mut lines = Person::connect(server.addr);
    let start = Instant::now();
    for _ in 0..1_000 {
        lines.asks("ECHO", "ECHO: ");
    }
    // With the silence it would be 20 s.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// Two writes, if this machine is not so busy that they lie 20 ms apart: then it tries again.
#[test]
fn a_request_in_two_segments_is_one() {
    let server = Server::start(&[]);
    until("two writes less than 20 ms apart", || {
        let mut person = Person::connect(server.addr);
        let start = Instant::now();
        person.says_bytes(b"EC");
        person.says_bytes(b"HO\n");
        let is_late = start.elapsed() > Duration::from_millis(15);
        let line = person.line();
        assert!(is_late || line.starts_with("ECHO: "), "{line:?}");
        line.starts_with("ECHO: ").then_some(())
    });
}

#[test]
fn who_has_stopped_sending_still_reads_the_answer() {
    let server = Server::start(&[]);
    let mut person = Person::connect(server.addr);
    person.says_bytes(b"TIME\nECHO");
    person.half_closes();
    assert!(person.line().starts_with("TIME: "));
    person.hears("ECHO: Comando recebido com sucesso.");
    person.ends();
}

/// Also in the middle of a request, which is none.
#[test]
fn an_idle_client_is_closed_and_logged() {
    let server = Server::start(&["--idle-timeout", "0.2"]);
    let mut person = Person::connect(server.addr);
    let addr = person.socket.local_addr().unwrap();
    person.asks("ECHO", "ECHO: ");
    let start = Instant::now();
    person.ends();
    assert!(start.elapsed() < Duration::from_secs(5));
    server.logs(&format!("{addr} inativo por 0.2 s, conexão encerrada"));
}

#[test]
fn one_that_is_too_long_is_answered_and_closed() {
    let server = Server::start(&[]);
    let mut person = Person::connect(server.addr);
    person.says("ECHO");
    person.hears("ECHO: Comando recebido com sucesso.");
    // The server hangs up while it is still being told.
    let _ = person.socket.write_all(&[b'x'; 100_000]);
    person.hears("ERROR: Comando não reconhecido.");
}

#[test]
fn many_requests_at_once_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut person = Person::connect(server.addr);
    person.says_bytes("ECHO\nTIME\nfoo\n".repeat(500).as_bytes());
    for _ in 0..500 {
        assert!(person.line().starts_with("ECHO: "));
        assert!(person.line().starts_with("TIME: "));
        assert!(person.line().starts_with("ERROR: "));
    }
}

#[test]
fn a_client_that_does_not_read_hurts_nobody_else() {
    let server = Server::start(&[]);
    let deaf = TcpStream::connect(server.addr).unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let requests = b"ECHO\n".repeat(1_000);
    // Until the server takes no more from it, because it takes no answers.
    while (&deaf).write_all(&requests).is_ok() {}
    let mut other = Person::connect(server.addr);
    let start = Instant::now();
    for _ in 0..100 {
        other.asks("TIME", "TIME: ");
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_second_server_on_the_same_port_says_why_not() {
    let server = Server::start(&[]);
    let addr = server.addr.to_string();
    let log = TempFile::new("");
    let args = ["command", "server", "--listen", &addr, "--log", log.path()];
    let (code, out, err) = run(MALHA, &args, "");
    assert_eq!((code, out), (Some(1), vec![]));
    assert_eq!(err.len(), 1, "{err:?}");
    assert!(err[0].starts_with(&format!("error: cannot listen on {addr}: ")), "{err:?}");
}

#[test]
fn a_server_that_was_killed_can_start_again_at_once() {
    let mut server = Server::start(&[]);
    let mut person = Person::connect(server.addr);
    person.asks("ECHO", "ECHO: ");
    server.program.signal("-KILL");
    server.program.exit();
    let (addr, log) = (server.addr.to_string(), TempFile::new(""));
    let args = ["command", "server", "--listen", &addr, "--log", log.path()];
    let mut again = Program::start(MALHA, &args);
    again.prints(&format!("listening on {addr}"));
    again.signal("-TERM");
    again.exits(0);
}

#[test]
fn it_stops_with_people_and_datagrams_inside() {
    let mut server = Server::start(&["--udp"]);
    let mut people: Vec<Person> = (0..5).map(|_| Person::connect(server.addr)).collect();
    for person in &mut people {
        person.asks("ECHO", "ECHO: ");
    }
    people[0].says_bytes(b"EC");
    datagrams(server.addr).send(b"ECHO").unwrap();
    let start = Instant::now();
    server.program.signal("-INT");
    server.program.exits(0);
    assert!(start.elapsed() < Duration::from_secs(5));
    people.iter_mut().for_each(Person::ends);
}

/// An answer is not answered, or two servers would go on for ever; what is behind it is.
#[test]
fn an_error_in_a_datagram_is_not_answered() {
    let server = Server::start(&["--udp"]);
    let socket = datagrams(server.addr);
    socket.send("ERROR: Comando não reconhecido.".as_bytes()).unwrap();
    socket.send(&[b'x'; 5_000]).unwrap();
    socket.send(b"").unwrap();
    socket.send(b"echo").unwrap();
    let mut bytes = [0; 2048];
    let mut heard = || {
        let size = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..size].to_vec()).unwrap()
    };
    assert_eq!(heard(), "ERROR: Comando não reconhecido.");
    assert_eq!(heard(), "ERROR: Comando não reconhecido.");
    assert_eq!(heard(), "ECHO: Comando recebido com sucesso.");
}
