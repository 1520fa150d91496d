//! Writing an archive of ours.

use crate::tasks::limits::COPY_BYTES;
use flate2::{Compression, write::DeflateEncoder};
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, ZipArchiveWriter};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

/// 1980-01-01, the first day that an archive can tell. Without a date an entry has day 0, at which
/// some readers fail; with the real one, the same files would not be the same archive.
const FIRST_DAY_S: i64 = 315_532_800;

/// An archive that is being written, and cannot grow beyond a limit.
#[derive(Debug)]
pub struct Writer<W: Write = BufWriter<File>>(ZipArchiveWriter<Limited<W>>);

impl Writer {
    /// Makes the archive, or begins it anew. What would make it larger than `bytes_max` fails with
    /// [`ErrorKind::FileTooLarge`].
    pub fn create(path: &Path, bytes_max: u64) -> io::Result<Writer> {
        let to = BufWriter::with_capacity(COPY_BYTES, File::create(path)?);
        Ok(Writer::to(to, bytes_max))
    }
}

impl<W: Write> Writer<W> {
    /// Begins an archive of at most `bytes_max`.
    pub fn to(to: W, bytes_max: u64) -> Writer<W> {
        Writer(ZipArchiveWriter::new(Limited { to, left: bytes_max }))
    }

    /// Adds a file, as far as it can be read.
    pub fn add(&mut self, name: &str, from: &mut dyn Read) -> io::Result<()> {
        let mut buffer = vec![0; COPY_BYTES];
        let mut size = read(from, &mut buffer)?;
        // A compressor is 300 KiB of memory to set up: too much for nothing.
        let method = match size {
            0 => CompressionMethod::STORE,
            _ => CompressionMethod::DEFLATE,
        };
        let file = self.0.new_file(name).compression_method(method).unix_permissions(0o644);
        let file = file.last_modified(UtcDateTime::from_unix(FIRST_DAY_S));
        let (mut entry, config) = file.start().map_err(plain)?;
        if size == 0 {
            let (_, sums) = config.wrap(&mut entry).finish().map_err(plain)?;
            entry.finish(sums).map_err(plain)?;
            return Ok(());
        }
        // Results are sent once: the time to compress them counts as much as their size.
        let encoder = DeflateEncoder::new(&mut entry, Compression::fast());
        let mut to = config.wrap(encoder);
        while size > 0 {
            to.write_all(&buffer[..size])?;
            size = read(from, &mut buffer)?;
        }
        let (encoder, sums) = to.finish().map_err(plain)?;
        encoder.finish()?;
        entry.finish(sums).map_err(plain)?;
        Ok(())
    }

    /// Writes the list of what the archive holds.
    pub fn finish(self) -> io::Result<W> {
        let mut to = self.0.finish().map_err(plain)?.to;
        to.flush()?;
        Ok(to)
    }
}

fn read(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// The system's own error, if it is one.
fn plain(error: rawzip::Error) -> io::Error {
    match error.into_kind() {
        rawzip::ErrorKind::IO(error) => error,
        kind => io::Error::other(kind.to_string()),
    }
}

#[derive(Debug)]
struct Limited<W> {
    to: W,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64).ok_or(ErrorKind::FileTooLarge)?;
        let size = self.to.write(bytes)?;
        self.left = left + (bytes.len() - size) as u64;
        Ok(size)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
