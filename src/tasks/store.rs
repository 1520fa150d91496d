//! The folders of a master: `tasks/`, `results/`, `results/failed/`. What is kept there is kept
//! once, whole, and for good.
//!
//! An archive arrives in a temporary file, in the thread of its connection, which also waits for
//! the disk. Only one thread then gives such files their names, so nothing is ever overwritten.

use crate::net::failure::Failure;
use crate::net::trace::Trace;
use crate::tasks::archive::Writer;
use crate::tasks::limits::SPOOL_BYTES;
use crate::tasks::protocol::{Name, SpoolId};
use crate::tasks::state::Place;
use crossbeam_channel::Receiver;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where results arrive, within `results/`: on the same file system. No task's name begins with a
/// dot.
const INCOMING: &str = ".incoming";
const FAILED: &str = "failed";

/// Where archives arrive. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spools {
    folder: Arc<Path>,
    last: Arc<AtomicU64>,
    is_synced: bool,
}

impl Spools {
    /// Archives arrive in `folder`, and are on disk before they count as arrived if `is_synced`.
    pub fn new(folder: &Path, is_synced: bool) -> Spools {
        Spools { folder: folder.into(), last: Arc::default(), is_synced }
    }

    /// Where an archive is.
    pub fn path(&self, spool: SpoolId) -> PathBuf {
        self.folder.join(spool.0.to_string())
    }

    /// Throws an archive away.
    pub fn discard(&self, spool: SpoolId) {
        // What cannot be removed now is removed at the next start.
        let _ = fs::remove_file(self.path(spool));
    }

    fn next(&self) -> SpoolId {
        SpoolId(self.last.fetch_add(1, Ordering::Relaxed))
    }

    /// A new one.
    pub fn begin(&self) -> Spool {
        let id = self.next();
        let (buffer, file) = (Vec::new(), Ok(None));
        Spool { spools: self.clone(), id, buffer, file, is_kept: false }
    }
}

/// An archive that arrives. Dropped before it is whole, it is thrown away.
#[derive(Debug)]
pub struct Spool {
    spools: Spools,
    id: SpoolId,
    /// What is not written yet: at most [`SPOOL_BYTES`].
    buffer: Vec<u8>,
    file: io::Result<Option<File>>,
    is_kept: bool,
}

impl Spool {
    /// Takes in more of it. An error is told at the end.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while self.file.is_ok() && !bytes.is_empty() {
            let (fits, rest) = bytes.split_at(bytes.len().min(SPOOL_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(fits);
            if self.buffer.len() == SPOOL_BYTES {
                self.flush();
            }
            bytes = rest;
        }
    }

    /// It is whole: on disk, or why not.
    pub fn finish(mut self) -> Result<SpoolId, String> {
        if !self.buffer.is_empty() || matches!(self.file, Ok(None)) {
            self.flush();
        }
        let file = std::mem::replace(&mut self.file, Ok(None));
        let synced = file.and_then(|file| match file {
            Some(file) if self.spools.is_synced => file.sync_all(),
            _ => Ok(()),
        });
        synced.map_err(|error| format!("it cannot be kept: {error}"))?;
        self.is_kept = true;
        Ok(self.id)
    }

    /// An empty archive is a file, too.
    fn flush(&mut self) {
        let Ok(file) = &mut self.file else { return };
        let open = || {
            let path = self.spools.path(self.id);
            File::options().write(true).create_new(true).open(path)
        };
        let written = match file {
            Some(file) => file.write_all(&self.buffer),
            None => open().and_then(|mut fresh| {
                let written = fresh.write_all(&self.buffer);
                *file = Some(fresh);
                written
            }),
        };
        self.buffer.clear();
        if let Err(error) = written {
            self.file = Err(error);
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.is_kept {
            self.spools.discard(self.id);
        }
    }
}

/// The folders, which nobody else works in.
#[derive(Debug)]
pub struct Store {
    /// Where tasks are.
    pub tasks: PathBuf,
    results: PathBuf,
    failed: PathBuf,
    /// Where results arrive.
    pub spools: Spools,
    /// What had a result at the start.
    pub done: BTreeSet<Name>,
    /// What had failed for good.
    pub set_aside: BTreeSet<Name>,
    _lock: File,
}

impl Store {
    /// Makes the folders that are missing, and tidies up after a master that was killed.
    pub fn open(tasks: &Path, results: &Path) -> Result<Store, Failure> {
        let (failed, incoming) = (results.join(FAILED), results.join(INCOMING));
        are_one(tasks, results)?;
        let unseen = format!("cannot look into the folder {}", tasks.display());
        fs::read_dir(tasks).map_err(Failure::from_io(unseen))?;
        let what = || format!("cannot work in {}", results.display());
        let Some(lock) = lock(results).map_err(Failure::from_io(what()))? else {
            return Err(Failure { what: what(), why: "another master does".to_owned() });
        };
        let tidy = || -> io::Result<(BTreeSet<Name>, BTreeSet<Name>)> {
            remove_all(&incoming)?;
            fs::create_dir(&incoming)?;
            let (done, set_aside) = (names(results)?, names(&failed)?);
            // It was done after all, and the master was killed before it could take this away.
            for name in set_aside.intersection(&done) {
                fs::remove_file(failed.join(name.text()))?;
            }
            Ok((done, set_aside))
        };
        let (done, set_aside) = tidy().map_err(Failure::from_io(what()))?;
        Ok(Store {
            tasks: tasks.to_owned(),
            results: results.to_owned(),
            failed,
            spools: Spools::new(&incoming, true),
            done,
            set_aside,
            _lock: lock,
        })
    }

