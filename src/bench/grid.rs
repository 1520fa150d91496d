//! The grid: questions to one server, and through it to the other one.

use super::Effort;
use super::child::Server;
use super::compare::{self, Row, Sides};
use super::load::{Asking, Clients, Outcome};
use super::table;
use crate::net::failure::Failure;
use crate::net::progress;
use crate::net::stop::Stop;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use indicatif::ProgressBar;
use std::time::{Duration, Instant};

/// How `malha bench grid` is called.
#[derive(Debug, Args)]
pub struct GridArgs {
    #[command(flatten)]
    effort: Effort,
    /// Measures only the rows whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Measures 10, 100, 1000 and 5000 clients instead
    #[arg(long)]
    scale: bool,
    /// The most clients of --scale
    #[arg(long, value_name = "N", default_value_t = 5000)]
    #[arg(value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    max_clients: usize,
}

/// The table of design.md, Speed.
const ROWS: [Row; 6] = [
    row("REQ_LS, 10 clients, 1 open", "REQ_LS\n", 10, 1, 0.70, 0.90),
    row("REQ_LS, 10 clients, 64 open", "REQ_LS\n", 10, 64, 0.65, 0.80),
    row("REQ_LS, 1 client, 1 open", "REQ_LS\n", 1, 1, 1.0, 3.0),
    row("REQ_ES, 10 clients, 1 open", "REQ_ES\n", 10, 1, 0.80, 1.0),
    row("REQ_ES, 1 client, 1 open", "REQ_ES\n", 1, 1, 1.0, 3.0),
    row("REQ_ES, 10 clients, 64 open", "REQ_ES\n", 10, 64, 0.60, 0.85),
];

const fn row(
    name: &'static str,
    question: &'static str,
    clients: usize,
    open: usize,
    reach: f64,
    aim: f64,
) -> Row {
    Row { name, question, clients, open, goal: Some((reach, aim)) }
}

const HELLO: &[u8] = b"REQ_ADD\n";
/// How long the threads of clients that have left may take to end.
const EMPTY_MS_MAX: u64 = 10_000;
/// How often to look whether they have.
const EMPTY_LOOK_MS: u64 = 10;

impl GridArgs {
    /// Measures and prints.
    pub(super) fn run(self, stop: &Stop) -> Result<(), Failure> {
        if self.scale { self.scale(stop) } else { self.compare(stop) }
    }

    fn compare(self, stop: &Stop) -> Result<(), Failure> {
        let rows: Vec<&Row> = ROWS.iter().filter(|row| row.name.contains(&self.only)).collect();
        if rows.is_empty() {
            let what = format!("nothing is called {:?}", self.only);
            return Err(Failure { what, why: format!("there is {:?}", ROWS[0].name) });
        }
        let (first, second) = start_pair(stop, 10)?;
        let echo = Server::start(stop, &["bench", "bare-echo"], "listening")?;
        let args = ["bench", "bare-relay", &echo.addr.to_string()];
        let relay = Server::start(stop, &args, "listening")?;
        compare::head("against a bare echo (relayed for REQ_ES)");
        let bar = progress::bar((rows.len() * self.effort.rounds) as u64);
        for row in rows {
            let bare = if row.question == "REQ_ES\n" { &relay } else { &echo };
            let sides = Sides { ours: (&first, Some(&second)), hello: HELLO, bare };
            compare::compare(row, &sides, self.effort, &bar)?;
        }
        bar.finish_and_clear();
        compare::idle_cpu(&[&first, &second]);
        Ok(())
    }
}

/// Two servers that have found each other.
fn start_pair(stop: &Stop, max_clients: usize) -> Result<(Server, Server), Failure> {
    let max = max_clients.to_string();
    let options = ["--seed", "7", "--max-clients", &max];
    let start = |peer: &str, until: &str| {
        let mut args = vec!["grid", "server", "127.0.0.1", peer, "0"];
        args.extend(options);
        Server::start(stop, &args, until)
    };
    let first = start("0", "No peer found")?;
    let mark = "listening for a peer on 127.0.0.1:";
    let peer = first.said.iter().find_map(|line| line.strip_prefix(mark)).unwrap_or("0").to_owned();
    let second = start(&peer, "connected")?;
    Ok((first, second))
}

/// What one server did in one round.
struct Figures {
    /// Answers a second to ten clients while nobody else is connected.
    ten: f64,
    /// The same to all of the crowd, and how long that took.
    all: Outcome,
    /// The same to ten of the crowd while the others are silent.
    ten_of_them: f64,
    connected_per_s: f64,
    kib: f64,
}

/// Figures of one number of clients, one of each kind a round.
#[derive(Default)]
struct Crowd {
    to_ten: Vec<f64>,
    ten_of_them: Vec<f64>,
    to_asked: Vec<f64>,
    asked_to_ten: Vec<f64>,
    echo_to_ten: Vec<f64>,
    rate: Vec<f64>,
    p99_us: Vec<f64>,
    connected_per_s: Vec<f64>,
    kib: Vec<f64>,
}

/// Who is compared: ours, and servers that do nothing with what they are told.
struct Trio {
    ours: Empty,
    echo: Empty,
    /// With a coordinator.
    asked: Empty,
}

