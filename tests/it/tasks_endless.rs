//! Scripts without end. Each ends as it should, nothing of it is left, and the next task runs.

use crate::folder::Folder;
use crate::harness::{Program, until};
use crate::tasks_bench::{Bench, both_ways, left_in, python};
use malha::tasks::sandbox::Order;
use malha::tasks::work::{Confinement, Outcome};

#[test]
fn it_forks_without_end() {
    for bench in both_ways() {
        let result = bench.run("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass");
        assert_eq!(result.failed(), "more than 64 processes");
        bench.goes_on();
    }
}

#[test]
fn it_forks_and_leaves_without_end() {
    for bench in both_ways() {
        // Never more than two, never the same for long.
        let chain = "import os\nos.setsid() if os.fork() else None\n\
            while os.fork() == 0: pass\nos._exit(0)";
        let result = bench.run(&format!("import os\nif os.fork() == 0:\n  exec({chain:?})"));
        result.done();
        bench.goes_on();
    }
}

#[test]
fn it_starts_threads_without_end() {
    for bench in both_ways() {
        let result = bench.run(
            "
import threading, time
while True:
    try: threading.Thread(target=time.sleep, args=[1000], daemon=True).start()
    except RuntimeError: time.sleep(0.01)
",
        );
        assert_eq!(result.failed(), "more than 64 processes");
        bench.goes_on();
    }
}

