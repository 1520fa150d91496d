//! All roles as programs, with our broker between them and with a mosquitto.

use crate::harness::{Program, WAIT, until};
use malha::charging::protocol::{Connect, Decoder, LEVEL, Packet, Publish, Qos, encode};
use malha::net::stream::Decode;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const MALHA: &str = env!("CARGO_BIN_EXE_malha");

/// The same tests run on both.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    Mosquitto,
}

struct Broker {
    kind: Kind,
    addr: SocketAddr,
    program: Program,
    config: PathBuf,
}

impl Broker {
    /// `None`, said loudly, if there is no mosquitto; in CI that is a failure.
    fn start(kind: Kind) -> Option<Broker> {
        if kind == Kind::Mosquitto
            && let Err(error) = std::process::Command::new("mosquitto").arg("-h").output()
        {
            let what = "the roles are NOT tested with mosquitto, which cannot be started";
            let how = "install it with `make partners`";
            assert!(std::env::var_os("MALHA_CI").is_none(), "{what} ({error}): {how}");
            eprintln!("{what} ({error}): {how}");
            return None;
        }
        // A port that was free a moment ago: it must be the same after a restart.
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let name = format!("mosquitto-{}.conf", addr.port());
        let config = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let text = format!("listener {} 127.0.0.1\nallow_anonymous true\n", addr.port());
        std::fs::write(&config, text).unwrap();
        let program = Broker::run(kind, addr, &config);
        Some(Broker { kind, addr, program, config })
    }

    fn run(kind: Kind, addr: SocketAddr, config: &std::path::Path) -> Program {
        let listen = addr.to_string();
        let program = match kind {
            Kind::Ours => Program::start(MALHA, &["charging", "broker", "--listen", &listen]),
            Kind::Mosquitto => Program::start("mosquitto", &["-c", config.to_str().unwrap()]),
        };
        until("a broker that listens", || TcpStream::connect(addr).ok());
        program
    }

    /// kill -9, and another one at the same port.
    fn die_and_come_back(&mut self) {
        self.program.signal("-KILL");
        self.program.exit();
        self.program = Broker::run(self.kind, self.addr, &self.config);
    }

    fn role(&self, role: &str, more: &[&str]) -> Program {
        let addr = self.addr.to_string();
        let args = [&["charging", role, "--broker", &addr], more].concat();
        let mut program = Program::start(MALHA, &args);
        program.prints(&format!("connected to {addr}"));
        program
    }

    /// A server, once it answers.
    fn server(&self, role: &str, more: &[&str]) -> Program {
        let mut server = self.role(role, more);
        server.prints("ready");
        server
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.config);
    }
}

/// Somebody who listens with a few bytes of MQTT.
struct Listener {
    socket: TcpStream,
    decoder: Decoder,
}

impl Listener {
    fn new(addr: SocketAddr, filter: &str) -> Listener {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        let mut listener = Listener { socket, decoder: Decoder::new(1 << 20, 32) };
        let connect = Connect::new(LEVEL, format!("listener-{filter}"));
        listener.says(&Packet::Connect(Box::new(connect)));
        listener.says(&Packet::Subscribe(1, vec![(filter.to_owned(), Qos::AtMostOnce)]));
        listener
    }

