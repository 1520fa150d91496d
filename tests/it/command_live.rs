//! The command server as a program: connections, limits, datagrams, starts and stops.

use crate::command_server::{self, MALHA, Serving};
use crate::command_value::USER;
use crate::folder::Folder;
use crate::harness::{Person, Program, TempFile, WAIT, run, until, until_at_most};
use malha::net::stop::{Stop, stop_pair};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// A server with its log.
pub struct Server {
    pub program: Program,
    pub addr: SocketAddr,
    pub log: String,
    /// Gone with the server.
    _folder: Folder,
}

impl Server {
    pub fn start(more: &[&str]) -> Server {
        let folder = Folder::new();
        let log = folder.at("log.txt");
        let Serving { program, addr } = Serving::start(&log, more);
        Server { program, addr, log, _folder: folder }
    }

    /// Waits until the log has such a line.
    #[track_caller]
    pub fn logs(&self, line: &str) {
        command_server::logs(&self.log, &format!(" - {line}\n"));
    }
}

/// A users file in which ana has the password `segredo`.
pub fn ana() -> TempFile {
    let users = TempFile::new("");
    let password = std::str::from_utf8(USER.1).unwrap();
    let added = run(MALHA, &["command", "adduser", "--users", users.path(), USER.0], password);
    assert_eq!(added.0, Some(0), "{added:?}");
    users
}

pub fn datagrams(to: SocketAddr) -> UdpSocket {
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
    // With the silence it would be more.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
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
    person.ends();
    server.logs(&format!("{addr} inativo por 0.2 s, conexão encerrada"));
}

/// Asks more and more of what takes long to log, and reads all answers, until it is over.
fn asks_until(over: &Stop, addr: SocketAddr) {
    let mut asking = Person::connect(addr);
    let mut reading = asking.socket.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
        let requests = [vec![27; 1_000], b"\n".to_vec()].concat().repeat(50);
        while !over.is_asked() {
            asking.says_bytes(&requests);
        }
        // So that the reading ends, too.
        asking.socket.shutdown(std::net::Shutdown::Both).unwrap();
    });
}

#[test]
fn an_idle_client_is_closed_also_while_others_ask_more_than_is_answered() {
    let server = Server::start(&["--idle-timeout", "0.5", "--max-clients", "50"]);
    let (over, is_over) = stop_pair();
    thread::scope(|scope| {
        let (_over, is_over, addr) = (over, &is_over, server.addr);
        for _ in 0..40 {
            scope.spawn(move || asks_until(is_over, addr));
        }
        let mut person = Person::connect(server.addr);
        person.asks("ECHO", "ECHO: ");
        person.ends();
    });
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

/// The server has 5 s of patience with each.
#[test]
fn clients_that_do_not_read_hurt_nobody_else() {
    let server = Server::start(&[]);
    let deaf: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(server.addr).unwrap()).collect();
    let requests = b"ECHO\n".repeat(1_000);
    for mut deaf in &deaf {
        deaf.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        // Until the server takes no more from it, because it takes no answers.
        while deaf.write_all(&requests).is_ok() {}
    }
    let mut other = Person::connect(server.addr);
    let start = Instant::now();
    for _ in 0..100 {
        other.asks("TIME", "TIME: ");
    }
    assert!(start.elapsed() < WAIT, "{:?}", start.elapsed());
}

/// What a new client is told first, if anything.
fn first_line(addr: SocketAddr, request: &str) -> String {
    let mut person = Person::connect(addr);
    // One that is not let in is told so, and closed.
    let _ = person.socket.write_all(request.as_bytes());
    let mut line = String::new();
    let _ = BufReader::new(person.socket).read_line(&mut line);
    line
}

/// A connection that was reset before it was accepted costs nobody else a pause, which for all of
/// them would be twice as long as one waits here.
#[test]
fn connections_that_are_gone_at_once_hold_nobody_up() {
    let server = Server::start(&[]);
    for _ in 0..30 {
        let socket = TcpStream::connect(server.addr).unwrap();
        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    }
    // It may be refused while those before it are still being noticed.
    until("a seat", || first_line(server.addr, "ECHO\n").starts_with("ECHO: ").then_some(()));
}

/// Closed with a reset, as by a program that is killed with bytes unread.
fn resets(person: Person) {
    socket2::SockRef::from(&person.socket).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Who leaves while a password is checked, in whatever way, keeps no seat, and is not counted;
/// nobody's check is forgotten over it.
#[test]
fn those_who_leave_during_their_check_are_in_nobodys_way() {
    let users = ana();
    let server = Server::start(&["--users", users.path(), "--max-clients", "3"]);
    let read = || std::fs::read_to_string(&server.log).unwrap();
    let mut round = 0;
    until_at_most(WAIT * 3, "many who came in and left", || {
        let mut person = Person::connect(server.addr);
        // One too many is closed.
        let _ = person.socket.write_all(b"AUTH ana errado\n");
        round += 1;
        if round % 4 == 0 {
            person.half_closes();
        } else {
            resets(person);
        }
        (read().matches(" conectado (").count() >= 60).then_some(())
    });
    until("an answer to the right password", || {
        (first_line(server.addr, "AUTH ana segredo\n") == "OK\n").then_some(())
    });
    for line in read().lines().filter(|line| line.contains(" conectado (")) {
        let open: u32 = line.rsplit(['(', '/']).nth(1).unwrap().parse().unwrap();
        assert!(open <= 3, "{line}");
    }
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
    server.program.signal("-INT");
    server.program.exits(0);
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
