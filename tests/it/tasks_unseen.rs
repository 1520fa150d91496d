//! Scripts that take files and memory where a first look does not see them.

use crate::folder::Folder;
use crate::tasks_bench::{Bench, both_ways, has_walls, python};
use malha::tasks::sandbox::{Cut, Order, Report};
use malha::tasks::work::Outcome;
use nix::unistd::{User, geteuid};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

const BYTES: &str = "more than 256 MiB of files";
const MEMORY: &str = "more than 1024 MiB of memory";

/// Calls of the C library, and files of 100 MB.
const LIBC: &str = "
import ctypes, mmap, os, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
def call(number, *args):
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
block = b'x' * 10_000_000
def large(name):
    file = os.open(name, os.O_RDWR | os.O_CREAT)
    for i in range(10): os.write(file, block)
    return file
";

#[track_caller]
fn fails(bench: &Bench, script: &str, why: &str) {
    let result = bench.run(&format!("{LIBC}{script}\ntime.sleep(3)\nprint('HOLE')"));
    assert_eq!(result.failed(), why, "{}", result.said());
    bench.goes_on();
}

#[test]
fn it_reserves_what_no_size_shows() {
    if !has_walls() {
        return;
    }
    for bench in both_ways() {
        let result = bench.tries(
            "
import fcntl, struct
file = os.open('f', os.O_RDWR | os.O_CREAT)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
assert libc.fallocate(file, 1, 0, 300_000_000) == -1
assert ctypes.get_errno() == 95, ctypes.get_errno()
space = struct.pack('hhqqiI4i', 0, 0, 0, 300_000_000, 0, 0, 0, 0, 0, 0)
for request in [0x40305828, 0x4030582a, 0x40305839]:
    attempt(hex(request), lambda: fcntl.ioctl(file, request, space))
assert os.fstat(file).st_blocks == 0
# The usual way goes on: the library writes.
os.posix_fallocate(file, 0, 1_000_000)
print(os.fstat(file).st_size)
",
        );
        assert!(result.said().contains("\n1000000\n"), "{}", result.said());
    }
}

#[test]
fn it_sends_files_to_itself() {
    if has_walls() {
        for bench in both_ways() {
            bench.tries(
                "
import array, asyncio, multiprocessing
a, b = socket.socketpair()
file = array.array('i', [os.open('f', os.O_RDWR | os.O_CREAT)])
attempt('send a file', lambda: a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, file)]))
attempt('send many', lambda: call(307, a.fileno(), ctypes.create_string_buffer(64), 1, 0))
attempt('a larger buffer', lambda: a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000))
# What people do must go on.
async def echo():
    cat = await asyncio.create_subprocess_exec('/bin/cat', stdin=-1, stdout=-1)
    return await cat.communicate(b'there and back')
assert asyncio.run(echo()) == (b'there and back', None)
near, far = multiprocessing.Pipe()
child = multiprocessing.get_context('fork').Process(target=far.send, args=['um'])
child.start()
assert near.recv() == 'um'
child.join()
",
            );
        }
    }
}

#[test]
fn it_keeps_files_by_mapping_them() {
    let script = "
[os.remove(name) for name in os.listdir()]
for i in range(6):
    file = large('f')
    # The last page of it is enough to keep all.
    assert libc.mmap(None, 4096, 1, 1, file, 99_999_744) > 0
    os.remove('f')
    os.close(file)
    time.sleep(0.5)
";
    for bench in both_ways() {
        fails(&bench, script, BYTES);
    }
    // Once each, also if it is open, mapped, and in two processes.
    let result = Bench::new().run(&format!(
        "{LIBC}
file = large('f')
mine = mmap.mmap(file, 0)
os.remove('f')
if os.fork() == 0:
    time.sleep(1)
    os._exit(0)
time.sleep(1)
"
    ));
    result.done();
}

#[test]
fn it_fills_both_outputs_and_a_file() {
    let script = "
file = open('f', 'wb')
for i in range(25):
    for out in [1, 2, file.fileno()]: os.write(out, block)
    time.sleep(0.05)
";
    fails(&Bench::new(), script, BYTES);
}

