//! A master as a program, and peers that we did not write: back to back JSON without delimiter,
//! one connection for all or one for each question (tasks spec: Messages).

use crate::folder::Folder;
use crate::harness::{Program, WAIT, run, until};
use crate::tasks_zip::Zip;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::catch_unwind;

pub const MALHA: &str = env!("CARGO_BIN_EXE_malha");

/// A task that is one.
pub fn task(text: &str) -> Vec<u8> {
    let mut zip = Zip::new();
    zip.add("main.py", format!("print({text:?})\n").as_bytes());
    zip.add("input.csv", b"a,b\n1,2\n");
    zip.finish()
}

/// A master and its folders.
pub struct Master {
    pub program: Program,
    pub addr: SocketAddr,
    /// Where peers ask for it.
    pub discovery: SocketAddr,
}

impl Master {
    pub fn start(folder: &Folder, more: &[&str]) -> Master {
        Master::start_at(folder, "127.0.0.1:0", more)
    }

    /// At an address that another one has just left. Meanwhile the system may have given its port
    /// to somebody who connects; then it is tried again.
    pub fn start_again(folder: &Folder, listen: &str, more: &[&str]) -> Master {
        let start = || catch_unwind(|| Master::start_at(folder, listen, more)).ok();
        until("a master at the same port", start)
    }

    fn start_at(folder: &Folder, listen: &str, more: &[&str]) -> Master {
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (tasks, results) = (path("tasks"), path("results"));
        let mut args = vec!["tasks", "master", "--listen", listen, "--tasks", &tasks];
        args.extend(["--results", &results]);
        if !more.contains(&"--discovery") {
            args.extend(["--discovery", "127.0.0.1:0"]);
        }
        let mut program = Program::start(MALHA, &[&args[..], more].concat());
        let mut said = |head: &str| {
            let line = program.prints_one(head, |line| line.starts_with(head));
            line[head.len()..].parse().unwrap()
        };
        let (addr, discovery) = (said("listening on "), said("discovery at "));
        Master { program, addr, discovery }
    }

    pub fn kill(&mut self) {
        self.program.signal("-KILL");
        assert_eq!(self.program.exit(), None);
    }
}

/// A folder with such tasks in it.
pub fn folder(tasks: &[(&str, &[u8])]) -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("tasks")).unwrap();
    for (name, bytes) in tasks {
        put(&folder, name, bytes);
    }
    folder
}

pub fn put(folder: &Folder, name: &str, bytes: &[u8]) {
    std::fs::write(folder.path().join("tasks").join(name), bytes).unwrap();
}

/// The results that are there: plain files whose names do not begin with a dot.
pub fn results(folder: &Folder) -> Vec<String> {
    let is_file = |name: &String| folder.path().join("results").join(name).is_file();
    folder.names("results").into_iter().filter(is_file).collect()
}

pub fn result(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.path().join("results").join(name)).unwrap()
}

/// A peer that somebody else wrote.
pub struct Wild {
    pub socket: TcpStream,
    id: String,
}

impl Wild {
    #[track_caller]
    pub fn connect(addr: SocketAddr, id: &str) -> Wild {
        let socket = until("a master", || TcpStream::connect(addr).ok());
        socket.set_read_timeout(Some(WAIT)).unwrap();
        socket.set_write_timeout(Some(WAIT)).unwrap();
        Wild { socket, id: id.to_owned() }
    }

    pub fn says(&mut self, text: &[u8]) {
        self.socket.write_all(text).unwrap();
    }

    /// The next object, as a reader without delimiters finds it.
    #[track_caller]
    pub fn hears(&mut self) -> Value {
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            let size = self.socket.read(&mut byte).unwrap();
            assert!(size == 1, "the end came after {:?}", bytes.escape_ascii().to_string());
            bytes.push(byte[0]);
            if byte == *b"}"
                && let Ok(value) = serde_json::from_slice(&bytes)
            {
                return value;
            }
        }
    }

    /// The next object with all between it and its newline, which only ours have.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut bytes = Vec::new();
        while bytes.last() != Some(&b'\n') {
            let mut byte = [0];
            let size = self.socket.read(&mut byte).unwrap();
            assert!(size == 1, "the end came after {:?}", bytes.escape_ascii().to_string());
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).unwrap().trim_end().to_owned()
    }

    #[track_caller]
    pub fn asks(&mut self, question: &Value) -> Value {
        self.says(question.to_string().as_bytes());
        self.hears()
    }

    #[track_caller]
    pub fn acts(&mut self, action: &str) -> Value {
        let question =
            json!({ "action": action, "peer_id": self.id, "addr": ["127.0.0.1", 50010] });
        self.asks(&question)
    }

    /// The name of the task that it gets, once there is one.
    #[track_caller]
    pub fn gets(&mut self) -> (String, Vec<u8>) {
        until("a task", || {
            let answer = self.acts("REQUEST_TASK");
            if answer == json!({ "status": "NO_TASK" }) {
                return None;
            }
            assert_eq!(answer["action"], "TASK_PACKAGE", "{answer}");
            let data = STANDARD.decode(answer["task_data"].as_str().unwrap()).unwrap();
            Some((answer["task_name"].as_str().unwrap().to_owned(), data))
        })
    }

    pub fn result(&self, name: &str, bytes: &[u8]) -> Value {
        let data = STANDARD.encode(bytes);
        json!({
            "action": "SUBMIT_RESULT", "peer_id": self.id, "result_name": name, "result_data": data,
        })
    }

    #[track_caller]
    pub fn submits(&mut self, name: &str, bytes: &[u8]) -> Value {
        let question = self.result(name, bytes);
        self.asks(&question)
    }

    #[track_caller]
    pub fn ends(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = self.socket.read_to_end(&mut rest);
        let rest = rest.trim_ascii();
        assert!(rest.is_empty(), "expected the end, heard {}", rest.escape_ascii());
    }
}

