//! Scripts that try to get out. Each finds a wall, and the next task runs.

use crate::folder::Folder;
use crate::harness::until;
use crate::tasks_bench::{Bench, TRY, both_ways, has_walls, python, task};
use malha::net::stop::Stop;
use malha::tasks::work::Confinement;
use nix::libc;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

#[test]
fn it_reads_nothing_but_its_folder_and_the_system() {
    if has_walls() {
        both_ways().iter().for_each(reads_nothing_but_its_folder_and_the_system_by);
    }
}

fn reads_nothing_but_its_folder_and_the_system_by(bench: &Bench) {
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
    if has_walls() {
        both_ways().iter().for_each(writes_nothing_but_its_folder_by);
    }
}

fn writes_nothing_but_its_folder_by(bench: &Bench) {
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
shutil.move('renamed', 'inner/renamed')
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
    if has_walls() {
        both_ways().iter().for_each(connects_to_nothing_by);
    }
}

fn connects_to_nothing_by(bench: &Bench) {
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
    if has_walls() {
        both_ways().iter().for_each(makes_no_calls_that_have_no_wall_by);
    }
}

fn makes_no_calls_that_have_no_wall_by(bench: &Bench) {
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
    assert!(result.said().contains("['LANG', 'PATH', 'TMPDIR'] ''\nTrue "), "{}", result.said());
}

/// What is too large for memory goes into its folder, which programs must be told.
#[test]
fn it_has_a_place_for_temporary_files() {
    let bench = Bench::new();
    let result = bench.tries(
        "
import sqlite3, subprocess
open('rows', 'w').writelines(f'{n * 7919 % 100003}\\n' for n in range(100_000))
print(subprocess.run(['sort', '-S', '64k', '-o', 'sorted', 'rows']).returncode)
rows = sqlite3.connect('')
rows.execute('create table t (a)')
rows.executemany('insert into t values (?)', ((str(n) * 20,) for n in range(100_000)))
print(len(rows.execute('select * from t order by a').fetchall()), os.listdir('.'))
",
    );
    assert!(result.said().contains("0\n100000 ["), "{}", result.said());
}

#[test]
fn it_signals_nobody() {
    if !has_walls() {
        return;
    }
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

/// Our program on a kernel that answers these calls with "no such call".
fn program_without(folder: &Folder, calls: &[u32]) -> PathBuf {
    let load = (0x20, 0, 0, 0);
    let jumps = calls.iter().enumerate().map(|(at, call)| (0x15, calls.len() - at, 0, *call));
    let ends = [(0x06, 0, 0, 0x7fff_0000), (0x06, 0, 0, 0x0005_0000 | 38)];
    let filter: Vec<String> =
        [load].into_iter().chain(jumps).chain(ends).map(|step| format!("{step:?}")).collect();
    let script = format!(
        "#!{}
import ctypes, os, struct, sys
steps = [{}]
filter = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack('HL', len(steps), ctypes.addressof(filter)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, program) == 0
os.execv({:?}, ['malha'] + sys.argv[1:])
",
        python().display(),
        filter.join(", "),
        env!("CARGO_BIN_EXE_malha"),
    );
    folder.program("old-kernel", script.as_bytes())
}

#[test]
fn a_kernel_without_walls_is_told_at_the_start() {
    if !has_walls() {
        return;
    }
    let bench = Bench::new();
    let program = program_without(&bench.folder, &[libc::SYS_landlock_create_ruleset as u32]);
    let mut workshop = bench.workshop.clone();
    workshop.program = program.clone();
    let said = workshop.prepare().map(drop).unwrap_err().to_string();
    assert!(said.contains("this kernel has no Landlock"), "{said}");
    assert!(said.ends_with("see --no-sandbox"), "{said}");
    // Told to, it goes on without.
    let bench = Bench::with(|workshop| {
        workshop.program = program;
        workshop.confinement = Confinement::None;
    });
    bench.goes_on();
}

#[test]
fn a_kernel_without_namespaces_is_enough() {
    let other = Bench::new();
    let program = program_without(&other.folder, &[libc::SYS_unshare as u32]);
    let bench = Bench::with(|workshop| workshop.program = program);
    let script = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  time.sleep(1000)";
    bench.run(script).done();
    bench.goes_on();
}

#[test]
fn its_children_are_told_of_their_own() {
    for bench in both_ways() {
        let result = bench.run(
            "
import signal, subprocess, time
told = []
signal.signal(signal.SIGCHLD, lambda *rest: told.append(1))
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
shell = ['/bin/sh', '-c', 'sleep 0.1 & wait; echo over']
print(subprocess.run(shell, capture_output=True, timeout=5).stdout)
print(bool(told))
",
        );
        let said = "set()\nb'over\\n'\nTrue\n";
        assert_eq!(result.done().text("stdout.txt"), said);
    }
}
