//! What is sent back: what the script said, what it wrote, how it ended.

use super::place::Place;
use super::{failure, signal_name};
use crate::tasks::archive::{Writer, flaw};
use crate::tasks::limits::{
    ENTRIES_MAX, LAST_WORDS_BYTES, RESULT_BYTES_MAX, SKIPPED_NAMED_MAX, WRITTEN_BYTES_MAX,
};
use crate::tasks::sandbox::{Cut, Ending};
use crate::tasks::tree::{self, Kind, Seen};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const OUT: &str = "stdout.txt";
const ERR: &str = "stderr.txt";
const STATUS: &str = "status.json";

/// All that there is to say about a task.
pub struct Found<'a> {
    task: &'a str,
    out: PathBuf,
    err: PathBuf,
    home: Option<PathBuf>,
    /// The files of the archive as they were before the script ran.
    before: HashMap<PathBuf, Mark>,
    ending: Option<Ending>,
    /// Why the task failed, if it did.
    pub failure: Option<String>,
    skipped: Vec<Value>,
    skipped_more: u64,
}

/// What a file cannot keep when it is written: its times are the kernel's, and nobody can set the
/// last one.
#[derive(PartialEq, Eq)]
struct Mark {
    number: u64,
    bytes: i64,
    changed: (i64, i64),
}

impl Mark {
    fn of(seen: &Seen<'_>) -> Mark {
        let stat = &seen.stat;
        let changed = (stat.st_ctime, stat.st_ctime_nsec);
        Mark { number: stat.st_ino, bytes: stat.st_size, changed }
    }
}

/// The result of a task that could not be run: why not, and nothing else.
pub fn excuse(task: &str, why: &str) -> io::Result<Vec<u8>> {
    let mut writer = Writer::to(Vec::new(), RESULT_BYTES_MAX);
    let status = format!("{:#}\n", json!({ "task": task, "failure": why }));
    writer.add(STATUS, &mut status.as_bytes())?;
    writer.finish()
}

impl<'a> Found<'a> {
    /// Nothing found yet.
    pub fn new(task: &'a str, place: &Place) -> Found<'a> {
        Found {
            task,
            out: place.out(),
            err: place.err(),
            home: None,
            before: HashMap::new(),
            ending: None,
            failure: None,
            skipped: Vec::new(),
            skipped_more: 0,
        }
    }

    /// Notes what is there before the script runs.
    pub fn look(&mut self, home: &Path) -> io::Result<()> {
        self.home = Some(home.to_owned());
        let before = &mut self.before;
        tree::walk(home, &mut |seen| {
            before.insert(seen.path.to_owned(), Mark::of(seen));
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Notes how the script ended.
    pub fn judge(&mut self, ending: Ending, timeout_ms: u64) {
        self.failure = failure(&ending, timeout_ms);
        self.ending = Some(ending);
    }

    /// Writes the result. One that would be too large to send is a failure, and holds what the
    /// script said last.
    pub fn pack(&mut self, result: &Path) -> io::Result<()> {
        match self.write(result, true) {
            Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                let size = RESULT_BYTES_MAX >> 20;
                self.failure = Some(format!("the result is larger than {size} MiB"));
                self.write(result, false)
            }
            written => written,
        }
    }

    fn write(&mut self, result: &Path, is_whole: bool) -> io::Result<()> {
        self.skipped.clear();
        self.skipped_more = 0;
        let mut writer = Writer::create(result, RESULT_BYTES_MAX)?;
        for (name, path) in [(OUT, &self.out), (ERR, &self.err)] {
            match File::open(path) {
                Ok(mut file) => {
                    if !is_whole && file.metadata()?.len() > LAST_WORDS_BYTES {
                        file.seek(SeekFrom::End(-(LAST_WORDS_BYTES as i64)))?;
                    }
                    writer.add(name, &mut file)?;
                }
                // It never ran.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    writer.add(name, &mut io::empty())?;
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(home) = self.home.clone().filter(|_| is_whole) {
            self.add_files(&home, &mut writer)?;
        }
        let status = format!("{:#}\n", self.status());
        writer.add(STATUS, &mut status.as_bytes())?;
        writer.finish().map(drop)
    }

    fn add_files(&mut self, home: &Path, writer: &mut Writer) -> io::Result<()> {
        // Whatever a script does to its own folder is its own loss, and not our failure.
        if tree::walk(home, &mut |_| Ok(ControlFlow::Break(()))).is_err() {
            self.skip(Path::new("."), "it cannot be read");
            return Ok(());
        }
        let (mut files, mut bytes) = (0, 0);
        tree::walk(home, &mut |seen| {
            if seen.kind() == Kind::Folder || self.before.get(seen.path) == Some(&Mark::of(seen)) {
                if seen.is_closed {
                    self.skip(seen.path, "it cannot be read");
                }
                return Ok(ControlFlow::Continue(()));
            }
            files += 1;
            match self.file(seen, files, bytes) {
                Ok((name, file)) => {
                    let mut file = file.take(WRITTEN_BYTES_MAX - bytes);
                    bytes += seen.stat.st_size as u64;
                    writer.add(&name, &mut file)?;
                }
                Err(why) => self.skip(seen.path, why),
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// A file that may go into the result, by its name there; or why it may not.
    fn file(
        &self,
        seen: &Seen<'_>,
        files: u64,
        bytes: u64,
    ) -> Result<(String, File), &'static str> {
        let name = seen.path.to_str().ok_or("its name is no UTF-8")?;
        if seen.kind() != Kind::File {
            return Err("it is no regular file");
        }
        if [OUT, ERR, STATUS].contains(&name) {
            return Err("its name is ours");
        }
        if let Some(flaw) = flaw(name) {
            return Err(flaw);
        }
        // The other name may lead to any file on the same disk.
        if seen.stat.st_nlink > 1 {
            return Err("it has a second name");
        }
        if files > ENTRIES_MAX || bytes + seen.stat.st_size as u64 > WRITTEN_BYTES_MAX {
            return Err("it is too much");
        }
        let file = seen.open().map_err(|_| "it cannot be read")?;
        Ok((name.to_owned(), file))
    }

    fn skip(&mut self, path: &Path, why: &str) {
        if self.skipped.len() == SKIPPED_NAMED_MAX {
            self.skipped_more += 1;
        } else {
            self.skipped.push(json!({ "name": path.to_string_lossy(), "why": why }));
        }
    }

    fn status(&self) -> Value {
        let none = Ending::default();
        let ending = self.ending.as_ref().unwrap_or(&none);
        let is_full =
            |path: &Path| path.metadata().is_ok_and(|file| file.len() >= WRITTEN_BYTES_MAX);
        json!({
            "task": self.task,
            "failure": self.failure,
            "exit_code": ending.code,
            "signal": ending.signal.map(signal_name),
            "timed_out": ending.cut == Some(Cut::Time) && ending.code.is_none(),
            "seconds": ending.ms as f64 / 1000.0,
            "cpu_seconds": ending.cpu_ms as f64 / 1000.0,
            "peak_memory_kib": ending.peak_kib,
            "stdout_cut": is_full(&self.out),
            "stderr_cut": is_full(&self.err),
            "skipped": self.skipped,
            "skipped_more": self.skipped_more,
        })
    }
}
