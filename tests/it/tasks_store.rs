//! What a master keeps, where it keeps it, and what it says when it cannot (tasks spec: Master).

use crate::folder::Folder;
use crate::harness::{Program, run, until};
use crate::tasks_live::{MALHA, Master, Wild, folder, ok, put, result, results, task};
use malha::tasks::limits::{SPOOL_FIRST_BYTES, SPOOL_LARGE_BYTES, SPOOLS_LARGE_MAX};
use malha::tasks::protocol::Name;
use malha::tasks::store::{Job, Spools, Store};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

/// What cannot be kept is to be offered again.
#[track_caller]
fn is_refused_for_now(answer: &serde_json::Value, why: &str) {
    assert_eq!((&answer["status"], &answer["again"]), (&json!("ERROR"), &json!(true)), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains(why), "{answer}");
}

/// A folder or a dangling link is no result, and a result must not vanish behind it.
#[test]
fn what_is_in_the_way_of_a_result_is_said_and_the_result_offered_again() {
    for is_link in [false, true] {
        let folder = folder(&[("a.zip", &task("um"))]);
        let path = folder.path().join("results/a.zip");
        fs::create_dir(folder.path().join("results")).unwrap();
        if is_link {
            symlink("nowhere", &path).unwrap();
        } else {
            fs::create_dir(&path).unwrap();
        }
        let mut master = Master::start(&folder, &["--until-done"]);
        let mut peer = Wild::connect(master.addr, "p");
        assert_eq!(peer.gets().0, "a.zip");
        for _ in 0..2 {
            is_refused_for_now(&peer.submits("a.zip", b"r"), "is in the way");
        }
        let line = master.program.complains();
        assert!(line.starts_with("a.zip: it cannot be kept: "), "{line}");
        assert!(line.ends_with("results/a.zip is in the way"), "{line}");
        if is_link {
            fs::remove_file(&path).unwrap();
        } else {
            fs::remove_dir(&path).unwrap();
        }
        assert_eq!(peer.submits("a.zip", b"r"), ok());
        assert_eq!(result(&folder, "a.zip"), b"r");
        let (code, _, err) = master.program.ends();
        assert_eq!((code, err), (Some(0), vec!["not-stored=2".to_owned()]), "said once");
    }
}

/// Whatever a message is that carries an archive: it is held by the master or gone.
#[test]
fn an_archive_that_nobody_wants_is_not_kept() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let master = Master::start(&folder, &[]);
    let mut peer = Wild::connect(master.addr, "p");
    let archive = "A".repeat(1_000_000);
    for (action, id) in [
        (json!("HEARTBEAT"), json!("p")),
        (json!("REGISTER"), json!("p")),
        (json!("REQUEST_TASK"), json!("p")),
        (json!("RETURN_TASK"), json!("p")),
        (json!("DANCE"), json!("p")),
        (json!(null), json!("p")),
        (json!("HEARTBEAT"), json!(7)),
        (json!("SUBMIT_RESULT"), json!("")),
        (json!("SUBMIT_RESULT"), json!("p")),
    ] {
        let message = json!({ "action": action, "peer_id": id, "result_data": archive });
        let answer = peer.asks(&message);
        assert!(answer.is_object(), "{action} {id}");
        // The thread that stores throws it away, which nobody waits for.
        until("no archive", || folder.names("results/.incoming").is_empty().then_some(()));
    }
    let bad = json!({ "action": "SUBMIT_RESULT", "peer_id": "p", "result_name": "a.zip",
        "result_data": format!("{archive}!") });
    assert_eq!(peer.asks(&bad)["status"], "ERROR");
    assert_eq!(folder.names("results/.incoming"), Vec::<String>::new());
    // Many at once, of a peer that is gone before it is answered.
    let one = json!({ "action": "SUBMIT_RESULT", "peer_id": "p", "result_name": "b.zip",
        "result_data": "AAAA" });
    peer.says(one.to_string().repeat(5_000).as_bytes());
    drop(peer);
    until("no archive", || folder.names("results/.incoming").is_empty().then_some(()));
}

