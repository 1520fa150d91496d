//! The tasks: many small ones against a bare echo, and a large one against copying its text.

use super::Effort;
use super::child::Server;
use super::scratch::Scratch;
use super::table;
use crate::net::failure::Failure;
use crate::net::limits::READ_BYTES_MAX;
use crate::net::progress;
use crate::net::stop::Stop;
use crate::tasks::client::{Answers, Link};
use crate::tasks::limits::{READ_BYTES, SPOOL_BYTES};
use crate::tasks::protocol::{Asking, Heard, Name, SpoolId, ask, text};
use crate::tasks::store::Spools;
use clap::Args;
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

/// How `malha bench tasks` is called.
#[derive(Debug, Args)]
pub struct TasksArgs {
    #[command(flatten)]
    effort: Effort,
    /// Where tasks and results are: in a folder of their own there, which is removed afterwards
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Peers that ask at the same time, and small tasks for them.
const PEERS: usize = 10;
const TASKS: usize = 3_000;
/// A small archive, and a large one (design.md's table, Speed).
const SMALL_BYTES: usize = 1_000;
const LARGE_BYTES: usize = 32 * 1024 * 1024;
/// The last record of a ZIP, so that the master sees at once that a file is whole.
const ZIP_END: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const WIDTHS: [usize; 6] = [44, 20, 7, 7, 12, 12];

impl TasksArgs {
    /// Measures and prints.
    pub(super) fn run(self, stop: &Stop) -> Result<(), Failure> {
        let parent = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        let what = format!("cannot make a folder in {}", parent.display());
        let scratch = Scratch::folder(&parent).map_err(Failure::from_io(what))?;
        let heads: [&dyn std::fmt::Display; 6] =
            [&"on disk before OK", &"ratio", &"reach", &"aim", &"ours", &"bare"];
        table::print(&WIDTHS, &heads);
        let bar = progress::bar(3 * self.effort.rounds as u64);
        let measured = self.measure(scratch.path(), &bar, stop);
        bar.finish_and_clear();
        measured.map_err(Failure::from_io("the load failed".to_owned()))
    }

    fn measure(&self, folder: &Path, bar: &ProgressBar, stop: &Stop) -> io::Result<()> {
        let echo = start(stop, &["bench", "bare-echo"])?;
        let rounds = self.effort.rounds;
        let (mut to_echo, mut to_disk) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            // Not the folder of the round before, emptied: ext4 takes long to make a file where
            // many have just been removed.
            let ours = small(&folder.join(format!("small-{round}")), stop)?;
            to_echo.push((ours, small_echo(echo.addr)?));
            to_disk.push((ours, keep(&folder.join(format!("kept-{round}")), stop)?));
            bar.inc(1);
        }
        print("1 kB, 10 peers, exchanges a second", &to_echo, ("0.30", "0.50"), bar);
        print("  against as many files kept by 10 threads", &to_disk, ("", ""), bar);
        let text = (LARGE_BYTES.div_ceil(3) * 4).to_string();
        let bare = start(stop, &["bench", "bare-text", &text])?;
        let (mut down, mut up, mut up_to_disk) = (Vec::new(), Vec::new(), Vec::new());
        let mut resident_kib = 0.0;
        for _ in 0..rounds {
            let (download, upload, kib) = large(&folder.join("large"), stop)?;
            let copied = copy(bare.addr)?;
            let copied_and_kept = 1.0 / (1.0 / copied + 1.0 / keep_large(folder)?);
            down.push((download, copied));
            up.push((upload, copied));
            up_to_disk.push((upload, copied_and_kept));
            resident_kib = kib;
            bar.inc(2);
        }
        print("32 MiB task, disk to disk, MiB/s", &down, ("0.50", "0.80"), bar);
        print("32 MiB result, disk to disk, MiB/s", &up, ("0.50", "0.80"), bar);
        print("  against copying, then keeping its bytes", &up_to_disk, ("", ""), bar);
        let line = format!("memory of the master afterwards: {resident_kib:.0} KiB");
        bar.suspend(|| table::print(&[60], &[&line]));
        Ok(())
    }
}

fn print(name: &str, measured: &[(f64, f64)], (reach, aim): (&str, &str), bar: &ProgressBar) {
    let ratios: Vec<f64> = measured.iter().map(|(ours, bare)| ours / bare).collect();
    let ours = table::median(measured.iter().map(|(ours, _)| *ours).collect());
    let bare = table::median(measured.iter().map(|(_, bare)| *bare).collect());
    let (ours, bare) = (format!("{ours:.0}"), format!("{bare:.0}"));
    bar.suspend(|| {
        table::print(&WIDTHS, &[&name, &table::spread(&ratios), &reach, &aim, &ours, &bare]);
    });
}

