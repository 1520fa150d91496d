//! A real browser without a window: Debian's chromium, driven by its chromedriver (W3C WebDriver).
//!
//! Where they are not installed the tests that need them say so and do nothing, but where
//! `MALHA_CI` is set, as `.ci/run` does after it has installed them, they fail.

use crate::folder::Folder;
use crate::harness::{WAIT, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";

/// Network features that have nothing to talk to here only slow the start.
const OPTIONS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with some tabs.
pub struct Browser {
    driver: Child,
    addr: SocketAddr,
    session: String,
    /// Where both leave what they forget to remove.
    folder: Folder,
}

impl Browser {
    /// None where there is no browser.
    pub fn start() -> Option<Browser> {
        let folder = Folder::new();
        let start = || {
            Command::new("chromedriver")
                .args(["--port=0", "--log-level=SEVERE"])
                .env("TMPDIR", folder.path())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
        };
        // The port that it chooses for IPv4 may be taken for IPv6; then it ends.
        let started = until("a chromedriver that listens", || match start() {
            Err(error) => Some(Err(error)),
            Ok(mut driver) => match port(&mut driver) {
                Some(port) => Some(Ok((driver, port))),
                None => driver.wait().err().map(Err),
            },
        });
        let (driver, port) = match started {
            Ok(started) => started,
            Err(error) => {
                let what = "the pages are NOT tested: chromedriver cannot be started";
                let how = "install it with `make partners`";
                assert!(std::env::var_os("MALHA_CI").is_none(), "{what} ({error}): {how}");
                eprintln!("{what} ({error}): {how}");
                return None;
            }
        };
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut browser = Browser { driver, addr, session: String::new(), folder };
        let options = json!({ "args": OPTIONS });
        let always = json!({ "goog:chromeOptions": options, "pageLoadStrategy": "eager" });
        let started =
            browser.call("POST", "/session", &json!({ "capabilities": { "alwaysMatch": always } }));
        browser.session = started["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    /// Opens a page in the first tab.
    pub fn open(&self, url: &str) -> String {
        self.ask("POST", "/url", &json!({ "url": url }));
        self.ask("GET", "/window", &Value::Null).as_str().unwrap().to_owned()
    }

    /// Opens a page in a tab of its own, and goes there.
    pub fn open_tab(&self, url: &str) -> String {
        let tab = self.ask("POST", "/window/new", &json!({ "type": "tab" }));
        self.go(tab["handle"].as_str().unwrap());
        self.open(url)
    }

    /// Goes to a tab.
    pub fn go(&self, tab: &str) {
        self.ask("POST", "/window", &json!({ "handle": tab }));
    }

    /// As wide and as high as that, as on a phone.
    pub fn resize(&self, width: u32, height: u32) {
        let params =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": true });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": params });
        self.ask("POST", "/goog/cdp/execute", &command);
    }

    /// What a function body returns on the page.
    pub fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Presses keys where the focus is.
    pub fn types(&self, keys: &str) {
        let focus = self.ask("GET", "/element/active", &Value::Null);
        let element = focus.as_object().unwrap().values().next().unwrap().as_str().unwrap();
        self.ask("POST", &format!("/element/{element}/value"), &json!({ "text": keys }));
    }

    pub fn clicks(&self, selector: &str) {
        self.run(&format!("document.querySelector({}).click()", json!(selector)));
    }

    /// The text of an element as a person sees it.
    pub fn text(&self, selector: &str) -> String {
        let text =
            self.run(&format!("return document.querySelector({}).innerText", json!(selector)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element's text has this in it.
    #[track_caller]
    pub fn shows(&self, selector: &str, text: &str) {
        let mut last = String::new();
        let what = format!("{text:?} in {selector}");
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(&what, || {
                last = self.text(selector);
                last.contains(text).then_some(())
            });
        }));
        assert!(seen.is_ok(), "no {what}, but {last:?}");
    }

    /// No page is wider than its window: nobody scrolls sideways.
    #[track_caller]
    pub fn fits(&self, what: &str) {
        let widths = "return [document.documentElement.scrollWidth, window.innerWidth]";
        let widths = self.run(widths);
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "{what} is too wide: {widths}");
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.call(method, &format!("/session/{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut socket = TcpStream::connect(self.addr).unwrap();
        // A browser takes its time to start.
        socket.set_read_timeout(Some(WAIT * 6)).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\
             Content-Type: application/json\r\nConnection: close\r\n\r\n",
            self.addr,
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).unwrap();
        // The connection stays open behind the answer, whatever was asked for.
        let (mut lines, mut size) = (BufReader::new(socket), 0);
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            if let Some(length) = line.to_lowercase().strip_prefix("content-length:") {
                size = length.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; size];
        lines.read_exact(&mut answer).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = &answer["value"];
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value.clone()
    }
}

/// Where a driver listens, once it does.
fn port(driver: &mut Child) -> Option<u16> {
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let head = "ChromeDriver was started successfully on port ";
    let port = |line: String| line.strip_prefix(head)?.trim_end_matches('.').parse().ok();
    lines.map_while(Result::ok).find_map(port)
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.ask("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        if !std::thread::panicking() {
            // The browser ends after its driver, and writes until then.
            let is_gone = || std::fs::remove_dir_all(self.folder.path()).ok();
            until("the browser's folder is gone", is_gone);
        }
    }
}
