//! A master on a terminal that takes nothing (tasks spec: Master; design: nobody waits for one).

use crate::harness::until;
use crate::tasks_live::{MALHA, folder, put, task};
use nix::pty::openpty;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn a_master_ends_though_its_terminal_takes_nothing() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let terminal = openpty(None, None).unwrap();
    let slave = File::from(terminal.slave);
    let (tasks, results) = (folder.at("tasks"), folder.at("results"));
    let mut master = Command::new(MALHA)
        .args(["tasks", "master", "--listen", "127.0.0.1:0", "--discovery", "off"])
        .args(["--tasks", &tasks, "--results", &results])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(slave.try_clone().unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(master.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on "), "{line}");
    let mut flood = Command::new("yes").stdout(slave).spawn().unwrap();
    // It sleeps when there is no room any more, and for good: nobody reads.
    let state = format!("/proc/{}/stat", flood.id());
    until("a full terminal", || fs::read_to_string(&state).unwrap().contains(" S ").then_some(()));
    // It draws its bar anew, and is held there.
    put(&folder, "b.zip", &task("dois"));
    let pid = master.id();
    let is_board = |comm: &fs::DirEntry| {
        fs::read_to_string(comm.path().join("comm")).is_ok_and(|name| name.trim_end() == "board")
    };
    until("a board that waits for the terminal", || {
        let board = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().find(is_board)?;
        let place = fs::read_to_string(board.path().join("wchan")).unwrap_or_default();
        place.contains("tty").then_some(())
    });
    assert!(Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap().success());
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the end of the master", || master.try_wait().unwrap())
    }));
    let _ = (master.kill(), flood.kill());
    let _ = (master.wait(), flood.wait());
    assert_eq!(ended.expect("it ends").code(), Some(0));
}
