//! Replays conversations on the program, over real sockets.

use crate::harness::{Person, Server, TempFile};
use crate::transcript::{self, Step};
use crate::value;
use malha::grid::limits::HOLD_MS;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Replays a conversation on the value, and then on the program.
#[track_caller]
pub fn check_both(csv: &str, text: &str) {
    value::check_with(csv, text);
    let steps = transcript::parse(text);
    let file = TempFile::new(csv);
    let mut stage = Stage::new(&steps, file.path());
    for step in &steps {
        // A moment passes by itself.
        if matches!(step, Step::At(ms) if *ms > HOLD_MS) {
            return;
        }
        let played = catch_unwind(AssertUnwindSafe(|| stage.play(step)));
        played.unwrap_or_else(|panic| {
            eprintln!("at step {step} on the program, in:\n{text}");
            resume_unwind(panic)
        });
    }
}

struct Stage {
    server: Server,
    people: BTreeMap<String, Person>,
}

impl Stage {
    fn new(steps: &[Step], csv: &str) -> Stage {
        let mut people = BTreeMap::new();
        let args = ["--sensors", csv];
        let server = match steps.first() {
            Some(Step::Listens(who)) => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let server = Server::start_at(listener.local_addr().unwrap().port(), &args);
                people.insert(who.clone(), Person::accept(&listener));
                server
            }
            _ => Server::start(&args),
        };
        Stage { server, people }
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Listens(_) | Step::At(_) | Step::OpensUdp(_) | Step::Logs(_) => {}
            Step::Opens(who) => self.enters(who, Person::connect(self.server.clients)),
            Step::OpensPeer(who) => self.enters(who, Person::connect(self.server.peers)),
            Step::Says(who, bytes) => self.person(who).says_bytes(bytes),
            Step::Hears(who, bytes) => self.person(who).hears_bytes(bytes),
            Step::Closes(who) => drop(self.people.remove(who)),
            Step::Ends(who) => self.person(who).ends(),
            Step::Types(line) => self.server.program.types(line),
            Step::Prints(line) => self.server.program.prints(line),
            Step::Exits(code) => self.server.program.exits(i32::from(*code)),
        }
    }

    fn enters(&mut self, who: &str, person: Person) {
        self.people.insert(who.to_owned(), person);
    }

    fn person(&mut self, who: &str) -> &mut Person {
        self.people.get_mut(who).unwrap()
    }
}
