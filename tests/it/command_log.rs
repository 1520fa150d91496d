//! The log of the command server (spec: Server): what is in it, and what cannot keep it from
//! serving.

use crate::command_server::{ECHO, FULL, Serving, UNKNOWN, ask_until, entries, entry, logs};
use crate::folder::Folder;
use crate::harness::{Person, WAIT, until};
use malha::net::stop::stop_pair;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::net::UdpSocket;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;

/// Before a request that is no command.
const REFUSED: &str = "pedido não reconhecido: ";
/// Linux, all of its usual machines.
const O_NONBLOCK: i32 = 0o4000;

#[test]
fn each_event_is_one_line() {
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let mut server = Serving::start(&log, &["--max-clients", "1"]);
    let mut client = server.connect();
    let name = client.socket.local_addr().unwrap();
    client.says("echo");
    client.hears(ECHO);
    client.asks("TIME", "TIME: ");
    client.says(" reboot now ");
    client.hears(UNKNOWN);
    let mut other = server.connect();
    let refused = other.socket.local_addr().unwrap();
    other.hears_bytes(FULL.as_bytes());
    other.ends();
    client.says("EXIT");
    client.hears("OK");
    client.ends();
    logs(&log, &format!("{name} desconectado"));
    server.stop();
    let addr = server.addr;
    let expected = [
        format!("Servidor iniciado em {addr}"),
        format!("{name} conectado (1/1)"),
        format!("{name} pedido: ECHO"),
        format!("{name} pedido: TIME"),
        format!("{name} {REFUSED}reboot now"),
        format!("{refused} recusado: número máximo de clientes (1)"),
        format!("{name} pedido: EXIT"),
        format!("{name} desconectado"),
        "Servidor encerrado".to_owned(),
    ];
    assert_eq!(entries(&log), expected);
}

/// The client that fails leaves bytes unread, so its system resets the connection.
#[test]
fn a_client_that_is_idle_or_fails_is_a_line() {
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let mut server = Serving::start(&log, &["--idle-timeout", "0.2"]);
    let mut idle = server.connect();
    let idle_name = idle.socket.local_addr().unwrap();
    idle.ends();
    let mut failing = server.connect();
    let failing_name = failing.socket.local_addr().unwrap();
    failing.says("ECHO");
    failing.socket.peek(&mut [0]).unwrap();
    drop(failing);
    logs(&log, &format!("{failing_name} desconectado, erro: "));
    server.stop();
    let expected = format!("{idle_name} inativo por 0.2 s, conexão encerrada");
    assert!(entries(&log).contains(&expected), "{:#?}", entries(&log));
}

#[test]
fn the_time_of_a_line_is_the_time_that_clients_are_told() {
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let mut server = Serving::start(&log, &[]);
    let mut client = server.connect();
    // Without the last three digits, which the log does not have.
    let mut time = || {
        let answer = client.asks("TIME", "TIME: ");
        answer.trim_end().strip_prefix("TIME: ").unwrap()[..23].replace('.', ",")
    };
    let first = time();
    let (before, after) = (time(), time());
    server.stop();
    let text = fs::read_to_string(&log).unwrap();
    let asked: Vec<&str> = text.lines().filter(|line| line.ends_with("pedido: TIME")).collect();
    assert_eq!(asked.len(), 3, "{text}");
    let (stamp, _) = entry(asked[1]).unwrap();
    assert!(first.as_str() <= stamp && stamp <= after.as_str(), "{stamp} is not {before}");
}

#[test]
fn a_restart_appends() {
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let mut expected = Vec::new();
    for _ in 0..3 {
        let mut server = Serving::start(&log, &[]);
        server.stop();
        expected.push(format!("Servidor iniciado em {}", server.addr));
        expected.push("Servidor encerrado".to_owned());
        assert_eq!(entries(&log), expected);
    }
}

/// As log rotation does it.
#[test]
fn a_log_that_is_renamed_while_clients_ask_misses_no_request() {
    const RENAMES: usize = 20;
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let mut server = Serving::start(&log, &[]);
    let (over, is_over) = stop_pair();
    let asked: Vec<String> = thread::scope(|scope| {
        // Dropped here, also where an assertion fails.
        let over = over;
        let (addr, is_over) = (server.addr, &is_over);
        let ask = |name| scope.spawn(move || ask_until(is_over, addr, name));
        let askers = ["ana", "bia", "caio"].map(ask);
        for number in 0..RENAMES {
            logs(&log, REFUSED);
            fs::rename(&log, folder.at(&number.to_string())).unwrap();
        }
        logs(&log, REFUSED);
        drop(over);
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });
    server.stop();
    let mut files: Vec<String> = (0..RENAMES).map(|n| folder.at(&n.to_string())).collect();
    files.push(log);
    let logged: Vec<String> = files.iter().flat_map(entries).filter_map(refused).collect();
    assert_eq!(missing(&asked, &logged), [""; 0]);
    assert_eq!(logged.len(), asked.len(), "some are there twice");
}

/// The request of a line, if it was no command.
fn refused(text: String) -> Option<String> {
    text.split_once(REFUSED).map(|(_, request)| request.to_owned())
}

