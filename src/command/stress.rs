//! Many clients that ask as fast as they are answered, and check every answer (spec: Client).

use crate::command::client::Lost;
use crate::command::limits::{ANSWER_MS_MAX, STRESS_LOOK_MS};
use crate::command::protocol::{Answer, Answers};
use crate::net::accept::Seats;
use crate::net::caller::AT_ONCE;
use crate::net::dial;
use crate::net::failure::because;
use crate::net::stop::Stop;
use crate::net::stream::{Decode, Reader};
use crate::net::threads;
use crossbeam_channel::bounded;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A round trip longer than this, in µs, counts as this.
const TRIP_US_MAX: u64 = 60_000_000;
/// Answers that a client counts before it says so: ten threads that count one by one would wait
/// for each other.
const COUNT_STEP: u64 = 32;

/// What to do.
#[derive(Debug, Clone)]
pub struct Load {
    /// The server.
    pub addrs: Vec<SocketAddr>,
    /// Clients, all at the same time.
    pub clients: usize,
    /// Requests of each.
    pub requests: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Requests that were answered, and right.
    pub answered: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Round trips in µs.
    pub trips: Histogram<u64>,
    /// What went wrong, one line for each client.
    pub failures: Vec<String>,
    /// Clients that reached the server.
    pub connected: usize,
}

impl Report {
    /// The figures, line by line.
    pub fn lines(&self) -> Vec<String> {
        let ms = |us: u64| us as f64 / 1000.0;
        vec![
            format!("answered    {:>12}", self.answered),
            format!("requests/s  {:>12.0}", self.answered as f64 / self.seconds),
            format!("p50         {:>12.3} ms", ms(self.trips.value_at_quantile(0.5))),
            format!("p99         {:>12.3} ms", ms(self.trips.value_at_quantile(0.99))),
            format!("slowest     {:>12.3} ms", ms(self.trips.max())),
        ]
    }
}

/// Runs the load, until it is done or stop is asked for. A client whose answer is wrong or missing
/// stops there.
pub fn run(load: &Load, stop: &Stop, bar: &ProgressBar) -> io::Result<Report> {
    let start = Instant::now();
    // There is room for all of them.
    let (shares_in, shares) = bounded(load.clients);
    thread::scope(|scope| -> io::Result<()> {
        for number in 1..=load.clients {
            let shares_in = shares_in.clone();
            threads::spawn(scope, format!("s{number}"), move || {
                let mut trips = histogram();
                let dialed = dial::dial(&load.addrs);
                let is_connected = dialed.is_ok();
                let outcome = dialed
                    .map_err(|error| because(&error))
                    .and_then(|socket| client(number, socket, load, stop, bar, &mut trips));
                let failure = outcome.err().map(|why| format!("client {number}: {why}"));
                drop(shares_in.send((trips, failure, is_connected)));
            })?;
        }
        Ok(())
    })?;
    let (mut trips, mut failures, mut connected) = (histogram(), Vec::new(), 0);
    for (share, failure, is_connected) in shares.try_iter() {
        trips.add(share).map_err(io::Error::other)?;
        failures.extend(failure);
        connected += usize::from(is_connected);
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Report { answered: trips.len(), seconds, trips, failures, connected })
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, TRIP_US_MAX, 3).expect("the bounds are constant and valid")
}

/// One client from its connection to the `OK` to its `EXIT`.
fn client(
    number: usize,
    socket: TcpStream,
    load: &Load,
    stop: &Stop,
    bar: &ProgressBar,
    trips: &mut Histogram<u64>,
) -> Result<(), String> {
    let socket = Arc::new(socket);
    let decoder = Patient { answers: Answers::default(), has_read: false, until: Instant::now() };
    let mut line = Line { reader: Reader::new(socket, decoder, AT_ONCE, Seats::new(0)), stop };
    for index in 0..load.requests {
        // Neighbours ask different things at the same time, so an answer that went to the wrong
        // one is noticed.
        let is_echo = (index + number as u64).is_multiple_of(2);
        let request = if is_echo { "ECHO\n" } else { "TIME\n" };
        let sent = Instant::now();
        let answer = line.ask(request)?;
        if !(if is_echo { answer == Answer::Echo.text() } else { is_time(&answer) }) {
            let (index, request) = (index + 1, request.trim_end());
            return Err(format!("request {index}, {request}, was answered `{answer}`"));
        }
        trips.saturating_record((sent.elapsed().as_micros() as u64).max(1));
        if index % COUNT_STEP == COUNT_STEP - 1 {
            bar.inc(COUNT_STEP);
        }
    }
    bar.inc(load.requests % COUNT_STEP);
    // Were there an answer too many, it would come now.
    match line.ask("EXIT\n")? {
        answer if answer == Answer::Done.text() => Ok(()),
        answer => Err(format!("EXIT was answered `{answer}`")),
    }
}

/// `TIME: 2026-11-20 14:05:09.123456`, whatever the time.
fn is_time(answer: &str) -> bool {
    const FORM: &str = "TIME: dddd-dd-dd dd:dd:dd.dddddd";
    let fits = |(c, form): (char, char)| if form == 'd' { c.is_ascii_digit() } else { c == form };
    answer.len() == FORM.len() && answer.chars().zip(FORM.chars()).all(fits)
}

/// A connection on which one waits for answers, for stop, and not for ever.
struct Line<'a> {
    reader: Reader<Patient>,
    stop: &'a Stop,
}

impl Line<'_> {
    fn ask(&mut self, request: &str) -> Result<String, String> {
        let failed = |error: io::Error| error.to_string();
        self.reader.decoder.until = Instant::now() + Duration::from_millis(ANSWER_MS_MAX);
        self.reader.write(request.as_bytes()).map_err(failed)?;
        let mut answers = Vec::new();
        loop {
            if !self.reader.read(&mut answers).map_err(failed)? {
                return Err(Lost::Gone.to_string());
            }
            if self.stop.is_asked() {
                return Err(Lost::Stopped.to_string());
            }
            if answers.len() > 1 {
                return Err(format!("one request was answered `{}`", answers.join("`, `")));
            }
            if let Some(answer) = answers.pop() {
                return Ok(answer);
            }
            if Instant::now() > self.reader.decoder.until {
                return Err(Lost::Silent.to_string());
            }
        }
    }
}

/// Answers, or after each read none, so that who waits can look at other things.
struct Patient {
    answers: Answers,
    has_read: bool,
    until: Instant,
}

impl Decode for Patient {
    type Message = String;

    fn feed(&mut self, bytes: &[u8]) {
        self.has_read = true;
        self.answers.feed(bytes);
    }

    fn next(&mut self) -> Option<String> {
        self.answers.next()
    }

    fn patience_ms(&self) -> Option<u64> {
        self.answers.patience_ms().or(Some(STRESS_LOOK_MS))
    }

    fn silence(&mut self) {
        self.has_read = true;
        // Ours, not that of which an answer is made.
        if self.answers.patience_ms().is_some() {
            self.answers.silence();
        }
    }

    fn has_news(&mut self) -> bool {
        std::mem::take(&mut self.has_read)
    }
}
