//! Hostile archives, each a lie of its own.

use crate::folder::Folder;
use crate::tasks_zip::{Entry, Zip, unzip};
use malha::tasks::archive::{Trouble, Writer, flaw, unpack};
use malha::tasks::limits::{DEPTH_MAX, ENTRIES_MAX, NAME_BYTES_MAX, PART_BYTES_MAX};
use proptest::prelude::*;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

/// Unpacks; what came out, or why nothing did.
fn attempt(zip: &[u8]) -> Result<Vec<String>, String> {
    let folder = Folder::new();
    let archive = folder.path().join("in.zip");
    std::fs::write(&archive, zip).unwrap();
    let into = folder.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let outcome = unpack(&archive, &into);
    // Whatever it was, nothing may be outside.
    assert_eq!(folder.names("."), ["in.zip", "into"]);
    match outcome {
        Ok(()) => Ok(folder.names("into")),
        Err(Trouble::Refused(why)) => Err(why),
        Err(Trouble::Broken(error)) => panic!("{error}"),
    }
}

#[track_caller]
fn refused(zip: &[u8], why: &str) {
    let said = attempt(zip).expect_err(why);
    assert!(said.contains(why), "refused, but because {said}");
}

fn of_one(entry: Entry) -> Vec<u8> {
    Zip::of(&[entry])
}

#[test]
fn an_honest_archive_is_unpacked() {
    let folder = Folder::new();
    let archive = folder.path().join("in.zip");
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(n) >> 8) as u8).collect();
    let entries = [
        Entry::stored("a/", b""),
        Entry::stored("a/stored", &bytes),
        Entry { attributes: 0o100_755 << 16, ..Entry::deflated("b/ç/deflated", &bytes) },
        Entry::deflated("empty", b""),
        Entry::stored("also empty", b""),
        Entry::deflated("inner.zip", &Zip::of(&[Entry::stored("../x", b"x")])),
    ];
    std::fs::write(&archive, Zip::of(&entries)).unwrap();
    unpack(&archive, folder.path()).unwrap();
    for name in ["a/stored", "b/ç/deflated"] {
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), bytes, "{name}");
    }
    assert_eq!(std::fs::read(folder.path().join("empty")).unwrap(), b"");
    let mode = folder.path().join("b/ç/deflated").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7111, 0, "its modes are not taken over");
    assert_eq!(attempt(&Zip::new().finish()), Ok(vec![]));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (name, why) in [
        ("../x", "leads out"),
        ("a/../../x", "leads out"),
        ("a/..", "leads out"),
        ("..", "leads out"),
        ("/etc/x", "absolute"),
        ("//x", "absolute"),
        ("/", "absolute"),
        ("..\\x", "backslash"),
        ("a\\b", "backslash"),
        ("C:x", "colon"),
        ("C:/x", "colon"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x1b[2J", "control"),
        ("", "empty part"),
        (".", "empty part"),
        ("./x", "empty part"),
        ("a//b", "empty part"),
        ("a/./b", "empty part"),
    ] {
        refused(&of_one(Entry::stored(name, b"x")), why);
    }
    refused(&of_one(Entry::stored(*b"\xff\xfe", b"x")), "UTF-8");
    let long = "x".repeat(PART_BYTES_MAX);
    assert_eq!(attempt(&of_one(Entry::stored(long.clone(), b"x"))), Ok(vec![long.clone()]));
    refused(&of_one(Entry::stored(format!("{long}x"), b"x")), "too long");
    let parts = NAME_BYTES_MAX / 2;
    refused(&of_one(Entry::stored("a/".repeat(parts) + "bc", b"x")), "too long");
    let deep = "a/".repeat(DEPTH_MAX - 1) + "b";
    assert_eq!(attempt(&of_one(Entry::stored(deep.clone(), b"x"))), Ok(vec!["a".to_owned()]));
    refused(&of_one(Entry::stored(format!("a/{deep}"), b"x")), "too deep");
}

#[test]
fn what_is_no_file_is_refused() {
    for (mode, why) in [
        (0o120_777, "is a link"),
        (0o010_644, "neither a file nor a folder"),
        (0o020_644, "neither a file nor a folder"),
        (0o060_644, "neither a file nor a folder"),
        (0o140_644, "neither a file nor a folder"),
        (0o040_755, "neither a file nor a folder"),
    ] {
        let entry = Entry { attributes: mode << 16, ..Entry::stored("x", b"/etc/passwd") };
        refused(&of_one(entry), why);
    }
    let folder = Entry { attributes: 0o120_777 << 16, ..Entry::stored("x/", b"") };
    refused(&of_one(folder), "is a link");
    refused(&of_one(Entry::stored("x/", b"bytes")), "is a folder and holds bytes");
}

#[test]
fn names_that_collide_are_refused() {
    let twice = [Entry::stored("main.py", b"good"), Entry::stored("main.py", b"bad")];
    refused(&Zip::of(&twice), "two entries are called main.py");
    let both = [Entry::stored("a", b"x"), Entry::stored("a/b", b"x")];
    refused(&Zip::of(&both), "a is both a file and a folder");
    let far = [Entry::stored("a/b/c/d", b"x"), Entry::stored("a/b", b"x")];
    refused(&Zip::of(&far), "a/b is both a file and a folder");
    refused(&Zip::of(&[Entry::stored("a", b"x"), Entry::stored("a/", b"")]), "two entries");
    let between = [Entry::stored("a", b""), Entry::stored("a!", b""), Entry::stored("a/b", b"")];
    refused(&Zip::of(&between), "a is both a file and a folder");
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 10_000_000];
    refused(&of_one(Entry::deflated("x", &zeros)), "more than 200 times its size");
    // It declares less than it is.
    let liar = Entry { declared_bytes: 10, ..Entry::deflated("x", &zeros) };
    refused(&of_one(liar), "x is damaged: Invalid size");
    // It declares more than there may be.
    let boaster = Entry { declared_bytes: 0x1000_0001, ..Entry::deflated("x", b"x") };
    refused(&of_one(boaster), "more than 256 MiB");
    // Sizes that are elsewhere, and not there.
    let elsewhere = Entry { declared_bytes: u32::MAX, ..Entry::deflated("x", b"x") };
    refused(&of_one(elsewhere), "more than 256 MiB");
    // Enough of it that the ratio is fine; not even the sizes lie.
    let part = Entry::deflated("x", &noise(17, 2_000_000));
    let mut many: Vec<Entry> =
        (0..20).map(|n| Entry { name: format!("{n}").into_bytes(), ..part.clone() }).collect();
    let large = Entry::deflated("large", &vec![0; 130_000_000]);
    many.push(Entry { declared_bytes: 10, ..large.clone() });
    many.push(Entry { declared_bytes: 10, name: b"larger".to_vec(), ..large });
    refused(&Zip::of(&many), "Invalid size");
    many.truncate(20);
    assert_eq!(attempt(&Zip::of(&many)).unwrap().len(), 20);
}

