//! Names and the hashes of their passwords, and the thread that compares them.

use crate::net::failure::Failure;
use crate::net::limits::{
    HASH_KIB_MAX, HASH_PASSES_MAX, REST_PER_CHECK, USER_BYTES_MAX, USER_PASSWORD_BYTES_MAX,
};
use crate::net::stop::Stop;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use crossbeam_channel::Receiver;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

/// What came of a password's check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Right,
    /// It is not the password of that name.
    Wrong,
    /// Nobody has that name.
    Nobody,
}

/// A password that somebody gave for a name.
pub struct Job<W> {
    /// Who gave it.
    pub who: W,
    /// For whom.
    pub name: String,
    /// What was given.
    pub password: Vec<u8>,
}

/// Who may come in.
#[derive(Debug, Clone, Default)]
pub struct Users(BTreeMap<String, String>);

impl Users {
    /// Reads a file of lines `name:hash`.
    pub fn read(path: &Path) -> Result<Users, Failure> {
        let what = || format!("cannot read users from {}", path.display());
        let text = fs::read_to_string(path).map_err(Failure::from_io(what()))?;
        let users = Users::parse(&text).map_err(|why| Failure { what: what(), why })?;
        if users.0.is_empty() {
            let why = "nobody is in it; add somebody with `malha command adduser`".to_owned();
            return Err(Failure { what: what(), why });
        }
        Ok(users)
    }

    /// Lines `name:hash`; an error names the line, and shows nothing of it.
    pub fn parse(text: &str) -> Result<Users, String> {
        let mut users = BTreeMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |why: &str| format!("line {}: {why}", index + 1);
            let (name, hash) = line.trim().split_once(':').ok_or_else(|| wrong("no `:`"))?;
            check_name(name).map_err(|why| wrong(&why))?;
            check_hash(hash).map_err(|why| wrong(&why))?;
            if users.insert(name.to_owned(), hash.to_owned()).is_some() {
                return Err(wrong("the name is there twice"));
            }
        }
        Ok(Users(users))
    }

    /// Whether `password` is the password of `name`. Takes as long where nobody has that name: the
    /// password is then compared with somebody else's, and wrong whatever comes of it.
    pub fn check(&self, name: &str, password: &[u8]) -> Verdict {
        let known = self.0.get(name);
        let Some(hash) = known.or_else(|| self.0.values().next()) else { return Verdict::Nobody };
        let verify = |hash| Argon2::default().verify_password(password, &hash);
        let is_right = PasswordHash::new(hash).is_ok_and(|hash| verify(hash).is_ok());
        match (known, is_right) {
            (None, _) => Verdict::Nobody,
            (Some(_), false) => Verdict::Wrong,
            (Some(_), true) => Verdict::Right,
        }
    }
}

/// Checks until there is no more to check, nobody to `tell`, or the server is over. A check takes a
/// processor for some hundredths of a second on purpose; after a wrong password all of them rest,
/// so that guessing takes a bounded share of the server's time.
pub fn check_all<W>(
    users: &Users,
    jobs: &Receiver<Job<W>>,
    over: &Stop,
    mut tell: impl FnMut(W, Verdict) -> bool,
) {
    for Job { who, name, password } in jobs {
        let start = Instant::now();
        let verdict = users.check(&name, &password);
        let took = start.elapsed();
        if !tell(who, verdict) || verdict != Verdict::Right && over.wait(took * REST_PER_CHECK) {
            return;
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == ':';
    if name.is_empty() || name.len() > USER_BYTES_MAX || name.contains(is_bad) {
        let rule = "without white space, `:` and control characters";
        return Err(format!("a name has 1 to {USER_BYTES_MAX} bytes, {rule}"));
    }
    Ok(())
}

fn check_hash(hash: &str) -> Result<(), String> {
    let parsed = PasswordHash::new(hash).map_err(|_| "not a password's hash".to_owned())?;
    let is_whole = parsed.salt.is_some() && parsed.hash.is_some();
    let is_argon2 = parsed.algorithm.as_str().starts_with("argon2");
    let params = Params::try_from(&parsed).ok().filter(|_| is_whole && is_argon2);
    let params = params.ok_or_else(|| "not an argon2 hash".to_owned())?;
    if params.m_cost() > HASH_KIB_MAX || params.t_cost() > HASH_PASSES_MAX {
        let most = format!("{HASH_KIB_MAX} KiB and {HASH_PASSES_MAX} passes");
        return Err(format!("a hash that takes more than {most}"));
    }
    Ok(())
}

/// What is wrong with a new password, if anything is: it must arrive as it was typed.
fn check_password(password: &str) -> Result<(), String> {
    let trimmed = password.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    if password.is_empty() || password.len() > USER_PASSWORD_BYTES_MAX {
        return Err(format!("a password has 1 to {USER_PASSWORD_BYTES_MAX} bytes"));
    }
    if trimmed != password || password.contains(char::is_control) {
        let rule = "begin or end with white space or have control characters";
        return Err(format!("a password may not {rule}"));
    }
    Ok(())
}

/// Whether `name` could be added: nobody is to think of a password for nothing.
pub fn check_new(path: &Path, name: &str) -> Result<(), Failure> {
    let failed = |why| Failure { what: cannot_add(path, name), why };
    check_name(name).map_err(failed)?;
    let mut text = String::new();
    let read = match OpenOptions::new().read(true).append(true).open(path) {
        Ok(mut file) => file.read_to_string(&mut text).map(drop),
        // It will be made, if there is a folder for it.
        Err(error) if error.kind() == ErrorKind::NotFound => folder_of(path).metadata().map(drop),
        Err(error) => Err(error),
    };
    read.map_err(Failure::from_io(cannot_add(path, name)))?;
    check_absent(&text, name).map_err(failed)
}

fn cannot_add(path: &Path, name: &str) -> String {
    format!("cannot add {} to {}", name.escape_debug(), path.display())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_absent(text: &str, name: &str) -> Result<(), String> {
    if Users::parse(text)?.0.contains_key(name) {
        return Err("the name is there; remove its line to give it another".to_owned());
    }
    Ok(())
}

/// Adds a user to a file, which is made if it is not there, for its owner only.
pub fn add(path: &Path, name: &str, password: &str) -> Result<(), Failure> {
    let what = || cannot_add(path, name);
    let failed = |why| Failure { what: what(), why };
    check_name(name).and_then(|()| check_password(password)).map_err(failed)?;
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash = hash.map_err(|error| failed(error.to_string()))?;
    let (mut file, is_ours) = open(path).map_err(Failure::from_io(what()))?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(Failure::from_io(what()))?;
    check_absent(&text, name).map_err(failed)?;
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let added = append(&mut file, &format!("{newline}{name}:{hash}\n"));
    if added.is_err() && is_ours && text.is_empty() {
        // A file with nobody in it is none, and what can be done is done.
        let _ = fs::remove_file(path);
    }
    added.map_err(Failure::from_io(what()))
}

/// The file, and nobody else's until it is closed: two who add the same name would both find it
/// missing. And whether we have made it.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    loop {
        let made = options.clone().create_new(true).open(path);
        let is_ours = made.is_ok();
        let file = made.or_else(|_| options.clone().create(true).open(path))?;
        file.lock()?;
        // Who has made it may have failed, and taken it away while we waited.
        if file.metadata()?.nlink() > 0 {
            return Ok((file, is_ours));
        }
    }
}

/// All of `line`, or nothing.
fn append(file: &mut File, line: &str) -> io::Result<()> {
    let size = file.metadata()?.len();
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // What can be done when not even this works is to say the first error.
        let _ = file.set_len(size);
    }
    written
}
