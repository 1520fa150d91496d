//! The chat as programs: datagrams, and the terminal client (chat spec).

use crate::harness::{Program, WAIT, run, until};
use malha::chat::protocol::{Kind, Message};
use malha::chat::server::{self as served, Config, Watch};
use malha::chat::state::{Setup, State};
use malha::net::clock::{Clock, Millis};
use malha::net::stop::stop_pair;
use malha::net::trace::{Level, Trace};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub const MALHA: &str = env!("CARGO_BIN_EXE_malha");

/// A chat server.
pub struct Server {
    pub program: Program,
    pub addr: SocketAddr,
}

impl Server {
    pub fn start(more: &[&str]) -> Server {
        let mut program =
            Program::start(MALHA, &[&["chat", "server", "--listen", "127.0.0.1:0"], more].concat());
        let addr = said(&mut program, "listening on ").parse().unwrap();
        Server { program, addr }
    }

    /// One with a page, and where the page is.
    pub fn with_page(more: &[&str]) -> (Server, String) {
        let mut server = Server::start(&[&["--web", "127.0.0.1:0"], more].concat());
        let url = said(&mut server.program, "page at ");
        (server, url)
    }
}

/// What a program says behind `head`.
#[track_caller]
pub fn said(program: &mut Program, head: &str) -> String {
    program.prints_one(head, |line| line.starts_with(head))[head.len()..].to_owned()
}

/// A program in the wild.
pub struct Wild(pub UdpSocket);

impl Wild {
    pub fn new(server: SocketAddr) -> Wild {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        socket.connect(server).unwrap();
        Wild(socket)
    }

    /// One that has said OI.
    #[track_caller]
    pub fn join(server: SocketAddr, id: u32, name: &str) -> Wild {
        let wild = Wild::new(server);
        wild.says(0, id, 0, name.as_bytes(), b"");
        wild.hears(0, 0, "Conexão aceita.");
        wild
    }

    /// Unpadded, the size in characters.
    pub fn says(&self, kind: u32, origin: u32, to: u32, name: &[u8], text: &[u8]) {
        let size = String::from_utf8_lossy(text).chars().count() as u32;
        let mut bytes: Vec<u8> =
            [kind, origin, to, size].into_iter().flat_map(u32::to_be_bytes).collect();
        bytes.extend_from_slice(name);
        bytes.resize(36, 0);
        bytes.extend_from_slice(text);
        self.0.send(&bytes).unwrap();
    }

    /// The next datagram: kind, origin and text.
    #[track_caller]
    pub fn heard(&self) -> (u32, u32, String) {
        let mut bytes = [0; 2048];
        let size = self.0.recv(&mut bytes).expect("a datagram");
        assert_eq!(size, 176, "we always send 176 bytes");
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let text = &bytes[36..36 + number(12) as usize];
        (number(0), number(4), String::from_utf8(text.to_vec()).unwrap())
    }

    #[track_caller]
    pub fn hears(&self, kind: u32, origin: u32, text: &str) {
        assert_eq!(self.heard(), (kind, origin, text.to_owned()));
    }
}

#[test]
fn programs_in_the_wild_talk_and_no_letter_is_lost() {
    let server = Server::start(&[]);
    let ana = Wild::join(server.addr, 1, "Ana");
    let joao = Wild::join(server.addr, 2, "João");
    ana.says(2, 1, 0, b"Ana", "é assim, não é? ção".as_bytes());
    for one in [&ana, &joao] {
        one.hears(2, 1, "é assim, não é? ção");
    }
    joao.says(2, 2, 1, b"Joao", "ã".repeat(70).as_bytes());
    ana.hears(2, 2, &"ã".repeat(70));
    joao.says(2, 2, 1, b"Joao", ("ã".repeat(70) + "x").as_bytes());
    joao.hears(3, 0, "Texto com mais de 140 bytes.");
    joao.says(2, 2, 1, b"Joao", b"ol\xe1");
    joao.hears(3, 0, "Nome ou texto não é UTF-8.");
    joao.says(4, 2, 0, b"", b"");
    joao.hears(2, 0, "Clientes conectados: 1: Ana, 2: João");
    joao.says(1, 2, 0, b"", b"");
    ana.says(2, 1, 2, b"", b"ainda?");
    ana.hears(3, 0, "ID de destino não encontrado.");
}

