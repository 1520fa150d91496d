//! Unpacking a foreign archive.
//!
//! Two passes: the first reads the list and refuses what can be refused before a byte is written;
//! the second unpacks, and believes nothing that the list declared: sizes are counted as they come.

use super::names::flaw;
use crate::tasks::limits::{COPY_BYTES, ENTRIES_MAX, RATIO_MAX, UNPACKED_BYTES_MAX};
use flate2::bufread::DeflateDecoder;
use rawzip::{
    CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder,
    ZipEntry, ZipFileHeaderRecord,
};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// Why an archive was not unpacked.
#[derive(Debug)]
pub enum Trouble {
    /// There is something wrong with the archive, in words for its owner.
    Refused(String),
    /// There is something wrong with us: a full disk.
    Broken(io::Error),
}

type Outcome<T> = Result<T, Trouble>;

fn refused<T>(why: impl Display) -> Outcome<T> {
    Err(Trouble::Refused(why.to_string()))
}

/// Any error of the library: a truncated archive, mostly.
fn unreadable(error: impl Display) -> Trouble {
    Trouble::Refused(format!("the archive cannot be read: {error}"))
}

/// Unpacks the archive at `archive` into the empty folder `into`, in at most 200 KiB of memory and
/// a list of names. What was unpacked before a refusal stays there.
pub fn unpack(archive: &Path, into: &Path) -> Outcome<()> {
    let file = File::open(archive).map_err(Trouble::Broken)?;
    let archive_bytes = file.metadata().map_err(Trouble::Broken)?.len();
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(unreadable)?;
    let list = list(&archive, &mut buffer)?;
    refuse_overlaps(&archive, &list, &mut buffer)?;
    let left = UNPACKED_BYTES_MAX.min(archive_bytes * RATIO_MAX);
    let mut count = Count { left, archive_bytes, buffer: vec![0; COPY_BYTES] };
    for (name, item) in &list {
        let path = into.join(name);
        match item {
            Item::Folder => fs::create_dir_all(path).map_err(Trouble::Broken)?,
            Item::File(entry) => {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent).map_err(Trouble::Broken)?;
                }
                let fresh = OpenOptions::new().write(true).create_new(true).open(path);
                let mut to = fresh.map_err(Trouble::Broken)?;
                extract(&archive, name, entry, &mut to, &mut count)?;
            }
        }
    }
    Ok(())
}

/// One entry, by its name without a last `/`.
enum Item {
    Folder,
    File(Entry),
}

struct Entry {
    place: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
}

/// The whole list, if there is nothing wrong with it.
fn list(archive: &ZipArchive<FileReader>, buffer: &mut [u8]) -> Outcome<BTreeMap<String, Item>> {
    let declared = archive.entries_hint();
    if declared > ENTRIES_MAX {
        return refused(format_args!("{declared} entries; {ENTRIES_MAX} are the limit"));
    }
    let mut list = BTreeMap::new();
    let mut seen = 0;
    let mut unpacked_bytes: u64 = 0;
    let mut entries = archive.entries(buffer);
    while let Some(record) = entries.next_entry().map_err(unreadable)? {
        seen += 1;
        if seen > declared {
            return refused("the archive has more entries than it declares");
        }
        unpacked_bytes = unpacked_bytes.saturating_add(record.uncompressed_size_hint());
        if unpacked_bytes > UNPACKED_BYTES_MAX {
            return refused(too_large());
        }
        let (name, item) = checked(&record)?;
        let shown = name.escape_default().to_string();
        if list.insert(name, item).is_some() {
            return refused(format_args!("two entries are called {shown}"));
        }
    }
    if seen < declared {
        return refused("the archive has fewer entries than it declares");
    }
    for name in list.keys() {
        let mut above = name.rmatch_indices('/').map(|(at, _)| &name[..at]);
        if let Some(file) = above.find(|above| matches!(list.get(*above), Some(Item::File(_)))) {
            return refused(format_args!("{} is both a file and a folder", file.escape_default()));
        }
    }
    Ok(list)
}

