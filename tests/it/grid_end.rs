//! How a server ends: what it has taken is answered, and nobody holds it up.

use crate::harness::{Person, Server, WAIT, until};
use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

/// What a client asked before the server leaves is answered: where nobody is to answer, with that.
#[test]
fn who_waits_when_the_server_leaves_is_answered() {
    let mut server = Server::start(&[]);
    let mut peer = Person::link(server.peers);
    let mut clients: Vec<Person> = (0..10).map(|_| Person::join(server.clients).0).collect();
    for client in &mut clients {
        client.says("REQ_LP\nREQ_ES\nREQ_LP");
    }
    peer.hears("REQ_ES");
    server.program.types("kill");
    until("the goodbye", || (peer.line() == "REQ_DCPEER(1)\n").then_some(()));
    peer.says("OK(01)");
    for client in &mut clients {
        assert!(client.line().starts_with("RES_LP(local 1 "));
        client.hears("ERROR(03)");
        assert!(client.line().starts_with("RES_LP(local 1 "));
        client.ends();
    }
    server.program.exits(0);
}

/// The other server is to listen at the peer port next, and may not reuse addresses: a connection
/// there that we closed first would be in its way for a minute.
#[test]
fn who_leaves_lets_the_other_server_hang_up_first() {
    let mut server = Server::start(&[]);
    let mut peer = Person::link(server.peers);
    server.program.types("kill");
    peer.hears("REQ_DCPEER(1)");
    peer.says("OK(01)");
    server.program.prints("Successful disconnect");
    // Long after ours could have.
    drop(peer);
    server.program.exits(0);
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", server.peers.port());
    let in_the_way = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&port))
    };
    let rest: Vec<&str> = table.lines().filter(in_the_way).collect();
    assert!(rest.is_empty(), "{rest:#?}");
}

/// Whatever moment it leaves at: what it has taken and shown, it has answered.
#[test]
fn nothing_that_was_taken_stays_unanswered_when_the_server_leaves() {
    for _ in 0..5 {
        let mut server = Server::start(&[]);
        let clients: Vec<Person> = (0..10).map(|_| Person::join(server.clients).0).collect();
        let answered = thread::scope(|scope| {
            let threads: Vec<_> =
                clients.into_iter().map(|client| scope.spawn(|| asks_on(client))).collect();
            for _ in 0..100 {
                server.program.prints("REQ_LP");
            }
            server.program.signal("-TERM");
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        let (code, shown, _) = server.program.ends();
        let taken = 100 + shown.iter().filter(|line| *line == "REQ_LP").count();
        assert_eq!((code, answered), (Some(0), taken));
    }
}

/// Asks until the server has gone; how many answers it heard.
fn asks_on(mut client: Person) -> usize {
    let mut heard = 0;
    let mut bytes = [0; 64];
    while client.socket.write_all(b"REQ_LP\n").is_ok() {
        match client.socket.read(&mut bytes) {
            Ok(size) if size > 0 => heard += 1,
            _ => break,
        }
    }
    heard
}

/// Answers that nobody reads are given up soon.
#[test]
fn a_server_that_ends_waits_for_no_client_that_does_not_read() {
    let mut server = Server::start(&[]);
    let (mut client, _) = Person::join(server.clients);
    client.socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    // Until it is full both ways.
    let block = "REQ_LS\n".repeat(10_000);
    until("a server that waits", || client.socket.write_all(block.as_bytes()).err());
    let start = Instant::now();
    server.program.signal("-TERM");
    server.program.exits(0);
    assert!(start.elapsed() < WAIT / 2, "it took {:?}", start.elapsed());
}