#[test]
fn what_is_no_datagram_of_ours_is_counted() {
    let mut server = Server::start(&[]);
    let ana = Wild::join(server.addr, 1, "Ana");
    for size in [0, 1, 35, 1025, 5000] {
        ana.0.send(&vec![0; size]).unwrap();
    }
    ana.says(4, 1, 0, b"", b"");
    ana.hears(2, 0, "Clientes conectados: 1: Ana");
    server.program.signal("-INT");
    ana.hears(2, 0, "Servidor desligado. Conexão encerrada.");
    let (code, _, err) = server.program.ends();
    assert_eq!((code, err), (Some(0), vec!["malformed=5".to_owned()]));
}

#[test]
fn status_comes_as_often_as_told() {
    let server = Server::start(&["--status-every", "0.2"]);
    let ana = Wild::join(server.addr, 1, "Ana");
    let (kind, origin, text) = ana.heard();
    assert_eq!((kind, origin), (2, 0));
    assert!(text.starts_with("Servidor ativo há ") && text.contains("Clientes conectados: 1."));
}

/// Many who talk to many at once: what is too much is lost and counted, and neither an answer nor
/// the end waits behind all that was said.
#[test]
fn a_storm_keeps_nobody_waiting() {
    let mut server = Server::start(&["--max-rate", "1000000"]);
    let crowd = Wild::join(server.addr, 1, "1");
    for id in 2..=300 {
        crowd.says(0, id, 0, b"one of many", b"");
        crowd.hears(0, 0, "Conexão aceita.");
    }
    let bia = Wild::join(server.addr, 1000, "Bia");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let to_all =
                Message { origin: 1, ..Message::from_server(Kind::Text, 0, "!".to_owned()) };
            while !is_over.load(Ordering::Relaxed) {
                // Refused as soon as the server is gone.
                let _ = crowd.0.send(&to_all.encode());
            }
        });
        // Heard by all, or lost in front of somebody: the storm is everywhere.
        for _ in 0..1_000 {
            bia.heard();
        }
        let start = Instant::now();
        server.program.signal("-INT");
        while bia.heard().2 != "Servidor desligado. Conexão encerrada." {}
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        is_over.store(true, Ordering::Relaxed);
    });
    let (code, _, err) = server.program.ends();
    assert_eq!(code, Some(0));
    assert!(err.iter().any(|line| line.contains("unsent=")), "{err:?}");
}

/// A client that ends its thread, or its process, hears the same words as one that stays.
#[test]
fn the_terminal_client_joins_talks_and_leaves() {
    let server = Server::start(&[]);
    let bia = Wild::join(server.addr, 2, "Bia");
    let addr = server.addr.to_string();
    let args = ["chat", "client", "--connect", &addr, "--id", "1", "--name", "Ana"];
    let mut ana = Program::start(MALHA, &args);
    ana.types("olá a todos");
    ana.types("/to 2 só para ti");
    ana.types("/list");
    ana.types("/to Bia errado");
    ana.prints("[Servidor] Conexão aceita.");
    ana.prints("[Broadcast] Ana: olá a todos");
    ana.prints("[Servidor] Clientes conectados: 1: Ana, 2: Bia");
    bia.hears(2, 1, "olá a todos");
    bia.hears(2, 1, "só para ti");
    bia.says(2, 2, 1, b"Bia", "oi\u{1b}[2J".as_bytes());
    ana.prints("[Privado] Bia: oi\\u{1b}[2J");
    ana.types("/to 9 ninguém");
    ana.prints("[ERRO] ID de destino não encontrado.");
    ana.types("/quit");
    ana.exits(0);
    bia.says(2, 2, 1, b"Bia", b"ainda?");
    bia.hears(3, 0, "ID de destino não encontrado.");
}

