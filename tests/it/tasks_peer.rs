//! Our peer as a program, with our master and with masters that we did not write (tasks spec).

use crate::folder::Folder;
use crate::harness::{Program, WAIT, run, until, until_at_most};
use crate::tasks_live::{MALHA, Master, folder, result, results, task};
use crate::tasks_zip::{Entry, Zip, unzip};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A peer that is told where its master is.
pub fn peer(folder: &Folder, master: SocketAddr, more: &[&str]) -> Program {
    let (work, addr) = (folder.path().join("work"), master.to_string());
    let args = ["tasks", "peer", "--master", &addr, "--work", work.to_str().unwrap()];
    Program::start(MALHA, &[&args, more].concat())
}

fn files(folder: &Folder, name: &str) -> BTreeMap<String, Vec<u8>> {
    unzip(&result(folder, name))
}

#[test]
fn the_whole_way_with_the_two_commands_of_the_chapter() {
    let folder = Folder::new();
    let tasks = folder.path().join("tasks");
    let (code, out, _) = run(MALHA, &["tasks", "example", tasks.to_str().unwrap()], "");
    assert_eq!((code, out.len()), (Some(0), 2));
    let mut master = Master::start(&folder, &["--until-done"]);
    let (work, ask) = (folder.path().join("work"), master.discovery.to_string());
    let args = ["tasks", "peer", "--broadcast", &ask, "--work", work.to_str().unwrap()];
    let mut peer = Program::start(MALHA, &args);
    peer.prints("average.zip: done");
    master.program.prints_one("the summary", |line| line.starts_with("2 done, 0 failed in "));
    master.program.exits(0);
    assert_eq!(files(&folder, "average.zip")["average.csv"].split(|b| *b == b'\n').count(), 4);
    let words = String::from_utf8(files(&folder, "words.zip")["stdout.txt"].clone()).unwrap();
    assert!(words.starts_with("  6 the\n"), "{words}");
    peer.signal("-INT");
    peer.exits(0);
    let (code, _, err) = run(MALHA, &["tasks", "example", tasks.to_str().unwrap()], "");
    assert_eq!(code, Some(1));
    assert!(err[0].ends_with("average.zip: it is there already"), "{err:?}");
}

/// 60 MiB there and 60 MiB back, between the two programs.
#[test]
fn a_large_task_and_a_large_result_take_little_memory_on_both_sides() {
    const BYTES: usize = 60 * 1024 * 1024;
    let mut large = Zip::new();
    let script = "data = open('blob', 'rb').read()\nopen('back', 'wb').write(data[::-1])\n";
    large.add("main.py", script.as_bytes());
    let blob: Vec<u8> = (0..BYTES as u64).map(|n| ((n * n) >> 9) as u8).collect();
    large.put(&Entry::stored("blob", &blob));
    let large = large.finish();
    let folder = folder(&[("large.zip", &large)]);
    let mut master = Master::start(&folder, &[]);
    let mut peer = peer(&folder, master.addr, &[]);
    let kept = || results(&folder).contains(&"large.zip".to_owned()).then_some(());
    until_at_most(WAIT * 6, "the result", kept);
    peer.prints("large.zip: done");
    for (who, program) in [("master", &master.program), ("peer", &peer)] {
        let kib = program.peak_kib();
        assert!(kib < 24 * 1024, "the {who} took {kib} KiB");
    }
    let back = files(&folder, "large.zip").remove("back").unwrap();
    assert!(back.iter().eq(blob.iter().rev()));
    peer.signal("-INT");
    peer.exits(0);
    master.program.signal("-INT");
    master.program.exits(0);
}

#[test]
fn a_task_that_cannot_run_fails_with_its_reason() {
    let mut fails = Zip::new();
    fails.add("main.py", b"import sys\nprint('until here')\nsys.exit(3)\n");
    let fails = fails.finish();
    let bad = [("no-zip.zip", b"no ZIP".as_slice()), ("three.zip", &fails)];
    let folder = folder(&bad);
    let mut master = Master::start(&folder, &["--until-done", "--attempts", "1"]);
    let _peer = peer(&folder, master.addr, &[]);
    master.program.prints_one("the reason", |line| line.starts_with("failed no-zip.zip: "));
    master.program.prints("failed three.zip: exit code 3");
    master.program.exits(1);
    assert_eq!(files(&folder, "failed/three.zip")["stdout.txt"], b"until here\n");
    assert_eq!(results(&folder), Vec::<String>::new());
}

/// It may be a task that is still being copied there, so it must look the same twice.
#[test]
fn a_master_does_not_end_before_it_knows_what_is_a_task() {
    let folder = folder(&[("no-zip.zip", b"no ZIP".as_slice())]);
    let mut master = Master::start(&folder, &["--until-done", "--attempts", "1"]);
    let _peer = peer(&folder, master.addr, &[]);
    master.program.prints_one("the reason", |line| line.starts_with("failed no-zip.zip: "));
    master.program.exits(1);
}

