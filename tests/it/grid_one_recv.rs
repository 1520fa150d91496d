//! A peer that takes what one `recv` gives it for one message, at a real server.

use crate::harness::{Person, Server, WAIT, until_at_most};
use malha::grid::limits::HOLD_MS;
use std::io::{ErrorKind, Read};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

/// An answer that has not come after this does not come.
const LATE: Duration = Duration::from_secs(2);

/// It ends its messages with newlines, and takes what one `recv` gives it for one message.
#[test]
fn a_peer_that_takes_one_recv_for_one_message_loses_no_question() {
    let mut server = Server::start(&[]);
    let mut peer = Person::link(server.peers);
    // Clients that send their questions together, and those that send one at a time.
    let turns = [vec!["REQ_ES", "REQ_EP", "REQ_ES", "REQ_EP", "REQ_MN"], vec!["REQ_EP"]];
    let mut clients: Vec<Person> = (0..10).map(|_| Person::join(server.clients).0).collect();
    let asked = thread::scope(|scope| {
        let peer = scope.spawn(move || answer_one_recv_at_a_time(&mut peer));
        for round in 0..40 {
            for (number, client) in clients.iter_mut().enumerate() {
                let turn = &turns[usize::from(number > 2)];
                client.says(&turn.join("\n"));
            }
            for (number, client) in clients.iter_mut().enumerate() {
                for question in &turns[usize::from(number > 2)] {
                    let answer = client.line();
                    let head = question.replace("REQ_", "RES_");
                    assert!(answer.starts_with(&head), "{round}: {question} got {answer}");
                }
            }
        }
        server.program.types("kill");
        server.program.exits(0);
        peer.join().unwrap()
    });
    assert!(asked > 40 * 20);
}

/// The same one asks us every millisecond. None of its questions is lost, and none of ours: but
/// where this machine keeps it from reading for 10 ms, it tries again.
#[test]
fn a_peer_that_takes_one_recv_for_one_message_may_ask_all_the_time() {
    let asked = until_at_most(6 * WAIT, "a peer that reads in time", asked_while_asking);
    assert!(asked > 50, "it has asked {asked} times only");
}

/// How often the peer asked; `None` if it was kept from reading.
fn asked_while_asking() -> Option<usize> {
    let mut server = Server::start(&[]);
    let peer = Person::link(server.peers);
    let (mut client, _) = Person::join(server.clients);
    thread::scope(|scope| {
        // With its connection, so that nobody waits for it when it has ended.
        let peer = scope.spawn(move || ask_every_ms(peer));
        let wrong = (0..200).find_map(|round| {
            let (question, answer) = [("REQ_ES", "RES_ES"), ("REQ_EP", "RES_EP")][round % 2];
            client.says(question);
            let line = client.line();
            (!line.starts_with(answer)).then(|| format!("{round}: {question} got {line}"))
        });
        server.program.types("kill");
        server.program.exits(0);
        let asked = peer.join().unwrap()?;
        assert_eq!(wrong, None);
        Some(asked)
    })
}

/// How often it has asked until the other server went; `None` if it was kept from reading and so
/// read two messages as one. It asks when it has its answer, a millisecond after it asked last.
fn ask_every_ms(mut peer: Person) -> Option<usize> {
    let mut bytes = [0; 500];
    let (mut asked, mut answered) = (0, 0);
    peer.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let (mut asked_at, mut read_at) = (Instant::now(), Instant::now());
    loop {
        assert!(asked == answered || asked_at.elapsed() < LATE, "an answer was lost");
        if asked == answered && asked_at.elapsed() >= Duration::from_millis(1) {
            peer.says("REQ_MN");
            (asked, asked_at) = (asked + 1, Instant::now());
        }
        let size = match peer.socket.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                read_at = Instant::now();
                continue;
            }
            read => read.unwrap_or(0),
        };
        let is_late = read_at.elapsed() >= Duration::from_millis(HOLD_MS);
        read_at = Instant::now();
        match &bytes[..size] {
            b"" => return Some(asked),
            both if is_late && holds_two(both) => return None,
            head if head.starts_with(b"RES_MN(1 ") => answered += 1,
            head if head.starts_with(b"REQ_ES") => {
                peer.says("RES_ES(external 2 sensor 7: 70 (100 70))");
            }
            head if head.starts_with(b"REQ_EP") => peer.says("RES_EP(external 2 potency: 70)"),
            head if head.starts_with(b"REQ_DCPEER") => peer.says("OK(01)"),
            head => panic!("it has read {}", head.escape_ascii()),
        }
    }
}

/// Two different ones: the same question twice is how a server tries how it is read.
fn holds_two(bytes: &[u8]) -> bool {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next();
    lines.any(|line| Some(line) != first)
}

/// How often it was asked until the other server went.
fn answer_one_recv_at_a_time(peer: &mut Person) -> usize {
    let mut bytes = [0; 500];
    for asked in 0.. {
        let size = peer.socket.read(&mut bytes).unwrap_or(0);
        match &bytes[..size] {
            b"" => return asked,
            head if head.starts_with(b"REQ_ES") => {
                peer.says("RES_ES(external 2 sensor 7: 70 (100 70))");
            }
            head if head.starts_with(b"REQ_EP") => peer.says("RES_EP(external 2 potency: 70)"),
            _ => peer.says("OK(01)"),
        }
    }
    unreachable!("it is never asked so often")
}

/// Behind our question, which it does not answer any more.
#[test]
fn who_says_goodbye_and_closes_its_sending_half_is_answered_to_the_end() {
    let server = Server::start(&[]);
    let mut peer = Person::link(server.peers);
    let (mut client, _) = Person::join(server.clients);
    client.says("REQ_ES");
    peer.hears("REQ_ES");
    peer.says("REQ_EP\nREQ_EP\nREQ_DCPEER(2)");
    peer.socket.shutdown(Shutdown::Write).unwrap();
    for answer in ["RES_EP(external 1 ", "RES_EP(external 1 ", "OK(01)"] {
        let line = peer.line();
        assert!(line.starts_with(answer), "heard {line}");
    }
    // The byte that means nothing.
    peer.hears("");
    peer.ends();
    client.hears("ERROR(03)");
}