/// What a summary says that is done, by this master and those before it, if nothing has failed.
pub fn done_in_all(line: &str) -> Option<usize> {
    let (now, rest) = line.split_once(" done, 0 failed in ")?;
    let before = rest.split_once("; ").map_or(Some("0"), |(_, before)| before.split(' ').next());
    Some(now.parse::<usize>().ok()? + before?.parse::<usize>().ok()?)
}

pub fn ok() -> Value {
    json!({ "status": "OK" })
}

#[test]
fn a_peer_in_the_wild_from_register_to_result() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let mut master = Master::start(&folder, &["--until-done"]);
    let mut peer = Wild::connect(master.addr, "p");
    assert_eq!(peer.acts("REGISTER"), json!({ "status": "REGISTERED" }));
    assert_eq!(peer.acts("HEARTBEAT"), json!({ "status": "ALIVE" }));
    assert_eq!(peer.gets(), ("a.zip".to_owned(), task("um")));
    assert_eq!(peer.acts("REQUEST_TASK"), json!({ "status": "NO_TASK" }));
    assert_eq!(peer.submits("a.zip_result.zip", b"result"), ok());
    assert_eq!(result(&folder, "a.zip"), b"result");
    assert_eq!(peer.submits("a.zip", b"another"), ok());
    assert_eq!(result(&folder, "a.zip"), b"result", "nothing is overwritten");
    master.program.prints_one("the summary", |line| line.starts_with("1 done, 0 failed in "));
    master.program.exits(0);
    assert_eq!(folder.names("results"), ["a.zip"], "nothing else is left");
}

#[test]
fn a_peer_in_the_wild_with_a_connection_for_each_question() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let master = Master::start(&folder, &[]);
    let once = |action: &str| Wild::connect(master.addr, "p").acts(action);
    assert_eq!(once("REGISTER"), json!({ "status": "REGISTERED" }));
    assert_eq!(Wild::connect(master.addr, "p").gets().0, "a.zip");
    assert_eq!(once("HEARTBEAT"), json!({ "status": "ALIVE" }));
    assert_eq!(Wild::connect(master.addr, "q").acts("REQUEST_TASK")["status"], "NO_TASK");
    assert_eq!(Wild::connect(master.addr, "p").submits("a.zip", b"r"), ok());
    assert_eq!(results(&folder), ["a.zip"]);
}

#[test]
fn a_peer_that_is_gone_loses_its_task_at_once() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let master = Master::start(&folder, &[]);
    let mut first = Wild::connect(master.addr, "p");
    first.acts("REGISTER");
    first.gets();
    drop(first);
    let mut second = Wild::connect(master.addr, "q");
    assert_eq!(second.gets().0, "a.zip");
    // The first comes back, late, and is told that all is well; the second is later.
    let mut late = Wild::connect(master.addr, "p");
    assert_eq!(late.submits("a_result.zip", b"late"), ok());
    assert_eq!(second.submits("a.zip", b"second"), ok());
    assert_eq!(
        (results(&folder), result(&folder, "a.zip")),
        (vec!["a.zip".into()], b"late".into())
    );
}

