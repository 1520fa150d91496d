//! Who may ask the chat's pages for what, and who is refused (chat spec: Pages).

use crate::chat_live::{Server, Wild};
use crate::harness::{WAIT, until, within};
use crossbeam_channel::RecvTimeoutError;
use malha::web::hub::Hub;
use malha::web::limits::EVENTS_MAX;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// What the page's server answers, whole.
fn http(addr: &str, request: &str) -> String {
    let mut socket = TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(WAIT)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn page_addr(url: &str) -> String {
    url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

#[test]
fn a_page_from_elsewhere_cannot_drive_ours() {
    let (server, url) = Server::with_page(&[]);
    let addr = page_addr(&url);
    let port = addr.rsplit(':').next().unwrap();
    let post = |host: &str, more: &str| {
        let head =
            format!("POST /stop HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n{more}\r\n{{}}");
        http(&addr, &head).lines().next().unwrap_or_default().to_owned()
    };
    let json = "Content-Type: application/json\r\n";
    for (host, more) in [
        ("evil.example", json.to_owned()),
        (&format!("evil.example:{port}"), json.to_owned()),
        ("127.0.0.1", json.to_owned()),
        (&format!("localhost.evil.example:{port}"), json.to_owned()),
        (&addr, format!("{json}Origin: http://evil.example\r\n")),
        (&addr, format!("{json}Origin: null\r\n")),
        (&addr, format!("{json}Origin: https://{addr}\r\n")),
        (&addr, format!("{json}Origin: http://localhost:{port}\r\n")),
    ] {
        assert_eq!(post(host, &more), "HTTP/1.1 403 Forbidden", "{host} {more}");
    }
    // What a form can send without asking first.
    let form = "Content-Type: text/plain\r\n";
    assert_eq!(post(&addr, form), "HTTP/1.1 400 Bad Request");
    for path in ["/", "/events", "/live.js"] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: evil.example:{port}\r\n\r\n");
        assert!(http(&addr, &get).starts_with("HTTP/1.1 403 "), "{path}");
    }
    // The server is still there; asked by its own page, it stops.
    let ana = Wild::join(server.addr, 1, "Ana");
    assert_eq!(post(&addr, &format!("{json}Origin: http://{addr}\r\n")), "HTTP/1.1 200 OK");
    ana.hears(2, 0, "Servidor desligado. Conexão encerrada.");
}

#[test]
fn what_is_no_request_is_refused() {
    let (_server, url) = Server::with_page(&[]);
    let addr = page_addr(&url);
    let host = format!("Host: {addr}\r\n");
    for (request, status) in [
        ("\x16\x03\x01\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), "400"),
        (format!("GET /../Cargo.toml HTTP/1.1\r\n{host}\r\n"), "404"),
        (format!("DELETE / HTTP/1.1\r\n{host}\r\n"), "405"),
        (format!("POST /stop HTTP/1.1\r\n{host}Content-Length: 99999\r\n\r\n"), "413"),
        (format!("POST /stop HTTP/1.1\r\n{host}Content-Length: -1\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: +0\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}Origin: http://{addr}\r\nOrigin: null\r\n\r\n"), "400"),
        (format!("POST /stop HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n"), "400"),
        (format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(9_000)), "413"),
    ] {
        let answer = http(&addr, &request);
        let first: String = request.chars().take(60).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{first:?}: {answer}");
    }
    let answer = http(&addr, &format!("GET /?x=1 HTTP/1.1\r\n{host}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("default-src 'self'"));
}

/// Somebody who connects and says nothing, or half a request, holds nobody up: the server has 5 s
/// of patience with each.
#[test]
fn slow_browsers_hold_nobody_up() {
    within(Duration::from_secs(3), || {
        let (mut server, url) = Server::with_page(&[]);
        let addr = page_addr(&url);
        let slow: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(&addr).unwrap()).collect();
        (&slow[0]).write_all(b"GET / HT").unwrap();
        let answer = http(&addr, &format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let listening = TcpStream::connect(&addr).unwrap();
        (&listening)
            .write_all(format!("GET /events HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes())
            .unwrap();
        let mut first = [0; 12];
        (&listening).read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        let start = Instant::now();
        server.program.signal("-INT");
        server.program.exits(0);
        start.elapsed()
    });
}

#[test]
fn nothing_stays_behind_when_pages_come_and_go() {
    let (server, url) = Server::with_page(&[]);
    let addr = page_addr(&url);
    let pid = server.program.pid();
    let count = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let get = format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    http(&addr, &get);
    let before = count();
    for _ in 0..100 {
        http(&addr, &get);
    }
    until("as many descriptors as before", || (count() <= before).then_some(()));
}

/// A page that is gone, or takes nothing, is not kept until there is news.
#[test]
fn those_who_come_find_out_who_has_gone() {
    thread::scope(|scope| {
        let hub = Hub::start(scope).unwrap();
        let deaf = hub.listen();
        for _ in 0..=EVENTS_MAX {
            drop(hub.listen());
        }
        // Who is told something comes after all of them.
        hub.listen().recv_timeout(WAIT).unwrap();
        // All that its queue holds, and then the end.
        let mut heard = 0;
        let end = loop {
            match deaf.recv_timeout(WAIT) {
                Ok(_) => heard += 1,
                Err(end) => break end,
            }
        };
        assert_eq!((heard, end), (EVENTS_MAX, RecvTimeoutError::Disconnected));
    });
}
