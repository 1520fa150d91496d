//! Clients that ask as fast as they are answered, and check every answer.
//!
//! At most ten threads, whatever the number of clients: a thread asks for all of its clients and
//! then takes all answers. With a thread for each client the load itself would be what is measured:
//! so loaded, a bare echo keeps 0.4 of its rate at 1000 clients.

use crate::net::failure::Failure;
use crate::net::stop::{Stop, stop_pair};
use hdrhistogram::Histogram;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a load runs before it is measured.
const WARM_UP_MS: u64 = 250;
/// Threads that ask.
const THREADS_MAX: usize = 10;
/// How long an answer may take before the benchmark gives up.
const ANSWER_MS_MAX: u64 = 10_000;
/// A round trip longer than this counts as this.
const TRIP_US_MAX: u64 = 10_000_000;

/// The system's number for too many open files.
const EMFILE: i32 = 24;

/// Connections that have said what must be said first.
#[derive(Debug)]
pub(super) struct Clients {
    sockets: Vec<TcpStream>,
}

/// What to ask over and over.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    /// One question, with its terminator.
    pub(super) question: Vec<u8>,
    /// Its answer, with its terminator.
    pub(super) answer: Vec<u8>,
    /// Questions that one client has open at a time.
    pub(super) open: usize,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) answers_per_s: f64,
    /// Round trips of `open` questions, in µs.
    pub(super) trips: Histogram<u64>,
    /// Seconds that were measured.
    pub(super) seconds: f64,
}

impl Clients {
    /// Connects `count` clients, each of which says `hello` and reads a line if that is not empty.
    pub(super) fn connect(
        addr: SocketAddr,
        count: usize,
        hello: &[u8],
    ) -> Result<Clients, Failure> {
        let connect = || {
            let mut socket = TcpStream::connect(addr)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(Duration::from_millis(ANSWER_MS_MAX)))?;
            if !hello.is_empty() {
                socket.write_all(hello)?;
                read_line(&mut socket)?;
            }
            Ok(socket)
        };
        let sockets: io::Result<Vec<TcpStream>> = (0..count).map(|_| connect()).collect();
        let sockets = sockets.map_err(|error| Failure {
            what: format!("cannot connect {count} clients to {addr}"),
            why: match error.raw_os_error() {
                Some(EMFILE) => {
                    format!("{error}: raise the limit with `ulimit -n {}`", count + 100)
                }
                _ => error.to_string(),
            },
        })?;
        Ok(Clients { sockets })
    }

    /// One answer, to know what to expect.
    pub(super) fn sample(&mut self, question: &[u8]) -> Result<Vec<u8>, Failure> {
        let ask = |socket: &mut TcpStream| {
            socket.write_all(question)?;
            read_line(socket)
        };
        let socket = self.sockets.first_mut();
        let answer = socket.map_or(Err(io::ErrorKind::NotConnected.into()), ask);
        answer.map_err(Failure::from_io("the first question failed".to_owned()))
    }

    /// Lets the first `active` clients ask for `ms` after a warm-up.
    pub(super) fn ask(
        &mut self,
        active: usize,
        asking: &Asking,
        ms: u64,
        mut begin: impl FnMut(),
    ) -> Result<Outcome, Failure> {
        let (stopper, stop) = stop_pair();
        let answered = AtomicU64::new(0);
        let measuring = AtomicU64::new(0);
        let result = thread::scope(|scope| -> io::Result<Outcome> {
            let mut threads = Vec::new();
            let share = active.div_ceil(THREADS_MAX);
            for sockets in self.sockets[..active].chunks_mut(share) {
                let (stop, answered, measuring) = (&stop, &answered, &measuring);
                threads.push(
                    thread::Builder::new()
                        .stack_size(crate::net::limits::STACK_BYTES)
                        .spawn_scoped(scope, move || {
                            ask_until(sockets, asking, stop, answered, measuring)
                        })?,
                );
            }
            stop.wait(Duration::from_millis(WARM_UP_MS));
            begin();
            measuring.store(1, Ordering::SeqCst);
            let (before, start) = (answered.load(Ordering::SeqCst), Instant::now());
            stop.wait(Duration::from_millis(ms));
            let (after, seconds) = (answered.load(Ordering::SeqCst), start.elapsed().as_secs_f64());
            drop(stopper);
            let mut trips = histogram();
            for thread in threads {
                let outcome = thread.join().map_err(|_| io::Error::other("a client panicked"))?;
                trips.add(outcome?).map_err(io::Error::other)?;
            }
            Ok(Outcome { answers_per_s: (after - before) as f64 / seconds, trips, seconds })
        });
        result.map_err(Failure::from_io("the load failed".to_owned()))
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, TRIP_US_MAX, 2).expect("the bounds are constant and valid")
}

fn ask_until(
    sockets: &mut [TcpStream],
    asking: &Asking,
    stop: &Stop,
    answered: &AtomicU64,
    measuring: &AtomicU64,
) -> io::Result<Histogram<u64>> {
    let questions = asking.question.repeat(asking.open);
    let expected = asking.answer.repeat(asking.open);
    let mut received = vec![0; expected.len()];
    let mut trips = histogram();
    while !stop.is_asked() {
        let start = Instant::now();
        for socket in sockets.iter_mut() {
            socket.write_all(&questions)?;
        }
        for socket in sockets.iter_mut() {
            socket.read_exact(&mut received)?;
            if received != expected {
                return Err(io::Error::other(format!(
                    "wrong answer: {}",
                    received.escape_ascii().to_string().chars().take(200).collect::<String>()
                )));
            }
            // Not once for all: with thousands of clients only few rounds fit in a measurement.
            answered.fetch_add(asking.open as u64, Ordering::Relaxed);
        }
        if measuring.load(Ordering::Relaxed) == 1 {
            trips.saturating_record((start.elapsed().as_micros() as u64).max(1));
        }
    }
    Ok(trips)
}

fn read_line(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(line)
}
