//! The folders of a master: `tasks/`, `results/`, `results/failed/`. What is kept there is kept
//! once, whole, and for good.
//!
//! An archive arrives in a temporary file, in the thread of its connection, which also waits for
//! the disk. Only one thread then gives such files their names, so nothing is ever overwritten.

mod home;
mod spool;

pub use home::lock;
pub use spool::{Spool, Spools};

use crate::net::failure::Failure;
use crate::net::trace::Trace;
use crate::tasks::archive::Writer;
use crate::tasks::limits::NOTE_BYTES_MAX;
use crate::tasks::protocol::{Name, SpoolId};
use crate::tasks::state::Place;
use crossbeam_channel::Receiver;
use home::{Home, in_the_way, sync};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FAILED: &str = "failed";

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
    home: Arc<Home>,
}

impl Store {
    /// Makes the folders that are missing, and tidies up after a master that was killed.
    pub fn open(tasks: &Path, results: &Path) -> Result<Store, Failure> {
        let make = |folder: &Path| {
            let what = format!("cannot make the folder {}", folder.display());
            let made = fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
            made.map_err(Failure::from_io(what))
        };
        let what = || format!("cannot work in {}", results.display());
        if make(tasks)? == make(results)? {
            // Each task would look like its own result.
            let why = "tasks and results are one folder".to_owned();
            return Err(Failure { what: what(), why });
        }
        let unseen = format!("cannot look into the folder {}", tasks.display());
        fs::read_dir(tasks).map_err(Failure::from_io(unseen))?;
        let home = Home::open(results).map_err(Failure::from_io(what()))?;
        let failed = results.join(FAILED);
        let tidy = || -> io::Result<(BTreeSet<Name>, BTreeSet<Name>)> {
            let (done, set_aside) = (names(results)?, names(&failed)?);
            // It was done after all, and the master was killed before it could take this away.
            for name in set_aside.intersection(&done) {
                fs::remove_file(failed.join(name.text()))?;
            }
            Ok((done, set_aside))
        };
        let (done, set_aside) = tidy().map_err(Failure::from_io(what()))?;
        let home = Arc::new(home);
        Ok(Store {
            tasks: tasks.to_owned(),
            results: results.to_owned(),
            failed,
            spools: Spools::at(&home),
            done,
            set_aside,
            home,
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
            let home = self.home.ensure();
            if let Some(gone) = self.home.gone() {
                trace.warn(format_args!("{} was gone: it is made again", gone.display()));
            }
            for job in std::iter::once(first).chain(jobs.try_iter()) {
                match job {
                    // Then it is another master's.
                    Job::Forget(_) if home.is_err() => {}
                    Job::Forget(name) => {
                        if let Err(error) = fs::remove_file(self.failed.join(name.text())) {
                            let name = name.word();
                            trace.event(format_args!("ev=not-forgotten task={name} {error:?}"));
                        }
                    }
                    Job::Discard(spool) => self.spools.discard(spool),
                    Job::Name { name, spool, place, reason } => {
                        let outcome = match &home {
                            Ok(()) => self.name(&name, spool, place, &reason),
                            Err(why) => Err(io::Error::other(why.to_string())),
                        };
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
        let is_there = path.is_file();
        if !is_there && fs::symlink_metadata(&path).is_ok() {
            return Err(in_the_way(&path));
        }
        match spool {
            None if is_there => Ok(()),
            None => {
                let note = self.spools.next();
                let named = self.note(note, reason).and_then(|()| self.put(note, &path, place));
                // Another is written when it is tried again.
                named.inspect_err(|_| self.spools.discard(note))
            }
            Some(spool) if is_there && place == Place::Done => {
                self.spools.discard(spool);
                Ok(())
            }
            Some(spool) => self.put(spool, &path, place),
        }
    }

    fn put(&self, spool: SpoolId, path: &Path, place: Place) -> io::Result<()> {
        if place == Place::Failed && !self.failed.is_dir() {
            fs::create_dir(&self.failed)?;
            sync(&self.results)?;
        }
        fs::rename(self.spools.path(spool), path)
    }

    /// What stands for the last output of a task that has said nothing.
    fn note(&self, spool: SpoolId, reason: &str) -> io::Result<()> {
        let path = self.spools.path(spool);
        let mut archive = Writer::create(&path, NOTE_BYTES_MAX)?;
        let status = json!({ "failed": reason }).to_string();
        archive.add("status.json", &mut status.as_bytes())?;
        archive.finish()?;
        File::open(path)?.sync_all()
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
