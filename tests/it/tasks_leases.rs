//! Whose attempt was it, and which task was meant (tasks spec: Master), on the value alone.

use crate::tasks_state::{Stage, name, setup};
use malha::net::asked::ConnId;
use malha::tasks::protocol::{Answer, Question};
use malha::tasks::state::{Event, Place, Setup, Status};

/// Both sides have the same limit: what the peer has cut at it arrives a little later.
#[test]
fn a_run_that_both_sides_cut_is_one_attempt() {
    let mut stage = Stage::new(setup(), &["a.zip"]);
    stage.opens(1);
    let waits = |stage: &mut Stage, ms: u64| {
        for _ in 0..ms / 10_000 {
            stage.passes(10_000);
            stage.ask(1, Question::Heartbeat("p".into()));
        }
        stage.passes(ms % 10_000);
    };
    // Cut at the limit, packed and sent: it is waited for.
    stage.takes(1, "p");
    waits(&mut stage, 604_999);
    let failed = stage.result("p", "a.zip", Some("it took too long"));
    assert_eq!(stage.ask(1, failed), Answer::Done);
    assert_eq!(stage.state.tasks()[&name("a.zip")].attempts, 1);
    // Later than that the same peer has the task again, and its first run is told.
    stage.takes(1, "p");
    waits(&mut stage, 605_000);
    assert_eq!(stage.state.tasks()[&name("a.zip")].attempts, 2);
    assert_eq!(stage.takes(1, "p").as_deref(), Some("a.zip"));
    let failed = stage.result("p", "a.zip", Some("it took too long"));
    assert_eq!(stage.ask(1, failed), Answer::Done);
    assert!(matches!(stage.is("a.zip"), Status::Leased(_)), "the second run goes on");
    assert_eq!(stage.state.tasks()[&name("a.zip")].attempts, 2);
    // What it says then is of the second run.
    let failed = stage.result("p", "a.zip", Some("exit code 1"));
    stage.asks(1, vec![failed]);
    stage.disk(true);
    assert_eq!(*stage.is("a.zip"), Status::Failed);
    assert!(stage.failed[&name("a.zip")].is_some() && stage.loose.is_empty());
}

/// `a_result.zip` may be a task, and the result of another one.
#[test]
fn of_two_tasks_of_one_name_the_one_is_meant_that_the_peer_has() {
    for (has, sent, kept) in [
        (&["a.zip"][..], "a_result.zip", "a.zip"),
        (&["a_result.zip"], "a_result.zip", "a_result.zip"),
        (&["a_result.zip", "a.zip"], "a_result.zip", "a_result.zip"),
        (&[], "a_result.zip", "a_result.zip"),
        (&["a.zip"], "a.zip", "a.zip"),
    ] {
        let mut stage = Stage::new(setup(), &["a.zip", "a_result.zip"]);
        stage.opens(1);
        for task in ["a.zip", "a_result.zip"] {
            let peer = if has.contains(&task) { "p" } else { "q" };
            assert_eq!(stage.takes(1, peer).as_deref(), Some(task));
        }
        let result = stage.result("p", sent, None);
        stage.asks(1, vec![result]);
        stage.disk(true);
        let done: Vec<&str> = stage.done.keys().map(|name| name.text()).collect();
        assert_eq!(done, [kept], "{has:?} {sent}");
    }
}

#[test]
fn a_task_that_no_message_takes_is_nobodys_attempt() {
    let mut stage = Stage::new(Setup { until_done: true, ..setup() }, &["a.zip"]);
    stage.opens(1);
    let Answer::Package(_, lease) = stage.ask(1, Question::RequestTask("p".into())) else {
        panic!("no task")
    };
    stage.happens(Event::TooLarge(lease));
    assert_eq!(*stage.is("a.zip"), Status::Failed);
    assert_eq!(stage.jobs, [(name("a.zip"), None, Place::Failed)]);
    assert_eq!(stage.warned, ["a.zip is set aside: too large for a message: see --max-message"]);
    stage.disk(true);
    assert_eq!(stage.takes(1, "p"), None);
    stage.passes(1_000);
    assert!(stage.has_ended);
}

#[test]
fn a_result_that_no_message_takes_ends_the_lease_of_its_sender_alone() {
    let mut stage = Stage::new(setup(), &["a.zip"]);
    stage.opens(1);
    stage.takes(1, "p");
    for (peer, task, attempts) in [("q", "a.zip", 0), ("p", "b.zip", 0), ("p", "a.zip", 1)] {
        let answer = stage.ask(1, Question::TooLong(peer.into(), name(task)));
        assert_eq!(answer, Answer::Error("the message is too long".to_owned()));
        assert_eq!(stage.state.tasks()[&name("a.zip")].attempts, attempts);
    }
    assert_eq!(*stage.is("a.zip"), Status::Waiting);
}

/// What a connection had still to say when it ended belongs to nobody.
#[test]
fn results_behind_one_that_waits_go_with_their_connection() {
    let mut stage = Stage::new(setup(), &["a.zip", "b.zip"]);
    stage.opens(1);
    let (first, second) = (stage.result("p", "a.zip", None), stage.result("p", "b.zip", None));
    stage.asks(1, vec![first, second]);
    stage.happens(Event::Closed(ConnId(1), false));
    stage.disk(true);
    assert!(stage.loose.is_empty() && stage.done.len() == 1);
    // Nor does one that nobody opened.
    let result = stage.result("p", "b.zip", None);
    stage.asks(7, vec![result]);
    assert!(stage.loose.is_empty());
}

/// A disk that takes nothing is told once for each task, and again when it is for another reason.
#[test]
fn what_cannot_be_kept_is_told_once() {
    let mut stage = Stage::new(setup(), &["a.zip", "b.zip"]);
    stage.opens(1);
    for task in ["a.zip", "a.zip", "b.zip", "a.zip"] {
        let result = stage.result("p", task, None);
        stage.asks(1, vec![result]);
        stage.disk(false);
    }
    assert_eq!(stage.warned, ["a.zip: disk full", "b.zip: disk full"]);
    let mut result = stage.result("p", "a.zip", None);
    if let Question::SubmitResult(submission) = &mut result {
        stage.loose.clear();
        submission.archive = Err("no room".to_owned());
    }
    assert_eq!(stage.ask(1, result), Answer::Later("no room".to_owned()));
    assert_eq!(stage.warned.last().unwrap(), "a.zip: no room");
}
