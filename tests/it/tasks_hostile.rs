//! Everything a stranger may send to a master (tasks spec: Messages, Master).

use crate::harness::{WAIT, until};
use crate::tasks_live::{MALHA, Master, Wild, folder, ok, results, task};
use malha::tasks::token::{Side, Token};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

#[test]
fn what_is_refused_leaves_the_connection_open() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let master = Master::start(&folder, &["--max-message", "1"]);
    let mut peer = Wild::connect(master.addr, "p");
    peer.gets();
    let text = |value: &serde_json::Value| value.to_string();
    let named = |name: &str| text(&Wild::connect(master.addr, "p").result(name, b"x"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(70_000));
    let huge = text(&peer.result("a.zip", &vec![7; 1_000_000]));
    for question in [
        "{}",
        "[]",
        "7 ",
        "\"text\"",
        "{\"action\":\"DANCE\",\"peer_id\":\"p\"}",
        "{\"action\":\"SUBMIT_RESULT\",\"peer_id\":\"p\",\"result_name\":\"a.zip\"}",
        "{\"action\":\"SUBMIT_RESULT\",\"peer_id\":\"p\",\"result_name\":\"a.zip\",\
         \"result_data\":\"!!!\"}",
        "{\"action\":\"SUBMIT_RESULT\",\"peer_id\":\"p\",\"result_name\":\"a.zip\",\
         \"result_data\":null}",
        &named("../a.zip"),
        &named("/etc/passwd"),
        &named("..\\a.zip"),
        &named("a.zip\0"),
        &named(".a.zip"),
        &named(""),
        &named("b.zip"),
        &named("tasks/../a.zip"),
        &deep,
        &long,
        &huge,
    ] {
        peer.says(question.as_bytes());
        let answer = peer.hears();
        let shown: String = question.chars().take(90).collect();
        assert_eq!(answer["status"], "ERROR", "{shown}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|why| !why.is_empty()), "{shown}");
    }
    assert_eq!(results(&folder), Vec::<String>::new());
    assert_eq!(folder.names("results/.incoming"), Vec::<String>::new(), "nothing is left");
    assert_eq!(peer.submits("a.zip", b"good"), ok());
}

/// Before the token nothing is kept; so what began before it is not kept, wherever it is cut.
#[test]
fn of_a_result_that_began_before_the_token_no_half_is_kept() {
    let cuts: Vec<(usize, String)> =
        (0..900).step_by(75).map(|cut| (cut, format!("{cut}.zip"))).collect();
    let task = task("um");
    let tasks: Vec<(&str, &[u8])> =
        cuts.iter().map(|(_, name)| (name.as_str(), task.as_slice())).collect();
    let folder = folder(&tasks);
    let secret = folder.file("token", "a secret of some length");
    let master = Master::start(&folder, &["--token-file", &secret]);
    let token = Token::new(b"a secret of some length").unwrap();
    let archive: Vec<u8> = (0..600_u32).map(|n| n as u8).collect();
    for (cut, name) in &cuts {
        let mut peer = Wild::connect(master.addr, "p");
        let mut register = json!({ "action": "REGISTER", "peer_id": "p", "nonce": "aa" });
        let challenge = peer.asks(&register);
        let nonce = challenge["nonce"].as_str().unwrap();
        register["proof"] = token.proof(Side::Peer, nonce, "aa", "p").into();
        let result = peer.result(name, &archive).to_string();
        peer.says(format!("{register}{}", &result[..*cut]).as_bytes());
        assert_eq!(peer.hears()["status"], "REGISTERED");
        peer.says(&result.as_bytes()[*cut..]);
        let answer = peer.hears();
        if answer == ok() {
            assert_eq!(crate::tasks_live::result(&folder, name), archive);
        } else {
            assert_eq!(answer["message"], "nothing is kept before the token", "cut at {cut}");
            assert!(!results(&folder).contains(name));
            assert_eq!(peer.submits(name, &archive), ok());
        }
    }
}

#[test]
fn what_is_no_json_is_said_and_ends_the_connection() {
    let folder = folder(&[]);
    let mut master = Master::start(&folder, &[]);
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00",
        b"{\"action\":}",
        b"{\"action\":\"REGISTER\"\"peer_id\":\"p\"}",
        b"{\"a\":\"\xff\xfe\"}",
        b"]",
        b"\0\0\0\0",
    ] {
        let mut peer = Wild::connect(master.addr, "p");
        peer.says(bytes);
        assert_eq!(peer.hears()["status"], "ERROR", "{}", bytes.escape_ascii());
        peer.ends();
    }
    master.program.signal("-INT");
    let (code, _, err) = master.program.ends();
    assert_eq!((code, err), (Some(0), vec!["broken-streams=7".to_owned()]));
}

