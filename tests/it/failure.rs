//! What one is told when something does not do what was asked of it, and what to do about it.

use crate::chat_live::MALHA;
use crate::folder::Folder;
use crate::harness::{Program, run};
use malha::net::accept;
use malha::net::dial;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};

const REFUSED: &str = "; is the server running at that address?";
const IN_USE: &str = "; another program has that port: end it, or choose another port";

/// Somebody else's port, for streams and datagrams.
fn taken() -> (TcpListener, UdpSocket) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
            return (listener, socket);
        }
    }
}

/// One line, with this at its end.
#[track_caller]
fn fails(args: &[&str], hint: &str) {
    let (code, _, err) = run(MALHA, args, "");
    assert_eq!((code, err.len()), (Some(1), 1), "{args:?}: {err:#?}");
    assert!(err[0].starts_with("error: ") && err[0].ends_with(hint), "{args:?}: {err:#?}");
}

#[test]
fn a_port_that_another_program_has() {
    let folder = Folder::new();
    let (log, tasks, results) = (folder.at("log.txt"), folder.at("tasks"), folder.at("results"));
    let (listener, _socket) = taken();
    let addr = listener.local_addr().unwrap();
    let (port, addr) = (addr.port().to_string(), addr.to_string());
    fails(&["grid", "server", "127.0.0.1", "0", &port], IN_USE);
    fails(&["command", "server", "--listen", &addr, "--log", &log], IN_USE);
    fails(&["chat", "server", "--listen", &addr], IN_USE);
    fails(&["chat", "server", "--listen", "127.0.0.1:0", "--web", &addr], IN_USE);
    fails(&["charging", "broker", "--listen", &addr], IN_USE);
    let folders = ["--tasks", &tasks, "--results", &results];
    let master = [&["tasks", "master", "--discovery", "off", "--listen", &addr], &folders[..]];
    std::fs::create_dir(&tasks).unwrap();
    fails(&master.concat(), IN_USE);
    let master =
        [&["tasks", "master", "--listen", "127.0.0.1:0", "--discovery", &addr], &folders[..]];
    fails(&master.concat(), IN_USE);
}

#[test]
fn an_address_where_nobody_listens() {
    let folder = Folder::new();
    let addr = taken().0.local_addr().unwrap();
    let (port, addr) = (addr.port().to_string(), addr.to_string());
    fails(&["grid", "client", "127.0.0.1", &port, "show", "localmaxsensor"], REFUSED);
    fails(&["command", "client", "--connect", &addr, "--clients", "1"], REFUSED);
    fails(&["charging", "simulate", "--broker", &addr], REFUSED);
    let tells = |args: &[&str]| {
        let mut program = Program::start(MALHA, args);
        program.prints_one(REFUSED, |line| line.contains(REFUSED));
    };
    tells(&["charging", "central", "--broker", &addr]);
    let work = folder.at("work");
    tells(&["tasks", "peer", "--master", &addr, "--work", &work, "--no-sandbox"]);
}

#[test]
fn a_port_of_roots() {
    let bind = |_: &SocketAddr| Err::<(), _>(ErrorKind::PermissionDenied.into());
    let why = |addr: &str| accept::first(&[addr.parse().unwrap()], bind).unwrap_err();
    let error = why("127.0.0.1:80");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().ends_with("; choose a port from 1024 up"), "{error}");
    // There it has another reason.
    assert!(!why("127.0.0.1:1024").to_string().contains("choose"));
}

#[test]
fn a_name_that_has_no_address() {
    // Which no resolver has to be asked about.
    let error = dial::resolve("no..name", 1).unwrap_err();
    assert!(error.to_string().ends_with("; is the name right?"), "{error}");
    fails(&["grid", "client", "no..name", "1"], "; is the name right?");
    fails(&["command", "server", "--listen", "no..name:1"], "; is the name right?");
    for program in ["server", "client"] {
        let (code, _, err) = run(MALHA, &["grid", program, "", "1", "2"], "");
        assert_eq!((code, err.len()), (Some(2), 1), "{err:#?}");
        assert!(!err[0].contains("cannot find"), "{err:#?}");
    }
}

#[test]
fn a_file_without_a_password() {
    let folder = Folder::new();
    for text in ["", "\n", "\nsegredo\n"] {
        let file = folder.file("password.txt", text);
        let args = ["charging", "vehicle", "--user", "ana", "--password-file", &file];
        fails(&args, "password.txt: its first line is empty");
    }
}
