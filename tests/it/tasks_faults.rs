//! A peer whose machine, folder or master fails it (tasks spec: Peer).

use crate::folder::Folder;
use crate::harness::{Program, run, until};
use crate::tasks_live::{MALHA, task};
use crate::tasks_peer::{WildMaster, peer, waiting};
use crate::tasks_zip::unzip;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A peer that is registered with a master that we did not write.
fn registered(folder: &Folder, is_terse: bool, more: &[&str]) -> (WildMaster, Program) {
    let mut master = WildMaster::new(is_terse);
    let slots = if more.contains(&"--slots") { &[][..] } else { &["--slots", "1"][..] };
    let peer = peer(folder, master.addr(), &[slots, more].concat());
    master.asked("REGISTER");
    master.answers(&json!({ "status": "REGISTERED" }));
    (master, peer)
}

/// Names in the folder of a peer, but ours.
fn names(folder: &Folder, path: &str) -> Vec<String> {
    folder.names(path).into_iter().filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn a_task_that_cannot_be_run_here_is_given_back_once_and_then_fails() {
    let folder = Folder::new();
    let (mut master, mut peer) = registered(&folder, false, &[]);
    // As if it left no room for its result.
    std::fs::create_dir(folder.path().join("work/.results/a.zip")).unwrap();
    master.hands_out("a.zip", &task("um"));
    assert_eq!(master.asked("RETURN_TASK")["task_name"], "a.zip");
    master.answers(&json!({ "status": "OK" }));
    for _ in 0..2 {
        master.hands_out("a.zip", &task("um"));
        let result = master.asked("SUBMIT_RESULT");
        let why = result["failed"].as_str().unwrap();
        assert!(why.starts_with("cannot write ") && why.contains("a.zip: "), "{why}");
        let files = unzip(&STANDARD.decode(result["result_data"].as_str().unwrap()).unwrap());
        let status: Value = serde_json::from_slice(&files["status.json"]).unwrap();
        assert_eq!((&status["task"], &status["failure"]), (&json!("a.zip"), &json!(why)));
        master.answers(&json!({ "status": "OK" }));
    }
    // Others go on.
    master.hands_out("b.zip", &task("dois"));
    assert_eq!(master.takes("b.zip")["stdout.txt"], b"dois\n");
    peer.signal("-INT");
    peer.exits(0);
}

#[test]
fn folders_of_a_person_are_left_alone() {
    for name in [".results", ".incoming"] {
        let folder = Folder::new();
        let theirs = folder.path().join("work").join(name);
        std::fs::create_dir_all(&theirs).unwrap();
        std::fs::write(theirs.join("thesis"), "x").unwrap();
        let work = folder.path().join("work").to_str().unwrap().to_owned();
        let args = ["tasks", "peer", "--work", &work, "--python", "/usr/bin/python3"];
        let (code, _, err) = run(MALHA, &args, "");
        assert_eq!((code, err.len()), (Some(1), 1), "{err:?}");
        let why = format!("{name} in it is not empty and not a peer's; give --work");
        assert!(err[0].ends_with(&why), "{err:?}");
        assert_eq!(std::fs::read_to_string(theirs.join("thesis")).unwrap(), "x");
    }
}

#[test]
fn what_a_killed_peer_left_is_removed_and_what_was_to_be_kept_is_not() {
    let folder = Folder::new();
    let (mut master, mut first) = registered(&folder, false, &["--keep"]);
    master.hands_out("kept.zip", &task("um"));
    master.takes("kept.zip");
    first.signal("-INT");
    first.exits(0);
    let (mut master, mut second) = registered(&folder, false, &["--no-sandbox"]);
    master.hands_out("a.zip", &waiting(&folder));
    let out = folder.path().join("work/a.zip/stdout.txt");
    until("the script", || out.exists().then_some(()));
    second.signal("-KILL");
    assert_eq!(second.exit(), None);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let _third = peer(&folder, silent.local_addr().unwrap(), &[]);
    until("an empty folder", || (names(&folder, "work") == ["kept.zip"]).then_some(()));
}

#[test]
fn the_second_ctrl_c_ends_it_whatever_the_master_says() {
    for says_again in [true, false] {
        let folder = Folder::new();
        let (mut master, mut peer) = registered(&folder, false, &[]);
        master.hands_out("a.zip", &task("um"));
        master.asked("SUBMIT_RESULT");
        if says_again {
            master.answers(&json!({ "status": "ERROR", "message": "disk full", "again": true }));
            peer.prints("the master cannot take a result now: disk full");
        }
        peer.signal("-INT");
        peer.prints("stopping: what runs is finished first");
        peer.signal("-INT");
        let (code, _, err) = peer.ends();
        let line = "cannot deliver a.zip: no master takes it; its task is given out again";
        assert_eq!((code, err.len()), (Some(1), 1), "{err:?}");
        assert!(err[0].ends_with(line), "{err:?}");
        assert!(!folder.path().join("work/.results").exists());
    }
}

/// How often a program's first thread wakes in `ms`, after as long.
fn wakes(program: &Program, ms: u64) -> u64 {
    let path = format!("/proc/{}/status", program.pid());
    let count = || {
        let _ = crossbeam_channel::after(Duration::from_millis(ms)).recv();
        let status = std::fs::read_to_string(&path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = count();
    count() - before
}

#[test]
fn it_sleeps_while_it_waits_without_a_master() {
    let folder = Folder::new();
    let (mut master, mut peer) = registered(&folder, false, &["--no-sandbox"]);
    master.hands_out("a.zip", &waiting(&folder));
    peer.prints("a.zip: begun");
    drop(master);
    peer.prints("lost the master: it hung up");
    peer.signal("-INT");
    peer.prints("stopping: what runs is finished first");
    let wakes = wakes(&peer, 1_500);
    assert!(wakes < 50, "{wakes} times in 1.5 s");
}

#[test]
fn it_sleeps_while_a_master_that_hangs_up_thinks() {
    let folder = Folder::new();
    let (mut master, peer) = registered(&folder, true, &[]);
    master.asked("REQUEST_TASK");
    master.answers(&json!({ "status": "NO_TASK" }));
    master.asked("REQUEST_TASK");
    // A heartbeat is due meanwhile.
    let wakes = wakes(&peer, 5_500);
    assert!(wakes < 50, "{wakes} times in 5.5 s");
}

#[test]
fn archives_that_nobody_asked_for_are_not_kept() {
    let folder = Folder::new();
    let (mut master, mut peer) = registered(&folder, false, &[]);
    let data = STANDARD.encode(task("um"));
    let package = |name: &str| {
        json!({ "action": "TASK_PACKAGE", "task_name": name, "task_data": data }).to_string()
    };
    master.asked("REQUEST_TASK");
    let both = format!("{}{}", package("a.zip"), package("b.zip"));
    master.socket().write_all(both.as_bytes()).unwrap();
    master.takes("a.zip");
    for other in [
        json!({ "status": "NO_TASK", "task_data": data }),
        json!({ "action": "TASK_PACKAGE", "task_name": null, "task_data": data }),
        json!({ "action": "TASK_PACKAGE", "task_name": "../a.zip", "task_data": data }),
    ] {
        master.asked("REQUEST_TASK");
        master.answers(&other);
    }
    master.asked("REQUEST_TASK");
    assert_eq!(names(&folder, "work/.incoming"), [""; 0]);
    // Nor when it comes with the wrong answer, or in the last moment.
    master.answers(&json!({ "status": "NO_TASK" }));
    master.asked("REQUEST_TASK");
    let many = package("c.zip").repeat(30);
    let _ = master.socket().write_all(many.as_bytes());
    master.socket = None;
    until("an empty folder", || names(&folder, "work/.incoming").is_empty().then_some(()));
    peer.signal("-INT");
    peer.prints("stopping: what runs is finished first");
}

#[test]
fn a_task_that_it_has_already_is_not_asked_for_without_a_pause() {
    let folder = Folder::new();
    let (mut master, mut peer) = registered(&folder, false, &["--no-sandbox", "--slots", "2"]);
    let task = waiting(&folder);
    master.hands_out("a.zip", &task);
    master.hands_out("a.zip", &task);
    let start = Instant::now();
    master.asked("REQUEST_TASK");
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
    master.answers(&json!({ "status": "NO_TASK" }));
    std::fs::write(folder.path().join("go"), "").unwrap();
    master.takes("a.zip");
    peer.signal("-INT");
    peer.exits(0);
}