/// JSON that we cannot take in, for all that we know where it ends.
#[test]
fn json_that_says_too_much_costs_no_connection() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let master = Master::start(&folder, &[]);
    let mut peer = Wild::connect(master.addr, "p");
    for more in ["\"\\udcff\"", "1e999999", "[{\"\\ud800\":-0.5E+400}]", "\"\\ud800\\u0041\""] {
        peer.says(
            format!("{{\"action\":\"HEARTBEAT\",\"peer_id\":\"p\",\"x\":{more}}}").as_bytes(),
        );
        assert_eq!(peer.hears()["message"], "a text or a number that is none", "{more}");
    }
    assert_eq!(peer.acts("HEARTBEAT")["status"], "ALIVE");
}

/// Whatever is said of why it failed, it is no result.
#[test]
fn a_failure_need_not_be_text() {
    for (failed, why) in [(json!(true), "true"), (json!(7), "7"), (json!(""), "no reason given")] {
        let folder = folder(&[("a.zip", &task("um"))]);
        let mut master = Master::start(&folder, &["--until-done", "--attempts", "1"]);
        let mut peer = Wild::connect(master.addr, "p");
        peer.gets();
        let mut result = peer.result("a.zip", b"output");
        result["failed"] = failed;
        assert_eq!(peer.asks(&result), ok());
        master.program.prints(&format!("failed a.zip: {why}"));
        master.program.exits(1);
        assert_eq!(results(&folder), Vec::<String>::new());
    }
    for failed in [json!(null), json!(false)] {
        let folder = folder(&[("a.zip", &task("um"))]);
        let master = Master::start(&folder, &[]);
        let mut peer = Wild::connect(master.addr, "p");
        peer.gets();
        let mut result = peer.result("a.zip", b"output");
        result["failed"] = failed;
        assert_eq!(peer.asks(&result), ok());
        assert_eq!(results(&folder), ["a.zip"]);
    }
}

#[test]
fn json_cut_anywhere_is_no_message_and_costs_nobody_else_anything() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let master = Master::start(&folder, &[]);
    let whole = Wild::connect(master.addr, "p").result("a.zip", b"some result").to_string();
    for at in (0..whole.len()).step_by(3) {
        let mut peer = Wild::connect(master.addr, "p");
        peer.says(&whole.as_bytes()[..at]);
    }
    let mut slow = Wild::connect(master.addr, "p");
    for byte in whole.as_bytes() {
        slow.says(&[*byte]);
    }
    assert_eq!(slow.hears(), ok());
    assert_eq!(results(&folder), ["a.zip"]);
    until("an empty spool", || folder.names("results/.incoming").is_empty().then_some(()));
}

#[test]
fn ten_thousand_messages_in_one_segment_are_all_answered() {
    let folder = folder(&[]);
    let master = Master::start(&folder, &[]);
    let mut peer = Wild::connect(master.addr, "p");
    let one = json!({ "action": "HEARTBEAT", "peer_id": "p" }).to_string();
    let socket = peer.socket.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || (&socket).write_all(one.repeat(10_000).as_bytes()).unwrap());
        let expected = b"{\"status\":\"ALIVE\"}\n".repeat(10_000);
        let mut heard = vec![0; expected.len()];
        peer.socket.read_exact(&mut heard).unwrap();
        assert!(heard == expected);
    });
}

/// Slow ones hold nobody up: others are answered at once.
#[test]
fn slow_and_silent_strangers_hold_nobody_up() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let mut master = Master::start(&folder, &[]);
    let mut strangers: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(master.addr).unwrap()).collect();
    for stranger in &mut strangers[..25] {
        stranger.write_all(b"{\"action\":\"SUBMIT_RESULT\",\"result_data\":\"AAAA").unwrap();
    }
    let mut peer = Wild::connect(master.addr, "p");
    for _ in 0..100 {
        assert_eq!(peer.acts("HEARTBEAT")["status"], "ALIVE");
    }
    peer.gets();
    assert_eq!(peer.submits("a.zip", b"r"), ok());
    master.program.signal("-INT");
    master.program.exits(0);
}

