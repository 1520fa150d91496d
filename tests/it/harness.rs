//! The programs under test and the people who talk to them. Every wait has an end.

use crate::transcript::hint;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine, short enough for a person.
pub const WAIT: Duration = Duration::from_secs(10);
/// Lines of a program that may wait for the test.
const LINES_MAX: usize = 1_000_000;

pub const SERVER: &str = env!("CARGO_BIN_EXE_server");
pub const CLIENT: &str = env!("CARGO_BIN_EXE_client");

/// Tries again and again until there is a result.
#[track_caller]
pub fn until<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    until_at_most(WAIT, what, attempt)
}

/// For what may take longer than most.
#[track_caller]
pub fn until_at_most<T>(limit: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Tries what must be quick until it once was: a machine may be busy, but what is wrong takes too
/// long each time.
#[track_caller]
pub fn within(limit: Duration, mut took: impl FnMut() -> Duration) {
    let what = format!("what takes less than {limit:?}");
    until_at_most(WAIT * 6, &what, || (took() < limit).then_some(()));
}

/// A program that runs, killed when dropped.
pub struct Program {
    child: Child,
    typed: Option<ChildStdin>,
    out: Receiver<String>,
    err: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    pub fn start(path: &str, args: &[&str]) -> Program {
        let mut child = Command::new(path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        let typed = child.stdin.take();
        Program { child, typed, out, err, seen: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it had in memory at most, in KiB.
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    pub fn types(&mut self, line: &str) {
        writeln!(self.typed.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Nothing more will be typed.
    pub fn types_no_more(&mut self) {
        self.typed = None;
    }

    /// Waits for a line that `is_it`, and passes over others.
    #[track_caller]
    pub fn prints_one(&mut self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + WAIT;
        loop {
            match self.out.recv_deadline(end) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if is_it(&line) {
                        return line;
                    }
                }
                Err(error) => {
                    let err: Vec<String> = self.err.try_iter().collect();
                    let seen = self.seen.join("\n           ");
                    panic!("\n  expected {what}\n  printed  {seen}\n  and said {err:?}: {error}");
                }
            }
        }
    }

    #[track_caller]
    pub fn prints(&mut self, text: &str) {
        self.prints_one(text, |line| line == text);
    }

    /// The next line on standard error.
    #[track_caller]
    pub fn complains(&mut self) -> String {
        let line = self.err.recv_timeout(WAIT);
        line.unwrap_or_else(|error| panic!("nothing on standard error: {error}"))
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for the end. A program that was killed by a signal has no status.
    #[track_caller]
    pub fn exit(&mut self) -> Option<i32> {
        until("the program's end", || self.child.try_wait().unwrap()).code()
    }

    #[track_caller]
    pub fn exits(&mut self, code: i32) {
        let exit = self.exit();
        let (out, err) = (rest(&self.out), rest(&self.err));
        assert_eq!(exit, Some(code), "\n  printed {out:#?}\n  and said {err:#?}");
    }

    /// What [`Program::ends`] gives, once it has ended.
    pub fn has_ended(&mut self) -> Option<(Option<i32>, Vec<String>, Vec<String>)> {
        self.child.try_wait().unwrap().map(|_| self.ends())
    }

    /// All that it printed after what was waited for, and all that it said on standard error.
    #[track_caller]
    pub fn ends(&mut self) -> (Option<i32>, Vec<String>, Vec<String>) {
        (self.exit(), rest(&self.out), rest(&self.err))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end: status, standard output, standard error.
#[track_caller]
pub fn run(path: &str, args: &[&str], typed: &str) -> (Option<i32>, Vec<String>, Vec<String>) {
    let mut program = Program::start(path, args);
    // One that ends early reads nothing.
    let _ = program.typed.as_mut().unwrap().write_all(typed.as_bytes());
    program.types_no_more();
    program.ends()
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (lines_in, lines) = bounded(LINES_MAX);
    let read = move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if lines_in.send(line).is_err() {
                return;
            }
        }
    };
    Builder::new().name("test-lines".to_owned()).spawn(read).unwrap();
    lines
}

#[track_caller]
fn rest(lines: &Receiver<String>) -> Vec<String> {
    let end = Instant::now() + WAIT;
    let mut all = Vec::new();
    loop {
        match lines.recv_deadline(end) {
            Ok(line) => all.push(line),
            Err(RecvTimeoutError::Disconnected) => return all,
            Err(RecvTimeoutError::Timeout) => panic!("still open after its end: {all:?}"),
        }
    }
}

/// A server that has its ports.
pub struct Server {
    pub program: Program,
    /// Where clients connect.
    pub clients: SocketAddr,
    /// Where the other server connects.
    pub peers: SocketAddr,
}

impl Server {
    /// Any ports.
    pub fn start(more: &[&str]) -> Server {
        Server::start_at(0, more)
    }

    /// At this peer port.
    pub fn start_at(peer_port: u16, more: &[&str]) -> Server {
        let port = peer_port.to_string();
        let args = [&["127.0.0.1", &port, "0"], more].concat();
        let mut program = Program::start(SERVER, &args);
        let mut addr = |head: &str| -> SocketAddr {
            let line = program.prints_one(head, |line| line.starts_with(head));
            line[head.len()..].parse().unwrap()
        };
        let clients = addr("listening on ");
        let peers = match peer_port {
            0 => addr("listening for a peer on "),
            port => SocketAddr::from(([127, 0, 0, 1], port)),
        };
        Server { program, clients, peers }
    }

    /// Two servers with a link: the first accepted, the second dialed.
    pub fn pair(first: &[&str], second: &[&str]) -> (Server, Server) {
        let mut acceptor = Server::start(first);
        acceptor.program.prints("No peer found, starting to listen..");
        let mut dialer = Server::start_at(acceptor.peers.port(), second);
        acceptor.program.prints("New Peer ID: 1");
        dialer.program.prints("Peer 1 connected");
        (acceptor, dialer)
    }
}

/// One end of a conversation.
pub struct Person {
    pub socket: TcpStream,
}

impl Person {
    /// Connects, as soon as somebody listens.
    #[track_caller]
    pub fn connect(addr: SocketAddr) -> Person {
        let socket = until("somebody who listens", || TcpStream::connect_timeout(&addr, WAIT).ok());
        Person::new(socket)
    }

    /// Waits for somebody who connects.
    #[track_caller]
    pub fn accept(listener: &TcpListener) -> Person {
        listener.set_nonblocking(true).unwrap();
        let (socket, _) = until("a connection", || listener.accept().ok());
        socket.set_nonblocking(false).unwrap();
        Person::new(socket)
    }

    fn new(socket: TcpStream) -> Person {
        socket.set_read_timeout(Some(WAIT)).unwrap();
        socket.set_write_timeout(Some(WAIT)).unwrap();
        socket.set_nodelay(true).unwrap();
        Person { socket }
    }

    /// A client that has joined.
    #[track_caller]
    pub fn join(addr: SocketAddr) -> (Person, u32) {
        let mut person = Person::connect(addr);
        person.says("REQ_ADD");
        let line = person.line();
        let id = line.strip_prefix("RES_ADD(").and_then(|rest| rest.strip_suffix(")\n"));
        (person, id.unwrap_or_else(|| panic!("joined with {line:?}")).parse().unwrap())
    }

    /// A server that has linked up with one that listens.
    #[track_caller]
    pub fn link(addr: SocketAddr) -> Person {
        let mut person = Person::connect(addr);
        person.says("REQ_ADDPEER");
        person.hears("RES_ADDPEER(2)");
        person.says("RES_ADDPEER(1)");
        // An answer proves that it is up.
        person.asks("REQ_MN", "RES_MN(1 ");
        person
    }

    pub fn says(&mut self, line: &str) {
        self.says_bytes(format!("{line}\n").as_bytes());
    }

    #[track_caller]
    pub fn says_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub fn hears(&mut self, line: &str) {
        self.hears_bytes(format!("{line}\n").as_bytes());
    }

    #[track_caller]
    pub fn hears_bytes(&mut self, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        let mut size = 0;
        let mut error = None;
        while size < bytes.len() && expected.starts_with(&bytes[..size]) {
            match self.socket.read(&mut bytes[size..]) {
                Ok(0) => break,
                Ok(more) => size += more,
                Err(why) => {
                    error = Some(why);
                    break;
                }
            }
        }
        bytes.truncate(size);
        assert!(
            bytes == expected,
            "\n  expected {}\n  received {}\n  hint     {}\n  {error:?}",
            expected.escape_ascii(),
            bytes.escape_ascii(),
            hint(expected, &bytes),
        );
    }

    /// The next line, with its end.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut bytes = Vec::new();
        while bytes.last() != Some(&b'\n') {
            let mut byte = [0];
            let size = self.socket.read(&mut byte).unwrap();
            assert!(size == 1, "the end came after {:?}", bytes.escape_ascii().to_string());
            bytes.push(byte[0]);
        }
        String::from_utf8(bytes).unwrap()
    }

    /// Asks; the answer begins with `head`.
    #[track_caller]
    pub fn asks(&mut self, question: &str, head: &str) -> String {
        self.says(question);
        let line = self.line();
        assert!(
            line.starts_with(head),
            "\n  asked    {question}\n  expected {head}…\n  got {line:?}"
        );
        line
    }

    #[track_caller]
    pub fn ends(&mut self) {
        let mut rest = Vec::new();
        let outcome = self.socket.read_to_end(&mut rest);
        assert!(rest.is_empty(), "expected the end, heard {}", rest.escape_ascii());
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
    }

    /// Sends no more, and still reads.
    pub fn half_closes(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }
}

/// A file that is gone with the test.
pub struct TempFile(PathBuf);

impl TempFile {
    pub fn new(text: &str) -> TempFile {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let name = format!("{}-{number}.csv", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text).unwrap();
        TempFile(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
