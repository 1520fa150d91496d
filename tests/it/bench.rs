//! What benchmarks do with the files of others, and with their own when they are interrupted.
//! What they measure is no test.

use crate::command_server::MALHA;
use crate::folder::Folder;
use crate::harness::{Program, run, until, until_at_most};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The programs that one has started, by their ids.
fn children(pid: u32) -> Vec<String> {
    let is_child = |path: &Path| {
        let stat = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let mut behind_name = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        behind_name.nth(1) == Some(&pid.to_string())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    processes.filter(|path| is_child(path)).map(|path| path.display().to_string()).collect()
}

/// Its programs are gone with it, and it says in one line why there is no more.
#[track_caller]
fn is_stopped(mut bench: Program, signal: &str) {
    let servers = until("a server", || Some(children(bench.pid())).filter(|all| !all.is_empty()));
    bench.signal(signal);
    let (code, _, err) = bench.ends();
    assert_eq!((code, err.len()), (Some(1), 1), "{err:#?}");
    assert!(err[0].ends_with("the measurement was stopped"), "{err:#?}");
    let is_left = |server: &String| Path::new(server).exists();
    until("the end of its programs", || (!servers.iter().any(is_left)).then_some(()));
}

fn bench(system: &str, args: &[&str]) -> Program {
    Program::start(MALHA, &[&["bench", system], args].concat())
}

#[test]
fn tasks_leave_a_folder_as_it_was() {
    for signal in ["-INT", "-TERM"] {
        let folder = Folder::new();
        folder.file("dear.txt", "letters");
        let at = folder.path().to_str().unwrap();
        let bench = bench("tasks", &["--folder", at]);
        let own = folder.at(&format!("malha-bench-{}", bench.pid()));
        // Small results arrive there.
        let results = Path::new(&own).join("small-0/results");
        until_at_most(Duration::from_secs(60), "results", || {
            (fs::read_dir(&results).ok()?.count() > 10).then_some(())
        });
        is_stopped(bench, signal);
        assert_eq!(folder.names("."), ["dear.txt"]);
    }
}

#[test]
fn a_folder_that_tasks_have_made_is_gone_with_them() {
    let folder = Folder::new();
    let at = folder.at("made/within");
    let bench = bench("tasks", &["--folder", &at]);
    let own = Path::new(&at).join(format!("malha-bench-{}", bench.pid()));
    until("a folder", || own.exists().then_some(()));
    is_stopped(bench, "-INT");
    assert_eq!(folder.names("."), [""; 0]);
}

#[test]
fn a_log_that_is_there_stays() {
    let folder = Folder::new();
    let log = folder.file("log.txt", "yesterday\n");
    for given in [&log, folder.path().to_str().unwrap()] {
        let (code, out, err) = run(MALHA, &["bench", "command", "--log", given], "");
        assert_eq!((code, out.len(), err.len()), (Some(1), 0, 1), "{out:#?} {err:#?}");
        let why = "it is there already; give a name that is free";
        assert_eq!(err[0], format!("error: cannot write the log {given}: {why}"));
    }
    assert_eq!(fs::read_to_string(log).unwrap(), "yesterday\n");
}

#[test]
fn a_log_is_gone_with_what_is_interrupted() {
    for signal in ["-INT", "-TERM"] {
        let folder = Folder::new();
        let log = folder.at("log.txt");
        let bench = bench("command", &["--log", &log]);
        until("a log", || fs::metadata(&log).is_ok_and(|file| file.len() > 10_000).then_some(()));
        is_stopped(bench, signal);
        assert_eq!(folder.names("."), [""; 0]);
    }
}

#[test]
fn a_chat_under_load_ends_with_what_is_interrupted() {
    let mut bench = bench("chat", &["--rounds", "1", "--ms", "50"]);
    bench.prints_one("the first row", |line| line.starts_with("private message"));
    is_stopped(bench, "-TERM");
}

#[test]
fn the_grid_under_load_ends_with_what_is_interrupted() {
    let mut bench = bench("grid", &["--ms", "50"]);
    bench.prints_one("the head", |line| line.starts_with("against a bare echo"));
    is_stopped(bench, "-TERM");
}

#[test]
fn a_row_that_is_not_there_is_told() {
    let (code, out, err) = run(MALHA, &["bench", "grid", "--only", "zzz"], "");
    assert_eq!((code, out.len(), err.len()), (Some(1), 0, 1), "{out:#?} {err:#?}");
    assert!(err[0].starts_with("error: nothing is called \"zzz\": "), "{err:#?}");
}

#[test]
fn a_number_that_cannot_be_is_told_as_everywhere() {
    for option in ["--rounds", "--ms"] {
        let (code, out, err) = run(MALHA, &["bench", "chat", option, "0"], "");
        assert_eq!((code, out.len(), err.len()), (Some(2), 0, 1), "{err:#?}");
        assert!(err[0].contains("not a number from 1 to 4294967295"), "{err:#?}");
    }
}
