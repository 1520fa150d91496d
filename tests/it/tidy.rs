//! The house style, as far as a machine can see it.

use std::fs;
use std::path::{Path, PathBuf};

const COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that must be values: no socket, no thread, no clock, no print.
const PURE: [&str; 8] = [
    "protocol.rs",
    "state.rs",
    "session.rs",
    "limits.rs",
    "keywords.rs",
    "sensors.rs",
    "decode.rs",
    "frame.rs",
];
/// Folders in which all files are.
const PURE_ROOMS: [&str; 4] = ["state", "roles", "payload", "protocol"];
const IMPURE_WORDS: [&str; 10] = [
    "std::io",
    "std::thread",
    "crossbeam",
    "parking_lot",
    "Instant",
    "SystemTime",
    "println!",
    "print!(",
    "TcpStream",
    "TcpListener",
];

/// Not in full here, or this file would be the first to have them.
const UNFINISHED: [&str; 4] = [
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
];

/// The parts of the crate that are systems.
const SYSTEMS: [&str; 5] = ["grid", "command", "chat", "charging", "tasks"];

#[test]
fn every_file_is_tidy() {
    let mut complaints = Vec::new();
    let files = [sources(Path::new("src")), sources(Path::new("tests"))].concat();
    assert!(files.len() > 30, "only {} files were found", files.len());
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let shown = path.display();
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            complaints.push(format!("{shown}: {lines} lines"));
        }
        if !text.starts_with("//!") && !text.starts_with("#![doc") {
            complaints.push(format!("{shown}: does not begin by saying what it is"));
        }
        for (index, line) in text.lines().enumerate() {
            let at = format!("{shown}:{}", index + 1);
            complaints.extend(bad_line(&path, line).map(|why| format!("{at}: {why}")));
        }
        for (line, length) in long_functions(&text) {
            complaints.push(format!("{shown}:{line}: a function of {length} lines"));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// What is wrong with a line, if anything is.
fn bad_line(path: &Path, line: &str) -> Option<String> {
    if line.chars().count() > COLUMNS_MAX && !line.contains("http") {
        return Some(format!("more than {COLUMNS_MAX} columns"));
    }
    if line.ends_with(' ') || line.contains('\t') {
        return Some("stray white space".to_owned());
    }
    if let Some(word) = UNFINISHED.into_iter().find(|word| line.contains(word)) {
        return Some(format!("`{word}`: finish it, or say in words what is left out"));
    }
    if let Some(word) = IMPURE_WORDS.into_iter().find(|word| is_pure(path) && line.contains(word)) {
        return Some(format!("`{word}` in a pure file"));
    }
    let uses = modules_used(line).find(|used| !may_use(path, used));
    uses.map(|used| format!("`crate::{used}` may not be used here"))
}

fn is_pure(path: &Path) -> bool {
    let in_src = path.starts_with("src");
    let name = path.file_name().unwrap().to_str().unwrap();
    in_src
        && (PURE.contains(&name)
            || path.iter().any(|part| PURE_ROOMS.iter().any(|room| part == *room)))
}

/// `net` knows no system, and a system knows `net` and itself.
fn may_use(path: &Path, used: &str) -> bool {
    let part = path.strip_prefix("src").ok().and_then(|inside| inside.iter().next());
    match part.and_then(|part| part.to_str()) {
        Some("net") => used == "net",
        Some("web") => used == "net" || used == "web",
        Some(system) if SYSTEMS.contains(&system) => {
            used == "net" || used == "web" || used == system
        }
        _ => true,
    }
}

/// The top modules that a line names, as `crate::grid` names `grid`.
fn modules_used(line: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| !(c.is_alphanumeric() || c == '_');
    line.split("crate::").skip(1).map(move |rest| rest.split(ends).next().unwrap_or_default())
}

fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// rustfmt puts a function's last brace under its first letter, which is all we need to know.
fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if !begins_function(line.trim_start()) {
            continue;
        }
        let (close, bare) =
            (format!("{}}}", " ".repeat(indent)), format!("{};", " ".repeat(indent)));
        let ends = |line: &&str| **line == close || line.starts_with(&bare);
        let length = lines[start..].iter().position(ends).map_or(0, |n| n + 1);
        if length > FUNCTION_LINES_MAX {
            long.push((start + 1, length));
        }
    }
    long
}

fn begins_function(words: &str) -> bool {
    let is_modifier = |word: &str| {
        word == "const" || word == "unsafe" || word == "async" || word.starts_with("pub")
    };
    let first = words.split(' ').find(|word| !is_modifier(word));
    let is_whole = words.ends_with(';') || words.ends_with('}');
    first == Some("fn") && !is_whole
}

/// The tables of who waits for whom prove something only if everybody is in one of them.
#[test]
fn every_thread_is_in_a_table() {
    let chapters = SYSTEMS.map(|system| format!("src/{system}/README.md"));
    let pages = chapters.iter().map(String::as_str).chain(["README.md"]);
    let tables: String = pages.map(|page| fs::read_to_string(page).unwrap()).collect();
    let rows: Vec<&str> = tables.lines().filter(|line| line.starts_with("| ")).collect();
    let mut missing = Vec::new();
    for path in sources(Path::new("src")).iter().filter(|path| !path.starts_with("src/bench")) {
        let text = fs::read_to_string(path).unwrap();
        let starts = ["threads::spawn", "threads::detach"].map(|call| text.match_indices(call));
        for (at, _) in starts.into_iter().flatten() {
            let call = text[at..].split(';').next().unwrap();
            // A name that is not in the call stands just before it.
            let named = call.split('"').nth(1).or_else(|| text[..at].rsplit('"').nth(1));
            let of_many = [("{}", "1"), ("{last}", "1"), ("{number}", "1"), ("{name}", "central")];
            let fill = |name: String, (hole, one): (&str, &str)| name.replace(hole, one);
            let name = of_many.into_iter().fold(named.unwrap().to_owned(), fill);
            if !rows.iter().any(|row| row.contains(&format!("`{name}`"))) {
                missing.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "in no table: {missing:#?}");
}

#[test]
fn what_is_untidy_is_seen() {
    let pure = Path::new("src/grid/state/mod.rs");
    assert!(bad_line(pure, "use std::io;").is_some());
    assert!(bad_line(pure, "use crate::cli::Grid;").is_some());
    assert!(bad_line(pure, "use crate::net::clock::Millis;").is_none());
    assert!(bad_line(Path::new("src/net/asked.rs"), "use crate::grid::state;").is_some());
    assert!(bad_line(Path::new("src/net/asked.rs"), "use std::io;").is_none());
    assert!(bad_line(pure, &"x".repeat(101)).is_some());
    assert!(bad_line(pure, &format!("// {}", UNFINISHED[0])).is_some());
    let body = "    let x = 1;\n".repeat(69);
    let text = format!("pub(super) const fn long() {{\n{body}}}\n");
    assert_eq!(long_functions(&text), [(1, 71)]);
    assert_eq!(long_functions(&text.replacen("    let x = 1;\n", "", 1)), []);
}
