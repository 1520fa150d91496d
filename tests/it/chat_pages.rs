//! The chat's pages in a real browser (chat spec: Pages).

use crate::browser::{Browser, ENTER, TAB};
use crate::chat_live::{MALHA, Server, Wild, said};
use crate::harness::{Program, until};
use serde_json::json;
use std::net::UdpSocket;

/// A client with a page, and where the page is.
fn client() -> (Program, String) {
    let mut program = Program::start(MALHA, &["chat", "client", "--web", "127.0.0.1:0"]);
    let url = said(&mut program, "page at ");
    (program, url)
}

/// Joins with the keyboard alone: the first key is Tab.
fn join(browser: &Browser, id: &str, name: &str, port: u16) {
    browser.shows("#phase", "desconectado");
    browser.types(TAB);
    browser.types(&format!("{id}{TAB}{name}{TAB}"));
    browser.types(&format!("127.0.0.1{TAB}{port}{ENTER}"));
    browser.shows("#phase", &format!("({id})"));
}

/// The texts of the conversation, line by line.
fn lines(browser: &Browser) -> Vec<String> {
    let script = "return [...document.querySelectorAll('#lines li')].map((li) => li.innerText)";
    let lines = browser.run(script);
    lines.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn has_line(browser: &Browser, line: &str) {
    until(&format!("the line {line:?}"), || lines(browser).iter().any(|l| l == line).then_some(()));
}

#[test]
fn two_people_and_a_server_from_join_to_stop() {
    let Some(browser) = Browser::start() else { return };
    let (server, server_url) = Server::with_page(&[]);
    let port = server.addr.port();
    let ((_first, first_url), (_second, second_url)) = (client(), client());
    let office = browser.open(&server_url);
    browser.shows("#phase", &format!("ativo em 127.0.0.1:{port}"));
    let ana = browser.open_tab(&first_url);
    join(&browser, "1", "<b>Ana</b>", port);
    let bia = browser.open_tab(&second_url);
    join(&browser, "2", "Bia", port);

    // The focus is where the next thing is typed.
    browser.types(&format!("olá <i>todos</i>{ENTER}"));
    has_line(&browser, "[Broadcast] Bia: olá <i>todos</i>");
    browser.go(&ana);
    has_line(&browser, "[Broadcast] Bia: olá <i>todos</i>");
    let marked = browser.run("return document.querySelectorAll('#lines i, #people b').length");
    assert_eq!(marked, json!(0), "text from the network became markup");

    // Private: the person is chosen from the list.
    browser.clicks("#list");
    browser.shows("#people", "2: Bia");
    browser.run("[...document.querySelectorAll('#people button')].at(-1).focus()");
    browser.types(ENTER);
    browser.types(&format!("só tu{ENTER}"));
    has_line(&browser, "[Privado para 2] só tu");
    browser.go(&bia);
    has_line(&browser, "[Privado] <b>Ana</b>: só tu");

    browser.go(&office);
    browser.shows("#rows", "<b>Ana</b>");
    browser.shows("#total", "2");
    assert_eq!(browser.run("return document.querySelectorAll('#rows b').length"), json!(0));
    browser.shows("#texts", "2");

    browser.go(&ana);
    // Whoever presses a key that goes away with it is led on.
    let focus = |script: &str, to: &str| {
        let script = format!("return document.activeElement.{script}");
        until(&format!("the focus at {to}"), || (browser.run(&script) == json!(to)).then_some(()));
    };
    browser.run("document.querySelector('#leave').focus()");
    browser.types(ENTER);
    browser.shows("#phase", "desconectado");
    focus("name", "id");
    browser.go(&office);
    browser.shows("#total", "1");

    browser.run("document.querySelector('#stop').focus()");
    browser.types(ENTER);
    browser.shows("#phase", "parado");
    focus("id", "start");
    browser.types(ENTER);
    browser.shows("#phase", "ativo");
    focus("id", "stop");
    browser.go(&bia);
    has_line(&browser, "[Servidor] Servidor desligado. Conexão encerrada.");
    browser.shows("#phase", "desconectado");
}

/// Also at another address and port; and the page survives it all.
#[test]
fn the_page_starts_and_stops_the_server() {
    let Some(browser) = Browser::start() else { return };
    let (server, url) = Server::with_page(&[]);
    let _ana = Wild::join(server.addr, 1, "Ana");
    browser.open(&url);
    browser.shows("#rows", "Ana");
    browser.clicks("#stop");
    browser.shows("#phase", "parado");
    // The port is free: somebody else takes it.
    let taken = UdpSocket::bind(server.addr).unwrap();
    browser.clicks("#start");
    browser.shows("#error", &format!("Não foi possível escutar em {}", server.addr));
    let port = "const port = document.querySelector('[name=port]'); port.value =";
    for (value, error) in [("'99999'", "0 a 65535"), ("'abc'", "0 a 65535")] {
        browser.run(&format!("{port} {value}"));
        browser.clicks("#start");
        browser.shows("#error", error);
    }
    let free = UdpSocket::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    browser.run(&format!("{port} '{}'", free.port()));
    browser.run("document.querySelector('[name=host]').value = '127.0.0.2'");
    browser.clicks("#start");
    browser.shows("#phase", &format!("ativo em {free}"));
    let _bia = Wild::join(free, 2, "Bia");
    browser.shows("#rows", "Bia");
    assert!(!browser.text("#rows").contains("Ana"), "another server has other clients");
    browser.clicks("#stop");
    browser.shows("#phase", "parado");
    drop(taken);
}

/// Two tabs of one client are told the same, also what was said before they were opened.
#[test]
fn a_page_that_is_opened_again_shows_what_was() {
    let Some(browser) = Browser::start() else { return };
    let server = Server::start(&[]);
    let (_client, url) = client();
    browser.open(&url);
    join(&browser, "1", "Ana", server.addr.port());
    browser.types(&format!("primeiro{ENTER}"));
    has_line(&browser, "[Broadcast] Ana: primeiro");
    browser.open_tab(&url);
    has_line(&browser, "[Broadcast] Ana: primeiro");
    browser.shows("#phase", "Ana (1)");
    browser.types(&format!("segundo{ENTER}"));
    has_line(&browser, "[Broadcast] Ana: segundo");
    let count = lines(&browser).iter().filter(|line| line.ends_with("primeiro")).count();
    assert_eq!(count, 1, "told once");
    // Each page asks who is there when it is opened; all hear the answers.
    let _bia = Wild::join(server.addr, 2, "Bia");
    for _ in 0..3 {
        browser.open(&url);
        browser.shows("#people", "2: Bia");
    }
    let people = "return [...document.querySelectorAll('#people button')].map((b) => b.innerText)";
    assert_eq!(browser.run(people), json!(["todos", "1: Ana", "2: Bia"]));
    let lists = lines(&browser).iter().filter(|line| line.contains("Clientes conectados")).count();
    assert_eq!(lists, 0, "who is there stands beside the conversation, not in it");
}

/// Who waits for a program that has gone sees so, and sees it come back.
#[test]
fn a_page_whose_program_is_gone_says_so() {
    let Some(browser) = Browser::start() else { return };
    let (mut server, url) = Server::with_page(&[]);
    browser.open(&url);
    browser.shows("#phase", "ativo");
    let color = "return getComputedStyle(document.querySelector('#dot')).backgroundColor";
    let on = browser.run(color);
    server.program.signal("-KILL");
    server.program.exit();
    // Of what is not shown, too, a browser tells the text.
    let seen = "return document.querySelector('#lost').getClientRects().length";
    until("the warning", || (browser.run(seen) == json!(1)).then_some(()));
    assert_ne!(browser.run(color), on, "the light is out");
    let page = url.trim_start_matches("http://").trim_end_matches('/');
    let again = Server::start(&["--web", page]);
    browser.shows("#phase", &format!("ativo em {}", again.addr));
    until("its end", || (browser.run(seen) == json!(0)).then_some(()));
    assert_eq!(browser.run(color), on);
}

/// 360 px wide, with nobody, some and many, and a long conversation.
#[test]
fn the_pages_fit_a_phone() {
    let Some(browser) = Browser::start() else { return };
    let (server, server_url) = Server::with_page(&["--max-rate", "100000"]);
    let (_client, client_url) = client();
    let office = browser.open(&server_url);
    browser.resize(360, 740);
    browser.shows("#phase", "ativo");
    browser.fits("the server's page without clients");
    let ana = browser.open_tab(&client_url);
    browser.resize(360, 740);
    browser.fits("the client's page before it joins");
    join(&browser, "1", "Ana", server.addr.port());
    browser.fits("the client's page");
    let mut all = Vec::new();
    for count in [3, 300] {
        while all.len() < count {
            let id = all.len() as u32 + 100;
            all.push(Wild::join(server.addr, id, &format!("WWWWWWWWWWWWWW{id}")));
        }
        browser.go(&office);
        browser.shows("#total", &(count + 1).to_string());
        browser.fits(&format!("the server's page with {count} clients"));
    }
    for number in 0..300 {
        all[0].says(2, 100, 1, b"", format!("{number} {}", "W".repeat(130)).as_bytes());
    }
    browser.go(&ana);
    has_line(&browser, &format!("[Privado] WWWWWWWWWWWWWW100: 299 {}", "W".repeat(130)));
    browser.clicks("#list");
    browser.shows("#people", "WWWWWWWWWWWWWW399");
    browser.fits("the client's page with a long conversation");
    let seen = "const l = document.querySelector('#lines'); \
                return l.scrollTop + l.clientHeight >= l.scrollHeight - 40";
    assert_eq!(browser.run(seen), json!(true), "the newest line is in sight");
    // As when a phone is turned, or its keyboard comes up.
    for (width, height) in [(740, 360), (360, 500)] {
        browser.resize(width, height);
        until("the newest line", || (browser.run(seen) == json!(true)).then_some(()));
    }
    browser.run("document.querySelector('#text').focus()");
    let focus = "return document.activeElement.id";
    for next in ["send", "list", "leave"] {
        browser.types(TAB);
        assert_eq!(browser.run(focus), json!(next), "reached without passing 300 people");
    }
    browser.go(&office);
    let lines = "const d = document.createRange(); \
                 d.selectNodeContents(document.querySelector('#rows .since')); \
                 return d.getClientRects().length";
    assert_eq!(browser.run(lines), json!(1), "no number is broken");
}
