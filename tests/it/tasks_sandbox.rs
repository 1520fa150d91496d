//! Scripts that try to get out. Each ends as it should, and the next task runs.

use crate::harness::until;
use crate::tasks_work::{Bench, Result, task};
use malha::net::stop::Stop;
use malha::tasks::work::{Confinement, Outcome};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// Says of each attempt that did not fail that it is a hole.
const TRY: &str = "
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

/// With the kernel's namespaces, and where it has none.
fn both_ways() -> [Bench; 2] {
    [Bench::new(), Bench::with(|workshop| workshop.has_namespaces = false)]
}

impl Bench {
    #[track_caller]
    fn tries(&self, attempts: &str) -> Result {
        let result = self.run(&format!("{TRY}{attempts}\nprint('all tried')"));
        assert!(!result.said().contains("HOLE"), "{}", result.said());
        assert!(result.said().contains("all tried"), "{}", result.said());
        result.done();
        self.goes_on();
        result
    }

    /// Nothing of the last task is left, and the next one runs.
    #[track_caller]
    fn goes_on(&self) {
        assert_eq!(left_in(self.folder.path()), [""; 0], "processes are left");
        assert_eq!(self.folder.names("work"), [""; 0], "files are left");
        let next = self.perform("next.zip", &task("print('next')"), &Stop::never());
        assert_eq!(next.done().text("stdout.txt"), "next\n");
    }
}

/// Processes that run in a folder.
fn left_in(folder: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let inside = processes.filter(|process| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder))
    });
    inside.map(|process| process.file_name().into_string().unwrap()).collect()
}

#[test]
fn it_reads_nothing_but_its_folder_and_the_system() {
    let bench = Bench::new();
    let secret = bench.folder.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    bench.tries(&format!(
        "
secret = {secret:?}
for path in [secret, '/etc/passwd', '/etc/hostname', '/proc/self/environ', '/proc/1/status',
        '/proc/version', '/sys/kernel/notes', '../../stdout.txt', '../../.malha']:
    attempt(path, lambda: open(path).read())
os.symlink(secret, 'link')
attempt('a link', lambda: open('link').read())
attempt('a second name', lambda: os.link(secret, 'name'))
for path in ['/', '/etc', '/tmp', '/proc', '/root', '..', '../..']:
    attempt(path, lambda: os.listdir(path))
attempt('mapping', lambda: os.open(secret, os.O_RDONLY))
"
    ));
}

#[test]
fn it_writes_nothing_but_its_folder() {
    let bench = Bench::new();
    let outside = bench.folder.path().join("outside");
    std::fs::write(&outside, "as it was").unwrap();
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&outside, open).unwrap();
    if let Some(nobody) = nix::unistd::User::from_name("nobody").unwrap()
        && nix::unistd::geteuid().is_root()
    {
        // Even its own, as those of another task's script are.
        std::os::unix::fs::chown(&outside, Some(nobody.uid.into()), None).unwrap();
    }
    let before = std::fs::metadata(&outside).unwrap();
    bench.tries(&format!(
        "
import shutil
outside = {outside:?}
for path in [outside, '/tmp/malha-hole', '/dev/shm/malha-hole', '/var/tmp/malha-hole',
        '../hole', '../../stdout.txt', '/usr/hole', '/dev/kmsg', '/dev/tty']:
    attempt(path, lambda: open(path, 'a'))
attempt('truncate', lambda: os.truncate(outside, 0))
attempt('open and truncate', lambda: os.open(outside, os.O_RDONLY | os.O_TRUNC))
attempt('remove', lambda: os.remove(outside))
attempt('rename', lambda: os.rename(outside, 'mine'))
open('mine', 'w').write('mine')
attempt('replace', lambda: os.replace('mine', outside))
attempt('give away', lambda: os.rename('mine', '../mine'))
attempt('mkdir', lambda: os.mkdir('../hole'))
attempt('mkfifo', lambda: os.mkfifo('pipe'))
attempt('chown', lambda: os.chown(outside, os.getuid(), os.getgid()))
attempt('setxattr', lambda: os.setxattr(outside, 'user.hole', b'x'))
# Said to be done, and not done.
os.chmod(outside, 0o777)
os.utime(outside, (0, 0))
# What people do must go on.
shutil.copy2('mine', 'copy')
os.rename('copy', 'renamed')
os.mkdir('inner')
os.rename('renamed', 'inner/renamed')
os.remove('mine')
"
    ));
    let after = std::fs::metadata(&outside).unwrap();
    let facts = |file: &std::fs::Metadata| (file.mode(), file.mtime(), file.ctime(), file.uid());
    assert_eq!(facts(&after), facts(&before));
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "as it was");
    assert_eq!(
        bench.folder.names("."),
        ["in-a.zip", "in-next.zip"]
            .map(str::to_owned)
            .into_iter()
            .chain(["out-a.zip", "out-next.zip", "outside", "work"].map(str::to_owned))
            .collect::<Vec<_>>()
    );
}