fn missing<'a>(asked: &'a [String], logged: &[String]) -> Vec<&'a str> {
    let logged: HashSet<&str> = logged.iter().map(String::as_str).collect();
    asked.iter().map(String::as_str).filter(|request| !logged.contains(request)).collect()
}

#[test]
fn a_log_that_is_removed_while_clients_ask_has_all_requests_since_then() {
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let mut server = Serving::start(&log, &[]);
    let mut client = server.connect();
    let (over, is_over) = stop_pair();
    thread::scope(|scope| {
        let _over = over;
        for name in ["ana", "bia"] {
            let (addr, is_over) = (server.addr, &is_over);
            scope.spawn(move || ask_until(is_over, addr, name));
        }
        for round in 0..20 {
            logs(&log, "pedido");
            fs::remove_file(&log).unwrap();
            let requests: Vec<String> = (0..50).map(|n| format!("since {round} {n}.")).collect();
            client.says(&requests.join("\n"));
            client.hears_bytes(format!("{UNKNOWN}\n").repeat(50).as_bytes());
            for request in &requests {
                logs(&log, &format!("{REFUSED}{request}"));
            }
        }
    });
    server.stop();
    assert_eq!(entries(&log).last().unwrap(), "Servidor encerrado");
}

/// Spec, Server: control characters are escaped, so that nobody can forge a line.
#[test]
fn no_request_forges_a_line() {
    const FORGED: &str = "2026-11-20 14:05:09,123 - Servidor encerrado";
    let folder = Folder::new();
    let log = folder.at("log.txt");
    let mut server = Serving::start(&log, &["--udp"]);
    let ends: [&[u8]; 11] = [
        b"\r",
        b"\0",
        b"\x1b[2K\x1b[1G",
        b"\x0b",
        b"\x0c",
        b"\x7f",
        b"\x08",
        b"\xff\r\xc3",
        "\u{2028}".as_bytes(),
        "\u{2029}\u{85}".as_bytes(),
        "\u{202e}".as_bytes(),
    ];
    let requests: Vec<Vec<u8>> =
        ends.iter().map(|end| [b"x", *end, FORGED.as_bytes()].concat()).collect();
    let mut client = server.connect();
    for request in &requests {
        client.says_bytes(&[request, &b"\n"[..]].concat());
        client.hears(UNKNOWN);
    }
    // What is a line of its own is a request of its own.
    client.says(&format!("x\n{FORGED}"));
    client.hears_bytes(format!("{UNKNOWN}\n").repeat(2).as_bytes());
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(WAIT)).unwrap();
    for end in [&b"\n"[..], b"\r\n"].iter().chain(&ends) {
        asker.send_to(&[b"x", *end, FORGED.as_bytes()].concat(), server.addr).unwrap();
        let mut answer = [0; 100];
        let size = asker.recv(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer[..size]), UNKNOWN);
    }
    let names = [client.socket.local_addr().unwrap(), asker.local_addr().unwrap()];
    server.stop();
    let texts = entries(&log);
    let is_plain = |c: char| !c.is_control() && !"\u{2028}\u{2029}\u{202e}\u{fffd}".contains(c);
    for text in &texts {
        assert!(text.chars().all(is_plain), "not plain: {text:?}");
    }
    let asked: Vec<&String> = texts.iter().filter(|text| text.contains("pedido")).collect();
    let is_named = |text: &&&String| names.iter().any(|name| text.contains(&name.to_string()));
    assert_eq!(asked.len(), requests.len() + 2 + ends.len() + 2, "{texts:#?}");
    assert_eq!(asked.iter().filter(is_named).count(), asked.len(), "{texts:#?}");
    assert_eq!(texts.iter().filter(|text| *text == "Servidor encerrado").count(), 1);
    let requests: HashSet<&str> =
        asked.iter().map(|text| text.split_once(REFUSED).unwrap().1).collect();
    // `x` on its own, and what came in a line and in a datagram.
    assert_eq!(requests.len(), ends.len() + 2 + 2, "two are shown as one: {texts:#?}");
}

#[test]
fn a_log_on_a_full_disk_is_reported_once_and_clients_are_answered() {
    serves_without_log("/dev/full", || {});
}

#[test]
fn a_log_in_no_folder_is_reported_once_and_kept_for_the_folder() {
    let folder = Folder::new();
    let log = folder.at("missing/log.txt");
    serves_without_log(&log, || fs::create_dir(folder.at("missing")).unwrap());
    let texts = entries(&log);
    assert_eq!(texts.iter().filter(|text| text.ends_with("pedido: ECHO")).count(), 1_200);
    assert!(texts[0].starts_with("Servidor iniciado"), "{}", texts[0]);
}

/// What is said at the end tells how much is missing, not once more that it is.
fn serves_without_log(log: &str, before_the_end: impl FnOnce()) {
    let mut server = Serving::start(log, &[]);
    let said = server.program.complains();
    assert!(said.contains(log), "{said}");
    for _ in 0..4 {
        let mut client = server.connect();
        for _ in 0..300 {
            client.says("ECHO");
            client.hears(ECHO);
        }
    }
    before_the_end();
    let (_, err) = server.stop();
    let more: Vec<&String> =
        err.iter().filter(|line| !line.starts_with("log-lines-lost=")).collect();
    assert!(more.is_empty() && err.len() <= 1, "{err:#?}");
}

