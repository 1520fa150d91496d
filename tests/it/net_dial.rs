//! Connecting, and noticing that it is ourselves; threads that panic.

use malha::net::accept;
use malha::net::dial;
use malha::net::threads;
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use crate::harness::WAIT;

/// Linux gives out the ports of this range; half of them on an attempt to connect.
const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// A port that the system may give to the very socket that dials it.
fn unused_ephemeral_port() -> SocketAddr {
    let range = std::fs::read_to_string(EPHEMERAL).unwrap();
    let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    // `bind` prefers odd ports and `connect` even ones, so the other tests rarely meet this one.
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (first..).filter(|port| port % 2 == first % 2).skip(2_000).find(is_free);
    SocketAddr::from(([127, 0, 0, 1], port.unwrap()))
}

/// Spec, Life 6: reaching oneself is reaching nobody, and the port can be listened at directly
/// afterwards, though a connection was closed there a moment ago.
#[test]
fn dialing_ourselves_is_nobody_and_leaves_the_port_free() {
    let addr = unused_ephemeral_port();
    let start = Instant::now();
    loop {
        let error = dial::dial(&[addr]).expect_err("nobody listens there").to_string();
        if error.contains("ourselves") {
            break;
        }
        assert!(start.elapsed() < 6 * WAIT, "{addr} was never given to ourselves: {error}");
    }
    let listener = accept::listen(&[addr]);
    assert!(listener.is_ok(), "{addr} is not free: {listener:?}");
}

/// With two addresses for one name, a taken one must not make us listen at the other.
#[test]
fn a_taken_address_is_an_error_and_not_a_reason_to_take_the_next() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let addrs =
        [SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([127, 0, 0, 2], port))];
    let error = accept::listen(&addrs).expect_err("the first is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    // 192.0.2.0/24 is nobody's (RFC 5737).
    let addrs = [SocketAddr::from(([192, 0, 2, 1], 0)), SocketAddr::from(([127, 0, 0, 1], 0))];
    assert!(accept::listen(&addrs).unwrap().local_addr().unwrap().ip().is_loopback());
}

/// Says why in full, on the small stack of a connection, and ends nothing but its thread.
#[test]
fn a_panic_costs_its_own_thread() {
    let (told_in, told) = crossbeam_channel::bounded::<()>(1);
    std::thread::scope(|scope| {
        threads::spawn(scope, "c1".to_owned(), move || {
            let _told = told_in;
            let backtrace = std::backtrace::Backtrace::force_capture();
            panic!("on purpose, with {} bytes of backtrace", backtrace.to_string().len());
        })
        .unwrap();
        assert!(told.recv_timeout(WAIT).is_err(), "what the thread held is dropped");
    });
}