#[test]
fn entries_that_share_bytes_are_refused() {
    let kernel = Entry::deflated("a", &[0; 100]);
    let overlapping = Entry { offset: Some(0), name: b"b".to_vec(), ..kernel.clone() };
    refused(&Zip::of(&[kernel.clone(), overlapping.clone()]), "something else");
    let same = Entry { offset: Some(0), ..Entry::stored("a", b"x") };
    refused(&Zip::of(&[Entry::stored("a", b"x"), same]), "two entries are called a");
    // A stored entry that holds another whole entry.
    let inner = Zip::of(&[Entry::stored("b", b"x")]);
    let outer = Entry::stored("a", &inner);
    let head = 30 + 1;
    let hidden = Entry { offset: Some(head), ..Entry::stored("b", b"x") };
    refused(&Zip::of(&[outer, hidden]), "share the same bytes");
    // Bytes of the list itself.
    let long = Entry { declared_packed: 60, declared_bytes: 60, ..Entry::stored("a", b"x") };
    refused(&of_one(long), "share the same bytes");
}

#[test]
fn lies_are_refused() {
    let honest = Entry::deflated("a", b"some bytes, some bytes");
    let crc = Entry { crc: honest.crc ^ 1, ..honest.clone() };
    refused(&of_one(crc), "a is damaged: Invalid checksum");
    let short = Entry { declared_bytes: honest.declared_bytes - 1, ..honest.clone() };
    refused(&of_one(short), "a is damaged: Invalid size");
    let long = Entry { declared_bytes: honest.declared_bytes + 1, ..honest.clone() };
    refused(&of_one(long), "a is damaged: Invalid size");
    let mut more = honest.clone();
    more.packed.extend(b"hidden");
    more.declared_packed += 6;
    refused(&of_one(more), "ends before its last byte");
    let mut cut = honest.clone();
    cut.packed.truncate(5);
    cut.declared_packed = 5;
    refused(&of_one(cut), "a is damaged");
    let other = Entry { local_name: Some(b"b".to_vec()), ..honest.clone() };
    refused(&of_one(other), "a is something else");
    refused(&of_one(Entry { flags: 1, ..honest.clone() }), "a is encrypted");
    refused(&of_one(Entry { method: 12, ..honest.clone() }), "a way that we do not know");
    let mut zip = Zip::new();
    zip.put(&honest);
    refused(&zip.finish_declaring(0), "more entries than it declares");
    let mut zip = Zip::new();
    zip.put(&honest);
    refused(&zip.finish_declaring(2), "fewer entries than it declares");
}

