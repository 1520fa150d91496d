//! One task from ZIP to ZIP, in a sandbox, by the real program.

use crate::harness::until;
use crate::tasks_bench::{Bench, python, task};
use crate::tasks_zip::{Entry, Zip};
use malha::net::stop::{Stop, stop_pair};
use malha::tasks::archive::Writer;
use malha::tasks::work::{Confinement, Outcome, Workshop};
use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

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
        until("the script", || std::fs::read(&out).ok().filter(|text| !text.is_empty()));
        drop(stopper);
        let result = performed.join().unwrap();
        assert_eq!(result.outcome, Outcome::GivenBack);
        assert!(result.files.is_empty());
    });
    assert_eq!(bench.folder.names("work"), [""; 0]);
}

/// The names in a result besides what is always there.
fn more(result: &crate::tasks_bench::Result) -> Vec<&str> {
    let ours = ["status.json", "stderr.txt", "stdout.txt"];
    for name in ours {
        assert!(result.files.contains_key(name), "no {name}: {result:?}");
    }
    let names = result.files.keys().map(String::as_str);
    names.filter(|name| !ours.contains(name)).collect()
}

#[test]
fn an_archive_that_is_no_task_fails() {
    let bench = Bench::new();
    for (zip, why) in [
        (b"no archive".to_vec(), "the archive cannot be read: Missing end of central directory"),
        (Zip::of(&[Entry::stored("x.py", b"")]), "the archive holds no main.py"),
        (Zip::of(&[Entry::stored("a/b/main.py", b"")]), "the archive holds no main.py"),
        (
            Zip::of(&[Entry::stored("a/main.py", b""), Entry::stored("b/main.py", b"")]),
            "the archive holds no main.py",
        ),
        (Zip::of(&[Entry::stored("main.py/x", b"")]), "the archive holds no main.py"),
        (
            Zip::of(&[Entry::stored("../main.py", b"")]),
            "the name ../main.py is refused: it leads out of its folder",
        ),
    ] {
        let result = bench.perform("a.zip", &zip, &Stop::never());
        assert_eq!(result.failed(), why);
        assert_eq!(more(&result), [""; 0]);
        let status = result.status();
        assert_eq!(status["failure"], why, "{status}");
        assert_eq!(status["exit_code"], Value::Null, "{status}");
        bench.goes_on();
    }
}

#[test]
fn a_task_may_lie_in_a_folder() {
    let bench = Bench::new();
    let zip = Zip::of(&[
        Entry::stored("my task/", b""),
        Entry::stored("my task/main.py", b"import part\nopen('out', 'w').write(part.x)"),
        Entry::stored("my task/part.py", b"x = open('deep/input').read()"),
        Entry::stored("my task/deep/input", b"yes"),
        Entry::stored("__MACOSX/my task/._main.py", b"?"),
    ]);
    let result = bench.perform("a.zip", &zip, &Stop::never());
    assert_eq!(more(result.done()), ["out"]);
    assert_eq!(result.text("out"), "yes");
}

#[test]
fn what_is_no_file_stays_behind() {
    let bench = Bench::with(|workshop| workshop.confinement = Confinement::None);
    let result = bench.run(
        "
import os, socket
os.symlink('/etc/passwd', 'link')
os.symlink('/etc', 'folder')
os.symlink('loop', 'loop')
os.mkfifo('pipe')
socket.socket(socket.AF_UNIX).bind('socket')
open('one', 'w').write('x')
os.link('one', 'two')
open(b'\\xff', 'w').write('x')
open('a:b', 'w').write('x')
open('stdout.txt', 'w').write('a lie')
open('status.json', 'w').write('a lie')
open('holes', 'wb').truncate(100_000_000)
os.mkdir('empty')
open('good', 'w').write('x')
os.remove('main.py')
print('done')
",
    );
    assert_eq!(more(result.done()), ["good", "holes"]);
    assert_eq!(result.text("stdout.txt"), "done\n");
    let status = result.status();
    let skipped = status["skipped"].as_array().unwrap();
    let mut skipped: Vec<String> =
        skipped.iter().map(|entry| format!("{}: {}", entry["name"], entry["why"])).collect();
    skipped.sort();
    let expected = [
        "\"a:b\": \"it has a colon, as drives have\"",
        "\"folder\": \"it is no regular file\"",
        "\"link\": \"it is no regular file\"",
        "\"loop\": \"it is no regular file\"",
        "\"one\": \"it has a second name\"",
        "\"pipe\": \"it is no regular file\"",
        "\"socket\": \"it is no regular file\"",
        "\"status.json\": \"its name is ours\"",
        "\"stdout.txt\": \"its name is ours\"",
        "\"two\": \"it has a second name\"",
        "\"\u{fffd}\": \"its name is no UTF-8\"",
    ];
    assert_eq!(skipped, expected);
    bench.goes_on();
}

