//! A workshop for the tests: it runs scripts and looks at what is left of them.

use crate::folder::Folder;
use crate::tasks_zip::{Zip, unzip};
use malha::net::clock::Clock;
use malha::net::stop::Stop;
use malha::net::trace::{Level, Trace};
use malha::tasks::work::{Confinement, Outcome, Workshop};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A workshop in a folder of its own, gone with it.
pub struct Bench {
    pub folder: Folder,
    pub workshop: Workshop,
}

/// What became of a task: the outcome, and the files of the result.
#[derive(Debug)]
pub struct Result {
    pub outcome: Outcome,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Result {
    pub fn text(&self, name: &str) -> &str {
        let file = self.files.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}"));
        std::str::from_utf8(file).unwrap()
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(self.text("status.json")).unwrap()
    }

    #[track_caller]
    pub fn failed(&self) -> &str {
        match &self.outcome {
            Outcome::Failed(why) => why,
            other => panic!("{other:?} and not a failure; it said {}", self.said()),
        }
    }

    #[track_caller]
    pub fn done(&self) -> &Result {
        assert_eq!(self.outcome, Outcome::Done, "it said {}", self.said());
        self
    }

    pub fn said(&self) -> String {
        let text = |name| String::from_utf8_lossy(self.files.get(name).map_or(b"", |file| file));
        format!("{}{}", text("stdout.txt"), text("stderr.txt"))
    }
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(|_| ())
    }

    #[track_caller]
    pub fn with(change: impl FnOnce(&mut Workshop)) -> Bench {
        let folder = Folder::new();
        let trace = Trace::stderr(Level::Off, Clock::start()).unwrap();
        let mut workshop = Workshop::new(folder.path().join("work"), trace);
        workshop.program = PathBuf::from(env!("CARGO_BIN_EXE_malha"));
        workshop.python = python();
        workshop.timeout_ms = 20_000;
        change(&mut workshop);
        let prepared = workshop.clone().prepare().or_else(|failure| {
            let failure = failure.to_string();
            // A kernel without walls is no fault of ours, but in CI it must not pass unseen.
            let is_old = failure.ends_with("see --no-sandbox");
            assert!(is_old && std::env::var_os("MALHA_CI").is_none(), "{failure}");
            eprintln!("the sandbox is NOT tested: {failure}");
            workshop.confinement = Confinement::None;
            workshop.prepare()
        });
        let workshop = prepared.unwrap_or_else(|failure| panic!("{failure}"));
        Bench { folder, workshop }
    }

    pub fn run(&self, script: &str) -> Result {
        self.perform("a.zip", &task(script), &Stop::never())
    }

    pub fn perform(&self, task: &str, zip: &[u8], stop: &Stop) -> Result {
        let archive = self.folder.path().join(format!("in-{task}"));
        let result = self.folder.path().join(format!("out-{task}"));
        std::fs::write(&archive, zip).unwrap();
        let outcome = self.workshop.perform(task, &archive, &result, stop);
        let files = std::fs::read(&result).map(|zip| unzip(&zip)).unwrap_or_default();
        Result { outcome, files }
    }
}

/// Whether there are walls to be tried. Where the kernel has none, that was said.
pub fn has_walls() -> bool {
    Bench::new().workshop.confinement == Confinement::Full
}

/// The system's own Python, which any user may run; the first in `PATH` may be somebody's.
pub fn python() -> PathBuf {
    let own = PathBuf::from("/usr/bin/python3");
    if own.exists() { own } else { PathBuf::from("python3") }
}

pub fn task(script: &str) -> Vec<u8> {
    let mut zip = Zip::new();
    zip.add("main.py", script.as_bytes());
    zip.add("input.csv", b"a,b\n1,2\n3,4\n");
    zip.finish()
}

/// With all that the kernel has, and as if it were old.
pub fn both_ways() -> [Bench; 2] {
    [Bench::new(), Bench::with(|workshop| workshop.as_if_old = true)]
}

impl Bench {
    #[track_caller]
    pub fn tries(&self, attempts: &str) -> Result {
        let result = self.run(&format!("{TRY}{attempts}\nprint('all tried')"));
        assert!(!result.said().contains("HOLE"), "{}", result.said());
        assert!(result.said().contains("all tried"), "{}", result.said());
        result.done();
        self.goes_on();
        result
    }

    /// Nothing of the last task is left, and the next one runs.
    #[track_caller]
    pub fn goes_on(&self) {
        assert_eq!(left_in(self.folder.path()), [""; 0], "processes are left");
        assert_eq!(self.folder.names("work"), [""; 0], "files are left");
        let next = self.perform("next.zip", &task("print('next')"), &Stop::never());
        assert_eq!(next.done().text("stdout.txt"), "next\n");
    }
}

/// Processes that run in a folder.
pub fn left_in(folder: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let inside = processes.filter(|process| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    });
    inside.map(|process| process.file_name().into_string().unwrap()).collect()
}

/// Says of each attempt that did not fail that it is a hole.
pub const TRY: &str = "
import ctypes, os, signal, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, how):
    try: got = how()
    except (OSError, ValueError) as error: print('held', what, error)
    else: print('HOLE', what, got)
def call(number, *args):
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
";
