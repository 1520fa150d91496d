//! The command server under test, its files, and those who ask it.

use crate::harness::{Person, Program, until};
use malha::net::stop::Stop;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

pub const MALHA: &str = env!("CARGO_BIN_EXE_malha");

pub const ECHO: &str = "ECHO: Comando recebido com sucesso.";
pub const UNKNOWN: &str = "ERROR: Comando não reconhecido.";
pub const FULL: &str = "ERROR: Número máximo de clientes alcançado.";
pub const NEEDS_AUTH: &str = "ERROR: Autenticação necessária.";

/// A command server that listens.
pub struct Serving {
    pub program: Program,
    pub addr: SocketAddr,
}

impl Serving {
    #[track_caller]
    pub fn start(log: &str, more: &[&str]) -> Serving {
        let args = ["command", "server", "--listen", "127.0.0.1:0", "--log", log];
        let mut program = Program::start(MALHA, &[&args, more].concat());
        let head = "listening on ";
        let line = program.prints_one(head, |line| line.starts_with(head));
        let addr = line[head.len()..].parse().unwrap();
        Serving { program, addr }
    }

    #[track_caller]
    pub fn connect(&self) -> Person {
        Person::connect(self.addr)
    }

    /// Ends it in order: what it then printed, and said on standard error.
    #[track_caller]
    pub fn stop(&mut self) -> (Vec<String>, Vec<String>) {
        self.program.signal("-INT");
        let (code, out, err) = self.program.ends();
        assert_eq!(code, Some(0), "\n  printed {out:#?}\n  and said {err:#?}");
        (out, err)
    }
}

/// What stands behind `2026-11-20 14:05:09,123 - ` (spec: Server), and that time.
pub fn entry(line: &str) -> Option<(&str, &str)> {
    const FORM: &str = "dddd-dd-dd dd:dd:dd,ddd";
    let (stamp, text) = line.split_once(" - ")?;
    let fits = |(c, form): (char, char)| if form == 'd' { c.is_ascii_digit() } else { c == form };
    let is_stamp = stamp.len() == FORM.len() && stamp.chars().zip(FORM.chars()).all(fits);
    is_stamp.then_some((stamp, text))
}

/// The texts of a log that nobody writes any more; each line must be whole.
#[track_caller]
pub fn entries(log: impl AsRef<Path>) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "cut: …{:?}", text.lines().last());
    // Not `lines`, which would take a `\r` away.
    let lines = text.split_terminator('\n');
    let text =
        |line| entry(line).unwrap_or_else(|| panic!("no line of a log: {line:?}")).1.to_owned();
    lines.map(text).collect()
}

/// Waits until the log has `text`.
#[track_caller]
pub fn logs(log: &str, text: &str) {
    until(&format!("{text:?} in the log"), || {
        let bytes = fs::read(log).ok()?;
        String::from_utf8_lossy(&bytes).contains(text).then_some(())
    });
}

/// Asks what nobody else asks, one after the other, until it is over; says what was answered.
pub fn ask_until(over: &Stop, addr: SocketAddr, name: &str) -> Vec<String> {
    let mut person = Person::connect(addr);
    let mut asked = Vec::new();
    while !over.is_asked() {
        let request = format!("{name}-{}", asked.len());
        person.asks(&request, UNKNOWN);
        asked.push(request);
    }
    asked
}
