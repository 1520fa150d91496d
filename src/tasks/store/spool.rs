//! Archives that arrive: each in a temporary file, and in memory only a piece at a time.

use super::home::Home;
use crate::net::accept::{Seat, Seats};
use crate::tasks::limits::{SPOOL_BYTES, SPOOL_FIRST_BYTES, SPOOL_LARGE_BYTES, SPOOLS_LARGE_MAX};
use crate::tasks::protocol::SpoolId;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where archives arrive. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spools {
    folder: Arc<Path>,
    last: Arc<AtomicU64>,
    is_synced: bool,
    /// Places for those that are kept in large pieces.
    large: Seats,
    /// Of a master: what is made again if it is gone.
    home: Option<Arc<Home>>,
}

impl Spools {
    /// Archives arrive in `folder`, and are on disk before they count as arrived if `is_synced`.
    pub fn new(folder: &Path, is_synced: bool) -> Spools {
        let large = Seats::new(SPOOLS_LARGE_MAX);
        Spools { folder: folder.into(), last: Arc::default(), is_synced, large, home: None }
    }

    /// The same of a master.
    pub(super) fn at(home: &Arc<Home>) -> Spools {
        // Two masters that live have no number in common. One of them may have lost its folder to
        // the other, and must not throw away there what it once had here.
        let last = Arc::new(AtomicU64::new(u64::from(process::id()) << 32));
        Spools { home: Some(Arc::clone(home)), last, ..Spools::new(&home.incoming, true) }
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

    pub(super) fn next(&self) -> SpoolId {
        SpoolId(self.last.fetch_add(1, Ordering::Relaxed))
    }

    /// A new one.
    pub fn begin(&self) -> Spool {
        let (id, spools) = (self.next(), self.clone());
        let (buffer, file) = (Vec::new(), Ok(None));
        Spool { spools, id, buffer, written: 0, seat: None, file, is_kept: false }
    }

    fn create(&self, id: SpoolId) -> io::Result<File> {
        // Not in a folder that is another master's by now.
        self.home.as_ref().map_or(Ok(()), |home| home.ensure())?;
        File::options().write(true).create_new(true).open(self.path(id))
    }
}

/// An archive that arrives. Dropped before it is whole, it is thrown away.
#[derive(Debug)]
pub struct Spool {
    spools: Spools,
    id: SpoolId,
    /// What is not written yet: at most [`SPOOL_BYTES`].
    buffer: Vec<u8>,
    written: usize,
    /// It is kept in large pieces.
    seat: Option<Seat>,
    file: io::Result<Option<File>>,
    is_kept: bool,
}

impl Spool {
    /// Takes in more of it. An error is told at the end.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while self.file.is_ok() && !bytes.is_empty() {
            let room = if self.seat.is_some() { SPOOL_BYTES } else { SPOOL_FIRST_BYTES };
            let (fits, rest) = bytes.split_at(bytes.len().min(room - self.buffer.len()));
            self.buffer.extend_from_slice(fits);
            if self.buffer.len() == room {
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
        let written = match file {
            Some(file) => file.write_all(&self.buffer),
            None => self.spools.create(self.id).and_then(|mut fresh| {
                let written = fresh.write_all(&self.buffer);
                *file = Some(fresh);
                written
            }),
        };
        self.written += self.buffer.len();
        self.buffer.clear();
        if self.seat.is_none() && self.written >= SPOOL_LARGE_BYTES {
            self.seat = self.spools.large.take();
        }
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
