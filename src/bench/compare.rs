//! Rows of load on ours and on something bare, side by side in each round.

use super::Effort;
use super::child::Server;
use super::load::{Asking, Clients, Outcome};
use super::table;
use crate::net::failure::Failure;
use crate::net::stop::stop_pair;
use indicatif::ProgressBar;
use std::time::Duration;

/// What is measured.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) question: &'static str,
    pub(super) clients: usize,
    pub(super) open: usize,
    /// What to reach and what to aim for, if the table says so.
    pub(super) goal: Option<(f64, f64)>,
}

/// Who is compared.
pub(super) struct Sides<'a> {
    /// Ours: who is asked, and who else works for the answer.
    pub(super) ours: (&'a Server, Option<&'a Server>),
    /// What a client of ours says first.
    pub(super) hello: &'a [u8],
    /// The bare one, which says each question again.
    pub(super) bare: &'a Server,
}

const WIDTHS: [usize; 8] = [28, 20, 11, 11, 15, 15, 9, 9];

/// The heads of the columns.
pub(super) fn head(what: &str) {
    table::print(
        &WIDTHS,
        &[&what, &"ratio", &"reach", &"aim", &"ours/s", &"bare/s", &"p99 µs", &"CPU µs"],
    );
}

/// Measures a row, and prints it.
pub(super) fn compare(
    row: &Row,
    sides: &Sides<'_>,
    effort: Effort,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut ratios = Vec::new();
    let (mut ours, mut theirs, mut p99, mut cpu) = (vec![], vec![], vec![], vec![]);
    for _ in 0..effort.rounds {
        let (outcome, cpu_us) = measure(sides.ours, sides.hello, row, effort)?;
        let (plain, _) = measure((sides.bare, None), b"", row, effort)?;
        ratios.push(outcome.answers_per_s / plain.answers_per_s);
        ours.push(outcome.answers_per_s);
        theirs.push(plain.answers_per_s);
        p99.push(outcome.trips.value_at_quantile(0.99) as f64);
        cpu.push(cpu_us);
        bar.inc(1);
    }
    let show = |(reach, aim): (f64, f64)| (format!("{reach:.2}"), format!("{aim:.2}"));
    let (reach, aim) = row.goal.map_or(("-".to_owned(), "-".to_owned()), show);
    bar.suspend(|| {
        table::print(
            &WIDTHS,
            &[
                &row.name,
                &table::spread(&ratios),
                &reach,
                &aim,
                &format!("{:.0}", table::median(ours)),
                &format!("{:.0}", table::median(theirs)),
                &format!("{:.0}", table::median(p99)),
                &format!("{:.1}", table::median(cpu)),
            ],
        );
    });
    Ok(())
}

/// One measurement, and the processor time of the server, and of who helps it, for each answer,
/// in µs.
pub(super) fn measure(
    (server, other): (&Server, Option<&Server>),
    hello: &[u8],
    row: &Row,
    effort: Effort,
) -> Result<(Outcome, f64), Failure> {
    let mut clients = Clients::connect(server.addr, row.clients, hello)?;
    let question = row.question.as_bytes().to_vec();
    let answer = clients.sample(&question)?;
    let asking = Asking { question, answer, open: row.open };
    let cpu_s = || server.cpu_s() + other.map_or(0.0, Server::cpu_s);
    let mut before = 0.0;
    let outcome = clients.ask(row.clients, &asking, effort.ms, || before = cpu_s())?;
    let answers = outcome.answers_per_s * outcome.seconds;
    Ok((outcome, (cpu_s() - before) * 1e6 / answers))
}

/// What servers cost that nobody asks.
pub(super) fn idle_cpu(servers: &[&Server]) {
    let cpu_s = || servers.iter().map(|server| server.cpu_s()).sum::<f64>();
    let before = cpu_s();
    let (_stopper, never) = stop_pair();
    never.wait(Duration::from_secs(2));
    let idle = cpu_s() - before;
    table::print(&[60], &[&format!("CPU time of idle servers: {idle:.2} s in 2 s")]);
}
