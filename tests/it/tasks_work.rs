//! One task from ZIP to ZIP, in a sandbox, by the real program.

use crate::tasks_zip::{Folder, Zip, unzip};
use malha::net::clock::Clock;
use malha::net::stop::{Stop, stop_pair};
use malha::net::trace::{Level, Trace};
use malha::tasks::work::{Outcome, Workshop};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

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
        let workshop = workshop.prepare().unwrap_or_else(|failure| panic!("{failure}"));
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

#[test]
fn a_script_reads_its_input_and_writes_files() {
    let bench = Bench::new();
    let result = bench.run(
        "
import csv, os, sys
assert sys.argv == ['main.py', 'input.csv'], sys.argv
rows = list(csv.DictReader(open('input.csv')))
print('sum', sum(int(row['a']) for row in rows))
print('careful', file=sys.stderr)
os.mkdir('more')
open('more/out.csv', 'w').write('x')
open('input.csv', 'a').write('5,6')
",
    );
    result.done();
    let names: Vec<&str> = result.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["input.csv", "more/out.csv", "status.json", "stderr.txt", "stdout.txt"]);
    assert_eq!(result.text("stdout.txt"), "sum 4\n");
    assert_eq!(result.text("stderr.txt"), "careful\n");
    assert_eq!(result.text("input.csv"), "a,b\n1,2\n3,4\n5,6");
    let status = result.status();
    assert_eq!(status["exit_code"], 0, "{status}");
    assert_eq!(status["failure"], Value::Null, "{status}");
    assert_eq!(status["timed_out"], false, "{status}");
    assert!(status["seconds"].as_f64().unwrap() > 0.0, "{status}");
    assert!(status["peak_memory_kib"].as_u64().unwrap() > 1_000, "{status}");
    assert_eq!(bench.folder.names("work"), [""; 0], "its folder is gone");
}

#[test]
fn stop_gives_a_task_back() {
    let bench = Bench::new();
    let (stopper, stop) = stop_pair();
    std::thread::scope(|scope| {
        let performed = scope.spawn(|| {
            bench.perform("a.zip", &task("import time\nprint('on')\ntime.sleep(1000)"), &stop)
        });
        let out = bench.folder.path().join("work/a.zip/stdout.txt");
        crate::harness::until("the script", || {
            std::fs::read(&out).ok().filter(|text| !text.is_empty())
        });
        drop(stopper);
        let result = performed.join().unwrap();
        assert_eq!(result.outcome, Outcome::GivenBack);
        assert!(result.files.is_empty());
    });
    assert_eq!(bench.folder.names("work"), [""; 0]);
}
