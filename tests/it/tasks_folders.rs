//! Folders that two programs want, that are one and the same, or that somebody takes away (tasks
//! spec: Options).

use crate::folder::Folder;
use crate::harness::{run, until};
use crate::tasks_live::{MALHA, Master, folder, put, results, task};
use crate::tasks_peer::{peer, waiting};
use crate::tasks_zip::{Entry, Zip};
use malha::tasks::limits::FOLDER_MS;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

#[test]
fn a_second_peer_leaves_the_folder_of_the_first_alone() {
    let folder = folder(&[]);
    put(&folder, "a.zip", &waiting(&folder));
    let mut master = Master::start(&folder, &["--until-done"]);
    let mut first = peer(&folder, master.addr, &["--no-sandbox"]);
    first.prints("a.zip: begun");
    let (code, _, err) = peer(&folder, master.addr, &["--no-sandbox"]).ends();
    let work = folder.path().join("work").display().to_string();
    let line = format!("another peer works in `{work}`: give this one --work");
    assert_eq!((code, err.len()), (Some(1), 1), "{err:?}");
    assert!(err[0].ends_with(&line), "{err:?}");
    fs::write(folder.path().join("go"), "").unwrap();
    first.prints("a.zip: done");
    master.program.exits(0);
    assert_eq!(results(&folder), ["a.zip"]);
}

/// Somebody tidies up while a task runs, and while nothing does.
#[test]
fn folders_that_vanish_are_made_again() {
    let folder = folder(&[]);
    put(&folder, "a.zip", &waiting(&folder));
    let mut master = Master::start(&folder, &[]);
    let mut peer = peer(&folder, master.addr, &["--no-sandbox", "--slots", "1"]);
    let remove = || {
        for name in [".incoming", ".results"] {
            let path = folder.path().join("work").join(name);
            until("a folder to remove", || fs::remove_dir_all(&path).ok());
        }
    };
    let script = folder.path().join("work/a.zip/files/main.py");
    until("an unpacked task", || script.exists().then_some(()));
    remove();
    fs::write(folder.path().join("go"), "").unwrap();
    peer.prints("a.zip: done");
    until("the result", || (results(&folder) == ["a.zip"]).then_some(()));
    remove();
    put(&folder, "b.zip", &task("um"));
    peer.prints("b.zip: done");
    until("the result", || (results(&folder).len() == 2).then_some(()));
    master.kill();
}

/// The results that wait for a master are gone when it comes: their tasks are given back.
#[test]
fn a_result_that_vanished_is_given_back() {
    let folder = folder(&[]);
    put(&folder, "a.zip", &waiting(&folder));
    let mut master = Master::start(&folder, &[]);
    let mut peer = peer(&folder, master.addr, &["--no-sandbox"]);
    peer.prints("a.zip: begun");
    let addr = master.addr.to_string();
    master.kill();
    fs::write(folder.path().join("go"), "").unwrap();
    peer.prints("a.zip: done");
    fs::remove_dir_all(folder.path().join("work/.results")).unwrap();
    let mut master = Master::start_again(&folder, &addr, &["--until-done"]);
    let complaint = peer.complains();
    assert!(complaint.contains("the result of a.zip is gone"), "{complaint}");
    master.program.exits(0);
    assert_eq!(results(&folder), ["a.zip"]);
}

#[test]
fn a_peer_that_leaves_without_its_master_promises_nothing() {
    let folder = folder(&[]);
    put(&folder, "a.zip", &waiting(&folder));
    let mut master = Master::start(&folder, &[]);
    let mut peer = peer(&folder, master.addr, &["--no-sandbox"]);
    peer.prints("a.zip: begun");
    master.kill();
    fs::write(folder.path().join("go"), "").unwrap();
    peer.prints("a.zip: done");
    ["-INT", "-INT"].iter().for_each(|signal| peer.signal(signal));
    let (code, _, err) = peer.ends();
    assert_eq!((code, err.len()), (Some(1), 1), "{err:?}");
    let line = "cannot deliver a.zip: no master takes it; its task is given out again";
    assert!(err[0].ends_with(line), "{err:?}");
    assert_eq!(folder.names("work"), Vec::<String>::new());
}

