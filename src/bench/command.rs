//! The command server, with its log on.

use super::Effort;
use super::child::Server;
use super::compare::{self, Row, Sides};
use super::scratch::Scratch;
use super::table;
use crate::net::failure::Failure;
use crate::net::progress;
use crate::net::stop::Stop;
use clap::Args;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// How `malha bench command` is called.
#[derive(Debug, Args)]
pub struct CommandArgs {
    #[command(flatten)]
    effort: Effort,
    /// The log file, which is not there yet, and is removed afterwards
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// The first is of design.md's table, Speed; the others have no goal there.
const ROWS: [Row; 3] = [
    row("ECHO, 10 clients, 1 open", 10, 1, Some((0.50, 0.70))),
    row("ECHO, 10 clients, 64 open", 10, 64, None),
    row("ECHO, 1 client, 1 open", 1, 1, None),
];

const fn row(name: &'static str, clients: usize, open: usize, goal: Option<(f64, f64)>) -> Row {
    Row { name, question: "ECHO\n", clients, open, goal }
}

impl CommandArgs {
    /// Measures and prints.
    pub(super) fn run(self, stop: &Stop) -> Result<(), Failure> {
        let usual = || format!("malha-bench-{}.log", std::process::id());
        let log = self.log.unwrap_or_else(|| std::env::temp_dir().join(usual()));
        let path = log.to_string_lossy().into_owned();
        let log = Scratch::file(log).map_err(|error| no_log(&path, &error))?;
        let args = ["command", "server", "--listen", "127.0.0.1:0", "--log", &path];
        let server = Server::start(stop, &args, "listening")?;
        let echo = Server::start(stop, &["bench", "bare-echo"], "listening")?;
        compare::head("against a bare echo, log on");
        let bar = progress::bar((ROWS.len() * self.effort.rounds) as u64);
        for row in &ROWS {
            let sides = Sides { ours: (&server, None), hello: b"", bare: &echo };
            compare::compare(row, &sides, self.effort, &bar)?;
        }
        bar.finish_and_clear();
        compare::idle_cpu(&[&server]);
        let text = fs::read_to_string(log.path());
        let text = text.map_err(Failure::from_io(format!("cannot read {path}")))?;
        let lost = text.lines().filter_map(|line| line.strip_suffix(" linhas perdidas"));
        let lost = lost.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        let (lines, lost) = (text.lines().count(), lost.sum::<u64>());
        table::print(&[60], &[&format!("log: {lines} lines, {lost} lost")]);
        Ok(())
    }
}

fn no_log(path: &str, error: &io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::AlreadyExists => "it is there already; give a name that is free".to_owned(),
        _ => error.to_string(),
    };
    Failure { what: format!("cannot write the log {path}"), why }
}
