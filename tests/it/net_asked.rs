//! A connection that asks: what the coordinator is told of it, and when its seat is free again.

use crate::harness::{WAIT, until};
use crossbeam_channel::bounded;
use malha::grid::decode::Decoder;
use malha::grid::keywords::Port;
use malha::grid::protocol::Message;
use malha::net::accept::Gate;
use malha::net::asked::{self, Asked, Door};
use malha::net::clock::Clock;
use malha::net::trace::{Level, Trace};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What is told, though nobody takes it yet: it counts as soon as a thread begins to tell it.
static TOLD: AtomicUsize = AtomicUsize::new(0);

struct Telling(Asked<Message, Message>);

impl From<Asked<Message, Message>> for Telling {
    fn from(asked: Asked<Message, Message>) -> Telling {
        TOLD.fetch_add(1, Ordering::SeqCst);
        Telling(asked)
    }
}

/// A stranger that sends and sends, and never anything that is a message.
#[test]
fn who_is_hung_up_on_is_gone_also_if_it_goes_on_sending() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let trace = Trace::stderr(Level::Off, Clock::start()).unwrap();
    let (gate, shut) = Gate::new(&listener).unwrap();
    thread::scope(|scope| {
        let (inbox_in, inbox) = bounded::<Asked<Message, Message>>(1);
        scope.spawn(move || {
            let refusal = b"ERROR(01)".to_vec();
            let (listener, shut, trace) = (&listener, &shut, &trace);
            let door = Door { listener, shut, trace, seats_max: 1, refusal };
            asked::accept(scope, door, || Decoder::new(Port::Clients), &inbox_in);
        });
        let mut stranger = TcpStream::connect(addr).unwrap();
        let Asked::Opened(_, _, asker) = inbox.recv_timeout(WAIT).unwrap() else { panic!() };
        let (begun_in, begun) = bounded(0);
        let flood = scope.spawn(move || {
            let mut flood = || stranger.write_all(&[b'\n'; 65_536]);
            (0..50).for_each(|_| flood().unwrap());
            begun_in.send(()).unwrap();
            while flood().is_ok() {}
        });
        begun.recv_timeout(WAIT).unwrap();
        drop(asker);
        assert!(matches!(inbox.recv_timeout(WAIT), Ok(Asked::Closed(..))));
        flood.join().unwrap();
        drop((inbox, gate));
    });
}

/// Else the newcomer would be there before the one whose place it takes is gone.
#[test]
fn a_seat_is_not_free_before_the_end_of_its_connection_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let trace = Trace::stderr(Level::Off, Clock::start()).unwrap();
    let (gate, shut) = Gate::new(&listener).unwrap();
    thread::scope(|scope| {
        // Whoever tells something waits until it is taken.
        let (inbox_in, inbox) = bounded::<Telling>(0);
        scope.spawn(move || {
            let refusal = b"ERROR(01)".to_vec();
            let (listener, shut, trace) = (&listener, &shut, &trace);
            let door = Door { listener, shut, trace, seats_max: 1, refusal };
            asked::accept(scope, door, || Decoder::new(Port::Clients), &inbox_in);
        });
        let first = TcpStream::connect(addr).unwrap();
        let opened = inbox.recv_timeout(WAIT).unwrap().0;
        drop(first);
        until("a connection that tells its end", || {
            (TOLD.load(Ordering::SeqCst) == 2).then_some(())
        });
        let _second = TcpStream::connect(addr).unwrap();
        until("what becomes of the next one", || (TOLD.load(Ordering::SeqCst) == 3).then_some(()));
        let next = [inbox.recv_timeout(WAIT).unwrap().0, inbox.recv_timeout(WAIT).unwrap().0];
        assert!(matches!(next, [Asked::Closed(..), Asked::Refused(_)]), "{next:?}");
        drop((opened, next, inbox, gate));
    });
}
