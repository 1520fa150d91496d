//! The conversations of the chapter of the tasks, on the state alone and on the program.
//!
//! ```text
//! tasks a.zip         this is in the folder
//! a opens             somebody connects
//! a> {…}              a says this
//! a< {…}              a hears this next; … stands for anything
//! a closes            a hangs up
//! a ends              a's connection was closed
//! kept a.zip text     this is the result
//! at 14000            it is now so many milliseconds after the start
//! ```
//!
//! The program cannot be told the time: there, what follows an `at` is not replayed.

use crate::tasks_live::{Master, Wild, folder, put, result, task};
use crate::tasks_state::setup;
use crate::transcript;
use malha::net::asked::ConnId;
use malha::net::clock::Millis;
use malha::tasks::protocol::objects::{Objects, Step};
use malha::tasks::protocol::{Answer, Name, Question, SpoolId};
use malha::tasks::state::{Effect, Event, State, Turn};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

const CHAPTER: &str = include_str!("../../src/tasks/README.md");

#[test]
fn the_conversations_of_the_chapter_hold() {
    let told = transcript::in_chapter(CHAPTER, "transcript");
    assert!(told.len() >= 4, "the chapter tells nothing");
    for text in told {
        let mut value = Value::new();
        for line in text.lines() {
            value.play(line);
        }
        on_the_program(&text);
    }
}

/// Whether somebody heard what he was to hear.
#[track_caller]
fn same(expected: &str, heard: &str) {
    let fits = match expected.split_once('…') {
        Some((head, tail)) => heard.starts_with(head) && heard.ends_with(tail),
        None => expected == heard,
    };
    assert!(fits, "\n  expected {expected}\n  heard    {heard}");
}

struct Person {
    conn: u64,
    objects: Objects,
    heard: VecDeque<String>,
    has_ended: bool,
}

struct Value {
    state: State,
    now: u64,
    people: BTreeMap<String, Person>,
    last: u64,
    archives: Vec<Vec<u8>>,
    kept: BTreeMap<String, Vec<u8>>,
}

impl Value {
    fn new() -> Value {
        let (people, kept) = (BTreeMap::new(), BTreeMap::new());
        let state = State::new(setup());
        Value { state, now: 0, people, last: 0, archives: Vec::new(), kept }
    }

    #[track_caller]
    fn play(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap();
        match (word.strip_suffix('>'), word.strip_suffix('<'), word, rest) {
            (Some(who), ..) => self.says(who, rest),
            (_, Some(who), ..) => {
                let heard = self.people.get_mut(who).unwrap().heard.pop_front();
                same(rest, &heard.unwrap_or_else(|| panic!("{who} hears nothing: {line}")));
            }
            (.., "tasks", names) => {
                let names = names.split(' ').map(|name| Name::plain(name).unwrap());
                self.happens(Event::Looked(names.collect(), true));
            }
            (.., "kept", kept) => {
                let (name, text) = kept.split_once(' ').unwrap();
                assert_eq!(self.kept[name], text.as_bytes());
            }
            (.., "at", ms) => {
                self.now = ms.parse().unwrap();
                self.happens(Event::Tick);
            }
            (.., who, "opens") => {
                self.last += 1;
                let objects = Objects::new("result_data", 1_000_000);
                let heard = VecDeque::new();
                let person = Person { conn: self.last, objects, heard, has_ended: false };
                self.people.insert(who.to_owned(), person);
                let addr = SocketAddr::from(([127, 0, 0, 1], 1));
                self.happens(Event::Opened(ConnId(self.last), addr, String::new()));
            }
            (.., who, "closes") => {
                let person = self.people.remove(who).unwrap();
                self.happens(Event::Closed(ConnId(person.conn), false));
            }
            (.., who, "ends") => assert!(self.people[who].has_ended),
            _ => panic!("no step: {line}"),
        }
    }

    fn says(&mut self, who: &str, text: &str) {
        let person = self.people.get_mut(who).unwrap();
        let (mut bytes, mut archive, mut questions) = (text.as_bytes(), Vec::new(), Vec::new());
        while let Some(step) = person.objects.step(&mut bytes) {
            questions.push(match step {
                Step::Bytes(bytes) => {
                    archive.extend_from_slice(bytes);
                    continue;
                }
                Step::Whole(object) => {
                    self.archives.push(std::mem::take(&mut archive));
                    let spool = SpoolId(self.archives.len() as u64 - 1);
                    let archive = object.text.map(|_| Ok(spool));
                    Question::of(object, archive)
                }
                Step::Flawed(why) => Question::Unknown(why.to_owned()),
                Step::Broken => Question::Broken,
            });
        }
        let conn = ConnId(person.conn);
        self.happens(Event::Asked(conn, Turn { questions, ..Turn::default() }));
    }

    fn happens(&mut self, event: Event) {
        for effect in self.state.handle(Millis(self.now), event) {
            match effect {
                Effect::Answer(conn, turn) => self.answer(conn, &turn),
                Effect::Store(name, spool, ..) => {
                    let archive = &self.archives[spool.unwrap().0 as usize];
                    self.kept.insert(name.text().to_owned(), archive.clone());
                    self.happens(Event::Stored(name, Ok(())));
                }
                _ => {}
            }
        }
    }

    fn answer(&mut self, conn: ConnId, turn: &Turn) {
        let mut people = self.people.values_mut();
        let Some(person) = people.find(|person| person.conn == conn.0) else { return };
        for answer in &turn.answers {
            let mut bytes = Vec::new();
            answer.write(&mut bytes);
            if let Answer::Package(..) = answer {
                bytes.extend_from_slice(b"\"}");
            }
            let text = String::from_utf8(bytes).unwrap().trim_end().to_owned();
            person.heard.push_back(text);
        }
        person.has_ended |= turn.last;
    }
}

#[track_caller]
fn on_the_program(text: &str) {
    let folder = folder(&[]);
    let names = text.lines().filter_map(|line| line.strip_prefix("tasks "));
    names.flat_map(|names| names.split(' ')).for_each(|name| put(&folder, name, &task(name)));
    let master = Master::start(&folder, &[]);
    // It has looked into the folder when it gives one out; which is given back at once.
    let mut first = Wild::connect(master.addr, "first");
    let name = first.gets().0;
    let back =
        serde_json::json!({ "action": "RETURN_TASK", "peer_id": "first", "task_name": name });
    first.asks(&back);
    let mut people: BTreeMap<&str, Wild> = BTreeMap::new();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap();
        match (word.strip_suffix('>'), word.strip_suffix('<'), word, rest) {
            (Some(who), ..) => people.get_mut(who).unwrap().says(rest.as_bytes()),
            (_, Some(who), ..) => same(rest, &people.get_mut(who).unwrap().line()),
            (.., "tasks", _) => {}
            (.., "kept", kept) => {
                let (name, text) = kept.split_once(' ').unwrap();
                assert_eq!(result(&folder, name), text.as_bytes());
            }
            (.., "at", _) => return,
            (.., who, "opens") => drop(people.insert(who, Wild::connect(master.addr, who))),
            (.., who, "closes") => {
                drop(people.remove(who));
                // Whether that was noticed cannot be seen but by asking, which takes the task.
                let mut other = Wild::connect(master.addr, "other");
                let name = other.gets().0;
                let back = serde_json::json!({
                    "action": "RETURN_TASK", "peer_id": "other", "task_name": name,
                });
                other.asks(&back);
            }
            (.., who, "ends") => people.get_mut(who).unwrap().ends(),
            _ => panic!("no step: {line}"),
        }
    }
}
