//! What people see on a terminal, where a bar and lines share a place.

use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};

/// A program on a terminal of its own, from which it reads and to which it prints all.
pub struct OnTerminal {
    pub child: Child,
    pub terminal: File,
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
        OnTerminal { child, terminal: File::from(pair.master) }
    }

    /// All that it prints from here to its end.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // Linux says EIO when the last that had the terminal open is gone.
        let _ = self.terminal.read_to_end(&mut bytes);
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
        let mut simulation = OnTerminal::start(crate::chat_live::MALHA, &args);
        let all = simulation.rest();
        assert!(simulation.child.wait().unwrap().success(), "{all}");
        let lines: Vec<&str> = all.lines().map(visible).collect();
        assert!(lines[0].starts_with("20 stations, 200 vehicles"), "{lines:#?}\n{all:?}");
        let is_bar = |line: &&str| line.contains(['░', '█']);
        assert!(!lines.iter().any(is_bar), "{lines:#?}\n{all:?}");
    }
}
