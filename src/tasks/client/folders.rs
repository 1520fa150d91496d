//! The two folders of a peer within that of its tasks: where packages arrive, and where results
//! wait. They are marked as ours, so that nothing of a person's is removed with them.

use crate::net::failure::Failure;
use crate::tasks::protocol::Name;
use crate::tasks::tree;
use crate::tasks::work::MARK;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// No task's name begins with a dot.
const INCOMING: &str = ".incoming";
const RESULTS: &str = ".results";

/// Both folders.
#[derive(Debug)]
pub(super) struct Folders {
    work: PathBuf,
    pub(super) incoming: PathBuf,
    results: PathBuf,
}

impl Folders {
    /// Those in `work`, empty: what is left of an earlier run may be another master's.
    pub(super) fn begin(work: &Path) -> Result<Folders, Failure> {
        let (incoming, results) = (work.join(INCOMING), work.join(RESULTS));
        let folders = Folders { work: work.to_owned(), incoming, results };
        let cannot = |error| folders.cannot("empty", error);
        for folder in folders.both() {
            if !is_ours(folder).map_err(cannot)? {
                let what = format!("cannot work in {}", work.display());
                let name = folder.file_name().unwrap_or_default().display();
                let why = format!("{name} in it is not empty and not a peer's; give --work");
                return Err(Failure { what, why });
            }
        }
        let emptied = folders.both().iter().try_for_each(|folder| tree::remove(folder));
        emptied.and_then(|()| folders.make()).map_err(cannot)?;
        Ok(folders)
    }

    fn both(&self) -> [&Path; 2] {
        [&self.incoming, &self.results]
    }

    fn cannot(&self, verb: &str, error: io::Error) -> Failure {
        Failure::from_io(format!("cannot {verb} the folder {}", self.work.display()))(error)
    }

    /// Also while it runs: a person may have tidied up.
    pub(super) fn make(&self) -> io::Result<()> {
        for folder in self.both() {
            fs::create_dir_all(folder)?;
            let mark = folder.join(MARK);
            if !mark.exists() {
                File::create(mark)?;
            }
        }
        Ok(())
    }

    /// Where a task's result waits.
    pub(super) fn result(&self, name: &Name) -> PathBuf {
        self.results.join(name.text())
    }

    /// Results as well: another master may have another task of that name.
    pub(super) fn remove(&self) {
        // What cannot be removed now is removed at the next start.
        self.both().iter().for_each(|folder| drop(tree::remove(folder)));
    }
}

/// A folder that is not there, or is empty, can be ours.
fn is_ours(folder: &Path) -> io::Result<bool> {
    let is_marked = folder.join(MARK).symlink_metadata().is_ok_and(|mark| mark.is_file());
    match folder.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Ok(found) if !found.is_dir() => Ok(false),
        _ => Ok(is_marked || fs::read_dir(folder)?.next().is_none()),
    }
}