    /// Does jobs until there are no more, and tells what came of each. All that has come together
    /// shares one wait for the disk.
    pub fn work(
        &self,
        jobs: &Receiver<Job>,
        trace: &Trace,
        mut tell: impl FnMut(Name, Result<(), String>),
    ) {
        while let Ok(first) = jobs.recv() {
            let (mut named, mut places) = (Vec::new(), BTreeSet::new());
            for job in std::iter::once(first).chain(jobs.try_iter()) {
                match job {
                    Job::Forget(name) => {
                        if let Err(error) = fs::remove_file(self.failed.join(name.text())) {
                            trace.event(format_args!("ev=not-forgotten task={name} {error:?}"));
                        }
                    }
                    Job::Discard(spool) => self.spools.discard(spool),
                    Job::Name { name, spool, place, reason } => {
                        let outcome = self.name(&name, spool, place, &reason);
                        places.extend(outcome.is_ok().then_some(place));
                        named.push((name, place, outcome));
                    }
                }
            }
            let synced: Vec<(Place, io::Result<()>)> =
                places.into_iter().map(|place| (place, sync(self.folder(place)))).collect();
            for (name, place, outcome) in named {
                let of_place = synced.iter().find(|(synced, _)| *synced == place);
                let failed = of_place.and_then(|(_, outcome)| outcome.as_ref().err());
                let outcome = match (outcome, failed) {
                    (Ok(()), Some(error)) => Err(error.to_string()),
                    (outcome, _) => outcome.map_err(|error| error.to_string()),
                };
                tell(name, outcome.map_err(|why| format!("it cannot be kept: {why}")));
            }
        }
    }

    fn folder(&self, place: Place) -> &Path {
        match place {
            Place::Done => &self.results,
            Place::Failed => &self.failed,
        }
    }

    /// Gives an archive its name. One that is there already stays.
    fn name(
        &self,
        name: &Name,
        spool: Option<SpoolId>,
        place: Place,
        reason: &str,
    ) -> io::Result<()> {
        let path = self.folder(place).join(name.text());
        let is_there = fs::symlink_metadata(&path).is_ok();
        let spool = match spool {
            Some(spool) => spool,
            None if is_there => return Ok(()),
            None => self.note(reason)?,
        };
        if is_there && place == Place::Done {
            self.spools.discard(spool);
            return Ok(());
        }
        if place == Place::Failed && !self.failed.is_dir() {
            fs::create_dir(&self.failed)?;
            sync(&self.results)?;
        }
        fs::rename(self.spools.path(spool), path)
    }

    /// What stands for the last output of a task that has said nothing.
    fn note(&self, reason: &str) -> io::Result<SpoolId> {
        let spool = self.spools.next();
        let path = self.spools.path(spool);
        let mut archive = Writer::create(&path, SPOOL_BYTES as u64)?;
        let status = json!({ "failed": reason }).to_string();
        archive.add("status.json", &mut status.as_bytes())?;
        archive.finish()?;
        File::open(path)?.sync_all()?;
        Ok(spool)
    }
}

/// What the storing thread is to do.
#[derive(Debug)]
pub enum Job {
    /// Give an archive its name; without one, write the reason into one.
    Name {
        /// Whose it is.
        name: Name,
        /// The archive.
        spool: Option<SpoolId>,
        /// Where it belongs.
        place: Place,
        /// Why there is none.
        reason: String,
    },
    /// Throw an archive away.
    Discard(SpoolId),
    /// Take the last output of a failed task away.
    Forget(Name),
}

impl Drop for Store {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        let _ = remove_all(&self.results.join(INCOMING));
    }
}

/// Makes the folders that are missing, and tells whether both are one and the same. Then each task
/// would look like its own result.
pub fn are_one(tasks: &Path, results: &Path) -> Result<bool, Failure> {
    let make = |folder: &Path| {
        let what = format!("cannot make the folder {}", folder.display());
        let made = fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
        made.map_err(Failure::from_io(what))
    };
    Ok(make(tasks)? == make(results)?)
}

/// Holds a folder until it is dropped, so that only one master or peer works there. None: somebody
/// else does.
pub fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = File::open(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // Some file systems have no locks; then nobody can tell.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(Some(file)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a folder, if there is one.
pub fn remove_all(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The names of the files in a folder, if there is one.
fn names(folder: &Path) -> io::Result<BTreeSet<Name>> {
    let mut names = BTreeSet::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(names),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| Name::plain(name.to_str()?).ok());
        names.extend(name.filter(|_| path.is_file()));
    }
    Ok(names)
}
