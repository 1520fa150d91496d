//! What every system stands on: seats, limits of the machine, threads that all end.

use crate::folder::Folder;
use crate::harness::{Person, Server, until};
use malha::command::calendar::Calendar;
use malha::command::limits::IDLE_MS_MAX;
use malha::command::server as command;
use malha::grid::limits::{CLIENTS_MAX, PEER_MS_MAX};
use malha::grid::sensors;
use malha::grid::server::{Config, Server as Served};
use malha::grid::state::Exit;
use malha::net::accept::Seats;
use malha::net::capacity::compare;
use malha::net::clock::Clock;
use malha::net::dice::Dice;
use malha::net::limits::{
    DESCRIPTORS_RESERVE, MAPS_PER_THREAD, MAPS_RESERVE, THREAD_NAME_BYTES_MAX,
};
use malha::net::screen::Screen;
use malha::net::stop::stop_pair;
use malha::net::trace::{Level, Trace};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

#[test]
fn seats_are_given_up_to_the_limit_and_come_back() {
    let seats = Seats::new(2);
    let first = seats.take();
    let second = seats.take();
    assert!(first.is_some() && second.is_some() && seats.take().is_none());
    drop(first);
    let third = seats.clone().take();
    assert!(third.is_some() && seats.take().is_none(), "a clone has the same seats");
    assert!(Seats::new(0).take().is_none());
}

#[test]
fn a_server_starts_at_the_limit_of_descriptors_and_not_past_it() {
    let need = 1_000 + DESCRIPTORS_RESERVE;
    assert_eq!(compare((1_000, 1), Some(need), None), Ok(()));
    let why = compare((1_000, 1), Some(need - 1), None).unwrap_err();
    for part in [(need - 1).to_string(), format!("ulimit -n {need}")] {
        assert!(why.contains(&part), "{part:?} is not in {why:?}");
    }
}

#[test]
fn a_server_starts_at_the_limit_of_memory_maps_and_not_past_it() {
    let need = 1_000 * MAPS_PER_THREAD + MAPS_RESERVE;
    assert_eq!(compare((1_000, 1), None, Some(need)), Ok(()));
    let why = compare((1_000, 1), None, Some(need - 1)).unwrap_err();
    let setting = format!("vm.max_map_count={need}");
    assert!(why.contains(&(need - 1).to_string()) && why.contains(&setting), "{why:?}");
}

#[test]
fn unknown_limits_refuse_nobody_and_huge_numbers_do_not_overflow() {
    assert_eq!(compare((usize::MAX, 1), None, None), Ok(()));
    assert!(compare((usize::MAX, 1), Some(1_024), Some(65_530)).is_err());
    assert!(compare((usize::MAX, 1), None, Some(65_530)).is_err());
}

#[test]
fn more_clients_than_the_machine_can_hold_are_refused_at_the_start() {
    let args = ["127.0.0.1", "0", "0", "--max-clients", "1000000000"];
    let (code, out, err) = crate::harness::run(crate::harness::SERVER, &args, "");
    assert_eq!((code, out.len(), err.len()), (Some(1), 0, 1), "{out:?} {err:?}");
    assert!(err[0].contains("1000000000 clients") && err[0].contains("raise it"), "{err:?}");
}

fn thread_names(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may end while we look.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_owned()).collect()
}

#[test]
fn every_thread_has_a_whole_name() {
    let server = Server::start(&[]);
    let _peer = Person::link(server.peers);
    let _clients = [Person::join(server.clients), Person::join(server.clients)];
    let pid = server.program.pid();
    let expected = ["grid-accept", "grid-typed", "peer-accept", "c1", "c2", "p1-read", "p1-write"];
    // A thread begins with the name of the one that started it.
    let names = until("threads that have their names", || {
        let names = thread_names(pid);
        let unnamed = names.iter().filter(|name| *name == "server").count();
        let has = |name: &&str| names.iter().any(|other| other == name);
        (unnamed == 1 && expected.iter().all(has)).then_some(names)
    });
    for name in names {
        assert!(name.len() < THREAD_NAME_BYTES_MAX, "{name:?} may have been cut");
    }
}

