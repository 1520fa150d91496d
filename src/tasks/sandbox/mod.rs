//! Running a stranger's script.
//!
//! The script's parent is our own program, started again in a hidden role, so that nothing is done
//! between `fork` and `exec`, where only `unsafe` code could do it:
//!
//! - the *peer*, `malha tasks peer`: a thread for each slot, which holds one end of a socket;
//! - the *guard*, `malha tasks confined guard`: it looks at time, processes, memory and files, and
//!   ends all of it. It ends itself when the socket closes, also because the peer was killed;
//! - the *first* process of a namespace, which waits for the script, and ends with the guard;
//! - the *script*: our program once more, which raises the walls around itself and then is
//!   `python3 main.py input.csv`. It ends with its parent.
//!
//! What keeps a script from what it must not do, and what is left to it:
//!
//! | against | held by |
//! |---|---|
//! | reading and writing elsewhere | Landlock; as root, another user too |
//! | modes, times, owners of files elsewhere | seccomp: refused, or said to be done and not done |
//! | connecting, listening | seccomp: no sockets but connected pairs; Landlock |
//! | other processes | a namespace in which there are none; Landlock's signals; seccomp |
//! | children without end | the kernel's count in a user namespace; looks |
//! | children that stay | the namespace; or the guard, heir of all orphans, until none is left |
//! | memory without end | the address space of each process; looks at the memory of all |
//! | files and output without end | the size of one file; looks at all files, with a name or not |
//! | folders closed to us | it is ended, if its user is ours |
//! | time without end | the guard's clock, and processor time as a second line |
//! | ignoring signals | there is only one: `SIGKILL` |
//!
//! A look comes every 100 ms (on a busy machine, every 500) and is no wall: until the next one, a
//! script can write what a disk takes in that time. And a script can ask whether any path exists,
//! how large and how old it is.
//!
//! A look counts memory that processes share and what waits in sockets as memory, and files that
//! are only open or mapped as files; one on its way through a pair cannot be seen, so none is sent.
//! How large something is that is mapped and not open, only root is told. For anybody else, a file
//! of the script that it mapped, closed and removed counts as too much, and ends it; and shared
//! memory counts as far as it is mapped: a script that maps much, fills it, and lets all go but a
//! page of each, keeps more than it should.
//!
//! Namespaces are used where the kernel gives them (as root always; else where people without
//! rights may make user namespaces), and nothing depends on them alone. Landlock and seccomp are
//! depended on: without them, a script is run with `--no-sandbox` only, and then as another user if
//! we are root, with all limits, and with nothing between it and the files and networks that this
//! user can reach.

mod calls;
mod guard;
mod order;
mod processes;
mod report;
mod script;
mod walls;

pub use order::Order;
pub use report::{Cut, Report};

use crate::net::stop::Stop;
use crate::net::threads;
use crate::net::wait::{self, Woken};
use crate::tasks::limits::{REPORT_LINE_BYTES_MAX, REPORT_LINES_MAX};
use crossbeam_channel::{Sender, bounded};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::Shutdown;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode};
use std::thread;

/// How our program is told to be a guard or what comes after it.
const COMMAND: [&str; 2] = ["tasks", "confined"];

/// How a script ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// The code with which it ended.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Why the guard ended it.
    pub cut: Option<Cut>,
    /// How long it took.
    pub ms: u64,
    /// Processor time of all its processes.
    pub cpu_ms: u64,
    /// Memory of its largest process.
    pub peak_kib: u64,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// The script ended, or was ended; nothing of it runs any more.
    Ended(Ending),
    /// Stop was asked for before; nothing of it runs any more.
    Stopped,
    /// It could not be run, or not be ended.
    Trouble(String),
}