/// Who waits for the last task waits for one that is still being copied into the folder.
#[test]
fn a_task_that_is_copied_slowly_is_waited_for() {
    let folder = folder(&[]);
    let mut zip = Zip::new();
    zip.add("main.py", b"print('um')\n");
    zip.put(&Entry::stored("large", &[7; 100_000]));
    let archive = zip.finish();
    let (end, mut copied) = (archive.len() - 1, 10);
    put(&folder, "a.zip", &archive[..copied]);
    let mut master = Master::start(&folder, &["--until-done"]);
    // So long that the master has looked more than twice.
    let start = Instant::now();
    until("some looks", || {
        copied += 10;
        put(&folder, "a.zip", &archive[..copied]);
        assert!(master.program.has_ended().is_none(), "{copied} bytes of {end} are there");
        (start.elapsed() > Duration::from_millis(3 * FOLDER_MS)).then_some(())
    });
    put(&folder, "a.zip", &archive);
    let _peer = peer(&folder, master.addr, &["--no-sandbox"]);
    master.program.prints_one("the summary", |line| line.starts_with("1 done, 0 failed in "));
    master.program.exits(0);
}

/// Tasks that lie in the folder of results would count as results.
#[test]
fn tasks_and_results_are_two_folders() {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(path("one")).unwrap();
    symlink(path("one"), path("link")).unwrap();
    for (tasks, results) in [("both", "both"), ("both", "both/../both"), ("one", "link")] {
        let (tasks, results) = (path(tasks), path(results));
        let args = ["tasks", "master", "--tasks", &tasks, "--results", &results];
        let (code, _, err) = run(MALHA, &args, "");
        let line = format!("error: cannot work in {results}: tasks and results are one folder");
        assert_eq!((code, err), (Some(1), vec![line]));
    }
}

/// `--until-done` again: what was done before is not done once more, nor counted as if it were.
#[test]
fn what_was_done_before_is_told_apart() {
    let folder = folder(&[("a.zip", &task("um")), ("b.zip", &task("dois"))]);
    let run = |expected: &str, peers: usize| {
        let mut master = Master::start(&folder, &["--until-done"]);
        let _peer = (0..peers).map(|_| peer(&folder, master.addr, &[])).collect::<Vec<_>>();
        let line = master.program.prints_one("the summary", |line| line.contains(" done, "));
        assert!(line.starts_with(&format!("{expected} done, 0 failed in ")), "{line}");
        master.program.exits(0);
        line
    };
    let first = run("2", 1);
    assert!(first.ends_with(" a second"), "{first}");
    let second = run("0", 0);
    assert!(second.ends_with(" s, 0.0 a second; 2 done, 0 failed in earlier runs"), "{second}");
}

#[test]
fn a_folder_of_tasks_that_was_not_there_is_made_and_said_to_be_empty() {
    let folder = Folder::new();
    let tasks = folder.at("misspelt");
    for expected in [1, 0] {
        let results = folder.at("results");
        let args = ["tasks", "master", "--listen", "127.0.0.1:0", "--discovery", "off", "--tasks"];
        let more = [&tasks, "--results", &results, "--until-done"];
        let args = [&args[..], &more].concat();
        let (code, _, err) = run(MALHA, &args, "");
        assert_eq!((code, err.len()), (Some(0), expected), "{err:#?}");
        let line = format!("the folder {tasks} was not there: it is made, and there are no tasks");
        assert!(err.iter().all(|said| said.contains(&line)), "{err:#?}");
    }
}

/// The limit on file sizes stands for the disk.
#[test]
fn an_example_that_finds_no_room_leaves_nothing() {
    let folder = Folder::new();
    let at = folder.at("tasks");
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {MALHA} tasks example {at}");
    let (code, _, err) = run("bash", &["-c", &script], "");
    assert_eq!((code, err.len()), (Some(1), 1), "{err:#?}");
    assert_eq!(folder.names("tasks"), [""; 0]);
}