    fn says(&mut self, packet: &Packet) {
        let mut bytes = Vec::new();
        encode(packet, &mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    /// The first message that `is_it`.
    #[track_caller]
    fn hears(&mut self, what: &str, is_it: impl Fn(&str, &str) -> bool) -> Publish {
        let start = Instant::now();
        loop {
            while let Some(packet) = self.decoder.next() {
                let Packet::Publish(publish) = packet.unwrap() else { continue };
                let payload = String::from_utf8_lossy(publish.message.payload());
                if is_it(publish.message.topic(), &payload) {
                    return publish;
                }
            }
            assert!(start.elapsed() < 2 * WAIT, "waited for {what}");
            let mut bytes = [0; 4096];
            let size = self.socket.read(&mut bytes).unwrap();
            assert!(size > 0, "the broker hung up while we waited for {what}");
            self.decoder.feed(&bytes[..size]);
        }
    }
}

/// Stands near (10, 10), will soon ask, and reaches a station there in a step or two.
const NEAR: [&str; 6] = ["--at", "12,12", "--battery", "21", "--tendency", "fast"];

fn vehicle_is_charged(kind: Kind) {
    let Some(broker) = Broker::start(kind) else { return };
    let mut station =
        broker.role("station", &["--id", "posto-1", "--at", "10,10", "--minutes-per-car", "2"]);
    let _central = broker.server("central", &[]);
    let mut sector = broker.server("sector", &["--quadrant", "1"]);
    let mut listener = Listener::new(broker.addr, "#");
    listener.hears("the shortest queue", |topic, said| topic == "menor/fila" && said == "posto-1");
    let mut vehicle = broker.role("vehicle", &[&["--id", "car-1"], &NEAR[..]].concat());
    listener.hears("the answer", |topic, _| topic == "veiculo/car-1/posto");
    station.prints("car-1 granted, queue 1");
    vehicle.prints("is at posto-1");
    vehicle.prints("is charged at posto-1");
    station.prints("car-1 charged, queue 0");
    for program in [&mut sector, &mut vehicle, &mut station] {
        program.signal("-INT");
        program.exits(0);
    }
    listener.hears("the goodbye", |topic, said| {
        topic == "posto/posto-1" && said.contains("\"online\":false")
    });
}

#[test]
fn a_vehicle_is_charged() {
    vehicle_is_charged(Kind::Ours);
}

#[test]
fn a_vehicle_is_charged_with_mosquitto() {
    vehicle_is_charged(Kind::Mosquitto);
}

/// A vehicle has its place before the broker dies and after it.
fn broker_dies(kind: Kind) {
    let Some(mut broker) = Broker::start(kind) else { return };
    let mut station =
        broker.role("station", &["--id", "posto-1", "--at", "10,10", "--minutes-per-car", "2"]);
    let mut central = broker.server("central", &[]);
    let far = ["--id", "car-1", "--at", "26,10", "--battery", "21", "--tendency", "slow"];
    let mut vehicle = broker.role("vehicle", &far);
    station.prints("car-1 granted, queue 1");
    broker.die_and_come_back();
    let connected = format!("connected to {}", broker.addr);
    for program in [&mut station, &mut central, &mut vehicle] {
        program.prints(&connected);
    }
    vehicle.prints_one("its arrival", |line| line == "is at posto-1");
    // The next word on it: it was not granted twice, and did not lapse.
    let next = station.prints_one("the place", |line| line.starts_with("car-1"));
    assert_eq!(next, "car-1 charging, queue 1");
    vehicle.prints("is charged at posto-1");
    station.prints("car-1 charged, queue 0");
}

#[test]
fn when_the_broker_dies_no_place_is_lost_or_given_twice() {
    broker_dies(Kind::Ours);
}

#[test]
fn when_mosquitto_dies_no_place_is_lost_or_given_twice() {
    broker_dies(Kind::Mosquitto);
}

/// Killed, its connection is closed; stopped, it only falls silent, as behind a cut cable.
fn sector_dies(kind: Kind, signal: &str) {
    let Some(broker) = Broker::start(kind) else { return };
    let _station = broker.role("station", &["--id", "posto-1", "--at", "10,10"]);
    let _central = broker.server("central", &[]);
    let sector = broker.server("sector", &["--quadrant", "1"]);
    sector.signal(signal);
    let mut vehicle = broker.role("vehicle", &[&["--id", "car-1"], &NEAR[..]].concat());
    vehicle.prints_one("its question", |line| line.starts_with("asks for a station"));
    let start = Instant::now();
    vehicle.prints_one("a station", |line| line.starts_with("goes to posto-1"));
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
}

#[test]
fn when_a_sector_server_dies_its_vehicles_are_answered_within_10_s() {
    sector_dies(Kind::Ours, "-KILL");
    sector_dies(Kind::Ours, "-STOP");
}

#[test]
fn when_a_sector_server_dies_its_vehicles_are_answered_within_10_s_with_mosquitto() {
    sector_dies(Kind::Mosquitto, "-KILL");
    sector_dies(Kind::Mosquitto, "-STOP");
}

fn station_dies(kind: Kind) {
    let Some(broker) = Broker::start(kind) else { return };
    let near = broker.role("station", &["--id", "posto-near", "--at", "10,10"]);
    let _far = broker.role("station", &["--id", "posto-far", "--at", "20,20"]);
    let _central = broker.server("central", &[]);
    let mut listener = Listener::new(broker.addr, "posto/posto-near");
    listener.hears("that it is there", |_, said| said.contains("\"online\":true"));
    near.signal("-KILL");
    listener.hears("its will", |_, said| said.contains("\"online\":false"));
    let mut vehicle = broker.role("vehicle", &[&["--id", "car-1"], &NEAR[..]].concat());
    let goes = vehicle.prints_one("a station", |line| line.starts_with("goes to"));
    assert!(goes.starts_with("goes to posto-far"), "{goes}");
}

#[test]
fn a_station_that_has_died_is_not_recommended() {
    station_dies(Kind::Ours);
}

#[test]
fn a_station_that_has_died_is_not_recommended_with_mosquitto() {
    station_dies(Kind::Mosquitto);
}

#[test]
fn a_role_without_a_broker_tries_again_and_ends_when_told() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut central = Program::start(MALHA, &["charging", "central", "--broker", &addr]);
    for pause in ["0.25", "0.5", "1"] {
        let text = format!("next attempt in {pause} s");
        let line = central.prints_one(&text, |line| line.contains("no broker at"));
        assert!(line.ends_with(&text), "{line}");
    }
    central.signal("-INT");
    central.exits(0);
}

#[test]
fn two_of_the_same_name_make_growing_pauses_and_are_told() {
    let Some(broker) = Broker::start(Kind::Ours) else { return };
    let mut first = broker.role("central", &[]);
    let mut second = broker.role("central", &[]);
    let hint = "(it has hung up; is there another one of the same name?); next attempt in";
    let lost = |line: &str| line.contains(hint);
    first.prints_one("the first pause", |line| lost(line) && line.ends_with(" 0.25 s"));
    first.prints_one("a longer one", |line| lost(line) && line.ends_with(" 0.5 s"));
    second.prints_one("a longer one", |line| lost(line) && line.ends_with(" 0.5 s"));
}

#[test]
fn a_simulation_without_its_broker_is_a_failure() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let args = ["charging", "simulate", "--seconds", "1", "--broker", &addr];
    let (code, _, err) = crate::harness::run(MALHA, &args, "");
    assert_eq!(code, Some(1));
    assert!(err[0].starts_with(&format!("error: cannot reach the broker at {addr}: ")), "{err:?}");
}
