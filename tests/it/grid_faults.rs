//! What goes wrong on real machines: peers that die or are silent, clients that vanish or do not
//! read, programs with other habits. The server goes on.

use crate::harness::{Person, Server, TempFile, until, until_at_most};
use malha::grid::limits::SPACING_MS;
use malha::net::limits::WRITE_MS_MAX;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// A server that waits for its peer longer than any test takes.
const PATIENT: [&str; 2] = ["--peer-timeout", "20"];

#[test]
fn a_peer_that_dies_is_told_and_the_next_one_serves_the_same_clients() {
    let mut server = Server::start(&PATIENT);
    let (mut client, _) = Person::join(server.clients);
    for _ in 0..3 {
        let mut peer = Person::link(server.peers);
        client.says("REQ_EP");
        peer.hears("REQ_EP");
        peer.says("RES_EP(external 2 potency: 5)");
        client.hears("RES_EP(external 2 potency: 5)");
        client.says("REQ_ES");
        peer.hears("REQ_ES");
        drop(peer);
        client.hears("ERROR(03)");
        server.program.prints("Peer 2 disconnected");
        server.program.prints("No peer found, starting to listen..");
    }
}

/// The server that is killed accepted; the one that is left dialed, and listens from then on.
#[test]
fn a_server_killed_under_load_is_replaced_without_its_clients_noticing_more_than_errors() {
    let csv = TempFile::new("0,100,100\n1,10,100\n2,10,100\n");
    let (first, mut second) = Server::pair(&["--sensors", csv.path()], &PATIENT);
    let (mut client, _) = Person::join(second.clients);
    client.asks("REQ_EP", "RES_EP(external 1 potency: 120)\n");
    thread::scope(|scope| {
        let (asked_in, asked) = crossbeam_channel::bounded(1);
        scope.spawn(move || {
            for round in 0.. {
                client.says("REQ_EP");
                match client.line().as_str() {
                    "RES_EP(external 1 potency: 120)\n" => {}
                    "ERROR(03)\n" => break,
                    other => panic!("heard {other:?} in round {round}"),
                }
                if round == 100 {
                    asked_in.send(()).unwrap();
                }
            }
            asked_in.send(()).unwrap();
            // Until another one has come.
            until("the next server", || {
                client.says("REQ_EP");
                (client.line() == "RES_EP(external 2 potency: 120)\n").then_some(())
            });
        });
        asked.recv_timeout(crate::harness::WAIT).unwrap();
        first.program.signal("-KILL");
        second.program.prints("Peer 1 disconnected");
        second.program.prints("No peer found, starting to listen..");
        asked.recv_timeout(crate::harness::WAIT).unwrap();
        let third = Server::start_at(second.peers.port(), &["--sensors", csv.path()]);
        second.program.prints("New Peer ID: 1");
        // Kept until the client has its answer.
        until("the last answer", || {
            matches!(asked.try_recv(), Err(error) if error.is_disconnected()).then_some(())
        });
        drop(third);
    });
}

const QUESTIONS: &str = "REQ_ES\nREQ_LP\nREQ_EP\nREQ_MS\nREQ_LS\nREQ_MN\n";

/// All answers to [`QUESTIONS`] of a server whose best sensors and powers are these.
fn answers(own: (u32, u32, u32), other: (u32, u32, u32)) -> String {
    let sensor = |(id, best, _): (u32, u32, u32)| format!("{id} sensor 0: {best} ({best} 100)");
    let (own_id, _, own_power) = own;
    let (other_id, _, other_power) = other;
    // The first network has the best sensor, the second one more power.
    let [first, second] = if own_id == 1 { [own, other] } else { [other, own] };
    format!(
        "RES_ES(external {})\nRES_LP(local {own_id} potency: {own_power})\n\
         RES_EP(external {other_id} potency: {other_power})\nRES_MS(global {})\n\
         RES_LS(local {})\nRES_MN(global {} potency: {})\n",
        sensor(other),
        sensor(first),
        sensor(own),
        second.0,
        second.2,
    )
}

#[test]
fn two_servers_that_ask_each_other_under_load_mix_nothing_up() {
    const ROUNDS: usize = 30;
    const BLOCK: usize = 10;
    let one = TempFile::new("0,1000,100\n1,1,100\n2,1,100\n");
    let two = TempFile::new("0,900,100\n1,800,100\n2,700,100\n");
    let args = [["--sensors", one.path()], ["--sensors", two.path()]];
    let (first, second) =
        Server::pair(&[&args[0], &PATIENT[..]].concat(), &[&args[1], &PATIENT[..]].concat());
    let networks = [(1, 1000, 1002), (2, 900, 2400)];
    let sides = [
        (first.clients, answers(networks[0], networks[1])),
        (second.clients, answers(networks[1], networks[0])),
    ];
    thread::scope(|scope| {
        for (addr, expected) in sides.iter().cycle().take(8) {
            scope.spawn(move || {
                let (mut client, _) = Person::join(*addr);
                for _ in 0..ROUNDS {
                    client.says_bytes(QUESTIONS.repeat(BLOCK).as_bytes());
                    client.hears_bytes(expected.repeat(BLOCK).as_bytes());
                }
            });
        }
    });
}