#[test]
fn the_end_of_input_is_a_goodbye() {
    let server = Server::start(&[]);
    let bia = Wild::join(server.addr, 2, "Bia");
    let addr = server.addr.to_string();
    let args = ["chat", "client", "--connect", &addr, "--id", "1", "--name", "Ana"];
    let (code, _, err) = run(MALHA, &args, "até logo\n");
    assert_eq!((code, err), (Some(0), vec![]));
    bia.hears(2, 1, "até logo");
    bia.says(2, 2, 1, b"Bia", b"ainda?");
    bia.hears(3, 0, "ID de destino não encontrado.");
}

#[test]
fn what_stands_behind_quit_is_not_said_and_a_failure() {
    let server = Server::start(&[]);
    let addr = server.addr.to_string();
    let args = ["chat", "client", "--connect", &addr, "--id", "1", "--name", "Ana"];
    let (code, _, err) = run(MALHA, &args, "oi\n/quit\n\nainda\n");
    assert_eq!((code, err.len()), (Some(1), 1), "{err:#?}");
    assert_eq!(err[0], "error: cannot say everything: there is more behind /quit");
}

/// Whoever pipes lines in loses none of them, and sees what is answered to the last.
#[test]
fn piped_lines_are_all_said_and_answered() {
    let server = Server::start(&[]);
    let bia = Wild::join(server.addr, 2, "Bia");
    let addr = server.addr.to_string();
    let args = ["chat", "client", "--connect", &addr, "--id", "1", "--name", "Ana"];
    let typed: String = (0..60).map(|number| format!("{number}\n")).collect();
    let (code, out, err) = run(MALHA, &args, &(typed + "/to 9 ninguém\n/list\n/quit\n"));
    assert_eq!((code, err), (Some(0), vec![]));
    let last =
        ["[ERRO] ID de destino não encontrado.", "[Servidor] Clientes conectados: 1: Ana, 2: Bia"];
    assert!(out.ends_with(&last.map(str::to_owned)), "{out:#?}");
    for number in 0..60 {
        bia.hears(2, 1, &number.to_string());
    }
}

#[test]
fn nobody_there_is_said_after_five_times() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(WAIT)).unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let args = ["chat", "client", "--connect", &addr, "--id", "1", "--name", "Ana"];
    let mut client = Program::start(MALHA, &args);
    for _ in 0..5 {
        let mut bytes = [0; 2048];
        let size = silent.recv(&mut bytes).unwrap();
        assert_eq!((size, &bytes[..8]), (176, &[0, 0, 0, 0, 0, 0, 0, 1][..]));
    }
    let (code, _, err) = client.ends();
    assert_eq!(
        (code, err),
        (Some(1), vec![format!("error: cannot join {addr}: nenhuma resposta")])
    );
}

#[test]
fn an_id_in_use_is_said_and_ends_it() {
    let server = Server::start(&[]);
    let _bia = Wild::join(server.addr, 1, "Bia");
    let addr = server.addr.to_string();
    let args = ["chat", "client", "--connect", &addr, "--id", "1", "--name", "Ana"];
    let (code, _, err) = run(MALHA, &args, "");
    assert_eq!((code, err), (Some(1), vec![format!("error: cannot join {addr}: ID já em uso.")]));
}

/// On a terminal, too, with the editor of lines: what comes in one piece, and what a terminal says
/// is a paste.
#[test]
fn pasted_lines_are_all_said() {
    let server = Server::start(&[]);
    let client = format!("{MALHA} chat client --connect {} --id 1 --name Ana", server.addr);
    let mut ana = Program::start("script", &["-qec", &client, "/dev/null"]);
    ana.prints_one("the welcome", |line| line.contains("[Servidor] Conexão aceita."));
    ana.types("um\ndois\ntrês");
    for text in ["um", "dois", "três"] {
        let said = format!("[Broadcast] Ana: {text}");
        ana.prints_one(&said, |line| line.contains(&said));
    }
    ana.types("\u{1b}[200~quatro\ncinco\u{1b}[201~");
    for text in ["quatro", "cinco"] {
        let said = format!("[Broadcast] Ana: {text}");
        ana.prints_one(&said, |line| line.trim_end().ends_with(&said));
    }
    ana.types("/quit");
    ana.exits(0);
}

