//! The rules of the master on the value alone: examples, and random histories (tasks spec).

use malha::net::asked::ConnId;
use malha::net::clock::Millis;
use malha::tasks::protocol::{Answer, Name, Question, SpoolId, Submission};
use malha::tasks::state::{Effect, Event, Place, Setup, State, Status, Turn};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

pub fn setup() -> Setup {
    Setup {
        task_ms_max: 600_000,
        attempts_max: 3,
        peers_max: 256,
        until_done: false,
        token: None,
        done: BTreeSet::new(),
        failed: BTreeSet::new(),
    }
}

pub fn name(text: &str) -> Name {
    Name::plain(text).unwrap()
}

/// A master, the disk behind it, and who talks to it.
pub struct Stage {
    pub state: State,
    pub now: u64,
    pub spools: u64,
    /// Archives that have arrived and were neither named nor thrown away.
    pub loose: BTreeSet<SpoolId>,
    /// What is on disk.
    pub done: BTreeMap<Name, SpoolId>,
    pub failed: BTreeMap<Name, Option<SpoolId>>,
    /// What is to be stored, oldest first.
    pub jobs: Vec<(Name, Option<SpoolId>, Place)>,
    pub answered: BTreeMap<ConnId, Vec<Answer>>,
    pub has_ended: bool,
    pub warned: Vec<String>,
    /// Connections whose turn is not back.
    pub out: BTreeSet<u64>,
}

impl Stage {
    pub fn new(setup: Setup, tasks: &[&str]) -> Stage {
        let mut stage = Stage {
            state: State::new(setup),
            now: 0,
            spools: 0,
            loose: BTreeSet::new(),
            done: BTreeMap::new(),
            failed: BTreeMap::new(),
            jobs: Vec::new(),
            answered: BTreeMap::new(),
            has_ended: false,
            warned: Vec::new(),
            out: BTreeSet::new(),
        };
        stage.looks(tasks, true);
        stage
    }

    /// What is in the folder, and whether that is all: nothing is being copied there.
    pub fn looks(&mut self, tasks: &[&str], is_all: bool) {
        self.happens(Event::Looked(tasks.iter().map(|task| name(task)).collect(), is_all));
    }

    pub fn happens(&mut self, event: Event) {
        for effect in self.state.handle(Millis(self.now), event) {
            match effect {
                Effect::Answer(conn, turn) => {
                    assert_eq!(turn.answers.len(), turn.questions.len(), "each is answered");
                    self.out.remove(&conn.0);
                    self.answered.entry(conn).or_default().extend(turn.answers);
                }
                Effect::Store(name, spool, place, _) => self.jobs.push((name, spool, place)),
                Effect::Discard(spool) => {
                    assert!(self.loose.remove(&spool), "{spool:?} is thrown away twice");
                }
                Effect::Forget(name) => drop(self.failed.remove(&name)),
                Effect::Trace(_) => {}
                Effect::Warn(line) => self.warned.push(line),
                Effect::End => self.has_ended = true,
            }
        }
    }

    pub fn opens(&mut self, conn: u64) {
        let addr = SocketAddr::from(([127, 0, 0, 1], conn as u16));
        self.happens(Event::Opened(ConnId(conn), addr, "00".to_owned()));
    }

    /// A connection has one turn out at most.
    pub fn asks_if_free(&mut self, conn: u64, questions: Vec<Question>) {
        if self.out.contains(&conn) {
            // It is still being read: what has arrived for it is thrown away here.
            for question in questions {
                if let Question::SubmitResult(Submission { archive: Ok(spool), .. }) = question {
                    self.loose.remove(&spool);
                }
            }
            return;
        }
        self.asks(conn, questions);
    }

    pub fn asks(&mut self, conn: u64, questions: Vec<Question>) {
        self.out.insert(conn);
        self.answered.entry(ConnId(conn)).or_default();
        let turn = Turn { questions, ..Turn::default() };
        self.happens(Event::Asked(ConnId(conn), turn));
    }