#[test]
fn a_silent_peer_delays_nobody_else() {
    let server = Server::start(&PATIENT);
    let mut peer = Person::link(server.peers);
    let (mut waits, _) = Person::join(server.clients);
    waits.says("REQ_ES");
    peer.hears("REQ_ES");
    for _ in 0..20 {
        let (mut other, id) = Person::join(server.clients);
        other.asks("REQ_LS", "RES_LS(local 1 ");
        other.asks(&format!("REQ_DC({id})"), "OK(01)");
        other.ends();
    }
    peer.asks("REQ_MN", "RES_MN(1 ");
    peer.says("RES_ES(external 2 sensor 0: 1 (1 100))");
    waits.hears("RES_ES(external 2 sensor 0: 1 (1 100))");
}

#[test]
fn a_silent_peer_is_given_up_after_three_questions_and_a_new_one_may_come() {
    let mut server = Server::start(&["--peer-timeout", "0.05"]);
    let mut peer = Person::link(server.peers);
    let (mut client, _) = Person::join(server.clients);
    for _ in 0..3 {
        client.asks("REQ_EP", "ERROR(03)");
    }
    server.program.prints("Peer 2 disconnected");
    server.program.prints("No peer found, starting to listen..");
    for _ in 0..3 {
        peer.hears("REQ_EP");
    }
    peer.ends();
    Person::link(server.peers);
}

/// Joins as soon as there is a place; the id.
fn join_when_free(server: &Server) -> (Person, u32) {
    // A place may become free only when a write has taken too long, and so has the one after it.
    let limit = Duration::from_millis(4 * WRITE_MS_MAX);
    until_at_most(limit, "a place", || {
        let mut person = Person::connect(server.clients);
        person.says("REQ_ADD");
        let mut head = [0; 9];
        person.socket.read_exact(&mut head).ok()?;
        if head == *b"ERROR(01)" {
            return None;
        }
        assert!(head.starts_with(b"RES_ADD("), "heard {}", head.escape_ascii());
        person.hears_bytes(b")\n");
        Some((person, u32::from(head[8] - b'0')))
    })
}

#[test]
fn clients_that_vanish_free_their_places_and_ids() {
    let server = Server::start(&["--max-clients", "2", "--peer-timeout", "20"]);
    let mut peer = Person::link(server.peers);
    for _ in 0..10 {
        let (mut one, first) = join_when_free(&server);
        let (two, second) = join_when_free(&server);
        assert_eq!(first + second, 3, "ids are {first} and {second}");
        one.says("REQ_LS");
        drop((one, two));
    }
    // Also with a question open that the other server does not answer.
    for _ in 0..2 {
        let (mut one, _) = join_when_free(&server);
        one.says("REQ_ES");
        peer.hears("REQ_ES");
    }
    let inside = [join_when_free(&server), join_when_free(&server)];
    assert_ne!(inside[0].1, inside[1].1);
}

/// Behind more questions than one read takes its end is not seen, but a reset is.
#[test]
fn a_client_that_is_killed_frees_its_place_however_much_it_has_asked() {
    let server = Server::start(&["--max-clients", "1", "--peer-timeout", "20"]);
    let mut peer = Person::link(server.peers);
    let (mut client, _) = Person::join(server.clients);
    client.says("REQ_LS");
    client.socket.peek(&mut [0]).unwrap();
    client.says("REQ_ES");
    peer.hears("REQ_ES");
    client.says(&"REQ_LP\n".repeat(1_000));
    // With an answer unread, its system resets the connection.
    drop(client);
    let start = Instant::now();
    join_when_free(&server);
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
}

#[test]
fn one_too_many_is_told_so_whatever_it_has_said() {
    let server = Server::start(&[]);
    let mut inside: Vec<(Person, u32)> = (0..10).map(|_| Person::join(server.clients)).collect();
    for round in 0..20 {
        let mut extra = Person::connect(server.clients);
        if round % 2 == 1 {
            extra.says("REQ_ADD");
        }
        extra.hears_bytes(b"ERROR(01)");
        extra.ends();
    }
    let (mut third, id) = inside.remove(2);
    third.asks("REQ_DC(3)", "OK(01)");
    third.ends();
    assert_eq!((id, join_when_free(&server).1), (3, 3));
    for (person, _) in &mut inside {
        person.asks("REQ_LP", "RES_LP(local 0 ");
    }
}