#[test]
fn a_log_on_a_pipe_that_nobody_reads_delays_no_client() {
    let folder = Folder::new();
    let mut server = Serving::start(&folder.fifo("pipe"), &[]);
    asks_much(&mut server.connect());
    asks_much(&mut server.connect());
    server.stop();
}

/// What the reader missed it is told when it reads on.
#[test]
fn a_log_on_a_pipe_whose_reader_stops_delays_no_client_and_counts_what_is_lost() {
    let folder = Folder::new();
    let path = folder.fifo("pipe");
    // Open at both ends, which waits for nobody.
    let mut both = OpenOptions::new();
    let mut pipe = both.read(true).write(true).custom_flags(O_NONBLOCK).open(&path).unwrap();
    let server = Serving::start(&path, &[]);
    let mut read = String::new();
    until("the first line", || {
        drain(&mut pipe, &mut read);
        read.contains("Servidor iniciado").then_some(())
    });
    let asked = asks_much(&mut server.connect());
    until("each line, or that it is lost", || {
        drain(&mut pipe, &mut read);
        let lost = |text: &str| text.strip_suffix(" linhas perdidas").map(|n| n.parse().unwrap());
        let texts = read.lines().filter_map(entry).map(|(_, text)| text);
        let lines: usize = texts.map(|text| lost(text).unwrap_or(1)).sum();
        // One of the start, one of the connection, one of its end.
        (read.ends_with('\n') && lines == asked + 3).then_some(())
    });
    assert!(read.contains("linhas perdidas"), "there was room for all: ask more");
    assert!(read.lines().all(|line| entry(line).is_some()), "a line is cut");
}

fn drain(pipe: &mut File, text: &mut String) {
    let mut chunk = [0; 65_536];
    loop {
        match pipe.read(&mut chunk) {
            Ok(0) => return,
            // The requests are ASCII, and a character of ours that is cut is nothing we look at.
            Ok(size) => text.push_str(&String::from_utf8_lossy(&chunk[..size])),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                return;
            }
        }
    }
}

/// More than a log may keep, in requests that must be answered though it takes nothing, for ever;
/// says how many.
fn asks_much(client: &mut Person) -> usize {
    const BATCHES: usize = 80;
    const BATCH: usize = 50;
    let request = format!("{}\n", "x".repeat(1_000));
    for _ in 0..BATCHES {
        client.says_bytes(request.repeat(BATCH).as_bytes());
        client.hears_bytes(format!("{UNKNOWN}\n").repeat(BATCH).as_bytes());
    }
    BATCHES * BATCH
}

#[test]
fn a_line_that_was_cut_stays_a_line_of_its_own() {
    let folder = Folder::new();
    // In the middle of a letter, too.
    let cut = b"2026-11-20 14:05:09,123 - 127.0.0.1:5 pedido n\xc3";
    let log = folder.file("log.txt", cut);
    let mut server = Serving::start(&log, &[]);
    server.stop();
    let bytes = fs::read(&log).unwrap();
    let rest = bytes.strip_prefix(&cut[..]).and_then(|rest| rest.strip_prefix(b"\n"));
    let rest = rest.unwrap_or_else(|| panic!("{}", bytes.escape_ascii()));
    let rest = entries(folder.file("rest.txt", rest));
    assert_eq!(
        rest,
        [format!("Servidor iniciado em {}", server.addr), "Servidor encerrado".into()]
    );
}

#[test]
fn a_server_that_is_killed_leaves_whole_lines_but_the_last() {
    let folder = Folder::new();
    let log = folder.at("log.txt");
    for round in 1..=5 {
        let mut server = Serving::start(&log, &[]);
        let before = lines_in(&log);
        thread::scope(|scope| {
            for _ in 0..3 {
                let mut client = server.connect();
                scope.spawn(move || while batch(&mut client).is_ok() {});
            }
            until("many lines", || (lines_in(&log) > before + 500 * round).then_some(()));
            server.program.signal("-KILL");
            assert_eq!(server.program.exit(), None);
        });
        // A kill can end a write between two pages of memory: one line for each, and the next
        // server leaves it a line of its own.
        let text = fs::read_to_string(&log).unwrap();
        let cut = text.split_terminator('\n').filter(|line| entry(line).is_none()).count();
        assert!(cut <= round, "{cut} lines cut by {round} kills");
        assert!(lines_in(&log) > 500 * round);
    }
}

/// Some requests and their answers, from a server that may be killed meanwhile.
fn batch(client: &mut Person) -> std::io::Result<()> {
    std::io::Write::write_all(&mut client.socket, "ECHO\n".repeat(20).as_bytes())?;
    client.socket.read_exact(format!("{ECHO}\n").repeat(20).into_bytes().as_mut_slice())
}

fn lines_in(log: impl AsRef<Path>) -> usize {
    fs::read(log).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
}