/// A task that goes on until its folder has a file `go` beside it, which no sandbox would allow.
pub fn waiting(folder: &Folder) -> Vec<u8> {
    let mut zip = Zip::new();
    let go = folder.path().join("go");
    let script = format!("import os, time\nwhile not os.path.exists({go:?}): time.sleep(0.02)\n");
    zip.add("main.py", script.as_bytes());
    zip.finish()
}

#[test]
fn ctrl_c_finishes_what_runs_and_the_second_gives_it_back() {
    for is_patient in [true, false] {
        let folder = folder(&[]);
        crate::tasks_live::put(&folder, "a.zip", &waiting(&folder));
        crate::tasks_live::put(&folder, "b.zip", &task("um"));
        let master = Master::start(&folder, &[]);
        let mut peer = peer(&folder, master.addr, &["--slots", "1", "--no-sandbox"]);
        peer.prints("a.zip: begun");
        peer.signal("-INT");
        peer.prints("stopping: what runs is finished first");
        if is_patient {
            std::fs::write(folder.path().join("go"), "").unwrap();
            peer.exits(0);
            assert_eq!(results(&folder), ["a.zip"], "and no other was begun");
        } else {
            peer.signal("-INT");
            peer.prints("a.zip: given back");
            peer.exits(130);
            let mut other = crate::tasks_live::Wild::connect(master.addr, "q");
            let names = [other.gets().0, other.gets().0];
            assert_eq!(names, ["b.zip", "a.zip"], "it waits again, behind the others");
        }
    }
}

#[test]
fn a_result_survives_its_master() {
    let folder = folder(&[]);
    crate::tasks_live::put(&folder, "a.zip", &waiting(&folder));
    let mut master = Master::start(&folder, &[]);
    let mut peer = peer(&folder, master.addr, &["--no-sandbox"]);
    peer.prints("a.zip: begun");
    let addr = master.addr.to_string();
    master.kill();
    std::fs::write(folder.path().join("go"), "").unwrap();
    peer.prints("a.zip: done");
    let mut master = Master::start_again(&folder, &addr, &["--until-done"]);
    master.program.exits(0);
    assert_eq!(results(&folder), ["a.zip"]);
}

#[test]
fn both_must_know_the_token() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right", "a shared secret\n"), file("wrong", "another secret\n"));
    let mut master = Master::start(&folder, &["--until-done", "--token-file", &right]);
    let mut stranger = crate::tasks_live::Wild::connect(master.addr, "p");
    for action in ["REGISTER", "HEARTBEAT", "REQUEST_TASK"] {
        assert_eq!(stranger.acts(action)["message"], "this master asks for a token");
    }
    let answer = stranger.submits("a.zip", b"a stranger's");
    assert_eq!(answer["status"], "ERROR");
    let forged = json!({ "action": "REGISTER", "peer_id": "p", "nonce": "00", "proof": "00" });
    assert_eq!(stranger.asks(&forged)["message"], "that is not the token");
    stranger.ends();
    peer(&folder, master.addr, &[]).prints("the master refuses: this master asks for a token");
    let mut mistaken = peer(&folder, master.addr, &["--token-file", &wrong]);
    mistaken.prints("the master does not know the token");
    drop(mistaken);
    let _good = peer(&folder, master.addr, &["--token-file", &right]);
    master.program.exits(0);
    assert_eq!(results(&folder), ["a.zip"]);
    // Nor does a peer with a token work for a master without one.
    let other = crate::tasks_live::folder(&[("a.zip", &task("um"))]);
    let master = Master::start(&other, &[]);
    peer(&other, master.addr, &["--token-file", &right])
        .prints("the master does not know the token");
}

/// A master that somebody else wrote: one thing at a time, no delimiters, all at once.
pub struct WildMaster {
    listener: TcpListener,
    pub socket: Option<TcpStream>,
    /// It hangs up after each answer.
    is_terse: bool,
}

impl WildMaster {
    pub fn new(is_terse: bool) -> WildMaster {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        WildMaster { listener, socket: None, is_terse }
    }

    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub fn socket(&mut self) -> TcpStream {
        if self.socket.is_none() {
            self.listener.set_nonblocking(true).unwrap();
            let (socket, _) = until("a connection", || self.listener.accept().ok());
            socket.set_nonblocking(false).unwrap();
            socket.set_read_timeout(Some(WAIT)).unwrap();
            self.socket = Some(socket);
        }
        self.socket.as_ref().unwrap().try_clone().unwrap()
    }