/// It asks until TCP takes no more, and reads nothing.
#[test]
fn a_client_that_does_not_read_hurts_nobody_else() {
    let mut server = Server::start(&["--max-clients", "2"]);
    let (mut deaf, _) = Person::join(server.clients);
    deaf.socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let block = "REQ_LS\n".repeat(1_000);
    // On a busy machine this takes so long that it may have been cut already.
    until("full buffers", || deaf.socket.write_all(block.as_bytes()).err());
    let (mut other, _) = Person::join(server.clients);
    for _ in 0..200 {
        other.asks("REQ_LS", "RES_LS(local 0 ");
    }
    // It is cut, though it never hangs up.
    join_when_free(&server);
    other.asks("REQ_LS", "RES_LS(local 0 ");
    server.program.types("kill");
    let (_, _, err) = server.program.ends();
    assert!(err[0].ends_with("clients-slow=1"), "{err:?}");
}

#[test]
fn a_client_that_sends_no_more_still_gets_all_its_answers() {
    let server = Server::start(&PATIENT);
    let mut peer = Person::link(server.peers);
    let (mut client, _) = Person::join(server.clients);
    client.says_bytes("REQ_LP\n".repeat(300).as_bytes());
    client.says_bytes(b"REQ_ES\nREQ_LP\nREQ_EP\n");
    client.half_closes();
    // The answers of one read come together, so these come first.
    peer.hears_bytes(b"REQ_ES\nREQ_EP\n");
    peer.says("RES_ES(external 2 sensor 0: 1 (1 100))");
    peer.says("RES_EP(external 2 potency: 5)");
    let line = client.line();
    client.hears_bytes(line.repeat(299).as_bytes());
    client.hears("RES_ES(external 2 sensor 0: 1 (1 100))");
    client.hears_bytes(line.as_bytes());
    client.hears("RES_EP(external 2 potency: 5)");
    client.ends();
}

/// It takes what one `recv` brings for one message, as C programs do.
#[test]
fn a_peer_without_terminators_is_asked_one_question_at_a_time() {
    let mut server = Server::start(&PATIENT);
    let mut peer = Person::connect(server.peers);
    peer.says_bytes(b"REQ_ADDPEER");
    peer.hears_bytes(b"RES_ADDPEER(2)");
    peer.says_bytes(b"RES_ADDPEER(1)");
    server.program.prints("New Peer ID: 1");
    let mut clients: Vec<Person> = (0..3).map(|_| Person::join(server.clients).0).collect();
    for client in &mut clients {
        client.says("REQ_EP");
    }
    let (mut last, _) = Person::join(server.clients);
    (0..3).for_each(|_| server.program.prints("REQ_EP"));
    // All questions have reached the coordinator when this is answered.
    last.asks("REQ_LP", "RES_LP(local 1 ");
    for figure in 1..=3 {
        peer.hears_bytes(b"REQ_EP");
        assert!(is_silent(&mut peer.socket), "question {} came too early", figure + 1);
        peer.says_bytes(format!("RES_EP(external 2 potency: {figure})").as_bytes());
    }
    let mut heard: Vec<String> = clients.iter_mut().map(Person::line).collect();
    heard.sort();
    let expected = [1, 2, 3].map(|figure| format!("RES_EP(external 2 potency: {figure})\n"));
    assert_eq!(heard, expected);
}

/// For longer than it would take a question to follow another one that is not answered.
fn is_silent(socket: &mut TcpStream) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(2 * SPACING_MS))).unwrap();
    let read = socket.read(&mut [0]);
    socket.set_read_timeout(Some(crate::harness::WAIT)).unwrap();
    read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[test]
fn strangers_on_both_ports_disturb_nobody() {
    let server = Server::start(&["--max-clients", "50"]);
    let (mut client, _) = Person::join(server.clients);
    for round in 0..20 {
        for addr in [server.clients, server.peers] {
            let mut stranger = Person::connect(addr);
            if round % 2 == 0 {
                stranger.says_bytes(b"GET / HTTP/1.1\r\nHost: malha\r\n\r\n\xff\0\x01");
            }
        }
    }
    client.asks("REQ_LP", "RES_LP(local 0 ");
    until("room for a peer", || {
        let mut peer = Person::connect(server.peers);
        peer.says("REQ_ADDPEER");
        let mut head = [0; 14];
        peer.socket.read_exact(&mut head).ok()?;
        (head == *b"RES_ADDPEER(2)").then_some(())
    });
}
