//! What waits for a connection on which both sides speak at any time: so much, and so long.

use crate::harness::{WAIT, until};
use crossbeam_channel::{Receiver, bounded};
use malha::grid::decode::{Decoder, Heard};
use malha::grid::keywords::Port;
use malha::net::accept::Seats;
use malha::net::pushed::{self, Desk, Frame, LinkId, Outbox, Pushed, Slow};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::thread;

const BYTES_MAX: usize = 100_000;

/// Opens a link with a seat of `seats`; its outbox, what it tells, and its other side.
fn open<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    seats: &Seats,
) -> (Outbox, Receiver<Pushed<Heard>>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    other.set_read_timeout(Some(WAIT)).unwrap();
    let (inbox_in, inbox) = bounded(16);
    let desk = Desk {
        decoder: Decoder::new(Port::Peers),
        frames_max: 1_000_000,
        bytes_max: BYTES_MAX,
        yielders: Seats::new(0),
        seat: seats.take().unwrap(),
    };
    let accepted = listener.accept().unwrap();
    pushed::open(scope, LinkId(1), accepted, desk, inbox_in).unwrap();
    let Ok(Pushed::Opened(_, _, outbox)) = inbox.recv_timeout(WAIT) else { panic!("not opened") };
    (outbox, inbox, other)
}

fn frame(size: usize) -> Frame {
    Frame { bytes: vec![b'x'; size], joins: true, report: None }
}

#[test]
fn an_outbox_takes_bytes_up_to_its_limit_and_not_one_more() {
    thread::scope(|scope| {
        let (outbox, _inbox, mut other) = open(scope, &Seats::new(1));
        assert_eq!(outbox.send(frame(BYTES_MAX + 1)), Err(Slow));
        assert_eq!(outbox.send(frame(BYTES_MAX)), Ok(()));
        // What was refused is not counted, and what is written counts no more.
        let mut sent = BYTES_MAX;
        until("room for as much again", || {
            outbox.send(frame(BYTES_MAX)).ok()?;
            sent += BYTES_MAX;
            (sent == 10 * BYTES_MAX).then_some(())
        });
        drop(outbox);
        let mut heard = Vec::new();
        other.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, vec![b'x'; sent]);
    });
}

#[test]
fn an_outbox_that_nobody_empties_gets_full_and_its_link_keeps_its_seat_until_it_is_cut() {
    thread::scope(|scope| {
        let seats = Seats::new(1);
        let (outbox, inbox, other) = open(scope, &seats);
        // The writer has taken what TCP takes, and has not come back for the rest.
        let mut refused = 0;
        until("an outbox that stays full", || {
            let is_full = outbox.send(frame(BYTES_MAX)) == Err(Slow);
            refused = if is_full { refused + 1 } else { 0 };
            (refused == 20).then_some(())
        });
        other.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(matches!(inbox.recv_timeout(WAIT), Ok(Pushed::Closed(..))));
        assert!(seats.take().is_none(), "the writer still has something to write");
        outbox.cut();
        until("a free seat", || seats.take());
    });
}