#[test]
fn what_is_locked_is_removed_all_the_same() {
    let bench = Bench::with(|workshop| workshop.confinement = Confinement::None);
    let result = bench.run(
        "
import os
os.makedirs('a/b/c')
open('a/b/c/file', 'w').write('x')
for path in ['a/b/c/file', 'a/b/c', 'a/b', 'a']: os.chmod(path, 0)
here = os.getcwd()
for i in range(100):
    os.mkdir('d' * 100)
    os.chdir('d' * 100)
    open('file', 'w').write('x')
os.chmod(here, 0)
",
    );
    // Deep enough to be ended for it, if a look comes in time.
    // Who is not root is ended for what is locked.
    let ends = ["32 deep", "a folder that cannot be looked into"];
    let is_ended = || ends.iter().any(|end| result.failed().ends_with(end));
    assert!(result.outcome == Outcome::Done || is_ended());
    bench.goes_on();
}

#[test]
fn many_files_are_named_only_so_far() {
    let bench = Bench::new();
    let result = bench.run("for i in range(250): open(f'a:{i}', 'w').close()");
    let status = result.done().status();
    assert_eq!(status["skipped"].as_array().unwrap().len(), 100, "{status}");
    assert_eq!(status["skipped_more"], 150, "{status}");
}

#[test]
fn a_result_that_is_too_large_holds_the_last_words() {
    let bench = Bench::new();
    let result = bench.run(
        "
import os
for i in range(12): open(f'{i}', 'wb').write(os.urandom(10_000_000))
for i in range(200_000): print('line', i)
",
    );
    assert_eq!(result.failed(), "the result is larger than 95 MiB");
    assert_eq!(more(&result), [""; 0]);
    assert!(result.text("stdout.txt").ends_with("line 199999\n"));
    assert!(result.text("stdout.txt").len() <= 1024 * 1024);
    assert_eq!(result.status()["exit_code"], 0);
    bench.goes_on();
}

#[test]
fn the_same_task_may_run_twice() {
    let bench = Bench::new();
    let (stopper, stop) = stop_pair();
    let zip = task("import time\nprint('on')\ntime.sleep(1000)");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| bench.perform("a.zip", &zip, &stop));
        let out = bench.folder.path().join("work/a.zip/stdout.txt");
        until("the script", || std::fs::read(&out).ok().filter(|text| !text.is_empty()));
        bench.run("print('again')").done();
        assert!(out.exists(), "the folder of the first is untouched");
        drop(stopper);
        assert_eq!(first.join().unwrap().outcome, Outcome::GivenBack);
    });
    bench.goes_on();
}

#[test]
fn a_folder_that_was_left_is_made_afresh() {
    let bench = Bench::with(|workshop| workshop.keep = true);
    for round in ["one", "two"] {
        let script = format!("import os\nprint(os.listdir())\nopen({round:?}, 'w').close()");
        assert_eq!(more(bench.run(&script).done()), [round]);
        assert_eq!(bench.folder.names("work/a.zip/files"), ["input.csv", "main.py", round]);
    }
    assert_eq!(bench.folder.names("work"), ["a.zip"]);
}

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let bench = Bench::new();
    let theirs = bench.folder.path().join("work/photos");
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("one"), "x").unwrap();
    for name in ["../photos", "..", ".hidden", "a/b", ""] {
        let archive = bench.folder.path().join("in.zip");
        std::fs::write(&archive, task("print()")).unwrap();
        let result = bench.folder.path().join("out.zip");
        let outcome = bench.workshop.perform(name, &archive, &result, &Stop::never());
        let Outcome::Broken(why) = outcome else { panic!("{name}: {outcome:?}") };
        assert!(why.starts_with("cannot make a folder for the task "), "{why}");
        assert!(!result.exists());
    }
    // A task of that name is done beside it.
    bench.perform("photos", &task("print('um')"), &Stop::never()).done();
    assert_eq!(bench.folder.names("work"), ["photos"]);
    assert_eq!(bench.folder.names("work/photos"), ["one"]);
}

#[test]
fn a_full_disk_is_no_fault_of_the_task() {
    let bench = Bench::new();
    let archive = bench.folder.path().join("in.zip");
    std::fs::write(&archive, task("print('x' * 1000000)")).unwrap();
    let full = bench.folder.path().join("full");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let outcome = bench.workshop.perform("a.zip", &archive, &full, &Stop::never());
    let Outcome::Broken(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("No space left on device"), "{why}");
    bench.goes_on();
}