#[test]
fn it_leaves_children_behind() {
    for bench in both_ways() {
        let result = bench.run(
            "
import os, signal, subprocess, time
for i in range(5):
    subprocess.Popen(['/bin/sleep', '1000'], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
print('gone')
",
        );
        assert_eq!(result.done().text("stdout.txt"), "gone\n");
        bench.goes_on();
    }
}

#[test]
fn it_ignores_signals_and_time() {
    for as_if_old in [false, true] {
        let bench = Bench::with(|workshop| {
            workshop.timeout_ms = 1_000;
            workshop.as_if_old = as_if_old;
        });
        let result = bench.run(
            "
import os, signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
print('last words')
while True:
    if os.fork() == 0: time.sleep(1000)
    time.sleep(0.1)
",
        );
        assert_eq!(result.failed(), "not done after 1 s");
        assert_eq!(result.text("stdout.txt"), "last words\n");
        let status = result.status();
        assert_eq!(status["timed_out"], true, "{status}");
        assert!((1.0..3.0).contains(&status["seconds"].as_f64().unwrap()), "{status}");
        bench.goes_on();
    }
}

#[test]
fn it_ends_by_codes_and_signals() {
    for bench in both_ways() {
        assert_eq!(bench.run("import sys; print('x'); sys.exit(3)").failed(), "exit code 3");
        let result = bench.run("raise ValueError('wrong')");
        assert_eq!(result.failed(), "exit code 1");
        assert!(result.text("stderr.txt").contains("ValueError: wrong"));
        assert_eq!(bench.run("import os; os.abort()").failed(), "killed by SIGABRT");
        assert_eq!(bench.run("import os; os.kill(os.getpid(), 15)").failed(), "killed by SIGTERM");
        let status = bench.run("import os; os.kill(0, 9)").status();
        assert_eq!(status["signal"], "SIGKILL", "{status}");
        bench.goes_on();
    }
}

#[test]
fn it_allocates_without_end() {
    let bench = Bench::new();
    let one = bench.run("all = []\nwhile True: all.append(bytearray(50_000_000))");
    let why = one.failed();
    assert!(why == "exit code 1" || why == "more than 1024 MiB of memory", "{why}");
    bench.goes_on();
    let many = bench.run(
        "
import os, time
for i in range(20):
    if os.fork() == 0:
        mine = bytearray(os.urandom(1000) * 100_000)
        time.sleep(1000)
time.sleep(1000)
",
    );
    assert_eq!(many.failed(), "more than 1024 MiB of memory");
    bench.goes_on();
    // Memory that many have in common is counted once.
    let shared = bench.run(
        "
import os, time
mine = bytearray(os.urandom(1000) * 200_000)
pids = [os.fork() for i in range(1)]
for i in range(8):
    if os.getpid() != 0 and pids and os.fork() == 0:
        time.sleep(0.5)
        os._exit(0)
time.sleep(0.5)
",
    );
    assert!(shared.outcome == Outcome::Done, "{shared:?}");
}

#[test]
fn it_fills_the_disk() {
    let bench = Bench::new();
    let block = "block = b'x' * 1_000_000\n";
    let one = bench.run(&format!("{block}file = open('a', 'wb')\nwhile True: file.write(block)"));
    assert!(["exit code 1", "more than 256 MiB of files"].contains(&one.failed()));
    bench.goes_on();
    let many = format!(
        "{block}for i in range(1000000):\n  file = open(str(i), 'wb')\n  \
        for j in range(9): file.write(block)"
    );
    assert_eq!(bench.run(&many).failed(), "more than 256 MiB of files");
    bench.goes_on();
    let nameless = format!(
        "import os\n{block}all = []\nfor i in range(200):\n  all.append(open('a', 'wb'))\n  \
        os.remove('a')\n  for j in range(30): all[-1].write(block)"
    );
    assert_eq!(bench.run(&nameless).failed(), "more than 256 MiB of files");
    bench.goes_on();
    let holes = "for i in range(100): open(str(i), 'wb').truncate(200_000_000)\n\
        import time; time.sleep(1000)";
    assert_eq!(bench.run(holes).failed(), "more than 256 MiB of files");
    bench.goes_on();
}

#[test]
fn it_makes_files_and_folders_without_end() {
    let bench = Bench::new();
    let files = bench.run("i = 0\nwhile True:\n  open(str(i), 'w').close()\n  i += 1");
    assert_eq!(files.failed(), "more than 10000 files");
    bench.goes_on();
    let deep = bench.run("import os\nwhile True:\n  os.mkdir('d' * 200)\n  os.chdir('d' * 200)");
    assert_eq!(deep.failed(), "folders within folders, 32 deep");
    bench.goes_on();
}

#[test]
fn it_fills_its_output() {
    let bench = Bench::new();
    let result = bench.run("block = 'x' * 1_000_000\nwhile True: print(block)");
    assert!(["exit code 1", "more than 256 MiB of files"].contains(&result.failed()));
    assert_eq!(result.files["stdout.txt"].len(), 256 * 1024 * 1024);
    let status = result.status();
    assert_eq!(status["stdout_cut"], true, "{status}");
    assert_eq!(status["stderr_cut"], false, "{status}");
    bench.goes_on();
}

#[test]
fn without_walls_the_limits_hold() {
    let bench = Bench::with(|workshop| {
        workshop.confinement = Confinement::None;
        workshop.timeout_ms = 2_000;
    });
    let result = bench.run("print(open('/etc/passwd').read()[:4])");
    assert_eq!(result.done().text("stdout.txt"), "root\n");
    let result = bench.run("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass");
    assert_eq!(result.failed(), "more than 64 processes");
    assert_eq!(bench.run("while True: pass").failed(), "not done after 2 s");
    bench.goes_on();
}

/// A guard without a peer, whose script has children that ignore all signals.
fn guard(folder: &Folder, as_if_old: bool) -> Program {
    let script = "
import os, signal, time
signal.signal(15, signal.SIG_IGN)
for i in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: open(str(i), 'w').close()
        time.sleep(1000)
time.sleep(1000)
";
    let order = Order {
        program: env!("CARGO_BIN_EXE_malha").into(),
        python: python(),
        args: vec!["-c".into(), script.into()],
        folder: folder.path().to_owned(),
        readable: Vec::new(),
        user: None,
        timeout_ms: 1_000_000,
        is_confined: false,
        as_if_old,
    };
    let args = [&["tasks", "confined", "guard"].map(Into::into)[..], &order.to_args()].concat();
    let args: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
    let guard = Program::start(env!("CARGO_BIN_EXE_malha"), &args);
    until("all of them", || (folder.names(".").len() == 3).then_some(()));
    assert!(left_in(folder.path()).len() >= 7);
    guard
}

#[test]
fn who_loses_its_peer_ends() {
    for as_if_old in [false, true] {
        let folder = Folder::new();
        let mut guard = guard(&folder, as_if_old);
        guard.types_no_more();
        guard.exits(0);
        assert_eq!(left_in(folder.path()), [""; 0]);
    }
}

#[test]
fn who_loses_its_guard_ends() {
    let folder = Folder::new();
    let mut guard = guard(&folder, false);
    guard.signal("-KILL");
    guard.exit();
    until("the end of all", || left_in(folder.path()).is_empty().then_some(()));
}