    /// The last answer to a question that is answered at once.
    pub fn ask(&mut self, conn: u64, question: Question) -> Answer {
        self.asks(conn, vec![question]);
        self.answered.get_mut(&ConnId(conn)).unwrap().pop().unwrap()
    }

    pub fn result(&mut self, peer: &str, task: &str, failed: Option<&str>) -> Question {
        self.spools += 1;
        let spool = SpoolId(self.spools);
        self.loose.insert(spool);
        Question::SubmitResult(Submission {
            peer: peer.into(),
            name: Name::plain(task),
            archive: Ok(spool),
            failed: failed.map(str::to_owned),
        })
    }

    /// The disk does the oldest job.
    pub fn disk(&mut self, works: bool) {
        if self.jobs.is_empty() {
            return;
        }
        let (name, spool, place) = self.jobs.remove(0);
        let outcome = if works { Ok(()) } else { Err("disk full".to_owned()) };
        if works {
            if let Some(spool) = spool {
                assert!(self.loose.remove(&spool), "{spool:?} was not there");
            }
            match place {
                Place::Done => {
                    let spool = spool.expect("a result has an archive");
                    assert_eq!(self.done.insert(name.clone(), spool), None, "{name} twice");
                }
                Place::Failed => drop(self.failed.insert(name.clone(), spool)),
            }
        }
        self.happens(Event::Stored(name, outcome));
    }

    pub fn passes(&mut self, ms: u64) {
        self.now += ms;
        self.happens(Event::Tick);
    }

    pub fn takes(&mut self, conn: u64, peer: &str) -> Option<String> {
        match self.ask(conn, Question::RequestTask(peer.into())) {
            Answer::Package(name, _) => Some(name.text().to_owned()),
            Answer::NoTask => None,
            other => panic!("{other:?}"),
        }
    }

    pub fn is(&self, task: &str) -> &Status {
        &self.state.tasks()[&name(task)].status
    }
}

#[test]
fn a_task_goes_to_one_peer_and_its_result_is_kept_before_it_is_answered() {
    let mut stage = Stage::new(setup(), &["a.zip"]);
    stage.opens(1);
    stage.opens(2);
    assert_eq!(
        stage.ask(1, Question::Register("p".into(), Default::default())),
        Answer::Registered
    );
    assert_eq!(stage.takes(1, "p").as_deref(), Some("a.zip"));
    assert_eq!(stage.takes(2, "q"), None);
    let result = stage.result("p", "a.zip", None);
    stage.asks(1, vec![result, Question::Heartbeat("p".into())]);
    assert!(stage.answered[&ConnId(1)].is_empty(), "it is not on disk yet");
    // A second one meanwhile waits as well.
    let again = stage.result("q", "a.zip", None);
    stage.asks(2, vec![again]);
    assert!(stage.answered[&ConnId(2)].is_empty());
    stage.disk(true);
    assert_eq!(stage.answered[&ConnId(1)], [Answer::Done, Answer::Alive]);
    assert_eq!(stage.answered[&ConnId(2)], [Answer::Done]);
    assert_eq!((stage.done.len(), stage.loose.len()), (1, 0));
    let late = stage.result("p", "a.zip_result.zip", None);
    assert_eq!(stage.ask(1, late), Answer::Done);
    assert!(stage.loose.is_empty() && stage.jobs.is_empty());
}

#[test]
fn a_disk_that_takes_nothing_loses_nothing() {
    let mut stage = Stage::new(setup(), &["a.zip"]);
    stage.opens(1);
    stage.takes(1, "p");
    let result = stage.result("p", "a.zip", None);
    stage.asks(1, vec![result]);
    stage.disk(false);
    let answers = stage.answered.get_mut(&ConnId(1)).unwrap();
    assert!(matches!(answers.pop(), Some(Answer::Later(_))));
    assert!(stage.loose.is_empty());
    assert!(matches!(stage.is("a.zip"), Status::Leased(_)), "it may be offered again");
    let result = stage.result("p", "a.zip", None);
    stage.asks(1, vec![result]);
    stage.disk(true);
    assert_eq!(*stage.is("a.zip"), Status::Done);
}