fn checked(record: &ZipFileHeaderRecord<'_>) -> Outcome<(String, Item)> {
    let raw = record.file_path();
    let Ok(name) = std::str::from_utf8(raw.as_bytes()) else {
        return refused(format_args!("the name {} is no UTF-8", raw.as_bytes().escape_ascii()));
    };
    let shown = name.escape_default();
    if let Some(flaw) = flaw(name) {
        return refused(format_args!("the name {shown} is refused: {flaw}"));
    }
    match (record.external_attributes() >> 16 & FILE_TYPE, record.is_dir()) {
        (0, _) | (FOLDER, true) | (REGULAR, false) => {}
        (LINK, _) => return refused(format_args!("{shown} is a link")),
        _ => return refused(format_args!("{shown} is neither a file nor a folder")),
    }
    if record.flags().is_encrypted() {
        return refused(format_args!("{shown} is encrypted"));
    }
    let method = record.compression_method();
    if record.is_dir() {
        if record.compressed_size_hint() > 0 || record.uncompressed_size_hint() > 0 {
            return refused(format_args!("{shown} is a folder and holds bytes"));
        }
        return Ok((name.trim_end_matches('/').to_owned(), Item::Folder));
    }
    if method != CompressionMethod::STORE && method != CompressionMethod::DEFLATE {
        return refused(format_args!("{shown} is compressed in a way that we do not know"));
    }
    Ok((name.to_owned(), Item::File(Entry { place: record.wayfinder(), method })))
}

/// The part of a Unix mode that says what a file is.
const FILE_TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Bytes that belong to two entries are how a small archive holds more than it has.
fn refuse_overlaps(
    archive: &ZipArchive<FileReader>,
    list: &BTreeMap<String, Item>,
    buffer: &mut [u8],
) -> Outcome<()> {
    let mut ranges = Vec::new();
    for (name, item) in list {
        let Item::File(file) = item else { continue };
        let entry = archive.get_entry(file.place).map_err(unreadable)?;
        let header = entry.local_header(buffer).map_err(unreadable)?;
        let method = header.compression_method();
        if header.file_path().as_bytes() != name.as_bytes() || method != file.method {
            let shown = name.escape_default();
            return refused(format_args!("{shown} is something else in the archive's list"));
        }
        ranges.push(entry.compressed_data_range());
    }
    ranges.sort_unstable();
    let ends = ranges.iter().skip(1).map(|(start, _)| *start).chain([archive.directory_offset()]);
    if ranges.iter().zip(ends).any(|((_, end), next)| *end > next) {
        return refused("two entries share the same bytes");
    }
    Ok(())
}

/// How much may still be unpacked, and through what.
struct Count {
    left: u64,
    archive_bytes: u64,
    buffer: Vec<u8>,
}

impl Count {
    fn take(&mut self, size: usize) -> Outcome<()> {
        match self.left.checked_sub(size as u64) {
            Some(left) => self.left = left,
            None if self.archive_bytes * RATIO_MAX < UNPACKED_BYTES_MAX => {
                return refused(format_args!(
                    "the archive unpacks to more than {RATIO_MAX} times its size"
                ));
            }
            None => return refused(too_large()),
        }
        Ok(())
    }
}

fn too_large() -> String {
    format!("the archive unpacks to more than {} MiB", UNPACKED_BYTES_MAX >> 20)
}

fn extract(
    archive: &ZipArchive<FileReader>,
    name: &str,
    file: &Entry,
    to: &mut File,
    count: &mut Count,
) -> Outcome<()> {
    let entry = archive.get_entry(file.place).map_err(unreadable)?;
    let (start, end) = entry.compressed_data_range();
    let packed = BufReader::with_capacity(COPY_BYTES, entry.reader());
    if file.method == CompressionMethod::STORE {
        return copy(&entry, name, packed, to, count);
    }
    let mut inflater = DeflateDecoder::new(packed);
    copy(&entry, name, &mut inflater, to, count)?;
    if inflater.total_in() != end - start {
        let shown = name.escape_default();
        return refused(format_args!("{shown} ends before its last byte in the archive"));
    }
    Ok(())
}

fn copy(
    entry: &ZipEntry<'_, FileReader>,
    name: &str,
    from: impl Read,
    to: &mut File,
    count: &mut Count,
) -> Outcome<()> {
    let mut from = entry.verifying_reader(from);
    loop {
        match from.read(&mut count.buffer) {
            Ok(0) => return Ok(()),
            Ok(size) => {
                count.take(size)?;
                to.write_all(&count.buffer[..size]).map_err(Trouble::Broken)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return refused(format_args!("{} is damaged: {error}", name.escape_default()));
            }
        }
    }
}
