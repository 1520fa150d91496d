//! Two small tasks, for a first look.

use crate::net::failure::Failure;
use crate::tasks::archive::Writer;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An archive of so many bytes would be no example.
const EXAMPLE_BYTES_MAX: u64 = 64 * 1024;

/// The name of a task, its script, and its table.
const EXAMPLES: [(&str, &str, &str); 2] = [
    ("average.zip", include_str!("example/average.py"), include_str!("example/average.csv")),
    ("words.zip", include_str!("example/words.py"), include_str!("example/words.csv")),
];

/// Writes them into a folder, which is made if it is not there. What is there already stays.
pub fn write(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let what = format!("cannot make the folder {}", folder.display());
    fs::create_dir_all(folder).map_err(Failure::from_io(what))?;
    let mut written = Vec::new();
    for (name, script, table) in EXAMPLES {
        let path = folder.join(name);
        let what = || format!("cannot write {}", path.display());
        if path.exists() {
            let why = "it is there already".to_owned();
            return Err(Failure { what: what(), why });
        }
        zip(&path, script, table).map_err(Failure::from_io(what()))?;
        written.push(path);
    }
    Ok(written)
}

/// A master may be looking: what is there is whole.
fn zip(path: &Path, script: &str, table: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    let write = || -> io::Result<()> {
        let mut archive = Writer::create(&part, EXAMPLE_BYTES_MAX)?;
        archive.add("main.py", &mut script.as_bytes())?;
        archive.add("input.csv", &mut table.as_bytes())?;
        archive.finish()?;
        fs::rename(&part, path)
    };
    // Half of it is of no use to anybody.
    write().inspect_err(|_| drop(fs::remove_file(&part)))
}