const CHILD: &str = "MALHA_TEST_CHILD";
const ROUNDS: usize = 50;

/// In a process of its own, because the other tests here open and close what is counted.
fn leaves_nothing_behind(test: &str, start_and_stop: impl Fn(usize)) {
    if std::env::var_os(CHILD).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}\n{said}");
        return;
    }
    start_and_stop(0);
    let before = threads_and_descriptors();
    (0..ROUNDS).for_each(start_and_stop);
    // The system may take a moment to forget a thread that has been joined.
    until(&format!("no more than {before:?}"), || {
        let after = threads_and_descriptors();
        (after.0 <= before.0 && after.1 <= before.1).then_some(())
    });
}

#[test]
fn starting_and_stopping_leaves_nothing_behind() {
    let clock = Clock::start();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        peer: vec![any],
        clients: vec![any],
        clients_max: CLIENTS_MAX,
        sensors: sensors::draw(&mut Dice::seeded(7)),
        peer_ms_max: PEER_MS_MAX,
        screen: Screen::stdout().unwrap(),
        trace: Trace::stderr(Level::Off, clock).unwrap(),
        clock,
    };
    let test = "net::starting_and_stopping_leaves_nothing_behind";
    leaves_nothing_behind(test, |round| start_and_stop(&config, round));
}

/// It has a log, and so a screen, of its own each time.
#[test]
fn a_command_server_leaves_nothing_behind() {
    let clock = Clock::start();
    let (screen, folder) = (Screen::stdout().unwrap(), Folder::new());
    let trace = Trace::stderr(Level::Off, clock).unwrap();
    leaves_nothing_behind("net::a_command_server_leaves_nothing_behind", |_| {
        let server = command::Server::bind(command::Config {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            log: folder.at("log.txt").into(),
            clients_max: 2,
            idle_ms_max: IDLE_MS_MAX,
            has_udp: true,
            users: None,
            screen: screen.clone(),
            trace: trace.clone(),
            clock,
            calendar: Calendar::utc(),
        });
        let server = server.unwrap();
        let (stopper, stop) = stop_pair();
        std::thread::scope(|scope| {
            let served = scope.spawn(|| server.serve(&stop));
            let mut person = Person::connect(server.addr());
            person.asks("ECHO", "ECHO: ");
            drop(stopper);
            served.join().unwrap().unwrap();
            person.ends();
        });
    });
}

fn threads_and_descriptors() -> (usize, usize) {
    let count = |path| fs::read_dir(path).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Two servers with a link and people inside; stopped in either order, or one left by its peer.
fn start_and_stop(config: &Config, round: usize) {
    let first = Served::bind(config.clone()).unwrap();
    let peer = vec![first.peer_addr().unwrap()];
    let second = Served::bind(Config { peer, ..config.clone() }).unwrap();
    let addrs = [first.client_addr(), second.client_addr()];
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for server in [first, second] {
            let (stopper, stop) = stop_pair();
            let never = crossbeam_channel::never();
            running.push((stopper, scope.spawn(move || server.serve(&stop, &never))));
        }
        let mut people: Vec<Person> =
            addrs.iter().cycle().take(6).map(|addr| Person::join(*addr).0).collect();
        for person in &mut people[..2] {
            until("a link", || {
                person.says("REQ_EP");
                person.line().starts_with("RES_EP(").then_some(())
            });
        }
        // One leaves before the stop, with a question open.
        people[2].says("REQ_ES");
        people.remove(2);
        if round.is_multiple_of(2) {
            running.reverse();
        }
        for (stopper, served) in running {
            drop(stopper);
            assert_eq!(served.join().unwrap().unwrap().exit, Exit::Done);
        }
        people.iter_mut().for_each(Person::ends);
    });
}