#[test]
fn one_peer_too_many_is_told_why() {
    let folder = folder(&[]);
    let master = Master::start(&folder, &["--max-peers", "1"]);
    let mut first = Wild::connect(master.addr, "p");
    assert_eq!(first.acts("REGISTER")["status"], "REGISTERED");
    let mut second = Wild::connect(master.addr, "q");
    let refused = second.acts("REGISTER");
    assert_eq!(refused["message"], "the master has 1 peers, and takes no more");
    let mut third = Wild::connect(master.addr, "r");
    assert_eq!(third.hears()["message"], "the master has 2 connections, and takes no more");
    third.ends();
}

/// A disk that is full: the master says so, keeps running, loses nothing, and takes the result
/// when there is room again. The limit on file sizes stands for the disk.
#[test]
fn a_full_disk_loses_nothing() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = format!(
        "trap '' XFSZ; ulimit -f 100; exec {MALHA} tasks master --listen 127.0.0.1:0 --discovery \
         127.0.0.1:0 --tasks {} --results {}",
        path("tasks"),
        path("results")
    );
    let mut program = crate::harness::Program::start("bash", &["-c", &run]);
    let line = program.prints_one("an address", |line| line.starts_with("listening on "));
    let addr = line["listening on ".len()..].parse().unwrap();
    let mut peer = Wild::connect(addr, "p");
    peer.gets();
    let answer = peer.submits("a.zip", &vec![7; 1_000_000]);
    assert_eq!((&answer["status"], &answer["again"]), (&json!("ERROR"), &json!(true)), "{answer}");
    assert_eq!(results(&folder), Vec::<String>::new());
    assert_eq!(folder.names("results/.incoming"), Vec::<String>::new(), "no half of it is left");
    assert_eq!(peer.acts("HEARTBEAT")["status"], "ALIVE");
    assert_eq!(peer.submits("a.zip", b"small"), ok());
    assert_eq!(results(&folder), ["a.zip"]);
}

/// Bounded memory: an archive of 60 MiB each way is never held whole.
#[test]
fn a_large_archive_is_never_held_in_memory() {
    let mut archive: Vec<u8> = (0..60 * 1024 * 1024_u32).map(|n| ((n * 31) >> 7) as u8).collect();
    archive.extend(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let folder = folder(&[("a.zip", &archive)]);
    let master = Master::start(&folder, &[]);
    let mut peer = Wild::connect(master.addr, "p");
    let question = json!({ "action": "REQUEST_TASK", "peer_id": "p" }).to_string();
    peer.says(question.as_bytes());
    let mut heard = Vec::new();
    let mut chunk = vec![0; 1024 * 1024];
    while !heard.ends_with(b"\"}\n") {
        let size = peer.socket.read(&mut chunk).unwrap();
        assert!(size > 0);
        heard.extend_from_slice(&chunk[..size]);
    }
    let result = String::from_utf8(heard).unwrap();
    let result = result.replace("TASK_PACKAGE\",\"task_name", "SUBMIT_RESULT\",\"result_name");
    let result = result.replace("\"task_data", "\"peer_id\":\"p\",\"result_data");
    peer.says(result.as_bytes());
    peer.socket.set_read_timeout(Some(WAIT * 6)).unwrap();
    assert_eq!(peer.hears(), ok());
    assert!(crate::tasks_live::result(&folder, "a.zip") == archive);
    let kib = master.program.peak_kib();
    assert!(kib < 40 * 1024, "the master took {kib} KiB");
}

#[test]
fn nothing_stays_behind_when_strangers_come_and_go() {
    let folder = folder(&[]);
    let master = Master::start(&folder, &[]);
    let pid = master.program.pid();
    let count = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    Wild::connect(master.addr, "p").acts("HEARTBEAT");
    until("quiet", || (count() < 20).then_some(()));
    let before = count();
    for number in 0..200 {
        let mut peer = Wild::connect(master.addr, "p");
        peer.says(&b"{\"action\":\"HEARTBEAT\",\"peer_id\":\"p\"}"[..number % 36]);
    }
    until("as many descriptors as before", || (count() <= before).then_some(()));
    assert!(Command::new("kill").args(["-0", &pid.to_string()]).status().unwrap().success());
}