#[test]
fn a_lease_ends_with_its_connection_with_silence_and_with_its_time() {
    let mut stage = Stage::new(setup(), &["a.zip"]);
    stage.opens(1);
    stage.opens(2);
    stage.ask(1, Question::Register("p".into(), Default::default()));
    stage.takes(1, "p");
    stage.happens(Event::Closed(ConnId(1), false));
    assert_eq!(stage.takes(2, "q").as_deref(), Some("a.zip"));
    stage.passes(14_999);
    assert_eq!(stage.takes(2, "r"), None);
    stage.passes(1);
    assert_eq!(stage.takes(2, "r").as_deref(), Some("a.zip"), "q was silent for 15 s");
    for _ in 0..60 {
        stage.passes(10_000);
        stage.ask(2, Question::Heartbeat("r".into()));
    }
    stage.passes(5_000);
    assert!(matches!(stage.is("a.zip"), Status::Failed), "lost for the third time");
    assert_eq!(stage.jobs, [(name("a.zip"), None, Place::Failed)]);
    stage.disk(true);
    // Late, but better than none.
    let late = stage.result("q", "a.zip", None);
    stage.asks(2, vec![late]);
    stage.disk(true);
    assert_eq!(*stage.is("a.zip"), Status::Done);
    assert!(stage.failed.is_empty() && stage.done.len() == 1);
}

/// With one connection for each question, the end of a connection means nothing.
#[test]
fn a_peer_may_connect_for_each_question() {
    let mut stage = Stage::new(setup(), &["a.zip"]);
    stage.opens(1);
    stage.takes(1, "p");
    stage.happens(Event::Closed(ConnId(1), false));
    stage.opens(2);
    assert_eq!(stage.takes(2, "q"), None);
    stage.passes(10_000);
    stage.ask(2, Question::Heartbeat("p".into()));
    stage.passes(10_000);
    assert_eq!(stage.takes(2, "q"), None);
    stage.opens(3);
    let result = stage.result("p", "a.zip", None);
    stage.asks(3, vec![result]);
    stage.disk(true);
    assert_eq!(*stage.is("a.zip"), Status::Done);
    // One that was gone before its package was through has none.
    let mut stage = Stage::new(setup(), &["a.zip"]);
    stage.opens(1);
    stage.takes(1, "p");
    stage.happens(Event::Closed(ConnId(1), true));
    stage.opens(2);
    assert_eq!(stage.takes(2, "q").as_deref(), Some("a.zip"));
}

#[test]
fn failures_count_and_the_last_output_is_kept() {
    let mut stage = Stage::new(setup(), &["a.zip", "b.zip"]);
    stage.opens(1);
    for round in 1..=3 {
        // It waits behind the others.
        let task = std::iter::repeat_with(|| stage.takes(1, "p").unwrap()).find(|t| t == "a.zip");
        if round == 1 {
            stage.takes(1, "p");
            stage.ask(1, Question::ReturnTask("p".into(), name("b.zip")));
        }
        assert!(task.is_some());
        stage.ask(1, Question::ReturnTask("p".into(), name("b.zip")));
        let failed = stage.result("p", "a.zip", Some("exit code 1"));
        stage.asks(1, vec![failed]);
        stage.disk(true);
    }
    assert_eq!(*stage.is("a.zip"), Status::Failed);
    assert_eq!(stage.failed.len(), 1);
    assert!(stage.failed[&name("a.zip")].is_some(), "with its output");
    assert!(stage.loose.is_empty(), "older outputs are gone");
    assert_eq!(*stage.is("b.zip"), Status::Waiting, "given back is not lost");
}

#[test]
fn results_that_belong_to_nothing_are_refused() {
    let mut stage = Stage::new(setup(), &["a.zip"]);
    stage.opens(1);
    for bad in ["b.zip", "../a.zip", "a\0.zip", ".a.zip", ""] {
        let result = stage.result("p", bad, None);
        assert!(matches!(stage.ask(1, result), Answer::Error(_)), "{bad:?}");
        assert!(stage.loose.is_empty());
    }
    assert_eq!(*stage.is("a.zip"), Status::Waiting);
}