/// Runs a script; blocks until nothing of it is left.
pub fn run(order: &Order, out: File, err: File, stop: &Stop) -> io::Result<Run> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut guard = Command::new(&order.program)
        .args(COMMAND)
        .arg("guard")
        .args(order.to_args())
        .stdin(OwnedFd::from(theirs))
        .stdout(out)
        .stderr(err)
        // A Ctrl-C is for the peer, which finishes what runs.
        .process_group(0)
        .spawn()?;
    let outcome = thread::scope(|scope| {
        let (lines_in, lines) = bounded(REPORT_LINES_MAX);
        let socket = ours.try_clone()?;
        threads::spawn(scope, "task-report".to_owned(), move || read(socket, &lines_in))?;
        let mut listening = Listening { run: Ending::default(), trouble: None, has_end: false };
        let mut is_stopped = false;
        loop {
            let woken = match is_stopped {
                false => wait::recv_or_stop(&lines, stop, None),
                true => wait::recv(&lines).map_or(Woken::Closed, Woken::Item),
            };
            match woken {
                Woken::Item(report) => listening.hear(report),
                Woken::Stop => {
                    is_stopped = true;
                    // The guard takes it as the end of all.
                    ours.shutdown(Shutdown::Write)?;
                }
                Woken::Closed | Woken::Due => return Ok(listening.conclude(is_stopped)),
            }
        }
    });
    // Without the socket's end a guard would wait for ever; it goes with `ours`.
    drop(ours);
    finish(&mut guard)?;
    outcome
}

fn finish(guard: &mut Child) -> io::Result<()> {
    guard.wait().map(drop)
}

fn read(socket: UnixStream, lines_in: &Sender<Report>) {
    let mut socket = BufReader::new(socket);
    loop {
        let mut line = String::new();
        match socket.by_ref().take(REPORT_LINE_BYTES_MAX).read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if let Some(report) = Report::parse(&line)
                    && lines_in.send(report).is_err()
                {
                    return;
                }
            }
        }
    }
}

/// What was heard from the guard and its helpers.
struct Listening {
    run: Ending,
    trouble: Option<String>,
    has_end: bool,
}

impl Listening {
    fn hear(&mut self, report: Report) {
        match report {
            Report::Code(code) => self.run.code = Some(code),
            Report::Signal(signal) => self.run.signal = Some(signal),
            Report::Cut(cut) => self.run.cut = Some(cut),
            Report::Used(ms, cpu_ms, peak_kib) => {
                self.has_end = true;
                self.run = Ending { ms, cpu_ms, peak_kib, ..self.run };
            }
            Report::Trouble(why) => self.trouble = Some(why),
        }
    }

    fn conclude(self, is_stopped: bool) -> Run {
        if let Some(why) = self.trouble {
            return Run::Trouble(why);
        }
        if !self.has_end {
            return Run::Trouble("the guard of a script is gone".to_owned());
        }
        if is_stopped { Run::Stopped } else { Run::Ended(self.run) }
    }
}

/// The hidden roles: `guard`, `first` or `script`, and then an order.
pub fn confined(args: &[OsString]) -> ExitCode {
    let Some((role, order)) = args.split_first() else { return ExitCode::FAILURE };
    let Some(order) = Order::from_args(order) else { return ExitCode::FAILURE };
    if role == "guard" && close_inherited().is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(socket) = report::socket() else { return ExitCode::FAILURE };
    let outcome = match role.to_str() {
        Some("guard") => guard::guard(&order, &socket),
        Some("first") => guard::first(&order, &socket),
        Some("script") => Err(script::script(&order)),
        _ => return ExitCode::FAILURE,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            Report::Trouble(why).say(&socket);
            ExitCode::FAILURE
        }
    }
}

/// What our parent, or its parent, left open for us without meaning to. A script would inherit it.
fn close_inherited() -> io::Result<()> {
    let open = std::fs::read_dir("/proc/self/fd")?;
    let open: Vec<RawFd> =
        open.flatten().filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
    for number in open.into_iter().filter(|number| *number > 2) {
        // The list itself was one of them, and is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}