/// A master that may write no byte. The limit on file sizes stands for the disk.
#[test]
fn a_note_that_finds_no_room_leaves_nothing() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let run = format!(
        "trap '' XFSZ; ulimit -f 0; exec {MALHA} tasks master --listen 127.0.0.1:0 --discovery \
         off --attempts 1 --tasks {} --results {}",
        folder.at("tasks"),
        folder.at("results")
    );
    let mut program = Program::start("bash", &["-c", &run]);
    let line = program.prints_one("an address", |line| line.starts_with("listening on "));
    let addr = line["listening on ".len()..].parse().unwrap();
    let mut peer = Wild::connect(addr, "p");
    peer.acts("REGISTER");
    peer.gets();
    drop(peer);
    let line = program.complains();
    assert!(line.starts_with("a.zip: it cannot be kept: "), "{line}");
    assert_eq!(folder.names("results/.incoming"), Vec::<String>::new());
}

/// The same on the store alone, where a note is written and finds no place.
#[test]
fn a_note_without_a_place_leaves_nothing() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path().join("results/failed/a.zip/x")).unwrap();
    let store = Store::open(&folder.path().join("tasks"), &folder.path().join("results")).unwrap();
    let (jobs, todo) = crossbeam_channel::bounded(1);
    let name = Name::plain("a.zip").unwrap();
    let place = malha::tasks::state::Place::Failed;
    jobs.send(Job::Name { name, spool: None, place, reason: "why".to_owned() }).unwrap();
    drop(jobs);
    let screen = malha::net::screen::Screen::stdout().unwrap();
    let (level, clock) = (malha::net::trace::Level::Off, malha::net::clock::Clock::start());
    let trace = malha::net::trace::Trace::to(level, clock, screen);
    let mut outcomes = Vec::new();
    store.work(&todo, &trace, |_, outcome| outcomes.push(outcome));
    assert!(matches!(&outcomes[..], [Err(why)] if why.contains("is in the way")), "{outcomes:?}");
    assert_eq!(folder.names("results/.incoming"), Vec::<String>::new());
}

/// Somebody takes the results away while the master runs, and perhaps puts an empty folder there.
#[test]
fn results_that_vanish_are_made_again() {
    let folder = folder(&[("a.zip", &task("um")), ("b.zip", &task("um")), ("c.zip", &task("um"))]);
    let mut master = Master::start(&folder, &[]);
    let mut peer = Wild::connect(master.addr, "p");
    let path = folder.path().join("results");
    let line = format!("{} was gone: it is made again", path.display());
    for (name, is_made) in [("a.zip", false), ("b.zip", true)] {
        fs::remove_dir_all(&path).unwrap();
        if is_made {
            fs::create_dir(&path).unwrap();
        }
        assert_eq!(peer.submits(name, b"r"), ok(), "{name}");
        assert_eq!(results(&folder), [name]);
        assert_eq!(master.program.complains(), line);
    }
    // It is ours again.
    let args = ["tasks", "master", "--listen", "127.0.0.1:0", "--discovery", "off"];
    let (tasks, path) = (folder.at("tasks"), folder.at("results"));
    let more = ["--tasks", &tasks, "--results", &path];
    let (code, _, err) = run(MALHA, &[&args[..], &more].concat(), "");
    assert_eq!(code, Some(1));
    assert_eq!(err, [format!("error: cannot work in {path}: another master does")]);
    master.program.signal("-INT");
    master.program.exits(0);
    assert_eq!(folder.names("results"), ["b.zip"]);
}

/// A second master that has it now keeps it.
#[test]
fn results_that_another_master_has_made_again_are_left_to_it() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let first = Master::start(&folder, &[]);
    fs::remove_dir_all(folder.path().join("results")).unwrap();
    let second = Master::start(&folder, &[]);
    let mut peer = Wild::connect(first.addr, "p");
    is_refused_for_now(&peer.submits("a.zip", b"first"), "another master");
    assert_eq!(results(&folder), Vec::<String>::new());
    let mut peer = Wild::connect(second.addr, "p");
    assert_eq!(peer.submits("a.zip", b"second"), ok());
    assert_eq!(result(&folder, "a.zip"), b"second");
}