    /// The next question but heartbeats, which are answered.
    pub fn asked(&mut self, action: &str) -> Value {
        loop {
            let mut socket = self.socket();
            let mut bytes = Vec::new();
            let question: Value = loop {
                let mut chunk = [0; 65536];
                let size = socket.read(&mut chunk).unwrap();
                assert!(size > 0, "it hung up after {:?}", bytes.escape_ascii().to_string());
                bytes.extend_from_slice(&chunk[..size]);
                if let Ok(question) = serde_json::from_slice(&bytes) {
                    break question;
                }
            };
            if question["action"] == action {
                return question;
            }
            match question["action"].as_str().unwrap() {
                "HEARTBEAT" => self.answers(&json!({ "status": "ALIVE" })),
                "REQUEST_TASK" => self.answers(&json!({ "status": "NO_TASKS" })),
                other => panic!("{other} and not {action}"),
            }
        }
    }

    pub fn answers(&mut self, answer: &Value) {
        self.socket().write_all(answer.to_string().as_bytes()).unwrap();
        if self.is_terse {
            self.socket = None;
        }
    }

    pub fn hands_out(&mut self, name: &str, archive: &[u8]) {
        self.asked("REQUEST_TASK");
        let data = STANDARD.encode(archive);
        let package = json!({ "action": "TASK_PACKAGE", "task_name": name, "task_data": data });
        self.answers(&package);
    }

    pub fn takes(&mut self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let result = self.asked("SUBMIT_RESULT");
        assert_eq!(result["result_name"], name);
        self.answers(&json!({ "status": "OK" }));
        unzip(&STANDARD.decode(result["result_data"].as_str().unwrap()).unwrap())
    }
}

#[test]
fn masters_in_the_wild_are_worked_for() {
    for is_terse in [false, true] {
        let folder = Folder::new();
        let mut master = WildMaster::new(is_terse);
        let mut peer = peer(&folder, master.addr(), &["--slots", "1"]);
        let question = master.asked("REGISTER");
        assert_eq!(question["addr"][0], "127.0.0.1", "{question}");
        master.answers(&json!({ "status": "REGISTERED" }));
        for nothing in [
            json!({ "status": "NO_TASK" }),
            json!({ "action": "NO_TASK" }),
            json!({ "status": "NO_TASKS" }),
            json!({ "action": "TASK_PACKAGE", "task_name": null, "task_data": null }),
        ] {
            master.asked("REQUEST_TASK");
            master.answers(&nothing);
        }
        master.hands_out("a.zip", &task("um"));
        assert_eq!(master.takes("a.zip")["stdout.txt"], b"um\n");
        // A name that leads elsewhere is refused, and the next task is done.
        master.hands_out("../../b.zip", &task("dois"));
        master.hands_out("c.zip", &task("três"));
        assert_eq!(master.takes("c.zip")["stdout.txt"], "três\n".as_bytes());
        let head = "the master sends a task whose name is refused: ";
        peer.prints_one(head, |line| line.starts_with(head));
        assert!(!folder.path().join("b.zip").exists());
        peer.signal("-INT");
        peer.exits(0);
    }
}

/// An OK that was lost: the result is offered again, and not lost.
#[test]
fn a_result_without_an_answer_is_offered_again() {
    let folder = Folder::new();
    let mut master = WildMaster::new(false);
    let mut peer = peer(&folder, master.addr(), &["--slots", "1"]);
    master.asked("REGISTER");
    master.answers(&json!({ "status": "REGISTERED" }));
    master.hands_out("a.zip", &task("um"));
    master.asked("SUBMIT_RESULT");
    master.socket = None;
    master.asked("REGISTER");
    master.answers(&json!({ "status": "REGISTERED" }));
    let result = master.asked("SUBMIT_RESULT");
    // One that cannot keep it now is asked later.
    assert_eq!(result["result_name"], "a.zip");
    master.answers(&json!({ "status": "ERROR", "message": "disk full", "again": true }));
    peer.prints("the master cannot take a result now: disk full");
    assert_eq!(master.takes("a.zip")["stdout.txt"], b"um\n");
    peer.signal("-INT");
    peer.exits(0);
}

#[test]
fn a_python_that_is_not_there_is_said_at_the_start() {
    let folder = Folder::new();
    let master = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = master.local_addr().unwrap();
    let (code, _, err) = peer(&folder, addr, &["--python", "/no/python"]).ends();
    assert_eq!((code, err.len()), (Some(1), 1), "{err:?}");
    assert!(err[0].contains("/no/python") && err[0].contains("--python"), "{err:?}");
}

#[test]
fn wrong_options_are_told_what_is_wanted() {
    let wrong: [(&[&str], &str); 5] = [
        (&["--slots", "x"], "not a number from 1 to "),
        (&["--slots", "0"], "not a number from 1 to "),
        (&["--max-message", "a"], "not a number from 1 to 1000000"),
        (&["--master", "127.0.0.1:0"], "the port to connect to is 0"),
        (&["--master", "127.0.0.1:9", "--broadcast", "127.0.0.1"], "cannot be used with"),
    ];
    for (args, why) in wrong {
        let (code, _, err) = run(MALHA, &[&["tasks", "peer"], args].concat(), "");
        assert_eq!((code, err.len()), (Some(2), 1), "{args:?}: {err:?}");
        assert!(err[0].contains(why), "{args:?}: {err:?}");
    }
}
