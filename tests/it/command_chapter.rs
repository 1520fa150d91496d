//! The conversations of the command server's chapter, on the value and on the program.

use crate::command_live::{Server, ana, datagrams};
use crate::command_naive;
use crate::command_value::{self, matched};
use crate::harness::Person;
use crate::transcript::{self, Step};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const CHAPTER: &str = include_str!("../../src/command/README.md");

#[test]
fn the_conversations_of_the_chapter_hold() {
    let told = transcript::in_chapter(CHAPTER, "transcript");
    assert!(told.len() > 3, "the chapter tells nothing");
    for text in told {
        command_value::check(&text);
        replay(&text, &["--udp"]);
    }
}

#[test]
fn those_with_names_and_passwords_hold() {
    let users = ana();
    let told = transcript::in_chapter(CHAPTER, "transcript-users");
    assert!(!told.is_empty());
    for text in told {
        command_value::check_with_users(&text);
        replay(&text, &["--users", users.path()]);
    }
}

/// What the chapter says of a program that takes one read for one request.
#[test]
fn a_naive_server_goes_wrong_as_told() {
    let told = transcript::in_chapter(CHAPTER, "transcript-naive");
    assert!(!told.is_empty());
    for text in told {
        let naive = command_naive::start();
        play_all(&text, naive, None);
    }
}

fn replay(text: &str, more: &[&str]) {
    let server = Server::start(more);
    play_all(text, server.addr, Some(&server));
}

fn play_all(text: &str, addr: SocketAddr, server: Option<&Server>) {
    let mut stage = Stage { addr, server, people: BTreeMap::new() };
    for step in joined(transcript::parse(text)) {
        let played = catch_unwind(AssertUnwindSafe(|| stage.play(&step)));
        played.unwrap_or_else(|panic| {
            eprintln!("at step {step} on the program, in:\n{text}");
            resume_unwind(panic)
        });
    }
}

/// What one says without being answered is one write here: a pause between two, if this machine is
/// busy, could be longer than the 20 ms that end a request. The value is told piece by piece.
fn joined(steps: Vec<Step>) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::new();
    for step in steps {
        match (joined.last_mut(), step) {
            (Some(Step::Says(who, bytes)), Step::Says(again, more)) if *who == again => {
                bytes.extend(more);
            }
            (_, step) => joined.push(step),
        }
    }
    joined
}

enum Speaker {
    Stream(Person),
    Datagrams(UdpSocket),
}

struct Stage<'a> {
    addr: SocketAddr,
    server: Option<&'a Server>,
    people: BTreeMap<String, (Speaker, SocketAddr)>,
}

impl Stage<'_> {
    fn play(&mut self, step: &Step) {
        match step {
            Step::Opens(who) => {
                let person = Person::connect(self.addr);
                let addr = person.socket.local_addr().unwrap();
                self.people.insert(who.clone(), (Speaker::Stream(person), addr));
            }
            Step::OpensUdp(who) => {
                let socket = datagrams(self.addr);
                let addr = socket.local_addr().unwrap();
                self.people.insert(who.clone(), (Speaker::Datagrams(socket), addr));
            }
            Step::Says(who, bytes) => match self.speaker(who) {
                Speaker::Stream(person) => person.says_bytes(bytes),
                Speaker::Datagrams(socket) => drop(socket.send(bytes).unwrap()),
            },
            Step::Hears(who, expected) => self.hears(who, expected),
            Step::Closes(who) => drop(self.people.remove(who)),
            Step::Ends(who) => match self.speaker(who) {
                Speaker::Stream(person) => person.ends(),
                Speaker::Datagrams(_) => panic!("datagrams do not end"),
            },
            Step::Logs(line) => {
                let mut line = line.clone();
                for (name, (_, addr)) in &self.people {
                    line = line.replace(&format!("@{name} "), &format!("{addr} "));
                }
                self.server.unwrap().logs(&line);
            }
            other => panic!("{other} is no step here"),
        }
    }

    fn hears(&mut self, who: &str, expected: &[u8]) {
        match self.speaker(who) {
            Speaker::Stream(person) if expected.contains(&b'\n') => {
                let line = person.line();
                let all = matched(expected, line.as_bytes()) == Some(line.len());
                assert!(all, "expected {}, heard {line:?}", expected.escape_ascii());
            }
            Speaker::Stream(person) => person.hears_bytes(expected),
            Speaker::Datagrams(socket) => {
                let mut bytes = [0; 2048];
                let size = socket.recv(&mut bytes).unwrap();
                let heard = bytes[..size].escape_ascii();
                assert_eq!(matched(expected, &bytes[..size]), Some(size), "heard {heard}");
            }
        }
    }

    fn speaker(&mut self, who: &str) -> &mut Speaker {
        &mut self.people.get_mut(who).unwrap().0
    }
}