/// Nor does the first take anything of the second's away when it throws its own away.
#[test]
fn two_masters_never_have_archives_of_one_number() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let mut first = Master::start(&folder, &[]);
    let mut begun = Wild::connect(first.addr, "p");
    let head = "{\"action\":\"SUBMIT_RESULT\",\"peer_id\":\"p\",\"result_data\":\"";
    begun.says(format!("{head}{}", "A".repeat(100_000)).as_bytes());
    until("half an archive", || (folder.names("results/.incoming").len() == 1).then_some(()));
    fs::remove_dir_all(folder.path().join("results")).unwrap();
    let second = Master::start(&folder, &[]);
    let mut peer = Wild::connect(second.addr, "q");
    peer.gets();
    let mut failed = peer.result("a.zip", b"output");
    failed["failed"] = json!("why");
    assert_eq!(peer.asks(&failed), ok());
    assert_eq!(folder.names("results/.incoming").len(), 1);
    drop(begun);
    first.program.signal("-INT");
    first.program.exits(0);
    assert_eq!(folder.names("results/.incoming").len(), 1, "the output that the second keeps");
}

/// What a person keeps under that name is no archive of ours.
#[test]
fn what_is_not_the_masters_is_not_removed() {
    let folder = folder(&[]);
    let incoming = folder.path().join("results/.incoming");
    fs::create_dir_all(&incoming).unwrap();
    fs::write(incoming.join("7"), "half a result").unwrap();
    let mut master = Master::start(&folder, &[]);
    assert_eq!(folder.names("results/.incoming"), Vec::<String>::new(), "that is a master's");
    fs::write(incoming.join("letter"), "dear").unwrap();
    master.program.signal("-INT");
    master.program.exits(0);
    assert_eq!(folder.names("results/.incoming"), ["letter"]);
    let (tasks, path) = (folder.at("tasks"), folder.at("results"));
    let args = ["tasks", "master", "--tasks", &tasks, "--results", &path];
    let (code, _, err) = run(MALHA, &args, "");
    let line = format!("error: cannot work in {path}: {path}/.incoming/letter is in the way");
    assert_eq!((code, err), (Some(1), vec![line]));
    assert_eq!(fs::read(incoming.join("letter")).unwrap(), b"dear");
}

/// A stranger who begins an archive and does not go on costs little memory.
#[test]
fn archives_that_do_not_go_on_cost_little_memory() {
    let folder = folder(&[]);
    let spools = Spools::new(folder.path(), false);
    let mut spool = spools.begin();
    let written = || {
        let sizes = fs::read_dir(folder.path()).unwrap().flatten();
        sizes.filter(|e| e.file_name() == "0").map(|e| e.metadata().unwrap().len()).sum::<u64>()
    };
    let mut pushed = 0;
    for _ in 0..40 {
        spool.push(&[7; 10_000]);
        pushed += 10_000;
        assert!(pushed - written() <= 64 * 1024, "of {pushed} bytes {} are written", written());
    }
    for _ in 0..400 {
        spool.push(&[7; 10_000]);
        pushed += 10_000;
        assert!(pushed - written() <= 512 * 1024);
    }
    let id = spool.finish().unwrap();
    assert_eq!(fs::read(spools.path(id)).unwrap(), vec![7; pushed as usize]);
}

/// Nor do many of them who have sent a lot.
#[test]
fn few_archives_at_a_time_are_kept_in_large_pieces() {
    let folder = Folder::new();
    let spools = Spools::new(folder.path(), false);
    let mut all: Vec<_> = (0..SPOOLS_LARGE_MAX + 8).map(|_| spools.begin()).collect();
    let size = 2 * SPOOL_LARGE_BYTES - 1;
    all.iter_mut().for_each(|spool| spool.push(&vec![7; size]));
    let held = |entry: fs::DirEntry| size - entry.metadata().unwrap().len() as usize;
    let held: Vec<usize> = fs::read_dir(folder.path()).unwrap().flatten().map(held).collect();
    let large = held.iter().filter(|held| **held >= SPOOL_FIRST_BYTES).count();
    assert_eq!((held.len(), large), (SPOOLS_LARGE_MAX + 8, SPOOLS_LARGE_MAX));
    // Whoever is gone makes room.
    all.truncate(1);
    let mut next = spools.begin();
    next.push(&vec![7; size]);
    let left = fs::read_dir(folder.path()).unwrap().flatten();
    assert!(
        left.map(|entry| entry.metadata().unwrap().len()).all(|len| len < size as u64 - 70_000)
    );
}