#[test]
fn too_many_entries_are_refused() {
    let most = ENTRIES_MAX as usize;
    let mut entries: Vec<Entry> = (0..=most).map(|n| Entry::stored(format!("{n}"), b"")).collect();
    refused(&Zip::of(&entries), "10001 entries; 10000 are the limit");
    entries.pop();
    assert_eq!(attempt(&Zip::of(&entries)).unwrap().len(), most);
}

#[test]
fn what_is_no_archive_is_refused() {
    refused(b"", "cannot be read");
    refused(b"PK\x05\x06", "cannot be read");
    refused(b"print('no archive')", "cannot be read");
    let whole = Zip::of(&[Entry::deflated("a", b"some bytes"), Entry::stored("b", b"more")]);
    for size in 0..whole.len() {
        refused(&whole[..size], "");
    }
    assert!(attempt(&whole).is_ok());
}

#[test]
fn ours_can_be_read_and_stops_at_its_limit() {
    let folder = Folder::new();
    let path = folder.path().join("out.zip");
    let bytes = noise(3, 300_000);
    let mut writer = Writer::create(&path, 1_000_000).unwrap();
    writer.add("a/ç.txt", &mut &bytes[..]).unwrap();
    writer.add("empty", &mut &b""[..]).unwrap();
    writer.finish().unwrap();
    let zip = std::fs::read(&path).unwrap();
    assert_eq!(unzip(&zip)["a/ç.txt"], bytes);
    assert_eq!(attempt(&zip), Ok(vec!["a".to_owned(), "empty".to_owned()]));
    let mut writer = Writer::create(&path, 200_000).unwrap();
    let error = writer.add("a", &mut &bytes[..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileTooLarge);
}

/// Bytes that do not deflate.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    })
    .take(size)
    .collect()
}

proptest! {
    #[test]
    fn damaged_archives_never_surprise(at in 0_usize..400, bit in 0_u8..8, cut in 0_usize..400) {
        let mut zip = Zip::of(&[
            Entry::deflated("main.py", b"print('x')\nprint('y')\n"),
            Entry::stored("folder/", b""),
            Entry::deflated("folder/input.csv", b"a,b\n1,2\n1,2\n1,2\n"),
        ]);
        let size = zip.len();
        zip[at % size] ^= 1 << bit;
        zip.truncate(size - cut % 3);
        // Refused or unpacked; `attempt` panics on anything else.
        let _ = attempt(&zip);
    }

    #[test]
    fn a_name_without_flaw_stays_inside(name in "[a./\\\\: \u{0}-\u{1f}]{0,12}") {
        if flaw(&name).is_none() {
            let plain = name.strip_suffix('/').unwrap_or(&name);
            let is_part = |part: &str| !["", ".", ".."].contains(&part);
            prop_assert!(plain.split('/').all(is_part), "{name:?}");
            prop_assert!(!name.contains(['\\', ':', '\0', '\n']), "{name:?}");
        }
    }
}

/// Day 0 is none, and there are readers that fail at it.
#[test]
fn entries_have_a_date() {
    let folder = Folder::new();
    let path = folder.path().join("out.zip");
    let mut writer = Writer::create(&path, 1_000_000).unwrap();
    writer.add("full", &mut b"x".as_slice()).unwrap();
    writer.add("empty", &mut b"".as_slice()).unwrap();
    writer.finish().unwrap();
    let zip = std::fs::read(&path).unwrap();
    // APPNOTE 4.3.7 and 4.3.12: the date is at 12 of a local header, at 14 of a central one.
    for (mark, at) in [(b"PK\x03\x04", 12), (b"PK\x01\x02", 14)] {
        let heads = zip.windows(4).enumerate().filter(|(_, bytes)| bytes == mark);
        let days: Vec<u16> = heads
            .map(|(head, _)| u16::from_le_bytes([zip[head + at], zip[head + at + 1]]))
            .collect();
        assert_eq!(days, [1 << 5 | 1; 2], "1980-01-01");
    }
}