#[test]
fn tasks_that_come_later_are_seen_when_they_are_whole() {
    let folder = folder(&[]);
    let master = Master::start(&folder, &[]);
    let mut peer = Wild::connect(master.addr, "p");
    assert_eq!(peer.acts("REQUEST_TASK")["status"], "NO_TASK");
    let bytes = task("um");
    let path = folder.path().join("tasks/a.zip");
    let mut file = std::fs::File::create(&path).unwrap();
    for piece in bytes.chunks(bytes.len() / 20 + 1) {
        file.write_all(piece).unwrap();
        file.sync_all().unwrap();
        let answer = peer.acts("REQUEST_TASK");
        assert!(answer["status"] == "NO_TASK" || answer["task_data"] == STANDARD.encode(&bytes));
        if answer["status"] != "NO_TASK" {
            return;
        }
    }
    assert_eq!(peer.gets(), ("a.zip".to_owned(), bytes));
    for (name, bytes) in [("x.txt", b"x".as_slice()), (".b.zip", b"x"), ("b..c.zip", b"x")] {
        put(&folder, name, bytes);
    }
    put(&folder, "no-zip.zip", b"not a ZIP at all");
    assert_eq!(peer.gets().0, "no-zip.zip");
    assert_eq!(peer.acts("REQUEST_TASK")["status"], "NO_TASK");
}

#[test]
fn a_task_that_fails_too_often_is_set_aside_with_its_last_output() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let mut master = Master::start(&folder, &["--until-done", "--attempts", "2"]);
    let mut peer = Wild::connect(master.addr, "p");
    for output in ["first", "second"] {
        assert_eq!(peer.gets().0, "a.zip");
        let mut failed = peer.result("a.zip", output.as_bytes());
        failed["failed"] = json!("exit code 1");
        assert_eq!(peer.asks(&failed), ok());
    }
    assert_eq!(result(&folder, "failed/a.zip"), b"second");
    master.program.prints("failed a.zip: exit code 1");
    master.program.exits(1);
    assert_eq!(folder.names("results"), ["failed"]);
    // Another master knows.
    let mut master = Master::start(&folder, &["--until-done"]);
    master.program.prints("failed a.zip: in an earlier run");
    master.program.exits(1);
}

#[test]
fn status_is_shown_and_a_second_master_is_told_why_not() {
    let folder = folder(&[("a.zip", &task("um")), ("b.zip", &task("dois"))]);
    let mut master = Master::start(&folder, &[]);
    let mut peer = Wild::connect(master.addr, "p");
    peer.gets();
    until("the status", || {
        master.program.types("status");
        let line = master.program.prints_one("the status", |line| line.contains(" tasks a second"));
        line.starts_with("0 done, 1 running, 1 waiting, 0 failed; ").then_some(())
    });
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tasks, results) = (path("tasks"), path("results"));
    let args = ["tasks", "master", "--listen", "127.0.0.1:0", "--discovery", "off", "--tasks"];
    let (code, _, err) = run(MALHA, &[&args[..], &[&tasks, "--results", &results]].concat(), "");
    assert_eq!(code, Some(1));
    assert_eq!(err, [format!("error: cannot work in {results}: another master does")]);
}

#[test]
fn other_machines_need_a_token_or_trust() {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tasks, results) = (path("tasks"), path("results"));
    for args in [
        vec!["master", "--listen", "0.0.0.0:0"],
        vec!["master", "--discovery", "0.0.0.0:0"],
        vec![
            "master",
            "--listen",
            "127.0.0.1:0",
            "--discovery",
            "off",
            "--web",
            "0.0.0.0:0",
            "--tasks",
            &tasks,
            "--results",
            &results,
        ],
        vec!["peer", "--master", "192.0.2.1:50020"],
        vec!["peer", "--broadcast", "192.0.2.255"],
    ] {
        let (code, _, err) = run(MALHA, &[&["tasks"], &args[..]].concat(), "");
        assert_eq!((code, err.len()), (Some(2), 1), "{args:?}: {err:?}");
        assert!(err[0].contains("--trust-network"), "{err:?}");
    }
}

#[test]
fn who_asks_is_told_where_the_master_is() {
    let folder = folder(&[]);
    let master = Master::start(&folder, &[]);
    let asker = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(WAIT)).unwrap();
    let question = json!({ "action": "DISCOVER_MASTER", "peer_id": "p", "port_tcp": 50010 });
    let announced = json!({
        "action": "MASTER_ANNOUNCE", "master_ip": "127.0.0.1", "master_port": master.addr.port(),
    });
    // Of these only the last is answered; nor does an announcement make two masters talk for ever.
    let long = format!("{question}{}", " ".repeat(2_000));
    let (announcement, question) = (announced.to_string(), question.to_string());
    for datagram in ["", "{", "[]", "\u{0}", &long, &announcement, &question] {
        asker.send_to(datagram.as_bytes(), master.discovery).unwrap();
    }
    let mut bytes = [0; 2048];
    let (size, from) = asker.recv_from(&mut bytes).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&bytes[..size]).unwrap(), announced);
    assert_eq!(from, master.discovery);
    asker.set_nonblocking(true).unwrap();
    assert!(asker.recv_from(&mut bytes).is_err(), "one answer too many");
}