#[test]
fn it_connects_to_nothing() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    bench.tries(&format!(
        "
import asyncio
for family in [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, 17, 40]:
    for kind in [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW]:
        attempt((family, kind), lambda: socket.socket(family, kind))
attempt('connect', lambda: socket.create_connection(('127.0.0.1', {port})))
attempt('datagrams', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
attempt('packets', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
a, b = socket.socketpair()
attempt('connect a pair', lambda: a.connect('/dev/log'))
attempt('send elsewhere', lambda: a.sendto(b'x', '/dev/log'))
attempt('send elsewhere', lambda: a.sendmsg([b'x'], [], 0, '/dev/log'))
attempt('io_uring', lambda: call(425, 8, ctypes.create_string_buffer(512)))
a.send(b'x')
assert b.recv(1) == b'x'
asyncio.run(asyncio.sleep(0.01))
"
    ));
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn it_makes_no_calls_that_have_no_wall() {
    let bench = Bench::new();
    bench.tries(
        "
page = ctypes.create_string_buffer(4096)
attempt('unshare', lambda: call(272, 0x10000000))
attempt('clone', lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0))
attempt('clone3', lambda: call(435, page, 64))
attempt('ptrace', lambda: call(101, 0, 0, 0, 0))
attempt('mount', lambda: call(165, b'x', b'.', b'tmpfs', 0, 0))
attempt('memfd', lambda: os.memfd_create('x'))
attempt('shm', lambda: call(29, 0, 4096, 0o1600))
attempt('msg', lambda: call(68, 0, 0o1600))
attempt('keyctl', lambda: call(250, 0, -3, 1))
attempt('bpf', lambda: call(321, 0, page, 64))
attempt('openat2', lambda: call(437, -100, b'main.py', page, 24))
attempt('chroot', lambda: os.chroot('.'))
attempt('setuid', lambda: os.setuid(0))
attempt('nice', lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19))
attempt('raise a limit', lambda: __import__('resource').setrlimit(7, (100000, 100000)))
open('program', 'w').write('#!/bin/sh\\necho HOLE')
os.chmod('program', 0o755)
attempt('run a program of its own', lambda: subprocess.run(['./program']))
attempt('the same by another number', lambda: call(0x40000000 | 41, 2, 1, 0))
assert subprocess.run(['/bin/echo', 'programs of the system run']).returncode == 0
",
    );
}

#[test]
fn it_has_nothing_of_ours() {
    let bench = Bench::new();
    let result = bench.tries(
        "
print(sorted(set(os.environ) - {'LC_CTYPE'}), repr(sys.stdin.read()))
print(os.getuid() != 0, os.getgroups() in ([], [os.getgid()]))
for number in range(3, 256):
    attempt(number, lambda: os.fstat(number))
",
    );
    assert!(result.said().contains("['LANG', 'PATH'] ''\nTrue "), "{}", result.said());
}

#[test]
fn it_signals_nobody() {
    for bench in both_ways() {
        // Another slot's script, which runs as the same user.
        let other = task("import time\nprint('on')\ntime.sleep(2)\nprint('off')");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| bench.perform("b.zip", &other, &Stop::never()));
            let out = bench.folder.path().join("work/b.zip/stdout.txt");
            let said = || std::fs::read(&out).ok().filter(|text| !text.is_empty());
            until("the other script", said);
            let test = std::process::id();
            let killer = bench.run(&format!(
                "{TRY}
attempt('the peer', lambda: os.kill({test}, 9))
for pid in range(2, 70000):
    if pid not in (os.getpid(), os.getppid()):
        try: os.kill(pid, 0)
        except OSError: pass
        else: print('HOLE', pid)
try: os.kill(-1, 9)
except OSError: pass
print('all tried')
"
            ));
            assert!(!killer.said().contains("HOLE"), "{}", killer.said());
            assert!(killer.done().said().contains("all tried"), "{}", killer.said());
            assert_eq!(other.join().unwrap().done().text("stdout.txt"), "on\noff\n");
        });
        bench.goes_on();
    }
}

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
    for namespaces in [true, false] {
        let bench = Bench::with(|workshop| {
            workshop.timeout_ms = 1_000;
            workshop.has_namespaces = namespaces;
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
    assert_eq!(result.failed(), "exit code 1");
    assert_eq!(result.files["stdout.txt"].len(), 256 * 1024 * 1024);
    assert!(result.text("stderr.txt").contains("File too large"));
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