/// A server, and what it takes while nobody is connected.
struct Empty {
    server: Server,
    threads: usize,
    kib: f64,
}

const SCALE_WIDTHS: [usize; 10] = [8, 20, 20, 20, 20, 20, 8, 11, 10, 7];

impl GridArgs {
    fn scale(self, stop: &Stop) -> Result<(), Failure> {
        let mut sizes: Vec<usize> =
            [10, 100, 1000, 5000].map(|size: usize| size.min(self.max_clients)).to_vec();
        sizes.dedup();
        let (first, _second) = start_pair(stop, self.max_clients + 10)?;
        // Once its answer is here, all threads of the link run and can be counted.
        Clients::connect(first.addr, 1, HELLO)?.sample(b"REQ_ES\n")?;
        let start = |name: &str| Server::start(stop, &["bench", name], "listening");
        let (echo, asked) = (start("bare-echo")?, start("bare-asked")?);
        let trio =
            Trio { ours: Empty::new(first), echo: Empty::new(echo), asked: Empty::new(asked) };
        table::print(
            &SCALE_WIDTHS,
            &[
                &"REQ_LS",
                &"to 10 clients",
                &"10 active, to 10",
                &"to bare coordinator",
                &"its own, to 10",
                &"bare echo, to 10",
                &"asked/s",
                &"connected/s",
                &"KiB/client",
                &"p99 µs",
            ],
        );
        let bar = progress::bar((sizes.len() * self.effort.rounds) as u64);
        for size in sizes {
            let crowd = self.crowd(&trio, size, &bar, stop)?;
            bar.suspend(|| {
                table::print(
                    &SCALE_WIDTHS,
                    &[
                        &size,
                        &table::spread(&crowd.to_ten),
                        &table::spread(&crowd.ten_of_them),
                        &table::spread(&crowd.to_asked),
                        &table::spread(&crowd.asked_to_ten),
                        &table::spread(&crowd.echo_to_ten),
                        &format!("{:.0}", table::median(crowd.rate)),
                        &format!("{:.0}", table::median(crowd.connected_per_s)),
                        &format!("{:.1}", table::median(crowd.kib)),
                        &format!("{:.0}", table::median(crowd.p99_us)),
                    ],
                );
            });
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn crowd(
        &self,
        trio: &Trio,
        size: usize,
        bar: &ProgressBar,
        stop: &Stop,
    ) -> Result<Crowd, Failure> {
        let mut crowd = Crowd::default();
        for _ in 0..self.effort.rounds {
            let ours = self.figures(&trio.ours, size, stop)?;
            let asked = self.figures(&trio.asked, size, stop)?;
            let echo = self.figures(&trio.echo, size, stop)?;
            let rate = |figures: &Figures| figures.all.answers_per_s;
            crowd.to_ten.push(rate(&ours) / ours.ten);
            crowd.ten_of_them.push(ours.ten_of_them / ours.ten);
            crowd.to_asked.push(rate(&ours) / rate(&asked));
            crowd.asked_to_ten.push(rate(&asked) / asked.ten);
            crowd.echo_to_ten.push(rate(&echo) / echo.ten);
            crowd.rate.push(rate(&ours));
            crowd.p99_us.push(ours.all.trips.value_at_quantile(0.99) as f64);
            crowd.connected_per_s.push(ours.connected_per_s);
            crowd.kib.push(ours.kib);
            bar.inc(1);
        }
        Ok(crowd)
    }

    /// Measures one server. Nobody is connected to another one meanwhile: thousands of threads and
    /// sockets cost also who has nothing to do with them.
    fn figures(&self, empty: &Empty, size: usize, stop: &Stop) -> Result<Figures, Failure> {
        let (row, server) = (&ROWS[0], &empty.server);
        let (ten, _) = compare::measure((server, None), HELLO, row, self.effort)?;
        empty.again(stop)?;
        let start = Instant::now();
        let mut clients = Clients::connect(server.addr, size, HELLO)?;
        let connected_per_s = size as f64 / start.elapsed().as_secs_f64();
        let question = row.question.as_bytes().to_vec();
        let asking = Asking { answer: clients.sample(&question)?, question, open: 1 };
        let all = clients.ask(size, &asking, self.effort.ms, || ())?;
        let kib = (server.resident_kib() - empty.kib) / size as f64;
        let ten_of_them = clients.ask(10.min(size), &asking, self.effort.ms, || ())?;
        drop(clients);
        empty.again(stop)?;
        let (ten, ten_of_them) = (ten.answers_per_s, ten_of_them.answers_per_s);
        Ok(Figures { ten, all, ten_of_them, connected_per_s, kib })
    }
}

impl Empty {
    fn new(server: Server) -> Empty {
        let (threads, kib) = (server.threads(), server.resident_kib());
        Empty { server, threads, kib }
    }

    /// Waits until the threads of all who have left have ended.
    fn again(&self, stop: &Stop) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_millis(EMPTY_MS_MAX);
        while self.server.threads() > self.threads {
            if Instant::now() >= end {
                let what = format!("clients of {} have left", self.server.addr);
                return Err(Failure { what, why: "their threads still run".to_owned() });
            }
            stop.wait(Duration::from_millis(EMPTY_LOOK_MS));
        }
        Ok(())
    }
}
