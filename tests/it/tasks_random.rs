//! Random histories of the master, on the value alone: what must hold after every event holds.

use crate::tasks_state::{Stage, name, setup};
use malha::net::asked::ConnId;
use malha::tasks::protocol::Question;
use malha::tasks::state::{Event, Status};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One step of a random history: who (3 connections, 3 peers), what, on which of 4 tasks.
type Step = (u8, u8, u8, u8);

fn play(stage: &mut Stage, open: &mut BTreeMap<u64, u64>, last: &mut u64, step: Step) {
    let (kind, who, peer, task) = step;
    let slot = u64::from(who % 3);
    let peer = ["p", "q", "r"][usize::from(peer % 3)];
    let task = ["a.zip", "b.zip", "c.zip", "d.zip"][usize::from(task % 4)];
    let conn = *open.entry(slot).or_insert_with(|| {
        *last += 1;
        stage.opens(*last);
        *last
    });
    match kind % 12 {
        0 | 1 => stage.asks_if_free(conn, vec![Question::RequestTask(peer.into())]),
        2 | 3 => {
            let result = stage.result(peer, task, None);
            let more = stage.result(peer, "c.zip", (who % 2 == 0).then_some("why"));
            stage.asks_if_free(conn, vec![result, Question::RequestTask(peer.into()), more]);
        }
        4 => {
            let failed = stage.result(peer, task, Some("why"));
            stage.asks_if_free(conn, vec![failed]);
        }
        5 => stage.asks_if_free(conn, vec![Question::Heartbeat(peer.into())]),
        6 => stage.asks_if_free(conn, vec![Question::ReturnTask(peer.into(), name(task))]),
        7 => {
            open.remove(&slot);
            stage.out.remove(&conn);
            stage.happens(Event::Closed(ConnId(conn), task == "a.zip"));
        }
        8 => stage.passes(u64::from(who) * 100),
        9 => stage.passes(16_000),
        10 => stage.disk(task != "d.zip"),
        _ => stage.disk(true),
    }
}

/// What must hold after every event.
fn promises(stage: &Stage) {
    for (task, kept) in stage.state.tasks() {
        let is_kept = stage.done.contains_key(task);
        assert_eq!(kept.status == Status::Done, is_kept, "{task}: {kept:?}");
        if let Status::Leased(lease) = &kept.status {
            assert!(lease.ends_at.0 > stage.now, "{task} is leased beyond its time");
        }
        assert!(kept.attempts <= 60, "{task}: {kept:?}");
    }
    let tasks = stage.state.tasks().len();
    assert_eq!(tasks, 4, "no task is lost");
    assert_eq!(stage.state.summary().total(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happens, in whatever order: no task is lost, none has two results, leases end,
    /// every archive ends up in one place, and every task can still be brought to its end.
    #[test]
    fn random_histories_keep_the_promises(
        steps in proptest::collection::vec(any::<Step>(), 0..250),
    ) {
        let mut stage = Stage::new(setup(), &["a.zip", "b.zip", "c.zip", "d.zip"]);
        let (mut open, mut last) = (BTreeMap::new(), 0);
        for step in steps {
            play(&mut stage, &mut open, &mut last, step);
            promises(&stage);
        }
        // Then everybody leaves, and one good peer comes to a good disk.
        for conn in open.values() {
            stage.out.remove(conn);
            stage.happens(Event::Closed(ConnId(*conn), false));
        }
        stage.passes(700_000);
        stage.passes(700_000);
        while !stage.jobs.is_empty() {
            stage.disk(true);
        }
        stage.opens(1_000_000);
        while let Some(task) = stage.takes(1_000_000, "good") {
            let result = stage.result("good", &task, None);
            stage.asks(1_000_000, vec![result]);
            stage.disk(true);
            promises(&stage);
        }
        stage.passes(20_000);
        while !stage.jobs.is_empty() {
            stage.disk(true);
        }
        let summary = stage.state.summary();
        prop_assert_eq!((summary.waiting, summary.running), (0, 0));
        prop_assert_eq!(stage.done.len(), summary.done);
        prop_assert_eq!(stage.failed.len(), summary.failed);
        prop_assert!(stage.loose.is_empty(), "{:?} belong to nobody", stage.loose);
    }
}
