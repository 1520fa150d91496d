//! Looks into the folder of tasks, also while the master runs.

use crate::net::stop::Stop;
use crate::net::trace::Trace;
use crate::tasks::limits::{FOLDER_MS, ZIP_END_BYTES};
use crate::tasks::protocol::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What a file was like when it was looked at.
type Look = (u64, Option<SystemTime>, bool);

/// What is known of a folder.
#[derive(Debug, Default)]
pub(super) struct Folder {
    known: BTreeMap<Name, Look>,
    told: Option<(Vec<Name>, bool)>,
    /// What looks like a task and has no name for one, and why; and what of it was told.
    odd: BTreeMap<OsString, &'static str>,
    odd_told: BTreeSet<OsString>,
    failed: bool,
}

impl Folder {
    /// Tells what is there and whole, and whether that is all, whenever it has changed, until it is
    /// over.
    pub(super) fn watch(
        path: &Path,
        over: &Stop,
        trace: &Trace,
        tell: impl Fn(Vec<Name>, bool) -> bool,
    ) {
        let mut folder = Folder::default();
        loop {
            match folder.look(path) {
                Ok(names) => {
                    folder.failed = false;
                    folder.tell_odd(trace);
                    if !names.is_none_or(|(names, is_all)| tell(names, is_all)) {
                        return;
                    }
                }
                Err(error) if !folder.failed => {
                    folder.failed = true;
                    trace.warn(format_args!("cannot look into {}: {error}", path.display()));
                }
                Err(_) => {}
            }
            if over.wait(Duration::from_millis(FOLDER_MS)) {
                return;
            }
        }
    }

    /// What is there and whole, and whether that is all, if something has changed.
    ///
    /// A file that is being copied there is not whole yet: one that does not end as a ZIP does
    /// must be the same twice. Whoever waits for the last task must not take such for none.
    fn look(&mut self, path: &Path) -> io::Result<Option<(Vec<Name>, bool)>> {
        let mut known = BTreeMap::new();
        self.odd.clear();
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            let Some((name, look)) = self.look_at(&path) else { continue };
            known.insert(name, look);
        }
        self.known = known;
        let whole = self.known.iter().filter(|(_, (.., is_whole))| *is_whole);
        let names: Vec<Name> = whole.map(|(name, _)| name.clone()).collect();
        let is_all = names.len() == self.known.len();
        let found = Some((names, is_all));
        if self.told == found {
            return Ok(None);
        }
        self.told.clone_from(&found);
        Ok(found)
    }

    /// Says once which files are handed out to nobody.
    fn tell_odd(&mut self, trace: &Trace) {
        for (name, why) in &self.odd {
            if self.odd_told.insert(name.clone()) {
                trace.warn(format_args!("{name:?} is not handed out: {why}"));
            }
        }
        self.odd_told.retain(|name| self.odd.contains_key(name));
    }

    fn look_at(&mut self, path: &Path) -> Option<(Name, Look)> {
        if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip")) {
            return None;
        }
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let name = path.file_name()?;
        let name = match name.to_str().ok_or("the name is not UTF-8").and_then(Name::plain) {
            Ok(name) => name,
            Err(why) => {
                self.odd.insert(name.to_owned(), why);
                return None;
            }
        };
        let (size, time) = (metadata.len(), metadata.modified().ok());
        // One that is written over must become whole again.
        let is_same = self.known.get(&name).is_some_and(|known| (known.0, known.1) == (size, time));
        let is_whole = is_same || ends_as_zip(path);
        Some((name, (size, time, is_whole)))
    }
}

/// Whether the last record of a ZIP is there (APPNOTE, 4.3.16) and ends where the file does.
fn ends_as_zip(path: &Path) -> bool {
    const RECORD_BYTES: usize = 22;
    let tail = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(ZIP_END_BYTES)))?;
        let mut tail = Vec::new();
        file.take(ZIP_END_BYTES).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = tail().unwrap_or_default();
    let is_end = |at: usize| {
        let record = &tail[at..];
        let comment = usize::from(u16::from_le_bytes([record[20], record[21]]));
        record.starts_with(b"PK\x05\x06") && record.len() == RECORD_BYTES + comment
    };
    // Nearly always without a comment, at the very end.
    (0..(tail.len() + 1).saturating_sub(RECORD_BYTES)).rev().any(is_end)
}