#[test]
fn one_peer_too_many_is_told_so() {
    let mut stage = Stage::new(Setup { peers_max: 2, ..setup() }, &["a.zip"]);
    stage.opens(1);
    for peer in ["p", "q"] {
        assert_eq!(stage.ask(1, Question::Heartbeat(peer.into())), Answer::Alive);
    }
    let refusal = stage.ask(1, Question::Register("r".into(), Default::default()));
    assert_eq!(refusal, Answer::Later("the master has 2 peers, and takes no more".to_owned()));
    stage.passes(15_000);
    assert_eq!(stage.ask(1, Question::Heartbeat("r".into())), Answer::Alive);
}

#[test]
fn it_ends_when_nothing_is_left_and_the_last_have_heard_so() {
    let mut stage = Stage::new(Setup { until_done: true, ..setup() }, &["a.zip"]);
    stage.opens(1);
    stage.takes(1, "p");
    let result = stage.result("p", "a.zip", None);
    stage.asks(1, vec![result]);
    stage.passes(1_000);
    assert!(!stage.has_ended, "the disk has not answered");
    stage.disk(true);
    assert!(!stage.has_ended);
    assert_eq!(stage.takes(1, "p"), None);
    stage.passes(1_000);
    assert!(stage.has_ended);
    // A task that comes meanwhile is done first.
    let mut stage = Stage::new(Setup { until_done: true, ..setup() }, &[]);
    stage.looks(&["a.zip"], true);
    stage.passes(1_000);
    assert!(!stage.has_ended);
    // Nor is it over while one is being copied into the folder.
    let mut stage = Stage::new(Setup { until_done: true, ..setup() }, &["a.zip"]);
    stage.looks(&[], false);
    stage.passes(10_000);
    assert!(!stage.has_ended);
    stage.looks(&[], true);
    stage.passes(1_000);
    assert!(stage.has_ended);
}

#[test]
fn a_task_that_is_taken_out_of_the_folder_is_forgotten() {
    let mut stage = Stage::new(setup(), &["a.zip", "b.zip"]);
    stage.opens(1);
    assert_eq!(stage.takes(1, "p").as_deref(), Some("a.zip"));
    stage.looks(&[], true);
    assert_eq!(stage.takes(1, "p"), None);
    let result = stage.result("p", "a.zip", None);
    stage.asks(1, vec![result]);
    stage.disk(true);
    assert_eq!(stage.done.len(), 1);
    let result = stage.result("p", "b.zip", None);
    assert!(matches!(stage.ask(1, result), Answer::Error(_)));
}

/// The last output of a failed task is kept while the task is, and no longer.
#[test]
fn what_a_forgotten_task_has_said_is_thrown_away() {
    let mut stage = Stage::new(setup(), &["a.zip", "b.zip"]);
    stage.opens(1);
    for task in ["a.zip", "b.zip"] {
        assert_eq!(stage.takes(1, "p").as_deref(), Some(task));
    }
    let failed = stage.result("p", "a.zip", Some("exit code 1"));
    assert_eq!(stage.ask(1, failed), Answer::Done);
    assert_eq!(stage.loose.len(), 1);
    stage.looks(&[], true);
    assert_eq!(stage.loose.len(), 0, "it waited");
    let failed = stage.result("p", "b.zip", Some("exit code 1"));
    assert_eq!(stage.ask(1, failed), Answer::Done);
    assert_eq!(stage.loose.len(), 0, "a peer had it");
}

#[test]
fn a_task_that_cannot_be_read_is_told_once() {
    let mut stage = Stage::new(Setup { until_done: true, ..setup() }, &["a.zip"]);
    stage.opens(1);
    for _ in 0..2 {
        let question = Question::RequestTask("p".into());
        let Answer::Package(_, lease) = stage.ask(1, question) else { panic!("no task") };
        stage.happens(Event::Unread(lease, "permission denied".to_owned()));
    }
    assert_eq!(stage.warned, ["cannot read the task a.zip: permission denied"]);
}