#[test]
fn its_first_thread_ends_and_others_go_on() {
    // What the first thread of a process shows is gone with it.
    let ends = "
import threading
threading.Thread(target=more).start()
libc.syscall(60, 0)
";
    let files = "
def more():
    for i in range(6):
        large('f')
        os.remove('f')
        time.sleep(0.5)
    os._exit(0)
";
    fails(&Bench::new(), &format!("{files}{ends}"), BYTES);
    let memory = "
def more():
    mine = []
    for i in range(4):
        if os.fork() == 0: break
    for i in range(6):
        mine.append(bytearray(block * 5))
        time.sleep(0.1)
    time.sleep(3)
    os._exit(0)
";
    fails(&Bench::new(), &format!("{memory}{ends}"), MEMORY);
}

#[test]
fn it_keeps_memory_that_it_does_not_hold() {
    let script = "
all = []
for i in range(18):
    shared = mmap.mmap(-1, 100_000_000)
    for at in range(0, 100_000_000, 4096): shared[at] = 1
    shared.madvise(mmap.MADV_DONTNEED)
    all.append(shared)
";
    fails(&Bench::new(), script, MEMORY);
    // Once for all that share it.
    let result = Bench::new().run(&format!(
        "{LIBC}
shared = mmap.mmap(-1, 300_000_000)
for at in range(0, 300_000_000, 4096): shared[at] = 1
for i in range(5):
    if os.fork() == 0:
        for at in range(0, 300_000_000, 4096): shared[at]
        time.sleep(0.5)
        os._exit(0)
time.sleep(0.5)
"
    ));
    assert_eq!(result.outcome, Outcome::Done, "{result:?}");
}

#[test]
fn it_fills_sockets() {
    let script = "
for p in range(55):
    if os.fork() == 0:
        all = []
        try:
            for i in range(120):
                all.extend(socket.socketpair())
                for end in all[-2:]:
                    end.setblocking(False)
                    try:
                        while True: end.send(block[:65536])
                    except OSError: pass
        except OSError: pass
        time.sleep(8)
        os._exit(0)
time.sleep(8)
";
    fails(&Bench::new(), script, MEMORY);
}

/// What a guard says of a script, without namespaces and not as root: there it may enter no more
/// than the script, and not ask everything. None: there is no such user.
fn reported(script: &str) -> Option<Vec<Report>> {
    let folder = Folder::new();
    let order = Order {
        program: env!("CARGO_BIN_EXE_malha").into(),
        python: python(),
        args: vec!["-c".into(), script.into()],
        folder: folder.path().canonicalize().unwrap(),
        readable: Vec::new(),
        user: None,
        timeout_ms: 20_000,
        is_confined: false,
        as_if_old: true,
    };
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut guard = Command::new(env!("CARGO_BIN_EXE_malha"));
    guard.args(["tasks", "confined", "guard"]).args(order.to_args());
    guard.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    if geteuid().is_root() {
        let nobody = User::from_name("nobody").unwrap()?;
        std::os::unix::fs::chown(folder.path(), Some(nobody.uid.into()), None).unwrap();
        guard.uid(nobody.uid.into()).gid(nobody.gid.into());
    }
    let mut running = guard.spawn().unwrap();
    // It holds the other end.
    drop(guard);
    let lines = BufReader::new(ours).lines();
    let reports = lines.filter_map(|line| Report::parse(&line.unwrap())).collect();
    running.wait().unwrap();
    Some(reports)
}

#[test]
fn it_closes_its_folders() {
    let script = "
import os, time
os.mkdir('d', 0o300)
open('d/f', 'w').close()
time.sleep(1000)
";
    let Some(said) = reported(script) else { return };
    assert!(said.contains(&Report::Cut(Cut::Closed)), "{said:?}");
}

#[test]
fn it_keeps_files_whose_size_nobody_is_told() {
    let mapped = |how: &str| {
        let script = format!("file = large('f')\nos.remove('f')\nmine = {how}\nos.close(file)");
        reported(&format!("{LIBC}\n{script}\ntime.sleep(2)"))
    };
    let Some(said) = mapped("libc.mmap(None, 4096, 1, 1, file, 0)") else { return };
    assert!(said.contains(&Report::Cut(Cut::Bytes)), "{said:?}");
    // As Python itself maps it, the file stays open.
    let said = mapped("mmap.mmap(file, 0)").unwrap();
    assert!(said.contains(&Report::Code(0)), "{said:?}");
}
