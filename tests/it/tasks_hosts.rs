//! Discovery between hosts: three network namespaces on a bridge, which only root can make.
//!
//! Where that is impossible the test says so and does nothing; where `MALHA_CI` is set it fails.

use crate::folder::Folder;
use crate::harness::{Program, until_at_most};
use crate::tasks_live::{MALHA, done_in_all, folder, results};
use crate::tasks_zip::Zip;
use malha::net::stop::Stop;
use malha::tasks::discovery::look;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(90);
const TASKS: usize = 12;

/// Hosts with one network card each, all at one bridge, in namespaces that are gone with the test.
struct Network {
    names: Vec<String>,
}

fn ip(args: &str) -> Result<(), String> {
    let output = Command::new("ip").args(args.split(' ')).output().map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(()).ok_or_else(|| format!("`ip {args}`: {said}"))
}

impl Network {
    /// So many hosts, 10.77.0.1 and so on.
    fn new(hosts: usize) -> Result<Network, String> {
        let mut network = Network { names: Vec::new() };
        let switch = network.namespace("switch")?;
        ip(&format!("-n {switch} link add br0 type bridge"))?;
        ip(&format!("-n {switch} link set br0 up"))?;
        for number in 1..=hosts {
            let host = network.namespace(&format!("host{number}"))?;
            ip(&format!("-n {host} link add eth0 type veth peer name p{number} netns {switch}"))?;
            ip(&format!("-n {switch} link set p{number} master br0 up"))?;
            ip(&format!("-n {host} link set lo up"))?;
            ip(&format!("-n {host} link set eth0 up"))?;
            network.address(number, &format!("10.77.0.{number}"), "add")?;
            ip(&format!("-n {host} route add default dev eth0"))?;
        }
        Ok(network)
    }

    fn namespace(&mut self, what: &str) -> Result<String, String> {
        let name = format!("malha-{}-{what}", std::process::id());
        ip(&format!("netns add {name}"))?;
        self.names.push(name.clone());
        Ok(name)
    }

    /// Gives a host an address, or takes it away.
    fn address(&self, host: usize, addr: &str, change: &str) -> Result<(), String> {
        ip(&format!("-n {} addr {change} {addr}/24 brd 10.77.0.255 dev eth0", self.names[host]))
    }

    /// Runs a program on a host.
    fn run(&self, host: usize, args: &[&str]) -> Program {
        Program::start("ip", &[&["netns", "exec", &self.names[host], MALHA], args].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

fn slow_task(text: &str) -> Vec<u8> {
    let mut zip = Zip::new();
    let script = format!("import time\ntime.sleep(0.3)\nprint({text:?})\n");
    zip.add("main.py", script.as_bytes());
    zip.finish()
}

fn master(network: &Network, folder: &Folder, more: &[&str]) -> Program {
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (tasks, results) = (path("tasks"), path("results"));
    let args = [
        "tasks",
        "master",
        "--listen",
        "0.0.0.0:50020",
        "--trust-network",
        "--attempts",
        "100",
        "--tasks",
        &tasks,
        "--results",
        &results,
    ];
    let mut master = network.run(1, &[&args, more].concat());
    master.prints("listening on 0.0.0.0:50020");
    master
}

fn peer(network: &Network, host: usize, folder: &Folder, more: &[&str]) -> Program {
    let work = folder.path().join(format!("work{host}"));
    let work = work.to_str().unwrap();
    let args = ["tasks", "peer", "--trust-network", "--slots", "1", "--work", work];
    network.run(host, &[&args, more].concat())
}

#[test]
fn peers_on_other_hosts_find_the_master_and_find_it_again() {
    let network = match Network::new(3) {
        Ok(network) => network,
        Err(why) => {
            let what = "discovery between hosts is NOT tested: no network namespaces";
            assert!(std::env::var_os("MALHA_CI").is_none(), "{what}: {why}");
            eprintln!("{what}: {why}");
            return;
        }
    };
    let names: Vec<String> = (0..TASKS).map(|number| format!("t{number:02}.zip")).collect();
    let tasks: Vec<Vec<u8>> = names.iter().map(|name| slow_task(name)).collect();
    let tasks: Vec<(&str, &[u8])> =
        names.iter().zip(&tasks).map(|(name, task)| (name.as_str(), task.as_slice())).collect();
    let folder = folder(&tasks);
    // Peers first: they ask until somebody answers.
    let mut everywhere = peer(&network, 2, &folder, &[]);
    let mut to_network = peer(&network, 3, &folder, &["--broadcast", "10.77.0.255"]);
    everywhere.prints("no master answers");
    let mut first = master(&network, &folder, &[]);
    for peer in [&mut everywhere, &mut to_network] {
        peer.prints("working for the master at 10.77.0.1:50020");
    }
    until_at_most(LONG, "some results", || (results(&folder).len() >= 3).then_some(()));
    first.signal("-KILL");
    assert_eq!(first.exit(), None);
    let kept = results(&folder);
    assert!(kept.len() < TASKS, "it was killed too late to show anything");
    network.address(1, "10.77.0.1", "del").unwrap();
    network.address(1, "10.77.0.9", "add").unwrap();
    let mut second = master(&network, &folder, &["--until-done"]);
    for peer in [&mut everywhere, &mut to_network] {
        peer.prints("working for the master at 10.77.0.9:50020");
    }
    until_at_most(LONG, "every result", || (results(&folder).len() == TASKS).then_some(()));
    second.prints_one("the summary", |line| done_in_all(line) == Some(TASKS));
    second.exits(0);
    assert_eq!(results(&folder), names);
    assert!(kept.iter().all(|name| names.contains(name)));
}

/// As on a machine without a route to everybody: a datagram to port 0 cannot be sent.
#[test]
fn an_address_that_cannot_be_asked_does_not_matter_if_another_one_can() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (master, nowhere) = (socket.local_addr().unwrap(), "127.0.0.1:0".parse().unwrap());
    let look = |targets: &[SocketAddr]| look(targets, "p", &Stop::never(), |_| true);
    for targets in [[master, nowhere], [nowhere, master]] {
        assert_eq!(look(&targets).unwrap(), None);
    }
    assert!(look(&[nowhere]).is_err());
}