/// Such a task can reach nobody: it is set aside at once, and the others go on.
#[test]
fn a_task_that_no_message_takes_is_set_aside_at_once() {
    let (mut large, mut fits) = (vec![7; 3_000_000], vec![7; 786_000]);
    large.extend(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    fits.extend(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    let folder = folder(&[("a.zip", &large), ("b.zip", &fits)]);
    let mut master = Master::start(&folder, &["--max-message", "1", "--until-done"]);
    let mut peer = Wild::connect(master.addr, "p");
    assert_eq!(peer.gets(), ("b.zip".to_owned(), fits));
    assert_eq!(peer.submits("b.zip", b"r"), ok());
    master.program.prints("failed a.zip: too large for a message: see --max-message");
    master.program.exits(1);
    assert_eq!(folder.names("results/failed"), ["a.zip"]);
}

/// Nor does a result that no message takes come a second time by itself.
#[test]
fn a_result_that_no_message_takes_is_a_failed_attempt() {
    let folder = folder(&[("a.zip", &task("um"))]);
    let more = ["--max-message", "1", "--until-done", "--attempts", "2"];
    let mut master = Master::start(&folder, &more);
    let mut peer = Wild::connect(master.addr, "p");
    for _ in 0..2 {
        assert_eq!(peer.gets().0, "a.zip");
        let head = "{\"action\":\"SUBMIT_RESULT\",\"peer_id\":\"p\",\"result_name\":\"a.zip\",";
        peer.says(format!("{head}\"result_data\":\"{}\"}}", "A".repeat(2_000_000)).as_bytes());
        assert_eq!(peer.hears()["message"], "the message is too long");
    }
    master.program.prints("failed a.zip: its result is too long");
    master.program.exits(1);
}

/// What is written over must become whole again before it is handed out.
#[test]
fn a_task_that_is_written_over_is_not_handed_out_by_halves() {
    let folder = folder(&[("a.zip", &task("um")), ("b.zip", &task("um"))]);
    let master = Master::start(&folder, &[]);
    let mut peer = Wild::connect(master.addr, "p");
    assert_eq!(peer.gets().0, "a.zip");
    let (mut half, end) = (b"PK\x03\x04".to_vec(), std::time::Instant::now());
    until("three looks", || {
        half.push(7);
        put(&folder, "b.zip", &half);
        (end.elapsed() > Duration::from_millis(1_500)).then_some(())
    });
    half.push(7);
    put(&folder, "b.zip", &half);
    assert_eq!(peer.acts("REQUEST_TASK")["status"], "NO_TASK");
    put(&folder, "b.zip", &task("dois"));
    assert_eq!(peer.gets(), ("b.zip".to_owned(), task("dois")));
}

/// What looks like a task and is none is said, once.
#[test]
fn tasks_that_are_none_are_told() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder(&[("good.zip", &task("um"))]);
    let long = format!("{}.zip", "n".repeat(201));
    for name in
        [b"data..v2.zip", b"new\nline.zip", b"\xff.zip", b".hid.zip", long.as_bytes()] as [&[u8]; 5]
    {
        let path = folder.path().join("tasks").join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, task("um")).unwrap();
    }
    put(&folder, "..text", b"no task");
    let mut master = Master::start(&folder, &["--until-done"]);
    let mut lines: Vec<String> = (0..5).map(|_| master.program.complains()).collect();
    let mut peer = Wild::connect(master.addr, "p");
    assert_eq!(peer.gets().0, "good.zip");
    assert_eq!(peer.submits("good.zip", b"r"), ok());
    let (code, _, err) = master.program.ends();
    assert_eq!((code, err), (Some(0), vec![]), "said once");
    lines.sort();
    let expected = [
        "\".hid.zip\" is not handed out: the name begins with a dot".to_owned(),
        "\"\\xFF.zip\" is not handed out: the name is not UTF-8".to_owned(),
        "\"data..v2.zip\" is not handed out: the name is no plain file name".to_owned(),
        "\"new\\nline.zip\" is not handed out: the name is no plain file name".to_owned(),
        format!("{long:?} is not handed out: the name is too long"),
    ];
    assert_eq!(lines, expected);
}
