//! How a user is added (spec: Server, Authentication): what is checked before anybody types a
//! password, and what is left where it fails.

use crate::command_server::MALHA;
use crate::folder::Folder;
use crate::harness::run;
use crate::terminal::OnTerminal;
use std::fs;
use std::process::{Command, Stdio};

/// A users file with ana in it.
fn ana(folder: &Folder) -> String {
    let users = folder.at("users.txt");
    let (code, _, err) = run(MALHA, &["command", "adduser", "--users", &users, "ana"], "senha\n");
    assert_eq!((code, err), (Some(0), vec![]));
    users
}

#[test]
fn what_cannot_be_added_is_refused_before_a_password_is_asked_for() {
    let folder = Folder::new();
    let users = ana(&folder);
    let none = folder.file("none.txt", "ana\n");
    let (inside, far) = (folder.at("users.txt/x"), folder.at("far/users.txt"));
    for (file, name, why) in [
        (&users, "ana", "the name is there"),
        (&users, "a b", "a name has 1 to 64 bytes"),
        (&none, "bia", "line 1: no `:`"),
        (&inside, "bia", "Not a directory"),
        (&far, "bia", "No such file"),
    ] {
        let args = ["command", "adduser", "--users", file, name];
        let mut adding = OnTerminal::start(MALHA, &args);
        // On a terminal, an error first clears what may be half typed there.
        let said = adding.rest().replace("\r\x1b[K", "");
        assert_eq!(adding.child.wait().unwrap().code(), Some(1), "{said}");
        assert!(said.starts_with("error: ") && said.contains(why), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn ctrl_c_at_the_password_ends_its_line() {
    let folder = Folder::new();
    let users = folder.at("users.txt");
    let mut adding = OnTerminal::start(MALHA, &["command", "adduser", "--users", &users, "ana"]);
    adding.shows("Password of ana: ");
    let pid = adding.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(adding.rest(), "\r\n");
    assert_eq!(adding.child.wait().unwrap().code(), Some(1));
    assert!(fs::metadata(users).is_err());
}

/// A file that may not grow is as good as a full disk.
fn add_on_full_disk(users: &str) {
    let script = format!(
        "trap '' XFSZ; ulimit -f 0; echo segredo | {MALHA} command adduser --users {users} bia"
    );
    let mut shell = Command::new("bash");
    let adding = shell.args(["-c", &script]).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(adding.status.code(), Some(1), "{adding:?}");
}

#[test]
fn a_full_disk_leaves_the_users_as_they_were() {
    let folder = Folder::new();
    let new = folder.at("new.txt");
    add_on_full_disk(&new);
    assert!(fs::metadata(new).is_err(), "a file with nobody in it is there");
    let users = ana(&folder);
    let before = fs::read(&users).unwrap();
    add_on_full_disk(&users);
    assert_eq!(fs::read(&users).unwrap(), before);
    let empty = folder.file("empty.txt", "");
    add_on_full_disk(&empty);
    assert_eq!(fs::read(empty).unwrap(), b"", "what was there stays");
}
