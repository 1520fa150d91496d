//! The folder of results, which nobody else works in, also when somebody has taken it away.

use parking_lot::Mutex;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where results arrive, within `results/`: on the same file system. No task's name begins with a
/// dot.
const INCOMING: &str = ".incoming";

/// A master's folder of results.
#[derive(Debug)]
pub(super) struct Home {
    results: PathBuf,
    /// Where archives arrive.
    pub(super) incoming: PathBuf,
    /// A lock and no message: the threads of the connections make their files there themselves,
    /// each waiting for the disk alone, and only one of them may make the folder again.
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// The folder itself, whatever it is called by now.
    lock: File,
    /// What was made again, and nobody was told.
    gone: Option<PathBuf>,
}

impl Home {
    /// Takes the folder, and removes what a master that was killed has left where archives arrive.
    pub(super) fn open(results: &Path) -> io::Result<Home> {
        let incoming = results.join(INCOMING);
        let another = || io::Error::other("another master does");
        let lock = take(results, &incoming)?.ok_or_else(another)?;
        let held = Mutex::new(Held { lock, gone: None });
        Ok(Home { results: results.to_owned(), incoming, held })
    }

    /// Makes the folders again if somebody has taken them away.
    pub(super) fn ensure(&self) -> io::Result<()> {
        let mut held = self.held.lock();
        if !is_same(&held.lock, &self.results)? {
            fs::create_dir_all(&self.results)?;
            let shown = self.results.display();
            let another = || io::Error::other(format!("another master works in {shown}"));
            held.lock = take(&self.results, &self.incoming)?.ok_or_else(another)?;
            held.gone = Some(self.results.clone());
        } else if !self.incoming.is_dir() {
            fs::create_dir(&self.incoming)?;
            held.gone = Some(self.incoming.clone());
        }
        Ok(())
    }

    /// What was gone and is made again, told once.
    pub(super) fn gone(&self) -> Option<PathBuf> {
        self.held.lock().gone.take()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if is_same(&self.held.get_mut().lock, &self.results).unwrap_or(false) {
            let (ours, _) = look(&self.incoming).unwrap_or_default();
            // What cannot be removed now is removed at the next start.
            ours.iter().for_each(|path| drop(fs::remove_file(path)));
            let _ = fs::remove_dir(&self.incoming);
        }
    }
}

/// None: another master has it.
fn take(results: &Path, incoming: &Path) -> io::Result<Option<File>> {
    let Some(lock) = lock(results)? else { return Ok(None) };
    let (ours, other) = look(incoming)?;
    if let Some(path) = other {
        return Err(in_the_way(&path));
    }
    ours.iter().try_for_each(fs::remove_file)?;
    match fs::create_dir(incoming) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(Some(lock)),
    }
}

/// Whether `path` leads to what is open.
fn is_same(open: &File, path: &Path) -> io::Result<bool> {
    let open = open.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is where archives arrive: a master's archives, and one thing that is none.
fn look(incoming: &Path) -> io::Result<(Vec<PathBuf>, Option<PathBuf>)> {
    let (mut ours, mut other) = (Vec::new(), None);
    match fs::symlink_metadata(incoming) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((ours, other)),
        Err(error) => return Err(error),
        Ok(found) if !found.is_dir() => return Ok((ours, Some(incoming.to_owned()))),
        Ok(_) => {}
    }
    for entry in fs::read_dir(incoming)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_number = name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if is_number && entry.file_type()?.is_file() {
            ours.push(entry.path());
        } else {
            other = Some(entry.path());
        }
    }
    Ok((ours, other))
}

/// Something that is no file of ours has the name that a file of ours is to have.
pub(super) fn in_the_way(path: &Path) -> io::Error {
    io::Error::other(format!("{} is in the way", path.display()))
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

pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
