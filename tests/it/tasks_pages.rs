//! The master's page in a real browser (tasks spec: Master; design: pages).

use crate::browser::{Browser, TAB};
use crate::harness::{Program, until};
use crate::tasks_live::{Master, Wild, folder, ok, put, task};
use serde_json::json;

/// A master with a page, and where the page is.
fn master(folder: &crate::folder::Folder, more: &[&str]) -> (Master, String) {
    let mut master = Master::start(folder, &[&["--web", "127.0.0.1:0"], more].concat());
    let line = said(&mut master.program, "page at ");
    (master, line)
}

fn said(program: &mut Program, head: &str) -> String {
    program.prints_one(head, |line| line.starts_with(head))[head.len()..].to_owned()
}

#[test]
fn the_page_shows_tasks_and_peers_as_they_are() {
    let Some(browser) = Browser::start() else { return };
    let folder = folder(&[]);
    let (master, url) = master(&folder, &["--attempts", "2"]);
    browser.open(&url);
    browser.shows("#nothing", "There is no task.");
    browser.shows("#nobody", "No peer is there.");
    put(&folder, "<i>a.zip", &task("um"));
    put(&folder, "b.zip", &task("dois"));
    browser.shows("#waiting", "2");
    let mut peer = Wild::connect(master.addr, "<b>p</b>");
    assert_eq!(peer.gets().0, "<i>a.zip");
    browser.shows("#peer-rows", "<b>p</b>");
    browser.shows("#running", "1");
    let marked = "return document.querySelectorAll('td b, td i').length";
    assert_eq!(browser.run(marked), json!(0), "text from the network became markup");
    assert_eq!(peer.submits("<i>a.zip", b"r"), ok());
    browser.shows("#done", "1");
    peer.gets();
    let mut failed = peer.result("b.zip", b"r");
    failed["failed"] = json!("exit code 1");
    assert_eq!(peer.asks(&failed), ok());
    browser.shows("#task-rows", "waiting; before: exit code 1");
    peer.gets();
    browser.shows("#task-rows", "running, attempt 2; before: exit code 1");
    assert_eq!(peer.asks(&failed), ok());
    browser.shows("#task-rows", "failed: exit code 1");
    browser.shows("#phase", "2 of 2");
    // A page that is opened later is told the same.
    browser.open_tab(&url);
    browser.shows("#phase", "2 of 2");
    drop(master);
    until("that it is gone", || browser.text("#lost").contains("does not answer").then_some(()));
}

/// A long name leaves room for what stands beside it, and has some itself.
#[track_caller]
fn has_columns(browser: &Browser) {
    let crushed = "return [...document.querySelectorAll('th, td.number, td.name, td.state')]
        .filter(cell => cell.offsetWidth > 0)
        .filter(cell => /name|state/.test(cell.className)
            ? cell.offsetWidth < 100 : cell.offsetHeight > 45 && cell.tagName === 'TH')
        .map(cell => cell.textContent)";
    assert_eq!(browser.run(crushed), json!([]), "crushed columns");
    let broken = "return [...document.querySelectorAll('td.number')]
        .filter(cell => { const range = document.createRange(); range.selectNodeContents(cell);
            return range.getClientRects().length > 1; }).map(cell => cell.textContent)";
    assert_eq!(browser.run(broken), json!([]), "short cells of several lines");
}

/// With the keyboard alone, on a phone, light and dark, with many tasks and peers.
#[test]
fn the_page_fits_a_phone_and_a_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let names: Vec<String> =
        (0..600).map(|number| format!("{number:03}{}.zip", "W".repeat(90))).collect();
    let tasks: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    let folder = folder(&tasks);
    let (master, url) = master(&folder, &[]);
    browser.open(&url);
    browser.resize(360, 740);
    browser.fits("the page while it is empty");
    browser.shows("#phase", "0 of 600");
    let mut wild: Vec<Wild> =
        (0..30).map(|n| Wild::connect(master.addr, &format!("{}{n}", "p".repeat(60)))).collect();
    wild.iter_mut().for_each(|peer| drop(peer.gets()));
    browser.shows("#running", "30");
    browser.shows("#more-tasks", "and 100 more");
    browser.fits("the page with many");
    has_columns(&browser);
    browser.resize(1280, 800);
    has_columns(&browser);
    browser.resize(360, 740);
    // What scrolls can be reached and scrolled without a mouse.
    let focus = "return document.activeElement.id";
    browser.types(TAB);
    assert_eq!(browser.run(focus), json!("peers"));
    browser.types(TAB);
    assert_eq!(browser.run(focus), json!("tasks"));
    browser.types("\u{e010}");
    let scrolled = "return document.querySelector('#tasks').scrollTop > 0";
    until("a scrolled list", || browser.run(scrolled).as_bool().filter(|scrolled| *scrolled));
    let dark = "return getComputedStyle(document.documentElement).colorScheme";
    assert_eq!(browser.run(dark), json!("light dark"));
}
