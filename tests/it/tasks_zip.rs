//! Archives for the tests, written by hand so that they can be wrong.

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// An entry, with everything that can be a lie.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    /// The name before the bytes themselves, if it is another.
    pub local_name: Option<Vec<u8>>,
    pub method: u16,
    pub flags: u16,
    /// The upper half is the Unix mode.
    pub attributes: u32,
    pub crc: u32,
    pub packed: Vec<u8>,
    pub declared_packed: u32,
    pub declared_bytes: u32,
    /// Where its bytes begin, if not where they were written.
    pub offset: Option<u32>,
}

impl Entry {
    pub fn stored(name: impl Into<Vec<u8>>, bytes: &[u8]) -> Entry {
        let mut crc = Crc::new();
        crc.update(bytes);
        Entry {
            name: name.into(),
            local_name: None,
            method: 0,
            flags: 0,
            attributes: 0,
            crc: crc.sum(),
            packed: bytes.to_vec(),
            declared_packed: bytes.len() as u32,
            declared_bytes: bytes.len() as u32,
            offset: None,
        }
    }

    pub fn deflated(name: impl Into<Vec<u8>>, bytes: &[u8]) -> Entry {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        let packed = encoder.finish().unwrap();
        let declared_packed = packed.len() as u32;
        Entry { method: 8, packed, declared_packed, ..Entry::stored(name, bytes) }
    }
}

/// An archive that is being written.
#[derive(Default)]
pub struct Zip {
    bytes: Vec<u8>,
    list: Vec<u8>,
    entries: u16,
}

impl Zip {
    pub fn new() -> Zip {
        Zip::default()
    }

    pub fn of(entries: &[Entry]) -> Vec<u8> {
        let mut zip = Zip::new();
        entries.iter().for_each(|entry| zip.put(entry));
        zip.finish()
    }

    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        self.put(&Entry::deflated(name, bytes));
    }

    pub fn put(&mut self, entry: &Entry) {
        let local_name = entry.local_name.as_ref().unwrap_or(&entry.name);
        let offset = entry.offset.unwrap_or(self.bytes.len() as u32);
        let common = |name: &[u8]| {
            let mut head = Vec::new();
            for half in [20, entry.flags, entry.method, 0, 0x21] {
                head.extend(u16::to_le_bytes(half));
            }
            for word in [entry.crc, entry.declared_packed, entry.declared_bytes] {
                head.extend(u32::to_le_bytes(word));
            }
            head.extend((name.len() as u16).to_le_bytes());
            head.extend([0, 0]);
            head
        };
        if entry.offset.is_none() {
            self.bytes.extend(b"PK\x03\x04");
            self.bytes.extend(common(local_name));
            self.bytes.extend(local_name);
            self.bytes.extend(&entry.packed);
        }
        self.list.extend(b"PK\x01\x02");
        self.list.extend([20, 3]);
        self.list.extend(common(&entry.name));
        self.list.extend([0; 6]);
        self.list.extend(entry.attributes.to_le_bytes());
        self.list.extend(offset.to_le_bytes());
        self.list.extend(&entry.name);
        self.entries += 1;
    }

    pub fn finish(self) -> Vec<u8> {
        let entries = self.entries;
        self.finish_declaring(entries)
    }

    pub fn finish_declaring(mut self, entries: u16) -> Vec<u8> {
        let offset = self.bytes.len() as u32;
        self.bytes.extend(&self.list);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend(entries.to_le_bytes());
        self.bytes.extend(entries.to_le_bytes());
        self.bytes.extend((self.list.len() as u32).to_le_bytes());
        self.bytes.extend(offset.to_le_bytes());
        self.bytes.extend([0, 0]);
        self.bytes
    }
}

/// All files of an archive, read by the library and not by what is under test.
pub fn unzip(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let archive = rawzip::ZipArchive::from_slice(zip).unwrap();
    let mut files = BTreeMap::new();
    for entry in archive.entries() {
        let entry = entry.unwrap();
        let name = String::from_utf8(entry.file_path().as_bytes().to_vec()).unwrap();
        let packed = archive.get_entry(entry.wayfinder()).unwrap();
        let mut bytes = Vec::new();
        let inflater = flate2::bufread::DeflateDecoder::new(packed.data());
        if !packed.data().is_empty() {
            packed.verifying_reader(inflater).read_to_end(&mut bytes).unwrap();
        }
        assert!(files.insert(name.clone(), bytes).is_none(), "{name} twice");
    }
    files
}
