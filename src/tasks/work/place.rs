//! The folder of a task while it runs: the script's own folder in it, and its output beside that,
//! where the script cannot reach it.

use crate::net::failure::Failure;
use crate::net::trace::Trace;
use crate::tasks::limits::FOLDERS_MAX;
use crate::tasks::tree;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Marks a folder as one that we made, and may therefore remove. Locked while it is in use.
pub const MARK: &str = ".malha";

/// What the mark of a folder says that was kept on purpose.
const KEPT: &[u8] = b"kept\n";

/// A task's folder. Removed when dropped, unless it is to be kept.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    files: PathBuf,
    keep: bool,
    trace: Trace,
    lock: File,
}

impl Place {
    /// Makes it afresh. Where one of that name is in use, another number of it.
    pub fn make(work: &Path, task: &str, keep: bool, trace: &Trace) -> Result<Place, Failure> {
        let cannot = |error: io::Error| {
            Failure::from_io(format!("cannot make a folder for the task {task}"))(error)
        };
        let is_plain = Path::new(task).file_name().is_some_and(|name| name == task);
        if !is_plain || task.starts_with('.') {
            return Err(cannot(ErrorKind::InvalidFilename.into()));
        }
        for number in 1..=FOLDERS_MAX {
            let name = if number == 1 { task.to_owned() } else { format!("{task}.{number}") };
            let path = work.join(name);
            if let Some(lock) = claim(&path).map_err(cannot)? {
                let files = path.join("files");
                fs::create_dir(&files).map_err(cannot)?;
                let trace = trace.clone();
                return Ok(Place { path, files, keep, trace, lock });
            }
        }
        Err(cannot(ErrorKind::ResourceBusy.into()))
    }

    /// Where the archive is unpacked.
    pub fn files(&self) -> &Path {
        &self.files
    }

    /// The script's standard output.
    pub fn out(&self) -> PathBuf {
        self.path.join("stdout.txt")
    }

    /// The script's standard error.
    pub fn err(&self) -> PathBuf {
        self.path.join("stderr.txt")
    }
}

/// Makes the folder; none if it is in use, or not ours: a task may be called as a folder that a
/// person has there. One that was left behind is removed first.
fn claim(path: &Path) -> io::Result<Option<File>> {
    if path.symlink_metadata().is_ok() {
        let lock = File::open(path.join(MARK));
        if !lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            return Ok(None);
        }
        tree::remove(path)?;
    }
    fs::create_dir(path)?;
    let lock = File::create_new(path.join(MARK))?;
    lock.lock()?;
    // Another user runs the script, and must walk through.
    fs::set_permissions(path, Permissions::from_mode(0o711))?;
    Ok(Some(lock))
}

/// Removes the folders that were left behind, and not on purpose.
pub fn remove_left(work: &Path, trace: &Trace) {
    let Ok(entries) = fs::read_dir(work) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if is_left(&path)
            && let Err(error) = tree::remove(&path)
        {
            trace.warn(format_args!("cannot remove {}: {error}", path.display()));
        }
    }
}

fn is_left(path: &Path) -> bool {
    let (own, mark) = (path.symlink_metadata(), path.join(MARK));
    let is_marked = mark.symlink_metadata().is_ok_and(|mark| mark.is_file() && mark.len() == 0);
    let is_in_use = || !File::open(&mark).is_ok_and(|mark| mark.try_lock().is_ok());
    own.is_ok_and(|own| own.is_dir()) && is_marked && !is_in_use()
}

impl Drop for Place {
    fn drop(&mut self) {
        // By word and not by closing: another thread may be starting a process, which has all that
        // is open until it becomes another program.
        let _ = self.lock.unlock();
        if self.keep {
            // So that no later peer takes it for one that was left. It is a person's now, who may
            // have removed it already.
            let _ = self.lock.write_all(KEPT);
            return;
        }
        if let Err(error) = tree::remove(&self.path) {
            let path = self.path.display();
            self.trace.warn(format_args!("cannot remove {path}: {error}"));
        }
    }
}
