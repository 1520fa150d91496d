//! What people see: on a terminal, where a bar and lines share a place, and of an output that takes
//! nothing.

use crate::chat_live::MALHA;
use crate::folder::Folder;
use crate::harness::WAIT;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use nix::pty::{Winsize, openpty};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::Builder;

/// What a program has printed, in reads, that may wait for the test.
const READS_MAX: usize = 100_000;

/// A program on a terminal of its own, from which it reads and to which it prints all.
pub struct OnTerminal {
    pub child: Child,
    shown: Receiver<Vec<u8>>,
    _terminal: File,
}

impl OnTerminal {
    pub fn start(path: &str, args: &[&str]) -> OnTerminal {
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let slave = File::from(pair.slave);
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let mut command = Command::new(path);
        command.args(args).env_remove("NO_COLOR").env("TERM", "xterm");
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let terminal = File::from(pair.master);
        let mut reading = terminal.try_clone().unwrap();
        let (shown_in, shown) = bounded(READS_MAX);
        let read = move || {
            let mut bytes = [0; 4096];
            // Linux says EIO when the last that had the terminal open is gone.
            while let Ok(size) = reading.read(&mut bytes) {
                if shown_in.send(bytes[..size].to_vec()).is_err() {
                    return;
                }
            }
        };
        Builder::new().name("test-terminal".to_owned()).spawn(read).unwrap();
        OnTerminal { child, shown, _terminal: terminal }
    }

    /// Waits for a text, with which what it has printed ends.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        let mut bytes = Vec::new();
        while !bytes.ends_with(text.as_bytes()) {
            let more = self.shown.recv_timeout(WAIT);
            bytes.extend(more.unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&bytes))));
        }
    }

    /// All that it prints from here to its end.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        loop {
            match self.shown.recv_timeout(WAIT) {
                Ok(more) => bytes.extend(more),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on after {bytes:?}"),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What stands in a line in the end: who has drawn something else there clears it.
fn visible(line: &str) -> &str {
    line.rsplit("\x1b[2K").next().unwrap().trim_matches('\r')
}

#[test]
fn a_bar_does_not_mix_with_lines() {
    let args = ["charging", "simulate", "--fast", "--seconds", "5"];
    let args = [&args[..], &["--stations", "20", "--vehicles", "200"]].concat();
    for _ in 0..10 {
        let mut simulation = OnTerminal::start(MALHA, &args);
        let all = simulation.rest();
        assert!(simulation.child.wait().unwrap().success(), "{all}");
        let lines: Vec<&str> = all.lines().map(visible).collect();
        assert!(lines[0].starts_with("20 stations, 200 vehicles"), "{lines:#?}\n{all:?}");
        let is_bar = |line: &&str| line.contains(['░', '█']);
        assert!(!lines.iter().any(is_bar), "{lines:#?}\n{all:?}");
    }
}

#[test]
fn what_could_not_be_shown_is_a_failure() {
    let folder = Folder::new();
    let at = folder.at("tasks");
    for args in [
        &["grid", "demo"][..],
        &["tasks", "example", &at],
        &["charging", "simulate", "--fast", "--seconds", "1"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = Command::new(MALHA).args(args).stdout(full).output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{args:?}: {err}");
        assert!(err.starts_with("error: cannot write to standard output: "), "{args:?}: {err}");
    }
}