fn start(stop: &Stop, args: &[&str]) -> io::Result<Server> {
    Server::start(stop, args, "listening").map_err(io::Error::other)
}

/// A master with fresh folders that hold such tasks.
fn master(folder: &Path, tasks: usize, bytes: usize, stop: &Stop) -> io::Result<Server> {
    // It need not be there.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder.join("tasks"))?;
    let mut archive = vec![b'x'; bytes - ZIP_END.len()];
    archive.extend_from_slice(ZIP_END);
    for number in 0..tasks {
        fs::write(folder.join(format!("tasks/{number:05}.zip")), &archive)?;
    }
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (tasks, results) = (path("tasks"), path("results"));
    let args = [
        "tasks",
        "master",
        "--listen",
        "127.0.0.1:0",
        "--discovery",
        "off",
        "--tasks",
        &tasks,
        "--results",
        &results,
    ];
    start(stop, &args)
}

/// Exchanges a second, of which each task takes two.
fn small(folder: &Path, stop: &Stop) -> io::Result<f64> {
    let master = master(folder, TASKS, SMALL_BYTES, stop)?;
    // It has looked into its folder when it gives something out.
    let mut first = Peer::connect(master.addr, 0)?;
    let taken = loop {
        if let Some(name) = first.take()? {
            break name;
        }
    };
    let start = Instant::now();
    first.submit(&taken)?;
    thread::scope(|scope| {
        let work = |number| {
            move || -> io::Result<()> {
                let mut peer = Peer::connect(master.addr, number)?;
                while let Some(name) = peer.take()? {
                    peer.submit(&name)?;
                }
                Ok(())
            }
        };
        let peers: Vec<_> = (1..=PEERS).map(|number| scope.spawn(work(number))).collect();
        let panicked = |_| io::Error::other("a peer panicked");
        peers.into_iter().try_for_each(|peer| peer.join().map_err(panicked)?)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let kept = fs::read_dir(folder.join("results"))?.count() - 1;
    if kept != TASKS {
        return Err(io::Error::other(format!("{kept} results of {TASKS} tasks")));
    }
    Ok((2 * TASKS) as f64 / seconds)
}

/// A peer that does no work.
struct Peer {
    socket: TcpStream,
    id: String,
    data: String,
}

impl Peer {
    fn connect(addr: SocketAddr, number: usize) -> io::Result<Peer> {
        let socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        let mut data = Vec::new();
        text::encode(&[b'y'; SMALL_BYTES], &mut data);
        let data = String::from_utf8(data).map_err(io::Error::other)?;
        Ok(Peer { socket, id: format!("bench-{number}"), data })
    }

    fn take(&mut self) -> io::Result<Option<String>> {
        let question = ask(&Asking::Task, &self.id, "", 0);
        let answer = exchange(&mut self.socket, &question)?;
        let name = answer.split("\"task_name\":\"").nth(1).and_then(|rest| rest.split('"').next());
        Ok(name.map(str::to_owned))
    }

    fn submit(&mut self, name: &str) -> io::Result<()> {
        let question = submission(&self.id, name, &self.data)?;
        let answer = exchange(&mut self.socket, &question)?;
        let is_kept = answer.starts_with("{\"status\":\"OK\"}");
        is_kept.then_some(()).ok_or_else(|| io::Error::other(answer))
    }
}

fn submission(id: &str, name: &str, data: &str) -> io::Result<Vec<u8>> {
    let name = Name::plain(name).map_err(io::Error::other)?;
    let mut bytes = ask(&Asking::Submit(&name, None), id, "", 0);
    bytes.extend_from_slice(data.as_bytes());
    bytes.extend_from_slice(crate::tasks::protocol::LONG_END);
    Ok(bytes)
}

fn exchange(socket: &mut TcpStream, question: &[u8]) -> io::Result<String> {
    socket.write_all(question)?;
    let mut answer = Vec::new();
    let mut chunk = [0; READ_BYTES_MAX];
    while answer.last() != Some(&b'\n') {
        let size = socket.read(&mut chunk)?;
        if size == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&chunk[..size]);
    }
    String::from_utf8(answer).map_err(io::Error::other)
}

/// The same questions to a bare echo, as fast as it says them again.
fn small_echo(addr: SocketAddr) -> io::Result<f64> {
    let start = Instant::now();
    thread::scope(|scope| {
        let talk = |number| {
            move || -> io::Result<()> {
                let mut peer = Peer::connect(addr, number)?;
                let question = ask(&Asking::Task, &peer.id, "", 0);
                let result = submission(&peer.id, "00000.zip", &peer.data)?;
                for _ in 0..TASKS / PEERS {
                    exchange(&mut peer.socket, &question)?;
                    exchange(&mut peer.socket, &result)?;
                }
                Ok(())
            }
        };
        let peers: Vec<_> = (1..=PEERS).map(|number| scope.spawn(talk(number))).collect();
        let panicked = |_| io::Error::other("a client panicked");
        peers.into_iter().try_for_each(|peer| peer.join().map_err(panicked)?)
    })?;
    Ok((TASKS / PEERS * PEERS * 2) as f64 / start.elapsed().as_secs_f64())
}

/// What results cost without questions: as many files written, synced, and named, each in its
/// folder for good before the next of its thread. As exchanges, of which each task takes two.
fn keep(folder: &Path, stop: &Stop) -> io::Result<f64> {
    let incoming = folder.join("incoming");
    fs::create_dir_all(&incoming)?;
    let start = Instant::now();
    thread::scope(|scope| {
        let keep = |thread: usize| {
            let incoming = &incoming;
            move || -> io::Result<()> {
                for number in 0..TASKS / PEERS {
                    if stop.is_asked() {
                        return Err(ErrorKind::Interrupted.into());
                    }
                    let name = format!("{thread}-{number}.zip");
                    let path = incoming.join(&name);
                    let mut file = File::create_new(&path)?;
                    file.write_all(&[b'y'; SMALL_BYTES])?;
                    file.sync_all()?;
                    fs::rename(path, folder.join(name))?;
                    File::open(folder)?.sync_all()?;
                }
                Ok(())
            }
        };
        let threads: Vec<_> = (0..PEERS).map(|thread| scope.spawn(keep(thread))).collect();
        let panicked = |_| io::Error::other("a thread panicked");
        threads.into_iter().try_for_each(|thread| thread.join().map_err(panicked)?)
    })?;
    Ok((2 * TASKS) as f64 / start.elapsed().as_secs_f64())
}

/// MiB a second of a large task from the master's disk to a peer's, of a large result back, and
/// the master's memory at the end.
fn large(folder: &Path, stop: &Stop) -> io::Result<(f64, f64, f64)> {
    let master = master(folder, 1, LARGE_BYTES, stop)?;
    let incoming = folder.join("incoming");
    fs::create_dir_all(&incoming)?;
    let spools = Spools::new(&incoming, false);
    thread::scope(|scope| {
        let answers = Answers::new(spools.clone(), u64::MAX);
        let link = Link::dial(scope, &[master.addr], answers)?;
        let (mut start, mut taken) = (Instant::now(), None);
        while taken.is_none() {
            start = Instant::now();
            link.say(&ask(&Asking::Task, "bench", "", 0))?;
            taken = package(&link)?;
        }
        let download = start.elapsed().as_secs_f64();
        let (name, spool) = taken.ok_or_else(|| io::Error::other("no task"))?;
        let start = Instant::now();
        let head = ask(&Asking::Submit(&name, None), "bench", "", 0);
        link.say_file(head, &spools.path(spool))?;
        package(&link)?;
        let upload = start.elapsed().as_secs_f64();
        let kept = fs::metadata(folder.join("results").join(name.text()))?.len();
        if kept != LARGE_BYTES as u64 {
            return Err(io::Error::other(format!("{kept} bytes came back")));
        }
        Ok((mib_per_s(download), mib_per_s(upload), master.resident_kib()))
    })
}

/// The next answer; the task, if it is one.
fn package(link: &Link) -> io::Result<Option<(Name, SpoolId)>> {
    loop {
        match link.heard().recv().map_err(io::Error::other)? {
            Heard::More => {}
            Heard::NoTask | Heard::Yes(_) => return Ok(None),
            Heard::Package(Ok(name), Ok(spool)) => return Ok(Some((name, spool))),
            other => return Err(io::Error::other(format!("{other:?}"))),
        }
    }
}

/// MiB a second of an archive that is written to a file and synced.
fn keep_large(folder: &Path) -> io::Result<f64> {
    let (path, piece) = (folder.join("kept"), vec![b'y'; SPOOL_BYTES]);
    let start = Instant::now();
    let mut file = File::create(&path)?;
    for _ in 0..LARGE_BYTES / SPOOL_BYTES {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    let kept = mib_per_s(start.elapsed().as_secs_f64());
    fs::remove_file(path)?;
    Ok(kept)
}

/// MiB a second of the archive whose text is copied.
fn copy(addr: SocketAddr) -> io::Result<f64> {
    let start = Instant::now();
    let mut socket = TcpStream::connect(addr)?;
    let mut chunk = vec![0; READ_BYTES];
    while socket.read(&mut chunk)? > 0 {}
    Ok(mib_per_s(start.elapsed().as_secs_f64()))
}

fn mib_per_s(seconds: f64) -> f64 {
    LARGE_BYTES as f64 / (1024.0 * 1024.0) / seconds
}