#[test]
fn what_is_missing_is_said_at_the_start() {
    let bench = Bench::new();
    let said = |change: &dyn Fn(&mut Workshop)| {
        let mut workshop = bench.workshop.clone();
        change(&mut workshop);
        workshop.prepare().map(drop).unwrap_err().to_string()
    };
    let missing = said(&|workshop| workshop.python = "/nowhere/python3".into());
    let why = "No such file or directory (os error 2); see --python";
    assert_eq!(missing, format!("cannot run /nowhere/python3: {why}"));
    let other = said(&|workshop| workshop.python = "/bin/echo".into());
    assert!(other.contains("see --python"), "{other}");
    let guard = said(&|workshop| workshop.program = "/nowhere/malha".into());
    assert!(guard.contains("cannot start /nowhere/malha"), "{guard}");
    if nix::unistd::geteuid().is_root() {
        let root = said(&|workshop| workshop.user = "root".to_owned());
        assert_eq!(root, "cannot run scripts as root: limits do not bind root; see --user");
        let nobody = said(&|workshop| workshop.user = "nobody-at-all".to_owned());
        assert!(nobody.ends_with("there is no such user; see --user"), "{nobody}");
        let closed = bench.folder.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
        let closed = said(&|workshop| workshop.folder = closed.join("work"));
        assert!(closed.ends_with("see --python, --user, --work"), "{closed}");
        assert!(closed.contains("as nobody: "), "{closed}");
        // A program that its user may run and nobody else may.
        let python = std::fs::read(python().canonicalize().unwrap()).unwrap();
        let theirs = bench.folder.program("closed/python3", &python);
        let closed = said(&|workshop| workshop.python = theirs.clone());
        let why = "closed/python3: Permission denied (os error 13); see --python";
        assert!(closed.starts_with("cannot run scripts as nobody: "), "{closed}");
        assert!(closed.contains(why), "{closed}");
    }
}

/// A pattern that deflates to two thirds of itself.
struct Pattern {
    left: usize,
    state: u32,
}

impl Read for Pattern {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let size = self.left.min(buffer.len());
        for byte in &mut buffer[..size] {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = b'0' + (self.state >> 24) as u8 % 40;
        }
        self.left -= size;
        Ok(size)
    }
}

/// What a process had in memory at most, in KiB, since it was last asked to forget.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// In a process of its own, since all tests share one and its memory.
#[test]
fn a_large_task_goes_through_in_little_memory() {
    const ALONE: &str = "MALHA_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "tasks_work::a_large_task_goes_through_in_little_memory";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let alone = alone.args(["--exact", name, "--nocapture"]).env(ALONE, "1");
        let said = alone.output().unwrap();
        assert!(said.status.success(), "{said:?}");
        print!("{}", String::from_utf8_lossy(&said.stdout));
        return;
    }
    let bench = Bench::new();
    let archive = bench.folder.path().join("in.zip");
    let mut writer = Writer::create(&archive, u64::MAX).unwrap();
    let script = "open('out.csv', 'wb').write(open('input.csv', 'rb').read()[::-1])";
    writer.add("main.py", &mut script.as_bytes()).unwrap();
    writer.add("input.csv", &mut Pattern { left: 95_000_000, state: 1 }).unwrap();
    writer.finish().unwrap();
    let packed = archive.metadata().unwrap().len();
    assert!(packed > 60 << 20, "only {packed} bytes");
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak_kib();
    let result = bench.folder.path().join("out.zip");
    let outcome = bench.workshop.perform("a.zip", &archive, &result, &Stop::never());
    assert_eq!(outcome, Outcome::Done);
    let more = peak_kib() - before;
    let result = result.metadata().unwrap().len();
    println!("{packed} bytes in, {result} bytes out, {more} KiB more than {before} KiB");
    assert!(result > 60 << 20, "only {result} bytes");
    assert!(more < 4 * 1024, "{more} KiB more than {before}");
}

#[test]
fn a_virtual_environment_is_a_python_too() {
    let folder = crate::folder::Folder::new();
    let environment = folder.path().join("environment");
    let mut make = std::process::Command::new(python());
    let made = make.args(["-m", "venv", "--without-pip"]).arg(&environment).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let bench = Bench::with(|workshop| workshop.python = environment.join("bin/python3"));
    let result = bench.run("import sys; print(sys.prefix)");
    assert_eq!(result.done().text("stdout.txt"), format!("{}\n", environment.display()));
}