/// What arrives while it cannot look waits for it, as far as a usual system lets it.
#[test]
fn a_client_that_was_held_up_misses_nothing() {
    let server = Server::start(&["--max-rate", "1000000"]);
    let bia = Wild::join(server.addr, 2, "Bia");
    let addr = server.addr.to_string();
    let args = ["chat", "client", "--connect", &addr, "--id", "1", "--name", "Ana"];
    let mut ana = Program::start(MALHA, &args);
    ana.prints("[Servidor] Conexão aceita.");
    ana.signal("-STOP");
    for number in 0..500 {
        bia.says(2, 2, 1, b"", number.to_string().as_bytes());
        // Not faster than the server forwards.
        bia.says(2, 2, 2, b"", b"");
        bia.heard();
    }
    ana.signal("-CONT");
    for number in 0..500 {
        let line = ana.prints_one("a private line", |line| line.starts_with("[Privado]"));
        assert_eq!(line, format!("[Privado] Bia: {number}"));
    }
}

/// A datagram from elsewhere is not the server's.
#[test]
fn a_client_hears_its_server_only() {
    let server = Server::start(&[]);
    let bia = Wild::join(server.addr, 2, "Bia");
    // Whoever copies `0.0.0.0` from a server's command line means this machine.
    let addr = format!("0.0.0.0:{}", server.addr.port());
    let args =
        ["chat", "client", "--connect", &addr, "--id", "1", "--name", "A", "--trace", "wire"];
    let mut ana = Program::start(MALHA, &args);
    ana.prints("[Servidor] Conexão aceita.");
    let listing = Wild::new(server.addr);
    listing.says(0, 3, 0, b"x", b"");
    listing.heard();
    bia.says(2, 2, 1, b"Bia", b"um");
    ana.prints("[Privado] Bia: um");
    ana.signal("-INT");
    ana.exits(0);
}

#[test]
fn a_name_that_is_too_long_is_a_usage_error() {
    let name = "á".repeat(11);
    let args = ["chat", "client", "--id", "1", "--name", &name];
    let (code, _, err) = run(MALHA, &args, "");
    assert_eq!((code, err.len()), (Some(2), 1), "{err:?}");
    assert!(err[0].contains("1 to 20 bytes"), "{err:?}");
    let (code, _, err) = run(MALHA, &["chat", "client", "--name", "Ana"], "");
    assert_eq!((code, err.len()), (Some(2), 1), "{err:?}");
}

#[test]
fn a_second_server_on_the_same_port_says_why_not() {
    let server = Server::start(&[]);
    let addr = server.addr.to_string();
    let (code, _, err) = run(MALHA, &["chat", "server", "--listen", &addr], "");
    assert_eq!((code, err.len()), (Some(1), 1), "{err:?}");
    assert!(err[0].starts_with(&format!("error: cannot listen on {addr}: ")), "{err:?}");
}

/// Counts how often it is shown something.
#[derive(Default)]
struct Shown(AtomicU32);

impl Watch for Shown {
    fn show(&self, _: Millis, _: SocketAddr, _: &State, _: &[(&str, u64)]) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_page_is_told_what_changes_also_while_datagrams_never_end() {
    let clock = Clock::start();
    let config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        setup: Setup { clients_max: 4, rate_max: 20, status_ms: 60_000 },
        trace: Trace::stderr(Level::Off, clock).unwrap(),
        clock,
    };
    let server = served::Server::bind(config).unwrap();
    let (addr, shown) = (server.addr(), Shown::default());
    let (over, is_over) = stop_pair();
    thread::scope(|scope| {
        let _over = over;
        let (is_over, shown) = (&is_over, &shown);
        scope.spawn(move || server.serve(is_over, Some(shown)));
        for _ in 0..8 {
            let wild = Wild::new(addr);
            scope.spawn(move || {
                while !is_over.is_asked() {
                    // Not ours: it costs the server next to nothing.
                    let _ = wild.0.send(b"x");
                }
            });
        }
        until("a page that is told again and again", || {
            (shown.0.load(Ordering::Relaxed) >= 8).then_some(())
        });
    });
}
