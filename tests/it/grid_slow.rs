//! Who sends and hardly reads, on the peer port: it costs its own connection, and little memory.

use crate::harness::{Person, Server, WAIT, until, until_at_most, within};
use malha::grid::limits::{GUEST_MESSAGES_MAX, LINKS_MAX};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const BLOCK: usize = 10_000;

/// Sends until the other side has hung up, and reads so little that it is just not taken for gone.
fn floods(person: &mut Person) {
    person.socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let block = "REQ_ES\n".repeat(BLOCK);
    until("the end of the connection", || {
        let written = person.socket.write_all(block.as_bytes());
        let _ = person.socket.read(&mut [0; 65_536]);
        let error = written.err()?;
        let waits = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        (!waits).then_some(())
    });
}

/// Not by what the server prints: a flood makes it lose lines.
fn sees_the_end_of_the_link(client: &mut Person) {
    until("the end of the link", || {
        client.says("REQ_LP");
        client.line().starts_with("RES_LP(local 0 ").then_some(())
    });
}

#[test]
fn a_server_that_asks_and_does_not_read_is_cut_and_the_next_one_may_come() {
    let mut server = Server::start(&["--trace", "events"]);
    let (mut client, _) = Person::join(server.clients);
    let mut peer = Person::link(server.peers);
    floods(&mut peer);
    sees_the_end_of_the_link(&mut client);
    client.asks("REQ_ES", "ERROR(03)");
    Person::link(server.peers);
    let kib = server.program.peak_kib();
    assert!(kib < 96 * 1024, "{kib} KiB");
    server.program.signal("-INT");
    let (_, _, err) = server.program.ends();
    let cut = err.iter().filter(|line| line.ends_with("ev=cut link=p1 why=Slow")).count();
    assert_eq!(cut, 1, "{err:?}");
    let counted = err.last().unwrap();
    assert!(counted.contains("links-lost=") && counted.ends_with("links-slow=1"), "{counted}");
}

/// The same, but what it is answered is less than makes the outbox full.
#[test]
fn a_server_that_reads_nothing_is_cut_in_the_end_and_counted() {
    let mut server = Server::start(&["--trace", "events"]);
    let (mut client, _) = Person::join(server.clients);
    let mut peer = Person::link(server.peers);
    // More than the buffers of TCP hold.
    for _ in 0..22 {
        peer.says_bytes("REQ_ES\n".repeat(BLOCK).as_bytes());
    }
    sees_the_end_of_the_link(&mut client);
    server.program.signal("-INT");
    let (_, _, err) = server.program.ends();
    let closed = err.iter().filter(|line| line.ends_with("ev=close link=p1 error=TimedOut"));
    assert_eq!(closed.count(), 1, "{err:?}");
    assert!(err.last().unwrap().ends_with("links-lost=1 links-slow=1"), "{err:?}");
}

/// As many questions, and it reads what it is answered.
#[test]
fn a_server_that_asks_much_and_reads_all_of_it_is_not_cut() {
    const BLOCKS: usize = 50;
    let server = Server::start(&[]);
    let mut peer = Person::link(server.peers);
    let answer = peer.asks("REQ_ES", "RES_ES(external 1 ");
    let mut writes = peer.socket.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..BLOCKS {
                writes.write_all("REQ_ES\n".repeat(BLOCK).as_bytes()).unwrap();
            }
        });
        for _ in 0..BLOCKS {
            peer.hears_bytes(answer.repeat(BLOCK).as_bytes());
        }
    });
    peer.asks("REQ_MN", "RES_MN(1 ");
}

/// What is shortest on the wire is longest in memory, and each is answered.
#[test]
fn a_server_that_floods_nonsense_delays_no_client() {
    floods_with("x\n");
}

/// So long that fewer of them come in one read than one may give.
#[test]
fn a_server_that_floods_longer_nonsense_delays_no_client() {
    floods_with(&format!("{}\n", "x".repeat(40)));
}

fn floods_with(line: &str) {
    let server = Server::start(&[]);
    let (mut client, _) = Person::join(server.clients);
    let peer = Person::link(server.peers);
    let (mut writes, mut reads) = (peer.socket.try_clone().unwrap(), &peer.socket);
    let heard = AtomicUsize::new(0);
    thread::scope(|scope| {
        let block = line.repeat(BLOCK);
        scope.spawn(move || while writes.write_all(block.as_bytes()).is_ok() {});
        scope.spawn(|| {
            while let Ok(size @ 1..) = reads.read(&mut [0; 65_536]) {
                heard.fetch_add(size, Ordering::SeqCst);
            }
        });
        until("a flood", || (heard.load(Ordering::SeqCst) > 4_000_000).then_some(()));
        for _ in 0..5 {
            within(Duration::from_millis(300), || {
                let start = Instant::now();
                client.asks("REQ_LP", "RES_LP(local 1 ");
                start.elapsed()
            });
        }
        let _ = peer.socket.shutdown(Shutdown::Both);
    });
    let kib = server.program.peak_kib();
    assert!(kib < 64 * 1024, "{kib} KiB");
}

#[test]
fn strangers_at_the_peer_port_are_sent_away_after_a_few_messages() {
    let mut server = Server::start(&[]);
    let mut strangers: Vec<Person> = (0..3).map(|_| Person::connect(server.peers)).collect();
    for stranger in &mut strangers {
        floods(stranger);
    }
    // One who stays within it is answered, and may still ask for the link.
    let mut peer = Person::connect(server.peers);
    for _ in 0..GUEST_MESSAGES_MAX {
        peer.asks("REQ_ES", "ERROR(03)");
    }
    peer.says("REQ_ADDPEER");
    peer.hears("RES_ADDPEER(2)");
    let kib = server.program.peak_kib();
    assert!(kib < 48 * 1024, "{kib} KiB");
    server.program.types("kill");
    let (_, _, err) = server.program.ends();
    assert_eq!(err, ["guests-refused=3"]);
}

/// All that a server still says ends with it, however slowly that is read.
#[test]
fn a_server_that_ends_waits_for_no_slow_reader() {
    let mut server = Server::start(&[]);
    let (mut client, _) = Person::join(server.clients);
    let mut peer = Person::link(server.peers);
    // More than the buffers of TCP hold, and less than makes the outbox full.
    let block = "REQ_ES\n".repeat(BLOCK);
    for _ in 0..22 {
        peer.says_bytes(block.as_bytes());
    }
    peer.says("REQ_DCPEER(2)");
    sees_the_end_of_the_link(&mut client);
    server.program.types("kill");
    until_at_most(2 * WAIT, "its end", || {
        // So little that it would take minutes, and so often that it is not taken for gone.
        let _ = peer.socket.read(&mut [0; 1024]);
        server.program.has_ended()
    });
}

/// The limit of [`LINKS_MAX`], at it and one past it.
#[test]
fn one_too_many_at_the_peer_port_is_traced_and_counted() {
    let mut server = Server::start(&["--trace", "events"]);
    let mut inside: Vec<Person> = (0..LINKS_MAX).map(|_| Person::connect(server.peers)).collect();
    Person::connect(server.peers).ends();
    for guest in &mut inside {
        guest.asks("REQ_MN", "ERROR(03)");
    }
    server.program.types("kill");
    let (_, _, err) = server.program.ends();
    let refused = err.iter().filter(|line| line.ends_with("why=link-limit open=8/8")).count();
    assert_eq!(refused, 1, "{err:#?}");
    assert!(err.last().unwrap().contains("guests-refused=1"), "{err:#?}");
}
