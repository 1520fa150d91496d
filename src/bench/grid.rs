//! The grid: questions to one server, and through it to the other one.

use super::Effort;
use super::child::Server;
use super::compare::{self, Row, Sides};
use super::load::{Asking, Clients};
use super::table;
use crate::net::failure::Failure;
use crate::net::progress;
use crate::net::stop::Stop;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use indicatif::ProgressBar;
use std::time::Instant;

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
    connected_per_s: f64,
    kib: f64,
}

/// What a crowd is compared with: servers that do nothing with what they are told.
struct Bare {
    echo: Server,
    /// With a coordinator.
    asked: Server,
}

const SCALE_WIDTHS: [usize; 10] = [8, 20, 20, 20, 20, 20, 8, 11, 10, 7];

impl GridArgs {
    fn scale(self, stop: &Stop) -> Result<(), Failure> {
        let mut sizes: Vec<usize> =
            [10, 100, 1000, 5000].map(|size: usize| size.min(self.max_clients)).to_vec();
        sizes.dedup();
        let (server, _second) = start_pair(stop, self.max_clients + 10)?;
        let start = |name: &str| Server::start(stop, &["bench", name], "listening");
        let bare = Bare { echo: start("bare-echo")?, asked: start("bare-asked")? };
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
            let crowd = self.crowd(&server, &bare, size, &bar)?;
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
                        &format!("{:.0}", crowd.connected_per_s),
                        &format!("{:.1}", crowd.kib),
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
        server: &Server,
        bare: &Bare,
        size: usize,
        bar: &ProgressBar,
    ) -> Result<Crowd, Failure> {
        let before_kib = server.resident_kib();
        let start = Instant::now();
        let mut clients = Clients::connect(server.addr, size, HELLO)?;
        let connected_per_s = size as f64 / start.elapsed().as_secs_f64();
        let mut echoing = Clients::connect(bare.echo.addr, size, HELLO)?;
        let mut asking_bare = Clients::connect(bare.asked.addr, size, HELLO)?;
        let row = &ROWS[0];
        let question = row.question.as_bytes().to_vec();
        let same = Asking { answer: question.clone(), question: question.clone(), open: 1 };
        let asking = Asking { answer: clients.sample(&question)?, question, open: 1 };
        let mut crowd = Crowd { connected_per_s, ..Crowd::default() };
        let rate = |clients: &mut Clients, count| {
            clients.ask(count, &same, self.effort.ms, || ()).map(|load| load.answers_per_s)
        };
        for _ in 0..self.effort.rounds {
            let all = clients.ask(size, &asking, self.effort.ms, || ())?;
            crowd.kib = (server.resident_kib() - before_kib) / size as f64;
            let ten_of_them = clients.ask(10.min(size), &asking, self.effort.ms, || ())?;
            // Ten alone, on the same server, in the same round.
            let (ten, _) = compare::measure((server, None), HELLO, row, self.effort)?;
            crowd.to_ten.push(all.answers_per_s / ten.answers_per_s);
            crowd.ten_of_them.push(ten_of_them.answers_per_s / ten.answers_per_s);
            let asked = rate(&mut asking_bare, size)?;
            let asked_ten = rate(&mut Clients::connect(bare.asked.addr, 10, HELLO)?, 10)?;
            crowd.to_asked.push(all.answers_per_s / asked);
            crowd.asked_to_ten.push(asked / asked_ten);
            let echo = rate(&mut echoing, size)?;
            let echo_ten = rate(&mut Clients::connect(bare.echo.addr, 10, HELLO)?, 10)?;
            crowd.echo_to_ten.push(echo / echo_ten);
            crowd.rate.push(all.answers_per_s);
            crowd.p99_us.push(all.trips.value_at_quantile(0.99) as f64);
            bar.inc(1);
        }
        Ok(crowd)
    }
}
