//! What a measurement writes: its own, and gone with it, also when it is interrupted.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Something of ours, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    /// Folders around it that we made, too, the innermost first.
    around: Vec<PathBuf>,
}

impl Scratch {
    /// A folder in `parent`, where there may be what is dear to somebody.
    pub(super) fn folder(parent: &Path) -> io::Result<Scratch> {
        let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let around: Vec<PathBuf> =
            parent.ancestors().take_while(is_missing).map(Path::to_owned).collect();
        let path = parent.join(format!("malha-bench-{}", std::process::id()));
        let made = fs::create_dir_all(parent).and_then(|()| fs::create_dir(&path));
        made.inspect_err(|_| remove_empty(&around)).map(|()| Scratch { path, around })
    }

    /// A file, where there is nothing yet.
    pub(super) fn file(path: PathBuf) -> io::Result<Scratch> {
        File::create_new(&path).map(|_| Scratch { path, around: Vec::new() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in nobody's way.
        let is_folder = self.path.is_dir();
        let _ =
            if is_folder { fs::remove_dir_all(&self.path) } else { fs::remove_file(&self.path) };
        remove_empty(&self.around);
    }
}

/// Only while nobody else has put anything there.
fn remove_empty(folders: &[PathBuf]) {
    folders.iter().for_each(|folder| drop(fs::remove_dir(folder)));
}
