//! `kill -9` at many moments: of the master, of peers, of both. No task is lost, none has two
//! results, no file is half written (tasks spec: Master).

use crate::folder::Folder;
use crate::harness::{Program, until_at_most};
use crate::tasks_live::{MALHA, Master, Wild, done_in_all, folder, ok, result, results, task};
use crate::tasks_zip::unzip;
use malha::net::dice::{Dice, any_seed};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(90);

/// Every result that is there is whole, and says what its task was to say.
#[track_caller]
fn are_whole(folder: &Folder) {
    for name in results(folder) {
        let files = unzip(&result(folder, &name));
        let said = String::from_utf8(files["stdout.txt"].clone()).unwrap();
        assert_eq!(said, format!("{name}\n"));
    }
}

fn tasks(count: usize) -> Folder {
    let names: Vec<String> = (0..count).map(|n| format!("t{n:02}.zip")).collect();
    let all: Vec<(String, Vec<u8>)> = names.iter().map(|n| (n.clone(), task(n))).collect();
    let all: Vec<(&str, &[u8])> = all.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    folder(&all)
}

fn peer(folder: &Folder, number: usize, master: &str) -> Program {
    let work = folder.path().join(format!("work{number}"));
    let work = work.to_str().unwrap();
    let args = ["tasks", "peer", "--broadcast", master, "--work", work, "--slots", "2"];
    Program::start(MALHA, &args)
}

/// At many moments of storing a result: a wild peer submits, and the master is killed while it
/// does; afterwards the result is there whole, or not at all, and the task can be done.
#[test]
fn a_master_killed_while_it_stores_keeps_a_whole_result_or_none() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let archive = vec![7; 3_000_000];
    let (mut none, mut acknowledged) = (0, 0);
    for moment in 0..40 {
        let mut master = Master::start(&folder, &[]);
        let mut wild = Wild::connect(master.addr, "p");
        let question = wild.result("a.zip", &archive).to_string();
        // So much of it has gone when it is killed; all of it in the second half of the rounds.
        let share = question.len().min(question.len() * (moment + 1) / 20);
        let (pid, socket) = (master.program.pid(), wild.socket.try_clone().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                use std::io::Write;
                // Fails when it was killed before.
                let _ = (&socket).write_all(&question.as_bytes()[..share]);
            });
            if moment >= 20 {
                // Later from round to round, as long as it takes or longer.
                std::thread::park_timeout(Duration::from_micros(500 * (moment as u64 - 20)));
            }
            let pid = pid.to_string();
            let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status();
            assert!(killed.unwrap().success());
        });
        let mut byte = [0];
        let was_answered = std::io::Read::read(&mut wild.socket, &mut byte).is_ok_and(|n| n > 0);
        assert_eq!(master.program.exit(), None);
        let kept = results(&folder);
        assert!(!was_answered || kept == ["a.zip"], "OK was said, and nothing is kept");
        acknowledged += usize::from(was_answered);
        if kept.is_empty() {
            none += 1;
            continue;
        }
        assert!(result(&folder, "a.zip") == archive, "half a result in round {moment}");
        // Another master knows that it is done.
        let mut master = Master::start(&folder, &[]);
        let mut wild = Wild::connect(master.addr, "p");
        assert_eq!(wild.submits("a.zip", b"again"), ok());
        assert_eq!(wild.acts("REQUEST_TASK")["status"], "NO_TASK");
        assert!(result(&folder, "a.zip") == archive, "done twice");
        master.kill();
        std::fs::remove_file(folder.path().join("results/a.zip")).unwrap();
    }
    assert!(none > 0, "it was never killed early enough");
    eprintln!("of 40: {none} without a result, {acknowledged} acknowledged");
}

#[test]
fn masters_and_peers_killed_at_random_lose_nothing() {
    let seed = any_seed();
    eprintln!("seed {seed}");
    let mut dice = Dice::seeded(seed);
    let folder = tasks(24);
    let more = ["--attempts", "1000"];
    let mut master = Master::start(&folder, &more);
    // Peers ask there, whichever master it is.
    let ask = master.discovery.to_string();
    let restart = || {
        let all = [&["--discovery", &ask], &more[..]].concat();
        Master::start_again(&folder, "127.0.0.1:0", &all)
    };
    let mut peers: Vec<Program> = (0..2).map(|number| peer(&folder, number, &ask)).collect();
    until_at_most(LONG, "every result", || {
        are_whole(&folder);
        match dice.roll(40) {
            0 => {
                master.kill();
                master = restart();
            }
            1 => {
                let number = dice.roll(2) as usize;
                peers[number].signal("-KILL");
                peers[number] = peer(&folder, number, &ask);
            }
            2 => {
                master.kill();
                peers.iter().for_each(|peer| peer.signal("-KILL"));
                master = restart();
                peers = (0..2).map(|number| peer(&folder, number, &ask)).collect();
            }
            _ => std::thread::park_timeout(Duration::from_millis(50)),
        }
        (results(&folder).len() == 24).then_some(())
    });
    are_whole(&folder);
    drop(peers);
    master.kill();
    let mut last = Master::start(&folder, &["--until-done"]);
    last.program.prints_one("the summary", |line| done_in_all(line) == Some(24));
    last.program.exits(0);
    assert_eq!(folder.names("results").len(), 24, "{:?}", folder.names("results"));
}
